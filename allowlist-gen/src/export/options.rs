//! Decides what an export can be told beside the list.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;
use ringfence_config::registry::{Label, Region};
use ringfence_config::{Hostname, Port};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What an export is told beside the list. A format takes what its [`About`](super::About) says, and refuses the
/// rest, so that nobody believes to have set what isn't there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whose traffic the rules are for; whoever reaches the target, if there are none.
    pub clients: Vec<IpNet>,
    /// Where a proxy listens.
    pub listen: Option<SocketAddr>,
    /// The name server that a target asks.
    pub resolver: Option<SocketAddr>,
    /// The proxy that clients use.
    pub proxy: Option<ProxyUrl>,
    /// Whom clients of the proxy trust.
    pub ca: Option<Ca>,
    /// The namespace of a cluster's policy.
    pub namespace: Option<Label>,
    /// Regions that registries will have.
    pub future_regions: Vec<Region>,
    /// What becomes of hosts without private addresses, where only those count.
    pub unpinned: Unpinned,
}

/// What becomes of hosts without private addresses in formats that know only addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unpinned {
    /// They are an error.
    #[default]
    Refused,
    /// They are left out, and named in the header.
    LeftOut,
}

/// One of the [`Options`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// [`Options::clients`]
    Client,
    /// [`Options::listen`]
    Listen,
    /// [`Options::resolver`]
    Resolver,
    /// [`Options::proxy`]
    Proxy,
    /// [`Options::ca`]
    Ca,
    /// [`Options::namespace`]
    Namespace,
    /// [`Options::future_regions`]
    FutureRegion,
    /// [`Options::unpinned`]
    PinnedOnly,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 8] = [
        Self::Client,
        Self::Listen,
        Self::Resolver,
        Self::Proxy,
        Self::Ca,
        Self::Namespace,
        Self::FutureRegion,
        Self::PinnedOnly,
    ];

    /// As the command line spells it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Client => "--client",
            Self::Listen => "--listen",
            Self::Resolver => "--resolver",
            Self::Proxy => "--proxy",
            Self::Ca => "--ca",
            Self::Namespace => "--namespace",
            Self::FutureRegion => "--future-region",
            Self::PinnedOnly => "--pinned-only",
        }
    }

    /// What it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Client => "the addresses whose traffic the rules are for",
            Self::Listen => "the address and port that the proxy listens on",
            Self::Resolver => "the name server that it asks",
            Self::Proxy => "the proxy that clients use",
            Self::Ca => "the certificates that clients of the proxy trust",
            Self::Namespace => "the namespace that the policy is for",
            Self::FutureRegion => "regions that the registries will have",
            Self::PinnedOnly => "leave out hosts that have no private address",
        }
    }

    /// What holds where it isn't given.
    pub fn absence(self) -> &'static str {
        match self {
            Self::Client => "whoever reaches the target",
            Self::Listen => {
                "the format's usual port: of the machine itself for forward proxies, of all addresses for transparent ones"
            }
            Self::Resolver => "the machine's own",
            Self::Proxy | Self::Namespace => "an error",
            Self::Ca => "the system's",
            Self::FutureRegion => "the regions on the list",
            Self::PinnedOnly => "a host without a private address is an error",
        }
    }

    /// A value that people would recognise.
    pub fn example(self) -> &'static str {
        match self {
            Self::Client => "10.10.0.0/16",
            Self::Listen => "127.0.0.1:3128",
            Self::Resolver => "10.20.0.53",
            Self::Proxy => "http://proxy.corp.example:3128",
            Self::Ca => "proxy-ca.pem",
            Self::Namespace => "builds",
            Self::FutureRegion => "northeurope",
            Self::PinnedOnly => "",
        }
    }

    /// `takes`, with what holds without each; `nothing` if there are none.
    pub(super) fn list(takes: &[Self], needs: &[Self]) -> String {
        let words: Vec<String> = takes
            .iter()
            .map(|setting| {
                let without = if needs.contains(setting) {
                    "needed".to_owned()
                } else {
                    format!("without it: {}", setting.absence())
                };
                format!("`{}` ({without})", setting.flag())
            })
            .collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
    }

    /// The flags of `takes`, in words.
    pub(super) fn flags(takes: &[Self]) -> String {
        let flags: Vec<String> =
            takes.iter().map(|setting| format!("`{}`", setting.flag())).collect();
        match flags.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [some @ .., last] => format!("{} and {last}", some.join(", ")),
        }
    }

    pub(super) fn is_given(self, options: &Options) -> bool {
        match self {
            Self::Client => !options.clients.is_empty(),
            Self::Listen => options.listen.is_some(),
            Self::Resolver => options.resolver.is_some(),
            Self::Proxy => options.proxy.is_some(),
            Self::Ca => options.ca.is_some(),
            Self::Namespace => options.namespace.is_some(),
            Self::FutureRegion => !options.future_regions.is_empty(),
            Self::PinnedOnly => options.unpinned == Unpinned::LeftOut,
        }
    }
}

