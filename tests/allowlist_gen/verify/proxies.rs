//! From where a proxy is the only way out: through the real `ringfence`, and through what only looks like a proxy.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};
use test_support::{PATIENCE, Program, Received, address};

use super::scene::{EASTUS, LIST, LOGIN, Report, STORAGE, Scene, Setup};

/// The client's side of the cable has no route and no name server: all of it goes through the proxy.
#[test]
fn everything_goes_through_ringfence_and_no_name_is_asked_for_here() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let Some(proxy) = scene.proxy(LIST)? else {
        return Ok(());
    };
    let url = proxy.url();
    let program = || program(&scene, &url);
    let report = Report::of(program().args(["--repository", "app:v1"]).run()?)?;
    report.expect_failures(&[])?;
    for host in [LOGIN, EASTUS] {
        report.expect(host, "dns", "dns_by_proxy")?;
        report.expect(host, "proxy", "tunnel")?;
        report.expect_none(host, "tcp")?;
    }
    report.expect(EASTUS, "blob", "blob_fetched")?;
    ensure!(report.json["proxy"] == url.as_str());
    // Without the proxy there is no way out.
    let direct = scene.program("verify", &scene.network.client).args(["--timeout", "2"]).run()?;
    direct.failed_saying("dns_")?;

    // The list that is enforced is another one: each refusal in the proxy's own words.
    let login = LIST.split("[[entry]]").take(2).collect::<Vec<_>>().join("[[entry]]");
    let Some(narrow) = scene.proxy(&login)? else {
        return Ok(());
    };
    let program = super::proxies::program(&scene, &narrow.url());
    let report = Report::of(program.args(["--repository", "app:v1"]).run()?)?;
    report.expect_failures(&[(EASTUS, "proxy", "proxy_refused")])?;
    let evidence = &report.check(EASTUS, "proxy")?["evidence"];
    ensure!(evidence["status"] == 403 && evidence["proxy_reason"] == "not_in_policy", "{evidence}");
    ensure!(evidence["proxy_meaning"] == "the host is not on the allowlist", "{evidence}");
    report.expect(LOGIN, "redirect", "redirect_own")?;
    report.expect(EASTUS, "blob", "not_tried")?;
    narrow.logged(|line| line["host"] == EASTUS && line["reason"] == "not_in_policy")?;

    // What the proxy can't reach, it says.
    let mut setup = Setup::default();
    setup.dns.retain(|(host, _)| *host != EASTUS);
    scene.set(&setup)?;
    let Some(lost) = scene.proxy(LIST)? else {
        return Ok(());
    };
    let report = Report::of(super::proxies::program(&scene, &lost.url()).run()?)?;
    report.expect_failures(&[(EASTUS, "proxy", "proxy_failed")])?;
    let evidence = &report.check(EASTUS, "proxy")?["evidence"];
    ensure!(evidence["proxy_reason"] == "dns_not_found", "{evidence}");
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

#[test]
fn ringfence_by_tls_wants_credentials_and_gets_them_from_a_file() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let Some(_proxy) = scene.secure_proxy(LIST)? else {
        return Ok(());
    };
    let url = "https://10.99.0.1:3129";
    let secret = scene.network.write("proxy-secret", "user:secret\n")?;
    let report = Report::of(program(&scene, url).arg("--proxy-credentials").arg(&secret).run()?)?;
    report.expect_failures(&[])?;
    report.expect(EASTUS, "data", "data_answers")?;
    let by_environment = program(&scene, url).env("ALLOWLIST_GEN_PROXY_CREDENTIALS", "user:secret");
    Report::of(by_environment.run()?)?.expect_failures(&[])?;

    let report = Report::of(program(&scene, url).run()?)?;
    report.expect_failures(&[
        (LOGIN, "proxy", "proxy_credentials"),
        (EASTUS, "proxy", "proxy_credentials"),
    ])?;
    let reason = &report.check(LOGIN, "proxy")?["evidence"]["proxy_reason"];
    ensure!(reason == "credentials_required", "{reason}");
    let wrong = program(&scene, url).env("ALLOWLIST_GEN_PROXY_CREDENTIALS", "user:other");
    let wrong = Report::of(wrong.run()?)?;
    let reason = &wrong.check(LOGIN, "proxy")?["evidence"]["proxy_reason"];
    ensure!(reason == "identity_rejected", "{}", wrong.finished);
    // The proxy's name in the certificate counts, too.
    let by_other_name = "https://localhost.example:3129";
    let mut setup = Setup::default();
    setup.dns.push(("localhost.example", "10.99.0.1"));
    scene.set(&setup)?;
    let named = scene.program("verify", &scene.network.gate).args(["--format", "json"]);
    let report = Report::of(named.args(["--proxy", by_other_name]).run()?)?;
    let detail = &report.expect(LOGIN, "proxy", "proxy_unreachable")?["evidence"]["detail"];
    ensure!(
        detail.as_str().is_some_and(|d| d.contains("certificate is for another name")),
        "{detail}"
    );
    Ok(())
}

