//! The cache of answers: by everything that shapes one, bounded in octets, with one flight at a time for each key. What
//! stands in it was signed; unknown serials and errors never get here. Beside it stands which octets of a request were
//! found to ask for which answer, so that who asks the same again is not read again; an answer that does not stand under
//! its key any more is not found so either. Among the answers stand those that another frontend has left, which nobody is
//! given as they are.

use std::collections::HashMap;
use std::future::Future;
use std::hash::RandomState;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocsp_wire::{HashAlgorithm, Parameters};
use quick_cache::sync::{Cache as Store, GuardResult};
use quick_cache::{Lifecycle, Weighter};
use tokio::sync::OnceCell;

use crate::answer::Ready;
use crate::issuer::ALGORITHMS;
use crate::response::Times;
use crate::serial::Serial;
use crate::status::Said;

/// Octets that an answer takes beside its own: key, headers, the cache's own bookkeeping.
const BESIDE: u64 = 408;

/// Memory is given in pieces of some sizes only: of its own octets an answer takes this part more, one of so many.
const PART_UNUSED: usize = 6;

/// Octets that octets of a request take beside their own.
const BESIDE_OCTETS: u64 = 96;

/// Of so many uses of an answer by the octets of a request, the store is told of one.
const TOLD_EVERY: u32 = 8;

/// The part of the memory that is for octets of requests, one of so many.
const PART_OF_OCTETS: u64 = 6;

const FOUR_DAYS: u64 = 4 * 86_400;
const EIGHT_HOURS: u64 = 8 * 3600;

/// When an answer that was made at `made` must have been renewed, in seconds since 1970 (CA/Browser Forum TLS BR section
/// 4.9.9): 8 h before its nextUpdate and 4 days after its thisUpdate; of one that is valid for less than 16 h, before half
/// of that is left. An answer that is made later than that, by backdating or near the end of the certificate that signs,
/// could not be renewed in time: half of what is left of it counts.
pub fn renew_by(times: Times, made: u64) -> u64 {
    let Times {
        this_update,
        next_update,
    } = times;
    // Both seconds count.
    let validity = next_update.saturating_sub(this_update) + 1;
    let limit = if validity < 2 * EIGHT_HOURS {
        next_update.saturating_sub(validity.div_ceil(2))
    } else {
        (next_update - EIGHT_HOURS).min(this_update + FOUR_DAYS)
    };
    if limit > made {
        limit
    } else {
        made + (next_update.saturating_sub(made) / 2).max(1)
    }
}

/// Everything that shapes an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The issuer, by place.
    pub issuer: u16,
    /// The key that signs, by place.
    pub key: u16,
    /// The CertID's hash algorithm.
    pub hash: HashAlgorithm,
    /// The form of its parameters.
    pub parameters: Parameters,
    /// The serial.
    pub serial: Serial,
}

/// A cached answer. The signature and the status behind it age apart.
///
/// In this order: what is asked for seldom is in none of the processor's caches, and then each line of memory that a hit
/// touches counts. It touches what stands in front.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    stands: AtomicBool,
    renewing: AtomicBool,
    /// Whether *revoked* is what it says, for whichever reason.
    pub revoked: bool,
    uses: AtomicU32,
    /// When the source said so last, in nanoseconds since [`BEGUN`].
    confirmed: AtomicU64,
    /// When a new signature is due, in seconds since 1970.
    refresh_at: u64,
    /// Where it stands, or has stood.
    pub key: Key,
    /// What is sent.
    pub ready: Ready,
    /// When a renewal may be tried again, in seconds since 1970.
    try_at: AtomicU64,
    /// What the source said.
    pub said: Said,
}

impl Entry {
    /// An answer to what the source said at `confirmed`.
    pub fn new(key: Key, ready: Ready, said: Said, revoked: bool, confirmed: Instant) -> Self {
        let times = ready.times;
        let after = ((times.next_update - times.this_update) / 2).min(FOUR_DAYS);
        // Up to 10 % earlier, by chance, so that what was signed together is not renewed together. The hash of the answer
        // is chance enough.
        let early = after / 10 * u64::from(ready.chance) / 255;
        Self {
            stands: AtomicBool::new(true),
            renewing: AtomicBool::new(false),
            revoked,
            uses: AtomicU32::new(0),
            confirmed: AtomicU64::new(since_begun(confirmed)),
            refresh_at: (times.this_update + after - early).min(ready.renew_by),
            key,
            ready,
            try_at: AtomicU64::new(0),
            said,
        }
    }

