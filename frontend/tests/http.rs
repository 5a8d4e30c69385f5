//! What clients see at the socket of a real frontend process: status codes, headers, bare DER, bounds, and the end of a
//! generation. RFC 6960 appendix A, RFC 9919 sections 6 and 7, RFC 9110.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use harness::*;
use ocsp_frontend_settings::{Listener, ListenerKind, NoRecord};
use ocsp_wire::*;
use openssl::sha::sha256;
use x509_cert::ext::pkix::CrlReason;
use x509_ocsp::CertStatus;

/// Long enough to see that nothing comes.
const A_WHILE: u64 = 400;

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The date is now, in the one form that senders may use (RFC 9110 section 5.6.7).
fn is_dated_now(response: &Heard) {
    let text = response.header("date").unwrap();
    let date = httpdate::parse_http_date(text).unwrap();
    assert_eq!(httpdate::fmt_http_date(date), text);
    let date = date.duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(date.abs_diff(now()) <= 20, "{text}");
}

/// What every answer of an OCSP kind has.
fn is_ocsp(response: &Heard) {
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        Some("application/ocsp-response")
    );
    is_dated_now(response);
}

// ---- POST, GET, HEAD ----------------------------------------------------------------------------------------------

/// conformance 86: an answer to POST says nothing of how long it may be kept.
#[test]
fn post_carries_no_cache_directives_where_the_answer_may_be_shared() {
    let stage = Stage::new();
    let frontend = stage.honest();
    for _ in 0..2 {
        let response = frontend.client().post(&stage.authority.ask(GOOD).request());
        is_ocsp(&response);
        assert_eq!(response.names(), ["content-length", "content-type", "date"]);
        assert!(is_good(&response.body));
    }
    let response = frontend
        .client()
        .post(&stage.authority.ask(REVOKED).request());
    let reason = Some(CrlReason::KeyCompromise);
    assert_eq!(told(&response.body).status, revoked(REVOKED_AT, reason));
}

/// conformance 70: GET is answered.
/// conformance 72: the answer is application/ocsp-response, and its length is announced.
/// conformance 74: HEAD has the headers of GET and no content.
/// conformance 77: Expires is nextUpdate.
/// conformance 79: Cache-Control is max-age, public, no-transform, must-revalidate.
/// conformance 81: ETag is SHA-256 of the answer in hexadecimal digits, a strong one.
#[test]
fn get_carries_every_header_of_rfc_9919_and_head_the_same_without_content() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    let response = client.get(&der);
    is_ocsp(&response);
    assert_eq!(
        response.names(),
        [
            "cache-control",
            "content-length",
            "content-type",
            "date",
            "etag",
            "expires",
            "last-modified"
        ]
    );
    let told = told(&response.body);
    assert_eq!(told.status, CertStatus::good());
    assert_eq!(
        response.header("cache-control"),
        Some("max-age=3600, public, no-transform, must-revalidate")
    );
    let tag = format!("\"{}\"", hex(&sha256(&response.body)));
    assert_eq!(response.header("etag"), Some(tag.as_str()));
    assert_eq!(
        response.header("last-modified"),
        Some(date(told.this_update).as_str())
    );
    assert_eq!(
        response.header("expires"),
        Some(date(told.next_update).as_str())
    );

    client.send(&get("HEAD", &der));
    let head = client.head_response();
    is_dated_now(&head);
    assert_eq!(head.headers_without_date(), response.headers_without_date());
    // Nothing followed it: the next answer begins where it ended.
    assert_eq!(client.get(&der).body, response.body);
    assert_eq!(frontend.count(), 1);
}

/// A date in a header, in seconds since 1970.
fn dated(response: &Heard, name: &str) -> u64 {
    let date = httpdate::parse_http_date(response.header(name).unwrap()).unwrap();
    date.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The max-age of an answer that others may keep.
fn max_age(response: &Heard) -> u64 {
    let control = response.header("cache-control").unwrap();
    let age = control.strip_prefix("max-age=").unwrap();
    let (age, rest) = age.split_once(',').unwrap();
    assert_eq!(rest, " public, no-transform, must-revalidate");
    age.parse().unwrap()
}

/// conformance 80: Date + max-age lies after thisUpdate and before nextUpdate, so that max-age shrinks with every second.
/// conformance 62: nobody keeps an answer until it is renewed here, which is when half of a short validity is over.
#[test]
fn max_age_shrinks_with_what_is_left_until_the_answer_is_renewed() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| authority.answers_at(asked, When::around(10, 100)));
    let mut client = frontend.client();
    let mut ages = Vec::new();
    for wait in [0, 1200, 1200] {
        sleep_ms(wait);
        let response = client.get(&stage.authority.ask(GOOD).request());
        let (date, age) = (dated(&response, "date"), max_age(&response));
        let told = told(&response.body);
        assert!(date + age > told.this_update && date + age < told.next_update);
        // 111 s, both ends counted: half of them, 56, are left when it must have been renewed.
        assert_eq!(date + age, told.next_update - 56 - 1);
        ages.push(age);
    }
    assert!(ages[0] > ages[1] && ages[1] > ages[2], "{ages:?}");
}

/// conformance 77: Expires is nextUpdate.
/// conformance 85: max-age, which counts where both stand, never says more than Expires.
/// conformance 62: whatever is configured, it ends before the answer is renewed: 8 h before nextUpdate, 4 days after thisUpdate.
#[test]
fn max_age_is_bounded_by_the_configuration_and_by_the_time_of_renewal() {
    const HOUR: u64 = 3600;
    for (configured, valid, expected) in [
        (HOUR, 72 * HOUR, HOUR),
        (720 * HOUR, 72 * HOUR, 64 * HOUR - 1),
        (720 * HOUR, 240 * HOUR, 96 * HOUR - 1),
        (720 * HOUR, 10 * HOUR, 5 * HOUR - 2),
    ] {
        let mut stage = Stage::new();
        stage.settings.max_age = configured;
        let authority = Arc::clone(&stage.authority);
        let frontend = stage.start(move |asked| authority.answers_at(asked, When::lasting(valid)));
        let response = frontend.client().get(&stage.authority.ask(GOOD).request());
        let told = told(&response.body);
        let date = dated(&response, "date");
        let age = max_age(&response);
        let expires = dated(&response, "expires");
        assert_eq!(expires, told.next_update);
        assert!(date + age < expires);
        let least = expected.min((told.this_update + expected).saturating_sub(date));
        assert_eq!(age, least, "{valid}");
    }
}

