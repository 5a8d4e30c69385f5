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

use std::os::unix::fs::symlink;

use harness::*;
use ocsp_wire::*;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::symm::Cipher;

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
            &format!("mode {mode:04o} lets group or others at the key, 0400 was expected"),
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
        "the key is encrypted, an unencrypted PEM key was expected",
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
            "an RSA key of 1024 bits is too weak, at least 2048 were expected",
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

#[test]
fn a_responder_without_nocheck_is_noted() {
    let (folder, authority) = (Folder::new(), Authority::new("CA"));
    let key = p256();
    let responder = authority.responder(&key, Purpose::ResponderWithoutNocheck, (-3600, 3600));
    let mut issuer = issuer(&folder, "ca", &authority);
    issuer.keys = List::new([KeySettings {
        key: text(&folder.key("responder.key", &key)),
        responder: Some(text(&folder.certificate("responder.crt", &responder))),
        digest: Digest::Sha256,
    }])
    .unwrap();
    let mut signer = Signer::told(settings_for(vec![issuer]));
    let Some(Report::Ready(notes)) = signer.report() else {
        panic!("ready was expected");
    };
    let warning = format!(
        "warning: {}: lacks id-pkix-ocsp-nocheck",
        folder.path("responder.crt")
    );
    assert!(notes.iter().any(|note| note.starts_with(&warning)));
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
