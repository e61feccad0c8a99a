//! What reads proxy auto-configuration files: pac-resolver, as programs of Node do, and pacparser, as those in C do.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use tempfile::NamedTempFile;
use test_support::require_program;

use super::long;
use crate::consumer::{self, Mutation};
use crate::lists;
use crate::lookalikes::{self, STRANGERS};
use crate::matrix;

#[test]
fn pac_resolver_takes_exactly_the_list_to_the_proxy() {
    if !require_program("node") {
        return;
    }
    let Some(modules) = consumer::installed("node/node_modules") else { return };
    let script = lists::tests().join("exports/consumers/pac.mjs");
    check("pac-resolver", &npm_version(&modules.join("pac-resolver")), || {
        let mut node = Command::new("node");
        node.arg(&script).arg(&modules);
        node
    });
}

#[test]
fn pacparser_takes_exactly_the_list_to_the_proxy() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    let script = lists::tests().join("exports/consumers/pac.py");
    let version = consumer::first_line(
        Command::new(&python).args(["-c", "import pacparser; print(pacparser.version())"]),
    );
    check("pacparser", &version, || {
        let mut command = Command::new(&python);
        command.arg(&script);
        command
    });
}

/// Newer engines forgive it; those of ECMAScript 3 don't.
#[test]
fn no_comma_stands_after_the_last_host() {
    for list in lists::all() {
        let text = list.export(Format::Pac).expect("an export").text;
        assert!(text.contains("\": true\n};"), "{text}");
        assert_eq!(text.matches("\": true").count(), list.hosts().len());
        assert_eq!(text.matches("\": true,").count(), list.hosts().len() - 1);
    }
}

#[test]
fn a_file_is_as_long_as_clients_take() {
    assert!(long(2000).export(Format::Pac).is_ok());
    let error = long(50_000).export(Format::Pac).expect_err("more than a mebibyte");
    assert!(
        error.to_string().ends_with("bytes are more than pac takes, which is 1048576"),
        "{error}"
    );
}

/// Holds the file to what `ask`, told a file and hosts, prints.
fn check(consumer: &str, version: &str, ask: impl Fn() -> Command) {
    let judgement = consumer::judge(
        Format::Pac,
        &[
            Mutation { from: "FindProxyForURL", to: "FindProxyForUrl" },
            Mutation { from: "var hosts = {", to: "var hosts = " },
            Mutation { from: "\": true,", to: "\": true;" },
            Mutation { from: "hasOwnProperty.call(hosts", to: "hasOwnProperty.call(host5" },
        ],
        |text| answers(ask(), text, &["contoso.azurecr.io".into()]).map(drop),
    );

    let listed = lookalikes::probes().into_iter().filter(|probe| probe.passes);
    let listed: Vec<String> =
        listed.map(|probe| probe.host).chain(lookalikes::with_trailing_dot()).collect();
    let own = ["constructor", "__proto__", "hasOwnProperty", "toString", "localhost", "10.20.0.6"];
    let others: Vec<String> = STRANGERS.iter().chain(&own).map(|host| (*host).to_owned()).collect();
    let text = lists::contoso().export(Format::Pac).expect("an export").text;
    for (hosts, expected) in [(&listed, "PROXY proxy.corp.example:3128"), (&others, "DIRECT")] {
        let answers = answers(ask(), &text, hosts).expect("answers");
        assert_eq!(answers.len(), hosts.len(), "{answers:?}");
        for (host, answer) in hosts.iter().zip(&answers) {
            assert_eq!(answer, expected, "{host}");
        }
    }
    let judgement = judgement.with_probes(listed.len() + others.len());
    matrix::record(Format::Pac, consumer, version, judgement);
}

/// What `ask` prints of `hosts`, a line each.
fn answers(mut ask: Command, text: &str, hosts: &[String]) -> Result<Vec<String>, String> {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a file");
    let output = ask.arg(file.path()).args(hosts).output().expect("it runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn npm_version(package: &Path) -> String {
    let text = std::fs::read_to_string(package.join("package.json")).expect("a package");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["version"].as_str().expect("a version").to_owned()
}
