//! Azure Firewall's rules, whichever language they are written in.
//!
//! - Collections are asked in the order of their groups' priorities, then their own; network rules come before all
//!   application rules, and the first rule that matches decides.
//!   <https://learn.microsoft.com/azure/firewall/rule-processing>
//! - In an application rule's FQDN, `*` stands on the left and for anything at all: `*contoso.com` is also
//!   `evilcontoso.com`. <https://learn.microsoft.com/azure/firewall/firewall-faq>
//! - Network rules know no wildcards in FQDNs; a service tag is all addresses of a service, everybody's.
//!   <https://learn.microsoft.com/azure/virtual-network/service-tags-overview>
//!
//! A denial takes names away from the collections behind it where it surely covers their clients.

use std::collections::BTreeSet;

use super::block::{self, Reached};
use super::family::Family;
use super::language::Language;
use super::rule::{Consumer, Place, Reading, Rule};
use super::tree::Node;

/// Rules that are asked together.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) order: Order,
    pub(super) action: Action,
    pub(super) rules: Vec<FirewallRule>,
}

/// When a collection is asked: network rules first, then by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) kind: Kind,
    pub(super) group: u32,
    pub(super) collection: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Network,
    Application,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
    /// It is given by something that isn't written here.
    Unknown,
}

impl Action {
    pub(super) fn of(text: Option<&str>) -> Self {
        match text.map(str::to_ascii_lowercase).as_deref() {
            Some("allow") => Self::Allow,
            Some("deny") => Self::Deny,
            _ => Self::Unknown,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct FirewallRule {
    pub(super) clients: Clients,
    pub(super) targets: Vec<Target>,
}

/// Whose traffic a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clients {
    These(BTreeSet<String>),
    Unknown,
}

impl Clients {
    fn surely_cover(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::These(ours), _)
                if ours.iter().any(|a| matches!(a.as_str(), "*" | "0.0.0.0/0")) =>
            {
                true
            }
            (Self::These(ours), Self::These(theirs)) => theirs.is_subset(ours),
            _ => false,
        }
    }
}

/// One destination, as it is written.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    /// The key that it stands under, as it is written.
    pub(super) key: String,
    pub(super) kind: TargetKind,
    /// `None` where it isn't a literal.
    pub(super) text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetKind {
    Fqdn,
    NetworkFqdn,
    Url,
    Address,
    /// Names or addresses that something else decides.
    Elsewhere(&'static str),
}

/// What a key of a rule says where it goes, in ARM's spelling and in Terraform's.
pub(super) fn target_kind(key: &str, kind: Kind) -> Option<TargetKind> {
    Some(match (key, kind) {
        ("targetFqdns" | "destination_fqdns" | "target_fqdns", Kind::Application) => {
            TargetKind::Fqdn
        }
        ("destinationFqdns" | "destination_fqdns", Kind::Network) => TargetKind::NetworkFqdn,
        ("targetUrls" | "destination_urls", Kind::Application) => TargetKind::Url,
        ("destinationAddresses" | "destination_addresses", Kind::Network) => TargetKind::Address,
        ("fqdnTags" | "fqdn_tags" | "destination_fqdn_tags", Kind::Application) => {
            TargetKind::Elsewhere("the names behind an FQDN tag are Microsoft's to choose")
        }
        ("webCategories" | "web_categories", Kind::Application) => {
            TargetKind::Elsewhere("the names of a web category are Microsoft's to choose")
        }
        ("destinationIpGroups" | "destination_ip_groups", Kind::Network) => {
            TargetKind::Elsewhere("the addresses of an IP group stand elsewhere")
        }
        _ => return None,
    })
}

/// The rules of an ARM template, of what az prints, or of a parameter file.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut collections = Vec::new();
    for node in root.walk() {
        // A policy's groups, and the older firewalls that hold their collections themselves.
        let group = node.property("priority").and_then(|p| p.text()?.parse().ok()).unwrap_or(0);
        for collection in node.property("ruleCollections").iter().flat_map(Node::items) {
            collections.extend(arm_collection(file, &collection, group, None));
        }
        for (key, kind) in [
            ("networkRuleCollections", Kind::Network),
            ("applicationRuleCollections", Kind::Application),
        ] {
            for collection in node.property(key).iter().flat_map(Node::items) {
                collections.extend(arm_collection(file, &collection, 0, Some(kind)));
            }
        }
    }
    // A node and the `properties` below it both lead to the same lists.
    let mut seen = BTreeSet::new();
    collections.retain(|(place, _)| seen.insert(place.clone()));
    judge(collections.into_iter().map(|(_, collection)| collection).collect())
}

