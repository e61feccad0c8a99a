//! `lint` judges other people's rules.

use std::path::PathBuf;

use allowlist_gen::lint::{self, Format};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use ringfence_config::snippet::Source;

use super::export::read_lists;
use super::files::{Destination, is_stdin, read_text};
use super::{Answer, Failure};

/// Say what firewalls', proxies' and clients' rules let through that nobody meant
///
/// Each rule is read as its own consumer reads it, `*` and all, and a finding names a host that it lets through: a
/// storage account, somebody else's registry, a name of a shared domain. Every name was checked twice. What can't be
/// judged is told, too: an expression, a file that wasn't given, an address. docs/lint.md has the codes, and how each
/// consumer is read.
///
/// Files that a squid.conf includes, or takes an ACL's values from, are read if they are given beside it.
///
/// Exit codes: 0 there is nothing to tell; 1 there is; 2 a file couldn't be read.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct LintArguments {
    /// Files of rules; `-` is standard input
    #[arg(value_name = "RULES", required = true)]
    files: Vec<PathBuf>,

    /// What all of them are written in [default: each is recognised by itself]
    #[arg(long = "as", value_name = "FORMAT")]
    written_in: Option<FormatName>,

    /// Allowlists: their hosts are what should pass, and their registries one's own
    ///
    /// Findings then name the hosts to write in a rule's place, and hosts that no rule lets through.
    #[arg(long = "list", value_name = "FILE")]
    lists: Vec<PathBuf>,

    /// How to tell it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: ReportFormat,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen lint /etc/squid/squid.conf --list allowlist.toml
  allowlist-gen lint squid.conf hosts.txt
  allowlist-gen lint firewall.tf policy.yaml --format json
  az network firewall policy rule-collection-group show … | allowlist-gen lint -
  echo \"$NO_PROXY\" | allowlist-gen lint - --as no-proxy";

/// [`Format`] as the command line spells it.
#[derive(Clone, Copy)]
struct FormatName(Format);

impl ValueEnum for FormatName {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: [FormatName; Format::ALL.len()] = {
            let mut all = [FormatName(Format::List); Format::ALL.len()];
            let mut index = 0;
            while index < all.len() {
                all[index] = FormatName(Format::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ReportFormat {
    /// For people
    Text,
    /// For programs, complete
    Json,
}

/// Reads the rules, and tells what they let through.
pub(super) fn lint(raw: LintArguments) -> Result<Answer, Failure> {
    if raw.files.iter().chain(&raw.lists).filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::TwoStdins);
    }
    let read = |file: &PathBuf| {
        let (name, text) = read_text(file)?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Ok(Source { name, text })
    };
    let sources = raw.files.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let list = if raw.lists.is_empty() { None } else { Some(read_lists(&raw.lists)?.0) };
    let report = lint::lint(&sources, raw.written_in.map(|name| name.0), list.as_ref())?;
    let text = match raw.format {
        ReportFormat::Text => report.to_string(),
        ReportFormat::Json => report.to_json(),
    };
    Destination::from(raw.output).write(text.as_bytes())?;
    Ok(if report.findings.is_empty() { Answer::Yes } else { Answer::No })
}
