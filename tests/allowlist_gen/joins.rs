//! Several files about one registry.

use crate::program::{all_fixtures, generate, generate_from, snapshot};

const GEO: &str = "constructed/private-geo/";
const DATA_OFF: &str = "az-cli/acr-show.data-endpoints-disabled.two-regions.json";
const DATA_ON: &str = "az-cli/acr-show.data-endpoints-enabled.two-regions.json";
const REPLICATIONS: &str = "az-cli/acr-replication-list.two-regions.json";

#[test]
fn all_files_about_one_registry_make_one_list() {
    let all: Vec<String> =
        all_fixtures().into_iter().filter(|fixture| fixture.starts_with(GEO)).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    snapshot("join-private-geo-everything", &generate(&all));
}

#[test]
fn some_files_about_one_registry_make_one_list() {
    for (name, files) in [
        ("show-and-replications", &["acr-show.json", "acr-replication-list.json"][..]),
        ("show-and-interface", &["acr-show.json", "network-nic-show.json"]),
        ("show-and-zone", &["acr-show.json", "network-private-dns-record-set-a-list.json"]),
        (
            "arm-show-endpoint-and-zone",
            &["registry.arm.json", "private-endpoint.arm.json", "private-dns-records.arm.json"],
        ),
        (
            "endpoint-and-connections",
            &["network-private-endpoint-show.json", "acr-private-endpoint-connection-list.json"],
        ),
        ("interface-and-replications", &["network-nic-show.json", "acr-replication-list.json"]),
        ("show-endpoints-and-replications", &["acr-show-endpoints.json", "replications.arm.json"]),
    ] {
        let files: Vec<String> = files.iter().map(|file| format!("{GEO}{file}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        snapshot(&format!("join-private-geo-{name}"), &generate(&files));
    }
}

#[test]
fn a_nameless_endpoint_finds_its_registry_by_id() {
    let nameless = "constructed/network-private-endpoint-show.approved-empty-custom-dns.json";
    let show = &format!("{GEO}acr-show.json");
    let interface = &format!("{GEO}network-nic-show.json");
    snapshot("join-nameless-endpoint-and-show", &generate(&[nameless, show]));
    snapshot("join-nameless-endpoint-and-interface", &generate(&[nameless, interface]));
}

#[test]
fn a_pending_endpoint_adds_nothing_but_a_finding() {
    let connection = "az-cli/acr-private-endpoint-connection-list.pending.json";
    let endpoint = "az-cli/network-private-endpoint-show.pending.json";
    snapshot("join-pending-data-on", &generate(&[DATA_ON, connection, endpoint]));
    snapshot("join-pending-data-off", &generate(&[DATA_OFF, connection, endpoint]));
}

#[test]
fn an_old_interface_lacks_what_the_registry_has() {
    let interface = "constructed/network-nic-show.old-cli-spelling.json";
    let replications = &format!("{GEO}acr-replication-list.json");
    snapshot("join-old-interface-and-replications", &generate(&[interface, replications]));
}

#[test]
fn snapshots_of_different_days_contradict_each_other_aloud() {
    let off = "az-cli/acr-show-endpoints.data-endpoints-disabled.json";
    let run = generate(&[DATA_ON, off]);
    snapshot("join-data-on-and-off", &run);
    assert_eq!(run.code, 0);
    assert_eq!(generate(&[DATA_ON, off, "--strict"]).code, 1);
}

#[test]
fn the_future_set_needs_to_know_the_replicas() {
    let assume = "--assume-data-endpoints";
    snapshot("assume-without-replications", &generate(&[DATA_OFF, assume]));
    snapshot("assume-with-replications", &generate(&[DATA_OFF, REPLICATIONS, assume]));
    let none = "arm-recorded/replications.empty.json";
    let label = "az-cli/acr-show.dnl-tenant-reuse.json";
    snapshot("assume-with-empty-list", &generate(&[label, none, assume]));
    // Beside several registries, an empty list doesn't say whose replicas aren't there.
    let several = generate(&["az-cli/acr-list.json", none, assume]);
    assert_eq!((several.code, several.stdout.as_str()), (1, ""), "{several}");
}

#[test]
fn every_registry_with_data_endpoints_off_gets_its_future_set_or_a_refusal() {
    let mut count = 0;
    for fixture in all_fixtures() {
        let refused = generate(&[&fixture]);
        if !refused.stderr.contains("refused") {
            continue;
        }
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused}");
        let run = generate(&[&fixture, "--assume-data-endpoints"]);
        snapshot(&format!("assume__{}", fixture.replace('/', "__")), &run);
        count += 1;
    }
    assert_eq!(count, 11);
}

/// Documented to be on, although the flag says off: a list where the regions are known, never a guess.
#[test]
fn a_private_endpoint_turns_data_endpoints_on_where_the_regions_are_known() {
    let flag_off = "constructed/acr-show.private-endpoint-but-data-flag-false.json";
    let replications = r#"[{
        "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups/RG-REGISTRY/providers/Microsoft.ContainerRegistry/registries/contosopeoff/replications/northeurope",
        "type": "Microsoft.ContainerRegistry/registries/replications", "location": "North Europe",
        "provisioningState": "Succeeded", "regionEndpointEnabled": false
    }, {
        "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-registry/providers/Microsoft.ContainerRegistry/registries/contosopeoff/replications/westeurope",
        "type": "Microsoft.ContainerRegistry/registries/replications", "location": "westeurope",
        "provisioningState": "Succeeded", "regionEndpointEnabled": true
    }]"#;
    let run = generate_from(replications.as_bytes(), &[flag_off, "-"]);
    snapshot("implied-with-replications", &run);
    let show_endpoints = r#"{"loginServer": "contosopeoff.azurecr.io", "dataEndpoints": [
        {"region": "westeurope", "endpoint": "*.blob.core.windows.net"}]}"#;
    let run = generate_from(show_endpoints.as_bytes(), &[flag_off, "-"]);
    snapshot("implied-with-show-endpoints", &run);
}

