//! Clients that know of no proxy, and real rules of nftables that bring them to it: those that the page on
//! transparent proxying shows.

use anyhow::{Context, Result, bail, ensure};
use ringfence::reason::Reason;
use serde_json::Value;
use test_support::{
    Dns, Finished, Namespace, Network, Program, Received, Recorder, Ringfence, address,
};

use crate::contoso::{
    Contoso, EASTUS, EASTUS_ENTRY, LOGIN, LOGIN_ENTRY, STRANGER, allowlist, refused, tunnelled,
};
use crate::stage::{Client, extension, hello, hello_with, server_name};

const GATEWAY: &str = include_str!("../../docs/transparent/gateway.nft");
const SIDECAR: &str = include_str!("../../docs/transparent/sidecar.nft");
const TPROXY: &str = include_str!("../../docs/transparent/tproxy.nft");

#[test]
fn the_page_shows_the_rules_that_are_tested() -> Result<()> {
    let page = include_str!("../../docs/transparent.md");
    for rules in [GATEWAY, SIDECAR, TPROXY] {
        ensure!(page.contains(&format!("```nft\n{rules}```\n")), "not on the page:\n{rules}");
    }
    Ok(())
}

#[test]
fn clients_behind_a_gateway_reach_what_is_listed() -> Result<()> {
    let Some(contoso) = Contoso::build(EASTUS, &["nft", "unshare", "curl", "go"])? else {
        return Ok(());
    };
    let network = &contoso.network;
    let proxy = gateway(network, &contoso.dns, GATEWAY, "")?;
    // Where clients believe that the hosts are is of no consequence, as long as packets come by here.
    let hosts = [(LOGIN, NOWHERE), (EASTUS, NOWHERE)];
    let client = |program| network.with_hosts(program, &network.client, &hosts);

    let url = format!("https://{LOGIN}/v2/");
    let page = client("curl")?.args(["--silent", "--fail", &url]).run()?.succeeded()?;
    ensure!(page.stdout == "{}", "{page}");
    let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proxy/clients/fetch.go");
    let out = network.path("out");
    client("go")?.args(["run", fetch, &url]).arg(&out).run()?.succeeded()?;
    ensure!(std::fs::read_to_string(&out)? == "{}");

    let (source, target) =
        (format!("docker://{LOGIN}/app:v1"), format!("oci:{}:v1", network.path("copy").display()));
    let skopeo = client("skopeo")?.args(["--insecure-policy", "copy", &source, &target]);
    skopeo.run()?.succeeded()?;
    contoso.check_copy("copy")?;
    let blob = contoso.image.largest().replace("sha256:", "");
    ensure!(contoso.eastus.log().iter().any(|line| line.contains(&blob)));

    let line = proxy.logged(tunnelled(EASTUS))?;
    ensure!(line["listener"] == "transparent", "{line}");
    ensure!(line["original"] == format!("{NOWHERE}:443"), "{line}");
    ensure!(line["address"] == format!("{}:443", address::EASTUS), "{line}");
    ensure!(line["sni"].is_null() || line["sni"] == EASTUS, "{line}");
    ensure!(line["client"].as_str().is_some_and(|client| client.starts_with(CLIENT)), "{line}");
    Ok(())
}