    /// It is given to somebody. Of two who count at once one may be lost: it decides no more than who goes first when there is
    /// no room, and who is left first to the next frontend.
    pub fn is_used(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        self.uses.store(uses.saturating_add(1), Ordering::Relaxed);
    }

    /// How often that was.
    pub fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Whether its times contain `now`.
    pub fn holds(&self, now: u64) -> bool {
        self.ready.times.contain(now)
    }

    /// How long ago the source was asked that confirmed the status last.
    pub fn age(&self) -> Duration {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        Duration::from_nanos(since_begun(Instant::now()).saturating_sub(confirmed))
    }

    /// Whether it holds, and the source may still be believed to say the same.
    pub fn is_believed(&self, now: u64, revalidate: Duration) -> bool {
        self.holds(now) && self.age() < revalidate
    }

    /// The source says the same again; it was asked at `asked`, and what it said may be as old as that.
    pub fn confirm(&self, asked: Instant) {
        self.confirmed
            .fetch_max(since_begun(asked), Ordering::Relaxed);
    }

    /// Whether a new signature is due.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.refresh_at
    }

    /// Whether it is not to be served any more before a new signature was tried. Where that has failed, a little later.
    pub fn is_overdue(&self, now: u64) -> bool {
        now >= self.ready.renew_by && now >= self.try_at.load(Ordering::Relaxed)
    }

    /// Whether a new signature is due, for the one caller who then has to see to it.
    pub fn claims_renewal(&self, now: u64) -> bool {
        self.is_due(now)
            && now >= self.try_at.load(Ordering::Relaxed)
            && !self.renewing.swap(true, Ordering::Relaxed)
    }

    /// The renewal is over. Where it did not succeed, this entry is still the one in use, and a later hit tries again.
    pub fn renewal_is_over(&self, now: u64) {
        self.try_at.store(now + 1, Ordering::Relaxed);
        self.renewing.store(false, Ordering::Relaxed);
    }
}

/// The moment that others are counted from.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds; of what was before, none.
fn since_begun(moment: Instant) -> u64 {
    let since = moment.saturating_duration_since(*BEGUN);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An answer that another frontend has left. Neither its signature nor its status is known to be right.
pub struct Inherited {
    /// What it has sent.
    pub der: Bytes,
    /// What it says that the source has said.
    pub said: Said,
}

/// What stands under a key.
#[derive(Clone)]
pub enum Kept {
    /// An answer.
    Answer(Arc<Entry>),
    /// What may become one.
    Inherited(Arc<Inherited>),
}

impl Kept {
    /// It does not stand in the store any more.
    fn leaves(&self) {
        if let Self::Answer(entry) = self {
            entry.stands.store(false, Ordering::Relaxed);
        }
    }
}

#[derive(Clone)]
struct Octets;

impl Weighter<Key, Kept> for Octets {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        let der = match kept {
            Kept::Answer(entry) => entry.ready.written.der(),
            Kept::Inherited(inherited) => &inherited.der,
        };
        let own = key.serial.len() + der.len() + der.len() / PART_UNUSED;
        BESIDE + u64::try_from(own).unwrap_or(u64::MAX / 2)
    }
}

/// What octets of a request were found to ask for.
#[derive(Clone)]
struct Asked {
    /// The store alone keeps it.
    entry: Weak<Entry>,
    /// Until when they do, in seconds since 1970: then another key of the issuer's may have to sign.
    until: u64,
}

impl Weighter<Box<[u8]>, Asked> for Octets {
    fn weight(&self, octets: &Box<[u8]>, _: &Asked) -> u64 {
        BESIDE_OCTETS + u64::try_from(octets.len()).unwrap_or(u64::MAX / 2)
    }
}

