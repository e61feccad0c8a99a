//! Load balancers before the proxy, which say by the PROXY protocol whom they stand for: row L10 of the
//! threats.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;
use test_support::proxy_header::{BinaryHeader, line};
use test_support::tls_client::TlsClient;
use test_support::{
    Authority, Dns, Identity, Network, PATIENCE, Program, Received, Recorder, Ringfence, address,
};

use crate::contoso::{LOGIN, LOGIN_ENTRY, allowlist, refused, tunnelled};
use crate::stage::{Client, HOST, Stage, hello};

/// What it says decides the list, in each version.
#[test]
fn the_address_in_the_header_is_the_clients() -> Result<()> {
    let files = TempDir::new()?;
    let stage = Stage::with_settings(&settings(&files, "")?)?;
    let authority = format!("{HOST}:{}", stage.origin.port);
    let headers = |source: &str| -> Result<[Vec<u8>; 3]> {
        let (source, to) = (source.parse()?, "198.51.100.1:443".parse()?);
        let binary = BinaryHeader::new(source, to);
        Ok([line(source, to), binary.bytes(), binary.sealed()])
    };

    for (number, header) in (1..).zip(headers("203.0.113.9:5001")?) {
        let mut client = stage.balancer()?;
        client.send(&[&header[..], connect(&authority).as_bytes()].concat())?;
        ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
        let hello = hello(Some(HOST));
        client.send(&hello)?;
        ensure!(client.receive(hello.len())? == hello);
        client.finish()?;
        client.rest()?;
        let balancer = client.address()?;
        let line = stage.proxy.logged(|line| line["balancer"] == balancer)?;
        ensure!(line["client"] == "203.0.113.9:5001" && line["outcome"] == "tunnel", "{line}");
        ensure!(line["group"].as_str().is_some_and(|group| group != "build"), "{line}");
        ensure!(stage.origin.connections() == number);
    }
    let reached = stage.origin.connections();

    // The same balancer for another client, whose list is another one.
    for header in headers("192.0.2.7:5002")? {
        for (host, reason) in [(HOST, Reason::NotInPolicy), (THEIRS, Reason::DnsNotFound)] {
            let authority =
                format!("{host}:{}", if host == HOST { stage.origin.port } else { 443 });
            let mut client = stage.balancer()?;
            client.send(&[&header[..], connect(&authority).as_bytes()].concat())?;
            let head = client.head()?;
            ensure!(head.contains(&format!(" ringfence: {reason}; ")), "{head}");
            let balancer = client.address()?;
            let line = stage.proxy.logged(|line| line["balancer"] == balancer)?;
            ensure!(line["client"] == "192.0.2.7:5002" && line["group"] == "build", "{line}");
        }
    }
    ensure!(stage.origin.connections() == reached);
    Ok(())
}

#[test]
fn what_names_no_client_is_closed() -> Result<()> {
    let files = TempDir::new()?;
    let stage = Stage::with_settings(&settings(&files, "[timeouts]\nhead = \"2s\"\n")?)?;
    let request = connect(&format!("{HOST}:{}", stage.origin.port)).into_bytes();
    let (source, to): (SocketAddr, SocketAddr) =
        ("203.0.113.9:5001".parse()?, "198.51.100.1:443".parse()?);
    let good = BinaryHeader::new(source, to);
    let with = |change: fn(&mut BinaryHeader)| {
        let mut header = good.clone();
        change(&mut header);
        header.bytes()
    };
    let mut damaged = good.sealed();
    damaged[20] ^= 1;
    let text = |line: &str| format!("{line}\r\n").into_bytes();
    let bad = Reason::BadProxyHeader;
    let rows = [
        ("none", Vec::new(), bad),
        ("a lower case one", text("proxy TCP4 203.0.113.9 198.51.100.1 5001 443"), bad),
        ("a short one", text("PROXY TCP4 203.0.113.9 198.51.100.1 5001"), bad),
        ("two spaces", text("PROXY TCP4  203.0.113.9 198.51.100.1 5001 443"), bad),
        ("an octal part", text("PROXY TCP4 203.0.113.010 198.51.100.1 5001 443"), bad),
        ("another family", text("PROXY TCP6 203.0.113.9 198.51.100.1 5001 443"), bad),
        ("108 bytes", text(&format!("PROXY TCP6 {}::9 ::1 5001 443", "0".repeat(82))), bad),
        ("UNKNOWN", text("PROXY UNKNOWN"), bad),
        ("UNKNOWN with more", text("PROXY UNKNOWN ::1 ::1 1 1"), bad),
        ("UDP in a line", text("PROXY UDP4 203.0.113.9 198.51.100.1 5001 443"), bad),
        ("LOCAL", with(|header| header.command = 0x20), bad),
        ("another version", with(|header| header.command = 0x31), bad),
        ("UDP", with(|header| header.family = 0x12), bad),
        ("no family", with(|header| header.family = 0), bad),
        ("a short address", with(|header| header.addresses.truncate(11)), bad),
        ("a wrong checksum", damaged, bad),
        ("two lines", [line(source, to), line(source, to)].concat(), Reason::BadRequest),
        ("two binary ones", [good.bytes(), good.bytes()].concat(), Reason::BadRequest),
        ("a line, then binary", [line(source, to), good.bytes()].concat(), Reason::BadRequest),
    ];
    for (what, header, reason) in rows {
        let mut client = stage.balancer()?;
        client.send(&[&header[..], &request].concat())?;
        ensure!(stage.refusal(&mut client, what)? == reason.code(), "{what}");
    }
    // Cut, and slow.
    for header in [line(source, to), good.sealed()] {
        let mut cut = stage.balancer()?;
        cut.send(&header[..header.len() - 1])?;
        cut.finish()?;
        ensure!(stage.refusal(&mut cut, "cut")? == Reason::ClientClosed.code());
        let mut slow = stage.balancer()?;
        slow.send(&header[..header.len() - 1])?;
        ensure!(stage.refusal(&mut slow, "slow")? == bad.code());
    }
    ensure!(stage.origin.connections() == 0 && stage.dns.asked().is_empty());
    Ok(())
}

