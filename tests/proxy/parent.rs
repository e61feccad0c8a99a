//! Through a parent proxy: what it is asked, what its answers lead to, and that nobody goes round it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use serde_json::Value;
use socket2::SockRef;
use tempfile::TempDir;
use test_support::{Network, PATIENCE, Program, Recorder, Ringfence, Running, address};

use crate::dns::{ask, executable, opened, refused};
use crate::liar::{Data, Liar};
use crate::stage::{Answer, Client, DATA, HOST, LOOPBACK, Stage, document, hello, lock};

/// A parent proxy that answers as it is told, and remembers what it got.
struct Parent {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    /// What came behind the heads.
    behind: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
}

impl Parent {
    /// `answer` gets the connection after the request's head.
    fn start(
        answer: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((LOOPBACK, 0))?;
        let address = listener.local_addr()?;
        let parent = Self {
            address,
            heads: Arc::default(),
            behind: Arc::default(),
            connections: Arc::default(),
        };
        let (heads, behind) = (Arc::clone(&parent.heads), Arc::clone(&parent.behind));
        let (connections, answer) = (Arc::clone(&parent.connections), Arc::new(answer));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (heads, behind) = (Arc::clone(&heads), Arc::clone(&behind));
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || serve(stream, &heads, &behind, &*answer));
            }
        });
        Ok(parent)
    }

    /// One that says the same to everybody, and then echoes.
    fn saying(answer: &str) -> Result<Self> {
        let answer = answer.to_owned();
        Self::start(move |stream| Ok(stream.write_all(answer.as_bytes())?))
    }

    fn settings(&self) -> String {
        format!("[parent]\nurl = \"http://{}\"\n", self.address)
    }

    fn heads(&self) -> Vec<String> {
        lock(&self.heads).clone()
    }

    fn behind(&self) -> Vec<u8> {
        lock(&self.behind).clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(
    mut stream: TcpStream,
    heads: &Mutex<Vec<String>>,
    behind: &Mutex<Vec<u8>>,
    answer: &dyn Fn(&mut TcpStream) -> Result<()>,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    lock(heads).push(String::from_utf8(head)?);
    answer(&mut stream)?;
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        lock(behind).extend(&buffer[..count]);
        stream.write_all(&buffer[..count])?;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

const OPEN: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// Checks that `line` is a tunnel through `parent`.
fn through(line: &Value, parent: &Parent) -> Result<()> {
    ensure!(line["parent"] == parent.address.to_string(), "{line}");
    ensure!(line.get("address").is_none() && line["ms"]["connect"].is_f64(), "{line}");
    Ok(())
}

#[test]
fn a_tunnel_goes_through_the_parent_and_carries() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let stage = Stage::with_settings(&parent.settings())?;
    let told = format!("ringfence: through the parent proxy at {}", parent.address);
    stage.proxy.stderr().wait_for_line(|line| line == told)?;
    let mut client = stage.client()?;
    let target = format!("{HOST}:{}", stage.origin.port);
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic c2VjcmV0\r\n\
         X-Upstream-Proxy: evil.example\r\nUser-Agent: curl\r\n\r\n"
    );
    client.send(request.as_bytes())?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    let hello = hello(Some(HOST));
    client.send(&hello)?;
    ensure!(client.receive(hello.len())? == hello && parent.behind() == hello);
    client.finish()?;
    ensure!(client.rest()?.is_empty());
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    through(&line, &parent)?;
    ensure!(line["outcome"] == "tunnel" && line["sent"] == hello.len(), "{line}");
    // Ours and nothing of the client's.
    let asked = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    ensure!(parent.heads() == [asked], "{:?}", parent.heads());
    ensure!(stage.origin.connections() == 0, "the target was dialled directly");
    Ok(())
}

