//! Decides what server a client's first TLS bytes name. Whether that is the right one is the permit's
//! decision.
//!
//! The reader is our own because general TLS libraries tolerate what we must refuse: a second server
//! name, trailing bytes, names that only some servers accept.

use std::collections::HashSet;
use std::time::Duration;

use ringfence_config::Hostname;
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

/// One ClientHello and the bytes it came in, with whatever the client sent behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hello {
    /// To be forwarded as they are.
    pub bytes: Vec<u8>,
    /// The server it names.
    pub name: ServerName,
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

/// Reads from `stream`, after what is already in `bytes`, until one ClientHello is whole.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut bytes: Vec<u8>,
    limits: &Limits,
) -> Result<Hello, Reason> {
    let mut assembly = Assembly::default();
    let whole = async {
        loop {
            if let Progress::Done(name) = assembly.advance(&bytes, limits.bytes)? {
                return Ok(name);
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
    let name = timeout(limits.time, whole).await.unwrap_or(Err(Reason::ClientHelloTimeout))?;
    Ok(Hello { bytes, name })
}

/// How far a ClientHello has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// So far it is well formed.
    NeedsMore,
    /// It is whole.
    Done(ServerName),
}

/// Reads `bytes` as one ClientHello of at most `limit` bytes.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Progress, Reason> {
    Assembly::default().advance(bytes, limit)
}

/// A handshake message on its way out of its records. It looks at each byte once, so a hello that comes
/// in single bytes costs no more than one that comes whole.
#[derive(Debug, Default)]
struct Assembly {
    message: Vec<u8>,
    /// How many bytes have been looked at.
    at: usize,
    /// How many bytes of the current record are still to come.
    left: usize,
}

impl Assembly {
    /// Goes on with `bytes`, which begin with all the bytes given before.
    fn advance(&mut self, bytes: &[u8], limit: usize) -> Result<Progress, Reason> {
        loop {
            match client_hello(&self.message, limit)? {
                // Nothing may follow a ClientHello in its record before the server has answered.
                Some(_) if self.left > 0 => return Err(Reason::MalformedTls),
                Some(body) => {
                    return server_name(body).map(Progress::Done).ok_or(Reason::MalformedTls);
                }
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
                _ if self.at == 0 => return Err(Reason::NotTls),
                _ => return Err(Reason::MalformedTls),
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

/// The server name of a ClientHello (RFC 8446 §4.1.2), or `None` if it is malformed.
fn server_name(body: &[u8]) -> Option<ServerName> {
    let mut hello = Reader(body);
    let _version_and_random = hello.take(2 + 32)?;
    let session_id = hello.u8().and_then(|length| hello.take(length.into()))?;
    let cipher_suites = hello.vector()?;
    let compression = hello.u8().and_then(|length| hello.take(length.into()))?;
    if session_id.len() > 32
        || cipher_suites.is_empty()
        || cipher_suites.len() % 2 != 0
        || compression.is_empty()
    {
        return None;
    }
    if hello.0.is_empty() {
        // TLS 1.2 allows a ClientHello without extensions.
        return Some(ServerName::Missing);
    }
    let mut extensions = Reader(hello.vector()?);
    if !hello.0.is_empty() {
        return None;
    }
    let mut name = ServerName::Missing;
    let mut seen = HashSet::new();
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.u16()?, extensions.vector()?);
        if !seen.insert(kind) {
            return None;
        }
        match kind {
            SERVER_NAME => {
                let listed = server_name_list(content)?;
                // A hidden name stays hidden, whichever comes first.
                if name == ServerName::Missing {
                    name = listed;
                }
            }
            ENCRYPTED_CLIENT_HELLO | ENCRYPTED_SERVER_NAME => name = ServerName::Hidden,
            _ => {}
        }
    }
    Some(name)
}

/// The one host name of a server name list (RFC 6066 §3).
fn server_name_list(content: &[u8]) -> Option<ServerName> {
    let mut outer = Reader(content);
    let mut list = Reader(outer.vector()?);
    let (kind, name) = (list.u8()?, list.vector()?);
    // Exactly one name, of the only type there is, and nothing behind it.
    if kind != HOST_NAME || name.is_empty() || !list.0.is_empty() || !outer.0.is_empty() {
        return None;
    }
    let host = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok());
    Some(host.map_or_else(
        || ServerName::Invalid(name.escape_ascii().take(MAX_SHOWN).map(char::from).collect()),
        ServerName::Host,
    ))
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Two octets of length, then that many.
    fn vector(&mut self) -> Option<&'a [u8]> {
        self.u16().and_then(|length| self.take(length.into()))
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// RFC 9849 §5.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// The draft that ECH grew from.
const ENCRYPTED_SERVER_NAME: u16 = 0xffce;
/// RFC 8446 §5.1.
const MAX_FRAGMENT: usize = 1 << 14;
const MAX_SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 64 * 1024;

    fn vector(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).expect("short").to_be_bytes()[..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(content)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector(&[&[HOST_NAME][..], &vector(name)].concat()))
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 0x01]), &[1, 0]].concat();
        let body = [&fixed[..], &vector(extensions)].concat();
        [&[CLIENT_HELLO, 0][..], &vector(&body)].concat()
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        [&[HANDSHAKE, 3, 1][..], &vector(fragment)].concat()
    }

    fn host(text: &str) -> ServerName {
        ServerName::Host(text.parse().expect("a host"))
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
            ("address", sni(b"10.0.0.1"), Ok(ServerName::Invalid("10.0.0.1".into()))),
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
            let parsed = parse(&record(&message(&extensions)), LIMIT);
            assert_eq!(parsed, expected.map(Progress::Done), "{what}");
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
            ("sslv2", vec![0x80, 0x2e, 1, 3, 1], Err(Reason::NotTls)),
            ("alert first", vec![21, 3, 3, 0, 2, 1, 0], Err(Reason::NotTls)),
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
            ("no extensions", record(&message(&[])), Ok(Progress::Done(ServerName::Missing))),
            (
                "record behind",
                [record(&hello), vec![23, 3, 3, 0, 1, 0]].concat(),
                Ok(Progress::Done(host("a.b"))),
            ),
        ];
        for (what, bytes, expected) in rows {
            assert_eq!(parse(&bytes, LIMIT), expected, "{what}");
        }
    }

    #[test]
    fn a_name_behind_sixty_kilobytes_is_read() {
        let extensions = [extension(0x33, &vec![7; 60_000]), sni(b"a.b")].concat();
        let records: Vec<u8> = message(&extensions).chunks(MAX_FRAGMENT).flat_map(record).collect();
        assert_eq!(parse(&records, LIMIT), Ok(Progress::Done(host("a.b"))));
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
            prop_assert_eq!(parse(&bytes, LIMIT), Ok(Progress::Done(host("contoso.azurecr.io"))));
        }

        /// Where ours finds a host, an independent parser finds the same one.
        #[test]
        fn an_independent_parser_agrees(at in 0_usize..140, to in any::<u8>()) {
            let mut bytes = record(&message(&[extension(16, &[0, 3, 2, b'h', b'2']), sni(b"contoso.azurecr.io")].concat()));
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(Progress::Done(ServerName::Host(ours))) = parse(&bytes, LIMIT) {
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
