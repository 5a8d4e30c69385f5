//! A database that is not there, goes, comes back, hangs, is full, or is somebody else's: what clients are told meanwhile,
//! and what an operator is told. On the system's MariaDB, or another server (`tests/databases`).

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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::*;
use nix::sys::signal::Signal;

/// A CA with `good.crt`, `revoked.crt` and `other.crt`, its table on a server of its own, and a configuration.
struct Plan {
    ca: Ca,
    database: Database,
    folder: Folder,
}

impl Plan {
    fn new(arguments: &[&str]) -> Self {
        Self::on(Arc::new(DbServer::new(arguments)))
    }

    fn on(server: Arc<DbServer>) -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        let database = Database::on(server);
        for name in ["good", "revoked", "other"] {
            ca.issue(name);
            database.issued(&ca, name);
        }
        database.revoke(&ca, "revoked", "key_compromise");
        Self {
            ca,
            database,
            folder,
        }
    }

    fn config(&self, source: &str) -> String {
        head(ADMIN) + source + &self.ca.issuer("")
    }

    fn by_socket(&self, more: &str) -> String {
        self.config(
            &self
                .database
                .source("ca", &format!("revalidate = \"1s\"\n{more}")),
        )
    }

    fn serve(&self, config: &str) -> Server {
        Server::new(&self.folder, config)
    }

    fn asked(&self, server: &Server, name: &str) -> String {
        server.ask(&self.ca, &format!("-no_nonce -cert {name}.crt"))
    }

    fn becomes(&self, server: &Server, name: &str, expected: &str) {
        until_after(
            LONG_PATIENCE,
            &format!("{name} becomes {expected:?}"),
            || self.asked(server, name).contains(expected).then_some(()),
        );
    }
}

fn is_ready(server: &Server) -> bool {
    server.admin("/readyz").0 == 200
}

fn becomes_ready(server: &Server) {
    until("the service is ready", || is_ready(server).then_some(()));
}

#[test]
fn a_database_that_goes_leaves_what_is_cached_and_one_that_comes_back_is_asked_again() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    contains(&plan.asked(&server, "revoked"), &["revoked.crt: revoked"]);
    assert!(is_ready(&server));

    plan.database.server.stop();
    server.says("source \"ca\" does not answer: ");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1000));
        contains(&plan.asked(&server, "good"), &["good.crt: good"]);
        contains(&plan.asked(&server, "revoked"), &["revoked.crt: revoked"]);
    }
    contains(&plan.asked(&server, "other"), &["trylater"]);
    let (status, said) = server.admin("/readyz");
    assert_eq!(status, 503);
    contains(&said, &["source \"ca\" does not answer: "]);
    assert_eq!(server.admin("/healthz").0, 200);
    assert_eq!(
        metric(&server.metrics(), "ocsp_source_up{source=\"ca\"}"),
        0
    );

    plan.database.server.start();
    server.says("source \"ca\" answers again");
    plan.database.revoke(&plan.ca, "good", "superseded");
    plan.becomes(&server, "good", "good.crt: revoked");
    contains(&plan.asked(&server, "other"), &["other.crt: good"]);
    becomes_ready(&server);
}

#[test]
fn past_max_stale_good_is_not_served_any_more_and_revoked_is() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&(plan.by_socket("") + "[cache]\nmax-stale = \"3s\"\n"));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    contains(&plan.asked(&server, "revoked"), &["revoked.crt: revoked"]);
    plan.database.server.kill();
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    plan.becomes(&server, "good", "trylater");
    contains(&plan.asked(&server, "revoked"), &["revoked.crt: revoked"]);
}

#[test]
fn a_daemon_that_starts_before_its_database_is_there_serves_as_soon_as_it_is() {
    let plan = Plan::new(&[]);
    plan.database.server.stop();
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["trylater"]);
    assert!(!is_ready(&server));
    plan.database.server.start();
    plan.becomes(&server, "good", "good.crt: good");
    becomes_ready(&server);
}

