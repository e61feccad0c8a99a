//! `private-link`: what it finds in metadata, what it makes of it, and what it never takes for right.

use allowlist_gen::metadata;
use allowlist_gen::private_link::{Error, Format, GroupRecords, Plan, Reference, Wishes};
use proptest::prelude::*;
use ringfence_config::snippet::Source;
use serde_json::{Value, json};

use crate::program::{Run, program, snapshot};

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

fn id(group: &str, below: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/{group}/providers/{below}")
}

fn registry_id() -> String {
    id("rg", "Microsoft.ContainerRegistry/registries/contoso")
}

fn endpoint_id(name: &str) -> String {
    id("rg-net", &format!("Microsoft.Network/privateEndpoints/{name}"))
}

fn zone_id(group: &str) -> String {
    id(group, "Microsoft.Network/privateDnsZones/privatelink.azurecr.io")
}

/// `contoso`, in eastus and in `more`, with connections of these private endpoints.
fn registry(more: &[&str], connections: &[(&str, &str)]) -> Value {
    let hosts: Vec<String> = std::iter::once(&"eastus")
        .chain(more)
        .map(|region| format!("contoso.{region}.data.azurecr.io"))
        .collect();
    let connections: Vec<Value> = connections
        .iter()
        .map(|(endpoint, status)| {
            let (status, action) = status.split_once('/').unwrap_or((status, "None"));
            json!({"id": format!("{}/privateEndpointConnections/c-{endpoint}", registry_id()),
                   "privateEndpoint": {"id": endpoint_id(endpoint)},
                   "privateLinkServiceConnectionState": {"status": status, "actionsRequired": action}})
        })
        .collect();
    json!({"type": "Microsoft.ContainerRegistry/registries", "id": registry_id(), "name": "contoso",
           "location": "eastus", "loginServer": "contoso.azurecr.io", "sku": {"name": "Premium"},
           "dataEndpointEnabled": true, "dataEndpointHostNames": hosts, "regionalEndpoints": "Disabled",
           "privateEndpointConnections": connections})
}

/// The interface of a private endpoint, whose addresses are `10.NET.0.4` and so on.
fn interface(endpoint: &str, net: u8, hosts: &[&str]) -> Value {
    let configurations: Vec<Value> = (4..)
        .zip(hosts)
        .map(|(last, host): (u8, _)| {
            json!({"privateIPAddress": format!("10.{net}.0.{last}"), "privateIPAllocationMethod": "Dynamic",
                   "privateLinkConnectionProperties": {"groupId": "registry", "fqdns": [host]}})
        })
        .collect();
    json!({"type": "Microsoft.Network/networkInterfaces", "id": id("rg-net", "Microsoft.Network/networkInterfaces/n"),
           "privateEndpoint": {"id": endpoint_id(endpoint)}, "ipConfigurations": configurations})
}

/// A zone in this resource group with all its records.
fn zone(group: &str, records: &[(&str, &str)]) -> Value {
    let records: Vec<Value> =
        records.iter().map(|(name, address)| record(group, name, address)).collect();
    json!({"id": format!("{}/A", zone_id(group)), "value": records})
}

fn record(group: &str, name: &str, address: &str) -> Value {
    json!({"type": "Microsoft.Network/privateDnsZones/A", "id": format!("{}/A/{name}", zone_id(group)), "name": name,
           "properties": {"fqdn": format!("{name}.privatelink.azurecr.io."), "ttl": 600,
                          "aRecords": [{"ipv4Address": address}]}})
}

fn zone_group(endpoint: &str, zones: &[&str]) -> Value {
    let configs: Vec<Value> = zones
        .iter()
        .map(|group| json!({"properties": {"privateDnsZoneId": zone_id(group)}}))
        .collect();
    let groups = if zones.is_empty() {
        json!([])
    } else {
        json!([{"name": "default", "properties": {"privateDnsZoneConfigs": configs}}])
    };
    json!({"id": format!("{}/privateDnsZoneGroups", endpoint_id(endpoint)), "value": groups})
}

const LOGIN: &str = "contoso.azurecr.io";
const DATA: &str = "contoso.eastus.data.azurecr.io";
const WEST: &str = "contoso.westus.data.azurecr.io";
const RIGHT: [(&str, &str); 2] = [("contoso", "10.1.0.4"), ("contoso.eastus.data", "10.1.0.5")];

fn read(resources: &Value) -> Vec<allowlist_gen::Registry> {
    let source = Source { name: "all.json".to_owned(), text: resources.to_string() };
    metadata::read(&[source]).unwrap_or_else(|error| panic!("{error}: {resources:#}"))
}

fn plan_with(resources: &Value, wishes: &Wishes) -> Plan {
    Plan::of(&read(resources), wishes).unwrap_or_else(|error| panic!("{error}: {resources:#}"))
}

fn plan(resources: &Value) -> Plan {
    plan_with(resources, &Wishes::default())
}

fn json_of(plan: &Plan) -> Value {
    serde_json::from_str(&plan.to_json()).expect("JSON")
}