/// What leaves the store is not to be found by the octets of a request: somebody may still hold it.
#[derive(Clone)]
struct Leaving;

impl Lifecycle<Key, Kept> for Leaving {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, kept: Kept) {
        kept.leaves();
    }
}

/// The cache.
pub struct Cache<F: Clone> {
    store: Store<Key, Kept, Octets, RandomState, Leaving>,
    asked: Store<Box<[u8]>, Asked, Octets>,
    flights: Mutex<HashMap<Key, Arc<OnceCell<F>>>>,
}

impl<F: Clone> Cache<F> {
    /// A cache for answers of `memory` octets in all.
    pub fn new(memory: u64) -> Self {
        let places =
            |memory: u64, each| usize::try_from(memory / each).unwrap_or(usize::MAX).max(16);
        let for_octets = memory / PART_OF_OCTETS;
        let memory = memory - for_octets;
        Self {
            store: Store::with(
                places(memory, BESIDE + 512),
                memory,
                Octets,
                RandomState::new(),
                Leaving,
            ),
            asked: Store::with_weighter(
                places(for_octets, BESIDE_OCTETS + 128),
                for_octets,
                Octets,
            ),
            flights: Mutex::default(),
        }
    }

    /// The answer that stands under a key.
    pub fn find(&self, key: &Key) -> Option<Arc<Entry>> {
        match self.store.get(key)? {
            Kept::Answer(entry) => Some(entry),
            Kept::Inherited(_) => None,
        }
    }

    /// What another frontend has left under a key.
    pub fn inherited(&self, key: &Key) -> Option<Arc<Inherited>> {
        match self.store.peek(key)? {
            Kept::Answer(_) => None,
            Kept::Inherited(inherited) => Some(inherited),
        }
    }

    /// Puts under a key what another frontend has left there, unless something stands there. False where there is no room: an
    /// eighth is for what is new, so that nothing has to go for what nobody may ask for again.
    pub fn inherit(&self, key: Key, inherited: Inherited) -> bool {
        let kept = Kept::Inherited(Arc::new(inherited));
        let room = self.store.capacity() / 8 * 7;
        if self.store.weight() + Octets.weight(&key, &kept) > room {
            return false;
        }
        if let GuardResult::Guard(place) = self.store.get_value_or_guard(&key, Some(Duration::ZERO))
        {
            let _ = place.insert(kept); // somebody may have kept an answer meanwhile
        }
        true
    }

    /// All that stands there, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Key, Kept)> + Send {
        self.store.iter()
    }

    /// The octets that answers may take in all.
    pub fn memory(&self) -> u64 {
        self.store.capacity()
    }

    /// The answer that these octets of a request were found to ask for, if it still stands and they still do.
    pub fn recall(&self, octets: &[u8], now: u64) -> Option<Arc<Entry>> {
        let asked = self.asked.get(octets)?;
        let entry = asked.entry.upgrade();
        match entry.filter(|entry| entry.stands.load(Ordering::Relaxed) && now < asked.until) {
            Some(entry) => {
                // What is used often has to be known where room is made, but not each time; and of many that are used once,
                // not of all.
                let uses = entry.uses().wrapping_add(entry.ready.chance.into());
                if uses.is_multiple_of(TOLD_EVERY) {
                    let _ = self.store.get(&entry.key);
                }
                Some(entry)
            }
            None => {
                self.asked.remove(octets);
                None
            }
        }
    }

    /// Keeps in mind that these octets of a request ask for an answer, until then.
    pub fn remember(&self, octets: &[u8], entry: &Arc<Entry>, until: u64) {
        let entry = Arc::downgrade(entry);
        self.asked.insert(octets.into(), Asked { entry, until });
    }

    /// Puts an entry in the place of an older one.
    pub fn keep(&self, entry: Arc<Entry>) {
        self.store.insert(entry.key.clone(), Kept::Answer(entry));
    }

    /// How many entries there are, and the octets they take with what else is kept.
    pub fn size(&self) -> (usize, u64) {
        (self.store.len(), self.store.weight() + self.asked.weight())
    }

    /// Takes an entry out.
    pub fn forget(&self, key: &Key) {
        if let Some((_, kept)) = self.store.remove(key) {
            kept.leaves();
        }
    }

    /// Takes out whatever says *good* of a serial, or may say so, by whichever hash it was asked for.
    pub fn forget_good(&self, issuer: u16, keys: u16, serial: &[u8]) {
        for key in every_key(issuer, keys, serial) {
            match self.store.peek(&key) {
                Some(Kept::Answer(entry)) if entry.revoked => {}
                Some(Kept::Answer(_) | Kept::Inherited(_)) => self.forget(&key),
                None => {}
            }
        }
    }

    /// Whether an answer says *revoked* of a serial, by whichever hash it was asked for.
    pub fn says_revoked(&self, issuer: u16, keys: u16, serial: &[u8]) -> bool {
        every_key(issuer, keys, serial)
            .any(|key| matches!(self.store.peek(&key), Some(Kept::Answer(entry)) if entry.revoked))
    }

    /// Does `work` for a key once at a time: who comes while it is done waits for the same outcome. When the one who
    /// does it is given up, one of those who wait does it.
    pub async fn once(&self, key: &Key, work: impl Future<Output = F>) -> F {
        let cell = Arc::clone(held(&self.flights).entry(key.clone()).or_default());
        let flight = Flight {
            flights: &self.flights,
            key,
            cell: Some(cell),
        };
        match &flight.cell {
            Some(cell) => cell.get_or_init(|| work).await.clone(),
            None => work.await, // it is taken only when the flight is over
        }
    }
}

