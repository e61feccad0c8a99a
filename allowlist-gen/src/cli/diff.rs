//! `diff` tells how a list differs from another, or from what Azure says now, and why.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use allowlist_gen::drift::answer::{self, Scope, Unsettled};
use allowlist_gen::drift::github::{self, Places};
use allowlist_gen::drift::json::{self, Side};
use allowlist_gen::drift::{Drift, document as rewriting};
use allowlist_gen::endpoint::LoginServer;
use allowlist_gen::{DataEndpoints, Error, Finding, report};
use clap::{Args, ValueEnum};
use ringfence_config::snippet::{Source, escape};
use ringfence_config::{Allowlist, Document, Issue, document};
use similar::{Algorithm, TextDiff};

use super::files::{is_stdin, print, read_text, tell};
use super::input::Input;
use super::{Answer, Failure, export};

/// Tell how a list differs from another one, or from what Azure says now, and why
///
/// What OLD is compared with is seen from what the FILEs hold: another list (several are merged), or JSON about
/// registries, as for `generate`.
///
/// Each difference has one reason with a stable code: `replica-added`, `address-changed`. Against what Azure
/// says, hosts that are written by hand stay, and so do the hosts of registries that the input doesn't describe. What
/// the input lacks counts for nothing where it is incomplete. Standard error says what was not compared, the serial
/// and the end of lists among it.
///
/// Exit codes: 0 no difference; 1 there is one, or with `--strict` anything else to look at; 2 they can't be
/// compared, also because a registry of the list has no exact hosts now.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct DiffArguments {
    /// The list as it was; `-` is standard input
    #[arg(value_name = "OLD")]
    old: PathBuf,

    #[command(flatten)]
    comparison: Comparison,

    /// How to write it
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    format: DiffFormat,

    /// Exit with 1 if there are findings, or anything was not compared
    #[arg(long)]
    strict: bool,

    // Last, because the heading of its options holds for all that follow.
    #[command(flatten)]
    input: Input,
}

/// What counts where a list is compared with what Azure says.
#[derive(Args, Clone, Copy)]
pub(super) struct Comparison {
    /// Pass over registries that are not on the list
    #[arg(long)]
    only_listed: bool,

    /// Take dedicated data endpoints to be on where they aren't yet
    #[arg(long)]
    assume_data_endpoints: bool,
}

impl Comparison {
    /// An option that was given.
    fn given(self) -> Option<&'static str> {
        let only_listed = self.only_listed.then_some("--only-listed");
        only_listed.or_else(|| self.assume_data_endpoints.then_some("--assume-data-endpoints"))
    }

    pub(super) fn data(self) -> DataEndpoints {
        if self.assume_data_endpoints {
            DataEndpoints::AssumedOn
        } else {
            DataEndpoints::AsReported
        }
    }

    /// With `others` beside what is listed.
    pub(super) fn scope(self, others: &BTreeSet<LoginServer>) -> Scope {
        if self.only_listed { Scope::Listed(others.clone()) } else { Scope::Described }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// For people
    Text,
    /// Everything, for programs
    Json,
    /// Annotations of a GitHub workflow, at the lines of OLD
    Github,
    /// A unified diff that makes of OLD the new list, for `patch` and `git apply`
    Patch,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen diff allowlist.toml new.toml
  git show main:allowlist.toml | allowlist-gen diff - allowlist.toml
  allowlist-gen diff allowlist.toml contoso.json replications.json nic.json
  allowlist-gen diff allowlist.toml contoso.json --format github
  allowlist-gen diff allowlist.toml contoso.json --format patch | git apply";

/// A list in a file of its own.
pub(super) struct ListFile {
    pub(super) name: String,
    pub(super) text: String,
    document: Document,
    pub(super) list: Allowlist,
}

impl ListFile {
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let (name, text) = read_text(file)?;
        if is_json(&text) {
            return Err(Failure::Json(name));
        }
        let document = Document::parse(&name, &text)?;
        let list = document::merge(std::slice::from_ref(&document))?;
        Ok(Self { name, text, document, list })
    }

    pub(super) fn issue(&self) -> Issue {
        self.document.issue()
    }

    /// Whether all of its text would be written again.
    pub(super) fn is_canonical(&self) -> bool {
        rewriting::rewrite(&self.text, &self.list, self.issue()) == self.text
    }
}

