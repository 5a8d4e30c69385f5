//! `config.toml`, strictly: what is unknown, missing, of the wrong kind or contradictory is one sentence that names file,
//! key, what was found and what was expected. Runs in the launcher, as root, on a file that root wrote; opens no other.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Uid, User as Account};
use ocsp_frontend_settings::{
    NoRecord, Nonce, NonceOverload, PROXIES, Proxy, Secret, Source, SourceKind, Verify,
};
use ocsp_wire::{ArchiveCutoff, Digest, GoodPolicy, Padding, Preset};

use crate::credential;
use crate::preset;
use crate::source::source;
use crate::toml_reader::{Mistake, Reader, duration};

/// The whole configuration, checked as far as the file alone can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Sockets and their limits.
    pub listen: Listen,
    /// Who the children are.
    pub users: Users,
    /// Where log lines go.
    pub log: LogTo,
    /// The cache of answers.
    pub cache: Cache,
    /// The frontend's worker threads.
    pub frontend_threads: u16,
    /// Which signatures the frontend verifies.
    pub verify: Verify,
    /// The signer's signing threads.
    pub signer_threads: u16,
    /// How many revoked serials a signer remembers.
    pub remember_revoked: u32,
    /// Whether a signer must not serve with memory that may be written to a disk.
    pub require_mlock: bool,
    /// Status sources.
    pub sources: Vec<Source>,
    /// Issuers.
    pub issuers: Vec<Issuer>,
}

/// `[listen]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where OCSP is answered, if it says so: otherwise where systemd hands over a socket, or at the default.
    pub http: Option<Vec<Address>>,
    /// Where it is said how the service does; likewise, without a default.
    pub admin: Option<Vec<Address>>,
    /// Connections at a time.
    pub connections: u32,
    /// Connections at a time from one address.
    pub connections_per_address: u32,
    /// Whose connections begin with a header that says where the client is.
    pub proxies: Vec<Proxy>,
    /// For a request's header, and for the next request of an idle connection.
    pub header_timeout: Duration,
    /// For a request's body.
    pub body_timeout: Duration,
    /// How long a generation that was replaced may finish what it has in hand.
    pub drain: Duration,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP; `[::]` takes IPv4 as well.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// `[users]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// Runs the frontend.
    pub frontend: User,
    /// Runs the signer, and owns the keys.
    pub signer: User,
}

/// A user as configured, and its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As configured.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id: the account's own, or for a number without account the same number.
    pub gid: u32,
}

/// `[log] to`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// Standard error; with priorities when that is the journal.
    Stderr,
    /// `/dev/log`.
    Syslog,
}

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Octets that answers may take.
    pub memory: u64,
    /// max-age of answers to GET.
    pub max_age: Duration,
    /// How long *good* is served while the source does not answer.
    pub max_stale: Duration,
}

/// `[[issuer]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name.
    pub name: String,
    /// The file of its certificate.
    pub certificate: String,
    /// The keys that sign in its name: one, or those of `[[issuer.keys]]`.
    pub keys: Vec<Key>,
    /// Its source, by place.
    pub source: usize,
    /// How long an answer is valid.
    pub validity: Duration,
    /// How far thisUpdate lies in the past.
    pub backdate: Duration,
    /// What is said of a serial without record.
    pub unknown: NoRecord,
    /// What *good* needs.
    pub good: GoodPolicy,
    /// The file of certificates that clients' certificates chain to, where only signed requests are answered.
    pub clients: Option<String>,
    /// What becomes of a nonce.
    pub nonce: Nonce,
    /// What is answered to a request with a nonce while the signer has too much to do.
    pub nonce_overload: NonceOverload,
    /// Which archive cutoff answers carry, if they do.
    pub archive_cutoff: Option<ArchiveCutoff>,
    /// The rule book to be obeyed.
    pub policy: Preset,
    /// Since when all its certificates are revoked, because its key was compromised; seconds since 1970.
    pub compromised: Option<u64>,
}

