//! A gateway between clients and a world in which every address answers.
//!
//! ```text
//!   client 10.10.0.2, fd00:10::2 ───┐
//!                                   gate 10.99.0.1, fd00:99::1 ─── world
//!   other  10.11.0.2, fd00:11::2 ───┘
//! ```
//!
//! The clients that the exports are told of are the first, and the gate itself on its way to the world.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use allowlist_gen::export::{self, Format, Options, Unpinned};
use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use test_support::{Namespace, PATIENCE, Program};

use crate::lists;

/// The four, wired, and an export in a directory of its own.
pub(crate) struct Gateway {
    pub(crate) gate: Namespace,
    client: Namespace,
    other: Namespace,
    world: Namespace,
    accepted: Ledger,
    datagrams: Ledger,
    directory: TempDir,
}

/// Who has come, and to which address.
type Ledger = Arc<Mutex<BTreeSet<(IpAddr, SocketAddr)>>>;

/// From where something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// A client that sends through the gate.
    Client,
    /// The gate, which is a client itself.
    Gate,
}

impl Gateway {
    /// The gateway, and the list `addresses` in `format` under its usual name in [`directory`](Self::directory).
    pub(crate) fn build(format: Format) -> Result<Self> {
        let [client, gate, other, world] =
            ["client", "gate", "other", "world"].map(Namespace::create);
        let (client, gate, other, world) = (client?, gate?, other?, world?);
        client.connect(["gate", "10.10.0.2/24"], &gate, ["client", "10.10.0.1/24"])?;
        other.connect(["gate", "10.11.0.2/24"], &gate, ["other", "10.11.0.1/24"])?;
        gate.connect(["world", "10.99.0.1/24"], &world, ["gate", "10.99.0.2/24"])?;
        for (namespace, address, interface) in [
            (&client, "fd00:10::2/64", "gate"),
            (&gate, "fd00:10::1/64", "client"),
            (&other, "fd00:11::2/64", "gate"),
            (&gate, "fd00:11::1/64", "other"),
            (&gate, "fd00:99::1/64", "world"),
            (&world, "fd00:99::2/64", "gate"),
            // A route is enough to answer here, but not to be bound to.
            (&world, "fd00:20::6/128", "lo"),
        ] {
            namespace.ip(&["address", "add", address, "dev", interface, "nodad"])?;
        }
        for (namespace, router) in [
            (&client, "10.10.0.1"),
            (&client, "fd00:10::1"),
            (&other, "10.11.0.1"),
            (&other, "fd00:11::1"),
            (&gate, "10.99.0.2"),
            (&gate, "fd00:99::2"),
            (&world, "10.99.0.1"),
            (&world, "fd00:99::1"),
        ] {
            namespace.ip(&["route", "add", "default", "via", router])?;
        }
        for block in WORLD {
            world.ip(&["route", "add", "local", block, "dev", "lo"])?;
        }
        gate.enter(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })??;

