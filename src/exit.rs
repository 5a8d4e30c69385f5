//! How the launcher ends: documented exit codes, and errors that are sentences.

use std::fmt;
use std::process::ExitCode;

/// Why a command failed. The number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 1: a check failed, or something broke while serving.
    Failed = 1,
    /// 2: the command line (clap's own code).
    Usage = 2,
    /// 3: the configuration does not check.
    Configuration = 3,
    /// 4: what root must arrange is not arranged: users, capabilities, addresses, executables.
    Environment = 4,
    /// 5: a child refused to serve at start; its reasons are in the log.
    Refused = 5,
}

/// A failure with the sentence that explains it.
#[derive(Debug)]
pub struct Failure {
    /// Which exit code.
    pub reason: Reason,
    /// What an operator reads.
    pub sentence: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(reason: Reason, sentence: impl fmt::Display) -> Self {
        Self {
            reason,
            sentence: sentence.to_string(),
        }
    }

    /// For `map_err`: puts what was being done before the error.
    pub fn of<E: fmt::Display>(reason: Reason, doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(reason, format_args!("{doing}: {error}"))
    }

    /// The same, for what root must arrange.
    pub fn environment<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        Self::of(Reason::Environment, doing)
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.reason as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}
