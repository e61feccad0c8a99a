//! As whom Azure is asked: which credential, and its token for as long as that is good.
//!
//! The credentials are those of `azure_identity`. Secrets come from the environment and from files, where Azure's own tools look
//! for them, and go nowhere but to the authority.

mod assertion;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{
    ClientOptions, ExponentialRetryOptions, HttpClient, RetryOptions, Transport,
};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use reqwest::Client;
use tokio::sync::Mutex;

use self::assertion::Certificate;
use super::cloud::Service;
use super::transport::{OfTheMachine, ReadableErrors, Unreachable};
use super::{Error, Maker, transport};

/// How to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whoever `az login` has signed in.
    Cli,
    /// The identity of the machine: a virtual machine's, or App Service's.
    ManagedIdentity,
    /// The identity of a Kubernetes pod.
    WorkloadIdentity,
    /// A service principal by its secret.
    ClientSecret,
    /// A service principal by its certificate.
    ClientCertificate,
}

impl Kind {
    /// Every kind, in the order in which the environment is searched for them.
    pub const ALL: [Self; 5] = [
        Self::ClientSecret,
        Self::ClientCertificate,
        Self::WorkloadIdentity,
        Self::ManagedIdentity,
        Self::Cli,
    ];

    /// What the command line calls it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::ManagedIdentity => "managed-identity",
            Self::WorkloadIdentity => "workload-identity",
            Self::ClientSecret => "client-secret",
            Self::ClientCertificate => "client-certificate",
        }
    }

    /// The variables without which it can't be used, beside the tenant and the client.
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Cli | Self::ManagedIdentity => &[],
            Self::WorkloadIdentity => &[TOKEN_FILE],
            Self::ClientSecret => &[SECRET],
            Self::ClientCertificate => &[CERTIFICATE],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the environment says about credentials. It holds secrets, so it doesn't show itself.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    has_az: bool,
}

impl Environment {
    /// The variables that Azure's tools go by, and whether `az` can be found.
    pub fn of_process() -> Self {
        let value = |name: &&str| std::env::var(name).ok().map(|value| ((*name).to_owned(), value));
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let mut names = ["az", "az.cmd"].into_iter();
        let has =
            |name: &str| std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
        Self { has_az: names.any(has), ..VARIABLES.iter().filter_map(value).collect() }
    }

    /// The authority that the environment names.
    pub fn authority(&self) -> Option<String> {
        let host = self.value("AZURE_AUTHORITY_HOST")?;
        Some(if host.contains("://") { host.to_owned() } else { format!("https://{host}") })
    }

    /// Empty means unset, as in most shells' scripts.
    fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self { variables: variables.into_iter().collect(), has_az: false }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish_non_exhaustive()
    }
}

/// A way to sign in, and what is known of whom.
#[derive(Debug)]
pub struct Choice {
    kind: Kind,
    tenant: Option<String>,
    client: Option<String>,
    /// For the Azure CLI, which may be signed in to several tenants: one that is to be read.
    subscription: Option<String>,
    environment: Environment,
}

impl Choice {
    /// `kind`, or else what the environment suggests: a service principal, a pod's identity, App Service's, whoever az
    /// has signed in, a virtual machine's identity.
    ///
    /// Nobody is asked, so the same environment gives the same choice.
    pub fn new(
        kind: Option<Kind>,
        tenant: Option<String>,
        client: Option<String>,
        subscription: Option<String>,
        environment: Environment,
    ) -> Self {
        let asked_tenant = tenant.clone();
        let tenant = tenant.or_else(|| environment.value(TENANT).map(str::to_owned));
        let client = client.or_else(|| environment.value(CLIENT).map(str::to_owned));
        let is_set = |kind: &Kind| match kind {
            Kind::ClientSecret | Kind::ClientCertificate | Kind::WorkloadIdentity => {
                let known = tenant.is_some() && client.is_some();
                known && kind.variables().iter().all(|name| environment.value(name).is_some())
            }
            Kind::ManagedIdentity => environment.value("IDENTITY_ENDPOINT").is_some(),
            Kind::Cli => environment.has_az,
        };
        let suggested = || Kind::ALL.into_iter().find(is_set).unwrap_or(Kind::ManagedIdentity);
        let kind = kind.unwrap_or_else(suggested);
        // az has signed in to a tenant of its own, and takes none from there.
        let tenant = if kind == Kind::Cli { asked_tenant } else { tenant };
        Self { kind, tenant, client, subscription, environment }
    }

