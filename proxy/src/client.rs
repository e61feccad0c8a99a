//! Decides who a client is, and so which list applies to it.
//!
//! Clients come in groups, each with its own lists. A group says what fits it: source addresses, the names
//! of client certificates, the users of proxy credentials. What it says nothing about is no condition; what
//! it says must hold. The first group that fits is the client's. Who fits none is nobody, unless there is a
//! list for everyone, and that one is never for a client who said who it is.

pub mod credentials;
pub mod identities;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use crate::client::credentials::{Users, Verifier};
use crate::config::Config;
use crate::notice::notice;
use crate::reason::Reason;
use crate::reception::tls::{Proof, SanName};

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
    /// What its certificate proves, if it showed one.
    pub proof: Option<Arc<Proof>>,
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

/// What fits a group. An empty list is no condition; of the others, each has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Where its clients are.
    pub addresses: Vec<IpNet>,
    /// What its clients' certificates prove.
    pub certificates: Vec<SanName>,
    /// Who its clients are, by proxy credentials.
    pub users: Vec<String>,
}

/// Every group, in the order in which they are tried.
#[derive(Debug)]
pub struct Clients {
    groups: Vec<Group>,
    verifier: Option<Verifier>,
}

impl Clients {
    /// Knows `groups`, and the users that `verifier` knows.
    pub fn new(groups: Vec<Group>, verifier: Option<Verifier>) -> Self {
        Self { groups, verifier }
    }

    /// Reads what `config` says of clients.
    pub fn load(config: &Config) -> Result<Self, credentials::Error> {
        let users = config.users.as_deref().map(Users::load).transpose()?;
        for group in &config.groups {
            let stranger =
                |user: &&String| users.as_ref().is_some_and(|users| !users.contains(user));
            for user in group.users.iter().filter(stranger) {
                notice(format_args!(
                    "nobody can be the user `{user}` of group `{}`: the users file has no line for it",
                    group.name
                ));
            }
        }
        let verifier = users.map(|users| Verifier::new(users, credentials::Limits::default()));
        Ok(Self::new(config.groups.clone(), verifier))
    }

    /// The groups' names, in the order in which they are counted.
    pub fn names(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.iter().map(|group| &group.name)
    }

    /// Whom passwords are verified for.
    pub fn verifier(&self) -> Option<&Verifier> {
        self.verifier.as_ref()
    }

    /// Answers the group of a client at `source` that sent `authorization` as `Proxy-Authorization`.
    ///
    /// Credentials are verified when the first group asks for them that fits otherwise, or before a client
    /// counts as everyone; where no group asks for any, they are nobody's business.
    pub async fn identify(
        &self,
        source: Source,
        authorization: Option<&[u8]>,
    ) -> Result<Client, (Source, Reason)> {
        let mut user = None;
        let mut could_log_in = false;
        for (index, group) in self.groups.iter().enumerate() {
            let Some(identity) = group.identity_of(&source, self.asks_for_certificates()) else {
                continue;
            };
            could_log_in |= !group.users.is_empty();
            // Who might be everyone's is looked at, too: a wrong password makes nobody a stranger.
            let asks = !group.users.is_empty() || (group.is_everyone() && self.asks_for_users());
            if asks && user.is_none() {
                user = match self.user(authorization).await {
                    Ok(user) => user,
                    Err(reason) => return Err((source, reason)),
                };
            }
            let identity = match user.as_deref() {
                Some(user) if group.has(user) => Identity::User(user.into()),
                None if group.users.is_empty() => identity,
                Some(_) if group.users.is_empty() && !group.is_everyone() => identity,
                Some(_) | None => continue,
            };
            let group = Membership { index, name: group.name.clone(), identity };
            return Ok(Client { source, group });
        }
        let proved = source.proof.is_some() && self.asks_for_certificates();
        let reason = match user {
            None if could_log_in && source.listener != Listener::Transparent => {
                Reason::CredentialsRequired
            }
            None if !proved => Reason::IdentityMissing,
            _ => Reason::IdentityRejected,
        };
        Err((source, reason))
    }

    /// The user whose credentials these are.
    async fn user(&self, authorization: Option<&[u8]>) -> Result<Option<String>, Reason> {
        let (Some(value), Some(verifier)) = (authorization, &self.verifier) else {
            return Ok(None);
        };
        let login = credentials::basic(value).map_err(|_| Reason::IdentityRejected)?;
        match verifier.verify(login).await {
            Ok(user) => Ok(Some(user)),
            Err(credentials::Failure::Rejected) => Err(Reason::IdentityRejected),
            Err(credentials::Failure::Busy) => Err(Reason::Capacity),
        }
    }

