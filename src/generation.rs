//! One frontend and its signer: two processes and the socketpair between them. A generation is started whole, becomes
//! ready once, and is retired once. The launcher's end of each child is a control socket and a log pipe; what comes in on
//! either is not trusted.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::pipe2;
use ocsp_frontend_settings::{Needed, Secret, Source};
use ocsp_wire::{Fault, Frames, FrontendOrder, Message, Mode, Report, SignerOrder, Version, frame};

use crate::config::{Config, User};
use crate::exit::{Failure, Reason};
use crate::listen::Listening;
use crate::log::{Lines, Log};
use crate::settings::Pipes;
use crate::{credential, executable, privilege, settings, sys};

/// A frontend and its signer.
pub struct Generation {
    /// Counted from 1.
    pub number: u64,
    /// Talks to clients.
    pub frontend: Child,
    /// Holds the keys.
    pub signer: Child,
    /// Where the next frontend reads what this one leaves to it, until it is known who that is.
    pub bequest: Option<OwnedFd>,
}

impl Generation {
    /// Starts both; the frontend refuses to serve without the sources that are `needed`. Each is handed what it is given
    /// open: the signer credentials, the frontend sockets, credentials, a pipe to the next frontend, and the end to read of
    /// the pipe of the one `before`. Nobody here reads a credential, and our copies are closed at once. The settings are on
    /// their way when this returns; readiness comes as an [`Event`].
    pub fn start(
        number: u64,
        config: &Config,
        listening: &[Listening],
        mode: Mode,
        needed: Needed,
        before: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Failure> {
        let for_signer = settings::for_signer(config, mode)?;
        let (bequest, theirs) = match mode {
            Mode::Serve => pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
                .map(|(read, write)| (Some(read), Some(write)))
                .map_err(Failure::environment("no pipe between frontends"))?,
            Mode::Check => (None, None),
        };
        let pipes = Pipes {
            bequeaths: theirs.is_some(),
            inherits: before.is_some(),
        };
        let for_frontend = settings::for_frontend(config, listening, mode, needed, pipes)?;
        let keys = credential::open_all(for_signer.credentials())?;
        let passwords = config.sources.iter().filter_map(Source::password);
        let passwords = credential::open_all(passwords.filter_map(Secret::credential))?;
        let (asking, answering) =
            UnixStream::pair().map_err(Failure::environment("no socketpair for the boundary"))?;
        let handed: Vec<_> = keys.iter().map(AsFd::as_fd).collect();
        let mut signer = Child::start(
            Role::Signer,
            &config.users.signer,
            answering.into(),
            &handed,
        )?;
        drop(keys);
        signer.order(&SignerOrder::Settings(for_signer))?;
        let sockets = listening.iter().map(AsFd::as_fd);
        let handed: Vec<_> = sockets
            .chain(passwords.iter().map(AsFd::as_fd))
            .chain(theirs.as_ref().map(AsFd::as_fd))
            .chain(before)
            .collect();
        let mut frontend = Child::start(
            Role::Frontend,
            &config.users.frontend,
            asking.into(),
            &handed,
        )?;
        frontend.order(&for_frontend)?;
        Ok(Self {
            number,
            frontend,
            signer,
            bequest,
        })
    }

    /// Both children.
    pub fn children(&mut self) -> [&mut Child; 2] {
        [&mut self.frontend, &mut self.signer]
    }

    /// Whether both are ready.
    pub fn ready(&self) -> bool {
        self.frontend.ready && self.signer.ready
    }

    /// Whether both are alive.
    pub fn whole(&self) -> bool {
        self.frontend.ended.is_none() && self.signer.ended.is_none()
    }

    /// Whether both are gone.
    pub fn gone(&self) -> bool {
        self.frontend.ended.is_some() && self.signer.ended.is_some()
    }

    /// Ends both at once.
    pub fn kill(&mut self) {
        for child in self.children() {
            child.kill();
        }
    }
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `ocsp-frontend`
    Frontend,
    /// `ocsp-signer`
    Signer,
}

impl Role {
    /// The name of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frontend => "ocsp-frontend",
            Self::Signer => "ocsp-signer",
        }
    }

    /// Its whole environment. The signer's allocator gets one arena: with one for each thread there would be ten times the
    /// memory to lock, and the C library would open a file when one shrinks.
    fn environment(self) -> &'static [&'static CStr] {
        match self {
            Self::Frontend => &[],
            Self::Signer => &[c"MALLOC_ARENA_MAX=1"],
        }
    }
}

/// What a child did.
#[derive(Debug)]
pub enum Event {
    /// Serves (or, in check mode, found all well); with notes.
    Ready(Vec<String>),
    /// Will not serve, for these reasons.
    Refused(Vec<String>),
    /// A frontend asks for a fresh generation, because a source does not answer.
    Renewal {
        /// The source, by place.
        source: u16,
        /// For the log.
        reason: String,
    },
    /// Said something on its control socket that the protocol does not allow.
    Violated(Fault),
    /// Is gone.
    Ended(ExitStatus),
}

