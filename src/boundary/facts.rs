//! What is read before anything is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ocsp_frontend_settings::{Secret, SourceKind};

use crate::config::{Config, Issuer, Users};
use crate::credential;
use crate::executable;
use crate::exit::{Failure, Reason};
use crate::generation::Role;
use crate::proc::{self, FileId, Holders, Kin, Kind, Process, if_there};
use crate::unix_diag::{self, Table};

/// Everything that the claims are about.
#[derive(Debug)]
pub struct Facts {
    /// Who the children must be.
    pub users: Users,
    /// The launcher.
    pub launcher: Process,
    /// Frontends, of every generation that lives.
    pub frontends: Vec<Process>,
    /// Signers likewise.
    pub signers: Vec<Process>,
    /// Every other process of the machine.
    pub others: Vec<Kin>,
    /// Unix sockets and their peers; or why the kernel does not tell.
    pub unix: Result<Table, String>,
    /// Who holds the sockets and pipes of the children.
    pub holders: Holders,
    /// Sockets and ports of TCP listeners.
    pub listening: Vec<(u64, u16)>,
    /// The configured key files and passphrase files.
    pub keys: Vec<KeyFile>,
    /// Where the frontend may have a file open: files and folders of the configured sources.
    pub sources: Vec<PathBuf>,
    /// What the launcher would start as a frontend.
    pub frontend_executable: Option<PathBuf>,
    /// What it would start as a signer.
    pub signer_executable: Option<PathBuf>,
    /// SHA-256 of executables.
    pub digests: Digests,
    /// Whether the machine swaps.
    pub swaps: bool,
    /// What the executable of a signer says of this kernel's Landlock, having let it take hold of itself: a sentence that
    /// begins with `Landlock ABI` and the number, or why not.
    pub landlock: Result<String, String>,
}

/// Asks the executable that a signer runs.
fn landlock(signers: &[Process]) -> Result<String, String> {
    let signer = signers.first().ok_or("no signer runs")?;
    let said = Command::new(format!("/proc/{}/exe", signer.kin.pid))
        .arg("--landlock")
        .env_clear()
        .output()
        .map_err(|error| format!("{} --landlock: {error}", signer.who()))?;
    let line = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    if said.status.success() {
        Ok(line(&said.stdout))
    } else {
        Err(line(&said.stderr))
    }
}

/// SHA-256 of executables that run, and so cannot be written to.
pub type Digests = BTreeMap<FileId, String>;

/// A file with a key or its passphrase, as the signer sees it.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// Where it is; of a credential, in the launcher's folder of these.
    pub path: String,
    /// Whether it is a credential, which only root can open.
    pub credential: bool,
    /// What is there; or the error.
    pub found: Result<KeyFound, String>,
}

/// What is at the path of a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyFound {
    /// Which file.
    pub file: FileId,
    /// Whether it is a regular one.
    pub regular: bool,
    /// Its owner.
    pub owner: u32,
    /// Its mode.
    pub mode: u32,
    /// Owner of its folder.
    pub folder_owner: u32,
    /// Group of its folder.
    pub folder_group: u32,
    /// Mode of its folder.
    pub folder_mode: u32,
}

