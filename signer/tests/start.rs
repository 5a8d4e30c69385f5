//! What a signer does not start with: each is a report to the launcher that names the file and what was expected, and
//! an exit code. Nothing is served, and nothing stands on the boundary.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs::File;
use std::os::unix::fs::symlink;

use harness::*;
use ocsp_wire::*;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::X509;

const DONE: i32 = 0;
const USAGE: i32 = 2;
const REFUSED: i32 = 10;
const BROKEN: i32 = 13;

/// The signer must refuse, for one reason that contains each of `parts`.
fn refused(mut signer: Signer, parts: &[&str]) {
    let Some(Report::Refused(reasons)) = signer.report() else {
        panic!("a refusal was expected: {parts:?}");
    };
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    for part in parts {
        assert!(reasons[0].contains(part), "{part}: {reasons:?}");
    }
    assert_eq!(signer.report(), None);
    assert_eq!(signer.answer(), None);
    let (code, log) = signer.left();
    assert_eq!(code, Some(REFUSED), "{log:?}");
}

/// The issuer's own key, changed by `change`, must be refused, for a reason that begins with its file.
fn key_refused(change: impl FnOnce(&Folder, &str), part: &str) {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let settings = settings(&folder, &authority);
    let key = folder.path("ca.key");
    change(&folder, &key);
    refused(
        Signer::told(settings),
        &[&format!("issuer \"ca\": {key}: "), part],
    );
}

/// The same, for a delegated responder's certificate.
fn responder_refused(authority: &Authority, responder: &openssl::x509::X509, part: &str) {
    let folder = Folder::new();
    let path = folder.certificate("responder.crt", responder);
    let mut issuer = issuer(&folder, "ca", authority);
    let mut key = issuer.keys[0].clone();
    key.responder = Some(text(&path));
    issuer.keys = List::new([key]).unwrap();
    refused(
        Signer::told(settings_for(vec![issuer])),
        &[&format!("issuer \"ca\": {path}: "), part],
    );
}

#[test]
fn a_key_that_others_could_read_is_refused() {
    for mode in [0o440, 0o404, 0o420, 0o402, 0o410, 0o600 | 0o040] {
        key_refused(
            |_, key| set_mode(key, mode),
            &format!("mode {mode:04o} is open to group or others, 0400 was expected"),
        );
    }
}

#[test]
fn a_key_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        // An ordinary user cannot give a file away.
        return skipped("a_key_of_another_user_is_refused needs root");
    }
    key_refused(
        |_, key| std::os::unix::fs::chown(key, Some(0), Some(0)).unwrap(),
        "cannot be read by user 61802: Permission denied",
    );
}

#[test]
fn a_key_that_is_not_there_or_is_no_file_is_refused() {
    key_refused(
        |_, key| std::fs::remove_file(key).unwrap(),
        "No such file or directory",
    );
    key_refused(
        |folder, key| {
            std::fs::remove_file(key).unwrap();
            symlink("/dev/null", folder.path("ca.key")).unwrap();
        },
        "is not a regular file",
    );
}

#[test]
fn a_key_that_is_encrypted_or_no_key_or_too_long_is_refused() {
    key_refused(
        |folder, key| {
            let encrypted = p256()
                .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
                .unwrap();
            std::fs::remove_file(key).unwrap();
            folder.secret("ca.key", &encrypted);
        },
        "the key is encrypted, and there is no passphrase-file",
    );
    for (octets, part) in [
        (&b"no key"[..], "a private key in PEM was expected"),
        (b"", "a private key in PEM was expected"),
        (&[b'x'; 65_537], "is 65537 octets long"),
    ] {
        key_refused(
            |folder, key| {
                std::fs::remove_file(key).unwrap();
                folder.secret("ca.key", octets);
            },
            part,
        );
    }
}

/// One issuer, whose key is changed by `change`, and the key's name.
fn with_key(
    folder: &Folder,
    authority: &Authority,
    change: impl FnOnce(&mut KeySettings),
) -> SignerSettings {
    let mut issuer = issuer(folder, "ca", authority);
    let mut key = issuer.keys[0].clone();
    change(&mut key);
    issuer.keys = List::new([key]).unwrap();
    settings_for(vec![issuer])
}

/// An authority's key, encrypted as PKCS#8 and in the form before it.
fn encrypted(authority: &Authority, phrase: &[u8]) -> [Vec<u8>; 2] {
    let key = &authority.key;
    let cipher = Cipher::aes_256_cbc();
    let traditional = key.ec_key().unwrap();
    [
        key.private_key_to_pem_pkcs8_passphrase(cipher, phrase)
            .unwrap(),
        traditional
            .private_key_to_pem_passphrase(cipher, phrase)
            .unwrap(),
    ]
}

