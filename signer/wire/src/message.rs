//! The messages of the boundary and of the control sockets, each field with its own limit, and their octets. Runs in
//! all three processes; trusts no octet it decodes. This is the only file that names bincode, so that replacing the
//! encoding is one file's work (RUSTSEC-2025-0141: bincode is unmaintained).

use bincode::config::{self, Config};
use bincode::de::{BorrowDecoder, Decoder};
use bincode::error::DecodeError;
use bincode::{BorrowDecode, Decode, Encode};

use crate::frame::Fault;

/// The version of the protocol that this crate speaks. It changes with every change of a message's octets.
pub const PROTOCOL: u16 = 6;

/// A message that travels in frames, in one direction only.
pub trait Message: Encode + Decode<()> {
    /// The largest frame payload of this direction, in octets.
    const MAX: usize;

    /// The message that opens a channel in this direction.
    fn hello(version: Version) -> Self;

    /// The version, when this is the message that opens a channel.
    fn as_hello(&self) -> Option<&Version>;

    /// The octets of this message. Fails when they would exceed [`Message::MAX`].
    fn to_octets(&self) -> Result<Vec<u8>, Fault> {
        let octets = bincode::encode_to_vec(self, octets_of()).map_err(|_| Fault::Unencodable)?;
        if octets.len() > Self::MAX {
            return Err(Fault::Oversize {
                found: octets.len(),
                limit: Self::MAX,
            });
        }
        Ok(octets)
    }

    /// Reads one message, which must fill `octets` exactly.
    fn from_octets(octets: &[u8]) -> Result<Self, Fault> {
        let (message, read) = bincode::decode_from_slice(octets, octets_of()).map_err(fault_of)?;
        match octets.len() - read {
            0 => Ok(message),
            more => Err(Fault::Trailing { octets: more }),
        }
    }
}

/// Little endian, integers of fixed width (so that a value has one encoding), and never more than 4 MiB at once:
/// without a limit, bincode hands a hostile length to the allocator, which ends the process.
fn octets_of() -> impl Config {
    config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<{ 4 << 20 }>()
}

fn fault_of(error: DecodeError) -> Fault {
    #[allow(clippy::wildcard_enum_match_arm)] // of another crate's error type
    match error {
        DecodeError::UnexpectedEnd { .. } => Fault::Short,
        DecodeError::LimitExceeded => Fault::OverLong,
        DecodeError::OtherString(_) => Fault::OverLong,
        DecodeError::UnexpectedVariant { .. } => Fault::UnknownVariant,
        _ => Fault::Undecodable,
    }
}

/// A value was longer than its field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The length that was given, in octets or items.
    pub found: usize,
    /// The longest that the field takes.
    pub limit: usize,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "is {} long, at most {} fit", self.found, self.limit)
    }
}

impl std::error::Error for TooLong {}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident[$($generic:ident: $bound:path)?]($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Encode)]
        pub struct $name<$($generic: $bound,)? const MAX: usize>($inner);

        impl<$($generic: $bound,)? const MAX: usize> $name<$($generic,)? MAX> {
            /// Takes the value over, if it is no longer than `MAX`.
            pub fn new(value: impl Into<$inner>) -> Result<Self, TooLong> {
                let value = value.into();
                if value.len() > MAX {
                    return Err(TooLong { found: value.len(), limit: MAX });
                }
                Ok(Self(value))
            }

            /// The value itself.
            pub fn into_inner(self) -> $inner {
                self.0
            }
        }

        impl<Context, $($generic: $bound + Decode<Context>,)? const MAX: usize> Decode<Context> for $name<$($generic,)? MAX> {
            fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::new(<$inner>::decode(decoder)?).map_err(over_long)
            }
        }

        impl<'de, Context, $($generic: $bound + BorrowDecode<'de, Context>,)? const MAX: usize> BorrowDecode<'de, Context>
            for $name<$($generic,)? MAX>
        {
            fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::new(<$inner>::borrow_decode(decoder)?).map_err(over_long)
            }
        }
    };
}

fn over_long(error: TooLong) -> DecodeError {
    DecodeError::OtherString(error.to_string())
}

/// What items of a [`List`] have in common.
pub trait Element: Encode {}
impl<T: Encode> Element for T {}

