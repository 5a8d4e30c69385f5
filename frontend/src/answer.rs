//! The way of a request, once each room: decoded, assigned to an issuer, looked up in the cache, looked up in the source,
//! signed. Whatever comes in, something goes out.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use ocsp_frontend_settings::{NoRecord, Nonce, NonceOverload};
use ocsp_wire::{
    Evidence, Foreign, Item, List, Octets, Ours, Reason, Refusal, SignRequest, Status,
};

use crate::cache::{Cache, Entry, Inherited, Key, renew_by};
use crate::counts::Counts;
use crate::digest::sha256;
use crate::fields::Written;
use crate::issuer::{Issuer, Issuers, Line};
use crate::request::{self, CertId, Hash, NoQuestion, Question};
use crate::requestor::Refused;
use crate::response::{self, OcspError, Times};
use crate::seldom::Seldom;
use crate::serial::{self, Serial, is_issuable};
use crate::signer::{NotSigned, Signer};
use crate::status::{NoAnswer, Proof, Record, Revocation, Source, Urgency};

/// A signed answer, ready to be sent any number of times.
#[derive(Debug)]
pub struct Ready {
    /// The OCSPResponse, and its fields in an answer to GET.
    pub written: Written,
    /// When it holds.
    pub times: Times,
    /// When it must have been renewed, in seconds since 1970.
    pub renew_by: u64,
    /// Whether *good* is all that it says.
    pub good: bool,
    /// A number that differs from answer to answer.
    pub chance: u8,
}

impl Ready {
    /// An answer about `items` that was made at `made`, in seconds since 1970.
    pub fn new(der: Vec<u8>, times: Times, items: &[Item], made: u64) -> Self {
        let is_good = |item: &Item| matches!(item, Item::Ours(ours) if ours.status == Status::Good);
        let digest = sha256(&der);
        Self {
            written: Written::new(der, &digest, times),
            times,
            renew_by: renew_by(times, made),
            good: items.iter().all(is_good),
            chance: digest[0],
        }
    }
}

/// Somebody's part in a signed answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It is, or was, the cache's.
    Kept(Arc<Entry>),
    /// It was never kept.
    Unkept(Arc<Ready>),
}

impl Deref for Reply {
    type Target = Ready;
    fn deref(&self) -> &Ready {
        match self {
            Self::Kept(entry) => &entry.ready,
            Self::Unkept(ready) => ready,
        }
    }
}

impl From<Ready> for Reply {
    fn from(ready: Ready) -> Self {
        Self::Unkept(Arc::new(ready))
    }
}

/// What goes out.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Signed; others may be given the same octets as long as they hold.
    Shared(Reply),
    /// Signed for one client, since it echoes a nonce, or for those alone that may ask.
    Private(Reply),
    /// Signed, but not authoritative: it says *unknown* (RFC 9919 section 7.2).
    Unsettled(Reply),
    /// An error.
    Error(OcspError),
}

/// Answers requests.
pub struct Responder {
    issuers: Issuers,
    sources: Vec<Source>,
    cache: Cache<Answer>,
    signer: Signer,
    max_stale: Duration,
    counts: Counts,
    troubles: Seldom<Trouble>,
}

/// A certificate of an issuer of ours.
#[derive(Clone, Copy)]
struct Asked<'a> {
    place: u16,
    issuer: &'a Issuer,
    source: &'a Source,
    /// The key that signs, by place.
    key: u16,
}

