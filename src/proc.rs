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
use nix::sys::stat::makedev;

use crate::exit::Failure;

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

/// What a descriptor leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A socket.
    Socket {
        /// Its number in the tables of its protocol.
        inode: u64,
        /// As the kernel calls it: `UNIX-STREAM`, `UNIX`, `TCP`, `TCPv6`, `UDP`; empty if it does not tell.
        protocol: String,
    },
    /// A pipe.
    Pipe {
        /// Whether this is the end that is read.
        read_end: bool,
    },
    /// Something of the kernel's without a name: its kind, such as `signalfd`.
    Anonymous(String),
    /// A regular file.
    File,
    /// A device, a folder.
    Other,
}

/// An open descriptor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What it leads to, as the kernel writes it: a path, `socket:[…]`, `pipe:[…]`.
    pub to: String,
    /// The file.
    pub file: FileId,
    /// Its kind.
    pub kind: Kind,
}

impl Descriptor {
    fn read(thread: &Path, number: u32) -> Read<Self> {
        let path = thread.join(format!("fd/{number}"));
        let to = fs::read_link(&path).map_err(unread(&path))?;
        let to = to.to_string_lossy().into_owned();
        let found = fs::metadata(&path).map_err(unread(&path))?;
        let kind = if let Some(inode) = numbered(&to, "socket:[") {
            let mut name = [0_u8; 64];
            let length =
                rustix::fs::getxattr(&path, "system.sockprotoname", &mut name[..]).unwrap_or(0);
            let protocol = String::from_utf8_lossy(name.get(..length).unwrap_or_default());
            Kind::Socket {
                inode,
                protocol: protocol.trim_end_matches('\0').to_owned(),
            }
        } else if numbered(&to, "pipe:[").is_some() {
            let path = thread.join(format!("fdinfo/{number}"));
            let about = text(&path)?;
            let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
            let flags = flags.ok_or_else(|| malformed(&path, "a line \"flags\""))?;
            Kind::Pipe {
                read_end: flags & libc::O_ACCMODE == libc::O_RDONLY,
            }
        } else if let Some(kind) = to.strip_prefix("anon_inode:") {
            Kind::Anonymous(kind.trim_matches(['[', ']']).to_owned())
        } else if found.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        Ok(Self {
            number,
            to,
            file: FileId::from(&found),
            kind,
        })
    }

    /// The number of a socket, where it is one.
    pub fn socket(&self) -> Option<u64> {
        numbered(&self.to, "socket:[")
    }
}

fn numbered(to: &str, prefix: &str) -> Option<u64> {
    to.strip_prefix(prefix)?.strip_suffix(']')?.parse().ok()
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
    /// SHA-256 of what runs, if coreutils' `sha256sum` is there to tell.
    pub sha256: Option<String>,
}

impl Executable {
    fn read(folder: &Path) -> Read<Self> {
        let link = folder.join("exe");
        let path = fs::read_link(&link).map_err(unread(&link))?;
        let found = fs::metadata(&link).map_err(unread(&link))?;
        let file = File::open(&link).map_err(unread(&link))?;
        Ok(Self {
            there: FileId::of(&below(folder, &path)).ok(),
            file: FileId::from(&found),
            owner: found.uid(),
            mode: found.mode(),
            sha256: sha256(file),
            path,
        })
    }
}

/// By another program, as the launcher links no crypto.
fn sha256(file: File) -> Option<String> {
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

/// A file mapped into memory.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The file.
    pub file: FileId,
    /// Its path.
    pub path: String,
}

/// The memory of a process.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Files that are mapped.
    pub mapped: Vec<Mapped>,
    /// KiB that are locked.
    pub locked: u32,
    /// KiB of address space.
    pub size: u32,
    /// Mappings that can be written to.
    pub writable: usize,
    /// Those of them that are not locked.
    pub unlocked: usize,
    /// Whether its cgroup (version 2), or one above, forbids swapping.
    pub swap_forbidden: bool,
}

impl Memory {
    fn read(folder: &Path) -> Read<Self> {
        let status = Status::read(folder)?;
        let path = folder.join("smaps");
        let text = text(&path)?;
        let (mut mapped, mut writable, mut unlocked) = (Vec::new(), 0, 0);
        let mut is_writable = false;
        for line in text.lines() {
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                let locked = flags.split_whitespace().any(|flag| flag == "lo");
                writable += usize::from(is_writable);
                unlocked += usize::from(is_writable && !locked);
            } else if let Some((permissions, file)) = mapping(line) {
                is_writable = permissions.contains('w');
                mapped.extend(file);
            }
        }
        Ok(Self {
            mapped,
            locked: status.number_of_kib("VmLck")?,
            size: status.number_of_kib("VmSize")?,
            writable,
            unlocked,
            swap_forbidden: swap_forbidden(folder),
        })
    }
}

impl Status {
    fn number_of_kib(&self, key: &str) -> Read<u32> {
        let text = self.line(key)?.trim_end_matches(" kB");
        text.parse()
            .map_err(|_| malformed(&self.path, &format!("kB after {key:?}")))
    }
}

