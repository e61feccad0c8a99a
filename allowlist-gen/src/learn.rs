//! Decides what of an access log may become entries of a list, and what must not, however often it was asked for.
//!
//! Whoever asks for something writes the log, so nothing is proposed that the guard would refuse, nothing that could
//! be anybody's, and no wildcard at all. What is proposed says by whom it was asked for and how often, and that nobody
//! has said yet what for: that is for a person to say.

mod everyones;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use ringfence_config::allowlist::{Conflict, Ports};
use ringfence_config::endpoint::{Endpoint, LoginServer};
use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, Port, PresetName, Role, guard};

use crate::judge::{Denial, Judge};
use crate::log::{Counts, Evidence, Line, Tally, Verdict};
use crate::presets;

pub use self::everyones::Service;
pub use self::report::{Commented, Listing, Text};

/// Takes in a log, line by line, in bounded memory.
#[derive(Debug, Clone)]
pub struct Learner {
    judge: Judge,
    own: BTreeSet<LoginServer>,
    proposed: Tally<(Hostname, Port)>,
    refused: Tally<(Hostname, Port)>,
    unread: Tally<(Box<str>, Box<str>)>,
    unreached: Tally<(Hostname, Port, Box<str>)>,
    admitted: u64,
}

/// What was learned.
#[derive(Debug, Clone)]
pub struct Learned {
    /// What the lines were.
    pub counts: Counts,
    /// Connections that the list admits already.
    pub admitted: u64,
    /// Connections that were forgotten with the hosts they were for, as there were too many different ones.
    pub forgotten: u64,
    /// Entries for a list, guarded.
    pub entries: Allowlist,
    /// What was asked for, and can be an entry.
    pub proposed: Vec<Proposal>,
    /// What was asked for, and can't.
    pub refused: Vec<Refused>,
}

/// A host and port for which there is an entry now.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The host.
    pub host: Hostname,
    /// The port that was asked for.
    pub port: Port,
    /// Who asked.
    pub evidence: Evidence,
    /// Presets whose pages have the host.
    pub presets: Vec<&'static PresetName>,
}

/// Something that was asked for and can't be learned.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What was asked for, as far as it can be shown.
    pub what: String,
    /// Why there is no entry for it.
    pub cause: Cause,
    /// Who asked.
    pub evidence: Evidence,
    /// Presets whose pages have the host.
    pub presets: Vec<&'static PresetName>,
}

/// Why there is no entry for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It may never be on a list.
    Guard(guard::Refusal),
    /// A registry that nobody called one's own.
    Stranger(LoginServer),
    /// A registry answers on no such port.
    RegistryPort,
    /// One of many owners' names below this domain.
    Shared(String),
    /// A service that serves everyone from the same hosts.
    Everyones(Service),
    /// The list has the host, on other ports.
    OtherPorts,
    /// Nobody got there, for this reason.
    Unreached(Box<str>),
    /// No host could be read from it, for this reason.
    Unread(Box<str>),
    /// It was asked for less often than it had to be.
    Seldom,
}

