//! `discover` is `generate` with Azure in the place of files.

use std::fs;
use std::path::{Path, PathBuf};

use allowlist_gen::azure;
use clap::Args;

use super::azure::{Live, Session};
use super::files::{Destination, folder_of};
use super::list::{ListArguments, ListOptions};
use super::{Answer, Failure};

/// Write the allowlist of the registries that Azure has, without saving anything first
///
/// Asks the resource manager (ARM) about registries, their replications, private endpoints with their network interfaces
/// and subnets, and private DNS zones: reading only, with the sign-in of az, of this machine, of this pod or of a service
/// principal. Then it does what `generate` does with files.
///
/// A part that may not be read is a finding (`unreadable`), and nothing is assumed of it. Registries that may not be read
/// are a failure: half a list would be taken for the whole.
///
/// The role Reader is enough, on the registries, the private endpoints with their subnets, and the zones. Requests go through the proxy that
/// `HTTPS_PROXY` names, unless `NO_PROXY` excepts them. Secrets come from the environment only:
/// `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, and `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH` (PEM) or
/// `AZURE_FEDERATED_TOKEN_FILE`.
///
/// Exit codes: 0 done; 1 a well-formed no (no exact list exists, `--strict` found something, `--check` found a
/// difference); 2 it couldn't be done.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct DiscoverArguments {
    /// Keep what Azure said in this file, which `generate` and the other commands read
    ///
    /// It is written even where no exact list exists. Equal answers give equal bytes.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,

    // Behind it, because the headings of their options hold for all that follow.
    #[command(flatten)]
    list: ListArguments,

    #[command(flatten)]
    live: Box<Live>,
}

const AFTER_HELP: &str = "\
Examples:
  az login
  allowlist-gen discover --subscription 11111111-2222-3333-4444-555555555555 --output allowlist.toml
  allowlist-gen discover --subscription $ID --registry contoso --registry fabrikam
  allowlist-gen discover --registry $(az acr show --name contoso --query id --output tsv)
  allowlist-gen discover --subscription $ID --check allowlist.toml
  allowlist-gen discover --subscription $ID --metadata azure.json --format text
  allowlist-gen discover --subscription $ID --credential managed-identity --cloud usgov";

/// Asks Azure, keeps what it said if that is wanted, and goes on like `generate`.
pub(super) fn discover(raw: DiscoverArguments) -> Result<Answer, Failure> {
    let options = ListOptions::new(raw.list, raw.live.cloud())?;
    if let (Some(file), Some(other)) = (raw.metadata.as_deref(), options.file())
        && is_same(file, other)
    {
        return Err(Failure::SameFile(file.display().to_string()));
    }
    let sources = raw.live.read(&Session::default())?;
    if let Some(file) = raw.metadata {
        Destination::File(file).write(azure::snapshot(&sources).as_bytes())?;
    }
    let generated = allowlist_gen::generate(&sources, options.data());
    options.conclude(generated)
}

/// Also by two names, and also before it is there.
fn is_same(file: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        fs::canonicalize(path).or_else(|_| {
            let name = path.file_name().unwrap_or_default();
            fs::canonicalize(folder_of(path)).map(|folder| folder.join(name))
        })
    };
    real(file).is_ok_and(|file| real(other).is_ok_and(|other| file == other))
}
