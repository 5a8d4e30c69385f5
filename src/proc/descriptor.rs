//! Descriptors: what they lead to, and who else holds it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::libc;

use super::{FileId, Read, Unread, if_there, malformed, numbers, processes, text, unread};
use crate::exit::Failure;

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
    /// Of a thread, whose folder of `/proc` this is.
    pub fn read(thread: &Path, number: u32) -> Read<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
