//! DNS, TCP, TLS and what hosts answer, from where the way out is open.

use anyhow::{Context, Result, ensure};
use test_support::{Program, Received, address};

use super::liar::{self, Liar, Told};
use super::scene::{Certificate, EASTUS, LIST, LOGIN, REALM, Report, Scene, Setup};

#[test]
fn a_healthy_registry_passes_every_check() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let report = scene.verify(&[])?;
    ensure!(report.code == 0, "{}", report.finished);
    for (host, step, outcome) in [
        (LOGIN, "dns", "dns_public"),
        (LOGIN, "tcp", "connected"),
        (LOGIN, "tls", "certificate_valid"),
        (LOGIN, "api", "api_challenge"),
        (LOGIN, "token", "token_answers"),
        (EASTUS, "dns", "dns_public"),
        (EASTUS, "data", "data_answers"),
    ] {
        report.expect(host, step, outcome)?;
    }
    let dns = report.check(LOGIN, "dns")?;
    ensure!(dns["evidence"]["addresses"] == serde_json::json!([address::LOGIN]), "{dns}");
    let tls = report.check(LOGIN, "tls")?;
    ensure!(tls["evidence"]["not_after"] == "4096-01-01", "{tls}");
    ensure!(report.check(LOGIN, "api")?["registry"] == "contoso");
    ensure!(report.check(EASTUS, "data")?["region"] == "eastus");
    // Nothing but the list's names is asked for.
    let asked = scene.dns().questions()?;
    ensure!(asked.iter().eq([LOGIN, EASTUS]), "{asked:?}");

    // The same again gives the same bytes, and the environment's proxy is not read.
    let again = scene.program("verify", &scene.network.gate).args(["--format", "json"]);
    let again = again.env("HTTPS_PROXY", "http://127.0.0.1:1").run()?.succeeded()?;
    ensure!(again.stdout == report.finished.stdout);
    let table = scene.program("verify", &scene.network.gate).run()?.succeeded()?;
    let rows = [
        "contoso.azurecr.io:443  login\n  ok       dns        every address is public (20.62.128.10)\n",
        "  ok       api        `/v2/` asks for a token of the registry's own token server (HTTP 401)\n",
        "\n9 ok, 0 failed, 0 skipped\n",
    ];
    ensure!(rows.iter().all(|row| table.stdout.contains(row)), "{table}");
    let file = scene.network.path("report.txt");
    let written = scene.program("verify", &scene.network.gate).arg("-o").arg(&file).run()?;
    ensure!(written.succeeded()?.stdout.is_empty());
    ensure!(std::fs::read_to_string(file)? == table.stdout);
    Ok(())
}

#[test]
fn addresses_are_vetted_before_anything_is_dialled() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let pinned = |pin: &str| {
        let list =
            LIST.replacen("\"contoso\"\n", &format!("\"contoso\"\naddresses = [\"{pin}\"]\n"), 1);
        &*list.leak()
    };
    let rows = [
        (None, LIST, "dns_not_found"),
        (Some("10.20.0.6"), LIST, "address_not_pinned"),
        (Some("10.20.0.6"), pinned("10.20.0.4"), "address_other_than_pinned"),
        (Some("169.254.169.254"), LIST, "address_forbidden"),
        (Some("168.63.129.16"), pinned("10.20.0.0/16"), "address_forbidden"),
        (Some("64:ff9b::143e:800a"), LIST, "nat64_disabled"),
        // One that isn't admitted condemns the other.
        (Some("20.62.128.10,fd00::1"), LIST, "address_not_pinned"),
    ];
    for (address, list, expected) in rows {
        let mut setup = Setup { list, ..Setup::default() };
        setup.dns.retain(|(host, _)| *host != LOGIN);
        setup.dns.extend(address.map(|address| (LOGIN, address)));
        scene.set(&setup)?;
        let report = scene.verify(&[])?;
        report
            .expect_failures(&[(LOGIN, "dns", expected)])
            .with_context(|| format!("{address:?}"))?;
        report.expect_none(LOGIN, "tcp")?;
    }

    // The private endpoint, pinned: the way is gone to its end.
    let mut setup = Setup { list: pinned("10.20.0.6"), ..Setup::default() };
    setup.dns[0] = (LOGIN, "10.20.0.6");
    scene.set(&setup)?;
    let report = scene.verify(&[])?;
    report.expect(LOGIN, "dns", "dns_pinned")?;
    // Nobody listens there, which is another matter.
    report.expect_failures(&[(LOGIN, "tcp", "connect_refused")])?;

    // A list that pins, and DNS that leads past the private endpoint: said, and gone all the same.
    setup.dns[0] = (LOGIN, address::LOGIN);
    scene.set(&setup)?;
    let report = scene.verify(&[])?;
    report.expect_failures(&[(LOGIN, "dns", "public_although_pinned")])?;
    report.expect(LOGIN, "api", "api_challenge")?;

    // With NAT64 on, the address is dialled.
    let mut setup = Setup::default();
    setup.dns[0] = (LOGIN, "64:ff9b::143e:800a");
    scene.set(&setup)?;
    let report = scene.verify(&["--nat64"])?;
    report.expect(LOGIN, "dns", "dns_public")?;
    report.expect_failures(&[(LOGIN, "tcp", "connect_failed")])
}

