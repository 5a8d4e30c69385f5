//! `ocsp-frontend`: how it starts, serves, and leaves. The rooms are described in `lib.rs`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ocsp_child::{boundary, exit, log};
use ocsp_frontend_settings::{Needed, Settings};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;

use ocsp_frontend::answer::Responder;
use ocsp_frontend::control::{Launcher, Word};
use ocsp_frontend::issuer::Issuers;
use ocsp_frontend::listener::{Listening, Serving};
use ocsp_frontend::sandbox;
use ocsp_frontend::signer::Signer;
use ocsp_frontend::status::Source;

/// How long names may take to be resolved: ready does not wait for what only a database needs.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// The order is the point: undumpable, told, files read, locked in, threads, ready.
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("ocsp-frontend {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let confined = ocsp_child::begin(c"ocsp-frontend");
    let launcher = Launcher::take_over();
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
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    let patience = Instant::now() + RESOLVE_WITHIN;
    for (place, source) in settings.sources.iter().enumerate() {
        let issuers = settings.issuers.iter();
        let issuers = issuers.filter(|issuer| issuer.source == place).count();
        match Source::open(source, issuers, patience, &mut notes) {
            Ok(source) => sources.push(source),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return refuse(&faults);
    }
    if let Err(error) = sandbox::lock_in(&settings) {
        return refuse(&[error.to_string()]);
    }
    if settings.needed != Needed::Nothing && !sources.iter().all(Source::has_files) {
        let faults: Vec<_> = notes
            .iter()
            .filter_map(|note| note.strip_prefix("warning: "))
            .map(str::to_owned)
            .collect();
        return refuse(&faults);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads.max(1).into())
        .max_blocking_threads(1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&[format!("the runtime cannot be started: {error}")]),
    };
    if settings.check {
        runtime.block_on(async {
            for source in &sources {
                let (more, wrong) = source.examine().await;
                notes.extend(more);
                faults.extend(wrong);
            }
        });
        if !faults.is_empty() {
            return refuse(&faults);
        }
        let sent = launcher.ready(&notes);
        return code(if sent.is_ok() {
            exit::DONE
        } else {
            exit::BROKEN
        });
    }
    if let Needed::Database(place) = settings.needed
        && let Some(source) = sources.get(usize::from(place))
        && let Err(fault) = runtime.block_on(source.reach())
    {
        return refuse(&[fault]);
    }
    match serve(
        &runtime, settings, sockets, issuers, sources, launcher, &notes,
    ) {
        Ok(()) => code(exit::DONE),
        Err(error) => {
            log::error(format_args!("the frontend cannot go on: {error}"));
            code(exit::BROKEN)
        }
    }
}

/// Sources, boundary, clients; until retired and done, or told to leave.
fn serve(
    runtime: &Runtime,
    settings: Settings,
    sockets: Vec<OwnedFd>,
    issuers: Issuers,
    sources: Vec<Source>,
    launcher: Launcher,
    notes: &[String],
) -> std::io::Result<()> {
    let launcher = Arc::new(launcher);
    runtime.block_on(async {
        for (place, source) in (0..).zip(&sources) {
            source.keep_up(place, &launcher)?;
        }
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
            let listening = Listening::new(listener, socket)?;
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
        for source in serving.responder.sources() {
            source.leave().await;
        }
        // At once: taken apart piece by piece, this process would see its signer leave before it is gone itself.
        std::process::exit(exit::DONE)
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
