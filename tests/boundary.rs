//! `ocsp-server boundary` on real processes: all claims, each with evidence; and claims that are broken one by one, to see
//! that it says so. All of it looks into other users' processes, which takes root. Every test has user ids of its own: that
//! nobody else runs as the signer's user is one of the claims.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use harness::*;
use nix::sys::signal::Signal;

/// Claims that nothing in this tree makes true yet.
const NOT_YET: &[&str] = &[];

/// Claims that a sloppy child does not keep, whichever way it is told to break others: it does not lock itself in.
const SLOPPY: [&str; 4] = ["no-new-privs", "seccomp", "limits", "environment"];

/// What a sloppy signer cannot tell of the kernel.
const UNTOLD: [&str; 3] = [
    "children.landlock",
    "children.landlock-tcp",
    "children.landlock-scopes",
];

const WHAT: &str = "what boundary says of the processes";

/// A CA and a configuration whose two users nobody else has.
struct Own {
    folder: Folder,
    ca: Ca,
    config: String,
    frontend: u32,
    signer: u32,
}

impl Own {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(2, Ordering::Relaxed);
        let (one, other) = users();
        let (mut frontend, mut signer) = (one, other);
        if is_root() {
            frontend = 1_000_000 + std::process::id() % 1_000_000 * 100 + number;
            signer = frontend + 1;
        }
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue("good");
        if is_root() {
            chown(ca.key(), Some(signer), Some(signer)).unwrap();
        }
        let config = usual(&ca)
            // A connection stays, however long this machine takes to look at it.
            .replace(
                "[users]",
                "header-timeout = \"1m\"\ndrain = \"1m\"\n[users]",
            )
            .replace(&frontend_is(one), &frontend_is(frontend))
            .replace(&signer_is(other), &signer_is(signer));
        Self {
            folder,
            ca,
            config,
            frontend,
            signer,
        }
    }

    fn server(&self) -> Server {
        Server::new(&self.folder, &self.config)
    }

    /// The server on copies of its executables, with a sloppy one in the place of some, which breaks things in these ways.
    fn copied(&self, sloppy: &[&str], ways: &str) -> Server {
        self.make_bin();
        let built = Path::new(env!("CARGO_BIN_EXE_ocsp-server")).with_file_name("ocsp-sloppy");
        for name in ["ocsp-server", "ocsp-frontend", "ocsp-signer"] {
            let original = launcher().with_file_name(name);
            let sloppy = sloppy.contains(&name);
            copy(
                if sloppy { &built } else { &original },
                &self.executable(name),
            );
        }
        self.folder.file("bin/sloppy", ways);
        let file = self.folder.file("config.toml", &self.config);
        let mut command = Command::new(self.executable("ocsp-server"));
        command.args(["run", "--config", &file]);
        Server::started(command, &file)
    }

    fn make_bin(&self) {
        fs::create_dir(self.folder.path("bin")).unwrap();
        set_mode(self.folder.path("bin"), 0o755);
    }

    /// The copy of an executable.
    fn executable(&self, name: &str) -> String {
        self.folder.path(&format!("bin/{name}"))
    }

    /// What `boundary` says of a launcher: exit code, standard output, standard error.
    fn boundary(&self, pid: u32, more: &[&str]) -> (i32, String, String) {
        let (pid, file) = (pid.to_string(), self.folder.path("config.toml"));
        let words = ["boundary", "--config", &file, "--pid", &pid];
        command(&[&words, more].concat())
    }

    /// The claims about a launcher; the exit code is as they say.
    fn claims(&self, pid: u32) -> Claims {
        let (code, said, error) = self.boundary(pid, &[]);
        assert!(!said.is_empty(), "{error}");
        let claims = Claims::parse(&said);
        let failed = claims.with("FAILED").len();
        assert_eq!(code, i32::from(failed > 0), "{said}\n{error}");
        if failed > 0 {
            contains(&error, &[&format!("ocsp-server: {failed} of ")]);
        }
        claims
    }
}

fn frontend_is(user: u32) -> String {
    format!("frontend = {user}\n")
}

