//! `verify` checks a list from where it runs; `doctor` also looks for what should be closed and isn't.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use allowlist_gen::export::{ProxyUrl, ProxyUrlError};
use allowlist_gen::verify::{
    self, Credentials, CredentialsError, Door, DoorError, Error, Nat64, Options, Proxy, Pull,
    Repository, ShortName,
};
use clap::{ArgGroup, Args, ValueEnum};

use super::export::{parse_resolver, read_ca, read_lists};
use super::files::{Destination, is_stdin, read_text, tell};
use super::{Answer, Failure};

/// Check from here that everything on a list can be reached, and is what it should be
///
/// Each host is looked up, and its addresses are judged as ringfence judges them: public, or private and pinned by the
/// list. Then come TCP, TLS with a certificate that is valid for the name, and what the host is for: a login server
/// asks for a token of its own token server, a data endpoint answers. With `--repository` an image is pulled as far as
/// it takes to see that the registry sends for its layers to its own data endpoint and nowhere else.
///
/// Nothing is changed anywhere. Every failure says what to do; docs/verify.md lists all that a check can come to.
///
/// Exit codes: 0 everything is as it should be; 1 something isn't; 2 it couldn't be checked.
#[derive(Args)]
#[command(after_long_help = VERIFY_EXAMPLES)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    common: Common,
}

/// Verify a list, and look for what should be closed and isn't
///
/// Run it where workloads run. Only what you name is tried, each with the least that shows whether somebody answers: a
/// TLS handshake with a storage host, a question for a name that doesn't exist, a request for a platform service's
/// metadata, whose answer is not shown. With `--proxy` the proxy is also asked for a tunnel to each storage host, and
/// has to refuse.
///
/// A door counts as closed if nobody answers; that the list's own hosts are reached shows that this isn't for want of a
/// network. A host whose name has no address here is skipped, which proves nothing and fails nothing: name an address of
/// it, too.
///
/// Exit codes: 0 everything is as it should be; 1 something isn't; 2 it couldn't be checked.
#[derive(Args)]
#[command(
    after_long_help = DOCTOR_EXAMPLES,
    group = ArgGroup::new("doors").args(["storage", "dns", "doh", "metadata"]).multiple(true).required(true)
)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    common: Common,

    /// A storage host that no one should reach, on port 443; as often as needed, as are all of these
    #[arg(long, value_name = "HOST|IP", value_parser = Door::storage)]
    storage: Vec<Door>,

    /// A name server that should not be asked, over UDP or TCP
    #[arg(long, value_name = "IP[:PORT]", value_parser = Door::name_server)]
    dns: Vec<Door>,

    /// A server for DNS over HTTPS that should not be asked
    #[arg(long, value_name = "HOST|IP[:PORT]", value_parser = Door::doh)]
    doh: Vec<Door>,

    /// A service of the platform: 169.254.169.254 (instance metadata), 168.63.129.16 (wire server, both its ports)
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_metadata)]
    metadata: Vec<Doors>,
}

#[derive(Args)]
struct Common {
    /// Allowlists, which are merged; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The proxy that is the way out of here, as in `http://proxy.corp.example:3128`
    ///
    /// The proxy looks names up then, and none is asked for here. The environment's `HTTPS_PROXY` is not read.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,

    /// A file with the proxy's USER:PASSWORD
    ///
    /// Without it, the environment's `ALLOWLIST_GEN_PROXY_CREDENTIALS` counts.
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_credentials: Option<PathBuf>,

    /// A name server to ask instead of the system's, as often as needed
    #[arg(long = "resolver", value_name = "IP[:PORT]", value_parser = parse_resolver)]
    resolvers: Vec<SocketAddr>,

    /// A file of certificates, in PEM, to trust beside the machine's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Take NAT64 addresses of public ones for public, as the proxy does with `[dns] nat64 = true`
    #[arg(long)]
    nat64: bool,

    /// An image to pull a byte of: of the list's only login server, or of the one that is written in front
    #[arg(long, value_name = "[LOGIN-SERVER/]NAME[:TAG|@DIGEST]")]
    repository: Option<Repository>,

    /// A file with the registry's USER:PASSWORD, or a refresh token as `az acr login --expose-token` prints it
    ///
    /// Without it, the environment's `ALLOWLIST_GEN_CREDENTIALS` counts; without that, the pull is anonymous.
    #[arg(long, value_name = "FILE", requires = "repository")]
    credentials: Option<PathBuf>,

    /// How long each step may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// How long everything may take; what isn't checked by then counts as failed
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=86400))]
    total_timeout: u64,

    /// How to write what was found
    #[arg(long, default_value = "text")]
    format: ReportFormat,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The doors at one address.
#[derive(Clone)]
struct Doors(Vec<Door>);