    /// How to sign in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn tenant(&self) -> Result<String, Error> {
        self.tenant.clone().ok_or(Error::Unset(self.kind, TENANT))
    }

    fn client(&self) -> Result<String, Error> {
        self.client.clone().ok_or(Error::Unset(self.kind, CLIENT))
    }

    fn variable(&self, name: &'static str) -> Result<&str, Error> {
        self.environment.value(name).ok_or(Error::Unset(self.kind, name))
    }
}

/// A credential with its token.
pub(super) struct Credential {
    kind: Kind,
    scope: String,
    make: Maker,
    state: Mutex<State>,
}

/// The library's credentials keep their tokens, too, also one that ARM has stopped taking; so a new token takes a new
/// credential.
#[derive(Default)]
struct State {
    credential: Option<Arc<dyn TokenCredential>>,
    token: Option<AccessToken>,
}

impl Credential {
    /// Checks what can be checked without asking anyone.
    pub(super) fn new(choice: &Choice, service: &Service, http: &Client) -> Result<Self, Error> {
        Ok(Self {
            kind: choice.kind,
            scope: service.scope.clone(),
            make: maker(choice, service, http)?,
            state: Mutex::default(),
        })
    }

    /// A token that is good for a while. Whoever comes while it is fetched waits for the same.
    pub(super) async fn token(&self) -> Result<AccessToken, Error> {
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| is_good(token)) {
            return Ok(token.clone());
        }
        self.fetch(&mut state).await
    }

    /// A token in the place of `refused`, unless somebody has fetched one already.
    pub(super) async fn replace(&self, refused: &AccessToken) -> Result<AccessToken, Error> {
        let mut state = self.state.lock().await;
        match &state.token {
            Some(token) if token.token.secret() != refused.token.secret() => Ok(token.clone()),
            _ => {
                *state = State::default();
                self.fetch(&mut state).await
            }
        }
    }

    async fn fetch(&self, state: &mut State) -> Result<AccessToken, Error> {
        let failed = |error: azure_core::Error| match unreachable(&error) {
            Some(Unreachable { host, why }) => Error::Transport { host, why },
            None => Error::SignIn(self.kind, words(&error)),
        };
        let credential = match &state.credential {
            Some(credential) => credential.clone(),
            None => state.credential.insert((self.make)().map_err(failed)?).clone(),
        };
        let scopes = [self.scope.as_str()];
        let fetched = credential.get_token(&scopes, None);
        let fetched = tokio::time::timeout(SIGN_IN_TIMEOUT, fetched).await;
        let token = fetched.map_err(|_| Error::SignInTimeout(self.kind))?.map_err(failed)?;
        state.token = Some(token.clone());
        Ok(token)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credential").field(&self.kind).finish()
    }
}

fn is_good(token: &AccessToken) -> bool {
    token.expires_on > OffsetDateTime::now_utc() + MARGIN
}

fn unreachable(error: &azure_core::Error) -> Option<Unreachable> {
    let mut chain = std::iter::successors(error.source(), |&error| error.source());
    chain.find_map(|error| error.downcast_ref::<Unreachable>().cloned())
}