#[test]
fn a_server_that_hangs_does_not_hold_up_what_is_cached() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket("timeout = \"500ms\""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    plan.database.server.signal(Signal::SIGSTOP);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(600));
        contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    }
    contains(&plan.asked(&server, "other"), &["trylater"]);
    plan.database.server.signal(Signal::SIGCONT);
    plan.becomes(&server, "other", "other.crt: good");
}

#[test]
fn a_lock_that_holds_a_look_up_up_does_not_pile_up_statements() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket("connections = 2"));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    let database = &plan.database;
    std::thread::scope(|scope| {
        let lock = "LOCK TABLES list_certs WRITE; SELECT SLEEP(6);";
        let locked = scope.spawn(|| database.sql(lock));
        let mut most = 0;
        while !locked.is_finished() {
            contains(&plan.asked(&server, "good"), &["good.crt: good"]);
            let _ = plan.asked(&server, "other");
            let held = database.sql("SHOW FULL PROCESSLIST");
            let ours = |line: &&str| line.contains("IN (") && line.contains("cert_num");
            most = most.max(held.lines().filter(ours).count());
        }
        assert!((1..=2).contains(&most), "{most} statements at a time");
    });
    // The server gave up before we did, so that the connection could be kept.
    server.says("Lock wait timeout exceeded");
    plan.becomes(&server, "other", "other.crt: good");
}

/// Kills every connection of the daemon's account.
fn kill_connections(database: &Database) -> usize {
    let user = &database.name;
    let of = format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'");
    let ids = database.sql(&of);
    for id in ids.lines() {
        let _ = database.server.try_sql("", &format!("KILL {id}")); // it may have ended
    }
    ids.lines().count()
}

#[test]
fn a_connection_that_is_killed_costs_no_question() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    // Nothing of this is cached.
    let question = plan.ca.request("-cert good.crt");
    let stop = AtomicBool::new(false);
    let (asked, killed) = std::thread::scope(|scope| {
        let ask = || {
            let (mut asked, begun) = (0, Instant::now());
            while !stop.load(Ordering::Relaxed) && begun.elapsed() < LONG_PATIENCE {
                assert_eq!(server.post(&question).error(), 0);
                asked += 1;
            }
            asked
        };
        let askers = [scope.spawn(ask), scope.spawn(ask)];
        let killed: usize = (0..10)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(200));
                kill_connections(&plan.database)
            })
            .sum();
        stop.store(true, Ordering::Relaxed);
        (askers.map(|asker| asker.join().unwrap()), killed)
    });
    assert!(
        asked.iter().all(|asked| *asked > 50) && killed > 10,
        "{asked:?}, {killed} killed"
    );
    lacks(&server.log(), &["does not answer"]);
}

#[test]
fn a_server_without_a_connection_left_is_a_warning_as_long_as_one_is_up() {
    let plan = Plan::new(&["--max-connections=12"]);
    // MariaDB and MySQL keep one more for root.
    let hold = |count: usize| {
        let name = &plan.database.name;
        plan.database.sql(&format!(
            "ALTER USER {name}@localhost WITH MAX_USER_CONNECTIONS {count}"
        ));
    };
    hold(2);
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    server.says("one of its connections cannot be made: ");
    lacks(&server.log(), &["does not answer"]);

    // Other people's connections fill the server: those we have go on, and new ones come when there is room.
    kill_connections(&plan.database);
    let database = &plan.database;
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| database.server.try_sql("", "SELECT SLEEP(4)"));
        }
        contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    });
    hold(0);
    plan.becomes(&server, "other", "other.crt: good");
}

#[test]
fn a_session_that_servers_are_configured_to_freeze_sees_revocations_all_the_same() {
    let plan = Plan::new(&[
        "--init-connect=SET autocommit=0",
        "--transaction-isolation=REPEATABLE-READ",
    ]);
    let server = plan.serve(&plan.by_socket("connections = 1"));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    plan.database.revoke(&plan.ca, "good", "superseded");
    plan.becomes(&server, "good", "good.crt: revoked");
}

