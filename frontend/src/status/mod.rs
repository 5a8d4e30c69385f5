//! The one seam to where statuses stand: *what is the status of this serial of this issuer, and what proves it*. One
//! room for each kind of source.

pub mod index;
pub mod mysql;

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ocsp_frontend_settings as settings;
use ocsp_wire::{Certificate, Evidence, Reason, Status};
use tokio::time::Instant;

use crate::control::Launcher;
use crate::counts::SourceCounts;
use crate::digest::sha256;
use crate::issuer::Issuer;
use crate::pem;

/// Octets of a certificate's file that are read.
const LARGEST_FILE: u64 = 256 << 10;

thread_local! {
    /// Where files of certificates are read to: not a new place for each.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a source knows of a serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When and why it was revoked, if it was.
    pub revoked: Option<Revocation>,
    /// What proves that it was issued.
    pub proof: Proof,
}

/// A revocation as the source has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Seconds since 1970.
    pub time: u64,
    /// Without one: unspecified.
    pub reason: Option<Reason>,
}

/// Where the certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The source has none.
    None,
    /// In a file, PEM or DER.
    File(PathBuf),
    /// Its DER.
    Certificate(Bytes),
}

/// A record as small as it can be kept with the answer to it: what it said of the status, and which proof that had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When and why it was revoked, if it was.
    pub revoked: Option<Revocation>,
    /// SHA-256 of what proves that it was issued; zeros where nothing does.
    pub proof: [u8; 32],
}

/// Why there is neither a record nor none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The source cannot say, for now.
    Unavailable,
    /// What the source says makes no sense; it has logged what.
    Broken,
}

/// Which look-ups go first where many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// An answer is kept that may have become wrong.
    Kept,
    /// Anything else.
    New,
}

impl Record {
    /// What is kept of it.
    pub fn said(&self) -> Said {
        Said {
            revoked: self.revoked,
            proof: match &self.proof {
                Proof::None => [0; 32],
                Proof::File(path) => sha256(path.as_os_str().as_bytes()),
                Proof::Certificate(der) => sha256(der),
            },
        }
    }

    /// What the signer is asked to say.
    pub fn status(&self) -> Status {
        match self.revoked {
            None => Status::Good,
            Some(Revocation { time, reason }) => Status::Revoked { time, reason },
        }
    }

    /// What the signer is shown for it: the certificate, for *good*. A file of a local CA folder is read where it is
    /// needed: it costs some microseconds, and a thread pool for it would cost more.
    pub fn evidence(&self) -> Result<Evidence, String> {
        if self.revoked.is_some() {
            return Ok(Evidence::None);
        }
        let path = match &self.proof {
            Proof::None => return Ok(Evidence::None),
            Proof::Certificate(der) => {
                return Certificate::new(&**der)
                    .map(Evidence::Certificate)
                    .map_err(|error| format!("a certificate of a table {error}"));
            }
            Proof::File(path) => path,
        };
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let der = READ.with_borrow_mut(|octets| {
            octets.clear();
            File::open(path)
                .and_then(|file| file.take(LARGEST_FILE).read_to_end(octets))
                .map_err(|error| failed(&format_args!("a certificate cannot be read: {error}")))?;
            pem::certificate(octets).ok_or_else(|| failed(&"holds no certificate in PEM or DER"))
        })?;
        let certificate = Certificate::new(der)
            .map_err(|error| failed(&format_args!("the certificate {error}")))?;
        Ok(Evidence::Certificate(certificate))
    }
}

/// A source, by kind.
pub struct Source {
    /// Its name in logs.
    pub name: String,
    /// How long a status is believed.
    pub revalidate: Duration,
    kind: Kind,
}

enum Kind {
    Index(index::Index),
    Mysql(mysql::Mysql),
}

impl Source {
    /// Opens a source that serves so many issuers; its password is `handed` over, if that is a credential; no name is
    /// resolved that was not begun before `patience` is over. Notes and warnings are for `check`; a source that is not
    /// available yet is not an error, but a file that no later look could make better is.
    pub fn open(
        settings: &settings::Source,
        issuers: usize,
        handed: Option<OwnedFd>,
        patience: Instant,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let name = &settings.name;
        let kind =
            match &settings.kind {
                settings::SourceKind::Index { file, certificates } => Kind::Index(
                    index::Index::open(name, file, certificates.as_deref(), notes),
                ),
                settings::SourceKind::Mysql(mysql) => Kind::Mysql(mysql::Mysql::open(
                    name,
                    mysql,
                    issuers < 2,
                    handed,
                    patience,
                    notes,
                )?),
            };
        Ok(Self {
            name: name.clone(),
            revalidate: Duration::from_millis(settings.revalidate_ms),
            kind,
        })
    }

    /// Starts the thread of a source that has one of its own.
    pub fn start_thread(&self) -> std::io::Result<()> {
        match &self.kind {
            Kind::Index(index) => index.keep_up(),
            Kind::Mysql(_) => Ok(()),
        }
    }

    /// Starts what keeps a database, which is the source at this place, up to date. Must be called within the runtime.
    pub fn keep_up(&self, place: u16, launcher: &Arc<Launcher>) {
        match &self.kind {
            Kind::Index(_) => {}
            Kind::Mysql(mysql) => mysql.keep_up(place, launcher),
        }
    }

    /// Takes leave of a database.
    pub async fn leave(&self) {
        if let Kind::Mysql(mysql) = &self.kind {
            mysql.leave().await;
        }
    }

    /// Whether its files could be read.
    pub fn has_files(&self) -> bool {
        match &self.kind {
            Kind::Index(index) => index.available(),
            Kind::Mysql(_) => true,
        }
    }

    /// Looks whether a database can be reached, before anybody depends on it. The error names the source, and why not.
    pub async fn reach(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Index(_) => Ok(()),
            Kind::Mysql(mysql) => mysql.reach().await,
        }
    }

    /// Looks at everything that a database must have for us, for `check`: what is well or could be better, and what is not
    /// well. An index has been looked at when it was opened.
    pub async fn examine(&self) -> (Vec<String>, Vec<String>) {
        match &self.kind {
            Kind::Index(_) => (Vec::new(), Vec::new()),
            Kind::Mysql(mysql) => mysql.examine().await,
        }
    }

    /// Whether it answers now; if not, why.
    pub async fn answers(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Index(index) if index.available() => Ok(()),
            Kind::Index(_) => Err("no file was read yet".to_owned()),
            Kind::Mysql(mysql) => mysql.answers().await,
        }
    }

    /// Whether it answered when it was asked last.
    pub fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Index(index) => index.available(),
            Kind::Mysql(mysql) => !mysql.is_down(),
        }
    }

    /// What a database was asked since the start.
    pub fn counts(&self) -> Option<&SourceCounts> {
        match &self.kind {
            Kind::Index(_) => None,
            Kind::Mysql(mysql) => Some(mysql.counts()),
        }
    }

    /// The record of a serial of an issuer, given as the content octets of its INTEGER; none, if there is none.
    pub async fn look_up(
        &self,
        serial: &[u8],
        issuer: &Issuer,
        urgency: Urgency,
    ) -> Result<Option<Record>, NoAnswer> {
        match &self.kind {
            Kind::Index(index) => index.look_up(serial),
            Kind::Mysql(mysql) => mysql.look_up(serial, issuer, urgency).await,
        }
    }
}
