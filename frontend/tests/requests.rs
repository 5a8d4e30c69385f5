//! What a client may ask, octet by octet: which requests are answered, and what of them comes back. A real frontend, whose
//! signer is the test.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::time::{Duration, Instant};

use der::asn1::ObjectIdentifier;
use der::oid::db::rfc5912::{ECDSA_WITH_SHA_256, SHA_1_WITH_RSA_ENCRYPTION};
use der::oid::db::rfc6960::*;
use harness::*;
use ocsp_frontend_settings::{NoRecord, Nonce, NonceOverload};
use ocsp_wire::{HashAlgorithm, Parameters};
use x509_ocsp::CertStatus;

/// Nobody's extension.
const OTHER_EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");

/// A Request with singleRequestExtensions, whatever these are.
fn single(id: &[u8], extensions: &[u8]) -> Vec<u8> {
    tlv(0x30, &[id, extensions].concat())
}

/// An OCSPRequest of what its tbsRequest holds.
fn of_fields(fields: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &tlv(0x30, &fields.concat()))
}

/// A list of OBJECT IDENTIFIERs.
fn kinds(kinds: &[ObjectIdentifier]) -> Vec<u8> {
    let kinds: Vec<u8> = kinds
        .iter()
        .flat_map(|oid| tlv(6, oid.as_bytes()))
        .collect();
    tlv(0x30, &kinds)
}

/// PreferredSignatureAlgorithms.
fn preferred(algorithms: &[ObjectIdentifier]) -> Vec<u8> {
    let pair = |oid: &ObjectIdentifier| tlv(0x30, &tlv(0x30, &tlv(6, oid.as_bytes())));
    tlv(0x30, &algorithms.iter().flat_map(pair).collect::<Vec<_>>())
}

// ---- extensions ---------------------------------------------------------------------------------------------------

/// conformance 24: extensions that nobody knows and that are not critical are ignored, in both places, several at once.
#[test]
fn extensions_that_are_not_critical_are_ignored_in_both_places() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    let another = ObjectIdentifier::new_unwrap("1.2.3.5");
    let ignored = [
        extension(OTHER_EXTENSION, false, &[5, 0]),
        extension(another, false, b"no DER at all"),
        extension(ID_PKIX_OCSP_SERVICE_LOCATOR, false, &[0x30, 0]),
    ];
    let inner = tlv(0xa0, &tlv(0x30, &ignored.concat()));
    let list = tlv(0x30, &single(&id, &inner));
    let outer = tlv(0xa2, &tlv(0x30, &ignored.concat()));
    for der in [
        of_fields(&[&list, &outer]),
        of_fields(&[&list]),
        request(std::slice::from_ref(&id), &ignored),
    ] {
        assert!(is_good(&frontend.post(&der)));
    }
}

/// conformance 25: a critical extension that nobody knows is malformedRequest, in either place; in singleRequestExtensions
/// that is every critical one.
#[test]
fn critical_extensions_that_are_not_known_are_malformed_in_both_places() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    for (oid, value) in [
        (OTHER_EXTENSION, vec![5, 0]),
        (ID_PKIX_OCSP_SERVICE_LOCATOR, vec![0x30, 0]),
        (ID_PKIX_OCSP_NONCE, tlv(4, &[7; 16])),
        (ID_PKIX_OCSP_RESPONSE, kinds(&[ID_PKIX_OCSP_BASIC])),
    ] {
        let critical = extension(oid, true, &value);
        let inner = tlv(0xa0, &tlv(0x30, &critical));
        let der = of_fields(&[&tlv(0x30, &single(&id, &inner))]);
        assert_eq!(frontend.post(&der), MALFORMED, "{oid}");
        // The second of two certificates counts as the first does.
        let list = [tlv(0x30, &id), single(&id, &inner)].concat();
        assert_eq!(frontend.post(&of_fields(&[&tlv(0x30, &list)])), MALFORMED);
    }
    for oid in [OTHER_EXTENSION, ID_PKIX_OCSP_SERVICE_LOCATOR] {
        let critical = extension(oid, true, &[0x30, 0]);
        assert_eq!(
            frontend.post(&request(std::slice::from_ref(&id), &[critical])),
            MALFORMED
        );
    }
    assert_eq!(frontend.count(), 0);
}

