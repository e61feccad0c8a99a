//! What happens when there is too much of something: connections, clients that come too fast, bytes sent,
//! descriptors, and patience.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use test_support::PATIENCE;

use crate::stage::{Client, DATA, HOST, MOMENT, Stage, document, hello};

#[test]
fn at_the_limit_a_client_is_told_and_nothing_of_it_goes_out() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nqueue = \"300ms\"\n[limits]\nconnections = 1\n")?;
    let tunnel = stage.tunnel(HOST)?;
    let carried = stage.origin.arrived();
    let (mut client, head) = stage.connect(&format!("{DATA}:{}", stage.origin.port))?;
    refused(&head, Reason::Capacity, 503, 5..=5)?;
    client.rest()?;
    let line = stage.proxy.logged(|line| line["reason"] == "capacity")?;
    ensure!(line["outcome"] == "failed" && line["client"] == client.address()?, "{line}");
    ensure!(stage.proxy.metric("ringfence_connections_total{outcome=\"capacity\"}")? == 1);
    ensure!(stage.proxy.metric("ringfence_connections_limit")? == 1);
    ensure!(stage.origin.arrived() == carried && stage.dns.asked() == [HOST]);

    drop(tunnel);
    stage.proxy.logged(|line| line["host"] == HOST)?;
    stage.tunnel(DATA)?;
    Ok(())
}

#[test]
fn a_client_that_waits_gets_the_slot_that_comes_free() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nqueue = \"1m\"\n[limits]\nconnections = 1\n")?;
    let tunnel = stage.tunnel(HOST)?;
    let mut waiting = stage.client()?;
    waiting.send(format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    ensure!(waiting.is_quiet()?);
    drop(tunnel);
    ensure!(waiting.head()?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

/// To tell a client takes a moment; those who don't listen must not fill the proxy in that way, either.
#[test]
fn only_so_many_refused_clients_are_told() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nqueue = \"100ms\"\n[limits]\nconnections = 1\n")?;
    let _held = stage.tunnel(HOST)?;
    let clients = (0..120).map(|_| stage.client()).collect::<Result<Vec<_>>>()?;
    stage.until(|| {
        Ok(stage.proxy.metric("ringfence_connections_total{outcome=\"capacity\"}")? == 120)
    })?;
    let answers: Result<Vec<_>> = clients.into_iter().map(|mut client| client.rest()).collect();
    let answers = answers?;
    let told = answers.iter().filter(|answer| answer.starts_with(b"HTTP/1.1 503 ")).count();
    let cut_off = answers.iter().filter(|answer| answer.is_empty()).count();
    ensure!(told >= 64 && cut_off > 0 && told + cut_off == 120, "{told} told, {cut_off} cut off");
    Ok(())
}

#[test]
fn one_client_has_so_many_connections_and_others_have_theirs() -> Result<()> {
    let stage = Stage::with_settings("[limits]\nconnections_per_client = 2\n")?;
    let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let from = |address: [u8; 4]| stage.client_at(address.into());
    let first = stage.tunnel_of(from(one)?, HOST)?;
    let mut second = stage.tunnel_of(from(one)?, HOST)?;
    let mut third = from(one)?;
    let head = third.ask(&format!("{DATA}:{}", stage.origin.port))?;
    refused(&head, Reason::TooManyConnections, 429, 5..=5)?;
    let line = stage.proxy.logged(|line| line["reason"] == "too_many_connections")?;
    ensure!(line["outcome"] == "denied" && line["client"] == third.address()?, "{line}");
    ensure!(
        stage.proxy.metric("ringfence_connections_total{outcome=\"too_many_connections\"}")? == 1
    );
    ensure!(!stage.dns.asked().contains(&DATA.to_owned()));

    let _theirs = stage.tunnel_of(from(other)?, HOST)?;
    second.exchange(b"still here")?;
    drop(first);
    stage.proxy.logged(|line| line["host"] == HOST)?;
    stage.tunnel_of(from(one)?, DATA)?;
    Ok(())
}

