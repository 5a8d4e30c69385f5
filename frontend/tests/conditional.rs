//! Conditional GET and HEAD at the socket of a real frontend process (RFC 9110 section 13): what a client has is not sent
//! again, and whoever must not go by what it has gets the whole answer.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::net::TcpStream;

use harness::*;
use ocsp_frontend_settings::NoRecord;

/// A GET or HEAD of a request with these header lines.
fn conditional(method: &str, der: &[u8], lines: &[(&str, &str)]) -> Vec<u8> {
    let request = String::from_utf8(get(method, der)).unwrap();
    let lines: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{}\r\n{lines}\r\n", request.trim_end()).into_bytes()
}

/// Asks by GET, and by HEAD, which is told the same; what follows on the connection begins where it ended.
fn asks(client: &mut Client<TcpStream>, der: &[u8], lines: &[(&str, &str)]) -> Heard {
    client.send(&conditional("HEAD", der, lines));
    let head = client.head_response();
    client.send(&conditional("GET", der, lines));
    let got = if head.status == 304 {
        client.head_response()
    } else {
        client.response()
    };
    assert_eq!(
        (got.status, got.names()),
        (head.status, head.names()),
        "{lines:?}"
    );
    assert_eq!(client.post(der).status, 200, "something followed {lines:?}");
    got
}

/// conformance 83: If-None-Match may be a list, `*` or weak, and a match on GET and HEAD is 304.
#[test]
fn what_a_client_has_is_not_sent_again() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    let whole = client.get(&der);
    let tag = whole.header("etag").unwrap();
    let (name, other) = ("If-None-Match", "\"0123\"");
    let listed = format!("{other}, {tag}");
    let weak = format!("W/{tag}");
    for lines in [
        &[(name, tag)][..],
        &[("if-none-match", &*weak)],
        &[(name, &*listed)],
        &[(name, other), (name, tag)],
        &[(name, "*")],
        // If-Modified-Since does not count beside it.
        &[
            (name, tag),
            ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ],
    ] {
        assert_eq!(asks(&mut client, &der, lines).status, 304, "{lines:?}");
    }
    let since = ("If-Modified-Since", whole.header("last-modified").unwrap());
    let unquoted = tag.trim_matches('"');
    for lines in [
        &[(name, other)][..],
        &[(name, other), since],
        // What cannot be read is ignored, and so is the date beside it.
        &[(name, unquoted), since],
        &[(name, "*, *"), since],
        &[(name, ""), since],
        &[(name, &*listed.replace(',', ""))],
        &[("Range", "bytes=0-0")],
        &[("If-Range", tag), ("Range", "bytes=0-0")],
    ] {
        let response = asks(&mut client, &der, lines);
        assert_eq!(response.status, 200, "{lines:?}");
        assert_eq!(response.body, whole.body, "{lines:?}");
    }
    assert_eq!(frontend.count(), 1, "a signature was asked for");
}

/// conformance 83: If-Modified-Since counts where there is no If-None-Match, in each form that a recipient understands.
#[test]
fn what_has_not_changed_since_is_not_sent_again() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    let whole = client.get(&der);
    let modified = whole.header("last-modified").unwrap();
    let name = "If-Modified-Since";
    for same in [modified, "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(
            asks(&mut client, &der, &[(name, same)]).status,
            304,
            "{same}"
        );
    }
    for other in [
        "Tue, 15 Nov 1994 12:45:26 GMT",
        "Tuesday, 15-Nov-94 12:45:26 GMT",
        "Tue Nov 15 12:45:26 1994",
        "yesterday",
        "",
        &modified.replace("GMT", "UTC"),
    ] {
        assert_eq!(
            asks(&mut client, &der, &[(name, other)]).status,
            200,
            "{other}"
        );
    }
    assert_eq!(asks(&mut client, &der, &[(name, modified); 2]).status, 200);
    // A second cannot tell revoked from the good before it: by the date alone nobody goes on with what it has.
    let der = stage.authority.ask(REVOKED).request();
    let whole = client.get(&der);
    let modified = whole.header("last-modified").unwrap();
    assert_eq!(asks(&mut client, &der, &[(name, modified)]).status, 200);
    let tagged = [
        ("If-None-Match", whole.header("etag").unwrap()),
        (name, modified),
    ];
    assert_eq!(asks(&mut client, &der, &tagged).status, 304);
}

/// conformance 84: 304 carries Cache-Control, Date, ETag and Expires of the 200, and no content.
#[test]
fn a_304_has_the_headers_of_the_200_and_no_content() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    // Within one second: max-age counts it.
    until("200 and 304 within one second", || {
        let whole = client.get(&der);
        client.send(&conditional("GET", &der, &[("If-None-Match", "*")]));
        let head = client.head_response();
        assert_eq!(head.status, 304);
        assert_eq!(
            head.names(),
            ["cache-control", "date", "etag", "expires", "last-modified"]
        );
        let same = whole.header("date") == head.header("date");
        if same {
            for name in head.names() {
                assert_eq!(head.header(&name), whole.header(&name), "{name}");
            }
        }
        same
    });
}

/// conformance 83: what has nothing to compare is sent whole: errors, *unknown*, and an answer that echoes a nonce.
#[test]
fn what_nobody_may_keep_is_always_whole() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Unknown;
    let frontend = stage.honest();
    let mut malformed = stage.authority.ask(GOOD).request();
    malformed.push(0);
    let others = Authority::new("somebody else").ask(GOOD).request();
    let unknown = stage.authority.ask(NOBODY).request();
    let nonce = stage.authority.ask(GOOD).with_nonce(&[1; 16]);
    let mut client = frontend.client();
    for der in [malformed, others, unknown, nonce] {
        for line in [
            ("If-None-Match", "*"),
            ("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("If-Match", "\"0123\""),
            ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            client.send(&conditional("GET", &der, &[line]));
            let response = client.response();
            assert_eq!(response.status, 200, "{line:?}");
            assert!(!response.body.is_empty());
        }
    }
    // Nor does POST compare anything.
    let der = stage.authority.ask(GOOD).request();
    for line in ["If-None-Match: *", "If-Match: \"0123\""] {
        let lines = format!("Content-Type: application/ocsp-request\r\n{line}\r\n");
        client.send(&post_as(&lines, &der));
        assert!(is_good(&client.response().body), "{line}");
    }
}

/// conformance 83: the conditions are evaluated in the order of RFC 9110 section 13.2.2, If-Match first.
#[test]
fn who_wants_another_answer_is_told_that_there_is_none() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    let whole = client.get(&der);
    let (tag, modified) = (
        whole.header("etag").unwrap(),
        whole.header("last-modified").unwrap(),
    );
    let weak = format!("W/{tag}");
    let early = ("If-Unmodified-Since", "Tue, 15 Nov 1994 12:45:26 GMT");
    for (lines, status) in [
        (&[("If-Match", "\"0123\"")][..], 412),
        (&[("If-Match", &*weak)], 412),
        (&[early], 412),
        (&[early, ("If-None-Match", tag)], 412),
        (&[("If-Match", tag), ("If-None-Match", tag)], 304),
        (&[("If-Match", tag), early], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Unmodified-Since", modified)], 200),
    ] {
        let response = asks(&mut client, &der, lines);
        assert_eq!(response.status, status, "{lines:?}");
        if status == 412 {
            assert_eq!(response.header("cache-control"), Some("no-store"));
            assert_eq!(response.header("etag"), None);
        }
    }
}
