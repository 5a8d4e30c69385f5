//! What a shell completes is made of the command line as the launcher knows it, and committed: a package installs it, and
//! this compares it. Where the command line has changed:
//!
//! ```text
//! OCSP_SERVER_BLESS=1 cargo test --test completions && git diff systemd/completions
//! ```

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

use clap_complete::{Shell, generate};
use ocsp_server::command;

#[test]
fn the_completions_are_those_of_the_command_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/completions");
    for (shell, name) in [
        (Shell::Bash, "ocsp-server.bash"),
        (Shell::Zsh, "_ocsp-server"),
        (Shell::Fish, "ocsp-server.fish"),
    ] {
        let mut made = Vec::new();
        generate(shell, &mut command::grammar(), "ocsp-server", &mut made);
        let made = String::from_utf8(made).unwrap();
        let file = folder.join(name);
        if std::env::var_os("OCSP_SERVER_BLESS").is_some_and(|bless| bless == "1") {
            fs::write(&file, &made).unwrap();
        }
        let committed =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(
            made == committed,
            "{}: is not what the command line makes; look at what changes:\n\
             OCSP_SERVER_BLESS=1 cargo test --test completions && git diff systemd/completions",
            file.display()
        );
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/completions");
    for (typed, expected) in [
        ("ocsp-server bo", "boundary"),
        ("ocsp-server boundary --j", "--json"),
        ("ocsp-server demo --on", "--once"),
        ("ocsp-server --conf", "--config"),
    ] {
        let script = format!(
            ". ./ocsp-server.bash; completes=$(complete -p ocsp-server | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); \
             COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             $completes ocsp-server \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &script])
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert_eq!((said.trim(), &*trouble), (expected, ""), "{typed}");
    }
}
