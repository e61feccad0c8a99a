//! AWS Network Firewall: botocore's model of the request, and Suricata for the rules in it.

use allowlist_gen::export::{self, Format};
use serde_json::Value;
use test_support::require_program;

use super::{accepts_unusual, entry, export_text, suricata};
use crate::checker::Checker;
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

const CONSUMER: &str = "botocore; patterns, maxima and capacity by our own walk of its model";

#[test]
fn botocore_takes_the_rule_group() {
    let Some(mut botocore) = Checker::start("py", "aws.py", &[]) else { return };
    let mut accepts = |text: &str| botocore.judge(text);
    let judgement = consumer::judge(
        Format::AwsNetworkFirewall,
        &[
            Mutation { from: "\"Capacity\": 100", to: "\"Capacity\": \"100\"" },
            Mutation { from: "\"RulesString\"", to: "\"RuleString\"" },
            Mutation { from: "\"RuleGroupName\"", to: "\"Name\"" },
            Mutation { from: "\"STATEFUL\"", to: "\"STATEFULL\"" },
            Mutation { from: "\"STRICT_ORDER\"", to: "\"STRICT\"" },
            Mutation { from: "acr-allowlist\"", to: "acr allowlist\"" },
            Mutation { from: "\"Capacity\": 100", to: "\"Capacity\": 4" },
            Mutation { from: "10.10.0.0/16", to: "10.10.0.0/61" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::AwsNetworkFirewall, &[], &mut accepts);
    let version = botocore.version("botocore");
    matrix::record(Format::AwsNetworkFirewall, CONSUMER, &version, judgement);
}

#[test]
fn botocore_takes_the_list_of_domains() {
    let Some(mut botocore) = Checker::start("py", "aws.py", &[]) else { return };
    let mut accepts = |text: &str| botocore.judge(text);
    let judgement = consumer::judge(
        Format::AwsNetworkFirewallList,
        &[
            Mutation { from: "\"Targets\"", to: "\"Target\"" },
            Mutation { from: "\"TLS_SNI\"", to: "\"SNI\"" },
            Mutation { from: "\"ALLOWLIST\"", to: "\"ALLOW\"" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "\".azurecr.io\"" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "443" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::AwsNetworkFirewallList, &["ports", "long"], &mut accepts);
    let version = botocore.version("botocore");
    matrix::record(Format::AwsNetworkFirewallList, CONSUMER, &version, judgement);
}

#[test]
fn suricata_takes_the_rules_of_the_group() {
    if !require_program("suricata") {
        return;
    }
    let judgement = consumer::judge(
        Format::AwsNetworkFirewall,
        &[
            Mutation { from: "pass tls", to: "allow tls" },
            Mutation { from: "tls.sni", to: "tls.sn" },
            Mutation { from: "endswith;", to: "endwith;" },
            Mutation { from: "sid:", to: "id:" },
        ],
        |text| suricata::test(&rules_of(text)?),
    );
    accepts_unusual(Format::AwsNetworkFirewall, &[], |text| suricata::test(&rules_of(text)?));
    let text = lists::contoso().export(Format::AwsNetworkFirewall).expect("a list").text;
    let drops = "\
drop tls $HOME_NET any -> any any (msg:\"tls\"; flow:to_server,established; ssl_state:client_hello; sid:1;)
drop tcp $HOME_NET any -> any any (msg:\"tcp\"; flow:to_server,established; app-layer-protocol:!tls; sid:2;)
";
    let probes = suricata::probe(&(rules_of(&text).expect("rules") + drops));
    let version = consumer::debian_version("suricata");
    let consumer = "suricata, its rules beside two that drop the rest";
    matrix::record(Format::AwsNetworkFirewall, consumer, &version, judgement.with_probes(probes));
}

/// The rules in a request.
fn rules_of(text: &str) -> Result<String, String> {
    let request: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let rules = request.pointer("/RuleGroup/RulesSource/RulesString").and_then(Value::as_str);
    rules.map(str::to_owned).ok_or_else(|| "no rules".to_owned())
}

#[test]
fn more_than_the_firewall_takes_is_refused() {
    let hosts = |count: u32| (0..count).map(|n| entry(&format!("host{n}.example"), "")).collect();
    let addresses: Vec<String> =
        (0..900).map(|n| format!("\"10.60.{}.{}\"", n / 200, n % 200)).collect();
    let addresses = format!("addresses = [{}]\n", addresses.join(", "));
    let in_one: String = entry("host.example", &addresses);
    for (entries, format, expected) in [
        (in_one, Format::AwsNetworkFirewall, "characters in a rule and its clients"),
        (hosts(12_000), Format::AwsNetworkFirewall, "characters of rules"),
        (hosts(30_000), Format::AwsNetworkFirewallList, "rules"),
    ] {
        let error = export_text("too many", &entries, format).expect_err("too many");
        let export::Error::TooMany { what, .. } = error else { panic!("{error}") };
        assert_eq!(what, expected);
    }
}
