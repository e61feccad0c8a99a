//! The parent proxy: where a network lets nobody out but its own proxy, targets are reached through that.
//! Which targets is still our policy's decision, and it is made first; this module knows how to ask.
//!
//! The parent gets the CONNECT request and, once the tunnel is open, what any host would get. It is never
//! gone round: a target that it doesn't reach is not reached.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_config::{Hostname, Port, hostname};
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::policy::{Rules, Target};
use crate::reason::Reason;
use crate::upstream::Failure;

/// The parent proxy, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Where it is.
    pub address: Address,
    /// Whether we vet the target's addresses, too, before the parent is asked for the name.
    pub vet: bool,
    credentials: Option<Credentials>,
    direct: BTreeSet<Hostname>,
}

/// Where a proxy is: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The machine.
    pub host: Host,
    /// The port; there is no usual one.
    pub port: Port,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// A machine, by address or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By address, which may be private.
    Address(IpAddr),
    /// By a name that is looked up like any other.
    Name(Hostname),
}

/// The value of a `Proxy-Authorization` header (RFC 7617). Shown to nobody but the parent.
#[derive(Clone, PartialEq, Eq)]
struct Credentials(String);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// The section `[parent]` of the configuration file, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    url: Url,
    username: Option<Username>,
    password_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "hosts")]
    no_proxy: BTreeSet<Hostname>,
    #[serde(default = "vet_by_default")]
    vet: bool,
}

/// Why there is no [`Parent`], although the section says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A password where everyone sees it.
    #[error("credentials don't belong into `parent.url`; use `username` and `password_file`")]
    CredentialsInUrl,
    /// A user without a password, or a password without a user.
    #[error("`parent.username` and `parent.password_file` go together; give both or neither")]
    HalfCredentials,
    /// The file can't be read.
    #[error("can't read `{}`", path.display())]
    Password {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the file holds can't be sent.
    #[error("`{}` doesn't hold a password: one line, neither empty nor with control characters", .0.display())]
    BadPassword(PathBuf),
    /// An address that nothing is dialled at.
    #[error("`parent.url` is at {0}, which is not dialled")]
    Inadmissible(ringfence_config::address::Class),
}

impl Section {
    /// Paths in a file are meant from where the file is.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        self.password_file = self.password_file.map(|path| folder.join(path));
        self
    }

    /// Reads the password and checks what can be checked before anything is dialled.
    pub fn load(self, rules: Rules) -> Result<Parent, Error> {
        let credentials = match (self.username, self.password_file) {
            (None, None) => None,
            (Some(Username(user)), Some(path)) => Some(Credentials::read(&user, path)?),
            (Some(_), None) | (None, Some(_)) => return Err(Error::HalfCredentials),
        };
        let Url::Address(address) = self.url else {
            return Err(Error::CredentialsInUrl);
        };
        if let Host::Address(ip) = address.host {
            let socket = (ip, address.port.number()).into();
            rules.admit_parent(socket).map_err(|refused| Error::Inadmissible(refused.class))?;
        }
        Ok(Parent { address, vet: self.vet, credentials, direct: self.no_proxy })
    }
}

impl Credentials {
    fn read(user: &str, path: PathBuf) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(Error::Password { path, source }),
        };
        // Editors end a line; the password doesn't.
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.is_empty() || password.chars().any(char::is_control) {
            return Err(Error::BadPassword(path));
        }
        Ok(Self(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
    }
}

impl Parent {
    /// Whether `host` is reached through the parent. Every host is, but for those said otherwise.
    pub fn carries(&self, host: &Hostname) -> bool {
        !self.direct.contains(host)
    }

    /// Asks the parent at the other end of `stream` for a tunnel to `target`.
    pub async fn ask(&self, stream: &mut TcpStream, target: &Target) -> Result<(), Failure> {
        let broken = |error: std::io::Error| Failure {
            detail: Some(error.to_string()),
            ..Reason::UpstreamProxyFailed.into()
        };
        stream.write_all(self.request(target).as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::with_capacity(512);
        loop {
            // No more is read than may be kept.
            let room = (MAX_ANSWER - answer.len()) as u64;
            let count = (&mut *stream).take(room).read_buf(&mut answer).await.map_err(broken)?;
            match parse(&answer)? {
                Progress::Open => return Ok(()),
                Progress::More if count == 0 => return Err(unusable(ENDED)),
                Progress::More if answer.len() == MAX_ANSWER => return Err(unusable(TOO_LARGE)),
                Progress::More => {}
            }
        }
    }

    /// A CONNECT of ours alone: nothing that the client sent is in it but the host and the port that the
    /// policy permitted.
    fn request(&self, target: &Target) -> String {
        let authorization = self.credentials.as_ref().map_or_else(String::new, |credentials| {
            format!("Proxy-Authorization: {}\r\n", credentials.0)
        });
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
    }
}

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// It isn't whole yet.
    More,
    /// The tunnel is open.
    Open,
}

