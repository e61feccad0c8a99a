//! A certificate for a list: that none of its entries reaches storage, somebody else's registry or a shared domain.
//!
//! A list that loads has been proved once, label by label, by [`guard`]. This is a second proof that shares nothing
//! with the first but the tables: the [languages](crate::lint::language) of the entries and of the families, whose
//! common names are looked for by walking automata.

use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, Role, guard};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::lint::family::{Family, Own};
use crate::lint::language::{Error, Language};

/// What was proved of one list.
#[derive(Debug, Clone)]
pub struct Certificate {
    list: String,
    entries: usize,
    wildcards: Vec<Proof>,
    refused: Vec<(String, String)>,
    accounts: Vec<Hostname>,
}

/// Of one wildcard, what holds with each family.
#[derive(Debug, Clone)]
struct Proof {
    pattern: String,
    verdicts: Vec<(Family, Verdict)>,
}

#[derive(Debug, Clone)]
enum Verdict {
    /// No name of the family fits.
    Disjoint,
    /// All that fit belong to whoever has this one.
    OneOwner(Hostname),
    /// A stranger's name fits.
    Reached(Hostname),
    /// The proof took too long.
    Unknown(Error),
}

impl Verdict {
    fn is_proof(&self) -> bool {
        matches!(self, Self::Disjoint | Self::OneOwner(_))
    }
}

/// Proves `list` anew.
pub fn prove(list: &Allowlist) -> Certificate {
    let entries = list.entries();
    let is_account = |entry: &&Entry| entry.role == Role::StorageAccount;
    let accounts = entries.iter().filter(is_account).filter_map(|entry| match &entry.host {
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Wildcard(_) => None,
    });
    let (exact, wild): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| matches!(entry.host, HostPattern::Exact(_)));
    let refused = exact.into_iter().filter(|entry| !is_account(entry)).filter_map(|entry| {
        let refusal = guard::check(&entry.host).err()?;
        Some((entry.host.to_string(), refusal.to_string()))
    });
    let wildcards = wild.into_iter().map(|entry| Proof {
        pattern: entry.host.to_string(),
        verdicts: Family::ALL.map(|family| (family, verdict(&entry.host, family))).to_vec(),
    });
    Certificate {
        list: list.hash(),
        entries: entries.len(),
        wildcards: wildcards.collect(),
        refused: refused.collect(),
        accounts: accounts.collect(),
    }
}

fn verdict(pattern: &HostPattern, family: Family) -> Verdict {
    // As firewalls read it that take a star for one label or more.
    let names = Language::glob(pattern.as_str(), r"[a-z0-9-]+(?:\.[a-z0-9-]+)*");
    let own = Own::unknown();
    let common = Language::all([names.clone(), family.language().clone()]);
    match (family.witness(&names, &own), common.shortest()) {
        (Err(error), _) | (_, Err(error)) => Verdict::Unknown(error),
        (Ok(Some(stranger)), _) => Verdict::Reached(stranger),
        (Ok(None), Ok(Some(one))) => Verdict::OneOwner(one),
        (Ok(None), Ok(None)) => Verdict::Disjoint,
    }
}

impl Certificate {
    /// Whether every entry was proved.
    pub fn is_proof(&self) -> bool {
        self.refused.is_empty()
            && self.wildcards.iter().all(|p| p.verdicts.iter().all(|(_, v)| v.is_proof()))
    }

    /// What is wrong, a line each.
    pub fn refusals(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.refused.iter().map(|(_, why)| why.clone()).collect();
        for Proof { pattern, verdicts } in &self.wildcards {
            lines.extend(verdicts.iter().filter_map(|(family, verdict)| match verdict {
                Verdict::Disjoint | Verdict::OneOwner(_) => None,
                Verdict::Reached(host) => {
                    Some(format!("`{pattern}` stands for `{host}`, {}", family.describe()))
                }
                Verdict::Unknown(error) => Some(format!("`{pattern}`: {error}")),
            }));
        }
        lines
    }

    /// The certificate: equal lists, proved against equal tables, have equal bytes.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.value())
            .expect("strings, numbers and lists are JSON");
        text.push('\n');
        text
    }

    fn value(&self) -> Value {
        let families: Vec<Value> = Family::ALL.into_iter().map(family).collect();
        let wildcards: Vec<Value> = self.wildcards.iter().map(Proof::value).collect();
        let refused: Vec<Value> =
            self.refused.iter().map(|(host, why)| json!({ "host": host, "why": why })).collect();
        let accounts: Vec<&str> = self.accounts.iter().map(Hostname::as_str).collect();
        json!({
            "schema": 1,
            "list": self.list,
            "entries": self.entries,
            "verdict": if self.is_proof() { "proved" } else { "refused" },
            "method": METHOD,
            "families": families,
            "wildcards": wildcards,
            "refused": refused,
            "storage_accounts": accounts,
        })
    }

    /// How the certificate in `text` differs from this one; none if it is this one.
    pub fn differences(&self, text: &str) -> Result<Vec<String>, String> {
        let theirs: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(theirs) = theirs else { return Err("it is no JSON object".to_owned()) };
        let Value::Object(ours) = self.value() else { return Ok(Vec::new()) };
        let mut keys: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let differs = |key: &&&String| ours.get(**key) != theirs.get(**key);
        let tell = |key: &String| match key.as_str() {
            "list" => format!(
                "`list`: the certificate is for {}, and the list is {}",
                theirs.get("list").unwrap_or(&Value::Null),
                self.list
            ),
            "families" => {
                "`families`: it was proved against other domains than are known now".to_owned()
            }
            other => format!("`{other}` differs from what is proved now"),
        };
        Ok(keys.iter().filter(differs).map(|key| tell(key)).collect())
    }
}

impl Proof {
    fn value(&self) -> Value {
        let verdicts: Vec<Value> = self
            .verdicts
            .iter()
            .map(|(family, verdict)| {
                let name = family.name();
                match verdict {
                    Verdict::Disjoint => json!({
                        "family": name, "verdict": "disjoint",
                        "why": "no name of the family fits the pattern",
                    }),
                    Verdict::OneOwner(host) => json!({
                        "family": name, "verdict": "one owner",
                        "why": format!("every name of the family that fits belongs to whoever has {host}"),
                    }),
                    Verdict::Reached(host) => json!({
                        "family": name, "verdict": "reached", "witness": host.as_str(),
                    }),
                    Verdict::Unknown(error) => json!({
                        "family": name, "verdict": "unknown", "why": error.to_string(),
                    }),
                }
            })
            .collect();
        json!({ "pattern": self.pattern, "families": verdicts })
    }
}

/// A family with a hash of its domains: what a certificate is worth depends on them.
fn family(family: Family) -> Value {
    let domains = family.domains();
    let lines: Vec<String> = match family {
        Family::Storage => {
            guard::storage_services().map(|(domain, shape)| format!("{domain} {shape:?}")).collect()
        }
        _ => domains.iter().map(|domain| (*domain).to_owned()).collect(),
    };
    let digest = Sha256::digest(lines.join("\n"));
    let hash =
        digest.iter().fold(String::from("sha256:"), |hex, byte| hex + &format!("{byte:02x}"));
    json!({
        "name": family.name(),
        "means": family.describe(),
        "domains": domains.len(),
        "hash": hash,
    })
}

const METHOD: &str = "each exact host is checked against every family's table; the names of each wildcard, with `*` \
    as one label or more, are intersected with each family's as automata, and what they have in common is empty or \
    one owner's";
