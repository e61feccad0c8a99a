//! First words inside a tunnel that other proxies have been talked round with. Each row names the threat it
//! stands for.

use std::fs;

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason::{
    self, AlpnForbidden, ClientHelloTimeout, ClientHelloTooLarge, EarlyDataForbidden, EchForbidden,
    MalformedTls, NotTls, SniInvalid, SniMismatch, SniMissing, TlsVersion,
};
use tempfile::TempDir;
use test_support::{Authority, Dns, Network, Program, Recorder, address, require};

use crate::contoso::{LOGIN, LOGIN_ENTRY, STRANGER, allowlist, refused, start};
use crate::refusals::recorded;
use crate::stage::{
    Client, DATA, HOST, Stage, document, extension, hello, hello_with, message, record,
    server_name, vector,
};

/// A threat, the reason that meets it, and what poses it.
type Row = (&'static str, Reason, Vec<u8>);

#[test]
fn no_hello_passes_for_one_that_names_the_target() -> Result<()> {
    let stage = Stage::open()?;
    let name = server_name(HOST.as_bytes());
    let ours = hello_with(&name);
    let with = |extensions: &[&[u8]]| hello_with(&extensions.concat());
    let names = |list: &[u8]| hello_with(&extension(0, list));
    let host_name = |name: &[u8]| [&[0][..], &vector(name)].concat();
    let host = host_name(HOST.as_bytes());
    let in_two = |between: &[u8]| [&record(&ours[5..20]), between, &record(&ours[20..])].concat();
    let (ccs, alert, empty) = ([20, 3, 3, 0, 1, 1], [21, 3, 3, 0, 2, 1, 0], [22, 3, 1, 0, 0]);
    let old = |version| record(&message([3, version], &name));
    let listed = |versions: &[u8]| record(&message([3, 3], &[&name, versions].concat()));
    let rows: Vec<Row> = vec![
        ("T01", SniMismatch, hello(Some("exfil.blob.core.windows.net"))),
        ("T01", SniMismatch, hello(Some("x.contoso.azurecr.io"))),
        ("T02", SniMismatch, hello(Some(DATA))),
        ("T03", SniMissing, hello(None)),
        ("T04", NotTls, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("T04", NotTls, b"GET / HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n".to_vec()),
        ("T04", NotTls, vec![0x5a, 0x03, 0x01, 0x99, 0x17, 0xff]),
        ("T07", MalformedTls, [&empty[..], &ours].concat()),
        ("T07", MalformedTls, in_two(&empty)),
        ("T07", MalformedTls, [&ccs[..], &ours].concat()),
        ("T07", MalformedTls, [&alert[..], &ours].concat()),
        ("T07", MalformedTls, in_two(&ccs)),
        ("T07", MalformedTls, in_two(&alert)),
        ("T07", MalformedTls, [&[22, 3, 1, 0x40, 1][..], &vec![1; 0x4001]].concat()),
        ("T07", ClientHelloTooLarge, record(&[1, 1, 0, 1, 3, 3])),
        ("T07", MalformedTls, record(&[2, 0, 0, 4, 3, 3, 0, 0])),
        ("T08", MalformedTls, with(&[&name, &name])),
        ("T08", MalformedTls, names(&vector(&[host.clone(), host.clone()].concat()))),
        ("T08", MalformedTls, names(&vector(&[&[1, 0, 1, 7][..], &host].concat()))),
        ("T08", MalformedTls, names(&vector(&[]))),
        ("T08", MalformedTls, names(&vector(&host_name(b"")))),
        ("T08", MalformedTls, names(&[vector(&host), vec![0]].concat())),
        ("T08", MalformedTls, names(&vector(&[host.clone(), vec![0]].concat()))),
        ("T09", SniInvalid, hello(Some("contoso.azurecr.io."))),
        ("T09", SniInvalid, hello(Some("contoso.azurecr.io\0"))),
        ("T09", SniInvalid, hello(Some("contoso.azurecr.io\0.evil.example"))),
        ("T09", SniInvalid, hello(Some(" contoso.azurecr.io"))),
        ("T09", SniInvalid, hello(Some("[contoso.azurecr.io]"))),
        ("T09", SniInvalid, hello(Some("127.0.0.1"))),
        ("T09", SniInvalid, hello(Some("[::1]"))),
        ("T09", SniInvalid, hello(Some("c\u{f6}ntoso.azurecr.io"))),
        ("T10", EchForbidden, with(&[&name, &extension(0xfe0d, &[0])])),
        ("T10", EchForbidden, with(&[&extension(0xfe0d, &[7; 200]), &name])),
        ("T11", TlsVersion, vec![0x80, 0x2e, 1, 0, 2, 0, 3, 0, 0, 0, 16]),
        ("T11", TlsVersion, vec![0x80, 0x2e, 1, 3, 1, 0, 3, 0, 0, 0, 16]),
        ("T11", TlsVersion, old(0)),
        ("T11", TlsVersion, old(1)),
        ("T11", TlsVersion, old(2)),
        ("T11", TlsVersion, listed(&extension(43, &[4, 3, 2, 3, 1]))),
        ("T11", TlsVersion, listed(&extension(43, &[2, 0x7a, 0x7a]))),
        ("T24", SniMissing, record(&message([3, 3], &[]))),
        ("T24", NotTls, vec![0; 100]),
        ("T25", EchForbidden, with(&[&name, &extension(0xffce, &[])])),
    ];
    refuse_all(&stage, &rows)
}

/// T13 and T14: where the operator wants it so.
#[test]
fn early_data_and_strange_protocols_are_refused_where_told() -> Result<()> {
    let name = server_name(HOST.as_bytes());
    let with = |other: Vec<u8>| hello_with(&[name.clone(), other].concat());
    let early = with(extension(42, &[]));
    let protocols = |names: &[u8]| with(extension(16, &vector(names)));
    let strict = Stage::with_settings("[hello]\nearly_data = \"forbid\"\nalpn = \"http\"\n")?;
    refuse_all(
        &strict,
        &[
            ("T13", EarlyDataForbidden, early.clone()),
            ("T14", AlpnForbidden, protocols(b"\x04smtp")),
            ("T14", AlpnForbidden, protocols(b"\x02h3\x08http/1.0")),
        ],
    )?;
    for accepted in [hello(Some(HOST)), protocols(b"\x02h2"), protocols(b"\x04smtp\x08http/1.1")] {
        carried(&strict, &accepted, &accepted)?;
    }
    let usual = Stage::open()?;
    for accepted in [early, protocols(b"\x04smtp")] {
        carried(&usual, &accepted, &accepted)?;
    }
    Ok(())
}

/// T05: silence is no hello.
#[test]
fn a_client_that_says_nothing_is_let_go() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nhello = \"300ms\"\n")?;
    refuse_all(
        &stage,
        &[("T05", ClientHelloTimeout, vec![]), ("T05", ClientHelloTimeout, vec![22, 3])],
    )
}

