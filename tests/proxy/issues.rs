//! Who has signed a list, which issue of it this is, and until when it counts: row L08 of the threats.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ringfence::lists::signature::beside;
use ringfence::reason::Reason;
use tempfile::TempDir;
use test_support::{Finished, Program, Ringfence, require_program};

use crate::stage::{DATA, HOST, LOOPBACK, Stage, document};

fn run(arguments: &[&str]) -> Result<Finished> {
    Program::new(env!("CARGO_BIN_EXE_ringfence")).args(arguments).run()
}

/// L08: without the right signature nothing loads, be it a list or metadata.
#[test]
fn what_is_not_signed_does_not_load() -> Result<()> {
    let Some(signer) = Signer::new()? else { return Ok(()) };
    let other = Signer::new()?.context("a second key")?;
    let list = signer.path("allowlist.toml");
    fs::write(&list, document(&[HOST], 443))?;
    let registry = signer.path("contoso.json");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/samples/contoso.json");
    fs::copy(sample, &registry)?;
    let config = signer.path("ringfence.toml");
    fs::write(&config, signer.settings())?;
    let config = config.display().to_string();
    for (flag, file) in [("--allowlist", &list), ("--registry", &registry)] {
        let shown = file.display().to_string();
        let try_each = |expected: &str| -> Result<()> {
            for command in [&["run"][..], &["check"], &["explain", HOST]] {
                let finished = run(&[command, &["--config", &config, flag, &shown]].concat())?;
                ensure!(
                    finished.status.code() == Some(2) && finished.stdout.is_empty(),
                    "{finished}"
                );
                let sign = format!("`minisign -Sm {shown}`");
                for text in [&format!("`{shown}` {expected}"), &sign] {
                    ensure!(finished.stderr.contains(text.as_str()), "{text} in {finished}");
                }
            }
            Ok(())
        };
        let check = || run(&["check", "--config", &config, flag, &shown]);
        let signature = beside(file);

        try_each("is not signed")?;
        fs::write(&signature, "nonsense")?;
        try_each("has no minisign signature")?;
        other.sign(file, &[])?;
        try_each("is signed with a key that is not one of `lists.public_keys`")?;
        signer.sign(file, &["-l"])?;
        try_each("has a signature in minisign's legacy format")?;
        signer.sign(file, &[])?;
        check()?.succeeded()?;

        // One byte more, in a comment that would change nothing; and a trusted comment that is another's.
        let text = fs::read(file)?;
        fs::write(file, [&text[..], b"\n"].concat())?;
        try_each("is not what was signed")?;
        fs::write(file, &text)?;
        check()?.succeeded()?;
        let genuine = fs::read_to_string(&signature)?;
        fs::write(&signature, genuine.replace("file:", "file:x"))?;
        try_each("is not what was signed")?;
    }
    Ok(())
}

/// L08: while the proxy runs, an unsigned list is none; the signature alone makes it one.
#[test]
fn a_list_is_in_force_once_it_is_signed() -> Result<()> {
    let Some(signer) = Signer::new()? else { return Ok(()) };
    let stage = Stage::prepared(&signer.settings(), |list, port| {
        fs::write(list, document(&[HOST], port))?;
        signer.sign(list, &[])
    })?;
    stage.put(&document(&[HOST, DATA], stage.origin.port))?;
    let refused = |line: &str| {
        line.contains("the old list stays in force") && line.contains("not what was signed")
    };
    stage.proxy.stderr().wait_for_line(refused)?;
    ensure!(stage.proxy.admin("/readyz")?.contains("is not what was signed; restore it"));
    refuse(&stage, DATA, "403 ringfence: not_in_policy")?;
    drop(stage.tunnel(HOST)?);

    signer.sign(&stage.list, &[])?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("generation 2: allowlist"))?;
    drop(stage.tunnel(DATA)?);
    ensure!(!stage.proxy.admin("/readyz")?.contains("warning"));

    fs::remove_file(beside(&stage.list))?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("is not signed"))?;
    drop(stage.tunnel(DATA)?);
    Ok(())
}