impl Asked<'_> {
    /// How many keys its issuer has.
    fn keys(&self) -> u16 {
        u16::try_from(self.issuer.signatories.len()).unwrap_or(u16::MAX)
    }

    /// Where the answer about a certificate of this issuer is kept; nowhere where its CertID is by a hash of nobody's.
    fn kept_as(&self, id: &CertId) -> Option<Key> {
        let Hash::Known(hash) = id.hash else {
            return None;
        };
        Some(Key {
            issuer: self.place,
            key: self.key,
            hash,
            parameters: id.parameters,
            serial: Serial::from(&*id.serial),
        })
    }

    /// What the source knows of a serial. Of one that no certificate can carry there is nothing to know.
    async fn record(&self, serial: &[u8], urgency: Urgency) -> Result<Option<Record>, NoAnswer> {
        if !is_issuable(serial) {
            return Ok(None);
        }
        // Whatever the source says of it: whoever has the key could have issued any serial.
        if let Some(time) = self.issuer.compromised {
            let reason = Some(Reason::CaCompromise);
            return Ok(Some(Record {
                revoked: Some(Revocation { time, reason }),
                proof: Proof::None,
            }));
        }
        self.source.look_up(serial, self.issuer, urgency).await
    }

    /// What this issuer says of a serial without record; none is the error *unauthorized*.
    fn without_record(&self, serial: &[u8]) -> Option<Status> {
        match self.issuer.unknown {
            NoRecord::Unauthorized => None,
            NoRecord::Revoked if is_issuable(serial) => Some(Status::NeverIssued),
            NoRecord::Unknown | NoRecord::Revoked => Some(Status::Unknown),
        }
    }
}

impl Responder {
    /// A responder with an empty cache of `memory` octets.
    pub fn new(
        issuers: Issuers,
        sources: Vec<Source>,
        signer: Signer,
        cache: Cache<Answer>,
        max_stale: Duration,
    ) -> Self {
        Self {
            issuers,
            sources,
            cache,
            signer,
            max_stale,
            counts: Counts::default(),
            troubles: Seldom::default(),
        }
    }

    /// Answers one request as DER.
    pub async fn answer(self: &Arc<Self>, der: &[u8]) -> Answer {
        match self.recall(der) {
            Some(answer) => answer,
            // In a place of its own: what is answered at once is not to carry what this may need.
            None => Box::pin(self.read(der, der)).await,
        }
    }

    /// The answer to octets that were read before: from the cache, where it needs nothing done.
    pub fn recall(&self, octets: &[u8]) -> Option<Answer> {
        let now = now();
        let entry = self.cache.recall(octets, now)?;
        let issuer = self.issuers.at(entry.key.issuer)?;
        let source = self.sources.get(issuer.source)?;
        let at_once = entry.is_believed(now, source.revalidate) && !entry.is_due(now);
        at_once.then(|| {
            entry.is_used();
            self.counts.hits.add();
            self.counts.hashes.by(entry.key.hash).add();
            self.counts.answers.add();
            Answer::Shared(Reply::Kept(entry))
        })
    }

    /// Answers a request as DER, which came as `octets`: those that begin with a `/` are the path of a GET.
    pub async fn read(self: &Arc<Self>, octets: &[u8], der: &[u8]) -> Answer {
        let answer = match request::parse(der) {
            Ok(question) => self.question(octets, der, question).await,
            Err(NoQuestion::Malformed) => Answer::Error(OcspError::MalformedRequest),
            Err(NoQuestion::NotOurs) => Answer::Error(OcspError::Unauthorized),
        };
        match &answer {
            Answer::Shared(_) | Answer::Private(_) | Answer::Unsettled(_) => &self.counts.answers,
            Answer::Error(OcspError::MalformedRequest) => &self.counts.malformed,
            Answer::Error(OcspError::InternalError) => &self.counts.internal_error,
            Answer::Error(OcspError::TryLater) => &self.counts.try_later,
            Answer::Error(OcspError::SigRequired) => &self.counts.sig_required,
            Answer::Error(OcspError::Unauthorized) => &self.counts.unauthorized,
        }
        .add();
        answer
    }

