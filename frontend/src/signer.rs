//! The asking side of the boundary: questions go out as they come, pipelined, a bounded number at a time; answers come
//! back in any order. It trusts its signer to hold the keys, and nothing else: a frame that the protocol does not allow,
//! or an answer to nothing, ends the process; an answer that is wrong goes to nobody.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocsp_child::{exit, log};
use ocsp_wire::{
    Fault, Frames, FromSigner, Item, List, Octets, Refusal, SignRequest, ToSigner, Version, frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::issuer::Issuer;
use crate::response::{self, Times};

/// Questions on their way at a time. More wait here, where waiting costs little.
const IN_FLIGHT: usize = 256;
/// Who waits for a place beyond so many others is told at once that the signer has too much to do, where that is asked for.
const LINE: usize = 256;
/// How long a question may take, waiting included; then the client is asked to try later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSigned {
    /// The signer has too much to do, or is gone until the next generation.
    Unreachable,
    /// The question does not fit into a frame.
    TooLarge,
    /// Policy says no.
    Refused(Refusal),
    /// There is an answer, and this of it is wrong.
    Wrong(&'static str),
}

/// A signed answer that was checked against its question.
#[derive(Debug)]
pub struct Signed {
    /// The OCSPResponse.
    pub der: Vec<u8>,
    /// When it holds.
    pub times: Times,
}

/// The asking end.
pub struct Signer {
    next: AtomicU64,
    places: Arc<Semaphore>,
    line: Semaphore,
    frames: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    greeted: watch::Receiver<bool>,
}

type Reply = Result<Octets<{ 255 << 10 }>, Refusal>;

/// Questions whose answers are due. An entry stays until its answer came, even if nobody waits for it any more: a late
/// answer is not an answer to nothing, and its place in flight is taken as long as the signer works on it.
#[derive(Default)]
struct Pending(Mutex<Option<Due>>);

/// Who waits for an answer, and the place it takes, by id; none once the signer is gone.
type Due = HashMap<u64, (oneshot::Sender<Reply>, OwnedSemaphorePermit)>;

impl Pending {
    fn held(&self) -> MutexGuard<'_, Option<Due>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer {
    /// Takes over the boundary and greets the signer. Must be called within the runtime, which wants a descriptor of its
    /// own: the duplicate leads to the same socket as descriptor 1.
    pub fn connect(boundary: UnixStream) -> io::Result<Self> {
        let (reading, writing) = boundary.into_split();
        let pending = Arc::new(Pending(Mutex::new(Some(HashMap::new()))));
        let (frames, outgoing) = mpsc::channel(IN_FLIGHT);
        let (greets, greeted) = watch::channel(false);
        let hello = frame(&ToSigner::Hello(Version::ours())).map_err(io::Error::other)?;
        tokio::spawn(write(writing, hello, outgoing));
        tokio::spawn(read(reading, Arc::clone(&pending), greets));
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        Ok(Self {
            next: AtomicU64::new(1),
            places,
            line: Semaphore::new(LINE),
            frames,
            pending,
            greeted,
        })
    }

    /// Waits until the signer says that it serves. False when it is gone before.
    pub async fn greeted(&self) -> bool {
        self.greeted
            .clone()
            .wait_for(|greeted| *greeted)
            .await
            .is_ok()
    }

    /// Whether there is a signer to ask.
    pub fn is_there(&self) -> bool {
        self.pending.held().is_some()
    }

    /// Whether the signer has too much to do: every place is taken, and as many questions wait for one.
    pub fn is_busy(&self) -> bool {
        self.line.available_permits() == 0
    }

    /// Asks one question about items of `issuer`, the one at `place`, to be signed by its key at the place `key`.
    pub async fn ask(
        &self,
        place: u16,
        issuer: &Issuer,
        key: u16,
        nonce: Option<Octets<128>>,
        items: &[Item],
    ) -> Result<Signed, NotSigned> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let items = List::new(items).map_err(|_| NotSigned::TooLarge)?;
        let question = ToSigner::Sign(SignRequest {
            id,
            issuer: place,
            key,
            nonce,
            items,
        });
        let octets = frame(&question).map_err(|_| NotSigned::TooLarge)?;
        let reply = timeout(PATIENCE, self.exchange(id, octets))
            .await
            .unwrap_or(Err(NotSigned::Unreachable))?;
        let response = reply.map_err(NotSigned::Refused)?;
        let ToSigner::Sign(asked) = question else {
            return Err(NotSigned::TooLarge);
        };
        let times = response::check(&response, &asked, issuer).map_err(NotSigned::Wrong)?;
        Ok(Signed {
            der: response.into_inner(),
            times,
        })
    }

    async fn exchange(&self, id: u64, octets: Vec<u8>) -> Result<Reply, NotSigned> {
        // Who finds the line full waits beside it.
        let waits = self.line.try_acquire();
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| NotSigned::Unreachable)?;
        drop(waits);
        let (replies, reply) = oneshot::channel();
        self.pending
            .held()
            .as_mut()
            .ok_or(NotSigned::Unreachable)?
            .insert(id, (replies, place));
        // Only after it is pending may the answer come. There is room: the channel holds as many as there are places. And no
        // waiting: whoever is given up between the two would leave a place taken for good.
        self.frames
            .try_send(octets)
            .map_err(|_| NotSigned::Unreachable)?;
        reply.await.map_err(|_| NotSigned::Unreachable)
    }
}

