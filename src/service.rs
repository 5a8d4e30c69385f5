//! The service manager, where there is one: the sockets that it hands over at the start (sd_listen_fds(3)), and what it is
//! told while the service lives (sd_notify(3)).

use std::fmt::Display;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::exit::{Failure, Reason};
use crate::log::escaped;
use crate::sys;

/// Octets of a status.
const LONGEST: usize = 1024;

/// A socket that was handed over, and its name: `FileDescriptorName=` of its unit.
pub struct Handed {
    /// The name.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// Takes what was handed over, and closes every other descriptor but standard input, output and error: whoever started us left
/// it open. Comes before anything is opened.
pub fn take_over() -> Result<Vec<Handed>, Failure> {
    let names: Vec<_> = sd_notify::listen_fds_with_names()
        .map_err(Failure::environment(
            "the sockets that LISTEN_FDS and LISTEN_FDNAMES announce cannot be taken over",
        ))?
        .map(|(_, name)| name)
        .collect();
    let sockets = sys::take_inherited(names.len()).map_err(Failure::environment(
        "inherited descriptors cannot be closed",
    ))?;
    if sockets.len() != names.len() {
        return Err(Failure::new(
            Reason::Environment,
            format_args!(
                "{} sockets were announced by LISTEN_FDS, {} are there",
                names.len(),
                sockets.len()
            ),
        ));
    }
    let handed = names.into_iter().zip(sockets);
    Ok(handed
        .map(|(name, socket)| Handed { name, socket })
        .collect())
}

/// Who is told how the service does. That nobody hears it is no reason to do otherwise.
pub struct Manager {
    /// Half of the time within which it wants to hear that the loop turns.
    feed_every: Option<Duration>,
    fed_at: Option<Instant>,
}

impl Manager {
    /// As the environment says.
    pub fn new() -> Self {
        Self {
            feed_every: sd_notify::watchdog_enabled().map(|within| within / 2),
            fed_at: None,
        }
    }

    /// The service serves: for the first time, after a reload, or after one that was refused; the text says which.
    pub fn ready(&self, text: impl Display) {
        tell(&[NotifyState::Ready, NotifyState::Status(&one_line(text))]);
    }

    /// A reload begins; [`Manager::ready`] ends it.
    pub fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading, NotifyState::Status("reloading")];
        states.extend(NotifyState::monotonic_usec_now());
        tell(&states);
    }

    /// How the service does meanwhile.
    pub fn status(&self, text: impl Display) {
        tell(&[NotifyState::Status(&one_line(text))]);
    }

    /// The service stops, and may take so long.
    pub fn stopping(&self, drain: Duration) {
        // Above the drain, for children that have to be ended.
        let within = (drain + Duration::from_secs(5)).as_micros();
        tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(u32::try_from(within).unwrap_or(u32::MAX)),
            NotifyState::Status("stopping: what is in hand is answered"),
        ]);
    }

    /// Feeds the watchdog when that is due, and says when it is due again.
    pub fn feed(&mut self, now: Instant) -> Option<Instant> {
        let every = self.feed_every?;
        if self.fed_at.is_none_or(|at| at + every <= now) {
            tell(&[NotifyState::Watchdog]);
            self.fed_at = Some(now);
        }
        self.fed_at.map(|at| at + every)
    }
}

impl Default for Manager {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for the manager's socket for a second at most: the launcher has children to lead, whatever becomes of its manager.
fn tell(states: &[NotifyState<'_>]) {
    let Some(manager) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        socket.connect(manager)?;
        socket.send(text.as_bytes())
    });
}

/// On one line: what follows a line's end would be an assignment of its own, `MAINPID=` for one, and some of the text is a
/// child's.
fn one_line(text: impl Display) -> String {
    escaped(&text.to_string(), LONGEST)
}