fn signer_is(user: u32) -> String {
    format!("signer = {user}\n")
}

/// Copies an executable by another process: a descriptor of ours that writes to it could be inherited by a child that
/// another test is starting, and then it could not be executed (ETXTBSY).
fn copy(from: &Path, to: &str) {
    let missing = "build it first (cargo build --workspace)";
    assert!(from.exists(), "{}: {missing}", from.display());
    must("/", &["cp", from.to_str().unwrap(), to]);
    set_mode(to, 0o755);
}

/// Runs a command of the launcher.
fn command(words: &[&str]) -> (i32, String, String) {
    ended(&[&[launcher().to_str().unwrap()], words].concat())
}

fn ended(words: &[&str]) -> (i32, String, String) {
    let output = output("/", words, &[]);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// The table, taken apart.
struct Claims {
    said: String,
    all: Vec<Line>,
}

struct Line {
    id: String,
    outcome: String,
    evidence: Vec<String>,
}

impl Claims {
    fn parse(said: &str) -> Self {
        let mut all: Vec<Line> = Vec::new();
        for line in said.lines() {
            if line.starts_with(' ') {
                let evidence = &mut all.last_mut().unwrap().evidence;
                evidence.push(line.trim().to_owned());
            } else if let Some((outcome, rest)) = line.split_once("  ")
                && ["ok", "FAILED", "n/a"].contains(&outcome)
            {
                let id = rest.trim_start().split(' ').next().unwrap();
                all.push(Line {
                    id: id.to_owned(),
                    outcome: outcome.to_owned(),
                    evidence: Vec::new(),
                });
            }
        }
        assert!(all.len() > 30, "{said}");
        let said = said.to_owned();
        Self { said, all }
    }

    fn with(&self, outcome: &str) -> BTreeSet<&str> {
        let claims = self.all.iter().filter(|claim| claim.outcome == outcome);
        claims.map(|claim| &*claim.id).collect()
    }

    #[track_caller]
    fn of(&self, id: &str) -> &Line {
        let mut claims = self.all.iter();
        let claim = claims.find(|claim| claim.id == id);
        claim.unwrap_or_else(|| panic!("{id} is not in:\n{}", self.said))
    }

    fn evidence(&self, id: &str) -> String {
        self.of(id).evidence.join("\n")
    }

    /// This claim has failed, with this as evidence.
    #[track_caller]
    fn fails(&self, id: &str, evidence: &str) {
        assert_eq!(self.of(id).outcome, "FAILED", "{id}:\n{}", self.said);
        contains(&self.evidence(id), &[evidence]);
    }

    /// These claims have failed and no others, but for those that fail anyway.
    #[track_caller]
    fn only(&self, ids: &[&str]) {
        self.only_these(ids, ids);
    }

    /// Likewise, where this role is played by a sloppy child.
    #[track_caller]
    fn only_and_sloppy(&self, role: &str, ids: &[&str]) {
        let sloppy = SLOPPY.map(|claim| format!("{role}.{claim}"));
        let sloppy = sloppy.iter().map(String::as_str);
        let may: Vec<_> = ids.iter().copied().chain(sloppy).chain(UNTOLD).collect();
        self.only_these(ids, &may);
    }

    #[track_caller]
    fn only_these(&self, must: &[&str], may: &[&str]) {
        let failed = self.with("FAILED");
        let is_well = must.iter().all(|id| failed.contains(id))
            && failed
                .iter()
                .all(|id| may.contains(id) || NOT_YET.contains(id));
        assert!(is_well, "{must:?} should have failed:\n{}", self.said);
    }
}

#[test]
fn every_claim_holds_of_processes_that_serve() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.server();
    let mut client = Client::to(server.address).unwrap();
    client.ask(&own.ca.request("-cert good.crt")).unwrap();
    let claims = own.claims(server.pid());
    let not_yet = NOT_YET.iter().copied().collect();
    assert_eq!(claims.with("FAILED"), not_yet, "{}", claims.said);
    let may = [
        "launcher.undumpable",
        "children.landlock-tcp",
        "children.landlock-scopes",
    ];
    let untold = claims.with("n/a");
    assert!(untold.iter().all(|id| may.contains(id)), "{}", claims.said);
    // Evidence is what was found, and names the processes.
    let generation = server.generation();
    let frontend = format!("ocsp-frontend[{}]", generation.frontend);
    let signer = format!("ocsp-signer[{}]", generation.signer);
    let port = server.address.port();
    let signer_file = launcher().with_file_name("ocsp-signer");
    for (id, expected) in [
        (
            "frontend.users",
            format!("{frontend}: user {}", own.frontend),
        ),
        ("signer.users", format!("{signer}: user {}", own.signer)),
        (
            "frontend.descriptors",
            format!("listening on TCP port {port}"),
        ),
        ("frontend.descriptors", "TCP connection (1)".to_owned()),
        (
            "frontend.descriptors",
            "pipe to the next frontend (1)".to_owned(),
        ),
        (
            "launcher.descriptors",
            format!("what {frontend} leaves to the next"),
        ),
        (
            "launcher.descriptors",
            format!("control socket of {signer}"),
        ),
        (
            "signer.executable",
            format!("SHA-256 {}", sha256(&signer_file)),
        ),
        ("keys.files", own.ca.key()),
    ] {
        contains(&claims.evidence(id), &[&expected]);
    }

    // As JSON it says the same.
    let (code, said, _) = own.boundary(server.pid(), &["--json"]);
    assert_eq!(code, i32::from(!NOT_YET.is_empty()));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["launcher"], server.pid());
    assert_eq!(json["failed"], NOT_YET.len());
    let as_json = json["claims"].as_array().unwrap();
    assert_eq!(as_json.len(), claims.all.len());
    for (json, claim) in as_json.iter().zip(&claims.all) {
        assert_eq!(json["id"], claim.id);
        assert_eq!(json["outcome"], claim.outcome, "{}", claim.id);
        assert!(json["claim"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(
            json["evidence"]
                .as_array()
                .is_some_and(|lines| !lines.is_empty())
        );
    }
    // The processes have not noticed.
    server.post(&own.ca.request("-cert good.crt")).answer();
    assert_eq!(server.generation(), generation);
}

#[test]
fn a_credential_is_a_key_of_roots_that_is_closed_to_all_others() {
    if !root_for(WHAT) {
        return;
    }
    let mut own = Own::new();
    let folder = own.folder.path("credentials");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    let [key, phrase] = ["key", "phrase"].map(|name| format!("{folder}/{name}"));
    fs::copy(own.ca.key(), &key).unwrap();
    fs::write(&phrase, "of no use\n").unwrap();
    set_mode(&key, 0o400);
    set_mode(&phrase, 0o400);
    own.config = own.config.replace(
        &format!("key = {:?}", own.ca.key()),
        "key = \"credential:key\"\npassphrase-file = \"credential:phrase\"",
    );
    let file = own.folder.file("config.toml", &own.config);
    let run = |folder: Option<&str>| {
        let mut command = Command::new(launcher());
        command.args(["run", "--config", &file]);
        command.env_remove("CREDENTIALS_DIRECTORY");
        command.envs(folder.map(|folder| ("CREDENTIALS_DIRECTORY", folder)));
        Server::started(command, &file)
    };
    let server = run(Some(&folder));
    let claims = own.claims(server.pid());
    claims.only(&[]);
    for path in [&key, &phrase] {
        let expected = format!("{path}: user 0, mode 0400; its folder: user 0, mode 0700");
        contains(&claims.evidence("keys.files"), &[&expected]);
    }
    contains(
        &claims.evidence("keys.closed"),
        &["is one of 2 files of keys and passphrases"],
    );

    for (path, mode) in [(&key, 0o404), (&phrase, 0o440), (&key, 0o600)] {
        set_mode(path, mode);
        let claims = own.claims(server.pid());
        claims.only(&["keys.files"]);
        let evidence = format!("{path}: mode {mode:04o}, 0400 was expected");
        claims.fails("keys.files", &evidence);
        set_mode(path, 0o400);
    }
    chown(&key, Some(own.signer), None).unwrap();
    let evidence = format!("{key}: belongs to user {}, 0 was expected", own.signer);
    own.claims(server.pid()).fails("keys.files", &evidence);
    chown(&key, Some(0), None).unwrap();
    set_mode(&folder, 0o711);
    let evidence = format!("{key}: its folder belongs to user 0 and has mode 0711");
    own.claims(server.pid()).fails("keys.files", &evidence);
    set_mode(&folder, 0o700);
    own.claims(server.pid()).only(&[]);
    drop(server);

    // A launcher that was told of no credentials has none to name.
    let by_file = own.config.replace(
        "key = \"credential:key\"\npassphrase-file = \"credential:phrase\"",
        &format!("key = {:?}", own.ca.key()),
    );
    own.folder.file("config.toml", &by_file);
    let server = run(None);
    own.folder.file("config.toml", &own.config);
    let evidence = "credential:key: the launcher was started without CREDENTIALS_DIRECTORY";
    own.claims(server.pid()).fails("keys.files", evidence);
}

#[test]
fn a_credential_that_somebody_keeps_open_is_found() {
    if !root_for(WHAT) {
        return;
    }
    let mut own = Own::new();
    let folder = own.folder.path("credentials");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o700);
    let key = format!("{folder}/key");
    fs::copy(own.ca.key(), &key).unwrap();
    set_mode(&key, 0o400);
    let in_file = format!("key = {:?}", own.ca.key());
    own.config = own.config.replace(&in_file, "key = \"credential:key\"");
    let file = own.folder.file("config.toml", &own.config);
    // The launcher's standard input is nobody's business but its own, unless it leads to a key.
    let mut command = Command::new(launcher());
    command.args(["run", "--config", &file]);
    command
        .env("CREDENTIALS_DIRECTORY", &folder)
        .env_remove("JOURNAL_STREAM")
        .stdin(fs::File::open(&key).unwrap())
        .stdout(Stdio::null());
    let server = Server::begun_as_it_is(command, &file);
    server.next_generation(0);
    let claims = own.claims(server.pid());
    claims.only(&["keys.closed"]);
    let evidence = format!("[{}] has {key} open as descriptor 0", server.pid());
    claims.fails("keys.closed", &evidence);
}