impl Cause {
    /// A stable name for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Guard(guard::Refusal::Storage { .. } | guard::Refusal::StorageHost(_)) => {
                "storage"
            }
            Self::Guard(_) => "never-on-a-list",
            Self::Stranger(_) => "strangers-registry",
            Self::RegistryPort => "registry-port",
            Self::Shared(_) => "shared-domain",
            Self::Everyones(_) => "everyones-service",
            Self::OtherPorts => "other-ports",
            Self::Unreached(_) => "never-reached",
            Self::Unread(reason) if **reason == *"ip_literal" => "address",
            Self::Unread(_) => "no-host",
            Self::Seldom => "seldom",
        }
    }

    /// Why there is no entry.
    pub fn why(&self) -> String {
        match self {
            Self::Guard(refusal) => refusal.to_string(),
            Self::Stranger(server) => {
                format!("`{server}` is a registry, and nobody has said that it is yours")
            }
            Self::RegistryPort => "registries answer on port 443 only".to_owned(),
            Self::Shared(domain) => format!("anyone can have a name below `{domain}`"),
            Self::Everyones(service) => service.to_string(),
            Self::OtherPorts => "the list has this host on other ports".to_owned(),
            Self::Unreached(reason) => format!("it was never reached: {reason}"),
            Self::Unread(reason) if **reason == *"ip_literal" => {
                "an address has no name that a list could hold, or a certificate prove".to_owned()
            }
            Self::Unread(reason) => format!("no host could be read from it: {reason}"),
            Self::Seldom => "it was asked for less often than `--at-least` wants".to_owned(),
        }
    }

    /// What to change instead.
    pub fn instead(&self) -> String {
        match self {
            Self::Guard(refusal) => refusal.remedy().to_owned(),
            Self::Stranger(server) => format!(
                "if it is yours, generate its hosts from its metadata, or learn with `--registry {server}`; if it isn't, \
                 pull through an artifact cache of your own registry"
            ),
            Self::RegistryPort => "find out what asks for it".to_owned(),
            Self::Shared(_) => "find out whose it is and what asks for it; if it has to be, list it by hand, with a \
                                `why`, or with `generate --extra-host HOST --why TEXT`"
                .to_owned(),
            Self::Everyones(_) => "find out what asks for it: images can come through an artifact cache of your own \
                                   registry, names from your own resolver; if it has to be, list it by hand, with a `why`"
                .to_owned(),
            Self::OtherPorts => {
                "find out what asks for it, and change the entry's `ports` by hand".to_owned()
            }
            Self::Unreached(_) => {
                "look whether the name is right; a host that exists is proposed once it was reached".to_owned()
            }
            Self::Unread(reason) if **reason == *"ip_literal" => {
                "have the client ask by name; a private address of a registry's belongs in its entry's `addresses`"
                    .to_owned()
            }
            Self::Unread(_) => "find out which client asks so; docs/reasons.md says what it should ask".to_owned(),
            Self::Seldom => "learn from a longer log, or with a lower number".to_owned(),
        }
    }
}

impl Learner {
    /// One that knows `list`, and takes these registries for one's own beside those that are on it.
    pub fn new(list: Option<&Allowlist>, own: impl IntoIterator<Item = LoginServer>) -> Self {
        let mut own: BTreeSet<LoginServer> = own.into_iter().collect();
        for entry in list.iter().flat_map(|list| list.entries()) {
            let of_registry = entry.role.registry().is_some();
            let endpoint = entry.host.as_str().replace('*', "any").parse::<Endpoint>();
            own.extend(
                endpoint
                    .ok()
                    .filter(|_| of_registry)
                    .map(|endpoint| endpoint.login_server().clone()),
            );
        }
        let nothing = Allowlist::new([]).expect("nothing contradicts nothing");
        Self {
            judge: Judge::new(list.unwrap_or(&nothing)),
            own,
            proposed: Tally::new(MOST),
            refused: Tally::new(MOST),
            unread: Tally::new(MOST),
            unreached: Tally::new(MOST),
            admitted: 0,
        }
    }

    /// Takes in what a line says.
    pub fn take(&mut self, line: Line) {
        let asked = match line {
            Line::Beside => return,
            Line::Unread(unread) => {
                return self.unread.add((unread.reason, unread.authority), &unread.occasion);
            }
            Line::Asked(asked) => asked,
        };
        if self.judge.decide(&asked.host, asked.port).is_ok() {
            self.admitted += 1;
            return;
        }
        let (key, occasion) = ((asked.host, asked.port), asked.occasion);
        // What was looked at once isn't looked at again: logs say the same for long.
        let is_known = self.proposed.contains(&key);
        if self.refused.contains(&key) || (!is_known && self.cause(&key.0, key.1).is_some()) {
            return self.refused.add(key, &occasion);
        }
        match (asked.verdict, asked.failure) {
            (Verdict::Admitted(_) | Verdict::WouldDeny(_), Some(reason)) => {
                self.unreached.add((key.0, key.1, reason), &occasion);
            }
            _ => self.proposed.add(key, &occasion),
        }
    }

