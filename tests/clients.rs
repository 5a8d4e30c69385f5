//! The whole daemon, asked by other people's clients: `openssl ocsp` and GnuTLS' `ocsptool`.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;

/// conformance 10: the responder is named by its key.
#[test]
fn openssl_is_told_what_index_txt_says_and_verifies_it() {
    for (kind, by) in [
        (Kind::P256, By::Delegate),
        (Kind::P256, By::Itself),
        (Kind::Rsa, By::Delegate),
        (Kind::Rsa, By::Itself),
    ] {
        let folder = Folder::new();
        let ca = Ca::of_three(&folder, kind, by);
        let server = Server::of(&folder, &ca, "");
        let said = server.ask(&ca, "-cert good.crt");
        contains(&said, &["Response verify OK", "good.crt: good"]);
        let said = server.ask(&ca, "-cert revoked.crt");
        contains(
            &said,
            &[
                "Response verify OK",
                "revoked.crt: revoked",
                "\tReason: keyCompromise",
                "\tRevocation Time: Jan  2 03:04:05 2024 GMT",
            ],
        );
        // A delegate's certificate comes along, a CA's does not (RFC 9919 section 3.2.2).
        assert_eq!(said.contains("OCSP Signing"), by == By::Delegate, "{said}");
        assert_eq!(
            said.contains("Certificate:\n"),
            by == By::Delegate,
            "{said}"
        );
        lacks(&said, &["Responder Id: CN"]);
    }
}

#[test]
fn what_openssl_ca_revokes_has_the_time_and_reason_of_its_index() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    ca.revoke("good", "superseded");
    let row = ca
        .index()
        .lines()
        .find(|line| line.contains("superseded"))
        .unwrap()
        .to_owned();
    let time = row
        .split('\t')
        .nth(2)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let server = Server::of(&folder, &ca, "");
    let said = server.ask(&ca, "-cert good.crt");
    contains(
        &said,
        &[
            "good.crt: revoked",
            "Reason: superseded",
            "Response verify OK",
        ],
    );
    let answer = server
        .post(&ca.request("-no_nonce -cert good.crt"))
        .answer();
    let said = times(&basic(&answer));
    assert!(
        said.contains(&format!("20{time}")),
        "{time} was expected in {said:?}"
    );
}

#[test]
fn each_of_the_nine_reasons_of_index_txt_reaches_the_client() {
    // The reasons as openssl writes them into its index, and their numbers (RFC 5280 section 5.3.1).
    let reasons = [
        ("unspecified", None),
        ("keyCompromise", Some("01")),
        ("CACompromise", Some("02")),
        ("affiliationChanged", Some("03")),
        ("superseded", Some("04")),
        ("cessationOfOperation", Some("05")),
        ("certificateHold", Some("06")),
        ("privilegeWithdrawn", Some("09")),
        ("AACompromise", Some("0A")),
    ];
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Itself);
    let rows = reasons.iter().zip(10..).map(|((reason, _), serial)| {
        format!("R\t350101000000Z\t240102030405Z,{reason}\t{serial}\tunknown\t/CN={reason}\n")
    });
    ca.set_index(&rows.collect::<String>());
    let server = Server::of(&folder, &ca, "");
    for ((reason, number), serial) in reasons.iter().zip(10..) {
        let said = server.ask(&ca, &format!("-serial 0x{serial}"));
        contains(
            &said,
            &[
                "Response verify OK",
                ": revoked",
                "Jan  2 03:04:05 2024 GMT",
            ],
        );
        assert_eq!(said.contains("Reason:"), number.is_some(), "{said}");
        let answer = server
            .post(&ca.request(&format!("-no_nonce -serial 0x{serial}")))
            .answer();
        let lines = parsed(&basic(&answer), &[]);
        let found = lines
            .iter()
            .find_map(|line| line.split_once("ENUMERATED        :"));
        assert_eq!(found.map(|(_, number)| number), *number, "{reason}");
    }
}

