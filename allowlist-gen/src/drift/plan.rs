//! Decides what of drift may be written without asking anybody.
//!
//! A list may become wider only by exact hosts of registries that it is about, or that were named; anything else is
//! refused, all of it. It becomes narrower unless that would take most of a registry away at once, which is more
//! likely to be half an answer than a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_config::allowlist::{Conflict, Ports};
use ringfence_config::{Allowlist, Entry, HostPattern, Port, Role};

use super::answer::{quoted, union};
use super::{Difference, Drift, Edit, Owner, owner};
use crate::endpoint::{Endpoint, LoginServer};

/// What may be written without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Registries whose hosts may be added although they are not on the list.
    pub registries: BTreeSet<LoginServer>,
    /// Whether hosts and addresses that are gone may be removed.
    pub removals: Removals,
}

/// Whether what is gone is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removals {
    /// It is, within reason.
    Applied,
    /// It stays.
    Kept,
}

/// What to do about a list that has drifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Leave it: there is no drift, or all of it is held back.
    Leave(Vec<Held>),
    /// Replace it by this one.
    Write(Allowlist, Vec<Held>),
    /// Leave it, because something goes beyond what may be written; at least one objection.
    Refuse(Vec<Objection>),
}

/// Removals that are not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Of which registry.
    pub registry: LoginServer,
    /// Of what.
    pub what: What,
    /// Of which hosts.
    pub hosts: Vec<HostPattern>,
    /// Why not.
    pub why: Why,
}

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Whole entries.
    Hosts,
    /// Private addresses of hosts that stay.
    Addresses,
}

/// Why removals are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody asked for that.
    Asked,
    /// It would be more than half of what the list has of the registry.
    Shrinks,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Hosts => f.write_str("kept: ")?,
            What::Addresses => f.write_str("kept: private addresses of ")?,
        }
        f.write_str(&quoted(&self.hosts))?;
        match (self.why, self.what) {
            (Why::Asked, _) => Ok(()),
            (Why::Shrinks, What::Hosts) => write!(
                f,
                ", more than half of what is listed of `{}` at once; if they are gone, remove them by hand",
                self.registry
            ),
            (Why::Shrinks, What::Addresses) => write!(
                f,
                ", most of those of `{}` at once; if they are gone, remove them by hand",
                self.registry
            ),
        }
    }
}

/// Something that may not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// A host of a registry that is neither on the list nor named.
    Stranger(HostPattern, LoginServer),
    /// A host that is no exact host of a registry.
    NotAnEndpoint(HostPattern),
    /// A port that the list doesn't have for the host, and registries don't use.
    Port(HostPattern, Port),
    /// An entry that someone wrote by hand.
    HandWritten(HostPattern),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(host, server) => write!(
                f,
                "`{host}` belongs to a registry that is neither on the list nor allowed; \
                 `--allow-registry {server}` would allow it"
            ),
            Self::NotAnEndpoint(host) => write!(f, "`{host}` is no exact host of a registry"),
            Self::Port(host, port) => {
                write!(f, "port {port} of `{host}` is not a port that registries use")
            }
            Self::HandWritten(host) => write!(f, "`{host}` is written by hand"),
        }
    }
}

impl Plan {
    /// What to do about the drift from `old` to `new`.
    pub fn of(old: &Allowlist, new: &Allowlist, permit: &Permit) -> Result<Self, Conflict> {
        let drift = Drift::between(old, new);
        let objections = objections(old, new, &drift, permit);
        if !objections.is_empty() {
            return Ok(Self::Refuse(objections));
        }
        let mut entries: BTreeMap<HostPattern, Entry> =
            new.entries().iter().map(|entry| (entry.host.clone(), entry.clone())).collect();
        let mut all_held = Vec::new();
        for (registry, loss) in losses(old, &drift) {
            for held in loss.held(&registry, permit.removals) {
                for host in &held.hosts {
                    restore(&mut entries, loss.old[host]);
                }
                all_held.push(held);
            }
        }
        let list = Allowlist::new(entries.into_values())?;
        if list == *old { Ok(Self::Leave(all_held)) } else { Ok(Self::Write(list, all_held)) }
    }
}

