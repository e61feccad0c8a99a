//! Decides who a client is, and so which list applies to it.
//!
//! Clients come in groups, each with its own lists. A group says what fits it: source addresses, the names
//! of client certificates, the users of proxy credentials. What it says nothing about is no condition; what
//! it says must hold. The first group that fits is the client's. Who fits none is nobody, unless there is a
//! list for everyone, and that one is never for a client who said who it is.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use crate::reason::Reason;

/// Where a connection comes from: what is known before it has asked for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The client.
    pub address: SocketAddr,
    /// The load balancer that told us of the client, by the PROXY protocol.
    pub balancer: Option<SocketAddr>,
    /// Which of our listeners it came to, and what it speaks there.
    pub listener: Listener,
    /// Where it meant to go, if it was redirected to us.
    pub original: Option<SocketAddr>,
}

/// How a client talks to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// HTTP/1.1 CONNECT.
    Plain,
    /// HTTP/1.1 CONNECT within TLS.
    Tls,
    /// HTTP/2 CONNECT within TLS.
    H2,
    /// TLS that was redirected to us.
    Transparent,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where it is.
    pub source: Source,
    /// Whose lists apply.
    pub group: Membership,
}

/// A client's group, and by what it belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which one, as [`Policy`](crate::policy::Policy) counts them.
    pub index: usize,
    /// Its name.
    pub name: GroupName,
    /// What told.
    pub identity: Identity,
}

/// By what a client was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Its address, or nothing where a list is for everyone.
    Address,
    /// A name in its certificate.
    Certificate(Arc<str>),
    /// Its proxy credentials.
    User(Arc<str>),
}

/// A group's name: 1 to 63 of `a` to `z`, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct GroupName(Arc<str>);

/// A text is no [`GroupName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no group name; use 1 to 63 of a to z, digits, `-` and `_`, other than `{DEFAULT}`"
)]
pub struct NameError(String);

/// What fits a group. An empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Where its clients are.
    pub addresses: Vec<IpNet>,
}

/// Every group, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Clients {
    groups: Vec<Group>,
}

impl Clients {
    /// Knows `groups`. One without any condition is for everyone, and stands last.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups }
    }

    /// Answers the group of a client at `source`.
    pub fn identify(&self, source: Source) -> Result<Client, (Source, Reason)> {
        let fits = |group: &Group| {
            group.addresses.is_empty()
                || group.addresses.iter().any(|net| net.contains(&source.address.ip()))
        };
        match self.groups.iter().enumerate().find(|(_, group)| fits(group)) {
            Some((index, group)) => {
                let name = group.name.clone();
                let identity = Identity::Address;
                Ok(Client { source, group: Membership { index, name, identity } })
            }
            None => Err((source, Reason::IdentityMissing)),
        }
    }
}

impl Group {
    /// The one that everyone fits.
    pub fn everyone() -> Self {
        Self { name: GroupName::everyone(), addresses: Vec::new() }
    }
}

impl Source {
    /// A client at `address` that came to `listener` by itself.
    pub fn new(address: SocketAddr, listener: Listener) -> Self {
        Self { address, balancer: None, listener, original: None }
    }
}

impl Client {
    /// One of everyone, at `address`; for questions that no connection asks.
    pub fn anyone(address: SocketAddr) -> Self {
        let name = GroupName::everyone();
        let group = Membership { index: 0, name, identity: Identity::Address };
        Self { source: Source::new(address, Listener::Plain), group }
    }
}

impl GroupName {
    /// The name of those who need no group.
    pub fn everyone() -> Self {
        Self(DEFAULT.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if (1..=63).contains(&text.len()) && text.bytes().all(fits) && text != DEFAULT {
            Ok(Self(text.into()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for GroupName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for GroupName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Listener {
    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::H2 => "h2",
            Self::Transparent => "transparent",
        }
    }
}

const DEFAULT: &str = "default";
