//! Envoy, from `PyPI`: by CONNECT, and by server name (SNI).

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::{Context, Result, ensure};
use ringfence_config::allowlist::Ports;
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Allowlist, Entry, Role};
use serde_json::Value;
use test_support::{Authority, Program, Running};

use super::probes::sorted;
use super::world::{Client, GREETING, PINNED, PLATFORM, PUBLIC, World, answer};
use super::{hello, probes, widened};
use crate::consumer::{self, Mutation, Verdict};
use crate::{lookalikes, matrix};

const MUTATIONS: [Mutation; 4] = [
    Mutation { from: "save_upstream_address", to: "save_upstream_adress" },
    Mutation { from: "action: DENY", to: "action: DENIED" },
    Mutation { from: "rbac.v3.RBAC", to: "rbac.v3.RBAK" },
    Mutation { from: "port_value: 3128", to: "port_value: 331280" },
];

#[test]
fn envoy_accepts_its_configuration_and_obeys() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    let judgement = consumer::judge(Format::Envoy, &MUTATIONS, |text| validate(&program, text));
    let asked = ask(&program, Format::Envoy, PUBLIC, ask_targets)?;
    let Some(mut asked) = asked else { return Ok(()) };
    for (address, allowed) in [(PINNED, &["contoso.azurecr.io"][..]), (PLATFORM, &[])] {
        let ask_addresses = |world: &World, _: &Running| ask_addresses(world, allowed);
        let more = ask(&program, Format::Envoy, address, ask_addresses)?;
        asked += more.context("it ran a moment ago")?;
    }
    matrix::record(Format::Envoy, "envoy", &version(&program), judgement.with_probes(asked));
    Ok(())
}

#[test]
fn envoy_accepts_its_configuration_for_sni_and_obeys() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    let judgement = consumer::judge(Format::EnvoySni, &MUTATIONS, |text| validate(&program, text));
    let names = |world: &World, running: &Running| {
        let asked = probes::ask_names(world)?;
        for (name, key, value) in [
            ("contoso.azurecr.io", "address", "20.62.128.10:443"),
            ("evil.azurecr.io", "flags", "NR"),
        ] {
            find(running, |line| line["sni"] == name && line[key] == value).context(name)?;
        }
        Ok(asked)
    };
    let asked = ask(&program, Format::EnvoySni, PUBLIC, names)?;
    let Some(mut asked) = asked else { return Ok(()) };
    for (address, allowed) in [(PINNED, &["contoso.azurecr.io"][..]), (PLATFORM, &[])] {
        let ask_addresses = |world: &World, _: &Running| probes::ask_addresses(world, allowed);
        let more = ask(&program, Format::EnvoySni, address, ask_addresses)?;
        asked += more.context("it ran a moment ago")?;
    }
    matrix::record(Format::EnvoySni, "envoy", &version(&program), judgement.with_probes(asked));
    Ok(())
}

