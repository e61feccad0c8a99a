//! Makes one connection to the proxy, does one deed, and judges what comes of it.
//!
//! What each judgement rests on:
//!
//! - Before a tunnel, on the status. 2xx to what must be refused is a leak; to an odd request for the allowed
//!   host it is lax, unless bytes arrive that no client should get through. A 5xx other than 501 and 505 is
//!   what proxies say when they tried and failed, so the name has left through their DNS. 4xx, 501, 505 and
//!   a close without an answer are refusals. 407 and 429 say nothing of the request: the proxy wants
//!   credentials, or less haste. 3xx does not say whose answer it is.
//! - In a tunnel, with a far end, on whether a byte arrived there. A closed tunnel holds only if none did.
//! - In a tunnel, without a far end, on what comes back: a close or a TLS alert holds, anything else leaks,
//!   and so does a tunnel that stays open. A close or an alert can then be the host's own, so what is seen
//!   says so: only a far end tells a proxy that looks into tunnels from a host that does not like what it got.
//! - A control is carried if its bytes arrived at the far end as they were sent; without one, if the host
//!   answered with a TLS handshake.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::corpus::{Deed, Tunnel};
use super::far_end::{FarEnd, Watch};

/// What came of a deed, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What must hold holds.
    Held,
    /// It can't be told from here.
    Unclear,
    /// A request that can be read in two ways was served. Nothing is out yet, but a second reader, in front of
    /// the proxy or behind it, may have read it in the other way.
    Lax,
    /// An attack was not refused but failed: the proxy tried to reach what it must not.
    Tried,
    /// What must be carried was not, or a refusal could not be read.
    Broken,
    /// An attack got through.
    Leaked,
}

/// A verdict, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What was seen, in a few words.
    pub seen: String,
}

/// Where attempts go, and how long one may take.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) proxy: SocketAddr,
    pub(super) far_end: Option<FarEnd>,
    /// For each wait.
    pub(super) limit: Duration,
    /// How long the proxy may hold a connection on which nothing happens.
    pub(super) slow: Duration,
}

impl Range {
    /// Connects to the proxy: the one address that is ever dialled.
    #[expect(
        clippy::disallowed_methods,
        reason = "the proxy under test, by the address that was given; nothing is forwarded to it"
    )]
    pub(super) fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.proxy, self.limit)?;
        stream.set_write_timeout(Some(self.limit))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Does one deed.
    pub(super) fn attempt(&self, deed: &Deed) -> Judgement {
        let watch = self.far_end.as_ref().map(FarEnd::watch);
        let mut wire = match self.dial() {
            Ok(stream) => Wire { stream, limit: self.limit, received: Vec::new() },
            Err(error) => return unclear(format!("can't connect: {}", error.kind())),
        };
        match deed {
            Deed::Request(request) => refused(wire, request, Verdict::Leaked, watch.as_ref()),
            Deed::Odd(request) => refused(wire, request, Verdict::Lax, watch.as_ref()),
            Deed::Secret { request, secret } => secretive(wire, request, secret),
            Deed::Answer(request) => answered(wire, request),
            Deed::Smuggle(tunnel) => smuggled(&mut wire, tunnel, watch.as_ref()),
            Deed::Alert(tunnel) => alerted(wire, tunnel, watch.as_ref()),
            Deed::Carry(tunnel) => carried(wire, tunnel, watch.as_ref()),
            Deed::Drip(head) => dripped(wire, head, self.slow),
            Deed::Silence(request) => silent(wire, request, self.slow),
        }
    }
}

/// A request that must be refused, with all that stands behind it; `served` is what it means if it isn't.
fn refused(
    mut wire: Wire,
    request: &[u8],
    served: Verdict,
    watch: Option<&Watch<'_>>,
) -> Judgement {
    wire.send(request);
    let end = wire.read_until(Wire::has_answer);
    let more = head_end(request).is_some_and(|end| end < request.len());
    if more {
        // What stands behind a refused request may get an answer of its own, or go through.
        wire.limit = QUIET;
        wire.read_until(|_| false);
    }
    let limit = if more { QUIET } else { Duration::ZERO };
    let arrived = watch.is_some_and(|watch| !watch.settled(limit).is_empty());
    match wire.success() {
        _ if arrived => leaked(ARRIVED),
        None => refusal(&wire, end),
        Some(status) => Judgement { verdict: served, seen: status.to_string() },
    }
}

