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
    live: Box<Live>,

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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    /// Any command that looks at registries.
    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        input: Input,

        #[arg(long)]
        other: bool,
    }

    /// clap puts whatever is declared behind a heading below it.
    #[test]
    fn nothing_else_is_told_under_azures_heading() {
        let mut found = 0;
        for command in crate::cli::Arguments::command().get_subcommands() {
            for argument in command.get_arguments() {
                let is_below = argument.get_help_heading() == Some("Azure");
                let is_azures = azure::ARGUMENTS.contains(&argument.get_id().as_str());
                assert!(is_azures || !is_below, "{} {argument}", command.get_name());
                found += usize::from(is_below);
            }
        }
        assert!(found > azure::ARGUMENTS.len());
    }

    #[test]
    fn metadata_comes_from_files_or_from_azure_and_never_from_both() {
        Probe::command().debug_assert();
        let registry = format!(
            "/subscriptions/{ID}/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
        );
        for (arguments, is_whole) in [
            (&["a.json"][..], true),
            (&["a.json", "-", "--other"], true),
            (&["--subscription", ID], true),
            (&["--registry", &registry, "--tenant", "t"], true),
            (
                &[
                    "--subscription",
                    ID,
                    "--registry",
                    "contoso",
                    "--dns-zone",
                    &registry.replace("ContainerRegistry/registries", "Network/privateDnsZones"),
                ],
                true,
            ),
            (&[], false),
            (&["--tenant", "t"], false),
            (&["a.json", "--subscription", ID], false),
            (&["a.json", "--registry", "contoso"], false),
            (&["a.json", "--credential", "cli"], false),
            (&["a.json", "--cloud", "usgov"], false),
            (&["a.json", "--azure-ca", "b.pem"], false),
        ] {
            let parsed = Probe::try_parse_from(["probe"].iter().chain(arguments));
            assert_eq!(parsed.is_ok(), is_whole, "{arguments:?}");
        }
        let probe = Probe::try_parse_from(["probe", "no-such-file.json"]).expect("whole");
        assert!(matches!(probe.input.read(), Err(Failure::Read(..))) && !probe.other);
        let probe = Probe::try_parse_from(["probe", "--registry", "contoso"]).expect("whole");
        assert!(matches!(
            probe.input.read(),
            Err(Failure::Azure(allowlist_gen::azure::Error::NoSubscription))
        ));
    }
}
