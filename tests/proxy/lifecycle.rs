//! Start, readiness, reload and end of the process, and its command line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use test_support::{Finished, PATIENCE, Program, Ringfence};

use crate::stage::{Answer, Client, DATA, HOST, Stage, document};

fn run(arguments: &[&str]) -> Result<Finished> {
    Program::new(env!("CARGO_BIN_EXE_ringfence")).args(arguments).run()
}

fn metadata() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples/contoso.json")
}

#[test]
fn a_registrys_metadata_is_all_it_needs() -> Result<()> {
    let proxy =
        Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), ["--registry", metadata()])?;
    let said = proxy.stderr().text();
    for host in
        ["contoso.azurecr.io", "contoso.eastus.data.azurecr.io", "contoso.westus.data.azurecr.io"]
    {
        ensure!(said.contains(&format!("\n  {host}\n")), "{said}");
    }
    proxy
        .stderr()
        .wait_for_line(|line| line.starts_with("ringfence: try curl -x http://127.0.0.1:"))?;
    ensure!(proxy.admin("/readyz")?.contains("\"entries\":3"));
    Ok(())
}

#[test]
fn metadata_that_changes_is_derived_from_again() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let path = directory.path().join("registry.json");
    fs::copy(metadata(), &path)?;
    let arguments = ["--registry".as_ref(), path.as_os_str()];
    let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), arguments)?;
    let without_westus = fs::read_to_string(&path)?
        .replace("\"contoso.eastus.data.azurecr.io\",", "\"contoso.eastus.data.azurecr.io\"")
        .replace("\"contoso.westus.data.azurecr.io\"", "");
    fs::write(directory.path().join("new"), without_westus)?;
    fs::rename(directory.path().join("new"), &path)?;
    proxy.stderr().wait_for_line(|line| line.contains("generation 2"))?;
    ensure!(proxy.admin("/readyz")?.contains("\"entries\":2"));
    Ok(())
}

#[test]
fn what_to_look_at_in_the_metadata_is_said() -> Result<()> {
    let metadata = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/azure/constructed/private-geo/acr-show.json"
    );
    let checked = run(&["check", "--registry", metadata])?.succeeded()?;
    ensure!(checked.stderr.contains("finding (connection-not-approved): "), "{checked}");
    let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), ["--registry", metadata])?;
    let finding = |line: &str| line.starts_with("finding (connection-not-approved): ");
    proxy.stderr().wait_for_line(finding)?;
    Ok(())
}

#[test]
fn a_list_that_is_mended_or_read_again_is_acknowledged() -> Result<()> {
    let stage = Stage::open()?;
    let list = fs::read_to_string(&stage.list)?;
    fs::write(&stage.list, "nonsense")?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("the old list stays in force"))?;
    fs::write(&stage.list, &list)?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("nothing has changed"))?;
    let said = stage.proxy.stderr().lines().len();
    stage.proxy.reload()?;
    stage.until(|| Ok(stage.proxy.stderr().lines().len() > said))?;
    Ok(())
}

/// L03.
#[test]
fn a_bad_list_keeps_the_old_one_and_says_so() -> Result<()> {
    let stage = Stage::open()?;
    let bad = "schema = 1\nallow_patterns = true\n[[entry]]\nhost = \"*.core.windows.net\"\nrole = \"other\"\nwhy = \"x\"\n";
    for (write, expected) in
        [(bad, "would allow `exfil.blob.core.windows.net`"), ("", "the file is empty")]
    {
        fs::write(&stage.list, write)?;
        stage.proxy.stderr().wait_for_line(|line| line.contains(expected))?;
        drop(stage.tunnel(HOST)?);
    }
    ensure!(stage.proxy.metric("ringfence_reload_failures_total")? >= 2);
    ensure!(stage.proxy.metric("ringfence_allowlist_generation")? == 1);
    let ready = stage.proxy.admin("/readyz")?;
    ensure!(
        ready.starts_with("HTTP/1.1 200 ") && ready.contains("\"warning\":\"the file is empty"),
        "{ready}"
    );

    fs::remove_file(&stage.list)?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("can't read"))?;
    drop(stage.tunnel(HOST)?);

    stage.allow(&[HOST])?;
    ensure!(!stage.proxy.admin("/readyz")?.contains("warning"));
    Ok(())
}

