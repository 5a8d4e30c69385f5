//! The signer's clock: one reading for each answer, never far behind an answer made before, and never moved by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// How far the clock may be behind the last producedAt, in seconds.
const BEHIND: u64 = 5;
/// How far the clock may move against the time since boot, in seconds.
const MOVED: i64 = 60;

/// Why there is no time to sign with.
#[derive(Debug, PartialEq, Eq)]
pub enum NoTime {
    /// The clock is more than 5 s behind an answer made before.
    Behind,
    /// The clock was moved by this many seconds since the signer started.
    Moved(i64),
}

/// Realtime, watched.
pub struct Clock {
    last: AtomicU64,
    boot: i64,
}

impl Clock {
    /// Notes when the machine booted, as this clock sees it now.
    pub fn start() -> Self {
        Self {
            last: AtomicU64::new(0),
            boot: booted(realtime()),
        }
    }

    /// Seconds since 1970, for producedAt.
    pub fn now(&self) -> Result<u64, NoTime> {
        let now = realtime();
        self.judge(now, booted(now))
    }

    fn judge(&self, now: u64, boot: i64) -> Result<u64, NoTime> {
        let moved = boot - self.boot;
        if moved.abs() > MOVED {
            return Err(NoTime::Moved(moved));
        }
        let last = self.last.fetch_max(now, Ordering::Relaxed);
        if now.saturating_add(BEHIND) < last {
            Err(NoTime::Behind)
        } else {
            Ok(now)
        }
    }
}

fn realtime() -> u64 {
    // A clock before 1970 reads as 1970: every certificate is then not yet valid, and nothing is signed.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// When the machine booted, in seconds since 1970; steady unless somebody sets the clock.
fn booted(now: u64) -> i64 {
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |up| up.tv_sec());
    i64::try_from(now).unwrap_or(i64::MAX) - up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_stops_signing_and_one_that_was_set_ends_the_signer() {
        let clock = Clock {
            last: AtomicU64::new(0),
            boot: 1000,
        };
        assert_eq!(clock.judge(5000, 1000), Ok(5000));
        assert_eq!(clock.judge(4995, 995), Ok(4995));
        assert_eq!(clock.judge(4994, 994), Err(NoTime::Behind));
        assert_eq!(clock.judge(5001, 1060), Ok(5001));
        assert_eq!(clock.judge(5061, 1061), Err(NoTime::Moved(61)));
        assert_eq!(clock.judge(4000, 0), Err(NoTime::Moved(-1000)));
    }
}