/// What a response, or none, says of a request that must be refused.
fn refusal(wire: &Wire, end: End) -> Judgement {
    match (wire.answer(), end) {
        (Some(status @ 200..=299), _) => leaked(status.to_string()),
        (Some(status @ (407 | 429)), _) => unclear(format!("{status}, to whatever is asked")),
        (Some(status), _) if is_refusal(status) => held(status.to_string()),
        (Some(status @ 500..), _) => {
            Judgement { verdict: Verdict::Tried, seen: status.to_string() }
        }
        (Some(status), _) => unclear(status.to_string()),
        (None, _) if !wire.received.is_empty() => unclear("an answer that is not HTTP"),
        (None, End::Closed) => held("closed"),
        (None, End::Reset) => held("reset"),
        (None, End::Enough | End::Late) => unclear("no answer in time"),
    }
}

/// 4xx, and those of 5xx that say something of the request and not of an attempt (RFC 9110 §15.6).
fn is_refusal(status: u16) -> bool {
    matches!(status, 400..=406 | 408..=428 | 430..=499 | 501 | 505)
}

/// A refusal that must not hold what was secret.
fn secretive(mut wire: Wire, request: &[u8], secret: &str) -> Judgement {
    wire.send(request);
    let end = wire.read_until(Wire::has_answer);
    wire.limit = QUIET;
    wire.read_until(|_| false);
    match refusal(&wire, end) {
        Judgement { verdict: Verdict::Held | Verdict::Tried, .. } if wire.holds(secret) => {
            leaked("it comes back in the refusal")
        }
        judgement => judgement,
    }
}

/// A refusal that the client must be able to read, though not all of what it sent was.
fn answered(mut wire: Wire, request: &[u8]) -> Judgement {
    wire.send(request);
    let end = wire.read_until(Wire::has_answer);
    match (wire.answer(), end) {
        (None, End::Reset) => Judgement { verdict: Verdict::Broken, seen: "reset unread".into() },
        _ => refusal(&wire, end),
    }
}

/// A tunnel through which nothing may go.
fn smuggled(wire: &mut Wire, tunnel: &Tunnel, watch: Option<&Watch<'_>>) -> Judgement {
    if let Err(refusal) = wire.open(tunnel) {
        if watch.is_some_and(|watch| !watch.settled(QUIET).is_empty()) {
            return leaked(ARRIVED);
        }
        // What came ahead may be why there is no tunnel; otherwise the tunnel was not the question.
        let none = unclear(format!("no tunnel: {}", refusal.seen));
        return if tunnel.ahead.is_empty() { none } else { refusal };
    }
    wire.send_pieces(&tunnel.pieces);
    let deadline = Instant::now() + wire.limit;
    let end = loop {
        let end = wire.read_some(TICK);
        if watch.is_some_and(|watch| !watch.arrived().is_empty()) {
            return leaked(ARRIVED);
        }
        match end {
            // Whatever comes back, only the far end can say where from.
            End::Enough | End::Late if Instant::now() < deadline => {
                if watch.is_none() && wire.alert().is_none() && wire.received.len() >= ALERT {
                    break End::Enough;
                }
            }
            end => break end,
        }
    };
    let arrived = watch.is_some_and(|watch| !watch.settled(QUIET).is_empty());
    let whose = if watch.is_some() { "" } else { ", by the proxy or the host" };
    match (end, wire.alert()) {
        _ if arrived => leaked(ARRIVED),
        (End::Closed | End::Reset, Some(alert)) => held(format!("alert {alert}{whose}")),
        (End::Closed, None) if wire.received.is_empty() => held(format!("closed{whose}")),
        (End::Reset, None) if wire.received.is_empty() => held(format!("reset{whose}")),
        (_, Some(_)) if watch.is_none() => unclear("an alert, and the tunnel stays open"),
        _ if watch.is_some() && !wire.received.is_empty() => {
            unclear("an answer, but nothing arrived")
        }
        _ if watch.is_some() => unclear("the tunnel stays open, but nothing arrived"),
        _ if wire.received.is_empty() => leaked("the tunnel stays open"),
        _ => leaked("the host answered"),
    }
}

