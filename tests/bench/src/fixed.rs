//! The bare hyper servers, on one thread: one body for whatever is asked, and one that is found by what is asked. What a
//! server that is built on hyper cannot be faster than, with one answer and with many.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

/// What is served.
struct Served {
    body: Bytes,
    /// By the octets of a request; empty where the same is served to all.
    each: Option<Mutex<HashMap<Bytes, Bytes>>>,
}

impl Served {
    /// The body for a request. Who asks for the first time is given a copy, which is then that request's.
    async fn answer(&self, request: Request<Incoming>) -> Bytes {
        let Some(each) = &self.each else {
            return self.body.clone();
        };
        if *request.method() == Method::POST {
            let octets = request.into_body().collect().await;
            let octets = octets.map_or(Bytes::new(), |octets| octets.to_bytes());
            found(&mut each.lock().unwrap(), &octets, &self.body)
        } else {
            let path = request.uri().path().as_bytes();
            found(&mut each.lock().unwrap(), path, &self.body)
        }
    }
}

fn found(each: &mut HashMap<Bytes, Bytes>, octets: &[u8], body: &[u8]) -> Bytes {
    if let Some(body) = each.get(octets) {
        return body.clone();
    }
    let body = Bytes::copy_from_slice(body);
    each.insert(Bytes::copy_from_slice(octets), body.clone());
    body
}

/// Serves the octets of a file until it is killed, and prints where: the same to all, or to each request a copy of its own.
pub fn serve(file: &str, each: bool) -> ! {
    let served = Arc::new(Served {
        body: Bytes::from(std::fs::read(file).unwrap()),
        each: each.then(Mutex::default),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    runtime.unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let _ = stream.set_nodelay(true); // as the frontend does
            let served = Arc::clone(&served);
            tokio::spawn(async move {
                let served = &*served;
                let answer = service_fn(move |request: Request<Incoming>| async move {
                    let mut response = Response::new(Full::new(served.answer(request).await));
                    let kind = HeaderValue::from_static("application/ocsp-response");
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                    Ok::<_, Infallible>(response)
                });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await; // a client that went away
            });
        }
    })
}
