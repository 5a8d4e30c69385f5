//! The Unix sockets of this machine and what they are connected with, from the kernel's `NETLINK_SOCK_DIAG` (sock_diag(7)):
//! the two ends of a socketpair have different numbers, and nothing in `/proc` pairs them. Used by `boundary`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::proc::FileId;

// linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_AND_DUMP: u16 = 0x301;
const SHOW_NAME_AND_PEER: u32 = 0x01 | 0x04;
const NAME: u16 = 0;
const PEER: u16 = 2;
const LISTEN: u8 = 10;

/// Octets of a netlink header, and of what stands before the attributes of a socket.
const HEADER: usize = 16;
const ABOUT: usize = 16;

/// A Unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixSocket {
    /// Whether it is a stream, rather than datagrams or packets.
    pub stream: bool,
    /// Whether it listens.
    pub listens: bool,
    /// The number of the socket it is connected with.
    pub peer: Option<u64>,
    /// The path it is bound to, `@` in front if it is an abstract one.
    pub name: Option<String>,
}

/// Unix sockets by their number.
pub type Table = BTreeMap<u64, UnixSocket>;

/// The Unix sockets in the network namespace of a process, and in that of process 1, which may have made some of them
/// (systemd's sockets). The calling thread enters these namespaces. The error is a sentence.
pub fn table(pid: u32) -> Result<Table, String> {
    let dumped = || {
        dump()
            .map_err(|error| format!("the kernel does not pair Unix sockets (unix_diag): {error}"))
    };
    // Who may not look there (in a container) sees that a socket has no peer.
    let mut table = match enter(1) {
        Ok(()) => dumped()?,
        Err(_) => Table::new(),
    };
    enter(pid).map_err(|error| {
        format!("the network namespace of process {pid} cannot be entered: {error}")
    })?;
    table.extend(dumped()?);
    Ok(table)
}

fn enter(pid: u32) -> std::io::Result<()> {
    let theirs = format!("/proc/{pid}/ns/net");
    if FileId::of(Path::new(&theirs))? != FileId::of(Path::new("/proc/self/ns/net"))? {
        setns(File::open(theirs)?, CloneFlags::CLONE_NEWNET)?;
    }
    Ok(())
}

fn dump() -> nix::Result<Table> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    send(netlink.as_raw_fd(), &request(), MsgFlags::empty())?;
    let mut table = Table::new();
    let mut octets = vec![0; 64 << 10];
    loop {
        let read = recv(netlink.as_raw_fd(), &mut octets, MsgFlags::empty())?;
        let answer = octets.get(..read).unwrap_or_default();
        if take(answer, &mut table)? {
            return Ok(table);
        }
    }
}

/// All Unix sockets in every state, with names and peers.
fn request() -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(40_u32.to_ne_bytes()); // header and request
    octets.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    octets.extend(REQUEST_AND_DUMP.to_ne_bytes());
    octets.extend([0; 8]); // sequence number, port
    octets.extend([1, 0, 0, 0]); // AF_UNIX
    octets.extend(u32::MAX.to_ne_bytes()); // states
    octets.extend([0; 4]); // no certain socket
    octets.extend(SHOW_NAME_AND_PEER.to_ne_bytes());
    octets.extend([0; 8]); // nor its cookie
    octets
}

/// Takes one datagram of netlink messages. True when it was the last.
fn take(mut octets: &[u8], table: &mut Table) -> nix::Result<bool> {
    while !octets.is_empty() {
        let length = u32_at(octets, 0).ok_or(Errno::EBADMSG)? as usize;
        let kind = u16_at(octets, 4).ok_or(Errno::EBADMSG)?;
        let message = octets.get(HEADER..length).ok_or(Errno::EBADMSG)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let error = u32_at(message, 0).ok_or(Errno::EBADMSG)?;
                return Err(Errno::from_raw(error.wrapping_neg() as i32));
            }
            SOCK_DIAG_BY_FAMILY => {
                let (number, found) = about(message).ok_or(Errno::EBADMSG)?;
                table.insert(number, found);
            }
            _ => {}
        }
        octets = octets.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn about(message: &[u8]) -> Option<(u64, UnixSocket)> {
    let number = u32_at(message, 4)?;
    let mut found = UnixSocket {
        stream: *message.get(1)? == 1,
        listens: *message.get(2)? == LISTEN,
        ..UnixSocket::default()
    };
    let mut attributes = message.get(ABOUT..)?;
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        match u16_at(attributes, 2)? {
            PEER => found.peer = Some(u32_at(value, 0)?.into()),
            NAME => {
                let name = String::from_utf8_lossy(value);
                found.name = Some(match name.strip_prefix('\0') {
                    Some(name) => format!("@{name}"),
                    None => name.trim_end_matches('\0').to_owned(),
                });
            }
            _ => {}
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Some((number.into(), found))
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let octets = octets.get(at..at + 2)?;
    octets.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at + 4)?;
    octets.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use nix::sys::stat::fstat;

    use super::*;

    fn number(socket: impl AsFd) -> u64 {
        fstat(socket).unwrap().st_ino
    }

    #[test]
    fn the_two_ends_of_a_pair_name_each_other() {
        let (one, other) = UnixStream::pair().unwrap();
        let lone = UnixDatagram::unbound().unwrap();
        let table = match table(std::process::id()) {
            Ok(table) => table,
            Err(why) => return eprintln!("SKIPPED: {why}"),
        };
        let (one, other) = (number(&one), number(&other));
        assert_eq!(table[&one].peer, Some(other));
        assert_eq!(table[&other].peer, Some(one));
        assert!(table[&one].stream && !table[&one].listens);
        let expected = UnixSocket::default();
        assert_eq!(table[&number(&lone)], expected);
    }

    #[test]
    fn messages_that_are_cut_short_are_no_sockets() {
        let mut message = request();
        message.truncate(20);
        assert!(take(&message, &mut Table::new()).is_err());
        assert!(take(&[1, 2, 3], &mut Table::new()).is_err());
        // An attribute that claims more than there is, or less than its own header.
        for length in [2_u8, 200] {
            let about_it = [
                &[1, 1, 1, 0, 7, 0, 0, 0][..],
                &[0; 8],
                &[length, 0, 2, 0, 9, 0, 0, 0],
            ];
            assert_eq!(about(&about_it.concat()), None);
        }
        let about_it = [
            &[1, 1, 1, 0, 7, 0, 0, 0][..],
            &[0; 8],
            &[8, 0, 2, 0, 9, 0, 0, 0],
        ];
        assert_eq!(about(&about_it.concat()).unwrap().1.peer, Some(9));
    }
}
