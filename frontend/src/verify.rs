//! Who signs an issuer's answers, as the certificates on disk say: by which name, by which certificate, and whether a
//! signature is theirs. The frontend does not take the signer's word for any of it. Here are public keys only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use der::Decode;
use der::asn1::{AnyRef, ObjectIdentifier};
use der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_RSASSA_PSS,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use der::oid::db::rfc8410::{ID_ED_448, ID_ED_25519};
use ocsp_frontend_settings::{self as settings, Verify};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{KeyType, PKey, PKeyRef, Public};
use openssl::rsa::Padding;
use openssl::sha::sha1;
use openssl::sign::{RsaPssSaltlen, Verifier};
use openssl::x509::{X509, X509Ref};
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::certificate::Certificate;
use crate::choice::Candidate;

/// Of a sample, so many signatures are passed over after one that was right.
const PASSED_OVER: u32 = 63;

/// A key that signs in an issuer's name.
pub struct Signatory {
    key: PublicKey,
    key_hash: [u8; 20],
    certificate: Option<Vec<u8>>,
    candidate: Candidate,
    /// How it has signed first: in no other way, mostly.
    known: OnceLock<(Vec<u8>, Scheme)>,
    passed_over: u32,
    until_next: AtomicU32,
}

/// How a signature was made.
#[derive(Clone, Copy)]
pub struct Scheme {
    digest: Option<MessageDigest>,
    is_pss: bool,
}

const ID_ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ID_ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ID_ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// The digests of RSASSA-PSS, and the content of the parameters that name each (RFC 4055 section 3.1): the hash, MGF1 with
/// the same, a salt as long as the hash; the trailer is left out, as it is the default. No other form is ours.
fn pss() -> [(MessageDigest, [u8; 52]); 3] {
    [
        (MessageDigest::sha256(), pss_parameters(1, 32)),
        (MessageDigest::sha384(), pss_parameters(2, 48)),
        (MessageDigest::sha512(), pss_parameters(3, 64)),
    ]
}

/// The hash is named by the last octet of its OBJECT IDENTIFIER.
#[rustfmt::skip]
fn pss_parameters(hash: u8, salt: u8) -> [u8; 52] {
    [
        0xa0, 0x0f, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa1, 0x1c, 0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8,
        0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa2, 3, 2, 1, salt,
    ]
}

/// A public key.
pub struct PublicKey(PKey<Public>);

impl PublicKey {
    /// The key of a certificate.
    pub fn of(certificate: &X509Ref) -> Result<Self, ErrorStack> {
        certificate.public_key().map(Self)
    }

    /// What an AlgorithmIdentifier means, if this key signs like that: parameters NULL for RSASSA-PKCS1-v1_5 (RFC 4055),
    /// one of three for RSASSA-PSS, none for the others (RFC 5758, RFC 8410, RFC 9881).
    pub fn scheme(&self, algorithm: &AlgorithmIdentifierRef<'_>) -> Option<Scheme> {
        let is_a = |kind| self.0.is_a(kind);
        if algorithm.oid == ID_RSASSA_PSS {
            let parameters = algorithm.parameters?;
            let named = pss()
                .into_iter()
                .find(|(_, content)| AnyRef::new(der::Tag::Sequence, content) == Ok(parameters));
            return named
                .filter(|_| is_a(KeyType::RSA) || is_a(KeyType::RSA_PSS))
                .map(|(digest, _)| Scheme {
                    digest: Some(digest),
                    is_pss: true,
                });
        }
        let (kind, digest) = match algorithm.oid {
            SHA_256_WITH_RSA_ENCRYPTION => (KeyType::RSA, Some(MessageDigest::sha256())),
            SHA_384_WITH_RSA_ENCRYPTION => (KeyType::RSA, Some(MessageDigest::sha384())),
            SHA_512_WITH_RSA_ENCRYPTION => (KeyType::RSA, Some(MessageDigest::sha512())),
            ECDSA_WITH_SHA_256 => (KeyType::EC, Some(MessageDigest::sha256())),
            ECDSA_WITH_SHA_384 => (KeyType::EC, Some(MessageDigest::sha384())),
            ECDSA_WITH_SHA_512 => (KeyType::EC, Some(MessageDigest::sha512())),
            ID_ED_25519 => (KeyType::ED25519, None),
            ID_ED_448 => (KeyType::ED448, None),
            ID_ML_DSA_44 => (KeyType::ML_DSA_44, None),
            ID_ML_DSA_65 => (KeyType::ML_DSA_65, None),
            ID_ML_DSA_87 => (KeyType::ML_DSA_87, None),
            _ => return None,
        };
        let parameters = (kind == KeyType::RSA).then_some(AnyRef::NULL);
        (is_a(kind) && algorithm.parameters == parameters).then_some(Scheme {
            digest,
            is_pss: false,
        })
    }

