//! Connections that a proxy passes on to a real frontend process: what the PROXY protocol's header says is believed of those
//! that are configured, and of nobody else.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

use harness::*;
use ocsp_frontend_settings::{Listener, ListenerKind, Purpose};

/// One whose connections from this machine, and to its Unix socket, are passed on by a proxy.
fn behind(proxies: &[&str]) -> (Stage, String) {
    let mut stage = Stage::new();
    let path = stage.folder.path("socket");
    stage.settings.limits.connections_per_address = 2;
    stage.settings.limits.header_ms = 1000;
    stage.settings.limits.proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
    stage.settings.listeners.push(Listener {
        address: path.clone(),
        kind: ListenerKind::Unix,
        purpose: Purpose::Ocsp,
    });
    (stage, path)
}

/// A header of version 2.
fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let fixed = [version_and_command, family, high, low];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, rest].concat()
}

/// What a proxy says of a client at this address, with something more that nobody needs.
fn from(client: &str) -> Vec<u8> {
    let (family, addresses) = match client.parse().unwrap() {
        IpAddr::V4(address) => (0x11, [address.octets(), [198, 51, 100, 7]].concat()),
        IpAddr::V6(address) => (0x21, address.octets().repeat(2)),
    };
    let ports_and_tlv = [0xd4, 0x31, 0x23, 0x28, 4, 0, 2, 7, 7];
    header(0x21, family, &[&addresses[..], &ports_and_tlv].concat())
}

fn connected<S: Read + Write>(mut client: Client<S>, header: &[u8]) -> Client<S> {
    client.send(header);
    client
}

#[test]
fn a_connection_counts_as_that_of_the_client_that_the_proxy_names() {
    let (stage, path) = behind(&["127.0.0.0/8", "unix"]);
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let of = |client: &str| connected(frontend.client(), &from(client));
    let mut open = Vec::new();
    // Two of each; to tell IPv6 clients apart, 64 bits count.
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"] {
        for _ in 0..2 {
            let mut client = of(client);
            assert!(is_good(&client.post(&der).body));
            open.push(client);
        }
    }
    for client in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::2"] {
        of(client).ends();
        connected(Client::local(&path), &from(client)).ends();
    }
    // When one of them ends, its place is free.
    open.remove(0);
    until("a place", || {
        let mut client = of("192.0.2.1");
        client.send(&post(&der));
        client.try_response(true).is_some()
    });
    assert!(is_good(&open[0].post(&der).body));
    assert_eq!(frontend.logged().len(), 0, "{:?}", frontend.logged());
}

#[test]
fn http_and_bare_der_follow_the_header_at_once_or_later() {
    let (stage, path) = behind(&["127.0.0.1", "unix"]);
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let mut client = connected(frontend.client(), &[from("192.0.2.1"), post(&der)].concat());
    assert!(is_good(&client.response().body));
    assert!(is_good(&client.get(&der).body));
    let mut raw = connected(
        frontend.client(),
        &[from("192.0.2.1"), der.repeat(2)].concat(),
    );
    assert!(is_good(&raw.der()));
    assert!(is_good(&raw.der()));
    let mut local = connected(
        Client::local(&path),
        &[from("192.0.2.2"), post(&der)].concat(),
    );
    assert!(is_good(&local.response().body));
    // Octet by octet.
    let mut slow = frontend.client();
    for octet in [from("2001:db8::1"), der.clone()].concat() {
        slow.send(&[octet]);
        std::thread::yield_now();
    }
    assert!(is_good(&slow.der()));
    // A second header is no request.
    client.send(&from("192.0.2.3"));
    client.end();
    assert!(String::from_utf8_lossy(&client.rest()).starts_with("HTTP/1.1 400 "));
}

#[test]
fn what_a_proxy_asks_itself_counts_as_its_own() {
    let (stage, path) = behind(&["127.0.0.1", "unix"]);
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    let local = header(0x20, 0x00, &[]);
    let unknown = header(0x21, 0x00, &[4, 0, 0]);
    let mut first = connected(frontend.client(), &local);
    let mut second = connected(frontend.client(), &unknown);
    for client in [&mut first, &mut second] {
        assert!(is_good(&client.post(&der).body));
    }
    connected(frontend.client(), &local).ends();
    connected(frontend.client(), &from("127.0.0.1")).ends();
    // On a Unix socket there is no address to count by.
    let mut locals: Vec<_> = (0..4)
        .map(|_| connected(Client::local(&path), &local))
        .collect();
    for client in &mut locals {
        assert!(is_good(&client.post(&der).body));
    }
}

#[test]
fn a_header_is_believed_of_nobody_else() {
    for proxies in [&[][..], &["192.0.2.0/24", "::1", "unix"], &["127.0.0.2"]] {
        let (stage, _) = behind(proxies);
        let frontend = stage.honest();
        let der = stage.authority.ask(GOOD).request();
        let mut client = connected(frontend.client(), &[from("192.0.2.1"), post(&der)].concat());
        client.end();
        let said = client.rest();
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 400 "), "{proxies:?}: {said}");
        assert_eq!(frontend.count(), 0);
        assert!(is_good(&frontend.post(&der)));
    }
    let (stage, path) = behind(&["127.0.0.1"]);
    let _frontend = stage.honest();
    let mut client = connected(Client::local(&path), &from("192.0.2.1"));
    client.send(b"\r\n\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(String::from_utf8_lossy(&client.rest()).starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_proxy_that_does_not_say_whose_its_connection_is_is_closed() {
    let (stage, path) = behind(&["127.0.0.1", "unix"]);
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    // A scan of whether somebody is there, and one that says nothing: no reason for a line.
    drop(frontend.client());
    let began = Instant::now();
    let mut silent = frontend.client();
    let mut cut = connected(frontend.client(), &from("192.0.2.1")[..20]);
    silent.ends();
    cut.ends();
    assert!(began.elapsed() < PATIENCE / 2);
    assert_eq!(frontend.logged().len(), 0, "{:?}", frontend.logged());

    let version_1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 54321 9000\r\n".to_vec();
    let udp = header(0x21, 0x12, &[1; 12]);
    let long = header(0x20, 0x00, &[0; 1000]);
    for wrong in [
        post(&der),
        get("GET", &der),
        der.clone(),
        version_1,
        udp,
        long,
    ] {
        let mut client: Client<TcpStream> = connected(frontend.client(), &wrong);
        client.ends();
    }
    connected(Client::local(&path), &post(&der)).ends();
    assert_eq!(frontend.count(), 0);
    frontend.logs(
        "<4>a connection from the proxy at 127.0.0.1 is closed: the PROXY header of version 2 was expected",
    );
    assert_eq!(frontend.logged().len(), 1, "{:?}", frontend.logged());
}
