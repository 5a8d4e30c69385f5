//! What the processes execute.

use std::path::Path;

use super::claim::Claim;
use super::facts::Facts;
use crate::proc::Process;

pub fn claims(facts: &Facts) -> Vec<Claim> {
    let mut frontend = intact("frontend.executable", facts, &facts.frontends);
    for process in &facts.frontends {
        is_what_would_start(&mut frontend, facts.frontend_executable.as_deref(), process);
    }
    let mut signer = intact("signer.executable", facts, &facts.signers);
    for process in &facts.signers {
        is_what_would_start(&mut signer, facts.signer_executable.as_deref(), process);
    }
    vec![
        intact("launcher.executable", facts, [&facts.launcher]),
        frontend,
        signer,
    ]
}

fn intact<'a>(
    id: &'static str,
    facts: &Facts,
    all: impl IntoIterator<Item = &'a Process>,
) -> Claim {
    let mut claim = Claim::new(
        id,
        "it executes the file that is in its place, which belongs to root and which nobody else can write to",
    );
    let mut any = false;
    for process in all {
        any = true;
        let (who, found) = (process.who(), &process.executable);
        let path = found.path.display();
        claim.must(found.there == Some(found.file), || {
            format!("{who}: {path} was removed or replaced since it was started")
        });
        claim.must(found.owner == 0, || {
            format!(
                "{who}: {path} belongs to user {}, root was expected",
                found.owner
            )
        });
        let mode = found.mode & 0o7777;
        claim.must(mode & 0o022 == 0, || {
            format!("{who}: {path}: mode {mode:04o} lets others write to it, 0755 was expected")
        });
        let sha256 = facts.digests.get(&found.file).map(String::as_str);
        let sha256 = sha256.unwrap_or("n/a (/usr/bin/sha256sum is missing)");
        claim.saw(format_args!(
            "{who}: {path}, mode {mode:04o}, SHA-256 {sha256}"
        ));
    }
    claim.must(any, || {
        "no such process runs under this launcher".to_owned()
    });
    claim
}

/// Not only one of the places where the launcher looks, but the first where there is one.
fn is_what_would_start(claim: &mut Claim, expected: Option<&Path>, child: &Process) {
    let found = &child.executable.path;
    claim.must(Some(found.as_path()) == expected, || {
        let expected = expected.map_or("none".to_owned(), |path| path.display().to_string());
        let (who, found) = (child.who(), found.display());
        format!("{who}: {found} is executed, {expected} is what the launcher would start")
    });
}
