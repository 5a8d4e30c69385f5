//! What rule books ask of an issuer, clause by clause: here stand the sentences, and what breaks them. Looked at once, at
//! the start, with settings that root wrote and certificates that they name; no octet of a frontend comes here. What can
//! only be seen with an answer stands in `policy`.

use der::Decode;
use der::oid::ObjectIdentifier;
use der::oid::db::rfc5280::{
    ID_AD_OCSP, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
    ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE,
    ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME, ID_PE_AUTHORITY_INFO_ACCESS,
};
use der::oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use ocsp_wire::{ArchiveCutoff, GoodPolicy, IssuerSettings, Preset};
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, KeyUsage};

use crate::key::SigningKey;

/// What clauses are about.
pub enum Facts<'a> {
    /// An issuer's settings.
    Issuer(&'a IssuerSettings),
    /// Who signs in its name.
    Key {
        /// The certificate.
        certificate: &'a Certificate,
        /// Whether it is a delegated responder's, and not the CA's own.
        delegated: bool,
        /// The key.
        signing: &'a SigningKey,
    },
}

/// A clause of a rule book.
struct Clause {
    /// Where it stands. BR: Baseline Requirements of the CA/Browser Forum for TLS server certificates; MRSP: Mozilla Root
    /// Store Policy; MS: Program Requirements of the Microsoft Trusted Root Program; EN: the European Standards of ETSI.
    name: &'static str,
    /// Whom it binds.
    of: &'static [Preset],
    /// Whether everybody else is warned.
    warns: bool,
    /// The sentence, where the clause is broken.
    broken: fn(&Facts<'_>) -> Option<&'static str>,
}

/// MRSP and MS take the Baseline Requirements in.
const BR: &[Preset] = &[Preset::Cabf, Preset::Mozilla, Preset::Microsoft];

const DAY: u32 = 86_400;

/// Whether an answer may say that a certificate is on hold: BR 4.9.13 knows no suspension.
pub fn allows_hold(policy: Preset) -> bool {
    !BR.contains(&policy)
}

/// extendedKeyUsage of OCSPSigning alone, keyUsage of digitalSignature alone, basicConstraints of no CA, and NULL.
const OCSP_SIGNING: [u8; 12] = [0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9];
const DIGITAL_SIGNATURE: [u8; 4] = [3, 2, 7, 0x80];
const NO_CA: [u8; 2] = [0x30, 0];
const NULL: [u8; 2] = [5, 0];

#[rustfmt::skip]
static CLAUSES: [Clause; 19] = [
    Clause { name: "BR 4.9.9", of: BR, warns: false, broken: |facts| (facts.issuer()?.validity < Preset::Cabf.least_validity()).then_some("the validity is less than 8h") },
    Clause { name: "BR 4.9.9", of: &[Preset::Cabf, Preset::Mozilla], warns: false, broken: |facts| (facts.issuer()?.validity > 10 * DAY).then_some("the validity is more than 10d") },
    Clause { name: "MS 3.2.2", of: &[Preset::Microsoft], warns: false, broken: |facts| (facts.issuer()?.validity > 7 * DAY).then_some("the validity is more than 7d") },
    Clause { name: "BR 4.9.9", of: BR, warns: false, broken: |facts| (facts.issuer()?.good == GoodPolicy::Status).then_some("good = \"status\" does not see to it that an unassigned serial is never good") },
    Clause { name: "EN 319 411-2 CSS-6.3.10-08", of: &[Preset::Etsi], warns: false, broken: |facts| (facts.issuer()?.archive_cutoff != Some(ArchiveCutoff::Issuer)).then_some("archive-cutoff is not \"issuer\"") },
    Clause { name: "BR 6.1.5", of: BR, warns: false, broken: |facts| (!facts.signing()?.is_rsa_or_ec()).then_some("the key is neither RSA nor P-256, P-384 or P-521") },
    Clause { name: "BR 6.1.5", of: BR, warns: false, broken: |facts| {
        let signing = facts.signing()?;
        (signing.is_rsa() && signing.bits() % 8 != 0).then_some("the size of the RSA key is no multiple of 8 bits")
    } },
    Clause { name: "MRSP 5.1", of: &[Preset::Mozilla], warns: false, broken: |facts| (facts.signing()?.bits() == 521).then_some("the key is on P-521, where P-256 or P-384 was expected") },
    Clause { name: "BR 7.1.2.8.2", of: BR, warns: true, broken: |facts| facts.lacks(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, None, "lacks authorityKeyIdentifier, or has it critical") },
    Clause { name: "BR 7.1.2.8.2", of: BR, warns: true, broken: |facts| facts.has(ID_CE_SUBJECT_ALT_NAME, "has a subjectAltName, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", of: BR, warns: true, broken: |facts| facts.has(ID_CE_NAME_CONSTRAINTS, "has nameConstraints, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", of: BR, warns: true, broken: |facts| facts.has(ID_CE_CERTIFICATE_POLICIES, "has certificatePolicies, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", of: BR, warns: true, broken: |facts| facts.has(ID_CE_CRL_DISTRIBUTION_POINTS, "has cRLDistributionPoints, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.4", of: BR, warns: true, broken: |facts| {
        facts.of(ID_CE_BASIC_CONSTRAINTS)?;
        facts.lacks(ID_CE_BASIC_CONSTRAINTS, true, Some(&NO_CA), "has basicConstraints that are not critical, or not empty (30 00)")
    } },
    Clause { name: "BR 7.1.2.8.5", of: BR, warns: true, broken: |facts| {
        let extension = facts.of(ID_CE_EXT_KEY_USAGE)?;
        (extension.extn_value.as_bytes() != OCSP_SIGNING).then_some("has other extended key usages beside OCSPSigning")
    } },
    Clause { name: "BR 7.1.2.8.6", of: BR, warns: true, broken: |facts| match facts.of(ID_PKIX_OCSP_NOCHECK) {
        None => facts.certificate(true).map(|_| "lacks id-pkix-ocsp-nocheck, so clients may ask about the responder itself"),
        Some(_) => facts.lacks(ID_PKIX_OCSP_NOCHECK, false, Some(&NULL), "has an id-pkix-ocsp-nocheck that is critical, or not NULL (05 00)"),
    } },
    Clause { name: "BR 7.1.2.8.7", of: BR, warns: true, broken: |facts| facts.lacks(ID_CE_KEY_USAGE, true, Some(&DIGITAL_SIGNATURE), "has no key usage that is critical, and digitalSignature alone") },
    Clause { name: "RFC 9919 3.2.2", of: BR, warns: true, broken: |facts| {
        let access = AuthorityInfoAccessSyntax::from_der(facts.of(ID_PE_AUTHORITY_INFO_ACCESS)?.extn_value.as_bytes());
        let ocsp = access.map(|access| access.0.iter().any(|entry| entry.access_method == ID_AD_OCSP));
        ocsp.unwrap_or(true).then_some("names an OCSP responder in its authorityInfoAccess")
    } },
    Clause { name: "BR 7.1.2.10.7", of: BR, warns: true, broken: |facts| {
        let usage = KeyUsage::from_der(facts.authority(ID_CE_KEY_USAGE)?.extn_value.as_bytes());
        let signs = usage.is_ok_and(|usage| usage.digital_signature());
        (!signs).then_some("its key usage lacks digitalSignature, so clients may refuse its answers")
    } },
];

impl Facts<'_> {
    /// The clauses that are broken: a sentence each, which goes on after the name of what it is about, and whether it is a
    /// warning only.
    pub fn broken(&self, policy: Preset) -> impl Iterator<Item = (String, bool)> {
        CLAUSES.iter().filter_map(move |clause| {
            let binds = clause.of.contains(&policy);
            let sentence = (clause.broken)(self).filter(|_| binds || clause.warns)?;
            Some((format!("{sentence} ({})", clause.name), !binds))
        })
    }

    fn issuer(&self) -> Option<&IssuerSettings> {
        match self {
            Self::Issuer(settings) => Some(settings),
            Self::Key { .. } => None,
        }
    }

    fn signing(&self) -> Option<&SigningKey> {
        match self {
            Self::Issuer(_) => None,
            Self::Key { signing, .. } => Some(signing),
        }
    }

    /// The certificate, if it is a delegated responder's, or if it is not.
    fn certificate(&self, of_delegate: bool) -> Option<&Certificate> {
        match self {
            Self::Key {
                certificate,
                delegated,
                ..
            } if *delegated == of_delegate => Some(certificate),
            Self::Key { .. } | Self::Issuer(_) => None,
        }
    }

    /// An extension of a delegated responder's certificate.
    fn of(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        extension(self.certificate(true)?, oid)
    }

    /// An extension of the CA's own certificate.
    fn authority(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        extension(self.certificate(false)?, oid)
    }

    /// The sentence, where a responder's certificate has this extension.
    fn has(&self, oid: ObjectIdentifier, sentence: &'static str) -> Option<&'static str> {
        self.of(oid).map(|_| sentence)
    }

    /// The sentence, where a responder's certificate does not have this extension, so critical, with this value.
    fn lacks(
        &self,
        oid: ObjectIdentifier,
        critical: bool,
        value: Option<&[u8]>,
        sentence: &'static str,
    ) -> Option<&'static str> {
        let fits = self.of(oid).is_some_and(|extension| {
            extension.critical == critical
                && value.is_none_or(|value| value == extension.extn_value.as_bytes())
        });
        self.certificate(true).filter(|_| !fits).map(|_| sentence)
    }
}

fn extension(certificate: &Certificate, oid: ObjectIdentifier) -> Option<&Extension> {
    let extensions = certificate.tbs_certificate.extensions.as_deref();
    extensions
        .unwrap_or_default()
        .iter()
        .find(|extension| extension.extn_id == oid)
}
