//! `prove` writes a certificate for a list, and compares one.

use std::path::PathBuf;

use allowlist_gen::prove;
use clap::Args;

use super::export::read_lists;
use super::files::{Destination, read_text, tell};
use super::{Answer, Failure};

/// Write a certificate that a list reaches no storage, no other registry and no shared domain
///
/// The list has been proved once when it loads; this is a second proof by another method. The certificate names the
/// list by its hash, each family of names with a hash of its domains, and for each wildcard why it can't reach them.
/// Equal lists have equal certificates.
///
/// Exit codes: 0 proved, or the certificate fits; 1 it isn't, or doesn't; 2 it couldn't be done, also because the
/// list doesn't load.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct ProveArguments {
    /// Allowlists, which are merged; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// Write nothing; prove the list anew and compare with this certificate
    #[arg(long, value_name = "CERTIFICATE")]
    check: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen prove allowlist.toml --output allowlist.proof.json
  allowlist-gen prove allowlist.toml --check allowlist.proof.json";

/// Proves the lists, merged.
pub(super) fn prove(raw: ProveArguments) -> Result<Answer, Failure> {
    let (list, _) = read_lists(&raw.files)?;
    let certificate = prove::prove(&list);
    for refusal in certificate.refusals() {
        tell(&format_args!("not proved: {refusal}\n"));
    }
    let fits = match raw.check {
        None => {
            Destination::from(raw.output).write(certificate.to_json().as_bytes())?;
            true
        }
        Some(file) => {
            let (name, text) = read_text(&file)?;
            let differences = certificate.differences(&text);
            let differences = differences.map_err(|why| Failure::Certificate(name.clone(), why))?;
            for difference in &differences {
                tell(&format_args!("{name} doesn't fit: {difference}\n"));
            }
            differences.is_empty()
        }
    };
    Ok(if fits && certificate.is_proof() { Answer::Yes } else { Answer::No })
}
