//! A whole bootstrap file for Envoy as a transparent proxy that goes by the server name in the ClientHello (SNI).

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::envoy::{self, Names, object};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

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
    let inspector = envoy::filter(
        "envoy.filters.listener.tls_inspector",
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        json!({}),
    );
    let filter_chain = object([
        ("name", "listed".into()),
        ("filter_chain_match", envoy::chain_match(sheet, &names)),
        ("filters", filters(sheet).into()),
    ]);
    let listener = object([
        ("name", "sni".into()),
        ("address", envoy::socket_address(listen)),
        ("per_connection_buffer_limit_bytes", envoy::BUFFER.into()),
        ("listener_filters_timeout", "5s".into()),
        ("listener_filters", vec![inspector].into()),
        ("access_log", vec![envoy::json_log(sheet, &FIELDS)].into()),
        ("filter_chains", vec![filter_chain].into()),
    ]);
    Ok(envoy::bootstrap(sheet, listener))
}

fn filters(sheet: &Sheet<'_>) -> Vec<Value> {
    let rbac = |name: &str, reason: &str, permission| {
        let rules = envoy::deny(reason, permission);
        let config = object([("stat_prefix", name.into()), ("rules", rules)]);
        envoy::filter(name, "envoy.extensions.filters.network.rbac.v3.RBAC", config)
    };
    let names = envoy::filter(
        "envoy.filters.network.sni_dynamic_forward_proxy",
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        json!({
            "port_value": 443,
            "save_upstream_address": true,
            "dns_cache_config": envoy::dns_cache(sheet),
        }),
    );
    let tcp_proxy = envoy::filter(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        json!({ "stat_prefix": "hosts", "cluster": envoy::CLUSTER }),
    );
    vec![
        rbac("storage", "storage_forbidden", envoy::storage(sheet, Names::Sni)),
        names,
        rbac("addresses", "address_forbidden", envoy::addresses(sheet, Names::Sni)),
        tcp_proxy,
    ]
}

const FIELDS: [(&str, &str); 2] =
    [("sni", "%REQUESTED_SERVER_NAME%"), ("reason", "%CONNECTION_TERMINATION_DETAILS%")];
