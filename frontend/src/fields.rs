//! Header fields of an answer (RFC 9919 section 6). What does not change while it is served is made once for each answer, the
//! date once a second.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::HeaderValue;

use crate::response::Times;

/// Octets of an entity tag: SHA-256 in hexadecimal digits, and quotes.
const TAG: usize = 2 * 32 + 2;
/// Octets of an IMF-fixdate.
const DATE: usize = 29;

/// An answer, and behind it its fields in an answer to GET that stay what they are: in one piece of memory, and mostly the one
/// in which the answer came. They become fields when they are asked for: kept as such they would take as much again.
#[derive(Debug)]
pub struct Written(Bytes);

impl Written {
    /// An answer with this SHA-256.
    pub fn new(der: Vec<u8>, digest: &[u8; 32], times: Times) -> Self {
        let mut all = der;
        all.reserve_exact(TAG + 2 * DATE);
        all.push(b'"');
        all.extend_from_slice(digits(digest).as_flattened());
        all.push(b'"');
        all.extend_from_slice(imf_fixdate(times.this_update).as_bytes());
        all.extend_from_slice(imf_fixdate(times.next_update).as_bytes());
        Self(all.into())
    }

    /// The answer.
    pub fn der(&self) -> &[u8] {
        self.0.get(..self.length()).unwrap_or_default()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Bytes {
        self.0.slice(..self.length())
    }

    /// ETag: SHA-256 of the answer, in hexadecimal digits.
    pub fn tag(&self) -> HeaderValue {
        self.behind(0, TAG)
    }

    /// Last-Modified: thisUpdate.
    pub fn last_modified(&self) -> HeaderValue {
        self.behind(TAG, DATE)
    }

    /// Expires: nextUpdate.
    pub fn expires(&self) -> HeaderValue {
        self.behind(TAG + DATE, DATE)
    }

    /// Of the answer.
    fn length(&self) -> usize {
        self.0.len() - (TAG + 2 * DATE)
    }

    /// So many octets, so many behind the answer.
    fn behind(&self, start: usize, count: usize) -> HeaderValue {
        let start = self.length() + start;
        value(self.0.slice(start..start + count))
    }
}

/// Hexadecimal digits.
fn digits(octets: &[u8; 32]) -> [[u8; 2]; 32] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    octets.map(|octet| [digit(octet >> 4), digit(octet & 15)])
}

/// A time as Date has it.
pub fn date(seconds: u64) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    }
    LAST.with_borrow_mut(|(of, date)| {
        if *of != seconds {
            *of = seconds;
            *date = value(imf_fixdate(seconds));
        }
        date.clone()
    })
}

/// An IMF-fixdate (RFC 9110 section 5.6.7).
fn imf_fixdate(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Of text that has no control characters.
pub fn value(text: impl Into<Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).unwrap_or(HeaderValue::from_static(""))
}
