//! Decides which names a certificate proves, and how a name is written.

use std::fmt;
use std::str::FromStr;

use rustls::ServerConnection;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The subject alternative names of a certificate that a program can have: host names, URIs and mail
/// addresses. The subject's common name is none of them (RFC 9525 §2), so a certificate without alternative
/// names has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(pub(super) Vec<SanName>);

/// Why a certificate's names can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNames {
    /// Not what RFC 5280 §4.2.1.6 says.
    #[error("its alternative names are malformed")]
    Malformed,
    /// More than anyone needs.
    #[error("it has more than {MAX_NAMES} alternative names")]
    TooMany,
}

impl Names {
    /// Those of the certificate that a client has shown. Its own comes first; what is behind it proves who
    /// issued it, and nothing else.
    pub(super) fn shown(connection: &ServerConnection) -> Result<Option<Self>, BadNames> {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        leaf.map(|der| Self::of(der)).transpose()
    }

    /// Reads the names of a certificate in DER. Names that can't stand in our configuration, wildcards
    /// among them, are left out: nothing could equal them.
    pub fn of(certificate: &[u8]) -> Result<Self, BadNames> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| BadNames::Malformed)?;
        let extension = certificate.subject_alternative_name().map_err(|_| BadNames::Malformed)?;
        let listed = extension.map_or(&[][..], |extension| &extension.value.general_names);
        if listed.len() > MAX_NAMES {
            return Err(BadNames::TooMany);
        }
        let mut names = Vec::new();
        for name in listed {
            let name = match name {
                GeneralName::DNSName(text) => SanName::dns(text),
                GeneralName::URI(text) => SanName::uri(text),
                GeneralName::RFC822Name(text) => SanName::email(text),
                GeneralName::Invalid(..) => return Err(BadNames::Malformed),
                _ => continue,
            };
            names.extend(name);
        }
        Ok(Self(names))
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &SanName) -> bool {
        self.0.contains(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the certificate's order.
    pub fn iter(&self) -> impl Iterator<Item = &SanName> {
        self.0.iter()
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}

/// One name in a certificate: `dns:build.contoso.example`, `uri:spiffe://contoso/build`,
/// `email:build@contoso.example`. Two are the same if their kind and all their characters are; host names
/// are in lower case. A name has printable ASCII characters only and is no wildcard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SanName {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Dns,
    Uri,
    Email,
}

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// None of the kinds that certificates have.
    #[error("a certificate's name begins with `dns:`, `uri:` or `email:`")]
    UnknownKind,
    /// Not a host name.
    #[error("this is not a host name; a wildcard names nobody")]
    NotDns,
    /// Not a URI.
    #[error("this is not a URI, as in `uri:spiffe://contoso/build`")]
    NotUri,
    /// Not a mail address.
    #[error("this is not a mail address, as in `email:build@contoso.example`")]
    NotEmail,
}

impl SanName {
    /// A host name; a single label will do.
    pub fn dns(text: &str) -> Result<Self, BadName> {
        let label = |label: &str| {
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            matches!(label.len(), 1..=63) && label.bytes().all(inside)
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(BadName::NotDns);
        }
        Ok(Self { kind: Kind::Dns, text: text.to_ascii_lowercase() })
    }

    /// A URI, compared as it is written.
    pub fn uri(text: &str) -> Result<Self, BadName> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let starts = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        if !starts || text.len() > MAX_URI || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadName::NotUri);
        }
        Ok(Self { kind: Kind::Uri, text: text.to_owned() })
    }

    /// A mail address, compared as it is written, the domain too.
    pub fn email(text: &str) -> Result<Self, BadName> {
        let parts =
            text.split_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if parts.is_none() || text.len() > MAX_EMAIL || !printable {
            return Err(BadName::NotEmail);
        }
        Ok(Self { kind: Kind::Email, text: text.to_owned() })
    }
}

impl FromStr for SanName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.split_once(':') {
            Some(("dns", name)) => Self::dns(name),
            Some(("uri", name)) => Self::uri(name),
            Some(("email", name)) => Self::email(name),
            _ => Err(BadName::UnknownKind),
        }
    }
}

impl fmt::Display for SanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Dns => "dns",
            Kind::Uri => "uri",
            Kind::Email => "email",
        };
        write!(f, "{kind}:{}", self.text)
    }
}

/// A client's certificate has a few.
pub(super) const MAX_NAMES: usize = 64;
/// SPIFFE allows as many bytes, others are shorter.
const MAX_URI: usize = 2048;
/// RFC 5321 §4.5.3.1: 64 before the `@`, 255 behind it.
const MAX_EMAIL: usize = 320;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_a_kind_and_one_way_to_be_written() {
        let rows = [
            ("dns:Build.Contoso.example", Ok("dns:build.contoso.example")),
            ("dns:build_agent-1", Ok("dns:build_agent-1")),
            ("uri:spiffe://Contoso/build", Ok("uri:spiffe://Contoso/build")),
            ("email:Build@Contoso.example", Ok("email:Build@Contoso.example")),
            ("dns:*.contoso.example", Err(BadName::NotDns)),
            ("dns:", Err(BadName::NotDns)),
            ("dns:contoso.example.", Err(BadName::NotDns)),
            ("dns:a..b", Err(BadName::NotDns)),
            ("dns:a\0.b", Err(BadName::NotDns)),
            ("dns:bücher.example", Err(BadName::NotDns)),
            ("uri:contoso", Err(BadName::NotUri)),
            ("uri:://contoso", Err(BadName::NotUri)),
            ("uri:spiffe://contoso/a b", Err(BadName::NotUri)),
            ("email:build", Err(BadName::NotEmail)),
            ("email:@contoso.example", Err(BadName::NotEmail)),
            ("email:build@", Err(BadName::NotEmail)),
            ("email:build@contoso.example\n", Err(BadName::NotEmail)),
            ("DNS:contoso.example", Err(BadName::UnknownKind)),
            ("cn:contoso.example", Err(BadName::UnknownKind)),
            ("contoso.example", Err(BadName::UnknownKind)),
        ];
        for (text, expected) in rows {
            let name = SanName::from_str(text).map(|name| name.to_string());
            assert_eq!(name.as_deref(), expected.as_deref(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_name_reads_back(text in "(dns|uri|email):[ -~]{0,30}") {
            if let Ok(name) = SanName::from_str(&text) {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Names::of(&bytes);
        }
    }
}