#[test]
fn one_client_comes_so_fast_and_others_as_they_like() -> Result<()> {
    let stage = Stage::with_settings("[limits]\nrate_per_client = 1\nburst_per_client = 4\n")?;
    let from = |address: [u8; 4]| stage.client_at(address.into());
    let answers = (0..8).map(|_| from([127, 0, 0, 2])?.ask(&format!("{HOST}:443")));
    let answers = answers.collect::<Result<Vec<_>>>()?;
    let limited: Vec<_> = answers.iter().filter(|head| head.contains("rate_limited")).collect();
    ensure!(answers[..4].iter().all(|head| head.contains("port_not_allowed")), "{answers:?}");
    refused(limited.first().context("nobody was refused")?, Reason::RateLimited, 429, 1..=1)?;
    ensure!(from([127, 0, 0, 3])?.ask("evil.example:443")?.contains("not_in_policy"));
    let line = stage.proxy.logged(|line| line["reason"] == "rate_limited")?;
    ensure!(line["outcome"] == "denied" && line.get("host").is_none(), "{line}");
    let counted = stage.proxy.metric("ringfence_connections_total{outcome=\"rate_limited\"}")?;
    ensure!(counted == limited.len() as u64 && stage.dns.asked().is_empty());

    // The bucket fills up again.
    stage.until(|| {
        thread::sleep(MOMENT);
        Ok(from([127, 0, 0, 2])?.ask("evil.example:443")?.contains("not_in_policy"))
    })
}

#[test]
fn behind_a_load_balancer_clients_count_and_it_does_not() -> Result<()> {
    let stage = Stage::with_settings(
        "[proxy_protocol]\nfrom = [\"127.0.0.9/32\"]\n\
         [limits]\nconnections_per_client = 1\nrate_per_client = 1\nburst_per_client = 2\n",
    )?;
    let behind = |client: &str| -> Result<Client> {
        let mut stream = stage.client_at([127, 0, 0, 9].into())?;
        stream.send(format!("PROXY TCP4 {client} 10.0.0.1 50000 3128\r\n").as_bytes())?;
        Ok(stream)
    };
    let _tunnels = (1..=8)
        .map(|number| stage.tunnel_of(behind(&format!("10.1.1.{number}"))?, HOST))
        .collect::<Result<Vec<_>>>()?;
    let head = behind("10.1.1.1")?.ask(&format!("{HOST}:{}", stage.origin.port))?;
    refused(&head, Reason::TooManyConnections, 429, 5..=5)?;
    let line = stage.proxy.logged(|line| line["reason"] == "too_many_connections")?;
    ensure!(line["client"] == "10.1.1.1:50000", "{line}");
    Ok(())
}

/// Where a client speaks TLS from its first byte on, an answer in HTTP would be noise.
#[test]
fn a_redirected_client_is_told_by_an_alert() -> Result<()> {
    let stage = Stage::with_settings(
        "[transparent]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\nrate_per_client = 1\nburst_per_client = 1\n",
    )?;
    let announced = stage.proxy.stderr().wait_for_line(|line| line.ends_with(" (transparent)"))?;
    let address = announced.split(' ').nth(3).context("an address")?.parse()?;
    let mut first = Client::connect(address)?;
    first.send(&hello(Some(HOST)))?;
    let mut second = Client::connect(address)?;
    second.send(&hello(Some(HOST)))?;
    ensure!(second.rest()? == [21, 3, 3, 0, 2, 2, 49]);
    let line = stage.proxy.logged(|line| line["reason"] == "rate_limited")?;
    ensure!(line["listener"] == "transparent", "{line}");
    Ok(())
}

/// Eight tunnels on four threads, and not a byte more than there would be through one.
#[test]
fn a_budget_is_shared_by_all_tunnels_of_a_client() -> Result<()> {
    let stage = Stage::with_settings(
        "workers = 4\nupload_budget = { bytes = \"100KiB\", per = \"1h\" }\n",
    )?;
    let from = |address: [u8; 4]| stage.client_at(address.into());
    let tunnels = (0..8).map(|_| stage.tunnel_of(from([127, 0, 0, 2])?, HOST));
    let mut tunnels = tunnels.collect::<Result<Vec<_>>>()?;
    for tunnel in &mut tunnels {
        // By then some are no longer there to be sent to.
        let _ = tunnel.send(&vec![7; 20 * 1024]);
    }
    let ended = || stage.proxy.metric("ringfence_tunnel_ends_total{end=\"upload_budget\"}");
    let start = Instant::now();
    while ended()? < 8 {
        // Each ends with the first byte that it has no leave for.
        for tunnel in &mut tunnels {
            let _ = tunnel.send(&[7; 1024]);
        }
        ensure!(start.elapsed() < PATIENCE, "only {} have ended", ended()?);
    }
    stage.until(|| Ok(stage.origin.arrived().len() >= 100 * 1024))?;
    ensure!(stage.proxy.metric("ringfence_bytes_total{direction=\"sent\"}")? == 100 * 1024);
    let line = stage.proxy.logged(|line| line["end"] == "upload_budget")?;
    ensure!(line["outcome"] == "tunnel" && line["reason"] == "upload_budget", "{line}");

    let asked = stage.dns.asked().len();
    let mut late = from([127, 0, 0, 2])?;
    let head = late.ask(&format!("{HOST}:{}", stage.origin.port))?;
    refused(&head, Reason::UploadBudget, 429, 3500..=3600)?;
    let line = stage.proxy.logged(|line| line["outcome"] == "denied")?;
    ensure!(
        line["reason"] == "upload_budget"
            && line["host"] == HOST
            && line["client"] == late.address()?,
        "{line}"
    );
    ensure!(stage.proxy.metric("ringfence_connections_total{outcome=\"upload_budget\"}")? == 1);
    ensure!(stage.dns.asked().len() == asked && stage.origin.arrived().len() == 100 * 1024);

    // What the policy says comes first, and other clients have a budget of their own.
    let head = from([127, 0, 0, 2])?.ask("evil.blob.core.windows.net:443")?;
    ensure!(head.contains("storage_forbidden"), "{head}");
    stage.tunnel_of(from([127, 0, 0, 3])?, HOST)?.exchange(&vec![7; 20 * 1024])
}

