//! Decides with what a list is compared when Azure is asked: with what Azure says of the registries that it
//! describes, and for the rest with itself.
//!
//! What the metadata can't know stays as it is: hosts that are written by hand, reasons, and registries that it
//! doesn't describe. What it lacks although its own findings say that it is incomplete stays, too: nothing is taken
//! for gone on the word of half an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_config::address::Pin;
use ringfence_config::snippet::Source;
use ringfence_config::{Allowlist, Entry, HostPattern, Role};

use super::{Owner, owner};
use crate::endpoint::LoginServer;
use crate::registry::{Feature, Position, Registry, Scope as Reach, Sku};
use crate::{DataEndpoints, Error, Finding, Refusal, metadata};

/// What Azure says now, as a list beside the old one.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The old list, brought up to date as far as the metadata goes.
    pub list: Allowlist,
    /// What someone should look at, by registry.
    pub findings: Vec<Finding>,
    /// What could not be compared, by registry.
    pub unsettled: Vec<Unsettled>,
}

/// Of which registries an answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that the metadata describes: those that aren't on the list are new.
    Described,
    /// Those that are on the list, and these.
    Listed(BTreeSet<LoginServer>),
}

/// Something that could not be compared, so that the list's word stands.
#[derive(Debug, Clone)]
pub enum Unsettled {
    /// The metadata doesn't describe a registry of the list.
    NotDescribed(LoginServer),
    /// A registry on the list has no exact hosts now.
    Refused(LoginServer, Refusal),
    /// A registry that is not on the list has none, so it can't be added.
    Unlistable(LoginServer, Refusal),
    /// The metadata lacks hosts of a registry, and these findings say that it is incomplete.
    HostsInDoubt(LoginServer, Vec<HostPattern>, Vec<&'static str>),
    /// The same for private addresses of hosts.
    AddressesInDoubt(LoginServer, Vec<HostPattern>, Vec<&'static str>),
}

impl Unsettled {
    /// Every code.
    pub const CODES: [&str; 5] =
        ["not-described", "refused", "unlistable", "hosts-in-doubt", "addresses-in-doubt"];

    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDescribed(_) => "not-described",
            Self::Refused(..) => "refused",
            Self::Unlistable(..) => "unlistable",
            Self::HostsInDoubt(..) => "hosts-in-doubt",
            Self::AddressesInDoubt(..) => "addresses-in-doubt",
        }
    }

    /// Whose.
    pub fn registry(&self) -> &LoginServer {
        match self {
            Self::NotDescribed(server)
            | Self::Refused(server, _)
            | Self::Unlistable(server, _)
            | Self::HostsInDoubt(server, ..)
            | Self::AddressesInDoubt(server, ..) => server,
        }
    }

    /// The hosts in question, where not all of the registry's are.
    pub fn hosts(&self) -> &[HostPattern] {
        match self {
            Self::HostsInDoubt(_, hosts, _) | Self::AddressesInDoubt(_, hosts, _) => hosts,
            Self::NotDescribed(_) | Self::Refused(..) | Self::Unlistable(..) => &[],
        }
    }

    /// The codes of the findings that say so.
    pub fn grounds(&self) -> &[&'static str] {
        match self {
            Self::HostsInDoubt(_, _, codes) | Self::AddressesInDoubt(_, _, codes) => codes,
            Self::NotDescribed(_) | Self::Refused(..) | Self::Unlistable(..) => &[],
        }
    }
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDescribed(server) => {
                write!(f, "nothing in the input describes `{server}`, so its entries stay")
            }
            Self::Refused(_, refusal) => write!(f, "{refusal}; its entries stay"),
            Self::Unlistable(_, refusal) => write!(f, "{refusal}; it is not on the list"),
            Self::HostsInDoubt(_, hosts, codes) => write!(
                f,
                "the input lacks {}, and is not complete ({}), so that counts for nothing",
                quoted(hosts),
                codes.join(", ")
            ),
            Self::AddressesInDoubt(_, hosts, codes) => write!(
                f,
                "the input lacks private addresses of {}, and is not complete ({}), so they stay",
                quoted(hosts),
                codes.join(", ")
            ),
        }
    }
}

/// Compares `old` with what `sources` say, which are metadata in any order.
pub fn read(
    old: &Allowlist,
    sources: &[Source],
    data: DataEndpoints,
    scope: &Scope,
) -> Result<Answer, Error> {
    let registries = metadata::read(sources)?;
    let mut update = Update::of(old);
    for registry in &registries {
        let is_wanted = match scope {
            Scope::Described => true,
            Scope::Listed(others) => {
                let server = &registry.login_server;
                update.lists(server) || others.contains(server)
            }
        };
        if is_wanted {
            update.take(registry, data)?;
        }
    }
    update.finish()
}

