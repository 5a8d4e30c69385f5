//! What a real signer process signs, read by somebody else's program: the `openssl` command verifies every answer.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use der::asn1::GeneralizedTime;
use der::{Decode, Encode};
use harness::*;
use ocsp_wire::*;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use x509_ocsp::{BasicOcspResponse, OcspResponse};

const SERIAL: [u8; 2] = [0x12, 0x34];

/// An authority with its certificates and a signer that serves it.
struct Scene {
    folder: Folder,
    certificate: Vec<u8>,
    signer: Signer,
}

impl Scene {
    fn new(key: PKey<Private>) -> Self {
        Self::with(key, |issuer| issuer)
    }

    fn with(key: PKey<Private>, change: impl FnOnce(IssuerSettings) -> IssuerSettings) -> Self {
        let (folder, authority) = (Folder::new(), Authority::with_key("Example CA", key));
        let certificate = authority.issue(&SERIAL);
        folder.file("person.der", &certificate);
        let issuer = change(issuer(&folder, "ca", &authority));
        Self {
            signer: Signer::serving(settings_for(vec![issuer])),
            folder,
            certificate,
        }
    }

    /// An authority that has its answers signed by this key.
    fn delegated(key: &PKey<Private>, digest: Digest, padding: Padding) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new("Example CA"));
        let certificate = authority.issue(&SERIAL);
        folder.file("person.der", &certificate);
        let responder = authority.responder(key, Purpose::Responder, (-3600, 86_400));
        let mut issuer = issuer(&folder, "ca", &authority);
        issuer.keys = List::new([KeySettings {
            key: in_file(&folder.key("responder.key", key)),
            passphrase: None,
            responder: Some(text(&folder.certificate("responder.crt", &responder))),
            digest,
            padding,
        }])
        .unwrap();
        Self {
            signer: Signer::serving(settings_for(vec![issuer])),
            folder,
            certificate,
        }
    }

    fn good(&self) -> SignRequest {
        question(vec![good(&SERIAL, &self.certificate)])
    }

    /// Asks, has `openssl` verify the answer, and gives back what it said, and the answer's content.
    fn verified(&mut self, question: SignRequest) -> (String, BasicOcspResponse) {
        // OpenSSL from 3.0.22 on takes no answer about several issuers from one of them: there, only the signature and who
        // signed are checked.
        let several = question
            .items
            .iter()
            .any(|item| matches!(item, Item::Foreign(_)));
        let response = self.signer.signs(question);
        let file = self.folder.file("response.der", &response);
        let (authority, person) = (self.folder.path("ca.crt"), self.folder.path("person.der"));
        let (verified, said) = openssl(&[
            "ocsp",
            if several {
                "-no_cert_checks"
            } else {
                "-no_nonce"
            },
            "-respin",
            &file,
            "-no_nonce",
            "-CAfile",
            &authority,
            "-issuer",
            &authority,
            "-cert",
            &person,
            "-resp_text",
        ]);
        assert!(verified && said.contains("Response verify OK"), "{said}");
        (said, content(&response))
    }

    /// Likewise; the line that says what `person.der` is.
    fn status(&mut self, question: SignRequest) -> String {
        let (said, _) = self.verified(question);
        let person = self.folder.path("person.der");
        let line = said.lines().find_map(|line| line.strip_prefix(&person));
        line.unwrap().trim_start_matches(": ").to_owned()
    }
}

fn content(response: &[u8]) -> BasicOcspResponse {
    let response = OcspResponse::from_der(response).unwrap();
    let octets = response.response_bytes.unwrap().response;
    let basic = BasicOcspResponse::from_der(octets.as_bytes()).unwrap();
    assert_eq!(basic.to_der().unwrap(), octets.as_bytes(), "is no DER");
    basic
}

