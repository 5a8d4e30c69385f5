//! An issuer as the signer knows it: its name, its public key, and the keys that may sign in its name. Opened once, at
//! start, from files that the settings name; whatever does not fit together is a sentence, and the signer does not serve.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::Decode;
use ocsp_wire::{
    ArchiveCutoff, GoodPolicy, HashAlgorithm, IssuerSettings, KeySettings, SignerSettings,
};
use openssl::hash::{MessageDigest, hash};
use openssl::sha::sha1;
use openssl::x509::X509;
use x509_cert::Certificate;
use x509_cert::der::oid::db::rfc5280::ID_KP_OCSP_SIGNING;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage};
use x509_cert::time::Time;

use crate::certificate;
use crate::key::{PublicKey, SigningKey};
use crate::preset::{self, Facts};
use crate::secret::Unread;

/// An issuer, with all that the policy asks of it.
pub struct Issuer {
    /// The name in logs.
    pub name: String,
    /// The DER of its subject.
    pub subject: Vec<u8>,
    /// Its public key, which proves certificates.
    pub public: PublicKey,
    /// The keys that sign in its name, by index.
    pub keys: Vec<Key>,
    /// nextUpdate − thisUpdate + 1 s.
    pub validity: u64,
    /// producedAt − thisUpdate.
    pub backdate: u64,
    /// What *good* needs.
    pub good: GoodPolicy,
    /// Whether *revoked as never issued* may be signed.
    pub never_issued: bool,
    /// The least of `validity` where the certificate that signs ends before.
    pub least_validity: u64,
    /// Whether a certificate may be said to be on hold.
    pub hold: bool,
    /// Which archive cutoff answers carry, if they do.
    pub archive_cutoff: Option<ArchiveCutoff>,
    /// The notBefore of its certificate, in seconds since 1970.
    pub not_before: u64,
    hashes: [Hashes; 4],
}

/// The two hashes of a CertID, by one algorithm (RFC 6960 section 4.1.1).
pub struct Hashes {
    /// issuerNameHash.
    pub name: Vec<u8>,
    /// issuerKeyHash.
    pub key: Vec<u8>,
}

/// A key and the certificate it signs under.
pub struct Key {
    /// The private key.
    pub signing: SigningKey,
    /// SHA-1 of the public key's BIT STRING: the responder's ID (RFC 9919 section 3.2.2).
    pub key_hash: [u8; 20],
    /// The certificate to send along, as DER: a delegated responder's (RFC 9919 section 3.2.2), not a CA's.
    pub certificate: Option<Vec<u8>>,
    /// From when the certificate is valid, in seconds since 1970.
    pub not_before: u64,
    /// Until when, inclusive.
    pub not_after: u64,
}

impl Issuer {
    /// The archive cutoff of an answer that is made at `produced_at`, in seconds since 1970 (RFC 6960 section 4.4.4).
    pub fn archive_cutoff(&self, produced_at: u64) -> Option<u64> {
        Some(match self.archive_cutoff? {
            ArchiveCutoff::Issuer => self.not_before,
            ArchiveCutoff::Retained(seconds) => produced_at.saturating_sub(seconds.into()),
        })
    }

    /// Its hashes by one algorithm.
    pub fn hashes(&self, algorithm: HashAlgorithm) -> &Hashes {
        let [sha1, sha256, sha384, sha512] = &self.hashes;
        match algorithm {
            HashAlgorithm::Sha1 => sha1,
            HashAlgorithm::Sha256 => sha256,
            HashAlgorithm::Sha384 => sha384,
            HashAlgorithm::Sha512 => sha512,
        }
    }
}