/// A key that signs in an issuer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The private key.
    pub key: Secret,
    /// What opens the key, where that is encrypted.
    pub passphrase: Option<Secret>,
    /// The file of a delegated responder's certificate.
    pub responder: Option<String>,
    /// The digest of RSA signatures.
    pub digest: Digest,
    /// The padding of RSA signatures.
    pub padding: Padding,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const SECTIONS: [&str; 8] = [
    "cache", "frontend", "issuer", "listen", "log", "signer", "source", "users",
];

impl Issuer {
    /// The keys, each with its passphrase behind it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let keys = self.keys.iter();
        keys.flat_map(|key| [&key.key].into_iter().chain(&key.passphrase))
    }
}

impl Config {
    /// Reads and checks a file. The error is a sentence that begins with the file.
    pub fn read(path: &Path) -> Result<Self, Mistake> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Mistake(format!("{file}: the configuration cannot be read: {error}"))
        })?;
        Self::parse(&file, &text)
    }

    /// Checks a configuration; `file` is its name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistake> {
        let mut whole = Reader::parse(file, text)?;
        whole.only(&SECTIONS)?;
        let listen = listen(whole.section("listen")?)?;
        let users = users(whole.section("users")?)?;
        let mut log = whole.section("log")?;
        let log_to = log.word(
            "to",
            &[("stderr", LogTo::Stderr), ("syslog", LogTo::Syslog)],
            LogTo::Stderr,
        )?;
        log.finish()?;
        let cache = cache(whole.section("cache")?)?;
        let cores = std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let mut frontend = whole.section("frontend")?;
        let frontend_threads = threads(&mut frontend, cores)?;
        let verify = frontend.word(
            "verify",
            &[("sample", Verify::Sample), ("always", Verify::Always)],
            Verify::Sample,
        )?;
        frontend.finish()?;
        let mut signer = whole.section("signer")?;
        let signer_threads = threads(&mut signer, cores)?;
        let remember_revoked = signer.number("remember-revoked", 1, 100_000_000, 1_000_000)?;
        let require_mlock = signer.flag("require-mlock")?;
        signer.finish()?;
        let sources = whole
            .sections("source")?
            .into_iter()
            .map(source)
            .collect::<Result<Vec<_>, _>>()?;
        let issuers = whole
            .sections("issuer")?
            .into_iter()
            .map(|section| issuer(section, &sources, cache.max_stale))
            .collect::<Result<Vec<_>, _>>()?;
        if issuers.is_empty() {
            return Err(whole.mistake("issuer", "nothing", "at least one section [[issuer]]"));
        }
        if issuers.len() > 4096 {
            return Err(whole.mistake(
                "issuer",
                format_args!("{} sections", issuers.len()),
                "at most 4096",
            ));
        }
        unique(&whole, "source", sources.iter().map(|source| &source.name))?;
        unique(&whole, "issuer", issuers.iter().map(|issuer| &issuer.name))?;
        let keys = issuers.iter().flat_map(Issuer::secrets);
        let passwords = sources.iter().filter_map(Source::password);
        for (key, credentials) in [
            ("issuer", keys.filter_map(Secret::credential).count()),
            ("source", passwords.filter_map(Secret::credential).count()),
        ] {
            if credentials > credential::MOST {
                return Err(whole.mistake(
                    key,
                    format_args!("{credentials} credentials"),
                    format_args!("at most {}, and files for the others", credential::MOST),
                ));
            }
        }
        Ok(Self {
            listen,
            users,
            log: log_to,
            cache,
            frontend_threads,
            verify,
            signer_threads,
            remember_revoked,
            require_mlock,
            sources,
            issuers,
        })
    }
}

fn listen(mut section: Reader) -> Result<Listen, Mistake> {
    let http = addresses(&mut section, "http")?;
    if http.as_ref().is_some_and(Vec::is_empty) {
        return Err(section.mistake("http", "no address", "1 to 32 addresses"));
    }
    let listen = Listen {
        http,
        admin: addresses(&mut section, "admin")?,
        connections: section.number("connections", 1, 1_000_000, 8192)?,
        connections_per_address: section.number("connections-per-address", 1, 1_000_000, 1024)?,
        proxies: proxies(&mut section)?,
        header_timeout: section.duration("header-timeout", SECOND, 10 * MINUTE, 10 * SECOND)?,
        body_timeout: section.duration("body-timeout", SECOND, 10 * MINUTE, 10 * SECOND)?,
        drain: section.duration("drain", SECOND, 10 * MINUTE, 10 * SECOND)?,
    };
    section.finish()?;
    Ok(listen)
}

