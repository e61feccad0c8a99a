//! What can go wrong between here and Azure: pages, throttling, faults, strange answers, and links that lead elsewhere.

use anyhow::Result;
use serde_json::json;

use super::fake::{Azure, Reply};
use super::{FABRIKAM, SUBSCRIPTION, fabrikam, from_files, registries, value};

/// Both ends of what must fail.
fn fails(azure: &Azure, phrase: &str) -> Result<()> {
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?;
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
    assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    Ok(())
}

#[test]
fn pages_are_followed_to_the_last() -> Result<()> {
    let azure = fabrikam()?;
    let replications = value("constructed/private-geo/replications.arm.json");
    let items = replications["value"].as_array().expect("a list");
    let path = format!("{FABRIKAM}/replications");
    for (index, item) in items.iter().enumerate() {
        let next =
            format!("{}{path}?api-version=2026-09-01-preview&$skiptoken={index}", azure.url());
        // The last page ends in the ways that Azure ends one.
        let next = if index + 1 < items.len() { json!(next) } else { json!("") };
        azure.once(&path, Reply::json(&json!({ "value": [item], "nextLink": next })));
    }
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    let pages = azure.arm_requests().into_iter().filter(|request| request.path == path);
    let tokens: Vec<Option<String>> = pages.map(|request| request.field("$skiptoken")).collect();
    assert_eq!(tokens, [None, Some("0".to_owned()), Some("1".to_owned())]);
    Ok(())
}

#[test]
fn pages_without_end_are_refused() -> Result<()> {
    let azure = fabrikam()?;
    let path = registries(SUBSCRIPTION);
    let back = format!("{}{path}?api-version=2026-09-01-preview&$skiptoken=1", azure.url());
    azure.on(&path, Reply::json(&json!({ "value": [], "nextLink": back })));
    fails(&azure, "doesn't end: a page leads back to one before it")?;
    assert_eq!(azure.arm_requests().len(), 2);

    let azure = fabrikam()?;
    for page in 0..1001 {
        let next =
            format!("{}{path}?api-version=2026-09-01-preview&$skiptoken={page}", azure.url());
        azure.once(&path, Reply::json(&json!({ "value": [], "nextLink": next })));
    }
    fails(&azure, "doesn't end: it has more than 1000 pages")?;
    assert_eq!(azure.arm_requests().len(), 1000);
    Ok(())
}

/// A token is a key to all that its owner may read: it goes to the resource manager, and nowhere else.
#[test]
fn the_token_goes_nowhere_else() -> Result<()> {
    let elsewhere = Azure::start()?;
    let path = registries(SUBSCRIPTION);
    let there = format!("{}{path}?api-version=1", elsewhere.url());
    let azure = fabrikam()?;
    azure.on(&path, Reply::json(&json!({ "value": [], "nextLink": there })));
    fails(&azure, "which is not Azure's resource manager: nothing was sent there")?;
    for link in [
        there.replace("https://", "http://"),
        "//elsewhere.example/".to_owned(),
        "not a link".to_owned(),
        azure.url().replace("https://", "https://user@"),
        azure.url() + ".elsewhere.example/",
    ] {
        azure.on(&path, Reply::json(&json!({ "value": [], "nextLink": link })));
        fails(&azure, "which is not Azure's resource manager: nothing was sent there")?;
    }
    for status in [301, 302, 303, 307, 308] {
        azure.on(&path, Reply::text("").status(status).with("Location", &there));
        fails(&azure, "which is not followed: the token stays with Azure")?;
    }
    // Nor does an id become a host.
    let mut registry = value("constructed/private-geo/registry.arm.json");
    for id in [
        "https://elsewhere.example/x",
        "//elsewhere.example/x",
        "/subscriptions/a/../../b",
        "/subscriptions/a?b=/c",
    ] {
        registry["id"] = json!(id);
        azure.on(&path, Reply::json(&json!({ "value": [registry] })));
        fails(&azure, "which is not a resource id")?;
    }
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
    Ok(())
}

#[test]
fn azures_wish_for_fewer_requests_is_granted() -> Result<()> {
    let azure = fabrikam()?;
    let slower = Reply::error(429, "TooManyRequests", "Slow down.").with("Retry-After", "1");
    azure.once(&registries(SUBSCRIPTION), slower.clone());
    azure.once(&format!("{FABRIKAM}/replications"), slower);
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    assert!(
        run.stderr.contains("asking Azure: it wants fewer requests, going on in 1 s\n"),
        "{run}"
    );
    // More patience than anyone has is a failure at once, not an hour later.
    azure.on(
        &registries(SUBSCRIPTION),
        Reply::error(429, "TooManyRequests", "").with("Retry-After", "3600"),
    );
    fails(&azure, "Azure wants fewer requests, and has put off")?;
    // Not even where all pauses together are more than a clock can count.
    azure.once(&registries(SUBSCRIPTION), Reply::error(503, "Busy", "").with("Retry-After", "1"));
    let longest = u64::MAX.to_string();
    let endless = Reply::error(429, "TooManyRequests", "").with("Retry-After", &longest);
    azure.on(&registries(SUBSCRIPTION), endless);
    fails(&azure, "Azure wants fewer requests, and has put off")?;
    Ok(())
}

