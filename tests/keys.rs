//! Several keys of one issuer: who signs when, who is next, and what is said when nobody can.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;
use nix::sys::signal::Signal;

const DAY: i64 = 86_400;
/// Some time ago, and far ahead.
const LONG: [i64; 2] = [-DAY, 40 * DAY];

struct Plan {
    folder: Folder,
    ca: Ca,
}

impl Plan {
    fn new() -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue("good");
        Self { folder, ca }
    }

    fn config(&self, keys: &[&str]) -> String {
        head(ADMIN) + &self.ca.source("") + &self.ca.issuer_with("", keys)
    }

    /// Who signed an answer, by the subject of the certificate that came with it.
    fn signer(&self, server: &Server) -> String {
        let answer = server.post(&self.ca.request("-no_nonce -cert good.crt"));
        let said = self.ca.reads(&answer.answer());
        let subject = said.lines().find_map(|line| {
            let name = line.trim().strip_prefix("Subject: ")?.replace(' ', "");
            Some(name.strip_prefix("CN=")?.to_owned())
        });
        subject.unwrap_or_else(|| panic!("{said}"))
    }
}

/// conformance 35: without a preference of the client's, the first key that is configured signs.
#[test]
fn the_first_key_signs_and_a_younger_one_of_its_algorithm_takes_over() {
    let plan = Plan::new();
    let rsa = plan.ca.delegate("rsa", Kind::Rsa, LONG);
    let ec = plan.ca.delegate("ec", Kind::P256, LONG);
    let next = plan.ca.delegate("next", Kind::Rsa, [6, 40 * DAY]);
    let server = Server::new(&plan.folder, &plan.config(&[&rsa, &ec, &next]));
    server.says("warning: ocsp-signer[");
    assert_eq!(plan.signer(&server), "rsa");
    // When its notBefore comes, without a reload.
    until("the next key signs", || {
        (plan.signer(&server) == "next").then_some(())
    });
    assert_eq!(server.generation().number, 1);
    let page = server.metrics();
    for key in 0..3 {
        let name = format!("ocsp_key_not_after_seconds{{issuer=\"ca\",key=\"{key}\"}} ");
        let left = i64::try_from(metric(&page, &name)).unwrap() - now();
        assert!((39 * DAY..=40 * DAY).contains(&left), "{left}");
    }
    // The first one alone again.
    server.reload(&plan.config(&[&rsa]));
    server.next_generation(1);
    assert_eq!(plan.signer(&server), "rsa");
}

/// A DER element of at most 127 octets of content, or at most 255.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 128 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [head, content].concat()
}

/// What is in a DER element.
fn content(der: &[u8]) -> &[u8] {
    let long = usize::from(der[1] == 0x81);
    &der[2 + long..]
}

/// The request, with PreferredSignatureAlgorithms of these OIDs (RFC 6960 section 4.4.7).
fn preferring(request: &[u8], algorithms: &[&[u8]]) -> Vec<u8> {
    const NAME: &[u8] = &[6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 8];
    let algorithms = algorithms
        .iter()
        .map(|algorithm| tlv(0x30, &[&tlv(0x30, &[&tlv(6, &[algorithm])])]));
    let algorithms = tlv(0x30, &[&algorithms.collect::<Vec<_>>().concat()]);
    let extension = tlv(0x30, &[NAME, &tlv(4, &[&algorithms])]);
    let list = content(content(request));
    tlv(
        0x30,
        &[&tlv(
            0x30,
            &[list, &tlv(0xa2, &[&tlv(0x30, &[&extension])])],
        )],
    )
}

