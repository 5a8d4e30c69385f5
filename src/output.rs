//! What commands print. A reader who has gone away (`| head`) is no reason to end in the middle.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on standard output.
pub fn line(text: impl Display) {
    let _ = writeln!(stdout(), "{text}"); // nobody is left to tell
}

/// A failure on standard error.
pub fn failure(text: impl Display) {
    let _ = writeln!(stderr(), "ocsp-server: {text}"); // the exit code says it as well
}
