//! Decides who a connection comes from when a load balancer stands before us and says so in a PROXY
//! protocol header, version 1 or 2 (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, whose
//! sections are cited below). Which peers have to send one, and that nobody else may, is the caller's
//! decision.
//!
//! Whatever does not name one TCP client is refused: `UNKNOWN`, `LOCAL`, UDP, unix sockets. A second header
//! behind the first is not looked for here: to what is read next, it is no request head and no TLS.
//!
//! The reader is our own because it has to stop exactly at the header's end, before the first byte of TLS,
//! and so has to know of every beginning how many more bytes are the header's for certain. The `ppp` crate
//! wants the whole header at once, takes what we refuse, and leaves checksums alone; a property holds
//! us to its reading of all that we accept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// Why there is no header to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It didn't come in time.
    #[error("no whole PROXY header in time")]
    Timeout,
    /// The connection ended first.
    #[error("the connection ended before the end of its PROXY header")]
    Closed,
    /// Something else came.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It is longer than any that is needed.
    #[error("the PROXY header is too long")]
    TooLong,
    /// Version 1, for a connection of which the sender knows nothing.
    #[error("the PROXY header says `UNKNOWN`, so it names no client")]
    Unknown,
    /// Version 2, for a connection that the sender opened by itself.
    #[error(
        "the PROXY header says `LOCAL`, so it names no client; let health checks use the admin port"
    )]
    Local,
    /// Not TCP over IPv4 or IPv6.
    #[error("the PROXY header is not about TCP over IPv4 or IPv6")]
    NotTcp,
    /// Version 1, and not the one way to write it.
    #[error("the PROXY header's line is malformed")]
    MalformedLine,
    /// Neither version 1 nor version 2.
    #[error("the PROXY header has an unknown version")]
    UnknownVersion,
    /// Version 2, neither `PROXY` nor `LOCAL`.
    #[error("the PROXY header has an unknown command")]
    UnknownCommand,
    /// Version 2, and the addresses or the values behind them don't fill it exactly.
    #[error("the lengths in the PROXY header contradict each other")]
    BadLength,
    /// Version 2, and changed on its way.
    #[error("the PROXY header's checksum is wrong")]
    BadChecksum,
}

/// Reads one header and not a byte more, and answers where the client really is. An IPv4 address in IPv6's
/// clothes (`::ffff:192.0.2.1`) comes back as IPv4, so that it is in the networks it belongs to.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    deadline: Instant,
) -> Result<SocketAddr, BadHeader> {
    timeout_at(deadline, fill(stream)).await.unwrap_or(Err(BadHeader::Timeout))
}

async fn fill(stream: &mut (impl AsyncRead + Unpin)) -> Result<SocketAddr, BadHeader> {
    let mut bytes = Vec::with_capacity(MAX_LINE);
    loop {
        let missing = match parse(&bytes)? {
            Progress::NeedsMore(missing) => missing,
            Progress::Done { source, .. } => return Ok(source),
        };
        match (&mut *stream).take(missing as u64).read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(BadHeader::Closed),
        }
    }
}

/// How far a header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So far it is well formed, and at least so many bytes, never 0, are still to come.
    NeedsMore(usize),
    /// It is whole.
    Done {
        /// Where the client is.
        source: SocketAddr,
        /// How many bytes the header has.
        length: usize,
    },
}

/// Reads `bytes`, which may go on behind the header, as one header (§2).
pub fn parse(bytes: &[u8]) -> Result<Progress, BadHeader> {
    if bytes.is_empty() {
        Ok(Progress::NeedsMore(FIXED_PART.min(MIN_LINE)))
    } else if agree(bytes, LINE_START) {
        parse_line(bytes)
    } else if agree(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else {
        Err(BadHeader::Missing)
    }
}

/// Whether one of the two begins with the other.
fn agree(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted)
}

