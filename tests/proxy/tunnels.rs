//! What happens in an open tunnel: bytes, half-closes, limits, new lists.

use anyhow::{Result, ensure};
use ringfence::reason::Reason;

use crate::stage::{
    Answer, DATA, HOST, LOOPBACK, MOMENT, Stage, document, extension, hello, hello_with, record,
    server_name,
};

#[test]
fn bytes_arrive_as_they_were_sent_and_are_counted_once() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.tunnel(HOST)?;
    let payload: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    // The origin echoes while we send, so neither direction can wait for the other.
    let echoed = std::thread::scope(|scope| {
        let mut reader = client.try_clone()?;
        let count = payload.len();
        let echoed = scope.spawn(move || reader.receive(count));
        client.send(&payload)?;
        echoed.join().expect("the reader doesn't panic")
    })?;
    ensure!(echoed == payload, "the echo differs");
    // Half-close: the origin answers after we have finished, and that still arrives.
    client.finish()?;
    ensure!(client.rest()? == b"goodbye");

    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    let sent = u64::try_from(payload.len() + hello(Some(HOST)).len())?;
    ensure!(
        line["outcome"] == "tunnel" && line["end"] == "client" && line.get("reason").is_none(),
        "{line}"
    );
    ensure!(line["sent"] == sent && line["received"] == sent + 7, "{line}");
    ensure!(
        line["sni"] == HOST && line["role"] == "other" && line["port"] == stage.origin.port,
        "{line}"
    );
    let metric = |direction| {
        stage.proxy.metric(&format!("ringfence_bytes_total{{direction=\"{direction}\"}}"))
    };
    ensure!(metric("sent")? == sent && metric("received")? == sent + 7);
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 0))?;
    Ok(())
}

#[test]
fn a_hello_in_single_bytes_or_ahead_of_the_answer_is_carried() -> Result<()> {
    let stage = Stage::open()?;
    let hello = hello(Some(HOST));
    let (mut slow, _) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
    for byte in &hello {
        slow.send(&[*byte])?;
    }
    ensure!(slow.receive(hello.len())? == hello);

    let mut eager = stage.client()?;
    let head = format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", stage.origin.port);
    eager.send(&[head.as_bytes(), &hello].concat())?;
    ensure!(eager.head()?.starts_with("HTTP/1.1 200 "));
    ensure!(eager.receive(hello.len())? == hello);
    Ok(())
}

