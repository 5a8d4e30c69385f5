//! `ocsp-frontend`: how it starts, serves, and leaves. The rooms are described in `lib.rs`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ocsp_child::{boundary, exit, log};
use ocsp_frontend_settings::{Needed, Secret, Settings};
use tikv_jemallocator::Jemalloc;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use ocsp_frontend::answer::{Answer, Responder};
use ocsp_frontend::cache::Cache;
use ocsp_frontend::control::{Launcher, Told, Word};
use ocsp_frontend::expiry;
use ocsp_frontend::heritage;
use ocsp_frontend::issuer::{self, Issuers};
use ocsp_frontend::listener::{Listening, Serving};
use ocsp_frontend::sandbox;
use ocsp_frontend::signer::Signer;
use ocsp_frontend::status::Source;

/// How long names may take to be resolved: ready does not wait for what only a database needs.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);

/// The C library's memory grows by one page at a time, with a system call for each, in every thread but the first: that and
/// the rest of it is a fifth of what the frontend does for an answer that is new. OpenSSL goes on with it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The order is the point: undumpable, told, files read, locked in, threads, system calls, ready.
fn main() -> ExitCode {
    if let Some(asked) = std::env::args().nth(1) {
        return ocsp_child::confine::about(
            "ocsp-frontend",
            env!("CARGO_PKG_VERSION"),
            &asked,
            sandbox::CALLS,
        );
    }
    exit::leave(run())
}

/// How it ended.
fn run() -> i32 {
    let confined = ocsp_child::begin(c"ocsp-frontend");
    let launcher = Arc::new(Launcher::take_over());
    let Told {
        settings,
        sockets,
        passwords,
        to_next,
        from_before,
    } = match launcher.told() {
        Ok(Some(told)) => told,
        Ok(None) => return exit::DONE,
        Err(fault) => {
            log::error(format_args!(
                "ocsp-frontend is started by ocsp-server, on its sockets: {fault}"
            ));
            return exit::USAGE;
        }
    };
    let refuse = |faults: &[String]| {
        launcher.refuse(faults);
        exit::REFUSED
    };
    if let Err(error) = confined {
        return refuse(&[error.to_string()]);
    }
    let issuers = match Issuers::open(&settings.issuers, settings.verify) {
        Ok(issuers) => issuers,
        Err(faults) => return refuse(&faults),
    };
    let replayed = settings.issuers.iter().filter_map(issuer::replayed);
    let mut notes: Vec<_> = replayed
        .map(|warning| format!("warning: {warning}"))
        .collect();
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    let patience = Instant::now() + RESOLVE_WITHIN;
    let mut passwords = passwords.into_iter();
    for (place, source) in settings.sources.iter().enumerate() {
        let issuers = settings.issuers.iter();
        let issuers = issuers.filter(|issuer| issuer.source == place).count();
        let credential = source.password().and_then(Secret::credential);
        let handed = credential.and_then(|_| passwords.next());
        match Source::open(source, issuers, handed, patience, &mut notes) {
            Ok(source) => sources.push(source),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return refuse(&faults);
    }
    let locked_in = match sandbox::lock_in(&settings) {
        Ok(locked_in) => locked_in,
        Err(error) => return refuse(&[error.to_string()]),
    };
    notes.push(format!(
        "{}, {} system calls",
        locked_in.landlock,
        sandbox::CALLS.len()
    ));
    if settings.needed != Needed::Nothing && !sources.iter().all(Source::has_files) {
        let faults: Vec<_> = notes
            .iter()
            .filter_map(|note| note.strip_prefix("warning: "))
            .map(str::to_owned)
            .collect();
        return refuse(&faults);
    }
    let pipes = (to_next, from_before);
    let prepared = Prepared::new(&settings, sockets, pipes, &sources, &launcher);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&[format!("the runtime cannot be started: {error}")]),
    };
    if let Err(error) = sandbox::enter_service(locked_in) {
        return refuse(&[error.to_string()]);
    }
    let runtime = prepared.runtime;
    if settings.check {
        runtime.block_on(async {
            for source in &sources {
                let (more, wrong) = source.examine().await;
                notes.extend(more);
                match settings.needed {
                    Needed::Everything => faults.extend(wrong),
                    Needed::Nothing | Needed::Files | Needed::Database(_) => {
                        notes.extend(wrong.iter().map(|fault| format!("warning: {fault}")));
                    }
                }
            }
        });
        if !faults.is_empty() {
            return refuse(&faults);
        }
        let sent = launcher.ready(&notes);
        return if sent.is_ok() {
            exit::DONE
        } else {
            exit::BROKEN
        };
    }
    if let Needed::Database(place) = settings.needed
        && let Some(source) = sources.get(usize::from(place))
        && let Err(fault) = runtime.block_on(source.reach())
    {
        return refuse(&[fault]);
    }
    match serve(prepared, &settings, issuers, sources, &launcher, &notes) {
        Ok(()) => exit::DONE,
        Err(error) => {
            log::error(format_args!("the frontend cannot go on: {error}"));
            exit::BROKEN
        }
    }
}

/// All that needs system calls which nothing needs afterwards: threads, the sockets it was given, a cache that looks how
/// many cores there are.
struct Prepared {
    /// Never taken apart: its threads end with the process.
    runtime: &'static Runtime,
    boundary: UnixStream,
    cache: Cache<Answer>,
    listening: Vec<Listening>,
    to_next: Option<pipe::Sender>,
    from_before: Option<pipe::Receiver>,
    follow: mpsc::Sender<Followed>,
}