/// Steps by their codes, then records as `GROUP NAME STATE ADDRESSES`, or why they aren't known.
fn outline(plan: &Plan) -> Vec<String> {
    let plan = json_of(plan);
    let mut lines = Vec::new();
    for registry in plan["registries"].as_array().expect("registries") {
        for step in registry["steps"].as_array().expect("steps") {
            lines.push(step["code"].as_str().expect("a code").to_owned());
        }
        for zone in registry["zones"].as_array().expect("zones") {
            let group =
                zone["id"].as_str().map_or("-", |id| id.split('/').nth(4).expect("a group"));
            for record in zone["records"].as_array().expect("records") {
                let (name, state) = (text(&record["name"]), text(&record["state"]));
                let rest = match record["should_be"].as_array() {
                    Some(should) => should.iter().map(text).collect::<Vec<_>>().join(","),
                    None => record["why"]["code"].as_str().unwrap_or_default().to_owned(),
                };
                lines.push(format!("{group} {name} {state} {rest}").trim_end().to_owned());
            }
        }
    }
    lines
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[track_caller]
fn assert_plans(rows: &[(Value, &[&str])]) {
    for (resources, expected) in rows {
        let plan = plan(resources);
        assert_eq!(outline(&plan), *expected, "{resources:#}");
        let has_rest =
            expected.iter().any(|line| !line.contains(" exists ") && *line != "unused-zone");
        assert_eq!(plan.is_done(), !has_rest, "{resources:#}");
    }
}

#[test]
fn each_record_has_the_state_that_the_input_gives_it() {
    let hub = || registry(&[], &[("hub", "Approved")]);
    let nic = || interface("hub", 1, &[LOGIN, DATA]);
    assert_plans(&[
        (
            json!([hub(), nic(), zone("dns", &RIGHT)]),
            &["dns contoso exists 10.1.0.4", "dns contoso.eastus.data exists 10.1.0.5"],
        ),
        (
            json!([hub(), nic(), zone("dns", &RIGHT[..1])]),
            &["dns contoso exists 10.1.0.4", "dns contoso.eastus.data missing 10.1.0.5"],
        ),
        // A zone that was read and is empty, and one that only others are in.
        (
            json!([hub(), nic(), zone("dns", &[])]),
            &["dns contoso missing 10.1.0.4", "dns contoso.eastus.data missing 10.1.0.5"],
        ),
        (
            json!([hub(), nic(), zone("dns", &[("fabrikam", "10.9.0.4"), ("@", "10.9.0.5")])]),
            &["dns contoso missing 10.1.0.4", "dns contoso.eastus.data missing 10.1.0.5"],
        ),
        // Nothing is known of a zone: never missing.
        (
            json!([hub(), nic()]),
            &["- contoso should-exist 10.1.0.4", "- contoso.eastus.data should-exist 10.1.0.5"],
        ),
        (
            json!([hub(), nic(), {"type": "Microsoft.Network/privateDnsZones", "id": zone_id("dns"), "name": "z"}]),
            &["dns contoso should-exist 10.1.0.4", "dns contoso.eastus.data should-exist 10.1.0.5"],
        ),
        (
            json!([hub(), nic(), zone("dns", &[("contoso", "10.1.0.99"), RIGHT[1]])]),
            &["dns contoso differs 10.1.0.4", "dns contoso.eastus.data exists 10.1.0.5"],
        ),
        // An address too many leads elsewhere, too.
        (
            json!([hub(), nic(), zone("dns", &[RIGHT[0], ("contoso", "10.1.0.99"), RIGHT[1]])]),
            &["dns contoso differs 10.1.0.4", "dns contoso.eastus.data exists 10.1.0.5"],
        ),
        (
            json!([
                hub(),
                nic(),
                zone("dns", &[RIGHT[0], RIGHT[1], ("contoso.westus.data", "10.1.0.6")])
            ]),
            &[
                "dns contoso exists 10.1.0.4",
                "dns contoso.eastus.data exists 10.1.0.5",
                "dns contoso.westus.data surplus",
            ],
        ),
        // The endpoint's two readings disagree: one of them is old.
        (
            json!([hub(), nic(), interface("hub", 3, &[LOGIN]), zone("dns", &RIGHT)]),
            &["dns contoso unknown addresses-disputed", "dns contoso.eastus.data exists 10.1.0.5"],
        ),
    ]);
}

/// One record that somebody showed doesn't tell that the others don't exist.
#[test]
fn a_single_record_says_nothing_of_others() {
    let hub = registry(&[], &[("hub", "Approved")]).to_string();
    let nic = interface("hub", 1, &[LOGIN, DATA]).to_string();
    let one = record("dns", "contoso", "10.1.0.4").to_string();
    let source = Source { name: "all.json".to_owned(), text: [hub, nic, one].join("\n") };
    let registries = metadata::read(&[source]).expect("metadata");
    let plan = Plan::of(&registries, &Wishes::default()).expect("a plan");
    assert_eq!(
        outline(&plan),
        ["dns contoso exists 10.1.0.4", "dns contoso.eastus.data should-exist 10.1.0.5",]
    );
}

#[test]
fn what_is_not_known_is_never_right() {
    let zone = || zone("dns", &RIGHT);
    assert_plans(&[
        (
            json!([registry(&[], &[("hub", "Approved")]), zone()]),
            &[
                "addresses-unknown",
                "dns contoso unknown addresses-unknown",
                "dns contoso.eastus.data unknown addresses-unknown",
            ],
        ),
        (
            json!([registry(&[], &[]), zone()]),
            &[
                "dns contoso unknown no-private-endpoint",
                "dns contoso.eastus.data unknown no-private-endpoint",
            ],
        ),
        (
            json!([registry(&[], &[("hub", "Pending")]), zone()]),
            &[
                "approve",
                "dns contoso unknown no-private-endpoint",
                "dns contoso.eastus.data unknown no-private-endpoint",
            ],
        ),
        (
            json!([
                registry(&["westus"], &[("hub", "Approved")]),
                interface("hub", 1, &[LOGIN, DATA]),
                zone()
            ]),
            &[
                "addresses-missing",
                "dns contoso exists 10.1.0.4",
                "dns contoso.eastus.data exists 10.1.0.5",
                "dns contoso.westus.data unknown not-on-private-endpoint",
            ],
        ),
        (
            json!([{"type": "Microsoft.ContainerRegistry/registries", "id": registry_id(), "name": "contoso",
                 "location": "eastus", "loginServer": "contoso.azurecr.io",
                 "privateEndpointConnections": registry(&[], &[("hub", "Approved")])["privateEndpointConnections"]},
                zone()]),
            &[
                "regions-unknown",
                "addresses-unknown",
                "dns contoso unknown addresses-unknown",
                "dns contoso.eastus.data unknown addresses-unknown",
            ],
        ),
        // Nothing leads to it, and nothing should.
        (json!([registry(&[], &[])]), &[]),
        (
            json!([registry(&[], &[]), {"id": "/subscriptions/s/nic", "registry": registry_id(),
                                     "error": {"code": "AuthorizationFailed", "message": "no"}}]),
            &["unreadable"],
        ),
    ]);
}

/// An interface of API versions before regional endpoints says nothing of them.
#[test]
fn a_regional_record_is_surplus_only_where_that_is_told() {
    let mut silent = registry(&[], &[("hub", "Approved")]);
    silent.as_object_mut().expect("an object").remove("regionalEndpoints");
    let rest = |registry| {
        let records = [RIGHT[0], RIGHT[1], ("contoso.eastus.geo", "10.1.0.6")];
        json!([registry, interface("hub", 1, &[LOGIN, DATA]), zone("dns", &records)])
    };
    let geo = |plan: &Plan| {
        let lines = outline(plan).into_iter();
        lines.filter(|line| line.contains(".geo ")).collect::<Vec<_>>()
    };
    assert_eq!(geo(&plan(&rest(silent))), ["dns contoso.eastus.geo unknown hosts-unknown"]);
    let told = registry(&[], &[("hub", "Approved")]);
    assert_eq!(geo(&plan(&rest(told))), ["dns contoso.eastus.geo surplus"]);
}

#[test]
fn connections_wait_for_somebody() {
    let steps = |status: &str| outline(&plan(&json!([registry(&[], &[("hub", status)])])));
    assert_eq!(steps("Pending"), ["approve"]);
    assert_eq!(steps("Rejected"), ["renew"]);
    assert_eq!(steps("Disconnected"), ["renew"]);
    assert!(steps("Approved/Recreate").contains(&"recreate".to_owned()));
    assert!(!steps("Approved").contains(&"recreate".to_owned()));
    let pending = plan(&json!([registry(&[], &[("hub", "Pending")])]));
    let pending = json_of(&pending);
    let commands = &pending["registries"][0]["steps"][0]["commands"];
    let approve = format!(
        "az network private-endpoint-connection approve --id {}/privateEndpointConnections/c-hub",
        registry_id()
    );
    assert_eq!(*commands, json!([approve]));
}

#[test]
fn static_addresses_do_not_follow() {
    let mut nic = interface("hub", 1, &[LOGIN, DATA]);
    nic["ipConfigurations"][0]["privateIPAllocationMethod"] = "Static".into();
    let resources =
        json!([registry(&["westus"], &[("hub", "Approved")]), nic, zone("dns", &RIGHT)]);
    let wishes = Wishes {
        future_regions: vec!["northeurope".parse().expect("a region")],
        ..Wishes::default()
    };
    let plan = json_of(&plan_with(&resources, &wishes));
    let steps = plan["registries"][0]["steps"].as_array().expect("steps");
    let texts: Vec<&str> = steps.iter().map(|step| text(&step["text"])).collect();
    assert!(
        texts[0].starts_with("the replica in northeurope can't be made while `hub` has static"),
        "{texts:?}"
    );
    assert!(texts[1].contains("static addresses don't follow"), "{texts:?}");
}

#[test]
fn a_planned_replica_has_its_records_to_come() {
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &RIGHT)
    ]);
    let with = |region: &str| {
        let future_regions = vec![region.parse().expect("a region")];
        plan_with(&resources, &Wishes { future_regions, ..Wishes::default() })
    };
    assert_eq!(
        outline(&with("westus")),
        [
            "replicate",
            "dns contoso exists 10.1.0.4",
            "dns contoso.eastus.data exists 10.1.0.5",
            "dns contoso.westus.data unknown region-to-come",
        ]
    );
    assert!(!with("westus").is_done());
    // One that is there already is nothing to come.
    assert!(with("eastus").is_done());
}

