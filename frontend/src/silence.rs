//! How long the client of one connection has been owing a request. To note when that begins and ends costs no more than a
//! look at the clock; the runtime's timer is set anew only after it has gone off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// While a request is answered, its client owes none.
const NONE: u64 = u64::MAX;

/// Since when a request is owed.
pub struct Silence {
    begun: Instant,
    /// In nanoseconds since then.
    since: AtomicU64,
}

impl Silence {
    /// A request is owed from now on.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    /// A request has come.
    pub fn ends(&self) {
        self.since.store(NONE, Ordering::Relaxed);
    }

    /// The request is answered: another one is owed.
    pub fn begins(&self) {
        let since = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(NONE);
        self.since.store(since, Ordering::Relaxed);
    }

    /// Comes back once a request was owed for so long.
    pub async fn lasts(&self, patience: Duration) {
        loop {
            let since = match self.since.load(Ordering::Relaxed) {
                NONE => Instant::now(), // it may begin at any moment, and not last for long enough before that
                since => self.begun + Duration::from_nanos(since),
            };
            let until = since + patience;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Default for Silence {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::{sleep, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Waits until it has lasted for so long, and says how long that was.
    async fn wait(silence: &Silence) -> Duration {
        let begun = Instant::now();
        let lasted = timeout(Duration::from_secs(20), silence.lasts(PATIENCE)).await;
        assert!(lasted.is_ok(), "it was never over");
        begun.elapsed()
    }

    #[tokio::test]
    async fn it_lasts_from_the_last_answer_on() {
        let silence = Silence::new();
        assert!(wait(&silence).await >= PATIENCE);
        assert!(silence.lasts(PATIENCE).now_or_never().is_some());
        silence.ends();
        silence.begins();
        assert!(wait(&silence).await >= PATIENCE);
    }

    #[tokio::test]
    async fn what_happens_while_somebody_waits_counts() {
        let silence = Silence::new();
        let (work, thought) = (PATIENCE * 3, PATIENCE / 2);
        let asks = async {
            sleep(thought).await;
            silence.ends();
            sleep(work).await;
            silence.begins();
        };
        let (waited, ()) = tokio::join!(wait(&silence), asks);
        assert!(waited >= thought + work + PATIENCE, "{waited:?}");
    }
}
