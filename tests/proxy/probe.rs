//! Readiness by trying: a real TLS server behind the list, and everything that can be wrong on the way to it.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use ringfence::reason::Reason;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tempfile::TempDir;
use test_support::{Authority, Identity, PATIENCE, Program, Ringfence};

use crate::stage::{Answer, Dns, HOST, LOOPBACK, document};

/// Each stage fails once, says so, and is forgotten when it works again.
#[test]
fn readiness_follows_what_can_be_reached() -> Result<()> {
    let scene = Scene::open()?;
    scene.until_ready()?;
    let up = format!("ringfence_endpoint_up{{host=\"{HOST}:{}\"}}", scene.server.port);
    ensure!(scene.proxy.metric(&up)? == 1);
    let expiry = scene.proxy.metric("ringfence_endpoint_certificate_expiry_seconds")?;
    ensure!(expiry == 7_258_118_400, "2200-01-01: {expiry}");

    let addresses = |address| Trouble::Dns(Answer::Addresses(vec![address]));
    let rows = [
        ("dns", Trouble::Dns(Answer::ServFail)),
        ("dns", Trouble::Dns(Answer::NxDomain)),
        ("address", addresses(FORBIDDEN)),
        // Pinned, too, but nobody listens there.
        ("connect", addresses(VACANT)),
        ("tls", Trouble::Certificate("fabrikam.azurecr.io", 2200)),
        ("tls", Trouble::Certificate(HOST, 2020)),
        ("tls", Trouble::Shut),
    ];
    for (stage, trouble) in rows {
        scene.make(trouble)?;
        let answer = scene.until(|answer| answer.starts_with("HTTP/1.1 503 "))?;
        ensure!(answer.contains("\"reason\":\"endpoint_down\""), "{answer}");
        let expected = format!("\"up\":false,\"stage\":\"{stage}\"");
        ensure!(answer.contains(&expected), "{stage}: {answer}");
        ensure!(scene.proxy.metric(&up)? == 0);
        ensure!(scene.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
        scene.make(addresses(LOOPBACK))?;
        scene.make(Trouble::Certificate(HOST, 2200))?;
        scene.until(|answer| answer.starts_with("HTTP/1.1 200 "))?;
    }
    let said = scene.proxy.stderr().text();
    ensure!(
        said.contains(&format!("ringfence: `{HOST}:{}` is not reached (dns): ", scene.server.port))
    );
    ensure!(said.contains("is reached again"));
    // Probes are no clients.
    ensure!(
        scene.proxy.log()?.is_empty() && scene.proxy.metric("ringfence_connections_total")? == 0
    );
    Ok(())
}

/// Who trusts nobody of that name is not ready, whatever else works.
#[test]
fn a_certificate_from_a_stranger_is_none() -> Result<()> {
    let scene = Scene::open()?;
    scene.until_ready()?;
    scene.server.use_identity(&Authority::create()?.issue(&[HOST])?)?;
    let answer = scene.until(|answer| answer.starts_with("HTTP/1.1 503 "))?;
    ensure!(answer.contains("\"stage\":\"tls\""), "{answer}");
    Ok(())
}

/// Clients can't have it any more, so it makes nobody unready; and it isn't asked for.
#[test]
fn a_host_that_leaves_the_list_is_no_longer_probed() -> Result<()> {
    let scene = Scene::open()?;
    scene.until_ready()?;
    let list = scene.directory.path().join("allowlist.toml");
    fs::write(&list, document(&["fabrikam.azurecr.io"], scene.server.port))?;
    let answer = scene.until(|answer| answer.contains("\"stage\":\"policy\""))?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    scene.proxy.stderr().wait_for_line(|line| line.contains("is on no list any more"))?;
    Ok(())
}

#[test]
fn a_host_on_no_list_cannot_be_probed() -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    fs::write(path("allowlist.toml"), document(&[HOST], 443))?;
    fs::write(path("ca.pem"), Authority::create()?.pem())?;
    fs::write(path("empty.pem"), "")?;
    let rows = [
        (
            "fabrikam.azurecr.io:443",
            "ca.pem",
            "`fabrikam.azurecr.io:443` is to be probed, but is on no list",
        ),
        ("contoso.azurecr.io:8443", "ca.pem", "`contoso.azurecr.io:8443` is to be probed"),
        ("contoso.azurecr.io", "ca.pem", Reason::BadPort.meaning()),
        ("contoso.azurecr.io:443", "none.pem", "can't read certificates from"),
        ("contoso.azurecr.io:443", "empty.pem", "no certificate authority is known here"),
    ];
    for (host, ca, expected) in rows {
        let settings = format!(
            "allowlist = [\"allowlist.toml\"]\n[probe]\nhosts = [\"{host}\"]\nca = \"{ca}\"\n"
        );
        fs::write(path("ringfence.toml"), settings)?;
        for command in ["run", "check"] {
            let program = Program::new(env!("CARGO_BIN_EXE_ringfence")).arg(command);
            let finished = program.arg("--config").arg(path("ringfence.toml")).run()?;
            ensure!(finished.status.code() == Some(2), "{finished}");
            ensure!(finished.stderr.contains(expected), "{expected} in {finished}");
        }
    }
    Ok(())
}

