//! What the key will say. Every question goes through [`Policy::allow`], which either makes a [`Statement`] out of it,
//! all of whose hashes, names and times are the signer's own, or refuses. It trusts nothing in the question.

use ocsp_child::log;
use ocsp_wire::{
    Evidence, Foreign, GoodPolicy, HashAlgorithm, Item, Ours, Parameters, Reason, Refusal,
    SignRequest, Status, Withdrawn,
};

use crate::certificate;
use crate::clock::{Clock, NoTime};
use crate::issuer::{Issuer, Key};
use crate::key::sha256;
use crate::memory::{Proven, Revocation, Revoked};
use crate::response;

/// The last second of the year 9999, which ends GeneralizedTime.
const END_OF_TIME: u64 = 253_402_300_799;

/// What an answer will say, before it is DER.
pub struct Statement<'a> {
    /// In whose name.
    pub issuer: &'a Issuer,
    /// By which key.
    pub key: &'a Key,
    /// Seconds since 1970, as all times here.
    pub produced_at: u64,
    /// No later than `produced_at`.
    pub this_update: u64,
    /// Never past the notAfter of the certificate that signs.
    pub next_update: u64,
    /// To be echoed.
    pub nonce: Option<&'a [u8]>,
    /// Whether the answer says *revoked* of what was never issued (RFC 6960 section 4.4.8).
    pub extended_revoke: bool,
    /// One for each item, in order.
    pub singles: Vec<Single<'a>>,
}

/// What is said of one certificate.
pub struct Single<'a> {
    /// Of which.
    pub of: CertId<'a>,
    /// What.
    pub status: Said,
    /// To be said beside it (RFC 6960 section 4.4.4), in seconds since 1970.
    pub archive_cutoff: Option<u64>,
}

/// A CertID: ours, with the signer's own hashes, or a foreign one as it came.
pub enum CertId<'a> {
    /// Of the issuer that signs.
    Ours(HashAlgorithm, Parameters, &'a [u8]),
    /// Of somebody else.
    Foreign(&'a Foreign),
}

/// CertStatus (RFC 6960 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// good
    Good,
    /// revoked
    Revoked(Revocation),
    /// unknown
    Unknown,
}

/// Why there is no statement.
#[derive(Debug, PartialEq, Eq)]
pub enum No {
    /// An answer to the frontend; the channel goes on.
    Refused(Refusal),
    /// The signer has to leave.
    ClockMoved {
        /// By so much.
        seconds: i64,
    },
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The issuers, and what was said in their names.
pub struct Policy {
    issuers: Vec<Issuer>,
    clock: Clock,
    revoked: Revoked,
    proven: Proven,
    forgetting: std::sync::Once,
}

impl Policy {
    /// A policy that has not said anything yet, and will remember `remember_revoked` serials.
    pub fn new(issuers: Vec<Issuer>, remember_revoked: u32) -> Self {
        Self {
            issuers,
            clock: Clock::start(),
            revoked: Revoked::new(usize::try_from(remember_revoked).unwrap_or(usize::MAX)),
            proven: Proven::default(),
            forgetting: std::sync::Once::new(),
        }
    }

    /// An issuer's name, for the log.
    pub fn name_of(&self, issuer: u16) -> &str {
        self.issuers
            .get(usize::from(issuer))
            .map_or("none", |issuer| &issuer.name)
    }

