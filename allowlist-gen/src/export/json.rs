//! Every entry with every key, so that a reader never has to know a default.

use std::io::Write;

use ringfence_config::address::Pin;
use ringfence_config::allowlist::{Ports, SCHEMA};
use ringfence_config::issue::{Moment, Serial};
use ringfence_config::registry::{Label, Region};
use ringfence_config::{Allowlist, Entry, Issue};
use serde::Serialize;

use super::Error;

pub(super) fn write(allowlist: &Allowlist, issue: Issue, out: &mut dyn Write) -> Result<(), Error> {
    let document = JsonDocument {
        schema: SCHEMA,
        hash: allowlist.hash(),
        serial: issue.serial,
        not_after: issue.not_after,
        entries: allowlist.entries().iter().map(JsonEntry::from).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

#[derive(Serialize)]
struct JsonDocument<'a> {
    schema: u32,
    /// Of the TOML document's entries, which is what the proxy reports.
    hash: String,
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
        }
    }
}