#[test]
fn one_pipe_holds_the_output_of_two_commands() {
    let pipe = crate::program::read(DATA_OFF) + &crate::program::read(REPLICATIONS);
    let piped = generate_from(pipe.as_bytes(), &["-", "--assume-data-endpoints", "--format=text"]);
    let files = generate(&[DATA_OFF, REPLICATIONS, "--assume-data-endpoints", "--format=text"]);
    assert_eq!(piped.code, 0, "{piped}");
    assert_eq!(piped.hosts(), files.hosts());
}

#[test]
fn one_array_holds_resources_of_every_kind() {
    let read = |file| crate::program::read(&format!("{GEO}{file}"));
    let mixed = format!(
        "[{}, {}, {}]",
        read("registry.arm.json"),
        read("replications.arm.json"),
        read("network-nic-show.json")
    );
    let one = generate_from(mixed.as_bytes(), &["-"]);
    let files = ["registry.arm.json", "replications.arm.json", "network-nic-show.json"]
        .map(|file| format!("{GEO}{file}"));
    let three = generate(&files.each_ref().map(String::as_str));
    assert_eq!((one.code, &one.stdout), (0, &three.stdout));
}

#[test]
fn many_registries_make_one_list() {
    let run = generate(&[
        "constructed/acr-show.gov.json",
        "constructed/acr-show.china.json",
        "constructed/acr-show.dnl-data-and-geo.json",
        "--format=text",
    ]);
    snapshot("join-many-registries", &run);
}

