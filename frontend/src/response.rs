//! Answers: the octets of errors, and a look into what the signer signed before anybody gets it. The frontend does not
//! trust its signer to have answered the question that was asked, nor to have signed by the right key, nor to have said
//! nothing else.

use std::time::Duration;

use bytes::Bytes;
use der::asn1::{GeneralizedTime, ObjectIdentifier, OctetString, OctetStringRef};
use der::oid::db::rfc6960::{ID_PKIX_OCSP_ARCHIVE_CUTOFF, ID_PKIX_OCSP_NONCE};
use der::{Decode, Encode, Tag, TagNumber};
use ocsp_wire::{Item, Reason, SignRequest, Status};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;

use crate::answer::now;
use crate::issuer::Issuer;
use crate::request::{self, CertId, Hash, NoQuestion};
use crate::tlv::{Reader, context};
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
    let scheme = signatory
        .scheme(parts.algorithm)
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
        let mut outer = Reader::new(der);
        let mut response = outer.inside(Tag::Sequence)?;
        let status = response.whole(Tag::Enumerated)?;
        let mut explicit = response.inside(context(TagNumber::N0))?;
        let mut octets = explicit.inside(Tag::Sequence)?;
        let kind = octets.whole(Tag::ObjectIdentifier)?;
        let mut octet_string = octets.inside(Tag::OctetString)?;
        let mut basic = octet_string.inside(Tag::Sequence)?;
        let data = basic.whole(Tag::Sequence)?;
        let algorithm = basic.whole(Tag::Sequence)?;
        let signature = basic.bits()?;
        let certificates = if basic.is_finished() {
            None
        } else {
            let mut explicit = basic.inside(context(TagNumber::N0))?;
            let certificates = explicit.content(Tag::Sequence)?;
            explicit.is_finished().then_some(Some(certificates))?
        };
        [outer, response, explicit, octets, octet_string, basic]
            .iter()
            .all(Reader::is_finished)
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

/// What a ResponseData says: of whom, by whom, and nothing else than what was asked. It is read where it stands, and compared
/// octet by octet where only one form is right.
fn statement(
    der: &[u8],
    asked: &SignRequest,
    issuer: &Issuer,
    signatory: &Signatory,
) -> Result<Times, &'static str> {
    let mut outer = Reader::new(der);
    let mut data = outer.inside(Tag::Sequence).ok_or("form")?;
    // In DER the only version there is does not stand there.
    if data.next_is(context(TagNumber::N0)) {
        return Err("version");
    }
    by_key(&mut data, signatory)?;
    let produced_at = seconds(&mut data).ok_or("form")?;
    let mut responses = data.inside(Tag::Sequence).ok_or("form")?;
    let said = explicit(&mut data, TagNumber::N1).ok_or("form")?;
    if !data.is_finished() || !outer.is_finished() {
        return Err("form");
    }
    compare(said, extensions(asked).ok_or("nonce")?)?;
    if count(responses.clone()).ok_or("form")? != asked.items.len() {
        return Err("number of certificates");
    }
    let mut times: Option<Times> = None;
    for item in asked.items.iter() {
        let single = Single::cut(&mut responses).ok_or("form")?;
        match request::cert_id(single.id) {
            Ok(id) if names(&id, item, issuer) => {}
            Ok(_) | Err(NoQuestion::NotOurs) => return Err("certificate"),
            Err(NoQuestion::Malformed) => return Err("form"),
        }
        if !says(single.status, item, produced_at).ok_or("form")? {
            return Err("status");
        }
        let expected = single_extensions(item, issuer, produced_at).ok_or("time")?;
        compare(single.extensions, expected)?;
        let these = Times {
            this_update: single.this_update,
            next_update: single.next_update.ok_or("nextUpdate")?,
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

/// A SingleResponse (RFC 6960 section 4.2.1), as it stands.
struct Single<'a> {
    id: Reader<'a>,
    status: &'a [u8],
    this_update: u64,
    next_update: Option<u64>,
    /// The list; none where there is none.
    extensions: Option<&'a [u8]>,
}

impl<'a> Single<'a> {
    fn cut(responses: &mut Reader<'a>) -> Option<Self> {
        let mut fields = responses.inside(Tag::Sequence)?;
        let single = Self {
            id: fields.inside(Tag::Sequence)?,
            status: fields.any()?,
            this_update: seconds(&mut fields)?,
            next_update: match explicit(&mut fields, TagNumber::N0)? {
                None => None,
                Some(time) => Some(all(time, seconds)?),
            },
            extensions: explicit(&mut fields, TagNumber::N1)?,
        };
        fields.is_finished().then_some(single)
    }
}

/// The responder ID: byKey, and this key.
fn by_key(data: &mut Reader<'_>, signatory: &Signatory) -> Result<(), &'static str> {
    let read = |id: &mut Reader<'_>| {
        let mut explicit = id.inside(context(TagNumber::N2))?;
        let hash = explicit.content(Tag::OctetString)?;
        explicit.is_finished().then(|| hash == signatory.key_hash())
    };
    if data.next_is(context(TagNumber::N1)) {
        return Err("responder ID"); // byName
    }
    match read(data) {
        Some(true) => Ok(()),
        Some(false) => Err("responder ID"),
        None => Err("form"),
    }
}

/// What an explicit tag holds that may stand next.
fn explicit<'a>(fields: &mut Reader<'a>, number: TagNumber) -> Option<Option<&'a [u8]>> {
    if !fields.next_is(context(number)) {
        return Some(None);
    }
    Some(Some(fields.content(context(number))?))
}