/// T06: cut into any number of records, through the name or not, and one octet per segment.
#[test]
fn cuts_change_neither_the_verdict_nor_a_byte() -> Result<()> {
    let stage = Stage::open()?;
    let (good, bad) = (hello(Some(HOST)), hello(Some(DATA)));
    let name = good.windows(HOST.len()).position(|bytes| bytes == HOST.as_bytes());
    let middle = name.context("a name")? + HOST.len() / 2 - 5;
    let cut =
        |hello: &[u8], at: usize| [record(&hello[5..][..at]), record(&hello[5..][at..])].concat();
    let pieces = |hello: &[u8], size| hello[5..].chunks(size).flat_map(record).collect::<Vec<u8>>();
    for (good, bad) in [
        (good.clone(), bad.clone()),
        (cut(&good, 1), cut(&bad, 1)),
        (cut(&good, 4), cut(&bad, 4)),
        (cut(&good, middle), cut(&bad, middle)),
        (pieces(&good, 7), pieces(&bad, 7)),
        (pieces(&good, 1), pieces(&bad, 1)),
    ] {
        carried(&stage, &good, &good).context("T06")?;
        let mut slow = tunnel(&stage)?;
        for byte in &good {
            slow.send(&[*byte])?;
        }
        ensure!(slow.receive(good.len())? == good, "T06: it was changed");
        drop(slow);
        let before = stage.origin.arrived();
        let mut client = tunnel(&stage)?;
        for byte in &bad {
            // It may be over before all of it was sent.
            let _ = client.send(&[*byte]);
        }
        ensure!(Some(client.rest()?) == alert(SniMismatch), "T06");
        recorded(&stage, &client.address()?, SniMismatch).context("T06")?;
        ensure!(stage.origin.arrived() == before, "T06: something arrived");
    }
    Ok(())
}

/// T09 and T23: names in capitals, and behind whatever a client puts before them.
#[test]
fn a_name_is_found_wherever_it_is() -> Result<()> {
    let stage = Stage::open()?;
    let name = server_name(HOST.as_bytes());
    for size in [1216, 4096, 60_000] {
        let whole = hello_in_records(&[extension(51, &vec![7; size]), name.clone()].concat());
        carried(&stage, &whole, &whole).with_context(|| format!("T23: {size}"))?;
    }
    let capitals = hello(Some("CONTOSO.AzureCR.io"));
    carried(&stage, &capitals, &capitals).context("T09")
}

