//! What commands print. A reader who has gone away (`| head`) is no reason to end in the middle.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on standard output.
pub fn line(text: impl Display) {
    let _ = writeln!(stdout(), "{text}"); // nobody is left to tell
}

/// A failure on standard error.
pub fn failure(text: impl Display) {
    let priority = if to_journal() { "<3>" } else { "" };
    let _ = writeln!(stderr(), "{priority}ocsp-server: {text}"); // the exit code says it as well
}

/// Whether standard error is the journal, which reads a priority in front of a line (sd-daemon(3)).
pub fn to_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}