    fn asks_for_users(&self) -> bool {
        self.groups.iter().any(|group| !group.users.is_empty())
    }

    fn asks_for_certificates(&self) -> bool {
        self.groups.iter().any(|group| !group.certificates.is_empty())
    }
}

impl Group {
    /// The one that everyone fits.
    pub fn everyone() -> Self {
        let name = GroupName::everyone();
        Self { name, addresses: Vec::new(), certificates: Vec::new(), users: Vec::new() }
    }

    fn is_everyone(&self) -> bool {
        self.addresses.is_empty() && self.certificates.is_empty() && self.users.is_empty()
    }

    /// By what a client at `source` fits, as far as that can be told without credentials. A certificate
    /// that groups ask for says who a client is, and so it is none of everyone.
    fn identity_of(&self, source: &Source, certificates_count: bool) -> Option<Identity> {
        if self.is_everyone() && certificates_count && source.proof.is_some() {
            return None;
        }
        let address = source.address.ip();
        if !self.addresses.is_empty() && !self.addresses.iter().any(|net| net.contains(&address)) {
            return None;
        }
        if self.certificates.is_empty() {
            return Some(Identity::Address);
        }
        let names = source.proof.as_ref()?.names()?;
        let name = self.certificates.iter().find(|name| names.contains(name))?;
        Some(Identity::Certificate(name.to_string().into()))
    }

    fn has(&self, user: &str) -> bool {
        self.users.iter().any(|name| name == user)
    }
}

impl Source {
    /// A client at `address` that came to `listener` by itself. A socket that takes both families writes an
    /// IPv4 address as an IPv6 one (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2), which is in no IPv4 block.
    pub fn new(address: SocketAddr, listener: Listener) -> Self {
        let address = canonical(address);
        Self { address, balancer: None, listener, original: None, proof: None }
    }
}

