//! The proxy within TLS: who speaks it carries tunnels and reads refusals as without, and who doesn't gets
//! nowhere.

use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustls::version::{TLS12, TLS13};
use test_support::tls_client::TlsClient;
use test_support::{Program, require_program};

use crate::secure::{NAME, Secure, echo, web_server};
use crate::stage::{Client, HOST, PROGRAM, document, extension, hello, message, record};

#[test]
fn both_versions_carry_a_tunnel() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&secure.authority, &[version])?;
        for protocols in [&[][..], &["http/1.1"]] {
            let mut tunnel = secure.tunnel(&client.clone().offering(protocols), HOST)?;
            echo(&mut tunnel, &vec![b'x'; 1 << 20])?;
            tunnel.conn.send_close_notify();
            tunnel.flush()?;
            let mut rest = Vec::new();
            tunnel.read_to_end(&mut rest)?;
            assert_eq!(rest, b"goodbye");
        }
    }
    secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() == 4))?;
    for line in secure.stage.proxy.log()? {
        assert_eq!((&line["listener"], &line["outcome"]), (&"tls".into(), &"tunnel".into()));
        assert_eq!((&line["end"], &line["host"]), (&"client".into(), &HOST.into()), "{line}");
    }
    Ok(())
}

#[test]
fn refusals_are_readable() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let rows = [
        ("fabrikam.azurecr.io", 403, "not_in_policy"),
        ("somebody.blob.core.windows.net", 403, "storage_forbidden"),
        ("[contoso.azurecr.io]", 400, "bad_authority"),
    ];
    for (host, status, reason) in rows {
        let (mut stream, head) = secure.ask(&secure.client()?, host, "")?;
        let expected = format!("HTTP/1.1 {status} ringfence: {reason}; ");
        ensure!(head.starts_with(&expected), "{head}");
        let mut body = String::new();
        stream.read_to_string(&mut body)?;
        ensure!(body.contains(&format!("\"reason\":\"{reason}\"")), "{body}");
        let line = secure.stage.proxy.logged(|line| line["reason"] == reason)?;
        assert_eq!(line["listener"], "tls");
    }
    secure.nothing_went_out();
    Ok(())
}

/// The alert is the tunnel's, inside the TLS with the proxy.
#[test]
fn a_refusal_behind_the_200_is_an_alert() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let (mut stream, head) = secure.ask(&secure.client()?, HOST, "")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream.write_all(&hello(Some("fabrikam.azurecr.io")))?;
    let mut words = Vec::new();
    stream.read_to_end(&mut words)?;
    assert_eq!(words, [21, 3, 3, 0, 2, 2, 112], "unrecognized_name");
    secure.stage.proxy.logged(|line| line["reason"] == "sni_mismatch")?;
    assert_eq!(secure.stage.origin.arrived(), b"");
    Ok(())
}

#[test]
fn what_is_no_tls_of_today_gets_nowhere() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    // Of TLS 1.1, with ciphers that it had.
    let old = record(&message([3, 2], &extension(10, &[0, 2, 0, 23])));
    let plain = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n").into_bytes();
    for (number, bytes) in [old, plain, b"SSH-2.0-x\r\n".to_vec(), vec![0; 100]].iter().enumerate()
    {
        let mut client = Client::connect(secure.stage.proxy.listen_tls()?)?;
        client.send(bytes)?;
        let answer = client.rest()?;
        assert!(answer.is_empty() || answer.first() == Some(&21), "{}", answer.escape_ascii());
        secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() > number))?;
    }
    for line in secure.stage.proxy.log()? {
        assert_eq!(
            (&line["reason"], &line["listener"]),
            (&"client_tls_failed".into(), &"tls".into())
        );
        assert!(line["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{line}");
    }
    let counter = "ringfence_connections_total{outcome=\"client_tls_failed\"}";
    assert_eq!(secure.stage.proxy.metric(counter)?, 4);
    secure.nothing_went_out();
    Ok(())
}

