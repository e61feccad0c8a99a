//! How the process stops: in stages, each of which can be seen from outside.

use anyhow::{Result, ensure};

use crate::stage::{Client, DATA, HOST, Stage};

/// Unready first, but serving; then no newcomers; then nobody. Each further signal is the next stage.
#[test]
fn each_signal_is_the_next_stage() -> Result<()> {
    let mut stage = Stage::with_settings("[timeouts]\ngrace = \"1h\"\ndrain = \"1h\"\n")?;
    let mut early = stage.tunnel(HOST)?;
    stage.proxy.terminate()?;
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 503 ")))?;
    ensure!(stage.proxy.admin("/readyz")?.contains("\"reason\":\"draining\""));
    ensure!(stage.proxy.admin("/healthz")?.starts_with("HTTP/1.1 200 "));
    // Who has not heard of it yet is served.
    let mut late = stage.tunnel(DATA)?;

    stage.proxy.terminate()?;
    stage.until(|| Ok(Client::connect(stage.proxy.listen()).is_err()))?;
    for tunnel in [&mut early, &mut late] {
        tunnel.send(b"x")?;
        ensure!(tunnel.receive(1)? == b"x");
    }
    early.finish()?;
    ensure!(early.rest()? == b"goodbye");
    stage.proxy.logged(|line| line["host"] == HOST && line["end"] == "client")?;

    stage.proxy.terminate()?;
    ensure!(late.ended()?);
    ensure!(stage.proxy.wait()?.code() == Some(0));
    stage.proxy.logged(|line| line["host"] == DATA && line["end"] == "drain")?;
    stage
        .proxy
        .stderr()
        .wait_for_line(|line| line == "ringfence: stopped; tunnels drained: 1, cut: 1")?;
    Ok(())
}

#[test]
fn the_listeners_outlive_the_signal_by_the_grace() -> Result<()> {
    let mut stage = Stage::with_settings("[timeouts]\ngrace = \"700ms\"\n")?;
    let told = std::time::Instant::now();
    stage.proxy.terminate()?;
    stage.until(|| Ok(stage.proxy.admin("/readyz")?.starts_with("HTTP/1.1 503 ")))?;
    let mut tunnel = stage.tunnel(HOST)?;
    stage.until(|| Ok(Client::connect(stage.proxy.listen()).is_err()))?;
    ensure!(told.elapsed().as_millis() >= 700);
    tunnel.finish()?;
    ensure!(tunnel.rest()? == b"goodbye");
    ensure!(stage.proxy.wait()?.code() == Some(0));
    stage
        .proxy
        .stderr()
        .wait_for_line(|line| line == "ringfence: stopped; tunnels drained: 1, cut: 0")?;
    Ok(())
}

/// Nor is anybody waited for who has not said yet where they come from.
#[test]
fn what_is_still_being_received_is_cut_and_recorded() -> Result<()> {
    let settings =
        "[timeouts]\nhead = \"1h\"\ndrain = \"100ms\"\n[proxy_protocol]\nfrom = [\"127.0.0.1\"]\n";
    let mut stage = Stage::with_settings(settings)?;
    let mut stalled = stage.client()?;
    stalled.send(b"PROXY TCP4 ")?;
    let address = stalled.address()?;
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 1))?;
    stage.proxy.terminate()?;
    ensure!(stalled.ended()?);
    let line = stage.recorded(&address)?;
    ensure!(line["reason"] == "draining" && line["outcome"] == "failed", "{line}");
    ensure!(stage.proxy.wait()?.code() == Some(0));
    Ok(())
}
