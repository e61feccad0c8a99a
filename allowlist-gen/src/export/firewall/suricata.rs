//! Rules for Suricata, inline: TLS to exactly the listed names passes.

use std::collections::BTreeSet;

use crate::export::address::clients_reach_all;
use crate::export::sheet::{Group, Host, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{id, joined};

pub(in crate::export) const ABOUT: About = About {
    file: "acr.rules",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: "",
    notes: &[
        "Rules that pass deny nothing: Suricata has to be inline, with rules that drop the rest, as the last two \
         lines here do without their comment marks, for all that clients send over TCP. What is no protocol that \
         Suricata knows gets past them, and so does QUIC: a packet filter has to keep clients to TCP and to the \
         ports on the list.",
        "Suricata believes the client what it says in the server name (SNI), whatever the address it talks to. Only \
         for hosts with private addresses on the list, the rule has these addresses, too.",
        "Suricata loads the file only if `rule-files` in its configuration names it. Debian's names \
         /var/lib/suricata/rules/suricata.rules alone, which is suricata-update's: where there is none, take it out, or the \
         last check fails.",
        "TLS without a server name matches no rule, and neither does a name with a trailing dot.",
    ],
    apply: "\
# Once, in /etc/suricata/suricata.yaml, as Debian's own list of files has no file in that folder:
#   rule-files:
#     - /etc/suricata/rules/acr.rules
suricata -T -S acr.rules -c /etc/suricata/suricata.yaml -l /tmp && \\
  install -D -m 644 acr.rules /etc/suricata/rules/acr.rules && \\
  suricata -T -c /etc/suricata/suricata.yaml -l /tmp && \\
  suricatasc -c reload-rules",
    validator: "`suricata -T`, and TLS hellos in a capture that Suricata reads as it would inline",
    sources: &[
        "https://docs.suricata.io/en/suricata-7.0.10/rules/tls-keywords.html#tls-sni",
        "https://docs.suricata.io/en/suricata-7.0.10/rules/intro.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    clients_reach_all(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    let source = match sheet.options.clients.as_slice() {
        [] => "$HOME_NET".to_owned(),
        clients => among(clients),
    };
    let mut sids = Sids::default();
    for group in &sheet.groups() {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            text.line(rule(group, host, &source, &mut sids));
        }
    }
    text.line("\n# What drops the rest:");
    // At the end of the hello, which may come in several packets: before, the name isn't known.
    for (protocol, option) in
        [("tls", "ssl_state:client_hello"), ("tcp", "app-layer-protocol:!tls")]
    {
        let sid = sids.next(protocol);
        text.line(format_args!(
            "# drop {protocol} {source} any -> any any (msg:\"acr: {protocol} that is not listed\"; \
             flow:to_server,established; {option}; sid:{sid}; rev:1;)"
        ));
    }
    Ok(text.into_string())
}

/// The rule that lets TLS to a host pass, from `source`: `startswith` and `endswith` make the name exact, `nocase`
/// makes it a name.
pub(super) fn rule(group: &Group<'_>, host: &Host<'_>, source: &str, sids: &mut Sids) -> String {
    let destination = if host.addresses.is_empty() { "any".into() } else { among(&host.addresses) };
    let ports = joined(&group.ports, ",");
    let ports = if ports.contains(',') { format!("[{ports}]") } else { ports };
    let (sid, group, host) = (sids.next(host.name.as_str()), &group.name, &host.name);
    format!(
        "pass tls {source} any -> {destination} {ports} (msg:\"{group}: {host}\"; \
         flow:to_server,established; tls.sni; content:\"{host}\"; startswith; endswith; nocase; sid:{sid}; rev:1;)"
    )
}

/// The numbers of the rules: each comes from the name that its rule is for, so that a rule keeps its number
/// whatever else is on the list.
#[derive(Debug, Default)]
pub(super) struct Sids(BTreeSet<u32>);

impl Sids {
    fn next(&mut self, name: &str) -> u32 {
        let wanted = u32::try_from(id(name).as_u128() % u128::from(LOCAL_SIDS)).unwrap_or_default();
        let free = (wanted..LOCAL_SIDS).chain(0..wanted).find(|sid| !self.0.contains(sid));
        let sid = free.expect("there are fewer hosts than numbers");
        self.0.insert(sid);
        FIRST_LOCAL_SID + sid
    }
}

fn among(blocks: &[impl ToString]) -> String {
    let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    format!("[{}]", blocks.join(","))
}

/// The range for rules of one's own: <https://docs.suricata.io/en/suricata-7.0.10/rules/meta.html#sid-signature-id>
const FIRST_LOCAL_SID: u32 = 1_000_000;
const LOCAL_SIDS: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_local_stable_and_never_twice_the_same() {
        let mut sids = Sids::default();
        let names: Vec<String> = (0..5_000).map(|n| format!("host{n}.example")).collect();
        let all: BTreeSet<u32> = names.iter().map(|name| sids.next(name)).collect();
        assert_eq!(all.len(), names.len());
        assert!(all.iter().all(|sid| (1_000_000..2_000_000).contains(sid)));
        assert_eq!(Sids::default().next("host7.example"), Sids::default().next("host7.example"));
    }
}
