//! `discover` against a fake of Azure that shows the recorded fixtures: what it asks for, what comes of it, what it
//! refuses. The fake speaks TLS and knows only what each test gives it.

mod credentials;
mod fake;
mod partial;
mod permissions;
mod session;
mod together;
mod wire;

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};

use self::fake::{Azure, Reply};
use crate::program::{generate, read};

const FABRIKAM: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-registry/providers/\
                        Microsoft.ContainerRegistry/registries/fabrikam";
const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";
const NETWORK: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-network/providers/Microsoft.Network";
const OTHER_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
const TEXT: [&str; 2] = ["--format", "text"];

fn registries(subscription: &str) -> String {
    format!("/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries")
}

fn endpoint() -> String {
    format!("{NETWORK}/privateEndpoints/pe-fabrikam-hub")
}

fn interface() -> String {
    format!("{NETWORK}/networkInterfaces/pe-fabrikam-hub.nic.3f0a6c2e-3a5e-4f0b-9c5b-0a6d1b2c3d4e")
}

fn subnet() -> String {
    format!("{NETWORK}/virtualNetworks/vnet-hub/subnets/snet-pe")
}

fn zone() -> String {
    format!("{NETWORK}/privateDnsZones/privatelink.azurecr.io")
}

fn value(fixture: &str) -> Value {
    serde_json::from_str(&read(fixture)).expect(fixture)
}

fn listing(items: &[Value]) -> Reply {
    Reply::json(&json!({ "value": items }))
}

/// A fake with the registry behind Private Link, and all that belongs to it.
fn fabrikam() -> Result<Azure> {
    let azure = Azure::start()?;
    show_fabrikam(&azure);
    Ok(azure)
}

fn show_fabrikam(azure: &Azure) {
    let fixture = |name: &str| value(&format!("constructed/private-geo/{name}.arm.json"));
    let registry = fixture("registry");
    azure.on(&registries(SUBSCRIPTION), listing(std::slice::from_ref(&registry)));
    azure.on(FABRIKAM, Reply::json(&registry));
    azure.on(&format!("{FABRIKAM}/replications"), Reply::json(&fixture("replications")));
    let usages = json!([{ "name": "Webhooks", "limit": 500, "currentValue": 0, "unit": "Count" }]);
    azure.on(&format!("{FABRIKAM}/listUsages"), Reply::json(&json!({ "value": usages })));
    azure.on(&format!("{FABRIKAM}/connectedRegistries"), listing(&[]));
    azure.on(&endpoint(), Reply::json(&fixture("private-endpoint")));
    azure.on(&interface(), Reply::json(&fixture("network-interface")));
    let group = json!({ "properties": { "privateDnsZoneConfigs": [
        { "name": "registry", "properties": { "privateDnsZoneId": zone() } },
    ] } });
    azure.on(&format!("{}/privateDnsZoneGroups", endpoint()), listing(&[group]));
    azure.on(
        &subnet(),
        Reply::json(&json!({ "id": subnet(), "name": "snet-pe", "properties": { "addressPrefix": "10.1.1.0/24" } })),
    );
    azure.on(
        &zone(),
        Reply::json(
            &json!({ "id": zone(), "name": "privatelink.azurecr.io", "location": "global" }),
        ),
    );
    azure.on(&format!("{}/A", zone()), Reply::json(&fixture("private-dns-records")));
}

/// A fake with one registry of the recordings, its data endpoints on or off.
fn recorded(fixture: &str) -> Result<Azure> {
    let azure = Azure::start()?;
    let registry = value(&format!("arm-recorded/{fixture}.json"));
    let id = registry["id"].as_str().expect("an id").to_owned();
    azure.on(&registries(OTHER_SUBSCRIPTION), listing(&[registry]));
    azure.on(
        &format!("{id}/replications"),
        Reply::json(&value("arm-recorded/replications.two-regions.json")),
    );
    azure.on(&format!("{id}/listUsages"), listing(&[]));
    azure.on(&format!("{id}/connectedRegistries"), listing(&[]));
    Ok(azure)
}

