//! Log lines about troubles that may come with every request: at most one a minute of each kind, with the number of
//! those that were not logged.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ocsp_child::log;

const EVERY: Duration = Duration::from_secs(60);

/// When each kind of trouble was logged last.
pub struct Seldom<K>(Mutex<HashMap<K, (Instant, u64)>>);

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Seldom<K> {
    /// An error, unless one of its kind was logged within a minute.
    pub fn error(&self, kind: K, text: impl FnOnce() -> String) {
        self.say(kind, text, log::error);
    }

    /// A warning likewise.
    pub fn warn(&self, kind: K, text: impl FnOnce() -> String) {
        self.say(kind, text, log::warning);
    }

    /// A change of state likewise.
    pub fn notice(&self, kind: K, text: impl FnOnce() -> String) {
        self.say(kind, text, log::notice);
    }

    /// A security event likewise.
    pub fn security(&self, kind: K, text: impl FnOnce() -> String) {
        self.say(kind, text, log::security);
    }

    fn say(&self, kind: K, text: impl FnOnce() -> String, line: impl FnOnce(String)) {
        let now = Instant::now();
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unlogged = match logged.get_mut(&kind) {
            Some((last, unlogged)) if now.duration_since(*last) < EVERY => {
                *unlogged += 1;
                return;
            }
            Some((last, unlogged)) => {
                *last = now;
                std::mem::take(unlogged)
            }
            None => {
                logged.insert(kind, (now, 0));
                0
            }
        };
        drop(logged);
        match unlogged {
            0 => line(text()),
            more => line(format!("{} ({more} more before, not logged)", text())),
        }
    }
}
