//! What is not metadata about registries, and what each such thing is told.

use crate::program::{generate_from, snapshot};

/// A registry with one key replaced by `value`, or added.
fn registry(key: &str, value: &str) -> String {
    let mut registry = serde_json::json!({
        "type": "Microsoft.ContainerRegistry/registries",
        "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso",
        "name": "contoso",
        "location": "eastus",
        "loginServer": "contoso.azurecr.io",
        "sku": {"name": "Premium"},
        "dataEndpointEnabled": true,
        "dataEndpointHostNames": ["contoso.eastus.data.azurecr.io"],
    });
    registry[key] = serde_json::from_str(value).expect(value);
    registry.to_string()
}

fn interface(group: &str, fqdn: &str, address: &str) -> String {
    serde_json::json!({
        "type": "Microsoft.Network/networkInterfaces",
        "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/nic",
        "ipConfigurations": [{
            "privateIPAddress": address,
            "privateLinkConnectionProperties": {"groupId": group, "requiredMemberName": "registry", "fqdns": [fqdn]},
        }],
    })
    .to_string()
}

fn show_endpoints(data: &str) -> String {
    format!(r#"{{"loginServer": "contoso.azurecr.io", "dataEndpoints": {data}}}"#)
}

#[test]
fn every_bad_input_is_told_what_is_wrong() {
    let host = |host: &str| registry("dataEndpointHostNames", &format!("[\"{host}\"]"));
    let login = |host: &str| registry("loginServer", &format!("\"{host}\""));
    let rows: Vec<(String, &str)> = vec![
        // Not JSON, or not of any use.
        (String::new(), "<stdin> is empty"),
        (" \n".into(), "<stdin> is empty"),
        ("ResourceGroup    Location\n".into(), "this is not JSON"),
        ("{\"loginServer\": \"contoso.azurecr.io\"".into(), "the JSON ends too early"),
        ("[1, 2,]".into(), "trailing comma"),
        ("{'loginServer': 1}".into(), "key must be a string"),
        ("\"contoso\"".into(), "found text, which says nothing about a registry"),
        ("12".into(), "found a number"),
        ("null".into(), "found null"),
        ("[[[true]]]".into(), "at `$[0][0][0]`: found true or false"),
        ("{}".into(), "found an empty object"),
        ("[]".into(), "empty lists only"),
        ("{\"value\": []} []".into(), "empty lists only"),
        ("{\"a\": 1, \"b\": 2}".into(), "found an object with `a`, `b`"),
        (
            "{\"error\": {\"code\": \"AuthorizationFailed\", \"message\": \"…\"}}".into(),
            "an error from Azure (`AuthorizationFailed`)",
        ),
        ("{\"responses\": {}}".into(), "an example from an API specification"),
        ("{\"type\": \"Microsoft.Storage/storageAccounts\"}".into(), "found a `Microsoft.Storage/storageAccounts`"),
        ("{\"type\": \"x\\u001b[2J\"}".into(), "found a `x\\u{1b}[2J`"),
        ("[".repeat(1000), "recursion limit exceeded"),
        // Pages that aren't the last.
        ("{\"value\": [], \"nextLink\": \"https://management.azure.com/…\"}".into(), "`nextLink` says that there is more"),
        ("{\"count\": 0, \"data\": [], \"skip_token\": \"abc\"}".into(), "`skip_token` says that there is more"),
        ("{\"count\": 0, \"data\": [], \"total_records\": 3}".into(), "`total_records` says that there is more"),
        // Keys that are missing, and values of the wrong type.
        (registry("loginServer", "null"), "<stdin>: `loginServer` is missing"),
        (registry("location", "null"), "<stdin>: `location` is missing"),
        (registry("dataEndpointEnabled", "3"), "at `$.dataEndpointEnabled`: expected true or false, found a number"),
        (registry("dataEndpointHostNames", "{}"), "at `$.dataEndpointHostNames`: expected a list, found an object"),
        (registry("dataEndpointHostNames", "[7]"), "at `$.dataEndpointHostNames[0]`: expected text, found a number"),
        (
            format!("[{}]", registry("properties", "{\"privateEndpointConnections\": [{}]}")),
            "at `$[0].properties.privateEndpointConnections[0]`: `id` is missing",
        ),
        (registry("id", "\"/a/$(rm -rf ~)\""), "`/a/$(rm -rf ~)` is not a resource id"),
        // Login servers that are none.
        (login("contoso.azurecr-test.io"), "registries answer below `azurecr.io`, `azurecr.us`"),
        (login("contoso.azurecr.io.example"), "registries answer below"),
        (login("contoso.azurecr.de"), "Azure Germany is closed"),
        (login("azurecr.io"), "this is the domain of all registries"),
        (login("contoso.privatelink.azurecr.io"), "a record of a private DNS zone"),
        (login("contoso.eastus.data.azurecr.io"), "is not a login server"),
        (login("10.0.0.1"), "an IP address is not a host name"),
        (login("*.azurecr.io"), "can't stand in a host name"),
        (login("contoso.azurecr.io."), "ends in a dot"),
        (login("cont\u{f6}so.azurecr.io"), "is not ASCII"),
        // Reported hosts that are not this registry's.
        (host("evil.eastus.data.azurecr.io"), "`evil.eastus.data.azurecr.io` is not a host of `contoso.azurecr.io`"),
        (host("contoso.eastus.data.azurecr.us"), "is not a host of `contoso.azurecr.io`"),
        (host("contoso.eastus.geo.azurecr.io"), "is not a data endpoint"),
        (host("contoso.azurecr.io"), "is not a data endpoint"),
        (host("weumanaged15.blob.core.windows.net"), "is not a host of a registry"),
        (host("*.blob.core.windows.net"), "is not a host of a registry"),
        (
            registry("regionalEndpointHostNames", "[\"contoso.eastus.data.azurecr.io\"]"),
            "is not a regional endpoint",
        ),
        (
            show_endpoints(r#"[{"region": "westus", "endpoint": "contoso.eastus.data.azurecr.io"}]"#),
            "at `$.dataEndpoints[0].endpoint`: `contoso.eastus.data.azurecr.io` does not lie in `westus`",
        ),
        (
            show_endpoints(r#"[{"region": "westus", "endpoint": "*.data.azurecr.io"}]"#),
            "is not a host of a registry",
        ),
        (show_endpoints(r#"[{"endpoint": "*.blob.core.windows.net"}]"#), "`region` is missing"),
        (show_endpoints(r#"[{"region": "west-us", "endpoint": "*.blob.core.windows.net"}]"#), "`west-us` is not a region"),
        (registry("location", "\"\""), "`` is not a region"),
        // Network resources of something else, and addresses that no private endpoint has.
        (interface("sqlServer", "x.database.windows.net", "10.0.0.4"), "belongs to a private endpoint of `sqlServer`"),
        (interface("registry", "x.database.windows.net", "10.0.0.4"), "is not a host of a registry"),
        (interface("registry", "contoso.azurecr.io", "20.1.2.3"), "`20.1.2.3` is a public address"),
        (interface("registry", "contoso.azurecr.io", "168.63.129.16"), "is a cloud platform address"),
        (interface("registry", "contoso.azurecr.io", "127.0.0.1"), "is a loopback address"),
        (interface("registry", "contoso.azurecr.io", "10.0.0.0/8"), "is not an IP address"),
        (
            "{\"type\": \"Microsoft.Network/networkInterfaces\", \"id\": \"/n\", \"ipConfigurations\": [{}]}".into(),
            "this network interface has no host names",
        ),
        (
            "{\"aRecords\": [], \"fqdn\": \"acct.privatelink.blob.core.windows.net.\"}".into(),
            "is not a host of a registry",
        ),
        // Contradictions.
        (
            registry("name", "\"a\"") + &registry("location", "\"westus\""),
            "`contoso.azurecr.io` has its home region in `eastus` (<stdin>) and in `westus` (<stdin> (document 2))",
        ),
    ];
    for (input, phrase) in rows {
        let run = generate_from(input.as_bytes(), &["-"]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{input}\n{run}");
        assert!(run.stderr.starts_with("error: "), "{input}\n{run}");
        assert!(run.stderr.contains(phrase), "{phrase}\n{input}\n{run}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told_so() {
    let utf16: Vec<u8> = "{\"a\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xff, 0xfe], &utf16[..]].concat();
    for (bytes, phrase) in [
        (&utf16[..], "is UTF-16"),
        (&marked, "is UTF-16"),
        (b"{\"a\": \"\xff\"}", "is not UTF-8 text"),
    ] {
        let run = generate_from(bytes, &["-"]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }
    snapshot("bad-utf-16", &generate_from(&marked, &["-"]));
}

/// Two registries of one name: an id decides, a name can't.
#[test]
fn namesakes_are_told_apart_by_id_only() {
    let show = |label: &str| {
        format!(
            r#"{{"loginServer": "{label}.azurecr.io", "dataEndpoints":
                [{{"region": "eastus", "endpoint": "{label}.eastus.data.azurecr.io"}}]}}"#
        )
    };
    let replication = r#"[{"type": "Microsoft.ContainerRegistry/registries/replications", "location": "eastus",
        "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/acme/replications/e"}]"#;
    let both = show("acme-1a") + &show("acme-2b");
    let run = generate_from((both + replication).as_bytes(), &["-"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("describes two of that name"), "{run}");
    let one = generate_from((show("acme-1a") + replication).as_bytes(), &["-"]);
    assert_eq!(one.code, 0, "{one}");
}

#[test]
fn no_text_makes_a_line_of_its_own() {
    let forged = r#""contoso\nringfence: all is well\u001b[2J""#;
    for key in ["loginServer", "id", "location", "name"] {
        let run = generate_from(registry(key, forged).as_bytes(), &["-"]);
        assert!(!run.stderr.contains(['\u{1b}', '\r']), "{key}: {run}");
        let mut lines = run.stderr.lines();
        assert!(!lines.any(|line| line.trim_start().starts_with("ringfence:")), "{key}: {run}");
    }
    let run = generate_from(registry("loginServer", forged).as_bytes(), &["-"]);
    assert!(run.stderr.contains(r"`contoso\nringfence: all is well\u{1b}[2J`"), "{run}");
}
