//! Log lines: the launcher's own, and those of its children, which come by pipe. Nothing a child writes can look like a
//! line of the launcher: role and pid stand in front of it, control characters are escaped, its length and rate are
//! bounded. Nobody blocks on the log: a line that its destination does not take at once is lost, and counted.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use crate::config::LogTo;
use crate::output::to_journal;

/// Octets of a child's line.
const LONGEST: usize = 1024;
/// Lines of a child in a second.
const RATE: u32 = 200;

/// A syslog priority: facility and severity in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// Needs a person.
    pub const ERROR: Self = Self(3);
    /// Will need one if it stays.
    pub const WARNING: Self = Self(4);
    /// A change of state.
    pub const NOTICE: Self = Self(5);
    /// Course of things.
    pub const INFO: Self = Self(6);
    /// A security event: a warning of the facility authpriv.
    pub const SECURITY: Self = Self(AUTHPRIV | 4);

    /// As a child wrote it: a severity, with the facility authpriv or none.
    fn of_child(number: u8) -> Option<Self> {
        (number < 8 || (AUTHPRIV..AUTHPRIV + 8).contains(&number)).then_some(Self(number))
    }

    fn severity(self) -> u8 {
        self.0 & 7
    }

    fn is_security(self) -> bool {
        self.0 & !7 == AUTHPRIV
    }
}

const AUTHPRIV: u8 = 10 << 3;

/// Where lines go.
pub struct Log {
    sink: Sink,
    lost: u64,
}

enum Sink {
    Stderr { journal: bool },
    Syslog(Box<Option<Logger<LoggerBackend, Formatter3164>>>),
}

impl Log {
    /// Opens the destination.
    pub fn new(to: LogTo) -> Self {
        let sink = match to {
            LogTo::Stderr => Sink::Stderr {
                journal: to_journal(),
            },
            LogTo::Syslog => Sink::Syslog(Box::new(connected())),
        };
        Self { sink, lost: 0 }
    }

    /// A line of the launcher.
    pub fn own(&mut self, priority: Priority, text: impl Display) {
        let text = escaped(&text.to_string(), 4 * LONGEST);
        self.line(
            priority,
            &format!("ocsp-server[{}]: {text}", std::process::id()),
        );
    }

    fn line(&mut self, priority: Priority, line: &str) {
        if self.lost > 0 {
            let said = format!(
                "ocsp-server[{}]: {} log lines were lost",
                std::process::id(),
                self.lost
            );
            if self.sink.write(Priority::WARNING, &said).is_ok() {
                self.lost = 0;
            }
        }
        if self.sink.write(priority, line).is_err() {
            self.lost += 1;
        }
    }
}

impl Sink {
    fn write(&mut self, priority: Priority, line: &str) -> io::Result<()> {
        match self {
            Self::Stderr { journal } => to_stderr(priority, line, *journal),
            Self::Syslog(logger) => {
                // Syslog is told the launcher as the sender of every line: its own would say it twice.
                let own = format!("ocsp-server[{}]: ", std::process::id());
                let text = line.strip_prefix(&own).unwrap_or(line);
                let sent = |logger: &mut Option<_>| {
                    logger
                        .as_mut()
                        .is_some_and(|logger| send(logger, priority, text))
                };
                if sent(logger) {
                    return Ok(());
                }
                // syslogd was restarted: its socket is another one now. Without one, somebody may read standard error.
                **logger = connected();
                if sent(logger) {
                    Ok(())
                } else {
                    to_stderr(priority, line, false)
                }
            }
        }
    }
}

fn to_stderr(priority: Priority, line: &str, journal: bool) -> io::Result<()> {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO)? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // Role and pid stay first; what the journal is not told by number is a word behind them. Of a number it takes the
    // severity alone: one with a facility in it would become part of the text, and the severity be lost.
    let (who, text) = line.split_once(": ").unwrap_or(("", line));
    let line = match (journal, priority.is_security()) {
        (true, false) => format!("<{}>{line}\n", priority.severity()),
        (true, true) => format!("<{}>{who}: {}{text}\n", priority.severity(), word(priority)),
        (false, _) => format!("{who}: {}{text}\n", word(priority)),
    };
    (&stderr).write_all(line.as_bytes())
}

fn word(priority: Priority) -> &'static str {
    match (priority.is_security(), priority.severity()) {
        (true, _) => "security: ",
        (false, 0..=3) => "error: ",
        (false, 4) => "warning: ",
        (false, _) => "",
    }
}

