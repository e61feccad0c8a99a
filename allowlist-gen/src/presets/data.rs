//! Reads the presets, which are part of the program. A mistake in one is ours, so it panics; a test reads all.

use std::collections::BTreeSet;

use ringfence_config::{HostPattern, Port};
use serde::Deserialize;

use super::{Cloud, Preset, Rule, Scheme, Sort, Template, azure_name};

/// Every preset, sorted by name.
pub(super) fn read() -> Vec<Preset> {
    let mut presets: Vec<Preset> = FILES.iter().map(|(file, text)| preset(file, text)).collect();
    presets.sort_by(|a, b| a.name.cmp(&b.name));
    presets
}

fn preset(file: &str, text: &str) -> Preset {
    let raw: RawPreset = toml::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(format!("{}.toml", raw.name), file, "a file is called like its preset");
    let name = raw.name.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    let RawPreset { title, about, source, date, outside, .. } = raw;
    let rules = raw.rule.into_iter().map(|raw| rule(file, raw)).collect();
    Preset { name, title, about, source, date, outside, rules }
}

fn rule(file: &str, raw: RawRule) -> Rule {
    let cloud = |name: &String| {
        let cloud = Cloud::ALL.into_iter().find(|cloud| azure_name(*cloud) == name);
        cloud.unwrap_or_else(|| panic!("{file}: no cloud is called `{name}`"))
    };
    let clouds: BTreeSet<Cloud> = raw.clouds.iter().map(cloud).collect();
    assert!(!clouds.is_empty(), "{file}: {} is for no cloud", raw.host);
    let template = Template(raw.host);
    let sample = template.0.replace(template.placeholder().unwrap_or("<>"), "eastus");
    sample.parse::<HostPattern>().unwrap_or_else(|error| panic!("{file}: {sample}: {error}"));
    let sort = match (raw.api_server, raw.shared) {
        (false, false) => Sort::Plain,
        (true, false) => Sort::ApiServer,
        (false, true) => Sort::Shared,
        (true, true) => panic!("{file}: {sample} is one cluster's, or everyone's"),
    };
    let port = raw.port.map_or(Port::HTTPS, |port| {
        Port::try_from(port).unwrap_or_else(|error| panic!("{file}: {error}"))
    });
    let RawRule { scheme, why, owner, instead, source, .. } = raw;
    Rule {
        host: template,
        clouds,
        scheme: if scheme == RawScheme::Http { Scheme::Http } else { Scheme::Https },
        port,
        why,
        sort,
        owner,
        instead,
        source,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPreset {
    name: String,
    title: String,
    #[serde(default)]
    about: String,
    source: String,
    date: String,
    #[serde(default)]
    outside: Vec<String>,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    host: String,
    clouds: Vec<String>,
    #[serde(default)]
    scheme: RawScheme,
    port: Option<u16>,
    why: String,
    #[serde(default)]
    api_server: bool,
    #[serde(default)]
    shared: bool,
    owner: Option<String>,
    instead: Option<String>,
    source: Option<String>,
}

#[derive(Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawScheme {
    #[default]
    Https,
    Http,
}

/// The files, by the name that the preset in them has.
const FILES: &[(&str, &str)] = &[
    ("aks/azure-monitor.toml", include_str!("aks/azure-monitor.toml")),
    ("aks/azure-policy.toml", include_str!("aks/azure-policy.toml")),
    ("aks/cluster-extensions.toml", include_str!("aks/cluster-extensions.toml")),
    ("aks/core.toml", include_str!("aks/core.toml")),
    ("aks/cost-analysis.toml", include_str!("aks/cost-analysis.toml")),
    ("aks/defender.toml", include_str!("aks/defender.toml")),
    ("aks/gpu.toml", include_str!("aks/gpu.toml")),
    ("aks/keyvault-csi.toml", include_str!("aks/keyvault-csi.toml")),
    ("aks/optional-recommended.toml", include_str!("aks/optional-recommended.toml")),
    ("aks/windows.toml", include_str!("aks/windows.toml")),
    ("aks/workload-identity.toml", include_str!("aks/workload-identity.toml")),
    ("artifact-cache.toml", include_str!("artifact-cache.toml")),
    ("az-acr-login.toml", include_str!("az-acr-login.toml")),
    ("connected-registry.toml", include_str!("connected-registry.toml")),
    ("mcr.toml", include_str!("mcr.toml")),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ringfence_config::guard;
    use serde_json::Value;

    use super::*;

    const PUBLISHED: &str = include_str!("../../../tests/fixtures/azure/data/aks-egress.json");

    fn facts(value: &Value) -> Vec<BTreeMap<String, Value>> {
        let facts: Result<_, _> = serde_json::from_value(value.clone());
        facts.expect("a list of maps")
    }

    /// Every rule of the page, and no other: 108 of them, by feature, cloud, host, scheme and port.
    #[test]
    fn the_presets_for_aks_are_what_the_page_says() {
        let page: Value = serde_json::from_str(PUBLISHED).expect("JSON");
        let text =
            |fact: &BTreeMap<String, Value>, key: &str| fact[key].as_str().expect(key).to_owned();
        let published: BTreeSet<_> = facts(&page["fqdn_rules"])
            .iter()
            .map(|fact| {
                let port = fact["port"].as_u64().expect("a port");
                let words = ["feature", "cloud", "fqdn", "scheme"].map(|key| text(fact, key));
                (words, port)
            })
            .collect();
        assert_eq!(published.len(), 108);
        let ours: BTreeSet<_> = read()
            .iter()
            .filter_map(|preset| {
                Some((preset.name.as_str().strip_prefix("aks/")?.to_owned(), preset.clone()))
            })
            .flat_map(|(feature, preset)| {
                let of_rule = move |rule: Rule| {
                    let feature = feature.clone();
                    let scheme = if rule.scheme == Scheme::Http { "http" } else { "https" };
                    rule.clouds.into_iter().map(move |cloud| {
                        let host = rule.host.as_str().to_owned();
                        let words = [
                            feature.clone(),
                            azure_name(cloud).to_owned(),
                            host,
                            scheme.to_owned(),
                        ];
                        (words, u64::from(rule.port.number()))
                    })
                };
                preset.rules.into_iter().flat_map(of_rule)
            })
            .collect();
        assert_eq!(ours, published);
    }

    /// The hosts of Microsoft Container Registry and of `az acr login` are each cloud's own.
    #[test]
    fn the_clouds_hosts_are_what_the_facts_say() {
        let facts: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/azure/data/clouds.json"))
                .expect("JSON");
        let mcr: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/azure/data/mcr.json"))
                .expect("JSON");
        let hosts = |name: &str, cloud: &str| -> BTreeSet<String> {
            let presets = read();
            let preset = presets.iter().find(|preset| preset.name.as_str() == name).expect(name);
            let is_of = |rule: &&Rule| rule.clouds.iter().any(|own| azure_name(*own) == cloud);
            preset.rules.iter().filter(is_of).map(|rule| rule.host.as_str().to_owned()).collect()
        };
        let words = |values: &[&Value]| -> BTreeSet<String> {
            values.iter().map(|value| value.as_str().expect("a host").to_owned()).collect()
        };
        for cloud in facts["clouds"].as_array().expect("a list") {
            let name = cloud["cloud"].as_str().expect("a name");
            // A cloud that is closed.
            if name == "AzureGermanCloud" {
                continue;
            }
            let entra = cloud["entra"].as_array().expect("a list").iter();
            let login: Vec<&Value> = entra.chain([&cloud["arm"]]).collect();
            assert_eq!(hosts("az-acr-login", name), words(&login), "{name}");
            // In China, what comes from the public cloud still does, beside its own.
            let published = cloud["mcr"].as_array().into_iter().flatten().collect::<Vec<_>>();
            assert!(hosts("mcr", name).is_superset(&words(&published)), "{name}");
        }
        let of = |cloud: &str| words(&[&mcr[cloud]["rest"], &mcr[cloud]["data_wildcard"]]);
        assert_eq!(hosts("mcr", "AzureCloud"), of("public"));
        let both: BTreeSet<String> = of("public").union(&of("china")).cloned().collect();
        assert_eq!(hosts("mcr", "AzureChinaCloud"), both);
        assert_eq!(hosts("connected-registry", "AzureCloud"), of("public"));
    }

    /// What the page says beside hosts is told in words: each protocol and port.
    #[test]
    fn what_is_no_host_is_told() {
        let page: Value = serde_json::from_str(PUBLISHED).expect("JSON");
        let presets = read();
        let facts = facts(&page["network_rules"]);
        assert_eq!(facts.len(), 17);
        for fact in facts {
            let name = format!("aks/{}", fact["feature"].as_str().expect("a feature"));
            let preset =
                presets.iter().find(|preset| preset.name.as_str() == name).expect("a preset");
            let told =
                format!("{} {} ", fact["protocol"].as_str().expect("a protocol"), fact["port"]);
            assert!(preset.outside.iter().any(|outside| outside.contains(&told)), "{name}: {told}");
        }
    }

    #[test]
    fn whatever_can_be_taken_says_all_there_is_to_say() {
        let locations = ["eastus".parse().expect("a region")].into();
        for preset in read() {
            assert!(
                preset.source.starts_with("https://") && preset.date.len() == "2026-06-18".len()
            );
            for rule in &preset.rules {
                assert!(!rule.why.trim().is_empty());
                let name = rule.host.as_str();
                assert_eq!(rule.scheme == Scheme::Http, rule.port.number() == 80, "{name}");
                for host in rule.host.fill(&locations) {
                    let is_wildcard = matches!(host, HostPattern::Wildcard(_));
                    let is_admitted = guard::check(&host).is_ok() && rule.scheme == Scheme::Https;
                    // One owner, and a way without it.
                    assert_eq!(is_wildcard && is_admitted, rule.owner.is_some(), "{name}");
                    let needs_way = rule.scheme == Scheme::Https
                        && rule.sort != Sort::ApiServer
                        && (is_wildcard || !is_admitted);
                    assert_eq!(needs_way, rule.instead.is_some(), "{name}");
                }
            }
        }
    }
}
