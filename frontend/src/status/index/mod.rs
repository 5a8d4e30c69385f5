//! OpenSSL's `index.txt`, as `openssl ca` writes it and `openssl ocsp -index` reads it. Read whole or not at all: a file
//! that is being written, is momentarily absent (`openssl ca` renames twice) or has a line that cannot be read leaves the
//! last good one in use, and says so. Trusts the file to be the CA's, not to be well formed.

pub mod rows;

use std::fs::{self, File, Metadata};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use ocsp_child::log;

use self::rows::Rows;
use super::{NoAnswer, Proof, Record};
use crate::serial;

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file that changes with every look is read for all that after so long.
const STILL_WITHIN: Duration = Duration::from_secs(5);
/// Between two log lines about one trouble that stays.
const REPEAT_EVERY: Duration = Duration::from_secs(60);

/// An `index.txt` and the folder of its certificates.
pub struct Index {
    name: String,
    file: PathBuf,
    certificates: Option<PathBuf>,
    rows: Arc<RwLock<Option<Rows>>>,
    first: Option<Look>,
}

/// What changes when a file does.
type Look = (u64, u64, i64, i64, u64);

fn look(found: &Metadata) -> Look {
    (
        found.dev(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec(),
        found.len(),
    )
}

impl Index {
    /// Reads the file for the first time. When that fails, the source is not available until a later look succeeds.
    pub fn open(
        name: &str,
        file: &str,
        certificates: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Self {
        let path = PathBuf::from(file);
        let (rows, first) = match load(&path) {
            Ok((rows, first)) => {
                notes.push(format!(
                    "source {name:?}: {file}: {} certificates",
                    rows.len()
                ));
                (Some(rows), Some(first))
            }
            Err(trouble) => {
                notes.push(format!(
                    "warning: source {name:?}: {trouble}: tryLater is answered until it can be read"
                ));
                (None, None)
            }
        };
        let certificates = certificates.map(PathBuf::from);
        if let Some(folder) = &certificates {
            if let Err(error) = fs::read_dir(folder) {
                let folder = folder.display();
                notes.push(format!(
                    "warning: source {name:?}: {folder}: cannot be read by the frontend, without it good is answered internalError: {error}"
                ));
            }
            let private = folder.with_file_name("private");
            if fs::read_dir(&private).is_ok() {
                let private = private.display();
                notes.push(format!("warning: {private}: the frontend's user can read it: take that away (chmod 0700)"));
            }
        }
        Self {
            name: name.to_owned(),
            file: path,
            certificates,
            rows: Arc::new(RwLock::new(rows)),
            first,
        }
    }

    /// Whether a file was read.
    pub fn available(&self) -> bool {
        held_rows(&self.rows).is_some()
    }

    /// The record of a serial.
    pub fn look_up(&self, serial: &[u8]) -> Result<Option<Record>, NoAnswer> {
        let rows = held_rows(&self.rows);
        let Some(revoked) = rows.as_ref().ok_or(NoAnswer::Unavailable)?.get(serial) else {
            return Ok(None);
        };
        let proof = match &self.certificates {
            None => Proof::None,
            Some(folder) => Proof::File(folder.join(serial::digits(serial) + ".pem")),
        };
        Ok(Some(Record { revoked, proof }))
    }

    /// Starts the thread that looks at the file every second and reads it when it has changed and stands still.
    pub fn keep_up(&self) -> std::io::Result<()> {
        let mut keeper = Keeper {
            name: self.name.clone(),
            file: self.file.clone(),
            rows: Arc::clone(&self.rows),
            read: self.first,
            seen: None,
            changed: None,
            said: None,
        };
        ocsp_child::thread("index", None, move || keeper.keep())
    }
}

struct Keeper {
    name: String,
    file: PathBuf,
    rows: Arc<RwLock<Option<Rows>>>,
    read: Option<Look>,
    seen: Option<Look>,
    /// Since when the file is another one than was read.
    changed: Option<Instant>,
    said: Option<Instant>,
}

impl Keeper {
    fn keep(&mut self) {
        loop {
            std::thread::sleep(LOOK_EVERY);
            if let Err(trouble) = self.look() {
                self.complain(&trouble);
            }
        }
    }

    fn look(&mut self) -> Result<(), String> {
        let found = fs::metadata(&self.file).map_err(|error| failed(&self.file, &error))?;
        let now = Some(look(&found));
        // Twice alike: nobody is writing.
        let still = self.seen == now;
        self.seen = now;
        if self.read == now {
            self.changed = None;
            return Ok(());
        }
        let changed = *self.changed.get_or_insert_with(Instant::now);
        if !still && changed.elapsed() < STILL_WITHIN {
            return Ok(());
        }
        let (rows, read) = load(&self.file)?;
        let count = rows.len();
        let before = held_rows(&self.rows).as_ref().map_or(0, Rows::len);
        if count == 0 && before > 0 {
            // A disk that was full leaves this behind.
            return Err(failed(
                &self.file,
                &format_args!("is empty, {before} certificates were in it before"),
            ));
        }
        self.read = Some(read);
        self.changed = None;
        self.said = None;
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = Some(rows);
        log::notice(format_args!(
            "source {:?}: {}: {count} certificates",
            self.name,
            self.file.display()
        ));
        Ok(())
    }

    fn complain(&mut self, trouble: &str) {
        let now = Instant::now();
        if self
            .said
            .is_none_or(|said| now.duration_since(said) >= REPEAT_EVERY)
        {
            self.said = Some(now);
            let kept = match self.read {
                Some(_) => "the last good file stays in use",
                None => "no file was read yet, tryLater is answered",
            };
            log::error(format_args!("source {:?}: {trouble}: {kept}", self.name));
        }
    }
}

fn held_rows(rows: &RwLock<Option<Rows>>) -> RwLockReadGuard<'_, Option<Rows>> {
    rows.read().unwrap_or_else(PoisonError::into_inner)
}

fn failed(file: &Path, what: &dyn std::fmt::Display) -> String {
    format!("{}: {what}", file.display())
}

/// Reads the whole file. It must be the same before and after.
fn load(file: &Path) -> Result<(Rows, Look), String> {
    let before = fs::metadata(file).map_err(|error| failed(file, &error))?;
    let opened = File::open(file).map_err(|error| failed(file, &error))?;
    let rows = Rows::read(BufReader::new(opened));
    let after = fs::metadata(file).map_err(|error| failed(file, &error))?;
    if look(&before) != look(&after) {
        return Err(failed(file, &"changed while it was read"));
    }
    let rows = rows.map_err(|what| failed(file, &what))?;
    Ok((rows, look(&after)))
}
