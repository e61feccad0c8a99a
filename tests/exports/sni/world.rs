//! A namespace in which every name leads to one far end, which keeps what arrives there.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use allowlist_gen::export::{self, Format};
use anyhow::{Context, Result, bail, ensure};
use ringfence_config::{Allowlist, Issue};
use tempfile::TempDir;
use test_support::{Namespace, PATIENCE, Program, Running, require};

use crate::lists;

/// A world with a name server, a far end, and room for one proxy between them and the client.
pub(crate) struct World {
    pub(crate) namespace: Namespace,
    directory: TempDir,
    far_end: FarEnd,
    _names: Running,
}

/// Where a client stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// On the network that the proxy is for.
    Known,
    /// Elsewhere.
    Stranger,
    /// Elsewhere, at an IPv6 address that has one of the known network's in it (6to4, RFC 3056).
    Disguised,
}

impl World {
    /// A world where every name is at this address; `None` if something isn't installed.
    pub(crate) fn open(programs: &[&str], address: Ipv4Addr) -> Result<Option<Self>> {
        if !require(&["ip", "dnsmasq"]) || !require(programs) {
            return Ok(None);
        }
        let namespace = Namespace::create("exports")?;
        for address in [NAME_SERVER, CLIENT, address] {
            namespace.ip(&["address", "add", &format!("{address}/32"), "dev", "lo"])?;
        }
        namespace.ip(&["address", "add", &format!("{DISGUISED}/128"), "dev", "lo"])?;
        // Nothing leaves it, and what nobody has says so at once.
        namespace.ip(&["route", "add", "unreachable", "default"])?;
        let names = Program::new("dnsmasq")
            .inside(&namespace)
            .args(["--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file"])
            .args(["--no-hosts", "--no-resolv", "--log-facility=-", "--bind-interfaces"])
            .arg(format!("--listen-address={NAME_SERVER}"))
            .args([format!("--address=/#/{address}"), "--local=/#/".to_owned()])
            .start()?;
        names.stderr.wait_for_line(|line| line.contains("started, version"))?;
        let far_end = FarEnd::start(&namespace, address)?;
        let directory = TempDir::with_prefix("ringfence-sni-")?;
        Ok(Some(Self { namespace, directory, far_end, _names: names }))
    }

    /// The list `contoso` in `format`, as it is exported for this world.
    pub(crate) fn export(format: Format) -> Result<String> {
        Self::export_of(format, &lists::contoso().allowlist)
    }

    /// Another list, likewise.
    pub(crate) fn export_of(format: Format, allowlist: &Allowlist) -> Result<String> {
        let options = export::Options {
            clients: vec!["10.10.0.0/24".parse()?],
            listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))),
            resolver: Some(SocketAddr::from((NAME_SERVER, 53))),
            ..export::Options::default()
        };
        Ok(export::render(format, allowlist, Issue::default(), &options)?.text)
    }

    /// A path in a folder of this world's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file there.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        std::fs::write(self.path(name), text)?;
        Ok(self.path(name))
    }

    /// Starts a proxy and waits until it listens.
    pub(crate) fn start(&self, proxy: Program) -> Result<Running> {
        let mut running = proxy.inside(&self.namespace).start()?;
        let deadline = Instant::now() + PATIENCE;
        while self.connect(Client::Known).is_err() {
            let ended = running.wait(Duration::from_millis(20));
            if ended.is_ok() || Instant::now() > deadline {
                bail!("no proxy: {}\n{}", running.stdout.text(), running.stderr.text());
            }
        }
        Ok(running)
    }

    /// A connection to the proxy.
    #[expect(clippy::disallowed_methods, reason = "a client of the proxy, inside a namespace")]
    pub(crate) fn connect(&self, client: Client) -> Result<TcpStream> {
        // Within one machine, who connects to an address has that address.
        let address = match client {
            Client::Known => IpAddr::V4(CLIENT),
            Client::Stranger => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Client::Disguised => IpAddr::V6(DISGUISED),
        };
        let proxy = SocketAddr::from((address, PORT));
        let stream = self.namespace.enter(|| TcpStream::connect_timeout(&proxy, PATIENCE))??;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// What the far end has got on each connection since this was asked last.
    pub(crate) fn arrived(&self) -> Result<Vec<Vec<u8>>> {
        self.far_end.arrived()
    }
}

