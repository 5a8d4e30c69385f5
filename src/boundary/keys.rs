//! The files of keys and passphrases: who may read them, and that nobody has one open.

use super::claim::Claim;
use super::facts::{Facts, KeyFound};

pub fn claims(facts: &Facts) -> Vec<Claim> {
    vec![files(facts), closed(facts)]
}

fn files(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "keys.files",
        "each key and passphrase is a regular file of the signer's user, closed to all others, in a folder that no other can write to; or a credential, root's alone, in a folder that is root's alone",
    );
    let signer = &facts.users.signer;
    for key in &facts.keys {
        let path = &key.path;
        let found = match &key.found {
            Ok(found) => found,
            Err(error) => {
                claim.wrong(format_args!("{path}: {error}"));
                continue;
            }
        };
        let KeyFound { owner, mode, .. } = *found;
        let (folder_owner, folder_mode) = (found.folder_owner, found.folder_mode);
        claim.must(found.regular, || format!("{path}: is not a regular file"));
        let (user, modes) = if key.credential {
            (0, &[0o400][..])
        } else {
            (signer.uid, &[0o400, 0o600][..])
        };
        claim.must(owner == user, || {
            format!("{path}: belongs to user {owner}, {user} was expected")
        });
        claim.must(modes.contains(&mode), || {
            let modes: Vec<_> = modes.iter().map(|mode| format!("{mode:04o}")).collect();
            format!(
                "{path}: mode {mode:04o}, {} was expected",
                modes.join(" or ")
            )
        });
        claim.saw(format_args!(
            "{path}: user {owner}, mode {mode:04o}; its folder: user {folder_owner}, mode {folder_mode:04o}"
        ));
        if key.credential {
            let closed = folder_owner == 0 && folder_mode & 0o077 == 0;
            claim.must(closed, || {
                format!("{path}: its folder belongs to user {folder_owner} and has mode {folder_mode:04o}, 0 and 0500 or 0700 were expected")
            });
            continue;
        }
        claim.must(folder_owner == 0 || folder_owner == signer.uid, || {
            format!(
                "{path}: its folder belongs to user {folder_owner}, root or {} was expected",
                signer.uid
            )
        });
        // Written to by a group only if that is the signer's or root's own.
        let group = found.folder_group;
        let by_group = folder_mode & 0o020 != 0 && group != signer.gid && group != 0;
        claim.must(folder_mode & 0o002 == 0 && !by_group, || {
            format!("{path}: others can write to its folder: group {group}, mode {folder_mode:04o}")
        });
    }
    claim
}

fn closed(facts: &Facts) -> Claim {
    let mut claim = Claim::new(
        "keys.closed",
        "no process has a key or passphrase open or mapped: each was read once, and closed",
    );
    let mut count = (0, 0);
    for process in facts.all() {
        count.0 += process.descriptors.len();
        count.1 += process.memory.mapped.len();
        for key in &facts.keys {
            let (who, path) = (process.who(), &key.path);
            let file = key.found.as_ref().ok().map(|found| found.file);
            for open in &process.descriptors {
                claim.must(Some(open.file) != file && open.to != *path, || {
                    format!("{who} has {path} open as descriptor {}", open.number)
                });
            }
            // By path as well: some file systems name another device here than they do for the file itself.
            for mapped in &process.memory.mapped {
                claim.must(Some(mapped.file) != file && mapped.path != *path, || {
                    format!("{who} has {path} mapped into its memory")
                });
            }
        }
    }
    let (keys, (open, mapped)) = (facts.keys.len(), count);
    claim.saw(format_args!(
        "none of {open} descriptors and {mapped} mapped files is one of {keys} files of keys and passphrases"
    ));
    claim
}