#[test]
fn clients_behind_a_gateway_reach_nothing_else() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "curl", "openssl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let stranger = Recorder::start(&network, STRANGER, address::STRANGER)?;
    let other = Recorder::start(&network, OTHER, address::WESTUS)?;
    let dns = names(&network)?;
    let redirects = GATEWAY.replace("tcp dport 443", "tcp dport { 443, 8443 }");
    let proxy = gateway(&network, &dns, &redirects, "[timeouts]\nhello = \"500ms\"\n")?;

    // Real clients, who are told in the only way they understand.
    let name = ["-servername", OTHER];
    openssl(&network, address::WESTUS, &name)?.failed_saying("alert access denied")?;
    let line = proxy.logged(refused(OTHER, "not_in_policy"))?;
    ensure!(line["original"] == format!("{}:443", address::WESTUS), "{line}");
    openssl(&network, address::LOGIN, &["-noservername"])?.failed_saying("alert number 109")?;
    refusal(&proxy, Reason::SniMissing)?;
    let curl = network.with_hosts("curl", &network.client, &[(STRANGER, address::STRANGER)])?;
    let url = format!("https://{STRANGER}/");
    curl.args(["--silent", "--show-error", "--data", "secret", &url])
        .run()?
        .failed_saying("access denied")?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;

    // Whatever else a program might send.
    let ech = [server_name(LOGIN.as_bytes()), extension(0xfe0d, &[0])];
    let rows: [(&str, u16, Vec<u8>, Reason); 8] = [
        (address::LOGIN, 443, hello_with(&ech.concat()), Reason::EchForbidden),
        (address::LOGIN, 443, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Reason::NotTls),
        (address::LOGIN, 443, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Reason::NotTls),
        (address::LOGIN, 443, hello(Some(address::LOGIN)), Reason::SniInvalid),
        (address::LOGIN, 443, hello(Some(LOGIN))[..20].to_vec(), Reason::ClientHelloTimeout),
        (address::LOGIN, 443, Vec::new(), Reason::ClientHelloTimeout),
        (address::LOGIN, 8443, hello(Some(LOGIN)), Reason::PortNotAllowed),
        // Past the rules, to us: the listed hosts have no such port, and we are none of them.
        (address::GATE, 3130, hello(Some(LOGIN)), Reason::PortNotAllowed),
    ];
    for (to, port, bytes, reason) in rows {
        let mut client = dial(&network.client, to, port)?;
        client.send(&bytes)?;
        let answer = client.rest()?;
        let alert = reason.alert_by_kind().map(|code| vec![21, 3, 3, 0, 2, 2, code]);
        ensure!(answer == alert.unwrap_or_default(), "{reason}: {answer:?}");
        let own = client.address()?;
        let line = proxy.logged(|line| line["client"] == own)?;
        ensure!(line["reason"] == reason.code(), "{reason}: {line}");
        ensure!(line["original"] == format!("{to}:{port}") && line["sent"] == 0, "{line}");
    }
    // Not redirected, and not forwarded either.
    let curl = network.unproxied("curl", &network.client).args(["--connect-timeout", "1"]);
    curl.arg(format!("http://{}/", address::STRANGER)).run()?.failed()?;

    for recorder in [&origin, &stranger, &other] {
        ensure!(recorder.received()? == Received::default(), "something has arrived");
    }
    ensure!(dns.questions()?.is_empty(), "names were looked up");
    // And all of it would have been taken.
    openssl(&network, address::WESTUS, &["-servername", LOGIN])?.succeeded()?;
    proxy.logged(tunnelled(LOGIN))?;
    ensure!(origin.received()?.connections == 1);
    ensure!(other.received()? == Received::default());
    Ok(())
}

/// A client that is told by somebody else's name server where a listed host is.
#[test]
fn the_address_is_the_one_that_we_look_up() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "curl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let attacker = Recorder::start(&network, LOGIN, address::STRANGER)?;
    let dns = names(&network)?;
    let proxy = gateway(&network, &dns, GATEWAY, "")?;
    let curl = network.with_hosts("curl", &network.client, &[(LOGIN, address::STRANGER)])?;
    let url = format!("https://{LOGIN}/");
    curl.args(["--silent", "--show-error", "--data", "secret", &url]).run()?.succeeded()?;

    let line = proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["original"] == format!("{}:443", address::STRANGER), "{line}");
    ensure!(line["address"] == format!("{}:443", address::LOGIN), "{line}");
    ensure!(origin.received()?.data > 0);
    ensure!(attacker.received()? == Received::default(), "the attacker was reached");
    Ok(())
}

/// A name server that says that a listed host is here.
#[test]
fn a_host_that_is_said_to_be_here_is_not_reached() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "openssl"])? else {
        return Ok(());
    };
    let dns = Dns::start(&network, &[(LOGIN, GATE_OUTSIDE)])?;
    // As if REDIRECT were not needed: the listener has the port that hosts have.
    let proxy = start(&network, &dns, &network.gate, ringfence(), "0.0.0.0:443", "")?;
    openssl(&network, address::GATE, &["-servername", LOGIN])?
        .failed_saying("alert access denied")?;
    proxy.logged(refused(LOGIN, "self_connect"))?;
    ensure!(proxy.log()?.len() == 1, "{:?}", proxy.log()?);
    Ok(())
}

