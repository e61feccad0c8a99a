//! What Azure doesn't show is unknown, said to be so, and never taken for absent.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use super::fake::Reply;
use super::{
    FABRIKAM, OTHER_SUBSCRIPTION, SUBSCRIPTION, endpoint, fabrikam, interface, listing, recorded,
    registries, subnet, value, zone,
};
use crate::program::generate;

#[test]
fn each_part_that_is_withheld_is_a_finding() -> Result<()> {
    for withheld in [
        format!("{FABRIKAM}/replications"),
        format!("{FABRIKAM}/listUsages"),
        format!("{FABRIKAM}/connectedRegistries"),
        endpoint(),
        interface(),
        format!("{}/privateDnsZoneGroups", endpoint()),
        subnet(),
        zone(),
    ] {
        for (reply, code) in [
            (Reply::forbidden(), "AuthorizationFailed"),
            (Reply::error(404, "ResourceNotFound", "It was not found."), "ResourceNotFound"),
            // Another tenant's, typical for private endpoints.
            (
                Reply::error(
                    401,
                    "InvalidAuthenticationTokenTenant",
                    "The access token is from the wrong issuer.",
                ),
                "InvalidAuthenticationTokenTenant",
            ),
            (Reply::text("<h1>no</h1>").status(403), "Forbidden"),
        ] {
            let azure = fabrikam()?;
            azure.on(&withheld, reply);
            let file = azure.folder().join("azure.json");
            let path = file.to_str().expect("UTF-8");
            let run = azure
                .discover(&["--subscription", SUBSCRIPTION, "--metadata", path])
                .run()?
                .succeeded()?;
            let said =
                format!("finding (unreadable): `fabrikam`: `{withheld}` can't be read ({code})");
            assert!(run.stderr.contains(&said), "{said}: {run}");
            // All hosts are known from elsewhere; addresses are what can be read, and no others.
            assert_eq!(run.stdout.matches("[[entry]]").count(), 7, "{run}");
            let strict = azure.discover(&["--subscription", SUBSCRIPTION, "--strict"]).run()?;
            assert_eq!((strict.status.code(), strict.stdout.as_str()), (Some(1), ""), "{strict}");
            let again = generate(&[path]);
            assert_eq!((again.code, &again.stdout), (0, &run.stdout), "{again}");
            assert!(again.stderr.contains(&format!("can't be read ({code})")), "{again}");
        }
    }
    Ok(())
}

/// Without the replications, a registry whose data endpoints are off has regions that nobody knows: one region would be
/// a guess, and pulls from the others would fail.
#[test]
fn replications_that_are_withheld_are_not_one_region() -> Result<()> {
    let azure = recorded("registry.data-endpoints-disabled.two-regions")?;
    let registry = value("arm-recorded/registry.data-endpoints-disabled.two-regions.json");
    let id = registry["id"].as_str().expect("an id");
    azure.on(&format!("{id}/replications"), Reply::forbidden());
    let run =
        azure.discover(&["--subscription", OTHER_SUBSCRIPTION, "--assume-data-endpoints"]).run()?;
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(1), ""), "{run}");
    assert!(run.stderr.contains("refused (replicas-unknown)"), "{run}");
    assert!(
        run.stderr.contains("replications, which were withheld (AuthorizationFailed)"),
        "{run}"
    );
    assert!(run.stderr.contains(&format!("--scope {id}\n")), "{run}");
    // Shown and empty, they are an answer.
    azure.on(
        &format!("{id}/replications"),
        Reply::json(&value("arm-recorded/replications.empty.json")),
    );
    let run = azure
        .discover(&["--subscription", OTHER_SUBSCRIPTION, "--assume-data-endpoints"])
        .run()?
        .succeeded()?;
    assert_eq!(run.stdout.matches("[[entry]]").count(), 2, "{run}");
    Ok(())
}