#[test]
fn a_slow_handshake_ends_in_time() -> Result<()> {
    let secure = Secure::open("", "", "[timeouts]\nhead = \"1s\"")?;
    let begun = Instant::now();
    let mut client = Client::connect(secure.stage.proxy.listen_tls()?)?;
    client.send(&hello(Some(NAME))[..20])?;
    assert!(client.ended()?);
    assert!(begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
    let line = secure.stage.proxy.logged(|line| line["reason"] == "client_tls_failed")?;
    assert_eq!(line["detail"], "it was not done in time");
    secure.nothing_went_out();
    Ok(())
}

/// And then new connections get it, a bad one changes nothing, and live tunnels never notice.
#[test]
fn a_certificate_is_replaced() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let client = secure.client()?;
    let shown = || -> Result<Vec<u8>> {
        let stream = secure.secured(&client)?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        Ok(shown.context("no certificate")?.to_vec())
    };
    let mut tunnel = secure.tunnel(&client, HOST)?;
    let old = shown()?;

    let failures = || secure.stage.proxy.metric("ringfence_reload_failures_total");
    secure.replace("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
    secure.stage.until(|| Ok(failures()? > 0))?;
    secure.stage.proxy.stderr().wait_for_line(|line| {
        line.starts_with("ringfence: the old certificates stay in force: ")
            && line.contains("tls.crt")
    })?;
    assert_eq!(shown()?, old);

    let new = secure.authority.issue(&[NAME])?;
    secure.replace("tls.key", &new.key_pem)?;
    secure.replace("tls.crt", &new.certificate_pem)?;
    secure.stage.until(|| Ok(shown()? == new.certificate_der))?;
    echo(&mut tunnel, b"still here")
}

#[test]
fn without_http2_it_is_not_offered() -> Result<()> {
    let secure = Secure::open("", "http2 = false", "")?;
    let client = secure.client()?;
    let stream = secure.secured(&client.clone().offering(&["h2", "http/1.1"]))?;
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(secure.secured(&client.offering(&["h2"])).is_err());
    secure.stage.proxy.logged(|line| line["reason"] == "client_tls_failed")?;
    Ok(())
}

/// As Go's clients do.
#[test]
fn who_agrees_on_http2_may_speak_http1() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let client = secure.client()?.offering(&["h2", "http/1.1"]);
    drop(secure.tunnel(&client, HOST)?);
    let line = secure.stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    assert_eq!(line["listener"], "tls");
    let (_, head) = secure.ask(&client, "fabrikam.azurecr.io", "")?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
    Ok(())
}

/// Without `listen` there is no other way in than TLS.
#[test]
fn the_tls_listener_may_be_the_only_one() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let config = secure.folder.join("alone.toml");
    fs::write(
        &config,
        "allowlist = [\"allowlist.toml\"]\nadmin = \"127.0.0.1:0\"\n\
         [tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n",
    )?;
    let alone = Program::new(PROGRAM).args(["run", "--config"]).arg(&config).start()?;
    alone.stderr.wait_for_line(|line| line.starts_with("ringfence: admin on "))?;
    let listening: Vec<_> =
        alone.stderr.lines().into_iter().filter(|line| line.contains("listening")).collect();
    assert!(matches!(&listening[..], [line] if line.ends_with(" (tls)")), "{listening:?}");
    Ok(())
}

#[test]
fn check_reads_the_files_too() -> Result<()> {
    let secure = Secure::of_groups(
        "[credentials]\nusers = \"users\"\n\
         [[client]]\nname = \"build\"\nuser = [\"ci\"]\nallowlist = [\"build.toml\"]",
    )?;
    let config = secure.folder.join("ringfence.toml");
    let check = || Program::new(PROGRAM).args(["check", "--config"]).arg(&config).run();
    let checked = check()?.succeeded()?;
    // No group needs one.
    assert!(checked.stderr.contains("(`client_ca`), but no group needs one"), "{checked}");
    for (file, text) in [("users", "ci:secret\n"), ("tls.key", "none"), ("revoked.pem", "")] {
        let path = secure.folder.join(file);
        let good = fs::read_to_string(&path)?;
        secure.replace(file, text)?;
        let finished = check()?.failed_saying(file)?;
        assert_eq!(finished.status.code(), Some(2));
        assert!(!finished.stderr.contains("secret"), "{finished}");
        secure.replace(file, &good)?;
    }
    check()?.succeeded()?;
    Ok(())
}

#[test]
fn curl() -> Result<()> {
    works("curl", |url, secure| {
        let ca = secure.folder.join("ca.pem");
        let proxy = format!("https://{}", secure.stage.proxy.listen_tls()?);
        let curl = Program::new("curl").args(["--silent", "--show-error", "--fail", "--verbose"]);
        let curl = curl.args(["--proxy", &proxy, "--noproxy", "", "--proxy-cacert"]).arg(&ca);
        Ok(curl.arg("--cacert").arg(&ca).arg(url))
    })
}

#[test]
fn go() -> Result<()> {
    works("go", |url, secure| {
        let proxy = format!("https://{}", secure.stage.proxy.listen_tls()?);
        let go = Program::new("go").args(["run", &format!("{SCRIPTS}/fetch.go"), url]);
        let go = go.arg(secure.folder.join("out")).env("HTTPS_PROXY", proxy);
        let go = go.env("GOCACHE", secure.folder.join("go")).env("HOME", &secure.folder);
        Ok(go.env("SSL_CERT_FILE", secure.folder.join("ca.pem")))
    })
}

/// Has a client fetch something through the TLS listener, and then from a host that isn't on the list.
fn works(program: &str, fetch: impl Fn(&str, &Secure) -> Result<Program>) -> Result<()> {
    if !require_program(program) {
        return Ok(());
    }
    let secure = Secure::open("", "", "")?;
    let port = web_server(&secure.authority)?;
    secure.stage.enforce(&document(&[HOST], port))?;
    fetch(&format!("https://{HOST}:{port}/"), &secure)?.run()?.succeeded()?;
    secure.stage.proxy.logged(|line| line["outcome"] == "tunnel" && line["listener"] == "tls")?;
    let refused = fetch(&format!("https://fabrikam.azurecr.io:{port}/"), &secure)?.run()?;
    refused.failed_saying("not_in_policy")?;
    assert_eq!(secure.stage.dns.asked(), [HOST]);
    Ok(())
}

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proxy/clients");
