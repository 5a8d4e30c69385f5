//! `ocsp-server check` against a live database: one sentence for each thing that is not as it must be.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod harness;

use harness::*;

const PLAINTEXT: &str = "insecure-plaintext = true";

/// A CA, its table, and the configuration of both.
struct Plan {
    draft: Draft,
    database: Database,
}

impl Plan {
    fn new() -> Self {
        let (draft, database) = (Draft::new(), Database::new());
        database.issued(&draft.ca, "good");
        Self { draft, database }
    }

    fn checks(&self, source: &str) -> (i32, String) {
        let config = head("") + source + &self.draft.ca.issuer("");
        let (code, said, errors) = self.draft.command(&["check"], &config);
        (code, said + &errors)
    }

    fn source(&self) -> String {
        self.database.source("ca", "")
    }

    /// The check fails, and says these in one line.
    #[track_caller]
    fn fails(&self, source: &str, expected: &[&str]) {
        let (code, said) = self.checks(source);
        assert_eq!(code, 1, "{said}");
        let failed = said
            .lines()
            .filter(|line| line.starts_with("FAILED  ocsp-frontend: source \"ca\": "));
        let failed: Vec<_> = failed.collect();
        assert_eq!(failed.len(), 1, "{said}");
        contains(failed[0], expected);
        lacks(&said, &[PASSWORD]);
    }
}

#[test]
fn a_database_as_it_should_be_checks_well() {
    let plan = Plan::new();
    for source in [plan.source(), plan.database.source_by_tcp("ca", "")] {
        let (code, said) = plan.checks(&source);
        assert_eq!(code, 0, "{said}");
        contains(
            &said,
            &[
                "ok      ocsp-frontend: source \"ca\": ",
                "the table \"list_certs\" can be read by \"certs_",
            ],
        );
        lacks(&said, &["WARNING", "FAILED"]);
    }
}

#[test]
fn what_a_database_lacks_is_said_in_one_sentence() {
    let plan = Plan::new();
    let database = &plan.database;
    let (name, socket) = (&database.name, database.server.socket());

    database.password_file("wrong");
    plan.fails(&plan.source(), &["Access denied for user"]);
    database.password_file(PASSWORD);

    // An account that may see the table it asks for, and does not find it.
    let all = |what: &str| {
        database.sql(&format!(
            "{what} ON {name}.* {} {name}@localhost",
            if what.starts_with("GRANT") {
                "TO"
            } else {
                "FROM"
            }
        ))
    };
    all("GRANT SELECT");
    plan.fails(
        &database.source("ca", "table = \"nothing\""),
        &["nothing' doesn't exist"],
    );
    all("REVOKE SELECT");
    plan.fails(
        &database.source("ca", "column-reason = \"why\""),
        &["why", "lumn"],
    );
    database.sql("CREATE TABLE secret AS SELECT * FROM list_certs");
    plan.fails(
        &database.source("ca", "table = \"secret\""),
        &["SELECT command denied"],
    );
    plan.fails(
        &database.source("ca", "column-time = \"cert\""),
        &[
            "the column \"cert\" of \"list_certs\" is ",
            "a DATETIME was expected",
        ],
    );
    let nowhere = format!("mysql://{name}@localhost/nowhere?socket={socket}");
    plan.fails(
        &database.source_at("ca", &nowhere, ""),
        &["Access denied for user", "nowhere"],
    );
    let gone = format!("mysql://{name}@localhost/{name}?socket=/nowhere/sock");
    plan.fails(
        &database.source_at("ca", &gone, ""),
        &["/nowhere/sock: ", "No such file"],
    );
    // A port that nobody has.
    let closed = format!("mysql://{name}@127.0.0.1:1/{name}");
    plan.fails(
        &database.source_at("ca", &closed, PLAINTEXT),
        &["127.0.0.1:1: ", "refused"],
    );
}

