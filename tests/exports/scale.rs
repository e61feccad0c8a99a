//! Lists from small to large in every format: written, or refused by a limit that the message names.

use allowlist_gen::export::{self, Error, Format};
use ringfence_config::{Allowlist, Issue};

use crate::{large, lists};

#[test]
fn every_format_takes_few_registries_and_many() {
    let regions = large::regions();
    for registries in [1, 2, 500] {
        let list = large::list(registries, &regions[..3], 0);
        assert_eq!(list.entries().len(), registries * 4);
        check(&list, &format!("{registries} registries"));
    }
}

#[test]
fn every_format_takes_a_registry_in_every_region() {
    let regions = large::regions();
    assert!(regions.len() >= 60, "{} regions", regions.len());
    check(&large::list(1, &regions, 0), "a registry in every region");
}

#[test]
fn every_format_takes_many_hosts_of_an_operators_own() {
    check(&large::list(0, &[], 2_000), "2,000 hosts");
}

fn check(list: &Allowlist, what: &str) {
    let has_registry = list.entries().iter().any(|entry| entry.role.registry().is_some());
    for &format in Format::ALL {
        match export::render(format, list, Issue::default(), &lists::options(format)) {
            Ok(export) => assert!(export.text.ends_with('\n'), "{} of {what}", format.name()),
            Err(Error::TooMany { found, limit, .. }) => {
                assert!(found > limit, "{} of {what}: {found} and {limit}", format.name());
                let is_said = !format.about().limits.is_empty();
                assert!(is_said, "{} has a limit that its page doesn't tell", format.name());
            }
            // Some targets are about registries alone.
            Err(Error::Empty { .. } | Error::Unrepresentable { .. }) if !has_registry => {}
            Err(error) => panic!("{} of {what}: {error}", format.name()),
        }
    }
}