/// The first line of a mapping: its permissions, and the file.
fn mapping(line: &str) -> Option<(&str, Option<Mapped>)> {
    let mut words = line.splitn(6, ' ');
    words.next().filter(|range| range.contains('-'))?;
    let permissions = words.next()?;
    let (_offset, device, inode) = (words.next()?, words.next()?, words.next()?);
    let (major, minor) = device.split_once(':')?;
    let major = u64::from_str_radix(major, 16).ok()?;
    let minor = u64::from_str_radix(minor, 16).ok()?;
    let inode = inode.parse().ok()?;
    let mapped = Mapped {
        file: FileId {
            device: makedev(major, minor),
            inode,
        },
        path: words.next().unwrap_or_default().trim().to_owned(),
    };
    Some((permissions, (inode != 0).then_some(mapped)))
}

/// `memory.swap.max` of the cgroup and those above it.
fn swap_forbidden(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::/")) else {
        return false;
    };
    let top = Path::new("/sys/fs/cgroup");
    top.join(own)
        .ancestors()
        .take_while(|cgroup| cgroup.starts_with(top))
        .any(|cgroup| {
            let most = fs::read_to_string(cgroup.join("memory.swap.max"));
            most.is_ok_and(|most| most.trim() == "0")
        })
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

/// A process that holds a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its descriptor.
    pub number: u32,
}

/// Who on this machine holds what of sockets and pipes.
#[derive(Debug, Default)]
pub struct Holders {
    held: Vec<(String, Holder)>,
    /// How many processes were looked at.
    pub looked_at: usize,
    /// Processes whose descriptors could not be read.
    pub unreadable: Vec<u32>,
}

impl Holders {
    /// Looks at the descriptors of every process for those that lead to one of these.
    pub fn read(wanted: &BTreeSet<&str>) -> Result<Self, Failure> {
        let mut holders = Self::default();
        for pid in if_there(processes())?.unwrap_or_default() {
            let folder = PathBuf::from(format!("/proc/{pid}/fd"));
            let open = match numbers(&folder) {
                Ok(open) => open,
                Err(Unread::Gone) => continue,
                Err(Unread::Failed(_)) => {
                    holders.unreadable.push(pid);
                    continue;
                }
            };
            holders.looked_at += 1;
            for number in open {
                let to = fs::read_link(folder.join(number.to_string())).unwrap_or_default();
                let to = to.to_string_lossy();
                if wanted.contains(&*to) {
                    holders.add(&to, Holder { pid, number });
                }
            }
        }
        Ok(holders)
    }

    /// One more.
    pub fn add(&mut self, to: &str, holder: Holder) {
        self.held.push((to.to_owned(), holder));
    }

    /// Who holds it.
    pub fn of(&self, to: &str) -> Vec<Holder> {
        let held = self.held.iter().filter(|(held, _)| held == to);
        held.map(|(_, holder)| *holder).collect()
    }
}

/// Ports of listening TCP sockets by socket, in the network namespace of a process.
pub fn listening(pid: u32) -> Result<Vec<(u64, u16)>, Failure> {
    let mut listening = Vec::new();
    for table in ["tcp", "tcp6"] {
        let path = PathBuf::from(format!("/proc/{pid}/net/{table}"));
        // A kernel without IPv6 has no tcp6.
        let text = if_there(text(&path))?.unwrap_or_default();
        listening.extend(text.lines().filter_map(listening_line));
    }
    Ok(listening)
}

fn listening_line(line: &str) -> Option<(u64, u16)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let port = u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok()?;
    let inode = words.get(9)?.parse().ok()?;
    (*words.get(3)? == "0A").then_some((inode, port))
}

/// Whether this machine swaps to anything.
pub fn swaps() -> Result<bool, Failure> {
    let text = if_there(text(Path::new("/proc/swaps")))?;
    // One line is the heading; without the file the kernel cannot swap.
    Ok(text.is_some_and(|text| text.lines().count() > 1))
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

    #[test]
    fn sockets_and_pipes_are_told_apart() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (reading, writing) = std::io::pipe().unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = Path::new("/proc/self");
        let kind = |fd: &dyn std::os::fd::AsRawFd| {
            let number = u32::try_from(fd.as_raw_fd()).unwrap();
            Descriptor::read(folder, number).unwrap().kind
        };
        assert!(
            matches!(kind(&one), Kind::Socket { protocol, .. } if protocol.starts_with("UNIX"))
        );
        assert_eq!(kind(&reading), Kind::Pipe { read_end: true });
        assert_eq!(kind(&writing), Kind::Pipe { read_end: false });
        let Kind::Socket { inode, protocol } = kind(&tcp) else {
            panic!("a socket was expected")
        };
        assert_eq!(protocol, "TCP");
        let port = tcp.local_addr().unwrap().port();
        assert!(
            listening(std::process::id())
                .unwrap()
                .contains(&(inode, port))
        );
    }

    #[test]
    fn mappings_name_their_files() {
        let line = "7f1c-7f1d r-xp 00002000 fe:00 131                        /usr/lib/a b.so";
        let (permissions, mapped) = mapping(line).unwrap();
        let mapped = mapped.unwrap();
        assert_eq!(permissions, "r-xp");
        assert_eq!(
            mapped.file,
            FileId {
                device: makedev(0xfe, 0),
                inode: 131
            }
        );
        assert_eq!(mapped.path, "/usr/lib/a b.so");
        assert!(
            mapping("7f1c-7f1d rw-p 00000000 00:00 0 ")
                .unwrap()
                .1
                .is_none()
        );
        assert!(mapping("Size:                  4 kB").is_none());
        assert!(mapping("VmFlags: rd mr mw me").is_none());
    }
}
