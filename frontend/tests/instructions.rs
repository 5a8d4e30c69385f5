//! What an answer from the cache costs, in instructions. Callgrind counts them, and the count is the same whether the machine is
//! idle or not, which no time is; compilers, C libraries and processors make it differ by some hundredths. The rooms of the frontend answer in this process, to a client at the
//! other end of a pipe in memory; beside them answers a bare hyper server, which says what the library alone costs.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ocsp_frontend::answer::{Answer, Responder};
use ocsp_frontend::cache::Cache;
use ocsp_frontend::issuer::Issuers;
use ocsp_frontend::listener::Serving;
use ocsp_frontend::signer::Signer;
use ocsp_frontend::status::Source;
use ocsp_frontend::{http, raw};
use ocsp_wire::*;
use tikv_jemallocator::Jemalloc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// As in the program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// A way to ask, and who answers.
struct Scene {
    name: &'static str,
    asked: Asked,
    answers: Answers,
    /// Of the frontend.
    most: Option<Most>,
}

/// The most that one answer may cost, client included.
struct Most {
    /// Instructions, a tenth more than there are: compilers and C libraries differ.
    instructions: u64,
    /// The same in hundredths of those of the bare server that is asked this way, a twentieth more than there are.
    of_bare: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Post,
    Get,
    Raw,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// hyper, with the same body whatever is asked.
    Bare,
    /// The frontend, from its cache.
    Frontend,
}

const SCENES: [Scene; 5] = [
    Scene {
        name: "bare hyper, POST",
        asked: Asked::Post,
        answers: Answers::Bare,
        most: None,
    },
    Scene {
        name: "bare hyper, GET",
        asked: Asked::Get,
        answers: Answers::Bare,
        most: None,
    },
    Scene {
        name: "POST",
        asked: Asked::Post,
        answers: Answers::Frontend,
        most: Some(Most {
            instructions: 18_000,
            of_bare: 108,
        }),
    },
    Scene {
        name: "GET",
        asked: Asked::Get,
        answers: Answers::Frontend,
        most: Some(Most {
            instructions: 17_100,
            of_bare: 132,
        }),
    },
    Scene {
        name: "bare DER",
        asked: Asked::Raw,
        answers: Answers::Frontend,
        most: Some(Most {
            instructions: 8_600,
            of_bare: 51,
        }),
    },
];

/// Requests that are counted in each scene.
const COUNTED: u32 = 1000;
/// Requests before them: what is filled once is full then.
const BEFORE: u32 = 20;

/// Set where this test runs itself under callgrind.
const UNDER_CALLGRIND: &str = "OCSP_UNDER_CALLGRIND";

#[test]
fn a_hit_costs_few_instructions() {
    if std::env::var_os(UNDER_CALLGRIND).is_some() {
        play();
        return;
    }
    let counts = counts();
    let bare = |asked: Asked| {
        let bare = SCENES.iter().zip(&counts).find(|(scene, _)| {
            scene.answers == Answers::Bare && (scene.asked == asked || asked == Asked::Raw)
        });
        *bare.unwrap().1
    };
    println!("instructions for one answer, client included, and hundredths of a bare server's");
    let mut faults = Vec::new();
    for (scene, count) in SCENES.iter().zip(&counts) {
        let (name, of_bare) = (scene.name, count * 100 / bare(scene.asked));
        println!("{name:20} {count:8} {of_bare:6}");
        if let Some(most) = &scene.most
            && (*count > most.instructions || of_bare > most.of_bare)
        {
            let Most {
                instructions,
                of_bare: hundredths,
            } = most;
            faults.push(format!(
                "{name}: {count}, {of_bare}; {instructions}, {hundredths} are the most"
            ));
        }
    }
    if cfg!(debug_assertions) {
        println!("the code is not optimised: that it works is tested, and what it costs is not");
        return;
    }
    assert!(
        faults.is_empty(),
        "an answer from the cache costs more than it did: {faults:#?}"
    );
}

/// Instructions for one answer, of each scene.
fn counts() -> Vec<u64> {
    let folder = Folder::new();
    let counted = concat!(module_path!(), "::counted");
    let out = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", folder.path("counts")))
        .arg(format!("--dump-before={counted}"))
        .arg(format!("--dump-after={counted}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_hit_costs_few_instructions"])
        .env(UNDER_CALLGRIND, "yes")
        .output()
        .expect("valgrind is needed");
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(out.status.success(), "{said}");
    // What is counted until a scene begins, and until it ends, take turns.
    let parts = 1..=SCENES.len() * 2;
    let parts = parts.map(|part| part_of(&folder.path(&format!("counts.{part}"))));
    let parts: Vec<_> = parts.collect();
    let scenes = parts.chunks_exact(2).map(|pair| {
        let [(before, _), (after, count)] = pair else {
            panic!("two parts were expected");
        };
        assert!(before.starts_with("--dump-before="), "{before}");
        assert!(after.starts_with("--dump-after="), "{after}");
        count / u64::from(COUNTED)
    });
    scenes.collect()
}

/// Why callgrind has written a file, and the instructions that it counted.
fn part_of(path: &str) -> (String, u64) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = |begins: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(begins));
        line.unwrap_or_else(|| panic!("no {begins:?} in {path}"))
    };
    let instructions = line("totals: ").parse().unwrap();
    (line("desc: Trigger: ").to_owned(), instructions)
}