#[test]
fn of_several_hosts_the_first_that_answers_is_asked_and_the_first_is_come_back_to() {
    let (first, second) = (Plan::new(&[]), Arc::new(DbServer::new(&[])));
    // The same table on both, but for the status of `good`.
    let (name, one) = (&first.database.name, &first.database.server);
    let copy = Database::on_called(Arc::clone(&second), name);
    for certificate in ["good", "revoked", "other"] {
        copy.issued(&first.ca, certificate);
    }
    copy.revoke(&first.ca, "good", "superseded");
    let url = format!(
        "mysql://{name}@127.0.0.1:{},127.0.0.1:{}/{name}",
        one.port, second.port
    );
    let source = first.database.source_at(
        "ca",
        &url,
        "revalidate = \"1s\"\ninsecure-plaintext = true\n",
    );
    one.stop();
    let server = first.serve(&first.config(&source));
    contains(&first.asked(&server, "good"), &["good.crt: revoked"]);
    server.says("another host than the first is asked: ");
    contains(&first.asked(&server, "other"), &["other.crt: good"]);
    // Where the first is back, it is asked, at the latest when connections have aged.
    one.start();
    first.database.revoke(&first.ca, "other", "superseded");
    until_after(Duration::from_secs(60), "the first host is asked", || {
        let said = first.asked(&server, "other");
        said.contains("other.crt: revoked").then_some(())
    });
}

#[test]
fn a_new_password_is_taken_up_by_a_generation_that_reaches_the_database() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    let name = &plan.database.name;
    plan.database.sql(&format!(
        "ALTER USER {name}@localhost IDENTIFIED BY 'another'"
    ));
    kill_connections(&plan.database);
    server.says("source \"ca\" does not answer: ");
    // As long as its successor does not reach the database either, the first generation serves what it has.
    let refused = "refuses to serve: source \"ca\": ";
    server.says_within(
        Duration::from_secs(60),
        "asks for a new generation: source \"ca\": no host",
    );
    server.says(refused);
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    assert_eq!(server.generation().number, 1);
    plan.database.password_file("another");
    server.next_generation_within(Duration::from_secs(60), 1);
    contains(&plan.asked(&server, "other"), &["other.crt: good"]);
    becomes_ready(&server);
}

#[test]
fn tls_is_verified_and_without_it_another_host_is_not_asked() {
    let plan = Plan::on(DbServer::shared());
    let database = &plan.database;
    database.sql(&format!(
        "ALTER USER {0}@'%' REQUIRE SSL; ALTER USER {0}@localhost REQUIRE SSL;",
        database.name
    ));
    let tcp = |host: &str, more: &str| {
        let url = format!(
            "mysql://{0}@{host}:{1}/{0}",
            database.name, database.server.port
        );
        plan.config(&database.source_at("ca", &url, &format!("timeout = \"1s\"\n{more}\n")))
    };
    let ca = format!("tls-ca = {:?}", database.server.ca());
    let server = plan.serve(&tcp("localhost", &ca));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    drop(server);
    // Another CA; a name that the certificate does not have; no TLS, which the account asks for.
    let other = format!("tls-ca = {:?}", plan.ca.path("ca.crt"));
    for (host, more, expected) in [
        ("localhost", other.as_str(), "certificate verify failed"),
        ("127.0.0.1", ca.as_str(), "mismatch"),
        ("127.0.0.1", "insecure-plaintext = true", "Access denied"),
    ] {
        let server = plan.serve(&tcp(host, more));
        contains(&plan.asked(&server, "good"), &["trylater"]);
        contains(&server.says("source \"ca\" does not answer: "), &[expected]);
    }
}

