//! The issuers as the frontend knows them: by the two hashes of a CertID, and by the certificates of who signs.

use std::collections::HashMap;

use der::oid::ObjectIdentifier;
use ocsp_frontend_settings::{
    self as settings, ArchiveCutoff, NoRecord, Nonce, NonceOverload, Verify,
};
use ocsp_wire::HashAlgorithm;
use openssl::hash::{MessageDigest, hash};
use openssl::sha::Sha256;

use crate::certificate::Certificate;
use crate::choice::{Candidate, choose, chosen_until, signs_until};
use crate::pem;
use crate::request::{CertId, Hash};
use crate::requestor::Requestors;
use crate::verify::Signatory;

/// Who signs, in whose name, and by which settings, in one number: SHA-256 of all that. What was signed in one line can stand in
/// the place of what would be signed in the same line now.
pub type Line = [u8; 32];

/// An issuer.
pub struct Issuer {
    /// Its name in logs.
    pub name: String,
    /// Its source, by place.
    pub source: usize,
    /// What is said of a serial without record.
    pub unknown: NoRecord,
    /// Whether the signer wants the certificate for *good*.
    pub proof_needed: bool,
    /// Since when all its certificates are revoked, because its key was compromised (RFC 6960 section 2.7).
    pub compromised: Option<u64>,
    /// Who may ask; everybody where there is none.
    pub requestors: Option<Requestors>,
    /// What becomes of a nonce.
    pub nonce: Nonce,
    /// What is answered to a request with a nonce while the signer has too much to do.
    pub nonce_overload: NonceOverload,
    /// Its name, as DER, as its certificate has it.
    pub subject: Box<[u8]>,
    /// Since when its certificate is valid, in seconds since 1970: nothing it issued was revoked before.
    pub not_before: u64,
    /// Who signs in its name, by place.
    pub signatories: Vec<Signatory>,
    /// The same, each only until it can sign nothing any more that is valid for long enough.
    candidates: Vec<Candidate>,
    archive_cutoff: Option<ArchiveCutoff>,
    lines: Vec<Line>,
    hashes: [(Vec<u8>, Vec<u8>); 4],
}

impl Issuer {
    /// The place of the key that signs now, if one can. In the last hours of the last one, in which nothing is valid for long
    /// enough any more, what it has signed before still holds.
    pub fn key(&self, preferred: &[ObjectIdentifier], now: u64) -> Option<u16> {
        let valid = || self.signatories.iter().map(Signatory::candidate);
        choose(self.candidates.iter(), preferred, now).or_else(|| choose(valid(), preferred, now))
    }

    /// Until when [`Issuer::key`] says the same of the same preferences.
    pub fn chosen_until(&self, now: u64) -> u64 {
        let valid = self.signatories.iter().map(Signatory::candidate);
        chosen_until(self.candidates.iter().chain(valid), now)
    }

    /// Until when it can sign without a pause, in seconds since 1970; nothing where it cannot now.
    pub fn signs_until(&self, now: u64) -> Option<u64> {
        signs_until(self.candidates.iter(), now)
    }

    /// The archive cutoff of an answer that was made at `produced_at`, in seconds since 1970 (RFC 6960 section 4.4.4).
    pub fn archive_cutoff(&self, produced_at: u64) -> Option<u64> {
        Some(match self.archive_cutoff? {
            ArchiveCutoff::Issuer => self.not_before,
            ArchiveCutoff::Retained(seconds) => produced_at.saturating_sub(seconds.into()),
        })
    }

    /// The lines of its keys, by place.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// issuerNameHash and issuerKeyHash by an algorithm.
    pub fn hashes(&self, algorithm: HashAlgorithm) -> (&[u8], &[u8]) {
        let [sha1, sha256, sha384, sha512] = &self.hashes;
        let (name, key) = match algorithm {
            HashAlgorithm::Sha1 => sha1,
            HashAlgorithm::Sha256 => sha256,
            HashAlgorithm::Sha384 => sha384,
            HashAlgorithm::Sha512 => sha512,
        };
        (name, key)
    }
}

/// All issuers, and who is meant by which hashes.
pub struct Issuers {
    issuers: Vec<Issuer>,
    /// The places of those whose key has a hash, by whichever algorithm.
    meant: HashMap<Vec<u8>, Vec<u16>>,
}

/// No rule book gives a number for what RFC 9654 section 3.1 calls a short validity. The strictest bound that one has for any
/// answer is 7 days (MS 3.2.2): what is above it is not short by anybody's measure.
const SHORT: u32 = 7 * 86_400;

/// The warning about an issuer that ignores nonces, and whose answers can be replayed for long.
pub fn replayed(settings: &settings::Issuer) -> Option<String> {
    let long = settings.nonce == Nonce::Ignore && settings.validity > SHORT;
    long.then(|| {
        format!(
            "issuer {:?}: nonces are ignored, so that only the validity, {} h, bounds how long an old answer can be replayed: \
             a validity of 7d at most, or nonce = \"echo\" (RFC 9654 3.1)",
            settings.name,
            settings.validity / 3600
        )
    })
}

/// The hashes of CertIDs that we answer.
pub const ALGORITHMS: [HashAlgorithm; 4] = [
    HashAlgorithm::Sha1,
    HashAlgorithm::Sha256,
    HashAlgorithm::Sha384,
    HashAlgorithm::Sha512,
];

