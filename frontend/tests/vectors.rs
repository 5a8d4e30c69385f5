//! conformance 90: the worked example of RFC 9919 (`tests/vectors/rfc9919`), read by a real frontend process and by the
//! frontend's own code. Its signature is verified by OpenSSL as it stands; its times are those of no answer of ours.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::collections::BTreeSet;

use der::{Decode, Encode};
use harness::*;
use ocsp_frontend::issuer::Issuers;
use ocsp_frontend::{request, response};
use ocsp_frontend_settings as settings;
use ocsp_wire::*;
use openssl::x509::X509;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, ResponderId};

const CA: &[u8] = include_bytes!("../../tests/vectors/rfc9919/ca.der");
const CERTIFICATE: &[u8] = include_bytes!("../../tests/vectors/rfc9919/certificate.der");
const RESPONDER: &[u8] = include_bytes!("../../tests/vectors/rfc9919/responder.der");
const REQUEST: &[u8] = include_bytes!("../../tests/vectors/rfc9919/request.der");
const RESPONSE: &[u8] = include_bytes!("../../tests/vectors/rfc9919/response.der");
const SERIAL: &[u8] = &[0x01, 0xaa, 0xf0, 0x0d];

/// One whose issuer is the example's, with the example's responder.
fn of_the_example() -> Stage {
    let mut stage = Stage::new();
    let issuer = &mut stage.settings.issuers[0];
    issuer.certificate = stage.folder.file("example.der", CA);
    issuer.keys[0].responder = Some(stage.folder.file("responder.der", RESPONDER));
    stage.index(&[SERIAL], &[]);
    stage
}

/// What the signer is asked by whoever asks the example's question.
fn question() -> Item {
    Item::Ours(Ours {
        hash: HashAlgorithm::Sha256,
        parameters: Parameters::Null,
        serial: Octets::new(SERIAL).unwrap(),
        status: Status::Good,
        evidence: Evidence::None,
    })
}

#[test]
fn the_request_of_rfc_9919_names_its_ca() {
    let question = request::parse(REQUEST).unwrap();
    assert_eq!(question.nonce, None);
    let [id] = question.items.as_slice() else {
        panic!("one certificate was expected: {question:?}");
    };
    let stage = of_the_example();
    let issuers = Issuers::open(&stage.settings.issuers, settings::Verify::Always);
    let issuers = issuers.unwrap_or_else(|faults| panic!("{faults:?}"));
    let (place, issuer) = issuers.find(id).expect("it names somebody else");
    assert_eq!((place, issuer.name.as_str()), (0, "ca"));
    assert_eq!(*id.serial, *SERIAL);
    let certificate = x509_cert::Certificate::from_der(CERTIFICATE).unwrap();
    assert_eq!(certificate.tbs_certificate.serial_number.as_bytes(), SERIAL);
    // A client of ours asks in these octets.
    let ask = Ask {
        hash: HashAlgorithm::Sha256,
        parameters: Parameters::Null,
        name_hash: id.name_hash.to_vec(),
        key_hash: id.key_hash.to_vec(),
        serial: SERIAL.to_vec(),
    };
    assert_eq!(ask.request(), REQUEST);
}

