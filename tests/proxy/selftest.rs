//! `ringfence selftest`: our proxy holds everything, and the scorecard can tell one that doesn't.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{Finished, Namespace, PATIENCE, Program, Ringfence, Running, require};

use crate::stage::{Answer, DATA, EVERYTHING, HOST, LOOPBACK, Stage, document};

fn selftest(proxy: SocketAddr, port: u16) -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["selftest", &proxy.to_string(), "--format", "json"])
        .args(["--allowed", &format!("{HOST}:{port}"), "--also", &format!("{DATA}:{port}")])
}

fn scorecard(finished: &Finished) -> Result<Value> {
    serde_json::from_str(&finished.stdout).with_context(|| finished.to_string())
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((LOOPBACK, 0))?.local_addr()?.port())
}

/// Every name would lead to the far end, so a leak would be seen there.
#[test]
fn our_proxy_holds_and_looks_up_no_denied_name() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nhead = \"1s\"\nhello = \"1s\"\n")?;
    stage.dns.answer(EVERYTHING, Answer::Addresses(vec![LOOPBACK]));
    let port = free_port()?;
    stage.enforce(&document(&[HOST, DATA], port))?;
    let far_end = format!("127.0.0.1:{port}");
    let program = selftest(stage.proxy.listen(), port);
    let tested = program.args(["--far-end", &far_end, "--slow=10s"]).run()?.succeeded()?;
    let card = scorecard(&tested)?;
    ensure!(card["schema"] == 1 && card["far_end"] == true, "{card}");
    ensure!(card["held"] == card["total"] && card["left_out"] == serde_json::json!([]), "{card}");
    ensure!(stage.dns.asked().iter().all(|name| name == HOST), "{:?}", stage.dns.asked());
    Ok(())
}

#[test]
fn without_a_far_end_it_judges_by_what_comes_back() -> Result<()> {
    let stage = Stage::open()?;
    let tested = selftest(stage.proxy.listen(), stage.origin.port).run()?.succeeded()?;
    let card = scorecard(&tested)?;
    ensure!(card["far_end"] == false && card["held"] == card["total"], "{card}");
    let slow = card["left_out"].as_array().context("what is left out")?;
    ensure!(slow.iter().all(|case| case["needs"] == "--slow") && slow.len() == 2, "{card}");
    Ok(())
}

/// A proxy that says the same to everyone is found out, whatever it says.
#[test]
fn proxies_of_one_answer_do_not_hold() -> Result<()> {
    let rows = [
        ("HTTP/1.1 200 OK\r\n\r\n", "leaked", "broken"),
        ("HTTP/1.1 403 no\r\n\r\n", "held", "broken"),
        ("HTTP/1.1 503 no\r\n\r\n", "tried", "broken"),
        ("HTTP/1.1 407 who\r\n\r\n", "unclear", "broken"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "unclear", "broken"),
        ("", "held", "broken"),
    ];
    for (answer, stranger, control) in rows {
        let tested = selftest(proxy_of_one_answer(answer)?, 443).run()?;
        ensure!(tested.status.code() == Some(1), "{answer:?}: {tested}");
        let card = scorecard(&tested)?;
        let (attack, tunnel) =
            (verdict(&card, "H13", "authority")?, verdict(&card, "H05", "controls")?);
        ensure!(attack == stranger && tunnel == control, "{answer:?}: {card}");
    }
    Ok(())
}

/// Reads a head, says this, and closes.
fn proxy_of_one_answer(answer: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let address = listener.local_addr()?;
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut vec![0; 64 * 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(address)
}

/// Everything goes through a proxy that only connects, and the far end sees it.
#[test]
fn a_proxy_that_does_not_look_into_tunnels_is_found_out() -> Result<()> {
    let port = free_port()?;
    let far_end = SocketAddr::new(LOOPBACK, port);
    let program = selftest(open_relay(far_end)?, port);
    let tested = program.args(["--far-end", &far_end.to_string()]).run()?;
    ensure!(tested.status.code() == Some(1), "{tested}");
    let card = scorecard(&tested)?;
    for case in card["cases"].as_array().context("cases")? {
        let expected = match case["section"].as_str() {
            Some("controls") => "held",
            Some("tunnel") => "leaked",
            _ => continue,
        };
        ensure!(case["verdict"] == expected, "{case}");
    }
    ensure!(verdict(&card, "H13", "authority")? == "leaked", "{card}");
    ensure!(verdict(&card, "H01", "authority")? == "leaked", "{card}");
    ensure!(verdict(&card, "H02", "authority")? == "lax", "{card}");
    Ok(())
}

/// Says yes to every head, and connects to the same place.
fn open_relay(far_end: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let address = listener.local_addr()?;
    // It ends with the test's process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || relay(client, far_end));
        }
    });
    Ok(address)
}

