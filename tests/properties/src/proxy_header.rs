//! What must hold for PROXY protocol headers.

use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use ringfence::reception::proxy_protocol::{self as protocol, BadHeader, Progress};
use tokio::time::Instant;

use crate::pieces::{LENGTHS, LONG, Pieces, wait};

/// Reads `bytes` as what a load balancer sends first.
///
/// - However they arrive, the answer is the same, and nothing behind the header is read.
/// - What is accepted, the `ppp` crate reads as the same client, and the header ends where its own first
///   line or its own length says.
pub fn proxy_header(bytes: &[u8]) {
    let whole = read(bytes, bytes.len());
    for length in LENGTHS {
        assert_eq!(read(bytes, length), whole, "in pieces of {length}");
    }
    let Ok((source, length)) = whole else { return };
    assert_eq!(protocol::parse(bytes), Ok(Progress::Done { source, length }));
    assert_eq!(length, length_as_stated(bytes));
    assert_eq!(as_ppp_does(&bytes[..length]), Some(source));
}

/// The client, and how many bytes were read to know it.
fn read(bytes: &[u8], length: usize) -> Result<(SocketAddr, usize), BadHeader> {
    let mut stream = Pieces::new(bytes, length);
    let source = wait(async { protocol::read(&mut stream, Instant::now() + LONG).await })?;
    Ok((source, bytes.len() - stream.left()))
}

fn length_as_stated(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"PROXY") {
        let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        return line.len();
    }
    16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]))
}

fn as_ppp_does(header: &[u8]) -> Option<SocketAddr> {
    let (address, port): (IpAddr, u16) = match HeaderResult::parse(header) {
        HeaderResult::V1(line) => match line.ok()?.addresses {
            v1::Addresses::Tcp4(ip) => (ip.source_address.into(), ip.source_port),
            v1::Addresses::Tcp6(ip) => (ip.source_address.into(), ip.source_port),
            v1::Addresses::Unknown => return None,
        },
        HeaderResult::V2(binary) => {
            let binary = binary.ok()?;
            binary.tlvs().collect::<Result<Vec<_>, _>>().ok()?;
            match binary.addresses {
                v2::Addresses::IPv4(ip) => (ip.source_address.into(), ip.source_port),
                v2::Addresses::IPv6(ip) => (ip.source_address.into(), ip.source_port),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => return None,
            }
        }
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}
