//! Turns what became of a connection into one line of the access log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use ringfence_config::Role;
use ringfence_config::address::Class;
use ringfence_config::registry::{Label, Region};
use serde::Serialize;

use crate::client::{Client, Identity, Listener, Source};
use crate::head::Malformed;
use crate::hello::ServerName;
use crate::policy::{Hop, Inadmissible, ListId, Permit, Target};
use crate::reason::Reason;
use crate::reception::Unreceived;
use crate::relay::Transfer;
use crate::tunnel::{Outcome, Verdict};
use crate::upstream::{Failure, Route};

/// What is known of a connection beside its outcome.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Counts the connections of this process, from 1.
    pub id: u64,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// From the accept to the end.
    pub lasted: Duration,
}

/// A connection's number, and when it came.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// Counts the connections of this process, from 1.
    pub id: u64,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// The same, to measure from.
    pub started: Instant,
}

impl Beginning {
    /// What is known now.
    pub fn now(self) -> Circumstances {
        self.after(self.started.elapsed())
    }

    /// What is known at the end.
    pub fn after(self, lasted: Duration) -> Circumstances {
        Circumstances { id: self.id, accepted: self.accepted, lasted }
    }
}

/// The line of one connection, with its line feed.
pub fn line(outcome: &Outcome, circumstances: Circumstances) -> Vec<u8> {
    Line::new(outcome, circumstances).render()
}

/// The line that says that a tunnel is about to be opened, with its line feed. The connection has the other
/// line, too, with the same number.
pub fn opening(permit: &Permit, circumstances: Circumstances) -> Vec<u8> {
    let about = Line::about(&permit.client().source, OPENING, circumstances);
    Line {
        who: Some(Who::of(permit.client())),
        request: Some(Request::of(permit)),
        list: Some(List::of(permit.list())),
        ..about
    }
    .render()
}

/// One line of the access log. The fields are public interface; absent ones were not known.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    time: String,
    id: u64,
    client: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    balancer: Option<SocketAddr>,
    listener: Listener,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<SocketAddr>,
    #[serde(flatten)]
    who: Option<Who<'a>>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(flatten)]
    request: Option<Request<'a>>,
    #[serde(flatten)]
    failure: Option<Attempt<'a>>,
    #[serde(flatten)]
    tunnel: Option<Tunnel<'a>>,
    sent: u64,
    received: u64,
    ms: Milliseconds,
    #[serde(flatten)]
    list: Option<List<'a>>,
}

/// Who the client is, and what told.
#[derive(Serialize)]
struct Who<'a> {
    group: &'a str,
    identity: &'static str,
    /// The name in the certificate, or the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// What was asked for.
#[derive(Serialize)]
#[serde(untagged)]
enum Request<'a> {
    /// Something that could not be read.
    Unread { authority: &'a str },
    /// Something that the policy refused.
    Denied { host: &'a str, port: u16 },
    /// Something that an entry admits.
    Permitted {
        host: &'a str,
        port: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        would_deny: Option<Reason>,
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        registry: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<&'a str>,
    },
}

/// How a permitted target was not reached.
#[derive(Serialize)]
struct Attempt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<&'a str>,
}

#[derive(Serialize)]
struct Rejected {
    address: IpAddr,
    class: Class,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded: Option<Embedded>,
}

/// The IPv4 address in an IPv6 one.
#[derive(Serialize)]
struct Embedded {
    address: Ipv4Addr,
    class: Class,
}

/// An open tunnel.
#[derive(Serialize)]
struct Tunnel<'a> {
    /// The target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    /// The parent proxy's, which knows the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
}

#[derive(Serialize)]
struct Milliseconds {
    #[serde(skip_serializing_if = "Option::is_none")]
    resolve: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    total: f64,
}

/// The list that admitted or refused it.
#[derive(Serialize)]
struct List<'a> {
    generation: u64,
    allowlist: &'a str,
}

