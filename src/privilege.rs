//! What the launcher gives up, in the order that the kernel forces: it runs before the first child, on the one thread.

use std::collections::HashSet;

use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Uid;

use crate::deny;
use crate::exit::{Failure, Reason};

/// What the launcher keeps for its life: ending children, and becoming their users.
const KEPT: [Capability; 3] = [
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// Whether the children get users of their own: only root can do that.
pub fn separated() -> bool {
    Uid::effective().is_root()
}

/// First of all: no core dump, limits raised for the children, calls denied that none of them needs, and, as root, an empty
/// bounding set and no capability but the three and the one to bind ports below 1024.
pub fn shed() -> Result<(), Failure> {
    prctl::set_dumpable(false).map_err(Failure::environment(
        "the launcher cannot be made undumpable",
    ))?;
    raise_limits();
    deny::enforce()?;
    if !separated() {
        return Ok(());
    }
    caps::clear(None, CapSet::Bounding).map_err(Failure::environment(
        "the capability bounding set cannot be emptied (CAP_SETPCAP is needed at start)",
    ))?;
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).map_err(Failure::environment(
            "inherited capabilities cannot be given up",
        ))?;
    }
    keep(
        &KEPT
            .into_iter()
            .chain([Capability::CAP_NET_BIND_SERVICE])
            .collect(),
    )
}

/// After the listening sockets are bound.
pub fn shed_binding() -> Result<(), Failure> {
    if separated() {
        keep(&KEPT.into_iter().collect())
    } else {
        Ok(())
    }
}

/// Keeps what is both wanted and held: a unit may have given us less than we would keep.
fn keep(wanted: &HashSet<Capability>) -> Result<(), Failure> {
    let held = caps::read(None, CapSet::Permitted)
        .map_err(Failure::environment("capabilities cannot be read"))?;
    let kept = held.intersection(wanted).copied().collect();
    if let Some(missing) = KEPT.iter().find(|needed| !held.contains(needed)) {
        return Err(Failure::new(
            Reason::Environment,
            format_args!("root lacks {missing}, which the launcher needs to lead its children"),
        ));
    }
    // Effective first: nothing can be effective that is no longer permitted.
    caps::set(None, CapSet::Effective, &kept)
        .map_err(Failure::environment("capabilities cannot be given up"))?;
    caps::set(None, CapSet::Permitted, &kept)
        .map_err(Failure::environment("capabilities cannot be given up"))
}

/// How many descriptors a child may open.
pub fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(now, _)| now)
}

/// Descriptors for connections, and memory that may be locked. Best effort: a container may hold the limits down, and
/// what then does not suffice says so where it is used.
fn raise_limits() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let _ = setrlimit(Resource::RLIMIT_NOFILE, 1 << 20, 1 << 20);
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
