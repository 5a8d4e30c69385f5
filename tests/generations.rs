//! Start, reload and end of the whole daemon, and what its clients notice of them.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::process::Command;

use harness::*;
use nix::sys::signal::Signal;

#[test]
fn a_reload_starts_a_fresh_generation_and_the_old_one_leaves() {
    let scene = Scene::new();
    let mut before = scene.server.generation();
    for _ in 0..3 {
        scene.server.signal(Signal::SIGHUP);
        let after = scene.server.next_generation(before.number);
        assert_eq!(after.number, before.number + 1);
        assert!(before.pids().iter().all(|pid| !after.pids().contains(pid)));
        scene.serves();
        wait_until_gone(&before.pids());
        before = after;
    }
    let mut serving = children(scene.server.pid());
    serving.sort_unstable();
    let mut expected = before.pids();
    expected.sort_unstable();
    assert_eq!(serving, expected);
}

#[test]
fn no_query_fails_while_generations_are_reloaded() {
    let scene = Scene::new();
    let (answered, failed) = under_load(&scene, || {
        for number in 1..=5 {
            scene.server.signal(Signal::SIGHUP);
            scene.server.next_generation(number);
        }
    });
    assert_eq!(failed, Vec::<String>::new(), "of {answered}");
    assert!(answered > 20, "{answered}");
    // Many at once: those that are still starting give way.
    let (answered, failed) = under_load(&scene, || {
        let before = scene.server.generation();
        for _ in 0..10 {
            scene.server.signal(Signal::SIGHUP);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        scene.server.next_generation(before.number);
        until("one generation is left", || {
            let [frontend, signer] = scene.server.generation().pids();
            let mut left = children(scene.server.pid());
            left.retain(|pid| ![frontend, signer].contains(pid));
            left.is_empty().then_some(())
        });
    });
    assert_eq!(failed, Vec::<String>::new(), "of {answered}");
    scene.serves();
}

#[test]
fn an_open_connection_is_told_to_close_with_its_next_answer_after_a_reload() {
    let scene = Scene::new();
    let mut client = scene.connection();
    let again = client.ask(&scene.question()).unwrap();
    assert_eq!(again.header("connection"), None);
    scene.server.signal(Signal::SIGHUP);
    let old = scene.server.generation();
    scene.server.next_generation(1);
    let last = until("the order to retire has arrived", || {
        let last = client.ask(&scene.question()).unwrap();
        (last.header("connection") == Some("close")).then_some(last)
    });
    last.answer();
    assert_eq!(client.rest(), [0; 0]);
    wait_until_gone(&old.pids());
}

#[test]
fn a_reload_with_a_mistake_names_it_and_changes_nothing() {
    let scene = Scene::new();
    let before = scene.server.generation();
    for (wrong, said) in [
        (
            scene
                .config
                .replace("[[issuer]]", "[[issuer]]\nvalidity = \"3 days\""),
            "[[issuer]] 1 (\"ca\"): key \"validity\": found \"3 days\", expected a duration",
        ),
        (
            scene.config.clone() + "\ncertifcate = 1\n",
            "the nearest known key is \"certificate\"",
        ),
        ("[listen".to_owned(), "is no TOML"),
    ] {
        let mark = scene.server.mark();
        scene.server.reload(&wrong);
        let line = scene
            .server
            .says_after(mark, "not reloaded, all goes on as before: ");
        assert!(
            line.contains(&format!("{}: ", scene.server.config)),
            "{line}"
        );
        assert!(line.contains(said), "{said:?} was expected in {line:?}");
        assert!(line.contains("error: "), "{line}");
        scene.serves();
    }
    let mark = scene.server.mark();
    fs::remove_file(&scene.server.config).unwrap();
    scene.server.signal(Signal::SIGHUP);
    let line = scene.server.says_after(mark, "not reloaded");
    assert!(line.contains("No such file"), "{line}");
    assert_eq!(scene.server.generation(), before);
    assert!(before.pids().iter().all(|pid| alive(*pid)));
    // And a good one is taken afterwards.
    scene.server.reload(&scene.config);
    scene.server.next_generation(before.number);
    scene.serves();
}

#[test]
fn a_reload_that_changes_listen_or_users_asks_for_a_restart() {
    let scene = Scene::new();
    let before = scene.server.generation();
    let frontend = format!("frontend = {}", users().0);
    for (changed, section) in [
        (
            scene.config.replace("[listen]", "[listen]\ndrain = \"3s\""),
            "[listen]",
        ),
        (
            scene.config.replace("127.0.0.1:0", "127.0.0.2:0"),
            "[listen]",
        ),
        (
            scene.config.replace(&frontend, "frontend = 61809"),
            "[users]",
        ),
    ] {
        assert_ne!(changed, scene.config);
        let mark = scene.server.mark();
        scene.server.reload(&changed);
        let line = scene
            .server
            .says_after(mark, "not reloaded, all goes on as before: ");
        let expected = format!(
            "{}: {section} changed, which needs a restart",
            scene.server.config
        );
        assert!(line.contains(&expected), "{line}");
    }
    assert_eq!(scene.server.generation(), before);
    scene.serves();
}

#[test]
fn a_reload_takes_over_what_has_changed() {
    let scene = Scene::new();
    scene.ca.sign_unlisted("unlisted");
    let ask = || scene.server.ask(&scene.ca, "-cert unlisted.crt");
    assert!(ask().contains("unauthorized (6)"));
    scene
        .server
        .reload(&(scene.config.clone() + "unknown = \"unknown\"\nvalidity = \"2d\"\n"));
    scene.server.next_generation(1);
    assert!(ask().contains("unlisted.crt: unknown"));
    let answer = scene.server.post(&scene.question()).answer();
    let times = times(&basic(&answer));
    assert_eq!(seconds(&times[2]) - seconds(&times[1]), 2 * 86_400 - 1);
}

/// Waits until the generation behind this one serves, and has read all that this one has left.
fn heir(scene: &Scene, before: &Generation) -> Generation {
    let after = scene.server.next_generation(before.number);
    let line = format!("ocsp-frontend[{}]: inherits ", after.frontend);
    scene.server.says(&line);
    // Its admin listener is the only one then.
    wait_until_gone(&before.pids());
    after
}

/// Signatures of the generation that serves, and answers that it has taken over.
fn signed_and_inherited(scene: &Scene) -> (u64, u64) {
    let page = scene.server.metrics();
    (
        metric(&page, "ocsp_signatures_total "),
        metric(&page, "ocsp_inherited_total "),
    )
}

#[test]
fn after_a_reload_what_was_signed_before_is_served_without_another_signature() {
    let scene = Scene::with(ADMIN);
    let first = scene.server.post(&scene.question()).answer();
    let mut before = scene.server.generation();
    for _ in 0..3 {
        scene.server.signal(Signal::SIGHUP);
        before = heir(&scene, &before);
        for _ in 0..3 {
            assert_eq!(scene.server.post(&scene.question()).answer(), first);
        }
        assert_eq!(signed_and_inherited(&scene), (0, 1));
    }
    // Likewise where the signer dies, as long as the frontend is there to leave something.
    send(before.signer, Signal::SIGKILL);
    before = heir(&scene, &before);
    assert_eq!(scene.server.post(&scene.question()).answer(), first);
    assert_eq!(signed_and_inherited(&scene), (0, 1));
    // And where it is not, all is signed anew.
    send(before.frontend, Signal::SIGKILL);
    scene.server.next_generation(before.number);
    wait_until_gone(&before.pids());
    assert_ne!(scene.server.post(&scene.question()).answer(), first);
    assert_eq!(signed_and_inherited(&scene), (1, 0));
}

#[test]
fn a_reload_inherits_nothing_that_is_otherwise_now() {
    let scene = Scene::with(ADMIN);
    let ask = || scene.server.post(&scene.question()).answer();
    let first = ask();
    // Another validity, by the same key.
    let before = scene.server.generation();
    let brief = scene.config.clone() + "validity = \"1d\"\n";
    scene.server.reload(&brief);
    let before = heir(&scene, &before);
    let second = ask();
    let told = times(&basic(&second));
    assert_eq!(seconds(&told[2]) - seconds(&told[1]), 86_400 - 1);
    assert_eq!(signed_and_inherited(&scene), (1, 0));
    // Another key, and another certificate with it.
    scene.ca.give_to_signer(&scene.ca.path("private/ca.key"));
    let responder = format!("responder = {:?}\n", scene.ca.path("responder.crt"));
    let own = brief.replace(&responder, "");
    assert_ne!(own, brief);
    scene.server.reload(&own);
    let before = heir(&scene, &before);
    let third = ask();
    assert_eq!(signed_and_inherited(&scene), (1, 0));
    // Revoked in between.
    scene.ca.revoke("good", "keyCompromise");
    scene.server.signal(Signal::SIGHUP);
    heir(&scene, &before);
    let fourth = ask();
    assert!(scene.ca.reads(&fourth).contains("Cert Status: revoked"));
    assert_eq!(signed_and_inherited(&scene), (1, 0));
    assert!(first != second && second != third && third != fourth);
}

/// What a key has signed stays where another one comes before it, and goes where it would be signed otherwise.
#[test]
fn a_key_keeps_its_answers_beside_another_one_and_not_with_another_digest() {
    const DAY: i64 = 86_400;
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good");
    let rsa = ca.delegate("rsa", Kind::Rsa, [-DAY, 40 * DAY]);
    let next = ca.delegate("next", Kind::Rsa, [30 * DAY, 60 * DAY]);
    let start = head(ADMIN) + &ca.source("");
    let config = start.clone() + &ca.issuer_with("", &[&rsa]);
    let server = Server::new(&folder, &config);
    let scene = Scene {
        server,
        ca,
        config,
        folder,
    };
    let reload = |keys: &[&str]| {
        let config = start.clone() + &scene.ca.issuer_with("", keys);
        scene.server.reload(&config);
    };
    let ask = || scene.server.post(&scene.question()).answer();
    let answer = ask();
    let before = scene.server.generation();
    reload(&[&next, &rsa]);
    let before = heir(&scene, &before);
    assert_eq!(ask(), answer);
    assert_eq!(signed_and_inherited(&scene), (0, 1));
    let other = rsa.clone() + "digest = \"sha384\"\n";
    reload(&[&next, &other]);
    heir(&scene, &before);
    assert_ne!(ask(), answer);
    assert_eq!(signed_and_inherited(&scene), (1, 0));
}

#[test]
fn a_reload_with_a_key_that_does_not_match_leaves_the_old_generation_serving() {
    let scene = Scene::new();
    let before = scene.server.generation();
    scene.ca.give_to_signer(&scene.ca.path("private/ca.key")); // the configuration names a responder's certificate
    scene.server.signal(Signal::SIGHUP);
    let line = scene.server.says("refuses to serve");
    assert!(line.contains("is not the key of the certificate"), "{line}");
    assert!(line.contains(&scene.ca.key()), "{line}");
    scene.server.says("generation 1 goes on serving as before");
    assert_eq!(scene.server.generation(), before);
    until("what did not start is gone", || {
        (children(scene.server.pid()).len() == 2).then_some(())
    });
    scene.serves();
    // With the right key again, the next reload works.
    scene
        .ca
        .give_to_signer(&scene.ca.path("private/responder.key"));
    scene.server.signal(Signal::SIGHUP);
    scene.server.next_generation(before.number);
    scene.serves();
}

#[test]
fn a_daemon_that_is_told_to_stop_while_it_starts_leaves_nothing() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    let file = folder.file("config.toml", usual(&ca));
    let mut command = Command::new(launcher());
    command.args(["--config", &file]);
    let mut server = Server::begun(command, &file);
    server.says("listening on ");
    let started = until("its children", || {
        let started = children(server.pid());
        (!started.is_empty()).then_some(started)
    });
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended().code(), Some(0));
    assert!(started.iter().all(|pid| gone(*pid)));
}

