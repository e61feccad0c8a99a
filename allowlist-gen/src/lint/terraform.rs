//! Terraform's configurations: rules of Azure Firewall and of AWS Network Firewall, and the exceptions of an AKS
//! cluster's proxy, as literals. What isn't one, a variable or a function, is told as what can't be judged.
//! <https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/firewall_policy_rule_collection_group>

use std::collections::BTreeSet;

use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};
use ringfence_config::snippet::Source;

use super::aws_network_firewall::{self, EXPRESSION, Effect};
use super::azure_firewall::{
    self, ALL_PORTS, Action, Clients, Collection, FirewallRule, Group, Kind, Order, Ports, Target,
    TargetKind, target_kind,
};
use super::no_proxy;
use super::rule::{Consumer, Place, Reading};

/// What the resources in `source` let through, `None` if it has none of them; an error in words if it isn't HCL.
pub(super) fn read(source: &Source) -> Result<Option<Reading>, String> {
    let body: Body = source.text.parse().map_err(|error: hcl_edit::parser::Error| {
        let at = error.location();
        format!("line {}, column {}: {}", at.line(), at.column(), error.message())
    })?;
    let reading = Reading::default();
    let mut file = File { source, reading, collections: Vec::new(), has_rules: false };
    file.body(&body);
    let mut reading = azure_firewall::judge(file.collections);
    reading.extend(file.reading);
    let is_empty = reading.rules.is_empty() && reading.doubts.is_empty();
    Ok((file.has_rules || !is_empty).then_some(reading))
}

struct File<'s> {
    source: &'s Source,
    reading: Reading,
    collections: Vec<Collection>,
    /// There is a resource of a kind that is read, if only one without a rule.
    has_rules: bool,
}

