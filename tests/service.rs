//! The launcher and its service manager: sockets that are handed over, and what is told of start, reload and end. The manager
//! is this test; a booted systemd is `tests/systemd/run`.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::*;
use nix::sys::signal::Signal;

/// A configuration that leaves it to others where to listen.
fn without_addresses(config: &str) -> String {
    config.replace("http = [\"127.0.0.1:0\"]\n", "")
}

/// A configuration that says where to listen.
fn listening_at(config: &str, address: &str) -> String {
    config.replace("127.0.0.1:0", address)
}

/// The launcher with two sockets handed over, by these names, and a stray descriptor as 5. A shell moves what it can be
/// given, its standard input and output, to where systemd puts sockets.
fn handing_over(first: OwnedFd, second: OwnedFd, names: &str, config: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 4<&1 5</etc/passwd 0</dev/null 1>/dev/null; \
             LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\"",
            "sh",
        ])
        .arg(launcher())
        .args(["run", "--config", config])
        .env("LISTEN_FDNAMES", names)
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second));
    command
}

/// Two listening sockets of the manager, which keeps them.
struct Sockets {
    http: TcpListener,
    admin: TcpListener,
}

impl Sockets {
    fn new() -> Self {
        Self {
            http: TcpListener::bind("127.0.0.1:0").unwrap(),
            admin: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.http.local_addr().unwrap()
    }

    fn handed(&self, config: &str) -> Command {
        let http = self.http.try_clone().unwrap().into();
        let admin = self.admin.try_clone().unwrap().into();
        handing_over(http, admin, "http:admin", config)
    }
}

/// What the manager hears.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(folder: &Folder) -> Self {
        let path = folder.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    /// The assignments of the next message, but for those of the watchdog.
    fn next(&self) -> Vec<String> {
        loop {
            let mut octets = [0; 4096];
            let length = self.socket.recv(&mut octets).unwrap();
            let text = std::str::from_utf8(&octets[..length]).unwrap();
            let said: Vec<_> = text.lines().map(str::to_owned).collect();
            if said != ["WATCHDOG=1"] {
                return said;
            }
        }
    }

    /// The next message begins with these.
    fn hears(&self, beginnings: &[&str]) {
        let said = self.next();
        let holds = said.len() == beginnings.len()
            && said
                .iter()
                .zip(beginnings)
                .all(|(said, beginning)| said.starts_with(beginning));
        assert!(holds, "{beginnings:?} was expected: {said:?}");
    }
}

#[test]
fn sockets_that_are_handed_over_are_served_and_nothing_else_is_kept() {
    let draft = Draft::new();
    let sockets = Sockets::new();
    let config = without_addresses(&draft.config);
    let file = draft.folder.file("config.toml", &config);
    let server = Server::begun_as_it_is(sockets.handed(&file), &file);
    let first = server.next_generation(0);
    server.says(&format!("listening on {}", sockets.address()));
    assert_eq!(server.admin("/readyz").0, 200);
    let held = descriptors(server.pid());
    assert!(!held.values().any(|to| to == "/etc/passwd"), "{held:?}");

    // A restart: what comes meanwhile waits in the socket.
    server.signal(Signal::SIGTERM);
    wait_until_gone(&first.pids());
    drop(server);
    let mut waiting = Client::to(sockets.address()).unwrap();
    let question = draft.ca.request("-no_nonce -cert good.crt");
    waiting.send(&post(&question)).unwrap();
    let server = Server::begun_as_it_is(sockets.handed(&file), &file);
    assert_eq!(waiting.response().unwrap().error(), 0);
    drop(server);
}

