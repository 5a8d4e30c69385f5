//! What runs next to the key is a list in the tree, `signer/dependencies.txt`, and changes only together with it. Where
//! a change was intended:
//!
//! ```text
//! OCSP_SIGNER_BLESS=1 cargo test -p ocsp-signer --test dependencies && git diff signer/dependencies.txt
//! ```

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Every package that is linked into the signer or runs while it is built, with its version. Packages of this workspace
/// stand without theirs, which is one for all of them.
fn linked() -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "ocsp-signer",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    String::from_utf8(tree.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            let own = rest.contains("(/");
            let version = rest.split(' ').next().unwrap();
            if own {
                name.to_owned()
            } else {
                format!("{name} {version}")
            }
        })
        .collect()
}

#[test]
fn the_list_of_what_runs_next_to_the_key_is_complete() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dependencies.txt");
    let linked = linked();
    if std::env::var_os("OCSP_SIGNER_BLESS").is_some_and(|bless| bless == "1") {
        let lines = linked.iter().map(|line| format!("{line}\n"));
        std::fs::write(&file, lines.collect::<String>()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    let committed = committed
        .lines()
        .map(str::to_owned)
        .collect::<BTreeSet<_>>();
    let came = linked.difference(&committed).collect::<Vec<_>>();
    let went = committed.difference(&linked).collect::<Vec<_>>();
    assert!(
        came.is_empty() && went.is_empty(),
        "what runs next to the key has changed: came {came:?}, went {went:?}. Read why, and then accept it with\n\
         OCSP_SIGNER_BLESS=1 cargo test -p ocsp-signer --test dependencies"
    );
}

#[test]
fn what_the_network_needs_does_not_run_next_to_the_key() {
    let linked = linked();
    for barred in [
        "clap",
        "hyper",
        "log",
        "mysql_async",
        "serde",
        "syslog",
        "tokio",
        "toml",
    ] {
        let found = linked
            .iter()
            .find(|line| line.split(' ').next() == Some(barred));
        assert_eq!(found, None);
    }
    assert!(linked.contains("ocsp-wire"), "{linked:?}");
}
