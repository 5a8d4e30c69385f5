//! What is measured: a kind of question, and the servers that are asked.

use std::ops::Range;
use std::time::Duration;

use openssl::ocsp::{OcspFlag, OcspResponse};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref};

use crate::harness::*;
use crate::load::{Answers, Load};
use crate::plan::{Authority, Serials, place, serial};
use crate::questions::{Method, Questions};
use crate::servers::{Cores, Running, Which, raw};

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Of `openssl ocsp`, which has a backlog of 32 and takes one connection at a time.
const CONNECTIONS_OPENSSL: usize = 16;
/// Serials that are asked again and again.
pub const WARM: u64 = 10_000;

/// What changes from question to question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    One,
    /// The serial, among [`WARM`].
    Warm,
    /// The serial: each one for the first time.
    Fresh,
    /// The nonce, of the same serial.
    Nonce,
    /// The serial: each one nobody's.
    Unknown,
    /// The hash of the issuer's key: each one nobody's.
    Foreign,
}

/// A scene.
pub struct Scene {
    /// As the command line and the report name it.
    pub name: &'static str,
    /// What happens, in some words.
    pub title: &'static str,
    /// Which questions.
    pub asked: Asked,
    /// By POST or GET.
    pub method: Method,
    /// A connection for each question.
    pub close: bool,
    /// Whose answers.
    pub kind: Kind,
    /// Who is asked.
    pub servers: &'static [Which],
}

const CACHED: &[Which] = &[Which::Daemon, Which::Hyper, Which::Nginx];
const CACHED_MANY: &[Which] = &[Which::Daemon, Which::HyperMap, Which::Hyper, Which::Nginx];
const SIGNED: &[Which] = &[Which::Daemon, Which::DaemonIndex, Which::Openssl];

const fn scene(
    name: &'static str,
    title: &'static str,
    asked: Asked,
    kind: Kind,
    servers: &'static [Which],
) -> Scene {
    Scene {
        name,
        title,
        asked,
        method: Method::Post,
        close: false,
        kind,
        servers,
    }
}

/// All of them.
pub const SCENES: &[Scene] = &[
    scene("hot", "one serial, POST", Asked::One, Kind::P256, CACHED),
    Scene {
        method: Method::Get,
        ..scene("hot-get", "one serial, GET", Asked::One, Kind::P256, CACHED)
    },
    scene(
        "warm",
        "10,000 serials, POST",
        Asked::Warm,
        Kind::P256,
        CACHED_MANY,
    ),
    Scene {
        method: Method::Get,
        ..scene(
            "warm-get",
            "10,000 serials, GET",
            Asked::Warm,
            Kind::P256,
            CACHED_MANY,
        )
    },
    Scene {
        close: true,
        ..scene(
            "connect",
            "a connection for each question",
            Asked::One,
            Kind::P256,
            CACHED,
        )
    },
    scene(
        "fresh-p256",
        "every serial new, ECDSA P-256",
        Asked::Fresh,
        Kind::P256,
        SIGNED,
    ),
    scene(
        "fresh-rsa",
        "every serial new, RSA-2048",
        Asked::Fresh,
        Kind::Rsa,
        SIGNED,
    ),
    scene(
        "nonce-p256",
        "a nonce each, ECDSA P-256",
        Asked::Nonce,
        Kind::P256,
        SIGNED,
    ),
    scene(
        "nonce-rsa",
        "a nonce each, RSA-2048",
        Asked::Nonce,
        Kind::Rsa,
        SIGNED,
    ),
    scene(
        "unknown",
        "serials that nobody has",
        Asked::Unknown,
        Kind::P256,
        SIGNED,
    ),
    scene(
        "foreign",
        "issuers that are not ours",
        Asked::Foreign,
        Kind::P256,
        SIGNED,
    ),
];

/// A scene with such questions, by POST.
pub fn scene_of(asked: Asked, kind: Kind) -> &'static Scene {
    let mut scenes = SCENES.iter();
    let found = scenes
        .find(|scene| scene.asked == asked && scene.method == Method::Post && scene.kind == kind);
    found.unwrap()
}

/// What one measurement found.
#[derive(Clone)]
pub struct Run {
    /// Answers a second.
    pub rate: f64,
    /// µs of the servers' core for one answer, of each process.
    pub used: Vec<f64>,
    /// Latencies that 50 %, 99 % and 99.9 % of the answers did not exceed, in ms.
    pub latencies: Option<[f64; 3]>,
    /// How much of its own core the generator used.
    pub generator: f64,
}

impl Run {
    /// µs of the servers' core for one answer.
    pub fn total(&self) -> f64 {
        self.used.iter().sum()
    }
}