#[derive(Clone, Copy, ValueEnum)]
enum ReportFormat {
    /// A table for people
    Text,
    /// A document for programs
    Json,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  allowlist-gen verify allowlist.toml
  allowlist-gen verify allowlist.toml --proxy http://proxy.corp.example:3128
  allowlist-gen verify allowlist.toml --resolver 10.20.0.53 --format json
  allowlist-gen verify allowlist.toml --repository team/app:v1 --credentials token.txt
  az acr login --name contoso --expose-token --query accessToken --output tsv |
    allowlist-gen verify allowlist.toml --repository team/app:v1 --credentials -";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  allowlist-gen doctor allowlist.toml --storage mystorage.blob.core.windows.net --dns 8.8.8.8
  allowlist-gen doctor allowlist.toml --proxy http://proxy.corp.example:3128 \\
    --storage mystorage.blob.core.windows.net --storage 20.150.38.66 \\
    --doh dns.google --metadata 169.254.169.254 --metadata 168.63.129.16";

/// Checks, and tells.
pub(super) fn verify(raw: VerifyArguments) -> Result<Answer, Failure> {
    check(raw.common, Vec::new())
}

/// The same, and the doors.
pub(super) fn doctor(raw: DoctorArguments) -> Result<Answer, Failure> {
    let metadata = raw.metadata.into_iter().flat_map(|Doors(doors)| doors);
    let doors = raw.storage.into_iter().chain(raw.dns).chain(raw.doh).chain(metadata);
    check(raw.common, doors.collect())
}

fn check(raw: Common, doors: Vec<Door>) -> Result<Answer, Failure> {
    let others = [&raw.credentials, &raw.proxy_credentials, &raw.ca].into_iter().flatten();
    if raw.files.iter().chain(others).filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::TwoStdins);
    }
    let (list, issue) = read_lists(&raw.files)?;
    if let Some(end) = issue.not_after.filter(|end| end.time() <= SystemTime::now()) {
        tell(&format_args!(
            "warning: the list ended at {end}: ringfence refuses everything by it\n"
        ));
    }
    let proxy = match raw.proxy {
        Some(url) => {
            let credentials =
                read_credentials(raw.proxy_credentials, PROXY_CREDENTIALS, Credentials::pair)?;
            Some(Proxy::new(parse_proxy(&url)?, credentials).map_err(Problem::from)?)
        }
        None => None,
    };
    let pull = match raw.repository {
        Some(repository) => {
            let credentials =
                read_credentials(raw.credentials, CREDENTIALS, Credentials::of_registry)?;
            Some(Pull { repository, credentials })
        }
        None => None,
    };
    let options = Options {
        resolvers: raw.resolvers,
        proxy,
        ca: raw.ca.as_deref().map(read_ca).transpose()?,
        nat64: if raw.nat64 { Nat64::On } else { Nat64::Off },
        timeout: Duration::from_secs(raw.timeout),
        total: Duration::from_secs(raw.total_timeout),
        pull,
        doors,
    };
    let report = verify::run(list, options).map_err(Problem::from)?;
    let text = match raw.format {
        ReportFormat::Text => report.to_string(),
        ReportFormat::Json => report.to_json(),
    };
    Destination::from(raw.output).write(text.as_bytes())?;
    Ok(if report.summary().failed == 0 { Answer::Yes } else { Answer::No })
}

/// From the file, or else from the environment: never from an argument, which everyone on the machine can see.
fn read_credentials(
    file: Option<PathBuf>,
    variable: &'static str,
    parse: impl Fn(&str) -> Result<Credentials, CredentialsError>,
) -> Result<Option<Credentials>, Failure> {
    let (name, text) = match (file, env::var_os(variable)) {
        (Some(file), _) => read_text(&file)?,
        (None, Some(value)) => {
            // Not as long as it is shown: what isn't UTF-8 is no credentials either.
            let text = value.into_string().map_err(|_| CredentialsError::Line);
            let text = text.map_err(|error| Problem::Credentials(variable.to_owned(), error))?;
            (format!("the environment's {variable}"), text)
        }
        (None, None) => return Ok(None),
    };
    let credentials = parse(&text).map_err(|error| Problem::Credentials(name, error))?;
    Ok(Some(credentials))
}

/// Not clap's to parse, which would show a password that stands in the URL.
fn parse_proxy(text: &str) -> Result<ProxyUrl, Problem> {
    text.parse().map_err(|error| match error {
        ProxyUrlError::Credentials => Problem::CredentialsInUrl,
        other => Problem::ProxyUrl(other),
    })
}

fn parse_metadata(text: &str) -> Result<Doors, DoorError> {
    Door::metadata(text).map(Doors)
}

/// Why it couldn't be checked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Verify(#[from] Error),
    #[error("{0} holds no credentials: {1}")]
    Credentials(String, CredentialsError),
    #[error(
        "`--proxy`: credentials don't belong in a URL, which everyone on this machine can see; use `--proxy-credentials`"
    )]
    CredentialsInUrl,
    #[error("`--proxy`: {0}")]
    ProxyUrl(ProxyUrlError),
    #[error("`--proxy`: {0}")]
    ShortName(#[from] ShortName),
}

const CREDENTIALS: &str = "ALLOWLIST_GEN_CREDENTIALS";
const PROXY_CREDENTIALS: &str = "ALLOWLIST_GEN_PROXY_CREDENTIALS";
