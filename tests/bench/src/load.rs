//! The generator: a closed loop of connections on one thread, each with one question at a time. It costs less than any server it
//! drives, so that the server's core is what is full.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::harness::TRY_LATER;
use crate::questions::Questions;

/// The longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of each measurement so many answers are kept and checked: the first ones, then one in so many.
const KEPT: usize = 100;
const KEPT_FIRST: u64 = 8;
const KEPT_EACH: u64 = 1009;

/// What is driven, and how.
#[derive(Clone, Copy)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Connections at a time.
    pub connections: usize,
    /// Whether a connection takes more than one question.
    pub keep_alive: bool,
    /// For so long.
    pub time: Duration,
    /// The OCSPResponseStatus (RFC 6960 section 4.2.1) that every answer must have.
    pub status: u8,
    /// Whether connections may be ended by the server, and tryLater may be answered: during a reload.
    pub disturbed: bool,
}

/// What came of it.
#[derive(Default)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// From the first question to the last answer.
    pub time: Duration,
    /// How long each took, in ns.
    pub latencies: Vec<u32>,
    /// Some, with the number of the question.
    pub kept: Vec<(u64, Vec<u8>)>,
    /// How many said tryLater, where that is allowed.
    pub try_later: u64,
    /// How often an answer said that its connection ends.
    pub ended: u64,
    /// How often a connection ended instead of an answer, and the question was asked again on another.
    pub again: u64,
    /// How many were not HTTP 200 with the expected status, and the first of these.
    pub wrong: u64,
    /// What the first of them said.
    pub first_wrong: Option<String>,
}

impl Answers {
    /// The latency that so many of 1000 did not exceed, in ms.
    pub fn per_mille(sorted: &[u32], per_mille: usize) -> f64 {
        let at = sorted.len() * per_mille / 1000;
        let latency = sorted.get(at).or(sorted.last());
        f64::from(latency.copied().unwrap_or(0)) / 1e6
    }
}

struct Connection {
    stream: TcpStream,
    begun: Instant,
    number: u64,
    /// What has come.
    octets: Vec<u8>,
    length: usize,
    /// An answer has come, and the connection was asked to end.
    answered: bool,
}

/// Finds the parts of a response.
struct Reader {
    end: Finder<'static>,
    length: Finder<'static>,
    close: Finder<'static>,
}

impl Reader {
    fn new() -> Self {
        Self {
            end: Finder::new(b"\r\n\r\n"),
            length: Finder::new(b"ength: "), // of either case
            close: Finder::new(b"onnection: close"),
        }
    }

    /// Where the body stands, when all of it is there.
    fn body(&self, octets: &[u8]) -> Option<std::ops::Range<usize>> {
        let start = self.end.find(octets)? + 4;
        let head = &octets[..start];
        let digits = &head[self.length.find(head)? + 7..];
        let digits = digits.iter().take_while(|octet| octet.is_ascii_digit());
        let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        (octets.len() >= start + length).then_some(start..start + length)
    }
}

/// The status of an OCSPResponse.
pub fn ocsp_status(body: &[u8]) -> Option<u8> {
    let header = match body.get(1)? {
        0x82 => 4,
        0x81 => 3,
        _ => 2,
    };
    match body.get(header..header + 3)? {
        [0x0a, 1, status] => Some(*status),
        _ => None,
    }
}

impl Load {
    /// Asks until the time is over or there are no more questions; each question that was sent is answered before it is back.
    pub fn drive(self, questions: Questions) -> Answers {
        drive_all(vec![(self, questions)]).remove(0)
    }
}

/// Drives several at once, in one loop: none waits longer for the generator than another.
pub fn drive_all(loads: Vec<(Load, Questions)>) -> Vec<Answers> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let reader = Reader::new();
    let begun = Instant::now();
    let askers = loads.into_iter().map(|(load, questions)| Asker {
        load,
        questions,
        question: Vec::with_capacity(1024),
        answers: Answers::default(),
        deadline: begun + load.time,
        last: begun,
    });
    let mut askers: Vec<Asker> = askers.collect();
    let mut connections: Vec<(usize, Option<Connection>)> = Vec::new();
    for (number, asker) in askers.iter_mut().enumerate() {
        for _ in 0..asker.load.connections {
            let connection = asker.connect(&epoll, connections.len());
            connections.push((number, connection));
        }
    }
    let open = connections
        .iter()
        .filter(|(_, connection)| connection.is_some());
    let mut open = open.count();
    let mut events = [EpollEvent::empty(); 64];
    while open > 0 {
        let timeout = EpollTimeout::try_from(PATIENCE).unwrap();
        let ready = match epoll.wait(&mut events, timeout) {
            Ok(0) => panic!("no answer within {PATIENCE:?}"),
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => panic!("epoll: {error}"),
        };
        for event in &events[..ready] {
            let place = usize::try_from(event.data()).unwrap();
            let (number, slot) = &mut connections[place];
            let Some(connection) = slot else {
                continue;
            };
            let asker = &mut askers[*number];
            if asker.hears(&epoll, &reader, place, connection) {
                *slot = asker.follows(&epoll, place);
                open -= usize::from(slot.is_none());
            }
        }
    }
    let ended = askers.into_iter().map(|asker| Answers {
        time: asker.last - begun,
        ..asker.answers
    });
    ended.collect()
}

