//! The zone of a plan for Private Link, served by BIND: it answers what the plan says should be, and nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;

use allowlist_gen::private_link::{Format, GroupRecords};
use anyhow::Result;
use ringfence_config::endpoint::Cloud;
use test_support::{require, require_program};

use super::lab::{Lab, Probe};
use super::programs::{self, kzonecheck, named_checkzone};
use crate::azure::private_link::{plan, records};

#[test]
fn bind_answers_what_the_plan_says() -> Result<()> {
    let text = plan(&records()).render(Format::Zone, GroupRecords::Left)?.text;
    let zone = Cloud::Public.private_zone();
    for program in ["named-checkzone", "kzonecheck"] {
        if require_program(program) {
            let check = |text: &str| match program {
                "kzonecheck" => kzonecheck(&zone)(text),
                _ => named_checkzone(&zone)(text),
            };
            check(&text).map_err(anyhow::Error::msg)?;
            for (from, to) in
                [("10.1.1.24", "10.1.1.256"), (" IN SOA ", " IN SAO "), ("$TTL 300", "$TTL x")]
            {
                let mutated = text.replacen(from, to, 1);
                anyhow::ensure!(
                    mutated != text && check(&mutated).is_err(),
                    "{program} takes {to}"
                );
            }
        }
    }
    if !require(&["named", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let lab = Lab::new(&[])?;
    let file = lab.file("acr.zone", &text)?;
    let rest = format!("zone \"{zone}\" {{ type primary; file \"{}\"; }};", file.display());
    let _running = programs::bind(&lab, "", &rest, " zones loaded")?;
    let here = [
        ("fabrikam", "10.1.1.22"),
        ("fabrikam.eastus.data", "10.1.1.21"),
        ("fabrikam.eastus.geo", "10.1.1.24"),
        ("fabrikam.westeurope.data", "10.1.1.20"),
        ("fabrikam.westeurope.geo", "10.1.1.23"),
        // Of a region that is gone: nobody decided that the record goes, too.
        ("fabrikam.northeurope.data", "10.1.1.66"),
    ];
    let here = here.into_iter().map(|(name, address)| {
        let addresses: BTreeSet<IpAddr> = [address.parse().expect("an address")].into();
        Probe::here(&format!("{name}.{zone}"), &addresses)
    });
    // What has no address yet, and what is another registry's, isn't there.
    let unknown = ["fabrikam.southeastasia.data", "fabrikam.southeastasia.geo", "contoso", "evil"]
        .map(|name| Probe::unknown(&format!("{name}.{zone}")));
    let probes: Vec<Probe> = here.flat_map(Probe::spellings).chain(unknown).collect();
    anyhow::ensure!(lab.examine(&probes)? >= probes.len());
    Ok(())
}
