//! Runs the real daemon, all three processes, on a certification authority that the `openssl` command made, and asks it
//! with other people's clients. As root, frontend and signer run under two user ids without account, otherwise under the
//! caller's. Whatever is waited for comes within [`PATIENCE`] or fails the test; processes and files are gone when their
//! value is dropped.

#![allow(dead_code, unused_imports)] // each test file uses a part

mod ca;
mod client;
mod database;
mod folder;
mod process;
mod scene;
mod server;

pub use ca::*;
pub use client::*;
pub use database::*;
pub use folder::{Folder, set_mode};
pub use process::*;
pub use scene::*;
pub use server::*;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

/// More than anything here takes, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// For what the launcher itself notices only after some seconds.
pub const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// Who the children are when the test is root: numbers that no account has.
const FRONTEND: u32 = 61_801;
const SIGNER: u32 = 61_802;
/// An ordinary user without account.
pub const STRANGER: u32 = 61_803;

pub fn is_root() -> bool {
    geteuid().is_root()
}

/// User ids of frontend and signer, which are their group ids as well.
pub fn users() -> (u32, u32) {
    if is_root() {
        (FRONTEND, SIGNER)
    } else {
        (geteuid().as_raw(), geteuid().as_raw())
    }
}

/// The group of the signer's files.
pub fn signer_group() -> u32 {
    if is_root() {
        SIGNER
    } else {
        getegid().as_raw()
    }
}

/// What the signer says where its memory cannot be locked: true on machines that hold root's limits down, and no matter of
/// most tests.
pub const UNLOCKED: &str = "its memory cannot be kept from the disk";

/// The lines but for [`UNLOCKED`].
pub fn without_limits(said: &str) -> String {
    said.split_inclusive('\n')
        .filter(|line| !line.contains(UNLOCKED))
        .collect()
}

/// Says that a test looked at nothing, past the capturing of its output.
pub fn skipped(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether the test is root. When not, it says what it would have looked at.
pub fn root_for(what: &str) -> bool {
    if !is_root() {
        skipped(&format!("only as root: {what}"));
    }
    is_root()
}

/// Waits for something.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    until_after(PATIENCE, what, &mut found)
}

/// Waits longer.
pub fn until_after<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The launcher's executable: in the folder of the environment variable OCSP_SERVER_BIN, or where cargo built it. Its
/// two children must be beside it, of the same version: anything else would test the wrong programs.
pub fn launcher() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let folder = match std::env::var_os("OCSP_SERVER_BIN") {
            Some(folder) => PathBuf::from(folder),
            // The bench (tests/bench) is built where cargo knows no such program, and always names the folder.
            None => {
                let built = option_env!("CARGO_BIN_EXE_ocsp-server");
                let built = Path::new(built.unwrap_or_else(|| panic!("OCSP_SERVER_BIN is not set")));
                built.parent().unwrap().to_owned()
            }
        };
        let folder = folder.canonicalize().unwrap_or(folder);
        let version = |name: &str| {
            let path = folder.join(name);
            let said = Command::new(&path).arg("--version").output();
            let said = said.unwrap_or_else(|error| {
                panic!(
                    "{}: {error}: build all three programs first (cargo build --workspace), or name their folder in \
                     OCSP_SERVER_BIN",
                    path.display()
                )
            });
            let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            let version = said.strip_prefix(name).map(|version| version.trim().to_owned());
            version.unwrap_or_else(|| panic!("{}: says {said:?} for --version", path.display()))
        };
        let versions = ["ocsp-server", "ocsp-frontend", "ocsp-signer"].map(version);
        assert!(
            versions[0] == versions[1] && versions[0] == versions[2],
            "{}: the three programs have different versions: {versions:?}",
            folder.display()
        );
        folder.join("ocsp-server")
    })
}

/// Runs a command to its end: whether it succeeded, and all that it said. Files it makes can be read by everybody.
pub fn run(folder: impl AsRef<Path>, words: &[&str]) -> (bool, String) {
    let output = output(folder, words, &[]);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Runs a command that must succeed.
pub fn must(folder: impl AsRef<Path>, words: &[&str]) -> String {
    let (well, said) = run(folder, words);
    assert!(well, "{words:?} failed: {said}");
    said
}

/// Runs a command with this input.
pub fn output(folder: impl AsRef<Path>, words: &[&str], input: &[u8]) -> Output {
    let package = match words[0] {
        "openssl" => "openssl",
        "ocsptool" => "gnutls-bin",
        "nc" => "netcat-openbsd",
        "setpriv" => "util-linux",
        _ => "coreutils or dash",
    };
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "umask 022; command -v \"$0\" >/dev/null || exit 127; exec \"$0\" \"$@\"",
        ])
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input); // a command that does not want it has ended
    drop(stdin);
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        kill(pid, Signal::SIGKILL).unwrap();
        panic!("{words:?} did not end within {PATIENCE:?}");
    };
    let output = output.unwrap();
    assert!(
        output.status.code() != Some(127),
        "the command {:?} is needed, of the Debian package {package}",
        words[0]
    );
    output
}

#[track_caller]
pub fn contains(said: &str, expected: &[&str]) {
    for expected in expected {
        assert!(
            said.contains(expected),
            "{expected:?} was expected in:\n{said}"
        );
    }
}

#[track_caller]
pub fn lacks(said: &str, unexpected: &[&str]) {
    for unexpected in unexpected {
        assert!(!said.contains(unexpected), "{unexpected:?} in:\n{said}");
    }
}
