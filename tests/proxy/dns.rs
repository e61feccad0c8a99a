//! Addresses and names: what a lying, broken or slow name server can make the proxy do, which is to refuse.
//! The row of the threat list that a test shows stands above it.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use serde_json::Value;
use socket2::SockRef;
use test_support::{Network, PATIENCE, Ringfence, address};

use crate::liar::{Data, Liar, Message, Question, Say, record};
use crate::stage::{
    A, AAAA, Answer, Client, DATA, HOST, LOOPBACK, MOMENT, Origin, Stage, document, hello, lock,
};

/// Asks for `host`, leaves again if there is a tunnel, and answers with the log line.
pub(crate) fn ask(stage: &Stage, host: &str) -> Result<Value> {
    ask_of(&stage.proxy, stage.client()?, host, stage.origin.port)
}

pub(crate) fn ask_of(
    proxy: &Ringfence,
    mut client: Client,
    host: &str,
    port: u16,
) -> Result<Value> {
    let address = client.address()?;
    // An earlier connection may have had the same port.
    let before = proxy.last_logged()?;
    client.send(format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n").as_bytes())?;
    let head = client.head()?;
    drop(client);
    let ours = |line: &Value| line["client"] == *address && line["id"].as_u64() > Some(before);
    let line = proxy.logged(ours)?;
    // What the client was told is what is on record.
    if line.get("address").is_some() || line.get("parent").is_some() {
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}\n{line}");
    } else {
        ensure!(head.contains(line["reason"].as_str().unwrap_or("?")), "{head}\n{line}");
    }
    Ok(line)
}

/// Checks that `line` is a refusal for `reason`.
pub(crate) fn refused(line: &Value, reason: Reason) -> Result<()> {
    ensure!(line["reason"] == reason.code(), "expected {reason}: {line}");
    ensure!(line["outcome"] == reason.kind().name() && line.get("address").is_none(), "{line}");
    Ok(())
}

/// Checks that `line` is a tunnel to `address`.
pub(crate) fn opened(line: &Value, address: &str) -> Result<()> {
    let dialled: SocketAddr =
        line["address"].as_str().with_context(|| line.to_string())?.parse()?;
    ensure!(dialled.ip().to_string() == address, "{line}");
    Ok(())
}

/// A list of these hosts, each with these pins.
fn pinned(hosts: &[String], port: u16, pins: &str) -> String {
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    document(&hosts, port).replace("[\"127.0.0.1\"]", pins)
}

/// Checks that every address is refused, whatever is pinned, and that nothing comes of it. The rows are a
/// class and its addresses; each address is what one host of its own resolves to.
fn all_refused(rows: &[(&'static str, &'static str)], pins: &str) -> Result<()> {
    let stage = Stage::open()?;
    let addresses = |(class, addresses): &(&'static str, &'static str)| {
        addresses.split_whitespace().map(|address| (*class, address)).collect::<Vec<_>>()
    };
    let rows: Vec<_> = rows.iter().flat_map(addresses).collect();
    let host = |number: usize| format!("h{number}.example.com");
    for (number, (_, address)) in rows.iter().enumerate() {
        stage.dns.answer(&host(number), Answer::Addresses(vec![address.parse()?]));
    }
    let hosts: Vec<String> = (0..rows.len()).map(host).collect();
    stage.enforce(&pinned(&hosts, stage.origin.port, pins))?;
    for (host, (class, address)) in hosts.iter().zip(&rows) {
        let line = ask(&stage, host)?;
        refused(&line, Reason::AddressForbidden).with_context(|| (*address).to_owned())?;
        let [rejected] = line["rejected"].as_array().context("addresses")?.as_slice() else {
            anyhow::bail!("{line}");
        };
        let shown: IpAddr = rejected["address"].as_str().context("an address")?.parse()?;
        ensure!(shown == address.parse::<IpAddr>()? && rejected["class"] == *class, "{line}");
        // Not even tried: there is no time of a connection.
        ensure!(line["ms"].get("connect").is_none() && line["ms"]["resolve"].is_f64(), "{line}");
    }
    let count = format!("ringfence_connections_total{{outcome=\"{}\"}}", Reason::AddressForbidden);
    ensure!(stage.proxy.metric(&count)? == hosts.len() as u64);
    ensure!(stage.origin.connections() == 0, "something was dialled");
    Ok(())
}

/// D01
#[test]
fn a_special_ipv4_address_is_refused() -> Result<()> {
    all_refused(
        &[
            ("loopback", "127.0.0.1 127.255.255.254"),
            (
                "private",
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255",
            ),
            ("link_local", "169.254.0.1 169.254.255.255"),
            ("unspecified", "0.0.0.0 0.1.2.3"),
            ("multicast", "224.0.0.1 239.255.255.255"),
            (
                "reserved",
                "192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 \
                 255.255.255.255",
            ),
        ],
        "[]",
    )
}

/// D02
#[test]
fn a_platform_address_is_refused_under_the_widest_pins() -> Result<()> {
    let platform =
        "168.63.129.16 169.254.169.254 169.254.170.2 100.100.100.200 fd00:ec2::254 192.0.0.192";
    all_refused(
        &[("platform", platform)],
        "[\"10.0.0.0/8\", \"100.64.0.0/10\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"fc00::/7\"]",
    )
}