    /// Decides on a question. What was allowed and then signed is to be reported by [`Policy::said`].
    pub fn allow<'a>(&'a self, question: &'a SignRequest) -> Result<Statement<'a>, No> {
        let issuer = self
            .issuers
            .get(usize::from(question.issuer))
            .ok_or(Refusal::Issuer)?;
        let key = issuer
            .keys
            .get(usize::from(question.key))
            .ok_or(Refusal::Key)?;
        if question
            .nonce
            .as_ref()
            .is_some_and(|nonce| nonce.is_empty())
        {
            return Err(Refusal::Nonce.into());
        }
        if !question
            .items
            .iter()
            .any(|item| matches!(item, Item::Ours(_)))
        {
            return Err(Refusal::NothingOurs.into());
        }
        let (produced_at, this_update, next_update) = self.times(issuer, key)?;
        let mut singles = Vec::with_capacity(question.items.len());
        let mut extended_revoke = false;
        for (place, item) in (0..).zip(question.items.iter()) {
            singles.push(match item {
                Item::Foreign(foreign) => foreign_unknown(issuer, foreign)?,
                Item::Ours(ours) => {
                    extended_revoke |= ours.status == Status::NeverIssued;
                    let status = self.status(question.issuer, issuer, place, ours, produced_at)?;
                    // Of what has no record, nothing was retained.
                    let has_record = matches!(ours.status, Status::Good | Status::Revoked { .. });
                    Single {
                        of: CertId::Ours(ours.hash, ours.parameters, &ours.serial),
                        status,
                        archive_cutoff: has_record
                            .then(|| issuer.archive_cutoff(produced_at))
                            .flatten(),
                    }
                }
            });
        }
        if let Some(withdrawn) = contradiction(&singles) {
            return Err(Refusal::Withdrawn(withdrawn).into());
        }
        let nonce = question.nonce.as_deref();
        Ok(Statement {
            issuer,
            key,
            produced_at,
            this_update,
            next_update,
            nonce,
            extended_revoke,
            singles,
        })
    }

    /// Remembers the revocations of a statement that was signed, before the answer is sent: revoked stays revoked, unless
    /// it was a hold. Not before it was signed, so that a question which is refused leaves no trace.
    pub fn said(&self, issuer: u16, statement: &Statement<'_>) {
        for single in &statement.singles {
            if let (CertId::Ours(_, _, serial), Said::Revoked(revocation)) =
                (&single.of, single.status)
                && revocation.reason != Some(Reason::CertificateHold)
                && self.revoked.keep(issuer, serial, revocation)
            {
                self.forgetting.call_once(|| {
                    log::security("more revoked serials were signed than this signer remembers: the oldest are forgotten");
                });
            }
        }
    }

    /// producedAt, thisUpdate and nextUpdate from one reading of the clock.
    fn times(&self, issuer: &Issuer, key: &Key) -> Result<(u64, u64, u64), No> {
        let now = self.clock.now().map_err(|no_time| match no_time {
            NoTime::Behind => No::Refused(Refusal::ClockBehind),
            NoTime::Moved(seconds) => No::ClockMoved { seconds },
        })?;
        if now < key.not_before {
            return Err(Refusal::SignerNotValid.into());
        }
        let this_update = now.saturating_sub(issuer.backdate).max(key.not_before);
        let next_update = this_update
            .saturating_add(issuer.validity)
            .saturating_sub(1)
            .min(key.not_after);
        if next_update <= now {
            return Err(Refusal::SignerNotValid.into());
        }
        if next_update.saturating_sub(this_update) < issuer.least_validity.saturating_sub(1) {
            return Err(Refusal::SignerEndsSoon.into());
        }
        Ok((now, this_update, next_update))
    }

    fn status(
        &self,
        index: u16,
        issuer: &Issuer,
        item: u16,
        ours: &Ours,
        now: u64,
    ) -> Result<Said, Refusal> {
        if ours.status == Status::Unknown {
            return Ok(Said::Unknown); // says nothing of the serial, whatever it is
        }
        if !is_serial(&ours.serial) {
            return Err(Refusal::Serial);
        }
        match ours.status {
            Status::Good => {
                self.proves(index, issuer, &ours.serial, &ours.evidence)?;
                match self.revoked.of(index, &ours.serial) {
                    Some(Revocation { time, reason }) => {
                        Err(Refusal::Withdrawn(Withdrawn { item, time, reason }))
                    }
                    None => Ok(Said::Good),
                }
            }
            Status::Revoked { time, .. } if time > END_OF_TIME => Err(Refusal::RevocationTime),
            Status::Revoked {
                reason: Some(Reason::CertificateHold),
                ..
            } if !issuer.hold => Err(Refusal::Hold),
            Status::Revoked { time, reason } => Ok(Said::Revoked(Revocation {
                time: time.min(now),
                reason,
            })),
            Status::NeverIssued if issuer.never_issued => Ok(Said::Revoked(Revocation {
                time: 0,
                reason: Some(Reason::CertificateHold),
            })),
            Status::NeverIssued => Err(Refusal::NeverIssued),
            Status::Unknown => Ok(Said::Unknown),
        }
    }

