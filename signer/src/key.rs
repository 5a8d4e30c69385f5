//! The private keys: the only place that gives their octets to anybody, to OpenSSL, with the passphrase where one is
//! needed. What comes out can sign, and cannot be copied or printed.

use std::sync::{Mutex, PoisonError};

use der::Decode;
use ocsp_wire::{Digest, Padding};
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::nid::Nid;
use openssl::pkey::{KeyType, PKey, PKeyRef, Private, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa;
use openssl::sha::{Sha256, sha384, sha512};
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::secret::Unread;

/// A signature algorithm: its AlgorithmIdentifier, octet by octet, and what OpenSSL needs to be told.
struct Scheme {
    name: &'static str,
    /// DER of the AlgorithmIdentifier: NULL parameters for RSASSA-PKCS1-v1_5 (RFC 4055), all but the trailer for RSASSA-PSS,
    /// none for the others (RFC 5758, RFC 8410, RFC 9881).
    identifier: &'static [u8],
    digest: Option<Digest>,
    padding: Padding,
    /// The kinds of keys that sign like this.
    kinds: &'static [KeyType],
}

macro_rules! scheme {
    ($name:literal, $kind:expr, $digest:expr, $($octet:literal)*) => {
        Scheme { name: $name, identifier: &[$($octet),*], digest: $digest, padding: Padding::Pkcs1, kinds: &[$kind] }
    };
    ($name:literal, $digest:expr, $identifier:expr) => {
        Scheme { name: $name, identifier: &$identifier, digest: Some($digest), padding: Padding::Pss, kinds: &[KeyType::RSA, KeyType::RSA_PSS] }
    };
}

#[rustfmt::skip]
static SCHEMES: [Scheme; 14] = [
    scheme!("sha256WithRSAEncryption", KeyType::RSA, Some(Digest::Sha256), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0b 5 0),
    scheme!("sha384WithRSAEncryption", KeyType::RSA, Some(Digest::Sha384), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0c 5 0),
    scheme!("sha512WithRSAEncryption", KeyType::RSA, Some(Digest::Sha512), 0x30 0x0d 6 9 0x2a 0x86 0x48 0x86 0xf7 0x0d 1 1 0x0d 5 0),
    scheme!("RSASSA-PSS with SHA-256", Digest::Sha256, pss(1, 32)),
    scheme!("RSASSA-PSS with SHA-384", Digest::Sha384, pss(2, 48)),
    scheme!("RSASSA-PSS with SHA-512", Digest::Sha512, pss(3, 64)),
    scheme!("ecdsa-with-SHA256", KeyType::EC, Some(Digest::Sha256), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 2),
    scheme!("ecdsa-with-SHA384", KeyType::EC, Some(Digest::Sha384), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 3),
    scheme!("ecdsa-with-SHA512", KeyType::EC, Some(Digest::Sha512), 0x30 0x0a 6 8 0x2a 0x86 0x48 0xce 0x3d 4 3 4),
    scheme!("Ed25519", KeyType::ED25519, None, 0x30 5 6 3 0x2b 0x65 0x70),
    scheme!("Ed448", KeyType::ED448, None, 0x30 5 6 3 0x2b 0x65 0x71),
    scheme!("ML-DSA-44", KeyType::ML_DSA_44, None, 0x30 0x0b 6 9 0x60 0x86 0x48 1 0x65 3 4 3 0x11),
    scheme!("ML-DSA-65", KeyType::ML_DSA_65, None, 0x30 0x0b 6 9 0x60 0x86 0x48 1 0x65 3 4 3 0x12),
    scheme!("ML-DSA-87", KeyType::ML_DSA_87, None, 0x30 0x0b 6 9 0x60 0x86 0x48 1 0x65 3 4 3 0x13),
];

/// The AlgorithmIdentifier of id-RSASSA-PSS (RFC 4055 section 3.1) as BR 7.1.3.2.1 lists it: the hash, by the last octet of
/// its OBJECT IDENTIFIER; MGF1 with the same; a salt as long as the hash; the trailer left out, as it is the default.
#[rustfmt::skip]
const fn pss(hash: u8, salt: u8) -> [u8; 67] {
    [
        0x30, 0x41, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a, 0x30, 0x34,
        0xa0, 0x0f, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa1, 0x1c, 0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8,
        0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa2, 3, 2, 1, salt,
    ]
}

/// A private key that signs with one algorithm. Neither `Clone` nor `Debug`.
pub struct SigningKey {
    key: PKey<Private>,
    scheme: &'static Scheme,
    contexts: Contexts<Private>,
}

impl SigningKey {
    /// Reads a key (PEM), and the passphrase that opens it where it is encrypted. The error is a sentence that begins with
    /// the name of one of them. A passphrase that was not needed is a warning.
    pub fn open(
        key: Unread<'_>,
        passphrase: Option<Unread<'_>>,
        (digest, padding): (Digest, Padding),
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
        let scheme =
            scheme_for(&key, digest, padding).map_err(|found| format!("{name}: {found}"))?;
        let key = Self {
            key,
            scheme,
            contexts: Contexts(Mutex::default()),
        };
        // A key of id-RSASSA-PSS may bind its digest and the length of its salt (RFC 4055 section 1.2).
        match key.sign(PROBE) {
            Ok(_) => Ok(key),
            Err(error) => Err(format!(
                "{name}: the key does not sign by {}: {}",
                scheme.name,
                first_of(&error)
            )),
        }
    }

    /// The signature over `octets`.
    pub fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let Some(digest) = self.scheme.digest else {
            return Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(octets);
        };
        let begin = |context: &mut PkeyCtx<_>| context.sign_init();
        let mut signature = Vec::new();
        self.contexts
            .with(&self.key, self.scheme, digest, begin, |context| {
                context.sign_to_vec(&hash(digest, octets), &mut signature)
            })?;
        Ok(signature)
    }

    /// The AlgorithmIdentifier of its signatures, as DER.
    pub fn algorithm(&self) -> &'static [u8] {
        self.scheme.identifier
    }

    /// Its size: of its modulus, or of its curve.
    pub fn bits(&self) -> u32 {
        self.key.bits()
    }

    /// Whether it is an RSA key, for RSASSA-PSS alone or not.
    pub fn is_rsa(&self) -> bool {
        self.key.is_a(KeyType::RSA) || self.key.is_a(KeyType::RSA_PSS)
    }

    /// Whether it is an RSA key, or one on a curve that has its digest.
    pub fn is_rsa_or_ec(&self) -> bool {
        self.is_rsa() || self.key.is_a(KeyType::EC)
    }

    /// What it is, for a person: size and algorithm.
    pub fn describe(&self) -> String {
        format!("{} bits, {}", self.key.bits(), self.scheme.name)
    }

    /// Whether this key belongs to `public`: by its numbers, and by a signature that verifies.
    pub fn belongs_to(&self, public: &PublicKey) -> bool {
        self.key.public_eq(&public.key)
            && self
                .sign(PROBE)
                .is_ok_and(|signature| public.verify(self.algorithm(), PROBE, &signature))
    }
}