#[test]
fn the_answer_of_rfc_9919_has_our_shape_and_times_that_no_answer_of_ours_has() {
    let whole = OcspResponse::from_der(RESPONSE).unwrap();
    assert_eq!(whole.to_der().unwrap(), RESPONSE);
    let basic = whole.response_bytes.unwrap();
    let basic = BasicOcspResponse::from_der(basic.response.as_bytes()).unwrap();
    let data = &basic.tbs_response_data;
    let told = told(RESPONSE);
    assert_eq!((told.status, &*told.serial), (CertStatus::good(), SERIAL));
    assert_eq!(told.next_update - told.this_update, 7 * 86_400);
    let produced_at = data.produced_at.0.to_unix_duration().as_secs();
    assert_eq!(told.this_update, produced_at + 86_400, "not a day too late");
    // The CertID is that of the request, octet by octet, and who signs is named by its key.
    let id = data.responses[0].cert_id.to_der().unwrap();
    assert!(REQUEST.windows(id.len()).any(|octets| octets == id));
    let certificates = basic.certs.as_ref().unwrap();
    assert_eq!(certificates[0].to_der().unwrap(), RESPONDER);
    let responder = X509::from_der(RESPONDER).unwrap();
    let key = certificates[0]
        .tbs_certificate
        .subject_public_key_info
        .subject_public_key
        .raw_bytes();
    let ResponderId::ByKey(named) = &data.responder_id else {
        panic!("a key hash was expected: {:?}", data.responder_id);
    };
    assert_eq!(named.as_bytes(), openssl::sha::sha1(key));
    let (ca, key) = (X509::from_der(CA).unwrap(), responder.public_key().unwrap());
    assert!(responder.verify(&ca.public_key().unwrap()).unwrap());
    let digest = openssl::hash::MessageDigest::sha384();
    let mut verifier = openssl::sign::Verifier::new(digest, &key).unwrap();
    let signature = basic.signature.raw_bytes();
    assert!(
        verifier
            .verify_oneshot(signature, &data.to_der().unwrap())
            .unwrap()
    );

    // Everything is as the frontend wants it, up to its times; of another serial it would have said that.
    let stage = of_the_example();
    let issuers = Issuers::open(&stage.settings.issuers, settings::Verify::Always);
    let issuers = issuers.unwrap_or_else(|faults| panic!("{faults:?}"));
    let check = |item: Item| {
        let asked = SignRequest {
            id: 1,
            issuer: 0,
            key: 0,
            nonce: None,
            items: List::new([item]).unwrap(),
        };
        response::check(RESPONSE, &asked, issuers.at(0).unwrap())
    };
    assert_eq!(check(question()), Err("time"));
    let Item::Ours(mut other) = question() else {
        panic!("it is ours");
    };
    other.serial = Octets::new([1]).unwrap();
    assert_eq!(check(Item::Ours(other)), Err("certificate"));
}

#[test]
fn the_request_of_rfc_9919_is_ours_and_its_responder_signs_no_more() {
    let stage = of_the_example();
    let frontend = stage.honest();
    let mut client = frontend.client();
    // Were it somebody else's, it would be unauthorized.
    for response in [client.post(REQUEST), client.get(REQUEST)] {
        assert_eq!((response.status, &*response.body), (200, INTERNAL_ERROR));
    }
    frontend.logs("issuer \"ca\": no certificate is valid now");
    assert_eq!(frontend.count(), 0);
}

/// The example of section 7.2, asked a day after thisUpdate and a day before nextUpdate.
const EXAMPLE: &str = "Content-Type: application/ocsp-response
Content-Length: 1000
Date: Mon, 20 Mar 2023 01:00:00 GMT
Last-Modified: Sun, 19 Mar 2023 01:00:00 GMT
ETag: \"97df3588b5a3f24babc3851b372f0ba71a9dcdded43b14b9d06961bfc1707d9d\"
Expires: Tue, 21 Mar 2023 01:00:00 GMT
Cache-Control: max-age=86000,public,no-transform,must-revalidate";

#[test]
fn the_header_of_rfc_9919_is_ours() {
    let mut stage = Stage::new();
    stage.settings.max_age = 86_000;
    let authority = std::sync::Arc::clone(&stage.authority);
    let frontend =
        stage.start(move |asked| authority.answers_at(asked, When::around(86_400, 86_400)));
    let got = frontend.client().get(&stage.authority.ask(GOOD).request());
    let example: Vec<_> = EXAMPLE
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let names: BTreeSet<_> = example
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    assert_eq!(got.names(), names.into_iter().collect::<Vec<_>>());
    let directives = |value: &str| -> BTreeSet<String> {
        let words = value.split(',').map(str::trim);
        words
            .map(|word| word.split('=').next().unwrap().to_owned())
            .collect()
    };
    for (name, value) in example {
        let ours = got.header(name).unwrap();
        match name {
            "Cache-Control" => {
                assert_eq!(directives(ours), directives(value));
                // The example's is 400 s short of nextUpdate; ours ends before the answer is renewed, 8 h before it.
                let age: u64 = ours["max-age=".len()..]
                    .split(',')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                assert!((57_000..=57_600).contains(&age), "{ours}");
            }
            "Date" | "Last-Modified" | "Expires" => {
                for date in [ours, value] {
                    let read = httpdate::parse_http_date(date).unwrap();
                    assert_eq!(httpdate::fmt_http_date(read), date);
                }
            }
            "ETag" => {
                assert_eq!(ours.len(), value.len());
                let digits = ours.trim_matches('"').bytes();
                assert!(
                    digits.clone().count() == 64
                        && digits.clone().all(|digit| digit.is_ascii_hexdigit())
                );
            }
            "Content-Type" => assert_eq!(ours, value),
            _ => assert_eq!(ours, got.body.len().to_string()),
        }
    }
}
