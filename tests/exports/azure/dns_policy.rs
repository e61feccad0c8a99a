//! Azure DNS security policies: Azure's schemas and azure-cli judge, and the rules are followed as its page says.

use allowlist_gen::export::{self, Error, Format, Options};
use ringfence_config::endpoint;
use ringfence_config::{Allowlist, Entry, Issue, Role};
use serde_json::{Map, Value, json};

use crate::az::Az;
use crate::consumer::{self, Mutation};
use crate::lookalikes::{self, LISTED};
use crate::{arm, lists, matrix};

const FORMAT: Format = Format::AzureDnsPolicy;

#[test]
fn the_template_is_what_azure_publishes() {
    let judgement = consumer::judge(
        FORMAT,
        &[
            Mutation { from: "\"domains\"", to: "\"domain\"" },
            Mutation { from: "\"Allow\"", to: "\"Permit\"" },
            Mutation { from: "\"acr-allowlist\"", to: "\"acr.allowlist\"" },
            Mutation { from: "parameters('location')", to: "parameters('region')" },
            Mutation { from: "\"dnsSecurityRuleState\"", to: "\"state\"" },
        ],
        arm::template_text,
    );
    matrix::record(FORMAT, "ARM schema", arm::VERSION, judgement);
}

/// The command on the format's page is run as it stands there.
#[test]
fn azure_cli_deploys_the_template() {
    let Some(mut az) = Az::start() else { return };
    let judgement = consumer::judge(
        FORMAT,
        &[
            Mutation { from: "\"contentVersion\"", to: "contentVersion" },
            Mutation { from: "\"policyName\"", to: "\"policy\"" },
            Mutation { from: "\"actionType\"", to: "\"type\"" },
        ],
        |text| {
            let files = json!({ "azure-dns-policy.json": text });
            let variables = json!({ "RESOURCE_GROUP": "rg-dns", "POLICY": "dnspol" });
            az.run(FORMAT.about().apply, &files, &variables, &Map::new())?.check()
        },
    );
    matrix::record(FORMAT, "azure-cli", &az.version(), judgement);
}

/// The rules, followed as Azure's page says: the first by priority that has the name or one above it decides, and what
/// no rule has is looked up.
/// <https://learn.microsoft.com/azure/dns/dns-security-policy>
#[test]
fn other_registries_are_not_looked_up() {
    let text = lists::contoso().export(FORMAT).expect("the list can be written").text;
    let template: Value = serde_json::from_str(&text).expect("JSON");
    for probe in lookalikes::probes() {
        let host = probe.host.to_ascii_lowercase();
        let is_registry = endpoint::domains()
            .any(|domain| host == domain || host.ends_with(&format!(".{domain}")));
        let is_below_listed = LISTED.iter().any(|listed| host.ends_with(&format!(".{listed}")));
        // Which is where the listed host leads.
        let is_private = host == "contoso.privatelink.azurecr.io";
        let expected = probe.passes || is_below_listed || is_private || !is_registry;
        assert_eq!(is_looked_up(&template, &host), expected, "{host}");
    }
    for (host, expected) in [
        ("contoso.privatelink.azurecr.io", true),
        ("contoso.eastus.data.privatelink.azurecr.io", true),
        ("contoso.northeurope.data.privatelink.azurecr.io", false),
        ("adatum.privatelink.azurecr.io", false),
        ("contoso.privatelink.azurecr.cn", false),
        ("privatelink.azurecr.io", false),
        ("contoso.azurecr.de", false),
    ] {
        assert_eq!(is_looked_up(&template, host), expected, "{host}");
    }
}

#[test]
fn long_lists_are_split_and_other_hosts_are_an_error() {
    let entry = |number: usize| {
        let host = format!("registry{number}.azurecr.io");
        let registry = format!("registry{number}").parse().expect("a label");
        Entry::new(host.parse().expect("a host"), Role::Login(registry))
    };
    let of = |count| {
        let allowlist = Allowlist::new((0..count).map(entry)).expect("entries");
        export::render(FORMAT, &allowlist, Issue::default(), &Options::default())
    };
    let text = of(2_001).expect("it is within the limits").text;
    assert_eq!(arm::template_text(&text), Ok(()));
    let template: Value = serde_json::from_str(&text).expect("JSON");
    let lists = domain_lists(&template);
    let lengths: Vec<usize> = lists.iter().map(|(_, domains)| domains.len()).collect();
    assert_eq!(lengths, [1_000, 1_000, 1_000, 1_000, 2, 5]);
    assert!(is_looked_up(&template, "registry2000.azurecr.io"));
    assert!(!is_looked_up(&template, "registry2001.azurecr.io"));
    assert!(matches!(of(50_000), Err(Error::TooMany { limit: 100_000, .. })));
    assert!(matches!(of(0), Err(Error::Empty { .. })));
    let hostile = lists::written("hostile").export(FORMAT);
    assert!(matches!(hostile, Err(Error::Unrepresentable { .. })), "{hostile:?}");
}

fn is_looked_up(template: &Value, host: &str) -> bool {
    let lists = domain_lists(template);
    let name = format!("{host}.");
    let covers = |domain: &String| name == *domain || name.ends_with(&format!(".{domain}"));
    let is_in = |id: &Value| {
        let id = id["id"].as_str().expect("an id");
        let list = lists.iter().find(|(name, _)| id.ends_with(&format!(", '{name}')]")));
        list.expect("a list of the template").1.iter().any(covers)
    };
    let mut rules: Vec<(i64, bool, bool)> = resources(template, "dnsSecurityRules")
        .map(|rule| {
            let priority = rule["properties"]["priority"].as_str().expect("an expression");
            let parameter = priority.split('\'').nth(1).expect("a parameter");
            let priority = template["parameters"][parameter]["defaultValue"].as_i64();
            let lists = rule["properties"]["dnsResolverDomainLists"].as_array().expect("a list");
            let allows = rule["properties"]["action"]["actionType"] == "Allow";
            (priority.expect("a number"), allows, lists.iter().any(is_in))
        })
        .collect();
    rules.sort_unstable();
    rules.into_iter().find(|(.., applies)| *applies).is_none_or(|(_, allows, _)| allows)
}

fn domain_lists(template: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    resources(template, "dnsResolverDomainLists")
        .map(|list| {
            let domains = list["properties"]["domains"].as_array().expect("a list");
            (text(&list["name"]), domains.iter().map(text).collect())
        })
        .collect()
}

fn resources<'a>(template: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let resources = template["resources"].as_array().expect("a list").iter();
    resources.filter(move |one| one["type"].as_str().is_some_and(|one| one.ends_with(kind)))
}