/// What comes back until `stream` ends or pauses: `None` if it is closed first.
pub(crate) fn answer(stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(buffer[..count].to_vec())),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error).context("neither an answer nor an end"),
    }
}

/// Somewhere on the internet.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 62, 128, 10);
/// What the list pins `contoso.azurecr.io` to.
pub(crate) const PINNED: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 6);
/// Azure's own service address on each machine.
pub(crate) const PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// What the far end says to whoever has said something.
pub(crate) const GREETING: &[u8] = b"the far end";

struct FarEnd {
    namespace: Namespace,
    address: Ipv4Addr,
    ledger: Ledger,
}

type Ledger = Arc<(Mutex<Arrivals>, Condvar)>;

#[derive(Debug, Default)]
struct Arrivals {
    ended: Vec<Vec<u8>>,
    open: usize,
    roll_calls: usize,
}

impl FarEnd {
    fn start(namespace: &Namespace, address: Ipv4Addr) -> Result<Self> {
        let ledger = Ledger::default();
        for port in PORTS {
            let listener = namespace.enter(|| TcpListener::bind((address, port)))??;
            let ledger = ledger.clone();
            // For as long as the process lives; the namespace goes first.
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    lock(&ledger).open += 1;
                    let ledger = ledger.clone();
                    thread::spawn(move || serve(stream, &ledger));
                }
            });
        }
        Ok(Self { namespace: namespace.clone(), address, ledger })
    }

    /// "Nothing" is only true once everything has been looked at. So this stands as the last in each line, and then
    /// waits until all have ended.
    fn arrived(&self) -> Result<Vec<Vec<u8>>> {
        for port in PORTS {
            let before = lock(&self.ledger).roll_calls;
            let mut stream = self.dial(port)?;
            stream.write_all(ROLL_CALL)?;
            drop(stream);
            self.wait(|arrivals| arrivals.roll_calls > before)?;
        }
        self.wait(|arrivals| arrivals.open == 0)?;
        Ok(std::mem::take(&mut lock(&self.ledger).ended))
    }

    #[expect(clippy::disallowed_methods, reason = "a question to ourselves, inside a namespace")]
    fn dial(&self, port: u16) -> Result<TcpStream> {
        let address = SocketAddr::from((self.address, port));
        Ok(self.namespace.enter(|| TcpStream::connect_timeout(&address, PATIENCE))??)
    }

    fn wait(&self, until: impl Fn(&Arrivals) -> bool) -> Result<()> {
        let waited = self.ledger.1.wait_timeout_while(lock(&self.ledger), PATIENCE, |a| !until(a));
        let (arrivals, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(until(&arrivals), "the far end has not come to rest: {arrivals:?}");
        Ok(())
    }
}

fn serve(mut stream: TcpStream, ledger: &Ledger) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let _ = stream.set_read_timeout(Some(PATIENCE));
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if all.is_empty() {
            let _ = stream.write_all(GREETING);
        }
        all.extend_from_slice(&buffer[..count]);
    }
    let mut arrivals = lock(ledger);
    arrivals.open -= 1;
    if all == ROLL_CALL {
        arrivals.roll_calls += 1;
    } else {
        arrivals.ended.push(all);
    }
    ledger.1.notify_all();
}

fn lock(ledger: &Ledger) -> MutexGuard<'_, Arrivals> {
    ledger.0.lock().unwrap_or_else(PoisonError::into_inner)
}

const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 53);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 2);
/// 6to4 of the address of a known client.
const DISGUISED: Ipv6Addr = Ipv6Addr::new(0x2002, 0x0a0a, 0x0002, 0, 0, 0, 0, 1);
const PORT: u16 = 3128;
/// Those that probes ask for.
const PORTS: [u16; 4] = [443, 80, 22, 8443];
const ROLL_CALL: &[u8] = b"who is there?";
