//! Holds a list to what people expect of it, by the very functions that decide when a client asks, so that
//! a change of the list is tested before it is in force.
//!
//! An expectation is a line: `allow HOST[:PORT]` or `deny HOST[:PORT] [REASON]`, and ` as GROUP` behind
//! either. Words stand between spaces; a word that begins with `#` begins a comment.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringfence_config::snippet::{self, Place, Source};
use serde::Serialize;

use crate::client::{Client, GroupName};
use crate::explain::{self, Verdict};
use crate::lists::{Loaded, LoadedList};
use crate::policy::{Decision, Mode, Policy, Rules};
use crate::reason::Reason;

/// The expectations of one file.
#[derive(Debug)]
pub struct Expectations {
    source: Source,
    lines: Vec<Expectation>,
}

/// What should become of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expectation {
    /// Counted from 1.
    line: usize,
    /// Where the target is.
    span: Range<usize>,
    target: String,
    outcome: Expected,
    group: Option<Word>,
}

/// What should become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Allow,
    Deny(Option<Reason>),
}

/// A word of a file, and the bytes it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    span: Range<usize>,
}

/// Why there is nothing to hold a list to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read, or is not UTF-8.
    #[error("can't read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no expectation.
    #[error("{0}")]
    Line(Mistake),
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    source: Source,
    span: Range<usize>,
    problem: Problem,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a single line to hold anything to.
    #[error("the file has no expectations")]
    Nothing,
    /// Neither `allow` nor `deny` at its beginning.
    #[error("`{0}` begins no expectation")]
    Verb(String),
    /// No target.
    #[error("`{0}` of which host")]
    NoTarget(&'static str),
    /// No reason has this code.
    #[error("`{0}` is not a reason")]
    Reason(String),
    /// `as` is the last word.
    #[error("`as` which client group")]
    NoGroup,
    /// More than an expectation says.
    #[error("`{0}` is more than an expectation says")]
    Trailing(String),
    /// No client group has this name.
    #[error("no client group `{0}`")]
    Group(String),
    /// There is no list for those who need no group.
    #[error("every client needs a group here, so say whose expectation this is")]
    NeedsGroup,
}

impl Problem {
    fn help(&self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Verb(_) | Self::NoTarget(_) | Self::Trailing(_) => Some(
                "write `allow HOST[:PORT]` or `deny HOST[:PORT] [REASON]`, and ` as GROUP` behind it \
                 for a client group",
            ),
            Self::Reason(_) => Some("docs/reasons.md lists the codes; `deny HOST` takes any"),
            Self::NoGroup => Some("name one, or leave `as` out"),
            Self::NeedsGroup => Some("write ` as GROUP` behind it"),
            Self::Group(_) => None,
        }
    }
}

impl Expectations {
    /// Reads one file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses the text of a file called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let source = Source { name: name.to_owned(), text: text.to_owned() };
        match lines(text) {
            Ok(lines) => Ok(Self { source, lines }),
            Err((problem, span)) => Err(Error::Line(Mistake { source, span, problem })),
        }
    }

    /// Asks the lists, in the file's order.
    pub fn check(&self, lists: &Lists) -> Result<Vec<Checked>, Error> {
        let check = |expectation: &Expectation| {
            let found = lists.of(expectation.group.as_ref(), &expectation.span);
            let policy = found.map_err(|(problem, span)| {
                Error::Line(Mistake { source: self.source.clone(), span, problem })
            })?;
            Ok(Checked::new(&self.source.name, expectation, policy))
        };
        self.lines.iter().map(check).collect()
    }
}

/// The lists that expectations may be about, each as it is when it is enforced.
pub struct Lists(Vec<(GroupName, Policy)>);

impl Lists {
    /// Compiles what was loaded.
    pub fn new(loaded: &Loaded) -> Self {
        let compile = |list: &LoadedList| {
            let policy = Policy::new(1, Rules::default(), [(&list.allowlist, Mode::Enforce)]);
            (list.group.clone(), policy)
        };
        Self(loaded.lists.iter().map(compile).collect())
    }

