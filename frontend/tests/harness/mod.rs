//! Plays launcher, signer and clients to a real frontend process: its control socket, its boundary, its log pipe and its
//! listening sockets end here. As root the frontend runs under a user id of its own, otherwise under the caller's.
//! Whatever is waited for comes within [`PATIENCE`] or fails the test; processes and files are gone when their value is
//! dropped.

#![allow(dead_code)] // each test file uses a part

#[path = "../../../tests/harness/alone.rs"]
mod alone;
#[path = "../../../tests/harness/folder.rs"]
mod folder;

use alone::{close_what_was_inherited, executable, identity_of};
#[allow(unused_imports)] // each test file uses a part
pub use folder::{Folder, set_mode};

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use der::asn1::{GeneralizedTime, Null, ObjectIdentifier, OctetString};
use der::oid::db::rfc5912::ECDSA_WITH_SHA_256;
use der::oid::db::rfc6960::{ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE};
use der::{Any, Decode, Encode};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use ocsp_frontend_settings as settings;
use ocsp_frontend_settings::{
    Limits, Listener, ListenerKind, NoRecord, Purpose, Settings, SourceKind,
};
use ocsp_wire::*;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::{X509, X509Name};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse,
};

/// More than anything here takes, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Who the frontend is when the test is root: nobody's number.
const STRANGER: u32 = 61_804;

/// Exit codes, as the launcher knows them.
pub const DONE: i32 = 0;
pub const USAGE: i32 = 2;
pub const VIOLATION: i32 = 11;

/// User and group of the frontend.
pub fn identity() -> (u32, u32) {
    identity_of(STRANGER)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn sleep_ms(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        write!(hex, "{octet:02X}").unwrap();
        hex
    })
}

// ---- requests -----------------------------------------------------------------------------------------------------

/// One DER value: tag, length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
        0x80..=0xff => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            vec![tag, 0x82, high, low]
        }
    };
    [&header, content].concat()
}

/// What a client asks about one certificate.
#[derive(Clone)]
pub struct Ask {
    pub hash: HashAlgorithm,
    pub parameters: Parameters,
    pub name_hash: Vec<u8>,
    pub key_hash: Vec<u8>,
    pub serial: Vec<u8>,
}

impl Ask {
    /// As DER: a CertID.
    pub fn cert_id(&self) -> Vec<u8> {
        let oid = tlv(6, oid(self.hash).as_bytes());
        let null: &[u8] = match self.parameters {
            Parameters::Absent => &[],
            Parameters::Null => &[5, 0],
        };
        let parts = [
            tlv(0x30, &[&oid, null].concat()),
            tlv(4, &self.name_hash),
            tlv(4, &self.key_hash),
            tlv(2, &self.serial),
        ];
        tlv(0x30, &parts.concat())
    }

    /// As a whole OCSPRequest.
    pub fn request(&self) -> Vec<u8> {
        request(&[self.cert_id()], &[])
    }

    /// As a whole OCSPRequest with a nonce.
    pub fn with_nonce(&self, octets: &[u8]) -> Vec<u8> {
        request(&[self.cert_id()], &[nonce(octets)])
    }
}

/// An OCSPRequest of these CertIDs and extensions.
pub fn request(ids: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
    let list: Vec<u8> = ids.iter().flat_map(|id| tlv(0x30, id)).collect();
    let list = tlv(0x30, &list);
    let extensions = if extensions.is_empty() {
        Vec::new()
    } else {
        tlv(0xa2, &tlv(0x30, &extensions.concat()))
    };
    tlv(0x30, &tlv(0x30, &[list, extensions].concat()))
}

/// An extension.
pub fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let oid = tlv(6, oid.as_bytes());
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&oid, critical, &tlv(4, value)].concat())
}

/// The nonce as RFC 9654 wants it: an OCTET STRING within the extension's own.
pub fn nonce(octets: &[u8]) -> Vec<u8> {
    extension(ID_PKIX_OCSP_NONCE, false, &tlv(4, octets))
}

pub fn oid(algorithm: HashAlgorithm) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(match algorithm {
        HashAlgorithm::Sha1 => "1.3.14.3.2.26",
        HashAlgorithm::Sha256 => "2.16.840.1.101.3.4.2.1",
        HashAlgorithm::Sha384 => "2.16.840.1.101.3.4.2.2",
        HashAlgorithm::Sha512 => "2.16.840.1.101.3.4.2.3",
    })
}

