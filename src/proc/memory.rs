//! Memory: what is mapped, what is locked, and whether it can be swapped out.

use std::fs;
use std::path::Path;

use nix::sys::stat::makedev;

use super::{FileId, Read, Status, if_there, text};
use crate::exit::Failure;

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
    /// Of a process, whose folder of `/proc` this is.
    pub fn read(folder: &Path) -> Read<Self> {
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
