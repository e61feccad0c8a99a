//! Moves bytes both ways until both directions have ended or a limit is reached. Looks at none of them, but
//! for those at the start that a [`Gate`] has to see.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::admission::budget::Account;
use crate::hello::retry::Gate;
use crate::reason::Reason;
use crate::wire::Wire;

/// How long a tunnel may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a byte in either direction, and for a peer to take what was read for it at once.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
}

/// What went through a tunnel, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes from the client to the host.
    pub sent: u64,
    /// Bytes from the host to the client.
    pub received: u64,
    /// Who or what ended it.
    pub end: End,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client finished first.
    Client,
    /// The host finished first.
    Upstream,
    /// Nothing moved for too long.
    Idle,
    /// It lived for too long.
    Total,
    /// We ended it.
    Stopped(Stop),
    /// A second ClientHello must not go out.
    Refused(Reason),
    /// One of the connections broke.
    Error,
}

impl End {
    /// Every end, with one reason for all.
    pub const ALL: [Self; 9] = [
        Self::Client,
        Self::Upstream,
        Self::Idle,
        Self::Total,
        Self::Stopped(Stop::Revoked),
        Self::Stopped(Stop::Drain),
        Self::Stopped(Stop::UploadBudget),
        Self::Refused(Reason::SniMismatch),
        Self::Error,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Idle => "idle",
            Self::Total => "total",
            Self::Stopped(Stop::Revoked) => "revoked",
            Self::Stopped(Stop::Drain) => "drain",
            Self::Stopped(Stop::UploadBudget) => "upload_budget",
            Self::Refused(_) => "refused",
            Self::Error => "error",
        }
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Error
    }
}

/// Why we end a tunnel that would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A new allowlist no longer admits it.
    Revoked,
    /// The proxy stops.
    Drain,
    /// The client has more to send than it may.
    UploadBudget,
}

impl Stop {
    /// The reason as people see it.
    pub fn reason(self) -> Reason {
        match self {
            Self::Revoked => Reason::PolicyRevoked,
            Self::Drain => Reason::Draining,
            Self::UploadBudget => Reason::UploadBudget,
        }
    }
}

/// The process-wide counters that a relay adds to while it runs.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Bytes from clients to hosts.
    pub sent: IntCounter,
    /// Bytes from hosts to clients.
    pub received: IntCounter,
}

/// What a relay adds to while it runs.
#[derive(Debug, Clone, Copy)]
pub struct Tally<'a> {
    /// The process-wide counters.
    pub meters: &'a Meters,
    /// What the client may still send, if that is limited.
    pub budget: Option<&'a Account>,
}

/// Relays between `client` and `upstream` until both have finished, a limit is reached, or `stop` says so.
///
/// The host gets `first`, which was read from the client before, and then what the client goes on to send,
/// as far as the `gate` lets it.
/// When one side finishes, the other is told, and may go on for as long as it likes within the limits.
pub async fn relay(
    client: &mut Wire,
    upstream: &mut TcpStream,
    first: Vec<u8>,
    gate: Gate<'_>,
    limits: &Limits,
    tally: Tally<'_>,
    stop: impl Future<Output = Stop>,
) -> Transfer {
    let flow = Flow { moved: Cell::new(Instant::now()), finished: Cell::new(None) };
    let (client, upstream) = (RefCell::new(client), RefCell::new(upstream));
    let gate = RefCell::new(gate);
    let (sent, received) = (Cell::new(0), Cell::new(0));
    let up = Direction {
        from: &client,
        to: &upstream,
        side: End::Client,
        bytes: &sent,
        meter: &tally.meters.sent,
        budget: tally.budget,
        patience: limits.idle,
        flow: &flow,
    };
    let down = Direction {
        from: &upstream,
        to: &client,
        side: End::Upstream,
        bytes: &received,
        meter: &tally.meters.received,
        budget: None,
        patience: limits.idle,
        flow: &flow,
    };
    let up = async {
        up.pass(&gate, first).await?;
        up.pump().await
    };
    let down = async {
        down.watch(&gate).await?;
        down.pump().await
    };
    let end = tokio::select! {
        both = async { tokio::try_join!(up, down) } => match both {
            Ok(_) => flow.finished.get().unwrap_or(End::Client),
            Err(end) => end,
        },
        () = flow.idle_for(limits.idle) => End::Idle,
        () = sleep(limits.total) => End::Total,
        stop = stop => End::Stopped(stop),
    };
    Transfer { sent: sent.get(), received: received.get(), end }
}

/// What the two directions of a tunnel share.
struct Flow {
    /// When a byte moved last.
    moved: Cell<Instant>,
    /// Who finished first.
    finished: Cell<Option<End>>,
}