/// Everything that makes the list wider in a way that nobody has asked for, or touches what is written by hand.
fn objections(old: &Allowlist, new: &Allowlist, drift: &Drift, permit: &Permit) -> Vec<Objection> {
    let mut known = permit.registries.clone();
    for entry in old.entries() {
        if let Owner::Registry(server) = owner(entry) {
            known.insert(server);
        }
    }
    let after: BTreeMap<&HostPattern, &Entry> =
        new.entries().iter().map(|entry| (&entry.host, entry)).collect();
    let mut found: Vec<Objection> = Vec::new();
    let mut strangers = BTreeSet::new();
    for (whose, _, difference) in drift.differences() {
        let host = difference.host();
        let objection = match difference {
            Difference::Added(entry) => object_to(entry, &known),
            Difference::Edited(_, Edit::Role(..)) => {
                after.get(host).and_then(|entry| object_to(entry, &known))
            }
            Difference::Edited(_, Edit::Ports(before, after)) => {
                let is_new = |port: &Port| !before.contains(*port) && *port != Port::HTTPS;
                after.iter().find(is_new).map(|port| Objection::Port(host.clone(), port))
            }
            Difference::Removed(_)
            | Difference::Edited(_, Edit::Addresses(..) | Edit::Why(..) | Edit::Presets(..)) => {
                None
            }
        };
        let by_hand =
            || (*whose == Owner::HandWritten).then(|| Objection::HandWritten(host.clone()));
        let objection = objection.or_else(by_hand);
        // One host of a stranger says it all.
        let is_new = match &objection {
            Some(Objection::Stranger(_, server)) => strangers.insert(server.clone()),
            _ => true,
        };
        found.extend(objection.filter(|_| is_new));
    }
    found
}

/// Whether `entry` is anything but an exact host of a registry that is known.
fn object_to(entry: &Entry, known: &BTreeSet<LoginServer>) -> Option<Objection> {
    let host = entry.host.clone();
    let endpoint = match &entry.host {
        HostPattern::Exact(exact) => exact.as_str().parse::<Endpoint>().ok(),
        HostPattern::Wildcard(_) => None,
    };
    match endpoint {
        Some(endpoint) if Role::from(&endpoint) == entry.role => {
            let server = endpoint.login_server();
            if !known.contains(server) {
                Some(Objection::Stranger(host, server.clone()))
            } else if entry.ports == Ports::https() {
                None
            } else {
                let other = entry.ports.iter().find(|port| *port != Port::HTTPS);
                other.map(|port| Objection::Port(host, port))
            }
        }
        _ => Some(Objection::NotAnEndpoint(host)),
    }
}

/// What a registry loses.
#[derive(Default)]
struct Loss<'a> {
    /// What the old list has of it.
    old: BTreeMap<&'a HostPattern, &'a Entry>,
    hosts: Vec<HostPattern>,
    /// Hosts that lose some addresses, and those of them that lose the last.
    addresses: Vec<HostPattern>,
    last_addresses: Vec<HostPattern>,
}

fn losses<'a>(old: &'a Allowlist, drift: &Drift) -> BTreeMap<LoginServer, Loss<'a>> {
    let mut losses: BTreeMap<LoginServer, Loss<'a>> = BTreeMap::new();
    for entry in old.entries() {
        if let Owner::Registry(server) = owner(entry) {
            losses.entry(server).or_default().old.insert(&entry.host, entry);
        }
    }
    for (whose, _, difference) in drift.differences() {
        let Owner::Registry(server) = whose else { continue };
        let Some(loss) = losses.get_mut(server) else { continue };
        match difference {
            Difference::Removed(entry) => loss.hosts.push(entry.host.clone()),
            Difference::Edited(host, Edit::Addresses(before, after))
                if loss.old.contains_key(host) && before.iter().any(|pin| !after.contains(pin)) =>
            {
                loss.addresses.push(host.clone());
                if after.is_empty() {
                    loss.last_addresses.push(host.clone());
                }
            }
            Difference::Added(_) | Difference::Edited(..) => {}
        }
    }
    losses
}