#[test]
fn a_resolver_in_trouble_is_told_from_a_name_that_is_not_there() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let rows = [
        (Told::Loop("b.example.net"), "dns_alias_loop"),
        (Told::Circle("b.example.net"), "dns_alias_loop"),
        (Told::Failure, "dns_failed"),
        (Told::Silence, "dns_timeout"),
        (Told::Nothing, "dns_not_found"),
        (Told::Dangling("contoso.privatelink.azurecr.io"), "dns_not_found"),
    ];
    let liar = Liar::start(&scene.network)?;
    for (told, expected) in rows {
        liar.tell(told);
        let report = scene.verify_by(liar::ADDRESS, &["--timeout", "2"])?;
        report.expect_failures(&[(LOGIN, "dns", expected), (EASTUS, "dns", expected)])?;
        if let Told::Dangling(target) = told {
            let evidence = &report.check(LOGIN, "dns")?["evidence"];
            ensure!(evidence["aliases"] == serde_json::json!([target]), "{evidence}");
        }
    }
    liar.tell(Told::Aliases(&CHAIN, address::LOGIN.parse()?));
    let report = scene.verify_by(liar::ADDRESS, &[])?;
    let dns = report.expect(LOGIN, "dns", "dns_public")?;
    ensure!(dns["evidence"]["aliases"] == serde_json::json!(CHAIN), "{dns}");
    Ok(())
}

#[test]
fn connections_fail_in_ways_that_are_told_apart() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let drop = "ip daddr 20.62.128.11 drop";
    let unreachable = "ip daddr 20.62.128.11 reject with icmpx type no-route";
    // Lets the handshake of TCP through, and then answers for the host.
    let cut = "ip daddr 20.62.128.11 tcp flags & psh == psh reject with tcp reset";
    let silent = "ip daddr 20.62.128.11 tcp flags & psh == psh drop";
    let rows = [
        ("", "tcp", "connect_refused"),
        (drop, "tcp", "connect_timeout"),
        (unreachable, "tcp", "connect_failed"),
        (cut, "tls", "tls_cut"),
        (silent, "tls", "tls_timeout"),
    ];
    for (rules, step, expected) in rows {
        let mut setup = Setup { rules, ..Setup::default() };
        setup.data.on = !rules.is_empty();
        scene.set(&setup)?;
        let report = scene.verify(&["--timeout", "3"])?;
        report.expect_failures(&[(EASTUS, step, expected)])?;
        report.expect(LOGIN, "token", "token_answers")?;
        report.expect_none(EASTUS, "data")?;
    }
    // Another address of the host that nobody has: the next one is tried without waiting for it.
    let mut setup = Setup::default();
    setup.dns.push((EASTUS, "20.62.128.9"));
    scene.set(&setup)?;
    let report = scene.verify(&["--timeout", "3"])?;
    report.expect_failures(&[])?;
    let tcp = report.check(EASTUS, "tcp")?;
    ensure!(tcp["evidence"]["address"] == "20.62.128.11:443", "{tcp}");
    Ok(())
}

