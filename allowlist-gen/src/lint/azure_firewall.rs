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
//! A denial takes names away from the collections behind it where it surely covers their clients, their protocols and
//! their ports, and surely stands before them. Keys are read in any case, as ARM reads them.

use std::collections::BTreeSet;

use super::block::{self, Reached};
use super::family::Family;
use super::language::Language;
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule, is_of_names_alone};
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
    pub(super) group: Group,
    /// `None` where it isn't a literal.
    pub(super) collection: Option<u32>,
}

/// When a group of collections is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    At(u32),
    /// Its priority isn't a literal; the number tells it from others.
    Somewhen(usize),
}

impl Order {
    fn is_surely_before(self, other: Self) -> bool {
        if self.kind != other.kind {
            return self.kind < other.kind;
        }
        match (self.group, other.group) {
            (Group::At(ours), Group::At(theirs)) if ours != theirs => ours < theirs,
            (ours, theirs) if ours == theirs => {
                matches!((self.collection, other.collection), (Some(a), Some(b)) if a < b)
            }
            _ => false,
        }
    }
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
    pub(super) ports: Ports,
    pub(super) targets: Vec<Target>,
}

/// Protocols and ports that a rule is for; `None` where they aren't literals.
pub(super) type Ports = Option<Vec<(Protocol, u16, u16)>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    Any,
    Tcp,
    Other(String),
}

impl Protocol {
    fn of(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "any" => Self::Any,
            "tcp" => Self::Tcp,
            other => Self::Other(other.to_owned()),
        }
    }
}

pub(super) const ALL_PORTS: (Protocol, u16, u16) = (Protocol::Any, 0, u16::MAX);

/// The ports of an application rule: each protocol with its own.
pub(super) fn application_ports<'p>(
    protocols: impl IntoIterator<Item = (Option<&'p str>, Option<&'p str>)>,
) -> Ports {
    let protocols = protocols.into_iter().map(|(kind, port)| {
        let port = port?.parse().ok()?;
        Some((Protocol::of(kind?), port, port))
    });
    protocols.collect()
}

/// The ports of a network rule: each protocol with each range.
pub(super) fn network_ports(protocols: &[Option<&str>], ranges: &[Option<&str>]) -> Ports {
    let mut ports = Vec::new();
    for protocol in protocols {
        for range in ranges {
            let (low, high) = match (*range)? {
                "*" => (0, u16::MAX),
                range => {
                    let (low, high) = range.split_once('-').unwrap_or((range, range));
                    (low.trim().parse().ok()?, high.trim().parse().ok()?)
                }
            };
            ports.push((Protocol::of((*protocol)?), low, high));
        }
    }
    Some(ports)
}

/// Whether a denial of `ours` leaves nothing of `theirs`. An application rule's protocols are all TCP.
fn surely_cover(ours: &Ports, theirs: &Ports) -> bool {
    let all = vec![ALL_PORTS];
    let (Some(ours), theirs) = (ours, theirs.as_ref().unwrap_or(&all)) else { return false };
    theirs.iter().all(|(protocol, low, high)| {
        ours.iter().any(|(denied, from, to)| {
            let same = denied == protocol || *denied == Protocol::Any;
            let carries = *denied == Protocol::Tcp
                && matches!(protocol, Protocol::Other(name) if matches!(name.as_str(), "http" | "https" | "mssql"));
            (same || carries) && (*from).max(1) <= (*low).max(1) && high <= to
        })
    })
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
    let key = key.to_ascii_lowercase();
    Some(match (key.as_str(), kind) {
        ("targetfqdns" | "destination_fqdns" | "target_fqdns", Kind::Application) => {
            TargetKind::Fqdn
        }
        ("destinationfqdns" | "destination_fqdns", Kind::Network) => TargetKind::NetworkFqdn,
        ("targeturls" | "destination_urls", Kind::Application) => TargetKind::Url,
        ("destinationaddresses" | "destination_addresses", Kind::Network) => TargetKind::Address,
        ("fqdntags" | "fqdn_tags" | "destination_fqdn_tags", Kind::Application) => {
            TargetKind::Elsewhere("the names behind an FQDN tag are Microsoft's to choose")
        }
        ("webcategories" | "web_categories", Kind::Application) => {
            TargetKind::Elsewhere("the names of a web category are Microsoft's to choose")
        }
        ("destinationipgroups" | "destination_ip_groups", Kind::Network) => {
            TargetKind::Elsewhere("the addresses of an IP group stand elsewhere")
        }
        _ => return None,
    })
}