/// Version 1, a line of text (§2.1).
fn parse_line(bytes: &[u8]) -> Result<Progress, BadHeader> {
    let family = bytes.get(LINE_START.len()..).unwrap_or_default();
    if !agree(family, b"TCP4 ") && !agree(family, b"TCP6 ") {
        return match family.len() {
            _ if !agree(family, UNKNOWN) => Err(BadHeader::NotTcp),
            short if short < UNKNOWN.len() => Ok(Progress::NeedsMore(UNKNOWN.len() - short)),
            _ => Err(BadHeader::Unknown),
        };
    }
    let within = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = within.iter().position(|byte| *byte == b'\r') else {
        // The line's end, at least.
        return need_of_line(bytes.len(), (bytes.len() + 2).max(MIN_LINE));
    };
    match bytes.get(end + 1) {
        None => need_of_line(bytes.len(), end + 2),
        Some(b'\n') if end + 2 > MAX_LINE => Err(BadHeader::TooLong),
        Some(b'\n') => {
            let source = source_of_line(&bytes[..end]).ok_or(BadHeader::MalformedLine)?;
            Ok(Progress::Done { source, length: end + 2 })
        }
        Some(_) => Err(BadHeader::MalformedLine),
    }
}

/// More of a line that has `length` bytes and will have at least `least`.
fn need_of_line(length: usize, least: usize) -> Result<Progress, BadHeader> {
    if least > MAX_LINE {
        return Err(BadHeader::TooLong);
    }
    Ok(Progress::NeedsMore(least - length))
}

/// The source that a line without its end names, or `None` if it is malformed.
///
/// Between its words is one space, and a port has no sign and no leading zeros. The standard library's
/// readers of addresses know only decimal parts without leading zeros in IPv4, and no zones in IPv6; how
/// IPv6 is shortened and in which case is the sender's choice (§2.1), and leaves no second reading.
fn source_of_line(line: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let [_, family, source, destination, source_port, destination_port] = *words else {
        return None;
    };
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    address(destination)?;
    port(destination_port)?;
    Some(SocketAddr::new(address(source)?.to_canonical(), port(source_port)?))
}

fn port(word: &str) -> Option<u16> {
    let port: u16 = word.parse().ok()?;
    (port.to_string() == word).then_some(port)
}

/// Version 2, in binary (§2.2).
fn parse_binary(bytes: &[u8]) -> Result<Progress, BadHeader> {
    let rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    match rest.first() {
        None | Some(0x21) => {}
        Some(0x20) => return Err(BadHeader::Local),
        Some(0x22..=0x2f) => return Err(BadHeader::UnknownCommand),
        Some(_) => return Err(BadHeader::UnknownVersion),
    }
    let address_length = match rest.get(1) {
        None => return Ok(Progress::NeedsMore(FIXED_PART - bytes.len())),
        Some(0x11) => 2 * (4 + 2),
        Some(0x21) => 2 * (16 + 2),
        Some(_) => return Err(BadHeader::NotTcp),
    };
    let [_, _, high, low, ..] = *rest else {
        return Ok(Progress::NeedsMore(FIXED_PART - bytes.len()));
    };
    let length = FIXED_PART + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY {
        return Err(BadHeader::TooLong);
    }
    if length < FIXED_PART + address_length {
        return Err(BadHeader::BadLength);
    }
    let Some(header) = bytes.get(..length) else {
        return Ok(Progress::NeedsMore(length - bytes.len()));
    };
    check_values(header, FIXED_PART + address_length)?;
    let source = source_of_addresses(&header[FIXED_PART..FIXED_PART + address_length])
        .ok_or(BadHeader::BadLength)?;
    Ok(Progress::Done { source, length })
}

/// The source in source address, destination address, source port, destination port.
fn source_of_addresses(addresses: &[u8]) -> Option<SocketAddr> {
    let (address, port): (IpAddr, [u8; 2]) = match addresses.len() {
        12 => {
            (<[u8; 4]>::try_from(&addresses[..4]).ok()?.into(), addresses[8..10].try_into().ok()?)
        }
        36 => (
            <[u8; 16]>::try_from(&addresses[..16]).ok()?.into(),
            addresses[32..34].try_into().ok()?,
        ),
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), u16::from_be_bytes(port)))
}

