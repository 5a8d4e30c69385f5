//! Plays launcher and frontend to a real signer process: its control socket, its boundary and its log pipe end here.
//! As root the signer runs under a user id of its own, otherwise under the caller's. Whatever is waited for comes within
//! [`PATIENCE`] or fails the test; processes and files are gone when their value is dropped.

#![allow(dead_code)] // each test file uses a part

#[path = "../../../tests/harness/alone.rs"]
mod alone;
#[path = "../../../tests/harness/folder.rs"]
mod folder;

use alone::{close_what_was_inherited, executable, identity_of};
pub use folder::{Folder, set_mode};

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use der::asn1::{BitString, OctetString};
use der::{Decode, Encode};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use ocsp_wire::{Padding as WirePadding, *};
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{KeyType, PKey, Private};
use openssl::rsa::Padding;
use openssl::sha::sha1;
use openssl::sign::{RsaPssSaltlen, Signer as Signing};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509, X509Extension, X509Name};
use x509_cert::Certificate;
use x509_cert::ext::Extension;

/// More than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who the signer is when the test is root: nobody's number.
const STRANGER: u32 = 61_802;

/// User and group of the signer.
pub fn identity() -> (u32, u32) {
    identity_of(STRANGER)
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        write!(hex, "{octet:02x}").unwrap();
        hex
    })
}

