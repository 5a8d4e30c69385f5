//! `README.md` says how many lines there are to read, which system calls are made and why each package is there: it is
//! compared with the tree.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const README: &str = include_str!("../README.md");

/// The cells of the table rows whose first cell is a name in backquotes.
fn rows(columns: usize) -> Vec<Vec<&'static str>> {
    README
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == columns)
        .collect()
}

/// Lines that are neither empty nor comments, up to the unit tests.
fn lines(file: &Path) -> usize {
    fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//"))
        .count()
}

#[test]
fn the_lines_to_read_are_as_many_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut said = BTreeSet::new();
    let mut all = 0;
    for row in rows(3) {
        let file = row[0].trim_matches('`');
        let counted = lines(&folder.join(file));
        assert_eq!(row[2], counted.to_string(), "lines of {file}");
        all += counted;
        said.insert(file.to_owned());
    }
    assert!(
        README.contains(&format!("| all | | {all} |\n")),
        "{all} in all"
    );
    let mut there = BTreeSet::new();
    for part in ["src", "child/src", "wire/src"] {
        for entry in fs::read_dir(folder.join(part)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            there.insert(format!("{part}/{name}"));
        }
    }
    assert_eq!(said, there);
}

#[test]
fn every_package_has_its_reason() {
    let name = |line: &str| line.split(' ').next().unwrap().to_owned();
    let listed: BTreeSet<_> = include_str!("../dependencies.txt")
        .lines()
        .map(name)
        .collect();
    let reasons = rows(2);
    let said: BTreeSet<_> = reasons
        .iter()
        .filter(|row| !row[1].is_empty())
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    assert_eq!(said, listed);
}

#[test]
fn the_system_calls_are_those_of_the_list() {
    let calls = include_str!("../system-calls.txt");
    assert!(README.contains(&format!("```text\n{calls}```\n")));
}
