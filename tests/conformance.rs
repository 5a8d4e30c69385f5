//! `tests/conformance.md` says what the standards ask and whether a test holds it: compared with the comments of the tests.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("conformance.md");

/// The numbers in the comments of all files below a folder, and where they stand.
fn numbers(folder: &Path, found: &mut BTreeMap<u32, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            numbers(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let comments: Vec<_> = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("//"))
                .map(|line| line.trim_start_matches(['/', '!']))
                .map(str::trim)
                .collect();
            for behind in comments.join(" ").split("conformance ").skip(1) {
                let Some((listed, _)) = behind.split_once(':') else {
                    continue;
                };
                for number in listed
                    .split(',')
                    .filter_map(|number| number.trim().parse().ok())
                {
                    let place = path.display().to_string();
                    found.entry(number).or_default().insert(place);
                }
            }
        }
    }
}

#[test]
fn each_row_is_held_by_a_test_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for folder in [
        "tests",
        "frontend/tests",
        "frontend/src",
        "signer/tests",
        "signer/src",
    ] {
        numbers(&root.join(folder), &mut found);
    }
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbered: Vec<u32> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbered, (1..=90).collect::<Vec<_>>());
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let number: u32 = row[0].parse().unwrap();
        let tests = found.get(&number);
        if row[3] == "by tests" {
            assert!(tests.is_some(), "no test names {number}: {}", row[1]);
        } else {
            assert!(!row[3].is_empty(), "{number} gives no reason");
            assert!(tests.is_none(), "{number} is held after all: {tests:?}");
        }
    }
    for number in found.keys() {
        assert!(numbered.contains(number), "{number} is no row");
    }
}
