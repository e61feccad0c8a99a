//! Who clients are, by address, certificate and credentials: each group has its own list, and who is in none
//! gets nothing.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use test_support::tls_client::{ClientAuthority, ClientCertificate, Flaw, TlsClient};
use test_support::{Identity, Program, require_program};

use crate::secure::{Secure, users, web_server};
use crate::stage::{DATA, HOST, PROGRAM, Stage, document, hello};

#[test]
fn addresses_have_their_groups() -> Result<()> {
    let stage = Stage::of_groups(ADDRESSES, write_lists)?;
    for (client, allowed, other, group) in
        [(BUILD, HOST, DATA, "build"), (DEPLOY, DATA, HOST, "deploy")]
    {
        stage.tunnel_at(client, allowed)?;
        let line =
            stage.proxy.logged(|line| line["outcome"] == "tunnel" && line["group"] == group)?;
        assert_eq!((&line["identity"], line.get("name")), (&"address".into(), None), "{line}");
        assert_eq!(line["host"], allowed);
        let looked_up = stage.dns.asked();
        let (_, head) = stage.connect_at(client, &format!("{other}:{}", stage.origin.port))?;
        ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
        let line =
            stage.proxy.logged(|line| line["outcome"] == "denied" && line["group"] == group)?;
        assert_eq!(line["host"], other);
        assert_eq!(stage.dns.asked(), looked_up);
    }
    let (connections, looked_up) = (stage.origin.connections(), stage.dns.asked());
    let (_, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: identity_missing; "), "{head}");
    let line = stage.proxy.logged(|line| line["reason"] == "identity_missing")?;
    assert_eq!((line.get("group"), line.get("allowlist")), (None, None), "{line}");
    assert_eq!((stage.origin.connections(), stage.dns.asked()), (connections, looked_up));
    let counter = "ringfence_connections_total{outcome=\"identity_missing\"}";
    assert_eq!(stage.proxy.metric(counter)?, 1);
    Ok(())
}

#[test]
fn who_fits_no_group_gets_the_list_of_everyone() -> Result<()> {
    let everyone = format!("allowlist = [\"allowlist.toml\"]\n{ADDRESSES}");
    let stage = Stage::of_groups(&everyone, write_lists)?;
    stage.tunnel(DATA)?;
    let line = stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    assert_eq!(line["group"], "default");
    let (_, head) = stage.connect_at(BUILD, &format!("{DATA}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
    Ok(())
}

#[test]
fn explain_asks_for_a_group() -> Result<()> {
    let stage = Stage::of_groups(ADDRESSES, write_lists)?;
    let config = stage.list.with_file_name("ringfence.toml");
    let explain = |group: &[&str], host: &str| {
        let host = format!("{host}:{}", stage.origin.port);
        let program = Program::new(PROGRAM).args(["explain", "--config"]).arg(&config);
        program.args(["--format", "json"]).args(group).arg(host).run()
    };
    for (group, host, code, verdict) in [
        ("build", HOST, 0, "allow"),
        ("build", DATA, 1, "deny"),
        ("deploy", DATA, 0, "allow"),
        ("deploy", HOST, 1, "deny"),
    ] {
        let finished = explain(&["--client", group], host)?;
        assert_eq!(finished.status.code(), Some(code), "{finished}");
        let said: Value = serde_json::from_str(&finished.stdout)?;
        assert_eq!((&said["group"], &said["verdict"]), (&group.into(), &verdict.into()));
    }
    for group in [&["--client", "nobody"][..], &[]] {
        assert_eq!(explain(group, HOST)?.status.code(), Some(2));
    }
    stage.proxy.admin("/healthz")?;
    Ok(())
}

#[test]
fn certificates_have_their_groups() -> Result<()> {
    let secure = Secure::of_groups(CERTIFICATES)?;
    for (name, allowed, other, group) in [
        ("dns:build.example", HOST, DATA, "build"),
        ("uri:spiffe://contoso.example/deploy", DATA, HOST, "deploy"),
    ] {
        let client = secure.client_named(&["email:somebody@contoso.example", name])?;
        secure.tunnel(&client, allowed)?;
        let line = secure
            .stage
            .proxy
            .logged(|line| line["outcome"] == "tunnel" && line["group"] == group)?;
        assert_eq!((&line["identity"], &line["name"]), (&"certificate".into(), &name.into()));
        let looked_up = secure.stage.dns.asked();
        let (_, head) = secure.ask(&client, other, "")?;
        ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
        assert_eq!(secure.stage.dns.asked(), looked_up);
    }
    // The first group that fits is the client's.
    let both =
        secure.client_named(&["uri:spiffe://contoso.example/deploy", "dns:build.example"])?;
    secure.tunnel(&both, HOST)?;
    let (_, head) = secure.ask(&both, DATA, "")?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
    Ok(())
}

/// L09. Some are refused in the handshake, some by an answer; none gets further.
#[test]
fn certificates_that_prove_nothing_are_worth_nothing() -> Result<()> {
    let secure = Secure::of_groups(CERTIFICATES)?;
    let (build, port) = (&["dns:build.example"][..], secure.stage.origin.port);
    let stranger = ClientAuthority::create("of others")?;
    let stranger = stranger.issue(ClientCertificate { serial: 1, names: build, flaw: None })?;
    let in_the_handshake = [
        (secure.certificate(1, build, Some(Flaw::Expired))?, "it has expired"),
        (secure.certificate(1, build, Some(Flaw::NotYet))?, "not valid yet"),
        (secure.certificate(7, build, None)?, "it has been revoked"),
        (secure.certificate(1, build, Some(Flaw::ForServers))?, "it is not meant for clients"),
        (stranger, "none of the authorities trusted for clients has issued it"),
    ];
    for (identity, detail) in &in_the_handshake {
        refuse_in_handshake(&secure, identity)?;
        let line = secure
            .stage
            .proxy
            .logged(|line| line["detail"].as_str().is_some_and(|text| text.contains(detail)));
        let line = line.context(*detail)?;
        assert_eq!(
            (&line["reason"], &line["outcome"]),
            (&"identity_rejected".into(), &"denied".into())
        );
        assert_eq!(line["listener"], "tls");
    }
    let by_an_answer: [(&[&str], &str); 3] = [
        (&[], "common name only"),
        (&["dns:other.example"], "a name that is nobody's"),
        (&["dns:common.example.build.example"], "a longer name"),
    ];
    for (names, what) in by_an_answer {
        let (_, head) = secure.ask(&secure.client_named(names)?, HOST, "")?;
        ensure!(head.starts_with("HTTP/1.1 403 ringfence: identity_rejected; "), "{what}: {head}");
    }
    let (_, head) = secure.ask(&secure.client()?, HOST, "")?;
    ensure!(
        head.starts_with("HTTP/1.1 403 ringfence: identity_missing; "),
        "no certificate: {head}"
    );
    // Nor does the plain listener know better.
    let (_, head) = secure.stage.connect(&format!("{HOST}:{port}"))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: identity_missing; "), "plain: {head}");
    let counted = |reason| {
        secure.stage.proxy.metric(&format!("ringfence_connections_total{{outcome=\"{reason}\"}}"))
    };
    secure
        .stage
        .until(|| Ok((counted("identity_rejected")?, counted("identity_missing")?) == (8, 2)))?;
    secure.nothing_went_out();
    Ok(())
}

#[test]
fn a_new_revocation_list_counts_for_the_next_connection() -> Result<()> {
    let secure = Secure::of_groups(CERTIFICATES)?;
    let identity = secure.certificate(9, &["dns:build.example"], None)?;
    let client = secure.client()?.showing(&identity)?;
    let mut tunnel = secure.tunnel(&client, HOST)?;
    let connections = secure.stage.origin.connections();
    secure.replace("revoked.pem", &secure.clients.revocations(&[7, 9])?)?;
    secure.stage.until(|| {
        // Until it is read, tunnels open; nothing is sent through them.
        let refused = secure.ask(&client, "fabrikam.azurecr.io", "").is_err();
        Ok(refused)
    })?;
    let revoked = |text: &str| text.contains("revoked");
    secure.stage.proxy.logged(|line| {
        line["reason"] == "identity_rejected" && line["detail"].as_str().is_some_and(revoked)
    })?;
    refuse_in_handshake(&secure, &identity)?;
    assert_eq!(secure.stage.origin.connections(), connections);
    crate::secure::echo(&mut tunnel, b"still here")
}

/// Whoever has shaken hands before it was revoked, and waited with the request, has to show it again.
#[test]
fn a_certificate_counts_when_something_is_asked_for() -> Result<()> {
    let secure = Secure::of_groups(CERTIFICATES)?;
    let identity = secure.certificate(9, &["dns:build.example"], None)?;
    let client = secure.client()?.showing(&identity)?;
    let mut early = secure.secured(&client)?;
    // In TLS 1.3 a client is done before the proxy has seen its certificate.
    early.flush()?;
    let authority = secure.authority_of(HOST);
    write!(early, "CONNECT {authority} HTTP/1.1\r\n")?;
    let connected = || Ok(secure.stage.proxy.metric("ringfence_connections_open")? == 1);
    secure.stage.until(connected)?;
    secure.replace("revoked.pem", &secure.clients.revocations(&[7, 9])?)?;
    secure.stage.until(|| Ok(secure.ask(&client, "fabrikam.azurecr.io", "").is_err()))?;
    let (connections, asked) = (secure.stage.origin.connections(), secure.stage.dns.asked());
    early.write_all(b"\r\n")?;
    let head = crate::secure::head(&mut early)?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: identity_rejected; "), "{head}");
    assert_eq!(secure.stage.origin.connections(), connections);
    assert_eq!(secure.stage.dns.asked(), asked);
    Ok(())
}

#[test]
fn credentials_have_their_groups() -> Result<()> {
    let secure = Secure::of_groups(USERS)?;
    secure.replace("users", &users(&[("ci", SECRET), ("deployer", "pass:word")])?)?;
    let ask = |host: &str, headers: &str| ask_plain(&secure.stage, host, headers);
    // Until the file that this test has written is in force.
    secure
        .stage
        .until(|| Ok(ask(DATA, &basic("deployer", "pass:word"))?.starts_with("HTTP/1.1 200 ")))?;
    let head = ask(HOST, &basic("ci", SECRET))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let line = secure.stage.proxy.logged(|line| line["name"] == "ci")?;
    assert_eq!((&line["group"], &line["identity"]), (&"build".into(), &"credentials".into()));

    let (connections, looked_up) = (secure.stage.origin.connections(), secure.stage.dns.asked());
    let right = basic("ci", SECRET);
    let rows = [
        (DATA, right.clone(), "403 ringfence: not_in_policy"),
        (HOST, String::new(), "407 ringfence: credentials_required"),
        (HOST, basic("ci", "wrong"), "403 ringfence: identity_rejected"),
        (HOST, basic("ci", ""), "403 ringfence: identity_rejected"),
        (HOST, basic("CI", SECRET), "403 ringfence: identity_rejected"),
        (HOST, basic("stranger", SECRET), "403 ringfence: identity_rejected"),
        (HOST, right.replace("Basic", "Bearer"), "403 ringfence: identity_rejected"),
        (HOST, right.replace("\r\n", "=\r\n"), "403 ringfence: identity_rejected"),
        (HOST, format!("{PROXY_AUTHORIZATION}: Basic !!\r\n"), "403 ringfence: identity_rejected"),
        (HOST, format!("{PROXY_AUTHORIZATION}: \r\n"), "403 ringfence: identity_rejected"),
        (HOST, format!("{right}{right}"), "400 ringfence: bad_request"),
    ];
    for (host, headers, expected) in rows {
        let answer = ask(host, &headers)?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {expected}; ")), "{headers}: {answer}");
        let challenge = "\r\nProxy-Authenticate: Basic realm=\"ringfence\", charset=\"UTF-8\"\r\n";
        assert_eq!(answer.contains(challenge), expected.starts_with("407"), "{answer}");
        assert!(!answer.contains(SECRET) && !answer.contains(&STANDARD.encode(SECRET)));
    }
    assert_eq!(
        (secure.stage.origin.connections(), secure.stage.dns.asked()),
        (connections, looked_up)
    );

    secure.replace("users", &users(&[("ci", "another")])?)?;
    secure.stage.until(|| Ok(ask(HOST, &basic("ci", "another"))?.starts_with("HTTP/1.1 200 ")))?;
    let head = ask(HOST, &basic("ci", SECRET))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: identity_rejected; "), "{head}");

    // A bad file keeps the old one.
    secure.replace("users", &format!("ci:{SECRET}\n"))?;
    let kept = "ringfence: the old users stay in force: ";
    secure.stage.proxy.stderr().wait_for_line(|line| line.starts_with(kept))?;
    let head = ask(HOST, &basic("ci", "another"))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");

    // P13.
    let encoded = basic("ci", SECRET);
    let encoded = encoded.trim_end().rsplit(' ').next().context("a value")?;
    let log = secure.stage.proxy.log()?.iter().map(Value::to_string).collect::<String>();
    for said in [log, secure.stage.proxy.stderr().text()] {
        assert!(!said.contains(SECRET) && !said.contains(encoded), "{said}");
    }
    assert!(!contains(&secure.stage.origin.arrived(), encoded.as_bytes()));
    Ok(())
}

/// A client opens many connections at once, and one hash is enough for all of them.
#[test]
fn many_logins_at_once_are_all_answered() -> Result<()> {
    let secure = Secure::of_groups(USERS)?;
    thread::scope(|scope| {
        let logins: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| ask_plain(&secure.stage, HOST, &basic("ci", SECRET))))
            .collect();
        for login in logins {
            let head = login.join().expect("no panic")?;
            ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        Ok(())
    })
}

/// What a group says must all hold.
#[test]
fn conditions_add_up() -> Result<()> {
    let secure = Secure::of_groups(
        "[credentials]\nusers = \"users\"\n\
         [[client]]\nname = \"build\"\ncertificate = [\"dns:build.example\"]\nuser = [\"ci\"]\n\
         address = [\"127.0.0.0/8\"]\nallowlist = [\"build.toml\"]",
    )?;
    let (named, nobody) = (secure.client_named(&["dns:build.example"])?, secure.client()?);
    let rows = [
        (&nobody, basic("ci", SECRET), "403 ringfence: identity_missing; "),
        (&named, String::new(), "407 ringfence: credentials_required; "),
        (&named, basic("ci", "wrong"), "403 ringfence: identity_rejected; "),
    ];
    for (client, headers, expected) in rows {
        let (_, head) = secure.ask(client, HOST, &headers)?;
        ensure!(head.starts_with(&format!("HTTP/1.1 {expected}")), "{head}");
    }
    secure.nothing_went_out();
    let (_, head) = secure.ask(&named, HOST, &basic("ci", SECRET))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(())
}

#[test]
fn curl() -> Result<()> {
    works("curl", |url, login, secure| {
        let curl = Program::new("curl").args(["--silent", "--show-error", "--fail", "--verbose"]);
        let curl = curl.args(["--proxy", &secure.stage.proxy.url(), "--noproxy", ""]);
        let curl = if login.is_empty() { curl } else { curl.args(["--proxy-user", login]) };
        curl.arg("--cacert").arg(secure.folder.join("ca.pem")).arg(url)
    })
}

#[test]
fn python() -> Result<()> {
    works("python3", |url, login, secure| {
        let python = Program::new("python3").args([&format!("{SCRIPTS}/fetch.py"), url]);
        with_login_in_url(python.arg(secure.folder.join("out")), login, secure)
    })
}

#[test]
fn go() -> Result<()> {
    works("go", |url, login, secure| {
        let go = Program::new("go").args(["run", &format!("{SCRIPTS}/fetch.go"), url]);
        let go = go.arg(secure.folder.join("out"));
        with_login_in_url(go.env("GOCACHE", secure.folder.join("go")), login, secure)
    })
}

fn with_login_in_url(program: Program, login: &str, secure: &Secure) -> Program {
    let at = if login.is_empty() { String::new() } else { format!("{login}@") };
    let proxy = format!("http://{at}{}", secure.stage.proxy.listen());
    let program = program.env("HTTPS_PROXY", proxy).env("HOME", &secure.folder);
    program.env("SSL_CERT_FILE", secure.folder.join("ca.pem"))
}

/// Has a client fetch something with the right login, and then with none and a wrong one.
fn works(program: &str, fetch: impl Fn(&str, &str, &Secure) -> Program) -> Result<()> {
    if !require_program(program) {
        return Ok(());
    }
    let secure = Secure::of_groups(USERS)?;
    let port = web_server(&secure.authority)?;
    let generation = secure.stage.proxy.metric("ringfence_allowlist_generation")?;
    secure.replace("build.toml", &document(&[HOST], port))?;
    secure
        .stage
        .until(|| Ok(secure.stage.proxy.metric("ringfence_allowlist_generation")? > generation))?;
    let url = format!("https://{HOST}:{port}/");
    fetch(&url, "", &secure).run()?.failed_saying("credentials_required")?;
    fetch(&url, "ci:wrong", &secure).run()?.failed_saying("identity_rejected")?;
    secure.nothing_went_out();
    fetch(&url, &format!("ci:{SECRET}"), &secure).run()?.succeeded()?;
    let line = secure.stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    assert_eq!((&line["name"], &line["group"]), (&"ci".into(), &"build".into()));
    Ok(())
}

/// A client with this certificate is refused; in TLS 1.3 it learns so when it reads.
fn refuse_in_handshake(secure: &Secure, identity: &Identity) -> Result<()> {
    let client: TlsClient = secure.client()?.showing(identity)?;
    let answer = secure.ask(&client, HOST, "");
    ensure!(answer.is_err(), "it was answered");
    Ok(())
}

/// The answer to a CONNECT on the plain listener: its head, and the body of a refusal.
fn ask_plain(stage: &Stage, host: &str, headers: &str) -> Result<String> {
    let authority = format!("{host}:{}", stage.origin.port);
    let mut client = stage.client()?;
    client.send(
        format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n").as_bytes(),
    )?;
    let head = client.head()?;
    if head.starts_with("HTTP/1.1 200 ") {
        client.send(&hello(Some(host)))?;
        client.receive(1)?;
        return Ok(head);
    }
    Ok(head + &String::from_utf8(client.rest()?)?)
}

fn basic(user: &str, password: &str) -> String {
    format!("{PROXY_AUTHORIZATION}: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn write_lists(list: &std::path::Path, port: u16) -> Result<()> {
    std::fs::write(list.with_file_name("build.toml"), document(&[HOST], port))?;
    Ok(std::fs::write(list.with_file_name("deploy.toml"), document(&[DATA], port))?)
}

const ADDRESSES: &str = "\
    [[client]]\nname = \"build\"\naddress = [\"127.0.0.2\"]\nallowlist = [\"build.toml\"]\n\
    [[client]]\nname = \"deploy\"\naddress = [\"127.0.0.3/32\"]\nallowlist = [\"deploy.toml\"]\n";

const CERTIFICATES: &str = "\
    [[client]]\nname = \"build\"\ncertificate = [\"dns:build.example\"]\nallowlist = [\"build.toml\"]\n\
    [[client]]\nname = \"deploy\"\ncertificate = [\"uri:spiffe://contoso.example/deploy\"]\n\
    allowlist = [\"deploy.toml\"]\n";

const USERS: &str = "\
    [credentials]\nusers = \"users\"\n\
    [[client]]\nname = \"build\"\nuser = [\"ci\"]\nallowlist = [\"build.toml\"]\n\
    [[client]]\nname = \"deploy\"\nuser = [\"deployer\"]\nallowlist = [\"deploy.toml\"]\n";

const BUILD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const DEPLOY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const SECRET: &str = "secret";
const PROXY_AUTHORIZATION: &str = "Proxy-Authorization";
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proxy/clients");