#[test]
fn an_encrypted_key_is_opened_by_its_passphrase() {
    let longest = "x".repeat(1024);
    for (phrase, file) in [
        ("secret", "secret"),
        ("secret", "secret\n"),
        ("secret", "secret\r\nmore\n"),
        (" s e c ", " s e c \n"),
        (&*longest, &*longest),
    ] {
        let authority = Authority::new("CA");
        for pem in encrypted(&authority, phrase.as_bytes()) {
            let folder = Folder::new();
            let settings = with_key(&folder, &authority, |key| {
                std::fs::remove_file(folder.path("ca.key")).unwrap();
                key.key = in_file(&folder.secret("ca.key", &pem));
                key.passphrase = Some(in_file(&folder.secret("ca.pass", file.as_bytes())));
            });
            let mut signer = Signer::told(settings);
            let said = signer.report();
            let Some(Report::Ready(notes)) = said else {
                panic!("{file:?}: {said:?}");
            };
            assert!(!notes.iter().any(|note| note.contains("ca.pass")));
        }
    }
}

#[test]
fn a_passphrase_that_is_missing_wrong_or_open_to_others_is_refused() {
    let authority = Authority::new("CA");
    for pem in encrypted(&authority, b"secret") {
        let refused_with = |passphrase: &[u8], mode, part: &str| {
            let folder = Folder::new();
            let settings = with_key(&folder, &authority, |key| {
                std::fs::remove_file(folder.path("ca.key")).unwrap();
                key.key = in_file(&folder.secret("ca.key", &pem));
                let path = folder.secret("ca.pass", passphrase);
                set_mode(&path, mode);
                key.passphrase = Some(in_file(&path));
            });
            refused(Signer::told(settings), &[&folder.path("ca.pass"), part]);
        };
        refused_with(b"another\n", 0o400, "does not open the key: ");
        refused_with(b"secret \n", 0o400, "does not open the key: ");
        let line = "a passphrase of 1 to 1024 octets was expected in its first line";
        refused_with(b"", 0o400, line);
        refused_with(b"\nsecret\n", 0o400, line);
        refused_with(&[b'x'; 1025], 0o400, line);
        let open = "mode 0440 is open to group or others, 0400 was expected";
        refused_with(b"secret\n", 0o440, open);
        let folder = Folder::new();
        let settings = with_key(&folder, &authority, |key| {
            std::fs::remove_file(folder.path("ca.key")).unwrap();
            key.key = in_file(&folder.secret("ca.key", &pem));
            key.passphrase = Some(in_file(&folder.path("none")));
        });
        let none = [&*folder.path("none"), "No such file or directory"];
        refused(Signer::told(settings), &none);
    }
    // Even the empty passphrase is one.
    let pem = authority
        .key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"");
    key_refused(
        |folder, key| {
            std::fs::remove_file(key).unwrap();
            folder.secret("ca.key", &pem.unwrap());
        },
        "the key is encrypted, and there is no passphrase-file",
    );
}

#[test]
fn a_passphrase_that_is_not_needed_is_noted() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let mut signer = Signer::told(with_key(&folder, &authority, |key| {
        key.passphrase = Some(in_file(&folder.secret("ca.pass", b"secret\n")));
    }));
    let Some(Report::Ready(notes)) = signer.report() else {
        panic!("ready was expected");
    };
    let (key, phrase) = (folder.path("ca.key"), folder.path("ca.pass"));
    let warning = format!(
        "warning: {key}: the key is not encrypted, the passphrase of {phrase} is of no use"
    );
    assert!(notes.iter().any(|note| **note == *warning), "{notes:?}");
}

// ---- credentials: files that only root can open, handed over ------------------------------------------------------

/// A file, open, of whoever runs this test: as root one that the signer's user could not open.
fn credential(folder: &Folder, name: &str, octets: &[u8], mode: u32) -> File {
    let path = folder.file(name, octets);
    set_mode(&path, mode);
    File::open(path).unwrap()
}

/// One issuer with a key that is the credential `ca-key`, and nothing else.
fn by_credential(folder: &Folder, authority: &Authority) -> SignerSettings {
    SignerSettings {
        credentials: Some(text(&folder.path("credentials"))),
        ..with_key(folder, authority, |key| {
            std::fs::remove_file(folder.path("ca.key")).unwrap();
            key.key = Secret::Credential(text("ca-key"));
        })
    }
}

/// A folder of credentials that the signer cannot enter, so that it can be told where they are.
fn closed_folder(folder: &Folder) {
    std::fs::create_dir(folder.path("credentials")).unwrap();
    set_mode(folder.path("credentials"), 0o700);
}