/// What a list is compared with.
struct New {
    names: Vec<String>,
    list: Allowlist,
    /// What Azure says is of no issue.
    issue: Issue,
    /// As it would stand in the place of the old one.
    text: String,
    findings: Vec<Finding>,
    unsettled: Vec<Unsettled>,
}

/// Compares, and tells.
pub(super) fn diff(raw: &DiffArguments) -> Result<Answer, Failure> {
    if is_stdin(&raw.old) && raw.input.takes_stdin() {
        return Err(Failure::TwoStdins);
    }
    let old = ListFile::read(&raw.old)?;
    let new = New::read(&old, &raw.input.read()?, raw.comparison)?;
    tell(&report::Findings(&new.findings));
    tell_unsettled(&new.unsettled);
    let drift = Drift::between(&old.list, &new.list);
    let text = match raw.format {
        DiffFormat::Text => drift.to_string(),
        DiffFormat::Json => json::render(
            &drift,
            Side { names: std::slice::from_ref(&old.name), list: &old.list, issue: old.issue() },
            Side { names: &new.names, list: &new.list, issue: new.issue },
            &new.unsettled,
            &new.findings,
        ),
        DiffFormat::Github => {
            let file = (!is_stdin(&raw.old)).then_some(old.name.as_str());
            github::annotations(&drift, &Places::new(&old.document, file))
        }
        DiffFormat::Patch if drift.is_empty() => String::new(),
        DiffFormat::Patch => {
            if !old.is_canonical() {
                tell(&format_args!(
                    "{} has comments among its entries, or another order than lists are written in; the patch \
                     takes them away\n",
                    escape(&old.name)
                ));
            }
            patch(&raw.old, &old.text, &new.text)
        }
    };
    print(text.as_bytes())?;
    let is_fatal = raw.strict && !(new.findings.is_empty() && new.unsettled.is_empty());
    Ok(if drift.is_empty() && !is_fatal { Answer::Yes } else { Answer::No })
}

impl New {
    fn read(old: &ListFile, sources: &[Source], comparison: Comparison) -> Result<Self, Failure> {
        let (metadata, lists): (Vec<&Source>, Vec<&Source>) =
            sources.iter().partition(|source| is_json(&source.text));
        match (metadata.first(), lists.first()) {
            (_, None) => Self::of_metadata(old, sources, comparison),
            (None, Some(_)) => match comparison.given() {
                Some(option) => Err(Failure::NotForLists(option)),
                None => Self::of_lists(old, &lists),
            },
            (Some(metadata), Some(list)) => {
                Err(Failure::Mixed(list.name.clone(), metadata.name.clone()))
            }
        }
    }

    fn of_lists(old: &ListFile, sources: &[&Source]) -> Result<Self, Failure> {
        let documents = sources
            .iter()
            .map(|source| Document::parse(&source.name, &source.text))
            .collect::<Result<Vec<_>, _>>()?;
        let list = document::merge(&documents)?;
        let issue = export::issue_of(&documents);
        if issue != old.issue() {
            let said = |issue: Issue| {
                if issue.is_empty() { "none".to_owned() } else { issue.to_string() }
            };
            tell(&format_args!(
                "not compared: the issue, which was {} and is {}\n",
                said(old.issue()),
                said(issue)
            ));
        }
        let head = match sources {
            [only] => &only.text,
            _ => &old.text,
        };
        Ok(Self {
            names: sources.iter().map(|source| source.name.clone()).collect(),
            text: rewriting::rewrite(head, &list, issue),
            list,
            issue,
            findings: Vec::new(),
            unsettled: Vec::new(),
        })
    }

