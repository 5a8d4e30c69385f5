//! Log lines: `<priority>text` in one write to descriptor 2, a pipe to the launcher, which caps, escapes and labels
//! them. The pipe does not block: a line that does not fit is lost, and the process goes on.

use std::fmt::Display;
use std::io::Write;

/// The facility authpriv of syslog, of security events; other lines leave the facility to the launcher.
const AUTHPRIV: u8 = 10 << 3;

/// Something that needs a person.
pub fn error(text: impl Display) {
    line(3, text);
}

/// Something that will need a person if it stays.
pub fn warning(text: impl Display) {
    line(4, text);
}

/// A change of state that an operator wants to see.
pub fn notice(text: impl Display) {
    line(5, text);
}

/// Course of things.
pub fn info(text: impl Display) {
    line(6, text);
}

/// A refusal or a breach: a warning to the security log.
pub fn security(text: impl Display) {
    line(AUTHPRIV + 4, text);
}

fn line(priority: u8, text: impl Display) {
    let text = text.to_string().replace('\n', " ");
    // One write of less than PIPE_BUF: lines of several threads do not mix. Nobody is left to tell of a failure.
    let _ = std::io::stderr().write_all(format!("<{priority}>{text}\n").as_bytes());
}
