//! What the three running processes are confined to, as the kernel shows it in `/proc`, and as other users find it.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use harness::*;

/// The daemon with one CA, after it has answered a question.
struct Scene {
    server: Server,
    generation: Generation,
    ca: Ca,
    _folder: Folder,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue("good");
        let server = Server::new(&folder, &usual(&ca));
        let scene = Self {
            generation: server.generation(),
            server,
            ca,
            _folder: folder,
        };
        scene.serves();
        scene
    }

    fn serves(&self) {
        self.server
            .post(&self.ca.request("-cert good.crt"))
            .answer();
    }

    fn all(&self) -> [(&'static str, u32); 3] {
        [
            ("ocsp-server", self.server.pid()),
            ("ocsp-frontend", self.generation.frontend),
            ("ocsp-signer", self.generation.signer),
        ]
    }
}

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
/// CAP_KILL (5), CAP_SETGID (6) and CAP_SETUID (7).
const KEPT: &str = "00000000000000e0";
const NONE: &str = "0000000000000000";

#[test]
fn the_children_have_their_own_users_no_group_no_capability_and_can_get_none() {
    let scene = Scene::new();
    let (frontend, signer) = users();
    let separated =
        root_for("that both children have a user of their own and an empty bounding set");
    for (pid, user) in [
        (scene.generation.frontend, frontend),
        (scene.generation.signer, signer),
    ] {
        for thread in threads(pid) {
            let status = status(&thread);
            assert_eq!(status["NoNewPrivs"], "1");
            assert_eq!(status["Uid"], four_times(user));
            for set in SETS {
                if separated || set != "CapBnd" {
                    assert_eq!(status[set], NONE, "{set} of {thread:?}");
                }
            }
            if separated {
                assert_eq!(status["Gid"], four_times(user));
                assert_eq!(status["Groups"], "");
            }
        }
    }
    assert!(!separated || frontend != signer);
}

#[test]
fn the_launcher_keeps_three_capabilities_and_one_thread() {
    let scene = Scene::new();
    let pid = scene.server.pid();
    assert_eq!(threads(pid).len(), 1);
    let status = status(format!("/proc/{pid}"));
    if root_for("which capabilities the launcher keeps") {
        let held = SETS.map(|set| (set, &*status[set]));
        let expected = [
            ("CapInh", NONE),
            ("CapPrm", KEPT),
            ("CapEff", KEPT),
            ("CapBnd", NONE),
            ("CapAmb", NONE),
        ];
        assert_eq!(held, expected);
    } else {
        assert_eq!(status["CapEff"], NONE);
    }
}

#[test]
fn the_signer_holds_two_sockets_and_a_pipe_and_nothing_else() {
    if !root_for("which descriptors the processes hold") {
        return;
    }
    let scene = Scene::new();
    let kinds = |pid| {
        let held = descriptors(pid);
        let kind = |to: &str| to.split(':').next().unwrap().to_owned();
        held.into_iter()
            .map(|(number, to)| (number, kind(&to)))
            .collect::<Vec<_>>()
    };
    let three =
        [(0, "socket"), (1, "socket"), (2, "pipe")].map(|(number, kind)| (number, kind.to_owned()));
    assert_eq!(kinds(scene.generation.signer), three);
    // The frontend begins with the same three; of files it has none open while it waits.
    let held = kinds(scene.generation.frontend);
    assert_eq!(held[..3], three);
    let files = |pid| {
        let held = descriptors(pid).into_values();
        held.filter(|to| to.starts_with('/')).collect::<Vec<_>>()
    };
    until("the frontend has no file open", || {
        let files = files(scene.generation.frontend);
        assert!(
            files
                .iter()
                .all(|file| !file.contains("/keys/") && !file.contains("/private/"))
        );
        files.is_empty().then_some(())
    });
    // The boundary is between these two, and the control sockets are not shared.
    let [frontend, signer] = scene.generation.pids().map(descriptors);
    assert!((0..3).all(|number| frontend[&number] != signer[&number]));
    // The launcher has no file of the CA open, and none of the boundary's ends.
    let launcher = descriptors(scene.server.pid());
    let ca = scene.ca.path("");
    for to in launcher.values() {
        assert!(!to.starts_with(&ca), "{launcher:?}");
        assert!(*to != frontend[&1] && *to != signer[&1], "{launcher:?}");
    }
}

#[test]
fn environment_folder_and_command_line_of_the_children_say_nothing() {
    let scene = Scene::new();
    let separated = root_for("environment, folder and executable of the processes");
    for (name, pid) in &scene.all()[1..] {
        assert_eq!(
            fs::read(format!("/proc/{pid}/cmdline")).unwrap(),
            [name.as_bytes(), &[0]].concat()
        );
        assert_eq!(
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .unwrap()
                .trim(),
            *name
        );
        if separated {
            let expected: &[u8] = match *name {
                "ocsp-signer" => b"MALLOC_ARENA_MAX=1\0",
                _ => b"",
            };
            assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), expected);
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
            assert_eq!(cwd.to_str(), Some("/"));
        }
    }
    if separated {
        let executables = scene
            .all()
            .map(|(_, pid)| fs::read_link(format!("/proc/{pid}/exe")).unwrap());
        let folder = launcher().parent().unwrap();
        let expected = scene.all().map(|(name, _)| folder.join(name));
        assert_eq!(executables, expected);
    }
}

