//! Debian's nftables.

use allowlist_gen::export::Format;
use anyhow::{Result, ensure};
use test_support::{Namespace, Program, require};

use super::gateway::{From, Gateway};
use crate::consumer::{self, Mutation};
use crate::matrix;

#[test]
fn nftables_holds_clients_to_the_list() -> Result<()> {
    if !require(&["ip", "nft"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Nftables,
        &[
            Mutation { from: "10.20.0.6 ", to: "10.20.0.600 " },
            Mutation { from: "@ipv4_443", to: "@ipv4_444" },
            Mutation { from: "type ipv4_addr", to: "type ipv4_adr" },
            Mutation { from: "goto egress", to: "goto egres" },
            Mutation { from: "10.20.0.5 comment", to: "10.20.0.4/31 comment" },
        ],
        |text| accepts(text).map_err(|error| error.to_string()),
    );
    let probes = probe()?;
    let version = consumer::debian_version("nftables");
    matrix::record(Format::Nftables, "nft", &version, judgement.with_probes(probes));
    Ok(())
}

fn accepts(text: &str) -> Result<()> {
    let place = Namespace::create("nft")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    // The second time, all of it is there already.
    for _ in 0..2 {
        for arguments in [&["-c", "-f"][..], &["-f"]] {
            let nft = Program::new("nft").inside(&place).args(arguments);
            nft.arg(file.path()).run()?.succeeded()?;
        }
    }
    Ok(())
}

fn probe() -> Result<usize> {
    let gateway = Gateway::build(Format::Nftables)?;
    gateway.lets_everything_pass(From::Client)?;
    gateway.lets_everything_pass(From::Gate)?;
    let open = gateway.open()?;
    gateway.run(Format::Nftables.about().apply)?;
    let mut probes = gateway.holds_to_the_list(From::Client)?;
    probes += gateway.holds_to_the_list(From::Gate)?;
    probes += gateway.leaves_others_alone()?;
    ensure!(!open.carries()?, "what was open before is still carried");

    let note = Format::Nftables.about().notes.join(" ");
    let command = note.split('`').find(|part| part.starts_with("nft ")).expect("a command");
    gateway.run(&command.replace("10.0.0.53", "10.20.0.53"))?;
    gateway.finds_names(From::Client)?;
    Ok(probes + 2)
}