/// conformance 34, 35: a client that prefers the algorithm of another key of the issuer's gets it, from the cache as well.
#[test]
fn a_client_gets_the_algorithm_that_it_prefers_where_a_key_has_it() {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let plan = Plan::new();
    let rsa = plan.ca.delegate("rsa", Kind::Rsa, LONG);
    let ec = plan.ca.delegate("ec", Kind::P256, LONG);
    let server = Server::new(&plan.folder, &plan.config(&[&rsa, &ec]));
    let (with_rsa, with_ec) = ("sha256WithRSAEncryption", "ecdsa-with-SHA256");
    let request = plan.ca.request("-no_nonce -cert good.crt");
    for (algorithms, expected) in [
        (&[][..], with_rsa),
        (&[EC], with_ec),
        (&[RSA, EC], with_rsa),
        (&[ED25519, EC, RSA], with_ec),
        (&[ED25519], with_rsa),
    ] {
        let asked = match algorithms {
            [] => request.clone(),
            algorithms => preferring(&request, algorithms),
        };
        let said = plan.ca.reads(&server.post(&asked).answer());
        let said = said.split("Certificate:").next().unwrap();
        contains(said, &[&format!("Signature Algorithm: {expected}")]);
    }
    // Each of the two keys signed once, and its answer was kept.
    let page = server.metrics();
    assert_eq!(metric(&page, "ocsp_cache_entries "), 2);
    assert_eq!(metric(&page, "ocsp_signatures_total "), 2);
}

#[test]
fn an_end_that_comes_near_is_said_once_and_a_successor_is_not_warned_about() {
    let plan = Plan::new();
    let ends = plan.ca.delegate("ends", Kind::P256, [-DAY, 6 * DAY]);
    let next = plan.ca.delegate("next", Kind::Rsa, [5 * DAY, 40 * DAY]);
    let server = Server::new(&plan.folder, &plan.config(&[&ends]));
    server.says("warning: issuer \"ca\": in less than 7 days, at ");
    assert_eq!(server.log().matches("in less than").count(), 1);
    let mark = server.mark();
    server.reload(&plan.config(&[&ends, &next]));
    server.next_generation(1);
    plan.signer(&server);
    server.says_after(mark, "next.crt: is valid from ");
    assert_eq!(server.log().matches("in less than").count(), 1);
}

#[test]
fn when_no_key_can_sign_any_more_readiness_fails_and_a_reload_mends_it() {
    let plan = Plan::new();
    let ends = plan.ca.delegate("ends", Kind::P256, [-DAY, 8]);
    let next = plan.ca.delegate("next", Kind::P256, LONG);
    let server = Server::new(&plan.folder, &plan.config(&[&ends]));
    server.says("warning: issuer \"ca\": in less than 1 days, at ");
    assert_eq!(server.admin("/readyz").0, 200);
    assert_eq!(plan.signer(&server), "ends");
    until("it is not ready any more", || {
        let (status, text) = server.admin("/readyz");
        let expected = "issuer \"ca\" cannot sign: no certificate of its keys is valid now, and for as long as answers must be\n";
        (status == 503 && text == expected).then_some(())
    });
    let question = plan.ca.request("-no_nonce -cert good.crt");
    assert_eq!(server.post(&question).error(), 2);
    server.says(
        "error: issuer \"ca\": no certificate is valid now that a key of its could sign under",
    );
    // Nor does a generation start with it.
    server.signal(Signal::SIGHUP);
    server.says("goes on serving as before");
    server.reload(&plan.config(&[&ends, &next]));
    server.next_generation(1);
    assert_eq!(plan.signer(&server), "next");
    assert_eq!(server.admin("/readyz").0, 200);
}

/// conformance 57, 60: in its last hours a key cannot sign any more what a policy wants to be valid for 8 h: another one signs
/// then, and where there is none, it is not ready.
#[test]
fn a_key_signs_no_longer_than_its_answers_can_be_valid() {
    const HOUR: i64 = 3600;
    let plan = Plan::new();
    let ends = plan.ca.delegate("ends", Kind::P256, [-DAY, 7 * HOUR]);
    let other = plan.ca.delegate("other", Kind::P256, [-2 * DAY, 40 * DAY]);
    let cabf = |keys: &[&str]| {
        let issuer = plan.ca.issuer_with("policy = \"cabf\"", keys);
        head(ADMIN) + &plan.ca.source("") + &issuer
    };
    let server = Server::new(&plan.folder, &cabf(&[&ends, &other]));
    assert_eq!(plan.signer(&server), "other");
    assert_eq!(server.admin("/readyz").0, 200);
    server.reload(&cabf(&[&ends]));
    server.next_generation(1);
    let (status, text) = server.admin("/readyz");
    assert_eq!(status, 503, "{text}");
    contains(&text, &["issuer \"ca\" cannot sign: "]);
    let question = plan.ca.request("-no_nonce -cert good.crt");
    assert_eq!(server.post(&question).error(), 2);
    server.says("refused to sign: the certificate that signs ends within 8 h");
}