fn digest(algorithm: HashAlgorithm, octets: &[u8]) -> Vec<u8> {
    let digest = match algorithm {
        HashAlgorithm::Sha1 => MessageDigest::sha1(),
        HashAlgorithm::Sha256 => MessageDigest::sha256(),
        HashAlgorithm::Sha384 => MessageDigest::sha384(),
        HashAlgorithm::Sha512 => MessageDigest::sha512(),
    };
    hash(digest, octets).unwrap().to_vec()
}

// ---- the issuer, and what its signer says -------------------------------------------------------------------------

/// An issuer with its key: what a signer holds, and what a client knows.
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
    subject: Vec<u8>,
    key_octets: Vec<u8>,
}

/// The times that an answer carries, in seconds since 1970.
#[derive(Clone, Copy)]
pub struct When {
    pub produced_at: u64,
    pub this_update: u64,
    pub next_update: u64,
}

impl When {
    /// From now, for so many seconds.
    pub fn lasting(seconds: u64) -> Self {
        let now = now();
        Self {
            produced_at: now,
            this_update: now,
            next_update: now + seconds,
        }
    }

    /// From so many seconds ago until so many ahead.
    pub fn around(ago: u64, ahead: u64) -> Self {
        let now = now();
        Self {
            produced_at: now - ago,
            this_update: now - ago,
            next_update: now + ahead,
        }
    }
}

/// id-pkix-ocsp-extended-revoke.
pub const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");

/// What an honest signer says holds for a day.
const DAY: u64 = 86_400;

impl Authority {
    pub fn new(subject: &str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, subject).unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
        certificate.set_serial_number(&serial).unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_pubkey(&key).unwrap();
        let (begin, end) = (
            Asn1Time::days_from_now(0).unwrap(),
            Asn1Time::days_from_now(365).unwrap(),
        );
        certificate.set_not_before(&begin).unwrap();
        certificate.set_not_after(&end).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = certificate.build();
        let read = x509_cert::Certificate::from_der(&certificate.to_der().unwrap()).unwrap();
        let read = read.tbs_certificate;
        let key_octets = read.subject_public_key_info.subject_public_key.raw_bytes();
        Self {
            key,
            subject: read.subject.to_der().unwrap(),
            key_octets: key_octets.to_vec(),
            certificate,
        }
    }

    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// A question about a serial of this issuer.
    pub fn ask(&self, serial: &[u8]) -> Ask {
        self.ask_by(HashAlgorithm::Sha1, Parameters::Null, serial)
    }

    pub fn ask_by(&self, hash: HashAlgorithm, parameters: Parameters, serial: &[u8]) -> Ask {
        Ask {
            hash,
            parameters,
            name_hash: digest(hash, &self.subject),
            key_hash: digest(hash, &self.key_octets),
            serial: serial.to_vec(),
        }
    }

    /// The octets of an honest answer, framed.
    pub fn answers(&self, asked: &SignRequest) -> Vec<u8> {
        self.answers_at(asked, When::lasting(DAY))
    }

    /// Likewise, with these times.
    pub fn answers_at(&self, asked: &SignRequest, when: When) -> Vec<u8> {
        signed(asked.id, &self.seal(self.data(asked, when)))
    }

    /// What an honest signer says, before it is signed.
    pub fn data(&self, asked: &SignRequest, when: When) -> ResponseData {
        let nonce = asked.nonce.as_ref().map(|nonce| nonce_extension(nonce));
        let never_issued = asked
            .items
            .iter()
            .any(|item| matches!(item, Item::Ours(ours) if ours.status == Status::NeverIssued));
        let extended_revoke = never_issued.then(|| Extension {
            extn_id: EXTENDED_REVOKE,
            critical: false,
            extn_value: octet_string(&[5, 0]),
        });
        let extensions: Vec<_> = nonce.into_iter().chain(extended_revoke).collect();
        ResponseData {
            version: x509_ocsp::Version::V1,
            responder_id: ResponderId::ByKey(octet_string(&self.key_hash())),
            produced_at: time(when.produced_at),
            responses: asked
                .items
                .iter()
                .map(|item| self.single(item, when))
                .collect(),
            response_extensions: (!extensions.is_empty()).then_some(extensions),
        }
    }

    fn single(&self, item: &Item, when: When) -> SingleResponse {
        let (algorithm, parameters, name, key, serial, status) = match item {
            Item::Ours(ours) => (
                oid(ours.hash),
                ours.parameters,
                digest(ours.hash, &self.subject),
                digest(ours.hash, &self.key_octets),
                &ours.serial,
                ours.status,
            ),
            Item::Foreign(foreign) => (
                ObjectIdentifier::from_bytes(&foreign.algorithm).unwrap(),
                foreign.parameters,
                foreign.name_hash.to_vec(),
                foreign.key_hash.to_vec(),
                &foreign.serial,
                Status::Unknown,
            ),
        };
        SingleResponse {
            cert_id: x509_ocsp::CertId {
                hash_algorithm: AlgorithmIdentifierOwned {
                    oid: algorithm,
                    parameters: match parameters {
                        Parameters::Absent => None,
                        Parameters::Null => Some(Any::from(Null)),
                    },
                },
                issuer_name_hash: octet_string(&name),
                issuer_key_hash: octet_string(&key),
                serial_number: serial_number(serial),
            },
            cert_status: match status {
                Status::Good => CertStatus::good(),
                Status::Unknown => CertStatus::unknown(),
                Status::Revoked { time, reason } => {
                    revoked(time.min(when.produced_at), reason.map(crl_reason))
                }
                Status::NeverIssued => revoked(0, Some(CrlReason::CertificateHold)),
            },
            this_update: time(when.this_update),
            next_update: Some(time(when.next_update)),
            single_extensions: None,
        }
    }

    /// Signs it, and makes it an OCSPResponse.
    pub fn seal(&self, data: ResponseData) -> Vec<u8> {
        self.sign(data.to_der().unwrap()).der()
    }

    /// Signs the octets of a ResponseData.
    pub fn sign(&self, data: Vec<u8>) -> Sealed {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).unwrap();
        Sealed {
            signature: signer.sign_oneshot_to_vec(&data).unwrap(),
            data,
            algorithm: tlv(0x30, &tlv(6, ECDSA_WITH_SHA_256.as_bytes())),
            certificates: Vec::new(),
        }
    }

    /// The name it signs by: SHA-1 of its key.
    pub fn key_hash(&self) -> Vec<u8> {
        digest(HashAlgorithm::Sha1, &self.key_octets)
    }

    /// Its certificate, as DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }
}

