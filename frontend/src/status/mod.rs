//! The one seam to where statuses stand: *what is the status of this serial of this issuer, and what proves it*. One
//! file for each kind of source.

mod index;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use ocsp_frontend_settings as settings;
use ocsp_wire::{Certificate, Evidence, Reason, Status};

use crate::pem;

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
}

/// The source cannot say, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

impl Record {
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
        let Proof::File(path) = &self.proof else {
            return Ok(Evidence::None);
        };
        if self.revoked.is_some() {
            return Ok(Evidence::None);
        }
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let mut octets = Vec::with_capacity(4096);
        File::open(path)
            .and_then(|file| file.take(256 << 10).read_to_end(&mut octets))
            .map_err(|error| failed(&format_args!("a certificate cannot be read: {error}")))?;
        let der = pem::certificate(&octets)
            .ok_or_else(|| failed(&"holds no certificate in PEM or DER"))?;
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
}

impl Source {
    /// Opens a source. Notes and warnings are for `check`; a source that is not available yet is not an error.
    pub fn open(settings: &settings::Source, notes: &mut Vec<String>) -> Self {
        let kind =
            match &settings.kind {
                settings::SourceKind::Index { file, certificates } => Kind::Index(
                    index::Index::open(&settings.name, file, certificates.as_deref(), notes),
                ),
            };
        Self {
            name: settings.name.clone(),
            revalidate: Duration::from_millis(settings.revalidate_ms),
            kind,
        }
    }

    /// Starts what keeps the source up to date.
    pub fn keep_up(&self) -> std::io::Result<()> {
        match &self.kind {
            Kind::Index(index) => index.keep_up(),
        }
    }

    /// Whether it can answer now.
    pub fn available(&self) -> bool {
        match &self.kind {
            Kind::Index(index) => index.available(),
        }
    }

    /// The record of a serial, given as the content octets of its INTEGER; none, if there is none.
    pub async fn look_up(&self, serial: &[u8]) -> Result<Option<Record>, Unavailable> {
        match &self.kind {
            Kind::Index(index) => index.look_up(serial),
        }
    }
}
