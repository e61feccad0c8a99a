//! Shows drift as annotations of a GitHub workflow, at the lines of the list that it is about.
//!
//! The commands and their escaping:
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>,
//! <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ringfence_config::{Document, HostPattern};

use super::{Change, Drift, Group, Owner, owner};

/// Where the entries of the old list stand.
#[derive(Debug)]
pub struct Places<'a> {
    file: Option<&'a str>,
    hosts: BTreeMap<&'a HostPattern, usize>,
    /// The last line of each owner's, which is where more of theirs would stand.
    owners: BTreeMap<Owner, usize>,
}

impl<'a> Places<'a> {
    /// `file` is the list's path in the repository, if it has one.
    pub fn new(document: &'a Document, file: Option<&'a str>) -> Self {
        let mut places = Self { file, hosts: BTreeMap::new(), owners: BTreeMap::new() };
        for (entry, line) in document.lines() {
            places.hosts.entry(&entry.host).or_insert(line);
            let last = places.owners.entry(owner(entry)).or_insert(line);
            *last = line.max(*last);
        }
        places
    }

    fn line(&self, group: &Group, change: &Change) -> usize {
        let hosts = change.differences.iter();
        let first = hosts.filter_map(|difference| self.hosts.get(difference.host())).min();
        first.or_else(|| self.owners.get(&group.owner)).copied().unwrap_or(1)
    }
}

/// One annotation for each reason: GitHub shows ten of a step, and one reason can have more hosts than that.
pub fn annotations(drift: &Drift, places: &Places<'_>) -> String {
    let mut commands = String::new();
    for group in drift.groups() {
        for change in &group.changes {
            let mut properties = Vec::new();
            if let Some(file) = places.file {
                properties.push(format!("file={}", escape_property(file)));
                properties.push(format!("line={}", places.line(group, change)));
            }
            let title = format!("{}: {}", group.owner, change.title());
            properties.push(format!("title={}", escape_property(&title)));
            let lines: Vec<String> = change.differences.iter().map(ToString::to_string).collect();
            let message = escape_data(&lines.join("\n"));
            writeln!(commands, "::error {}::{message}", properties.join(","))
                .expect("a string takes everything");
        }
    }
    commands
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `escapeData` and `escapeProperty` of the toolkit do.
    #[test]
    fn what_would_end_a_command_or_a_property_is_escaped() {
        assert_eq!(escape_data("100%\r\n::x, y"), "100%25%0D%0A::x, y");
        assert_eq!(escape_property("a:b,c%d\n"), "a%3Ab%2Cc%25d%0A");
        assert_eq!(escape_property("%0A"), "%250A");
    }
}
