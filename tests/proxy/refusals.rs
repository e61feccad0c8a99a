//! Every reason, end to end: what the client sees, what the log and the counter say, and that nothing
//! reached the resolver or the origin.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use test_support::{Dns, Network, Ringfence};

use crate::stage::{
    Answer, Client, DATA, HOST, LOOPBACK, Stage, document, extension, hello, hello_with, record,
    server_name,
};

/// What a refused client got to see.
pub(crate) struct Refused {
    pub(crate) status: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

pub(crate) fn refused(client: &mut Client) -> Result<Refused> {
    let head = client.head()?;
    let body = client.rest()?;
    let body = serde_json::from_slice(&body)
        .with_context(|| String::from_utf8_lossy(&body).into_owned())?;
    let status = head.lines().next().unwrap_or_default().to_owned();
    Ok(Refused { status, head, body })
}

/// Checks the answer, the log line and the counter of one refusal before the 200.
pub(crate) fn check(stage: &Stage, client: &mut Client, reason: Reason) -> Result<Value> {
    let (code, address) = (reason.code(), client.address()?);
    let seen = refused(client).with_context(|| format!("the answer for {code}"))?;
    let status = reason.status().context("a status")?;
    ensure!(
        seen.status.starts_with(&format!("HTTP/1.1 {status} ringfence: {code}; ")),
        "{}",
        seen.status
    );
    ensure!(seen.head.contains(&format!("\r\nRingfence-Reason: {code}\r\n")), "{}", seen.head);
    ensure!(seen.head.contains("\r\nConnection: close\r\n"), "{}", seen.head);
    ensure!(seen.head.contains("\r\nContent-Type: application/problem+json\r\n"), "{}", seen.head);
    ensure!(seen.body["reason"] == code && seen.body["remedy"] == reason.remedy(), "{}", seen.body);
    recorded(stage, &address, reason)
}

/// Checks that there is one log line, and one count for each line like it.
pub(crate) fn recorded(stage: &Stage, client: &str, reason: Reason) -> Result<Value> {
    let code = reason.code();
    let line = stage.recorded(client)?;
    ensure!(line["reason"] == code && line["outcome"] == reason.kind().name(), "{line}");
    let count =
        stage.proxy.metric(&format!("ringfence_connections_total{{outcome=\"{code}\"}}"))?;
    let log = stage.proxy.log()?;
    let lines = log.iter().filter(|line| line["reason"] == code && line["outcome"] != "tunnel");
    ensure!(count == u64::try_from(lines.count())?, "{code} was counted {count} times");
    Ok(line)
}

#[test]
fn malformed_and_denied_requests_cause_no_lookup_and_no_connection() -> Result<()> {
    let stage = Stage::open()?;
    let port = stage.origin.port;
    let connect = |authority: &str| format!("CONNECT {authority} HTTP/1.1\r\n\r\n");
    let rows = [
        (Reason::BadRequest, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (
            Reason::BadRequest,
            format!("CONNECT {HOST}:{port} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
        ),
        (Reason::BadRequest, format!("CONNECT {HOST}:{port} HTTP/1.1\nHost: x\r\n\r\n")),
        (Reason::BadRequest, "\u{16}\u{3}\u{1}".to_owned()),
        (Reason::BadRequest, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (
            Reason::PlainHttpForbidden,
            format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        ),
        (Reason::MethodNotAllowed, "OPTIONS * HTTP/1.1\r\n\r\n".to_owned()),
        (Reason::NonAscii, connect("contoso\u{ff0e}azurecr.io:443")),
        (Reason::IpLiteral, connect(&format!("127.0.0.1:{port}"))),
        (Reason::IpLiteral, connect("[::1]:443")),
        (Reason::BadAuthority, connect(&format!("{HOST}.:{port}"))),
        (Reason::BadAuthority, connect(&format!("user@{HOST}:{port}"))),
        (Reason::BadPort, connect(HOST)),
        (Reason::BadPort, connect(&format!("{HOST}:+{port}"))),
        (
            Reason::HostMismatch,
            format!("CONNECT {HOST}:{port} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        ),
        (
            Reason::HeadTooLarge,
            format!("CONNECT {HOST}:{port} HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(17_000)),
        ),
        (Reason::StorageForbidden, connect("exfil.blob.core.windows.net:443")),
        (Reason::StorageForbidden, connect("exfil.z07.blob.storage.azure.net:443")),
        (Reason::NotInPolicy, connect("contoso.westus.data.azurecr.io:443")),
        (Reason::NotInPolicy, connect("evilcontoso.azurecr.io:443")),
        (Reason::PortNotAllowed, connect(&format!("{HOST}:22"))),
    ];
    for (reason, request) in rows {
        let mut client = stage.client()?;
        client.send(request.as_bytes())?;
        check(&stage, &mut client, reason).with_context(|| request.escape_debug().to_string())?;
    }
    ensure!(stage.dns.asked().is_empty(), "names were looked up: {:?}", stage.dns.asked());
    ensure!(stage.origin.arrived().is_empty(), "something arrived");
    Ok(())
}

#[test]
fn a_storage_denial_explains_dedicated_data_endpoints() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.client()?;
    client.send(b"CONNECT exfil.blob.core.windows.net:443 HTTP/1.1\r\n\r\n")?;
    let seen = refused(&mut client)?;
    // In the reason phrase, which is all that Go's clients show, and in the body.
    for text in [&seen.status, &seen.body["remedy"].to_string()] {
        ensure!(
            text.contains("--data-endpoint-enabled") && text.contains("data.azurecr.io"),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn what_a_refused_client_sends_behind_its_request_goes_nowhere() -> Result<()> {
    let stage = Stage::open()?;
    let (port, mut client) = (stage.origin.port, stage.client()?);
    let second = format!("CONNECT {HOST}:{port} HTTP/1.1\r\n\r\n");
    client.send(format!("CONNECT evil.example:443 HTTP/1.1\r\n\r\n{second}").as_bytes())?;
    let line = check(&stage, &mut client, Reason::NotInPolicy)?;
    ensure!(line["host"] == "evil.example", "{line}");
    ensure!(stage.dns.asked().is_empty() && stage.origin.arrived().is_empty());
    Ok(())
}

#[test]
fn a_hostile_target_is_one_clean_line() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.client()?;
    let target = format!("\x1b[31m\"}},{{\"a\":\"{}:443", "x".repeat(5000));
    client.send(format!("CONNECT {target} HTTP/1.1\r\n\r\n").as_bytes())?;
    let address = client.address()?;
    let seen = refused(&mut client)?;
    ensure!(!seen.head.contains('\x1b') && !seen.body.to_string().contains("xxx"), "{}", seen.body);
    let line = stage.recorded(&address)?;
    let authority = line["authority"].as_str().context("an authority")?;
    ensure!(
        authority.len() <= 300 && authority.is_ascii() && !authority.contains('\x1b'),
        "{authority}"
    );
    Ok(())
}

#[test]
fn slow_and_vanished_clients_are_let_go() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nhead = \"300ms\"\nhello = \"300ms\"\n")?;
    let mut slow = stage.client()?;
    slow.send(b"CONNECT ")?;
    check(&stage, &mut slow, Reason::HeadTimeout)?;

    let gone = stage.client()?;
    let address = gone.address()?;
    drop(gone);
    recorded(&stage, &address, Reason::ClientClosed)?;

    let (mut silent, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    ensure!(silent.ended()?);
    recorded(&stage, &silent.address()?, Reason::ClientHelloTimeout)?;
    ensure!(stage.origin.arrived().is_empty());
    Ok(())
}

/// D20
#[test]
fn dns_failures_are_told_apart() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nresolve = \"500ms\"\n")?;
    let rows = [
        (Reason::DnsNotFound, Answer::NxDomain),
        (Reason::DnsNotFound, Answer::Addresses(vec![])),
        (Reason::DnsFailed, Answer::ServFail),
        (Reason::DnsTimeout, Answer::Silence),
    ];
    for (number, (reason, answer)) in rows.into_iter().enumerate() {
        // A name of its own each, so that no cached answer speaks for another.
        let host = format!("contoso{number}.azurecr.io");
        stage.dns.answer(&host, answer);
        stage.allow(&[&host])?;
        let mut client = stage.client()?;
        client.send(format!("CONNECT {host}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
        let line = check(&stage, &mut client, reason)?;
        ensure!(line["host"] == *host, "{line}");
    }
    Ok(())
}

#[test]
fn addresses_that_are_not_the_hosts_are_refused_whatever_else_is_answered() -> Result<()> {
    let stage = Stage::open()?;
    let rows: [(&[&str], &str); 8] = [
        (&["10.0.0.1"], "private"),
        (&["127.0.0.2"], "loopback"),
        (&["127.0.0.1", "192.168.0.1"], "private"),
        (&["169.254.169.254"], "platform"),
        (&["168.63.129.16"], "platform"),
        (&["0.0.0.0"], "unspecified"),
        (&["224.0.0.1"], "multicast"),
        (&["127.0.0.1", "::ffff:127.0.0.1"], "translated"),
    ];
    for (number, (answers, class)) in rows.into_iter().enumerate() {
        let host = format!("contoso{number}.azurecr.io");
        let addresses = answers.iter().map(|address| address.parse::<IpAddr>());
        stage.dns.answer(&host, Answer::Addresses(addresses.collect::<Result<_, _>>()?));
        stage.allow(&[&host])?;
        let mut client = stage.client()?;
        client.send(format!("CONNECT {host}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
        let line = check(&stage, &mut client, Reason::AddressForbidden)
            .with_context(|| answers.join(" "))?;
        ensure!(line["rejected"][0]["class"] == class, "{line}");
    }
    ensure!(stage.origin.arrived().is_empty());
    Ok(())
}

/// The answer is good for one connection; the vetted address is the one that is dialled.
#[test]
fn an_answer_that_flips_is_vetted_each_time() -> Result<()> {
    let stage = Stage::open()?;
    stage.dns.answer(HOST, Answer::Flipping(LOOPBACK, "10.0.0.1".parse()?));
    drop(stage.tunnel(HOST)?);
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["address"] == format!("127.0.0.1:{}", stage.origin.port), "{line}");
    ensure!(stage.dns.asked().len() == 1, "one lookup per attempt: {:?}", stage.dns.asked());

    let mut client = stage.client()?;
    client.send(format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    check(&stage, &mut client, Reason::AddressForbidden)?;
    Ok(())
}

#[test]
fn connections_that_fail_say_how() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nconnect = \"500ms\"\n")?;
    // A port that was free a moment ago has nobody behind it.
    let closed = std::net::TcpListener::bind((LOOPBACK, 0))?.local_addr()?.port();
    let full = FullListener::open()?;
    let rows = [(Reason::ConnectRefused, closed), (Reason::ConnectTimeout, full.port)];
    for (reason, port) in rows {
        std::fs::write(&stage.list, document(&[HOST], port))?;
        stage.until(|| {
            let mut client = stage.client()?;
            client.send(format!("CONNECT {HOST}:{port} HTTP/1.1\r\n\r\n").as_bytes())?;
            Ok(!client.head()?.contains("port_not_allowed"))
        })?;
        let mut client = stage.client()?;
        client.send(format!("CONNECT {HOST}:{port} HTTP/1.1\r\n\r\n").as_bytes())?;
        check(&stage, &mut client, reason)?;
    }
    Ok(())
}

/// A listener whose queue is full answers no one: the kernel drops what comes on top.
struct FullListener {
    port: u16,
    _sockets: Vec<Socket>,
}

impl FullListener {
    #[expect(clippy::disallowed_methods, reason = "a test fills its own listener")]
    fn open() -> Result<Self> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SocketAddr::new(LOOPBACK, 0).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            // In progress, and for all but the first it stays so.
            let _ = socket.connect(&address);
            sockets.push(socket);
        }
        let port = address.as_socket().context("an address")?.port();
        Ok(Self { port, _sockets: sockets })
    }
}

/// An address that is admitted, but that the gate has no way to: it has no IPv6.
#[test]
fn a_host_without_a_route_is_a_failed_connection() -> Result<()> {
    let Some(network) = Network::open(&["curl", "dnsmasq"])? else {
        return Ok(());
    };
    let dns = Dns::start(&network, &[(HOST, "fd12::1")])?;
    let list = document(&[HOST], 443).replace("127.0.0.1", "fd12::1");
    let list = network.write("allowlist.toml", &list)?;
    let arguments =
        ["--allowlist".into(), list.into_os_string(), "--resolver".into(), dns.address().into()];
    let proxy = Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), &network, arguments)?;
    network.client("curl", &proxy).arg(format!("https://{HOST}/")).run()?.failed()?;
    let line = proxy.logged(|line| line["host"] == HOST)?;
    ensure!(
        line["reason"] == Reason::ConnectFailed.code() && line["outcome"] == "failed",
        "{line}"
    );
    Ok(())
}

#[test]
fn tunnels_that_do_not_begin_with_the_right_hello_carry_nothing() -> Result<()> {
    let stage = Stage::open()?;
    let name = server_name(HOST.as_bytes());
    let large = [&[1, 1, 0, 1][..], &[0; 100]].concat();
    let rows: Vec<(Reason, Option<u8>, Vec<u8>)> = vec![
        (Reason::NotTls, None, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (Reason::NotTls, None, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (Reason::ClientHelloTooLarge, Some(50), record(&large)),
        (Reason::MalformedTls, Some(50), record(&[2, 0, 0, 0])),
        (Reason::MalformedTls, Some(50), hello_with(&[name.clone(), name.clone()].concat())),
        (
            Reason::EchForbidden,
            Some(49),
            hello_with(&[name.clone(), extension(0xfe0d, &[0])].concat()),
        ),
        (Reason::SniMissing, Some(109), hello(None)),
        (Reason::SniInvalid, Some(112), hello(Some("contoso.azurecr.io."))),
        (Reason::SniMismatch, Some(112), hello(Some("exfil.blob.core.windows.net"))),
        (Reason::SniMismatch, Some(112), hello(Some(crate::stage::DATA))),
    ];
    for (reason, alert, bytes) in rows {
        let (mut client, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client.send(&bytes)?;
        match alert {
            // Fatal alerts, for a client that will show them (RFC 8446 §6).
            Some(description) => {
                ensure!(client.rest()? == [21, 3, 3, 0, 2, 2, description], "{reason}");
            }
            None => ensure!(client.ended()?, "{reason}"),
        }
        let line = recorded(&stage, &client.address()?, reason)?;
        ensure!(line["host"] == HOST && line["sent"] == 0, "{line}");
    }
    ensure!(stage.origin.arrived().is_empty(), "something arrived");
    Ok(())
}

/// L01.
#[test]
fn without_entries_nothing_is_allowed_and_nothing_is_ready() -> Result<()> {
    let stage = Stage::open()?;
    stage.allow(&[])?;
    let mut client = stage.client()?;
    client.send(format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    check(&stage, &mut client, Reason::NoPolicy)?;
    ensure!(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 503 "));
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

/// What a client is told is about the host that it asked for, and what it is told of one host it is told of
/// any other: nothing of the list can be learnt.
#[test]
fn answers_tell_nothing_of_the_list() -> Result<()> {
    let stage = Stage::open()?;
    let answer = |host: &str| -> Result<String> {
        let (mut client, head) = stage.connect(&format!("{host}:443"))?;
        Ok(head + &String::from_utf8(client.rest()?)?)
    };
    let near = answer("contoso2.azurecr.io")?;
    ensure!(near.contains("`contoso2.azurecr.io`"), "{near}");
    for secret in [HOST, DATA, "127.0.0.1", "sha256", "generation", "test", "default"] {
        ensure!(!near.contains(secret), "{secret} in {near}");
    }
    let far = answer("www.example.invalid.net")?;
    let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    let renamed =
        body(&far).map(|body| body.replace("www.example.invalid.net", "contoso2.azurecr.io"));
    ensure!(renamed == body(&near), "{far}\n{near}");
    // A tunnel's head says that it is open, and no more.
    let (_, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head == "HTTP/1.1 200 Connection established\r\n\r\n", "{head}");
    Ok(())
}