/// What all measurements of one server in one scene found.
pub struct Outcome {
    /// The server.
    pub which: Which,
    /// Its processes.
    pub processes: Vec<&'static str>,
    /// One for each repeat.
    pub runs: Vec<Run>,
    /// What each process had in memory at the end, in KiB.
    pub resident: Vec<u64>,
}

impl Outcome {
    /// What `openssl speed` found, in µs of one.
    fn of_bare(which: Which, found: &[f64]) -> Self {
        let run = |used: &f64| Run {
            rate: 1e6 / used,
            used: vec![*used],
            latencies: None,
            generator: 0.0,
        };
        Self {
            which,
            processes: vec!["openssl"],
            runs: found.iter().map(run).collect(),
            resident: Vec::new(),
        }
    }
}

/// How long, how often.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Of each measurement.
    pub time: Duration,
    /// Measurements of each server.
    pub repeats: usize,
    /// Where.
    pub cores: Cores,
}

impl Effort {
    /// How many proven serials a scene asks about.
    pub fn proven(&self, scene: &Scene) -> u64 {
        let seconds = self.time.as_secs_f64() * self.repeats as f64;
        let rate = match scene.kind {
            Kind::P256 => 20_000.0,
            Kind::Rsa => 5_000.0,
        };
        match scene.asked {
            Asked::One | Asked::Nonce | Asked::Unknown | Asked::Foreign => 1000,
            Asked::Warm => WARM,
            Asked::Fresh => WARM + (seconds * rate) as u64,
        }
    }

    /// Plays a scene.
    pub fn play(
        &self,
        scene: &Scene,
        authority: &Authority,
        folder: &Folder,
    ) -> Result<Vec<Outcome>, String> {
        let with_before = scene.servers.iter().flat_map(|which| {
            let before = which.before().filter(|_| Running::before().is_some());
            [Some(*which), before].into_iter().flatten()
        });
        let running = with_before.map(|which| self.start(which, authority, folder));
        let running: Vec<Running> = running.collect();
        let mut results = Vec::new();
        let (mut signatures, mut verifications) = (Vec::new(), Vec::new());
        for server in &running {
            let warm = match scene.asked {
                Asked::One | Asked::Warm => self.questions(scene, authority, 0, false),
                // The first of WARM serials, which are asked about for nothing else.
                _ => self.questions(scene, authority, 0, true),
            };
            let time = match scene.asked {
                Asked::Warm => Duration::from_secs(60),
                _ => Duration::from_millis(300),
            };
            let load = self.load(scene, server, time);
            check(scene, server.which, authority, load.drive(warm))?;
            let processes = server.processes.iter().map(|(name, _)| *name);
            results.push(Outcome {
                which: server.which,
                processes: processes.collect(),
                runs: Vec::new(),
                resident: Vec::new(),
            });
        }
        for repeat in 1..=self.repeats {
            for (server, result) in running.iter().zip(&mut results) {
                let questions = self.questions(scene, authority, repeat, false);
                let load = self.load(scene, server, self.time);
                // How many statuses this one would have to read again depends on how long the others took: none.
                if scene.asked == Asked::Warm {
                    let warm = self.questions(scene, authority, 0, false);
                    let load = self.load(scene, server, Duration::from_secs(60));
                    check(scene, server.which, authority, load.drive(warm))?;
                }
                if scene.asked == Asked::Fresh {
                    authority.warm(self.fresh(scene, repeat as u64));
                }
                // What the last one left behind, such as connections to be closed, is none of this one's.
                std::thread::sleep(Duration::from_millis(50));
                let run = self.measure(scene, server, authority, &load, questions)?;
                result.runs.push(run);
            }
            if let Some(algorithm) = scene.signs() {
                let [signature, verification] = raw(self.cores, algorithm);
                signatures.push(signature);
                verifications.push(verification);
            }
        }
        for (server, result) in running.iter().zip(&mut results) {
            result.resident = server.resident();
            if let Some(daemon) = &server.daemon {
                let log = daemon.log();
                let worse = |line: &&str| line.contains("security:") || line.contains("error:");
                if let Some(line) = log.lines().find(worse) {
                    return Err(format!("{}: the daemon says: {line}", scene.name));
                }
            }
        }
        if !signatures.is_empty() {
            results.push(Outcome::of_bare(Which::Signature, &signatures));
        }
        if scene.asked == Asked::Fresh {
            results.push(Outcome::of_bare(Which::Verification, &verifications));
        }
        Ok(results)
    }

