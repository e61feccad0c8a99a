//! A whole bootstrap file for Envoy as a forward proxy for CONNECT, and what it shares with the one that goes by SNI.
//!
//! Walls, one behind the other: virtual hosts for exactly the listed `host:port`; a second listener that looks for a
//! listed server name (SNI) in the tunnel; filters that refuse storage, whatever else the file is made to allow, and
//! addresses that aren't public or pinned.

use std::collections::BTreeSet;
use std::iter;
use std::net::SocketAddr;

use ipnet::IpNet;
use ringfence_config::{Port, address, guard};
use serde_json::{Map, Value, json};

use crate::export::sheet::{Host, Sheet};
use crate::export::{About, Error, Kind, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "envoy.yaml",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Client, Setting::Listen, Setting::Resolver],
    needs: &[],
    limits: "",
    notes: &[
        "Envoy compares the `host:port` of CONNECT, in any case; the trailing-dot form, another port and an address \
         are refused. Then it looks into the tunnel for a ClientHello whose server name (SNI) is on the list with \
         that port, and connects to where it finds that name: what begins otherwise is closed, but the name may be \
         another listed one. A second ClientHello isn't looked at. ringfence checks both.",
        VETTING,
        "It reads /etc/hosts before it asks a name server.",
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand. In the tunnel, \
         that, and a forbidden address, ends the connection to the host before a byte is sent on it.",
        "Each request has a line of JSON on stdout, and each tunnel another, at most ten seconds late \
         (`--file-flush-interval-msec`). The fields that ringfence also has carry the same names; `rule` is \
         `not_in_policy` for what isn't listed, and the flag NR says that no client or no server name fits.",
    ],
    apply: r"
envoy --mode validate --config-path envoy.yaml && \
  envoy --config-path envoy.yaml",
    validator: "`envoy --mode validate`, and CONNECT requests to a running Envoy with ClientHellos in them",
    sources: &[
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/network_filters/\
         sni_dynamic_forward_proxy_filter",
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/other_features/internal_listener",
        "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/upgrades",
        "https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/rbac/matchers/upstream_ip_port/v3/\
         upstream_ip_port_matcher.proto",
    ],
};

/// What Envoy does about addresses, either way.
pub(super) const VETTING: &str = "\
    The first address that a name resolves to must be public, or private and pinned for that host. If it can't be \
    reached, Envoy tries the name's other addresses, and those it doesn't check; ringfence checks each.";

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let listen = sheet.options.listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 3128)));
    let connect = object([
        ("name", "connect".into()),
        ("address", socket_address(listen)),
        ("per_connection_buffer_limit_bytes", BUFFER.into()),
        ("access_log", vec![refused_clients(sheet)].into()),
        ("filter_chains", vec![filter_chain(sheet)].into()),
    ]);
    let ports: BTreeSet<Port> = sheet.hosts.iter().flat_map(|host| host.ports.iter()).collect();
    let inside = ports.iter().map(|port| tunnel_listener(sheet, *port));
    let listeners = iter::once(connect).chain(inside).collect();
    let mut clusters = vec![cluster(sheet)];
    clusters.extend(ports.iter().map(|port| tunnel_cluster(*port)));
    let internal = filter(
        "envoy.bootstrap.internal_listener",
        "envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
        json!({}),
    );
    let document = object([
        ("bootstrap_extensions", vec![internal].into()),
        ("static_resources", resources(listeners, clusters)),
    ]);
    Ok(format!("{}\n{}", sheet.header("# "), quote::yaml(&document)))
}

/// Looks into the tunnels to a port: what was asked for with CONNECT is one thing, and what the client says there
/// another. It has no address, and only the cluster of the same name leads to it.
fn tunnel_listener(sheet: &Sheet<'_>, port: Port) -> Value {
    let hosts = sheet.hosts.iter().filter(|host| host.ports.contains(port));
    let names: Vec<&str> = hosts.map(|host| host.name.as_str()).collect();
    let place = ("internal_listener", json!({}));
    tls_listener(sheet, &tunnels_to(port), place, chain_match(&[], &names), port)
}

