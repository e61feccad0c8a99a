//! A whole bootstrap file for Envoy as a transparent proxy that goes by the server name in the ClientHello (SNI).

use std::net::SocketAddr;

use ringfence_config::Port;

use super::envoy;
use super::node::object;
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "envoy-sni.yaml",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[Setting::Client, Setting::Listen, Setting::Resolver],
    needs: &[],
    limits: "",
    notes: &[
        "Send the clients' connections to port 443 here, by a redirect or by what DNS tells them; Envoy itself must \
         find the hosts' real addresses. It reads /etc/hosts before it asks a name server.",
        "Envoy reads the server name (SNI) of the ClientHello, in any case, resolves it itself and connects to port \
         443 there. What has no server name, isn't TLS, or ends its name with a dot is closed. A second ClientHello \
         isn't looked at; ringfence does that.",
        envoy::VETTING,
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand. That, and a \
         forbidden address, ends the connection to the host before a byte is sent on it.",
        "Each connection has a line of JSON on stdout, at most ten seconds late (`--file-flush-interval-msec`), in \
         which the fields that ringfence also has carry the same names; the flag NR says that no listed name or no client fits.",
        "Envoy's documentation calls its SNI proxy alpha.",
    ],
    apply: "\
envoy --mode validate --config-path envoy-sni.yaml
envoy --config-path envoy-sni.yaml",
    validator: "`envoy --mode validate`, and ClientHellos to a running Envoy",
    sources: &[
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/network_filters/\
         sni_dynamic_forward_proxy_filter",
        "https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    // Without names, the chain of filters would be for every connection.
    sheet.not_empty()?;
    let listen = sheet.options.listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 443)));
    let names: Vec<&str> = sheet.hosts.iter().map(|host| host.name.as_str()).collect();
    let place = ("address", envoy::socket_address(listen).into());
    let chain_match = envoy::chain_match(&sheet.options.clients, &names);
    let listener = envoy::tls_listener(sheet, "sni", place, chain_match, Port::HTTPS);
    let resources = envoy::resources(vec![listener], vec![envoy::cluster(sheet)]);
    let document = object([("static_resources", resources)]);
    Ok(format!("{}\n{}", sheet.header("# "), quote::yaml(&document)))
}