    fn of_metadata(
        old: &ListFile,
        sources: &[Source],
        comparison: Comparison,
    ) -> Result<Self, Failure> {
        let scope = comparison.scope(&BTreeSet::new());
        let answer = answer::read(&old.list, sources, comparison.data(), &scope)
            .map_err(Failure::Generate)?;
        refuse(&answer.unsettled)?;
        // The last serial there is has to be dealt with by a person, who sees it in the patch.
        let issue = rewriting::next(old.issue()).unwrap_or(old.issue());
        Ok(Self {
            names: sources.iter().map(|source| source.name.clone()).collect(),
            text: rewriting::rewrite(&old.text, &answer.list, issue),
            list: answer.list,
            issue: Issue::default(),
            findings: answer.findings,
            unsettled: answer.unsettled,
        })
    }
}

/// A registry of the list that has no exact hosts now makes the comparison impossible, as it does for
/// `generate --check`.
pub(super) fn refuse(unsettled: &[Unsettled]) -> Result<(), Failure> {
    let refusals: Vec<_> = unsettled
        .iter()
        .filter_map(|open| match open {
            Unsettled::Refused(_, refusal) => Some(refusal.clone()),
            _ => None,
        })
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(Failure::Generate(Error::Refused(refusals))) }
}

fn tell_unsettled(unsettled: &[Unsettled]) {
    for open in unsettled {
        tell(&format_args!("{}\n", not_compared(open)));
    }
}

pub(super) fn not_compared(open: &Unsettled) -> String {
    format!("not compared ({}): {open}", open.code())
}

/// A JSON text begins with a brace or a bracket (RFC 8259 has more, but Azure doesn't print it), and so does a list
/// whose author forgot everything above its first entry. What is empty is neither, and told as missing metadata.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty()
        || text.starts_with('{')
        || text.starts_with('[') && !text.starts_with("[[entry")
}

/// A unified diff as git and GNU patch read it.
fn patch(old: &Path, before: &str, after: &str) -> String {
    let name = path_in_repository(old);
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(before, after);
    let (before, after) = (quote(&format!("a/{name}")), quote(&format!("b/{name}")));
    diff.unified_diff().header(&before, &after).to_string()
}

/// What `-p1` finds again from the folder that the patch is applied in: a relative path is taken for that; of any
/// other, the file's name.
fn path_in_repository(path: &Path) -> String {
    if is_stdin(path) {
        return "allowlist.toml".to_owned();
    }
    let (mut parts, mut is_inside) = (Vec::new(), true);
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => is_inside = false,
        }
    }
    if !is_inside {
        parts.drain(..parts.len().saturating_sub(1));
    }
    parts.join("/")
}

/// A file name in a diff's header, in C's quotes if it holds what would end it.
/// <https://git-scm.com/docs/git-diff#generate_patch_text_with_p>
fn quote(name: &str) -> String {
    use std::fmt::Write as _;

    let is_special = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if !name.contains(is_special) {
        // What comes after a tab is no part of a name with spaces.
        return if name.contains(' ') { format!("{name}\t") } else { name.to_owned() };
    }
    let mut quoted = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => write!(quoted, "\\{byte:03o}").expect("a string takes everything"),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_what_a_patch_is_applied_to() {
        for (path, expected) in [
            ("allowlist.toml", "a/allowlist.toml"),
            ("./lists/allowlist.toml", "a/lists/allowlist.toml"),
            ("/etc/ringfence/allowlist.toml", "a/allowlist.toml"),
            ("../other/list.toml", "a/list.toml"),
            ("-", "a/allowlist.toml"),
            ("my list.toml", "a/my list.toml\t"),
            ("a\n+++ b/evil", "\"a/a\\012+++ b/evil\""),
            ("a\"\\b", "\"a/a\\\"\\\\b\""),
        ] {
            let name = path_in_repository(Path::new(path));
            assert_eq!(quote(&format!("a/{name}")), expected, "{path}");
        }
    }

    #[test]
    fn lists_and_metadata_are_told_apart() {
        for (text, expected) in [
            ("{}", true),
            (" \n[{}]", true),
            ("[[{}]]", true),
            ("", true),
            ("schema = 1", false),
            ("# {}\nschema = 1", false),
            ("[[entry]]\nhost = 1", false),
        ] {
            assert_eq!(is_json(text), expected, "{text}");
        }
    }
}
