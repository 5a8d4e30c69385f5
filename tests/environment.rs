//! What root must arrange and has not: users, addresses, executables. One sentence each, and exit code 4.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use harness::*;

#[test]
fn an_address_in_use_is_exit_code_4() {
    let scene = Draft::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = Server::fails(&scene.folder, &scene.with("127.0.0.1:0", &address));
    assert_eq!(code, 4, "{said}");
    assert!(
        said.starts_with(&format!(
            "ocsp-server: cannot listen on {address}: Address "
        )),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Copies of the three programs where every user can execute them.
fn copies(folder: &Folder) -> String {
    for name in ["ocsp-server", "ocsp-frontend", "ocsp-signer"] {
        // By another process: a descriptor of ours that writes to it could be inherited by a child that another test is
        // starting, and then it could not be executed (ETXTBSY).
        let original = launcher().with_file_name(name);
        must("/", &["cp", original.to_str().unwrap(), &folder.path(name)]);
        set_mode(folder.path(name), 0o755);
    }
    folder.path("ocsp-server")
}

/// The launcher as somebody who is not root; root becomes one.
fn as_stranger(program: &str, file: &str) -> (u32, Command) {
    let mut command;
    let user = if is_root() {
        let id = STRANGER.to_string();
        command = Command::new("setpriv");
        command.args([
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "--",
            program,
        ]);
        STRANGER
    } else {
        command = Command::new(program);
        users().0
    };
    command.args(["run", "--config", file]);
    (user, command)
}

#[test]
fn a_caller_who_cannot_become_the_users_is_told_so() {
    let scene = Draft::new();
    let config = if is_root() {
        scene.config.clone()
    } else {
        scene.with(&format!("frontend = {}", users().0), "frontend = 61809")
    };
    let file = scene.folder.file("config.toml", config);
    let (user, command) = as_stranger(&copies(&scene.folder), &file);
    let (code, said) = Server::begun(command, &file).fails_itself();
    assert_eq!(code, 4, "{said}");
    let sentence = format!("ocsp-server: started as user {user}, which cannot become user \"618");
    assert!(said.starts_with(&sentence), "{said}");
    assert!(said.contains("start it as root"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_caller_who_is_both_users_is_served_and_told_that_separation_is_off() {
    let scene = Draft::new();
    let config = if is_root() {
        std::os::unix::fs::chown(scene.ca.key(), Some(STRANGER), Some(STRANGER)).unwrap();
        let (frontend, signer) = users();
        let config = scene.with(
            &format!("frontend = {frontend}"),
            &format!("frontend = {STRANGER}"),
        );
        config.replace(
            &format!("signer = {signer}"),
            &format!("signer = {STRANGER}"),
        )
    } else {
        scene.config.clone()
    };
    let file = scene.folder.file("config.toml", config);
    let (user, command) = as_stranger(&copies(&scene.folder), &file);
    let server = Server::started(command, &file);
    let line = server.says("USER SEPARATION IS OFF");
    assert!(line.contains("warning: "), "{line}");
    server.post(&scene.ca.request("-cert good.crt")).answer();
    for pid in server.generation().pids() {
        let status = status(format!("/proc/{pid}"));
        assert_eq!(status["Uid"], four_times(user));
        assert_eq!(status["NoNewPrivs"], "1");
        assert_eq!(status["CapEff"], "0000000000000000");
    }
}

#[test]
fn executables_that_others_can_write_to_or_that_are_missing_are_not_started() {
    let scene = Draft::new();
    let program = copies(&scene.folder);
    let file = scene.folder.file("config.toml", &scene.config);
    let start = || {
        let mut command = Command::new(&program);
        command.args(["run", "--config", &file]);
        Server::begun(command, &file).fails_itself()
    };
    let signer = scene.folder.path("ocsp-signer");
    set_mode(&signer, 0o775);
    let (code, said) = start();
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains(&format!(
            "{signer}: mode 0775 lets others write to it, 0755 was expected"
        )),
        "{said}"
    );
    set_mode(&signer, 0o755);
    if root_for("that an executable of another user is not started") {
        std::os::unix::fs::chown(&signer, Some(STRANGER), None).unwrap();
        let (code, said) = start();
        assert_eq!(code, 4, "{said}");
        assert!(
            said.contains(&format!(
                "{signer}: belongs to user {STRANGER}, root was expected"
            )),
            "{said}"
        );
    }
    fs::remove_file(&signer).unwrap();
    if !Path::new("/usr/libexec/ocsp-server/ocsp-signer").exists() {
        let (code, said) = start();
        assert_eq!(code, 4, "{said}");
        assert!(
            said.contains(&format!("ocsp-signer is neither {signer} nor ")),
            "{said}"
        );
    }
}

#[test]
fn the_daemon_works_below_a_folder_that_its_users_cannot_enter() {
    let scene = Draft::new();
    let inner = scene.folder.path("closed");
    fs::create_dir(&inner).unwrap();
    for name in ["ocsp-server", "ocsp-frontend", "ocsp-signer"] {
        let original = launcher().with_file_name(name);
        must("/", &["cp", original.to_str().unwrap(), &inner]);
        set_mode(format!("{inner}/{name}"), 0o755);
    }
    set_mode(&inner, 0o700);
    let file = scene.folder.file("config.toml", &scene.config);
    let mut command = Command::new(format!("{inner}/ocsp-server"));
    command.args(["run", "--config", &file]);
    let server = Server::started(command, &file);
    server.post(&scene.ca.request("-cert good.crt")).answer();
}

/// What a child must not reach it tries to reach, and refuses where the kernel lets it: here the folder of its index holds
/// its executable.
#[test]
fn a_frontend_that_reaches_more_than_its_source_refuses_to_serve() {
    let scene = Draft::new();
    let program = copies(&scene.folder);
    let index = scene.folder.path("index.txt");
    fs::copy(scene.ca.path("index.txt"), &index).unwrap();
    set_mode(&index, 0o644);
    let config = scene.with(&scene.ca.path("index.txt"), &index);
    let file = scene.folder.file("config.toml", config);
    let output = output("/", &[&program, "check", "--config", &file], &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let refused =
        "FAILED  ocsp-frontend: the process is not confined: it could open /proc/self/exe\n";
    assert!(said.contains(refused), "{said}");
}