    /// Whether `signature` is this key's over `octets`.
    pub fn verifies(
        &self,
        Scheme { digest, is_pss }: Scheme,
        octets: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        let mut verifier = match digest {
            Some(digest) => Verifier::new(digest, &self.0)?,
            None => Verifier::new_without_digest(&self.0)?,
        };
        if let (true, Some(digest)) = (is_pss, digest) {
            verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
            verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            verifier.set_rsa_mgf1_md(digest)?;
        }
        verifier.verify_oneshot(signature, octets)
    }
}

impl Signatory {
    /// An issuer that signs by the key of its own certificate. The error goes on after the file's name.
    pub fn itself(
        certificate: &[u8],
        settings: &settings::Key,
        verify: Verify,
    ) -> Result<Self, String> {
        Self::new(certificate, false, settings, verify)
    }

    /// A delegated responder. The error goes on after the file's name.
    pub fn delegated(
        certificate: &[u8],
        settings: &settings::Key,
        verify: Verify,
    ) -> Result<Self, String> {
        Self::new(certificate, true, settings, verify)
    }

    fn new(
        der: &[u8],
        delegated: bool,
        settings: &settings::Key,
        verify: Verify,
    ) -> Result<Self, String> {
        // As OpenSSL writes it: that is what the signer sends along.
        let read = X509::from_der(der).and_then(|read| Ok((PublicKey::of(&read)?, read.to_der()?)));
        let (key, der) = read.map_err(|error| format!("its key cannot be used: {error}"))?;
        let cut = Certificate::from_der(&der).ok_or("is no certificate in DER")?;
        let candidate = Candidate {
            algorithm: algorithm(&key.0, settings)
                .ok_or("its key is of a kind that cannot sign here")?,
            not_before: cut.not_before,
            not_after: cut.not_after,
        };
        Ok(Self {
            candidate,
            key,
            key_hash: sha1(cut.key),
            certificate: delegated.then_some(der),
            known: OnceLock::new(),
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

    /// What an AlgorithmIdentifier means, as DER, if this key signs like that.
    pub fn scheme(&self, algorithm: &[u8]) -> Option<Scheme> {
        if let Some((known, scheme)) = self.known.get()
            && known == algorithm
        {
            return Some(*scheme);
        }
        let scheme = self
            .key
            .scheme(&AlgorithmIdentifierRef::from_der(algorithm).ok()?)?;
        let _ = self.known.set((algorithm.to_vec(), scheme));
        Some(scheme)
    }

    /// Whether `signature` is this key's over `octets`.
    pub fn verifies(&self, scheme: Scheme, octets: &[u8], signature: &[u8]) -> bool {
        let verified = self.key.verifies(scheme, octets, signature);
        verified.unwrap_or(false)
    }

    /// Whether `signature` may be believed to be this key's over `octets`: it is verified, or it is passed over.
    pub fn vouches_for(&self, scheme: Scheme, octets: &[u8], signature: &[u8]) -> bool {
        let passed_over = |left: u32| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.until_next.fetch_update(set, get, passed_over).is_ok() {
            return true;
        }
        let right = self.verifies(scheme, octets, signature);
        // Of a signer that was wrong each is verified, until one is right.
        let until_next = if right { self.passed_over } else { 0 };
        self.until_next.store(until_next, Ordering::Relaxed);
        right
    }
}

/// The algorithm by which a key signs, as the signer chooses it.
fn algorithm(key: &PKeyRef<Public>, settings: &settings::Key) -> Option<ObjectIdentifier> {
    let is_a = |kind| key.is_a(kind);
    if is_a(KeyType::RSA_PSS) || (is_a(KeyType::RSA) && settings.pss) {
        return Some(ID_RSASSA_PSS);
    }
    if is_a(KeyType::RSA) {
        return match settings.digest {
            256 => Some(SHA_256_WITH_RSA_ENCRYPTION),
            384 => Some(SHA_384_WITH_RSA_ENCRYPTION),
            512 => Some(SHA_512_WITH_RSA_ENCRYPTION),
            _ => None,
        };
    }
    if is_a(KeyType::EC) {
        return match key.bits() {
            256 => Some(ECDSA_WITH_SHA_256),
            384 => Some(ECDSA_WITH_SHA_384),
            521 => Some(ECDSA_WITH_SHA_512),
            _ => None,
        };
    }
    let others = [
        (KeyType::ED25519, ID_ED_25519),
        (KeyType::ED448, ID_ED_448),
        (KeyType::ML_DSA_44, ID_ML_DSA_44),
        (KeyType::ML_DSA_65, ID_ML_DSA_65),
        (KeyType::ML_DSA_87, ID_ML_DSA_87),
    ];
    let found = others.into_iter().find(|(kind, _)| is_a(*kind));
    found.map(|(_, algorithm)| algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::{Id, Private};
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

    /// A key that is for RSASSA-PSS alone: an RSA key's numbers under the other name.
    fn pss_key() -> PKey<Private> {
        let made = std::process::Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA-PSS"])
            .output()
            .unwrap();
        PKey::private_key_from_pem(&made.stdout).unwrap()
    }

    /// conformance 18, 19: each AlgorithmIdentifier has exactly the parameters of its standard; of RSASSA-PSS three forms.
    #[test]
    fn each_way_in_which_the_signer_signs_is_verified_and_no_other() {
        let rsa = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
        let rsa_with = |last: u8| [&rsa[..], &[last, 5, 0]].concat();
        let ecdsa = |last: u8| vec![0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last];
        let edwards = |last: u8| vec![0x30, 5, 6, 3, 0x2b, 0x65, last];
        let rsa_key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let [sha256, sha384, sha512] = [
            MessageDigest::sha256(),
            MessageDigest::sha384(),
            MessageDigest::sha512(),
        ];
        let id = [&rsa[..12], &[0x0a]].concat();
        let pss = |hash: u8, salt: u8| {
            let parameters = [&[0x30, 0x34], &pss_parameters(hash, salt)[..]].concat();
            [&[0x30, 0x41], &id[2..], &parameters].concat()
        };
        let pss_key = pss_key();
        let ways = [
            (rsa_key.clone(), rsa_with(0x0b), Some(sha256)),
            (rsa_key.clone(), rsa_with(0x0c), Some(sha384)),
            (rsa_key.clone(), rsa_with(0x0d), Some(sha512)),
            (rsa_key.clone(), pss(1, 32), Some(sha256)),
            (rsa_key.clone(), pss(2, 48), Some(sha384)),
            (rsa_key, pss(3, 64), Some(sha512)),
            (pss_key.clone(), pss(1, 32), Some(sha256)),
            (pss_key.clone(), pss(2, 48), Some(sha384)),
            (pss_key, pss(3, 64), Some(sha512)),
            (curve(Nid::X9_62_PRIME256V1), ecdsa(2), Some(sha256)),
            (curve(Nid::SECP384R1), ecdsa(3), Some(sha384)),
            (curve(Nid::SECP521R1), ecdsa(4), Some(sha512)),
            (PKey::generate_ed25519().unwrap(), edwards(0x70), None),
            (PKey::generate_ed448().unwrap(), edwards(0x71), None),
        ];
        for (key, algorithm, digest) in &ways {
            let settings = settings::Key {
                responder: None,
                digest: 256,
                pss: false,
            };
            let signatory =
                Signatory::itself(&certificate(key), &settings, Verify::Always).unwrap();
            let scheme = |algorithm: &[u8]| signatory.scheme(algorithm);
            let mut signer = match digest {
                Some(digest) => Signer::new(*digest, key).unwrap(),
                None => Signer::new_without_digest(key).unwrap(),
            };
            let is_pss = algorithm[1] == 0x41;
            if is_pss {
                signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                let salt = RsaPssSaltlen::DIGEST_LENGTH;
                signer.set_rsa_pss_saltlen(salt).unwrap();
            }
            let mut signature = signer.sign_oneshot_to_vec(b"said").unwrap();
            let by = scheme(algorithm).unwrap();
            assert!(signatory.vouches_for(by, b"said", &signature));
            assert!(!signatory.vouches_for(by, b"sayd", &signature));
            *signature.last_mut().unwrap() ^= 1;
            assert!(!signatory.vouches_for(by, b"said", &signature));
            for (other, algorithm, _) in &ways {
                let fits = match (other.id(), key.id()) {
                    (Id::RSA | Id::RSA_PSS, Id::RSA) => true,
                    (Id::RSA, Id::RSA_PSS) => algorithm[1] == 0x41,
                    (other, own) => other == own,
                };
                assert_eq!(scheme(algorithm).is_some(), fits, "{algorithm:02x?}");
            }
            // Another salt, another hash in MGF1, and a trailer that is spelled out: other parameters than the three.
            let mut mgf1 = pss(1, 32);
            mgf1[59] = 2;
            let mut trailer = pss(1, 32);
            (trailer[1], trailer[14]) = (0x46, 0x39);
            trailer.extend([0xa3, 3, 2, 1, 1]);
            for wrong in [pss(1, 20), pss(2, 32), pss(4, 28), mgf1, trailer] {
                assert!(scheme(&wrong).is_none(), "{wrong:02x?}");
            }
            // Parameters where there are none, and none where there are some.
            assert!(
                scheme(&[
                    0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b
                ])
                .is_none()
            );
            assert!(scheme(&[0x30, 7, 6, 3, 0x2b, 0x65, 0x70, 5, 0]).is_none());
        }
    }
}
