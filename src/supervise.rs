//! Which generation serves. One loop, one thread, no waiting but in `poll`: signals, children's reports and deaths, and
//! deadlines come in; starts, retirements and ends go out. Start, reload (SIGHUP) and recovery are the same: a fresh
//! generation is started on the same listening sockets, and when it is ready, the others are retired.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use ocsp_frontend_settings::Needed;
use ocsp_wire::{FrontendOrder, Mode};

use crate::config::Config;
use crate::exit::{Failure, Reason};
use crate::generation::{Child, Event, Generation, Role, ending, is_breach};
use crate::listen::Listening;
use crate::log::{Log, Priority};
use crate::service::Manager;
use crate::toml_reader::Mistake;

/// A generation that is not ready by then is ended.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// When the service stops, how long a connection may be silent: its question may be on the way.
const STOP_GRACE: Duration = Duration::from_millis(250);
/// Between two generations that a frontend asks for: it asks twice a minute, and may be held by an attacker.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(2);

/// The supervisor's state.
pub struct Supervisor<'a> {
    file: &'a Path,
    /// What the next generation is started with.
    config: Config,
    /// What the last generation that came to serve was started with.
    proven: Config,
    listening: Vec<Listening>,
    log: Log,
    manager: Manager,
    generations: Vec<(Phase, Generation)>,
    started: u64,
    budget: Budget,
    start_at: Option<Instant>,
    /// The source without which the generation that is started next shall not serve: a frontend asked for that one because
    /// this source does not answer.
    renewing: Option<u16>,
    renewed_at: Option<Instant>,
    ping_at: Instant,
    feed_at: Option<Instant>,
    stop_by: Option<Instant>,
    served: bool,
    /// What kept the generation that was started last from serving.
    hindrance: Option<String>,
}

/// Where a generation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not ready yet; ended at this time.
    Starting(Instant),
    /// Serves, or its survivor does what it can.
    Serving,
    /// Finishes what it has in hand; ended at this time.
    Retiring(Instant),
}

impl<'a> Supervisor<'a> {
    /// A supervisor that has not started anything yet.
    pub fn new(file: &'a Path, config: Config, listening: Vec<Listening>, log: Log) -> Self {
        let now = Instant::now();
        Self {
            file,
            proven: config.clone(),
            config,
            listening,
            log,
            manager: Manager::new(),
            generations: Vec::new(),
            started: 0,
            budget: Budget::default(),
            start_at: Some(now),
            renewing: None,
            renewed_at: None,
            ping_at: now + PING_EVERY,
            feed_at: None,
            stop_by: None,
            served: false,
            hindrance: None,
        }
    }

    /// Serves until it is told to stop. Fails only before the first generation has served: because it refused to, or
    /// because it cannot be started.
    pub fn run(mut self) -> Result<(), Failure> {
        let mut led = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGTERM,
        ] {
            led.add(signal);
        }
        led.thread_block()
            .map_err(Failure::environment("signals cannot be blocked"))?;
        let signals = SignalFd::with_flags(&led, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(Failure::environment("signals cannot be read"))?;
        loop {
            self.keep_time()?;
            if self.stop_by.is_some() && self.generations.is_empty() {
                self.log.own(Priority::NOTICE, "stopped");
                return Ok(());
            }
            self.wait(&signals);
            while let Ok(Some(signal)) = signals.read_signal() {
                let signal = i32::try_from(signal.ssi_signo)
                    .ok()
                    .and_then(|signal| Signal::try_from(signal).ok());
                match signal {
                    Some(Signal::SIGHUP) => self.reload(),
                    Some(Signal::SIGINT | Signal::SIGTERM) => self.stop(),
                    Some(_) | None => {} // SIGCHLD: the children are looked at in any case
                }
            }
            self.pump()?;
        }
    }

    fn wait(&self, signals: &SignalFd) {
        let mut polled = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        for (_, generation) in &self.generations {
            for child in [&generation.frontend, &generation.signer] {
                polled.extend(child.polled().map(|(fd, flags)| PollFd::new(fd, flags)));
            }
        }
        let left = self
            .next_deadline()
            .saturating_duration_since(Instant::now())
            + Duration::from_millis(1);
        // An error is an interruption; whatever happened is seen in the next round.
        let _ = poll(
            &mut polled,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        );
    }

    fn next_deadline(&self) -> Instant {
        let phases = self
            .generations
            .iter()
            .filter_map(|(phase, _)| match phase {
                Phase::Starting(by) | Phase::Retiring(by) => Some(*by),
                Phase::Serving => None,
            });
        phases
            .chain(self.start_at)
            .chain(self.feed_at)
            .chain(self.stop_by)
            .fold(self.ping_at, Instant::min)
    }