/// A list on its way.
struct Update<'a> {
    entries: BTreeMap<HostPattern, Entry>,
    /// What the old list has of each registry.
    old: BTreeMap<Owner, Vec<&'a Entry>>,
    described: BTreeSet<LoginServer>,
    findings: Vec<Finding>,
    unsettled: Vec<Unsettled>,
}

impl<'a> Update<'a> {
    fn of(list: &'a Allowlist) -> Self {
        let mut old: BTreeMap<Owner, Vec<&Entry>> = BTreeMap::new();
        for entry in list.entries() {
            old.entry(owner(entry)).or_default().push(entry);
        }
        let entries = list.entries().iter().map(|entry| (entry.host.clone(), entry.clone()));
        Self {
            entries: entries.collect(),
            old,
            described: BTreeSet::new(),
            findings: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    fn lists(&self, server: &LoginServer) -> bool {
        self.old.contains_key(&Owner::Registry(server.clone()))
    }

    fn take(&mut self, registry: &Registry, data: DataEndpoints) -> Result<(), Error> {
        let server = &registry.login_server;
        self.described.insert(server.clone());
        let generated = match crate::derive(std::slice::from_ref(registry), data) {
            Ok(generated) => generated,
            Err(Error::Refused(refusals)) => {
                let is_listed = self.lists(server);
                self.unsettled.extend(refusals.into_iter().map(|refusal| {
                    if is_listed {
                        Unsettled::Refused(server.clone(), refusal)
                    } else {
                        Unsettled::Unlistable(server.clone(), refusal)
                    }
                }));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let doubts = Doubts::of(registry, &generated.findings);
        self.remove(server, &generated.allowlist, &doubts);
        self.add(server, &generated.allowlist, doubts.addresses);
        self.findings.extend(generated.findings);
        Ok(())
    }

    /// Removes what the registry has no longer.
    fn remove(&mut self, server: &LoginServer, now: &Allowlist, doubts: &Doubts) {
        let listed = self.old.get(&Owner::Registry(server.clone())).into_iter().flatten();
        let hosts: BTreeSet<&HostPattern> = now.entries().iter().map(|entry| &entry.host).collect();
        let gone = listed.filter(|entry| !hosts.contains(&entry.host));
        let mut in_doubt: BTreeMap<&[&'static str], Vec<HostPattern>> = BTreeMap::new();
        for entry in gone {
            match doubts.about(&entry.role) {
                [] => {
                    self.entries.remove(&entry.host);
                }
                codes => in_doubt.entry(codes).or_default().push(entry.host.clone()),
            }
        }
        self.unsettled.extend(
            in_doubt.into_iter().map(|(codes, hosts)| {
                Unsettled::HostsInDoubt(server.clone(), hosts, codes.to_vec())
            }),
        );
    }

    /// Adds what the registry has now, and corrects what was there.
    fn add(&mut self, server: &LoginServer, now: &Allowlist, doubts: Vec<&'static str>) {
        let mut in_doubt = Vec::new();
        for derived in now.entries() {
            let mut entry = derived.clone();
            if let Some(old) = self.entries.get(&entry.host) {
                // Azure doesn't know why.
                entry.why.clone_from(&old.why);
                entry.presets.clone_from(&old.presets);
                let lost = old.addresses.iter().any(|pin| !entry.addresses.contains(pin));
                if lost && !doubts.is_empty() {
                    entry.addresses = union(&old.addresses, &entry.addresses);
                    in_doubt.push(entry.host.clone());
                }
            }
            self.entries.insert(entry.host.clone(), entry);
        }
        if !in_doubt.is_empty() {
            self.unsettled.push(Unsettled::AddressesInDoubt(server.clone(), in_doubt, doubts));
        }
    }

    fn finish(mut self) -> Result<Answer, Error> {
        for (owner, entries) in &self.old {
            match owner {
                // A registry that only presets know is somebody else's, whose metadata nobody has.
                Owner::Registry(_) if entries.iter().all(|entry| !entry.presets.is_empty()) => {}
                Owner::Registry(server) if !self.described.contains(server) => {
                    self.unsettled.push(Unsettled::NotDescribed(server.clone()));
                }
                Owner::Registry(_) | Owner::HandWritten => {}
            }
        }
        self.unsettled.sort_by(|a, b| a.registry().cmp(b.registry()));
        let list = Allowlist::new(self.entries.into_values())?;
        Ok(Answer { list, findings: self.findings, unsettled: self.unsettled })
    }
}

/// Why what the metadata lacks may be there all the same: codes of findings.
struct Doubts {
    hosts: Vec<&'static str>,
    regional_logins: Vec<&'static str>,
    addresses: Vec<&'static str>,
}

impl Doubts {
    fn of(registry: &Registry, findings: &[Finding]) -> Self {
        let codes: BTreeSet<&'static str> = findings.iter().map(Finding::code).collect();
        let some = |known: &[&str]| {
            codes.iter().copied().filter(|code| known.contains(code)).collect::<Vec<_>>()
        };
        let mut hosts = some(&HOSTS);
        if !tells_regions(registry) {
            hosts.push(REGIONS_UNTOLD);
        }
        let mut regional_logins = hosts.clone();
        if !tells_regional_endpoints(registry) {
            regional_logins.push(REGIONAL_ENDPOINTS_UNTOLD);
        }
        let mut addresses = some(&ADDRESSES);
        addresses.extend(&hosts);
        if !tells_private_link(registry) {
            addresses.push(PRIVATE_LINK_UNTOLD);
        }
        Self { hosts, regional_logins, addresses }
    }

    /// Those about hosts of this kind.
    fn about(&self, role: &Role) -> &[&'static str] {
        match role {
            Role::RegionalLogin(..) => &self.regional_logins,
            Role::Login(_) | Role::Data(..) | Role::StorageAccount | Role::Other => &self.hosts,
        }
    }
}

/// Whether anything names regions beside the home region. A registry that has had replicas lists its home region among
/// them, so a listing without any is more likely to be none.
fn tells_regions(registry: &Registry) -> bool {
    let listings = || registry.listings.iter().filter(|list| !list.regions.is_empty());
    !listings().any(|list| list.scope == Reach::NoReplications)
        || listings().any(|list| list.scope == Reach::Registry)
}

/// Whether anything in the input says if regional endpoints are on. Earlier versions of ARM and of azure-cli don't.
/// <https://learn.microsoft.com/azure/container-registry/container-registry-regional-endpoints>
fn tells_regional_endpoints(registry: &Registry) -> bool {
    [Position::On, Position::Off]
        .into_iter()
        .any(|position| registry.says(Feature::RegionalEndpoints, position))
}

/// Whether anything in the input could have told of private endpoints: what `az acr show-endpoints` prints doesn't.
fn tells_private_link(registry: &Registry) -> bool {
    registry.sku != Sku::Unknown
        || !registry.connections.is_empty()
        || !registry.private_endpoints.is_empty()
        || !registry.zone.is_empty()
}

/// All of both, sorted.
pub(super) fn union(some: &[Pin], others: &[Pin]) -> Vec<Pin> {
    let all: BTreeSet<Pin> = some.iter().chain(others).copied().collect();
    all.into_iter().collect()
}

pub(super) fn quoted(hosts: &[HostPattern]) -> String {
    let words: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
    words.join(", ")
}

/// Findings with which a host that isn't there may only not have been seen.
const HOSTS: [&str; 6] = [
    "endpoints-disputed",
    "regions-differ",
    "regions-from-private-endpoint",
    "replica-not-ready",
    "replicas-from-empty-list",
    "unreadable",
];

/// Findings with which a private address that isn't there may only not have been seen.
const ADDRESSES: [&str; 5] = [
    "address-missing",
    "addresses-differ",
    "addresses-unknown",
    "connection-disputed",
    "record-missing",
];

/// No finding, because a list without private addresses is in order; but no word of them is no word that there are
/// none.
const PRIVATE_LINK_UNTOLD: &str = "private-link-untold";

/// No finding, because most registries have one region.
const REGIONS_UNTOLD: &str = "regions-untold";

/// No finding either: hardly any registry has regional endpoints, and most metadata doesn't speak of them.
const REGIONAL_ENDPOINTS_UNTOLD: &str = "regional-endpoints-untold";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Drift;

    const UNTOLD: [&str; 3] = [PRIVATE_LINK_UNTOLD, REGIONAL_ENDPOINTS_UNTOLD, REGIONS_UNTOLD];
    const ID: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries";

    fn source(value: &serde_json::Value) -> [Source; 1] {
        [Source { name: "all.json".to_owned(), text: value.to_string() }]
    }

    fn registry(name: &str, regions: &[&str]) -> serde_json::Value {
        let hosts: Vec<String> =
            regions.iter().map(|region| format!("{name}.{region}.data.azurecr.io")).collect();
        serde_json::json!({
            "type": "Microsoft.ContainerRegistry/registries", "id": format!("{ID}/{name}"), "name": name,
            "location": regions[0], "loginServer": format!("{name}.azurecr.io"), "sku": {"name": "Premium"},
            "dataEndpointEnabled": true, "dataEndpointHostNames": hosts,
        })
    }

    fn list(text: &str) -> Allowlist {
        let document = ringfence_config::Document::parse("list.toml", text).expect("valid");
        ringfence_config::document::merge(&[document]).expect("one list")
    }

    const OLD: &str = r#"
        schema = 1
        entry = [
            { host = "contoso.azurecr.io", role = "login", registry = "contoso", why = "builds", addresses = ["10.0.0.4"] },
            { host = "contoso.eastus.data.azurecr.io", role = "data", registry = "contoso", region = "eastus" },
            { host = "contoso.westus.data.azurecr.io", role = "data", registry = "contoso", region = "westus" },
            { host = "fabrikam.azurecr.io", role = "login", registry = "fabrikam" },
            { host = "login.microsoftonline.com", role = "other", why = "az acr login" },
            { storage_account = "mine.blob.core.windows.net", why = "cache" },
        ]"#;

    fn answer(value: &serde_json::Value, scope: &Scope) -> (Allowlist, Answer) {
        let old = list(OLD);
        let answer = read(&old, &source(value), DataEndpoints::AsReported, scope).expect("a list");
        (old, answer)
    }

    fn codes(answer: &Answer) -> Vec<(&'static str, String)> {
        let code = |open: &Unsettled| (open.code(), open.registry().to_string());
        answer.unsettled.iter().map(code).collect()
    }

    #[test]
    fn the_page_names_what_makes_an_answer_incomplete() {
        let page = include_str!("../../../docs/drift.md");
        for code in HOSTS.iter().chain(&ADDRESSES).chain(&UNTOLD) {
            assert!(page.contains(&format!("`{code}`")), "{code}");
        }
    }

    #[test]
    fn what_metadata_cannot_know_stays() {
        let (old, answer) = answer(&registry("contoso", &["eastus", "westus"]), &Scope::Described);
        let drift = Drift::between(&old, &answer.list);
        let reasons: Vec<&str> = drift.differences().map(|(_, reason, _)| reason.code()).collect();
        // The registry was read and has no private endpoint, so its address is gone.
        assert_eq!(reasons, ["address-removed"]);
        assert_eq!(codes(&answer), [("not-described", "fabrikam.azurecr.io".to_owned())]);
        assert_eq!(answer.list.entries().len(), old.entries().len());
        assert_eq!(answer.list.entries()[0].why.as_deref(), Some("builds"));
    }

    #[test]
    fn half_an_answer_takes_nothing_away() {
        let whole = registry("contoso", &["eastus"]);
        let (old, all) = answer(&whole, &Scope::Described);
        let drift = Drift::between(&old, &all.list);
        let reasons: Vec<&str> = drift.differences().map(|(_, reason, _)| reason.code()).collect();
        assert_eq!(reasons, ["replica-removed", "address-removed"]);

        let gap = serde_json::json!({"id": "/subscriptions/s/nic", "registry": format!("{ID}/contoso"),
                                     "error": {"code": "AuthorizationFailed", "message": "no"}});
        let replica = serde_json::json!({
            "type": "Microsoft.ContainerRegistry/registries/replications", "location": "eastus",
            "id": format!("{ID}/contoso/replications/eastus"), "provisioningState": "Updating"});
        let kept = [
            ("addresses-in-doubt", "contoso.azurecr.io".to_owned()),
            ("hosts-in-doubt", "contoso.azurecr.io".to_owned()),
            ("not-described", "fabrikam.azurecr.io".to_owned()),
        ];
        for (half, code) in [(gap, "unreadable"), (replica, "replica-not-ready")] {
            let (old, half) = answer(&serde_json::json!([whole, half]), &Scope::Described);
            assert_eq!(half.list, old, "{code}");
            let mut codes = codes(&half);
            codes.sort();
            assert_eq!(codes, kept);
            assert!(half.unsettled.iter().any(|open| open.grounds() == [code]));
        }

        // Nothing here could tell of private endpoints; regions it tells.
        let endpoints = serde_json::json!({"loginServer": "contoso.azurecr.io", "dataEndpoints": [
            {"region": "eastus", "endpoint": "contoso.eastus.data.azurecr.io"}]});
        let (old, half) = answer(&endpoints, &Scope::Described);
        let drift = Drift::between(&old, &half.list);
        let reasons: Vec<&str> = drift.differences().map(|(_, reason, _)| reason.code()).collect();
        assert_eq!(reasons, ["replica-removed"]);
        assert_eq!(half.unsettled[0].grounds(), ["private-link-untold"]);
    }

    #[test]
    fn registries_of_presets_are_not_missed() {
        let text = |presets: &str| {
            format!(
                "schema = 1\nentry = [{{ host = 'arcmktplaceprod.azurecr.io', role = 'login', \
                 registry = 'arcmktplaceprod', why = 'extensions' {presets} }}]"
            )
        };
        let missed = |presets: &str| {
            let old = list(&text(presets));
            let metadata = source(&registry("contoso", &["eastus"]));
            let scope = Scope::Listed(BTreeSet::new());
            let answer = read(&old, &metadata, DataEndpoints::AsReported, &scope).expect("a list");
            assert_eq!(answer.list, old);
            codes(&answer)
        };
        assert_eq!(missed(", presets = ['aks/cluster-extensions']"), []);
        assert_eq!(missed(""), [("not-described", "arcmktplaceprod.azurecr.io".to_owned())]);
    }

    /// An earlier version of ARM, or of azure-cli, knows nothing of regional endpoints.
    #[test]
    fn a_version_that_knows_no_regional_endpoints_takes_none_away() {
        let old = list(
            r#"
            schema = 1
            entry = [
                { host = "contoso.azurecr.io", role = "login", registry = "contoso" },
                { host = "contoso.eastus.geo.azurecr.io", role = "regional-login", registry = "contoso", region = "eastus" },
                { host = "contoso.eastus.data.azurecr.io", role = "data", registry = "contoso", region = "eastus" },
                { host = "contoso.westus.data.azurecr.io", role = "data", registry = "contoso", region = "westus" },
            ]"#,
        );
        let mut metadata = registry("contoso", &["eastus"]);
        let mut answer = |word: Option<&str>| {
            metadata["regionalEndpoints"] = word.into();
            let answer =
                read(&old, &source(&metadata), DataEndpoints::AsReported, &Scope::Described);
            let answer = answer.expect("a list");
            let drift = Drift::between(&old, &answer.list);
            let reasons: Vec<&str> =
                drift.differences().map(|(_, reason, _)| reason.code()).collect();
            let grounds: Vec<&str> =
                answer.unsettled.iter().flat_map(Unsettled::grounds).copied().collect();
            (reasons, grounds)
        };
        for untold in [None, Some("Someday")] {
            assert_eq!(
                answer(untold),
                (vec!["replica-removed"], vec!["regional-endpoints-untold"])
            );
        }
        let told = (vec!["regional-endpoints-off", "replica-removed"], vec![]);
        assert_eq!(answer(Some("Disabled")), told);
    }

    #[test]
    fn a_registry_without_exact_hosts_stops_no_other() {
        let off = |name: &str| {
            let mut off = registry(name, &["eastus"]);
            off["dataEndpointEnabled"] = false.into();
            off["dataEndpointHostNames"] = serde_json::json!([]);
            off
        };
        let contoso = registry("contoso", &["eastus", "westus", "northeurope"]);
        let all = serde_json::json!([contoso, off("fabrikam"), off("stranger")]);
        let (old, all) = answer(&all, &Scope::Described);
        assert_eq!(
            codes(&all),
            [
                ("refused", "fabrikam.azurecr.io".to_owned()),
                ("unlistable", "stranger.azurecr.io".to_owned())
            ]
        );
        let drift = Drift::between(&old, &all.list);
        assert_eq!(drift.tally().added, 1);
        assert_eq!(drift.tally().removed, 0);
    }

    #[test]
    fn strangers_are_new_unless_only_listed_ones_count() {
        let both = serde_json::json!([
            registry("contoso", &["eastus", "westus"]),
            registry("contosoevil", &["eastus"]),
            registry("guest", &["eastus"])
        ]);
        let added = |scope: &Scope| {
            let (old, answer) = answer(&both, scope);
            Drift::between(&old, &answer.list).tally().added
        };
        assert_eq!(added(&Scope::Described), 4);
        assert_eq!(added(&Scope::Listed(BTreeSet::new())), 0);
        let guest = "guest.azurecr.io".parse().expect("a login server");
        assert_eq!(added(&Scope::Listed(BTreeSet::from([guest]))), 2);
    }
}