#[test]
fn an_account_known_by_its_user_id_needs_no_password() {
    if !root_for("an account that the server knows by its user id") {
        return;
    }
    let plan = Plan::on(DbServer::shared());
    let database = &plan.database;
    let with = if is_mysql() {
        let _ = database
            .server
            .try_sql("", "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'"); // it may be there
        "WITH auth_socket"
    } else {
        "VIA unix_socket"
    };
    // The frontend's user has no account on this machine, and the servers want a name: nobody's, whom it becomes here.
    let name = &database.name;
    database.sql(&format!(
        "CREATE USER nobody@localhost IDENTIFIED {with}; GRANT SELECT ON {name}.list_certs TO nobody@localhost;"
    ));
    let url = format!(
        "mysql://nobody@localhost/{name}?socket={}",
        database.server.socket()
    );
    let source = format!("[[source]]\nname = \"ca\"\nkind = \"mysql\"\nurl = {url:?}\n");
    let config = plan.config(&source).replace(
        &format!("frontend = {}", users().0),
        "frontend = \"nobody\"",
    );
    let server = plan.serve(&config);
    let said = plan.asked(&server, "good");
    database.sql("DROP USER nobody@localhost");
    contains(&said, &["good.crt: good"]);
}

#[test]
fn a_replica_that_lags_shows_a_revocation_when_it_has_it() {
    let primary = Plan::new(&[]);
    let replica = Arc::new(DbServer::new(&["--server-id=2"]));
    let source = &primary.database.server;
    let port = source.port;
    source.sql("", "CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1';");
    // From the first event on, so that the replica has tables and accounts as well.
    let first = source.sql("", "SHOW BINARY LOGS");
    let first = first.split('\t').next().unwrap().to_owned();
    let (start, pause, go_on) = if is_mysql() {
        (
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='replica', \
                 SOURCE_PASSWORD='r', SOURCE_LOG_FILE='{first}', SOURCE_LOG_POS=4, GET_SOURCE_PUBLIC_KEY=1; START REPLICA;"
            ),
            "STOP REPLICA SQL_THREAD",
            "START REPLICA SQL_THREAD",
        )
    } else {
        (
            format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='replica', \
                 MASTER_PASSWORD='r', MASTER_LOG_FILE='{first}', MASTER_LOG_POS=4, MASTER_USE_GTID=no, \
                 MASTER_SSL_VERIFY_SERVER_CERT=0; START SLAVE;"
            ),
            "STOP SLAVE SQL_THREAD",
            "START SLAVE SQL_THREAD",
        )
    };
    replica.sql("", &start);
    let name = &primary.database.name;
    let count = format!("SELECT count(*) FROM {name}.list_certs WHERE status = 'Revoked'");
    until("the replica has the rows", || {
        replica
            .try_sql("", &count)
            .is_ok_and(|count| count.trim() == "1")
            .then_some(())
    });
    let url = format!(
        "mysql://{name}@localhost/{name}?socket={}",
        replica.socket()
    );
    let source = primary
        .database
        .source_at("ca", &url, "revalidate = \"1s\"\n");
    let server = primary.serve(&primary.config(&source));
    contains(&primary.asked(&server, "good"), &["good.crt: good"]);

    replica.sql("", pause);
    primary.database.revoke(&primary.ca, "good", "superseded");
    std::thread::sleep(Duration::from_millis(2500));
    contains(&primary.asked(&server, "good"), &["good.crt: good"]);
    replica.sql("", go_on);
    primary.becomes(&server, "good", "good.crt: revoked");
}

#[test]
fn a_generation_that_goes_takes_leave_of_the_database() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    let lost = plan.database.server.counter("Aborted_clients");
    let first = server.generation();
    server.signal(Signal::SIGHUP);
    let next = server.next_generation(1);
    wait_until_gone(&first.pids());
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    lacks(&server.log(), &["warning"]);
    drop(server);
    wait_until_gone(&next.pids());
    assert_eq!(plan.database.server.counter("Aborted_clients"), lost);
}

