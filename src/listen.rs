//! The listening sockets: bound once, for the launcher's life, and shared with every generation, so that connections
//! wait in the socket while nobody accepts them.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, getsockopt,
    listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};
use ocsp_frontend_settings::{Listener, ListenerKind, Purpose};

use crate::config::{Address, Listen};
use crate::exit::{Failure, Reason};

/// Connections that may wait to be accepted (the kernel's somaxconn allows no more by default).
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub struct Listening {
    /// What the frontend is told of it.
    pub listener: Listener,
    socket: OwnedFd,
}

impl Listening {
    /// Puts the socket back into the state it was made in, where somebody who shared it has changed that: a frontend that
    /// is held by an attacker can stop it listening for all. True when there was something to mend.
    pub fn mend(&self) -> std::io::Result<bool> {
        let flags = OFlag::from_bits_truncate(fcntl(&self.socket, FcntlArg::F_GETFL)?);
        let listens = getsockopt(&self.socket, sockopt::AcceptConn)?;
        if listens && flags.contains(OFlag::O_NONBLOCK) {
            return Ok(false);
        }
        fcntl(&self.socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        listen(&self.socket, Backlog::new(BACKLOG)?)?;
        Ok(true)
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds every address.
pub fn bind_all(listen: &Listen) -> Result<Vec<Listening>, Failure> {
    let ocsp = listen.http.iter().map(|address| (address, Purpose::Ocsp));
    let admin = listen.admin.iter().map(|address| (address, Purpose::Admin));
    ocsp.chain(admin)
        .map(|(address, purpose)| {
            bind_one(address, purpose).map_err(|error| {
                Failure::new(
                    Reason::Environment,
                    format_args!("cannot listen on {address}: {error}"),
                )
            })
        })
        .collect()
}

fn bind_one(address: &Address, purpose: Purpose) -> std::io::Result<Listening> {
    match address {
        Address::Tcp(address) => tcp(*address, purpose),
        Address::Unix(path) => unix(path, purpose),
    }
}

fn tcp(address: SocketAddr, purpose: Purpose) -> std::io::Result<Listening> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let socket = stream(family)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(
            &socket,
            sockopt::Ipv6V6Only,
            &(address.ip() != Ipv6Addr::UNSPECIFIED),
        )?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    // The port that was taken, where port 0 was asked for.
    let socket = TcpListener::from(socket);
    let listener = Listener {
        address: socket.local_addr()?.to_string(),
        kind: ListenerKind::Tcp,
        purpose,
    };
    Ok(Listening {
        listener,
        socket: socket.into(),
    })
}

fn unix(path: &str, purpose: Purpose) -> std::io::Result<Listening> {
    let stale = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if stale
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let socket = stream(AddressFamily::Unix)?;
    // Who may connect is a matter of the folder. Not by a chmod afterwards, which would follow what others put there.
    let before = umask(Mode::from_bits_truncate(0o111));
    let bound = bind(socket.as_raw_fd(), &UnixAddr::new(path)?);
    umask(before);
    bound?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(Listening {
        listener: Listener {
            address: format!("unix:{path}"),
            kind: ListenerKind::Unix,
            purpose,
        },
        socket,
    })
}

/// Non-blocking from the start: the flag is shared by all copies.
fn stream(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_socket_that_somebody_stopped_listens_again() {
        // A port by number, as it is configured: one that was chosen by the kernel would be given back meanwhile.
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = Address::Tcp(free);
        let listening = bind_one(&address, Purpose::Ocsp).unwrap();
        let connect = || TcpStream::connect(&listening.listener.address);
        assert!(!listening.mend().unwrap());
        assert!(connect().is_ok());

        let fd = listening.as_fd().as_raw_fd();
        nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Both).unwrap();
        assert!(connect().is_err());
        assert!(listening.mend().unwrap());
        assert!(connect().is_ok());

        fcntl(&listening, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        assert!(listening.mend().unwrap());
        assert!(!listening.mend().unwrap());
    }
}
