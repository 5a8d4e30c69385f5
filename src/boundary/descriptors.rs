//! What the processes hold, and who else holds it. Descriptors are judged by kind, without help; who is connected with
//! whom takes the kernel's pairing of Unix sockets.

use std::collections::BTreeMap;
use std::path::Path;

use super::claim::Claim;
use super::facts::Facts;
use super::processes::some_of;
use crate::generation::Role;
use crate::proc::{Descriptor, Holder, Kind, Process};
use crate::unix_diag::Table;

pub fn claims(facts: &Facts) -> Vec<Claim> {
    vec![
        boundary(facts),
        channels(facts),
        signer(facts),
        frontend(facts),
        launcher(facts),
    ]
}

/// Whether it is a Unix socket. Kernels before 5.14 do not say of which type.
fn is_unix(kind: &Kind) -> bool {
    matches!(kind, Kind::Socket { protocol, .. } if matches!(&**protocol, "UNIX-STREAM" | "UNIX"))
}

/// A descriptor in words.
fn told(open: &Descriptor) -> String {
    let Descriptor {
        number, to, kind, ..
    } = open;
    match kind {
        Kind::Socket { protocol, .. } if protocol.is_empty() => {
            format!("{number} is {to} of an unknown protocol")
        }
        Kind::Socket { protocol, .. } => format!("{number} is {to} ({protocol})"),
        Kind::Pipe { read_end: true } => format!("{number} is the read end of {to}"),
        Kind::Pipe { read_end: false } => format!("{number} is the write end of {to}"),
        Kind::Anonymous(_) | Kind::File | Kind::Other => format!("{number} is {to}"),
    }
}

/// The other end of a Unix socket.
fn peer(table: &Table, open: Option<&Descriptor>) -> Option<u64> {
    table.get(&open?.socket()?)?.peer
}

/// Whether a socket or pipe is held by exactly these; what is said if not names who holds it.
fn held_by(claim: &mut Claim, facts: &Facts, what: &str, to: &str, expected: &[Holder]) {
    let held = facts.holders.of(to);
    let is_expected =
        held.len() == expected.len() && expected.iter().all(|holder| held.contains(holder));
    claim.must(is_expected, || {
        let named = |holders: &[Holder]| {
            let named = holders.iter().map(|holder| {
                format!(
                    "{} as descriptor {}",
                    facts.name_of(holder.pid),
                    holder.number
                )
            });
            let named = named.collect::<Vec<_>>().join(", ");
            if named.is_empty() {
                "nobody".to_owned()
            } else {
                named
            }
        };
        let (held, expected) = (named(&held), named(expected));
        format!("{what} ({to}) is held by {held}; {expected} was expected, and nobody else")
    });
}

fn holder(process: &Process, number: u32) -> Holder {
    Holder {
        pid: process.kin.pid,
        number,
    }
}

fn boundary(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "boundary.socket",
        "each frontend shares one socketpair with one signer, descriptor 1 of both, and nobody else on this machine holds an end",
    );
    let table = match &facts.unix {
        Ok(table) => table,
        Err(why) => {
            claim.cannot_be_told(why);
            return claim;
        }
    };
    some_of(&mut claim, facts, Role::Frontend);
    some_of(&mut claim, facts, Role::Signer);
    let mut partners: BTreeMap<u32, u32> = BTreeMap::new();
    for frontend in &facts.frontends {
        let (who, ours) = (frontend.who(), frontend.descriptor(1));
        let theirs = peer(table, ours);
        let signer = facts.signers.iter().find(|signer| {
            theirs.is_some() && signer.descriptor(1).and_then(Descriptor::socket) == theirs
        });
        let (Some(ours), Some(theirs), Some(signer)) = (ours, theirs, signer) else {
            claim.wrong(format_args!(
                "{who}: its descriptor 1 is connected with descriptor 1 of no signer"
            ));
            continue;
        };
        *partners.entry(signer.kin.pid).or_default() += 1;
        let theirs = format!("socket:[{theirs}]");
        let end = format!("{who}'s end of the boundary");
        // Under several numbers, for all we care, but in this process only.
        let mut held = facts.holders.of(&ours.to);
        held.retain(|held| held.pid == frontend.kin.pid);
        held_by(&mut claim, facts, &end, &ours.to, &held);
        let end = format!("{}'s end of the boundary", signer.who());
        held_by(&mut claim, facts, &end, &theirs, &[holder(signer, 1)]);
        let (to, other) = (&ours.to, signer.who());
        claim.saw(format_args!(
            "{who} descriptor 1 ({to}) and {other} descriptor 1 ({theirs}), held by nobody else of {} processes",
            facts.holders.looked_at
        ));
    }
    for signer in &facts.signers {
        let count = partners.get(&signer.kin.pid).copied().unwrap_or_default();
        claim.must(count == 1, || {
            format!(
                "{} is connected with {count} frontends, one was expected",
                signer.who()
            )
        });
    }
    shared_otherwise(&mut claim, facts, table);
    for pid in &facts.holders.unreadable {
        claim.wrong(format_args!(
            "the descriptors of {} cannot be read",
            facts.name_of(*pid)
        ));
    }
    claim
}

