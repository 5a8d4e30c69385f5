//! Connections to the database: what was read and resolved before the process was locked in, and how one is made. Trusts
//! the server no further than TLS, where there is TLS, has shown who it is.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, SslOpts, Statement};
use ocsp_frontend_settings as settings;
use openssl::x509::X509;
use tokio::time::{Instant, timeout};

use super::SIZES;

/// Octets that a packet of the server may have: a row with the largest certificate has 64 KiB, half as much again in PEM.
const LARGEST_PACKET: usize = 256 << 10;
/// Octets of a password file.
const LONGEST_PASSWORD: usize = 4096;
/// How long a host that did not answer a statement is asked last.
const PASS_OVER: Duration = Duration::from_secs(30);
/// How long a connection may take to be closed.
const END_WITHIN: Duration = Duration::from_millis(250);
/// After so long of silence the kernel looks whether a server is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where the database is, and who we are there.
pub struct Hosts {
    hosts: Vec<Host>,
    deadline: Duration,
}

struct Host {
    /// For logs.
    name: String,
    /// When it let us in and then did not answer a statement.
    failed: Mutex<Option<Instant>>,
    /// One for each of its addresses; none where the name could not be resolved.
    addresses: Vec<Opts>,
}

/// A connection, and the host that it leads to, by place.
pub struct Link {
    /// The connection.
    pub conn: Conn,
    /// The host: 0 is the first.
    pub host: usize,
    /// Why the hosts before it were passed over.
    pub passed: Option<String>,
    /// Of each size, once it was needed. The library would keep them too, and find one by reading its text anew.
    prepared: [Option<Statement>; SIZES.len()],
}

impl Link {
    fn new(conn: Conn, host: usize, passed: Option<String>) -> Self {
        Self {
            conn,
            host,
            passed,
            prepared: Default::default(),
        }
    }

    /// The statement of a size, by place, which is prepared from its text when it is asked for first.
    pub async fn prepare(&mut self, size: usize, text: &str) -> Result<Statement, Error> {
        match self.prepared.get_mut(size) {
            Some(Some(prepared)) => Ok(prepared.clone()),
            Some(place @ None) => Ok(place.insert(self.conn.prep(text).await?).clone()),
            None => self.conn.prep(text).await,
        }
    }
}

impl Hosts {
    /// Reads the files and resolves the names, while the process still can. Names that cannot be resolved are warnings: the
    /// next generation may have more luck. What is wrong with a file is an error.
    pub fn open(
        settings: &settings::Mysql,
        handed: Option<OwnedFd>,
        patience: Instant,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let deadline = Duration::from_millis(settings.timeout_ms);
        // `lock_wait_timeout`: the server gives up before we do, where that is more than its least, a second.
        // `wait_timeout`: longer than a connection is left alone. The rest is what servers are configured to do otherwise:
        // without autocommit a connection would see the table as it was at its first look-up, for ever.
        let locked = (settings.timeout_ms / 2000).max(1);
        let setup = format!(
            "SET autocommit = 1, time_zone = '+00:00', lock_wait_timeout = {locked}, wait_timeout = 120"
        );
        let mut options = OptsBuilder::default()
            .user(Some(&settings.user))
            .db_name(Some(&settings.database))
            .setup(vec![setup])
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .max_allowed_packet(Some(LARGEST_PACKET))
            .wait_timeout(Some(28_800));
        if let Some(secret) = &settings.password_file {
            options = options.pass(Some(password(secret, handed, notes)?));
        }
        if let Some(file) = &settings.tls_ca {
            let tls = SslOpts::default()
                .with_root_certs(vec![certificates(file)?.into()])
                .with_disable_built_in_roots(true);
            options = options.ssl_opts(Some(tls));
        }
        if let Some(socket) = &settings.socket {
            let host = Host {
                name: socket.clone(),
                failed: Mutex::default(),
                addresses: vec![Opts::from(options.socket(Some(socket)))],
            };
            return Ok(Self {
                hosts: vec![host],
                deadline,
            });
        }
        let hosts = settings
            .hosts
            .iter()
            .map(|host| {
                let of = |address: IpAddr| {
                    let options = options.clone().ip_or_hostname(&host.name);
                    let options = options.tcp_port(host.port);
                    Opts::from(options.resolved_ips(Some(vec![address])))
                };
                Host {
                    name: format!("{}:{}", host.name, host.port),
                    failed: Mutex::default(),
                    addresses: addresses(host, patience, notes)
                        .into_iter()
                        .map(of)
                        .collect(),
                }
            })
            .collect();
        Ok(Self { hosts, deadline })
    }

