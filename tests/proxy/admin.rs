//! The admin port: for those who run the proxy, and not for its clients.

use anyhow::{Result, ensure};

use crate::stage::{Client, HOST, Stage, document};

/// Not by address, not by a name for it, not by a request to forward.
#[test]
fn the_admin_port_is_not_reached_through_the_proxy() -> Result<()> {
    let stage = Stage::open()?;
    let admin = stage.proxy.admin_address();
    for (target, answer) in [
        (admin.to_string(), "403 ringfence: ip_literal; "),
        (format!("[::ffff:127.0.0.1]:{}", admin.port()), "403 ringfence: ip_literal; "),
        (format!("localhost:{}", admin.port()), "400 ringfence: bad_authority; "),
        (format!("localhost.localdomain:{}", admin.port()), "403 ringfence: not_in_policy; "),
    ] {
        let (_, head) = stage.connect(&target)?;
        ensure!(head.starts_with(&format!("HTTP/1.1 {answer}")), "{target}: {head}");
    }
    for request in [
        format!("GET http://{admin}/metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n"),
    ] {
        let mut client = stage.client()?;
        client.send(request.as_bytes())?;
        let answer = client.head()?;
        ensure!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
    ensure!(stage.dns.asked().is_empty());
    Ok(())
}

/// A list can name the port, and a name can point here; the proxy still doesn't dial itself.
#[test]
fn a_listed_name_for_the_admin_port_is_not_dialled() -> Result<()> {
    let stage = Stage::open()?;
    let port = stage.proxy.admin_address().port();
    stage.enforce(&document(&[HOST], port))?;
    let (_, head) = stage.connect(&format!("{HOST}:{port}"))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: self_connect; "), "{head}");
    Ok(())
}

#[test]
fn the_admin_port_only_reads() -> Result<()> {
    let stage = Stage::open()?;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"] {
        let mut client = Client::connect(stage.proxy.admin_address())?;
        let target = if method == "CONNECT" { "contoso.azurecr.io:443" } else { "/metrics" };
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        let head = client.head()?;
        ensure!(head.starts_with("HTTP/1.1 405 "), "{method}: {head}");
    }
    ensure!(stage.dns.asked().is_empty());
    Ok(())
}

/// More idle connections than there are places: they are let go, and the next scrape is answered.
#[test]
fn idle_connections_do_not_keep_the_admin_port_from_answering() -> Result<()> {
    let stage = Stage::open()?;
    let address = stage.proxy.admin_address();
    let mut idle = (0..100).map(|_| Client::connect(address)).collect::<Result<Vec<_>>>()?;
    for client in &mut idle[..10] {
        client.send(b"GET /metr")?;
    }
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    // The first of them were ended, not we by them.
    ensure!(idle[50].ended()?);
    // One request a connection.
    let mut client = Client::connect(address)?;
    client.send(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    )?;
    let answers = String::from_utf8(client.rest()?)?;
    ensure!(answers.matches("HTTP/1.1 200 ").count() == 1, "{answers}");
    Ok(())
}