/// The same, with an IPv4 address in its own form.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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

    /// Whose a list is, where it is named: ` of group NAME`, unless it is everyone's.
    pub fn whose(&self) -> String {
        if *self == Self::everyone() { String::new() } else { format!(" of group `{self}`") }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::credentials::Limits;

    fn clients(groups: Vec<Group>) -> Clients {
        let hash = bcrypt::hash("secret", 4).expect("a hash");
        let users = Users::parse("users", &format!("ci:{hash}\nother:{hash}\n")).expect("users");
        Clients::new(groups, Some(Verifier::new(users, Limits::default())))
    }

    fn source(address: &str, names: Option<&[&str]>) -> Source {
        let address = format!("{address}:50000").parse().expect("an address");
        let proof = names.map(|names| {
            let names = names.iter().map(|name| name.parse().expect("a name"));
            Arc::new(names.collect::<Proof>())
        });
        Source { proof, ..Source::new(address, Listener::Tls) }
    }

    fn group(name: &str, address: &[&str], certificate: &[&str], user: &[&str]) -> Group {
        Group {
            name: name.parse().expect("a name"),
            addresses: address.iter().map(|net| net.parse().expect("a block")).collect(),
            certificates: certificate.iter().map(|name| name.parse().expect("a name")).collect(),
            users: user.iter().map(ToString::to_string).collect(),
        }
    }

    fn login(user: &str, password: &str) -> Vec<u8> {
        let encoded = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{user}:{password}"),
        );
        format!("Basic {encoded}").into_bytes()
    }

    /// The groups; the client's address, certificate and credentials; its group.
    type Row<'a> =
        (Vec<&'a Group>, &'a str, Option<&'a [&'a str]>, Option<&'a [u8]>, Result<&'a str, Reason>);

    #[tokio::test]
    async fn each_client_gets_its_group_or_none() {
        use Reason::{CredentialsRequired, IdentityMissing, IdentityRejected};

        let here = group("here", &["10.1.0.0/16"], &[], &[]);
        let proved = group("proved", &[], &["dns:build.example"], &[]);
        let known = group("known", &[], &[], &["ci"]);
        let both = group("both", &["10.2.0.0/16"], &["dns:build.example"], &["ci"]);
        let everyone = Group::everyone();
        let build: Option<&[&str]> = Some(&["dns:build.example"]);
        let stranger: Option<&[&str]> = Some(&["dns:stranger.example"]);
        let (ci, other) = (login("ci", "secret"), login("other", "secret"));
        let (wrong, nobody) = (login("ci", "guess"), login("nobody", "secret"));
        let rows: Vec<Row<'_>> = vec![
            (vec![], "10.1.0.1", None, None, Err(IdentityMissing)),
            (vec![&everyone], "10.1.0.1", None, None, Ok("default")),
            (vec![&everyone], "10.1.0.1", build, None, Ok("default")),
            // Nobody asked.
            (vec![&everyone], "10.1.0.1", None, Some(&wrong), Ok("default")),
            (vec![&here], "10.1.0.1", None, None, Ok("here")),
            (vec![&here], "10.3.0.1", None, None, Err(IdentityMissing)),
            (vec![&here, &everyone], "10.3.0.1", None, None, Ok("default")),
            (vec![&proved], "10.1.0.1", build, None, Ok("proved")),
            (vec![&proved], "10.1.0.1", None, None, Err(IdentityMissing)),
            (vec![&proved], "10.1.0.1", stranger, None, Err(IdentityRejected)),
            // Who says who it is is none of everyone.
            (vec![&proved, &everyone], "10.1.0.1", stranger, None, Err(IdentityRejected)),
            (vec![&proved, &everyone], "10.1.0.1", None, None, Ok("default")),
            (vec![&known], "10.1.0.1", None, None, Err(CredentialsRequired)),
            (vec![&known], "10.1.0.1", None, Some(&ci), Ok("known")),
            (vec![&known], "10.1.0.1", None, Some(&wrong), Err(IdentityRejected)),
            (vec![&known], "10.1.0.1", None, Some(&nobody), Err(IdentityRejected)),
            (vec![&known], "10.1.0.1", None, Some(b"Bearer x"), Err(IdentityRejected)),
            (vec![&known, &everyone], "10.1.0.1", None, Some(&other), Err(IdentityRejected)),
            (vec![&known, &everyone], "10.1.0.1", None, Some(&wrong), Err(IdentityRejected)),
            (vec![&both, &everyone], "10.1.0.1", None, Some(&wrong), Err(IdentityRejected)),
            (vec![&both, &everyone], "10.1.0.1", None, Some(&nobody), Err(IdentityRejected)),
            (vec![&both, &everyone], "10.1.0.1", None, Some(b"Bearer x"), Err(IdentityRejected)),
            (vec![&both, &everyone], "10.1.0.1", None, Some(&ci), Err(IdentityRejected)),
            (vec![&both, &everyone], "10.1.0.1", None, None, Ok("default")),
            (vec![&known, &everyone], "10.1.0.1", None, None, Ok("default")),
            // Everything that a group says has to hold.
            (vec![&both], "10.2.0.1", build, Some(&ci), Ok("both")),
            (vec![&both], "10.2.0.1", build, None, Err(CredentialsRequired)),
            (vec![&both], "10.2.0.1", build, Some(&other), Err(IdentityRejected)),
            (vec![&both], "10.2.0.1", None, Some(&ci), Err(IdentityMissing)),
            (vec![&both], "10.3.0.1", build, Some(&ci), Err(IdentityRejected)),
            // The first that fits.
            (vec![&here, &known], "10.1.0.1", None, Some(&ci), Ok("here")),
            (vec![&known, &here], "10.1.0.1", None, Some(&ci), Ok("known")),
            (vec![&known, &here], "10.1.0.1", None, None, Ok("here")),
        ];
        for (number, (groups, address, names, authorization, expected)) in
            rows.into_iter().enumerate()
        {
            let clients = clients(groups.into_iter().cloned().collect());
            let found = clients.identify(source(address, names), authorization).await;
            let found = found.map(|client| client.group.name.to_string());
            let found = found.map_err(|(_, reason)| reason);
            assert_eq!(found.as_deref().map_err(|reason| *reason), expected, "row {number}");
        }
    }

    /// A redirected client can't be asked for credentials.
    #[tokio::test]
    async fn a_redirected_client_is_missing_its_identity() {
        let clients = clients(vec![group("known", &[], &[], &["ci"])]);
        let source = Source { listener: Listener::Transparent, ..source("10.1.0.1", None) };
        let refused = clients.identify(source, None).await.expect_err("nobody");
        assert_eq!(refused.1, Reason::IdentityMissing);
    }
}