/// conformance 78: Last-Modified is thisUpdate, and never later than Date.
/// conformance 76: both are IMF-fixdates.
#[test]
fn no_answer_is_younger_than_its_date() {
    let stage = Stage::new();
    let serials: Vec<[u8; 3]> = (0..200u8).map(|number| [1, 2, number]).collect();
    let all: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    stage.index(&all, &[]);
    let frontend = stage.honest();
    let mut client = frontend.client();
    // New answers on both sides of the beginning of a second.
    let mut seconds = std::collections::BTreeSet::new();
    for serial in &all {
        let response = client.get(&stage.authority.ask(serial).request());
        is_dated_now(&response);
        let this_update = told(&response.body).this_update;
        assert_eq!(response.header("last-modified"), Some(&*date(this_update)));
        assert!(this_update <= dated(&response, "date"));
        seconds.insert(this_update);
        sleep_ms(8);
    }
    assert!(seconds.len() > 1, "{seconds:?}");
}

#[test]
fn get_is_understood_in_every_spelling() {
    let stage = Stage::new();
    // Serials in whose base64 there are + and /, and a padding behind the shorter one.
    let longer = [0x7b, 0xef, 0xfb, 0xef, 0xbe, 0xff, 0xff, 0xff];
    let shorter = &longer[..7];
    stage.index(&[&longer, shorter], &[]);
    let frontend = stage.honest();
    let mut client = frontend.client();
    for (serial, end) in [(&longer[..], "////"), (shorter, "//8=")] {
        let der = stage.authority.ask(serial).request();
        let path = openssl::base64::encode_block(&der);
        assert!(path.ends_with(&format!("++++{end}")), "{path}");
        let all = path.replace('+', "%2b").replace('/', "%2F");
        let all = all.replace('=', "%3D");
        let prefixed = format!("ocsp/a//{path}");
        let unpadded = path.trim_end_matches('=').to_owned();
        let doubled = format!("/{path}");
        let queried = format!("{path}?x=y");
        for spelling in [path, all, prefixed, unpadded, doubled, queried] {
            let target = format!("GET /{spelling} HTTP/1.1\r\nHost: ocsp\r\n\r\n");
            client.send(target.as_bytes());
            let response = client.response();
            assert_eq!(response.status, 200, "{spelling}");
            assert_eq!(told(&response.body).serial, serial, "{spelling}");
        }
    }
    let der = stage.authority.ask(&longer).request();
    let absolute = format!(
        "GET http://ocsp.example/{} HTTP/1.1\r\nHost: ocsp.example\r\n\r\n",
        openssl::base64::encode_block(&der)
    );
    client.send(absolute.as_bytes());
    assert!(is_good(&client.response().body));
}

/// conformance 71: escapes are undone once, the path is not normalised, and base64 is that of RFC 4648 section 4.
#[test]
fn each_other_spelling_of_get_is_answered_or_malformed_as_written() {
    let stage = Stage::new();
    let serial = [0x7b, 0xef, 0xfb, 0xef, 0xbe, 0xff, 0xff];
    stage.index(&[&serial], &[]);
    let frontend = stage.honest();
    let mut client = frontend.client();
    let der = stage.authority.ask(&serial).request();
    let raw = openssl::base64::encode_block(&der);
    assert!(raw.ends_with("++++//8="), "{raw}");
    let escaped = raw.replace('+', "%2B").replace('/', "%2F");
    let escaped = escaped.replace('=', "%3D");
    let digits: String = raw.bytes().map(|octet| format!("%{octet:02x}")).collect();
    let (begin, end) = raw.split_at(40);
    let answered = [
        format!("/./{raw}"),
        format!("/../{escaped}"),
        format!("/%2E/{escaped}"),
        format!("///{raw}"),
        format!("/%2F{escaped}"),
        format!("/{digits}"),
        format!("/{escaped}?"),
        format!("/{}", escaped.replace("%3D", "=")),
        format!("/{}", escaped.replace("%2B", "+")),
    ];
    let malformed = [
        format!("/{}", escaped.replace('%', "%25")),
        format!("/{}", raw.replace('+', "-").replace('/', "_")),
        format!("/{}", raw.replace('+', "%20")),
        format!("/{raw}%0A"),
        format!("/{begin}%0D%0A{end}"),
        format!("/{begin}%20{end}"),
        format!("/{raw}/"),
        format!("/{raw}%2F"),
        format!("/{begin}/./{end}"),
        format!("/{raw}="),
        format!("/{raw}=="),
        format!("/{raw}%00"),
    ];
    for path in answered.iter().chain(&malformed) {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: ocsp\r\n\r\n").as_bytes());
        let response = client.response();
        assert_eq!(response.status, 200, "{path}");
        if answered.contains(path) {
            assert_eq!(told(&response.body).serial, serial, "{path}");
        } else {
            assert_eq!(response.body, MALFORMED, "{path}");
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }
    // What does not begin like a request is none.
    for path in [
        format!("/%0A{raw}"),
        format!("/%20{raw}"),
        format!("/x{raw}"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: ocsp\r\n\r\n");
        refuses(&mut client, request.as_bytes(), 404);
    }
    assert_eq!(frontend.count(), 1);
}

/// conformance 71: the example of RFC 9919 section 6 is read as it stands there; its CertID is hashed by MD5, which nobody's is.
/// conformance 70: a request of more than 255 octets may come by GET as well.
#[test]
fn the_example_of_rfc_9919_and_a_hundred_certificates_come_by_get() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    let example = "MEowSDBGMEQwQjAKBggqhkiG9w0CBQQQ7sp6GTKpL2dA\
                   deGaW267owQQqInESWQD0mGeBArSgv%2FBWQIQLJx%2Fg9xF8oySYzol80Mbpg%3D%3D";
    client.send(format!("GET /{example} HTTP/1.1\r\nHost: ocsp.example.com\r\n\r\n").as_bytes());
    assert_eq!(client.response().body, UNAUTHORIZED);
    let ids = vec![stage.authority.ask(GOOD).cert_id(); 100];
    let all = all_told(&client.get(&request(&ids, &[])).body);
    assert_eq!(all.len(), 100);
}

/// conformance 74: HEAD has the header fields of GET and no content, whatever the answer is.
/// conformance 82: no answer says Pragma, and none but those that are not authoritative says no-store.
/// conformance B3: no target is redirected.
#[test]
fn head_is_get_without_content_whatever_the_answer_is() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Unknown;
    let frontend = stage.honest();
    let mut malformed = stage.authority.ask(GOOD).request();
    malformed.push(0);
    let requests = [
        stage.authority.ask(GOOD).request(),
        stage.authority.ask(REVOKED).request(),
        stage.authority.ask(GOOD).with_nonce(&[1; 16]),
        stage.authority.ask(NOBODY).request(),
        Authority::new("somebody else").ask(GOOD).request(),
        malformed,
    ];
    let ask = |method: &str| {
        let targets = ["/", "//", "/ocsp", "/favicon.ico", "/MAA/"]
            .map(|target| format!("{method} {target} HTTP/1.1\r\nHost: ocsp\r\n\r\n").into_bytes());
        let long = "M".repeat(33 << 10);
        let long = format!("{method} /{long} HTTP/1.1\r\nHost: ocsp\r\n\r\n").into_bytes();
        let requests = requests.each_ref().map(|der| get(method, der));
        requests.into_iter().chain(targets).chain([long])
    };
    let mut client = frontend.client();
    for (place, (get, head)) in ask("GET").zip(ask("HEAD")).enumerate() {
        client.send(&get);
        let got = client.response();
        client.send(&head);
        let head = client.head_response();
        assert_eq!((head.status, head.names()), (got.status, got.names()));
        let length = got.body.len().to_string();
        // A second signature of the same may have an octet more or less: that with a nonce is made anew.
        if place != 2 && place != 3 {
            assert_eq!(head.header("content-length"), Some(&*length), "{place}");
        }
        is_dated_now(&head);
        let settled = place < 3;
        let control = got.header("cache-control").unwrap();
        assert_eq!(control == "no-store", !settled, "{place}");
        assert!(!control.contains("no-cache"));
        assert_eq!(got.header("etag").is_some(), settled, "{place}");
        for name in ["pragma", "vary", "location", "content-encoding", "age"] {
            assert_eq!(got.header(name), None, "{place}");
        }
        let expected = if place < 6 { 200..201 } else { 404..415 };
        assert!(expected.contains(&got.status), "{place}: {}", got.status);
    }
    // Nothing followed the last of them.
    assert!(is_good(&client.post(&requests[0]).body));
}