/// Those who wait see how far it is; on a terminal in one line, of which nothing stays.
#[test]
fn those_who_wait_are_told() -> Result<()> {
    if !test_support::require_program("script") {
        return Ok(());
    }
    let azure = fabrikam()?;
    let slower = || Reply::error(429, "TooManyRequests", "").with("Retry-After", "1");
    azure.once(&format!("{FABRIKAM}/replications"), slower());
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    let lines: Vec<&str> =
        run.stderr.lines().filter(|line| line.starts_with("asking Azure")).collect();
    assert_eq!(lines, ["asking Azure: it wants fewer requests, going on in 1 s"]);

    azure.once(&format!("{FABRIKAM}/replications"), slower());
    let (program, url) = (env!("CARGO_BIN_EXE_allowlist-gen"), azure.url());
    let command = format!(
        "'{program}' discover --subscription {SUBSCRIPTION} --arm-endpoint {url} --authority {url} --azure-ca '{}'",
        azure.ca().display()
    );
    let run = test_support::Program::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("AZURE_TENANT_ID", super::fake::TENANT)
        .env("AZURE_CLIENT_ID", super::fake::CLIENT)
        .env("AZURE_CLIENT_SECRET", super::fake::SECRET)
        .run()?
        .succeeded()?;
    let text = run.stdout;
    assert!(text.contains("\r\u{1b}[Kasking Azure: it wants fewer requests"), "{text:?}");
    assert!(text.contains(" answers, registries: 1\r\u{1b}[K"), "{text:?}");
    let last = text.rfind("asking Azure").expect("said");
    let after = &text[last..];
    let cleared = after.find("\r\u{1b}[K").expect("cleared");
    assert!(after.find("finding (").is_some_and(|finding| cleared < finding), "{text:?}");
    Ok(())
}

#[test]
fn passing_faults_pass_and_lasting_ones_are_told() -> Result<()> {
    let azure = fabrikam()?;
    let replications = format!("{FABRIKAM}/replications");
    azure.once(&registries(SUBSCRIPTION), Reply::error(500, "InternalServerError", "Again."));
    azure.once(&registries(SUBSCRIPTION), Reply::text("upstream").status(502));
    azure.once(&replications, Reply::error(503, "ServerBusy", "Again."));
    // Cut off on the way.
    azure.once(&replications, Reply::text("{\"value\": [").cut_off());
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);

    // A fault isn't a lack of permission: no list without the replications.
    azure.on(&replications, Reply::error(500, "InternalServerError", "For good."));
    fails(&azure, "replications` with 500 (InternalServerError): For good.")?;
    Ok(())
}

#[test]
fn answers_that_are_none_are_refused() -> Result<()> {
    let azure = fabrikam()?;
    let replications = format!("{FABRIKAM}/replications");
    let html = Reply::text("<html>Sign in to the guest network").with("Content-Type", "text/html");
    for (reply, phrase) in [
        (html, "is not JSON (text/html): expected value at line 1 column 1"),
        (
            Reply::text("{\"value\": ["),
            "is not JSON (application/json; charset=utf-8): EOF while parsing",
        ),
        (Reply::text(""), "is not JSON (application/json; charset=utf-8): EOF while parsing"),
        (Reply::text("[]"), "not what it should be: an object was expected"),
        (Reply::text("{}"), "not what it should be: a listing has `value`, and this has none"),
        (Reply::text("{\"value\": {}}"), "a listing has `value`, and this has none"),
        (Reply::text("{\"value\": [], \"nextLink\": 1}"), "`nextLink` is no text"),
        (Reply::text(&format!("{{\"value\": {}}}", "[".repeat(200))), "recursion limit exceeded"),
        (Reply::text("{}").status(204), "with 204"),
        (Reply::error(400, "BadRequest", "What?"), "with 400 (BadRequest): What?"),
        (Reply::error(409, "MissingSubscriptionRegistration", "Not registered."), "with 409"),
        (Reply::error(418, "", ""), "with 418"),
    ] {
        azure.on(&replications, reply);
        fails(&azure, phrase)?;
    }
    azure.on(&replications, Reply::text(&" ".repeat((64 << 20) + 1)));
    fails(&azure, "is longer than 64 MiB")?;
    azure.on(&registries(SUBSCRIPTION), Reply::text("{\"value\": [1]}"));
    fails(&azure, "its items should be objects")?;
    Ok(())
}

