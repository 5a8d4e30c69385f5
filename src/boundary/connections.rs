//! Who is connected with whom, and who else holds an end: the boundary itself, and the children's ways to the launcher. It
//! takes the kernel's pairing of Unix sockets, as the two ends of a socketpair have nothing in common in `/proc`.

use std::collections::BTreeMap;

use super::claim::Claim;
use super::facts::Facts;
use super::processes::some_of;
use crate::generation::Role;
use crate::proc::{Descriptor, Holder, Kind, Process};
use crate::unix_diag::Table;

pub fn claims(facts: &Facts) -> Vec<Claim> {
    vec![boundary(facts), channels(facts)]
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
pub fn reads(end: &Descriptor, pipe: &Descriptor) -> bool {
    end.kind == Kind::Pipe { read_end: true } && end.to == pipe.to
}

/// The other end of a Unix socket.
pub fn peer(table: &Table, open: Option<&Descriptor>) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::claim::Outcome::{self, Failed, NotApplicable};
    use crate::boundary::descriptors::tests::socket;
    use crate::boundary::facts::tests::sample;
    use crate::unix_diag::UnixSocket;

    /// A frontend and a signer with the boundary between the sockets 10 and 11, after a change.
    fn judged(change: impl Fn(&mut Facts)) -> Outcome {
        let mut facts = sample();
        (facts.launcher.kin.pid, facts.launcher.descriptors) = (1, Vec::new());
        (facts.frontends[0].kin.pid, facts.signers[0].kin.pid) = (2, 3);
        facts.frontends[0].descriptors = vec![socket(1, 10)];
        facts.signers[0].descriptors = vec![socket(1, 11)];
        pair(&mut facts, 10, 11);
        held(&mut facts, 10, 2, 1);
        held(&mut facts, 11, 3, 1);
        change(&mut facts);
        boundary(&facts).outcome()
    }

    fn pair(facts: &mut Facts, one: u64, other: u64) {
        for (own, peer) in [(one, other), (other, one)] {
            let found = UnixSocket {
                stream: true,
                peer: Some(peer),
                ..UnixSocket::default()
            };
            facts.unix.as_mut().unwrap().insert(own, found);
        }
    }

    fn held(facts: &mut Facts, socket: u64, pid: u32, number: u32) {
        let to = format!("socket:[{socket}]");
        facts.holders.add(&to, Holder { pid, number });
    }

    #[test]
    fn one_socketpair_between_two_processes_is_the_boundary() {
        assert_eq!(judged(|_| {}), Outcome::Ok);
        // The frontend may have its end twice.
        let twice = |facts: &mut Facts| {
            facts.frontends[0].descriptors.push(socket(7, 10));
            held(facts, 10, 2, 7);
        };
        assert_eq!(judged(twice), Outcome::Ok);
        let no_table = |facts: &mut Facts| facts.unix = Err("no".to_owned());
        assert_eq!(judged(no_table), NotApplicable);
    }

    #[test]
    fn whoever_else_holds_an_end_is_seen() {
        assert_eq!(judged(|facts| held(facts, 10, 4, 1)), Failed);
        assert_eq!(judged(|facts| held(facts, 11, 1, 9)), Failed);
        // The signer itself, by another number.
        assert_eq!(judged(|facts| held(facts, 11, 3, 4)), Failed);
        assert_eq!(judged(|facts| facts.holders.unreadable.push(4)), Failed);
    }

    #[test]
    fn a_second_way_from_frontend_to_signer_is_seen() {
        let second = |facts: &mut Facts| {
            facts.frontends[0].descriptors.push(socket(5, 20));
            facts.signers[0].descriptors.push(socket(6, 21));
            pair(facts, 20, 21);
        };
        assert_eq!(judged(second), Failed);
        let same = |facts: &mut Facts| {
            facts.frontends[0].descriptors.push(socket(5, 30));
            facts.signers[0].descriptors.push(socket(6, 30));
        };
        assert_eq!(judged(same), Failed);
        let no_peer = |facts: &mut Facts| facts.unix = Ok(Table::new());
        assert_eq!(judged(no_peer), Failed);
        let two_frontends = |facts: &mut Facts| {
            let mut other = facts.frontends[0].clone();
            other.kin.pid = 9;
            facts.frontends.push(other);
        };
        assert_eq!(judged(two_frontends), Failed);
    }
}
