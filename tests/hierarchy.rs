//! A root and the CA below it, in one daemon: each has its own source and its own key. `openssl ocsp` knows the root alone.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;

/// A root that lists itself and the CA below it, and that CA, which has issued `good.crt` and `revoked.crt`.
fn hierarchy(folder: &Folder, root: By, below: By) -> [Ca; 2] {
    let root = Ca::new(folder, "root", Kind::Rsa, root);
    let below = Ca::new(folder, "below", Kind::P256, below);
    root.certify(&below).list_itself();
    below.issue("good").issue("revoked");
    below.set_row("revoked", "R", "240102030405Z,keyCompromise");
    [root, below]
}

/// A daemon for both, under a policy.
fn serve(folder: &Folder, [root, below]: &[Ca; 2], policy: &str) -> Server {
    let source = "revalidate = \"1s\"";
    let issuer = format!("policy = {policy:?}");
    let config = head("")
        + &root.source(source)
        + &below.source(source)
        + &root.issuer(&issuer)
        + &below.issuer(&issuer);
    Server::new(folder, &config)
}

/// What `openssl ocsp` says that trusts the root, asked in each way in which a client may.
fn each_way(server: &Server, issuer: &Ca, certificate: &str) -> Vec<String> {
    let ways = ["", "-no_nonce", "-sha256", "-sha256 -no_nonce"];
    let asked = ways.map(|way| {
        // Twice: without nonce, the second answer comes from the cache.
        [(); 2].map(|()| {
            let words = format!(
                "openssl ocsp {way} -CAfile ../root/ca.crt -issuer ca.crt -verify_other ca.crt -cert {certificate} \
                 -url {} -resp_text",
                server.url()
            );
            let words: Vec<&str> = words.split_whitespace().collect();
            let (_, said) = run(&issuer.folder, &words);
            contains(&said, &["Response verify OK"]);
            said
        })
    });
    asked.into_iter().flatten().collect()
}

/// Who signed an answer: the CA itself, or a delegate of its, whose certificate goes along.
fn signed_by(said: &str, algorithm: &str, by: By, issuer: &Ca) {
    contains(said, &[algorithm]);
    // OpenSSL up to 3.1 has spaces around the sign.
    let said = said.replace(" = ", "=");
    match by {
        By::Itself => lacks(&said, &["Certificate:"]),
        By::Delegate => contains(
            &said,
            &[
                "Subject: CN=responder",
                &format!("Issuer: CN={}", issuer.name),
            ],
        ),
    }
}

/// conformance 59: the root says what becomes of the CA below it, and of itself.
#[test]
fn a_root_and_the_ca_below_it_each_answer_for_what_they_issued() {
    for [of_root, of_below] in [[By::Itself, By::Delegate], [By::Delegate, By::Itself]] {
        let folder = Folder::new();
        let both = hierarchy(&folder, of_root, of_below);
        let [root, below] = &both;
        let server = serve(&folder, &both, "private");
        for certificate in ["below.crt", "ca.crt"] {
            for said in each_way(&server, root, certificate) {
                contains(&said, &[&format!("{certificate}: good")]);
                signed_by(&said, "sha256WithRSAEncryption", of_root, root);
            }
        }
        for (certificate, status) in [("good.crt", "good"), ("revoked.crt", "revoked")] {
            for said in each_way(&server, below, certificate) {
                contains(&said, &[&format!("{certificate}: {status}")]);
                signed_by(&said, "ecdsa-with-SHA256", of_below, below);
            }
        }
        // Neither speaks of what the other has issued.
        for (issuer, theirs) in [(root, below.path("good.crt")), (below, root.path("ca.crt"))] {
            let said = server.ask(issuer, &format!("-cert {theirs}"));
            contains(&said, &["Responder Error: unauthorized (6)"]);
        }
        assert_eq!(server.generation().number, 1);
    }
}

/// conformance 59: a CA that is revoked is so at once, and what it issued is still what it says itself.
/// conformance 50: with the reason that its root gave.
#[test]
fn a_ca_is_revoked_by_its_root_with_a_reason() {
    let folder = Folder::new();
    let both = hierarchy(&folder, By::Itself, By::Itself);
    let [root, below] = &both;
    let server = serve(&folder, &both, "cabf");
    for said in each_way(&server, root, "below.crt") {
        contains(&said, &["below.crt: good"]);
    }
    root.revoke("below", "cessationOfOperation");
    until("the CA is revoked", || {
        let said = server.ask(root, "-no_nonce -cert below.crt");
        said.contains("below.crt: revoked").then_some(())
    });
    for said in each_way(&server, root, "below.crt") {
        contains(
            &said,
            &[
                "below.crt: revoked",
                "Revocation Reason: cessationOfOperation (0x5)",
            ],
        );
        lacks(&said, &["Response Single Extensions"]);
    }
    for said in each_way(&server, below, "good.crt") {
        contains(&said, &["good.crt: good"]);
    }
    assert_eq!(server.generation().number, 1);
}
