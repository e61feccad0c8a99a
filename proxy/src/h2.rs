//! Serves HTTP/2 CONNECT (RFC 9113 §8.5): each stream of a connection is a request, and a tunnel, of its own.
//!
//! The `h2` library speaks the protocol. What it is told here bounds what one connection can cost: streams at
//! once, resets, header sizes, windows, and how long it may be of no use.

mod stream;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::h2::server::{Builder, Connection, SendResponse};
use ::h2::{Error, Ping, PingPong, RecvStream};
use hyper::body::Bytes;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

pub use self::stream::Stream;
use crate::admission::{Place, Refused, Room};
use crate::client::Source;
use crate::head::{self, Malformed};
use crate::log::record::Beginning;
use crate::reason::Reason;
use crate::reception::Unreceived;
use crate::refusal;
use crate::service::{Service, guard};
use crate::tunnel::{Outcome, Tunnel};
use crate::upstream::Outbound;
use crate::wire::Wire;

/// Serves every stream of one connection, and answers what is to be said of the connection itself: nothing,
/// if there were streams to speak of and the client kept to the protocol.
pub async fn serve(
    mut wire: Wire,
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
    let ended = {
        let handshake = settings(limits.head.bytes).handshake(&mut wire);
        let handshake = timeout(limits.head.time, handshake);
        match service.closing.run_until_cancelled(handshake).await {
            Some(Ok(Ok(connection))) => streams.accept(connection, &live).await,
            Some(Ok(Err(error))) => Ended::Closed.unless(&error),
            Some(Err(_)) => Ended::Useless,
            None => Ended::Draining,
        }
    };
    // Without the connection each of them comes to its end, and what has been sent can still be read.
    streams.tasks.close();
    tokio::join!(streams.tasks.wait(), refusal::linger(wire));
    let ever = live.borrow().ever;
    let (reason, detail) = match ended {
        Ended::Violated(detail) => (Reason::BadRequest, detail),
        _ if ever => return None,
        Ended::Useless => (Reason::HeadTimeout, String::new()),
        Ended::Closed => (Reason::ClientClosed, String::new()),
        Ended::Draining => (Reason::Draining, String::new()),
    };
    Some(Outcome::Unreceived(Unreceived { source, reason, detail }))
}

/// Whether HTTP/2 can begin with these bytes (RFC 9113 §3.4).
pub fn can_begin_with(bytes: &[u8]) -> bool {
    PREFACE.iter().zip(bytes).all(|(expected, byte)| expected == byte)
}

/// What one connection may cost.
fn settings(header_bytes: usize) -> Builder {
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_STREAMS as usize))
        // All of them may be cut at once, while the client is still sending.
        .max_concurrent_reset_streams(MAX_STREAMS as usize)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    settings
}

/// How a connection came to its end.
enum Ended {
    /// By its client, or by us when it had been served.
    Closed,
    /// It was of no use for too long.
    Useless,
    /// The proxy stops, and nothing had been asked for yet.
    Draining,
    /// The client broke the protocol, or our limits; the text says how.
    Violated(String),
}

impl Ended {
    /// The same, unless `error` says that the client did wrong: the library's own errors are what it finds
    /// wrong with clients, others are what happens when a connection goes.
    fn unless(self, error: &Error) -> Self {
        if error.is_library() { Self::Violated(crate::chain(error)) } else { self }
    }
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
    sleep(FAREWELL).await;
}

