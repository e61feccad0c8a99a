//! The other commands with Azure in the place of files: they see what files say, ask for nothing but to read, and take
//! nothing for gone that Azure doesn't show.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::fake::{Azure, Reply};
use super::{
    FABRIKAM, SUBSCRIPTION, endpoint, fabrikam, interface, listing, registries, show_fabrikam,
    subnet, zone,
};
use crate::program::program_in;
use crate::watch::{Watch, metric};

/// A registry with data endpoints in these regions, the first of which is its home.
fn registry(regions: &[&str]) -> Value {
    let home = regions.first().unwrap_or(&"eastus");
    let hosts: Vec<String> =
        regions.iter().map(|region| format!("fabrikam.{region}.data.azurecr.io")).collect();
    json!({
        "id": FABRIKAM, "name": "fabrikam", "type": "Microsoft.ContainerRegistry/registries",
        "location": home, "sku": { "name": "Premium" },
        "properties": {
            "loginServer": "fabrikam.azurecr.io", "privateEndpointConnections": [],
            "dataEndpointEnabled": true, "dataEndpointHostNames": hosts,
        },
    })
}

fn replications(regions: &[&str]) -> Vec<Value> {
    let replication = |region: &&str| {
        json!({
            "id": format!("{FABRIKAM}/replications/{region}"), "name": region, "location": region,
            "type": "Microsoft.ContainerRegistry/registries/replications",
            "properties": { "provisioningState": "Succeeded", "regionEndpointEnabled": true },
        })
    };
    regions.iter().map(replication).collect()
}

/// From now on Azure has the registry in these regions, and nothing else of it.
fn show(azure: &Azure, regions: &[&str]) {
    azure.on(&registries(SUBSCRIPTION), listing(&[registry(regions)]));
    azure.on(&format!("{FABRIKAM}/replications"), listing(&replications(regions)));
    azure.on(&format!("{FABRIKAM}/listUsages"), listing(&[]));
    azure.on(&format!("{FABRIKAM}/connectedRegistries"), listing(&[]));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn only_reads(azure: &Azure) {
    let requests = azure.arm_requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.method == "GET"), "{requests:?}");
}

/// The codes of the findings, each with what it is about.
fn findings(stdout: &str) -> Result<Vec<(String, String)>> {
    let report: Value = serde_json::from_str(stdout)?;
    let all = report["findings"].as_array().expect("findings").iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(all.map(|finding| (word(&finding["code"]), word(&finding["message"]))).collect())
}

#[test]
fn a_review_and_a_plan_say_what_they_say_of_files() -> Result<()> {
    let azure = fabrikam()?;
    let file = azure.folder().join("azure.json");
    azure.discover(&["--subscription", SUBSCRIPTION, "--metadata", text(&file)]).run()?;
    for (command, code) in
        [(&["findings", "--format", "json"][..], 1), (&["private-link", "--format", "json"], 1)]
    {
        let live = azure.ask(&[command, &["--subscription", SUBSCRIPTION]].concat()).run()?;
        let kept = program_in(azure.folder(), b"", &[command, &["azure.json"]].concat());
        assert_eq!((live.status.code(), kept.code), (Some(code), code), "{live}");
        if command[0] == "findings" {
            assert_eq!(findings(&live.stdout)?, findings(&kept.stdout)?);
        } else {
            assert_eq!(live.stdout, kept.stdout);
        }
        assert!(live.stdout.contains("fabrikam.eastus.geo.azurecr.io"), "{live}");
    }
    only_reads(&azure);
    // Registries that are withheld are no registries without faults.
    azure.on(&registries(SUBSCRIPTION), Reply::forbidden());
    for command in ["findings", "private-link"] {
        let run = azure.ask(&[command, "--subscription", SUBSCRIPTION]).run()?;
        assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
    }
    Ok(())
}

