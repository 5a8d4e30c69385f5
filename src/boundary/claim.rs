//! A claim: what must hold, and what was found.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Serialize;

use crate::proc::{Process, Thread};

/// Whether a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It does.
    #[serde(rename = "ok")]
    Ok,
    /// It does not.
    #[serde(rename = "FAILED")]
    Failed,
    /// It cannot be told here; the evidence says why.
    #[serde(rename = "n/a")]
    NotApplicable,
}

impl Outcome {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::NotApplicable => "n/a",
        }
    }
}

/// A claim with its evidence: what is wrong, or else what was seen.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Its name, which stays.
    pub id: &'static str,
    /// What must hold.
    pub sentence: &'static str,
    seen: Vec<String>,
    wrong: Vec<String>,
    reason: Vec<String>,
}

impl Claim {
    /// One that holds so far.
    pub fn new(id: &'static str, sentence: &'static str) -> Self {
        Self {
            id,
            sentence,
            seen: Vec::new(),
            wrong: Vec::new(),
            reason: Vec::new(),
        }
    }

    /// Something that speaks for it.
    pub fn saw(&mut self, what: impl Display) {
        self.seen.push(what.to_string());
    }

    /// Something that speaks against it.
    pub fn wrong(&mut self, what: impl Display) {
        self.wrong.push(what.to_string());
    }

    /// Something that must hold for it.
    pub fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong(otherwise());
        }
    }

    /// Why it cannot be told.
    pub fn cannot_be_told(&mut self, why: impl Display) {
        self.reason.push(why.to_string());
    }

    /// Something that must hold of every thread of a process: `wrong` says what is not. Threads of which the same is to
    /// be said are named together.
    pub fn every_thread(&mut self, process: &Process, wrong: impl Fn(&Thread) -> Option<String>) {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for thread in &process.threads {
            if let Some(wrong) = wrong(thread) {
                found.entry(wrong).or_default().push(thread.id.to_string());
            }
        }
        let (who, all) = (process.who(), process.threads.len());
        for (wrong, threads) in found {
            let some = threads
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let more = if threads.len() > 5 { ", …" } else { "" };
            let count = threads.len();
            self.wrong(format_args!(
                "{who}: {wrong} ({count} of {all} threads: {some}{more})"
            ));
        }
    }

    /// What has come out.
    pub fn outcome(&self) -> Outcome {
        if !self.wrong.is_empty() {
            Outcome::Failed
        } else if !self.reason.is_empty() {
            Outcome::NotApplicable
        } else {
            Outcome::Ok
        }
    }

    /// Why.
    pub fn evidence(&self) -> &[String] {
        match self.outcome() {
            Outcome::Ok => &self.seen,
            Outcome::Failed => &self.wrong,
            Outcome::NotApplicable => &self.reason,
        }
    }
}