    /// The list of a client group, or everyone's. The one place where a group's name becomes a list.
    fn of(&self, group: Option<&Word>, line: &Range<usize>) -> Result<&Policy, Misplaced> {
        let everyone = GroupName::everyone();
        let name = group.map_or(everyone.as_str(), |group| &group.text);
        let found = self.0.iter().find(|(group, _)| group.as_str() == name);
        found.map(|(_, policy)| policy).ok_or_else(|| match group {
            None => (Problem::NeedsGroup, line.clone()),
            Some(Word { text, span }) => (Problem::Group(text.clone()), span.clone()),
        })
    }
}

/// An expectation, and what the list says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    file: String,
    line: usize,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    held: bool,
    expected: Said,
    got: Said,
    /// Why, and what to do where it isn't as expected.
    why: String,
}

/// A verdict, and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Said {
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl Checked {
    fn new(file: &str, expectation: &Expectation, policy: &Policy) -> Self {
        let allowed = Said { verdict: Verdict::Allow, reason: None };
        let denied = |reason| Said { verdict: Verdict::Deny, reason };
        let decision = explain::target(&expectation.target)
            .map(|target| policy.decide(Client::anyone(explain::SOMEONE), target));
        let refusal = |reason: Reason| {
            (denied(Some(reason)), format!("{}: {}", reason.meaning(), reason.remedy()))
        };
        let (got, why) = match decision {
            Ok(Decision::Allow(permit)) => {
                let entry = permit.entry().map_or_else(String::new, |entry| {
                    format!(" `{}` ({})", entry.host, entry.role.name())
                });
                (allowed, format!("the entry{entry} admits it: remove the entry, or expect it"))
            }
            Ok(Decision::Deny(denial)) => refusal(denial.reason),
            Err(reason) => refusal(reason),
        };
        let (held, expected) = match expectation.outcome {
            Expected::Allow => (got == allowed, allowed),
            Expected::Deny(None) => (got.verdict == Verdict::Deny, denied(None)),
            Expected::Deny(reason) => (got == denied(reason), denied(reason)),
        };
        Self {
            file: file.to_owned(),
            line: expectation.line,
            target: expectation.target.clone(),
            group: expectation.group.as_ref().map(|group| group.text.clone()),
            held,
            expected,
            got,
            why,
        }
    }
}

/// What became of all expectations.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    expectations: usize,
    held: usize,
    failed: usize,
    results: Vec<Checked>,
}

impl Report {
    /// Counts.
    pub fn new(results: Vec<Checked>) -> Self {
        let held = results.iter().filter(|checked| checked.held).count();
        let expectations = results.len();
        Self { schema: 1, expectations, held, failed: expectations - held, results }
    }

    /// Whether everything is as expected.
    pub fn all_held(&self) -> bool {
        self.failed == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failed in self.results.iter().filter(|checked| !checked.held) {
            writeln!(f, "{failed}")?;
        }
        let s = if self.expectations == 1 { "" } else { "s" };
        let Self { expectations, held, failed, .. } = self;
        write!(f, "{expectations} expectation{s}: {held} held, {failed} failed")
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, target, expected, got, why, .. } = self;
        write!(f, "{file}:{line}: {}", target.escape_debug())?;
        if let Some(group) = &self.group {
            write!(f, " as {group}")?;
        }
        write!(f, ": expected {expected}, got {got}; {why}")
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verdict, self.reason) {
            (Verdict::Allow, _) => f.write_str("allow"),
            (Verdict::Deny, None) => f.write_str("deny"),
            (Verdict::Deny, Some(reason)) => write!(f, "deny {reason}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place { source: &self.source, span: self.span.clone(), label: "" };
        snippet::write(f, &self.problem.to_string(), &[place], self.problem.help())
    }
}

type Misplaced = (Problem, Range<usize>);

fn lines(text: &str) -> Result<Vec<Expectation>, Misplaced> {
    let (mut expectations, mut start) = (Vec::new(), 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        expectations.extend(expectation(index + 1, &words(line, start))?);
        start += line.len();
    }
    if expectations.is_empty() { Err((Problem::Nothing, 0..0)) } else { Ok(expectations) }
}

/// The words of a line up to its comment. Only spaces and tabs stand between words: what else may look
/// like a space belongs to a target, where it is denied.
fn words(line: &str, start: usize) -> Vec<Word> {
    let (mut words, mut at) = (Vec::new(), start);
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    for text in line.split([' ', '\t']) {
        if text.starts_with('#') {
            break;
        }
        if !text.is_empty() {
            words.push(Word { text: text.to_owned(), span: at..at + text.len() });
        }
        at += text.len() + 1;
    }
    words
}