impl<'a> Line<'a> {
    fn new(outcome: &'a Outcome, circumstances: Circumstances) -> Self {
        let lasted = circumstances.lasted;
        let (outcome_name, reason) = match outcome.verdict() {
            Verdict::Tunnel => ("tunnel", None),
            Verdict::Ended(reason) => ("tunnel", Some(reason)),
            Verdict::Refused(reason) => (reason.kind().name(), Some(reason)),
            Verdict::Panicked => ("panicked", None),
        };
        let about =
            |source: &Source| Self { reason, ..Self::about(source, outcome_name, circumstances) };
        let by = |client: &'a Client| Self { who: Some(Who::of(client)), ..about(&client.source) };
        let permitted = |permit: &'a Permit| Self {
            request: Some(Request::of(permit)),
            list: Some(List::of(permit.list())),
            ..by(permit.client())
        };
        let along = |permit: &'a Permit, route: &'a Route, sni, end| Self {
            tunnel: Some(Tunnel::over(route, sni, end)),
            ms: Milliseconds {
                resolve: Some(milliseconds(route.resolve)),
                connect: Some(milliseconds(route.connect)),
                total: milliseconds(lasted),
            },
            ..permitted(permit)
        };
        match outcome {
            Outcome::Unreceived(Unreceived { source, detail, .. }) => {
                let detail = Some(detail.as_str()).filter(|detail| !detail.is_empty());
                Self {
                    failure: Some(Attempt { detail, canonical: None, rejected: Vec::new() }),
                    ..about(source)
                }
            }
            Outcome::Malformed(source, Malformed { authority, .. }) => {
                let authority = authority.as_deref();
                let request = authority.map(|authority| Request::Unread { authority });
                Self { request, ..about(source) }
            }
            Outcome::Unidentified(source, target, _) => {
                Self { request: Some(Request::denied(target)), ..about(source) }
            }
            Outcome::Denied(denial) => {
                let (request, list) = (Request::denied(&denial.target), List::of(&denial.list));
                Self { request: Some(request), list: Some(list), ..by(&denial.client) }
            }
            Outcome::Unreached(permit, failure) => Self {
                failure: Some(Attempt::of(failure)),
                ms: Milliseconds {
                    resolve: failure.resolve.map(milliseconds),
                    connect: failure.connect.map(milliseconds),
                    total: milliseconds(lasted),
                },
                ..permitted(permit)
            },
            Outcome::Closed(permit, route, name, _) => {
                along(permit, route, name.as_ref().and_then(shown), None)
            }
            Outcome::Carried(permit, route, Transfer { sent, received, end }) => {
                let sni = permit.target().host.as_str();
                let line = along(permit, route, Some(sni), Some(end.name()));
                Self { sent: *sent, received: *received, ..line }
            }
            Outcome::Unadmitted(source, _) | Outcome::Panicked(source) => about(source),
            Outcome::Spent(permit, _) => permitted(permit),
        }
    }

    /// What every line has.
    fn about(
        source: &Source,
        outcome: &'static str,
        Circumstances { id, accepted, lasted }: Circumstances,
    ) -> Self {
        Self {
            schema: SCHEMA,
            time: humantime::format_rfc3339_millis(accepted).to_string(),
            id,
            client: source.address,
            balancer: source.balancer,
            listener: source.listener,
            original: source.original,
            who: None,
            outcome,
            reason: None,
            request: None,
            failure: None,
            tunnel: None,
            sent: 0,
            received: 0,
            ms: Milliseconds { resolve: None, connect: None, total: milliseconds(lasted) },
            list: None,
        }
    }

    fn render(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a line is JSON");
        line.push(b'\n');
        line
    }
}

impl<'a> Who<'a> {
    fn of(client: &'a Client) -> Self {
        let (identity, name) = match &client.group.identity {
            Identity::Address => ("address", None),
            Identity::Certificate(name) => ("certificate", Some(&**name)),
            Identity::User(name) => ("credentials", Some(&**name)),
        };
        Self { group: client.group.name.as_str(), identity, name }
    }
}

impl<'a> Request<'a> {
    fn denied(Target { host, port }: &'a Target) -> Self {
        Self::Denied { host: host.as_str(), port: port.number() }
    }

    fn of(permit: &'a Permit) -> Self {
        let (Target { host, port }, role) =
            (permit.target(), permit.entry().map(|entry| &entry.role));
        Self::Permitted {
            host: host.as_str(),
            port: port.number(),
            would_deny: permit.would_deny(),
            role: role.map(Role::name),
            registry: role.and_then(Role::registry).map(Label::as_str),
            region: role.and_then(Role::region).map(Region::as_str),
        }
    }
}

impl<'a> Attempt<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            detail: failure.detail.as_deref(),
            rejected: failure.rejected.iter().map(Rejected::of).collect(),
            canonical: failure.canonical.as_deref(),
        }
    }
}

impl Rejected {
    fn of(inadmissible: &Inadmissible) -> Self {
        let Inadmissible { address, class, embedded, .. } = *inadmissible;
        let embedded = embedded.map(|(address, class)| Embedded { address, class });
        Self { address, class, embedded }
    }
}

impl<'a> Tunnel<'a> {
    fn over(route: &'a Route, sni: Option<&'a str>, end: Option<&'static str>) -> Self {
        let (address, parent) = match route.hop {
            Hop::Direct(address) => (Some(address.socket()), None),
            Hop::Parent(_) => (None, Some(route.hop.address())),
        };
        Self { address, parent, canonical: route.canonical.as_deref(), sni, end }
    }
}

impl<'a> List<'a> {
    fn of(id: &'a ListId) -> Self {
        Self { generation: id.generation, allowlist: &id.hash }
    }
}

/// The server name as the client spelt it, as far as there is one.
fn shown(name: &ServerName) -> Option<&str> {
    match name {
        ServerName::Host(host) => Some(host.as_str()),
        ServerName::Invalid(text) => Some(text),
        ServerName::Missing | ServerName::Hidden => None,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The outcome that is still to come.
const OPENING: &str = "opening";
/// The version of the log line.
const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic can't be provoked from outside, as far as we know; its line is still a line.
    #[test]
    fn a_panic_is_on_record() {
        let address = "10.0.0.4:50000".parse().expect("an address");
        let source = Source::new(address, Listener::Plain);
        let circumstances = Circumstances {
            id: 7,
            accepted: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_millis(1),
        };
        let line = line(&Outcome::Panicked(source), circumstances);
        assert_eq!(
            String::from_utf8_lossy(&line),
            "{\"schema\":1,\"time\":\"1970-01-01T00:00:00.000Z\",\"id\":7,\"client\":\"10.0.0.4:50000\",\
             \"listener\":\"plain\",\"outcome\":\"panicked\",\"sent\":0,\"received\":0,\"ms\":{\"total\":1.0}}\n"
        );
    }
}