/// L08: an old list with its old and valid signature is still old.
#[test]
fn a_signed_list_that_is_put_back_is_refused() -> Result<()> {
    let Some(signer) = Signer::new()? else { return Ok(()) };
    let numbered = |serial, hosts: &[&str], port| issue(&document(hosts, port), serial, None);
    let stage = Stage::prepared(&signer.settings(), |list, port| {
        fs::write(list, numbered(Some(7), &[HOST, DATA], port))?;
        signer.sign(list, &[])
    })?;
    let (old, signature) = (fs::read(&stage.list)?, fs::read(beside(&stage.list))?);
    stage.put(&numbered(Some(8), &[HOST], stage.origin.port))?;
    signer.sign(&stage.list, &[])?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("generation 2: allowlist"))?;

    fs::write(beside(&stage.list), signature)?;
    fs::write(&stage.list, old)?;
    let refused = |line: &str| {
        line.contains("the old list stays in force") && line.contains("serial 7, after serial 8")
    };
    stage.proxy.stderr().wait_for_line(refused)?;
    refuse(&stage, DATA, "403 ringfence: not_in_policy")?;
    drop(stage.tunnel(HOST)?);
    Ok(())
}

/// L08: a serial never falls and never goes, unless the operator only wants to be told.
#[test]
fn an_earlier_issue_is_refused_or_warned_of() -> Result<()> {
    for (rule, is_refused) in [("refuse", true), ("warn", false)] {
        let settings = format!("[lists]\nrollback = \"{rule}\"\n");
        let numbered = |serial, hosts: &[&str], port| issue(&document(hosts, port), serial, None);
        let stage = Stage::prepared(&settings, |list, port| {
            Ok(fs::write(list, numbered(Some(7), &[HOST], port))?)
        })?;
        for (serial, expected) in
            [(Some(6), "serial 6, after serial 7"), (None, "without a serial, after")]
        {
            // A host of its own, so that each is another list.
            let hosts =
                [HOST, DATA, if serial.is_some() { "a.azurecr.io" } else { "b.azurecr.io" }];
            stage.put(&numbered(serial, &hosts, stage.origin.port))?;
            stage.proxy.stderr().wait_for_line(|line| line.contains(expected))?;
            if is_refused {
                refuse(&stage, DATA, "403 ringfence: not_in_policy")?;
            } else {
                stage.until(|| Ok(stage.proxy.admin("/readyz")?.contains(expected)))?;
                drop(stage.tunnel(DATA)?);
            }
            ensure!(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 "));
        }
        // The same serial again is the same issue, whatever was tried in between.
        stage.enforce(&numbered(Some(7), &[HOST, DATA], stage.origin.port))?;
        ensure!(!stage.proxy.admin("/readyz")?.contains("warning"));
        drop(stage.tunnel(DATA)?);
    }
    Ok(())
}

/// L08: and not over a restart either, if there is a file to remember it by.
#[test]
fn a_restart_forgets_no_serial() -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    let write =
        |serial| fs::write(path("allowlist.toml"), issue(&document(&[HOST], 443), serial, None));
    let settings = "allowlist = [\"allowlist.toml\"]\n[lists]\nstate = \"state.json\"\n";
    fs::write(path("ringfence.toml"), settings)?;
    let config = path("ringfence.toml").display().to_string();
    let arguments = ["--config", &config];
    let start = || Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), arguments);
    let refused = |command: &[&str], expected: &str| -> Result<()> {
        let finished = run(&[command, &arguments].concat())?;
        ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
        ensure!(finished.stderr.contains(expected), "{expected} in {finished}");
        Ok(())
    };

    // Whoever only asks leaves nothing behind.
    write(Some(9))?;
    run(&["check", "--config", &config])?.succeeded()?;
    ensure!(!path("state.json").exists());

    write(Some(7))?;
    let proxy = start()?;
    write(Some(8))?;
    proxy.stderr().wait_for_line(|line| line.contains("only its age has changed"))?;
    proxy.stderr().wait_for_line(|line| line.contains("allowlist.toml: serial 8)"))?;
    drop(proxy);
    for serial in [Some(7), None] {
        write(serial)?;
        for command in [&["run"][..], &["check"], &["explain", HOST]] {
            refused(command, "after serial 8; give it a `serial` of at least 8")?;
        }
    }
    write(Some(8))?;
    drop(start()?);

    let remembered = fs::read(path("state.json"))?;
    for broken in ["", "{\"schema\": 1, \"serials\": {}"] {
        fs::write(path("state.json"), broken)?;
        refused(&["run"], "does not hold the lists' serials; restore it")?;
        refused(&["check"], "does not hold the lists' serials; restore it")?;
    }
    fs::write(path("state.json"), remembered)?;
    drop(start()?);

    // A memory that can't be kept is none to rely on.
    let lost = settings.replace("state.json", "missing/state.json");
    fs::write(path("ringfence.toml"), lost)?;
    refused(&["run"], "leave `lists.state` out")?;
    Ok(())
}