/// conformance 33: AcceptableResponses without id-pkix-ocsp-basic is malformedRequest, since RFC 6960 section 4.4.3 has
/// clients name it; with it, and critical or not, the answer is as ever.
/// conformance 22: and that answer is an id-pkix-ocsp-basic.
#[test]
fn acceptable_responses_must_have_the_one_kind_there_is() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    let ask = |critical, value: &[u8]| {
        let extension = extension(ID_PKIX_OCSP_RESPONSE, critical, value);
        frontend.post(&request(std::slice::from_ref(&id), &[extension]))
    };
    let plain = frontend.post(&stage.authority.ask(GOOD).request());
    let basic = [&[6, 9][..], ID_PKIX_OCSP_BASIC.as_bytes()].concat();
    assert!(plain.windows(11).any(|octets| octets == basic));
    for critical in [false, true] {
        for accepted in [
            kinds(&[ID_PKIX_OCSP_BASIC]),
            kinds(&[OTHER_EXTENSION, ID_PKIX_OCSP_BASIC]),
        ] {
            assert_eq!(ask(critical, &accepted), plain);
        }
        for refused in [
            kinds(&[]),
            kinds(&[OTHER_EXTENSION]),
            Vec::new(),
            vec![5, 0],
            [kinds(&[ID_PKIX_OCSP_BASIC]), vec![0]].concat(),
            tlv(0x30, &[4, 1, 7]),
        ] {
            assert_eq!(ask(critical, &refused), MALFORMED, "{refused:02x?}");
        }
    }
}

/// conformance 34: PreferredSignatureAlgorithms is read as RFC 6960 section 4.4.7.1 has it, and recognised when critical;
/// what is none is malformedRequest.
/// conformance 20: a weak algorithm that a client prefers changes nothing.
#[test]
fn preferred_signature_algorithms_are_read_and_recognised_when_critical() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    let ask = |critical, value: &[u8]| {
        let extension = extension(ID_PKIX_OCSP_PREF_SIG_ALGS, critical, value);
        frontend.post(&request(std::slice::from_ref(&id), &[extension]))
    };
    // With the kind of key that it is about: a P-256 key, as an SMIMECapability.
    let key = [
        tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]),
        tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
    ];
    let algorithm = tlv(0x30, &tlv(6, ECDSA_WITH_SHA_256.as_bytes()));
    let pair = tlv(
        0x30,
        &[algorithm.clone(), tlv(0x30, &key.concat())].concat(),
    );
    let plain = frontend.post(&stage.authority.ask(GOOD).request());
    for critical in [false, true] {
        for accepted in [
            preferred(&[ECDSA_WITH_SHA_256]),
            preferred(&[SHA_1_WITH_RSA_ENCRYPTION, OTHER_EXTENSION]),
            preferred(&[]),
            preferred(&[OTHER_EXTENSION; 32]),
            tlv(0x30, &pair),
        ] {
            assert_eq!(ask(critical, &accepted), plain);
        }
        for refused in [
            Vec::new(),
            vec![5, 0],
            b"garbage".to_vec(),
            preferred(&[OTHER_EXTENSION; 33]),
            kinds(&[ECDSA_WITH_SHA_256]),
            tlv(0x30, &algorithm),
            [preferred(&[ECDSA_WITH_SHA_256]), vec![0]].concat(),
        ] {
            assert_eq!(ask(critical, &refused), MALFORMED, "{refused:02x?}");
        }
    }
}

