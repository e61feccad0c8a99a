//! What is worth telling of a rule: a name that it lets through, or that nothing can be said.

use std::fmt;

use ringfence_config::snippet::escape;
use ringfence_config::{Allowlist, HostPattern, Hostname};
use serde_json::{Value, json};

use super::family::Family;
use super::language;
use super::rule::{Consumer, Doubt, DoubtKind, Place, Rule};

/// All that was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many rules were looked at.
    pub rules: usize,
    /// Sorted by file, line and path.
    pub findings: Vec<Finding>,
}

/// One rule that needs a look, or one host that no rule lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// Where it stands.
    pub place: Place,
    /// The rule as it is written; empty for a host that is missing.
    pub rule: String,
    /// Who reads it.
    pub consumer: Consumer,
    /// What the consumer makes of it, or why nothing can be said.
    pub reads: String,
    /// A name of each family that it lets through.
    pub reached: Vec<Reached>,
    /// The clients that let the first of them past their proxy, where clients differ.
    pub clients: Vec<&'static str>,
    /// The hosts of the list that the rule lets through, which can stand in its place; `None` without a list.
    pub instead: Option<Vec<Hostname>>,
}

/// A name that a rule lets through, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What the name is.
    pub kind: Kind,
    /// The name.
    pub witness: Hostname,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Names of a family pass that nobody wrote out.
    Family(Family),
    /// One storage account was written out.
    Account,
    /// A registry was written out that the list doesn't have.
    Unlisted,
    /// No host that anyone asks for has this name: it stands for nothing, or was meant to stand for more.
    NoHost,
    /// Addresses pass that names of other people share.
    Address,
    /// Nothing can be said of it.
    Unjudged,
    /// No rule lets this host of the list through.
    Missing,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Names of strangers pass, or a pull fails.
    Error,
    /// Someone should look at it.
    Warning,
}

impl Severity {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Kind {
    /// Every kind, the worst first.
    pub const ALL: [Self; 10] = [
        Self::Family(Family::Storage),
        Self::Family(Family::Registry),
        Self::Family(Family::Shared),
        Self::Family(Family::Anyone),
        Self::Missing,
        Self::Account,
        Self::Unlisted,
        Self::NoHost,
        Self::Address,
        Self::Unjudged,
    ];

    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Family(family) => family.name(),
            Self::Account => "account",
            Self::Unlisted => "unlisted",
            Self::NoHost => "no-host",
            Self::Address => "address",
            Self::Unjudged => "unjudged",
            Self::Missing => "missing",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Family(_) | Self::Missing => Severity::Error,
            Self::Account | Self::Unlisted | Self::NoHost | Self::Address | Self::Unjudged => {
                Severity::Warning
            }
        }
    }

    /// What it tells of.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Family(family) => family.describe(),
            Self::Account => "a storage account: somebody's, and so a way out",
            Self::Unlisted => "a registry that isn't on the list",
            Self::NoHost => "a name that no host of a registry or of one owner has",
            Self::Address => "addresses that names of other people share",
            Self::Unjudged => "names that can't be known",
            Self::Missing => "a host of the list that no rule lets through",
        }
    }
}

impl Finding {
    pub(super) fn doubt(doubt: &Doubt) -> Self {
        let kind = match doubt.kind {
            DoubtKind::Unjudged => Kind::Unjudged,
            DoubtKind::Address => Kind::Address,
        };
        Self {
            kind,
            place: doubt.place.clone(),
            rule: doubt.text.clone(),
            consumer: doubt.consumer,
            reads: doubt.why.clone(),
            reached: Vec::new(),
            clients: Vec::new(),
            instead: None,
        }
    }

    /// `reached` holds one at least.
    pub(super) fn reached(rule: &Rule, reached: Vec<Reached>, list: Option<&Allowlist>) -> Self {
        let witness = &reached[0].witness;
        let clients = rule.clients.iter().filter(|(_, names)| names.holds(witness) == Ok(true));
        let clients = clients.map(|(name, _)| *name).collect();
        Self {
            kind: reached[0].kind,
            place: rule.place.clone(),
            rule: rule.text.clone(),
            consumer: rule.consumer,
            reads: rule.reads.to_owned(),
            clients,
            instead: list.map(|list| instead(rule, list)),
            reached,
        }
    }

    pub(super) fn too_much(rule: &Rule, error: &language::Error) -> Self {
        Self {
            kind: Kind::Unjudged,
            place: rule.place.clone(),
            rule: rule.text.clone(),
            consumer: rule.consumer,
            reads: error.to_string(),
            reached: Vec::new(),
            clients: Vec::new(),
            instead: None,
        }
    }

    pub(super) fn missing(consumer: Consumer, file: &str, host: &Hostname) -> Self {
        Self {
            kind: Kind::Missing,
            place: Place { file: file.to_owned(), line: None, path: None },
            rule: String::new(),
            consumer,
            reads: "none of its rules lets this host through, so pulls fail".to_owned(),
            reached: vec![Reached { kind: Kind::Missing, witness: host.clone() }],
            clients: Vec::new(),
            instead: None,
        }
    }

