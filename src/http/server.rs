//! Sockets: bind, TLS, the bound on connections, and stopping without cutting a request off.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router};
use axum_server::{
    Handle,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use rustls::{
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    Api,
    door::{Kept, Presented},
    route,
};
use crate::{
    config,
    limits::{HEAD_MS_MAX, WATCH_CONNECTIONS},
    meter::HandshakeFault,
    types::Hash256,
};

/// Why the API is not served. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Another process listens there.
    #[error(
        "{listen} is in use: another process listens there, perhaps another portcullis; stop it or \
         set server.listen (PORTCULLIS_SERVER_LISTEN)"
    )]
    PortInUse {
        /// The address.
        listen: SocketAddr,
    },
    /// The system does not let this process listen there.
    #[error("cannot listen on {listen}: {why}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// A certificate or key is not usable.
    #[error("{key} = {path}: {why}")]
    Tls {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The loop that accepts connections ended.
    #[error("the server stopped: {why}")]
    Stopped {
        /// What the system said.
        why: String,
    },
}

/// Takes the port. Done before anything is loaded, so that a port in use is told at once.
///
/// # Errors
/// [`ServerError::PortInUse`] or [`ServerError::Bind`].
pub fn bind(listen: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortInUse { listen },
        _ => ServerError::Bind { listen, why: error.to_string() },
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Certificate chain and key, ready to serve; with `client_ca`, to clients that present a
/// certificate and to those that do not. Whose certificate is known is the token file's to say.
///
/// # Errors
/// [`ServerError::Tls`], naming the file.
pub fn tls(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<RustlsConfig, ServerError> {
    let refuse = |name, path: &Path, why: String| ServerError::Tls {
        key: name,
        path: path.display().to_string(),
        why,
    };
    let wrong_chain = |why: String| refuse("server.tls_certificate", certificate, why);
    let wrong_key = |why: String| refuse("server.tls_key", key, why);
    let chain = certificates(certificate).map_err(wrong_chain)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong_key(pem_text(&error)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong_chain(error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |why: String| refuse("server.tls_client_ca", path, why);
            let mut roots = rustls::RootCertStore::empty();
            for root in certificates(path).map_err(wrong)? {
                roots.add(root).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, secret).map_err(|error| wrong_key(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(path).map_err(|error| pem_text(&error))?;
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(|error| pem_text(&error))?;
    if chain.is_empty() { Err("no certificate in PEM form".to_owned()) } else { Ok(chain) }
}

fn pem_text(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "nothing of that kind in PEM form".to_owned(),
        other => other.to_string(),
    }
}

/// What the sockets may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Time in which open requests may end when the appliance stops, in milliseconds.
    pub drain_ms: u64,
}

impl From<&config::Limits> for Bounds {
    fn from(limits: &config::Limits) -> Self {
        Self { connections: limits.connections, drain_ms: limits.drain_ms }
    }
}

/// Serves `api` on `listener` until `stop`; then lets open requests end.
///
/// # Errors
/// [`ServerError::Stopped`].
pub async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    api: Api,
    bounds: Bounds,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let stopped = |error: io::Error| ServerError::Stopped { why: error.to_string() };
    let handle = Handle::<SocketAddr>::new();
    let stopping = handle.clone();
    tokio::spawn(async move {
        stop.await;
        stopping.graceful_shutdown(Some(Duration::from_millis(bounds.drain_ms)));
    });
    let bounded = Bounded(Room::new(bounds.connections));
    let mut server = axum_server::from_tcp(listener).map_err(stopped)?.handle(handle);
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX));
    let service = route::router(api.clone()).into_make_service();
    let served = match tls {
        None => server.acceptor(bounded).http1_only().serve(service).await,
        Some(config) => {
            let acceptor = RustlsAcceptor::new(config)
                .handshake_timeout(Duration::from_millis(HEAD_MS_MAX))
                .acceptor(bounded);
            server.acceptor(Certified { acceptor, api }).http1_only().serve(service).await
        }
    };
    served.map_err(stopped)
}

/// Hands each request of a connection the hash of the certificate that its client presented, and
/// tells of handshakes that came to nothing.
#[derive(Clone)]
struct Certified {
    acceptor: RustlsAcceptor<Bounded>,
    api: Api,
}

type Encrypted = <RustlsAcceptor<Bounded> as Accept<TcpStream, Router>>::Stream;

impl Accept<TcpStream, Router> for Certified {
    type Stream = Encrypted;
    type Service = Router;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Encrypted, Router)>> + Send>>;

    fn accept(&self, stream: TcpStream, router: Router) -> Self::Future {
        let Self { acceptor, api } = self.clone();
        Box::pin(async move {
            let (stream, router) = match acceptor.accept(stream, router).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(fault) = fault_of(&error) {
                        api.handshake_failed(fault).await;
                    }
                    return Err(error);
                }
            };
            let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let hash = presented.map(|held| Hash256::of(held));
            let router = match hash {
                Some(hash) => router.layer(Extension(Presented(hash))),
                None => router,
            };
            Ok((stream, router))
        })
    }
}

