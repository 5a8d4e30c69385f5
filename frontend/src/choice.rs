//! Which of an issuer's keys signs: one whose certificate is valid now, of the algorithm that the client would rather have
//! (RFC 6960 section 4.4.7.2), else of the first that is configured; of several with one algorithm the youngest, so that the
//! next key takes over when its time comes.

use der::oid::ObjectIdentifier;

/// A key, as far as the choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The algorithm of its signatures.
    pub algorithm: ObjectIdentifier,
    /// From when its certificate is valid, in seconds since 1970.
    pub not_before: u64,
    /// Until when, inclusive.
    pub not_after: u64,
}

impl Candidate {
    /// Whether its certificate is valid.
    pub fn is_valid(&self, now: u64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// The place of the key that signs, if one can. What the client prefers comes in its order.
pub fn choose<'a>(
    candidates: impl Iterator<Item = &'a Candidate> + Clone,
    preferred: &[ObjectIdentifier],
    now: u64,
) -> Option<u16> {
    let valid = (0..)
        .zip(candidates)
        .filter(|(_, candidate): &(u16, &Candidate)| candidate.is_valid(now));
    let first = valid.clone().next()?;
    let wanted = preferred.iter().find(|wanted| {
        let mut valid = valid.clone();
        valid.any(|(_, candidate)| candidate.algorithm == **wanted)
    });
    let algorithm = wanted.unwrap_or(&first.1.algorithm);
    let same = valid.filter(|(_, candidate)| candidate.algorithm == *algorithm);
    // Of two that are equally old, the one that stands first.
    same.reduce(|best, other| {
        if other.1.not_before > best.1.not_before {
            other
        } else {
            best
        }
    })
    .map(|(place, _)| place)
}

/// Until when the choice is the same, in seconds since 1970: then one of them becomes valid, or is no more.
pub fn chosen_until<'a>(candidates: impl Iterator<Item = &'a Candidate>, now: u64) -> u64 {
    candidates
        .flat_map(|candidate| [candidate.not_before, candidate.not_after + 1])
        .filter(|moment| *moment > now)
        .min()
        .unwrap_or(u64::MAX)
}

/// Until when there is a key that can sign without a pause from now on, in seconds since 1970; nothing where there is none now.
pub fn signs_until<'a>(
    candidates: impl Iterator<Item = &'a Candidate> + Clone,
    now: u64,
) -> Option<u64> {
    let mut until = candidates
        .clone()
        .filter(|candidate| candidate.is_valid(now))
        .map(|candidate| candidate.not_after)
        .max()?;
    // Each look takes up one more key at least, or is the last.
    loop {
        let next = candidates
            .clone()
            .filter(|candidate| candidate.is_valid(until))
            .map(|candidate| candidate.not_after)
            .max();
        match next {
            Some(next) if next > until => until = next,
            Some(_) | None => return Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::oid::db::rfc5912::{ECDSA_WITH_SHA_256, SHA_256_WITH_RSA_ENCRYPTION};
    use der::oid::db::rfc8410::ID_ED_25519;

    const RSA: ObjectIdentifier = SHA_256_WITH_RSA_ENCRYPTION;
    const EC: ObjectIdentifier = ECDSA_WITH_SHA_256;

    fn key(algorithm: ObjectIdentifier, not_before: u64, not_after: u64) -> Candidate {
        Candidate {
            algorithm,
            not_before,
            not_after,
        }
    }

    /// conformance 35: the client's preference comes first, then what is configured first.
    #[test]
    fn the_client_chooses_among_algorithms_and_time_among_keys() {
        let keys = [
            key(RSA, 0, 100),
            key(EC, 0, 100),
            key(RSA, 50, 200),
            key(EC, 0, 100),
        ];
        let chosen = |preferred: &[_], now| choose(keys.iter(), preferred, now);
        assert_eq!(chosen(&[], 10), Some(0));
        assert_eq!(chosen(&[EC, RSA], 10), Some(1));
        assert_eq!(chosen(&[ID_ED_25519, EC], 10), Some(1));
        assert_eq!(chosen(&[ID_ED_25519], 10), Some(0));
        // The next key takes over at its notBefore, and is what is left.
        assert_eq!(chosen(&[], 49), Some(0));
        assert_eq!(chosen(&[], 50), Some(2));
        assert_eq!(chosen(&[EC], 101), Some(2));
        assert_eq!(chosen(&[], 201), None);
    }

    #[test]
    fn a_choice_lasts_until_a_key_comes_or_goes() {
        let keys = [key(RSA, 0, 100), key(EC, 50, 200)];
        let until = |now| chosen_until(keys.iter(), now);
        assert_eq!([until(10), until(49)], [50, 50]);
        assert_eq!([until(50), until(100)], [101, 101]);
        assert_eq!([until(101), until(201)], [201, u64::MAX]);
        for now in 0..300 {
            let chosen = |now| choose(keys.iter(), &[], now);
            let until = until(now).min(300);
            assert!(
                (now..until).all(|later| chosen(later) == chosen(now)),
                "{now}"
            );
        }
    }

    #[test]
    fn a_successor_carries_on_only_without_a_pause() {
        let until = |keys: &[Candidate], now| signs_until(keys.iter(), now);
        assert_eq!(until(&[], 5), None);
        assert_eq!(until(&[key(RSA, 10, 20)], 5), None);
        let chain = [key(EC, 30, 40), key(RSA, 0, 20), key(RSA, 15, 30)];
        assert_eq!(until(&chain, 5), Some(40));
        assert_eq!(until(&[key(RSA, 0, 20), key(RSA, 22, 40)], 5), Some(20));
    }
}