/// Writes what waits, all at once, until the signer is gone.
async fn write(mut socket: OwnedWriteHalf, hello: Vec<u8>, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    let mut octets = hello;
    let mut frames = Vec::new();
    loop {
        if socket.write_all(&octets).await.is_err() {
            return; // the reader says so
        }
        octets.clear();
        if outgoing.recv_many(&mut frames, IN_FLIGHT).await == 0 {
            return;
        }
        // Whoever else has something to ask at this moment goes first, and along: each write wakes the signer.
        yield_now().await;
        while let Ok(frame) = outgoing.try_recv() {
            frames.push(frame);
        }
        for frame in frames.drain(..) {
            octets.extend_from_slice(&frame);
        }
    }
}

/// Reads answers and hands them to whoever waits, until the signer is gone.
async fn read(mut socket: OwnedReadHalf, pending: Arc<Pending>, greets: watch::Sender<bool>) {
    let mut frames = Frames::new();
    let mut octets = vec![0; 64 << 10];
    loop {
        let read = match socket.read(&mut octets).await {
            Ok(0) if frames.within_frame() => violated(&Fault::EndWithinFrame),
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        frames.extend(octets.get(..read).unwrap_or_default());
        loop {
            match frames.next::<FromSigner>() {
                Ok(Some(answer)) => hand_over(&pending, answer),
                Ok(None) => break,
                Err(fault) => violated(&fault),
            }
        }
        if frames.greeted() && !*greets.borrow() {
            greets.send_replace(true);
        }
    }
    // Whoever waits is told by the drop of its sender; whoever asks next, at once.
    *pending.held() = None;
    if frames.greeted() {
        log::warning("the signer is gone: cached answers only, until the next generation");
    }
}

fn hand_over(pending: &Pending, answer: FromSigner) {
    let (id, reply) = match answer {
        FromSigner::Signed { id, response } => (id, Ok(response)),
        FromSigner::Refused { id, refusal } => (id, Err(refusal)),
        FromSigner::Hello(_) => violated(&Fault::Order),
    };
    let waiting = pending
        .held()
        .as_mut()
        .and_then(|pending| pending.remove(&id));
    match waiting {
        Some((waiting, _place)) => drop(waiting.send(reply)),
        None => violated(&Fault::UnknownId(id)),
    }
}

/// The channel can no longer be believed, and with it the process ends.
fn violated(fault: &Fault) -> ! {
    log::security(format_args!("the signer broke the protocol: {fault}"));
    exit::leave(exit::VIOLATION)
}