/// conformance 54: the archive cutoff comes through both processes, by both of its forms.
#[test]
fn the_archive_cutoff_is_what_the_configuration_says() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(
        &folder,
        &ca,
        "archive-cutoff = \"issuer\"\npolicy = \"etsi\"",
    );
    let not_before = must(
        ca.path(""),
        &["openssl", "x509", "-in", "ca.crt", "-noout", "-startdate"],
    );
    let not_before = not_before.trim().strip_prefix("notBefore=").unwrap();
    for name in ["good", "revoked"] {
        let said = server.ask(&ca, &format!("-cert {name}.crt"));
        contains(&said, &["Archive Cutoff", not_before]);
    }
    let config = head("") + &ca.source("") + &ca.issuer("archive-cutoff = \"3650d\"");
    server.reload(&config);
    server.next_generation(1);
    let said = server.ask(&ca, "-cert good.crt");
    contains(&said, &["Archive Cutoff"]);
    assert!(
        !said.contains(&format!("Archive Cutoff: \n                {not_before}")),
        "{said}"
    );
    server.reload(&(head("") + &ca.source("") + &ca.issuer("")));
    server.next_generation(2);
    lacks(&server.ask(&ca, "-cert good.crt"), &["Archive Cutoff"]);
    for (lines, sentence) in [
        (
            "archive-cutoff = \"forever\"",
            "key \"archive-cutoff\": found \"forever\", expected \"issuer\", or a duration from 1d",
        ),
        (
            "archive-cutoff = \"5m\"",
            "key \"archive-cutoff\": found \"5m\", expected",
        ),
    ] {
        let (code, said) = Server::fails(&folder, &(head("") + &ca.source("") + &ca.issuer(lines)));
        assert_eq!(code, 3, "{said}");
        contains(&said, &[sentence]);
    }
}

#[test]
fn what_does_not_fit_beside_several_keys_is_refused() {
    let plan = Plan::new();
    let key = plan.ca.section("/k.key", "responder.crt");
    let refused = |config: &str, expected: &str| {
        let (code, said) = Server::fails(&plan.folder, config);
        assert_eq!(code, 3, "{said}");
        contains(&said, &[expected]);
    };
    let beside = head("") + &plan.ca.source("") + &plan.ca.issuer_with("key = \"/a.key\"", &[&key]);
    refused(
        &beside,
        "each key in its own section [[issuer.keys]], and none beside them",
    );
    let without = key.replace("key = \"/k.key\"\n", "");
    refused(
        &plan.config(&[&key, &without]),
        "[[keys]] 2: key \"key\": found nothing, expected an absolute path",
    );
    let many = vec![&*key; 17];
    refused(
        &plan.config(&many),
        "key \"keys\": found 17 sections, expected at most 16",
    );
    refused(
        &plan.config(&[&(key.clone() + "validity = \"1d\"\n")]),
        "key \"validity\" is not known",
    );
}

/// conformance 55: every certificate of a CA whose key was compromised is revoked, the source's *good* and what it does not know
/// included.
#[test]
fn all_certificates_of_a_compromised_issuer_are_revoked() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "compromised = 2025-05-04T03:02:01Z");
    for name in ["good", "revoked", "unlisted"] {
        let question = ca.request(&format!("-cert {name}.crt"));
        let said = ca.reads(&server.post(&question).answer());
        contains(
            &said,
            &[
                "Cert Status: revoked",
                "Revocation Time: May  4 03:02:01 2025 GMT",
                "cACompromise",
            ],
        );
    }
    let question = ca.request("-no_nonce -cert good.crt");
    let answer = server.post(&question).answer();
    assert!(ca.reads(&answer).contains("Cert Status: revoked"));
    let wrong = head("") + &ca.source("") + &ca.issuer("compromised = \"yesterday\"");
    let (code, said) = Server::fails(&folder, &wrong);
    assert_eq!(code, 3, "{said}");
    contains(
        &said,
        &["expected a date and a time in UTC, without quotes"],
    );
}