fn connected() -> Option<Logger<LoggerBackend, Formatter3164>> {
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: "ocsp-server".to_owned(),
        pid: std::process::id(),
    };
    let logger = syslog::unix(formatter).ok()?;
    // A stream would have to be waited for.
    let LoggerBackend::Unix(socket) = &logger.backend else {
        return None;
    };
    socket.set_nonblocking(true).ok()?;
    Some(logger)
}

fn send(logger: &mut Logger<LoggerBackend, Formatter3164>, priority: Priority, line: &str) -> bool {
    let facility = if priority.is_security() {
        Facility::LOG_AUTHPRIV
    } else {
        Facility::LOG_DAEMON
    };
    logger.formatter.facility = facility;
    let sent = match priority.severity() {
        0..=3 => logger.err(line),
        4 => logger.warning(line),
        5 => logger.notice(line),
        _ => logger.info(line),
    };
    sent.is_ok()
}

/// At most `longest` octets of text on one line, with control characters spelled out.
pub fn escaped(text: &str, longest: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(longest));
    for c in text.chars() {
        if safe.len() >= longest {
            safe.push('…');
            break;
        }
        if c.is_control() || misleads(c) {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
    }
    safe
}

/// Characters that some readers take for the end of a line, and those that change the order or are not seen.
fn misleads(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The lines of one child, as its pipe delivers them.
pub struct Lines {
    who: String,
    pending: Vec<u8>,
    second: Instant,
    count: u32,
    dropped: u32,
}

impl Lines {
    /// Lines to be labelled with `who`, such as `ocsp-signer[123]`.
    pub fn new(who: String) -> Self {
        Self {
            who,
            pending: Vec::new(),
            second: Instant::now(),
            count: 0,
            dropped: 0,
        }
    }

    /// The label.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Takes what was read from the pipe, and logs the lines that are complete.
    pub fn take(&mut self, octets: &[u8], log: &mut Log) {
        for part in octets.split_inclusive(|octet| *octet == b'\n') {
            // What is beyond the longest line is dropped here, so that an endless one costs no memory.
            let room = (LONGEST + 8).saturating_sub(self.pending.len());
            self.pending.extend(part.iter().copied().take(room));
            if part.ends_with(b"\n") {
                self.end(log);
            }
        }
    }

    /// The pipe is at its end: what is left is a line, too.
    pub fn finish(&mut self, log: &mut Log) {
        if !self.pending.is_empty() {
            self.end(log);
        }
        self.next_second(Instant::now(), log);
    }

    fn end(&mut self, log: &mut Log) {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.next_second(now, log);
        }
        let line = std::mem::take(&mut self.pending);
        self.count += 1;
        if self.count > RATE {
            self.dropped += 1;
            return;
        }
        let (priority, text) = parted(&line);
        log.line(
            priority,
            &format!(
                "{}: {}",
                self.who,
                escaped(&String::from_utf8_lossy(text), LONGEST)
            ),
        );
    }

    fn next_second(&mut self, now: Instant, log: &mut Log) {
        (self.second, self.count) = (now, 0);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            log.own(
                Priority::WARNING,
                format_args!("{dropped} log lines of {} were dropped: too many", self.who),
            );
        }
    }
}

/// A line's priority and text. What has no priority was not written by us, but by a library or the runtime: an error.
fn parted(line: &[u8]) -> (Priority, &[u8]) {
    let line = line.trim_ascii_end();
    let known = line.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().take(4).position(|octet| *octet == b'>')?;
        let number = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        Some((Priority::of_child(number)?, rest.get(end + 1..)?))
    });
    known.unwrap_or((Priority::ERROR, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_priority_is_believed_only_where_a_child_may_have_it() {
        assert_eq!(parted(b"<6>hello\n"), (Priority::INFO, &b"hello"[..]));
        assert_eq!(
            parted(b"<84>refused\n"),
            (Priority::SECURITY, &b"refused"[..])
        );
        for odd in [
            &b"<0x6>a"[..],
            b"<30>a",
            b"<999>a",
            b"<>a",
            b"<6",
            b"thread 'main' panicked",
        ] {
            assert_eq!(parted(odd), (Priority::ERROR, odd));
        }
    }

    #[test]
    fn no_control_character_reaches_the_log() {
        assert_eq!(escaped("a\u{2028}b\u{202e}c", 100), "a\\u{2028}b\\u{202e}c");
        assert_eq!(escaped("a\u{1b}[2Jb\rc", 100), "a\\u{1b}[2Jb\\rc");
        assert_eq!(escaped(&"x".repeat(20), 10), format!("{}…", "x".repeat(10)));
    }
}