/// Whoever is no balancer is taken for what it is, whatever it says.
#[test]
fn a_header_of_anybody_else_is_never_believed() -> Result<()> {
    let files = TempDir::new()?;
    let stage = Stage::with_settings(&settings(&files, "")?)?;
    let request = connect(&format!("{HOST}:{}", stage.origin.port)).into_bytes();
    for claimed in ["203.0.113.9:5001", "192.0.2.7:5002", "127.0.0.2:5003"] {
        let (source, to) = (claimed.parse()?, "198.51.100.1:443".parse()?);
        let binary = BinaryHeader::new(source, to).sealed();
        for header in [line(source, to), binary] {
            let mut client = stage.client()?;
            client.send(&[&header[..], &request].concat())?;
            let own = client.address()?;
            client.head()?;
            let line = stage.proxy.logged(|line| line["client"] == own)?;
            ensure!(
                line["balancer"].is_null() && line["reason"] == Reason::BadRequest.code(),
                "{line}"
            );
        }
    }
    ensure!(stage.origin.connections() == 0 && stage.dns.asked().is_empty());
    // Without one, it is served as ever.
    stage.tunnel(HOST)?;
    Ok(())
}

/// The header comes before TLS, and is read to its last byte and no further.
#[test]
fn a_header_may_come_before_tls() -> Result<()> {
    let files = TempDir::new()?;
    let authority = Authority::create()?;
    let Identity { certificate_pem, key_pem, .. } = authority.issue(&["proxy.example"])?;
    let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
    fs::write(&certificate, certificate_pem)?;
    fs::write(&key, key_pem)?;
    let tls = format!(
        "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
        certificate.display(),
        key.display()
    );
    let stage = Stage::with_settings(&settings(&files, &tls)?)?;
    let listener = stage.proxy.listener("tls")?;
    let client = TlsClient::trusting(&authority)?;
    let (source, to) = ("203.0.113.9:5001".parse()?, "198.51.100.1:443".parse()?);
    let request = connect(&format!("{HOST}:{}", stage.origin.port));
    for header in [line(source, to), BinaryHeader::new(source, to).sealed()] {
        let mut stream = from(BALANCER, listener)?;
        let balancer = stream.local_addr()?.to_string();
        stream.write_all(&header)?;
        let mut secured = client.connect(stream, "proxy.example")?;
        secured.write_all(request.as_bytes())?;
        let mut status = [0; 13];
        secured.read_exact(&mut status)?;
        ensure!(&status == b"HTTP/1.1 200 ", "{}", status.escape_ascii());
        drop(secured);
        let line = stage.proxy.logged(|line| line["balancer"] == balancer)?;
        ensure!(line["client"] == "203.0.113.9:5001" && line["listener"] == "tls", "{line}");
    }
    // Nor is there TLS without it, from a balancer.
    ensure!(client.connect(from(BALANCER, listener)?, "proxy.example").is_err());
    stage.proxy.logged(|line| {
        line["reason"] == Reason::BadProxyHeader.code() && line["listener"] == "tls"
    })?;
    Ok(())
}