/// D03
#[test]
fn a_special_ipv6_address_is_refused() -> Result<()> {
    all_refused(
        &[
            ("loopback", "::1"),
            ("unspecified", "::"),
            ("private", "fc00::1 fdff::1"),
            ("link_local", "fe80::1 fec0::1"),
            ("multicast", "ff02::1"),
            ("reserved", "2001:db8::1 100::1 3fff::1 5f00::1 4000::1"),
        ],
        "[]",
    )
}

/// D04: and a pin on the IPv4 address admits none of its IPv6 spellings.
#[test]
fn an_ipv4_address_in_an_ipv6_one_is_refused_and_shown() -> Result<()> {
    all_refused(
        &[(
            "translated",
            "::ffff:10.0.0.1 ::10.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::a00:1 2002:a00:1:: \
             2001:0:1:2:3:4:f5ff:fffe 2603:1030::5efe:10.0.0.1 fd00::5efe:10.0.0.1",
        )],
        "[\"10.0.0.0/8\", \"fd00::/8\", \"127.0.0.0/8\"]",
    )?;

    let stage = Stage::open()?;
    stage.dns.answer(HOST, Answer::Addresses(vec!["2002:a00:1::".parse()?]));
    let line = ask(&stage, HOST)?;
    let embedded = &line["rejected"][0]["embedded"];
    ensure!(embedded["address"] == "10.0.0.1" && embedded["class"] == "private", "{line}");
    Ok(())
}

/// A network with a liar for a name server, origins that count, and the proxy in the gate.
struct Away {
    proxy: Ringfence,
    network: Network,
}

impl Away {
    /// None where the machine can't: that has been said.
    fn open(
        list: &str,
        settings: &str,
        answer: impl Fn(&Question) -> Vec<Say> + Send + Sync + 'static,
    ) -> Result<Option<Self>> {
        let Some(network) = Network::open(&[])? else {
            return Ok(None);
        };
        Self::within(network, address::GATE, list, settings, answer).map(Some)
    }

    fn within(
        network: Network,
        listen: &str,
        list: &str,
        settings: &str,
        answer: impl Fn(&Question) -> Vec<Say> + Send + Sync + 'static,
    ) -> Result<Self> {
        let liar = Liar::inside(&network.world, &format!("{}:53", address::DNS), answer)?;
        network.write("allowlist.toml", list)?;
        let resolver = liar.address;
        let config =
            format!("allowlist = [\"allowlist.toml\"]\nresolver = [\"{resolver}\"]\n{settings}");
        let config = network.write("ringfence.toml", &config)?;
        let arguments = ["--config".as_ref(), config.as_os_str()];
        let proxy =
            Ringfence::inside(env!("CARGO_BIN_EXE_ringfence"), &network.gate, listen, arguments)?;
        Ok(Self { proxy, network })
    }

    /// An origin at this address of the world.
    fn origin(&self, address: &str) -> Result<Origin> {
        let address: SocketAddr = address.parse()?;
        Origin::on(self.network.world.enter(|| TcpListener::bind(address))??)
    }

    fn client(&self) -> Result<Client> {
        let gate = SocketAddr::new(address::GATE.parse()?, self.proxy.listen().port());
        self.network.client.enter(|| Client::connect(gate))?
    }

    fn ask(&self, host: &str, port: u16) -> Result<Value> {
        ask_of(&self.proxy, self.client()?, host, port)
    }
}

const PLAIN: &str = "schema = 1\n\
    [[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"other\"\nwhy = \"test\"\n\
    [[entry]]\nhost = \"contoso.eastus.data.azurecr.io\"\nrole = \"other\"\nwhy = \"test\"\n";

/// D05
#[test]
fn a_nat64_address_of_a_public_host_is_reached_where_nat64_is_on() -> Result<()> {
    let synthesised = |question: &Question| {
        let private = Data::address("64:ff9b::10.20.0.6");
        question.answered_from(&[(HOST, Data::address("64:ff9b::20.62.128.10")), (DATA, private)])
    };
    for nat64 in [false, true] {
        let settings = format!("[dns]\nnat64 = {nat64}\n");
        let Some(away) = Away::open(PLAIN, &settings, synthesised)? else {
            return Ok(());
        };
        let Network { gate, world, .. } = &away.network;
        // The world is the translator, and the host behind it.
        world.ip(&["-6", "address", "add", "64:ff9b::143e:800a/128", "dev", "lo", "nodad"])?;
        world.ip(&["-6", "address", "add", "2603:1030::1/64", "dev", "gate", "nodad"])?;
        gate.ip(&["-6", "address", "add", "2603:1030::2/64", "dev", "world", "nodad"])?;
        gate.ip(&["-6", "route", "add", "64:ff9b::/96", "via", "2603:1030::1"])?;
        let origin = away.origin("[64:ff9b::143e:800a]:443")?;
        let line = away.ask(HOST, 443)?;
        if nat64 {
            opened(&line, "64:ff9b::143e:800a")?;
        } else {
            refused(&line, Reason::Nat64Disabled)?;
            ensure!(line["rejected"][0]["embedded"]["address"] == "20.62.128.10", "{line}");
        }
        ensure!(origin.connections() == usize::from(nat64));
        // What is private behind the translator is private in front of it.
        refused(&away.ask(DATA, 443)?, Reason::AddressForbidden)?;
    }
    Ok(())
}