bounded! {
    /// At most `MAX` octets.
    Octets[](Vec<u8>)
}
bounded! {
    /// UTF-8 text of at most `MAX` octets.
    Text[](String)
}
bounded! {
    /// At most `MAX` items.
    List[T: Element](Vec<T>)
}

impl<const MAX: usize> std::ops::Deref for Octets<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Element, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<const MAX: usize> Octets<MAX> {
    /// No octets.
    pub fn empty() -> Self {
        Self(Vec::new())
    }
}

impl<T: Element, const MAX: usize> List<T, MAX> {
    /// No items.
    pub fn empty() -> Self {
        Self(Vec::new())
    }
}

impl<const MAX: usize> Text<MAX> {
    /// As much of `text` as fits, cut between characters.
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text.get(..end).unwrap_or_default().to_owned())
    }
}

impl<const MAX: usize> std::fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Opens every channel, each way: both ends must be of one build.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    /// The package's version.
    pub package: Text<32>,
    /// [`PROTOCOL`].
    pub protocol: u16,
}

impl Version {
    /// The version of this build.
    pub fn ours() -> Self {
        Self {
            package: Text::cut(env!("CARGO_PKG_VERSION")),
            protocol: PROTOCOL,
        }
    }
}

/// For logs: of a package's version only the characters that versions are made of, because a peer may have sent it.
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.package.chars() {
            if character.is_ascii_alphanumeric() || ['.', '-', '+'].contains(&character) {
                write!(f, "{character}")?;
            }
        }
        write!(f, " (protocol {})", self.protocol)
    }
}

// ---- the boundary: frontend to signer -----------------------------------------------------------------------------

/// What a frontend may say to its signer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToSigner {
    /// The first frame.
    Hello(Version),
    /// Asks for one signed answer.
    Sign(SignRequest),
}

impl Message for ToSigner {
    const MAX: usize = 1 << 20;
    fn hello(version: Version) -> Self {
        Self::Hello(version)
    }
    fn as_hello(&self) -> Option<&Version> {
        match self {
            Self::Hello(version) => Some(version),
            Self::Sign(_) => None,
        }
    }
}

/// A question to be answered with one OCSPResponse: fields, never octets to sign (RFC 6960 section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignRequest {
    /// Chosen by the frontend, repeated in the answer.
    pub id: u64,
    /// The issuer, by its place in the signer's settings.
    pub issuer: u16,
    /// The key, by its place among the issuer's keys.
    pub key: u16,
    /// The nonce to echo (RFC 9654): 1 to 128 octets.
    pub nonce: Option<Octets<128>>,
    /// One SingleResponse each, in this order.
    pub items: List<Item, 100>,
}

/// One certificate of a question.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Item {
    /// A certificate of the issuer that signs.
    Ours(Ours),
    /// A certificate of somebody else; answered *unknown* and never otherwise.
    Foreign(Foreign),
}

/// A certificate of the issuer that signs; the signer fills in the issuer's hashes itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ours {
    /// The hash of the CertID that was asked with.
    pub hash: HashAlgorithm,
    /// The form of that algorithm's parameters, echoed as asked.
    pub parameters: Parameters,
    /// The content octets of the serial's DER INTEGER.
    pub serial: Octets<21>,
    /// What the source says.
    pub status: Status,
    /// What proves it.
    pub evidence: Evidence,
}

/// A CertID that names another issuer, echoed with status *unknown*.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Foreign {
    /// The content octets of the hash algorithm's OBJECT IDENTIFIER.
    pub algorithm: Octets<32>,
    /// The form of its parameters.
    pub parameters: Parameters,
    /// issuerNameHash.
    pub name_hash: Octets<64>,
    /// issuerKeyHash.
    pub key_hash: Octets<64>,
    /// The content octets of the serial's DER INTEGER.
    pub serial: Octets<21>,
}

/// The hashes of CertIDs that we answer ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum HashAlgorithm {
    /// id-sha1, of clients from the time of RFC 5019.
    Sha1,
    /// id-sha256, which RFC 9919 section 3.1.1 asks for.
    Sha256,
    /// id-sha384.
    Sha384,
    /// id-sha512.
    Sha512,
}

/// How a client wrote the parameters of a hash algorithm: both forms are in use, and a CertID is echoed octet by octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Parameters {
    /// Left out.
    Absent,
    /// NULL.
    Null,
}