/// L06. The first half of a list is a list, too; a writer that is not done must not be believed.
#[test]
fn a_list_that_is_being_written_is_not_read() -> Result<()> {
    let stage = Stage::open()?;
    let whole = document(&[HOST, DATA, "third.azurecr.io"], stage.origin.port);
    let half = whole.rfind("[[entry]]").expect("three entries");
    let mut file = fs::File::create(&stage.list)?;
    file.write_all(&whole.as_bytes()[..half])?;
    file.sync_all()?;
    let tunnel = stage.tunnel(DATA)?;
    file.write_all(&whole.as_bytes()[half..])?;
    drop(file);
    stage.until(|| Ok(stage.proxy.metric("ringfence_allowlist_entries")? == 3))?;
    // One reload, from the old list to the whole new one.
    ensure!(stage.proxy.metric("ringfence_allowlist_generation")? == 2);
    drop(tunnel);
    Ok(())
}

/// L06. `current` points to a release, and is swapped by rename; the folder itself may go and come back.
#[test]
fn a_list_behind_a_folder_that_is_swapped_is_noticed() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    let release = |name: &str, hosts: &[&str]| -> Result<()> {
        fs::create_dir_all(path(name))?;
        Ok(fs::write(path(name).join("allowlist.toml"), document(hosts, 443))?)
    };
    release("1", &[HOST])?;
    release("2", &[HOST, DATA])?;
    symlink("1", path("current"))?;
    let list = path("current").join("allowlist.toml");
    let arguments = ["--allowlist".as_ref(), list.as_os_str()];
    let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), arguments)?;

    symlink("2", path("next"))?;
    fs::rename(path("next"), path("current"))?;
    proxy.stderr().wait_for_line(|line| line.contains("generation 2"))?;

    fs::remove_dir_all(path("2"))?;
    proxy.stderr().wait_for_line(|line| line.contains("the old list stays in force"))?;
    release("2", &[HOST])?;
    proxy.stderr().wait_for_line(|line| line.contains("generation 3"))?;
    Ok(())
}

/// The line names the list that decided, not the one that was in force when the client came.
#[test]
fn the_log_names_the_list_that_decided() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.client()?;
    client.send(b"CONN")?;
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 1))?;
    stage.allow(&[HOST])?;
    client.send(format!("ECT {DATA}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    ensure!(client.head()?.contains("not_in_policy"));
    let line = stage.proxy.logged(|line| line["host"] == DATA)?;
    ensure!(line["generation"] == 2, "{line}");
    Ok(())
}

/// However the kernel spreads connections over workers, the free slots are for all of them.
#[test]
fn a_free_slot_serves_whoever_comes() -> Result<()> {
    for (workers, connections, held) in [(2, 1, 0), (4, 3, 2)] {
        let stage = Stage::with_settings(&format!(
            "workers = {workers}\n[limits]\nconnections = {connections}\n"
        ))?;
        let _held = (0..held).map(|_| stage.tunnel(HOST)).collect::<Result<Vec<_>>>()?;
        for _ in 0..12 {
            let (_, head) = stage.connect("evil.example:443")?;
            ensure!(head.contains("not_in_policy"), "{head}");
        }
    }
    Ok(())
}

#[test]
fn signals_right_after_the_start_are_obeyed() -> Result<()> {
    for _ in 0..5 {
        let mut proxy =
            Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), ["--registry", metadata()])?;
        proxy.reload()?;
        ensure!(proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
        proxy.terminate()?;
        ensure!(proxy.wait()?.success());
    }
    Ok(())
}

