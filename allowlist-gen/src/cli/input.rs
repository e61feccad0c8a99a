//! Where commands get what Azure says about registries.

use std::path::PathBuf;

use clap::Args;
use ringfence_config::snippet::Source;

use super::Failure;
use super::files::{is_stdin, read_metadata};

/// Metadata for the commands that look at registries and not at lists.
#[derive(Args)]
pub(super) struct Input {
    /// JSON files about registries, as az, ARM or Resource Graph print it; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Input {
    /// Reads everything anew.
    pub(super) fn read(&self) -> Result<Vec<Source>, Failure> {
        read_files(&self.files)
    }

    /// Whether that takes standard input, which can be read once.
    pub(super) fn takes_stdin(&self) -> bool {
        self.files.iter().any(|file| is_stdin(file))
    }
}

/// The texts of `files`, of which one at most is standard input.
pub(super) fn read_files(files: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::TwoStdins);
    }
    files.iter().map(|file| read_metadata(file)).collect()
}