/// A proxy that probes a TLS server.
struct Scene {
    proxy: Ringfence,
    dns: Dns,
    server: Server,
    authority: Authority,
    directory: TempDir,
}

impl Scene {
    fn open() -> Result<Self> {
        let directory = TempDir::new()?;
        let (dns, authority) = (Dns::start()?, Authority::create()?);
        dns.answer(HOST, Answer::Addresses(vec![LOOPBACK]));
        let server = Server::start(&authority.issue_until(&[HOST], 2200)?)?;
        let list = document(&[HOST], server.port).replace("127.0.0.1", "127.0.0.0/8");
        fs::write(directory.path().join("allowlist.toml"), list)?;
        fs::write(directory.path().join("ca.pem"), authority.pem())?;
        let config = directory.path().join("ringfence.toml");
        let (resolver, port) = (dns.address, server.port);
        fs::write(
            &config,
            format!(
                "resolver = [\"{resolver}\"]\nallowlist = [\"allowlist.toml\"]\n\
                 [probe]\nhosts = [\"{HOST}:{port}\"]\nevery = \"50ms\"\nca = \"ca.pem\"\n"
            ),
        )?;
        let arguments = ["--config".as_ref(), config.as_os_str()];
        let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), arguments)?;
        Ok(Self { proxy, dns, server, authority, directory })
    }

    fn make(&self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Dns(answer) => self.dns.answer(HOST, answer),
            Trouble::Certificate(name, year) => {
                self.server.use_identity(&self.authority.issue_until(&[name], year)?)?;
            }
            Trouble::Shut => self.server.set(None),
        }
        Ok(())
    }

    fn until_ready(&self) -> Result<()> {
        self.until(|answer| answer.starts_with("HTTP/1.1 200 ")).map(drop)
    }

    /// What `/readyz` says once it is what was waited for.
    fn until(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.proxy.admin("/readyz")?;
            if wanted(&answer) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                bail!("time ran out: {answer}\n{}", self.proxy.stderr().text());
            }
            std::thread::yield_now();
        }
    }
}

/// What can be wrong; or, in the right measure, right again.
enum Trouble {
    Dns(Answer),
    /// For this name, until this year begins.
    Certificate(&'static str, i32),
    /// The server closes connections before any handshake.
    Shut,
}

/// A TLS server that shakes hands, one client after the other.
struct Server {
    port: u16,
    /// None: it closes the connection instead.
    config: Arc<Mutex<Option<Arc<ServerConfig>>>>,
}

impl Server {
    fn start(identity: &Identity) -> Result<Self> {
        let listener = TcpListener::bind((LOOPBACK, 0))?;
        let port = listener.local_addr()?.port();
        let server = Self { port, config: Arc::default() };
        server.use_identity(identity)?;
        let config = Arc::clone(&server.config);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = config.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // What a client thinks of the certificate is its own business.
                let _ = config.map(|config| shake(stream, config));
            }
        });
        Ok(server)
    }

    fn use_identity(&self, identity: &Identity) -> Result<()> {
        let certificate = CertificateDer::from(identity.certificate_der.clone());
        let key = PrivateKeyDer::try_from(identity.key_der.clone()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        self.set(Some(Arc::new(config)));
        Ok(())
    }

    fn set(&self, config: Option<Arc<ServerConfig>>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

fn shake(mut stream: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut connection = ServerConnection::new(config)?;
    while connection.is_handshaking() {
        match connection.complete_io(&mut stream) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

const FORBIDDEN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const VACANT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
