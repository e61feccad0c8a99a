//! A table of nftables: sets of addresses, one for each family and port, and chains that hold the clients to them.

use ipnet::IpNet;

use super::{Family, Target, targets};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allow.nft",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Client, Setting::PinnedOnly],
    // A table that refused whatever comes by would cut off more than anybody meant.
    needs: &[Setting::Client],
    limits: "",
    notes: &[
        "What the clients send through this machine, or from it, reaches these addresses and ports alone. All else \
         of theirs is refused, name servers included, and on connections that are open already, too. Answers on \
         connections that others open to them pass.",
        "What other machines send isn't touched, nor what goes to this machine itself.",
        "Other tables can refuse what this one lets pass, but not let pass what this one refuses. A name server \
         beyond this machine takes a rule after each load: \
         `nft insert rule inet acr_allow egress ip daddr 10.0.0.53 udp dport 53 accept`.",
        "The table is gone after a restart, and after a `flush ruleset`, with which Debian's /etc/nftables.conf begins, \
         unless that file includes it.",
        "Clients are known by their addresses: give all that they have, of both families, and see that the network \
         lets them take no others.",
    ],
    apply: "\
nft -c -f acr-allow.nft && nft -f acr-allow.nft

# For after a restart (Debian): nftables.service loads /etc/nftables.conf, which has to include a copy.
#   install -m 644 acr-allow.nft /etc/nftables-acr-allow.nft
# Once:
#   echo 'include \"/etc/nftables-acr-allow.nft\"' >> /etc/nftables.conf && systemctl enable nftables.service",
    validator: "`nft -c`, and connections through a gateway that has loaded it",
    sources: &["https://www.netfilter.org/projects/nftables/manpage.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    super::clients_reach_all(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    // The first line makes sure that there is something to delete; what the file does happens all at once.
    text.line("\ntable inet acr_allow\ndelete table inet acr_allow\ntable inet acr_allow {");

    let mut from_clients = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let is_ours = |client: &IpNet| Family::of(*client) == family;
        let clients: Vec<IpNet> =
            IpNet::aggregate(&sheet.options.clients).into_iter().filter(is_ours).collect();
        if !clients.is_empty() {
            let set_name = format!("clients_{}", family.name());
            set(&mut text, &set_name, family, clients.iter().map(|client| format!("{client},")));
            from_clients.push(format!("{} saddr @{set_name} goto egress", header(family)));
        }
    }

    let mut to_targets = Vec::new();
    let key = |target: &Target<'_, '_>| (target.port, target.family());
    for targets in outermost(targets(sheet)).chunk_by(|a, b| key(a) == key(b)) {
        let (port, family) = key(&targets[0]);
        let set_name = format!("{}_{port}", family.name());
        let elements = targets.iter().flat_map(|target| {
            let remarks = target.remarks().map(|remark| format!("# {remark}"));
            remarks.chain([format!("{} comment \"{}\",", target.pin, target.label())])
        });
        set(&mut text, &set_name, family, elements);
        to_targets.push(format!("tcp dport {port} {} daddr @{set_name} accept", header(family)));
    }

    chain(&mut text, "forward", &FORWARD, &from_clients, &[]);
    chain(&mut text, "output", &OUTPUT, &from_clients, &[]);
    chain(&mut text, "egress", &ANSWERS, &to_targets, &REFUSAL);
    text.line("}");
    Ok(text.into_string())
}

/// Without the targets that lie within others: their hosts join those. A set of intervals takes no overlap.
fn outermost<'s, 'a>(targets: Vec<Target<'s, 'a>>) -> Vec<Target<'s, 'a>> {
    let mut outermost: Vec<Target<'s, 'a>> = Vec::new();
    for target in targets {
        let is_around = |last: &&mut Target<'_, '_>| {
            last.port == target.port && last.pin.block().contains(&target.pin.block())
        };
        match outermost.last_mut().filter(is_around) {
            Some(last) => last.hosts.extend(target.hosts),
            None => outermost.push(target),
        }
    }
    for target in &mut outermost {
        target.hosts.sort_unstable_by_key(|host| host.name.as_str());
        target.hosts.dedup_by_key(|host| host.name.as_str());
    }
    outermost
}

/// What the header of the family's packets is called in rules.
fn header(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
    }
}

fn set(text: &mut Text, name: &str, family: Family, elements: impl Iterator<Item = String>) {
    text.line(format_args!("    set {name} {{"));
    text.line(format_args!("        type {}_addr", family.name()));
    text.line("        flags interval\n        elements = {");
    for element in elements {
        text.line(format_args!("            {element}"));
    }
    text.line("        }\n    }");
}

fn chain(text: &mut Text, name: &str, first: &[&str], rules: &[String], last: &[&str]) {
    text.line(format_args!("    chain {name} {{"));
    for rule in
        first.iter().copied().chain(rules.iter().map(String::as_str)).chain(last.iter().copied())
    {
        text.line(format_args!("        {rule}"));
    }
    text.line("    }");
}

const FORWARD: [&str; 1] = ["type filter hook forward priority filter; policy accept;"];

const OUTPUT: [&str; 4] = [
    "type filter hook output priority filter; policy accept;",
    "fib daddr type local accept",
    "# By these an IPv6 host finds its neighbours.",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",
];

const ANSWERS: [&str; 3] = [
    "ct direction reply accept",
    "# Reports on packets of connections that the kernel knows: too big, say.",
    "meta l4proto { icmp, ipv6-icmp } ct state related accept",
];

const REFUSAL: [&str; 3] = [
    "counter",
    "meta l4proto tcp reject with tcp reset",
    "reject with icmpx type admin-prohibited",
];

#[cfg(test)]
mod tests {
    use ringfence_config::Issue;
    use ringfence_config::document::{self, Document};

    use crate::export::{self, Format, Options};

    #[test]
    fn what_lies_within_a_block_joins_it() {
        let entry = |host: &str, pins: &str| {
            format!(
                "[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"x\"\naddresses = [{pins}]\n"
            )
        };
        let text = "schema = 1\n".to_owned()
            + &entry("a.example", "\"10.0.0.0/24\"")
            + &entry("b.example", "\"10.0.0.0/28\", \"10.0.0.7\"")
            + &entry("c.example", "\"10.0.1.0\"");
        let document = Document::parse("list.toml", &text).expect("valid");
        let list = document::merge(&[document]).expect("a list");
        let clients =
            ["10.1.0.0/16", "10.1.1.0/24", "fd00::1/128"].map(|net| net.parse().expect("a block"));
        let options = Options { clients: clients.to_vec(), ..Options::default() };
        let export =
            export::render(Format::Nftables, &list, Issue::default(), &options).expect("pinned");
        let is_element = |line: &&str| line.ends_with(',') && !line.starts_with('#');
        let elements: Vec<&str> = export.text.lines().filter(is_element).map(str::trim).collect();
        assert_eq!(
            elements,
            [
                "10.1.0.0/16,",
                "fd00::1/128,",
                "10.0.0.0/24 comment \"a.example and 1 more\",",
                "10.0.1.0 comment \"c.example\",",
            ]
        );
    }
}