#[test]
fn each_network_has_its_own_zone() {
    let both = || registry(&[], &[("hub", "Approved"), ("spoke", "Approved")]);
    let nics = || [interface("hub", 1, &[LOGIN, DATA]), interface("spoke", 2, &[LOGIN, DATA])];
    let [hub, spoke] = nics();
    let of_spoke = [("contoso", "10.2.0.4"), ("contoso.eastus.data", "10.2.0.5")];
    let all_right: &[&str] = &[
        "dns-hub contoso exists 10.1.0.4",
        "dns-hub contoso.eastus.data exists 10.1.0.5",
        "dns-spoke contoso exists 10.2.0.4",
        "dns-spoke contoso.eastus.data exists 10.2.0.5",
    ];
    assert_plans(&[
        // By the addresses that are in them.
        (
            json!([both(), hub, spoke, zone("dns-hub", &RIGHT), zone("dns-spoke", &of_spoke)]),
            all_right,
        ),
        // What is left over belongs together.
        (
            json!([both(), hub, spoke, zone("dns-hub", &RIGHT), zone("dns-spoke", &[])]),
            &[
                "dns-hub contoso exists 10.1.0.4",
                "dns-hub contoso.eastus.data exists 10.1.0.5",
                "dns-spoke contoso missing 10.2.0.4",
                "dns-spoke contoso.eastus.data missing 10.2.0.5",
            ],
        ),
        // By the zone groups, against what the records say: the spoke's zone must not lead to the hub.
        (
            json!([
                both(),
                hub,
                spoke,
                zone_group("hub", &["dns-hub"]),
                zone_group("spoke", &["dns-spoke"]),
                zone("dns-hub", &[]),
                zone("dns-spoke", &[])
            ]),
            &[
                "dns-hub contoso missing 10.1.0.4",
                "dns-hub contoso.eastus.data missing 10.1.0.5",
                "dns-spoke contoso missing 10.2.0.4",
                "dns-spoke contoso.eastus.data missing 10.2.0.5",
            ],
        ),
        // One zone for two networks.
        (
            json!([
                both(),
                hub,
                spoke,
                zone_group("hub", &["dns"]),
                zone_group("spoke", &["dns"]),
                zone("dns", &[RIGHT[0], ("contoso.eastus.data", "10.2.0.99")])
            ]),
            &[
                "shared-zone",
                "dns contoso exists 10.1.0.4",
                "dns contoso.eastus.data unknown several-private-endpoints",
            ],
        ),
        // The hub's zone isn't taken for the spoke's.
        (
            json!([both(), hub, spoke, zone("dns-hub", &RIGHT)]),
            &[
                "no-zone",
                "dns-hub contoso exists 10.1.0.4",
                "dns-hub contoso.eastus.data exists 10.1.0.5",
            ],
        ),
        // Nor are there addresses of both in one record where no zone is known.
        (
            json!([both(), hub, spoke]),
            &[
                "- contoso should-exist 10.1.0.4",
                "- contoso.eastus.data should-exist 10.1.0.5",
                "- contoso should-exist 10.2.0.4",
                "- contoso.eastus.data should-exist 10.2.0.5",
            ],
        ),
    ]);
}

