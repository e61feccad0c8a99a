//! The way from here to a host: by DNS, vetted addresses and TCP, or through a proxy; then TLS. Each step is written
//! down, and the first that fails ends the way.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_config::address::{Class, Pin};
use ringfence_config::{Hostname, Port};
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout};

use super::credentials::Credentials;
use super::dial::dial;
use super::dns::{Answer, Nat64, Resolver, vet};
use super::http::{self, Connect, Refusal};
use super::outcome::Outcome;
use super::report::{Evidence, Finding, Found, Log, Step};
use super::tls::{Io, Stream, Tls};
use crate::export::ProxyUrl;

/// The proxy that hosts are reached through.
#[derive(Debug, Clone)]
pub struct Proxy {
    url: ProxyUrl,
    host: ProxyHost,
    credentials: Option<Credentials>,
}

/// Where a proxy is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProxyHost {
    Address(IpAddr),
    Name(Hostname),
}

/// Why a proxy can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names its host by a short name, which depends on search domains; write the full name or the address"
)]
pub struct ShortName(String);

impl Proxy {
    /// The proxy at `url`, which wants these credentials, if any.
    pub fn new(url: ProxyUrl, credentials: Option<Credentials>) -> Result<Self, ShortName> {
        let host = match url.host().parse() {
            Ok(address) => ProxyHost::Address(address),
            Err(_) => ProxyHost::Name(url.host().parse().map_err(|_| ShortName(url.to_string()))?),
        };
        Ok(Self { url, host, credentials })
    }

    /// Where it is.
    pub fn url(&self) -> &ProxyUrl {
        &self.url
    }
}

/// How hosts are reached from here.
pub(crate) struct Way {
    pub(crate) resolver: Resolver,
    pub(crate) tls: Tls,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) nat64: Nat64,
    /// For each step.
    pub(crate) step: Duration,
    /// For everything.
    pub(crate) end: Instant,
}

/// A host to reach.
pub(crate) struct Target<'a> {
    pub(crate) host: &'a Hostname,
    pub(crate) port: Port,
    pub(crate) pins: &'a [Pin],
}

