//! What is sent of an answer: its octets where they are, with a part in the answer instead of a copy.

use bytes::{Buf, Bytes};

use crate::answer::Reply;

/// Octets to be sent, and how many of them were.
pub struct Sent {
    octets: Octets,
    sent: usize,
}

enum Octets {
    /// A signed answer's.
    Signed(Reply),
    /// Others.
    Other(Bytes),
}

impl From<Reply> for Sent {
    fn from(reply: Reply) -> Self {
        let octets = Octets::Signed(reply);
        Self { octets, sent: 0 }
    }
}

impl From<Bytes> for Sent {
    fn from(octets: Bytes) -> Self {
        let octets = Octets::Other(octets);
        Self { octets, sent: 0 }
    }
}

impl Buf for Sent {
    fn remaining(&self) -> usize {
        self.chunk().len()
    }

    fn chunk(&self) -> &[u8] {
        let octets = match &self.octets {
            Octets::Signed(reply) => reply.written.der(),
            Octets::Other(octets) => octets,
        };
        octets.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count.min(self.remaining());
    }
}
