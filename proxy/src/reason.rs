//! Every reason for which a connection is not, or no longer, carried. The log field, the metric label,
//! the response, `explain` and the documentation table are renderings of this one enum.

use std::fmt;

use serde::{Serialize, Serializer};

/// Who broke what: the peer the protocol, the policy the request, or the world the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The client broke the protocol.
    Malformed,
    /// The policy said no.
    Denied,
    /// We tried, and something else failed.
    Failed,
}

/// Declares the enum, and one row of text for each reason.
macro_rules! reasons {
    ($(#[doc = $doc:literal] $name:ident {
        code: $code:literal, kind: $kind:ident, error: $error:literal,
        status: $status:expr, alert: $alert:expr,
        meaning: $meaning:literal,
        remedy: $remedy:literal,
    })*) => {
        /// Why a connection was refused or ended by us, in the order in which the checks run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        const ROWS: &[Row] = &[$(Row {
            code: $code,
            kind: Kind::$kind,
            error: $error,
            status: $status,
            alert: $alert,
            meaning: $meaning,
            remedy: $remedy,
        }),*];
    };
}

struct Row {
    code: &'static str,
    kind: Kind,
    /// RFC 9209 §2.3.
    error: &'static str,
    /// Of the response; after the 200 none can be sent.
    status: Option<u16>,
    /// For a client that spoke TLS (RFC 8446 §6.2).
    alert: Option<u8>,
    meaning: &'static str,
    remedy: &'static str,
}

