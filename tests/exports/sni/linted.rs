//! What the linter says that Envoy's rules let through, Envoy lets through; and nothing of it by a clean rule.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use allowlist_gen::lint::{self, Format};
use anyhow::{Context, Result, ensure};
use ringfence_config::snippet::Source;
use serde_json::{Value, json};
use test_support::{Namespace, PATIENCE, Program, require};

use super::hello;
use crate::consumer;

const DOMAINS: [&str; 10] = [
    "*.azurecr.io:443",
    "*azurecr.io:443",
    "*",
    "*-contoso.azurecr.io:443",
    "*.blob.core.windows.net:443",
    "*.windows.net",
    "contoso.*",
    "contoso*",
    "*.data.azurecr.io",
    "x1.blob.core.windows.net:*",
];

const SERVER_NAMES: [&str; 6] = [
    "*.azurecr.io",
    "*.io",
    "*.blob.core.windows.net",
    "*.core.windows.net",
    "*.azureedge.net",
    "*.eastus.data.azurecr.io",
];

#[test]
fn envoy_lets_through_what_the_linter_says_and_nothing_else_of_it() -> Result<()> {
    let Some(program) = consumer::installed("py/bin/envoy") else { return Ok(()) };
    if !require(&[]) {
        return Ok(());
    }
    // Where nobody else takes ports.
    Namespace::create("envoy")?.enter(|| hold_to_envoy(&program))?
}

fn hold_to_envoy(program: &Path) -> Result<()> {
    let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let far_port = far.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in far.incoming() {
            // What has been said is read to its end: otherwise a reset would overtake the greeting.
            std::thread::spawn(|| {
                let mut stream = stream?;
                stream.write_all(GREETING)?;
                std::io::copy(&mut stream, &mut std::io::sink())
            });
        }
    });

    let (clean_domain, clean_name) = ("contoso.azurecr.io:443", "contoso.azurecr.io");
    let rules = DOMAINS.iter().chain([&clean_domain]).map(|domain| (true, *domain));
    let rules = rules.chain(SERVER_NAMES.iter().chain([&clean_name]).map(|name| (false, *name)));
    let rules: Vec<(u16, bool, &str)> = (FIRST_PORT..)
        .zip(rules)
        .map(|(port, (is_domain, text))| (port, is_domain, text))
        .collect();
    let listeners: Vec<Value> = rules
        .iter()
        .map(
            |(port, is_domain, text)| {
                if *is_domain { by_domain(*port, text) } else { by_server_name(*port, text) }
            },
        )
        .collect();
    let clusters = [cluster("far", far_port), cluster("nobody", 1)];
    let config = json!({ "static_resources": { "listeners": listeners, "clusters": clusters } });
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let _envoy = start(program, &file)?;

    let port_of = |is_domain: bool, text: &str| {
        let rule = rules.iter().find(|(_, kind, rule)| *kind == is_domain && *rule == text);
        rule.map(|(port, ..)| *port).expect("each rule has a listener")
    };
    let mut asked = 0;
    for ((port, is_domain, text), listener) in rules.iter().zip(&listeners) {
        let is_clean = *text == if *is_domain { clean_domain } else { clean_name };
        let witnesses = witnesses(listener)?;
        ensure!(witnesses.is_empty() == is_clean, "{text}: {witnesses:?}");
        for witness in witnesses {
            let passes = |port| {
                if *is_domain { ask_domain(port, text, &witness) } else { ask_name(port, &witness) }
            };
            ensure!(passes(*port)?, "{text} doesn't let {witness} through");
            let clean = port_of(*is_domain, if *is_domain { clean_domain } else { clean_name });
            ensure!(!passes(clean)?, "the clean rule lets {witness} through");
            asked += 1;
        }
    }
    ensure!(ask_domain(port_of(true, clean_domain), clean_domain, clean_name)?, "nothing passes");
    ensure!(ask_name(port_of(false, clean_name), clean_name)?, "nothing passes");
    ensure!(asked > 20, "{asked}");
    Ok(())
}

fn by_domain(port: u16, domain: &str) -> Value {
    let host = json!({
        "name": "linted", "domains": [domain],
        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "nobody" } }],
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "linted",
        "route_config": { "virtual_hosts": [host] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    let filter = json!({ "name": "http", "typed_config": manager });
    json!({ "address": address(port), "filter_chains": [{ "filters": [filter] }] })
}

fn by_server_name(port: u16, name: &str) -> Value {
    let inspector = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    });
    let proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "linted", "cluster": "far",
    });
    json!({
        "address": address(port),
        "listener_filters": [{ "name": "inspector", "typed_config": inspector }],
        "filter_chains": [{
            "filter_chain_match": { "server_names": [name] },
            "filters": [{ "name": "tcp", "typed_config": proxy }],
        }],
    })
}

fn cluster(name: &str, port: u16) -> Value {
    let endpoint = json!({ "endpoint": { "address": address(port) } });
    json!({
        "name": name, "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn witnesses(listener: &Value) -> Result<Vec<String>> {
    let source = Source { name: "envoy.json".to_owned(), text: listener.to_string() };
    let report = lint::lint(&[source], Some(Format::Envoy), None)?;
    let reached = report.findings.iter().flat_map(|finding| &finding.reached);
    Ok(reached.map(|reached| reached.witness.as_str().to_owned()).collect())
}

/// Envoy answers 404 where no virtual host has the authority, and 503 where the one that has leads to nobody.
fn ask_domain(port: u16, domain: &str, host: &str) -> Result<bool> {
    let authority = if domain.contains(':') { format!("{host}:443") } else { host.to_owned() };
    let mut stream = connect(port)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    // It says so at once, and closes the connection a second later.
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.split(' ').nth(1) {
        Some("503") => Ok(true),
        Some("404") => Ok(false),
        _ => anyhow::bail!("{host}: {answer}"),
    }
}

/// Whether the far end greets whoever asks for this server name.
fn ask_name(port: u16, host: &str) -> Result<bool> {
    let mut stream = connect(port)?;
    stream.write_all(&hello::naming(host)?)?;
    let mut greeting = [0; GREETING.len()];
    Ok(stream.read_exact(&mut greeting).is_ok() && greeting == *GREETING)
}

#[expect(clippy::disallowed_methods, reason = "a client of Envoy, inside a namespace")]
fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn start(program: &Path, file: &Path) -> Result<test_support::Running> {
    let envoy = Program::new(program).args(["--disable-hot-restart", "--concurrency", "1"]);
    let envoy = envoy.args(["--log-level", "info", "--config-path"]).arg(file).start()?;
    envoy.stderr.wait_for_line(|line| line.contains("starting workers")).context("it starts")?;
    Ok(envoy)
}

const GREETING: &[u8; 5] = b"hello";

/// Of the listeners, a port for each rule.
const FIRST_PORT: u16 = 20_000;