/// `http://host:port`, or `https`: a proxy without credentials, which no export should hold.
///
/// ```
/// use allowlist_gen::export::{ProxyUrl, ProxyUrlError};
///
/// let url: ProxyUrl = "http://Proxy.corp.example:3128/".parse().unwrap();
/// assert_eq!(url.to_string(), "http://proxy.corp.example:3128");
/// assert_eq!("http://u:p@proxy:3128".parse::<ProxyUrl>(), Err(ProxyUrlError::Credentials));
/// assert_eq!("http://proxy.corp.example".parse::<ProxyUrl>(), Err(ProxyUrlError::Port));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    is_tls: bool,
    host: String,
    port: Port,
}

/// Why a text is no [`ProxyUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Another scheme, or none.
    #[error("write http://host:port, or https:// if the proxy itself speaks TLS")]
    Scheme,
    /// A user or a password.
    #[error("a proxy's credentials don't belong in a file that many can read")]
    Credentials,
    /// No port, or no number.
    #[error("clients disagree on a proxy's port if none is written: write http://host:port")]
    Port,
    /// Neither a name nor an address.
    #[error("that is neither a host name nor an address")]
    Host,
    /// A path, a query or a fragment.
    #[error("a proxy has no path: write http://host:port")]
    Path,
}

impl ProxyUrl {
    /// Whether the proxy itself is spoken to in TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name or the address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let (is_tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(ProxyUrlError::Credentials);
        }
        if authority.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = authority.split_at(port_at.ok_or(ProxyUrlError::Port)?);
        let port = port[1..].parse().map_err(|_| ProxyUrlError::Port)?;
        let host = if let Ok(SocketAddr::V6(v6)) = format!("{host}:1").parse() {
            if v6.scope_id() != 0 {
                return Err(ProxyUrlError::Host);
            }
            format!("[{}]", v6.ip())
        } else if let Ok(v4) = host.parse::<std::net::Ipv4Addr>() {
            v4.to_string()
        } else if is_number(host) {
            return Err(ProxyUrlError::Host);
        } else if let Ok(label) = host.to_ascii_lowercase().parse::<Label>() {
            // A short name is somebody's `search` domain away.
            label.to_string()
        } else {
            let name: Hostname =
                host.to_ascii_lowercase().parse().map_err(|_| ProxyUrlError::Host)?;
            name.to_string()
        };
        Ok(Self { is_tls, host, port })
    }
}

