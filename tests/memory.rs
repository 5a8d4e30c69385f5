//! What frontend and signer have in memory does not grow with what they are asked: not with answers that are signed anew, of
//! which nothing is kept, and whose nonces never come again.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::ops::Range;

use harness::*;

/// Connections, all at work at once.
const CONNECTIONS: u32 = 4;
/// Requests of each, until each thread of both processes has had its share of memory.
const WARM_UP: u32 = 500;
/// Requests of each from then on.
const LOAD: u32 = 1500;
/// What may come to it all the same, in KiB: a heap that is cut up a little more. Less than if each request left 128 octets
/// behind, which is 750 KiB.
const SLACK: u64 = 512;

/// Has so many requests answered on each connection, each with a nonce of its own.
fn ask(server: &Server, question: &[u8], numbers: Range<u32>) {
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (mut question, numbers) = (question.to_owned(), numbers.clone());
            scope.spawn(move || {
                let mut client = Client::to(server.address).unwrap();
                // The nonce is the last that a request has.
                let nonce = question.len() - 16;
                for number in numbers {
                    question[nonce..nonce + 4].copy_from_slice(&connection.to_be_bytes());
                    question[nonce + 4..nonce + 8].copy_from_slice(&number.to_be_bytes());
                    let answer = client.ask(&question).unwrap().answer();
                    let echoed = &question[nonce..];
                    assert!(answer.windows(16).any(|octets| octets == echoed));
                }
            });
        }
    });
}

/// VmRSS of frontend and signer, in KiB.
fn resident(server: &Server) -> [u64; 2] {
    server.generation().pids().map(|pid| {
        let text = status(format!("/proc/{pid}"))["VmRSS"].clone();
        text.trim_end_matches(" kB").parse().unwrap()
    })
}

#[test]
fn nonces_leave_nothing_in_memory() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good");
    // As many threads on every machine.
    let threads = "[frontend]\nthreads = 2\n[signer]\nthreads = 2\n";
    let config = head("") + threads + &ca.source("") + &ca.issuer("");
    let server = Server::new(&folder, &config);
    let question = ca.request("-cert good.crt");
    ask(&server, &question, 0..WARM_UP);
    let before = resident(&server);
    ask(&server, &question, WARM_UP..WARM_UP + LOAD);
    let after = resident(&server);
    for ((role, before), after) in ["frontend", "signer"].iter().zip(before).zip(after) {
        let grown = format!("{role}: {before} KiB, then {after} KiB");
        assert!(after <= before + SLACK, "{grown}");
    }
    assert_eq!(server.generation().number, 1);
}
