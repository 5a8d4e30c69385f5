//! MySQL and MariaDB. Look-ups that wait at the same moment travel as one statement; each connection has one statement at a
//! time, so that the database never has more from us than there are connections. When the database does not answer, that
//! is said at once to whoever asks, until a look of our own finds it well again. Trusts neither rows nor server.

mod examine;
mod link;
mod queue;
pub mod row;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};
use ocsp_frontend_settings as settings;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::link::{Hosts, Link, Trouble, end};
use self::queue::{MOST_WAITING, Queue, Rows, Waiting, hand_back};
use self::row::{Complaint, Reading, Row, judge, row_of, serial_of, spellings};
use super::{NoAnswer, Record, Urgency};
use crate::answer::now;
use crate::control::Launcher;
use crate::counts::SourceCounts;
use crate::issuer::Issuer;
use crate::seldom::Seldom;

/// Spellings in one statement. The sizes that statements come in are few, so that a connection keeps them prepared.
const SIZES: [usize; 6] = [4, 8, 16, 32, 64, LARGEST];
const LARGEST: usize = 128;
/// A connection that was idle for so long is looked after: what stands between may have dropped it without a word.
const IDLE: Duration = Duration::from_secs(15);
/// Between two looks at a database that does not answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two tries of one connection, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long a connection stays at a host that is not the first, before it tries those before it again.
const FALL_BACK: Duration = Duration::from_secs(30);
/// How long a successor that was asked for tries to reach the database; the launcher has more patience than that.
const REACH_WITHIN: Duration = Duration::from_secs(20);
/// Rows of one statement. Each key has one row at most, where the table is as it should be.
const MOST_ROWS: usize = 2 * LARGEST;
/// When no host has answered for so long, a generation that resolves names and reads files anew may do better.
const HOPELESS: Duration = Duration::from_secs(30);
/// How long connections may take to be closed, when the process is about to leave.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);
/// No certificate has this serial: a look-up for it asks for nothing but an answer.
const NOBODY: &[u8] = &[0];

/// A database.
pub struct Mysql {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    hosts: Hosts,
    settings: settings::Mysql,
    zone: TimeZone,
    /// Whether the source serves one issuer.
    alone: bool,
    /// How long a look-up may take, waiting included, and a statement.
    patience: Duration,
    statements: [String; SIZES.len()],
    queue: Queue,
    down: AtomicBool,
    /// Why it is down.
    reason: Mutex<String>,
    went_down: Notify,
    connected: AtomicUsize,
    /// Whose turn it is to connect.
    turn: tokio::sync::Mutex<()>,
    counts: SourceCounts,
    complaints: Seldom<Complaint>,
    troubles: Seldom<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Down,
    Up,
    Connection,
    Host,
    Unasked,
    Busy,
    Row,
}

