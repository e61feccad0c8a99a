//! A whole `haproxy.cfg`: a transparent proxy that goes by the server name in the ClientHello (SNI).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use ringfence_config::{Hostname, address, guard};

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "haproxy.cfg",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[Setting::Client, Setting::Listen, Setting::Resolver],
    needs: &[Setting::Resolver],
    limits: "None of HAProxy's own. It read a file of 2000 hosts in half a second, and one of 100 000 not within a \
             minute.",
    notes: &[
        "HAProxy 2.6 or newer. Send the clients' connections to port 443 here, by a redirect or by what DNS tells \
         them; the name server given here must know the hosts' real addresses.",
        "HAProxy reads the server name (SNI) of the ClientHello, in any case, resolves it itself and connects to port \
         443 there. What has no server name, isn't TLS, or ends its name with a dot is closed. A second ClientHello \
         isn't looked at; ringfence does that.",
        "It connects only to a public address, or to a private one that is pinned for that host.",
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand.",
        "Each connection has a line of JSON on stdout, in which the fields that ringfence also has carry the same \
         names; `-` is what wasn't known, and `rule` is the access list that fits.",
    ],
    apply: "\
haproxy -c -f haproxy.cfg
install -m 644 haproxy.cfg /etc/haproxy/haproxy.cfg
systemctl reload haproxy",
    validator: "`haproxy -c`, and ClientHellos to a running HAProxy",
    sources: &["https://docs.haproxy.org/2.6/configuration.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let resolver = sheet.resolver()?;
    let listen = sheet.options.listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 443)));
    let mut text = Text::new(sheet.header("# "));
    text.line(format_args!(
        "
global
    user haproxy
    group haproxy
    log stdout format raw daemon info

defaults
    mode tcp
    log global
    timeout connect 10s
    timeout client 10m
    timeout server 10m

resolvers names
    nameserver given {resolver}
    accepted_payload_size 4096
    timeout resolve 1s
    timeout retry 1s

frontend sni
    bind {listen}
    log-format '{format}'
    tcp-request connection set-var(sess.time) date,utime(%Y-%m-%dT%H:%M:%SZ)
    tcp-request inspect-delay 5s",
        format = log_format(sheet),
    ));
    clients(&mut text, sheet);
    text.line("");
    refuse(&mut text, "sni_missing", "!{ req.ssl_sni -m found }");
    text.line("    # HAProxy compares texts up to a NUL, after which another name could stand.");
    refuse(&mut text, "sni_invalid", "{ req.ssl_sni,hex -m sub 00 }");
    text.line("    tcp-request content set-var(txn.sni) req.ssl_sni,lower");
    storage(&mut text, sheet);
    hosts(&mut text, sheet);
    text.line("\n    tcp-request content do-resolve(txn.address,names,ipv4) var(txn.sni)");
    refuse(&mut text, "dns_failed", "!{ var(txn.address) -m found }");
    addresses(&mut text, sheet);
    text.line(
        "
    tcp-request content accept
    default_backend hosts

backend hosts
    tcp-request content set-dst var(txn.address)
    tcp-request content set-dst-port int(443)
    server host 0.0.0.0:0",
    );
    Ok(text.into_string())
}

