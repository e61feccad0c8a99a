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
    self, Action, Clients, Collection, FirewallRule, Kind, Order, Target, TargetKind, target_kind,
};
use super::no_proxy;
use super::rule::{Consumer, Place, Reading};

/// What the resources in `source` let through; an error in words if it isn't HCL.
pub(super) fn read(source: &Source) -> Result<Reading, String> {
    let body: Body = source.text.parse().map_err(|error: hcl_edit::parser::Error| {
        let at = error.location();
        format!("line {}, column {}: {}", at.line(), at.column(), error.message())
    })?;
    let mut file = File { source, reading: Reading::default(), collections: Vec::new() };
    file.body(&body);
    let mut reading = azure_firewall::judge(file.collections);
    reading.extend(file.reading);
    Ok(reading)
}

struct File<'s> {
    source: &'s Source,
    reading: Reading,
    collections: Vec<Collection>,
}

impl File<'_> {
    fn body(&mut self, body: &Body) {
        for block in body.blocks() {
            match block.ident.as_str() {
                "resource" => self.resource(block),
                "locals" => {
                    for attribute in block.body.attributes() {
                        self.no_proxy_in(&attribute.value);
                    }
                }
                _ => {}
            }
        }
    }

    fn resource(&mut self, resource: &Block) {
        let kind = resource.labels.first().map_or("", |label| label.as_str());
        match kind {
            "azurerm_firewall_policy_rule_collection_group" => {
                let group = Self::number(&resource.body, "priority");
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
                self.collection(&resource.body, Kind::Application, 0);
            }
            "azurerm_firewall_network_rule_collection" => {
                self.collection(&resource.body, Kind::Network, 0);
            }
            "azurerm_kubernetes_cluster" => {
                for block in resource.body.get_blocks("http_proxy_config") {
                    if let Some(attribute) = block.body.get_attribute("no_proxy") {
                        self.no_proxy(&attribute.value);
                    }
                }
            }
            "aws_networkfirewall_rule_group" => self.aws(&resource.body),
            _ => {}
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

    fn collection(&mut self, body: &Body, kind: Kind, group: u32) {
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
        let clients = match sources {
            Some(sources) if !sources.is_empty() => Clients::These(sources),
            _ => Clients::Unknown,
        };
        FirewallRule { clients, targets }
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
    fn no_proxy_in(&mut self, value: &Expression) {
        let Some(object) = value.as_object() else { return };
        for (key, value) in object {
            let name = key.as_expr().and_then(|e| {
                e.as_str()
                    .map(str::to_owned)
                    .or_else(|| e.as_variable().map(|name| name.as_str().to_owned()))
            });
            let name = key.as_ident().map(|ident| ident.as_str().to_owned()).or(name);
            if name.as_deref() == Some("no_proxy") {
                self.no_proxy(value.expr());
            }
        }
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
            } else {
                self.aws(&block.body);
            }
        }
    }

    fn number(body: &Body, key: &str) -> u32 {
        let value = body.get_attribute(key).map(|attribute| attribute.value.to_string());
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    fn place(&self, span: Option<std::ops::Range<usize>>) -> Place {
        let start = span.map_or(0, |span| span.start.min(self.source.text.len()));
        let before = self.source.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Place::line(&self.source.name, line)
    }
}

/// The items of a list, or the value alone; each with its text, if it is a literal.
fn literals(value: &Expression) -> Vec<(&Expression, Option<String>)> {
    let text = |item: &Expression| item.as_str().map(str::to_owned);
    match value {
        Expression::Array(items) => items.iter().map(|item| (item, text(item))).collect(),
        other => vec![(other, text(other))],
    }
}