/// Whatever else leads from a frontend to a signer: a second connection, or the same socket or pipe in both.
fn shared_otherwise(claim: &mut Claim, facts: &Facts, table: &Table) {
    for frontend in &facts.frontends {
        for signer in &facts.signers {
            for ours in &frontend.descriptors {
                for theirs in &signer.descriptors {
                    let connected =
                        theirs.socket().is_some() && peer(table, Some(ours)) == theirs.socket();
                    let same = ours.file == theirs.file;
                    let (one, other) = (ours.number, theirs.number);
                    let copy = frontend.descriptor(1).is_some_and(|end| end.to == ours.to);
                    claim.must(!same && (!connected || (copy && other == 1)), || {
                        let (frontend, signer) = (frontend.who(), signer.who());
                        format!(
                            "descriptor {one} of {frontend} leads to descriptor {other} of {signer}"
                        )
                    });
                }
            }
        }
    }
}

fn channels(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "children.channels",
        "control socket (descriptor 0) and log pipe (descriptor 2) of each child lead to the launcher and to nobody else",
    );
    let table = match &facts.unix {
        Ok(table) => table,
        Err(why) => {
            claim.cannot_be_told(why);
            return claim;
        }
    };
    let launcher = &facts.launcher;
    for child in facts.children() {
        let who = child.who();
        let control = child.descriptor(0);
        let theirs = peer(table, control).map(|peer| format!("socket:[{peer}]"));
        let at_launcher = launcher
            .descriptors
            .iter()
            .find(|open| Some(&open.to) == theirs.as_ref());
        match (control, at_launcher) {
            (Some(control), Some(at_launcher)) => {
                let end = format!("{who}'s end of its control socket");
                held_by(&mut claim, facts, &end, &control.to, &[holder(child, 0)]);
                let end = format!("the launcher's end of {who}'s control socket");
                let expected = [holder(launcher, at_launcher.number)];
                held_by(&mut claim, facts, &end, &at_launcher.to, &expected);
            }
            _ => claim.wrong(format_args!(
                "{who}: its descriptor 0 is not connected with the launcher"
            )),
        }
        let pipe = child.descriptor(2);
        let at_launcher =
            pipe.and_then(|pipe| launcher.descriptors.iter().find(|open| reads(open, pipe)));
        match (pipe, at_launcher) {
            (Some(pipe), Some(at_launcher)) => {
                let expected = [holder(child, 2), holder(launcher, at_launcher.number)];
                held_by(
                    &mut claim,
                    facts,
                    &format!("{who}'s log pipe"),
                    &pipe.to,
                    &expected,
                );
            }
            _ => claim.wrong(format_args!(
                "{who}: its descriptor 2 is no pipe that the launcher reads"
            )),
        }
        if let (Some(control), Some(pipe)) = (control, pipe) {
            claim.saw(format_args!(
                "{who}: control {}, log {}",
                control.to, pipe.to
            ));
        }
    }
    claim
}

/// Whether this is the end at which what is written to that pipe is read.
fn reads(end: &Descriptor, pipe: &Descriptor) -> bool {
    end.kind == Kind::Pipe { read_end: true } && end.to == pipe.to
}

/// What is wrong with the descriptors that every child is started with.
fn first_three(claim: &mut Claim, facts: &Facts, process: &Process) {
    let who = process.who();
    for number in 0..3 {
        if process.descriptor(number).is_none() {
            claim.wrong(format_args!("{who}: descriptor {number} is closed"));
        }
    }
    for open in process.descriptors.iter().filter(|open| open.number < 3) {
        let (holds, expected) = match open.number {
            0 => (
                is_stream(facts, open),
                "a Unix stream socket, the control socket,",
            ),
            1 => (
                is_stream(facts, open),
                "a Unix stream socket, the boundary,",
            ),
            _ => (
                open.kind == Kind::Pipe { read_end: false },
                "the write end of a pipe, the log,",
            ),
        };
        claim.must(holds, || {
            format!("{who}: descriptor {}; {expected} was expected", told(open))
        });
    }
}

/// Whether it is a Unix stream socket. By the table as well, where an older kernel does not say it at the descriptor.
fn is_stream(facts: &Facts, open: &Descriptor) -> bool {
    let known = facts.unix.as_ref().ok().zip(open.socket());
    let stream = known
        .and_then(|(table, socket)| table.get(&socket))
        .is_none_or(|found| found.stream);
    is_unix(&open.kind) && stream
}

fn signer(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "signer.descriptors",
        "it holds control socket, boundary and log pipe as 0, 1 and 2, nothing else, and no network socket",
    );
    some_of(&mut claim, facts, Role::Signer);
    for process in &facts.signers {
        let who = process.who();
        first_three(&mut claim, facts, process);
        for open in process.descriptors.iter().filter(|open| open.number > 2) {
            claim.wrong(format_args!(
                "{who}: descriptor {}, none above 2 was expected",
                told(open)
            ));
        }
        let all: Vec<_> = process.descriptors.iter().map(told).collect();
        claim.saw(format_args!("{who}: {}", all.join(", ")));
    }
    claim
}

