//! A `danted.conf` for the SOCKS server dante, but for the address that it connects from.

use ipnet::IpNet;

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "danted-rules.conf",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[Setting::Client, Setting::Listen],
    needs: &[],
    limits: "No number is published. For each request that no earlier rule fits, dante looks up the hosts of the rules.",
    notes: &[
        "Dante compares addresses, too: a client that asks for a listed host's address, or for another name that has \
         it, passes. Use it for registries behind private endpoints, whose addresses are theirs alone.",
        "`external`, the address or interface that dante connects from, is missing: dante refuses to start without, \
         and nobody else knows it. Put it in front.",
        "It doesn't look into what passes.",
        "A name with a trailing dot passes like the name itself.",
    ],
    apply: "\
{ echo 'external: eth0'; cat danted-rules.conf; } >danted.conf
danted -V -f danted.conf
install -m 644 danted.conf /etc/danted.conf
systemctl restart danted",
    validator: "`danted -V`, and SOCKS5 requests to a running danted",
    sources: &["https://www.inet.no/dante/doc/1.4.x/config/server.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    let (address, port) = match sheet.options.listen {
        Some(listen) => (listen.ip().to_string(), listen.port()),
        None => ("127.0.0.1".to_owned(), 1080),
    };
    text.line(format_args!("\ninternal: {address} port = {port}"));
    text.line(
        "clientmethod: none\nsocksmethod: none\nuser.unprivileged: nobody\nlogoutput: syslog\n",
    );

    // A rule has one client; who is none gets no further than these.
    let clients: Vec<String> = sheet.options.clients.iter().map(IpNet::to_string).collect();
    let everyone = ["0/0".to_owned()];
    let clients = if clients.is_empty() { &everyone[..] } else { &clients[..] };
    for client in clients {
        text.line(format_args!("client pass {{\n  from: {client} to: 0/0\n}}"));
    }
    text.line("client block {\n  from: 0/0 to: 0/0\n  log: connect\n}");

    for group in sheet.groups() {
        text.line(format_args!("\n# {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("# {}", host.remark()));
            for port in group.ports.iter() {
                text.line(format_args!(
                    "socks pass {{\n  from: 0/0 to: {} port = {port}\n  protocol: tcp\n  command: connect\n  log: \
                     connect disconnect error\n}}",
                    host.name
                ));
            }
        }
    }
    text.line("\nsocks block {\n  from: 0/0 to: 0/0\n  log: connect\n}");
    Ok(text.into_string())
}
