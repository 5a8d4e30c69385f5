//! The one file of this project that may hold unsafe code: what the standard library and nix do not offer safely.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use nix::unistd::fexecve;

/// Marks every descriptor but 0, 1 and 2 to be closed on exec: a child inherits nothing that whoever started us left
/// open.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC takes three numbers, touches no memory and closes nothing now; every
    // descriptor that this process owns stays as it is.
    let done = unsafe {
        libc::close_range(
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
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
