//! Answers: the octets of errors, and a look into what the signer signed before anybody gets it. The frontend does not
//! trust its signer to have answered the question that was asked.

use bytes::Bytes;
use der::Decode;
use der::asn1::OctetString;
use der::oid::db::rfc6960::{ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE};
use ocsp_wire::{Item, Reason, SignRequest, Status};
use x509_cert::ext::pkix::CrlReason;
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
    SingleResponse,
};

use crate::issuer::Issuer;
use crate::request::{self, Hash};

/// Errors of an OCSPResponse (RFC 6960 section 4.2.1); they carry nothing else, and no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspError {
    /// The request is not what the standard calls one.
    MalformedRequest = 1,
    /// What we know contradicts itself.
    InternalError = 2,
    /// We cannot say, for now.
    TryLater = 3,
    /// We have no authoritative record (RFC 9919 section 3.2.3).
    Unauthorized = 6,
}

impl OcspError {
    /// The OCSPResponse as DER.
    pub fn der(self) -> Bytes {
        Bytes::from_static(match self {
            Self::MalformedRequest => &[0x30, 3, 0x0a, 1, 1],
            Self::InternalError => &[0x30, 3, 0x0a, 1, 2],
            Self::TryLater => &[0x30, 3, 0x0a, 1, 3],
            Self::Unauthorized => &[0x30, 3, 0x0a, 1, 6],
        })
    }
}

/// When an answer holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From when.
    pub this_update: u64,
    /// Until when.
    pub next_update: u64,
}

impl Times {
    /// Whether the answer holds at `now`.
    pub fn contain(&self, now: u64) -> bool {
        (self.this_update..self.next_update).contains(&now)
    }
}

/// Compares a signed answer with the question it was asked for. The error names what does not match.
pub fn times(der: &[u8], asked: &SignRequest, issuer: &Issuer) -> Result<Times, &'static str> {
    let response = OcspResponse::from_der(der).map_err(|_| "form")?;
    let octets = response.response_bytes.ok_or("form")?;
    if response.response_status != OcspResponseStatus::Successful
        || octets.response_type != ID_PKIX_OCSP_BASIC
    {
        return Err("kind");
    }
    let basic = BasicOcspResponse::from_der(octets.response.as_bytes()).map_err(|_| "form")?;
    let data = basic.tbs_response_data;
    let produced_at = seconds(data.produced_at);

    let extensions = data.response_extensions.as_deref().unwrap_or_default();
    let echoed = extensions
        .iter()
        .find(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE);
    let nonce_matches = match (&asked.nonce, echoed) {
        (None, None) => true,
        (Some(nonce), Some(extension)) => OctetString::from_der(extension.extn_value.as_bytes())
            .is_ok_and(|echoed| *echoed.as_bytes() == **nonce),
        (None, Some(_)) | (Some(_), None) => false,
    };
    if !nonce_matches {
        return Err("nonce");
    }
    if data.responses.len() != asked.items.len() {
        return Err("number of certificates");
    }
    let mut times: Option<Times> = None;
    for (single, item) in data.responses.iter().zip(asked.items.iter()) {
        if !names(single, item, issuer) {
            return Err("certificate");
        }
        if !says(single.cert_status, item, produced_at) {
            return Err("status");
        }
        let these = Times {
            this_update: seconds(single.this_update),
            next_update: seconds(single.next_update.ok_or("nextUpdate")?),
        };
        if these.this_update > produced_at
            || these.next_update <= produced_at
            || *times.get_or_insert(these) != these
        {
            return Err("time");
        }
    }
    times.ok_or("number of certificates")
}

fn seconds(time: OcspGeneralizedTime) -> u64 {
    time.0.to_unix_duration().as_secs()
}

fn names(single: &SingleResponse, item: &Item, issuer: &Issuer) -> bool {
    let id = &single.cert_id;
    let (algorithm, parameters, name, key, serial) = match item {
        Item::Ours(ours) => {
            let (name, key) = issuer.hashes(ours.hash);
            (
                request::oid(&Hash::Known(ours.hash)),
                ours.parameters,
                name,
                key,
                &ours.serial,
            )
        }
        Item::Foreign(foreign) => (
            foreign.algorithm.clone(),
            foreign.parameters,
            &*foreign.name_hash,
            &*foreign.key_hash,
            &foreign.serial,
        ),
    };
    id.hash_algorithm.oid.as_bytes() == &*algorithm
        && request::parameters(id.hash_algorithm.parameters.as_ref()) == Ok(parameters)
        && id.issuer_name_hash.as_bytes() == name
        && id.issuer_key_hash.as_bytes() == key
        && id.serial_number.as_bytes() == &**serial
}

fn says(said: CertStatus, item: &Item, produced_at: u64) -> bool {
    let asked = match item {
        Item::Ours(ours) => ours.status,
        Item::Foreign(_) => Status::Unknown,
    };
    match (said, asked) {
        (CertStatus::Good(_), Status::Good) | (CertStatus::Unknown(_), Status::Unknown) => true,
        (CertStatus::Revoked(said), Status::Revoked { time, reason }) => {
            seconds(said.revocation_time) == time.min(produced_at)
                && said.revocation_reason == reason.map(crl_reason)
        }
        (CertStatus::Revoked(said), Status::NeverIssued) => {
            seconds(said.revocation_time) == 0
                && said.revocation_reason == Some(CrlReason::CertificateHold)
        }
        (CertStatus::Good(_) | CertStatus::Revoked(_) | CertStatus::Unknown(_), _) => false,
    }
}

fn crl_reason(reason: Reason) -> CrlReason {
    match reason {
        Reason::KeyCompromise => CrlReason::KeyCompromise,
        Reason::CaCompromise => CrlReason::CaCompromise,
        Reason::AffiliationChanged => CrlReason::AffiliationChanged,
        Reason::Superseded => CrlReason::Superseded,
        Reason::CessationOfOperation => CrlReason::CessationOfOperation,
        Reason::CertificateHold => CrlReason::CertificateHold,
        Reason::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        Reason::AaCompromise => CrlReason::AaCompromise,
    }
}
