//! AWS Network Firewall's domain lists: `.foo` is foo and every name below it, `foo` that name alone.
//! <https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_RulesSourceList.html>

use super::language::Language;
use super::rule::{Consumer, NO_NAME, Place, Reading, Rule, is_of_names_alone};
use super::tree::Node;

/// What becomes of the names on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// They pass, and nothing else does.
    Allow,
    /// They don't, and everything else does as far as this list goes.
    Deny,
    Unknown,
}

impl Effect {
    pub(super) fn of(text: Option<&str>) -> Self {
        match text {
            Some("ALLOWLIST") => Self::Allow,
            Some("DENYLIST" | "REJECTLIST" | "ALERTLIST") => Self::Deny,
            _ => Self::Unknown,
        }
    }
}

/// The lists in a rule group, in a call of the API or in a template of `CloudFormation`.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    for node in root.walk() {
        if let Some(rules) = node.get("RulesString") {
            let why = "rules in Suricata's language aren't judged, only lists of domains";
            let place = Place::node(file, &rules);
            reading.unjudged(place, "RulesString", Consumer::AwsNetworkFirewall, why);
        }
        for key in ["StatefulRules", "StatelessRulesAndCustomActions"] {
            if let Some(rules) = node.get(key) {
                let place = Place::node(file, &rules);
                reading.unjudged(place, key, Consumer::AwsNetworkFirewall, NO_DOMAINS);
            }
        }
        let Some(kind) = node.get("GeneratedRulesType") else { continue };
        let targets = node.get("Targets");
        let mut list = Vec::new();
        for target in targets.iter().flat_map(Node::items) {
            let place = Place::node(file, &target);
            if let Some(text) = target.text() {
                list.push((place, text.to_owned()));
            } else {
                reading.unjudged(place, "Targets", Consumer::AwsNetworkFirewall, EXPRESSION);
            }
        }
        if let Some(targets) = targets.filter(|targets| !targets.is_list()) {
            let why = "only lists that stand here can be judged, and this is an expression";
            let place = Place::node(file, &targets);
            reading.unjudged(place, "Targets", Consumer::AwsNetworkFirewall, why);
        }
        judge(Effect::of(kind.text()), &Place::node(file, &kind), list, &mut reading);
    }
    reading
}

/// Why what isn't a text can't be judged.
pub(super) const EXPRESSION: &str =
    "only texts that stand here can be judged, and this is an expression";

pub(super) const NO_DOMAINS: &str = "rules of addresses aren't judged, only lists of domains";

/// Adds what a list lets through.
pub(super) fn judge(
    effect: Effect,
    place: &Place,
    targets: Vec<(Place, String)>,
    reading: &mut Reading,
) {
    let consumer = Consumer::AwsNetworkFirewall;
    if effect == Effect::Deny {
        let denied = Language::any(targets.iter().map(|(_, text)| names(text).0));
        let reads = "a list that denies lets all other names through";
        let text = "GeneratedRulesType: a list that denies".to_owned();
        reading.rules.push(Rule::new(place.clone(), text, consumer, reads, denied.complement()));
        return;
    }
    if effect == Effect::Unknown {
        let why = "whether this list allows or denies isn't written here; it is taken to allow";
        reading.unjudged(place.clone(), "GeneratedRulesType", consumer, why);
    }
    for (place, text) in targets {
        // `!Ref Names` is read as the text `Names`, which is no domain.
        if !is_of_names_alone(&text) || !text.contains('.') {
            reading.unjudged(place, &format!("Targets: {text}"), consumer, NO_NAME);
            continue;
        }
        let (names, reads) = names(&text);
        reading.rules.push(Rule::new(place, format!("Targets: {text}"), consumer, reads, names));
    }
}

fn names(text: &str) -> (Language, &'static str) {
    match text.strip_prefix('.') {
        Some(domain) => (Language::at_or_below(domain), "`.foo` is foo and every name below it"),
        None => (Language::exact(text), "`foo` is that name alone"),
    }
}