/// The rules of an ARM template, of what az prints, or of a parameter file.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut collections = Vec::new();
    let mut elsewhere = Reading::default();
    let nodes = root.walk();
    for (index, node) in nodes.iter().enumerate() {
        // A policy's groups, and the older firewalls that hold their collections themselves.
        let group = match priority(node) {
            Some(priority) => Group::At(priority),
            None => Group::Somewhen(index),
        };
        for (key, kind) in COLLECTIONS {
            for list in properties(node, key) {
                if !list.is_list() && !list.is_null() {
                    let text = format!("{key}: {}", list.text().unwrap_or_default());
                    let place = Place::node(file, &list);
                    elsewhere.unjudged(place, &text, Consumer::AzureFirewall, NO_LIST);
                }
                for collection in list.items() {
                    let group = if kind.is_some() { Group::At(0) } else { group };
                    collections.extend(arm_collection(
                        file,
                        &collection,
                        group,
                        kind,
                        &mut elsewhere,
                    ));
                }
            }
        }
    }
    // A node and the `properties` below it both lead to the same lists.
    let mut seen = BTreeSet::new();
    collections.retain(|(place, _)| seen.insert(place.clone()));
    let collections: Vec<Collection> =
        collections.into_iter().map(|(_, collection)| collection).collect();
    outside(file, &nodes, &collections, &mut elsewhere);
    let mut seen = BTreeSet::new();
    elsewhere.doubts.retain(|doubt| seen.insert(doubt.place.clone()));
    let mut reading = judge(collections);
    reading.extend(elsewhere);
    reading
}

const COLLECTIONS: [(&str, Option<Kind>); 3] = [
    ("ruleCollections", None),
    ("networkRuleCollections", Some(Kind::Network)),
    ("applicationRuleCollections", Some(Kind::Application)),
];

const NO_LIST: &str = "only lists that stand here can be judged, and this is an expression";

/// Whether a key is that of a list of collections.
pub(super) fn is_of_collections(key: &str) -> bool {
    COLLECTIONS.iter().any(|(name, _)| name.eq_ignore_ascii_case(key))
}

/// What a key has, in any case, at a node or where ARM nests what az prints flat.
fn properties<'t>(node: &Node<'t>, key: &str) -> Vec<Node<'t>> {
    let of = |node: &Node<'t>, key: &str| -> Vec<Node<'t>> {
        node.entries()
            .filter(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
            .collect()
    };
    let below = of(node, "properties").into_iter().flat_map(|node| of(&node, key));
    of(node, key).into_iter().chain(below).collect()
}

fn text<'t>(node: &Node<'t>, key: &str) -> Option<&'t str> {
    properties(node, key).first().and_then(Node::text)
}

fn priority(node: &Node<'_>) -> Option<u32> {
    text(node, "priority")?.parse().ok()
}