#[test]
fn a_group_is_found_by_the_clients_address() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "openssl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, EASTUS, address::EASTUS)?;
    let dns = names(&network)?;
    network.write("build.toml", &allowlist(&[EASTUS_ENTRY]))?;
    let group = format!(
        "[[client]]\nname = \"build\"\naddress = [\"{CLIENT}\"]\nallowlist = [\"build.toml\"]\n"
    );
    let proxy = gateway(&network, &dns, GATEWAY, &group)?;
    openssl(&network, NOWHERE, &["-servername", EASTUS])?.succeeded()?;
    openssl(&network, NOWHERE, &["-servername", LOGIN])?.failed_saying("alert access denied")?;
    for line in [proxy.logged(tunnelled(EASTUS))?, proxy.logged(refused(LOGIN, "not_in_policy"))?] {
        ensure!(line["group"] == "build" && line["identity"] == "address", "{line}");
    }
    ensure!(origin.received()?.connections == 1);
    Ok(())
}

#[test]
fn audit_carries_what_is_redirected_and_unlisted() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "openssl"])? else {
        return Ok(());
    };
    let other = Recorder::start(&network, OTHER, address::WESTUS)?;
    let stranger = Recorder::start(&network, STRANGER, address::STRANGER)?;
    let dns = names(&network)?;
    let proxy = gateway(&network, &dns, GATEWAY, "mode = \"audit\"\n")?;
    openssl(&network, NOWHERE, &["-servername", OTHER])?.succeeded()?;
    let line = proxy.logged(tunnelled(OTHER))?;
    ensure!(line["would_deny"] == Reason::NotInPolicy.code(), "{line}");
    ensure!(other.received()?.connections == 1);
    openssl(&network, address::STRANGER, &["-servername", STRANGER])?.failed()?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;
    ensure!(stranger.received()? == Received::default());
    Ok(())
}

/// The proxy beside its client, told apart by the user that it runs as.
#[test]
fn a_sidecar_lets_out_what_is_listed_and_nothing_else() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "setpriv", "curl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let stranger = Recorder::start(&network, STRANGER, address::STRANGER)?;
    let dns = names(&network)?;
    let proxy = sidecar(&network, &dns, SIDECAR)?;
    let send = |host: &str, to: &str, scheme: &str| {
        let curl = network.with_hosts("curl", &network.gate, &[(host, to)])?;
        let curl = curl.args(["--silent", "--show-error", "--data", "secret"]);
        curl.args(["--connect-timeout", "5", &format!("{scheme}://{host}/")]).run()
    };

    send(LOGIN, address::STRANGER, "https")?.succeeded()?;
    let line = proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["original"] == format!("{}:443", address::STRANGER), "{line}");
    ensure!(line["client"].as_str().is_some_and(|from| from.starts_with(GATE_OUTSIDE)), "{line}");
    let before = origin.received()?;
    ensure!(before.data > 0);

    send(STRANGER, address::STRANGER, "https")?.failed_saying("access denied")?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;
    send(OTHER, address::LOGIN, "https")?.failed_saying("access denied")?;
    proxy.logged(refused(OTHER, "not_in_policy"))?;
    // Neither redirected nor let out.
    send(LOGIN, address::LOGIN, "http")?.failed()?;
    send(STRANGER, address::STRANGER, "http")?.failed()?;
    ensure!(stranger.received()? == Received::default());
    ensure!(origin.received()? == before);
    Ok(())
}

/// The rules leave to IPv6 what it needs to find its neighbours.
#[test]
fn a_sidecar_has_both_families() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "setpriv", "openssl"])? else {
        return Ok(());
    };
    add_ipv6(&network)?;
    let origin = Recorder::start(&network, LOGIN, LOGIN_IPV6)?;
    let dns = Dns::start(&network, &[(LOGIN, LOGIN_IPV6)])?;
    let proxy = sidecar(&network, &dns, SIDECAR)?;
    let peer = format!("[{NOWHERE_IPV6}]:443");
    for (host, reached) in [(LOGIN, true), (OTHER, false)] {
        let openssl = network.unproxied("openssl", &network.gate);
        let finished = openssl.args(["s_client", "-connect", &peer, "-servername", host]).run()?;
        ensure!(finished.status.success() == reached, "{finished}");
    }
    for line in [proxy.logged(tunnelled(LOGIN))?, proxy.logged(refused(OTHER, "not_in_policy"))?] {
        ensure!(line["original"] == peer, "{line}");
    }
    ensure!(origin.received()?.connections == 1);
    Ok(())
}