/// conformance 41: an answer with a nonce is never public.
#[test]
fn an_answer_with_a_nonce_is_private() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).with_nonce(&[5; 32]);
    let mut client = frontend.client();
    let got = client.get(&der);
    is_ocsp(&got);
    assert_eq!(
        got.header("cache-control"),
        Some("private, max-age=0, must-revalidate")
    );
    assert_eq!(told(&got.body).nonce.as_deref(), Some(&[5; 32][..]));
    let posted = client.post(&der);
    is_ocsp(&posted);
    assert_eq!(posted.names(), ["content-length", "content-type", "date"]);
    assert_ne!(posted.body, got.body);
    assert_eq!(frontend.count(), 2);
}

/// conformance 38: nonces of 1 to 128 octets are echoed.
#[test]
fn nonces_of_1_to_128_octets_are_echoed() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    for length in [1, 15, 16, 32, 33, 127, 128] {
        let octets = vec![0xa5; length];
        let response = client.post(&stage.authority.ask(GOOD).with_nonce(&octets));
        assert_eq!(told(&response.body).nonce, Some(octets));
    }
}

/// conformance 75: errors travel with HTTP 200.
/// conformance 82: what is not authoritative is no-store.
#[test]
fn errors_travel_with_200_and_are_not_stored() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let unauthorized = stage.authority.ask(NOBODY).request();
    let mut malformed = stage.authority.ask(GOOD).request();
    malformed.push(0);
    let mut client = frontend.client();
    for (der, octets) in [(&unauthorized, UNAUTHORIZED), (&malformed, MALFORMED)] {
        for response in [client.post(der), client.get(der)] {
            is_ocsp(&response);
            assert_eq!(response.body, octets);
            assert_eq!(
                response.names(),
                ["cache-control", "content-length", "content-type", "date"]
            );
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(frontend.count(), 0);
}

/// conformance 82: what is not authoritative is no-store, and what is, never.
#[test]
fn what_is_unknown_is_not_stored() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Unknown;
    let frontend = stage.honest();
    let mut client = frontend.client();
    let der = stage.authority.ask(NOBODY).request();
    for response in [client.get(&der), client.post(&der)] {
        is_ocsp(&response);
        assert_eq!(told(&response.body).status, CertStatus::unknown());
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("expires"), None);
    }
}

#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let serials = [GOOD, REVOKED, OTHER, REVOKED, GOOD];
    let mut client = frontend.client();
    for _ in 0..40 {
        for serial in serials {
            let response = client.post(&stage.authority.ask(serial).request());
            assert_eq!(told(&response.body).serial, serial);
        }
    }
    let all: Vec<u8> = serials
        .iter()
        .flat_map(|serial| {
            let der = stage.authority.ask(serial).request();
            [post(&der), get("GET", &der)].concat()
        })
        .collect();
    client.send(&all);
    for serial in serials {
        for _ in 0..2 {
            assert_eq!(told(&client.response().body).serial, serial);
        }
    }
}

#[test]
fn a_body_may_come_in_chunks_and_after_100_continue() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let head = "POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Type: application/ocsp-request\r\n";
    let mut client = frontend.client();
    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    for chunk in der.chunks(30) {
        client.send(format!("{:x}\r\n", chunk.len()).as_bytes());
        client.send(&[chunk, b"\r\n"].concat());
    }
    client.send(b"0\r\n\r\n");
    assert!(is_good(&client.response().body));

    let length = der.len();
    client
        .send(format!("{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    assert_eq!(client.response().status, 100);
    client.send(&der);
    assert!(is_good(&client.response().body));
}

/// conformance 70: GET and POST, over HTTP/1.0 as well.
#[test]
fn http_1_0_is_answered_and_closed() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    for request in [post(&der), get("GET", &der)] {
        let mut client = frontend.client();
        let text = request.windows(8).position(|eight| eight == b"HTTP/1.1");
        let mut request = request.clone();
        request[text.unwrap() + 7] = b'0';
        client.send(&request);
        let response = client.response();
        assert!(is_good(&response.body));
        client.ends();
    }
}

#[test]
fn a_unix_socket_serves_http() {
    let mut stage = Stage::new();
    let path = stage.folder.path("socket");
    stage.settings.listeners.push(Listener {
        address: path.clone(),
        kind: ListenerKind::Unix,
        purpose: ocsp_frontend_settings::Purpose::Ocsp,
    });
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = Client::local(&path);
    for _ in 0..3 {
        assert!(is_good(&client.post(&der).body));
        assert!(is_good(&client.get(&der).body));
    }
    assert!(is_good(&frontend.post(&der)));
}

// ---- what is no OCSP over HTTP ------------------------------------------------------------------------------------