/// Asks for everything that has an answer by name and port; returns how many questions there were.
fn ask_targets(world: &World, running: &Running) -> Result<usize> {
    let mut questions: Vec<(String, u16)> = Vec::new();
    let mut ask = |target: String, status: u16| questions.push((target, status));
    for probe in lookalikes::probes().into_iter().chain(lookalikes::other_ports()) {
        ask(format!("{}:{}", probe.host, probe.port), if probe.passes { 200 } else { 403 });
    }
    for host in lookalikes::with_trailing_dot() {
        ask(format!("{host}:443"), 403);
    }
    for target in ["20.62.128.10:443", "[::1]:443", "contoso.azurecr.io:0443"] {
        ask(target.to_owned(), 403);
    }
    for target in [
        "contoso.azurecr.io",
        "contoso.azurecr.io:443:443",
        "x@contoso.azurecr.io:443",
        "*.azurecr.io:443",
    ] {
        ask(target.to_owned(), 400);
    }
    let mut expected = Vec::new();
    for (target, status) in &questions {
        let host = target.split(':').next().unwrap_or_default();
        let hello = hello::naming(if host.len() > 3 { host } else { HOST })?;
        let found = connect(world, target, &hello)?;
        ensure!(found == (*status, *status == 200), "`{target}`: {found:?} rather than {status}");
        expected.extend((*status == 200).then_some(hello));
    }
    // The target is listed, and what comes in the tunnel isn't.
    let mut inside = vec![b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), hello::nameless()?];
    // A few only: Envoy takes a second to close each.
    for name in ["evil.azurecr.io", "sub.contoso.azurecr.io", "exfil.blob.core.windows.net"] {
        inside.push(hello::naming(name)?);
    }
    for bytes in &inside {
        let found = connect(world, "contoso.azurecr.io:443", bytes)?;
        ensure!(found == (200, false), "{}: {found:?}", String::from_utf8_lossy(bytes));
    }
    let found = request(
        world,
        "GET http://contoso.azurecr.io/ HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n",
    )?;
    ensure!(found.0 == Some(405), "GET: {found:?}");
    let head = "CONNECT contoso.azurecr.io:443 HTTP/1.1\r\nHost: contoso.azurecr.io:443\r\n\r\n";
    let mut stranger = world.connect(Client::Stranger)?;
    let _ = stranger.write_all(head.as_bytes());
    ensure!(answer(&mut stranger)?.is_none(), "a stranger got an answer");
    drop(stranger);
    ensure!(sorted(world.arrived()?) == sorted(expected), "something else arrived");
    for (authority, status, rule) in [
        ("contoso.azurecr.io:443", 200, "acr-contoso"),
        ("contoso.azurecr.io:80", 403, "not_in_policy"),
        ("evil.azurecr.io:443", 403, "not_in_policy"),
    ] {
        let is_asked = |line: &Value| line["authority"] == authority && line["status"] == status;
        let line = find(running, is_asked).context(authority)?;
        ensure!(line["rule"] == rule, "{line}");
    }
    find(running, |line| line["flags"] == "NR").context("the stranger has a line")?;
    Ok(questions.len() + inside.len() + 2)
}

/// Asks for the listed hosts in a world where every name is at an address that only `allowed` may have.
fn ask_addresses(world: &World, allowed: &[&str]) -> Result<usize> {
    let mut expected = Vec::new();
    for host in lookalikes::LISTED {
        let hello = hello::naming(host)?;
        let found = connect(world, &format!("{host}:443"), &hello)?;
        ensure!(found == (200, allowed.contains(&host)), "{host}: {found:?}");
        expected.extend(allowed.contains(&host).then_some(hello));
    }
    let mut arrived = world.arrived()?;
    arrived.retain(|bytes| !bytes.is_empty());
    ensure!(sorted(arrived) == sorted(expected), "something else arrived");
    Ok(lookalikes::LISTED.len())
}

#[test]
fn envoy_lets_no_storage_pass_when_its_file_is_widened() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    let Some(world) = World::open(&[], PUBLIC)? else { return Ok(()) };
    let text = widened::export(Format::Envoy, &LINES)?;
    let running = start(&program, &world, &text)?;
    for (host, passes) in [
        ("mine.blob.core.windows.net", true),
        ("MINE.blob.core.windows.net", true),
        ("harmless.windows.net", true),
        ("exfil.blob.core.windows.net", false),
        ("EXFIL.BLOB.core.windows.net", false),
    ] {
        let hello = hello::naming(host)?;
        let found = connect(&world, &format!("{host}:443"), &hello)?;
        ensure!(found == (if passes { 200 } else { 403 }, passes), "`{host}`: {found:?}");
        let inside = connect(&world, "harmless.windows.net:443", &hello)?;
        ensure!(inside == (200, passes), "`{host}` in a tunnel: {inside:?}");
    }
    let arrived = world.arrived()?;
    ensure!(
        arrived.iter().filter(|bytes| !bytes.is_empty()).count() == 6,
        "something else arrived"
    );
    let is_storage = |line: &Value| {
        line["reason"].as_str().is_some_and(|reason| reason.contains("storage_forbidden"))
    };
    find(&running, is_storage)?;
    Ok(())
}

#[test]
fn envoy_for_sni_lets_no_storage_pass_when_its_file_is_widened() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    let Some(world) = World::open(&[], PUBLIC)? else { return Ok(()) };
    let text = widened::export(Format::EnvoySni, &LINES[1..])?;
    let _running = start(&program, &world, &text)?;
    probes::ask_widened(&world)
}