#[test]
fn what_the_input_leaves_open_is_refused_never_guessed() {
    let with = |rest: &str| {
        let registry = format!(
            r#"{{"type": "Microsoft.ContainerRegistry/registries", "location": "eastus", "name": "contoso",
                "loginServer": "contoso.azurecr.io", "sku": {{"name": "Premium"}} {rest}}}"#
        );
        generate_from(registry.as_bytes(), &["-"])
    };
    snapshot("refused-on-without-hosts", &with(r#", "dataEndpointEnabled": true"#));
    snapshot("refused-unsaid", &with(""));
    let nothing = r#"{"loginServer": "contoso.azurecr.io", "dataEndpoints": []}"#;
    let run = generate_from(nothing.as_bytes(), &["-", "--assume-data-endpoints"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run}");
}

/// `az acr replication show` prints one replication, which doesn't mean that there is no other.
#[test]
fn one_replication_is_no_list_of_replications() {
    let replications: serde_json::Value =
        serde_json::from_str(&crate::program::read(REPLICATIONS)).expect("JSON");
    let one = replications[0].to_string();
    let assume = "--assume-data-endpoints";
    let run = generate_from(one.as_bytes(), &[DATA_OFF, "-", assume]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run}");
    assert!(run.stderr.contains("replicas-unknown"), "{run}");
    let run = generate_from(one.as_bytes(), &[DATA_OFF, REPLICATIONS, "-", assume]);
    assert_eq!(run.code, 0, "{run}");
}

#[test]
fn the_wildcard_of_every_cloud_means_off() {
    for (suffix, storage) in [
        ("azurecr.us", "core.usgovcloudapi.net"),
        ("azurecr.cn", "core.chinacloudapi.cn"),
        ("azurecr.sovcloud-azure.fr", "core.sovcloud-api.fr"),
    ] {
        let off = format!(
            r#"{{"loginServer": "contoso.{suffix}",
                "dataEndpoints": [{{"region": "somewhere", "endpoint": "*.blob.{storage}"}}]}}"#
        );
        let run = generate_from(off.as_bytes(), &["-"]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run}");
        let run = generate_from(off.as_bytes(), &["-", "--assume-data-endpoints", "--format=text"]);
        assert_eq!(run.hosts()[1], format!("contoso.somewhere.data.{suffix}"));
    }
}

/// Flat or nested, a key that is missing, `null` or empty: the same resource yields the same list.
#[test]
fn the_shape_of_a_resource_does_not_matter() {
    let show = &format!("{GEO}acr-show.json");
    for (one, other) in [
        (&[DATA_ON][..], &["arm-recorded/registry.data-endpoints-enabled.two-regions.json"][..]),
        (&[&format!("{GEO}network-nic-show.json")], &[&format!("{GEO}network-interface.arm.json")]),
        (
            &[&format!("{GEO}network-private-endpoint-show.json")],
            &[&format!("{GEO}private-endpoint.arm.json")],
        ),
        (
            &[show, &format!("{GEO}network-private-dns-record-set-a-list.json")],
            &[&format!("{GEO}registry.arm.json"), &format!("{GEO}private-dns-records.arm.json")],
        ),
        (
            &[show, &format!("{GEO}acr-replication-list.json")],
            &[show, &format!("{GEO}replications.arm.json")],
        ),
        (
            &[show, &format!("{GEO}acr-private-endpoint-connection-list.json")],
            &[show, &format!("{GEO}private-endpoint-connections.arm.json")],
        ),
        (
            &[show, "constructed/acr-show.mixed-case-name.json"],
            &["constructed/graph-query.registries.json"],
        ),
    ] {
        let (one, other) = (generate(one), generate(other));
        assert_eq!(one.code, 0, "{one}");
        assert_eq!((&one.stdout, &one.stderr), (&other.stdout, &other.stderr));
    }
    let minimal = r#"{"type": "Microsoft.ContainerRegistry/registries", "location": "eastus",
        "loginServer": "contoso.azurecr.io", "dataEndpointEnabled": true,
        "dataEndpointHostNames": ["contoso.eastus.data.azurecr.io"]"#;
    let missing = generate_from(format!("{minimal}}}").as_bytes(), &["-", "--strict"]);
    assert_eq!(missing.code, 0, "{missing}");
    for said in ["null", "[]"] {
        let rest = format!(
            r#"{minimal}, "regionalEndpointHostNames": {said}, "privateEndpointConnections": {said},
                "sku": null, "id": null, "name": null, "regionalEndpoints": null, "new": {{"x": 1}}}}"#
        );
        let run = generate_from(rest.as_bytes(), &["-", "--strict"]);
        assert_eq!(run, missing);
    }
}
