//! What a frontend leaves to the next one: its answers, those that were used most first, through a pipe. The one that leaves
//! is not trusted. What comes out of the pipe is bounded, is kept apart from what this frontend answers by, and becomes an
//! answer only when the source says the same again and the signature was verified (`Responder::take_over`). Both ends are
//! of one build: nothing of this is known outside.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use ocsp_child::log;
use ocsp_wire::{HashAlgorithm, Parameters, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::yield_now;

use crate::answer::Responder;
use crate::cache::{Inherited, Kept, Key};
use crate::issuer::{ALGORITHMS, Line};
use crate::serial::Serial;
use crate::status::{Revocation, Said};

/// What a pipe begins with.
pub const OPENING: &[u8] = b"ocsp-frontend heritage 1\n";

/// The most octets that one answer may take, with all that stands before it: the signer's answers have at most 255 KiB.
const LARGEST: usize = 256 << 10;

/// So many octets are written, or read, before others get their turn.
const AT_A_TIME: usize = 64 << 10;

/// So many entries are looked at before others get their turn.
const LOOKED_AT: usize = 256;

/// Reasons by their number here, counted from 0.
const REASONS: [Reason; 8] = [
    Reason::KeyCompromise,
    Reason::CaCompromise,
    Reason::AffiliationChanged,
    Reason::Superseded,
    Reason::CessationOfOperation,
    Reason::CertificateHold,
    Reason::PrivilegeWithdrawn,
    Reason::AaCompromise,
];

/// An answer that is left. Issuer and key are told by what they are, not by their places: the next configuration may have
/// others there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Who signed it, in whose name, and by which settings.
    pub line: Line,
    /// The CertID's hash algorithm.
    pub hash: HashAlgorithm,
    /// The form of its parameters.
    pub parameters: Parameters,
    /// The serial.
    pub serial: Serial,
    /// What the source said.
    pub said: Said,
    /// The OCSPResponse.
    pub der: Bytes,
}

impl Left {
    /// Appends it: its length in four octets, little endian, and its fields.
    pub fn write(&self, octets: &mut Vec<u8>) {
        let begin = octets.len();
        octets.extend([0; 4]);
        octets.extend(self.line);
        octets.push(number(&ALGORITHMS, &self.hash));
        octets.push(u8::from(self.parameters == Parameters::Null));
        let (how, time) = match self.said.revoked {
            None => (0, 0),
            Some(Revocation { time, reason: None }) => (1, time),
            Some(Revocation {
                time,
                reason: Some(reason),
            }) => (2 + number(&REASONS, &reason), time),
        };
        octets.push(how);
        octets.extend(time.to_le_bytes());
        octets.extend(self.said.proof);
        octets.push(u8::try_from(self.serial.len()).unwrap_or(0)); // it was bounded when it came in
        octets.extend(&*self.serial);
        octets.extend(&*self.der);
        let length = u32::try_from(octets.len() - begin - 4).unwrap_or(u32::MAX);
        if let Some(place) = octets.get_mut(begin..begin + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Reads the fields, which must fill `octets`.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let (line, octets) = octets.split_first_chunk()?;
        let (&[hash, parameters, how], octets) = octets.split_first_chunk()?;
        let (time, octets) = octets.split_first_chunk()?;
        let (proof, octets) = octets.split_first_chunk()?;
        let (&length, octets) = octets.split_first()?;
        let (serial, der) = octets.split_at_checked(length.into())?;
        let time = u64::from_le_bytes(*time);
        let revoked = match how {
            0 if time == 0 => None,
            0 => return None,
            1 => Some(Revocation { time, reason: None }),
            more => Some(Revocation {
                time,
                reason: Some(*REASONS.get(usize::from(more) - 2)?),
            }),
        };
        Some(Self {
            line: *line,
            hash: *ALGORITHMS.get(usize::from(hash))?,
            parameters: match parameters {
                0 => Parameters::Absent,
                1 => Parameters::Null,
                _ => return None,
            },
            serial: serial.into(),
            said: Said {
                revoked,
                proof: *proof,
            },
            der: Bytes::copy_from_slice(der),
        })
    }
}

/// The place of something in a list that has it.
fn number<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|other| other == one);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(0)
}

