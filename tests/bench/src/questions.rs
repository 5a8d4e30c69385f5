//! What is asked: octets of a request that `openssl ocsp` made, with another number in one field each time.

use crate::harness::{base64, bodiless};

/// Between two questions of those that come again and again: a prime number, so that all of them come.
const STRIDE: u64 = 7919;

/// By POST or by GET.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// RFC 6960 appendix A.1.
    Post,
    /// Likewise.
    Get,
}

/// Questions of one kind, numbered.
pub struct Questions {
    /// All of them, or one in which the number is written at a place.
    octets: Vec<Vec<u8>>,
    place: Option<usize>,
    first: u64,
    count: u64,
    asked: u64,
    endless: bool,
}

impl Questions {
    /// `request` with the numbers from `first` on, `count` of them, as the eight octets at `place`; `endless`: again and again.
    pub fn new(
        method: Method,
        close: bool,
        request: &[u8],
        place: usize,
        first: u64,
        count: u64,
        endless: bool,
    ) -> Self {
        let numbered = |number: u64| {
            let mut request = request.to_vec();
            request[place..place + 8].copy_from_slice(&number.to_be_bytes());
            request
        };
        let (octets, place) = match method {
            Method::Post => {
                let octets = post(&numbered(first), close);
                let place = octets.len() - request.len() + place;
                (vec![octets], Some(place))
            }
            Method::Get => {
                let all = (first..first + count).map(|number| get(&numbered(number)));
                (all.collect(), None)
            }
        };
        Self {
            octets,
            place,
            first,
            count,
            asked: 0,
            endless,
        }
    }

    /// Puts the next one into `question`, and its number into `number`; false when there is none left.
    pub fn next(&mut self, question: &mut Vec<u8>, number: &mut u64) -> bool {
        if self.asked >= self.count && !self.endless {
            return false;
        }
        let mut index = self.asked % self.count;
        if self.endless {
            // Not in the order in which they first came, which memory may have them in.
            index = index * STRIDE % self.count;
        }
        self.asked += 1;
        *number = self.first + index;
        self.octets(*number, question);
        true
    }

    /// Puts the one of a number into `question`.
    pub fn octets(&self, number: u64, question: &mut Vec<u8>) {
        question.clear();
        match self.place {
            Some(place) => {
                question.extend_from_slice(&self.octets[0]);
                question[place..place + 8].copy_from_slice(&number.to_be_bytes());
            }
            None => {
                let index = usize::try_from(number - self.first).unwrap();
                question.extend_from_slice(&self.octets[index]);
            }
        }
    }
}

/// A request as the octets of a POST, after which the server is to `close` the connection.
pub fn post(request: &[u8], close: bool) -> Vec<u8> {
    let close = if close { "Connection: close\r\n" } else { "" };
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ocsp-request\r\n{close}Content-Length: {}\r\n\r\n",
        request.len()
    );
    [head.as_bytes(), request].concat()
}

fn get(request: &[u8]) -> Vec<u8> {
    let path = base64(request)
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    bodiless("GET", &format!("/{path}"))
}