#[test]
fn a_group_has_a_budget_of_its_own_for_as_long_as_its_window() -> Result<()> {
    let stage = Stage::with_settings(
        "[[client]]\nname = \"build\"\naddress = [\"127.0.0.2/32\"]\n\
         allowlist = [\"allowlist.toml\"]\nupload_budget = { bytes = \"4KiB\", per = \"2s\" }\n",
    )?;
    let from = |address: [u8; 4]| stage.client_at(address.into());
    let mut tunnel = stage.tunnel_of(from([127, 0, 0, 2])?, HOST)?;
    let _ = tunnel.send(&[7; 8 * 1024]);
    ensure!(tunnel.rest().is_ok_and(|echoed| echoed.len() < 4 * 1024) || tunnel.ended()?);
    let line = stage.proxy.logged(|line| line["end"] == "upload_budget")?;
    ensure!(line["sent"] == 4 * 1024 && line["group"] == "build", "{line}");
    let head = from([127, 0, 0, 2])?.ask(&format!("{HOST}:{}", stage.origin.port))?;
    refused(&head, Reason::UploadBudget, 429, 1..=2)?;
    // Those of no group have no limit here.
    stage.tunnel_of(from([127, 0, 0, 3])?, HOST)?.exchange(&vec![7; 20 * 1024])?;

    stage.until(|| {
        thread::sleep(MOMENT);
        let head = from([127, 0, 0, 2])?.ask(&format!("{HOST}:{}", stage.origin.port))?;
        Ok(head.starts_with("HTTP/1.1 200 "))
    })
}

/// The limit is lowered under the running proxy, as if something else had used all descriptors up.
#[test]
fn without_descriptors_clients_are_told_and_tunnels_go_on() -> Result<()> {
    let stage = Stage::with_settings("workers = 1\n")?;
    let mut tunnel = stage.tunnel(HOST)?;
    let set = |soft| prlimit(Some(stage.proxy.process()), Resource::Nofile, soft);
    let free = free_descriptor(&stage)?;
    let before = set(Rlimit { current: Some(free), ..getrlimit(Resource::Nofile) })?;
    for _ in 0..20 {
        let (mut client, head) = stage.connect(&format!("{DATA}:{}", stage.origin.port))?;
        refused(&head, Reason::Capacity, 503, 5..=5)?;
        client.rest()?;
    }
    tunnel.exchange(b"still here")?;
    ensure!(!stage.dns.asked().contains(&DATA.to_owned()));

    set(before)?;
    ensure!(stage.proxy.metric("ringfence_connections_total{outcome=\"capacity\"}")? == 20);
    stage.tunnel(DATA)?;
    tunnel.exchange(b"and here")
}

