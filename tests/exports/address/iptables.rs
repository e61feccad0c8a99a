//! Debian's iptables and ip6tables, which share a file.

use allowlist_gen::export::Format;
use anyhow::{Result, ensure};
use test_support::{Namespace, Program, require};

use super::gateway::{From, Gateway};
use crate::consumer::{self, Mutation};
use crate::matrix;

#[test]
fn iptables_holds_clients_to_the_list() -> Result<()> {
    if !require(&["ip", "iptables", "iptables-restore", "ip6tables", "ip6tables-restore"]) {
        return Ok(());
    }
    let judgement = consumer::judge(
        Format::Iptables,
        &[
            Mutation { from: "-d 10.20.0.6 ", to: "-d 10.20.0.600 " },
            Mutation { from: "-4 -A ACR-ALLOW-LIST -d 10", to: "-A ACR-ALLOW-LIST -d 10" },
            Mutation { from: "-g ACR-ALLOW-LIST", to: "-g ACR-ALLOW-LISTS" },
            Mutation { from: "--ctdir REPLY", to: "--ctdir ANSWER" },
            Mutation { from: "COMMIT", to: "COMIT" },
        ],
        |text| accepts(text).map_err(|error| error.to_string()),
    );
    let probes = probe()?;
    let version = consumer::debian_version("iptables");
    let consumer = "iptables-restore and ip6tables-restore";
    matrix::record(Format::Iptables, consumer, &version, judgement.with_probes(probes));
    Ok(())
}

fn accepts(text: &str) -> Result<()> {
    let place = Namespace::create("iptables")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    for program in ["iptables-restore", "ip6tables-restore"] {
        for arguments in [&["--test", "--noflush"][..], &["--noflush"], &["--noflush"]] {
            let restore = Program::new(program).inside(&place).args(arguments);
            restore.arg(file.path()).run()?.succeeded()?;
        }
    }
    Ok(())
}

fn probe() -> Result<usize> {
    let gateway = Gateway::build(Format::Iptables)?;
    gateway.lets_everything_pass(From::Client)?;
    gateway.lets_everything_pass(From::Gate)?;
    let open = gateway.open()?;
    let apply = Format::Iptables.about().apply;
    gateway.run(apply)?;
    gateway.run(&apply.replace("FORWARD", "OUTPUT"))?;
    let mut probes = gateway.holds_to_the_list(From::Client)?;
    probes += gateway.holds_to_the_list(From::Gate)?;
    probes += gateway.leaves_others_alone()?;
    ensure!(!open.carries()?, "what was open before is still carried");

    let before = "iptables -I FORWARD -s 10.10.0.0/16 -d 10.20.0.53 -p udp --dport 53 -j ACCEPT";
    gateway.run(before)?;
    gateway.finds_names(From::Client)?;
    Ok(probes + 2)
}