/// What comes out of a pipe, taken apart. Holds no more octets than one answer may take and one read.
#[derive(Default)]
pub struct Stream {
    octets: Vec<u8>,
    /// So many of them were taken.
    taken: usize,
    opened: bool,
}

/// What came is not what a frontend leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Senseless;

impl Stream {
    /// More octets. Before there are more, each answer is to be taken out by [`Stream::left`].
    pub fn extend(&mut self, octets: &[u8]) {
        self.octets.drain(..self.taken);
        self.taken = 0;
        self.octets.extend_from_slice(octets);
    }

    /// The next answer, if it is there whole.
    pub fn left(&mut self) -> Result<Option<Left>, Senseless> {
        if !self.opened {
            let Some(opening) = self.octets.get(..OPENING.len()) else {
                let begins = OPENING.starts_with(&self.octets);
                return if begins { Ok(None) } else { Err(Senseless) };
            };
            if opening != OPENING {
                return Err(Senseless);
            }
            (self.opened, self.taken) = (true, OPENING.len());
        }
        let rest = self.octets.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Senseless)?;
        if length > LARGEST {
            return Err(Senseless);
        }
        let Some(octets) = rest.get(..length) else {
            return Ok(None);
        };
        self.taken += 4 + length;
        Left::read(octets).map(Some).ok_or(Senseless)
    }
}

/// Leaves everything that is kept. Ends early where nobody reads any more.
pub async fn leave(responder: &Responder, mut pipe: Sender) -> io::Result<()> {
    pipe.write_all(OPENING).await?;
    // By the number of bits of how often they were used: to sort them all would keep others waiting.
    let mut by_use = vec![Vec::new(); 33];
    let mut all = responder.cache().all();
    loop {
        let some: Vec<_> = all.by_ref().take(LOOKED_AT).collect();
        if some.is_empty() {
            break;
        }
        for (key, kept) in some {
            let used = match &kept {
                Kept::Answer(entry) => entry.uses(),
                Kept::Inherited(_) => 0,
            };
            let bits = usize::try_from(u32::BITS - used.leading_zeros()).unwrap_or(0);
            if let Some(place) = by_use.get_mut(bits) {
                place.push((key, kept));
            }
        }
        yield_now().await;
    }
    let mut octets = Vec::with_capacity(2 * AT_A_TIME);
    for (key, kept) in by_use.into_iter().rev().flatten() {
        let Some(line) = responder.line(&key) else {
            continue;
        };
        let (said, der) = match kept {
            Kept::Answer(entry) => (entry.said.clone(), entry.ready.written.shared()),
            Kept::Inherited(inherited) => (inherited.said.clone(), inherited.der.clone()),
        };
        let left = Left {
            line,
            hash: key.hash,
            parameters: key.parameters,
            serial: key.serial,
            said,
            der,
        };
        left.write(&mut octets);
        if octets.len() >= AT_A_TIME {
            pipe.write_all(&octets).await?;
            octets.clear();
            yield_now().await;
        }
    }
    pipe.write_all(&octets).await
}