#[test]
fn the_password_is_sent_to_the_parent_and_shown_to_nobody() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let directory = TempDir::new()?;
    let file = directory.path().join("password");
    fs::write(&file, "open: sesame\n")?;
    let credentials = format!("username = \"ali\"\npassword_file = \"{}\"\n", file.display());
    let stage = Stage::with_settings(&(parent.settings() + &credentials))?;
    through(&ask(&stage, HOST)?, &parent)?;
    let encoded = "YWxpOm9wZW46IHNlc2FtZQ==";
    let heads = parent.heads().concat();
    ensure!(heads.contains(&format!("\r\nProxy-Authorization: Basic {encoded}\r\n")), "{heads}");
    let said = stage.proxy.stderr().text() + &format!("{:?}", stage.proxy.log()?);
    let shown = said + &stage.proxy.admin("/metrics")? + &stage.proxy.admin("/readyz")?;
    ensure!(!shown.contains("sesame") && !shown.contains(encoded), "{shown}");
    Ok(())
}

/// A parent that says no, or nothing that a proxy says: the target isn't reached, in that way or another.
#[test]
fn a_parent_that_does_not_open_is_not_gone_round() -> Result<()> {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1000));
    let (refused_by, failed) = (Reason::UpstreamProxyRefused, Reason::UpstreamProxyFailed);
    let rows = [
        (refused_by, "407", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        (refused_by, "403 Filtered", "HTTP/1.1 403 Filtered\r\nContent-Length: 0\r\n\r\n"),
        (refused_by, "302", "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n"),
        (refused_by, "100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        (refused_by, "502", "HTTP/1.0 502\r\n\r\n"),
        (failed, "more than its answer", "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH_9.2\r\n"),
        (failed, "not HTTP", "SSH-2.0-OpenSSH_9.2\r\n"),
        (failed, "not HTTP", "HTTP/2 200\r\n\r\n"),
        (failed, "not HTTP", "HTTP/1.1 200 OK\r\nX y\r\n\r\n"),
        (failed, "not HTTP", "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{28}"),
        (failed, "longer than", &large),
        (failed, "not HTTP", &many),
    ];
    for (reason, detail, answer) in rows {
        let parent = Parent::saying(answer)?;
        let stage = Stage::with_settings(&parent.settings())?;
        let line = ask(&stage, HOST).with_context(|| answer.escape_debug().to_string())?;
        refused(&line, reason)?;
        ensure!(line["detail"].as_str().is_some_and(|said| said.contains(detail)), "{line}");
        ensure!(line["ms"]["connect"].is_f64() && line["ms"]["resolve"].is_f64(), "{line}");
        ensure!(parent.behind().is_empty() && stage.origin.connections() == 0, "{line}");
    }
    Ok(())
}

/// Until the other side has had enough.
fn wait(stream: &mut TcpStream) -> Result<()> {
    let _ = stream.read(&mut [0])?;
    Ok(())
}

#[test]
fn a_parent_that_is_slow_or_gone_is_a_failure_in_time() -> Result<()> {
    type Script = fn(&mut TcpStream) -> Result<()>;
    let rows: [(&str, Script); 4] = [
        ("silent", wait),
        ("one byte and no more", |stream| {
            stream.write_all(b"H")?;
            wait(stream)
        }),
        ("closing", |stream| Ok(stream.shutdown(Shutdown::Both)?)),
        ("resetting", |stream| {
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            anyhow::bail!("the connection is dropped")
        }),
    ];
    for (what, script) in rows {
        let parent = Parent::start(script)?;
        let settings = parent.settings() + "[timeouts]\nconnect = \"500ms\"\n";
        let stage = Stage::with_settings(&settings)?;
        let line = ask(&stage, HOST).context(what)?;
        refused(&line, Reason::UpstreamProxyFailed).context(what)?;
        ensure!(line["ms"]["connect"].as_f64() < Some(2000.0), "{what}: {line}");
        ensure!(stage.origin.connections() == 0, "{what}");
    }
    // Nobody there at all.
    let closed = TcpListener::bind((LOOPBACK, 0))?.local_addr()?;
    let stage = Stage::with_settings(&format!("[parent]\nurl = \"http://{closed}\"\n"))?;
    refused(&ask(&stage, HOST)?, Reason::UpstreamProxyFailed)?;
    ensure!(stage.origin.connections() == 0);
    Ok(())
}

#[test]
fn the_policy_decides_before_the_parent_is_asked() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let stage = Stage::with_settings(&parent.settings())?;
    let rows = [
        ("evil.example", Reason::NotInPolicy),
        ("exfil.blob.core.windows.net", Reason::StorageForbidden),
    ];
    for (host, reason) in rows {
        refused(&ask(&stage, host)?, reason)?;
    }
    ensure!(parent.connections() == 0 && stage.dns.asked().is_empty());
    Ok(())
}

