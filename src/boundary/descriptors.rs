//! What the processes hold: every descriptor, by kind.

use std::collections::BTreeMap;
use std::path::Path;

use super::claim::Claim;
use super::connections::{peer, reads};
use super::facts::Facts;
use super::processes::some_of;
use crate::generation::Role;
use crate::proc::{Descriptor, Kind, Process};

pub fn claims(facts: &Facts) -> Vec<Claim> {
    vec![signer(facts), frontend(facts), launcher(facts)]
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
        "beside the three it holds listening sockets that are the launcher's, connections, the runtime's own, pipes on which a frontend leaves its answers to the next, and no file but a source's",
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
        Kind::Pipe { read_end } => {
            heritage(facts, open, *read_end).map_err(|why| format!("{descriptor}, which {why}"))
        }
        Kind::File if is_source(facts, Path::new(&open.to)) => Ok("file of a source".to_owned()),
        Kind::Socket { .. } | Kind::Anonymous(_) | Kind::File | Kind::Other => {
            Err(format!("{descriptor}, which a frontend has no use for"))
        }
    }
}

/// Which end of a pipe between frontends it is: one that nobody holds but frontends, and the launcher for the next of them.
fn heritage(facts: &Facts, open: &Descriptor, read_end: bool) -> Result<String, String> {
    let log = facts.children().find(|child| {
        let log = child.descriptor(2);
        log.is_some_and(|log| log.to == open.to)
    });
    if let Some(child) = log {
        return Err(format!("is the log of {}", child.who()));
    }
    let held = facts.holders.of(&open.to);
    let stranger = held.iter().find(|holder| {
        let mut kin = facts.frontends.iter().chain([&facts.launcher]);
        !kin.any(|process| process.kin.pid == holder.pid)
    });
    match stranger {
        Some(holder) => Err(format!("{} holds as well", facts.name_of(holder.pid))),
        None if read_end => Ok("pipe from the frontend before".to_owned()),
        None => Ok("pipe to the next frontend".to_owned()),
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
        "it holds its standard streams, listening sockets, its ends of control sockets and log pipes, what frontends leave to the next, signals and the log, and nothing else",
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
            let peer = facts.unix.as_ref().ok().and_then(|table| {
                let peer = peer(table, Some(open))?;
                table.get(&peer)?.name.as_deref()
            });
            Some(format!(
                "datagrams to {}",
                peer.unwrap_or("a socket without a name")
            ))
        }
        Kind::Pipe { .. } => {
            let mut children = facts.children();
            let child =
                children.find(|child| child.descriptor(2).is_some_and(|pipe| reads(open, pipe)));
            let log = child.map(|child| format!("log of {}", child.who()));
            log.or_else(|| {
                let writes = |pipe: &Descriptor| pipe.number > 2 && reads(open, pipe);
                let mut frontends = facts.frontends.iter();
                let before = frontends.find(|frontend| frontend.descriptors.iter().any(writes))?;
                Some(format!("what {} leaves to the next", before.who()))
            })
        }
        Kind::Anonymous(kind) if kind == "signalfd" => Some("signals".to_owned()),
        Kind::Socket { .. } | Kind::Anonymous(_) | Kind::File | Kind::Other => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::boundary::facts::tests::sample;
    use crate::proc::{FileId, Holder};

    /// A Unix stream socket.
    pub fn socket(number: u32, inode: u64) -> Descriptor {
        Descriptor {
            number,
            to: format!("socket:[{inode}]"),
            file: FileId { device: 8, inode },
            kind: Kind::Socket {
                inode,
                protocol: "UNIX-STREAM".to_owned(),
            },
        }
    }

    /// An end of a pipe.
    fn pipe(number: u32, inode: u64, read_end: bool) -> Descriptor {
        Descriptor {
            to: format!("pipe:[{inode}]"),
            kind: Kind::Pipe { read_end },
            ..socket(number, inode)
        }
    }

    #[test]
    fn a_pipe_between_frontends_is_held_by_them_and_the_launcher_alone() {
        let mut facts = sample();
        (facts.launcher.kin.pid, facts.frontends[0].kin.pid) = (1, 2);
        facts.signers[0].kin.pid = 3;
        let (write, read) = (pipe(9, 50, false), pipe(9, 50, true));
        assert!(of_launcher(&facts, &read).is_none(), "nobody writes there");
        facts.frontends[0].descriptors.push(write.clone());
        for (pid, number) in [(1, 9), (2, 9)] {
            facts.holders.add(&write.to, Holder { pid, number });
        }
        for end in [&write, &read] {
            assert!(of_frontend(&facts, end).is_ok(), "{end:?}");
        }
        assert!(of_launcher(&facts, &read).is_some());
        assert!(of_launcher(&facts, &write).is_none());
        for pid in [3, 4] {
            let mut facts = sample();
            (facts.launcher.kin.pid, facts.frontends[0].kin.pid) = (1, 2);
            facts.signers[0].kin.pid = 3;
            facts.holders.add(&write.to, Holder { pid, number: 9 });
            assert!(of_frontend(&facts, &write).is_err(), "{pid}");
        }
        // The log of a child is none.
        facts.signers[0].descriptors = vec![pipe(2, 51, false)];
        assert!(of_frontend(&facts, &pipe(9, 51, false)).is_err());
    }

    #[test]
    fn what_the_processes_may_hold_is_told_by_kind() {
        let mut facts = sample();
        facts.sources.push("/srv/ca/newcerts".into());
        facts.listening.push((40, 9000));
        let anonymous = |kind: &str| Descriptor {
            kind: Kind::Anonymous(kind.to_owned()),
            ..socket(9, 1)
        };
        let file = |path: &str| Descriptor {
            to: path.to_owned(),
            kind: Kind::File,
            ..socket(9, 1)
        };
        let tcp = |inode| Descriptor {
            kind: Kind::Socket {
                inode,
                protocol: "TCP".to_owned(),
            },
            ..socket(9, inode)
        };
        for good in [
            anonymous("eventpoll"),
            file("/srv/ca/newcerts/1.pem"),
            tcp(41),
            socket(9, 42),
        ] {
            assert!(of_frontend(&facts, &good).is_ok(), "{good:?}");
        }
        let private = file("/srv/ca/newcerts-private/ca.key");
        // It listens, and the launcher does not hold it.
        for bad in [anonymous("userfaultfd"), private, tcp(40)] {
            assert!(of_frontend(&facts, &bad).is_err(), "{bad:?}");
        }
        facts.launcher.descriptors.push(tcp(40));
        assert!(of_frontend(&facts, &tcp(40)).is_ok());
        assert!(of_launcher(&facts, &tcp(40)).is_some());
        assert!(of_launcher(&facts, &anonymous("signalfd")).is_some());
        for bad in [
            tcp(41),
            anonymous("io_uring"),
            file("/srv/ca/ca.key"),
            socket(9, 42),
        ] {
            assert!(of_launcher(&facts, &bad).is_none(), "{bad:?}");
        }
    }
}
