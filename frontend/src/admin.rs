//! How the service does, for supervisors and monitoring, on sockets of its own: `/healthz`, `/readyz` and `/metrics`, by
//! GET. Says nothing of serials or clients.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ocsp_wire::HashAlgorithm;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::answer::{Responder, now};
use crate::counts::{Count, SourceCounts};

/// For a request's header, and for the next request of an idle connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// For a whole connection: who does not read what was asked for does not keep its place.
const LONGEST: Duration = Duration::from_secs(60);

/// Serves one connection until it ends.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, responder: Arc<Responder>) {
    let service = service_fn(|request| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(respond(&request, &responder).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(LONGEST, connection).await; // however it ended, it is the client's affair
}

async fn respond(request: &Request<Incoming>, responder: &Responder) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET is answered\n".to_owned(),
        );
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match troubles(responder).await {
            troubles if troubles.is_empty() => text(StatusCode::OK, "ready\n".to_owned()),
            troubles => text(StatusCode::SERVICE_UNAVAILABLE, troubles),
        },
        "/metrics" => text(StatusCode::OK, metrics(responder)),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What keeps this frontend from answering every question, a line each; nothing where all is well. Sources are asked now.
async fn troubles(responder: &Responder) -> String {
    let mut troubles = String::new();
    if !responder.can_sign() {
        troubles.push_str("the signer is gone\n");
    }
    for (issuer, until) in responder.signing_until(now()) {
        if until.is_none() {
            let _ = writeln!(
                troubles,
                "issuer {issuer:?} cannot sign: no certificate of its keys is valid now, and for as long as answers must be"
            );
        }
    }
    for source in responder.sources() {
        if let Err(reason) = source.answers().await {
            let _ = writeln!(
                troubles,
                "source {:?} does not answer: {reason}",
                source.name
            );
        }
    }
    troubles
}

/// What was done since the start, in the text format of Prometheus.
fn metrics(responder: &Responder) -> String {
    let counts = responder.counts();
    let mut page = String::new();
    let answers: [(&str, &Count); 6] = [
        ("signed", &counts.answers),
        ("malformedRequest", &counts.malformed),
        ("internalError", &counts.internal_error),
        ("tryLater", &counts.try_later),
        ("sigRequired", &counts.sig_required),
        ("unauthorized", &counts.unauthorized),
    ];
    family(
        &mut page,
        "ocsp_answers_total",
        "counter",
        "Answers, by what they were.",
    );
    for (what, count) in answers {
        line(
            &mut page,
            "ocsp_answers_total",
            &[("answer", what)],
            count.value(),
        );
    }
    let name = "ocsp_cert_id_hash_total";
    let help = "Requests, by the hash algorithm of their first CertID.";
    family(&mut page, name, "counter", help);
    for (hash, algorithm) in [
        ("sha1", HashAlgorithm::Sha1),
        ("sha256", HashAlgorithm::Sha256),
        ("sha384", HashAlgorithm::Sha384),
        ("sha512", HashAlgorithm::Sha512),
    ] {
        let count = counts.hashes.by(algorithm).value();
        line(&mut page, name, &[("hash", hash)], count);
    }
    let (entries, octets) = responder.kept();
    let totals = [
        (
            "ocsp_cache_hits_total",
            "counter",
            "Answers from the cache.",
            counts.hits.value(),
        ),
        (
            "ocsp_inherited_total",
            "counter",
            "Answers of the generation before that were verified and taken over.",
            counts.inherited.value(),
        ),
        (
            "ocsp_signatures_total",
            "counter",
            "Signatures that the signer was asked for.",
            counts.signatures.value(),
        ),
        (
            "ocsp_withheld_total",
            "counter",
            "Answers of the signer that nobody was given, because they were wrong.",
            counts.withheld.value(),
        ),
        (
            "ocsp_cache_entries",
            "gauge",
            "Answers in the cache.",
            u64::try_from(entries).unwrap_or(u64::MAX),
        ),
        ("ocsp_cache_bytes", "gauge", "What they take.", octets),
        (
            "ocsp_signer_up",
            "gauge",
            "Whether there is a signer.",
            u64::from(responder.can_sign()),
        ),
    ];
    for (name, kind, help, value) in totals {
        family(&mut page, name, kind, help);
        line(&mut page, name, &[], value);
    }
    let name = "ocsp_key_not_after_seconds";
    let help = "Until when the certificate is valid that a key signs under, in seconds since 1970.";
    family(&mut page, name, "gauge", help);
    for (issuer, key, not_after) in responder.keys() {
        let labels = [("issuer", issuer), ("key", &key.to_string())];
        line(&mut page, name, &labels, not_after);
    }
    let name = "ocsp_source_up";
    family(
        &mut page,
        name,
        "gauge",
        "Whether a source answered when it was asked last.",
    );
    for source in responder.sources() {
        line(
            &mut page,
            name,
            &[("source", &source.name)],
            u64::from(source.is_up()),
        );
    }
    let of_sources = [
        ("ocsp_source_lookups_total", "Look-ups at a database."),
        (
            "ocsp_source_statements_total",
            "Statements in which look-ups travelled.",
        ),
        (
            "ocsp_source_row_errors_total",
            "Rows that were complained about.",
        ),
    ];
    for (place, (name, help)) in of_sources.into_iter().enumerate() {
        family(&mut page, name, "counter", help);
        for source in responder.sources() {
            let all = source.counts().map(SourceCounts::all);
            if let Some(count) = all.and_then(|all| all.get(place).copied()) {
                line(&mut page, name, &[("source", &source.name)], count);
            }
        }
    }
    page
}

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(page: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    page.push_str(name);
    for (place, (key, text)) in labels.iter().enumerate() {
        let text = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let before = if place == 0 { '{' } else { ',' };
        let _ = write!(page, "{before}{key}=\"{text}\"");
    }
    if !labels.is_empty() {
        page.push('}');
    }
    let _ = writeln!(page, " {value}");
}
