//! The whole daemon under clients that come at once, by every way there is, while what it says changes.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use harness::*;
use nix::sys::signal::Signal;

/// The ways in which a question may come.
#[derive(Debug, Clone, Copy)]
enum Way {
    Post,
    Get,
    Raw,
}

/// Asks on a connection of its own: the octets of the OCSPResponse.
fn asked(server: &Server, way: Way, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut client = Client::to(server.address)?;
    match way {
        Way::Post => client.send(&post(request))?,
        Way::Get => client.send(&bodiless("GET", &format!("/{}", base64(request))))?,
        Way::Raw => {
            client.send(request)?;
            client.end();
            return Ok(client.rest());
        }
    }
    let response = client.response()?;
    assert_eq!(
        response.header("content-type"),
        Some("application/ocsp-response")
    );
    Ok(response.answer())
}

/// conformance P7: whoever asks meanwhile, and in whichever way, is given an OCSPResponse about what was asked that verifies,
/// while certificates are revoked and generations follow each other.
#[test]
fn every_answer_verifies_while_revocations_and_reloads_happen() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    let names = ["first", "second", "third", "fourth"];
    for name in names {
        ca.issue(name);
    }
    let server = Server::new(&folder, &usual(&ca));
    let requests = names.map(|name| ca.request(&format!("-no_nonce -cert {name}.crt")));
    let stop = AtomicBool::new(false);
    // Each answer once, with the name it was asked for; and how many there were.
    let reader = |way: Way| {
        let (mut answers, mut count) = (BTreeSet::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            for (name, request) in names.iter().zip(&requests) {
                let answer = asked(&server, way, request)
                    .unwrap_or_else(|error| panic!("{way:?} {name}: {error}"));
                answers.insert((*name, answer));
                count += 1;
            }
        }
        (answers, count)
    };
    let answers = std::thread::scope(|scope| {
        let readers = [Way::Post, Way::Get, Way::Raw, Way::Get]
            .map(|way| (way, scope.spawn(move || reader(way))));
        for name in ["second", "third", "fourth"] {
            let before = server.generation();
            sleep(Duration::from_millis(300));
            ca.revoke(name, "superseded");
            sleep(Duration::from_millis(1500));
            server.signal(Signal::SIGHUP);
            server.next_generation(before.number);
        }
        sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let mut all = BTreeSet::new();
        for (way, reader) in readers {
            let (answers, count) = reader.join().unwrap();
            assert!(count > 40, "{way:?}: {count}");
            all.extend(answers);
        }
        all
    });
    let mut revoked = BTreeSet::new();
    for (name, answer) in &answers {
        let said = ca.reads(answer);
        contains(&said, &["Response verify OK", &ca.serial(name)]);
        if said.contains("Cert Status: revoked") {
            revoked.insert(*name);
        } else {
            contains(&said, &["Cert Status: good"]);
        }
    }
    assert_eq!(
        revoked.into_iter().collect::<Vec<_>>(),
        ["fourth", "second", "third"]
    );
    assert!(answers.len() >= 7, "{}", answers.len());
}

/// conformance P12: a thousand clients that connect at once are all let in, and answered.
#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let scene = Scene::new();
    scene.serves();
    let question = scene.question();
    let address = scene.server.address;
    // The kernel takes them while nobody accepts.
    let [frontend, _] = scene.server.generation().pids();
    send(frontend, Signal::SIGSTOP);
    let clients: Vec<_> = (0..1000)
        .map(|number| {
            let client = Client::to(address);
            client.unwrap_or_else(|error| panic!("client {number} was refused: {error}"))
        })
        .collect();
    send(frontend, Signal::SIGCONT);
    let mut clients = clients;
    for client in &mut clients {
        client.send(&post(&question)).unwrap();
    }
    let first = clients[0].response().unwrap().answer();
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        let response = client.response();
        let response = response.unwrap_or_else(|error| panic!("client {number}: {error}"));
        assert_eq!(response.answer(), first, "{number}");
    }
}
