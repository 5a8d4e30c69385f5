//! MySQL and MariaDB as the source: what a table says, and what clients are told. On the system's MariaDB, or another
//! server (`tests/databases`).

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

/// A CA, its table, and the daemon that serves both.
struct Stage {
    server: Server,
    ca: Ca,
    database: Database,
    folder: Folder,
}

impl Stage {
    /// Before the daemon is started: what `rows` puts into the table, and more lines of source and issuer.
    fn new(source: &str, issuer: &str, rows: impl FnOnce(&Ca, &Database)) -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        let database = Database::new();
        rows(&ca, &database);
        let source = database.source("ca", &format!("revalidate = \"1s\"\n{source}"));
        let server = Server::new(&folder, &(head("") + &source + &ca.issuer(issuer)));
        Self {
            server,
            ca,
            database,
            folder,
        }
    }

    /// What `openssl ocsp` says of `NAME.crt`, without nonce.
    fn asked(&self, name: &str) -> String {
        self.server
            .ask(&self.ca, &format!("-no_nonce -cert {name}.crt"))
    }
}

/// As the table has them, and their numbers in RFC 5280 section 5.3.1.
const REASONS: [(&str, u8); 9] = [
    ("unspecified", 0),
    ("key_compromise", 1),
    ("ca_compromise", 2),
    ("affiliation_changed", 3),
    ("superseded", 4),
    ("cessation_of_operation", 5),
    ("certificate_hold", 6),
    ("privilege_withdrawn", 9),
    ("aa_compromise", 10),
];

#[test]
fn good_and_each_of_the_nine_reasons_reach_the_client() {
    let stage = Stage::new("", "", |ca, database| {
        ca.issue("good");
        database.issued(ca, "good");
        for (reason, _) in REASONS {
            ca.issue(reason);
            database.issued(ca, reason);
            database.revoke(ca, reason, reason);
        }
        ca.issue("unlisted");
    });
    contains(
        &stage.asked("good"),
        &["Response verify OK", "good.crt: good"],
    );
    for (reason, number) in REASONS {
        let answer = stage.asked(reason);
        contains(
            &answer,
            &["Response verify OK", &format!("{reason}.crt: revoked")],
        );
        let said = answer
            .lines()
            .find(|line| line.contains("Revocation Reason:"));
        if number == 0 {
            assert_eq!(said, None);
        } else {
            contains(said.unwrap(), &[&format!("(0x{number:x})")]);
        }
    }
    contains(&stage.asked("unlisted"), &["unauthorized"]);
}