/// What an OCSPResponse is made of; each part as DER, but the content octets of the signature.
pub struct Sealed {
    pub data: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub signature: Vec<u8>,
    pub certificates: Vec<Vec<u8>>,
}

impl Sealed {
    pub fn der(&self) -> Vec<u8> {
        let signature = tlv(3, &[&[0], &self.signature[..]].concat());
        let certificates = if self.certificates.is_empty() {
            Vec::new()
        } else {
            tlv(0xa0, &tlv(0x30, &self.certificates.concat()))
        };
        let parts = [&self.data, &self.algorithm, &signature, &certificates];
        let basic = tlv(4, &tlv(0x30, &parts.map(Vec::as_slice).concat()));
        let kind = tlv(6, ID_PKIX_OCSP_BASIC.as_bytes());
        let octets = tlv(0xa0, &tlv(0x30, &[kind, basic].concat()));
        tlv(0x30, &[&[0x0a, 1, 0], &octets[..]].concat())
    }
}

/// A signed answer as a frame.
pub fn signed(id: u64, response: &[u8]) -> Vec<u8> {
    frame(&FromSigner::Signed {
        id,
        response: Octets::new(response).unwrap(),
    })
    .unwrap()
}

/// A refusal as a frame.
pub fn refused(id: u64, refusal: Refusal) -> Vec<u8> {
    frame(&FromSigner::Refused { id, refusal }).unwrap()
}

pub fn octet_string(octets: &[u8]) -> OctetString {
    OctetString::new(octets).unwrap()
}

pub fn serial_number(octets: &[u8]) -> SerialNumber {
    SerialNumber::from_der(&tlv(2, octets)).unwrap()
}

pub fn time(seconds: u64) -> OcspGeneralizedTime {
    let since = Duration::from_secs(seconds);
    OcspGeneralizedTime(GeneralizedTime::from_unix_duration(since).unwrap())
}