#[test]
fn a_zone_that_nobody_is_known_to_use_is_named_only() {
    let hub = interface("hub", 1, &[LOGIN, DATA]);
    let of_spoke = [("contoso", "10.2.0.4"), ("contoso.eastus.data", "10.2.0.5")];
    assert_plans(&[
        // A zone of others.
        (
            json!([
                registry(&[], &[("hub", "Approved")]),
                hub,
                zone("dns-hub", &RIGHT),
                zone("dns-other", &[])
            ]),
            &[
                "unused-zone",
                "dns-hub contoso exists 10.1.0.4",
                "dns-hub contoso.eastus.data exists 10.1.0.5",
            ],
        ),
        (
            json!([
                registry(&[], &[("hub", "Approved")]),
                hub,
                zone("dns-a", &[]),
                zone("dns-b", &[])
            ]),
            &[
                "which-zone",
                "dns-a contoso missing 10.1.0.4",
                "dns-a contoso.eastus.data missing 10.1.0.5",
                "dns-b contoso missing 10.1.0.4",
                "dns-b contoso.eastus.data missing 10.1.0.5",
            ],
        ),
        // A copy that was left behind is found out.
        (
            json!([
                registry(&[], &[("hub", "Approved")]),
                hub,
                zone_group("hub", &["dns-hub"]),
                zone("dns-hub", &RIGHT),
                zone("dns-old", &of_spoke)
            ]),
            &[
                "dns-hub contoso exists 10.1.0.4",
                "dns-hub contoso.eastus.data exists 10.1.0.5",
                "dns-old contoso differs 10.1.0.4",
                "dns-old contoso.eastus.data differs 10.1.0.5",
            ],
        ),
    ]);
}

#[test]
fn records_of_two_networks_never_go_into_one_zone() {
    let both = || registry(&[], &[("hub", "Approved"), ("spoke", "Approved")]);
    let [hub, spoke] = [interface("hub", 1, &[LOGIN, DATA]), interface("spoke", 2, &[LOGIN, DATA])];
    let resources = json!([both(), hub, spoke]);
    for format in [Format::Az, Format::Terraform, Format::Bicep, Format::Zone] {
        let error = plan(&resources).render(format, GroupRecords::Left).expect_err("two zones");
        assert!(matches!(error, Error::WhichZone { count: 2, .. }), "{error}");
        let wishes = Wishes { private_endpoints: vec!["SPOKE".to_owned()], ..Wishes::default() };
        let text = plan_with(&resources, &wishes)
            .render(format, GroupRecords::Left)
            .expect("one zone")
            .text;
        assert!(text.contains("10.2.0.4") && !text.contains("10.1.0.4"), "{text}");
    }
}

