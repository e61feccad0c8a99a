//! The proxy, as its users see it: command line, listening lines, access log, admin port, signals.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::PATIENCE;
use crate::namespace::Namespace;
use crate::network::{Network, address};
use crate::process::{Capture, Program, Running};

/// A running proxy; dropping it kills it.
#[derive(Debug)]
pub struct Ringfence {
    running: Running,
    namespace: Option<Namespace>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Ringfence {
    /// Starts it in the network's gate. `arguments` say which list it enforces.
    pub fn at_gate(
        binary: &str,
        network: &Network,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        let program = Program::new(binary).inside(&network.gate);
        Self::start(program, address::GATE, arguments, Some(network.gate.clone()))
    }

    /// Starts it on the host's loopback, for what needs no network.
    pub fn on_loopback(
        binary: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        Self::start(Program::new(binary), "127.0.0.1", arguments, None)
    }

    /// Starts it on the host's loopback by a shell's script, which finds the program and its arguments in
    /// `"$0" "$@"` and has to `exec` them.
    pub fn by_script(
        binary: &str,
        script: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        let program = Program::new("sh").args(["-c", script, binary]);
        Self::start(program, "127.0.0.1", arguments, None)
    }

    /// Starts it in any namespace, to take clients on `listen`.
    pub fn inside(
        binary: &str,
        namespace: &Namespace,
        listen: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        let program = Program::new(binary).inside(namespace);
        Self::start(program, listen, arguments, Some(namespace.clone()))
    }

    /// Starts it with the listeners of this configuration file alone, in `namespace`. `program` is the
    /// proxy, or whatever becomes it.
    pub fn configured(program: Program, namespace: &Namespace, config: &Path) -> Result<Self> {
        let program = program.inside(namespace).args(["run", "--admin", "127.0.0.1:0", "--config"]);
        Self::started(program.arg(config), Some(namespace.clone()))
    }

    fn start(
        program: Program,
        listen: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        namespace: Option<Namespace>,
    ) -> Result<Self> {
        let program = program.args(["run", "--listen", &format!("{listen}:0")]);
        Self::started(program.args(["--admin", "127.0.0.1:0"]).args(arguments), namespace)
    }

    fn started(program: Program, namespace: Option<Namespace>) -> Result<Self> {
        let running = program.start()?;
        let listen = announced(&running, LISTENING)?;
        let admin = announced(&running, "ringfence: admin on ")?;
        Ok(Self { running, namespace, listen, admin })
    }

    /// Where its listener of this kind is: `tls`, `transparent`.
    pub fn listener(&self, kind: &str) -> Result<SocketAddr> {
        let wanted = format!(" ({kind})");
        let lines = self.running.stderr.lines();
        let line = lines.iter().find_map(|line| line.strip_suffix(&wanted));
        let address = line.and_then(|line| line.strip_prefix(LISTENING));
        address.with_context(|| format!("no {kind} listener"))?.parse().context("an address")
    }

    /// Where it takes clients; of several listeners, the first.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it takes clients that speak TLS, if it does.
    pub fn listen_tls(&self) -> Result<SocketAddr> {
        let is_tls = |line: &str| line.starts_with(LISTENING) && line.ends_with(" (tls)");
        let line = self.running.stderr.wait_for_line(is_tls)?;
        let address = line[LISTENING.len()..].trim_end_matches(" (tls)");
        address.parse().with_context(|| format!("no address in `{line}`"))
    }

    /// The memory it has now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        Ok(number.context("no VmRSS")?.trim().parse::<u64>()? * 1024)
    }

    /// Where its admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where it takes clients, as `HTTPS_PROXY` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The access log, so far.
    pub fn log(&self) -> Result<Vec<Value>> {
        let lines = self.running.stdout.lines();
        let parsed = lines.iter().map(|line| {
            serde_json::from_str(line).with_context(|| format!("not an access log line: {line}"))
        });
        parsed.collect()
    }

    /// The number of the connection whose line of the access log was written last; 0 before the first.
    pub fn last_logged(&self) -> Result<u64> {
        let lines = self.running.stdout.lines();
        let last = lines.last().map(|line| serde_json::from_str::<Value>(line)).transpose()?;
        Ok(last.and_then(|line| line["id"].as_u64()).unwrap_or(0))
    }

    /// The first line of the access log, written or still to come, that `wanted` accepts.
    pub fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let line = self.running.stdout.wait_for_line(|line| {
            serde_json::from_str(line).is_ok_and(|entry: Value| wanted(&entry))
        })?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What it says to people.
    pub fn stderr(&self) -> &Capture {
        &self.running.stderr
    }

    /// The whole answer to a GET on the admin port, status line and all.
    pub fn admin(&self, path: &str) -> Result<String> {
        let ask = || ask(self.admin, path).with_context(|| format!("ask for {path}"));
        match &self.namespace {
            Some(namespace) => namespace.enter(ask)?,
            None => ask(),
        }
    }

    /// The sum of a counter's or gauge's samples that begin with `name`, whatever their further labels.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let page = self.admin("/metrics")?;
        let samples = page.lines().filter_map(|line| line.strip_prefix(name));
        let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
        let values = samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// The process, to look at or to set limits for.
    pub fn process(&self) -> Pid {
        self.running.process()
    }

    /// Tells it to read its lists again.
    pub fn reload(&self) -> Result<()> {
        self.running.signal(Signal::HUP)
    }

    /// Tells it to drain and stop.
    pub fn terminate(&self) -> Result<()> {
        self.running.signal(Signal::TERM)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.running.wait(PATIENCE)
    }
}

fn announced(running: &Running, prefix: &str) -> Result<SocketAddr> {
    let line = running.stderr.wait_for_line(|line| line.starts_with(prefix))?;
    let address = line[prefix.len()..].split(' ').next().unwrap_or_default();
    address.parse().with_context(|| format!("no address in `{line}`"))
}

#[expect(clippy::disallowed_methods, reason = "a test asks the proxy; nothing of it is forwarded")]
fn ask(admin: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

const LISTENING: &str = "ringfence: listening on ";