/// A load in progress.
struct Asker {
    load: Load,
    questions: Questions,
    /// The octets of the last question.
    question: Vec<u8>,
    answers: Answers,
    deadline: Instant,
    /// When the last answer came.
    last: Instant,
}

impl Asker {
    /// Reads what has come on a connection, and asks the next question if that was an answer. True when the connection is done.
    fn hears(
        &mut self,
        epoll: &Epoll,
        reader: &Reader,
        place: usize,
        connection: &mut Connection,
    ) -> bool {
        let address = self.load.address;
        let free = &mut connection.octets[connection.length..];
        let read = match connection.stream.read(free) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{address}: {error}"),
        };
        if read == 0 && connection.length == 0 && self.load.disturbed {
            self.answers.again += 1;
            self.questions.octets(connection.number, &mut self.question);
            connection.stream = self.opened(epoll, place);
            return false;
        }
        connection.length += read;
        let now = Instant::now();
        let octets = &connection.octets[..connection.length];
        if !connection.answered {
            let Some(body) = reader.body(octets) else {
                assert!(
                    read > 0 && connection.length < connection.octets.len(),
                    "{address}: the connection ended, or too much came: {}",
                    String::from_utf8_lossy(octets)
                );
                return false;
            };
            self.take(connection, body, now);
            self.last = now;
        }
        if !self.load.keep_alive {
            // The server ends the connection, as it was asked to: so no port here waits for it.
            connection.answered = true;
            return read == 0;
        }
        if now >= self.deadline
            || !self
                .questions
                .next(&mut self.question, &mut connection.number)
        {
            return true;
        }
        let ends = self.load.disturbed && reader.close.find(octets).is_some();
        connection.length = 0;
        connection.begun = now;
        if ends {
            self.answers.ended += 1;
            connection.stream = self.opened(epoll, place);
        } else {
            write(&mut connection.stream, &self.question);
        }
        false
    }

    /// The connection in the place of one that is done.
    fn follows(&mut self, epoll: &Epoll, place: usize) -> Option<Connection> {
        if self.load.keep_alive || Instant::now() >= self.deadline {
            return None;
        }
        self.connect(epoll, place)
    }

    fn connect(&mut self, epoll: &Epoll, place: usize) -> Option<Connection> {
        let mut number = 0;
        if !self.questions.next(&mut self.question, &mut number) {
            return None;
        }
        let begun = Instant::now();
        Some(Connection {
            stream: self.opened(epoll, place),
            begun,
            number,
            octets: vec![0; 8192],
            length: 0,
            answered: false,
        })
    }

    /// A connection that the question was sent on.
    fn opened(&self, epoll: &Epoll, place: usize) -> TcpStream {
        let address = self.load.address;
        let stream = TcpStream::connect(address);
        let mut stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, place.try_into().unwrap());
        epoll.add(&stream, event).unwrap();
        write(&mut stream, &self.question);
        stream
    }

    /// Counts an answer.
    fn take(&mut self, connection: &Connection, body: std::ops::Range<usize>, now: Instant) {
        let answers = &mut self.answers;
        answers.count += 1;
        let latency = (now - connection.begun).as_nanos();
        let latency = u32::try_from(latency).unwrap_or(u32::MAX);
        answers.latencies.push(latency);
        let octets = &connection.octets[..connection.length];
        let status = ocsp_status(&octets[body.clone()]);
        let is_ok = octets.get(8..13) == Some(b" 200 ");
        let kept = answers.count <= KEPT_FIRST || answers.count.is_multiple_of(KEPT_EACH);
        if is_ok && self.load.disturbed && status == Some(TRY_LATER) {
            answers.try_later += 1;
        } else if !is_ok || status != Some(self.load.status) {
            answers.wrong += 1;
            let first = &mut answers.first_wrong;
            first.get_or_insert_with(|| format!("{:?}", String::from_utf8_lossy(octets)));
        } else if kept && answers.kept.len() < KEPT {
            let body = octets[body].to_vec();
            answers.kept.push((connection.number, body));
        }
    }
}

/// Sends a question, which fits into a socket's buffer. That the server has ended the connection shows when its answer is read.
fn write(stream: &mut TcpStream, question: &[u8]) {
    match stream.write(question) {
        Ok(length) => assert_eq!(length, question.len(), "a question was sent in part"),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) => {}
        Err(error) => panic!("a question cannot be sent: {error}"),
    }
}