/// A child, from its start until it was reaped.
pub struct Child {
    /// Which.
    pub role: Role,
    /// Whether it said that it serves.
    pub ready: bool,
    /// How it ended.
    pub ended: Option<ExitStatus>,
    refused: bool,
    killed: bool,
    process: std::process::Child,
    control: Option<UnixStream>,
    outgoing: Vec<u8>,
    frames: Frames,
    log: Option<File>,
    lines: Lines,
    pings: Pings,
}

#[derive(Default)]
struct Pings {
    sent: u64,
    answered: u64,
}

impl Child {
    fn start(
        role: Role,
        user: &User,
        boundary: OwnedFd,
        handed: &[BorrowedFd<'_>],
    ) -> Result<Self, Failure> {
        let starting = || format!("{} cannot be started", role.name());
        let failed = |error: std::io::Error| Failure::environment(starting())(error);
        let executable = executable::open(role.name())?;
        let (control, theirs) = UnixStream::pair().map_err(failed)?;
        control.set_nonblocking(true).map_err(failed)?;
        let (log, log_end) =
            pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|error| failed(error.into()))?;
        // std takes pipes for its standard streams as they are: the child's end stays non-blocking, so that a child
        // never waits for the log.
        let mut command = Command::new(role.name());
        command
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(boundary))
            .stderr(Stdio::from(log_end));
        if privilege::separated() {
            command.gid(user.gid).uid(user.uid);
        }
        let name = CString::new(role.name()).map_err(|error| failed(error.into()))?;
        sys::execute(&mut command, executable, name, role.environment());
        let process = command.spawn().map_err(failed)?;
        drop(command); // it holds copies of the child's ends: with them the child would never see an end
        let lines = Lines::new(format!("{}[{}]", role.name(), process.id()));
        let mut child = Self {
            role,
            ready: false,
            ended: None,
            refused: false,
            killed: false,
            process,
            control: Some(control),
            outgoing: Vec::new(),
            frames: Frames::new(),
            log: Some(File::from(log)),
            lines,
            pings: Pings::default(),
        };
        child.greet(handed).map_err(failed)?;
        Ok(child)
    }

    /// The opening frame, with what is handed over at its first octet.
    fn greet(&mut self, handed: &[BorrowedFd<'_>]) -> std::io::Result<()> {
        let hello = match self.role {
            Role::Frontend => frame(&FrontendOrder::Hello(Version::ours())),
            Role::Signer => frame(&SignerOrder::Hello(Version::ours())),
        };
        let hello = hello.map_err(std::io::Error::other)?;
        let raw: Vec<_> = handed.iter().map(AsRawFd::as_raw_fd).collect();
        let handed = [ControlMessage::ScmRights(&raw)];
        let handed = if raw.is_empty() { &[] } else { &handed[..] };
        if let Some(control) = &self.control {
            // A fresh socket takes a few octets at once.
            let fd = control.as_raw_fd();
            let sent = sendmsg::<()>(
                fd,
                &[IoSlice::new(&hello)],
                handed,
                MsgFlags::MSG_NOSIGNAL,
                None,
            )?;
            self.outgoing.extend(hello.iter().skip(sent));
        }
        Ok(())
    }

    /// The label of its log lines.
    pub fn who(&self) -> &str {
        self.lines.who()
    }

    /// Whether the launcher ended it, rather than somebody or something else.
    pub fn killed(&self) -> bool {
        self.killed
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends an order; what the socket does not take at once goes with the next [`Child::pump`].
    pub fn order(&mut self, order: &impl Message) -> Result<(), Failure> {
        let octets = frame(order).map_err(Failure::of(
            Reason::Failed,
            format_args!("{}: an order", self.who()),
        ))?;
        self.outgoing.extend(octets);
        self.write();
        Ok(())
    }

    fn write(&mut self) {
        let Some(control) = &mut self.control else {
            return self.outgoing.clear();
        };
        while !self.outgoing.is_empty() {
            match control.write(&self.outgoing) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It is gone, or about to be: its end will be reaped.
                Err(_) => return self.outgoing.clear(),
            }
        }
    }

    /// Sends a ping. False when the last five, two seconds apart, are unanswered.
    pub fn ping(&mut self) -> bool {
        if !self.ready {
            return true;
        }
        // One that has closed its control socket is about to leave, or will never answer.
        self.pings.sent += 1;
        let number = self.pings.sent;
        let sent = match self.role {
            Role::Frontend => self.order(&FrontendOrder::Ping(number)),
            Role::Signer => self.order(&SignerOrder::Ping(number)),
        };
        sent.is_ok() && number - self.pings.answered <= 5
    }

    /// Closes its control socket, which asks it to leave.
    pub fn dismiss(&mut self) {
        self.control = None;
    }

    /// Ends it at once; it is reaped with the next [`Child::pump`] after its death.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.killed = true;
            let _ = self.process.kill(); // it may be gone already
        }
    }

    /// What to wait for.
    pub fn polled(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let writing = if self.outgoing.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::POLLOUT
        };
        let control = self
            .control
            .as_ref()
            .map(|control| (control.as_fd(), PollFlags::POLLIN | writing));
        let log = self
            .log
            .as_ref()
            .map(|log| (log.as_fd(), PollFlags::POLLIN));
        control.into_iter().chain(log)
    }

    /// Does what can be done without waiting: writes, reads, logs, reaps.
    pub fn pump(&mut self, log: &mut Log) -> Vec<Event> {
        let mut events = Vec::new();
        self.write();
        // Reaped before the last read, so that nothing it has said is missed.
        let ended = if self.ended.is_none() {
            self.process.try_wait().ok().flatten()
        } else {
            None
        };
        self.read_log(log);
        self.read_control(&mut events);
        if let Some(status) = ended {
            self.ended = Some(status);
            self.control = None;
            self.lines.finish(log);
            self.log = None;
            events.push(Event::Ended(status));
        }
        events
    }

    fn read_log(&mut self, log: &mut Log) {
        let mut octets = [0; 16 << 10];
        // A few reads only: a child that floods the log waits for its turn.
        for _ in 0..8 {
            let Some(pipe) = &mut self.log else { return };
            match pipe.read(&mut octets) {
                Ok(0) => self.log = None,
                Ok(read) => self.lines.take(octets.get(..read).unwrap_or_default(), log),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn read_control(&mut self, events: &mut Vec<Event>) {
        let mut octets = [0; 16 << 10];
        for _ in 0..8 {
            let Some(control) = &mut self.control else {
                return;
            };
            match control.read(&mut octets) {
                Ok(0) => self.control = None,
                Ok(read) => {
                    self.frames.extend(octets.get(..read).unwrap_or_default());
                    if let Err(fault) = self.reports(events) {
                        self.control = None;
                        events.push(Event::Violated(fault));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.control = None,
            }
        }
    }

    fn reports(&mut self, events: &mut Vec<Event>) -> Result<(), Fault> {
        while let Some(report) = self.frames.next::<Report>()? {
            match report {
                Report::Hello(_) => return Err(Fault::Order),
                Report::Ready(_) if self.ready => return Err(Fault::Order),
                Report::Ready(notes) => {
                    self.ready = true;
                    events.push(Event::Ready(
                        notes.iter().map(ToString::to_string).collect(),
                    ));
                }
                Report::Refused(_) if self.ready || self.refused => return Err(Fault::Order),
                Report::Refused(reasons) => {
                    self.refused = true;
                    events.push(Event::Refused(
                        reasons.iter().map(ToString::to_string).collect(),
                    ));
                }
                Report::Pong(number) if number > self.pings.sent => {
                    return Err(Fault::UnknownId(number));
                }
                Report::Pong(number) => self.pings.answered = number,
                Report::Renew { .. } if !self.ready || self.role == Role::Signer => {
                    return Err(Fault::Order);
                }
                Report::Renew { source, reason } => events.push(Event::Renewal {
                    source,
                    reason: reason.to_string(),
                }),
            }
        }
        Ok(())
    }
}

/// No child is forgotten: whatever becomes of its generation, it is ended and reaped.
impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.kill();
            let _ = self.process.wait(); // it cannot outlive SIGKILL for long
        }
    }
}

/// How a child ended, in words.
pub fn ending(status: ExitStatus) -> String {
    use ocsp_child::exit::{BROKEN, CLOCK, DONE, REFUSED, USAGE, VIOLATION};
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            format!("was ended by signal {signal} ({name})")
        }
        (None, Some(DONE)) => "left".to_owned(),
        (None, Some(REFUSED)) => "left, refusing to serve".to_owned(),
        (None, Some(VIOLATION)) => "left, because its peer broke the protocol".to_owned(),
        (None, Some(CLOCK)) => "left, because the clock was moved".to_owned(),
        (None, Some(BROKEN)) => "left, because a channel broke".to_owned(),
        (None, Some(USAGE)) => "left, because it could not follow its launcher".to_owned(),
        (None, code) => format!("left with exit code {}", code.unwrap_or(-1)),
    }
}

/// Whether a child ended in a way that throws doubt on its peer, or on itself: the other is then ended with it.
pub fn is_breach(status: ExitStatus) -> bool {
    status.code() == Some(ocsp_child::exit::VIOLATION)
        || status.signal() == Some(Signal::SIGSYS as i32)
}
