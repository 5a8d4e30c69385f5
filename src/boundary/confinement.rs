//! What the kernel keeps the processes from: capabilities, no_new_privs, seccomp, Landlock, limits, dumps, swap.

use super::claim::Claim;
use super::facts::Facts;
use super::processes::{some_of, threads};
use crate::generation::Role;
use crate::proc::{Limit, Process, SETS, Thread};

pub fn claims(facts: &Facts) -> Vec<Claim> {
    let mut claims = vec![
        launcher_capabilities(facts),
        child_capabilities(facts, Role::Frontend),
        child_capabilities(facts, Role::Signer),
        user_namespace(facts),
        no_new_privs("launcher.no-new-privs", [&facts.launcher]),
        no_new_privs("frontend.no-new-privs", &facts.frontends),
        no_new_privs("signer.no-new-privs", &facts.signers),
        seccomp("launcher.seccomp", LAUNCHER_FILTERED, 1, [&facts.launcher]),
        seccomp("frontend.seccomp", CHILD_FILTERED, 2, &facts.frontends),
        seccomp("signer.seccomp", CHILD_FILTERED, 2, &facts.signers),
        launcher_undumpable(facts),
        undumpable(facts, Role::Frontend),
        undumpable(facts, Role::Signer),
        limits(facts, Role::Frontend),
        limits(facts, Role::Signer),
        memory(facts),
    ];
    claims.extend(landlock(facts));
    claims
}

/// The masks of CAP_KILL, CAP_SETGID and CAP_SETUID.
const KEPT: u64 = 1 << 5 | 1 << 6 | 1 << 7;

/// Capabilities in words.
fn named(mask: u64) -> String {
    if mask == 0 {
        return "none".to_owned();
    }
    let mut names: Vec<_> = caps::all()
        .into_iter()
        .filter(|capability| mask & capability.bitmask() != 0)
        .map(|capability| (capability.index(), capability.to_string()))
        .collect();
    names.sort_unstable();
    let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    match names.len() {
        0..=6 => names.join(" "),
        count => format!("{count} capabilities ({mask:#x})"),
    }
}

fn sets(thread: &Thread) -> impl Iterator<Item = (&'static str, u64)> {
    SETS.into_iter().zip(thread.capabilities)
}

fn launcher_capabilities(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "launcher.capabilities",
        "no thread has a capability but CAP_KILL, CAP_SETGID and CAP_SETUID; bounding, inheritable and ambient set are empty",
    );
    let launcher = &facts.launcher;
    claim.every_thread(launcher, |thread| {
        let too_many = sets(thread).find_map(|(set, mask)| {
            let allowed = if matches!(set, "CapPrm" | "CapEff") {
                KEPT
            } else {
                0
            };
            (mask & !allowed != 0).then_some((set, mask & !allowed))
        });
        too_many.map(|(set, mask)| format!("{set} holds {}", named(mask)))
    });
    let held = launcher.threads.first().map_or(0, |thread| {
        sets(thread).fold(0, |held, (_, mask)| held | mask)
    });
    let (who, held) = (launcher.who(), named(held));
    claim.saw(format_args!("{who}: {held}, {}", threads(launcher)));
    claim
}

fn child_capabilities(facts: &Facts, role: Role) -> Claim {
    let mut claim = Claim::new(
        match role {
            Role::Frontend => "frontend.capabilities",
            Role::Signer => "signer.capabilities",
        },
        "no thread has a capability, or can get one: all five sets are empty",
    );
    some_of(&mut claim, facts, role);
    for process in facts.of(role) {
        claim.every_thread(process, |thread| {
            let held: Vec<_> = sets(thread)
                .filter(|(_, mask)| *mask != 0)
                .map(|(set, mask)| format!("{set} holds {}", named(mask)))
                .collect();
            (!held.is_empty()).then(|| held.join(", "))
        });
        claim.saw(format_args!(
            "{}: none, {}",
            process.who(),
            threads(process)
        ));
    }
    claim
}