fn sha256(file: &Path) -> String {
    let said = must("/", &["sha256sum", file.to_str().unwrap()]);
    said.split(' ').next().unwrap().to_owned()
}

#[test]
fn two_generations_are_inspected_alike() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.server();
    let old = server.generation();
    // A header that does not end keeps the old generation for as long as `drain` allows.
    let mut client = Client::to(server.address).unwrap();
    client.ask(&own.ca.request("-cert good.crt")).unwrap();
    client.send(b"POST / HTTP/1.1\r\nHost").unwrap();
    server.signal(Signal::SIGHUP);
    let new = server.next_generation(1);
    let claims = own.claims(server.pid());
    for (id, pids) in [
        ("frontend.users", [old.frontend, new.frontend]),
        ("signer.users", [old.signer, new.signer]),
        ("boundary.socket", [old.frontend, new.frontend]),
        ("children.channels", [old.signer, new.signer]),
    ] {
        contains(
            &claims.evidence(id),
            &pids
                .map(|pid| format!("[{pid}]"))
                .each_ref()
                .map(String::as_str),
        );
    }
    claims.only(&[]);
}

#[test]
fn what_is_wrong_with_a_key_file_is_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.server();
    let (pid, key) = (server.pid(), own.ca.key());
    let keys = Path::new(&key).parent().unwrap().to_owned();
    set_mode(&key, 0o440);
    let claims = own.claims(pid);
    claims.fails("keys.files", "mode 0440, 0400 or 0600 was expected");
    claims.only(&["keys.files"]);
    set_mode(&key, 0o600);
    own.claims(pid).only(&[]);
    chown(&key, Some(own.frontend), None).unwrap();
    let expected = format!(
        "belongs to user {}, {} was expected",
        own.frontend, own.signer
    );
    own.claims(pid).fails("keys.files", &expected);
    chown(&key, Some(own.signer), None).unwrap();
    set_mode(&keys, 0o777);
    let expected = "others can write to its folder";
    own.claims(pid).fails("keys.files", expected);
    set_mode(&keys, 0o711);
    fs::remove_file(&key).unwrap();
    own.claims(pid).fails("keys.files", "No such file");
}