/// A refusal that is no OCSP: not to be kept, with some text.
fn refuses(client: &mut Client<std::net::TcpStream>, request: &[u8], status: u16) -> Heard {
    client.send(request);
    let response = client.response();
    let text = String::from_utf8_lossy(request);
    assert_eq!(
        response.status,
        status,
        "{}",
        text.lines().next().unwrap_or_default()
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(!response.body.is_empty());
    response
}

#[test]
fn a_target_that_holds_no_request_is_not_found() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    for target in [
        "/",
        "/favicon.ico",
        "/MA",
        "/ocsp/",
        "//",
        "/%",
        "/..%2f..%2fetc",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: ocsp\r\n\r\n");
        refuses(&mut client, request.as_bytes(), 404);
    }
    client.send(b"HEAD / HTTP/1.1\r\nHost: ocsp\r\n\r\n");
    assert_eq!(client.head_response().status, 404);
    assert!(is_good(
        &client.post(&stage.authority.ask(GOOD).request()).body
    ));
}

/// conformance 73: another method is 405 with Allow.
#[test]
fn other_methods_are_told_which_there_are() {
    let stage = Stage::new();
    let frontend = stage.honest();
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: ocsp\r\n\r\n");
        let response = refuses(&mut frontend.client(), request.as_bytes(), 405);
        assert_eq!(response.header("allow"), Some("GET, HEAD, POST"));
    }
}

/// conformance 72, 73: POST is application/ocsp-request, and all else 415.
#[test]
fn the_content_type_of_a_post_is_compared_as_a_media_type() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    for accepted in [
        "application/ocsp-request",
        "Application/OCSP-Request",
        "application/ocsp-request; charset=utf-8",
        "application/ocsp-request;x=y",
    ] {
        let mut client = frontend.client();
        client.send(&post_as(&format!("Content-Type: {accepted}\r\n"), &der));
        assert!(is_good(&client.response().body), "{accepted}");
    }
    for lines in [
        "",
        "Content-Type: \r\n",
        "Content-Type: application/ocsp-response\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/ocsp-requests\r\n",
        "Content-Type: text/plain, application/ocsp-request\r\n",
    ] {
        refuses(&mut frontend.client(), &post_as(lines, &der), 415);
    }
    assert_eq!(frontend.count(), 1);
}

/// conformance 73: a body above the limit is 413.
#[test]
fn a_body_above_64_kib_is_too_large_announced_or_not() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let head = "POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Type: application/ocsp-request\r\n";
    for length in ["65537", "99999999999"] {
        let announced = format!("{head}Content-Length: {length}\r\n\r\n");
        let mut client = frontend.client();
        let response = refuses(&mut client, announced.as_bytes(), 413);
        assert_eq!(response.header("connection"), Some("close"));
        client.ends();
    }
    let chunk = [b"4000\r\n".as_slice(), &[0x30; 0x4000], b"\r\n"].concat();
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunked = [chunked.into_bytes(), chunk.repeat(5)].concat();
    refuses(&mut frontend.client(), &chunked, 413);

    // 64 KiB are read, and are no request.
    let response = frontend.client().post(&[0x30; 65_536]);
    assert_eq!((response.status, &*response.body), (200, MALFORMED));
}

/// conformance 73: a target above the limit is 414.
#[test]
fn a_target_above_32_kib_is_too_long_and_a_header_above_its_bound_ends_the_connection() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let long = "M".repeat(33 << 10);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: ocsp\r\n\r\n");
    refuses(&mut frontend.client(), request.as_bytes(), 414);

    let line = format!("X: {long}\r\n").repeat(9);
    let request = format!("GET / HTTP/1.1\r\nHost: ocsp\r\n{line}\r\n");
    let mut client = frontend.client();
    client.send(request.as_bytes());
    let said = String::from_utf8(client.rest()).unwrap();
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431 "),
        "{said}"
    );
}

#[test]
fn what_is_no_http_is_a_bad_request_or_ends() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    for garbage in [
        b"GET\r\n\r\n".as_slice(),
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        // A ClientHello of TLS, and the prefaces of other protocols.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut client = frontend.client();
        client.send(garbage);
        client.end();
        let said = String::from_utf8_lossy(&client.rest()).into_owned();
        let text = String::from_utf8_lossy(garbage);
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 400 "),
            "{text:?}: {said}"
        );
    }
    let mut client = frontend.client();
    client.send(b"GET\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.ends();
    // A scan leaves nothing behind.
    assert!(frontend.lives());
    assert_eq!(frontend.count(), 0);
    assert!(is_good(
        &frontend.post(&stage.authority.ask(GOOD).request())
    ));
}

/// conformance B8: a POST that announces nothing, or nothing of use, is malformed, and a body above the limit is told so: never
/// an empty answer, never an internal error.
#[test]
fn a_post_without_a_body_is_malformed() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    let head = "POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Type: application/ocsp-request\r\n";
    for (lines, body) in [
        ("", &b""[..]),
        ("Content-Length: 0\r\n", b""),
        ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        ("Content-Length: 1\r\n", b"0"),
        ("Content-Length: 4\r\n", b"null"),
    ] {
        let mut client = frontend.client();
        client.send(&[format!("{head}{lines}\r\n").as_bytes(), body].concat());
        let response = client.response();
        is_ocsp(&response);
        assert_eq!(response.body, MALFORMED, "{lines}");
        // The connection goes on.
        let good = stage.authority.ask(GOOD).request();
        assert!(is_good(&client.post(&good).body), "{lines}");
    }
    assert!(frontend.lives());
}

/// conformance B9: a browser is told that there is nothing to see, by everything that it asks on its own, and the process goes on.
#[test]
fn a_browser_is_told_that_there_is_nothing_to_see() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    let lines = "Host: ocsp.example:9000\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
        Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\n\
        DNT: 1\r\n\
        Connection: keep-alive\r\n\
        Cookie: session=\"a; b\"; empty=\r\n\
        Upgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Dest: document\r\n\
        Sec-Fetch-Mode: navigate\r\n\
        If-None-Match: W/\"0815\"\r\n\
        If-Modified-Since: Tue, 15 Nov 1994 12:45:26 GMT\r\n\
        Range: bytes=0-\r\n\
        Priority: u=0, i\r\n\
        Pragma: no-cache\r\n\
        Cache-Control: no-cache\r\n";
    let mut client = frontend.client();
    for target in [
        "/",
        "/favicon.ico",
        "/robots.txt",
        "/apple-touch-icon.png",
        "/index.html?q=1&r=%20",
        "/.well-known/security.txt",
        "/?",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
        let response = refuses(&mut client, request.as_bytes(), 404);
        assert_eq!(response.header("content-encoding"), None);
    }
    // The same browser, given a link to an answer.
    let der = stage.authority.ask(GOOD).request();
    let request = String::from_utf8(get("GET", &der)).unwrap();
    client.send(request.replace("Host: ocsp\r\n", lines).as_bytes());
    let response = client.response();
    is_ocsp(&response);
    assert!(is_good(&response.body));
    // To what follows an upgrade or another protocol it says no, or nothing.
    let upgrade = "GET / HTTP/1.1\r\nHost: ocsp\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    refuses(&mut frontend.client(), upgrade.as_bytes(), 404);
    assert!(frontend.lives());
}