/// L08: what could not be remembered is not in force, and is tried again although the list stays the same.
#[test]
fn a_list_whose_serial_cannot_be_written_is_tried_again() -> Result<()> {
    let directory = TempDir::new()?;
    let memory = directory.path().join("state");
    fs::create_dir(&memory)?;
    let settings = format!("[lists]\nstate = \"{}/serials.json\"\n", memory.display());
    let numbered = |serial, hosts: &[&str], port| issue(&document(hosts, port), Some(serial), None);
    let stage =
        Stage::prepared(&settings, |list, port| Ok(fs::write(list, numbered(1, &[HOST], port))?))?;
    fs::remove_dir_all(&memory)?;
    stage.put(&numbered(2, &[HOST, DATA], stage.origin.port))?;
    let unwritten = |line: &str| line.contains("the old list stays in force: can't write");
    stage.proxy.stderr().wait_for_line(unwritten)?;
    refuse(&stage, DATA, "403 ringfence: not_in_policy")?;
    ensure!(stage.proxy.admin("/readyz")?.contains("can't write"));

    // Another file in the list's folder has it look again, as time does.
    let elsewhere = stage.list.with_file_name("unrelated");
    fs::create_dir(&memory)?;
    fs::write(&elsewhere, "")?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("generation 2: allowlist"))?;
    drop(stage.tunnel(DATA)?);
    ensure!(fs::read_to_string(memory.join("serials.json"))?.contains(": 2\n"));
    ensure!(!stage.proxy.admin("/readyz")?.contains("warning"));
    ensure!(stage.proxy.metric("ringfence_reload_failures_total")? == 1);
    Ok(())
}

/// L08: a list that is past its end doesn't load, unless the operator only wants to be told.
#[test]
fn a_list_past_its_end_does_not_load() -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    let list = issue(&document(&[HOST], 443), None, Some("2020-01-01T00:00:00Z".into()));
    fs::write(path("allowlist.toml"), list)?;
    let config = path("ringfence.toml").display().to_string();
    let settings =
        |rule| format!("allowlist = [\"allowlist.toml\"]\n[lists]\nexpired = \"{rule}\"\n");
    let said = "allowlist.toml` is past its `not_after`, 2020-01-01T00:00:00Z; have it generated";

    fs::write(&config, settings("refuse"))?;
    for command in [&["run"][..], &["check"], &["explain", HOST]] {
        let finished = run(&[command, &["--config", &config]].concat())?;
        ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
        ensure!(finished.stderr.contains(said), "{finished}");
    }

    fs::write(&config, settings("warn"))?;
    let checked = run(&["check", "--config", &config])?.succeeded()?;
    ensure!(checked.stderr.contains(said), "{checked}");
    let proxy = Ringfence::on_loopback(env!("CARGO_BIN_EXE_ringfence"), ["--config", &config])?;
    let ready = proxy.admin("/readyz")?;
    ensure!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("is past its"), "{ready}");
    ensure!(proxy.stderr().lines().iter().filter(|line| line.contains(said)).count() == 1);
    Ok(())
}