/// T15: a server may ask for a second hello, and that one names the same host.
#[test]
fn a_second_hello_names_the_first_ones_host() -> Result<()> {
    let stage = Stage::open()?;
    stage.origin.greet(&retry());
    let (first, ccs) = (hello(Some(HOST)), [20, 3, 3, 0, 1, 1]);

    // The same name passes, in pieces too, and then everything does.
    let again =
        hello_in_records(&[server_name(HOST.as_bytes()), extension(44, &vec![0; 20_000])].concat());
    let mut client = tunnel(&stage)?;
    client.send(&first)?;
    ensure!(client.receive(retry().len())? == retry());
    for bytes in [&ccs[..], &again, b"and whatever"] {
        client.send(bytes)?;
        ensure!(client.receive(bytes.len())? == bytes);
    }
    drop(client);
    let line = stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    ensure!(line["end"] == "client" && line.get("reason").is_none(), "{line}");

    let before = stage.origin.arrived().len();
    let (ech, other) = (extension(0xfe0d, &[0]), hello(Some(DATA)));
    let hidden = hello_with(&[server_name(HOST.as_bytes()), ech].concat());
    let in_two = [record(&other[5..40]), record(&other[40..])].concat();
    for (reason, second) in [
        (SniMismatch, other),
        (SniMismatch, in_two),
        (SniMissing, hello(None)),
        (EchForbidden, hidden),
        (MalformedTls, record(&[16, 0, 0, 0])),
        (MalformedTls, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let arrived = stage.origin.arrived().len();
        let mut client = tunnel(&stage)?;
        client.send(&first)?;
        ensure!(client.receive(retry().len())? == retry());
        client.send(&second)?;
        ensure!(Some(client.rest()?) == alert(reason), "{reason}");
        ended(&stage, &client, reason, first.len())?;
        ensure!(
            stage.origin.arrived()[arrived..] == first,
            "{reason}: more than one hello arrived"
        );
    }
    ensure!(stage.origin.arrived().len() == before + 6 * first.len());
    ensure!(stage.proxy.metric("ringfence_tunnel_ends_total{end=\"refused\"}")? == 6);
    Ok(())
}

/// T15: nor does it come before the server has asked for it.
#[test]
fn a_second_hello_waits_for_the_server() -> Result<()> {
    let stage = Stage::open()?;
    let (first, other) = (hello(Some(HOST)), hello(Some(DATA)));
    for second in [first.clone(), other] {
        let arrived = stage.origin.arrived().len();
        let mut client = tunnel(&stage)?;
        client.send(&[first.clone(), second].concat())?;
        // The origin's answer may come first, or not at all.
        let (seen, alert) = (client.rest()?, alert(MalformedTls).context("an alert")?);
        ensure!(seen.ends_with(&alert), "{seen:?}");
        ended(&stage, &client, MalformedTls, first.len())?;
        stage.until(|| Ok(stage.origin.arrived().len() >= arrived + first.len()))?;
        ensure!(stage.origin.arrived()[arrived..] == first, "more than one hello arrived");
    }
    Ok(())
}

/// T15: people's libraries do ask twice, and it works, as it does in old versions and without asking.
#[test]
fn openssl_shakes_hands_with_itself() -> Result<()> {
    if !require(&["openssl"]) {
        return Ok(());
    }
    let stage = Stage::open()?;
    let (directory, authority) = (TempDir::new()?, Authority::create()?);
    let identity = authority.issue(&[HOST])?;
    let write = |name, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).map(|()| path.display().to_string())
    };
    let (root, certificate, key) = (
        write("root.pem", authority.pem())?,
        write("certificate.pem", &identity.certificate_pem)?,
        write("key.pem", &identity.key_pem)?,
    );
    for (version, groups, share) in [
        ("-tls1_2", "P-256", "P-256"),
        ("-tls1_3", "P-256", "P-256"),
        ("-tls1_3", "X25519", "P-256:X25519"),
        ("-tls1_3", "P-384", "X25519:P-384"),
    ] {
        let server = Program::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", version, "-groups", groups])
            .args(["-cert", &certificate, "-key", &key])
            .start()?;
        let line = server.stdout.wait_for_line(|line| line.starts_with("ACCEPT "))?;
        let port = line.rsplit(':').next().context("a port")?.parse()?;
        stage.enforce(&document(&[HOST], port))?;
        let client = Program::new("openssl")
            .args(["s_client", "-proxy", &stage.proxy.listen().to_string(), version])
            .args(["-connect", &format!("{HOST}:{port}"), "-servername", HOST, "-groups", share])
            .args(["-CAfile", &root, "-verify_return_error", "-msg"]);
        let said = client.run()?.succeeded()?.stdout;
        ensure!(said.contains("Verify return code: 0 (ok)"), "{version} {share}: {said}");
        let hellos = said.lines().filter(|line| line.ends_with(", ClientHello")).count();
        ensure!(hellos == if groups == share { 1 } else { 2 }, "{version} {share}: {said}");
        let line = stage.proxy.logged(|line| line["port"] == port)?;
        ensure!(line["outcome"] == "tunnel" && line.get("reason").is_none(), "{line}");
    }
    Ok(())
}

