//! A Response Policy Zone: the resolver knows the listed hosts, and none else in the domains of registries.
//!
//! A wildcard in a zone doesn't match below a name that is there, nor does it match a name that only has others
//! below it (RFC 4592 §2.2.2, §3.3.1). So each listed host, and each domain between it and the registries' own, has
//! a line for itself and one for what is below.
//!
//! <https://datatracker.ietf.org/doc/html/draft-vixie-dnsop-dns-rpz-00>

use std::collections::BTreeSet;

use ringfence_config::{Hostname, endpoint};

use crate::export::sheet::{Host, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "acr.rpz",
    kind: Kind::Lookup,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "A host and the policy zone's own name are at most 253 characters together.",
    notes: &[
        "Only the domains of registries, of every cloud, are closed. All other names resolve as before, whether they \
         are on the list or not: storage, too.",
        "The DNS knows no ports, and a client that knows an address doesn't ask. A proxy or a firewall has to stand \
         behind this.",
        "A listed name also passes where it leads to, through Private Link for example. Asked for by itself, \
         `<registry>.privatelink.azurecr.io` is unknown: clients and forwarders must ask for the listed name.",
        "A name elsewhere that leads (CNAME) to a registry that isn't listed is stopped by BIND and PowerDNS. Unbound \
         1.17 answers it from its cache when it is asked again.",
        "Clients must have no other resolver. BIND needs two options: without `qname-wait-recurse no` it asks the \
         outside before it refuses, and without `break-dnssec yes` it spares signed answers.",
        super::SERIAL_NOTE,
    ],
    apply: r#"
# BIND. Once, in named.conf; the first time, `rndc reconfig` stands in the place of `rndc reload`:
#   # inside options { … }:
#   response-policy { zone "acr.rpz"; } qname-wait-recurse no break-dnssec yes;
#   # outside:
#   zone "acr.rpz" { type primary; file "/etc/bind/acr.rpz"; allow-query { none; }; };
named-checkzone acr.rpz acr.rpz && \
  install -m 644 acr.rpz /etc/bind/acr.rpz && \
  rndc reload acr.rpz

# Or Unbound. Once, in unbound.conf; the first time, `unbound-control reload` instead of the last command:
#   server:
#     module-config: "respip validator iterator"
#   rpz:
#     name: "acr.rpz"
#     zonefile: "/etc/unbound/acr.rpz"
# named-checkzone acr.rpz acr.rpz && \
#   install -m 644 acr.rpz /etc/unbound/acr.rpz && \
#   unbound-control auth_zone_reload acr.rpz

# Or PowerDNS Recursor. Once, in the file that lua-config-file names:
#   rpzFile("/etc/powerdns/acr.rpz", { policyName = "acr.rpz" })
# named-checkzone acr.rpz acr.rpz && \
#   install -m 644 acr.rpz /etc/powerdns/acr.rpz && \
#   rec_control reload-lua-config"#,
    validator: "`named-checkzone`, `kzonecheck`, and questions to a running BIND, Unbound and PowerDNS Recursor",
    sources: &[
        "https://datatracker.ietf.org/doc/html/draft-vixie-dnsop-dns-rpz-00",
        "https://bind9.readthedocs.io/en/stable/reference.html#namedconf-statement-response-policy",
        "https://unbound.docs.nlnetlabs.nl/en/latest/topics/filtering/rpz.html",
        "https://doc.powerdns.com/recursor/lua-config/rpz.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(format!("{}\n", sheet.header("; ")));
    text.line(super::start_of_authority(super::serial(sheet)).trim_end());
    let mut closed: BTreeSet<&str> = endpoint::domains().collect();
    for group in sheet.groups() {
        text.line(format_args!("\n; {}", group.describe()));
        for host in &group.hosts {
            check(sheet, host)?;
            text.line(format_args!("; {}", host.remark()));
            text.line(format_args!("{} CNAME rpz-passthru.", host.name));
        }
    }

    text.line("\n; Nothing is below the hosts of a registry.");
    for host in &sheet.hosts {
        let parents = parents(&host.name);
        if !parents.is_empty() {
            text.line(format_args!("*.{} CNAME .", host.name));
        }
        closed.extend(parents);
    }
    // Nobody can list a domain of registries, or what is between it and its regions: they are no hosts.
    text.line("\n; Other registries.");
    for domain in closed {
        text.line(format_args!("{domain} CNAME .\n*.{domain} CNAME ."));
    }
    Ok(text.into_string())
}

fn check(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<(), Error> {
    let name = host.name.as_str();
    if name.len() + ".".len() + ZONE.len() > LONGEST_NAME {
        let why = "with the policy zone's name behind it, it is longer than a name may be";
        return Err(sheet.unrepresentable(name, why));
    }
    if name.rsplit('.').next().is_some_and(|last| last.starts_with("rpz-")) {
        let why = "in a policy zone, what ends like this isn't a name but a kind of trigger";
        return Err(sheet.unrepresentable(name, why));
    }
    Ok(())
}

/// The domains above `host`, up to that of all registries; none if that isn't above it.
fn parents(host: &Hostname) -> Vec<&str> {
    let Some(domain) = endpoint::domains().find(|domain| host.is_below(domain)) else {
        return Vec::new();
    };
    host.parents().take_while(|parent| parent.len() >= domain.len()).collect()
}

/// What the policy zone is called in our examples.
const ZONE: &str = "acr.rpz";

/// As text, without the root's dot: <https://www.rfc-editor.org/rfc/rfc1035#section-3.1>.
const LONGEST_NAME: usize = 253;
