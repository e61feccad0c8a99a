//! What audit mode carries, and what it refuses like any other mode: row L07 of the threats.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use test_support::Ringfence;

use crate::contoso::{
    Contoso, LOGIN, LOGIN_ENTRY, STRANGER, WESTUS, allowlist, refused, tunnelled,
};
use crate::stage::{Answer, HOST, LOOPBACK, Stage, hello};

const AUDIT: &str = "mode = \"audit\"\n";

/// L07: what the list lacks is carried, and both the log and the counter say that it would be refused.
#[test]
fn what_is_not_listed_is_carried_and_said() -> Result<()> {
    let Some(contoso) = Contoso::build(WESTUS, &["curl"])? else {
        return Ok(());
    };
    let proxy = auditing(&contoso)?;
    contoso.network.client("curl", &proxy).arg(format!("https://{WESTUS}/")).run()?.succeeded()?;
    let line = proxy.logged(tunnelled(WESTUS))?;
    ensure!(line["would_deny"] == Reason::NotInPolicy.code() && line["role"].is_null(), "{line}");
    ensure!(proxy.metric("ringfence_would_deny_total{reason=\"not_in_policy\"}")? == 1);
    ensure!(proxy.metric("ringfence_tunnels_total{role=\"unlisted\"}")? == 1);

    contoso.pull(&proxy, ":v1", "copy")?.succeeded()?;
    contoso.check_copy("copy")?;
    let blob = contoso.image.largest().replace("sha256:", "");
    ensure!(contoso.westus.log().iter().any(|line| line.contains(&blob)));
    let line = proxy.logged(tunnelled(LOGIN))?;
    ensure!(line["would_deny"].is_null() && line["role"] == "login", "{line}");
    let said = "audit mode: what isn't listed is carried and logged with `would_deny`";
    proxy.stderr().wait_for_line(|line| line.contains(said))?;
    Ok(())
}

/// L07: a host that is on no list is reached under its own name only, and a storage host not at all.
#[test]
fn what_is_carried_is_still_looked_at() -> Result<()> {
    let Some(contoso) = Contoso::build_empty(WESTUS, &["curl"])? else {
        return Ok(());
    };
    let proxy = auditing(&contoso)?;
    let curl = || contoso.network.client("curl", &proxy).arg("--silent").arg("--verbose");
    curl().arg(format!("https://{STRANGER}/")).run()?.failed_saying("storage_forbidden")?;
    proxy.logged(refused(STRANGER, "storage_forbidden"))?;
    contoso.check_stranger_untouched()?;

    // Asks for the replica, and names another host in its ClientHello.
    let elsewhere = format!("{STRANGER}:443:{WESTUS}:443");
    curl().args(["--connect-to", &elsewhere, &format!("https://{STRANGER}/")]).run()?.failed()?;
    let line = proxy.logged(|line| line["host"] == WESTUS)?;
    ensure!(line["reason"] == Reason::SniMismatch.code() && line["sent"] == 0, "{line}");
    ensure!(contoso.westus.log().is_empty());
    Ok(())
}

/// L07: addresses, requests and hellos are refused as ever, whether their host is listed or not.
#[test]
fn every_other_rule_is_enforced() -> Result<()> {
    let stage = Stage::with_settings(AUDIT)?;
    let port = stage.origin.port;
    let reached = stage.tunnel(HOST)?;
    let arrived = stage.origin.arrived();

    // Read, and refused before any name is looked up.
    let asked = stage.dns.asked();
    let rows = [
        (Reason::StorageForbidden, "exfil.blob.core.windows.net:443".to_owned()),
        (Reason::IpLiteral, format!("127.0.0.1:{port}")),
        (Reason::IpLiteral, "[::1]:443".to_owned()),
        (Reason::BadAuthority, format!("{HOST}.:{port}")),
        (Reason::BadPort, format!("{HOST}:+{port}")),
    ];
    for (reason, authority) in rows {
        refuse(&stage, &authority, reason)?;
    }
    ensure!(stage.dns.asked() == asked, "names were looked up");

    // Carried, if only their addresses were public ones. A pin is its entry's, and an entry its ports'.
    let addresses = [LOOPBACK, "10.0.0.5".parse()?, "169.254.169.254".parse::<IpAddr>()?];
    stage.dns.answer("unlisted.example", Answer::Addresses(addresses.to_vec()));
    for (authority, would_deny) in [
        (format!("unlisted.example:{port}"), Reason::NotInPolicy),
        (format!("{HOST}:{}", port ^ 1), Reason::PortNotAllowed),
    ] {
        let line = refuse(&stage, &authority, Reason::AddressForbidden)?;
        ensure!(line["would_deny"] == would_deny.code(), "{line}");
    }

    for (reason, bytes) in [
        (Reason::NotTls, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (Reason::SniMissing, hello(None)),
        (Reason::SniMismatch, hello(Some("unlisted.example"))),
    ] {
        let (mut client, head) = stage.connect(&format!("{HOST}:{port}"))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client.send(&bytes)?;
        stage.proxy.logged(|line| line["reason"] == reason.code())?;
    }
    ensure!(stage.origin.arrived() == arrived, "something arrived");
    ensure!(stage.proxy.metric("ringfence_would_deny_total")? == 0, "nothing of it was carried");

    // And an empty list is none.
    drop(reached);
    stage.allow(&[])?;
    refuse(&stage, &format!("{HOST}:{port}"), Reason::NoPolicy)?;
    Ok(())
}

/// Asks for `authority` and is refused; the log's line of that.
fn refuse(stage: &Stage, authority: &str, reason: Reason) -> Result<serde_json::Value> {
    let (client, head) = stage.connect(authority)?;
    ensure!(head.contains(&format!(" ringfence: {reason}; ")), "{authority}: {head}");
    let address = client.address()?;
    let line = stage.recorded(&address).context("a line")?;
    ensure!(line["reason"] == reason.code(), "{line}");
    Ok(line)
}

/// A proxy in audit mode whose list has the login server alone.
fn auditing(contoso: &Contoso) -> Result<Ringfence> {
    contoso.network.write("allowlist.toml", &allowlist(&[LOGIN_ENTRY]))?;
    let settings = format!(
        "{AUDIT}allowlist = [\"allowlist.toml\"]\nresolver = [\"{}\"]\n",
        contoso.dns.address()
    );
    let config = contoso.network.write("ringfence.toml", &settings)?;
    let arguments = ["--config".as_ref(), config.as_os_str()];
    Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), &contoso.network, arguments)
}