impl Facts {
    /// Reads everything, of the launcher with this id or of the one that runs; but for digests that are known already.
    pub fn read(
        config: &Config,
        launcher: Option<u32>,
        mut digests: Digests,
    ) -> Result<Self, Failure> {
        let all = Kin::all()?;
        let pid = find(&all, launcher)?;
        let ended = || {
            Failure::new(
                Reason::Environment,
                format_args!("the launcher {pid} has ended"),
            )
        };
        let launcher = if_there(Process::read(pid))?.ok_or_else(ended)?;
        let children = |role: Role| {
            let children = all.iter().filter(|kin| is_child(kin, pid, role));
            let mut read = Vec::new();
            for child in children {
                read.extend(if_there(Process::read(child.pid))?);
            }
            Ok::<_, Failure>(read)
        };
        let frontends = children(Role::Frontend)?;
        let signers = children(Role::Signer)?;
        for process in [&launcher].into_iter().chain(&frontends).chain(&signers) {
            let file = process.executable.file;
            if !digests.contains_key(&file) {
                digests.extend(proc::sha256(process.kin.pid).map(|digest| (file, digest)));
            }
        }
        let unix = unix_diag::table(pid);
        let wanted: BTreeSet<_> = frontends
            .iter()
            .chain(&signers)
            .flat_map(|child| &child.descriptors)
            .filter(|open| open.number < 3 || matches!(open.kind, Kind::Pipe { .. }))
            .flat_map(|descriptor| with_peer(&descriptor.to, descriptor.socket(), &unix))
            .collect();
        let holders = Holders::read(&wanted.iter().map(String::as_str).collect())?;
        // As the signer sees them; without one, as its launcher does.
        let eyes = signers.first().unwrap_or(&launcher).kin.pid;
        let eyes = PathBuf::from(format!("/proc/{eyes}"));
        let keys: BTreeSet<_> = config.issuers.iter().flat_map(Issuer::secrets).collect();
        let credentials = credentials(&launcher);
        let own = std::process::id();
        let known: BTreeSet<_> = [&launcher]
            .into_iter()
            .chain(&frontends)
            .chain(&signers)
            .map(|process| process.kin.pid)
            .chain([own])
            .collect();
        Ok(Self {
            users: config.users.clone(),
            others: all
                .into_iter()
                .filter(|kin| !known.contains(&kin.pid))
                .collect(),
            // In a network namespace of its own, the launcher has sockets of systemd's.
            listening: [proc::listening(pid)?, proc::listening(1)?].concat(),
            keys: keys
                .into_iter()
                .map(|secret| key_file(&eyes, secret, credentials.as_deref()))
                .collect(),
            sources: config
                .sources
                .iter()
                .flat_map(|source| files(&source.kind))
                .collect(),
            frontend_executable: executable(&launcher, Role::Frontend),
            signer_executable: executable(&launcher, Role::Signer),
            digests,
            swaps: proc::swaps()?,
            landlock: landlock(&signers),
            launcher,
            frontends,
            signers,
            unix,
            holders,
        })
    }

    /// The children of a role.
    pub fn of(&self, role: Role) -> &[Process] {
        match role {
            Role::Frontend => &self.frontends,
            Role::Signer => &self.signers,
        }
    }

    /// All children.
    pub fn children(&self) -> impl Iterator<Item = &Process> {
        self.frontends.iter().chain(&self.signers)
    }

    /// All three kinds.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        [&self.launcher].into_iter().chain(self.children())
    }

    /// The name of a process of this machine.
    pub fn name_of(&self, pid: u32) -> String {
        let kin = self.all().map(|process| &process.kin).chain(&self.others);
        let mut kin = kin.filter(|kin| kin.pid == pid);
        kin.next().map_or_else(
            || format!("process {pid}"),
            |kin| format!("{}[{pid}]", kin.name),
        )
    }
}

fn is_child(kin: &Kin, launcher: u32, role: Role) -> bool {
    kin.parent == launcher && kin.name == role.name() && kin.state != 'Z'
}

fn is_named_as_child(kin: &Kin) -> bool {
    [Role::Frontend, Role::Signer]
        .iter()
        .any(|role| kin.name == role.name())
}

/// Launchers: whoever has a child of either name, and is none itself.
fn find(all: &[Kin], wanted: Option<u32>) -> Result<u32, Failure> {
    let parents: BTreeSet<_> = all
        .iter()
        .filter(|kin| is_named_as_child(kin) && kin.state != 'Z')
        .map(|kin| kin.parent)
        .collect();
    let launchers: Vec<_> = all
        .iter()
        .filter(|kin| parents.contains(&kin.pid) && !is_named_as_child(kin))
        .collect();
    let environment = |sentence: String| Err(Failure::new(Reason::Environment, sentence));
    match (wanted, &*launchers) {
        (Some(wanted), launchers) if launchers.iter().any(|kin| kin.pid == wanted) => Ok(wanted),
        (Some(wanted), _) => environment(format!(
            "process {wanted} is no launcher: it has no child named ocsp-frontend or ocsp-signer"
        )),
        (None, [launcher]) => Ok(launcher.pid),
        (None, []) => environment(
            "no launcher runs: no process named ocsp-frontend or ocsp-signer was found".to_owned(),
        ),
        (None, launchers) => {
            let found: Vec<_> = launchers
                .iter()
                .map(|kin| format!("{} ({})", kin.pid, kin.name))
                .collect();
            environment(format!(
                "{} launchers run, {}: say which by --pid",
                found.len(),
                found.join(", ")
            ))
        }
    }
}

/// A descriptor's target, and that of the socket it is connected with.
fn with_peer(to: &str, socket: Option<u64>, unix: &Result<Table, String>) -> Vec<String> {
    let peer = unix
        .as_ref()
        .ok()
        .zip(socket)
        .and_then(|(table, socket)| table.get(&socket)?.peer);
    let peer = peer.map(|peer| format!("socket:[{peer}]"));
    [to.to_owned()].into_iter().chain(peer).collect()
}