#[expect(clippy::disallowed_methods, reason = "a test's proxy dials the test's far end")]
fn relay(mut client: TcpStream, far_end: SocketAddr) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let mut host = TcpStream::connect_timeout(&far_end, PATIENCE)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_client, mut to_host) = (client.try_clone()?, host.try_clone()?);
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_host);
        to_host.shutdown(Shutdown::Write)
    });
    let _ = std::io::copy(&mut host, &mut client);
    let _ = client.shutdown(Shutdown::Write);
    let _ = there.join();
    Ok(())
}

fn verdict<'a>(card: &'a Value, row: &str, section: &str) -> Result<&'a str> {
    let cases = card["cases"].as_array().context("cases")?;
    let case = cases.iter().find(|case| case["row"] == row && case["section"] == section);
    case.and_then(|case| case["verdict"].as_str()).with_context(|| format!("no {row}: {card}"))
}

#[test]
fn a_proxy_that_is_not_there_is_no_result() -> Result<()> {
    let nobody = SocketAddr::new(LOOPBACK, free_port()?);
    let tested = selftest(nobody, 443).run()?;
    ensure!(tested.status.code() == Some(2) && tested.stdout.is_empty(), "{tested}");
    ensure!(tested.stderr.contains(&format!("can't connect to the proxy at {nobody}")), "{tested}");
    let wrong = Program::new(env!("CARGO_BIN_EXE_ringfence"));
    let wrong = wrong.args(["selftest", &nobody.to_string(), "--allowed", "10.0.0.1"]).run()?;
    ensure!(wrong.status.code() == Some(2) && wrong.stderr.contains("host name"), "{wrong}");
    Ok(())
}

/// Three proxies with one list, each as strict as its settings go, where every name leads to the far end.
#[test]
fn the_documentation_compares_proxies_as_they_are() -> Result<()> {
    if !require(&["ip", "unshare", "mount", "dnsmasq", "squid", "tinyproxy"]) {
        return Ok(());
    }
    let street = Street::open()?;
    let ours = street.ringfence()?;
    let (squid, tinyproxy) = (street.squid()?, street.tinyproxy()?);
    let columns = [
        ("ringfence".to_owned(), street.judge(ours.listen())?),
        (version("squid", "-v", "Version ")?, street.judge(squid.address)?),
        (version("tinyproxy", "-v", "tinyproxy ")?, street.judge(tinyproxy.address)?),
    ];
    let [(_, ours), others @ ..] = &columns;
    ensure!(ours["held"] == ours["total"], "{ours}");
    let all = format!("all           {} of {} held\n", ours["held"], ours["total"]);
    ensure!(include_str!("../../README.md").contains(&all), "README.md should have: {all}");
    for (name, card) in others {
        // Their controls must work, or their refusals would say nothing.
        ensure!(verdict(card, "H05", "controls")? == "held", "{name}: {card}");
        ensure!(verdict(card, "T01", "tunnel")? == "leaked", "{name}: {card}");
        ensure!(verdict(card, "H13", "authority")? == "held", "{name}: {card}");
    }
    let tables = tables(&columns)?;
    let page = include_str!("../../docs/selftest.md");
    ensure!(page.ends_with(&tables), "docs/selftest.md should end with:\n{tables}");
    Ok(())
}

/// One table a section, with a column for each proxy.
fn tables(columns: &[(String, Value)]) -> Result<String> {
    let (_, first) = &columns[0];
    let list = |card: &Value, key: &str| card[key].as_array().cloned().context("a list");
    let mut text = String::new();
    for (at, score) in list(first, "sections")?.iter().enumerate() {
        let section = score["section"].as_str().context("a name")?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(" | ");
        writeln!(
            text,
            "\n## {section}\n\n| | | {names} |\n|---|---|{}",
            "---|".repeat(columns.len())
        )?;
        for (position, case) in list(first, "cases")?.iter().enumerate() {
            if case["section"] != *section {
                continue;
            }
            let title = case["title"].as_str().context("a title")?;
            write!(text, "| {} | {title} |", case["row"].as_str().context("a row")?)?;
            for (_, card) in columns {
                write!(text, " {} |", card["cases"][position]["verdict"].as_str().context("one")?)?;
            }
            writeln!(text)?;
        }
        write!(text, "| | held |")?;
        for (_, card) in columns {
            let score = &card["sections"][at];
            write!(text, " {} of {} |", score["held"], score["total"])?;
        }
        writeln!(text)?;
    }
    Ok(text)
}

