//! Servers that are measured, and what they take. All of them run on one core.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::harness::*;
use crate::plan::Authority;

/// The core of the servers and that of everything else.
#[derive(Clone, Copy)]
pub struct Cores {
    /// Of the servers.
    pub servers: usize,
    /// Of the generator.
    pub generator: usize,
    /// Whether the servers may have what the generator leaves of its core.
    pub shared: bool,
}

impl Cores {
    /// Puts this thread, and what it starts from now on, on the generator's core.
    pub fn on_generator(self) {
        pin(&[self.generator]);
    }

    /// Starts something on the servers' core.
    pub fn on_servers<T>(self, start: impl FnOnce() -> T) -> T {
        match self.shared {
            false => pin(&[self.servers]),
            true => pin(&[self.servers, self.generator]),
        }
        let started = start();
        pin(&[self.generator]);
        started
    }
}

fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core).unwrap();
    }
    sched_setaffinity(Pid::from_raw(0), &set)
        .unwrap_or_else(|error| panic!("cores {cores:?}: {error}"));
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Which {
    /// The daemon, with statuses from MariaDB.
    Daemon,
    /// Another build of the daemon, likewise: the one before a change, say.
    Before,
    /// The daemon, with statuses from an `index.txt`.
    DaemonIndex,
    /// The other build, likewise.
    BeforeIndex,
    /// A bare hyper server: a fixed body.
    Hyper,
    /// A bare hyper server: a body for each request, in a map.
    HyperMap,
    /// nginx: a static file.
    Nginx,
    /// `openssl ocsp` on the same `index.txt`.
    Openssl,
    /// No server: one signature, by `openssl speed`.
    Signature,
    /// No server: one verification, likewise.
    Verification,
}

impl Which {
    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daemon => "ocsp-server, MariaDB",
            Self::Before => "ocsp-server before, MariaDB",
            Self::DaemonIndex => "ocsp-server, index.txt",
            Self::BeforeIndex => "ocsp-server before, index.txt",
            Self::Hyper => "bare hyper, fixed body",
            Self::HyperMap => "bare hyper, a map of bodies",
            Self::Nginx => "nginx, static file",
            Self::Openssl => "openssl ocsp, index.txt",
            Self::Signature => "one bare signature",
            Self::Verification => "one bare verification",
        }
    }

    /// Whether it is the daemon.
    pub fn is_ours(self) -> bool {
        match self {
            Self::Daemon | Self::Before | Self::DaemonIndex | Self::BeforeIndex => true,
            Self::Hyper
            | Self::HyperMap
            | Self::Nginx
            | Self::Openssl
            | Self::Signature
            | Self::Verification => false,
        }
    }

    /// The other build that is measured beside this one.
    pub fn before(self) -> Option<Self> {
        match self {
            Self::Daemon => Some(Self::Before),
            Self::DaemonIndex => Some(Self::BeforeIndex),
            _ => None,
        }
    }
}

/// A server that runs, until the value is dropped.
pub struct Running {
    /// What it is.
    pub which: Which,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its processes.
    pub processes: Vec<(&'static str, u32)>,
    /// The daemon.
    pub daemon: Option<Server>,
    _child: Option<Stopped>,
}

/// A process that is ended when the value is dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        send(self.0.id(), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

impl Running {
    /// The folder of another build of the daemon, if one is to be measured as well.
    pub fn before() -> Option<PathBuf> {
        std::env::var_os("OCSP_BENCH_BEFORE").map(PathBuf::from)
    }

    /// Starts the other build, with statuses of an authority's table or index.
    pub fn before_of(cores: Cores, folder: &Folder, authority: &Authority, index: bool) -> Self {
        let programs = Self::before().unwrap();
        let config = head(ADMIN) + &authority.sections(index);
        let launcher = programs.join("ocsp-server");
        let database = authority.database.as_ref().filter(|_| !index);
        let mut running = Self::daemon_by(&launcher, cores, folder, &config, database);
        running.which = running.which.before().unwrap_or(running.which);
        running
    }

    /// Starts the daemon, with statuses of an authority's table or index.
    pub fn daemon(cores: Cores, folder: &Folder, authority: &Authority, index: bool) -> Self {
        let database = authority.database.as_ref().filter(|_| !index);
        let config = head(ADMIN) + &authority.sections(index);
        Self::daemon_of(cores, folder, &config, database)
    }

    /// Starts the daemon on a configuration.
    pub fn daemon_of(
        cores: Cores,
        folder: &Folder,
        config: &str,
        database: Option<&Database>,
    ) -> Self {
        Self::daemon_by(launcher(), cores, folder, config, database)
    }

    fn daemon_by(
        launcher: &Path,
        cores: Cores,
        folder: &Folder,
        config: &str,
        database: Option<&Database>,
    ) -> Self {
        let server = cores.on_servers(|| {
            let file = folder.file("config.toml", config);
            let mut command = Command::new(launcher);
            command.args(["run", "--config", &file]);
            let mut server = Server::begun(command, &file);
            let patience = Duration::from_secs(120); // an index.txt of a million lines
            let line = server.says_within(patience, "listening on ");
            server.address = line.split_once("listening on ").unwrap().1.parse().unwrap();
            server.next_generation_within(patience, 0);
            server
        });
        let generation = server.generation();
        let mut processes = vec![
            ("launcher", server.pid()),
            ("frontend", generation.frontend),
            ("signer", generation.signer),
        ];
        processes.extend(database.map(|database| ("MariaDB", database.server.pid())));
        Self {
            which: match database {
                Some(_) => Which::Daemon,
                None => Which::DaemonIndex,
            },
            address: server.address,
            processes,
            daemon: Some(server),
            _child: None,
        }
    }

