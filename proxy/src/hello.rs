//! Decides what a client's first TLS bytes ask for: which server, and how. Whether that server is the
//! right one is the permit's decision, and what comes after a HelloRetryRequest is [`crate::hello::retry`]'s.
//!
//! The reader is our own because general TLS libraries tolerate what we must refuse: a second server
//! name, trailing bytes, names that only some servers accept.

pub mod retry;

use std::collections::HashSet;
use std::time::Duration;

use ringfence_config::Hostname;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::reason::Reason;

/// How much of a ClientHello is read, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the handshake message; records add their headers.
    pub bytes: usize,
    /// From the 200 to the end of the message.
    pub time: Duration,
}

/// What a ClientHello may ask for, beside a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether it may announce early data.
    pub early_data: EarlyData,
    /// What application protocols it may offer.
    pub alpn: Protocols,
}

/// Whether data may come before the handshake (0-RTT). Someone who records it can send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyData {
    /// It may.
    Allow,
    /// It may not.
    Forbid,
}

/// The application protocols that a client may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocols {
    /// Whatever it likes.
    Any,
    /// One that registries speak among them, or none at all.
    Http,
}

/// One ClientHello and the bytes it came in, with whatever the client sent behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello {
    /// To be forwarded as they are.
    pub bytes: Vec<u8>,
    /// How many of the bytes are the ClientHello's.
    pub length: usize,
    /// What it asks for.
    pub offer: Offer,
}

/// What a ClientHello asks for, as far as someone may object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The server it names.
    pub name: ServerName,
    /// Whether it announces data before the handshake.
    pub early_data: bool,
    /// The application protocols it offers.
    pub alpn: Alpn,
}

/// The application protocols that a ClientHello offers (RFC 7301 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// It doesn't say.
    Unsaid,
    /// `h2`, `http/1.1` or both, maybe with others.
    Http,
    /// Only others.
    Other,
}

/// The server that a ClientHello names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// One host name.
    Host(Hostname),
    /// One name that no host has, cut and made printable.
    Invalid(String),
    /// None.
    Missing,
    /// There is an encrypted one.
    Hidden,
}

impl ServerName {
    /// The host it names, if it names one that can be compared.
    pub fn host(&self) -> Result<&Hostname, Reason> {
        match self {
            Self::Host(host) => Ok(host),
            Self::Invalid(_) => Err(Reason::SniInvalid),
            Self::Missing => Err(Reason::SniMissing),
            Self::Hidden => Err(Reason::EchForbidden),
        }
    }
}

impl Rules {
    /// Checks what a ClientHello asks for beside its server.
    pub fn check(&self, offer: &Offer) -> Result<(), Reason> {
        if offer.early_data && self.early_data == EarlyData::Forbid {
            return Err(Reason::EarlyDataForbidden);
        }
        if offer.alpn == Alpn::Other && self.alpn == Protocols::Http {
            return Err(Reason::AlpnForbidden);
        }
        Ok(())
    }
}

/// Reads from `stream`, after what is already in `bytes`, until one ClientHello is whole.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut bytes: Vec<u8>,
    limits: &Limits,
) -> Result<Hello, Reason> {
    let mut assembly = Assembly::default();
    let whole = async {
        loop {
            if let Progress::Done(offer) = assembly.advance(&bytes, limits.bytes)? {
                return Ok(offer);
            }
            // The assembly bounds the message; cut into tiny records it could still be six times as long.
            let room = (2 * limits.bytes).saturating_sub(bytes.len());
            if room == 0 {
                return Err(Reason::ClientHelloTooLarge);
            }
            match stream.take(room as u64).read_buf(&mut bytes).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Reason::ClientClosed),
            }
        }
    };
    let offer = timeout(limits.time, whole).await.unwrap_or(Err(Reason::ClientHelloTimeout))?;
    Ok(Hello { length: assembly.length(), bytes, offer })
}

/// How far a ClientHello has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// So far it is well formed.
    NeedsMore,
    /// It is whole.
    Done(Offer),
}

/// Reads `bytes` as one ClientHello of at most `limit` bytes.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Progress, Reason> {
    Assembly::default().advance(bytes, limit)
}

/// A handshake message on its way out of its records. It looks at each byte once, so a hello that comes
/// in single bytes costs no more than one that comes whole.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    message: Vec<u8>,
    /// How many bytes have been looked at.
    at: usize,
    /// How many bytes of the current record are still to come.
    left: usize,
}