/// A process that is ended, with its children, when this value is dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        for pid in children(self.0.id()) {
            send(pid, Signal::SIGKILL);
        }
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_of_the_signers_user_is_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.server();
    let id = own.signer.to_string();
    let mut extra = Command::new("setpriv");
    extra.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    extra.args(["--", "sleep", "100"]);
    let extra = Started(extra.spawn().unwrap());
    // It is somebody else until it has become who it is to be.
    let comm = format!("/proc/{}/comm", extra.0.id());
    until("it runs as the signer's user", || {
        let name = fs::read_to_string(&comm).ok()?;
        (name == "sleep\n").then_some(())
    });
    let claims = own.claims(server.pid());
    let expected = format!("sleep[{}] runs as user {id}", extra.0.id());
    claims.fails("signer.alone", &expected);
    claims.only(&["signer.alone"]);
    drop(extra);
    own.claims(server.pid()).only(&[]);
}

#[test]
fn users_other_than_those_configured_are_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.server();
    let other = own.signer + 1_000;
    let config = own
        .config
        .replace(&signer_is(own.signer), &signer_is(other));
    own.folder.file("config.toml", config);
    let claims = own.claims(server.pid());
    claims.fails(
        "signer.users",
        &format!("{other} and {other} were expected"),
    );
    claims.only(&["signer.users", "keys.files"]);
}

