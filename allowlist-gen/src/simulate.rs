//! Decides what another list would have said to the connections of a log, as if it had been enforced.

use std::fmt;

use ringfence_config::{Allowlist, Hostname, Port};
use serde::Serialize;

use crate::judge::{Denial, Judge};
use crate::log::{Admission, Counts, Evidence, Line, Tally, Verdict, count};

/// Takes in a log, line by line, in bounded memory: what stays as it was is only counted.
#[derive(Debug, Clone)]
pub struct Simulation {
    judge: Judge,
    allowed: u64,
    denied: u64,
    changes: Tally<(Hostname, Port, Change)>,
    changed: [u64; 3],
}

/// How a connection would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was admitted, and would be denied.
    NewlyDenied(Admission, Denial),
    /// It was denied, or would have been had audit mode not carried it, and would be admitted.
    NewlyAllowed(Denial, Admission),
    /// It would be admitted as something else.
    AnotherRole(Admission, Admission),
}

impl Change {
    fn index(&self) -> usize {
        match self {
            Self::NewlyDenied(..) => 0,
            Self::NewlyAllowed(..) => 1,
            Self::AnotherRole(..) => 2,
        }
    }

    /// A stable name for it.
    pub fn code(&self) -> &'static str {
        ["newly-denied", "newly-allowed", "another-role"][self.index()]
    }

    fn sides(&self) -> (String, String) {
        match self {
            Self::NewlyDenied(from, to) => (from.to_string(), to.code().to_owned()),
            Self::NewlyAllowed(from, to) => (from.code().to_owned(), to.to_string()),
            Self::AnotherRole(from, to) => (from.to_string(), to.to_string()),
        }
    }
}

/// What changes, and what doesn't.
#[derive(Debug, Clone)]
pub struct Simulated {
    counts: Counts,
    allowed: u64,
    denied: u64,
    changed: [u64; 3],
    changes: Tally<(Hostname, Port, Change)>,
}

impl Simulation {
    /// Under `list`, whatever its end.
    pub fn new(list: &Allowlist) -> Self {
        let judge = Judge::new(list);
        Self { judge, allowed: 0, denied: 0, changes: Tally::new(MOST), changed: [0; 3] }
    }

    /// Takes in what a line says.
    pub fn take(&mut self, line: Line) {
        let Line::Asked(asked) = line else { return };
        let now =
            self.judge.decide(&asked.host, asked.port).map(|entry| Admission::from(&entry.role));
        let change = match (asked.verdict, now) {
            (Verdict::Admitted(from), Err(to)) => Change::NewlyDenied(from, to),
            (Verdict::Denied(from) | Verdict::WouldDeny(from), Ok(to)) => {
                Change::NewlyAllowed(from, to)
            }
            (Verdict::Admitted(from), Ok(to)) if from != to => Change::AnotherRole(from, to),
            (Verdict::Admitted(_), Ok(_)) => {
                self.allowed += 1;
                return;
            }
            (Verdict::Denied(_) | Verdict::WouldDeny(_), Err(_)) => {
                self.denied += 1;
                return;
            }
        };
        self.changed[change.index()] += 1;
        self.changes.add((asked.host, asked.port, change), &asked.occasion);
    }

    /// What all lines together say.
    pub fn simulated(self, counts: Counts) -> Simulated {
        let Self { allowed, denied, changed, changes, .. } = self;
        Simulated { counts, allowed, denied, changed, changes }
    }
}

impl Simulated {
    /// Whether any connection would be decided otherwise.
    pub fn is_change(&self) -> bool {
        self.changed.iter().any(|number| *number > 0)
    }
}

impl fmt::Display for Simulated {
    /// A line for each host that changes, as a diff has it, and the sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((host, port, change), evidence) in self.changes.iter() {
            let sign = ['-', '+', '~'][change.index()];
            let (from, to) = change.sides();
            writeln!(f, "{sign} {host}:{port}: {from} -> {to}: {evidence}")?;
        }
        if self.is_change() {
            writeln!(f)?;
        }
        if self.changes.forgotten() > 0 {
            let forgotten = count(self.changes.forgotten(), "connection", "connections");
            writeln!(
                f,
                "not shown      {forgotten}: too many different hosts; the sums count them"
            )?;
        }
        let [denied, allowed, role] = self.changed;
        writeln!(f, "read           {}", self.counts)?;
        writeln!(f, "newly denied   {denied}")?;
        writeln!(f, "newly allowed  {allowed}")?;
        writeln!(f, "another role   {role}")?;
        writeln!(f, "unchanged      {} allowed, {} denied", self.allowed, self.denied)
    }
}

impl Serialize for Simulated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [newly_denied, newly_allowed, another_role] = self.changed;
        let change = |((host, port, change), evidence): (&'_ (Hostname, Port, Change), _)| {
            let (from, to) = change.sides();
            WireChange {
                host: host.to_string(),
                port: port.number(),
                code: change.code(),
                from,
                to,
                evidence,
            }
        };
        Wire {
            schema: 1,
            counts: self.counts,
            newly_denied,
            newly_allowed,
            another_role,
            unchanged_allowed: self.allowed,
            unchanged_denied: self.denied,
            forgotten: self.changes.forgotten(),
            changes: self.changes.iter().map(change).collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    schema: u32,
    counts: Counts,
    newly_denied: u64,
    newly_allowed: u64,
    another_role: u64,
    unchanged_allowed: u64,
    unchanged_denied: u64,
    /// Changed connections whose hosts are not among the changes.
    forgotten: u64,
    changes: Vec<WireChange<'a>>,
}

#[derive(Serialize)]
struct WireChange<'a> {
    host: String,
    port: u16,
    code: &'static str,
    from: String,
    to: String,
    evidence: &'a Evidence,
}

/// Different changes that are kept.
const MOST: usize = 20_000;
