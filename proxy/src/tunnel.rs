//! The life of one connection: open a tunnel (before the 200), carry it (after), and say what came of it.

use arc_swap::ArcSwap;
use ringfence_config::{Hostname, Port};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::{Clients, Listener, Source};
use crate::dialled::{Dialled, OwnEnd};
use crate::head::{self, Malformed};
use crate::hello::{self, Hello, ServerName};
use crate::policy::{Decision, Denial, Permit, Policy, Target};
use crate::reason::Reason;
use crate::reception::Unreceived;
use crate::refusal;
use crate::relay::{self, End, Meters, Stop, Transfer};
use crate::retry::Gate;
use crate::upstream::{self, Failure, Outbound, Route, Upstream};
use crate::wire::Wire;

/// What every connection of the process shares.
pub struct Shared {
    /// Who clients are.
    pub clients: Clients,
    /// The lists in force.
    pub policy: ArcSwap<Policy>,
    /// Tells live tunnels of a new list.
    pub generation: watch::Sender<u64>,
    /// Ends what is still there when draining has taken too long.
    pub cut: CancellationToken,
    /// The limits of the stages.
    pub limits: Limits,
    /// Counts the bytes of all tunnels.
    pub meters: Meters,
    /// Our own ends of all tunnels.
    pub dialled: Dialled,
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
    /// What it may ask for.
    pub rules: hello::Rules,
    /// Relaying.
    pub relay: relay::Limits,
}

/// What became of a connection. Each variant holds what was known by then.
#[derive(Debug)]
pub enum Outcome {
    /// It did not get as far as a request.
    Unreceived(Unreceived),
    /// No acceptable request was read.
    Malformed(Source, Malformed),
    /// The client is nobody we know.
    Unidentified(Source, Target, Reason),
    /// The policy said no.
    Denied(Denial),
    /// The target was permitted, but not reached.
    Unreached(Permit, Failure),
    /// The tunnel was open, but its first bytes were refused.
    Closed(Permit, Route, Option<ServerName>, Reason),
    /// The tunnel was carried to its end.
    Carried(Permit, Route, Transfer),
    /// Serving it panicked.
    Panicked(Source),
}

/// A permitted target, reached.
pub struct Tunnel {
    permit: Permit,
    upstream: Upstream,
    own_end: OwnEnd,
}

impl Tunnel {
    /// What became of it if the client has gone before it could be told.
    pub fn abandoned(self) -> Outcome {
        Outcome::Closed(self.permit, self.upstream.route, None, Reason::ClientClosed)
    }
}

impl Shared {
    /// Serves one connection from its first byte on. A refused client still waits for the outcome's
    /// [last words](Outcome::last_words).
    pub async fn serve(&self, wire: &mut Wire, source: Source, outbound: &Outbound) -> Outcome {
        match self.open(wire, source, outbound).await {
            Ok((tunnel, pipelined)) => self.carry(wire, tunnel, ESTABLISHED, pipelined).await,
            Err(outcome) => outcome,
        }
    }

    /// Serves one redirected connection, whose ClientHello names the host, from its first byte on. Where
    /// the client meant to go tells the port and nothing else: the host is looked up anew.
    pub async fn serve_transparent(
        &self,
        wire: &mut Wire,
        source: Source,
        outbound: &Outbound,
    ) -> Outcome {
        match self.open_transparent(wire, source, outbound).await {
            Ok((tunnel, hello)) => self.relay(wire, tunnel, hello).await,
            Err(outcome) => outcome,
        }
    }

    async fn open(
        &self,
        wire: &mut Wire,
        source: Source,
        outbound: &Outbound,
    ) -> Result<(Tunnel, Vec<u8>), Outcome> {
        let head = tokio::select! {
            head = head::read(wire, &self.limits.head) => head,
            () = self.cut.cancelled() => Err(Malformed { reason: Reason::Draining, authority: None }),
        };
        let request = head.and_then(|head| Ok((head.target()?, head)));
        let (target, head) = match request {
            Ok(request) => request,
            Err(malformed) => return Err(Outcome::Malformed(source, malformed)),
        };
        let tunnel = self.admit(source, target, head.authorization(), outbound).await?;
        Ok((tunnel, head.into_pipelined()))
    }

    /// Finds out who the client is, and reaches the target, if it may.
    pub async fn admit(
        &self,
        source: Source,
        target: Target,
        authorization: Option<&[u8]>,
        outbound: &Outbound,
    ) -> Result<Tunnel, Outcome> {
        let client = match self.clients.identify(source, authorization).await {
            Ok(client) => client,
            Err((source, reason)) => return Err(Outcome::Unidentified(source, target, reason)),
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
            Ok(()) => {
                let own_end = self.dialled.enter(&upstream.stream);
                Ok(Tunnel { permit, upstream, own_end })
            }
            Err(_) => Err(Outcome::Denied(permit.revoke(&policy))),
        }
    }

    async fn open_transparent(
        &self,
        wire: &mut Wire,
        source: Source,
        outbound: &Outbound,
    ) -> Result<(Tunnel, Hello), Outcome> {
        let hello = tokio::select! {
            hello = hello::read(wire, Vec::new(), &self.limits.hello) => hello,
            () = self.cut.cancelled() => Err(Reason::Draining),
        };
        // Whoever redirects our own connections to us, too, would have us dial in circles.
        let hello = match hello {
            Ok(_) if self.dialled.contains(source.address) => Err(Reason::SelfConnect),
            hello => hello,
        };
        let port = source.original.and_then(|address| Port::try_from(address.port()).ok());
        let asked = hello.and_then(|hello| {
            let (host, port) = (hello.offer.name.host()?.clone(), port.ok_or(Reason::BadPort)?);
            self.limits.rules.check(&hello.offer)?;
            Ok((Target { host, port }, hello))
        });
        let (target, hello) = match asked {
            Ok(asked) => asked,
            Err(reason) => {
                return Err(Outcome::Malformed(source, Malformed { reason, authority: None }));
            }
        };
        Ok((self.admit(source, target, None, outbound).await?, hello))
    }

