//! The children's executables: opened and looked at by the launcher itself, never found by PATH.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::exit::{Failure, Reason};

/// Where the children are when they are not beside the launcher; fixed when it is built.
const LIBEXEC: &str = match option_env!("OCSP_SERVER_LIBEXEC") {
    Some(folder) => folder,
    None => "/usr/libexec/ocsp-server",
};

/// Where the executable of a child is looked for, in this order, by the launcher whose own executable this is.
pub fn candidates(launcher: &Path, name: &str) -> [PathBuf; 2] {
    let beside = launcher.parent().unwrap_or(Path::new("/")).join(name);
    [beside, Path::new(LIBEXEC).join(name)]
}

/// Opens the executable of a child. It must belong to root (or to whoever runs the launcher), and be writable by its
/// owner only.
pub fn open(name: &str) -> Result<OwnedFd, Failure> {
    let own = std::env::current_exe().map_err(Failure::environment("/proc/self/exe"))?;
    let candidates = candidates(&own, name);
    let Some((path, file)) = candidates
        .iter()
        .find_map(|path| File::open(path).ok().map(|file| (path.display(), file)))
    else {
        let [beside, libexec] = candidates.map(|path| path.display().to_string());
        return Err(Failure::new(
            Reason::Environment,
            format_args!("{name} is neither {beside} nor {libexec}"),
        ));
    };
    let found = file.metadata().map_err(Failure::environment(&path))?;
    let wrong = |what: String| {
        Err(Failure::new(
            Reason::Environment,
            format_args!("{path}: {what}"),
        ))
    };
    if !found.is_file() {
        return wrong("is not a regular file".to_owned());
    }
    if found.uid() != 0 && found.uid() != Uid::effective().as_raw() {
        return wrong(format!(
            "belongs to user {}, root was expected",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return wrong(format!(
            "mode {:04o} lets others write to it, 0755 was expected",
            found.mode() & 0o7777
        ));
    }
    Ok(file.into())
}