impl Flow {
    async fn idle_for(&self, limit: Duration) {
        loop {
            let deadline = self.moved.get() + limit;
            if Instant::now() >= deadline {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// One direction of a tunnel. Both run in one task, by turns, so neither stream is borrowed for longer
/// than a poll.
struct Direction<'a, From, To> {
    from: &'a RefCell<From>,
    to: &'a RefCell<To>,
    /// What to call it when `from` finishes first.
    side: End,
    bytes: &'a Cell<u64>,
    meter: &'a IntCounter,
    /// What may still be sent.
    budget: Option<&'a Account>,
    /// How long `to` may take over what was read at once.
    patience: Duration,
    flow: &'a Flow,
}

impl<From: AsyncRead + Unpin, To: AsyncWrite + Unpin> Direction<'_, From, To> {
    /// Moves what `gate` lets pass of `waiting`, and of what the client sends behind it, until the gate is open
    /// or the client has finished. What may not pass is lost then.
    async fn pass(&self, gate: &RefCell<Gate<'_>>, mut waiting: Vec<u8>) -> Result<(), End> {
        loop {
            let free = gate.borrow_mut().from_client(&waiting).map_err(End::Refused)?;
            if free > 0 {
                self.write_all(&waiting[..free]).await?;
                waiting = waiting.split_off(free);
                continue;
            }
            if gate.borrow().is_open() {
                return Ok(());
            }
            let more = self.read().await?;
            if more.is_empty() {
                return Ok(());
            }
            waiting.extend(more);
        }
    }

    /// Moves what the host sends, and shows it to `gate`, until the gate is open or the host has finished.
    async fn watch(&self, gate: &RefCell<Gate<'_>>) -> Result<(), End> {
        while !gate.borrow().is_open() {
            let bytes = self.read().await?;
            if bytes.is_empty() {
                break;
            }
            gate.borrow_mut().from_server(&bytes);
            self.write_all(&bytes).await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Moves bytes until `from` has finished. An idle direction holds no buffer: bytes go through the
    /// thread's scratch, and only what `to` doesn't take at once is kept.
    async fn pump(&self) -> Result<(), End> {
        let mut rounds = 0;
        loop {
            match poll_fn(|context| self.poll_shuttle(context)).await? {
                Moved::Nothing => break,
                Moved::All => {}
                Moved::AllBut(rest) => self.write_all(&rest).await?,
            }
            self.flush().await?;
            rounds += 1;
            // A fast peer is always ready; the thread's other tunnels get their turn.
            if rounds % ROUNDS == 0 {
                yield_now().await;
            }
        }
        if self.flow.finished.get().is_none() {
            self.flow.finished.set(Some(self.side));
        }
        // The other side may have closed completely by now, which is as good.
        let _ =
            poll_fn(|context| Pin::new(&mut *self.to.borrow_mut()).poll_shutdown(context)).await;
        Ok(())
    }

    fn poll_shuttle(&self, context: &mut Context<'_>) -> Poll<Result<Moved, End>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let bytes = ready!(self.poll_read(context, scratch))?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(Moved::Nothing));
            }
            let written = match self.poll_write(context, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok(match &bytes[written..] {
                [] => Moved::All,
                rest => Moved::AllBut(rest.to_vec()),
            }))
        })
    }

    /// What `from` sends next; nothing when it has finished.
    async fn read(&self) -> io::Result<Vec<u8>> {
        let read = |context: &mut Context<'_>| {
            SCRATCH
                .with_borrow_mut(|scratch| self.poll_read(context, scratch).map_ok(<[u8]>::to_vec))
        };
        poll_fn(read).await
    }

    fn poll_read<'a>(
        &self,
        context: &mut Context<'_>,
        scratch: &'a mut [u8],
    ) -> Poll<io::Result<&'a [u8]>> {
        let mut buffer = ReadBuf::new(scratch);
        match ready!(Pin::new(&mut *self.from.borrow_mut()).poll_read(context, &mut buffer)) {
            Ok(()) => {}
            // TLS without a last word (close_notify); what is inside the tunnel has its own.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        let count = buffer.filled().len();
        Poll::Ready(Ok(&scratch[..count]))
    }

    /// Writes all `bytes`, of which there are never more than fit the scratch. A peer that takes them a few at
    /// a time would never be idle, and hold them for ever.
    async fn write_all(&self, bytes: &[u8]) -> Result<(), End> {
        let write = async {
            let mut written = 0;
            while written < bytes.len() {
                written += poll_fn(|context| self.poll_write(context, &bytes[written..])).await?;
            }
            Ok(())
        };
        timeout(self.patience, write).await.unwrap_or(Err(End::Idle))
    }

    /// TLS keeps what the socket doesn't take.
    async fn flush(&self) -> Result<(), End> {
        let flush = poll_fn(|context| Pin::new(&mut *self.to.borrow_mut()).poll_flush(context));
        Ok(timeout(self.patience, flush).await.map_err(|_| End::Idle)??)
    }

    /// Writes and counts what `to` takes now.
    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, End>> {
        let now = Instant::now();
        let written = match self.budget {
            None => ready!(self.poll_write_to(context, bytes))?,
            Some(account) => {
                let Some(grant) = account.take(bytes.len(), now.into_std()) else {
                    return Poll::Ready(Err(End::Stopped(Stop::UploadBudget)));
                };
                let written = self.poll_write_to(context, &bytes[..grant.bytes()]);
                let sent = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
                grant.settle(sent);
                ready!(written)?
            }
        };
        if written == 0 {
            return Poll::Ready(Err(End::Error));
        }
        self.bytes.set(self.bytes.get() + written as u64);
        self.meter.inc_by(written as u64);
        self.flow.moved.set(now);
        Poll::Ready(Ok(written))
    }

    fn poll_write_to(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.to.borrow_mut()).poll_write(context, bytes)
    }
}

/// What one read and one write did.
enum Moved {
    /// `from` has finished.
    Nothing,
    /// Everything that was read.
    All,
    /// Everything but this.
    AllBut(Vec<u8>),
}

thread_local! {
    /// Never borrowed across an await, so one per thread is enough for all its tunnels.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_SIZE].into());
}

const SCRATCH_SIZE: usize = 64 * 1024;
/// With the scratch's size, a mebibyte.
const ROUNDS: u32 = 16;