/// conformance B11: what a scanner of versions sends is refused or ends, and leaves nothing behind.
#[test]
fn the_probes_of_a_scanner_leave_nothing_behind() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    let before = frontend.resident();
    // As nmap's list of service probes has them.
    let probes: &[&[u8]] = &[
        b"\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"OPTIONS / HTTP/1.0\r\n\r\n",
        b"OPTIONS / RTSP/1.0\r\n\r\n",
        b"HELP\r\n",
        b"GET /nice%20ports%2C/Tri%6Eity.txt%2ebak HTTP/1.0\r\n\r\n",
        b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\nFrom: <sip:nm@nm>;tag=root\r\n\
          To: <sip:nm2@nm2>\r\nCall-ID: 50000\r\nCSeq: 42 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\
          Contact: <sip:nm@nm>\r\nAccept: application/sdp\r\n\r\n",
        // RPC, DNS over TCP, SMB, X11, LDAP (its first octet is that of a request), Kerberos, TLS, SSLv2.
        b"\x80\0\0\x28\x72\xfe\x1d\x13\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\x01\x97\x7c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\x1e\0\x06\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03",
        b"\0\x0c\0\0\x10\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\xa4\xff\x53\x4d\x42\x72\0\0\0\0\x08\x01\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\x06\0\0\x01\0\0\x81\0\x02PC NETWORK PROGRAM 1.0\0",
        b"\x6c\0\x0b\0\0\0\0\0\0\0\0\0",
        b"0\x0c\x02\x01\x01`\x07\x02\x01\x02\x04\0\x80\0",
        b"0\x84\0\0\0-\x02\x01\x07c\x84\0\0\0$\x04\0\n\x01\0\n\x01\0\x02\x01\0\x02\x01d\x01\x01\0\x87\x0bobjectClass0\x84\0\0\0\0",
        b"\0\0\0\x71\x6a\x81\x6e\x30\x81\x6b\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a\xa4\x81\x5e\x30\x5c",
        b"\x16\x03\0\0S\x01\0\0O\x03\0?G\xd7\xf7\xba,\xee\xea\xb2`~\xf3\0\xfd\x82{\xb9\xd5\x96\xc8w\x9b\xe6\xc4\xdb<=\xdbo\xef\x10n\0\0(\0\x16\0\x13\0\x0a\0f\0\x05\0\x04\0e\0d\0c\0b\0a\0`\0\x15\0\x12\0\x09\0\x14\0\x11\0\x08\0\x06\0\x03\x01\0",
        b"\x16\x03\0\0i\x01\0\0e\x03\x03U\x1c\xa7\xe4random1random2random3random4\0\0\x0c\0/\0\x0a\0\x13\x009\0\x04\0\xff\x01\0\0\x30\0\x0d\0,\0*\0\x01\0\x03\0\x02\x06\x01\x06\x03\x06\x02\x02\x01\x02\x03\x02\x02\x03\x01\x03\x03\x03\x02\x04\x01\x04\x03\x04\x02\x01\x01\x01\x03\x01\x02\x05\x01\x05\x03\x05\x02",
        b"\x80\x9e\x01\x03\x01\0u\0\0\0 \0\0f\0\0e\0\0d\0\0c\0\0:\0\x009\0\x008\0\x005",
        b"\x05\x04\0\x01\x02\x80\x05\x01\0\x03\x0agoogle.com\0\x50GET / HTTP/1.0\r\n\r\n",
        b"\0\0\0\0\x44\x42\x32\x44\x41\x53\x20\x20\x20\x20\x20\x20\x01\x04\0\0\0\x10",
    ];
    for _ in 0..20 {
        for probe in probes {
            let mut client = frontend.client();
            client.send(probe);
            client.end();
            let said = client.rest();
            let text = String::from_utf8_lossy(&said);
            let refused = [
                "HTTP/1.0 404 ",
                "HTTP/1.0 405 ",
                "HTTP/1.0 400 ",
                "HTTP/1.1 400 ",
            ];
            assert!(
                said.is_empty()
                    || said == MALFORMED
                    || refused.iter().any(|begin| text.starts_with(begin)),
                "{}: {text}",
                probe.escape_ascii()
            );
        }
    }
    assert!(frontend.lives());
    assert_eq!(frontend.count(), 0);
    assert!(is_good(
        &frontend.post(&stage.authority.ask(GOOD).request())
    ));
    let grown = frontend.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} octets of memory stay");
}

/// conformance P1: a client that closes without an octet, by FIN or RST, costs nothing afterwards.
#[test]
fn connections_that_are_closed_without_an_octet_cost_nothing() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut other = frontend.client();
    assert!(is_good(&other.post(&der).body));
    for number in 0..300 {
        let client = frontend.client();
        if number % 2 == 0 {
            // To close with a linger of nothing is a reset.
            let nothing = nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            nix::sys::socket::setsockopt(
                &client.stream,
                nix::sys::socket::sockopt::Linger,
                &nothing,
            )
            .unwrap();
        }
        drop(client);
    }
    // The last of them is seen before this is answered; then nothing is left to do.
    assert!(is_good(&frontend.post(&der)));
    sleep_ms(A_WHILE);
    let before = frontend.ticks();
    sleep_ms(1500);
    let spent = frontend.ticks() - before;
    assert!(spent <= 15, "{spent} ticks of 150 without a client");
    assert!(frontend.lives());
    assert!(is_good(&other.post(&der).body));
}

// ---- clients without haste ----------------------------------------------------------------------------------------

/// Header and body in a second each.
fn hasty() -> Stage {
    let mut stage = Stage::new();
    stage.settings.limits.header_ms = 1000;
    stage.settings.limits.body_ms = 1000;
    stage
}

#[test]
fn a_body_that_does_not_come_is_a_request_timeout() {
    let stage = hasty();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut request = post(&der);
    request.pop();
    let mut client = frontend.client();
    let response = refuses(&mut client, &request, 408);
    assert_eq!(response.header("connection"), Some("close"));
    client.ends();
    assert_eq!(frontend.count(), 0);
}

#[test]
fn a_body_that_is_cut_is_not_answered_as_if_it_were_whole() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut request = post(&stage.authority.ask(GOOD).request());
    request.pop();
    let mut client = frontend.client();
    client.send(&request);
    client.end();
    let said = String::from_utf8(client.rest()).unwrap();
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 400 "),
        "{said}"
    );
    assert_eq!(frontend.count(), 0);
}

