//! The attacks, and the ordinary clients between them, as data: what is sent, and what must come of it.
//!
//! Rows are numbered as in our list of known ways round an egress proxy: `H` host and authority, `P` HTTP
//! framing, `T` TLS in the tunnel, `D` addresses and names, `L` life and policy.
//!
//! Nothing here is harmful where it succeeds. Hosts that a proxy must refuse are made from the allowed one,
//! are loopback and platform addresses, or are storage hosts of an account that nobody has. Against a proxy
//! that does not refuse, DNS queries for those names leave, and connections to what they resolve to are
//! opened. Most end there; where something must be carried to be seen, it is a ClientHello, a GET without
//! content or a POST of five bytes, and goes to the allowed host or to hosts below it.

mod authority;
mod framing;
mod surroundings;
mod tunnel;

use std::net::SocketAddr;

use serde::Serialize;

use super::hello::naming;
use crate::policy::Target;

/// What the attacks are made from.
#[derive(Debug, Clone)]
pub struct Subjects {
    /// The proxy.
    pub proxy: SocketAddr,
    /// A target that the proxy allows.
    pub allowed: Target,
    /// Another one.
    pub also: Option<Target>,
}

/// One row of the scorecard.
#[derive(Debug, Clone)]
pub struct Case {
    /// The number of the row in our list.
    pub row: &'static str,
    /// What is tried.
    pub title: &'static str,
    /// Where it stands on the scorecard.
    pub section: Section,
    /// The ways in which it is tried; each must hold.
    pub probes: Vec<Probe>,
}

/// A part of the scorecard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// How the target is written, and which it is.
    Authority,
    /// How the request is framed.
    Framing,
    /// What goes through an open tunnel.
    Tunnel,
    /// Addresses, the proxy itself, and what refusals tell.
    Surroundings,
    /// What must work.
    Controls,
}

impl Section {
    /// All, in the order of the scorecard.
    pub const ALL: [Self; 5] =
        [Self::Authority, Self::Framing, Self::Tunnel, Self::Surroundings, Self::Controls];

    /// The name on the scorecard.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Framing => "framing",
            Self::Tunnel => "tunnel",
            Self::Surroundings => "surroundings",
            Self::Controls => "controls",
        }
    }
}

/// One connection to the proxy.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What tells it from the others of its case; empty where there are no others.
    pub what: String,
    /// What is done, and what must come of it.
    pub deed: Deed,
}

/// What is done, and what must come of it.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Sends this, which must be refused.
    Request(Vec<u8>),
    /// Sends a request for the allowed host that two readers could read differently, so it must be refused;
    /// a proxy that serves it has not let anything out yet.
    Odd(Vec<u8>),
    /// Sends this, which must be refused with an answer that does not hold the secret.
    Secret {
        /// What is sent.
        request: Vec<u8>,
        /// What must not come back.
        secret: String,
    },
    /// Sends this, which must be refused with an answer that can be read, though there is more to read.
    Answer(Vec<u8>),
    /// Sends what must not be carried.
    Smuggle(Tunnel),
    /// The same, and must be told so in TLS.
    Alert(Tunnel),
    /// Sends what must be carried.
    Carry(Tunnel),
    /// Sends this, then a byte now and then; the connection must not be held for it.
    Drip(Vec<u8>),
    /// Opens a tunnel and sends nothing; it must not stay open.
    Silence(Vec<u8>),
}

/// A tunnel to the allowed host, and what is sent through it.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// The request that opens it.
    pub request: Vec<u8>,
    /// Sent with the request, ahead of the answer.
    pub ahead: Vec<u8>,
    /// Sent after the answer, each in a segment of its own.
    pub pieces: Vec<Vec<u8>>,
}

/// The cases, and those that the subjects don't suffice for.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// To be run.
    pub cases: Vec<Case>,
    /// Row, title and the option that would let it be run.
    pub left_out: Vec<(&'static str, &'static str, &'static str)>,
}

impl Corpus {
    /// Makes the attacks.
    pub fn new(subjects: &Subjects, patience: Patience) -> Self {
        let words = Words::new(subjects);
        let mut cases = authority::cases(&words);
        cases.extend(framing::cases(&words));
        cases.extend(tunnel::attacks(&words));
        cases.extend(surroundings::cases(&words, subjects.proxy));
        cases.extend(tunnel::controls(&words));
        let mut left_out = Vec::new();
        let other = ("T02", "the name of another listed host");
        match &subjects.also {
            Some(also) => {
                let hello = naming(also.host.as_str());
                cases.push(Case::new(other, Section::Tunnel, [("", words.smuggle([hello]))]));
            }
            None => left_out.push((other.0, other.1, "--also")),
        }
        let slow = [
            (("P10", "a head that comes a byte now and then"), Section::Framing, {
                Deed::Drip(format!("CONNECT {} HTTP/1.1\r\nX: ", words.allowed).into_bytes())
            }),
            (("T05", "a tunnel without a word"), Section::Tunnel, {
                Deed::Silence(words.request.clone())
            }),
        ];
        for (heading, section, deed) in slow {
            match patience {
                Patience::Long => cases.push(Case::new(heading, section, [("", deed)])),
                Patience::Short => left_out.push((heading.0, heading.1, "--slow")),
            }
        }
        cases.sort_by_key(|case| (case.section as usize, case.row));
        Self { cases, left_out }
    }
}

