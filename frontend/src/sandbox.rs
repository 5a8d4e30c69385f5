//! Locks the frontend in: after it has read its files and before it has a second thread, and again when it has all of
//! them.

use std::fs;
use std::path::Path;

use ocsp_child::calls::Call;
use ocsp_child::confine::NotConfined;
use ocsp_child::{Bounds, Identity, LockedIn, Reach, call};
use ocsp_frontend_settings::{Secret, Settings, SourceKind};

/// What the frontend asks of the kernel from the moment it serves: to talk on sockets, to wait, memory, time, random
/// numbers, to read files (which ones, Landlock says), and to end. It listens nowhere, starts nothing, and makes no
/// sockets but streams.
pub const CALLS: &[Call] = &[
    call!(SYS_accept4),
    call!(SYS_brk),
    call!(SYS_clock_gettime), // without vDSO only
    call!(SYS_clock_nanosleep),
    call!(SYS_close),
    call!(SYS_connect),
    call!(SYS_epoll_ctl),
    call!(SYS_epoll_pwait),
    #[cfg(target_arch = "x86_64")]
    call!(SYS_epoll_wait),
    call!(SYS_exit_group),
    call!(SYS_fcntl, ReadFlags), // by builds with debug assertions
    call!(SYS_fstat),
    call!(SYS_futex),
    call!(SYS_getpeername),
    call!(SYS_getpid), // OpenSSL asks before random numbers
    call!(SYS_getrandom),
    call!(SYS_getsockname),
    call!(SYS_getsockopt),
    call!(SYS_lseek),
    call!(SYS_madvise),
    call!(SYS_mmap, NotExecutable),
    call!(SYS_mprotect, NotExecutable),
    call!(SYS_mremap),
    call!(SYS_munmap),
    call!(SYS_newfstatat),
    call!(SYS_openat),
    call!(SYS_read),
    call!(SYS_recvfrom),
    call!(SYS_restart_syscall), // what a stopped process was waiting for, when it goes on
    call!(SYS_rt_sigprocmask), // glibc 2.41, at a thread's first random numbers by vDSO (Linux 6.11)
    call!(SYS_sendto),
    call!(SYS_setsockopt),
    call!(SYS_shutdown),
    call!(SYS_sigaltstack), // on the way out
    call!(SYS_socket, Stream),
    call!(SYS_statx),
    call!(SYS_write),
    call!(SYS_writev),
];

/// Capabilities, ids, files and connections: each given up, and then tried to regain. What it still reaches are the folders
/// of its sources, and the ports of its databases.
pub fn lock_in(settings: &Settings) -> Result<LockedIn, NotConfined> {
    let (mut read, mut connect, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    let folder = settings.credentials.as_deref().unwrap_or("/");
    for source in &settings.sources {
        match &source.kind {
            SourceKind::Index { file, certificates } => {
                // The folder, because the file is replaced by another one of its name; where it leads to, if it is a link.
                let file = fs::canonicalize(file).unwrap_or_else(|_| file.into());
                let folder = file.parent().unwrap_or(Path::new("/"));
                read.push(folder.to_string_lossy().into_owned());
                read.extend(certificates.clone());
            }
            SourceKind::Mysql(mysql) => {
                if mysql.socket.is_none() {
                    connect.extend(mysql.hosts.iter().map(|host| host.port));
                }
                closed.extend(mysql.password_file.as_ref().map(|password| match password {
                    Secret::File(path) => path.clone(),
                    Secret::Credential(name) => format!("{folder}/{name}"),
                }));
            }
        }
    }
    let closed: Vec<_> = closed.iter().map(String::as_str).collect();
    ocsp_child::lock_in(&Bounds {
        identity: Identity {
            uid: settings.uid,
            gid: settings.gid,
            separated: settings.separated,
        },
        reach: Reach {
            read: &read,
            connect: &connect,
        },
        closed: &closed,
    })
}

/// With all its threads there: no system call but the listed ones.
pub fn enter_service(locked_in: LockedIn) -> Result<(), NotConfined> {
    locked_in.enter_service(CALLS, None)
}
