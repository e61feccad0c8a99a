//! Unbound.

use std::process::Command;

use allowlist_gen::export::Format;
use anyhow::Result;
use test_support::require;

use super::lab::{Lab, Probe};
use super::programs;
use super::{list_of, pinned, strangers};
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn unbound_answers_for_the_listed_hosts_and_asks_for_all_others() -> Result<()> {
    if !require(&["unbound", "unbound-checkconf", "dnsmasq", "dig", "ip"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Unbound,
        &[
            Mutation { from: "transparent", to: "transparant" },
            Mutation { from: "transparent", to: "redirect" },
            Mutation { from: "IN A 10.20.0.6\"", to: "IN A 10.20.0\"" },
            Mutation {
                from: "local-data: \"contoso.azurecr.io.",
                to: "local-data: \"contoso.azurecr.io.x.",
            },
        ],
        |text| examine(text).map(drop).map_err(|error| format!("{error:#}")),
    );
    let probes = examine(&lists::contoso().export(Format::Unbound)?.text)?;
    let version = consumer::debian_version("unbound");
    matrix::record(Format::Unbound, "Unbound", &version, judgement.with_probes(probes));
    Ok(())
}

fn examine(text: &str) -> Result<usize> {
    let lab = Lab::new(&[])?;
    let file = lab.file(Format::Unbound.about().file, text)?;
    consumer::run(Command::new("unbound-checkconf").arg(&file)).map_err(anyhow::Error::msg)?;
    let rest = format!("include: \"{}\"\n", file.display());
    let _running = programs::unbound(&lab, "", &rest)?;

    let list = list_of(text);
    let pinned = pinned(&list);
    let answered = pinned.iter().map(|(host, addresses)| Probe::here(host, addresses));
    let unpinned = list.hosts().into_iter().filter(|host| !pinned.contains_key(host));
    let others = strangers(&list).into_iter().chain(unpinned).map(|name| Probe::anywhere(&name));
    lab.examine(&answered.flat_map(Probe::spellings).chain(others).collect::<Vec<_>>())
}