/// The log's line, in JSON: <https://docs.haproxy.org/2.6/configuration.html#8.2.4>.
fn log_format(sheet: &Sheet<'_>) -> String {
    // A server name may hold what JSON has to escape; nothing else here is the client's.
    let texts = [
        ("time", "%[var(sess.time)]"),
        ("id", "%rt"),
        ("client", "%ci:%cp"),
        ("sni", "%[var(txn.sni),json(utf8s)]"),
        ("rule", "%[var(txn.rule)]"),
        ("address", "%[var(txn.address)]"),
        ("reason", "%[var(txn.reason)]"),
        ("state", "%ts"),
    ];
    let texts = texts.map(|(name, value)| format!(r#""{name}":"{value}""#)).join(",");
    let hash = sheet.hash();
    format!(
        r#"{{{texts},"sent":%U,"received":%B,"ms":{{"connect":%Tc,"total":%Tt}},"allowlist":"{hash}"}}"#
    )
}

fn clients(text: &mut Text, sheet: &Sheet<'_>) {
    if sheet.options.clients.is_empty() {
        return;
    }
    acl(text, "clients", "src", &sheet.options.clients);
    refuse(text, "identity_missing", "!clients");
}

fn storage(text: &mut Text, sheet: &Sheet<'_>) {
    text.line("\n    # Whatever else this file is made to allow: no storage.");
    text.line("    tcp-request content set-var(txn.dotted) str(.),concat(,txn.sni),rtrim(.)");
    let domains: Vec<String> =
        guard::storage_domains().map(|domain| format!(".{domain}")).collect();
    acl(text, "storage", "var(txn.dotted) -m end", &domains);
    let own: Vec<&Hostname> =
        sheet.hosts.iter().filter(|host| host.is_account()).map(|host| &*host.name).collect();
    acl(text, "own", "var(txn.sni) -m str", &own);
    let condition = if own.is_empty() { "storage" } else { "storage !own" };
    refuse(text, "storage_forbidden", condition);
}

fn hosts(text: &mut Text, sheet: &Sheet<'_>) {
    for group in sheet.groups() {
        text.line(format_args!("\n    # {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("    # {}", host.remark()));
            text.line(format_args!("    acl {} var(txn.sni) -m str {}", group.name, host.name));
        }
        text.line(format_args!(
            "    tcp-request content set-var(txn.rule) str({name}) if {name}",
            name = group.name
        ));
    }
    text.line("");
    refuse(text, "not_in_policy", "!{ var(txn.rule) -m found }");
}

/// What isn't public is refused, but for what is pinned.
fn addresses(text: &mut Text, sheet: &Sheet<'_>) {
    text.line("");
    found_in(text, "forbidden", address::forbidden_blocks());
    found_in(text, "private", address::pinnable_blocks());
    for host in &sheet.hosts {
        for pins in host.addresses.chunks(VALUES) {
            text.line(format_args!(
                "    tcp-request content set-var(txn.pinned) bool(true) if {{ var(txn.sni) -m str {} }} \
                 {{ var(txn.address) -m ip {} }}",
                host.name,
                words(pins)
            ));
        }
    }
    refuse(text, "address_forbidden", "forbidden || private !{ var(txn.pinned) -m bool }");
}

/// Defines an access list that fits addresses in one of `blocks`.
fn found_in(text: &mut Text, name: &str, blocks: impl Iterator<Item = IpNet>) {
    // HAProxy looks for an IPv4 address among the IPv6 blocks, too, in its mapped form.
    let (around, others): (Vec<IpNet>, Vec<IpNet>) =
        blocks.partition(|block| block.contains(&IpAddr::V6(MAPPED)));
    acl(text, name, "var(txn.address) -m ip", &others);
    for block in around {
        let masked = format!("var(txn.address),ipmask(32,{}) -m str", block.prefix_len());
        acl(text, name, &masked, &[block.network()]);
    }
}

/// Defines an access list that fits if `sample` is matched by one of `values`.
fn acl(text: &mut Text, name: &str, sample: &str, values: &[impl ToString]) {
    for values in values.chunks(VALUES) {
        text.line(format_args!("    acl {name} {sample} {}", words(values)));
    }
}

fn words(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Ends what `condition` fits, and has the log say why.
fn refuse(text: &mut Text, reason: &str, condition: &str) {
    text.line(format_args!(
        "    tcp-request content set-var(txn.reason) str({reason}) if {condition}"
    ));
    text.line(format_args!("    tcp-request content reject if {condition}"));
}

/// How many values a line has. HAProxy reads 64 words and 2048 bytes of it, and a host may have 253:
/// <https://docs.haproxy.org/2.6/configuration.html#2.2>.
const VALUES: usize = 4;

/// The first of the IPv6 addresses that stand for an IPv4 one (RFC 4291, section 2.5.5.2).
const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_in_no_block_of_the_other_family() {
        let blocks = ["10.0.0.0/8", "::/3", "fc00::/7"];
        let mut text = Text::default();
        found_in(
            &mut text,
            "private",
            blocks.map(|block| block.parse().expect("a block")).into_iter(),
        );
        assert_eq!(
            text.into_string(),
            "    acl private var(txn.address) -m ip 10.0.0.0/8 fc00::/7\n    \
             acl private var(txn.address),ipmask(32,3) -m str ::\n"
        );
    }
}
