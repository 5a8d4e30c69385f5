//! What no process of this service ever needs of the kernel: a list that the launcher puts on itself before it does
//! anything, and that every child inherits beneath its own, shorter list. A call on it is answered with EPERM.

use std::collections::BTreeMap;

use nix::libc;
use ocsp_child::call;
use ocsp_child::calls::Call;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::exit::Failure;

/// Other processes' memory and descriptors, mounts and namespaces, kernel modules and programs, keys, clocks.
pub const CALLS: &[Call] = &[
    call!(SYS_acct),
    call!(SYS_add_key),
    call!(SYS_adjtimex),
    call!(SYS_bpf),
    call!(SYS_chroot),
    call!(SYS_clock_adjtime),
    call!(SYS_clock_settime),
    call!(SYS_delete_module),
    call!(SYS_finit_module),
    call!(SYS_fsconfig),
    call!(SYS_fsmount),
    call!(SYS_fsopen),
    call!(SYS_fspick),
    call!(SYS_init_module),
    call!(SYS_io_uring_enter),
    call!(SYS_io_uring_register),
    call!(SYS_io_uring_setup),
    call!(SYS_kcmp),
    call!(SYS_kexec_file_load),
    call!(SYS_kexec_load),
    call!(SYS_keyctl),
    call!(SYS_mount),
    call!(SYS_mount_setattr),
    call!(SYS_move_mount),
    call!(SYS_name_to_handle_at),
    call!(SYS_open_by_handle_at),
    call!(SYS_open_tree),
    call!(SYS_perf_event_open),
    call!(SYS_pidfd_getfd),
    call!(SYS_pivot_root),
    call!(SYS_process_madvise),
    call!(SYS_process_vm_readv),
    call!(SYS_process_vm_writev),
    call!(SYS_ptrace),
    call!(SYS_quotactl),
    call!(SYS_reboot),
    call!(SYS_request_key),
    call!(SYS_setns),
    call!(SYS_settimeofday),
    call!(SYS_swapoff),
    call!(SYS_swapon),
    call!(SYS_umount2),
    call!(SYS_unshare),
    call!(SYS_userfaultfd),
];

/// Denies them to this process and all it starts. It sets no_new_privs as well, which the kernel asks for.
pub fn enforce() -> Result<(), Failure> {
    let rules = CALLS.iter().map(|call| (call.number, Vec::new()));
    let rules: BTreeMap<_, _> = rules.collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let program: BpfProgram = TargetArch::try_from(std::env::consts::ARCH)
        .and_then(|architecture| {
            SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)?.try_into()
        })
        .map_err(Failure::environment(
            "the launcher's list of denied system calls",
        ))?;
    apply_filter(&program).map_err(Failure::environment(
        "the launcher's list of denied system calls cannot be enforced",
    ))
}
