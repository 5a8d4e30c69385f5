//! How a signer starts, and follows its launcher. The rooms are described in `lib.rs`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use ocsp_child::confine::NotConfined;
use ocsp_child::{Control, boundary, exit, log};
use ocsp_signer::{issuer, policy, sandbox, serve};
use ocsp_wire::{
    Fault, List, Mode, Report, SignerControlEnd, SignerEnd, SignerOrder, SignerSettings, Text,
};

/// The order is the point: undumpable, told, keys open, locked in, threads, system calls, ready.
fn main() -> ExitCode {
    if let Some(asked) = std::env::args().nth(1) {
        return ocsp_child::confine::about(
            "ocsp-signer",
            env!("CARGO_PKG_VERSION"),
            &asked,
            &sandbox::CALLS,
        );
    }
    exit::leave(run())
}

/// How it ended.
fn run() -> i32 {
    let confined = ocsp_child::begin(c"ocsp-signer");
    let control = Control::take_over();
    let launcher = SignerControlEnd::new(control.clone(), control.clone());
    let (settings, handed) = match told(&launcher, &control) {
        Ok(Some(told)) => told,
        Ok(None) => return exit::DONE,
        Err(fault) => {
            log::error(format_args!(
                "ocsp-signer is started by ocsp-server, on its sockets: {fault}"
            ));
            return exit::USAGE;
        }
    };
    if let Err(error) = confined {
        return refuse(&launcher, vec![error.to_string()]);
    }
    let (issuers, notes) = match issuer::open_all(&settings, handed) {
        Ok(opened) => opened,
        Err(faults) => return refuse(&launcher, faults),
    };
    match serve(&settings, issuers, &launcher, notes) {
        Ok(code) => code,
        Err(error) => refuse(&launcher, vec![error.to_string()]),
    }
}

/// Locked in twice: before there is a second thread, and when all are there. Only then is a question read.
fn serve(
    settings: &SignerSettings,
    issuers: Vec<issuer::Issuer>,
    launcher: &Launcher,
    mut notes: Vec<String>,
) -> Result<i32, NotConfined> {
    let locked_in = sandbox::lock_in(settings)?;
    let landlock = locked_in.landlock;
    let policy = policy::Policy::new(issuers, settings.remember_revoked);
    let gate = match settings.mode {
        Mode::Check => None,
        Mode::Serve => {
            let frontend = SignerEnd::new(boundary(), boundary());
            let gate = serve::start(policy, frontend, settings.threads);
            Some(gate.map_err(|error| {
                NotConfined(format!("no signing thread could be started: {error}"))
            })?)
        }
    };
    let memory = match sandbox::enter_service(locked_in, settings.require_mlock)? {
        Ok(()) => "memory locked",
        Err(error) => {
            notes.push(format!("warning: {error}"));
            "memory not locked"
        }
    };
    let calls = sandbox::CALLS.len();
    notes.push(format!("{landlock}, {calls} system calls, {memory}"));
    let Some(gate) = gate else {
        let sent = launcher.send(&ready(&notes));
        return Ok(if sent.is_ok() {
            exit::DONE
        } else {
            exit::BROKEN
        });
    };
    gate.open();
    Ok(follow(launcher, &notes))
}

type Launcher = SignerControlEnd<Control>;

/// The settings, which come once, first, and a descriptor for each credential that they name.
fn told(
    launcher: &Launcher,
    control: &Control,
) -> Result<Option<(SignerSettings, Vec<OwnedFd>)>, Fault> {
    launcher.greet()?;
    let settings = match launcher.receive()? {
        None => return Ok(None),
        Some(SignerOrder::Settings(settings)) => settings,
        Some(SignerOrder::Ping(_) | SignerOrder::Hello(_)) => return Err(Fault::Order),
    };
    let handed = control.handed();
    let (found, expected) = (handed.len(), settings.credentials().count());
    if found != expected {
        return Err(Fault::Handed { found, expected });
    }
    Ok(Some((settings, handed)))
}

/// Says that this signer serves, and then follows the launcher until it closes the control socket.
fn follow(launcher: &Launcher, notes: &[String]) -> i32 {
    let mut said = launcher.send(&ready(notes));
    while said.is_ok() {
        said = match launcher.receive() {
            Ok(Some(SignerOrder::Ping(number))) => launcher.send(&Report::Pong(number)),
            Ok(None) => return exit::DONE,
            Ok(Some(SignerOrder::Hello(_) | SignerOrder::Settings(_))) => Err(Fault::Order),
            Err(fault) => Err(fault),
        };
    }
    if let Err(fault) = said {
        log::error(format_args!("the control socket: {fault}"));
    }
    exit::BROKEN
}

fn refuse(launcher: &Launcher, faults: Vec<String>) -> i32 {
    let faults = faults
        .iter()
        .take(100)
        .map(|fault| Text::cut(fault))
        .collect::<Vec<_>>();
    if let Ok(faults) = List::new(faults) {
        let _ = launcher.send(&Report::Refused(faults)); // the exit code says it as well
    }
    exit::REFUSED
}

fn ready(notes: &[String]) -> Report {
    let notes = notes
        .iter()
        .take(4000)
        .map(|note| Text::cut(note))
        .collect::<Vec<_>>();
    Report::Ready(List::new(notes).unwrap_or_else(|_| List::empty()))
}
