//! Tries hosts of the list in the background, the way clients reach them: decide, look up, vet, dial, and
//! then a TLS handshake that checks the certificate for the name. What fails makes the proxy unready.
//!
//! Nothing is asked or dialled that a client could not ask for: the way is the clients' own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use crate::client::{Client, Group, Identity, Listener, Membership, Source};
use crate::head;
use crate::notice::notice;
use crate::policy::{Decision, Permit, Policy, Target};
use crate::reason::Reason;
use crate::service::Service;
use crate::upstream::{Failure, Outbound};

/// What is probed, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// From one look to the next.
    pub every: Duration,
    /// Who issues their certificates; those whom the machine trusts if there is none.
    pub ca: Option<PathBuf>,
}

/// A host to probe, written as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(pub Target);

/// A text is no [`Host`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` can't be probed: {}; write it as in \"contoso.azurecr.io:443\"", reason.meaning())]
pub struct HostError {
    text: String,
    reason: Reason,
}

/// Why nothing can be probed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A host that no client may reach.
    #[error("`{0}` is to be probed, but is on no list; list it, or take it out of `probe.hosts`")]
    Unlisted(Target),
    /// The file with certificates.
    #[error("can't read certificates from `{}`", path.display())]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A certificate in the file.
    #[error("`{}` has a certificate that can't be used", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Nobody to trust.
    #[error("no certificate authority is known here; set `probe.ca` to a file with at least one")]
    NoRoots,
    /// TLS can't be set up.
    #[error("can't set up TLS")]
    Tls(#[source] rustls::Error),
}

/// The hosts that are probed, and what is known of each.
pub struct Probes {
    endpoints: Vec<Endpoint>,
    every: Duration,
    /// As whom we may ask.
    groups: Vec<Group>,
}

/// A host that is probed.
struct Endpoint {
    target: Target,
    tls: TlsConnector,
    status: Mutex<Status>,
}

/// What is known of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    /// Nothing yet.
    Unknown,
    /// It was reached.
    Up,
    /// It was not reached, once; that happens.
    Shaky,
    /// It was not reached twice in a row, or never.
    Down(Setback),
    /// A new list has taken it away. Clients can't have it, and don't miss it.
    Unlisted,
}

/// How far a probe came, and what was in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    stage: Stage,
    detail: String,
}

/// A part of the way to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The list.
    Policy,
    /// Looking the name up.
    Dns,
    /// Vetting its addresses.
    Address,
    /// Dialling.
    Connect,
    /// The handshake, and the certificate.
    Tls,
}

