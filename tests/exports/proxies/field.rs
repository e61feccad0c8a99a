//! A place to try a forward proxy in: a namespace where every name has an address of its own, and where whoever is
//! reached says by which name. Nothing leaves it.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use allowlist_gen::export::Format;
use rustix::process::Signal;
use tempfile::TempDir;
use test_support::{Namespace, PATIENCE, Program, Running, require};

use crate::lookalikes::{LISTED, Probe, STRANGERS};

/// The namespace, with a name server and, at every address of every name, the far end.
pub(crate) struct Field {
    namespace: Namespace,
    files: TempDir,
    far_end: FarEnd,
    names: Vec<String>,
    addresses: Addresses,
    _dns: Running,
}

/// Which addresses the names have. The name server also says whose an address is, to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Each has one of its own, as if all were private.
    Own,
    /// All have the same, as those that are public share their front ends.
    Shared,
}

impl Field {
    /// A field where the names of [`lookalikes`](crate::lookalikes) exist, if these programs are installed.
    pub(crate) fn open(programs: &[&str], addresses: Addresses) -> Option<Self> {
        let names = LISTED.iter().chain(&STRANGERS).map(|name| (*name).to_owned());
        Self::with_names(programs, addresses, names)
    }

    /// A field where the names of `probes` exist.
    pub(crate) fn of(programs: &[&str], addresses: Addresses, probes: &[Probe]) -> Option<Self> {
        let names: BTreeSet<&String> = probes.iter().map(|probe| &probe.host).collect();
        Self::with_names(programs, addresses, names.into_iter().cloned())
    }

    /// A field where `names` exist, 250 at most, if these programs are installed.
    fn with_names(
        programs: &[&str],
        addresses: Addresses,
        names: impl IntoIterator<Item = String>,
    ) -> Option<Self> {
        if !require(&[&["ip", "dnsmasq", "unshare"], programs].concat()) {
            return None;
        }
        let names: Vec<String> = names.into_iter().collect();
        let namespace = Namespace::create("field").expect("a namespace");
        for block in ["20.62.0.0/24", "10.10.0.0/24"] {
            namespace.ip(&["route", "add", "local", block, "dev", "lo"]).expect("a route");
        }
        let files = tempfile::Builder::new().prefix("field").tempdir().expect("a folder");
        let far_end = FarEnd::open(&namespace);
        let records = names
            .iter()
            .enumerate()
            .map(|(index, name)| format!("--host-record={name},{}", address_of(index, addresses)));
        let dns = Program::new("dnsmasq")
            .inside(&namespace)
            .args(["--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file"])
            .args(["--no-hosts", "--no-resolv", "--log-facility=-", "--address=/#/"])
            .args(["--bind-interfaces", "--listen-address=127.0.0.53"])
            .args(records)
            .start()
            .expect("a name server");
        dns.stderr.wait_for_line(|line| line.contains("started, version")).expect("it starts");
        let field = Self { namespace, files, far_end, names, addresses, _dns: dns };
        field.file("resolv.conf", "nameserver 127.0.0.53\n");
        // Some programs read their files as nobody.
        field.allow("", 0o755);
        Some(field)
    }

