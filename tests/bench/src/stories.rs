//! What one rate does not tell: floods, revocations and reloads under load, starts, and memory. Of the daemon alone, but for the
//! start of `openssl ocsp`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{BasicConstraints, KeyUsage};
use openssl::x509::{X509Builder, X509NameBuilder};

use crate::harness::*;
use crate::load::{Answers, Load, drive_all};
use crate::plan::{Authority, Serials, hex, place, serial};
use crate::questions::{Questions, post};
use crate::report::median;
use crate::scenes::{Asked, Effort, WARM, own, scene_of};
use crate::servers::{Cores, Running, Which, raw};

/// A story.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Cached answers for some while others flood.
    Floods,
    /// How long until a revocation is seen, under load.
    Revocation,
    /// What a reload costs those who ask meanwhile.
    Reload,
    /// From the command to the first answer, with one issuer and with many.
    Start,
    /// The same with an `index.txt` of all rows.
    Index,
    /// What a cached answer takes.
    Memory,
    /// What it costs to read a status again.
    Again,
    /// What it costs to have an answer signed, beside the signature.
    Boundary,
    /// How much of both cores goes into signatures.
    Cores,
}

/// All of them, as the command line names them.
pub const STORIES: [(&str, Story); 9] = [
    ("floods", Story::Floods),
    ("revocation", Story::Revocation),
    ("reload", Story::Reload),
    ("start", Story::Start),
    ("index", Story::Index),
    ("memory", Story::Memory),
    ("again", Story::Again),
    ("boundary", Story::Boundary),
    ("cores", Story::Cores),
];

/// A line of the report: what, and figures.
pub type Line = [String; 2];

impl Story {
    /// By what it has answers signed.
    pub fn kind(self) -> Kind {
        match self {
            Self::Cores => Kind::Rsa,
            _ => Kind::P256,
        }
    }

    /// Whether it asks about serials of an `index.txt`.
    pub fn asks_index(self) -> bool {
        matches!(self, Self::Boundary | Self::Cores)
    }

    /// How many proven serials it needs.
    pub fn proven(self, effort: &Effort, entries: u64) -> u64 {
        match self {
            Self::Start | Self::Index | Self::Boundary => 1000,
            Self::Cores => 2 * effort.proven(scene_of(Asked::Fresh, Kind::Rsa)),
            Self::Floods | Self::Reload | Self::Revocation | Self::Again => WARM + 2000,
            Self::Memory => entries.max(WARM),
        }
    }

    /// Tells it.
    pub fn tell(
        self,
        effort: &Effort,
        authority: &Authority,
        folder: &Folder,
        entries: u64,
    ) -> Result<Vec<Line>, String> {
        let teller = Teller {
            effort,
            authority,
            folder,
        };
        match self {
            Self::Floods => teller.floods(),
            Self::Revocation => teller.revocation(),
            Self::Reload => teller.reload(),
            Self::Start => Ok(teller.start()),
            Self::Index => Ok(teller.index()),
            Self::Memory => teller.memory(entries),
            Self::Again => teller.again(),
            Self::Boundary => teller.boundary(),
            Self::Cores => teller.cores(),
        }
    }
}

struct Teller<'a> {
    effort: &'a Effort,
    authority: &'a Authority,
    folder: &'a Folder,
}

fn line(what: impl Into<String>, figures: impl Into<String>) -> Line {
    let line = [what.into(), figures.into()];
    eprintln!("  {}: {}", line[0], line[1]);
    line
}

fn least_and_median(mut values: Vec<f64>, unit: &str) -> String {
    values.sort_unstable_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    let middle = median(values);
    format!("median {middle:.2} {unit} ({least:.2} to {most:.2})")
}

/// What a process has in memory, and the most that it ever had.
fn in_memory(name: &str, pid: u32) -> String {
    let status = status(format!("/proc/{pid}"));
    let mib = |key: &str| {
        let kib = status[key].trim_end_matches(" kB").parse::<f64>();
        kib.unwrap() / 1024.0
    };
    format!("{name} {:.0} MiB (most {:.0})", mib("VmRSS"), mib("VmHWM"))
}