/// T22: the alert is one that people's programs put into words.
#[test]
fn go_says_what_the_alert_says() -> Result<()> {
    let Some(network) = Network::open(&["go"])? else {
        return Ok(());
    };
    let origin = Recorder::start(&network, LOGIN, address::LOGIN)?;
    let dns = Dns::start(&network, &[(LOGIN, address::LOGIN)])?;
    let list = network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY]))?;
    let proxy = start(&network, &dns, &list)?;
    let fetch = |name: &str| {
        let go = network.client("go", &proxy).args(["run", SCRIPT, &format!("https://{LOGIN}/")]);
        go.arg(network.path("out")).env("SERVER_NAME", name).run()
    };
    fetch(STRANGER)?.failed_saying("remote error: tls: unrecognized name")?;
    proxy.logged(|line| refused(LOGIN, "sni_mismatch")(line) && line["sni"] == STRANGER)?;
    ensure!(origin.received()?.bytes == 0);
    Ok(())
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proxy/clients/fetch.go");

/// A client in a tunnel to the host, which has said nothing yet.
fn tunnel(stage: &Stage) -> Result<Client> {
    let (client, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(client)
}

/// Sends `bytes` into a tunnel, and sees them come back from the host as `expected`.
fn carried(stage: &Stage, bytes: &[u8], expected: &[u8]) -> Result<()> {
    let mut client = tunnel(stage)?;
    client.send(bytes)?;
    ensure!(client.receive(expected.len())? == expected, "it was changed");
    Ok(())
}

/// Sends each row into a tunnel of its own, and looks at what is said, written, counted and sent on.
fn refuse_all(stage: &Stage, rows: &[Row]) -> Result<()> {
    for (threat, reason, bytes) in rows {
        let what = || format!("{threat}: {}", bytes[..bytes.len().min(100)].escape_ascii());
        let mut client = tunnel(stage)?;
        client.send(bytes).with_context(what)?;
        match alert(*reason) {
            Some(alert) => {
                let said = client.rest().with_context(what)?;
                ensure!(said == alert, "{}: {said:?}", what());
            }
            None => ensure!(client.ended()?, "{}", what()),
        }
        let line = recorded(stage, &client.address()?, *reason).with_context(what)?;
        ensure!(line["host"] == HOST && line["sent"] == 0, "{}: {line}", what());
    }
    ensure!(stage.origin.arrived().is_empty(), "something arrived");
    Ok(())
}

/// Looks at what is written of a tunnel that was ended for `reason` after the client's first bytes.
fn ended(stage: &Stage, client: &Client, reason: Reason, sent: usize) -> Result<()> {
    let address = client.address()?;
    let line = stage.recorded(&address)?;
    ensure!(line["outcome"] == "tunnel" && line["end"] == "refused", "{line}");
    ensure!(line["reason"] == reason.code() && line["sent"] == sent, "{line}");
    Ok(())
}

/// The fatal alert for `reason` (RFC 8446 §6).
fn alert(reason: Reason) -> Option<Vec<u8>> {
    reason.alert().map(|description| vec![21, 3, 3, 0, 2, 2, description])
}

/// A ClientHello for TLS 1.3, in as many records as it takes.
fn hello_in_records(extensions: &[u8]) -> Vec<u8> {
    let extensions = [&extension(43, &[2, 3, 4]), extensions].concat();
    message([3, 3], &extensions).chunks(1 << 14).flat_map(record).collect()
}

/// A HelloRetryRequest: a ServerHello with a certain random (RFC 8446 §4.1.3).
fn retry() -> Vec<u8> {
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ];
    let extensions = [extension(43, &[3, 4]), extension(51, &[0, 24])].concat();
    let body = [&[3, 3][..], &random, &[0, 0x13, 0x01, 0], &vector(&extensions)].concat();
    record(&[&[2, 0][..], &vector(&body)].concat())
}
