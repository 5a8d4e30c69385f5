//! A client whose every octet is the test's own.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::*;

/// One connection.
pub struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The responseStatus (RFC 6960 section 4.2.1): 0 for an answer, otherwise an error.
    pub fn error(&self) -> u8 {
        assert_eq!(self.status, 200, "{self:?}");
        let header = match self.body[1] {
            0x82 => 4,
            0x81 => 3,
            _ => 2,
        };
        assert_eq!(self.body[header..header + 2], [0x0a, 1], "{self:?}");
        self.body[header + 2]
    }

    /// The octets of an answer that is no error.
    pub fn answer(self) -> Vec<u8> {
        assert_eq!(self.error(), 0);
        self.body
    }
}

pub const MALFORMED: u8 = 1;
pub const INTERNAL_ERROR: u8 = 2;
pub const TRY_LATER: u8 = 3;
pub const SIG_REQUIRED: u8 = 5;
pub const UNAUTHORIZED: u8 = 6;

impl Client {
    pub fn to(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
        })
    }

    pub fn send(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.write_all(octets)
    }

    /// No more will be sent.
    pub fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// All that comes until the server closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut octets = std::mem::take(&mut self.pending);
        self.stream.read_to_end(&mut octets).unwrap();
        octets
    }

    /// Exactly so many octets.
    pub fn octets(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.pending.len() < count {
            self.more()?;
        }
        Ok(self.pending.drain(..count).collect())
    }

    fn more(&mut self) -> Result<()> {
        let mut octets = [0; 4096];
        match self.stream.read(&mut octets)? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            read => {
                self.pending.extend(&octets[..read]);
                Ok(())
            }
        }
    }

    /// The status and headers of a response.
    pub fn head(&mut self) -> Result<Response> {
        let end = loop {
            let found = self.pending.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(end) => break end,
                None => self.more()?,
            }
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        Ok(Response {
            status: first.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        })
    }

    /// A whole response.
    pub fn response(&mut self) -> Result<Response> {
        let mut response = self.head()?;
        let length = response.header("content-length").unwrap().parse().unwrap();
        response.body = self.octets(length)?;
        Ok(response)
    }

    /// Sends one request by POST and waits for the response, on this connection.
    pub fn ask(&mut self, request: &[u8]) -> Result<Response> {
        self.send(&post(request))?;
        self.response()
    }
}

/// A request as the octets of a POST.
pub fn post(request: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n",
        request.len()
    );
    [head.as_bytes(), request].concat()
}

/// The octets of a GET or HEAD.
pub fn bodiless(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes()
}

/// Base64 (RFC 4648), with padding.
pub fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let octet = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() {
                '='
            } else {
                digit.into()
            });
        }
    }
    text
}
