//! Processes as `/proc` shows them to root: the facts that `boundary` judges. It reads, and changes nothing. A process
//! may end while it is read; that is no failure. What cannot be read for any other reason is one: nothing is judged by
//! halves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;

use crate::exit::Failure;

mod descriptor;
mod memory;

pub use descriptor::{Descriptor, Holder, Holders, Kind, listening};
pub use memory::{Mapped, Memory, swaps};

/// Why something of a process is not known.
#[derive(Debug)]
pub enum Unread {
    /// It has ended.
    Gone,
    /// It is there, and cannot be read.
    Failed(Failure),
}

/// Something of a process.
pub type Read<T> = Result<T, Unread>;

fn unread(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Unread {
    move |error| {
        let gone = error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH);
        if gone {
            Unread::Gone
        } else {
            Unread::Failed(Failure::environment(path.as_ref().display())(error))
        }
    }
}

fn malformed(path: &Path, what: &str) -> Unread {
    let error = format_args!("{what} was expected").to_string();
    Unread::Failed(Failure::environment(path.display())(error))
}

/// What is left of `read` when it is gone: nothing.
pub fn if_there<T>(read: Read<T>) -> Result<Option<T>, Failure> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Unread::Gone) => Ok(None),
        Err(Unread::Failed(failure)) => Err(failure),
    }
}

fn text(path: &Path) -> Read<String> {
    let octets = fs::read(path).map_err(unread(path))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// Entries of a folder of `/proc` that are numbers: processes, threads, descriptors.
fn numbers(folder: &Path) -> Read<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread(folder))? {
        let entry = entry.map_err(unread(folder))?;
        if let Ok(number) = entry.file_name().to_string_lossy().parse() {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The processes of this machine.
pub fn processes() -> Read<Vec<u32>> {
    numbers(Path::new("/proc"))
}

/// What makes two names the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
}

impl FileId {
    /// Of the file at a path, links followed.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self::from(&found))
    }
}

impl From<&fs::Metadata> for FileId {
    fn from(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

/// The little that is asked about every process of the machine.
#[derive(Debug, Clone)]
pub struct Kin {
    /// Process id.
    pub pid: u32,
    /// Its name, `comm`.
    pub name: String,
    /// R, S, Z and so on.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Real, effective, saved and file system user of its first thread.
    pub users: Vec<u32>,
}

impl Kin {
    /// Of a process.
    pub fn read(pid: u32) -> Read<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let path = folder.join("stat");
        let stat = text(&path)?;
        let parsed = stat.rsplit_once(") ").and_then(|(before, behind)| {
            let mut fields = behind.split(' ');
            Some((
                before.split_once('(')?.1.to_owned(),
                fields.next()?.chars().next()?,
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
            ))
        });
        let (name, state, parent, group) =
            parsed.ok_or_else(|| malformed(&path, "name, state, parent and group"))?;
        let users = Status::read(&folder)?.numbers("Uid")?;
        Ok(Self {
            pid,
            name,
            state,
            parent,
            group,
            users,
        })
    }

    /// All that run.
    pub fn all() -> Result<Vec<Self>, Failure> {
        let mut all = Vec::new();
        for pid in if_there(processes())?.unwrap_or_default() {
            all.extend(if_there(Self::read(pid))?);
        }
        Ok(all)
    }
}

/// `status` of a process or thread.
struct Status {
    path: PathBuf,
    text: String,
}

impl Status {
    fn read(folder: &Path) -> Read<Self> {
        let path = folder.join("status");
        let text = text(&path)?;
        Ok(Self { path, text })
    }