/// Waits until the client answers no ping any more: a peer that has vanished sends no reset.
async fn vanished(mut ping: PingPong) {
    loop {
        sleep(PING).await;
        if !matches!(timeout(PONG, ping.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
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
    /// Takes streams until the connection ends. Accepting is also what moves the bytes of all streams.
    async fn accept(
        self: &Rc<Self>,
        mut connection: Connection<&mut Wire, Bytes>,
        live: &watch::Receiver<Live>,
    ) -> Ended {
        let limits = &self.service.shared.limits;
        let ping = connection.ping_pong().expect("nobody else has asked for it");
        let mut vanished = pin!(vanished(ping));
        let mut no_more = pin!(async {
            tokio::select! {
                () = self.service.closing.cancelled() => Ended::Closed,
                // Streams that begin from now on belong on a connection that has been looked at again; on this
                // one they are nobody's.
                () = self.outdated() => Ended::Closed,
                () = of_no_use(live.clone(), limits.head.time, limits.relay.idle) => Ended::Useless,
            }
        });
        let mut ended = loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => self.begin(request, respond),
                    Some(Err(error)) => return Ended::Closed.unless(&error),
                    None => return Ended::Closed,
                },
                ended = &mut no_more => break ended,
                () = &mut vanished => return Ended::Closed,
            }
        };
        // Its streams go on; who has none is not waited for.
        connection.graceful_shutdown();
        let late = Instant::now() + FAREWELL;
        let mut emptied = pin!(emptied(live.clone()));
        loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    // Whoever goes on for so long does not want to hear.
                    Some(Ok((_, mut respond))) if Instant::now() > late => {
                        respond.send_reset(::h2::Reason::REFUSED_STREAM);
                    }
                    // It was on its way when we said that there should be no more.
                    Some(Ok((request, respond))) => {
                        ended = Ended::Closed;
                        self.begin(request, respond);
                    }
                    Some(Err(error)) => return ended.unless(&error),
                    None => return ended,
                },
                () = &mut emptied => return ended,
                () = &mut vanished => return ended,
            }
        }
    }

    /// Waits until the client would have to show its certificate again, if it has shown one.
    async fn outdated(&self) {
        match &self.source.proof {
            Some(proof) => proof.outdated().await,
            None => pending().await,
        }
    }

    /// Serves one stream in a task of its own: what was begun is recorded, whatever becomes of the stream.
    fn begin(self: &Rc<Self>, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let beginning = self.service.begin();
        self.live.send_modify(|live| *live = Live { ever: true, now: live.now + 1 });
        let streams = Rc::clone(self);
        self.tasks.spawn_local(async move {
            streams.serve(request, respond, beginning).await;
            streams.live.send_modify(|live| live.now -= 1);
        });
    }

    async fn serve(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        beginning: Beginning,
    ) {
        let service = &self.service;
        let mut room = None;
        let served = async {
            let opened = tokio::select! {
                biased;
                // For a stream that was reset nobody is looked up or dialled, or not any longer.
                _ = poll_fn(|context| respond.poll_reset(context)) => {
                    Err(self.malformed(Reason::ClientClosed))
                }
                opened = self.open(&request, beginning) => opened,
            };
            match opened {
                Ok((tunnel, place, _mine)) => {
                    room = Some(Room::Place(place));
                    self.carry(tunnel, request, respond).await
                }
                Err(outcome) => {
                    refuse(&outcome, respond);
                    (outcome, None)
                }
            }
        };
        let (outcome, wire) = guard(&self.source, served).await;
        service.conclude(outcome, wire.zip(room), beginning).await;
    }

    /// Reaches the target; the tunnel needs its places for as long as it lives.
    async fn open(
        &self,
        request: &Request<RecvStream>,
        beginning: Beginning,
    ) -> Result<(Tunnel, Place, OwnedSemaphorePermit), Outcome> {
        let mine = Arc::clone(&self.places).try_acquire_owned();
        let mine = mine.map_err(|_| self.unadmitted(Refused::from(Reason::Capacity)))?;
        let place = self.service.admission.admit_now(self.source.address.ip());
        let place = place.map_err(|refused| self.unadmitted(refused))?;
        let target = head::of_http2(request)
            .map_err(|malformed| Outcome::Malformed(self.source.clone(), malformed))?;
        let authorization = request.headers().get(PROXY_AUTHORIZATION).map(HeaderValue::as_bytes);
        let shared = &self.service.shared;
        let tunnel = shared
            .admit(self.source.clone(), target, authorization, beginning, &self.outbound)
            .await?;
        Ok((tunnel, place, mine))
    }

    async fn carry(
        &self,
        tunnel: Tunnel,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> (Outcome, Option<Wire>) {
        let Ok(send) = respond.send_response(Response::new(()), false) else {
            return (tunnel.abandoned(), None);
        };
        let mut wire = Wire::H2(Box::new(Stream::new(send, request.into_body())));
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

/// Answers a request for which no tunnel was opened. Without an answer the stream is reset.
fn refuse(outcome: &Outcome, mut respond: SendResponse<Bytes>) {
    if let Some(response) = outcome.response() {
        let (head, body) = response.http2().into_parts();
        // The stream may have gone meanwhile.
        if let Ok(mut send) = respond.send_response(Response::from_parts(head, ()), false) {
            let _ = send.send_data(body, true);
        }
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Tunnels of one connection at once.
const MAX_STREAMS: u32 = 128;
/// Streams that a client has reset before we have got round to them. More end the connection (CVE-2023-44487).
const MAX_RESETS: usize = 32;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// Of each stream, whatever windows the client grants it.
const SEND_BUFFER: usize = 64 * 1024;
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);
