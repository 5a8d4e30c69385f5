//! Look-ups that wait, and how they come together: whoever asks puts one in, and each connection takes as many as fit into
//! one statement. A lone look-up is not held up; where statements are on their way already, a few wait for a moment.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::row::Row;
use super::{LARGEST, NoAnswer, Urgency};

/// Look-ups in one statement: each has six spellings at most.
const MOST_TOGETHER: usize = LARGEST / 6;
/// How long look-ups are held while a statement is on its way: what one takes that is well.
const HOLD: Duration = Duration::from_millis(1);
/// Look-ups that may wait. More than as many clients can ask for at a time are not there to be served.
pub const MOST_WAITING: usize = 16_384;

/// The rows of one serial, of whichever issuer.
pub type Rows = Arc<[Row]>;

/// A look-up that waits, or is on its way.
pub struct Waiting {
    /// The serial.
    pub serial: Box<[u8]>,
    /// How often it was on its way already.
    tries: u16,
    reply: oneshot::Sender<Result<Rows, NoAnswer>>,
}

impl Waiting {
    /// Answers it.
    pub fn answer(self, rows: Result<Rows, NoAnswer>) {
        let _ = self.reply.send(rows); // who does not wait any more is gone
    }
}

/// Tells everybody that there is no answer.
pub fn hand_back(batch: Vec<Waiting>) {
    for asked in batch {
        asked.answer(Err(NoAnswer::Unavailable));
    }
}

/// Look-ups that travel in one statement, which is on its way as long as this lives.
pub struct Batch<'a> {
    asked: Vec<Waiting>,
    on_their_way: &'a AtomicUsize,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Batch<'_> {
    /// The look-ups; none where the process is about to leave.
    pub fn asked(&self) -> &[Waiting] {
        &self.asked
    }

    /// The statement is back: those who wait for it.
    pub fn back(mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.asked)
    }
}

/// Look-ups that wait.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Lines>,
    work: Notify,
    on_their_way: AtomicUsize,
    leaving: AtomicBool,
}

#[derive(Default)]
struct Lines {
    /// Of those who hold an answer that may have become wrong, and of those who have waited once already.
    first: VecDeque<Waiting>,
    /// Of all others, up to [`MOST_WAITING`].
    then: VecDeque<Waiting>,
}

impl Lines {
    fn next(&mut self) -> Option<Waiting> {
        self.first.pop_front().or_else(|| self.then.pop_front())
    }

    fn len(&self) -> usize {
        self.first.len() + self.then.len()
    }
}

impl Queue {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a look-up wait: where its answer will come. None where too many wait; those of whom answers are kept are never
    /// too many, as there is one for each answer at most.
    pub fn put(
        &self,
        serial: &[u8],
        urgency: Urgency,
    ) -> Option<oneshot::Receiver<Result<Rows, NoAnswer>>> {
        let (reply, rows) = oneshot::channel();
        let asked = Waiting {
            serial: serial.into(),
            tries: 0,
            reply,
        };
        {
            let mut lines = self.lines();
            match urgency {
                Urgency::Kept => lines.first.push_back(asked),
                Urgency::New if lines.then.len() < MOST_WAITING => lines.then.push_back(asked),
                Urgency::New => return None,
            }
        }
        self.work.notify_one();
        Some(rows)
    }

    /// Puts look-ups that were on their way in front again; comes back with those that were so more than `most` times.
    pub fn put_back(&self, batch: Vec<Waiting>, most: u16) -> Vec<Waiting> {
        let (given_up, left): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|asked| asked.tries > most);
        {
            let mut lines = self.lines();
            for mut asked in left.into_iter().rev() {
                asked.tries += 1;
                lines.first.push_front(asked);
            }
        }
        self.work.notify_one();
        given_up
    }

    /// All that wait.
    pub fn empty(&self) -> Vec<Waiting> {
        let mut lines = self.lines();
        let Lines { first, then } = &mut *lines;
        first.drain(..).chain(then.drain(..)).collect()
    }

    /// Somebody who may have been told of a look-up does not take it.
    pub fn pass_on(&self) {
        self.work.notify_one();
    }

    /// From now on, whoever takes look-ups gets none, at once.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.work.notify_waiters();
    }

    /// Whether this process is about to leave.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Waits for look-ups, and takes as many as fit into one statement: none when this process is about to leave. While a
    /// statement is on its way, a few that wait are held for a moment: they travel together with those that come meanwhile.
    pub async fn take(&self) -> Batch<'_> {
        let mut held = false;
        loop {
            let mut asked: Vec<Waiting> = Vec::new();
            let mut more = false;
            {
                let mut lines = self.lines();
                let together = lines.len() >= MOST_TOGETHER;
                if together || held || self.on_their_way.load(Ordering::Relaxed) == 0 {
                    // Whoever does not wait any more is passed over.
                    while asked.len() < MOST_TOGETHER
                        && let Some(next) = lines.next()
                    {
                        if !next.reply.is_closed() {
                            asked.push(next);
                        }
                    }
                    more = lines.len() > 0;
                    held = false;
                } else {
                    held = lines.len() > 0;
                }
            }
            if more {
                self.work.notify_one();
            }
            if !asked.is_empty() || self.is_leaving() {
                self.on_their_way.fetch_add(1, Ordering::Relaxed);
                return Batch {
                    asked,
                    on_their_way: &self.on_their_way,
                };
            }
            if held {
                let _ = timeout(HOLD, self.work.notified()).await; // either way it has waited long enough
            } else {
                self.work.notified().await;
                // Who asks for several at a time has asked for the first only.
                yield_now().await;
            }
        }
    }
}
