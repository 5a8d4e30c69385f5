//! The control socket: settings and listening sockets come in first, then pings, and at last the order to retire.

use std::os::fd::OwnedFd;

use ocsp_child::Control;
use ocsp_frontend_settings::Settings;
use ocsp_wire::{End, Fault, FrontendOrder, List, Report, Text};

/// The frontend's end of its control socket.
pub struct Launcher {
    end: End<FrontendOrder, Report, Control>,
    control: Control,
}

/// What the launcher says while the frontend serves.
pub enum Word {
    /// Retire; idle connections may stay for so many milliseconds.
    Retire(u32),
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

    /// The settings and the listening sockets, which come once, first. None when the launcher went away before.
    pub fn told(&self) -> Result<Option<(Settings, Vec<OwnedFd>)>, Fault> {
        self.end.greet()?;
        let settings = match self.end.receive()? {
            None => return Ok(None),
            Some(FrontendOrder::Settings(settings)) => settings,
            Some(
                FrontendOrder::Hello(_) | FrontendOrder::Ping(_) | FrontendOrder::Retire { .. },
            ) => {
                return Err(Fault::Order);
            }
        };
        let text = String::from_utf8(settings.into_inner()).map_err(|_| Fault::Undecodable)?;
        let settings = Settings::from_text(&text).map_err(|_| Fault::Undecodable)?;
        let sockets = self.control.handed();
        let (found, expected) = (sockets.len(), settings.listeners.len());
        if found != expected {
            return Err(Fault::Handed { found, expected });
        }
        Ok(Some((settings, sockets)))
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
                None => return Ok(Word::Leave),
                Some(FrontendOrder::Hello(_) | FrontendOrder::Settings(_)) => {
                    return Err(Fault::Order);
                }
            }
        }
    }
}
