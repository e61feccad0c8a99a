//! What another list would have said, to the connections of a log.

use std::fs;

use serde_json::Value;

use crate::program::{Run, program, snapshot};

const LIST: &str = "schema = 1\nallow_patterns = true\n\
    [[entry]]\nhost = \"contoso.azurecr.io\"\nrole = \"login\"\nregistry = \"contoso\"\n\
    [[entry]]\nhost = \"*.data.mcr.microsoft.com\"\nrole = \"other\"\nwhy = \"layers\"\n\
    [[entry]]\nhost = \"build.example.com\"\nports = [8443]\nrole = \"other\"\nwhy = \"builds\"\n\
    [[entry]]\nstorage_account = \"mine.blob.core.windows.net\"\nwhy = \"cache\"\n";

fn line(host: &str, port: u16, rest: &str) -> String {
    format!(
        "{{\"schema\":1,\"time\":\"2026-11-30T21:00:00.000Z\",\"client\":\"10.0.0.4:50000\",\"group\":\"build\",{rest},\
         \"host\":\"{host}\",\"port\":{port}}}\n"
    )
}

const OTHER: &str = "\"outcome\":\"tunnel\",\"role\":\"other\"";
const DENIED: &str = "\"outcome\":\"denied\",\"reason\":\"not_in_policy\"";

fn simulate(log: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("new.toml");
    fs::write(&list, LIST).expect("written");
    let path = list.to_str().expect("UTF-8");
    let mut run = program(log.as_bytes(), &[&["simulate", path, "-"], arguments].concat());
    run.rename(path, "new.toml");
    run
}

#[test]
fn each_change_has_its_sign() {
    let log = [
        line(
            "contoso.azurecr.io",
            443,
            "\"outcome\":\"tunnel\",\"role\":\"login\",\"registry\":\"contoso\"",
        ),
        line("contoso.azurecr.io", 443, OTHER),
        line("westus.data.mcr.microsoft.com", 443, DENIED),
        line(
            "westus.data.mcr.microsoft.com",
            443,
            "\"outcome\":\"tunnel\",\"would_deny\":\"not_in_policy\"",
        ),
        line("a.b.data.mcr.microsoft.com", 443, OTHER),
        line("build.example.com", 443, OTHER),
        line(
            "build.example.com",
            8443,
            "\"outcome\":\"failed\",\"reason\":\"connect_refused\",\"role\":\"other\"",
        ),
        line("ghcr.io", 443, OTHER),
        line("ghcr.io", 443, "\"outcome\":\"tunnel\",\"would_deny\":\"not_in_policy\""),
        line(
            "mine.blob.core.windows.net",
            443,
            "\"outcome\":\"denied\",\"reason\":\"storage_forbidden\"",
        ),
        line(
            "theirs.blob.core.windows.net",
            443,
            "\"outcome\":\"tunnel\",\"role\":\"storage-account\"",
        ),
        line(
            "theirs.blob.core.windows.net",
            443,
            "\"outcome\":\"denied\",\"reason\":\"storage_forbidden\"",
        ),
        line("ghcr.io", 443, "\"outcome\":\"denied\",\"reason\":\"credentials_required\""),
    ]
    .concat();
    let run = simulate(&log, &[]);
    snapshot("simulate", &run);
    assert_eq!(run.code, 1, "{run}");
    let json: Value =
        serde_json::from_str(&simulate(&log, &["--format", "json"]).stdout).expect("JSON");
    assert_eq!(json["schema"], 1);
    for (key, number) in [
        ("newly_denied", 4),
        ("newly_allowed", 3),
        ("another_role", 1),
        ("unchanged_allowed", 2),
        ("unchanged_denied", 2),
    ] {
        assert_eq!(json[key], number, "{key}: {json}");
    }
    let other = simulate(&log, &["--group", "everyone"]);
    assert_eq!(other.code, 0, "{other}");
    assert!(other.stdout.contains("13 of other groups"), "{other}");
}

#[test]
fn no_change_is_a_yes_and_what_cannot_be_told_is_neither() {
    let same = simulate(&line("ghcr.io", 443, DENIED), &[]);
    assert_eq!(same.code, 0, "{same}");
    assert_eq!(simulate("", &[]).code, 0);
    let none = simulate("hello\n", &[]);
    assert_eq!((none.code, none.stdout.as_str()), (2, ""), "{none}");
    for (arguments, phrase) in [
        (&["simulate", "-", "-"][..], "`-` stands twice"),
        (&["simulate", "missing.toml", "-"], "can't read missing.toml"),
        (&["simulate", "x.toml"], "<LOG>..."),
    ] {
        let run = program(b"", arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    }
}
