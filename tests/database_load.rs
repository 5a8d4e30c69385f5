//! A table of a million rows, and 64 clients: how many statements their questions become, how soon a revocation is seen,
//! what a database that is away does to them, and what cached answers take. What is asserted holds on any machine; what was
//! measured is printed:
//!
//! ```text
//! cargo test --profile tested --test database_load -- --nocapture --test-threads 1
//! ```
//!
//! Environment variables make it longer: OCSP_TEST_ROWS (1000000), OCSP_TEST_REPEATS (3) revocations,
//! OCSP_TEST_OUTAGE (5) seconds, OCSP_TEST_CACHED (50000) answers.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod harness;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::*;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// Clients at a time, a connection each.
const CLIENTS: usize = 64;
/// Serials with a certificate that proves them.
const PROVEN: usize = 20_000;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn say(text: String) {
    eprintln!("measured: {text}");
}

/// A serial of 20 octets; those with a certificate, and the others.
fn serial(number: usize, proven: bool) -> [u8; 20] {
    let mut octets = [0; 20];
    octets[0] = if proven { 0x21 } else { 0x11 };
    octets[12..].copy_from_slice(&(number as u64).to_be_bytes());
    octets
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// A CA, a table of many rows, and the octets of which questions and certificates are made.
struct Plan {
    ca: Ca,
    database: Database,
    folder: Folder,
    request: Vec<u8>,
}

impl Plan {
    fn new(rows: usize) -> Self {
        let server = Arc::new(DbServer::new(&[]));
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue_with_serial("pattern", &hex(&serial(0, true)));
        let request = ca.request("-no_nonce -cert pattern.crt");
        let database = Database::on(server);
        fill(&database, rows);
        Self {
            ca,
            database,
            folder,
            request,
        }
    }

    /// The certificates of [`PROVEN`] serials, each signed by the CA, into the table.
    fn prove(&self) {
        let words = ["openssl", "x509", "-in", "pattern.crt", "-outform", "DER"];
        let pattern = output(&self.ca.folder, &words, &[]).stdout;
        let key = fs::read(self.ca.folder.join("private/ca.key")).unwrap();
        let key = PKey::private_key_from_pem(&key).unwrap();
        let tbs = content(&pattern, 0).start;
        let tbs = tbs..content(&pattern, tbs).end;
        let algorithm = tbs.end..content(&pattern, tbs.end).end;
        let signed = |number: usize| {
            let tbs = with_serial(&pattern[tbs.clone()], number, true);
            let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
            let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
            let bits = [
                &[3, u8::try_from(signature.len() + 1).unwrap(), 0],
                &signature[..],
            ]
            .concat();
            let content = [&tbs, &pattern[algorithm.clone()], &bits].concat();
            let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[0x30, 0x82, high, low], &content[..]].concat()
        };
        for first in (0..PROVEN).step_by(1000) {
            let rows = (first..first + 1000).map(|number| {
                format!(
                    "('0x{}', X'{}')",
                    hex(&serial(number, true)),
                    hex(&signed(number))
                )
            });
            let rows = rows.collect::<Vec<_>>().join(",");
            self.database.sql(&format!(
                "INSERT INTO list_certs (cert_num, cert) VALUES {rows}"
            ));
        }
    }

    fn question(&self, number: usize, proven: bool) -> Vec<u8> {
        with_serial(&self.request, number, proven)
    }

    fn serve(&self, source: &str, issuer: &str, more: &str) -> Server {
        let source = self.database.source("ca", source);
        Server::new(
            &self.folder,
            &(head(ADMIN) + &source + &self.ca.issuer(issuer) + more),
        )
    }
}

/// Where the content is of the DER value that begins at a place.
fn content(der: &[u8], at: usize) -> std::ops::Range<usize> {
    let (start, length) = match der[at + 1] {
        0x82 => (
            at + 4,
            usize::from(u16::from_be_bytes([der[at + 2], der[at + 3]])),
        ),
        0x81 => (at + 3, usize::from(der[at + 2])),
        length => (at + 2, usize::from(length)),
    };
    start..start + length
}

/// The pattern's octets with another serial.
fn with_serial(pattern: &[u8], number: usize, proven: bool) -> Vec<u8> {
    let old = serial(0, true);
    let at = pattern
        .windows(20)
        .position(|octets| octets == old)
        .unwrap();
    let mut octets = pattern.to_vec();
    octets[at..at + 20].copy_from_slice(&serial(number, proven));
    octets
}

