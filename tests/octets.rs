//! The whole daemon, octet by octet: GET, HEAD and bare DER against POST, and the answer that was published once.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use harness::*;

/// conformance 70, 71: GET, escaped or raw, gives the octets of POST, public.
#[test]
fn get_in_every_spelling_gives_the_octets_of_post() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    // A serial whose request has +, / and = in its base64 is found by trying.
    let request = (0..200)
        .map(|number| format!("7{number:03}F{:03}FBEFFF", number * 7))
        .find_map(|serial| {
            let request = ca.request(&format!("-no_nonce -serial 0x{serial}"));
            let text = base64(&request);
            let found = text.contains('+') && text.contains('/') && text.ends_with('=');
            found.then_some((serial, request))
        });
    let (serial, request) = request.unwrap();
    ca.set_index(&format!(
        "R\t350101000000Z\t240102030405Z\t{serial}\tunknown\t/CN=odd\n"
    ));
    let server = Server::of(&folder, &ca, "");
    let expected = server.post(&request).answer();
    let raw = base64(&request);
    let escaped = raw
        .replace('+', "%2B")
        .replace('/', "%2f")
        .replace('=', "%3D");
    for path in [
        format!("/{raw}"),
        format!("/{escaped}"),
        format!("//{raw}"),
        format!("/some/prefix/{escaped}"),
        format!("/{}", raw.trim_end_matches('=')),
    ] {
        let mut client = Client::to(server.address).unwrap();
        client.send(&bodiless("GET", &path)).unwrap();
        let got = client.response().unwrap();
        assert_eq!(
            got.header("content-type"),
            Some("application/ocsp-response")
        );
        assert!(
            got.header("cache-control").unwrap().contains("public"),
            "{got:?}"
        );
        assert_eq!(got.answer(), expected, "{path}");
    }
}

/// conformance 74: HEAD has the header fields of GET, and no content.
#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    let path = format!("/{}", base64(&ca.request("-no_nonce -cert good.crt")));
    // Within one second: max-age and Date count it.
    until("GET and HEAD within one second", || {
        let mut client = Client::to(server.address).unwrap();
        client.send(&bodiless("GET", &path)).unwrap();
        let got = client.response().unwrap();
        client.send(&bodiless("HEAD", &path)).unwrap();
        let head = client.head().unwrap();
        client.send(&bodiless("GET", &path)).unwrap();
        // Had the HEAD had a body, this would not be the beginning of a response.
        let again = client.response().unwrap();
        assert_eq!((again.status, &again.body), (200, &got.body));
        assert_eq!(head.status, 200);
        for name in ["content-length", "etag", "last-modified", "expires"] {
            assert_eq!(head.header(name), got.header(name), "{name}");
            assert!(head.header(name).is_some(), "{name}");
        }
        (got.header("date") == again.header("date")).then(|| {
            assert_eq!(head.headers, got.headers);
        })
    });
}

#[test]
fn bare_der_over_tcp_is_answered_with_the_octets_of_post() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    let request = ca.request("-no_nonce -cert good.crt");
    let expected = server.post(&request).answer();
    let (host, port) = (
        server.address.ip().to_string(),
        server.address.port().to_string(),
    );
    let answered = output("/", &["nc", "-N", &host, &port], &request);
    assert!(answered.status.success());
    assert_eq!(answered.stdout, expected);
}

#[test]
fn several_bare_requests_are_answered_on_one_connection_in_order() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "");
    let requests = ["good", "revoked", "unlisted", "good"]
        .map(|name| ca.request(&format!("-no_nonce -cert {name}.crt")));
    let expected = requests.clone().map(|request| server.post(&request).body);
    // One after the other, and all at once with the client's end behind them.
    let mut client = Client::to(server.address).unwrap();
    for (request, expected) in requests.iter().zip(&expected) {
        client.send(request).unwrap();
        assert_eq!(client.octets(expected.len()).unwrap(), *expected);
    }
    client.send(&requests.concat()).unwrap();
    client.end();
    assert_eq!(client.rest(), expected.concat());
    // What is no request ends the connection with malformedRequest, in bare DER.
    let mut client = Client::to(server.address).unwrap();
    client.send(&[0x30, 2, 5, 0]).unwrap();
    client.end();
    assert_eq!(client.rest(), [0x30, 3, 0x0a, 1, MALFORMED]);
}

const PUBLISHED_REQUEST: &[u8] = include_bytes!("vectors/published-request.der");
const PUBLISHED_RESPONSE: &[u8] = include_bytes!("vectors/published-response.der");
const PUBLISHED_SERIAL: &str = "094E315FA6ADB9BC3EA20564A7B22EE6EBAA55E0";

#[test]
fn the_published_request_is_understood() {
    let folder = Folder::new();
    let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
    let server = Server::of(&folder, &ca, "unknown = \"unknown\"");
    // Its issuer is not ours. Were it not understood, the error would be another.
    assert_eq!(server.post(PUBLISHED_REQUEST).error(), UNAUTHORIZED);
    assert_eq!(server.post(&PUBLISHED_REQUEST[1..]).error(), MALFORMED);
}

/// conformance 8, 16: byKey with its tags, and every time to the second in UTC.
#[test]
fn the_published_question_is_answered_in_the_published_shape() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::Rsa, By::Itself);
    ca.issue_with_serial("person", PUBLISHED_SERIAL);
    let server = Server::of(&folder, &ca, "validity = \"1d\"");
    // The published request about the same serial, of an issuer of ours: only the two hashes are exchanged.
    let ours = ca.request("-cert person.crt");
    let mut request = PUBLISHED_REQUEST.to_vec();
    for (offset, before) in [(23, &[5, 0, 4, 20][..]), (45, &[4, 20])] {
        assert_eq!(request[offset - before.len()..offset], *before);
        request[offset..offset + 20].copy_from_slice(&ours[offset..offset + 20]);
    }
    let nonce = &request[request.len() - 16..];
    let answer = server.post(&request).answer();

    let (published, ours) = (basic(PUBLISHED_RESPONSE), basic(&answer));
    assert_eq!(shape(PUBLISHED_RESPONSE), shape(&answer));
    let mut without_nonce = shape(&ours);
    let extensions = without_nonce
        .iter()
        .position(|(depth, kind)| (*depth, &**kind) == (2, "cons: cont [ 1 ]"));
    let start = extensions.unwrap();
    let length = without_nonce[start + 1..]
        .iter()
        .take_while(|(depth, _)| *depth > 2)
        .count();
    let extensions: Vec<_> = without_nonce.drain(start..=start + length).collect();
    assert!(
        extensions
            .iter()
            .any(|(_, kind)| kind.contains("OCSP Nonce")),
        "{extensions:?}"
    );
    assert_eq!(without_nonce, shape(&published));
    assert!(
        ours.windows(18)
            .any(|octets| octets == [&[4, 16], nonce].concat())
    );

    for basic in [published, ours] {
        let times = times(&basic);
        let [produced_at, this_update, next_update] = [0, 1, 2].map(|at| seconds(&times[at]));
        assert_eq!(times.len(), 3);
        assert_eq!(produced_at, this_update);
        assert_eq!(next_update, this_update + 86_400 - 1);
    }
    let said = ca.reads(&answer);
    contains(
        &said,
        &[
            "Cert Status: good",
            PUBLISHED_SERIAL,
            "sha256WithRSAEncryption",
            "Hash Algorithm: sha1",
        ],
    );
}