#[test]
fn credentials_are_handed_over_in_order_and_closed() {
    let folder = Folder::new();
    closed_folder(&folder);
    let authorities = ["one", "two", "three"].map(Authority::new);
    let issuers = authorities.iter().zip(["one", "two", "three"]);
    let mut files = Vec::new();
    let issuers = issuers.map(|(authority, name)| {
        let mut issuer = issuer(&folder, name, authority);
        let mut key = issuer.keys[0].clone();
        let [pem, _] = encrypted(authority, name.as_bytes());
        let own = folder.secret(&format!("{name}.pass"), name.as_bytes());
        if name != "two" {
            files.push(credential(
                &folder,
                &format!("credentials/{name}.pem"),
                &pem,
                0o400,
            ));
            key.key = Secret::Credential(text(&format!("{name}.pem")));
        } else {
            std::fs::remove_file(folder.path("two.key")).unwrap();
            key.key = in_file(&folder.secret("two.key", &pem));
        }
        key.passphrase = Some(if name == "one" {
            in_file(&own)
        } else {
            files.push(credential(
                &folder,
                &format!("credentials/{name}.phrase"),
                name.as_bytes(),
                0o400,
            ));
            Secret::Credential(text(&format!("{name}.phrase")))
        });
        issuer.keys = List::new([key]).unwrap();
        issuer
    });
    let issuers = issuers.collect();
    let settings = SignerSettings {
        credentials: Some(text(&folder.path("credentials"))),
        ..settings_for(issuers)
    };
    let mut signer = Signer::handed(settings, &files);
    let said = signer.report();
    let Some(Report::Ready(notes)) = said else {
        panic!("ready was expected: {said:?}");
    };
    for name in ["credential:one.pem", "credential:three.pem"] {
        let note = format!("key {name} (256 bits, ecdsa-with-SHA256) belongs to");
        assert!(notes.iter().any(|found| found.contains(&note)), "{notes:?}");
    }
    if nix::unistd::geteuid().is_root() {
        let open = std::fs::read_dir(format!("/proc/{}/fd", signer.pid())).unwrap();
        assert_eq!(open.count(), 3);
    }
}

#[test]
fn a_credential_is_checked_like_a_file() {
    let authority = Authority::new("CA");
    let pem = authority.key.private_key_to_pem_pkcs8().unwrap();
    let refused_with = |file: &dyn Fn(&Folder) -> File, part: &str| {
        let folder = Folder::new();
        let settings = by_credential(&folder, &authority);
        let signer = Signer::handed(settings, &[file(&folder)]);
        refused(signer, &["issuer \"ca\": credential:ca-key: ", part]);
    };
    for mode in [0o440, 0o404, 0o640, 0o444] {
        let part = format!("mode {mode:04o} is open to group or others, 0400 was expected");
        refused_with(&|folder| credential(folder, "k", &pem, mode), &part);
    }
    let folder = |folder: &Folder| File::open(folder.path("")).unwrap();
    refused_with(&folder, "is not a regular file");
    refused_with(
        &|_| File::open("/dev/null").unwrap(),
        "is not a regular file",
    );
    let pipe = |folder: &Folder| {
        let path = folder.path("pipe");
        nix::unistd::mkfifo(&*path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        // So that neither end waits for the other.
        File::options().read(true).write(true).open(path).unwrap()
    };
    if nix::unistd::geteuid().is_root() {
        refused_with(&pipe, "is not a regular file");
        let strange = |folder: &Folder| {
            let file = credential(folder, "k", &pem, 0o400);
            std::os::unix::fs::chown(folder.path("k"), Some(61_803), Some(61_803)).unwrap();
            file
        };
        refused_with(&strange, "belongs to user 61803, 0 or 61802 was expected");
    }
    let long = |folder: &Folder| credential(folder, "k", &[b'x'; 65_537], 0o400);
    refused_with(&long, "is 65537 octets long");
    let empty = |folder: &Folder| credential(folder, "k", b"", 0o400);
    refused_with(&empty, "a private key in PEM was expected");
}

#[test]
fn another_number_of_descriptors_than_the_settings_name_is_not_followed() {
    let authority = Authority::new("CA");
    let pem = authority.key.private_key_to_pem_pkcs8().unwrap();
    for (named, handed) in [(true, 0), (true, 2), (true, 253), (false, 1)] {
        let folder = Folder::new();
        let settings = if named {
            by_credential(&folder, &authority)
        } else {
            settings(&folder, &authority)
        };
        let files: Vec<_> = (0..handed)
            .map(|number| credential(&folder, &format!("k{number}"), &pem, 0o400))
            .collect();
        let mut signer = Signer::handed(settings, &files);
        let fault = format!(
            "found {handed} descriptors handed over, expected {}",
            usize::from(named)
        );
        assert_eq!(signer.report(), None);
        let (code, log) = signer.left();
        assert_eq!(code, Some(USAGE), "{log:?}");
        assert!(log.len() == 1 && log[0].ends_with(&fault), "{log:?}");
    }
}

#[test]
fn what_is_handed_over_after_the_settings_is_not_taken() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let mut signer = Signer::ready(settings(&folder, &authority));
    let file = credential(&folder, "k", b"x", 0o400);
    signer.order_with(&SignerOrder::Ping(7), &[file]);
    assert_eq!(signer.report(), Some(Report::Pong(7)));
    if nix::unistd::geteuid().is_root() {
        let open = std::fs::read_dir(format!("/proc/{}/fd", signer.pid())).unwrap();
        assert_eq!(open.count(), 3);
    }
}

/// conformance 69: a key signs only under its own certificate.
#[test]
fn a_key_of_another_certificate_is_refused() {
    key_refused(
        |folder, key| {
            std::fs::remove_file(key).unwrap();
            folder.key("ca.key", &p256());
        },
        "is not the key of the certificate",
    );
}