/// conformance 42: no extension stands twice (RFC 5280 section 4.2), known or not, critical or not, in either place.
#[test]
fn an_extension_that_stands_twice_is_malformed() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    let basic = kinds(&[ID_PKIX_OCSP_BASIC]);
    for (oid, value) in [
        (OTHER_EXTENSION, vec![5, 0]),
        (ID_PKIX_OCSP_NONCE, tlv(4, &[7; 16])),
        (ID_PKIX_OCSP_RESPONSE, basic),
        (ID_PKIX_OCSP_PREF_SIG_ALGS, preferred(&[ECDSA_WITH_SHA_256])),
    ] {
        let one = extension(oid, false, &value);
        let between = extension(ObjectIdentifier::new_unwrap("1.2.3.9"), false, &[5, 0]);
        let twice = [one.clone(), between, one.clone()];
        assert_eq!(
            frontend.post(&request(std::slice::from_ref(&id), &twice)),
            MALFORMED,
            "{oid}"
        );
        let inner = |extensions: &[u8]| {
            let inner = tlv(0xa0, &tlv(0x30, extensions));
            frontend.post(&of_fields(&[&tlv(0x30, &single(&id, &inner))]))
        };
        assert_eq!(inner(&twice.concat()), MALFORMED, "{oid}");
        assert!(is_good(&inner(&one)), "{oid}");
    }
}

// ---- serials and hashes -------------------------------------------------------------------------------------------

/// conformance 32: a serial above 20 octets is of no certificate, without a look at the source; what is no DER stays
/// malformedRequest. From 22 octets on no answer can name it, so that the answer to the whole request is unauthorized,
/// whatever an issuer says of serials without record.
#[test]
fn a_serial_of_22_octets_and_more_is_unauthorized_whoever_stands_beside_it() {
    for unknown in [NoRecord::Unauthorized, NoRecord::Unknown, NoRecord::Revoked] {
        let mut stage = Stage::new();
        stage.settings.issuers[0].unknown = unknown;
        let frontend = stage.honest();
        let good = stage.authority.ask(GOOD).cert_id();
        for serial in [
            vec![0x7f; 22],
            vec![0x80; 22],
            [&[0][..], &[0xff; 21]].concat(),
            vec![1; 100],
            vec![1; 20_000],
        ] {
            let ask = stage.authority.ask(&serial);
            for der in [
                ask.request(),
                ask.with_nonce(&[1; 16]),
                request(&[good.clone(), ask.cert_id()], &[]),
                request(&[ask.cert_id(), good.clone()], &[nonce(&[1; 16])]),
            ] {
                assert_eq!(frontend.post(&der), UNAUTHORIZED, "{} octets", serial.len());
            }
            let empty = request(&[ask.cert_id(), stage.authority.ask(&[]).cert_id()], &[]);
            assert_eq!(frontend.post(&empty), MALFORMED);
        }
        for wrong in [
            vec![],
            vec![0, 1],
            vec![0xff, 0x80],
            [&[0, 1][..], &[1; 20]].concat(),
            [&[0xff, 0xff][..], &[1; 20]].concat(),
        ] {
            let der = stage.authority.ask(&wrong).request();
            assert_eq!(frontend.post(&der), MALFORMED, "{wrong:02x?}");
        }
        assert_eq!(frontend.count(), 0);
    }
}

/// conformance 14: the CertID comes back as it was sent, octet for octet: hash algorithm, the form of its parameters,
/// hashes, and serials of every shape, those that no certificate has among them.
/// conformance 32: a leading zero is kept.
#[test]
fn cert_ids_come_back_as_they_were_sent() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Unknown;
    let frontend = stage.honest();
    let highest = [&[0][..], &[0xff; 20]].concat();
    for serial in [
        &[0][..],
        &[0x80],
        &[0xff],
        &[0xff, 0x7f],
        &[0, 0x80],
        &[0x7f; 20],
        &[0x7f; 21],
        &[0x80; 21],
        &highest,
        GOOD,
    ] {
        for hash in [
            HashAlgorithm::Sha1,
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ] {
            for parameters in [Parameters::Null, Parameters::Absent] {
                let ask = stage.authority.ask_by(hash, parameters, serial);
                let id = ask.cert_id();
                let answer = frontend.post(&ask.request());
                let found = answer.windows(id.len()).any(|octets| octets == id);
                assert!(found, "{hash:?}, {parameters:?}, {serial:02x?}");
                let expected = if serial == GOOD {
                    CertStatus::good()
                } else {
                    CertStatus::unknown()
                };
                assert_eq!(told(&answer).status, expected);
            }
        }
    }
}

