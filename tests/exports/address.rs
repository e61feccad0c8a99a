//! Packet filters of Linux: a gateway that has loaded an export lets its clients reach exactly what is on the list.

mod firewalld;
mod gateway;
mod ipset;
mod iptables;
mod nftables;

use allowlist_gen::export::{self, Error, Format, Options, Setting, Unpinned};

use crate::lists;

/// Rules that let nothing listed through would be no list.
#[test]
fn clients_of_the_other_family_are_an_error() {
    let list = lists::contoso();
    let with = |format: Format, clients: &[&str]| {
        let takes_pinned_only = format.about().takes.contains(&Setting::PinnedOnly);
        let options = Options {
            clients: clients.iter().map(|client| client.parse().expect("a block")).collect(),
            unpinned: if takes_pinned_only { Unpinned::LeftOut } else { Unpinned::Refused },
            ..Options::default()
        };
        export::render(format, &list.allowlist, list.issue, &options).map(drop)
    };
    for format in [
        Format::Nftables,
        Format::Iptables,
        Format::Firewalld,
        Format::AzureNsg,
        Format::Suricata,
        Format::AwsNetworkFirewall,
    ] {
        let error = with(format, &["fd00:10::/64"]);
        let is_refused = matches!(error, Err(Error::Unsuitable { setting: Setting::Client, .. }));
        assert!(is_refused, "{}: {error:?}", format.name());
        assert_eq!(with(format, &["fd00:10::/64", "10.10.0.0/16"]), Ok(()), "{}", format.name());
    }
}
