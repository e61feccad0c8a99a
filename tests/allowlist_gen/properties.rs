//! What holds for every input.

use allowlist_gen::{DataEndpoints, generate, metadata};
use proptest::prelude::*;
use ringfence_config::snippet::Source;
use serde_json::Value;

use crate::program::{all_fixtures, read};

/// Files that can be read together.
fn readable_together() -> Vec<Source> {
    all_fixtures()
        .into_iter()
        .filter(|fixture| {
            fixture.starts_with("constructed/private-geo/")
                || fixture.starts_with("constructed/network-")
                || fixture.starts_with("constructed/acr-show.gov")
                || fixture.starts_with("az-cli/acr-show.data-endpoints-")
                || fixture.starts_with("az-cli/acr-replication-list")
                || fixture.starts_with("az-cli/network-")
        })
        .map(|name| Source { text: read(&name), name })
        .collect()
}

/// JSON made of the words that Azure uses, so that it gets past recognition, and of others.
fn json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "Microsoft.ContainerRegistry/registries",
        "Microsoft.ContainerRegistry/registries/replications",
        "Microsoft.Network/privateEndpoints",
        "Microsoft.Network/networkInterfaces",
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.ContainerRegistry/registries/contoso",
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.ContainerRegistry/registries/",
        "contoso.azurecr.io",
        "contoso.eastus.data.azurecr.io",
        "contoso.eastus.geo.azurecr.io",
        "contoso.privatelink.azurecr.io.",
        "*.blob.core.windows.net",
        "eastus",
        "Approved",
        "Enabled",
        "registry",
        "10.0.0.4",
        "",
        "\u{1b}é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "type",
        "id",
        "name",
        "location",
        "properties",
        "value",
        "data",
        "count",
        "nextLink",
        "loginServer",
        "sku",
        "dataEndpoints",
        "endpoint",
        "region",
        "dataEndpointEnabled",
        "dataEndpointHostNames",
        "regionalEndpoints",
        "regionalEndpointHostNames",
        "privateEndpointConnections",
        "privateEndpoint",
        "privateLinkServiceConnectionState",
        "status",
        "customDnsConfigs",
        "fqdn",
        "fqdns",
        "ipAddresses",
        "privateLinkServiceConnections",
        "privateLinkServiceId",
        "ipConfigurations",
        "privateIPAddress",
        "privateLinkConnectionProperties",
        "groupId",
        "aRecords",
        "ipv4Address",
        "regionEndpointEnabled",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

fn derive(name: &str, text: String) {
    let sources = [Source { name: name.to_owned(), text }];
    for data in [DataEndpoints::AsReported, DataEndpoints::AssumedOn] {
        match generate(&sources, data) {
            Ok(generated) => {
                assert!(!generated.allowlist.is_empty());
                assert!(!generated.allowlist.to_toml().contains('*'));
                let _ = allowlist_gen::report::Findings(&generated.findings).to_string();
            }
            Err(error) => {
                assert!(!allowlist_gen::report::Failure(&error).to_string().is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_files_does_not_matter(files in Just(readable_together()).prop_shuffle()) {
        let ordered = generate(&readable_together(), DataEndpoints::AssumedOn).expect("a list");
        let shuffled = generate(&files, DataEndpoints::AssumedOn).expect("a list");
        prop_assert_eq!(shuffled.allowlist.to_toml(), ordered.allowlist.to_toml());
        prop_assert_eq!(shuffled.findings, ordered.findings);
    }

    #[test]
    fn no_json_panics(value in json()) {
        derive("any.json", value.to_string());
    }

    #[test]
    fn no_text_panics(text in any::<String>(), cut in 0_usize..4000) {
        derive("any.txt", text);
        let mut fixture = read("az-cli/acr-show.data-endpoints-enabled.two-regions.json");
        fixture.truncate(fixture.floor_char_boundary(cut));
        derive("cut.json", fixture);
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        if let Ok(source) = metadata::decode("bytes", bytes) {
            derive(&source.name, source.text);
        }
    }

    /// Whatever a registry says, only its own hosts are on the list.
    #[test]
    fn only_hosts_of_the_registry_are_listed(labels in prop::collection::vec("[a-z*.]{1,12}", 0..3)) {
        let hosts: Vec<String> = labels.iter().map(|label| format!("{label}.data.azurecr.io")).collect();
        let text = serde_json::json!({
            "type": "Microsoft.ContainerRegistry/registries", "location": "eastus",
            "loginServer": "contoso.azurecr.io", "dataEndpointEnabled": true, "dataEndpointHostNames": hosts,
        });
        let sources = [Source { name: "r.json".to_owned(), text: text.to_string() }];
        if let Ok(generated) = generate(&sources, DataEndpoints::AssumedOn) {
            for entry in generated.allowlist.entries() {
                prop_assert!(entry.host.as_str().starts_with("contoso."), "{}", entry.host.as_str());
            }
        }
    }
}