#[test]
fn a_weak_key_is_refused() {
    let weak = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let (folder, authority) = (Folder::new(), Authority::with_key("CA", weak));
    let settings = settings(&folder, &authority);
    refused(
        Signer::told(settings),
        &[
            &folder.path("ca.key"),
            "an RSA key of 1024 bits is too weak, 2048 to 4096 were expected",
        ],
    );
    let (folder, authority) = (
        Folder::new(),
        Authority::with_key("CA", ec(openssl::nid::Nid::SECP256K1)),
    );
    let settings = settings_for(vec![issuer(&folder, "ca", &authority)]);
    refused(
        Signer::told(settings),
        &[
            &folder.path("ca.key"),
            "the curve is secp256k1, P-256, P-384 or P-521 was expected",
        ],
    );
}

#[test]
fn an_rsa_key_that_is_longer_than_any_needs_is_refused() {
    let long = PKey::from_rsa(Rsa::generate(4104).unwrap()).unwrap();
    let (folder, authority) = (Folder::new(), Authority::with_key("CA", long));
    refused(
        Signer::told(settings(&folder, &authority)),
        &[
            &folder.path("ca.key"),
            "an RSA key of 4104 bits is too long, 2048 to 4096 were expected",
        ],
    );
}

/// conformance 19: no RSASSA-PSS but in the forms that are listed.
#[test]
fn a_key_that_cannot_sign_as_configured_is_refused() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let settings = with_key(&folder, &authority, |key| key.padding = Padding::Pss);
    let sentence = "padding \"pss\" is of RSA keys, and this is none";
    refused(Signer::told(settings), &[&folder.path("ca.key"), sentence]);
    // Bound to a digest by its own parameters.
    let options = ["rsa_keygen_bits:2048", "rsa_pss_keygen_md:sha384"];
    let bound = generated("RSA-PSS", &options).unwrap();
    let folder = Folder::new();
    let responder = authority.responder(&bound, Purpose::Responder, (-3600, 3600));
    let settings = with_key(&folder, &authority, |key| {
        key.key = in_file(&folder.key("responder.key", &bound));
        key.responder = Some(text(&folder.certificate("responder.crt", &responder)));
    });
    refused(
        Signer::told(settings),
        &[
            &folder.path("responder.key"),
            "the key does not sign by RSASSA-PSS with SHA-256: ",
        ],
    );
}

/// conformance 21: a key of ML-DSA is known by its certificate, whatever OpenSSL there is.
#[test]
fn a_key_that_this_openssl_does_not_know_is_called_by_its_name() {
    let (authority, key) = (Authority::new("CA"), p256());
    let responder = authority.responder(&key, Purpose::Responder, (-3600, 3600));
    for (last, name, octets) in [(17, "44", 1312), (18, "65", 1952), (19, "87", 2592)] {
        let responder = changed(&responder, &authority.key, |certificate| {
            let info = &mut certificate.tbs_certificate.subject_public_key_info;
            let oid = format!("2.16.840.1.101.3.4.3.{last}");
            info.algorithm.oid = oid.parse().unwrap();
            info.algorithm.parameters = None;
            let bits = der::asn1::BitString::from_bytes(&vec![7; octets]);
            info.subject_public_key = bits.unwrap();
        });
        let sentence = if openssl::version::number() < 0x3050_0000 {
            let found = openssl::version::version();
            format!(
                "its public key cannot be used: ML-DSA-{name} needs OpenSSL 3.5 or newer, {found} was found"
            )
        } else {
            "is not the key of the certificate".to_owned()
        };
        let folder = Folder::new();
        let settings = with_key(&folder, &authority, |key| {
            key.responder = Some(text(&folder.certificate("responder.crt", &responder)));
        });
        refused(
            Signer::told(settings),
            &[&folder.path("responder.crt"), &sentence],
        );
    }
}

#[test]
fn an_issuers_certificate_that_is_absent_unreadable_or_not_valid_now_is_refused() {
    for (certificate, part) in [
        (None, "No such file or directory"),
        (
            Some(&b"no certificate"[..]),
            "holds no certificate that can be read, PEM or DER was expected",
        ),
    ] {
        let (folder, authority) = (Folder::new(), Authority::new("CA"));
        let settings = settings(&folder, &authority);
        let path = folder.path("ca.crt");
        std::fs::remove_file(&path).unwrap();
        if let Some(octets) = certificate {
            folder.file("ca.crt", octets);
        }
        refused(Signer::told(settings), &[&path, part]);
    }
    for valid in [(-7200, -3600), (3600, 7200)] {
        let (folder, authority) = (Folder::new(), Authority::valid("CA", p256(), valid));
        let settings = settings(&folder, &authority);
        refused(Signer::told(settings), &[&folder.path("ca.crt"), "not now"]);
    }
}

