//! Header fields of an answer (RFC 9919 section 6). What does not change while it is served is made once for each answer, the
//! date once a second.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::HeaderValue;

use crate::response::Times;

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
    /// Of an answer with this SHA-256.
    pub fn new(digest: &[u8; 32], times: Times) -> Self {
        let mut tag = String::with_capacity(66);
        tag.push('"');
        for octet in digest {
            for digit in [octet >> 4, octet & 15] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                tag.push(digit.to_ascii_uppercase());
            }
        }
        tag.push('"');
        Self {
            tag: value(tag),
            last_modified: value(imf_fixdate(times.this_update)),
            expires: value(imf_fixdate(times.next_update)),
        }
    }
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
pub fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}
