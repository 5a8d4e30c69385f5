//! A blocking end of a channel, typed by what may come in and what may go out. Runs in the signer (and in tests, as its
//! peer); the asynchronous end of the same channel lives in the frontend.

use std::io::{ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::frame::{Fault, Frames, frame};
use crate::message::{FromSigner, Message, Report, SignerOrder, ToSigner, Version};

/// The signer's end of the boundary: requests in, answers out, and nothing else.
///
/// ```
/// use ocsp_wire::{FromSigner, SignerEnd, Version};
/// # let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// let end = SignerEnd::new(ours.try_clone().unwrap(), ours);
/// end.send(&FromSigner::Hello(Version::ours())).unwrap();
/// ```
///
/// A request cannot be sent from it:
///
/// ```compile_fail,E0308
/// use ocsp_wire::{SignerEnd, ToSigner, Version};
/// # let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// let end = SignerEnd::new(ours.try_clone().unwrap(), ours);
/// end.send(&ToSigner::Hello(Version::ours())).unwrap();
/// ```
pub type SignerEnd<S> = End<ToSigner, FromSigner, S>;

/// The signer's end of its control socket.
pub type SignerControlEnd<S> = End<SignerOrder, Report, S>;

/// One end of a channel over the stream `S`, for any number of threads: one reads at a time, one writes at a time.
pub struct End<In, Out, S> {
    reading: Mutex<Reading<S>>,
    writing: Mutex<S>,
    direction: PhantomData<fn(Out) -> In>,
}

struct Reading<S> {
    stream: S,
    frames: Frames,
    octets: Vec<u8>,
}

impl<In: Message, Out: Message, S: Read + Write> End<In, Out, S> {
    /// An end that reads from `reader` and writes to `writer`, two handles of one stream.
    pub fn new(reader: S, writer: S) -> Self {
        Self {
            reading: Mutex::new(Reading {
                stream: reader,
                frames: Frames::new(),
                octets: vec![0; 16 << 10],
            }),
            writing: Mutex::new(writer),
            direction: PhantomData,
        }
    }

    /// Says which version we are: the first frame of this direction.
    pub fn greet(&self) -> Result<(), Fault> {
        self.send(&Out::hello(Version::ours()))
    }

    /// The next message; none at the end of the stream between frames. The opening frame is compared and consumed.
    pub fn receive(&self) -> Result<Option<In>, Fault> {
        let mut reading = held(&self.reading);
        let Reading {
            stream,
            frames,
            octets,
        } = &mut *reading;
        loop {
            if let Some(message) = frames.next()? {
                return Ok(Some(message));
            }
            match stream.read(octets) {
                Ok(0) if frames.within_frame() => return Err(Fault::EndWithinFrame),
                Ok(0) => return Ok(None),
                Ok(read) => frames.extend(octets.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A message that has come already, without waiting for one: none as well while another thread waits.
    pub fn at_hand(&self) -> Result<Option<In>, Fault> {
        match self.reading.try_lock() {
            Ok(mut reading) => reading.frames.next(),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => Ok(None),
        }
    }

    /// Sends frames of messages, waiting for room if need be, and leaves none.
    pub fn send_all(&self, frames: &mut Vec<u8>) -> Result<(), Fault> {
        held(&self.writing).write_all(frames)?;
        frames.clear();
        Ok(())
    }

    /// Sends one message, waiting for room if need be.
    pub fn send(&self, message: &Out) -> Result<(), Fault> {
        let octets = frame(message)?;
        held(&self.writing).write_all(&octets)?;
        Ok(())
    }
}

/// The lock, whatever befell its last holder: a panic ends the process, so no half-done state can be seen.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