#[test]
fn a_responder_that_the_issuer_did_not_delegate_is_refused() {
    let authority = Authority::new("CA");
    let valid = (-3600, 3600);
    let responder = |by: &Authority, purpose, valid| by.responder(&authority.key, purpose, valid);
    for (certificate, part) in [
        (
            responder(&Authority::new("CA"), Purpose::Responder, valid),
            "is not signed by the key of",
        ),
        (
            responder(&Authority::new("Other"), Purpose::Responder, valid),
            "names another issuer than the subject of",
        ),
        (
            responder(&authority, Purpose::Person, valid),
            "lacks the extended key usage OCSPSigning",
        ),
        (
            responder(&authority, Purpose::Responder, (-7200, -3600)),
            "not now",
        ),
        (
            responder(&authority, Purpose::Responder, (3600, 7200)),
            "not now",
        ),
    ] {
        responder_refused(&authority, &certificate, part);
    }
}

/// The warnings of a signer whose issuer has this delegated responder's certificate, without the name of its file.
fn warnings(authority: &Authority, key: &PKey<Private>, responder: &X509) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.certificate("responder.crt", responder);
    let settings = with_key(&folder, authority, |settings| {
        settings.key = in_file(&folder.key("responder.key", key));
        settings.responder = Some(text(&path));
    });
    warnings_of(settings, &path)
}

/// The warnings about a file.
fn warnings_of(settings: SignerSettings, path: &str) -> Vec<String> {
    let mut signer = Signer::told(settings);
    let report = signer.report();
    let Some(Report::Ready(notes)) = report else {
        panic!("ready was expected: {report:?}");
    };
    let about = format!("warning: {path}: ");
    let warnings = notes.iter().filter_map(|note| note.strip_prefix(&about));
    warnings.map(str::to_owned).collect()
}

const AKI: &str = "2.5.29.35";
const EKU: &str = "2.5.29.37";
const NOCHECK: &str = "1.3.6.1.5.5.7.48.1.5";
const KEY_USAGE: &str = "2.5.29.15";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const ACCESS: &str = "1.3.6.1.5.5.7.1.1";

/// An extension of a certificate as it should be changed: its name, criticality and value.
type Change = (&'static str, Option<(bool, &'static [u8])>);

/// Ways to break the profile of a responder's certificate, each in one extension, and what is said of it.
#[rustfmt::skip]
const FLAWS: [(Change, &str); 20] = [
    ((AKI, None), NO_AKI),
    ((AKI, Some((true, &[0x30, 0]))), NO_AKI),
    (("2.5.29.17", Some((false, &[0x30, 3, 0x82, 1, 0x61]))), "has a subjectAltName, which a responder's must not (BR 7.1.2.8.2)"),
    (("2.5.29.30", Some((true, &[0x30, 0]))), "has nameConstraints, which a responder's must not (BR 7.1.2.8.2)"),
    (("2.5.29.32", Some((false, &[0x30, 6, 0x30, 4, 6, 2, 0x2a, 3]))), "has certificatePolicies, which a responder's must not (BR 7.1.2.8.2)"),
    (("2.5.29.31", Some((false, &[0x30, 0]))), "has cRLDistributionPoints, which a responder's must not (BR 7.1.2.8.2)"),
    ((BASIC_CONSTRAINTS, Some((false, &[0x30, 0]))), A_CA),
    ((BASIC_CONSTRAINTS, Some((true, &[0x30, 3, 1, 1, 0xff]))), A_CA),
    ((BASIC_CONSTRAINTS, Some((true, &[0x30, 3, 1, 1, 0]))), A_CA),
    ((EKU, Some((false, &[0x30, 0x14, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]))), MORE_EKU),
    ((EKU, Some((false, &[0x30, 0x10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9, 6, 4, 0x55, 0x1d, 0x25, 0]))), MORE_EKU),
    ((NOCHECK, None), "lacks id-pkix-ocsp-nocheck, so clients may ask about the responder itself (BR 7.1.2.8.6)"),
    ((NOCHECK, Some((true, &[5, 0]))), ODD_NOCHECK),
    ((NOCHECK, Some((false, &[]))), ODD_NOCHECK),
    ((NOCHECK, Some((false, &[0x30, 0]))), ODD_NOCHECK),
    ((KEY_USAGE, None), ODD_USAGE),
    ((KEY_USAGE, Some((false, &[3, 2, 7, 0x80]))), ODD_USAGE),
    ((KEY_USAGE, Some((true, &[3, 2, 6, 0xc0]))), ODD_USAGE),
    ((ACCESS, Some((false, &[0x30, 0x0f, 0x30, 0x0d, 6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 0x86, 1, 0x61]))), OCSP_ACCESS),
    ((ACCESS, Some((false, &[5, 0]))), OCSP_ACCESS),
];
const NO_AKI: &str = "lacks authorityKeyIdentifier, or has it critical (BR 7.1.2.8.2)";
const A_CA: &str =
    "has basicConstraints that are not critical, or not empty (30 00) (BR 7.1.2.8.4)";
const MORE_EKU: &str = "has other extended key usages beside OCSPSigning (BR 7.1.2.8.5)";
const ODD_NOCHECK: &str =
    "has an id-pkix-ocsp-nocheck that is critical, or not NULL (05 00) (BR 7.1.2.8.6)";
const ODD_USAGE: &str =
    "has no key usage that is critical, and digitalSignature alone (BR 7.1.2.8.7)";