/// Rows without a certificate that would prove them.
fn fill(database: &Database, rows: usize) {
    let begun = Instant::now();
    database.sql("CREATE TABLE digits (d int); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);");
    let number = "a.d + 10*b.d + 100*c.d + 1000*d.d + 10000*e.d + 100000*f.d";
    let prefix = hex(&serial(0, false)[..12]);
    database.sql(&format!(
        "SET unique_checks = 0; INSERT INTO list_certs (cert_num, cert) SELECT * FROM (SELECT \
         CONCAT('0x{prefix}', LPAD(LOWER(HEX({number})), 16, '0')) AS n, '' AS c FROM \
         digits f, digits e, digits d, digits c, digits b, digits a) numbers ORDER BY n LIMIT {rows}; DROP TABLE digits;"
    ));
    say(format!(
        "{rows} rows in {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
}

/// Has every client ask every question that is left, and comes back with what was answered: how often, by OCSP status.
fn ask_all(
    server: &Server,
    count: usize,
    question: impl Fn(usize) -> Vec<u8> + Sync,
) -> BTreeMap<u8, usize> {
    let next = AtomicUsize::new(0);
    let answered = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::to(server.address).unwrap();
                let mut mine = BTreeMap::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let response = client.ask(&question(number)).unwrap();
                    *mine.entry(response.error()).or_insert(0) += 1;
                }
                let mut answered = answered.lock().unwrap();
                for (status, count) in mine {
                    *answered.entry(status).or_insert(0) += count;
                }
            });
        }
    });
    answered.into_inner().unwrap()
}

/// Whether an answer says *good*, *revoked*, or is an error.
fn told(response: &Response) -> &'static str {
    match response.error() {
        0 => {
            // The CertStatus comes right behind the serial.
            let at = response
                .body
                .windows(2)
                .position(|two| two == [2, 20])
                .unwrap();
            match response.body[at + 22] {
                0x80 => "good",
                0xa1 => "revoked",
                other => panic!("status {other:#x}"),
            }
        }
        TRY_LATER => "tryLater",
        INTERNAL_ERROR => "internalError",
        _ => "another error",
    }
}

#[test]
fn look_ups_of_a_million_rows_travel_together() {
    let plan = Plan::new(setting("OCSP_TEST_ROWS", 1_000_000));
    plan.prove();
    let server = plan.serve("revalidate = \"10m\"", "", "");
    for what in ["cold", "warm"] {
        let statements = || plan.database.server.counter("Com_stmt_execute");
        let (before, begun) = (statements(), Instant::now());
        let answered = ask_all(&server, PROVEN, |number| plan.question(number, true));
        let (seconds, asked) = (begun.elapsed().as_secs_f64(), statements() - before);
        say(format!(
            "{what}: {:.0} questions/s, {:.0} statements/s at the database, {asked} statements for {PROVEN} questions",
            PROVEN as f64 / seconds,
            asked as f64 / seconds
        ));
        assert_eq!(answered, BTreeMap::from([(0, PROVEN)]));
        let most = if what == "cold" { PROVEN * 3 / 4 } else { 100 };
        assert!(asked <= most as u64, "{asked} statements");
    }
    // Serials that nobody has: a look-up each, and nothing is kept.
    let begun = Instant::now();
    let before = plan.database.server.counter("Com_stmt_execute");
    let answered = ask_all(&server, PROVEN, |number| {
        plan.question(number + 50_000_000, false)
    });
    let asked = plan.database.server.counter("Com_stmt_execute") - before;
    say(format!(
        "unknown: {:.0} questions/s, {asked} statements for {PROVEN} questions",
        PROVEN as f64 / begun.elapsed().as_secs_f64()
    ));
    assert_eq!(answered, BTreeMap::from([(UNAUTHORIZED, PROVEN)]));
    assert!(asked <= PROVEN as u64 / 2, "{asked} statements");
    assert_eq!(
        metric(&server.metrics(), "ocsp_cache_entries"),
        PROVEN as u64
    );
    lacks(&server.log(), &["warning", "error"]);
}

/// What 64 clients were told, since when, until they are stopped.
struct Crowd<'a> {
    server: &'a Server,
    stop: AtomicBool,
    last_good: Mutex<Instant>,
    told: Mutex<BTreeMap<&'static str, usize>>,
}

impl<'a> Crowd<'a> {
    fn new(server: &'a Server) -> Self {
        Self {
            server,
            stop: AtomicBool::new(false),
            last_good: Mutex::new(Instant::now()),
            told: Mutex::default(),
        }
    }

