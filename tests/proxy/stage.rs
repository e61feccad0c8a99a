//! A proxy on the loopback with everything around it in this process: a DNS server that says what it is
//! told, an origin that records and echoes, and clients that send exactly the bytes a test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use test_support::{PATIENCE, Ringfence};

/// The host that the list has, on the origin's port.
pub(crate) const HOST: &str = "contoso.azurecr.io";

/// The data host that some lists have, on the same port.
pub(crate) const DATA: &str = "contoso.eastus.data.azurecr.io";

/// The proxy and its surroundings.
pub(crate) struct Stage {
    pub(crate) proxy: Ringfence,
    pub(crate) dns: Dns,
    pub(crate) origin: Origin,
    pub(crate) list: PathBuf,
    directory: TempDir,
    /// The connections that a test has found on record: a later one may have the same port.
    found: Mutex<BTreeSet<u64>>,
}

impl Stage {
    /// Both hosts are on the list, pinned to the loopback, and resolve to it.
    pub(crate) fn open() -> Result<Self> {
        Self::with_settings("")
    }

    /// The same, with lines for the configuration file.
    pub(crate) fn with_settings(settings: &str) -> Result<Self> {
        Self::with_program(PROGRAM, settings)
    }

    /// The same, after `prepare` has been given the list's path and the origin's port.
    pub(crate) fn prepared(
        settings: &str,
        prepare: impl FnOnce(&Path, u16) -> Result<()>,
    ) -> Result<Self> {
        let start = |arguments: [&OsStr; 2]| Ringfence::on_loopback(PROGRAM, arguments);
        Self::build(None, &with_list(settings), prepare, start)
    }

    /// The same without a list for everyone: `settings` say whose lists there are.
    pub(crate) fn of_groups(
        settings: &str,
        prepare: impl FnOnce(&Path, u16) -> Result<()>,
    ) -> Result<Self> {
        let start = |arguments: [&OsStr; 2]| Ringfence::on_loopback(PROGRAM, arguments);
        Self::build(None, settings, prepare, start)
    }

    /// The same, started by another program.
    pub(crate) fn with_program(program: &str, settings: &str) -> Result<Self> {
        let start = |arguments: [&OsStr; 2]| Ringfence::on_loopback(program, arguments);
        Self::build(None, &with_list(settings), |_, _| Ok(()), start)
    }

    /// The same, started by a shell's script, which has to `exec "$0" "$@"`.
    pub(crate) fn by_script(settings: &str, script: &str) -> Result<Self> {
        let start = |arguments: [&OsStr; 2]| Ringfence::by_script(PROGRAM, script, arguments);
        Self::build(None, &with_list(settings), |_, _| Ok(()), start)
    }