impl File<'_> {
    fn body(&mut self, body: &Body) {
        for block in body.blocks() {
            match block.ident.as_str() {
                "resource" => self.resource(block),
                "locals" => {
                    let mut is_read = false;
                    for attribute in block.body.attributes() {
                        is_read |= self.no_proxy_in(&attribute.value);
                    }
                    self.has_rules |= is_read;
                    self.elsewhere(block, is_read);
                }
                _ => self.elsewhere(block, false),
            }
        }
    }

    fn resource(&mut self, resource: &Block) {
        let kind = resource.labels.first().map_or("", |label| label.as_str());
        self.has_rules |= kind.starts_with("azurerm_firewall_") && kind.contains("rule_collection")
            || matches!(kind, "azurerm_kubernetes_cluster" | "aws_networkfirewall_rule_group");
        match kind {
            "azurerm_firewall_policy_rule_collection_group" => {
                let group = match Self::number(&resource.body, "priority") {
                    Some(priority) => Group::At(priority),
                    None => Group::Somewhen(resource.span().map_or(0, |span| span.start)),
                };
                for block in self.blocks(&resource.body, Consumer::AzureFirewall) {
                    match block.ident.as_str() {
                        "application_rule_collection" => {
                            self.collection(&block.body, Kind::Application, group);
                        }
                        "network_rule_collection" => {
                            self.collection(&block.body, Kind::Network, group);
                        }
                        _ => {}
                    }
                }
            }
            "azurerm_firewall_application_rule_collection" => {
                self.collection(&resource.body, Kind::Application, Group::At(0));
            }
            "azurerm_firewall_network_rule_collection" => {
                self.collection(&resource.body, Kind::Network, Group::At(0));
            }
            "azurerm_kubernetes_cluster" => {
                let blocks = self.blocks(&resource.body, Consumer::NoProxy).into_iter();
                for block in blocks.filter(|block| block.ident.as_str() == "http_proxy_config") {
                    if let Some(attribute) = block.body.get_attribute("no_proxy") {
                        self.no_proxy(&attribute.value);
                    }
                }
            }
            "aws_networkfirewall_rule_group" => self.aws(&resource.body),
            _ => self.elsewhere(resource, false),
        }
    }

    /// Blocks that aren't read, but hold what rules are made of: modules, variables, other providers' resources.
    fn elsewhere(&mut self, block: &Block, has_no_proxy: bool) {
        let Some(text) = block.span().and_then(|span| self.source.text.get(span)) else { return };
        let text = text.to_ascii_lowercase();
        let mut keys = OF_RULES.iter().filter(|key| !(has_no_proxy && **key == "no_proxy"));
        if let Some(key) = keys.find(|key| text.contains(**key)) {
            let labels: Vec<&str> =
                block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
            let shown = format!("{} {}: {key}", block.ident.as_str(), labels.join(" "));
            let why =
                "only resources of firewalls and clusters are judged, and this holds rules, too";
            let consumer = match *key {
                "no_proxy" | "noproxy" => Consumer::NoProxy,
                _ => Consumer::AzureFirewall,
            };
            self.reading.unjudged(self.place(block.span()), &shown, consumer, why);
        }
    }

    /// Blocks, with a word on those that are made by a loop.
    fn blocks<'b>(&mut self, body: &'b Body, consumer: Consumer) -> Vec<&'b Block> {
        for block in body.get_blocks("dynamic") {
            let name = block.labels.first().map_or("", |label| label.as_str());
            let why = "only blocks that stand here can be judged, and these are made by a loop";
            let place = self.place(block.span());
            self.reading.unjudged(place, &format!("dynamic {name}"), consumer, why);
        }
        body.blocks().filter(|block| block.ident.as_str() != "dynamic").collect()
    }

    fn collection(&mut self, body: &Body, kind: Kind, group: Group) {
        let action = body.get_attribute("action").and_then(|action| action.value.as_str());
        let order = Order { kind, group, collection: Self::number(body, "priority") };
        let blocks = self.blocks(body, Consumer::AzureFirewall);
        let rules = blocks.into_iter().filter(|block| block.ident.as_str() == "rule");
        let rules: Vec<FirewallRule> = rules.map(|rule| self.rule(&rule.body, kind)).collect();
        self.collections.push(Collection { order, action: Action::of(action), rules });
    }

    fn rule(&mut self, body: &Body, kind: Kind) -> FirewallRule {
        let mut targets = Vec::new();
        let mut sources = Some(BTreeSet::new());
        for attribute in body.attributes() {
            let key = attribute.key.as_str();
            if matches!(key, "source_addresses" | "source_ip_groups") {
                let texts = literals(&attribute.value).into_iter().map(|(_, text)| text);
                sources = texts.collect::<Option<BTreeSet<String>>>().and_then(|texts| {
                    sources.map(|known| known.into_iter().chain(texts).collect())
                });
            }
            if let Some(target) = target_kind(key, kind) {
                targets.extend(self.targets(&attribute.value, key, target));
            }
        }
        let ports = Self::ports(body, kind);
        let clients = match sources {
            Some(sources) if !sources.is_empty() => Clients::These(sources),
            _ => Clients::Unknown,
        };
        FirewallRule { clients, ports, targets }
    }

    /// Azure takes no rule without them, so where there are none, all are meant.
    fn ports(body: &Body, kind: Kind) -> Ports {
        let texts = |key: &str| -> Option<Vec<Option<String>>> {
            let value = &body.get_attribute(key)?.value;
            Some(literals(value).into_iter().map(|(_, text)| text).collect())
        };
        match kind {
            Kind::Application => {
                let is_protocol = |name: &str| matches!(name, "protocols" | "protocol");
                if body.get_blocks("dynamic").next().is_some() {
                    return None;
                }
                let blocks: Vec<&Block> =
                    body.blocks().filter(|block| is_protocol(block.ident.as_str())).collect();
                if blocks.is_empty() {
                    return Some(vec![ALL_PORTS]);
                }
                let of = |block: &Block, key: &str| {
                    let value = &block.body.get_attribute(key)?.value;
                    let plain = value.as_number().map(ToString::to_string);
                    value.as_str().map(str::to_owned).or(plain)
                };
                let parts: Vec<[Option<String>; 2]> =
                    blocks.iter().map(|block| [of(block, "type"), of(block, "port")]).collect();
                azure_firewall::application_ports(
                    parts.iter().map(|[kind, port]| (kind.as_deref(), port.as_deref())),
                )
            }
            Kind::Network => {
                let Some(ranges) = texts("destination_ports") else { return Some(vec![ALL_PORTS]) };
                let protocols = texts("protocols").unwrap_or_else(|| vec![Some("Any".to_owned())]);
                let protocols: Vec<Option<&str>> = protocols.iter().map(Option::as_deref).collect();
                let ranges: Vec<Option<&str>> = ranges.iter().map(Option::as_deref).collect();
                azure_firewall::network_ports(&protocols, &ranges).filter(|ports| !ports.is_empty())
            }
        }
    }

    fn targets(&self, value: &Expression, key: &str, kind: TargetKind) -> Vec<Target> {
        let target = |(expression, text): (&Expression, Option<String>)| {
            let key = match &text {
                Some(_) => key.to_owned(),
                None => format!("{key} = {}", expression.to_string().trim()),
            };
            Target { place: self.place(expression.span()), key, kind, text }
        };
        literals(value).into_iter().map(target).collect()
    }

    /// An object with `no_proxy` beside `http_proxy`, as `azurerm_kubernetes_cluster` takes it.
    /// Whether there is one.
    fn no_proxy_in(&mut self, value: &Expression) -> bool {
        let Some(object) = value.as_object() else { return false };
        let mut is_read = false;
        for (key, value) in object {
            let name = key.as_expr().and_then(|e| {
                e.as_str()
                    .map(str::to_owned)
                    .or_else(|| e.as_variable().map(|name| name.as_str().to_owned()))
            });
            let name = key.as_ident().map(|ident| ident.as_str().to_owned()).or(name);
            if name.as_deref() == Some("no_proxy") {
                is_read = true;
                self.no_proxy(value.expr());
            }
        }
        is_read
    }

    fn no_proxy(&mut self, value: &Expression) {
        for (expression, text) in literals(value) {
            let place = self.place(expression.span());
            if let Some(text) = text {
                no_proxy::entry(&text, &place, &mut self.reading);
            } else {
                let text = format!("no_proxy = {}", expression.to_string().trim());
                self.reading.unjudged(place, &text, Consumer::NoProxy, EXPRESSION);
            }
        }
    }

    fn aws(&mut self, body: &Body) {
        for block in self.blocks(body, Consumer::AwsNetworkFirewall) {
            if block.ident.as_str() == "rules_source_list" {
                let effect = block.body.get_attribute("generated_rules_type");
                let effect = Effect::of(effect.and_then(|effect| effect.value.as_str()));
                let targets = block.body.get_attribute("targets");
                let mut list = Vec::new();
                for (expression, text) in targets.map(|t| literals(&t.value)).unwrap_or_default() {
                    let place = self.place(expression.span());
                    if let Some(text) = text {
                        list.push((place, text));
                    } else {
                        let text = format!("targets = {}", expression.to_string().trim());
                        let consumer = Consumer::AwsNetworkFirewall;
                        self.reading.unjudged(place, &text, consumer, EXPRESSION);
                    }
                }
                let place = self.place(block.span());
                aws_network_firewall::judge(effect, &place, list, &mut self.reading);
            } else if let Some(rules) = block.body.get_attribute("rules_string") {
                let place = self.place(rules.span());
                let why = "rules in Suricata's language aren't judged, only lists of domains";
                self.reading.unjudged(place, "rules_string", Consumer::AwsNetworkFirewall, why);
            } else if matches!(
                block.ident.as_str(),
                "stateful_rule" | "stateless_rules_and_custom_actions"
            ) {
                let place = self.place(block.span());
                let text = block.ident.as_str();
                let why = aws_network_firewall::NO_DOMAINS;
                self.reading.unjudged(place, text, Consumer::AwsNetworkFirewall, why);
            } else {
                self.aws(&block.body);
            }
        }
    }

    fn number(body: &Body, key: &str) -> Option<u32> {
        body.get_attribute(key)?.value.to_string().trim().parse().ok()
    }

    fn place(&self, span: Option<std::ops::Range<usize>>) -> Place {
        let start = span.map_or(0, |span| span.start.min(self.source.text.len()));
        let before = self.source.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Place::line(&self.source.name, line)
    }
}

/// What tells that a block holds rules, in small letters.
const OF_RULES: [&str; 10] = [
    "target_fqdns",
    "targetfqdns",
    "destination_fqdns",
    "destinationfqdns",
    "destination_urls",
    "targeturls",
    "rules_source_list",
    "rules_string",
    "no_proxy",
    "noproxy",
];

/// The items of a list, or the value alone; each with its text, if it is a literal.
fn literals(value: &Expression) -> Vec<(&Expression, Option<String>)> {
    let text = |item: &Expression| item.as_str().map(str::to_owned);
    match value {
        Expression::Array(items) => items.iter().map(|item| (item, text(item))).collect(),
        other => vec![(other, text(other))],
    }
}
