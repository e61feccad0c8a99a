//! What holds for every format.

use std::collections::BTreeSet;

use allowlist_gen::export::{Format, Kind, Scope};
use proptest::prelude::*;
use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::endpoint::Endpoint;
use ringfence_config::preset::Presets;
use ringfence_config::{Allowlist, Entry, Hostname, Issue, Port, Role};

use crate::lists::{self, List};

/// Every host that a format says it can say is in its text, and no other registry's host is.
#[test]
fn an_export_has_every_host_and_no_other() {
    for list in lists::all().into_iter().chain(lists::of_every_fixture()) {
        let listed: BTreeSet<String> = list.hosts().into_iter().collect();
        for &format in Format::ALL {
            let Ok(export) = list.export(format) else { continue };
            let found = hosts_in(&passing(format, &export.text));
            let strangers: Vec<&String> = found.difference(&listed).collect();
            assert!(strangers.is_empty(), "{} of {}: {strangers:?}", format.name(), list.name);
            let expected = expected(format, &list);
            if says_names(format) {
                let missing: Vec<&String> = expected.difference(&found).collect();
                assert!(missing.is_empty(), "{} of {}: {missing:?}", format.name(), list.name);
            }
        }
    }
}

/// Who reads only the file learns that an address of a shared front end reaches more than the list.
#[test]
fn what_goes_by_address_says_so_in_the_file() {
    let goes_by_address =
        |format: &&Format| matches!(format.about().kind, Kind::Resolved | Kind::Address);
    for &format in Format::ALL.iter().filter(goes_by_address) {
        for list in lists::all() {
            let Ok(export) = list.export(format) else { continue };
            let marks = ['#', '/', ';', ' '];
            let lines: Vec<&str> =
                export.text.lines().map(|line| line.trim_start_matches(marks)).collect();
            let said = lines.join(" ").replace("&apos;", "'");
            let meaning = format.about().kind.meaning();
            assert!(said.contains(meaning), "{} of {}: {said}", format.name(), list.name);
        }
    }
}

#[test]
fn the_order_of_the_entries_does_not_matter() {
    for list in lists::all() {
        let mut entries = list.allowlist.entries().to_vec();
        entries.reverse();
        let allowlist = Allowlist::new(entries).expect("the same entries");
        let turned = List { name: list.name, allowlist, issue: list.issue };
        for &format in Format::ALL {
            assert_eq!(
                list.export(format),
                turned.export(format),
                "{} of {}",
                format.name(),
                list.name
            );
        }
    }
}

/// Any list at all is written, or there is an error: nothing panics, nothing is left out, nothing comes twice over.
#[test]
fn every_list_is_written_in_full_or_not_at_all() {
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(entries in prop::collection::vec(entry(), 0..24))| {
        // Two entries for one host may contradict each other, which is another's business.
        let mut hosts = BTreeSet::new();
        let entries: Vec<Entry> =
            entries.into_iter().filter(|entry| hosts.insert(entry.host.clone())).collect();
        let Ok(allowlist) = Allowlist::new(entries) else { return Ok(()) };
        let list = List { name: "any", allowlist, issue: Issue::default() };
        let listed: BTreeSet<String> = list.hosts().into_iter().collect();
        for &format in Format::ALL {
            let Ok(export) = list.export(format) else { continue };
            let is_whole = export.text.is_empty() || export.text.ends_with('\n');
            prop_assert!(is_whole, "{}", format.name());
            let found = hosts_in(&passing(format, &export.text));
            prop_assert!(found.is_subset(&listed), "{}: {}", format.name(), export.text);
            if says_names(format) {
                prop_assert!(expected(format, &list).is_subset(&found), "{}: {}", format.name(), export.text);
            }
        }
    });
}

