//! A DNS server that says whatever bytes a test wants, over UDP and over TCP, and remembers every question.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use test_support::{Namespace, PATIENCE};

use crate::stage::{A, AAAA, LOOPBACK, lock, question};

/// A running liar; it ends with the test's process.
pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
}

/// What somebody has asked, in which bytes and how.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) bytes: Vec<u8>,
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) over_tcp: bool,
}

/// One thing that the liar says to a question. Saying nothing is one way to answer, too.
pub(crate) enum Say {
    Bytes(Vec<u8>),
    /// From another port than the one that was asked.
    FromElsewhere(Vec<u8>),
}

impl Liar {
    /// On the loopback. Each question is answered in a thread of its own, which may take its time.
    pub(crate) fn start(
        lie: impl Fn(&Question) -> Vec<Say> + Send + Sync + 'static,
    ) -> Result<Self> {
        // The port has to be free for both; the one that UDP got may be taken for TCP.
        for _ in 0..16 {
            let udp = UdpSocket::bind((LOOPBACK, 0))?;
            if let Ok(tcp) = TcpListener::bind(udp.local_addr()?) {
                return Self::serve(udp, tcp, lie);
            }
        }
        anyhow::bail!("no port is free for both UDP and TCP")
    }

    /// On this address of a namespace.
    pub(crate) fn inside(
        namespace: &Namespace,
        address: &str,
        lie: impl Fn(&Question) -> Vec<Say> + Send + Sync + 'static,
    ) -> Result<Self> {
        let address: SocketAddr = address.parse()?;
        let bind = || Ok((UdpSocket::bind(address)?, TcpListener::bind(address)?));
        let (udp, tcp) = namespace.enter(bind)?.map_err(|error: std::io::Error| error)?;
        Self::serve(udp, tcp, lie)
    }

    fn serve(
        udp: UdpSocket,
        tcp: TcpListener,
        lie: impl Fn(&Question) -> Vec<Say> + Send + Sync + 'static,
    ) -> Result<Self> {
        let liar = Self { address: udp.local_addr()?, asked: Arc::default() };
        // In the same namespace, so it is bound by a socket that is there.
        let elsewhere = udp.try_clone()?;
        let lie = Arc::new(lie);
        let (asked, to_lie) = (Arc::clone(&liar.asked), Arc::clone(&lie));
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, peer)) = udp.recv_from(&mut bytes) {
                let question = Question::new(&bytes[..length], false);
                lock(&asked).push(question.clone());
                let (lie, socket) = (Arc::clone(&to_lie), elsewhere.try_clone());
                std::thread::spawn(move || say(&socket?, peer, lie(&question)));
            }
        });
        let asked = Arc::clone(&liar.asked);
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let (asked, lie) = (Arc::clone(&asked), Arc::clone(&lie));
                std::thread::spawn(move || converse(stream, &asked, &*lie));
            }
        });
        Ok(liar)
    }

    /// Every question until now, over UDP and TCP.
    pub(crate) fn asked(&self) -> Vec<Question> {
        lock(&self.asked).clone()
    }

    /// How often it was asked for a name's addresses of one kind.
    pub(crate) fn count(&self, name: &str, kind: u16) -> usize {
        self.asked().iter().filter(|asked| asked.name == name && asked.kind == kind).count()
    }
}

fn say(socket: &UdpSocket, peer: SocketAddr, answers: Vec<Say>) -> std::io::Result<()> {
    for answer in answers {
        match answer {
            Say::Bytes(bytes) => socket.send_to(&bytes, peer)?,
            Say::FromElsewhere(bytes) => {
                UdpSocket::bind((socket.local_addr()?.ip(), 0))?.send_to(&bytes, peer)?
            }
        };
    }
    Ok(())
}

/// DNS over TCP: a length before each message (RFC 7766 §8).
fn converse(
    mut stream: TcpStream,
    asked: &Mutex<Vec<Question>>,
    lie: &dyn Fn(&Question) -> Vec<Say>,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut bytes)?;
        let question = Question::new(&bytes, true);
        lock(asked).push(question.clone());
        for answer in lie(&question) {
            let (Say::Bytes(bytes) | Say::FromElsewhere(bytes)) = answer;
            let length = u16::try_from(bytes.len()).context("a message is shorter")?;
            stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat())?;
        }
    }
}

