//! Firewalls. Those that are boxes and services of clouds can't run here: their own libraries and schemas judge the
//! text instead, in the scripts of `tests/exports/consumers`, which also look at what these let pass.

mod aws;
mod fortigate;
mod gcp;
mod harden_runner;
mod palo_alto;
mod suricata;
mod windows;

use allowlist_gen::export::{self, Error, Export, Format};
use ringfence_config::Issue;
use ringfence_config::document::{self, Document};

use crate::consumer::Verdict;
use crate::lists;

/// Lists of what no other list has: other ports, blocks of addresses, long names, and more than fits into one rule.
fn unusual() -> [(&'static str, String); 3] {
    let ports = entry("contoso.azurecr.io", "ports = [443, 8443]\n")
        + &entry(
            "git.example",
            "ports = [8443]\naddresses = [\"10.60.0.0/24\", \"fd00:60::/64\"]\n",
        );
    let many: String = (0..2_000).map(|n| entry(&format!("host{n}.example"), "")).collect();
    let name = ["a", "b", "c"].map(|letter| letter.repeat(60)).join(".");
    let twenty: Vec<String> = (1..=20).map(|port| (port * 1_000).to_string()).collect();
    let long = entry(&format!("{name}.example"), &format!("ports = [{}]\n", twenty.join(", ")));
    [("ports", ports), ("many", many), ("long", long)]
}

/// An entry of a hand-written list, with more lines of its own.
fn entry(host: &str, more: &str) -> String {
    let role = match host.split_once(".azurecr.io") {
        Some((registry, _)) => format!("role = \"login\"\nregistry = \"{registry}\""),
        None => "role = \"other\"\nwhy = \"sources\"".to_owned(),
    };
    format!("[[entry]]\nhost = \"{host}\"\n{role}\n{more}")
}

/// A list of `entries` in `format`.
fn export_text(name: &str, entries: &str, format: Format) -> Result<Export, Error> {
    let document = Document::parse(name, &format!("schema = 1\n{entries}")).expect(name);
    let allowlist = document::merge(&[document]).expect(name);
    export::render(format, &allowlist, Issue::default(), &lists::options(format))
}

/// Shows the unusual lists to the judge of the others, but for those that the format must refuse.
#[track_caller]
fn accepts_unusual(format: Format, refused: &[&str], mut accepts: impl FnMut(&str) -> Verdict) {
    for (name, entries) in unusual() {
        match export_text(name, &entries, format) {
            Ok(_) if refused.contains(&name) => panic!("{} can't say {name}", format.name()),
            Ok(export) => {
                let verdict = accepts(&export.text);
                assert_eq!(
                    verdict,
                    Ok(()),
                    "{} of {name} is refused:\n{}",
                    format.name(),
                    export.text
                );
            }
            Err(error) => assert!(refused.contains(&name), "{name}: {error}"),
        }
    }
}