/// What the frontend asks the signer to say of a serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Status {
    /// *good*: needs [`Evidence`].
    Good,
    /// *revoked*.
    Revoked {
        /// When, in seconds since 1970; a time in the future is signed as now.
        time: u64,
        /// Why; `None` is *unspecified*, which RFC 5280 section 5.3.1 encodes by absence.
        reason: Option<Reason>,
    },
    /// *unknown*.
    Unknown,
    /// *revoked* for a certificate that was never issued (RFC 6960 section 2.2), where the issuer is so configured.
    NeverIssued,
}

/// CRLReason (RFC 5280 section 5.3.1) as far as an answer may carry it: not 0 (by omission), 7 (unused), 8 (delta CRLs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[allow(missing_docs)] // the names are the standard's
pub enum Reason {
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    PrivilegeWithdrawn,
    AaCompromise,
}

/// What a frontend shows for a status.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Evidence {
    /// Nothing.
    None,
    /// The certificate itself, as DER.
    Certificate(Certificate),
}

/// A certificate's DER, at most 64 KiB.
pub type Certificate = Octets<65_536>;

// ---- the boundary: signer to frontend -----------------------------------------------------------------------------

/// What a signer may say to its frontend.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromSigner {
    /// The first frame; says as well that the signer is locked in and serves.
    Hello(Version),
    /// The complete OCSPResponse, as DER.
    Signed {
        /// Of the question.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// Policy says no; the channel goes on.
    Refused {
        /// Of the question.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// An OCSPResponse's DER, at most 255 KiB: with what stands around it in a frame, less than a frame's maximum.
pub type Response = Octets<{ 255 << 10 }>;

impl Message for FromSigner {
    const MAX: usize = 256 << 10;
    fn hello(version: Version) -> Self {
        Self::Hello(version)
    }
    fn as_hello(&self) -> Option<&Version> {
        match self {
            Self::Hello(version) => Some(version),
            Self::Signed { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Why the signer does not sign. [`Refusal::sentence`] is how logs put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Refusal {
    /// The issuer index names none of the signer's issuers.
    Issuer,
    /// The key index names none of the issuer's keys.
    Key,
    /// A serial is not a positive, minimal INTEGER of at most 20 octets of magnitude.
    Serial,
    /// The nonce is empty.
    Nonce,
    /// No item is of the issuer that signs.
    NothingOurs,
    /// A foreign item names the issuer that signs.
    ForeignIsOurs,
    /// A foreign item is not a CertID that can be encoded.
    ForeignMalformed,
    /// *good* was asked without a certificate.
    NoEvidence,
    /// The certificate given as proof cannot be read.
    EvidenceUnreadable,
    /// The certificate given as proof carries another issuer's name.
    EvidenceIssuer,
    /// The certificate given as proof has another serial.
    EvidenceSerial,
    /// The certificate given as proof is not signed by this issuer's key.
    EvidenceSignature,
    /// *good* was asked for a serial that this signer has signed as revoked.
    Withdrawn(Withdrawn),
    /// *revoked as never issued* was asked of an issuer that is not so configured.
    NeverIssued,
    /// A revocation time is no time that GeneralizedTime can carry.
    RevocationTime,
    /// The signer's clock is behind an answer it has signed already.
    ClockBehind,
    /// The certificate that signs is not valid now.
    SignerNotValid,
    /// The answer would be larger than a frame.
    TooLarge,
    /// The crypto library failed.
    Crypto,
    /// *revoked* on hold was asked of an issuer whose policy knows no hold.
    Hold,
    /// The certificate that signs ends before the shortest answer that the issuer's policy allows.
    SignerEndsSoon,
}

/// What the signer has signed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Withdrawn {
    /// The item of the question that this is about, from 0.
    pub item: u16,
    /// The revocation time that was signed, in seconds since 1970.
    pub time: u64,
    /// The reason that was signed.
    pub reason: Option<Reason>,
}

impl Refusal {
    /// The sentence for logs, in which one kind of refusal always reads alike.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Issuer => "the issuer index names no issuer of this signer",
            Self::Key => "the key index names no key of this issuer",
            Self::Serial => "a serial is not positive, minimal and of at most 20 octets",
            Self::Nonce => "the nonce is empty",
            Self::NothingOurs => "no item is of the issuer that signs",
            Self::ForeignIsOurs => "a foreign item names the issuer that signs",
            Self::ForeignMalformed => "a foreign item is no CertID",
            Self::NoEvidence => "good was asked without the certificate that proves it",
            Self::EvidenceUnreadable => "the certificate given as proof cannot be read",
            Self::EvidenceIssuer => "the certificate given as proof carries another issuer's name",
            Self::EvidenceSerial => "the certificate given as proof has another serial",
            Self::EvidenceSignature => {
                "the certificate given as proof is not signed by this issuer's key"
            }
            Self::Withdrawn(_) => {
                "good was asked for a serial that this signer has signed as revoked"
            }
            Self::NeverIssued => {
                "the issuer is not configured to answer revoked for what was never issued"
            }
            Self::RevocationTime => "a revocation time lies after the year 9999",
            Self::ClockBehind => "the clock is more than 5 s behind an answer signed before",
            Self::SignerNotValid => "the certificate that signs is not valid now",
            Self::TooLarge => "the answer would be larger than a frame",
            Self::Crypto => "the crypto library failed to sign",
            Self::Hold => {
                "certificateHold was asked for, and the issuer's policy knows none (BR 4.9.13)"
            }
            Self::SignerEndsSoon => {
                "the certificate that signs ends within 8 h, the least validity of an answer by the issuer's policy (BR 4.9.9)"
            }
        }
    }
}

// ---- control sockets ----------------------------------------------------------------------------------------------

/// What the launcher may say to a signer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SignerOrder {
    /// The first frame.
    Hello(Version),
    /// The second frame.
    Settings(SignerSettings),
    /// Asks for [`Report::Pong`] with the same number.
    Ping(u64),
}

/// What the launcher may say to a frontend.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FrontendOrder {
    /// The first frame; the listening sockets travel with its first octet, and what else the settings count.
    Hello(Version),
    /// The second frame: the frontend's settings, in the language of `ocsp-frontend-settings`.
    Settings(Octets<{ (4 << 20) - 64 }>),
    /// Asks for [`Report::Pong`] with the same number.
    Ping(u64),
    /// Stop accepting, answer what is in hand, and leave.
    Retire {
        /// How long an idle connection may wait for one more question, in milliseconds.
        idle_ms: u32,
    },
    /// This frontend serves now in the place of the one before: what that one leaves on its pipe is this one's to read.
    Inherit,
}

/// What a child may say to the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Report {
    /// The first frame.
    Hello(Version),
    /// Locked in and serving (or, in check mode: all is well). The notes are for `ocsp-server check`.
    Ready(List<Text<1000>, 4000>),
    /// The child will not serve, for these reasons, and leaves.
    Refused(List<Text<1000>, 100>),
    /// The answer to a ping.
    Pong(u64),
    /// A frontend that serves asks for a fresh generation, which looks again at what this one could read only at its start.
    Renew {
        /// The source that does not answer, by place.
        source: u16,
        /// Why, for the log.
        reason: Text<1000>,
    },
}

