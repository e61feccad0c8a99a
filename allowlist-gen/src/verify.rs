//! Checks a list from where a client stands: whether everything on it can be reached, is what it should be, and sends
//! clients nowhere else. Nothing is changed, and nothing is asked but what a client would ask.
//!
//! `ringfence` judges the same addresses by the same pins. What may be dialled is decided in `dns.rs`, and dialled in
//! `dial.rs`; what each check can come to is the table in `outcome.rs`.

mod challenge;
mod credentials;
mod dial;
mod dns;
mod doors;
mod http;
mod outcome;
mod pull;
mod redirect;
mod report;
mod repository;
mod tls;
mod way;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, Port, Role};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::challenge::Challenge;
pub use self::credentials::{Credentials, CredentialsError};
pub use self::dns::Nat64;
pub use self::doors::{Door, DoorError, Place};
use self::http::{Answer, Ask, get};
pub use self::outcome::{Outcome, Verdict};
pub use self::pull::Pull;
use self::pull::{Reached, pull};
pub use self::report::{Check, Evidence, Finding, Report, Step, Subject, Summary};
use self::report::{Found, Log, gather};
pub use self::repository::{Repository, RepositoryError};
pub use self::tls::TlsError;
use self::tls::{Stream, Tls};
pub use self::way::{Proxy, ShortName};
use self::way::{Target, Way};
use crate::export::Ca;

/// How it is checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name servers to ask; those of the system if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// The proxy that is the way out, if one is.
    pub proxy: Option<Proxy>,
    /// Whom to trust beside the machine's authorities.
    pub ca: Option<Ca>,
    /// Whether NAT64 addresses are admitted.
    pub nat64: Nat64,
    /// How long each step may take.
    pub timeout: Duration,
    /// How long everything may take.
    pub total: Duration,
    /// An image to pull, if one is.
    pub pull: Option<Pull>,
    /// What should be closed.
    pub doors: Vec<Door>,
}

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing on the list.
    #[error("the list has no entry, so there is nothing to verify")]
    Empty,
    /// Only patterns.
    #[error("the list has only patterns, which name no host to verify")]
    OnlyPatterns,
    /// No way to ask DNS.
    #[error("can't set up DNS: {0}; name a server with `--resolver`")]
    Resolver(String),
    /// No way to check certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No runtime for what is to wait for the network.
    #[error("can't wait for the network: {0}")]
    Runtime(io::Error),
    /// An image of nobody.
    #[error("`{0}` is no login server on the list")]
    NoSuchRegistry(Hostname),
    /// An image of somebody.
    #[error("the list has {0} login servers, so say whose repository it is: LOGIN-SERVER/NAME")]
    WhichRegistry(usize),
}

/// [`verify`], for who has no runtime.
pub fn run(list: Allowlist, options: Options) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Runtime)?;
    let report = runtime.block_on(verify(list, options));
    // What a peer still keeps open ends here.
    runtime.shutdown_background();
    report
}

/// Checks everything on `list`, and then the doors.
///
/// # Errors
///
/// If there is nothing to check, or no way to; whatever a check comes to is in the report.
pub async fn verify(list: Allowlist, options: Options) -> Result<Report, Error> {
    let Options { resolvers, proxy, ca, nat64, timeout, total, pull, doors } = options;
    if list.is_empty() {
        return Err(Error::Empty);
    }
    if list.entries().iter().all(|entry| matches!(entry.host, HostPattern::Wildcard(_))) {
        return Err(Error::OnlyPatterns);
    }
    let pull = pull.map(|pull| Ok::<_, Error>((login_server(&list, &pull)?, pull))).transpose()?;
    let resolver = dns::Resolver::new(&resolvers, timeout)
        .map_err(|error| Error::Resolver(error.to_string()))?;
    let tls = Tls::new(ca.as_ref())?;
    let end = Instant::now() + total;
    let way = Arc::new(Way { resolver, tls, proxy, nat64, step: timeout, end });
    let hash = list.hash();
    let proxy = way.proxy.as_ref().map(|proxy| proxy.url().to_string());
    let repository = pull.as_ref().map(|(_, pull)| pull.repository.to_string());
    let scene = Arc::new(Scene { way, list, pull });
    let mut checks = in_order(scene.hosts().into_iter().map(|host| {
        let scene = Arc::clone(&scene);
        async move { scene.check(host).await }
    }))
    .await;
    checks = gather(checks);
    checks.extend(doors::check(&scene.way, doors).await);
    Ok(Report::new(hash, proxy, repository, checks))
}

/// What all checks share.
struct Scene {
    way: Arc<Way>,
    list: Allowlist,
    /// The login server whose image is pulled.
    pull: Option<(Hostname, Pull)>,
}

/// An entry of the list, by its index, and one of its ports.
type Listed = (usize, Port);

/// Whose repository is meant.
fn login_server(list: &Allowlist, pull: &Pull) -> Result<Hostname, Error> {
    let is_login = |entry: &&Entry| {
        let is_https = entry.ports.contains(Port::HTTPS);
        is_https && matches!(entry.role, Role::Login(_) | Role::RegionalLogin(..))
    };
    let logins = || list.entries().iter().filter(is_login).filter_map(exact);
    if let Some(named) = &pull.repository.login_server {
        let found = logins().find(|host| *host == named);
        return found.cloned().ok_or_else(|| Error::NoSuchRegistry(named.clone()));
    }
    let global = || list.entries().iter().filter(|entry| matches!(entry.role, Role::Login(_)));
    let hosts: Vec<&Hostname> = global().filter(is_login).filter_map(exact).collect();
    match hosts[..] {
        [only] => Ok(only.clone()),
        _ => Err(Error::WhichRegistry(hosts.len())),
    }
}

