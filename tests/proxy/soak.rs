//! Ten thousand tunnels that do nothing and two hundred clients that never finish a request, while others
//! pull as if they were alone.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use test_support::{PATIENCE, Ringfence};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::contoso::{Contoso, EASTUS, EASTUS_ENTRY, LOGIN_ENTRY};
use crate::stage::{Client, HOST, LOOPBACK, Stage, document, hello};

/// As many as the machine has descriptors for, two a tunnel, where those are fewer.
#[test]
#[expect(clippy::print_stdout, reason = "how many it is is for the person who runs it")]
fn pulls_go_on_beside_ten_thousand_tunnels_and_two_hundred_slow_clients() -> Result<()> {
    let tunnels = affordable_tunnels();
    if tunnels < TUNNELS {
        println!("descriptors don't suffice for {TUNNELS} tunnels, so there are {tunnels}");
    }
    let stage = Stage::with_settings(
        "[limits]\nconnections = 20000\nconnections_per_client = 20000\n\
         rate_per_client = 100000\nburst_per_client = 100000\n",
    )?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, soak(&stage, tunnels))
}

/// The same with a client that people have: its pulls arrive whole beside requests that never end.
#[test]
fn skopeo_pulls_beside_two_hundred_slow_clients() -> Result<()> {
    let Some(contoso) = Contoso::build(EASTUS, &[])? else {
        return Ok(());
    };
    let proxy = contoso.proxy(&[LOGIN_ENTRY, EASTUS_ENTRY])?;
    let slow = || {
        let mut client = Client::connect(proxy.listen())?;
        client.send(b"CONNECT ")?;
        Ok(client)
    };
    let slow: Result<Vec<_>> =
        contoso.network.gate.enter(|| (0..SLOW).map(|_| slow()).collect())?;
    let slow = slow?;
    let deadline = Instant::now() + PATIENCE;
    while proxy.metric("ringfence_connections_open")? < SLOW as u64 {
        ensure!(Instant::now() < deadline, "they did not all come in");
    }
    for copy in ["one", "two"] {
        contoso.pull(&proxy, ":v1", copy)?.succeeded()?;
        contoso.check_copy(copy)?;
    }
    drop(slow);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what was measured is for the person who runs it")]
async fn soak(stage: &Stage, count: usize) -> Result<()> {
    let listener = TcpListener::bind((LOOPBACK, 0)).await?;
    let port = listener.local_addr()?.port();
    spawn_local(echo(listener));
    stage.enforce(&document(&[HOST], port))?;
    let place = Place { proxy: stage.proxy.listen(), port };
    // What is set up once, such as the way to DNS, belongs to the start.
    place.pull().await?;
    settled(&stage.proxy, 0).await?;
    let start = Usage::of(&stage.proxy)?;

    let began = Instant::now();
    let opening = stream::iter(0..count).map(|_| place.tunnel()).buffer_unordered(AT_ONCE);
    let opened: Vec<_> = opening.collect().await;
    let mut tunnels = opened.into_iter().collect::<Result<Vec<_>>>()?;
    let opened_in = began.elapsed();

    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        slow.spawn_local(async move { while place.slow_head().await.is_ok() {} });
    }
    until(|| Ok(stage.proxy.metric("ringfence_connections_open")? >= (count + SLOW) as u64))
        .await?;

    let (pulls, longest) = (Cell::new(0_u64), Cell::new(Duration::ZERO));
    let deadline = Instant::now() + duration();
    let pullers = (0..PULLERS).map(|_| async {
        while Instant::now() < deadline {
            let began = Instant::now();
            timeout(PATIENCE, place.pull()).await.context("a pull hangs")??;
            pulls.set(pulls.get() + 1);
            longest.set(longest.get().max(began.elapsed()));
        }
        Ok::<_, anyhow::Error>(())
    });
    for pulled in futures_util::future::join_all(pullers).await {
        pulled.context("a pull failed")?;
    }

    for tunnel in &mut tunnels {
        exchange(tunnel, b"still here").await.context("a tunnel has died")?;
    }
    let busy = Usage::of(&stage.proxy)?;
    drop(tunnels);
    slow.shutdown().await;
    settled(&stage.proxy, 0).await?;
    until(|| Ok(Usage::of(&stage.proxy)?.descriptors <= start.descriptors)).await?;
    let end = Usage::of(&stage.proxy)?;

    let bytes = stage.proxy.metric("ringfence_bytes_total")?;
    let (pulls, longest) = (pulls.get(), longest.get());
    println!(
        "{count} tunnels in {opened_in:.1?}, {SLOW} slow clients, {pulls} pulls (the longest {longest:.1?}), none \
         failed, {bytes} bytes\nRSS in KiB: {} at the start, {} busy, {} at most, {} at the end\n\
         descriptors: {} at the start, {} busy, {} at the end",
        start.resident,
        busy.resident,
        end.peak,
        end.resident,
        start.descriptors,
        busy.descriptors,
        end.descriptors
    );
    ensure!(pulls > 0 && stage.proxy.metric("ringfence_panics_total")? == 0);
    ensure!(busy.descriptors > 2 * count as u64, "the tunnels were not all open");
    ensure!(end.peak < MOST_MEMORY, "{} KiB were used", end.peak);
    Ok(())
}

