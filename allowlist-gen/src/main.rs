//! Derives the exact hosts of Azure container registries from their metadata.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
