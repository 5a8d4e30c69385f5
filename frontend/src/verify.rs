//! Who signs an issuer's answers, as the certificates on disk say: by which name, by which certificate, and whether a
//! signature is theirs. The frontend does not take the signer's word for any of it. Here are public keys only.

use std::sync::atomic::{AtomicU32, Ordering};

use der::asn1::AnyRef;
use der::oid::ObjectIdentifier;
use der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use der::oid::db::rfc8410::{ID_ED_448, ID_ED_25519};
use ocsp_frontend_settings::Verify;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, PKeyRef, Public};
use openssl::sha::sha1;
use openssl::sign::Verifier;
use openssl::x509::X509;
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::certificate::Certificate;
use crate::choice::Candidate;

/// Of a sample, so many signatures are passed over after one that was right.
const PASSED_OVER: u32 = 63;

/// A key that signs in an issuer's name.
pub struct Signatory {
    key: PKey<Public>,
    key_hash: [u8; 20],
    certificate: Option<Vec<u8>>,
    candidate: Candidate,
    passed_over: u32,
    until_next: AtomicU32,
}

/// How a signature was made.
#[derive(Clone, Copy)]
pub struct Scheme(Option<MessageDigest>);

impl Signatory {
    /// An issuer that signs by the key of its own certificate. The error goes on after the file's name.
    pub fn itself(certificate: &[u8], digest: u16, verify: Verify) -> Result<Self, String> {
        Self::new(certificate, false, digest, verify)
    }

    /// A delegated responder. The error goes on after the file's name.
    pub fn delegated(certificate: &[u8], digest: u16, verify: Verify) -> Result<Self, String> {
        Self::new(certificate, true, digest, verify)
    }

    /// `digest` is that of an RSA key, in bits; other keys bring their own.
    fn new(der: &[u8], delegated: bool, digest: u16, verify: Verify) -> Result<Self, String> {
        // As OpenSSL writes it: that is what the signer sends along.
        let read = X509::from_der(der).and_then(|read| Ok((read.public_key()?, read.to_der()?)));
        let (key, der) = read.map_err(|error| format!("its key cannot be used: {error}"))?;
        let cut = Certificate::from_der(&der).ok_or("is no certificate in DER")?;
        let candidate = Candidate {
            algorithm: algorithm(&key, digest)
                .ok_or("its key is of a kind that cannot sign here")?,
            not_before: cut.not_before,
            not_after: cut.not_after,
        };
        Ok(Self {
            candidate,
            key,
            key_hash: sha1(cut.key),
            certificate: delegated.then_some(der),
            passed_over: match verify {
                Verify::Sample => PASSED_OVER,
                Verify::Always => 0,
            },
            until_next: AtomicU32::new(0),
        })
    }

    /// What of it goes into the choice of a key.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// The name it signs by: SHA-1 of its key's BIT STRING (RFC 6960 section 4.2.1, byKey).
    pub fn key_hash(&self) -> &[u8; 20] {
        &self.key_hash
    }

    /// The certificate that goes with its answers, as DER: a delegated responder's (RFC 9919 section 3.2.2).
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// What an AlgorithmIdentifier means, if this key signs like that: parameters NULL for RSA (RFC 4055), none for the
    /// others (RFC 5758, RFC 8410).
    pub fn scheme(&self, algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Scheme> {
        let (kind, digest) = match algorithm.oid {
            SHA_256_WITH_RSA_ENCRYPTION => (Id::RSA, Some(MessageDigest::sha256())),
            SHA_384_WITH_RSA_ENCRYPTION => (Id::RSA, Some(MessageDigest::sha384())),
            SHA_512_WITH_RSA_ENCRYPTION => (Id::RSA, Some(MessageDigest::sha512())),
            ECDSA_WITH_SHA_256 => (Id::EC, Some(MessageDigest::sha256())),
            ECDSA_WITH_SHA_384 => (Id::EC, Some(MessageDigest::sha384())),
            ECDSA_WITH_SHA_512 => (Id::EC, Some(MessageDigest::sha512())),
            ID_ED_25519 => (Id::ED25519, None),
            ID_ED_448 => (Id::ED448, None),
            _ => return None,
        };
        let parameters = (kind == Id::RSA).then_some(AnyRef::NULL);
        (self.key.id() == kind && algorithm.parameters == parameters).then_some(Scheme(digest))
    }

    /// Whether `signature` may be believed to be this key's over `octets`: it is verified, or it is passed over.
    pub fn vouches_for(&self, scheme: Scheme, octets: &[u8], signature: &[u8]) -> bool {
        let passed_over = |left: u32| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.until_next.fetch_update(set, get, passed_over).is_ok() {
            return true;
        }
        let right = self.verifies(scheme, octets, signature).unwrap_or(false);
        // Of a signer that was wrong each is verified, until one is right.
        let until_next = if right { self.passed_over } else { 0 };
        self.until_next.store(until_next, Ordering::Relaxed);
        right
    }

    fn verifies(
        &self,
        Scheme(digest): Scheme,
        octets: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        match digest {
            Some(digest) => Verifier::new(digest, &self.key)?.verify_oneshot(signature, octets),
            None => Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, octets),
        }
    }
}

