//! Shows drift to people.

use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::preset::{PresetName, Presets};
use ringfence_config::snippet::escape;
use ringfence_config::{Entry, Role};

use super::{Change, Difference, Drift, Edit, Tally};

impl fmt::Display for Drift {
    /// A block for each owner, then how many hosts that are. Nothing, if there is no drift.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.groups() {
            writeln!(f, "{}", group.owner)?;
            for change in &group.changes {
                writeln!(f, "  {}", change.title())?;
                for difference in &change.differences {
                    writeln!(f, "    {difference}")?;
                }
            }
        }
        if self.is_empty() { Ok(()) } else { writeln!(f, "{}", self.tally()) }
    }
}

impl Change {
    /// "replica northeurope added (replica-added)".
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.reason, self.reason.code())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, removed, changed } = self;
        write!(f, "hosts: {added} added, {removed} removed, {changed} changed")
    }
}

impl fmt::Display for Difference {
    /// One line, whatever the entry says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(entry) => write!(f, "+ {}", Brief(entry)),
            Self::Removed(entry) => write!(f, "- {}", Brief(entry)),
            Self::Edited(host, edit) => write!(f, "~ {host}: {edit}"),
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(old, new) => write!(f, "{} -> {}", role(old), role(new)),
            Self::Ports(old, new) => write!(f, "{} -> {}", ports(old), ports(new)),
            Self::Addresses(old, new) => write!(f, "{} -> {}", pins(old), pins(new)),
            Self::Why(old, new) => write!(f, "{} -> {}", why(old.as_deref()), why(new.as_deref())),
            Self::Presets(old, new) => write!(f, "{} -> {}", presets(old), presets(new)),
        }
    }
}

/// A host with what isn't usual about its entry.
struct Brief<'a>(&'a Entry);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry) = self;
        write!(f, "{}", entry.host)?;
        let mut rest = Vec::new();
        if entry.ports != Ports::https() {
            rest.push(format!("ports {}", ports(&entry.ports)));
        }
        if !entry.addresses.is_empty() {
            rest.push(pins(&entry.addresses));
        }
        if entry.role.registry().is_none() {
            rest.extend(entry.why.as_deref().map(escape));
        }
        if rest.is_empty() { Ok(()) } else { write!(f, " ({})", rest.join("; ")) }
    }
}

fn role(role: &Role) -> String {
    let region = role.region().map(|region| format!(" {region}"));
    format!("{}{}", role.name(), region.unwrap_or_default())
}

fn ports(ports: &Ports) -> String {
    let numbers: Vec<String> = ports.iter().map(|port| port.to_string()).collect();
    numbers.join(", ")
}

fn pins(pins: &[Pin]) -> String {
    if pins.is_empty() {
        return "no private address".to_owned();
    }
    let words: Vec<String> = pins.iter().map(Pin::to_string).collect();
    words.join(", ")
}

fn presets(presets: &Presets) -> String {
    let names: Vec<&str> = presets.iter().map(PresetName::as_str).collect();
    if names.is_empty() { "no preset".to_owned() } else { names.join(", ") }
}

fn why(why: Option<&str>) -> String {
    why.map_or_else(|| "nothing".to_owned(), |why| format!("`{}`", escape(why)))
}