const CONTROL_MAX: usize = 4 << 20;

macro_rules! control {
    ($name:ident) => {
        impl Message for $name {
            const MAX: usize = CONTROL_MAX;
            fn hello(version: Version) -> Self {
                Self::Hello(version)
            }
            #[allow(clippy::wildcard_enum_match_arm)] // every other message is not a hello
            fn as_hello(&self) -> Option<&Version> {
                match self {
                    Self::Hello(version) => Some(version),
                    _ => None,
                }
            }
        }
    };
}
control!(SignerOrder);
control!(FrontendOrder);
control!(Report);

/// Whether a child shall serve, or look and report only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Mode {
    /// Serve until the control socket closes.
    Serve,
    /// `ocsp-server check`: report and leave.
    Check,
}

/// Everything a signer is told at its start. Nothing in it is secret: it names files, which the signer opens itself, and
/// credentials, whose descriptors travel with the first octet of the opening frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignerSettings {
    /// Serve, or check and report.
    pub mode: Mode,
    /// The user id that the signer must find itself under.
    pub uid: u32,
    /// The group id likewise.
    pub gid: u32,
    /// Whether the launcher is root, so that user separation and an empty bounding set are required.
    pub separated: bool,
    /// Signing threads.
    pub threads: u16,
    /// How many revoked serials are remembered.
    pub remember_revoked: u32,
    /// Whether it must not serve with memory that may be written to a disk.
    pub require_mlock: bool,
    /// The folder that credentials were opened in, which the signer must not be able to enter.
    pub credentials: Option<Text<1024>>,
    /// The issuers; their places are the issuer indexes of [`SignRequest`].
    pub issuers: List<IssuerSettings, 4096>,
}

