//! Tells what was learned: to people, above a document or a diff, and to programs.

use std::fmt;

use ringfence_config::PresetName;
use serde::Serialize;

use super::{Learned, Proposal, Refused};
use crate::log::{Counts, Evidence, count};

/// What was learned, for people.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a Learned);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let learned = self.0;
        writeln!(f, "read      {}", learned.counts)?;
        writeln!(f, "admitted  {}", connections(learned.admitted, "that the list admits already"))?;
        if learned.forgotten > 0 {
            let what = "forgotten: too many different hosts, so other counts may be too low";
            writeln!(f, "forgotten {}", connections(learned.forgotten, what))?;
        }
        writeln!(f, "\nproposed: {}", learned.proposed.len())?;
        for Proposal { host, port, evidence, presets } in &learned.proposed {
            writeln!(f, "  {host}:{port}: {evidence}{}", of(presets))?;
        }
        writeln!(f, "\nrefused, and what to change instead: {}", learned.refused.len())?;
        for alike in learned.refused.chunk_by(|a, b| a.cause.code() == b.cause.code()) {
            let mut shown = alike.iter().take(MOST_ALIKE).peekable();
            while let Some(Refused { what, cause, evidence, presets }) = shown.next() {
                writeln!(f, "  ({}) {what}: {evidence}{}", cause.code(), of(presets))?;
                let next = shown.peek().map(|next| &next.cause);
                if next.is_none_or(|next| next.why() != cause.why()) {
                    writeln!(f, "    {}", cause.why())?;
                }
                if next.is_none_or(|next| next.instead() != cause.instead()) {
                    writeln!(f, "    help: {}", cause.instead())?;
                }
            }
            if alike.len() > MOST_ALIKE {
                let more = alike.len() - MOST_ALIKE;
                writeln!(f, "  … and {more} more; `--format json` has them all")?;
            }
        }
        Ok(())
    }
}

/// Shown of what is refused for one sort of reason: clients can ask for as many names as they like.
const MOST_ALIKE: usize = 50;

fn connections(number: u64, what: &str) -> String {
    format!("{} {what}", count(number, "connection", "connections"))
}

fn of(presets: &[&PresetName]) -> String {
    let names: Vec<String> = presets.iter().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("; the preset {} has it", names[0]),
        _ => format!("; the presets {} have it", names.join(", ")),
    }
}

/// The same as comments: above a TOML document or a unified diff, whose readers pass them over.
#[derive(Debug, Clone, Copy)]
pub struct Commented<'a>(pub &'a Learned);

impl fmt::Display for Commented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in Text(self.0).to_string().lines() {
            writeln!(f, "{}", format!("# {line}").trim_end())?;
        }
        Ok(())
    }
}

/// The same for programs.
#[derive(Debug, Serialize)]
pub struct Listing<'a> {
    schema: u32,
    counts: Counts,
    admitted: u64,
    forgotten: u64,
    /// What was proposed, as a document.
    document: String,
    proposed: Vec<ProposalListing<'a>>,
    refused: Vec<RefusedListing<'a>>,
}

#[derive(Debug, Serialize)]
struct ProposalListing<'a> {
    host: &'a str,
    port: u16,
    evidence: &'a Evidence,
    presets: &'a [&'static PresetName],
}

#[derive(Debug, Serialize)]
struct RefusedListing<'a> {
    what: &'a str,
    code: &'static str,
    why: String,
    instead: String,
    evidence: &'a Evidence,
    presets: &'a [&'static PresetName],
}

impl<'a> From<&'a Learned> for Listing<'a> {
    fn from(learned: &'a Learned) -> Self {
        let proposal = |proposal: &'a Proposal| ProposalListing {
            host: proposal.host.as_str(),
            port: proposal.port.number(),
            evidence: &proposal.evidence,
            presets: &proposal.presets,
        };
        let refused = |refused: &'a Refused| RefusedListing {
            what: &refused.what,
            code: refused.cause.code(),
            why: refused.cause.why(),
            instead: refused.cause.instead(),
            evidence: &refused.evidence,
            presets: &refused.presets,
        };
        Self {
            schema: 1,
            counts: learned.counts,
            admitted: learned.admitted,
            forgotten: learned.forgotten,
            document: learned.entries.to_toml(),
            proposed: learned.proposed.iter().map(proposal).collect(),
            refused: learned.refused.iter().map(refused).collect(),
        }
    }
}
