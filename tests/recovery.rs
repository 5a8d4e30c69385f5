//! Processes of the daemon that are killed or stand still, and what its clients notice of that.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::process::Command;

use harness::*;
use nix::sys::signal::Signal;

#[test]
fn without_its_signer_a_frontend_serves_its_cache_until_a_fresh_generation_takes_over() {
    let scene = Scene::new();
    let old = scene.server.generation();
    let question = scene.question();
    let cached = scene.server.post(&question).answer();
    // Connections that the old frontend has accepted stay with it, whenever the next one is ready.
    let [mut one, mut two] = [(); 2].map(|()| scene.connection());
    send(old.signer, Signal::SIGKILL);
    wait_until_gone(&[old.signer]);
    scene.server.says("the signer is gone: cached answers only");
    assert_eq!(one.ask(&question).unwrap().answer(), cached);
    assert_eq!(two.ask(&scene.fresh_question()).unwrap().error(), TRY_LATER);
    let new = scene.server.next_generation(old.number);
    assert!(
        old.pids().iter().all(|pid| !new.pids().contains(pid)),
        "{old:?} {new:?}"
    );
    scene.serves();
    drop((one, two));
    wait_until_gone(&old.pids());
    scene.server.says(&format!(
        "ocsp-signer[{}] was ended by signal 9",
        old.signer
    ));
}

#[test]
fn without_a_frontend_connections_wait_for_the_next_one() {
    let scene = Scene::new();
    let old = scene.server.generation();
    let question = scene.question();
    send(old.frontend, Signal::SIGKILL);
    until("the frontend has ended", || {
        (!alive(old.frontend)).then_some(())
    });
    let mut waiting: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::to(scene.server.address).unwrap();
            client.send(&post(&question)).unwrap();
            client
        })
        .collect();
    for client in &mut waiting {
        client.response().unwrap().answer();
    }
    assert_eq!(
        scene.server.next_generation(old.number).number,
        old.number + 1
    );
    scene.serves();
    wait_until_gone(&old.pids());
}

#[test]
fn at_most_the_query_in_hand_fails_when_a_frontend_is_killed() {
    let scene = Scene::new();
    let (answered, failed) = under_load(&scene, || {
        send(scene.server.generation().frontend, Signal::SIGKILL);
        scene.server.next_generation(1);
    });
    assert!(failed.len() <= 1, "{failed:?} of {answered}");
    scene.serves();
}

#[test]
fn no_cached_answer_fails_when_a_signer_is_killed() {
    let scene = Scene::new();
    scene.serves();
    let signer = scene.server.generation().signer;
    let (answered, failed) = under_load(&scene, || {
        send(signer, Signal::SIGKILL);
        scene.server.next_generation(1);
    });
    assert_eq!(failed, Vec::<String>::new(), "of {answered}");
}

#[test]
fn after_a_refused_reload_a_crash_is_recovered_with_the_configuration_that_served() {
    let scene = Scene::new();
    // It checks as a configuration; the signer refuses it: the key is not the CA's.
    let responder = format!("responder = {:?}\n", scene.ca.path("responder.crt"));
    let wrong = scene.config.replace(&responder, "");
    assert_ne!(wrong, scene.config);
    scene.server.reload(&wrong);
    scene.server.says("goes on serving as before");
    let before = scene.server.generation();
    send(before.signer, Signal::SIGKILL);
    scene.server.next_generation(before.number);
    scene.serves();
}

#[test]
fn a_stopped_frontend_is_replaced() {
    let scene = Scene::new();
    let old = scene.server.generation();
    send(old.frontend, Signal::SIGSTOP);
    let new = scene
        .server
        .next_generation_within(LONG_PATIENCE, old.number);
    scene.server.says(&format!(
        "ocsp-frontend[{}] has not answered for 10 s and is ended",
        old.frontend
    ));
    assert_ne!(new.frontend, old.frontend);
    scene.serves();
    wait_until_gone(&old.pids());
}

#[test]
fn a_stopped_signer_is_replaced() {
    let scene = Scene::new();
    let old = scene.server.generation();
    send(old.signer, Signal::SIGSTOP);
    let new = scene
        .server
        .next_generation_within(LONG_PATIENCE, old.number);
    scene.server.says(&format!(
        "ocsp-signer[{}] has not answered for 10 s and is ended",
        old.signer
    ));
    assert_ne!(new.signer, old.signer);
    scene.serves();
    wait_until_gone(&old.pids());
}

#[test]
fn a_signer_that_is_killed_again_and_again_does_not_take_the_launcher_with_it() {
    let scene = Scene::new();
    for number in 1..=3 {
        send(scene.server.generation().signer, Signal::SIGKILL);
        scene.server.next_generation(number);
        scene.serves();
    }
    assert!(alive(scene.server.pid()));
}

#[test]
fn children_do_not_outlive_a_launcher_that_is_killed() {
    let mut scene = Scene::new();
    let all = scene.server.generation().pids();
    scene.server.signal(Signal::SIGKILL);
    scene.server.ended();
    for pid in all {
        until("the child has left", || (!alive(pid)).then_some(()));
    }
}

#[test]
fn a_second_daemon_takes_over_a_unix_socket_that_a_killed_one_left() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    let socket = folder.path("http.sock");
    let config = (head("") + &ca.source("") + &ca.issuer(""))
        .replace("\"127.0.0.1:0\"", &format!("\"unix:{socket}\""));
    let file = folder.file("config.toml", &config);
    for _ in 0..2 {
        let mut command = Command::new(launcher());
        command.args(["--config", &file]);
        let mut server = Server::begun(command, &file);
        server.says(&format!("listening on unix:{socket}"));
        let generation = server.next_generation(0);
        std::os::unix::net::UnixStream::connect(&socket).unwrap();
        server.signal(Signal::SIGKILL);
        server.ended();
        for pid in generation.pids() {
            until("the child has left", || (!alive(pid)).then_some(()));
        }
        // A process is seen to end a moment before its descriptors are closed.
        until("nobody listens", || {
            let refused = std::os::unix::net::UnixStream::connect(&socket).is_err();
            refused.then_some(())
        });
    }
}
