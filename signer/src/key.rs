//! The private keys: the only place that gives their octets to anybody, to OpenSSL, with the passphrase where one is
//! needed. What comes out can sign, and cannot be copied or printed.

use ocsp_wire::Digest;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private, Public};
use openssl::sign::{Signer, Verifier};

use crate::secret::Unread;

/// A signature algorithm: its AlgorithmIdentifier, octet by octet, and what OpenSSL needs to be told.
struct Scheme {
    name: &'static str,
    /// DER of the AlgorithmIdentifier: NULL parameters for RSA (RFC 4055), none for the others (RFC 5758, RFC 8410).
    identifier: &'static [u8],
    digest: Option<fn() -> MessageDigest>,
    kind: Id,
}

macro_rules! scheme {
    ($name:literal, $kind:expr, $digest:expr, $($octet:literal)*) => {
        Scheme { name: $name, identifier: &[$($octet),*], digest: $digest, kind: $kind }
    };
}

#[rustfmt::skip]
static SCHEMES: [Scheme; 8] = [
    scheme!("sha256WithRSAEncryption", Id::RSA, Some(MessageDigest::sha256), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0b 5 0),
    scheme!("sha384WithRSAEncryption", Id::RSA, Some(MessageDigest::sha384), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0c 5 0),
    scheme!("sha512WithRSAEncryption", Id::RSA, Some(MessageDigest::sha512), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0d 5 0),
    scheme!("ecdsa-with-SHA256", Id::EC, Some(MessageDigest::sha256), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 2),
    scheme!("ecdsa-with-SHA384", Id::EC, Some(MessageDigest::sha384), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 3),
    scheme!("ecdsa-with-SHA512", Id::EC, Some(MessageDigest::sha512), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 4),
    scheme!("Ed25519", Id::ED25519, None, 0x30 5 6 3 0x2b 0x65 0x70),
    scheme!("Ed448", Id::ED448, None, 0x30 5 6 3 0x2b 0x65 0x71),
];

/// A private key that signs with one algorithm. Neither `Clone` nor `Debug`.
pub struct SigningKey {
    key: PKey<Private>,
    scheme: &'static Scheme,
}

impl SigningKey {
    /// Reads a key (PEM), and the passphrase that opens it where it is encrypted. The error is a sentence that begins with
    /// the name of one of them. A passphrase that was not needed is a warning.
    pub fn open(
        key: Unread<'_>,
        passphrase: Option<Unread<'_>>,
        digest: Digest,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let (name, phrase_name) = (key.name, passphrase.as_ref().map(|phrase| phrase.name));
        let octets = key.read()?;
        let phrase = passphrase.map(Unread::passphrase).transpose()?;
        let mut encrypted = false;
        let key = PKey::private_key_from_pem_callback(&octets, |room| {
            encrypted = true;
            let phrase: &[u8] = phrase.as_ref().map_or(&[], |phrase| phrase);
            // One that does not fit opens nothing, as if there were none.
            let Some(room) = room.get_mut(..phrase.len()) else {
                return Ok(0);
            };
            room.copy_from_slice(phrase);
            Ok(phrase.len())
        });
        let key = match (key, encrypted, phrase_name) {
            (_, true, None) => {
                return Err(format!(
                    "{name}: the key is encrypted, and there is no passphrase-file"
                ));
            }
            (Err(error), true, Some(phrase)) => {
                return Err(format!(
                    "{name}: the passphrase of {phrase} does not open the key: {}",
                    first_of(&error)
                ));
            }
            (Err(error), false, _) => {
                return Err(format!(
                    "{name}: a private key in PEM was expected: {}",
                    first_of(&error)
                ));
            }
            (Ok(key), false, Some(phrase)) => {
                notes.push(format!(
                    "warning: {name}: the key is not encrypted, the passphrase of {phrase} is of no use"
                ));
                key
            }
            (Ok(key), _, _) => key,
        };
        let scheme = scheme_for(&key, digest).map_err(|found| format!("{name}: {found}"))?;
        Ok(Self { key, scheme })
    }

