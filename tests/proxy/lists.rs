//! What makes a list, and what a new one does to those who are connected: rows L01 to L06 of the threats.
//! Tests of the same rows beside other stories are in `lifecycle.rs`, `tunnels.rs` and `reload.rs`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use tempfile::TempDir;
use test_support::{Finished, Program, Ringfence};

use crate::stage::{Client, DATA, HOST, Stage, document};

fn run(arguments: &[&str]) -> Result<Finished> {
    Program::new(env!("CARGO_BIN_EXE_ringfence")).args(arguments).run()
}

/// L01: what is no list starts nothing, and a list without entries allows nothing.
#[test]
fn nothing_is_allowed_by_what_is_no_list() -> Result<()> {
    let directory = TempDir::new()?;
    let path = directory.path().join("allowlist.toml");
    let list = path.display().to_string();
    let rows = [
        (None, "can't read"),
        (Some(""), "the file is empty"),
        (Some("\n# nothing yet\n"), "the file is empty"),
        (Some("schema = 1\nhosts = []\n"), "unknown field `hosts`"),
        (Some("schema = 1\n[[entries]]\nhost = \"a.azurecr.io\"\n"), "unknown field `entries`"),
        (Some("schema = 1\nschema = 1\n"), "duplicate key"),
        (Some("schema = 1\nentry = 1\n"), "allowlist.toml:2:"),
        (Some("schema = 2\n"), "schema 2 is not known"),
        (Some("{\"schema\": 1}"), "allowlist.toml:1:"),
        // YAML, with an anchor and a merge key.
        (Some("hosts: []\n"), "allowlist.toml:1:"),
        (Some("base: &base\n  - a.azurecr.io\n<<: *base\n"), "allowlist.toml:1:"),
    ];
    for (text, expected) in rows {
        if let Some(text) = text {
            fs::write(&path, text)?;
        }
        for command in [&["run"][..], &["check"], &["explain", HOST]] {
            let finished = run(&[command, &["--allowlist", &list]].concat())?;
            ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
            ensure!(finished.stderr.contains(expected), "{expected} in {finished}");
        }
    }

    fs::write(&path, "schema = 1\n")?;
    let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), ["--allowlist", &list])?;
    let mut client = Client::connect(proxy.listen())?;
    client.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\n\r\n").as_bytes())?;
    ensure!(client.head()?.starts_with("HTTP/1.1 503 ringfence: no_policy; "));
    ensure!(proxy.admin("/readyz")?.contains("\"reason\":\"no_policy\""));
    proxy.stderr().wait_for_line(|line| line.contains("so everything is denied"))?;
    Ok(())
}

/// L02: each line that stands for more than one owner's host is refused, with its place and a remedy.
#[test]
fn a_line_that_is_too_wide_does_not_load() -> Result<()> {
    let directory = TempDir::new()?;
    let path = directory.path().join("allowlist.toml");
    let list = path.display().to_string();
    let exact = "write each host by its exact name";
    let rows = [
        ("*", "the last two labels must be literal", exact),
        ("*.com", "the last two labels must be literal", exact),
        ("con*.azurecr.io", "`*` must be a whole label", exact),
        ("contoso.*.data.azurecr.io", "does not allow patterns", "allow_patterns = true"),
        ("*.azurecr.io", "would allow `exfil.azurecr.io`", "list the exact hosts"),
        ("contoso.(east|west)us.data.azurecr.io", "'(' has no meaning", exact),
        ("^contoso.azurecr.io$", "'^' has no meaning", exact),
        ("cont?so.azurecr.io", "'?' has no meaning", exact),
        ("[a-z]+.azurecr.io", "'[' has no meaning", exact),
        (".azurecr.io", "a label is empty", exact),
        ("10.0.0.0/8", "'/' has no meaning", "private addresses go into `addresses`"),
        ("10.0.0.1", "an IP address is not a host name", "private addresses go into `addresses`"),
        ("azurecr.io", "the domain of all registries", "allowlist-gen generate"),
        ("co.uk", "a domain that many owners share", "list the exact host below it"),
        ("blob.core.windows.net", "is a storage host", "dedicated data endpoints"),
        ("acct.blob.core.windows.net", "is a storage host", "dedicated data endpoints"),
        ("acct.z13.blob.storage.azure.net", "is a storage host", "dedicated data endpoints"),
        // H07
        ("xn--bcher-kva.azurecr.io", "`xn--` (punycode) labels are not accepted", ""),
        ("*.blob.core.windows.net", "would allow `exfil.blob.core", "dedicated data endpoints"),
    ];
    for (host, problem, remedy) in rows {
        let entry = |host| format!("[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"x\"\n");
        fs::write(&path, format!("schema = 1\n{}{}", entry("good.example.com"), entry(host)))?;
        let finished = run(&["check", "--allowlist", &list])?;
        ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
        for text in [problem, "allowlist.toml:7:8\n", &format!("7 | host = \"{host}\"\n"), remedy] {
            ensure!(finished.stderr.contains(text), "{text} in {finished}");
        }
    }
    Ok(())
}

