//! Debian's Suricata: what it says of the rules, and what it does with a capture as if it were inline.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use allowlist_gen::export::Format;
use serde_json::Value;
use test_support::require_program;

use super::accepts_unusual;
use crate::consumer::{self, Mutation, Verdict};
use crate::lookalikes::{self, LISTED};
use crate::{lists, matrix};

mod capture;

use capture::{Capture, hello};

#[test]
fn suricata_takes_the_rules_and_drops_all_but_the_list() {
    if !require_program("suricata") {
        return;
    }
    let judgement = consumer::judge(
        Format::Suricata,
        &[
            Mutation { from: "pass tls", to: "allow tls" },
            Mutation { from: "tls.sni", to: "tls.sn" },
            Mutation { from: "endswith;", to: "endwith;" },
            Mutation { from: "sid:", to: "id:" },
            Mutation { from: "-> [10.20.0.6]", to: "-> [10.20.0.666]" },
        ],
        test,
    );
    accepts_unusual(Format::Suricata, &[], test);
    let text = lists::contoso().export(Format::Suricata).expect("a list").text;
    let rules = text.replace("\n# drop ", "\ndrop ");
    assert_eq!(rules.matches("\ndrop ").count(), 2, "{rules}");
    let probes = probe(&rules);
    let version = consumer::debian_version("suricata");
    matrix::record(Format::Suricata, "suricata", &version, judgement.with_probes(probes));
}

/// Debian's configuration, with the line that the page tells to add and without a file that isn't there, loads the
/// rules; without that line it doesn't.
#[test]
fn suricata_loads_the_file_that_its_configuration_names() {
    if !require_program("suricata") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("acr.rules");
    let text = lists::contoso().export(Format::Suricata).expect("a list").text;
    std::fs::write(&file, &text).expect("a file");
    let file = file.to_string_lossy();
    let apply = Format::Suricata.about().apply.replace("/etc/suricata/rules/acr.rules", &file);
    let (_, lines) = apply.split_once("#   rule-files:\n#   ").expect("the line to add");
    let line = lines.lines().next().expect("a line");
    let debian = std::fs::read_to_string("/etc/suricata/suricata.yaml").expect("a configuration");
    assert!(debian.contains("\nrule-files:\n  - suricata.rules\n"));
    assert!(debian.contains("\ndefault-rule-path: /var/lib/suricata/rules\n"));
    let ours = debian.replace("\n  - suricata.rules\n", &format!("\n{line}\n"));
    let config = folder.path().join("suricata.yaml");
    std::fs::write(&config, ours).expect("a file");
    let said = first_words(folder.path(), &config);
    let rules = text.lines().filter(|line| line.starts_with("pass ")).count();
    let loaded = format!("{rules} rules successfully loaded, 0 rules failed");
    assert!(said.contains(&loaded), "{said}");
    std::fs::write(&config, debian).expect("a file");
    assert!(!first_words(folder.path(), &config).contains(&loaded));
}

