//! Decides what a host name is and what a port is. Whether a host may be reached is decided elsewhere.

use std::fmt;
use std::iter;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::Serialize;

/// A DNS host name in its one canonical spelling: ASCII, lower case, at least two labels, no trailing dot.
///
/// Letters are folded; everything else that is not already canonical is refused rather than repaired,
/// because a second reader (the resolver, the client's TLS library, a firewall) may repair it differently.
///
/// ```
/// use ringfence_config::{Hostname, hostname::Error};
///
/// let host: Hostname = "Contoso.AzureCR.io".parse()?;
/// assert_eq!(host.as_str(), "contoso.azurecr.io");
/// assert_eq!("contoso.azurecr.io.".parse::<Hostname>(), Err(Error::TrailingDot));
/// assert_eq!("0x7f.1".parse::<Hostname>(), Err(Error::IpLiteral));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Box<str>);

/// Why a text is not a [`Hostname`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("the host name is empty")]
    Empty,
    /// A character outside ASCII; it is never mapped to an ASCII look-alike.
    #[error("`{0}` is not ASCII; internationalised names are not mapped")]
    NonAscii(char),
    /// An IP address, in any spelling that some client reads as one.
    #[error("an IP address is not a host name")]
    IpLiteral,
    /// An ASCII character that no host name holds.
    #[error("{0:?} can't stand in a host name")]
    BadCharacter(char),
    /// The name ends in a dot.
    #[error("the name ends in a dot; write it without")]
    TrailingDot,
    /// Two dots in a row, or a leading dot.
    #[error("a label is empty")]
    EmptyLabel,
    /// More than 63 octets (RFC 1035 §2.3.4).
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// More than 253 octets (RFC 1035 §2.3.4, without the length octets).
    #[error("the name is longer than 253 octets")]
    TooLong,
    /// A label starts or ends with a hyphen (RFC 952).
    #[error("a label starts or ends with a hyphen")]
    HyphenAtEdge,
    /// An `xn--` label, which clients show and compare differently.
    #[error("`xn--` (punycode) labels are not accepted")]
    Punycode,
    /// A name without a dot, which resolvers complete with search domains.
    #[error("a single label is not a full name")]
    SingleLabel,
}

impl Hostname {
    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }

    /// The leftmost label.
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// The domains that it lies below, the nearest first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        iter::successors(Some(self.as_str()), |name| Some(name.split_once('.')?.1)).skip(1)
    }

    /// Whether this name lies below `domain`, by whole labels; a name is not below itself.
    pub fn is_below(&self, domain: &str) -> bool {
        self.0.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl FromStr for Hostname {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii()) {
            return Err(Error::NonAscii(c));
        }
        if is_ip_literal(text) {
            return Err(Error::IpLiteral);
        }
        if let Some(c) =
            text.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.'))
        {
            return Err(Error::BadCharacter(c));
        }
        if text.len() > 1 && text.ends_with('.') && !text.ends_with("..") {
            return Err(Error::TrailingDot);
        }
        if text.len() > 253 {
            return Err(Error::TooLong);
        }
        let name = text.to_ascii_lowercase();
        for label in name.split('.') {
            check_label(label)?;
        }
        if !name.contains('.') {
            return Err(Error::SingleLabel);
        }
        Ok(Self(name.into()))
    }
}

/// Checks one canonical (lower-case ASCII) label, for host names and patterns alike.
pub(crate) fn check_label(label: &str) -> Result<(), Error> {
    if label.is_empty() {
        return Err(Error::EmptyLabel);
    }
    if label.len() > 63 {
        return Err(Error::LabelTooLong);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(Error::HyphenAtEdge);
    }
    if label.starts_with("xn--") {
        return Err(Error::Punycode);
    }
    Ok(())
}

