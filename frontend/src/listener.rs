//! Connections: accepted within bounds, told apart by their first octet, and let go when the generation is retired.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ocsp_frontend_settings::{Listener, ListenerKind, Purpose, Settings};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::answer::Responder;
use crate::seldom::Seldom;
use crate::{admin, http, raw};

/// After an accept that failed: descriptors may be short.
const PAUSE: Duration = Duration::from_millis(50);

/// What every connection of this generation shares.
pub struct Serving {
    /// Answers requests.
    pub responder: Arc<Responder>,
    /// max-age, in seconds.
    pub max_age: u64,
    /// For a request's header, and for the next request of an idle connection.
    pub header_timeout: Duration,
    /// For a request's body.
    pub body_timeout: Duration,
    retired: watch::Receiver<Option<Instant>>,
    places: Arc<Semaphore>,
    most: u32,
    addresses: Addresses,
    troubles: Seldom<()>,
}

impl Serving {
    /// For the connections of one generation. `retired` tells until when idle connections may stay, once it is retired.
    pub fn new(
        responder: Arc<Responder>,
        settings: &Settings,
        retired: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let limits = &settings.limits;
        // A listener holds a place while it waits for a connection to put there.
        let listeners = settings.listeners.iter();
        let listeners = listeners
            .filter(|listener| listener.purpose == Purpose::Ocsp)
            .count();
        let waiting = u32::try_from(listeners.saturating_sub(1)).unwrap_or(0);
        let most = limits.connections.saturating_add(waiting);
        Self {
            responder,
            max_age: settings.max_age,
            header_timeout: Duration::from_millis(limits.header_ms),
            body_timeout: Duration::from_millis(limits.body_ms),
            retired,
            places: Arc::new(Semaphore::new(
                usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            most,
            addresses: Addresses {
                most: limits.connections_per_address,
                open: Mutex::default(),
            },
            troubles: Seldom::default(),
        }
    }

    /// Whether this generation is to finish.
    pub fn retiring(&self) -> bool {
        self.retired.borrow().is_some()
    }

    /// Comes back once the generation is retired.
    pub async fn retirement(&self) {
        let _ = self.retired.clone().wait_for(Option::is_some).await; // an error: the launcher is gone, and so are we
    }

    /// Comes back when connections without a request are to end.
    pub async fn idle_connections_end(&self) {
        let until = match self.retired.clone().wait_for(Option::is_some).await {
            Ok(until) => *until,
            Err(_) => None,
        };
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// Waits a little after an accept that failed, but for those that a client caused.
    async fn accepted(&self, accepted: std::io::Result<()>) {
        if let Err(error) = accepted
            && error.raw_os_error().is_some()
            && !matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::WouldBlock
            )
        {
            self.troubles
                .warn((), || format!("a connection cannot be accepted: {error}"));
            sleep(PAUSE).await;
        }
    }

    /// Comes back when no connection is left.
    pub async fn done(&self) {
        let _ = self.places.acquire_many(self.most).await;
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

/// Connections that are open, by address.
struct Addresses {
    most: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection's part in the count of its address.
struct Counted {
    serving: Arc<Serving>,
    address: IpAddr,
}

impl Counted {
    fn new(serving: &Arc<Serving>, address: SocketAddr) -> Option<Self> {
        let address = network_of(address.ip().to_canonical());
        let mut open = serving
            .addresses
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= serving.addresses.most {
            return None;
        }
        *count += 1;
        Some(Self {
            serving: Arc::clone(serving),
            address,
        })
    }
}

/// What one client can be told by: an IPv4 address, or the 64 bits of an IPv6 address that it was assigned.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self
            .serving
            .addresses
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// A listening socket that was handed over.
pub enum Listening {
    /// HTTP or bare DER.
    Tcp(TcpListener),
    /// HTTP.
    Unix(UnixListener),
    /// How the service does.
    Admin(Admin),
}

/// A listening socket for `admin`.
pub enum Admin {
    /// TCP
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Connections to one such socket at a time. They take no places of those who ask for answers.
const MOST_ADMINS: usize = 16;

impl Listening {
    /// Takes a socket into the runtime. It is non-blocking already.
    pub fn new(listener: &Listener, socket: OwnedFd) -> std::io::Result<Self> {
        Ok(match (listener.kind, listener.purpose) {
            (ListenerKind::Tcp, Purpose::Ocsp) => Self::Tcp(TcpListener::from_std(socket.into())?),
            (ListenerKind::Unix, Purpose::Ocsp) => {
                Self::Unix(UnixListener::from_std(socket.into())?)
            }
            (ListenerKind::Tcp, Purpose::Admin) => {
                Self::Admin(Admin::Tcp(TcpListener::from_std(socket.into())?))
            }
            (ListenerKind::Unix, Purpose::Admin) => {
                Self::Admin(Admin::Unix(UnixListener::from_std(socket.into())?))
            }
        })
    }

    /// Accepts until the generation is retired. Then this copy of the socket is dropped, and connections that wait in it
    /// are accepted by the next generation.
    pub async fn accept(self, serving: Arc<Serving>) {
        tokio::select! {
            biased;
            () = serving.retirement() => {}
            () = self.accept_all(&serving) => {}
        }
    }

    async fn accept_all(&self, serving: &Arc<Serving>) {
        let admins = Arc::new(Semaphore::new(MOST_ADMINS));
        loop {
            if let Self::Admin(admin) = self {
                serving.accepted(admin.accept(serving, &admins).await).await;
                continue;
            }
            // At the bound, connections wait in the socket.
            let Some(place) = serving.place().await else {
                return;
            };
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, address)| {
                    if let Some(counted) = Counted::new(serving, address) {
                        tokio::spawn(tcp(stream, Arc::clone(serving), (place, counted)));
                    }
                }),
                Self::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                    let serving = Arc::clone(serving);
                    tokio::spawn(async move {
                        http::serve(stream, serving).await;
                        drop(place);
                    });
                }),
                Self::Admin(_) => return,
            };
            serving.accepted(accepted).await;
        }
    }
}

impl Admin {
    async fn accept(&self, serving: &Arc<Serving>, admins: &Arc<Semaphore>) -> std::io::Result<()> {
        let Ok(place) = Arc::clone(admins).acquire_owned().await else {
            return Ok(());
        };
        let responder = Arc::clone(&serving.responder);
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    admin::serve(stream, responder).await;
                    drop(place);
                });
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    admin::serve(stream, responder).await;
                    drop(place);
                });
            }
        }
        Ok(())
    }
}

/// The first octet tells: a SEQUENCE, or HTTP.
async fn tcp(stream: TcpStream, serving: Arc<Serving>, _counted: (OwnedSemaphorePermit, Counted)) {
    let _ = stream.set_nodelay(true);
    // A client that asks and never takes its answers keeps its place no longer than one that does not ask.
    let patience = u32::try_from(serving.body_timeout.as_millis()).unwrap_or(u32::MAX);
    let _ = set_tcp_user_timeout(&stream, patience);
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = timeout(serving.header_timeout, stream.peek(&mut first)) => peeked,
        () = serving.idle_connections_end() => return,
    };
    match (peeked, first) {
        (Ok(Ok(1)), [0x30]) => raw::serve(stream, serving).await,
        (Ok(Ok(1)), _) => http::serve(stream, serving).await,
        (Ok(Ok(_) | Err(_)) | Err(_), _) => {}
    }
}
