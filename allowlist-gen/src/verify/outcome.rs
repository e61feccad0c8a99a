//! What a check can come to. The code in JSON, the words in the table and the page `docs/verify.md` are renderings of
//! this one enum.

use std::fmt;

use serde::{Serialize, Serializer};

/// What an outcome means for the answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Failed,
    /// There was nothing to try, or no way to.
    Skipped,
}

/// Declares the enum, and one row of text for each outcome.
macro_rules! outcomes {
    ($($name:ident $verdict:ident $code:literal, $meaning:literal, $remedy:expr;)*) => {
        /// What a check has come to, in the order in which the checks run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Outcome {
            $(#[doc = $meaning] $name,)*
        }

        impl Outcome {
            /// Every outcome, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }

        const ROWS: &[Row] = &[$(Row {
            verdict: Verdict::$verdict,
            code: $code,
            meaning: $meaning,
            remedy: $remedy,
        }),*];
    };
}

struct Row {
    verdict: Verdict,
    code: &'static str,
    meaning: &'static str,
    /// What to do, where something has to be done.
    remedy: Option<&'static str>,
}

// Codes that `ringfence` has, too, mean the same there: `docs/reasons.md`.
outcomes! {
    Pattern Skipped "pattern",
        "a pattern names no host that could be tried",
        Some("list the exact hosts, as `allowlist-gen generate` does");
    OutOfTime Failed "out_of_time",
        "the time for all checks was over before this one",
        Some("look at what took so long, or give more time with `--total-timeout`");

    DnsByProxy Skipped "dns_by_proxy",
        "the proxy looks the name up; it was not asked for here",
        None;
    DnsPublic Ok "dns_public",
        "every address is public",
        None;
    DnsPinned Ok "dns_pinned",
        "every address is one that the list pins to this host",
        None;
    PublicAlthoughPinned Failed "public_although_pinned",
        "the list pins private addresses to this host, and DNS here gives public ones: the private endpoint is passed by",
        Some("link the private DNS zone to the network of this resolver, or take the addresses off the list");
    DnsNotFound Failed "dns_not_found",
        "the name does not exist or has no address",
        Some("check the private DNS zone or the registry's name");
    DnsAliasLoop Failed "dns_alias_loop",
        "the name's aliases (CNAME) lead round in a circle, or are more than eight",
        Some("look into DNS: the records of a private zone lead to addresses, not back to the public name");
    DnsFailed Failed "dns_failed",
        "the name could not be resolved",
        Some("check the resolver");
    DnsTimeout Failed "dns_timeout",
        "the resolver did not answer in time",
        Some("check the resolver and the way to it");
    AddressNotPinned Failed "address_not_pinned",
        "the name resolves to a private address, and the list pins none to this host: the proxy would refuse it (`address_forbidden`)",
        Some("if it is the registry's private endpoint, list its addresses with the host (`allowlist-gen generate` reads them from `az network nic show`); otherwise look into DNS");
    AddressOtherThanPinned Failed "address_other_than_pinned",
        "the name resolves to a private address other than those that the list pins to this host: the proxy would refuse it (`address_forbidden`)",
        Some("if the private endpoint has a new address, have the list generated again; otherwise look into DNS");
    AddressForbidden Failed "address_forbidden",
        "the name resolves to an address that no host may have, whatever a list says",
        Some("look into DNS");
    Nat64Disabled Failed "nat64_disabled",
        "the name resolves to a NAT64 address, and NAT64 is off",
        Some("if this network has NAT64, use `--nat64` here and set `nat64 = true` under `[dns]` in the proxy; otherwise look into DNS");

    Connected Ok "connected",
        "the host takes connections",
        None;
    ConnectRefused Failed "connect_refused",
        "the host refused the connection",
        Some("check that the registry is up, and whether a firewall on the way rejects connections");
    ConnectTimeout Failed "connect_timeout",
        "the host did not answer in time",
        Some("open the host and port in the firewall on the way (`allowlist-gen export` writes its rules), or use `--proxy` if a proxy is the way out");
    ConnectFailed Failed "connect_failed",
        "the host could not be reached",
        Some("check the routes of this machine");
    Tunnel Ok "tunnel",
        "the proxy opened a tunnel",
        None;
    ProxyUnreachable Failed "proxy_unreachable",
        "the proxy could not be reached",
        Some("check the proxy's URL, that it runs, and the way to it");
    ProxyCredentials Failed "proxy_credentials",
        "the proxy wants credentials, or others than these",
        Some("give them in a file with `--proxy-credentials`");
    ProxyRefused Failed "proxy_refused",
        "the proxy refused the host",
        Some("allow the host there: give the proxy this list, or what `allowlist-gen export` makes of it");
    ProxyFailed Failed "proxy_failed",
        "the proxy did not open a tunnel, or did not answer as a proxy",
        Some("look at the proxy's log: it may not reach the host, or not be ready");

    CertificateValid Ok "certificate_valid",
        "the certificate is valid for the name",
        None;
    TlsTimeout Failed "tls_timeout",
        "the TLS handshake did not come to its end in time",
        Some("look for a firewall that lets connections through and then drops what it reads");
    TlsCut Failed "tls_cut",
        "the connection was cut during the TLS handshake",
        Some("look for a firewall that goes by TLS server names, and allow the host there");
    TlsFailed Failed "tls_failed",
        "the TLS handshake failed",
        Some("look for something on the way that answers in the host's place");
    CertificateExpired Failed "certificate_expired",
        "the certificate has expired",
        Some("check this machine's clock; otherwise somebody else answers in the host's place");
    CertificateNotYetValid Failed "certificate_not_yet_valid",
        "the certificate is not valid yet",
        Some("check this machine's clock; otherwise somebody else answers in the host's place");
    CertificateOtherName Failed "certificate_other_name",
        "the certificate is for another name",
        Some("look into DNS, and for a proxy or firewall that answers in the host's place");
    CertificateUnknownAuthority Failed "certificate_unknown_authority",
        "nobody that this machine trusts has issued the certificate",
        Some("if your company inspects TLS, exempt the registry's hosts, or give its authority with `--ca`; otherwise somebody else answers in the host's place");
    CertificateInvalid Failed "certificate_invalid",
        "the certificate is not acceptable",
        Some("look for something on the way that answers in the host's place");

    HttpTimeout Failed "http_timeout",
        "the host did not answer the request in time",
        Some("try again; if it lasts, look for something on the way that reads and doesn't forward");
    HttpFailed Failed "http_failed",
        "the host did not answer the request in proper HTTP",
        Some("look for something on the way that answers in the host's place");

    ApiChallenge Ok "api_challenge",
        "`/v2/` asks for a token of the registry's own token server",
        None;
    ApiForbidden Failed "api_forbidden",
        "`/v2/` answers 403: the registry's own network rules refuse this client",
        Some("allow this network on the registry (its public access, IP rules or private endpoints); if access is private, the name has to lead to the private endpoint from here");
    ApiOpen Failed "api_open",
        "`/v2/` asks for no token, as a registry in Azure always does",
        Some("look for something on the way that answers in the registry's place");
    ApiUnexpected Failed "api_unexpected",
        "`/v2/` answers neither 401 nor 403",
        Some("if it is a 5xx, try again later; otherwise look for something on the way that answers in the registry's place");
    ChallengeMalformed Failed "challenge_malformed",
        "`/v2/` answers 401 without a Bearer challenge that can be read",
        Some("look for something on the way that answers in the registry's place");
    RealmInsecure Failed "realm_insecure",
        "the token server is not https: clients would send it their passwords in the clear",
        Some("don't log in from here; look for something on the way that answers in the registry's place");
    RealmElsewhere Failed "realm_elsewhere",
        "the token server is on another host: clients would send their passwords there",
        Some("don't log in from here; look for something on the way that answers in the registry's place");
    ServiceElsewhere Failed "service_elsewhere",
        "the challenge asks for tokens of another registry",
        Some("look into DNS and for something on the way that answers in the registry's place");

    TokenAnswers Ok "token_answers",
        "the token server answers",
        None;
    TokenIssued Ok "token_issued",
        "the token server gave a token for the repository",
        None;
    TokenForbidden Failed "token_forbidden",
        "the token server answers 403: the registry's own network rules refuse this client",
        Some("allow this network on the registry (its public access, IP rules or private endpoints)");
    TokenFailed Failed "token_failed",
        "the token server does not answer as one",
        Some("if it is a 5xx, try again later; otherwise look for something on the way that answers in the registry's place");
    CredentialsNeeded Failed "credentials_needed",
        "the registry gives nobody a token for the repository without credentials",
        Some("give them in a file with `--credentials`");
    CredentialsRefused Failed "credentials_refused",
        "the registry does not accept the credentials",
        Some("check them; a refresh token lives for three hours");

    DataAnswers Ok "data_answers",
        "the data endpoint answers; what it says without a signed URL does not matter",
        None;
    DataFailed Failed "data_failed",
        "the data endpoint answers with an error of its own (5xx)",
        Some("try again later; if it lasts, look for something on the way that answers in its place");

    NotTried Skipped "not_tried",
        "an earlier check of the same host failed",
        None;
    ManifestFound Ok "manifest_found",
        "the registry has the image",
        None;
    ManifestNotFound Failed "manifest_not_found",
        "the registry has no such image",
        Some("check the repository's name and the tag or digest");
    ManifestDenied Failed "manifest_denied",
        "the registry does not let these credentials pull the repository",
        Some("give them the right to pull (role AcrPull), or name another repository");
    ManifestFailed Failed "manifest_failed",
        "the registry's answer is no image's manifest with a blob in it",
        Some("name an image (an index's first image is taken); if it is one, look for something on the way that changes answers");
    RedirectOwn Ok "redirect_own",
        "the blob is sent for to the registry's own data endpoint, which is on the list",
        None;
    BlobInPlace Ok "blob_in_place",
        "the registry serves the blob itself, without a redirect",
        None;
    BlobFailed Failed "blob_failed",
        "the registry neither serves the blob nor says where it is",
        Some("if it is a 5xx, try again later; otherwise push the image again");
    RedirectMalformed Failed "redirect_malformed",
        "the redirect's target can't be read as an absolute URL",
        Some("look for something on the way that changes answers");
    RedirectInsecure Failed "redirect_insecure",
        "the blob is sent for to a URL that is not https",
        Some("look for something on the way that changes answers");
    RedirectUserinfo Failed "redirect_userinfo",
        "the blob is sent for to a URL with a user in it, which hides the host",
        Some("look for something on the way that changes answers");
    RedirectPort Failed "redirect_port",
        "the blob is sent for to a port other than 443",
        Some("look for something on the way that changes answers");
    RedirectToStorage Failed "redirect_to_storage",
        "the blob is sent for to a storage account: the registry's dedicated data endpoints are off, and no exact list can work",
        Some("turn them on (`az acr update --name NAME --data-endpoint-enabled`), and list the hosts with `allowlist-gen generate` first");
    RedirectToOtherRegistry Failed "redirect_to_other_registry",
        "the blob is sent for to the data endpoint of another registry",
        Some("look into DNS and for something on the way that answers in the registry's place");
    RedirectElsewhere Failed "redirect_elsewhere",
        "the blob is sent for to a host that is no data endpoint of the registry",
        Some("look for something on the way that changes answers");
    RedirectUnlisted Failed "redirect_unlisted",
        "the blob is sent for to a data endpoint of the registry that is not on the list",
        Some("have the list generated again: the registry has a replica that the list doesn't know");
    BlobFetched Ok "blob_fetched",
        "the data endpoint serves the blob",
        None;
    BlobNotServed Failed "blob_not_served",
        "the data endpoint does not serve what the registry sent for to it",
        Some("try again later; if it lasts, look for something on the way that answers in its place");

    DoorClosed Ok "door_closed",
        "what should be closed is closed",
        None;
    DoorNotTried Skipped "door_not_tried",
        "the name has no address here, so there was nothing to try; that is no proof that its addresses are closed",
        Some("pass an address of it, too");
    StorageOpen Failed "storage_open",
        "a storage host can be reached without the proxy: anyone can own one, so data can leave",
        Some("close port 443 to everything but the proxy, and take storage out of allow rules (`*.blob.core.windows.net`, service tag Storage)");
    DnsOpen Failed "dns_open",
        "a name server can be asked without the proxy: data can leave in the names that are asked for",
        Some("close port 53, UDP and TCP, to everything but your own resolver");
    DohOpen Failed "doh_open",
        "a server for DNS over HTTPS can be reached without the proxy: data can leave in the names that are asked for",
        Some("close port 443 to everything but the proxy");
    MetadataOpen Failed "metadata_open",
        "a platform service can be reached: whoever runs here can ask it for the machine's identity or settings",
        Some("close the address to workloads (a network policy or a firewall rule per user; on AKS, restrict IMDS)");
    ProxyRefusesStorage Ok "proxy_refuses_storage",
        "the proxy refuses the storage host",
        None;
    ProxyCarriesStorage Failed "proxy_carries_storage",
        "the proxy opens tunnels to a storage host: anyone can own one, so data can leave",
        Some("take storage out of the proxy's rules; ringfence never allows it by `host`");
    ProxyUnclear Failed "proxy_unclear",
        "the proxy did not open a tunnel to the storage host, but it did not refuse the host (4xx other than 408 and 429) either: it may have tried",
        Some("look at the proxy's log");
}

impl Outcome {
    /// The stable name, in JSON and in the table.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Whether that is as it should be.
    pub fn verdict(self) -> Verdict {
        self.row().verdict
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// What to do, where something has to be done.
    pub fn remedy(self) -> Option<&'static str> {
        self.row().remedy
    }

    /// The table of `docs/verify.md`.
    pub fn markdown_table() -> String {
        let header = "| code | verdict | meaning | what to do |\n|---|---|---|---|\n";
        let row = |outcome: &Self| {
            let Row { verdict, code, meaning, remedy } = outcome.row();
            format!("| `{code}` | {verdict} | {meaning} | {} |\n", remedy.unwrap_or(""))
        };
        header.to_owned() + &Self::ALL.iter().map(row).collect::<String>()
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_outcome_has_a_code_of_its_own_and_each_failure_a_remedy() {
        let codes: BTreeSet<&str> = Outcome::ALL.iter().map(|outcome| outcome.code()).collect();
        assert_eq!(codes.len(), Outcome::ALL.len());
        for outcome in Outcome::ALL {
            let code = outcome.code();
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(
                !outcome.meaning().ends_with('.') && !outcome.meaning().contains('|'),
                "{code}"
            );
            match outcome.verdict() {
                Verdict::Failed => assert!(outcome.remedy().is_some(), "{code}"),
                Verdict::Ok => assert_eq!(outcome.remedy(), None, "{code}"),
                Verdict::Skipped => {}
            }
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let page = include_str!("../../../docs/verify.md");
        let table = Outcome::markdown_table();
        assert!(page.ends_with(&table), "docs/verify.md should end with:\n{table}");
    }
}