/// The machine's own resolver, without what its hosts file and its search domains would make of names.
#[test]
fn the_systems_servers_are_asked_for_absolute_names_and_nobody_else_is() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let mut setup = Setup::default();
    setup.dns.retain(|(host, _)| *host != EASTUS);
    setup.dns.push(("contoso.eastus.data.azurecr.io.example.com", address::EASTUS));
    scene.set(&setup)?;
    let resolvers = format!("nameserver {}\nsearch example.com\n", address::DNS);
    let resolvers = scene.network.write("resolv.conf", &resolvers)?;
    let hosts = format!("{} {LOGIN}\n{} {EASTUS}\n", address::STRANGER, address::STRANGER);
    let hosts = scene.network.write("hosts", &hosts)?;
    let script = "mount --bind \"$0\" /etc/resolv.conf && mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
    let shell = Program::new("unshare").inside(&scene.network.gate).args(["--mount", "sh", "-c"]);
    let shell = shell.arg(script).arg(resolvers).arg(hosts);
    let program = shell.arg(env!("CARGO_BIN_EXE_allowlist-gen")).arg("verify").arg(scene.list());
    let program = program.args(["--format", "json", "--ca"]).arg(scene.network.authority_file());
    let report = Report::of(program.run()?)?;
    report.expect_failures(&[(EASTUS, "dns", "dns_not_found")])?;
    report.expect(LOGIN, "token", "token_answers")?;
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

#[test]
fn certificates_have_to_be_good_for_the_name() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let rows = [
        (Certificate::Expired, "certificate_expired"),
        (Certificate::Early, "certificate_not_yet_valid"),
        (Certificate::OtherName, "certificate_other_name"),
        (Certificate::Stranger, "certificate_unknown_authority"),
        (Certificate::ForClients, "certificate_invalid"),
        (Certificate::None, "tls_failed"),
    ];
    for (certificate, expected) in rows {
        let mut setup = Setup::default();
        setup.front.certificate = certificate;
        scene.set(&setup)?;
        let report = scene.verify(&[])?;
        report.expect_failures(&[(LOGIN, "tls", expected)])?;
        report.expect_none(LOGIN, "api")?;
        if expected == "certificate_unknown_authority" {
            let issuer = &report.check(LOGIN, "tls")?["evidence"]["issuer"];
            ensure!(issuer.as_str().is_some_and(|issuer| issuer.contains("Ringfence")), "{issuer}");
        }
    }
    // The machine's authorities don't know ours: without `--ca` nobody has issued these.
    let mut setup = Setup::default();
    setup.data.certificate = Certificate::OtherName;
    scene.set(&setup)?;
    let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen"));
    let program = program.inside(&scene.network.gate).arg("verify").arg(scene.list());
    let finished = program.args(["--resolver", address::DNS, "--format", "json"]).run()?;
    if finished.status.code() == Some(2) {
        // A machine that trusts nobody says so.
        ensure!(finished.stderr.contains("no certificate authority is known here"), "{finished}");
        return Ok(());
    }
    let unknown = "certificate_unknown_authority";
    let report = Report::of(finished)?;
    report.expect_failures(&[(LOGIN, "tls", unknown), (EASTUS, "tls", unknown)])
}