/// Checks that the values behind the addresses, which begin at `at`, fill the header exactly, and that its
/// checksum, if there is one, is right (§2.2.3). What else they say doesn't matter to us.
fn check_values(header: &[u8], mut at: usize) -> Result<(), BadHeader> {
    let mut checked = false;
    while at < header.len() {
        let [kind, high, low, ..] = header[at..] else {
            return Err(BadHeader::BadLength);
        };
        let start = at + 3;
        at = start + usize::from(u16::from_be_bytes([high, low]));
        let value = header.get(start..at).ok_or(BadHeader::BadLength)?;
        if kind != CHECKSUM {
            continue;
        }
        let stated = value.try_into().map(u32::from_be_bytes).map_err(|_| BadHeader::BadLength)?;
        // Of two, each would have to be computed without the other.
        if checked || stated != checksum(&header[..start], &header[at..]) {
            return Err(BadHeader::BadChecksum);
        }
        checked = true;
    }
    Ok(())
}

/// The checksum (CRC-32C) of a header whose checksum, which stands between the two, is zero (§2.2.3).
fn checksum(before: &[u8], after: &[u8]) -> u32 {
    let mut digest = CRC32C.digest();
    for part in [before, &[0; 4], after] {
        digest.update(part);
    }
    digest.finalize()
}

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

const LINE_START: &[u8] = b"PROXY ";
/// What stands in the family's place where the sender knows none.
const UNKNOWN: &[u8] = b"UNKNOWN";
/// `PROXY TCP6 :: :: 0 0`, and the line's end.
const MIN_LINE: usize = 22;
/// Two addresses written out, and the line's end (§2.1).
const MAX_LINE: usize = 107;

