//! Debian's dante.

use std::process::Command;

use allowlist_gen::export::Format;
use test_support::require_program;

use super::connect::{Answer, all_come_out, dotted, faults, named, nothing, ports, socks};
use super::field::{Addresses, Field, Orderly};
use super::long;
use crate::consumer::{self, Mutation, Verdict};
use crate::lists::{self, List};
use crate::lookalikes::{LISTED, Probe};
use crate::matrix;

#[test]
fn dante_takes_its_rules_and_lets_the_listed_hosts_and_their_addresses_pass() {
    if !require_program("danted") {
        return;
    }
    let judgement = consumer::judge(
        Format::Dante,
        &[
            Mutation { from: "protocol: tcp", to: "protocol: tpc" },
            Mutation { from: "port = 443", to: "port = 443x" },
            Mutation { from: "socks block", to: "sock block" },
            Mutation { from: "from: 10.10.0.0/16", to: "from: 10.10.0.0/160" },
        ],
        verify,
    );
    let Some(field) = Field::open(&["danted"], Addresses::Own) else { return };
    let danted = start(&field, &lists::contoso());
    let probe = |host: String, passes| Probe { host, port: 443, passes };
    let listed = LISTED.iter().map(|host| probe(field.address(host).to_string(), true));
    let others = ["evil.azurecr.io", "exfil.blob.core.windows.net"];
    let others = others.iter().map(|host| field.address(host).to_string());
    let others = others.chain(["127.0.0.1".to_owned()]).map(|address| probe(address, false));
    let probes = [named(), dotted(true), listed.collect(), others.collect()].concat();
    let asked = all_come_out(&field, &probes, |host, port| socks(field.client(PORT), host, port));

    let reached = field.arrivals();
    let strangers = LISTED.map(|host| socks(field.stranger(PORT), host, 443));
    let was_refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
    assert!(strangers.iter().all(was_refused), "{strangers:#?}");
    assert_eq!(field.arrivals(), reached, "a refused request reached somebody");

    drop(danted);
    let version = consumer::debian_version("dante-server");
    let judgement = judgement.with_probes(asked + strangers.len());
    matrix::record(Format::Dante, "danted", &version, judgement);
}

/// What the notes say: whatever has the address of a listed host passes, and that is every public registry.
#[test]
fn dante_goes_by_addresses_too() {
    let Some(field) = Field::open(&["danted"], Addresses::Shared) else { return };
    let danted = start(&field, &lists::contoso());
    let evil = [Probe { host: "evil.azurecr.io".into(), port: 443, passes: false }];
    let faults = faults(&field, &evil, |host, port| socks(field.client(PORT), host, port));
    assert_eq!(faults[0], "evil.azurecr.io:443: a tunnel to \"20.62.0.1:443\"");
    drop(danted);
}

#[test]
fn dante_lets_nothing_pass_of_an_empty_list() {
    let (list, probes) = nothing();
    let Some(field) = Field::open(&["danted"], Addresses::Own) else { return };
    let _danted = start(&field, &list);
    all_come_out(&field, &probes, |host, port| socks(field.client(PORT), host, port));
}

#[test]
fn dante_reads_two_thousand_hosts() {
    if !require_program("danted") {
        return;
    }
    let text = long(2000).export(Format::Dante).expect("an export").text;
    verify(&text).expect("dante takes it");
}

#[test]
fn dante_keeps_the_ports_of_hosts_apart() {
    let (list, probes) = ports();
    let Some(field) = Field::of(&["danted"], Addresses::Own, &probes) else { return };
    let _danted = start(&field, &list);
    all_come_out(&field, &probes, |host, port| socks(field.client(PORT), host, port));
}

fn verify(rules: &str) -> Verdict {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), complete(rules)).expect("a file");
    consumer::run(Command::new("danted").args(["-V", "-f"]).arg(file.path()))
}

/// With what the rules lack.
fn complete(rules: &str) -> String {
    format!("external: 127.0.0.1\n{rules}")
}

fn start(field: &Field, list: &List) -> Orderly {
    let rules = list.export(Format::Dante).expect("an export").text;
    let rules = rules
        .replace("internal: 127.0.0.1", "internal: 0.0.0.0")
        .replace("logoutput: syslog", "logoutput: stderr");
    let file = field.file("danted.conf", &complete(&rules));
    Orderly(field.serve(field.program("danted").arg("-f").arg(file), PORT))
}

const PORT: u16 = 3128;