/// conformance 31: a CertID by a hash that we do not answer is unauthorized, not malformed: its syntax is right, with
/// parameters and whatever its length as well.
#[test]
fn hashes_that_are_not_answered_are_unauthorized() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let by = |oid: &str, parameters: &[u8], length: usize| {
        let oid = ObjectIdentifier::new_unwrap(oid);
        let algorithm = tlv(0x30, &[&tlv(6, oid.as_bytes()), parameters].concat());
        let hash = tlv(4, &vec![7; length]);
        tlv(
            0x30,
            &[algorithm, hash.clone(), hash, tlv(2, GOOD)].concat(),
        )
    };
    let shake = "2.16.840.1.101.3.4.2.12";
    for (id, echoed) in [
        (by("1.2.840.113549.2.5", &[5, 0], 16), true), // MD5
        (by("2.16.840.1.101.3.4.2.4", &[], 28), true), // SHA-224
        (by("2.16.840.1.101.3.4.2.8", &[5, 0], 32), true), // SHA3-256
        (by(shake, &[], 64), true),                    // SHAKE256
        (by(shake, &[], 65), false),                   // with more output
        (by("2.16.840.1.101.3.4.2.18", &[2, 2, 2, 0], 64), false), // with its length as parameter
    ] {
        assert_eq!(
            frontend.post(&request(std::slice::from_ref(&id), &[])),
            UNAUTHORIZED
        );
        // Beside one of ours it is unknown, if an answer can name it.
        let ours = stage.authority.ask(GOOD).cert_id();
        let answer = frontend.post(&request(&[ours, id.clone()], &[]));
        if echoed {
            assert_eq!(all_told(&answer)[1].status, CertStatus::unknown());
            assert!(answer.windows(id.len()).any(|octets| octets == id));
        } else {
            assert_eq!(answer, UNAUTHORIZED);
        }
    }
    // Hash functions that we know have no parameters.
    let odd = by("1.3.14.3.2.26", &[0x30, 0], 20);
    assert_eq!(frontend.post(&request(&[odd], &[])), MALFORMED);
}

// ---- nonces -------------------------------------------------------------------------------------------------------

/// conformance 36: a nonce is an OCTET STRING within the extension's own; of 32 octets the whole extension is `30 2f 06 09
/// 2b 06 01 05 05 07 30 01 02 04 22 04 20` and the nonce, in the answer as in the request.
/// conformance 39: it comes back octet for octet, in responseExtensions and not among those of a certificate.
#[test]
fn the_nonce_extension_has_the_octets_of_rfc_9654() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let octets: Vec<u8> = (0xd0..0xf0).collect();
    let head = [
        0x30, 0x2f, 0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02, 0x04, 0x22,
        0x04, 0x20,
    ];
    let whole = [&head[..], &octets].concat();
    assert_eq!(whole.len(), 49);
    let id = stage.authority.ask(GOOD).cert_id();
    let der = request(&[id], std::slice::from_ref(&whole));
    assert_eq!(
        &der[der.len() - 53..der.len() - 49],
        [0xa2, 0x33, 0x30, 0x31]
    );
    let answer = frontend.post(&der);
    let expected = [&[0xa1, 0x33, 0x30, 0x31][..], &whole].concat();
    let places = answer.windows(53).filter(|octets| *octets == expected);
    assert_eq!(
        places.count(),
        1,
        "[1] responseExtensions, with nothing but it"
    );
    let again = answer.windows(49).filter(|octets| *octets == whole);
    assert_eq!(again.count(), 1);
    assert_eq!(told(&answer).nonce, Some(octets));
}