/// Says that a test looked at nothing, past the capturing of its output.
pub fn skipped(why: &str) {
    let line = format!("SKIPPED: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

impl Folder {
    /// A file that only the signer may read.
    pub fn secret(&self, name: &str, octets: &[u8]) -> String {
        let path = self.file(name, octets);
        set_mode(&path, 0o400);
        let (uid, gid) = identity();
        chown(&path, Some(uid), Some(gid)).unwrap();
        path
    }

    pub fn certificate(&self, name: &str, certificate: &X509) -> String {
        self.file(name, certificate.to_pem().unwrap())
    }

    pub fn key(&self, name: &str, key: &PKey<Private>) -> String {
        self.secret(name, &key.private_key_to_pem_pkcs8().unwrap())
    }
}

// ---- certificates -------------------------------------------------------------------------------------------------

pub fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub fn p256() -> PKey<Private> {
    ec(Nid::X9_62_PRIME256V1)
}

/// A key by `openssl genpkey`; none where this OpenSSL does not know the algorithm.
pub fn generated(algorithm: &str, options: &[&str]) -> Option<PKey<Private>> {
    let folder = Folder::new();
    let file = folder.path("generated.pem");
    let options = options.iter().flat_map(|option| ["-pkeyopt", option]);
    let fixed = ["genpkey", "-algorithm", algorithm, "-out", &file];
    let arguments: Vec<_> = fixed.into_iter().chain(options).collect();
    let (made, _) = openssl(&arguments);
    made.then(|| PKey::private_key_from_pem(&std::fs::read(&file).unwrap()).unwrap())
}

/// A certificate with something changed, signed anew by the algorithm that stands in it.
pub fn changed(
    certificate: &X509,
    by: &PKey<Private>,
    change: impl FnOnce(&mut Certificate),
) -> X509 {
    let mut made = Certificate::from_der(&certificate.to_der().unwrap()).unwrap();
    change(&mut made);
    made.signature_algorithm = made.tbs_certificate.signature.clone();
    let algorithm = made.signature_algorithm.to_der().unwrap();
    let signature = signed(&made.tbs_certificate.to_der().unwrap(), by, &algorithm);
    made.signature = BitString::from_bytes(&signature).unwrap();
    X509::from_der(&made.to_der().unwrap()).unwrap()
}

/// Puts an extension into a certificate, in place of one with this name; none, where there is no value.
pub fn set_extension(certificate: &mut Certificate, oid: &str, value: Option<(bool, &[u8])>) {
    let extn_id = oid.parse().unwrap();
    let extensions = certificate.tbs_certificate.extensions.as_mut().unwrap();
    extensions.retain(|extension| extension.extn_id != extn_id);
    if let Some((critical, octets)) = value {
        extensions.push(Extension {
            extn_id,
            critical,
            extn_value: OctetString::new(octets).unwrap(),
        });
    }
}

/// A signature with SHA-256, or by RSASSA-PSS with the digest that its AlgorithmIdentifier names.
fn signed(octets: &[u8], by: &PKey<Private>, algorithm: &[u8]) -> Vec<u8> {
    let is_pss = algorithm.len() == 67;
    let digest = match is_pss.then(|| algorithm[29]) {
        None | Some(1) => MessageDigest::sha256(),
        Some(2) => MessageDigest::sha384(),
        Some(_) => MessageDigest::sha512(),
    };
    let mut signer = Signing::new(digest, by).unwrap();
    if is_pss {
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        let salt = RsaPssSaltlen::custom(algorithm[66].into());
        signer.set_rsa_pss_saltlen(salt).unwrap();
    }
    signer.sign_oneshot_to_vec(octets).unwrap()
}

/// The AlgorithmIdentifiers of RSASSA-PSS with SHA-256, SHA-384 and SHA-512, as the Baseline Requirements, section
/// 7.1.3.2.1, list them.
pub const PSS: [&str; 3] = [
    "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
    "304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130",
    "304106092a864886f70d01010a3034a00f300d06096086480165030402030500a11c301a06092a864886f70d010108300d06096086480165030402030500a203020140",
];

pub fn unhex(hex: &str) -> Vec<u8> {
    let octets = hex.as_bytes().chunks(2).map(std::str::from_utf8);
    octets
        .map(|octet| u8::from_str_radix(octet.unwrap(), 16).unwrap())
        .collect()
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Authority,
    Person,
    Responder,
    /// A responder's, without id-pkix-ocsp-nocheck.
    ResponderWithoutNocheck,
}

/// A certificate to be made.
pub struct Wanted<'a> {
    pub subject: &'a str,
    pub key: &'a PKey<Private>,
    /// The octets of a positive number.
    pub serial: &'a [u8],
    pub purpose: Purpose,
    /// notBefore and notAfter, in seconds from now.
    pub valid: (i64, i64),
}

const DAY: i64 = 86_400;

/// A certification authority.
pub struct Authority {
    pub key: PKey<Private>,
    pub certificate: X509,
}

impl Authority {
    pub fn new(subject: &str) -> Self {
        Self::with_key(subject, p256())
    }

    pub fn with_key(subject: &str, key: PKey<Private>) -> Self {
        Self::valid(subject, key, (-DAY, 365 * DAY))
    }

    pub fn valid(subject: &str, key: PKey<Private>, valid: (i64, i64)) -> Self {
        let certificate = make(
            &Wanted {
                subject,
                key: &key,
                serial: &[1],
                purpose: Purpose::Authority,
                valid,
            },
            subject,
            &key,
        );
        Self { key, certificate }
    }

    /// A person's certificate with this serial, as DER.
    pub fn issue(&self, serial: &[u8]) -> Vec<u8> {
        let key = p256();
        let certificate = self.make(&Wanted {
            subject: "person",
            key: &key,
            serial,
            purpose: Purpose::Person,
            valid: (-DAY, DAY),
        });
        certificate.to_der().unwrap()
    }

    pub fn responder(&self, key: &PKey<Private>, purpose: Purpose, valid: (i64, i64)) -> X509 {
        self.make(&Wanted {
            subject: "responder",
            key,
            serial: &[2],
            purpose,
            valid,
        })
    }

    fn make(&self, wanted: &Wanted) -> X509 {
        let name = self.certificate.subject_name();
        let name = name.entries().next().unwrap().data().to_string().unwrap();
        make(wanted, &name, &self.key)
    }
}

fn make(wanted: &Wanted, issuer: &str, key: &PKey<Private>) -> X509 {
    let name = |text: &str| {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
        name.build()
    };
    let time = |after: i64| Asn1Time::from_unix(now() + after).unwrap();
    let serial = BigNum::from_slice(wanted.serial).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    certificate.set_subject_name(&name(wanted.subject)).unwrap();
    certificate.set_issuer_name(&name(issuer)).unwrap();
    certificate.set_pubkey(wanted.key).unwrap();
    certificate.set_not_before(&time(wanted.valid.0)).unwrap();
    certificate.set_not_after(&time(wanted.valid.1)).unwrap();
    let mut usage = KeyUsage::new();
    usage.critical().digital_signature();
    let mut extensions = Vec::new();
    if wanted.purpose == Purpose::Authority {
        extensions.push(BasicConstraints::new().critical().ca().build().unwrap());
        usage.key_cert_sign().crl_sign();
    }
    extensions.push(usage.build().unwrap());
    let responder = [Purpose::Responder, Purpose::ResponderWithoutNocheck];
    if responder.contains(&wanted.purpose) {
        let mut usage = ExtendedKeyUsage::new();
        extensions.push(usage.other("OCSPSigning").build().unwrap());
    }
    if responder.contains(&wanted.purpose) {
        let oid = Asn1Object::from_str("2.5.29.35").unwrap();
        let digest = sha1(&key.public_key_to_der().unwrap());
        let identifier = [&[0x30, 0x16, 0x80, 0x14], &digest[..]].concat();
        let identifier = Asn1OctetString::new_from_bytes(&identifier).unwrap();
        extensions.push(X509Extension::new_from_der(&oid, false, &identifier).unwrap());
    }
    if wanted.purpose == Purpose::Responder {
        let oid = Asn1Object::from_str("1.3.6.1.5.5.7.48.1.5").unwrap();
        let null = Asn1OctetString::new_from_bytes(&[5, 0]).unwrap();
        extensions.push(X509Extension::new_from_der(&oid, false, &null).unwrap());
    }
    for extension in extensions {
        certificate.append_extension(extension).unwrap();
    }
    let without = [KeyType::ED25519, KeyType::ED448];
    let without =
        without
            .iter()
            .chain(&[KeyType::ML_DSA_44, KeyType::ML_DSA_65, KeyType::ML_DSA_87]);
    let own_digest = without.into_iter().any(|kind| key.is_a(*kind));
    let digest = if own_digest {
        MessageDigest::null()
    } else {
        MessageDigest::sha256()
    };
    certificate.sign(key, digest).unwrap();
    certificate.build()
}

// ---- settings and questions ---------------------------------------------------------------------------------------

pub fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

pub fn in_file(path: &str) -> Secret {
    Secret::File(text(path))
}

pub fn octets<const MAX: usize>(octets: &[u8]) -> Octets<MAX> {
    Octets::new(octets).unwrap()
}

/// What makes a signer serve one issuer, by the issuer's own key.
pub fn settings(folder: &Folder, authority: &Authority) -> SignerSettings {
    settings_for(vec![issuer(folder, "ca", authority)])
}

pub fn settings_for(issuers: Vec<IssuerSettings>) -> SignerSettings {
    let (uid, gid) = identity();
    SignerSettings {
        mode: Mode::Serve,
        uid,
        gid,
        separated: false, // that needs an empty bounding set, which the launcher makes
        threads: 2,
        remember_revoked: 1000,
        require_mlock: false,
        credentials: None,
        issuers: List::new(issuers).unwrap(),
    }
}

pub const VALIDITY: u32 = 259_200;

/// An issuer whose files are called after `name`.
pub fn issuer(folder: &Folder, name: &str, authority: &Authority) -> IssuerSettings {
    IssuerSettings {
        name: text(name),
        certificate: text(&folder.certificate(&format!("{name}.crt"), &authority.certificate)),
        keys: List::new([KeySettings {
            key: in_file(&folder.key(&format!("{name}.key"), &authority.key)),
            passphrase: None,
            responder: None,
            digest: Digest::Sha256,
            padding: WirePadding::Pkcs1,
        }])
        .unwrap(),
        validity: VALIDITY,
        backdate: 0,
        good: GoodPolicy::Certificate,
        never_issued: false,
        policy: Preset::Private,
        archive_cutoff: None,
    }
}

/// A question about these items, of the first issuer's first key.
pub fn question(items: Vec<Item>) -> SignRequest {
    SignRequest {
        id: 1,
        issuer: 0,
        key: 0,
        nonce: None,
        items: List::new(items).unwrap(),
    }
}

pub fn ours(serial: &[u8], status: Status, evidence: Evidence) -> Item {
    Item::Ours(Ours {
        hash: HashAlgorithm::Sha1,
        parameters: Parameters::Null,
        serial: octets(serial),
        status,
        evidence,
    })
}

pub fn good(serial: &[u8], certificate: &[u8]) -> Item {
    let evidence = Evidence::Certificate(octets(certificate));
    ours(serial, Status::Good, evidence)
}

pub fn revoked(serial: &[u8], time: u64, reason: Option<Reason>) -> Item {
    ours(serial, Status::Revoked { time, reason }, Evidence::None)
}

pub fn unknown(serial: &[u8]) -> Item {
    ours(serial, Status::Unknown, Evidence::None)
}

pub fn foreign() -> Foreign {
    Foreign {
        algorithm: octets(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]),
        parameters: Parameters::Absent,
        name_hash: octets(&[0xaa; 20]),
        key_hash: octets(&[0xbb; 20]),
        serial: octets(&[0x05]),
    }
}

