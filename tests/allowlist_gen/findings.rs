//! Each finding, from the smallest input that has it.

use allowlist_gen::{DataEndpoints, Finding, Generated, generate};
use ringfence_config::snippet::Source;
use serde_json::{Value, json};

const ID: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
const ENDPOINT: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/privateEndpoints/pe";

fn registry(changes: &Value) -> Value {
    let mut registry = json!({
        "type": "Microsoft.ContainerRegistry/registries", "id": ID, "name": "contoso", "location": "eastus",
        "loginServer": "contoso.azurecr.io", "sku": {"name": "Premium"}, "dataEndpointEnabled": true,
        "dataEndpointHostNames": ["contoso.eastus.data.azurecr.io"],
    });
    for (key, value) in changes.as_object().expect("an object") {
        registry[key] = value.clone();
    }
    registry
}

fn connection(status: &str) -> Value {
    json!({"id": format!("{ID}/privateEndpointConnections/c"), "privateEndpoint": {"id": ENDPOINT},
           "privateLinkServiceConnectionState": {"status": status}})
}

fn interface(members: &[(&str, &str)]) -> Value {
    let configurations: Vec<Value> = members
        .iter()
        .map(|(host, address)| {
            json!({"privateIPAddress": address,
                   "privateLinkConnectionProperties": {"groupId": "registry", "fqdns": [host]}})
        })
        .collect();
    json!({"type": "Microsoft.Network/networkInterfaces", "id": "/nic", "privateEndpoint": {"id": ENDPOINT},
           "ipConfigurations": configurations})
}

fn record(name: &str, address: &str) -> Value {
    json!({"type": "Microsoft.Network/privateDnsZones/A", "fqdn": format!("{name}.privatelink.azurecr.io."),
           "aRecords": [{"ipv4Address": address}]})
}

fn replication(region: &str, state: &str) -> Value {
    json!({"type": "Microsoft.ContainerRegistry/registries/replications", "location": region,
           "id": format!("{ID}/replications/{region}"), "provisioningState": state})
}

fn derive(resources: &Value, data: DataEndpoints) -> Generated {
    let source = Source { name: "all.json".to_owned(), text: resources.to_string() };
    generate(&[source], data).expect("a list")
}

const LOGIN: (&str, &str) = ("contoso.azurecr.io", "10.0.0.4");
const DATA: (&str, &str) = ("contoso.eastus.data.azurecr.io", "10.0.0.5");

/// Asserts that each set of resources has exactly these findings.
#[track_caller]
fn assert_findings(data: DataEndpoints, rows: &[(Value, &[&str])]) {
    for (resources, expected) in rows {
        let generated = derive(resources, data);
        let codes: Vec<&str> = generated.findings.iter().map(Finding::code).collect();
        assert_eq!(codes, *expected, "{resources:#}");
        for finding in &generated.findings {
            assert_eq!(finding.registry().as_str(), "contoso");
            assert!(!finding.to_string().is_empty() && !finding.remedy().is_empty());
        }
    }
}

#[test]
fn regions_that_are_not_clear_are_found() {
    let data_in = |region: &str| json!([format!("contoso.{region}.data.azurecr.io")]);
    assert_findings(
        DataEndpoints::AsReported,
        &[
            (json!([registry(&json!({}))]), &[]),
            (json!([registry(&json!({})), replication("eastus", "Succeeded")]), &[]),
            (
                json!([registry(
                    &json!({"location": "atlantis1", "dataEndpointHostNames": data_in("atlantis1")})
                )]),
                &["region-unknown"],
            ),
            (
                json!([registry(&json!({"dataEndpointHostNames": data_in("westus")}))]),
                &["regions-differ"],
            ),
            (
                json!([
                    registry(&json!({})),
                    replication("eastus", "Succeeded"),
                    replication("westus", "Succeeded")
                ]),
                &["regions-differ"],
            ),
            (
                json!([registry(&json!({})), replication("eastus", "Updating")]),
                &["replica-not-ready"],
            ),
        ],
    );
}

