//! Request heads that other proxies have been talked round with. Each row names the threat it stands for.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason::{
    self, BadAuthority, BadPort, BadRequest, HeadTimeout, HeadTooLarge, HostMismatch, IpLiteral,
    MethodNotAllowed, NonAscii, NotFound, NotInPolicy, PlainHttpForbidden, PortNotAllowed,
    StorageForbidden,
};
use test_support::PATIENCE;

use crate::refusals::{check, refused};
use crate::stage::{Answer, DATA, HOST, LOOPBACK, MOMENT, Stage, document, hello};

/// A threat, the reason that meets it, and the request that poses it.
type Row = (&'static str, Reason, String);

#[test]
fn no_authority_passes_for_a_listed_one() -> Result<()> {
    let stage = Stage::open()?;
    let port = stage.origin.port;
    // What stands for the host, with its port.
    let hosts: &[(&str, Reason, &[&str])] = &[
        ("H01", BadAuthority, &["[HOST]", "[evil.example]"]),
        ("H02", BadAuthority, &["[[HOST]]", "HOST]", "[HOST"]),
        ("H03", BadAuthority, &["HOST.", "evil.example."]),
        ("H04", BadAuthority, &["HOST..", ".HOST", "contoso..azurecr.io"]),
        ("H05", NotInPolicy, &["EvilContoso.AzureCR.io"]),
        ("H06", NonAscii, &["\u{ff43}ontoso.azurecr.io", "contoso\u{3002}azurecr.io"]),
        ("H06", NonAscii, &["contoso\u{ff0e}azurecr.io", "contoso\u{ff61}azurecr.io"]),
        ("H06", NonAscii, &["con\u{ad}toso.azurecr.io", "con\u{200d}toso.azurecr.io"]),
        ("H07", BadAuthority, &["xn--contoso-.azurecr.io", "xn--bcher-kva.azurecr.io"]),
        ("H08", BadAuthority, &["evil.example%00.azurecr.io", "contoso%2eazurecr.io"]),
        ("H08", BadAuthority, &["evil.example%40HOST", "HOST%"]),
        ("H08", BadRequest, &["evil.example\0.azurecr.io"]),
        ("H09", BadAuthority, &["user:pw@HOST", "user@HOST", "evil.example#HOST"]),
        ("H09", BadAuthority, &["evil.example?HOST", "evil.example/HOST", "evil.example;HOST"]),
        ("H09", BadAuthority, &["evil.example\\HOST", "evil.example,HOST"]),
        ("H10", BadRequest, &["\rHOST", "HOST\r", "\nHOST", "HOST\n", "contoso\n.azurecr.io"]),
        ("H10", BadRequest, &["\tHOST", "HOST\t", "\x0bHOST", "HOST\x0b", "\x0cHOST", "HOST\x0c"]),
        ("H10", BadRequest, &[" HOST", "HOST ", "evil.example HOST"]),
        ("H13", NotInPolicy, &["evilcontoso.azurecr.io", "contoso.azurecr.io.evil.com"]),
        ("H13", NotInPolicy, &["contoso-azurecr.io", "x.contoso.azurecr.io", "azurecr.io"]),
        ("H14", NotInPolicy, &["contoso2.azurecr.io", "contoso-a1b2c3d4.azurecr.io"]),
        ("H14", NotInPolicy, &["contoso.westus.data.azurecr.io", "contoso.eastus.geo.azurecr.io"]),
        (
            "H16",
            BadAuthority,
            &["con_toso.azurecr.io", "-contoso.azurecr.io", "contoso-.azurecr.io"],
        ),
        ("H17", IpLiteral, &["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4."]),
        ("H17", NonAscii, &["\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}"]),
        ("H19", IpLiteral, &["[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "[fe80::1%eth0]"]),
        ("H19", IpLiteral, &["[v1.x]", "::1"]),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (threat, reason, spellings) in hosts {
        for spelling in *spellings {
            let authority = format!("{}:{port}", spelling.replace("HOST", HOST));
            rows.push((threat, *reason, connect(&authority)));
        }
    }
    for spelling in ["+443", "0443", "4_43", "65979", "-1", "0", "", "+PORT", "0PORT", "00000PORT"]
    {
        let spelling = spelling.replace("PORT", &port.to_string());
        rows.push(("H11", BadPort, connect(&format!("{HOST}:{spelling}"))));
    }
    rows.push(("H11", BadPort, connect(HOST)));
    for (before, behind) in [(" ", ""), ("", " ")] {
        rows.push(("H11", BadRequest, connect(&format!("{HOST}:{before}{port}{behind}"))));
    }
    for other in [22, 80, 443, 8443] {
        rows.push(("H12", PortNotAllowed, connect(&format!("{HOST}:{other}"))));
    }
    rows.extend([
        ("H09", BadAuthority, connect(&format!("{HOST}:{port}@evil.example"))),
        ("H16", BadAuthority, connect(&format!("{}.azurecr.io:{port}", "a".repeat(64)))),
        ("H16", BadAuthority, connect(&format!("{}azurecr.io:{port}", "abc.".repeat(62)))),
        ("H16", NotInPolicy, connect(&format!("{}a:{port}", "a.".repeat(126)))),
        ("H20", BadAuthority, connect(&format!("https://{HOST}:{port}"))),
        ("H20", BadAuthority, connect(&format!("https://{HOST}/"))),
        ("H20", BadAuthority, connect("*")),
        ("H20", BadRequest, connect("")),
        ("H20", BadRequest, "CONNECT HTTP/1.1\r\n\r\n".to_owned()),
    ]);
    refuse_all(&stage, &rows)
}

/// H15: also by a list that someone has made for it.
#[test]
fn no_list_makes_a_storage_host_reachable() -> Result<()> {
    let stage = Stage::open()?;
    let names = [
        "exfil.blob.core.windows.net",
        "exfil.z07.blob.storage.azure.net",
        "exfil.dfs.core.windows.net",
        "exfil.file.core.windows.net",
        "exfil.queue.core.windows.net",
        "exfil.z13.web.core.windows.net",
        "exfil.privatelink.blob.core.windows.net",
        "exfil-secondary.blob.core.windows.net",
        "exfil.blob.core.chinacloudapi.cn",
        "exfil.blob.core.usgovcloudapi.net",
        "exfil.s3.amazonaws.com",
        "storage.googleapis.com",
    ];
    std::fs::write(&stage.list, document(&names, stage.origin.port))?;
    stage.until(|| Ok(stage.proxy.metric("ringfence_reload_failures_total")? > 0))?;
    let port = stage.origin.port;
    let rows = names.map(|name| ("H15", StorageForbidden, connect(&format!("{name}:{port}"))));
    refuse_all(&stage, &rows)
}

#[test]
fn no_framing_has_two_readings() -> Result<()> {
    let stage = Stage::open()?;
    let port = stage.origin.port;
    let with = |headers: &str| format!("CONNECT {HOST}:{port} HTTP/1.1\r\n{headers}\r\n\r\n");
    let headers: &[(&str, Reason, &[&str])] = &[
        (
            "P01",
            BadRequest,
            &["Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked"],
        ),
        ("P04", BadRequest, &["Content-Length: 5\r\nTransfer-Encoding: chunked"]),
        ("P04", BadRequest, &["Content-Length: 5\r\nContent-Length: 5", "Content-Length: +5"]),
        (
            "P04",
            BadRequest,
            &["Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity"],
        ),
        ("P04", BadRequest, &["X: a\r\n b", "X: a\r\n\tb", "X: a\nY: b", "X: a\rY: b"]),
        ("P04", BadRequest, &["Host : contoso.azurecr.io", " X: a", "X: a\0b", "X\0: a", "X"]),
        ("P05", HostMismatch, &["Host: evil.example", "Host: evil.example:443", "Host: "]),
        ("P05", HostMismatch, &["Host: contoso.azurecr.io.", "Host: contoso.azurecr.io:80"]),
        ("P05", BadRequest, &["Host: contoso.azurecr.io\r\nHost: contoso.azurecr.io"]),
        ("P05", BadRequest, &["Host: contoso.azurecr.io\r\nhost: evil.example"]),
        ("P08", BadRequest, &["Connection: Upgrade\r\nUpgrade: websocket"]),
        ("P08", BadRequest, &["Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"]),
        (
            "P13",
            BadRequest,
            &["Proxy-Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi"],
        ),
        ("P16", BadRequest, &["Content_Length: 5", "Transfer_Encoding: chunked"]),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (threat, reason, all) in headers {
        rows.extend(all.iter().map(|headers| (*threat, *reason, with(headers))));
    }
    let old = with("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0");
    let (many, some) = ("X: a\r\n".repeat(10_000), "X: a\r\n".repeat(100));
    rows.extend([
        (
            "P06",
            PlainHttpForbidden,
            format!("GET http://{HOST}:{port}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        ),
        ("P06", PlainHttpForbidden, "GET http://evil.example/ HTTP/1.1\r\n\r\n".to_owned()),
        ("P06", PlainHttpForbidden, format!("PUT https://{HOST}:{port}/ HTTP/1.1\r\n\r\n")),
        ("P07", BadRequest, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("P07", NotFound, "GET /metrics HTTP/1.1\r\n\r\n".to_owned()),
        ("P07", MethodNotAllowed, "OPTIONS * HTTP/1.1\r\n\r\n".to_owned()),
        ("P08", BadRequest, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("P10", HeadTooLarge, with(&format!("X: {}", "x".repeat(64 * 1024 + 1)))),
        ("P10", HeadTooLarge, with(&many)),
        ("P10", HeadTooLarge, with(&some)),
        ("P11", NotFound, format!("GET /.well-known/masque/udp/{HOST}/{port}/ HTTP/1.1\r\n\r\n")),
        ("P11", NotFound, format!("GET /easy-proxy/https/{HOST}/{port}/ HTTP/1.1\r\n\r\n")),
        ("P11", NotFound, format!("GET /http://{HOST}:{port}/ HTTP/1.1\r\n\r\n")),
        ("P16", BadRequest, old),
    ]);
    refuse_all(&stage, &rows)
}

/// H05 and H18: what is listed passes in any case, and names may begin with a digit.
#[test]
fn listed_names_pass_however_they_are_written() -> Result<()> {
    let stage = Stage::open()?;
    let number = "1contoso.azurecr.io";
    let own = crate::stage::Answer::Addresses(vec![crate::stage::LOOPBACK]);
    stage.dns.answer(number, own);
    stage.allow(&[HOST, number])?;
    for (asked, canonical) in [("Contoso.AzureCR.IO", HOST), (number, number)] {
        let (mut client, head) = stage.connect(&format!("{asked}:{}", stage.origin.port))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{asked}: {head}");
        let hello = hello(Some(canonical));
        client.send(&hello)?;
        ensure!(client.receive(hello.len())? == hello, "{asked}");
        client.finish()?;
        client.rest()?;
        stage.proxy.logged(|line| line["host"] == canonical && line["outcome"] == "tunnel")?;
    }
    ensure!(stage.dns.asked() == [HOST, number], "{:?}", stage.dns.asked());
    Ok(())
}

/// P02 and P03: what waits behind a refused request is neither read nor answered nor forwarded.
#[test]
fn a_verdict_is_for_one_request() -> Result<()> {
    let stage = Stage::open()?;
    let good = connect(&format!("{HOST}:{}", stage.origin.port));
    let seconds =
        [good.clone(), format!("GET http://{HOST}/ HTTP/1.1\r\n\r\n"), "x".repeat(60_000)];
    for second in seconds {
        let mut client = stage.client()?;
        client.send(format!("{}{second}", connect("evil.example:443")).as_bytes())?;
        let line = check(&stage, &mut client, NotInPolicy).context("P02")?;
        ensure!(line["host"] == "evil.example", "P02: {line}");
        // It reads to the end, so there is no connection left to ask a second time.
        let _ = client.send(good.as_bytes());
        ensure!(client.ended()?, "P03");
    }
    untouched(&stage)
}

/// P10: one that never ends is over when its time is, and makes room.
#[test]
fn a_trickling_head_holds_its_slot_for_so_long() -> Result<()> {
    let settings = "[timeouts]\nhead = \"500ms\"\n[limits]\nconnections = 1\n";
    let stage = Stage::with_settings(settings)?;
    let mut slow = stage.client()?;
    let mut reader = slow.try_clone()?;
    let began = Instant::now();
    let trickle = std::thread::spawn(move || {
        for byte in b"CONNECT ".iter().chain(std::iter::repeat(&b'a')) {
            if slow.send(&[*byte]).is_err() || began.elapsed() > PATIENCE {
                return;
            }
            sleep(Duration::from_millis(20));
        }
    });
    check(&stage, &mut reader, HeadTimeout)?;
    ensure!(began.elapsed() < PATIENCE / 2, "it took {:?}", began.elapsed());
    drop(reader);
    drop(stage.tunnel(HOST)?);
    trickle.join().expect("it doesn't panic");
    Ok(())
}

/// P12: who asks, and where it goes, is not for the client's headers to say.
#[test]
fn headers_that_speak_for_others_change_nothing() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.client()?;
    let headers = "X-Upstream-Https-Proxy: http://127.0.0.1:9\r\nX-Forwarded-For: 10.9.9.9\r\n\
                   X-Forwarded-Host: evil.example\r\nX-Real-IP: 10.9.9.9\r\nVia: 1.1 evil.example\r\n\
                   Forwarded: for=10.9.9.9;host=evil.example\r\n";
    let port = stage.origin.port;
    client.send(format!("CONNECT {HOST}:{port} HTTP/1.1\r\n{headers}\r\n").as_bytes())?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    let hello = hello(Some(HOST));
    client.send(&hello)?;
    ensure!(client.receive(hello.len())? == hello);
    let address = client.address()?;
    drop(client);
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["client"] == *address && !line.to_string().contains("10.9.9.9"), "{line}");
    ensure!(line["address"] == format!("127.0.0.1:{port}"), "{line}");
    ensure!(stage.dns.asked() == [HOST] && stage.origin.arrived() == hello);
    Ok(())
}

/// P12: nor do they lend a client the list of another's group.
#[test]
fn headers_make_nobody_a_member_of_a_group() -> Result<()> {
    let far = document(&["far.azurecr.io"], 443);
    let settings =
        "[[client]]\nname = \"far\"\naddress = [\"10.9.9.0/24\"]\nallowlist = [\"far.toml\"]\n";
    let stage = Stage::prepared(settings, |list, _| {
        Ok(std::fs::write(list.with_file_name("far.toml"), far)?)
    })?;
    for header in [
        "X-Forwarded-For: 10.9.9.9",
        "Forwarded: for=10.9.9.9",
        "X-Real-IP: 10.9.9.9",
        "X-Client-IP: 10.9.9.9",
    ] {
        let mut client = stage.client()?;
        client
            .send(format!("CONNECT far.azurecr.io:443 HTTP/1.1\r\n{header}\r\n\r\n").as_bytes())?;
        ensure!(client.head()?.starts_with("HTTP/1.1 403 ringfence: not_in_policy"), "{header}");
        let address = client.address()?;
        let line = stage.recorded(&address)?;
        ensure!(line["group"] == "default" && line["identity"] == "address", "{line}");
    }
    ensure!(stage.dns.asked().is_empty() && stage.origin.connections() == 0);
    Ok(())
}

/// P02: what is sent ahead of the answer is kept within the head's limit, and the rest stays in the socket.
#[test]
fn what_is_sent_ahead_is_bounded() -> Result<()> {
    let stage = Stage::open()?;
    stage.dns.answer(HOST, Answer::Held);
    let mut client = stage.client()?;
    client.set_write_timeout(MOMENT)?;
    let port = stage.origin.port;
    client.send(format!("CONNECT {HOST}:{port} HTTP/1.1\r\n\r\n").as_bytes())?;
    stage.until(|| Ok(!stage.dns.asked().is_empty()))?;
    let chunk = vec![0x17; 1 << 20];
    let stalled = (0..64).any(|_| client.send(&chunk).is_err());
    ensure!(stalled, "64 MiB were taken in before the answer");
    stage.dns.release(LOOPBACK)?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    let address = client.address()?;
    let line = stage.recorded(&address)?;
    ensure!(
        line["reason"] == Reason::NotTls.code() || line["reason"] == Reason::MalformedTls.code(),
        "{line}"
    );
    ensure!(stage.origin.arrived().is_empty());
    Ok(())
}

/// P13: credentials are for the proxy, and nobody else gets to see them.
#[test]
fn credentials_are_repeated_nowhere() -> Result<()> {
    let stage = Stage::open()?;
    let secret = "c2VjcmV0OnNlY3JldA==";
    let port = stage.origin.port;
    let ask = |authority: &str| {
        format!("CONNECT {authority} HTTP/1.1\r\nProxy-Authorization: Basic {secret}\r\n\r\n")
    };
    let mut refused_client = stage.client()?;
    refused_client.send(ask("evil.example:443").as_bytes())?;
    let seen = refused(&mut refused_client)?;
    ensure!(!seen.head.contains(secret) && !seen.body.to_string().contains(secret));

    let mut client = stage.client()?;
    client.send(ask(&format!("{HOST}:{port}")).as_bytes())?;
    ensure!(!client.head()?.contains(secret));
    let hello = hello(Some(HOST));
    client.send(&hello)?;
    client.receive(hello.len())?;
    ensure!(stage.origin.arrived() == hello, "more than the hello arrived");
    drop(client);
    stage.proxy.logged(|line| line["host"] == HOST)?;
    let said = [stage.proxy.stderr().text(), stage.proxy.admin("/metrics")?];
    ensure!(stage.proxy.log()?.iter().all(|line| !line.to_string().contains(secret)));
    ensure!(said.iter().all(|text| !text.contains(secret)));
    Ok(())
}

/// P14, P15 and L16: a hostile name is one line of the log and no label, and the answer, which names the host that
/// was asked for and no other, is taken for text by nobody.
#[test]
fn what_a_client_makes_up_stays_small() -> Result<()> {
    let stage = Stage::open()?;
    let before = series(&stage)?;
    let names = [
        format!("{}.azurecr.io", "x".repeat(10_000)),
        "\x1b[31m<script>\"}{'\".azurecr.io".to_owned(),
        "evil.example".to_owned(),
    ];
    for (number, name) in names.iter().enumerate() {
        let mut client = stage.client()?;
        client.send(connect(&format!("{name}:443")).as_bytes())?;
        let seen = refused(&mut client)?;
        for header in ["Content-Type: application/problem+json", "X-Content-Type-Options: nosniff"]
        {
            ensure!(seen.head.contains(&format!("\r\n{header}\r\n")), "P15: {}", seen.head);
        }
        let body = seen.body.to_string();
        ensure!(body.len() < 1000 && !body.contains('\x1b') && !body.contains('<'), "P15: {body}");
        ensure!(!body.contains(HOST) && !body.contains(DATA), "L16: {body}");
        ensure!(!seen.status.contains(name), "P15: {}", seen.status);
        let client = client.address()?;
        let line = stage.recorded(&client)?;
        let shown = line.get("authority").or(line.get("host")).and_then(|shown| shown.as_str());
        let shown = shown.context("P14: it says what was asked for")?;
        ensure!(shown.len() <= 300 && !shown.contains('\x1b'), "P14: {shown}");
        ensure!(stage.proxy.log()?.len() == number + 1, "P14: one line each");
    }
    ensure!(series(&stage)? == before, "P14: the metrics have grown");
    untouched(&stage)
}

/// P17: an answer arrives whole, although the proxy never wanted what the client was still sending.
#[test]
fn an_answer_outlives_unread_bytes() -> Result<()> {
    let stage = Stage::open()?;
    for (reason, request) in [
        (NotInPolicy, connect("evil.example:443")),
        (BadRequest, "POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n".to_owned()),
        (BadRequest, "\r\n".to_owned()),
    ] {
        let mut client = stage.client()?;
        client.send(request.as_bytes())?;
        let mut writer = client.try_clone()?;
        // Some of it arrives before the answer is sent, and some after.
        for _ in 0..60 {
            let _ = writer.send(&[b'x'; 1000]);
        }
        check(&stage, &mut client, reason).context("P17")?;
    }
    untouched(&stage)
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\n\r\n")
}

/// Sends each request, and looks at everything that is said, written, counted and sent on.
fn refuse_all(stage: &Stage, rows: &[Row]) -> Result<()> {
    for (threat, reason, request) in rows {
        let mut client = stage.client()?;
        // The proxy may have seen enough before it has seen all.
        let _ = client.send(request.as_bytes());
        check(stage, &mut client, *reason).with_context(|| {
            let request: String = request.escape_debug().take(200).collect();
            format!("{threat}: {request}")
        })?;
    }
    untouched(stage)
}

/// No name was looked up, and nobody came.
fn untouched(stage: &Stage) -> Result<()> {
    ensure!(stage.dns.asked().is_empty(), "names were looked up: {:?}", stage.dns.asked());
    ensure!(stage.dns.asked_for_v6().is_empty(), "names were looked up");
    // The proxy would have come before it answered, and the one that comes now comes last.
    drop(stage.tunnel(HOST)?);
    ensure!(stage.origin.connections() == 1, "the proxy has connected");
    Ok(())
}

/// The names and labels of all metrics.
fn series(stage: &Stage) -> Result<BTreeSet<String>> {
    let page = stage.proxy.admin("/metrics")?;
    let lines = page.lines().filter(|line| line.starts_with("ringfence_"));
    Ok(lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect())
}
