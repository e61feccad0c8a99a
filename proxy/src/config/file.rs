//! The configuration file as it is written: sections, keys, defaults, and what may not stand together.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use ringfence_config::address::parse_block;
use ringfence_config::snippet::Source;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::values::{Parsed, Pause, Size, Time, Volume};
use super::{Error, FileError};
use crate::admission::budget;
use crate::client::{Group, GroupName};
use crate::hello::{EarlyData, Protocols};
use crate::lists::Sources;
use crate::lists::signature::Keys;
use crate::lists::vintage::Rule;
use crate::log::Audit;
use crate::policy::Mode;
use crate::probe;
use crate::reception::tls::{self, SanName};
use crate::upstream::parent;

/// The file as it is written.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) allowlist: Vec<PathBuf>,
    pub(super) registry: Vec<PathBuf>,
    pub(super) resolver: Vec<SocketAddr>,
    pub(super) mode: Mode,
    pub(super) upload_budget: Option<Budget>,
    pub(super) tls: Option<Tls>,
    pub(super) transparent: Option<Transparent>,
    pub(super) credentials: Option<Credentials>,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) client: Vec<Client>,
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) lists: Lists,
    pub(super) dns: Dns,
    pub(super) parent: Option<parent::Section>,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) hello: Hello,
    pub(super) log: Log,
    pub(super) probe: Probe,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) listen: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) crl: Vec<PathBuf>,
    #[serde(default = "yes")]
    pub(super) http2: bool,
}

pub(super) fn yes() -> bool {
    true
}

impl Tls {
    pub(super) fn settings(self) -> tls::Settings {
        let Self { certificate, key, client_ca, crl, http2, .. } = self;
        let clients = client_ca.map(|authorities| tls::Clients { authorities, revocations: crl });
        tls::Settings { certificate, key, clients, http2 }
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    pub(super) users: PathBuf,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transparent {
    pub(super) listen: SocketAddr,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProxyProtocol {
    #[serde(deserialize_with = "blocks")]
    pub(super) from: Vec<IpNet>,
}

/// A group of clients.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: Spanned<GroupName>,
    #[serde(default, deserialize_with = "blocks")]
    pub(super) address: Vec<IpNet>,
    #[serde(default)]
    pub(super) certificate: Vec<Parsed<SanName>>,
    #[serde(default)]
    pub(super) user: Vec<String>,
    #[serde(default)]
    pub(super) allowlist: Vec<PathBuf>,
    #[serde(default)]
    pub(super) registry: Vec<PathBuf>,
    pub(super) mode: Option<Mode>,
    pub(super) upload_budget: Option<Budget>,
}

/// How much a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    pub(super) bytes: Volume,
    pub(super) per: Time,
}

impl Budget {
    pub(super) fn limit(self) -> budget::Limit {
        budget::Limit { bytes: self.bytes.0, per: self.per.0 }
    }
}

impl Client {
    pub(super) fn split(self, mode: Mode) -> (Group, Sources) {
        let name = self.name.into_inner();
        let sources = Sources {
            group: name.clone(),
            mode: self.mode.unwrap_or(mode),
            allowlists: self.allowlist,
            registries: self.registry,
        };
        let certificates = self.certificate.into_iter().map(|name| name.0).collect();
        (Group { name, addresses: self.address, certificates, users: self.user }, sources)
    }

    /// Whether everyone who fits `other` fits this group, too.
    pub(super) fn takes_all_of(&self, other: &Self) -> bool {
        fn all<T>(ours: &[T], theirs: &[T], within: impl Fn(&T, &T) -> bool) -> bool {
            let fits = |their: &T| ours.iter().any(|our| within(our, their));
            ours.is_empty() || (!theirs.is_empty() && theirs.iter().all(fits))
        }
        all(&self.address, &other.address, |our, their| our.contains(their))
            && all(&self.certificate, &other.certificate, |our, their| our == their)
            && all(&self.user, &other.user, |our, their| our == their)
    }

    /// What the types can't say.
    pub(super) fn problem(&self, before: &[Self], file: &File) -> Option<&'static str> {
        let any_certificate = file.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if before.iter().any(|other| other.name.get_ref() == self.name.get_ref()) {
            Some("two groups have this name")
        } else if before.iter().any(|other| other.takes_all_of(self)) {
            Some(
                "nobody comes to this group: one before it takes all of its clients; change their order",
            )
        } else if self.address.is_empty() && self.certificate.is_empty() && self.user.is_empty() {
            Some("nothing says who belongs to this group: give `address`, `certificate` or `user`")
        } else if !self.certificate.is_empty() && !any_certificate {
            Some("nobody is asked for a certificate: give `client_ca` under `[tls]`")
        } else if !self.user.is_empty() && file.credentials.is_none() {
            Some("nobody has a password: give `users` under `[credentials]`")
        } else if self.allowlist.is_empty() && self.registry.is_empty() {
            Some("nothing says what this group is allowed: give `allowlist` or `registry`")
        } else {
            None
        }
    }
}