/// A cloud that is behind Azure's own has older API versions only.
#[test]
fn an_older_cloud_is_asked_in_its_own_version() -> Result<()> {
    let azure = fabrikam()?;
    let unknown = Reply::error(
        400,
        "NoRegisteredProviderFound",
        "The supported api-versions are '2023-07-01'.",
    );
    let path = registries(SUBSCRIPTION);
    azure.once(&path, unknown.clone());
    azure.once(&path, unknown.clone());
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    let versions: Vec<_> =
        azure.arm_requests().into_iter().filter(|request| request.path == path).collect();
    let versions: Vec<_> =
        versions.iter().filter_map(|request| request.field("api-version")).collect();
    assert_eq!(versions, ["2026-09-01-preview", "2025-11-01", "2023-07-01"]);
    // None of them: a part is unknown.
    azure.on(
        &format!("{FABRIKAM}/connectedRegistries"),
        Reply::error(404, "InvalidResourceType", "No."),
    );
    let run = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert!(
        run.stderr.contains("connectedRegistries` can't be read (InvalidResourceType)"),
        "{run}"
    );
    Ok(())
}

#[test]
fn nobody_is_trusted_without_a_reason() -> Result<()> {
    let azure = fabrikam()?;
    let stranger = Azure::start()?;
    let (url, ca) = (azure.url(), stranger.ca());
    let discover = |arm: &str, authority: &str, ca: &std::path::Path| {
        test_support::Program::new(env!("CARGO_BIN_EXE_allowlist-gen"))
            .args([
                "discover",
                "--subscription",
                SUBSCRIPTION,
                "--arm-endpoint",
                arm,
                "--authority",
                authority,
            ])
            .arg("--azure-ca")
            .arg(ca)
            .env("AZURE_TENANT_ID", super::fake::TENANT)
            .env("AZURE_CLIENT_ID", super::fake::CLIENT)
            .env("AZURE_CLIENT_SECRET", super::fake::SECRET)
            .run()
    };
    // Each is tried once: trust doesn't come by waiting.
    let authority = discover(&url, &url, &ca)?;
    assert_eq!((authority.status.code(), azure.connections()), (Some(2), 1), "{authority}");
    let manager = discover(&url, &stranger.url(), &ca)?;
    assert_eq!((manager.status.code(), azure.connections()), (Some(2), 2), "{manager}");
    assert_eq!(stranger.token_requests().len(), 1);
    for run in [authority, manager] {
        let said = format!("can't reach {}: ", url.trim_start_matches("https://"));
        assert!(run.stderr.contains(&said), "{run}");
        assert!(run.stderr.contains("invalid peer certificate"), "{run}");
        assert!(run.stderr.contains("`--azure-ca FILE`"), "{run}");
    }
    assert!(
        azure.requests().is_empty(),
        "neither the secret nor the token is sent to whom nobody vouches for"
    );

    for (text, phrase) in [
        ("", "it holds no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "is not a file of certificates",
        ),
    ] {
        let file = azure.folder().join("wrong.pem");
        std::fs::write(&file, text)?;
        let run = discover(&url, &url, &file)?;
        assert_eq!(run.status.code(), Some(2), "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }
    Ok(())
}

#[test]
fn a_thousand_registries_are_fine() -> Result<()> {
    let azure = Azure::start()?;
    let registry = value("constructed/private-geo/registry.arm.json");
    let mut all = Vec::new();
    for number in 0..1000 {
        let text = registry.to_string().replace("fabrikam", &format!("reg{number:04}"));
        let mut one: serde_json::Value = serde_json::from_str(&text)?;
        one["properties"]["privateEndpointConnections"] = json!([]);
        let id = one["id"].as_str().expect("an id").to_owned();
        for part in ["replications", "listUsages", "connectedRegistries"] {
            azure.on(&format!("{id}/{part}"), Reply::json(&json!({ "value": [] })));
        }
        all.push(one);
    }
    // In two pages, the second first.
    let path = registries(SUBSCRIPTION);
    let next = format!("{}{path}?api-version=2026-09-01-preview&$skiptoken=1", azure.url());
    azure.once(&path, Reply::json(&json!({ "value": all[500..], "nextLink": next })));
    azure.once(&path, Reply::json(&json!({ "value": all[..500] })));
    let run =
        azure.discover(&["--subscription", SUBSCRIPTION, "--format", "text"]).run()?.succeeded()?;
    let servers: Vec<&str> =
        run.stdout.lines().filter(|line| line.matches('.').count() == 2).collect();
    assert_eq!(servers.len(), 1000);
    assert!(servers.is_sorted());
    assert_eq!(azure.arm_requests().len(), 3002);
    assert_eq!(azure.token_requests().len(), 1);
    Ok(())
}