/// L03: a bad list changes nothing but the warning, and counts as one failure.
#[test]
fn a_bad_list_is_one_failure_and_no_change() -> Result<()> {
    let stage = Stage::open()?;
    let mut tunnel = stage.tunnel(DATA)?;
    let bad = document(&[HOST], stage.origin.port) + "[[entry]]\nhost = \"*.azurecr.io\"\n";
    stage.put(&(bad + "role = \"other\"\nwhy = \"x\"\n"))?;
    let shown = |line: &str| line.contains("the old list stays in force: `*.azurecr.io` would");
    stage.proxy.stderr().wait_for_line(shown)?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("allowlist.toml:9:8"))?;
    let ready = stage.proxy.admin("/readyz")?;
    ensure!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("\"warning\":\"`*."), "{ready}");
    ensure!(stage.proxy.metric("ringfence_reload_failures_total")? == 1);
    ensure!(stage.proxy.metric("ringfence_allowlist_generation")? == 1);
    tunnel.echo()?;
    Ok(())
}

/// L03: whoever reads the notices sees what a good one changes.
#[test]
fn a_new_list_shows_what_it_changes() -> Result<()> {
    let stage = Stage::open()?;
    stage.allow(&[HOST, "third.azurecr.io"])?;
    for expected in [
        "ringfence: the list since generation 1: 1 entry added, 1 entry removed, 0 entries altered",
        "  + third.azurecr.io",
        &format!("  - {DATA}"),
    ] {
        stage.proxy.stderr().wait_for_line(|line| line == expected)?;
    }
    Ok(())
}

/// L04: the end comes within a second of the rename. A busy machine may need a second try.
#[test]
fn a_host_that_goes_takes_its_tunnels_along_within_a_second() -> Result<()> {
    let stage = Stage::open()?;
    let mut kept = stage.tunnel(HOST)?;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let mut removed = stage.tunnel(DATA)?;
        let from = Instant::now();
        stage.put(&document(&[HOST], stage.origin.port))?;
        ensure!(removed.ended()?);
        quickest = quickest.min(from.elapsed());
        stage.proxy.logged(|line| line["reason"] == Reason::PolicyRevoked.code())?;
        kept.echo()?;
        if quickest < Duration::from_secs(1) {
            return Ok(());
        }
        stage.allow(&[HOST, DATA])?;
    }
    anyhow::bail!("the quickest took {quickest:?}");
}