#[test]
fn registries_that_are_withheld_are_a_failure_that_says_who_lacks_what() -> Result<()> {
    let azure = fabrikam()?;
    azure.on(&registries(SUBSCRIPTION), Reply::forbidden());
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?;
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
    for phrase in [
        "(AuthorizationFailed): The client 'builder' with object id '0' does not have authorization to perform action",
        "az role assignment create --role Reader --assignee WHO --scope /subscriptions/11111111-2222-3333-4444-555555555555\n",
    ] {
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    let by_id = azure.discover(&["--registry", FABRIKAM]).run()?.succeeded()?;
    assert_eq!(by_id.stdout.matches("[[entry]]").count(), 7, "{by_id}");
    azure.on(FABRIKAM, Reply::forbidden());
    let by_id = azure.discover(&["--registry", FABRIKAM]).run()?;
    assert_eq!((by_id.status.code(), by_id.stdout.as_str()), (Some(2), ""), "{by_id}");
    assert!(by_id.stderr.contains(&format!("--scope {FABRIKAM}\n")), "{by_id}");
    Ok(())
}

/// Whoever may read one registry only finds it by name nevertheless, and is never told that another isn't there.
#[test]
fn a_name_is_found_by_those_who_may_read_nothing_else() -> Result<()> {
    let azure = fabrikam()?;
    azure.on(&registries(SUBSCRIPTION), Reply::forbidden());
    let seen = json!({ "id": FABRIKAM, "name": "fabrikam", "type": "Microsoft.ContainerRegistry/registries" });
    azure.on(&format!("/subscriptions/{SUBSCRIPTION}/resources"), listing(&[seen]));
    let run = azure
        .discover(&["--subscription", SUBSCRIPTION, "--registry", "fabrikam"])
        .run()?
        .succeeded()?;
    assert_eq!(run.stdout.matches("[[entry]]").count(), 7, "{run}");
    let filter = azure
        .arm_requests()
        .iter()
        .find_map(|request| request.field("$filter").or(request.field("%24filter")));
    assert_eq!(filter.as_deref(), Some("resourceType eq 'Microsoft.ContainerRegistry/registries'"));
    let other = azure.discover(&["--subscription", SUBSCRIPTION, "--registry", "contoso"]).run()?;
    assert_eq!(other.status.code(), Some(2), "{other}");
    assert!(other.stderr.contains("can't be read (AuthorizationFailed)"), "{other}");
    assert!(!other.stderr.contains("no registry"), "{other}");
    Ok(())
}

/// A private endpoint that has been turned to another registry, and an interface of one that has just been approved.
#[test]
fn what_is_stale_is_unknown_and_not_wrong() -> Result<()> {
    let azure = fabrikam()?;
    let mut moved = value("constructed/private-geo/private-endpoint.arm.json");
    let target = &mut moved["properties"]["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceId"];
    *target = FABRIKAM.replace("fabrikam", "contoso").into();
    azure.on(&endpoint(), Reply::json(&moved));
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert!(run.stderr.contains("can't be read (LeadsElsewhere)"), "{run}");

    let azure = fabrikam()?;
    let mut young = value("constructed/private-geo/network-interface.arm.json");
    for config in young["properties"]["ipConfigurations"].as_array_mut().expect("a list") {
        config["properties"]["privateLinkConnectionProperties"]["fqdns"] = json!([]);
    }
    azure.on(&interface(), Reply::json(&young));
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert!(run.stderr.contains("can't be read (NoHostNames)"), "{run}");
    Ok(())
}

/// Two registries behind one subnet and one zone: each is asked for once, and withheld, each registry says so.
#[test]
fn what_registries_share_is_asked_for_once() -> Result<()> {
    let azure = fabrikam()?;
    let twin = |text: &str| text.replace("fabrikam", "northwind").replace("3f0a6c2e", "4f0a6c2e");
    let mut all = vec![value("constructed/private-geo/registry.arm.json")];
    for name in ["registry", "replications", "private-endpoint", "network-interface"] {
        let text = twin(&value(&format!("constructed/private-geo/{name}.arm.json")).to_string());
        let body: Value = serde_json::from_str(&text)?;
        let id = twin(
            match name {
                "registry" => FABRIKAM.to_owned(),
                "replications" => format!("{FABRIKAM}/replications"),
                "private-endpoint" => endpoint(),
                _ => interface(),
            }
            .as_str(),
        );
        if name == "registry" {
            all.push(body.clone());
        }
        azure.on(&id, Reply::json(&body));
    }
    azure.on(&registries(SUBSCRIPTION), listing(&all));
    for part in ["listUsages", "connectedRegistries"] {
        azure.on(&twin(&format!("{FABRIKAM}/{part}")), listing(&[]));
    }
    let group = json!({ "properties": { "privateDnsZoneConfigs": [
        { "properties": { "privateDnsZoneId": zone().to_ascii_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions") } },
    ] } });
    azure.on(&twin(&format!("{}/privateDnsZoneGroups", endpoint())), listing(&[group]));
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout.matches("[[entry]]").count(), 14, "{run}");
    let count = |path: &str| {
        azure
            .arm_requests()
            .iter()
            .filter(|request| request.path.eq_ignore_ascii_case(path))
            .count()
    };
    assert_eq!((count(&subnet()), count(&zone()), count(&format!("{}/A", zone()))), (1, 1, 1));

    azure.on(&subnet(), Reply::forbidden());
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    for server in ["fabrikam", "northwind"] {
        let said = format!("finding (unreadable): `{server}`: `{}`", subnet());
        assert!(run.stderr.contains(&said), "{run}");
    }
    Ok(())
}

/// What could be written to a terminal shows as what it is.
#[test]
fn azures_words_cannot_move_the_cursor() -> Result<()> {
    let azure = fabrikam()?;
    azure.on(
        &registries(SUBSCRIPTION),
        Reply::error(403, "Auth\u{1b}[2J", "no\u{1b}[2J\r\nringfence: all is well"),
    );
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?;
    assert_eq!(run.status.code(), Some(2), "{run}");
    assert!(
        !run.stderr.contains('\u{1b}') && run.stderr.contains("\\u{1b}[2J\\r\\nringfence"),
        "{run}"
    );
    let file = azure.folder().join("azure.json");
    assert!(!fs::exists(file)?);
    Ok(())
}
