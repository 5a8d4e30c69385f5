//! Attacks by a child that somebody else has taken over: a real launcher starts the programs of `tests/hostile` in the place
//! of the frontend or the signer, under the real users and the real confinement. What is tried and how it has to end
//! stands in tables; the outcomes are printed (`--nocapture`).

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::*;
use nix::sys::signal::Signal;
use ocsp_wire::*;
use openssl::bn::BigNumContext;
use openssl::ec::PointConversionForm;
use openssl::sha::sha1;
use openssl::x509::X509;

/// A CA, copies of the programs, and which of them stand in the children's places.
struct Ground {
    folder: Folder,
    ca: Ca,
}

const FRONTEND: &str = "ocsp-frontend";
const SIGNER: &str = "ocsp-signer";

/// A program of `tests/hostile`, which cargo builds beside this test.
fn hostile(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join(name);
    assert!(
        path.exists(),
        "{}: build it first, in the profile of this test: cargo build --package ocsp-hostile",
        path.display()
    );
    path
}

impl Ground {
    fn new() -> Self {
        let folder = Folder::new();
        let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
        fs::create_dir(folder.path("bin")).unwrap();
        fs::create_dir(folder.path("all")).unwrap();
        let ground = Self { folder, ca };
        let programs = [
            launcher().to_owned(),
            launcher().with_file_name(FRONTEND),
            launcher().with_file_name(SIGNER),
            hostile("hostile-frontend"),
            hostile("hostile-signer"),
        ];
        for program in programs {
            // By another process: see tests/environment.rs.
            let name = program.file_name().unwrap().to_str().unwrap();
            let copy = ground.folder.path(&format!("all/{name}"));
            must("/", &["cp", program.to_str().unwrap(), &copy]);
            set_mode(copy, 0o755);
        }
        for name in ["ocsp-server", FRONTEND, SIGNER] {
            ground.put(name, name);
        }
        ground
    }

    /// Puts a program in a child's place, at once.
    fn put(&self, program: &str, place: &str) {
        let new = self.folder.path("bin/new");
        fs::hard_link(self.folder.path(&format!("all/{program}")), &new).unwrap();
        fs::rename(&new, self.folder.path(&format!("bin/{place}"))).unwrap();
        let _ = fs::remove_file(new); // left where both were the same file
    }

    fn start(&self, config: &str) -> Server {
        let file = self.folder.file("config.toml", config);
        let mut command = Command::new(self.folder.path("bin/ocsp-server"));
        command.args(["run", "--config", &file]);
        Server::started(command, &file)
    }

    /// Starts it with the hostile frontend, and has the real one ready for the next generation.
    fn taken(&self, config: &str) -> (Server, Hostile) {
        self.put("hostile-frontend", FRONTEND);
        let server = self.start(config);
        self.put(FRONTEND, FRONTEND);
        let hostile = Hostile::of(&server);
        (server, hostile)
    }

    fn config(&self) -> String {
        head("") + &self.ca.source("") + &self.ca.issuer("")
    }

    /// A question of a client, answered by whoever serves now.
    fn serves(&self, server: &Server) {
        let answer = server.post(&self.ca.request("-cert good.crt")).answer();
        assert!(self.ca.reads(&answer).contains("Cert Status: good"));
    }

    fn certificate(&self, name: &str) -> X509 {
        let octets = fs::read(self.ca.path(&format!("{name}.crt"))).unwrap();
        X509::from_pem(&octets).unwrap()
    }
}

