//! systemd credentials: secrets that systemd puts, at the start of the service, into a folder that only root can enter.
//! The launcher opens them, and hands the descriptors over; it reads none.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;

use crate::exit::Failure;

/// The variable of the environment that names the folder.
pub const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// How many one child may be handed: a message carries 253 descriptors, and a frontend's carries 64 sockets as well.
pub const MOST: usize = 180;

/// What is written before the name of a credential, where a path could stand.
pub const PREFIX: &str = "credential:";

/// Whether systemd knows credentials by this name.
pub fn is_name(name: &str) -> bool {
    let plain = name
        .chars()
        .all(|c| matches!(c, ' '..='~') && !['/', ':'].contains(&c));
    (1..=255).contains(&name.len()) && plain && name != "." && name != ".."
}

/// The folder, if there is one.
pub fn folder() -> Option<String> {
    let named = std::env::var(FOLDER).ok()?;
    named.starts_with('/').then_some(named)
}

/// Opens credentials, in this order.
pub fn open_all<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<OwnedFd>, Failure> {
    names.map(open).collect()
}

fn open(name: &str) -> Result<OwnedFd, Failure> {
    let expected = format!("LoadCredential={name}:/PATH in the unit, and a restart");
    let folder = folder().ok_or_else(|| {
        let doing = format_args!("the credential {name:?}").to_string();
        Failure::environment(doing)(format!("{FOLDER} names no folder, expected {expected}"))
    })?;
    let path = format!("{folder}/{name}");
    // Whatever is there, to open it does nothing else: it is the child that looks, and refuses what is no file.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(&path);
    opened.map(OwnedFd::from).map_err(|error| {
        let doing = format!("the credential {name:?}: {path} ({FOLDER}) cannot be opened");
        Failure::environment(doing)(format!("{error}, expected {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_systemd() {
        for good in ["key", "responder.key", "a b", "...", &"x".repeat(255)] {
            assert!(is_name(good), "{good:?}");
        }
        for wrong in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "a:b",
            "a\nb",
            "a\0",
            "\u{e4}",
            &"x".repeat(256),
        ] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }
}