#[test]
fn a_revocation_that_was_seen_is_not_unseen_when_neither_signer_nor_database_answer() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "good"), &["good.crt: good"]);
    plan.database.revoke(&plan.ca, "good", "superseded");
    let signer = server.generation().signer;
    send(signer, Signal::SIGSTOP);
    plan.becomes(&server, "good", "trylater");
    plan.database.server.stop();
    send(signer, Signal::SIGCONT);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        contains(&plan.asked(&server, "good"), &["trylater"]);
    }
}

#[test]
fn a_revocation_that_was_seen_by_one_question_is_seen_by_all() {
    let plan = Plan::new(&[]);
    let server = plan.serve(
        &plan
            .by_socket("")
            .replace("revalidate = \"1s\"", "revalidate = \"10m\""),
    );
    let by = |hash: &str| server.ask(&plan.ca, &format!("{hash} -no_nonce -cert good.crt"));
    for hash in ["-sha1", "-sha256", "-sha512"] {
        contains(&by(hash), &["good.crt: good"]);
    }
    plan.database.revoke(&plan.ca, "good", "superseded");
    // With a nonce it is looked up.
    contains(
        &server.ask(&plan.ca, "-cert good.crt"),
        &["good.crt: revoked"],
    );
    contains(&by("-sha1"), &["good.crt: revoked"]);
    plan.database.server.stop();
    contains(&by("-sha256"), &["trylater"]);
    contains(&by("-sha1"), &["good.crt: revoked"]);
}

#[test]
fn a_host_that_lets_us_in_and_does_not_answer_is_passed_over() {
    let (first, second) = (Plan::new(&[]), Arc::new(DbServer::new(&[])));
    let (name, one) = (&first.database.name, &first.database.server);
    let copy = Database::on_called(Arc::clone(&second), name);
    for certificate in ["good", "other"] {
        copy.issued(&first.ca, certificate);
    }
    // As on a replica that was restored in part.
    one.sql(name, "RENAME TABLE list_certs TO elsewhere");
    let url = format!(
        "mysql://{name}@127.0.0.1:{},127.0.0.1:{}/{name}",
        one.port, second.port
    );
    let more = "revalidate = \"1s\"\ninsecure-plaintext = true\n";
    let server = first.serve(&first.config(&first.database.source_at("ca", &url, more)));
    first.becomes(&server, "good", "good.crt: good");
    contains(&first.asked(&server, "other"), &["other.crt: good"]);
    server.says("another host than the first is asked: ");
    becomes_ready(&server);
}

#[test]
fn a_database_that_was_restarted_while_nobody_asked_costs_no_question() {
    let plan = Plan::new(&[]);
    let server = plan.serve(&plan.by_socket(""));
    let question = plan.ca.request("-cert good.crt");
    assert_eq!(server.post(&question).error(), 0);
    std::thread::sleep(Duration::from_millis(500));
    assert!(kill_connections(&plan.database) >= 4);
    assert_eq!(server.post(&question).error(), 0);
    std::thread::sleep(Duration::from_millis(500));
    plan.database.server.stop();
    plan.database.server.start();
    assert_eq!(server.post(&question).error(), 0);
    lacks(&server.log(), &["does not answer"]);
}

#[test]
fn a_table_without_a_key_does_not_flood_the_frontend() {
    let plan = Plan::on(DbServer::shared());
    let database = &plan.database;
    database.sql("ALTER TABLE list_certs DROP PRIMARY KEY");
    let number = number(&plan.ca, "other");
    for _ in 0..9 {
        database.sql(&format!(
            "INSERT INTO list_certs SELECT * FROM list_certs WHERE cert_num = '{number}'"
        ));
    }
    let server = plan.serve(&plan.by_socket(""));
    contains(&plan.asked(&server, "other"), &["trylater"]);
    server.says("a look-up of 4 keys has more than 256 rows");
    plan.becomes(&server, "good", "good.crt: good");
}
