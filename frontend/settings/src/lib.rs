//! What the launcher tells the frontend at its start: typed data, and the text in which it travels (TOML, in one frame
//! of the control socket). The launcher has checked every value; there is no secret here, only the names of files that
//! the frontend opens itself, and of credentials that it is handed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Everything a frontend is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Serve, or look and report only.
    pub check: bool,
    /// Without which sources it refuses to serve.
    pub needed: Needed,
    /// The user id that the frontend must find itself under.
    pub uid: u32,
    /// The group id likewise.
    pub gid: u32,
    /// Whether the launcher is root, so that user separation is required.
    pub separated: bool,
    /// Worker threads.
    pub threads: u16,
    /// Octets that cached answers may take.
    pub cache_memory: u64,
    /// max-age of answers to GET, in seconds, where their nextUpdate allows it.
    pub max_age: u64,
    /// How long *good* is served from the cache while the source does not answer, in seconds.
    pub max_stale: u64,
    /// Which signatures of the signer are verified before they are given to anybody.
    pub verify: Verify,
    /// Whether a pipe is handed over on which the next frontend is left what is kept: its end to write, after the sources'
    /// passwords.
    pub bequeaths: bool,
    /// Whether the pipe of the frontend before is handed over: its end to read, last of all.
    pub inherits: bool,
    /// The folder that credentials were opened in, which the frontend must not be able to enter.
    pub credentials: Option<String>,
    /// Limits at the socket.
    pub limits: Limits,
    /// The listening sockets, in the order in which they are handed over.
    pub listeners: Vec<Listener>,
    /// Status sources.
    pub sources: Vec<Source>,
    /// Issuers; their places are the issuer indexes of the boundary.
    pub issuers: Vec<Issuer>,
}

impl Settings {
    /// The text that travels.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Reads it back.
    pub fn from_text(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// Which sources must be there before a frontend serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needed {
    /// None: nobody serves yet, and what is missing may come.
    Nothing,
    /// Those that are files: another generation serves, and it has them.
    Files,
    /// Those that are files, and the database at this place: another generation serves, and asked for this one because that
    /// one does not answer.
    Database(u16),
    /// All, of a frontend that only checks; with [`Needed::Files`] a database is not a fault of the configuration.
    Everything,
}

/// Which signatures of the signer are verified before they are given to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// The first of each key, then one in 64; after one that was wrong, each until one is right.
    Sample,
    /// Each.
    Always,
}

/// Limits at the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u32,
    /// Connections at a time from one address.
    pub connections_per_address: u32,
    /// Milliseconds for a request's header, and for the next request of an idle connection.
    pub header_ms: u64,
    /// Milliseconds for a request's body.
    pub body_ms: u64,
    /// Whose connections begin with a header that says where the client is.
    pub proxies: Vec<Proxy>,
}

/// Who passes connections of others on, with a header of the PROXY protocol, version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Proxy {
    /// Whoever connects to a Unix socket.
    Unix,
    /// Whoever connects from these addresses.
    Network(Network),
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is one of them. An IPv4 address counts as such, however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// The address with all but its first bits cleared; none where it has not so many.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let cleared = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let cleared = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    })
}

/// What a text was expected to be that is no [`Proxy`].
pub const PROXIES: &str =
    "addresses, networks or \"unix\", such as \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"";

impl FromStr for Proxy {
    type Err = &'static str;

    /// `unix`, an address, or a network: its first address and how many bits it has.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| PROXIES)?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| PROXIES)?;
        let bits = bits.unwrap_or(if first.is_ipv4() { 32 } else { 128 });
        // What is no first address is a mistake of somebody's; a mapped one would never be met.
        if masked(first, bits) != Some(first) || first.to_canonical() != first {
            return Err(PROXIES);
        }
        Ok(Self::Network(Network { first, bits }))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Network(Network { first, bits }) => write!(f, "{first}/{bits}"),
        }
    }
}

impl TryFrom<String> for Proxy {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> Self {
        proxy.to_string()
    }
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// As configured, for logs.
    pub address: String,
    /// What it is.
    pub kind: ListenerKind,
    /// What is answered there.
    pub purpose: Purpose,
}

/// What is answered on a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// OCSP.
    Ocsp,
    /// How the service does: `/healthz`, `/readyz`, `/metrics`.
    Admin,
}

/// What a listening socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerKind {
    /// OCSP over TCP: HTTP, or bare DER.
    Tcp,
    /// OCSP over a Unix socket: HTTP.
    Unix,
}

/// A status source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in logs.
    pub name: String,
    /// Milliseconds after which a status is read again.
    pub revalidate_ms: u64,
    /// What it is.
    pub kind: SourceKind,
}

impl Source {
    /// The password of its account. The descriptors of credentials are handed over in the order of the sources, after the
    /// listening sockets.
    pub fn password(&self) -> Option<&Secret> {
        match &self.kind {
            SourceKind::Index { .. } => None,
            SourceKind::Mysql(mysql) => mysql.password_file.as_ref(),
        }
    }
}

