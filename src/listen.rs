//! The listening sockets: bound once, for the launcher's life, and shared with every generation, so that connections
//! wait in the socket while nobody accepts them.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, listen,
    setsockopt, socket, sockopt,
};
use ocsp_frontend_settings::{Listener, ListenerKind};

use crate::config::Address;
use crate::exit::{Failure, Reason};

/// Connections that may wait to be accepted (the kernel's somaxconn allows no more by default).
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub struct Listening {
    /// What the frontend is told of it.
    pub listener: Listener,
    socket: OwnedFd,
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds every address.
pub fn bind_all(addresses: &[Address]) -> Result<Vec<Listening>, Failure> {
    addresses
        .iter()
        .map(|address| {
            let failed = |error| {
                Failure::new(
                    Reason::Environment,
                    format_args!("cannot listen on {address}: {error}"),
                )
            };
            match address {
                Address::Tcp(address) => tcp(*address).map_err(failed),
                Address::Unix(path) => unix(path).map_err(failed),
            }
        })
        .collect()
}

fn tcp(address: SocketAddr) -> std::io::Result<Listening> {
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
    };
    Ok(Listening {
        listener,
        socket: socket.into(),
    })
}

fn unix(path: &str) -> std::io::Result<Listening> {
    let stale = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if stale
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let socket = stream(AddressFamily::Unix)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    // Who may connect is a matter of the folder.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(Listening {
        listener: Listener {
            address: format!("unix:{path}"),
            kind: ListenerKind::Unix,
        },
        socket,
    })
}

/// Non-blocking from the start: the flag is shared by all copies, and nobody clears it.
fn stream(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
}
