//! `aks-kit` writes all that puts an AKS cluster behind the proxy.

use std::path::PathBuf;

use allowlist_gen::export::ProxyUrl;
use allowlist_gen::kit::{self, Cluster};
use clap::Args;
use ringfence_config::registry::Region;

use super::export::{read_ca, read_lists};
use super::files::{fill, tell};
use super::{Answer, Failure};

/// Write what puts an AKS cluster behind the proxy, into a new folder
///
/// The cluster's setting for az, ARM, Bicep and Terraform, the list for ringfence itself, and a README that says
/// what to do in which order. Registries behind Private Link go directly, all of their hosts; others go through the
/// proxy.
///
/// Exit codes: 0 written, all of it; 2 it couldn't be, and nothing is.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct AksKitArguments {
    /// Allowlists, which are merged; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Where nodes and pods reach the proxy, as in <http://proxy.corp.example:3128>
    #[arg(long, value_name = "URL")]
    proxy: ProxyUrl,

    /// A file of certificates, in PEM, that the nodes are to trust; 20 at most
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// A region that the registries behind Private Link will have, as often as needed
    ///
    /// A change to the cluster's noProxy reimages all its node pools, so hosts of replicas that are planned are
    /// better in it from the start.
    #[arg(long = "future-region", value_name = "REGION")]
    future_regions: Vec<Region>,

    /// The folder, which must be new or empty
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

const AFTER_HELP: &str = "\
Example:
  allowlist-gen aks-kit allowlist.toml --proxy http://10.10.0.4:3128 --future-region northeurope --output kit";

/// Reads the lists, merges them, and writes the kit.
pub(super) fn aks_kit(raw: AksKitArguments) -> Result<Answer, Failure> {
    let (list, issue) = read_lists(&raw.files)?;
    let ca = raw.ca.as_deref().map(read_ca).transpose()?;
    let cluster = Cluster { proxy: raw.proxy, ca, future_regions: raw.future_regions };
    let kit = kit::render(&list, issue, &cluster)?;
    for warning in &kit.warnings {
        tell(&format_args!("warning: {warning}\n"));
    }
    fill(&raw.output, &kit.files)?;
    Ok(Answer::Yes)
}
