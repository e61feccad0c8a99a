//! Shows how a target fares, step by step, by the very functions that decide when a client asks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ringfence_config::{Entry, Port};
use serde::Serialize;

use crate::client::{Client, GroupName};
use crate::head;
use crate::lists::{self, LoadedList};
use crate::policy::{Decision, Policy, Rules, Target};
use crate::reason::Reason;

/// What would become of a CONNECT.
#[derive(Debug, Serialize)]
pub struct Explanation {
    schema: u32,
    /// What was asked, as given.
    asked: String,
    /// The clients for whom this is so.
    group: GroupName,
    /// The canonical target, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    /// Why it would be refused, if the list were enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<Reason>,
    /// The entry that admits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Admission>,
    /// Hosts of the same first label that are on the list, when this one isn't.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listed: Vec<String>,
    allowlist: String,
    entries: usize,
}

/// The last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A client would get its tunnel, if the name resolves to admitted addresses.
    Allow,
    /// A client would be refused.
    Deny,
}

/// What the admitting entry says.
#[derive(Debug, Serialize)]
struct Admission {
    host: String,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pins: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Explanation {
    /// Explains what becomes of `asked`, which is `HOST` or `HOST:PORT`, for a client whose list `list` is.
    pub fn new(asked: &str, list: &LoadedList) -> Self {
        let LoadedList { group, mode, allowlist, .. } = list;
        let policy = Policy::new(1, Rules::default(), [(allowlist, *mode)]);
        let unanswered = Self {
            schema: 1,
            asked: asked.to_owned(),
            group: group.clone(),
            target: None,
            verdict: Verdict::Deny,
            reason: None,
            meaning: None,
            remedy: None,
            would_deny: None,
            entry: None,
            listed: Vec::new(),
            allowlist: allowlist.hash().clone(),
            entries: policy.len(),
        };
        let target = match target(asked) {
            Ok(target) => target,
            Err(reason) => return unanswered.denied(reason),
        };
        let unanswered = Self { target: Some(target.to_string()), ..unanswered };
        match policy.decide(Client::anyone(SOMEONE), target) {
            Decision::Deny(denial) => {
                let label = denial.target.host.first_label();
                let hosts = allowlist.entries().iter().map(|entry| &entry.host);
                let listed = hosts
                    .filter(|host| host.labels().next() == Some(label))
                    .map(ToString::to_string);
                Self { listed: listed.collect(), ..unanswered.denied(denial.reason) }
            }
            Decision::Allow(permit) => Self {
                verdict: Verdict::Allow,
                would_deny: permit.would_deny(),
                entry: permit.entry().map(Admission::of),
                ..unanswered
            },
        }
    }

    /// The last word.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn denied(self, reason: Reason) -> Self {
        Self {
            verdict: Verdict::Deny,
            reason: Some(reason),
            meaning: Some(reason.meaning()),
            remedy: Some(reason.remedy()),
            ..self
        }
    }
}

impl Admission {
    fn of(entry: &Entry) -> Self {
        Self {
            host: entry.host.to_string(),
            role: entry.role.name(),
            registry: entry.role.registry().map(ToString::to_string),
            region: entry.role.region().map(ToString::to_string),
            pins: entry.addresses.iter().map(ToString::to_string).collect(),
            why: entry.why.clone(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "asked      {}", self.asked.escape_debug())?;
        if let Some(target) = &self.target {
            writeln!(f, "target     {target}")?;
        }
        if self.group != GroupName::everyone() {
            writeln!(f, "client     of group {}", self.group)?;
        }
        writeln!(f, "allowlist  {}, {}", self.allowlist, lists::count(self.entries))?;
        if let Some(entry) = &self.entry {
            write!(f, "entry      {} ({}", entry.host, entry.role)?;
            if let Some(registry) = &entry.registry {
                write!(f, ", registry {registry}")?;
            }
            if let Some(region) = &entry.region {
                write!(f, ", region {region}")?;
            }
            writeln!(f, ")")?;
            if let Some(why) = &entry.why {
                writeln!(f, "why        {}", why.escape_debug())?;
            }
            let pins = entry.pins.join(", ");
            let or = if pins.is_empty() { "" } else { ", or " };
            writeln!(f, "addresses  public ones{or}{pins}")?;
            writeln!(f, "then       the TLS server name must be the same host")?;
        }
        for host in &self.listed {
            writeln!(f, "listed     {host}")?;
        }
        if let Some(reason) = self.would_deny {
            writeln!(f, "audit      would be denied: {reason}")?;
        }
        match self.reason {
            None => write!(f, "verdict    allow"),
            Some(reason) => {
                writeln!(f, "verdict    deny: {reason}")?;
                writeln!(f, "meaning    {}", reason.meaning())?;
                write!(f, "to do      {}", reason.remedy())
            }
        }
    }
}

/// Reads `HOST` or `HOST:PORT` as the proxy reads a CONNECT's target; 443 if there is no port.
pub(crate) fn target(asked: &str) -> Result<Target, Reason> {
    match head::parse_authority(asked) {
        Err(Reason::BadPort) if !asked.contains(':') => {
            head::parse_authority(&format!("{asked}:{}", Port::HTTPS))
        }
        parsed => parsed,
    }
}

/// An address that no one has: the policy does not look at it yet.
pub(crate) const SOMEONE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
