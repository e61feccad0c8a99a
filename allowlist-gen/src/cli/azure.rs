//! Azure as the place where metadata comes from: which registries, and as whom it is asked.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use allowlist_gen::azure::{
    Authorities, Azure, Choice, Environment, Error, Event, Kind, Query, ResourceGroup,
    ResourcePath, Service, Settings, Url, Wanted, parse_authority, parse_url,
};
use allowlist_gen::endpoint::Cloud;
use clap::{Args, ValueEnum};
use ringfence_config::snippet::Source;
use uuid::Uuid;

use super::files::{read_text, tell};
use super::{CloudName, Failure};

/// What every command that looks at registries takes in the place of files.
#[derive(Args)]
#[group(skip)]
#[command(next_help_heading = "Azure")]
pub(super) struct Live {
    /// Ask Azure about the registries of this subscription, by its id; as often as needed
    #[arg(long = "subscription", value_name = "ID", value_parser = parse_subscription)]
    subscriptions: Vec<Uuid>,

    /// Only about those in this resource group; as often as needed
    #[arg(long = "resource-group", value_name = "NAME", requires = "subscriptions")]
    resource_groups: Vec<ResourceGroup>,

    /// Only about this one: name, login server or resource id; as often as needed
    ///
    /// A resource id needs no subscription beside it.
    #[arg(long = "registry", value_name = "NAME", value_parser = parse_registry)]
    registries: Vec<Wanted>,

    /// Read this private DNS zone, too, by its resource id; as often as needed
    ///
    /// Zones that private endpoints name are read anyway, and where they name none, those of the registry's
    /// subscription.
    #[arg(long = "dns-zone", value_name = "ID", value_parser = parse_zone)]
    zones: Vec<ResourcePath>,

    /// How to sign in [default: what the environment suggests]
    #[arg(long, value_name = "KIND")]
    credential: Option<CredentialName>,

    /// The tenant to sign in to [default: `AZURE_TENANT_ID`, or that of az login]
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,

    /// Which application or managed identity to sign in as [default: `AZURE_CLIENT_ID`]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,

    /// The cloud to ask [default: public]
    #[arg(long)]
    cloud: Option<CloudName>,

    /// The resource manager of a cloud of your own
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    arm_endpoint: Option<Url>,

    /// What tokens for it are issued for [default: its URL]
    #[arg(long, value_name = "URL")]
    arm_audience: Option<String>,

    /// Who issues tokens [default: `AZURE_AUTHORITY_HOST`, or the cloud's]
    #[arg(long, value_name = "URL", value_parser = parse_authority)]
    authority: Option<Url>,

    /// A file of certificates, in PEM, to trust besides the machine's authorities
    #[arg(long, value_name = "FILE")]
    azure_ca: Option<PathBuf>,
}

/// The arguments of [`Live`], which go with no file.
pub(super) const ARGUMENTS: [&str; 12] = [
    "subscriptions",
    "resource_groups",
    "registries",
    "zones",
    "credential",
    "tenant",
    "client_id",
    "cloud",
    "arm_endpoint",
    "arm_audience",
    "authority",
    "azure_ca",
];

/// [`Kind`] as the command line spells it.
#[derive(Clone, Copy, ValueEnum)]
enum CredentialName {
    /// Whoever `az login` has signed in
    Cli,
    /// The identity of this machine in Azure
    ManagedIdentity,
    /// The identity of this Kubernetes pod (`AZURE_FEDERATED_TOKEN_FILE`)
    WorkloadIdentity,
    /// A service principal (`AZURE_CLIENT_SECRET`)
    ClientSecret,
    /// A service principal (`AZURE_CLIENT_CERTIFICATE_PATH`, a PEM file)
    ClientCertificate,
}

impl From<CredentialName> for Kind {
    fn from(name: CredentialName) -> Self {
        match name {
            CredentialName::Cli => Self::Cli,
            CredentialName::ManagedIdentity => Self::ManagedIdentity,
            CredentialName::WorkloadIdentity => Self::WorkloadIdentity,
            CredentialName::ClientSecret => Self::ClientSecret,
            CredentialName::ClientCertificate => Self::ClientCertificate,
        }
    }
}

/// A session that is kept from one reading to the next, so that nobody signs in twice.
#[derive(Clone, Default)]
pub(super) struct Session(Arc<Mutex<Option<Known>>>);

type Known = (Azure, Arc<Progress>);

impl Live {
    /// The cloud that is asked, if one is named.
    pub(super) fn cloud(&self) -> Option<Cloud> {
        self.cloud.map(Cloud::from)
    }

    /// Asks Azure anew.
    pub(super) fn read(&self, session: &Session) -> Result<Vec<Source>, Failure> {
        let mut session = session.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (azure, progress) = match session.take() {
            Some(known) => known,
            None => self.sign_in()?,
        };
        progress.start();
        let sources = azure.discover(&self.query());
        progress.end();
        *session = Some((azure, progress));
        sources.map_err(Failure::Azure)
    }

    fn query(&self) -> Query {
        Query {
            subscriptions: self.subscriptions.clone(),
            resource_groups: self.resource_groups.clone(),
            registries: self.registries.clone(),
            zones: self.zones.clone(),
        }
    }

