//! The control socket at a child's start, when descriptors may travel beside its octets: the frontend's listening sockets,
//! and files that only root can open. Once they are taken the socket is read in another way, to which the kernel gives
//! none.

use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::descriptor::{Descriptor, control};

/// The most that the kernel lets one message carry (SCM_MAX_FD).
const MOST: usize = 253;

/// The control socket as a stream that keeps the descriptors which come beside its octets, until they are taken.
#[derive(Clone)]
pub struct Control {
    socket: Descriptor,
    /// None once they were taken.
    handed: Arc<Mutex<Option<Vec<OwnedFd>>>>,
}

impl Control {
    /// Takes the control socket over, with nothing read from it yet.
    pub fn take_over() -> Self {
        Self {
            socket: control(),
            handed: Arc::new(Mutex::new(Some(Vec::new()))),
        }
    }

    /// What was handed over so far; whatever is handed over later is never received.
    pub fn handed(&self) -> Vec<OwnedFd> {
        self.held().take().unwrap_or_default()
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<OwnedFd>>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Control {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        if self.held().is_none() {
            return self.socket.read(octets);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let read = recvmsg(
            self.socket,
            &mut [IoSliceMut::new(octets)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let mut handed = self.held();
        for message in beside.drain() {
            if let (RecvAncillaryMessage::ScmRights(came), Some(handed)) = (message, &mut *handed) {
                handed.extend(came);
            }
        }
        Ok(read.bytes)
    }
}

impl Write for Control {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.socket.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