/// The same, and the client must be told.
fn alerted(mut wire: Wire, tunnel: &Tunnel, watch: Option<&Watch<'_>>) -> Judgement {
    match smuggled(&mut wire, tunnel, watch) {
        Judgement { verdict: Verdict::Held, seen } if wire.alert().is_none() => {
            Judgement { verdict: Verdict::Broken, seen }
        }
        judgement => judgement,
    }
}

/// A tunnel that must carry what is sent.
fn carried(mut wire: Wire, tunnel: &Tunnel, watch: Option<&Watch<'_>>) -> Judgement {
    let broken = |seen: String| Judgement { verdict: Verdict::Broken, seen };
    if let Err(refusal) = wire.open(tunnel) {
        return broken(refusal.seen);
    }
    wire.send_pieces(&tunnel.pieces);
    let sent = [&tunnel.ahead[..], &tunnel.pieces.concat()].concat();
    let end = wire.read_until(|wire| wire.received.len() >= ALERT);
    if let Some(watch) = watch {
        let arrived = watch.at_least(sent.len(), wire.limit);
        return match (wire.alert(), end) {
            _ if arrived == sent => held("carried"),
            _ if arrived.len() >= sent.len() => broken("carried, but not as it was sent".into()),
            (Some(alert), _) => broken(format!("alert {alert}")),
            _ if arrived.is_empty() => broken("nothing arrived".into()),
            _ => broken("not all of it arrived".into()),
        };
    }
    match (wire.received.first(), wire.alert(), end) {
        (Some(22), ..) => held("the host answered"),
        (_, Some(alert), _) => unclear(format!("alert {alert}, by the proxy or the host")),
        (Some(_), ..) => unclear("an answer that is not TLS"),
        (None, _, End::Closed | End::Reset) => broken("closed".into()),
        (None, ..) => broken("no answer in time".into()),
    }
}

/// A head that never ends, for which a connection must not be held.
fn dripped(mut wire: Wire, head: &[u8], slow: Duration) -> Judgement {
    wire.send(head);
    let deadline = Instant::now() + slow;
    while Instant::now() < deadline {
        match wire.read_some(slow / DRIPS) {
            End::Late => wire.send(b"x"),
            _ if wire.has_answer() => return refusal(&wire, End::Enough),
            End::Closed | End::Reset => return refusal(&wire, End::Closed),
            End::Enough => {}
        }
    }
    leaked(format!("still open after {}", humantime::format_duration(slow)))
}

/// A tunnel in which nothing is said, which must end.
fn silent(mut wire: Wire, request: &[u8], slow: Duration) -> Judgement {
    let tunnel = Tunnel { request: request.to_vec(), ahead: Vec::new(), pieces: Vec::new() };
    if let Err(refusal) = wire.open(&tunnel) {
        return unclear(format!("no tunnel: {}", refusal.seen));
    }
    wire.limit = slow;
    match wire.read_until(|_| false) {
        End::Closed | End::Reset => held("closed"),
        End::Enough | End::Late => {
            leaked(format!("still open after {}", humantime::format_duration(slow)))
        }
    }
}

fn held(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Held, seen: seen.into() }
}

fn unclear(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Unclear, seen: seen.into() }
}

fn leaked(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Leaked, seen: seen.into() }
}

/// A connection to the proxy, and what has come back on it.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    /// For each wait.
    limit: Duration,
    received: Vec<u8>,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is enough to judge.
    Enough,
    /// The proxy closed.
    Closed,
    /// The proxy closed with bytes unread.
    Reset,
    /// Nothing more came in time.
    Late,
}

impl Wire {
    /// Sends what the proxy takes. It may have seen enough before it has seen all, so what can't be sent is
    /// no failure: what came back tells.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends each piece in a segment of its own, if the kernel will, as long as the proxy takes them.
    fn send_pieces(&mut self, pieces: &[Vec<u8>]) {
        let _ = pieces.iter().try_for_each(|piece| self.stream.write_all(piece));
    }

