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
use super::rule::{Consumer, Place, Reading, Rule};
use super::tree::Node;

/// The virtual hosts and filter chains of a bootstrap file, or of a part of one.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    for node in root.walk() {
        if node.get("virtual_hosts").is_some() {
            virtual_hosts(file, &node.list("virtual_hosts"), &mut reading);
        }
        for chain in node.list("filter_chains").into_iter().chain(node.get("default_filter_chain"))
        {
            filter_chain(file, &chain, &mut reading);
        }
    }
    reading
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
        let leads =
            |route: &Node<'_>| route.get("route").is_some() || route.get("filter_action").is_some();
        let passes = routes.iter().any(leads) || host.get("matcher").is_some();
        for node in host.list("domains") {
            let Some(text) = node.text() else { continue };
            let (rank, names) = domain(text);
            domains.push(Domain { node, text, rank, names, passes });
        }
    }
    for domain in domains.iter().filter(|domain| domain.passes) {
        let before = domains.iter().filter(|other| !other.passes && other.rank > domain.rank);
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

fn domain(text: &str) -> (Rank, Language) {
    let text = text.to_ascii_lowercase();
    if text == "*" {
        return ((0, 0), Language::everything());
    }
    if let Some(before) = text.strip_suffix('*') {
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
fn filter_chain(file: &str, chain: &Node<'_>, reading: &mut Reading) {
    let names = chain.get("filter_chain_match").map(|m| m.list("server_names")).unwrap_or_default();
    for name in &names {
        let Some(text) = name.text() else { continue };
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
        let kind = filter.get("typed_config").and_then(|config| config.string("@type"));
        name.contains("sni_dynamic_forward_proxy")
            || kind.is_some_and(|kind| kind.contains("sni_dynamic_forward_proxy"))
    };
    let filters = chain.list("filters");
    if let Some(filter) = filters.iter().find(|f| names.is_empty() && goes_by_server_name(f)) {
        let place = Place::node(file, filter);
        let reads = "a chain without server names that looks names up takes every server name";
        let text = "sni_dynamic_forward_proxy, without server_names".to_owned();
        reading.rules.push(Rule::new(place, text, Consumer::Envoy, reads, Language::everything()));
    }
}
