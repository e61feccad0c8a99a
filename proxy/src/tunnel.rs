//! The life of one connection: open a tunnel (before the 200), carry it (after), and say what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ringfence_config::{Hostname, Port};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::Refused;
use crate::admission::budget::{Account, Budgets};
use crate::client::{Clients, Listener, Source};
use crate::head::{self, Malformed};
use crate::hello::retry::Gate;
use crate::hello::{self, Hello, ServerName};
use crate::log::Log;
use crate::log::record::Beginning;
use crate::policy::{Decision, Denial, Permit, Policy, Target};
use crate::reason::Reason;
use crate::reception::Unreceived;
use crate::reception::dialled::{Dialled, OwnEnd};
use crate::refusal;
use crate::relay::{self, End, Meters, Stop, Tally, Transfer};
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
    /// How much clients may still send.
    pub budgets: Budgets,
    /// Counts the bytes of all tunnels.
    pub meters: Meters,
    /// Our own ends of all tunnels.
    pub dialled: Dialled,
    /// The access log.
    pub log: Log,
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
    /// It was not let in.
    Unadmitted(Source, Refused),
    /// It did not get as far as a request.
    Unreceived(Unreceived),
    /// No acceptable request was read.
    Malformed(Source, Malformed),
    /// The client is nobody we know.
    Unidentified(Source, Target, Reason),
    /// The policy said no.
    Denied(Denial),
    /// The target was permitted, but the client has sent as much as it may, until so long from then.
    Spent(Permit, Duration),
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
    /// What the client may still send, if that is limited.
    budget: Option<Arc<Account>>,
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
    pub async fn serve(
        &self,
        wire: &mut Wire,
        source: Source,
        beginning: Beginning,
        outbound: &Outbound,
    ) -> Outcome {
        match self.open(wire, source, beginning, outbound).await {
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
        beginning: Beginning,
        outbound: &Outbound,
    ) -> Outcome {
        match self.open_transparent(wire, source, beginning, outbound).await {
            Ok((tunnel, hello)) => self.relay(wire, tunnel, hello).await,
            Err(outcome) => outcome,
        }
    }

    async fn open(
        &self,
        wire: &mut Wire,
        source: Source,
        beginning: Beginning,
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
        let tunnel = self.admit(source, target, head.authorization(), beginning, outbound).await?;
        Ok((tunnel, head.into_pipelined()))
    }

    /// Finds out who the client is, and reaches the target, if it may, and if that can be put on record where
    /// it has to be.
    pub async fn admit(
        &self,
        source: Source,
        target: Target,
        authorization: Option<&[u8]>,
        beginning: Beginning,
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
        let budget = self.budgets.account(permit.client());
        let spent = budget.as_ref().and_then(|account| account.spent(Instant::now()));
        if let Some(wait) = spent {
            return Err(Outcome::Spent(permit, wait));
        }
        if let Err(reason) = self.log.opening(&permit, beginning).await {
            return Err(Outcome::Unreached(permit, Failure::from(reason)));
        }
        let upstream = tokio::select! {
            biased;
            // Nothing is dialled any more for a target that a new list has taken away.
            stop = self.stop(|policy| policy.uphold(&permit)) => Err(Failure::from(stop.reason())),
            upstream = outbound.connect(&permit) => upstream,
        };
        let policy = self.policy.load();
        match upstream {
            Err(Failure { reason: Reason::PolicyRevoked, .. }) => {
                Err(Outcome::Denied(permit.revoke(&policy)))
            }
            Err(failure) => Err(Outcome::Unreached(permit, failure)),
            // The host is still listed, but maybe not with this address.
            Ok(upstream) if policy.renew(&permit, upstream.route.hop).is_err() => {
                Err(Outcome::Denied(permit.revoke(&policy)))
            }
            Ok(upstream) => {
                let own_end = self.dialled.enter(&upstream.stream);
                Ok(Tunnel { permit, budget, upstream, own_end })
            }
        }
    }

    async fn open_transparent(
        &self,
        wire: &mut Wire,
        source: Source,
        beginning: Beginning,
        outbound: &Outbound,
    ) -> Result<(Tunnel, Hello), Outcome> {
        let hello = tokio::select! {
            hello = hello::read(wire, Vec::new(), &self.limits.hello) => hello,
            () = self.cut.cancelled() => Err(Reason::Draining),
        };
        // Whoever redirects our own connections to us, too, would have us dial in circles.
        let hello = match hello {
            Ok(_)
                if source
                    .original
                    .is_some_and(|original| self.dialled.contains(source.address, original)) =>
            {
                Err(Reason::SelfConnect)
            }
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
        Ok((self.admit(source, target, None, beginning, outbound).await?, hello))
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
        let checked = tokio::select! {
            biased;
            stop = self.stop(|policy| policy.renew(permit, upstream.route.hop)) => {
                Err((None, stop.reason()))
            }
            checked = check(wire, answer, pipelined, permit, &self.limits) => checked,
        };
        match checked {
            Ok(hello) => self.relay(wire, tunnel, hello).await,
            Err((name, reason)) => {
                Outcome::Closed(tunnel.permit, tunnel.upstream.route, name, reason)
            }
        }
    }

    async fn relay(&self, wire: &mut Wire, tunnel: Tunnel, hello: Hello) -> Outcome {
        let Tunnel { permit, budget, upstream, own_end: _entered } = tunnel;
        let Upstream { stream: mut host, route } = upstream;
        let Limits { hello: hello::Limits { bytes, .. }, rules, relay: limits, .. } = self.limits;
        let gate = Gate::new(&permit, rules, hello.length, bytes);
        let stop = self.stop(|policy| policy.renew(&permit, route.hop));
        let tally = Tally { meters: &self.meters, budget: budget.as_deref() };
        let first = hello.bytes;
        let transfer = relay::relay(wire, &mut host, first, gate, &limits, tally, stop).await;
        Outcome::Carried(permit, route, transfer)
    }

    /// Waits until something may no longer go on, because the list in force doesn't say that it `may`, or
    /// because the proxy stops. Asks at once, and after each new list.
    async fn stop(&self, may: impl Fn(&Policy) -> Result<(), Reason>) -> Stop {
        let mut generation = self.generation.subscribe();
        loop {
            if may(&self.policy.load()).is_err() {
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
            Self::Unadmitted(_, refused) => Verdict::Refused(refused.reason),
            Self::Spent(..) => Verdict::Refused(Reason::UploadBudget),
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
            Self::Unadmitted(source, _)
            | Self::Malformed(source, _)
            | Self::Unidentified(source, ..)
            | Self::Panicked(source) => source,
            Self::Denied(denial) => &denial.client.source,
            Self::Spent(permit, _)
            | Self::Unreached(permit, _)
            | Self::Closed(permit, ..)
            | Self::Carried(permit, ..) => &permit.client().source,
        }
    }

    /// The response to a request for which no tunnel was opened.
    pub fn response(&self) -> Option<refusal::Response> {
        let (reason, host) = match self {
            Self::Unadmitted(_, Refused { reason, retry_after }) => {
                return Some(refusal::Response::new(*reason, None)?.after(*retry_after));
            }
            Self::Spent(permit, wait) => {
                let host = permit.target().host.as_str();
                let response = refusal::Response::new(Reason::UploadBudget, Some(host));
                return Some(response?.after(*wait));
            }
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
            // TLS has not begun, and won't.
            (Self::Unadmitted(..), Verdict::Refused(reason))
                if self.source().listener == Listener::Tls =>
            {
                reason.alert_by_kind().map(alert)
            }
            _ => self.response().map(|response| response.http1().into_bytes()),
        }
    }
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
