//! How connections end when one side has more to say than the other, or is gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use ringfence::reason::Reason;
use test_support::PATIENCE;

use crate::stage::{Answer, Client, DATA, HOST, LOOPBACK, Stage, document, hello};

/// The client has finished, and the answer begins only then.
#[test]
fn a_client_that_has_finished_gets_the_whole_answer() -> Result<()> {
    let (stage, origin) = with_origin(|mut stream| {
        let mut all = vec![0; hello(Some(HOST)).len()];
        stream.read_exact(&mut all)?;
        stream.write_all(b"go on")?;
        stream.read_to_end(&mut all)?;
        stream.write_all(&chunk(3))?;
        Ok(all)
    })?;
    let mut client = tunnel(&stage, &origin)?;
    ensure!(client.receive(5)? == b"go on");
    client.send(&chunk(2))?;
    client.finish()?;
    ensure!(client.rest()? == chunk(3));
    ensure!(origin.ended()? == [hello(Some(HOST)), chunk(2)].concat());
    let line = stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    ensure!(line["end"] == "client" && line["received"] == 5 + chunk(3).len(), "{line}");
    Ok(())
}

/// The host has finished, and the upload goes on to its end.
#[test]
fn a_host_that_has_finished_gets_the_whole_upload() -> Result<()> {
    let (stage, origin) = with_origin(|mut stream| {
        let mut all = vec![0; hello(Some(HOST)).len()];
        stream.read_exact(&mut all)?;
        stream.write_all(b"enough")?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut all)?;
        Ok(all)
    })?;
    let mut client = tunnel(&stage, &origin)?;
    ensure!(client.rest()? == b"enough");
    client.send(&chunk(2))?;
    client.finish()?;
    let sent = [hello(Some(HOST)), chunk(2)].concat();
    ensure!(origin.ended()? == sent);
    let line = stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
    ensure!(line["end"] == "upstream" && line["sent"] == sent.len(), "{line}");
    Ok(())
}

/// There is no one to send the 200 to: one line says so, and the host is let go.
#[test]
fn a_client_that_is_gone_before_the_answer_leaves_nothing_open() -> Result<()> {
    let (stage, origin) = with_origin(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        Ok(all)
    })?;
    stage.dns.answer(DATA, Answer::Held);
    let mut client = stage.client()?;
    let address = client.address()?;
    client.send(format!("CONNECT {DATA}:{} HTTP/1.1\r\n\r\n", origin.port).as_bytes())?;
    stage.until(|| Ok(stage.dns.asked().contains(&DATA.to_owned())))?;
    client.reset()?;
    stage.dns.release(LOOPBACK)?;
    ensure!(origin.ended()?.is_empty());
    stage.until(|| Ok(stage.proxy.metric("ringfence_connections_open")? == 0))?;
    stage.recorded(&address)?;
    let log = stage.proxy.log()?;
    let [line] = &log[..] else { anyhow::bail!("one line: {log:?}") };
    ensure!(line["reason"] == Reason::ClientClosed.code() && line["host"] == DATA, "{line}");
    Ok(())
}

/// A server for one connection, which does what a test says.
struct Once {
    port: u16,
    thread: JoinHandle<Result<Vec<u8>>>,
}

/// A stage whose list has both hosts on the port of an origin of its own.
fn with_origin(
    serve: impl FnOnce(TcpStream) -> Result<Vec<u8>> + Send + 'static,
) -> Result<(Stage, Once)> {
    let stage = Stage::open()?;
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let port = listener.local_addr()?.port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        serve(stream)
    });
    stage.enforce(&document(&[HOST, DATA], port))?;
    Ok((stage, Once { port, thread }))
}

/// A tunnel, its ClientHello behind it.
fn tunnel(stage: &Stage, origin: &Once) -> Result<Client> {
    let (mut client, head) = stage.connect(&format!("{HOST}:{}", origin.port))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.send(&hello(Some(HOST)))?;
    Ok(client)
}

impl Once {
    /// What it has got, once it has ended.
    fn ended(self) -> Result<Vec<u8>> {
        self.thread.join().ok().context("the origin panicked")?
    }
}

/// More than the sockets on the way hold.
fn chunk(fill: u8) -> Vec<u8> {
    vec![fill; 12 << 20]
}
