//! Which system calls a child may make once it serves: a short list, on all its threads, for the rest of its life. A call
//! that is not on it ends the process, and the launcher ends its peer with it (`SIGSYS`). A call that is newer than
//! anything known here gets `ENOSYS`, as from an older kernel: a C library that learns of it falls back, instead of
//! taking the service down.

use std::collections::BTreeMap;
use std::fmt;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads, sock_filter,
};

/// An allowed call, and with which arguments.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// With which arguments.
    pub only: Only,
}

/// Which arguments a call may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Any.
    Any,
    /// Memory that cannot be executed: the third argument lacks `PROT_EXEC`.
    NotExecutable,
    /// To read a descriptor's flags: the second argument is `F_GETFD` or `F_GETFL`.
    ReadFlags,
    /// A stream socket of the families unix, inet, inet6.
    Stream,
}

/// A [`Call`], by its constant in libc.
#[macro_export]
macro_rules! call {
    ($number:ident) => {
        $crate::call!($number, Any)
    };
    ($number:ident, $only:ident) => {
        $crate::calls::Call {
            name: stringify!($number),
            number: $crate::calls::libc_numbers::$number,
            only: $crate::calls::Only::$only,
        }
    };
}

/// The constants that [`call!`] names.
pub mod libc_numbers {
    pub use nix::libc::*;
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.trim_start_matches("SYS_");
        match self.only {
            Only::Any => write!(f, "{name}"),
            Only::NotExecutable => write!(f, "{name} (not executable)"),
            Only::ReadFlags => write!(f, "{name} (F_GETFD, F_GETFL)"),
            Only::Stream => write!(f, "{name} (unix, inet, inet6; stream)"),
        }
    }
}

/// The newest call that is known here. Numbers are one sequence for all architectures since 424.
const NEWEST: u32 = libc::SYS_mseal as u32;

/// Of an x86-64 process, the calls of another convention (x32): known, and never allowed.
const OTHER_CONVENTION: u32 = 0x4000_0000;

/// The filter as the kernel takes it.
pub fn program(calls: &[Call]) -> Result<BpfProgram, String> {
    let listed = listed(calls).map_err(|error| format!("the list of system calls: {error}"))?;
    // Ahead of the list, by number only: what is unknown here. (Load; jump over the next when not newer, and over both
    // when it is of the other convention, which the list then ends.)
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
            2,
            0,
            OTHER_CONVENTION,
        ),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, NEWEST),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
    ];
    program.extend(listed);
    Ok(program)
}

fn statement(code: u32, when: u8, otherwise: u8, value: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: when,
        jf: otherwise,
        k: value,
    }
}

fn listed(calls: &[Call]) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for call in calls {
        rules.insert(call.number, call.only.rules()?);
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        architecture,
    )?
    .try_into()
}

impl Only {
    /// Any of these; none means that there is nothing to look at.
    fn rules(self) -> Result<Vec<SeccompRule>, BackendError> {
        let argument = |place, operator, value: i32| {
            let value = u64::try_from(value).unwrap_or(u64::MAX);
            SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value)
        };
        match self {
            Self::Any => Ok(Vec::new()),
            Self::NotExecutable => {
                let executable = u64::try_from(libc::PROT_EXEC).unwrap_or(u64::MAX);
                let without = argument(2, SeccompCmpOp::MaskedEq(executable), 0)?;
                Ok(vec![SeccompRule::new(vec![without])?])
            }
            Self::ReadFlags => [libc::F_GETFD, libc::F_GETFL]
                .into_iter()
                .map(|command| SeccompRule::new(vec![argument(1, SeccompCmpOp::Eq, command)?]))
                .collect(),
            Self::Stream => [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]
                .into_iter()
                .map(|family| {
                    SeccompRule::new(vec![
                        argument(0, SeccompCmpOp::Eq, family)?,
                        // The kind, without the flags that may stand beside it.
                        argument(1, SeccompCmpOp::MaskedEq(0xf), libc::SOCK_STREAM)?,
                    ])
                })
                .collect(),
        }
    }
}

/// Puts the filter on every thread of this process. There is no way back.
pub fn enforce(calls: &[Call]) -> Result<(), String> {
    let program = program(calls)?;
    apply_filter_all_threads(&program)
        .map_err(|error| format!("the list of system calls cannot be enforced: {error}"))
}
