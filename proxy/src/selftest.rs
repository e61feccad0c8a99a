//! Attacks a running proxy, ours or another, with every way round that can be judged from where its clients
//! stand, and says which ones hold.
//!
//! It connects to the proxy and to nothing else. [`attempt`] says what each verdict rests on.

pub mod attempt;
pub mod corpus;
mod far_end;
mod hello;
pub mod scorecard;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::explain;
use crate::policy::Target;
use crate::selftest::attempt::Range;
use crate::selftest::corpus::{Corpus, Patience, Subjects};
use crate::selftest::far_end::FarEnd;
use crate::selftest::scorecard::Scorecard;

/// Which proxy, and what is known about it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The proxy; nothing else is connected to.
    #[arg(value_name = "PROXY_IP:PORT")]
    proxy: SocketAddr,

    /// A host that the proxy allows; 443 if there is no port.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = target)]
    allowed: Target,

    /// Another host that it allows, to try its name in the first one's tunnel.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = target)]
    also: Option<Target>,

    /// Listen here, where the proxy finds the allowed host, to see what arrives.
    ///
    /// Point the proxy's name server or hosts file at this address; the port is that of `--allowed`. Without
    /// it, tunnels are judged by what comes back, and a host that ends a tunnel looks like a proxy that does.
    #[arg(long, value_name = "IP:PORT")]
    far_end: Option<SocketAddr>,

    /// Try also what takes long: a head that never ends, a tunnel without a word. Each must end in this time.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s"
    )]
    slow: Option<Duration>,

    /// How long to wait for each answer.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        default_value = "5s"
    )]
    timeout: Duration,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The proxy isn't there.
    #[error("can't connect to the proxy at {0}")]
    Proxy(SocketAddr, #[source] std::io::Error),
    /// The far end can't be listened at.
    #[error("can't listen at the far end, {0}")]
    FarEnd(SocketAddr, #[source] std::io::Error),
}

/// Runs the corpus against the proxy.
pub fn run(options: Options) -> Result<Scorecard, Error> {
    let Options { proxy, allowed, also, far_end, slow, timeout } = options;
    let listen = |address| FarEnd::listen(address).map_err(|error| Error::FarEnd(address, error));
    let range = Range {
        proxy,
        far_end: far_end.map(listen).transpose()?,
        limit: timeout.max(SHORTEST),
        slow: slow.unwrap_or_default().max(SHORTEST),
    };
    range.dial().map_err(|error| Error::Proxy(proxy, error))?;
    let subjects = Subjects { proxy, allowed, also };
    let patience = if slow.is_some() { Patience::Long } else { Patience::Short };
    let corpus = Corpus::new(&subjects, patience);
    Ok(Scorecard::run(&subjects, corpus, far_end.is_some(), |deed| range.attempt(deed)))
}

fn target(text: &str) -> Result<Target, String> {
    explain::target(text).map_err(|reason| format!("{}; {}", reason.meaning(), reason.remedy()))
}

/// A limit of nothing is no limit to the kernel.
const SHORTEST: Duration = Duration::from_millis(100);