fn addresses(section: &mut Reader, key: &'static str) -> Result<Option<Vec<Address>>, Mistake> {
    let expected = "addresses such as \"[::]:9000\", \"127.0.0.1:9000\" or \"unix:/run/ocsp-server/http.sock\"";
    let Some(texts) = section.texts(key, expected)? else {
        return Ok(None);
    };
    if texts.len() > 32 {
        let found = format!("{} addresses", texts.len());
        return Err(section.mistake(key, found, "at most 32 addresses"));
    }
    let address = |text: &String| {
        let unix = text
            .strip_prefix("unix:")
            .filter(|path| path.starts_with('/') && path.len() < 108);
        let address = match unix {
            Some(path) => Some(Address::Unix(path.to_owned())),
            None => text.parse().ok().map(Address::Tcp),
        };
        address.ok_or_else(|| section.mistake(key, format_args!("{text:?}"), expected))
    };
    texts
        .iter()
        .map(address)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn proxies(section: &mut Reader) -> Result<Vec<Proxy>, Mistake> {
    let key = "proxies";
    let texts = section.texts(key, PROXIES)?.unwrap_or_default();
    if texts.len() > 64 {
        let found = format!("{} proxies", texts.len());
        return Err(section.mistake(key, found, "at most 64"));
    }
    let proxy = |text: &String| {
        text.parse()
            .map_err(|expected| section.mistake(key, format_args!("{text:?}"), expected))
    };
    texts.iter().map(proxy).collect()
}

fn users(mut section: Reader) -> Result<Users, Mistake> {
    let users = Users {
        frontend: user(&mut section, "frontend", "ocsp-frontend")?,
        signer: user(&mut section, "signer", "ocsp-signer")?,
    };
    if Uid::effective().is_root() {
        for (key, user) in [("frontend", &users.frontend), ("signer", &users.signer)] {
            if user.uid == 0 || user.gid == 0 {
                return Err(section.mistake(
                    key,
                    format_args!("{:?}, which is root", user.name),
                    "a user of its own",
                ));
            }
        }
        if users.frontend.uid == users.signer.uid || users.frontend.gid == users.signer.gid {
            let found = format!(
                "{:?} and {:?}, which share an id",
                users.frontend.name, users.signer.name
            );
            return Err(section.mistake(
                "signer",
                found,
                "two users with a group of their own each",
            ));
        }
    }
    section.finish()?;
    Ok(users)
}

fn user(section: &mut Reader, key: &'static str, default: &str) -> Result<User, Mistake> {
    let name = section.user(key, default)?;
    let found = match name.parse::<u32>() {
        Ok(id) => match Account::from_uid(Uid::from_raw(id)) {
            Ok(Some(account)) => Some((account.uid, account.gid)),
            Ok(None) | Err(_) => Some((Uid::from_raw(id), Gid::from_raw(id))),
        },
        Err(_) => Account::from_name(&name)
            .ok()
            .flatten()
            .map(|account| (account.uid, account.gid)),
    };
    let (uid, gid) = found.ok_or_else(|| {
        section.mistake(
            key,
            format_args!("{name:?}"),
            "a user of this machine, or a numeric id",
        )
    })?;
    Ok(User {
        name,
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    })
}

fn cache(mut section: Reader) -> Result<Cache, Mistake> {
    let cache = Cache {
        memory: section.size("memory", 64 << 10, 1 << 40, 256 << 20)?,
        max_age: section.duration("max-age", SECOND, 30 * DAY, HOUR)?,
        max_stale: section.duration("max-stale", Duration::ZERO, 30 * DAY, HOUR)?,
    };
    section.finish()?;
    Ok(cache)
}

fn threads(section: &mut Reader, cores: u32) -> Result<u16, Mistake> {
    let threads = section.number("threads", 1, 256, cores.clamp(1, 256))?;
    u16::try_from(threads).map_err(|_| section.mistake("threads", threads, "at most 256"))
}

/// The one key of an issuer, or several, each in a section of its own.
fn keys(section: &mut Reader) -> Result<Vec<Key>, Mistake> {
    let several = section.sections("keys")?;
    // What it says of signatures holds for each key that does not say it itself.
    let signatures = signatures(section, (Digest::Sha256, Padding::Pkcs1))?;
    let (found, key) = key(section, signatures)?;
    if several.is_empty() {
        return Ok(vec![key.ok_or_else(|| nothing(section))?]);
    }
    if several.len() > 16 {
        let found = format!("{} sections", several.len());
        return Err(section.mistake("keys", found, "at most 16"));
    }
    if let Some(found) = found {
        let expected = "each key in its own section [[issuer.keys]], and none beside them";
        return Err(section.mistake(found, "a key beside [[issuer.keys]]", expected));
    }
    let own = several.into_iter().map(|mut section| {
        let own = self::signatures(&mut section, signatures)?;
        let (_, key) = self::key(&mut section, own)?;
        let key = key.ok_or_else(|| nothing(&section))?;
        section.finish()?;
        Ok(key)
    });
    own.collect()
}

fn nothing(section: &Reader) -> Mistake {
    section.mistake("key", "nothing", "an absolute path, or \"credential:NAME\"")
}

/// How an RSA key signs.
fn signatures(
    section: &mut Reader,
    (digest, padding): (Digest, Padding),
) -> Result<(Digest, Padding), Mistake> {
    let digests = [
        ("sha256", Digest::Sha256),
        ("sha384", Digest::Sha384),
        ("sha512", Digest::Sha512),
    ];
    let paddings = [("pkcs1", Padding::Pkcs1), ("pss", Padding::Pss)];
    Ok((
        section.word("digest", &digests, digest)?,
        section.word("padding", &paddings, padding)?,
    ))
}

/// What a section says of a key, and what of it it says first.
fn key(
    section: &mut Reader,
    (digest, padding): (Digest, Padding),
) -> Result<(Option<&'static str>, Option<Key>), Mistake> {
    let key = section.secret("key")?;
    let passphrase = section.secret("passphrase-file")?;
    let responder = section.path("responder")?;
    let said = [
        ("key", key.is_some()),
        ("passphrase-file", passphrase.is_some()),
        ("responder", responder.is_some()),
    ];
    let first = said.iter().find(|(_, said)| *said).map(|(name, _)| *name);
    let key = key.map(|key| Key {
        key,
        passphrase,
        responder,
        digest,
        padding,
    });
    Ok((first, key))
}

fn issuer(mut section: Reader, sources: &[Source], max_stale: Duration) -> Result<Issuer, Mistake> {
    let name = name(&mut section)?;
    let known = sources
        .iter()
        .map(|source| format!("{:?}", source.name))
        .collect::<Vec<_>>()
        .join(", ");
    let source = match (section.text("source", "the name of a source")?, sources) {
        (None, [_]) => 0,
        (None, _) => {
            let found = format!("nothing, with {} sources", sources.len());
            return Err(section.mistake("source", found, "the name of a source"));
        }
        (Some(wanted), sources) => sources
            .iter()
            .position(|source| source.name == wanted)
            .ok_or_else(|| {
                section.mistake(
                    "source",
                    format_args!("{wanted:?}"),
                    format_args!("the name of a source ({known})"),
                )
            })?,
    };
    let validity = section.duration("validity", MINUTE, 3650 * DAY, 3 * DAY)?;
    let backdate = section.duration("backdate", Duration::ZERO, DAY, Duration::ZERO)?;
    for (key, duration) in [("validity", validity), ("backdate", backdate)] {
        if duration.subsec_millis() != 0 {
            return Err(section.mistake(
                key,
                format_args!("{duration:?}"),
                "whole seconds, as OCSP has no fractions",
            ));
        }
    }
    if backdate * 2 > validity {
        return Err(section.mistake(
            "backdate",
            format_args!("{backdate:?}"),
            "at most half of the validity",
        ));
    }
    let clients = clients(&mut section)?;
    let issuer = Issuer {
        name,
        certificate: section.required_path("certificate")?,
        keys: keys(&mut section)?,
        source,
        validity,
        backdate,
        unknown: section.word(
            "unknown",
            &[
                ("unauthorized", NoRecord::Unauthorized),
                ("unknown", NoRecord::Unknown),
                ("revoked", NoRecord::Revoked),
            ],
            NoRecord::Unauthorized,
        )?,
        good: section.word(
            "good",
            &[
                ("certificate", GoodPolicy::Certificate),
                ("status", GoodPolicy::Status),
            ],
            GoodPolicy::Certificate,
        )?,
        clients,
        nonce: section.word(
            "nonce",
            &[("echo", Nonce::Echo), ("ignore", Nonce::Ignore)],
            Nonce::Echo,
        )?,
        nonce_overload: section.word(
            "nonce-overload",
            &[
                ("try-later", NonceOverload::TryLater),
                ("cached", NonceOverload::Cached),
            ],
            NonceOverload::TryLater,
        )?,
        compromised: section.moment("compromised")?,
        archive_cutoff: archive_cutoff(&mut section)?,
        policy: section.word(
            "policy",
            &[
                ("private", Preset::Private),
                ("cabf", Preset::Cabf),
                ("mozilla", Preset::Mozilla),
                ("microsoft", Preset::Microsoft),
                ("etsi", Preset::Etsi),
            ],
            Preset::Private,
        )?,
    };
    if let Some(source) = sources.get(source) {
        preset::obeyed(&section, &issuer, source, max_stale)?;
    }
    if let (
        GoodPolicy::Certificate,
        Some(Source {
            name,
            kind: SourceKind::Index {
                certificates: None, ..
            },
            ..
        }),
    ) = (issuer.good, sources.get(source))
    {
        return Err(section.mistake(
            "good",
            format_args!("\"certificate\" with the source {name:?}, which has no certificates"),
            "\"certificates\" at that source, or good = \"status\" here",
        ));
    }
    section.finish()?;
    Ok(issuer)
}

/// Which archive cutoff answers carry, if they do.
fn archive_cutoff(section: &mut Reader) -> Result<Option<ArchiveCutoff>, Mistake> {
    const KEY: &str = "archive-cutoff";
    let expected = "\"issuer\", or a duration from 1d to 36500d, such as \"3650d\"";
    let Some(found) = section.text(KEY, expected)? else {
        return Ok(None);
    };
    if found == "issuer" {
        return Ok(Some(ArchiveCutoff::Issuer));
    }
    let retained = duration(&found)
        .filter(|retained| (DAY..=36_500 * DAY).contains(retained))
        .and_then(|retained| u32::try_from(retained.as_secs()).ok())
        .ok_or_else(|| section.mistake(KEY, format_args!("{found:?}"), expected))?;
    Ok(Some(ArchiveCutoff::Retained(retained)))
}

/// Who may ask: everybody, or clients by these certificates.
fn clients(section: &mut Reader) -> Result<Option<String>, Mistake> {
    let signed = section.word("requests", &[("any", false), ("signed", true)], false)?;
    let clients = section.path("clients")?;
    match (signed, &clients) {
        (true, None) => Err(section.mistake(
            "clients",
            "nothing, with requests = \"signed\"",
            "the certificates that clients' certificates chain to",
        )),
        (false, Some(path)) => Err(section.mistake(
            "clients",
            format_args!("{path:?}, while any request is answered"),
            "nothing, or requests = \"signed\" beside it",
        )),
        (true, Some(_)) | (false, None) => Ok(clients),
    }
}

/// The name of a source or issuer, which the errors that follow carry.
pub fn name(section: &mut Reader) -> Result<String, Mistake> {
    let expected = "a name of at most 200 octets without control characters";
    let name = section.required("name", expected)?;
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(section.mistake("name", format_args!("{name:?}"), expected));
    }
    section.named(&name);
    Ok(name)
}

fn unique<'a>(
    whole: &Reader,
    key: &str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), Mistake> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(whole.mistake(
                key,
                format_args!("the name {name:?} twice"),
                "different names",
            ));
        }
    }
    Ok(())
}