/// One value that is all there is.
fn all<T>(octets: &[u8], read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(octets);
    let value = read(&mut reader)?;
    reader.is_finished().then_some(value)
}

/// A GeneralizedTime, in seconds since 1970.
fn seconds(fields: &mut Reader<'_>) -> Option<u64> {
    let time = fields.decode::<GeneralizedTime>()?;
    Some(time.to_unix_duration().as_secs())
}

/// How many values there are.
fn count(mut list: Reader<'_>) -> Option<usize> {
    let mut count = 0;
    while !list.is_finished() {
        list.any()?;
        count += 1;
    }
    Some(count)
}

/// Whether a list of extensions is the expected one, octet by octet.
fn compare(said: Option<&[u8]>, expected: Option<Vec<Extension>>) -> Result<(), &'static str> {
    let encoded = expected.as_ref().map(Encode::to_der);
    let encoded = encoded.transpose().map_err(|_| "list of extensions")?;
    if said == encoded.as_deref() {
        return Ok(());
    }
    let said = said.map(Vec::<Extension>::from_der);
    let said = said.transpose().map_err(|_| "form")?;
    Err(if nonce(said.as_ref()) == nonce(expected.as_ref()) {
        "list of extensions"
    } else {
        "nonce"
    })
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

fn names(id: &CertId, item: &Item, issuer: &Issuer) -> bool {
    let (name, key) = (&*id.name_hash, &*id.key_hash);
    match item {
        Item::Ours(ours) => {
            id.hash == Hash::Known(ours.hash)
                && id.parameters == ours.parameters
                && (name, key) == issuer.hashes(ours.hash)
                && id.serial == ours.serial
        }
        Item::Foreign(foreign) => {
            request::oid(&id.hash) == foreign.algorithm
                && id.parameters == foreign.parameters
                && (name, key) == (&*foreign.name_hash, &*foreign.key_hash)
                && id.serial == foreign.serial
        }
    }
}

/// Whether a CertStatus says what was asked to be said; none where it is none.
fn says(said: &[u8], item: &Item, produced_at: u64) -> Option<bool> {
    let status = status(item);
    let revoked = match said {
        [0x80, 0] => return Some(status == Status::Good),
        [0x82, 0] => return Some(status == Status::Unknown),
        said => all(said, |outer| {
            let mut info = outer.inside(context(TagNumber::N1))?;
            let time = seconds(&mut info)?;
            let reason = match explicit(&mut info, TagNumber::N0)? {
                None => None,
                Some(reason) => Some(CrlReason::from_der(reason).ok()?),
            };
            info.is_finished().then_some((time, reason))
        })?,
    };
    Some(match status {
        Status::Revoked { time, reason } => {
            revoked == (time.min(produced_at), reason.map(crl_reason))
        }
        Status::NeverIssued => revoked == (0, Some(CrlReason::CertificateHold)),
        Status::Good | Status::Unknown => false,
    })
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