/// How far the files that say what is allowed are trusted.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lists {
    pub(super) public_keys: Keys,
    pub(super) state: Option<PathBuf>,
    pub(super) rollback: Rule,
    pub(super) expired: Rule,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dns {
    pub(super) nat64: bool,
}

/// Addresses and blocks, as strictly as a list's pins are read.
pub(super) fn blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let block = |text: &String| {
        parse_block(text).map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))
    };
    texts.iter().map(block).collect()
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    pub(super) head: Time,
    pub(super) resolve: Time,
    pub(super) connect: Time,
    pub(super) hello: Time,
    pub(super) idle: Time,
    pub(super) total: Time,
    pub(super) grace: Pause,
    pub(super) drain: Time,
    pub(super) queue: Time,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) file: Option<PathBuf>,
    pub(super) audit: Audit,
    pub(super) queue: Size<1>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Probe {
    pub(super) hosts: Vec<probe::Host>,
    pub(super) every: Time,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: NonZeroUsize,
    pub(super) connections_per_client: NonZeroUsize,
    pub(super) rate_per_client: NonZeroU32,
    pub(super) burst_per_client: NonZeroU32,
    pub(super) head_bytes: Size<1024>,
    pub(super) hello_bytes: Size<512>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hello {
    pub(super) early_data: EarlyData,
    pub(super) alpn: Protocols,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Time(Duration::from_secs(seconds));
        Self {
            head: seconds(10),
            resolve: seconds(5),
            connect: seconds(10),
            hello: seconds(10),
            idle: seconds(5 * 60),
            total: seconds(24 * 60 * 60),
            grace: Pause(Duration::ZERO),
            drain: seconds(30),
            queue: seconds(1),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        // Some seconds of a busy gateway, a few MiB.
        Self { file: None, audit: Audit::default(), queue: Size(16 * 1024) }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self { hosts: Vec::new(), every: Time(Duration::from_secs(30)), ca: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: NonZeroUsize::new(10_000).expect("not zero"),
            connections_per_client: NonZeroUsize::new(1000).expect("not zero"),
            rate_per_client: NonZeroU32::new(200).expect("not zero"),
            burst_per_client: NonZeroU32::new(400).expect("not zero"),
            head_bytes: Size(16 * 1024),
            hello_bytes: Size(64 * 1024),
        }
    }
}

impl Default for Hello {
    /// Neither opens a way round the list.
    fn default() -> Self {
        Self { early_data: EarlyData::Allow, alpn: Protocols::Any }
    }
}

impl File {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mistake = |span, message| {
            let source = Source { name: name.to_owned(), text: text.to_owned() };
            Error::File(FileError { source, span, message })
        };
        let file: Self = toml::from_str(text)
            .map_err(|error| mistake(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        for (number, client) in file.client.iter().enumerate() {
            if let Some(problem) = client.problem(&file.client[..number], &file) {
                return Err(mistake(client.name.span(), problem.to_owned()));
            }
        }
        match file.idle() {
            Some(problem) => Err(mistake(0..0, problem.to_owned())),
            None => Ok(file),
        }
    }

    /// A setting that looks as if it kept somebody out, and keeps out nobody.
    pub(super) fn idle(&self) -> Option<&'static str> {
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| tls.client_ca.is_none() && !tls.crl.is_empty()) {
            Some("`crl` is about client certificates: give `client_ca` under `[tls]`, too")
        } else if self.credentials.is_some()
            && self.client.iter().all(|client| client.user.is_empty())
        {
            Some(
                "`[credentials]` keeps nobody out: give a `[[client]]` the `user` names that it is for",
            )
        } else {
            None
        }
    }

    /// Paths in a file are meant from where the file is.
    pub(super) fn relative_to(mut self, folder: &Path) -> Self {
        let ours = self.allowlist.iter_mut().chain(&mut self.registry);
        let clients = self.client.iter_mut();
        let theirs =
            clients.flat_map(|client| client.allowlist.iter_mut().chain(&mut client.registry));
        let tls = self.tls.iter_mut().flat_map(|tls| {
            let Tls { certificate, key, client_ca, crl, .. } = tls;
            [certificate, key].into_iter().chain(client_ca).chain(crl)
        });
        let users = self.credentials.iter_mut().map(|section| &mut section.users);
        let others =
            self.log.file.iter_mut().chain(&mut self.probe.ca).chain(&mut self.lists.state);
        for path in ours.chain(theirs).chain(tls).chain(users).chain(others) {
            *path = folder.join(&*path);
        }
        self.parent = self.parent.map(|parent| parent.relative_to(folder));
        self
    }
}
