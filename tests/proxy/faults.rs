//! A network that loses, swallows and resets, by real rules on real packets.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use ringfence::reason::Reason;
use test_support::{Dns, Network, PATIENCE, Program, Ringfence, address};

use crate::contoso::{
    Contoso, EASTUS, EASTUS_ENTRY, LOGIN, LOGIN_ENTRY, WESTUS, WESTUS_ENTRY, allowlist, tunnelled,
};
use crate::stage::{Client, Origin, hello};

/// Nothing comes back, not even that nothing will.
#[test]
fn a_black_hole_before_and_within_a_tunnel() -> Result<()> {
    let Some(scene) = Scene::open("[timeouts]\nconnect = \"1s\"\nidle = \"2s\"\n")? else {
        return Ok(());
    };
    let mut tunnel = scene.tunnel(LOGIN)?;
    scene.block("drop")?;

    let (_client, head) = scene.connect(LOGIN)?;
    ensure!(head.starts_with("HTTP/1.1 504 ringfence: connect_timeout; "), "{head}");
    scene.proxy.logged(failed(Reason::ConnectTimeout))?;
    let arrived = scene.origin.arrived().len();

    tunnel.send(b"into the dark")?;
    ensure!(tunnel.ended()?, "something came back");
    let line = scene.proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["end"] == "idle", "{line}");
    ensure!(scene.origin.arrived().len() == arrived);

    scene.unblock()?;
    scene.tunnel(LOGIN)?;
    Ok(())
}

#[test]
fn a_reset_before_and_within_a_tunnel() -> Result<()> {
    let Some(scene) = Scene::open("")? else {
        return Ok(());
    };
    let mut tunnel = scene.tunnel(LOGIN)?;
    scene.block("reject with tcp reset")?;

    let (_client, head) = scene.connect(LOGIN)?;
    ensure!(head.starts_with("HTTP/1.1 502 ringfence: connect_refused; "), "{head}");
    scene.proxy.logged(failed(Reason::ConnectRefused))?;

    tunnel.send(b"cut")?;
    ensure!(tunnel.ended()?, "the client isn't told");
    let line = scene.proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["end"] == "error", "{line}");
    let open = || scene.proxy.metric("ringfence_connections_open");
    scene.until(|| Ok(open()? == 0))?;

    scene.unblock()?;
    scene.tunnel(LOGIN)?;
    Ok(())
}

/// Live tunnels don't need names; new ones do, and have them again as soon as there is a server.
#[test]
fn a_name_server_that_goes_and_comes_back() -> Result<()> {
    let Some(mut scene) = Scene::open("[timeouts]\nresolve = \"1s\"\n")? else {
        return Ok(());
    };
    let mut tunnel = scene.tunnel(LOGIN)?;
    scene.dns = None;

    // Nobody listens there any more, and then nobody even says so.
    let (_client, head) = scene.connect(EASTUS)?;
    let codes = [Reason::DnsFailed, Reason::DnsTimeout];
    ensure!(codes.iter().any(|reason| head.contains(&format!(" ringfence: {reason}; "))), "{head}");
    let silence = "table inet fault { chain in { \
                   type filter hook input priority 0; meta l4proto { tcp, udp } th dport 53 drop; }; }";
    scene.network.firewall(&scene.network.world, silence)?;
    let (_client, head) = scene.connect(WESTUS)?;
    ensure!(head.starts_with("HTTP/1.1 504 ringfence: dns_timeout; "), "{head}");
    scene.proxy.logged(|line| line["host"] == WESTUS && line["reason"] == "dns_timeout")?;
    tunnel.send(b"still here")?;
    ensure!(tunnel.receive(10)? == b"still here");

    scene.unblock()?;
    scene.dns = Some(names(&scene.network)?);
    scene.tunnel(EASTUS)?;
    tunnel.send(b"all along")?;
    ensure!(tunnel.receive(9)? == b"all along");
    Ok(())
}

