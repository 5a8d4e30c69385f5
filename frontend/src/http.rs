//! OCSP over HTTP/1.1 and 1.0 (RFC 9919 sections 6 and 7, RFC 6960 appendix A): octets in, octets out. POST, GET in every
//! spelling that clients use, HEAD; everything else is the right 4xx. What is said of an answer's age comes from one reading
//! of the clock. Trusts nothing that a client sends, waits for nothing without end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderMap,
    HeaderValue, LAST_MODIFIED, RETRY_AFTER,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::answer::{Answer, Ready, now};
use crate::conditional::{self, Outcome, Validators};
use crate::fields::{date, value};
use crate::listener::Serving;
use crate::request::{LARGEST, Length, length};
use crate::response::OcspError;
use crate::sent::Sent;
use crate::silence::Silence;

/// Octets of a request target: a request of 100 certificates has some 12,000 in base64.
const LONGEST_TARGET: usize = 32 << 10;
/// Tails of a target that are looked at closely: more than a path before a request has by chance.
const MOST_CANDIDATES: usize = 16;
/// Octets of a whole header.
const LARGEST_HEADER: usize = 48 << 10;
/// Seconds after which a client that was sent away may come again.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What a connection is to do, whatever its client does.
enum Due {
    /// To end when it is idle.
    Retire,
    /// To end: its client owes a request for too long.
    Leave,
}

/// Serves one connection until it ends.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, serving: Arc<Serving>) {
    let (serving, silence) = (&*serving, &Silence::new());
    let service = service_fn(|request| async move {
        silence.ends();
        let mut response = respond(request, serving).await;
        if serving.retiring() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        silence.begins();
        Ok::<_, Infallible>(response)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .writev(false) // header and answer in one piece: both are short
            .max_buf_size(LARGEST_HEADER)
            .half_close(true) // who has said all is answered; nor is anything read ahead meanwhile
            .serve_connection(TokioIo::new(stream), service)
    );
    let retired = async {
        serving.idle_connections_end().await;
        Due::Retire
    };
    let silent = async {
        silence.lasts(serving.header_timeout).await;
        Due::Leave
    };
    // Of what has not woken it, it asks nothing again: the connection is polled twice for each request.
    let mut due = FuturesUnordered::from_iter([retired.boxed(), silent.boxed()]);
    loop {
        tokio::select! {
            biased;
            _ = connection.as_mut() => return, // however it ended, it is the client's affair
            Some(due) = due.next() => match due {
                Due::Retire => connection.as_mut().graceful_shutdown(),
                Due::Leave => return,
            }
        }
    }
}

async fn respond(request: Request<Incoming>, serving: &Serving) -> Response<Full<Sent>> {
    let responder = &serving.responder;
    let (parts, content) = request.into_parts();
    // The place of the request's fields is the answer's. What was read, and what they are a part of, is let go before an
    // answer is waited for, but for conditions: while somebody has a part of it, hyper reads on into new memory.
    let mut fields = parts.headers;
    match parts.method {
        Method::POST => match body(&fields, content, serving.body_timeout).await {
            Ok(octets) => {
                if let Some(answer) = responder.recall(&octets) {
                    return answered(answer, fields);
                }
                fields.clear();
                let der = octets.to_vec();
                drop(octets);
                answered(Box::pin(responder.read(&der, &der)).await, fields)
            }
            Err(refusal) => refusal,
        },
        Method::GET | Method::HEAD => {
            if let Some(answer) = responder.recall(parts.uri.path().as_bytes()) {
                return got(answer, fields, &serving.max_age);
            }
            let path = parts.uri.path().to_owned();
            drop(parts.uri);
            if !conditional::is_conditional(&fields) {
                fields.clear();
            }
            match target(&path) {
                Ok(der) => {
                    let read = responder.read(path.as_bytes(), &der);
                    got(Box::pin(read).await, fields, &serving.max_age)
                }
                Err(NoRequest::Malformed) => {
                    answered(Answer::Error(OcspError::MalformedRequest), fields)
                }
                Err(NoRequest::TooLong) => plain(
                    StatusCode::URI_TOO_LONG,
                    "the request target is too long: use POST\n",
                ),
                Err(NoRequest::NotOcsp) => plain(
                    StatusCode::NOT_FOUND,
                    "this is an OCSP responder (RFC 6960)\n",
                ),
            }
        }
        _ => {
            let mut refusal = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "GET, HEAD or POST was expected\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            refusal
        }
    }
}

