//! Cilium's policies: what their egress rules let pods reach.
//!
//! - `matchName` is one name. In `matchPattern`, `*` is any characters but a dot, also none; two stars or more
//!   before the first dot are one label or more; stars alone are every name.
//!   <https://docs.cilium.io/en/stable/security/policy/language/#dns-based>
//!   <https://github.com/cilium/cilium/blob/main/pkg/fqdn/matchpattern/matchpattern.go>
//! - A rule without a destination, but with ports, is for every destination; one without anything for none.
//!   <https://docs.cilium.io/en/stable/security/policy/language/#layer-4-examples>

use super::block::{self, Reached};
use super::language::Language;
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule, is_of_names_alone};
use super::tree::Node;

/// The policies in a document.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    let items = root.list("items");
    for policy in if items.is_empty() { vec![root.clone()] } else { items } {
        let kind = policy.string("kind");
        if !matches!(kind, Some("CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy")) {
            if let Some(kind) = policy.get("kind").filter(|k| k.text().is_some_and(is_policy)) {
                let text = format!("kind: {}", kind.text().unwrap_or_default());
                let why = "of policies only Cilium's own are judged, and this one adds to them";
                reading.unjudged(Place::node(file, &kind), &text, Consumer::Cilium, why);
            }
            continue;
        }
        for spec in policy.get("spec").into_iter().chain(policy.list("specs")) {
            if let Some(text) = spec.get("egress").and_then(|egress| egress.text()) {
                let why = "only lists that stand here can be judged";
                let text = format!("egress: {text}");
                reading.unjudged(Place::node(file, &spec), &text, Consumer::Cilium, why);
            }
            let mut rules = Reading::default();
            for rule in spec.list("egress") {
                egress(file, &rule, &mut rules);
            }
            if spec.list("egressDeny").iter().any(denies_the_world) {
                for rule in &mut rules.rules {
                    rule.reach = Language::nothing();
                }
                rules.doubts.clear();
            }
            reading.extend(rules);
        }
    }
    reading
}

fn is_policy(kind: &str) -> bool {
    kind.ends_with("NetworkPolicy")
}

/// Denials come before everything that is allowed to the same pods. They know no names, so only those that stop all
/// traffic to the world take names away; others are left out, and what they deny is told nevertheless.
/// <https://docs.cilium.io/en/stable/security/policy/language/#deny-policies>
fn denies_the_world(rule: &Node<'_>) -> bool {
    let other = |key: &str| !matches!(key, "toEntities" | "toCIDR");
    if rule.entries().any(|(key, _)| other(key)) {
        return false;
    }
    let holds =
        |key: &str, wanted: &str| rule.list(key).iter().any(|item| item.text() == Some(wanted));
    let by_entity = holds("toEntities", "all") || holds("toEntities", "world");
    by_entity || (holds("toCIDR", "0.0.0.0/0") && holds("toCIDR", "::/0"))
}

