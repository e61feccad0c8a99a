//! The plan for people: in the order in which things are done, each with its command.

use std::fmt;
use std::net::IpAddr;

use super::step::Called;
use super::{Keeper, Plan, Record, RegistryPlan, State, ZonePlan, changes, enumerate, names};
use crate::export::azure::private_dns;
use crate::export::azure::private_records::Place;
use crate::export::quote::shell;
use crate::registry::private_link::Coverage;

/// A plan in lines.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub &'a Plan);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, registry) in self.0.registries.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write_registry(f, self.0, registry)?;
        }
        Ok(())
    }
}

fn write_registry(f: &mut fmt::Formatter<'_>, plan: &Plan, registry: &RegistryPlan) -> fmt::Result {
    writeln!(f, "{}: {}", registry.login_server, summary(registry))?;
    for (number, step) in (1..).zip(&registry.steps) {
        let indent = " ".repeat(5);
        writeln!(f, "{}", filled(&format!("  {number}. "), &indent, &step.to_string()))?;
        for command in step.commands(&registry.name) {
            writeln!(f, "     {command}")?;
        }
    }
    for zone in &registry.zones {
        writeln!(f, "\n{}", filled("  ", "  ", &about(zone)))?;
        let place = changes::place(&zone.key, plan);
        for command in commands_of_zone(zone, &place) {
            writeln!(f, "      {command}")?;
        }
        let width = zone.records.iter().map(|r| r.host.private_record().len()).max().unwrap_or(0);
        let mut records: Vec<&Record> = zone.records.iter().collect();
        records.sort_by_key(|record| order(&record.state));
        for record in records {
            let name = record.host.private_record();
            let word = word(&record.state);
            writeln!(f, "    {word:<9} {name:<width$}  {}", says(record))?;
            if let Some(command) = command(record, zone, &place) {
                writeln!(f, "      {command}")?;
            }
        }
    }
    Ok(())
}

/// How many records are in which state, in a line.
fn summary(registry: &RegistryPlan) -> String {
    let records = || registry.zones.iter().flat_map(|zone| &zone.records);
    let mut parts = Vec::new();
    let steps = registry.steps.iter().filter(|step| step.is_to_do()).count();
    if steps > 0 {
        parts.push(format!("{steps} {} to take", if steps == 1 { "step" } else { "steps" }));
    }
    for (code, what) in [
        ("missing", "to add"),
        ("should-exist", "that should exist"),
        ("differs", "to correct"),
        ("unknown", "not known yet"),
        ("surplus", "of no host"),
        ("exists", "right"),
    ] {
        match records().filter(|record| record.state.code() == code).count() {
            0 => {}
            1 => parts.push(format!("1 record {what}")),
            count => parts.push(format!("{count} records {what}")),
        }
    }
    if parts.is_empty() {
        return "no private endpoint is in the input, so there is nothing to plan".to_owned();
    }
    parts.join(", ")
}

/// What there is to know of a zone before its records.
fn about(zone: &ZonePlan) -> String {
    let serves = match names(&zone.serves) {
        none if none.is_empty() => none,
        names => format!(", for {names}"),
    };
    let keeper = match &zone.keeper {
        Keeper::ZoneGroup(by) => format!(
            "the DNS zone group of {} writes its records. What isn't right the group should write, when it is made \
             again; by hand, as below, is the other way, but then two write the same records.",
            names(by)
        ),
        Keeper::Hand => "its records are kept by hand: no private endpoint has a DNS zone group for it. A group would \
                         write them by itself; have one or the other."
            .to_owned(),
        Keeper::Unknown => "if a private endpoint has a DNS zone group for it, the group writes the records by itself; \
                            otherwise they are written by hand, as below."
            .to_owned(),
    };
    let coverage = match zone.coverage {
        Coverage::All => "",
        Coverage::Some => {
            " The input has single records of it, so others may exist. This shows all, and the plan wants them:"
        }
        Coverage::Unread => {
            " The input has no records of it, so nothing is known of what exists; all of these should. This shows what \
             does, and the plan wants it, too:"
        }
    };
    format!("zone {}{serves}: {keeper}{coverage}", Called(&zone.key))
}