    fn start(&self, which: Which, authority: &Authority, folder: &Folder) -> Running {
        match which {
            Which::Daemon => Running::daemon(self.cores, folder, authority, false),
            Which::Before => Running::before_of(self.cores, folder, authority, false),
            Which::DaemonIndex => Running::daemon(self.cores, folder, authority, true),
            Which::BeforeIndex => Running::before_of(self.cores, folder, authority, true),
            Which::Openssl | Which::Signature | Which::Verification => {
                Running::openssl(self.cores, authority)
            }
            Which::Hyper | Which::HyperMap | Which::Nginx => {
                // The octets that the daemon answers.
                let daemon = Running::daemon(self.cores, folder, authority, false);
                let answer = daemon
                    .daemon
                    .as_ref()
                    .unwrap()
                    .post(&authority.request)
                    .answer();
                match which {
                    Which::Nginx => Running::nginx(self.cores, folder, &answer),
                    _ => Running::hyper(which, self.cores, folder, &answer),
                }
            }
        }
    }

    /// What drives it.
    pub fn load(&self, scene: &Scene, server: &Running, time: Duration) -> Load {
        let openssl = server.which == Which::Openssl;
        Load {
            address: server.address,
            connections: if openssl {
                CONNECTIONS_OPENSSL
            } else {
                CONNECTIONS
            },
            keep_alive: !scene.close && !openssl,
            time,
            status: match scene.asked {
                // openssl ocsp says unknown.
                Asked::Unknown | Asked::Foreign if !openssl => UNAUTHORIZED,
                _ => 0,
            },
            disturbed: false,
        }
    }

    /// The questions of one repeat, 0 being the warming up.
    pub fn questions(
        &self,
        scene: &Scene,
        authority: &Authority,
        repeat: usize,
        endless: bool,
    ) -> Questions {
        let serials = match scene.asked {
            Asked::Unknown => Serials::Unknown,
            _ => Serials::Proven,
        };
        let pattern = match scene.asked {
            Asked::Nonce => &authority.nonce_request,
            _ => &authority.request,
        };
        let mut request = pattern.clone();
        let at = place(&request, &serial(Serials::Proven, 0));
        request[at..at + 20].copy_from_slice(&serial(serials, 0));
        let repeat = repeat as u64;
        let many = 1 << 40;
        let (at, first, count, endless) = match scene.asked {
            Asked::One => (at + 12, 0, 1, true),
            Asked::Warm => (at + 12, 0, WARM, repeat > 0),
            Asked::Fresh if repeat == 0 => (at + 12, 0, WARM, endless),
            Asked::Fresh => {
                let Range { start, end } = self.fresh(scene, repeat);
                (at + 12, start, end - start, false)
            }
            Asked::Nonce => (nonce_place(&request), repeat * many, many, false),
            Asked::Unknown => (at + 12, repeat * many, many, false),
            // The serial stands behind its tag, its length and the issuerKeyHash.
            Asked::Foreign => (at - 2 - 8, repeat * many, many, false),
        };
        Questions::new(
            scene.method,
            scene.close,
            &request,
            at,
            first,
            count,
            endless,
        )
    }

    /// The proven serials of one repeat, each new. There may be more, of which `newcerts/` has no file: those are for others
    /// to ask about.
    pub fn fresh(&self, scene: &Scene, repeat: u64) -> Range<u64> {
        let each = (self.proven(scene) - WARM) / self.repeats as u64;
        let first = WARM + (repeat - 1) * each;
        first..first + each
    }

    /// Questions about so many proven serials, each of them once, or again and again.
    pub fn serials(&self, authority: &Authority, count: u64, endless: bool) -> Questions {
        let at = place(&authority.request, &serial(Serials::Proven, 0));
        Questions::new(
            Method::Post,
            false,
            &authority.request,
            at + 12,
            0,
            count,
            endless,
        )
    }

    fn measure(
        &self,
        scene: &Scene,
        server: &Running,
        authority: &Authority,
        load: &Load,
        questions: Questions,
    ) -> Result<Run, String> {
        let before = (server.used(), own());
        let mut answers = load.drive(questions);
        let after = (server.used(), own());
        let count = answers.count as f64;
        let mut sorted = std::mem::take(&mut answers.latencies);
        sorted.sort_unstable();
        let seconds = answers.time.as_secs_f64();
        let each = |(after, before): (&u64, &u64)| (after - before) as f64 / 1e3 / count;
        let latencies = [500, 990, 999].map(|part| Answers::per_mille(&sorted, part));
        let run = Run {
            rate: count / seconds,
            used: after.0.iter().zip(&before.0).map(each).collect(),
            latencies: Some(latencies),
            generator: (after.1 - before.1) as f64 / 1e9 / seconds,
        };
        check(scene, server.which, authority, answers)?;
        eprintln!(
            "  {:<12} {:<24} {:>8.0}/s {:>8.2} µs  p50 {:.2} p99 {:.2} p99.9 {:.2} ms  generator {:.0} %",
            scene.name,
            server.which.name(),
            run.rate,
            run.total(),
            latencies[0],
            latencies[1],
            latencies[2],
            run.generator * 100.0
        );
        Ok(run)
    }
}

