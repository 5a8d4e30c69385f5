//! Who may ask an issuer that answers signed requests only (RFC 6960 sections 2.3 and 4.1.2). Trusts the certificates of the
//! file that the configuration names, and nothing that comes with a request: who asks is whom a certificate names that
//! chains to one of those, not what requestorName says. Whether that certificate was revoked is not looked up.

use der::{Tag, TagNumber};
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509KeyUsage, X509StoreContext};
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::request::Parts;
use crate::tlv::{Reader, context};
use crate::verify::PublicKey;

/// Certificates that come with a request: the client's own first, then what leads from it to one that is trusted.
const MOST: usize = 8;

/// Octets of one of them.
const LARGEST: usize = 8 << 10;

/// OpenSSL's security level of 112 bits: no RSA key below 2048 bits, no certificate signed with SHA-1.
const LEVEL: i32 = 2;

/// The certificates that clients' certificates chain to.
pub struct Requestors(X509Store);

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not signed.
    Unsigned,
    /// This is wrong with its signature, or with who made it.
    Untrusted(&'static str),
}

impl Requestors {
    /// Reads the file. The error goes on after its name.
    pub fn open(path: &str) -> Result<Self, String> {
        let pem = std::fs::read(path)
            .map_err(|error| format!("cannot be read by the frontend's user: {error}"))?;
        let trusted = X509::stack_from_pem(&pem).unwrap_or_default();
        if trusted.is_empty() {
            return Err("at least one certificate in PEM was expected".to_owned());
        }
        store(trusted)
            .map(Self)
            .map_err(|error| format!("cannot be used: {error}"))
    }

    /// Whether a request comes from whom may ask. It has been parsed before, so that it is one.
    pub fn admit(&self, request: &[u8]) -> Result<(), Refused> {
        let (tbs, signature) = Parts::cut(request)
            .and_then(|parts| Some((parts.tbs, parts.signature?)))
            .ok_or(Refused::Unsigned)?;
        let signature =
            Signature::cut(signature).ok_or(Refused::Untrusted("it is no signature"))?;
        self.trusts(&signature.certificates)
            .map_err(Refused::Untrusted)?;
        if signature.is_over(tbs) {
            Ok(())
        } else {
            let what = "it is not by the certificate's key, or by a weak or unknown algorithm";
            Err(Refused::Untrusted(what))
        }
    }

    /// Whether the first of some certificates is valid now, may sign, and chains to one that is trusted. The chain is
    /// verified from there on downwards: a stranger costs one verification, by a key that is trusted.
    fn trusts(&self, certificates: &[&[u8]]) -> Result<(), &'static str> {
        let mut read = Vec::with_capacity(certificates.len());
        for der in certificates {
            read.push(X509::from_der(der).map_err(|_| "a certificate cannot be read")?);
        }
        let mut read = read.into_iter();
        let client = read.next().ok_or("its certificate is missing")?;
        // Without the extension a key may do all (RFC 5280 section 4.2.1.3).
        let may_sign = |usage: X509KeyUsage| usage.contains(X509KeyUsage::DIGITAL_SIGNATURE);
        if !client.key_usage().is_none_or(may_sign) {
            return Err("its certificate's key usage has no digitalSignature");
        }
        let verified = || -> Result<_, ErrorStack> {
            let mut between = Stack::new()?;
            for certificate in read {
                between.push(certificate)?;
            }
            X509StoreContext::new()?.init(&self.0, &client, &between, |context| {
                let right = context.verify_cert()?;
                Ok((right, context.error().error_string()))
            })
        };
        match verified() {
            Ok((true, _)) => Ok(()),
            Ok((false, why)) => Err(why),
            Err(_) => Err("its certificates cannot be verified"),
        }
    }
}

fn store(trusted: Vec<X509>) -> Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for certificate in trusted {
        store.add_cert(certificate)?;
    }
    let mut how = X509VerifyParam::new()?;
    how.set_auth_level(LEVEL);
    // An intermediate one is trusted as it stands, without its root.
    how.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    store.set_param(&how)?;
    Ok(store.build())
}

/// A Signature (RFC 6960 section 4.1.1), as it stands.
struct Signature<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    octets: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

impl<'a> Signature<'a> {
    /// Cuts up what optionalSignature holds.
    fn cut(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut fields = outer.inside(Tag::Sequence)?;
        let algorithm = fields.decode::<AlgorithmIdentifierRef>()?;
        let octets = fields.bits()?;
        let mut certificates = Vec::new();
        if !fields.is_finished() {
            let mut explicit = fields.inside(context(TagNumber::N0))?;
            let mut list = explicit.inside(Tag::Sequence)?;
            while !list.is_finished() {
                let certificate = list.whole(Tag::Sequence)?;
                if certificates.len() == MOST || certificate.len() > LARGEST {
                    return None;
                }
                certificates.push(certificate);
            }
            if !explicit.is_finished() {
                return None;
            }
        }
        (outer.is_finished() && fields.is_finished()).then_some(Self {
            algorithm,
            octets,
            certificates,
        })
    }

    /// Whether it is the first certificate's over `octets`, by an algorithm that our own answers may be signed by.
    fn is_over(&self, octets: &[u8]) -> bool {
        let by = |certificate: &&[u8]| {
            let key = PublicKey::of(X509::from_der(certificate).ok()?.as_ref()).ok()?;
            let scheme = key.scheme(&self.algorithm)?;
            key.verifies(scheme, octets, self.octets).ok()
        };
        self.certificates.first().and_then(by).unwrap_or(false)
    }
}