/// Reads a parent's answer to CONNECT: any 2xx opens the tunnel, whatever its headers say about a body
/// (RFC 9110 §9.3.6), and nothing else does.
fn parse(answer: &[u8]) -> Result<Progress, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(answer) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(Progress::More),
        Err(error) => return Err(unusable(&format!("the answer is not HTTP: {error}"))),
    };
    match response.code {
        // In TLS the client speaks first, so nobody has anything to say here yet.
        Some(200..=299) if end < answer.len() => Err(unusable(EARLY)),
        Some(200..=299) => Ok(Progress::Open),
        status => {
            let phrase = response.reason.unwrap_or_default().chars().take(MAX_PHRASE);
            let detail = format!("{} {}", status.unwrap_or_default(), phrase.collect::<String>());
            let detail = Some(detail.trim_end().to_owned());
            Err(Failure { detail, ..Reason::UpstreamProxyRefused.into() })
        }
    }
}

fn unusable(detail: &str) -> Failure {
    Failure { detail: Some(detail.to_owned()), ..Reason::UpstreamProxyFailed.into() }
}

/// A user name, which ends at the first colon (RFC 7617 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Username(String);

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.contains(':') || text.chars().any(char::is_control) {
            return Err(serde::de::Error::custom(
                "a user name is not empty and has neither colons nor control characters",
            ));
        }
        Ok(Self(text))
    }
}

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// TLS to the proxy, SOCKS, or no scheme at all.
    #[error("only parents that speak plain HTTP are used; write the URL as `http://HOST:PORT`")]
    Scheme,
    /// A user, perhaps with a password.
    #[error("the URL has credentials")]
    Credentials,
    /// A path, a query.
    #[error("a proxy's URL ends after the port; write it as `http://HOST:PORT`")]
    Path,
    /// No port, or none that is one.
    #[error("the URL has no valid port; write it as `http://HOST:PORT`")]
    Port,
    /// Neither an address nor a full name.
    #[error("the URL's host is neither an IP address nor a full host name: {0}")]
    Host(hostname::Error),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // Whatever else is wrong: with credentials in it, the text is not for showing.
        if text.contains('@') {
            return Err(AddressError::Credentials);
        }
        let authority = text.strip_prefix("http://").ok_or(AddressError::Scheme)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(AddressError::Path);
        }
        let (host, port) = authority.rsplit_once(':').ok_or(AddressError::Port)?;
        let port = port.parse().map_err(|_| AddressError::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let address = match bracketed {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => host.parse().ok().map(IpAddr::V4),
        };
        let host = match address {
            Some(address) => Host::Address(address),
            None => Host::Name(host.parse().map_err(AddressError::Host)?),
        };
        Ok(Self { host, port })
    }
}

/// What stands in the file for an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Url {
    Address(Address),
    /// Refused later than other mistakes, which are shown with the line they are in.
    WithCredentials,
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(AddressError::Credentials) => Ok(Self::WithCredentials),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

/// Exact hosts: a suffix would send whole domains round the parent.
fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Hostname>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let host = |text: &String| {
        text.parse().map_err(|error| {
            serde::de::Error::custom(format!("`{text}` is not one exact host: {error}"))
        })
    };
    texts.iter().map(host).collect()
}

fn vet_by_default() -> bool {
    true
}