/// Packets are lost at random in each direction, and a pull is only slower for it. The rules do it without
/// `netem`, which not every kernel has.
#[test]
fn a_pull_survives_loss() -> Result<()> {
    let Some(contoso) = Contoso::build(EASTUS, &["nft", "curl"])? else {
        return Ok(());
    };
    let network = &contoso.network;
    network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY, EASTUS_ENTRY]))?;
    // Where the first packets are lost, the kernel takes its time to repeat them.
    let proxy = configured(network, &contoso.dns, "[timeouts]\nconnect = \"50s\"\n")?;

    lose(network, 20)?;
    let curl = network.client("curl", &proxy).args(["--silent", "--fail"]);
    let page = curl.arg(format!("https://{LOGIN}/v2/")).run()?.succeeded()?;
    ensure!(page.stdout == "{}", "{page}");

    lose(network, 10)?;
    contoso.pull(&proxy, ":v1", "copy")?.succeeded()?;
    contoso.check_copy("copy")?;
    proxy.logged(tunnelled(EASTUS))?;
    let nft = Program::new("nft").inside(&network.gate);
    let counted = nft.args(["list", "table", "inet", "fault"]).run()?.succeeded()?;
    ensure!(!counted.stdout.contains("packets 0 "), "nothing was lost: {counted}");
    Ok(())
}

/// Loses so many of a hundred packets between gate and world, in each direction.
fn lose(network: &Network, percent: u8) -> Result<()> {
    for (namespace, interface) in [(&network.gate, "world"), (&network.world, "gate")] {
        let rules = format!(
            "table inet fault {{}}\ndelete table inet fault\n\
             table inet fault {{ chain in {{ type filter hook input priority 0; iifname \"{interface}\" \
             meta l4proto tcp numgen random mod 100 < {percent} counter drop; }}; }}"
        );
        network.firewall(namespace, &rules)?;
    }
    Ok(())
}

/// Three hosts that echo, a name server, and a proxy.
struct Scene {
    proxy: Ringfence,
    origin: Origin,
    _others: [Origin; 2],
    dns: Option<Dns>,
    network: Network,
}

impl Scene {
    fn open(settings: &str) -> Result<Option<Self>> {
        let Some(network) = Network::open(&["nft"])? else {
            return Ok(None);
        };
        let origin =
            |address: &str| Origin::on(network.world.enter(|| TcpListener::bind((address, 443)))??);
        let (login, others) =
            (origin(address::LOGIN)?, [origin(address::EASTUS)?, origin(address::WESTUS)?]);
        let dns = names(&network)?;
        network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY, EASTUS_ENTRY, WESTUS_ENTRY]))?;
        let proxy = configured(&network, &dns, settings)?;
        Ok(Some(Self { proxy, origin: login, _others: others, dns: Some(dns), network }))
    }

    /// A client that has asked for `host`, and the head of the answer.
    fn connect(&self, host: &str) -> Result<(Client, String)> {
        self.network.client.enter(|| {
            let mut client = Client::connect(self.proxy.listen())?;
            client.send(format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n").as_bytes())?;
            let head = client.head()?;
            Ok((client, head))
        })?
    }

    /// A client whose tunnel to `host` carries.
    fn tunnel(&self, host: &str) -> Result<Client> {
        let (mut client, head) = self.connect(host)?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let hello = hello(Some(host));
        client.send(&hello)?;
        ensure!(client.receive(hello.len())? == hello);
        Ok(client)
    }

    /// What happens from now on to packets for hosts.
    fn block(&self, verdict: &str) -> Result<()> {
        let rules = format!(
            "table inet fault {{ chain in {{ type filter hook input priority 0; tcp dport 443 {verdict}; }}; }}"
        );
        self.network.firewall(&self.network.world, &rules)
    }

    fn unblock(&self) -> Result<()> {
        self.network.firewall(&self.network.world, "delete table inet fault")
    }

    /// Waits for something that has no event of its own to wait for.
    fn until(&self, done: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !done()? {
            ensure!(std::time::Instant::now() < deadline, "{}", self.proxy.stderr().text());
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// A proxy in the gate with these settings, and the list that is there.
fn configured(network: &Network, dns: &Dns, settings: &str) -> Result<Ringfence> {
    let text =
        format!("resolver = [\"{}\"]\nallowlist = [\"allowlist.toml\"]\n{settings}", dns.address());
    let config = network.write("ringfence.toml", &text)?;
    let arguments = ["--config".as_ref(), config.as_os_str()];
    Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), network, arguments)
}

fn names(network: &Network) -> Result<Dns> {
    let hosts = [(LOGIN, address::LOGIN), (EASTUS, address::EASTUS), (WESTUS, address::WESTUS)];
    Dns::start(network, &hosts)
}

fn failed(reason: Reason) -> impl Fn(&serde_json::Value) -> bool {
    move |line| line["outcome"] == "failed" && line["reason"] == reason.code()
}
