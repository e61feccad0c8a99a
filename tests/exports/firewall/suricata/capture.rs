//! A capture of connections that never were: raw IPv4 packets in a pcap file
//! (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>), each connection with its handshake.

use std::net::Ipv4Addr;

/// The packets so far.
#[derive(Default)]
pub(super) struct Capture {
    packets: Vec<Vec<u8>>,
}

impl Capture {
    /// Adds a connection from `port` of the client, which sends each of `sent` in a packet of its own.
    pub(super) fn connection(&mut self, port: u16, server: (Ipv4Addr, u16), sent: &[Vec<u8>]) {
        let client = (CLIENT, port);
        let (mut here, mut there) = (1_000, 5_000);
        self.segment(client, server, [here, 0], SYN, &[]);
        here += 1;
        self.segment(server, client, [there, here], SYN | ACK, &[]);
        there += 1;
        self.segment(client, server, [here, there], ACK, &[]);
        for data in sent {
            self.segment(client, server, [here, there], PUSH | ACK, data);
            here += u32::try_from(data.len()).expect("a packet's worth");
            self.segment(server, client, [there, here], ACK, &[]);
        }
    }

    /// The capture, a packet each millisecond.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, RAW_IP] {
            bytes.extend(word.to_le_bytes());
        }
        for (packet, time) in self.packets.iter().zip(0_u32..) {
            let length = u32::try_from(packet.len()).expect("a packet's worth");
            for word in [1_000_000 + time / 1_000, time % 1_000 * 1_000, length, length] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(packet);
        }
        bytes
    }

    /// A packet of TCP (RFC 9293 §3.1) in IPv4 (RFC 791 §3.1), without checksums.
    fn segment(
        &mut self,
        from: (Ipv4Addr, u16),
        to: (Ipv4Addr, u16),
        [sequence, acknowledged]: [u32; 2],
        flags: u8,
        data: &[u8],
    ) {
        let length = u16::try_from(40 + data.len()).expect("a packet's worth");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(from.0.octets());
        packet.extend(to.0.octets());
        packet.extend(from.1.to_be_bytes());
        packet.extend(to.1.to_be_bytes());
        packet.extend(sequence.to_be_bytes());
        packet.extend(acknowledged.to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(data);
        self.packets.push(packet);
    }
}

/// A ClientHello (RFC 8446 §4.1.2) for `name` as it stands (RFC 6066 §3), in one record.
pub(super) fn hello(name: Option<&str>) -> Vec<u8> {
    let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
    if let Some(name) = name {
        let names = with_length(2, [vec![0], with_length(2, name.as_bytes().to_vec())].concat());
        extensions.extend([vec![0, 0], with_length(2, names)].concat());
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(with_length(2, extensions));
    let message = [vec![1], with_length(3, body)].concat();
    [vec![22, 3, 1], with_length(2, message)].concat()
}

/// `bytes`, behind their number in `width` bytes.
fn with_length(width: usize, bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len().to_be_bytes();
    [length[length.len() - width..].to_vec(), bytes].concat()
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 9);
const RAW_IP: u32 = 101;
const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;
