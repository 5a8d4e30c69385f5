//! What a signer process remembers of what it signed: revoked serials, and certificates that were proven. Both bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocsp_wire::Reason;

/// A revocation as it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Seconds since 1970.
    pub time: u64,
    /// Without one: unspecified.
    pub reason: Option<Reason>,
}

type Serial = (u16, Box<[u8]>);

/// The serials signed as revoked for good (any reason but certificateHold), by issuer.
pub struct Revoked {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    revocations: HashMap<Serial, Revocation>,
    oldest_first: VecDeque<Serial>,
}

impl Revoked {
    /// An empty memory for at most `most` serials.
    pub fn new(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most: most.max(1),
        }
    }

    /// What was signed of a serial.
    pub fn of(&self, issuer: u16, serial: &[u8]) -> Option<Revocation> {
        held(&self.kept)
            .revocations
            .get(&(issuer, Box::from(serial)))
            .copied()
    }

    /// Keeps a revocation. True when an older one had to be forgotten for it.
    pub fn keep(&self, issuer: u16, serial: &[u8], revocation: Revocation) -> bool {
        let key = (issuer, Box::from(serial));
        let mut kept = held(&self.kept);
        if kept.revocations.insert(key.clone(), revocation).is_some() {
            return false;
        }
        kept.oldest_first.push_back(key);
        if kept.oldest_first.len() <= self.most {
            return false;
        }
        if let Some(oldest) = kept.oldest_first.pop_front() {
            kept.revocations.remove(&oldest);
        }
        true
    }
}

/// Certificates whose issuer and signature were verified: their serials, by issuer and SHA-256 of the certificate.
#[derive(Default)]
pub struct Proven(Mutex<HashMap<Proof, Box<[u8]>>>);

/// An issuer, and the SHA-256 of one of its certificates.
type Proof = (u16, [u8; 32]);

/// About 12 MiB.
const PROVEN: usize = 100_000;

impl Proven {
    /// Whether the certificate was proven, and if so, whether it carries this serial.
    pub fn carries(&self, issuer: u16, digest: &[u8; 32], serial: &[u8]) -> Option<bool> {
        held(&self.0)
            .get(&(issuer, *digest))
            .map(|proven| **proven == *serial)
    }

    /// Keeps a proof; when there are too many, all older ones are proven anew when asked for.
    pub fn keep(&self, issuer: u16, digest: [u8; 32], serial: &[u8]) {
        let mut proven = held(&self.0);
        if proven.len() >= PROVEN {
            proven.clear();
        }
        proven.insert((issuer, digest), Box::from(serial));
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_revocation_is_forgotten_first_and_said_so() {
        let revocation = Revocation {
            time: 1,
            reason: None,
        };
        let revoked = Revoked::new(2);
        assert!(!revoked.keep(0, b"a", revocation));
        assert!(!revoked.keep(0, b"b", revocation));
        assert!(!revoked.keep(
            0,
            b"a",
            Revocation {
                time: 2,
                reason: None
            }
        ));
        assert!(revoked.keep(0, b"c", revocation));
        assert_eq!(revoked.of(0, b"a"), None);
        assert_eq!(revoked.of(0, b"b"), Some(revocation));
        assert_eq!(revoked.of(1, b"b"), None);
    }
}
