//! Turns what became of a connection into one line of the access log.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
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

/// Writes log lines from a thread of its own, so that a slow reader of the log slows no tunnel.
pub struct Log {
    lines: SyncSender<Vec<u8>>,
    lost: IntCounter,
}

impl Log {
    /// Starts the writer. It ends, with everything written, when the last [`Log`] handle is dropped.
    pub fn start(out: impl Write + Send + 'static, lost: IntCounter) -> (Self, JoinHandle<()>) {
        let (lines, queue) = sync_channel(QUEUE);
        let counter = lost.clone();
        let writer = std::thread::spawn(move || write_lines(out, &queue, &counter));
        (Self { lines, lost }, writer)
    }

    /// Queues the line of one connection; counts it as lost where the queue is full.
    pub fn write(&self, outcome: &Outcome, circumstances: Circumstances<'_>) {
        let mut line =
            serde_json::to_vec(&Line::new(outcome, circumstances)).expect("a line is JSON");
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.lost.inc();
        }
    }
}

fn write_lines(out: impl Write, queue: &Receiver<Vec<u8>>, lost: &IntCounter) {
    let mut out = io::BufWriter::new(out);
    let mut next = queue.recv().ok();
    while let Some(line) = next {
        if out.write_all(&line).is_err() {
            lost.inc();
        }
        next = match queue.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Empty) => {
                // Nothing waits: what was written becomes visible now.
                let _ = out.flush();
                queue.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
    }
    let _ = out.flush();
}

/// Lines that may wait for the writer; some seconds of a busy gateway, a few MiB.
const QUEUE: usize = 16 * 1024;