/// What many clients take for an address in one number: `2130706433`, `0x7f000001`.
fn is_number(host: &str) -> bool {
    let digits = host.strip_prefix("0x").or(host.strip_prefix("0X"));
    match digits {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => host.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Certificates in PEM (RFC 7468), as clients are told to trust them: at least one, and nothing else in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ca {
    pem: String,
    count: usize,
}

/// Why a text is no [`Ca`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// No certificate in it.
    #[error("there is no `-----BEGIN CERTIFICATE-----` in it: give certificates in PEM")]
    None,
    /// Something else, perhaps a key, which must never be published.
    #[error("it holds a `{0}`, and only certificates may go into an export")]
    Other(String),
    /// A section that isn't PEM.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Something that only calls itself one; which, counted from 1.
    #[error("certificate {0} is not a certificate")]
    NotOne(usize),
}

impl Ca {
    /// The certificates, one after the other, without what stood between them.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl FromStr for Ca {
    type Err = CaError;

    fn from_str(text: &str) -> Result<Self, CaError> {
        let sections =
            pem::parse_many(text).map_err(|error| CaError::Damaged(error.to_string()))?;
        if let Some(other) = sections.iter().find(|section| section.tag() != "CERTIFICATE") {
            return Err(CaError::Other(other.tag().to_owned()));
        }
        let is_one = |section: &pem::Pem| {
            X509Certificate::from_der(section.contents()).is_ok_and(|(rest, _)| rest.is_empty())
        };
        if let Some(at) = sections.iter().position(|section| !is_one(section)) {
            return Err(CaError::NotOne(at + 1));
        }
        let line_feeds = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        match sections.len() {
            0 => Err(CaError::None),
            count => Ok(Self { pem: pem::encode_many_config(&sections, line_feeds), count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_one_authority_without_credentials() {
        for (text, expected) in [
            ("http://proxy:3128", Ok("http://proxy:3128")),
            ("https://10.0.0.4:8443/", Ok("https://10.0.0.4:8443")),
            ("http://[fd00::1]:3128", Ok("http://[fd00::1]:3128")),
            ("socks5://proxy:1080", Err(ProxyUrlError::Scheme)),
            ("proxy:3128", Err(ProxyUrlError::Scheme)),
            ("http://proxy:0", Err(ProxyUrlError::Port)),
            ("http://[fd00::1]", Err(ProxyUrlError::Port)),
            ("http://:3128", Err(ProxyUrlError::Host)),
            ("http://a b:3128", Err(ProxyUrlError::Host)),
            ("http://2130706433:3128", Err(ProxyUrlError::Host)),
            ("http://0x7f000001:3128", Err(ProxyUrlError::Host)),
            ("http://[fe80::1%2]:3128", Err(ProxyUrlError::Host)),
            ("http://$(id):3128", Err(ProxyUrlError::Host)),
            ("http://proxy:3128/x", Err(ProxyUrlError::Path)),
            ("http://proxy:3128?x", Err(ProxyUrlError::Path)),
        ] {
            let parsed = text.parse::<ProxyUrl>().map(|url| url.to_string());
            assert_eq!(parsed.as_deref().map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn a_ca_is_certificates_and_never_a_key() {
        let one = include_str!("../../../tests/exports/lists/proxy-ca.pem");
        let two = format!("text\n{one}\r\n{one}").parse::<Ca>().expect("two certificates");
        assert_eq!((two.count(), two.pem().contains("text")), (2, false));
        assert_eq!("".parse::<Ca>(), Err(CaError::None));
        let damaged = one.replace("MII", "M$(id)").parse::<Ca>();
        assert!(matches!(damaged, Err(CaError::Damaged(_))), "{damaged:?}");
        let key = one.to_owned() + &one.replace("CERTIFICATE", "PRIVATE KEY");
        assert_eq!(key.parse::<Ca>(), Err(CaError::Other("PRIVATE KEY".into())));

        // An empty sequence is DER, and so is a certificate with something behind it.
        for body in ["AAAA", "MAA="] {
            let other = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
            assert_eq!(other.parse::<Ca>(), Err(CaError::NotOne(1)), "{body}");
            let error = (one.to_owned() + &other).parse::<Ca>().expect_err("the second is none");
            assert_eq!(error.to_string(), "certificate 2 is not a certificate");
        }
        let mut longer = pem::parse(one).expect("PEM").into_contents();
        longer.push(0);
        let longer = pem::encode(&pem::Pem::new("CERTIFICATE", longer));
        assert_eq!(longer.parse::<Ca>(), Err(CaError::NotOne(1)));
    }
}