/// The real thing, in front.
#[test]
fn haproxy_says_who_its_clients_are() -> Result<()> {
    let Some(network) = Network::open(&["haproxy", "curl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = Dns::start(&network, &[(LOGIN, address::LOGIN)])?;
    network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY]))?;
    let config = network.write(
        "ringfence.toml",
        &format!(
            "resolver = [\"{}\"]\n[proxy_protocol]\nfrom = [\"{}\"]\n\
             [[client]]\nname = \"build\"\naddress = [\"{CLIENT}\"]\nallowlist = [\"allowlist.toml\"]\n",
            dns.address(),
            address::GATE
        ),
    )?;
    let arguments = ["--config".as_ref(), config.as_os_str()];
    let proxy = Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), &network, arguments)?;
    let haproxy = network.write("haproxy.cfg", &balancing(proxy.listen()))?;
    let haproxy = Program::new("haproxy").inside(&network.gate).arg("-f").arg(haproxy).start()?;

    let mut carried = 0;
    for port in [8081, 8082] {
        accepting(&network, port).with_context(|| haproxy.stderr.text())?;
        let curl = |host: &str| {
            let balancer = format!("http://{}:{port}", address::GATE);
            let curl = network.unproxied("curl", &network.client);
            curl.args(["--silent", "--verbose", "--proxy", &balancer, &format!("https://{host}/")])
                .run()
        };
        curl(LOGIN)?.succeeded()?;
        curl("fabrikam.azurecr.io")?.failed_saying("not_in_policy")?;
        carried += 1;
        ensure!(origin.received()?.connections == carried);
    }
    for line in [
        proxy.logged(tunnelled(LOGIN))?,
        proxy.logged(refused("fabrikam.azurecr.io", "not_in_policy"))?,
    ] {
        let begins = |field: &str, with: &str| {
            line[field].as_str().is_some_and(|text| text.starts_with(&format!("{with}:")))
        };
        ensure!(begins("client", CLIENT) && begins("balancer", address::GATE), "{line}");
        ensure!(line["group"] == "build", "{line}");
    }
    // Its clients can't say it themselves: their header comes second.
    let raw = || -> Result<String> {
        let mut client = Client::connect(format!("{}:8081", address::GATE).parse()?)?;
        client.send(&line("192.0.2.7:1".parse()?, "198.51.100.1:443".parse()?))?;
        client.send(connect(&format!("{LOGIN}:443")).as_bytes())?;
        client.head()
    };
    let head = network.client.enter(raw)??;
    ensure!(head.contains(" ringfence: bad_request; "), "{head}");
    ensure!(origin.received()?.connections == carried);
    Ok(())
}

/// A header by another hand, believed from the one address and not from another.
#[test]
fn curl_is_believed_where_it_is_a_balancer() -> Result<()> {
    let Some(network) = Network::open(&["curl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = Dns::start(&network, &[(LOGIN, address::LOGIN)])?;
    network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY]))?;
    for (from, reason) in [(CLIENT, "not_found"), ("10.99.0.77", "bad_request")] {
        let config = network.write(
            "ringfence.toml",
            &format!(
                "resolver = [\"{}\"]\nallowlist = [\"allowlist.toml\"]\n[proxy_protocol]\nfrom = [\"{from}\"]\n",
                dns.address()
            ),
        )?;
        let arguments = ["--config".as_ref(), config.as_os_str()];
        let proxy = Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), &network, arguments)?;
        let page = format!("{}/metrics", proxy.url());
        let curl = network.unproxied("curl", &network.client).args(["--silent", "--verbose"]);
        curl.args(["--haproxy-protocol", &page]).run()?;
        let line = proxy.logged(|line| line["reason"] == reason)?;
        ensure!(line["balancer"].is_null() == (from != CLIENT), "{line}");
    }
    ensure!(origin.received()? == Received::default());
    Ok(())
}

impl Stage {
    /// A connection from the load balancer's address.
    fn balancer(&self) -> Result<Client> {
        Client::over(from(BALANCER, self.proxy.listen())?)
    }

    /// Why the log says that `client`, the load balancer, was sent away.
    fn refusal(&self, client: &mut Client, what: &str) -> Result<Value> {
        let own = client.address()?;
        let ended = client.rest();
        let about = |line: &Value| line["client"] == own || line["balancer"] == own;
        let line = self.proxy.logged(about).with_context(|| format!("{what}: {ended:?}"))?;
        Ok(line["reason"].clone())
    }
}

fn from(source: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    Ok(socket.into())
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

/// One balancer, and a group with another list than everyone's.
fn settings(files: &TempDir, more: &str) -> Result<String> {
    let list = files.path().join("build.toml");
    let entry =
        "schema = 1\n[[entry]]\nhost = \"theirs.example\"\nrole = \"other\"\nwhy = \"test\"\n";
    fs::write(&list, entry)?;
    Ok(format!(
        "[proxy_protocol]\nfrom = [\"{BALANCER}\"]\n\
         [[client]]\nname = \"build\"\naddress = [\"192.0.2.0/24\"]\nallowlist = [\"{}\"]\n{more}",
        list.display()
    ))
}

/// <https://docs.haproxy.org/2.6/configuration.html>
fn balancing(proxy: SocketAddr) -> String {
    let gate = address::GATE;
    format!(
        "\
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen line
    bind {gate}:8081
    server ringfence {proxy} send-proxy
listen binary
    bind {gate}:8082
    server ringfence {proxy} send-proxy-v2
"
    )
}

/// Waits until somebody listens on this port of the gate.
fn accepting(network: &Network, port: u16) -> Result<()> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let address = format!("{}:{port}", address::GATE).parse()?;
    network.client.enter(|| {
        while let Err(error) = Client::connect(address) {
            ensure!(std::time::Instant::now() < deadline, "{error:#}");
            std::thread::yield_now();
        }
        Ok(())
    })?
}

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CLIENT: &str = "10.99.0.2";
const THEIRS: &str = "theirs.example";