/// Rules that forget to leave the proxy's own traffic out would have it dial itself until nothing is left.
#[test]
fn a_sidecar_that_is_redirected_to_itself_notices() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "setpriv", "openssl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = names(&network)?;
    let own =
        "        meta skuid 3128 accept\n        fib daddr type local accept\n        tcp dport";
    let forgetful =
        SIDECAR.replacen(own, "        fib daddr type local accept\n        tcp dport", 1);
    ensure!(forgetful != SIDECAR, "the rules have changed");
    let proxy = sidecar(&network, &dns, &forgetful)?;
    let peer = format!("{}:443", address::LOGIN);
    let openssl = network.unproxied("openssl", &network.gate);
    openssl.args(["s_client", "-connect", &peer, "-servername", LOGIN]).run()?.failed()?;
    let line = refusal(&proxy, Reason::SelfConnect)?;
    ensure!(line["original"] == peer && line["listener"] == "transparent", "{line}");
    proxy.logged(tunnelled(LOGIN))?;
    ensure!(proxy.log()?.len() == 2, "{:?}", proxy.log()?);
    ensure!(origin.received()? == Received::default());
    Ok(())
}

#[test]
fn both_families_are_redirected_to_one_listener() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "openssl"])? else {
        return Ok(());
    };
    add_ipv6(&network)?;
    let origin = Recorder::start(&network, LOGIN, LOGIN_IPV6)?;
    let dns = Dns::start(&network, &[(LOGIN, LOGIN_IPV6)])?;
    let group = "[[client]]\nname = \"six\"\naddress = [\"fd00:99::/64\"]\nallowlist = [\"allowlist.toml\"]\n\
                 [[client]]\nname = \"four\"\naddress = [\"10.99.0.2\"]\nallowlist = [\"allowlist.toml\"]\n";
    let proxy = gateway(&network, &dns, GATEWAY, group)?;
    let (elsewhere, name) = (NOWHERE_IPV6, ["-servername", LOGIN]);
    openssl(&network, &format!("[{elsewhere}]"), &name)?.succeeded()?;
    let line = proxy.logged(|line| tunnelled(LOGIN)(line) && line["group"] == "six")?;
    ensure!(line["original"] == format!("[{elsewhere}]:443"), "{line}");
    ensure!(line["address"] == format!("[{LOGIN_IPV6}]:443"), "{line}");
    openssl(&network, NOWHERE, &name)?.succeeded()?;
    let line = proxy.logged(|line| tunnelled(LOGIN)(line) && line["group"] == "four")?;
    ensure!(line["original"] == format!("{NOWHERE}:443"), "{line}");
    ensure!(origin.received()?.connections == 2);
    // Nobody's: by intent, and unlisted.
    openssl(&network, &format!("[{elsewhere}]"), &["-servername", OTHER])?.failed()?;
    proxy.logged(refused(OTHER, "not_in_policy"))?;
    Ok(())
}

