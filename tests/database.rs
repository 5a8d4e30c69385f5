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

use std::fs;

use harness::*;

/// A CA, its table, and the daemon that serves both.
struct Stage {
    server: Server,
    ca: Ca,
    database: Database,
    _folder: Folder,
}

impl Stage {
    /// Before the daemon is started: what `rows` puts into the table, and more lines of source and issuer.
    fn new(source: &str, issuer: &str, rows: impl FnOnce(&Ca, &Database)) -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        let database = Database::new();
        rows(&ca, &database);
        let source = database.source("ca", &format!("revalidate = \"1s\"\n{source}"));
        let server = Server::new(&folder, &(head(ADMIN) + &source + &ca.issuer(issuer)));
        Self {
            server,
            ca,
            database,
            _folder: folder,
        }
    }

    /// What `openssl ocsp` says of `NAME.crt`, without nonce.
    fn asked(&self, name: &str) -> String {
        asked(&self.server, &self.ca, name)
    }

    /// Waits until it says this.
    fn becomes(&self, name: &str, expected: &str) -> String {
        until(&format!("{name} becomes {expected:?}"), || {
            Some(self.asked(name)).filter(|said| said.contains(expected))
        })
    }
}

fn asked(server: &Server, ca: &Ca, name: &str) -> String {
    server.ask(ca, &format!("-no_nonce -cert {name}.crt"))
}

/// `NAME.crt` as DER.
fn der(ca: &Ca, name: &str) -> Vec<u8> {
    let words = format!("openssl x509 -in {name}.crt -outform DER");
    let words: Vec<&str> = words.split(' ').collect();
    output(&ca.folder, &words, &[]).stdout
}