#[test]
fn a_zone_can_be_chosen() {
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns-hub", &RIGHT),
        zone("dns-other", &[])
    ]);
    let with = |zone: &str| Wishes { zones: vec![zone.parse().expect(zone)], ..Wishes::default() };
    let missing =
        ["dns-other contoso missing 10.1.0.4", "dns-other contoso.eastus.data missing 10.1.0.5"];
    assert_eq!(outline(&plan_with(&resources, &with(&zone_id("dns-other")))), missing);
    // Azure's ids are the same in any case.
    let shouted = zone_id("dns-other").to_ascii_uppercase();
    assert_eq!(outline(&plan_with(&resources, &with(&shouted))), missing);
    // One that the input says nothing of.
    assert_eq!(
        outline(&plan_with(&resources, &with(&zone_id("dns-new")))),
        [
            "dns-new contoso should-exist 10.1.0.4",
            "dns-new contoso.eastus.data should-exist 10.1.0.5",
        ]
    );
    let by_name = plan_with(&resources, &with("Privatelink.azurecr.io."));
    assert_eq!(outline(&by_name), outline(&plan(&resources)));
    let none = Plan::of(&read(&resources), &with("privatelink.azurecr.us"));
    assert!(matches!(none, Err(Error::NoSuchZone)), "{none:?}");
}

/// What a plan leaves out for one endpoint or zone doesn't change which zone is whose: nobody's records are corrected
/// to lead to another's endpoint.
#[test]
fn a_choice_does_not_move_zones_to_other_networks() {
    let both = registry(&[], &[("hub", "Approved"), ("spoke", "Approved")]);
    let nics = [interface("hub", 1, &[LOGIN, DATA]), interface("spoke", 2, &[LOGIN, DATA])];
    let of_spoke = [("contoso", "10.2.0.4"), ("contoso.eastus.data", "10.2.0.99")];
    let by_hand =
        json!([both, nics[0], nics[1], zone("dns-hub", &RIGHT), zone("dns-spoke", &of_spoke)]);
    let groups = [zone_group("hub", &["dns-hub"]), zone_group("spoke", &["dns-spoke"])];
    let mut by_group = by_hand.clone();
    by_group.as_array_mut().expect("a list").extend(groups);
    let hub: &[&str] =
        &["dns-hub contoso exists 10.1.0.4", "dns-hub contoso.eastus.data exists 10.1.0.5"];
    let spoke: &[&str] =
        &["dns-spoke contoso exists 10.2.0.4", "dns-spoke contoso.eastus.data differs 10.2.0.5"];
    let endpoint =
        |name: &str| Wishes { private_endpoints: vec![name.to_owned()], ..Wishes::default() };
    let chosen = |group: &str| Wishes {
        zones: vec![zone_id(group).parse().expect("a zone")],
        ..Wishes::default()
    };
    for resources in [&by_hand, &by_group] {
        assert_eq!(outline(&plan_with(resources, &endpoint("hub"))), hub);
        assert_eq!(outline(&plan_with(resources, &endpoint("spoke"))), spoke);
        assert_eq!(outline(&plan_with(resources, &chosen("dns-hub"))), hub);
        assert_eq!(outline(&plan_with(resources, &chosen("dns-spoke"))), spoke);
        // A new zone may be for either, until that is said.
        assert_eq!(
            outline(&plan_with(resources, &chosen("dns-new"))),
            [
                "shared-zone",
                "dns-new contoso unknown several-private-endpoints",
                "dns-new contoso.eastus.data unknown several-private-endpoints",
            ]
        );
        let both = Wishes { private_endpoints: vec![endpoint_id("spoke")], ..chosen("dns-new") };
        assert_eq!(
            outline(&plan_with(resources, &both)),
            [
                "dns-new contoso should-exist 10.2.0.4",
                "dns-new contoso.eastus.data should-exist 10.2.0.5",
            ]
        );
    }
    // Records that lead to neither may be of an endpoint that the input doesn't have.
    let strange = json!([
        both,
        nics[0],
        nics[1],
        zone("dns-hub", &RIGHT),
        zone("dns-spoke", &of_spoke),
        zone("dns-old", &[("contoso", "10.8.0.4")])
    ]);
    assert_eq!(outline(&plan_with(&strange, &endpoint("hub"))), hub);
}

#[test]
fn each_cloud_has_a_zone_of_its_own() {
    let gov = |name: &str, address: &str| {
        json!({"type": "Microsoft.Network/networkInterfaces", "id": id("rg-net", "Microsoft.Network/networkInterfaces/g"),
               "privateEndpoint": {"id": endpoint_id("gov")},
               "ipConfigurations": [{"privateIPAddress": address,
                   "privateLinkConnectionProperties": {"groupId": "registry", "fqdns": [name]}}]})
    };
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        gov("fabrikam.azurecr.us", "10.7.0.4")
    ]);
    let zones: Vec<String> = json_of(&plan(&resources))["registries"]
        .as_array()
        .expect("registries")
        .iter()
        .map(|registry| text(&registry["zones"][0]["name"]).to_owned())
        .collect();
    assert_eq!(zones, ["privatelink.azurecr.io", "privatelink.azurecr.us"]);
    let error = plan(&resources).render(Format::Zone, GroupRecords::Left).expect_err("two zones");
    assert_eq!(
        error.to_string(),
        "a zone file is one zone, and the plan has 2: choose one with `--zone`\n  privatelink.azurecr.io\n  \
         privatelink.azurecr.us"
    );
    let wishes = Wishes {
        zones: vec!["privatelink.azurecr.us".parse().expect("a zone")],
        ..Wishes::default()
    };
    let text = plan_with(&resources, &wishes)
        .render(Format::Zone, GroupRecords::Left)
        .expect("one zone")
        .text;
    assert!(
        text.contains("\n$ORIGIN privatelink.azurecr.us.\n")
            && text.contains("\nfabrikam IN A 10.7.0.4\n"),
        "{text}"
    );
    assert!(!text.contains("contoso"), "{text}");
}

