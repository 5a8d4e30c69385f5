//! SHA-256, by which the frontend tells answers and certificates apart.

use openssl::sha::Sha256;

/// SHA-256, without the search for an algorithm of this name by which OpenSSL's function of one call begins: 0.7 µs.
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(octets);
    hash.finish()
}