    fn optional(&self, key: &str) -> Option<&str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value.trim())
    }

    fn line(&self, key: &str) -> Read<&str> {
        self.optional(key)
            .ok_or_else(|| malformed(&self.path, &format!("a line {key:?}")))
    }

    fn numbers(&self, key: &str) -> Read<Vec<u32>> {
        let words = self.line(key)?.split_whitespace();
        words
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| malformed(&self.path, &format!("numbers after {key:?}")))
    }

    fn number(&self, key: &str) -> Read<u32> {
        let numbers = self.numbers(key)?;
        numbers
            .first()
            .copied()
            .ok_or_else(|| malformed(&self.path, &format!("a number after {key:?}")))
    }

    fn number_of_kib(&self, key: &str) -> Read<u32> {
        let text = self.line(key)?.trim_end_matches(" kB");
        text.parse()
            .map_err(|_| malformed(&self.path, &format!("kB after {key:?}")))
    }

    fn mask(&self, key: &str) -> Read<u64> {
        u64::from_str_radix(self.line(key)?, 16)
            .map_err(|_| malformed(&self.path, &format!("a mask after {key:?}")))
    }
}

/// The five capability sets, as `status` calls them, in the order of [`Thread::capabilities`].
pub const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

/// A thread: what the kernel keeps for each of them.
#[derive(Debug, Clone)]
pub struct Thread {
    /// Its id.
    pub id: u32,
    /// Real, effective, saved and file system user.
    pub users: Vec<u32>,
    /// The groups likewise.
    pub groups: Vec<u32>,
    /// Supplementary groups.
    pub supplementary: Vec<u32>,
    /// Masks, in the order of [`SETS`].
    pub capabilities: [u64; 5],
    /// no_new_privs.
    pub no_new_privs: bool,
    /// 0 none, 1 strict, 2 filters.
    pub seccomp: u32,
    /// How many filters; not told by kernels before 5.9.
    pub filters: Option<u32>,
}

impl Thread {
    fn read(folder: &Path, id: u32) -> Read<Self> {
        let status = Status::read(folder)?;
        let mut capabilities = [0; 5];
        for (mask, set) in capabilities.iter_mut().zip(SETS) {
            *mask = status.mask(set)?;
        }
        Ok(Self {
            id,
            users: status.numbers("Uid")?,
            groups: status.numbers("Gid")?,
            supplementary: status.numbers("Groups")?,
            capabilities,
            no_new_privs: status.number("NoNewPrivs")? == 1,
            seccomp: status.number("Seccomp")?,
            filters: status
                .optional("Seccomp_filters")
                .and_then(|text| text.parse().ok()),
        })
    }
}

/// The executable of a process.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Where it was when it was started; ` (deleted)` behind it if that name is gone.
    pub path: PathBuf,
    /// What runs.
    pub file: FileId,
    /// What is at that path now.
    pub there: Option<FileId>,
    /// Its owner.
    pub owner: u32,
    /// Its mode.
    pub mode: u32,
}

impl Executable {
    fn read(folder: &Path) -> Read<Self> {
        let link = folder.join("exe");
        let path = fs::read_link(&link).map_err(unread(&link))?;
        let found = fs::metadata(&link).map_err(unread(&link))?;
        Ok(Self {
            there: FileId::of(&below(folder, &path)).ok(),
            file: FileId::from(&found),
            owner: found.uid(),
            mode: found.mode(),
            path,
        })
    }
}

/// SHA-256 of what a process executes, by coreutils' `sha256sum` if it is there: the launcher links no crypto.
pub fn sha256(pid: u32) -> Option<String> {
    let file = File::open(format!("/proc/{pid}/exe")).ok()?;
    let mut command = Command::new("/usr/bin/sha256sum");
    command.env_clear().stdin(file).stderr(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let digest = text.split_whitespace().next()?;
    (digest.len() == 64).then(|| digest.to_owned())
}

/// A path as the process whose folder of `/proc` this is sees it.
pub fn below(folder: &Path, path: &Path) -> PathBuf {
    folder
        .join("root")
        .join(path.strip_prefix("/").unwrap_or(path))
}

/// A limit: soft and hard, as `/proc` writes them.
pub type Limit = (String, String);

/// The limits that matter here.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of a core dump.
    pub core: Limit,
    /// Octets of a file it writes.
    pub file_size: Limit,
    /// Processes and threads of its user.
    pub processes: Limit,
    /// Descriptors.
    pub descriptors: Limit,
}

