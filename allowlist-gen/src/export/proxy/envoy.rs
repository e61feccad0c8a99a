//! A whole bootstrap file for Envoy as a forward proxy for CONNECT, and what it shares with the one that goes by SNI.
//!
//! Three walls, one behind the other: virtual hosts for exactly the listed `host:port`; a filter that refuses
//! storage, whatever else the file is made to allow; a filter that refuses addresses that aren't public or pinned.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use ringfence_config::{address, guard};
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
         are refused. It doesn't look into the tunnel: a client may send another server name (SNI) there, a second \
         ClientHello, or no TLS at all. Public registries share their front ends, so another name can be another \
         registry. ringfence checks that.",
        VETTING,
        "It reads /etc/hosts before it asks a name server.",
        "Storage domains are refused, but for listed accounts, even if the file is widened by hand.",
        "Each request has a line of JSON on stdout, at most ten seconds late (`--file-flush-interval-msec`), in \
         which the fields that ringfence also has carry the same names; `rule` is the virtual host, `not_in_policy` if none fits.",
    ],
    apply: "\
envoy --mode validate --config-path envoy.yaml
envoy --config-path envoy.yaml",
    validator: "`envoy --mode validate`, and CONNECT requests to a running Envoy",
    sources: &[
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/dynamic_forward_proxy_filter",
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
    let listener = object([
        ("name", "connect".into()),
        ("address", socket_address(listen)),
        ("per_connection_buffer_limit_bytes", BUFFER.into()),
        ("access_log", vec![refused_clients(sheet)].into()),
        ("filter_chains", vec![filter_chain(sheet)].into()),
    ]);
    Ok(bootstrap(sheet, listener))
}

/// The file of a proxy with this listener.
pub(super) fn bootstrap(sheet: &Sheet<'_>, listener: Value) -> String {
    let resources =
        object([("listeners", vec![listener].into()), ("clusters", vec![cluster(sheet)].into())]);
    let document = object([("static_resources", resources)]);
    format!("{}\n{}", sheet.header("# "), quote::yaml(&document))
}

fn filter_chain(sheet: &Sheet<'_>) -> Value {
    let names = filter(
        "envoy.filters.http.dynamic_forward_proxy",
        "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
        json!({ "save_upstream_address": true, "dns_cache_config": dns_cache(sheet) }),
    );
    let router = "envoy.extensions.filters.http.router.v3.Router";
    let http_filters = vec![
        http_rbac("storage", "storage_forbidden", storage(sheet, Names::Authority)),
        names,
        http_rbac("addresses", "address_forbidden", addresses(sheet, Names::Authority)),
        filter("envoy.filters.http.router", router, json!({})),
    ];
    let manager = object([
        ("stat_prefix", "connect".into()),
        ("codec_type", "HTTP1".into()),
        // Or a header of the client's would say who it is.
        ("use_remote_address", true.into()),
        ("request_headers_timeout", "10s".into()),
        ("access_log", vec![json_log(sheet, &REQUEST_FIELDS)].into()),
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
        ("filter_chain_match", chain_match(sheet, &[])),
        ("filters", vec![manager].into()),
    ])
}

/// One for each registry, with its hosts and ports; the last one is for everything else.
fn virtual_hosts(sheet: &Sheet<'_>) -> Vec<Value> {
    let mut virtual_hosts: Vec<Value> = sheet
        .groups()
        .iter()
        .map(|group| {
            let domains: Vec<String> = group.hosts.iter().flat_map(authorities).collect();
            let routes = json!([{
                "name": group.name,
                "match": { "connect_matcher": {} },
                "route": {
                    "cluster": CLUSTER,
                    // Of a whole request, which a tunnel is.
                    "timeout": "0s",
                    "upgrade_configs": [{ "upgrade_type": "CONNECT", "connect_config": {} }],
                },
            }]);
            object([
                ("name", group.name.as_str().into()),
                ("domains", domains.into()),
                ("routes", routes),
            ])
        })
        .collect();
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

/// `host:port`, as a client writes it, for each port.
fn authorities<'a>(host: &'a Host<'_>) -> impl Iterator<Item = String> + 'a {
    host.ports.iter().map(move |port| format!("{}:{port}", host.name))
}

/// By what a filter recognises a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The target of CONNECT, with its port.
    Authority,
    /// The server name in the ClientHello, which Envoy has in lower case.
    Sni,
}

