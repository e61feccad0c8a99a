//! Opens connections: the only file of this crate that dials, and only addresses, never names.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::outcome::Outcome;
use super::report::{Evidence, Finding, Found, clean};

/// Dials one address after another, the next one when the last has failed or was given a quarter of a second
/// (RFC 8305 §5), as clients do; the first connection wins.
pub(crate) async fn dial(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Found<(SocketAddr, TcpStream)> {
    let mut waiting = addresses.iter().take(MAX_ADDRESSES).copied();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        let is_last = match waiting.next() {
            Some(address) => {
                attempts.spawn(async move { (address, dial_one(address, limit).await) });
                false
            }
            None if attempts.is_empty() => break,
            None => true,
        };
        let patience = if is_last { limit.max(STAGGER) } else { STAGGER };
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok((address, Ok(stream))))) => {
                let evidence = Evidence { address: Some(address), ..Evidence::default() };
                let finding = Finding { outcome: Outcome::Connected, evidence };
                return Ok(((address, stream), finding));
            }
            Ok(Some(Ok((address, Err(error))))) => failures.push((address, error)),
            Ok(Some(Err(error))) => return Err(Finding::said(Outcome::ConnectFailed, &error)),
            Ok(None) | Err(_) => {}
        }
    }
    // Whoever refuses is there, and one that is there says more than one that is silent.
    failures.sort_by_key(|(address, error)| (outcome_of(error) as usize, *address));
    Err(failures.first().map_or_else(
        || Finding::said(Outcome::ConnectFailed, &"there is no address to try"),
        |(address, error)| {
            let detail = Some(clean(&error.to_string()));
            let evidence = Evidence { address: Some(*address), detail, ..Evidence::default() };
            Finding { outcome: outcome_of(error), evidence }
        },
    ))
}

/// Dials one address, in time or not at all.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that dials")]
pub(crate) async fn dial_one(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await;
    let stream =
        stream.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::ConnectRefused,
        io::ErrorKind::TimedOut => Outcome::ConnectTimeout,
        _ => Outcome::ConnectFailed,
    }
}

const STAGGER: Duration = Duration::from_millis(250);
/// Registries have one to three.
const MAX_ADDRESSES: usize = 16;
