//! What must hold for a client's first TLS bytes.

use ringfence::hello::{self, Alpn, Limits, Offer, ServerName};
use ringfence::reason::Reason;
use ringfence_config::Hostname;
use tls_parser::{
    SNIType, TlsExtension, TlsMessage, TlsMessageHandshake, TlsRecordType,
    parse_tls_extension_alpn_content, parse_tls_extension_sni,
};

use crate::pieces::{LENGTHS, LONG, Pieces, wait};

/// Reads `bytes` as what a client sends after the 200.
///
/// - However they arrive, the answer is the same, and what is forwarded is what came.
/// - However an accepted message is cut into records, the answer is the same.
/// - The server name and the protocols are those that `tls-parser` finds; they are missing only where that
///   finds none. The message ends where its own length says.
pub fn hello(bytes: &[u8]) {
    let whole = read(bytes, bytes.len());
    for length in LENGTHS {
        assert_eq!(read(bytes, length), whole, "in pieces of {length}");
    }
    let Ok((offer, length)) = whole else { return };
    let (message, end) = message(bytes);
    assert_eq!(length, end);
    check(&offer, &message);
    for length in [16, 100, MAX_FRAGMENT] {
        let again = records(&message, length);
        let expected = Ok((offer.clone(), again.len()));
        assert_eq!(read(&again, again.len()), expected, "in records of {length}");
    }
}

/// Reads `bytes` as the extensions of a ClientHello that is sound otherwise, so that a fuzzer doesn't have
/// to find the lengths around them.
pub fn extensions(bytes: &[u8]) {
    if let Some(message) = message_with(bytes) {
        hello(&records(&message, MAX_FRAGMENT));
    }
}

const LIMITS: Limits = Limits { bytes: 2048, time: LONG };

/// RFC 8446 §5.1.
const MAX_FRAGMENT: usize = 1 << 14;

/// What the ClientHello asks for, and how many bytes it took.
fn read(bytes: &[u8], length: usize) -> Result<(Offer, usize), Reason> {
    let hello = wait(hello::read(&mut Pieces::new(bytes, length), Vec::new(), &LIMITS))?;
    assert!(bytes.starts_with(&hello.bytes) && hello.length <= hello.bytes.len());
    Ok((hello.offer, hello.length))
}

/// The handshake message at the start of `bytes`, as `tls-parser` takes it out of its records, and where the
/// last of them ends.
fn message(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut message, mut left) = (Vec::new(), bytes);
    loop {
        let (rest, record) = tls_parser::parse_tls_raw_record(left).expect("a record");
        assert_eq!(record.hdr.record_type, TlsRecordType::Handshake);
        message.extend_from_slice(record.data);
        left = rest;
        if let [_, a, b, c, body @ ..] = &message[..]
            && body.len() >= u32::from_be_bytes([0, *a, *b, *c]) as usize
        {
            return (message, bytes.len() - left.len());
        }
    }
}

/// A ClientHello with these extensions, unless they are too long for one.
fn message_with(extensions: &[u8]) -> Option<Vec<u8>> {
    let fixed = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 0x01], &[1, 0]].concat();
    let body = vector(&[fixed, vector(extensions)?].concat())?;
    Some([&[1, 0][..], &body].concat())
}

fn records(message: &[u8], length: usize) -> Vec<u8> {
    let record = |fragment| [&[22, 3, 1][..], &vector(fragment).expect("short")].concat();
    message.chunks(length).flat_map(record).collect()
}

/// Two octets of length, then `content`; nothing where that is too long for two.
fn vector(content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(content.len()).ok()?;
    Some([&length.to_be_bytes()[..], content].concat())
}

fn check(offer: &Offer, message: &[u8]) {
    let (rest, parsed) =
        tls_parser::parse_tls_message_handshake(message).expect("a handshake message");
    assert!(rest.is_empty(), "bytes behind the message");
    let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = parsed else {
        panic!("no ClientHello");
    };
    let extensions = split(hello.ext.unwrap_or_default());
    let of_kind = |wanted| extensions.iter().filter(move |(kind, _)| *kind == wanted);
    let is_hidden = of_kind(0xfe0d).chain(of_kind(0xffce)).next().is_some();
    check_name(
        &offer.name,
        is_hidden,
        &of_kind(0).flat_map(|(_, all)| names(all)).collect::<Vec<_>>(),
    );
    assert_eq!(offer.early_data, of_kind(42).next().is_some());
    let offered: Vec<&[u8]> = of_kind(16).flat_map(|(_, all)| protocols(all)).collect();
    let is_http = offered.iter().any(|name| matches!(*name, b"h2" | b"http/1.1"));
    assert_eq!(offer.alpn == Alpn::Unsaid, of_kind(16).next().is_none());
    assert_eq!(offer.alpn == Alpn::Http, is_http);
}