/// What this thread has used of its core until now, in ns.
pub fn own() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The last eight octets of the nonce.
fn nonce_place(request: &[u8]) -> usize {
    let (start, length) = nonce(request).expect("openssl ocsp sends a nonce");
    start + length - 8
}

/// Where the nonce of a request or an answer stands (RFC 9654): an OCTET STRING in the OCTET STRING of the extension.
fn nonce(octets: &[u8]) -> Option<(usize, usize)> {
    const NONCE: &[u8] = &[6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
    let behind = memchr::memmem::find(octets, NONCE)? + NONCE.len();
    match octets.get(behind..behind + 4)? {
        [4, outer, 4, length] if *outer == length + 2 => Some((behind + 4, usize::from(*length))),
        _ => None,
    }
}

/// Says which answer is wrong, if one is: what answers fast and wrong is not measured.
pub fn check(
    scene: &Scene,
    which: Which,
    authority: &Authority,
    answers: Answers,
) -> Result<(), String> {
    let failed = |why: String| Err(format!("{}: {}: {why}", scene.name, which.name()));
    if let Some(wrong) = answers.first_wrong {
        return failed(format!(
            "{} of {} answers are wrong: {wrong}",
            answers.wrong, answers.count
        ));
    }
    if answers.kept.is_empty() {
        return failed("nothing was answered".to_owned());
    }
    if which.is_ours() && matches!(scene.asked, Asked::Unknown | Asked::Foreign) {
        return Ok(()); // unauthorized is not signed, and its status was looked at
    }
    let issuer = std::fs::read(authority.ca.folder.join("ca.crt")).unwrap();
    let issuer = X509::from_pem(&issuer).unwrap();
    for (number, answer) in &answers.kept {
        if let Err(why) = right(scene, which, &issuer, *number, answer) {
            return failed(format!("answer to question {number}: {why}: {answer:02x?}"));
        }
    }
    Ok(())
}

/// Whether an answer is signed by the issuer, about what was asked, and says what is so.
fn right(
    scene: &Scene,
    which: Which,
    issuer: &X509Ref,
    number: u64,
    answer: &[u8],
) -> Result<(), String> {
    let text = |error: openssl::error::ErrorStack| error.to_string();
    let basic = OcspResponse::from_der(answer).and_then(|answer| answer.basic());
    let mut store = X509StoreBuilder::new().map_err(text)?;
    store.add_cert(issuer.to_owned()).map_err(text)?;
    let mut certificates = Stack::new().map_err(text)?;
    certificates.push(issuer.to_owned()).map_err(text)?;
    let flags = match scene.asked {
        // About an issuer that is not the one who signs, which only a trusted signer may do.
        Asked::Foreign => OcspFlag::TRUST_OTHER,
        _ => OcspFlag::empty(),
    };
    let store = store.build();
    let verified = basic.and_then(|basic| basic.verify(&certificates, &store, flags));
    verified.map_err(text)?;
    // The CertStatus comes right behind the serial.
    let fixed = matches!(which, Which::Hyper | Which::HyperMap | Which::Nginx);
    let (serial, status) = match scene.asked {
        Asked::Unknown => (serial(Serials::Unknown, number), 0x82),
        Asked::Foreign => (serial(Serials::Proven, 0), 0x82),
        Asked::Warm | Asked::Fresh if !fixed => (serial(Serials::Proven, number), 0x80),
        _ => (serial(Serials::Proven, 0), 0x80),
    };
    let at = memchr::memmem::find(answer, &serial).ok_or("about another serial")?;
    if answer.get(at + 20) != Some(&status) {
        return Err("another status".to_owned());
    }
    if scene.asked == Asked::Nonce {
        let (start, length) = nonce(answer).ok_or("without its nonce")?;
        if answer[start..start + length][length - 8..] != number.to_be_bytes() {
            return Err("with another nonce".to_owned());
        }
    }
    Ok(())
}

impl Scene {
    /// Whether an answer is made for the question, and not in memory already.
    pub fn makes(&self) -> bool {
        !matches!(self.asked, Asked::One | Asked::Warm)
    }

    /// What `openssl speed` calls the algorithm of the signature that each answer needs.
    fn signs(&self) -> Option<&'static str> {
        match (self.asked, self.kind) {
            (Asked::Fresh | Asked::Nonce, Kind::P256) => Some("ecdsap256"),
            (Asked::Fresh | Asked::Nonce, Kind::Rsa) => Some("rsa2048"),
            _ => None,
        }
    }
}
