//! Opens and reads what must stay secret: key files and passphrases. A file is opened here; a credential was opened by
//! the launcher, which is root, and handed over unread. Refuses one that others could read, and closes each as soon as it
//! is read. What was read is wiped when it is dropped.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;
use ocsp_wire::Secret;
use zeroize::Zeroizing;

/// More than any key file has.
const LARGEST: u64 = 64 << 10;
/// What OpenSSL takes of a passphrase (PEM_BUFSIZE).
const LONGEST_PASSPHRASE: usize = 1024;

/// Octets that are wiped when they are dropped.
pub type Octets = Zeroizing<Vec<u8>>;

/// A secret that was not read yet. Its name begins every error about it.
pub struct Unread<'a> {
    /// As the settings name it.
    pub name: &'a Secret,
    handed: Option<OwnedFd>,
}

impl<'a> Unread<'a> {
    /// A secret of the settings; the next of the descriptors that were `handed` over is its own, if it is a credential.
    pub fn new(name: &'a Secret, handed: &mut impl Iterator<Item = OwnedFd>) -> Self {
        let handed = match name {
            Secret::File(_) => None,
            Secret::Credential(_) => handed.next(),
        };
        Self { name, handed }
    }

    /// All octets of a regular file that belongs to this user and that nobody else can read, or to root where it was handed
    /// over.
    pub fn read(self) -> Result<Octets, String> {
        let (name, user) = (self.name, geteuid());
        let failed =
            |error: std::io::Error| format!("{name}: cannot be read by user {user}: {error}");
        let credential = self.handed.is_some();
        let file = match (name, self.handed) {
            (Secret::File(path), _) => File::open(&**path).map_err(failed)?,
            (Secret::Credential(_), Some(handed)) => File::from(handed),
            (Secret::Credential(_), None) => return Err(format!("{name}: was not handed over")),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(format!("{name}: is not a regular file"));
        }
        if found.mode() & 0o077 != 0 {
            return Err(format!(
                "{name}: mode {:04o} is open to group or others, 0400 was expected",
                found.mode() & 0o7777
            ));
        }
        if found.uid() != user.as_raw() && !(credential && found.uid() == 0) {
            let root = if credential { "0 or " } else { "" };
            return Err(format!(
                "{name}: belongs to user {}, {root}{user} was expected",
                found.uid()
            ));
        }
        if found.len() > LARGEST {
            return Err(format!(
                "{name}: is {} octets long, at most {LARGEST} were expected",
                found.len()
            ));
        }
        // The whole capacity at once: a vector that grows leaves copies behind.
        let mut octets = Zeroizing::new(Vec::with_capacity(
            usize::try_from(LARGEST + 1).unwrap_or(0),
        ));
        file.take(LARGEST)
            .read_to_end(&mut octets)
            .map_err(failed)?;
        Ok(octets)
    }

    /// A passphrase: the first line, without its end.
    pub fn passphrase(self) -> Result<Octets, String> {
        let name = self.name;
        let octets = self.read()?;
        let line = octets.split(|octet| *octet == b'\n').next();
        let line = line.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.len() > LONGEST_PASSPHRASE {
            return Err(format!(
                "{name}: a passphrase of 1 to {LONGEST_PASSPHRASE} octets was expected in its first line"
            ));
        }
        Ok(Zeroizing::new(line.to_vec()))
    }
}
