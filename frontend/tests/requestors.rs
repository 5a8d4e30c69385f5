//! Requests that must be signed, signed in every wrong way. A real frontend, whose signer is the test.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;
use ocsp_frontend_settings::NoRecord;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::extension::{BasicConstraints, KeyUsage};
use openssl::x509::{X509, X509Name};

const ECDSA_SHA1: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_SHA256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const RSA_SHA256: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b, 5, 0];

/// Somebody with a certificate.
struct Person {
    key: PKey<Private>,
    certificate: X509,
}

/// What a certificate is to be like.
struct Made {
    key: PKey<Private>,
    from: i64,
    until: i64,
    digest: MessageDigest,
    ca: bool,
    signs: bool,
}

impl Made {
    fn new() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self {
            key: PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(),
            from: -86_400,
            until: 86_400,
            digest: MessageDigest::sha256(),
            ca: false,
            signs: true,
        }
    }

    /// By this issuer; without one, by itself.
    fn by(self, name: &str, issuer: Option<&Person>) -> Person {
        let at = |seconds: i64| {
            let now = i64::try_from(now()).unwrap();
            Asn1Time::from_unix(now + seconds).unwrap()
        };
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        certificate.set_serial_number(&serial).unwrap();
        certificate.set_subject_name(&subject).unwrap();
        let by = issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name());
        certificate.set_issuer_name(by).unwrap();
        certificate.set_pubkey(&self.key).unwrap();
        certificate.set_not_before(&at(self.from)).unwrap();
        certificate.set_not_after(&at(self.until)).unwrap();
        let mut usage = KeyUsage::new();
        usage.critical();
        if self.ca {
            let constraints = BasicConstraints::new().critical().ca().build().unwrap();
            certificate.append_extension(constraints).unwrap();
            usage.key_cert_sign();
        }
        if self.signs {
            usage.digital_signature();
        } else {
            usage.key_agreement();
        }
        certificate
            .append_extension(usage.build().unwrap())
            .unwrap();
        let key = issuer.map_or(&self.key, |issuer| &issuer.key);
        certificate.sign(key, self.digest).unwrap();
        Person {
            certificate: certificate.build(),
            key: self.key,
        }
    }
}

/// An unsigned request, signed.
fn signed(
    request: &[u8],
    algorithm: &[u8],
    digest: MessageDigest,
    by: &Person,
    certificates: &[&X509],
) -> Vec<u8> {
    let tbs = &request[request.len() - usize::from(request[1])..];
    let mut signer = Signer::new(digest, &by.key).unwrap();
    let signature = signer.sign_oneshot_to_vec(tbs).unwrap();
    let certificates = certificates.iter().map(|one| one.to_der().unwrap());
    let certificates: Vec<Vec<u8>> = certificates.collect();
    let list = tlv(0xa0, &tlv(0x30, &certificates.concat()));
    let parts = [
        tlv(0x30, algorithm),
        tlv(3, &[&[0], &signature[..]].concat()),
        if certificates.is_empty() {
            Vec::new()
        } else {
            list
        },
    ];
    let signature = tlv(0xa0, &tlv(0x30, &parts.concat()));
    tlv(0x30, &[tbs, &signature].concat())
}

/// Likewise by ECDSA and SHA-256, as clients do.
fn usual(request: &[u8], by: &Person, certificates: &[&X509]) -> Vec<u8> {
    signed(
        request,
        ECDSA_SHA256,
        MessageDigest::sha256(),
        by,
        certificates,
    )
}

/// A stage whose issuer answers only who chains to a CA.
fn stage(trusted: &Person) -> Stage {
    let mut stage = Stage::new();
    let pem = trusted.certificate.to_pem().unwrap();
    let file = stage.folder.file("clients.pem", pem);
    stage.settings.issuers[0].clients = Some(file);
    stage
}

fn ca() -> Person {
    let made = Made {
        ca: true,
        ..Made::new()
    };
    made.by("clients", None)
}