/// The first place where the launcher finds the executable of a child.
fn executable(launcher: &Process, role: Role) -> Option<PathBuf> {
    let folder = PathBuf::from(format!("/proc/{}", launcher.kin.pid));
    executable::candidates(&launcher.executable.path, role.name())
        .into_iter()
        .find(|path| proc::below(&folder, path).exists())
}

/// The folder of credentials, which a launcher was told in its environment.
fn credentials(launcher: &Process) -> Option<String> {
    let mut variables = launcher.environment.split(|octet| *octet == 0);
    let folder = variables.find_map(|variable| {
        let value = variable.strip_prefix(credential::FOLDER.as_bytes())?;
        value.strip_prefix(b"=")
    })?;
    Some(String::from_utf8_lossy(folder).into_owned())
}

fn key_file(eyes: &Path, secret: &Secret, credentials: Option<&str>) -> KeyFile {
    let path = match (secret, credentials) {
        (Secret::File(path), _) => path.clone(),
        (Secret::Credential(name), Some(folder)) => format!("{folder}/{name}"),
        (Secret::Credential(_), None) => {
            return KeyFile {
                path: secret.to_string(),
                credential: true,
                found: Err(format!(
                    "the launcher was started without {}",
                    credential::FOLDER
                )),
            };
        }
    };
    let there = proc::below(eyes, Path::new(&path));
    let found = fs::metadata(&there).and_then(|found| {
        let folder = fs::metadata(there.parent().unwrap_or(eyes))?;
        Ok(KeyFound {
            file: FileId::from(&found),
            regular: found.is_file(),
            owner: found.uid(),
            mode: found.mode() & 0o7777,
            folder_owner: folder.uid(),
            folder_group: folder.gid(),
            folder_mode: folder.mode() & 0o7777,
        })
    });
    KeyFile {
        path,
        credential: secret.credential().is_some(),
        found: found.map_err(|error| error.to_string()),
    }
}

fn files(source: &SourceKind) -> Vec<PathBuf> {
    match source {
        SourceKind::Index { file, certificates } => {
            let paths = [Some(file), certificates.as_ref()].into_iter().flatten();
            paths.map(PathBuf::from).collect()
        }
        SourceKind::Mysql(_) => Vec::new(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::User;

    /// Facts about this very process, as if it were all three: for tests that change what they are about.
    pub fn sample() -> Facts {
        let pid = std::process::id();
        let process = || Process::read(pid).unwrap();
        let user = |uid: u32| User {
            name: uid.to_string(),
            uid,
            gid: uid,
        };
        Facts {
            users: Users {
                frontend: user(61_801),
                signer: user(61_802),
            },
            launcher: process(),
            frontends: vec![process()],
            signers: vec![process()],
            others: Vec::new(),
            unix: Ok(Table::new()),
            holders: Holders::default(),
            listening: Vec::new(),
            keys: Vec::new(),
            sources: Vec::new(),
            frontend_executable: None,
            signer_executable: None,
            digests: Digests::new(),
            swaps: false,
            landlock: Err("no signer runs".to_owned()),
        }
    }

    fn kin(pid: u32, name: &str, parent: u32) -> Kin {
        Kin {
            pid,
            name: name.to_owned(),
            state: 'S',
            parent,
            group: pid,
            users: vec![0; 4],
        }
    }

    #[test]
    fn launchers_are_found_by_their_children() {
        let mut all = vec![
            kin(1, "systemd", 0),
            kin(10, "ocsp-server", 1),
            kin(11, "ocsp-signer", 10),
            kin(12, "ocsp-frontend", 10),
            // A child of a frontend is no reason to take the frontend for a launcher.
            kin(13, "ocsp-frontend", 12),
        ];
        assert_eq!(find(&all, None).unwrap(), 10);
        assert_eq!(find(&all, Some(10)).unwrap(), 10);
        assert!(find(&all, Some(12)).is_err());
        assert!(find(&[], None).is_err());
        all.push(kin(20, "ocsp-server", 1));
        assert_eq!(find(&all, None).unwrap(), 10);
        all.push(kin(21, "ocsp-signer", 20));
        let said = find(&all, None).unwrap_err();
        assert_eq!(said.reason, Reason::Environment);
        let expected = "2 launchers run, 10 (ocsp-server), 20 (ocsp-server): say which by --pid";
        assert_eq!(said.sentence, expected);
        assert_eq!(find(&all, Some(20)).unwrap(), 20);
    }
}