impl Assembly {
    /// How many bytes of what was given are the ClientHello's, once it is whole.
    pub(crate) fn length(&self) -> usize {
        self.at
    }

    /// Goes on with `bytes`, which begin with all the bytes given before, towards a message of at most
    /// `limit` bytes.
    pub(crate) fn advance(&mut self, bytes: &[u8], limit: usize) -> Result<Progress, Reason> {
        loop {
            match client_hello(&self.message, limit)? {
                // Nothing may follow a ClientHello in its record before the server has answered.
                Some(_) if self.left > 0 => return Err(Reason::MalformedTls),
                Some(body) => return offer(body).map(Progress::Done),
                None => {}
            }
            let rest = &bytes[self.at..];
            if self.left > 0 {
                if rest.is_empty() {
                    return Ok(Progress::NeedsMore);
                }
                // What is missing of the message, so that what follows it isn't swallowed.
                let taken = self.left.min(rest.len()).min(missing(&self.message));
                self.message.extend_from_slice(&rest[..taken]);
                self.at += taken;
                self.left -= taken;
                continue;
            }
            // A TLSPlaintext record (RFC 8446 §5.1): type, version, length, fragment.
            match *rest {
                [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => {
                    return Ok(Progress::NeedsMore);
                }
                [HANDSHAKE, 3, _, high, low, ..] => {
                    self.left = usize::from(u16::from_be_bytes([high, low]));
                    self.at += 5;
                    if self.left == 0 || self.left > MAX_FRAGMENT {
                        return Err(Reason::MalformedTls);
                    }
                }
                // Some other kind of record, before the hello or in the middle of it.
                [CHANGE_CIPHER_SPEC..=HEARTBEAT, 3, ..] => return Err(Reason::MalformedTls),
                _ if self.at > 0 => return Err(Reason::MalformedTls),
                [CHANGE_CIPHER_SPEC..=HEARTBEAT] => return Ok(Progress::NeedsMore),
                [0x80..=0xff, ref rest @ ..] => return sslv2(rest),
                _ => return Err(Reason::NotTls),
            }
        }
    }
}

/// How many bytes the handshake message in `message` lacks: those of its header, then those of its body.
fn missing(message: &[u8]) -> usize {
    match message {
        [_, a, b, c, body @ ..] => length(*a, *b, *c) - body.len(),
        short => 4 - short.len(),
    }
}

fn length(a: u8, b: u8, c: u8) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

/// The body of the ClientHello in `message`, once it is whole (RFC 8446 §4).
fn client_hello(message: &[u8], limit: usize) -> Result<Option<&[u8]>, Reason> {
    match message {
        [] | [CLIENT_HELLO] | [CLIENT_HELLO, _] | [CLIENT_HELLO, _, _] => Ok(None),
        [CLIENT_HELLO, a, b, c, body @ ..] => match length(*a, *b, *c) {
            length if length > limit => Err(Reason::ClientHelloTooLarge),
            length => Ok((body.len() == length).then_some(body)),
        },
        _ => Err(Reason::MalformedTls),
    }
}

/// What follows the first length octet of a record of SSL 2.0: the other one, a CLIENT-HELLO's type, and a
/// version up to TLS 1.2, which nobody may offer that way any more (RFC 6176 §3).
fn sslv2(rest: &[u8]) -> Result<Progress, Reason> {
    match rest {
        [] | [_] | [_, CLIENT_HELLO] | [_, CLIENT_HELLO, 0] => Ok(Progress::NeedsMore),
        [_, CLIENT_HELLO, 0, 2, ..] | [_, CLIENT_HELLO, 3, ..] => Err(Reason::TlsVersion),
        _ => Err(Reason::NotTls),
    }
}

/// What the ClientHello with this body asks for (RFC 8446 §4.1.2).
fn offer(body: &[u8]) -> Result<Offer, Reason> {
    let mut hello = Reader(body);
    let legacy_version = hello.u16()?;
    let _random = hello.take(32)?;
    let session_id = hello.short_vector()?;
    let cipher_suites = hello.vector()?;
    let compression = hello.short_vector()?;
    if session_id.len() > 32
        || cipher_suites.is_empty()
        || cipher_suites.len() % 2 != 0
        || compression.is_empty()
    {
        return Err(Reason::MalformedTls);
    }
    // TLS 1.2 allows a ClientHello without extensions.
    let mut extensions = Reader(if hello.0.is_empty() { &[] } else { hello.vector()? });
    hello.end()?;
    let mut offer = Offer { name: ServerName::Missing, early_data: false, alpn: Alpn::Unsaid };
    let mut acceptable = is_acceptable(legacy_version);
    let mut seen = HashSet::new();
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.u16()?, extensions.vector()?);
        if !seen.insert(kind) {
            return Err(Reason::MalformedTls);
        }
        match kind {
            SERVER_NAME => {
                let name = server_name(content)?;
                // A hidden name stays hidden, whichever comes first.
                if offer.name == ServerName::Missing {
                    offer.name = name;
                }
            }
            ENCRYPTED_CLIENT_HELLO | ENCRYPTED_SERVER_NAME => offer.name = ServerName::Hidden,
            SUPPORTED_VERSIONS => acceptable = supported_versions(content)?,
            EARLY_DATA => offer.early_data = true,
            ALPN => offer.alpn = protocols(content)?,
            _ => {}
        }
    }
    if acceptable { Ok(offer) } else { Err(Reason::TlsVersion) }
}