/// What a zone group writes by itself isn't written by hand, unless that is asked for; and it is said.
#[test]
fn a_zone_group_keeps_its_records() {
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &RIGHT[..1]),
        zone_group("hub", &["dns"])
    ]);
    let plan = plan(&resources);
    for format in [Format::Az, Format::Terraform, Format::Bicep] {
        let left = plan.render(format, GroupRecords::Left).expect("a text");
        assert!(!left.text.contains("10.1.0.5"), "{}", left.text);
        let said = format!(
            "not in this: `{DATA}`: a DNS zone group writes the records of `privatelink.azurecr.io` in `dns` of \
             `11111111-2222-3333-4444-555555555555`; `--by-hand` writes them nevertheless"
        );
        assert_eq!(left.warnings, [said]);
        let written = plan.render(format, GroupRecords::Written).expect("a text");
        assert!(written.text.contains("10.1.0.5") && written.warnings.is_empty(), "{written:?}");
    }
    let by_hand = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &RIGHT[..1]),
        zone_group("hub", &[])
    ]);
    assert_eq!(json_of(&self::plan(&by_hand))["registries"][0]["zones"][0]["kept_by"], "hand");
}

/// Nothing that is written deletes a record, and what would have to go is said.
#[test]
fn surplus_stays_and_is_said() {
    let records = [RIGHT[0], RIGHT[1], ("contoso.westus.data", "10.1.0.6")];
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &records)
    ]);
    let plan = plan(&resources);
    for format in [Format::Az, Format::Terraform, Format::Bicep] {
        let rendered = plan.render(format, GroupRecords::Left).expect("a text");
        assert!(
            !rendered.text.contains("delete ") && !rendered.text.contains("10.1.0.6"),
            "{}",
            rendered.text
        );
        assert!(rendered.warnings[0].contains(&format!("`{WEST}`")), "{:?}", rendered.warnings);
    }
    let file = plan.render(Format::Zone, GroupRecords::Left).expect("a zone").text;
    assert!(file.contains("\ncontoso.westus.data 600 IN A 10.1.0.6\n"), "{file}");
    let text = plan.render(Format::Text, GroupRecords::Left).expect("a text").text;
    assert!(
        text.contains("record-set a delete") && text.contains("--name contoso.westus.data\n"),
        "{text}"
    );
}

/// What another registry has in the zone is neither judged nor written.
#[test]
fn others_records_are_not_touched() {
    let records = [RIGHT[0], ("fabrikam", "10.9.0.4"), ("fabrikam.eastus.data", "10.9.0.5")];
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &records)
    ]);
    let plan = plan(&resources);
    assert!(!plan.to_json().contains("fabrikam"));
    for format in [Format::Az, Format::Terraform, Format::Bicep, Format::Zone] {
        let rendered = plan.render(format, GroupRecords::Left).expect("a text");
        assert!(!rendered.text.contains("fabrikam"), "{}", rendered.text);
        let is_said =
            rendered.warnings.iter().any(|w| w.starts_with("not in this: 2 other record sets"));
        assert_eq!(is_said, format == Format::Zone, "{:?}", rendered.warnings);
    }
}

#[test]
fn bicep_and_terraform_go_into_one_place() {
    let nics = [interface("hub", 1, &[LOGIN, DATA]), interface("spoke", 2, &[LOGIN, DATA])];
    let both = registry(&[], &[("hub", "Approved"), ("spoke", "Approved")]);
    let groups = [zone_group("hub", &["dns-hub"]), zone_group("spoke", &["dns-spoke"])];
    let resources = json!([
        both,
        nics[0],
        nics[1],
        groups[0],
        groups[1],
        zone("dns-hub", &[]),
        zone("dns-spoke", &[])
    ]);
    let plan = plan(&resources);
    let bicep = plan.render(Format::Bicep, GroupRecords::Written);
    assert!(matches!(bicep, Err(Error::SeveralPlaces { format: "Bicep", .. })), "{bicep:?}");
    let terraform =
        plan.render(Format::Terraform, GroupRecords::Written).expect("one subscription").text;
    assert!(
        terraform.contains("\"acr_contoso\"") && terraform.contains("\"acr_contoso_zone2\""),
        "{terraform}"
    );
    let elsewhere = resources.to_string().replace(
        &format!("{SUBSCRIPTION}/resourceGroups/dns-spoke"),
        "/subscriptions/other/resourceGroups/dns-spoke",
    );
    let elsewhere = self::plan(&serde_json::from_str(&elsewhere).expect("JSON"));
    let error =
        elsewhere.render(Format::Terraform, GroupRecords::Written).expect_err("two subscriptions");
    assert!(matches!(error, Error::SeveralPlaces { format: "Terraform", .. }), "{error}");
    // A script says for each zone where it is.
    let script = elsewhere.render(Format::Az, GroupRecords::Written).expect("a script").text;
    assert!(
        script.contains("place=(--subscription other --resource-group dns-spoke)\n"),
        "{script}"
    );
}

