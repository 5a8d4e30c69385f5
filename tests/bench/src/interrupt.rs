//! A run that is interrupted leaves no processes and no files behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::{alive, children};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM end what was started, remove what was written, and end the run.
pub fn watch() {
    // What is measured misses its server then, and panics. Nobody wants to read that.
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        while INTERRUPTED.load(Ordering::Relaxed) {
            std::thread::park();
        }
        say(panic);
    }));
    // By handlers, not by a mask: what is started would inherit that.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = runtime.unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let mut interrupted = signal(SignalKind::interrupt()).unwrap();
            let mut terminated = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
        end_all();
        std::process::exit(1);
    });
}

fn end_all() {
    let own = std::process::id();
    let started = children(own);
    for pid in &started {
        let pid = Pid::from_raw((*pid).try_into().unwrap());
        let _ = kill(pid, Signal::SIGTERM); // it may have ended
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while started.iter().any(|pid| alive(*pid)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The folders of the harness.
    let of_this_run = [
        format!("ocsp-server-test-{own}-"),
        format!("ocsp-db-{own}-"),
    ];
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if of_this_run.iter().any(|prefix| name.starts_with(prefix)) {
            // Whoever writes there now no longer finds it.
            let gone = std::env::temp_dir().join(format!("{name}.gone"));
            let _ = std::fs::rename(entry.path(), &gone);
            let _ = std::fs::remove_dir_all(gone); // the others are tried all the same
        }
    }
}