const MAX_ANSWER: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_PHRASE: usize = 80;
const ENDED: &str = "the parent closed the connection before its answer was whole";
const TOO_LARGE: &str = "the answer's head is longer than 16 KiB";
const EARLY: &str = "the parent sent more than its answer before it got a byte to forward";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn section(text: &str) -> Result<Section, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn urls_say_where_and_nothing_else() {
        let name = |host: &str| Host::Name(host.parse().expect("a host"));
        let ip = |host: &str| Host::Address(host.parse().expect("an address"));
        let rows = [
            ("http://Proxy.corp.example:8080", Ok((name("proxy.corp.example"), 8080))),
            ("http://10.0.0.5:3128/", Ok((ip("10.0.0.5"), 3128))),
            ("http://[fd12::1]:3128", Ok((ip("fd12::1"), 3128))),
            ("https://proxy.corp.example:8080", Err(AddressError::Scheme)),
            ("socks5://proxy.corp.example:1080", Err(AddressError::Scheme)),
            ("proxy.corp.example:8080", Err(AddressError::Scheme)),
            ("http://user:secret@proxy.corp.example:8080", Err(AddressError::Credentials)),
            ("https://user:secret@proxy.corp.example", Err(AddressError::Credentials)),
            ("http://proxy.corp.example:8080/path", Err(AddressError::Path)),
            ("http://proxy.corp.example", Err(AddressError::Port)),
            ("http://proxy.corp.example:+8080", Err(AddressError::Port)),
            ("http://proxy:8080", Err(AddressError::Host(hostname::Error::SingleLabel))),
            ("http://0x7f.1:8080", Err(AddressError::Host(hostname::Error::IpLiteral))),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Address>().map(|at| (at.host, at.port.number()));
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn the_section_takes_exact_hosts_and_whole_credentials() {
        let url = "url = \"http://10.0.0.5:3128\"\n";
        for (line, expected) in [
            ("no_proxy = [\"*.azurecr.io\"]", "`*.azurecr.io` is not one exact host"),
            ("no_proxy = [\".azurecr.io\"]", "`.azurecr.io` is not one exact host"),
            ("no_proxy = [\"10.0.0.0/8\"]", "`10.0.0.0/8` is not one exact host"),
            ("username = \"a:b\"", "a user name"),
            ("password = \"secret\"", "unknown field `password`"),
        ] {
            let error = section(&format!("{url}{line}")).expect_err(line);
            assert!(error.contains(expected), "{error}");
        }
        let half = section(&format!("{url}username = \"a\"")).expect("a section");
        assert!(matches!(half.load(Rules::default()), Err(Error::HalfCredentials)));
        for address in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "168.63.129.16"] {
            let section = section(&format!("url = \"http://{address}:1\"")).expect("a section");
            let refused = section.load(Rules::default());
            assert!(matches!(refused, Err(Error::Inadmissible(_))), "{address}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_whole_2xx_answer_opens(bytes: Vec<u8>, status in 100_u16..1000, end: prop::sample::Index) {
            prop_assert_ne!(parse(&bytes).ok(), Some(Progress::Open));
            let answer = format!("HTTP/1.1 {status} Whatever\r\nVia: 1.1 corp\r\n\r\n");
            let whole = parse(answer.as_bytes());
            prop_assert_eq!(whole == Ok(Progress::Open), (200..300).contains(&status));
            let part = &answer.as_bytes()[..end.index(answer.len())];
            prop_assert_eq!(parse(part), Ok(Progress::More));
        }
    }

    #[test]
    fn answers_are_read_strictly() {
        let refused = |detail: &str| Err((Reason::UpstreamProxyRefused, detail.to_owned()));
        let failed = |detail: &str| Err((Reason::UpstreamProxyFailed, detail.to_owned()));
        let rows = [
            ("", Ok(Progress::More)),
            ("HTTP/1.1 200 Connection established\r\n", Ok(Progress::More)),
            ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(Progress::Open)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Ok(Progress::Open)),
            ("HTTP/1.1 299 \r\n\r\n", Ok(Progress::Open)),
            ("HTTP/1.1 200 OK\r\n\r\n\u{15}", failed(EARLY)),
            ("HTTP/1.1 100 Continue\r\n\r\n", refused("100 Continue")),
            ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", refused("302 Found")),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\nbody",
                refused("407 Proxy Authentication Required"),
            ),
            ("HTTP/1.1 503\r\n\r\n", refused("503")),
            ("HTTP/2 200\r\n\r\n", failed("the answer is not HTTP: invalid HTTP version")),
            ("SSH-2.0-OpenSSH_9.2\r\n", failed("the answer is not HTTP: invalid HTTP version")),
        ];
        for (answer, expected) in rows {
            let parsed = parse(answer.as_bytes())
                .map_err(|failure| (failure.reason, failure.detail.expect("a failure says why")));
            assert_eq!(parsed, expected, "{answer:?}");
        }
    }
}