fn check_name(name: &ServerName, is_hidden: bool, named: &[&[u8]]) {
    assert_eq!(*name == ServerName::Hidden, is_hidden);
    match name {
        ServerName::Hidden => {}
        ServerName::Missing => assert!(named.is_empty()),
        ServerName::Host(host) => {
            let folded: Vec<Vec<u8>> = named.iter().map(|name| name.to_ascii_lowercase()).collect();
            assert_eq!(folded, [host.as_str().as_bytes()]);
        }
        ServerName::Invalid(_) => {
            let [name] = named else { panic!("not one name but {}", named.len()) };
            let host =
                std::str::from_utf8(name).ok().and_then(|name| name.parse::<Hostname>().ok());
            assert_eq!(host, None);
        }
    }
}

/// Each extension with its kind. `tls-parser` could do that, too, but stops at the first whose content it
/// can't read, even where that is none of our business.
fn split(mut extensions: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let [a, b, c, d, rest @ ..] = extensions {
        let (length, kind) = (u16::from_be_bytes([*c, *d]), u16::from_be_bytes([*a, *b]));
        let (one, others) = extensions.split_at(4 + usize::from(length).min(rest.len()));
        all.push((kind, one));
        extensions = others;
    }
    assert!(extensions.is_empty(), "bytes behind the extensions");
    all
}

fn names(extension: &[u8]) -> Vec<&[u8]> {
    let (_, parsed) = parse_tls_extension_sni(extension).expect("a server name extension");
    let TlsExtension::SNI(names) = parsed else { panic!("no server name extension") };
    assert!(names.iter().all(|(kind, _)| *kind == SNIType::HostName));
    names.into_iter().map(|(_, name)| name).collect()
}

fn protocols(extension: &[u8]) -> Vec<&[u8]> {
    let (_, parsed) = parse_tls_extension_alpn_content(&extension[4..]).expect("protocols");
    let TlsExtension::ALPN(protocols) = parsed else { panic!("no protocols") };
    protocols
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(content).expect("short")].concat()
    }

    fn server_names(kind: u8, name: &[u8]) -> Vec<u8> {
        let name = [&[kind][..], &vector(name).expect("short")].concat();
        extension(0, &vector(&name).expect("short"))
    }

    proptest! {
        /// However a sound hello is cut into records and segments, it names its server.
        #[test]
        fn sound_hellos_are_read(host in "[a-z]{1,9}(\\.[a-z0-9]{1,9}){0,3}\\.io", pad in 0_usize..400, length in 8_usize..600) {
            let extensions = [extension(21, &vec![0; pad]), server_names(0, host.as_bytes())].concat();
            let bytes = records(&message_with(&extensions).expect("short"), length);
            hello(&bytes);
            let (offer, _) = read(&bytes, bytes.len()).expect("a sound hello");
            prop_assert_eq!(offer.name, ServerName::Host(host.parse().expect("a host")));
        }

        #[test]
        fn changed_hellos_hold(
            length in 1_usize..200,
            in_message in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
            in_records in prop::collection::vec((any::<Index>(), any::<u8>()), 0..2),
            behind in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let extensions = [extension(16, &[0, 3, 2, b'h', b'2']), server_names(0, b"contoso.azurecr.io")].concat();
            let mut message = message_with(&extensions).expect("short");
            change(&mut message, in_message);
            let mut bytes = records(&message, length);
            change(&mut bytes, in_records);
            bytes.extend(behind);
            hello(&bytes);
        }

        /// Any extensions in any order, some of them twice, and some that hold what none should.
        #[test]
        fn any_extensions_hold(
            known in prop::collection::vec(
                prop_oneof![
                    (0_u8..2, "[a-zA-Z0-9.-]{0,12}").prop_map(|(kind, name)| server_names(kind, name.as_bytes())),
                    (select(vec![0, 16, 42, 43, 51, 0xfe0d, 0xffce]), prop::collection::vec(any::<u8>(), 0..12))
                        .prop_map(|(kind, content)| extension(kind, &content)),
                ],
                0..5,
            ),
            cut in 0_usize..3,
        ) {
            let all = known.concat();
            extensions(&all[..all.len().saturating_sub(cut)]);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            hello(&bytes);
            extensions(&bytes);
        }
    }

    fn change(bytes: &mut [u8], changes: Vec<(Index, u8)>) {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
    }
}