#[test]
fn an_executable_that_was_changed_is_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.copied(&[], "");
    own.claims(server.pid()).only(&[]);
    let signer = own.executable("ocsp-signer");
    set_mode(&signer, 0o775);
    let claims = own.claims(server.pid());
    claims.fails("signer.executable", "mode 0775 lets others write to it");
    claims.only(&["signer.executable"]);
    fs::remove_file(&signer).unwrap();
    copy(&launcher().with_file_name("ocsp-signer"), &signer);
    let claims = own.claims(server.pid());
    claims.fails("signer.executable", "was removed or replaced");
    claims.only(&["signer.executable"]);
}

/// What is said of a server whose frontend breaks things in this way.
fn frontend_that_breaks(way: &str) -> Claims {
    let own = Own::new();
    let server = own.copied(&["ocsp-frontend"], way);
    let claims = own.claims(server.pid());
    for pid in children(server.generation().frontend) {
        send(pid, Signal::SIGKILL);
    }
    claims
}

#[test]
fn a_file_that_a_frontend_holds_is_seen() {
    if root_for(WHAT) {
        let claims = frontend_that_breaks("file");
        let expected = "/bin/ocsp-frontend, which a frontend has no use for";
        claims.fails("frontend.descriptors", expected);
        claims.only_and_sloppy("frontend", &["frontend.descriptors"]);
    }
}

#[test]
fn a_process_that_a_frontend_starts_and_gives_the_boundary_is_seen() {
    if root_for(WHAT) {
        let claims = frontend_that_breaks("process");
        claims.fails("children.childless", "sleep[");
        claims.fails("boundary.socket", "sleep[");
        claims.only_and_sloppy("frontend", &["children.childless", "boundary.socket"]);
    }
}

#[test]
fn a_frontend_that_can_be_dumped_is_seen() {
    if root_for(WHAT) {
        let claims = frontend_that_breaks("dumpable");
        claims.fails("frontend.undumpable", "root was expected");
        claims.only_and_sloppy("frontend", &["frontend.undumpable"]);
    }
}

