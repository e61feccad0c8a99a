//! Packet filters of Linux, which know addresses and ports, and no names.

pub(super) mod firewalld;
pub(super) mod ipset;
pub(super) mod iptables;
pub(super) mod nftables;

use ipnet::IpNet;
use ringfence_config::Port;
use ringfence_config::address::Pin;

use super::sheet::{Host, Sheet};
use super::{Error, Setting};

/// An address or a block, on one port, that clients may reach.
struct Target<'s, 'a> {
    port: Port,
    pin: Pin,
    /// Who is there, by name.
    hosts: Vec<&'s Host<'a>>,
}

/// All that clients may reach, each once: by port, then IPv4 before IPv6, then by address, a block before what lies
/// within it.
fn targets<'s, 'a>(sheet: &'s Sheet<'a>) -> Vec<Target<'s, 'a>> {
    let mut targets: Vec<(Port, Pin, &Host<'_>)> = Vec::new();
    for host in &sheet.hosts {
        for port in host.ports.iter() {
            targets.extend(host.addresses.iter().map(|pin| (port, *pin, host)));
        }
    }
    targets.sort_unstable_by_key(|(port, pin, host)| (*port, *pin, host.name.as_str()));
    // An entry may have an address twice.
    targets.dedup_by_key(|(port, pin, host)| (*port, *pin, host.name.as_str()));
    targets
        .chunk_by(|(port, pin, _), (other_port, other, _)| (port, pin) == (other_port, other))
        .map(|same| Target {
            port: same[0].0,
            pin: same[0].1,
            hosts: same.iter().map(|(_, _, host)| *host).collect(),
        })
        .collect()
}

impl Target<'_, '_> {
    /// A line on each host, without the sign that begins a comment.
    fn remarks(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(|host| format!("{}: {}", host.name, host.remark()))
    }

    /// Who is there, for comments that a kernel keeps: 128 bytes at most, and nothing that needs a quote.
    fn label(&self) -> String {
        let first = self.hosts.first().map_or("", |host| host.name.as_str());
        // A host name is ASCII.
        let first = match first.get(..NAME) {
            Some(cut) if cut.len() < first.len() => format!("{cut}..."),
            _ => first.to_owned(),
        };
        match self.hosts.len() {
            0 | 1 => first,
            hosts => format!("{first} and {} more", hosts - 1),
        }
    }

    fn family(&self) -> Family {
        Family::of(self.pin.block())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    fn of(block: IpNet) -> Self {
        match block {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Refuses clients none of whom could reach some host, which would be on the list and in no rule that works: who has an
/// address of one family alone reaches addresses of that family alone.
pub(super) fn clients_reach_all(sheet: &Sheet<'_>) -> Result<(), Error> {
    let clients = &sheet.options.clients;
    let reaches =
        |pin: &Pin| clients.iter().any(|client| Family::of(*client) == Family::of(pin.block()));
    let is_out_of_reach = |host: &&Host<'_>| {
        !clients.is_empty() && !host.addresses.is_empty() && !host.addresses.iter().any(reaches)
    };
    match sheet.hosts.iter().find(is_out_of_reach) {
        Some(host) => {
            let why = format!("no client is of the family of `{}`'s addresses", host.name);
            Err(sheet.unsuitable(Setting::Client, why))
        }
        None => Ok(()),
    }
}

/// What a label shows of a name: its registry and its region, in all likelihood.
const NAME: usize = 96;

#[cfg(test)]
mod tests {
    use ringfence_config::document::{self, Document};
    use ringfence_config::{Allowlist, Issue};

    use super::*;
    use crate::export::{Format, Options};

    fn list(entries: &str) -> Allowlist {
        let text = format!("schema = 1\n{entries}");
        document::merge(&[Document::parse("list.toml", &text).expect("valid")]).expect("a list")
    }

    #[test]
    fn a_target_is_written_once_however_many_hosts_are_there() {
        let long = format!("{0}.{0}.{0}.example", "a".repeat(60));
        let entry = |host: &str, rest: &str| {
            format!("[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"x\"\n{rest}\n")
        };
        let list = list(
            &[
                entry("b.example", "addresses = [\"10.0.0.4\", \"fd00::4\"]"),
                entry(
                    "a.example",
                    "addresses = [\"10.0.0.4\", \"10.0.0.0/24\"]\nports = [443, 80]",
                ),
                entry(&long, "addresses = [\"9.9.9.9\"]").replace("9.9.9.9", "10.0.0.3"),
            ]
            .concat(),
        );
        let options = Options {
            clients: vec!["10.1.0.0/16".parse().expect("a block")],
            ..Options::default()
        };
        let sheet =
            Sheet::new(Format::Nftables, &list, Issue::default(), &options).expect("pinned");
        let targets = targets(&sheet);
        let shown: Vec<String> = targets
            .iter()
            .map(|target| format!("{} {} {}", target.pin, target.port, target.label()))
            .collect();
        assert_eq!(
            shown,
            [
                "10.0.0.0/24 80 a.example".to_owned(),
                "10.0.0.4 80 a.example".to_owned(),
                "10.0.0.0/24 443 a.example".to_owned(),
                format!("10.0.0.3 443 {}...", &long[..NAME]),
                "10.0.0.4 443 a.example and 1 more".to_owned(),
                "fd00::4 443 b.example".to_owned(),
            ]
        );
    }
}