/// The hostile frontend, as its master sees it.
struct Hostile {
    connection: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Hostile {
    fn of(server: &Server) -> Self {
        let connection = TcpStream::connect(server.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(connection.try_clone().unwrap());
        Self { connection, lines }
    }

    /// What it says to this; nothing, when it has ended.
    fn try_say(&mut self, line: &str) -> Option<String> {
        let _ = self.connection.write_all(format!("{line}\n").as_bytes());
        let mut said = String::new();
        match self.lines.read_line(&mut said) {
            Ok(read) if read > 0 => Some(said.trim().to_owned()),
            Ok(_) | Err(_) => None,
        }
    }

    fn say(&mut self, line: &str) -> String {
        let said = self.try_say(line);
        said.unwrap_or_else(|| panic!("the hostile frontend is gone: {line}"))
    }

    /// Locks it in to the last step; the version of Landlock.
    fn confine(&mut self) -> u32 {
        let abi = self.say("lock-in").parse().unwrap();
        assert_eq!(self.say("serve"), "serving");
        abi
    }

    /// From here on, its boundary.
    fn boundary(mut self) -> End<FromSigner, ToSigner, TcpStream> {
        assert_eq!(self.say("relay"), "relay");
        let end = End::new(self.connection.try_clone().unwrap(), self.connection);
        end.greet().unwrap();
        end
    }
}

/// What an attempt is, and how it ends: with the users apart and the launcher's list of denied calls; locked in as well; with
/// the list of allowed calls as well. `-` is not tried.
struct Row(&'static str, &'static str, &'static str, &'static str);

const ATTEMPTS: &[Row] = &[
    // The key, by every path.
    Row("read {key}", "EACCES", "EACCES", "EACCES"),
    Row("read {ca}/hard-link-to-key", "EACCES", "EACCES", "EACCES"),
    Row(
        "read {ca}/newcerts/symlink-to-key",
        "EACCES",
        "EACCES",
        "EACCES",
    ),
    Row("read /proc/self/root{key}", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/self/cwd{key}", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{signer}/mem", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{signer}/maps", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{signer}/environ", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{signer}/fd/0", "EACCES", "EACCES", "EACCES"),
    Row("list /proc/{signer}/fd", "EACCES", "EACCES", "EACCES"),
    Row(
        "read /proc/{signer}/root{key}",
        "EACCES",
        "EACCES",
        "EACCES",
    ),
    Row("read /proc/{signer}/cwd{key}", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{signer}/status", "done", "EACCES", "EACCES"),
    Row("link-of /proc/{signer}/exe", "EACCES", "EACCES", "SIGSYS"),
    Row("write /proc/{signer}/mem", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{launcher}/mem", "EACCES", "EACCES", "EACCES"),
    Row("read /proc/{launcher}/maps", "EACCES", "EACCES", "EACCES"),
    Row(
        "read /proc/{launcher}/environ",
        "EACCES",
        "EACCES",
        "EACCES",
    ),
    Row("list /proc/{launcher}/fd", "EACCES", "EACCES", "EACCES"),
    Row(
        "read /proc/{launcher}/root{key}",
        "EACCES",
        "EACCES",
        "EACCES",
    ),
    Row("read /etc/shadow", "EACCES", "EACCES", "EACCES"),
    Row("read /etc/passwd", "done", "EACCES", "EACCES"),
    // What everybody may read, but for Landlock.
    Row("read {folder}/neighbour", "done", "EACCES", "EACCES"),
    Row(
        "read {ca}/newcerts/symlink-to-neighbour",
        "done",
        "EACCES",
        "EACCES",
    ),
    Row("read {ca}/index.txt", "done", "done", "done"),
    // Files changed: in a folder where everybody may.
    Row("write {ca}/index.txt", "EACCES", "EACCES", "EACCES"),
    Row("write {open}/new", "done", "EACCES", "EACCES"),
    Row("unlink {open}/there", "-", "EACCES", "SIGSYS"),
    Row("rename {open}/there {open}/moved", "-", "EACCES", "SIGSYS"),
    Row("mkdir {open}/folder", "-", "EACCES", "SIGSYS"),
    Row(
        "hard-link {key} {open}/key",
        "-",
        "EPERM|EACCES|EXDEV",
        "SIGSYS",
    ),
    Row("symlink {key} {open}/link", "-", "EACCES", "SIGSYS"),
    Row("chmod {ca}/index.txt", "EPERM", "EPERM", "SIGSYS"),
    Row("chroot {ca}", "EPERM", "EPERM", "SIGSYS"),
    Row("mount {open}", "EPERM", "EPERM", "SIGSYS"),
    // Other processes.
    Row("ptrace {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("ptrace {launcher}", "EPERM", "EPERM", "SIGSYS"),
    Row("seize {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("vm-read {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("vm-read {launcher}", "EPERM", "EPERM", "SIGSYS"),
    Row("vm-write {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("pidfd-getfd {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("pidfd-getfd {launcher}", "EPERM", "EPERM", "SIGSYS"),
    Row("pidfd-kill {signer}", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {signer} 0", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {signer} 19", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {signer} 9", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {launcher} 0", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {launcher} 19", "EPERM", "EPERM", "SIGSYS"),
    Row("kill {launcher} 9", "EPERM", "EPERM", "SIGSYS"),
    // The network.
    Row("tcp {tcp}", "done", "EACCES", "EACCES"),
    Row("udp {udp}", "done", "done", "SIGSYS"),
    Row("abstract {abstract}", "done", "EPERM", "EPERM"),
    Row("bind", "done", "EACCES", "SIGSYS"),
    Row("listen", "done", "done", "SIGSYS"),
    Row("raw-socket", "EPERM", "EPERM", "SIGSYS"),
    Row("netlink", "done", "done", "SIGSYS"),
    Row("unix {folder}/closed.sock", "EACCES", "EACCES", "EACCES"),
    // A known limit: Landlock does not deny sockets by path, only their mode does.
    Row("unix {folder}/open.sock", "done", "done", "done"),
    // More than it is.
    Row("exec /bin/sh", "-", "EACCES", "SIGSYS"),
    Row("spawn /bin/sh", "done", "EACCES", "SIGSYS"),
    Row("thread", "-", "done", "SIGSYS"),
    Row("exec-memory", "done", "done", "SIGSYS"),
    Row("memfd", "done", "done", "SIGSYS"),
    Row("setuid 0", "EPERM", "EPERM", "SIGSYS"),
    Row("setuid {signer-user}", "EPERM", "EPERM", "SIGSYS"),
    Row("setgid {signer-user}", "EPERM", "EPERM", "SIGSYS"),
    Row("setgroups {signer-user}", "EPERM", "EPERM", "SIGSYS"),
    Row("unshare", "EPERM", "EPERM", "SIGSYS"),
    Row("rlimit", "-", "-", "SIGSYS"),
    Row("dumpable", "-", "-", "SIGSYS"),
    Row("hand-descriptor", "-", "-", "SIGSYS"),
];

/// What an attempt may try to reach, with the names that the table has for it.
struct Targets {
    names: Vec<(&'static str, String)>,
    _tcp: TcpListener,
    _udp: UdpSocket,
    _unix: [UnixListener; 3],
}

impl Targets {
    fn new(ground: &Ground) -> Self {
        let (folder, ca) = (&ground.folder, &ground.ca);
        let key = ca.key();
        folder.file("neighbour", "a secret of another service\n");
        let open = folder.path("open");
        fs::create_dir(&open).unwrap();
        fs::write(format!("{open}/there"), "x").unwrap();
        set_mode(&open, 0o777);
        fs::hard_link(&key, ca.path("hard-link-to-key")).unwrap();
        for (to, link) in [(&key, "key"), (&folder.path("neighbour"), "neighbour")] {
            let link = ca.path(&format!("newcerts/symlink-to-{link}"));
            std::os::unix::fs::symlink(to, link).unwrap();
        }
        let (tcp, udp) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let name = folder.path("abstract").replace('/', "-");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let unix = [
            UnixListener::bind_addr(&address).unwrap(),
            UnixListener::bind(folder.path("open.sock")).unwrap(),
            UnixListener::bind(folder.path("closed.sock")).unwrap(),
        ];
        set_mode(folder.path("open.sock"), 0o777);
        set_mode(folder.path("closed.sock"), 0o700);
        let names = vec![
            ("{folder}", folder.path("")),
            ("{open}", open),
            ("{ca}", ca.path("")),
            ("{key}", key),
            ("{tcp}", tcp.local_addr().unwrap().to_string()),
            ("{udp}", udp.local_addr().unwrap().to_string()),
            ("{abstract}", name),
            ("{signer-user}", users().1.to_string()),
        ];
        Self {
            names,
            _tcp: tcp,
            _udp: udp,
            _unix: unix,
        }
    }

    fn attempt(&self, text: &str, hostile: &mut Hostile, generation: Generation) -> Option<String> {
        let info = hostile.say("info");
        let (launcher, signer) = info.split_once(' ').unwrap();
        assert_eq!(signer, generation.signer.to_string());
        let mut line = text
            .replace("{launcher}", launcher)
            .replace("{signer}", signer);
        for (name, value) in &self.names {
            line = line.replace(name, value);
        }
        hostile.try_say(&format!("try {line}"))
    }
}

/// Whether a kernel with this Landlock denies it.
fn expected(row: &Row, stage: usize, abi: u32) -> &'static str {
    let expected = [row.1, row.2, row.3][stage];
    let what = row.0.split(' ').next().unwrap();
    match (what, stage) {
        ("tcp", 1 | 2) | ("bind", 1) if abi < 4 => "done",
        ("abstract", 1 | 2) if abi < 6 => "done",
        _ => expected,
    }
}

fn report(what: &str, lines: &[String]) {
    println!("== {what}");
    for line in lines {
        println!("{line}");
    }
}

#[test]
fn a_frontend_in_other_hands_reaches_no_key_no_process_and_no_network() {
    if !root_for("what a frontend in other hands can reach") {
        return;
    }
    let ground = Ground::new();
    let targets = Targets::new(&ground);
    let (server, mut hostile) = ground.taken(&ground.config());
    let generation = server.generation();
    let (mut lines, mut wrong, mut abi) = (Vec::new(), Vec::new(), 0);
    for (stage, name) in ["users", "locked in", "serving"].into_iter().enumerate() {
        match stage {
            0 => {}
            1 => abi = hostile.say("lock-in").parse().unwrap(),
            _ => assert_eq!(hostile.say("serve"), "serving"),
        }
        for row in ATTEMPTS {
            let expected = expected(row, stage, abi);
            if ["-", "SIGSYS"].contains(&expected) {
                continue;
            }
            let outcome = targets.attempt(row.0, &mut hostile, generation);
            let outcome = outcome.unwrap_or_else(|| panic!("{name}: {} ended it", row.0));
            let line = format!("{name}: {}: {outcome}", row.0);
            if !expected.split('|').any(|expected| expected == outcome) {
                wrong.push(format!("{line}, {expected} was expected"));
            }
            lines.push(line);
        }
    }
    report(
        &format!("attempts that do not end it (Landlock ABI {abi})"),
        &lines,
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(alive(server.pid()) && alive(generation.signer));
    assert_eq!(server.generation(), generation);
}

/// An attack that ends the generation: what is done, and what the launcher then says of whom.
type Fatal<'a> = (
    String,
    Box<dyn Fn(&Server, Hostile) + Send + Sync + 'a>,
    Vec<String>,
);

/// Each on a launcher of its own, two at a time: the whole generation ends, and a fresh one, with the real frontend, serves.
fn ends_the_generation(ground: &Ground, what: &str, attacks: Vec<Fatal<'_>>) {
    let question = ground.ca.request("-cert good.crt");
    let left = Mutex::new(attacks.into_iter());
    let lines = Mutex::new(Vec::new());
    let worker = |own: &Ground| {
        loop {
            let Some((name, attack, says)) = left.lock().unwrap().next() else {
                return;
            };
            let (server, mut hostile) = own.taken(&ground.config());
            let old = server.generation();
            hostile.confine();
            attack(&server, hostile);
            for text in &says {
                let text = text
                    .replace("{frontend}", &format!("ocsp-frontend[{}]", old.frontend))
                    .replace("{signer}", &format!("ocsp-signer[{}]", old.signer));
                server.says(&text);
            }
            let new = server.next_generation(old.number);
            assert_ne!((new.frontend, new.signer), (old.frontend, old.signer));
            wait_until_gone(&old.pids());
            let answer = server.post(&question).answer();
            assert!(
                ground.ca.reads(&answer).contains("Cert Status: good"),
                "{name}"
            );
            let line = format!("{name}: {}; a fresh generation answered", says[0]);
            lines.lock().unwrap().push(line);
        }
    };
    std::thread::scope(|scope| {
        let workers = [(); 2].map(|()| {
            scope.spawn(|| {
                let own = Ground::new();
                worker(&own);
            })
        });
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    report(what, &lines.into_inner().unwrap());
}

#[test]
fn a_call_that_is_not_on_the_list_ends_the_frontend_and_its_signer() {
    if !root_for("that a call which is not on the list ends a generation") {
        return;
    }
    let ground = Ground::new();
    let targets = Targets::new(&ground);
    let targets = &targets;
    let attacks = ATTEMPTS.iter().filter(|row| row.3 == "SIGSYS");
    let attacks = attacks.map(|row| -> Fatal<'_> {
        let attack = move |server: &Server, mut hostile: Hostile| {
            let outcome = targets.attempt(row.0, &mut hostile, server.generation());
            assert_eq!(outcome, None, "{}", row.0);
        };
        let says = vec![
            "{frontend} was ended by signal 31 (SIGSYS)".to_owned(),
            "{signer} ".to_owned(),
        ];
        (row.0.to_owned(), Box::new(attack), says)
    });
    let attacks = attacks.collect();
    ends_the_generation(&ground, "attempts that end it", attacks);
}

fn octets<const MAX: usize>(octets: &[u8]) -> Octets<MAX> {
    Octets::new(octets).unwrap()
}

fn ours(serial: &[u8], status: Status, evidence: Evidence) -> Item {
    Item::Ours(Ours {
        hash: HashAlgorithm::Sha1,
        parameters: Parameters::Null,
        serial: octets(serial),
        status,
        evidence,
    })
}

fn question(items: Vec<Item>) -> SignRequest {
    SignRequest {
        id: 7,
        issuer: 0,
        key: 0,
        nonce: None,
        items: List::new(items).unwrap(),
    }
}

fn unknown() -> SignRequest {
    question(vec![ours(&[5], Status::Unknown, Evidence::None)])
}

fn good(serial: &[u8], der: &[u8]) -> SignRequest {
    question(vec![ours(
        serial,
        Status::Good,
        Evidence::Certificate(octets(der)),
    )])
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [
        &u32::try_from(payload.len()).unwrap().to_le_bytes(),
        payload,
    ]
    .concat()
}

/// A question up to its nonce.
fn begun() -> Vec<u8> {
    let mut octets = 1_u32.to_le_bytes().to_vec();
    octets.extend(7_u64.to_le_bytes());
    octets.extend([0; 4]);
    octets
}

#[test]
fn a_frame_that_the_protocol_does_not_allow_ends_the_whole_generation() {
    if !root_for("what a frame that is not allowed does to a generation") {
        return;
    }
    let ground = Ground::new();
    let whole = ToSigner::Sign(unknown()).to_octets().unwrap();
    let over_long = "a field is longer than it may be";
    let kind = "a message of an unknown kind, or of the other direction";
    let nonce = [
        &begun()[..],
        &[1],
        &129_u64.to_le_bytes(),
        &[9; 129],
        &[0; 8],
    ]
    .concat();
    let item = [
        &[0; 12][..],
        &1_u64.to_le_bytes(),
        &[5],
        &2_u32.to_le_bytes(),
        &[0; 4],
    ]
    .concat();
    let item = &item[4..]; // ours, SHA-1, absent
    let items = [
        &begun()[..],
        &[0],
        &101_u64.to_le_bytes(),
        &item.repeat(101),
    ]
    .concat();
    let huge = [&begun()[..], &[0], &u64::MAX.to_le_bytes()].concat();
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a nonce of 129 octets", framed(&nonce), over_long),
        ("101 items", framed(&items), over_long),
        ("2^64 - 1 items", framed(&huge), over_long),
        (
            "a message of an unknown kind",
            framed(&99_u32.to_le_bytes()),
            kind,
        ),
        (
            "an empty frame",
            framed(&[]),
            "a frame ended before its message did",
        ),
        (
            "an octet too few",
            framed(&whole[..whole.len() - 1]),
            "a frame ended before its message did",
        ),
        (
            "an octet too many",
            framed(&[&whole[..], &[0]].concat()),
            "1 octets followed the message",
        ),
        (
            "a frame too large",
            (1_048_577_u32).to_le_bytes().to_vec(),
            "a frame of 1048577 octets",
        ),
        (
            "a second greeting",
            frame(&ToSigner::Hello(Version::ours())).unwrap(),
            "a message at a place where it must not stand",
        ),
        (
            "a message of the other direction",
            frame(&FromSigner::Refused {
                id: 7,
                refusal: Refusal::Serial,
            })
            .unwrap(),
            kind,
        ),
    ];
    let attacks = table.into_iter().map(|(name, octets, says)| -> Fatal<'_> {
        let attack = move |_: &Server, mut hostile: Hostile| {
            let mut connection = hostile.connection.try_clone().unwrap();
            assert_eq!(hostile.say("relay"), "relay");
            connection
                .write_all(&frame(&ToSigner::Hello(Version::ours())).unwrap())
                .unwrap();
            connection.write_all(&octets).unwrap();
            std::thread::sleep(Duration::from_millis(300)); // until the octets went through
        };
        let says = vec![
            format!("the frontend broke the protocol: {says}"),
            "{signer} left, because its peer broke the protocol".to_owned(),
            "{frontend} ".to_owned(),
        ];
        (name.to_owned(), Box::new(attack), says)
    });
    let attacks = attacks.collect();
    ends_the_generation(&ground, "frames that end it", attacks);
}

#[test]
fn a_frontend_in_other_hands_gets_no_statement_that_the_policy_does_not_allow() {
    if !root_for("what a frontend in other hands gets signed") {
        return;
    }
    let ground = Ground::new();
    let other = Ca::new(&ground.folder, "other", Kind::P256, By::Delegate);
    other.issue("good");
    // Of the same name, and with the same serials.
    let impostors = Folder::new();
    let impostor = Ca::of_three(&impostors, Kind::P256, By::Delegate);
    let der = |path: String| {
        X509::from_pem(&fs::read(path).unwrap())
            .unwrap()
            .to_der()
            .unwrap()
    };
    let serial = |name| {
        ground
            .certificate(name)
            .serial_number()
            .to_bn()
            .unwrap()
            .to_vec()
    };
    let config = ground.config() + &other.source("") + &other.issuer("");
    let (server, mut hostile) = ground.taken(&config);
    let generation = server.generation();
    hostile.confine();
    let end = hostile.boundary();
    let real = der(ground.ca.path("good.crt"));
    let listed = serial("good");
    let mut forged = real.clone();
    *forged.last_mut().unwrap() ^= 1;
    let authority = ground.certificate("ca");
    let foreign = |algorithm: &[u8], name: &[u8], key: &[u8]| {
        Item::Foreign(Foreign {
            algorithm: octets(algorithm),
            parameters: Parameters::Null,
            name_hash: octets(name),
            key_hash: octets(key),
            serial: octets(&listed),
        })
    };
    let sha1_oid = [0x2b, 0x0e, 3, 2, 0x1a];
    let name = sha1(&authority.subject_name().to_der().unwrap());
    let key = authority.public_key().unwrap().ec_key().unwrap();
    let (form, mut scratch) = (
        PointConversionForm::UNCOMPRESSED,
        BigNumContext::new().unwrap(),
    );
    let key = key.public_key().to_bytes(key.group(), form, &mut scratch);
    let key = sha1(&key.unwrap());
    let mine = || ours(&[5], Status::Unknown, Evidence::None);
    let revoked = Status::Revoked {
        time: 1_700_000_000,
        reason: Some(Reason::KeyCompromise),
    };
    let revoke = question(vec![ours(&listed, revoked, Evidence::None)]);
    let withdrawn =
        |item, time, reason| Refusal::Withdrawn(ocsp_wire::Withdrawn { item, time, reason });
    let nested = |unit: &[u8]| good(&listed, &unit.repeat(65_536 / unit.len()));
    let proven = || ours(&listed, Status::Good, Evidence::Certificate(octets(&real)));
    let plain = |status| question(vec![ours(&listed, status, Evidence::None)]);
    use Refusal::*;
    let table: Vec<(&str, SignRequest, Option<Refusal>)> = vec![
        ("good, proven", good(&listed, &real), None),
        (
            "good of a serial never issued, without proof",
            question(vec![ours(&[0x66], Status::Good, Evidence::None)]),
            Some(NoEvidence),
        ),
        (
            "good of a serial never issued, by another's certificate",
            good(&[0x66], &real),
            Some(EvidenceSerial),
        ),
        (
            "good by another CA's certificate",
            good(&listed, &der(other.path("good.crt"))),
            Some(EvidenceIssuer),
        ),
        (
            "good by a certificate of a CA of the same name",
            good(&serial("good"), &der(impostor.path("good.crt"))),
            Some(EvidenceSignature),
        ),
        (
            "good in another issuer's name",
            SignRequest {
                issuer: 1,
                ..good(&listed, &real)
            },
            Some(EvidenceIssuer),
        ),
        (
            "good by a forged signature",
            good(&listed, &forged),
            Some(EvidenceSignature),
        ),
        (
            "good by a certificate cut short",
            good(&listed, &real[..real.len() - 1]),
            Some(EvidenceUnreadable),
        ),
        (
            "good by a certificate and an octet",
            good(&listed, &[&real[..], &[0]].concat()),
            Some(EvidenceUnreadable),
        ),
        (
            "good by nothing",
            good(&listed, &[]),
            Some(EvidenceUnreadable),
        ),
        (
            "good by 64 KiB of zeros",
            nested(&[0]),
            Some(EvidenceUnreadable),
        ),
        (
            "good by 32768 indefinite sequences",
            nested(&[0x30, 0x80]),
            Some(EvidenceUnreadable),
        ),
        (
            "good by lengths of 2^32 - 1",
            nested(&[0x30, 0x84, 255, 255, 255, 255]),
            Some(EvidenceUnreadable),
        ),
        (
            "good by 16384 nested sequences",
            nested(&[0x30, 0x82, 0xff, 0xfc]),
            Some(EvidenceUnreadable),
        ),
        (
            "an issuer that is not there",
            SignRequest {
                issuer: 9,
                ..unknown()
            },
            Some(Issuer),
        ),
        (
            "a key that is not there",
            SignRequest {
                key: 9,
                ..unknown()
            },
            Some(Key),
        ),
        (
            "an empty nonce",
            SignRequest {
                nonce: Some(Octets::empty()),
                ..unknown()
            },
            Some(Nonce),
        ),
        ("no items", question(vec![]), Some(NothingOurs)),
        (
            "foreign items only",
            question(vec![foreign(&sha1_oid, &[1; 20], &[2; 20])]),
            Some(NothingOurs),
        ),
        (
            "a foreign item in our name",
            question(vec![mine(), foreign(&sha1_oid, &name, &key)]),
            Some(ForeignIsOurs),
        ),
        (
            "a foreign item that is none",
            question(vec![mine(), foreign(&[0x80], &[1; 20], &[2; 20])]),
            Some(ForeignMalformed),
        ),
        (
            "a serial of no octets",
            question(vec![ours(&[], revoked, Evidence::None)]),
            Some(Serial),
        ),
        (
            "a negative serial",
            question(vec![ours(&[0x80], revoked, Evidence::None)]),
            Some(Serial),
        ),
        (
            "never issued",
            plain(Status::NeverIssued),
            Some(NeverIssued),
        ),
        (
            "revoked in the year 584 billion",
            plain(Status::Revoked {
                time: u64::MAX,
                reason: None,
            }),
            Some(RevocationTime),
        ),
        (
            "good and revoked at once",
            question(vec![proven(), ours(&listed, revoked, Evidence::None)]),
            Some(withdrawn(0, 1_700_000_000, Some(Reason::KeyCompromise))),
        ),
        (
            "good still, because that was refused",
            good(&listed, &real),
            None,
        ),
        ("revoked", revoke, None),
        (
            "good again",
            good(&listed, &real),
            Some(withdrawn(0, 1_700_000_000, Some(Reason::KeyCompromise))),
        ),
    ];
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());
    for (name, asked, expected) in table {
        end.send(&ToSigner::Sign(asked)).unwrap();
        let outcome = match end.receive().unwrap().unwrap() {
            FromSigner::Signed { id: 7, .. } => None,
            FromSigner::Refused { id: 7, refusal } => Some(refusal),
            other => panic!("{name}: {other:?}"),
        };
        let line = format!(
            "{name}: {}",
            outcome.map_or("signed".to_owned(), |no| format!("{no:?}"))
        );
        if outcome != expected {
            wrong.push(format!("{line}, {expected:?} was expected"));
        }
        lines.push(line);
        // The channel goes on; and two questions of one id have two answers.
        for _ in 0..2 {
            end.send(&ToSigner::Sign(unknown())).unwrap();
        }
        for _ in 0..2 {
            assert!(
                matches!(end.receive(), Ok(Some(FromSigner::Signed { id: 7, .. }))),
                "{name}"
            );
        }
    }
    report("questions", &lines);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(server.generation(), generation);
}

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() >> 16).unwrap() % end
    }
}

/// Payloads of legitimate questions, to be mutated.
fn seeds() -> Vec<Vec<u8>> {
    let revoked = Status::Revoked {
        time: 1_700_000_000,
        reason: Some(Reason::Superseded),
    };
    let nonce = SignRequest {
        nonce: Some(octets(&[3; 16])),
        ..unknown()
    };
    [
        unknown(),
        nonce,
        good(&[5], &[0x30, 3, 2, 1, 5]),
        question(vec![ours(&[5], revoked, Evidence::None)]),
    ]
    .into_iter()
    .map(|question| ToSigner::Sign(question).to_octets().unwrap())
    .collect()
}

fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut octets = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(3) {
        let at = dice.below(octets.len());
        octets[at] = u8::try_from(dice.roll() & 0xff).unwrap();
    }
    octets
}

#[test]
fn a_million_frames_that_are_random_make_no_decoder_panic() {
    let (seeds, mut dice) = (seeds(), Dice(0x9e37_79b9_7f4a_7c15));
    let hello = frame(&ToSigner::Hello(Version::ours())).unwrap();
    let (mut messages, mut faults) = (0_u32, 0_u32);
    for _ in 0..1_000_000 {
        let mut frames = Frames::new();
        frames.extend(&hello);
        frames.extend(&framed(&mutated(&seeds, &mut dice)));
        match frames.next::<ToSigner>() {
            Ok(_) => messages += 1,
            Err(_) => faults += 1,
        }
    }
    println!("== 1000000 random frames: {messages} messages, {faults} faults");
    assert!(messages > 100_000 && faults > 100_000);
}

/// VmRSS, in KiB.
fn resident(pid: u32) -> u64 {
    let text = status(format!("/proc/{pid}"))["VmRSS"].clone();
    text.trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn floods_and_large_frames_do_not_make_the_signer_grow() {
    if !root_for("what a flood does to the signer") {
        return;
    }
    let ground = Ground::new();
    let (server, mut hostile) = ground.taken(&ground.config());
    let generation = server.generation();
    hostile.confine();
    let threads_before = threads(generation.signer).len();
    let mut writer = hostile.connection.try_clone().unwrap();
    let end = hostile.boundary();
    let before = resident(generation.signer);
    let mut lines = Vec::new();
    let mut id = 0_u64;
    // The largest frames there are.
    let large = Evidence::Certificate(octets(&vec![0x30; 65_536]));
    let large = question(
        (0..15)
            .map(|_| ours(&[5], Status::Good, large.clone()))
            .collect(),
    );
    for _ in 0..100 {
        end.send(&ToSigner::Sign(large.clone())).unwrap();
        assert!(matches!(
            end.receive(),
            Ok(Some(FromSigner::Refused { .. }))
        ));
    }
    lines.push("100 frames of nearly 1 MiB: refused".to_owned());
    // Without reading an answer, until nothing is taken any more for a second.
    let heavy = Evidence::Certificate(octets(&[0x30; 4096]));
    let heavy = question(vec![ours(&[5], Status::Unknown, heavy)]);
    let asked = |id| {
        let heavy = heavy.clone();
        frame(&ToSigner::Sign(SignRequest { id, ..heavy })).unwrap()
    };
    writer
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let (mut sent, mut pending) = (0_u64, Vec::new());
    let deadline = Instant::now() + Duration::from_secs(10);
    let stuck = loop {
        if pending.is_empty() {
            for _ in 0..100 {
                id += 1;
                pending.extend(asked(id));
            }
            sent += 100;
        }
        match writer.write(&pending) {
            Ok(written) => drop(pending.drain(..written)),
            Err(_) => break true,
        }
        if Instant::now() > deadline {
            break false;
        }
    };
    let during = resident(generation.signer);
    assert!(alive(generation.signer), "{}", server.log());
    writer.set_write_timeout(Some(PATIENCE)).unwrap();
    let rest = std::thread::spawn(move || writer.write_all(&pending).map(|()| writer));
    for _ in 0..sent {
        assert!(matches!(end.receive(), Ok(Some(FromSigner::Signed { .. }))));
    }
    let writer = rest.join().unwrap().unwrap();
    lines.push(format!(
        "{sent} questions without reading (stuck: {stuck}), then {sent} answers"
    ));
    // Mutations that are still questions.
    let (seeds, mut dice, mut asked) = (seeds(), Dice(0x1234_5678_9abc_def1), 0_u64);
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut writer = writer;
    while asked < 1_000_000 && Instant::now() < deadline {
        let (mut batch, mut count) = (Vec::new(), 0);
        while count < 500 {
            let octets = mutated(&seeds, &mut dice);
            if matches!(ToSigner::from_octets(&octets), Ok(ToSigner::Sign(_))) {
                batch.extend(framed(&octets));
                count += 1;
            }
        }
        writer.write_all(&batch).unwrap();
        for _ in 0..count {
            assert!(matches!(end.receive(), Ok(Some(_))), "{}", server.log());
        }
        asked += count;
    }
    lines.push(format!("{asked} mutated questions: {asked} answers"));
    let after = resident(generation.signer);
    lines.push(format!(
        "VmRSS of the signer: {before} KiB, {during} KiB, {after} KiB"
    ));
    report("floods", &lines);
    assert!(stuck && asked > 1_000);
    // A few frames in the hands of its threads, and what was remembered as revoked.
    assert!(
        during < before + (32 << 10) && after < before + (32 << 10),
        "{lines:?}"
    );
    assert_eq!(threads(generation.signer).len(), threads_before);
    assert_eq!(server.generation(), generation);
}

#[test]
fn a_frontend_that_does_not_hear_is_gone_when_its_time_is_over() {
    if !root_for("that a frontend which does not hear is ended") {
        return;
    }
    let ground = Ground::new();
    ground
        .ca
        .set_index(&format!("# deaf\n{}", ground.ca.index()));
    let config = head("drain = \"1s\"") + &ground.ca.source("") + &ground.ca.issuer("");
    let (server, hostile) = ground.taken(&config);
    drop(hostile);
    let old = server.generation();
    send(old.frontend, Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    assert!(alive(old.frontend), "it hears SIGTERM");
    let mut lines = Vec::new();
    server.signal(Signal::SIGHUP);
    server.next_generation(old.number);
    let retired = Instant::now();
    // Until it is gone it may take a connection from its successor.
    wait_until_gone(&old.pids());
    lines.push(format!(
        "reload: gone {:?} after the next generation served",
        retired.elapsed()
    ));
    server.says(&format!(
        "ocsp-frontend[{}] was ended by the launcher",
        old.frontend
    ));
    ground.serves(&server);
    drop(server);
    // The launcher itself, told to stop.
    let (mut server, hostile) = ground.taken(&config);
    drop(hostile);
    let old = server.generation();
    let stopped = Instant::now();
    server.signal(Signal::SIGTERM);
    server.ended();
    wait_until_gone(&old.pids());
    lines.push(format!("stop: all gone after {:?}", stopped.elapsed()));
    report("deaf", &lines);
}

/// A lie of the hostile signer, and whether a client may get its answer nevertheless.
const LIES: &[(&str, bool)] = &[
    ("truth", true),
    ("twice", true),
    ("a flood", true),
    ("garbage", false),
    ("nothing", false),
    ("deep DER", false),
    ("a length of 2^32 - 1", false),
    ("an unsigned error", false),
    ("another serial", false),
    ("another status", false),
    ("another hash", false),
    ("another nonce", false),
    ("a certificate too many", false),
    ("another's id", false),
    ("a refusal", false),
    ("withdrawn, of an item that is not there", false),
    ("a second greeting", false),
    ("a frame too large", false),
    ("no message", false),
    ("half a frame", false),
    ("silence", false),
];

#[test]
fn a_signer_in_other_hands_neither_breaks_the_frontend_nor_gets_a_lie_to_a_client() {
    if !root_for("what a signer in other hands does to the frontend") {
        return;
    }
    let left = Mutex::new(LIES.iter());
    let lines = Mutex::new(Vec::new());
    let worker = || {
        let ground = Ground::new();
        loop {
            let Some((lie, may_answer)) = left.lock().unwrap().next() else {
                return;
            };
            fs::write(ground.ca.path("lie"), lie).unwrap();
            ground.put("hostile-signer", SIGNER);
            let server = ground.start(&ground.config());
            let said = server.ask(&ground.ca, "-cert good.crt");
            let answered = said.contains("good.crt: ");
            if answered {
                contains(&said, &["Response verify OK", "good.crt: good"]);
                lacks(&said, &["Nonce Verify error", "WARNING"]);
            }
            assert!(*may_answer || !answered, "{lie}: {said}");
            assert!(
                *lie != "truth" || answered,
                "{lie}: {said}\n{}",
                server.log()
            );
            let answer = match (answered, said.contains("Responder Error: ")) {
                (true, _) => "the right answer".to_owned(),
                (false, true) => {
                    let error = said.split("Responder Error: ").nth(1).unwrap();
                    error.lines().next().unwrap().to_owned()
                }
                (false, false) => "no answer".to_owned(),
            };
            // A real one again.
            ground.put(SIGNER, SIGNER);
            let number = server.generation().number;
            server.signal(Signal::SIGHUP);
            server.next_generation(number);
            until("the truth", || {
                let said = server.ask(&ground.ca, "-cert good.crt");
                said.contains("good.crt: good").then_some(())
            });
            let log = server.log();
            let of_frontend: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("ocsp-frontend["))
                .collect();
            let of_frontend = of_frontend.join("\n");
            lacks(
                &of_frontend,
                &[
                    "SIGSEGV", "SIGABRT", "SIGSYS", "SIGBUS", "SIGILL", "panicked",
                ],
            );
            let why = of_frontend
                .lines()
                .find_map(|line| line.split_once("broke the protocol: "));
            let why = why.map_or("it goes on", |(_, why)| why);
            lines.lock().unwrap().push(format!(
                "{lie}: the client got {answer}; the frontend: {why}"
            ));
        }
    };
    std::thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(worker));
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    report("lies", &lines.into_inner().unwrap());
}

/// Nothing that is executed lies where somebody else could change it.
#[test]
fn hostile_programs_are_beside_this_test() {
    for name in ["hostile-frontend", "hostile-signer"] {
        assert!(hostile(name).is_absolute() && Path::new(&hostile(name)).is_file());
    }
}
