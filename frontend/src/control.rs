//! The control socket: settings, listening sockets, passwords and pipes come in first, then pings, and at last the order to
//! retire.

use std::os::fd::OwnedFd;

use ocsp_child::Control;
use ocsp_frontend_settings::{Secret, Settings, Source};
use ocsp_wire::{End, Fault, FrontendOrder, List, Report, Text};

/// The frontend's end of its control socket.
pub struct Launcher {
    end: End<FrontendOrder, Report, Control>,
    control: Control,
}

/// What the launcher says first.
pub struct Told {
    /// The settings.
    pub settings: Settings,
    /// The listening sockets, in their order.
    pub sockets: Vec<OwnedFd>,
    /// Passwords that are credentials, in the order of the sources.
    pub passwords: Vec<OwnedFd>,
    /// Where the next frontend is left what is kept.
    pub to_next: Option<OwnedFd>,
    /// Where the frontend before leaves what it has kept.
    pub from_before: Option<OwnedFd>,
}

/// What the launcher says while the frontend serves.
pub enum Word {
    /// Retire; idle connections may stay for so many milliseconds.
    Retire(u32),
    /// Read what the frontend before leaves.
    Inherit,
    /// The launcher has closed the socket: leave.
    Leave,
}

impl Launcher {
    /// Takes the control socket over.
    pub fn take_over() -> Self {
        let control = Control::take_over();
        Self {
            end: End::new(control.clone(), control.clone()),
            control,
        }
    }

    /// The settings, the listening sockets and the sources' passwords, as far as these are credentials; they come once,
    /// first. None when the launcher went away before.
    pub fn told(&self) -> Result<Option<Told>, Fault> {
        self.end.greet()?;
        let settings = match self.end.receive()? {
            None => return Ok(None),
            Some(FrontendOrder::Settings(settings)) => settings,
            Some(
                FrontendOrder::Hello(_)
                | FrontendOrder::Ping(_)
                | FrontendOrder::Retire { .. }
                | FrontendOrder::Inherit,
            ) => {
                return Err(Fault::Order);
            }
        };
        let text = String::from_utf8(settings.into_inner()).map_err(|_| Fault::Undecodable)?;
        let settings = Settings::from_text(&text).map_err(|_| Fault::Undecodable)?;
        let mut sockets = self.control.handed();
        let passwords = settings.sources.iter().filter_map(Source::password);
        let passwords = passwords.filter_map(Secret::credential).count();
        let pipes = usize::from(settings.bequeaths) + usize::from(settings.inherits);
        let (found, expected) = (sockets.len(), settings.listeners.len() + passwords + pipes);
        if found != expected {
            return Err(Fault::Handed { found, expected });
        }
        let from_before = settings.inherits.then(|| sockets.pop()).flatten();
        let to_next = settings.bequeaths.then(|| sockets.pop()).flatten();
        let passwords = sockets.split_off(settings.listeners.len());
        Ok(Some(Told {
            settings,
            sockets,
            passwords,
            to_next,
            from_before,
        }))
    }

    /// Says that this frontend serves, or that all is well.
    pub fn ready(&self, notes: &[String]) -> Result<(), Fault> {
        let notes = notes
            .iter()
            .take(4000)
            .map(|note| Text::cut(note))
            .collect::<Vec<_>>();
        self.end.send(&Report::Ready(
            List::new(notes).unwrap_or_else(|_| List::empty()),
        ))
    }

    /// Says why this frontend will not serve.
    pub fn refuse(&self, faults: &[String]) {
        let faults = faults
            .iter()
            .take(100)
            .map(|fault| Text::cut(fault))
            .collect::<Vec<_>>();
        if let Ok(faults) = List::new(faults) {
            let _ = self.end.send(&Report::Refused(faults)); // the exit code says it as well
        }
    }

    /// Asks for a generation that starts afresh, because the source at this place does not answer.
    pub fn renew(&self, source: u16, reason: &str) {
        let reason = Text::cut(reason);
        let _ = self.end.send(&Report::Renew { source, reason }); // a launcher that is gone is noticed elsewhere
    }

    /// Answers pings until there is something else. Blocks its thread.
    pub fn next(&self) -> Result<Word, Fault> {
        loop {
            match self.end.receive()? {
                Some(FrontendOrder::Ping(number)) => self.end.send(&Report::Pong(number))?,
                Some(FrontendOrder::Retire { idle_ms }) => return Ok(Word::Retire(idle_ms)),
                Some(FrontendOrder::Inherit) => return Ok(Word::Inherit),
                None => return Ok(Word::Leave),
                Some(FrontendOrder::Hello(_) | FrontendOrder::Settings(_)) => {
                    return Err(Fault::Order);
                }
            }
        }
    }
}