/// conformance 44, 45: no record, no *good*: unauthorized, or what the issuer's policy says.
#[test]
fn no_record_is_unauthorized_unless_the_issuer_says_otherwise() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let config = |unknown| head("") + &ca.source("") + &ca.issuer(unknown);
    let server = Server::new(&folder, &config(""));
    for nonce in ["", " -no_nonce"] {
        let said = server.ask(&ca, &format!("-cert unlisted.crt{nonce}"));
        contains(&said, &["Responder Error: unauthorized (6)"]);
    }
    let request = ca.request("-no_nonce -cert unlisted.crt");
    assert_eq!(server.post(&request).body, [0x30, 3, 0x0a, 1, UNAUTHORIZED]);

    server.reload(&config("unknown = \"unknown\""));
    server.next_generation(1);
    for nonce in ["", " -no_nonce"] {
        let said = server.ask(&ca, &format!("-cert unlisted.crt{nonce}"));
        contains(&said, &["Response verify OK", "unlisted.crt: unknown"]);
    }

    server.reload(&config("unknown = \"revoked\""));
    server.next_generation(2);
    for nonce in ["", " -no_nonce"] {
        let said = server.ask(&ca, &format!("-cert unlisted.crt{nonce}"));
        contains(
            &said,
            &[
                "Response verify OK",
                "unlisted.crt: revoked",
                "\tReason: certificateHold",
                "\tRevocation Time: Jan  1 00:00:00 1970 GMT",
            ],
        );
        // extended-revoke (RFC 6960 section 4.4.8), which openssl has no name for, or one of its own.
        assert!(
            said.contains("1.3.6.1.5.5.7.48.1.9") || said.to_lowercase().contains("extended"),
            "{said}"
        );
        let said = server.ask(&ca, &format!("-cert good.crt{nonce}"));
        contains(&said, &["good.crt: good"]);
        lacks(&said, &["1.3.6.1.5.5.7.48.1.9"]);
    }
}

#[test]
fn an_issuer_that_is_not_ours_is_unauthorized() {
    let folder = Folder::new();
    let ours = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let theirs = Ca::new(&folder, "theirs", Kind::P256, By::Itself);
    theirs.issue_with_serial("person", &ours.serial("good"));
    let server = Server::of(&folder, &ours, "unknown = \"unknown\"");
    for hash in ["-sha1", "-sha256"] {
        let said = server.ask(&theirs, &format!("{hash} -cert person.crt"));
        contains(&said, &["Responder Error: unauthorized (6)"]);
    }
}

/// conformance 30: CertIDs by SHA-1 and SHA-256 are answered.
#[test]
fn a_cert_id_may_be_hashed_by_sha1_and_the_sha2_family() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    for hash in ["sha1", "sha256", "sha384", "sha512"] {
        for (name, status) in [("good", "good"), ("revoked", "revoked")] {
            for nonce in ["", " -no_nonce"] {
                let words = format!(
                    "openssl ocsp -CAfile ca.crt -{hash} -issuer ca.crt -cert {name}.crt{nonce} -resp_text -url {}",
                    server.url()
                );
                let (_, said) = run(&ca.folder, &words.split(' ').collect::<Vec<_>>());
                let algorithm = format!("Hash Algorithm: {hash}");
                contains(
                    &said,
                    &[
                        "Response verify OK",
                        &format!("{name}.crt: {status}"),
                        &algorithm,
                    ],
                );
            }
        }
    }
}

/// conformance 39, 40: a nonce comes back as it is, and none to whom sent none.
#[test]
fn a_nonce_is_echoed_and_none_is_made_up() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    for name in ["good", "revoked"] {
        let said = server.ask(&ca, &format!("-cert {name}.crt"));
        contains(&said, &["Response verify OK", "OCSP Nonce"]);
        lacks(&said, &["WARNING"]); // openssl compares, and warns of a nonce that is missing
        let said = server.ask(&ca, &format!("-no_nonce -cert {name}.crt"));
        contains(&said, &["Response verify OK", &format!("{name}.crt: ")]);
        lacks(&said, &["OCSP Nonce", "Response Extensions"]);
    }
    // Each of two answers has the nonce of its own question; without nonce, both have the same octets.
    let [one, two] = [(); 2].map(|()| ca.request("-cert good.crt"));
    assert_ne!(one, two);
    for request in [one, two] {
        let nonce = &request[request.len() - 16..];
        let answer = server.post(&request).answer();
        assert!(answer.windows(16).any(|octets| octets == nonce));
    }
    let request = ca.request("-no_nonce -cert good.crt");
    assert_eq!(
        server.post(&request).answer(),
        server.post(&request).answer()
    );
}