    /// Stops everybody when it is dropped, also where the test has failed meanwhile.
    fn stops(&self) -> Stops<'_> {
        Stops(&self.stop)
    }

    /// Asks the same question on one connection until it is stopped.
    fn ask(&self, question: &[u8]) {
        let mut client = Client::to(self.server.address).unwrap();
        let mut mine = BTreeMap::new();
        let mut good = None;
        while !self.stop.load(Ordering::Relaxed) {
            let response = client.ask(question).unwrap();
            let told = told(&response);
            if told == "good" {
                good = Some(Instant::now());
            }
            *mine.entry(told).or_insert(0) += 1;
        }
        let mut last = self.last_good.lock().unwrap();
        *last = good.map_or(*last, |good| good.max(*last));
        let mut told = self.told.lock().unwrap();
        for (what, count) in mine {
            *told.entry(what).or_insert(0) += count;
        }
    }
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_revocation_is_seen_by_all_clients_within_revalidate() {
    let plan = Plan::new(1000);
    plan.prove();
    let server = plan.serve("revalidate = \"2s\"", "", "");
    let mut waits = Vec::new();
    for repeat in 0..setting("OCSP_TEST_REPEATS", 3) {
        let question = plan.question(repeat, true);
        let crowd = Crowd::new(&server);
        let revoked = std::thread::scope(|scope| {
            let _stops = crowd.stops();
            for _ in 0..CLIENTS {
                scope.spawn(|| crowd.ask(&question));
            }
            // At another moment of the interval each time.
            std::thread::sleep(Duration::from_millis(500 + 370 * (repeat as u64 % 6)));
            let number = format!("0x{}", hex(&serial(repeat, true)));
            plan.database.set(
                &number,
                "status = 'Revoked', revocation_time = UTC_TIMESTAMP()",
            );
            let revoked = Instant::now();
            until("revoked is answered", || {
                (told(&server.post(&question)) == "revoked").then_some(())
            });
            // Whoever was told good after that would show.
            std::thread::sleep(Duration::from_millis(300));
            revoked
        });
        let told = crowd.told.into_inner().unwrap();
        assert!(
            told["good"] > 0 && told["revoked"] > 0 && told.len() == 2,
            "{told:?}"
        );
        waits.push(
            crowd
                .last_good
                .into_inner()
                .unwrap()
                .saturating_duration_since(revoked)
                .as_millis(),
        );
    }
    waits.sort_unstable();
    say(format!(
        "milliseconds from the UPDATE to the last good, revalidate = 2 s: {waits:?}"
    ));
}

#[test]
fn a_database_that_is_away_for_a_while_is_not_missed_by_those_who_ask_for_what_is_cached() {
    let plan = Plan::new(1000);
    plan.prove();
    let server = plan.serve("revalidate = \"2s\"", "", "");
    let number = format!("0x{}", hex(&serial(1, true)));
    plan.database.set(
        &number,
        "status = 'Revoked', revocation_time = UTC_TIMESTAMP()",
    );
    let questions = [plan.question(0, true), plan.question(1, true)];
    let crowd = Crowd::new(&server);
    let seconds = setting("OCSP_TEST_OUTAGE", 5) as u64;
    std::thread::scope(|scope| {
        let _stops = crowd.stops();
        for client in 0..CLIENTS {
            let question = &questions[client % 2];
            let crowd = &crowd;
            scope.spawn(move || crowd.ask(question));
        }
        std::thread::sleep(Duration::from_secs(1));
        plan.database.server.stop();
        std::thread::sleep(Duration::from_secs(seconds));
        plan.database.server.start();
        server.says("source \"ca\" answers again");
    });
    let told = crowd.told.into_inner().unwrap();
    say(format!(
        "answered while the database was away for {seconds} s: {told:?}, and logged:"
    ));
    for line in server.log().lines().filter(|line| line.contains("source")) {
        say(format!("  {line}"));
    }
    assert!(
        told["good"] > 0 && told["revoked"] > 0 && told.len() == 2,
        "{told:?}"
    );
    assert_eq!(server.generation().number, 1);
}

#[test]
fn what_is_cached_takes_what_the_cache_says() {
    let count = setting("OCSP_TEST_CACHED", 50_000);
    let plan = Plan::new(count);
    let resident = |server: &Server| -> u64 {
        let status = status(format!("/proc/{}", server.generation().frontend));
        status["VmRSS"]
            .split(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    };
    let server = plan.serve(
        "revalidate = \"1h\"",
        "good = \"status\"",
        "[cache]\nmemory = \"4 GiB\"\n",
    );
    let before = resident(&server);
    let begun = Instant::now();
    let answered = ask_all(&server, count, |number| plan.question(number, false));
    assert_eq!(answered, BTreeMap::from([(0, count)]));
    let seconds = begun.elapsed().as_secs_f64();
    let page = server.metrics();
    let (entries, octets) = (
        metric(&page, "ocsp_cache_entries"),
        metric(&page, "ocsp_cache_bytes"),
    );
    let grown = resident(&server) - before;
    say(format!(
        "{entries} cached answers of {} octets, at {:.0}/s: {} MiB resident before, {} MiB more after, of which the cache says {} MiB: {} octets each",
        server.post(&plan.question(0, false)).body.len(),
        count as f64 / seconds,
        before >> 20,
        grown >> 20,
        octets >> 20,
        grown / entries
    ));
    assert_eq!(entries, count as u64);
    assert!(
        grown < octets + octets / 4 + (32 << 20),
        "{grown} octets, {octets} said"
    );
}
