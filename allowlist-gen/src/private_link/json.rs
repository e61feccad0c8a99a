//! The plan for programs: all of it, and the same for the same input.

use serde_json::{Value, json};

use super::step::Step;
use super::{Keeper, Plan, Record, RegistryPlan, State, ZonePlan};
use crate::export::quote;
use crate::registry::private_link::Coverage;

impl Plan {
    /// The plan as JSON, schema 1: `docs/private-link.md` has its keys.
    pub fn to_json(&self) -> String {
        quote::json(&json!({
            "schema": 1,
            "done": self.is_done(),
            "registries": self.registries.iter().map(registry).collect::<Vec<_>>(),
        }))
    }
}

fn registry(registry: &RegistryPlan) -> Value {
    json!({
        "login_server": registry.login_server.to_string(),
        "name": registry.name,
        "steps": registry.steps.iter().map(|one| step(one, &registry.name)).collect::<Vec<_>>(),
        "zones": registry.zones.iter().map(zone).collect::<Vec<_>>(),
    })
}

fn step(step: &Step, name: &str) -> Value {
    json!({
        "code": step.code(),
        "to_do": step.is_to_do(),
        "text": step.to_string(),
        "private_endpoints": texts(step.endpoints()),
        "hosts": match step {
            Step::Lacks { hosts, .. } => texts(hosts),
            _ => Vec::new(),
        },
        "commands": step.commands(name),
    })
}

fn zone(zone: &ZonePlan) -> Value {
    json!({
        "name": zone.key.name,
        "id": zone.key.id.as_ref().map(ToString::to_string),
        "records_read": match zone.coverage {
            Coverage::Unread => "none",
            Coverage::Some => "some",
            Coverage::All => "all",
        },
        "other_records": zone.others,
        "kept_by": match zone.keeper {
            Keeper::ZoneGroup(_) => "zone-group",
            Keeper::Hand => "hand",
            Keeper::Unknown => "unknown",
        },
        "private_endpoints": texts(&zone.serves),
        "records": zone.records.iter().map(record).collect::<Vec<_>>(),
    })
}

fn record(record: &Record) -> Value {
    let is = record.is.as_ref();
    let should = match &record.state {
        State::Exists => is.map(|is| texts(&is.addresses)),
        state => state.change().map(texts),
    };
    json!({
        "name": record.host.private_record(),
        "host": record.host.to_string(),
        "state": record.state.code(),
        "is": is.map(|is| texts(&is.addresses)),
        "should_be": should,
        "ttl": is.and_then(|is| is.ttl),
        "why": match &record.state {
            State::Unknown(why) => Some(json!({ "code": why.code(), "text": why.to_string() })),
            _ => None,
        },
    })
}

fn texts<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}