/// What shows more of a zone: what it has, where the input doesn't tell, and the groups that should have written it.
fn commands_of_zone(zone: &ZonePlan, place: &Place) -> Vec<String> {
    let mut commands = Vec::new();
    let to_write = zone.records.iter().any(|record| record.state.change().is_some());
    if let Keeper::ZoneGroup(by) = &zone.keeper
        && to_write
    {
        commands.extend(by.iter().filter_map(changes::place_of).map(|(place, name)| {
            format!(
                "az network private-endpoint dns-zone-group list {} --endpoint-name {}",
                private_dns::place(&place),
                shell(&name)
            )
        }));
    }
    if zone.coverage != Coverage::All {
        commands.push(format!(
            "az network private-dns record-set a list {} --zone-name {}",
            private_dns::place(place),
            zone.key.name
        ));
    }
    commands
}

fn order(state: &State) -> u8 {
    match state {
        State::Missing(_) => 0,
        State::Unseen(_) => 1,
        State::Differs { .. } => 2,
        State::Unknown(_) => 3,
        State::Surplus => 4,
        State::Exists => 5,
    }
}

fn word(state: &State) -> &'static str {
    match state {
        State::Missing(_) => "add",
        State::Unseen(_) => "should be",
        State::Differs { .. } => "correct",
        State::Unknown(_) => "unknown",
        State::Surplus => "surplus",
        State::Exists => "right",
    }
}

fn says(record: &Record) -> String {
    let is = record.is.as_ref().map(|set| list(&set.addresses));
    match (&record.state, is) {
        (State::Missing(should) | State::Unseen(should), _) => list(should),
        (State::Differs { should }, is) => {
            format!("{}, and should be {}", is.unwrap_or_default(), list(should))
        }
        (State::Unknown(why), None) => why.to_string(),
        (State::Unknown(why), Some(is)) => format!("{is}, which may be wrong: {why}"),
        (State::Surplus, is) => format!(
            "{}, but the registry doesn't have this host now; if its region is gone for good:",
            is.unwrap_or_default()
        ),
        (State::Exists, is) => is.unwrap_or_default(),
    }
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let text = enumerate(addresses);
    if text.is_empty() { "no address".to_owned() } else { text }
}

/// The command for one record.
/// <https://learn.microsoft.com/cli/azure/network/private-dns/record-set/a>
fn command(record: &Record, zone: &ZonePlan, place: &Place) -> Option<String> {
    let name = record.host.private_record();
    let of_set = |verb: &str, option: &str| {
        format!(
            "az network private-dns record-set a {verb} {} --zone-name {} --{option} {name}",
            private_dns::place(place),
            zone.key.name
        )
    };
    match &record.state {
        State::Missing(should) => {
            // There is one: a member of an endpoint has one address.
            let address = should.iter().next()?;
            Some(format!("{} --ipv4-address {address}", of_set("add-record", "record-set-name")))
        }
        State::Differs { should } => {
            let records: Vec<String> =
                should.iter().map(|address| format!("{{\"ipv4Address\":\"{address}\"}}")).collect();
            Some(format!("{} --set 'aRecords=[{}]'", of_set("update", "name"), records.join(",")))
        }
        State::Surplus => Some(of_set("delete", "name")),
        // If it exists with another address, it would get this one beside it.
        State::Unseen(_) | State::Exists | State::Unknown(_) => None,
    }
}

/// `text` for a terminal, behind `first`; its further lines behind `next`.
fn filled(first: &str, next: &str, text: &str) -> String {
    let options = textwrap::Options::new(110)
        .initial_indent(first)
        .subsequent_indent(next)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}