/// Why a handshake came to nothing; `None` where none began, since there was no place for the
/// connection.
fn fault_of(error: &io::Error) -> Option<HandshakeFault> {
    let cause = error.get_ref();
    if cause.is_some_and(|cause| cause.is::<NoPlace>()) {
        return None;
    }
    let told = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    Some(match told {
        Some(rustls::Error::InvalidCertificate(_)) => HandshakeFault::Certificate,
        _ if error.kind() == io::ErrorKind::TimedOut => HandshakeFault::Late,
        _ => HandshakeFault::Broken,
    })
}

/// All places are taken, the watchers' too.
#[derive(Debug, thiserror::Error)]
#[error("as many connections as there may be")]
struct NoPlace;

/// Places for connections at once: anybody's, and when those are taken a few for whoever watches
/// the appliance, so that gates which take them all do not hide it from its prober.
#[derive(Clone)]
struct Room {
    anybody: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

impl Room {
    fn new(connections: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { anybody: places(connections), watchers: places(WATCH_CONNECTIONS) }
    }

    /// A place, and whether it is one of those for watchers; `None` where there is neither.
    fn take(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let one = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let anybodys = one(&self.anybody).map(|place| (place, false));
        anybodys.or_else(|| one(&self.watchers).map(|place| (place, true)))
    }
}

/// Accepts a connection when there is a place for it, and closes it at once when there is none.
#[derive(Clone)]
struct Bounded(Room);

impl Accept<TcpStream, Router> for Bounded {
    type Stream = Placed;
    type Service = Router;
    type Future = std::future::Ready<io::Result<(Placed, Router)>>;

    fn accept(&self, stream: TcpStream, router: Router) -> Self::Future {
        let placed = self.0.take().ok_or_else(|| io::Error::other(NoPlace)).and_then(
            |(place, is_watchers)| {
                stream.set_nodelay(true)?;
                let router = if is_watchers { router.layer(Extension(Kept)) } else { router };
                Ok((Placed { stream, _place: place }, router))
            },
        );
        std::future::ready(placed)
    }
}

/// A connection with its place among the connections at once.
struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_there_is_room_for_a_few_watchers_and_for_no_more() {
        let room = Room::new(2);
        let mut held: Vec<_> = std::iter::from_fn(|| room.take()).take(100).collect();
        let watchers: Vec<bool> = held.iter().map(|(_, is_watchers)| *is_watchers).collect();
        let expected = [vec![false; 2], vec![true; WATCH_CONNECTIONS]].concat();
        assert_eq!(watchers, expected);
        assert!(room.take().is_none());
        drop(held.remove(0));
        assert!(!room.take().expect("the first one's place").1, "anybody's place is free again");
    }
}