    /// Opens a tunnel, or answers what came instead. What the proxy sends behind its answer stays to be read.
    fn open(&mut self, tunnel: &Tunnel) -> Result<(), Judgement> {
        self.send(&[&tunnel.request[..], &tunnel.ahead].concat());
        let end = self.read_until(|wire| wire.head_end().is_some());
        match (self.answer(), self.head_end()) {
            (Some(200..=299), Some(end)) => {
                self.received.drain(..end);
                Ok(())
            }
            _ => Err(refusal(self, end)),
        }
    }

    /// Reads until there is enough, in `limit` altogether.
    fn read_until(&mut self, enough: impl Fn(&Self) -> bool) -> End {
        let deadline = Instant::now() + self.limit;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.read_some(left) {
                End::Enough => {}
                end => return end,
            }
        }
        End::Enough
    }

    /// Reads once; [`End::Enough`] if something came. A proxy that never stops talking is not listened to.
    fn read_some(&mut self, limit: Duration) -> End {
        if self.received.len() > MAX_RECEIVED {
            return End::Closed;
        }
        if limit.is_zero() {
            return End::Late;
        }
        let mut buffer = [0; 16 * 1024];
        match self.stream.set_read_timeout(Some(limit)).and_then(|()| self.stream.read(&mut buffer))
        {
            Ok(0) => End::Closed,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                End::Enough
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Late,
                ErrorKind::Interrupted => End::Enough,
                _ => End::Reset,
            },
        }
    }

    /// Whether there is a whole answer that is not merely an interim one (RFC 9110 §15.2).
    fn has_answer(&self) -> bool {
        self.head_end().is_some() && self.answer().is_some()
    }

    /// Where the first head ends, interim answers included.
    fn head_end(&self) -> Option<usize> {
        let mut from = 0;
        loop {
            let head = &self.received[from..];
            let end = head_end(head)?;
            from += end;
            if statuses(&head[..end]).next().is_none_or(|status| status >= 200) {
                return Some(from);
            }
        }
    }

    /// The first status that is not an interim one.
    fn answer(&self) -> Option<u16> {
        statuses(&self.received).find(|status| *status >= 200)
    }

    /// A 2xx in any of the answers.
    fn success(&self) -> Option<u16> {
        statuses(&self.received).find(|status| (200..300).contains(status))
    }

    fn holds(&self, secret: &str) -> bool {
        self.received.windows(secret.len()).any(|bytes| bytes == secret.as_bytes())
    }

    /// The description of the alert that came back (RFC 8446 §6), if that is all that did.
    fn alert(&self) -> Option<u8> {
        match self.received[..] {
            [21, 3, _, 0, 2, _, description] => Some(description),
            _ => None,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Where the first head in `bytes` ends.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The statuses of all status lines. A body could imitate one, at the price of looking worse than it is.
fn statuses(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let rest = line.strip_prefix(b"HTTP/1.")?;
        let [_, b' ', status @ ..] = rest else { return None };
        std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()
    })
}

const ARRIVED: &str = "it arrived at the far end";
/// How often to look at the far end while reading at the near one.
const TICK: Duration = Duration::from_millis(20);
/// How long something may take that follows at once if it follows at all.
const QUIET: Duration = Duration::from_millis(250);
/// The bytes of a slow head.
const DRIPS: u32 = 20;
/// The length of an alert record.
const ALERT: usize = 7;
/// More than any refusal has.
const MAX_RECEIVED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_status_lines() {
        let bytes =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 403 no\r\n\r\nnot HTTP/1.1 200\r\nHTTP/1.1 2";
        assert_eq!(statuses(bytes).collect::<Vec<_>>(), [100, 403]);
    }

    #[test]
    fn refusals_are_told_from_attempts() {
        let rows = [(400, true), (403, true), (501, true), (505, true)];
        let others =
            [(200, false), (302, false), (407, false), (429, false), (500, false), (503, false)];
        for (status, expected) in rows.into_iter().chain(others) {
            assert_eq!(is_refusal(status), expected, "{status}");
        }
    }
}