impl SignerSettings {
    /// Every secret, in the order of the settings: of each issuer, of each key, the key and then its passphrase. The
    /// descriptors of credentials are handed over in this order.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.issuers
            .iter()
            .flat_map(|issuer| issuer.keys.iter())
            .flat_map(|key| [Some(&key.key), key.passphrase.as_ref()])
            .flatten()
    }

    /// The names of the credentials among them.
    pub fn credentials(&self) -> impl Iterator<Item = &str> {
        self.secrets().filter_map(|secret| match secret {
            Secret::File(_) => None,
            Secret::Credential(name) => Some(&**name),
        })
    }
}

/// One issuer of a signer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct IssuerSettings {
    /// The name in logs.
    pub name: Text<200>,
    /// The file of the issuer's certificate, PEM or DER.
    pub certificate: Text<1024>,
    /// The keys; their places are the key indexes of [`SignRequest`].
    pub keys: List<KeySettings, 16>,
    /// nextUpdate − thisUpdate + 1 s, in seconds.
    pub validity: u32,
    /// How far thisUpdate lies before producedAt, in seconds.
    pub backdate: u32,
    /// What *good* needs.
    pub good: GoodPolicy,
    /// Whether [`Status::NeverIssued`] may be signed.
    pub never_issued: bool,
    /// The rule book to be obeyed.
    pub policy: Preset,
    /// Which archive cutoff answers carry, if they do.
    pub archive_cutoff: Option<ArchiveCutoff>,
}

/// Until when in the past a certificate may have expired and is still known to be revoked or not (RFC 6960 section 4.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ArchiveCutoff {
    /// Since the notBefore of the issuer's certificate: nothing is ever forgotten.
    Issuer,
    /// For so many seconds before producedAt.
    Retained(u32),
}

/// One key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeySettings {
    /// The private key, PEM.
    pub key: Secret,
    /// What opens the key, where that is encrypted.
    pub passphrase: Option<Secret>,
    /// The file of a delegated responder's certificate; without it the key is the issuer's own.
    pub responder: Option<Text<1024>>,
    /// The digest under RSA signatures; other keys bring their own.
    pub digest: Digest,
    /// The padding of RSA signatures.
    pub padding: Padding,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Secret {
    /// In this file, which the signer opens itself.
    File(Text<1024>),
    /// In the credential of this name, which the launcher has opened, and hands over unread.
    Credential(Text<255>),
}

/// As the configuration writes it.
impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Credential(name) => write!(f, "credential:{}", &**name),
        }
    }
}

/// Digests for RSA signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[allow(missing_docs)] // the names are the standard's
pub enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// Paddings of RSA signatures (RFC 8017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Padding {
    /// RSASSA-PKCS1-v1_5; a key that is for RSASSA-PSS alone signs by that all the same.
    Pkcs1,
    /// RSASSA-PSS, its salt as long as the digest, which MGF1 uses as well.
    Pss,
}

/// A rule book that an issuer's settings, keys, certificates and answers must obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Preset {
    /// None: what the others ask of certificates is a warning.
    Private,
    /// The Baseline Requirements of the CA/Browser Forum for TLS server certificates.
    Cabf,
    /// Mozilla's Root Store Policy, and with it the Baseline Requirements.
    Mozilla,
    /// Microsoft's Trusted Root Program, and with it the Baseline Requirements.
    Microsoft,
    /// ETSI EN 319 411-1 and -2, of certificates of trust services in the European Union.
    Etsi,
}

impl Preset {
    /// The least validity of an answer, in seconds: 8 h by BR 4.9.9, which MRSP and MS take in.
    pub const fn least_validity(self) -> u32 {
        match self {
            Self::Cabf | Self::Mozilla | Self::Microsoft => 28_800,
            Self::Private | Self::Etsi => 0,
        }
    }
}

/// What *good* needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum GoodPolicy {
    /// The certificate, verified by the signer.
    Certificate,
    /// Nothing but the source's word, for sources without certificates.
    Status,
}
