//! harden-runner: GitHub's schema of a workflow, as `action-validator` has it, and endpoints by our own reader.

use std::process::Command;

use allowlist_gen::export::Format;

use super::accepts_unusual;
use crate::consumer::{self, Mutation, Verdict};
use crate::matrix;

#[test]
fn the_workflow_is_one_and_its_endpoints_are_too() {
    let Some(validator) = consumer::installed("node/node_modules/@action-validator/cli/cli.mjs")
    else {
        return;
    };
    let Some(node) = consumer::installed("py/bin/node") else { return };
    let accepts = |text: &str| -> Verdict {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("workflow.yml");
        std::fs::write(&file, text).expect("a file");
        consumer::run(Command::new(&node).arg(&validator).arg(&file).current_dir(folder.path()))?;
        endpoints(text)
    };
    let judgement = consumer::judge(
        Format::HardenRunner,
        &[
            Mutation { from: "runs-on:", to: "run-on:" },
            Mutation { from: "steps:", to: "step:" },
            Mutation { from: "- uses:", to: "- use:" },
            Mutation { from: "on: workflow_dispatch", to: "on: by_hand" },
            Mutation { from: "allowed-endpoints: >", to: "allowed-endpoints: |" },
            Mutation { from: "contoso.azurecr.io:443", to: "contoso.azurecr.io" },
            Mutation { from: "contoso.azurecr.io:443", to: "*.azurecr.io:443" },
        ],
        accepts,
    );
    accepts_unusual(Format::HardenRunner, &[], accepts);
    let package = consumer::installed("node/node_modules/@action-validator/cli/package.json")
        .expect("it ran");
    let package: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(package).expect("a file")).expect("JSON");
    let version = package["version"].as_str().expect("a version");
    matrix::record(
        Format::HardenRunner,
        "action-validator; endpoints by our own reader",
        version,
        judgement,
    );
}

/// What the agent splits at blanks: `host:port` each.
fn endpoints(text: &str) -> Verdict {
    let (_, block) =
        text.split_once("allowed-endpoints: >\n").ok_or("the endpoints are no folded scalar")?;
    for line in block.lines() {
        let endpoint =
            line.strip_prefix("            ").ok_or_else(|| format!("`{line}` is outside"))?;
        let (host, port) =
            endpoint.split_once(':').ok_or_else(|| format!("`{endpoint}` has no port"))?;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if !host.chars().all(is_name) || !host.contains('.') || port.parse::<u16>().is_err() {
            return Err(format!("`{endpoint}` is no endpoint"));
        }
    }
    Ok(())
}
