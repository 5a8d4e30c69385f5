//! Frames: a length of four octets, little endian, then one message. Runs in all three processes; trusts no length
//! before it has compared it with the direction's maximum.

use std::fmt;

use crate::message::{Message, Version};

/// What ends a channel, and with it the process that saw it: never resynchronised, never answered. It names the fault
/// and carries none of the octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The operating system refused to read or write.
    Io(std::io::ErrorKind),
    /// The stream ended within a frame.
    EndWithinFrame,
    /// A frame is larger than its direction allows.
    Oversize {
        /// Octets announced or encoded.
        found: usize,
        /// The direction's maximum.
        limit: usize,
    },
    /// A frame ended before its message did.
    Short,
    /// A frame went on after its message.
    Trailing {
        /// Octets left over.
        octets: usize,
    },
    /// A field is longer than it may be.
    OverLong,
    /// A message, or a choice within one, that this end does not take; a message of the other direction as well.
    UnknownVariant,
    /// Anything else that is no message.
    Undecodable,
    /// The peer is of another build.
    Version {
        /// What it said.
        theirs: Version,
    },
    /// The first frame was not the opening one, or the opening one came again, or settings came twice.
    Order,
    /// An answer to a question that was not asked.
    UnknownId(u64),
    /// Other descriptors were handed over beside a stream than the settings speak of.
    Handed {
        /// How many came.
        found: usize,
        /// How many the settings speak of.
        expected: usize,
    },
    /// A message of our own that cannot be encoded.
    Unencodable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the channel broke: {kind}"),
            Self::EndWithinFrame => write!(f, "the stream ended within a frame"),
            Self::Oversize { found, limit } => {
                write!(f, "a frame of {found} octets, at most {limit} are allowed")
            }
            Self::Short => write!(f, "a frame ended before its message did"),
            Self::Trailing { octets } => {
                write!(f, "{octets} octets followed the message within its frame")
            }
            Self::OverLong => write!(f, "a field is longer than it may be"),
            Self::UnknownVariant => {
                write!(f, "a message of an unknown kind, or of the other direction")
            }
            Self::Undecodable => write!(f, "a frame that holds no message"),
            Self::Version { theirs } => {
                write!(
                    f,
                    "the peer is version {theirs}, this is {}: restart the service",
                    Version::ours()
                )
            }
            Self::Order => write!(f, "a message at a place where it must not stand"),
            Self::UnknownId(id) => write!(f, "an answer to question {id}, which was not asked"),
            Self::Handed { found, expected } => write!(
                f,
                "found {found} descriptors handed over, expected {expected}"
            ),
            Self::Unencodable => write!(f, "a message that cannot be encoded"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// One message as a frame. Fails when it is larger than its direction allows.
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, Fault> {
    let payload = message.to_octets()?;
    let length = u32::try_from(payload.len()).map_err(|_| Fault::Unencodable)?;
    let mut octets = Vec::with_capacity(4 + payload.len());
    octets.extend_from_slice(&length.to_le_bytes());
    octets.extend_from_slice(&payload);
    Ok(octets)
}

/// The frames of one incoming stream: octets go in as they arrive, messages come out. The first message must be the
/// opening one and of our version; it is consumed here. After a fault nothing comes out but that fault again: whichever
/// thread asks next, before the process has ended, gets no message.
#[derive(Debug, Default)]
pub struct Frames {
    octets: Vec<u8>,
    start: usize,
    greeted: bool,
    fault: Option<Fault>,
}

impl Frames {
    /// No octets yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read. Call [`Frames::next`] until it returns none before adding more: that bounds the buffer by
    /// one frame and one read.
    pub fn extend(&mut self, octets: &[u8]) {
        if self.start > 0 {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// Whether the peer has opened the channel.
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// Whether the stream may not end here.
    pub fn within_frame(&self) -> bool {
        self.start < self.octets.len()
    }

    /// The next message, if its frame is complete.
    #[allow(clippy::should_implement_trait)] // typed by the caller, fallible: no iterator
    pub fn next<M: Message>(&mut self) -> Result<Option<M>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let next = self.next_in_order();
        if let Err(fault) = &next {
            self.fault = Some(fault.clone());
        }
        next
    }

    fn next_in_order<M: Message>(&mut self) -> Result<Option<M>, Fault> {
        loop {
            let Some(message) = self.any::<M>()? else {
                return Ok(None);
            };
            match (message.as_hello(), self.greeted) {
                (None, true) => return Ok(Some(message)),
                (Some(theirs), false) if *theirs == Version::ours() => self.greeted = true,
                (Some(theirs), false) => {
                    return Err(Fault::Version {
                        theirs: theirs.clone(),
                    });
                }
                (None, false) | (Some(_), true) => return Err(Fault::Order),
            }
        }
    }

    fn any<M: Message>(&mut self) -> Result<Option<M>, Fault> {
        let Some((length, rest)) = self
            .octets
            .get(self.start..)
            .and_then(|octets| octets.split_first_chunk::<4>())
        else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > M::MAX {
            return Err(Fault::Oversize {
                found: length,
                limit: M::MAX,
            });
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let message = M::from_octets(payload)?;
        self.start += 4 + length;
        if self.start == self.octets.len() {
            self.octets.clear();
            self.start = 0;
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromSigner, ToSigner};

    #[test]
    fn messages_come_out_however_the_octets_arrive() {
        let mut stream = frame(&ToSigner::Hello(Version::ours())).unwrap();
        let sign = crate::ToSigner::Sign(crate::SignRequest {
            id: 7,
            issuer: 0,
            key: 0,
            nonce: None,
            items: crate::List::new([]).unwrap(),
        });
        stream.extend(frame(&sign).unwrap());
        stream.extend(frame(&sign).unwrap());
        for chunk in [1, 3, 4, 5, stream.len()] {
            let mut frames = Frames::new();
            let mut seen = 0;
            for octets in stream.chunks(chunk) {
                frames.extend(octets);
                while let Some(message) = frames.next::<ToSigner>().unwrap() {
                    assert_eq!(message, sign);
                    seen += 1;
                }
            }
            assert_eq!(seen, 2, "chunks of {chunk}");
            assert!(!frames.within_frame());
        }
    }

    #[test]
    fn after_a_fault_no_message_comes_out() {
        let hello = frame(&ToSigner::Hello(Version::ours())).unwrap();
        let mut frames = Frames::new();
        frames.extend(&[&hello[..], &hello, &hello].concat());
        for _ in 0..3 {
            assert_eq!(frames.next::<ToSigner>(), Err(Fault::Order));
        }
    }

    #[test]
    fn a_length_above_the_cap_is_refused_before_any_payload() {
        let mut frames = Frames::new();
        frames.extend(&u32::try_from(FromSigner::MAX + 1).unwrap().to_le_bytes());
        assert_eq!(
            frames.next::<FromSigner>(),
            Err(Fault::Oversize {
                found: FromSigner::MAX + 1,
                limit: FromSigner::MAX
            })
        );
    }
}
