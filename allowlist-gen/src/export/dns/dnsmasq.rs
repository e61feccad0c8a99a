//! Answers of dnsmasq.
//!
//! <https://thekelleys.org.uk/dnsmasq/docs/dnsmasq-man.html>

use std::collections::BTreeSet;

use ringfence_config::{HostPattern, Hostname};

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr.conf",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "",
    notes: &[
        "What is asked about these hosts is never asked of another server. In dnsmasq that holds for the names below \
         them, too: those that aren't on the list don't exist any more.",
        "All other names are asked for as before. If these are all the registries that clients may use, add \
         `local=/azurecr.io/`, and no other one exists.",
        "Questions for the name of an address are answered, too.",
    ],
    apply: "\
dnsmasq --test --conf-file=acr.conf
install -m 644 acr.conf /etc/dnsmasq.d/acr.conf
systemctl restart dnsmasq",
    validator: "`dnsmasq --test`, and questions to a running dnsmasq",
    sources: &["https://thekelleys.org.uk/dnsmasq/docs/dnsmasq-man.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    for group in sheet.groups() {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            // Or dnsmasq would ask others for the types of records that it doesn't have.
            text.line(format_args!("local=/{}/", host.name));
            for address in super::addresses(sheet, host)? {
                text.line(format_args!("host-record={},{address}", host.name));
            }
        }
    }
    let asked_for = asked_for_below(sheet);
    if !asked_for.is_empty() {
        text.line("\n# Below the hosts above, and asked for as before.");
    }
    for name in asked_for {
        text.line(format_args!("server=/{name}/#"));
    }
    Ok(text.into_string())
}

/// The hosts without addresses that are below hosts with some: what is said of those must not reach these.
fn asked_for_below<'a>(sheet: &'a Sheet<'_>) -> Vec<&'a str> {
    let pinned: BTreeSet<&str> = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    let unpinned = sheet.allowlist.entries().iter().filter(|entry| entry.addresses.is_empty());
    let names = unpinned.filter_map(|entry| match &entry.host {
        HostPattern::Exact(name) => Some(name),
        HostPattern::Wildcard(_) => None,
    });
    names
        .filter(|name| name.parents().any(|parent| pinned.contains(parent)))
        .map(Hostname::as_str)
        .collect()
}
