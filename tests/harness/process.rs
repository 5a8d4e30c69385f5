//! Processes as `/proc` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Whether it runs: it exists, and is not only waiting to be reaped.
pub fn alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// Whether nothing is left of it.
pub fn gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// R, S, T, Z and so on.
pub fn state(pid: u32) -> Option<char> {
    stat(pid).map(|(_, state, _)| state)
}

/// Name, state and parent.
fn stat(pid: u32) -> Option<(String, char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, behind) = text.rsplit_once(") ")?;
    let mut fields = behind.split(' ');
    Some((
        before.split_once('(')?.1.to_owned(),
        fields.next()?.chars().next()?,
        fields.next()?.parse().ok()?,
    ))
}

/// The children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, _, ppid)| ppid == parent))
        .collect()
}

/// `/proc/PID/status`, or that of one thread, by key.
pub fn status(path: impl AsRef<Path>) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path.as_ref().join("status")).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

/// The folders of a process's threads.
pub fn threads(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The descriptors of a process, and what they are open on.
pub fn descriptors(pid: u32) -> BTreeMap<u32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            // Closed meanwhile, perhaps.
            let to = fs::read_link(entry.path()).ok()?;
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                to.to_str()?.to_owned(),
            ))
        })
        .collect()
}

/// Real, effective, saved and file system id, all the same, as `/proc/PID/status` writes them.
pub fn four_times(id: u32) -> String {
    vec![id.to_string(); 4].join("\t")
}