/// Opens every issuer with its keys; credentials were `handed` over in the order of [`SignerSettings::secrets`]. What comes
/// back beside them are notes for `check`; the errors are all that was found wrong, a sentence each.
pub fn open_all(
    settings: &SignerSettings,
    handed: Vec<OwnedFd>,
) -> Result<(Vec<Issuer>, Vec<String>), Vec<String>> {
    let (mut issuers, mut notes, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut handed = handed.into_iter();
    for settings in settings.issuers.iter() {
        // Each takes what is its own, before something else about it may be found wrong.
        let keys = settings.keys.iter().map(|settings| KeyFiles {
            key: Unread::new(&settings.key, &mut handed),
            passphrase: settings
                .passphrase
                .as_ref()
                .map(|name| Unread::new(name, &mut handed)),
            settings,
        });
        let keys = keys.collect();
        let mut broken = Vec::new();
        match open(settings, keys, &mut notes, &mut broken) {
            Ok(issuer) => issuers.push(issuer),
            Err(fault) => broken.push(fault),
        }
        let named = |fault| format!("issuer {:?}: {fault}", &*settings.name);
        faults.extend(broken.into_iter().map(named));
    }
    if faults.is_empty() {
        Ok((issuers, notes))
    } else {
        Err(faults)
    }
}

/// What belongs to a key, before it is read.
struct KeyFiles<'a> {
    key: Unread<'a>,
    passphrase: Option<Unread<'a>>,
    settings: &'a KeySettings,
}

