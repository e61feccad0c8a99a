//! A client, a gate and a world, wired so that the only way from the first to the last is a program
//! in the gate.
//!
//! ```text
//!   client ──────────── gate ──────────── world
//!   10.99.0.2   10.99.0.1  20.62.128.2    20.62.128.1, and every host as an address of its own
//! ```
//!
//! The client has no default route and no name server; the gate doesn't forward; the world has no
//! cable to anywhere else. The addresses look public because the proxy refuses those that don't.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Program;
use crate::require::require;
use crate::ringfence::Ringfence;
use crate::tls::{Authority, Identity};

/// Three namespaces, the authority that its clients trust, and a directory for its files.
#[derive(Debug)]
pub struct Network {
    /// Where clients run.
    pub client: Namespace,
    /// Where the proxy runs.
    pub gate: Namespace,
    /// Where all hosts are.
    pub world: Namespace,
    /// Who issues the hosts' certificates.
    pub authority: Authority,
    directory: TempDir,
}

impl Network {
    /// A network of its own, unless the machine can't have one: see [`require`]. `programs` are those
    /// the test needs beyond the servers here.
    pub fn open(programs: &[&str]) -> Result<Option<Self>> {
        if !require(&SERVERS) || !require(programs) {
            return Ok(None);
        }
        let directory = TempDir::with_prefix("ringfence-")?;
        let client = Namespace::create("client")?;
        let gate = Namespace::create("gate")?;
        let world = Namespace::create("world")?;
        client.connect(["gate", "10.99.0.2/30"], &gate, ["client", "10.99.0.1/30"])?;
        gate.connect(["world", "20.62.128.2/24"], &world, ["gate", "20.62.128.1/24"])?;
        gate.ip(&["route", "add", "default", "via", "20.62.128.1"])?;
        for host in address::HOSTS {
            world.ip(&["address", "add", &format!("{host}/32"), "dev", "lo"])?;
        }
        let authority = Authority::create()?;
        let network = Self { client, gate, world, authority, directory };
        fs::write(network.authority_file(), network.authority.pem())?;
        fs::create_dir(network.path("home"))?;
        Ok(Some(network))
    }

    /// A path of that name in the network's directory, which goes when the network goes.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of that name.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The certificate to trust, for clients that want it as a file.
    pub fn authority_file(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// A program where the client is, told about the proxy and the authority as people tell it: by
    /// the environment.
    pub fn client(&self, program: &str, proxy: &Ringfence) -> Program {
        self.unproxied(program, &self.client)
            .env("HTTPS_PROXY", proxy.url())
            .env("https_proxy", proxy.url())
            .env("http_proxy", proxy.url())
    }

    /// A program anywhere, that knows the authority but no proxy.
    pub fn unproxied(&self, program: &str, namespace: &Namespace) -> Program {
        Program::new(program)
            .inside(namespace)
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("home"))
            .env("CURL_CA_BUNDLE", self.authority_file())
            .env("NODE_EXTRA_CA_CERTS", self.authority_file())
            .env("SSL_CERT_FILE", self.authority_file())
            // As root, containers' tools share a cache of where blobs were seen with the whole
            // machine; this makes them use the one in HOME.
            .env("_CONTAINERS_ROOTLESS_UID", "1")
    }

    /// The same, which finds `hosts` at these addresses, whatever anybody else says.
    pub fn with_hosts(
        &self,
        program: &str,
        namespace: &Namespace,
        hosts: &[(&str, &str)],
    ) -> Result<Program> {
        let lines = hosts.iter().map(|(host, address)| format!("{address} {host}\n"));
        let file = self.write("hosts", &lines.collect::<String>())?;
        // A mount that only this program sees.
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let shell = self.unproxied("unshare", namespace).args(["--mount", "sh", "-c", script]);
        Ok(shell.arg(file).arg(program))
    }

    /// Loads these nftables rules in `namespace`, beside those that are there.
    pub fn firewall(&self, namespace: &Namespace, rules: &str) -> Result<()> {
        let file = self.write("rules.nft", rules)?;
        Program::new("nft").inside(namespace).arg("-f").arg(file).run()?.succeeded().map(drop)
    }

    /// Issues a certificate and stores it for a server that reads files: certificate, then key.
    pub(crate) fn issue(&self, names: &[&str]) -> Result<(PathBuf, PathBuf)> {
        let Identity { certificate_pem, key_pem, .. } = self.authority.issue(names)?;
        let certificate = self.write(&format!("{}.pem", names[0]), &certificate_pem)?;
        let key = self.write(&format!("{}.key", names[0]), &key_pem)?;
        Ok((certificate, key))
    }

    /// The directory as a place to run in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Who lives where in the world.
pub mod address {
    /// Where the proxy is reached by its clients.
    pub const GATE: &str = "10.99.0.1";
    /// The registry's login server.
    pub const LOGIN: &str = "20.62.128.10";
    /// The data endpoint of its home region.
    pub const EASTUS: &str = "20.62.128.11";
    /// The data endpoint of its replica.
    pub const WESTUS: &str = "20.62.128.12";
    /// The name server.
    pub const DNS: &str = "20.62.128.53";
    /// Somebody else's storage account.
    pub const STRANGER: &str = "20.150.38.66";
    /// A private endpoint.
    pub const PRIVATE: &str = "10.20.0.6";

    pub(crate) const HOSTS: [&str; 6] = [LOGIN, EASTUS, WESTUS, DNS, STRANGER, PRIVATE];
}

const SERVERS: [&str; 5] = ["ip", "docker-registry", "nginx", "dnsmasq", "skopeo"];