/// Whether some client would take `text` for an address: bracketed, IPv6, or a name whose last label is
/// a number in the sense of the WHATWG host parser (decimal, octal or hex), which covers `127.1`,
/// `0x7f.1` and `2130706433`. <https://url.spec.whatwg.org/#ends-in-a-number-checker>
fn is_ip_literal(text: &str) -> bool {
    let bracketed = text.starts_with('[') && text.ends_with(']');
    if bracketed {
        let inside = &text[1..text.len() - 1];
        // `[name]` is no address but a bad authority; `[v1.x]` is IPvFuture (RFC 3986 §3.2.2).
        return inside.contains(':') || inside.starts_with(['v', 'V']);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let dotless = text.strip_suffix('.').unwrap_or(text);
    let last = dotless.rsplit('.').next().unwrap_or_default();
    let decimal = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let hex = last
        .strip_prefix("0x")
        .or_else(|| last.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    decimal || hex
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl Serialize for Hostname {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A TCP port, 1 to 65535.
///
/// Parsed from plain decimal digits only: no sign, no leading zero, no space, so that no other reader
/// can see another number.
///
/// ```
/// use ringfence_config::{Port, hostname::PortError};
///
/// assert_eq!("443".parse(), Ok(Port::HTTPS));
/// assert_eq!("0443".parse::<Port>(), Err(PortError));
/// assert_eq!("65979".parse::<Port>(), Err(PortError));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

/// A text that is not a [`Port`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a port is a decimal number from 1 to 65535 without sign or leading zero")]
pub struct PortError;

impl Port {
    /// 443, the only port a registry uses.
    pub const HTTPS: Self = Self(NonZeroU16::new(443).unwrap());

    /// The number, 1 to 65535.
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for Port {
    type Error = PortError;

    fn try_from(number: u16) -> Result<Self, PortError> {
        NonZeroU16::new(number).map(Self).ok_or(PortError)
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if !text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('0') {
            return Err(PortError);
        }
        text.parse().map(Self).map_err(|_| PortError)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_canonical_or_refused_with_their_reason() {
        let long_label = "a".repeat(64);
        let rows: &[(&str, Result<&str, Error>)] = &[
            ("contoso.azurecr.io", Ok("contoso.azurecr.io")),
            ("Contoso.AzureCR.io", Ok("contoso.azurecr.io")),
            ("1acme.azurecr.io", Ok("1acme.azurecr.io")),
            ("", Err(Error::Empty)),
            (".", Err(Error::EmptyLabel)),
            ("a..b", Err(Error::EmptyLabel)),
            (".a.b", Err(Error::EmptyLabel)),
            ("a.b..", Err(Error::EmptyLabel)),
            ("a.b.", Err(Error::TrailingDot)),
            ("localhost", Err(Error::SingleLabel)),
            ("a_b.c", Err(Error::BadCharacter('_'))),
            ("*.b.c", Err(Error::BadCharacter('*'))),
            ("a b.c", Err(Error::BadCharacter(' '))),
            ("a.b/c", Err(Error::BadCharacter('/'))),
            ("a%2eb.c", Err(Error::BadCharacter('%'))),
            ("u@a.b", Err(Error::BadCharacter('@'))),
            ("a\0.b", Err(Error::BadCharacter('\0'))),
            ("[a.b]", Err(Error::BadCharacter('['))),
            ("-a.b", Err(Error::HyphenAtEdge)),
            ("a-.b", Err(Error::HyphenAtEdge)),
            ("xn--acme-.azurecr.io", Err(Error::HyphenAtEdge)),
            ("xn--bcher-kva.example", Err(Error::Punycode)),
            ("acme\u{3002}azurecr.io", Err(Error::NonAscii('\u{3002}'))),
            ("ac\u{ad}me.azurecr.io", Err(Error::NonAscii('\u{ad}'))),
            (&format!("{long_label}.b"), Err(Error::LabelTooLong)),
            (&"a.".repeat(127), Err(Error::TrailingDot)),
            (&format!("{}b", "a.".repeat(127)), Err(Error::TooLong)),
            ("127.0.0.1", Err(Error::IpLiteral)),
            ("1.2.3.4.", Err(Error::IpLiteral)),
            ("127.1", Err(Error::IpLiteral)),
            ("2130706433", Err(Error::IpLiteral)),
            ("0x7f.1", Err(Error::IpLiteral)),
            ("a.0x7f", Err(Error::IpLiteral)),
            ("0177.0.0.1", Err(Error::IpLiteral)),
            ("::1", Err(Error::IpLiteral)),
            ("[::1]", Err(Error::IpLiteral)),
            ("[fe80::1%25eth0]", Err(Error::IpLiteral)),
            ("[v1.x]", Err(Error::IpLiteral)),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Hostname>();
            assert_eq!(
                parsed.as_ref().map(Hostname::as_str),
                expected.as_ref().map(|s| *s),
                "{text:?}"
            );
        }
    }

    #[test]
    fn below_means_whole_labels() {
        let host: Hostname = "evilazurecr.io".parse().expect("valid");
        assert!(!host.is_below("azurecr.io"));
        let host: Hostname = "contoso.azurecr.io".parse().expect("valid");
        assert!(host.is_below("azurecr.io"));
        assert!(!host.is_below("contoso.azurecr.io"));
    }

    #[test]
    fn ports_are_plain_decimal() {
        for text in [
            "",
            "0",
            "+443",
            "0443",
            " 443",
            "443 ",
            "4_43",
            "65536",
            "65979",
            "-1",
            "0x1bb",
            "４４３",
        ] {
            assert_eq!(text.parse::<Port>(), Err(PortError), "{text:?}");
        }
        assert_eq!("65535".parse::<Port>().map(Port::number), Ok(65535));
    }

    proptest! {
        #[test]
        fn display_parses_back(text in "[a-zA-Z0-9.-]{0,70}") {
            if let Ok(host) = text.parse::<Hostname>() {
                prop_assert_eq!(host.to_string().parse::<Hostname>(), Ok(host.clone()));
                prop_assert_eq!(host.as_str(), text.to_ascii_lowercase());
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Hostname>();
            let _ = text.parse::<Port>();
        }
    }
}