impl Loss<'_> {
    /// What of it is not to happen.
    fn held(&self, registry: &LoginServer, removals: Removals) -> Vec<Held> {
        let keep = |what, hosts: &[HostPattern], why| {
            let registry = registry.clone();
            (!hosts.is_empty()).then(|| Held { registry, what, hosts: hosts.to_vec(), why })
        };
        if removals == Removals::Kept {
            let hosts = keep(What::Hosts, &self.hosts, Why::Asked);
            let addresses = keep(What::Addresses, &self.addresses, Why::Asked);
            return hosts.into_iter().chain(addresses).collect();
        }
        let pinned = self.old.values().filter(|entry| !entry.addresses.is_empty()).count();
        let mut held = Vec::new();
        if self.hosts.len() * 2 > self.old.len() {
            held.extend(keep(What::Hosts, &self.hosts, Why::Shrinks));
        }
        if self.last_addresses.len() * 2 > pinned {
            held.extend(keep(What::Addresses, &self.last_addresses, Why::Shrinks));
        }
        held
    }
}

/// Gives `old` back what it had, beside what its host has now.
fn restore(entries: &mut BTreeMap<HostPattern, Entry>, old: &Entry) {
    match entries.get_mut(&old.host) {
        Some(entry) => entry.addresses = union(&old.addresses, &entry.addresses),
        None => {
            entries.insert(old.host.clone(), old.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &str) -> Allowlist {
        let text = format!("schema = 1\nallow_patterns = true\nentry = [{entries}]\n");
        let document = ringfence_config::Document::parse("list.toml", &text).expect("valid");
        ringfence_config::document::merge(&[document]).expect("one list")
    }

    /// A login server and a data host in each region.
    fn registry(name: &str, regions: &[&str], addresses: &str) -> String {
        let login = format!(
            "{{ host = '{name}.azurecr.io', role = 'login', registry = '{name}', addresses = [{addresses}] }},\n"
        );
        let data = regions.iter().map(|region| {
            format!(
                "{{ host = '{name}.{region}.data.azurecr.io', role = 'data', registry = '{name}', \
                 region = '{region}', addresses = [{addresses}] }},\n"
            )
        });
        [login].into_iter().chain(data).collect()
    }

    fn plan(old: &str, new: &str, allowed: &[&str], removals: Removals) -> Plan {
        let registries =
            allowed.iter().map(|server| server.parse().expect("a login server")).collect();
        Plan::of(&list(old), &list(new), &Permit { registries, removals }).expect("no conflict")
    }

    #[test]
    fn only_exact_hosts_of_known_registries_are_added() {
        let contoso = registry("contoso", &["eastus"], "");
        let more = registry("contoso", &["eastus", "westus"], "");
        let with = |entry: &str| format!("{more}{entry}");
        assert_eq!(
            plan(&contoso, &more, &[], Removals::Applied),
            Plan::Write(list(&more), Vec::new())
        );
        for (entry, phrase) in [
            (registry("contosoevil", &["eastus"], ""), "`--allow-registry contosoevil.azurecr.io`"),
            (registry("contoso-evil", &[], ""), "`--allow-registry contoso-evil.azurecr.io`"),
            (
                "{ host = 'contoso.azurecr.cn', role = 'login', registry = 'contoso' }".to_owned(),
                "`--allow-registry contoso.azurecr.cn`",
            ),
            (
                "{ host = 'contoso.*.geo.azurecr.io', role = 'regional-login', registry = 'contoso', region = 'eastus' }"
                    .to_owned(),
                "no exact host",
            ),
            ("{ host = 'a.example.com', role = 'other', why = 'x' }".to_owned(), "no exact host"),
            (
                "{ host = 'contoso.eastus.geo.azurecr.io', role = 'regional-login', registry = 'contoso', \
                 region = 'eastus', ports = [443, 8443] }"
                    .to_owned(),
                "port 8443",
            ),
            (
                "{ storage_account = 'mine.blob.core.windows.net', why = 'x' }".to_owned(),
                "no exact host",
            ),
        ] {
            // The replica, which may be added, is refused with it.
            let Plan::Refuse(objections) = plan(&contoso, &with(&entry), &[], Removals::Applied)
            else {
                panic!("{entry} was admitted");
            };
            assert!(objections[0].to_string().contains(phrase), "{phrase}: {}", objections[0]);
        }
        let guest = with(&registry("guest", &["eastus"], ""));
        assert_eq!(
            plan(&contoso, &guest, &["guest.azurecr.io"], Removals::Applied),
            Plan::Write(list(&guest), Vec::new())
        );
        assert!(matches!(
            plan(&contoso, &guest, &["guest.azurecr.us"], Removals::Applied),
            Plan::Refuse(_)
        ));
    }

    #[test]
    fn what_is_written_by_hand_is_not_touched() {
        let hand = |why: &str, addresses: &str| {
            format!(
                "{}{{ host = 'a.example.com', role = 'other', why = '{why}', addresses = [{addresses}] }}",
                registry("contoso", &["eastus"], "")
            )
        };
        let old = hand("x", "");
        for new in [hand("y", ""), hand("x", "'10.0.0.9'"), registry("contoso", &["eastus"], "")] {
            assert_eq!(
                plan(&old, &new, &[], Removals::Applied),
                Plan::Refuse(vec![Objection::HandWritten(
                    "a.example.com".parse().expect("a host")
                )])
            );
        }
        // A registry that is on the list as somebody's own host is none that the list is about.
        let by_hand = "{ host = 'contoso.azurecr.io', role = 'other', why = 'x' }";
        assert!(matches!(
            plan(by_hand, &registry("contoso", &["eastus"], ""), &[], Removals::Applied),
            Plan::Refuse(_)
        ));
    }

    #[test]
    fn most_of_a_registry_does_not_go_at_once() {
        let three = registry("contoso", &["eastus", "westus", "northeurope"], "");
        let two = registry("contoso", &["eastus", "westus"], "");
        let none = registry("contoso", &[], "");
        assert_eq!(plan(&three, &two, &[], Removals::Applied), Plan::Write(list(&two), Vec::new()));
        let Plan::Leave(held) = plan(&three, &none, &[], Removals::Applied) else {
            panic!("three of four hosts went");
        };
        assert_eq!((held[0].why, held[0].hosts.len()), (Why::Shrinks, 3));
        let Plan::Leave(held) = plan(&three, &two, &[], Removals::Kept) else {
            panic!("a removal that was not wanted");
        };
        assert_eq!((held[0].why, held[0].hosts.len()), (Why::Asked, 1));

        // What is added is written all the same.
        let moved = registry("contoso", &["westus2", "eastus2", "uksouth"], "");
        let Plan::Write(written, held) = plan(&three, &moved, &[], Removals::Applied) else {
            panic!("nothing was written");
        };
        assert_eq!((written.entries().len(), held[0].hosts.len()), (7, 3));
    }

    #[test]
    fn most_addresses_do_not_go_at_once() {
        let pinned = registry("contoso", &["eastus"], "'10.0.0.4', '10.0.0.5'");
        let fewer = registry("contoso", &["eastus"], "'10.0.0.4'");
        let others = registry("contoso", &["eastus"], "'10.9.0.4'");
        let none = registry("contoso", &["eastus"], "");
        for new in [&fewer, &others] {
            assert_eq!(
                plan(&pinned, new, &[], Removals::Applied),
                Plan::Write(list(new), Vec::new())
            );
        }
        let Plan::Leave(held) = plan(&pinned, &none, &[], Removals::Applied) else {
            panic!("all addresses went");
        };
        assert_eq!((held[0].what, held[0].why), (What::Addresses, Why::Shrinks));
        let Plan::Write(written, held) = plan(&pinned, &others, &[], Removals::Kept) else {
            panic!("nothing was written");
        };
        assert_eq!((written.entries()[0].addresses.len(), held[0].why), (3, Why::Asked));
    }
}
