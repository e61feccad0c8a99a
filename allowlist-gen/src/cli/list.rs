//! What becomes of a list that is derived: it is completed, and written or compared.

use std::fs;
use std::path::{Path, PathBuf};

use allowlist_gen::endpoint::Cloud;
use allowlist_gen::export::Format;
use allowlist_gen::{DataEndpoints, Error, Generated, report};
use clap::Args;
use ringfence_config::issue::{Moment, Serial};
use ringfence_config::{Allowlist, Document, Issue, document};
use similar::TextDiff;

use super::extras::{Extended, Extras};
use super::files::{Destination, print, tell};
use super::{Answer, Failure, export};

/// The same for each way to get at a list.
#[derive(Args)]
#[group(skip)]
pub(super) struct ListArguments {
    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    output: Option<PathBuf>,

    /// How to write the list: one of `allowlist-gen formats` that needs no settings
    #[arg(long, default_value = "toml", hide_possible_values = true, conflicts_with = "check")]
    format: Format,

    /// Number this issue of the list; let it grow with each
    ///
    /// A proxy refuses an issue with a lower serial than one it has seen.
    #[arg(long, value_name = "N")]
    serial: Option<Serial>,

    /// End the list's validity, as in 2026-12-31T00:00:00Z
    ///
    /// From then on a proxy refuses everything until it gets a newer list.
    #[arg(long, value_name = "TIME")]
    not_after: Option<Moment>,

    /// Write nothing; compare with this list, whatever its order and comments
    ///
    /// The list's serial and end are compared if `--serial` and `--not-after` are given; otherwise
    /// standard error says that they were not.
    ///
    /// Exit code 0 means that both say the same, 1 that they differ (standard output has the
    /// difference), and 2 that they can't be compared, also because no exact list exists now.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// Write nothing and exit with 1 if there is anything to look at
    #[arg(long)]
    strict: bool,

    /// Take dedicated data endpoints to be on where they aren't yet
    ///
    /// The hosts of the layers change the moment data endpoints are switched on, so rules for the
    /// new hosts have to be in place before. The replicas must be known: give `az acr replication
    /// list`, too.
    #[arg(long)]
    assume_data_endpoints: bool,

    #[command(flatten)]
    extras: Extras,
}

/// The arguments about the list, checked.
pub(super) struct ListOptions {
    issue: Issue,
    action: Action,
    findings: Findings,
    data: DataEndpoints,
    extras: Extras,
    /// The cloud that extras are of where no registry tells.
    cloud: Option<Cloud>,
}

enum Action {
    Write(Format, Destination),
    Check(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Findings {
    Tolerated,
    Fatal,
}

impl ListOptions {
    pub(super) fn new(raw: ListArguments, cloud: Option<Cloud>) -> Result<Self, Failure> {
        raw.extras.check()?;
        Ok(Self {
            issue: Issue { serial: raw.serial, not_after: raw.not_after },
            action: match raw.check {
                Some(file) => Action::Check(file),
                None => Action::Write(raw.format, Destination::from(raw.output)),
            },
            findings: if raw.strict { Findings::Fatal } else { Findings::Tolerated },
            data: if raw.assume_data_endpoints {
                DataEndpoints::AssumedOn
            } else {
                DataEndpoints::AsReported
            },
            extras: raw.extras,
            cloud,
        })
    }

    pub(super) fn data(&self) -> DataEndpoints {
        self.data
    }

    /// The file that the list goes to or is compared with.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.action {
            Action::Write(_, Destination::File(file)) | Action::Check(file) => Some(file),
            Action::Write(_, Destination::Stdout) => None,
        }
    }

    /// Writes the list or compares with it, and says what someone should look at.
    pub(super) fn conclude(self, generated: Result<Generated, Error>) -> Result<Answer, Failure> {
        let generated = match (generated, &self.action) {
            (Err(error @ Error::Refused(_)), Action::Write(..)) => {
                tell(&report::Failure(&error));
                return Ok(Answer::No);
            }
            (result, _) => result.map_err(Failure::Generate)?,
        };
        tell(&report::Findings(&generated.findings));
        let Extended { allowlist, notes } = self.extras.add_to(generated.allowlist, self.cloud)?;
        if !generated.findings.is_empty() && notes.iter().next().is_some() {
            tell(&"\n");
        }
        tell(&notes);
        let is_clean = generated.findings.is_empty() && !notes.have_gaps();
        let is_fatal = self.findings == Findings::Fatal && !is_clean;
        match &self.action {
            Action::Check(file) => {
                let answer = check(&allowlist, self.issue, file)?;
                Ok(if is_fatal { Answer::No } else { answer })
            }
            // Half a success would be installed, so a strict no leaves no list behind.
            Action::Write(..) if is_fatal => {
                let why = if generated.findings.is_empty() {
                    "a preset's host is left out"
                } else {
                    "there are findings"
                };
                tell(&format_args!("\nrefused (strict): {why}, so no list is written\n"));
                Ok(Answer::No)
            }
            Action::Write(format, destination) => {
                export::write_derived(*format, &allowlist, self.issue, destination)
            }
        }
    }
}

/// Compares canonical documents, so that comments and order don't count. Each issue has another serial and
/// another end, so those count if they are asked for, and it is said if they don't.
fn check(list: &Allowlist, issue: Issue, file: &Path) -> Result<Answer, Failure> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| Failure::Read(name.clone(), error))?;
    let document = Document::parse(&name, &text)?;
    let (serial, not_after) = (document.serial(), document.not_after());
    let asked =
        Issue { serial: issue.serial.and(serial), not_after: issue.not_after.and(not_after) };
    let passed_over = Issue {
        serial: serial.filter(|_| issue.serial.is_none()),
        not_after: not_after.filter(|_| issue.not_after.is_none()),
    };
    if !passed_over.is_empty() {
        tell(&format_args!("not compared: {passed_over}; `--serial` and `--not-after` would\n"));
    }
    let known = document::merge(&[document])?;
    let (old, new) = (known.to_toml_issue(asked), list.to_toml_issue(issue));
    if old == new {
        return Ok(Answer::Yes);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let diff = diff.unified_diff().header(&name, "generated").to_string();
    print(diff.as_bytes())?;
    Ok(Answer::No)
}