/// Takes what the frontend before leaves into the cache, as far as there is room for it, and it is of issuers and keys that are
/// still the same.
pub async fn take(responder: &Responder, mut pipe: Receiver) {
    let lines: HashMap<Line, (u16, u16)> = responder.lines().collect();
    let mut stream = Stream::default();
    let mut octets = vec![0; AT_A_TIME];
    let mut left = responder.cache().memory();
    let (mut taken, mut others) = (0_u64, 0_u64);
    'all: loop {
        let read = match pipe.read(&mut octets).await {
            Ok(0) | Err(_) => break,
            Ok(read) => octets.get(..read).unwrap_or_default(),
        };
        // What is kept takes more octets than it is left in: an honest frontend with as much memory ends before this.
        left = left.saturating_sub(u64::try_from(read.len()).unwrap_or(u64::MAX));
        if left == 0 {
            break;
        }
        stream.extend(read);
        loop {
            let left = match stream.left() {
                Ok(Some(left)) => left,
                Ok(None) => break,
                Err(Senseless) => {
                    log::warning(
                        "what the generation before leaves makes no sense: the rest of it is not read",
                    );
                    break 'all;
                }
            };
            let Some(&(issuer, key)) = lines.get(&left.line) else {
                others += 1;
                continue;
            };
            let key = Key {
                issuer,
                key,
                hash: left.hash,
                parameters: left.parameters,
                serial: left.serial,
            };
            let (der, said) = (left.der, left.said);
            if !responder.cache().inherit(key, Inherited { der, said }) {
                break 'all;
            }
            taken += 1;
        }
        yield_now().await;
    }
    log::notice(format_args!(
        "inherits {taken} answers of the generation before, each to be looked at again before it is served; {others} more are of settings, certificates or keys that have changed"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(serial: &[u8], revoked: Option<Revocation>) -> Left {
        Left {
            line: [7; 32],
            hash: HashAlgorithm::Sha384,
            parameters: Parameters::Null,
            serial: serial.into(),
            said: Said {
                revoked,
                proof: [9; 32],
            },
            der: Bytes::copy_from_slice(&[0x30; 700]),
        }
    }

    fn some() -> Vec<Left> {
        let reasons = [None].into_iter().chain(REASONS.map(Some));
        let revoked = reasons.map(|reason| Some(Revocation { time: 8, reason }));
        [None]
            .into_iter()
            .chain(revoked)
            .zip(1..)
            .map(|(revoked, serial)| left(&[serial; 21], revoked))
            .collect()
    }

    fn written(all: &[Left]) -> Vec<u8> {
        let mut octets = OPENING.to_vec();
        for left in all {
            left.write(&mut octets);
        }
        octets
    }

    #[test]
    fn what_is_left_comes_out_as_it_went_in_however_it_is_cut() {
        let all = some();
        let octets = written(&all);
        for size in [1, 3, 100, 1000, octets.len()] {
            let (mut stream, mut came) = (Stream::default(), Vec::new());
            for part in octets.chunks(size) {
                stream.extend(part);
                while let Some(left) = stream.left().unwrap() {
                    came.push(left);
                }
            }
            assert_eq!(came, all);
            assert_eq!(stream.taken, stream.octets.len());
        }
    }

    #[test]
    fn what_nobody_leaves_is_senseless_and_nothing_panics() {
        let take = |octets: &[u8]| {
            let mut stream = Stream::default();
            stream.extend(octets);
            let mut all = Vec::new();
            while let Some(left) = stream.left()? {
                all.push(left);
            }
            Ok(all)
        };
        assert_eq!(take(b"ocsp-frontend heritage 2\n"), Err(Senseless));
        assert_eq!(take(b"GET"), Err(Senseless));
        assert_eq!(take(b""), Ok(Vec::new()));
        // A length beyond the bound is refused before anything of it is waited for.
        let long = u32::try_from(LARGEST + 1).unwrap().to_le_bytes();
        assert_eq!(take(&[OPENING, &long].concat()), Err(Senseless));
        assert_eq!(take(&[OPENING, &[0; 4]].concat()), Err(Senseless));
        let octets = written(&some()[..2]);
        for end in 0..octets.len() {
            assert!(take(&octets[..end]).is_ok(), "{end}");
        }
        for at in 0..octets.len() {
            for octet in [0, 1, 2, 9, 10, 0x7f, 0xff] {
                let mut changed = octets.clone();
                changed[at] = octet;
                let _ = take(&changed);
            }
        }
        // No field takes what it does not know.
        for (at, wrong) in [(32, 4), (33, 2), (34, 10)] {
            let mut octets = written(&some()[..1]).split_off(OPENING.len() + 4);
            assert!(Left::read(&octets).is_some());
            octets[at] = wrong;
            assert_eq!(Left::read(&octets), None, "{at}");
        }
    }
}