/// Names that stand where no rule was read: what a loop, a parameter or a variable makes rules of.
fn outside(file: &str, nodes: &[Node<'_>], collections: &[Collection], reading: &mut Reading) {
    let targets = collections.iter().flat_map(|c| &c.rules).flat_map(|rule| &rule.targets);
    let read: BTreeSet<&str> = targets.filter_map(|target| target.place.path.as_deref()).collect();
    for node in nodes {
        for (key, value) in node.entries() {
            let is_of_names = [Kind::Application, Kind::Network].iter().any(|kind| {
                let kind = target_kind(key, *kind);
                kind.is_some_and(|kind| kind != TargetKind::Address)
            });
            let mut items = value.items();
            let is_read = read.contains(value.path())
                || value.is_null()
                || (value.is_list() && items.all(|item| read.contains(item.path())));
            // A loop that stands beside a rule's other keys, and names the key that it fills.
            let fills = key == "name"
                && value.text().is_some_and(|name| {
                    let is_target = [Kind::Application, Kind::Network]
                        .iter()
                        .any(|kind| target_kind(name, *kind).is_some());
                    is_target || name.eq_ignore_ascii_case("rules") || is_of_collections(name)
                })
                && node.get("input").is_some();
            if (is_of_names && !is_read) || fills {
                let text = format!("{key}: {}", value.text().unwrap_or_default());
                let why = "it stands in no rule: what becomes of it isn't written here";
                let place = Place::node(file, &value);
                reading.unjudged(place, &text, Consumer::AzureFirewall, why);
            }
        }
    }
}

/// One for each kind of rules in it, with where it stands.
fn arm_collection(
    file: &str,
    node: &Node<'_>,
    group: Group,
    kind: Option<Kind>,
    elsewhere: &mut Reading,
) -> Vec<((String, Kind), Collection)> {
    let action = properties(node, "action").into_iter().next();
    let action = action.and_then(|action| text(&action, "type").or_else(|| action.text()));
    let collection = priority(node);
    let lists = properties(node, "rules");
    let is_written = |list: &&Node<'_>| list.is_list() || list.is_null();
    if node.text().is_some() || lists.iter().any(|list| !is_written(&list)) {
        let node = lists.first().unwrap_or(node);
        let text = format!("rules: {}", node.text().unwrap_or_default());
        elsewhere.unjudged(Place::node(file, node), &text, Consumer::AzureFirewall, NO_LIST);
    }
    for rule in lists.iter().flat_map(Node::items).filter(|rule| rule.text().is_some()) {
        let text = format!("rules: {}", rule.text().unwrap_or_default());
        elsewhere.unjudged(Place::node(file, &rule), &text, Consumer::AzureFirewall, NO_LIST);
    }
    let mut kinds = Vec::new();
    for kind in kind.map_or(vec![Kind::Network, Kind::Application], |kind| vec![kind]) {
        let rules = lists.iter().flat_map(Node::items).filter_map(|rule| {
            let said = text(&rule, "ruleType").map(str::to_ascii_lowercase);
            let fits = match said.as_deref() {
                Some("applicationrule") => kind == Kind::Application,
                Some("networkrule") => kind == Kind::Network,
                Some("natrule") => false,
                // What isn't written here may be either.
                _ => true,
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
    // Older firewalls nest what a rule says.
    let nested = node.entries().filter(|(key, _)| key.eq_ignore_ascii_case("properties"));
    let nested: Vec<Node<'_>> = nested.map(|(_, value)| value).collect();
    for (key, value) in node.entries().chain(nested.iter().flat_map(Node::entries)) {
        let Some(target) = target_kind(key, kind) else { continue };
        if value.is_null() {
            continue;
        }
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
    let clients = ["sourceAddresses", "sourceIpGroups"].map(|key| properties(node, key));
    let mut sources = BTreeSet::new();
    let mut is_known = true;
    for list in clients.iter().flatten().filter(|list| !list.is_null()) {
        is_known &= list.is_list();
        sources.extend(list.items().filter_map(|item| item.text().map(str::to_owned)));
    }
    let is_known = is_known && !sources.is_empty() && !sources.iter().any(|s| s.starts_with('['));
    let clients = if is_known { Clients::These(sources) } else { Clients::Unknown };
    let ports = arm_ports(node, kind);
    FirewallRule { clients, ports, targets }
}

/// Azure takes no rule without them, so where there are none, all are meant.
fn arm_ports(node: &Node<'_>, kind: Kind) -> Ports {
    let first = |key| properties(node, key).into_iter().find(|node| !node.is_null());
    match kind {
        Kind::Application => {
            let Some(protocols) = first("protocols") else { return Some(vec![ALL_PORTS]) };
            let protocols: Vec<Node<'_>> = protocols.items().collect();
            let parts = protocols
                .iter()
                .map(|protocol| (text(protocol, "protocolType"), text(protocol, "port")));
            application_ports(parts).filter(|ports| !ports.is_empty())
        }
        Kind::Network => {
            let Some(ranges) = first("destinationPorts") else { return Some(vec![ALL_PORTS]) };
            let protocols = first("ipProtocols").or_else(|| first("protocols"));
            let ranges: Vec<Node<'_>> = ranges.items().collect();
            let ranges: Vec<Option<&str>> = ranges.iter().map(Node::text).collect();
            let protocols: Vec<Option<&str>> = match &protocols {
                Some(protocols) => protocols.items().map(|item| item.text()).collect(),
                None => vec![Some("any")],
            };
            network_ports(&protocols, &ranges).filter(|ports| !ports.is_empty())
        }
    }
}

/// What the collections let through, each behind the denials before it.
pub(super) fn judge(mut collections: Vec<Collection>) -> Reading {
    collections.sort_by_key(|collection| collection.order);
    let mut reading = Reading::default();
    let mut denied: Vec<(Order, &FirewallRule, Language)> = Vec::new();
    for collection in &collections {
        for rule in &collection.rules {
            let before = denied.iter().filter(|(order, denial, _)| {
                order.is_surely_before(collection.order)
                    && denial.clients.surely_cover(&rule.clients)
                    && surely_cover(&denial.ports, &rule.ports)
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
                denied.push((collection.order, rule, Language::any(names)));
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
        TargetKind::Fqdn | TargetKind::NetworkFqdn if !is_of_names_alone(text) => {
            doubt(&shown, NO_NAME);
            None
        }
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
            if !is_of_names_alone(host) {
                doubt(&shown, NO_NAME);
                return None;
            }
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