#[test]
fn switches_that_are_not_clear_are_found() {
    let off = json!({"dataEndpointEnabled": false, "dataEndpointHostNames": []});
    assert_findings(
        DataEndpoints::AsReported,
        &[
            (json!([registry(&json!({"dataEndpointEnabled": false}))]), &["endpoints-disputed"]),
            (
                json!([registry(&json!({"regionalEndpoints": "Disabled",
                "regionalEndpointHostNames": ["contoso.eastus.geo.azurecr.io"]}))]),
                &["endpoints-disputed"],
            ),
            (
                json!([registry(&off), interface(&[LOGIN, DATA])]),
                &["data-endpoints-implied", "regions-from-private-endpoint"],
            ),
        ],
    );
    assert_findings(
        DataEndpoints::AssumedOn,
        &[
            (json!([registry(&json!({}))]), &[]),
            (
                json!([registry(&off), replication("eastus", "Succeeded")]),
                &["data-endpoints-assumed"],
            ),
            (json!([registry(&off), []]), &["data-endpoints-assumed", "replicas-from-empty-list"]),
            (
                json!([registry(&off), {"id": format!("{ID}/replications"), "value": []}]),
                &["data-endpoints-assumed"],
            ),
        ],
    );
}

#[test]
fn what_azure_would_not_show_is_found() {
    let gap = json!({"id": "/subscriptions/s/nic", "registry": ID,
                     "error": {"code": "AuthorizationFailed", "message": "no"}});
    assert_findings(
        DataEndpoints::AsReported,
        &[(json!([registry(&json!({})), gap]), &["unreadable"])],
    );
}

#[test]
fn gaps_in_private_link_are_found() {
    let approved = json!({"privateEndpointConnections": [connection("Approved")]});
    let with = |status| registry(&json!({"privateEndpointConnections": [connection(status)]}));
    let (login, data) = (record("contoso", LOGIN.1), record("contoso.eastus.data", DATA.1));
    assert_findings(
        DataEndpoints::AsReported,
        &[
            (json!([with("Approved")]), &["addresses-unknown"]),
            (json!([with("Pending")]), &["connection-not-approved"]),
            (
                json!([with("Approved"), with("Pending"), interface(&[LOGIN, DATA])]),
                &["connection-disputed"],
            ),
            (json!([with("Rejected"), interface(&[LOGIN, DATA])]), &["connection-not-approved"]),
            (json!([with("Approved"), interface(&[LOGIN, DATA])]), &[]),
            (json!([with("Approved"), interface(&[LOGIN])]), &["address-missing"]),
            (json!([interface(&[LOGIN, DATA])]), &["regions-from-private-endpoint"]),
            (json!([registry(&approved), login, data]), &[]),
            (json!([registry(&approved), login]), &["record-missing"]),
            (
                json!([
                    registry(&approved),
                    login,
                    data,
                    record("contoso.westus.data", "10.0.0.6"),
                    record("stranger", "10.0.0.7")
                ]),
                &["record-unlisted"],
            ),
            (
                json!([
                    registry(&approved),
                    interface(&[LOGIN, DATA]),
                    record("contoso", "10.9.9.9"),
                    data
                ]),
                &["addresses-differ"],
            ),
        ],
    );
}

#[test]
fn differences_name_both_sides() {
    let resources =
        json!([registry(&json!({"dataEndpointHostNames": ["contoso.westus.data.azurecr.io"]}))]);
    let generated = derive(&resources, DataEndpoints::AsReported);
    assert_eq!(
        generated.findings[0].to_string(),
        "region `eastus` is named by `location` in all.json, but not by `dataEndpointHostNames` in all.json; \
         its hosts are on the list"
    );
    let hosts: Vec<&str> = generated.allowlist.entries().iter().map(|e| e.host.as_str()).collect();
    assert_eq!(hosts, ["contoso.azurecr.io", DATA.0, "contoso.westus.data.azurecr.io"]);
}

/// An endpoint that nobody approved must not widen where a name may lead.
#[test]
fn what_is_not_approved_adds_neither_hosts_nor_addresses() {
    let rejected = json!({"privateEndpointConnections": [connection("Rejected")]});
    let members = [LOGIN, DATA, ("contoso.westus.data.azurecr.io", "10.0.0.9")];
    let with =
        derive(&json!([registry(&rejected), interface(&members)]), DataEndpoints::AsReported);
    let without = derive(&json!([registry(&json!({}))]), DataEndpoints::AsReported);
    assert_eq!(with.allowlist, without.allowlist);
}
