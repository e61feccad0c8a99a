//! The words of a plan, and what they mean: `docs/private-link.md`.

use std::fmt;

/// The page about plans, in Markdown.
#[derive(Debug, Clone, Copy)]
pub struct Reference;

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BEGIN)?;
        table(f, "## States of a record", &STATES)?;
        table(f, "## Why a record is unknown", &REASONS)?;
        table(f, "## Steps", &STEPS)?;
        f.write_str(END)
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[(&str, &str)]) -> fmt::Result {
    writeln!(f, "\n{title}\n\n| code | meaning |\n|---|---|")?;
    rows.iter().try_for_each(|(code, meaning)| writeln!(f, "| `{code}` | {meaning} |"))
}

const BEGIN: &str = "\
# Plans for Private Link

`allowlist-gen private-link FILE…` holds the records of private zones to what the private endpoints of registries need. This page has the words \
of its plan; a test holds it to the program.

## Which zone is whose

A zone is told from others of its name by its resource id. Each is for the networks of some private endpoints:

1. An endpoint's DNS zone groups say which zones they write to.
2. A zone that has an address of an endpoint in one of the registry's records is for that endpoint.
3. Endpoints and zones that are left over belong together: one endpoint gets all such zones, and several endpoints share one, which is said.
4. Without a word about any zone, each endpoint has one of its own, of which nothing is known. Two such zones can't be written in one text: \
`--private-endpoint` chooses.

A zone that has no record of the registry, and that no endpoint is left over for, is only named. `--zone ID` plans it.

`--private-endpoint` and `--zone` choose from that, and don't change whose a zone is.

A record is right if it has an address of one of the zone's endpoints for its host, and no other address.
";

const END: &str = "
## JSON

`--format json` has `schema` (1), `done` (what exit code 0 says), and `registries`, each with

- `login_server`, `name`
- `steps`: `code`, `to_do` (false for what is only to be known), `text`, `private_endpoints` (ids), `hosts`, `commands`
- `zones`: `name`, `id` (null if the input has none), `records_read` (`none`, `some`, `all`), `other_records` (how many are of others), `kept_by` \
(`zone-group`, `hand`, `unknown`), `private_endpoints` (ids), and `records`: `name`, `host`, `state`, `is` (null if nothing is known to be there), \
`should_be` (null if that isn't known, or if it shouldn't be), `ttl`, `why` (`code` and `text` where the state is `unknown`)

## What is written

| format | has |
|---|---|
| `az`, `bicep`, `terraform` | what is `missing`, `should-exist` or `differs`, and nothing else. What a zone group should write stays out without `--by-hand`. A record that is corrected keeps its time to live |
| `zone` | one zone as it should be: what is right, what is to be written, and what is `unknown` or `surplus` as it is. Records of other registries aren't in it |

Nothing in them deletes a record. What isn't in them is said in their first lines and on standard error. Terraform deletes what leaves its files, so \
the records of a plan have to stay in them.
";

pub(super) const STATES: [(&str, &str); 6] = [
    ("exists", "It is there, and right."),
    ("missing", "All of the zone's records were read, and it isn't among them."),
    ("should-exist", "It should be there; the input doesn't tell whether it is."),
    ("differs", "It is there, and has other addresses than it should."),
    ("surplus", "It is there, and the registry doesn't have its host now."),
    ("unknown", "How it should be isn't known."),
];

pub(super) const REASONS: [(&str, &str); 7] = [
    ("no-private-endpoint", "No approved private endpoint of the registry is in the input."),
    ("addresses-unknown", "The network interface of an endpoint isn't in the input."),
    (
        "not-on-private-endpoint",
        "The endpoint has no address for the host, as after a new replica.",
    ),
    ("region-to-come", "The region comes from `--future-region`."),
    ("several-private-endpoints", "Endpoints with different addresses share the zone."),
    ("addresses-disputed", "The input has several addresses of one endpoint for the host."),
    (
        "hosts-unknown",
        "The input doesn't tell all regions, or whether there are regional endpoints.",
    ),
];

pub(super) const STEPS: [(&str, &str); 12] = [
    ("unreadable", "Azure would not show something, so what it says is unknown."),
    ("regions-unknown", "The input doesn't tell all regions of the registry."),
    (
        "replicate",
        "A replica of `--future-region` has to be made; an endpoint with static addresses is in its way.",
    ),
    ("approve", "A connection is pending."),
    ("recreate", "A connection asks for its endpoint to be made anew (`actionsRequired`)."),
    ("renew", "A connection was rejected, or is disconnected."),
    ("addresses-missing", "An endpoint has no address for some hosts."),
    ("addresses-unknown", "The input has no addresses of an endpoint."),
    ("no-zone", "No zone in the input is for an endpoint."),
    ("which-zone", "Several zones may be for an endpoint, and all are planned."),
    (
        "shared-zone",
        "Endpoints with different addresses share a zone, so answers are unpredictable.",
    ),
    ("unused-zone", "A zone isn't planned; there is nothing to do about it."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::endpoints::Growth;
    use super::super::step::Step;
    use super::super::{State, Why};
    use super::*;
    use crate::registry::private_link::ZoneKey;
    use crate::registry::{Gap, ResourceId, Status};

    fn codes<const N: usize>(table: [(&'static str, &str); N]) -> BTreeSet<&'static str> {
        table.map(|(code, _)| code).into()
    }

    #[test]
    fn every_word_has_its_row() {
        let none = BTreeSet::new;
        let states = [
            State::Exists,
            State::Missing(none()),
            State::Unseen(none()),
            State::Differs { should: none() },
            State::Surplus,
            State::Unknown(Why::NoEndpoint),
        ];
        assert_eq!(codes(STATES), states.iter().map(State::code).collect());
        let id = || ResourceId::new("/x");
        let reasons = [
            Why::NoEndpoint,
            Why::AddressesUnknown(id()),
            Why::NotOnEndpoint(Vec::new()),
            Why::ToCome("eastus".parse().expect("a region")),
            Why::SeveralEndpoints(Vec::new()),
            Why::Disputed(none()),
            Why::HostsUnknown,
        ];
        assert_eq!(codes(REASONS), reasons.iter().map(Why::code).collect());
        let zone = || ZoneKey::of(id());
        let (region, code) =
            ("eastus".parse().expect("a region"), "AuthorizationFailed".to_owned());
        let steps = [
            Step::Unreadable(Gap { resource: id(), code }),
            Step::RegionsUnknown,
            Step::Replicate { region, fixed: Vec::new() },
            Step::Approve { endpoint: id(), ids: Vec::new() },
            Step::Recreate(id()),
            Step::Renew { endpoint: id(), status: Status::Pending },
            Step::Lacks { endpoint: id(), hosts: Vec::new(), growth: Growth::Follows },
            Step::AddressesUnknown(id()),
            Step::NoZone(id()),
            Step::WhichZone { endpoint: id(), zones: Vec::new() },
            Step::Shared { zone: zone(), endpoints: Vec::new() },
            Step::UnusedZone(zone()),
        ];
        assert_eq!(codes(STEPS), steps.iter().map(Step::code).collect());
        assert!(steps.is_sorted_by_key(Step::order), "the page has them in their order");
    }
}