    /// The same, and the proxy has no more than so many file descriptors.
    pub(crate) fn with_descriptors(descriptors: u64, settings: &str) -> Result<Self> {
        Self::by_script(settings, &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
    }

    /// The same, with another name server than the stage's own.
    pub(crate) fn asking(resolver: SocketAddr, settings: &str) -> Result<Self> {
        let start = |arguments: [&OsStr; 2]| Ringfence::on_loopback(PROGRAM, arguments);
        Self::build(Some(resolver), &with_list(settings), |_, _| Ok(()), start)
    }

    fn build(
        resolver: Option<SocketAddr>,
        settings: &str,
        prepare: impl FnOnce(&Path, u16) -> Result<()>,
        start: impl FnOnce([&OsStr; 2]) -> Result<Ringfence>,
    ) -> Result<Self> {
        let dns = Dns::start()?;
        let resolver = resolver.unwrap_or(dns.address);
        let directory = TempDir::new()?;
        let origin = Origin::start()?;
        dns.answer(HOST, Answer::Addresses(vec![LOOPBACK]));
        dns.answer(DATA, Answer::Addresses(vec![LOOPBACK]));
        let list = directory.path().join("allowlist.toml");
        fs::write(&list, document(&[HOST, DATA], origin.port))?;
        prepare(&list, origin.port)?;
        let config = directory.path().join("ringfence.toml");
        fs::write(&config, format!("resolver = [\"{resolver}\"]\n{settings}"))?;
        let arguments = ["--config".as_ref(), config.as_os_str()];
        let proxy = start(arguments)?;
        Ok(Self { proxy, dns, origin, list, directory, found: Mutex::default() })
    }

    /// Puts a list with these hosts in place, by rename, and waits until it is in force.
    pub(crate) fn allow(&self, hosts: &[&str]) -> Result<()> {
        self.enforce(&document(hosts, self.origin.port))
    }

    /// Puts this document in place, by rename.
    pub(crate) fn put(&self, document: &str) -> Result<()> {
        self.replace(&self.list, document)
    }

    /// Puts this document in the place of `list`, by rename.
    pub(crate) fn replace(&self, list: &Path, document: &str) -> Result<()> {
        let new = self.directory.path().join("allowlist.new");
        fs::write(&new, document)?;
        Ok(fs::rename(new, list)?)
    }

    /// The log line of the connection from `client` that was not found before, and that there is one of it.
    pub(crate) fn recorded(&self, client: &str) -> Result<Value> {
        let found = lock(&self.found).clone();
        let is_new = |line: &Value| !line["id"].as_u64().is_some_and(|id| found.contains(&id));
        let ours = |line: &Value| line["client"] == client && is_new(line);
        let line = self.proxy.logged(ours)?;
        anyhow::ensure!(self.proxy.log()?.iter().filter(|line| ours(line)).count() == 1, "{line}");
        lock(&self.found).extend(line["id"].as_u64());
        Ok(line)
    }

    /// Puts this document in place, by rename, and waits until it is in force.
    pub(crate) fn enforce(&self, document: &str) -> Result<()> {
        let generation = self.proxy.metric("ringfence_allowlist_generation")?;
        self.put(document)?;
        self.until(|| Ok(self.proxy.metric("ringfence_allowlist_generation")? > generation))
    }

    /// Waits for something that has no event of its own to wait for.
    pub(crate) fn until(&self, done: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !done()? {
            if std::time::Instant::now() > deadline {
                bail!("it did not happen in time; the proxy said:\n{}", self.proxy.stderr().text());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// A connection to the proxy.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::connect(self.proxy.listen())
    }

    /// A connection to the proxy, of a client at `source`.
    pub(crate) fn client_at(&self, source: IpAddr) -> Result<Client> {
        Client::connect_from(source, self.proxy.listen())
    }

    /// A client that has asked for `authority`, and the head of the answer.
    pub(crate) fn connect(&self, authority: &str) -> Result<(Client, String)> {
        self.connect_at(LOOPBACK, authority)
    }

    /// The same, at `source`.
    pub(crate) fn connect_at(&self, source: IpAddr, authority: &str) -> Result<(Client, String)> {
        let mut client = self.client_at(source)?;
        let head = client.ask(authority)?;
        Ok((client, head))
    }

    /// A client in an open tunnel to `host`, its ClientHello behind it.
    pub(crate) fn tunnel(&self, host: &str) -> Result<Client> {
        self.tunnel_at(LOOPBACK, host)
    }

    /// The same, at `source`.
    pub(crate) fn tunnel_at(&self, source: IpAddr, host: &str) -> Result<Client> {
        self.tunnel_of(self.client_at(source)?, host)
    }

    /// The same, for a client that has said nothing yet.
    pub(crate) fn tunnel_of(&self, mut client: Client, host: &str) -> Result<Client> {
        let head = client.ask(&format!("{host}:{}", self.origin.port))?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("no tunnel: {head}");
        }
        let hello = hello(Some(host));
        client.send(&hello)?;
        // The origin echoes, so the hello comes back; that it does shows that the tunnel carries.
        let echoed = client.receive(hello.len())?;
        anyhow::ensure!(echoed == hello, "the hello was changed on its way");
        Ok(client)
    }
}

/// What the stage's list is for everyone.
fn with_list(settings: &str) -> String {
    format!("allowlist = [\"allowlist.toml\"]\n{settings}")
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A list with these hosts on `port`, each pinned to the loopback.
pub(crate) fn document(hosts: &[&str], port: u16) -> String {
    let entry = |host: &&str| {
        format!(
            "[[entry]]\nhost = \"{host}\"\nports = [{port}]\nrole = \"other\"\nwhy = \"test\"\n\
             addresses = [\"127.0.0.1\"]\n"
        )
    };
    hosts.iter().map(entry).fold("schema = 1\n".to_owned(), |list, entry| list + &entry)
}

/// A connection that sends and receives exactly what it is told, within [`PATIENCE`].
pub(crate) struct Client(TcpStream);

impl Client {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is the client; nothing of it is forwarded"
    )]
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// The same, with `source` as the client's address.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::over(socket.into())
    }

    /// A client that is connected already.
    pub(crate) fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Asks for `authority`, and reads the head of the answer.
    pub(crate) fn ask(&mut self, authority: &str) -> Result<String> {
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        self.send(request.as_bytes())?;
        self.head()
    }