/// A zone that was made and never filled.
#[test]
fn an_empty_zone_lacks_every_record() -> Result<()> {
    let azure = fabrikam()?;
    azure.on(&format!("{}/A", zone()), listing(&[]));
    let lacking = || -> Result<usize> {
        let arguments = ["findings", "--subscription", SUBSCRIPTION, "--format", "json"];
        let run = azure.ask(&arguments).run()?;
        ensure!(run.status.code() == Some(1), "{run}");
        let all = findings(&run.stdout)?;
        Ok(all.iter().filter(|(code, _)| code == "record-missing").count())
    };
    assert_eq!(lacking()?, 7);
    let run = azure.ask(&["findings", "--subscription", SUBSCRIPTION]).run()?;
    let command =
        "--zone-name privatelink.azurecr.io --record-set-name fabrikam --ipv4-address 10.1.1.22";
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    assert!(words.join(" ").contains(command), "{run}");
    // The list takes its addresses from the interface, as before, and says no more than that.
    let list = azure.discover(&["--subscription", SUBSCRIPTION]).run()?.succeeded()?;
    assert!(list.stdout.contains("addresses = [\"10.1.1.22\"]"), "{list}");
    assert!(!list.stderr.contains("record-missing"), "{list}");

    // A zone that nobody could read says nothing, and neither does one that the endpoint's groups don't name.
    azure.on(&format!("{}/A", zone()), Reply::forbidden());
    assert_eq!(lacking()?, 0);
    azure.on(&format!("{}/A", zone()), listing(&[]));
    let elsewhere = zone().replace("rg-network", "rg-other");
    let group = json!({ "properties": { "privateDnsZoneConfigs": [
        { "name": "registry", "properties": { "privateDnsZoneId": elsewhere } },
    ] } });
    azure.on(&format!("{}/privateDnsZoneGroups", endpoint()), listing(&[group]));
    azure.on(&elsewhere, Reply::forbidden());
    assert_eq!(lacking()?, 0);
    Ok(())
}

#[test]
fn a_list_is_compared_with_what_azure_says_now() -> Result<()> {
    let azure = Azure::start()?;
    show(&azure, &["eastus", "westus"]);
    let list = azure.folder().join("allowlist.toml");
    azure.discover(&["--subscription", SUBSCRIPTION, "--output", text(&list)]).run()?;
    let diff = || azure.ask(&["diff", text(&list), "--subscription", SUBSCRIPTION]).run();
    let same = diff()?;
    assert_eq!((same.status.code(), same.stdout.as_str()), (Some(0), ""), "{same}");
    show(&azure, &["eastus", "westus", "uksouth"]);
    let more = diff()?;
    assert_eq!(more.status.code(), Some(1), "{more}");
    assert!(more.stdout.contains("replica uksouth added (replica-added)"), "{more}");
    azure.on(&registries(SUBSCRIPTION), Reply::forbidden());
    let withheld = diff()?;
    assert_eq!((withheld.status.code(), withheld.stdout.as_str()), (Some(2), ""), "{withheld}");
    only_reads(&azure);
    Ok(())
}