fn user_namespace(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "children.namespace",
        "the children are in the launcher's user namespace, in which their ids and capabilities count",
    );
    let expected = facts.launcher.user_namespace;
    for child in facts.children() {
        let (who, inode) = (child.who(), child.user_namespace.inode);
        claim.must(child.user_namespace == expected, || {
            format!(
                "{who}: user namespace {inode}, {} was expected",
                expected.inode
            )
        });
    }
    claim.saw(format_args!("user namespace {}", expected.inode));
    claim
}

fn no_new_privs<'a>(id: &'static str, all: impl IntoIterator<Item = &'a Process>) -> Claim {
    let sentence = "no thread can gain privileges by executing a program: no_new_privs is set";
    of_each(id, sentence, all, |claim, process| {
        claim.every_thread(process, |thread| {
            (!thread.no_new_privs).then(|| "NoNewPrivs is 0, 1 was expected".to_owned())
        });
        claim.saw(format_args!(
            "{}: NoNewPrivs 1, {}",
            process.who(),
            threads(process)
        ));
    })
}

/// A claim about each of some processes, of which there must be one.
fn of_each<'a>(
    id: &'static str,
    sentence: &'static str,
    all: impl IntoIterator<Item = &'a Process>,
    judge: impl Fn(&mut Claim, &Process),
) -> Claim {
    let mut claim = Claim::new(id, sentence);
    let mut any = false;
    for process in all {
        judge(&mut claim, process);
        any = true;
    }
    claim.must(any, || {
        "no such process runs under this launcher".to_owned()
    });
    claim
}

const LAUNCHER_FILTERED: &str =
    "every thread is under a seccomp filter, which the children inherit";
const CHILD_FILTERED: &str = "every thread is under two seccomp filters at least: the launcher's, and an allow list of its own";

fn seccomp<'a>(
    id: &'static str,
    sentence: &'static str,
    least: u32,
    all: impl IntoIterator<Item = &'a Process>,
) -> Claim {
    of_each(id, sentence, all, |claim, process| {
        claim.every_thread(process, |thread| {
            let filters = thread
                .filters
                .map_or("unknown".to_owned(), |filters| filters.to_string());
            // Kernels that do not count filters are taken at their word that there are some.
            let enough = thread.filters.is_none_or(|filters| filters >= least);
            (thread.seccomp != 2 || !enough).then(|| {
                let mode = thread.seccomp;
                format!("Seccomp {mode}, filters {filters}; 2 and {least} were expected")
            })
        });
        let filters = process
            .threads
            .iter()
            .filter_map(|thread| thread.filters)
            .min();
        let filters = filters.map_or("a number of".to_owned(), |filters| filters.to_string());
        let (who, threads) = (process.who(), threads(process));
        claim.saw(format_args!(
            "{who}: Seccomp 2, {filters} filters, {threads}"
        ));
    })
}

/// From outside a process's Landlock cannot be seen. What can: what this kernel enforces of it, for the very executable; and
/// that a child which serves has tried what must be denied, because else it would not.
fn landlock(facts: &Facts) -> Vec<Claim> {
    let abi = facts.landlock.as_ref().ok().and_then(|said| {
        let number = said.strip_prefix("Landlock ABI ")?.split(' ').next()?;
        number.parse::<u32>().ok()
    });
    [
        (
            "children.landlock",
            1,
            "this kernel's Landlock denies files: without it a child refuses to serve",
        ),
        (
            "children.landlock-tcp",
            4,
            "it denies connections over TCP, but to the ports of the frontend's databases",
        ),
        (
            "children.landlock-scopes",
            6,
            "it denies signals to other processes, and abstract sockets of theirs",
        ),
    ]
    .into_iter()
    .map(|(id, from, sentence)| {
        let mut claim = Claim::new(id, sentence);
        match (&facts.landlock, abi) {
            (Ok(said), Some(abi)) if abi >= from => claim.saw(said),
            (Ok(_), Some(abi)) if abi > 0 => {
                claim.cannot_be_told(format_args!("Landlock ABI {abi}, {from} has it"));
            }
            (Ok(said) | Err(said), _) => claim.must(false, || said.clone()),
        }
        claim
    })
    .collect()
}