#[test]
fn hosts_that_answer_wrongly_are_not_the_registry() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let good = Setup::default();
    let apis: [(&str, &str); 6] = [
        ("return 403;", "api_forbidden"),
        ("return 200 '{}';", "api_open"),
        ("return 302 https://portal.example/;", "api_unexpected"),
        ("return 401;", "challenge_malformed"),
        (
            "add_header Www-Authenticate 'Basic realm=\"x\"' always; return 401;",
            "challenge_malformed",
        ),
        // Closed without an answer.
        ("return 444;", "http_failed"),
    ];
    for (api, expected) in apis {
        let mut setup = good.clone();
        api.clone_into(&mut setup.front.api);
        scene.set(&setup)?;
        let report = scene.verify(&[])?;
        report.expect_failures(&[(LOGIN, "api", expected)])?;
        report.expect_none(LOGIN, "token")?;
    }
    let endless = "add_header X-More 0123456789 always;".repeat(5000);
    let mut setup = good.clone();
    setup.front.api = format!("{endless} return 401;");
    scene.set(&setup)?;
    scene.verify(&[])?.expect_failures(&[(LOGIN, "api", "http_failed")])?;

    let realms = [
        ("http://contoso.azurecr.io/oauth2/token", LOGIN, "realm_insecure"),
        ("https://fabrikam.azurecr.io/oauth2/token", LOGIN, "realm_elsewhere"),
        (REALM, "fabrikam.azurecr.io", "service_elsewhere"),
    ];
    for (realm, service, expected) in realms {
        let mut setup = good.clone();
        (setup.registry.realm, setup.registry.service) = (realm, service);
        scene.set(&setup)?;
        let report = scene.verify(&[])?;
        report.expect_failures(&[(LOGIN, "api", expected)])?;
        report.expect_none(LOGIN, "token")?;
    }

    let tokens = [
        ("return 400;", None),
        ("return 403;", Some("token_forbidden")),
        ("return 404;", Some("token_failed")),
        ("return 503;", Some("token_failed")),
    ];
    for (token, expected) in tokens {
        let mut setup = good.clone();
        setup.front.token = token;
        scene.set(&setup)?;
        let report = scene.verify(&[])?;
        match expected {
            Some(expected) => report.expect_failures(&[(LOGIN, "token", expected)])?,
            None => report.expect_failures(&[])?,
        }
    }
    // Nobody at the other end of the token server.
    let mut setup = good.clone();
    setup.front.token = "proxy_pass http://127.0.0.1:9;";
    scene.set(&setup)?;
    scene.verify(&[])?.expect_failures(&[(LOGIN, "token", "token_failed")])?;

    for (answer, expected) in [("return 503;", "data_failed"), ("return 444;", "http_failed")] {
        let mut setup = good.clone();
        setup.data.answer = answer;
        scene.set(&setup)?;
        scene.verify(&[])?.expect_failures(&[(EASTUS, "data", expected)])?;
    }
    // A host that reads and never answers: nothing of nginx's, so a port that takes connections.
    let silent = "proxy_pass http://20.62.128.1:7; proxy_read_timeout 60s;";
    let listener = scene.network.world.enter(|| std::net::TcpListener::bind("20.62.128.1:7"))??;
    let mut setup = good;
    setup.data.answer = silent;
    scene.set(&setup)?;
    scene.verify(&["--timeout", "3"])?.expect_failures(&[(EASTUS, "data", "http_timeout")])?;
    drop(listener);
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

#[test]
fn what_is_not_a_registrys_is_reached_and_no_more() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let other = "[[entry]]\nhost = \"portal.example.com\"\nrole = \"other\"\nwhy = \"a test\"\n\
                 [[entry]]\nhost = \"contoso.*.data.azurecr.io\"\nrole = \"other\"\nwhy = \"a test\"\n";
    let list = LIST.split("[[entry]]").take(2).collect::<Vec<_>>().join("[[entry]]") + other;
    let list = list.replace("schema = 1", "schema = 1\nallow_patterns = true");
    let mut setup = Setup { list: &*list.leak(), ..Setup::default() };
    setup.dns.push(("portal.example.com", address::EASTUS));
    scene.set(&setup)?;
    let report = scene.verify(&[])?;
    report.expect_failures(&[("portal.example.com", "tls", "certificate_other_name")])?;
    report.expect("contoso.*.data.azurecr.io", "list", "pattern")?;
    ensure!(report.json["summary"]["skipped"] == 1);

    // The time for everything is over before the first check: none is made, and that is no success.
    let _silent = Liar::start(&scene.network)?;
    let many: Vec<String> = (0..40)
        .map(|i| format!("[[entry]]\nhost = \"h{i}.example.com\"\nrole = \"other\"\nwhy = \"x\"\n"))
        .collect();
    setup.list = &*format!("schema = 1\n{}", many.concat()).leak();
    scene.set(&setup)?;
    let report = scene.verify_by(liar::ADDRESS, &["--total-timeout", "2", "--timeout", "60"])?;
    let checks = report.json["checks"].as_array().context("checks")?;
    let count = |outcome: &str| checks.iter().filter(|check| check["outcome"] == outcome).count();
    // As many as are tried at a time, and the rest.
    ensure!((count("dns_timeout"), count("out_of_time")) == (16, 24), "{}", report.finished);
    Ok(())
}

const CHAIN: [&str; 3] =
    ["contoso.privatelink.azurecr.io", "r0316eus.eus.azcr.io", "eus.cloudapp.azure.com"];
