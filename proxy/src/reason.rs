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

/// Declares the enum and its one row of text per reason: code, kind, status, error type, meaning, remedy.
macro_rules! reasons {
    ($(#[doc = $doc:literal] $name:ident = $code:literal, $kind:ident, $status:expr, $error:literal,
        $meaning:literal, $remedy:literal;)*) => {
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
            status: $status,
            proxy_error: $error,
            meaning: $meaning,
            remedy: $remedy,
        }),*];
    };
}

struct Row {
    code: &'static str,
    kind: Kind,
    /// After the 200 no status can be sent.
    status: Option<u16>,
    /// RFC 9209 §2.3.
    proxy_error: &'static str,
    meaning: &'static str,
    remedy: &'static str,
}

reasons! {
    /// No whole request head in time.
    HeadTimeout = "head_timeout", Malformed, Some(408), "http_request_error",
        "the request head did not arrive in time",
        "send the whole CONNECT request at once; look for a slow or stuck client";

    /// The client went away before it had asked for anything.
    ClientClosed = "client_closed", Malformed, None, "http_request_error",
        "the client closed the connection before it had asked for anything",
        "nothing; port checks do this";

    /// The request head is larger than we read.
    HeadTooLarge = "head_too_large", Malformed, Some(431), "http_request_error",
        "the request head is too large",
        "send fewer or shorter headers";

    /// Not an HTTP/1 request head, or one that carries what a CONNECT has no use for.
    BadRequest = "bad_request", Malformed, Some(400), "http_request_error",
        "this is not a plain CONNECT request",
        "use this address as an HTTP proxy (`http://…`) for https URLs: CONNECT host:port \
         HTTP/1.1, no body";

    /// A plain HTTP request for us to forward.
    PlainHttpForbidden = "plain_http_forbidden", Denied, Some(403), "http_request_denied",
        "plain HTTP is not forwarded",
        "use https; registries answer on 443 only";

    /// A method other than CONNECT.
    MethodNotAllowed = "method_not_allowed", Denied, Some(405), "http_request_denied",
        "only CONNECT is served here",
        "use this address as a proxy for https URLs";

    /// The target has characters outside ASCII.
    NonAscii = "non_ascii", Malformed, Some(400), "http_request_error",
        "the host name has characters outside ASCII",
        "write the name as the registry reports it";

    /// The target is an IP address.
    IpLiteral = "ip_literal", Denied, Some(403), "http_request_denied",
        "IP addresses are not reached, only listed host names",
        "use the registry's host name";

    /// The target is no host name.
    BadAuthority = "bad_authority", Malformed, Some(400), "http_request_error",
        "the CONNECT target is not a host name",
        "write it as host:port, without scheme, path, user or trailing dot";

    /// The target has no port, or one in an unusual spelling.
    BadPort = "bad_port", Malformed, Some(400), "http_request_error",
        "the CONNECT target has no valid port",
        "write the port in plain digits, as in :443";

    /// The Host header names another host than the target.
    HostMismatch = "host_mismatch", Malformed, Some(400), "http_request_error",
        "the Host header and the CONNECT target differ",
        "send the same host in both, or no Host header";

    /// There is no allowlist, or an empty one.
    NoPolicy = "no_policy", Denied, Some(503), "proxy_configuration_error",
        "the proxy has no allowlist to enforce",
        "give it a list with at least one entry; see /readyz on the admin port";

    /// The target is a storage host.
    StorageForbidden = "storage_forbidden", Denied, Some(403), "http_request_denied",
        "storage hosts are never reached: anyone can own one",
        "turn on the registry's dedicated data endpoints (az acr update --name NAME \
         --data-endpoint-enabled) so that layers come from NAME.REGION.data.azurecr.io, and \
         list those hosts with allowlist-gen first";

    /// The target is not on the allowlist.
    NotInPolicy = "not_in_policy", Denied, Some(403), "http_request_denied",
        "the host is not on the allowlist",
        "if it belongs to your registry (a new replica, another registry), have the allowlist \
         generated again with allowlist-gen";

    /// The host is on the allowlist, the port isn't.
    PortNotAllowed = "port_not_allowed", Denied, Some(403), "http_request_denied",
        "the host is on the allowlist, but not with this port",
        "use 443, or have the entry's ports changed";

    /// The name does not exist, or has no address.
    DnsNotFound = "dns_not_found", Failed, Some(502), "dns_error",
        "the name does not exist or has no address",
        "check the private DNS zone or the registry's name";

    /// The resolver answered with an error, or can't be reached.
    DnsFailed = "dns_failed", Failed, Some(502), "dns_error",
        "the name could not be resolved",
        "check the proxy's resolver";

    /// The resolver did not answer in time.
    DnsTimeout = "dns_timeout", Failed, Some(504), "dns_timeout",
        "the resolver did not answer in time",
        "check the proxy's resolver and the way to it";

    /// The name resolves to an address that this host may not have.
    AddressForbidden = "address_forbidden", Denied, Some(403), "destination_ip_prohibited",
        "the name resolves to an address that this host may not have",
        "for Private Link, list the endpoint's addresses with the host (allowlist-gen reads \
         them from the network interface); otherwise look into DNS";

    /// The host refused the connection.
    ConnectRefused = "connect_refused", Failed, Some(502), "connection_refused",
        "the host refused the connection",
        "check that the registry is up and the port is right";

    /// The host did not answer the connection in time.
    ConnectTimeout = "connect_timeout", Failed, Some(504), "connection_timeout",
        "the host did not answer in time",
        "check the firewall between the proxy and the registry";

    /// The connection failed otherwise: no route, reset, out of descriptors.
    ConnectFailed = "connect_failed", Failed, Some(502), "destination_unavailable",
        "the host could not be reached",
        "check the proxy's routes and the log";

    /// No whole ClientHello in time.
    ClientHelloTimeout = "client_hello_timeout", Malformed, None, "http_request_error",
        "no TLS ClientHello arrived in time",
        "start TLS right after the 200";

    /// What the client sent in the tunnel isn't TLS.
    NotTls = "not_tls", Malformed, None, "http_request_error",
        "the tunnel does not begin with TLS",
        "speak TLS; nothing else is carried";

    /// The ClientHello is larger than we read.
    ClientHelloTooLarge = "client_hello_too_large", Malformed, None, "http_request_error",
        "the TLS ClientHello is too large",
        "look at the client's TLS settings";

    /// The TLS records don't hold one well-formed ClientHello.
    MalformedTls = "malformed_tls", Malformed, None, "http_request_error",
        "the TLS ClientHello is malformed",
        "look at the client's TLS library";

    /// The ClientHello hides its server name (ECH or ESNI).
    EchForbidden = "ech_forbidden", Denied, None, "http_request_denied",
        "the server name is hidden (encrypted ClientHello)",
        "turn ECH off in the client";

    /// The ClientHello names no server.
    SniMissing = "sni_missing", Denied, None, "http_request_denied",
        "the TLS ClientHello names no server",
        "use a client that sends SNI";

    /// The ClientHello's server name is no host name.
    SniInvalid = "sni_invalid", Denied, None, "http_request_denied",
        "the TLS server name is not a host name",
        "send the host of the CONNECT request as server name";

    /// The ClientHello names another host than the CONNECT.
    SniMismatch = "sni_mismatch", Denied, None, "http_request_denied",
        "the TLS server name and the CONNECT target differ",
        "send the host of the CONNECT request as server name";

    /// The allowlist changed, and no longer admits this tunnel.
    PolicyRevoked = "policy_revoked", Denied, Some(403), "http_request_denied",
        "a new allowlist no longer admits this tunnel",
        "as for not_in_policy";

    /// The proxy is shutting down.
    Draining = "draining", Failed, Some(503), "proxy_internal_response",
        "the proxy is shutting down",
        "try again; another instance will answer";
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
        self.row().proxy_error
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
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../docs/reasons.md");
        let table = Reason::markdown_table();
        assert!(page.ends_with(&table), "docs/reasons.md should end with:\n{table}");
    }
}