/// §2.2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_PART: usize = 16;
/// The addresses, and the names and identifiers that clouds add. §2 wants all of it to fit into the 536
/// bytes of a smallest TCP segment; some senders forward a name from a certificate, too.
const MAX_BINARY: usize = 2048;
/// `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 0x03;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn verdict(bytes: &[u8]) -> Result<String, BadHeader> {
        match parse(bytes)? {
            Progress::Done { source, length } if length == bytes.len() => Ok(source.to_string()),
            other => panic!("{other:?} of {}: {}", bytes.len(), bytes.escape_ascii()),
        }
    }

    /// A binary header with this command, family, and all that follows the length.
    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    fn value(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind], &u16::try_from(value.len()).expect("short").to_be_bytes()[..], value].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdd, 0xd5, 1, 0xbb];

    fn with_values(values: &[Vec<u8>]) -> Vec<u8> {
        binary(0x21, 0x11, &[V4, &values.concat()].concat())
    }

    fn sealed(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
        let empty = [value(CHECKSUM, &[0; 4])];
        let mut header = with_values(&[before, &empty, after].concat());
        let at = FIXED_PART + V4.len() + before.concat().len() + 3;
        let sum = CRC32C.checksum(&header).to_be_bytes();
        header[at..at + 4].copy_from_slice(&sum);
        header
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720 §B.4: 32 bytes of ones.
        assert_eq!(CRC32C.checksum(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn lines_have_one_way_to_be_written() {
        use BadHeader::{MalformedLine, Missing, NotTcp, TooLong, Unknown};
        let long = "ffff:f".repeat(20);
        let rows: &[(&str, Result<&str, BadHeader>)] = &[
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56789 443\r\n", Ok("192.0.2.1:56789")),
            ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", Ok("0.0.0.0:0")),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                Ok("255.255.255.255:65535"),
            ),
            ("PROXY TCP6 :: :: 0 0\r\n", Ok("[::]:0")),
            (
                "PROXY TCP6 2001:DB8::21f:5bff:febf:ce22:8a2e 2001:db8::1 35646 80\r\n",
                Ok("[2001:db8:0:21f:5bff:febf:ce22:8a2e]:35646"),
            ),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                Ok("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 5 443\r\n", Ok("192.0.2.1:5")),
            ("PROXY UNKNOWN\r\n", Err(Unknown)),
            ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Err(Unknown)),
            ("PROXY UDP4 192.0.2.1 198.51.100.1 5 443\r\n", Err(NotTcp)),
            ("PROXY tcp4 192.0.2.1 198.51.100.1 5 443\r\n", Err(NotTcp)),
            ("PROXY  TCP4 192.0.2.1 198.51.100.1 5 443\r\n", Err(NotTcp)),
            ("PROXY TCP4  192.0.2.1 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 443 \r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 443 6\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1\t198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 05 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 -5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 65536\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.01 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.0x1 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.513 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.256 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 localhost 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 ::1 ::1 56789 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 ::1 56789 443\r\n", Err(MalformedLine)),
            ("PROXY TCP6 192.0.2.1 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP6 fe80::1%eth0 ::1 5 443\r\n", Err(MalformedLine)),
            ("PROXY TCP6 [::1] ::1 56789 443\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 443\rX", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 443\nGET\r\n", Err(MalformedLine)),
            ("PROXY TCP4 192.0.2.1 198.51.100.1 5 443\0\r\n", Err(MalformedLine)),
            ("PROXY TCP4 ١٩٢.0.2.1 198.51.100.1 5 443\r\n", Err(MalformedLine)),
            (&format!("PROXY TCP6 {long}"), Err(TooLong)),
            ("proxy TCP4 192.0.2.1 198.51.100.1 5 443\r\n", Err(Missing)),
            (" PROXY TCP4 192.0.2.1 198.51.100.1 5 443\r\n", Err(Missing)),
            ("CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n", Err(Missing)),
            ("\x16\x03\x01", Err(Missing)),
            ("\r\nPROXY ", Err(Missing)),
            ("PROXZ", Err(Missing)),
        ];
        for (line, expected) in rows {
            assert_eq!(verdict(line.as_bytes()).as_deref(), expected.as_deref(), "{line:?}");
        }
    }

    #[test]
    fn a_family_is_not_judged_by_its_first_letter() {
        assert_eq!(parse(b"PROXY U"), Ok(Progress::NeedsMore(6)));
        assert_eq!(parse(b"PROXY UD"), Err(BadHeader::NotTcp));
        assert_eq!(parse(b"PROXY UNKNOWN"), Err(BadHeader::Unknown));
    }

    #[test]
    fn a_line_has_107_bytes_at_most() {
        // Zeros make an address of IPv6 longer, but never longer than written out.
        let line = |length: usize| {
            let known = "PROXY TCP6 ".len() + " ::1 5 443\r\n".len();
            format!("PROXY TCP6 {} ::1 5 443\r\n", "0".repeat(length - known))
        };
        assert_eq!(parse(line(107).as_bytes()), Err(BadHeader::MalformedLine));
        assert_eq!(parse(line(108).as_bytes()), Err(BadHeader::TooLong));
        // It isn't waited for, either.
        assert_eq!(parse(&line(300).as_bytes()[..105]), Ok(Progress::NeedsMore(2)));
        assert_eq!(parse(&line(300).as_bytes()[..106]), Err(BadHeader::TooLong));
        assert_eq!(parse(&line(108).as_bytes()[..107]), Err(BadHeader::TooLong));
        assert_eq!(parse(&line(107).as_bytes()[..106]), Ok(Progress::NeedsMore(1)));
    }

    #[test]
    fn binary_headers_name_one_tcp_client() {
        use BadHeader::{
            BadLength, Local, Missing, NotTcp, TooLong, UnknownCommand, UnknownVersion,
        };
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 5, 1, 0xbb]].concat();
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1], &[0; 16], &[0, 5, 0, 0]].concat();
        let mut wrong_signature = binary(0x21, 0x11, V4);
        wrong_signature[11] = b'\r';
        let rows = [
            (binary(0x21, 0x11, V4), Ok("192.0.2.1:56789")),
            (binary(0x21, 0x21, &v6), Ok("[2001:db8::1]:5")),
            (binary(0x21, 0x21, &mapped), Ok("192.0.2.1:5")),
            (with_values(&[value(0x04, b""), value(0xea, b"\x01vpce-1")]), Ok("192.0.2.1:56789")),
            (with_values(&[value(0x04, &[0; MAX_BINARY - 31])]), Ok("192.0.2.1:56789")),
            (with_values(&[value(0x04, &[0; MAX_BINARY - 30])]), Err(TooLong)),
            (binary(0x20, 0x11, V4), Err(Local)),
            (binary(0x20, 0x00, b""), Err(Local)),
            (binary(0x22, 0x11, V4), Err(UnknownCommand)),
            (binary(0x11, 0x11, V4), Err(UnknownVersion)),
            (binary(0x31, 0x11, V4), Err(UnknownVersion)),
            (binary(0x21, 0x00, V4), Err(NotTcp)),
            (binary(0x21, 0x10, V4), Err(NotTcp)),
            (binary(0x21, 0x12, V4), Err(NotTcp)),
            (binary(0x21, 0x22, &v6), Err(NotTcp)),
            (binary(0x21, 0x31, &[0; 216]), Err(NotTcp)),
            (binary(0x21, 0x11, &V4[1..]), Err(BadLength)),
            (binary(0x21, 0x21, V4), Err(BadLength)),
            (binary(0x21, 0x21, &v6[1..]), Err(BadLength)),
            (binary(0x21, 0x11, &v6), Err(BadLength)),
            (with_values(&[vec![4]]), Err(BadLength)),
            (with_values(&[vec![4, 0]]), Err(BadLength)),
            (with_values(&[vec![4, 0, 1]]), Err(BadLength)),
            (with_values(&[value(4, b"a"), vec![4, 0xff, 0xff, 0]]), Err(BadLength)),
            (with_values(&[value(CHECKSUM, b"")]), Err(BadLength)),
            (with_values(&[value(CHECKSUM, &[0; 5])]), Err(BadLength)),
            (wrong_signature, Err(Missing)),
        ];
        for (header, expected) in rows {
            assert_eq!(verdict(&header).as_deref(), expected.as_deref(), "{header:x?}");
        }
    }

    #[test]
    fn a_checksum_is_verified() {
        let padding = [value(0x04, b"abc")];
        for (before, after) in [(&[][..], &[][..]), (&padding, &[]), (&[], &padding)] {
            let header = sealed(before, after);
            assert_eq!(verdict(&header).as_deref(), Ok("192.0.2.1:56789"));
            for at in FIXED_PART..FIXED_PART + V4.len() {
                let mut changed = header.clone();
                changed[at] ^= 0x10;
                assert_eq!(verdict(&changed), Err(BadHeader::BadChecksum), "byte {at}");
            }
        }
        let twice = sealed(&[], &[value(CHECKSUM, &[0; 4])]);
        assert_eq!(verdict(&twice), Err(BadHeader::BadChecksum));
    }

    /// The second is what comes next, and next comes a request head or TLS.
    #[test]
    fn a_second_header_is_not_part_of_the_first() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 443\r\n".to_vec();
        for first in [line.clone(), binary(0x21, 0x11, V4)] {
            for second in [line.clone(), binary(0x21, 0x11, V4)] {
                let both = [&first[..], &second].concat();
                let source = "192.0.2.1:56789".parse().expect("an address");
                let expected = Progress::Done { source, length: first.len() };
                assert_eq!(parse(&both), Ok(expected));
            }
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn reading_stops_at_the_headers_end() {
        let next = b"\x16\x03\x01\x02\x00";
        let headers = [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 443\r\n".to_vec(),
            binary(0x21, 0x11, V4),
            sealed(&[], &[value(0xea, &[7; 100])]),
        ];
        for header in headers {
            for cut in 0..header.len() {
                let (mut ours, mut theirs) = tokio::io::duplex(4096);
                let send = async {
                    theirs.write_all(&header[..cut]).await.expect("room");
                    tokio::task::yield_now().await;
                    theirs.write_all(&header[cut..]).await.expect("room");
                    theirs.write_all(next).await.expect("room");
                    drop(theirs);
                };
                let (source, ()) = tokio::join!(read(&mut ours, soon()), send);
                assert_eq!(source, Ok("192.0.2.1:56789".parse().expect("an address")));
                let mut rest = Vec::new();
                ours.read_to_end(&mut rest).await.expect("the end");
                assert_eq!(rest, next, "cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_cut_or_late_header_is_refused() {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56789 443\r\n";
        let mut cut = &header[..header.len() - 1];
        assert_eq!(read(&mut cut, soon()).await, Err(BadHeader::Closed));
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(cut).await.expect("room");
        assert_eq!(read(&mut ours, Instant::now()).await, Err(BadHeader::Timeout));
    }

    /// What `ppp` reads in `bytes`.
    fn reference(bytes: &[u8]) -> Option<SocketAddr> {
        use ppp::{HeaderResult, v1, v2};
        let (address, port): (IpAddr, u16) = match HeaderResult::parse(bytes) {
            HeaderResult::V1(header) => match header.ok()?.addresses {
                v1::Addresses::Tcp4(ip) => (ip.source_address.into(), ip.source_port),
                v1::Addresses::Tcp6(ip) => (ip.source_address.into(), ip.source_port),
                v1::Addresses::Unknown => return None,
            },
            HeaderResult::V2(header) => {
                let header = header.ok()?;
                header.tlvs().collect::<Result<Vec<_>, _>>().ok()?;
                match header.addresses {
                    v2::Addresses::IPv4(ip) => (ip.source_address.into(), ip.source_port),
                    v2::Addresses::IPv6(ip) => (ip.source_address.into(), ip.source_port),
                    v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return None,
                }
            }
        };
        Some(SocketAddr::new(address.to_canonical(), port))
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let line = "PROXY TCP[46] (::ffff:)?[0-9a-f:.]{2,12} [0-9.:]{2,9} [0-9]{1,5} [0-9]{1,5}(\r\n|\n| \r\n)";
        let good_line = (any::<IpAddr>(), any::<u16>()).prop_map(|(address, port)| {
            let family = if address.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {address} {address} {port} {port}\r\n").into_bytes()
        });
        let body = prop::collection::vec(any::<u8>(), 0..60);
        let values =
            prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..4);
        prop_oneof![
            line.prop_map(String::into_bytes),
            good_line,
            (0x20_u8..0x23, 0_u8..0x33, body)
                .prop_map(|(command, family, body)| binary(command, family, &body)),
            values.prop_map(|values| {
                with_values(
                    &values.iter().map(|(kind, bytes)| value(*kind, bytes)).collect::<Vec<_>>(),
                )
            }),
        ]
    }

    proptest! {
        /// Another reader agrees with all that we accept.
        #[test]
        fn accepted_headers_have_one_reading(header in headers()) {
            if let Ok(Progress::Done { source, length }) = parse(&header) {
                prop_assert_eq!(reference(&header[..length]), Some(source));
            }
        }

        /// What is asked for is part of the header: no accepted header ends before it.
        #[test]
        fn no_more_is_asked_for_than_there_is(header in headers()) {
            if let Ok(Progress::Done { length, .. }) = parse(&header) {
                for end in 0..length {
                    let progress = parse(&header[..end]);
                    let fits = matches!(progress, Ok(Progress::NeedsMore(1..)));
                    prop_assert!(fits, "{:?} at {}", progress, end);
                    if let Ok(Progress::NeedsMore(missing)) = progress {
                        prop_assert!(end + missing <= length);
                    }
                }
            }
        }

        #[test]
        fn no_bytes_panic(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let start = [&b""[..], b"PROXY TCP4 ", SIGNATURE][start];
            let _ = parse(&[start, &bytes].concat());
        }
    }
}