#[test]
fn a_thread_without_the_filter_of_the_others_is_seen() {
    if root_for(WHAT) {
        let claims = frontend_that_breaks("thread");
        claims.fails("frontend.seccomp", "(1 of 2 threads: ");
        claims.only_and_sloppy("frontend", &["frontend.seccomp"]);
    }
}

#[test]
fn a_network_socket_and_an_open_key_of_a_signer_are_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    let server = own.copied(&["ocsp-signer"], "network key");
    let claims = own.claims(server.pid());
    let expected = "(UDP), none above 2 was expected";
    claims.fails("signer.descriptors", expected);
    let expected = format!("has {} open as descriptor", own.ca.key());
    claims.fails("keys.closed", &expected);
    claims.only_and_sloppy("signer", &["signer.descriptors", "keys.closed"]);
}

/// Nothing of a real launcher: two sleeping processes under the names of its children, which have a capability.
#[test]
fn a_capability_too_many_is_seen() {
    if !root_for(WHAT) {
        return;
    }
    let own = Own::new();
    own.folder.file("config.toml", &own.config);
    own.make_bin();
    let start = |name: &str, user: u32| {
        let executable = own.executable(name);
        copy(Path::new("/bin/sleep"), &executable);
        format!(
            "setpriv --reuid {user} --regid {user} --clear-groups --inh-caps +chown --ambient-caps +chown \
             {executable} 100 & "
        )
    };
    let script = start("ocsp-frontend", own.frontend) + &start("ocsp-signer", own.signer) + "wait";
    let mut launcher = Command::new("/bin/sh");
    launcher.args(["-c", &script]).stdout(Stdio::null());
    let launcher = Started(launcher.spawn().unwrap());
    let pid = launcher.0.id();
    let is_named = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.starts_with("ocsp-"))
    };
    until("both children are there", || {
        let named = children(pid).iter().filter(|pid| is_named(pid)).count();
        (named == 2).then_some(())
    });
    let claims = own.claims(pid);
    claims.fails("frontend.capabilities", "CapEff holds CAP_CHOWN");
    claims.fails("signer.capabilities", "CapAmb holds CAP_CHOWN");
    claims.fails("launcher.capabilities", "CapPrm holds ");
    claims.fails(
        "boundary.socket",
        "is connected with descriptor 1 of no signer",
    );
    claims.fails("children.channels", "is not connected with the launcher");
    claims.fails("signer.descriptors", "the boundary, was expected");
}

#[test]
fn exit_codes_say_what_is_missing() {
    let own = Own::new();
    let file = own.folder.file("config.toml", &own.config);
    let own_pid = std::process::id();
    let (code, said, error) = own.boundary(own_pid, &[]);
    assert_eq!((code, &*said), (4, ""), "{error}");
    if !root_for("configurations and launchers that are not there") {
        return contains(&error, &["start it as root"]);
    }
    contains(&error, &[&format!("process {own_pid} is no launcher")]);

    let (code, _, error) = command(&["boundary", "--config", "/nowhere.toml"]);
    assert_eq!(code, 3, "{error}");
    let expected = "/nowhere.toml: the configuration cannot be read";
    contains(&error, &[expected]);

    let servers = [own.server(), own.server()];
    let (code, _, error) = command(&["boundary", "--config", &file]);
    assert_eq!(code, 4, "{error}");
    for server in &servers {
        contains(&error, &[&format!("{} (ocsp-server)", server.pid())]);
    }
    contains(&error, &["launchers run", "say which by --pid"]);
    drop(servers);

    let program = own.folder.path("ocsp-server");
    copy(launcher(), &program);
    let id = STRANGER.to_string();
    let stranger = ["--reuid", &id, "--regid", &id, "--clear-groups"];
    let without = ["--bounding-set", "-sys_ptrace"];
    for (setpriv, expected) in [
        (&stranger[..], "start it as root"),
        (&without[..], "root lacks CAP_SYS_PTRACE"),
    ] {
        let run = ["--", &program, "boundary", "--config", &file];
        let (code, _, error) = ended(&[&["setpriv"], setpriv, &run].concat());
        assert_eq!(code, 4, "{error}");
        contains(&error, &[expected]);
    }
}