pub fn nonce_extension(octets: &[u8]) -> Extension {
    Extension {
        extn_id: ID_PKIX_OCSP_NONCE,
        critical: false,
        extn_value: octet_string(&tlv(4, octets)),
    }
}

pub fn revoked(at: u64, reason: Option<CrlReason>) -> CertStatus {
    CertStatus::Revoked(RevokedInfo {
        revocation_time: time(at),
        revocation_reason: reason,
    })
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

// ---- answers, as a client sees them -------------------------------------------------------------------------------

pub const MALFORMED: &[u8] = &[0x30, 3, 0x0a, 1, 1];
pub const INTERNAL_ERROR: &[u8] = &[0x30, 3, 0x0a, 1, 2];
pub const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
pub const SIG_REQUIRED: &[u8] = &[0x30, 3, 0x0a, 1, 5];
pub const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];

/// What an OCSPResponse says of its only certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub status: CertStatus,
    pub serial: Vec<u8>,
    pub this_update: u64,
    pub next_update: u64,
    pub nonce: Option<Vec<u8>>,
}

/// What a successful OCSPResponse says of each certificate.
pub fn all_told(der: &[u8]) -> Vec<Told> {
    let response = OcspResponse::from_der(der).unwrap();
    let octets = response.response_bytes;
    let octets = octets.unwrap_or_else(|| panic!("an error came: {:?}", response.response_status));
    let basic = BasicOcspResponse::from_der(octets.response.as_bytes()).unwrap();
    let data = basic.tbs_response_data;
    let extensions = data.response_extensions.unwrap_or_default();
    let nonce = extensions
        .iter()
        .find(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE)
        .map(|extension| {
            let wrapped = OctetString::from_der(extension.extn_value.as_bytes());
            wrapped.unwrap().as_bytes().to_vec()
        });
    let seconds = |time: OcspGeneralizedTime| time.0.to_unix_duration().as_secs();
    data.responses
        .iter()
        .map(|single| Told {
            status: single.cert_status,
            serial: single.cert_id.serial_number.as_bytes().to_vec(),
            this_update: seconds(single.this_update),
            next_update: seconds(single.next_update.unwrap()),
            nonce: nonce.clone(),
        })
        .collect()
}

/// What it says of its only one.
pub fn told(der: &[u8]) -> Told {
    match all_told(der).as_slice() {
        [one] => one.clone(),
        other => panic!("one certificate was expected: {other:?}"),
    }
}

pub fn is_good(der: &[u8]) -> bool {
    told(der).status == CertStatus::good()
}

pub fn is_revoked(der: &[u8]) -> bool {
    matches!(told(der).status, CertStatus::Revoked(_))
}

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Heard {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Heard {
    /// A header, which must not stand twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let first = found.next();
        assert_eq!(found.next(), None, "it stands twice");
        first.map(|(_, value)| value.as_str())
    }

    /// The names of all headers, in order, letter by letter as they came.
    pub fn names(&self) -> Vec<String> {
        let names = self.headers.iter();
        let mut names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// All headers but the date, which a second changes.
    pub fn headers_without_date(&self) -> Vec<(String, String)> {
        let headers = self.headers.iter().cloned();
        headers
            .filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
            .collect()
    }
}

/// A connection of a client.
pub struct Client<S> {
    pub stream: S,
    came: Vec<u8>,
}

impl Client<TcpStream> {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            came: Vec::new(),
        }
    }

    /// No more octets will come from this client.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether nothing comes for a while, not even an end.
    pub fn is_quiet(&mut self, milliseconds: u64) -> bool {
        let while_ = Duration::from_millis(milliseconds);
        self.stream.set_read_timeout(Some(while_)).unwrap();
        let read = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

impl Client<UnixStream> {
    pub fn local(path: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            came: Vec::new(),
        }
    }
}

impl<S: Read + Write> Client<S> {
    /// Writes octets. That the frontend has closed meanwhile is no error here: what it said before says why.
    pub fn send(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut octets = [0; 16 << 10];
        match self.stream.read(&mut octets) {
            Ok(0) => false,
            Ok(read) => {
                self.came.extend(&octets[..read]);
                true
            }
            // It has closed while octets of ours were unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came from the frontend: {error}"),
        }
    }