/// Whether there is time for the slow cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// There is.
    Long,
    /// There isn't.
    Short,
}

impl Case {
    fn new<W: Into<String>>(
        (row, title): (&'static str, &'static str),
        section: Section,
        probes: impl IntoIterator<Item = (W, Deed)>,
    ) -> Self {
        let probe = |(what, deed): (W, Deed)| Probe { what: what.into(), deed };
        Self { row, title, section, probes: probes.into_iter().map(probe).collect() }
    }
}

/// The words that requests are made of.
struct Words {
    host: String,
    port: u16,
    /// `host:port`.
    allowed: String,
    /// The request that opens a tunnel.
    request: Vec<u8>,
    /// A host below the allowed one, which nobody but its owner can have, and nobody has listed.
    denied: String,
    /// The labels of the host: the first, and the rest.
    first: String,
    rest: String,
}

impl Words {
    fn new(subjects: &Subjects) -> Self {
        let Target { host, port } = &subjects.allowed;
        let (first, rest) = host.as_str().split_once('.').unwrap_or((host.as_str(), ""));
        let allowed = subjects.allowed.to_string();
        Self {
            request: connect(&allowed),
            denied: format!("not-listed.{host}"),
            host: host.to_string(),
            port: port.number(),
            first: first.to_owned(),
            rest: rest.to_owned(),
            allowed,
        }
    }

    /// The authority of another host on the allowed port, where a leak would get somewhere.
    fn with_port(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }

    /// Asks for these hosts, none of them the allowed one, on the allowed port.
    fn others<S: AsRef<str>>(&self, hosts: impl IntoIterator<Item = S>) -> Vec<(String, Deed)> {
        let authority = |host: S| self.with_port(host.as_ref());
        hosts.into_iter().map(|host| other(authority(host))).collect()
    }

    /// Asks for these spellings of the allowed host, on the allowed port.
    fn spellings<S: AsRef<str>>(&self, hosts: impl IntoIterator<Item = S>) -> Vec<(String, Deed)> {
        let authority = |host: S| self.with_port(host.as_ref());
        hosts.into_iter().map(|host| odd(authority(host))).collect()
    }

    /// Sends these through a tunnel to the allowed host.
    fn tunnel(&self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Tunnel {
        let pieces = pieces.into_iter().collect();
        Tunnel { request: self.request.clone(), ahead: Vec::new(), pieces }
    }

    fn smuggle(&self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Deed {
        Deed::Smuggle(self.tunnel(pieces))
    }
}

/// Asks for a target that is not the allowed one.
fn other(authority: String) -> (String, Deed) {
    let request = connect(&authority);
    (authority, Deed::Request(request))
}

/// Asks for the allowed target, oddly.
fn odd(authority: String) -> (String, Deed) {
    let request = connect(&authority);
    (authority, Deed::Odd(request))
}

/// An ordinary CONNECT.
fn connect(authority: &str) -> Vec<u8> {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").into_bytes()
}

/// An account that nobody has: too long for Azure, and odd enough for the rest.
const ACCOUNT: &str = "ringfenceselftestnotanaccount";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::head::parse_authority;

    fn corpus(allowed: &str, patience: Patience) -> Corpus {
        let target = |text: &str| parse_authority(text).expect("a target");
        let also = match patience {
            Patience::Long => Some(target("contoso.eastus.data.azurecr.io:443")),
            Patience::Short => None,
        };
        let proxy = "127.0.0.1:3128".parse().expect("an address");
        Corpus::new(&Subjects { proxy, allowed: target(allowed), also }, patience)
    }

    #[test]
    fn each_case_and_each_of_its_probes_is_there_once() {
        for allowed in ["contoso.azurecr.io:443", "ghcr.io:8443"] {
            let Corpus { cases, left_out } = corpus(allowed, Patience::Long);
            assert!(left_out.is_empty());
            let titles: BTreeSet<_> = cases.iter().map(|case| (case.row, case.title)).collect();
            assert_eq!(titles.len(), cases.len());
            for case in &cases {
                let whats: BTreeSet<_> = case.probes.iter().map(|probe| &probe.what).collect();
                assert!(!whats.is_empty() && whats.len() == case.probes.len(), "{}", case.title);
            }
            for section in Section::ALL {
                assert!(cases.iter().any(|case| case.section == section), "{section:?}");
            }
        }
    }

    #[test]
    fn what_is_left_out_is_named() {
        let left_out: Vec<_> = corpus("contoso.azurecr.io:443", Patience::Short)
            .left_out
            .iter()
            .map(|out| out.0)
            .collect();
        assert_eq!(left_out, ["T02", "P10", "T05"]);
    }
}