// ---- the signer ---------------------------------------------------------------------------------------------------

/// A signer process, seen from launcher and frontend.
pub struct Signer {
    child: Child,
    control: UnixStream,
    reports: Frames,
    boundary: UnixStream,
    answers: Frames,
    log: Receiver<String>,
    _executable: Arc<Folder>,
}

impl Signer {
    /// Starts a signer and tells it its settings.
    pub fn told(settings: SignerSettings) -> Self {
        Self::silent(None).tell(settings)
    }

    fn tell(mut self, settings: SignerSettings) -> Self {
        self.order(&SignerOrder::Hello(Version::ours()));
        self.order(&SignerOrder::Settings(settings));
        self
    }

    /// Likewise, with these files handed over.
    pub fn handed(settings: SignerSettings, files: &[File]) -> Self {
        let mut signer = Self::silent(None);
        signer.order_with(&SignerOrder::Hello(Version::ours()), files);
        signer.order(&SignerOrder::Settings(settings));
        signer
    }

    /// Likewise, with one descriptor more, which is open on `stray`.
    pub fn told_with_stray(stray: &str, settings: SignerSettings) -> Self {
        Self::silent(Some(stray)).tell(settings)
    }

    /// Starts a signer and tells it nothing.
    pub fn silent(stray: Option<&str>) -> Self {
        let executable = executable(env!("CARGO_BIN_EXE_ocsp-signer"));
        close_what_was_inherited();
        let (control, its_control) = UnixStream::pair().unwrap();
        let (boundary, its_boundary) = UnixStream::pair().unwrap();
        for socket in [&control, &boundary] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        let (uid, gid) = identity();
        let mut command = match stray {
            None => Command::new(executable.path("ocsp-signer")),
            // By a shell, which hands descriptors on that nothing here would let out.
            Some(stray) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "exec 5<\"$1\"; exec \"$0\""]);
                shell.args([&executable.path("ocsp-signer"), stray]);
                shell
            }
        };
        let mut child = command
            .env_clear()
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .stdin(OwnedFd::from(its_control))
            .stdout(OwnedFd::from(its_boundary))
            .stderr(Stdio::piped())
            .uid(uid)
            .gid(gid)
            .spawn()
            .unwrap();
        drop(command); // with our copies of its sockets: else no end would ever be seen
        let (line, log) = channel();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for text in pipe.split(b'\n') {
                let text = String::from_utf8_lossy(&text.unwrap()).into_owned();
                let _ = line.send(text); // nobody listens when a test has failed
            }
        });
        Self {
            child,
            control,
            reports: Frames::new(),
            boundary,
            answers: Frames::new(),
            log,
            _executable: executable,
        }
    }

    /// A signer that is ready, and greeted on the boundary both ways.
    pub fn serving(settings: SignerSettings) -> Self {
        let mut signer = Self::ready(settings);
        signer.send(&frame(&ToSigner::Hello(Version::ours())).unwrap());
        signer
    }

    /// A signer that is ready, and has not been greeted on the boundary.
    pub fn ready(settings: SignerSettings) -> Self {
        let mut signer = Self::told(settings);
        match signer.report() {
            Some(Report::Ready(_)) => signer,
            other => panic!("ready was expected: {other:?}"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says something to it as its launcher.
    pub fn order(&mut self, order: &SignerOrder) {
        self.control.write_all(&frame(order).unwrap()).unwrap();
    }

    /// Likewise, with these files beside its octets.
    pub fn order_with(&mut self, order: &SignerOrder, files: &[File]) {
        let octets = frame(order).unwrap();
        let raw: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let beside = [ControlMessage::ScmRights(&raw)];
        let beside = if raw.is_empty() { &[] } else { &beside[..] };
        let (fd, sent) = (self.control.as_raw_fd(), [IoSlice::new(&octets)]);
        let sent = sendmsg::<()>(fd, &sent, beside, MsgFlags::MSG_NOSIGNAL, None);
        assert_eq!(sent, Ok(octets.len()));
    }

    /// What it says to its launcher; none when it has closed the control socket.
    pub fn report(&mut self) -> Option<Report> {
        next(&mut self.control, &mut self.reports)
    }

    /// Writes octets on the boundary, whatever they are. A signer that leaves before it has read all is no error here:
    /// its end says why it left.
    pub fn send(&mut self, octets: &[u8]) {
        let _ = self.boundary.write_all(octets);
    }

    /// What it says to its frontend; none when it has closed the boundary.
    pub fn answer(&mut self) -> Option<FromSigner> {
        next(&mut self.boundary, &mut self.answers)
    }

    /// Asks one question and waits for its answer.
    pub fn ask(&mut self, question: SignRequest) -> FromSigner {
        let asked = question.id;
        self.send(&frame(&ToSigner::Sign(question)).unwrap());
        let answer = self.answer().unwrap();
        let answered = match &answer {
            FromSigner::Signed { id, .. } | FromSigner::Refused { id, .. } => *id,
            FromSigner::Hello(_) => panic!("a greeting came through"),
        };
        assert_eq!(asked, answered);
        answer
    }

    /// Asks a question that must be answered with an OCSPResponse.
    pub fn signs(&mut self, question: SignRequest) -> Vec<u8> {
        match self.ask(question) {
            FromSigner::Signed { response, .. } => response.into_inner(),
            other @ (FromSigner::Hello(_) | FromSigner::Refused { .. }) => {
                panic!("a signature was expected: {other:?}")
            }
        }
    }

    /// Asks a question that must be refused.
    pub fn refuses(&mut self, question: SignRequest) -> Refusal {
        match self.ask(question) {
            FromSigner::Refused { refusal, .. } => refusal,
            other @ (FromSigner::Hello(_) | FromSigner::Signed { .. }) => {
                panic!("a refusal was expected: {other:?}")
            }
        }
    }

    /// No more octets will come from the frontend.
    pub fn end_boundary(&self) {
        self.boundary.shutdown(Shutdown::Write).unwrap();
    }

    /// Nor from the launcher.
    pub fn end_control(&self) {
        self.control.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits until it has left by itself: its exit code, and all that it logged.
    pub fn left(mut self) -> (Option<i32>, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        loop {
            match self.log.recv_timeout(deadline - Instant::now()) {
                Ok(line) => lines.push(line),
                // Its log pipe has closed: it has ended, or is about to.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not leave; it said {lines:#?}"),
            }
        }
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have left
        let _ = self.child.wait();
    }
}

/// The next message on a socket; none at its end.
fn next<M: Message>(socket: &mut UnixStream, frames: &mut Frames) -> Option<M> {
    let mut octets = [0; 16 << 10];
    loop {
        if let Some(message) = frames.next().unwrap() {
            return Some(message);
        }
        match socket.read(&mut octets) {
            Ok(0) => return None,
            Ok(read) => frames.extend(&octets[..read]),
            // It left while octets of ours were unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("nothing came from the signer: {error}"),
        }
    }
}

/// Runs the `openssl` command.
pub fn openssl(arguments: &[&str]) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("openssl").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    (status.success(), said)
}
