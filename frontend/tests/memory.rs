//! What the cache says that it takes is what it takes, and its bound holds. The frontend's own cache is filled in this process,
//! with answers as large as signers make them and under octets of requests as clients send them, and what the kernel gives
//! the process is compared with what was counted. `OCSP_MEMORY_ENTRIES` says how many answers (100,000 by default).

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ocsp_frontend::answer::{Answer, Ready};
use ocsp_frontend::cache::{Cache, Entry, Key};
use ocsp_frontend::response::Times;
use ocsp_frontend::serial::Serial;
use ocsp_frontend::status::Said;
use ocsp_wire::{HashAlgorithm, Parameters};
use tikv_jemallocator::Jemalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Octets of an answer: P-256 and RSA-2048 without a certificate, RSA-2048 with one.
const SIZES: [usize; 3] = [302, 519, 1488];
/// Octets of a request as POST and the path of a GET have them.
const REQUESTS: [usize; 2] = [83, 113];
/// The most that an answer may take beside its own octets.
const MOST_BESIDE: u64 = 1024;

fn entries() -> u64 {
    let entries = std::env::var("OCSP_MEMORY_ENTRIES");
    entries.map_or(100_000, |entries| entries.parse().unwrap())
}

/// Octets of this process in memory that are its own.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Octets that look like no others.
fn octets(size: usize, number: u64) -> Vec<u8> {
    let mut octets = vec![0xa5; size];
    octets[..8].copy_from_slice(&number.to_be_bytes());
    octets
}

/// The answer to a serial is signed, and asked for again by POST and by GET.
fn keep(cache: &Cache<Answer>, size: usize, number: u64) {
    let times = Times {
        this_update: 1_700_000_000,
        next_update: 1_700_864_000,
    };
    let key = Key {
        issuer: 0,
        key: 0,
        hash: HashAlgorithm::Sha1,
        parameters: Parameters::Null,
        serial: Serial::from(&*octets(18, number)),
    };
    let said = Said {
        revoked: None,
        proof: [1; 32],
    };
    let ready = Ready::new(octets(size, number), times, &[], times.this_update);
    let entry = Arc::new(Entry::new(key, ready, said, false, Instant::now()));
    cache.keep(Arc::clone(&entry));
    for request in REQUESTS {
        cache.remember(&octets(request, number), &entry, u64::MAX);
    }
}

/// Set where this test runs itself: each scene in a process of its own, since what one gives back stays with the process.
const SCENE: &str = "OCSP_MEMORY_SCENE";

#[test]
fn the_cache_takes_what_it_says_and_its_bound_holds() {
    let scenes = SIZES.map(|size| {
        [
            (format!("room {size}"), size),
            (format!("bound {size}"), size),
        ]
    });
    let scenes = scenes.as_flattened();
    if let Ok(played) = std::env::var(SCENE) {
        let (name, size) = scenes.iter().find(|(name, _)| *name == played).unwrap();
        if name.starts_with("room") {
            room_for_all(*size);
        } else {
            room_for_a_third(*size);
        }
        return;
    }
    for (name, _) in scenes {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact"])
            .arg("the_cache_takes_what_it_says_and_its_bound_holds")
            .env(SCENE, name)
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(out.status.success(), "{name}: {said}");
        let figures = said.lines().filter(|line| line.contains("taken"));
        figures.for_each(|line| println!("{line}"));
    }
}

/// What is taken is what is counted.
fn room_for_all(size: usize) {
    let before = resident();
    let cache = Cache::new(entries() * 8192);
    for number in 0..entries() {
        keep(&cache, size, number);
    }
    let (kept, counted) = cache.size();
    let taken = resident() - before;
    let own = u64::try_from(size).unwrap();
    let beside = taken / entries() - own;
    println!("{size} octets: {beside} beside, {taken} taken, {counted} counted");
    assert_eq!(u64::try_from(kept).unwrap(), entries());
    assert!(beside <= MOST_BESIDE, "{beside}");
    let off = taken.abs_diff(counted);
    assert!(off <= counted / 10, "{taken} {counted}");
}

/// Three times as much comes: what has left is not held by the requests that asked for it.
fn room_for_a_third(size: usize) {
    let before = resident();
    let bound = entries() / 3 * (u64::try_from(size).unwrap() + 900);
    let cache = Cache::new(bound);
    let mut most = 0;
    for number in 0..entries() {
        keep(&cache, size, number);
        if number % 1024 == 0 {
            most = most.max(resident() - before);
        }
    }
    let (kept, counted) = cache.size();
    println!("{size} octets: {most} taken at most, {bound} bound, {counted} counted, {kept} kept");
    assert!(most <= bound + bound / 10, "{most} {bound}");
    assert!(counted >= bound / 10 * 8, "{counted} {bound}");
}
