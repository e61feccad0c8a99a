//! The access log when it can't be written: lines wait, are lost and counted, or nothing is carried at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;
use test_support::require;

use crate::stage::{Answer, DATA, HOST, LOOPBACK, Stage};

/// The line comes before the question to DNS, and the other one has the same number.
#[test]
fn a_required_log_says_what_is_about_to_be_opened() -> Result<()> {
    let stage = Stage::with_settings(REQUIRED)?;
    stage.dns.answer(HOST, Answer::Held);
    let mut client = stage.client()?;
    client.send(format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    let opening = stage.proxy.logged(|line| line["outcome"] == "opening")?;
    ensure!(opening["host"] == HOST && opening["role"] == "other", "{opening}");
    ensure!(opening["generation"] == 1 && opening.get("reason").is_none(), "{opening}");
    stage.until(|| Ok(!stage.dns.asked().is_empty()))?;
    stage.dns.release(LOOPBACK)?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    drop(client);
    let end = stage.proxy.logged(|line| line["reason"] == Reason::ClientClosed.code())?;
    ensure!(end["id"] == opening["id"], "{end}");
    // What is refused is not opened.
    stage.connect("evil.example:443")?;
    stage.proxy.logged(|line| line["reason"] == Reason::NotInPolicy.code())?;
    ensure!(stage.proxy.log()?.len() == 3);
    Ok(())
}

#[test]
fn without_a_required_log_nothing_is_opened() -> Result<()> {
    let stage = Stage::by_script(REQUIRED, "exec \"$0\" \"$@\" >/dev/full")?;
    ensure!(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 "));
    for _ in 0..3 {
        check_refused(&stage)?;
    }
    // What the policy refuses, it refuses as ever.
    let (_, head) = stage.connect("evil.example:443")?;
    ensure!(head.contains("Ringfence-Reason: not_in_policy\r\n"), "{head}");
    ensure!(stage.dns.asked().is_empty() && stage.origin.arrived().is_empty());
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    ensure!(stage.proxy.metric("ringfence_log_up")? == 0);
    stage.proxy.stderr().wait_for_line(|line| {
        line.starts_with("ringfence: the access log can't be written: No space left")
    })?;
    Ok(())
}

#[test]
fn with_best_effort_lines_are_lost_and_counted() -> Result<()> {
    let stage = Stage::by_script("[log]\nqueue = 4\n", "exec \"$0\" \"$@\" >/dev/full")?;
    for _ in 0..3 {
        drop(stage.tunnel(HOST)?);
    }
    stage.until(|| Ok(stage.proxy.metric("ringfence_log_up")? == 0))?;
    for _ in 0..10 {
        stage.connect("evil.example:443")?;
    }
    stage.until(|| Ok(stage.proxy.metric("ringfence_log_lost_total")? > 0))?;
    ensure!(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 "));
    drop(stage.tunnel(HOST)?);
    Ok(())
}

/// A disk runs full in the middle of a line, and is freed again.
#[test]
fn a_log_goes_on_when_its_disk_has_room_again() -> Result<()> {
    if !require(&["unshare", "mount"]) {
        return Ok(());
    }
    let directory = TempDir::new()?;
    let disk = directory.path().join("disk");
    fs::create_dir(&disk)?;
    let pid = directory.path().join("pid");
    let script = format!(
        "echo $$ >{}; exec unshare -m sh -c 'mount -t tmpfs -o size=64k tmpfs {} && exec \"$0\" \"$@\"' \
         \"$0\" \"$@\"",
        pid.display(),
        disk.display()
    );
    let log = disk.join("access.log");
    let settings = format!("{REQUIRED}file = \"{}\"\n", log.display());
    let stage = Stage::by_script(&settings, &script)?;
    // The mount is in the proxy's name space, and is seen through it.
    let root = PathBuf::from(format!("/proc/{}/root", fs::read_to_string(pid)?.trim()));
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let (filler, log) = (inside(&disk.join("filler")), inside(&log));

    let mut live = stage.tunnel(HOST)?;
    let mut file = File::create(&filler)?;
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut opened = 1;
    // There may be room for a few lines in the page that was begun.
    stage.until(|| {
        let (_, head) = stage.connect("evil.example:443")?;
        ensure!(head.contains("not_in_policy"));
        Ok(stage.proxy.metric("ringfence_log_up")? == 0)
    })?;
    let asked = stage.dns.asked().len();
    check_refused(&stage)?;
    ensure!(stage.dns.asked().len() == asked);
    // Who is in a tunnel stays there, and its line is kept.
    live.send(b"x")?;
    ensure!(live.receive(1)? == b"x");
    drop(live);
    let before = fs::read(&log)?;
    ensure!(!before.ends_with(b"\n"), "the disk was not filled in the middle of a line");

    file.set_len(0)?;
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 ")))?;
    stage.proxy.stderr().wait_for_line(|line| line.ends_with("the access log is written again"))?;
    drop(stage.tunnel(DATA)?);
    opened += 1;
    stage.until(|| {
        Ok(entries(&log)?.iter().filter(|line| line["outcome"] == "tunnel").count() == opened)
    })?;
    let lines = entries(&log)?;
    // Nothing is lost, twice or torn.
    ensure!(stage.proxy.metric("ringfence_log_lost_total")? == 0);
    let mut ends: Vec<u64> = lines
        .iter()
        .filter(|line| line["outcome"] != "opening")
        .filter_map(|line| line["id"].as_u64())
        .collect();
    ends.sort_unstable();
    ensure!(ends == (1..=ends.len() as u64).collect::<Vec<_>>(), "{ends:?}");
    Ok(())
}

/// A reader that goes away and comes back: both ends of a named pipe.
#[test]
fn a_log_goes_on_when_its_reader_is_back() -> Result<()> {
    let directory = TempDir::new()?;
    let fifo = fifo(&directory)?;
    let script = format!("exec \"$0\" \"$@\" >{}", fifo.display());
    let reader = OpenOptions::new().read(true).write(true).open(&fifo)?;
    let stage = Stage::by_script(REQUIRED, &script)?;
    drop(stage.tunnel(HOST)?);
    drop(reader);
    // It is not known before a line has failed.
    stage.until(|| {
        stage.connect("evil.example:443")?;
        Ok(stage.proxy.metric("ringfence_log_up")? == 0)
    })?;
    let asked = stage.dns.asked().len();
    check_refused(&stage)?;
    ensure!(stage.dns.asked().len() == asked);

    let mut reader = OpenOptions::new().read(true).write(true).open(&fifo)?;
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 ")))?;
    drop(stage.tunnel(HOST)?);
    let first = first_line(&mut reader)?;
    ensure!(first["schema"] == 1, "{first}");
    Ok(())
}

/// A reader that is there, but doesn't read.
#[test]
fn a_log_goes_on_when_its_reader_reads_again() -> Result<()> {
    let directory = TempDir::new()?;
    let fifo = fifo(&directory)?;
    let script = format!("exec \"$0\" \"$@\" >{}", fifo.display());
    let mut reader = OpenOptions::new().read(true).write(true).open(&fifo)?;
    // One client fills the pipe, as fast as it can.
    let fast = "[limits]\nrate_per_client = 100000\nburst_per_client = 100000\n";
    let stage = Stage::by_script(&format!("{REQUIRED}{fast}"), &script)?;
    let mut live = stage.tunnel(HOST)?;
    let long = format!("{}.example:443", ["x"; 60].concat());
    stage.until(|| {
        stage.connect(&long)?;
        Ok(stage.proxy.metric("ringfence_log_up")? == 0)
    })?;
    let asked = stage.dns.asked().len();
    check_refused(&stage)?;
    ensure!(stage.dns.asked().len() == asked);
    live.send(b"x")?;
    ensure!(live.receive(1)? == b"x");

    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 200 ")))?;
    drop(stage.tunnel(DATA)?);
    Ok(())
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() -> Result<()> {
    let directory = TempDir::new()?;
    let (log, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let stage = Stage::with_settings(&format!("[log]\nfile = \"{}\"\n", log.display()))?;
    let ask = |host: &str| stage.connect(&format!("{host}:443")).map(drop);
    let written = |path: &Path, host: &str| {
        Ok(path.exists() && entries(path)?.iter().any(|line| line["host"] == host))
    };
    ask("one.example")?;
    stage.until(|| written(&log, "one.example"))?;
    fs::rename(&log, &old)?;
    // Until it is told, it can't know.
    ask("two.example")?;
    stage.until(|| written(&old, "two.example"))?;
    stage.proxy.reload()?;
    stage.until(|| Ok(log.exists()))?;
    ask("three.example")?;
    stage.until(|| written(&log, "three.example"))?;
    ensure!(entries(&log)?.len() == 1 && entries(&old)?.len() == 2);
    ensure!(stage.proxy.stderr().text().contains("listening") && stage.proxy.log()?.is_empty());
    Ok(())
}

/// What can't be recorded from the start is not begun.
#[test]
fn a_log_that_cannot_be_opened_is_an_error() -> Result<()> {
    let rows = [
        (
            "[log]\nfile = \"/no/such/folder/log\"\n",
            "exec \"$0\" \"$@\"",
            "can't open the access log",
        ),
        (
            REQUIRED,
            "exec \"$0\" \"$@\" >/dev/null",
            "the access log is required, but goes to /dev/null",
        ),
        (REQUIRED, "exec \"$0\" \"$@\" >&-", "the access log is required, but goes to /dev/null"),
    ];
    for (settings, script, expected) in rows {
        let error = Stage::by_script(settings, script).err().context("it starts")?;
        ensure!(format!("{error:#}").contains(expected), "{error:#}");
    }
    Ok(())
}

/// A listed host is refused because of the log, and the proxy says that it isn't ready.
fn check_refused(stage: &Stage) -> Result<()> {
    let (_, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 503 ringfence: log_unavailable; "), "{head}");
    let ready = stage.proxy.admin("/readyz")?;
    ensure!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    ensure!(ready.contains("\"reason\":\"log_unavailable\""), "{ready}");
    Ok(())
}

fn fifo(directory: &TempDir) -> Result<PathBuf> {
    let path = directory.path().join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(path)
}

/// The lines of a log in a file; all of them are JSON.
fn entries(log: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(log)?;
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

fn first_line(reader: &mut File) -> Result<Value> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        line.extend(byte);
    }
    serde_json::from_slice(&line).with_context(|| format!("{}", line.escape_ascii()))
}

const REQUIRED: &str = "[log]\naudit = \"required\"\n";