const UNDUMPABLE: &str =
    "it leaves no core dump, and its own user cannot look into it: it is not dumpable";

fn launcher_undumpable(facts: &Facts) -> Claim {
    let mut claim = Claim::new("launcher.undumpable", UNDUMPABLE);
    claim.cannot_be_told(format_args!(
        "{} is root's, as what is in /proc of an undumpable process: it cannot be told from outside",
        facts.launcher.who()
    ));
    claim
}

fn undumpable(facts: &Facts, role: Role) -> Claim {
    let id = match role {
        Role::Frontend => "frontend.undumpable",
        Role::Signer => "signer.undumpable",
    };
    of_each(id, UNDUMPABLE, facts.of(role), |claim, process| {
        let (pid, owner) = (process.kin.pid, process.owner);
        claim.must(owner == 0, || {
            format!(
                "{}: /proc/{pid}/environ belongs to user {owner}, root was expected",
                process.who()
            )
        });
        claim.saw(format_args!(
            "{}: /proc/{pid}/environ belongs to root",
            process.who()
        ));
    })
}

fn limits(facts: &Facts, role: Role) -> Claim {
    let (id, sentence) = match role {
        Role::Frontend => (
            "frontend.limits",
            "it can dump no core, write no file, and start no process",
        ),
        Role::Signer => (
            "signer.limits",
            "it can dump no core, write no file, start no process, and open no descriptor beyond its three",
        ),
    };
    of_each(id, sentence, facts.of(role), |claim, process| {
        let limits = &process.limits;
        let mut expect = |name: &str, found: &Limit, most: &str| {
            claim.must(found.0 == most && found.1 == most, || {
                let (soft, hard) = found;
                format!(
                    "{}: {name} is {soft} (hard {hard}), {most} was expected",
                    process.who()
                )
            });
        };
        expect("RLIMIT_CORE", &limits.core, "0");
        expect("RLIMIT_FSIZE", &limits.file_size, "0");
        expect("RLIMIT_NPROC", &limits.processes, "0");
        if role == Role::Signer {
            expect("RLIMIT_NOFILE", &limits.descriptors, "3");
        }
        let descriptors = &limits.descriptors.0;
        claim.saw(format_args!(
            "{}: RLIMIT_CORE 0, RLIMIT_FSIZE 0, RLIMIT_NPROC 0, RLIMIT_NOFILE {descriptors}",
            process.who()
        ));
    })
}