reasons! {
    /// Every slot is taken, or descriptors have run out.
    Capacity {
        code: "capacity", kind: Failed, error: "connection_limit_reached",
        status: Some(503), alert: None,
        meaning: "the proxy is at its limit of connections",
        remedy: "try again in a moment; if it lasts, raise `limits.connections` or the descriptor limit",
    }

    /// The client has as many connections as one client may have.
    TooManyConnections {
        code: "too_many_connections", kind: Denied, error: "connection_limit_reached",
        status: Some(429), alert: None,
        meaning: "this client has too many connections open",
        remedy: "use fewer at once, or have `limits.connections_per_client` raised",
    }

    /// The client opens connections faster than one client may.
    RateLimited {
        code: "rate_limited", kind: Denied, error: "http_request_denied",
        status: Some(429), alert: None,
        meaning: "this client opens connections too fast",
        remedy: "wait and try again, or have `limits.rate_per_client` raised",
    }

    /// A peer that has to begin with a PROXY header did not.
    BadProxyHeader {
        code: "bad_proxy_header", kind: Malformed, error: "http_request_error",
        status: None, alert: None,
        meaning: "the connection does not begin with a valid PROXY protocol header",
        remedy: "turn the PROXY protocol on in the load balancer, or take it out of `proxy_protocol.from`",
    }

    /// The TLS handshake with the client failed.
    ClientTlsFailed {
        code: "client_tls_failed", kind: Malformed, error: "http_request_error",
        status: None, alert: None,
        meaning: "the TLS handshake with the proxy failed",
        remedy: "look at the detail in the log; the client may not trust the proxy's certificate",
    }

    /// No whole request head in time.
    HeadTimeout {
        code: "head_timeout", kind: Malformed, error: "http_request_error",
        status: Some(408), alert: None,
        meaning: "the request head did not arrive in time",
        remedy: "send the whole CONNECT request at once; look for a slow or stuck client",
    }

    /// The client went away before there was anything to carry.
    ClientClosed {
        code: "client_closed", kind: Malformed, error: "http_request_error",
        status: None, alert: None,
        meaning: "the client closed the connection before there was anything to carry",
        remedy: "nothing; port checks do this",
    }

    /// The request head is larger than we read.
    HeadTooLarge {
        code: "head_too_large", kind: Malformed, error: "http_request_error",
        status: Some(431), alert: None,
        meaning: "the request head is too large",
        remedy: "send fewer or shorter headers",
    }

    /// Not an HTTP/1 request head, or one that carries what a CONNECT has no use for.
    BadRequest {
        code: "bad_request", kind: Malformed, error: "http_request_error",
        status: Some(400), alert: None,
        meaning: "this is not a plain CONNECT request",
        remedy: "use this address as an HTTP proxy (`http://…`) for https URLs: CONNECT host:port \
         HTTP/1.1, no body",
    }

    /// A path where something else may serve, but not a proxy.
    NotFound {
        code: "not_found", kind: Malformed, error: "http_request_error",
        status: Some(404), alert: None,
        meaning: "there is nothing at this path: this is a proxy",
        remedy: "use this address as an HTTP proxy (`http://…`) for https URLs",
    }

    /// A plain HTTP request for us to forward.
    PlainHttpForbidden {
        code: "plain_http_forbidden", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "plain HTTP is not forwarded",
        remedy: "ask for a tunnel (CONNECT host:443) and speak TLS in it, as clients do for https URLs",
    }

    /// A method other than CONNECT.
    MethodNotAllowed {
        code: "method_not_allowed", kind: Denied, error: "http_request_denied",
        status: Some(405), alert: None,
        meaning: "only CONNECT is served here",
        remedy: "use this address as a proxy for https URLs",
    }

    /// The target has characters outside ASCII.
    NonAscii {
        code: "non_ascii", kind: Malformed, error: "http_request_error",
        status: Some(400), alert: None,
        meaning: "the host name has characters outside ASCII",
        remedy: "write the name as the registry reports it",
    }

    /// The target is an IP address.
    IpLiteral {
        code: "ip_literal", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "IP addresses are not reached, only listed host names",
        remedy: "use the registry's host name",
    }

    /// The target is no host name.
    BadAuthority {
        code: "bad_authority", kind: Malformed, error: "http_request_error",
        status: Some(400), alert: None,
        meaning: "the CONNECT target is not a host name",
        remedy: "write it as host:port, without scheme, path, user or trailing dot",
    }

    /// The target has no port, or one in an unusual spelling.
    BadPort {
        code: "bad_port", kind: Malformed, error: "http_request_error",
        status: Some(400), alert: None,
        meaning: "the CONNECT target has no valid port",
        remedy: "write the port in plain digits, as in :443",
    }

    /// The Host header names another host than the target.
    HostMismatch {
        code: "host_mismatch", kind: Malformed, error: "http_request_error",
        status: Some(400), alert: None,
        meaning: "the Host header and the CONNECT target differ",
        remedy: "send the same host in both, or no Host header",
    }

    /// The client has to say who it is, and may do so by proxy credentials.
    CredentialsRequired {
        code: "credentials_required", kind: Denied, error: "http_request_denied",
        status: Some(407), alert: None,
        meaning: "the proxy needs credentials to know which list applies",
        remedy: "set them in the client's proxy URL, or in its credential store",
    }

    /// The client belongs to no group, and there is no list for strangers.
    IdentityMissing {
        code: "identity_missing", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "no client group fits, so no list applies",
        remedy: "connect from an address of a group or with its client certificate, or have a `[[client]]` group added",
    }

    /// The client says who it is, and that is not so, or nobody we know.
    IdentityRejected {
        code: "identity_rejected", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "the client's certificate or credentials are not accepted",
        remedy: "check the name and the password, or the certificate's issuer, dates, names and revocation",
    }

    /// There is no allowlist, or an empty one.
    NoPolicy {
        code: "no_policy", kind: Denied, error: "proxy_configuration_error",
        status: Some(503), alert: None,
        meaning: "the proxy has no allowlist to enforce",
        remedy: "give it a list with at least one entry; see /readyz on the admin port",
    }

    /// The list in force is past its end.
    PolicyExpired {
        code: "policy_expired", kind: Denied, error: "proxy_configuration_error",
        status: Some(503), alert: None,
        meaning: "the allowlist is past its `not_after`",
        remedy: "have the list generated and signed again",
    }

    /// The access log can't be written, and without it nothing is carried.
    LogUnavailable {
        code: "log_unavailable", kind: Failed, error: "proxy_internal_error",
        status: Some(503), alert: None,
        meaning: "the access log can't be written, and the proxy must not carry what it can't record",
        remedy: "make room for the log, or mend its reader",
    }

    /// The target is a storage host.
    StorageForbidden {
        code: "storage_forbidden", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "storage hosts are not reached: anyone can own one",
        remedy: "turn on the registry's dedicated data endpoints (az acr update --name NAME \
         --data-endpoint-enabled) so that layers come from NAME.REGION.data.azurecr.io, and \
         list those hosts with allowlist-gen first",
    }

    /// The target is not on the allowlist.
    NotInPolicy {
        code: "not_in_policy", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "the host is not on the allowlist",
        remedy: "if it belongs to your registry (a new replica, another registry), have the allowlist \
         generated again with allowlist-gen",
    }

    /// The host is on the allowlist, the port isn't.
    PortNotAllowed {
        code: "port_not_allowed", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "the host is on the allowlist, but not with this port",
        remedy: "use 443, or have the entry's ports changed",
    }

    /// The client has sent as much as it may.
    UploadBudget {
        code: "upload_budget", kind: Denied, error: "http_request_denied",
        status: Some(429), alert: None,
        meaning: "this client has sent as much as it may",
        remedy: "wait until the window has passed, or have the group's `upload_budget` raised",
    }

    /// The name does not exist, or has no address.
    DnsNotFound {
        code: "dns_not_found", kind: Failed, error: "dns_error",
        status: Some(502), alert: None,
        meaning: "the name does not exist or has no address",
        remedy: "check the private DNS zone or the registry's name",
    }

    /// The resolver answered with an error, or can't be reached.
    DnsFailed {
        code: "dns_failed", kind: Failed, error: "dns_error",
        status: Some(502), alert: None,
        meaning: "the name could not be resolved",
        remedy: "check the proxy's resolver",
    }

    /// The resolver did not answer in time.
    DnsTimeout {
        code: "dns_timeout", kind: Failed, error: "dns_timeout",
        status: Some(504), alert: None,
        meaning: "the resolver did not answer in time",
        remedy: "check the proxy's resolver and the way to it",
    }

    /// The name resolves to an address that this host may not have.
    AddressForbidden {
        code: "address_forbidden", kind: Denied, error: "destination_ip_prohibited",
        status: Some(403), alert: None,
        meaning: "the name resolves to an address that this host may not have",
        remedy: "for Private Link, list the endpoint's addresses with the host (allowlist-gen reads \
         them from the network interface); otherwise look into DNS",
    }

    /// The address stands for an IPv4 one behind NAT64, which is off.
    Nat64Disabled {
        code: "nat64_disabled", kind: Denied, error: "destination_ip_prohibited",
        status: Some(403), alert: None,
        meaning: "the name resolves to a NAT64 address, and NAT64 is off",
        remedy: "set `nat64 = true` under `[dns]` if this network has NAT64, or look into DNS",
    }

    /// The address is this machine's own.
    SelfConnect {
        code: "self_connect", kind: Denied, error: "destination_ip_prohibited",
        status: Some(403), alert: None,
        meaning: "the name resolves to the proxy itself, or the proxy is redirected to itself",
        remedy: "look into DNS, the list's pins, and rules that redirect the proxy's own connections",
    }

    /// The parent proxy can't be reached, or did not answer as a proxy does.
    UpstreamProxyFailed {
        code: "upstream_proxy_failed", kind: Failed, error: "destination_unavailable",
        status: Some(502), alert: None,
        meaning: "the parent proxy could not be used",
        remedy: "check `[parent]` and the way to it; it is never gone round",
    }

    /// The parent proxy said no.
    UpstreamProxyRefused {
        code: "upstream_proxy_refused", kind: Failed, error: "destination_unavailable",
        status: Some(502), alert: None,
        meaning: "the parent proxy refused the tunnel",
        remedy: "allow the same hosts on the parent proxy (see `allowlist-gen generate`), or check its credentials",
    }

    /// The host refused the connection.
    ConnectRefused {
        code: "connect_refused", kind: Failed, error: "connection_refused",
        status: Some(502), alert: None,
        meaning: "the host refused the connection",
        remedy: "check that the registry is up and the port is right",
    }

    /// The host did not answer the connection in time.
    ConnectTimeout {
        code: "connect_timeout", kind: Failed, error: "connection_timeout",
        status: Some(504), alert: None,
        meaning: "the host did not answer in time",
        remedy: "check the firewall between the proxy and the registry",
    }

    /// The connection failed otherwise: no route, reset, out of descriptors.
    ConnectFailed {
        code: "connect_failed", kind: Failed, error: "destination_unavailable",
        status: Some(502), alert: None,
        meaning: "the host could not be reached",
        remedy: "check the proxy's routes and the log",
    }

    /// No whole ClientHello in time.
    ClientHelloTimeout {
        code: "client_hello_timeout", kind: Malformed, error: "http_request_error",
        status: None, alert: None,
        meaning: "no TLS ClientHello arrived in time",
        remedy: "start TLS right after the 200",
    }

    /// What the client sent in the tunnel isn't TLS.
    NotTls {
        code: "not_tls", kind: Malformed, error: "http_request_error",
        status: None, alert: None,
        meaning: "the tunnel does not begin with TLS",
        remedy: "speak TLS; nothing else is carried",
    }

    /// The ClientHello is larger than we read.
    ClientHelloTooLarge {
        code: "client_hello_too_large", kind: Malformed, error: "http_request_error",
        status: None, alert: Some(50),
        meaning: "the TLS ClientHello is too large",
        remedy: "look at the client's TLS settings",
    }

    /// The TLS records don't hold one well-formed ClientHello.
    MalformedTls {
        code: "malformed_tls", kind: Malformed, error: "http_request_error",
        status: None, alert: Some(50),
        meaning: "the TLS ClientHello is malformed",
        remedy: "look at the client's TLS library",
    }

    /// The ClientHello offers nothing newer than TLS 1.1.
    TlsVersion {
        code: "tls_version", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(70),
        meaning: "the client offers no TLS version from 1.2 on",
        remedy: "update the client's TLS library",
    }

    /// The ClientHello hides its server name (ECH or ESNI).
    EchForbidden {
        code: "ech_forbidden", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(49),
        meaning: "the server name is hidden (encrypted ClientHello)",
        remedy: "turn ECH off in the client",
    }

    /// The ClientHello names no server.
    SniMissing {
        code: "sni_missing", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(109),
        meaning: "the TLS ClientHello names no server",
        remedy: "use a client that sends SNI",
    }

    /// The ClientHello's server name is no host name.
    SniInvalid {
        code: "sni_invalid", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(112),
        meaning: "the TLS server name is not a host name",
        remedy: "send the host of the CONNECT request as server name",
    }

    /// The ClientHello names another host than the CONNECT.
    SniMismatch {
        code: "sni_mismatch", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(112),
        meaning: "the TLS server name and the CONNECT target differ",
        remedy: "send the host of the CONNECT request as server name",
    }

    /// The ClientHello announces early data.
    EarlyDataForbidden {
        code: "early_data_forbidden", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(49),
        meaning: "the client sends data before the handshake (0-RTT)",
        remedy: "turn early data off in the client, or set `hello.early_data` to \"allow\"",
    }

    /// The ClientHello offers only protocols that registries don't speak.
    AlpnForbidden {
        code: "alpn_forbidden", kind: Denied, error: "http_request_denied",
        status: None, alert: Some(120),
        meaning: "the client offers neither http/1.1 nor h2",
        remedy: "use an HTTP client, or set `hello.alpn` to \"any\"",
    }

    /// The allowlist changed, and no longer admits this tunnel.
    PolicyRevoked {
        code: "policy_revoked", kind: Denied, error: "http_request_denied",
        status: Some(403), alert: None,
        meaning: "a new allowlist no longer admits this tunnel",
        remedy: "look at what the new list took away; if the host is needed, have the list generated again with allowlist-gen",
    }

    /// The proxy is shutting down.
    Draining {
        code: "draining", kind: Failed, error: "proxy_internal_response",
        status: Some(503), alert: None,
        meaning: "the proxy is shutting down",
        remedy: "try again; another instance will answer",
    }
}

