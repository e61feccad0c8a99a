//! Decides whether a list is too old: an earlier issue than one that was in force (a rollback), or past its
//! end. Pure: what was in force and what time it is are told. What is remembered, and where, is
//! [`ledger`](crate::lists::ledger)'s decision.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use ringfence_config::issue::{Moment, Serial};
use ringfence_config::{Document, Issue};
use serde::{Deserialize, Serialize};

/// A file, and which issue of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vintage {
    /// The file's path as given.
    pub file: String,
    /// What it says about itself.
    pub issue: Issue,
}

impl Vintage {
    /// The vintage of a file.
    pub fn of(document: &Document) -> Self {
        Self { file: document.name().to_owned(), issue: document.issue() }
    }

    /// That it is past its end, if it is.
    fn expired(&self, now: SystemTime) -> Option<Problem> {
        let not_after = self.issue.not_after.filter(|end| now > end.time())?;
        Some(Problem::Expired { file: self.file.clone(), not_after })
    }

    /// That an issue with a higher number was in force, if one was. A number that is no longer there is lower
    /// than any: otherwise leaving it out would be the way back. The same number again is the same issue.
    fn rolled_back(&self, was: Option<Serial>) -> Option<Problem> {
        let was = was.filter(|was| self.issue.serial < Some(*was))?;
        Some(Problem::Rollback { file: self.file.clone(), was, is: self.issue.serial })
    }
}

/// What is wrong with the age of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A later issue of the file was in force before.
    #[error(
        "`{file}` is an earlier issue than before: {}, after serial {was}; \
         give it a `serial` of at least {was} and sign it again, or find out who put it back",
        Numbered(*is)
    )]
    Rollback {
        /// The file.
        file: String,
        /// The highest serial it has had.
        was: Serial,
        /// The one it has.
        is: Option<Serial>,
    },
    /// The list is past its end.
    #[error(
        "`{file}` is past its `not_after`, {not_after}; \
         have it generated and signed again with a later one"
    )]
    Expired {
        /// The file.
        file: String,
        /// Its end.
        not_after: Moment,
    },
}

/// A serial that may be missing, in words.
struct Numbered(Option<Serial>);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(serial) => write!(f, "serial {serial}"),
            None => f.write_str("without a serial"),
        }
    }
}

/// What happens to a list that is too old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// It doesn't load, and if it is in force, it ends.
    #[default]
    Refuse,
    /// The operator is told.
    Warn,
}

/// What happens to lists of either kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// To an earlier issue than one that was in force.
    pub rollback: Rule,
    /// To one that is past its end.
    pub expired: Rule,
}

impl Rules {
    /// Judges what was read: the first problem that is not tolerated, or else those that are.
    ///
    /// `was` answers the highest serial that a file has had.
    pub fn judge(
        self,
        vintages: &[Vintage],
        was: impl Fn(&str) -> Option<Serial>,
        now: SystemTime,
    ) -> Result<Vec<Problem>, Problem> {
        let mut tolerated = Vec::new();
        for vintage in vintages {
            let rollback = vintage.rolled_back(was(&vintage.file)).map(|p| (self.rollback, p));
            let expired = vintage.expired(now).map(|problem| (self.expired, problem));
            for (rule, problem) in [rollback, expired].into_iter().flatten() {
                match rule {
                    Rule::Refuse => return Err(problem),
                    Rule::Warn => tolerated.push(problem),
                }
            }
        }
        Ok(tolerated)
    }
}

/// The list in force, as far as its age goes: which issues it was made of, and what is known to be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The files.
    pub vintages: Vec<Vintage>,
    /// What the operator has been told.
    pub problems: Vec<Problem>,
}

impl Standing {
    /// Of what was just read.
    pub fn of(documents: &[Document]) -> Self {
        Self { vintages: documents.iter().map(Vintage::of).collect(), problems: Vec::new() }
    }

    /// When the first of the files ends.
    pub fn end(&self) -> Option<Moment> {
        self.vintages.iter().filter_map(|vintage| vintage.issue.not_after).min()
    }

    /// When the next of the files ends, of which it isn't yet said.
    pub fn next_end(&self) -> Option<Moment> {
        let unsaid = |vintage: &&Vintage| {
            let said = |problem: &Problem| matches!(problem, Problem::Expired { file, .. } if *file == vintage.file);
            !self.problems.iter().any(said)
        };
        self.vintages.iter().filter(unsaid).filter_map(|vintage| vintage.issue.not_after).min()
    }

    /// Notes which files have passed their end since it was last asked.
    pub fn pass(&mut self, now: SystemTime) -> Vec<Problem> {
        let mut passed: Vec<Problem> =
            self.vintages.iter().filter_map(|vintage| vintage.expired(now)).collect();
        passed.retain(|problem| !self.problems.contains(problem));
        self.problems.extend(passed.iter().cloned());
        passed
    }
}

impl fmt::Display for Standing {
    /// ` (allowlist.toml: serial 7, not after 2026-12-31T00:00:00Z)`; nothing where nothing is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.vintages.iter().filter(|vintage| !vintage.issue.is_empty());
        let said: Vec<String> =
            said.map(|Vintage { file, issue }| format!("{file}: {issue}")).collect();
        if said.is_empty() { Ok(()) } else { write!(f, " ({})", said.join("; ")) }
    }
}

