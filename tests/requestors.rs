//! The whole daemon, asked by signed requests, which `openssl ocsp -signer` made.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;

/// What `openssl ocsp` needs to sign as `NAME` of a CA.
fn signer(ca: &Ca, name: &str) -> String {
    let (certificate, key) = (
        ca.path(&format!("{name}.crt")),
        ca.path("private/person.key"),
    );
    format!("-signer {certificate} -signkey {key}")
}

/// conformance 28: signatures are ignored where nobody wants them, whoever made them: the answer is the one to an unsigned
/// request.
#[test]
fn a_signed_request_is_answered_like_any_other_by_default() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let strangers = Ca::new(&folder, "strangers", Kind::Rsa, By::Itself);
    strangers.issue("somebody");
    let server = Server::of(&folder, &ca, "");
    let by = signer(&strangers, "somebody");
    for (name, status) in [("good", "good"), ("revoked", "revoked")] {
        let said = server.ask(&ca, &format!("-cert {name}.crt {by}"));
        contains(
            &said,
            &["Response verify OK", &format!("{name}.crt: {status}")],
        );
    }
    let plain = ca.request("-no_nonce -cert good.crt");
    let signed = ca.request(&format!("-no_nonce -cert good.crt {by}"));
    assert!(signed.len() > plain.len() + 500, "it is not signed");
    assert_eq!(server.post(&signed).answer(), server.post(&plain).answer());
}

/// conformance 29: where signed requests are required, an unsigned one is sigRequired, and one by a stranger unauthorized.
/// conformance 4: as RFC 6960 section 2.3 has both.
/// conformance 2: sigRequired is `30 03 0A 01 05`.
#[test]
fn who_may_ask_is_whose_certificate_chains_to_the_clients() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let clients = Ca::new(&folder, "clients", Kind::P256, By::Itself);
    let strangers = Ca::new(&folder, "strangers", Kind::P256, By::Itself);
    clients.issue("somebody");
    strangers.issue("somebody");
    let file = clients.path("ca.crt");
    let config = |issuer: &str| head(ADMIN) + &ca.source("") + &ca.issuer(issuer);
    let signed = format!("requests = \"signed\"\nclients = {file:?}");
    let server = Server::new(&folder, &config(&signed));
    let (friend, stranger) = (signer(&clients, "somebody"), signer(&strangers, "somebody"));
    for nonce in ["", " -no_nonce"] {
        let ask = |more: &str| server.ask(&ca, &format!("-cert good.crt{nonce}{more}"));
        contains(&ask(""), &["Responder Error: sigrequired (5)"]);
        let said = ask(&format!(" {friend}"));
        contains(&said, &["Response verify OK", "good.crt: good"]);
        let said = ask(&format!(" {stranger}"));
        contains(&said, &["Responder Error: unauthorized (6)"]);
    }
    // What nobody has a record of is unauthorized to a friend, and no more is said to others.
    let said = server.ask(&ca, &format!("-cert unlisted.crt {friend}"));
    contains(&said, &["Responder Error: unauthorized (6)"]);
    let said = server.ask(&ca, "-cert unlisted.crt");
    contains(&said, &["Responder Error: sigrequired (5)"]);
    let unsigned = server.post(&ca.request("-cert good.crt"));
    assert_eq!(unsigned.body, [0x30, 3, 0x0a, 1, SIG_REQUIRED]);
    assert_eq!(unsigned.header("cache-control"), Some("no-store"));
    server
        .says("a signed request is answered unauthorized: unable to get local issuer certificate");
    let page = server.metrics();
    assert_eq!(
        metric(&page, "ocsp_answers_total{answer=\"sigRequired\"}"),
        4
    );

    // A file that is none, on a reload: all goes on as before.
    let wrong = signed.replace("ca.crt", "index.txt");
    server.reload(&config(&wrong));
    server.says("index.txt: at least one certificate in PEM was expected");
    contains(
        &server.ask(&ca, "-cert good.crt"),
        &["Responder Error: sigrequired (5)"],
    );
    server.reload(&config(""));
    server.next_generation(1);
    contains(&server.ask(&ca, "-cert good.crt"), &["good.crt: good"]);
}

#[test]
fn clients_and_signed_requests_are_configured_together() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Itself);
    for (lines, expected) in [
        (
            "requests = \"signed\"".to_owned(),
            "\"clients\": found nothing, with requests = \"signed\"",
        ),
        (
            format!("clients = {:?}", ca.path("ca.crt")),
            "while any request is answered",
        ),
        ("requests = \"all\"".to_owned(), "requests"),
    ] {
        let config = head("") + &ca.source("") + &ca.issuer(&lines);
        let (code, said) = Server::fails(&folder, &config);
        assert_eq!(code, 3, "{said}");
        contains(&said, &[expected]);
    }
}