impl Reason {
    /// The stable name in logs, metrics, responses and `explain`.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Whether the peer, the policy or the world is the cause.
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// The HTTP status of the refusal, or `None` where only a TLS alert and a close are left.
    pub fn status(self) -> Option<u16> {
        self.row().status
    }

    /// The description of the fatal alert (RFC 8446 §6.2) that answers this fault in a ClientHello, or
    /// `None` where the fault is elsewhere, or the peer would not understand one.
    pub fn alert(self) -> Option<u8> {
        self.row().alert
    }

    /// The description of the fatal alert for a client that has sent a ClientHello and can be told in no
    /// other way.
    pub fn alert_by_kind(self) -> Option<u8> {
        self.alert().or(match self.kind() {
            Kind::Denied => Some(ACCESS_DENIED),
            Kind::Failed => Some(INTERNAL_ERROR),
            Kind::Malformed => None,
        })
    }

    /// What it means, in one sentence without full stop.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// What the person who sees it can do.
    pub fn remedy(self) -> &'static str {
        self.row().remedy
    }

    /// The proxy error type for the `Proxy-Status` header (RFC 9209 §2.3).
    pub fn proxy_error(self) -> &'static str {
        self.row().error
    }

    /// The table for the documentation, in Markdown.
    pub fn markdown_table() -> String {
        let head = "| code | kind | status | meaning | what to do |\n|---|---|---|---|---|\n";
        let rows = ROWS.iter().map(|Row { code, kind, status, meaning, remedy, .. }| {
            let status = status.map_or("none".to_owned(), |status| status.to_string());
            format!("| `{code}` | {} | {status} | {meaning} | {remedy} |\n", kind.name())
        });
        std::iter::once(head.to_owned()).chain(rows).collect()
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;

impl Kind {
    /// The name in logs and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_fit_a_metric_label() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|code| {
            code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        }));
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../docs/reasons.md");
        let table = Reason::markdown_table();
        assert!(page.ends_with(&table), "docs/reasons.md should end with:\n{table}");
    }
}