#[test]
fn a_header_that_comes_octet_by_octet_ends_the_connection() {
    let stage = hasty();
    let frontend = stage.honest();
    // Nothing at all; the beginning of a header; silence after an answer.
    let mut silent = frontend.client();
    let mut begun = frontend.client();
    begun.send(b"POST / HTTP/1.1\r\nHost: ");
    let mut idle = frontend.client();
    assert!(is_good(
        &idle.post(&stage.authority.ask(GOOD).request()).body
    ));
    // A little, again and again: each octet within the time, the header not.
    let mut slow = frontend.client();
    let began = Instant::now();
    let head = b"GET / HTTP/1.1\r\nX: ".iter().chain([b'x'].iter().cycle());
    let mut ended = false;
    for octet in head {
        slow.send(&[*octet]);
        if !slow.is_quiet(100) {
            ended = true;
            break;
        }
        if began.elapsed() > PATIENCE {
            break;
        }
    }
    assert!(ended, "it may go on for ever");
    for client in [&mut silent, &mut begun, &mut idle] {
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 408 "),
            "{said}"
        );
    }
}

#[test]
fn who_waits_for_an_answer_owes_no_request() {
    let stage = hasty();
    let patience = stage.settings.limits.header_ms;
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| {
        sleep_ms(2 * patience);
        authority.answers(asked)
    });
    let mut client = frontend.client();
    for serial in [GOOD, REVOKED] {
        let answer = client.post(&stage.authority.ask(serial).request());
        assert_eq!(is_good(&answer.body), serial == GOOD);
    }
}

#[test]
fn who_has_said_all_is_answered_and_the_connection_ends() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| {
        sleep_ms(A_WHILE);
        authority.answers(asked)
    });
    let der = |serial| stage.authority.ask(serial).request();
    for request in [post(&der(GOOD)), get("GET", &der(OTHER))] {
        let mut client = frontend.client();
        client.send(&request);
        client.end();
        assert!(is_good(&client.response().body));
        client.ends();
    }
}

// ---- bare DER -----------------------------------------------------------------------------------------------------

#[test]
fn bare_der_is_answered_in_bare_der() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    let der = |serial| stage.authority.ask(serial).request();
    client.send(&der(GOOD));
    assert!(is_good(&client.der()));
    client.send(&der(REVOKED));
    assert!(is_revoked(&client.der()));
    client.send(&der(NOBODY));
    assert_eq!(client.der(), UNAUTHORIZED);
    client.send(&stage.authority.ask(GOOD).with_nonce(&[9; 20]));
    assert_eq!(told(&client.der()).nonce.as_deref(), Some(&[9; 20][..]));
    // What is a SEQUENCE of its own length and no request is answered, and the connection goes on.
    client.send(&[0x30, 3, 2, 1, 7]);
    assert_eq!(client.der(), MALFORMED);
    client.send(&der(GOOD));
    assert!(is_good(&client.der()));
    client.end();
    client.ends();
}

#[test]
fn bare_requests_one_behind_the_other_are_answered_in_order_after_the_half_close_too() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let serials = [GOOD, REVOKED, OTHER, GOOD, OTHER].repeat(20);
    let der: Vec<u8> = serials
        .iter()
        .flat_map(|serial| stage.authority.ask(serial).request())
        .collect();
    let mut client = frontend.client();
    client.send(&der);
    client.end();
    for serial in serials {
        assert_eq!(told(&client.der()).serial, serial);
    }
    client.ends();
}

#[test]
fn bare_requests_may_come_octet_by_octet() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    for serial in [GOOD, REVOKED] {
        for octet in stage.authority.ask(serial).request() {
            client.send(&[octet]);
            std::thread::yield_now();
        }
        assert_eq!(told(&client.der()).serial, serial);
    }
}

#[test]
fn bare_octets_that_begin_no_request_are_malformed_and_end_the_connection() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let good = stage.authority.ask(GOOD).request();
    for begin in [
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..],
        // An indefinite length; more than 64 KiB; nothing as DER allows it.
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x83, 1, 0, 0],
        &[0x30, 0x82, 0xff, 0xff],
        &[0x30, 0xff],
    ] {
        let mut client = frontend.client();
        client.send(begin);
        assert_eq!(client.rest(), MALFORMED, "{begin:02x?}");
    }
    // Behind a request as well, and of any other first octet.
    for begin in [&[0x30, 0x84][..], &[0xff], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = frontend.client();
        client.send(&[&good, begin].concat());
        assert!(is_good(&client.der()));
        assert_eq!(client.rest(), MALFORMED, "{begin:02x?}");
    }
    // A request that is cut.
    let mut client = frontend.client();
    client.send(&good[..good.len() - 1]);
    client.end();
    assert_eq!(client.rest(), MALFORMED);
}

#[test]
fn a_bare_request_that_comes_octet_by_octet_has_the_time_of_a_body() {
    let stage = hasty();
    let frontend = stage.honest();
    let good = stage.authority.ask(GOOD).request();
    let mut slow = frontend.client();
    slow.send(&good);
    assert!(is_good(&slow.der()));
    // Idle longer than a body may take, then slow: each octet within the time, the request not.
    assert!(slow.is_quiet(1500));
    let began = Instant::now();
    let mut ended = false;
    for octet in [0x30, 0x82, 0x10, 0x00].iter().chain([1].iter().cycle()) {
        slow.send(&[*octet]);
        if !slow.is_quiet(100) {
            ended = true;
            break;
        }
        if began.elapsed() > PATIENCE / 2 {
            break;
        }
    }
    assert!(ended, "it may go on for ever");
}

#[test]
fn a_silent_client_of_bare_der_is_let_go_after_5_seconds() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let good = stage.authority.ask(GOOD).request();
    let began = Instant::now();
    let (mut idle, mut begun) = (frontend.client(), frontend.client());
    for client in [&mut idle, &mut begun] {
        client.send(&good);
        assert!(is_good(&client.der()));
    }
    begun.send(&good[..10]);
    idle.ends();
    begun.ends();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
}

// ---- requests -----------------------------------------------------------------------------------------------------

