//! Envoy's virtual hosts and filter chains.
//!
//! - Of virtual hosts, an exact domain is looked for first, then the longest that begins with `*`, then the longest
//!   that ends with it, then `*` alone; a star is one character or more, dots among them. The port is part of what
//!   is compared.
//!   <https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto#config-route-v3-virtualhost>
//! - In `server_names`, `*.foo` is every name below foo, and `*` every name.
//!   <https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto#config-listener-v3-filterchainmatch>
//!
//! Filters that refuse (RBAC) are not looked at: what they stop is told nevertheless.

use super::language::Language;
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule, is_of_names_alone};
use super::tree::Node;

/// The virtual hosts and filter chains of a bootstrap file, or of a part of one.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    let nodes = root.walk();
    let passes_on = nodes.iter().any(|node| node.string("type") == Some("ORIGINAL_DST"));
    for node in &nodes {
        let hosts = list(node, "virtual_hosts", "virtualHosts");
        virtual_hosts(file, &hosts, &mut reading);
        let chains = list(node, "filter_chains", "filterChains").into_iter();
        for chain in chains.chain(get(node, "default_filter_chain", "defaultFilterChain")) {
            filter_chain(file, &chain, passes_on, &mut reading);
        }
        for (key, other) in [("rds", "rds"), ("vhds", "vhds"), ("scoped_routes", "scopedRoutes")] {
            if let Some(routes) = get(node, key, other) {
                let why = "which hosts these are is told to Envoy by another program";
                reading.unjudged(Place::node(file, &routes), key, Consumer::Envoy, why);
            }
        }
    }
    reading
}

/// What `key` has in either of the two spellings that Envoy reads.
/// <https://protobuf.dev/programming-guides/json/>
fn get<'t>(node: &Node<'t>, key: &str, other: &str) -> Option<Node<'t>> {
    node.get(key).or_else(|| node.get(other))
}

fn list<'t>(node: &Node<'t>, key: &str, other: &str) -> Vec<Node<'t>> {
    get(node, key, other).map(|node| node.items().collect()).unwrap_or_default()
}

/// How specific a domain is: what is greater is asked first.
type Rank = (u8, usize);

struct Domain<'t> {
    node: Node<'t>,
    text: &'t str,
    rank: Rank,
    names: Language,
    passes: bool,
}

fn virtual_hosts(file: &str, hosts: &[Node<'_>], reading: &mut Reading) {
    let mut domains = Vec::new();
    for host in hosts {
        let routes = host.list("routes");
        // Answers of Envoy's own lead nowhere.
        let leads = |route: &Node<'_>| {
            route.get("route").is_some() || get(route, "filter_action", "filterAction").is_some()
        };
        let passes = routes.iter().any(leads) || host.get("matcher").is_some();
        for node in host.list("domains") {
            let text = node.text().unwrap_or_default();
            let host = text.split_once(':').map_or(text, |(host, _)| host);
            // An address in brackets is no name.
            if (text.is_empty() || !is_of_names_alone(host)) && !text.starts_with('[') {
                let text = format!("domains: {text}");
                reading.unjudged(Place::node(file, &node), &text, Consumer::Envoy, NO_NAME);
                continue;
            }
            let (rank, names) = domain(text);
            domains.push(Domain { node, text, rank, names, passes });
        }
    }
    for domain in domains.iter().filter(|domain| domain.passes) {
        // The port is a part of what is compared: a denial of `foo:80` denies nothing of `foo:443`.
        let before = domains.iter().filter(|other| {
            let at = port(other.text);
            let same_port = at != Port::Any && at == port(domain.text);
            !other.passes && other.rank > domain.rank && same_port
        });
        let before: Vec<Language> = before.map(|other| other.names.clone()).collect();
        let reach = if before.is_empty() {
            domain.names.clone()
        } else {
            domain.names.minus(&Language::any(before))
        };
        let reads = "a `*` in a virtual host's domain is one character or more, dots among them";
        let text = format!("domains: {}", domain.text);
        let place = Place::node(file, &domain.node);
        reading.rules.push(Rule::new(place, text, Consumer::Envoy, reads, reach));
    }
}

/// What a domain says of the port, as a part of the text that is compared.
#[derive(PartialEq, Eq)]
enum Port<'a> {
    /// A star takes it, too.
    Any,
    /// It names none, so there must be none.
    Unsaid,
    This(&'a str),
}

fn port(text: &str) -> Port<'_> {
    if text.ends_with('*') {
        return Port::Any;
    }
    text.rsplit_once(':').map_or(Port::Unsaid, |(_, port)| Port::This(port))
}

fn domain(text: &str) -> (Rank, Language) {
    let text = text.to_ascii_lowercase();
    if text == "*" {
        return ((0, 0), Language::everything());
    }
    if let Some(before) = text.strip_suffix('*') {
        if let Some((host, _)) = before.split_once(':').filter(|_| !before.starts_with('*')) {
            return ((1, text.len()), Language::exact(host));
        }
        // The star takes the port, too.
        return ((1, text.len()), Language::glob(&format!("{before}*"), ".+"));
    }
    let host = text.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = host.map_or(text.as_str(), |(host, _)| host);
    match name.strip_prefix('*') {
        Some(after) => ((2, text.len()), Language::glob(&format!("*{after}"), ".+")),
        None => ((3, 0), Language::exact(name)),
    }
}

/// A chain that looks names up by itself, where the client's server name says which.
fn filter_chain(file: &str, chain: &Node<'_>, passes_on: bool, reading: &mut Reading) {
    let names = get(chain, "filter_chain_match", "filterChainMatch");
    let names = names.map(|m| list(&m, "server_names", "serverNames")).unwrap_or_default();
    for name in &names {
        let text = name.text().unwrap_or_default();
        if text.is_empty() || !is_of_names_alone(text) {
            let text = format!("server_names: {text}");
            reading.unjudged(Place::node(file, name), &text, Consumer::Envoy, NO_NAME);
            continue;
        }
        let (reach, reads) = match text.strip_prefix("*.") {
            _ if text == "*" => (Language::everything(), "`*` is every server name"),
            Some(domain) => (Language::below(domain), "`*.foo` is every server name below foo"),
            None => (Language::exact(text), "`foo` is that server name alone"),
        };
        let place = Place::node(file, name);
        let text = format!("server_names: {text}");
        reading.rules.push(Rule::new(place, text, Consumer::Envoy, reads, reach));
    }
    let goes_by_server_name = |filter: &Node<'_>| {
        let name = filter.string("name").unwrap_or_default();
        let kind =
            get(filter, "typed_config", "typedConfig").and_then(|config| config.string("@type"));
        name.contains("sni_dynamic_forward_proxy")
            || kind.is_some_and(|kind| kind.contains("sni_dynamic_forward_proxy"))
    };
    let filters = chain.list("filters");
    if passes_on && names.is_empty() {
        let why =
            "a chain without server names, beside a cluster that goes wherever the client went";
        let text = "filter_chains: without server_names";
        reading.unjudged(Place::node(file, chain), text, Consumer::Envoy, why);
    }
    if let Some(filter) = filters.iter().find(|f| names.is_empty() && goes_by_server_name(f)) {
        let place = Place::node(file, filter);
        let reads = "a chain without server names that looks names up takes every server name";
        let text = "sni_dynamic_forward_proxy, without server_names".to_owned();
        reading.rules.push(Rule::new(place, text, Consumer::Envoy, reads, Language::everything()));
    }
}
