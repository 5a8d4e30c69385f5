//! A frontend in somebody else's hands, for tests: a real launcher starts it in the frontend's place. It says at once that
//! it serves, and then does what it is told over its listening socket, a line at a time, with a line for the outcome:
//!
//! - `info`: the process ids of launcher and signer;
//! - `lock-in`: locks itself in by the real frontend's code, and makes its threads;
//! - `serve`: the list of system calls, by the real frontend's code;
//! - `try ATTEMPT`: makes an attempt, says `done` or the error;
//! - `relay`: whatever follows goes to the signer, octet by octet, and its octets come back.
//!
//! Its settings' first index file may say `# deaf`: then it hears neither the order to retire nor the end of its control
//! socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::unistd::getppid;
use ocsp_child::{LockedIn, boundary, exit, log};
use ocsp_frontend::control::{Launcher, Told, Word};
use ocsp_frontend::sandbox;
use ocsp_frontend_settings::{Settings, SourceKind};

#[path = "../attempt.rs"]
mod attempt;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some() {
        eprintln!("hostile-frontend is for tests only");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(format_args!("hostile-frontend: {error}"));
            ExitCode::from(13)
        }
    }
}

type Fails = Box<dyn std::error::Error>;

fn run() -> Result<(), Fails> {
    ocsp_child::begin(c"ocsp-frontend")?;
    let launcher = Arc::new(Launcher::take_over());
    let Some(Told {
        settings, sockets, ..
    }) = launcher.told()?
    else {
        return Ok(());
    };
    let deaf = settings.sources.iter().any(|source| match &source.kind {
        SourceKind::Index { file, .. } => std::fs::read_to_string(file)
            .is_ok_and(|text| text.lines().any(|line| line == "# deaf")),
        SourceKind::Mysql(_) => false,
    });
    let leader = getppid().as_raw();
    let signer = signer_of(leader);
    let socket = sockets.into_iter().next().ok_or("no listening socket")?;
    let listener = TcpListener::from(socket);
    launcher.ready(&["hostile".to_owned()])?;
    let mut hostile = Hostile {
        launcher,
        settings,
        deaf,
        leader,
        signer,
        stage: Stage::Free,
        relay: None,
    };
    if deaf {
        hostile.lock_in()?;
        hostile.serve()?;
    }
    loop {
        match listener.accept() {
            Ok((connection, _)) => hostile.follow(connection)?,
            // Not blocking, for all who share it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The launcher's other child: looked up while `/proc` can be seen.
fn signer_of(launcher: i32) -> i32 {
    for _ in 0..500 {
        let found = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| child_of(*pid, launcher))
            .max();
        if let Some(pid) = found {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    0
}

fn child_of(pid: i32, launcher: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(") ").and_then(|(_, behind)| {
        let mut fields = behind.split(' ').skip(1);
        fields.next()?.parse::<i32>().ok()
    });
    parent == Some(launcher) && stat.contains("(ocsp-signer)")
}

enum Stage {
    Free,
    LockedIn(LockedIn),
    Serving,
}

struct Hostile {
    launcher: Arc<Launcher>,
    settings: Settings,
    deaf: bool,
    leader: i32,
    signer: i32,
    stage: Stage,
    relay: Option<mpsc::Sender<Arc<TcpStream>>>,
}

impl Hostile {
    fn follow(&mut self, connection: TcpStream) -> Result<(), Fails> {
        let connection = Arc::new(connection);
        let mut lines = BufReader::new(&*connection);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return Ok(());
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let said = match *words.as_slice() {
                ["info"] => format!("{} {}", self.leader, self.signer),
                ["lock-in"] => self.lock_in()?,
                ["serve"] => self.serve()?,
                ["try", ref words @ ..] => {
                    let outcome = match attempt::attempt(words) {
                        Ok(()) => "done".to_owned(),
                        Err(error) => format!("{error:?}"),
                    };
                    log::info(format_args!("attack {}: {outcome}", words.join(" ")));
                    outcome
                }
                ["relay"] => return self.relay(&connection),
                _ => return Err(format!("not known: {line}").into()),
            };
            if (&*connection)
                .write_all(format!("{said}\n").as_bytes())
                .is_err()
            {
                return Ok(());
            }
        }
    }

    fn lock_in(&mut self) -> Result<String, Fails> {
        let locked_in = sandbox::lock_in(&self.settings)?;
        let abi = locked_in.landlock.abi;
        self.stage = Stage::LockedIn(locked_in);
        let (launcher, deaf) = (Arc::clone(&self.launcher), self.deaf);
        ocsp_child::thread("control", None, move || {
            loop {
                match launcher.next() {
                    Ok(Word::Inherit) => {}
                    Ok(Word::Retire(_) | Word::Leave) if deaf => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Ok(Word::Retire(_) | Word::Leave) => exit::leave(exit::DONE),
                    Err(_) if deaf => std::thread::sleep(Duration::from_millis(10)),
                    Err(_) => exit::leave(exit::BROKEN),
                }
            }
        })?;
        let (relay, relayed) = mpsc::channel::<Arc<TcpStream>>();
        self.relay = Some(relay);
        ocsp_child::thread("relay", None, move || {
            while let Ok(connection) = relayed.recv() {
                copy(boundary(), &*connection);
                let _ = connection.shutdown(Shutdown::Write);
            }
        })?;
        Ok(format!("{abi}"))
    }

    fn serve(&mut self) -> Result<String, Fails> {
        match std::mem::replace(&mut self.stage, Stage::Serving) {
            Stage::LockedIn(locked_in) => sandbox::enter_service(locked_in)?,
            Stage::Free | Stage::Serving => return Err("not at this stage".into()),
        }
        Ok("serving".to_owned())
    }

    fn relay(&self, connection: &Arc<TcpStream>) -> Result<(), Fails> {
        let relay = self.relay.as_ref().ok_or("not at this stage")?;
        (&**connection).write_all(b"relay\n")?;
        relay.send(Arc::clone(connection))?;
        copy(&**connection, boundary());
        Ok(())
    }
}

/// Copies until one of them ends: by hand, because the standard library would do it by calls that are not on the list.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut octets = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut octets) {
        if read == 0
            || to
                .write_all(octets.get(..read).unwrap_or_default())
                .is_err()
        {
            return;
        }
    }
}
