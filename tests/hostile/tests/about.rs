//! Makes cargo build the programs of this package whenever the workspace is tested: the attacks of the root package's tests
//! start them.

use std::process::Command;

#[test]
fn the_programs_say_what_they_are_and_do_nothing_by_hand() {
    for program in [
        env!("CARGO_BIN_EXE_hostile-frontend"),
        env!("CARGO_BIN_EXE_hostile-signer"),
    ] {
        let said = Command::new(program).arg("--version").output().unwrap();
        assert!(!said.status.success());
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains("for tests only"), "{said}");
    }
}
