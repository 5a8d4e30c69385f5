//! The timer of one connection. hyper wants a new one for each request, and lets go of it once the header has come; behind
//! them all stands one of the runtime, which is set anew only after it has gone off.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::coop::unconstrained;
use tokio::time;

/// A timer for all that one connection waits for, one after the other.
pub struct Timer(Arc<Mutex<Armed>>);

/// What the runtime wakes the connection by. It may go off too early, and never too late.
struct Armed {
    sleep: Pin<Box<time::Sleep>>,
    /// Whom it wakes.
    waker: Waker,
}

impl Timer {
    /// One that nothing waits for yet. Must be called within the runtime.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Armed {
            sleep: Box::pin(time::sleep(Duration::ZERO)),
            waker: Waker::noop().clone(),
        })))
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep {
            armed: Arc::clone(&self.0),
            deadline: deadline.into(),
        })
    }

    fn now(&self) -> Instant {
        time::Instant::now().into()
    }
}

/// A wait until a deadline.
struct Sleep {
    armed: Arc<Mutex<Armed>>,
    deadline: time::Instant,
}

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let Armed { sleep, waker } = &mut *armed;
        let early = sleep.deadline() <= self.deadline;
        // It is set, and wakes who asks: then all is done.
        if early && !sleep.is_elapsed() && waker.will_wake(context.waker()) {
            return Poll::Pending;
        }
        if !early {
            sleep.as_mut().reset(self.deadline);
        }
        waker.clone_from(context.waker());
        // Whatever else the task has done: out of budget, the runtime's timer would not note whom to wake.
        while pin!(unconstrained(sleep.as_mut())).poll(context).is_ready() {
            if sleep.deadline() == self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use hyper::rt::Timer as _;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Waits, and sees that it was for long enough.
    async fn wait(timer: &Timer, duration: Duration) {
        let deadline = timer.now() + duration;
        let waited = time::timeout(PATIENCE, timer.sleep_until(deadline)).await;
        assert!(waited.is_ok(), "it was never woken");
        assert!(timer.now() >= deadline, "it was woken too early");
    }

    /// Begins to wait, and gives up.
    async fn begin(timer: &Timer, duration: Duration) {
        let mut sleep = timer.sleep(duration);
        let pending = poll_fn(|context| Poll::Ready(sleep.poll_unpin(context).is_pending())).await;
        assert!(pending);
    }

    #[tokio::test]
    async fn each_wait_lasts_until_its_own_deadline() {
        // In a task, as connections are: what wakes it can be told to be the same.
        let waits = tokio::spawn(async {
            let timer = Timer::new();
            wait(&timer, SHORT).await;
            // One that was given up is set too early for the next, too late, or has gone off meanwhile.
            begin(&timer, SHORT).await;
            wait(&timer, SHORT * 2).await;
            begin(&timer, LONG).await;
            wait(&timer, SHORT).await;
            begin(&timer, SHORT).await;
            time::sleep(SHORT * 2).await;
            wait(&timer, SHORT).await;
        });
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn another_task_is_woken_as_well() {
        let timer = Timer::new();
        begin(&timer, SHORT).await;
        let waits = tokio::spawn(async move { wait(&timer, SHORT * 2).await });
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_has_done_much_is_woken_as_well() {
        let waits = tokio::spawn(async {
            let timer = Timer::new();
            while has_budget_remaining() {
                consume_budget().await;
            }
            begin(&timer, SHORT).await;
            wait(&timer, SHORT * 2).await;
        });
        waits.await.unwrap();
    }
}