#[test]
fn the_manager_hears_of_start_reload_and_end() {
    let draft = Draft::new();
    let sockets = Sockets::new();
    let manager = Manager::new(&draft.folder);
    let config = without_addresses(&draft.config);
    let file = draft.folder.file("config.toml", &config);
    let mut command = sockets.handed(&file);
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "60000000");
    let mut server = Server::begun_as_it_is(command, &file);
    manager.hears(&["READY=1", "STATUS=generation 1 serves: frontend "]);

    let reloading = ["RELOADING=1", "STATUS=reloading", "MONOTONIC_USEC="];
    server.signal(Signal::SIGHUP);
    manager.hears(&reloading);
    manager.hears(&["READY=1", "STATUS=generation 2 serves: frontend "]);

    // Refused by the launcher, and by a child: each ends the reload, and says why.
    server.reload(&format!("{config}nonsense = 1\n"));
    manager.hears(&reloading);
    let refused = format!("STATUS=not reloaded, all goes on as before: {file}: ");
    manager.hears(&["READY=1", &refused]);
    let other = config.replace("signing.key", "no\\nMAINPID=1.key");
    assert_ne!(other, config);
    server.reload(&other);
    manager.hears(&reloading);
    let refused = "STATUS=generation 2 goes on serving as before: ocsp-signer refuses to serve: ";
    manager.hears(&["READY=1", refused]);

    // A death is no reload.
    send(server.generation().signer, Signal::SIGKILL);
    manager.hears(&["STATUS=a new generation is started in "]);
    manager.hears(&["READY=1", "STATUS=generation 4 serves: frontend "]);

    server.signal(Signal::SIGTERM);
    manager.hears(&["STOPPING=1", "EXTEND_TIMEOUT_USEC=15000000", "STATUS=stop"]);
    assert!(server.ended().success());
}

#[test]
fn the_watchdog_is_fed_twice_in_its_time() {
    let draft = Draft::new();
    let sockets = Sockets::new();
    let manager = Manager::new(&draft.folder);
    let config = without_addresses(&draft.config);
    let file = draft.folder.file("config.toml", &config);
    let mut command = sockets.handed(&file);
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "1000000");
    let server = Server::begun_as_it_is(command, &file);
    let mut octets = [0; 4096];
    let mut fed = 0;
    while fed < 5 {
        let length = manager.socket.recv(&mut octets).unwrap();
        fed += u32::from(&octets[..length] == b"WATCHDOG=1\n");
    }
    // A launcher that stands still feeds nobody.
    server.signal(Signal::SIGSTOP);
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    while manager.socket.recv(&mut octets).is_ok() {
        fed += 1;
        assert!(fed < 20, "it feeds on");
    }
    server.signal(Signal::SIGCONT);
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    let draft = Draft::new();
    let config = without_addresses(&draft.config);
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let fails = |first: OwnedFd, names: &str, config: &str, expected: &str| {
        let file = draft.folder.file("config.toml", config);
        let command = handing_over(first, tcp().into(), names, &file);
        let (code, said) = Server::begun_as_it_is(command, &file).fails_itself();
        assert_eq!(code, 4, "{said}");
        contains(&said, &[expected]);
    };
    fails(
        tcp().into(),
        "ocsp-server.socket:admin",
        &config,
        "systemd hands over a socket named \"ocsp-server.socket\": FileDescriptorName=http or admin was expected in its unit",
    );
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    fails(
        datagrams.into(),
        "http:admin",
        &config,
        "systemd hands over a socket named \"http\" that cannot be used: it is not for streams",
    );
    let listening = tcp();
    let connected = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    fails(
        connected.into(),
        "http:admin",
        &config,
        "systemd hands over a socket named \"http\" that cannot be used: it does not listen",
    );
    let elsewhere = tcp();
    let address = elsewhere.local_addr().unwrap();
    fails(
        elsewhere.into(),
        "http:admin",
        &listening_at(&draft.config, "127.0.0.1:9"),
        &format!("systemd hands over {address} as http, and [listen] http is \"127.0.0.1:9\""),
    );
    let file = std::fs::File::open("/etc/passwd").unwrap();
    fails(
        file.into(),
        "http:admin",
        &config,
        "systemd hands over a socket named \"http\" that cannot be used",
    );
    fails(
        tcp().into(),
        "http",
        &config,
        "the sockets that LISTEN_FDS and LISTEN_FDNAMES announce cannot be taken over",
    );
}

#[test]
fn a_unix_socket_and_an_address_that_is_written_as_well_are_taken() {
    let draft = Draft::new();
    let path = draft.folder.path("http.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let config = draft.config.replace(
        "http = [\"127.0.0.1:0\"]",
        &format!("http = [\"unix:{path}\", \"{address}\"]"),
    );
    let file = draft.folder.file("config.toml", &config);
    let command = handing_over(unix.into(), tcp.into(), "http:http", &file);
    let server = Server::begun_as_it_is(command, &file);
    server.next_generation(0);
    server.says(&format!("listening on unix:{path}"));
    server.says(&format!("listening on {address}"));
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = draft.ca.request("-no_nonce -cert good.crt");
    stream.write_all(&post(&question)).unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}
