//! The one file of this project that may hold unsafe code: what the standard library and nix do not offer safely.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::unistd::fexecve;

/// Takes over the descriptors 3 and up, as many as were `handed` over, and closes whatever else stands above 2: a launcher
/// and its children hold nothing that whoever started it left open. For the first time only; there is nothing to take over later.
pub fn take_inherited(handed: usize) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let beyond = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let first = libc::c_uint::try_from(3 + handed).map_err(beyond)?;
    // SAFETY: close_range takes three numbers and touches no memory. This is the first thing that the launcher does (its
    // callers say so): nothing in this process owns a descriptor above 2 yet.
    if unsafe { libc::close_range(first, libc::c_uint::MAX, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    (3..3 + handed)
        .map(|number| {
            let number = libc::c_int::try_from(number).map_err(beyond)?;
            // SAFETY: fcntl takes numbers only. A number that is no open descriptor is an error here; otherwise nobody else
            // owns it, for the same reason as above, and it is made an OwnedFd once.
            unsafe {
                if libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == -1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(OwnedFd::from_raw_fd(number))
            }
        })
        .collect()
}

/// Makes `command` execute an open file, instead of looking its program up by name again, under the name `name` and with
/// `environment` as its whole environment. What is executed is then what was checked, wherever its folder is.
pub fn execute(
    command: &mut Command,
    executable: OwnedFd,
    name: CString,
    environment: &'static [&CStr],
) {
    let replace = move || match fexecve(&executable, &[&name], environment) {
        Ok(never) => match never {},
        Err(error) => Err(io::Error::from(error)),
    };
    // SAFETY: the closure runs in the child between fork and exec. The launcher has one thread, so no lock can be held by
    // a thread that the child does not have: the small allocation within fexecve is sound.
    unsafe { command.pre_exec(replace) };
}