/// For days: a replica comes, and then Azure fails in every way that it has.
#[test]
fn a_watch_follows_azure_and_takes_nothing_away_on_half_an_answer() -> Result<()> {
    let azure = Azure::start()?;
    show(&azure, &["eastus", "westus"]);
    let list = azure.folder().join("allowlist.toml");
    let output = ["--output", text(&list), "--serial", "7"];
    azure.discover(&[&["--subscription", SUBSCRIPTION][..], &output].concat()).run()?;
    let before = azure.token_requests().len();
    let arguments = ["watch", text(&list), "--subscription", SUBSCRIPTION, "--apply"];
    let more = ["--interval", "1d", "--metrics", "127.0.0.1:0"];
    let program = azure.ask(&[&arguments[..], &more].concat());
    let watch = Watch(program.env("RUST_LOG", "trace").start()?);
    let url = watch.metrics()?;
    watch.says("no drift")?;

    show(&azure, &["eastus", "westus", "uksouth"]);
    watch.poll_through(&url, 2)?;
    let applied = fs::read_to_string(&list)?;
    assert!(applied.contains("fabrikam.uksouth.data.azurecr.io"), "{applied}");
    assert!(applied.contains("serial = 8"), "{applied}");
    assert_eq!(metric(&url, "allowlist_gen_applies_total{result=\"applied\"}")?, 1);

    let all = ["eastus", "westus", "uksouth"];
    let few = &["eastus", "westus"][..];
    let replicas = format!("{FABRIKAM}/replications");
    let listed = registries(SUBSCRIPTION);
    let cut = Reply::json(&json!({ "value": [registry(few)] })).cut_off();
    let later = Reply::error(429, "TooManyRequests", "Later.").with("Retry-After", "86400");
    let stopped = json!({ "value": replications(few), "nextLink": "https://127.0.0.1:1/more" });
    let mut stranger = registry(&all);
    stranger["properties"]["dataEndpointHostNames"] = json!(["contoso.eastus.data.azurecr.io"]);
    let mut unnamed = registry(few);
    unnamed["properties"]["dataEndpointHostNames"] = json!([]);
    // What is shown has lost a replica; only what is wrong beside it says that this isn't all.
    let answers = [
        (few, &listed, Reply::forbidden()),
        (few, &listed, later.clone()),
        (few, &listed, Reply::error(400, "BadRequest", "No.")),
        (few, &listed, listing(&[])),
        (few, &listed, Reply::json(&json!({}))),
        (few, &listed, Reply::text("")),
        (few, &listed, Reply::text("<html>")),
        (few, &listed, cut),
        (few, &listed, listing(&[stranger])),
        (few, &replicas, Reply::forbidden()),
        (few, &replicas, later),
        (few, &replicas, Reply::json(&stopped)),
        (few, &replicas, listing(&[])),
        (few, &replicas, listing(&replications(&few[..1]))),
        (&few[..1], &listed, listing(&[registry(few)])),
        (&[], &listed, listing(&[unnamed])),
    ];
    let mut polls = 2;
    for (shown, path, reply) in answers {
        show(&azure, shown);
        azure.on(path, reply.clone());
        polls += 1;
        watch.poll_through(&url, polls)?;
        assert_eq!(fs::read_to_string(&list)?, applied, "half an answer: {reply:?}");
    }
    assert!(metric(&url, "allowlist_gen_poll_failures_total")? >= 8);
    assert_eq!(metric(&url, "allowlist_gen_applies_total{result=\"applied\"}")?, 1);

    // A registry that comes beside it is a stranger.
    show(&azure, &all);
    let mut other = registry(&["eastus"]);
    other["id"] = FABRIKAM.replace("fabrikam", "guest").into();
    other["name"] = "guest".into();
    other["properties"]["loginServer"] = "guest.azurecr.io".into();
    other["properties"]["dataEndpointHostNames"] = json!(["guest.eastus.data.azurecr.io"]);
    azure.on(&listed, listing(&[registry(&all), other]));
    for part in ["replications", "listUsages", "connectedRegistries"] {
        azure.on(&format!("{}/{part}", FABRIKAM.replace("fabrikam", "guest")), listing(&[]));
    }
    polls += 1;
    watch.poll_through(&url, polls)?;
    watch.says("`--allow-registry guest.azurecr.io` would allow it")?;
    assert_eq!(fs::read_to_string(&list)?, applied);

    // The whole truth counts.
    show(&azure, few);
    polls += 1;
    watch.poll_through(&url, polls)?;
    let shorter = fs::read_to_string(&list)?;
    assert!(!shorter.contains("uksouth") && shorter.contains("serial = 9"), "{shorter}");

    let said = watch.0.stderr.text();
    assert!(!said.contains(super::fake::SECRET) && !said.contains("token-"), "{said}");
    watch.stop(Signal::TERM)?;
    assert_eq!(azure.token_requests().len() - before, 1, "one sign-in for all polls");
    only_reads(&azure);
    Ok(())
}

/// Private addresses stay where what tells of them is withheld: without them a list is wider.
#[test]
fn a_watch_takes_no_address_away_that_it_may_not_see() -> Result<()> {
    let azure = fabrikam()?;
    let list = azure.folder().join("allowlist.toml");
    azure.discover(&["--subscription", SUBSCRIPTION, "--output", text(&list)]).run()?;
    let before = fs::read_to_string(&list)?;
    let arguments = ["watch", text(&list), "--subscription", SUBSCRIPTION, "--once", "--apply"];
    for withheld in [endpoint(), interface(), zone(), subnet(), format!("{}/A", zone())] {
        for reply in [Reply::forbidden(), Reply::error(404, "ResourceNotFound", "It is gone.")] {
            let azure = fabrikam()?;
            azure.on(&withheld, reply);
            azure.ask(&arguments).run()?;
            assert_eq!(fs::read_to_string(&list)?, before, "{withheld}");
        }
    }
    Ok(())
}