#[test]
fn a_proxy_is_reached_refuses_or_is_none() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let fake = Fake::start(&scene)?;
    let both = |outcome: &'static str| [(LOGIN, "proxy", outcome), (EASTUS, "proxy", outcome)];
    let rows = [
        // It is asked too much, and has said nothing of the host.
        ("HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n", "proxy_failed"),
        ("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "proxy_credentials"),
        ("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nNo", "proxy_refused"),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "proxy_failed"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n",
            "proxy_failed",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "proxy_failed"),
        ("", "proxy_failed"),
    ];
    for (answer, expected) in rows {
        fake.answer(answer);
        let report = Report::of(program(&scene, FAKE).run()?)?;
        report.expect_failures(&both(expected))?;
    }
    // What a proxy says can't forge a line, and a body without end ends.
    fake.answer("HTTP/1.1 403 a\u{1b}[31mb\r\nContent-Length: 99999999999\r\n\r\n{");
    let text = text_program(&scene, FAKE).args(["--timeout", "2"]).run()?.failed()?;
    ensure!(!text.stdout.contains('\u{1b}'), "{text}");
    // A tunnel to a host that is no host: the certificate is what counts.
    fake.answer("HTTP/1.1 200 OK\r\n\r\nhello, this is not TLS");
    let report = Report::of(program(&scene, FAKE).run()?)?;
    report.expect_failures(&[(LOGIN, "tls", "tls_failed"), (EASTUS, "tls", "tls_failed")])?;

    // Credentials from a file, for the proxy alone.
    let secret = scene.network.write("proxy-secret", "user:secret")?;
    fake.answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    let report = Report::of(program(&scene, FAKE).arg("--proxy-credentials").arg(secret).run()?)?;
    ensure!(!report.finished.to_string().contains("secret\n"), "{}", report.finished);
    let heard = fake.heard();
    let last = heard.last().cloned().unwrap_or_default();
    ensure!(last.starts_with("CONNECT contoso."), "{last}");
    ensure!(
        last.to_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"),
        "{last}"
    );
    ensure!(!heard[0].to_lowercase().contains("authorization"), "{}", heard[0]);

    // Nobody there; and a proxy by a name that only its resolver knows.
    let report = Report::of(program(&scene, "http://10.99.0.1:9").run()?)?;
    report.expect_failures(&both("proxy_unreachable"))?;
    let report = Report::of(program(&scene, "http://169.254.169.254:80").run()?)?;
    report.expect_failures(&both("proxy_unreachable"))?;
    let named = scene.program("verify", &scene.network.gate).args(["--format", "json"]);
    let report = Report::of(named.args(["--proxy", "http://proxy.corp.example:3128"]).run()?)?;
    report.expect_failures(&both("proxy_unreachable"))?;
    // The proxy's own name is the only one that was asked for.
    let asked = scene.dns().questions()?;
    ensure!(asked.iter().eq(["proxy.corp.example"]), "{asked:?}");
    // TLS to a proxy that speaks none.
    let report = Report::of(program(&scene, "https://10.99.0.1:3999").run()?)?;
    report.expect_failures(&both("proxy_unreachable"))?;
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

/// Through the proxy, a storage host has to be refused; a proxy that doesn't is found out, and carries nothing.
#[test]
fn doctor_asks_the_proxy_for_storage_and_wants_a_refusal() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let doctor = |url: &str| {
        let program = scene.program("doctor", &scene.network.client);
        let program = program.args(["--format", "json", "--proxy", url, "--timeout", "2"]);
        Report::of(program.args(["--storage", STORAGE, "--storage", address::STRANGER]).run()?)
    };
    if let Some(proxy) = scene.proxy(LIST)? {
        let report = doctor(&proxy.url())?;
        report.expect_failures(&[])?;
        for door in [STORAGE, address::STRANGER] {
            report.expect(door, "by_proxy", "proxy_refuses_storage")?;
        }
        report.expect(address::STRANGER, "storage", "door_closed")?;
        // The client has no name server, so its name says nothing.
        report.expect(STORAGE, "storage", "door_not_tried")?;
        proxy.logged(|line| line["host"] == STORAGE && line["reason"] == "storage_forbidden")?;
    }
    let fake = Fake::start(&scene)?;
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "proxy_carries_storage"),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "proxy_unclear"),
        ("HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n", "proxy_unclear"),
        ("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "proxy_credentials"),
    ] {
        fake.answer(answer);
        doctor(FAKE)?.expect(STORAGE, "by_proxy", expected)?;
    }
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

fn program(scene: &Scene, proxy: &str) -> Program {
    text_program(scene, proxy).args(["--format", "json"])
}

fn text_program(scene: &Scene, proxy: &str) -> Program {
    scene.program("verify", &scene.network.client).args(["--proxy", proxy])
}

/// Something at a proxy's place that says what it is told to, and ends the connection.
struct Fake {
    answer: Arc<Mutex<String>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// It ends with the test's process.
    fn start(scene: &Scene) -> Result<Self> {
        let listener = scene.network.gate.enter(|| TcpListener::bind("10.99.0.1:3999"))??;
        let fake = Self { answer: Arc::default(), heard: Arc::default() };
        let (answer, heard) = (Arc::clone(&fake.answer), Arc::clone(&fake.heard));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let heard = Arc::clone(&heard);
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let mut request = vec![0; 4096];
                    let count = stream.read(&mut request).unwrap_or(0);
                    let text = String::from_utf8_lossy(&request[..count]).into_owned();
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    let _ = stream.write_all(answer.as_bytes());
                    // What was asked for a body without end waits for the client to go.
                    if answer.contains("99999999999") {
                        let _ = stream.read(&mut request);
                    }
                });
            }
        });
        Ok(fake)
    }

    fn answer(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const FAKE: &str = "http://10.99.0.1:3999";