    /// The signature over `octets`.
    pub fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        match self.scheme.digest {
            Some(digest) => Signer::new(digest(), &self.key)?.sign_oneshot_to_vec(octets),
            None => Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(octets),
        }
    }

    /// The AlgorithmIdentifier of its signatures, as DER.
    pub fn algorithm(&self) -> &'static [u8] {
        self.scheme.identifier
    }

    /// What it is, for a person: size and algorithm.
    pub fn describe(&self) -> String {
        format!("{} bits, {}", self.key.bits(), self.scheme.name)
    }

    /// Whether this key belongs to `public`: by its numbers, and by a signature that verifies.
    pub fn belongs_to(&self, public: &PublicKey) -> bool {
        const PROBE: &[u8] = b"ocsp-signer: does this key belong to its certificate?";
        self.key.public_eq(&public.0)
            && self
                .sign(PROBE)
                .is_ok_and(|signature| public.verify(self.algorithm(), PROBE, &signature))
    }
}

fn scheme_for(key: &PKeyRef<Private>, digest: Digest) -> Result<&'static Scheme, String> {
    let name = match key.id() {
        Id::RSA if key.bits() < 2048 => {
            return Err(format!(
                "an RSA key of {} bits is too weak, at least 2048 were expected",
                key.bits()
            ));
        }
        Id::RSA => match digest {
            Digest::Sha256 => "sha256WithRSAEncryption",
            Digest::Sha384 => "sha384WithRSAEncryption",
            Digest::Sha512 => "sha512WithRSAEncryption",
        },
        Id::EC => match key.ec_key().ok().and_then(|key| key.group().curve_name()) {
            Some(Nid::X9_62_PRIME256V1) => "ecdsa-with-SHA256",
            Some(Nid::SECP384R1) => "ecdsa-with-SHA384",
            Some(Nid::SECP521R1) => "ecdsa-with-SHA512",
            curve => {
                let found = curve
                    .and_then(|curve| curve.short_name().ok())
                    .unwrap_or("unnamed");
                return Err(format!(
                    "the curve is {found}, P-256, P-384 or P-521 was expected"
                ));
            }
        },
        Id::ED25519 => "Ed25519",
        Id::ED448 => "Ed448",
        other => {
            return Err(format!(
                "the key is of OpenSSL's kind {}, RSA, EC, Ed25519 or Ed448 was expected",
                other.as_raw()
            ));
        }
    };
    SCHEMES
        .iter()
        .find(|scheme| scheme.name == name)
        .ok_or_else(|| format!("{name} is not supported"))
}

/// An issuer's or responder's public key.
pub struct PublicKey(PKey<Public>);

impl PublicKey {
    /// From a SubjectPublicKeyInfo as DER.
    pub fn new(info: &[u8]) -> Result<Self, ErrorStack> {
        PKey::public_key_from_der(info).map(Self)
    }

    /// Whether `signature` is this key's over `octets`, by the algorithm that the DER of an AlgorithmIdentifier names.
    /// An algorithm that we would not sign with does not verify.
    pub fn verify(&self, algorithm: &[u8], octets: &[u8], signature: &[u8]) -> bool {
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.identifier == algorithm) else {
            return false;
        };
        scheme.kind == self.0.id() && verified(&self.0, scheme, octets, signature).unwrap_or(false)
    }
}

fn verified(
    key: &PKeyRef<impl HasPublic>,
    scheme: &Scheme,
    octets: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    match scheme.digest {
        Some(digest) => Verifier::new(digest(), key)?.verify_oneshot(signature, octets),
        None => Verifier::new_without_digest(key)?.verify_oneshot(signature, octets),
    }
}

fn first_of(error: &ErrorStack) -> String {
    error
        .errors()
        .first()
        .and_then(|error| error.reason())
        .unwrap_or("it cannot be read")
        .to_owned()
}