#[test]
fn nobody_but_root_can_look_into_a_process() {
    let scene = Scene::new();
    for (name, pid) in scene.all() {
        // Not dumpable: what is in it belongs to root, whoever it runs as.
        let owner = fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid();
        assert_eq!(owner, 0, "{name}");
        for file in ["environ", "maps", "mem"] {
            let path = format!("/proc/{pid}/{file}");
            if !is_root() {
                assert!(fs::read(&path).is_err(), "{path}");
            }
        }
    }
    if root_for("that neither child can look into a process of its own user") {
        let (frontend, signer) = users();
        for (pid, user) in [
            (scene.generation.frontend, frontend),
            (scene.generation.signer, signer),
        ] {
            let path = format!("/proc/{pid}/environ");
            assert!(!as_user(user, &["cat", &path]).0, "{path}");
        }
    }
}

/// Runs a command as another user: whether it succeeded, and what it said.
fn as_user(user: u32, words: &[&str]) -> (bool, String) {
    let id = user.to_string();
    let setpriv = [
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--",
    ];
    run("/", &[&setpriv, words].concat())
}

#[test]
fn only_the_signers_user_can_read_the_key() {
    if !root_for("that the frontend's user cannot read the key") {
        return;
    }
    let scene = Scene::new();
    let (frontend, signer) = users();
    let key = scene.ca.key();
    for (user, expected) in [(signer, true), (frontend, false), (STRANGER, false)] {
        let (read, said) = as_user(user, &["cat", &key]);
        assert_eq!(read, expected, "user {user}: {said}");
        assert_eq!(said.contains("PRIVATE KEY"), expected, "user {user}");
    }
    // What the frontend needs it can read.
    assert!(as_user(frontend, &["cat", &scene.ca.path("index.txt")]).0);
}

#[test]
fn descriptors_of_whoever_starts_the_daemon_are_closed() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good");
    let file = folder.file("config.toml", usual(&ca));
    let secret = folder.file("stray", "stray");
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "exec 7<\"$2\" 9<\"$2\"; exec \"$0\" run --config \"$1\"",
    ]);
    command.arg(launcher()).args([&file, &secret]);
    // The children refuse to serve with a descriptor too many, so that it serves says something already.
    let server = Server::started(command, &file);
    server.post(&ca.request("-cert good.crt")).answer();
    if root_for("the descriptors themselves") {
        let [frontend, signer] = server.generation().pids();
        for pid in [server.pid(), frontend, signer] {
            let held = descriptors(pid);
            assert!(held.values().all(|to| *to != secret), "{held:?}");
        }
        assert_eq!(descriptors(server.generation().signer).len(), 3);
    }
}

#[test]
fn a_fresh_generation_is_confined_like_the_first() {
    let mut scene = Scene::new();
    scene.server.signal(nix::sys::signal::Signal::SIGHUP);
    scene.generation = scene.server.next_generation(1);
    scene.serves();
    for (name, pid) in &scene.all()[1..] {
        let status = status(format!("/proc/{pid}"));
        assert_eq!(
            (&*status["NoNewPrivs"], &*status["CapEff"]),
            ("1", NONE),
            "{name}"
        );
        if *name == "ocsp-signer" && root_for("the descriptors of a fresh signer") {
            assert_eq!(descriptors(*pid).len(), 3);
        }
    }
}

/// `signer/README.md` shows how the processes look; they look like that.
#[test]
fn the_processes_look_as_documented() {
    let folder = Folder::new();
    let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
    ca.issue("good");
    let config = format!(
        "[frontend]\nthreads = 2\n[signer]\nthreads = 2\n{}",
        usual(&ca)
    );
    let server = Server::new(&folder, &config);
    let generation = server.generation();
    let pids = [server.pid(), generation.signer, generation.frontend];
    let list = pids.map(|pid| pid.to_string()).join(",");
    let format = "user:16,pid:7,ppid:7,nlwp:4,args";
    let shown = must("/", &["ps", "--sort", "pid", "-o", format, "-p", &list]);
    let readme = include_str!("../signer/README.md");
    let (_, sample) = readme.split_once("```text\nUSER ").unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    let words = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().skip(1);
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let (shown, sample) = (words(&shown), words(sample));
    assert_eq!(shown.len(), 3, "{shown:?}");
    for (shown, sample) in shown.iter().zip(&sample) {
        let program = |line: &[String]| line[4].rsplit('/').next().unwrap().to_owned();
        assert_eq!(program(shown), program(sample));
        let child = sample[2] != "1";
        assert_eq!(shown[2] == server.pid().to_string(), child, "{shown:?}");
        // The source of this test is an index, which has a thread of its own.
        let more = usize::from(program(sample) == "ocsp-frontend");
        let threads = sample[3].parse::<usize>().unwrap() + more;
        assert_eq!(shown[3], threads.to_string(), "{shown:?}");
        // Arguments: the launcher's only.
        assert_eq!(shown.len() > 5, !child, "{shown:?}");
    }
    let users: std::collections::BTreeSet<_> = shown.iter().map(|line| &line[0]).collect();
    assert_eq!(users.len(), if is_root() { 3 } else { 1 }, "{shown:?}");
}