/// The request of a POST.
async fn body(
    headers: &HeaderMap,
    content: Incoming,
    patience: Duration,
) -> Result<Bytes, Response<Full<Sent>>> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/ocsp-request") {
        let text = "Content-Type: application/ocsp-request was expected\n";
        return Err(closing(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)));
    }
    let too_large = || {
        closing(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "an OCSP request has at most 65536 octets\n",
        ))
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LARGEST as u64) {
        return Err(too_large());
    }
    let mut whole = pin!(whole(content));
    // Mostly it has come with the header: only what has to be waited for needs a timer.
    let read = match whole.as_mut().now_or_never() {
        Some(read) => Ok(read),
        None => timeout(patience, whole).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(NoBody::TooLarge)) => Err(too_large()),
        Ok(Err(NoBody::Broken)) => Err(closing(plain(
            StatusCode::BAD_REQUEST,
            "the body could not be read\n",
        ))),
        Err(_elapsed) => Err(closing(plain(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time\n",
        ))),
    }
}

/// Why there is no body.
enum NoBody {
    TooLarge,
    Broken,
}

/// The octets of a body, of one that comes in one piece without a copy.
async fn whole(mut body: Incoming) -> Result<Bytes, NoBody> {
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NoBody::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers
        };
        if octets.len() + data.len() > LARGEST {
            return Err(NoBody::TooLarge);
        }
        if octets.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        octets.extend_from_slice(&data);
    }
    Ok(octets.into())
}

/// Why a target holds no request.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// It is not base64 of anything like a request.
    NotOcsp,
    /// It is base64 of what begins like one.
    Malformed,
    /// It is too long to look at.
    TooLong,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The request of a GET: the longest tail behind a `/` that is base64 of a SEQUENCE of exactly its own length. Escapes
/// are undone once; the path is not normalised, since base64 may hold `//`.
pub fn target(path: &str) -> Result<Vec<u8>, NoRequest> {
    if path.len() > LONGEST_TARGET {
        return Err(NoRequest::TooLong);
    }
    let path = unescaped(path);
    let mut like_one = false;
    let end = path
        .iter()
        .rposition(|octet| *octet != b'=')
        .map_or(0, |last| last + 1);
    let mut candidates = 0;
    for (place, _) in path.iter().enumerate().filter(|(_, octet)| **octet == b'/') {
        let tail = path.get(place + 1..).unwrap_or_default();
        // Base64 of 0x30 and a length begins so; what is cheap to see is seen before the whole is decoded.
        let Some(head) = tail.get(..8).filter(|head| head.starts_with(b"M")) else {
            continue;
        };
        let Ok(head) = BASE64.decode(head) else {
            continue;
        };
        let Length::Known(expected) = length(&head) else {
            continue;
        };
        like_one = true;
        candidates += 1;
        if candidates > MOST_CANDIDATES {
            break;
        }
        let digits = end.saturating_sub(place + 1);
        if digits != (expected * 4).div_ceil(3) || tail.len() - digits > 2 {
            continue;
        }
        if let Ok(der) = BASE64.decode(tail)
            && der.len() == expected
        {
            return Ok(der);
        }
    }
    Err(if like_one {
        NoRequest::Malformed
    } else {
        NoRequest::NotOcsp
    })
}

/// `%XX` as octets; what is no escape stays as it is.
fn unescaped(path: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| behind.split_first_chunk::<2>())
            .flatten();
        let octet = escaped
            .and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (octet, escaped) {
            (Some(octet), Some((_, behind))) => {
                octets.push(octet);
                rest = behind;
            }
            (_, _) => {
                octets.push(*first);
                rest = behind;
            }
        }
    }
    octets
}

/// An answer as it goes to POST, with its fields in the place of these: only what must not be kept says so (RFC 9110 section
/// 9.3.3).
fn answered(answer: Answer, mut fields: HeaderMap) -> Response<Full<Sent>> {
    let no_store = Some(HeaderValue::from_static("no-store"));
    let try_later = matches!(answer, Answer::Error(OcspError::TryLater));
    let (der, cache_control) = match answer {
        Answer::Shared(reply) | Answer::Private(reply) => (reply.into(), None),
        Answer::Unsettled(reply) => (reply.into(), no_store),
        Answer::Error(error) => (error.der().into(), no_store),
    };
    fields.clear();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/ocsp-response"),
    );
    if let Some(cache_control) = cache_control {
        fields.insert(CACHE_CONTROL, cache_control);
    }
    if try_later {
        fields.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    let mut response = Response::new(Full::new(der));
    *response.headers_mut() = fields;
    response
}