#[test]
fn a_daemon_that_is_told_to_stop_finishes_what_it_has_in_hand() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut scene = Scene::new();
        let all = scene.server.generation().pids();
        let mut idle = scene.connection();
        let mut client = scene.connection();
        let question = scene.question();
        let request = post(&question);
        let (head, body) = request.split_at(request.len() - question.len());
        let head = std::str::from_utf8(head).unwrap();
        let head = head.replace("Content-Type", "Expect: 100-continue\r\nContent-Type");
        client.send(head.as_bytes()).unwrap();
        assert_eq!(client.head().unwrap().status, 100); // it has the header in hand
        scene.server.signal(signal);
        scene.server.says("stopping");
        assert_eq!(idle.rest(), [0; 0]);
        client.send(body).unwrap();
        let last = client.response().unwrap();
        assert_eq!(last.header("connection"), Some("close"));
        last.answer();
        assert_eq!(scene.server.ended().code(), Some(0));
        assert!(all.iter().all(|pid| gone(*pid)));
        assert!(Client::to(scene.server.address).is_err());
        scene.server.says("stopped");
    }
}

#[test]
fn a_stopped_child_is_ended_when_the_time_to_drain_is_over() {
    for stopped in [0, 1] {
        let mut scene = Scene::with("drain = \"2s\"");
        let all = scene.server.generation().pids();
        send(all[stopped], Signal::SIGSTOP);
        scene.server.signal(Signal::SIGTERM);
        assert_eq!(scene.server.ended().code(), Some(0));
        // By the end of that time, not by the pings that it leaves unanswered.
        assert!(!scene.server.log().contains("has not answered"));
        assert!(all.iter().all(|pid| gone(*pid)));
    }
}

