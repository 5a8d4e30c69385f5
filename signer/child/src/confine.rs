//! Locking a child in, and proving it. Runs in both children while they have one thread (capabilities and no_new_privs
//! are per thread, and threads made later inherit them). The launcher has set the ids before the child was executed;
//! nothing of that is believed: each is read back, and then the child tries to undo it. A try that succeeds is a reason
//! not to serve.

use std::ffi::CStr;
use std::fmt;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};

/// Who the child must be.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The user id: real, effective and saved.
    pub uid: u32,
    /// The group id likewise.
    pub gid: u32,
    /// Whether the launcher is root, so that users are separated: then no group and an empty bounding set are required.
    pub separated: bool,
}

/// What is not as it must be.
#[derive(Debug)]
pub struct NotConfined(String);

impl fmt::Display for NotConfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process is not confined: {}", self.0)
    }
}

impl std::error::Error for NotConfined {}

fn unless(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), NotConfined> {
    if holds {
        Ok(())
    } else {
        Err(NotConfined(otherwise()))
    }
}

/// The first thing in `main`: no core dumps and no ptrace by the same user, a name that `ps` can show (the executable
/// was started by descriptor), and no signal of a terminal or an operator: the launcher leads its children.
pub fn begin(name: &CStr) -> Result<(), NotConfined> {
    let kernel = |what: &'static str| move |error| NotConfined(format!("{what}: {error}"));
    prctl::set_dumpable(false).map_err(kernel("it cannot be made undumpable"))?;
    prctl::set_name(name).map_err(kernel("it cannot be named"))?;
    let mut led = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ] {
        led.add(signal);
    }
    led.thread_block()
        .map_err(kernel("signals cannot be blocked"))?;
    unless(names_in("/proc/self/fd")? == ["0", "1", "2"], || {
        "it was started with other descriptors than 0, 1 and 2".to_owned()
    })
}

/// Gives up what is left, reads everything back, and tries to undo each.
pub fn lock_in(identity: Identity) -> Result<(), NotConfined> {
    unless(names_in("/proc/self/task")?.len() == 1, || {
        "it has threads already, and a lock-in binds one thread only".to_owned()
    })?;
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set)
            .map_err(|error| NotConfined(format!("its {set:?} capabilities stay: {error}")))?;
    }
    prctl::set_no_new_privs()
        .map_err(|error| NotConfined(format!("no_new_privs cannot be set: {error}")))?;
    read_back(identity)?;
    try_to_undo()?;
    read_back(identity)
}

fn read_back(identity: Identity) -> Result<(), NotConfined> {
    let unreadable =
        |what: &'static str| move |error| NotConfined(format!("{what} cannot be read: {error}"));
    let users = getresuid().map_err(unreadable("its user ids"))?;
    let groups = getresgid().map_err(unreadable("its group ids"))?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    unless(
        [users.real, users.effective, users.saved] == [uid; 3],
        || format!("its user ids are {users:?}, {uid} was expected"),
    )?;
    unless(
        [groups.real, groups.effective, groups.saved] == [gid; 3],
        || format!("its group ids are {groups:?}, {gid} was expected"),
    )?;
    if identity.separated {
        let supplementary = getgroups()
            .map_err(|error| NotConfined(format!("its groups cannot be read: {error}")))?;
        unless(supplementary.is_empty(), || {
            format!("it is in the groups {supplementary:?}, none was expected")
        })?;
        held(CapSet::Bounding)?;
    }
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        held(set)?;
    }
    unless(prctl::get_no_new_privs() == Ok(true), || {
        "no_new_privs is not set".to_owned()
    })?;
    unless(prctl::get_dumpable() == Ok(false), || {
        "it can be dumped".to_owned()
    })
}

fn held(set: CapSet) -> Result<(), NotConfined> {
    let held = caps::read(None, set).map_err(|error| {
        NotConfined(format!("its {set:?} capabilities cannot be read: {error}"))
    })?;
    unless(held.is_empty(), || {
        format!("its {set:?} capabilities are {held:?}, none was expected")
    })
}

fn try_to_undo() -> Result<(), NotConfined> {
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

/// The names in a folder of `/proc`, in order, but for the one descriptor that reads the folder itself.
fn names_in(folder: &str) -> Result<Vec<String>, NotConfined> {
    let unreadable = |error| NotConfined(format!("{folder} cannot be read: {error}"));
    let itself = std::fs::canonicalize(folder).map_err(unreadable)?;
    let (mut names, mut reader_seen) = (Vec::new(), false);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !reader_seen && std::fs::read_link(entry.path()).is_ok_and(|to| to == itself) {
            reader_seen = true;
        } else {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
