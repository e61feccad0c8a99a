//! FortiGate: the schema of FortiOS, as Fortinet's Ansible modules have it.

use allowlist_gen::export::{Error, Format};

use super::{accepts_unusual, entry, export_text};
use crate::checker::Checker;
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn the_schema_of_fortios_takes_the_commands() {
    let Some(newest) = consumer::installed("ansible/fortios_firewall_service_custom.py") else {
        return;
    };
    let modules = newest.parent().expect("a folder");
    let Some(mut schema) = Checker::start("py", "fortigate.py", &[modules.as_os_str()]) else {
        return;
    };
    let mut accepts = |text: &str| schema.judge(text);
    let judgement = consumer::judge(
        Format::Fortigate,
        &[
            Mutation { from: "set type fqdn", to: "set type wildcard-fqdn" },
            Mutation { from: "set comment ", to: "set coment " },
            Mutation { from: "set action accept", to: "set action allow" },
            Mutation { from: "set logtraffic all", to: "set logtraffic on" },
            Mutation { from: "config firewall addrgrp", to: "config firewall addrgroup" },
            Mutation {
                from: "set member \"contoso.azurecr.io\"",
                to: "set member \"contoso.azurecr.oi\"",
            },
            Mutation { from: "set dstaddr \"acr-contoso\"", to: "set dstaddr \"acr-contso\"" },
            Mutation { from: "set tcp-portrange 443", to: "set tcp-portrange 44300000" },
            Mutation {
                from: "set subnet 10.10.0.0 255.255.0.0",
                to: "set subnet 10.10.0.0 255.255.0",
            },
            Mutation { from: "    next\nend", to: "end" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::Fortigate, &[], &mut accepts);
    let consumer =
        "Fortinet's Ansible modules, their schema; lengths and references by our own reader";
    matrix::record(Format::Fortigate, consumer, &ansible_version(), judgement);
}

/// The policies are those of IPv4: what has no such address would be on the list and in no rule that works.
#[test]
fn a_host_of_ipv6_alone_is_an_error() {
    let of = |pins: &str| {
        let entries = entry("host.example", &format!("addresses = [{pins}]\n"));
        export_text("pins", &entries, Format::Fortigate).map(drop)
    };
    assert_eq!(of("\"10.60.0.4\", \"fd00:60::4\""), Ok(()));
    let error = of("\"fd00:60::4\"");
    assert!(matches!(error, Err(Error::Unrepresentable { .. })), "{error:?}");
}

/// The version of the package that the modules came in.
fn ansible_version() -> String {
    let list = std::fs::read_to_string(lists::tests().join("exports/consumers/ansible.txt"))
        .expect("a list");
    let pinned = list.lines().find_map(|line| line.strip_prefix("ansible=="));
    format!("ansible {}", pinned.expect("it is pinned"))
}
