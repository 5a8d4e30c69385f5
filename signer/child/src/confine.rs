//! Locking a child in, and proving it, in the order that the kernel forces. With one thread, because threads made later
//! inherit it: capabilities dropped, no_new_privs, ids read back, each tried to undo ([`attempt`]), files and connections
//! denied ([`reach`]), each tried as well. The launcher has set the ids before the child was executed; nothing of that is
//! believed. Then the child makes its threads; then limits, and the list of system calls ([`calls`]) on all of them.

use std::ffi::CStr;
use std::fmt;
use std::process::ExitCode;

use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid};

use crate::attempt;
use crate::calls::{self, Call};
use crate::reach::{self, Landlock, Reach};

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
pub struct NotConfined(pub String);

impl fmt::Display for NotConfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process is not confined: {}", self.0)
    }
}

impl std::error::Error for NotConfined {}

/// An error, unless it holds.
pub(crate) fn unless(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), NotConfined> {
    if holds {
        Ok(())
    } else {
        Err(NotConfined(otherwise()))
    }
}

/// What a child says to whoever starts it by hand: `--version`; `--confinement`, the list of system calls, which an auditor
/// compares; `--landlock`, what this kernel's Landlock enforces, having let it take hold.
pub fn about(name: &str, version: &str, asked: &str, calls: &[Call]) -> ExitCode {
    match asked {
        "--version" => println!("{name} {version}"),
        "--confinement" => {
            for call in calls {
                println!("{call}");
            }
        }
        "--landlock" => match reach::restrict(Reach::default()) {
            Ok(landlock) => println!("{landlock}"),
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        },
        _ => {
            eprintln!(
                "{name} is started by ocsp-server; by hand it knows --version, --confinement and --landlock"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
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
    unless(only_three()?, || {
        "it was started with other descriptors than 0, 1 and 2".to_owned()
    })
}

/// Whether it holds the descriptors that it was started with, and no other.
pub fn only_three() -> Result<bool, NotConfined> {
    Ok(names_in("/proc/self/fd")? == ["0", "1", "2"])
}

/// What is left to a child.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// Who it is.
    pub identity: Identity,
    /// What it may reach.
    pub reach: Reach<'a>,
    /// Files that it had open, and must not be able to open again.
    pub closed: &'a [&'a str],
}

/// A child that is locked in, and does not serve yet: it may make its threads.
#[derive(Debug)]
#[must_use]
pub struct LockedIn {
    /// What the kernel's Landlock enforces.
    pub landlock: Landlock,
}

/// Gives up what is left, reads everything back, and tries to undo each and to reach beyond.
pub fn lock_in(bounds: &Bounds<'_>) -> Result<LockedIn, NotConfined> {
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
    read_back(bounds.identity)?;
    attempt::to_regain()?;
    read_back(bounds.identity)?;
    let landlock = reach::restrict(bounds.reach).map_err(NotConfined)?;
    attempt::to_reach(bounds.closed, bounds.reach.connect, landlock)?;
    Ok(LockedIn { landlock })
}

impl LockedIn {
    /// The last step, when every thread there will be has begun: no more processes or threads, no files written, no core,
    /// at most `descriptors`, and of system calls only these.
    pub fn enter_service(
        self,
        calls: &[Call],
        descriptors: Option<u64>,
    ) -> Result<(), NotConfined> {
        let limits = [
            (Resource::RLIMIT_CORE, Some(0)),
            (Resource::RLIMIT_FSIZE, Some(0)),
            (Resource::RLIMIT_NPROC, Some(0)),
            (Resource::RLIMIT_NOFILE, descriptors),
        ];
        for (resource, most) in limits {
            if let Some(most) = most {
                setrlimit(resource, most, most).map_err(|error| {
                    NotConfined(format!("{resource:?} cannot be {most}: {error}"))
                })?;
            }
        }
        calls::enforce(calls).map_err(NotConfined)
    }
}

/// Starts a thread, and waits until it runs: what it needs to begin, it will not be allowed later.
pub fn thread(
    name: &str,
    stack: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let (begun, begins) = std::sync::mpsc::channel();
    let mut thread = std::thread::Builder::new().name(name.to_owned());
    if let Some(stack) = stack {
        thread = thread.stack_size(stack);
    }
    thread.spawn(move || {
        let _ = begun.send(());
        work();
    })?;
    begins.recv().map_err(std::io::Error::other)
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