/// L08: and one that passes its end while it is in force ends, by itself, with its tunnels. A list of the same
/// hosts with a later end brings everything back.
#[test]
fn a_list_ends_by_itself_and_comes_back_renewed() -> Result<()> {
    let (soon, later) = (from_now(Duration::from_secs(6)), from_now(Duration::from_hours(1)));
    let stage = Stage::prepared("", |list, port| {
        Ok(fs::write(list, issue(&document(&[HOST, DATA], port), Some(1), Some(soon.clone())))?)
    })?;
    let seconds =
        soon.parse::<humantime::Timestamp>()?.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    ensure!(stage.proxy.metric("ringfence_allowlist_not_after_seconds")? == seconds);
    let (mut tunnel, mut waiting) = (stage.tunnel(HOST)?, stage.client()?);
    waiting.send(b"CONN")?;
    let asked = stage.dns.asked().len();

    ensure!(tunnel.ended()?);
    ensure!(SystemTime::now() > *soon.parse::<humantime::Timestamp>()?, "it ended too early");
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["end"] == "revoked" && line["reason"] == Reason::PolicyRevoked.code(), "{line}");
    stage.proxy.stderr().wait_for_line(|line| line.contains("everything is denied until"))?;
    // Nobody passes, also not who came before; nothing is looked up, and nothing arrives.
    let arrived = stage.origin.arrived().len();
    waiting.send(format!("ECT {DATA}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    ensure!(waiting.head()?.starts_with("HTTP/1.1 503 ringfence: policy_expired; "));
    refuse(&stage, HOST, "503 ringfence: policy_expired")?;
    stage.proxy.logged(|line| line["host"] == DATA && line["reason"] == "policy_expired")?;
    ensure!(stage.proxy.metric("ringfence_connections_total{outcome=\"policy_expired\"}")? == 2);
    ensure!((stage.dns.asked().len(), stage.origin.arrived().len()) == (asked, arrived));
    let ready = stage.proxy.admin("/readyz")?;
    ensure!(
        ready.starts_with("HTTP/1.1 503 ") && ready.contains("\"reason\":\"policy_expired\""),
        "{ready}"
    );
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));

    // What is past its end doesn't come back by being read again.
    stage.proxy.reload()?;
    let past =
        |line: &str| line.contains("the old list stays past its end") && line.contains(&soon);
    stage.proxy.stderr().wait_for_line(past)?;
    refuse(&stage, HOST, "503 ringfence: policy_expired")?;

    stage.enforce(&issue(&document(&[HOST, DATA], stage.origin.port), Some(2), Some(later)))?;
    let ready = stage.proxy.admin("/readyz")?;
    ensure!(ready.starts_with("HTTP/1.1 200 ") && !ready.contains("warning"), "{ready}");
    drop((stage.tunnel(HOST)?, stage.tunnel(DATA)?));
    Ok(())
}

