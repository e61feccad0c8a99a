//! Smokescreen's ACL: `foo` is that name alone, `*.foo` every name below it, and there is no other wildcard.
//!
//! For one service: its own domains pass, whatever else is said; then what is denied for all doesn't, and what is
//! allowed for all does; what is left passes unless the action is `enforce`.
//! <https://github.com/stripe/smokescreen/blob/master/pkg/smokescreen/acl/v1/acl.go>

use super::language::Language;
use super::rule::{Consumer, Place, Reading, Rule, is_of_names_alone};
use super::tree::Node;

/// The services of an ACL, and what holds for all.
pub(super) fn read(file: &str, root: &Node<'_>) -> Reading {
    let mut reading = Reading::default();
    let mut denied = Vec::new();
    for domain in root.list("global_deny_list") {
        denied.extend(names(file, &domain, &mut reading).map(|(names, _)| names));
    }
    let denied = Language::any(denied);
    for domain in root.list("global_allow_list") {
        if let Some((names, reads)) = names(file, &domain, &mut reading) {
            let text = format!("global_allow_list: {}", domain.text().unwrap_or_default());
            push(file, &domain, text, reads, names.minus(&denied), &mut reading);
        }
    }
    for service in root.list("services").into_iter().chain(root.get("default")) {
        for domain in service.list("allowed_domains") {
            if let Some((names, reads)) = names(file, &domain, &mut reading) {
                let text = format!("allowed_domains: {}", domain.text().unwrap_or_default());
                push(file, &domain, text, reads, names, &mut reading);
            }
        }
        let Some(action) = service.get("action") else { continue };
        let reads = match action.text() {
            Some("enforce") => continue,
            Some("report") => "`report` lets everything through, and only tells of it",
            Some("open") => "`open` lets everything through",
            _ => {
                let place = Place::node(file, &action);
                let text = format!("action: {}", action.text().unwrap_or_default());
                let why = "smokescreen knows only `enforce`, `report` and `open`";
                reading.unjudged(place, &text, Consumer::Smokescreen, why);
                continue;
            }
        };
        let text = format!("action: {}", action.text().unwrap_or_default());
        push(file, &action, text, reads, denied.complement(), &mut reading);
    }
    reading
}

fn push(
    file: &str,
    node: &Node<'_>,
    text: String,
    reads: &'static str,
    reach: Language,
    reading: &mut Reading,
) {
    let place = Place::node(file, node);
    reading.rules.push(Rule::new(place, text, Consumer::Smokescreen, reads, reach));
}

fn names(file: &str, domain: &Node<'_>, reading: &mut Reading) -> Option<(Language, &'static str)> {
    let text = domain.text().unwrap_or_default();
    let (domain_part, is_wild) = match text.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (text, false),
    };
    if domain_part.contains('*') || domain_part.is_empty() || !is_of_names_alone(domain_part) {
        let why = "smokescreen doesn't load this: its only wildcard is `*.` before a domain";
        reading.unjudged(Place::node(file, domain), text, Consumer::Smokescreen, why);
        return None;
    }
    let domain_part = domain_part.trim_end_matches('.');
    Some(if is_wild {
        (Language::below(domain_part), "`*.foo` is every name below foo")
    } else {
        (Language::exact(domain_part), "`foo` is that name alone")
    })
}