/// What the same registry gives by files, which were the same bodies.
fn from_files(more: &[&str]) -> crate::program::Run {
    let files = [
        "registry",
        "replications",
        "private-endpoint",
        "network-interface",
        "private-dns-records",
    ];
    let files = files.map(|name| format!("constructed/private-geo/{name}.arm.json"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    generate(&[&files, more].concat())
}

#[test]
fn azure_says_what_files_say() -> Result<()> {
    let azure = fabrikam()?;
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    assert!(run.stdout.contains("addresses = [\"10.1.1.22\"]"), "{run}");
    // The second request for a connection is a stranger's as far as anyone knows, and isn't followed.
    let asked: Vec<String> = azure.arm_requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().all(|path| !path.contains("pe-fabrikam-spoke")), "{asked:?}");
    Ok(())
}

/// Far end: who asks, for what, in which version, and never anything but GET.
#[test]
fn every_request_carries_the_token_and_reads_only() -> Result<()> {
    let azure = fabrikam()?;
    azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    let tokens = azure.token_requests();
    let [token] = &tokens[..] else { panic!("one sign-in, not {}", tokens.len()) };
    assert_eq!(token.method, "POST");
    assert_eq!(token.path, format!("/{}/oauth2/v2.0/token", fake::TENANT));
    assert_eq!(token.field("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(token.field("client_id").as_deref(), Some(fake::CLIENT));
    assert_eq!(token.field("client_secret").as_deref(), Some(fake::SECRET));
    // A cloud of one's own: its tokens are no good at Azure's.
    assert_eq!(token.field("scope"), Some(format!("{}/.default", azure.url())));

    let requests = azure.arm_requests();
    let expected = [
        (registries(SUBSCRIPTION), "2026-09-01-preview"),
        (format!("{FABRIKAM}/connectedRegistries"), "2026-09-01-preview"),
        (format!("{FABRIKAM}/listUsages"), "2026-09-01-preview"),
        (format!("{FABRIKAM}/replications"), "2026-09-01-preview"),
        (endpoint(), "2024-05-01"),
        (format!("{}/privateDnsZoneGroups", endpoint()), "2024-05-01"),
        (interface(), "2024-05-01"),
        (subnet(), "2024-05-01"),
        (zone(), "2024-06-01"),
        (format!("{}/A", zone()), "2024-06-01"),
    ];
    let mut asked: Vec<(String, String)> = requests
        .iter()
        .map(|request| (request.path.clone(), request.field("api-version").expect("a version")))
        .collect();
    let mut expected: Vec<(String, String)> =
        expected.map(|(path, version)| (path, version.to_owned())).into();
    asked.sort();
    expected.sort();
    assert_eq!(asked, expected);
    for request in &requests {
        assert_eq!((request.method.as_str(), request.body.as_str()), ("GET", ""), "{request:?}");
        assert_eq!(request.headers["authorization"], "Bearer token-1", "{request:?}");
    }
    let everything = azure.requests().len();
    assert_eq!(everything, requests.len() + tokens.len(), "nothing else was asked");
    Ok(())
}

#[test]
fn what_azure_said_can_be_kept_and_read_back() -> Result<()> {
    let azure = fabrikam()?;
    let file = azure.folder().join("azure.json");
    let path = file.to_str().expect("UTF-8");
    let discover = ["--subscription", SUBSCRIPTION, "--metadata", path];
    let live = azure.discover(&discover).run()?.succeeded()?;
    let kept = fs::read_to_string(&file)?;
    let again = generate(&[path]);
    assert_eq!((again.code, &again.stdout), (0, &live.stdout), "{again}");
    // Equal answers give equal bytes, whoever answers first.
    azure.discover(&discover).run()?.succeeded()?;
    assert_eq!(fs::read_to_string(&file)?, kept);

    let bodies: Vec<Value> = serde_json::from_str(&kept)?;
    let ids: Vec<&str> = bodies.iter().map(|body| body["id"].as_str().expect("an id")).collect();
    let expected = [
        FABRIKAM.to_owned(),
        format!("{FABRIKAM}/listUsages"),
        format!("{FABRIKAM}/replications"),
        format!("{FABRIKAM}/connectedRegistries"),
        endpoint(),
        interface(),
        format!("{}/privateDnsZoneGroups", endpoint()),
        subnet(),
        zone(),
        format!("{}/A", zone()),
    ];
    assert_eq!(ids, expected);
    let of = |id: &str| bodies.iter().find(|body| body["id"] == *id).expect("a body");
    assert_eq!(of(&subnet())["type"], "Microsoft.Network/virtualNetworks/subnets");
    assert_eq!(of(&zone())["type"], "Microsoft.Network/privateDnsZones");
    assert_eq!(*of(FABRIKAM), value("constructed/private-geo/registry.arm.json"));
    // What Azure says holds no token, and neither does what is kept of it.
    assert!(!kept.contains("token-1") && !kept.contains(fake::SECRET));
    Ok(())
}

#[test]
fn the_list_goes_where_that_of_generate_goes() -> Result<()> {
    let azure = fabrikam()?;
    let file = azure.folder().join("allowlist.toml");
    let path = file.to_str().expect("UTF-8");
    let discover = |more: &[&str]| {
        azure.discover(&[&["--subscription", SUBSCRIPTION][..], more].concat()).run()
    };
    let issue = ["--serial", "7", "--not-after", "2026-12-31T00:00:00Z"];
    let written = discover(&[&issue[..], &["--output", path]].concat())?.succeeded()?;
    assert_eq!(written.stdout, "");
    assert_eq!(fs::read_to_string(&file)?, from_files(&issue).stdout);
    assert_eq!(discover(&[&issue[..], &["--check", path]].concat())?.status.code(), Some(0));
    assert_eq!(discover(&["--check", path, "--serial", "8"])?.status.code(), Some(1));

    fs::write(&file, "schema = 1\n")?;
    let drift = discover(&["--check", path])?;
    assert_eq!(drift.status.code(), Some(1), "{drift}");
    assert!(drift.stdout.contains("+host = \"fabrikam.azurecr.io\""), "{drift}");
    // This registry has something to look at: a replica that is being made.
    let strict = discover(&["--strict"])?;
    assert_eq!((strict.status.code(), strict.stdout.as_str()), (Some(1), ""), "{strict}");
    Ok(())
}

/// Else the list to compare with would be gone before it is read.
#[test]
fn one_file_does_not_hold_the_list_and_the_metadata() -> Result<()> {
    let azure = fabrikam()?;
    let (list, link) = (azure.folder().join("list.toml"), azure.folder().join("link.toml"));
    fs::write(&list, "schema = 1\n")?;
    std::os::unix::fs::symlink(&list, &link)?;
    let (list_path, link) = (list.to_str().expect("UTF-8"), link.to_str().expect("UTF-8"));
    for (flag, file, metadata) in [
        ("--check", list_path, list_path),
        ("--output", list_path, link),
        ("--output", "new", "new"),
    ] {
        let arguments = ["--subscription", SUBSCRIPTION, flag, file, "--metadata", metadata];
        let run = azure.discover(&arguments).run()?;
        assert_eq!(run.status.code(), Some(2), "{run}");
        assert!(run.stderr.contains("can't hold both the list and the metadata"), "{run}");
    }
    assert_eq!(fs::read_to_string(list)?, "schema = 1\n");
    assert!(azure.requests().is_empty());
    Ok(())
}

#[test]
fn data_endpoints_that_are_off_are_a_no_and_can_be_assumed() -> Result<()> {
    let azure = recorded("registry.data-endpoints-disabled.two-regions")?;
    let file = azure.folder().join("azure.json");
    let discover =
        ["--subscription", OTHER_SUBSCRIPTION, "--metadata", file.to_str().expect("UTF-8")];
    let refused = azure.discover(&discover).run()?;
    assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(1), ""), "{refused}");
    assert!(refused.stderr.contains("refused (data-endpoints-off)"), "{refused}");
    assert!(file.exists(), "what was read is kept");
    let assumed =
        [&["--subscription", OTHER_SUBSCRIPTION, "--assume-data-endpoints"], &TEXT[..]].concat();
    let assumed = azure.discover(&assumed).run()?.succeeded()?;
    assert_eq!(
        assumed.stdout.lines().collect::<Vec<_>>(),
        [
            "testreg000002.azurecr.io",
            "testreg000002.southcentralus.data.azurecr.io",
            "testreg000002.westus.data.azurecr.io"
        ]
    );
    Ok(())
}

#[test]
fn registries_are_chosen_by_name_login_server_or_id() -> Result<()> {
    let azure = fabrikam()?;
    let other = value("arm-recorded/registry.data-endpoints-enabled.two-regions.json");
    let other_id = other["id"].as_str().expect("an id").to_owned();
    azure.on(&registries(OTHER_SUBSCRIPTION), listing(std::slice::from_ref(&other)));
    azure.on(&other_id, Reply::json(&other));
    let replications = value("arm-recorded/replications.two-regions.json");
    azure.on(&format!("{other_id}/replications"), Reply::json(&replications));
    for part in ["listUsages", "connectedRegistries"] {
        azure.on(&format!("{other_id}/{part}"), listing(&[]));
    }
    let both = ["--subscription", SUBSCRIPTION, "--subscription", OTHER_SUBSCRIPTION];
    let servers = |more: &[&str]| -> Result<Vec<String>> {
        let run = azure.discover(&[more, &TEXT].concat()).run()?.succeeded()?;
        let is_login = |line: &&str| line.matches('.').count() == 2;
        Ok(run.stdout.lines().filter(is_login).map(str::to_owned).collect())
    };
    let (fabrikam, testreg) = ("fabrikam.azurecr.io", "testreg000002.azurecr.io");
    assert_eq!(servers(&both)?, [fabrikam, testreg]);
    for (wanted, server) in [
        ("fabrikam", fabrikam),
        ("Fabrikam.azurecr.io", fabrikam),
        ("testreg000002", testreg),
        (other_id.as_str(), testreg),
    ] {
        assert_eq!(servers(&[&both[..], &["--registry", wanted]].concat())?, [server], "{wanted}");
    }
    // An id needs no subscription, and two that are one registry are one.
    let shouted = other_id.to_ascii_uppercase().replace("/SUBSCRIPTIONS/", "/subscriptions/");
    assert_eq!(servers(&["--registry", &other_id, "--registry", &shouted])?, [testreg]);

    let missing = azure.discover(&[&both[..], &["--registry", "contoso"]].concat()).run()?;
    assert_eq!((missing.status.code(), missing.stdout.as_str()), (Some(2), ""), "{missing}");
    let said = "error: no registry `contoso` in `/subscriptions/11111111-2222-3333-4444-555555555555`, \
                `/subscriptions/00000000-0000-0000-0000-000000000000`\n";
    assert!(missing.stderr.contains(said), "{missing}");
    // One that isn't found leaves no list of the others behind.
    let half = azure
        .discover(&[&both[..], &["--registry", "fabrikam", "--registry", "contoso"]].concat())
        .run()?;
    assert_eq!((half.status.code(), half.stdout.as_str()), (Some(2), ""), "{half}");
    let gone = azure.discover(&["--registry", &other_id.replace("000002", "000003")]).run()?;
    assert_eq!(gone.status.code(), Some(2), "{gone}");
    assert!(
        gone.stderr.contains("doesn't exist, or you may not know of it (ResourceNotFound)"),
        "{gone}"
    );
    Ok(())
}

#[test]
fn a_resource_group_narrows_the_search() -> Result<()> {
    let azure = fabrikam()?;
    let place = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-registry");
    let listed = format!("{place}/providers/Microsoft.ContainerRegistry/registries");
    azure.on(&listed, listing(&[value("constructed/private-geo/registry.arm.json")]));
    let run = azure
        .discover(&["--subscription", SUBSCRIPTION, "--resource-group", "rg-registry"])
        .run()?
        .succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    assert!(azure.arm_requests().iter().all(|request| request.path != registries(SUBSCRIPTION)));
    azure.on(&listed, listing(&[]));
    let none = azure
        .discover(&["--subscription", SUBSCRIPTION, "--resource-group", "rg-registry"])
        .run()?;
    assert_eq!(none.status.code(), Some(2), "{none}");
    assert!(none.stderr.contains(&format!("there is no registry in `{place}`")), "{none}");
    Ok(())
}

/// Zones are often in a hub's subscription, where no private endpoint names them.
#[test]
fn zones_come_from_groups_from_the_subscription_or_by_id() -> Result<()> {
    let azure = fabrikam()?;
    // The interface withheld, the addresses come from the zone alone.
    azure.on(&interface(), Reply::forbidden());
    azure.on(&format!("{}/privateDnsZoneGroups", endpoint()), listing(&[]));
    let zones =
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/privateDnsZones");
    let other =
        json!({ "id": format!("{NETWORK}/privateDnsZones/corp.example"), "name": "corp.example" });
    azure.on(&zones, listing(&[other, json!({ "id": zone(), "name": "privatelink.azurecr.io" })]));
    let discover = |more: &[&str]| {
        azure.discover(&[&["--subscription", SUBSCRIPTION][..], more].concat()).run()
    };
    let found = discover(&[])?.succeeded()?;
    assert!(found.stdout.contains("10.1.1.22"), "{found}");
    assert!(azure.arm_requests().iter().all(|request| !request.path.contains("corp.example")));

    // Given, it is all there is, and has to be there.
    azure.on(&zones, Reply::forbidden());
    let given = discover(&["--dns-zone", &zone()])?.succeeded()?;
    assert_eq!(given.stdout, found.stdout);
    azure.on(&zone(), Reply::forbidden());
    let withheld = discover(&["--dns-zone", &zone()])?;
    assert_eq!((withheld.status.code(), withheld.stdout.as_str()), (Some(2), ""), "{withheld}");
    assert!(
        withheld.stderr.contains("privatelink.azurecr.io` can't be read (AuthorizationFailed)"),
        "{withheld}"
    );
    Ok(())
}

/// A zone serves the registries of a whole network; records of others are neither read nor kept.
#[test]
fn records_of_other_registries_are_left_alone() -> Result<()> {
    let azure = fabrikam()?;
    let record = |name: &str, address: &str| {
        json!({
            "id": format!("{}/A/{name}", zone()),
            "name": name,
            "type": "Microsoft.Network/privateDnsZones/A",
            "properties": { "fqdn": format!("{name}.privatelink.azurecr.io."), "aRecords": [{ "ipv4Address": address }] },
        })
    };
    azure.on(
        &format!("{}/A", zone()),
        listing(&[record("contoso", "10.9.9.9"), record("contoso.westus.data", "8.8.8.8")]),
    );
    let file = azure.folder().join("azure.json");
    let path = file.to_str().expect("UTF-8");
    let run =
        azure.discover(&["--subscription", SUBSCRIPTION, "--metadata", path]).run()?.succeeded()?;
    assert!(run.stdout.contains("10.1.1.22") && !run.stdout.contains("contoso"), "{run}");
    assert!(!fs::read_to_string(file)?.contains("contoso"));
    Ok(())
}

#[test]
fn arguments_that_say_too_little_or_contradict_each_other() -> Result<()> {
    let azure = Azure::start()?;
    let long = "/subscriptions/a/resourceGroups/b/providers/Microsoft.ContainerRegistry/registries/c/replications/d";
    for (arguments, phrase) in [
        (&[][..], "az account show --query id --output tsv"),
        (&["--registry", "contoso"], "which registries? there is no subscription"),
        (&["--subscription", "my subscription"], "a subscription goes by its id: az account show"),
        (&["--subscription", "11111111222233334444555555555555"], "a subscription goes by its id"),
        (&["--resource-group", "a"], "--subscription <ID>"),
        (
            &["--subscription", SUBSCRIPTION, "--resource-group", "a/b"],
            "a resource group's name is letters",
        ),
        (
            &["--subscription", SUBSCRIPTION, "--resource-group", ".."],
            "a resource group's name is letters",
        ),
        (&["--registry", "/subscriptions/a/../b"], "a resource id is `/subscriptions/"),
        (&["--registry", long], "this is not the id of a registry"),
        (&["--registry", "contoso.blob.core.windows.net"], "registries answer below"),
        (&["--registry", "contoso.eastus.data.azurecr.io"], "not the login server"),
        (&["--dns-zone", "/subscriptions/a/b"], "this is not the id of a private DNS zone"),
        (&["--subscription", SUBSCRIPTION, "--output", "a", "--check", "b"], "cannot be used with"),
        (&["file.json", "--subscription", SUBSCRIPTION], "unexpected argument"),
        (&["--subscription", SUBSCRIPTION, "--credential", "password"], "invalid value 'password'"),
    ] {
        let run = azure.discover(arguments).run()?;
        assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    for (flag, value, phrase) in [
        ("--arm-endpoint", "http://127.0.0.1", "a token travels over https only"),
        ("--arm-endpoint", "https://user@127.0.0.1", "write it as https://HOST"),
        ("--authority", "https://127.0.0.1/adfs", "a host without a path"),
        ("--arm-audience", "https://a.example/$(id)", "is not an audience"),
    ] {
        let run = test_support::Program::new(env!("CARGO_BIN_EXE_allowlist-gen"))
            .args(["discover", "--subscription", SUBSCRIPTION, flag, value])
            .run()?;
        assert_eq!(run.status.code(), Some(2), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    assert!(azure.requests().is_empty(), "nothing was asked");
    Ok(())
}