/// What `/readyz` says of a host.
#[derive(Debug, Serialize)]
pub struct Report {
    host: String,
    up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Probes {
    /// Prepares to probe the hosts of `settings`, each of which has to be on one of the lists.
    pub fn new(settings: &Settings, groups: &[Group], policy: &Policy) -> Result<Self, Error> {
        let groups = groups.to_vec();
        let mut probes = Self { endpoints: Vec::new(), every: settings.every, groups };
        if settings.hosts.is_empty() {
            // Then there may be no one to trust either.
            return Ok(probes);
        }
        let tls = connector(settings.ca.as_ref())?;
        for Host(target) in &settings.hosts {
            if probes.permit(target, policy).is_none() {
                return Err(Error::Unlisted(target.clone()));
            }
            let (target, tls) = (target.clone(), tls.clone());
            probes.endpoints.push(Endpoint { target, tls, status: Mutex::new(Status::Unknown) });
        }
        Ok(probes)
    }

    /// Whether clients find every host, as far as is known.
    pub fn ready(&self) -> bool {
        self.endpoints.iter().all(|endpoint| match &*endpoint.status() {
            Status::Up | Status::Shaky | Status::Unlisted => true,
            Status::Unknown | Status::Down(_) => false,
        })
    }

    /// What is known of each host.
    pub fn reports(&self) -> Vec<Report> {
        self.endpoints.iter().map(Endpoint::report).collect()
    }

    /// Permits what some client may, whichever group it is of.
    fn permit(&self, target: &Target, policy: &Policy) -> Option<Permit> {
        self.groups.iter().enumerate().find_map(|(index, group)| {
            let name = group.name.clone();
            let client = Client {
                source: Source::new(OURSELVES, Listener::Plain),
                group: Membership { index, name, identity: Identity::Address },
            };
            match policy.decide(client, target.clone()) {
                Decision::Allow(permit) if permit.entry().is_some() => Some(permit),
                Decision::Allow(_) | Decision::Deny(_) => None,
            }
        })
    }
}

/// Probes every host, each at its own pace, until the future is dropped. Every look has a way out of
/// its own, made by `outbound`: what a resolver has cached proves nothing.
pub async fn run<E: fmt::Display>(
    service: Arc<Service>,
    outbound: impl Fn() -> Result<Outbound, E>,
) {
    let probes = &service.probes;
    let watches = probes.endpoints.iter().map(|endpoint| watch(endpoint, &service, &outbound));
    join_all(watches).await;
}

async fn watch<E: fmt::Display>(
    endpoint: &Endpoint,
    service: &Service,
    outbound: &impl Fn() -> Result<Outbound, E>,
) {
    let probes = &service.probes;
    loop {
        let permit = probes.permit(&endpoint.target, &service.shared.policy.load());
        let found = match (permit, outbound()) {
            (None, _) => None,
            (Some(_), Err(error)) => Some(Err(Setback::new(Stage::Dns, &error))),
            (Some(permit), Ok(outbound)) => Some(endpoint.look(&permit, &outbound).await),
        };
        if let Some(Ok(end)) = &found {
            service.metrics.certificate_ends(&endpoint.target, *end);
        }
        let status = endpoint.learn(found.map(|found| found.map(drop)));
        service.metrics.endpoint(&endpoint.target, matches!(status, Status::Up | Status::Shaky));
        let pause = match status {
            Status::Up | Status::Unlisted => probes.every,
            // Both a false alarm and a recovery should be known soon.
            Status::Unknown | Status::Shaky | Status::Down(_) => probes.every.min(SOON),
        };
        sleep(pause).await;
    }
}

impl Endpoint {
    /// Goes the whole way once, and tells when the certificate ends.
    async fn look(&self, permit: &Permit, outbound: &Outbound) -> Result<SystemTime, Setback> {
        let upstream = outbound.connect(permit).await.map_err(Setback::from)?;
        let refused = |detail: &dyn ToString| Setback::new(Stage::Tls, detail);
        let name = ServerName::try_from(permit.target().host.as_str().to_owned())
            .map_err(|error| refused(&error))?;
        let shaken = timeout(HANDSHAKE, self.tls.connect(name, upstream.stream)).await;
        let stream = shaken
            .map_err(|_| refused(&"no handshake in time"))?
            .map_err(|error| refused(&error))?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().ok_or_else(|| refused(&"no certificate"))?;
        let (_, certificate) =
            parse_x509_certificate(certificate).map_err(|error| refused(&error))?;
        let end = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Ok(UNIX_EPOCH + Duration::from_secs(end))
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a look has found, or that the host is on no list any more.
    fn learn(&self, found: Option<Result<(), Setback>>) -> Status {
        let mut status = self.status();
        let next = status.after(found);
        if *status != next {
            match &next {
                Status::Up if matches!(*status, Status::Unknown | Status::Shaky) => {}
                Status::Up => notice(format_args!("`{}` is reached again", self.target)),
                Status::Down(Setback { stage, detail }) => notice(format_args!(
                    "`{}` is not reached ({}): {detail}",
                    self.target,
                    stage.name()
                )),
                Status::Unlisted => notice(format_args!(
                    "`{}` is on no list any more, and not probed; see `probe.hosts`",
                    self.target
                )),
                Status::Unknown | Status::Shaky => {}
            }
            *status = next.clone();
        }
        next
    }

    fn report(&self) -> Report {
        let (up, stage, detail) = match &*self.status() {
            Status::Up | Status::Shaky => (true, None, None),
            Status::Unknown => (false, None, None),
            Status::Down(Setback { stage, detail }) => (false, Some(*stage), Some(detail.clone())),
            Status::Unlisted => (false, Some(Stage::Policy), None),
        };
        Report { host: self.target.to_string(), up, stage, detail }
    }
}

impl Status {
    fn after(&self, found: Option<Result<(), Setback>>) -> Self {
        match (self, found) {
            (_, None) => Self::Unlisted,
            (_, Some(Ok(()))) => Self::Up,
            (Self::Up, Some(Err(_))) => Self::Shaky,
            (Self::Unknown | Self::Shaky | Self::Down(_) | Self::Unlisted, Some(Err(setback))) => {
                Self::Down(setback)
            }
        }
    }
}

impl Setback {
    fn new(stage: Stage, detail: &dyn ToString) -> Self {
        Self { stage, detail: detail.to_string() }
    }
}

impl From<Failure> for Setback {
    fn from(Failure { reason, detail, .. }: Failure) -> Self {
        let stage = match reason {
            Reason::DnsNotFound | Reason::DnsFailed | Reason::DnsTimeout => Stage::Dns,
            Reason::AddressForbidden | Reason::Nat64Disabled | Reason::SelfConnect => {
                Stage::Address
            }
            // Whatever else can be between a vetted address and a connection.
            _ => Stage::Connect,
        };
        Self { stage, detail: detail.unwrap_or_else(|| reason.meaning().to_owned()) }
    }
}

impl Stage {
    /// The name in notices and in `/readyz`.
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Address => "address",
            Self::Connect => "connect",
            Self::Tls => "tls",
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let target = head::parse_authority(text);
        target.map(Self).map_err(|reason| HostError { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

/// Trusts the authorities of `ca`, or those of the machine.
fn connector(ca: Option<&PathBuf>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let failed = |source| Error::Ca { path: path.clone(), source };
            for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                roots
                    .add(certificate.map_err(failed)?)
                    .map_err(|source| Error::Certificate { path: path.clone(), source })?;
            }
        }
        // The machine's, as its clients trust them; a list of our own would be older with every day.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// A probe has no client, and so no address.
const OURSELVES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const HANDSHAKE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_setback_is_forgiven_and_two_are_not() {
        let setback = || Setback::new(Stage::Connect, &"refused");
        let bad = || Some(Err(setback()));
        let good = Some(Ok(()));
        let rows = [
            (Status::Unknown, good.clone(), Status::Up),
            (Status::Unknown, bad(), Status::Down(setback())),
            (Status::Up, bad(), Status::Shaky),
            (Status::Shaky, good.clone(), Status::Up),
            (Status::Shaky, bad(), Status::Down(setback())),
            (Status::Down(setback()), good.clone(), Status::Up),
            (Status::Unlisted, bad(), Status::Down(setback())),
            (Status::Down(setback()), None, Status::Unlisted),
        ];
        for (before, found, after) in rows {
            assert_eq!(before.after(found.clone()), after, "{before:?} {found:?}");
        }
    }

    #[test]
    fn a_host_to_probe_has_a_port() {
        assert!("contoso.azurecr.io:443".parse::<Host>().is_ok());
        let error = "contoso.azurecr.io".parse::<Host>().expect_err("no port").to_string();
        assert!(error.contains("no valid port"), "{error}");
    }
}