/// D06
#[test]
fn a_private_endpoint_belongs_to_its_host_alone() -> Result<()> {
    let list = PLAIN.replacen(
        "why = \"test\"\n",
        "why = \"test\"\naddresses = [\"10.20.0.0/28\"]\n",
        1,
    ) + "[[entry]]\nhost = \"moved.azurecr.io\"\nrole = \"other\"\nwhy = \"test\"\naddresses = [\"10.20.0.0/28\"]\n";
    let answer = |question: &Question| {
        let private = || Data::address(address::PRIVATE);
        let elsewhere = Data::address("10.9.9.9");
        question.answered_from(&[
            (HOST, private()),
            (DATA, private()),
            ("moved.azurecr.io", elsewhere),
        ])
    };
    let Some(away) = Away::open(&list, "", answer)? else {
        return Ok(());
    };
    let origin = away.origin("10.20.0.6:443")?;
    opened(&away.ask(HOST, 443)?, address::PRIVATE)?;
    ensure!(origin.connections() == 1);
    refused(&away.ask(DATA, 443)?, Reason::AddressForbidden)?;
    refused(&away.ask("moved.azurecr.io", 443)?, Reason::AddressForbidden)?;
    ensure!(origin.connections() == 1, "a pin was lent to another host");
    Ok(())
}

/// D07
#[test]
fn one_bad_address_spoils_the_answer() -> Result<()> {
    let answer = |question: &Question| {
        let public = Data::address(address::LOGIN);
        question.answered_from(&[(HOST, public), (HOST, Data::address("127.0.0.1"))])
    };
    let Some(away) = Away::open(PLAIN, "", answer)? else {
        return Ok(());
    };
    let public = away.origin(&format!("{}:443", address::LOGIN))?;
    let inside = away.network.gate.enter(|| TcpListener::bind("127.0.0.1:443"))??;
    let inside = Origin::on(inside)?;
    let line = away.ask(HOST, 443)?;
    refused(&line, Reason::AddressForbidden)?;
    ensure!(line["rejected"][0]["address"] == "127.0.0.1", "{line}");
    ensure!(public.connections() == 0 && inside.connections() == 0, "one of them was dialled");
    Ok(())
}

/// D08
#[test]
fn an_answer_that_changes_is_used_once_and_only_as_it_was_vetted() -> Result<()> {
    let stage = Stage::open()?;
    let second = "127.0.0.2".parse()?;
    let rebound = Origin::on(TcpListener::bind((second, stage.origin.port))?)?;
    stage.dns.answer(HOST, Answer::Flipping(LOOPBACK, second));
    drop(stage.tunnel(HOST)?);
    opened(&stage.proxy.logged(|line| line["host"] == HOST)?, "127.0.0.1")?;
    ensure!(stage.dns.asked().len() == 1, "one attempt asked {:?}", stage.dns.asked());
    ensure!(stage.origin.connections() == 1);
    refused(&ask(&stage, HOST)?, Reason::AddressForbidden)?;
    ensure!(stage.dns.asked().len() == 2 && rebound.connections() == 0);
    Ok(())
}

/// D09: an address that comes a little later is vetted like the first, and one that comes too late is
/// neither vetted nor dialled.
#[test]
fn a_late_address_is_vetted_or_not_used() -> Result<()> {
    let (release, held) = mpsc::channel::<()>();
    let (ready, soon) = mpsc::channel();
    let [held, soon] = [held, soon].map(Mutex::new);
    let liar = Liar::start(move |question| {
        let waited = match (question.name.as_str(), question.kind) {
            (DATA, AAAA) => lock(&held).recv_timeout(PATIENCE).is_ok(),
            // The two answers go out together, and this one is not the later one.
            (HOST, AAAA) => ready.send(()).is_ok(),
            (HOST, A) => lock(&soon).recv_timeout(PATIENCE).is_ok(),
            _ => true,
        };
        assert!(waited, "nobody came");
        question.answered_from(&[
            (HOST, Data::address("127.0.0.1")),
            (HOST, Data::address("::1")),
            (DATA, Data::address("127.0.0.1")),
            (DATA, Data::address("::1")),
        ])
    })?;
    let stage = Stage::asking(liar.address, "")?;
    let v6 = Origin::on(TcpListener::bind(("::1", stage.origin.port))?)?;
    let line = ask(&stage, HOST)?;
    refused(&line, Reason::AddressForbidden)?;
    ensure!(line["rejected"][0]["address"] == "::1", "{line}");
    let tunnel = stage.tunnel(DATA)?;
    release.send(())?;
    stage.until(|| Ok(liar.count(DATA, AAAA) == 1))?;
    drop(tunnel);
    opened(&stage.proxy.logged(|line| line["host"] == DATA)?, "127.0.0.1")?;
    ensure!(v6.connections() == 0, "an address was dialled that no pin admits");
    Ok(())
}

/// A chain of this many aliases from `HOST`, and an address at its end.
fn chain(links: usize, end: &str) -> Vec<(String, Data)> {
    let name = |i: usize| if i == 0 { HOST.to_owned() } else { format!("n{i}.example.net") };
    let links_of = (0..links).map(|i| (name(i), Data::alias(&name(i + 1))));
    links_of.chain([(name(links), Data::address(end))]).collect()
}

fn borrowed(zone: &[(String, Data)]) -> Vec<(&str, Data)> {
    zone.iter().map(|(owner, data)| (owner.as_str(), data.clone())).collect()
}