fn frontend(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "frontend.descriptors",
        "beside the three it holds listening sockets that are the launcher's, connections, the runtime's own, and no file but a source's",
    );
    some_of(&mut claim, facts, Role::Frontend);
    for process in &facts.frontends {
        let who = process.who();
        first_three(&mut claim, facts, process);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for open in process.descriptors.iter().filter(|open| open.number > 2) {
            match of_frontend(facts, open) {
                Ok(what) => *counts.entry(what).or_default() += 1,
                Err(wrong) => claim.wrong(format_args!("{who}: {wrong}")),
            }
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|(what, count)| format!("{what} ({count})"))
            .collect();
        claim.saw(format_args!("{who}: 0, 1, 2, and {}", counts.join(", ")));
    }
    claim
}

/// What a descriptor of a frontend above 2 is, or what is wrong with it.
fn of_frontend(facts: &Facts, open: &Descriptor) -> Result<String, String> {
    let descriptor = format!("descriptor {}", told(open));
    match &open.kind {
        Kind::Socket { .. } if listens(facts, open).is_some() => {
            let shared = facts
                .launcher
                .descriptors
                .iter()
                .any(|held| held.to == open.to);
            let name = listens(facts, open).unwrap_or_default();
            if shared {
                Ok(format!("listening on {name}"))
            } else {
                Err(format!(
                    "{descriptor}, which listens on {name} and is none of the launcher's"
                ))
            }
        }
        Kind::Socket { protocol, .. } if matches!(&**protocol, "TCP" | "TCPv6") => {
            Ok("TCP connection".to_owned())
        }
        Kind::Socket { .. } if is_stream(facts, open) => Ok("Unix stream socket".to_owned()),
        Kind::Anonymous(kind) if matches!(&**kind, "eventpoll" | "eventfd") => Ok(kind.clone()),
        Kind::File if is_source(facts, Path::new(&open.to)) => Ok("file of a source".to_owned()),
        Kind::Socket { .. } | Kind::Pipe { .. } | Kind::Anonymous(_) | Kind::File | Kind::Other => {
            Err(format!("{descriptor}, which a frontend has no use for"))
        }
    }
}

/// Where a socket listens, if it does.
fn listens(facts: &Facts, open: &Descriptor) -> Option<String> {
    let socket = open.socket()?;
    let tcp = facts
        .listening
        .iter()
        .find(|(listening, _)| *listening == socket);
    let tcp = tcp.map(|(_, port)| format!("TCP port {port}"));
    let table = facts.unix.as_ref().ok();
    tcp.or_else(|| {
        let found = table?.get(&socket).filter(|found| found.listens)?;
        Some(format!(
            "unix:{}",
            found.name.as_deref().unwrap_or_default()
        ))
    })
}

/// Whether it is the file of a source, or below its folder of certificates.
fn is_source(facts: &Facts, path: &Path) -> bool {
    facts.sources.iter().any(|source| path.starts_with(source))
}

fn launcher(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "launcher.descriptors",
        "it holds its standard streams, listening sockets, its ends of control sockets and log pipes, signals and the log, and nothing else",
    );
    let launcher = &facts.launcher;
    for open in &launcher.descriptors {
        match of_launcher(facts, open) {
            Some(what) => claim.saw(format_args!("{}, {what}", told(open))),
            None => claim.wrong(format_args!(
                "{}: descriptor {}, which a launcher has no use for",
                launcher.who(),
                told(open)
            )),
        }
    }
    claim
}

/// What a descriptor of the launcher is for.
fn of_launcher(facts: &Facts, open: &Descriptor) -> Option<String> {
    if open.number < 3 {
        return Some("standard stream".to_owned());
    }
    match &open.kind {
        Kind::Socket { .. } if listens(facts, open).is_some() => {
            listens(facts, open).map(|name| format!("listening on {name}"))
        }
        Kind::Socket { .. } if is_unix(&open.kind) && is_stream(facts, open) => {
            let Ok(table) = &facts.unix else {
                return Some("a connection with an unknown peer".to_owned());
            };
            let peer = peer(table, Some(open));
            let mut children = facts.children();
            let child = children.find(|child| {
                peer.is_some() && child.descriptor(0).and_then(Descriptor::socket) == peer
            });
            child.map(|child| format!("control socket of {}", child.who()))
        }
        Kind::Socket { protocol, .. } if protocol.starts_with("UNIX") => {
            let table = facts.unix.as_ref().ok()?;
            let name = table.get(&peer(table, Some(open))?)?.name.as_deref();
            Some(format!("to {}", name.unwrap_or("an unnamed socket")))
        }
        Kind::Pipe { .. } => {
            let mut children = facts.children();
            let child =
                children.find(|child| child.descriptor(2).is_some_and(|pipe| reads(open, pipe)));
            child.map(|child| format!("log of {}", child.who()))
        }
        Kind::Anonymous(kind) if kind == "signalfd" => Some("signals".to_owned()),
        Kind::Socket { .. } | Kind::Anonymous(_) | Kind::File | Kind::Other => None,
    }
}