impl Names {
    /// Permissions, one of which fits `host`.
    fn of(self, host: &Host<'_>) -> Vec<Value> {
        match self {
            Self::Authority => authorities(host)
                .map(|name| json!({ "header": { "name": ":authority", "string_match": { "exact": name, "ignore_case": true } } }))
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
pub(super) fn storage(sheet: &Sheet<'_>, names: Names) -> Value {
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

/// Fits requests whose host was found at an address that it may not have.
pub(super) fn addresses(sheet: &Sheet<'_>, names: Names) -> Value {
    let pins: Vec<Value> = sheet
        .hosts
        .iter()
        .filter(|host| !host.addresses.is_empty())
        .map(|host| {
            let pins = host.addresses.iter().map(|pin| found_at(pin.block())).collect();
            all_of(vec![any_of(names.of(host)), any_of(pins)])
        })
        .collect();
    let forbidden = any_of(address::forbidden_blocks().map(found_at).collect());
    let unpinned = but_for(any_of(address::pinnable_blocks().map(found_at).collect()), pins);
    let address = any_of(vec![forbidden, unpinned]);
    match names {
        // Other requests have no address, and each question for it would be a warning in the log.
        Names::Authority => {
            let connect =
                json!({ "header": { "name": ":method", "string_match": { "exact": "CONNECT" } } });
            all_of(vec![connect, address])
        }
        Names::Sni => address,
    }
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
pub(super) fn deny(reason: &str, permission: Value) -> Value {
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
        // Envoy's own limit is 1024.
        "circuit_breakers": { "thresholds": [{
            "max_connections": TUNNELS, "max_pending_requests": TUNNELS, "max_requests": TUNNELS,
        }] },
        "cluster_type": filter(
            "envoy.clusters.dynamic_forward_proxy",
            "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            json!({ "dns_cache_config": dns_cache(sheet) }),
        ),
    })
}

/// How names are found. Envoy wants it the same in each place.
pub(super) fn dns_cache(sheet: &Sheet<'_>) -> Value {
    let mut resolver = json!({
        // A listed name is a whole one.
        "dns_resolver_options": { "no_default_search_domain": true },
    });
    if let Some(server) = sheet.options.resolver {
        resolver["resolvers"] = json!([socket_address(server)]);
    }
    json!({
        "name": CLUSTER,
        "dns_lookup_family": "V4_PREFERRED",
        // Envoy's own limit is 1024. A name counts once for each way to capitalise it that a client uses.
        "max_hosts": 4096 + 4 * sheet.hosts.len(),
        "typed_dns_resolver_config": filter(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            resolver,
        ),
    })
}

/// Which connections a chain of filters is for: those of the clients, and of TLS those with one of these names.
pub(super) fn chain_match(sheet: &Sheet<'_>, server_names: &[&str]) -> Value {
    let mut chain = Map::new();
    if !server_names.is_empty() {
        chain.insert("transport_protocol".into(), "tls".into());
        chain.insert("server_names".into(), server_names.into());
    }
    if !sheet.options.clients.is_empty() {
        let clients: BTreeSet<IpNet> = sheet.options.clients.iter().map(IpNet::trunc).collect();
        let clients = clients.into_iter().map(cidr).collect();
        chain.insert("source_prefix_ranges".into(), Value::Array(clients));
    }
    Value::Object(chain)
}

/// A log of connections that no chain of filters is for.
fn refused_clients(sheet: &Sheet<'_>) -> Value {
    let mut log = json_log(sheet, &[]);
    log["filter"] = json!({ "response_flag_filter": { "flags": ["NR"] } });
    log
}

/// A log in the words of ringfence's: of each connection, and these fields of it beside.
pub(super) fn json_log(sheet: &Sheet<'_>, fields: &[(&str, &str)]) -> Value {
    let mut format = Map::new();
    for (name, value) in CONNECTION_FIELDS.iter().chain(fields) {
        format.insert((*name).to_owned(), (*value).into());
    }
    format.insert("ms".into(), json!({ "total": "%DURATION%" }));
    format.insert("allowlist".into(), sheet.allowlist.hash().into());
    filter(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        json!({ "log_format": { "json_format": format, "omit_empty_values": true } }),
    )
}

/// An extension of Envoy's with its configuration, whose type it is known by.
pub(super) fn filter(name: &str, kind: &str, config: Value) -> Value {
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

pub(super) const CLUSTER: &str = "hosts";
pub(super) const BUFFER: u32 = 32_768;
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