/// What Suricata says of its configuration when it tries it.
fn first_words(folder: &Path, config: &Path) -> String {
    let mut command = Command::new("suricata");
    command.args(["-T", "-v", "-c"]).arg(config).arg("-l").arg(folder);
    let output = command.output().expect("it runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Whether Suricata loads `rules`, all of them.
pub(super) fn test(rules: &str) -> Verdict {
    let folder = tempfile::tempdir().expect("a folder");
    suricata(folder.path(), rules, &["-T"])
}

/// A connection, and whether it must get through.
struct Case {
    what: String,
    address: Ipv4Addr,
    port: u16,
    sent: Vec<Vec<u8>>,
    passes: bool,
}

/// Has Suricata read a capture of every question with `rules`, which drop what they don't pass, and returns how many
/// questions there were.
pub(super) fn probe(rules: &str) -> usize {
    let cases = cases();
    let mut capture = Capture::default();
    for (client, case) in (FIRST_CLIENT..).zip(&cases) {
        capture.connection(client, (case.address, case.port), &case.sent);
    }
    let junk = vec![b"neither TLS nor anything else\r\n".repeat(40); 8];
    capture.connection(JUNK_CLIENT, (PUBLIC, 443), &junk);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("probes.pcap");
    std::fs::write(&file, capture.into_bytes()).expect("a file");

    // As if it were inline; checksums are nobody's in a capture that was never sent.
    let file = file.to_string_lossy().into_owned();
    suricata(folder.path(), rules, &["-r", &file, "--simulate-ips", "-k", "none"])
        .expect("it reads the capture");

    let dropped = dropped(&folder.path().join("eve.json"));
    for (client, case) in (FIRST_CLIENT..).zip(&cases) {
        assert_eq!(!dropped.contains(&client), case.passes, "{}", case.what);
    }
    // What the notes say, too: Suricata has no name for this, and the rules no hold on it.
    assert!(!dropped.contains(&JUNK_CLIENT));
    cases.len()
}

fn cases() -> Vec<Case> {
    let case = |what: &str, address, port, sent, passes| Case {
        what: what.to_owned(),
        address,
        port,
        sent,
        passes,
    };
    let mut cases: Vec<Case> = lookalikes::probes()
        .into_iter()
        .chain(lookalikes::other_ports())
        .map(|probe| {
            let what = format!("{} on {}", probe.host, probe.port);
            case(
                &what,
                pinned(&probe.host),
                probe.port,
                vec![hello(Some(&probe.host))],
                probe.passes,
            )
        })
        .collect();
    // A hello in two packets, as long ones come: a stranger's is dropped by then, a listed one still passes.
    for host in LISTED.into_iter().chain(["evil.azurecr.io"]) {
        let whole = hello(Some(host));
        for cut in [3, 40, whole.len() - 10] {
            let parts = vec![whole[..cut].to_vec(), whole[cut..].to_vec()];
            let what = format!("{host} cut at {cut}");
            cases.push(case(&what, pinned(host), 443, parts, LISTED.contains(&host)));
        }
    }
    for host in lookalikes::with_trailing_dot() {
        cases.push(case(&host, pinned(&host), 443, vec![hello(Some(&host))], false));
    }
    cases.push(case("no name", PUBLIC, 443, vec![hello(None)], false));
    let elsewhere = vec![hello(Some("contoso.azurecr.io"))];
    cases.push(case("a pinned host at another address", PUBLIC, 443, elsewhere, false));
    let request = b"GET / HTTP/1.1\r\nHost: contoso.azurecr.io\r\n\r\n".to_vec();
    cases.push(case("plain HTTP", pinned("contoso.azurecr.io"), 443, vec![request], false));
    cases.push(case("SSH", PUBLIC, 443, vec![b"SSH-2.0-probe\r\n".to_vec()], false));
    cases
}

/// The address that the list has for a host, or a public one.
fn pinned(host: &str) -> Ipv4Addr {
    match host.to_ascii_lowercase().trim_end_matches('.') {
        "contoso.azurecr.io" => [10, 20, 0, 6].into(),
        "contoso.eastus.data.azurecr.io" => [10, 20, 0, 4].into(),
        "contoso.westeurope.data.azurecr.io" => [10, 20, 0, 5].into(),
        _ => PUBLIC,
    }
}

/// The clients' ports of the connections that a rule dropped.
fn dropped(events: &Path) -> BTreeSet<u16> {
    let events = std::fs::read_to_string(events).expect("Suricata's events");
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let blocked = events.filter(|event| event["alert"]["action"] == "blocked");
    blocked
        .map(|event| event["src_port"].as_u64().expect("a port").try_into().expect("a port"))
        .collect()
}

fn suricata(folder: &Path, rules: &str, arguments: &[&str]) -> Verdict {
    let file = folder.join("acr.rules");
    std::fs::write(&file, rules).expect("a file");
    let mut command = Command::new("suricata");
    command
        .args(arguments)
        .arg("-S")
        .arg(file)
        .args(["-c", "/etc/suricata/suricata.yaml", "-l"])
        .arg(folder);
    command.args(["--set", "vars.address-groups.HOME_NET=[10.10.0.0/16]"]);
    // Past a rule that it can't read, it would go on with the others.
    consumer::run(command.args(["--init-errors-fatal"]))
}

const FIRST_CLIENT: u16 = 20_001;
const JUNK_CLIENT: u16 = 30_001;
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 62, 128, 1);
