//! What the frontend may ask of the kernel is a list in the tree, and everything else ends it.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../tests/harness/calls.rs"]
mod calls;
#[path = "../../tests/harness/folder.rs"]
#[allow(dead_code)] // a part of it is used
mod folder;

use nix::libc;

#[test]
fn a_call_that_is_not_on_the_list_ends_the_process() {
    let executable = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    let socket = |family: i32, kind: i32| [libc::SYS_socket, family.into(), kind.into(), 0];
    calls::holds(
        ocsp_frontend::sandbox::CALLS,
        include_str!("../system-calls.txt"),
        env!("CARGO_BIN_EXE_ocsp-frontend"),
        &[
            [libc::SYS_mmap, 0, 4096, executable],
            [libc::SYS_mprotect, 0, 4096, executable],
            [libc::SYS_fcntl, 0, libc::F_DUPFD.into(), 0],
            [libc::SYS_fcntl, 0, libc::F_SETFL.into(), 0],
            socket(libc::AF_NETLINK, libc::SOCK_RAW),
            socket(libc::AF_PACKET, libc::SOCK_RAW),
            socket(libc::AF_INET, libc::SOCK_DGRAM),
            socket(libc::AF_INET6, libc::SOCK_RAW | libc::SOCK_CLOEXEC),
            socket(libc::AF_UNIX, libc::SOCK_DGRAM),
        ],
        &[
            [libc::SYS_fcntl, 0, libc::F_GETFL.into(), 0],
            socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK),
            socket(libc::AF_INET, libc::SOCK_STREAM),
            socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_CLOEXEC),
        ],
    );
}
