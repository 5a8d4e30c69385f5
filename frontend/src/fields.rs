//! Header fields of an answer (RFC 9919 section 6). What does not change while it is served is made once for each answer, the
//! date once a second.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use httpdate::HttpDate;
use hyper::header::HeaderValue;

use crate::response::Times;

/// Octets of an entity tag: SHA-256 in hexadecimal digits, and quotes.
const TAG: usize = 2 * 32 + 2;
/// Octets of an IMF-fixdate.
const DATE: usize = 29;

/// The fields of an answer to GET that stay what they are.
#[derive(Debug)]
pub struct Fields {
    /// ETag: SHA-256 of the answer, in hexadecimal digits.
    pub tag: HeaderValue,
    /// Last-Modified: thisUpdate.
    pub last_modified: HeaderValue,
    /// Expires: nextUpdate.
    pub expires: HeaderValue,
}

impl Fields {
    /// Those of an answer with this SHA-256, and the answer: they come behind it, so that one piece of memory holds all
    /// octets, and mostly the one in which the answer is.
    pub fn behind(der: Vec<u8>, digest: &[u8; 32], times: Times) -> (Bytes, Self) {
        let length = der.len();
        let mut all = der;
        all.reserve_exact(TAG + 2 * DATE);
        all.push(b'"');
        all.extend_from_slice(digits(digest).as_flattened());
        all.push(b'"');
        for date in [times.this_update, times.next_update] {
            let _ = write!(all, "{}", imf_fixdate(date)); // memory takes it
        }
        let mut all = Bytes::from(all);
        let der = all.split_to(length);
        let fields = Self {
            tag: value(all.split_to(TAG)),
            last_modified: value(all.split_to(DATE)),
            expires: value(all),
        };
        (der, fields)
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
            *date = value(imf_fixdate(seconds).to_string());
        }
        date.clone()
    })
}

/// An IMF-fixdate (RFC 9110 section 5.6.7).
fn imf_fixdate(seconds: u64) -> HttpDate {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// Of text that has no control characters.
pub fn value(text: impl Into<Bytes>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.into()).unwrap_or(HeaderValue::from_static(""))
}