/// A group's name may hold what a shell takes for its own.
#[test]
fn a_shell_takes_names_for_words() {
    let resources = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("rg(1)", &[])
    ]);
    let plan = plan(&resources);
    let script = plan.render(Format::Az, GroupRecords::Left).expect("a script").text;
    assert!(script.contains("--resource-group 'rg(1)')\n"), "{script}");
    let text = plan.render(Format::Text, GroupRecords::Left).expect("a text").text;
    assert!(text.contains("--resource-group 'rg(1)' --zone-name"), "{text}");
}

/// A zone may have no record yet of a registry; but records of another cloud's registries belong to nobody here.
#[test]
fn a_zone_of_another_cloud_is_refused() {
    let with = |suffix: &str| {
        let zone =
            zone("dns", &[("fabrikam", "10.9.0.4")]).to_string().replace("azurecr.io", suffix);
        let text = format!("{}\n{zone}", registry(&[], &[("hub", "Approved")]));
        metadata::read(&[Source { name: "all.json".to_owned(), text }])
    };
    assert!(with("azurecr.io").is_ok());
    let refused = with("azurecr.us").expect_err("another cloud");
    assert!(matches!(refused, metadata::Error::OrphanZone(_)), "{refused}");
}

#[test]
fn zone_groups_of_az_are_read_like_those_of_arm() {
    let flat = json!([{"id": format!("{}/privateDnsZoneGroups/default", endpoint_id("hub")), "name": "default",
                       "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
                       "privateDnsZoneConfigs": [{"name": "acr", "privateDnsZoneId": zone_id("dns"), "recordSets": []}]}]);
    let rest = [registry(&[], &[("hub", "Approved")]), interface("hub", 1, &[LOGIN, DATA])];
    let of_az = plan(&json!([rest[0], rest[1], flat]));
    let of_arm = plan(&json!([rest[0], rest[1], zone_group("hub", &["dns"])]));
    assert_eq!(of_az.to_json(), of_arm.to_json());
    assert_eq!(json_of(&of_az)["registries"][0]["zones"][0]["kept_by"], "zone-group");
    let nameless = json!([rest[0], {"id": "/x", "type": "Microsoft.Network/privateEndpoints/privateDnsZoneGroups"}]);
    let source = Source { name: "all.json".to_owned(), text: nameless.to_string() };
    assert!(metadata::read(&[source]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Once all that the plan writes is there, nothing is left to write; and what was right stays as it was.
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_write(
        known in proptest::collection::vec(proptest::bool::ANY, 3),
        records in proptest::collection::btree_map(0_usize..4, 0_u8..9, 0..4),
        others in 0_usize..3,
    ) {
        let hosts = [LOGIN, DATA, WEST];
        let on_nic: Vec<&str> = hosts.iter().zip(&known).filter(|(_, is)| **is).map(|(host, _)| *host).collect();
        prop_assume!(!on_nic.is_empty());
        let names = ["contoso", "contoso.eastus.data", "contoso.westus.data", "contoso.northeurope.data"];
        let mut now: Vec<(String, String)> =
            records.iter().map(|(name, last)| (names[*name].to_owned(), format!("10.1.0.{last}"))).collect();
        now.extend((0..others).map(|number| (format!("other{number}"), "10.9.0.4".to_owned())));
        let resources = |now: &[(String, String)]| {
            let now: Vec<(&str, &str)> = now.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
            json!([registry(&["westus"], &[("hub", "Approved")]), interface("hub", 1, &on_nic), zone("dns", &now)])
        };
        let before = outline(&plan(&resources(&now)));
        let file = plan(&resources(&now)).render(Format::Zone, GroupRecords::Left).expect("a zone").text;
        let written = file.lines().filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            Some((name.to_owned(), rest.split_once("IN A ")?.1.to_owned()))
        });
        let mut after: Vec<(String, String)> = written.filter(|(name, _)| name != ";").collect();
        after.extend(now.iter().filter(|(name, _)| name.starts_with("other")).cloned());
        let lines = outline(&plan(&resources(&after)));
        for line in &lines {
            prop_assert!(!line.contains(" missing ") && !line.contains(" differs "), "{file}\n{lines:?}");
        }
        for line in before.iter().filter(|line| line.contains(" exists ") || line.contains(" surplus") || line.contains(" unknown ")) {
            prop_assert!(lines.contains(line), "{line}: {lines:?}");
        }
    }

    /// The order of files and of what is in them doesn't count.
    #[test]
    fn order_does_not_count(order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle()) {
        let all = [registry(&["westus"], &[("hub", "Approved"), ("spoke", "Pending")]), interface("hub", 1, &[LOGIN, DATA]),
                   zone("dns", &RIGHT), zone_group("hub", &["dns"]),
                   json!({"type": "Microsoft.Network/privateDnsZones", "id": zone_id("dns"), "name": "z"})];
        let shuffled: Vec<&Value> = order.iter().map(|at| &all[*at]).collect();
        prop_assert_eq!(plan(&json!(shuffled)).to_json(), plan(&json!(all)).to_json());
    }
}

/// `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_page_has_every_word_of_a_plan() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/private-link.md");
    expect_test::expect_file![page].assert_eq(&Reference.to_string());
}