/// Plays the scenes.
fn play() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stage = Stage::new();
    let der = stage.authority.ask(GOOD).request();
    let (serving, _retire) = runtime.block_on(serving(&stage));
    // Where there are clients, a timer is always set: what the runtime does then is not to be one server's cost alone.
    drop(runtime.spawn(async { sleep(Duration::from_secs(3600)).await }));
    let Answer::Shared(reply) = runtime.block_on(serving.responder.answer(&der)) else {
        panic!("an answer was expected");
    };
    let body = Bytes::copy_from_slice(reply.written.der());
    for scene in SCENES {
        let hits = serving.responder.counts().hits.value();
        let (near, far) = duplex(64 << 10);
        let request = match scene.asked {
            Asked::Post => post(&der),
            Asked::Get => get("GET", &der),
            Asked::Raw => der.clone(),
        };
        let serving = Arc::clone(&serving);
        let entered = runtime.enter();
        match (scene.answers, scene.asked) {
            (Answers::Bare, _) => tokio::spawn(bare(far, body.clone())),
            (Answers::Frontend, Asked::Raw) => tokio::spawn(raw::serve(far, Arc::clone(&serving))),
            (Answers::Frontend, _) => tokio::spawn(http::serve(far, Arc::clone(&serving))),
        };
        drop(entered);
        let mut client = runtime.block_on(Asking::begin(near, request, body.clone()));
        runtime.block_on(client.ask(BEFORE));
        counted(&runtime, pin!(client.ask(COUNTED)));
        let asked = u64::from(1 + BEFORE + COUNTED);
        let hit = serving.responder.counts().hits.value() - hits;
        let expected = match scene.answers {
            Answers::Bare => 0,
            Answers::Frontend => asked,
        };
        // The first GET is read; what it finds is a hit all the same.
        assert_eq!(hit, expected, "{}", scene.name);
    }
}

/// What is counted: callgrind knows this function by its name.
#[inline(never)]
fn counted(runtime: &Runtime, asking: Pin<&mut dyn Future<Output = ()>>) {
    runtime.block_on(asking);
    black_box(()); // it returns here, not from what it calls
}

/// What the frontend serves with, and what would end it. Its signer is a thread here.
async fn serving(stage: &Stage) -> (Arc<Serving>, watch::Sender<Option<Instant>>) {
    let settings = &stage.settings;
    let (boundary, signer) = UnixStream::pair().unwrap();
    let authority = Arc::clone(&stage.authority);
    std::thread::spawn(move || sign(signer, &authority));
    boundary.set_nonblocking(true).unwrap();
    let signer = Signer::connect(tokio::net::UnixStream::from_std(boundary).unwrap()).unwrap();
    assert!(signer.greeted().await);
    let issuers = Issuers::open(&settings.issuers, settings.verify).unwrap();
    let patience = Instant::now() + PATIENCE;
    let source = Source::open(&settings.sources[0], 1, None, patience, &mut Vec::new()).unwrap();
    let cache = Cache::new(settings.cache_memory);
    let max_stale = Duration::from_secs(settings.max_stale);
    let responder = Responder::new(issuers, vec![source], signer, cache, max_stale);
    let (retire, retired) = watch::channel(None);
    let serving = Serving::new(Arc::new(responder), settings, retired);
    (Arc::new(serving), retire)
}

/// Signs what is asked until the frontend is gone.
fn sign(mut boundary: UnixStream, authority: &Authority) {
    let hello = FromSigner::Hello(ocsp_wire::Version::ours());
    boundary.write_all(&frame(&hello).unwrap()).unwrap();
    let mut frames = Frames::new();
    let mut octets = [0; 4096];
    loop {
        while let Some(message) = frames.next().unwrap() {
            if let ToSigner::Sign(asked) = message {
                boundary.write_all(&authority.answers(&asked)).unwrap();
            }
        }
        match boundary.read(&mut octets) {
            Ok(0) | Err(_) => return,
            Ok(read) => frames.extend(&octets[..read]),
        }
    }
}

/// A bare hyper server: it reads what it is asked, and answers with this body.
async fn bare(stream: DuplexStream, body: Bytes) {
    let answer = service_fn(|request: Request<Incoming>| {
        let body = body.clone();
        async move {
            let _ = request.into_body().collect().await.unwrap();
            let mut response = Response::new(Full::new(body));
            let kind = HeaderValue::from_static("application/ocsp-response");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let _ = connection.await; // the client went away
}

/// A client that asks the same again and again on one connection.
struct Asking {
    stream: DuplexStream,
    request: Vec<u8>,
    /// What each answer ends with.
    body: Bytes,
    /// The last answer: all have as many octets.
    answer: Vec<u8>,
}

impl Asking {
    /// Asks once, and sees how long an answer is.
    async fn begin(mut stream: DuplexStream, request: Vec<u8>, body: Bytes) -> Self {
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(&body) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        Self {
            stream,
            request,
            body,
            answer,
        }
    }

    /// Asks so many times.
    async fn ask(&mut self, times: u32) {
        for _ in 0..times {
            self.stream.write_all(&self.request).await.unwrap();
            self.stream.read_exact(&mut self.answer).await.unwrap();
            assert!(self.answer.ends_with(&self.body));
        }
    }
}
