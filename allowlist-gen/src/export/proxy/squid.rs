//! A whole `squid.conf`: squid enforces the list by itself.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};
use ringfence_config::{Port, Role, guard};

use crate::export::sheet::{Group, Sheet};
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
        "It replaces squid's whole configuration. The commands on its page keep the \
         one before in /etc/squid/squid.conf.before.",
        "Only CONNECT passes. Squid compares the name in it and doesn't look into the tunnel, so a client may send \
         another server name (SNI) there.",
        "Squid doesn't vet the addresses that a name resolves to: whoever answers its DNS questions decides where a \
         tunnel ends.",
        "A name with a trailing dot passes like the name itself.",
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand: by names in its \
         `hosts` lists, or by rules below the one that refuses storage. `accounts` and rules above that one let pass \
         what they say.",
        "The access log has a JSON object a line, written when a tunnel ends. What isn't known is `-` or 0, and what \
         isn't plain ASCII is %-encoded.",
        "Of the log's fields, `time`, `client`, `host`, `port`, `address`, `sent`, `received` and `ms` have the names \
         of ringfence's, but `time` is of the end, `client` has no port, `ms` is the total alone, and bytes are \
         counted with the heads of request and response.",
        "`client_port`, `method`, `status`, `result` and `error` are squid's own: what the list refuses has the status \
         403 and the result TCP_DENIED. There is no `reason`, and no `allowlist`: the hash is in this file's header \
         alone.",
    ],
    apply: r"
squid -k parse -f squid.conf && \
  cp -a /etc/squid/squid.conf /etc/squid/squid.conf.before && \
  install -m 644 squid.conf /etc/squid/squid.conf && \
  squid -k reconfigure",
    validator: "`squid -k parse`, and CONNECT requests to a running squid",
    sources: &[
        "http://www.squid-cache.org/Doc/config/acl/",
        "http://www.squid-cache.org/Doc/config/http_access/",
        "http://www.squid-cache.org/Doc/config/logformat/",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    let listen = sheet
        .options
        .listen
        .map_or_else(|| "127.0.0.1:3128".to_owned(), |listen| listen.to_string());
    text.line(format_args!("\nhttp_port {listen}\n"));
    for client in &sheet.options.clients {
        if crosses_families(client) {
            let why = "squid takes such a block for addresses of the other family, too; name narrower blocks";
            return Err(sheet.unsuitable(Setting::Client, why));
        }
        text.line(format_args!("acl clients src {client}"));
    }
    text.line("acl CONNECT method CONNECT");

    let groups = sheet.groups();
    let ports: BTreeSet<Port> = groups.iter().flat_map(|group| group.ports.iter()).collect();
    let mut accounts = Text::default();
    let mut others = Text::default();
    let clients = if sheet.options.clients.is_empty() { "" } else { " clients" };
    for port in ports {
        let kinds = list(&mut text, port, &groups);
        for (kind, rules) in [(HostKind::Account, &mut accounts), (HostKind::Other, &mut others)] {
            if kinds.contains(&kind) {
                let acl = kind.acl();
                rules.line(format_args!(
                    "http_access allow CONNECT{clients} {acl}_{port} port_{port}"
                ));
            }
        }
    }

    text.line("\n# Storage services of every cloud: where data would go.");
    // A leading dot: what is below them, too.
    let storage: Vec<String> =
        guard::storage_domains().map(|domain| format!(".{domain}")).collect();
    for domains in storage.chunks(4) {
        text.line(format_args!("acl storage dstdomain -n {}", domains.join(" ")));
    }
    text.line("\n# The first rule that fits decides. Whatever else is let in below: no storage.");
    text.line(accounts.into_string() + "http_access deny storage");
    text.line(others.into_string() + "http_access deny all");
    text.line(REST);
    Ok(text.into_string())
}

/// Whether a host is what the denial of storage would deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostKind {
    Account,
    Other,
}

impl HostKind {
    fn of(role: &Role) -> Self {
        match role {
            Role::StorageAccount => Self::Account,
            Role::Login(_) | Role::RegionalLogin(..) | Role::Data(..) | Role::Other => Self::Other,
        }
    }

    fn acl(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Other => "hosts",
        }
    }
}

/// Lists the hosts on `port`. There is one acl of a kind per port, however many registries there are: squid looks for
/// an acl by going through them all, and decides by going through the rules.
fn list(text: &mut Text, port: Port, groups: &[Group<'_>]) -> BTreeSet<HostKind> {
    let mut kinds = BTreeSet::new();
    text.line(format_args!("\nacl port_{port} port {port}"));
    for group in groups.iter().filter(|group| group.ports.iter().any(|other| other == port)) {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            let kind = HostKind::of(&host.role);
            kinds.insert(kind);
            text.line(format_args!("# {}", host.remark()));
            // -n: or an address that a client asks for would be looked up backwards, and whoever owns it would
            // decide what it is called. No leading dot, which would add every name below.
            text.line(format_args!("acl {}_{port} dstdomain -n {}", kind.acl(), host.name));
        }
    }
    kinds
}

/// How squid logs, and what else it is told. `#` encodes all that isn't plain ASCII: what a client asks for may be
/// no UTF-8 at all.
const REST: &str = r#"
logformat acr {"time":"%{%Y-%m-%dT%H:%M:%S}tg.%03tuZ","client":"%>a","client_port":"%>p","method":"%#>rm","host":"%#>rd","port":"%>rP","status":%>Hs,"result":"%Ss","error":"%err_code","address":"%<a","sent":%>st,"received":%<st,"ms":%tr}
access_log daemon:/var/log/squid/access.log acr

# Nothing is kept, and a parent proxy doesn't learn who the client is.
cache deny all
forwarded_for delete
httpd_suppress_version_string on
pinger_enable off"#;

/// Squid keeps IPv4 addresses as IPv6 ones, in `::ffff:0:0/96`, and takes a block of length 0 for all there are.
fn crosses_families(client: &IpNet) -> bool {
    let mapped = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96));
    client.prefix_len() == 0 || client.contains(&mapped) || mapped.contains(client)
}