/// conformance 36: a nonce is echoed not critical, though the request has it critical.
#[test]
fn a_critical_nonce_is_echoed_and_is_not_critical() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let id = stage.authority.ask(GOOD).cert_id();
    let critical = extension(ID_PKIX_OCSP_NONCE, true, &tlv(4, &[7; 16]));
    let answer = frontend.post(&request(&[id], &[critical]));
    let plain = nonce(&[7; 16]);
    assert!(answer.windows(plain.len()).any(|octets| octets == plain));
}

/// conformance 39: a nonce in singleRequestExtensions is none, and what is asked with it is answered from the cache.
/// conformance 40: no nonce in an answer to a request without one.
#[test]
fn a_nonce_of_a_single_certificate_is_ignored() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let ask = stage.authority.ask(GOOD);
    let plain = frontend.post(&ask.request());
    assert_eq!(told(&plain).nonce, None);
    for octets in [&[7; 16][..], &[], &[7; 129]] {
        let inner = tlv(0xa0, &tlv(0x30, &nonce(octets)));
        let der = of_fields(&[&tlv(0x30, &single(&ask.cert_id(), &inner))]);
        assert_eq!(frontend.post(&der), plain);
    }
    assert_eq!(frontend.count(), 1);
}

/// conformance 40: an issuer without nonces answers without the extension, the same octets to all, and does not fail. What
/// is no nonce stays malformed.
#[test]
fn an_issuer_may_ignore_nonces() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].nonce = Nonce::Ignore;
    let frontend = stage.honest();
    let ask = stage.authority.ask(GOOD);
    let plain = frontend.client().get(&ask.request());
    for octets in [&[1; 16][..], &[2; 32], &[3; 128]] {
        let response = frontend.client().get(&ask.with_nonce(octets));
        assert_eq!(response.body, plain.body);
        let control = response.header("cache-control").unwrap();
        assert!(control.contains("public"), "{control}");
    }
    assert_eq!(told(&plain.body).nonce, None);
    assert_eq!(frontend.count(), 1);
    assert_eq!(frontend.post(&ask.with_nonce(&[])), MALFORMED);
    // Of several certificates as well.
    let ids = [ask.cert_id(), stage.authority.ask(REVOKED).cert_id()];
    let both = frontend.post(&request(&ids, &[nonce(&[1; 16])]));
    assert!(all_told(&both).iter().all(|told| told.nonce.is_none()));
}

/// conformance 82: what is unknown is not authoritative and not stored, with a nonce as without one.
/// conformance 41: nor is anything with a nonce ever public.
#[test]
fn what_is_unknown_and_has_a_nonce_is_not_stored() {
    for unknown in [NoRecord::Unknown, NoRecord::Revoked] {
        let mut stage = Stage::new();
        stage.settings.issuers[0].unknown = unknown;
        let frontend = stage.honest();
        let mut client = frontend.client();
        let der = stage.authority.ask(NOBODY).with_nonce(&[1; 16]);
        for response in [client.get(&der), client.post(&der)] {
            assert_eq!(told(&response.body).nonce, Some(vec![1; 16]));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            assert_eq!(response.header("etag"), None);
            assert_eq!(response.header("expires"), None);
        }
    }
}

/// More requests with a nonce than the signer takes and lets wait, to a signer that answers none.
fn overloaded(stage: &Stage, frontend: &Frontend) -> Vec<Client<std::net::TcpStream>> {
    let before = frontend.count();
    let der = post(&stage.authority.ask(OTHER).with_nonce(&[1; 16]));
    let mut clients: Vec<_> = (0..600).map(|_| frontend.client()).collect();
    for client in &mut clients {
        client.send(&der);
    }
    frontend.asked(before + 255);
    clients
}