/// The one host name of a server name list (RFC 6066 §3).
fn server_name(content: &[u8]) -> Result<ServerName, Reason> {
    let mut outer = Reader(content);
    let mut list = Reader(outer.vector()?);
    let (kind, name) = (list.u8()?, list.vector()?);
    // Exactly one name, of the only type there is, and nothing behind it.
    list.end()?;
    outer.end()?;
    if kind != HOST_NAME || name.is_empty() {
        return Err(Reason::MalformedTls);
    }
    let host = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok());
    Ok(host.map_or_else(
        || ServerName::Invalid(name.escape_ascii().take(MAX_SHOWN).map(char::from).collect()),
        ServerName::Host,
    ))
}

/// Whether one of the versions that a client supports is acceptable (RFC 8446 §4.2.1). Where it lists
/// them, they count, and the old field says TLS 1.2 for the sake of old servers.
fn supported_versions(content: &[u8]) -> Result<bool, Reason> {
    let mut outer = Reader(content);
    let mut versions = Reader(outer.short_vector()?);
    outer.end()?;
    let mut acceptable = false;
    while !versions.0.is_empty() {
        acceptable |= is_acceptable(versions.u16()?);
    }
    Ok(acceptable)
}

/// TLS 1.2 and what comes after it; neither DTLS, nor drafts, nor the numbers that mean nothing (RFC 8701).
fn is_acceptable(version: u16) -> bool {
    (0x0303..=0x03ff).contains(&version)
}

/// The application protocols that a client offers (RFC 7301 §3.1).
fn protocols(content: &[u8]) -> Result<Alpn, Reason> {
    let mut outer = Reader(content);
    let mut names = Reader(outer.vector()?);
    outer.end()?;
    let mut alpn = Alpn::Other;
    while !names.0.is_empty() {
        if matches!(names.short_vector()?, b"h2" | b"http/1.1") {
            alpn = Alpn::Http;
        }
    }
    Ok(alpn)
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Reason::MalformedTls)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Reason> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Result<u16, Reason> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// One octet of length, then that many.
    fn short_vector(&mut self) -> Result<&'a [u8], Reason> {
        self.u8().and_then(|length| self.take(length.into()))
    }

    /// Two octets of length, then that many.
    fn vector(&mut self) -> Result<&'a [u8], Reason> {
        self.u16().and_then(|length| self.take(length.into()))
    }

    /// Nothing is left.
    fn end(&self) -> Result<(), Reason> {
        if self.0.is_empty() { Ok(()) } else { Err(Reason::MalformedTls) }
    }
}