fn tunnel_cluster(port: Port) -> Value {
    let name = tunnels_to(port);
    let address = json!({ "envoy_internal_address": { "server_listener_name": name } });
    json!({
        "name": name,
        "circuit_breakers": circuit_breakers(),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn tunnels_to(port: Port) -> String {
    format!("tls-{port}")
}

/// A listener for TLS that `chain_match` fits, which it carries to `port` of the server name that the client says.
pub(super) fn tls_listener(
    sheet: &Sheet<'_>,
    name: &str,
    place: (&str, Value),
    chain_match: Value,
    port: Port,
) -> Value {
    let inspector = filter(
        "envoy.filters.listener.tls_inspector",
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        json!({}),
    );
    let filter_chain = object([
        ("name", "listed".into()),
        ("filter_chain_match", chain_match),
        ("filters", tls_filters(sheet, port).into()),
    ]);
    object([
        ("name", name.into()),
        place,
        ("per_connection_buffer_limit_bytes", BUFFER.into()),
        ("listener_filters_timeout", "5s".into()),
        ("listener_filters", vec![inspector].into()),
        ("access_log", vec![json_log(sheet, name, &TLS_FIELDS)].into()),
        ("filter_chains", vec![filter_chain].into()),
    ])
}

fn tls_filters(sheet: &Sheet<'_>, port: Port) -> Vec<Value> {
    let rbac = |name: &str, reason: &str, permission| {
        let config = object([("stat_prefix", name.into()), ("rules", deny(reason, permission))]);
        filter(name, "envoy.extensions.filters.network.rbac.v3.RBAC", config)
    };
    let names = filter(
        "envoy.filters.network.sni_dynamic_forward_proxy",
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        json!({
            "port_value": port.number(),
            "save_upstream_address": true,
            "dns_cache_config": dns_cache(sheet),
        }),
    );
    let tcp_proxy = filter(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        json!({ "stat_prefix": CLUSTER, "cluster": CLUSTER }),
    );
    vec![
        rbac("storage", "storage_forbidden", storage(sheet, Names::Sni)),
        names,
        rbac("addresses", "address_forbidden", addresses(sheet)),
        tcp_proxy,
    ]
}

pub(super) fn resources(listeners: Vec<Value>, clusters: Vec<Value>) -> Value {
    object([("listeners", listeners.into()), ("clusters", clusters.into())])
}

fn filter_chain(sheet: &Sheet<'_>) -> Value {
    let router = "envoy.extensions.filters.http.router.v3.Router";
    let http_filters = vec![
        http_rbac("storage", "storage_forbidden", storage(sheet, Names::Authority)),
        filter("envoy.filters.http.router", router, json!({})),
    ];
    let manager = object([
        ("stat_prefix", "connect".into()),
        ("codec_type", "HTTP1".into()),
        // Or a header of the client's would say who it is.
        ("use_remote_address", true.into()),
        ("request_headers_timeout", "10s".into()),
        ("access_log", vec![json_log(sheet, "connect", &REQUEST_FIELDS)].into()),
        ("http_filters", http_filters.into()),
        ("route_config", object([("virtual_hosts", virtual_hosts(sheet).into())])),
    ]);
    let manager = filter(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    object([
        ("name", "clients".into()),
        ("filter_chain_match", chain_match(&sheet.options.clients, &[])),
        ("filters", vec![manager].into()),
    ])
}

/// One for each port of a registry, with its hosts; the last one is for everything else.
fn virtual_hosts(sheet: &Sheet<'_>) -> Vec<Value> {
    let mut virtual_hosts = Vec::new();
    for group in sheet.groups() {
        for port in group.ports.iter() {
            let domains: Vec<String> =
                group.hosts.iter().map(|host| authority(host, port)).collect();
            let routes = json!([{
                "name": group.name,
                "match": { "connect_matcher": {} },
                "route": {
                    "cluster": tunnels_to(port),
                    // Of a whole request, which a tunnel is.
                    "timeout": "0s",
                    "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }],
                },
            }]);
            virtual_hosts.push(object([
                ("name", format!("{}:{port}", group.name).into()),
                ("domains", domains.into()),
                ("routes", routes),
            ]));
        }
    }
    let refusal =
        |status: u16, body: &str| json!({ "status": status, "body": { "inline_string": body } });
    virtual_hosts.push(json!({
        "name": "not_in_policy",
        "domains": ["*"],
        "routes": [
            {
                "name": "not_in_policy",
                "match": { "connect_matcher": {} },
                "direct_response": refusal(403, "the host and port are not on the allowlist\n"),
            },
            {
                "name": "method_not_allowed",
                "match": { "prefix": "/" },
                "direct_response": refusal(405, "only CONNECT is served here\n"),
            },
        ],
    }));
    virtual_hosts
}

/// `host:port`, as a client writes it.
fn authority(host: &Host<'_>, port: Port) -> String {
    format!("{}:{port}", host.name)
}

/// By what a filter recognises a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The target of CONNECT, with its port.
    Authority,
    /// The server name in the ClientHello, which Envoy has in lower case.
    Sni,
}

impl Names {
    /// Permissions, one of which fits `host`.
    fn of(self, host: &Host<'_>) -> Vec<Value> {
        match self {
            Self::Authority => host
                .ports
                .iter()
                .map(|port| {
                    let is = json!({ "exact": authority(host, port), "ignore_case": true });
                    json!({ "header": { "name": ":authority", "string_match": is } })
                })
                .collect(),
            Self::Sni => vec![json!({ "requested_server_name": { "exact": host.name.as_str() } })],
        }
    }

    /// A permission that fits `domain` and all below, on any port.
    fn below(self, domain: &str) -> Value {
        let domain = domain.replace('.', "\\.");
        match self {
            Self::Authority => {
                let regex = format!("(?i)(.*\\.)?{domain}\\.?(:.*)?");
                json!({ "header": { "name": ":authority", "string_match": { "safe_regex": { "regex": regex } } } })
            }
            Self::Sni => {
                let regex = format!("(.*\\.)?{domain}\\.?");
                json!({ "requested_server_name": { "safe_regex": { "regex": regex } } })
            }
        }
    }
}

/// Fits storage of any cloud, but for listed accounts.
fn storage(sheet: &Sheet<'_>, names: Names) -> Value {
    let domains: Vec<Value> = guard::storage_domains().map(|domain| names.below(domain)).collect();
    let own = sheet
        .hosts
        .iter()
        .filter(|host| is_below_storage(host))
        .flat_map(|host| names.of(host))
        .collect();
    but_for(any_of(domains), own)
}

/// Whether a storage domain is above `host`: then it is an account that the list admits.
pub(super) fn is_below_storage(host: &Host<'_>) -> bool {
    guard::storage_domains()
        .any(|domain| host.name.as_str() == domain || host.name.is_below(domain))
}

/// Fits connections whose host was found at an address that it may not have.
fn addresses(sheet: &Sheet<'_>) -> Value {
    let pins: Vec<Value> = sheet
        .hosts
        .iter()
        .filter(|host| !host.addresses.is_empty())
        .map(|host| {
            let pins = host.addresses.iter().map(|pin| found_at(pin.block())).collect();
            all_of(vec![any_of(Names::Sni.of(host)), any_of(pins)])
        })
        .collect();
    let forbidden = address::forbidden_blocks().map(found_at).collect();
    let private = any_of(address::pinnable_blocks().map(found_at).collect());
    any_of(vec![any_of(forbidden), but_for(private, pins)])
}

fn found_at(block: IpNet) -> Value {
    let matcher = filter(
        "envoy.rbac.matchers.upstream_ip_port",
        "envoy.extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
        object([("upstream_ip", cidr(block))]),
    );
    object([("matcher", matcher)])
}

/// Fits what one of `rules`, of which there is one, fits.
fn any_of(rules: Vec<Value>) -> Value {
    combine("or_rules", rules)
}

/// Fits what each of `rules` fits.
fn all_of(rules: Vec<Value>) -> Value {
    combine("and_rules", rules)
}

fn combine(how: &str, mut rules: Vec<Value>) -> Value {
    match rules.len() {
        1 => rules.remove(0),
        _ => object([(how, object([("rules", rules.into())]))]),
    }
}

/// `rule`, unless one of `exceptions` fits.
fn but_for(rule: Value, exceptions: Vec<Value>) -> Value {
    if exceptions.is_empty() {
        rule
    } else {
        all_of(vec![rule, object([("not_rule", any_of(exceptions))])])
    }
}

/// A filter that refuses what `permission` fits, and calls that `reason` in the log.
fn http_rbac(name: &str, reason: &str, permission: Value) -> Value {
    let config = object([("rules", deny(reason, permission))]);
    filter(name, "envoy.extensions.filters.http.rbac.v3.RBAC", config)
}

/// The rules of such a filter.
fn deny(reason: &str, permission: Value) -> Value {
    let policy = object([
        ("permissions", vec![permission].into()),
        ("principals", json!([{ "any": true }])),
    ]);
    object([("action", "DENY".into()), ("policies", object([(reason, policy)]))])
}

/// What `json!` would make, without a copy of each value: some hold a hundred thousand hosts.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The cluster that the names are in, once they are found.
pub(super) fn cluster(sheet: &Sheet<'_>) -> Value {
    json!({
        "name": CLUSTER,
        "connect_timeout": "10s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": circuit_breakers(),
        "cluster_type": filter(
            "envoy.clusters.dynamic_forward_proxy",
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            json!({ "dns_cache_config": dns_cache(sheet) }),
        ),
    })
}

/// Envoy's own limit is 1024 of each.
fn circuit_breakers() -> Value {
    json!({ "thresholds": [{
        "max_connections": TUNNELS, "max_pending_requests": TUNNELS, "max_requests": TUNNELS,
    }] })
}

/// How names are found. Envoy wants it the same in each place.
fn dns_cache(sheet: &Sheet<'_>) -> Value {
    let mut resolver = json!({
        // A listed name is a whole one.
        "dns_resolver_options": { "no_default_search_domain": true },
    });
    if let Some(server) = sheet.options.resolver {
        resolver["resolvers"] = json!([socket_address(server)]);
    }
    let targets: usize = sheet.hosts.iter().map(|host| host.ports.iter().count()).sum();
    json!({
        "name": CLUSTER,
        "dns_lookup_family": "V4_PREFERRED",
        // Envoy's own limit is 1024.
        "max_hosts": 1024 + targets,
        "typed_dns_resolver_config": filter(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            resolver,
        ),
    })
}

/// Which connections a chain of filters is for: those of the clients, and of TLS those with one of these names.
pub(super) fn chain_match(clients: &[IpNet], server_names: &[&str]) -> Value {
    let mut chain = Map::new();
    if !server_names.is_empty() {
        chain.insert("transport_protocol".into(), "tls".into());
        chain.insert("server_names".into(), server_names.into());
    }
    if !clients.is_empty() {
        let clients: BTreeSet<IpNet> = clients.iter().map(IpNet::trunc).collect();
        let clients = clients.into_iter().map(cidr).collect();
        chain.insert("source_prefix_ranges".into(), Value::Array(clients));
    }
    Value::Object(chain)
}

/// A log of connections that no chain of filters is for.
fn refused_clients(sheet: &Sheet<'_>) -> Value {
    let mut log = json_log(sheet, "connect", &[]);
    log["filter"] = json!({ "response_flag_filter": { "flags": ["NR"] } });
    log
}

/// A log in the words of ringfence's: of each connection to a listener, and these fields of it beside.
fn json_log(sheet: &Sheet<'_>, listener: &str, fields: &[(&str, &str)]) -> Value {
    let mut format = Map::new();
    for (name, value) in CONNECTION_FIELDS.iter().chain(fields) {
        format.insert((*name).to_owned(), (*value).into());
    }
    format.insert("listener".into(), listener.into());
    format.insert("ms".into(), json!({ "total": "%DURATION%" }));
    format.insert("allowlist".into(), sheet.allowlist.hash().into());
    filter(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        json!({ "log_format": { "json_format": format, "omit_empty_values": true } }),
    )
}

/// An extension of Envoy's with its configuration, whose type it is known by.
fn filter(name: &str, kind: &str, config: Value) -> Value {
    let mut typed = Map::new();
    typed.insert("@type".into(), format!("type.googleapis.com/{kind}").into());
    if let Value::Object(config) = config {
        typed.extend(config);
    }
    object([("name", name.into()), ("typed_config", typed.into())])
}

pub(super) fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn cidr(block: IpNet) -> Value {
    json!({ "address_prefix": block.network().to_string(), "prefix_len": block.prefix_len() })
}

const CLUSTER: &str = "hosts";
const BUFFER: u32 = 32_768;
const TUNNELS: u32 = 10_000;

/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>
const CONNECTION_FIELDS: [(&str, &str); 8] = [
    ("time", "%START_TIME%"),
    ("id", "%CONNECTION_ID%"),
    ("client", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("detail", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("address", "%UPSTREAM_REMOTE_ADDRESS%"),
    ("sent", "%BYTES_RECEIVED%"),
    ("received", "%BYTES_SENT%"),
];
const REQUEST_FIELDS: [(&str, &str); 5] = [
    ("method", "%REQ(:METHOD)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("rule", "%ROUTE_NAME%"),
    ("status", "%RESPONSE_CODE%"),
    ("reason", "%RESPONSE_CODE_DETAILS%"),
];
const TLS_FIELDS: [(&str, &str); 2] =
    [("sni", "%REQUESTED_SERVER_NAME%"), ("reason", "%CONNECTION_TERMINATION_DETAILS%")];
