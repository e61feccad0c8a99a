//! Every entry with every key, so that a reader never has to know a default.

use ringfence_config::Entry;
use ringfence_config::address::Pin;
use ringfence_config::allowlist::{Ports, SCHEMA};
use ringfence_config::issue::{Moment, Serial};
use ringfence_config::preset::Presets;
use ringfence_config::registry::{Label, Region};
use serde::Serialize;

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.json",
    kind: Kind::Data,
    scope: Scope::Everything,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[],
    apply: "python3 -c 'import json; print(*(entry[\"host\"] for entry in json.load(open(\"allowlist.json\"))[\"entries\"]))'",
    validator: "Python's json module",
    sources: &["https://www.rfc-editor.org/rfc/rfc8259"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    Ok(quote::json(&JsonDocument {
        schema: SCHEMA,
        hash: sheet.hash(),
        serial: sheet.issue.serial,
        not_after: sheet.issue.not_after,
        entries: sheet.allowlist.entries().iter().map(JsonEntry::from).collect(),
    }))
}

#[derive(Serialize)]
struct JsonDocument<'a> {
    schema: u32,
    /// Of the TOML document's entries, which is what the proxy reports.
    hash: &'a str,
    serial: Option<Serial>,
    not_after: Option<Moment>,
    entries: Vec<JsonEntry<'a>>,
}

#[derive(Serialize)]
struct JsonEntry<'a> {
    host: &'a str,
    ports: &'a Ports,
    role: &'static str,
    registry: Option<&'a Label>,
    region: Option<&'a Region>,
    addresses: &'a [Pin],
    why: Option<&'a str>,
    presets: &'a Presets,
}

impl<'a> From<&'a Entry> for JsonEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            host: entry.host.as_str(),
            ports: &entry.ports,
            role: entry.role.name(),
            registry: entry.role.registry(),
            region: entry.role.region(),
            addresses: &entry.addresses,
            why: entry.why.as_deref(),
            presets: &entry.presets,
        }
    }
}