fn egress(file: &str, rule: &Node<'_>, reading: &mut Reading) {
    let mut push = |node: &Node<'_>, text: String, reads, reach| {
        let place = Place::node(file, node);
        reading.rules.push(Rule::new(place, text, Consumer::Cilium, reads, reach));
    };
    let mut doubts = Vec::new();
    let fqdns = rule.list("toFQDNs");
    for fqdn in &fqdns {
        for (key, value) in fqdn.entries() {
            let text = value.text().unwrap_or_default().trim();
            if !is_of_names_alone(text) || value.is_list() {
                doubts.push((value, format!("{key}: {text}")));
                continue;
            }
            let (reach, reads) = match key {
                "matchName" => {
                    let name = text.strip_suffix('.').unwrap_or(text);
                    (Language::exact(name), "`matchName` is that name alone")
                }
                "matchPattern" => {
                    (pattern(text), "`*` is any characters but a dot, and `**.` any labels")
                }
                _ => continue,
            };
            push(&value, format!("{key}: {text}"), reads, reach);
        }
    }
    // Where the server name is looked at, it decides among names behind one address.
    let server_names = server_names(rule);
    let by_name = |reach: Language| match &server_names {
        Some(names) => Language::all([reach, names.clone()]),
        None => reach,
    };
    for entity in rule.list("toEntities") {
        let name = entity.text().unwrap_or_default();
        if matches!(name, "all" | "world" | "world-ipv4" | "world-ipv6") {
            let reach = by_name(Language::everything());
            push(&entity, format!("toEntities: {name}"), "the world is every name", reach);
        }
    }
    let blocks = rule.list("toCIDR").into_iter();
    let sets = rule.list("toCIDRSet").into_iter().filter_map(|set| set.get("cidr"));
    let mut public = Vec::new();
    for block in blocks.chain(sets) {
        let text = block.text().unwrap_or_default();
        match block::reached(text) {
            Reached::Everything => {
                let reach = by_name(Language::everything());
                push(&block, format!("toCIDR: {text}"), "every address, and so every name", reach);
            }
            Reached::Public if server_names.is_none() => public.push(block),
            Reached::Public => {
                let reach = by_name(Language::everything());
                push(&block, format!("toCIDR: {text}"), "the names in `serverNames`", reach);
            }
            Reached::NotAddresses => doubts.push((block.clone(), format!("toCIDR: {text}"))),
            Reached::Inside => {}
        }
    }
    // A key without a value is as good as none.
    let is_destination = |key: &str| key.starts_with("to") && key != "toPorts";
    let has_destination =
        rule.entries().any(|(key, value)| is_destination(key) && !value.is_null());
    if !has_destination && rule.get("toPorts").is_some() {
        let reach = by_name(Language::everything());
        let reads = "a rule with ports and without a destination is for every destination";
        push(rule, "toPorts, without a destination".to_owned(), reads, reach);
    }
    for (node, text) in doubts {
        reading.unjudged(Place::node(file, &node), &text, Consumer::Cilium, NO_NAME);
    }
    for (key, value) in rule
        .entries()
        .filter(|(key, value)| is_destination(key) && !value.is_list() && !value.is_null())
    {
        let text = format!("{key}: {}", value.text().unwrap_or_default());
        let why = "only lists that stand here can be judged";
        reading.unjudged(Place::node(file, &value), &text, Consumer::Cilium, why);
    }
    for block in public {
        let text = format!("toCIDR: {}", block.text().unwrap_or_default());
        reading.address(Place::node(file, &block), &text, Consumer::Cilium);
    }
    for key in ["toGroups", "toServices", "toCIDRSet"] {
        for item in rule.list(key) {
            let is_elsewhere =
                key == "toGroups" || (key == "toCIDRSet" && item.get("cidr").is_none());
            if is_elsewhere {
                let why = "the addresses of this group stand elsewhere";
                reading.unjudged(Place::node(file, &item), key, Consumer::Cilium, why);
            }
        }
    }
}

/// The names in `serverNames`, if every list of ports has some.
fn server_names(rule: &Node<'_>) -> Option<Language> {
    let ports = rule.list("toPorts");
    if ports.is_empty() || ports.iter().any(|ports| ports.list("serverNames").is_empty()) {
        return None;
    }
    let names = ports.iter().flat_map(|ports| ports.list("serverNames"));
    Some(Language::any(names.filter_map(|name| name.text().map(pattern))))
}

fn pattern(text: &str) -> Language {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
        return Language::everything();
    }
    let stars = text.bytes().take_while(|byte| *byte == b'*').count();
    let below = text[stars..].strip_prefix('.').filter(|_| stars >= 2);
    let one_label = |text: &str| Language::glob(text, "[a-z0-9-]*");
    match below {
        None => one_label(text),
        Some(rest) => {
            // One label or more before what the rest stands for.
            let parts: Vec<String> = rest.split('*').map(escaped).collect();
            if rest.bytes().any(|byte| !is_of_pattern(byte)) {
                return Language::nothing();
            }
            let rest = parts.join("[a-z0-9-]*");
            Language::pattern(format!(r"(?:[a-z0-9-]+\.)+{rest}"))
        }
    }
}

fn is_of_pattern(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*".contains(&byte)
}

fn escaped(text: &str) -> String {
    text.replace('.', r"\.").replace('-', r"\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Cilium's own tests. <https://github.com/cilium/cilium/blob/main/pkg/fqdn/matchpattern/matchpattern_test.go>
    #[test]
    fn patterns_are_cilium_s() {
        for (text, fits, others) in [
            ("cilium.io", &["cilium.io"][..], &["anysub.cilium.io", "ci.io"][..]),
            ("*.cilium.io.", &["anysub.cilium.io"], &["cilium.io", "a.b.cilium.io", "x.ci.io"]),
            ("*cilium.io", &["cilium.io", "evilcilium.io"], &["a.cilium.io"]),
            ("*.ci*.io", &["a.cilium.io", "a.ci.io", "a.ciliumandmore.io"], &["cilium.io"]),
            ("**.cilium.io", &["a.cilium.io", "a.b.cilium.io"], &["cilium.io", "evilcilium.io"]),
            ("a**.cilium.io", &["ab.cilium.io", "a.cilium.io"], &["a.b.cilium.io"]),
            ("*", &["cilium.io", "a.b.c"], &[]),
            ("**.", &["cilium.io"], &[]),
        ] {
            let names = pattern(text);
            let holds = |name: &str| names.holds(&name.parse().expect(name)).expect("it is small");
            assert!(fits.iter().all(|name| holds(name)), "{text}");
            assert!(!others.iter().any(|name| holds(name)), "{text}");
        }
    }
}