/// A host of a registry in any cloud, or somebody's own.
fn entry() -> impl Strategy<Value = Entry> {
    let host = prop_oneof![
        8 => ("[a-z][a-z0-9]{4,12}(-[a-z0-9]{4,16})?", 0..3_usize, "[a-z]{4,9}[0-9]?", 0..3_usize)
            .prop_map(|(label, cloud, region, family)| {
                let suffix = ["azurecr.io", "azurecr.cn", "azurecr.us"][cloud];
                match family {
                    0 => format!("{label}.{suffix}"),
                    1 => format!("{label}.{region}.data.{suffix}"),
                    _ => format!("{label}.{region}.geo.{suffix}"),
                }
            }),
        2 => "[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,3}\\.example",
    ];
    let ports = prop_oneof![4 => Just(vec![443]), 1 => prop::collection::vec(1..65_535_u16, 1..3)];
    let address = prop_oneof![
        4 => (0..255_u8, 1..255_u8).prop_map(|(c, d)| format!("10.20.{c}.{d}")),
        1 => (0..255_u8).prop_map(|c| format!("10.30.{c}.0/28")),
        1 => (1..65_535_u16).prop_map(|h| format!("fd00:20::{h:x}")),
    ];
    let addresses = prop::collection::vec(address, 0..3);
    (host, ports, addresses, prop::option::of("\\PC{1,40}")).prop_map(
        |(host, ports, addresses, why)| {
            let role =
                host.parse::<Endpoint>().map_or(Role::Other, |endpoint| Role::from(&endpoint));
            let ports =
                ports.into_iter().map(|port| Port::try_from(port).expect("not 0")).collect();
            let mut addresses: Vec<Pin> =
                addresses.iter().map(|text| text.parse().expect("a private address")).collect();
            addresses.sort_unstable();
            addresses.dedup();
            Entry {
                host: host.parse().expect("a host"),
                role,
                ports: Ports::new(ports).expect("a port"),
                addresses,
                why,
                presets: Presets::new(),
            }
        },
    )
}

/// Whatever a reason says, it adds no line to the file and changes none but its own.
#[test]
fn a_reason_stays_in_its_comment() {
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    let strategy = "(\\PC|[\\r\\n\\t\\\\\"'`$(){}%;#<>*/-]|\u{2028}|\u{85}){0,60}";
    proptest!(config, |(why in strategy)| {
        let list = lists::contoso();
        let with = |why: &str| {
            let mut entries = list.allowlist.entries().to_vec();
            for entry in &mut entries {
                entry.why = Some(why.to_owned());
            }
            let allowlist = Allowlist::new(entries).expect("the same entries");
            List { name: list.name, allowlist, issue: list.issue }
        };
        let (plain, hostile) = (with("plain"), with(&why));
        for &format in Format::ALL {
            // These quote as their own standards say, which tests of theirs hold them to.
            if matches!(format, Format::Toml | Format::Json) {
                continue;
            }
            let (Ok(plain), Ok(hostile)) = (plain.export(format), hostile.export(format)) else {
                prop_assert!(false, "{}", format.name());
                unreachable!()
            };
            // The header's lines may break elsewhere: it has the list's hash.
            let hidden = |text: &str| text.lines().filter(|line| !line.contains("sha256:")).count();
            prop_assert_eq!(hidden(&plain.text), hidden(&hostile.text), "{}: {}", format.name(), hostile.text);
            let control = |c: char| c.is_control() && c != '\n' && c != '\t';
            prop_assert!(!hostile.text.contains(control), "{}", format.name());
        }
    });
}

/// The lines of `text` that let something pass: a policy zone also names what it closes.
fn passing(format: Format, text: &str) -> String {
    let closes = |line: &&str| format == Format::Rpz && line.ends_with(" CNAME .");
    text.lines().filter(|line| !closes(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The hosts that stand anywhere in `text`, read from the outside: the longest runs of what names are made of,
/// that end in a registry's domain or in `example`.
fn hosts_in(text: &str) -> BTreeSet<String> {
    let text = text.replace("\\.", ".");
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c)));
    let names = runs
        .map(|run| run.trim_matches(['.', '-', '_']))
        .filter_map(|run| run.parse::<Hostname>().ok());
    let is_registry = |name: &Hostname| {
        ["azurecr.io", "azurecr.cn", "azurecr.us"].iter().any(|domain| name.is_below(domain))
            && !name.as_str().contains("privatelink")
    };
    names.filter(is_registry).map(|name| name.to_string()).collect()
}

fn says_names(format: Format) -> bool {
    !matches!(format.about().kind, Kind::Address | Kind::Answer)
}

fn expected(format: Format, list: &List) -> BTreeSet<String> {
    let entries = list.allowlist.entries().iter();
    let is_registry = |host: &str| host.contains(".azurecr.");
    let pinned: BTreeSet<_> = list
        .allowlist
        .entries()
        .iter()
        .filter(|entry| !entry.addresses.is_empty())
        .filter_map(|entry| entry.role.registry())
        .collect();
    entries
        .filter(|entry| match format.about().scope {
            Scope::Pinned | Scope::PinnedPorts => !entry.addresses.is_empty(),
            Scope::PrivateLink => entry.role.registry().is_some_and(|label| pinned.contains(label)),
            Scope::Registries => !matches!(entry.role, Role::Data(..) | Role::StorageAccount),
            Scope::Everything | Scope::Ports | Scope::Https => true,
        })
        .map(|entry| entry.host.as_str().to_owned())
        .filter(|host| is_registry(host))
        .collect()
}