/// An answer to GET or HEAD that was asked for with these fields. Only one that others may be given as well is compared with
/// what the client has.
fn got(answer: Answer, asked: HeaderMap, max_age: &MaxAge) -> Response<Full<Sent>> {
    let now = now();
    let (reply, cache_control) = match &answer {
        Answer::Shared(reply) => (reply, public(reply, now, max_age)),
        Answer::Private(reply) => {
            let private = HeaderValue::from_static("private, max-age=0, must-revalidate");
            (reply, private)
        }
        Answer::Unsettled(_) | Answer::Error(_) => return answered(answer, asked),
    };
    let (tag, expires) = (reply.written.tag(), reply.written.expires());
    // A clock that was set back meanwhile must not make an answer younger than its date (RFC 9110 section 8.8.2.1).
    let last_modified = reply.times.this_update.min(now);
    let mut outcome = Outcome::Whole;
    if matches!(answer, Answer::Shared(_)) && conditional::is_conditional(&asked) {
        let validators = Validators {
            tag: tag.as_bytes(),
            last_modified,
            dated: reply.good,
        };
        outcome = conditional::evaluate(&asked, &validators);
    }
    let modified = if last_modified == now {
        date(now)
    } else {
        reply.written.last_modified()
    };
    let mut response = match outcome {
        Outcome::Whole => answered(answer, asked),
        Outcome::NotModified => {
            let mut response = Response::new(Full::new(Bytes::new().into()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Outcome::Failed => {
            let text = "the answer is not, or no longer, the one that was expected\n";
            return plain(StatusCode::PRECONDITION_FAILED, text);
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(DATE, date(now));
    headers.insert(ETAG, tag);
    headers.insert(LAST_MODIFIED, modified);
    headers.insert(EXPIRES, expires);
    response
}

/// How long anybody may keep an answer (RFC 9919 section 7): less with every second, not until its nextUpdate, and not until
/// it is renewed here.
fn public(reply: &Ready, now: u64, max_age: &MaxAge) -> HeaderValue {
    let until = reply.renew_by.min(reply.times.next_update);
    let left = until.saturating_sub(now).saturating_sub(1);
    if left < max_age.seconds {
        shared_for(left)
    } else {
        max_age.field.clone()
    }
}

fn shared_for(seconds: u64) -> HeaderValue {
    value(format!(
        "max-age={seconds}, public, no-transform, must-revalidate"
    ))
}

/// The most that max-age may be.
pub struct MaxAge {
    seconds: u64,
    /// Cache-Control of what may be kept for that long.
    field: HeaderValue,
}

impl MaxAge {
    /// So many seconds.
    pub fn new(seconds: u64) -> Self {
        let field = shared_for(seconds);
        Self { seconds, field }
    }
}

/// A refusal that is no OCSP.
fn plain(status: StatusCode, text: &'static str) -> Response<Full<Sent>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes()).into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The rest of the body will not be read: the connection ends with this answer.
fn closing(mut response: Response<Full<Sent>>) -> Response<Full<Sent>> {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_is_understood_in_every_spelling() {
        // 0xfb 0xff: their base64 holds + and /
        let der: Vec<u8> = [0x30, 4, 0xfb, 0xff, 0xfe, 0xfb].into();
        assert_eq!(BASE64.encode(&der), "MAT7//77");
        for spelling in [
            "/MAT7//77",
            "//MAT7//77",
            "/MAT7%2F%2F77",
            "/MAT7%2f/77",
            "/ocsp/MAT7//77",
            "/ocsp//a/b/MAT7//77",
            "/MAT7/MAT7//77",
        ] {
            assert_eq!(target(spelling), Ok(der.clone()), "{spelling}");
        }
        let der: Vec<u8> = [0x30, 5, 0xfb, 0xef, 0xbe, 0xff, 0xff].into();
        let full = BASE64.encode(&der);
        assert_eq!(full, "MAX7777//w==");
        for spelling in [
            "/MAX7777//w==",
            "/MAX7777//w",
            "/MAX7777//w=",
            "/MAX7777%2f%2Fw%3d%3D",
        ] {
            assert_eq!(target(spelling), Ok(der.clone()), "{spelling}");
        }
        assert_eq!(target("/"), Err(NoRequest::NotOcsp));
        assert_eq!(target("/favicon.ico"), Err(NoRequest::NotOcsp));
        assert_eq!(target("/MAX7777//"), Err(NoRequest::Malformed));
        assert_eq!(target("/MAT7//77AAAA"), Err(NoRequest::Malformed));
        assert_eq!(
            target(&"/M".repeat(LONGEST_TARGET)),
            Err(NoRequest::TooLong)
        );
    }

    #[test]
    fn escapes_are_undone_once_and_broken_ones_stay() {
        assert_eq!(unescaped("%2B%2b+%252B%%4%zz"), b"+++%2B%%4%zz");
    }
}