/// Where clients go, and to what.
#[derive(Clone, Copy)]
struct Place {
    proxy: SocketAddr,
    port: u16,
}

impl Place {
    async fn connect(self) -> Result<TcpStream> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is the client; nothing of it is forwarded"
        )]
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A tunnel with its ClientHello behind it.
    async fn tunnel(self) -> Result<TcpStream> {
        let mut stream = self.connect().await?;
        let request = format!("CONNECT {HOST}:{} HTTP/1.1\r\n\r\n", self.port);
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 200 ") {
            bail!("no tunnel: {}", head.escape_ascii());
        }
        exchange(&mut stream, &hello(Some(HOST))).await?;
        Ok(stream)
    }

    /// A tunnel, a layer through it, and its end.
    async fn pull(self) -> Result<()> {
        let mut stream = self.tunnel().await?;
        for _ in 0..LAYER_CHUNKS {
            exchange(&mut stream, &LAYER_CHUNK).await?;
        }
        stream.shutdown().await?;
        ensure!(stream.read(&mut [0]).await? == 0, "more came than was sent");
        Ok(())
    }

    /// A request that goes on and on, until the proxy has had enough.
    async fn slow_head(self) -> Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(b"CONNECT ").await?;
        while stream.write_all(b"a").await.is_ok() {
            if let Ok(answered) = timeout(Duration::from_millis(250), stream.readable()).await {
                return Ok(answered?);
            }
        }
        Ok(())
    }
}

/// Sends `bytes`, which must come back.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    let mut echoed = vec![0; bytes.len()];
    stream.read_exact(&mut echoed).await?;
    ensure!(echoed == bytes, "the echo differs");
    Ok(())
}

async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        spawn_local(async move {
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

/// What the proxy uses.
struct Usage {
    /// KiB in memory now.
    resident: u64,
    /// KiB in memory at most, so far.
    peak: u64,
    descriptors: u64,
}

impl Usage {
    fn of(proxy: &Ringfence) -> Result<Self> {
        let process = proxy.process().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kibibytes = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line")?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self {
            resident: kibibytes("VmRSS:")?,
            peak: kibibytes("VmHWM:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        })
    }
}

/// Waits until so many connections are open.
async fn settled(proxy: &Ringfence, open: u64) -> Result<()> {
    until(|| Ok(proxy.metric("ringfence_connections_open")? == open)).await
}

async fn until(done: impl Fn() -> Result<bool>) -> Result<()> {
    let wait = async {
        while !done()? {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, wait).await.context("it did not happen in time")?
}

/// As many tunnels as the descriptors of this process, which it raises, and of the proxy suffice for.
fn affordable_tunnels() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let tunnels = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(RESERVE) / 2;
    tunnels.min(TUNNELS)
}

/// How long clients pull.
fn duration() -> Duration {
    let seconds = std::env::var("RINGFENCE_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(3))
}

const TUNNELS: usize = 10_000;
const SLOW: usize = 200;
const PULLERS: usize = 8;
const AT_ONCE: usize = 128;
const LAYER_CHUNK: [u8; 8 * 1024] = [7; 8 * 1024];
const LAYER_CHUNKS: usize = 32;
/// Descriptors for all else, on either side.
const RESERVE: usize = 1000;
/// KiB.
const MOST_MEMORY: u64 = 200 * 1024;
