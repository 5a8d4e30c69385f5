//! Answers: the octets of errors, and a look into what the signer signed before anybody gets it. The frontend does not
//! trust its signer to have answered the question that was asked, nor to have signed by the right key, nor to have said
//! nothing else.

use std::time::Duration;

use bytes::Bytes;
use der::asn1::{
    AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetString, OctetStringRef,
};
use der::oid::db::rfc6960::{ID_PKIX_OCSP_ARCHIVE_CUTOFF, ID_PKIX_OCSP_NONCE};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber};
use ocsp_wire::{Item, Reason, SignRequest, Status};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_ocsp::{CertStatus, OcspGeneralizedTime, ResponderId, ResponseData, SingleResponse};

use crate::answer::now;
use crate::issuer::Issuer;
use crate::request::{self, Hash};
use crate::tlv::{context, inside, whole};
use crate::verify::{Scheme, Signatory};

/// The OCSPResponseStatus *successful*.
const SUCCESSFUL: [u8; 3] = [0x0a, 0x01, 0x00];

/// The OBJECT IDENTIFIER id-pkix-ocsp-basic.
const BASIC: [u8; 11] = [
    0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01,
];

/// id-pkix-ocsp-extended-revoke (RFC 6960 section 4.4.8).
const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");

/// Errors of an OCSPResponse (RFC 6960 section 4.2.1); they carry nothing else, and no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspError {
    /// The request is not what the standard calls one.
    MalformedRequest = 1,
    /// What we know contradicts itself.
    InternalError = 2,
    /// We cannot say, for now.
    TryLater = 3,
    /// Only signed requests are answered.
    SigRequired = 5,
    /// The client may not ask, or we have no authoritative record (RFC 9919 section 3.2.3).
    Unauthorized = 6,
}

impl OcspError {
    /// The OCSPResponse as DER.
    pub fn der(self) -> Bytes {
        Bytes::from_static(match self {
            Self::MalformedRequest => &[0x30, 3, 0x0a, 1, 1],
            Self::InternalError => &[0x30, 3, 0x0a, 1, 2],
            Self::TryLater => &[0x30, 3, 0x0a, 1, 3],
            Self::SigRequired => &[0x30, 3, 0x0a, 1, 5],
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

/// How far clocks may be set between two readings, in seconds, and nobody is to blame.
const SET: u64 = 60;

/// Compares a signed answer with the question it was asked for, and sees who signed it. The error names what is wrong.
pub fn check(der: &[u8], asked: &SignRequest, issuer: &Issuer) -> Result<Times, &'static str> {
    check_by(der, asked, issuer, Signatory::vouches_for)
}

/// Likewise of an answer that somebody else says was signed: its signature is verified, whatever becomes of others.
pub fn check_inherited(
    der: &[u8],
    asked: &SignRequest,
    issuer: &Issuer,
) -> Result<Times, &'static str> {
    check_by(der, asked, issuer, Signatory::verifies)
}

fn check_by(
    der: &[u8],
    asked: &SignRequest,
    issuer: &Issuer,
    is_right: impl Fn(&Signatory, Scheme, &[u8], &[u8]) -> bool,
) -> Result<Times, &'static str> {
    let parts = Parts::cut(der).ok_or("form")?;
    if parts.status != SUCCESSFUL || parts.kind != BASIC {
        return Err("kind");
    }
    let signatory = issuer
        .signatories
        .get(usize::from(asked.key))
        .ok_or("key")?;
    let scheme = AlgorithmIdentifierRef::from_der(parts.algorithm)
        .ok()
        .and_then(|algorithm| signatory.scheme(&algorithm))
        .ok_or("signature algorithm")?;
    if parts.certificates != signatory.certificate() {
        return Err("certificate of the responder");
    }
    let times = statement(parts.data, asked, issuer, signatory)?;
    if !is_right(signatory, scheme, parts.data, parts.signature) {
        return Err("signature");
    }
    Ok(times)
}

/// The parts of an OCSPResponse (RFC 6960 section 4.2.1), as they stand.
struct Parts<'a> {
    status: &'a [u8],
    kind: &'a [u8],
    data: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    /// What the list of certificates holds; none where there is no list.
    certificates: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Cuts one up that fills `der` from end to end.
    fn cut(der: &'a [u8]) -> Option<Self> {
        let mut outer = SliceReader::new(der).ok()?;
        let mut response = inside(&mut outer, Tag::Sequence)?;
        let status = whole(&mut response, Tag::Enumerated)?;
        let mut explicit = inside(&mut response, context(TagNumber::N0))?;
        let mut octets = inside(&mut explicit, Tag::Sequence)?;
        let kind = whole(&mut octets, Tag::ObjectIdentifier)?;
        let mut octet_string = inside(&mut octets, Tag::OctetString)?;
        let mut basic = inside(&mut octet_string, Tag::Sequence)?;
        let data = whole(&mut basic, Tag::Sequence)?;
        let algorithm = whole(&mut basic, Tag::Sequence)?;
        let signature = BitStringRef::decode(&mut basic).ok()?.as_bytes()?;
        let certificates = if basic.is_finished() {
            None
        } else {
            let mut explicit = inside(&mut basic, context(TagNumber::N0))?;
            let mut list = inside(&mut explicit, Tag::Sequence)?;
            let certificates = list.read_slice(list.remaining_len()).ok()?;
            explicit.is_finished().then_some(Some(certificates))?
        };
        [outer, response, explicit, octets, octet_string, basic]
            .iter()
            .all(SliceReader::is_finished)
            .then_some(Self {
                status,
                kind,
                data,
                algorithm,
                signature,
                certificates,
            })
    }
}