fn pem(ca: &Ca, name: &str) -> Vec<u8> {
    fs::read(ca.folder.join(format!("{name}.crt"))).unwrap()
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

/// What writers of the table make of a serial.
const SPELLINGS: [(&str, &str, &str); 9] = [
    ("nibble", "0ABCDEF0123456789A", "0xabcdef0123456789a"),
    ("nibble-whole", "0BBCDEF0123456789A", "0x0bbcdef0123456789a"),
    ("nibble-upper", "0CBCDEF0123456789A", "0xCBCDEF0123456789A"),
    (
        "nibble-whole-upper",
        "0DBCDEF0123456789A",
        "0X0DBCDEF0123456789A",
    ),
    (
        "high",
        "FEDCBA9876543210FEDCBA9876543210FEDCBA98",
        "0xfedcba9876543210fedcba9876543210fedcba98",
    ),
    (
        "high-signed",
        "EEDCBA9876543210FEDCBA9876543210FEDCBA98",
        "0x00eedcba9876543210fedcba9876543210fedcba98",
    ),
    (
        "high-signed-upper",
        "DEDCBA9876543210FEDCBA9876543210FEDCBA98",
        "0x00DEDCBA9876543210FEDCBA9876543210FEDCBA98",
    ),
    ("digits", "1234567890", "0x1234567890"),
    ("plain-upper", "5ABCDE", "0x5ABCDE"),
];

#[test]
fn every_spelling_of_a_serial_is_found_whatever_the_column_compares_by() {
    let stage = Stage::new("", "", |ca, database| {
        for (name, serial, spelled) in SPELLINGS {
            ca.issue_with_serial(name, serial);
            database.insert(spelled, &pem(ca, name), "Valid", "NULL", "NULL");
        }
    });
    for (name, _, _) in SPELLINGS {
        contains(&stage.asked(name), &["Response verify OK", ".crt: good"]);
    }
    // Where case matters, each spelling is still asked for.
    stage
        .database
        .sql("ALTER TABLE list_certs CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    stage
        .database
        .sql("UPDATE list_certs SET status = 'Revoked'");
    for (name, _, _) in SPELLINGS {
        stage.becomes(name, ".crt: revoked");
    }
}

#[test]
fn of_two_rows_for_one_certificate_the_revoked_one_wins_and_the_pair_is_logged() {
    let pair = "pair";
    let stage = Stage::new("", "", |ca, database| {
        ca.issue_with_serial(pair, "0ABCDEF0123456789A");
        database.insert(
            "0xabcdef0123456789a",
            &pem(ca, pair),
            "Valid",
            "NULL",
            "NULL",
        );
        let time = "'2024-01-02 03:04:05'";
        database.insert(
            "0x0ABCDEF0123456789A",
            &pem(ca, pair),
            "Revoked",
            time,
            "'superseded'",
        );
    });
    contains(
        &stage.asked(pair),
        &[
            "pair.crt: revoked",
            "Reason: superseded",
            "Revocation Time: Jan  2 03:04:05 2024 GMT",
        ],
    );
    stage
        .server
        .says("one of several rows for one certificate: a Revoked one wins");
}

#[test]
fn rows_of_several_issuers_in_one_table_are_told_apart_down_to_one_serial() {
    let folder = Folder::new();
    let [one, two] = ["one", "two"].map(|name| Ca::new(&folder, name, Kind::P256, By::Itself));
    let database = Database::new();
    for ca in [&one, &two] {
        ca.issue_with_serial("same", "0ABCDE")
            .issue_with_serial("own", if ca.name == "one" { "11" } else { "22" });
        database.issued(ca, "own");
    }
    // The table's key allows that only in two spellings.
    database.insert(
        "0xabcde",
        &pem(&one, "same"),
        "Revoked",
        "'2024-01-02 03:04:05'",
        "NULL",
    );
    database.insert("0x0abcde", &pem(&two, "same"), "Valid", "NULL", "NULL");
    let source = database.source("both", "revalidate = \"1s\"");
    let issuer = |ca: &Ca| {
        ca.issuer("")
            .replace(&format!("source = {:?}", ca.name), "source = \"both\"")
    };
    let config = head("") + &source + &issuer(&one) + &issuer(&two);
    let server = Server::new(&folder, &config);
    contains(&asked(&server, &one, "same"), &["same.crt: revoked"]);
    contains(&asked(&server, &two, "same"), &["same.crt: good"]);
    contains(&asked(&server, &one, "own"), &["own.crt: good"]);
    contains(&asked(&server, &two, "own"), &["own.crt: good"]);
    // One's serial, asked of the other.
    let words = format!(
        "openssl ocsp -issuer two/ca.crt -no_nonce -serial 0x11 -noverify -url {}",
        server.url()
    );
    let (_, said) = run(folder.path(""), &words.split(' ').collect::<Vec<_>>());
    contains(&said, &["unauthorized"]);
    lacks(&server.log(), &["error:", "security:"]);

    // A certificate that cannot be read may be of either.
    database.insert(
        "0x33",
        b"rubbish",
        "Revoked",
        "'2024-01-02 03:04:05'",
        "NULL",
    );
    let words = words.replace("0x11", "0x33");
    let (_, said) = run(folder.path(""), &words.split(' ').collect::<Vec<_>>());
    contains(&said, &["internalerror"]);
    server.says("row \"0x33\": the certificate is neither PEM nor DER");
}

#[test]
fn what_is_wrong_with_a_row_is_logged_and_never_good() {
    // Name, status, time, reason, what becomes of the certificate; what is answered and logged.
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static [&'static str],
        &'static str,
    );
    const TIME: &str = "'2024-01-02 03:04:05'";
    const CASES: [Case; 10] = [
        (
            "empty-status",
            "",
            "NULL",
            "NULL",
            "",
            &["internalerror"],
            "the status is neither Valid nor Revoked",
        ),
        (
            "valid-with-time",
            "Valid",
            TIME,
            "NULL",
            "",
            &["internalerror"],
            "Valid, with a revocation time or reason",
        ),
        (
            "valid-with-zero",
            "Valid",
            "'0000-00-00 00:00:00'",
            "NULL",
            "",
            &["internalerror"],
            "Valid, with a revocation time or reason",
        ),
        (
            "valid-with-reason",
            "Valid",
            "NULL",
            "'superseded'",
            "",
            &["internalerror"],
            "Valid, with a revocation time or reason",
        ),
        (
            "valid-rubbish",
            "Valid",
            "NULL",
            "NULL",
            "rubbish",
            &["internalerror"],
            "the certificate is neither PEM nor DER",
        ),
        (
            "valid-nothing",
            "Valid",
            "NULL",
            "NULL",
            "nothing",
            &["internalerror"],
            "there is no certificate",
        ),
        (
            "valid-another",
            "Valid",
            "NULL",
            "NULL",
            "another",
            &["internalerror"],
            "the certificate has another serial",
        ),
        (
            "revoked-zero",
            "Revoked",
            "'0000-00-00 00:00:00'",
            "'superseded'",
            "",
            &["revoked", "Reason: superseded", "SINCE"],
            "Revoked, with a time that is none",
        ),
        (
            "revoked-no-reason",
            "Revoked",
            TIME,
            "''",
            "",
            &["revoked", "Jan  2 03:04:05 2024"],
            "Revoked, with a reason that is none",
        ),
        (
            "revoked-rubbish",
            "Revoked",
            TIME,
            "NULL",
            "rubbish",
            &["revoked", "Jan  2 03:04:05 2024"],
            "the certificate is neither PEM nor DER",
        ),
    ];
    let stage = Stage::new("", "", |ca, database| {
        ca.issue("other");
        for (name, status, time, reason, certificate, ..) in CASES {
            ca.issue(name);
            let octets = match certificate {
                "" => pem(ca, name),
                "rubbish" => {
                    b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n".to_vec()
                }
                "nothing" => Vec::new(),
                _ => pem(ca, "other"),
            };
            database.insert(&number(ca, name), &octets, "Valid", "NULL", "NULL");
            database.sql(&format!(
                "SET sql_mode = ''; UPDATE list_certs SET status = '{status}', revocation_time = {time}, \
                 revocation_reason = {reason} WHERE cert_num = '{}'",
                number(ca, name)
            ));
        }
    });
    for (name, _, _, _, _, expected, logged) in CASES {
        let mark = stage.server.mark();
        let said = stage.asked(name);
        lacks(&said, &[".crt: good"]);
        for expected in expected {
            if *expected == "SINCE" {
                let words = format!("openssl x509 -in {name}.crt -noout -startdate");
                let since = must(&stage.ca.folder, &words.split(' ').collect::<Vec<_>>());
                contains(
                    &said,
                    &[&format!(
                        "Revocation Time: {}",
                        since.trim().strip_prefix("notBefore=").unwrap()
                    )],
                );
            } else {
                contains(&said, &[expected]);
            }
        }
        // A kind of mistake that was logged within the minute is only counted.
        if !stage.server.log().contains(logged) {
            stage.server.says_after(mark, logged);
        }
    }
    lacks(&stage.server.log(), &["security:"]);
}

#[test]
fn revocation_times_are_those_of_the_configured_zone() {
    // Summer; a local time that comes twice, of which the first counts; a time in the future.
    let times = [
        "2024-07-01 12:00:00",
        "2024-10-27 02:30:00",
        "2999-01-01 00:00:00",
    ];
    let zones = [
        ("UTC", ["Jul  1 12:00:00 2024", "Oct 27 02:30:00 2024"]),
        ("+05:30", ["Jul  1 06:30:00 2024", "Oct 26 21:00:00 2024"]),
        (
            "Europe/Vienna",
            ["Jul  1 10:00:00 2024", "Oct 27 00:30:00 2024"],
        ),
    ];
    for (zone, expected) in zones {
        let stage = Stage::new(&format!("time-zone = {zone:?}"), "", |ca, database| {
            for (name, time) in ["summer", "twice", "future"].iter().zip(times) {
                ca.issue(name);
                database.insert(
                    &number(ca, name),
                    &der(ca, name),
                    "Revoked",
                    &format!("'{time}'"),
                    "NULL",
                );
            }
            ca.issue("never");
            database.insert(
                &number(ca, "never"),
                &der(ca, "never"),
                "Revoked",
                "NULL",
                "NULL",
            );
        });
        for (name, expected) in ["summer", "twice"].iter().zip(expected) {
            contains(
                &stage.asked(name),
                &[&format!("Revocation Time: {expected} GMT")],
            );
        }
        let said = stage.asked("future");
        let of = |what: &str| {
            let line = said.lines().find(|line| line.contains(what)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(of("Revocation Time"), of("Produced At"));
        stage
            .server
            .says("Revoked, at a time in the future: revoked is answered, since now");
        let since = must(
            &stage.ca.folder,
            &[
                "openssl",
                "x509",
                "-in",
                "never.crt",
                "-noout",
                "-startdate",
            ],
        );
        contains(
            &stage.asked("never"),
            &[&format!(
                "Revocation Time: {}",
                since.trim().strip_prefix("notBefore=").unwrap()
            )],
        );
    }
}

#[test]
fn a_row_that_changes_changes_the_answer_and_one_that_goes_takes_it_along() {
    let stage = Stage::new("", "", |ca, database| {
        for name in ["one", "two"] {
            ca.issue(name);
            database.issued(ca, name);
        }
    });
    contains(&stage.asked("one"), &["one.crt: good"]);
    contains(&stage.asked("two"), &["two.crt: good"]);
    stage.database.revoke(&stage.ca, "one", "key_compromise");
    stage.becomes("one", "one.crt: revoked");
    stage.database.sql(&format!(
        "DELETE FROM list_certs WHERE cert_num = '{}'",
        number(&stage.ca, "two")
    ));
    stage.becomes("two", "unauthorized");
    // A row that goes bad is not good any more; what was revoked stays so.
    stage.database.issued(&stage.ca, "two");
    stage.becomes("two", "two.crt: good");
    stage
        .database
        .sql("SET sql_mode = ''; UPDATE list_certs SET status = ''");
    stage.becomes("two", "internalerror");
    contains(&stage.asked("one"), &["one.crt: revoked"]);
}

#[test]
fn a_revocation_that_is_taken_back_stays_served_and_is_logged_but_a_hold_may_be_lifted() {
    let stage = Stage::new("", "", |ca, database| {
        for (name, reason) in [("ended", "key_compromise"), ("held", "certificate_hold")] {
            ca.issue(name);
            database.issued(ca, name);
            database.revoke(ca, name, reason);
        }
    });
    contains(&stage.asked("ended"), &["ended.crt: revoked"]);
    contains(
        &stage.asked("held"),
        &["held.crt: revoked", "certificateHold"],
    );
    stage.database.sql(
        "UPDATE list_certs SET status = 'Valid', revocation_time = NULL, revocation_reason = NULL",
    );
    stage.becomes("held", "held.crt: good");
    until("the withdrawal is logged", || {
        contains(
            &stage.asked("ended"),
            &["ended.crt: revoked", "keyCompromise"],
        );
        stage
            .server
            .log()
            .contains("has withdrawn a revocation, revoked is served")
            .then_some(())
    });
}

#[test]
fn certificates_may_be_pem_or_der_or_missing_where_the_status_is_believed() {
    let stage = Stage::new("", "good = \"status\"", |ca, database| {
        for name in ["pem", "der", "none"] {
            ca.issue(name);
        }
        database.insert(&number(ca, "pem"), &pem(ca, "pem"), "Valid", "NULL", "NULL");
        database.insert(&number(ca, "der"), &der(ca, "der"), "Valid", "NULL", "NULL");
        database.insert(&number(ca, "none"), b"", "Valid", "NULL", "NULL");
    });
    for name in ["pem", "der", "none"] {
        contains(&stage.asked(name), &[".crt: good"]);
    }
    lacks(&stage.server.log(), &["error:"]);
}

#[test]
fn table_and_columns_may_have_other_names() {
    let more = "table = \"my certs\"\ncolumn-serial = \"serial\"\ncolumn-status = \"state\"\ncolumn-time = \"when\"\n\
                column-reason = \"why\"\ncolumn-certificate = \"x509\"\n";
    let stage = Stage::new(more, "", |ca, database| {
        ca.issue("good");
        database.issued(ca, "good");
        let name = &database.name;
        database.sql(&format!(
            "RENAME TABLE list_certs TO `my certs`; ALTER TABLE `my certs` CHANGE cert_num serial varchar(50), \
             CHANGE status state enum('Valid','Revoked'), CHANGE revocation_time `when` datetime NULL, \
             CHANGE revocation_reason why varchar(40), CHANGE cert x509 mediumblob; \
             GRANT SELECT ON {name}.`my certs` TO {name}@localhost;"
        ));
    });
    contains(&stage.asked("good"), &["good.crt: good"]);
    stage
        .database
        .sql("UPDATE `my certs` SET state = 'Revoked', why = 'superseded'");
    contains(&stage.becomes("good", "good.crt: revoked"), &["superseded"]);
}

#[test]
fn many_certificates_in_one_request_travel_in_one_statement() {
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    let stage = Stage::new("", "", |ca, database| {
        for name in &names {
            ca.issue(name);
            database.issued(ca, name);
        }
    });
    let arguments: Vec<String> = names
        .iter()
        .map(|name| format!("-cert {name}.crt"))
        .collect();
    let request = stage.ca.request(&arguments.join(" "));
    let answer = stage.server.post(&request).answer();
    assert_eq!(
        stage.ca.reads(&answer).matches("Cert Status: good").count(),
        20
    );
    let page = stage.server.metrics();
    assert_eq!(
        metric(&page, "ocsp_source_lookups_total{source=\"ca\"}"),
        20
    );
    // Some are on their way before the last comes, more on a busy machine.
    assert!(
        metric(&page, "ocsp_source_statements_total{source=\"ca\"}") <= 15,
        "{page}"
    );
}

/// conformance 32: of a serial that no certificate has the database is not asked, zero, negative, or above 20 octets.
/// conformance 31: nor of a CertID by a hash of nobody's.
#[test]
fn what_no_certificate_can_be_is_not_looked_up() {
    let stage = Stage::new("", "", |ca, database| {
        ca.issue("good");
        database.issued(ca, "good");
    });
    let looked_up = || {
        let page = stage.server.metrics();
        metric(&page, "ocsp_source_lookups_total{source=\"ca\"}")
    };
    for nonce in ["", "-no_nonce "] {
        let long = ["7f", "80", "01"].map(|first| format!("-serial 0x{first}{}", "55".repeat(21)));
        let twenty_one = format!("-serial 0x7f{}", "55".repeat(20));
        let others = ["-serial 0", "-serial -1", "-md5 -cert good.crt"].map(str::to_owned);
        for asked in long.iter().chain([&twenty_one]).chain(&others) {
            let request = stage.ca.request(&format!("{nonce}{asked}"));
            assert_eq!(stage.server.post(&request).error(), UNAUTHORIZED, "{asked}");
        }
    }
    assert_eq!(looked_up(), 0);
    let request = stage.ca.request("-no_nonce -cert good.crt");
    assert_eq!(stage.server.post(&request).error(), 0);
    assert_eq!(looked_up(), 1);
}
