//! Sets of addresses with ports, one for each family, for rules of the operator's own.

use super::{Family, targets};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allow.ipset",
    kind: Kind::Address,
    scope: Scope::PinnedPorts,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "1 048 576 elements in each set, as it is made: more is an error",
    notes: &[
        "The sets `acr-allow-v4` and `acr-allow-v6` are made, or exchanged for new ones in one step. One that has no \
         element is made, too, so that rules can name both.",
        "A set refuses nothing by itself: that takes rules, which say whose traffic is held to it.",
        "Sets and rules are gone after a restart, unless they are saved: Debian's packages ipset-persistent and \
         iptables-persistent restore at boot what `netfilter-persistent save` wrote.",
    ],
    apply: "\
(
  set -e
  ipset restore < acr-allow.ipset
  # For clients in 10.10.0.0/16 and fd00:10::/64: what they send elsewhere is refused.
  hold() {
    \"$@\" -C FORWARD $rule 2>/dev/null || \"$@\" -I FORWARD $rule
  }
  rule='-s 10.10.0.0/16 -m conntrack --ctdir ORIGINAL -m set ! --match-set acr-allow-v4 dst,dst -j REJECT'
  hold iptables
  rule='-s fd00:10::/64 -m conntrack --ctdir ORIGINAL -m set ! --match-set acr-allow-v6 dst,dst -j REJECT'
  hold ip6tables
)

# For after a restart (Debian, with the packages ipset-persistent and iptables-persistent):
#   netfilter-persistent save",
    validator: "`ipset restore`, and connections through a gateway that has loaded it",
    sources: &["https://ipset.netfilter.org/ipset.man.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut text = Text::new(sheet.header("# "));
    let (ipv4, ipv6): (Vec<_>, Vec<_>) =
        targets(sheet).into_iter().partition(|target| target.family() == Family::Ipv4);
    for (name, family, targets) in [("acr-allow-v4", "inet", ipv4), ("acr-allow-v6", "inet6", ipv6)]
    {
        sheet.at_most(CAPACITY, "addresses of a family", targets.len())?;
        let set = format!("hash:net,port family {family} maxelem {CAPACITY} comment -exist");
        // Elements are only ever added to a set, so what is no longer listed stays out of a new one.
        text.line(format_args!("\ncreate {name} {set}\ncreate {name}-new {set}\nflush {name}-new"));
        for target in targets {
            for remark in target.remarks() {
                text.line(format_args!("# {remark}"));
            }
            let (pin, port, label) = (target.pin, target.port, target.label());
            text.line(format_args!("add {name}-new {pin},tcp:{port} comment \"{label}\""));
        }
        text.line(format_args!("swap {name}-new {name}\ndestroy {name}-new"));
    }
    Ok(text.into_string())
}

/// The same for every list: a set can't be made again with another.
const CAPACITY: usize = 1 << 20;