/// One for each kind of rules in it, with where it stands.
fn arm_collection(
    file: &str,
    node: &Node<'_>,
    group: u32,
    kind: Option<Kind>,
) -> Vec<((String, Kind), Collection)> {
    let action = node.property("action");
    let action = action.and_then(|action| action.string("type").or_else(|| action.text()));
    let collection = node.property("priority").and_then(|p| p.text()?.parse().ok()).unwrap_or(0);
    let mut kinds = Vec::new();
    for kind in kind.map_or(vec![Kind::Network, Kind::Application], |kind| vec![kind]) {
        let list = node.property("rules");
        let rules = list.iter().flat_map(Node::items).filter_map(|rule| {
            let said = rule.string("ruleType").map(str::to_ascii_lowercase);
            let fits = match said.as_deref() {
                Some("applicationrule") => kind == Kind::Application,
                Some("networkrule") => kind == Kind::Network,
                Some(_) => false,
                None => true,
            };
            fits.then(|| arm_rule(file, &rule, kind))
        });
        let rules: Vec<FirewallRule> = rules.filter(|rule| !rule.targets.is_empty()).collect();
        if !rules.is_empty() {
            let order = Order { kind, group, collection };
            let collection = Collection { order, action: Action::of(action), rules };
            kinds.push(((node.path().to_owned(), kind), collection));
        }
    }
    kinds
}

fn arm_rule(file: &str, node: &Node<'_>, kind: Kind) -> FirewallRule {
    let mut targets = Vec::new();
    for (key, value) in node.entries() {
        let Some(target) = target_kind(key, kind) else { continue };
        let items: Vec<Node<'_>> =
            if value.is_list() { value.items().collect() } else { vec![value] };
        for item in items {
            // `[parameters('names')]` is an expression, `[[` a text that begins with a bracket.
            let is_expression = |text: &&str| text.starts_with('[') && !text.starts_with("[[");
            let text = item.text().filter(|text| !is_expression(text)).map(str::to_owned);
            let key = match item.text() {
                Some(text) if is_expression(&text) => format!("{key}: {text}"),
                _ => key.to_owned(),
            };
            targets.push(Target { place: Place::node(file, &item), key, kind: target, text });
        }
    }
    let clients = ["sourceAddresses", "sourceIpGroups"].map(|key| node.get(key));
    let mut sources = BTreeSet::new();
    let mut is_known = true;
    for list in clients.iter().flatten() {
        is_known &= list.is_list();
        sources.extend(list.items().filter_map(|item| item.text().map(str::to_owned)));
    }
    let is_known = is_known && !sources.is_empty() && !sources.iter().any(|s| s.starts_with('['));
    let clients = if is_known { Clients::These(sources) } else { Clients::Unknown };
    FirewallRule { clients, targets }
}

