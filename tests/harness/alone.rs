//! For tests that start one child alone and play its launcher. Shared by the harnesses of signer and frontend.

use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, Once, Weak};

use nix::fcntl::OFlag;
use nix::unistd::{getegid, geteuid};

use super::folder::{Folder, set_mode};

/// User and group of the child: as root somebody without account, otherwise the caller.
pub fn identity_of(stranger: u32) -> (u32, u32) {
    if geteuid().is_root() {
        (stranger, stranger)
    } else {
        (geteuid().as_raw(), getegid().as_raw())
    }
}

/// A copy of an executable where any user can execute it: the checkout may lie below a folder of
/// mode 0700. One copy for all children that run at a time.
pub fn executable(built: &str) -> Arc<Folder> {
    static COPY: Mutex<Weak<Folder>> = Mutex::new(Weak::new());
    let mut copy = COPY.lock().unwrap();
    if let Some(folder) = copy.upgrade() {
        return folder;
    }
    let folder = Arc::new(Folder::new());
    let path = folder.path(Path::new(built).file_name().unwrap().to_str().unwrap());
    // By another process: a descriptor of ours that writes to it could be inherited by a child that another test is
    // starting, and then the copy could not be executed (ETXTBSY).
    let copied = Command::new("cp").arg(built).arg(&path).status();
    assert!(copied.unwrap().success());
    set_mode(path, 0o755);
    *copy = Arc::downgrade(&folder);
    folder
}

/// Whoever started the test may have left descriptors open (make and CI runners do), which every child would inherit and
/// refuse. Our own are all closed on exec.
pub fn close_what_was_inherited() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap() {
            let entry = entry.unwrap();
            let number: RawFd = entry.file_name().to_str().unwrap().parse().unwrap();
            // Gone meanwhile: another thread's.
            let about = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
            let kept = flags.is_none_or(|flags| flags & OFlag::O_CLOEXEC.bits() != 0);
            if number > 2 && !kept {
                nix::unistd::close(number).unwrap();
            }
        }
    });
}