/// D10
#[test]
fn aliases_are_followed_a_little_way_and_shown() -> Result<()> {
    let alias = |target: &str| vec![(HOST.to_owned(), Data::alias(target))];
    let at = |owner: &str, address: &str| vec![(owner.to_owned(), Data::address(address))];
    let storage = "exfil.blob.core.windows.net";
    let rows = [
        (chain(8, "127.0.0.1"), Ok("n8.example.net")),
        (chain(9, "127.0.0.1"), Err(Reason::DnsFailed)),
        (chain(20, "127.0.0.1"), Err(Reason::DnsFailed)),
        (chain(2, "10.0.0.1"), Err(Reason::AddressForbidden)),
        // An alias is no more trusted, and no less, than an address: the TLS name is still ours.
        ([alias(storage), at(storage, "127.0.0.1")].concat(), Ok(storage)),
        ([alias(storage), at(storage, "10.0.0.1")].concat(), Err(Reason::AddressForbidden)),
    ];
    for (zone, expected) in rows {
        let shown = format!("{zone:?}");
        let liar = Liar::start(move |question| question.answered_from(&borrowed(&zone)))?;
        let stage = Stage::asking(liar.address, "")?;
        let line = ask(&stage, HOST).with_context(|| shown.clone())?;
        match expected {
            Ok(canonical) => {
                opened(&line, "127.0.0.1").with_context(|| shown.clone())?;
                ensure!(line["canonical"] == canonical, "{shown}: {line}");
            }
            Err(reason) => {
                refused(&line, reason).with_context(|| shown.clone())?;
                ensure!(stage.origin.connections() == 0);
            }
        }
    }
    Ok(())
}

/// D10: a server that answers with one alias at a time, without end or in a circle, is asked a few times.
#[test]
fn an_endless_chain_ends() -> Result<()> {
    for circle in [true, false] {
        let count = AtomicUsize::new(0);
        let liar = Liar::start(move |question| {
            let next = if circle {
                if question.name == HOST { DATA.to_owned() } else { HOST.to_owned() }
            } else {
                format!("n{}.example.net", count.fetch_add(1, Ordering::Relaxed))
            };
            vec![question.reply().answer(&question.name, &Data::Alias(next)).say()]
        })?;
        let stage = Stage::asking(liar.address, "")?;
        let line = ask(&stage, HOST)?;
        ensure!(
            [Reason::DnsFailed.code(), Reason::DnsNotFound.code()]
                .map(Value::from)
                .contains(&line["reason"]),
            "{line}"
        );
        ensure!(liar.asked().len() <= 2 * 8, "{} questions", liar.asked().len());
    }
    Ok(())
}

/// D10: two names that are aliases of one, told one link at a time, don't get in each other's way.
#[test]
fn an_alias_that_is_known_from_another_name_still_answers() -> Result<()> {
    let liar = Liar::start(|question| match question.name.as_str() {
        HOST | DATA => {
            vec![question.reply().answer(&question.name, &Data::alias("shared.example.net")).say()]
        }
        _ => question.answered_from(&[("shared.example.net", Data::address("127.0.0.1"))]),
    })?;
    let stage = Stage::asking(liar.address, "workers = 1\n")?;
    for host in [HOST, DATA, HOST] {
        let line = ask(&stage, host)?;
        opened(&line, "127.0.0.1")?;
        ensure!(line["canonical"] == "shared.example.net", "{line}");
    }
    Ok(())
}

/// D11: what isn't the answer to our question, from where we asked, is none.
#[test]
fn forged_answers_are_ignored() -> Result<()> {
    // Each liar says the forgery first, which would lead to 127.0.0.2, and then the truth.
    type Forge = fn(&Question, Message) -> Say;
    let rows: [(&str, Forge); 7] = [
        ("wrong id", |question, mut message| {
            message.id = [message.id[0] ^ 1, message.id[1]];
            message.answer(&question.name, &Data::address("127.0.0.2")).say()
        }),
        ("another source", |question, message| {
            Say::FromElsewhere(message.answer(&question.name, &Data::address("127.0.0.2")).bytes())
        }),
        ("another question", |_, mut message| {
            let end = message.question.len() - 4;
            message.question = [b"\x04evil\x07example\0", &message.question[end..]].concat();
            message.answer("evil.example", &Data::address("127.0.0.2")).say()
        }),
        ("too short for an id", |_, _| Say::Bytes(vec![0])),
        ("nothing at all", |_, _| Say::Bytes(vec![])),
        ("another owner beside the truth", |question, message| {
            let message = message.answer("other.example.net", &Data::address("127.0.0.2"));
            message.answer(&question.name, &Data::address("127.0.0.1")).say()
        }),
        ("in the other sections beside the truth", |question, message| {
            let message = message.answer(&question.name, &Data::address("127.0.0.1"));
            let message = message.additional(&question.name, &Data::address("127.0.0.2"));
            message.authority(&question.name, &Data::address("127.0.0.2")).say()
        }),
    ];
    for (what, forge) in rows {
        let liar = Liar::start(move |question| {
            let truth = question.answered_from(&[(HOST, Data::address("127.0.0.1"))]);
            let forgery = (question.kind == A).then(|| forge(question, question.reply()));
            forgery.into_iter().chain(truth).collect()
        })?;
        let stage = Stage::asking(liar.address, "")?;
        let rebound = Origin::on(TcpListener::bind(("127.0.0.2", stage.origin.port))?)?;
        // Both would be admitted; only one was answered.
        stage.enforce(&pinned(&[HOST.to_owned()], stage.origin.port, "[\"127.0.0.0/28\"]"))?;
        opened(&ask(&stage, HOST)?, "127.0.0.1").context(what)?;
        ensure!(rebound.connections() == 0, "{what}");
    }
    // Alone, they are no answer either.
    let beside: [(&str, Forge); 3] = [
        ("another owner", |_, message| {
            message.answer("other.example.net", &Data::address("127.0.0.1")).say()
        }),
        ("additional", |question, message| {
            message.additional(&question.name, &Data::address("127.0.0.1")).say()
        }),
        ("additional, after an alias", |question, message| match question.name.as_str() {
            HOST => message.answer(HOST, &Data::alias("n1.example.net")).say(),
            name => message.additional(name, &Data::address("127.0.0.1")).say(),
        }),
    ];
    for (what, forge) in beside {
        let liar = Liar::start(move |question| vec![forge(question, question.reply())])?;
        let stage = Stage::asking(liar.address, "")?;
        refused(&ask(&stage, HOST)?, Reason::DnsNotFound).context(what)?;
        ensure!(stage.origin.connections() == 0, "{what}");
    }
    Ok(())
}

