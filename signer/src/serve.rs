//! Receive, answer, send: a fixed number of signing threads on one boundary. There is no queue: a thread reads one
//! question, works, writes the answer, or a few together, and what waits, waits in the socket. A frame that the protocol does not allow
//! ends the process.

use std::collections::HashMap;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ocsp_child::{Descriptor, exit, log};
use ocsp_wire::{Fault, FromSigner, Refusal, Response, SignRequest, SignerEnd, ToSigner, frame};

use crate::policy::{No, Policy};
use crate::response;

/// Enough for the deepest call into the crypto library, and little to lock into memory.
const STACK: usize = 256 << 10;

/// How long the first of several answers waits for the others at most, from the moment at which its question was taken; and
/// how many octets they may have.
const GATHERING: Duration = Duration::from_millis(4);
const GATHERED: usize = 64 << 10;

/// Starts the signing threads, which do nothing until they are let go. Afterwards the process ends with its frontend, or with
/// a violation.
pub fn start(policy: Policy, frontend: SignerEnd<Descriptor>, threads: u16) -> io::Result<Gate> {
    let threads = usize::from(threads.max(1));
    let signer = Arc::new(Signer {
        policy,
        frontend,
        refusals: Refusals::default(),
    });
    let gate = Arc::new(Barrier::new(threads + 1));
    for number in 0..threads {
        let (signer, gate) = (Arc::clone(&signer), Arc::clone(&gate));
        ocsp_child::thread(&format!("sign-{number}"), Some(STACK), move || {
            gate.wait();
            signer.serve()
        })?;
    }
    Ok(Gate { signer, gate })
}

/// What holds the signing threads back until the process is locked in: no question is read before.
pub struct Gate {
    signer: Arc<Signer>,
    gate: Arc<Barrier>,
}

impl Gate {
    /// Greets the frontend, which tells it that this signer serves, and lets them go.
    pub fn open(self) {
        // Before a thread could answer: the first frame is the opening one, and a fresh socket takes it at once.
        if let Err(fault) = self.signer.frontend.greet() {
            log::info(format_args!("the frontend is gone: {fault}"));
            exit::leave(exit::DONE)
        }
        self.gate.wait();
    }
}

struct Signer {
    policy: Policy,
    frontend: SignerEnd<Descriptor>,
    refusals: Refusals,
}

impl Signer {
    /// Never comes back: the process ends with its channel.
    fn serve(&self) -> ! {
        let fault = match self.answer_all() {
            Ok(()) => exit::leave(exit::DONE),
            Err(fault) => fault,
        };
        if let Fault::Io(kind) = fault {
            log::info(format_args!("the frontend is gone: {kind}"));
            exit::leave(exit::DONE)
        }
        log::security(format_args!("the frontend broke the protocol: {fault}"));
        exit::leave(exit::VIOLATION)
    }

    /// Answers until the channel ends. Each answer that is sent wakes the frontend: while further questions are at hand,
    /// answers are gathered for a moment.
    fn answer_all(&self) -> Result<(), Fault> {
        let mut gathered = Vec::new();
        let mut since = Instant::now();
        loop {
            let message = if gathered.is_empty() {
                let message = self.frontend.receive()?;
                since = Instant::now();
                message
            } else {
                self.frontend.at_hand()?
            };
            match message {
                Some(ToSigner::Sign(question)) => {
                    gathered.extend(frame(&self.answer(&question))?);
                    if since.elapsed() < GATHERING && gathered.len() < GATHERED {
                        continue;
                    }
                }
                Some(ToSigner::Hello(_)) => return Err(Fault::Order),
                None if gathered.is_empty() => return Ok(()),
                None => {}
            }
            self.frontend.send_all(&mut gathered)?;
        }
    }

    fn answer(&self, question: &SignRequest) -> FromSigner {
        let id = question.id;
        match self.signed(question) {
            Ok(response) => FromSigner::Signed { id, response },
            Err(No::Refused(refusal)) => self.refuse(question, refusal),
            Err(No::ClockMoved { seconds }) => {
                log::security(format_args!(
                    "the clock moved by {seconds} s against the time since boot: this signer leaves"
                ));
                exit::leave(exit::CLOCK)
            }
        }
    }

    fn signed(&self, question: &SignRequest) -> Result<Response, No> {
        let statement = self.policy.allow(question)?;
        let response =
            Response::new(response::signed(&statement)?).map_err(|_| Refusal::TooLarge)?;
        self.policy.said(question.issuer, &statement);
        Ok(response)
    }

    fn refuse(&self, question: &SignRequest, refusal: Refusal) -> FromSigner {
        if let Some(before) = self.refusals.count(refusal) {
            let issuer = self.policy.name_of(question.issuer);
            let serial = policy_serials(question);
            let unlogged = if before == 0 {
                String::new()
            } else {
                format!("; {before} more unlogged before")
            };
            log::security(format_args!(
                "refused to sign: {} (issuer {issuer:?}, serial {serial}{unlogged})",
                refusal.sentence()
            ));
        }
        FromSigner::Refused {
            id: question.id,
            refusal,
        }
    }
}

/// The serials that a question is about, for the log: the first, and how many more.
fn policy_serials(question: &SignRequest) -> String {
    use ocsp_wire::Item;
    let mut serials = question.items.iter().map(|item| match item {
        Item::Ours(ours) => &ours.serial,
        Item::Foreign(foreign) => &foreign.serial,
    });
    let first = serials.next().map(|serial| {
        serial
            .iter()
            .map(|octet| format!("{octet:02X}"))
            .collect::<String>()
    });
    match (first, serials.count()) {
        (None, _) => "none".to_owned(),
        (Some(first), 0) => format!("0x{first}"),
        (Some(first), more) => format!("0x{first} and {more} more"),
    }
}

/// Refusals are security events, logged at most once a minute for each reason.
#[derive(Default)]
struct Refusals(Mutex<HashMap<Discriminant<Refusal>, (Instant, u64)>>);

impl Refusals {
    /// Counts one refusal. Where it is to be logged: how many of its reason were not logged before it.
    fn count(&self, refusal: Refusal) -> Option<u64> {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(&discriminant(&refusal)) {
            Some((logged, unlogged)) if now.duration_since(*logged) < Duration::from_secs(60) => {
                *unlogged += 1;
                None
            }
            Some((logged, unlogged)) => {
                *logged = now;
                Some(std::mem::take(unlogged))
            }
            None => {
                seen.insert(discriminant(&refusal), (now, 0));
                Some(0)
            }
        }
    }
}
