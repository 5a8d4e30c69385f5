//! What rule books ask of who signs, clause by clause: here stand the sentences, and what breaks them. Looked at once, at
//! the start, with certificates that the configuration names; no octet of a frontend comes here.

use der::Decode;
use der::oid::ObjectIdentifier;
use der::oid::db::rfc5280::{
    ID_AD_OCSP, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
    ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE,
    ID_CE_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME, ID_PE_AUTHORITY_INFO_ACCESS,
};
use der::oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, KeyUsage};

/// What clauses are about.
pub struct Facts<'a> {
    /// The certificate that signs.
    pub certificate: &'a Certificate,
    /// Whether it is a delegated responder's, and not the CA's own.
    pub delegated: bool,
}

/// A clause of a rule book.
struct Clause {
    /// Where it stands. BR: Baseline Requirements of the CA/Browser Forum for TLS server certificates.
    name: &'static str,
    /// The sentence about the certificate, where the clause is broken.
    broken: fn(&Facts<'_>) -> Option<&'static str>,
}

/// extendedKeyUsage of OCSPSigning alone, keyUsage of digitalSignature alone, basicConstraints of no CA, and NULL.
const OCSP_SIGNING: [u8; 12] = [0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 9];
const DIGITAL_SIGNATURE: [u8; 4] = [3, 2, 7, 0x80];
const NO_CA: [u8; 2] = [0x30, 0];
const NULL: [u8; 2] = [5, 0];

#[rustfmt::skip]
static CLAUSES: [Clause; 11] = [
    Clause { name: "BR 7.1.2.8.2", broken: |facts| facts.lacks(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, None, "lacks authorityKeyIdentifier, or has it critical") },
    Clause { name: "BR 7.1.2.8.2", broken: |facts| facts.has(ID_CE_SUBJECT_ALT_NAME, "has a subjectAltName, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", broken: |facts| facts.has(ID_CE_NAME_CONSTRAINTS, "has nameConstraints, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", broken: |facts| facts.has(ID_CE_CERTIFICATE_POLICIES, "has certificatePolicies, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.2", broken: |facts| facts.has(ID_CE_CRL_DISTRIBUTION_POINTS, "has cRLDistributionPoints, which a responder's must not") },
    Clause { name: "BR 7.1.2.8.4", broken: |facts| {
        facts.of(ID_CE_BASIC_CONSTRAINTS)?;
        facts.lacks(ID_CE_BASIC_CONSTRAINTS, true, Some(&NO_CA), "has basicConstraints that are not critical, or not empty (30 00)")
    } },
    Clause { name: "BR 7.1.2.8.5", broken: |facts| {
        let extension = facts.of(ID_CE_EXT_KEY_USAGE)?;
        (extension.extn_value.as_bytes() != OCSP_SIGNING).then_some("has other extended key usages beside OCSPSigning")
    } },
    Clause { name: "BR 7.1.2.8.6", broken: |facts| match facts.of(ID_PKIX_OCSP_NOCHECK) {
        None => facts.delegated.then_some("lacks id-pkix-ocsp-nocheck, so clients may ask about the responder itself"),
        Some(_) => facts.lacks(ID_PKIX_OCSP_NOCHECK, false, Some(&NULL), "has an id-pkix-ocsp-nocheck that is critical, or not NULL (05 00)"),
    } },
    Clause { name: "BR 7.1.2.8.7", broken: |facts| facts.lacks(ID_CE_KEY_USAGE, true, Some(&DIGITAL_SIGNATURE), "has no key usage that is critical, and digitalSignature alone") },
    Clause { name: "RFC 9919 3.2.2", broken: |facts| {
        let access = AuthorityInfoAccessSyntax::from_der(facts.of(ID_PE_AUTHORITY_INFO_ACCESS)?.extn_value.as_bytes());
        let ocsp = access.map(|access| access.0.iter().any(|entry| entry.access_method == ID_AD_OCSP));
        ocsp.unwrap_or(true).then_some("names an OCSP responder in its authorityInfoAccess")
    } },
    Clause { name: "BR 7.1.2.10.7", broken: |facts| {
        let usage = KeyUsage::from_der(facts.authority(ID_CE_KEY_USAGE)?.extn_value.as_bytes());
        let signs = usage.is_ok_and(|usage| usage.digital_signature());
        (!signs).then_some("its key usage lacks digitalSignature, so clients may refuse its answers")
    } },
];

impl Facts<'_> {
    /// The clauses that the certificate breaks: a sentence each, which goes on after its name.
    pub fn broken(&self) -> impl Iterator<Item = String> {
        CLAUSES.iter().filter_map(|clause| {
            (clause.broken)(self).map(|sentence| format!("{sentence} ({})", clause.name))
        })
    }

    /// An extension of a delegated responder's certificate.
    fn of(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extension(oid).filter(|_| self.delegated)
    }

    /// An extension of the CA's own certificate.
    fn authority(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        self.extension(oid).filter(|_| !self.delegated)
    }

    fn extension(&self, oid: ObjectIdentifier) -> Option<&Extension> {
        let extensions = self.certificate.tbs_certificate.extensions.as_deref();
        extensions
            .unwrap_or_default()
            .iter()
            .find(|extension| extension.extn_id == oid)
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
        (self.delegated && !fits).then_some(sentence)
    }
}
