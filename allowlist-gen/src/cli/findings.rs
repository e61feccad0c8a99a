//! `findings` tells what is wrong with how registries are set up.

use std::path::{Path, PathBuf};

use allowlist_gen::findings::{self, Code, Overview, Severity, UnknownCode};
use allowlist_gen::{metadata, report};
use clap::{Args, ValueEnum};
use ringfence_config::snippet::Source;

use super::files::{Destination, print};
use super::input::Input;
use super::{Answer, Failure};

/// Tell what is wrong with how registries are set up, why it matters, and which command mends it
///
/// Looks at everything that decides who reaches a registry and whether exact rules for it can be given: data
/// endpoints, public access, network rules, private endpoints with their subnets and DNS records, replicas, limits. It
/// also works where `generate` gives no list. What the input doesn't tell is listed as unknown, and is neither good nor
/// bad.
///
/// Exit codes: 0 nothing as grave as `--fail-on` says; 1 something is; 2 it couldn't be told.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct FindingsArguments {
    /// How to write the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// How grave a finding has to be for exit code 1
    ///
    /// Notes tell of what many keep on purpose, and how registries are by default, so they don't fail a run unless asked.
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,

    /// Leave out findings with this code, as often as needed; how many is told nevertheless
    #[arg(long = "ignore", value_name = "CODE", value_parser = parse_code)]
    ignored: Vec<Code>,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Look at nothing; print every code with what it means and why it matters
    #[arg(long, exclusive = true)]
    list: bool,

    // Last, because the heading of its options holds for all that follow.
    #[command(flatten)]
    input: Input,
}

const AFTER_HELP: &str = "\
Examples:
  az acr show --name contoso | allowlist-gen findings -
  allowlist-gen findings contoso.json replications.json nic.json subnet.json records.json
  allowlist-gen findings contoso.json --fail-on error --ignore admin-user
  allowlist-gen findings registries.json --format sarif --output findings.sarif
  allowlist-gen findings --list";

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Complete, with `"schema": 1`
    Json,
    /// SARIF 2.1.0, for code scanners
    Sarif,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    /// What doesn't work, or keeps rules from being exact
    Error,
    /// That, and what is open too wide, breaks with the next change, or couldn't be looked at
    Warning,
    /// Anything
    Note,
    /// Nothing
    Never,
}

impl FailOn {
    fn threshold(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Note => Some(Severity::Note),
            Self::Never => None,
        }
    }
}

/// Reads the metadata, reviews it, and writes what was found.
pub(super) fn findings(raw: &FindingsArguments) -> Result<Answer, Failure> {
    if raw.list {
        print(Overview.to_string().as_bytes())?;
        return Ok(Answer::Yes);
    }
    let sources = raw.input.read()?;
    let registries = metadata::read(&sources).map_err(|error| Failure::Generate(error.into()))?;
    let mut review = findings::review(&registries);
    review.ignore(&raw.ignored);
    let text = match raw.format {
        Format::Text => report::Review(&review).to_string(),
        Format::Json => findings::to_json(&review),
        Format::Sarif => {
            // Whoever reads it may look for these files; standard input and Azure's answers are none.
            let files: Vec<&Source> =
                sources.iter().filter(|source| Path::new(&source.name).is_file()).collect();
            findings::to_sarif(&review, &files)
        }
    };
    Destination::from(raw.output.clone()).write(text.as_bytes())?;
    let fails = match (review.gravest(), raw.fail_on.threshold()) {
        (Some(gravest), Some(threshold)) => gravest >= threshold,
        (None, _) | (_, None) => false,
    };
    Ok(if fails { Answer::No } else { Answer::Yes })
}

fn parse_code(text: &str) -> Result<Code, UnknownCode> {
    text.parse()
}
