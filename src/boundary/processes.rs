//! Who the processes are: users, families, what they were started with.

use super::claim::Claim;
use super::facts::Facts;
use crate::config::User;
use crate::generation::Role;
use crate::proc::{Kin, Process};

pub fn claims(facts: &Facts) -> Vec<Claim> {
    vec![
        launcher_users(facts),
        child_users(facts, Role::Frontend),
        child_users(facts, Role::Signer),
        two_users(facts),
        alone(facts),
        family(facts),
        no_descendants(facts),
        environment(facts, Role::Frontend),
        environment(facts, Role::Signer),
    ]
}

/// What is said where a role has no process.
pub fn some_of(claim: &mut Claim, facts: &Facts, role: Role) {
    claim.must(!facts.of(role).is_empty(), || {
        format!("no {} runs under this launcher", role.name())
    });
}

fn is_throughout(ids: &[u32], id: u32) -> bool {
    ids.len() == 4 && ids.iter().all(|found| *found == id)
}

fn launcher_users(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "launcher.users",
        "every thread is root: real, effective, saved and file system user",
    );
    let launcher = &facts.launcher;
    claim.every_thread(launcher, |thread| {
        let users = &thread.users;
        (!is_throughout(users, 0)).then(|| {
            format!(
                "users {users:?}, root was expected: started otherwise, users are not separated"
            )
        })
    });
    claim.saw(format_args!(
        "{}: user 0, {}",
        launcher.who(),
        threads(launcher)
    ));
    claim
}

/// How many threads a process has, in words.
pub fn threads(process: &Process) -> String {
    match process.threads.len() {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    }
}

fn configured(facts: &Facts, role: Role) -> &User {
    match role {
        Role::Frontend => &facts.users.frontend,
        Role::Signer => &facts.users.signer,
    }
}

fn child_users(facts: &Facts, role: Role) -> Claim {
    let mut claim = Claim::new(
        match role {
            Role::Frontend => "frontend.users",
            Role::Signer => "signer.users",
        },
        "every thread has the configured user and group, four times each, and no supplementary group",
    );
    let User { uid, gid, .. } = *configured(facts, role);
    some_of(&mut claim, facts, role);
    for process in facts.of(role) {
        claim.every_thread(process, |thread| {
            let (users, groups) = (&thread.users, &thread.groups);
            (!is_throughout(users, uid) || !is_throughout(groups, gid)).then(|| {
                format!("users {users:?} and groups {groups:?}, {uid} and {gid} were expected")
            })
        });
        claim.every_thread(process, |thread| {
            let groups = &thread.supplementary;
            (!groups.is_empty())
                .then(|| format!("supplementary groups {groups:?}, none was expected"))
        });
        let (who, threads) = (process.who(), threads(process));
        claim.saw(format_args!("{who}: user {uid}, group {gid}, {threads}"));
    }
    claim
}

/// Of the processes, whatever the configuration says.
fn two_users(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "children.two-users",
        "frontend and signer share no user and no group, and neither is root",
    );
    let ids = |role| {
        let threads = facts.of(role).iter().flat_map(|process| &process.threads);
        let ids = threads.map(|thread| (thread.users.clone(), thread.groups.clone()));
        let (users, groups): (Vec<_>, Vec<_>) = ids.unzip();
        let sorted = |ids: Vec<Vec<u32>>| {
            let mut ids = ids.concat();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        (sorted(users), sorted(groups))
    };
    let (frontend, signer) = (ids(Role::Frontend), ids(Role::Signer));
    for (what, one, other) in [
        ("user", &frontend.0, &signer.0),
        ("group", &frontend.1, &signer.1),
    ] {
        for id in one.iter().filter(|id| other.contains(id)) {
            claim.wrong(format_args!("frontend and signer both have {what} {id}"));
        }
        for (name, ids) in [("frontend", one), ("signer", other)] {
            claim.must(!ids.contains(&0), || format!("a {name} has {what} 0"));
        }
    }
    some_of(&mut claim, facts, Role::Frontend);
    some_of(&mut claim, facts, Role::Signer);
    for (name, (users, groups)) in [("frontend", frontend), ("signer", signer)] {
        claim.saw(format_args!("{name}: users {users:?}, groups {groups:?}"));
    }
    claim
}

fn alone(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "signer.alone",
        "no other process runs under the signer's user",
    );
    let uid = facts.users.signer.uid;
    let not_signers = facts
        .frontends
        .iter()
        .chain([&facts.launcher])
        .map(|process| &process.kin);
    for kin in facts.others.iter().chain(not_signers) {
        claim.must(!kin.users.contains(&uid), || {
            format!(
                "{}[{}] runs as user {uid} and is no signer of this launcher",
                kin.name, kin.pid
            )
        });
    }
    let others = facts.others.len();
    claim.saw(format_args!(
        "user {uid}: none of {others} other processes of this machine"
    ));
    claim
}

fn family(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "launcher.children",
        "its children are frontends and signers and nothing else, each in a process group of its own",
    );
    for Kin { pid, name, .. } in below(facts, &facts.launcher) {
        claim.wrong(format_args!(
            "{name}[{pid}] is a child of the launcher as well"
        ));
    }
    for child in facts.children() {
        let (who, group) = (child.who(), child.kin.group);
        claim.must(group == child.kin.pid, || {
            format!("{who} is in process group {group}, its own was expected")
        });
        claim.saw(format_args!(
            "{who}: parent {}, group {group}",
            child.kin.parent
        ));
    }
    claim
}

fn no_descendants(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "children.childless",
        "neither frontend nor signer has started a process",
    );
    for child in facts.children() {
        for Kin { pid, name, .. } in below(facts, child) {
            claim.wrong(format_args!("{name}[{pid}] is a child of {}", child.who()));
        }
        claim.saw(format_args!("{}: no child", child.who()));
    }
    claim
}

/// Children of a process that are neither frontend nor signer of this launcher. The dead that are not reaped yet are
/// none.
fn below<'a>(facts: &'a Facts, parent: &Process) -> impl Iterator<Item = &'a Kin> {
    let pid = parent.kin.pid;
    let children = facts.others.iter().filter(move |kin| kin.parent == pid);
    children.filter(|kin| kin.state != 'Z')
}

fn environment(facts: &Facts, role: Role) -> Claim {
    let mut claim = Claim::new(
        match role {
            Role::Frontend => "frontend.environment",
            Role::Signer => "signer.environment",
        },
        "its environment says nothing (a signer's: MALLOC_ARENA_MAX=1 at most), and its folder is /",
    );
    some_of(&mut claim, facts, role);
    for process in facts.of(role) {
        let (who, found) = (process.who(), &process.environment);
        let arena = role == Role::Signer && found == b"MALLOC_ARENA_MAX=1\0";
        claim.must(found.is_empty() || arena, || {
            format!(
                "{who}: an environment of {} octets, none was expected",
                found.len()
            )
        });
        let folder = process.folder.display();
        claim.must(process.folder.as_os_str() == "/", || {
            format!("{who}: its folder is {folder}, / was expected")
        });
        let environment = if arena { "MALLOC_ARENA_MAX=1" } else { "empty" };
        claim.saw(format_args!(
            "{who}: environment {environment}, folder {folder}"
        ));
    }
    claim
}