/// conformance 27: several certificates in one request are answered.
#[test]
fn several_certificates_in_one_request_are_answered_in_order() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    for nonce in ["", " -no_nonce"] {
        let said = server.ask(
            &ca,
            &format!("-cert revoked.crt -cert unlisted.crt -cert good.crt{nonce}"),
        );
        contains(
            &said,
            &[
                "Response verify OK",
                "revoked.crt: revoked",
                "unlisted.crt: unknown",
                "good.crt: good",
            ],
        );
        let order = ["revoked", "unlisted", "good"].map(|name| {
            said.find(&format!("Serial Number: {}", ca.serial(name)))
                .unwrap()
        });
        assert!(order.is_sorted(), "{said}");
    }
    // None of them has a record: nothing is signed.
    let said = server.ask(&ca, "-cert unlisted.crt -serial 0x9999");
    contains(&said, &["Responder Error: unauthorized (6)"]);
}

#[test]
fn two_issuers_are_kept_apart_down_to_one_serial() {
    let folder = Folder::new();
    let one = Ca::new(&folder, "one", Kind::Rsa, By::Itself);
    let two = Ca::new(&folder, "two", Kind::P256, By::Delegate);
    one.issue_with_serial("same", "0A0B0C").issue("other");
    two.issue_with_serial("same", "0A0B0C").issue("other");
    two.set_row("same", "R", "240102030405Z,superseded");
    let config = head("") + &one.source("") + &two.source("") + &one.issuer("") + &two.issuer("");
    let server = Server::new(&folder, &config);
    // Twice: the second time from the cache.
    for _ in 0..2 {
        for nonce in ["", " -no_nonce"] {
            let said = server.ask(&one, &format!("-cert same.crt{nonce}"));
            contains(
                &said,
                &[
                    "Response verify OK",
                    "same.crt: good",
                    "sha256WithRSAEncryption",
                ],
            );
            let said = server.ask(&two, &format!("-cert same.crt{nonce}"));
            contains(
                &said,
                &[
                    "Response verify OK",
                    "same.crt: revoked",
                    "ecdsa-with-SHA256",
                ],
            );
        }
    }
    // In one request, the first that is ours names the issuer; the other issuer's certificate is unknown in its name.
    // OpenSSL from 3.0.22 on takes no answer about several issuers from one of them; its signature is what is checked here.
    let both = "-no_cert_checks -cert same.crt -issuer ../two/ca.crt -cert ../two/same.crt";
    let said = server.ask(&one, both);
    contains(
        &said,
        &[
            "Response verify OK",
            "\nsame.crt: good",
            "../two/same.crt: unknown",
        ],
    );
}

#[test]
fn an_rsa_key_signs_with_the_digest_that_is_configured() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::Rsa, By::Delegate);
    let config = |digest| head("") + &ca.source("") + &ca.issuer(&format!("digest = \"{digest}\""));
    let server = Server::new(&folder, &config("sha256"));
    for (generation, digest) in [(0, "sha256"), (1, "sha384"), (2, "sha512")] {
        if generation > 0 {
            server.reload(&config(digest));
            server.next_generation(generation);
        }
        let said = server.ask(&ca, "-cert good.crt");
        // The response's algorithm stands before the one of the certificate that comes along.
        let algorithm = said.split("Signature Algorithm: ").nth(1).unwrap();
        assert!(
            algorithm.starts_with(&format!("{digest}WithRSAEncryption")),
            "{said}"
        );
        contains(&said, &["Response verify OK", "good.crt: good"]);
    }
}

#[test]
fn gnutls_verifies_good_and_revoked() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::Rsa, By::Itself);
    let server = Server::of(&folder, &ca, "");
    for nonce in ["--nonce", "--no-nonce"] {
        for (name, expected) in [("good", "good"), ("revoked", "revoked")] {
            let ask = format!("--ask={}", server.url());
            let certificate = format!("--load-cert={name}.crt");
            let words = [
                "ocsptool",
                &ask,
                nonce,
                &certificate,
                "--load-issuer=ca.crt",
                "--load-signer=ca.crt",
            ];
            let (_, said) = run(&ca.folder, &words);
            contains(
                &said,
                &[
                    &format!("Certificate Status: {expected}"),
                    "Verifying OCSP Response: Success",
                ],
            );
            assert_eq!(said.contains("Nonce:"), nonce == "--nonce", "{said}");
        }
    }
}