#[test]
fn an_http_1_0_client_without_host_header_works() -> Result<()> {
    let stage = Stage::open()?;
    let mut client = stage.client()?;
    client.send(format!("CONNECT {HOST}:{} HTTP/1.0\r\n\r\n", stage.origin.port).as_bytes())?;
    ensure!(client.head()?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

#[test]
fn idle_and_old_tunnels_end() -> Result<()> {
    let stage = Stage::with_settings("[timeouts]\nidle = \"400ms\"\ntotal = \"1200ms\"\n")?;
    let mut idle = stage.tunnel(HOST)?;
    let mut busy = stage.tunnel(DATA)?;
    // Movement keeps a tunnel alive, but not for ever.
    std::thread::scope(|scope| {
        scope.spawn(|| while busy.send(b"x").is_ok() && busy.receive(1).is_ok() {});
        ensure!(idle.ended()?);
        Ok(())
    })?;
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["end"] == "idle" && line["outcome"] == "tunnel", "{line}");
    let line = stage.proxy.logged(|line| line["host"] == DATA)?;
    ensure!(line["end"] == "total", "{line}");
    ensure!(line["ms"]["total"].as_f64() > Some(1000.0), "{line}");
    Ok(())
}

/// L04.
#[test]
fn a_new_list_ends_the_tunnels_it_no_longer_admits_and_no_others() -> Result<()> {
    let stage = Stage::open()?;
    let (mut kept, mut removed) = (stage.tunnel(HOST)?, stage.tunnel(DATA)?);
    stage.allow(&[HOST])?;
    ensure!(removed.ended()?);
    let line = stage.proxy.logged(|line| line["host"] == DATA)?;
    ensure!(line["end"] == "revoked" && line["reason"] == Reason::PolicyRevoked.code(), "{line}");
    kept.send(b"still here")?;
    ensure!(kept.receive(10)? == b"still here");
    // A list with the same entries in it changes nothing, and a later one still counts.
    stage.allow(&[HOST, DATA])?;
    kept.send(b"and here")?;
    ensure!(kept.receive(8)? == b"and here");
    Ok(())
}

/// L05. Permitted under the old list, refused before a byte of the client's went out.
#[test]
fn a_tunnel_revoked_before_its_hello_carries_nothing() -> Result<()> {
    let stage = Stage::open()?;
    let (mut client, head) = stage.connect(&format!("{DATA}:{}", stage.origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 200 "));
    stage.allow(&[HOST])?;
    let _ = client.send(&hello(Some(DATA)));
    ensure!(client.ended()?);
    let line = stage.proxy.logged(|line| line["host"] == DATA)?;
    ensure!(
        line["outcome"] == "denied" && line["reason"] == Reason::PolicyRevoked.code(),
        "{line}"
    );
    ensure!(stage.origin.arrived().is_empty());
    Ok(())
}

/// A second private endpoint must not cut the pulls through the first one.
#[test]
fn a_pin_that_is_added_ends_nothing_and_one_that_goes_does() -> Result<()> {
    let stage = Stage::open()?;
    let mut tunnel = stage.tunnel(HOST)?;
    let list = document(&[HOST, DATA], stage.origin.port);
    stage.enforce(&list.replace("[\"127.0.0.1\"]", "[\"127.0.0.1\", \"10.0.0.4\"]"))?;
    tunnel.send(b"x")?;
    ensure!(tunnel.receive(1)? == b"x");
    stage.enforce(&list.replace("127.0.0.1", "10.0.0.4"))?;
    ensure!(tunnel.ended()?);
    Ok(())
}

/// L05. Permitted, and taken back while the name was being looked up: the client is told before any tunnel.
#[test]
fn a_list_that_changes_on_the_way_is_answered() -> Result<()> {
    let stage = Stage::open()?;
    stage.dns.answer(DATA, Answer::Held);
    let mut client = stage.client()?;
    client.send(format!("CONNECT {DATA}:{} HTTP/1.1\r\n\r\n", stage.origin.port).as_bytes())?;
    stage.until(|| Ok(!stage.dns.asked().is_empty()))?;
    stage.allow(&[HOST])?;
    stage.dns.release(LOOPBACK)?;
    let head = client.head()?;
    ensure!(head.starts_with("HTTP/1.1 403 ringfence: policy_revoked; "), "{head}");
    let line = stage.proxy.logged(|line| line["host"] == DATA)?;
    ensure!(line["outcome"] == "denied" && line["generation"] == 2, "{line}");
    ensure!(stage.origin.connections() == 0, "it was dialled all the same");
    Ok(())
}

/// That there is no IPv6 address is remembered for a moment, even if the answer doesn't say for how long.
#[test]
fn what_is_not_there_is_not_asked_for_each_time() -> Result<()> {
    let stage = Stage::with_settings("workers = 1\n")?;
    for _ in 0..5 {
        drop(stage.tunnel(HOST)?);
    }
    ensure!(stage.dns.asked_for_v6() == [HOST] && stage.dns.asked() == [HOST]);
    Ok(())
}

#[test]
fn a_resolver_that_never_answers_for_ipv6_slows_nothing_down() -> Result<()> {
    let stage = Stage::open()?;
    stage.dns.answer(HOST, Answer::OnlyV4(LOOPBACK));
    drop(stage.tunnel(HOST)?);
    let line = stage.proxy.logged(|line| line["host"] == HOST)?;
    ensure!(line["ms"]["resolve"].as_f64() < Some(1000.0), "{line}");
    Ok(())
}

/// Cut into records of one byte, a large hello would be six times as large on the wire.
#[test]
fn a_hello_in_tiny_records_is_carried_until_it_is_too_long() -> Result<()> {
    let stage = Stage::open()?;
    for (padding, carried) in [(500, true), (40_000, false)] {
        let padding = extension(21, &vec![0; padding]);
        let whole = hello_with(&[server_name(HOST.as_bytes()), padding].concat());
        let cut: Vec<u8> = whole[5..].chunks(1).flat_map(record).collect();
        let (mut client, _) = stage.connect(&format!("{HOST}:{}", stage.origin.port))?;
        // The proxy may have seen enough before it has seen all.
        let _ = client.send(&cut);
        if carried {
            ensure!(client.receive(cut.len())? == cut);
        } else {
            stage.proxy.logged(|line| line["reason"] == Reason::ClientHelloTooLarge.code())?;
        }
    }
    Ok(())
}

/// A client that doesn't read stops its own tunnel, costs a bounded buffer, and nobody else notices.
#[test]
fn a_client_that_does_not_read_holds_up_nobody() -> Result<()> {
    let stage = Stage::open()?;
    let mut stuck = stage.tunnel(HOST)?;
    stuck.set_write_timeout(MOMENT)?;
    let chunk = vec![7; 1 << 20];
    let mut stalled = false;
    for _ in 0..64 {
        // Everything comes back and nothing is read, so at some point no more fits.
        if stuck.send(&chunk).is_err() {
            stalled = true;
            break;
        }
    }
    ensure!(stalled, "64 MiB were buffered somewhere");
    drop(stage.tunnel(DATA)?);
    Ok(())
}