/// `squid 5.7`, of a program that says so among other things.
fn version(program: &str, flag: &str, before: &str) -> Result<String> {
    let said = Program::new(program).arg(flag).run()?.stdout;
    let (_, rest) = said.split_once(before).with_context(|| said.clone())?;
    Ok(format!("{program} {}", rest.split_whitespace().next().context("a version")?))
}

/// A namespace with a loopback and nothing else, in which every name is there.
struct Street {
    namespace: Namespace,
    directory: TempDir,
    _dns: Running,
}

/// Somebody else's proxy, and where it listens.
struct Proxy {
    address: SocketAddr,
    _running: Running,
}

impl Street {
    fn open() -> Result<Self> {
        let namespace = Namespace::create("street")?;
        let dns = Program::new("dnsmasq")
            .inside(&namespace)
            .args(["--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file"])
            .args(["--no-hosts", "--no-resolv", "--bind-interfaces", "--log-facility=-"])
            .args(["--listen-address=127.0.0.1", "--address=/#/127.0.0.1"])
            .start()?;
        dns.stderr.wait_for_line(|line| line.contains("started, version"))?;
        Ok(Self { namespace, directory: TempDir::with_prefix("ringfence-")?, _dns: dns })
    }

    fn write(&self, name: &str, content: &str) -> Result<String> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    fn judge(&self, proxy: SocketAddr) -> Result<Value> {
        let far_end = format!("127.0.0.1:{PORT}");
        let program = selftest(proxy, PORT).inside(&self.namespace);
        scorecard(&program.args(["--far-end", &far_end]).run()?)
    }

    fn ringfence(&self) -> Result<Ringfence> {
        let list = self.write("allowlist.toml", &document(&[HOST, DATA], PORT))?;
        let arguments = ["--allowlist", &list, "--resolver", "127.0.0.1:53"];
        let binary = env!("CARGO_BIN_EXE_ringfence");
        self.namespace.enter(|| Ringfence::on_loopback(binary, arguments))?
    }

    /// Debian's squid, for CONNECT to the two hosts on the one port.
    /// <http://www.squid-cache.org/Doc/config/http_access/>
    fn squid(&self) -> Result<Proxy> {
        let config = format!(
            "http_port 127.0.0.1:3129\n\
             dns_nameservers 127.0.0.1\n\
             acl listed dstdomain {HOST} {DATA}\n\
             acl port port {PORT}\n\
             acl CONNECT method CONNECT\n\
             http_access deny !CONNECT\n\
             http_access deny !port\n\
             http_access allow listed\n\
             http_access deny all\n\
             pid_filename none\n\
             access_log none\n\
             cache_log /dev/null\n\
             cache deny all\n\
             netdb_filename none\n\
             pinger_enable off\n\
             visible_hostname squid.example\n"
        );
        let config = self.write("squid.conf", &config)?;
        let squid = Program::new("squid").inside(&self.namespace);
        let running = squid.args(["-N", "-d", "1", "-f", &config]).start()?;
        running.stderr.wait_for_line(|line| line.contains("Accepting HTTP Socket connections"))?;
        Ok(Proxy { address: SocketAddr::new(LOOPBACK, 3129), _running: running })
    }

    /// Debian's tinyproxy, for the two hosts, and CONNECT on the one port. It asks whom /etc/resolv.conf names.
    /// <https://tinyproxy.github.io/#configuration-file>
    fn tinyproxy(&self) -> Result<Proxy> {
        let pattern = |host: &str| format!("^{}$\n", host.replace('.', "\\."));
        let filter = self.write("filter", &(pattern(HOST) + &pattern(DATA)))?;
        let config = format!(
            "Port 3130\nListen 127.0.0.1\nConnectPort {PORT}\nMaxClients 100\nTimeout 60\n\
             Filter \"{filter}\"\nFilterDefaultDeny Yes\nFilterExtended On\nFilterCaseSensitive Off\n"
        );
        let config = self.write("tinyproxy.conf", &config)?;
        let resolver = self.write("resolv.conf", "nameserver 127.0.0.1\n")?;
        ensure!(
            Path::new("/etc/resolv.conf").exists(),
            "nothing to put our name server in place of"
        );
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec tinyproxy -d -c \"$1\"";
        let running = Program::new("unshare")
            .inside(&self.namespace)
            .args(["--mount", "sh", "-c", script, &resolver, &config])
            .start()?;
        running.stdout.wait_for_line(|line| line.contains("Accepting connections"))?;
        Ok(Proxy { address: SocketAddr::new(LOOPBACK, 3130), _running: running })
    }
}

/// Where the far end listens, in a namespace where all ports are free.
const PORT: u16 = 8443;