#[test]
fn a_host_of_several_that_fails_fails_the_check() {
    let plan = Plan::new();
    let (name, port) = (&plan.database.name, plan.database.server.port);
    let url = format!("mysql://{name}@127.0.0.1:{port},127.0.0.1:1/{name}");
    plan.fails(
        &plan.database.source_at("ca", &url, PLAINTEXT),
        &["127.0.0.1:1: "],
    );
}

#[test]
fn what_is_wrong_with_a_database_does_not_hinder_a_reload() {
    let plan = Plan::new();
    let closed = format!("mysql://a@127.0.0.1:1/{}", plan.database.name);
    let source = plan.database.source_at("ca", &closed, PLAINTEXT);
    let config = head("") + &source + &plan.draft.ca.issuer("");
    let (code, said, errors) = plan.draft.command(&["check", "--reload"], &config);
    assert_eq!(code, 0, "{said}{errors}");
    contains(
        &said,
        &["WARNING ocsp-frontend: source \"ca\": 127.0.0.1:1: "],
    );
}

#[test]
fn more_rights_than_needed_and_a_missing_index_are_warnings() {
    let plan = Plan::new();
    let (database, name) = (&plan.database, &plan.database.name);
    let warns = |expected: &str| {
        let (code, said) = plan.checks(&plan.source());
        assert_eq!(code, 0, "{said}");
        let warnings: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("WARNING"))
            .collect();
        assert_eq!(warnings.len(), 1, "{said}");
        contains(warnings[0], &[expected]);
        lacks(&said, &["IDENTIFIED", "*"]);
    };
    database.sql(&format!(
        "GRANT INSERT, UPDATE ON {name}.list_certs TO {name}@localhost"
    ));
    warns("the account may do more than it needs, SELECT on `certs_");
    database.sql(&format!(
        "REVOKE INSERT, UPDATE ON {name}.list_certs FROM {name}@localhost"
    ));
    database.sql("ALTER TABLE list_certs DROP PRIMARY KEY");
    warns(
        "the column \"cert_num\" of \"list_certs\" has no index: every look-up reads the whole table",
    );
}

#[test]
fn the_shipped_account_is_all_that_is_needed() {
    let plan = Plan::new();
    let (database, name) = (&plan.database, &plan.database.name);
    // As shipped, but for the names.
    let shipped = include_str!("../frontend/sql/account.sql");
    let account = shipped
        .replace("`certs`", &format!("`{name}`"))
        .replace("'ocsp'", &format!("'ocsp_{name}'"));
    database.sql(&account);
    database.password_file("change-me");
    let url = format!(
        "mysql://ocsp_{name}@localhost/{name}?socket={}",
        database.server.socket()
    );
    let (code, said) = plan.checks(&database.source_at("ca", &url, ""));
    database.sql(&format!("DROP USER ocsp_{name}@localhost"));
    assert_eq!(code, 0, "{said}");
    lacks(&said, &["WARNING", "FAILED"]);
}

#[test]
fn files_that_a_source_names_are_looked_at() {
    let plan = Plan::new();
    let database = &plan.database;
    let file = database.password_file(PASSWORD);
    set_mode(&file, 0o444);
    plan.fails(
        &plan.source(),
        &[&file, "has mode 0444, so that others can read the password"],
    );
    set_mode(&file, 0o400);
    database.password_file("two\nlines");
    plan.fails(&plan.source(), &[&file, "a password in one line"]);
    std::fs::remove_file(&file).unwrap();
    plan.fails(&plan.source(), &[&file, "No such file"]);
    database.password_file(PASSWORD);
    plan.fails(
        &database.source("ca", "time-zone = \"Europe/Nowhere\""),
        &["the time zone \"Europe/Nowhere\" is not in the machine's"],
    );
    let rubbish = plan.draft.folder.file("rubbish", "no certificates");
    let url = format!(
        "mysql://{0}@localhost:{1}/{0}",
        database.name, database.server.port
    );
    let source = database.source_at("ca", &url, &format!("tls-ca = {rubbish:?}"));
    plan.fails(&source, &[&rubbish, "certificates in PEM were expected"]);
}
