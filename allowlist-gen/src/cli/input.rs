//! Where commands get what Azure says about registries.

use std::path::PathBuf;

use clap::Args;
use ringfence_config::snippet::Source;

use super::Failure;
use super::azure::{self, Live, Session};
use super::files::{is_stdin, read_metadata};

/// Metadata for the commands that look at registries and not at lists: from files or from Azure.
#[derive(Args)]
#[group(skip)]
pub(super) struct Input {
    /// JSON files about registries, as az, ARM or Resource Graph print it; `-` is standard input
    #[arg(
        value_name = "FILE",
        required_unless_present_any = ["subscriptions", "registries"],
        conflicts_with_all = azure::ARGUMENTS,
    )]
    files: Vec<PathBuf>,

    #[command(flatten)]
    live: Live,

    #[arg(skip)]
    session: Session,
}

impl Input {
    /// Reads everything anew; who has signed in to Azure stays so.
    pub(super) fn read(&self) -> Result<Vec<Source>, Failure> {
        if self.files.is_empty() {
            return self.live.read(&self.session);
        }
        read_files(&self.files)
    }
}

/// The texts of `files`, of which one at most is standard input.
pub(super) fn read_files(files: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::TwoStdins);
    }
    files.iter().map(|file| read_metadata(file)).collect()
}