/// What Terraform no longer finds in its files, it deletes.
#[test]
fn a_text_says_where_it_goes_and_what_it_does() {
    let resources =
        json!([registry(&[], &[("hub", "Approved")]), interface("hub", 1, &[LOGIN, DATA])]);
    let at = |wishes: &Wishes, format| {
        plan_with(&resources, wishes).render(format, GroupRecords::Left).expect("a text").text
    };
    let flat = |text: String| text.replace("\n# ", " ").replace("\n// ", " ");
    let grouped = Wishes { resource_group: Some("rg-dns".to_owned()), ..Wishes::default() };
    let chosen =
        Wishes { zones: vec![zone_id("dns").parse().expect("a zone")], ..Wishes::default() };
    let terraform = flat(at(&grouped, Format::Terraform));
    assert!(terraform.contains("it deletes what leaves them"), "{terraform}");
    assert!(terraform.contains("bring it in first, by an `import` block"), "{terraform}");
    assert!(
        terraform.contains("resource_group_name = \"rg-dns\"") && !terraform.contains("variable"),
        "{terraform}"
    );
    let terraform = flat(at(&chosen, Format::Terraform));
    assert!(
        terraform.contains("subscription 11111111-2222-3333-4444-555555555555."),
        "{terraform}"
    );
    assert!(flat(at(&grouped, Format::Bicep)).contains("for the resource group rg-dns."));
    assert!(
        flat(at(&chosen, Format::Bicep))
            .contains("the resource group dns of the subscription 11111111-")
    );
    let asked = at(&Wishes::default(), Format::Az);
    assert!(
        asked.contains("RESOURCE_GROUP:?")
            && asked.contains("place=(--resource-group \"$RESOURCE_GROUP\")"),
        "{asked}"
    );
    assert!(!at(&grouped, Format::Az).contains("RESOURCE_GROUP"));
}

fn run(arguments: &[&str]) -> Run {
    let arguments: Vec<&str> = ["private-link"].iter().chain(arguments).copied().collect();
    program(b"", &arguments)
}

const GEO: [&str; 4] = [
    "constructed/private-geo/acr-show.json",
    "constructed/private-geo/acr-replication-list.json",
    "constructed/private-geo/network-nic-show.json",
    "constructed/private-geo/network-private-dns-record-set-a-list.json",
];

#[test]
fn the_fixtures_lack_a_record_a_region_and_an_approval() {
    snapshot("private-link", &run(&GEO));
    snapshot("private-link-without-zone", &run(&GEO[..3]));
    for format in ["json", "az", "zone", "terraform", "bicep"] {
        let arguments: Vec<&str> = GEO.into_iter().chain(["--format", format]).collect();
        snapshot(&format!("private-link-{format}"), &run(&arguments));
    }
    snapshot("private-link-help", &run(&["--help"]));
}

/// ARM's shapes say the same as az's.
#[test]
fn arm_says_the_same() {
    let arm = run(&[
        "constructed/private-geo/registry.arm.json",
        "constructed/private-geo/replications.arm.json",
        "constructed/private-geo/private-endpoint-connections.arm.json",
        "constructed/private-geo/network-interface.arm.json",
        "constructed/private-geo/private-endpoint.arm.json",
        "constructed/private-geo/private-dns-records.arm.json",
    ]);
    assert_eq!((arm.code, arm.stdout), (1, run(&GEO).stdout));
}

#[test]
fn exit_codes_say_how_it_went() {
    let right = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &RIGHT)
    ]);
    let piped = |resources: &Value, arguments: &[&str]| {
        let arguments: Vec<&str> = ["private-link", "-"].iter().chain(arguments).copied().collect();
        program(resources.to_string().as_bytes(), &arguments)
    };
    for format in ["text", "json", "az", "terraform", "bicep", "zone"] {
        let done = piped(&right, &["--format", format]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done}");
        assert!(done.stdout.ends_with('\n'), "{done}");
    }
    let missing = json!([
        registry(&[], &[("hub", "Approved")]),
        interface("hub", 1, &[LOGIN, DATA]),
        zone("dns", &[])
    ]);
    assert_eq!(piped(&missing, &[]).code, 1);
    for (arguments, said) in [
        (&["--zone", "privatelink.azurecr.test"][..], "is no private zone of registries"),
        (
            &["--zone", "/x/privateDnsZones/privatelink.azurecr.io"],
            "is no private zone of registries",
        ),
        (&["--zone", "privatelink.azurecr.us"], "no registry in the input belongs in a zone"),
        (
            &["--private-endpoint", "spoke\u{1b}[2J"],
            "no registry in the input has a private endpoint `spoke\\u{1b}[2J`",
        ),
        (&["--zone-resource-group", "a;b"], "a resource group is called by"),
        (&["--zone-resource-group", ""], "a resource group is called by"),
        (&["--future-region", "x/y"], "invalid value"),
        (&["--format", "csv"], "invalid value"),
        (&["--output", "/nowhere/plan"], "can't write /nowhere/plan"),
    ] {
        let refused = piped(&missing, arguments);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(said) && refused.stdout.is_empty(), "{refused}");
    }
    let empty = piped(&json!([registry(&[], &[])]), &["--format", "zone"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (2, ""), "{empty}");
    let unused = piped(&right, &["--zone-resource-group", "rg"]);
    assert!(unused.stderr.contains("`--zone-resource-group` isn't needed"), "{unused}");
    assert_eq!(unused.code, 0);
    for garbage in
        ["", "null", "[]", "{\"id\":\"/A\",\"value\":[]}", "{\"id\":7,\"value\":[]}", "\u{0}"]
    {
        let refused = program(garbage.as_bytes(), &["private-link", "-"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused}");
    }
}
