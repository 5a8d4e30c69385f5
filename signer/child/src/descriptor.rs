//! The sockets a child is born with: descriptor 0 is the control socket to the launcher, descriptor 1 the boundary to
//! the other child. Both are used where they are, without duplicates, so that `/proc/PID/fd` shows exactly these.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::{MsgFlags, recv, send};

/// A socket that lives as long as the process.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor(BorrowedFd<'static>);

/// Descriptor 0, the control socket.
pub fn control() -> Descriptor {
    static STDIN: std::sync::LazyLock<io::Stdin> = std::sync::LazyLock::new(io::stdin);
    Descriptor(STDIN.as_fd())
}

/// Descriptor 1, this child's end of the boundary.
pub fn boundary() -> Descriptor {
    static STDOUT: std::sync::LazyLock<io::Stdout> = std::sync::LazyLock::new(io::stdout);
    Descriptor(STDOUT.as_fd())
}

impl Read for Descriptor {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), octets, MsgFlags::empty())?)
    }
}

impl Write for Descriptor {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(send(self.0.as_raw_fd(), octets, MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
