//! Says what a new list changes, for whoever reads the notices.

use std::collections::BTreeMap;
use std::fmt;

use ringfence_config::{Entry, HostPattern};

use crate::lists;

/// What one list has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Only the new one has it, then only the old one, then both but otherwise; each sorted.
    hosts: Vec<(Change, HostPattern)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Added,
    Removed,
    Altered,
}

impl Difference {
    /// Compares by host.
    pub fn between<'a>(
        old: impl Iterator<Item = &'a Entry>,
        new: impl Iterator<Item = &'a Entry>,
    ) -> Self {
        let by_host = |entry: &'a Entry| (&entry.host, entry);
        let mut old: BTreeMap<&HostPattern, &Entry> = old.map(by_host).collect();
        let mut hosts = Vec::new();
        for entry in new {
            match old.remove(&entry.host) {
                None => hosts.push((Change::Added, entry.host.clone())),
                Some(before) if before != entry => {
                    hosts.push((Change::Altered, entry.host.clone()));
                }
                Some(_) => {}
            }
        }
        hosts.extend(old.into_keys().map(|host| (Change::Removed, host.clone())));
        hosts.sort();
        Self { hosts }
    }
}

impl fmt::Display for Difference {
    /// `the same entries`, or `1 entry added, 0 entries removed, 0 entries altered`, and below it one line a host, as far as that goes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts.is_empty() {
            return f.write_str("the same entries");
        }
        let count = |change| {
            lists::count(self.hosts.iter().filter(|(changed, _)| *changed == change).count())
        };
        let [added, removed, altered] =
            [Change::Added, Change::Removed, Change::Altered].map(count);
        write!(f, "{added} added, {removed} removed, {altered} altered")?;
        for (change, host) in self.hosts.iter().take(MAX_SHOWN) {
            let sign = match change {
                Change::Added => '+',
                Change::Removed => '-',
                Change::Altered => '~',
            };
            write!(f, "\n  {sign} {host}")?;
        }
        if self.hosts.len() > MAX_SHOWN {
            write!(f, "\n  … and {} more", self.hosts.len() - MAX_SHOWN)?;
        }
        Ok(())
    }
}

const MAX_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use ringfence_config::Role;

    use super::*;

    fn entry(host: &str, why: &str) -> Entry {
        Entry { why: Some(why.into()), ..Entry::new(host.parse().expect("a host"), Role::Other) }
    }

    #[test]
    fn each_change_has_its_sign() {
        let old = ["a", "b", "c"].map(|name| entry(&format!("{name}.example.com"), "x"));
        let new =
            [entry("d.example.com", "x"), entry("c.example.com", "y"), entry("a.example.com", "x")];
        let difference = Difference::between(old.iter(), new.iter());
        assert_eq!(
            difference.to_string(),
            "1 entry added, 1 entry removed, 1 entry altered\n  + d.example.com\n  - b.example.com\n  ~ c.example.com"
        );
    }

    #[test]
    fn equal_lists_are_the_same() {
        let list = [entry("a.example.com", "x")];
        let difference = Difference::between(list.iter(), list.iter());
        assert_eq!(difference.to_string(), "the same entries");
    }

    #[test]
    fn a_long_one_is_cut() {
        let new: Vec<Entry> = (0..1000).map(|i| entry(&format!("h{i}.example.com"), "x")).collect();
        let shown = Difference::between([].iter(), new.iter()).to_string();
        assert_eq!(shown.lines().count(), 1 + MAX_SHOWN + 1);
        assert!(shown.ends_with("… and 980 more"), "{shown}");
    }
}