/// L08: a list that is renewed in time doesn't end, and one whose end is tolerated goes on.
#[test]
fn a_list_that_is_renewed_or_tolerated_goes_on() -> Result<()> {
    let soon = from_now(Duration::from_secs(6));
    let ends = |end: &str, port| issue(&document(&[HOST, DATA], port), None, Some(end.to_owned()));
    let renewed = Stage::prepared("", |list, port| Ok(fs::write(list, ends(&soon, port))?))?;
    let tolerated = Stage::prepared("[lists]\nexpired = \"warn\"\n", |list, port| {
        Ok(fs::write(list, ends(&soon, port))?)
    })?;
    let (mut first, mut second) = (renewed.tunnel(HOST)?, tolerated.tunnel(HOST)?);
    let later = from_now(Duration::from_hours(1));
    renewed.put(&ends(&later, renewed.origin.port))?;
    renewed.proxy.stderr().wait_for_line(|line| line.contains("only its age has changed"))?;

    let past = |line: &str| line.contains("is past its `not_after`") && line.contains(&soon);
    tolerated.proxy.stderr().wait_for_line(past)?;
    let ready = tolerated.proxy.admin("/readyz")?;
    ensure!(
        ready.starts_with("HTTP/1.1 200 ") && ready.contains("is past its `not_after`"),
        "{ready}"
    );
    second.echo()?;
    drop(tolerated.tunnel(DATA)?);
    // Read again, it is not said again.
    tolerated.proxy.reload()?;
    tolerated.proxy.stderr().wait_for_line(|line| line.contains("nothing has changed"))?;
    ensure!(tolerated.proxy.stderr().lines().iter().filter(|line| past(line)).count() == 1);

    // The other's old end has passed by now, too.
    first.echo()?;
    drop(renewed.tunnel(DATA)?);
    ensure!(renewed.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

/// L08: each group has its own list, and its own end. What becomes of one is nothing to the other.
#[test]
fn one_groups_list_ends_and_the_others_go_on() -> Result<()> {
    let (soon, later) = (from_now(Duration::from_secs(6)), from_now(Duration::from_hours(1)));
    let (first, second) = (LOOPBACK, "127.0.0.2".parse()?);
    let group = |name, address| {
        format!(
            "[[client]]\nname = \"{name}\"\naddress = [\"{address}/32\"]\nallowlist = [\"{name}.toml\"]\n"
        )
    };
    let settings = group("first", first) + &group("second", second);
    let both = |port, serial, end: &String| {
        issue(&document(&[HOST, DATA], port), Some(serial), Some(end.clone()))
    };
    let stage = Stage::prepared(&settings, |list, port| {
        // Nobody belongs to everyone here; their list shows that an empty one is pointed at.
        fs::write(list, "schema = 1\n")?;
        fs::write(list.with_file_name("first.toml"), both(port, 1, &later))?;
        Ok(fs::write(list.with_file_name("second.toml"), both(port, 1, &soon))?)
    })?;
    let mut kept = stage.tunnel_at(first, HOST)?;
    let (mut ended, mut other) = (stage.tunnel_at(second, HOST)?, stage.tunnel_at(second, DATA)?);

    // The metric says when the next of them ends.
    let seconds =
        soon.parse::<humantime::Timestamp>()?.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    ensure!(stage.proxy.metric("ringfence_allowlist_not_after_seconds")? == seconds);
    ensure!(ended.ended()? && other.ended()?);
    for host in [HOST, DATA] {
        let line = stage.proxy.logged(|line| line["host"] == host && line["group"] == "second")?;
        ensure!(line["end"] == "revoked" && line["reason"] == "policy_revoked", "{line}");
    }
    let said = "the list of group `second` has ended, so everything is denied until";
    stage.proxy.stderr().wait_for_line(|line| line.contains(said))?;
    kept.echo()?;
    drop(stage.tunnel_at(first, DATA)?);

    let (asked, arrived) = (stage.dns.asked().len(), stage.origin.arrived().len());
    let (_, head) = stage.connect_at(second, &format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 503 ringfence: policy_expired; "), "{head}");
    let line = stage.proxy.logged(|line| line["reason"] == "policy_expired")?;
    ensure!(line["group"] == "second", "{line}");
    ensure!((stage.dns.asked().len(), stage.origin.arrived().len()) == (asked, arrived));
    let ready = stage.proxy.admin("/readyz")?;
    let warned = "\"the list of group `second` allows nothing: policy_expired\\nthe list allows \
                  nothing: no_policy\\n";
    ensure!(ready.starts_with("HTTP/1.1 200 ") && ready.contains(warned), "{ready}");

    // The same hosts with a later end: only the end was missing, and only to one group.
    stage
        .replace(&stage.list.with_file_name("second.toml"), &both(stage.origin.port, 2, &later))?;
    let same = "the list of group `second` since generation 1: the same entries";
    stage.proxy.stderr().wait_for_line(|line| line.contains(same))?;
    drop((stage.tunnel_at(second, HOST)?, stage.tunnel_at(second, DATA)?));
    kept.echo()?;
    ensure!(!stage.proxy.admin("/readyz")?.contains("policy_expired"));
    Ok(())
}

/// L08: each group's files need the signature, and one without it holds up the others.
#[test]
fn each_groups_list_has_to_be_signed() -> Result<()> {
    let Some(signer) = Signer::new()? else { return Ok(()) };
    let settings = signer.settings()
        + "[[client]]\nname = \"builds\"\naddress = [\"127.0.0.2/32\"]\nallowlist = [\"builds.toml\"]\n";
    let stage = Stage::prepared(&settings, |list, port| {
        let builds = list.with_file_name("builds.toml");
        fs::write(&builds, document(&[HOST], port))?;
        signer.sign(&builds, &[])?;
        signer.sign(list, &[])
    })?;
    let (builds, source) = (stage.list.with_file_name("builds.toml"), "127.0.0.2".parse()?);
    stage.replace(&builds, &document(&[HOST, DATA], stage.origin.port))?;
    let refused =
        |line: &str| line.contains("builds.toml") && line.contains("is not what was signed");
    stage.proxy.stderr().wait_for_line(refused)?;
    let (_, head) = stage.connect_at(source, &format!("{DATA}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");

    signer.sign(&builds, &[])?;
    for expected in [
        "ringfence: the list since generation 1: the same entries",
        "ringfence: the list of group `builds` since generation 1: 1 entry added, 0 entries removed, 0 entries altered",
    ] {
        stage.proxy.stderr().wait_for_line(|line| line == expected)?;
    }
    drop(stage.tunnel_at(source, DATA)?);
    Ok(())
}

/// L08: what was signed for one group is nothing to another, also with its signature.
#[test]
fn a_signed_list_counts_in_its_own_place_only() -> Result<()> {
    let Some(signer) = Signer::new()? else { return Ok(()) };
    let guest: IpAddr = "127.0.0.2".parse()?;
    let settings = signer.settings()
        + &format!(
            "[[client]]\nname = \"guest\"\naddress = [\"{guest}/32\"]\nallowlist = [\"guest.toml\"]\n"
        );
    let numbered = |hosts: &[&str], port| issue(&document(hosts, port), Some(1), None);
    let stage = Stage::prepared(&settings, |list, port| {
        let guests = list.with_file_name("guest.toml");
        fs::write(list, numbered(&[HOST, DATA], port))?;
        fs::write(&guests, numbered(&[HOST], port))?;
        signer.sign(list, &[])?;
        signer.sign(&guests, &[])
    })?;
    let guests = stage.list.with_file_name("guest.toml");
    let held = |expected: &str| -> Result<()> {
        stage.proxy.stderr().wait_for_line(|line| {
            line.contains("the old list stays in force") && line.contains(expected)
        })?;
        let (asked, arrived) = (stage.dns.asked().len(), stage.origin.arrived().len());
        let (_, head) = stage.connect_at(guest, &format!("{DATA}:{}", stage.origin.port))?;
        ensure!(head.starts_with("HTTP/1.1 403 ringfence: not_in_policy; "), "{head}");
        ensure!((stage.dns.asked().len(), stage.origin.arrived().len()) == (asked, arrived));
        drop(stage.tunnel_at(guest, HOST)?);
        Ok(())
    };
    let signature = beside(&guests);
    fs::copy(beside(&stage.list), &signature)?;
    fs::copy(&stage.list, &guests)?;
    held("guest.toml` was signed as `allowlist.toml`, and one file does not stand for another")?;

    // Whoever has the key can leave the name out; then nobody can tell whose list it is.
    signer.sign(&guests, &["-t", "reviewed"])?;
    held("has a signature whose trusted comment has no `file:`")?;

    // Too much of either is never held in memory.
    fs::OpenOptions::new().write(true).open(&signature)?.set_len(1 << 40)?;
    held("guest.toml` has a `.minisig` file of more than 4 KiB; review it, and sign it")?;
    signer.sign(&guests, &["-t", "reviewed"])?;
    held("has a signature whose trusted comment has no `file:`")?;
    fs::OpenOptions::new().write(true).open(&guests)?.set_len(1 << 40)?;
    held("guest.toml` is longer than 16 MiB; give the list, or split the metadata")?;

    // The same bytes, signed under this name, are this group's.
    fs::copy(&stage.list, &guests)?;
    signer.sign(&guests, &[])?;
    stage.proxy.stderr().wait_for_line(|line| line.contains("generation 2: allowlist"))?;
    drop(stage.tunnel_at(guest, DATA)?);
    Ok(())
}

/// L08: nobody but the proxy's own account may change what it remembers, however it is started.
#[test]
fn only_the_proxy_writes_what_it_remembers() -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    fs::write(path("allowlist.toml"), issue(&document(&[HOST], 443), Some(7), None))?;
    let settings = "allowlist = [\"allowlist.toml\"]\n[lists]\nstate = \"state.json\"\n";
    fs::write(path("ringfence.toml"), settings)?;
    let config = path("ringfence.toml").display().to_string();
    let _proxy = Ringfence::by_script(
        env!("CARGO_BIN_EXE_ringfence"),
        "umask 0 && exec \"$0\" \"$@\"",
        ["--config", &config],
    )?;
    let mode = fs::metadata(path("state.json"))?.permissions().mode();
    ensure!(mode & 0o7777 == 0o644, "{mode:o}");
    Ok(())
}

/// L08: a pipe in a list's place keeps nobody waiting.
#[test]
fn a_pipe_is_no_list() -> Result<()> {
    let folder = TempDir::new()?;
    let list = folder.path().join("allowlist.toml");
    Program::new("mkfifo").arg(&list).run()?.succeeded()?;
    let finished = run(&["check", "--allowlist", &list.display().to_string()])?;
    ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
    ensure!(finished.stderr.contains("is not a regular file"), "{finished}");
    Ok(())
}

/// The same list as another issue.
fn issue(document: &str, serial: Option<u64>, not_after: Option<String>) -> String {
    let serial = serial.map(|serial| format!("serial = {serial}\n")).unwrap_or_default();
    let not_after = not_after.map(|end| format!("not_after = {end}\n")).unwrap_or_default();
    document.replacen("schema = 1\n", &format!("schema = 1\n{serial}{not_after}"), 1)
}

/// A moment of this clock, in whole seconds.
fn from_now(duration: Duration) -> String {
    humantime::format_rfc3339_seconds(SystemTime::now() + duration).to_string()
}

/// Asks for `host`, and is told `status`.
fn refuse(stage: &Stage, host: &str, status: &str) -> Result<()> {
    let (_, head) = stage.connect(&format!("{host}:{}", stage.origin.port))?;
    ensure!(head.starts_with(&format!("HTTP/1.1 {status}; ")), "{head}");
    Ok(())
}

/// Someone with a key, and Debian's minisign to use it.
struct Signer {
    folder: TempDir,
    public_key: String,
}

impl Signer {
    /// Makes a key without a password; `None` where there is no minisign.
    fn new() -> Result<Option<Self>> {
        if !require_program("minisign") {
            return Ok(None);
        }
        let folder = TempDir::new()?;
        let (public, secret) = (folder.path().join("key.pub"), folder.path().join("key.sec"));
        let minisign = Program::new("minisign").args(["-G", "-W", "-p"]).arg(&public);
        minisign.arg("-s").arg(secret).run()?.succeeded()?;
        let text = fs::read_to_string(public)?;
        let public_key = text.lines().nth(1).context("a key in the second line")?.to_owned();
        Ok(Some(Self { folder, public_key }))
    }

    /// A file of its own.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs `file`.
    fn sign(&self, file: &Path, options: &[&str]) -> Result<()> {
        let minisign = Program::new("minisign").arg("-S").args(options).arg("-s");
        minisign.arg(self.path("key.sec")).arg("-m").arg(file).run()?.succeeded()?;
        Ok(())
    }

    /// Settings that ask for its signature.
    fn settings(&self) -> String {
        format!("[lists]\npublic_keys = [\"{}\"]\n", self.public_key)
    }
}
