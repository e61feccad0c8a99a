//! Serves HTTP/2 CONNECT (RFC 9113 §8.5): each stream of a connection is a request, and a tunnel, of its own.
//!
//! hyper speaks the protocol. What it is told here bounds what one connection can cost: streams at once,
//! resets, header sizes, windows, and how long it may be of no use.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::PROXY_AUTHORIZATION;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::upgrade::{self, OnUpgrade};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::admission::{Place, Refused, Room};
use crate::client::Source;
use crate::head::{self, Malformed};
use crate::reason::Reason;
use crate::reception::Unreceived;
use crate::record::Beginning;
use crate::service::{Service, guard};
use crate::tunnel::{Outcome, Tunnel};
use crate::upstream::Outbound;
use crate::wire::Wire;

/// Serves every stream of one connection, and answers what is to be said of the connection itself: nothing,
/// if there were streams to speak of.
pub async fn serve(
    wire: Wire,
    source: Source,
    service: &Arc<Service>,
    outbound: &Rc<Outbound>,
) -> Option<Outcome> {
    let limits = &service.shared.limits;
    let (opened, live) = watch::channel(Live { ever: false, now: 0 });
    let streams = Rc::new(Streams {
        source: source.clone(),
        service: Arc::clone(service),
        outbound: Rc::clone(outbound),
        places: Arc::new(Semaphore::new(MAX_STREAMS as usize)),
        live: opened,
        tasks: TaskTracker::new(),
    });
    let answer = service_fn(|request| streams.answer(request));
    let header_bytes = u32::try_from(limits.head.bytes).unwrap_or(u32::MAX);
    let mut connection = pin!(
        Builder::new(Local)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(header_bytes)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_RESETS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_WINDOW as usize)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .serve_connection(TokioIo::new(wire), answer)
    );
    let no_more = async {
        tokio::select! {
            () = service.closing.cancelled() => {}
            () = of_no_use(live.clone(), limits.head.time, limits.relay.idle) => {}
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = no_more => {
            // Its streams go on; who has none, or goes on for too long, is not waited for.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = emptied(live.clone()) => Ok(()),
                () = service.shared.cut.cancelled() => Ok(()),
            }
        }
    };
    streams.tasks.close();
    streams.tasks.wait().await;
    let ever = live.borrow().ever;
    match ended {
        _ if ever => None,
        Ok(()) => Some(unreceived(source, Reason::ClientClosed, String::new())),
        Err(error) => Some(unreceived(source, Reason::BadRequest, crate::chain(&error))),
    }
}

fn unreceived(source: Source, reason: Reason, detail: String) -> Outcome {
    Outcome::Unreceived(Unreceived { source, reason, detail })
}

/// How many streams there are.
#[derive(Debug, Clone, Copy)]
struct Live {
    ever: bool,
    now: usize,
}

/// Waits until there has been no stream for so long that nobody seems to need the connection.
async fn of_no_use(mut live: watch::Receiver<Live>, first: Duration, idle: Duration) {
    loop {
        let Live { ever, now } = *live.borrow_and_update();
        let limit = if ever { idle } else { first };
        let changed = live.changed();
        let changed = if now == 0 { timeout(limit, changed).await } else { Ok(changed.await) };
        if !matches!(changed, Ok(Ok(()))) {
            return;
        }
    }
}

/// Waits until there is no stream, and then for a client to notice that the connection is of no use to it.
async fn emptied(mut live: watch::Receiver<Live>) {
    // The sender lives as long as the connection.
    let _ = live.wait_for(|live| live.now == 0).await;
    tokio::time::sleep(FAREWELL).await;
}

/// What the streams of a connection share.
struct Streams {
    source: Source,
    service: Arc<Service>,
    outbound: Rc<Outbound>,
    /// For tunnels that are being opened or carried; a stream that was reset holds its own until it has
    /// been cleaned up.
    places: Arc<Semaphore>,
    live: watch::Sender<Live>,
    tasks: TaskTracker,
}