/// The highest serial of each file that has one, by the file's absolute path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serials(BTreeMap<String, Serial>);

impl Serials {
    /// The highest serial of a file.
    pub fn of(&self, file: &str) -> Option<Serial> {
        self.0.get(file).copied()
    }

    /// Notes that `file` has had `serial`.
    pub fn raise(&mut self, file: String, serial: Serial) {
        let highest = self.0.entry(file).or_insert(serial);
        *highest = serial.max(*highest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn vintage(serial: Option<u64>, not_after: Option<&str>) -> Vintage {
        let serial = serial.map(|number| Serial::try_from(number).expect("a serial"));
        let not_after = not_after.map(|text| text.parse().expect("a moment"));
        Vintage { file: "list.toml".into(), issue: Issue { serial, not_after } }
    }

    fn at(text: &str) -> SystemTime {
        text.parse::<Moment>().expect("a moment").time()
    }

    const END: &str = "2026-12-31T00:00:00Z";

    #[test]
    fn a_serial_grows_or_stays() {
        // What it was, what it is, whether that is a rollback.
        let rows = [
            (None, None, false),
            (None, Some(1), false),
            (Some(7), Some(8), false),
            (Some(7), Some(7), false),
            (Some(7), Some(6), true),
            (Some(7), None, true),
            (Some(0), None, true),
        ];
        for (was, is, rollback) in rows {
            let was = was.map(|number: u64| Serial::try_from(number).expect("a serial"));
            let judge = |rollback| {
                let rules = Rules { rollback, ..Rules::default() };
                rules.judge(&[vintage(is, None)], |_| was, SystemTime::UNIX_EPOCH)
            };
            assert_eq!(judge(Rule::Refuse).is_err(), rollback, "{was:?} {is:?}");
            assert_eq!(judge(Rule::Warn).expect("tolerated").len(), usize::from(rollback));
        }
    }

    #[test]
    fn a_list_counts_up_to_its_end() {
        let (end, later) = (at(END), at(END) + Duration::from_nanos(1));
        for (not_after, now, expired) in [
            (None, later, false),
            (Some(END), SystemTime::UNIX_EPOCH, false),
            (Some(END), end, false),
            (Some(END), later, true),
        ] {
            let judge = |rule| {
                let rules = Rules { expired: rule, ..Rules::default() };
                rules.judge(&[vintage(None, not_after)], |_| None, now)
            };
            assert_eq!(judge(Rule::Refuse).is_err(), expired);
            assert_eq!(judge(Rule::Warn).expect("tolerated").len(), usize::from(expired));
        }
    }

    /// Each file is judged by its own past, and one that isn't tolerated refuses them all.
    #[test]
    fn one_rule_does_not_bend_the_other() {
        let (old, gone) = (vintage(Some(6), None), vintage(Some(7), Some(END)));
        let was = |_: &str| Serial::try_from(7_u64).ok();
        let now = at(END) + Duration::from_secs(1);
        let rules = |rollback, expired| Rules { rollback, expired };
        let judge = |rules: Rules| rules.judge(&[old.clone(), gone.clone()], was, now);
        let texts = |problem: Problem| problem.to_string();
        assert_eq!(
            judge(rules(Rule::Refuse, Rule::Warn)).map_err(texts),
            Err("`list.toml` is an earlier issue than before: serial 6, after serial 7; give it a `serial` of \
                 at least 7 and sign it again, or find out who put it back"
                .to_owned())
        );
        assert_eq!(
            judge(rules(Rule::Warn, Rule::Refuse)).map_err(texts),
            Err("`list.toml` is past its `not_after`, 2026-12-31T00:00:00Z; have it generated and signed \
                 again with a later one"
                .to_owned())
        );
        assert_eq!(judge(rules(Rule::Warn, Rule::Warn)).expect("tolerated").len(), 2);
    }

    #[test]
    fn each_end_is_said_once() {
        let mut other = vintage(None, Some("2027-12-31T00:00:00Z"));
        other.file = "other.toml".into();
        let mut standing = Standing {
            vintages: vec![other, vintage(None, Some(END)), vintage(Some(1), None)],
            problems: Vec::new(),
        };
        assert_eq!(standing.next_end().map(|end| end.to_string()).as_deref(), Some(END));
        assert!(standing.pass(at(END)).is_empty());
        assert_eq!(standing.pass(at(END) + Duration::from_secs(1)).len(), 1);
        assert!(standing.pass(at(END) + Duration::from_secs(2)).is_empty());
        let next = standing.next_end().expect("the other's");
        assert_eq!(next.to_string(), "2027-12-31T00:00:00Z");
        assert_eq!(standing.pass(next.time() + Duration::from_secs(1)).len(), 1);
        assert_eq!((standing.next_end(), standing.problems.len()), (None, 2));
    }

    #[test]
    fn the_highest_serial_stays() {
        let serial = |number: u64| Serial::try_from(number).expect("a serial");
        let mut serials = Serials::default();
        for number in [7, 6, 8, 1] {
            serials.raise("/a".into(), serial(number));
        }
        assert_eq!((serials.of("/a"), serials.of("/b")), (Some(serial(8)), None));
    }
}
