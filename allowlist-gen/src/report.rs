//! Tells people what went wrong or needs a look, and what to do: in the same words wherever this
//! library is used.

use std::fmt;

use ringfence_config::snippet::escape;

use crate::findings::{self, Severity, Step};
use crate::{Error, Finding, metadata};

/// An [`Error`] with its remedies, in lines.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a>(pub &'a Error);

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Metadata(error) => {
                match error {
                    // Points into the text, in lines of its own.
                    metadata::Error::Syntax(_) => writeln!(f, "error: {error}")?,
                    // Names what the text holds, which makes no line of its own.
                    _ => writeln!(f, "error: {}", escape(&error.to_string()))?,
                }
                match error.remedy() {
                    Some(remedy) => writeln!(f, "  help: {}", indent(&remedy, "        ")),
                    None => Ok(()),
                }
            }
            Error::Conflict(conflict) => writeln!(f, "error: {conflict}"),
            Error::Refused(refusals) => {
                for (index, refusal) in refusals.iter().enumerate() {
                    separate(f, index)?;
                    writeln!(f, "refused ({}): {refusal}", refusal.code())?;
                    let steps = refusal.remedy();
                    if let [only] = &steps[..] {
                        writeln!(f, "  help: {}", indent(only, "        "))?;
                        continue;
                    }
                    for (number, step) in (1..).zip(steps) {
                        writeln!(f, "  {number}. {}", indent(&step, "     "))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Findings with their remedies, one block each.
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a>(pub &'a [Finding]);

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            separate(f, index)?;
            let (code, registry) = (finding.code(), finding.registry());
            writeln!(f, "finding ({code}): `{registry}`: {finding}")?;
            writeln!(f, "  help: {}", indent(&finding.remedy(), "        "))?;
        }
        Ok(())
    }
}

/// All that there is to say of some registries: findings with why they matter and how to mend them, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a>(pub &'a findings::Review);

impl fmt::Display for Review<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let review = self.0;
        for finding in &review.findings {
            let rule = finding.rule();
            let text = escape(&finding.to_string());
            writeln!(f, "{} ({}): `{}`: {text}", rule.severity, rule.code, finding.registry())?;
            writeln!(f, "  about: {}", finding.object().name())?;
            writeln!(f, "  why: {}", rule.why)?;
            steps(f, &finding.steps())?;
            writeln!(f, "  see: {}\n", rule.source)?;
        }
        let unknown = review.registries.iter().filter(|registry| !registry.unknown.is_empty());
        for (index, registry) in unknown.enumerate() {
            if index == 0 {
                writeln!(f, "not in the input, and so neither good nor bad:")?;
            }
            writeln!(f, "  `{}`: {}", registry.login_server.label(), registry.unknown.join(", "))?;
        }
        for severity in Severity::ALL {
            write!(f, "{}, ", count(review.count(severity), severity.name()))?;
        }
        if review.ignored > 0 {
            write!(f, "{} ignored, ", review.ignored)?;
        }
        match review.registries.len() {
            1 => writeln!(f, "in 1 registry"),
            several => writeln!(f, "in {several} registries"),
        }
    }
}

fn steps(f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
    for (number, step) in (1..).zip(steps) {
        let text = escape(&step.text);
        let margin = if steps.len() == 1 {
            writeln!(f, "  help: {text}")?;
            "        "
        } else {
            writeln!(f, "  {number}. {text}")?;
            "     "
        };
        for command in &step.commands {
            writeln!(f, "{margin}{}", escape(command))?;
        }
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn separate(f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
    if index > 0 { writeln!(f) } else { Ok(()) }
}

/// Puts the lines after the first under it.
fn indent(text: &str, margin: &str) -> String {
    text.replace('\n', &format!("\n{margin}"))
}
