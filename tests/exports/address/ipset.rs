//! Debian's ipset, and the rules of iptables that name its sets.

use allowlist_gen::export::Format;
use anyhow::Result;
use test_support::{Namespace, Program, require};

use super::gateway::{From, Gateway};
use crate::consumer::{self, Mutation};
use crate::matrix;

#[test]
fn rules_with_the_sets_hold_clients_to_the_list() -> Result<()> {
    if !require(&["ip", "ipset", "iptables", "ip6tables"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Ipset,
        &[
            Mutation { from: "10.20.0.6,", to: "10.20.0.600," },
            Mutation { from: "tcp:443", to: "tcp:70000" },
            Mutation { from: "hash:net,port", to: "hash:port,net" },
            Mutation { from: "swap acr-allow-v4-new", to: "swap acr-allow-v4-old" },
            Mutation { from: "comment \"contoso", to: "coment \"contoso" },
        ],
        |text| accepts(text).map_err(|error| error.to_string()),
    );
    let probes = probe()?;
    let version = consumer::debian_version("ipset");
    matrix::record(Format::Ipset, "ipset", &version, judgement.with_probes(probes));
    Ok(())
}

fn accepts(text: &str) -> Result<()> {
    let place = Namespace::create("ipset")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    for _ in 0..2 {
        let ipset = Program::new("ipset").inside(&place).args(["restore", "-file"]);
        ipset.arg(file.path()).run()?.succeeded()?;
    }
    Ok(())
}

fn probe() -> Result<usize> {
    let gateway = Gateway::build(Format::Ipset)?;
    gateway.lets_everything_pass(From::Client)?;
    // What an earlier list had is gone, though rules use the set.
    let set = "create acr-allow-v4 hash:net,port family inet maxelem 1048576 comment";
    gateway.run(&format!("ipset {set}\nipset add acr-allow-v4 10.20.0.5,tcp:443"))?;
    gateway.run(Format::Ipset.about().apply)?;
    gateway.run("ipset restore < acr-allow.ipset")?;
    Ok(gateway.holds_to_the_list(From::Client)? + gateway.leaves_others_alone()?)
}