/// Nobody reads the log, and nobody the notices; the process still reloads, serves and stops.
#[test]
fn a_stuck_log_reader_stops_nothing() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let list = directory.path().join("allowlist.toml");
    fs::write(&list, document(&[HOST], 443))?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--allowlist"])
        .arg(&list)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = Pid::from_child(&child);
    let mut said = BufReader::new(child.stderr.take().context("a pipe")?).lines();
    let mut announced = said
        .by_ref()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("ringfence: listening on ").map(str::to_owned));
    let address: SocketAddr = announced.next().context("an address")?.parse()?;
    let result = (|| {
        // More log lines, and more notices, than two pipes hold.
        for round in 0..400 {
            if round % 4 == 0 {
                fs::write(&list, format!("nonsense {}", "x".repeat(500 + round)))?;
                kill_process(pid, Signal::HUP)?;
            }
            let mut client = Client::connect(address)?;
            client.send(
                format!("CONNECT {}.example:443 HTTP/1.1\r\n\r\n", "x".repeat(60)).as_bytes(),
            )?;
            ensure!(client.head()?.contains("not_in_policy"));
        }
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "it doesn't stop");
            std::thread::yield_now();
        };
        ensure!(status.success(), "{status}");
        Ok(())
    })();
    let _ = child.kill();
    child.wait()?;
    result
}

#[test]
fn sigterm_waits_for_tunnels_and_then_stops() -> Result<()> {
    let mut stage = Stage::open()?;
    let mut tunnel = stage.tunnel(HOST)?;
    stage.proxy.terminate()?;
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.contains("\"reason\":\"draining\"")))?;
    // No newcomers, but the tunnel goes on to its own end.
    stage.until(|| Ok(Client::connect(stage.proxy.listen()).is_err()))?;
    tunnel.send(b"x")?;
    ensure!(tunnel.receive(1)? == b"x");
    tunnel.finish()?;
    ensure!(tunnel.rest()? == b"goodbye");
    ensure!(stage.proxy.wait()?.success());
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["end"] == "client", "{line}");
    Ok(())
}