/// D11: what doesn't fit is asked for again over TCP, and the part that did fit is not believed.
#[test]
fn a_truncated_answer_is_fetched_over_tcp() -> Result<()> {
    let liar = Liar::start(|question| {
        let truth = question.answered_from(&[(HOST, Data::address("127.0.0.1"))]);
        if question.over_tcp {
            return truth;
        }
        let poisoned = question.reply().answer(HOST, &Data::address("127.0.0.2"));
        vec![poisoned.truncated().say()]
    })?;
    let stage = Stage::asking(liar.address, "")?;
    stage.enforce(&pinned(&[HOST.to_owned()], stage.origin.port, "[\"127.0.0.0/28\"]"))?;
    opened(&ask(&stage, HOST)?, "127.0.0.1")?;
    ensure!(liar.asked().iter().any(|asked| asked.over_tcp && asked.kind == A));

    // Truncated over TCP, too: then there is no answer.
    let liar = Liar::start(|question| {
        let part = question.reply().answer(HOST, &Data::address("127.0.0.1"));
        vec![part.truncated().say()]
    })?;
    let stage = Stage::asking(liar.address, "[timeouts]\nresolve = \"1s\"\n")?;
    let line = ask(&stage, HOST)?;
    ensure!(line["outcome"] == "failed" && line["reason"] == Reason::DnsFailed.code(), "{line}");
    ensure!(stage.origin.connections() == 0);
    Ok(())
}

/// D12: an answer of a thousand addresses costs sixteen attempts, or sixteen of them in the log.
#[test]
fn a_thousand_addresses_are_as_good_as_a_few() -> Result<()> {
    let liar = Liar::start(|question| {
        let (block, end) =
            if question.name == HOST { ("127.1", "127.0.0.1") } else { ("10.1", "10.0.0.1") };
        let address = |i: usize| Data::address(&format!("{block}.{}.{}", i / 250, i % 250 + 1));
        let all = (0..1000).map(address).chain([Data::address(end)]);
        match (question.kind, question.over_tcp) {
            (A, true) => {
                vec![all.fold(question.reply(), |m, data| m.answer(&question.name, &data)).say()]
            }
            (A, false) => vec![question.reply().truncated().say()],
            _ => vec![question.reply().say()],
        }
    })?;
    let stage = Stage::asking(liar.address, "")?;
    let hosts = [HOST, DATA].map(str::to_owned);
    stage.enforce(&pinned(&hosts, stage.origin.port, "[\"127.0.0.0/8\"]"))?;
    // Nobody is at the first thousand, and the last is not tried any more.
    refused(&ask(&stage, HOST)?, Reason::ConnectRefused)?;
    ensure!(stage.origin.connections() == 0);
    let line = ask(&stage, DATA)?;
    refused(&line, Reason::AddressForbidden)?;
    ensure!(line["rejected"].as_array().is_some_and(|rejected| rejected.len() == 16), "{line}");
    Ok(())
}

