//! Which sockets the proxy opens: those that it was told of, and no other.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use test_support::{Authority, Identity, Namespace, Program, Ringfence, require};

use crate::stage::document;

#[test]
fn each_listener_can_be_alone_and_all_can_be_together() -> Result<()> {
    if !require(&["ip"]) {
        return Ok(());
    }
    let files = Files::create()?;
    let plain = "listen = \"127.0.0.1:3128\"\n";
    let (tls, transparent) = (files.tls(), "[transparent]\nlisten = \"127.0.0.1:3130\"\n");
    let both = format!("{tls}{transparent}");
    let usual = "127.0.0.1:3128".parse()?;
    // Settings, RINGFENCE_LISTEN, and the ports that are open.
    let rows: [(&str, &str, Option<&str>, &[u16]); 8] = [
        ("", "", None, &[3128]),
        (plain, "", None, &[3128]),
        ("", &tls, None, &[3129]),
        ("", transparent, None, &[3130]),
        ("", &both, None, &[3129, 3130]),
        (plain, &both, None, &[3128, 3129, 3130]),
        // Asked for, it is on beside the others; and where it is elsewhere, it is not here.
        ("", transparent, Some("127.0.0.1:3127"), &[3127, 3130]),
        (plain, "", Some("127.0.0.1:3127"), &[3127]),
    ];
    for (keys, sections, variable, ports) in rows {
        let namespace = Namespace::create("listeners")?;
        let config =
            files.config(&format!("{keys}allowlist = [\"allowlist.toml\"]\n{sections}"))?;
        let mut program = Program::new(env!("CARGO_BIN_EXE_ringfence"));
        if let Some(address) = variable {
            program = program.env("RINGFENCE_LISTEN", address);
        }
        let proxy = Ringfence::configured(program, &namespace, &config)?;
        let admin = proxy.admin_address().port();
        let expected: BTreeSet<u16> = ports.iter().copied().chain([admin]).collect();
        ensure!(
            listening(&namespace)? == expected,
            "{keys}{sections}: {:?}",
            listening(&namespace)?
        );
        ensure!(ports.contains(&3128) == (proxy.listen() == usual));
        ensure!(proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    }
    Ok(())
}

#[test]
fn two_listeners_on_one_address_are_a_mistake() -> Result<()> {
    let files = Files::create()?;
    let tls = files.tls();
    let rows = [
        ("listen = \"127.0.0.1:3129\"\n", tls.as_str()),
        ("admin = \"127.0.0.1:3129\"\n", &tls),
        ("", "[transparent]\nlisten = \"127.0.0.1:9180\"\n"),
        ("listen = \"[::1]:1\"\n", "[transparent]\nlisten = \"[::1]:1\"\n"),
    ];
    for (keys, sections) in rows {
        let config =
            files.config(&format!("{keys}allowlist = [\"allowlist.toml\"]\n{sections}"))?;
        for command in ["run", "check"] {
            let program = Program::new(env!("CARGO_BIN_EXE_ringfence")).args([command, "--config"]);
            let finished =
                program.arg(&config).run()?.failed_saying("can't both be listened on")?;
            ensure!(finished.status.code() == Some(2), "{finished}");
        }
    }
    Ok(())
}

/// The ports on which somebody listens in `namespace`, in either family.
fn listening(namespace: &Namespace) -> Result<BTreeSet<u16>> {
    let tables = namespace.enter(|| {
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")))
    })?;
    let mut ports = BTreeSet::new();
    for table in tables {
        // https://docs.kernel.org/networking/proc_net_tcp.html
        for line in table?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, ..] = *fields else { continue };
            let (_, port) = local.rsplit_once(':').context("an address")?;
            if state == LISTEN {
                ports.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}

/// A folder with a list and the files of a TLS listener.
struct Files(tempfile::TempDir);

impl Files {
    fn create() -> Result<Self> {
        let files = Self(tempfile::TempDir::new()?);
        let Identity { certificate_pem, key_pem, .. } =
            Authority::create()?.issue(&["localhost"])?;
        fs::write(files.0.path().join("allowlist.toml"), document(&["a.example"], 443))?;
        fs::write(files.0.path().join("tls.crt"), certificate_pem)?;
        fs::write(files.0.path().join("tls.key"), key_pem)?;
        Ok(files)
    }

    fn tls(&self) -> String {
        let folder = self.0.path().display();
        format!(
            "[tls]\nlisten = \"127.0.0.1:3129\"\ncertificate = \"{folder}/tls.crt\"\nkey = \"{folder}/tls.key\"\n"
        )
    }

    fn config(&self, text: &str) -> Result<std::path::PathBuf> {
        let path = self.0.path().join("ringfence.toml");
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// `TCP_LISTEN`.
const LISTEN: &str = "0A";