/// T24
#[test]
fn what_is_not_the_right_hello_reaches_neither_parent_nor_host() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let stage = Stage::with_settings(&parent.settings())?;
    let rows = [
        (Reason::NotTls, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (Reason::NotTls, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (Reason::SniMissing, hello(None)),
        (Reason::SniMismatch, hello(Some(DATA))),
    ];
    let count = rows.len();
    for (reason, bytes) in rows {
        let (mut client, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client.send(&bytes)?;
        client.ended()?;
        let address = client.address()?;
        let line = stage.recorded(&address)?;
        ensure!(line["reason"] == reason.code() && line["sent"] == 0, "{line}");
        through(&line, &parent)?;
    }
    ensure!(parent.heads().len() == count && parent.behind().is_empty(), "{:?}", parent.behind());
    ensure!(stage.origin.connections() == 0);
    Ok(())
}

#[test]
fn exact_hosts_can_be_reached_directly() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let stage = Stage::with_settings(&format!("{}no_proxy = [\"{HOST}\"]\n", parent.settings()))?;
    drop(stage.tunnel(HOST)?);
    opened(&stage.proxy.logged(|line| line["host"] == HOST)?, "127.0.0.1")?;
    ensure!(parent.connections() == 0 && stage.origin.connections() == 1);
    through(&ask(&stage, DATA)?, &parent)?;
    ensure!(parent.connections() == 1 && stage.origin.connections() == 1);
    Ok(())
}

#[test]
fn the_targets_addresses_are_vetted_unless_told_otherwise() -> Result<()> {
    for vet in [true, false] {
        let parent = Parent::saying(OPEN)?;
        let stage = Stage::with_settings(&format!("{}vet = {vet}\n", parent.settings()))?;
        stage.dns.answer(HOST, Answer::Addresses(vec!["10.0.0.1".parse()?]));
        stage.dns.answer(DATA, Answer::NxDomain);
        let [private, unknown] = [ask(&stage, HOST)?, ask(&stage, DATA)?];
        if vet {
            refused(&private, Reason::AddressForbidden)?;
            refused(&unknown, Reason::DnsNotFound)?;
            ensure!(parent.connections() == 0);
        } else {
            through(&private, &parent)?;
            through(&unknown, &parent)?;
            ensure!(stage.dns.asked().is_empty(), "{:?}", stage.dns.asked());
            // By name: the parent is who resolves it.
            ensure!(parent.heads().concat().contains(&format!("CONNECT {HOST}:")));
        }
        ensure!(stage.origin.connections() == 0);
    }
    Ok(())
}

#[test]
fn the_parents_name_is_looked_up_and_its_address_is_vetted() -> Result<()> {
    const NAME: &str = "proxy.corp.example";
    let parent = Parent::saying(OPEN)?;
    let port = parent.address.port();
    let stage = Stage::with_settings(&format!("[parent]\nurl = \"http://{NAME}:{port}\"\n"))?;
    stage.dns.answer(NAME, Answer::Flipping(LOOPBACK, "169.254.169.254".parse()?));
    through(&ask(&stage, HOST)?, &parent)?;
    let line = ask(&stage, HOST)?;
    refused(&line, Reason::UpstreamProxyFailed)?;
    ensure!(line["rejected"][0]["class"] == "platform", "{line}");
    for address in ["168.63.129.16", "169.254.0.1", "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
        let stage = Stage::with_settings(&format!("[parent]\nurl = \"http://{NAME}:{port}\"\n"))?;
        stage.dns.answer(NAME, Answer::Addresses(vec![address.parse()?]));
        let line = ask(&stage, HOST)?;
        refused(&line, Reason::UpstreamProxyFailed).context(address)?;
        ensure!(line["rejected"].is_array(), "{line}");
    }
    let stage = Stage::with_settings(&format!("[parent]\nurl = \"http://{NAME}:{port}\"\n"))?;
    stage.dns.answer(NAME, Answer::NxDomain);
    refused(&ask(&stage, HOST)?, Reason::UpstreamProxyFailed)?;
    ensure!(parent.connections() == 1 && stage.origin.connections() == 0);
    Ok(())
}

/// D18: a proxy that is its own parent would ask itself for ever.
#[test]
fn nobody_is_their_own_parent() -> Result<()> {
    let Some(network) = Network::open(&[])? else {
        return Ok(());
    };
    let dns = Liar::inside(&network.world, &format!("{}:53", address::DNS), |question| {
        question.answered_from(&[(HOST, Data::address(address::LOGIN))])
    })?;
    network.write("allowlist.toml", &document(&[HOST], 443))?;
    let config = format!(
        "allowlist = [\"allowlist.toml\"]\nresolver = [\"{}\"]\n[parent]\nurl = \"http://{}:3128\"\n",
        dns.address,
        address::GATE
    );
    let config = network.write("ringfence.toml", &config)?;
    // The port is fixed, in a network of our own.
    let arguments = ["run", "--listen", "0.0.0.0:3128", "--admin", "127.0.0.1:0", "--config"];
    let running = Program::new(env!("CARGO_BIN_EXE_ringfence"))
        .inside(&network.gate)
        .args(arguments)
        .arg(config)
        .start()?;
    running.stderr.wait_for_line(|line| line.starts_with("ringfence: admin on "))?;
    let gate = format!("{}:3128", address::GATE).parse()?;
    let mut client = network.client.enter(|| Client::connect(gate))??;
    client.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\n\r\n").as_bytes())?;
    let head = client.head()?;
    ensure!(head.starts_with("HTTP/1.1 502 ringfence: upstream_proxy_failed; "), "{head}");
    running.stdout.wait_for_line(|line| line.contains("is this proxy itself"))?;
    ensure!(running.stdout.lines().len() == 1, "{}", running.stdout.text());
    Ok(())
}

#[test]
fn a_new_list_is_asked_about_the_host_and_not_about_the_parent() -> Result<()> {
    let parent = Parent::saying(OPEN)?;
    let stage = Stage::with_settings(&parent.settings())?;
    let mut tunnel = stage.tunnel(HOST)?;
    let mut removed = stage.tunnel(DATA)?;
    // No pin covers the parent's address, and none needs to.
    stage.enforce(&document(&[HOST], stage.origin.port).replace("127.0.0.1", "10.0.0.4"))?;
    ensure!(removed.ended()?);
    tunnel.send(b"x")?;
    ensure!(tunnel.receive(1)? == b"x");
    stage.allow(&[])?;
    ensure!(tunnel.ended()?);
    Ok(())
}

#[test]
fn a_parent_that_cannot_be_used_is_a_mistake_at_the_start() -> Result<()> {
    let directory = TempDir::new()?;
    fs::write(directory.path().join("allowlist.toml"), document(&[HOST], 443))?;
    let config = directory.path().join("ringfence.toml");
    let rows = [
        (
            "url = \"https://proxy.corp.example:8080\"",
            "only parents that speak plain HTTP are used",
        ),
        (
            "url = \"http://a:secret@proxy.corp.example:8080\"",
            "credentials don't belong into `parent.url`",
        ),
        ("url = \"http://169.254.169.254:80\"", "a cloud platform address"),
        ("", "missing field `url`"),
        ("url = \"http://10.0.0.5:3128\"\nusername = \"a\"", "go together"),
        (
            "url = \"http://10.0.0.5:3128\"\nusername = \"a\"\npassword_file = \"gone\"",
            "can't read `",
        ),
    ];
    for (section, expected) in rows {
        fs::write(&config, format!("allowlist = [\"allowlist.toml\"]\n[parent]\n{section}\n"))?;
        let check = Program::new(env!("CARGO_BIN_EXE_ringfence")).args(["check", "--config"]);
        let checked = check.arg(&config).run()?.failed_saying(expected)?;
        ensure!(checked.status.code() == Some(2), "{checked}");
        ensure!(!checked.stderr.contains("secret"), "a password is shown: {checked}");
    }
    Ok(())
}

/// Debian's tinyproxy, as a company has it: with a password, and for TLS only.
struct Tinyproxy {
    _running: Running,
}

impl Tinyproxy {
    fn start(network: &Network) -> Result<Self> {
        let config = format!(
            "Listen {0}\nPort 8080\nTimeout 60\nLogLevel Info\nMaxClients 10\nBasicAuth ali sesame\n\
             ConnectPort 443\nBind {0}\n",
            address::PRIVATE
        );
        let config = network.write("tinyproxy.conf", &config)?;
        // It knows the hosts from a file that only it sees.
        let hosts = format!("{} {HOST}\n{} {DATA}\n", address::LOGIN, address::EASTUS);
        let hosts = network.write("hosts", &hosts)?;
        let script = format!(
            "#!/bin/sh\nexec unshare --mount --propagation private sh -c \
             'mount --bind {} /etc/hosts && exec tinyproxy -d -c {}'\n",
            hosts.display(),
            config.display()
        );
        let script = executable(&network.path("tinyproxy.sh"), &script)?;
        let running = Program::new(script).inside(&network.world).start()?;
        running.stdout.wait_for_line(|line| line.contains("Accepting connections"))?;
        Ok(Self { _running: running })
    }
}

#[test]
fn a_real_parent_is_understood() -> Result<()> {
    let programs = ["curl", "tinyproxy", "unshare", "mount", "sh"];
    let Some(network) = Network::open(&programs)? else {
        return Ok(());
    };
    let _parent = Tinyproxy::start(&network)?;
    let host = Recorder::start(&network, HOST, address::LOGIN)?;
    let dns = Liar::inside(&network.world, &format!("{}:53", address::DNS), |question| {
        question.answered_from(&[
            (HOST, Data::address(address::LOGIN)),
            (DATA, Data::address(address::EASTUS)),
            ("proxy.corp.example", Data::address(address::PRIVATE)),
        ])
    })?;
    let list = document(&[HOST, DATA], 443).replace("[443]", "[443, 8443]");
    network.write("allowlist.toml", &list)?;
    for (password, accepted) in [("sesame\n", true), ("guess\n", false)] {
        network.write("password", password)?;
        let config = format!(
            "allowlist = [\"allowlist.toml\"]\nresolver = [\"{}\"]\n[parent]\n\
             url = \"http://proxy.corp.example:8080\"\nusername = \"ali\"\npassword_file = \"password\"\n",
            dns.address
        );
        let config = network.write("ringfence.toml", &config)?;
        let arguments = ["--config".as_ref(), config.as_os_str()];
        let proxy = Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), &network, arguments)?;
        let curl =
            || network.client("curl", &proxy).args(["--silent", "--show-error", "--verbose"]);
        let curled = curl().arg(format!("https://{HOST}/")).run()?;
        if !accepted {
            curled.failed_saying("upstream_proxy_refused")?;
            let line = proxy.logged(|line| line["host"] == HOST)?;
            let detail = line["detail"].as_str().unwrap_or_default();
            ensure!(detail.starts_with("401") || detail.starts_with("407"), "{line}");
            continue;
        }
        curled.succeeded()?;
        let line = proxy.logged(|line| line["host"] == HOST)?;
        ensure!(line["parent"] == format!("{}:8080", address::PRIVATE), "{line}");
        ensure!(line["outcome"] == "tunnel" && line["received"].as_u64() > Some(0), "{line}");
        ensure!(host.received()?.data > 0);
        // A port that our list has and the parent doesn't.
        curl()
            .arg(format!("https://{HOST}:8443/"))
            .run()?
            .failed_saying("upstream_proxy_refused")?;
        let line = proxy.logged(|line| line["port"] == 8443)?;
        ensure!(line["detail"].as_str().is_some_and(|said| said.starts_with("403")), "{line}");
        // A host that is not there: the parent says so in its way.
        curl().arg(format!("https://{DATA}/")).run()?.failed_saying("upstream_proxy_")?;
    }
    Ok(())
}