/// conformance 4, 23: what is no OCSPRequest in DER, or has something behind it, is malformedRequest.
/// conformance 25, 26, 32: so are an unknown critical extension, an empty list or one above 100, and a serial that is no
/// minimal INTEGER.
/// conformance 37, 42: so are a nonce of 0 or above 128 octets, two of them, and one that is not wrapped.
#[test]
fn a_request_that_is_none_is_malformed() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let ask = stage.authority.ask(GOOD);
    let (whole, id) = (ask.request(), ask.cert_id());
    let one = |extensions: &[Vec<u8>]| request(std::slice::from_ref(&id), extensions);
    let other = der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4");
    let nonce_oid = der::oid::db::rfc6960::ID_PKIX_OCSP_NONCE;
    let body = &whole[2..];
    let indefinite = [&[0x30, 0x80], body, &[0, 0]].concat();
    let negative = [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], body].concat();
    let long_form = [&[0x30, 0x81, whole[1]], body].concat();
    assert!(whole[1] < 0x80);
    let parameters = {
        let oid = tlv(6, oid(HashAlgorithm::Sha1).as_bytes());
        let algorithm = tlv(0x30, &[oid, tlv(2, &[1])].concat());
        let rest = [tlv(4, &ask.name_hash), tlv(4, &ask.key_hash), tlv(2, &[1])];
        tlv(0x30, &[algorithm, rest.concat()].concat())
    };
    let with_serial = |serial: &[u8]| {
        let serial = serial.to_vec();
        Ask {
            serial,
            ..ask.clone()
        }
        .request()
    };
    let cases = [
        ("nothing", Vec::new()),
        ("garbage", b"What is the status of 0x10?".to_vec()),
        ("a trailing octet", [&whole[..], &[0]].concat()),
        ("two requests in one", whole.repeat(2)),
        ("a missing octet", whole[..whole.len() - 1].to_vec()),
        ("no certificate", request(&[], &[])),
        ("101 certificates", request(&vec![id.clone(); 101], &[])),
        ("a negative length", negative),
        ("an indefinite length", indefinite),
        ("a length that is not minimal", long_form),
        ("no serial octets", with_serial(&[])),
        ("a serial that is not minimal", with_serial(&[0, 1])),
        ("a hash with parameters", request(&[parameters], &[])),
        (
            "a critical extension nobody knows",
            one(&[extension(other, true, &[5, 0])]),
        ),
        ("an empty nonce", one(&[nonce(&[])])),
        ("a nonce of 129 octets", one(&[nonce(&[1; 129])])),
        ("two nonces", one(&[nonce(&[1; 16]), nonce(&[1; 16])])),
        (
            "a nonce that is not wrapped",
            one(&[extension(nonce_oid, false, &[1; 16])]),
        ),
        (
            "a nonce with something behind it",
            one(&[extension(nonce_oid, false, &[4, 1, 7, 0])]),
        ),
    ];
    let mut client = frontend.client();
    for (case, der) in cases {
        let response = client.post(&der);
        is_ocsp(&response);
        assert_eq!(response.body, MALFORMED, "{case}");
    }
    assert_eq!(frontend.count(), 0);
    // As it stands it is answered, and so with an extension that is not critical.
    assert!(is_good(&client.post(&whole).body));
    let ignored = one(&[extension(other, false, &[5, 0])]);
    assert!(is_good(&client.post(&ignored).body));
}

/// conformance 26: a hundred certificates in a request are answered, more are malformed.
/// conformance 27: several certificates in one request are answered, each.
#[test]
fn a_hundred_certificates_are_answered_each() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let serials: Vec<&[u8]> = [GOOD, REVOKED, NOBODY, OTHER].repeat(25);
    let ids: Vec<_> = serials
        .iter()
        .map(|serial| stage.authority.ask(serial).cert_id())
        .collect();
    let response = frontend.client().post(&request(&ids, &[]));
    let told = all_told(&response.body);
    assert_eq!(told.len(), 100);
    for (told, serial) in told.iter().zip(serials) {
        assert_eq!(told.serial, serial);
        let expected = match serial {
            REVOKED => revoked(REVOKED_AT, Some(CrlReason::KeyCompromise)),
            NOBODY => CertStatus::unknown(),
            _ => CertStatus::good(),
        };
        assert_eq!(told.status, expected);
    }
    // One of them is unknown: nobody may keep this.
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(frontend.count(), 1);
}

/// conformance 4, 44: where there is no authoritative record, the answer is unauthorized.
/// conformance 31: so it is where the hash of the CertID is none of ours.
#[test]
fn certificates_of_others_are_unknown_beside_ours_and_unauthorized_alone() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let others = Authority::new("somebody else").ask(GOOD);
    let mut client = frontend.client();
    assert_eq!(client.post(&others.request()).body, UNAUTHORIZED);
    assert_eq!(client.post(&others.with_nonce(&[1; 16])).body, UNAUTHORIZED);
    let two = [others.cert_id(), others.cert_id()];
    assert_eq!(client.post(&request(&two, &[])).body, UNAUTHORIZED);
    // An algorithm that we do not answer is nobody's.
    let ask = stage.authority.ask(GOOD);
    let md5 = der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
    let algorithm = tlv(0x30, &[tlv(6, md5.as_bytes()), vec![5, 0]].concat());
    let rest = [tlv(4, &[1; 16]), tlv(4, &[2; 16]), tlv(2, GOOD)];
    let md5 = tlv(0x30, &[algorithm, rest.concat()].concat());
    assert_eq!(
        client.post(&request(std::slice::from_ref(&md5), &[])).body,
        UNAUTHORIZED
    );
    assert_eq!(frontend.count(), 0, "the signer was asked");

    let response = client.post(&request(&[others.cert_id(), md5, ask.cert_id()], &[]));
    let statuses: Vec<_> = all_told(&response.body)
        .iter()
        .map(|told| told.status)
        .collect();
    let unknown = CertStatus::unknown();
    assert_eq!(statuses, [unknown, unknown, CertStatus::good()]);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    // None of ours has a record.
    let ids = [others.cert_id(), stage.authority.ask(NOBODY).cert_id()];
    assert_eq!(client.post(&request(&ids, &[])).body, UNAUTHORIZED);
    assert_eq!(frontend.count(), 1);
}

/// conformance 32, 44: a serial that no certificate has is without record.
#[test]
fn serials_that_no_certificate_has_are_without_record() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    let highest = [&[0][..], &[0xff; 20]].concat();
    for serial in [
        &[0][..],
        &[0x80],
        &[0xff],
        &[0xff, 0x7f],
        &[0x7f; 20],
        &[0x7f; 21],
        &[0x80; 21],
        &highest,
    ] {
        let response = client.post(&stage.authority.ask(serial).request());
        assert_eq!(response.body, UNAUTHORIZED, "{serial:02x?}");
    }
    assert_eq!(frontend.count(), 0);
}

#[test]
fn a_serial_that_no_certificate_has_is_unknown_where_the_issuer_answers_at_all() {
    for unknown in [NoRecord::Unknown, NoRecord::Revoked] {
        let mut stage = Stage::new();
        stage.settings.issuers[0].unknown = unknown;
        let frontend = stage.honest();
        let mut client = frontend.client();
        for (place, serial) in (0..).zip([&[0][..], &[0x80], &[0x7f; 21]]) {
            let ask = stage.authority.ask(serial);
            for der in [ask.request(), ask.with_nonce(&[1; 16])] {
                assert_eq!(told(&client.post(&der).body).status, CertStatus::unknown());
            }
            // Of such a serial the signer says nothing but unknown.
            let Item::Ours(item) = frontend.asked(2 * place).items[0].clone() else {
                panic!("asked about somebody else's certificate");
            };
            assert_eq!(item.status, Status::Unknown);
        }
    }
}