/// Who is told what the launcher says.
struct Followed {
    /// Until when idle connections may stay, once this generation is retired.
    retire: watch::Sender<Option<Instant>>,
    /// What the frontend before leaves is this one's to read.
    inherit: Option<oneshot::Sender<()>>,
}

impl Prepared {
    fn new(
        settings: &Settings,
        sockets: Vec<OwnedFd>,
        (to_next, from_before): (Option<OwnedFd>, Option<OwnedFd>),
        sources: &[Source],
        launcher: &Arc<Launcher>,
    ) -> io::Result<Self> {
        let threads = settings.threads.max(1);
        let (begun, begins) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.into())
            .max_blocking_threads(1)
            .enable_all()
            .on_thread_start(move || {
                let _ = begun.send(());
            })
            .build()?;
        let runtime: &Runtime = Box::leak(Box::new(runtime));
        for _ in 0..threads {
            begins.recv().map_err(io::Error::other)?;
        }
        for source in sources {
            source.start_thread()?;
        }
        let (follow, followed) = mpsc::channel();
        let launcher = Arc::clone(launcher);
        ocsp_child::thread("control", None, move || {
            if let Ok(followed) = followed.recv() {
                crate::follow(&launcher, followed);
            }
            // Nothing came of it, and the process is about to end; to end a thread takes calls that are not on the list.
            loop {
                std::thread::park();
            }
        })?;
        let boundary =
            std::os::unix::net::UnixStream::from(boundary().as_fd().try_clone_to_owned()?);
        boundary.set_nonblocking(true)?;
        let entered = runtime.enter();
        let boundary = UnixStream::from_std(boundary)?;
        let listening = settings
            .listeners
            .iter()
            .zip(sockets)
            .map(|(listener, socket)| Listening::new(listener, socket))
            .collect::<io::Result<_>>()?;
        let to_next = to_next.map(pipe::Sender::from_owned_fd).transpose()?;
        let from_before = from_before.map(pipe::Receiver::from_owned_fd);
        let from_before = from_before.transpose()?;
        drop(entered);
        Ok(Self {
            runtime,
            boundary,
            cache: Cache::new(settings.cache_memory),
            listening,
            to_next,
            from_before,
            follow,
        })
    }
}

/// Sources, boundary, clients; until retired and done, or told to leave.
fn serve(
    prepared: Prepared,
    settings: &Settings,
    issuers: Issuers,
    sources: Vec<Source>,
    launcher: &Arc<Launcher>,
    notes: &[String],
) -> io::Result<()> {
    let Prepared {
        runtime,
        boundary,
        cache,
        listening,
        to_next,
        from_before,
        follow,
    } = prepared;
    runtime.block_on(async {
        for (place, source) in (0..).zip(&sources) {
            source.keep_up(place, launcher);
        }
        let signer = Signer::connect(boundary)?;
        if !signer.greeted().await {
            return Err(io::Error::other("the signer left before it served"));
        }
        let max_stale = Duration::from_secs(settings.max_stale);
        let responder = Responder::new(issuers, sources, signer, cache, max_stale);
        let (retire, retired) = watch::channel(None);
        let responder = Arc::new(responder);
        tokio::spawn(expiry::watch(Arc::clone(&responder)));
        let serving = Arc::new(Serving::new(responder, settings, retired));
        let accepting: Vec<_> = listening
            .into_iter()
            .map(|listening| tokio::spawn(listening.accept(Arc::clone(&serving))))
            .collect();
        launcher.ready(notes).map_err(io::Error::other)?;
        let (inherit, inherits) = oneshot::channel();
        let followed = Followed {
            retire,
            inherit: Some(inherit),
        };
        follow.send(followed).map_err(io::Error::other)?;
        if let Some(pipe) = from_before {
            let responder = Arc::clone(&serving.responder);
            tokio::spawn(async move {
                if inherits.await.is_ok() {
                    heritage::take(&responder, pipe).await;
                }
            });
        }
        let leaving = to_next.map(|pipe| {
            let serving = Arc::clone(&serving);
            tokio::spawn(async move {
                serving.retirement().await;
                let _ = heritage::leave(&serving.responder, pipe).await; // nobody has to read it
            })
        });
        // Each ends when this generation is retired; only then is it sure that no connection comes any more.
        for listening in accepting {
            listening.await.map_err(io::Error::other)?;
        }
        serving.done().await;
        // Beside the connections that are left, and no longer than idle ones may stay.
        if let Some(leaving) = leaving {
            tokio::select! {
                _ = leaving => {}
                () = serving.idle_connections_end() => {}
            }
        }
        for source in serving.responder.sources() {
            source.leave().await;
        }
        // At once: taken apart piece by piece, this process would see its signer leave before it is gone itself.
        exit::leave(exit::DONE)
    })
}

/// Follows the launcher; ends the process when it says so, or is gone.
fn follow(launcher: &Launcher, mut followed: Followed) {
    loop {
        match launcher.next() {
            Ok(Word::Retire(idle_ms)) => {
                let until = Instant::now() + Duration::from_millis(idle_ms.into());
                followed.retire.send_replace(Some(until));
            }
            Ok(Word::Inherit) => {
                if let Some(inherit) = followed.inherit.take() {
                    let _ = inherit.send(()); // there may be nothing to read
                }
            }
            Ok(Word::Leave) => exit::leave(exit::DONE),
            Err(fault) => {
                log::error(format_args!("the control socket: {fault}"));
                exit::leave(exit::BROKEN)
            }
        }
    }
}