const OCSP_ACCESS: &str = "names an OCSP responder in its authorityInfoAccess (RFC 9919 3.2.2)";

/// A responder's certificate with one extension changed.
fn responder_with(authority: &Authority, key: &PKey<Private>, (oid, value): Change) -> X509 {
    let responder = authority.responder(key, Purpose::Responder, (-3600, 3600));
    changed(&responder, &authority.key, |certificate| {
        set_extension(certificate, oid, value);
    })
}

/// conformance 64, 66, 67: the extensions that a delegated responder's certificate has, and the ones that it has not.
#[test]
fn what_a_responders_certificate_has_against_its_profile_is_noted() {
    let (authority, key) = (Authority::new("CA"), p256());
    for (change, sentence) in FLAWS {
        let responder = responder_with(&authority, &key, change);
        assert_eq!(warnings(&authority, &key, &responder), [sentence]);
    }
    // What the profile leaves open.
    for change in [
        (BASIC_CONSTRAINTS, None),
        (BASIC_CONSTRAINTS, Some((true, &[0x30, 0][..]))),
        (
            EKU,
            Some((true, &[0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9])),
        ),
        // caIssuers
        (
            ACCESS,
            Some((
                false,
                &[
                    0x30, 0x0f, 0x30, 0x0d, 6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, 1, 0x61,
                ],
            )),
        ),
        ("2.5.29.14", Some((false, &[4, 1, 7]))),
    ] {
        let responder = responder_with(&authority, &key, change);
        assert_eq!(warnings(&authority, &key, &responder), [""; 0]);
    }
}

const BR: [Preset; 3] = [Preset::Cabf, Preset::Mozilla, Preset::Microsoft];

/// Refused under these policies for one clause, which ends the sentence, and ready under all others.
fn clause(policies: &[Preset], sentence: &str, settings: impl Fn(&Folder) -> IssuerSettings) {
    for policy in [&BR[..], &[Preset::Private]].concat() {
        let folder = Folder::new();
        let issuer = IssuerSettings {
            policy,
            ..settings(&folder)
        };
        let mut signer = Signer::told(settings_for(vec![issuer]));
        match signer.report() {
            Some(Report::Refused(reasons)) if policies.contains(&policy) => {
                assert_eq!(reasons.len(), 1, "{reasons:?}");
                assert!(reasons[0].starts_with("issuer \"ca\": "), "{reasons:?}");
                assert!(reasons[0].ends_with(sentence), "{sentence}: {reasons:?}");
            }
            Some(Report::Ready(_)) if !policies.contains(&policy) => {}
            other => panic!("{policy:?}: {sentence}: {other:?}"),
        }
    }
}

/// conformance 57: an answer is valid for 8 hours at least, and 10 days at most, by Microsoft 7.
#[test]
fn a_policy_bounds_the_validity() {
    let authority = Authority::new("CA");
    let of = |validity| {
        let authority = &authority;
        move |folder: &Folder| IssuerSettings {
            validity,
            ..issuer(folder, "ca", authority)
        }
    };
    let day = 86_400;
    let (least, most) = (28_800, 10 * day);
    clause(
        &BR,
        ": the validity is less than 8h (BR 4.9.9)",
        of(least - 1),
    );
    clause(&[], "", of(least));
    clause(&[], "", of(7 * day));
    let seven = ": the validity is more than 7d (MS 3.2.2)";
    clause(&[Preset::Microsoft], seven, of(7 * day + 1));
    clause(&[Preset::Microsoft], seven, of(most));
    let ten = ": the validity is more than 10d (BR 4.9.9)";
    for policy in [Preset::Cabf, Preset::Mozilla] {
        let folder = Folder::new();
        let issuer = IssuerSettings {
            policy,
            ..of(most + 1)(&folder)
        };
        refused(Signer::told(settings_for(vec![issuer])), &[ten]);
    }
}

/// conformance 54: ETSI's answers say that nothing is forgotten.
#[test]
fn a_policy_wants_the_archive_cutoff() {
    let authority = Authority::new("CA");
    let told = |archive_cutoff| {
        let folder = Folder::new();
        let issuer = IssuerSettings {
            policy: Preset::Etsi,
            archive_cutoff,
            validity: 3600,
            ..issuer(&folder, "ca", &authority)
        };
        (Signer::told(settings_for(vec![issuer])), folder)
    };
    let sentence = ": archive-cutoff is not \"issuer\" (EN 319 411-2 CSS-6.3.10-08)";
    for other in [None, Some(ArchiveCutoff::Retained(86_400))] {
        refused(told(other).0, &[sentence]);
    }
    let (mut signer, _folder) = told(Some(ArchiveCutoff::Issuer));
    assert!(matches!(signer.report(), Some(Report::Ready(_))));
}

/// conformance 45: an unassigned serial is never good, which only a certificate proves.
#[test]
fn a_policy_wants_proof_of_good() {
    let authority = Authority::new("CA");
    let sentence =
        "good = \"status\" does not see to it that an unassigned serial is never good (BR 4.9.9)";
    clause(&BR, sentence, |folder| IssuerSettings {
        good: GoodPolicy::Status,
        ..issuer(folder, "ca", &authority)
    });
}

