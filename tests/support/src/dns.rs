//! A name server: dnsmasq, knowing a few names and no other server, and telling what it was asked.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::namespace::Namespace;
use crate::network::{Network, address};
use crate::process::{Program, Running};

/// A running name server.
#[derive(Debug)]
pub struct Dns {
    running: Running,
    world: Namespace,
}

impl Dns {
    /// Serves these names and addresses. Every other name doesn't exist.
    pub fn start(network: &Network, hosts: &[(&str, &str)]) -> Result<Self> {
        let running = Program::new("dnsmasq")
            .inside(&network.world)
            .args(["--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file"])
            .args(["--no-hosts", "--no-resolv", "--log-queries", "--log-facility=-"])
            .args(["--bind-interfaces", &format!("--listen-address={}", address::DNS)])
            .args(["--local-ttl=1", "--address=/#/"])
            .args(hosts.iter().map(|(host, address)| format!("--host-record={host},{address}")))
            .start()?;
        running.stderr.wait_for_line(|line| line.contains("started, version"))?;
        Ok(Self { running, world: network.world.clone() })
    }

    /// Where it listens, as the proxy's `--resolver` wants it.
    pub fn address(&self) -> String {
        format!("{}:53", address::DNS)
    }

    /// Every name that it has been asked for until now.
    ///
    /// "Not asked" is only true once all questions have been read. So this asks one of its own and
    /// waits for it in the log; those before it stand before it.
    pub fn questions(&self) -> Result<BTreeSet<String>> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let ours = format!("question-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        self.world.enter(|| {
            let socket = UdpSocket::bind((address::DNS, 0))?;
            socket.send_to(&question(&ours)?, (address::DNS, 53)).context("ask the name server")
        })??;
        let log = &self.running.stderr;
        log.wait_for_line(|line| asked(line).is_some_and(|name| name == ours))?;
        let names = log.lines().into_iter().filter_map(|line| asked(&line));
        Ok(names.filter(|name| !name.starts_with("question-")).collect())
    }
}

/// The name in `dnsmasq[7]: query[A] cONtoSo.azurecr.io from 20.62.128.2`, in lower case: a resolver
/// plays with the case so that a forged answer won't match.
fn asked(line: &str) -> Option<String> {
    let (_, question) = line.split_once(": query[")?;
    question.split_whitespace().nth(1).map(str::to_ascii_lowercase)
}

/// A DNS message that asks for a name's address: RFC 1035, section 4.1.
fn question(label: &str) -> Result<Vec<u8>> {
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let length = u8::try_from(label.len())?;
    let (root, a, internet) = ([0], [0, 1], [0, 1]);
    Ok([&header[..], &[length], label.as_bytes(), &root, &a, &internet].concat())
}
