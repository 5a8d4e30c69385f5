//! Look-ups that wait, and how they come together: whoever asks puts one in, and each connection takes as many as fit into
//! one statement. A lone look-up is not held up; where others travel as well, it waits for a moment.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::row::Row;
use super::{LARGEST, NoAnswer, Urgency};

/// Look-ups in one statement: each has six spellings at most.
const MOST_TOGETHER: usize = LARGEST / 6;
/// How long the first of several look-ups is held: what a statement takes that is well.
const HOLD: Duration = Duration::from_millis(1);
/// How long after several look-ups others are expected: the signer gathers its answers, and clients ask when they have theirs.
const COMPANY: Duration = Duration::from_millis(10);
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
    /// Since when the first of them waits for those that travel along.
    since: Option<Instant>,
    /// When the last statement left, and whether several look-ups travelled in it.
    last: Option<(Instant, bool)>,
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
        let waiting = {
            let mut lines = self.lines();
            match urgency {
                Urgency::Kept => lines.first.push_back(asked),
                Urgency::New if lines.then.len() < MOST_WAITING => lines.then.push_back(asked),
                Urgency::New => return None,
            }
            let waiting = lines.len();
            if waiting == 1 {
                lines.since = Some(Instant::now());
            }
            waiting
        };
        // Between the first and those that fill a statement, nobody has anything to do.
        if waiting == 1 || waiting == MOST_TOGETHER {
            self.work.notify_one();
        }
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
        let Lines { first, then, .. } = &mut *lines;
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

    /// Waits for look-ups, and takes as many as fit into one statement: none when this process is about to leave. Those that
    /// are held travel together with those that come meanwhile.
    pub async fn take(&self) -> Batch<'_> {
        loop {
            let mut asked: Vec<Waiting> = Vec::new();
            let mut more = false;
            let held = {
                let mut lines = self.lines();
                let held = self.held(&lines);
                if held.is_none() {
                    // Whoever does not wait any more is passed over.
                    while asked.len() < MOST_TOGETHER
                        && let Some(next) = lines.next()
                    {
                        if !next.reply.is_closed() {
                            asked.push(next);
                        }
                    }
                    more = lines.len() > 0;
                    if !asked.is_empty() {
                        let now = Instant::now();
                        lines.last = Some((now, asked.len() > 1));
                        lines.since = Some(now);
                    }
                }
                held
            };
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
            if let Some(until) = held {
                let _ = timeout_at(until, self.work.notified()).await; // whatever ended it is looked at
            } else {
                self.work.notified().await;
                // Who asks for several at a time has asked for the first only.
                yield_now().await;
            }
        }
    }

    /// Until when those that wait are held: for a moment, if a statement is on its way or several have travelled together just
    /// now, so that there is company to wait for.
    fn held(&self, lines: &Lines) -> Option<Instant> {
        let (at, several) = lines.last?;
        let few = (1..MOST_TOGETHER).contains(&lines.len());
        let (now, until) = (Instant::now(), lines.since? + HOLD);
        let company =
            (several && now < at + COMPANY) || self.on_their_way.load(Ordering::Relaxed) > 0;
        (few && company && !self.is_leaving() && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// Has so many look-ups wait, as if for ever.
    fn put(queue: &Queue, many: usize) {
        for _ in 0..many {
            std::mem::forget(queue.put(&[1], Urgency::New).unwrap());
        }
    }

    /// How many look-ups are taken at once; none where they are held.
    fn taken(queue: &Queue) -> Option<usize> {
        let batch = queue.take().now_or_never()?;
        Some(batch.back().len())
    }

    /// What a test finds in less time than look-ups are held.
    fn in_time<T>(test: impl Fn() -> T) -> T {
        loop {
            let since = Instant::now();
            let found = test();
            if since.elapsed() < HOLD {
                return found;
            }
        }
    }

    /// How many look-ups are taken of a queue so much later, where the test itself takes less time than they are held.
    fn in_time_after(later: Duration, queue: impl Fn() -> Queue) -> Option<usize> {
        loop {
            let queue = queue();
            let since = Instant::now();
            std::thread::sleep(later);
            put(&queue, 1);
            let found = taken(&queue);
            if since.elapsed() < later + HOLD {
                return found;
            }
        }
    }

    #[test]
    fn a_lone_look_up_is_not_held() {
        let queue = Queue::default();
        for _ in 0..100 {
            put(&queue, 1);
            assert_eq!(taken(&queue), Some(1));
        }
    }

    #[test]
    fn where_several_travel_the_next_are_held_for_a_moment() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (queue, held) = in_time(|| {
            let queue = Queue::default();
            put(&queue, 2);
            assert_eq!(taken(&queue), Some(2));
            put(&queue, 1);
            let held = taken(&queue);
            (queue, held)
        });
        assert_eq!(held, None);
        put(&queue, 1);
        let batch = runtime.block_on(queue.take());
        assert_eq!(batch.asked().len(), 2);
    }

    #[test]
    fn who_comes_long_after_several_is_not_held_and_a_little_later_is() {
        let runtime = runtime();
        let _entered = runtime.enter();
        for (later, held) in [(HOLD * 2, true), (COMPANY, false)] {
            let found = in_time_after(later, || {
                let queue = Queue::default();
                put(&queue, 2);
                assert_eq!(taken(&queue), Some(2));
                queue
            });
            assert_eq!(found.is_none(), held, "{later:?}");
        }
    }

    #[test]
    fn while_a_statement_is_on_its_way_the_next_are_held_for_a_moment() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let held = in_time(|| {
            let queue = Queue::default();
            put(&queue, 1);
            let batch = queue.take().now_or_never().unwrap();
            put(&queue, 1);
            let held = taken(&queue);
            drop(batch);
            held
        });
        assert_eq!(held, None);
    }

    #[test]
    fn those_that_fill_a_statement_are_not_held() {
        let runtime = runtime();
        let _entered = runtime.enter();
        let (full, rest) = in_time(|| {
            let queue = Queue::default();
            put(&queue, 2);
            assert_eq!(taken(&queue), Some(2));
            put(&queue, MOST_TOGETHER + 3);
            (taken(&queue), taken(&queue))
        });
        assert_eq!(full, Some(MOST_TOGETHER));
        assert_eq!(rest, None);
    }
}