        let (accepted, datagrams) = (Ledger::default(), Ledger::default());
        for port in PORTS {
            let listener = world.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))??;
            let accepted = accepted.clone();
            thread::spawn(move || answer(&listener, &accepted));
        }
        for address in DATAGRAMS {
            let socket = world.enter(|| UdpSocket::bind(address))?.context(address)?;
            let datagrams = datagrams.clone();
            thread::spawn(move || answer_datagrams(&socket, &datagrams));
        }
        let listener = client.enter(|| TcpListener::bind(INSIDE))??;
        thread::spawn(move || answer(&listener, &Ledger::default()));

        let directory = TempDir::with_prefix("ringfence-")?;
        fs::write(directory.path().join(format.about().file), export(format)?)?;
        Ok(Self { gate, client, other, world, accepted, datagrams, directory })
    }

    /// Where the export is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a shell's script in the gate, beside the export; it ends at the first command that fails.
    pub(crate) fn run(&self, script: &str) -> Result<()> {
        let script = format!("cd '{}'\n{script}", self.directory().display());
        let shell = Program::new("sh").inside(&self.gate).args(["-e", "-c", &script]);
        shell.run()?.succeeded().map(drop)
    }

    /// Before anything is loaded, all that is tried later goes through.
    pub(crate) fn lets_everything_pass(&self, from: From) -> Result<()> {
        for text in PASSES.iter().chain(&REFUSED) {
            self.dial(from, text).with_context(|| format!("{text}, without a rule"))?;
        }
        for text in DATAGRAMS {
            self.send(from, text).with_context(|| format!("{text}, without a rule"))?;
        }
        self.forget()
    }

    /// Exactly the list's addresses and ports can be connected to, and nothing else has arrived anywhere; the number
    /// of questions to which that is the answer.
    pub(crate) fn holds_to_the_list(&self, from: From) -> Result<usize> {
        for text in PASSES {
            self.dial(from, text).with_context(|| format!("{text} is listed"))?;
        }
        for text in REFUSED {
            ensure!(self.dial(from, text).is_err(), "{text} isn't listed");
        }
        for text in DATAGRAMS {
            let error = self.send(from, text).err().with_context(|| format!("{text} by UDP"))?;
            ensure!(error.kind() != std::io::ErrorKind::WouldBlock, "{text}: nothing was said");
        }
        self.come_to_rest()?;
        let arrived = from_clients(&self.accepted);
        let listed: BTreeSet<SocketAddr> =
            PASSES.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        ensure!(arrived == listed, "arrived: {arrived:?}\nlisted: {listed:?}");
        let datagrams = from_clients(&self.datagrams);
        ensure!(datagrams.is_empty(), "datagrams have arrived: {datagrams:?}");
        self.forget()?;
        Ok(PASSES.len() + REFUSED.len() + DATAGRAMS.len())
    }

    /// Whoever is no client goes where it likes, and may connect to clients; the number of these questions.
    pub(crate) fn leaves_others_alone(&self) -> Result<usize> {
        for text in REFUSED {
            dial(&self.other, text).with_context(|| format!("{text}, by another"))?;
        }
        dial(&self.world, INSIDE).context("from the world to a client")?;
        self.forget()?;
        Ok(REFUSED.len() + 1)
    }

    /// The name server answers, which it doesn't as long as nobody says so.
    pub(crate) fn finds_names(&self, from: From) -> Result<()> {
        self.send(from, NAME_SERVER).context("the name server")
    }

    /// A connection to what isn't listed, which is open already.
    pub(crate) fn open(&self) -> Result<Open> {
        let open = Open(self.dial(From::Client, REFUSED[0])?);
        self.forget()?;
        Ok(open)
    }

    fn dial(&self, from: From, to: &str) -> std::io::Result<TcpStream> {
        dial(self.namespace(from), to)
    }

    /// Sends a datagram and waits for the answer.
    fn send(&self, from: From, to: &str) -> std::io::Result<()> {
        send(self.namespace(from), to)
    }

    fn namespace(&self, from: From) -> &Namespace {
        match from {
            From::Client => &self.client,
            From::Gate => &self.gate,
        }
    }

    /// Waits until all that had arrived before is written down: somebody else comes as the last in each line.
    fn come_to_rest(&self) -> Result<()> {
        for port in PORTS {
            dial(&self.other, &format!("10.20.0.1:{port}"))?;
        }
        for address in DATAGRAMS {
            send(&self.other, address)?;
        }
        Ok(())
    }

    fn forget(&self) -> Result<()> {
        self.come_to_rest()?;
        for ledger in [&self.accepted, &self.datagrams] {
            ledger.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        Ok(())
    }
}

/// A connection that was open before the rules came.
pub(crate) struct Open(TcpStream);

impl Open {
    /// Whether anything still comes back on it; an end that nobody announces is an error.
    pub(crate) fn carries(mut self) -> Result<bool> {
        let echoed = self.0.write_all(b"?").and_then(|()| self.0.read_exact(&mut [0]));
        match echoed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                bail!("nothing was said")
            }
            Err(_) => Ok(false),
        }
    }
}

fn export(format: Format) -> Result<String> {
    let list = lists::written("addresses");
    let clients =
        if format.about().takes.contains(&export::Setting::Client) { CLIENTS } else { &[] };
    let clients = clients.iter().map(|client| client.parse()).collect::<Result<_, _>>()?;
    let options = Options { clients, unpinned: Unpinned::LeftOut, ..Options::default() };
    Ok(export::render(format, &list.allowlist, list.issue, &options)?.text)
}

/// Connects, and waits for the byte with which the world greets.
#[expect(clippy::disallowed_methods, reason = "a test's own connection, inside a namespace")]
fn dial(namespace: &Namespace, to: &str) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().expect("an address and a port");
    namespace
        .enter(|| {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_exact(&mut [0])?;
            Ok(stream)
        })
        .expect("a namespace")
}

