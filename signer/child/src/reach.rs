//! What a child may still reach by name, enforced by the kernel's Landlock: for the signer nothing at all, for the
//! frontend the folders of its sources to read and the ports of its databases to connect to. It binds one thread and the
//! threads that this one makes later, so it comes before all others.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope,
};

/// The newest Landlock whose every restriction is used where the kernel has it; 1 is required.
const NEWEST: ABI = ABI::V6;

/// What is left; everything else is denied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reach<'a> {
    /// Folders below which files may be read. One that is not there is left out.
    pub read: &'a [String],
    /// TCP ports that may be connected to.
    pub connect: &'a [u16],
}

/// What the running kernel enforces of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landlock {
    /// The version of its interface: files from 1 on.
    pub abi: i32,
}

impl Landlock {
    /// Whether connections over TCP are denied.
    pub fn tcp(self) -> bool {
        self.abi >= 4
    }

    /// Whether signals to other processes, and abstract sockets of theirs, are denied.
    pub fn scopes(self) -> bool {
        self.abi >= 6
    }
}

impl std::fmt::Display for Landlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let also = match (self.tcp(), self.scopes()) {
            (true, true) => ", TCP, signals, abstract sockets",
            (true, false) => ", TCP",
            (false, _) => "",
        };
        write!(f, "Landlock ABI {} (files{also})", self.abi)
    }
}

/// Restricts this thread. The error says what the kernel lacks.
pub fn restrict(reach: Reach<'_>) -> Result<Landlock, String> {
    let failed = |error: RulesetError| format!("Landlock: {error}");
    // No part of it is required here, so that older kernels give what they have; what is required is looked at below.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    for folder in reach.read {
        match PathFd::new(folder) {
            Ok(opened) => {
                let rule = PathBeneath::new(opened, AccessFs::ReadFile | AccessFs::ReadDir);
                ruleset = ruleset.add_rule(rule).map_err(failed)?;
            }
            Err(PathFdError::OpenCall { .. }) => {}
            Err(error) => return Err(format!("Landlock: {folder}: {error}")),
        }
    }
    for port in reach.connect {
        let rule = NetPort::new(*port, AccessNet::ConnectTcp);
        ruleset = ruleset.add_rule(rule).map_err(failed)?;
    }
    let done = ruleset.restrict_self().map_err(failed)?;
    let abi = match done.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled => {
            return Err(
                "Landlock is built into this kernel, but not enabled (lsm= on its command line)"
                    .to_owned(),
            );
        }
        LandlockStatus::NotImplemented => {
            return Err("this kernel has no Landlock, 5.13 or newer was expected".to_owned());
        }
    };
    if done.ruleset == RulesetStatus::NotEnforced || !done.no_new_privs {
        return Err(format!("Landlock ABI {abi} does not take hold"));
    }
    Ok(Landlock { abi })
}