/// What a status source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceKind {
    /// OpenSSL's `index.txt`.
    Index {
        /// The file.
        file: String,
        /// The folder of issued certificates, `newcerts/`; without it nothing proves *good*.
        certificates: Option<String>,
    },
    /// MySQL or MariaDB.
    Mysql(Box<Mysql>),
}

/// A MySQL or MariaDB database. There is no password here, only where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mysql {
    /// The account.
    pub user: String,
    /// Its hosts, tried in this order; of no meaning where there is a socket.
    pub hosts: Vec<Host>,
    /// The server's Unix socket.
    pub socket: Option<String>,
    /// The database.
    pub database: String,
    /// The account's password; without it the account has none, or the server knows the caller by its user id.
    pub password_file: Option<Secret>,
    /// Certificates that the server's must chain to, PEM; without it nothing is encrypted.
    pub tls_ca: Option<String>,
    /// In which revocation times are: `UTC`, an offset such as `+02:00`, or a name of the machine's time zone database.
    pub time_zone: String,
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Columns,
    /// Connections, each with at most one statement at a time.
    pub connections: u16,
    /// Milliseconds that a look-up may take.
    pub timeout_ms: u64,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// In this file, which its reader opens itself.
    File(String),
    /// In the credential of this name, which the launcher has opened, and hands over unread.
    Credential(String),
}

impl Secret {
    /// The name of the credential, if it is one.
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Credential(name) => Some(name),
        }
    }
}

/// As the configuration writes it.
impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// A host of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name or address, without brackets.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// The columns of a table of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The serial, `0x` and hexadecimal digits.
    pub serial: String,
    /// *Valid* or *Revoked*.
    pub status: String,
    /// When it was revoked.
    pub time: String,
    /// Why.
    pub reason: String,
    /// The certificate, PEM or DER.
    pub certificate: String,
}

/// An issuer, as far as the frontend needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its name in logs.
    pub name: String,
    /// The file of its certificate.
    pub certificate: String,
    /// Its source, by place.
    pub source: usize,
    /// What is said of a serial without record.
    pub unknown: NoRecord,
    /// Whether the signer wants the certificate for *good*.
    pub proof_needed: bool,
    /// Since when all its certificates are revoked, because its key was compromised; seconds since 1970.
    pub compromised: Option<u64>,
    /// The file of certificates that clients' certificates chain to (PEM); without it everybody may ask.
    pub clients: Option<String>,
    /// What becomes of a nonce.
    pub nonce: Nonce,
    /// What is answered to a request with a nonce while the signer has too much to do.
    pub nonce_overload: NonceOverload,
    /// Which archive cutoff answers carry, if they do.
    pub archive_cutoff: Option<ArchiveCutoff>,
    /// How long an answer is valid, in seconds.
    pub validity: u32,
    /// Answers that would be valid for less are not signed, in seconds.
    pub least_validity: u32,
    /// What shapes an answer beside all this, and is the signer's affair: a frontend only sees whether it is what it was when
    /// an answer was signed that it inherits.
    pub signed_by: String,
    /// The keys that sign in its name; their places are the key indexes of the boundary.
    pub keys: Vec<Key>,
}

/// Until when in the past a certificate may have expired and is still known to be revoked or not (RFC 6960 section 4.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveCutoff {
    /// Since the notBefore of the issuer's certificate.
    Issuer,
    /// For so many seconds before producedAt.
    Retained(u32),
}

/// A key, as far as the frontend needs to know it: the public half, in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The file of a delegated responder's certificate; without it the key is the issuer's own.
    pub responder: Option<String>,
    /// The digest under its signatures, in bits, where it is an RSA key; others bring their own.
    pub digest: u16,
    /// Whether these are RSASSA-PSS, where its kind leaves that open.
    pub pss: bool,
}

/// What becomes of the nonce of a request (RFC 9654, RFC 9919 section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonce {
    /// It is echoed, in an answer signed for this request.
    Echo,
    /// Nothing: the answer is the one without nonce.
    Ignore,
}

/// What is answered to a request with a nonce while the signer has too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonceOverload {
    /// The error *tryLater*.
    TryLater,
    /// The answer without nonce, from the cache where it is there.
    Cached,
}

/// What is said of a serial without record (RFC 9919 section 3.2.3, RFC 6960 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoRecord {
    /// The error *unauthorized*.
    Unauthorized,
    /// The status *unknown*.
    Unknown,
    /// *revoked*, as never issued.
    Revoked,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        match network.parse() {
            Ok(Proxy::Network(network)) => network.contains(address.parse().unwrap()),
            other => panic!("{network}: {other:?}"),
        }
    }

    #[test]
    fn a_network_contains_what_begins_with_its_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "::1", "0.0.0.1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_neither_address_nor_network_is_refused() {
        for wrong in [
            "",
            "Unix",
            "unix:/run/x",
            "proxy.example",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "::/129",
            "2001:db8::1/32",
            "::ffff:10.0.0.0/104",
            "[::1]",
            "127.0.0.1:9000",
        ] {
            assert_eq!(wrong.parse::<Proxy>(), Err(PROXIES), "{wrong}");
        }
        for text in ["unix", "10.0.0.0/8", "::1/128"] {
            assert_eq!(text.parse::<Proxy>().unwrap().to_string(), text);
        }
    }
}
