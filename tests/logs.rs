//! The log of the whole daemon, as whoever keeps it sees it.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use harness::*;

/// A CA whose `good.crt` is proven by nothing: another certificate stands in its place.
fn ca_with_a_forgery(folder: &Folder) -> Ca {
    let ca = Ca::new(folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good").issue("forged").issue("missing");
    fs::copy(ca.listed("good"), ca.listed("forged")).unwrap();
    fs::remove_file(ca.listed("missing")).unwrap();
    ca
}

/// Asks about all three: one answer, one security event of the signer, one error of the frontend.
fn ask(server: &Server, ca: &Ca) {
    for name in ["good", "forged", "missing"] {
        server.post(&ca.request(&format!("-cert {name}.crt")));
    }
}

#[test]
fn every_line_begins_with_the_process_that_wrote_it() {
    let folder = Folder::new();
    let ca = ca_with_a_forgery(&folder);
    let server = Server::new(&folder, &usual(&ca));
    ask(&server, &ca);
    let Generation {
        frontend, signer, ..
    } = server.generation();
    let line = server.says("security: ");
    assert!(
        line.starts_with(&format!("ocsp-signer[{signer}]: security: ")),
        "{line}"
    );
    let line = server.says("a certificate cannot be read");
    assert!(
        line.starts_with(&format!("ocsp-frontend[{frontend}]: error: ")),
        "{line}"
    );
    let labels = [
        format!("ocsp-server[{}]: ", server.pid()),
        format!("ocsp-frontend[{frontend}]: "),
        format!("ocsp-signer[{signer}]: "),
    ];
    for line in server.log().lines() {
        assert!(labels.iter().any(|label| line.starts_with(label)), "{line}");
    }
}

#[test]
fn lines_for_the_journal_carry_their_priority() {
    let folder = Folder::new();
    let ca = ca_with_a_forgery(&folder);
    let file = folder.file("config.toml", usual(&ca));
    let mut command = Command::new(launcher());
    command
        .args(["run", "--config", &file])
        .env("JOURNAL_STREAM", "8:12345");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut server = Server::begun_as_it_is(command, &file);
    let line = server.says("listening on ");
    server.address = line.split_once("listening on ").unwrap().1.parse().unwrap();
    let generation = server.next_generation(0);
    ask(&server, &ca);
    let own = format!("ocsp-server[{}]: ", server.pid());
    assert!(
        line.starts_with(&format!("<5>{own}listening on ")),
        "{line}"
    );
    let line = server.says("a certificate cannot be read");
    assert!(
        line.starts_with(&format!("<3>ocsp-frontend[{}]: ", generation.frontend)),
        "{line}"
    );
    // The journal takes no facility from a line: what is a security event says so in words.
    let label = format!("<4>ocsp-signer[{}]: security: ", generation.signer);
    until("the security event", || {
        server.log().contains(&label).then_some(())
    });
    for line in server.log().lines() {
        let priority = line.strip_prefix('<').and_then(|line| line.split_once('>'));
        assert!(
            priority.is_some_and(|(number, _)| number.parse::<u8>().is_ok_and(|number| number < 8)),
            "{line}"
        );
        assert!(
            !line.contains("warning: ") && !line.contains("error: "),
            "said twice: {line}"
        );
    }
}

/// The socket of a syslog daemon, played by the test.
struct Syslog(UnixDatagram);

const DEV_LOG: &str = "/dev/log";

/// Held by the one test at a time that cares whether there is a `/dev/log`.
static WITH_OR_WITHOUT: Mutex<()> = Mutex::new(());

impl Syslog {
    fn new() -> Self {
        let socket = UnixDatagram::bind(DEV_LOG).unwrap();
        set_mode(DEV_LOG, 0o666);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The datagrams up to one with this text.
    fn up_to(&self, text: &str) -> Vec<String> {
        let (deadline, mut heard) = (Instant::now() + PATIENCE, Vec::new());
        let mut octets = [0; 8192];
        while Instant::now() < deadline {
            let Ok(read) = self.0.recv(&mut octets) else {
                break;
            };
            heard.push(String::from_utf8(octets[..read].to_vec()).unwrap());
            if heard.last().unwrap().contains(text) {
                return heard;
            }
        }
        panic!("{text:?} did not come, but: {heard:#?}");
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        if fs::symlink_metadata(DEV_LOG).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(DEV_LOG).unwrap();
        }
    }
}

#[test]
fn syslog_is_given_facility_severity_and_process() {
    if !root_for("[log] to = \"syslog\", with a socket at /dev/log") {
        return;
    }
    let _alone = WITH_OR_WITHOUT
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if fs::symlink_metadata(DEV_LOG).is_ok() {
        return skipped("[log] to = \"syslog\": this machine has a /dev/log of its own");
    }
    let syslog = Syslog::new();
    let folder = Folder::new();
    let ca = ca_with_a_forgery(&folder);
    let config = usual(&ca) + "[log]\nto = \"syslog\"\n";
    let file = folder.file("config.toml", config);
    let mut command = Command::new(launcher());
    command.args(["run", "--config", &file]);
    let mut server = Server::begun(command, &file);
    let heard = syslog.up_to(" serves: frontend ");
    let line = heard
        .iter()
        .find(|line| line.contains("listening on "))
        .unwrap();
    server.address = line
        .split_once("listening on ")
        .unwrap()
        .1
        .trim()
        .parse()
        .unwrap();
    // daemon (3) and notice (5)
    let own = format!("ocsp-server[{}]: ", server.pid());
    assert!(line.starts_with("<29>") && line.contains(&own), "{line}");
    ask(&server, &ca);
    // Beside these two the launcher says what the signer cannot have on this machine, and when is its own matter.
    let refused = "]: refused to sign: ";
    let mut heard = syslog.up_to("a certificate cannot be read");
    if !heard.iter().any(|line| line.contains(refused)) {
        heard.extend(syslog.up_to(refused));
    }
    let error = heard
        .iter()
        .find(|line| line.contains("a certificate cannot be read"))
        .unwrap();
    assert!(
        error.starts_with("<27>") && error.contains("ocsp-frontend["),
        "{error}"
    );
    // authpriv (10) and warning (4)
    let security = heard.iter().find(|line| line.contains(refused)).unwrap();
    assert!(
        security.starts_with("<84>") && security.contains("ocsp-signer["),
        "{security}"
    );
    for line in &heard {
        assert_eq!(line.matches(&own).count(), 1, "{line}");
    }
    assert_eq!(server.log(), "");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    syslog.up_to("stopped");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_daemon_without_syslog_serves_all_the_same() {
    let _alone = WITH_OR_WITHOUT
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if fs::symlink_metadata(DEV_LOG).is_ok() {
        return skipped("[log] to = \"syslog\" without /dev/log: this machine has one");
    }
    let folder = Folder::new();
    let ca = ca_with_a_forgery(&folder);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let config =
        (usual(&ca) + "[log]\nto = \"syslog\"\n").replace("127.0.0.1:0", &address.to_string());
    let file = folder.file("config.toml", config);
    let mut command = Command::new(launcher());
    command.args(["run", "--config", &file]);
    let mut server = Server::begun(command, &file);
    server.address = address;
    let answer = until("it answers", || {
        server.try_post(&ca.request("-cert good.crt")).ok()
    });
    answer.answer();
}

#[test]
fn a_name_with_control_characters_cannot_write_lines_of_its_own() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    let forged = "\nocsp-server[1]: all is well \u{1b}[2J";
    let config = usual(&ca).replace(
        "index.txt",
        &format!("index{}", forged.escape_default()).replace("\\u{1b}", "\\u001b"),
    );
    let server = Server::new(&folder, &config);
    let line = server.says("all is well");
    assert!(
        line.starts_with(&format!("ocsp-server[{}]: ", server.pid())),
        "{line}"
    );
    assert!(!line.contains('\u{1b}'), "{line}");
    let mark = server.mark();
    // The frontend's own line, too.
    let line = server.says_after(mark, "all is well");
    assert!(line.starts_with("ocsp-frontend["), "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");
}

#[test]
fn neither_keys_nor_who_asked_what_are_logged() {
    let folder = Folder::new();
    let ca = ca_with_a_forgery(&folder);
    let server = Server::new(&folder, &usual(&ca));
    ask(&server, &ca);
    let mut client = Client::to(server.address).unwrap();
    client
        .send(b"GET /secret?password HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    client.response().unwrap();
    server.says("security: ");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.next_generation(1);
    let log = server.log();
    let key = must("/", &["cat", &ca.path("private/responder.key")]);
    for line in key.lines().filter(|line| line.len() > 8) {
        assert!(!log.contains(line));
    }
    let good = ca.serial("good").to_lowercase();
    for line in log.lines() {
        let address = line.contains("127.0.0.1") && !line.contains("listening on ");
        assert!(!address, "{line}");
        assert!(
            !line.contains("secret") && !line.contains("password"),
            "{line}"
        );
        // A client's ordinary question leaves no trace.
        assert!(!line.contains(&format!("0x{good}")), "{line}");
    }
    assert!(Path::new(&ca.key()).exists());
}