/// p50, p99, p99.9 and the longest, in ms.
fn latencies(answers: &mut Answers) -> [f64; 4] {
    answers.latencies.sort_unstable();
    [500, 990, 999, 1000].map(|part| Answers::per_mille(&answers.latencies, part))
}

fn named([p50, p99, p999, most]: [f64; 4]) -> String {
    format!("p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, longest {most:.2} ms")
}

/// Answers, if none is wrong.
fn right(answers: Answers) -> Result<Answers, String> {
    match &answers.first_wrong {
        Some(wrong) => Err(format!("{} answers are wrong: {wrong}", answers.wrong)),
        None => Ok(answers),
    }
}

impl Teller<'_> {
    fn daemon(&self) -> Running {
        Running::daemon(self.effort.cores, self.folder, self.authority, false)
    }

    /// Answers to questions of a kind from so many connections.
    fn ask(
        &self,
        server: &Running,
        asked: Asked,
        part: usize,
        connections: usize,
        time: Duration,
    ) -> Result<Answers, String> {
        let (load, questions) = self.prepared(server, asked, part, connections, time);
        right(load.drive(questions))
    }

    fn prepared(
        &self,
        server: &Running,
        asked: Asked,
        part: usize,
        connections: usize,
        time: Duration,
    ) -> (Load, Questions) {
        let scene = scene_of(asked, Kind::P256);
        let mut load = self.effort.load(scene, server, time);
        load.connections = connections;
        load.disturbed = true;
        let questions = self.effort.questions(scene, self.authority, part, false);
        (load, questions)
    }

    /// Puts the answers about [`WARM`] serials into the cache.
    fn warm(&self, server: &Running) -> Result<Answers, String> {
        self.ask(server, Asked::Warm, 0, 64, Duration::from_secs(120))
    }

    fn floods(&self) -> Result<Vec<Line>, String> {
        const OTHERS: usize = 4;
        let server = self.daemon();
        self.warm(&server)?;
        let floods = [
            (None, "nothing else"),
            (Some(Asked::Warm), "64 connections ask for cached answers"),
            (
                Some(Asked::Unknown),
                "64 connections ask about unknown serials",
            ),
            (
                Some(Asked::Foreign),
                "64 connections ask about foreign issuers",
            ),
            (Some(Asked::Nonce), "64 connections ask with nonces"),
        ];
        let mut lines = Vec::new();
        for (flood, name) in floods {
            let (mut found, mut rates, mut flooded, mut later) =
                (Vec::new(), Vec::new(), Vec::new(), 0);
            for repeat in 1..=self.effort.repeats {
                let time = self.effort.time;
                let mut loads = vec![self.prepared(&server, Asked::Warm, 1, OTHERS, time)];
                // The flood ends later.
                let longer = time + Duration::from_millis(200);
                loads.extend(flood.map(|asked| self.prepared(&server, asked, repeat, 64, longer)));
                let mut answers = drive_all(loads).into_iter().map(right);
                let mut mine = answers.next().unwrap()?;
                rates.push(mine.count as f64 / mine.time.as_secs_f64());
                found.push(latencies(&mut mine));
                if let Some(others) = answers.next().transpose()? {
                    flooded.push(others.count as f64 / others.time.as_secs_f64());
                    later += others.try_later;
                }
            }
            let middle =
                [0, 1, 2, 3].map(|part| median(found.iter().map(|run| run[part]).collect()));
            let mut figures = format!("{}; {:.0}/s", named(middle), median(rates));
            if !flooded.is_empty() {
                write!(figures, "; the others {:.0}/s", median(flooded)).unwrap();
            }
            if later > 0 {
                write!(figures, ", {later} tryLater").unwrap();
            }
            lines.push(line(
                format!("{OTHERS} connections for cached answers, {name}"),
                figures,
            ));
        }
        Ok(lines)
    }

    fn revocation(&self) -> Result<Vec<Line>, String> {
        const REVOKED: u64 = 40;
        let server = self.daemon();
        self.warm(&server)?;
        let database = self.authority.database.as_ref().unwrap();
        // Serials that nothing else asks about, known to the daemon as good.
        let serials: Vec<[u8; 20]> = (WARM + 1000..WARM + 1000 + REVOKED)
            .map(|number| serial(Serials::Proven, number))
            .collect();
        let mut client = Client::to(server.address).unwrap();
        let place = place(&self.authority.request, &serial(Serials::Proven, 0));
        let mut is_revoked = |serial: &[u8; 20]| {
            let mut request = self.authority.request.clone();
            request[place..place + 20].copy_from_slice(serial);
            client.send(&post(&request, false)).unwrap();
            let answer = client.response().unwrap().answer();
            let at = memchr::memmem::find(&answer, serial).unwrap();
            answer[at + 20] == 0xa1
        };
        for serial in &serials {
            if is_revoked(serial) {
                return Err("a serial is revoked before its time".to_owned());
            }
        }
        let stop = AtomicBool::new(false);
        let mut waits = std::thread::scope(|scope| {
            let stop = &stop;
            let server = &server;
            let loaded = scope.spawn(move || {
                let (mut count, begun) = (0, Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    let answers =
                        self.ask(server, Asked::Warm, 1, 64, Duration::from_millis(500))?;
                    count += answers.count;
                }
                Ok::<_, String>(count as f64 / begun.elapsed().as_secs_f64())
            });
            let (mut waiting, mut waits) = (Vec::new(), Vec::new());
            let mut next = serials.iter();
            let mut last = Instant::now();
            loop {
                // One after the other, so that all moments of the interval are met.
                if last.elapsed() > Duration::from_millis(250)
                    && let Some(serial) = next.next()
                {
                    last = Instant::now();
                    let number = format!("0x{}", hex(serial));
                    database.set(
                        &number,
                        "status = 'Revoked', revocation_time = UTC_TIMESTAMP()",
                    );
                    waiting.push((serial, Instant::now()));
                }
                waiting.retain(|(serial, since)| {
                    let revoked = is_revoked(serial);
                    if revoked {
                        waits.push(since.elapsed().as_secs_f64());
                    }
                    !revoked
                });
                let patience = waiting
                    .iter()
                    .all(|(_, since)| since.elapsed() < Duration::from_secs(60));
                if !patience || (waiting.is_empty() && next.len() == 0) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::Relaxed);
            let rate = loaded.join().unwrap()?;
            match waiting.len() {
                0 => Ok((waits, rate)),
                left => Err(format!("{left} revocations were not seen within 60 s")),
            }
        })?;
        waits.0.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| waits.0[(waits.0.len() - 1) * part / 100];
        Ok(vec![line(
            format!(
                "{REVOKED} revocations under {:.0} requests/s, until they are seen (revalidate is 10 s)",
                waits.1
            ),
            format!(
                "least {:.2}, quartiles {:.2}, {:.2}, {:.2}, most {:.2} s",
                at(0),
                at(25),
                at(50),
                at(75),
                at(100)
            ),
        )])
    }

    fn reload(&self) -> Result<Vec<Line>, String> {
        let server = self.daemon();
        let warmed = self.warm(&server)?;
        let mut lines = vec![line(
            format!("{WARM} serials for the first time"),
            format!("{:.2} s", warmed.time.as_secs_f64()),
        )];
        let daemon = server.daemon.as_ref().unwrap();
        let time = self.effort.time;
        for (name, reloads) in [
            ("before", false),
            ("during a reload", true),
            ("after", false),
        ] {
            let number = daemon.generation().number;
            let mut answers = std::thread::scope(|scope| {
                let answers = scope.spawn(|| self.ask(&server, Asked::Warm, 1, 64, time));
                if reloads {
                    std::thread::sleep(time / 10);
                    daemon.signal(Signal::SIGHUP);
                }
                answers.join().unwrap()
            })?;
            if reloads {
                daemon.next_generation(number);
            }
            lines.push(line(
                format!("64 connections for {WARM} cached answers, {name}"),
                format!(
                    "{}; {:.0}/s; {} tryLater, {} connections ended behind an answer, {} instead of one",
                    named(latencies(&mut answers)),
                    answers.count as f64 / answers.time.as_secs_f64(),
                    answers.try_later,
                    answers.ended,
                    answers.again
                ),
            ));
        }
        Ok(lines)
    }

    /// Starts something some times: seconds until it answers, and what it has in memory then.
    fn starts(&self, mut start: impl FnMut() -> Running) -> (Vec<f64>, Vec<String>) {
        let mut seconds = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..self.effort.repeats {
            let begun = Instant::now();
            let running = start();
            let mut client = Client::to(running.address).unwrap();
            // Whether it has a record of that is no matter.
            client.send(&post(&self.authority.request, false)).unwrap();
            client.head().unwrap();
            seconds.push(begun.elapsed().as_secs_f64());
            memory = running
                .processes
                .iter()
                .filter(|(name, _)| *name != "MariaDB")
                .map(|(name, pid)| in_memory(name, *pid))
                .collect();
        }
        (seconds, memory)
    }

    fn start(&self) -> Vec<Line> {
        const MANY: usize = 1000;
        let cores = self.effort.cores;
        let database = self.authority.database.as_ref();
        let many = self.issuers(MANY);
        let mut lines = Vec::new();
        for (name, more) in [
            ("1 issuer".to_owned(), ""),
            (format!("{} issuers", MANY + 1), &many),
        ] {
            let config = head(ADMIN) + &self.authority.sections(false) + more;
            let (seconds, memory) =
                self.starts(|| Running::daemon_of(cores, self.folder, &config, database));
            lines.push(line(
                format!("from the command to the first answer, {name}"),
                format!("{}; {}", least_and_median(seconds, "s"), memory.join(", ")),
            ));
        }
        lines
    }

    fn index(&self) -> Vec<Line> {
        let cores = self.effort.cores;
        let daemon = || Running::daemon(cores, self.folder, self.authority, true);
        let openssl = || Running::openssl(cores, self.authority);
        let mut lines = Vec::new();
        for (name, (seconds, memory)) in [
            ("ocsp-server", self.starts(daemon)),
            ("openssl ocsp", self.starts(openssl)),
        ] {
            lines.push(line(
                format!(
                    "from the command to the first answer, index.txt of {} lines, {name}",
                    self.authority.rows
                ),
                format!("{}; {}", least_and_median(seconds, "s"), memory.join(", ")),
            ));
        }
        lines.push(self.read_again());
        lines
    }

    /// Replaces the index some times: what the frontend uses of its core until it has read the new one, and what it has in
    /// memory. The most is that of the old rows and the new.
    fn read_again(&self) -> Line {
        let (ca, rows) = (&self.authority.ca, self.authority.rows);
        let server = Running::daemon(self.effort.cores, self.folder, self.authority, true);
        let daemon = server.daemon.as_ref().unwrap();
        let (name, pid) = server.processes[1];
        let mut seconds = Vec::new();
        for _ in 0..self.effort.repeats {
            let before = server.used()[1];
            let mark = daemon.mark();
            ca.set_index(&ca.index());
            daemon.says_after(mark, &format!("{rows} certificates"));
            seconds.push((server.used()[1] - before) as f64 / 1e9);
        }
        line(
            format!("the frontend's core for a new index.txt of {rows} lines"),
            format!(
                "{}; {}",
                least_and_median(seconds, "s"),
                in_memory(name, pid)
            ),
        )
    }

    fn memory(&self, entries: u64) -> Result<Vec<Line>, String> {
        let database = self.authority.database.as_ref();
        let ca = &self.authority.ca;
        // Nothing is looked up again: what an answer takes and costs by itself is the question here.
        let revalidate = "revalidate = \"1 h\"\n";
        let source = match database {
            Some(database) => database.source(&ca.name, revalidate),
            None => ca.source(revalidate),
        };
        let config = head(ADMIN) + &source + &ca.issuer("") + "[cache]\nmemory = \"4 GiB\"\n";
        let server = Running::daemon_of(self.effort.cores, self.folder, &config, database);
        let daemon = server.daemon.as_ref().unwrap();
        // What is allocated once is there already.
        self.ask(&server, Asked::Nonce, 1, 64, Duration::from_secs(1))?;
        let before = server.resident();
        let load = self.effort.load(
            scene_of(Asked::Fresh, Kind::P256),
            &server,
            Duration::from_secs(3600),
        );
        let questions = self.effort.serials(self.authority, entries, false);
        right(load.drive(questions))?;
        let after = server.resident();
        let page = daemon.metrics();
        let cached = metric(&page, "ocsp_cache_entries ");
        if cached != entries {
            return Err(format!("{cached} answers are cached, not {entries}"));
        }
        let mut figures = Vec::new();
        for (place, (name, _)) in server.processes.iter().enumerate().skip(1).take(2) {
            let octets = (after[place] - before[place].min(after[place])) as f64 * 1024.0;
            figures.push(format!("{name} {:.0} octets", octets / entries as f64));
        }
        let said = metric(&page, "ocsp_cache_bytes ") as f64 / entries as f64;
        figures.push(format!("of which the cache counts {said:.0}"));
        let memory = line(
            format!("memory for each of {entries} cached answers (ECDSA P-256)"),
            figures.join(", "),
        );
        let hits = self.hits(&server, entries)?;
        Ok([vec![memory], hits].concat())
    }

    /// What an answer from the cache costs, one serial and all that are there; and what it costs where as many are found in
    /// the map of a bare server.
    fn hits(&self, server: &Running, entries: u64) -> Result<Vec<Line>, String> {
        let scene = scene_of(Asked::Warm, Kind::P256);
        let answer = server.daemon.as_ref().unwrap();
        let answer = answer.post(&self.authority.request).answer();
        let bare = Running::hyper(Which::HyperMap, self.effort.cores, self.folder, &answer);
        let servers = [server, &bare];
        // By their octets they are found once they were asked for again.
        for server in servers {
            let load = self.effort.load(scene, server, Duration::from_secs(3600));
            right(load.drive(self.effort.serials(self.authority, entries, false)))?;
        }
        let mut found = [const { [const { Vec::new() }; 2] }; 2];
        for _ in 0..self.effort.repeats {
            for (count, found) in [1, entries].into_iter().zip(&mut found) {
                for (server, found) in servers.into_iter().zip(found) {
                    let load = self.effort.load(scene, server, self.effort.time);
                    let before: u64 = server.used().iter().sum();
                    let questions = self.effort.serials(self.authority, count, true);
                    let answers = right(load.drive(questions))?;
                    let after: u64 = server.used().iter().sum();
                    found.push((after - before) as f64 / 1e3 / answers.count as f64);
                }
            }
        }
        let least = |found: &[f64]| found.iter().copied().fold(f64::MAX, f64::min);
        let titles = [
            format!("one serial from a cache of {entries}"),
            format!("{entries} serials in turns from a cache of them"),
        ];
        let lines = titles.into_iter().zip(found).map(|(title, [ours, bare])| {
            let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare);
            let ratio = median(ratios.collect());
            let of = |found: Vec<f64>| {
                format!("{1:.1} CPU µs (least {0:.1})", least(&found), median(found))
            };
            let text = format!(
                "{}, bare hyper with a map of as many {}, ratio {ratio:.2}",
                of(ours),
                of(bare)
            );
            line(title, text)
        });
        Ok(lines.collect())
    }

    /// All cached answers twice, one time after the other: at first each status has to be read again, then none.
    fn again(&self) -> Result<Vec<Line>, String> {
        const REVALIDATE: Duration = Duration::from_secs(5);
        let ca = &self.authority.ca;
        let revalidate = format!("revalidate = \"{} s\"\n", REVALIDATE.as_secs());
        let database = self.authority.database.as_ref();
        let source = match database {
            Some(database) => database.source(&ca.name, &revalidate),
            None => ca.source(&revalidate),
        };
        let config = head(ADMIN) + &source + &ca.issuer("");
        let server = Running::daemon_of(self.effort.cores, self.folder, &config, database);
        let daemon = server.daemon.as_ref().unwrap();
        let load = self.effort.load(
            scene_of(Asked::Warm, Kind::P256),
            &server,
            Duration::from_secs(3600),
        );
        let of_source = format!("ocsp_source_lookups_total{{source={:?}}} ", ca.name);
        let read = || metric(&daemon.metrics(), &of_source);
        let all = || {
            let before = read();
            let used = || server.used().iter().sum::<u64>() as f64 / 1e3;
            let used_before = used();
            right(load.drive(self.effort.serials(self.authority, WARM, false)))?;
            Ok::<_, String>((used() - used_before, read() - before))
        };
        // Signed, and then found by their octets.
        all()?;
        all()?;
        let mut found = Vec::new();
        for _ in 0..self.effort.repeats {
            std::thread::sleep(REVALIDATE);
            let [(again, read), (cached, idle)] = [all()?, all()?];
            if (read, idle) != (WARM, 0) {
                return Err(format!("{read} statuses were read again, and then {idle}"));
            }
            found.push((again - cached) / WARM as f64);
        }
        let least = found.iter().copied().fold(f64::MAX, f64::min);
        Ok(vec![line(
            format!(
                "to read the status of a cached answer again, {WARM} of them as fast as they are asked for"
            ),
            format!(
                "{:.1} CPU µs (least {least:.1}), the database's included, beside an answer from the cache",
                median(found)
            ),
        )])
    }

    /// Questions with nonces to two daemons, one of which signs an answer to each, while the other one answers from its cache: it
    /// ignores nonces. What they do for a client is the same.
    fn boundary(&self) -> Result<Vec<Line>, String> {
        let ca = &self.authority.ca;
        let without = format!(
            "[[source]]\nname = {:?}\nkind = \"index\"\nfile = {:?}\n",
            ca.name,
            ca.path("index.txt")
        );
        let daemon = |sections: String| {
            let config = head(ADMIN) + &sections;
            Running::daemon_of(self.effort.cores, self.folder, &config, None)
        };
        let cached = daemon(ca.source("") + &ca.issuer("nonce = \"ignore\""));
        let mut lines = Vec::new();
        for (what, sections) in [
            (
                "a certificate that proves good, read from its file",
                ca.source("") + &ca.issuer(""),
            ),
            ("no certificate", without + &ca.issuer("good = \"status\"")),
        ] {
            let signing = daemon(sections);
            let mut found = Vec::new();
            for repeat in 0..=self.effort.repeats {
                let mut used = [0.0; 2];
                for (server, used) in [&signing, &cached].into_iter().zip(&mut used) {
                    let before: u64 = server.used().iter().sum();
                    let time = self.effort.time;
                    let answers = self.ask(server, Asked::Nonce, repeat, 64, time)?;
                    let after: u64 = server.used().iter().sum();
                    *used = (after - before) as f64 / 1e3 / answers.count as f64;
                }
                let [bare, _] = raw(self.effort.cores, "ecdsap256");
                // The first fills what is filled once.
                if repeat > 0 {
                    found.push([used[0], used[1], bare, used[0] - used[1] - bare]);
                }
            }
            let [signed, cached, bare, beside] =
                [0, 1, 2, 3].map(|part| median(found.iter().map(|run| run[part]).collect()));
            lines.push(line(
                format!("the way to the signer and back, with {what} (ECDSA P-256)"),
                format!(
                    "{beside:.1} CPU µs: an answer that is signed {signed:.1}, less one from the cache {cached:.1}, less a bare signature {bare:.1}"
                ),
            ));
        }
        Ok(lines)
    }

    /// New serials under RSA, with all cores for the daemon, of which the generator takes what it needs.
    fn cores(&self) -> Result<Vec<Line>, String> {
        let cores = Cores {
            shared: true,
            ..self.effort.cores
        };
        let server = Running::daemon(cores, self.folder, self.authority, true);
        let scene = scene_of(Asked::Fresh, Kind::Rsa);
        let mut found = Vec::new();
        for repeat in 0..=self.effort.repeats {
            let questions = self.effort.questions(scene, self.authority, repeat, false);
            if repeat > 0 {
                self.authority.warm(self.effort.fresh(scene, repeat as u64));
            }
            let load = self.effort.load(scene, &server, self.effort.time);
            let before = own();
            let answers = right(load.drive(questions))?;
            let seconds = answers.time.as_secs_f64();
            let generator = (own() - before) as f64 / 1e9 / seconds;
            let rate = answers.count as f64 / seconds;
            let [bare, _] = raw(cores, "rsa2048").map(|used| 1e6 / used);
            // What the generator takes of two cores is no signer's.
            let left = bare * (2.0 - generator) / 2.0;
            if repeat > 0 {
                found.push([rate, bare, rate / bare, rate / left, generator]);
            }
        }
        let [rate, bare, whole, left, generator] =
            [0, 1, 2, 3, 4].map(|part| median(found.iter().map(|run| run[part]).collect()));
        Ok(vec![line(
            "every serial new, RSA-2048, index.txt, the generator and the servers on two cores",
            format!(
                "{rate:.0}/s, {:.0} % of the {bare:.0}/s of `openssl speed -multi 2`; {:.0} % of what the generator leaves of it, which takes {:.0} % of one core",
                whole * 100.0,
                left * 100.0,
                generator * 100.0
            ),
        )])
    }

    /// The sections of so many further issuers, each with a key of its own.
    fn issuers(&self, count: usize) -> String {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let mut sections = String::new();
        for number in 0..count {
            let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
            let mut name = X509NameBuilder::new().unwrap();
            name.append_entry_by_nid(Nid::COMMONNAME, &format!("issuer {number}"))
                .unwrap();
            let name = name.build();
            let mut certificate = X509Builder::new().unwrap();
            certificate.set_version(2).unwrap();
            let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
            certificate.set_serial_number(&serial).unwrap();
            certificate.set_subject_name(&name).unwrap();
            certificate.set_issuer_name(&name).unwrap();
            certificate.set_pubkey(&key).unwrap();
            certificate
                .set_not_before(&Asn1Time::days_from_now(0).unwrap())
                .unwrap();
            certificate
                .set_not_after(&Asn1Time::days_from_now(60).unwrap())
                .unwrap();
            let constraints = BasicConstraints::new().critical().ca().build().unwrap();
            certificate.append_extension(constraints).unwrap();
            let mut usage = KeyUsage::new();
            let usage = usage
                .critical()
                .key_cert_sign()
                .crl_sign()
                .digital_signature();
            certificate
                .append_extension(usage.build().unwrap())
                .unwrap();
            certificate.sign(&key, MessageDigest::sha256()).unwrap();
            let certificate = certificate.build().to_pem().unwrap();
            let certificate = self
                .folder
                .file(&format!("issuer-{number}.crt"), certificate);
            let key = key.private_key_to_pem_pkcs8().unwrap();
            let key = self.folder.file(&format!("issuer-{number}.key"), key);
            set_mode(&key, 0o400);
            std::os::unix::fs::chown(&key, Some(users().1), Some(signer_group())).unwrap();
            write!(
                sections,
                "[[issuer]]\nname = \"issuer {number}\"\nsource = {:?}\ncertificate = {certificate:?}\nkey = {key:?}\n",
                self.authority.ca.name
            )
            .unwrap();
        }
        sections
    }
}
