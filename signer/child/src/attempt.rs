//! The self-proof: what must have become impossible is tried, before the list of system calls would end the process for
//! trying. The kernel has to say no, in the words for *not permitted*: any other answer, success above all, is a reason
//! not to serve.

use std::fs::File;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, TcpStream};

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::kill;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Gid, Pid, Uid, execv, getppid, setgroups, setresgid, setresuid};

use crate::confine::{NotConfined, unless};
use crate::reach::Landlock;

/// Ids and capabilities: to regain what was given up.
pub fn to_regain() -> Result<(), NotConfined> {
    let root = (Uid::from_raw(0), Gid::from_raw(0));
    unless(setresuid(root.0, root.0, root.0).is_err(), || {
        "it could become root again".to_owned()
    })?;
    unless(setresgid(root.1, root.1, root.1).is_err(), || {
        "it could take group 0 again".to_owned()
    })?;
    unless(setgroups(&[root.1]).is_err(), || {
        "it could join group 0".to_owned()
    })?;
    for wanted in [
        Capability::CAP_SETUID,
        Capability::CAP_DAC_READ_SEARCH,
        Capability::CAP_SYS_PTRACE,
    ] {
        let wanted = CapsHashSet::from([wanted]);
        for set in [
            CapSet::Permitted,
            CapSet::Effective,
            CapSet::Inheritable,
            CapSet::Ambient,
        ] {
            unless(caps::set(None, set, &wanted).is_err(), || {
                format!("it could regain {wanted:?} ({set:?})")
            })?;
        }
    }
    Ok(())
}

/// Files, processes and connections: to reach beyond what Landlock leaves. `closed` are files that were open before;
/// `ports` may be connected to.
pub fn to_reach(closed: &[&str], ports: &[u16], landlock: Landlock) -> Result<(), NotConfined> {
    let launcher = getppid();
    let own = "/proc/self/exe";
    let status = format!("/proc/{launcher}/status");
    for file in closed.iter().copied().chain([own]) {
        denied(&format!("open {file}"), errno(File::open(file)))?;
    }
    match errno(File::open(&status)) {
        // Where /proc hides the processes of others (hidepid, ProtectProc=invisible), it is not even there.
        Err(Errno::ENOENT) => {}
        tried => denied(&format!("open {status}"), tried)?,
    }
    let own_name = File::options().write(true).open("/proc/self/comm");
    denied("write to a file", errno(own_name))?;
    // The executable itself, told to do nothing but say so.
    let executed = execv(c"/proc/self/exe", &[c"ocsp-child", c"--escaped"]);
    denied("execute a program", executed.map(drop))?;
    denied("trace the launcher", ptrace::attach(launcher))?;
    let (mut octet, from) = ([0], [RemoteIoVec { base: 4096, len: 1 }]);
    let read = process_vm_readv(launcher, &mut [IoSliceMut::new(&mut octet)], &from);
    denied("read the launcher's memory", read.map(drop))?;
    if landlock.scopes() {
        denied("send a signal to the launcher", kill(launcher, None))?;
        denied("send a signal to init", kill(Pid::from_raw(1), None))?;
    }
    if landlock.tcp()
        && let Some(port) = (1..=u16::MAX).find(|port| !ports.contains(port))
    {
        match errno(TcpStream::connect((Ipv4Addr::LOCALHOST, port))) {
            // Where no socket can be made for it (RestrictAddressFamilies=), there is none to deny.
            Err(Errno::EAFNOSUPPORT) => {}
            tried => denied("connect to a port that is not for it", tried)?,
        }
    }
    Ok(())
}

fn errno<T>(result: std::io::Result<T>) -> Result<(), Errno> {
    let number = |error: std::io::Error| error.raw_os_error().unwrap_or(0);
    result
        .map(drop)
        .map_err(|error| Errno::from_raw(number(error)))
}

/// Whether the kernel said that this is not permitted.
fn denied(what: &str, tried: Result<(), Errno>) -> Result<(), NotConfined> {
    match tried {
        // ENOSYS: there is no such call in this kernel.
        Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) => Ok(()),
        Err(error) => Err(NotConfined(format!(
            "to {what} ended with {error:?}, EPERM or EACCES was expected"
        ))),
        Ok(()) => Err(NotConfined(format!("it could {what}"))),
    }
}