/// What is signed and verified once with each key.
const PROBE: &[u8] = b"ocsp-signer: does this key belong to its certificate?";

fn scheme_for(
    key: &PKeyRef<Private>,
    digest: Digest,
    padding: Padding,
) -> Result<&'static Scheme, String> {
    let (is_rsa, is_pss) = (key.is_a(KeyType::RSA), key.is_a(KeyType::RSA_PSS));
    let bits = key.bits();
    if (is_rsa || is_pss) && bits < 2048 {
        return Err(format!(
            "an RSA key of {bits} bits is too weak, 2048 to 4096 were expected"
        ));
    }
    if (is_rsa || is_pss) && bits > 4096 {
        return Err(format!(
            "an RSA key of {bits} bits is too long, 2048 to 4096 were expected"
        ));
    }
    if !is_rsa && !is_pss && padding == Padding::Pss {
        return Err("padding \"pss\" is of RSA keys, and this is none".to_owned());
    }
    let padding = if is_pss { Padding::Pss } else { padding };
    let name = if is_rsa || is_pss {
        match (padding, digest) {
            (Padding::Pkcs1, Digest::Sha256) => "sha256WithRSAEncryption",
            (Padding::Pkcs1, Digest::Sha384) => "sha384WithRSAEncryption",
            (Padding::Pkcs1, Digest::Sha512) => "sha512WithRSAEncryption",
            (Padding::Pss, Digest::Sha256) => "RSASSA-PSS with SHA-256",
            (Padding::Pss, Digest::Sha384) => "RSASSA-PSS with SHA-384",
            (Padding::Pss, Digest::Sha512) => "RSASSA-PSS with SHA-512",
        }
    } else if key.is_a(KeyType::EC) {
        match key.ec_key().ok().and_then(|key| key.group().curve_name()) {
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
        }
    } else {
        // Of the others each kind has one scheme, which is called like it.
        let own = SCHEMES
            .iter()
            .find(|scheme| scheme.kinds.iter().all(|kind| key.is_a(*kind)));
        return own.ok_or_else(|| {
            "the key is of another kind than RSA, EC, Ed25519, Ed448 and ML-DSA".to_owned()
        });
    };
    SCHEMES
        .iter()
        .find(|scheme| scheme.name == name)
        .ok_or_else(|| format!("{name} is not supported"))
}