#[test]
fn what_outlives_the_drain_is_cut_and_recorded() -> Result<()> {
    let mut stage = Stage::with_settings("[timeouts]\ndrain = \"200ms\"\n")?;
    let mut tunnel = stage.tunnel(HOST)?;
    let mut silent = stage.client()?;
    silent.send(b"CONN")?;
    stage.dns.answer(DATA, Answer::Held);
    let mut waiting = stage.client()?;
    waiting.send(format!("CONNECT {DATA}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 3))?;
    stage.proxy.terminate()?;
    ensure!(tunnel.ended()?);
    for mut client in [silent, waiting] {
        ensure!(client.head()?.starts_with("HTTP/1.1 503 ringfence: draining; "));
    }
    ensure!(stage.proxy.wait()?.success());
    let line = stage.proxy.logged(|line| line["end"] == "drain")?;
    ensure!(line["reason"] == Reason::Draining.code() && line["outcome"] == "tunnel", "{line}");
    let failed =
        |line: &&Value| line["outcome"] == "failed" && line["reason"] == Reason::Draining.code();
    ensure!(stage.proxy.log()?.iter().filter(failed).count() == 2);
    Ok(())
}

#[test]
fn the_admin_port_serves_its_three_pages_and_is_no_proxy() -> Result<()> {
    let stage = Stage::open()?;
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    ensure!(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 "));
    ensure!(stage.proxy.admin("/")?.starts_with("HTTP/1.1 404 "));
    let metrics = stage.proxy.admin("/metrics")?;
    // Every series is there from the start, each with a value.
    for reason in Reason::ALL {
        let series = format!("ringfence_connections_total{{outcome=\"{}\"}} 0\n", reason.code());
        ensure!(metrics.contains(&series), "{series}");
    }
    // The client port serves none of them.
    let mut client = stage.client()?;
    client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
    ensure!(client.head()?.starts_with("HTTP/1.1 404 "));
    Ok(())
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let write = |name: &str, host: &str| -> Result<String> {
        let path = directory.path().join(name);
        fs::write(&path, document(&[host], 443))?;
        Ok(path.display().to_string())
    };
    let (file, environment, flag) = (
        write("file.toml", "file.example.com")?,
        write("env.toml", "env.example.com")?,
        write("flag.toml", "flag.example.com")?,
    );
    let config = directory.path().join("ringfence.toml");
    fs::write(&config, format!("allowlist = [\"{file}\"]\n"))?;
    let config = config.display().to_string();
    let check =
        || Program::new(env!("CARGO_BIN_EXE_ringfence")).args(["check", "--config", &config]);
    let rows = [
        (check(), "file.example.com"),
        (check().env("RINGFENCE_ALLOWLIST", &environment), "env.example.com"),
        (
            check().env("RINGFENCE_ALLOWLIST", &environment).args(["--allowlist", &flag]),
            "flag.example.com",
        ),
    ];
    for (program, host) in rows {
        let finished = program.run()?.succeeded()?;
        ensure!(finished.stdout.contains(&format!("\n  {host}\n")), "{finished}");
    }
    Ok(())
}

#[test]
fn explain_gives_the_verdict_of_the_proxy() -> Result<()> {
    let stage = Stage::open()?;
    let list = stage.list.display().to_string();
    let port = stage.origin.port;
    let rows = [
        (format!("{HOST}:{port}"), 0, None),
        (HOST.to_owned(), 1, Some(Reason::PortNotAllowed)),
        ("exfil.blob.core.windows.net".to_owned(), 1, Some(Reason::StorageForbidden)),
        ("contoso.westus.data.azurecr.io".to_owned(), 1, Some(Reason::NotInPolicy)),
        ("10.0.0.1".to_owned(), 1, Some(Reason::IpLiteral)),
        (format!("{HOST}.:{port}"), 1, Some(Reason::BadAuthority)),
        (format!("{HOST}:0{port}"), 1, Some(Reason::BadPort)),
    ];
    for (target, code, reason) in rows {
        let finished = run(&["explain", &target, "--format", "json", "--allowlist", &list])?;
        ensure!(finished.status.code() == Some(code), "{finished}");
        let explained: serde_json::Value = serde_json::from_str(&finished.stdout)?;
        ensure!(explained["reason"].as_str() == reason.map(Reason::code), "{explained}");
        if let (Some(reason), true) = (reason, target.contains(':')) {
            // The proxy says the same.
            let (_, head) = stage.connect(&target)?;
            ensure!(
                head.contains(&format!("\r\nRingfence-Reason: {}\r\n", reason.code())),
                "{head}"
            );
        }
    }
    let missing = run(&["explain", "contoso.westus.data.azurecr.io", "--allowlist", &list])?;
    ensure!(missing.stdout.contains(&format!("\nlisted     {DATA}\n")), "{missing}");
    let text = run(&["explain", "exfil.blob.core.windows.net", "--allowlist", &list])?;
    ensure!(text.stdout.contains("verdict    deny: storage_forbidden"), "{text}");
    Ok(())
}

/// L01 and others.
#[test]
fn what_cannot_start_says_why() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let write = |name: &str, text: &str| -> Result<String> {
        let path = directory.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let good = write("good.toml", &document(&[HOST], 443))?;
    let contrary = write("contrary.toml", &document(&[HOST], 8443))?;
    let empty = write("empty.toml", "")?;
    let unknown = write("ringfence.toml", "listne = \"127.0.0.1:0\"\n")?;
    let off = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/azure/az-cli/acr-show-endpoints.data-endpoints-disabled.json"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr()?.to_string();
    let rows: [(&[&str], &[&str]); 10] = [
        (&["run"], &["nothing is allowed yet", "--allowlist FILE"]),
        (
            &["run", "--allowlist", "no-such-file.toml"],
            &["can't read `no-such-file.toml`", "No such file"],
        ),
        (&["run", "--allowlist", "/dev/null"], &["`/dev/null` is not a regular file"]),
        (&["run", "--allowlist", &empty], &["the file is empty", "empty.toml:1:1"]),
        (
            &["run", "--allowlist", &good, "--allowlist", &contrary],
            &["contradict", "good.toml:3:8", "contrary.toml:3:8"],
        ),
        (
            &["run", "--allowlist", &good, "--registry", metadata()],
            &["contradict", "good.toml:3:8", "the list derived from", "contoso.json:4:8"],
        ),
        (&["run", "--config", &unknown], &["unknown field `listne`", "ringfence.toml:1:1"]),
        (&["run", "--registry", off], &["data endpoints off", "--data-endpoint-enabled true"]),
        (&["run", "--allowlist", &good, "--listen", &taken], &["can't listen on", "in use"]),
        (&["check", "--registry", &good], &["good.toml"]),
    ];
    for (arguments, expected) in rows {
        let finished = run(arguments)?;
        ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
        for text in expected {
            ensure!(finished.stderr.contains(text), "{text} in {finished}");
        }
    }
    Ok(())
}

/// Certificates and users that can't be read again are older than their files, as lists are.
#[test]
fn bad_users_keep_the_old_ones_and_say_so() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let users = directory.path().join("users");
    let put = |text: &str| -> Result<()> {
        let new = directory.path().join("users.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, &users)?)
    };
    put(USERS)?;
    let group = "[[client]]\nname = \"build\"\nuser = [\"ci\"]\nallowlist = [\"allowlist.toml\"]\n";
    let stage =
        Stage::with_settings(&format!("[credentials]\nusers = \"{}\"\n{group}", users.display()))?;
    let warned = |expected| {
        stage.until(|| Ok(stage.proxy.admin("/readyz")?.contains("\"warning\":") == expected))
    };
    for round in 1..=2 {
        put("nonsense")?;
        stage.proxy.stderr().wait_for_line(|line| line.contains("the old users stay in force"))?;
        warned(true)?;
        let ready = stage.proxy.admin("/readyz")?;
        ensure!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("the old users"), "{ready}");
        ensure!(stage.proxy.metric("ringfence_reload_failures_total")? == round);
        put(USERS)?;
        warned(false)?;
    }
    drop(stage.tunnel(HOST)?);
    Ok(())
}

/// What `run` refuses, `check` refuses, too, and leaves nothing behind.
#[test]
fn check_refuses_what_run_refuses() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    fs::write(path("allowlist.toml"), document(&[HOST], 443))?;
    let config = path("ringfence.toml").display().to_string();
    let rows = [
        ("[log]\nfile = \"missing/access.log\"\n", "can't open the access log"),
        ("[log]\nfile = \".\"\n", "can't open the access log"),
        (
            "[log]\nfile = \"/dev/null\"\naudit = \"required\"\n",
            "the access log is required, but goes to /dev/null",
        ),
        (
            "listen = \"127.0.0.1:3128\"\nadmin = \"0.0.0.0:3128\"\n",
            "`listen = \"127.0.0.1:3128\"` and `admin = \"0.0.0.0:3128\"` can't both be listened on",
        ),
        (
            "[transparent]\nlisten = \"127.0.0.1:9180\"\n",
            "`transparent.listen = \"127.0.0.1:9180\"` and `admin = \"127.0.0.1:9180\"` can't both",
        ),
    ];
    for (settings, expected) in rows {
        fs::write(&config, format!("allowlist = [\"allowlist.toml\"]\n{settings}"))?;
        for command in ["check", "run"] {
            let finished = run(&[command, "--config", &config])?;
            ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
            ensure!(finished.stderr.contains(expected), "{expected} in {finished}");
        }
    }

    fs::write(path("allowlist.toml"), "schema = 1\n")?;
    let settings = "allowlist = [\"allowlist.toml\"]\n[log]\nfile = \"access.log\"\n";
    fs::write(&config, settings)?;
    let checked = run(&["check", "--config", &config])?.succeeded()?;
    ensure!(
        checked.stderr.contains("the list has no entries, so everything is denied"),
        "{checked}"
    );
    ensure!(!path("access.log").exists());
    Ok(())
}

/// The form of a hash is enough; nobody logs in.
const USERS: &str = "ci:$2y$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDC\n";
