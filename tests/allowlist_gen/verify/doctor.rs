//! Doors: found open where they are open, and closed where nftables closes them.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, ensure};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use test_support::{Finished, Network, Received, address};

use super::scene::{LOGIN, Report, STORAGE, Scene, Setup};

#[test]
fn open_doors_are_found_and_closed_ones_are_closed() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    for service in [METADATA, WIRE_SERVER] {
        scene.network.world.ip(&["address", "add", &format!("{service}/32"), "dev", "lo"])?;
        scene.network.gate.ip(&["route", "add", &format!("{service}/32"), "via", "20.62.128.1"])?;
    }
    let platform = [(METADATA, 80), (WIRE_SERVER, 80), (WIRE_SERVER, 32526)];
    for (service, port) in platform {
        answer_http(scene.network.world.enter(|| TcpListener::bind((service, port)))??);
    }
    answer_doh(&scene.network)?;
    let mut setup = Setup::default();
    setup.dns.push((DOH, "20.62.128.1"));
    scene.set(&setup)?;

    let open = doctor(&scene)?;
    ensure!(open.code == 1, "{}", open.finished);
    let doors = [
        (STORAGE, "storage", "storage_open"),
        (address::STRANGER, "storage", "storage_open"),
        (address::DNS, "dns_udp", "dns_open"),
        (address::DNS, "dns_tcp", "dns_open"),
        (DOH, "doh", "doh_open"),
        (METADATA, "metadata", "metadata_open"),
    ];
    for (host, step, outcome) in doors {
        open.expect(host, step, outcome)?;
    }
    let doh = &open.check(DOH, "doh")?["evidence"];
    ensure!(doh["status"] == 200 && doh["detail"] == "it answers with DNS", "{doh}");
    // The wire server has two.
    ensure!(count(&open, WIRE_SERVER, "metadata_open") == 2, "{}", open.finished);
    ensure!(!open.finished.to_string().contains("hunter2"), "{}", open.finished);
    // It also verifies.
    open.expect(LOGIN, "token", "token_answers")?;
    // A handshake, and nothing in it: neither name nor address was sent data.
    let received = scene.storage.received()?;
    ensure!(received.connections == 2 && received.data == 0, "{received:?}");
    let asked = scene.dns().questions()?;
    ensure!(asked.contains("ringfence-doctor.invalid"), "{asked:?}");

    // What a name leads to that can't be a server is not dialled.
    let mut odd = setup.clone();
    odd.dns.retain(|(host, _)| *host != STORAGE);
    odd.dns.push((STORAGE, METADATA));
    scene.set(&odd)?;
    let report = run(&scene, &["--storage", STORAGE])?;
    report.expect(STORAGE, "storage", "door_not_tried")?;

    for how in ["drop", "reject with tcp reset"] {
        // The resolver itself stays open, or nothing could be verified; another port of it is the door.
        setup.rules = match how {
            "drop" => {
                "ip daddr { 20.150.38.66, 20.62.128.1, 169.254.169.254, 168.63.129.16 } drop\n\
                 meta l4proto { tcp, udp } th dport 5454 drop"
            }
            _ => {
                "ip daddr { 20.150.38.66, 20.62.128.1, 169.254.169.254, 168.63.129.16 } \
                 meta l4proto tcp reject with tcp reset\n\
                 tcp dport 5454 reject with tcp reset\nudp dport 5454 reject"
            }
        };
        scene.set(&setup)?;
        let report = run(
            &scene,
            &[
                "--storage",
                STORAGE,
                "--storage",
                address::STRANGER,
                "--dns",
                "20.62.128.53:5454",
                "--doh",
                DOH,
                "--metadata",
                METADATA,
                "--metadata",
                WIRE_SERVER,
                "--timeout",
                "2",
            ],
        )?;
        report.expect_failures(&[])?;
        for (host, step, _) in doors {
            report.expect(host, step, "door_closed")?;
        }
        ensure!(count(&report, WIRE_SERVER, "door_closed") == 2, "{}", report.finished);
    }
    ensure!(scene.storage.received()? == received, "a closed door let something through");

    // A firewall that goes by names lets the handshake begin, and cuts it.
    setup.rules = "ip daddr 20.150.38.66 tcp flags & psh == psh reject with tcp reset";
    scene.set(&setup)?;
    let report = run(&scene, &["--storage", STORAGE])?;
    let door = report.expect(STORAGE, "storage", "door_closed")?;
    ensure!(
        door["evidence"]["detail"].as_str().is_some_and(|d| d.starts_with("tls_cut")),
        "{door}"
    );
    Ok(())
}

