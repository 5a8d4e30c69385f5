//! The list of system calls of a child, tried: the same program that the child puts on itself is put on processes that
//! are there to die, one for each call.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use ocsp_child::calls::{Call, program};

use super::folder::Folder;

/// The last call that the list knows of.
const NEWEST: i64 = 462;

/// Compares `committed` (a file in the tree) with the list and with what the executable prints, then tries every call there is
/// that is not on the list, and `forbidden` arguments of those that are.
pub fn holds(
    calls: &[Call],
    committed: &str,
    executable: &str,
    forbidden: &[[i64; 4]],
    allowed: &[[i64; 4]],
) {
    let lines: String = calls.iter().map(|call| format!("{call}\n")).collect();
    assert_eq!(lines, committed, "the list in the tree is another one");
    let printed = Command::new(executable)
        .arg("--confinement")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), committed);
    let mut sorted: Vec<_> = calls.iter().map(|call| call.name).collect();
    sorted.sort_unstable();
    assert!(calls.iter().map(|call| call.name).eq(sorted), "in order");

    let folder = Folder::new();
    let source = folder.file("calls.c", include_str!("calls.c"));
    let tries = folder.path("calls");
    let built = Command::new("cc").args(["-o", &tries, &source]).status();
    assert!(built.expect("the package gcc").success());
    let program = program(calls).unwrap();
    let octets: Vec<u8> = program
        .iter()
        .flat_map(|step| {
            let [a, b] = step.code.to_ne_bytes();
            let [c, d, e, f] = step.k.to_ne_bytes();
            [a, b, step.jt, step.jf, c, d, e, f]
        })
        .collect();
    let file = folder.file("program", octets);

    let listed: BTreeSet<i64> = calls.iter().map(|call| call.number).collect();
    // Two that newer kernels answer with SIGILL or SIGSEGV before any filter: for probes of their own.
    let probes = [335, 336];
    let unlisted =
        (0..=NEWEST).filter(|number| !listed.contains(number) && !probes.contains(number));
    let newer = NEWEST + 1..NEWEST + 60;
    let other_convention = [0x4000_0000, 0x4000_0000 + 39, 0x4000_0000 + 520];
    let plain = |number| [number, 0, 0, 0];
    let mut cases: Vec<([i64; 4], &str)> = Vec::new();
    cases.extend(unlisted.map(|number| (plain(number), "killed")));
    cases.extend(newer.map(|number| (plain(number), "enosys")));
    cases.extend(other_convention.map(|number| (plain(number), "killed")));
    cases.extend(forbidden.iter().map(|case| (*case, "killed")));
    cases.extend(allowed.iter().map(|case| (*case, "returned")));

    let mut child = Command::new(&tries)
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input: String = cases
        .iter()
        .map(|([number, a, b, c], _)| format!("{number} {a} {b} {c}\n"))
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    // What comes back is shorter than a pipe holds.
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let outcomes = String::from_utf8(output.stdout).unwrap();
    assert_eq!(outcomes.lines().count(), cases.len());
    for (outcome, (case, expected)) in outcomes.lines().zip(&cases) {
        assert_eq!(outcome, *expected, "call {case:?}");
    }
    let killed = cases
        .iter()
        .filter(|(_, outcome)| *outcome == "killed")
        .count();
    println!("{} calls allowed, {killed} tries killed", calls.len());
}
