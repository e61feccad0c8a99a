//! Reads other people's rules, each under its own reader's semantics, and says what they let through that nobody
//! meant: a storage account, somebody else's registry, a name of a shared domain.
//!
//! ```text
//! file ─▶ Format ─▶ reader ─▶ rules, each a Language ─▶ families ─▶ findings, each with a witness
//! ```
//!
//! What can't be judged is a finding, too: nothing is passed over in silence.

mod aws_network_firewall;
mod azure_firewall;
mod block;
mod cilium;
mod envoy;
pub mod family;
mod finding;
mod format;
pub mod language;
mod list;
mod no_proxy;
mod page;
pub mod rule;
mod smokescreen;
mod squid;
mod terraform;
mod tree;

#[cfg(test)]
mod agreement;

use std::collections::BTreeMap;

use ringfence_config::snippet::Source;
use ringfence_config::{Allowlist, HostPattern, Hostname, Port, guard};

use self::family::{Family, Own};
pub use self::finding::{Finding, Kind, Reached, Report, Severity};
pub use self::format::{Error, Format};
use self::language::Language;
pub use self::page::Page;
use self::rule::{Consumer, Reading, Rule};

/// Judges `files`, which are all in `format` or recognised by themselves.
///
/// With `list`, its registries and accounts are one's own, rules are to be replaced by its hosts, and a host of it
/// that some filter doesn't let through is a finding.
///
/// ```
/// use allowlist_gen::lint;
/// use ringfence_config::snippet::Source;
///
/// let conf = "acl acr dstdomain .azurecr.io\nhttp_access allow acr\nhttp_access deny all\n";
/// let source = Source { name: "squid.conf".into(), text: conf.into() };
/// let report = lint::lint(&[source], None, None)?;
/// let reached = &report.findings[0].reached[0];
/// assert_eq!(reached.witness.as_str(), "exfil.azurecr.io");
/// # Ok::<(), lint::Error>(())
/// ```
pub fn lint(
    files: &[Source],
    format: Option<Format>,
    list: Option<&Allowlist>,
) -> Result<Report, Error> {
    let reading = format::read(files, format)?;
    let own = list.map_or_else(Own::unknown, Own::on);
    let mut findings: Vec<Finding> = reading.doubts.iter().map(Finding::doubt).collect();
    findings.extend(reading.rules.iter().filter_map(|rule| judge(rule, &own, list)));
    if let Some(list) = list {
        findings.extend(missing(&reading, list));
    }
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    findings.dedup();
    Ok(Report { rules: reading.rules.len() + reading.doubts.len(), findings })
}

/// What `rule` lets through that it shouldn't, if anything.
fn judge(rule: &Rule, own: &Own, list: Option<&Allowlist>) -> Option<Finding> {
    let exact = rule.reach.as_exact().map(str::parse::<Hostname>);
    let few = match exact {
        Some(Ok(host)) => Ok(Some(vec![host])),
        // A name that no host has lets nothing through.
        Some(Err(_)) => Ok(Some(Vec::new())),
        None => rule.reach.members(A_FEW),
    };
    let judged = few.and_then(|few| match few {
        Some(hosts) => Ok(few_names(&hosts, own)),
        None => many_names(&rule.reach, own),
    });
    match judged {
        Ok(reached) if reached.is_empty() => None,
        Ok(reached) => Some(Finding::reached(rule, reached, list)),
        Err(error) => Some(Finding::too_much(rule, &error)),
    }
}

/// Names that were written out are meant, and each is judged by itself.
fn few_names(hosts: &[Hostname], own: &Own) -> Vec<Reached> {
    let judge = |host: &Hostname| {
        let kind = match guard::check(&HostPattern::Exact(host.clone())) {
            _ if own.has_account(host) => return None,
            Err(guard::Refusal::StorageHost(_)) if guard::check_account(host).is_ok() => {
                Kind::Account
            }
            Err(guard::Refusal::StorageHost(_)) => Kind::Family(Family::Storage),
            Err(_) => Kind::NoHost,
            Ok(()) if Family::Registry.holds(host) && !own.has_registry_of(host) => Kind::Unlisted,
            Ok(()) => return None,
        };
        Some(Reached { kind, witness: host.clone() })
    };
    // One of each kind says enough.
    let mut reached: Vec<Reached> = hosts.iter().filter_map(judge).collect();
    reached.sort_by_key(|reached| reached.kind);
    reached.dedup_by_key(|reached| reached.kind);
    reached
}

fn many_names(reach: &Language, own: &Own) -> Result<Vec<Reached>, language::Error> {
    let mut reached = Vec::new();
    for family in Family::ALL {
        if let Some(witness) = family.witness(reach, own)? {
            reached.push(Reached { kind: Kind::Family(family), witness });
        }
    }
    Ok(reached)
}

/// The hosts of `list` that a filter doesn't let through: a pull would fail.
fn missing(reading: &Reading, list: &Allowlist) -> Vec<Finding> {
    let mut filters: BTreeMap<Consumer, Vec<&Rule>> = BTreeMap::new();
    for rule in reading.rules.iter().filter(|rule| rule.consumer.is_filter()) {
        filters.entry(rule.consumer).or_default().push(rule);
    }
    // A filter of which some rules can't be judged may let through what seems to be missing.
    let is_in_doubt = |consumer| reading.doubts.iter().any(|doubt| doubt.consumer == consumer);
    let mut findings = Vec::new();
    for (consumer, rules) in filters.iter().filter(|(consumer, _)| !is_in_doubt(**consumer)) {
        let pulls = |rule: &&&Rule| rule.pulls.clone().unwrap_or_else(|| rule.reach.clone());
        let any_port = Language::any(rules.iter().map(|rule| rule.reach.clone()));
        let (exact, wild): (Vec<&&Rule>, Vec<&&Rule>) =
            rules.iter().partition(|rule| rule.pulls.is_none() && rule.reach.as_exact().is_some());
        let exact: std::collections::HashSet<&str> =
            exact.iter().filter_map(|rule| rule.reach.as_exact()).collect();
        let wild = Language::any(wild.iter().map(pulls));
        for entry in list.entries() {
            let HostPattern::Exact(host) = &entry.host else { continue };
            let reach = if entry.ports.contains(Port::HTTPS) { &wild } else { &any_port };
            if !exact.contains(host.as_str()) && reach.holds(host) == Ok(false) {
                findings.push(Finding::missing(*consumer, &rules[0].place.file, host));
            }
        }
    }
    findings
}

/// How many names a rule may have and still be said to write them out.
const A_FEW: usize = 16;