/// Whatever answers about a serial may stand under.
fn every_key(issuer: u16, keys: u16, serial: &[u8]) -> impl Iterator<Item = Key> {
    (0..keys).flat_map(move |key| {
        ALGORITHMS.into_iter().flat_map(move |hash| {
            [Parameters::Absent, Parameters::Null].map(|parameters| Key {
                issuer,
                key,
                hash,
                parameters,
                serial: serial.into(),
            })
        })
    })
}

/// Somebody's part in a flight; the last one, and the first to see the outcome, take it off the list.
struct Flight<'a, F> {
    flights: &'a Mutex<HashMap<Key, Arc<OnceCell<F>>>>,
    key: &'a Key,
    cell: Option<Arc<OnceCell<F>>>,
}

impl<F> Drop for Flight<'_, F> {
    fn drop(&mut self) {
        let mut flights = held(self.flights);
        // Let go of while the list is locked: of two who leave at once, one must be seen to be the last.
        let Some(cell) = self.cell.take() else { return };
        let listed = flights
            .get(self.key)
            .is_some_and(|listed| Arc::ptr_eq(listed, &cell));
        // Two: the list's and ours. Nobody can join meanwhile: the list is locked.
        if listed && (cell.initialized() || Arc::strong_count(&cell) == 2) {
            flights.remove(self.key);
        }
        drop(cell);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn entry(serial: u64) -> Arc<Entry> {
        let times = Times {
            this_update: 1_700_000_000,
            next_update: 1_700_864_000,
        };
        let key = Key {
            issuer: 0,
            key: 0,
            hash: HashAlgorithm::Sha1,
            parameters: Parameters::Absent,
            serial: Serial::from(&serial.to_be_bytes()[..]),
        };
        let said = Said {
            revoked: None,
            proof: [0; 32],
        };
        let ready = Ready::new(vec![0x30; 500], times, &[], times.this_update);
        Arc::new(Entry::new(key, ready, said, false, Instant::now()))
    }

    #[test]
    fn octets_lead_to_nothing_that_does_not_stand_any_more_whoever_holds_it() {
        let cache = Cache::<()>::new(1 << 20);
        let recalled = |octets: &[u8]| cache.recall(octets, 0);
        let (old, new) = (entry(1), entry(1));
        cache.keep(Arc::clone(&old));
        cache.remember(b"one", &old, 1);
        cache.remember(b"two", &old, 1);
        assert!(recalled(b"one").is_some_and(|entry| Arc::ptr_eq(&entry, &old)));
        // Another has its place.
        cache.keep(Arc::clone(&new));
        assert!(recalled(b"one").is_none());
        cache.remember(b"one", &new, 1);
        assert!(recalled(b"one").is_some_and(|entry| Arc::ptr_eq(&entry, &new)));
        assert!(recalled(b"two").is_none());
        // It was withdrawn.
        cache.forget_good(0, 1, &new.key.serial);
        assert!(recalled(b"one").is_none());
        // Until another key may sign, and no longer.
        cache.keep(Arc::clone(&new));
        let again = entry(1);
        cache.keep(Arc::clone(&again));
        cache.remember(b"one", &again, 1);
        assert!(cache.recall(b"one", 1).is_none());
        // It had to make room.
        let all: Vec<_> = (0..10_000).map(entry).collect();
        for (number, entry) in (0_u64..).zip(&all) {
            cache.keep(Arc::clone(entry));
            cache.remember(&number.to_be_bytes(), entry, 1);
        }
        let mut left = 0;
        for (number, entry) in (0_u64..).zip(&all) {
            let stands = cache.find(&entry.key).is_some();
            left += usize::from(stands);
            let recalled = recalled(&number.to_be_bytes());
            assert!(stands || recalled.is_none(), "{number}");
        }
        assert!((1..all.len()).contains(&left), "{left}");
    }

    #[test]
    fn what_is_asked_for_often_by_its_octets_outlasts_what_is_asked_for_once() {
        let cache = Cache::<()>::new(4 << 20);
        let (often, once) = (entry(1), entry(2));
        // Until there is no room, nothing has to go.
        for number in 3..10_000 {
            cache.keep(entry(number));
        }
        for (octets, entry) in [(b"often", &often), (b"once!", &once)] {
            cache.keep(Arc::clone(entry));
            cache.remember(octets, entry, 1);
        }
        for number in 10_000..40_000 {
            cache.keep(entry(number));
            if let Some(entry) = cache.recall(b"often", 0) {
                entry.is_used();
                cache.remember(b"often", &entry, 1);
            }
        }
        assert!(cache.find(&often.key).is_some());
        assert!(cache.find(&once.key).is_none());
    }

    #[test]
    fn a_flight_that_is_given_up_is_taken_over_by_who_waits() {
        let cache = Cache::new(1 << 20);
        let key = entry(1).key.clone();
        let mut first = Box::pin(cache.once(&key, std::future::pending()));
        let mut second = Box::pin(cache.once(&key, async { 2 }));
        assert_eq!((&mut first).now_or_never(), None);
        assert_eq!((&mut second).now_or_never(), None);
        drop(first);
        assert_eq!(second.now_or_never(), Some(2));
        assert!(held(&cache.flights).is_empty());
    }

    #[test]
    fn an_answer_is_renewed_in_time() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let this_update = 1_700_000_000;
        let limit = |validity: u64, made: u64| {
            let next_update = this_update + validity - 1;
            let times = Times {
                this_update,
                next_update,
            };
            renew_by(times, this_update + made) - this_update
        };
        // 10 and 3 days; 16 h, and a second less; short ones.
        assert_eq!(limit(10 * DAY, 0), 4 * DAY);
        assert_eq!(limit(4 * DAY + 8 * HOUR + 1, 0), 4 * DAY);
        assert_eq!(limit(4 * DAY + 8 * HOUR, 0), 4 * DAY - 1);
        assert_eq!(limit(3 * DAY, 0), 3 * DAY - 8 * HOUR - 1);
        assert_eq!(limit(16 * HOUR, 0), 8 * HOUR - 1);
        assert_eq!(limit(16 * HOUR - 1, 0), 8 * HOUR - 2);
        assert_eq!(limit(HOUR, 0), HOUR / 2 - 1);
        assert_eq!(limit(60, 0), 29);
        // Made late: backdated by an hour; by all that it had; in the last seconds of a certificate.
        assert_eq!(limit(DAY, HOUR), 16 * HOUR - 1);
        assert_eq!(limit(2 * HOUR, HOUR), HOUR + (HOUR - 1) / 2);
        assert_eq!(limit(3, 0), 1);
        assert_eq!(limit(2, 0), 1);
        assert_eq!(limit(1, 0), 1);
    }
}