    /// Does what is due.
    fn keep_time(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.feed_at = self.manager.feed(now);
        if self.start_at.is_some_and(|at| at <= now) && self.stop_by.is_none() {
            self.start_at = None;
            self.start()?;
        }
        for (phase, generation) in &mut self.generations {
            match phase {
                Phase::Starting(by) if *by <= now => {
                    let text = format!(
                        "generation {} was not ready within 30 s and is ended",
                        generation.number
                    );
                    self.log.own(Priority::ERROR, &text);
                    self.hindrance = Some(text);
                    generation.kill();
                    *by = now + READY_WITHIN;
                }
                Phase::Retiring(by) if *by <= now => {
                    generation.kill();
                    *by = now + READY_WITHIN;
                }
                Phase::Starting(_) | Phase::Retiring(_) | Phase::Serving => {}
            }
        }
        if self.ping_at <= now {
            self.ping_at = now + PING_EVERY;
            for (_, generation) in &mut self.generations {
                for child in generation.children() {
                    if !child.ping() {
                        let text =
                            format!("{} has not answered for 10 s and is ended", child.who());
                        self.log.own(Priority::ERROR, text);
                        child.kill();
                    }
                }
            }
        }
        Ok(())
    }

    /// Starts a generation. One that cannot be started is tried again later, unless it is the first.
    fn start(&mut self) -> Result<(), Failure> {
        self.started += 1;
        self.hindrance = None;
        for listening in &self.listening {
            let address = &listening.listener.address;
            let text = match listening.mend() {
                Ok(false) => continue,
                Ok(true) => {
                    format!("the socket of {address} had been changed by a frontend, and is mended")
                }
                Err(error) => format!(
                    "the socket of {address} cannot be mended: {error}: restart the service"
                ),
            };
            self.log.own(Priority::SECURITY, text);
        }
        let served = self
            .generations
            .iter()
            .any(|(phase, generation)| *phase == Phase::Serving && generation.whole());
        let needed = match (served, self.renewing.take()) {
            (false, _) => Needed::Nothing,
            (true, None) => Needed::Files,
            (true, Some(source)) => Needed::Database(source),
        };
        // Whichever of its successors comes to serve: each is handed the same end.
        let before = self
            .generations
            .iter()
            .find(|(phase, _)| *phase == Phase::Serving)
            .and_then(|(_, generation)| generation.bequest.as_ref());
        let started = Generation::start(
            self.started,
            &self.config,
            &self.listening,
            Mode::Serve,
            needed,
            before.map(AsFd::as_fd),
        );
        match started {
            Ok(generation) => {
                let by = Instant::now() + READY_WITHIN;
                self.generations.push((Phase::Starting(by), generation));
                Ok(())
            }
            Err(failure) if self.served => {
                self.log.own(Priority::ERROR, &failure);
                self.hindrance = Some(failure.sentence);
                self.goes_on();
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Plans a start, unless one is under way or a generation serves undiminished.
    fn start_if_needed(&mut self) {
        let provided = self
            .generations
            .iter()
            .any(|(phase, generation)| match phase {
                Phase::Starting(_) => true,
                Phase::Serving => generation.whole(),
                Phase::Retiring(_) => false,
            });
        if !provided && self.start_at.is_none() && self.stop_by.is_none() {
            let now = Instant::now();
            let wait = self.budget.wait(now);
            self.start_at = Some(now + wait);
            let text = format!("a new generation is started in {:.1} s", wait.as_secs_f32());
            self.manager.status(&text);
            self.log.own(Priority::NOTICE, text);
        }
    }

    /// SIGHUP: a configuration that checks gets a fresh generation; one that does not leaves all as it is.
    fn reload(&mut self) {
        if self.stop_by.is_some() {
            return;
        }
        self.manager.reloading();
        let config = match self.reread() {
            Ok(config) => config,
            Err(mistake) => {
                let text = format!("not reloaded, all goes on as before: {mistake}");
                self.manager.ready(&text);
                self.log.own(Priority::ERROR, text);
                return;
            }
        };
        self.log.own(Priority::NOTICE, "reloading");
        self.config = config;
        // One that is still starting has the settings of yesterday. It may have accepted connections already, a moment
        // before it could say that it is ready: it answers these, and goes.
        let drain = self.config.listen.drain;
        for (phase, generation) in &mut self.generations {
            if let Phase::Starting(_) = phase {
                *phase = Phase::Retiring(Instant::now() + drain);
                retire(generation, drain / 2);
            }
        }
        self.start_at = Some(Instant::now());
        self.renewing = None;
    }

    /// The configuration as it is now, if it can be taken up without a restart.
    fn reread(&self) -> Result<Config, Mistake> {
        let config = Config::read(self.file)?;
        for (same, section) in [
            (config.listen == self.config.listen, "[listen]"),
            (config.users == self.config.users, "[users]"),
        ] {
            if !same {
                let file = self.file.display();
                let text = format!("{file}: {section} changed, which needs a restart");
                return Err(Mistake(text));
            }
        }
        Ok(config)
    }

    /// A frontend asks for a successor that looks again at what it could read only at its start: where the database's hosts
    /// are, its password, its certificates. It goes on serving unless the successor reaches the database.
    fn renew(&mut self, who: &str, source: u16, reason: &str) {
        let now = Instant::now();
        let starting = |(phase, _): &(Phase, _)| matches!(phase, Phase::Starting(_));
        let under_way = self.start_at.is_some() || self.generations.iter().any(starting);
        let lately = |at: Instant| now.duration_since(at) < RENEW_EVERY;
        if under_way || self.stop_by.is_some() || self.renewed_at.is_some_and(lately) {
            return;
        }
        let text = format!("{who} asks for a new generation: {reason}");
        self.log.own(Priority::WARNING, text);
        self.start_at = Some(now);
        self.renewing = Some(source);
        self.renewed_at = Some(now);
    }

    /// SIGTERM or SIGINT: what is in hand is answered, for at most `drain`. A second one ends all at once.
    fn stop(&mut self) {
        let now = Instant::now();
        let by = if self.stop_by.is_none() {
            now + self.config.listen.drain
        } else {
            now
        };
        if self.stop_by.is_none() {
            self.manager.stopping(self.config.listen.drain);
            self.log.own(Priority::NOTICE, "stopping");
        }
        self.stop_by = Some(by);
        self.start_at = None;
        for (phase, generation) in &mut self.generations {
            retire(generation, STOP_GRACE);
            *phase = Phase::Retiring(by);
        }
    }

    /// Lets every child do what it can do now, and acts on what they did.
    fn pump(&mut self) -> Result<(), Failure> {
        let mut happened = Vec::new();
        for (_, generation) in &mut self.generations {
            let number = generation.number;
            for child in generation.children() {
                let role = child.role;
                happened.extend(
                    child
                        .pump(&mut self.log)
                        .into_iter()
                        .map(|event| (number, role, event)),
                );
            }
        }
        for (number, role, event) in happened {
            self.act(number, role, event)?;
        }
        self.generations
            .retain(|(_, generation)| !generation.gone());
        Ok(())
    }

    fn act(&mut self, number: u64, role: Role, event: Event) -> Result<(), Failure> {
        let Some((phase, generation)) = self
            .generations
            .iter_mut()
            .find(|(_, generation)| generation.number == number)
        else {
            return Ok(());
        };
        let phase = *phase;
        let child: &mut Child = match role {
            Role::Frontend => &mut generation.frontend,
            Role::Signer => &mut generation.signer,
        };
        let who = child.who().to_owned();
        match event {
            Event::Ready(notes) => {
                for note in notes
                    .iter()
                    .filter_map(|note| note.strip_prefix("warning: "))
                {
                    self.log
                        .own(Priority::WARNING, format_args!("{who} says: {note}"));
                }
                if generation.ready() && generation.whole() && matches!(phase, Phase::Starting(_)) {
                    self.now_serves(number);
                }
            }
            Event::Refused(reasons) => {
                for reason in &reasons {
                    self.log.own(
                        Priority::ERROR,
                        format_args!("{who} refuses to serve: {reason}"),
                    );
                }
                let sentence = format!("{} refuses to serve: {}", role.name(), reasons.join("; "));
                if !self.served {
                    generation.kill();
                    return Err(Failure::new(Reason::Refused, sentence));
                }
                if matches!(phase, Phase::Starting(_)) {
                    self.hindrance = Some(sentence);
                }
            }
            Event::Renewal { source, reason } => {
                if phase == Phase::Serving {
                    self.renew(&who, source, &reason);
                }
            }
            Event::Violated(fault) => {
                self.log.own(
                    Priority::SECURITY,
                    format_args!("{who} broke the control protocol: {fault}"),
                );
                generation.kill();
            }
            Event::Ended(status) => {
                let killed = child.killed();
                let expected = killed || matches!(phase, Phase::Retiring(_));
                let priority = match (is_breach(status), expected) {
                    (true, _) => Priority::SECURITY,
                    (false, true) => Priority::INFO,
                    (false, false) => Priority::WARNING,
                };
                let how = if killed {
                    "was ended by the launcher".to_owned()
                } else {
                    ending(status)
                };
                let text = format!("{who} {how}");
                self.log.own(priority, &text);
                if role == Role::Frontend {
                    generation.bequest = None; // nobody will write there
                }
                if is_breach(status) {
                    generation.kill();
                }
                match phase {
                    Phase::Retiring(_) => {}
                    Phase::Serving => self.start_if_needed(),
                    Phase::Starting(_) => {
                        self.hindrance.get_or_insert(text);
                        self.did_not_start(number);
                    }
                }
            }
        }
        Ok(())
    }

    /// A generation is ready: the others finish what they have in hand.
    fn now_serves(&mut self, number: u64) {
        self.served = true;
        if self.config.log != self.proven.log {
            self.log = Log::new(self.config.log);
        }
        self.proven = self.config.clone();
        let drain = self.config.listen.drain;
        let inherits = self
            .generations
            .iter()
            .any(|(phase, _)| *phase == Phase::Serving);
        for (phase, generation) in &mut self.generations {
            if generation.number == number {
                *phase = Phase::Serving;
                if inherits {
                    let _ = generation.frontend.order(&FrontendOrder::Inherit); // one that is gone is seen to be
                }
                let (frontend, signer) = (generation.frontend.pid(), generation.signer.pid());
                let text =
                    format!("generation {number} serves: frontend {frontend}, signer {signer}");
                self.manager.ready(&text);
                self.log.own(Priority::NOTICE, text);
            } else if *phase == Phase::Serving {
                // Idle connections may stay for half the time, and then have as long to see their end.
                retire(generation, drain / 2);
                *phase = Phase::Retiring(Instant::now() + drain);
            }
        }
    }

    /// What does not come to serve must not be what a later recovery starts with.
    fn fall_back(&mut self) {
        if self.served && self.config != self.proven {
            let text = "not reloaded: the configuration before stays in use";
            self.log.own(Priority::ERROR, text);
            self.config = self.proven.clone();
        }
    }

    /// A generation died before it served: it is given up, and tried again unless another one serves undiminished.
    fn did_not_start(&mut self, number: u64) {
        for (phase, generation) in &mut self.generations {
            if generation.number == number {
                generation.kill();
                *phase = Phase::Retiring(Instant::now() + READY_WITHIN);
            }
        }
        self.goes_on();
    }

    /// After a start that came to nothing: what served before serves on, or another start is planned.
    fn goes_on(&mut self) {
        self.fall_back();
        let mut text = self.hindrance.clone().unwrap_or_default();
        let before = self
            .generations
            .iter()
            .find(|(phase, generation)| *phase == Phase::Serving && generation.whole());
        if let Some((_, generation)) = before {
            let on = format!("generation {} goes on serving as before", generation.number);
            text = format!("{on}: {text}");
            self.log.own(Priority::ERROR, on);
        }
        if self.served {
            self.manager.ready(text);
        }
        self.start_if_needed();
    }
}

/// Asks a generation to finish. Its signer follows its frontend; a frontend that is gone already leaves the signer none
/// to follow. From now on it has one successor or none: our copy of its pipe would only hide from it that nobody reads.
fn retire(generation: &mut Generation, idle: Duration) {
    generation.bequest = None;
    let idle_ms = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
    let told = generation
        .frontend
        .order(&FrontendOrder::Retire { idle_ms });
    if told.is_err() || generation.frontend.ended.is_some() {
        generation.signer.dismiss();
    }
}

/// How long to wait before a restart: not at all after a quiet minute, else 0.1 s, doubling to 5 s.
#[derive(Default)]
struct Budget {
    last: Option<Instant>,
    wait: Duration,
}

impl Budget {
    fn wait(&mut self, now: Instant) -> Duration {
        let quiet = self
            .last
            .is_none_or(|last| now.duration_since(last) > Duration::from_secs(60));
        self.wait = match (quiet, self.wait.is_zero()) {
            (true, _) => Duration::ZERO,
            (false, true) => Duration::from_millis(100),
            (false, false) => (self.wait * 2).min(Duration::from_secs(5)),
        };
        self.last = Some(now);
        self.wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_within_a_minute_wait_longer_each_time() {
        let mut budget = Budget::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(budget.wait(now).as_millis());
            now += Duration::from_secs(6);
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(budget.wait(now + Duration::from_secs(61)), Duration::ZERO);
    }
}