/// The last descriptor goes to the client, and none is left to dial.
#[test]
fn without_descriptors_for_the_host_the_client_is_told() -> Result<()> {
    let stage = Stage::with_settings("workers = 1\n")?;
    let mut tunnel = stage.tunnel(HOST)?;
    let free = free_descriptor(&stage)?;
    let limit = Rlimit { current: Some(free + 1), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(stage.proxy.process()), Resource::Nofile, limit)?;
    let (mut client, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    refused(&head, Reason::Capacity, 503, 5..=5)?;
    client.rest()?;
    tunnel.exchange(b"still here")?;
    prlimit(Some(stage.proxy.process()), Resource::Nofile, before)?;
    let line = stage.proxy.logged(|line| line["reason"] == "capacity")?;
    ensure!(line["outcome"] == "failed" && line["host"] == HOST, "{line}");
    Ok(())
}

/// The lowest number that none of the proxy's descriptors has, when what comes and goes has gone. The limit is
/// on the number, and there are gaps.
fn free_descriptor(stage: &Stage) -> Result<u64> {
    let table = format!("/proc/{}/fd", stage.proxy.process().as_raw_nonzero());
    let free =
        || (0..MAX_DESCRIPTORS).find(|number| !Path::new(&format!("{table}/{number}")).exists());
    stage.until(|| {
        let before = free();
        thread::sleep(MOMENT);
        Ok(free() == before)
    })?;
    free().context("every number is taken")
}

#[test]
fn no_more_connections_come_in_than_descriptors_carry() -> Result<()> {
    let stage = Stage::with_descriptors(200, "workers = 1\n[timeouts]\nqueue = \"100ms\"\n")?;
    let said =
        stage.proxy.stderr().wait_for_line(|line| line.contains(" connections at once, "))?;
    ensure!(said.contains("not 10000") && said.contains("the limit is 200"), "{said}");
    ensure!(stage.proxy.metric("ringfence_descriptors_limit")? == 200);
    let limit = usize::try_from(stage.proxy.metric("ringfence_connections_limit")?)?;
    ensure!((20..100).contains(&limit), "{limit}");
    let tunnels = (0..limit).map(|_| stage.tunnel(HOST)).collect::<Result<Vec<_>>>()?;
    let (_, head) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    refused(&head, Reason::Capacity, 503, 5..=5)?;
    for mut tunnel in tunnels {
        tunnel.exchange(b"still here")?;
    }
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 0))?;
    stage.tunnel(HOST)?;
    Ok(())
}

/// They come first and never finish; others are served all the while, and each of them ends in time.
#[test]
fn slow_heads_hold_up_nobody_and_end() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nhead = \"2s\"\n[limits]\nconnections = 220\n")?;
    let mut slow = (0..200).map(|_| stage.client()).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for byte in b"CONNECT c" {
        for client in &mut slow {
            client.send(&[*byte])?;
        }
        stage.tunnel(HOST)?.exchange(b"undisturbed")?;
    }
    for client in &mut slow {
        ensure!(client.head()?.starts_with("HTTP/1.1 408 ringfence: head_timeout; "));
    }
    ensure!(start.elapsed() < PATIENCE);
    drop(slow);
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 0))?;
    ensure!(stage.proxy.metric("ringfence_connections_total{outcome=\"head_timeout\"}")? == 200);
    Ok(())
}

/// Its tunnel is never idle, as it sends all the time; but what it doesn't take is held for `idle` at most.
#[test]
fn a_client_that_sends_and_does_not_read_is_ended() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nidle = \"1s\"\n")?;
    let (port, host) = flooding_origin()?;
    stage.enforce(&document(&[HOST], port))?;
    let mut client = stage.client()?;
    ensure!(client.ask(&format!("{HOST}:{port}"))?.starts_with("HTTP/1.1 200 "));
    client.send(&hello(Some(HOST)))?;
    client.receive(1024)?;
    let start = Instant::now();
    while client.send(b".").is_ok() {
        ensure!(start.elapsed() < PATIENCE, "it is still there");
        thread::sleep(Duration::from_millis(50));
    }
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["end"] == "idle", "{line}");
    drop(host);
    Ok(())
}

/// A host that reads all it gets, and sends more than any buffer holds.
fn flooding_origin() -> Result<(u16, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let port = listener.local_addr()?.port();
    let host = thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let Ok(mut reader) = stream.try_clone() else { return };
        thread::spawn(move || while matches!(reader.read(&mut [0; 1024]), Ok(1..)) {});
        let chunk = vec![7; 64 * 1024];
        while stream.write_all(&chunk).is_ok() {}
    });
    Ok((port, host))
}

/// The answer is a refusal for `reason`, and says when to come back, in seconds.
fn refused(
    head: &str,
    reason: Reason,
    status: u16,
    retry: std::ops::RangeInclusive<u64>,
) -> Result<()> {
    ensure!(head.starts_with(&format!("HTTP/1.1 {status} ringfence: {reason}; ")), "{head}");
    let after = head.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    let seconds = after.with_context(|| format!("no Retry-After: {head}"))?.parse()?;
    ensure!(retry.contains(&seconds), "{seconds} is not in {retry:?}");
    Ok(())
}

const MAX_DESCRIPTORS: u64 = 1 << 20;
