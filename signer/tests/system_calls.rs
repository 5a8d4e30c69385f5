//! What the signer may ask of the kernel is a list in the tree, and everything else ends it.

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
    let readable = i64::from(libc::PROT_READ);
    calls::holds(
        &ocsp_signer::sandbox::CALLS,
        include_str!("../system-calls.txt"),
        env!("CARGO_BIN_EXE_ocsp-signer"),
        &[
            [libc::SYS_mmap, 0, 4096, executable],
            [libc::SYS_mprotect, 0, 4096, executable],
        ],
        &[
            [libc::SYS_mmap, 0, 4096, readable],
            [libc::SYS_mprotect, 0, 4096, readable],
            [libc::SYS_getpid, 0, 0, 0],
        ],
    );
}