    /// All that comes until the frontend closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read() {}
        std::mem::take(&mut self.came)
    }

    /// The frontend closes the connection, and says nothing more.
    pub fn ends(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest()), "");
    }

    /// The next HTTP response, or none where the frontend has closed.
    pub fn try_response(&mut self, body_follows: bool) -> Option<Heard> {
        let end = loop {
            let end = self.came.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
            if !self.read() {
                assert_eq!(String::from_utf8_lossy(&self.came), "");
                return None;
            }
        };
        let head: Vec<u8> = self.came.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = Heard {
            status,
            headers,
            body: Vec::new(),
        };
        if body_follows && status != 100 {
            let length = response.header("content-length").unwrap().parse().unwrap();
            response.body = self.octets(length);
        }
        Some(response)
    }

    /// The next HTTP response.
    pub fn response(&mut self) -> Heard {
        self.try_response(true).expect("it has closed")
    }

    /// The next response, to HEAD.
    pub fn head_response(&mut self) -> Heard {
        self.try_response(false).expect("it has closed")
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        while self.came.len() < length {
            assert!(self.read(), "it has closed within an answer");
        }
        self.came.drain(..length).collect()
    }

    /// The next answer in bare DER.
    pub fn der(&mut self) -> Vec<u8> {
        while self.came.len() < 4 {
            assert!(self.read(), "it has closed");
        }
        let length = match self.came.as_slice() {
            [0x30, length @ 0..=0x7f, ..] => 2 + usize::from(*length),
            [0x30, 0x81, length, ..] => 3 + usize::from(*length),
            [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
            other => panic!("this begins no OCSPResponse: {other:02x?}"),
        };
        self.octets(length)
    }

    pub fn post(&mut self, der: &[u8]) -> Heard {
        self.send(&post(der));
        self.response()
    }

    pub fn get(&mut self, der: &[u8]) -> Heard {
        self.send(&get("GET", der));
        self.response()
    }
}

/// A POST of a request.
pub fn post(der: &[u8]) -> Vec<u8> {
    post_as("Content-Type: application/ocsp-request\r\n", der)
}