fn open(
    settings: &IssuerSettings,
    keys: Vec<KeyFiles<'_>>,
    notes: &mut Vec<String>,
    broken: &mut Vec<String>,
) -> Result<Issuer, String> {
    let facts = Facts::Issuer(settings);
    let clauses = facts.broken(settings.policy);
    broken.extend(clauses.map(|(clause, _)| clause));
    let certificate = CertificateFile::open(&settings.certificate)?;
    let cut = certificate.cut()?;
    let public = certificate.public_key()?;
    let key_bits = certificate.key_bits();
    let hashes = |digest: MessageDigest| -> Result<Hashes, String> {
        let of = |octets: &[u8]| {
            hash(digest, octets)
                .map(|hash| hash.to_vec())
                .map_err(|error| error.to_string())
        };
        Ok(Hashes {
            name: of(cut.subject)?,
            key: of(key_bits)?,
        })
    };
    let mut not_now = Vec::new();
    let keys = keys
        .into_iter()
        .map(|key| {
            open_key(
                settings,
                key,
                &certificate,
                &public,
                notes,
                &mut not_now,
                broken,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    // One that comes, or has gone, may stand beside one that signs now.
    if not_now.len() == keys.len() {
        return Err(not_now.join("; "));
    }
    notes.extend(not_now.iter().map(|fault| format!("warning: {fault}")));
    Ok(Issuer {
        name: settings.name.to_string(),
        subject: cut.subject.to_vec(),
        hashes: [
            hashes(MessageDigest::sha1())?,
            hashes(MessageDigest::sha256())?,
            hashes(MessageDigest::sha384())?,
            hashes(MessageDigest::sha512())?,
        ],
        public,
        keys,
        validity: settings.validity.into(),
        backdate: settings.backdate.into(),
        good: settings.good,
        never_issued: settings.never_issued,
        least_validity: settings.policy.least_validity().into(),
        hold: preset::allows_hold(settings.policy),
        archive_cutoff: settings.archive_cutoff,
        not_before: certificate.validity().0,
    })
}

fn open_key(
    issuer: &IssuerSettings,
    files: KeyFiles<'_>,
    issuer_certificate: &CertificateFile,
    issuer_key: &PublicKey,
    notes: &mut Vec<String>,
    not_now: &mut Vec<String>,
    broken: &mut Vec<String>,
) -> Result<Key, String> {
    let settings = files.settings;
    let delegated = match &settings.responder {
        None => None,
        Some(path) => {
            let responder = CertificateFile::open(path)?;
            responder.delegated_by(issuer_certificate, issuer_key)?;
            Some(responder)
        }
    };
    let certificate = delegated.as_ref().unwrap_or(issuer_certificate);
    // Before the key: of a kind that this OpenSSL does not know, only the certificate says which it is.
    let public = certificate.public_key()?;
    let signing = SigningKey::open(
        files.key,
        files.passphrase,
        (settings.digest, settings.padding),
        notes,
    )?;
    if !signing.belongs_to(&public) {
        return Err(format!(
            "{}: is not the key of the certificate {}",
            settings.key, certificate.path
        ));
    }
    let (not_before, not_after) = certificate.validity();
    not_now.extend(certificate.not_valid_now());
    let facts = Facts::Key {
        certificate: &certificate.parsed,
        delegated: delegated.is_some(),
        signing: &signing,
    };
    for (clause, warning) in facts.broken(issuer.policy) {
        let clause = format!("{}: {clause}", certificate.path);
        if warning {
            notes.push(format!("warning: {clause}"));
        } else {
            broken.push(clause);
        }
    }
    notes.push(format!(
        "issuer {:?}: key {} ({}) belongs to {}, valid until {}",
        &*issuer.name,
        settings.key,
        signing.describe(),
        certificate.path,
        certificate.parsed.tbs_certificate.validity.not_after,
    ));
    Ok(Key {
        signing,
        key_hash: sha1(certificate.key_bits()),
        certificate: delegated.map(|responder| responder.der),
        not_before,
        not_after,
    })
}

/// A certificate of ours, from a file that the configuration names.
struct CertificateFile {
    path: String,
    der: Vec<u8>,
    parsed: Certificate,
}

impl CertificateFile {
    /// PEM (the first certificate, whatever stands before it) or DER.
    fn open(path: &str) -> Result<Self, String> {
        let octets = std::fs::read(path).map_err(|error| {
            format!(
                "{path}: cannot be read by user {}: {error}",
                nix::unistd::geteuid()
            )
        })?;
        let der = X509::from_pem(&octets)
            .or_else(|_| X509::from_der(&octets))
            .and_then(|certificate| certificate.to_der())
            .map_err(|_| {
                format!("{path}: holds no certificate that can be read, PEM or DER was expected")
            })?;
        let parsed = Certificate::from_der(&der)
            .map_err(|error| format!("{path}: is no certificate in DER: {error}"))?;
        Ok(Self {
            path: path.to_owned(),
            der,
            parsed,
        })
    }

    fn cut(&self) -> Result<certificate::Cut<'_>, String> {
        certificate::cut(&self.der)
            .ok_or_else(|| format!("{}: is no certificate in DER", self.path))
    }

    fn public_key(&self) -> Result<PublicKey, String> {
        PublicKey::new(self.cut()?.key)
            .map_err(|error| format!("{}: its public key cannot be used: {error}", self.path))
    }

    /// The value of the subjectPublicKey BIT STRING.
    fn key_bits(&self) -> &[u8] {
        self.parsed
            .tbs_certificate
            .subject_public_key_info
            .subject_public_key
            .raw_bytes()
    }

    /// Its notBefore and notAfter, in seconds since 1970.
    fn validity(&self) -> (u64, u64) {
        let validity = &self.parsed.tbs_certificate.validity;
        let seconds = |time: &Time| time.to_unix_duration().as_secs();
        (seconds(&validity.not_before), seconds(&validity.not_after))
    }

    /// What there is to say when now does not lie between these.
    fn not_valid_now(&self) -> Option<String> {
        let validity = &self.parsed.tbs_certificate.validity;
        let (not_before, not_after) = self.validity();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        (!(not_before..=not_after).contains(&now.as_secs())).then(|| {
            format!(
                "{}: is valid from {} until {}, not now",
                self.path, validity.not_before, validity.not_after
            )
        })
    }

    /// Whether `issuer` made this a responder's certificate (RFC 6960 section 4.2.2.2).
    fn delegated_by(&self, issuer: &Self, issuer_key: &PublicKey) -> Result<(), String> {
        let cut = self.cut()?;
        if cut.issuer != issuer.cut()?.subject {
            return Err(format!(
                "{}: names another issuer than the subject of {}",
                self.path, issuer.path
            ));
        }
        if !issuer_key.verify(cut.algorithm, cut.tbs, cut.signature) {
            return Err(format!(
                "{}: is not signed by the key of {}",
                self.path, issuer.path
            ));
        }
        let usage = self.extension::<ExtendedKeyUsage>()?;
        if !usage.is_some_and(|usage| usage.0.contains(&ID_KP_OCSP_SIGNING)) {
            return Err(format!(
                "{}: lacks the extended key usage OCSPSigning, which a responder's needs",
                self.path
            ));
        }
        if self
            .extension::<KeyUsage>()?
            .is_some_and(|usage| !usage.digital_signature())
        {
            return Err(format!(
                "{}: its key usage lacks digitalSignature, which a responder's needs",
                self.path
            ));
        }
        Ok(())
    }

    fn extension<'a, T: Decode<'a> + x509_cert::der::oid::AssociatedOid>(
        &'a self,
    ) -> Result<Option<T>, String> {
        let found = self.parsed.tbs_certificate.get::<T>();
        found
            .map(|found| found.map(|(_, value)| value))
            .map_err(|error| format!("{}: an extension: {error}", self.path))
    }
}