/// Types of records (RFC 8446 §5.1, RFC 6520 §3).
const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const HANDSHAKE: u8 = 22;
const HEARTBEAT: u8 = 24;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u16 = 16;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
/// RFC 9849 §5.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// The draft that ECH grew from.
const ENCRYPTED_SERVER_NAME: u16 = 0xffce;
/// RFC 8446 §5.1.
const MAX_FRAGMENT: usize = 1 << 14;
const MAX_SHOWN: usize = 300;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 64 * 1024;

    fn vector(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).expect("short").to_be_bytes()[..], content].concat()
    }

    pub(crate) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(content)].concat()
    }

    pub(crate) fn sni(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector(&[&[HOST_NAME][..], &vector(name)].concat()))
    }

    pub(crate) fn message(extensions: &[u8]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 0x01]), &[1, 0]].concat();
        let body = [&fixed[..], &vector(extensions)].concat();
        [&[CLIENT_HELLO, 0][..], &vector(&body)].concat()
    }

    pub(crate) fn record(fragment: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &vector(fragment)].concat()
    }

    fn host(text: &str) -> ServerName {
        ServerName::Host(text.parse().expect("a host"))
    }

    fn done(text: &str) -> Progress {
        Progress::Done(Offer { name: host(text), early_data: false, alpn: Alpn::Unsaid })
    }

    fn read(bytes: &[u8]) -> Result<Offer, Reason> {
        match parse(bytes, LIMIT)? {
            Progress::Done(offer) => Ok(offer),
            Progress::NeedsMore => panic!("it is whole"),
        }
    }

    fn alpn(names: &[&str]) -> Vec<u8> {
        let names = names
            .iter()
            .map(|name| [&[u8::try_from(name.len()).expect("short")], name.as_bytes()].concat());
        extension(ALPN, &vector(&names.collect::<Vec<_>>().concat()))
    }

    fn versions(versions: &[u16]) -> Vec<u8> {
        let versions: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        let length = u8::try_from(versions.len()).expect("short");
        extension(SUPPORTED_VERSIONS, &[&[length][..], &versions].concat())
    }

    #[test]
    fn each_hello_names_its_server_or_has_its_reason() {
        let name = sni(b"contoso.azurecr.io");
        let other = extension(16, &[0, 3, 2, b'h', b'2']);
        let ech = extension(ENCRYPTED_CLIENT_HELLO, &[0]);
        let two_in_list = [&[0][..], &vector(b"a.b"), &[0], &vector(b"c.d")].concat();
        let rows: Vec<(&str, Vec<u8>, Result<ServerName, Reason>)> = vec![
            ("one name", name.clone(), Ok(host("contoso.azurecr.io"))),
            ("upper case", sni(b"Contoso.AzureCR.io"), Ok(host("contoso.azurecr.io"))),
            ("last", [other.clone(), name.clone()].concat(), Ok(host("contoso.azurecr.io"))),
            ("none", other, Ok(ServerName::Missing)),
            ("ech after sni", [name.clone(), ech.clone()].concat(), Ok(ServerName::Hidden)),
            ("ech before sni", [ech, name.clone()].concat(), Ok(ServerName::Hidden)),
            ("esni", extension(ENCRYPTED_SERVER_NAME, &[]), Ok(ServerName::Hidden)),
            (
                "dot",
                sni(b"contoso.azurecr.io."),
                Ok(ServerName::Invalid("contoso.azurecr.io.".into())),
            ),
            ("nul", sni(b"a\0.b"), Ok(ServerName::Invalid("a\\x00.b".into()))),
            ("space", sni(b"a .b"), Ok(ServerName::Invalid("a .b".into()))),
            ("brackets", sni(b"[a.b]"), Ok(ServerName::Invalid("[a.b]".into()))),
            ("address", sni(b"10.0.0.1"), Ok(ServerName::Invalid("10.0.0.1".into()))),
            ("address", sni(b"[::1]"), Ok(ServerName::Invalid("[::1]".into()))),
            ("port", sni(b"a.b:443"), Ok(ServerName::Invalid("a.b:443".into()))),
            (
                "no ascii",
                sni("a.b\u{e9}".as_bytes()),
                Ok(ServerName::Invalid("a.b\\xc3\\xa9".into())),
            ),
            ("two extensions", [name.clone(), name.clone()].concat(), Err(Reason::MalformedTls)),
            ("two names", extension(0, &vector(&two_in_list)), Err(Reason::MalformedTls)),
            (
                "unknown type",
                extension(0, &vector(&[&[1][..], &vector(b"a.b")].concat())),
                Err(Reason::MalformedTls),
            ),
            ("empty list", extension(0, &vector(&[])), Err(Reason::MalformedTls)),
            ("empty name", sni(b""), Err(Reason::MalformedTls)),
            (
                "bytes behind",
                extension(0, &[vector(&[&[0][..], &vector(b"a.b")].concat()), vec![0]].concat()),
                Err(Reason::MalformedTls),
            ),
            ("cut extension", name[..name.len() - 1].to_vec(), Err(Reason::MalformedTls)),
        ];
        for (what, extensions, expected) in rows {
            let name = read(&record(&message(&extensions))).map(|offer| offer.name);
            assert_eq!(name, expected, "{what}");
        }
    }

    #[test]
    fn records_that_hold_no_hello_have_their_reason() {
        let hello = message(&sni(b"a.b"));
        let rows: Vec<(&str, Vec<u8>, Result<Progress, Reason>)> = vec![
            ("nothing", vec![], Ok(Progress::NeedsMore)),
            ("first octet", vec![HANDSHAKE], Ok(Progress::NeedsMore)),
            ("http", b"GET / HTTP/1.1\r\n".to_vec(), Err(Reason::NotTls)),
            ("ssh", b"S".to_vec(), Err(Reason::NotTls)),
            ("sslv2", vec![0x80, 0x2e, 1, 0, 2], Err(Reason::TlsVersion)),
            ("sslv2 for 3.1", vec![0x80, 0x2e, 1, 3, 1], Err(Reason::TlsVersion)),
            ("sslv2 begins", vec![0x80, 0x2e, 1], Ok(Progress::NeedsMore)),
            ("like sslv2", vec![0x80, 0x2e, 1, 7], Err(Reason::NotTls)),
            ("ccs first", vec![20, 3, 3, 0, 1, 1], Err(Reason::MalformedTls)),
            ("alert first", vec![21, 3, 3, 0, 2, 1, 0], Err(Reason::MalformedTls)),
            ("data first", vec![23, 3, 3], Err(Reason::MalformedTls)),
            ("version", vec![HANDSHAKE, 2, 0], Err(Reason::NotTls)),
            ("empty record", vec![HANDSHAKE, 3, 1, 0, 0], Err(Reason::MalformedTls)),
            ("long record", vec![HANDSHAKE, 3, 1, 0x40, 1], Err(Reason::MalformedTls)),
            ("server hello", record(&[2, 0, 0, 0]), Err(Reason::MalformedTls)),
            ("long hello", record(&[CLIENT_HELLO, 1, 0, 1]), Err(Reason::ClientHelloTooLarge)),
            (
                "alert inside",
                [record(&hello[..9]), vec![21, 3, 3, 0, 2, 1, 0]].concat(),
                Err(Reason::MalformedTls),
            ),
            ("message behind", record(&[&hello[..], &[0]].concat()), Err(Reason::MalformedTls)),
            (
                "empty record inside",
                [record(&hello[..9]), vec![HANDSHAKE, 3, 1, 0, 0], record(&hello[9..])].concat(),
                Err(Reason::MalformedTls),
            ),
            (
                "ccs inside",
                [record(&hello[..9]), vec![20, 3, 3, 0, 1, 1], record(&hello[9..])].concat(),
                Err(Reason::MalformedTls),
            ),
            ("record behind", [record(&hello), vec![23, 3, 3, 0, 1, 0]].concat(), Ok(done("a.b"))),
        ];
        for (what, bytes, expected) in rows {
            assert_eq!(parse(&bytes, LIMIT), expected, "{what}");
        }
    }

    /// What it is, the legacy version, the extensions, the verdict.
    type Row = (&'static str, u16, Vec<u8>, Result<(), Reason>);

    #[test]
    fn versions_count_as_the_client_means_them() {
        let (ok, old) = (Ok(()), Err(Reason::TlsVersion));
        let rows: Vec<Row> = vec![
            ("1.2 without a list", 0x0303, vec![], ok),
            ("1.1 without a list", 0x0302, vec![], old),
            ("1.0 without a list", 0x0301, vec![], old),
            ("3.0 without a list", 0x0300, vec![], old),
            ("dtls without a list", 0xfefd, vec![], old),
            ("1.3 in the list", 0x0303, versions(&[0x0304]), ok),
            ("1.3 among others", 0x0303, versions(&[0x7a7a, 0x0304, 0x0303, 0x0302]), ok),
            ("1.2 in the list", 0x0301, versions(&[0x0303]), ok),
            ("1.1 in the list", 0x0303, versions(&[0x0302, 0x0301]), old),
            ("nothing real in the list", 0x0303, versions(&[0x7a7a, 0x7f1c]), old),
            ("an empty list", 0x0303, versions(&[]), old),
            ("half a version", 0x0303, extension(43, &[1, 3]), Err(Reason::MalformedTls)),
            (
                "bytes behind the list",
                0x0303,
                extension(43, &[2, 3, 4, 0]),
                Err(Reason::MalformedTls),
            ),
        ];
        for (what, legacy, versions, expected) in rows {
            let mut hello = message(&[sni(b"a.b"), versions].concat());
            hello[4..6].copy_from_slice(&legacy.to_be_bytes());
            assert_eq!(read(&record(&hello)).map(|_| ()), expected, "{what}");
        }
    }

    #[test]
    fn rules_bind_only_who_is_told() {
        let early = extension(EARLY_DATA, &[]);
        let lax = Rules { early_data: EarlyData::Allow, alpn: Protocols::Any };
        let strict = Rules { early_data: EarlyData::Forbid, alpn: Protocols::Http };
        let rows = [
            ("neither", vec![], Ok(())),
            ("early data", early, Err(Reason::EarlyDataForbidden)),
            ("h2", alpn(&["h2"]), Ok(())),
            ("http/1.1 among others", alpn(&["\u{a}\u{a}", "http/1.1", "x"]), Ok(())),
            ("http/1.0", alpn(&["http/1.0"]), Err(Reason::AlpnForbidden)),
            ("others", alpn(&["smtp", "h2c"]), Err(Reason::AlpnForbidden)),
            ("an empty list", alpn(&[]), Err(Reason::AlpnForbidden)),
        ];
        for (what, extensions, expected) in rows {
            let offer = read(&record(&message(&extensions))).expect(what);
            assert_eq!(strict.check(&offer), expected, "{what}");
            assert_eq!(lax.check(&offer), Ok(()), "{what}");
        }
        for malformed in
            [extension(ALPN, &[]), extension(ALPN, &[0, 2, 3, b'h']), extension(ALPN, &[0, 0, 0])]
        {
            assert_eq!(read(&record(&message(&malformed))), Err(Reason::MalformedTls));
        }
    }

    /// TLS 1.2 allows it.
    #[test]
    fn a_hello_without_extensions_names_nobody() {
        let hello = message(&[]);
        let mut bare = hello[..hello.len() - 2].to_vec();
        bare[3] -= 2;
        for hello in [hello, bare] {
            assert_eq!(read(&record(&hello)).map(|offer| offer.name), Ok(ServerName::Missing));
        }
    }

    #[test]
    fn a_name_behind_sixty_kilobytes_is_read() {
        let extensions = [extension(0x33, &vec![7; 60_000]), sni(b"a.b")].concat();
        let records: Vec<u8> = message(&extensions).chunks(MAX_FRAGMENT).flat_map(record).collect();
        assert_eq!(parse(&records, LIMIT), Ok(done("a.b")));
    }

    proptest! {
        /// However a hello is cut into records and segments, the verdict is the same and never early.
        #[test]
        fn cuts_do_not_matter(size in 1_usize..100, pad in 0_usize..600) {
            let hello = message(&[extension(21, &vec![0; pad]), sni(b"contoso.azurecr.io")].concat());
            let bytes: Vec<u8> = hello.chunks(size).flat_map(record).collect();
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end], LIMIT), Ok(Progress::NeedsMore));
            }
            prop_assert_eq!(parse(&bytes, LIMIT), Ok(done("contoso.azurecr.io")));
        }

        /// Where ours finds a host, an independent parser finds the same one.
        #[test]
        fn an_independent_parser_agrees(at in 0_usize..140, to in any::<u8>()) {
            let mut bytes = record(&message(&[extension(16, &[0, 3, 2, b'h', b'2']), sni(b"contoso.azurecr.io")].concat()));
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(Progress::Done(Offer { name: ServerName::Host(ours), .. })) = parse(&bytes, LIMIT) {
                let (_, records) = tls_parser::parse_tls_plaintext(&bytes).expect("a record");
                let tls_parser::TlsMessage::Handshake(tls_parser::TlsMessageHandshake::ClientHello(hello)) = &records.msg[0] else {
                    return Err(TestCaseError::fail("no ClientHello"));
                };
                let (_, extensions) = tls_parser::parse_tls_client_hello_extensions(hello.ext.expect("extensions")).expect("extensions");
                let names = extensions.iter().find_map(|extension| match extension {
                    tls_parser::TlsExtension::SNI(names) => Some(names),
                    _ => None,
                });
                // It stops at an extension whose content it can't read, even one that is none of our business.
                let Some(names) = names else { return Ok(()) };
                let theirs = names[0].1.to_ascii_lowercase();
                prop_assert_eq!(ours.as_str().as_bytes(), &theirs[..]);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, LIMIT);
            let _ = parse(&record(&[&[CLIENT_HELLO, 0][..], &vector(&bytes)].concat()), LIMIT);
            let _ = parse(&record(&message(&bytes)), LIMIT);
        }
    }
}