impl Limits {
    fn read(folder: &Path) -> Read<Self> {
        let path = folder.join("limits");
        let text = text(&path)?;
        let limit = |name: &str| {
            let mut words = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .ok_or_else(|| malformed(&path, &format!("a line {name:?}")))?
                .split_whitespace()
                .map(str::to_owned);
            let pair = words.next().zip(words.next());
            pair.ok_or_else(|| malformed(&path, &format!("two numbers after {name:?}")))
        };
        Ok(Self {
            core: limit("Max core file size")?,
            file_size: limit("Max file size")?,
            processes: limit("Max processes")?,
            descriptors: limit("Max open files")?,
        })
    }
}

/// One of the three processes, as far as the claims need it.
#[derive(Debug, Clone)]
pub struct Process {
    /// The little that is asked about everybody.
    pub kin: Kin,
    /// Its threads.
    pub threads: Vec<Thread>,
    /// Its descriptors: those of all threads, which usually share one table.
    pub descriptors: Vec<Descriptor>,
    /// Its executable.
    pub executable: Executable,
    /// Its environment.
    pub environment: Vec<u8>,
    /// Its folder.
    pub folder: PathBuf,
    /// Its limits.
    pub limits: Limits,
    /// Its memory.
    pub memory: Memory,
    /// Who owns its files in `/proc`: root, if it is not dumpable.
    pub owner: u32,
    /// Its user namespace.
    pub user_namespace: FileId,
}

impl Process {
    /// All that is asked about a process.
    pub fn read(pid: u32) -> Read<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let mut threads = Vec::new();
        let mut descriptors = BTreeSet::new();
        for id in numbers(&folder.join("task"))? {
            let folder = folder.join(format!("task/{id}"));
            match Thread::read(&folder, id) {
                Ok(thread) => threads.push(thread),
                Err(Unread::Gone) => continue,
                Err(failed) => return Err(failed),
            }
            let open = match numbers(&folder.join("fd")) {
                Ok(open) => open,
                Err(Unread::Gone) => continue,
                Err(failed) => return Err(failed),
            };
            for number in open {
                match Descriptor::read(&folder, number) {
                    Ok(descriptor) => drop(descriptors.insert(descriptor)),
                    Err(Unread::Gone) => {}
                    Err(failed) => return Err(failed),
                }
            }
        }
        if threads.is_empty() {
            return Err(Unread::Gone);
        }
        let path = |name: &str| folder.join(name);
        Ok(Self {
            kin: Kin::read(pid)?,
            threads,
            descriptors: descriptors.into_iter().collect(),
            executable: Executable::read(&folder)?,
            environment: fs::read(path("environ")).map_err(unread(path("environ")))?,
            folder: fs::read_link(path("cwd")).map_err(unread(path("cwd")))?,
            limits: Limits::read(&folder)?,
            memory: Memory::read(&folder)?,
            owner: fs::metadata(path("environ"))
                .map_err(unread(path("environ")))?
                .uid(),
            user_namespace: FileId::of(&path("ns/user")).map_err(unread(path("ns/user")))?,
        })
    }

    /// Its name and id.
    pub fn who(&self) -> String {
        format!("{}[{}]", self.kin.name, self.kin.pid)
    }

    /// What a descriptor leads to. Of several threads with tables of their own, any one's.
    pub fn descriptor(&self, number: u32) -> Option<&Descriptor> {
        self.descriptors.iter().find(|found| found.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        let kin = Kin::read(pid).unwrap();
        assert_eq!(kin.parent, std::os::unix::process::parent_id());
        assert_eq!(kin.users.len(), 4);
        let process = Process::read(pid).unwrap();
        assert_eq!(process.executable.there, Some(process.executable.file));
        let files = process.memory.mapped.iter();
        assert!(
            files
                .clone()
                .any(|mapped| mapped.file.inode == process.executable.file.inode)
        );
        assert!(process.descriptor(0).is_some());
        assert!(process.memory.writable > 0);
    }
}