impl Question {
    fn new(bytes: &[u8], over_tcp: bool) -> Self {
        let (name, kind) = question(bytes);
        Self { bytes: bytes.to_vec(), name, kind, over_tcp }
    }

    /// The honest answer from these records, in which an alias stands before what it stands for.
    pub(crate) fn answered_from(&self, zone: &[(&str, Data)]) -> Vec<Say> {
        let mut owners = vec![self.name.as_str()];
        let mut message = self.reply();
        for (owner, data) in zone.iter().filter(|(_, data)| data.fits(self.kind)) {
            if owners.contains(owner) {
                message = message.answer(owner, data);
                owners.extend(data.target());
            }
        }
        vec![message.say()]
    }

    /// An answer without records, to be filled.
    pub(crate) fn reply(&self) -> Message {
        let end = 12 + self.bytes[12..].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
        let question = self.bytes[12..end].to_vec();
        let id = [self.bytes[0], self.bytes[1]];
        Message { id, flags: [0x81, 0x80], question, sections: Default::default() }
    }
}

/// What a record holds.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Address(IpAddr),
    Alias(String),
}

impl Data {
    pub(crate) fn address(text: &str) -> Self {
        Self::Address(text.parse().expect("an address"))
    }

    pub(crate) fn alias(text: &str) -> Self {
        Self::Alias(text.to_owned())
    }

    fn fits(&self, kind: u16) -> bool {
        self.kind() == kind || self.target().is_some()
    }

    fn target(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Alias(target) => Some(target),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => A,
            Self::Address(IpAddr::V6(_)) => AAAA,
            Self::Alias(_) => CNAME,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Alias(name) => encode(name),
        }
    }
}

/// A DNS message in the making (RFC 1035 §4.1).
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: [u8; 2],
    pub(crate) flags: [u8; 2],
    pub(crate) question: Vec<u8>,
    /// Answer, authority, additional.
    sections: [Vec<Vec<u8>>; 3],
}

impl Message {
    pub(crate) fn answer(self, owner: &str, data: &Data) -> Self {
        self.raw(0, record(owner, data, 60))
    }

    /// An answer for so many seconds.
    pub(crate) fn brief(self, owner: &str, data: &Data, ttl: u32) -> Self {
        self.raw(0, record(owner, data, ttl))
    }

    pub(crate) fn authority(self, owner: &str, data: &Data) -> Self {
        self.raw(1, record(owner, data, 60))
    }

    pub(crate) fn additional(self, owner: &str, data: &Data) -> Self {
        self.raw(2, record(owner, data, 60))
    }

    /// A record in any bytes.
    pub(crate) fn raw(mut self, section: usize, record: Vec<u8>) -> Self {
        self.sections[section].push(record);
        self
    }

    pub(crate) fn truncated(mut self) -> Self {
        self.flags[0] |= 2;
        self
    }

    pub(crate) fn code(mut self, code: u8) -> Self {
        self.flags[1] |= code;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = |section: &Vec<Vec<u8>>| u16::try_from(section.len()).unwrap_or(u16::MAX);
        let counts = self.sections.iter().flat_map(|section| count(section).to_be_bytes());
        let header = [&self.id[..], &self.flags, &[0, 1]].concat();
        let records = self.sections.iter().flatten().flatten().copied();
        header.into_iter().chain(counts).chain(self.question.clone()).chain(records).collect()
    }

    pub(crate) fn say(&self) -> Say {
        Say::Bytes(self.bytes())
    }
}

/// A resource record, without compression.
pub(crate) fn record(owner: &str, data: &Data, ttl: u32) -> Vec<u8> {
    let (kind, data) = (data.kind().to_be_bytes(), data.bytes());
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&encode(owner)[..], &kind, &[0, 1], &ttl.to_be_bytes(), &length, &data].concat()
}

fn encode(name: &str) -> Vec<u8> {
    let label =
        |label: &str| [&[u8::try_from(label.len()).unwrap_or(63)], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

const CNAME: u16 = 5;