#[test]
fn never_issued_is_what_an_issuer_says_that_is_so_configured() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Revoked;
    let frontend = stage.honest();
    let mut client = frontend.client();
    let expected = revoked(0, Some(CrlReason::CertificateHold));
    let ask = stage.authority.ask(NOBODY);
    for der in [ask.request(), ask.with_nonce(&[1; 16])] {
        assert_eq!(told(&client.post(&der).body).status, expected);
    }
    for place in [0, 1] {
        let Item::Ours(item) = frontend.asked(place).items[0].clone() else {
            panic!("asked about somebody else's certificate");
        };
        assert_eq!(item.status, Status::NeverIssued);
    }
}

// ---- bounds -------------------------------------------------------------------------------------------------------

#[test]
fn at_the_bound_of_connections_the_next_waits_until_one_ends() {
    let mut stage = Stage::new();
    stage.settings.limits.connections = 2;
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let (mut first, mut second) = (frontend.client(), frontend.client());
    assert!(is_good(&first.post(&der).body));
    second.send(&der);
    assert!(is_good(&second.der()));
    let mut third = frontend.client();
    third.send(&post(&der));
    assert!(third.is_quiet(A_WHILE));
    assert!(is_good(&first.post(&der).body));
    drop(first);
    assert!(is_good(&third.response().body));
    let mut fourth = frontend.client();
    fourth.send(&post(&der));
    assert!(fourth.is_quiet(A_WHILE));
    drop(second);
    assert!(is_good(&fourth.response().body));
}

/// conformance 89: one address has its bound of connections.
#[test]
fn above_the_bound_of_its_address_a_connection_is_closed_at_once() {
    let mut stage = Stage::new();
    stage.settings.limits.connections_per_address = 2;
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let (mut first, mut second) = (frontend.client(), frontend.client());
    assert!(is_good(&first.post(&der).body));
    assert!(is_good(&second.post(&der).body));
    for _ in 0..3 {
        frontend.client().ends();
    }
    assert!(is_good(&first.post(&der).body));
    drop(first);
    until("a place", || {
        let mut client = frontend.client();
        client.send(&post(&der));
        client.try_response(true).is_some()
    });
    assert!(is_good(&second.post(&der).body));
}

#[test]
fn a_client_that_never_takes_its_answers_loses_its_place() {
    let mut stage = Stage::new();
    stage.settings.limits.connections = 1;
    stage.settings.limits.body_ms = 1000;
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    // Asks until neither direction takes an octet any more, and stays.
    let mut greedy = TcpStream::connect(frontend.address()).unwrap();
    greedy
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let asked = post(&der).repeat(1000);
    while greedy.write_all(&asked).is_ok() {}
    assert!(is_good(&frontend.post(&der)));
    drop(greedy);
}

// ---- the end of a generation --------------------------------------------------------------------------------------

#[test]
fn a_retired_frontend_finishes_what_it_has_and_accepts_no_more() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    let good = stage.authority.ask(GOOD).request();
    let other = stage.authority.ask(OTHER).request();
    // One that has had its answer, two that wait for theirs, one of bare DER.
    let mut open = frontend.client();
    open.send(&post(&good));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(0)));
    assert_eq!(open.response().header("connection"), None);
    let mut waiting = frontend.client();
    waiting.send(&post(&other));
    let question = frontend.asked(1);
    let mut raw = frontend.client();
    raw.send(&good);
    assert!(is_good(&raw.der()));

    frontend.retire(15_000);
    sleep_ms(A_WHILE);
    let mut late = frontend.client();
    late.send(&post(&good));
    assert!(late.is_quiet(A_WHILE), "a retired frontend has accepted");

    frontend.signer_says(&stage.authority.answers(&question));
    for (client, request) in [(&mut waiting, None), (&mut open, Some(&other))] {
        if let Some(request) = request {
            client.send(&post(request));
        }
        let response = client.response();
        assert!(is_good(&response.body));
        assert_eq!(response.header("connection"), Some("close"));
        client.ends();
    }
    // The last connection is still there, and served.
    raw.send(&other);
    assert!(is_good(&raw.der()));
    assert!(frontend.lives());
    drop(raw);
    // The next generation has the socket, and in it the client that came late.
    let socket = TcpListener::from(frontend.sockets[0].try_clone().unwrap());
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(DONE), "{lines:#?}");
    socket.set_nonblocking(false).unwrap();
    let (stream, _) = socket.accept().unwrap();
    assert_eq!(
        stream.peer_addr().unwrap(),
        late.stream.local_addr().unwrap()
    );
}

#[test]
fn a_retired_frontend_lets_idle_connections_go_when_their_time_is_over() {
    let mut stage = Stage::new();
    let path = stage.folder.path("socket");
    stage.settings.listeners.push(Listener {
        address: path.clone(),
        kind: ListenerKind::Unix,
        purpose: ocsp_frontend_settings::Purpose::Ocsp,
    });
    let mut frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    // Accepted before the next one is answered.
    let mut silent = frontend.client();
    let mut http = frontend.client();
    assert!(is_good(&http.post(&der).body));
    let mut local = Client::local(&path);
    assert!(is_good(&local.post(&der).body));
    let mut raw = frontend.client();
    raw.send(&der);
    assert!(is_good(&raw.der()));

    frontend.retire(1000);
    assert!(http.is_quiet(A_WHILE), "it was let go too early");
    http.ends();
    local.ends();
    raw.ends();
    silent.ends();
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(DONE), "{lines:#?}");
}

#[test]
fn a_retired_frontend_answers_what_is_under_way_when_idle_connections_go() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    let mut waiting = frontend.client();
    waiting.send(&post(&stage.authority.ask(GOOD).request()));
    let mut raw = frontend.client();
    raw.send(&stage.authority.ask(OTHER).request());
    let questions = [frontend.asked(0), frontend.asked(1)];
    frontend.retire(1);
    sleep_ms(A_WHILE);
    for question in questions {
        frontend.signer_says(&stage.authority.answers(&question));
    }
    assert!(is_good(&waiting.response().body));
    assert!(is_good(&raw.der()));
    waiting.ends();
    raw.ends();
    assert_eq!(frontend.left().0, Some(DONE));
}

#[test]
fn a_retired_frontend_without_connections_leaves_at_once() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    frontend.order(&FrontendOrder::Retire { idle_ms: 60_000 });
    assert_eq!(frontend.left().0, Some(DONE));
}