/// What the collections let through, each behind the denials before it.
pub(super) fn judge(mut collections: Vec<Collection>) -> Reading {
    collections.sort_by_key(|collection| collection.order);
    let mut reading = Reading::default();
    let mut denied: Vec<(Order, &Clients, Language)> = Vec::new();
    for collection in &collections {
        for rule in &collection.rules {
            let before = denied.iter().filter(|(order, clients, _)| {
                *order < collection.order && clients.surely_cover(&rule.clients)
            });
            let before = Language::any(before.map(|(_, _, names)| names.clone()));
            let mut names = Vec::new();
            for target in &rule.targets {
                let reach = reach(target, collection.action, &mut reading);
                let Some((reach, reads)) = reach else { continue };
                names.push(reach.clone());
                if collection.action != Action::Deny {
                    let text = target.text.as_deref().unwrap_or_default();
                    let text = format!("{}: {text}", target.key);
                    let exact = reach.as_exact().and_then(|name| name.parse().ok());
                    let reach = match exact {
                        Some(host) if before.holds(&host) == Ok(false) => reach,
                        _ => reach.minus(&before),
                    };
                    let place = target.place.clone();
                    reading.rules.push(Rule::new(
                        place,
                        text,
                        Consumer::AzureFirewall,
                        reads,
                        reach,
                    ));
                }
            }
            if collection.action == Action::Deny {
                denied.push((collection.order, &rule.clients, Language::any(names)));
            }
        }
    }
    reading
}

/// The names that a target stands for; `None` where that is doubtful (which is told, unless it is denied) or nothing.
fn reach(
    target: &Target,
    action: Action,
    reading: &mut Reading,
) -> Option<(Language, &'static str)> {
    let place = target.place.clone();
    let mut doubt = |text: &str, why: &str| {
        if action != Action::Deny {
            reading.unjudged(place.clone(), text, Consumer::AzureFirewall, why);
        }
    };
    let Some(text) = target.text.as_deref() else {
        doubt(&target.key, "only texts that stand here can be judged, and this is an expression");
        return None;
    };
    let shown = format!("{}: {text}", target.key);
    match target.kind {
        TargetKind::Fqdn => {
            Some((Language::glob(text, ".*"), "`*` is anything at all, dots among it"))
        }
        TargetKind::NetworkFqdn if text.contains('*') => {
            doubt(&shown, "network rules know no wildcards in FQDNs");
            None
        }
        TargetKind::NetworkFqdn => {
            Some((Language::exact(text), "a name in a network rule is that name alone"))
        }
        TargetKind::Url => {
            let host = text.split_once("://").map_or(text, |(_, rest)| rest);
            let host = host.split(['/', ':']).next().unwrap_or_default();
            Some((Language::glob(host, ".*"), "`*` in a URL's host is anything at all"))
        }
        TargetKind::Elsewhere(why) => {
            doubt(&shown, why);
            None
        }
        TargetKind::Address => match block::reached(text) {
            Reached::Everything => {
                Some((Language::everything(), "every address, and so every name"))
            }
            Reached::Inside => None,
            Reached::Public => {
                if action != Action::Deny {
                    reading.address(place, &shown, Consumer::AzureFirewall);
                }
                None
            }
            // Service tags: only where they are let through are they taken for all names behind them.
            Reached::NotAddresses if action == Action::Deny => None,
            Reached::NotAddresses => {
                let Some(names) = tag(text) else {
                    doubt(&shown, "which names are behind this service tag isn't known here");
                    return None;
                };
                Some((names, "a service tag is the addresses of everybody's share of a service"))
            }
        },
    }
}

/// The names that are reached by a service tag's addresses; a region after the dot narrows only the place.
fn tag(text: &str) -> Option<Language> {
    let service = text.split('.').next().unwrap_or_default().to_ascii_lowercase();
    Some(match service.as_str() {
        "internet" | "azurecloud" => Language::everything(),
        "storage" => Language::any(
            ["blob", "dfs", "file", "queue", "table", "web"]
                .map(|service| Language::below(&format!("{service}.core.windows.net"))),
        ),
        "azurecontainerregistry" => Family::Registry.language().clone(),
        "azurefrontdoor" => Language::any(["azurefd.net", "azureedge.net"].map(Language::below)),
        "appservice" => Language::below("azurewebsites.net"),
        "azurekeyvault" => Language::below("vault.azure.net"),
        "sql" => Language::below("database.windows.net"),
        "azurecosmosdb" => Language::below("documents.azure.com"),
        "servicebus" | "eventhub" => Language::below("servicebus.windows.net"),
        _ => return None,
    })
}