/// conformance 19, 20: the kinds of keys that the rule books list.
#[test]
fn a_policy_bounds_the_keys() {
    let none = "the key is neither RSA nor P-256, P-384 or P-521 (BR 6.1.5)";
    let p521 = "the key is on P-521, where P-256 or P-384 was expected (MRSP 5.1)";
    let odd = "the size of the RSA key is no multiple of 8 bits (BR 6.1.5)";
    let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    for (key, policies, sentence) in [
        (PKey::generate_ed25519().unwrap(), &BR[..], none),
        (PKey::generate_ed448().unwrap(), &BR, none),
        (ec(Nid::SECP521R1), &[Preset::Mozilla], p521),
        (ec(Nid::SECP384R1), &[], ""),
        (rsa(2052), &BR, odd),
        (rsa(2048), &[], ""),
    ] {
        let authority = Authority::with_key("CA", key);
        clause(policies, sentence, |folder| {
            issuer(folder, "ca", &authority)
        });
    }
}

/// conformance 64, 66, 67: what is a warning elsewhere is a refusal under a policy of the Baseline Requirements.
#[test]
fn a_policy_wants_the_profile_of_a_responders_certificate() {
    let (authority, key) = (Authority::new("CA"), p256());
    for (change, sentence) in FLAWS {
        let responder = responder_with(&authority, &key, change);
        clause(&BR, &format!("/responder.crt: {sentence}"), |folder| {
            let mut issuer = issuer(folder, "ca", &authority);
            let mut settings = issuer.keys[0].clone();
            settings.key = in_file(&folder.key("responder.key", &key));
            settings.responder = Some(text(&folder.certificate("responder.crt", &responder)));
            issuer.keys = List::new([settings]).unwrap();
            issuer
        });
    }
}

/// conformance 68: a CA's key without digitalSignature must not sign answers.
#[test]
fn a_policy_wants_digital_signature_of_an_authority_that_signs() {
    let mut authority = Authority::new("CA");
    authority.certificate = changed(&authority.certificate, &authority.key, |certificate| {
        set_extension(certificate, KEY_USAGE, Some((true, &[3, 2, 1, 6])));
    });
    let sentence =
        "its key usage lacks digitalSignature, so clients may refuse its answers (BR 7.1.2.10.7)";
    clause(&BR, sentence, |folder| issuer(folder, "ca", &authority));
}

/// `check` prints each.
#[test]
fn every_clause_that_is_broken_is_reported_at_once() {
    let authority = Authority::with_key("CA", PKey::generate_ed448().unwrap());
    let folder = Folder::new();
    let issuer = IssuerSettings {
        policy: Preset::Cabf,
        validity: 60,
        good: GoodPolicy::Status,
        ..issuer(&folder, "ca", &authority)
    };
    let mut signer = Signer::told(settings_for(vec![issuer]));
    let Some(Report::Refused(reasons)) = signer.report() else {
        panic!("a refusal was expected");
    };
    let clauses = reasons
        .iter()
        .map(|reason| reason.rsplit('(').next().unwrap());
    let clauses: Vec<_> = clauses.collect();
    assert_eq!(clauses, ["BR 4.9.9)", "BR 4.9.9)", "BR 6.1.5)"]);
}

/// conformance 67: a key usage without digitalSignature does not sign answers, whatever the policy.
#[test]
fn a_responder_whose_key_usage_lacks_digital_signature_is_refused() {
    let (authority, key) = (Authority::new("CA"), p256());
    let responder = responder_with(
        &authority,
        &key,
        (KEY_USAGE, Some((true, &[3, 2, 6, 0x40]))),
    );
    let part = "its key usage lacks digitalSignature, which a responder's needs";
    responder_refused(&authority, &responder, part);
}

/// conformance 68: a CA's key without digitalSignature should not sign answers.
#[test]
fn an_authority_whose_key_usage_lacks_digital_signature_is_noted() {
    let mut authority = Authority::new("CA");
    for (value, sentences) in [
        (
            Some((true, &[3, 2, 1, 6][..])),
            &[
                "its key usage lacks digitalSignature, so clients may refuse its answers (BR 7.1.2.10.7)",
            ][..],
        ),
        (Some((true, &[3, 2, 1, 0x86])), &[]),
        (None, &[]),
    ] {
        authority.certificate = changed(&authority.certificate, &authority.key, |certificate| {
            set_extension(certificate, KEY_USAGE, value);
        });
        let folder = Folder::new();
        let settings = settings(&folder, &authority);
        assert_eq!(warnings_of(settings, &folder.path("ca.crt")), sentences);
    }
}

#[test]
fn every_issuer_that_does_not_fit_is_reported_at_once() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let issuers = ["one", "two", "three"].map(|name| issuer(&folder, name, &authority));
    set_mode(folder.path("one.key"), 0o444);
    set_mode(folder.path("three.key"), 0o444);
    let mut signer = Signer::told(settings_for(issuers.to_vec()));
    let Some(Report::Refused(reasons)) = signer.report() else {
        panic!("a refusal was expected");
    };
    assert_eq!(reasons.len(), 2);
    for (reason, name) in reasons.iter().zip(["one", "three"]) {
        let path = folder.path(&format!("{name}.key"));
        assert!(reason.contains(&path), "{reason}");
    }
}