fn send(namespace: &Namespace, to: &str) -> std::io::Result<()> {
    let to: SocketAddr = to.parse().expect("an address and a port");
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    namespace
        .enter(|| {
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.send(b"?")?;
            socket.recv(&mut [0]).map(drop)
        })
        .expect("a namespace")
}

/// Takes connections for as long as the process lives: greets, and then says back what it hears.
fn answer(listener: &TcpListener, accepted: &Ledger) {
    while let Ok((mut stream, peer)) = listener.accept() {
        let Ok(address) = stream.local_addr() else { continue };
        write_down(accepted, peer, address);
        thread::spawn(move || {
            let mut heard = stream.try_clone()?;
            stream.write_all(b"!")?;
            std::io::copy(&mut heard, &mut stream)
        });
    }
}

fn answer_datagrams(socket: &UdpSocket, received: &Ledger) {
    let Ok(address) = socket.local_addr() else { return };
    while let Ok((_, peer)) = socket.recv_from(&mut [0]) {
        write_down(received, peer, address);
        let _ = socket.send_to(b"!", peer);
    }
}

fn write_down(ledger: &Ledger, peer: SocketAddr, address: SocketAddr) {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    let mut entries = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    entries.insert((peer.ip().to_canonical(), address));
}

/// Where somebody else than the last in each line has come.
fn from_clients(ledger: &Ledger) -> BTreeSet<SocketAddr> {
    let entries = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let is_client = |peer: &IpAddr| !OTHER.contains(&peer.to_string().as_str());
    entries.iter().filter(|(peer, _)| is_client(peer)).map(|(_, address)| *address).collect()
}

/// Those that the exports are told of.
const CLIENTS: &[&str] = &["10.10.0.0/16", "fd00:10::/64", "10.99.0.1/32", "fd00:99::1/128"];

const OTHER: [&str; 2] = ["10.11.0.2", "fd00:11::2"];

/// Where a client listens, itself.
const INSIDE: &str = "10.10.0.2:8080";

/// All of these are in the world.
const WORLD: [&str; 8] = [
    "10.0.0.0/24",
    "10.20.0.0/16",
    "10.120.0.0/16",
    "20.62.128.0/24",
    "172.16.0.0/16",
    "192.168.0.0/16",
    "fd00:20::/31",
    "2603:1030::/32",
];

/// On these ports everybody in the world answers.
const PORTS: [u16; 4] = [22, 80, 443, 8443];

/// What the list says, with the first and the last of each block.
const PASSES: [&str; 12] = [
    "10.20.0.6:443",
    "10.20.0.6:22",
    "10.20.0.4:443",
    "10.20.1.16:443",
    "10.20.1.16:8443",
    "10.20.1.17:443",
    "10.20.1.31:443",
    "10.20.1.31:8443",
    "[fd00:20::6]:443",
    "[fd00:20:1::]:22",
    "[fd00:20:1::6]:22",
    "[fd00:20:1:0:ffff:ffff:ffff:ffff]:22",
];

const REFUSED: [&str; 27] = [
    // Beside what is listed.
    "10.20.0.3:443",
    "10.20.0.5:443",
    "10.20.0.7:443",
    "10.20.1.15:443",
    "10.20.1.32:443",
    "10.20.1.15:8443",
    "10.20.1.32:8443",
    "[fd00:20::5]:443",
    "[fd00:20::7]:443",
    "[fd00:20:0:ffff:ffff:ffff:ffff:ffff]:22",
    "[fd00:20:1:1::]:22",
    // Listed, on other ports.
    "10.20.0.6:80",
    "10.20.0.6:8443",
    "10.20.0.4:22",
    "10.20.0.4:8443",
    "10.20.1.17:22",
    "10.20.1.17:80",
    "[fd00:20::6]:22",
    "[fd00:20:1::6]:443",
    // Elsewhere.
    "10.0.0.6:443",
    "10.120.0.6:443",
    "10.20.20.6:443",
    "172.16.0.6:443",
    "192.168.0.6:443",
    "20.62.128.10:443",
    "[2603:1030::6]:443",
    "[fd00:21::6]:443",
];

/// Nothing but TCP is listed: QUIC, and a name server.
const DATAGRAMS: [&str; 3] = ["10.20.0.6:443", "[fd00:20::6]:443", NAME_SERVER];

const NAME_SERVER: &str = "10.20.0.53:53";