    /// Writes a file that everybody can read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a file");
        self.allow(name, 0o644);
        path
    }

    /// A folder that everybody can write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(self.path(name)).expect("a folder");
        self.allow(name, 0o777);
        self.path(name)
    }

    /// A path of that name, which goes when the field goes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A name that nothing else on this machine has.
    pub(crate) fn name(&self) -> String {
        self.files.path().file_name().expect("a folder").to_string_lossy().into_owned()
    }

    fn allow(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;

        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), permissions).expect("permissions");
    }

    /// A program in the field, which asks the field's name server and no other.
    pub(crate) fn program(&self, program: &str) -> Program {
        // A mount that only this program sees.
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        Program::new("unshare")
            .inside(&self.namespace)
            .args(["--mount", "sh", "-c", script])
            .arg(self.path("resolv.conf"))
            .arg(program)
    }

    /// Starts `program` and waits until it listens on `port`.
    pub(crate) fn serve(&self, program: Program, port: u16) -> Running {
        self.try_serve(program, port).unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, or what it said if it ended instead.
    pub(crate) fn try_serve(&self, program: Program, port: u16) -> Result<Running, String> {
        let mut running = program.start().expect("the program starts");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.dial(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            let said = || running.stdout.text() + &running.stderr.text();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}: {}", said());
            assert!(Instant::now() < deadline, "it doesn't listen on {port}: {}", said());
            if let Ok(status) = running.wait(Duration::from_millis(20)) {
                return Err(format!(
                    "{status}: {}{}",
                    running.stdout.text(),
                    running.stderr.text()
                ));
            }
        }
        Ok(running)
    }

    /// Connects to `port` of the field from [`CLIENT`].
    pub(crate) fn client(&self, port: u16) -> TcpStream {
        self.connect(SocketAddr::from((CLIENT, port)))
    }

    /// Connects to `port` of the field from an address that is no client's.
    pub(crate) fn stranger(&self, port: u16) -> TcpStream {
        self.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn connect(&self, to: SocketAddr) -> TcpStream {
        let stream = self.dial(to).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// In a namespace whose addresses are all on its loopback, a connection comes from the address that it goes to.
    #[expect(clippy::disallowed_methods, reason = "a question to ourselves, inside a namespace")]
    fn dial(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        self.namespace.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("the namespace")
    }

    /// The address of a name that exists.
    pub(crate) fn address(&self, name: &str) -> Ipv4Addr {
        let index = self.names.iter().position(|known| known == name).expect("a name of the field");
        address_of(index, self.addresses)
    }

    /// Where the far end has been reached until now, in the order of ports: `name:port`, or `address:port` where
    /// names have no addresses of their own.
    ///
    /// "Nowhere" is only true once everything has been looked at. So this connects as the last in each line, and
    /// waits until it is taken: those before it stand before it.
    pub(crate) fn arrivals(&self) -> Vec<String> {
        for port in PORTS {
            let before = self.far_end.log().ours;
            let _ours = self.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            self.far_end.wait(|log| log.ours > before);
        }
        let mut seen = self.far_end.log().arrivals.clone();
        seen.sort_by_key(SocketAddr::port);
        seen.into_iter().map(|address| self.called(address)).collect()
    }

    /// What the far end says to whoever reaches it by `host` on `port`, where names have addresses of their own.
    pub(crate) fn banner(&self, host: &str, port: u16) -> String {
        let name = host.to_ascii_lowercase();
        let address = name.parse().unwrap_or_else(|_| self.address(name.trim_end_matches('.')));
        SocketAddr::from((address, port)).to_string()
    }

    fn called(&self, address: SocketAddr) -> String {
        let mut names = self.names.iter().enumerate();
        let is_it = |index| IpAddr::V4(address_of(index, Addresses::Own)) == address.ip();
        match names.find(|(index, _)| self.addresses == Addresses::Own && is_it(*index)) {
            Some((_, name)) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        }
    }
}

/// A program that is stopped in good order: it writes its log, and takes its children and its shared memory with it.
pub(crate) struct Orderly(pub(crate) Running);

impl Drop for Orderly {
    fn drop(&mut self) {
        // If it doesn't end by itself, it is killed.
        let _ = self.0.signal(Signal::TERM).and_then(|()| self.0.wait(PATIENCE));
    }
}

/// The file that the commands of `apply` write with `cat >… <<'END'`.
pub(crate) fn configuration(format: Format) -> &'static str {
    let (_, rest) = format.about().apply.split_once("<<'END'\n").expect("a file");
    rest.split_once("END\n").expect("its end").0
}

/// Whoever is behind every name, on every port that anybody asks for. It says where it was reached.
struct FarEnd(Arc<(Mutex<Log>, Condvar)>);

#[derive(Default)]
struct Log {
    arrivals: Vec<SocketAddr>,
    /// Connections of this test's own, over the loopback.
    ours: usize,
}

impl FarEnd {
    fn open(namespace: &Namespace) -> Self {
        let far_end = Self(Arc::default());
        for port in PORTS {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let listener = namespace.enter(|| TcpListener::bind(any)).expect("the namespace");
            let listener = listener.expect("a free port");
            let log = Self(far_end.0.clone());
            // For as long as the process lives; the namespace goes first.
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    log.take(stream);
                }
            });
        }
        far_end
    }

    fn take(&self, mut stream: TcpStream) {
        let Ok(reached) = stream.local_addr() else { return };
        if reached.ip().is_loopback() {
            self.log().ours += 1;
        } else {
            self.log().arrivals.push(reached);
            thread::spawn(move || {
                // What goes wrong from here is the other side's concern: it has arrived.
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = writeln!(stream, "{reached}");
                let _ = stream.read(&mut [0; 1024]);
            });
        }
        self.0.1.notify_all();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.0.lock().expect("nobody panics with it")
    }

    fn wait(&self, until: impl Fn(&Log) -> bool) {
        let waited = self.0.1.wait_timeout_while(self.log(), PATIENCE, |log| !until(log));
        assert!(!waited.expect("nobody panics with it").1.timed_out(), "the far end is stuck");
    }
}

fn address_of(index: usize, addresses: Addresses) -> Ipv4Addr {
    let last = match addresses {
        Addresses::Own => u8::try_from(index + 1).expect("a field has 250 names at most"),
        Addresses::Shared => 1,
    };
    Ipv4Addr::new(20, 62, 0, last)
}

/// An address of a client, as [`lists::options`](crate::lists::options) tells exports of.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 7);

/// Where the far end listens: every port of [`lookalikes::probes`](crate::lookalikes::probes) and
/// [`other_ports`](crate::lookalikes::other_ports).
const PORTS: [u16; 4] = [443, 80, 22, 8443];