impl Streams {
    /// Answers one request, in a task of its own: what was begun is recorded, whatever becomes of the
    /// stream.
    fn answer(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + use<> {
        let (respond, response) = oneshot::channel();
        let beginning = self.service.begin();
        self.live.send_modify(|live| *live = Live { ever: true, now: live.now + 1 });
        let streams = Rc::clone(self);
        self.tasks.spawn_local(async move {
            streams.serve(request, beginning, respond).await;
            streams.live.send_modify(|live| live.now -= 1);
        });
        async move {
            // Without an answer it has panicked.
            Ok(response.await.unwrap_or_else(|_| {
                let mut response = Response::new(Full::default());
                *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }))
        }
    }

    async fn serve(
        &self,
        mut request: Request<Incoming>,
        beginning: Beginning,
        mut respond: oneshot::Sender<Response<Full<Bytes>>>,
    ) {
        let service = &self.service;
        let upgrade = upgrade::on(&mut request);
        let mut room = None;
        let served = async {
            let opened = tokio::select! {
                opened = self.open(&request, beginning) => opened,
                // The client has reset the stream.
                () = respond.closed() => Err(self.malformed(Reason::ClientClosed)),
            };
            match opened {
                Ok((tunnel, place, _mine)) => {
                    room = Some(Room::Place(place));
                    self.carry(tunnel, upgrade, respond).await
                }
                Err(outcome) => {
                    if let Some(response) = outcome.response() {
                        // It may have gone meanwhile.
                        let _ = respond.send(response.http2());
                    }
                    (outcome, None)
                }
            }
        };
        let (outcome, wire) = guard(&self.source, served).await;
        service.conclude(outcome, wire.zip(room), beginning).await;
    }

    async fn open(
        &self,
        request: &Request<Incoming>,
        beginning: Beginning,
    ) -> Result<(Tunnel, Place, OwnedSemaphorePermit), Outcome> {
        let mine = Arc::clone(&self.places).try_acquire_owned();
        let mine = mine.map_err(|_| self.unadmitted(Refused::from(Reason::Capacity)))?;
        let place = self.service.admission.admit_now(self.source.address.ip());
        let place = place.map_err(|refused| self.unadmitted(refused))?;
        let target = head::of_http2(request)
            .map_err(|malformed| Outcome::Malformed(self.source.clone(), malformed))?;
        let authorization = request.headers().get(PROXY_AUTHORIZATION);
        let authorization = authorization.map(hyper::header::HeaderValue::as_bytes);
        let shared = &self.service.shared;
        let tunnel = shared
            .admit(self.source.clone(), target, authorization, beginning, &self.outbound)
            .await?;
        Ok((tunnel, place, mine))
    }

    async fn carry(
        &self,
        tunnel: Tunnel,
        upgrade: OnUpgrade,
        respond: oneshot::Sender<Response<Full<Bytes>>>,
    ) -> (Outcome, Option<Wire>) {
        if respond.send(Response::new(Full::default())).is_err() {
            return (tunnel.abandoned(), None);
        }
        let Ok(upgraded) = upgrade.await else {
            return (tunnel.abandoned(), None);
        };
        let mut wire = Wire::H2(Box::new(TokioIo::new(upgraded)));
        let outcome = self.service.shared.carry(&mut wire, tunnel, &[], Vec::new()).await;
        (outcome, Some(wire))
    }

    fn unadmitted(&self, refused: Refused) -> Outcome {
        Outcome::Unadmitted(self.source.clone(), refused)
    }

    fn malformed(&self, reason: Reason) -> Outcome {
        Outcome::Malformed(self.source.clone(), Malformed { reason, authority: None })
    }
}

/// Runs hyper's tasks where the connection's own is.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// Tunnels of one connection at once.
const MAX_STREAMS: u32 = 128;
/// Streams that a client has reset, or provoked us to reset, and that we have not got round to. More end
/// the connection (CVE-2023-44487).
const MAX_RESETS: usize = 32;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);