/// A signer that has more to do than it can costs a tryLater at once, not after the patience that one has with it, and not a
/// look at the source more. What needs no signature goes on.
/// conformance 4: tryLater is the word for it.
/// conformance 87: HTTP 200, `no-store` and Retry-After.
#[test]
fn a_signer_with_too_much_to_do_is_try_later_at_once() {
    let stage = Stage::new();
    let frontend = stage.mute();
    let cached = stage.authority.ask(GOOD);
    let mut client = frontend.client();
    client.send(&post(&cached.request()));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(0)));
    let first = client.response().body;
    let _waiting = overloaded(&stage, &frontend);
    frontend.logs("the signer has too much to do");
    let began = Instant::now();
    let response = client.post(&cached.with_nonce(&[9; 16]));
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    assert_eq!((response.status, &*response.body), (200, TRY_LATER));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("retry-after").is_some());
    assert_eq!(client.post(&cached.request()).body, first);
}

/// `nonce-overload = "cached"`: the same request is given the answer without nonce then, and where the signer is gone.
#[test]
fn a_signer_with_too_much_to_do_may_cost_the_nonce_only() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].nonce_overload = NonceOverload::Cached;
    let frontend = stage.mute();
    let cached = stage.authority.ask(GOOD);
    let mut client = frontend.client();
    client.send(&post(&cached.request()));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(0)));
    let first = client.response().body;
    // As long as there are places, a nonce is echoed.
    client.send(&post(&cached.with_nonce(&[9; 16])));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(1)));
    assert_eq!(told(&client.response().body).nonce, Some(vec![9; 16]));
    let _waiting = overloaded(&stage, &frontend);
    // Those that stand in line are not seen from here: until it is full, who asks joins it.
    let mut joined = Vec::new();
    let response = loop {
        let mut client = frontend.client();
        client.send(&get("GET", &cached.with_nonce(&[9; 16])));
        if !client.is_quiet(500) {
            break client.response();
        }
        joined.push(client);
        assert!(joined.len() < 8, "it is never full");
    };
    assert_eq!(response.body, first);
    assert!(response.header("cache-control").unwrap().contains("public"));
    // Several certificates are never kept.
    let ids = [cached.cert_id(), stage.authority.ask(OTHER).cert_id()];
    let several = request(&ids, &[nonce(&[9; 16])]);
    assert_eq!(client.post(&several).body, TRY_LATER);
    frontend.end_boundary();
    frontend.logs("the signer is gone");
    assert_eq!(client.post(&cached.with_nonce(&[9; 16])).body, first);
    let not_kept = stage.authority.ask(REVOKED).with_nonce(&[9; 16]);
    assert_eq!(client.post(&not_kept).body, TRY_LATER);
}

// ---- several certificates -----------------------------------------------------------------------------------------

/// What is said of several certificates may be kept by caches on the way like any other answer (RFC 9919 section 6), but is
/// not kept here: each such request costs a signature.
/// conformance 27: several certificates in one request are answered. conformance 79: Cache-Control of an answer to GET.
#[test]
fn an_answer_about_several_certificates_is_public_and_signed_anew() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let several = [GOOD, REVOKED].map(|serial| stage.authority.ask(serial).cert_id());
    let several = request(&several, &[]);
    let mut client = frontend.client();
    for signatures in [1, 2] {
        let response = client.get(&several);
        assert_eq!(all_told(&response.body).len(), 2);
        let cache_control = response.header("cache-control").unwrap();
        let (age, directives) = cache_control.split_once(',').unwrap();
        assert_eq!(directives, " public, no-transform, must-revalidate");
        let age: u64 = age.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!(age > 0, "{cache_control}");
        assert_eq!(frontend.count(), signatures);
    }
    // By POST nothing is said to caches.
    assert_eq!(client.post(&several).header("cache-control"), None);
    assert_eq!(frontend.count(), 3);
}

