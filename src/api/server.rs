//! Listening: TCP with or without TLS, the Unix socket; connections, their limits and their end.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::activity::{Activity, Kept};
use super::dispatch::{Dispatch, Peer};
use super::router::Router;
use super::tls::{CertificateFiles, Tls, TlsError, own_certificate};
use super::{Api, Request, endpoints};

/// Connections at a time over all addresses.
const CONNECTIONS: usize = 512;
/// Connections at a time of the Unix socket: its own, so that the network cannot lock its owner out.
const LOCAL_CONNECTIONS: usize = 64;
/// A request's head must be here within this time; also the time that an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// A TLS handshake must be done within this time.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// At the end, requests in work get this long.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("{address}: cannot be listened on")]
    Bind {
        /// The address or the path.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// No TLS.
    #[error("TLS is not possible")]
    Tls(#[from] TlsError),
    /// The declarations contradict each other.
    #[error("the endpoints cannot be told apart: {0}")]
    Endpoints(String),
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// An address and whether it speaks TLS.
    Tcp {
        /// Address and port; port 0 is any free one.
        address: SocketAddr,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// A socket file; its owner and root need no sign-in.
    Unix(PathBuf),
}

enum Bound {
    Tcp(TcpListener, Option<Tls>),
    Unix(UnixListener, PathBuf),
}

/// Listens, but does not serve yet.
pub struct Server {
    dispatch: Arc<Dispatch>,
    api: Api,
    bound: Vec<Bound>,
    tls: Option<Tls>,
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn bind(api: Api, listeners: &[Listener], state: &Path) -> Result<Server, ServerError> {
        let router = Router::new(endpoints()).map_err(ServerError::Endpoints)?;
        let mut bound = Vec::new();
        let mut certificate: Option<Tls> = None;
        for listener in listeners {
            match listener {
                Listener::Tcp { address, tls } => {
                    let failed = |source| ServerError::Bind { address: address.to_string(), source };
                    let socket = TcpListener::bind(address).await.map_err(failed)?;
                    if *tls && certificate.is_none() {
                        certificate = Some(Tls::new(certificate_files(&api, state)?)?);
                    }
                    bound.push(Bound::Tcp(socket, certificate.clone().filter(|_| *tls)));
                }
                Listener::Unix(path) => bound.push(Bound::Unix(listen_unix(path)?, path.clone())),
            }
        }
        let dispatch = Arc::new(Dispatch::new(api.clone(), router));
        Ok(Server { dispatch, api, bound, tls: certificate })
    }

    /// Where it listens, as URLs.
    pub fn addresses(&self) -> Vec<String> {
        let url = |bound: &Bound| match bound {
            Bound::Tcp(socket, tls) => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                socket
                    .local_addr()
                    .map_or_else(|_| scheme.to_owned(), |address| format!("{scheme}://{address}"))
            }
            Bound::Unix(_, path) => format!("unix:{}", path.display()),
        };
        self.bound.iter().map(url).collect()
    }

    /// Serves until something is asked of the daemon, then lets requests in work end. Returns what was asked.
    /// SIGHUP reads the certificates again.
    pub async fn serve(self) -> Request {
        let graceful = Arc::new(GracefulShutdown::new());
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let local_slots = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
        let mut control = self.api.control.watch();
        let mut accepting = tokio::task::JoinSet::new();
        let mut sockets = Vec::new();
        for bound in self.bound {
            if let Bound::Unix(_, path) = &bound {
                sockets.push(path.clone());
            }
            let slots = if matches!(bound, Bound::Unix(..)) { &local_slots } else { &slots };
            accepting.spawn(accept(bound, self.dispatch.clone(), graceful.clone(), slots.clone()));
        }
        if let Some(tls) = self.tls {
            accepting.spawn(reload_on_hangup(tls));
        }
        // The sender lives in `api`.
        let asked = match control.wait_for(|request| *request != Request::Serve).await {
            Ok(request) => *request,
            Err(_) => Request::Stop,
        };
        accepting.shutdown().await;
        for path in sockets {
            // Nothing listens there any more; a file left over is replaced at the next start.
            let _ = std::fs::remove_file(path);
        }
        // Only the tasks that accept shared it, and they are gone.
        let Some(graceful) = Arc::into_inner(graceful) else { return asked };
        if tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests did not end in time and are cut off");
        }
        asked
    }
}

fn certificate_files(api: &Api, state: &Path) -> Result<CertificateFiles, TlsError> {
    let tls = &api.config.tls;
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Ok(CertificateFiles { certificate: certificate.clone(), key: key.clone() })
        }
        _ => {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            names.extend(nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()));
            own_certificate(state, &names)
        }
    }
}

/// The socket file can be opened by its owner and root only.
fn listen_unix(path: &Path) -> Result<UnixListener, ServerError> {
    let failed = |source| ServerError::Bind { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

async fn reload_on_hangup(tls: Tls) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => {
                tracing::error!(error = %crate::engine::chain(&error), "the certificate stays as it was");
            }
        }
    }
}

async fn accept(
    bound: Bound,
    dispatch: Arc<Dispatch>,
    graceful: Arc<GracefulShutdown>,
    slots: Arc<Semaphore>,
) {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    loop {
        // A slot first: beyond the limit clients wait in the kernel's queue.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (dispatch, watcher) = (dispatch.clone(), graceful.watcher());
        match &bound {
            Bound::Tcp(socket, tls) => {
                let Some((stream, address)) = accepted(socket.accept().await).await else { continue };
                // Answers are written whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                let peer = Peer { address: address.ip().to_canonical(), is_owner: false };
                let tls = tls.clone();
                tokio::spawn(async move {
                    let _slot = slot;
                    match tls {
                        None => connection(stream, peer, dispatch, watcher).await,
                        Some(tls) => {
                            let handshake = tls.acceptor().accept(stream);
                            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME, handshake).await {
                                connection(stream, peer, dispatch, watcher).await;
                            }
                        }
                    }
                });
            }
            Bound::Unix(socket, _) => {
                let Some((stream, _)) = accepted(socket.accept().await).await else { continue };
                let own = nix::unistd::geteuid().as_raw();
                let is_owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0);
                let peer = Peer { address: loopback, is_owner };
                tokio::spawn(async move {
                    let _slot = slot;
                    connection(stream, peer, dispatch, watcher).await;
                });
            }
        }
    }
}

/// A connection, or a pause where the system has no more to give.
async fn accepted<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: Peer,
    dispatch: Arc<Dispatch>,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(64 << 10);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64).keep_alive_interval(HEAD_TIME);
    let activity = Activity::default();
    let used = activity.clone();
    let service = service_fn(move |request| {
        let (dispatch, busy) = (dispatch.clone(), used.begin());
        async move {
            let response = dispatch.answer(request, peer).await;
            Ok::<_, Infallible>(response.map(|body| Kept { body, _busy: busy }))
        }
    });
    let served = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    // hyper's own limit begins only once it knows which HTTP it is, and knows no idle HTTP/2.
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = activity.idle_for(HEAD_TIME) => tracing::debug!("an idle connection was closed"),
    }
}