/// D12
#[test]
fn malformed_answers_are_an_error_and_no_more() -> Result<()> {
    type Break = fn(&Question) -> Vec<u8>;
    let rows: [(&str, Break); 9] = [
        ("a pointer to itself", |question| {
            let at = u16::try_from(12 + question.reply().question.len()).unwrap_or(0) | 0xc000;
            question.reply().raw(0, at.to_be_bytes().to_vec()).bytes()
        }),
        ("two pointers to each other", |question| {
            let at = u16::try_from(12 + question.reply().question.len()).unwrap_or(0) | 0xc000;
            let (one, other) = (at.to_be_bytes(), (at + 2).to_be_bytes());
            question.reply().raw(0, [other, one].concat()).bytes()
        }),
        ("RDATA beyond the end", |question| {
            let mut record = record(HOST, &Data::address("127.0.0.1"), 60);
            let length = record.len() - 6;
            record[length] = 0xff;
            question.reply().raw(0, record).bytes()
        }),
        ("an address of five bytes", |question| {
            let mut record = record(HOST, &Data::address("127.0.0.1"), 60);
            let length = record.len() - 5;
            record[length] = 5;
            record.push(0);
            question.reply().raw(0, record).bytes()
        }),
        ("a label of 64", |question| {
            let label = [&[64][..], &[b'a'; 64], &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
            question.reply().raw(0, label).bytes()
        }),
        ("a name of 500", |question| {
            let name = [&[63][..], &[b'a'; 63]].concat().repeat(8);
            question
                .reply()
                .raw(0, [&name[..], &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]].concat())
                .bytes()
        }),
        ("counts without records", |question| {
            let mut bytes = question.reply().bytes();
            bytes[6..12].fill(0xff);
            bytes
        }),
        ("a header alone", |question| question.reply().bytes()[..12].to_vec()),
        ("half a header", |question| question.reply().bytes()[..6].to_vec()),
    ];
    for (what, broken) in rows {
        let liar = Liar::start(move |question| vec![Say::Bytes(broken(question))])?;
        let stage = Stage::asking(liar.address, "[timeouts]\nresolve = \"700ms\"\n")?;
        let line = ask(&stage, HOST).context(what)?;
        let expected = [Reason::DnsFailed, Reason::DnsTimeout].map(Reason::code);
        ensure!(expected.map(Value::from).contains(&line["reason"]), "{what}: {line}");
        ensure!(stage.origin.connections() == 0, "{what}");
        ensure!(stage.proxy.metric("ringfence_panics_total")? == 0, "{what}");
    }
    // Every bit of a good answer turned once: none of them ends the proxy, and none leads elsewhere.
    let turn = Arc::new(AtomicUsize::new(0));
    let liar = Liar::start({
        let turn = Arc::clone(&turn);
        move |question| {
            let mut bytes = question.reply().answer(HOST, &Data::address("127.0.0.1")).bytes();
            let at = turn.load(Ordering::Relaxed) % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            vec![Say::Bytes(bytes)]
        }
    })?;
    let stage =
        Stage::asking(liar.address, "[timeouts]\nresolve = \"30ms\"\nconnect = \"30ms\"\n")?;
    for bit in 0..600 {
        turn.store(bit, Ordering::Relaxed);
        let line = ask(&stage, HOST)?;
        if line.get("address").is_some() {
            opened(&line, "127.0.0.1")?;
        }
    }
    ensure!(stage.proxy.metric("ringfence_panics_total")? == 0);
    Ok(())
}

/// D13: no SVCB, no HTTPS, nothing but addresses.
#[test]
fn nothing_but_addresses_is_ever_asked_for() -> Result<()> {
    let liar = Liar::start(|question| question.answered_from(&borrowed(&chain(3, "127.0.0.1"))))?;
    let stage = Stage::asking(liar.address, "")?;
    opened(&ask(&stage, HOST)?, "127.0.0.1")?;
    refused(&ask(&stage, DATA)?, Reason::DnsNotFound)?;
    let asked = liar.asked();
    ensure!(asked.iter().all(|question| [A, AAAA].contains(&question.kind)), "{asked:?}");
    Ok(())
}

/// D15 and D16: a denied name, a resolver's too, is a name that nobody hears of.
#[test]
fn a_denied_name_causes_no_packet_at_the_resolver() -> Result<()> {
    let liar =
        Liar::start(|question| question.answered_from(&[(HOST, Data::address("127.0.0.1"))]))?;
    let stage = Stage::asking(liar.address, "")?;
    let resolvers = [
        "dns.google:443",
        "cloudflare-dns.com:443",
        "mozilla.cloudflare-dns.com:443",
        "dns.quad9.net:443",
        "one.one.one.one:853",
        "dns.google:853",
    ];
    let leaks = [
        "c2VjcmV0.exfil.example.com:443",
        "c2VjcmV0.contoso.azurecr.io:443",
        "contoso.westus.data.azurecr.io:443",
        "c2VjcmV0.blob.core.windows.net:443",
    ];
    for target in resolvers.iter().chain(&leaks) {
        let (host, port) = target.split_once(':').context("a port")?;
        let line = ask_of(&stage.proxy, stage.client()?, host, port.parse()?)?;
        let storage = host.ends_with("windows.net");
        let reason = if storage { Reason::StorageForbidden } else { Reason::NotInPolicy };
        refused(&line, reason)?;
        ensure!(line["ms"].get("resolve").is_none(), "{line}");
    }
    ensure!(liar.asked().is_empty(), "{:?}", liar.asked());
    // A packet would have been seen.
    opened(&ask(&stage, HOST)?, "127.0.0.1")?;
    ensure!(liar.asked().iter().all(|question| question.name == HOST));
    Ok(())
}

