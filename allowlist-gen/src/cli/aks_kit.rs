//! `aks-kit` writes all that puts an AKS cluster behind the proxy.

use std::io;
use std::path::{Path, PathBuf};

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
Examples:
  allowlist-gen aks-kit allowlist.toml --proxy http://10.10.0.4:3128 \\
    --future-region northeurope --output kit";

/// Reads the lists, merges them, and writes the kit.
pub(super) fn aks_kit(raw: AksKitArguments) -> Result<Answer, Failure> {
    see_if_new(&raw.output)?;
    let (list, issue) = read_lists(&raw.files)?;
    let ca = raw.ca.as_deref().map(read_ca).transpose()?;
    let cluster = Cluster { proxy: raw.proxy, ca, future_regions: raw.future_regions };
    let kit = kit::render(&list, issue, &cluster)?;
    fill(&raw.output, &kit.files)?;
    // Not before there is anything to be warned of.
    for warning in &kit.warnings {
        tell(&format_args!("warning: {warning}\n"));
    }
    Ok(Answer::Yes)
}

/// Whether there may be a kit at `folder`, in words that help.
fn see_if_new(folder: &Path) -> Result<(), Failure> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let why = match parent {
        _ if folder.is_dir() => return Ok(()),
        _ if folder.exists() => "it is a file: name a new folder".to_owned(),
        Some(parent) if !parent.is_dir() => {
            format!("the folder {} doesn't exist", parent.display())
        }
        _ => return Ok(()),
    };
    Err(Failure::Write(folder.display().to_string(), io::Error::other(why)))
}
