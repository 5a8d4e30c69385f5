//! An OCSP request. What parses is the same question when it is written anew, has the length that its header says, is
//! signed by the signer without a refusal, and gets an answer that the frontend takes: to take it for another's ends the
//! process, and no client may do that.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use ocsp_frontend::request::{LARGEST, Length, Question, length, oid, parse};
use ocsp_frontend::response;
use ocsp_fuzz::{Scene, mutate, tlv};
use ocsp_wire::Parameters;

static SCENE: LazyLock<Scene> = LazyLock::new(|| Scene::new(false));

fuzz_target!(|octets: &[u8]| {
    grows(octets);
    let Ok(question) = parse(octets) else {
        return;
    };
    if octets.len() <= LARGEST {
        assert_eq!(length(octets), Length::Known(octets.len()));
    }
    assert_eq!(parse(&written(&question)).as_ref(), Ok(&question));
    let Some(asked) = SCENE.ask(&question) else {
        return;
    };
    let answer = SCENE.sign(&asked).unwrap();
    let issuer = SCENE.issuers.at(asked.issuer).unwrap();
    response::check(&answer, &asked, issuer).unwrap();
});

/// What is said of a request's length while it comes does not change with more octets.
fn grows(octets: &[u8]) {
    let mut before = Length::Short;
    for end in 0..=octets.len().min(6) {
        let now = length(&octets[..end]);
        assert!(before == Length::Short || before == now);
        before = now;
    }
}

fn written(question: &Question) -> Vec<u8> {
    let items: Vec<Vec<u8>> = question
        .items
        .iter()
        .map(|id| {
            let parameters: &[u8] = match id.parameters {
                Parameters::Absent => &[],
                Parameters::Null => &[5, 0],
            };
            let algorithm = tlv(0x30, &[&tlv(6, &[&oid(&id.hash)]), parameters]);
            let (name, key) = (tlv(4, &[&id.name_hash]), tlv(4, &[&id.key_hash]));
            let id = tlv(0x30, &[&algorithm, &name, &key, &tlv(2, &[&id.serial])]);
            tlv(0x30, &[&id])
        })
        .collect();
    let mut extensions = Vec::new();
    if let Some(nonce) = &question.nonce {
        let id = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
        extensions.push(tlv(0x30, &[&id, &tlv(4, &[&tlv(4, &[nonce])])]));
    }
    if !question.preferred.is_empty() {
        let id = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 8];
        let pairs = question.preferred.iter().map(|algorithm| {
            let algorithm = tlv(0x30, &[&tlv(6, &[algorithm.as_bytes()])]);
            tlv(0x30, &[&algorithm])
        });
        let list = tlv(0x30, &[&pairs.collect::<Vec<_>>().concat()]);
        extensions.push(tlv(0x30, &[&id, &tlv(4, &[&list])]));
    }
    let extensions = if extensions.is_empty() {
        Vec::new()
    } else {
        tlv(0xa2, &[&tlv(0x30, &[&extensions.concat()])])
    };
    let list = tlv(0x30, &[&items.concat()]);
    tlv(0x30, &[&tlv(0x30, &[&list, &extensions])])
}

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    mutate::der(data, size, most, seed)
});