    /// A question, and the request that asks it.
    async fn question(self: &Arc<Self>, octets: &[u8], der: &[u8], question: Question) -> Answer {
        if let Some(Hash::Known(hash)) = question.items.first().map(|id| &id.hash) {
            self.counts.hashes.by(*hash).add();
        }
        let Some((place, issuer)) = question.items.iter().find_map(|id| self.issuers.find(id))
        else {
            return Answer::Error(OcspError::Unauthorized);
        };
        let Some(requestors) = &issuer.requestors else {
            // A nonce that is ignored makes each request another one.
            let octets = Some(octets).filter(|_| question.nonce.is_none());
            return self.allowed(place, issuer, &question, octets).await;
        };
        match requestors.admit(der) {
            // Kept here like any other, and nowhere on the way to the client.
            Ok(()) => match self.allowed(place, issuer, &question, None).await {
                Answer::Shared(reply) | Answer::Private(reply) => Answer::Private(reply),
                Answer::Unsettled(reply) => Answer::Unsettled(reply),
                Answer::Error(error) => Answer::Error(error),
            },
            Err(Refused::Unsigned) => Answer::Error(OcspError::SigRequired),
            Err(Refused::Untrusted(why)) => {
                let name = &issuer.name;
                self.troubles.warn(Trouble::Requestor, || {
                    format!("a signed request is answered unauthorized: {why} (issuer {name:?})")
                });
                Answer::Error(OcspError::Unauthorized)
            }
        }
    }

    /// A question about an issuer, the one at `place`, of whom may ask. Where `octets` are given, whoever sends them may be
    /// given the same answer unread.
    async fn allowed(
        self: &Arc<Self>,
        place: u16,
        issuer: &Issuer,
        question: &Question,
        octets: Option<&[u8]>,
    ) -> Answer {
        let now = now();
        let Some(key) = issuer.key(&question.preferred, now) else {
            self.troubles.error(Trouble::NoKey(place), || {
                let name = &issuer.name;
                format!("issuer {name:?}: no certificate is valid now that a key of its could sign under: internalError is answered")
            });
            return Answer::Error(OcspError::InternalError);
        };
        let Some(asked) = self.asked_at(place, key) else {
            return Answer::Error(OcspError::InternalError);
        };
        let nonce = match issuer.nonce {
            Nonce::Echo => question.nonce.clone(),
            Nonce::Ignore => None,
        };
        match (nonce, question.items.as_slice()) {
            (None, [id]) => self.cached(asked, id, octets).await,
            (nonce, [id]) if asked.issuer.nonce_overload == NonceOverload::Cached => {
                if self.signer.is_busy() {
                    return self.cached(asked, id, None).await;
                }
                let answer = self.fresh(asked, nonce, question).await;
                if let Answer::Error(OcspError::TryLater) = answer {
                    // It has waited for long enough: what is at hand, or nothing.
                    return self.at_hand(asked, id);
                }
                answer
            }
            // A nonce, or several certificates: of neither is an answer kept.
            (_, _) if self.signer.is_busy() => self.too_much(),
            (nonce, _) => self.fresh(asked, nonce, question).await,
        }
    }

    /// The signer has more to do than it can.
    fn too_much(&self) -> Answer {
        self.troubles.warn(Trouble::Busy, || {
            "the signer has too much to do: tryLater is answered to requests with a nonce, or for several certificates"
                .to_owned()
        });
        Answer::Error(OcspError::TryLater)
    }

    /// What was done since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many answers are kept, and the octets they take.
    pub fn kept(&self) -> (usize, u64) {
        self.cache.size()
    }

    /// What is kept.
    pub fn cache(&self) -> &Cache<Answer> {
        &self.cache
    }

    /// The line of each key of each issuer, and their places.
    pub fn lines(&self) -> impl Iterator<Item = (Line, (u16, u16))> {
        let issuers = (0..).zip(self.issuers.iter());
        issuers.flat_map(|(place, issuer)| {
            let lines = (0..).zip(issuer.lines());
            lines.map(move |(key, line)| (*line, (place, key)))
        })
    }

    /// The line that an answer was signed in.
    pub fn line(&self, key: &Key) -> Option<Line> {
        let issuer = self.issuers.at(key.issuer)?;
        issuer.lines().get(usize::from(key.key)).copied()
    }

    /// Its sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Whether there is a signer.
    pub fn can_sign(&self) -> bool {
        self.signer.is_there()
    }

    /// Each issuer's name, and until when it can sign without a pause.
    pub fn signing_until(&self, now: u64) -> impl Iterator<Item = (&str, Option<u64>)> {
        let issuers = self.issuers.iter();
        issuers.map(move |issuer| (&*issuer.name, issuer.signs_until(now)))
    }

