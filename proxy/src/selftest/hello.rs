//! Writes the hellos of the corpus, byte by byte: a TLS library writes none of the wrong ones.
//!
//! The right ones are good enough for a real server to answer the handshake.

/// A handshake record (RFC 8446 §5.1).
pub(super) fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector(fragment)].concat()
}

/// A whole ClientHello that names `host`, in one record.
pub(super) fn naming(host: &str) -> Vec<u8> {
    record(&message(&server_name(host)))
}

/// A ClientHello (RFC 8446 §4.1.2) without record: `extensions`, then those that servers want to see.
pub(super) fn message(extensions: &[u8]) -> Vec<u8> {
    // TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, and ECDHE with AES-128-GCM for TLS 1.2.
    let ciphers = vector(&[0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b, 0xc0, 0x2f]);
    let groups = extension(10, &vector(&[0, 0x1d, 0, 0x17]));
    let points = extension(11, &[1, 0]);
    let signatures = extension(13, &vector(&[4, 3, 8, 4, 4, 1]));
    let versions = extension(43, &[4, 3, 4, 3, 3]);
    // Any 32 bytes are an x25519 key; nobody will compute the secret.
    let share = extension(51, &vector(&[&[0, 0x1d][..], &vector(&[9; 32])].concat()));
    let extensions = [extensions, &groups, &points, &signatures, &versions, &share].concat();
    let session = [&[32][..], &[8; 32]].concat();
    let fixed = [&[3, 3][..], &[7; 32], &session, &ciphers, &[1, 0]].concat();
    let body = [fixed, vector(&extensions)].concat();
    let [_, length @ ..] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[1][..], &length, &body].concat()
}

/// A ClientHello in the format of SSL 2.0 (RFC 5246, appendix E.2), which has no place for a name.
pub(super) fn sslv2() -> Vec<u8> {
    let ciphers = [0, 0, 0x2f, 0, 0, 0x0a];
    let body = [&[1, 3, 1, 0, 6, 0, 0, 0, 16][..], &ciphers, &[7; 16]].concat();
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX) | 0x8000;
    [&length.to_be_bytes()[..], &body].concat()
}

/// The extension that names a server (RFC 6066 §3).
pub(super) fn server_name(name: impl AsRef<[u8]>) -> Vec<u8> {
    server_names(&[host_name(name)].concat())
}

/// The same extension with any list in it.
pub(super) fn server_names(list: &[u8]) -> Vec<u8> {
    extension(0, &vector(list))
}

/// An entry of that list.
pub(super) fn host_name(name: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0][..], &vector(name.as_ref())].concat()
}

/// Any extension.
pub(super) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(content)].concat()
}

/// Cuts a message into records of at most `size` bytes.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(record).collect()
}

/// Content behind its length in two octets.
fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::{Progress, ServerName, parse};

    fn name(hello: &[u8]) -> ServerName {
        match parse(hello, 64 * 1024) {
            Ok(Progress::Done(offer)) => offer.name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hellos_name_their_server_to_our_reader_and_to_an_independent_one() {
        let host = "contoso.azurecr.io";
        let whole = naming(host);
        for hello in [&whole, &records(&whole[5..], 1)] {
            assert_eq!(name(hello), ServerName::Host(host.parse().expect("a host")));
        }
        let (rest, records) = tls_parser::parse_tls_plaintext(&whole).expect("a record");
        let tls_parser::TlsMessage::Handshake(tls_parser::TlsMessageHandshake::ClientHello(hello)) =
            &records.msg[0]
        else {
            panic!("no ClientHello");
        };
        let (_, extensions) =
            tls_parser::parse_tls_client_hello_extensions(hello.ext.expect("some"))
                .expect("extensions");
        assert!(rest.is_empty() && extensions.len() == 6, "{extensions:?}");
    }
}
