//! Turns what became of a connection into one line of the access log.

use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use prometheus::IntCounter;
use ringfence_config::address::Class;
use ringfence_config::allowlist::{Label, Region};
use serde::Serialize;

use crate::client::Client;
use crate::hello::ServerName;
use crate::policy::{Permit, Target};
use crate::reason::Reason;
use crate::tunnel::Outcome;
use crate::upstream::Route;

/// What is known of a connection beside its outcome.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Counts the connections of this process, from 1.
    pub id: u64,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// From the accept to the close.
    pub lasted: Duration,
    /// The list in force at the accept.
    pub generation: u64,
    /// That list's content hash.
    pub allowlist: &'a str,
}

/// One line of the access log. The fields are public interface; absent ones were not known.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    time: String,
    id: u64,
    client: SocketAddr,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
    sent: u64,
    received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
    ms: Milliseconds,
    generation: u64,
    allowlist: &'a str,
}

#[derive(Serialize)]
struct Rejected {
    address: IpAddr,
    class: Class,
}

#[derive(Default, Serialize)]
struct Milliseconds {
    #[serde(skip_serializing_if = "Option::is_none")]
    resolve: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    total: f64,
}

impl<'a> Line<'a> {
    fn new(outcome: &'a Outcome, circumstances: Circumstances<'a>) -> Self {
        match outcome {
            Outcome::Malformed(client, malformed) => Self {
                authority: malformed.authority.as_deref(),
                ..Self::about(outcome, client, circumstances)
            },
            Outcome::Denied(denial) => {
                Self::about(outcome, &denial.client, circumstances).asking(&denial.target)
            }
            Outcome::Unreached(permit, failure) => Self {
                detail: failure.detail.as_deref(),
                rejected: failure
                    .rejected
                    .iter()
                    .map(|rejected| Rejected { address: rejected.address, class: rejected.class })
                    .collect(),
                ..Self::permitted(outcome, permit, circumstances)
            },
            Outcome::Closed(permit, route, name, _) => Self {
                sni: name.as_ref().and_then(shown),
                ..Self::permitted(outcome, permit, circumstances).along(route)
            },
            Outcome::Carried(permit, route, transfer) => Self {
                sni: Some(permit.target().host.as_str()),
                sent: transfer.sent,
                received: transfer.received,
                end: Some(transfer.end.name()),
                ..Self::permitted(outcome, permit, circumstances).along(route)
            },
        }
    }

    fn about(outcome: &Outcome, client: &Client, circumstances: Circumstances<'a>) -> Self {
        let reason = outcome.reason();
        Self {
            schema: SCHEMA,
            time: humantime::format_rfc3339_millis(circumstances.accepted).to_string(),
            id: circumstances.id,
            client: client.peer,
            outcome: match (outcome, reason) {
                (Outcome::Carried(..), _) | (_, None) => "tunnel",
                (_, Some(reason)) => reason.kind().name(),
            },
            reason,
            detail: None,
            authority: None,
            host: None,
            port: None,
            role: None,
            registry: None,
            region: None,
            sni: None,
            address: None,
            rejected: Vec::new(),
            sent: 0,
            received: 0,
            end: None,
            ms: Milliseconds {
                total: milliseconds(circumstances.lasted),
                ..Milliseconds::default()
            },
            generation: circumstances.generation,
            allowlist: circumstances.allowlist,
        }
    }

    fn asking(self, target: &'a Target) -> Self {
        Self { host: Some(target.host.as_str()), port: Some(target.port.number()), ..self }
    }

    fn permitted(outcome: &Outcome, permit: &'a Permit, circumstances: Circumstances<'a>) -> Self {
        let role = &permit.entry().role;
        Self {
            role: Some(role.name()),
            registry: role.registry().map(Label::as_str),
            region: role.region().map(Region::as_str),
            ..Self::about(outcome, permit.client(), circumstances).asking(permit.target())
        }
    }

    fn along(self, route: &Route) -> Self {
        let resolve = Some(milliseconds(route.resolve));
        let connect = Some(milliseconds(route.connect));
        Self {
            address: Some(route.address),
            ms: Milliseconds { resolve, connect, ..self.ms },
            ..self
        }
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

/// The version of the log line.
const SCHEMA: u32 = 1;

/// Hands log lines to a thread of its own, so that a slow reader of the log slows no tunnel.
pub struct Log {
    lines: SyncSender<Vec<u8>>,
    lost: IntCounter,
}

/// Tells when everything is written. That is some time after the last [`Log`] was dropped, or never,
/// where nobody reads.
pub struct Written(Receiver<Infallible>);

impl Log {
    /// Starts the writer.
    pub fn start(out: impl Write + Send + 'static, lost: IntCounter) -> (Self, Written) {
        let (lines, queue) = sync_channel(QUEUE);
        let (done, written) = sync_channel(0);
        let counter = lost.clone();
        std::thread::spawn(move || {
            let _until_written: SyncSender<Infallible> = done;
            write_lines(out, &queue, &counter);
        });
        (Self { lines, lost }, Written(written))
    }

    /// Queues the line of one connection; counts it as lost where the queue is full.
    pub fn write(&self, outcome: &Outcome, circumstances: Circumstances<'_>) {
        let line = Line::new(outcome, circumstances);
        let mut line = serde_json::to_vec(&line).expect("a line is JSON");
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.lost.inc();
        }
    }
}

impl Written {
    /// Waits, but not for ever.
    pub fn wait(&self, limit: Duration) {
        let _ = self.0.recv_timeout(limit);
    }
}

/// Writes what waits in one go, then waits for more.
fn write_lines(mut out: impl Write, queue: &Receiver<Vec<u8>>, lost: &IntCounter) {
    while let Ok(mut batch) = queue.recv() {
        let mut count = 1;
        while batch.len() < BATCH {
            let Ok(line) = queue.try_recv() else { break };
            batch.extend(line);
            count += 1;
        }
        if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
            lost.inc_by(count);
        }
    }
}

/// Lines that may wait for the writer; some seconds of a busy gateway, a few MiB.
const QUEUE: usize = 16 * 1024;
const BATCH: usize = 64 * 1024;