/// What happened, which the library wraps in what it was doing; and what lies beneath that, for the network.
fn words(error: &azure_core::Error) -> String {
    let mut inner = error;
    let mut beneath: Option<String> = None;
    let mut cause = error.source();
    while let Some(error) = cause {
        match error.downcast_ref::<azure_core::Error>() {
            Some(error) => (inner, beneath) = (error, None),
            None => beneath = Some(error.to_string()),
        }
        cause = error.source();
    }
    let mut text = inner.to_string();
    if let Some(beneath) = beneath.filter(|beneath| !text.contains(beneath.as_str())) {
        text = format!("{text}: {beneath}");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn maker(choice: &Choice, service: &Service, http: &Client) -> Result<Maker, Error> {
    let options = options(service, Arc::new(ReadableErrors(http.clone())));
    let (tenant, client) = (choice.tenant.clone(), choice.client.clone());
    Ok(match choice.kind {
        Kind::Cli => {
            let subscription = choice.subscription.clone().filter(|_| tenant.is_none());
            Box::new(move || {
                let options = AzureCliCredentialOptions {
                    tenant_id: tenant.clone(),
                    subscription: subscription.clone(),
                    ..Default::default()
                };
                Ok(AzureCliCredential::new(Some(options))?)
            })
        }
        Kind::ManagedIdentity => {
            let client_options =
                self::options(service, Arc::new(OfTheMachine(transport::client_of_the_machine()?)));
            Box::new(move || {
                Ok(ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                    client_options: client_options.clone(),
                }))?)
            })
        }
        Kind::WorkloadIdentity => {
            let (tenant, client) = (choice.tenant()?, choice.client()?);
            let file = PathBuf::from(choice.variable(TOKEN_FILE)?);
            Box::new(move || {
                Ok(WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: options.clone(),
                    },
                    client_id: Some(client.clone()),
                    tenant_id: Some(tenant.clone()),
                    token_file_path: Some(file.clone()),
                }))?)
            })
        }
        Kind::ClientSecret => {
            let (tenant, client) = (choice.tenant()?, choice.client()?);
            let secret = Secret::new(choice.variable(SECRET)?.to_owned());
            Box::new(move || {
                let options = ClientSecretCredentialOptions { client_options: options.clone() };
                let (client, secret) = (client.clone(), secret.clone());
                Ok(ClientSecretCredential::new(&tenant, client, secret, Some(options))?)
            })
        }
        Kind::ClientCertificate => {
            let (tenant, client) = (choice.tenant()?, choice.client()?);
            let certificate = Certificate::read(Path::new(choice.variable(CERTIFICATE)?))?;
            let assertion = certificate.assertion(&service.authority, &tenant, &client);
            Box::new(move || {
                let options = ClientAssertionCredentialOptions { client_options: options.clone() };
                let (tenant, client) = (tenant.clone(), client.clone());
                Ok(ClientAssertionCredential::new(
                    tenant,
                    client,
                    assertion.clone(),
                    Some(options),
                )?)
            })
        }
    })
}

fn options(service: &Service, http: Arc<dyn HttpClient>) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = service.authority.to_string();
    ClientOptions {
        transport: Some(Transport::new(http)),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            max_retries: 3,
            ..Default::default()
        }),
        ..Default::default()
    }
}

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// <https://learn.microsoft.com/azure/developer/rust/sdk/authentication/overview>
const VARIABLES: [&str; 7] =
    [TENANT, CLIENT, SECRET, CERTIFICATE, TOKEN_FILE, "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT"];

/// A token that ends sooner than this isn't used for another request.
const MARGIN: azure_core::time::Duration = azure_core::time::Duration::seconds(60);

const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_suggests_a_credential() {
        let principal = [TENANT, CLIENT];
        for (variables, has_az, kind) in [
            (&[][..], true, Kind::Cli),
            (&[], false, Kind::ManagedIdentity),
            (&principal, true, Kind::Cli),
            (&[TENANT, CLIENT, SECRET], true, Kind::ClientSecret),
            (&[TENANT, CLIENT, SECRET, CERTIFICATE], true, Kind::ClientSecret),
            (&[TENANT, CLIENT, CERTIFICATE, TOKEN_FILE], true, Kind::ClientCertificate),
            (&[TENANT, CLIENT, TOKEN_FILE], true, Kind::WorkloadIdentity),
            (&[SECRET], true, Kind::Cli),
            (&["IDENTITY_ENDPOINT"], true, Kind::ManagedIdentity),
        ] {
            let pairs = variables.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
            let environment = Environment { has_az, ..pairs.collect() };
            let choice = Choice::new(None, None, None, None, environment);
            assert_eq!(choice.kind(), kind, "{variables:?} {has_az}");
        }
        let empty = [(SECRET, ""), (TENANT, "t"), (CLIENT, "c")];
        let empty = empty.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let choice = Choice::new(None, None, None, None, empty.into_iter().collect());
        assert_eq!(choice.kind(), Kind::ManagedIdentity);
        // What is asked for is taken, also where the environment suggests another.
        let asked = Choice::new(Some(Kind::Cli), None, None, None, choice.environment);
        assert_eq!(asked.kind(), Kind::Cli);
    }

    #[test]
    fn secrets_do_not_show() {
        let variables = [(SECRET.to_owned(), "hunter2".to_owned())];
        let choice = Choice::new(None, None, None, None, variables.into_iter().collect());
        assert!(!format!("{choice:?}").contains("hunter2"));
    }
}