    fn sign_in(&self) -> Result<Known, Failure> {
        let is_id = |wanted: &Wanted| matches!(wanted, Wanted::Id(_));
        if self.subscriptions.is_empty() && !self.registries.iter().any(is_id) {
            return Err(Failure::Azure(Error::NoSubscription));
        }
        let environment = Environment::of_process();
        let service = self.service(&environment).map_err(Failure::Azure)?;
        let choice = Choice::new(
            self.credential.map(Kind::from),
            self.tenant.clone(),
            self.client_id.clone(),
            self.first_subscription(),
            environment,
        );
        if self.credential.is_none() {
            tell(&format_args!("credential: {} (`--credential` names another)\n", choice.kind()));
        }
        let authorities = self.azure_ca.as_deref().map(read_authorities).transpose()?;
        let settings = Settings { service, choice, authorities: authorities.unwrap_or_default() };
        let progress = Arc::new(Progress::default());
        let told = progress.clone();
        let azure = Azure::new(&settings, move |event| told.show(event)).map_err(Failure::Azure)?;
        Ok((azure, progress))
    }

    fn service(&self, environment: &Environment) -> Result<Service, Error> {
        let authority = match (&self.authority, self.cloud, environment.authority()) {
            (Some(url), _, _) => Some(url.clone()),
            (None, None, Some(host)) => {
                let url = parse_authority(&host);
                Some(url.map_err(|why| Error::Authority(host, why))?)
            }
            (None, _, _) => None,
        };
        let cloud = self.cloud.map_or(Cloud::Public, Cloud::from);
        Service::new(cloud, self.arm_endpoint.clone(), authority, self.arm_audience.as_deref())
    }

    /// Tells az which of its tenants is meant.
    fn first_subscription(&self) -> Option<String> {
        let ids = self.registries.iter().filter_map(|wanted| match wanted {
            Wanted::Id(path) => Some(path.subscription().to_owned()),
            Wanted::Server(_) | Wanted::Name(_) => None,
        });
        self.subscriptions.iter().map(Uuid::to_string).chain(ids).next()
    }
}

fn read_authorities(file: &Path) -> Result<Authorities, Failure> {
    let (name, text) = read_text(file)?;
    Authorities::read(&name, &text).map_err(Failure::Azure)
}

fn parse_subscription(text: &str) -> Result<Uuid, &'static str> {
    let help = "a subscription goes by its id: az account show --query id --output tsv";
    let has_dashes = text.len() == 36;
    text.parse().ok().filter(|_| has_dashes).ok_or(help)
}

fn parse_registry(text: &str) -> Result<Wanted, String> {
    if text.starts_with('/') {
        let path: ResourcePath = text.parse().map_err(|error| format!("{error}"))?;
        let kind = "Microsoft.ContainerRegistry/registries";
        return if path.is_a(kind) {
            Ok(Wanted::Id(path))
        } else {
            Err(format!(
                "this is not the id of a registry, which ends with `/providers/{kind}/NAME`"
            ))
        };
    }
    if text.contains('.') {
        return text.parse().map(Wanted::Server).map_err(|error| format!("{error}"));
    }
    text.parse().map(Wanted::Name).map_err(|error| format!("{error}"))
}

fn parse_zone(text: &str) -> Result<ResourcePath, String> {
    let path: ResourcePath = text.parse().map_err(|error| format!("{error}"))?;
    let kind = "Microsoft.Network/privateDnsZones";
    if path.is_a(kind) {
        return Ok(path);
    }
    Err(format!(
        "this is not the id of a private DNS zone, which ends with `/providers/{kind}/NAME`"
    ))
}

/// Tells those who wait how far it is: nothing for a moment, then in one line that changes on a terminal, and in a
/// line now and then elsewhere.
#[derive(Default)]
pub(super) struct Progress(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Progress {
    fn start(&self) {
        *self.shown() = Shown { since: Some(Instant::now()), last: None };
    }

    fn show(&self, event: Event) {
        let is_terminal = std::io::stderr().is_terminal();
        let mut shown = self.shown();
        let now = Instant::now();
        let is_early = shown.since.is_some_and(|since| now.duration_since(since) < SILENCE);
        let pause = if is_terminal { ON_TERMINALS } else { ELSEWHERE };
        let is_soon = shown.last.is_some_and(|last| now.duration_since(last) < pause);
        let text = match event {
            Event::Answered { .. } if is_early || is_soon => return,
            Event::Answered { requests, registries: 0 } => {
                format!("asking Azure: {requests} answers")
            }
            Event::Answered { requests, registries } => {
                format!("asking Azure: {requests} answers, registries: {registries}")
            }
            // Eight may wait at once.
            Event::Throttled(_) if is_soon => return,
            Event::Throttled(seconds) => {
                format!("asking Azure: it wants fewer requests, going on in {seconds} s")
            }
        };
        shown.last = Some(now);
        if is_terminal {
            tell(&format_args!("{CLEAR}{text}"));
        } else {
            tell(&format_args!("{text}\n"));
        }
    }

    /// Leaves no line behind on a terminal.
    fn end(&self) {
        if self.shown().last.is_some() && std::io::stderr().is_terminal() {
            tell(&CLEAR);
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the start of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[K";
const SILENCE: Duration = Duration::from_secs(1);
const ON_TERMINALS: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(10);
