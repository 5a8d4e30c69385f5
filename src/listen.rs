//! The listening sockets: bound once, or taken over from systemd, for the launcher's life, and shared with every generation,
//! so that connections wait in the socket while nobody accepts them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, getsockname,
    getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};
use ocsp_frontend_settings::{Listener, ListenerKind, Purpose};

use crate::config::{Address, Listen};
use crate::exit::{Failure, Reason};
use crate::service::Handed;

/// Connections that may wait to be accepted (the kernel's somaxconn allows no more by default).
const BACKLOG: i32 = 4096;
/// Where OCSP is answered when neither systemd nor `[listen] http` says it.
pub const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 9000);
/// The names of sockets that systemd hands over, and of their keys in `[listen]`.
const HTTP: &str = "http";
const ADMIN: &str = "admin";

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

/// The sockets of each purpose: those that systemd handed over, or else those of `[listen]`, bound now.
pub fn all(listen: &Listen, handed: Vec<Handed>) -> Result<Vec<Listening>, Failure> {
    let (mut http, mut admin) = (Vec::new(), Vec::new());
    for handed in handed {
        match &*handed.name {
            HTTP => http.push(adopt(handed.socket, HTTP, Purpose::Ocsp)?),
            ADMIN => admin.push(adopt(handed.socket, ADMIN, Purpose::Admin)?),
            other => {
                return Err(Failure::new(
                    Reason::Environment,
                    format_args!(
                        "systemd hands over a socket named {other:?}: FileDescriptorName={HTTP} or {ADMIN} was expected in its unit"
                    ),
                ));
            }
        }
    }
    let default = [Address::Tcp(DEFAULT)];
    let wanted = [
        (HTTP, Purpose::Ocsp, http, &listen.http, &default[..]),
        (ADMIN, Purpose::Admin, admin, &listen.admin, &[]),
    ];
    let mut all = Vec::new();
    for (name, purpose, handed, written, default) in wanted {
        if handed.is_empty() {
            for address in written.as_deref().unwrap_or(default) {
                all.push(bind_one(address, purpose).map_err(|error| cannot(address, error))?);
            }
        } else {
            agree(name, &handed, written.as_deref())?;
            all.extend(handed);
        }
    }
    Ok(all)
}

fn cannot(address: &Address, error: std::io::Error) -> Failure {
    let advice = if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) {
        ": the service may make no such socket (RestrictAddressFamilies=): a socket unit hands it over, or the drop-in \
         own-sockets.conf allows it"
    } else {
        ""
    };
    let sentence = format_args!("cannot listen on {address}: {error}{advice}");
    Failure::new(Reason::Environment, sentence)
}

/// What the configuration says as well must be the same: otherwise somebody believes that the service is where it is not.
fn agree(name: &str, handed: &[Listening], written: Option<&[Address]>) -> Result<(), Failure> {
    let Some(written) = written else {
        return Ok(());
    };
    let sorted = |mut addresses: Vec<String>| {
        addresses.sort();
        addresses.join(", ")
    };
    let found = handed.iter().map(|it| it.listener.address.clone());
    let (found, written) = (
        sorted(found.collect()),
        sorted(written.iter().map(ToString::to_string).collect()),
    );
    if found == written {
        return Ok(());
    }
    let sentence = format_args!(
        "systemd hands over {found} as {name}, and [listen] {name} is {written:?}: leave [listen] {name} out, and say in the socket \
         unit where to listen"
    );
    Err(Failure::new(Reason::Environment, sentence))
}

/// A socket that was handed over, if it is one that listens for streams.
fn adopt(socket: OwnedFd, name: &'static str, purpose: Purpose) -> Result<Listening, Failure> {
    let unusable = |what: &dyn fmt::Display| {
        let sentence =
            format!("systemd hands over a socket named {name:?} that cannot be used: {what}");
        Failure::new(Reason::Environment, sentence)
    };
    let kernel = |error: Errno| unusable(&error);
    if getsockopt(&socket, sockopt::SockType).map_err(kernel)? != SockType::Stream {
        return Err(unusable(
            &"it is not for streams (ListenStream= was expected)",
        ));
    }
    if !getsockopt(&socket, sockopt::AcceptConn).map_err(kernel)? {
        return Err(unusable(&"it does not listen (Accept=no was expected)"));
    }
    let bound: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(kernel)?;
    let tcp = bound
        .as_sockaddr_in()
        .map(|address| SocketAddr::from(SocketAddrV4::from(*address)))
        .or_else(|| {
            let address = bound.as_sockaddr_in6()?;
            Some(SocketAddr::from(SocketAddrV6::from(*address)))
        });
    let unix = bound.as_unix_addr().and_then(UnixAddr::path);
    let (address, kind) = match (tcp, unix) {
        (Some(tcp), _) => (Address::Tcp(tcp), ListenerKind::Tcp),
        (None, Some(path)) => (
            Address::Unix(path.display().to_string()),
            ListenerKind::Unix,
        ),
        (None, None) => {
            return Err(unusable(
                &"its address is neither TCP nor the path of a Unix socket",
            ));
        }
    };
    let listening = Listening {
        listener: Listener {
            address: address.to_string(),
            kind,
            purpose,
        },
        socket,
    };
    listening.mend().map_err(|error| unusable(&error))?;
    Ok(listening)
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