impl Issuers {
    /// Reads the certificates. The errors are sentences that begin with the issuer.
    pub fn open(settings: &[settings::Issuer], verify: Verify) -> Result<Self, Vec<String>> {
        let (mut issuers, mut faults) = (Vec::new(), Vec::new());
        for settings in settings {
            match open(settings, verify) {
                Ok(issuer) => issuers.push(issuer),
                Err(fault) => faults.push(format!("issuer {:?}: {fault}", settings.name)),
            }
        }
        let mut meant: HashMap<_, Vec<u16>> = HashMap::new();
        for (place, issuer) in (0..).zip(&issuers) {
            for algorithm in ALGORITHMS {
                let (name, key) = issuer.hashes(algorithm);
                let same_key = meant.entry(key.to_vec()).or_default();
                let twin = same_key
                    .iter()
                    .filter_map(|place| issuers.get(usize::from(*place)));
                if let Some(twin) = twin
                    .into_iter()
                    .find(|twin| twin.hashes(algorithm).0 == name)
                    && algorithm == HashAlgorithm::Sha256
                {
                    let text = "have one subject and one key: no request tells them apart";
                    faults.push(format!(
                        "issuers {:?} and {:?} {text}",
                        twin.name, issuer.name
                    ));
                }
                same_key.push(place);
            }
        }
        if faults.is_empty() {
            Ok(Self { issuers, meant })
        } else {
            Err(faults)
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter()
    }

    /// The issuer at a place.
    pub fn at(&self, place: u16) -> Option<&Issuer> {
        self.issuers.get(usize::from(place))
    }

    /// The issuer that a CertID means, if it is one of ours.
    pub fn find(&self, id: &CertId) -> Option<(u16, &Issuer)> {
        let Hash::Known(algorithm) = id.hash else {
            return None;
        };
        let hashes: (&[u8], &[u8]) = (&id.name_hash, &id.key_hash);
        let same_key = self.meant.get(hashes.1)?;
        same_key.iter().find_map(|place| {
            let issuer = self.issuers.get(usize::from(*place))?;
            (issuer.hashes(algorithm) == hashes).then_some((*place, issuer))
        })
    }
}

fn open(settings: &settings::Issuer, verify: Verify) -> Result<Issuer, String> {
    let path = &settings.certificate;
    let der = read(path)?;
    let certificate =
        Certificate::from_der(&der).ok_or_else(|| format!("{path}: is no certificate in DER"))?;
    let (subject, key) = (certificate.subject, certificate.key);
    let hashed = |digest| -> Result<_, openssl::error::ErrorStack> {
        Ok((hash(digest, subject)?.to_vec(), hash(digest, key)?.to_vec()))
    };
    let hashes = [
        MessageDigest::sha1(),
        MessageDigest::sha256(),
        MessageDigest::sha384(),
        MessageDigest::sha512(),
    ]
    .map(hashed);
    let [sha1, sha256, sha384, sha512] = hashes;
    let all = || Ok([sha1?, sha256?, sha384?, sha512?]);
    let hashes = all().map_err(|error: openssl::error::ErrorStack| {
        format!("{path}: cannot be hashed: {error}")
    })?;
    let signatories = settings.keys.iter().map(|key| match &key.responder {
        None => Signatory::itself(&der, key, verify).map_err(|fault| format!("{path}: {fault}")),
        Some(path) => Signatory::delegated(&read(path)?, key, verify)
            .map_err(|fault| format!("{path}: {fault}")),
    });
    let signatories = signatories.collect::<Result<Vec<_>, _>>()?;
    let lines = signatories.iter().map(|key| line(settings, &der, key));
    let lines = lines.collect();
    let least_validity = u64::from(settings.least_validity);
    // Both seconds of a validity count.
    let candidates = signatories.iter().map(|signatory| Candidate {
        not_after: (signatory.candidate().not_after + 1).saturating_sub(least_validity.max(1)),
        ..*signatory.candidate()
    });
    let requestors = settings
        .clients
        .as_ref()
        .map(|path| Requestors::open(path).map_err(|fault| format!("{path}: {fault}")))
        .transpose()?;
    Ok(Issuer {
        name: settings.name.clone(),
        source: settings.source,
        unknown: settings.unknown,
        proof_needed: settings.proof_needed,
        compromised: settings.compromised,
        requestors,
        nonce: settings.nonce,
        nonce_overload: settings.nonce_overload,
        subject: subject.into(),
        not_before: certificate.not_before,
        candidates: candidates.collect(),
        signatories,
        archive_cutoff: settings.archive_cutoff,
        lines,
        hashes,
    })
}

/// The line of a key of an issuer, which the certificates name. Of the settings everything counts but the keys: another one
/// beside it changes nothing for this one. What is compared was written by the same build.
fn line(settings: &settings::Issuer, certificate: &[u8], key: &Signatory) -> Line {
    let keys = Vec::new();
    let settings = format!(
        "{:?}",
        settings::Issuer {
            keys,
            ..settings.clone()
        }
    );
    let mut line = Sha256::new();
    for part in [
        settings.as_bytes(),
        certificate,
        key.candidate().algorithm.as_bytes(),
        key.certificate().unwrap_or_default(),
    ] {
        line.update(&part.len().to_le_bytes());
        line.update(part);
    }
    line.finish()
}

/// The DER of a file's certificate.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let octets = std::fs::read(path)
        .map_err(|error| format!("{path}: cannot be read by the frontend's user: {error}"))?;
    pem::certificate(&octets)
        .ok_or_else(|| format!("{path}: a certificate in PEM or DER was expected"))
}