    /// Each key: its issuer's name, its place, and until when its certificate is valid, in seconds since 1970.
    pub fn keys(&self) -> impl Iterator<Item = (&str, usize, u64)> {
        self.issuers.iter().flat_map(|issuer| {
            let keys = issuer.signatories.iter().enumerate();
            keys.map(|(place, key)| (&*issuer.name, place, key.candidate().not_after))
        })
    }

    fn asked_at(&self, place: u16, key: u16) -> Option<Asked<'_>> {
        let issuer = self.issuers.at(place)?;
        Some(Asked {
            place,
            issuer,
            source: self.sources.get(issuer.source)?,
            key,
        })
    }

    /// The answer about one certificate, without nonce: from the cache as long as the source may be believed to say the
    /// same, else from the source.
    async fn cached(
        self: &Arc<Self>,
        asked: Asked<'_>,
        id: &CertId,
        octets: Option<&[u8]>,
    ) -> Answer {
        let Some(key) = asked.kept_as(id) else {
            return Answer::Error(OcspError::Unauthorized);
        };
        match self.hit(asked, &key) {
            Some((entry, answer)) => {
                // Not before they come again: most of what is new comes once.
                if let Some(octets) = octets {
                    let until = asked.issuer.chosen_until(now());
                    self.cache.remember(octets, &entry, until);
                }
                answer
            }
            None => {
                // By itself: a flight holds its work several times over.
                let settled = Box::pin(self.settle(asked, &key, Purpose::Answer));
                self.cache.once(&key, settled).await
            }
        }
    }

    /// The same, if it is at hand.
    fn at_hand(self: &Arc<Self>, asked: Asked<'_>, id: &CertId) -> Answer {
        let key = asked.kept_as(id);
        key.and_then(|key| self.hit(asked, &key))
            .map_or(Answer::Error(OcspError::TryLater), |(_, answer)| answer)
    }

    /// A cached answer whose status the source may still be believed to say, and that need not be renewed first.
    fn hit(self: &Arc<Self>, asked: Asked<'_>, key: &Key) -> Option<(Arc<Entry>, Answer)> {
        let (entry, now) = (self.cache.find(key)?, now());
        let believed = entry.is_believed(now, asked.source.revalidate);
        (believed && !entry.is_overdue(now)).then(|| {
            entry.is_used();
            self.counts.hits.add();
            let answer = self.shared(key, &entry);
            (entry, answer)
        })
    }

    /// Asks the source, and signs what has changed or is to be renewed. One at a time for each key, so that what a source
    /// said earlier never takes the place of what it said later.
    async fn settle(self: &Arc<Self>, asked: Asked<'_>, key: &Key, purpose: Purpose) -> Answer {
        let entry = self.cache.find(key).filter(|entry| entry.holds(now()));
        let renew = |entry: &Entry| {
            let now = now();
            entry.is_overdue(now) || (purpose == Purpose::Renew && entry.is_due(now))
        };
        // Somebody may have come first, between the miss and the flight.
        if let Some(entry) = &entry
            && entry.age() < asked.source.revalidate
            && !renew(entry)
        {
            return self.shared(key, entry);
        }
        let inherited = match entry {
            Some(_) => None,
            None => self.cache.inherited(key),
        };
        let looked_up = Instant::now();
        let urgency = if entry.is_some() || inherited.is_some() {
            Urgency::Kept
        } else {
            Urgency::New
        };
        let record = asked.record(&key.serial, urgency).await;
        self.withdraw(asked, &key.serial, &record);
        let record = match record {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.cache.forget(key);
                return self.no_record(asked, key).await;
            }
            Err(reason) => {
                // As it is now: another question may have withdrawn it meanwhile.
                let kept = self.cache.find(key);
                return self.without_record(asked, key, kept, reason);
            }
        };
        // To look up takes time, and an entry may have come to its end meanwhile.
        let said = record.said();
        match entry.filter(|entry| entry.said == said && entry.holds(now())) {
            Some(entry) if renew(&entry) => {
                entry.confirm(looked_up);
                match self.sign_and_keep(asked, key, record, looked_up).await {
                    Ok(renewed) => Answer::Shared(Reply::Kept(renewed)),
                    Err(_) if entry.holds(now()) => {
                        entry.renewal_is_over(now());
                        Answer::Shared(Reply::Kept(entry))
                    }
                    Err(error) => Answer::Error(error),
                }
            }
            Some(entry) => {
                entry.confirm(looked_up);
                self.shared(key, &entry)
            }
            None => {
                if let Some(inherited) = inherited {
                    match self.take_over(asked, key, &record, &inherited, looked_up) {
                        Some(entry) => return self.shared(key, &entry),
                        None => self.cache.forget(key),
                    }
                }
                match self.sign_and_keep(asked, key, record, looked_up).await {
                    Ok(entry) => Answer::Shared(Reply::Kept(entry)),
                    Err(error) => Answer::Error(error),
                }
            }
        }
    }

    /// Makes an answer of what another frontend has left, as if it had been signed for this one: the source says now what it
    /// said then, and answer and signature are found right. None where anything is otherwise, or it would have to be renewed.
    fn take_over(
        &self,
        asked: Asked<'_>,
        key: &Key,
        record: &Record,
        inherited: &Inherited,
        confirmed: Instant,
    ) -> Option<Arc<Entry>> {
        let revoked = record.revoked.is_some();
        // Where the source has taken a revocation back, it is for the signer to say what holds.
        let contradicted = !revoked
            && self
                .cache
                .says_revoked(asked.place, asked.keys(), &key.serial);
        if record.said() != inherited.said || contradicted {
            return None;
        }
        let items = [Item::Ours(ours(key, record.status(), Evidence::None))];
        let question = SignRequest {
            id: 0,
            issuer: key.issuer,
            key: key.key,
            nonce: None,
            items: List::new(&items[..]).ok()?,
        };
        let times = response::check_inherited(&inherited.der, &question, asked.issuer)
            .inspect_err(|what| {
                // Expired meanwhile; or revoked, because the signer of then would not take that back as the source did.
                if ["time", "status"].contains(what) {
                    return;
                }
                self.troubles.warn(Trouble::Inherited(what), || {
                    let issuer = &asked.issuer.name;
                    format!("an answer of the generation before, whose {what} is not right, is signed anew (issuer {issuer:?})")
                });
            })
            .ok()?;
        // When it was made, within what its times leave open, to be renewed rather too early.
        let ready = Ready::new(inherited.der.to_vec(), times, &items, times.this_update);
        let said = inherited.said.clone();
        let entry = Entry::new(key.clone(), ready, said, revoked, confirmed);
        if !entry.holds(now()) || entry.is_overdue(now()) {
            return None;
        }
        let entry = Arc::new(entry);
        self.cache.keep(Arc::clone(&entry));
        self.counts.inherited.add();
        Some(entry)
    }

    /// Whoever learned that a certificate is not, or not any more, *good* sees to it that nobody is told so, whatever becomes
    /// of the new answer: by no hash of its CertID, and not while the source does not answer.
    fn withdraw(&self, asked: Asked<'_>, serial: &[u8], record: &Result<Option<Record>, NoAnswer>) {
        let withdrawn = match record {
            Ok(Some(record)) => record.revoked.is_some(),
            Ok(None) | Err(NoAnswer::Broken) => true,
            Err(NoAnswer::Unavailable) => false,
        };
        if withdrawn {
            self.cache.forget_good(asked.place, asked.keys(), serial);
        }
    }

    /// A cached answer; where its signature is due, somebody is sent for a new one.
    fn shared(self: &Arc<Self>, key: &Key, entry: &Arc<Entry>) -> Answer {
        if entry.claims_renewal(now()) {
            let (responder, key, entry) = (Arc::clone(self), key.clone(), Arc::clone(entry));
            tokio::spawn(async move {
                if let Some(asked) = responder.asked_at(key.issuer, key.key) {
                    let renewed = Box::pin(responder.settle(asked, &key, Purpose::Renew));
                    responder.cache.once(&key, renewed).await;
                }
                entry.renewal_is_over(now());
            });
        }
        Answer::Shared(Reply::Kept(Arc::clone(entry)))
    }

    /// The source says nothing that could be signed: *revoked* holds until nextUpdate, and *good* for a while where the
    /// source does not answer, but not where it answers what makes no sense.
    fn without_record(
        &self,
        asked: Asked<'_>,
        key: &Key,
        entry: Option<Arc<Entry>>,
        reason: NoAnswer,
    ) -> Answer {
        let (error, patience) = match reason {
            NoAnswer::Unavailable => {
                self.troubles.warn(Trouble::Source, || {
                    let name = &asked.source.name;
                    format!("source {name:?} does not answer: what is cached is served, otherwise tryLater")
                });
                (OcspError::TryLater, self.max_stale)
            }
            NoAnswer::Broken => (OcspError::InternalError, Duration::ZERO),
        };
        match entry {
            Some(entry) if entry.holds(now()) && (entry.revoked || entry.age() < patience) => {
                Answer::Shared(Reply::Kept(entry))
            }
            Some(_) => {
                self.cache.forget(key);
                Answer::Error(error)
            }
            None => Answer::Error(error),
        }
    }

    /// No record of a single serial: by the issuer's policy. Nothing of this is kept.
    async fn no_record(&self, asked: Asked<'_>, key: &Key) -> Answer {
        let Some(status) = asked.without_record(&key.serial) else {
            return Answer::Error(OcspError::Unauthorized);
        };
        let item = Item::Ours(ours(key, status, Evidence::None));
        match self.say(asked, None, &mut [item]).await {
            Ok(ready) => Answer::Unsettled(ready.into()),
            Err(error) => Answer::Error(error),
        }
    }

    /// Has an answer signed and keeps it; what the source said is as old as `confirmed`, however young the signature.
    async fn sign_and_keep(
        &self,
        asked: Asked<'_>,
        key: &Key,
        record: Record,
        confirmed: Instant,
    ) -> Result<Arc<Entry>, OcspError> {
        let item = ours(key, record.status(), self.evidence(&record)?);
        let mut items = vec![Item::Ours(item)];
        let ready = self.say(asked, None, &mut items).await?;
        // What was asked for may have become *revoked* on the way.
        let revoked = !matches!(
            items.as_slice(),
            [Item::Ours(Ours {
                status: Status::Good,
                ..
            })]
        );
        let entry = Entry::new(key.clone(), ready, record.said(), revoked, confirmed);
        let entry = Arc::new(entry);
        self.cache.keep(Arc::clone(&entry));
        Ok(entry)
    }

    /// An answer to several certificates, or with a nonce: always looked up, always signed, never kept. The first
    /// certificate that is ours names the issuer; of all others the answer is *unknown*.
    async fn fresh(
        &self,
        asked: Asked<'_>,
        nonce: Option<Octets<128>>,
        question: &Question,
    ) -> Answer {
        // All at once, so that they travel together.
        let records = question.items.iter().map(|id| async move {
            match self.issuers.find(id) {
                Some((place, _)) if place == asked.place => {
                    let record = asked.record(&id.serial, Urgency::New).await;
                    self.withdraw(asked, &id.serial, &record);
                    Some(record)
                }
                Some(_) | None => None,
            }
        });
        let records = join_all(records).await;
        let mut items = Vec::with_capacity(question.items.len());
        let (mut recorded, mut unsettled) = (false, false);
        for (id, record) in question.items.iter().zip(records) {
            let item = match (asked.kept_as(id), record) {
                (Some(key), Some(record)) => match record {
                    Err(reason) => return self.without_record(asked, &key, None, reason),
                    Ok(Some(record)) => {
                        recorded = true;
                        match self.evidence(&record) {
                            Ok(evidence) => Item::Ours(ours(&key, record.status(), evidence)),
                            Err(error) => return Answer::Error(error),
                        }
                    }
                    Ok(None) => {
                        let status = asked.without_record(&key.serial);
                        let status = status.unwrap_or(Status::Unknown);
                        unsettled |= status == Status::Unknown;
                        Item::Ours(ours(&key, status, Evidence::None))
                    }
                },
                (_, _) => {
                    unsettled = true;
                    Item::Foreign(foreign(id))
                }
            };
            items.push(item);
        }
        if !recorded && asked.issuer.unknown == NoRecord::Unauthorized {
            return Answer::Error(OcspError::Unauthorized);
        }
        let private = nonce.is_some();
        match self.say(asked, nonce, &mut items).await {
            Ok(ready) if unsettled || !recorded => Answer::Unsettled(ready.into()),
            Ok(ready) if private => Answer::Private(ready.into()),
            Ok(ready) => Answer::Shared(ready.into()),
            Err(error) => Answer::Error(error),
        }
    }

    /// Has a statement signed. Where the signer has signed a serial as revoked before, that is what is said.
    async fn say(
        &self,
        asked: Asked<'_>,
        nonce: Option<Octets<128>>,
        items: &mut [Item],
    ) -> Result<Ready, OcspError> {
        // Each withdrawal settles one item.
        for _ in 0..=items.len() {
            self.counts.signatures.add();
            let nonce = nonce.clone();
            let asking = self
                .signer
                .ask(asked.place, asked.issuer, asked.key, nonce, items);
            // By itself, too: pieces of memory above 1 KiB go past the allocator's quick lists.
            match Box::pin(asking).await {
                Ok(signed) if signed.times.contain(now()) => {
                    return Ok(Ready::new(signed.der, signed.times, items, now()));
                }
                // One of the two clocks was read before it was set.
                Ok(_) => return Err(OcspError::TryLater),
                Err(NotSigned::Unreachable) => {
                    self.troubles.warn(Trouble::Signer, || {
                        "the signer does not answer: tryLater is answered".to_owned()
                    });
                    return Err(OcspError::TryLater);
                }
                Err(NotSigned::Refused(Refusal::Withdrawn(withdrawn))) => {
                    let Some(Item::Ours(item)) = items.get_mut(usize::from(withdrawn.item)) else {
                        break;
                    };
                    let issuer = &asked.issuer.name;
                    self.troubles.security(Trouble::Withdrawn, || {
                        let serial = serial::digits(&item.serial);
                        format!("source {:?} has withdrawn a revocation, revoked is served (issuer {issuer:?}, serial 0x{serial})", asked.source.name)
                    });
                    item.status = Status::Revoked {
                        time: withdrawn.time,
                        reason: withdrawn.reason,
                    };
                    item.evidence = Evidence::None;
                }
                // The signer has logged which serial, and why.
                Err(NotSigned::Refused(Refusal::ClockBehind)) => return Err(OcspError::TryLater),
                Err(NotSigned::Refused(_) | NotSigned::TooLarge) => break,
                Err(NotSigned::Wrong(what)) => {
                    self.counts.withheld.add();
                    let issuer = &asked.issuer.name;
                    self.troubles.security(Trouble::Wrong(what), || {
                        format!("the signer gave an answer whose {what} is wrong: internalError is answered instead (issuer {issuer:?})")
                    });
                    break;
                }
            }
        }
        Err(OcspError::InternalError)
    }

    fn evidence(&self, record: &Record) -> Result<Evidence, OcspError> {
        record.evidence().map_err(|trouble| {
            self.troubles.error(Trouble::Evidence, || trouble);
            OcspError::InternalError
        })
    }
}

/// What a source is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To answer: a signature that still holds will do, unless it is overdue.
    Answer,
    /// To sign anew what is due.
    Renew,
}

/// What is logged at most once a minute each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    Source,
    Signer,
    Busy,
    Requestor,
    Withdrawn,
    Evidence,
    NoKey(u16),
    Wrong(&'static str),
    Inherited(&'static str),
}

fn ours(key: &Key, status: Status, evidence: Evidence) -> Ours {
    // The serial was bounded when it came in.
    let serial = Octets::new(&*key.serial).unwrap_or_else(|_| Octets::empty());
    Ours {
        hash: key.hash,
        parameters: key.parameters,
        serial,
        status,
        evidence,
    }
}

fn foreign(id: &CertId) -> Foreign {
    Foreign {
        algorithm: request::oid(&id.hash),
        parameters: id.parameters,
        name_hash: id.name_hash.clone(),
        key_hash: id.key_hash.clone(),
        serial: id.serial.clone(),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