/// conformance 29: a signature that is wrong, by a stranger, by a certificate that is not valid now or may not sign, by a weak
/// algorithm, or without a certificate, is unauthorized. Neither source nor signer hears of it.
#[test]
fn a_signature_that_is_worth_nothing_is_unauthorized() {
    let root = ca();
    let stage = stage(&root);
    let frontend = stage.honest();
    let request = stage.authority.ask(GOOD).request();
    let client = Made::new().by("client", Some(&root));
    let right = usual(&request, &client, &[&client.certificate]);
    let mut changed = right.clone();
    let serial = changed
        .windows(3)
        .position(|three| three == [2, 1, 0x10])
        .unwrap();
    changed[serial + 2] = 0x11;
    let expired = Made {
        until: -60,
        ..Made::new()
    }
    .by("client", Some(&root));
    let early = Made {
        from: 3600,
        ..Made::new()
    }
    .by("client", Some(&root));
    let agrees = Made {
        signs: false,
        ..Made::new()
    }
    .by("client", Some(&root));
    let sha1 = Made {
        digest: MessageDigest::sha1(),
        ..Made::new()
    }
    .by("client", Some(&root));
    let short = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let short = Made {
        key: short,
        ..Made::new()
    }
    .by("client", Some(&root));
    let impostor = ca();
    let stranger = Made::new().by("client", Some(&impostor));
    let no_ca = Made::new().by("below", Some(&client));
    let own = |person: &Person| usual(&request, person, &[&person.certificate]);
    let empty = tlv(0xa0, &[0x30, 0]);
    let nothing = tlv(0x30, &[&request[2..], &empty].concat());
    let cases = [
        ("of something else", changed),
        (
            "by another key",
            usual(&request, &stranger, &[&client.certificate]),
        ),
        ("of an expired certificate", own(&expired)),
        ("of one that is not valid yet", own(&early)),
        ("of one that may not sign", own(&agrees)),
        ("of one that was signed by SHA-1", own(&sha1)),
        (
            "of 1024 bits",
            signed(
                &request,
                RSA_SHA256,
                MessageDigest::sha256(),
                &short,
                &[&short.certificate],
            ),
        ),
        (
            "by SHA-1",
            signed(
                &request,
                ECDSA_SHA1,
                MessageDigest::sha1(),
                &client,
                &[&client.certificate],
            ),
        ),
        (
            "by another algorithm than it says",
            signed(
                &request,
                ECDSA_SHA256,
                MessageDigest::sha384(),
                &client,
                &[&client.certificate],
            ),
        ),
        ("of another CA of this name", own(&stranger)),
        (
            "the same, which comes along",
            usual(
                &request,
                &stranger,
                &[&stranger.certificate, &impostor.certificate],
            ),
        ),
        (
            "of somebody below who is no CA",
            usual(&request, &no_ca, &[&no_ca.certificate, &client.certificate]),
        ),
        ("without a certificate", usual(&request, &client, &[])),
        (
            "with its certificate behind another",
            usual(
                &request,
                &client,
                &[&stranger.certificate, &client.certificate],
            ),
        ),
        (
            "with nine certificates",
            usual(&request, &client, &[&client.certificate; 9]),
        ),
        ("that is none", nothing),
    ];
    for (case, der) in cases {
        assert_eq!(frontend.post(&der), UNAUTHORIZED, "a signature {case}");
    }
    assert_eq!(frontend.post(&request), SIG_REQUIRED);
    assert_eq!(frontend.count(), 0);
    assert!(is_good(&frontend.post(&right)));
    let eight = usual(&request, &client, &[&client.certificate; 8]);
    assert!(is_good(&frontend.post(&eight)));
    frontend.logs("a signed request is answered unauthorized: it is not by the certificate's key");
}

/// An intermediate CA may come along with the request, or be trusted without its root. What is answered is kept here, like
/// any answer, and by nobody on the way.
#[test]
fn what_is_said_to_clients_is_private_and_kept_here() {
    let root = ca();
    let between = Made {
        ca: true,
        ..Made::new()
    }
    .by("between", Some(&root));
    let client = Made::new().by("client", Some(&between));
    let chain = [&client.certificate, &between.certificate];
    for (trusted, certificates) in [(&root, &chain[..]), (&between, &chain[..1])] {
        let mut stage = stage(trusted);
        stage.settings.issuers[0].unknown = NoRecord::Unknown;
        let frontend = stage.honest();
        let mut connection = frontend.client();
        let request = stage.authority.ask(GOOD).request();
        let [first, again] =
            [(); 2].map(|()| connection.get(&usual(&request, &client, certificates)));
        for response in [&first, &again] {
            let control = response.header("cache-control");
            assert_eq!(control, Some("private, max-age=0, must-revalidate"));
            assert!(is_good(&response.body));
        }
        assert_eq!(first.body, again.body);
        assert_eq!(frontend.count(), 1);
        let unknown = stage.authority.ask(NOBODY).request();
        let response = connection.get(&usual(&unknown, &client, certificates));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        // Somebody else's certificate is unauthorized before it is asked who asks.
        let others = Authority::new("somebody else").ask(GOOD).request();
        assert_eq!(connection.post(&others).body, UNAUTHORIZED);
    }
}
