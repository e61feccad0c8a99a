//! What is asked for is what the page says, so that whoever grants it knows what it is for.

use allowlist_gen::azure::READS;
use anyhow::Result;

use super::fake::{Azure, Reply};
use super::{FABRIKAM, SUBSCRIPTION, endpoint, fabrikam, interface, listing, registries, value};

/// The permission that it takes to GET this path: the provider and its types, without the names between them.
/// <https://learn.microsoft.com/azure/role-based-access-control/role-definitions#actions-format>
fn action(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let below = |parts: &[&str]| {
        parts.iter().step_by(2).fold(String::new(), |all, part| format!("{all}/{part}"))
    };
    match parts.iter().rposition(|part| *part == "providers") {
        Some(at) => format!("{}{}/read", parts[at + 1], below(&parts[at + 2..])),
        None => format!("Microsoft.Resources{}/read", below(&parts)),
    }
}

fn actions(azure: &Azure) -> Vec<String> {
    azure.arm_requests().iter().map(|request| action(&request.path)).collect()
}

#[test]
fn each_request_takes_a_permission_that_is_listed_and_each_is_taken() -> Result<()> {
    let mut taken = Vec::new();
    let azure = fabrikam()?;
    azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    taken.extend(actions(&azure));

    // By name, by those who may list nothing; and a cloud that keeps connections apart.
    let azure = fabrikam()?;
    azure.on(&registries(SUBSCRIPTION), Reply::forbidden());
    let mut registry = value("constructed/private-geo/registry.arm.json");
    registry["properties"].as_object_mut().expect("an object").remove("privateEndpointConnections");
    azure.on(FABRIKAM, Reply::json(&registry));
    let connections = value("constructed/private-geo/private-endpoint-connections.arm.json");
    azure.on(&format!("{FABRIKAM}/privateEndpointConnections"), Reply::json(&connections));
    for place in ["", "/resourceGroups/rg-registry"] {
        let place = format!("/subscriptions/{SUBSCRIPTION}{place}");
        azure.on(&format!("{place}/resources"), listing(std::slice::from_ref(&registry)));
        let in_group = format!("{place}/providers/Microsoft.ContainerRegistry/registries");
        azure.on(&in_group, Reply::forbidden());
    }
    for more in [&[][..], &["--resource-group", "rg-registry"]] {
        let arguments = ["--subscription", SUBSCRIPTION, "--registry", "fabrikam"];
        let run = azure.discover(&[&arguments, more].concat()).run()?.succeeded()?;
        assert!(run.stdout.contains("10.1.1.22"), "{run}");
    }
    let asked: Vec<String> = azure.arm_requests().into_iter().map(|request| request.path).collect();
    assert!(asked.contains(&endpoint()) && asked.contains(&interface()), "{asked:?}");
    taken.extend(actions(&azure));

    taken.sort();
    taken.dedup();
    let mut listed = READS.map(|read| read.action.to_owned());
    listed.sort();
    assert_eq!(taken, listed);
    Ok(())
}

#[test]
fn the_page_lists_the_permissions() {
    let rows =
        READS.map(|read| format!("| `{}` | {} | {} |\n", read.action, read.tells, read.withheld));
    let header = "| permission | what it tells | if it is withheld |\n|---|---|---|\n";
    let table = format!(
        "<!-- The reads: a test compares this table. -->\n\n{header}{}\n<!-- The end of the reads. -->\n",
        rows.concat()
    );
    let page = include_str!("../../../docs/discover.md");
    assert!(page.contains(&table), "docs/discover.md should say:\n\n{table}");
}