impl Mysql {
    /// Reads the files and resolves the names that connections need, as far as `patience` allows. `alone` where the source
    /// serves one issuer; its password is `handed` over, if that is a credential.
    pub fn open(
        name: &str,
        settings: &settings::Mysql,
        alone: bool,
        handed: Option<OwnedFd>,
        patience: tokio::time::Instant,
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let fault = |what| format!("source {name:?}: {what}");
        let mut noted = Vec::new();
        let hosts = Hosts::open(settings, handed, patience, &mut noted).map_err(fault)?;
        notes.extend(
            noted
                .into_iter()
                .map(|note| match note.strip_prefix("warning: ") {
                    Some(warning) => format!("warning: source {name:?}: {warning}"),
                    None => format!("source {name:?}: {note}"),
                }),
        );
        let zone = row::zone(&settings.time_zone)
            .map_err(|found| fault(format!("the time zone {found}")))?;
        let shared = Shared {
            name: name.to_owned(),
            hosts,
            settings: settings.clone(),
            zone,
            alone,
            patience: Duration::from_millis(settings.timeout_ms),
            statements: SIZES.map(|size| statement(settings, size)),
            queue: Queue::default(),
            down: AtomicBool::new(false),
            reason: Mutex::default(),
            went_down: Notify::new(),
            connected: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::default(),
            counts: SourceCounts::default(),
            complaints: Seldom::default(),
            troubles: Seldom::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Starts the connections of the source at this place. Must be called within the runtime.
    pub fn keep_up(&self, place: u16, launcher: &Arc<Launcher>) {
        for _ in 0..self.shared.settings.connections {
            tokio::spawn(Arc::clone(&self.shared).work());
        }
        tokio::spawn(Arc::clone(&self.shared).watch(place, Arc::clone(launcher)));
    }

    /// Takes leave of the server, which would otherwise log that we were lost.
    pub async fn leave(&self) {
        let shared = &self.shared;
        shared.queue.leave();
        let until = Instant::now() + LEAVE_WITHIN;
        while shared.connected.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            sleep(LEAVE_WITHIN / 50).await;
        }
    }

    /// The record of a serial of an issuer.
    pub async fn look_up(
        &self,
        serial: &[u8],
        issuer: &Issuer,
        urgency: Urgency,
    ) -> Result<Option<Record>, NoAnswer> {
        let shared = &self.shared;
        if self.is_down() {
            return Err(NoAnswer::Unavailable);
        }
        let rows = shared.ask(serial, urgency).await?;
        let reading = Reading {
            issuer,
            alone: shared.alone,
            zone: &shared.zone,
            now: now(),
        };
        judge(&rows, serial, &reading, |row, complaint| {
            shared.counts.row_errors.add();
            shared.complaints.error(complaint, || {
                let spelled = String::from_utf8_lossy(&row.serial);
                format!("source {:?}: row {spelled:?}: {complaint}", shared.name)
            });
        })
    }

    /// Whether the database answers now; if not, why.
    pub async fn answers(&self) -> Result<(), String> {
        let shared = &self.shared;
        if !self.is_down() && shared.ask(NOBODY, Urgency::Kept).await.is_ok() {
            return Ok(());
        }
        let reason = shared.reason().clone();
        Err(if reason.is_empty() {
            format!("no answer within {:?}", shared.patience)
        } else {
            reason
        })
    }

    /// What it has done since its start.
    pub fn counts(&self) -> &SourceCounts {
        &self.shared.counts
    }

    /// Whether it is down, as far as was seen last.
    pub fn is_down(&self) -> bool {
        self.shared.down.load(Ordering::Relaxed)
    }

    /// Makes one connection and asks one question, before anybody depends on it.
    pub async fn reach(&self) -> Result<(), String> {
        let shared = &self.shared;
        let asked = async {
            let mut link = shared.hosts.connect(usize::MAX).await?;
            let answered = shared.probe(&mut link).await;
            end(link.conn).await;
            answered
        };
        timeout(REACH_WITHIN, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {REACH_WITHIN:?}")))
            .map_err(|reason| format!("source {:?}: {reason}", shared.name))
    }
}

/// One look-up of so many keys.
fn statement(settings: &settings::Mysql, keys: usize) -> String {
    let columns = &settings.columns;
    format!(
        "SELECT `{}`, `{}`, `{}`, `{}`, `{}` FROM `{}` WHERE `{}` IN ({})",
        columns.serial,
        columns.status,
        columns.time,
        columns.reason,
        columns.certificate,
        settings.table,
        columns.serial,
        vec!["?"; keys].join(", ")
    )
}

impl Shared {
    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the asking side ------------------------------------------------------------------------------------------

    /// The rows of a serial, of whichever issuer.
    async fn ask(&self, serial: &[u8], urgency: Urgency) -> Result<Rows, NoAnswer> {
        self.counts.look_ups.add();
        let Some(rows) = self.queue.put(serial, urgency) else {
            self.troubles.warn(Kind::Busy, || {
                let name = &self.name;
                format!("source {name:?}: {MOST_WAITING} look-ups wait already, more are not taken")
            });
            return Err(NoAnswer::Unavailable);
        };
        match timeout(self.patience, rows).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Unavailable),
        }
    }

    // ---- the answering side: one task for each connection ---------------------------------------------------------

    /// Keeps one connection, and answers look-ups over it.
    async fn work(self: Arc<Self>) {
        while !self.queue.is_leaving() {
            let link = self.connect().await;
            if let Some(passed) = &link.passed {
                self.troubles.warn(Kind::Host, || {
                    let name = &self.name;
                    format!("source {name:?}: another host than the first is asked: {passed}")
                });
            }
            self.connected.fetch_add(1, Ordering::Relaxed);
            let since = Instant::now();
            let link = self.serve(link).await;
            end(link.conn).await;
            self.connected.fetch_sub(1, Ordering::Relaxed);
            // A server that lets us in and then drops us is not asked without end.
            sleep(PAUSES.0.saturating_sub(since.elapsed())).await;
        }
    }