fn exact(entry: &Entry) -> Option<&Hostname> {
    match &entry.host {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Wildcard(_) => None,
    }
}

/// Does all jobs, some at a time, and answers in their order.
async fn in_order<F>(jobs: impl IntoIterator<Item = F>) -> Vec<Check>
where
    F: Future<Output = Vec<Check>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (turn, job) in jobs.into_iter().enumerate() {
        let slots = Arc::clone(&slots);
        tasks.spawn(async move {
            let _slot = slots.acquire().await;
            (turn, job.await)
        });
    }
    let mut checks = tasks.join_all().await;
    checks.sort_unstable_by_key(|(turn, _)| *turn);
    checks.into_iter().flat_map(|(_, checks)| checks).collect()
}

impl Scene {
    fn hosts(&self) -> Vec<Listed> {
        let entries = self.list.entries().iter().enumerate();
        entries
            .flat_map(|(index, entry)| entry.ports.iter().map(move |port| (index, port)))
            .collect()
    }

    async fn check(&self, (index, port): Listed) -> Vec<Check> {
        let entry = &self.list.entries()[index];
        let mut log = Log::new(Subject::listed(entry.host.as_str(), entry, port));
        let Some(host) = exact(entry) else {
            log.push(Step::List, Outcome::Pattern);
            return log.checks;
        };
        if self.way.limit().is_zero() {
            log.push(Step::List, Outcome::OutOfTime);
            return log.checks;
        }
        let target = Target { host, port, pins: &entry.addresses };
        let pulled = self.pull.as_ref().filter(|(login, _)| login == host && port == Port::HTTPS);
        let pulled = pulled.map(|(_, pull)| pull);
        let other = self.story(entry, &target, pulled, &mut log).await;
        if pulled.is_some() && !log.has(Step::Manifest) {
            log.push(Step::Manifest, Outcome::NotTried);
        }
        let more = other.map(|other| other.checks).unwrap_or_default();
        [log.checks, more].concat()
    }

    /// Everything about one host, until something fails; what a pull leads to is another host's.
    async fn story(
        &self,
        entry: &Entry,
        target: &Target<'_>,
        pulled: Option<&Pull>,
        log: &mut Log,
    ) -> Option<Log> {
        let (route, stream) = self.way.open(target, log).await?;
        match entry.role {
            Role::Login(_) | Role::RegionalLogin(..) => {
                let challenge = log.note(Step::Api, self.api(target, stream).await)?;
                let registry = Reached { way: &self.way, route, target, list: &self.list };
                log.note(Step::Token, token_server(&registry, &challenge).await)?;
                pull(&registry, &challenge, pulled?, log).await
            }
            Role::Data(..) => {
                log.note(Step::Data, self.data(target, stream).await);
                None
            }
            Role::StorageAccount | Role::Other => None,
        }
    }

    /// <https://learn.microsoft.com/azure/container-registry/container-registry-authentication>
    async fn api(&self, target: &Target<'_>, stream: Stream) -> Found<Challenge> {
        let Answer { status, headers, .. } = self.get(target, stream, "/v2/").await?;
        let refuse = |outcome| Err(Finding::status(outcome, status));
        match status {
            401 => {}
            403 => return refuse(Outcome::ApiForbidden),
            200..=299 => return refuse(Outcome::ApiOpen),
            _ => return refuse(Outcome::ApiUnexpected),
        }
        let challenge = Challenge::read(&headers, target.host, target.port);
        let challenge = challenge.map_err(|mut finding| {
            finding.evidence.status = Some(status);
            finding
        })?;
        Ok((challenge, Finding::status(Outcome::ApiChallenge, status)))
    }

    /// Storage behind the endpoint answers 400 or so to who has no signed URL, and that will do.
    async fn data(&self, target: &Target<'_>, stream: Stream) -> Found<()> {
        let Answer { status, .. } = self.get(target, stream, "/").await?;
        match status {
            500.. => Err(Finding::status(Outcome::DataFailed, status)),
            _ => Ok(((), Finding::status(Outcome::DataAnswers, status))),
        }
    }

    async fn get(
        &self,
        target: &Target<'_>,
        stream: Stream,
        path: &str,
    ) -> Result<Answer, Finding> {
        let authority = target.authority();
        let ask = Ask { authority: &authority, path, headers: Vec::new(), max_body: 0 };
        get(stream, &ask, self.way.limit()).await
    }
}

/// Whether the token server is there; that it gives nothing for nothing is an answer.
async fn token_server(registry: &Reached<'_>, challenge: &Challenge) -> Found<()> {
    let Answer { status, .. } = registry.get(&challenge.question(None), Vec::new(), 0).await?;
    match status {
        200 | 400 | 401 => Ok(((), Finding::status(Outcome::TokenAnswers, status))),
        403 => Err(Finding::status(Outcome::TokenForbidden, status)),
        _ => Err(Finding::status(Outcome::TokenFailed, status)),
    }
}

/// Hosts at a time.
const AT_ONCE: usize = 16;