#[test]
fn envoy_takes_a_long_list() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    for format in [Format::Envoy, Format::EnvoySni] {
        validate(&program, &widened::long(format)?).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// A real client gets through to a real server, on a port of the list's.
#[test]
fn curl_gets_through_envoy() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    let Some(world) = World::open(&["curl", "openssl"], PUBLIC)? else { return Ok(()) };
    let mut entry = Entry::new(HOST.parse()?, Role::from(&HOST.parse::<Endpoint>()?));
    entry.ports = Ports::new(vec!["443".parse()?, "5000".parse()?]).context("ports")?;
    let text = World::export_of(Format::Envoy, &Allowlist::new([entry])?)?;
    let _running = start(&program, &world, &text)?;

    let authority = Authority::create()?;
    let identity = authority.issue(&[HOST])?;
    let trusted = world.write("authority.pem", authority.pem())?;
    let server = Program::new("openssl")
        .inside(&world.namespace)
        .args(["s_server", "-www", "-accept", &format!("{PUBLIC}:5000")])
        .args([OsStr::new("-cert"), world.write("host.pem", &identity.certificate_pem)?.as_ref()])
        .args([OsStr::new("-key"), world.write("host.key", &identity.key_pem)?.as_ref()])
        .start()?;
    server.stdout.wait_for_line(|line| line.contains("ACCEPT"))?;

    let curl = |url: &str| {
        let curl = Program::new("curl").inside(&world.namespace).arg("--cacert").arg(&trusted);
        let proxy = ["--proxy", "http://10.10.0.2:3128"];
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20"])
            .args(proxy)
            .arg(url)
            .run()
    };
    let page = curl(&format!("https://{HOST}:5000/"))?.succeeded()?;
    ensure!(page.stdout.contains("s_server"), "{page}");
    curl(&format!("https://{HOST}:5001/"))?.failed_saying("403")?;
    curl("https://evil.azurecr.io:5000/")?.failed_saying("403")?;
    Ok(())
}

/// The status of a CONNECT, and whether the far end answers to what is then sent.
fn connect(world: &World, target: &str, bytes: &[u8]) -> Result<(u16, bool)> {
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let (status, mut stream) = request(world, &head)?;
    let status = status.with_context(|| format!("`{target}`: no answer"))?;
    if status != 200 {
        return Ok((status, false));
    }
    stream.write_all(bytes)?;
    Ok((status, answer(&mut stream)?.is_some_and(|said| said == GREETING)))
}

fn request(world: &World, head: &str) -> Result<(Option<u16>, TcpStream)> {
    let mut stream = world.connect(Client::Known)?;
    stream.write_all(head.as_bytes())?;
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            break;
        }
        said.push(byte[0]);
    }
    let status = String::from_utf8_lossy(&said);
    Ok((status.split(' ').nth(1).and_then(|status| status.parse().ok()), stream))
}

fn ask(
    program: &Path,
    format: Format,
    address: Ipv4Addr,
    questions: impl Fn(&World, &Running) -> Result<usize>,
) -> Result<Option<usize>> {
    let Some(world) = World::open(&[], address)? else { return Ok(None) };
    let running = start(program, &world, &World::export(format)?)?;
    questions(&world, &running).map(Some)
}

fn start(program: &Path, world: &World, text: &str) -> Result<Running> {
    let file = world.write("envoy.yaml", text)?;
    let envoy = Program::new(program).args(["--disable-hot-restart", "--concurrency", "1"]);
    // It writes its access log every ten seconds otherwise.
    let envoy = envoy.args(["--file-flush-interval-msec", "50", "--log-level", "warning"]);
    world.start(envoy.arg("--config-path").arg(file))
}

/// A line of the access log.
fn find(running: &Running, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let is_wanted = |line: &str| serde_json::from_str(line).is_ok_and(|line| wanted(&line));
    Ok(serde_json::from_str(&running.stdout.wait_for_line(is_wanted)?)?)
}

fn validate(program: &Path, text: &str) -> Verdict {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    let mut envoy = Command::new(program);
    envoy.args(["--mode", "validate", "--log-level", "error", "--config-path"]).arg(file.path());
    consumer::run(&mut envoy)
}

/// The number in `envoy  version: 8f39a/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(program: &Path) -> String {
    let line = consumer::first_line(Command::new(program).arg("--version"));
    let number = line.split_once("version:").and_then(|(_, said)| said.split('/').nth(1));
    number.unwrap_or(&line).to_owned()
}

const HOST: &str = "contoso.azurecr.io";
const LINES: [&str; 2] = ["- mine.blob.core.windows.net:443", "- mine.blob.core.windows.net"];