/// What a ResponseData says: of whom, by whom, and nothing else than what was asked.
fn statement(
    der: &[u8],
    asked: &SignRequest,
    issuer: &Issuer,
    signatory: &Signatory,
) -> Result<Times, &'static str> {
    if is_versioned(der) {
        return Err("version");
    }
    let data = ResponseData::from_der(der).map_err(|_| "form")?;
    match &data.responder_id {
        ResponderId::ByKey(hash) if hash.as_bytes() == signatory.key_hash() => {}
        ResponderId::ByKey(_) | ResponderId::ByName(_) => return Err("responder ID"),
    }
    let expected = extensions(asked).ok_or("nonce")?;
    let said = data.response_extensions;
    if nonce(said.as_ref()) != nonce(expected.as_ref()) {
        return Err("nonce");
    }
    if said != expected {
        return Err("list of extensions");
    }
    if data.responses.len() != asked.items.len() {
        return Err("number of certificates");
    }
    let produced_at = seconds(data.produced_at);
    let mut times: Option<Times> = None;
    for (single, item) in data.responses.iter().zip(asked.items.iter()) {
        if !names(single, item, issuer) {
            return Err("certificate");
        }
        if !says(single.cert_status, item, produced_at) {
            return Err("status");
        }
        if single.single_extensions != single_extensions(item, issuer, produced_at).ok_or("time")? {
            return Err("list of extensions");
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
    let times = times.ok_or("number of certificates")?;
    let now = now();
    if times.next_update.saturating_add(SET) <= now || now.saturating_add(SET) < times.this_update {
        return Err("time");
    }
    Ok(times)
}

/// Whether a version stands there: in DER the only one there is does not.
fn is_versioned(data: &[u8]) -> bool {
    let fields = SliceReader::new(data)
        .ok()
        .and_then(|mut outer| inside(&mut outer, Tag::Sequence));
    fields.is_some_and(|fields| fields.peek_tag() == Ok(context(TagNumber::N0)))
}

/// The extensions that the signer makes, in its order: the nonce (RFC 9654), and extended-revoke where a serial is answered
/// as never issued.
fn extensions(asked: &SignRequest) -> Option<Option<Vec<Extension>>> {
    let mut extensions = Vec::new();
    if let Some(nonce) = &asked.nonce {
        let wrapped = OctetStringRef::new(nonce).ok()?.to_der().ok()?;
        extensions.push(extension(ID_PKIX_OCSP_NONCE, &wrapped)?);
    }
    if asked
        .items
        .iter()
        .any(|item| status(item) == Status::NeverIssued)
    {
        extensions.push(extension(EXTENDED_REVOKE, &[0x05, 0x00])?);
    }
    Some(if extensions.is_empty() {
        None
    } else {
        Some(extensions)
    })
}

/// What the signer says beside the status of a certificate that has a record: the archive cutoff, where it is to be said.
fn single_extensions(
    item: &Item,
    issuer: &Issuer,
    produced_at: u64,
) -> Option<Option<Vec<Extension>>> {
    let has_record = matches!(status(item), Status::Good | Status::Revoked { .. });
    let Some(cutoff) = issuer.archive_cutoff(produced_at).filter(|_| has_record) else {
        return Some(None);
    };
    let cutoff = GeneralizedTime::from_unix_duration(Duration::from_secs(cutoff)).ok()?;
    let extension = extension(ID_PKIX_OCSP_ARCHIVE_CUTOFF, &cutoff.to_der().ok()?)?;
    Some(Some(vec![extension]))
}

fn extension(extn_id: ObjectIdentifier, value: &[u8]) -> Option<Extension> {
    Some(Extension {
        extn_id,
        critical: false,
        extn_value: OctetString::new(value).ok()?,
    })
}

fn nonce(extensions: Option<&Vec<Extension>>) -> Option<&Extension> {
    extensions?
        .iter()
        .find(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE)
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
    let given = id.hash_algorithm.parameters.as_ref().map(AnyRef::from);
    id.hash_algorithm.oid.as_bytes() == &*algorithm
        && request::parameters(given) == Some(parameters)
        && id.issuer_name_hash.as_bytes() == name
        && id.issuer_key_hash.as_bytes() == key
        && id.serial_number.as_bytes() == &**serial
}

fn says(said: CertStatus, item: &Item, produced_at: u64) -> bool {
    match (said, status(item)) {
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

/// What was asked to be said.
fn status(item: &Item) -> Status {
    match item {
        Item::Ours(ours) => ours.status,
        Item::Foreign(_) => Status::Unknown,
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