/// Silence shows nothing if the time for everything was over before anybody could have answered.
#[test]
fn a_door_is_not_closed_because_the_time_is_over() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let mut setup = Setup::default();
    setup.dns.push((DOH, "20.62.128.1"));
    setup.rules = "ip daddr { 20.150.38.66, 20.62.128.1, 169.254.169.254 } drop";
    scene.set(&setup)?;
    let report = run(
        &scene,
        &[
            "--storage",
            STORAGE,
            "--doh",
            DOH,
            "--metadata",
            METADATA,
            "--timeout",
            "9",
            "--total-timeout",
            "3",
        ],
    )?;
    ensure!(report.code == 1, "{}", report.finished);
    for (host, step) in [(STORAGE, "storage"), (DOH, "doh"), (METADATA, "metadata")] {
        report.expect(host, step, "out_of_time")?;
    }
    Ok(())
}

/// Whoever answers with another certificate answers: the door is open.
#[test]
fn a_certificate_of_somebody_elses_closes_no_door() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let report = run(&scene, &["--doh", address::LOGIN, "--storage", address::EASTUS])?;
    report.expect(address::LOGIN, "doh", "doh_open")?;
    report.expect(address::EASTUS, "storage", "storage_open")?;
    // A host of HTTPS that isn't DNS's is open, too; and what takes connections on port 53 is a way out.
    let report = run(&scene, &["--doh", LOGIN, "--dns", "20.62.128.10:443"])?;
    let doh = report.expect(LOGIN, "doh", "doh_open")?;
    ensure!(doh["evidence"]["detail"] == "it answers, and not with DNS", "{doh}");
    report.expect(address::LOGIN, "dns_udp", "door_closed")?;
    report.expect(address::LOGIN, "dns_tcp", "dns_open")?;
    ensure!(scene.storage.received()? == Received::default());
    let table = scene.program("doctor", &scene.network.gate).args(["--storage", "20.62.128.99"]);
    let table: Finished = table.args(["--timeout", "2"]).run()?.succeeded()?;
    ensure!(table.stdout.contains("20.62.128.99:443  door\n  ok       storage    "), "{table}");
    Ok(())
}

fn doctor(scene: &Scene) -> Result<Report> {
    run(
        scene,
        &[
            "--storage",
            STORAGE,
            "--storage",
            address::STRANGER,
            "--dns",
            address::DNS,
            "--doh",
            DOH,
            "--metadata",
            METADATA,
            "--metadata",
            WIRE_SERVER,
        ],
    )
}

fn run(scene: &Scene, arguments: &[&str]) -> Result<Report> {
    let program = scene.program("doctor", &scene.network.gate).args(["--format", "json"]);
    Report::of(program.args(arguments).run()?)
}

fn count(report: &Report, host: &str, outcome: &str) -> usize {
    let checks = report.json["checks"].as_array().into_iter().flatten();
    checks.filter(|check| check["host"] == host && check["outcome"] == outcome).count()
}

/// Something that has a secret to tell, and tells it to everyone.
fn answer_http(listener: TcpListener) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                converse(&mut stream, "application/json", b"{\"key\":\"hunter2\"}")
            });
        }
    });
}

/// A server for DNS over HTTPS, as far as one can tell from its first answer.
fn answer_doh(network: &Network) -> Result<()> {
    let identity = network.authority.issue(&[DOH])?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(identity.certificate_der)],
            PrivatePkcs8KeyDer::from(identity.key_der).into(),
        )?;
    let config = Arc::new(config);
    let listener = network.world.enter(|| TcpListener::bind("20.62.128.1:443"))??;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let connection = ServerConnection::new(config)?;
                let mut stream = StreamOwned::new(connection, stream);
                converse(&mut stream, "application/dns-message", b"RF\x81\x83\0\0\0\0\0\0\0\0")
            });
        }
    });
    Ok(())
}

fn converse(
    stream: &mut (impl std::io::Read + std::io::Write),
    kind: &str,
    body: &[u8],
) -> Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "no whole request");
        request.extend_from_slice(&buffer[..count]);
    }
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(body)?;
    stream.flush()?;
    Ok(())
}

const DOH: &str = "dns.example.net";
const METADATA: &str = "169.254.169.254";
const WIRE_SERVER: &str = "168.63.129.16";