    pub(crate) fn address(&self) -> Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    /// A second handle on the connection, to read while the first one writes.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    pub(crate) fn set_write_timeout(&self, limit: Duration) -> Result<()> {
        Ok(self.0.set_write_timeout(Some(limit))?)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).context("send")
    }

    /// Sends `bytes` to a host that sends them back, and checks that it does.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(bytes)?;
        anyhow::ensure!(self.receive(bytes.len())? == bytes, "the echo differs");
        Ok(())
    }

    /// Whether nothing comes for a [`MOMENT`].
    pub(crate) fn is_quiet(&mut self) -> Result<bool> {
        self.0.set_read_timeout(Some(MOMENT))?;
        let read = self.0.peek(&mut [0; 1]);
        self.0.set_read_timeout(Some(PATIENCE))?;
        Ok(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    }

    /// Sends no more.
    pub(crate) fn finish(&self) -> Result<()> {
        self.0.shutdown(Shutdown::Write).context("finish")
    }

    /// Vanishes with a reset instead of a farewell.
    pub(crate) fn reset(self) -> Result<()> {
        Ok(socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO))?)
    }

    /// Reads one response head, and nothing behind it.
    pub(crate) fn head(&mut self) -> Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.receive(1).with_context(|| format!("{}", head.escape_ascii()))?);
        }
        Ok(String::from_utf8(head)?)
    }

    pub(crate) fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).context("receive")?;
        Ok(bytes)
    }

    /// Sends something through a tunnel to an origin that echoes, and has it back.
    pub(crate) fn echo(&mut self) -> Result<()> {
        let bytes = b"there and back";
        self.send(bytes)?;
        anyhow::ensure!(self.receive(bytes.len())? == bytes, "the echo differs");
        Ok(())
    }

    /// Everything until the other side closes. A reset counts as an error: it may have eaten an answer.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).context("read to the end")?;
        Ok(bytes)
    }

    /// Whether the other side ends the connection, in whichever way.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        match self.0.read(&mut [0; 1]) {
            Ok(0) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A server that sends back what it gets, and remembers it.
pub(crate) struct Origin {
    pub(crate) port: u16,
    arrived: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
    greeting: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Origin {
    fn start() -> Result<Self> {
        Self::on(TcpListener::bind((LOOPBACK, 0))?)
    }

    /// The same, wherever the test has put a listener.
    pub(crate) fn on(listener: TcpListener) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let origin = Self {
            port,
            arrived: Arc::default(),
            connections: Arc::default(),
            greeting: Arc::default(),
        };
        let (record, connections) = (Arc::clone(&origin.arrived), Arc::clone(&origin.connections));
        let greet = Arc::clone(&origin.greeting);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::Relaxed);
                let record = Arc::clone(&record);
                let greeting = lock(&greet).clone();
                std::thread::spawn(move || echo(stream, &record, greeting));
            }
        });
        Ok(origin)
    }

    /// How many connections there were until now, with and without a byte.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// From now on it sends this back instead of the first bytes of each connection.
    pub(crate) fn greet(&self, greeting: &[u8]) {
        *lock(&self.greeting) = Some(greeting.to_vec());
    }

    /// Every byte of every connection.
    pub(crate) fn arrived(&self) -> Vec<u8> {
        lock(&self.arrived).clone()
    }
}

fn echo(mut stream: TcpStream, record: &Mutex<Vec<u8>>, mut greeting: Option<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        lock(record).extend(&buffer[..count]);
        let written = match greeting.take() {
            Some(greeting) => stream.write_all(&greeting),
            None => stream.write_all(&buffer[..count]),
        };
        if written.is_err() {
            return;
        }
    }
    let _ = stream.write_all(b"goodbye");
    let _ = stream.shutdown(Shutdown::Write);
}

/// What the DNS server says about a name.
#[derive(Clone)]
pub(crate) enum Answer {
    Addresses(Vec<IpAddr>),
    /// The first addresses once, the second ones from then on; never to be cached.
    Flipping(IpAddr, IpAddr),
    /// IPv4 at once, and no answer at all for IPv6.
    OnlyV4(IpAddr),
    NxDomain,
    ServFail,
    Silence,
    /// Silence until [`Dns::release`].
    Held,
}

/// Stands for every name that has no answer of its own; without it, they don't exist.
pub(crate) const EVERYTHING: &str = "*";

/// A query, and who asked.
type Query = (Vec<u8>, SocketAddr);

/// A DNS server that answers as it is told, and counts.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    socket: UdpSocket,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
    held: Arc<Mutex<Vec<Query>>>,
}

