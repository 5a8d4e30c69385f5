//! `ocsp-frontend`: the process that the network reaches. It parses requests, asks status sources, keeps answers, and has
//! new ones signed by the signer on the other side of the boundary. It holds no key and trusts nobody: not its clients,
//! not its sources' form, not its signer.
//!
//! The way of a request, each room once: [`listener`] accepts, [`http`] or [`raw`] cut out the octets, [`request`] makes
//! them a typed question, [`answer`] finds the answer, in the [`cache`], from a source of [`status`], or from the
//! [`signer`], whose words [`response`] compares with the question.

mod answer;
mod cache;
mod control;
mod http;
mod issuer;
mod listener;
mod pem;
mod raw;
mod request;
mod response;
mod sandbox;
mod seldom;
mod signer;
mod status;

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ocsp_child::{boundary, exit, log};
use ocsp_frontend_settings::Settings;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::Responder;
use crate::control::{Launcher, Word};
use crate::issuer::Issuers;
use crate::listener::{Listening, Serving};
use crate::signer::Signer;
use crate::status::Source;

/// The order is the point: undumpable, told, files read, locked in, threads, ready.
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("ocsp-frontend {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let confined = ocsp_child::begin(c"ocsp-frontend");
    let launcher = Launcher::new();
    let (settings, sockets) = match launcher.told() {
        Ok(Some(told)) => told,
        Ok(None) => return code(exit::DONE),
        Err(fault) => {
            log::error(format_args!(
                "ocsp-frontend is started by ocsp-server, on its sockets: {fault}"
            ));
            return code(exit::USAGE);
        }
    };
    let refuse = |faults: &[String]| {
        launcher.refuse(faults);
        code(exit::REFUSED)
    };
    if let Err(error) = confined {
        return refuse(&[error.to_string()]);
    }
    let issuers = match Issuers::open(&settings.issuers) {
        Ok(issuers) => issuers,
        Err(faults) => return refuse(&faults),
    };
    let mut notes = Vec::new();
    let sources: Vec<Source> = settings
        .sources
        .iter()
        .map(|source| Source::open(source, &mut notes))
        .collect();
    if let Err(error) = sandbox::lock_in(&settings) {
        return refuse(&[error.to_string()]);
    }
    let available = sources.iter().all(Source::available);
    if (settings.check || settings.sources_needed) && !available {
        let faults: Vec<_> = notes
            .iter()
            .filter_map(|note| note.strip_prefix("warning: "))
            .map(str::to_owned)
            .collect();
        return refuse(&faults);
    }
    if settings.check {
        let sent = launcher.ready(&notes);
        return code(if sent.is_ok() {
            exit::DONE
        } else {
            exit::BROKEN
        });
    }
    match serve(settings, sockets, issuers, sources, launcher, &notes) {
        Ok(()) => code(exit::DONE),
        Err(error) => {
            log::error(format_args!("the frontend cannot go on: {error}"));
            code(exit::BROKEN)
        }
    }
}

/// Threads, runtime, boundary, clients; until retired and done, or told to leave.
fn serve(
    settings: Settings,
    sockets: Vec<OwnedFd>,
    issuers: Issuers,
    sources: Vec<Source>,
    launcher: Launcher,
    notes: &[String],
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads.max(1).into())
        .max_blocking_threads(1)
        .enable_all()
        .build()?;
    for source in &sources {
        source.keep_up()?;
    }
    runtime.block_on(async {
        let signer = Signer::connect(boundary())?;
        if !signer.greeted().await {
            return Err(std::io::Error::other("the signer left before it served"));
        }
        let max_stale = Duration::from_secs(settings.max_stale);
        let responder = Responder::new(issuers, sources, signer, settings.cache_memory, max_stale);
        let (retire, retired) = watch::channel(None);
        let serving = Arc::new(Serving::new(Arc::new(responder), &settings, retired));
        let mut accepting = Vec::new();
        for (listener, socket) in settings.listeners.iter().zip(sockets) {
            let listening = Listening::new(listener.kind, socket)?;
            accepting.push(tokio::spawn(listening.accept(Arc::clone(&serving))));
        }
        launcher.ready(notes).map_err(std::io::Error::other)?;
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || follow(&launcher, &retire))?;
        // Each ends when this generation is retired; only then is it sure that no connection comes any more.
        for listening in accepting {
            listening.await.map_err(std::io::Error::other)?;
        }
        serving.done().await;
        Ok(())
    })
}

/// Follows the launcher; ends the process when it says so, or is gone.
fn follow(launcher: &Launcher, retire: &watch::Sender<Option<Instant>>) {
    loop {
        match launcher.next() {
            Ok(Word::Retire(idle_ms)) => {
                let until = Instant::now() + Duration::from_millis(idle_ms.into());
                retire.send_replace(Some(until));
            }
            Ok(Word::Leave) => std::process::exit(exit::DONE),
            Err(fault) => {
                log::error(format_args!("the control socket: {fault}"));
                std::process::exit(exit::BROKEN)
            }
        }
    }
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