    /// Tries until a host lets us in. One connection at a time does: a server that is in trouble, or does not know us, has
    /// enough to do with one, and the others come when that one is in.
    async fn connect(&self) -> Link {
        let _turn = self.turn.lock().await;
        let mut pause = PAUSES.0;
        loop {
            match self.hosts.connect(usize::MAX).await {
                Ok(link) => return link,
                Err(reason) => self.unreachable(reason),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Answers look-ups over a connection until it breaks, and gives back what is left of it.
    async fn serve(self: &Arc<Self>, mut link: Link) -> Link {
        let mut settled = Instant::now();
        let mut earlier: Option<JoinHandle<Option<Link>>> = None;
        loop {
            if link.host > 0 && settled.elapsed() > FALL_BACK && earlier.is_none() {
                let shared = Arc::clone(self);
                earlier = Some(tokio::spawn(
                    async move { shared.fall_back(link.host).await },
                ));
            }
            if let Some(found) = earlier.take_if(|earlier| earlier.is_finished()) {
                settled = Instant::now();
                if let Ok(Some(found)) = found.await {
                    end(std::mem::replace(&mut link, found).conn).await;
                }
            }
            let Ok(batch) = timeout(IDLE, self.queue.take()).await else {
                // It may have been told of a look-up just now, and does not take it.
                self.queue.pass_on();
                if !matches!(timeout(self.patience, link.conn.ping()).await, Ok(Ok(()))) {
                    return link;
                }
                continue;
            };
            if batch.asked().is_empty() {
                return link;
            }
            let keys = batch.asked().iter();
            let keys = keys.flat_map(|asked| spellings(&asked.serial));
            let said = self.query(&mut link, keys.collect()).await;
            let batch = batch.back();
            match said {
                Ok(rows) => {
                    self.hosts.note(link.host, true);
                    self.hand_out(batch, rows);
                }
                Err(Trouble::Lost(reason)) => {
                    self.again(batch, reason);
                    return link;
                }
                // Another host may know better.
                Err(Trouble::Refused(reason) | Trouble::Silent(reason))
                    if self.hosts.count() > 1 =>
                {
                    self.hosts.note(link.host, false);
                    self.again(batch, reason);
                    return link;
                }
                Err(Trouble::Refused(reason)) => {
                    if let Err(reason) = self.one_by_one(&mut link, batch, reason).await {
                        self.go_down(reason);
                    }
                }
                Err(Trouble::Silent(reason)) => {
                    hand_back(batch);
                    self.go_down(reason);
                    return link;
                }
            }
        }
    }

    /// A statement was refused. Where the table answers at all, it is a row that cannot be read: whoever asked for others of
    /// the batch gets them. The error is why it does not answer.
    async fn one_by_one(
        &self,
        link: &mut Link,
        batch: Vec<Waiting>,
        reason: String,
    ) -> Result<(), String> {
        if let Err(reason) = self.probe(link).await {
            hand_back(batch);
            return Err(reason);
        }
        self.troubles.error(Kind::Row, || {
            format!("source {:?}: a row cannot be read: {reason}", self.name)
        });
        for asked in batch {
            let keys = spellings(&asked.serial);
            match self.query(link, keys).await {
                Ok(rows) => self.hand_out(vec![asked], rows),
                Err(_) => hand_back(vec![asked]),
            }
        }
        Ok(())
    }

    /// Asks for nothing but an answer. The error is why there is none.
    async fn probe(&self, link: &mut Link) -> Result<(), String> {
        match self.query(link, spellings(NOBODY)).await {
            Ok(_) => Ok(()),
            Err(Trouble::Lost(text) | Trouble::Refused(text) | Trouble::Silent(text)) => Err(text),
        }
    }

    /// Tries the hosts before this one, one connection at a time while all serve.
    async fn fall_back(&self, host: usize) -> Option<Link> {
        let _turn = self.turn.try_lock().ok()?;
        let mut link = self.hosts.connect(host).await.ok()?;
        let answered = self.probe(&mut link).await.is_ok();
        self.hosts.note(link.host, answered);
        if !answered {
            end(link.conn).await;
            return None;
        }
        Some(link)
    }

    /// One statement, in its time: the rows that have one of these keys.
    async fn query(&self, link: &mut Link, keys: Vec<String>) -> Result<Vec<Row>, Trouble> {
        match timeout(self.patience, self.rows(link, keys)).await {
            Ok(said) => said,
            Err(_) => {
                let text = format!("a statement was not answered within {:?}", self.patience);
                Err(Trouble::Silent(text))
            }
        }
    }

    async fn rows(&self, link: &mut Link, keys: Vec<String>) -> Result<Vec<Row>, Trouble> {
        self.counts.statements.add();
        let size = SIZES.iter().position(|size| *size >= keys.len());
        let size = size.unwrap_or(SIZES.len() - 1);
        let (Some(text), Some(length)) = (self.statements.get(size), SIZES.get(size)) else {
            return Ok(Vec::new()); // there are as many of one as of the other
        };
        let mut values: Vec<Value> = keys.into_iter().map(Value::from).collect();
        let filling = values.last().cloned().unwrap_or(Value::NULL);
        values.resize(*length, filling);
        let statement = link.prepare(size, text).await?;
        let values = Params::Positional(values);
        let mut answer = link.conn.exec_iter(statement, values).await?;
        let mut rows = Vec::new();
        while let Some(row) = answer.next().await? {
            if rows.len() >= MOST_ROWS {
                return Err(Trouble::Lost(format!(
                    "a look-up of {length} keys has more than {MOST_ROWS} rows"
                )));
            }
            rows.push(row_of(row));
        }
        Ok(rows)
    }

    /// Gives everybody the rows of their serial.
    fn hand_out(&self, batch: Vec<Waiting>, rows: Vec<Row>) {
        let mut of: HashMap<Box<[u8]>, Vec<Row>> = HashMap::new();
        for row in rows {
            match serial_of(&row.serial) {
                Some(serial) => of.entry(serial).or_default().push(row),
                None => self.troubles.error(Kind::Unasked, || {
                    let spelled = String::from_utf8_lossy(&row.serial);
                    format!(
                        "source {:?}: row {spelled:?}: is no serial, and is passed over",
                        self.name
                    )
                }),
            }
        }
        let mut shared: HashMap<Box<[u8]>, Rows> = HashMap::new();
        for asked in batch {
            let rows = shared
                .entry(asked.serial.clone())
                .or_insert_with_key(|serial| of.remove(serial).unwrap_or_default().into());
            let rows = Arc::clone(rows);
            asked.answer(Ok(rows));
        }
    }

    /// The connection broke, or its host is in trouble: another one may do. As many tries as there are connections, all of
    /// which may have broken at once, and one more.
    fn again(&self, batch: Vec<Waiting>, reason: String) {
        let given_up = self.queue.put_back(batch, self.settings.connections);
        if !given_up.is_empty() {
            hand_back(given_up);
            self.go_down(format!("connections are lost: {reason}"));
        }
    }

    // ---- whether the database answers -----------------------------------------------------------------------------

    /// No host lets us in. Where other connections are up, that is their affair only.
    fn unreachable(&self, reason: String) {
        if self.connected.load(Ordering::Relaxed) > 0 {
            self.troubles.warn(Kind::Connection, || {
                format!(
                    "source {:?}: one of its connections cannot be made: {reason}",
                    self.name
                )
            });
            return;
        }
        self.go_down(reason);
    }

    /// From now on nobody waits for it.
    fn go_down(&self, reason: String) {
        let first = !self.down.swap(true, Ordering::Relaxed);
        if first {
            self.troubles.warn(Kind::Down, || {
                format!("source {:?} does not answer: {reason}", self.name)
            });
        }
        *self.reason() = reason;
        hand_back(self.queue.empty());
        if first {
            self.went_down.notify_one();
        }
    }

    /// Looks after a database that is down until it answers, and asks for a successor where there is no hope.
    async fn watch(self: Arc<Self>, place: u16, launcher: Arc<Launcher>) {
        let mut asked: Option<Instant> = None;
        loop {
            self.went_down.notified().await;
            let since = Instant::now();
            loop {
                sleep(LOOK_EVERY).await;
                if self.ask(NOBODY, Urgency::Kept).await.is_ok() {
                    break;
                }
                let asked_lately = asked.is_some_and(|asked| asked.elapsed() < HOPELESS);
                if since.elapsed() >= HOPELESS && !asked_lately {
                    asked = Some(Instant::now());
                    let (name, seconds) = (&self.name, since.elapsed().as_secs());
                    let reason =
                        format!("source {name:?}: no host of it has answered for {seconds} s");
                    launcher.renew(place, &reason);
                }
            }
            self.down.store(false, Ordering::Relaxed);
            self.reason().clear();
            self.troubles.notice(Kind::Up, || {
                let seconds = since.elapsed().as_secs_f32();
                format!("source {:?} answers again, after {seconds:.1} s", self.name)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as published.
    pub fn settings() -> settings::Mysql {
        let name = str::to_owned;
        settings::Mysql {
            user: name("cert"),
            hosts: Vec::new(),
            socket: Some(name("/run/mysqld/mysqld.sock")),
            database: name("certs"),
            password_file: None,
            tls_ca: None,
            time_zone: name("UTC"),
            table: name("list_certs"),
            columns: settings::Columns {
                serial: name("cert_num"),
                status: name("status"),
                time: name("revocation_time"),
                reason: name("revocation_reason"),
                certificate: name("cert"),
            },
            connections: 4,
            timeout_ms: 2000,
        }
    }

    #[test]
    fn a_statement_names_table_and_columns_as_configured() {
        let mut settings = settings();
        settings.table = "my certs".to_owned();
        settings.columns.certificate = "x".to_owned();
        assert_eq!(
            statement(&settings, 2),
            "SELECT `cert_num`, `status`, `revocation_time`, `revocation_reason`, `x` FROM `my certs` WHERE `cert_num` IN (?, ?)"
        );
    }
}
