//! PROXY protocol headers, right ones and wrong ones
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::{IpAddr, SocketAddr};

/// Version 1, as a load balancer writes it (§2.1). Both addresses are of one family.
pub fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// Version 2 (§2.2). Every part can be replaced by a wrong one.
#[derive(Debug, Clone)]
pub struct BinaryHeader {
    /// Version and command.
    pub command: u8,
    /// Address family and transport.
    pub family: u8,
    /// Addresses and ports.
    pub addresses: Vec<u8>,
    /// Types and values.
    pub values: Vec<(u8, Vec<u8>)>,
}

impl BinaryHeader {
    /// `PROXY`, TCP, without values. Both addresses are of one family.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let (from, to) = (source.port().to_be_bytes(), destination.port().to_be_bytes());
        Self {
            command: 0x21,
            family: if source.is_ipv4() { 0x11 } else { 0x21 },
            addresses: [&octets(source.ip())[..], &octets(destination.ip()), &from, &to].concat(),
            values: Vec::new(),
        }
    }

    /// As it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.addresses.clone();
        for (kind, value) in &self.values {
            body.push(*kind);
            body.extend(length(value));
            body.extend(value);
        }
        [SIGNATURE, &[self.command, self.family], &length(&body), &body].concat()
    }

    /// As it is sent, with a right checksum behind everything else (§2.2.3).
    pub fn sealed(&self) -> Vec<u8> {
        let mut header = self.clone();
        header.values.push((CHECKSUM, vec![0; 4]));
        let mut bytes = header.bytes();
        let sum = crc32c(&bytes).to_be_bytes();
        let at = bytes.len() - sum.len();
        bytes[at..].copy_from_slice(&sum);
        bytes
    }
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("a test's header is short").to_be_bytes()
}

/// Bit by bit, so that it has nothing in common with what it tests.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (CASTAGNOLI & (crc & 1).wrapping_neg())
        })
    })
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const CHECKSUM: u8 = 0x03;
/// The polynomial, its lowest power first.
const CASTAGNOLI: u32 = 0x82f6_3b78;
