//! The life of one connection: open a tunnel (before the 200), carry it (after), and say what came of it.

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::head::{self, Malformed};
use crate::hello::{self, ServerName};
use crate::policy::{Decision, Denial, Permit, Policy};
use crate::reason::Reason;
use crate::refusal;
use crate::relay::{self, End, Meters, Stop, Transfer};
use crate::upstream::{self, Failure, Outbound, Route, Upstream};

/// What every connection of the process shares.
pub struct Shared {
    /// The list in force.
    pub policy: ArcSwap<Policy>,
    /// Tells live tunnels of a new list.
    pub generation: watch::Sender<u64>,
    /// Ends what is still there when draining has taken too long.
    pub cut: CancellationToken,
    /// The limits of the stages.
    pub limits: Limits,
    /// Counts the bytes of all tunnels.
    pub meters: Meters,
}

/// The limits of all stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Reading the request.
    pub head: head::Limits,
    /// Resolving and dialling.
    pub upstream: upstream::Limits,
    /// Reading the ClientHello.
    pub hello: hello::Limits,
    /// Relaying.
    pub relay: relay::Limits,
}

/// What became of a connection. Each variant holds what was known by then.
#[derive(Debug)]
pub enum Outcome {
    /// No acceptable request was read.
    Malformed(Client, Malformed),
    /// The policy said no.
    Denied(Denial),
    /// The target was permitted, but not reached.
    Unreached(Permit, Failure),
    /// The tunnel was open, but its first bytes were refused.
    Closed(Permit, Route, Option<ServerName>, Reason),
    /// The tunnel was carried to its end.
    Carried(Permit, Route, Transfer),
    /// Serving it panicked.
    Panicked(Client),
}

/// A permitted target, reached, and what the client sent ahead of our answer.
struct Tunnel {
    permit: Permit,
    upstream: Upstream,
    pipelined: Vec<u8>,
}

impl Shared {
    /// Serves one connection from its first byte on. A refused client still waits for the outcome's
    /// [last words](Outcome::last_words).
    pub async fn serve(
        &self,
        stream: &mut TcpStream,
        client: Client,
        outbound: &Outbound,
    ) -> Outcome {
        match self.open(stream, client, outbound).await {
            Ok(tunnel) => self.carry(stream, tunnel).await,
            Err(outcome) => outcome,
        }
    }

    async fn open(
        &self,
        stream: &mut TcpStream,
        client: Client,
        outbound: &Outbound,
    ) -> Result<Tunnel, Outcome> {
        let head = tokio::select! {
            head = head::read(stream, &self.limits.head) => head,
            () = self.cut.cancelled() => Err(Malformed { reason: Reason::Draining, authority: None }),
        };
        let request = head.and_then(|head| Ok((head.target()?, head)));
        let (target, head) = match request {
            Ok(request) => request,
            Err(malformed) => return Err(Outcome::Malformed(client, malformed)),
        };
        let permit = match self.policy.load().decide(client, target) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => return Err(Outcome::Denied(denial)),
        };
        let upstream = tokio::select! {
            upstream = outbound.connect(&permit) => upstream,
            () = self.cut.cancelled() => Err(Failure::from(Reason::Draining)),
        };
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(failure) => return Err(Outcome::Unreached(permit, failure)),
        };
        // Reaching it took a while, in which a new list may have come.
        let policy = self.policy.load();
        match policy.renew(&permit, upstream.route.hop) {
            Ok(()) => Ok(Tunnel { permit, upstream, pipelined: head.into_pipelined() }),
            Err(_) => Err(Outcome::Denied(permit.revoke(policy.id.clone()))),
        }
    }

    async fn carry(&self, stream: &mut TcpStream, tunnel: Tunnel) -> Outcome {
        let Tunnel { permit, upstream: Upstream { stream: host, route }, pipelined } = tunnel;
        let carried = {
            let mut stop = std::pin::pin!(self.stop(&permit, &route));
            let checked = tokio::select! {
                biased;
                stop = &mut stop => Err((None, stop.reason())),
                checked = check(stream, pipelined, &permit, &self.limits.hello) => checked,
            };
            let (limits, meters) = (&self.limits.relay, &self.meters);
            match checked {
                Ok(hello) => Ok(relay::relay(stream, &host, hello, limits, meters, stop).await),
                Err(refused) => Err(refused),
            }
        };
        match carried {
            Ok(transfer) => Outcome::Carried(permit, route, transfer),
            Err((name, reason)) => Outcome::Closed(permit, route, name, reason),
        }
    }

    /// Waits until a tunnel may no longer live. Looks at once, and after each new list.
    async fn stop(&self, permit: &Permit, route: &Route) -> Stop {
        let mut generation = self.generation.subscribe();
        loop {
            if self.policy.load().renew(permit, route.hop).is_err() {
                return Stop::Revoked;
            }
            tokio::select! {
                changed = generation.changed() => if changed.is_err() { return Stop::Drain },
                () = self.cut.cancelled() => return Stop::Drain,
            }
        }
    }
}

/// Opens the tunnel towards the client, and answers the bytes of a ClientHello that names the target.
async fn check(
    stream: &mut TcpStream,
    pipelined: Vec<u8>,
    permit: &Permit,
    limits: &hello::Limits,
) -> Result<Vec<u8>, (Option<ServerName>, Reason)> {
    stream.write_all(ESTABLISHED).await.map_err(|_| (None, Reason::ClientClosed))?;
    let hello = hello::read(stream, pipelined, limits).await.map_err(|reason| (None, reason))?;
    match permit.check_hello(&hello.name) {
        Ok(()) => Ok(hello.bytes),
        Err(reason) => Err((Some(hello.name), reason)),
    }
}

/// The last word on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A tunnel was carried until the peers or its own limits ended it.
    Tunnel,
    /// A tunnel was carried until we ended it.
    Ended(Reason),
    /// No tunnel was carried.
    Refused(Reason),
    /// Serving it panicked.
    Panicked,
}

impl Outcome {
    /// The last word.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_, malformed) => Verdict::Refused(malformed.reason),
            Self::Denied(denial) => Verdict::Refused(denial.reason),
            Self::Unreached(_, failure) => Verdict::Refused(failure.reason),
            Self::Closed(.., reason) => Verdict::Refused(*reason),
            Self::Carried(.., transfer) => match transfer.end {
                End::Stopped(stop) => Verdict::Ended(stop.reason()),
                End::Client | End::Upstream | End::Idle | End::Total | End::Error => {
                    Verdict::Tunnel
                }
            },
            Self::Panicked(_) => Verdict::Panicked,
        }
    }

    /// What a refused client is told: a response before the 200, an alert after it.
    pub fn last_words(&self) -> Option<Vec<u8>> {
        let response = |reason, host| refusal::response(reason, host).map(String::into_bytes);
        match self {
            Self::Malformed(_, malformed) => response(malformed.reason, None),
            Self::Denied(denial) => response(denial.reason, Some(denial.target.host.as_str())),
            Self::Unreached(permit, failure) => {
                response(failure.reason, Some(permit.target().host.as_str()))
            }
            Self::Closed(.., reason) => refusal::alert(*reason).map(Vec::from),
            Self::Carried(..) | Self::Panicked(_) => None,
        }
    }
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
