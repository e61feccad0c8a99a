//! What reaches a running `watch` from outside: signals, and readers of its metrics. On a thread of its own, so that
//! both are served whatever a poll takes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::{Event, Failure};

/// Listens for signals, and on `address` if there is one; comes back when both are in place, with where that is.
pub(super) fn open(
    address: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    events: Sender<Event>,
) -> Result<Option<SocketAddr>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Signals)?;
    let signals = {
        let _inside = runtime.enter();
        Signals::install().map_err(Failure::Signals)?
    };
    let bind = |address| {
        let bound = runtime.block_on(async {
            let listener = TcpListener::bind(address).await?;
            Ok((listener.local_addr()?, listener))
        });
        bound.map_err(|error| Failure::Listen(address, error))
    };
    let (bound, listener) = address.map(bind).transpose()?.unzip();
    thread::spawn(move || {
        runtime.block_on(async {
            if let Some(listener) = listener {
                tokio::spawn(serve(listener, metrics));
            }
            signals.hand_on(&events).await;
        });
    });
    Ok(bound)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Comes back when nobody listens any more.
    async fn hand_on(mut self, events: &Sender<Event>) {
        loop {
            let event = tokio::select! {
                _ = self.interrupt.recv() => Event::Stop,
                _ = self.terminate.recv() => Event::Stop,
                _ = self.hangup.recv() => Event::PollNow,
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self)
    }

    async fn hand_on(self, events: &Sender<Event>) {
        while tokio::signal::ctrl_c().await.is_ok() {
            if events.send(Event::Stop).is_err() {
                return;
            }
        }
    }
}

/// One request a connection, all of it in bounded time, and a bounded number at once.
async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = answer(&request, &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            // A scraper that goes away in the middle has told us all it will.
            let _ = timeout(TOTAL_TIMEOUT, connection).await;
            drop(slot);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => respond(StatusCode::OK, METRICS, metrics.encode()),
        "/healthz" => respond(StatusCode::OK, TEXT, "alive\n"),
        _ => respond(StatusCode::NOT_FOUND, TEXT, "try /metrics or /healthz\n"),
    }
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const CONNECTIONS: usize = 16;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