#[test]
fn a_signer_under_other_ids_than_its_settings_say_is_refused() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let told = settings(&folder, &authority);
    for (uid, gid, part) in [
        (told.uid + 1, told.gid, "its user ids are"),
        (told.uid, told.gid + 1, "its group ids are"),
    ] {
        let settings = SignerSettings {
            uid,
            gid,
            ..told.clone()
        };
        refused(
            Signer::told(settings),
            &["the process is not confined: ", part],
        );
    }
}

#[test]
fn a_signer_that_should_be_separated_and_has_a_bounding_set_is_refused() {
    let bounding = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = bounding
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .unwrap()
        .trim()
        .chars()
        .any(|digit| digit != '0');
    let groups = nix::unistd::getgroups().unwrap();
    if !bounding && groups.is_empty() {
        return skipped("the bounding set is empty here, and there is no group");
    }
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let settings = SignerSettings {
        separated: true,
        ..settings(&folder, &authority)
    };
    refused(Signer::told(settings), &["the process is not confined: "]);
}

#[test]
fn a_stray_descriptor_is_refused_wherever_it_leads() {
    for stray in ["/dev/null", "/proc/self/status", "/proc/self/fd", "/"] {
        let (folder, authority) = (Folder::new(), Authority::new("CA"));
        refused(
            Signer::told_with_stray(stray, settings(&folder, &authority)),
            &["it was started with other descriptors than 0, 1 and 2"],
        );
    }
}

#[test]
fn a_signer_that_serves_is_confined_and_holds_three_descriptors() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    signer.signs(question(vec![unknown(&[5])]));
    let process = format!("/proc/{}", signer.pid());
    let (uid, gid) = identity();
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("{process}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for line in [
            format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"),
            format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"),
            "NoNewPrivs:\t1".to_owned(),
            "CapInh:\t0000000000000000".to_owned(),
            "CapPrm:\t0000000000000000".to_owned(),
            "CapEff:\t0000000000000000".to_owned(),
            "CapAmb:\t0000000000000000".to_owned(),
            "Seccomp:\t2".to_owned(),
        ] {
            assert!(
                status.lines().any(|found| found == line),
                "{line}: {status}"
            );
        }
        threads += 1;
    }
    assert_eq!(
        threads, 3,
        "one that follows the launcher, and two that sign"
    );
    // A process that cannot be dumped belongs to root in /proc: only root can look further.
    if nix::unistd::geteuid().is_root() {
        let mut descriptors = std::fs::read_dir(format!("{process}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>();
        descriptors.sort();
        assert_eq!(descriptors, ["0", "1", "2"]);
        let environment = std::fs::read(format!("{process}/environ")).unwrap();
        assert_eq!(environment, b"MALLOC_ARENA_MAX=1\0");
    } else {
        assert!(std::fs::read_dir(format!("{process}/fd")).is_err());
    }
}

#[test]
fn check_mode_reports_and_leaves_without_a_word_on_the_boundary() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let mut signer = Signer::told(SignerSettings {
        mode: Mode::Check,
        ..settings(&folder, &authority)
    });
    let Some(Report::Ready(notes)) = signer.report() else {
        panic!("ready was expected");
    };
    let note = format!(
        "key {} (256 bits, ecdsa-with-SHA256)",
        folder.path("ca.key")
    );
    assert!(notes.iter().any(|found| found.contains(&note)), "{notes:?}");
    assert_eq!(signer.answer(), None);
    let (code, log) = signer.left();
    assert_eq!((code, log), (Some(DONE), Vec::new()));
}

#[test]
fn a_launcher_that_breaks_the_protocol_before_the_settings_is_none() {
    let mut signer = Signer::silent(None);
    signer.order(&SignerOrder::Hello(Version::ours()));
    signer.order(&SignerOrder::Ping(1));
    let (code, log) = signer.left();
    assert_eq!(code, Some(USAGE));
    assert!(
        log.len() == 1 && log[0].starts_with("<3>ocsp-signer is started by ocsp-server"),
        "{log:?}"
    );

    let mut signer = Signer::silent(None);
    signer.order(&SignerOrder::Hello(Version {
        protocol: 0,
        ..Version::ours()
    }));
    assert_eq!(signer.left().0, Some(USAGE));
}

#[test]
fn a_launcher_that_closes_the_socket_before_the_settings_wants_no_signer() {
    let signer = Signer::silent(None);
    signer.end_control();
    assert_eq!(signer.left(), (Some(DONE), Vec::new()));
}

#[test]
fn settings_come_once() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let settings = settings(&folder, &authority);
    let mut signer = Signer::ready(settings.clone());
    signer.order(&SignerOrder::Settings(settings));
    let (code, log) = signer.left();
    assert_eq!(code, Some(BROKEN));
    assert_eq!(
        log,
        ["<3>the control socket: a message at a place where it must not stand"]
    );
}
