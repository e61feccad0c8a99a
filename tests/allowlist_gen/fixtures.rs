//! Every fixture by itself.

use ringfence_config::document::{self, Document};

use crate::program::{all_fixtures, generate, generate_from, read, snapshot};

fn name(fixture: &str) -> String {
    fixture.replace('/', "__")
}

#[test]
fn every_fixture_is_what_its_snapshot_says() {
    for fixture in all_fixtures() {
        snapshot(&name(&fixture), &generate(&[&fixture]));
    }
}

/// The examples of API specifications wrap the reply, which is what a person would have.
#[test]
fn every_reply_in_the_api_examples_is_what_its_snapshot_says() {
    for fixture in all_fixtures().iter().filter(|name| name.starts_with("arm-spec/")) {
        let example: serde_json::Value = serde_json::from_str(&read(fixture)).expect("JSON");
        let body = example["responses"]["200"]["body"].to_string();
        let run = generate_from(body.as_bytes(), &["-"]);
        snapshot(&format!("{}.body", name(fixture)), &run);
    }
}

#[test]
fn every_format_holds_the_same_hosts() {
    for fixture in all_fixtures() {
        let [toml, text, json] =
            ["toml", "text", "json"].map(|format| generate(&[&fixture, "--format", format]));
        assert_eq!((toml.code, &toml.stderr), (text.code, &text.stderr));
        assert_eq!((toml.code, &toml.stderr), (json.code, &json.stderr));
        if toml.code != 0 {
            assert!(toml.stdout.is_empty() && text.stdout.is_empty() && json.stdout.is_empty());
            continue;
        }
        let in_toml: Vec<String> = toml
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("host = "))
            .map(|host| host.trim_matches('"').to_owned())
            .collect();
        let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
        let entries = json["entries"].as_array().expect("a list");
        let in_json: Vec<&str> =
            entries.iter().map(|entry| entry["host"].as_str().expect("a host")).collect();
        assert_eq!(in_toml, text.hosts(), "{fixture}");
        assert_eq!(in_json, text.hosts(), "{fixture}");
    }
}

/// The proxy reads what this program writes, and sees the same list.
#[test]
fn every_list_is_read_back_as_it_was_written() {
    for fixture in all_fixtures() {
        let run = generate(&[&fixture, "--assume-data-endpoints"]);
        if run.code != 0 {
            continue;
        }
        let document = Document::parse(&fixture, &run.stdout).expect(&fixture);
        let list = document::merge(&[document]).expect(&fixture);
        assert!(run.stdout.ends_with(&list.to_toml()), "{run}");
        let json = generate(&[&fixture, "--assume-data-endpoints", "--format=json"]).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["hash"], list.hash(), "{fixture}");
    }
}

#[test]
fn text_and_json_are_what_their_snapshots_say() {
    for fixture in [
        "constructed/acr-show-endpoints.seed-corrected.json",
        "constructed/private-geo/network-nic-show.json",
        "constructed/acr-show.gov.json",
    ] {
        for format in ["text", "json"] {
            let run = generate(&[fixture, "--format", format]);
            snapshot(&format!("{}.as-{format}", name(fixture)), &run);
        }
    }
}

/// The one output that this project exists to prevent.
#[test]
fn no_output_holds_a_storage_host_or_a_wildcard() {
    for fixture in all_fixtures() {
        for format in ["toml", "text", "json"] {
            for flags in [&["--strict"][..], &["--assume-data-endpoints"], &[]] {
                let arguments = [&[fixture.as_str(), "--format", format], flags].concat();
                let run = generate(&arguments);
                let output = run.stdout.clone() + &run.stderr;
                assert!(!output.contains("blob.") && !output.contains('*'), "{run}");
            }
        }
    }
}

#[test]
fn the_label_comes_from_the_login_server_never_from_the_name() {
    let registry = r#"{
        "name": "acme", "type": "Microsoft.ContainerRegistry/registries", "location": "eastus",
        "loginServer": "acme-1a2b3c.azurecr.io", "sku": {"name": "Premium"}, "dataEndpointEnabled": true,
        "dataEndpointHostNames": ["acme-1a2b3c.eastus.data.azurecr.io"]
    }"#;
    let run = generate_from(registry.as_bytes(), &["-", "--format", "text"]);
    assert_eq!(run.hosts(), ["acme-1a2b3c.azurecr.io", "acme-1a2b3c.eastus.data.azurecr.io"]);
    let other_label = registry.replace("[\"acme-1a2b3c.eastus", "[\"acme.eastus");
    let run = generate_from(other_label.as_bytes(), &["-"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    let message = "`acme.eastus.data.azurecr.io` is not a host of `acme-1a2b3c.azurecr.io`";
    assert!(run.stderr.contains(message), "{run}");
}