impl Dns {
    pub(crate) fn start() -> Result<Self> {
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        let address = socket.local_addr()?;
        let dns = Self {
            address,
            socket: socket.try_clone()?,
            answers: Arc::default(),
            asked: Arc::default(),
            held: Arc::default(),
        };
        let (answers, asked, held) =
            (Arc::clone(&dns.answers), Arc::clone(&dns.asked), Arc::clone(&dns.held));
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query) {
                let query = &query[..length];
                let (name, kind) = question(query);
                let before = lock(&asked).contains(&(name.clone(), A));
                let answer = {
                    let answers = lock(&answers);
                    answers.get(&name).or_else(|| answers.get(EVERYTHING)).cloned()
                };
                // Who sees that it was asked for may release it at once.
                if matches!(answer, Some(Answer::Held)) {
                    lock(&held).push((query.to_vec(), peer));
                }
                lock(&asked).push((name.clone(), kind));
                let reply = match answer.unwrap_or(Answer::NxDomain) {
                    Answer::Silence | Answer::Held => continue,
                    Answer::OnlyV4(_) if kind != A => continue,
                    Answer::NxDomain => reply(query, 3, &[], 60),
                    Answer::ServFail => reply(query, 2, &[], 60),
                    Answer::Addresses(addresses) => reply(query, 0, &of(kind, &addresses), 60),
                    Answer::OnlyV4(address) => reply(query, 0, &[address], 60),
                    Answer::Flipping(first, then) => {
                        let address = if before && kind == A { then } else { first };
                        reply(query, 0, &of(kind, &[address]), 0)
                    }
                };
                let _ = socket.send_to(&reply, peer);
            }
        });
        Ok(dns)
    }

    /// Answers what was held back with `address`.
    pub(crate) fn release(&self, address: IpAddr) -> Result<()> {
        for (query, peer) in lock(&self.held).drain(..) {
            let (_, kind) = question(&query);
            self.socket.send_to(&reply(&query, 0, &of(kind, &[address]), 60), peer)?;
        }
        Ok(())
    }

    pub(crate) fn answer(&self, name: &str, answer: Answer) {
        lock(&self.answers).insert(name.to_owned(), answer);
    }

    /// The names for whose IPv4 address it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked_for(A)
    }

    /// The names for whose IPv6 address it was asked.
    pub(crate) fn asked_for_v6(&self) -> Vec<String> {
        self.asked_for(AAAA)
    }

    fn asked_for(&self, kind: u16) -> Vec<String> {
        let asked = lock(&self.asked);
        asked.iter().filter(|(_, asked)| *asked == kind).map(|(name, _)| name.clone()).collect()
    }
}

/// A thread that panicked while it held the lock has failed its test already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

fn of(kind: u16, addresses: &[IpAddr]) -> Vec<IpAddr> {
    let wanted =
        |address: &&IpAddr| matches!((kind, address), (A, IpAddr::V4(_)) | (AAAA, IpAddr::V6(_)));
    addresses.iter().filter(wanted).copied().collect()
}

/// The name and type of the first question (RFC 1035 §4.1.2).
pub(crate) fn question(query: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

/// The query's id and question, a response code, and answers that point back at the question's name.
fn reply(query: &[u8], code: u8, addresses: &[IpAddr], ttl: u32) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
    let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
    let mut reply =
        [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], &query[12..end]].concat();
    for address in addresses {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        reply.extend(data);
    }
    reply
}

/// A ClientHello in one record, as small as one can be, naming `host`.
pub(crate) fn hello(host: Option<&str>) -> Vec<u8> {
    hello_with(&host.map(|host| server_name(host.as_bytes())).unwrap_or_default())
}

/// A ClientHello for TLS 1.3 with these extensions.
pub(crate) fn hello_with(extensions: &[u8]) -> Vec<u8> {
    record(&message([3, 3], &[extension(43, &[2, 3, 4]), extensions.to_vec()].concat()))
}

/// The message of a ClientHello, with this in its old field for the version.
pub(crate) fn message(version: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    let fixed = [&version[..], &[7; 32], &[0], &vector(&[0x13, 0x01]), &[1, 0]].concat();
    let body = [fixed, vector(extensions)].concat();
    [&[1, 0][..], &vector(&body)].concat()
}

/// A handshake record.
pub(crate) fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector(fragment)].concat()
}

/// The extension that names a server.
pub(crate) fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(&[&[0][..], &vector(name)].concat()))
}

/// Any extension.
pub(crate) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(content)].concat()
}

/// Two octets of length, then the content.
pub(crate) fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], content].concat()
}

/// Long enough for something that must not happen to have happened.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);
