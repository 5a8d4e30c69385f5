//! Connections: accepted within bounds, told apart by their first octet, and let go when the generation is retired. Those
//! that a proxy passes on count as their client's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocsp_frontend_settings::{Listener, ListenerKind, Proxy, Purpose, Settings};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::answer::Responder;
use crate::http::MaxAge;
use crate::proxy::NoClient;
use crate::seldom::Seldom;
use crate::{admin, http, proxy, raw};

/// After an accept that failed: descriptors may be short.
const PAUSE: Duration = Duration::from_millis(50);

/// What every connection of this generation shares.
pub struct Serving {
    /// Answers requests.
    pub responder: Arc<Responder>,
    /// The most that max-age may be.
    pub max_age: MaxAge,
    /// For a request's header, and for the next request of an idle connection.
    pub header_timeout: Duration,
    /// For a request's body.
    pub body_timeout: Duration,
    retired: watch::Receiver<Option<Instant>>,
    places: Arc<Semaphore>,
    most: u32,
    addresses: Addresses,
    proxies: Vec<Proxy>,
    troubles: Seldom<Trouble>,
}

/// What is logged at most once a minute each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    Accept,
    Proxy,
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
            max_age: MaxAge::new(settings.max_age),
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
            proxies: limits.proxies.clone(),
            troubles: Seldom::default(),
        }
    }

    /// Whether this generation is to finish.
    pub fn retiring(&self) -> bool {
        // This copy never looks at the value, so one that was set stays new to it; and unlike a look it takes no lock.
        self.retired.has_changed().unwrap_or(true)
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
            self.troubles.warn(Trouble::Accept, || {
                format!("a connection cannot be accepted: {error}")
            });
            sleep(PAUSE).await;
        }
    }

    /// Comes back when no connection is left.
    pub async fn done(&self) {
        let _ = self.places.acquire_many(self.most).await;
    }

    /// Whether a connection is one that a proxy passes on: from this address, or to a Unix socket.
    fn is_passed_on(&self, peer: Option<IpAddr>) -> bool {
        self.proxies.iter().any(|proxy| match (proxy, peer) {
            (Proxy::Network(network), Some(peer)) => network.contains(peer),
            (Proxy::Unix, None) => true,
            (Proxy::Network(_), None) | (Proxy::Unix, Some(_)) => false,
        })
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

impl Addresses {
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's part in the count of its address.
struct Counted {
    serving: Arc<Serving>,
    /// None where there is no address to count by.
    address: Option<IpAddr>,
}

impl Counted {
    /// None where its address has as many connections as it may.
    fn new(serving: &Arc<Serving>, address: Option<IpAddr>) -> Option<Self> {
        let address = address.map(network_of);
        if let Some(address) = address {
            let mut open = serving.addresses.open();
            let count = open.entry(address).or_insert(0);
            if *count >= serving.addresses.most {
                return None;
            }
            *count += 1;
        }
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
        let Some(address) = self.address else { return };
        let mut open = self.serving.addresses.open();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
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
                Self::Tcp(listener) => listener.accept().await.map(|(mut stream, address)| {
                    let serving = Arc::clone(serving);
                    tokio::spawn(async move {
                        let peer = Some(address.ip().to_canonical());
                        let counted = counted(&mut stream, &serving, peer).await;
                        if counted.is_some() {
                            tcp(stream, serving).await;
                        }
                        drop((counted, place));
                    });
                }),
                Self::Unix(listener) => listener.accept().await.map(|(mut stream, _)| {
                    let serving = Arc::clone(serving);
                    tokio::spawn(async move {
                        let counted = counted(&mut stream, &serving, None).await;
                        if counted.is_some() {
                            http::serve(stream, serving).await;
                        }
                        drop((counted, place));
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

/// A connection's part in the count of the client's address, which a proxy may say first; none where it is not to be served.
async fn counted(
    stream: &mut (impl AsyncRead + Unpin),
    serving: &Arc<Serving>,
    peer: Option<IpAddr>,
) -> Option<Counted> {
    if !serving.is_passed_on(peer) {
        return Counted::new(serving, peer);
    }
    let told = tokio::select! {
        told = timeout(serving.header_timeout, proxy::client(stream)) => told,
        () = serving.idle_connections_end() => return None,
    };
    match told {
        // Where it says nothing of a client, the connection is the proxy's own.
        Ok(Ok(client)) => Counted::new(serving, client.or(peer)),
        Ok(Err(NoClient::Wrong(what))) => {
            serving.troubles.warn(Trouble::Proxy, || {
                let peer = peer.map_or("a Unix socket".to_owned(), |peer| peer.to_string());
                format!("a connection from the proxy at {peer} is closed: the PROXY header {what}")
            });
            None
        }
        Ok(Err(NoClient::Ended)) | Err(_) => None,
    }
}

/// The first octet tells: a SEQUENCE, or HTTP.
async fn tcp(stream: TcpStream, serving: Arc<Serving>) {
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