/// thisUpdate, producedAt and nextUpdate of an answer's first certificate.
fn times(basic: &BasicOcspResponse) -> (u64, u64, u64) {
    let data = &basic.tbs_response_data;
    let first = &data.responses[0];
    let seconds = |time: &x509_ocsp::OcspGeneralizedTime| time.0.to_unix_duration().as_secs();
    (
        seconds(&first.this_update),
        seconds(&data.produced_at),
        seconds(first.next_update.as_ref().unwrap()),
    )
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

fn seconds_now() -> u64 {
    now().unsigned_abs()
}

/// conformance 5, 13, 49: the signature verifies, each status has its encoding, and *unspecified* is said by absence.
#[test]
fn openssl_verifies_good_unknown_and_revoked_for_every_reason() {
    let mut scene = Scene::new(p256());
    assert_eq!(scene.status(scene.good()), "good");
    assert_eq!(scene.status(question(vec![unknown(&SERIAL)])), "unknown");
    let time = 1_700_000_000;
    for (reason, number) in [
        (Some(Reason::CertificateHold), 6),
        (Some(Reason::KeyCompromise), 1),
        (Some(Reason::CaCompromise), 2),
        (Some(Reason::AffiliationChanged), 3),
        (Some(Reason::Superseded), 4),
        (Some(Reason::CessationOfOperation), 5),
        (Some(Reason::PrivilegeWithdrawn), 9),
        (Some(Reason::AaCompromise), 10),
        (None, 0),
    ] {
        let (said, _) = scene.verified(question(vec![revoked(&SERIAL, time, reason)]));
        assert!(said.contains(": revoked\n"), "{said}");
        assert!(
            said.contains("Revocation Time: Nov 14 22:13:20 2023 GMT"),
            "{said}"
        );
        // RFC 5280 section 5.3.1 has the numbers; OpenSSL's names for them differ from version to version.
        let line = said
            .lines()
            .find(|line| line.contains("Revocation Reason: "));
        assert_eq!(line.is_some(), reason.is_some(), "{said}");
        assert!(
            line.is_none_or(|line| line.ends_with(&format!("({number:#x})"))),
            "{number}: {said}"
        );
    }
}

/// conformance 56: revocationTime is not after producedAt.
#[test]
fn a_revocation_in_the_future_is_signed_as_now() {
    let mut scene = Scene::new(p256());
    let end_of_time = 253_402_300_799;
    let (_, basic) = scene.verified(question(vec![revoked(&SERIAL, end_of_time, None)]));
    let x509_ocsp::CertStatus::Revoked(info) = &basic.tbs_response_data.responses[0].cert_status
    else {
        panic!("{basic:?}");
    };
    let (_, produced_at, _) = times(&basic);
    let time = info.revocation_time.0.to_unix_duration().as_secs();
    assert_eq!(time, produced_at);
}

/// conformance 45: *assigned* includes precertificates (RFC 6962 section 3.1: a critical poison), so one proves *good*.
#[test]
fn a_precertificate_proves_good() {
    let (folder, authority) = (Folder::new(), Authority::new("Example CA"));
    let issued = openssl::x509::X509::from_der(&authority.issue(&SERIAL)).unwrap();
    let poisoned = changed(&issued, &authority.key, |certificate| {
        let poison = Some((true, &[5, 0][..]));
        set_extension(certificate, "1.3.6.1.4.1.11129.2.4.3", poison);
    });
    let certificate = poisoned.to_der().unwrap();
    folder.file("person.der", &certificate);
    let mut scene = Scene {
        signer: Signer::serving(settings(&folder, &authority)),
        folder,
        certificate,
    };
    assert_eq!(scene.status(scene.good()), "good");
}

/// conformance 47, 50: no SingleResponse has extensions: no CrlID, and no reasonCode, whatever the status. conformance 48:
/// extended-revoke stands in responseExtensions alone. conformance 49: no reason is encoded by absence, not as 0. conformance
/// 13: good is `80 00`, unknown `82 00`, revoked `A1` with the time and `A0 03 0A 01` before the reason. conformance 16:
/// each time is GeneralizedTime of 15 octets. conformance 15: nextUpdate is there, in a tag of its own.
#[test]
fn a_single_response_has_its_status_its_times_and_nothing_else() {
    let mut scene = Scene::with(p256(), |issuer| IssuerSettings {
        never_issued: true,
        ..issuer
    });
    let time = b"\x18\x0f20231114221320Z";
    let revoked_for = |reason: &[u8]| {
        let length = u8::try_from(time.len() + reason.len()).unwrap();
        [&[0xa1, length], &time[..], reason].concat()
    };
    let never = b"\xa1\x16\x18\x0f19700101000000Z\xa0\x03\x0a\x01\x06".to_vec();
    let (at, superseded) = (1_700_000_000, Some(Reason::Superseded));
    for (asked, status) in [
        (scene.good(), vec![0x80, 0]),
        (question(vec![unknown(&SERIAL)]), vec![0x82, 0]),
        (
            question(vec![ours(&SERIAL, Status::NeverIssued, Evidence::None)]),
            never,
        ),
        (
            question(vec![revoked(&SERIAL, at, superseded)]),
            revoked_for(&[0xa0, 3, 0x0a, 1, 4]),
        ),
        (question(vec![revoked(&[5], at, None)]), revoked_for(&[])),
    ] {
        let basic = content(&scene.signer.signs(asked));
        let single = &basic.tbs_response_data.responses[0];
        assert_eq!(single.single_extensions, None);
        let id = single.cert_id.to_der().unwrap();
        let (this_update, next_update) = (single.this_update, single.next_update.unwrap());
        let (this_update, next_update) =
            (this_update.to_der().unwrap(), next_update.to_der().unwrap());
        for time in [&this_update, &next_update] {
            assert!(
                time.starts_with(&[0x18, 15]) && time.ends_with(b"Z"),
                "{time:02x?}"
            );
        }
        let expected = [&id, &status, &this_update, &[0xa0, 17][..], &next_update].concat();
        let whole = single.to_der().unwrap();
        assert!(
            whole.ends_with(&expected)
                && whole.len() == expected.len() + 2 + usize::from(expected.len() > 127)
        );
    }
}

/// conformance 54: *good* and *revoked* carry the archive cutoff, the CA certificate's notBefore or so long before producedAt,
/// in singleExtensions, not critical; what has no record does not.
#[test]
fn the_archive_cutoff_goes_with_what_has_a_record() {
    let (ca, year) = (u64::try_from(now()).unwrap() - 86_400, 31_536_000);
    for archive_cutoff in [ArchiveCutoff::Issuer, ArchiveCutoff::Retained(year)] {
        let mut scene = Scene::with(p256(), |issuer| IssuerSettings {
            archive_cutoff: Some(archive_cutoff),
            never_issued: true,
            ..issuer
        });
        let revoked = question(vec![revoked(&SERIAL, 1_700_000_000, None)]);
        for asked in [scene.good(), revoked] {
            let (said, basic) = scene.verified(asked);
            let single = &basic.tbs_response_data.responses[0];
            let extensions = single.single_extensions.as_deref().unwrap();
            let [cutoff] = extensions else {
                panic!("{extensions:?}");
            };
            assert_eq!(cutoff.extn_id.to_string(), "1.3.6.1.5.5.7.48.1.6");
            assert!(!cutoff.critical);
            let value = cutoff.extn_value.as_bytes();
            assert!(
                value.len() == 17 && value.starts_with(&[0x18, 15]),
                "{value:02x?}"
            );
            let time = GeneralizedTime::from_der(value)
                .unwrap()
                .to_unix_duration()
                .as_secs();
            let (_, produced_at, _) = times(&basic);
            match archive_cutoff {
                // The seconds that making it took.
                ArchiveCutoff::Issuer => assert!((ca - 1..=ca + 60).contains(&time), "{time} {ca}"),
                _ => assert_eq!(time, produced_at - u64::from(year)),
            }
            assert!(said.contains("Archive Cutoff"), "{said}");
        }
        let never = question(vec![ours(&[6], Status::NeverIssued, Evidence::None)]);
        for asked in [question(vec![unknown(&SERIAL)]), never] {
            let basic = content(&scene.signer.signs(asked));
            assert_eq!(basic.tbs_response_data.responses[0].single_extensions, None);
        }
    }
}

#[test]
fn never_issued_is_1970_on_hold_and_says_that_the_responder_means_it() {
    let mut scene = Scene::with(p256(), |issuer| IssuerSettings {
        never_issued: true,
        ..issuer
    });
    let never = || question(vec![ours(&SERIAL, Status::NeverIssued, Evidence::None)]);
    let (said, basic) = scene.verified(never());
    for part in [
        ": revoked\n",
        "Reason: certificateHold\n",
        "Revocation Time: Jan  1 00:00:00 1970 GMT\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let extensions = basic.tbs_response_data.response_extensions.unwrap();
    assert_eq!(extensions.len(), 1);
    // id-pkix-ocsp-extended-revoke: NULL (RFC 6960 section 4.4.8)
    assert_eq!(extensions[0].extn_id.to_string(), "1.3.6.1.5.5.7.48.1.9");
    assert_eq!(extensions[0].extn_value.as_bytes(), [5, 0]);
    assert!(!extensions[0].critical);
    // A hold: a certificate that turns up later can still be good.
    assert_eq!(scene.status(scene.good()), "good");
    let (_, basic) = scene.verified(question(vec![revoked(&SERIAL, 1, None)]));
    assert_eq!(basic.tbs_response_data.response_extensions, None);
}

/// conformance 88: without a nonce there are no responseExtensions.
#[test]
fn the_nonce_is_echoed_and_nothing_else_is() {
    let mut scene = Scene::new(p256());
    for length in [1, 32, 128] {
        let nonce = vec![0xa5; length];
        let (said, basic) = scene.verified(SignRequest {
            nonce: Some(octets(&nonce)),
            ..scene.good()
        });
        assert!(said.contains("OCSP Nonce"), "{said}");
        let extensions = basic.tbs_response_data.response_extensions.unwrap();
        assert_eq!(extensions.len(), 1);
        let value = extensions[0].extn_value.as_bytes();
        let wrapped = der::asn1::OctetString::from_der(value).unwrap();
        assert_eq!(wrapped.as_bytes(), nonce);
    }
    let (_, basic) = scene.verified(scene.good());
    assert_eq!(basic.tbs_response_data.response_extensions, None);
}

/// conformance 12, 14: one answer for each certificate, by the CertID of the question.
#[test]
fn several_certificates_are_answered_in_order_with_their_own_ids() {
    let mut scene = Scene::new(p256());
    let certificate = scene.certificate.clone();
    let with = |hash, parameters, status| {
        Item::Ours(Ours {
            hash,
            parameters,
            serial: octets(&SERIAL),
            status,
            evidence: Evidence::Certificate(octets(&certificate)),
        })
    };
    let items = vec![
        with(HashAlgorithm::Sha1, Parameters::Null, Status::Good),
        Item::Foreign(foreign()),
        with(HashAlgorithm::Sha256, Parameters::Absent, Status::Good),
        unknown(&[0x56]),
        with(HashAlgorithm::Sha384, Parameters::Null, Status::Good),
        with(HashAlgorithm::Sha512, Parameters::Absent, Status::Good),
    ];
    let (said, basic) = scene.verified(question(items));
    assert!(said.contains(": good\n"), "{said}");
    let responses = &basic.tbs_response_data.responses;
    let ids = responses
        .iter()
        .map(|single| {
            let id = &single.cert_id;
            (
                id.hash_algorithm.oid.to_string(),
                id.hash_algorithm.parameters.is_some(),
                id.serial_number.as_bytes().to_vec(),
                matches!(single.cert_status, x509_ocsp::CertStatus::Good(_)),
            )
        })
        .collect::<Vec<_>>();
    let id = |oid: &str, null, serial: &[u8], good| (oid.to_owned(), null, serial.to_vec(), good);
    assert_eq!(
        ids,
        [
            id("1.3.14.3.2.26", true, &SERIAL, true),
            id("1.3.14.3.2.26", false, &[5], false),
            id("2.16.840.1.101.3.4.2.1", false, &SERIAL, true),
            id("1.3.14.3.2.26", true, &[0x56], false),
            id("2.16.840.1.101.3.4.2.2", true, &SERIAL, true),
            id("2.16.840.1.101.3.4.2.3", false, &SERIAL, true),
        ]
    );
    assert_eq!(
        responses[1].cert_id.issuer_name_hash.as_bytes(),
        &*foreign().name_hash
    );
    // OpenSSL computes the issuer's hashes itself, by the algorithm that it is asked with.
    for digest in ["-sha1", "-sha256", "-sha384", "-sha512"] {
        let (file, authority) = (
            scene.folder.path("response.der"),
            scene.folder.path("ca.crt"),
        );
        let (verified, said) = openssl(&[
            "ocsp",
            "-no_cert_checks",
            "-respin",
            &file,
            "-no_nonce",
            "-CAfile",
            &authority,
            digest,
            "-issuer",
            &authority,
            "-serial",
            "0x1234",
        ]);
        assert!(verified && said.contains("0x1234: good"), "{said}");
    }
}

#[test]
fn a_hundred_certificates_fit_into_one_answer() {
    let mut scene = Scene::new(p256());
    let mut longest = foreign();
    longest.algorithm = octets(&[0x2a; 32]);
    longest.name_hash = octets(&[7; 64]);
    longest.key_hash = octets(&[7; 64]);
    longest.serial = octets(&[0x7f; 21]);
    let mut items = vec![Item::Foreign(longest); 99];
    items.push(good(&SERIAL, &scene.certificate));
    let question = SignRequest {
        nonce: Some(octets(&[9; 128])),
        ..question(items)
    };
    assert_eq!(scene.status(question), "good");
}

#[test]
fn serials_of_twenty_octets_with_the_highest_bit_set_are_answered() {
    let (folder, authority) = (Folder::new(), Authority::new("Long CA"));
    let magnitude = [0xff; 20];
    let certificate = authority.issue(&magnitude);
    let content = [&[0], &magnitude[..]].concat();
    let mut signer = Signer::serving(settings(&folder, &authority));
    let response = signer.signs(question(vec![good(&content, &certificate)]));
    let (file, ca) = (folder.file("r.der", &response), folder.path("ca.crt"));
    let serial = format!("0x{}", hex(&magnitude));
    let (verified, said) = openssl(&[
        "ocsp",
        "-respin",
        &file,
        "-no_nonce",
        "-CAfile",
        &ca,
        "-issuer",
        &ca,
        "-serial",
        &serial,
    ]);
    assert!(
        verified && said.contains("Response verify OK") && said.contains(": good"),
        "{said}"
    );
}

#[test]
fn unknown_may_be_said_of_any_integer() {
    let mut scene = Scene::new(p256());
    for serial in [&[0][..], &[0x80], &[0x80; 20], &[0x7f; 21]] {
        scene.signer.signs(question(vec![unknown(serial)]));
    }
}

/// Asks for *good*: OpenSSL verifies it, and the AlgorithmIdentifier is exactly this one.
fn signs_by(scene: &mut Scene, identifier: &str) {
    let (said, basic) = scene.verified(scene.good());
    assert!(said.contains(": good\n"), "{identifier}: {said}");
    let found = basic.signature_algorithm.to_der().unwrap();
    assert_eq!(hex(&found), identifier);
}

/// conformance 18: parameters are absent but for RSA. conformance 20: each curve signs with a digest of its own strength.
#[test]
fn every_kind_of_key_signs_what_openssl_verifies() {
    for (key, identifier) in [
        (ec(Nid::X9_62_PRIME256V1), "300a06082a8648ce3d040302"),
        (ec(Nid::SECP384R1), "300a06082a8648ce3d040303"),
        (ec(Nid::SECP521R1), "300a06082a8648ce3d040304"),
        (PKey::generate_ed25519().unwrap(), "300506032b6570"),
        (PKey::generate_ed448().unwrap(), "300506032b6571"),
    ] {
        signs_by(&mut Scene::new(key), identifier);
    }
}

/// conformance 21: ML-DSA's identifiers have no parameters, and its signatures the lengths of the standard. An OpenSSL
/// before 3.5 does not sign like that: `start.rs` has what the signer says then.
#[test]
fn ml_dsa_signs_where_openssl_knows_it() {
    for (algorithm, last, length) in [
        ("ML-DSA-44", "11", 2420),
        ("ML-DSA-65", "12", 3309),
        ("ML-DSA-87", "13", 4627),
    ] {
        let Some(key) = generated(algorithm, &[]) else {
            return skipped("ml_dsa_signs_where_openssl_knows_it needs OpenSSL 3.5");
        };
        let mut scene = Scene::new(key);
        signs_by(&mut scene, &format!("300b06096086480165030403{last}"));
        let response = scene.signer.signs(scene.good());
        assert_eq!(content(&response).signature.raw_bytes().len(), length);
    }
}

/// One issuer whose key signs with this digest and padding.
fn rsa_scene(key: &PKey<Private>, digest: Digest, padding: Padding) -> Scene {
    Scene::with(key.clone(), |issuer| {
        let mut keys = issuer.keys.to_vec();
        (keys[0].digest, keys[0].padding) = (digest, padding);
        IssuerSettings {
            keys: List::new(keys).unwrap(),
            ..issuer
        }
    })
}

const DIGESTS: [Digest; 3] = [Digest::Sha256, Digest::Sha384, Digest::Sha512];

/// conformance 18, 19: the parameters of RSASSA-PKCS1-v1_5 are NULL, and the identifiers are those of BR 7.1.3.2.1.
#[test]
fn rsa_signs_with_the_digest_that_is_configured() {
    for bits in [2048, 4096] {
        let key = rsa(bits);
        for (digest, last) in DIGESTS.into_iter().zip(["0b", "0c", "0d"]) {
            let mut scene = rsa_scene(&key, digest, Padding::Pkcs1);
            signs_by(&mut scene, &format!("300d06092a864886f70d0101{last}0500"));
        }
    }
}

/// conformance 19: RSASSA-PSS in the three forms of BR 7.1.3.2.1 only, by an RSA key that is so configured, and by one that
/// is for RSASSA-PSS alone.
#[test]
fn rsassa_pss_signs_in_three_forms() {
    let key = rsa(2048);
    let bound = generated("RSA-PSS", &["rsa_keygen_bits:2048"]).unwrap();
    for (digest, identifier) in DIGESTS.into_iter().zip(PSS) {
        signs_by(&mut rsa_scene(&key, digest, Padding::Pss), identifier);
        for padding in [Padding::Pkcs1, Padding::Pss] {
            let mut scene = Scene::delegated(&bound, digest, padding);
            let (said, basic) = scene.verified(scene.good());
            assert!(said.contains(": good\n"), "{identifier}: {said}");
            let found = basic.signature_algorithm.to_der().unwrap();
            assert_eq!(hex(&found), identifier);
        }
    }
}

/// conformance 19: certificates that were signed by RSASSA-PSS in one of its three forms prove *good*, and in no other.
#[test]
fn what_was_signed_by_rsassa_pss_proves_good() {
    let (folder, authority) = (Folder::new(), Authority::with_key("PSS CA", rsa(2048)));
    let mut signer = Signer::serving(settings(&folder, &authority));
    let issued = openssl::x509::X509::from_der(&authority.issue(&SERIAL)).unwrap();
    let by = |identifier: &[u8]| {
        let certificate = changed(&issued, &authority.key, |certificate| {
            let algorithm = x509_cert::spki::AlgorithmIdentifier::from_der(identifier);
            certificate.tbs_certificate.signature = algorithm.unwrap();
        });
        question(vec![good(&SERIAL, &certificate.to_der().unwrap())])
    };
    for identifier in PSS.map(unhex) {
        signer.signs(by(&identifier));
        let mut salt = identifier;
        salt[66] = 20;
        assert_eq!(signer.refuses(by(&salt)), Refusal::EvidenceSignature);
    }
}

/// conformance 7, 11, 65: the certificate that signs is named and goes along; what is empty is left out.
#[test]
fn a_delegated_responder_sends_its_certificate_along_and_an_authority_does_not() {
    let (folder, authority) = (Folder::new(), Authority::new("Example CA"));
    let certificate = authority.issue(&SERIAL);
    folder.file("person.der", &certificate);
    let key = p256();
    let responder = authority.responder(&key, Purpose::Responder, (-3600, 86_400));
    let mut issuer = issuer(&folder, "ca", &authority);
    let mut keys = issuer.keys.to_vec();
    keys.push(KeySettings {
        key: in_file(&folder.key("responder.key", &key)),
        passphrase: None,
        responder: Some(text(&folder.certificate("responder.crt", &responder))),
        digest: Digest::Sha256,
        padding: Padding::Pkcs1,
    });
    issuer.keys = List::new(keys).unwrap();
    let mut scene = Scene {
        signer: Signer::serving(settings_for(vec![issuer])),
        folder,
        certificate,
    };
    let (said, own) = scene.verified(scene.good());
    assert!(said.contains(": good\n"), "{said}");
    assert_eq!(own.certs, None);
    let (said, delegated) = scene.verified(SignRequest {
        key: 1,
        ..scene.good()
    });
    assert!(said.contains(": good\n"), "{said}");
    let certificates = delegated.certs.unwrap();
    assert_eq!(certificates.len(), 1);
    assert_eq!(
        certificates[0].to_der().unwrap(),
        responder.to_der().unwrap()
    );
    assert_ne!(
        own.tbs_response_data.responder_id,
        delegated.tbs_response_data.responder_id
    );
}

/// conformance 9: the responder ID is SHA-1 of the key, whatever the certificate's subjectKeyIdentifier says; conformance 8:
/// as byKey. Responders that took it from there could not be verified by clients that compute it.
#[test]
fn the_responder_id_is_the_keys_and_not_the_certificates_identifier() {
    let made_up = [&[4, 20], &[7; 20][..]].concat();
    let mut authority = Authority::new("Example CA");
    authority.certificate = changed(&authority.certificate, &authority.key, |certificate| {
        set_extension(certificate, "2.5.29.14", Some((false, &made_up)));
    });
    let (folder, key) = (Folder::new(), p256());
    let responder = authority.responder(&key, Purpose::Responder, (-3600, 86_400));
    let by_made_up = [&[0x30, 0x16, 0x80, 20], &made_up[2..]].concat();
    let responder = changed(&responder, &authority.key, |certificate| {
        set_extension(certificate, "2.5.29.14", Some((false, &made_up)));
        set_extension(certificate, "2.5.29.35", Some((false, &by_made_up)));
    });
    let certificate = authority.issue(&SERIAL);
    folder.file("person.der", &certificate);
    let mut issuer = issuer(&folder, "ca", &authority);
    let mut keys = issuer.keys.to_vec();
    let mut delegate = keys[0].clone();
    delegate.key = in_file(&folder.key("responder.key", &key));
    delegate.responder = Some(text(&folder.certificate("responder.crt", &responder)));
    keys.push(delegate);
    issuer.keys = List::new(keys).unwrap();
    let mut scene = Scene {
        signer: Signer::serving(settings_for(vec![issuer])),
        folder,
        certificate,
    };
    for (place, key) in [(0, &authority.key), (1, &key)] {
        let asked = SignRequest {
            key: place,
            ..scene.good()
        };
        let (_, basic) = scene.verified(asked);
        // An uncompressed point of P-256 is the last 65 octets of the SubjectPublicKeyInfo.
        let info = key.public_key_to_der().unwrap();
        let hash = openssl::sha::sha1(&info[info.len() - 65..]);
        let expected = [&[0xa2, 0x16, 4, 0x14], &hash[..]].concat();
        let found = basic.tbs_response_data.responder_id.to_der().unwrap();
        assert_eq!(found, expected);
    }
}

/// conformance 17, 57: thisUpdate, producedAt and nextUpdate by one reading of the clock, both ends of the validity counted.
#[test]
fn times_are_the_signers_own() {
    let mut scene = Scene::new(p256());
    let before = seconds_now();
    let (_, basic) = scene.verified(scene.good());
    let (this_update, produced_at, next_update) = times(&basic);
    assert!((before..=seconds_now()).contains(&produced_at));
    assert_eq!(this_update, produced_at);
    assert_eq!(next_update - this_update, u64::from(VALIDITY) - 1);
}

/// conformance 63: thisUpdate may lie back, and the validity counts from there.
#[test]
fn backdate_moves_this_update_and_the_end_with_it() {
    let mut scene = Scene::with(p256(), |issuer| IssuerSettings {
        backdate: 300,
        ..issuer
    });
    let (_, basic) = scene.verified(scene.good());
    let (this_update, produced_at, next_update) = times(&basic);
    assert_eq!(produced_at - this_update, 300);
    assert_eq!(next_update - this_update, u64::from(VALIDITY) - 1);
}

/// conformance 60: no answer is valid longer than the certificate that signs.
#[test]
fn no_answer_outlives_or_predates_the_certificate_that_signs() {
    let folder = Folder::new();
    let start = now();
    let authority = Authority::valid("Late CA", p256(), (-60, 3600));
    let late = (now() - start).unsigned_abs(); // 0, or the seconds that making it took
    let mut signer = Signer::serving(settings_for(vec![IssuerSettings {
        backdate: 7200,
        ..issuer(&folder, "ca", &authority)
    }]));
    let basic = content(&signer.signs(question(vec![unknown(&[5])])));
    let (this_update, _, next_update) = times(&basic);
    let (not_before, not_after) = (start.unsigned_abs() - 60, start.unsigned_abs() + 3600);
    assert!((not_before..=not_before + late).contains(&this_update));
    assert!((not_after..=not_after + late).contains(&next_update));
}

#[test]
fn good_on_the_sources_word_needs_no_certificate_where_so_configured() {
    let mut scene = Scene::with(p256(), |issuer| IssuerSettings {
        good: GoodPolicy::Status,
        ..issuer
    });
    let asked = question(vec![ours(&SERIAL, Status::Good, Evidence::None)]);
    assert_eq!(scene.status(asked.clone()), "good");
    // Revoked stays revoked all the same.
    scene
        .signer
        .signs(question(vec![revoked(&SERIAL, 1, None)]));
    assert!(matches!(scene.signer.refuses(asked), Refusal::Withdrawn(_)));
}

/// conformance 53: what has expired is answered as long as there is a record of it.
#[test]
fn an_expired_certificate_still_proves_good() {
    let (folder, authority) = (Folder::new(), Authority::new("Old CA"));
    let key = p256();
    let expired = authority.responder(&key, Purpose::Responder, (-864_000, -432_000));
    let mut signer = Signer::serving(settings(&folder, &authority));
    signer.signs(question(vec![good(&[2], &expired.to_der().unwrap())]));
}