/// The algorithm by which a key signs, as the signer chooses it.
fn algorithm(key: &PKeyRef<Public>, digest: u16) -> Option<ObjectIdentifier> {
    Some(match (key.id(), key.bits(), digest) {
        (Id::RSA, _, 256) => SHA_256_WITH_RSA_ENCRYPTION,
        (Id::RSA, _, 384) => SHA_384_WITH_RSA_ENCRYPTION,
        (Id::RSA, _, 512) => SHA_512_WITH_RSA_ENCRYPTION,
        (Id::EC, 256, _) => ECDSA_WITH_SHA_256,
        (Id::EC, 384, _) => ECDSA_WITH_SHA_384,
        (Id::EC, 521, _) => ECDSA_WITH_SHA_512,
        (Id::ED25519, _, _) => ID_ED_25519,
        (Id::ED448, _, _) => ID_ED_448,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode;
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::Private;
    use openssl::rsa::Rsa;
    use openssl::sign::Signer;

    fn curve(nid: Nid) -> PKey<Private> {
        let group = EcGroup::from_curve_name(nid).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn certificate(key: &PKey<Private>) -> Vec<u8> {
        let mut certificate = X509::builder().unwrap();
        certificate.set_pubkey(key).unwrap();
        let time = Asn1Time::days_from_now(1).unwrap();
        certificate.set_not_before(&time).unwrap();
        certificate.set_not_after(&time).unwrap();
        let digest = if [Id::ED25519, Id::ED448].contains(&key.id()) {
            MessageDigest::null()
        } else {
            MessageDigest::sha256()
        };
        certificate.sign(key, digest).unwrap();
        certificate.build().to_der().unwrap()
    }

    #[test]
    fn each_way_in_which_the_signer_signs_is_verified_and_no_other() {
        let rsa = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
        let rsa = |last: u8| [&rsa[..], &[last, 5, 0]].concat();
        let ecdsa = |last: u8| vec![0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last];
        let edwards = |last: u8| vec![0x30, 5, 6, 3, 0x2b, 0x65, last];
        let rsa_key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let [sha256, sha384, sha512] = [
            MessageDigest::sha256(),
            MessageDigest::sha384(),
            MessageDigest::sha512(),
        ];
        let ways = [
            (rsa_key.clone(), rsa(0x0b), Some(sha256)),
            (rsa_key.clone(), rsa(0x0c), Some(sha384)),
            (rsa_key, rsa(0x0d), Some(sha512)),
            (curve(Nid::X9_62_PRIME256V1), ecdsa(2), Some(sha256)),
            (curve(Nid::SECP384R1), ecdsa(3), Some(sha384)),
            (curve(Nid::SECP521R1), ecdsa(4), Some(sha512)),
            (PKey::generate_ed25519().unwrap(), edwards(0x70), None),
            (PKey::generate_ed448().unwrap(), edwards(0x71), None),
        ];
        for (key, algorithm, digest) in &ways {
            let signatory = Signatory::itself(&certificate(key), 256, Verify::Always).unwrap();
            let scheme = |algorithm: &[u8]| {
                signatory.scheme(&AlgorithmIdentifierRef::from_der(algorithm).unwrap())
            };
            let mut signer = match digest {
                Some(digest) => Signer::new(*digest, key).unwrap(),
                None => Signer::new_without_digest(key).unwrap(),
            };
            let mut signature = signer.sign_oneshot_to_vec(b"said").unwrap();
            let by = scheme(algorithm).unwrap();
            assert!(signatory.vouches_for(by, b"said", &signature));
            assert!(!signatory.vouches_for(by, b"sayd", &signature));
            *signature.last_mut().unwrap() ^= 1;
            assert!(!signatory.vouches_for(by, b"said", &signature));
            for (other, algorithm, _) in &ways {
                let fits = other.id() == key.id();
                assert_eq!(scheme(algorithm).is_some(), fits, "{algorithm:02x?}");
            }
        }
    }
}