/// Since each costs a signature, it is refused like a request with a nonce while the signer has too much to do.
#[test]
fn several_certificates_are_try_later_at_once_while_the_signer_has_too_much_to_do() {
    for overload in [NonceOverload::TryLater, NonceOverload::Cached] {
        let mut stage = Stage::new();
        stage.settings.issuers[0].nonce_overload = overload;
        let frontend = stage.mute();
        let _waiting = overloaded(&stage, &frontend);
        let several = [GOOD, OTHER].map(|serial| stage.authority.ask(serial).cert_id());
        let several = request(&several, &[]);
        // Until the line is full, who asks joins it.
        let mut joined = Vec::new();
        let response = loop {
            let mut client = frontend.client();
            client.send(&post(&several));
            if !client.is_quiet(500) {
                break client.response();
            }
            joined.push(client);
            assert!(joined.len() < 8, "it is never full");
        };
        assert_eq!((response.status, &*response.body), (200, TRY_LATER));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(response.header("retry-after").is_some());
        frontend.logs("tryLater is answered to requests with a nonce, or for several certificates");
    }
}

// ---- what is counted ----------------------------------------------------------------------------------------------

/// Each request is counted once by the hash of its first CertID, whether it is read or recalled, by which method it comes, and
/// whatever is answered; what has no such hash is not counted.
/// conformance 30: by which hash clients ask is shown.
#[test]
fn requests_are_counted_by_the_hash_of_their_first_cert_id() {
    let stage = Stage::watched();
    let frontend = stage.honest();
    let mut client = frontend.client();
    let hashes = [
        (HashAlgorithm::Sha1, "sha1"),
        (HashAlgorithm::Sha256, "sha256"),
        (HashAlgorithm::Sha384, "sha384"),
        (HashAlgorithm::Sha512, "sha512"),
    ];
    let counts = || {
        hashes.map(|(_, name)| {
            frontend.metric(&format!("ocsp_cert_id_hash_total{{hash=\"{name}\"}}"))
        })
    };
    assert_eq!(counts(), [0; 4]);
    let ask = |hash, serial| stage.authority.ask_by(hash, Parameters::Absent, serial);
    for (times, (hash, _)) in (1..).zip(hashes) {
        for _ in 0..times {
            let answered = ask(hash, GOOD);
            client.post(&answered.request());
            client.get(&answered.request());
            client.post(&answered.with_nonce(&[1; 16]));
            client.post(&ask(hash, NOBODY).request());
        }
    }
    assert_eq!(counts(), [4, 8, 12, 16]);
    // Of several, the first.
    let [sha1, sha256] = [HashAlgorithm::Sha1, HashAlgorithm::Sha256].map(|hash| ask(hash, GOOD));
    client.post(&request(&[sha256.cert_id(), sha1.cert_id()], &[]));
    assert_eq!(counts(), [4, 9, 12, 16]);
    // Not even a request.
    client.post(b"0");
    assert_eq!(counts(), [4, 9, 12, 16]);
}

// ---- errors -------------------------------------------------------------------------------------------------------

/// conformance 2: an error is five octets: no responseBytes, no signature.
/// conformance 3: 4 is never sent: there is no such error.
#[test]
fn errors_are_five_octets_and_4_is_none() {
    use ocsp_frontend::response::OcspError::*;
    for (error, octet) in [
        (MalformedRequest, 1),
        (InternalError, 2),
        (TryLater, 3),
        (SigRequired, 5),
        (Unauthorized, 6),
    ] {
        assert_eq!(&*error.der(), [0x30, 3, 0x0a, 1, octet]);
        // Exhaustive: a new error has to be written here as well.
        assert!(match error {
            MalformedRequest | InternalError | TryLater | SigRequired | Unauthorized => octet != 4,
        });
    }
}

// ---- sloppy and strict DER ----------------------------------------------------------------------------------------

