//! What this frontend has done since its start, for `/metrics`. Each number only grows.

use std::sync::atomic::{AtomicU64, Ordering};

use ocsp_wire::HashAlgorithm;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers that were signed: *good*, *revoked*, *unknown*.
    pub answers: Count,
    /// *malformedRequest*
    pub malformed: Count,
    /// *internalError*
    pub internal_error: Count,
    /// *tryLater*
    pub try_later: Count,
    /// *sigRequired*
    pub sig_required: Count,
    /// *unauthorized*
    pub unauthorized: Count,
    /// Answers that came from the cache, without a look at the source.
    pub hits: Count,
    /// Answers of the generation before that were looked at again, and served.
    pub inherited: Count,
    /// Requests by the hash of their CertID.
    pub hashes: Hashes,
    /// Signatures that were asked for.
    pub signatures: Count,
    /// Answers of the signer that nobody was given, because they were wrong.
    pub withheld: Count,
}

/// Requests by the hash of their CertID; of several certificates the first counts.
#[derive(Debug, Default)]
pub struct Hashes([Count; 4]);

impl Hashes {
    /// Those by an algorithm.
    pub fn by(&self, hash: HashAlgorithm) -> &Count {
        let [sha1, sha256, sha384, sha512] = &self.0;
        match hash {
            HashAlgorithm::Sha1 => sha1,
            HashAlgorithm::Sha256 => sha256,
            HashAlgorithm::Sha384 => sha384,
            HashAlgorithm::Sha512 => sha512,
        }
    }
}

/// What is counted of a source that is a database.
#[derive(Debug, Default)]
pub struct SourceCounts {
    /// Look-ups.
    pub look_ups: Count,
    /// Statements in which they travelled.
    pub statements: Count,
    /// Rows that were complained about.
    pub row_errors: Count,
}

impl SourceCounts {
    /// Look-ups, statements and row errors, in this order.
    pub fn all(&self) -> [u64; 3] {
        [&self.look_ups, &self.statements, &self.row_errors].map(Count::value)
    }
}
