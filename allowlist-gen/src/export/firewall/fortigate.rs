//! Commands for a FortiGate: addresses by name, groups of them, and the policies that use them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use ringfence_config::Hostname;
use ringfence_config::address::Pin;

use crate::export::sheet::{Group, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::{HASH, id, joined, object_name, short};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-allowlist.fortios.conf",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Client],
    needs: &[],
    limits: "79 characters for the name of an address or a group, and 35 for that of a policy; longer ones are cut, \
             with a hash of the whole; 300 members a group here, and a larger one is split",
    notes: &[
        "The FortiGate has to ask the name server that its clients ask, or it allows other addresses than they find: \
         for private endpoints that means the private zone.",
        "The policies are written for any interface, without NAT, and go to the end of the table: say from where to \
         where, and move them before those that deny.",
        "When the file is run again, objects and groups change, and a policy of the same name is refused and stays \
         as it is. The group and the policy of a registry that left the list stay, too.",
        "The objects are those of IPv4: what a name resolves to in IPv6 isn't allowed. A host whose private addresses are \
         all IPv6 is an error.",
    ],
    apply: "\
# Asks for the password. Or upload it: System > Config Scripts.
ssh \"admin@$FIREWALL\" < acr-allowlist.fortios.conf",
    validator: "the schema of FortiOS in Fortinet's Ansible modules, and our own reader for references and lengths; no FortiGate runs here",
    sources: &[
        "https://docs.fortinet.com/document/fortigate/7.4.0/cli-reference/84620/config-firewall-address",
        "https://docs.fortinet.com/document/fortigate/7.0.11/administration-guide/651640",
    ],
};

/// Reasons aren't written: FortiOS takes a question mark for a question wherever it is typed.
pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let groups: Vec<Group<'_>> =
        sheet.groups().into_iter().flat_map(|group| group.parts(MOST_MEMBERS)).collect();
    has_ipv4(sheet)?;
    let clients = clients(sheet)?;
    let mut text = Text::new(sheet.header("# "));
    addresses(&mut text, sheet, &clients);
    address_groups(&mut text, sheet, &groups);
    services(&mut text, &groups);
    policies(&mut text, &groups, &clients);
    Ok(text.into_string())
}

/// Refuses a host that has no address of the family that is written.
fn has_ipv4(sheet: &Sheet<'_>) -> Result<(), Error> {
    let is_ipv6 = |pin: &Pin| matches!(pin.block(), IpNet::V6(_));
    for host in &sheet.hosts {
        if !host.addresses.is_empty() && host.addresses.iter().all(is_ipv6) {
            let why = "the policies are those of IPv4, and all its addresses are IPv6";
            return Err(sheet.unrepresentable(host.name.as_str(), why));
        }
    }
    Ok(())
}

/// The clients, by the name of their address.
fn clients(sheet: &Sheet<'_>) -> Result<BTreeMap<String, String>, Error> {
    let mut clients = BTreeMap::new();
    for client in &sheet.options.clients {
        let IpNet::V4(block) = client else {
            let why = "policies for addresses of IPv6 would need IPv6 addresses of the hosts, too";
            return Err(sheet.unsuitable(Setting::Client, why));
        };
        // No host has an underscore in its name.
        let name = format!("acr_client_{}_{}", block.network(), block.prefix_len());
        clients.insert(name, format!("{} {}", block.network(), block.netmask()));
    }
    Ok(clients)
}

fn addresses(text: &mut Text, sheet: &Sheet<'_>, clients: &BTreeMap<String, String>) {
    text.line("\nconfig firewall address");
    for (name, subnet) in clients {
        text.line(format_args!("    edit \"{name}\""));
        text.line("        set type ipmask");
        text.line(format_args!("        set subnet {subnet}"));
        text.line("    next");
    }
    for host in &sheet.hosts {
        text.line(format_args!("    edit \"{}\"", address_name(&host.name)));
        text.line("        set type fqdn");
        text.line(format_args!("        set fqdn \"{}\"", host.name));
        text.line("    next");
    }
    text.line("end");
}

fn address_groups(text: &mut Text, sheet: &Sheet<'_>, groups: &[Group<'_>]) {
    text.line("\nconfig firewall addrgrp");
    for group in groups {
        let members: Vec<String> =
            group.hosts.iter().map(|host| format!("\"{}\"", address_name(&host.name))).collect();
        text.line(format_args!("    edit \"{}\"", object_name(group, MOST_OF_NAME)));
        text.line(format_args!("        set member {}", members.join(" ")));
        text.line(format_args!("        set comment \"{}\"", sheet.origin()));
        text.line("    next");
    }
    text.line("end");
}

/// Services of our own: `HTTPS` is there from the start, but anyone can have changed it.
fn services(text: &mut Text, groups: &[Group<'_>]) {
    let services: BTreeMap<String, String> =
        groups.iter().map(|group| (service_name(group), joined(&group.ports, " "))).collect();
    text.line("\nconfig firewall service custom");
    for (name, ports) in services {
        text.line(format_args!("    edit \"{name}\""));
        text.line(format_args!("        set tcp-portrange {ports}"));
        text.line("    next");
    }
    text.line("end");
}

fn policies(text: &mut Text, groups: &[Group<'_>], clients: &BTreeMap<String, String>) {
    let sources: Vec<String> = clients.keys().map(|name| format!("\"{name}\"")).collect();
    let sources = if sources.is_empty() { "\"all\"".to_owned() } else { sources.join(" ") };
    text.line("\nconfig firewall policy");
    for group in groups {
        // 0 is the next free number.
        text.line("    edit 0");
        text.line(format_args!("        set name \"{}\"", object_name(group, MOST_OF_POLICY)));
        text.line("        set srcintf \"any\"");
        text.line("        set dstintf \"any\"");
        text.line(format_args!("        set srcaddr {sources}"));
        text.line(format_args!("        set dstaddr \"{}\"", object_name(group, MOST_OF_NAME)));
        text.line("        set schedule \"always\"");
        text.line(format_args!("        set service \"{}\"", service_name(group)));
        text.line("        set action accept");
        text.line("        set logtraffic all");
        text.line(format_args!("        set comments \"{}\"", group.describe()));
        text.line("    next");
    }
    text.line("end");
}

/// The object of a host is called what it is. A long name is cut, and has an underscore then, which no host has.
fn address_name(host: &Hostname) -> String {
    let host = host.as_str();
    if host.len() <= MOST_OF_NAME {
        return host.to_owned();
    }
    let hash = id(host).simple().to_string();
    format!("{}_{}", &host[..MOST_OF_NAME - HASH - 1], &hash[..HASH])
}

fn service_name(group: &Group<'_>) -> String {
    short(&format!("acr-tcp-{}", joined(&group.ports, "-")), MOST_OF_NAME).into_owned()
}

const MOST_MEMBERS: usize = 300;
const MOST_OF_NAME: usize = 79;
const MOST_OF_POLICY: usize = 35;