/// conformance 23: what is no DER, or has something behind it, is malformedRequest; always. What encoders of real clients
/// write though DER leaves it out, and what can be read in one way only, is answered.
/// conformance 28: a signature and a requestorName are passed over where nobody wants them.
#[test]
fn sloppy_der_is_answered_where_it_can_be_read_in_one_way_only() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let ask = stage.authority.ask(GOOD);
    let (id, nonce) = (ask.cert_id(), nonce(&[7; 16]));
    let list = tlv(0x30, &tlv(0x30, &id));
    let version = [0xa0, 3, 2, 1, 0];
    let name = tlv(0xa1, &[0xa4, 2, 0x30, 0]);
    let extensions = |content: &[u8]| tlv(0xa2, content);
    let critical = |boolean: &[u8]| {
        let oid = tlv(6, OTHER_EXTENSION.as_bytes());
        let extension = tlv(0x30, &[&oid, boolean, &tlv(4, &[5, 0])].concat());
        of_fields(&[&list, &extensions(&tlv(0x30, &extension))])
    };
    let signed = |signature: &[u8]| tlv(0x30, &[&tlv(0x30, &list), signature].concat());
    let with_list = |content: &[u8]| of_fields(&[&tlv(0x30, content)]);
    let long_id = [&[0x30, 0x81, id[1]], &id[2..]].concat();
    let answered: [(&str, Vec<u8>); 10] = [
        ("as it stands", of_fields(&[&list])),
        ("version v1 spelled out", of_fields(&[&version, &list])),
        ("a requestorName", of_fields(&[&name, &list])),
        ("both", of_fields(&[&version, &name, &list])),
        ("critical FALSE spelled out", critical(&[1, 1, 0])),
        (
            "no extensions in their list",
            of_fields(&[&list, &extensions(&[0x30, 0])]),
        ),
        (
            "likewise of a certificate",
            with_list(&single(&id, &[0xa0, 2, 0x30, 0])),
        ),
        ("an empty signature", signed(&[0xa0, 0])),
        ("a signature that is none", signed(&[0xa0, 2, 5, 0])),
        ("a SEQUENCE as signature", signed(&[0xa0, 2, 0x30, 0])),
    ];
    for (case, der) in answered {
        assert!(is_good(&frontend.post(&der)), "{case}");
    }
    let refused: [(&str, Vec<u8>); 18] = [
        ("version v2", of_fields(&[&[0xa0, 3, 2, 1, 1], &list])),
        (
            "a version of two octets",
            of_fields(&[&[0xa0, 4, 2, 2, 0, 0], &list]),
        ),
        ("an empty version", of_fields(&[&[0xa0, 0], &list])),
        ("two versions", of_fields(&[&version, &version, &list])),
        ("critical TRUE as 01", critical(&[1, 1, 1])),
        ("a BOOLEAN of two octets", critical(&[1, 2, 0xff, 0xff])),
        ("an empty BOOLEAN", critical(&[1, 0])),
        (
            "requestExtensions without a list",
            of_fields(&[&list, &extensions(&[])]),
        ),
        (
            "two lists of extensions",
            of_fields(&[&list, &extensions(&[0x30, 0, 0x30, 0])]),
        ),
        (
            "requestExtensions twice",
            of_fields(&[&list, &extensions(&[0x30, 0]), &extensions(&[0x30, 0])]),
        ),
        (
            "a list of a certificate missing",
            with_list(&single(&id, &[0xa0, 0])),
        ),
        (
            "what follows it",
            with_list(&single(&id, &[0xa0, 2, 0x30, 0, 5, 0])),
        ),
        (
            "extensions before the list",
            of_fields(&[&extensions(&tlv(0x30, &nonce)), &list]),
        ),
        ("two lists of certificates", of_fields(&[&list, &list])),
        ("two signatures", signed(&[0xa0, 0, 0xa0, 0])),
        ("something behind the signature", signed(&[0xa0, 0, 5, 0])),
        (
            "a length in long form within",
            with_list(&tlv(0x30, &long_id)),
        ),
        (
            "an indefinite length within",
            with_list(&tlv(0x30, &[&[0x30, 0x80], &id[2..], &[0, 0]].concat())),
        ),
    ];
    for (case, der) in refused {
        assert_eq!(frontend.post(&der), MALFORMED, "{case}");
    }
    assert_eq!(frontend.count(), 1, "all the same, from the cache");
}
