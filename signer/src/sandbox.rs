//! Locks the signer in: after its keys are open and before it has a second thread, and again when it has all of them.

use nix::sys::mman::{MlockAllFlags, mlockall};
use ocsp_child::calls::Call;
use ocsp_child::confine::NotConfined;
use ocsp_child::{Bounds, Identity, LockedIn, Reach, call};
use ocsp_wire::{Secret, SignerSettings};

/// What the signer asks of the kernel from the moment it serves: to read and write its three descriptors, memory,
/// threads that wait for each other, time, random numbers, and to end. It opens nothing, connects to nothing, starts
/// nothing.
pub const CALLS: [Call; 17] = [
    call!(SYS_brk),
    call!(SYS_clock_gettime), // without vDSO only
    call!(SYS_exit_group),
    call!(SYS_futex),
    call!(SYS_getpid), // OpenSSL asks before random numbers
    call!(SYS_getrandom),
    call!(SYS_madvise),
    call!(SYS_mmap, NotExecutable),
    call!(SYS_mprotect, NotExecutable),
    call!(SYS_mremap), // a vector that grows
    call!(SYS_munmap),
    call!(SYS_recvfrom),
    call!(SYS_restart_syscall), // what a stopped process was waiting for, when it goes on
    call!(SYS_rt_sigprocmask), // glibc 2.41, at a thread's first random numbers by vDSO (Linux 6.11)
    call!(SYS_sendto),
    call!(SYS_sigaltstack), // on the way out
    call!(SYS_write),
];

/// The descriptors that it holds, and none more.
const DESCRIPTORS: u64 = 3;

/// Capabilities, ids and files: each given up, and then tried to regain. What was handed over is closed, and no key or
/// passphrase must open again.
pub fn lock_in(settings: &SignerSettings) -> Result<LockedIn, NotConfined> {
    // With an arena of the allocator for each thread the memory to lock is ten times as much, and the C library opens a
    // file when one shrinks.
    if std::env::var("MALLOC_ARENA_MAX").as_deref() != Ok("1") {
        return Err(NotConfined(
            "MALLOC_ARENA_MAX is not 1 in its environment".to_owned(),
        ));
    }
    if !ocsp_child::only_three()? {
        return Err(NotConfined(
            "it holds other descriptors than 0, 1 and 2".to_owned(),
        ));
    }
    let folder = settings.credentials.as_deref().unwrap_or("/");
    let secrets: Vec<_> = settings
        .secrets()
        .map(|secret| match secret {
            Secret::File(path) => path.to_string(),
            Secret::Credential(name) => format!("{folder}/{}", &**name),
        })
        .collect();
    let closed: Vec<_> = secrets.iter().map(String::as_str).collect();
    ocsp_child::lock_in(&Bounds {
        identity: Identity {
            uid: settings.uid,
            gid: settings.gid,
            separated: settings.separated,
        },
        reach: Reach::default(),
        closed: &closed,
    })
}

/// With all its threads there: memory kept from the disk, and no system call but the listed ones. What comes back is how
/// well the memory is kept; an error, where that is required and not so.
pub fn enter_service(
    locked_in: LockedIn,
    require_mlock: bool,
) -> Result<Result<(), String>, NotConfined> {
    let kept = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).map_err(|error| {
        format!(
            "its memory cannot be kept from the disk: {error}: RLIMIT_MEMLOCK has to be unlimited (LimitMEMLOCK=infinity)"
        )
    });
    match kept {
        Err(error) if require_mlock => return Err(NotConfined(error)),
        Err(_) | Ok(()) => {}
    }
    locked_in.enter_service(&CALLS, Some(DESCRIPTORS))?;
    Ok(kept)
}