    /// A stable name for this kind of finding.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    pub(super) fn order(&self) -> (&Place, Severity, Kind, &str, Option<&Hostname>) {
        let witness = self.reached.first().map(|reached| &reached.witness);
        (&self.place, self.kind.severity(), self.kind, &self.rule, witness)
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let hosts =
            |hosts: &[Hostname]| hosts.iter().map(Hostname::as_str).collect::<Vec<_>>().join("\n");
        match (self.kind, self.instead.as_deref()) {
            (Kind::Missing, _) => "add the host".to_owned(),
            (Kind::Unjudged, _) => "look at what it stands for, or write the exact hosts here".to_owned(),
            (Kind::Address, _) => {
                "let hosts through by their names, or reach the registry at its private addresses".to_owned()
            }
            (Kind::Account, _) => {
                "take it out unless it is your own; on a list it is a `storage_account` with a `why`".to_owned()
            }
            (Kind::Unlisted, _) => "take it out, or have the list generated with this registry".to_owned(),
            (Kind::NoHost, _) => "take it out, or write the exact hosts that were meant".to_owned(),
            (Kind::Family(_), Some([])) => {
                "take the rule out: it lets no host of the list through".to_owned()
            }
            (Kind::Family(_), Some(exact)) => {
                format!("write these hosts of the list in its place\n{}", hosts(exact))
            }
            (Kind::Family(_), None) => "write exact hosts in its place; derive them with `allowlist-gen generate`, \
                 and give the list with `--list`"
                .to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        let reached: Vec<Value> = self
            .reached
            .iter()
            .map(|reached| json!({ "code": reached.kind.code(), "host": reached.witness.as_str() }))
            .collect();
        let instead = self.instead.as_ref();
        json!({
            "code": self.code(),
            "severity": self.kind.severity().name(),
            "file": self.place.file,
            "line": self.place.line,
            "path": self.place.path,
            "consumer": self.consumer.name(),
            "rule": self.rule,
            "reads": self.reads,
            "reached": reached,
            "clients": self.clients,
            "instead": instead.map(|hosts| hosts.iter().map(Hostname::as_str).collect::<Vec<_>>()),
            "help": self.remedy(),
        })
    }
}

fn instead(rule: &Rule, list: &Allowlist) -> Vec<Hostname> {
    let hosts = list.entries().iter().filter_map(|entry| match &entry.host {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Wildcard(_) => None,
    });
    hosts.filter(|host| rule.reach.holds(host) == Ok(true)).cloned().collect()
}

impl Report {
    /// All of it, with `"schema": 1`.
    pub fn to_json(&self) -> String {
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        let report = json!({ "schema": 1, "rules": self.rules, "findings": findings });
        let mut text =
            serde_json::to_string_pretty(&report).expect("strings, numbers and lists are JSON");
        text.push('\n');
        text
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.kind.severity() == severity).count()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (severity, code) = (self.kind.severity().name(), self.code());
        write!(f, "{severity} ({code}): {}: ", self.place)?;
        let rule = escape(&shorten(&self.rule));
        match (&self.kind, self.reached.first()) {
            (Kind::Missing, Some(first)) => {
                writeln!(f, "`{}` is {}", first.witness, Kind::Missing.describe())?;
            }
            (_, Some(first)) => {
                let verb =
                    if self.consumer.is_filter() { "lets through" } else { "takes past the proxy" };
                writeln!(f, "`{rule}` {verb} `{}`, {}", first.witness, first.kind.describe())?;
            }
            (kind, None) => writeln!(f, "`{rule}` stands for {}", kind.describe())?,
        }
        for other in self.reached.iter().skip(1) {
            writeln!(f, "  also: `{}`, {}", other.witness, other.kind.describe())?;
        }
        if !self.clients.is_empty() {
            writeln!(f, "  with: {}", self.clients.join(", "))?;
        }
        writeln!(f, "  {}: {}", self.consumer.name(), escape(&self.reads))?;
        writeln!(f, "  help: {}", self.remedy().replace('\n', "\n        "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let count = |count: usize, what: &str| {
            format!("{count} {what}{}", if count == 1 { "" } else { "s" })
        };
        writeln!(
            f,
            "{}: {}, {}",
            count(self.rules, "rule"),
            count(self.count(Severity::Error), "error"),
            count(self.count(Severity::Warning), "warning"),
        )
    }
}

/// A rule that is longer than a line is cut; the JSON has all of it.
fn shorten(text: &str) -> String {
    if text.chars().count() <= MOST_SHOWN {
        return text.to_owned();
    }
    text.chars().take(MOST_SHOWN).chain(['…']).collect()
}

const MOST_SHOWN: usize = 160;