/// A POST with these header lines.
pub fn post_as(lines: &str, der: &[u8]) -> Vec<u8> {
    let length = der.len();
    let head = format!("POST / HTTP/1.1\r\nHost: ocsp\r\n{lines}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), der].concat()
}

/// A GET, or the like, of a request.
pub fn get(method: &str, der: &[u8]) -> Vec<u8> {
    let path = openssl::base64::encode_block(der);
    let path = path.replace('+', "%2B").replace('/', "%2F");
    let path = path.replace('=', "%3D");
    format!("{method} /{path} HTTP/1.1\r\nHost: ocsp\r\n\r\n").into_bytes()
}

// ---- the frontend -------------------------------------------------------------------------------------------------

/// Good and revoked, in the index that is there from the beginning.
pub const GOOD: &[u8] = &[0x10];
pub const OTHER: &[u8] = &[0x11];
pub const REVOKED: &[u8] = &[0x20];
/// Not in the index.
pub const NOBODY: &[u8] = &[0x66];
/// When and why [`REVOKED`] was.
pub const REVOKED_AT: u64 = 1_704_164_645;

/// What a frontend is started with: one issuer, its index, one listening TCP socket; to be changed before the start.
pub struct Stage {
    pub folder: Folder,
    pub authority: Arc<Authority>,
    pub settings: Settings,
}

impl Stage {
    pub fn new() -> Self {
        let folder = Folder::new();
        let authority = Arc::new(Authority::new("authority"));
        let certificate = folder.file("ca.crt", authority.pem());
        let (uid, gid) = identity();
        let settings = Settings {
            credentials: None,
            check: false,
            needed: settings::Needed::Nothing,
            uid,
            gid,
            separated: false, // that needs an empty bounding set, which the launcher makes
            threads: 2,
            cache_memory: 16 << 20,
            max_age: 3600,
            max_stale: 3600,
            verify: settings::Verify::Sample,
            bequeaths: false,
            inherits: false,
            limits: Limits {
                connections: 1000,
                connections_per_address: 1000,
                header_ms: 30_000,
                body_ms: 30_000,
                proxies: Vec::new(),
            },
            listeners: vec![settings::Listener {
                address: "127.0.0.1:0".to_owned(),
                kind: ListenerKind::Tcp,
                purpose: settings::Purpose::Ocsp,
            }],
            sources: vec![settings::Source {
                name: "ca".to_owned(),
                revalidate_ms: 60_000,
                kind: SourceKind::Index {
                    file: folder.path("index.txt"),
                    certificates: None,
                },
            }],
            issuers: vec![settings::Issuer {
                name: "ca".to_owned(),
                certificate,
                source: 0,
                unknown: NoRecord::Unauthorized,
                proof_needed: true,
                compromised: None,
                keys: vec![settings::Key {
                    responder: None,
                    digest: 256,
                    pss: false,
                }],
                clients: None,
                nonce: settings::Nonce::Echo,
                nonce_overload: settings::NonceOverload::TryLater,
                archive_cutoff: None,
                validity: 3600,
                least_validity: 0,
                signed_by: String::new(),
            }],
        };
        let stage = Self {
            folder,
            authority,
            settings,
        };
        stage.index(&[GOOD, OTHER], &[REVOKED]);
        stage
    }

    /// One whose frontend says on its second socket how it does.
    pub fn watched() -> Self {
        let mut stage = Self::new();
        stage.settings.listeners.push(Listener {
            address: "127.0.0.1:0".to_owned(),
            kind: ListenerKind::Tcp,
            purpose: Purpose::Admin,
        });
        stage
    }

    /// Writes the index.
    pub fn index(&self, good: &[&[u8]], revoked: &[&[u8]]) {
        let good = good
            .iter()
            .map(|serial| format!("V\t491231235959Z\t\t{}\tunknown\t/CN=a\n", hex(serial)));
        let revoked = revoked.iter().map(|serial| {
            let serial = hex(serial);
            format!("R\t491231235959Z\t240102030405Z,keyCompromise\t{serial}\tunknown\t/CN=a\n")
        });
        let text: String = good.chain(revoked).collect();
        self.folder.file("index.txt", text.as_bytes());
    }

    /// Starts it with an honest signer.
    pub fn honest(&self) -> Frontend {
        let authority = Arc::clone(&self.authority);
        self.start(move |asked| authority.answers(asked))
    }

    /// Starts it with a signer that says nothing but what the test has it say.
    pub fn mute(&self) -> Frontend {
        self.start(|_| Vec::new())
    }

    /// Starts it with a signer that answers each question with these octets, and waits until it serves.
    pub fn start(&self, signer: impl FnMut(&SignRequest) -> Vec<u8> + Send + 'static) -> Frontend {
        let mut frontend = Frontend::told(&self.settings);
        frontend.signer_says(&frame(&FromSigner::Hello(ocsp_wire::Version::ours())).unwrap());
        frontend.answer_with(signer);
        match frontend.report() {
            Some(Report::Ready(_)) => frontend,
            other => panic!("ready was expected: {other:?}"),
        }
    }
}

/// What was asked, in order.
#[derive(Default)]
struct Asked {
    questions: Mutex<Vec<SignRequest>>,
    more: Condvar,
}

/// A frontend process, seen from all sides.
pub struct Frontend {
    child: Child,
    control: UnixStream,
    reports: Frames,
    boundary: UnixStream,
    asked: Arc<Asked>,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    /// Where it listens, by place; none of a Unix socket.
    pub addresses: Vec<Option<SocketAddr>>,
    /// Our copies of the listening sockets: with them connections wait when nobody accepts.
    pub sockets: Vec<OwnedFd>,
    /// Where it leaves its answers to the next frontend.
    leaves: Option<PipeReader>,
    /// Where the frontend before would leave some to it.
    before: Option<PipeWriter>,
    _executable: Arc<Folder>,
}

impl Frontend {
    /// Starts a frontend, hands the sockets over and tells it its settings.
    pub fn told(settings: &Settings) -> Self {
        let text = settings.to_text().unwrap();
        let mut frontend = Self::untold(settings);
        frontend.hand_over(frontend.sockets.len());
        // Of the pipes it has the only ends now.
        frontend.sockets.truncate(settings.listeners.len());
        frontend.order(&FrontendOrder::Settings(Octets::new(text).unwrap()));
        frontend
    }

    /// Starts a frontend and tells it nothing. Its listening sockets are made.
    pub fn untold(settings: &Settings) -> Self {
        let executable = executable(env!("CARGO_BIN_EXE_ocsp-frontend"));
        close_what_was_inherited();
        let (mut sockets, mut addresses) = (Vec::new(), Vec::new());
        for listener in &settings.listeners {
            match listener.kind {
                ListenerKind::Tcp => {
                    let socket = TcpListener::bind(&listener.address).unwrap();
                    socket.set_nonblocking(true).unwrap();
                    addresses.push(Some(socket.local_addr().unwrap()));
                    sockets.push(OwnedFd::from(socket));
                }
                ListenerKind::Unix => {
                    let socket = UnixListener::bind(&listener.address).unwrap();
                    socket.set_nonblocking(true).unwrap();
                    addresses.push(None);
                    sockets.push(OwnedFd::from(socket));
                }
            }
        }
        let (mut leaves, mut before) = (None, None);
        if settings.bequeaths {
            let (read, write) = std::io::pipe().unwrap();
            sockets.push(write.into());
            leaves = Some(read);
        }
        if settings.inherits {
            let (read, write) = std::io::pipe().unwrap();
            sockets.push(read.into());
            before = Some(write);
        }
        let (control, its_control) = UnixStream::pair().unwrap();
        let (boundary, its_boundary) = UnixStream::pair().unwrap();
        for socket in [&control, &boundary] {
            socket.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let (uid, gid) = identity();
        let mut command = Command::new(executable.path("ocsp-frontend"));
        command
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(its_control))
            .stdout(OwnedFd::from(its_boundary))
            .stderr(Stdio::piped())
            .gid(gid)
            .uid(uid);
        let mut child = command.spawn().unwrap();
        drop(command); // with our copies of its sockets: else no end would ever be seen
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for text in pipe.split(b'\n') {
                    let text = String::from_utf8_lossy(&text.unwrap()).into_owned();
                    lines.lock().unwrap().push(text);
                }
            })
        };
        Self {
            child,
            control,
            reports: Frames::new(),
            boundary,
            asked: Arc::default(),
            lines,
            reader: Some(reader),
            addresses,
            sockets,
            leaves,
            before,
            _executable: executable,
        }
    }

    /// The launcher's greeting, with some of the listening sockets at its first octet.
    pub fn hand_over(&mut self, sockets: usize) {
        let hello = frame(&FrontendOrder::Hello(ocsp_wire::Version::ours())).unwrap();
        let raw: Vec<_> = self.sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let handed = [ControlMessage::ScmRights(&raw[..sockets])];
        let handed = if sockets == 0 { &[] } else { &handed[..] };
        let (fd, octets) = (self.control.as_raw_fd(), [IoSlice::new(&hello)]);
        let sent = sendmsg::<()>(fd, &octets, handed, MsgFlags::MSG_NOSIGNAL, None);
        assert_eq!(sent, Ok(hello.len()));
    }

    /// Answers questions as they come, each with these octets.
    fn answer_with(&mut self, mut answer: impl FnMut(&SignRequest) -> Vec<u8> + Send + 'static) {
        let mut boundary = self.boundary.try_clone().unwrap();
        let asked = Arc::clone(&self.asked);
        std::thread::spawn(move || {
            let mut frames = Frames::new();
            // Until the frontend is gone, or the test has ended the boundary.
            while let Some(message) = next::<ToSigner>(&mut boundary, &mut frames) {
                let ToSigner::Sign(question) = message else {
                    panic!("a greeting came through");
                };
                asked.questions.lock().unwrap().push(question.clone());
                asked.more.notify_all();
                let _ = boundary.write_all(&answer(&question)); // it may have left
            }
        });
    }

    /// How many questions have come to the signer.
    pub fn count(&self) -> usize {
        self.asked.questions.lock().unwrap().len()
    }

    /// The question that came at this place; it is waited for.
    pub fn asked(&self, place: usize) -> SignRequest {
        let questions = self.asked.questions.lock().unwrap();
        let missing = |questions: &mut Vec<SignRequest>| questions.len() <= place;
        let waited = self
            .asked
            .more
            .wait_timeout_while(questions, PATIENCE, missing);
        let (questions, _) = waited.unwrap();
        questions.get(place).expect("no question came").clone()
    }

    /// Says something as its signer, whatever it is.
    pub fn signer_says(&self, octets: &[u8]) {
        let _ = (&self.boundary).write_all(octets); // it may have left: its end says why
    }

    /// The signer is gone.
    pub fn end_boundary(&self) {
        self.boundary.shutdown(Shutdown::Both).unwrap();
    }

    /// The launcher is gone.
    pub fn end_control(&self) {
        self.control.shutdown(Shutdown::Both).unwrap();
    }

    /// The launcher says nothing more, and still listens.
    pub fn end_orders(&self) {
        self.control.shutdown(Shutdown::Write).unwrap();
    }

    /// Says something as its launcher.
    pub fn order(&mut self, order: &FrontendOrder) {
        self.say(&frame(order).unwrap());
    }

    /// Likewise, whatever it is.
    pub fn say(&mut self, octets: &[u8]) {
        let _ = self.control.write_all(octets); // it may have left: its end says why
    }

    /// What it says to its launcher; none when it has closed the control socket.
    pub fn report(&mut self) -> Option<Report> {
        next(&mut self.control, &mut self.reports)
    }

    /// Tells it to retire, and comes back when it has heard.
    pub fn retire(&mut self, idle_ms: u32) {
        self.order(&FrontendOrder::Retire { idle_ms });
        self.order(&FrontendOrder::Ping(7));
        assert_eq!(self.report(), Some(Report::Pong(7)));
    }

    /// All that it leaves to the next frontend.
    pub fn leaves(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut pipe = self.leaves.take().expect("it has no pipe");
        pipe.read_to_end(&mut octets).unwrap();
        octets
    }

    /// Nobody will read what it leaves.
    pub fn has_no_heir(&mut self) {
        self.leaves = None;
    }

    /// Leaves octets to it, and comes back when it has taken what it takes of them.
    pub fn inherits(&mut self, octets: &[u8]) {
        self.order(&FrontendOrder::Inherit);
        let mut pipe = self.before.take().expect("it has no pipe");
        let _ = pipe.write_all(octets); // it need not read on
        drop(pipe);
        self.logs("answers of the generation before");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].unwrap()
    }

    /// A client.
    pub fn client(&self) -> Client<TcpStream> {
        Client::new(self.address())
    }

    /// The answer to one POST on a connection of its own, which must be HTTP's 200.
    pub fn post(&self, der: &[u8]) -> Vec<u8> {
        let response = self.client().post(der);
        assert_eq!(response.status, 200);
        response.body
    }

    /// A number that it says on its second socket.
    pub fn metric(&self, name: &str) -> u64 {
        let mut client = Client::new(self.addresses[1].unwrap());
        client.send(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n");
        let page = String::from_utf8(client.response().body).unwrap();
        let mut lines = page.lines().filter_map(|line| line.split_once(' '));
        let (_, number) = lines.find(|(found, _)| *found == name).unwrap();
        number.parse().unwrap()
    }

    /// What it has logged.
    pub fn logged(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line of its log that contains a text.
    pub fn logs(&self, text: &str) {
        until(text, || {
            self.logged().iter().any(|line| line.contains(text))
        });
    }

    /// Whether it lives.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Octets of memory that it has resident.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap();
        kib << 10
    }

    /// Hundredths of a second that its threads have had of the processors.
    pub fn ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap();
        // Behind the name, which may hold anything: utime and stime are the fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = fields.split(' ').collect();
        let [user, system] = [11, 12].map(|place| fields[place].parse::<u64>().unwrap());
        user + system
    }

    /// Waits until it has left by itself: its exit code, and all that it logged.
    pub fn left(mut self) -> (Option<i32>, Vec<String>) {
        let mut ended: Option<ExitStatus> = None;
        until("its end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        self.reader.take().unwrap().join().unwrap();
        (ended.unwrap().code(), self.logged())
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have left
        let _ = self.child.wait();
    }
}

/// The next message on a socket; none at its end.
fn next<M: Message>(socket: &mut UnixStream, frames: &mut Frames) -> Option<M> {
    let mut octets = [0; 64 << 10];
    loop {
        if let Some(message) = frames.next().unwrap() {
            return Some(message);
        }
        match socket.read(&mut octets) {
            Ok(0) => return None,
            Ok(read) => frames.extend(&octets[..read]),
            // It left while octets of ours were unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing came from the frontend: {error}"),
        }
    }
}