    /// The name of the host at a place.
    pub fn name(&self, place: usize) -> &str {
        self.hosts.get(place).map_or("", |host| &host.name)
    }

    /// How many hosts there are.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// Connects to the first that can be reached of the hosts before `end`; those that lately let us in and then did not
    /// answer come last. The error names each, and why it could not.
    pub async fn connect(&self, end: usize) -> Result<Link, String> {
        let places = 0..end.min(self.hosts.len());
        let (failed, well): (Vec<_>, Vec<_>) = places.partition(|place| self.failed_lately(*place));
        let mut failures: Vec<String> = Vec::new();
        for place in failed.iter().filter(|_| !well.is_empty()) {
            failures.push(format!("{}: did not answer a statement", self.name(*place)));
        }
        for host in well.into_iter().chain(failed) {
            match self.connect_to(host).await {
                Ok(conn) => {
                    let passed = (host > 0).then(|| failures.join("; "));
                    return Ok(Link::new(conn, host, passed));
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures.join("; "))
    }

    /// Notes that the host at a place did not answer a statement, or that it did.
    pub fn note(&self, place: usize, answered: bool) {
        if let Some(host) = self.hosts.get(place) {
            let mut failed = host.failed.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = (!answered).then(Instant::now);
        }
    }

    fn failed_lately(&self, place: usize) -> bool {
        self.hosts.get(place).is_some_and(|host| {
            let failed = host.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.is_some_and(|at| at.elapsed() < PASS_OVER)
        })
    }

    /// Connects to the host at a place, at the first of its addresses that answers. The error names it.
    pub async fn connect_to(&self, place: usize) -> Result<Conn, String> {
        let Some(host) = self.hosts.get(place) else {
            return Err("there is no such host".to_owned());
        };
        let mut failure = "its name could not be resolved".to_owned();
        for address in &host.addresses {
            match timeout(self.deadline, Conn::new(address.clone())).await {
                Ok(Ok(conn)) => return Ok(conn),
                Ok(Err(error)) => failure = sentence(&error),
                Err(_) => failure = format!("no connection within {:?}", self.deadline),
            }
        }
        Err(format!("{}: {failure}", host.name))
    }
}

/// The content of a password file, which was `handed` over if it is a credential, but for the end of its line.
fn password(
    file: &settings::Secret,
    handed: Option<OwnedFd>,
    notes: &mut Vec<String>,
) -> Result<String, String> {
    let unreadable = |error| format!("{file}: cannot be read by the frontend's user: {error}");
    let mut open = match (file, handed) {
        (settings::Secret::File(path), _) => File::open(path).map_err(unreadable)?,
        (settings::Secret::Credential(_), Some(handed)) => File::from(handed),
        (settings::Secret::Credential(_), None) => {
            return Err(format!("{file}: was not handed over"));
        }
    };
    let about = open.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("{file}: is not a regular file"));
    }
    if open_to_others(&about) {
        let mode = about.mode() & 0o7777;
        return Err(format!(
            "{file}: has mode {mode:04o}, so that others can read the password: expected 0400, owned by the frontend's user"
        ));
    }
    let mut text = String::new();
    open.read_to_string(&mut text).map_err(unreadable)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() || password.len() > LONGEST_PASSWORD || password.contains('\n') {
        return Err(format!(
            "{file}: a password in one line of at most {LONGEST_PASSWORD} octets was expected"
        ));
    }
    if password.trim() != password {
        notes.push(format!(
            "warning: {file}: the password begins or ends with a space"
        ));
    }
    Ok(password.to_owned())
}

