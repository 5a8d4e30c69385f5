//! Bare DER over TCP: requests one behind the other, answers in the same order, nothing around them. The interface of
//! socket clients from before HTTP. Runs on the same port: the first octet tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::answer::Answer;
use crate::listener::Serving;
use crate::request::{Length, length};
use crate::response::OcspError;

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(5);

/// Serves one connection: until the client has closed its half and has its answers, is silent for too long, or sends what
/// is no request.
pub async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, serving: Arc<Serving>) {
    let mut octets = Vec::with_capacity(1024);
    let mut begun = Instant::now(); // the request that is coming
    loop {
        let length = match length(&octets) {
            Length::Known(length) if octets.len() >= length => {
                let request: Vec<u8> = octets.drain(..length).collect();
                if !send(&mut stream, serving.responder.answer(&request).await).await {
                    return;
                }
                begun = Instant::now();
                continue;
            }
            Length::Known(length) => length,
            Length::Short => 0,
            Length::Impossible => {
                send(&mut stream, Answer::Error(OcspError::MalformedRequest)).await;
                return;
            }
        };
        octets.reserve(length.saturating_sub(octets.len()).max(512));
        // Octet by octet, a request has no more time than a body over HTTP.
        let idle = octets.is_empty();
        let patience = if idle {
            IDLE
        } else {
            IDLE.min(serving.body_timeout.saturating_sub(begun.elapsed()))
        };
        let read = tokio::select! {
            read = timeout(patience, stream.read_buf(&mut octets)) => read,
            () = serving.idle_connections_end(), if idle => return,
        };
        match read {
            Ok(Ok(0)) if idle => return,
            Ok(Ok(0)) => {
                send(&mut stream, Answer::Error(OcspError::MalformedRequest)).await;
                return;
            }
            Ok(Ok(_)) if idle => begun = Instant::now(),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// False when the client is gone, or does not take its answer.
async fn send(stream: &mut (impl AsyncWrite + Unpin), answer: Answer) -> bool {
    let der = match answer {
        Answer::Shared(reply) | Answer::Private(reply) | Answer::Unsettled(reply) => {
            reply.written.shared()
        }
        Answer::Error(error) => error.der(),
    };
    timeout(IDLE, stream.write_all(&der))
        .await
        .is_ok_and(|written| written.is_ok())
}
