//! Shows drift to programs: all of it, so that whoever has the old list can make the new one.

use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::issue::{Moment, Serial};
use ringfence_config::preset::Presets;
use ringfence_config::registry::{Label, Region};
use ringfence_config::{Allowlist, Entry, HostPattern, Issue, Role};
use serde::Serialize;

use super::answer::Unsettled;
use super::{Change, Difference, Drift, Edit, Group, Owner};
use crate::Finding;

/// The version of this format.
pub const SCHEMA: u32 = 1;

/// One of the two lists.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Where it comes from.
    pub names: &'a [String],
    /// What it holds.
    pub list: &'a Allowlist,
    /// Which issue it is.
    pub issue: Issue,
}

/// The drift from `old` to `new`, with whatever could not be compared, in lines of JSON.
pub fn render(
    drift: &Drift,
    old: Side<'_>,
    new: Side<'_>,
    unsettled: &[Unsettled],
    findings: &[Finding],
) -> String {
    let tally = drift.tally();
    let document = JsonDrift {
        schema: SCHEMA,
        drift: !drift.is_empty(),
        old: old.into(),
        new: new.into(),
        hosts: JsonTally { added: tally.added, removed: tally.removed, changed: tally.changed },
        groups: drift.groups().iter().map(JsonGroup::from).collect(),
        not_compared: unsettled.iter().map(JsonUnsettled::from).collect(),
        findings: findings.iter().map(JsonFinding::from).collect(),
    };
    serde_json::to_string_pretty(&document).expect("strings, numbers and lists of them are JSON")
        + "\n"
}

#[derive(Serialize)]
struct JsonDrift<'a> {
    schema: u32,
    drift: bool,
    old: JsonSide<'a>,
    new: JsonSide<'a>,
    hosts: JsonTally,
    groups: Vec<JsonGroup<'a>>,
    not_compared: Vec<JsonUnsettled<'a>>,
    findings: Vec<JsonFinding<'a>>,
}

#[derive(Serialize)]
struct JsonSide<'a> {
    names: &'a [String],
    hash: String,
    serial: Option<Serial>,
    not_after: Option<Moment>,
}

impl<'a> From<Side<'a>> for JsonSide<'a> {
    fn from(side: Side<'a>) -> Self {
        let Issue { serial, not_after } = side.issue;
        Self { names: side.names, hash: side.list.hash(), serial, not_after }
    }
}

#[derive(Serialize)]
struct JsonTally {
    added: usize,
    removed: usize,
    changed: usize,
}

#[derive(Serialize)]
struct JsonGroup<'a> {
    /// The login server; null for what is written by hand.
    registry: Option<String>,
    changes: Vec<JsonChange<'a>>,
}

impl<'a> From<&'a Group> for JsonGroup<'a> {
    fn from(group: &'a Group) -> Self {
        let registry = match &group.owner {
            Owner::Registry(server) => Some(server.to_string()),
            Owner::HandWritten => None,
        };
        Self { registry, changes: group.changes.iter().map(JsonChange::from).collect() }
    }
}

#[derive(Serialize)]
struct JsonChange<'a> {
    reason: &'static str,
    region: Option<&'a Region>,
    text: String,
    differences: Vec<JsonDifference<'a>>,
}

impl<'a> From<&'a Change> for JsonChange<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            reason: change.reason.code(),
            region: change.reason.region(),
            text: change.reason.to_string(),
            differences: change.differences.iter().map(JsonDifference::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "difference", rename_all = "lowercase")]
enum JsonDifference<'a> {
    Added {
        host: &'a HostPattern,
        entry: JsonEntry<'a>,
    },
    Removed {
        host: &'a HostPattern,
        entry: JsonEntry<'a>,
    },
    Changed {
        host: &'a HostPattern,
        #[serde(flatten)]
        edit: JsonEdit<'a>,
    },
}

impl<'a> From<&'a Difference> for JsonDifference<'a> {
    fn from(difference: &'a Difference) -> Self {
        match difference {
            Difference::Added(entry) => Self::Added { host: &entry.host, entry: entry.into() },
            Difference::Removed(entry) => Self::Removed { host: &entry.host, entry: entry.into() },
            Difference::Edited(host, edit) => Self::Changed { host, edit: edit.into() },
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "key", rename_all = "lowercase")]
enum JsonEdit<'a> {
    Role { old: JsonRole<'a>, new: JsonRole<'a> },
    Ports { old: &'a Ports, new: &'a Ports },
    Addresses { old: &'a [Pin], new: &'a [Pin] },
    Why { old: Option<&'a str>, new: Option<&'a str> },
    Presets { old: &'a Presets, new: &'a Presets },
}

impl<'a> From<&'a Edit> for JsonEdit<'a> {
    fn from(edit: &'a Edit) -> Self {
        match edit {
            Edit::Role(old, new) => Self::Role { old: old.into(), new: new.into() },
            Edit::Ports(old, new) => Self::Ports { old, new },
            Edit::Addresses(old, new) => Self::Addresses { old, new },
            Edit::Why(old, new) => Self::Why { old: old.as_deref(), new: new.as_deref() },
            Edit::Presets(old, new) => Self::Presets { old, new },
        }
    }
}

#[derive(Serialize)]
struct JsonRole<'a> {
    role: &'static str,
    registry: Option<&'a Label>,
    region: Option<&'a Region>,
}

impl<'a> From<&'a Role> for JsonRole<'a> {
    fn from(role: &'a Role) -> Self {
        Self { role: role.name(), registry: role.registry(), region: role.region() }
    }
}

#[derive(Serialize)]
struct JsonEntry<'a> {
    #[serde(flatten)]
    role: JsonRole<'a>,
    ports: &'a Ports,
    addresses: &'a [Pin],
    why: Option<&'a str>,
    presets: &'a Presets,
}

impl<'a> From<&'a Entry> for JsonEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            role: (&entry.role).into(),
            ports: &entry.ports,
            addresses: &entry.addresses,
            why: entry.why.as_deref(),
            presets: &entry.presets,
        }
    }
}

#[derive(Serialize)]
struct JsonUnsettled<'a> {
    registry: String,
    code: &'static str,
    text: String,
    hosts: &'a [HostPattern],
    findings: &'a [&'static str],
}

impl<'a> From<&'a Unsettled> for JsonUnsettled<'a> {
    fn from(unsettled: &'a Unsettled) -> Self {
        Self {
            registry: unsettled.registry().to_string(),
            code: unsettled.code(),
            text: unsettled.to_string(),
            hosts: unsettled.hosts(),
            findings: unsettled.grounds(),
        }
    }
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    registry: &'a Label,
    code: &'static str,
    text: String,
}

impl<'a> From<&'a Finding> for JsonFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self { registry: finding.registry(), code: finding.code(), text: finding.to_string() }
    }
}