fn open_to_others(about: &Metadata) -> bool {
    about.mode() & 0o007 != 0
}

/// The certificates of a file, all of which must be such: a mistake would show as a handshake that fails.
fn certificates(file: &str) -> Result<Vec<u8>, String> {
    let octets = fs::read(file)
        .map_err(|error| format!("{file}: cannot be read by the frontend's user: {error}"))?;
    match X509::stack_from_pem(&octets) {
        Ok(found) if !found.is_empty() => Ok(octets),
        Ok(_) | Err(_) => Err(format!("{file}: certificates in PEM were expected")),
    }
}

/// The addresses of a host. Each name may take its time, but none is begun when the patience for all is over.
fn addresses(host: &settings::Host, patience: Instant, notes: &mut Vec<String>) -> Vec<IpAddr> {
    let name = &host.name;
    if let Ok(address) = name.parse() {
        return vec![address];
    }
    let mut note = |what: &str| {
        notes.push(format!(
            "warning: the database host {name:?} cannot be resolved: {what}"
        ));
        Vec::new()
    };
    if Instant::now() > patience {
        return note("the names before it took too long");
    }
    let mut found: Vec<IpAddr> = match (&**name, host.port).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(error) => return note(&error.to_string()),
    };
    found.dedup();
    found
}

/// Closes a connection politely, and in any case. Never only dropped: of a server that has stopped within an answer, the
/// library would wait for the rest, and keep the descriptor, for ever.
pub async fn end(conn: Conn) {
    let _ = timeout(END_WITHIN, conn.disconnect()).await; // it is over either way
}

/// What became of a statement.
#[derive(Debug)]
pub enum Trouble {
    /// The connection broke: another one may do.
    Lost(String),
    /// The server says no; the connection goes on.
    Refused(String),
    /// The server says nothing in time.
    Silent(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let text = sentence(&error);
        match &error {
            Error::Server(server) if !ends_connection(server.code) => Self::Refused(text),
            Error::Server(_)
            | Error::Io(_)
            | Error::Driver(_)
            | Error::Other(_)
            | Error::Url(_) => Self::Lost(text),
        }
    }
}

/// Errors of a server that has ended the connection, is about to end, or has forgotten a prepared statement.
fn ends_connection(code: u16) -> bool {
    matches!(
        code,
        1053 | 1077 | 1079 | 1080 | 1152..=1161 | 1184 | 1243 | 1317 | 1615 | 1927 | 3169 | 4031
    )
}

/// An error for an operator. What a server writes goes into it as it came: the launcher escapes control characters.
pub fn sentence(error: &Error) -> String {
    match error {
        Error::Server(server) => {
            let expected = match server.code {
                1044 | 1142 | 1143 => ": expected an account that was granted SELECT on this table",
                1045 | 1698 => {
                    ": expected an account that may come from here, with the password of \"password-file\""
                }
                1049 => ": expected the database of \"url\"",
                1054 => ": expected the columns that \"column-serial\" and so on name",
                1146 => ": expected the table that \"table\" names",
                _ => "",
            };
            format!(
                "the server says {:?} ({}){expected}",
                server.message, server.code
            )
        }
        Error::Io(IoError::Io(error)) => error.to_string(),
        Error::Io(IoError::Tls(error)) => format!("TLS: {error}"),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            "the server does not speak TLS, which \"tls-ca\" asks for".to_owned()
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            format!("the account is known by the plugin {name:?}, which is not spoken here")
        }
        Error::Driver(DriverError::ConnectionClosed) => "the connection was closed".to_owned(),
        Error::Driver(_) => {
            "the server does not keep to the protocol of MySQL, or a packet was too large"
                .to_owned()
        }
        Error::Other(_) | Error::Url(_) => "the connection cannot be made".to_owned(),
    }
}
