//! The list itself: read back by the readers of another language, and by the proxy's own.

use std::io::Write;
use std::process::{Command, Stdio};

use allowlist_gen::export::Format;
use ringfence_config::document::{self, Document};
use test_support::require_program;

use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn python_reads_the_same_hosts() {
    if !require_program("python3") {
        return;
    }
    let wildcard = Mutation { from: "contoso.azurecr.io", to: "*.azurecr.io" };
    let url = Mutation { from: "fabrikam.azurecr.io", to: "https://fabrikam.azurecr.io/" };
    let rows: [(Format, [Mutation; 3]); 5] = [
        (Format::Toml, [wildcard, url, Mutation { from: "[[entry]]", to: "[entry]" }]),
        (
            Format::Text,
            [wildcard, url, Mutation { from: "fabrikam.azurecr.io\n", to: "fabrikam\n" }],
        ),
        (Format::HostPort, [wildcard, url, Mutation { from: ":443", to: ":https" }]),
        (Format::Json, [wildcard, url, Mutation { from: "\"10.20.0.6\"", to: "\"10.20.0.06\"" }]),
        (Format::Csv, [wildcard, url, Mutation { from: "10.20.0.6", to: "10.20.0.6,10.20.0.7" }]),
    ];
    for (format, mutations) in rows {
        let mut judgement =
            consumer::judge(format, &mutations, |text| read(format, text).map(drop));
        for list in lists::all() {
            let text = list.export(format).expect("these say everything").text;
            let ports = list.allowlist.entries().iter();
            let expected: Vec<String> = ports
                .flat_map(|entry| {
                    entry.ports.iter().map(move |port| format!("{} {port}", entry.host))
                })
                .collect();
            let read = read(format, &text).expect("it was accepted");
            assert_eq!(read, expected, "{} of {}", format.name(), list.name);
            judgement.probes += expected.len();
        }
        let version = consumer::first_line(Command::new("/usr/bin/python3").arg("--version"));
        matrix::record(format, "Python's standard library", &version, judgement);
    }
}

#[test]
fn the_proxy_reads_the_same_list() {
    let mutations = [
        Mutation { from: "schema = 1", to: "schema = 2" },
        Mutation { from: "contoso.azurecr.io", to: "*.azurecr.io" },
        Mutation { from: "role = \"data\"", to: "role = \"login\"" },
        Mutation { from: "10.20.0.6", to: "20.62.128.1" },
    ];
    let judgement = consumer::judge(Format::Toml, &mutations, |text| {
        let document = Document::parse("list", text).map_err(|error| error.to_string())?;
        document::merge(&[document]).map(drop).map_err(|error| error.to_string())
    });
    matrix::record(Format::Toml, "ringfence's reader", env!("CARGO_PKG_VERSION"), judgement);
}

/// The lines `host port` that Python finds in `text`.
fn read(format: Format, text: &str) -> Result<Vec<String>, String> {
    let script = lists::tests().join("exports/consumers/plain.py");
    let mut python = Command::new("/usr/bin/python3")
        .arg(script)
        .arg(format.name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    // Its input is short of what a pipe holds only by chance, but it reads all of it before it writes.
    python.stdin.take().expect("a pipe").write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    let output = python.wait_with_output().map_err(|error| error.to_string())?;
    let said = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if !output.status.success() {
        return Err(said(output.stderr));
    }
    Ok(said(output.stdout).lines().map(str::to_owned).collect())
}