    /// Good needs proof: a certificate with this issuer's name, this serial, and this issuer's signature.
    fn proves(
        &self,
        index: u16,
        issuer: &Issuer,
        serial: &[u8],
        evidence: &Evidence,
    ) -> Result<(), Refusal> {
        let certificate = match (issuer.good, evidence) {
            (GoodPolicy::Status, _) => return Ok(()),
            (GoodPolicy::Certificate, Evidence::None) => return Err(Refusal::NoEvidence),
            (GoodPolicy::Certificate, Evidence::Certificate(certificate)) => certificate,
        };
        let digest = sha256(certificate);
        match self.proven.carries(index, &digest, serial) {
            Some(true) => return Ok(()),
            Some(false) => return Err(Refusal::EvidenceSerial),
            None => {}
        }
        let cut = certificate::cut(certificate).ok_or(Refusal::EvidenceUnreadable)?;
        if cut.issuer != issuer.subject {
            return Err(Refusal::EvidenceIssuer);
        }
        if cut.serial != serial {
            return Err(Refusal::EvidenceSerial);
        }
        if !issuer.public.verify(cut.algorithm, cut.tbs, cut.signature) {
            return Err(Refusal::EvidenceSignature);
        }
        self.proven.keep(index, digest, serial);
        Ok(())
    }
}

/// Whether one question says *good* and *revoked* of one serial: revoked stays revoked within an answer, too.
fn contradiction(singles: &[Single<'_>]) -> Option<Withdrawn> {
    let good = |single: &Single<'_>| single.status == Said::Good;
    (0..)
        .zip(singles)
        .filter(|(_, single)| good(single))
        .find_map(|(item, single)| {
            let CertId::Ours(_, _, serial) = single.of else {
                return None;
            };
            singles
                .iter()
                .find_map(|other| match (&other.of, other.status) {
                    (CertId::Ours(_, _, same), Said::Revoked(Revocation { time, reason }))
                        if *same == serial && reason != Some(Reason::CertificateHold) =>
                    {
                        Some(Withdrawn { item, time, reason })
                    }
                    (_, _) => None,
                })
        })
}

/// A foreign item is echoed as unknown, unless it names the issuer that signs.
fn foreign_unknown<'a>(issuer: &Issuer, foreign: &'a Foreign) -> Result<Single<'a>, Refusal> {
    const ALGORITHMS: [HashAlgorithm; 4] = [
        HashAlgorithm::Sha1,
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];
    // Our hashes under another algorithm's name are nobody's, and unknown.
    let named = ALGORITHMS
        .iter()
        .find(|algorithm| *response::oid(**algorithm).as_bytes() == *foreign.algorithm);
    let is_ours = named.is_some_and(|algorithm| {
        let hashes = issuer.hashes(*algorithm);
        hashes.name == *foreign.name_hash && hashes.key == *foreign.key_hash
    });
    if is_ours {
        return Err(Refusal::ForeignIsOurs);
    }
    Ok(Single {
        of: CertId::Foreign(foreign),
        status: Said::Unknown,
        archive_cutoff: None,
    })
}

/// The content of a DER INTEGER that a certificate may carry: positive, minimal, at most 20 octets of magnitude (RFC
/// 5280 section 4.1.2.2).
fn is_serial(content: &[u8]) -> bool {
    match content {
        [] | [0] | [0x80..=0xff, ..] => false,
        [0, magnitude @ ..] => {
            magnitude.len() <= 20 && magnitude.first().is_some_and(|first| *first >= 0x80)
        }
        magnitude => magnitude.len() <= 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_minimal_and_bounded() {
        let twenty = [0x7f; 20];
        let high = [[0].as_slice(), &[0xff; 20]].concat();
        for good in [&[1][..], &[0x7f], &[0, 0x80], &twenty, &high] {
            assert!(is_serial(good), "{good:02x?}");
        }
        let long = [0x7f; 21];
        for bad in [
            &[][..],
            &[0],
            &[0x80],
            &[0xff, 1],
            &[0, 1],
            &[0, 0x7f],
            &long,
        ] {
            assert!(!is_serial(bad), "{bad:02x?}");
        }
    }
}