/// Whoever asks Azure for minutes wants to know of a typing error first.
#[test]
fn mistakes_beside_the_registries_are_told_before_anybody_is_asked() -> Result<()> {
    let azure = fabrikam()?;
    let two = ["--extra-host", "a.example.com", "--extra-host", "b.example.com", "--why", "one"];
    for (arguments, phrase) in [
        (&two[..], "2 `--extra-host` and 1 `--why`"),
        (&["--extra-host", "a.example.com"], "--why <TEXT>"),
        (&["--why", "one"], "--extra-host"),
        (&["--preset", "no-such"], "invalid value 'no-such'"),
        (&["--extra-host", "mcr.microsoft.com", "--why", " "], "say what the host is needed for"),
        (&["--extra-host", "blob.core.windows.net", "--why", "all"], "blob.core.windows.net"),
        (
            &["--preset", "mcr", "--api-server", "a.hcp.eastus.azmk8s.io"],
            "stands in place of nothing",
        ),
        (&["--extra-host", "contoso.azurecr.io:8443", "--why", "x"], "registries answer on port"),
    ] {
        let run =
            azure.discover(&[&["--subscription", SUBSCRIPTION][..], arguments].concat()).run()?;
        assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
    assert!(azure.requests().is_empty(), "nothing was asked");
    Ok(())
}

/// Metadata would be lost below the list, or the list below the metadata.
#[test]
fn one_new_file_by_two_names_is_one_file() -> Result<()> {
    let azure = fabrikam()?;
    let one = azure.folder().join("one");
    let same = azure.folder().join("./one");
    let run = azure
        .discover(&[
            "--subscription",
            SUBSCRIPTION,
            "--metadata",
            text(&one),
            "--output",
            text(&same),
        ])
        .run()?;
    assert_eq!(run.status.code(), Some(2), "{run}");
    assert!(run.stderr.contains("can't hold both the list and the metadata"), "{run}");
    assert!(!one.exists() && azure.requests().is_empty());
    for (place, phrase) in [("/dev/null", "it is not a regular file"), ("/dev/nosuch/x", "")] {
        let run = azure.discover(&["--subscription", SUBSCRIPTION, "--metadata", place]).run()?;
        assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
        assert!(run.stderr.contains(phrase), "{run}");
    }
    Ok(())
}

/// Whoever owns a registry, or answers in its place, writes on no terminal of others.
#[test]
fn what_azure_says_moves_no_cursor() -> Result<()> {
    let nasty = "x\u{1b}[2J\u{9b}31m\r\n::error::owned\u{202e}\u{7}";
    let azure = fabrikam()?;
    let list = azure.folder().join("allowlist.toml");
    azure.discover(&["--subscription", SUBSCRIPTION, "--output", text(&list)]).run()?;
    let mut renamed = registry(&["eastus"]);
    renamed["name"] = nasty.into();
    renamed["sku"]["name"] = nasty.into();
    let mut elsewhere = registry(&["eastus"]);
    elsewhere["id"] = format!("{FABRIKAM}{nasty}").into();
    let listed = registries(SUBSCRIPTION);
    let token = format!("/{}/oauth2/v2.0/token", super::fake::TENANT);
    let refused = Reply::json(&json!({ "error": nasty, "error_description": nasty })).status(401);
    for (path, reply) in [
        (&listed, Reply::error(403, nasty, nasty)),
        (&listed, Reply::error(400, nasty, nasty)),
        (&listed, Reply::text(nasty)),
        (&listed, Reply::json(&json!({ "value": [], "nextLink": nasty }))),
        (&listed, listing(&[renamed])),
        (&listed, listing(&[elsewhere])),
        (&interface(), Reply::error(403, nasty, nasty)),
        (&interface(), Reply::json(&json!({ "id": nasty, "properties": { "x": nasty } }))),
        (
            &format!("{FABRIKAM}/replications"),
            Reply::json(&json!({ nasty: nasty, "value": [nasty] })),
        ),
        (&token, refused),
    ] {
        show_fabrikam(&azure);
        azure.on(path, reply.clone());
        for command in [
            &["discover"][..],
            &["findings"],
            &["private-link"],
            &["diff", text(&list)],
            &["diff", text(&list), "--format", "github"],
            &["watch", text(&list), "--once"],
        ] {
            let run = azure.ask(&[command, &["--subscription", SUBSCRIPTION]].concat()).run()?;
            for output in [&run.stdout, &run.stderr] {
                let moves = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
                assert!(!output.contains(moves), "{reply:?}: {run}");
                assert!(!output.lines().any(|line| line.starts_with("::error::owned")), "{run}");
            }
        }
    }
    Ok(())
}