/// The expectation that a line's words say, if there are any.
fn expectation(line: usize, words: &[Word]) -> Result<Option<Expectation>, Misplaced> {
    let Some((verb, words)) = words.split_first() else {
        return Ok(None);
    };
    let verb_span = verb.span.clone();
    let (verb, mut outcome) = match verb.text.as_str() {
        "allow" => ("allow", Expected::Allow),
        "deny" => ("deny", Expected::Deny(None)),
        other => return Err((Problem::Verb(other.to_owned()), verb_span)),
    };
    let (target, mut words) = words.split_first().ok_or((Problem::NoTarget(verb), verb_span))?;
    if let (Expected::Deny(reason), [code, rest @ ..]) = (&mut outcome, words)
        && code.text != "as"
    {
        *reason = Some(self::reason(code)?);
        words = rest;
    }
    let (group, rest) = match words {
        [keyword] if keyword.text == "as" => return Err((Problem::NoGroup, keyword.span.clone())),
        [keyword, group, rest @ ..] if keyword.text == "as" => (Some(group.clone()), rest),
        rest => (None, rest),
    };
    match rest {
        [] => {
            let (span, target) = (target.span.clone(), target.text.clone());
            Ok(Some(Expectation { line, span, target, outcome, group }))
        }
        [more, ..] => Err((Problem::Trailing(more.text.clone()), more.span.clone())),
    }
}

fn reason(word: &Word) -> Result<Reason, Misplaced> {
    let reason = Reason::ALL.iter().find(|reason| reason.code() == word.text).copied();
    reason.ok_or_else(|| (Problem::Reason(word.text.clone()), word.span.clone()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> (Expected, Option<String>) {
        let Expectations { lines, .. } = Expectations::parse("test", text).expect(text);
        let [Expectation { outcome, group, .. }] = &lines[..] else {
            panic!("not one: {text:?}");
        };
        (*outcome, group.as_ref().map(|group| group.text.clone()))
    }

    fn problem(text: &str) -> (Problem, String) {
        match Expectations::parse("test", text) {
            Err(Error::Line(Mistake { problem, span, .. })) => (problem, text[span].to_owned()),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn each_line_says_one_thing() {
        let storage = Expected::Deny(Some(Reason::StorageForbidden));
        let build = || Some("build".to_owned());
        let rows = [
            ("allow a.example", (Expected::Allow, None)),
            ("\t allow  a.example:443\tas build # why", (Expected::Allow, build())),
            ("deny a.example\r\n", (Expected::Deny(None), None)),
            ("deny a.example as build", (Expected::Deny(None), build())),
            ("# above\n\ndeny a.example storage_forbidden", (storage, None)),
            ("deny a.example storage_forbidden as build", (storage, build())),
        ];
        for (text, expected) in rows {
            assert_eq!(one(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_expectation_has_its_problem_and_its_place() {
        let text = |text: &str| text.to_owned();
        let rows = [
            ("", Problem::Nothing, ""),
            ("# allow a.example", Problem::Nothing, ""),
            ("Allow a.example", Problem::Verb(text("Allow")), "Allow"),
            ("allow # a.example", Problem::NoTarget("allow"), "allow"),
            ("deny a.example evil", Problem::Reason(text("evil")), "evil"),
            (
                "deny a.example NOT_IN_POLICY",
                Problem::Reason(text("NOT_IN_POLICY")),
                "NOT_IN_POLICY",
            ),
            ("allow a.example bad_port", Problem::Trailing(text("bad_port")), "bad_port"),
            ("allow a.example as", Problem::NoGroup, "as"),
            ("deny a.example as b c", Problem::Trailing(text("c")), "c"),
            ("deny a.example as b bad_port", Problem::Trailing(text("bad_port")), "bad_port"),
        ];
        for (line, expected, at) in rows {
            assert_eq!(problem(line), (expected, at.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_line() {
        let error = Expectations::parse("e.txt", "allow a.example\ndeny b.example nonsense\n");
        let shown = error.expect_err("a problem").to_string();
        assert!(shown.contains("e.txt:2:16") && shown.contains("^^^^^^^^"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|(allow|deny|as|#|[ \t\r\n]|é|a.b){0,12}") {
            if let Err(error) = Expectations::parse("test", &text) {
                let _ = error.to_string();
            }
        }
    }
}
