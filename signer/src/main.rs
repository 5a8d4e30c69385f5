//! How a signer starts, and follows its launcher. The rooms are described in `lib.rs`.

use std::process::ExitCode;

use ocsp_child::{boundary, control, exit, log};
use ocsp_signer::{issuer, policy, sandbox, serve};
use ocsp_wire::{
    Fault, List, Mode, Report, SignerControlEnd, SignerEnd, SignerOrder, SignerSettings, Text,
};

/// The order is the point: undumpable, told, keys open, locked in, threads, ready.
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("ocsp-signer {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let confined = ocsp_child::begin(c"ocsp-signer");
    let launcher = SignerControlEnd::new(control(), control());
    let settings = match told(&launcher) {
        Ok(Some(settings)) => settings,
        Ok(None) => return code(exit::DONE),
        Err(fault) => {
            log::error(format_args!(
                "ocsp-signer is started by ocsp-server, on its sockets: {fault}"
            ));
            return code(exit::USAGE);
        }
    };
    if let Err(error) = confined {
        return refuse(&launcher, vec![error.to_string()]);
    }
    let (issuers, notes) = match issuer::open_all(&settings) {
        Ok(opened) => opened,
        Err(faults) => return refuse(&launcher, faults),
    };
    if let Err(error) = sandbox::lock_in(&settings) {
        return refuse(&launcher, vec![error.to_string()]);
    }
    let policy = policy::Policy::new(issuers, settings.remember_revoked);
    match settings.mode {
        Mode::Check => {
            let sent = launcher.send(&ready(&notes));
            code(if sent.is_ok() {
                exit::DONE
            } else {
                exit::BROKEN
            })
        }
        Mode::Serve => {
            let frontend = SignerEnd::new(boundary(), boundary());
            match serve::start(policy, frontend, settings.threads) {
                Ok(()) => follow(&launcher, &notes),
                Err(error) => refuse(
                    &launcher,
                    vec![format!("no signing thread could be started: {error}")],
                ),
            }
        }
    }
}

type Launcher = SignerControlEnd<ocsp_child::Descriptor>;

/// The settings, which come once, first.
fn told(launcher: &Launcher) -> Result<Option<SignerSettings>, Fault> {
    launcher.greet()?;
    match launcher.receive()? {
        None => Ok(None),
        Some(SignerOrder::Settings(settings)) => Ok(Some(settings)),
        Some(SignerOrder::Ping(_) | SignerOrder::Hello(_)) => Err(Fault::Order),
    }
}

/// Says that this signer serves, and then follows the launcher until it closes the control socket.
fn follow(launcher: &Launcher, notes: &[String]) -> ExitCode {
    let mut said = launcher.send(&ready(notes));
    while said.is_ok() {
        said = match launcher.receive() {
            Ok(Some(SignerOrder::Ping(number))) => launcher.send(&Report::Pong(number)),
            Ok(None) => return code(exit::DONE),
            Ok(Some(SignerOrder::Hello(_) | SignerOrder::Settings(_))) => Err(Fault::Order),
            Err(fault) => Err(fault),
        };
    }
    if let Err(fault) = said {
        log::error(format_args!("the control socket: {fault}"));
    }
    code(exit::BROKEN)
}

fn refuse(launcher: &Launcher, faults: Vec<String>) -> ExitCode {
    let faults = faults
        .iter()
        .take(100)
        .map(|fault| Text::cut(fault))
        .collect::<Vec<_>>();
    if let Ok(faults) = List::new(faults) {
        let _ = launcher.send(&Report::Refused(faults)); // the exit code says it as well
    }
    code(exit::REFUSED)
}

fn ready(notes: &[String]) -> Report {
    let notes = notes
        .iter()
        .take(4000)
        .map(|note| Text::cut(note))
        .collect::<Vec<_>>();
    Report::Ready(List::new(notes).unwrap_or_else(|_| List::empty()))
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
