//! What the generator takes a list to say is what the proxy makes of it.

use allowlist_gen::judge::{Denial, Judge};
use proptest::prelude::*;
use proptest::sample::select;
use ringfence::client::Client;
use ringfence::policy::{Decision, Mode, Policy, Rules, Target};
use ringfence_config::allowlist::Ports;
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Allowlist, Entry, Hostname, Port, Role};

/// Hosts and patterns that overlap, registries' and storage hosts among them.
fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        r"((\*|a|b)\.){1,2}(\*|c)\.example\.com",
        Just("a.c.example.com".to_owned()),
        select(vec![
            "contoso.azurecr.io",
            "contoso.eastus.data.azurecr.io",
            "contoso.*.data.azurecr.io",
            "mine.blob.core.windows.net",
        ])
        .prop_map(str::to_owned),
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        r"([abx]\.){1,3}[cx]\.example\.com",
        select(vec![
            "contoso.azurecr.io",
            "contoso.eastus.data.azurecr.io",
            "contoso.westus.data.azurecr.io",
            "fabrikam.azurecr.io",
            "mine.blob.core.windows.net",
            "theirs.blob.core.windows.net",
        ])
        .prop_map(str::to_owned),
    ]
}

fn entry(host: &str, ports: &[u16]) -> Entry {
    let endpoint: Option<Endpoint> = host.replace('*', "eastus").parse().ok();
    let role = match endpoint {
        _ if host.contains("blob") => Role::StorageAccount,
        Some(endpoint) => Role::from(&endpoint),
        None => Role::Other,
    };
    let ports = ports.iter().map(|port| Port::try_from(*port).expect("not 0")).collect();
    let mut entry = Entry::new("x.example.com".parse().expect("a host"), role);
    entry.host = host.parse().expect(host);
    entry.ports = Ports::new(ports).expect("a port");
    entry.why = Some("a test".to_owned());
    entry
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn both_say_the_same_of_a_list(
        entries in prop::collection::vec((pattern(), select(vec![&[443][..], &[8443], &[443, 8443]])), 0..6),
        host in host(),
        port in select(vec![443, 8443]),
    ) {
        let entries = entries.iter().map(|(host, ports)| entry(host, ports));
        let Ok(list) = Allowlist::new(entries) else { return Ok(()) };
        let host: Hostname = host.parse().expect("a host");
        let port = Port::try_from(port).expect("not 0");
        let judge = Judge::new(&list);
        let ours = judge.decide(&host, port);
        let policy = Policy::new(1, Rules::default(), [(&list, Mode::Enforce)]);
        let client = Client::anyone("10.0.0.4:50000".parse().expect("an address"));
        match policy.decide(client, Target { host, port }) {
            Decision::Allow(permit) => prop_assert_eq!(ours.ok(), permit.entry()),
            Decision::Deny(denial) => {
                prop_assert_eq!(ours.err().map(Denial::code), Some(denial.reason.code()));
            }
        }
    }
}
