//! The daemon: started, listened to, signalled, and stopped when its value is dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// The sections `[listen]` and `[users]`.
pub fn head(listen: &str) -> String {
    let (frontend, signer) = users();
    format!(
        "[listen]\nhttp = [\"127.0.0.1:0\"]\n{listen}\n[users]\nfrontend = {frontend}\nsigner = {signer}\n"
    )
}

/// A line of `[listen]`: the admin listener.
pub const ADMIN: &str = "admin = \"127.0.0.1:0\"";

/// A number on the page of `/metrics`.
pub fn metric(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name:?} is not in:\n{page}"))
        .trim()
        .parse()
        .unwrap()
}

/// The usual configuration of one CA: its index is looked at again after a second.
pub fn usual(ca: &Ca) -> String {
    head("") + &ca.source("revalidate = \"1s\"") + &ca.issuer("")
}

/// Two processes and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    pub number: u32,
    pub frontend: u32,
    pub signer: u32,
}

impl Generation {
    fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.split_once("generation ")?;
        let (number, line) = line.split_once(" serves: frontend ")?;
        let (frontend, signer) = line.split_once(", signer ")?;
        Some(Self {
            number: number.parse().ok()?,
            frontend: frontend.parse().ok()?,
            signer: signer.parse().ok()?,
        })
    }

    pub fn pids(&self) -> [u32; 2] {
        [self.frontend, self.signer]
    }
}

/// The launcher, seen from whoever started it.
pub struct Server {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    listener: JoinHandle<()>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The configuration file.
    pub config: String,
}

impl Server {
    /// Starts it on this configuration, and waits until it serves.
    pub fn new(folder: &Folder, config: &str) -> Self {
        let file = folder.file("config.toml", config);
        let mut command = Command::new(launcher());
        command.args(["run", "--config", &file]);
        Self::started(command, &file)
    }

    /// Starts it for one CA, with more lines in its `[[issuer]]`.
    pub fn of(folder: &Folder, ca: &Ca, issuer: &str) -> Self {
        Self::new(folder, &(head("") + &ca.source("") + &ca.issuer(issuer)))
    }

    /// Starts it by a command of the caller's, and waits until it serves.
    pub fn started(command: Command, config: &str) -> Self {
        let mut server = Self::begun(command, config);
        let line = server.says("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        server.address = address.parse().unwrap();
        server.next_generation(0);
        server
    }

    /// Starts it, and waits for nothing.
    pub fn begun(mut command: Command, config: &str) -> Self {
        command
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::begun_as_it_is(command, config)
    }

    /// Likewise, with the environment of the command as it is.
    pub fn begun_as_it_is(mut command: Command, config: &str) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = process.stderr.take().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Self {
            process,
            lines,
            listener,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            config: config.to_owned(),
        }
    }

    /// Starts it on a configuration with which it must not come to serve: its exit code, and what it said.
    pub fn fails(folder: &Folder, config: &str) -> (i32, String) {
        let file = folder.file("config.toml", config);
        let mut command = Command::new(launcher());
        command.args(["run", "--config", &file]);
        Self::begun(command, &file).fails_itself()
    }

    /// Waits until it has failed.
    pub fn fails_itself(mut self) -> (i32, String) {
        let status = self.ended();
        let code = status
            .code()
            .unwrap_or_else(|| panic!("{status}\n{}", self.log()));
        // Its children hold no copy of its stderr, which ends with it.
        until("its last words", || {
            self.listener.is_finished().then_some(())
        });
        (code, self.log())
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        without_limits(&self.lines.lock().unwrap().join("\n"))
    }

    /// How many lines it has logged.
    pub fn mark(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Waits for a log line with this text.
    pub fn says(&self, text: &str) -> String {
        self.says_after(0, text)
    }

    /// Waits longer.
    pub fn says_within(&self, patience: Duration, text: &str) -> String {
        self.line(patience, text, |_, line| line.contains(text))
    }

    /// Waits for a log line with this text, behind as many others.
    pub fn says_after(&self, mark: usize, text: &str) -> String {
        self.line(PATIENCE, text, |at, line| at >= mark && line.contains(text))
    }

    fn line(&self, patience: Duration, what: &str, wanted: impl Fn(usize, &str) -> bool) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let found = self
                .lines
                .lock()
                .unwrap()
                .iter()
                .enumerate()
                .find(|(at, line)| wanted(*at, line))
                .map(|(_, line)| line.clone());
            if let Some(line) = found {
                return line;
            }
            assert!(
                Instant::now() < deadline,
                "waited {patience:?} in vain for a log line: {what}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The generation that serves.
    pub fn generation(&self) -> Generation {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .rev()
            .find_map(|line| Generation::parse(line))
            .unwrap()
    }

    /// Waits until a generation behind this number serves.
    pub fn next_generation(&self, number: u32) -> Generation {
        self.next_generation_within(PATIENCE, number)
    }

    pub fn next_generation_within(&self, patience: Duration, number: u32) -> Generation {
        let newer = |line: &str| Generation::parse(line).is_some_and(|found| found.number > number);
        self.line(patience, "a newer generation serves", |_, line| newer(line));
        self.generation()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Writes another configuration and has it read.
    pub fn reload(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
        self.signal(Signal::SIGHUP);
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        until("the launcher ends", || process.try_wait().unwrap())
    }

    /// Asks with `openssl ocsp`, and comes back with all it said.
    pub fn ask(&self, ca: &Ca, arguments: &str) -> String {
        let words = format!(
            "openssl ocsp -CAfile ca.crt -issuer ca.crt {arguments} -url {} -resp_text",
            self.url()
        );
        run(&ca.folder, &words.split(' ').collect::<Vec<_>>()).1
    }

    /// What its admin listener says to GET: status and text.
    pub fn admin(&self, path: &str) -> (u16, String) {
        let line = self.says("metrics on ");
        let address = line.split_once("metrics on ").unwrap().1.parse().unwrap();
        let mut client = Client::to(address).unwrap();
        client.send(&bodiless("GET", path)).unwrap();
        let response = client.response().unwrap();
        (response.status, String::from_utf8(response.body).unwrap())
    }

    pub fn metrics(&self) -> String {
        self.admin("/metrics").1
    }

    /// Sends one request by POST, on a connection of its own.
    pub fn post(&self, request: &[u8]) -> Response {
        self.try_post(request).unwrap()
    }

    pub fn try_post(&self, request: &[u8]) -> std::io::Result<Response> {
        let mut client = Client::to(self.address)?;
        client.send(&post(request))?;
        client.response()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let left = children(self.pid());
        for pid in &left {
            if state(*pid) == Some('T') {
                send(*pid, Signal::SIGCONT);
            }
        }
        let _ = kill(raw(self.pid()), Signal::SIGTERM); // it may have ended
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                for pid in &left {
                    let _ = kill(raw(*pid), Signal::SIGKILL); // likewise
                }
                let _ = self.process.kill();
                let _ = self.process.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            eprintln!("The daemon's log:\n{}", self.log());
        }
    }
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap())
}

/// Sends a signal to a process that must be there.
pub fn send(pid: u32, signal: Signal) {
    kill(raw(pid), signal).unwrap();
}