/// D17: neither a search domain of `/etc/resolv.conf` nor `/etc/hosts` can answer.
#[test]
fn names_are_absolute_and_the_hosts_file_is_not_read() -> Result<()> {
    let Some(network) = Network::open(&["unshare", "mount", "sh"])? else {
        return Ok(());
    };
    // The host's name exists only below the search domain, where every name does.
    let answer = |question: &Question| match question.name.strip_suffix(".search.example") {
        Some(_) => {
            vec![question.reply().answer(&question.name, &Data::address(address::STRANGER)).say()]
        }
        None => vec![question.reply().code(3).say()],
    };
    let liar = Liar::inside(&network.world, &format!("{}:53", address::DNS), answer)?;
    let resolv = format!("nameserver {}\nsearch search.example\noptions ndots:5\n", address::DNS);
    let resolv = network.write("resolv.conf", &resolv)?;
    let hosts = network.write("hosts", &format!("{} {HOST}\n", address::STRANGER))?;
    let list = network.write("allowlist.toml", PLAIN)?;
    // Both files in a mount namespace of the proxy's own.
    let script = format!(
        "#!/bin/sh\nexec unshare --mount --propagation private sh -c \
         'mount --bind {} /etc/resolv.conf && mount --bind {} /etc/hosts && exec {} \"$@\"' ringfence \"$@\"\n",
        resolv.display(),
        hosts.display(),
        env!("CARGO_BIN_EXE_ringfence"),
    );
    let script = executable(&network.path("ringfence.sh"), &script)?;
    let arguments = ["--allowlist".as_ref(), list.as_os_str()];
    let proxy = Ringfence::at_gate(&script, &network, arguments)?;
    let listener = network.world.enter(|| TcpListener::bind((address::STRANGER, 443)))??;
    let stranger = Origin::on(listener)?;
    let listen = proxy.listen();
    for host in [HOST, DATA] {
        let client = network.client.enter(|| Client::connect(listen))??;
        refused(&ask_of(&proxy, client, host, 443)?, Reason::DnsNotFound)?;
    }
    let asked = liar.asked();
    ensure!(asked.iter().any(|question| question.name == HOST), "{asked:?}");
    ensure!(asked.iter().all(|question| !question.name.ends_with(".example")), "{asked:?}");
    ensure!(stranger.connections() == 0);
    Ok(())
}

/// Writes a program.
pub(crate) fn executable(path: &Path, script: &str) -> Result<String> {
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

/// D18: our own listeners, even under a pin.
#[test]
fn our_own_listeners_are_never_dialled() -> Result<()> {
    let stage = Stage::open()?;
    let admin = stage.proxy.admin_address().port();
    for port in [stage.proxy.listen().port(), admin] {
        stage.enforce(&document(&[HOST], port))?;
        let open = stage.proxy.metric("ringfence_connections_open")?;
        let line = ask_of(&stage.proxy, stage.client()?, HOST, port)?;
        refused(&line, Reason::SelfConnect)?;
        ensure!(line["ms"].get("resolve").is_some(), "{line}");
        ensure!(open <= 1, "{open} connections: the proxy has called itself");
    }
    // Nobody but our clients has come.
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 0))?;
    ensure!(stage.proxy.log()?.len() == 2, "{:?}", stage.proxy.log()?);
    Ok(())
}

/// D18: a wildcard listener has every address of the machine, and what comes back to the machine by an
/// address that nobody pinned is let go of before a byte is sent.
#[test]
fn an_address_of_this_machine_is_not_a_host() -> Result<()> {
    const OUTER: &str = "20.62.128.2";
    let Some(network) = Network::open(&[])? else {
        return Ok(());
    };
    let answer = |question: &Question| {
        let zone = [(HOST, Data::address(OUTER)), (DATA, Data::address(address::GATE))];
        question.answered_from(&zone)
    };
    let list =
        PLAIN.replace("why = \"test\"\n", "why = \"test\"\naddresses = [\"10.99.0.0/30\"]\n");
    let away = Away::within(network, "0.0.0.0", &list, "", answer)?;
    // The list is enforced once the port is known.
    let own = away.proxy.listen().port();
    let both = list.replace("role =", &format!("ports = [443, {own}]\nrole ="));
    away.network.write("allowlist.new", &both)?;
    fs::rename(away.network.path("allowlist.new"), away.network.path("allowlist.toml"))?;
    away.proxy.stderr().wait_for_line(|line| line.contains("generation 2"))?;

    let neighbour = away.network.gate.enter(|| TcpListener::bind("0.0.0.0:443"))??;
    let neighbour = Origin::on(neighbour)?;
    for host in [HOST, DATA] {
        let line = away.ask(host, own)?;
        refused(&line, Reason::SelfConnect)?;
        ensure!(line["ms"].get("connect").is_none(), "{line}");
    }
    ensure!(neighbour.connections() == 0);
    // Another listener of this machine, by its public address: seen once connected.
    let line = away.ask(HOST, 443)?;
    refused(&line, Reason::SelfConnect)?;
    ensure!(line["ms"].get("connect").is_some() && neighbour.arrived().is_empty(), "{line}");
    // Pinned, it is meant: a registry may well run beside the proxy.
    opened(&away.ask(DATA, 443)?, address::GATE)?;
    Ok(())
}