#[test]
fn a_client_that_never_finishes_does_not_keep_a_daemon_that_is_told_to_stop() {
    let mut scene = Scene::with("drain = \"2s\"");
    let all = scene.server.generation().pids();
    let mut client = scene.connection();
    client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Type: application/ocsp-request\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().status, 100);
    scene.server.signal(Signal::SIGTERM);
    assert_eq!(scene.server.ended().code(), Some(0));
    assert!(all.iter().all(|pid| gone(*pid)));
}

#[test]
fn the_children_leave_signals_to_their_launcher() {
    let scene = Scene::new();
    let before = scene.server.generation();
    for pid in before.pids() {
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGPIPE,
        ] {
            send(pid, signal);
        }
    }
    scene.serves();
    assert!(before.pids().iter().all(|pid| alive(*pid)));
    assert_eq!(scene.server.generation(), before);
}

#[test]
fn nothing_is_left_behind_by_this_harness() {
    let scene = Scene::new();
    let generation = scene.server.generation();
    let all = [&[scene.server.pid()], &generation.pids()[..]].concat();
    let folder = scene.folder.path("");
    send(generation.frontend, Signal::SIGSTOP);
    until("it is stopped", || {
        (state(generation.frontend) == Some('T')).then_some(())
    });
    assert!(all.iter().all(|pid| alive(*pid)));
    drop(scene);
    assert!(all.iter().all(|pid| gone(*pid)));
    assert!(!fs::exists(folder).unwrap());
}
