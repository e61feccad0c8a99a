//! A whole `squid.conf`: squid enforces the list by itself.

use ringfence_config::guard;

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "squid.conf",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client, Setting::Listen],
    needs: &[],
    limits: "",
    notes: &[
        "Squid compares the name that a client asks for with CONNECT. It doesn't look into the tunnel, so a client \
         may send another server name (SNI) there, and it doesn't vet the addresses that a name resolves to: \
         ringfence does both.",
        "A name with a trailing dot passes like the name itself.",
    ],
    apply: "\
squid -k parse -f squid.conf
install -m 644 squid.conf /etc/squid/squid.conf
squid -k reconfigure",
    validator: "`squid -k parse`, and CONNECT requests to a running squid",
    sources: &["http://www.squid-cache.org/Doc/config/acl/"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    let listen =
        sheet.options.listen.map_or_else(|| "3128".to_owned(), |listen| listen.to_string());
    text.line(format_args!("\nhttp_port {listen}\n"));

    for client in &sheet.options.clients {
        text.line(format_args!("acl clients src {client}"));
    }
    text.line("acl CONNECT method CONNECT");
    text.line("# Whatever else this file is made to allow: no storage.");
    for domain in guard::storage_domains() {
        text.line(format_args!("acl storage dstdomain -n .{domain}"));
    }

    let groups = sheet.groups();
    for group in &groups {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            // -n: or an address that a client asks for would be looked up backwards, and whoever owns it would
            // decide what it is called. No leading dot, which would add every name below.
            text.line(format_args!("acl {} dstdomain -n {}", group.name, host.name));
        }
        let ports: Vec<String> = group.ports.iter().map(|port| port.to_string()).collect();
        text.line(format_args!("acl {}_ports port {}", group.name, ports.join(" ")));
    }

    text.line("");
    let clients = if sheet.options.clients.is_empty() { "" } else { " clients" };
    for group in &groups {
        text.line(format_args!(
            "http_access allow CONNECT{clients} {name} {name}_ports",
            name = group.name
        ));
    }
    text.line("http_access deny all");
    Ok(text.into_string())
}
