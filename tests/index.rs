//! The whole daemon on an `index.txt` that changes, breaks, lies and comes back.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::time::{Duration, Instant};

use harness::*;
use nix::sys::signal::Signal;

/// A CA with `good.crt`.
fn ca(folder: &Folder) -> Ca {
    let ca = Ca::new(folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good");
    ca
}

/// The status of a certificate as a client without nonce is told it.
fn status(server: &Server, ca: &Ca, name: &str) -> String {
    let response = server.post(&ca.request(&format!("-no_nonce -cert {name}.crt")));
    match response.error() {
        0 => {
            let said = ca.reads(&response.body);
            let status = said.split("Cert Status: ").nth(1).unwrap();
            status.split_whitespace().next().unwrap().to_owned()
        }
        error => format!("error {error}"),
    }
}

/// Waits until the status of a certificate is this.
fn becomes(server: &Server, ca: &Ca, name: &str, expected: &str) {
    until(&format!("{name}.crt is {expected}"), || {
        (status(server, ca, name) == expected).then_some(())
    });
}

#[test]
fn a_revocation_is_served_as_soon_as_index_txt_has_it() {
    let folder = Folder::new();
    let ca = ca(&folder);
    let server = Server::new(&folder, &usual(&ca));
    let with_nonce = || server.ask(&ca, "-cert good.crt");
    assert_eq!(status(&server, &ca, "good"), "good");
    assert!(with_nonce().contains("good.crt: good"));
    ca.revoke("good", "keyCompromise");
    becomes(&server, &ca, "good", "revoked");
    assert!(with_nonce().contains("good.crt: revoked"));
    assert!(with_nonce().contains("Reason: keyCompromise"));
    // The processes are the same: nothing had to be started anew.
    assert_eq!(server.generation().number, 1);
}

/// conformance 46: what is issued is answered in seconds.
#[test]
fn what_is_issued_while_it_runs_is_known_soon() {
    let folder = Folder::new();
    let ca = ca(&folder);
    let server = Server::new(&folder, &usual(&ca));
    ca.sign_unlisted("new");
    assert_eq!(status(&server, &ca, "new"), format!("error {UNAUTHORIZED}"));
    ca.issue("new");
    becomes(&server, &ca, "new", "good");
}

/// conformance 53: what has expired is answered as long as the source has it: as *valid*, as *expired* (`openssl ca
/// -updatedb`), as revoked. Then it is unauthorized.
#[test]
fn what_has_expired_is_answered_as_long_as_it_is_listed() {
    let folder = Folder::new();
    let ca = ca(&folder);
    let day = 86_400;
    for name in ["expired", "withdrawn"] {
        ca.issue_for(name, [-9 * day, -2 * day]);
    }
    ca.set_row("withdrawn", "R", "240102030405Z,superseded");
    let server = Server::new(&folder, &usual(&ca));
    let with_nonce = |name: &str| server.ask(&ca, &format!("-cert {name}.crt"));
    let answered = || {
        assert_eq!(status(&server, &ca, "expired"), "good");
        assert_eq!(status(&server, &ca, "withdrawn"), "revoked");
        contains(&with_nonce("expired"), &["expired.crt: good"]);
        contains(&with_nonce("withdrawn"), &["Reason: superseded"]);
    };
    answered();
    let mark = server.mark();
    must(
        &ca.folder,
        &["openssl", "ca", "-config", "openssl.cnf", "-updatedb"],
    );
    contains(&ca.index(), &["E\t"]);
    server.says_after(mark, "4 certificates");
    answered();
    let forgotten = ca.serial("expired");
    let rows = ca.index();
    let rows = rows.lines().filter(|row| !row.contains(&forgotten));
    ca.set_index(&rows.map(|row| format!("{row}\n")).collect::<String>());
    becomes(&server, &ca, "expired", &format!("error {UNAUTHORIZED}"));
    assert_eq!(status(&server, &ca, "withdrawn"), "revoked");
}

/// conformance 51: no suspension for TLS: it is not signed, and the log says of whom and why, as the source has to be mended.
#[test]
fn a_hold_under_a_public_policy_is_an_internal_error_and_a_log_line() {
    for policy in ["cabf", "mozilla", "microsoft"] {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Itself);
        ca.issue("held").issue("good");
        ca.set_row("held", "R", "240102030405Z,certificateHold");
        let server = Server::of(&folder, &ca, &format!("policy = {policy:?}"));
        for nonce in ["", "-no_nonce "] {
            let response = server.post(&ca.request(&format!("{nonce}-cert held.crt")));
            assert_eq!(response.error(), INTERNAL_ERROR);
        }
        let line = server.says("certificateHold was asked for");
        let expected = format!(
            "ocsp-signer[{}]: security: refused to sign: certificateHold was asked for, and the issuer's policy knows none (BR \
             4.9.13) (issuer \"ca\", serial 0x{})",
            server.generation().signer,
            ca.serial("held")
        );
        contains(&line, &[&expected]);
        assert_eq!(status(&server, &ca, "good"), "good");
        assert_eq!(server.generation().number, 1);
    }
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_last_good_one_in_use() {
    let folder = Folder::new();
    let ca = ca(&folder);
    ca.issue("other");
    let file = ca.path("index.txt");
    let good = ca.index();
    let server = Server::new(&folder, &usual(&ca));
    let half = &good[..good.len() - 10];
    let broken = format!("{good}V\tsoon\t\t0F\tunknown\t/CN=broken\n");
    let revoked = good.replace("V\t", "R\t");
    for (text, said) in [
        (Some(half), "its last line has no end: it is half written"),
        (Some(&broken), "line 4: the expiry is \"soon\""),
        (Some(&revoked), "line 1: revoked at \"\""),
        (Some(""), "is empty, 3 certificates were in it before"),
        (None, "No such file or directory"),
    ] {
        let mark = server.mark();
        match text {
            Some(text) => ca.set_index(text),
            None => fs::remove_file(&file).unwrap(),
        }
        let line = server.says_after(mark, said);
        assert!(line.contains(&file), "{line}");
        assert!(line.contains("the last good file stays in use"), "{line}");
        assert!(
            line.contains("ocsp-frontend[") && line.contains("error: "),
            "{line}"
        );
        for name in ["good", "other"] {
            assert_eq!(status(&server, &ca, name), "good", "{said}");
            let said = server.ask(&ca, &format!("-cert {name}.crt"));
            assert!(said.contains(&format!("{name}.crt: good")), "{said}");
        }
        // Mended and changed: the next good one is taken.
        let mark = server.mark();
        ca.set_index(&format!("# {}\n{good}", said.len()));
        server.says_after(mark, "3 certificates");
    }
    assert_eq!(server.generation().number, 1);
}

/// A million lines take less than 200 MiB, when they are read and when they are read again, beside the old ones: 20 MiB for the
/// process itself, 180 MiB for the lines. Here is a tenth of the lines.
#[test]
fn a_million_lines_take_less_than_200_mib() {
    const LINES: u64 = 100_000;
    const MOST: u64 = 180 * 1024 * LINES / 1_000_000;
    let folder = Folder::new();
    let ca = ca(&folder);
    let mut text = ca.index();
    for number in 0..LINES {
        // In no order, as random serials are.
        let serial = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (status, revocation) = match number % 8 {
            0 => ("R", "240102030405Z,keyCompromise"),
            _ => ("V", ""),
        };
        text += &format!(
            "{status}\t491231235959Z\t{revocation}\t4F{serial:016X}{number:020X}\tunknown\t/C=AT/O=Example/CN=host-{number}.example.org\n"
        );
    }
    let server = Server::new(&folder, &usual(&ca));
    let most = || {
        let status = harness::status(format!("/proc/{}", server.generation().frontend));
        let kib = status["VmHWM"].trim_end_matches(" kB").parse::<u64>();
        kib.unwrap()
    };
    let before = most();
    for time in ["first", "second", "third"] {
        let mark = server.mark();
        text += &format!("# {time}\n");
        ca.set_index(&text);
        server.says_after(mark, &format!("{} certificates", LINES + 2));
        let lines = most() - before;
        assert!(lines < MOST, "{time}: {lines} KiB, {MOST} KiB at most");
    }
    assert_eq!(status(&server, &ca, "good"), "good");
}

#[test]
fn a_file_that_never_stands_still_is_read_all_the_same() {
    let folder = Folder::new();
    let ca = ca(&folder);
    let server = Server::new(&folder, &usual(&ca));
    assert_eq!(status(&server, &ca, "good"), "good");
    ca.revoke("good", "superseded");
    let revoked = ca.index();
    let deadline = Instant::now() + PATIENCE;
    for number in 0.. {
        ca.set_index(&format!("{revoked}# {number}\n"));
        std::thread::sleep(Duration::from_millis(300));
        if status(&server, &ca, "good") == "revoked" {
            return;
        }
        assert!(Instant::now() < deadline, "{}", server.log());
    }
}

#[test]
fn a_reload_without_a_file_that_can_be_read_leaves_the_generation_that_has_one() {
    let folder = Folder::new();
    let ca = ca(&folder);
    let good = ca.index();
    let server = Server::new(&folder, &usual(&ca));
    fs::remove_file(ca.path("index.txt")).unwrap();
    let mark = server.mark();
    server.signal(Signal::SIGHUP);
    let line = server.says_after(mark, "refuses to serve");
    assert!(line.contains(&ca.path("index.txt")), "{line}");
    server.says_after(mark, "generation 1 goes on serving as before");
    assert_eq!(status(&server, &ca, "good"), "good");
    ca.set_index(&good);
    server.signal(Signal::SIGHUP);
    server.says_after(mark, "serves: frontend");
    assert_eq!(status(&server, &ca, "good"), "good");
}

#[test]
fn an_index_that_is_broken_at_the_start_is_try_later_until_it_is_mended() {
    for broken in [Some("V\thalf a li"), None] {
        let folder = Folder::new();
        let ca = ca(&folder);
        let good = ca.index();
        match broken {
            Some(text) => ca.set_index(text),
            None => fs::remove_file(ca.path("index.txt")).unwrap(),
        }
        let server = Server::new(&folder, &usual(&ca));
        let line = server.says("tryLater is answered until it can be read");
        assert!(line.contains(&ca.path("index.txt")), "{line}");
        assert_eq!(status(&server, &ca, "good"), format!("error {TRY_LATER}"));
        let said = server.ask(&ca, "-cert good.crt");
        assert!(said.contains("Responder Error: trylater (3)"), "{said}");
        ca.set_index(&good);
        becomes(&server, &ca, "good", "good");
        assert_eq!(server.generation().number, 1);
    }
}

#[test]
fn a_certificate_that_another_ca_signed_proves_nothing() {
    let folder = Folder::new();
    let (ours, theirs) = (
        ca(&folder),
        Ca::new(&folder, "theirs", Kind::P256, By::Itself),
    );
    theirs.issue_with_serial("forged", &ours.serial("good"));
    fs::copy(theirs.path("forged.crt"), ours.listed("good")).unwrap();
    let server = Server::new(&folder, &usual(&ours));
    for nonce in ["", "-no_nonce "] {
        let response = server.post(&ours.request(&format!("{nonce}-cert good.crt")));
        assert_eq!(response.error(), INTERNAL_ERROR);
    }
    let line = server.says("security: ");
    let signer = format!("ocsp-signer[{}]: security: ", server.generation().signer);
    assert!(line.contains(&signer), "{line}");
    assert!(line.to_lowercase().contains("issuer"), "{line}");
    // The signer is none the worse for it.
    ours.issue("next");
    becomes(&server, &ours, "next", "good");
}

#[test]
fn a_certificate_with_another_name_under_the_right_serial_proves_nothing() {
    let folder = Folder::new();
    let ca = ca(&folder);
    ca.issue("other");
    fs::copy(ca.listed("other"), ca.listed("good")).unwrap();
    let server = Server::new(&folder, &usual(&ca));
    let response = server.post(&ca.request("-no_nonce -cert good.crt"));
    assert_eq!(response.error(), INTERNAL_ERROR);
    let line = server.says("security: ");
    assert!(
        line.contains("ocsp-signer[") && line.contains("serial"),
        "{line}"
    );
    assert_eq!(status(&server, &ca, "other"), "good");
}

#[test]
fn a_certificate_that_is_missing_is_an_internal_error_and_a_log_line() {
    let folder = Folder::new();
    let ca = ca(&folder);
    ca.issue("gone");
    let listed = ca.listed("gone");
    let octets = fs::read(&listed).unwrap();
    fs::remove_file(&listed).unwrap();
    let server = Server::new(&folder, &usual(&ca));
    assert_eq!(
        status(&server, &ca, "gone"),
        format!("error {INTERNAL_ERROR}")
    );
    let line = server.says("a certificate cannot be read");
    assert!(line.contains(listed.to_str().unwrap()), "{line}");
    assert!(line.contains("ocsp-frontend["), "{line}");
    assert_eq!(status(&server, &ca, "good"), "good");
    // An error is not kept.
    fs::write(&listed, octets).unwrap();
    assert_eq!(status(&server, &ca, "gone"), "good");
}

#[test]
fn a_source_without_certificates_is_believed_where_so_configured() {
    let folder = Folder::new();
    let ca = ca(&folder);
    fs::remove_file(ca.listed("good")).unwrap();
    let source = ca.source("");
    let source = source
        .lines()
        .filter(|line| !line.starts_with("certificates"));
    let source: String = source.map(|line| format!("{line}\n")).collect();
    let config = head("") + &source + &ca.issuer("good = \"status\"");
    let server = Server::new(&folder, &config);
    assert_eq!(status(&server, &ca, "good"), "good");
}

/// conformance 52: revoked stays revoked.
#[test]
fn a_revocation_that_the_source_withdraws_stays_served_and_is_logged() {
    let folder = Folder::new();
    let ca = ca(&folder);
    ca.set_row("good", "R", "240102030405Z,keyCompromise");
    let server = Server::new(&folder, &usual(&ca));
    assert_eq!(status(&server, &ca, "good"), "revoked");
    let mark = server.mark();
    ca.set_row("good", "V", "");
    server.says_after(mark, "2 certificates");
    until("the source is asked again", || {
        assert_eq!(status(&server, &ca, "good"), "revoked");
        let withdrawn = "has withdrawn a revocation, revoked is served";
        server.log().contains(withdrawn).then_some(())
    });
    let said = server.ask(&ca, "-cert good.crt");
    for expected in [
        "good.crt: revoked",
        "Reason: keyCompromise",
        "Jan  2 03:04:05 2024",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let line = server.says("has withdrawn a revocation");
    assert!(line.contains("security: "), "{line}");
    assert!(
        line.to_lowercase()
            .contains(&ca.serial("good").to_lowercase()),
        "{line}"
    );
}

#[test]
fn a_hold_may_be_lifted() {
    let folder = Folder::new();
    let ca = ca(&folder);
    ca.set_row("good", "R", "240102030405Z,certificateHold");
    let server = Server::new(&folder, &usual(&ca));
    assert_eq!(status(&server, &ca, "good"), "revoked");
    ca.set_row("good", "V", "");
    becomes(&server, &ca, "good", "good");
    assert!(!server.log().contains("withdrawn"));
}