/// D19: packets to the IPv6 address vanish, and then there is no way at all.
#[test]
fn a_dead_family_costs_a_quarter_of_a_second() -> Result<()> {
    const DEAD: &str = "2603:1030::10";
    let answer = |question: &Question| {
        let zone = [
            (HOST, Data::address(DEAD)),
            (HOST, Data::address(address::LOGIN)),
            (DATA, Data::address(DEAD)),
        ];
        question.answered_from(&zone)
    };
    let Some(away) = Away::open(PLAIN, "[timeouts]\nconnect = \"1s\"\n", answer)? else {
        return Ok(());
    };
    let origin = away.origin(&format!("{}:443", address::LOGIN))?;
    // Without a route, at once.
    let line = away.ask(HOST, 443)?;
    opened(&line, address::LOGIN)?;
    ensure!(line["ms"]["connect"].as_f64() < Some(250.0), "{line}");
    refused(&away.ask(DATA, 443)?, Reason::ConnectFailed)?;
    // A neighbour that has gone: packets leave and nobody takes them.
    let gate = &away.network.gate;
    gate.ip(&["-6", "address", "add", "2603:1030::2/64", "dev", "world", "nodad"])?;
    let nobody = ["lladdr", "02:00:00:00:00:01", "dev", "world", "nud", "permanent"];
    gate.ip(&[&["-6", "neighbour", "add", DEAD][..], &nobody].concat())?;
    let line = away.ask(HOST, 443)?;
    opened(&line, address::LOGIN)?;
    let took = line["ms"]["connect"].as_f64().unwrap_or_default();
    ensure!((240.0..750.0).contains(&took), "{line}");
    ensure!(origin.connections() == 2);
    let line = away.ask(DATA, 443)?;
    refused(&line, Reason::ConnectTimeout)?;
    let took = line["ms"]["connect"].as_f64().unwrap_or_default();
    ensure!((990.0..2500.0).contains(&took), "the budget: {line}");
    Ok(())
}

/// D20 (that each failure has its code is in `refusals.rs`): that a name isn't there is believed for a few seconds, trouble is not believed at all, and an
/// answer is not used beyond its time, not even if nobody answers any more.
#[test]
fn nothing_is_remembered_for_long() -> Result<()> {
    let stage = Stage::with_settings("workers = 1\n[timeouts]\nresolve = \"300ms\"\n")?;
    stage.dns.answer(HOST, Answer::ServFail);
    refused(&ask(&stage, HOST)?, Reason::DnsFailed)?;
    stage.dns.answer(HOST, Answer::Addresses(vec![LOOPBACK]));
    opened(&ask(&stage, HOST)?, "127.0.0.1")?;

    stage.dns.answer(DATA, Answer::NxDomain);
    refused(&ask(&stage, DATA)?, Reason::DnsNotFound)?;
    let since = Instant::now();
    stage.dns.answer(DATA, Answer::Addresses(vec![LOOPBACK]));
    refused(&ask(&stage, DATA)?, Reason::DnsNotFound)?;
    stage.until(|| {
        std::thread::sleep(MOMENT);
        Ok(ask(&stage, DATA)?.get("address").is_some())
    })?;
    ensure!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());

    let alive = Arc::new(AtomicUsize::new(1));
    let liar = Liar::start({
        let alive = Arc::clone(&alive);
        move |question| match alive.load(Ordering::Relaxed) {
            1 if question.kind == A => {
                vec![question.reply().brief(HOST, &Data::address("127.0.0.1"), 1).say()]
            }
            1 => vec![question.reply().say()],
            _ => vec![],
        }
    })?;
    let stage = Stage::asking(liar.address, "workers = 1\n[timeouts]\nresolve = \"300ms\"\n")?;
    opened(&ask(&stage, HOST)?, "127.0.0.1")?;
    alive.store(0, Ordering::Relaxed);
    stage.until(|| {
        std::thread::sleep(MOMENT);
        Ok(ask(&stage, HOST)?["reason"] == Reason::DnsTimeout.code())
    })
}

/// A name server that isn't there: the port is closed.
#[test]
fn a_dead_name_server_is_a_failure_in_time() -> Result<()> {
    let closed = std::net::UdpSocket::bind((LOOPBACK, 0))?.local_addr()?;
    let stage = Stage::asking(closed, "[timeouts]\nresolve = \"1s\"\n")?;
    let line = ask(&stage, HOST)?;
    ensure!(line["outcome"] == "failed", "{line}");
    ensure!(line["ms"]["resolve"].as_f64() < Some(3000.0), "{line}");
    Ok(())
}

/// A host that resets, and one whose packets vanish in the middle.
#[test]
fn a_host_that_breaks_off_ends_its_tunnel() -> Result<()> {
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let port = listener.local_addr()?.port();
    let stage = Stage::open()?;
    stage.enforce(&document(&[HOST], port))?;
    let mut client = stage.client()?;
    client.send(format!("CONNECT {HOST}:{port} HTTP/1.1\r\n\r\n").as_bytes())?;
    let (host, _) = listener.accept()?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    client.send(&hello(Some(HOST)))?;
    // Once the hello is there, a close without lingering is a reset.
    host.peek(&mut [0; 1])?;
    SockRef::from(&host).set_linger(Some(Duration::ZERO))?;
    drop(host);
    ensure!(client.ended()?);
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["end"] == "error", "{line}");

    let answer =
        |question: &Question| question.answered_from(&[(HOST, Data::address(address::LOGIN))]);
    let Some(away) = Away::open(PLAIN, "[timeouts]\nidle = \"500ms\"\n", answer)? else {
        return Ok(());
    };
    let origin = away.origin(&format!("{}:443", address::LOGIN))?;
    let mut client = away.client()?;
    client.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\n\r\n").as_bytes())?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    client.send(&hello(Some(HOST)))?;
    ensure!(client.receive(hello(Some(HOST)).len())? == origin.arrived());
    away.network.world.ip(&["link", "set", "gate", "down"])?;
    client.send(b"into the void")?;
    ensure!(client.ended()?);
    let line = away.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(["idle", "error"].map(Value::from).contains(&line["end"]), "{line}");
    Ok(())
}
