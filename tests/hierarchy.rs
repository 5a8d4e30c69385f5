//! One responder for a root and its intermediate, and what it says of certificates of CAs, and of those that have expired.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;

/// What `openssl ocsp` says of a certificate of a CA, verified up to the root.
fn said(server: &Server, root: &Ca, ca: &Ca, certificate: &str) -> String {
    let (anchor, issuer) = (root.path("ca.crt"), ca.path("ca.crt"));
    let (url, certificate) = (server.url(), ca.path(certificate));
    let words = ["openssl", "ocsp", "-CAfile", &anchor, "-issuer", &issuer];
    let more = ["-cert", &certificate, "-url", &url, "-resp_text"];
    let (well, said) = run(&ca.folder, &[&words[..], &more].concat());
    assert!(well, "{said}");
    contains(&said, &["Response verify OK"]);
    said
}

/// conformance 59: the status of a CA's certificate comes by the way of all others, within `revalidate` of its source. conformance 50:
/// with the reason of its revocation. conformance 64: each issuer's answers are signed by its own key, or its own delegate's.
#[test]
fn a_root_and_its_intermediate_are_answered_for_each_by_its_own_key() {
    for (of_root, of_intermediate) in [(By::Itself, By::Delegate), (By::Delegate, By::Itself)] {
        let folder = Folder::new();
        let root = Ca::new(&folder, "root", Kind::P256, of_root);
        let intermediate = Ca::new(&folder, "intermediate", Kind::P256, of_intermediate);
        intermediate.certified_by(&root).issue("leaf");
        let config = [
            head(""),
            root.source("revalidate = \"1s\""),
            intermediate.source("revalidate = \"1s\""),
            root.issuer(""),
            intermediate.issuer(""),
        ];
        let server = Server::new(&folder, &config.concat());
        let of_leaf = said(&server, &root, &intermediate, "leaf.crt");
        contains(&of_leaf, &["leaf.crt: good"]);
        let of_authority = said(&server, &root, &root, "intermediate.crt");
        contains(&of_authority, &["intermediate.crt: good"]);
        // By the key of whose certificate it is: another one is no answer of the root's.
        let key_hash = |said: &str| {
            let line = said.lines().find(|line| line.contains("Responder Id: "));
            line.unwrap().to_owned()
        };
        assert_ne!(key_hash(&of_leaf), key_hash(&of_authority));
        root.revoke("intermediate", "CACompromise");
        let of_authority = until("the intermediate is revoked", || {
            let said = said(&server, &root, &root, "intermediate.crt");
            said.contains("intermediate.crt: revoked").then_some(said)
        });
        contains(&of_authority, &["Reason: cACompromise"]);
        // What it has issued is for those who validate the path to judge.
        let of_leaf = said(&server, &root, &intermediate, "leaf.crt");
        contains(&of_leaf, &["leaf.crt: good"]);
    }
}

/// A root's own certificate has a status where the source has a row of it.
#[test]
fn a_roots_own_certificate_is_one_of_its_issuer() {
    let folder = Folder::new();
    let root = Ca::new(&folder, "root", Kind::P256, By::Itself);
    let serial = root.serial("ca");
    std::fs::copy(root.path("ca.crt"), root.listed("ca")).unwrap();
    root.set_index(&format!(
        "V\t491231235959Z\t\t{serial}\tunknown\t/CN=root\n"
    ));
    let server = Server::of(&folder, &root, "");
    contains(&said(&server, &root, &root, "ca.crt"), &["ca.crt: good"]);
}

/// conformance 53: what has expired is answered for as long as the source has a row of it.
#[test]
fn what_has_expired_is_answered_while_the_source_has_it() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    let [from, to] = ["20200101000000Z", "20200201000000Z"];
    for name in ["listed", "marked", "revoked"] {
        ca.issue_from_until(name, from, to);
    }
    ca.set_row("marked", "E", "");
    ca.set_row("revoked", "R", "200115000000Z,superseded");
    let config = head("") + &ca.source("revalidate = \"1s\"") + &ca.issuer("");
    let server = Server::new(&folder, &config);
    for (name, status) in [
        ("listed", "good"),
        ("marked", "good"),
        ("revoked", "revoked"),
    ] {
        let said = said(&server, &ca, &ca, &format!("{name}.crt"));
        contains(&said, &[&format!("{name}.crt: {status}")]);
    }
    let index = ca.index();
    let others = index.lines().filter(|line| !line.contains("/CN=listed"));
    ca.set_index(&others.map(|line| format!("{line}\n")).collect::<String>());
    let question = ca.request("-no_nonce -cert listed.crt");
    until("there is no record", || {
        (server.post(&question).error() == 6).then_some(())
    });
}
