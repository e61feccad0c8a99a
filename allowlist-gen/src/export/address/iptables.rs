//! Chains of iptables for both families in one file: each of `iptables-restore` and `ip6tables-restore` skips the
//! lines that begin with the other's number.

use super::{Family, targets};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allow.rules",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::Client, Setting::PinnedOnly],
    // Chains that refused whatever comes by would cut off more than anybody meant.
    needs: &[Setting::Client],
    limits: "",
    notes: &[
        "The chain ACR-ALLOW lets clients reach these addresses and ports, and refuses all else of theirs, on \
         connections that are open already, too. What others send, and answers to them, goes back to the chain that \
         it came from.",
        "It takes a jump from FORWARD, or from OUTPUT on a machine that is a client itself. What clients need beside \
         it, a name server say, is accepted in rules before the jump.",
        "The chains are gone after a restart, unless they are saved: Debian's package iptables-persistent restores at \
         boot what `netfilter-persistent save` wrote.",
        "Every rule is looked at in turn: for thousands of addresses, `nftables` and `ipset` are faster.",
        "Clients are known by their addresses: give all that they have, of both families, and see that the network \
         lets them take no others.",
    ],
    apply: "\
(
  set -e
  iptables-restore --test --noflush acr-allow.rules
  ip6tables-restore --test --noflush acr-allow.rules
  iptables-restore --noflush acr-allow.rules
  ip6tables-restore --noflush acr-allow.rules
  iptables -C FORWARD -j ACR-ALLOW 2>/dev/null || iptables -I FORWARD -j ACR-ALLOW
  ip6tables -C FORWARD -j ACR-ALLOW 2>/dev/null || ip6tables -I FORWARD -j ACR-ALLOW
)

# For after a restart (Debian, with the package iptables-persistent):
#   netfilter-persistent save",
    validator: "`iptables-restore --test` and `ip6tables-restore --test`, and connections through a gateway that has loaded it",
    sources: &["https://manpages.debian.org/stable/iptables/iptables.8.en.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    super::clients_reach_all(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    // A chain that is declared is emptied; all others stay, as long as it is done with `--noflush`.
    text.line("\n*filter\n:ACR-ALLOW - [0:0]\n:ACR-ALLOW-LIST - [0:0]\n");
    text.line(RETURNED);
    for client in &sheet.options.clients {
        let family = prefix(Family::of(*client));
        text.line(format_args!("{family} -A ACR-ALLOW -s {client} -g ACR-ALLOW-LIST"));
    }
    text.line("");
    for target in targets(sheet) {
        for remark in target.remarks() {
            text.line(format_args!("# {remark}"));
        }
        let (family, pin, port) = (prefix(target.family()), target.pin, target.port);
        text.line(format_args!(
            "{family} -A ACR-ALLOW-LIST -d {pin} -p tcp --dport {port} -m comment --comment \"{}\" -j ACCEPT",
            target.label()
        ));
    }
    text.line(REFUSED);
    Ok(text.into_string())
}

/// What has the program of the other family skip the line.
fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    }
}

/// Reports on packets that are too big, say, belong to a connection that the kernel knows. Neighbours speak with a hop
/// limit of 255 (RFC 4861, section 7.1), which no packet has that was forwarded.
const RETURNED: &str = "\
-A ACR-ALLOW -o lo -j RETURN
-A ACR-ALLOW -m conntrack --ctdir REPLY -j RETURN
-4 -A ACR-ALLOW -p icmp -m conntrack --ctstate RELATED -j RETURN
-6 -A ACR-ALLOW -p icmpv6 -m conntrack --ctstate RELATED -j RETURN
-6 -A ACR-ALLOW -p icmpv6 --icmpv6-type router-solicitation -m hl --hl-eq 255 -j RETURN
-6 -A ACR-ALLOW -p icmpv6 --icmpv6-type neighbour-solicitation -m hl --hl-eq 255 -j RETURN
-6 -A ACR-ALLOW -p icmpv6 --icmpv6-type neighbour-advertisement -m hl --hl-eq 255 -j RETURN
";

const REFUSED: &str = "
-A ACR-ALLOW-LIST -p tcp -j REJECT --reject-with tcp-reset
-4 -A ACR-ALLOW-LIST -j REJECT --reject-with icmp-admin-prohibited
-6 -A ACR-ALLOW-LIST -j REJECT --reject-with icmp6-adm-prohibited
COMMIT";
