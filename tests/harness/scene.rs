//! A CA, the daemon that serves it, and what clients ask of both.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A CA with `good.crt`, and the daemon that serves it.
pub struct Scene {
    pub server: Server,
    pub ca: Ca,
    pub config: String,
    pub folder: Folder,
}

impl Scene {
    pub fn new() -> Self {
        Self::with("")
    }

    pub fn with(listen: &str) -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue("good");
        let config = head(listen) + &ca.source("") + &ca.issuer("");
        let server = Server::new(&folder, &config);
        Self {
            server,
            ca,
            config,
            folder,
        }
    }

    /// A question that is answered from the cache, once it was asked.
    pub fn question(&self) -> Vec<u8> {
        self.ca.request("-no_nonce -cert good.crt")
    }

    /// A question that only a signer can answer.
    pub fn fresh_question(&self) -> Vec<u8> {
        self.ca.request("-cert good.crt")
    }

    /// Both kinds of question are answered.
    pub fn serves(&self) {
        for question in [self.question(), self.fresh_question()] {
            let answer = self.server.post(&question).answer();
            assert!(self.ca.reads(&answer).contains("Cert Status: good"));
        }
    }

    /// A connection that has been used, by the generation that serves now.
    pub fn connection(&self) -> Client {
        let mut client = Client::to(self.server.address).unwrap();
        client.ask(&self.question()).unwrap();
        client
    }
}

pub fn wait_until_gone(pids: &[u32]) {
    for pid in pids {
        until(&format!("process {pid} is gone"), || {
            gone(*pid).then_some(())
        });
    }
}

/// Asks the same question on fresh connections while something is done: how many answers came, and what failed.
pub fn under_load(scene: &Scene, mut done: impl FnMut()) -> (u32, Vec<String>) {
    let question = scene.question();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut answered, mut failed) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                match scene.server.try_post(&question) {
                    Ok(response) if response.status == 200 && response.error() == 0 => {
                        answered += 1
                    }
                    other => failed.push(format!("{other:?}")),
                }
            }
            (answered, failed)
        });
        done();
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    })
}

/// A CA with `good.crt`, and a configuration that serves it.
pub struct Draft {
    pub folder: Folder,
    pub ca: Ca,
    pub config: String,
}

impl Draft {
    pub fn new() -> Self {
        let folder = Folder::new();
        let ca = Ca::new(&folder, "ca", Kind::P256, By::Delegate);
        ca.issue("good");
        let config = usual(&ca);
        Self { folder, ca, config }
    }

    /// Runs a command of the launcher to its end: exit code, standard output, standard error.
    pub fn command(&self, words: &[&str], config: &str) -> (i32, String, String) {
        let file = self.folder.file("config.toml", config);
        let words = [&[launcher().to_str().unwrap()], words, &["--config", &file]].concat();
        let output = output("/", &words, &[]);
        (
            output.status.code().unwrap(),
            without_limits(&String::from_utf8(output.stdout).unwrap()),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// The configuration with something else in the place of a text that it has.
    pub fn with(&self, text: &str, other: &str) -> String {
        let changed = self.config.replace(text, other);
        assert_ne!(changed, self.config, "{text:?} is not in the configuration");
        changed
    }
}