/// L06: each way in which a file is replaced is one reload, from the whole old list to the whole new one.
#[test]
fn each_way_to_replace_a_list_is_one_reload() -> Result<()> {
    type Way = fn(&Path, &str) -> Result<()>;
    let ways: [(&str, Way); 3] = [
        ("rename", |list, text| {
            let new = list.with_extension("new");
            fs::write(&new, text)?;
            Ok(fs::rename(new, list)?)
        }),
        ("swap", |list, text| {
            let folder = list.parent().context("a folder")?;
            fs::create_dir(folder.join("..2"))?;
            fs::write(folder.join("..2/allowlist.toml"), text)?;
            symlink("..2", folder.join("..data_tmp"))?;
            fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
            Ok(fs::remove_dir_all(folder.join("..1"))?)
        }),
        ("truncate", |list, text| {
            let mut file = fs::File::create(list)?;
            for piece in text.as_bytes().chunks(40) {
                file.write_all(piece)?;
                file.sync_all()?;
            }
            Ok(())
        }),
    ];
    for (name, way) in ways {
        let stage = Stage::prepared("", |list, _| {
            if name == "swap" {
                let folder = list.parent().context("a folder")?;
                fs::create_dir(folder.join("..1"))?;
                fs::rename(list, folder.join("..1/allowlist.toml"))?;
                symlink("..1", folder.join("..data"))?;
                symlink("..data/allowlist.toml", list)?;
            }
            Ok(())
        })?;
        // Half of the new list is a list, too, and lacks the second host.
        let mut tunnel = stage.tunnel(DATA)?;
        way(&stage.list, &document(&[HOST, DATA, "third.azurecr.io"], stage.origin.port))?;
        stage.until(|| Ok(stage.proxy.metric("ringfence_allowlist_entries")? == 3))?;
        // Whatever else there was to read has been read when the signal is answered.
        stage.proxy.reload()?;
        stage.proxy.stderr().wait_for_line(|line| line.contains("nothing has changed"))?;
        for (metric, expected) in [
            ("ringfence_reloads_total", 1),
            ("ringfence_reload_failures_total", 0),
            ("ringfence_allowlist_generation", 2),
        ] {
            ensure!(stage.proxy.metric(metric)? == expected, "{name}: {metric}");
        }
        tunnel.echo()?;
    }
    Ok(())
}

/// L04, L05, L06: under a list that never stands still, nobody who is allowed notices anything.
#[test]
fn lists_that_come_all_the_time_break_no_allowed_tunnel() -> Result<()> {
    // On a machine that does nothing else, it knocks more often than one client may.
    let fast = "[limits]\nrate_per_client = 100000\nburst_per_client = 100000\n";
    let stage = Stage::with_settings(fast)?;
    let over = AtomicBool::new(false);
    let talk = |host: &str| -> Result<u32> {
        let mut client = stage.tunnel(host)?;
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            client.echo()?;
            rounds += 1;
        }
        client.finish()?;
        ensure!(client.rest()? == b"goodbye");
        Ok(rounds)
    };
    let knock = || -> Result<u32> {
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            let mut client = stage.tunnel(HOST)?;
            client.finish()?;
            ensure!(client.rest()? == b"goodbye");
            rounds += 1;
        }
        Ok(rounds)
    };
    std::thread::scope(|scope| {
        let talkers = [HOST, DATA, HOST, DATA].map(|host| scope.spawn(move || talk(host)));
        let knocker = scope.spawn(knock);
        let rewritten = (0..25).try_for_each(|round| {
            // A reload waits for 50 ms of quiet, so each takes a little longer than that.
            stage.allow(&[HOST, DATA, &format!("other{round}.azurecr.io")])
        });
        over.store(true, Ordering::Relaxed);
        rewritten?;
        for thread in talkers.into_iter().chain([knocker]) {
            ensure!(thread.join().expect("no panic")? > 0, "nobody talked");
        }
        Ok(())
    })?;
    ensure!(stage.proxy.metric("ringfence_reloads_total")? == 25);
    ensure!(stage.proxy.metric("ringfence_reload_failures_total")? == 0);
    ensure!(stage.proxy.metric("ringfence_tunnel_ends_total{end=\"revoked\"}")? == 0);
    Ok(())
}
