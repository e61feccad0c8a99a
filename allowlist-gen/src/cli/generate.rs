//! `generate` derives a list from files, or from names.

use std::path::PathBuf;

use allowlist_gen::Generated;
use allowlist_gen::endpoint::{Cloud, LoginServer};
use clap::Args;
use ringfence_config::registry::{Label, Region};

use super::input::read_files;
use super::list::{ListArguments, ListOptions};
use super::{Answer, CloudName, Failure};

/// Write the allowlist of the registries that FILEs describe
///
/// FILEs hold JSON as az, ARM or Resource Graph print it. Each is recognised by itself, several
/// about one registry are joined in any order, and many registries make one list.
///
/// Whatever someone should look at (contradictions, gaps, assumptions) goes to standard error, each
/// with a stable code; the list is complete nevertheless. With `--strict` there is no list then.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct GenerateArguments {
    /// JSON files about registries; `-` is standard input, which may hold several documents
    #[arg(value_name = "FILE", required_unless_present_any = ["registry", "presets", "extra_hosts"])]
    files: Vec<PathBuf>,

    /// Without metadata: the registry's login server, or its first label
    #[arg(long, value_name = "NAME", conflicts_with = "files", requires = "regions")]
    registry: Option<String>,

    /// Without metadata: the home region, and each replica's
    #[arg(long = "region", value_name = "REGION", conflicts_with = "files", requires = "registry")]
    regions: Vec<Region>,

    /// Without metadata: the cloud that the registry lives in, and that presets are for [default: public]
    #[arg(long, conflicts_with = "files")]
    cloud: Option<CloudName>,

    #[command(flatten)]
    list: ListArguments,
}

const AFTER_HELP: &str = "\
What the files may hold:
  az acr show-endpoints                     the hosts, if dedicated data endpoints are on
  az acr show, az acr list                  hosts, switches, private endpoint connections
  az acr replication list                   the regions, also while data endpoints are off
  az acr private-endpoint-connection list   which private endpoints are approved
  az network private-endpoint show          private addresses
  az network nic show                       private addresses, also with a DNS zone group
  az network private-dns record-set a list  private addresses that clients resolve
  allowlist-gen discover --metadata FILE    all of these at once, from Azure itself

Examples:
  az acr show-endpoints --name contoso | allowlist-gen generate -
  allowlist-gen generate contoso.json nic.json --output allowlist.toml
  allowlist-gen generate contoso.json --serial 8 --not-after 2026-12-31T00:00:00Z
  allowlist-gen generate contoso.json --check allowlist.toml
  allowlist-gen generate contoso.json replications.json --assume-data-endpoints
  allowlist-gen generate --registry contoso --region eastus --region westus
  allowlist-gen generate contoso.json --preset mcr --preset az-acr-login
  allowlist-gen generate contoso.json --preset aks/core \\
    --api-server demo-1a2b3c4d.hcp.eastus.azmk8s.io
  allowlist-gen generate contoso.json --extra-host images.contoso.com --why \"its custom domain\"";

/// Where the metadata comes from.
enum Input {
    Files(Vec<PathBuf>),
    /// Only what stands beside registries.
    Nothing,
    Names {
        login_server: LoginServer,
        home: Region,
        replicas: Vec<Region>,
    },
}

/// Derives the list, and writes it or compares with it.
pub(super) fn generate(raw: GenerateArguments) -> Result<Answer, Failure> {
    let cloud = raw.cloud.map(Cloud::from);
    let input = Input::new(raw.files, raw.registry, raw.regions, cloud)?;
    let options = ListOptions::new(raw.list, cloud)?;
    let generated = match input {
        Input::Files(files) => allowlist_gen::generate(&read_files(&files)?, options.data()),
        Input::Nothing => Ok(Generated::nothing()),
        Input::Names { login_server, home, replicas } => {
            allowlist_gen::generate_from_names(login_server, home, replicas)
        }
    };
    options.conclude(generated)
}

impl Input {
    fn new(
        files: Vec<PathBuf>,
        registry: Option<String>,
        regions: Vec<Region>,
        cloud: Option<Cloud>,
    ) -> Result<Self, Failure> {
        let mut regions = regions.into_iter();
        Ok(match (registry, regions.next()) {
            (Some(registry), Some(home)) => Self::Names {
                login_server: login_server(&registry, cloud)?,
                home,
                replicas: regions.collect(),
            },
            _ if files.is_empty() => Self::Nothing,
            _ => Self::Files(files),
        })
    }
}

/// `contoso`, or `contoso.azurecr.io`, which says its cloud by itself.
pub(super) fn login_server(text: &str, cloud: Option<Cloud>) -> Result<LoginServer, Failure> {
    if !text.contains('.') {
        let label: Label = text.parse().map_err(|error| Failure::Label(text.to_owned(), error))?;
        return LoginServer::new(&label, cloud.unwrap_or(Cloud::Public))
            .map_err(|error| Failure::LoginServer(text.to_owned(), error));
    }
    let server: LoginServer =
        text.parse().map_err(|error| Failure::LoginServer(text.to_owned(), error))?;
    match cloud {
        Some(cloud) if cloud != server.cloud() => Err(Failure::OtherCloud(server)),
        _ => Ok(server),
    }
}