fn memory(facts: &Facts) -> Claim {
    let sentence =
        "what is in the signer's memory reaches no disk: it is locked, or there is no swap for it";
    of_each(
        "signer.memory",
        sentence,
        &facts.signers,
        |claim, process| {
            let memory = &process.memory;
            let (who, locked, size) = (process.who(), memory.locked, memory.size);
            let (unlocked, writable) = (memory.unlocked, memory.writable);
            let all_locked = unlocked == 0 && locked > 0;
            let found = format!(
                "{who}: {locked} of {size} KiB are locked, {unlocked} of {writable} writable mappings are not"
            );
            let otherwise = if memory.swap_forbidden {
                "; its cgroup forbids swap"
            } else if facts.swaps {
                "; this machine has swap (/proc/swaps)"
            } else {
                "; this machine has no swap (/proc/swaps)"
            };
            claim.must(all_locked || memory.swap_forbidden || !facts.swaps, || {
                format!("{found}{otherwise}")
            });
            claim.saw(format_args!("{found}{otherwise}"));
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::claim::Outcome::{self, Failed, NotApplicable};
    use crate::boundary::facts::tests::sample;

    #[test]
    fn memory_that_can_be_swapped_out_fails() {
        let outcome = |locked, unlocked, swaps, swap_forbidden| {
            let mut facts = sample();
            facts.swaps = swaps;
            let memory = &mut facts.signers[0].memory;
            memory.locked = locked;
            memory.unlocked = unlocked;
            memory.swap_forbidden = swap_forbidden;
            super::memory(&facts).outcome()
        };
        assert_eq!(outcome(0, 9, true, false), Failed);
        assert_eq!(outcome(100, 1, true, false), Failed);
        assert_eq!(outcome(100, 0, true, false), Outcome::Ok);
        assert_eq!(outcome(0, 9, true, true), Outcome::Ok);
        assert_eq!(outcome(0, 9, false, false), Outcome::Ok);
    }

    #[test]
    fn one_thread_of_many_is_enough_to_fail() {
        let outcome = |judge: fn(&Facts) -> Claim, change: fn(&mut Thread)| {
            let mut facts = sample();
            for thread in &mut facts.signers[0].threads {
                thread.capabilities = [0; 5];
                (thread.no_new_privs, thread.seccomp, thread.filters) = (true, 2, Some(2));
            }
            let mut last = facts.signers[0].threads[0].clone();
            change(&mut last);
            facts.signers[0].threads.push(last);
            judge(&facts).outcome()
        };
        let capabilities = |facts: &Facts| child_capabilities(facts, Role::Signer);
        let privileges = |facts: &Facts| no_new_privs("signer.no-new-privs", &facts.signers);
        let filters = |facts: &Facts| seccomp("signer.seccomp", CHILD_FILTERED, 2, &facts.signers);
        for judge in [capabilities, privileges, filters] {
            assert_eq!(outcome(judge, |_| {}), Outcome::Ok);
        }
        assert_eq!(
            outcome(capabilities, |thread| thread.capabilities[3] = 1),
            Failed
        );
        assert_eq!(
            outcome(privileges, |thread| thread.no_new_privs = false),
            Failed
        );
        assert_eq!(outcome(filters, |thread| thread.seccomp = 1), Failed);
        assert_eq!(outcome(filters, |thread| thread.filters = Some(1)), Failed);
        // A kernel that does not count them.
        assert_eq!(
            outcome(filters, |thread| thread.filters = None),
            Outcome::Ok
        );
    }

    #[test]
    fn the_launcher_may_have_three_capabilities_in_two_sets() {
        let outcome = |capabilities: [u64; 5]| -> Outcome {
            let mut facts = sample();
            for thread in &mut facts.launcher.threads {
                thread.capabilities = capabilities;
            }
            launcher_capabilities(&facts).outcome()
        };
        assert_eq!(outcome([0, KEPT, KEPT, 0, 0]), Outcome::Ok);
        assert_eq!(outcome([0, KEPT | 1, KEPT, 0, 0]), Failed);
        assert_eq!(outcome([0, KEPT, KEPT, KEPT, 0]), Failed);
        assert_eq!(named(KEPT), "CAP_KILL CAP_SETGID CAP_SETUID");
    }

    #[test]
    fn a_role_without_a_process_fails() {
        let mut facts = sample();
        facts.signers.clear();
        assert_eq!(super::memory(&facts).outcome(), Failed);
        assert_eq!(child_capabilities(&facts, Role::Signer).outcome(), Failed);
    }

    #[test]
    fn landlock_is_told_by_the_executable_and_judged_by_its_number() {
        let outcomes = |landlock: Result<&str, &str>| {
            let mut facts = sample();
            facts.landlock = landlock.map(str::to_owned).map_err(str::to_owned);
            landlock_of(&facts)
        };
        let (ok, untold) = (Outcome::Ok, NotApplicable);
        assert_eq!(outcomes(Ok("Landlock ABI 7 (files, TCP)")), [ok, ok, ok]);
        assert_eq!(outcomes(Ok("Landlock ABI 2 (files)")), [ok, untold, untold]);
        assert_eq!(outcomes(Err("this kernel has no Landlock")), [Failed; 3]);
        assert_eq!(outcomes(Ok("nonsense")), [Failed; 3]);
    }

    fn landlock_of(facts: &Facts) -> Vec<Outcome> {
        landlock(facts).iter().map(Claim::outcome).collect()
    }
}