#[test]
fn tproxy_brings_clients_here_too() -> Result<()> {
    let Some(network) = Network::open(&["nft", "unshare", "openssl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = names(&network)?;
    network.gate.ip(&["rule", "add", "fwmark", "1", "lookup", "100"])?;
    network.gate.ip(&["route", "add", "local", "default", "dev", "lo", "table", "100"])?;
    let proxy = gateway(&network, &dns, TPROXY, "")?;
    openssl(&network, NOWHERE, &["-servername", LOGIN])?.succeeded()?;
    let line = proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["original"] == format!("{NOWHERE}:443"), "{line}");
    openssl(&network, address::LOGIN, &["-servername", OTHER])?
        .failed_saying("alert access denied")?;
    proxy.logged(refused(OTHER, "not_in_policy"))?;
    ensure!(origin.received()?.connections == 1);
    Ok(())
}

/// The page's commands for iptables, in the order of the page.
#[test]
fn iptables_does_the_same() -> Result<()> {
    let page = include_str!("../../docs/transparent.md");
    let blocks = page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let [at_gateway, beside] = blocks.collect::<Vec<_>>()[..] else {
        bail!("the page has other commands")
    };
    let Some(network) = Network::open(&["iptables", "unshare", "setpriv", "openssl"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let stranger = Recorder::start(&network, STRANGER, address::STRANGER)?;
    let dns = names(&network)?;
    let shell = |script: &str| {
        Program::new("sh").inside(&network.gate).args(["-e", "-c", script]).run()?.succeeded()
    };

    shell(at_gateway)?;
    let proxy = gateway(&network, &dns, "", "")?;
    openssl(&network, NOWHERE, &["-servername", LOGIN])?.succeeded()?;
    openssl(&network, address::STRANGER, &["-servername", STRANGER])?.failed()?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;
    drop(proxy);

    shell("iptables -F; iptables -t nat -F")?;
    shell(beside)?;
    let proxy = sidecar(&network, &dns, "")?;
    for (host, port, reached) in [(LOGIN, 443, true), (STRANGER, 443, false), (LOGIN, 80, false)] {
        let peer = format!("{}:{port}", address::STRANGER);
        let openssl = network.unproxied("openssl", &network.gate);
        let finished = openssl.args(["s_client", "-connect", &peer, "-servername", host]).run()?;
        ensure!(finished.status.success() == reached, "{finished}");
    }
    proxy.logged(tunnelled(LOGIN))?;
    ensure!(origin.received()?.connections == 2);
    ensure!(stranger.received()? == Received::default());
    Ok(())
}

/// Redirects the clients of `network` to a proxy in its gate.
fn gateway(network: &Network, dns: &Dns, rules: &str, settings: &str) -> Result<Ringfence> {
    network.firewall(&network.gate, rules)?;
    network.client.ip(&["route", "add", "default", "via", address::GATE])?;
    start(network, dns, &network.gate, ringfence(), "[::]:3130", settings)
}

/// A proxy in the gate as user 3128, who is let out, while everybody else there is redirected.
fn sidecar(network: &Network, dns: &Dns, rules: &str) -> Result<Ringfence> {
    network.firewall(&network.gate, rules)?;
    // The files of a test are its own user's; the capability is for them.
    let read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"];
    let user = Program::new("setpriv").args(["--reuid", "3128"]).args(read);
    let user = user.arg(env!("CARGO_BIN_EXE_ringfence"));
    start(network, dns, &network.gate, user, "[::]:3130", "")
}

fn start(
    network: &Network,
    dns: &Dns,
    namespace: &Namespace,
    program: Program,
    listen: &str,
    settings: &str,
) -> Result<Ringfence> {
    network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY, EASTUS_ENTRY]))?;
    // Settings may begin with keys that are in no section.
    let settings = format!(
        "resolver = [\"{}\"]\nallowlist = [\"allowlist.toml\"]\n{settings}\n\
         [transparent]\nlisten = \"{listen}\"\n",
        dns.address()
    );
    let config = network.write("ringfence.toml", &settings)?;
    Ringfence::configured(program, namespace, &config)
}

fn ringfence() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringfence"))
}

/// Shakes hands with whatever answers at `to`, from where clients are.
fn openssl(network: &Network, to: &str, name: &[&str]) -> Result<Finished> {
    let authority = network.authority_file();
    let openssl = network.unproxied("openssl", &network.client);
    let openssl =
        openssl.args(["s_client", "-connect", &format!("{to}:443"), "-verify_return_error"]);
    openssl.arg("-CAfile").arg(authority).args(name).run()
}

fn dial(namespace: &Namespace, to: &str, port: u16) -> Result<Client> {
    namespace.enter(|| Client::connect(format!("{to}:{port}").parse()?))?
}

/// The line of the connection that was refused for `reason`.
fn refusal(proxy: &Ringfence, reason: Reason) -> Result<Value> {
    proxy.logged(|line| line["reason"] == reason.code()).context(reason)
}

/// IPv6, as the network has IPv4.
fn add_ipv6(network: &Network) -> Result<()> {
    let Network { client, gate, world, .. } = network;
    let host = format!("{LOGIN_IPV6}/128");
    for (namespace, address, interface) in [
        (client, "fd00:99::2/64", "gate"),
        (gate, "fd00:99::1/64", "client"),
        (gate, "2603:1030:1::2/64", "world"),
        (world, "2603:1030:1::1/64", "gate"),
        (world, &host, "lo"),
    ] {
        namespace.ip(&["address", "add", address, "dev", interface, "nodad"])?;
    }
    client.ip(&["-6", "route", "add", "default", "via", "fd00:99::1"])?;
    gate.ip(&["-6", "route", "add", "default", "via", "2603:1030:1::1"])
}

/// A name server that knows everybody.
fn names(network: &Network) -> Result<Dns> {
    let hosts = [
        (LOGIN, address::LOGIN),
        (EASTUS, address::EASTUS),
        (OTHER, address::WESTUS),
        (STRANGER, address::STRANGER),
    ];
    Dns::start(network, &hosts)
}

/// A registry of somebody else.
const OTHER: &str = "fabrikam.azurecr.io";
const CLIENT: &str = "10.99.0.2";
const GATE_OUTSIDE: &str = "20.62.128.2";
/// Where nobody is.
const NOWHERE: &str = "20.62.128.99";
const NOWHERE_IPV6: &str = "2603:1030:2::99";
const LOGIN_IPV6: &str = "2603:1030:2::10";