impl Target<'_> {
    /// As a `Host` header has it.
    pub(crate) fn authority(&self) -> String {
        match self.port {
            Port::HTTPS => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// A way that was found, to be gone again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this address, which was vetted.
    Direct(SocketAddr),
    Proxy,
}

impl Way {
    /// How long the next step may take.
    pub(crate) fn limit(&self) -> Duration {
        self.step.min(self.end.saturating_duration_since(Instant::now()))
    }

    /// Goes the whole way for the first time, step by step.
    pub(crate) async fn open(&self, target: &Target<'_>, log: &mut Log) -> Option<(Route, Stream)> {
        let (route, stream): (Route, Box<dyn Io>) = if let Some(proxy) = &self.proxy {
            log.push(Step::Dns, Outcome::DnsByProxy);
            (Route::Proxy, log.note(Step::Proxy, self.tunnel(proxy, target).await)?)
        } else {
            let addresses = log.note(Step::Dns, self.vetted(target).await)?;
            let (address, stream) = log.note(Step::Tcp, dial(&addresses, self.limit()).await)?;
            (Route::Direct(address), Box::new(stream))
        };
        let stream = log.note(Step::Tls, self.shake(stream, target.host).await)?;
        Some((route, stream))
    }

    /// Goes a way that is known again: each request has a connection of its own.
    pub(crate) async fn again(&self, route: Route, target: &Target<'_>) -> Result<Stream, Finding> {
        let stream: Box<dyn Io> = match (route, &self.proxy) {
            (Route::Proxy, Some(proxy)) => self.tunnel(proxy, target).await?.0,
            (Route::Proxy, None) => return Err(Outcome::ProxyUnreachable.into()),
            (Route::Direct(address), _) => Box::new(dial(&[address], self.limit()).await?.0.1),
        };
        Ok(self.shake(stream, target.host).await?.0)
    }

    /// One lookup, and every answer vetted. A list that pins is not obeyed by public addresses, which is said, and
    /// those are dialled nevertheless: the proxy would.
    async fn vetted(&self, target: &Target<'_>) -> Found<Vec<SocketAddr>> {
        let Answer { addresses, aliases } =
            self.resolver.resolve(target.host, self.limit()).await?;
        let outcome = vet(&addresses, target.pins, self.nat64);
        let sockets = addresses.iter().map(|address| (*address, target.port.number()).into());
        let sockets = sockets.collect();
        let evidence = Evidence { addresses, aliases, ..Evidence::default() };
        let finding = Finding { outcome, evidence };
        match outcome {
            Outcome::DnsPublic | Outcome::DnsPinned | Outcome::PublicAlthoughPinned => {
                Ok((sockets, finding))
            }
            _ => Err(finding),
        }
    }

    /// A tunnel through the proxy.
    async fn tunnel(&self, proxy: &Proxy, target: &Target<'_>) -> Found<Box<dyn Io>> {
        let authority = format!("{}:{}", target.host, target.port);
        match self.ask(proxy, &authority).await? {
            Connect::Tunnel(stream) => Ok((stream, Outcome::Tunnel.into())),
            Connect::Refusal(refusal) => Err(refused(refusal)),
        }
    }

    /// What the proxy says to CONNECT.
    pub(crate) async fn ask(&self, proxy: &Proxy, authority: &str) -> Result<Connect, Finding> {
        let stream = self.to_proxy(proxy).await.map_err(|Finding { outcome, mut evidence }| {
            let detail = evidence.detail.take();
            let detail = [Some(outcome.meaning().to_owned()), detail].into_iter().flatten();
            evidence.detail = Some(detail.collect::<Vec<_>>().join(": "));
            Finding { outcome: Outcome::ProxyUnreachable, evidence }
        })?;
        let credentials = proxy.credentials.as_ref().map(Credentials::header);
        let asked = timeout(self.limit(), http::connect(stream, authority, credentials)).await;
        asked.unwrap_or_else(|_| Err(Finding::said(Outcome::ProxyFailed, &"no answer in time")))
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Box<dyn Io>, Finding> {
        let addresses = match &proxy.host {
            ProxyHost::Address(address) => vec![*address],
            ProxyHost::Name(name) => self.resolver.resolve(name, self.limit()).await?.addresses,
        };
        // The user has named it, so it may be anywhere on this network; but nobody's proxy is a platform's address.
        let is_proxys = |address: &IpAddr| {
            Class::of(*address).is_pinnable()
                || vet(&[*address], &[], self.nat64) == Outcome::DnsPublic
        };
        if !addresses.iter().all(is_proxys) {
            let evidence = Evidence { addresses, ..Evidence::default() };
            return Err(Finding { outcome: Outcome::AddressForbidden, evidence });
        }
        let port = proxy.url.port().number();
        let sockets: Vec<SocketAddr> = addresses.into_iter().map(|a| (a, port).into()).collect();
        let stream: Box<dyn Io> = Box::new(dial(&sockets, self.limit()).await?.0.1);
        if !proxy.url.is_tls() {
            return Ok(stream);
        }
        let name = match &proxy.host {
            ProxyHost::Address(address) => ServerName::from(*address),
            ProxyHost::Name(name) => server_name(name)?,
        };
        Ok(Box::new(self.tls.shake(stream, name, self.limit()).await?.0))
    }

    async fn shake(&self, stream: Box<dyn Io>, host: &Hostname) -> Found<Stream> {
        self.tls.shake(stream, server_name(host)?, self.limit()).await
    }
}

pub(crate) fn server_name(host: &Hostname) -> Result<ServerName<'static>, Finding> {
    ServerName::try_from(host.as_str().to_owned())
        .map_err(|error| Finding::said(Outcome::TlsFailed, &error))
}

/// A refusal in the proxy's own words.
pub(crate) fn refused(refusal: Refusal) -> Finding {
    let outcome = match refusal.status {
        407 => Outcome::ProxyCredentials,
        // Too slow, or too many: nothing about the host.
        408 | 429 => Outcome::ProxyFailed,
        400..=499 => Outcome::ProxyRefused,
        _ => Outcome::ProxyFailed,
    };
    Finding { outcome, evidence: evidence_of(refusal) }
}

pub(crate) fn evidence_of(refusal: Refusal) -> Evidence {
    let Refusal { status, reason, meaning, remedy } = refusal;
    Evidence {
        status: Some(status),
        proxy_reason: reason,
        proxy_meaning: meaning,
        proxy_remedy: remedy,
        ..Evidence::default()
    }
}