    /// Why there can't be an entry for it, if so.
    fn cause(&self, host: &Hostname, port: Port) -> Option<Cause> {
        if let Err(refusal) = guard::check(&HostPattern::Exact(host.clone())) {
            return Some(Cause::Guard(refusal));
        }
        if let Ok(endpoint) = host.as_str().parse::<Endpoint>() {
            let server = endpoint.login_server();
            return if !self.own.contains(server) {
                Some(Cause::Stranger(server.clone()))
            } else if port != Port::HTTPS {
                Some(Cause::RegistryPort)
            } else {
                None
            };
        }
        if self.judge.decide(host, port).err() == Some(Denial::PortNotAllowed) {
            return Some(Cause::OtherPorts);
        }
        let everyones = || Service::of(host).map(Cause::Everyones);
        guard::shared_domain(host).map(|domain| Cause::Shared(domain.to_owned())).or_else(everyones)
    }

    /// What all lines together say; what was asked for less often than `at_least` is no entry.
    pub fn learned(self, counts: Counts, at_least: u64) -> Result<Learned, Conflict> {
        let mut refused = Vec::new();
        let mut entries: BTreeMap<Hostname, (BTreeSet<Port>, Evidence)> = BTreeMap::new();
        let mut proposed = Vec::new();
        let presets = |host: &Hostname| presets::of_host(host).collect::<Vec<_>>();
        for ((host, port), evidence) in self.proposed.iter() {
            if evidence.connections() < at_least {
                refused.push(Refused::host(host, *port, Cause::Seldom, evidence));
                continue;
            }
            let (ports, all) =
                entries.entry(host.clone()).or_insert_with(|| (BTreeSet::new(), evidence.clone()));
            if !ports.is_empty() {
                all.join(evidence);
            }
            ports.insert(*port);
            let (host, evidence) = (host.clone(), evidence.clone());
            proposed.push(Proposal { presets: presets(&host), host, port: *port, evidence });
        }
        for ((host, port), evidence) in self.refused.iter() {
            let cause =
                self.cause(host, *port).expect("it was refused for a cause, which hasn't changed");
            refused.push(Refused::host(host, *port, cause, evidence));
        }
        for ((host, port, reason), evidence) in self.unreached.iter() {
            // One that was reached another time is proposed.
            if !entries.contains_key(host) {
                refused.push(Refused::host(
                    host,
                    *port,
                    Cause::Unreached(reason.clone()),
                    evidence,
                ));
            }
        }
        for ((reason, authority), evidence) in self.unread.iter() {
            let (what, cause) = (authority.to_string(), Cause::Unread(reason.clone()));
            refused.push(Refused { what, cause, evidence: evidence.clone(), presets: Vec::new() });
        }
        refused.sort_by(|a, b| (a.cause.code(), &a.what).cmp(&(b.cause.code(), &b.what)));
        let entries =
            entries.into_iter().map(|(host, (ports, evidence))| entry(host, ports, &evidence));
        Ok(Learned {
            counts,
            admitted: self.admitted,
            forgotten: [
                self.proposed.forgotten(),
                self.refused.forgotten(),
                self.unread.forgotten(),
                self.unreached.forgotten(),
            ]
            .iter()
            .sum(),
            entries: Allowlist::new(entries)?,
            proposed,
            refused,
        })
    }
}

impl Refused {
    fn host(host: &Hostname, port: Port, cause: Cause, evidence: &Evidence) -> Self {
        Self {
            what: format!("{host}:{port}"),
            cause,
            evidence: evidence.clone(),
            presets: presets::of_host(host).collect(),
        }
    }
}

/// The entry for a host that the guard admits. A registry's host is on the list for what it is; any other says that
/// nobody has said what it is for.
fn entry(host: Hostname, ports: BTreeSet<Port>, evidence: &Evidence) -> Entry {
    let role = presets::role_of(&HostPattern::Exact(host.clone()));
    let why = (role == Role::Other)
        .then(|| format!("learned from a log: {evidence}; nobody has said yet what for"));
    let ports = Ports::new(ports.into_iter().collect()).expect("a port was asked for");
    Entry { ports, why, ..Entry::new(host, role) }
}

/// Different things of each sort that are kept: tens of megabytes at most.
const MOST: usize = 20_000;
