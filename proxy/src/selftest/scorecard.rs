//! What came of all cases, for people and for programs.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use super::attempt::{Judgement, Verdict};
use super::corpus::{Case, Corpus, Section, Subjects};

/// What came of all cases.
#[derive(Debug, Serialize)]
pub struct Scorecard {
    schema: u32,
    proxy: SocketAddr,
    allowed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<String>,
    /// Whether tunnels were judged from where they end.
    far_end: bool,
    held: usize,
    total: usize,
    sections: Vec<Score>,
    cases: Vec<Line>,
    left_out: Vec<LeftOut>,
}

/// How many cases of a section hold.
#[derive(Debug, Serialize)]
struct Score {
    section: Section,
    held: usize,
    total: usize,
}

/// One case.
#[derive(Debug, Serialize)]
struct Line {
    row: &'static str,
    section: Section,
    title: &'static str,
    verdict: Verdict,
    /// How many ways were tried.
    tried: usize,
    /// The ways that did not hold; of a case of one way, that way.
    ways: Vec<Way>,
}

/// One way, and what was seen of it.
#[derive(Debug, Serialize)]
struct Way {
    #[serde(skip_serializing_if = "String::is_empty")]
    what: String,
    verdict: Verdict,
    seen: String,
}

/// A case that was not run.
#[derive(Debug, Serialize)]
struct LeftOut {
    row: &'static str,
    title: &'static str,
    needs: &'static str,
}

impl Scorecard {
    /// Runs the cases one after another; `attempt` judges a probe.
    pub(super) fn run(
        subjects: &Subjects,
        corpus: Corpus,
        far_end: bool,
        attempt: impl Fn(&super::corpus::Deed) -> Judgement,
    ) -> Self {
        let cases: Vec<Line> =
            corpus.cases.into_iter().map(|case| Line::run(case, &attempt)).collect();
        let score = |section: Section| {
            let cases = cases.iter().filter(|line| line.section == section);
            let (held, total) = count(cases);
            Score { section, held, total }
        };
        let left_out = |(row, title, needs)| LeftOut { row, title, needs };
        let (held, total) = count(cases.iter());
        Self {
            schema: 1,
            proxy: subjects.proxy,
            allowed: subjects.allowed.to_string(),
            also: subjects.also.as_ref().map(ToString::to_string),
            far_end,
            held,
            total,
            sections: Section::ALL.map(score).into(),
            left_out: corpus.left_out.into_iter().map(left_out).collect(),
            cases,
        }
    }

    /// Whether everything holds.
    pub fn all_held(&self) -> bool {
        self.held == self.total
    }
}

fn count<'a>(cases: impl Iterator<Item = &'a Line>) -> (usize, usize) {
    cases.fold((0, 0), |(held, total), line| {
        (held + usize::from(line.verdict == Verdict::Held), total + 1)
    })
}

impl Line {
    fn run(case: Case, attempt: impl Fn(&super::corpus::Deed) -> Judgement) -> Self {
        let tried = case.probes.len();
        let judged = case.probes.into_iter().map(|probe| {
            let Judgement { verdict, seen } = attempt(&probe.deed);
            Way { what: probe.what, verdict, seen }
        });
        let judged: Vec<Way> = judged.collect();
        let verdict = judged.iter().map(|way| way.verdict).max().unwrap_or(Verdict::Unclear);
        let ways = judged.into_iter().filter(|way| tried == 1 || way.verdict != Verdict::Held);
        let Case { row, title, section, .. } = case;
        Self { row, section, title, verdict, tried, ways: ways.collect() }
    }
}

impl fmt::Display for Scorecard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.cases {
            writeln!(f, "{line}")?;
        }
        for LeftOut { row, title, needs } in &self.left_out {
            writeln!(f, "{:<8} {row}  {title}: needs {needs}", "not run")?;
        }
        writeln!(f)?;
        for Score { section, held, total } in &self.sections {
            writeln!(f, "{:<13} {held} of {total} held", section.name())?;
        }
        write!(f, "{:<13} {} of {} held", "all", self.held, self.total)?;
        if !self.far_end {
            write!(
                f,
                "\n\nwithout --far-end, a tunnel that the host ended looks as if the proxy had ended it"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, title, verdict, tried, ways, .. } = self;
        write!(f, "{:<8} {row}  {title}", verdict.name())?;
        if *tried > 1 {
            write!(f, " ({tried})")?;
        }
        for (position, way) in ways.iter().take(MAX_SHOWN).enumerate() {
            f.write_str(if position == 0 { ": " } else { "; " })?;
            if !way.what.is_empty() {
                let cut: String = way.what.chars().take(MAX_CHARS).collect();
                let dots = if cut.len() < way.what.len() { "…" } else { "" };
                write!(f, "`{}{dots}` ", cut.escape_debug())?;
            }
            f.write_str(&way.seen)?;
            if way.verdict != *verdict {
                write!(f, " ({})", way.verdict.name())?;
            }
        }
        if ways.len() > MAX_SHOWN {
            write!(f, "; and {} more", ways.len() - MAX_SHOWN)?;
        }
        Ok(())
    }
}

impl Verdict {
    /// The word on the scorecard.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Unclear => "unclear",
            Self::Lax => "lax",
            Self::Tried => "tried",
            Self::Broken => "broken",
            Self::Leaked => "leaked",
        }
    }
}

/// Ways that a line shows, and characters of each; JSON has them all.
const MAX_SHOWN: usize = 3;
const MAX_CHARS: usize = 60;