    /// Sends `answer`, that the tunnel is open, and carries it if it begins with the right ClientHello, of
    /// which the client may have sent some ahead.
    pub async fn carry(
        &self,
        wire: &mut Wire,
        tunnel: Tunnel,
        answer: &[u8],
        pipelined: Vec<u8>,
    ) -> Outcome {
        let Tunnel { permit, upstream, .. } = &tunnel;
        let checked = {
            tokio::select! {
                biased;
                stop = self.stop(permit, &upstream.route) => Err((None, stop.reason())),
                checked = check(wire, answer, pipelined, permit, &self.limits) => checked,
            }
        };
        match checked {
            Ok(hello) => self.relay(wire, tunnel, hello).await,
            Err((name, reason)) => {
                Outcome::Closed(tunnel.permit, tunnel.upstream.route, name, reason)
            }
        }
    }

    async fn relay(&self, wire: &mut Wire, tunnel: Tunnel, hello: Hello) -> Outcome {
        let Tunnel { permit, upstream, own_end: _entered } = tunnel;
        let Upstream { stream: mut host, route } = upstream;
        let Limits { hello: hello::Limits { bytes, .. }, rules, relay: limits, .. } = self.limits;
        let gate = Gate::new(&permit, rules, hello.length, bytes);
        let stop = self.stop(&permit, &route);
        let (first, meters) = (hello.bytes, &self.meters);
        let transfer = relay::relay(wire, &mut host, first, gate, &limits, meters, stop).await;
        Outcome::Carried(permit, route, transfer)
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

/// Opens the tunnel towards the client, and answers a ClientHello that names the target.
async fn check(
    wire: &mut Wire,
    answer: &[u8],
    pipelined: Vec<u8>,
    permit: &Permit,
    limits: &Limits,
) -> Result<Hello, (Option<ServerName>, Reason)> {
    wire.write_all(answer).await.map_err(|_| (None, Reason::ClientClosed))?;
    wire.flush().await.map_err(|_| (None, Reason::ClientClosed))?;
    let hello = hello::read(wire, pipelined, &limits.hello).await;
    let hello = hello.map_err(|reason| (None, reason))?;
    match permit.check_hello(&hello.offer.name).and_then(|()| limits.rules.check(&hello.offer)) {
        Ok(()) => Ok(hello),
        Err(reason) => Err((Some(hello.offer.name), reason)),
    }
}

/// The last word on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A tunnel was carried until the peers or its own limits ended it.
    Tunnel,
    /// A tunnel was carried until we ended it; what has gone out by then was in order.
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
            Self::Unreceived(unreceived) => Verdict::Refused(unreceived.reason),
            Self::Malformed(_, malformed) => Verdict::Refused(malformed.reason),
            Self::Denied(denial) => Verdict::Refused(denial.reason),
            Self::Unreached(_, failure) => Verdict::Refused(failure.reason),
            Self::Unidentified(.., reason) | Self::Closed(.., reason) => Verdict::Refused(*reason),
            Self::Carried(.., transfer) => match transfer.end {
                End::Stopped(stop) => Verdict::Ended(stop.reason()),
                End::Refused(reason) => Verdict::Ended(reason),
                End::Client | End::Upstream | End::Idle | End::Total | End::Error => {
                    Verdict::Tunnel
                }
            },
            Self::Panicked(_) => Verdict::Panicked,
        }
    }

    /// Whose connection it was.
    pub fn source(&self) -> &Source {
        match self {
            Self::Unreceived(unreceived) => &unreceived.source,
            Self::Malformed(source, _)
            | Self::Unidentified(source, ..)
            | Self::Panicked(source) => source,
            Self::Denied(denial) => &denial.client.source,
            Self::Unreached(permit, _) | Self::Closed(permit, ..) | Self::Carried(permit, ..) => {
                &permit.client().source
            }
        }
    }

    /// The response to a request for which no tunnel was opened.
    pub fn response(&self) -> Option<refusal::Response> {
        let (reason, host) = match self {
            // Only who speaks plain HTTP can be told.
            Self::Unreceived(Unreceived { source, .. }) if source.listener != Listener::Plain => {
                return None;
            }
            Self::Unreceived(unreceived) => (unreceived.reason, None),
            Self::Malformed(_, malformed) => (malformed.reason, None),
            Self::Unidentified(_, target, reason) => (*reason, Some(&target.host)),
            Self::Denied(denial) => (denial.reason, Some(&denial.target.host)),
            Self::Unreached(permit, failure) => (failure.reason, Some(&permit.target().host)),
            Self::Closed(..) | Self::Carried(..) | Self::Panicked(_) => return None,
        };
        refusal::Response::new(reason, host.map(Hostname::as_str))
    }

    /// What a refused client is told on its connection: a response before the 200, an alert after it, and
    /// an alert where no one asked for a response.
    pub fn last_words(&self) -> Option<Vec<u8>> {
        let alert = |description| refusal::alert(description).to_vec();
        match (self, self.verdict()) {
            (
                Self::Closed(..) | Self::Carried(..),
                Verdict::Refused(reason) | Verdict::Ended(reason),
            ) => reason.alert().map(alert),
            (_, Verdict::Refused(reason)) if self.source().listener == Listener::Transparent => {
                reason.alert_by_kind().map(alert)
            }
            _ => self.response().map(|response| response.http1().into_bytes()),
        }
    }
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