/// An issuer's or responder's public key.
pub struct PublicKey {
    key: PKey<Public>,
    contexts: Contexts<Public>,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo as DER. The error says what it is of instead.
    pub fn new(info: &[u8]) -> Result<Self, String> {
        let key = PKey::public_key_from_der(info).map_err(|error| {
            // RFC 9881 section 4: one OBJECT IDENTIFIER for the key and for its signatures.
            let read = SubjectPublicKeyInfoRef::from_der(info).ok();
            let oid = read.map(|read| read.algorithm.oid);
            let named = SCHEMES.iter().find(|scheme| {
                oid.is_some_and(|oid| scheme.identifier.get(4..) == Some(oid.as_bytes()))
            });
            match named {
                Some(scheme)
                    if scheme.name.starts_with("ML-DSA")
                        && openssl::version::number() < 0x3050_0000 =>
                {
                    format!(
                        "{} needs OpenSSL 3.5 or newer, {} was found",
                        scheme.name,
                        openssl::version::version()
                    )
                }
                Some(_) | None => first_of(&error),
            }
        })?;
        Ok(Self {
            key,
            contexts: Contexts(Mutex::default()),
        })
    }

    /// Whether `signature` is this key's over `octets`, by the algorithm that the DER of an AlgorithmIdentifier names.
    /// An algorithm that we would not sign with does not verify.
    pub fn verify(&self, algorithm: &[u8], octets: &[u8], signature: &[u8]) -> bool {
        let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.identifier == algorithm) else {
            return false;
        };
        scheme.kinds.iter().any(|kind| self.key.is_a(*kind))
            && self.verified(scheme, octets, signature).unwrap_or(false)
    }

    fn verified(
        &self,
        scheme: &'static Scheme,
        octets: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        let Some(digest) = scheme.digest else {
            return Verifier::new_without_digest(&self.key)?.verify_oneshot(signature, octets);
        };
        let begin = |context: &mut PkeyCtx<_>| context.verify_init();
        self.contexts
            .with(&self.key, scheme, digest, begin, |context| {
                context.verify(&hash(digest, octets), signature)
            })
    }
}

/// What OpenSSL has set up with one key, one for each scheme and each thread that needed it at the same time. To do so for
/// each signature anew costs a fifth of one on P-256.
struct Contexts<T>(Mutex<Vec<(&'static Scheme, PkeyCtx<T>)>>);

impl<T> Contexts<T> {
    /// Does some work in a context, which is kept unless the work fails.
    fn with<R>(
        &self,
        key: &PKeyRef<T>,
        scheme: &'static Scheme,
        digest: Digest,
        begin: impl FnOnce(&mut PkeyCtx<T>) -> Result<(), ErrorStack>,
        work: impl FnOnce(&mut PkeyCtx<T>) -> Result<R, ErrorStack>,
    ) -> Result<R, ErrorStack> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = held();
        let place = kept.iter().position(|(of, _)| std::ptr::eq(*of, scheme));
        let found = place.map(|place| kept.swap_remove(place));
        drop(kept);
        let mut context = match found {
            Some((_, context)) => context,
            None => {
                let mut context = PkeyCtx::new(key)?;
                begin(&mut context)?;
                context.set_signature_md(md(digest))?;
                if scheme.padding == Padding::Pss {
                    context.set_rsa_padding(rsa::Padding::PKCS1_PSS)?;
                    context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                    context.set_rsa_mgf1_md(md(digest))?;
                }
                context
            }
        };
        let done = work(&mut context)?;
        held().push((scheme, context));
        Ok(done)
    }
}

fn md(digest: Digest) -> &'static MdRef {
    match digest {
        Digest::Sha256 => Md::sha256(),
        Digest::Sha384 => Md::sha384(),
        Digest::Sha512 => Md::sha512(),
    }
}

fn hash(digest: Digest, octets: &[u8]) -> Vec<u8> {
    match digest {
        Digest::Sha256 => sha256(octets).to_vec(),
        Digest::Sha384 => sha384(octets).to_vec(),
        Digest::Sha512 => sha512(octets).to_vec(),
    }
}

/// SHA-256, without the search for an algorithm of this name by which OpenSSL's function of one call begins: 0.7 µs.
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(octets);
    hash.finish()
}

fn first_of(error: &ErrorStack) -> String {
    error
        .errors()
        .first()
        .and_then(|error| error.reason())
        .unwrap_or("it cannot be read")
        .to_owned()
}