    /// Starts a bare hyper server, on this body.
    pub fn hyper(which: Which, cores: Cores, folder: &Folder, body: &[u8]) -> Self {
        let file = folder.file("answer.der", body);
        let mut command = Command::new(std::env::current_exe().unwrap());
        let word = match which {
            Which::HyperMap => "each",
            _ => "fixed",
        };
        command.args([word, &file]).stdout(Stdio::piped());
        let mut child = cores.on_servers(|| command.spawn().unwrap());
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self::one(which, address, "hyper", Stopped(child))
    }

    /// Starts nginx, on this body.
    pub fn nginx(cores: Cores, folder: &Folder, body: &[u8]) -> Self {
        folder.file("answer.der", body);
        let address = free_address();
        let config = folder.file(
            "nginx.conf",
            format!(
                "daemon off; worker_processes 1; pid {0}; error_log {1} crit; user nobody nogroup;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; default_type application/ocsp-response; keepalive_requests 1000000000;\n\
                 open_file_cache max=16; open_file_cache_valid 1h; large_client_header_buffers 4 32k;\n\
                 client_body_temp_path {2}; proxy_temp_path {2}; fastcgi_temp_path {2}; uwsgi_temp_path {2}; scgi_temp_path {2};\n\
                 server {{ listen {address}; root {3}; \n\
                 location / {{ try_files /answer.der =404; error_page 405 =200 /answer.der; }} }} }}\n",
                folder.path("nginx.pid"),
                folder.path("nginx.log"),
                folder.path("nginx.tmp"),
                folder.path(""),
            ),
        );
        let mut command =
            Command::new(std::env::var_os("OCSP_BENCH_NGINX").unwrap_or("nginx".into()));
        let log = folder.path("nginx.log");
        command
            .args(["-c", &config, "-e", &log])
            .stderr(Stdio::null());
        let child = Stopped(cores.on_servers(|| command.spawn().unwrap()));
        listens(address);
        let worker = until("nginx has a worker", || {
            children(child.0.id()).first().copied()
        });
        let mut running = Self::one(Which::Nginx, address, "master", child);
        running.processes.push(("worker", worker));
        running
    }

    /// Starts `openssl ocsp`.
    pub fn openssl(cores: Cores, authority: &Authority) -> Self {
        let address = free_address();
        let port = address.port().to_string();
        let mut command = Command::new("openssl");
        command
            .args([
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "ca.crt",
                "-rsigner",
                "ca.crt",
            ])
            .args([
                "-rkey",
                "private/ca.key",
                "-port",
                &port,
                "-ndays",
                "3",
                "-resp_no_certs",
            ])
            .current_dir(&authority.ca.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = Stopped(cores.on_servers(|| command.spawn().unwrap()));
        // A connection that ends without a question would make it spin.
        let question = crate::harness::post(&authority.request);
        until_after(Duration::from_secs(60), "openssl ocsp answers", || {
            let mut client = Client::to(address).ok()?;
            client.send(&question).ok()?;
            client.head().ok()
        });
        Self::one(Which::Openssl, address, "openssl", child)
    }

    fn one(which: Which, address: SocketAddr, name: &'static str, child: Stopped) -> Self {
        Self {
            which,
            address,
            processes: vec![(name, child.0.id())],
            daemon: None,
            _child: Some(child),
        }
    }

    /// What its processes have used of the core until now, in ns.
    pub fn used(&self) -> Vec<u64> {
        self.processes.iter().map(|(_, pid)| used(*pid)).collect()
    }

    /// What its processes have in memory, in KiB.
    pub fn resident(&self) -> Vec<u64> {
        let resident = |pid: u32| -> u64 {
            let status = status(format!("/proc/{pid}"));
            status["VmRSS"].trim_end_matches(" kB").parse().unwrap()
        };
        self.processes
            .iter()
            .map(|(_, pid)| resident(*pid))
            .collect()
    }
}

/// What a process has used of any core, in ns, its threads that have ended included. utime and stime of `/proc/PID/stat`
/// have 100 ticks a second, which is too coarse for a short measurement.
fn used(pid: u32) -> u64 {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let clock = clock_getcpuclockid(pid).and_then(clock_gettime);
    let used = clock.unwrap_or_else(|error| panic!("the CPU time of process {pid}: {error}"));
    Duration::from(used).as_nanos().try_into().unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn listens(address: SocketAddr) {
    until(&format!("{address} listens"), || Client::to(address).ok());
}

/// What one signature and one verification take of the servers' core, in µs, by `openssl speed`; where they have two, half of
/// that.
pub fn raw(cores: Cores, algorithm: &str) -> [f64; 2] {
    let mut command = Command::new("openssl");
    command.args(["speed", "-seconds", "1", "-mr"]);
    if cores.shared {
        command.args(["-multi", "2"]);
    }
    command.arg(algorithm);
    let output = cores.on_servers(|| command.stderr(Stdio::null()).output().unwrap());
    let said = String::from_utf8(output.stdout).unwrap();
    // +F2:2:2048:SIGNATURES:VERIFICATIONS or +F4:3:256:SIGNATURES:VERIFICATIONS, in a second of CPU time.
    let mut lines = said.lines();
    let line = lines.find(|line| line.starts_with("+F2:") || line.starts_with("+F4:"));
    [3, 4].map(|place| {
        let rate = line.and_then(|line| line.split(':').nth(place)?.parse::<f64>().ok());
        1e6 / rate.unwrap_or_else(|| panic!("openssl speed {algorithm}: {said}"))
    })
}
