//! Every code a finding can have, in one table: how much it matters, what it means, why, and who says so.

use std::fmt;
use std::str::FromStr;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing. Many keep it so on purpose.
    Note,
    /// It works, and is open wider than it has to be, breaks with the next change, or couldn't be looked at.
    Warning,
    /// Something doesn't work, or exact rules can't be given.
    Error,
}

impl Severity {
    /// Every severity, the gravest first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// As reports and flags spell it, which is also SARIF's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What there is to say of a code, whatever registry has it.
#[derive(Debug)]
pub struct Rule {
    /// Stable; public interface.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is found.
    pub title: &'static str,
    /// Why anyone should care.
    pub why: &'static str,
    /// The page that says so.
    pub source: &'static str,
}

macro_rules! catalogue {
    ($($variant:ident {
        code: $code:literal, severity: $severity:ident,
        title: $title:literal,
        why: $why:literal,
        source: $source:expr $(,)?
    })*) => {
        /// The code of a finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the catalogue: what concerns the hosts, then the rest.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What there is to say of it.
            pub fn rule(self) -> &'static Rule {
                match self {
                    $(Self::$variant => &Rule {
                        code: $code,
                        severity: Severity::$severity,
                        title: $title,
                        why: $why,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

const DATA_ENDPOINTS: &str = "https://learn.microsoft.com/azure/container-registry/container-registry-dedicated-data-endpoints";
const ENDPOINTS: &str =
    "https://learn.microsoft.com/azure/container-registry/container-registry-endpoint-reference";
const FIREWALL: &str =
    "https://learn.microsoft.com/azure/container-registry/container-registry-firewall-rules";
const GEO: &str =
    "https://learn.microsoft.com/azure/container-registry/container-registry-geo-replication";
const PRIVATE_LINK: &str =
    "https://learn.microsoft.com/azure/container-registry/container-registry-private-endpoints";
const SELECTED_NETWORKS: &str = "https://learn.microsoft.com/azure/container-registry/container-registry-access-selected-networks";
const SERVICE_ENDPOINTS: &str =
    "https://learn.microsoft.com/azure/container-registry/container-registry-vnet";
const TIERS: &str = "https://learn.microsoft.com/azure/container-registry/container-registry-skus";
const TRUSTED: &str =
    "https://learn.microsoft.com/azure/container-registry/allow-access-trusted-services";
const CONNECTED: &str =
    "https://learn.microsoft.com/azure/container-registry/intro-connected-registry";
const REST: &str = "https://learn.microsoft.com/rest/api/container-registry/registries/get";

catalogue! {
    NoMetadata {
        code: "no-metadata", severity: Warning,
        title: "the list was made from names alone",
        why: "nothing confirms that the registry exists, has these regions, or serves its layers from data endpoints",
        source: ENDPOINTS,
    }
    Unreadable {
        code: "unreadable", severity: Warning,
        title: "Azure would not show a part of the registry",
        why: "what depends on that part is unknown: its silence is no clean bill",
        source: "https://learn.microsoft.com/azure/role-based-access-control/built-in-roles",
    }
    DataEndpointsOff {
        code: "data-endpoints-off", severity: Error,
        title: "dedicated data endpoints are off",
        why: "layers then come from storage accounts that change and that registries share, so clients need \
              `*.blob.core.windows.net`, which is everyone's storage",
        source: DATA_ENDPOINTS,
    }
    DataEndpointsUnknown {
        code: "data-endpoints-unknown", severity: Warning,
        title: "nothing says whether dedicated data endpoints are on",
        why: "without them no exact list can hold the hosts of the layers",
        source: DATA_ENDPOINTS,
    }
    ReplicasUnknown {
        code: "replicas-unknown", severity: Warning,
        title: "the input doesn't tell the registry's replicas",
        why: "any region may serve a pull, so a list that lacks one breaks pulls at times",
        source: GEO,
    }
    DataEndpointsAssumed {
        code: "data-endpoints-assumed", severity: Warning,
        title: "dedicated data endpoints are assumed to be on",
        why: "until they are, pulls through the list fail",
        source: DATA_ENDPOINTS,
    }
    DataEndpointsImplied {
        code: "data-endpoints-implied", severity: Warning,
        title: "dedicated data endpoints are on only because of a private endpoint",
        why: "nothing else keeps them on: without a private endpoint, layers may come from shared storage again",
        source: FIREWALL,
    }
    EndpointsDisputed {
        code: "endpoints-disputed", severity: Warning,
        title: "one place says that a family of endpoints is on, another that it is off",
        why: "one of them is old, or something is changing right now",
        source: ENDPOINTS,
    }
    RegionsFromPrivateEndpoint {
        code: "regions-from-private-endpoint", severity: Warning,
        title: "the regions are known only from a private endpoint",
        why: "an endpoint can lack regions that were added after it",
        source: PRIVATE_LINK,
    }
    ReplicasFromEmptyList {
        code: "replicas-from-empty-list", severity: Warning,
        title: "an empty list is taken to mean that there are no replicas",
        why: "it doesn't say of what it is a list",
        source: GEO,
    }
    RegionsDiffer {
        code: "regions-differ", severity: Warning,
        title: "places that should name every region name different ones",
        why: "one of them is old, or something is changing right now",
        source: GEO,
    }
    RegionUnknown {
        code: "region-unknown", severity: Note,
        title: "a region that Azure has not published",
        why: "it is new, or misspelt",
        source: "https://learn.microsoft.com/azure/reliability/regions-list",
    }
    ReplicaNotReady {
        code: "replica-not-ready", severity: Warning,
        title: "a replica is not provisioned",
        why: "its hosts don't serve yet, or not any more; a replica that stays so often lacks room in a subnet",
        source: GEO,
    }
    ConnectionNotApproved {
        code: "connection-not-approved", severity: Warning,
        title: "a private endpoint's connection is pending, rejected or disconnected",
        why: "it carries nothing, and its clients get nothing or go the public way; a new replica makes approved \
              connections pending again",
        source: PRIVATE_LINK,
    }
    ConnectionDisputed {
        code: "connection-disputed", severity: Warning,
        title: "a connection is approved in one place, and not in another",
        why: "one of them is old, or something is changing right now",
        source: PRIVATE_LINK,
    }
    AddressesUnknown {
        code: "addresses-unknown", severity: Note,
        title: "the addresses of a private endpoint are not in the input",
        why: "a proxy that vets addresses refuses private ones that its list doesn't hold",
        source: PRIVATE_LINK,
    }
    AddressMissing {
        code: "address-missing", severity: Error,
        title: "a private endpoint has no address for one of the registry's hosts",
        why: "clients behind it can't pull from that region, or leave by the public way",
        source: PRIVATE_LINK,
    }
    RecordMissing {
        code: "record-missing", severity: Error,
        title: "the private DNS zone has no record for one of the registry's hosts",
        why: "clients of the zone don't find the host: the name doesn't resolve, or resolves to its public address",
        source: PRIVATE_LINK,
    }
    RecordUnlisted {
        code: "record-unlisted", severity: Warning,
        title: "the private DNS zone has a record for a host that the registry doesn't have",
        why: "it points at an address that may be given to something else",
        source: PRIVATE_LINK,
    }
    AddressesDiffer {
        code: "addresses-differ", severity: Warning,
        title: "the private DNS zone and the private endpoints have different addresses for a host",
        why: "clients of the zone reach something else, or nothing",
        source: PRIVATE_LINK,
    }
    TierTooLow {
        code: "tier-too-low", severity: Error,
        title: "the registry is Basic or Standard",
        why: "only Premium has dedicated data endpoints, private endpoints, network rules and replicas, so the hosts of \
              its layers can't be told from other people's",
        source: TIERS,
    }
    NotProvisioned {
        code: "not-provisioned", severity: Warning,
        title: "the registry itself is not provisioned",
        why: "a change is underway or has failed, so what is read now may not be what counts",
        source: REST,
    }
    RegionalWithoutData {
        code: "regional-without-data-endpoints", severity: Error,
        title: "regional endpoints are on, and dedicated data endpoints off",
        why: "the login servers of the regions are exact hosts, and the layers still come from shared storage",
        source: GEO,
    }
    RegionalEndpoints {
        code: "regional-endpoints", severity: Note,
        title: "regional endpoints are on",
        why: "their hosts have five labels: rules and credential helpers that expect three miss them, among them AKS \
              node images before 202607.29",
        source: GEO,
    }
    ReplicaStatus {
        code: "replica-status", severity: Warning,
        title: "a replica is provisioned, and its status is not ready",
        why: "its region may not serve what the others do",
        source: GEO,
    }
    ReplicaUnrouted {
        code: "replica-unrouted", severity: Note,
        title: "a replica is off global routing",
        why: "the global name doesn't lead to it, but its hosts serve and its data is kept up, so they stay on lists",
        source: GEO,
    }
    PublicAccessOpen {
        code: "public-access-open", severity: Note,
        title: "the registry takes connections from everywhere",
        why: "credentials alone keep strangers out",
        source: SELECTED_NETWORKS,
    }
    PublicBesidePrivateLink {
        code: "public-beside-private-link", severity: Warning,
        title: "a private endpoint is there, and public access is open to everyone",
        why: "nobody has to use the private endpoint, so it keeps nobody out",
        source: PRIVATE_LINK,
    }
    PublicAccessDisabled {
        code: "public-access-disabled", severity: Note,
        title: "public access is disabled",
        why: "builds by `az acr build`, hosted build agents and the portal's listings fail from outside, and network \
              rules don't count",
        source: "https://learn.microsoft.com/azure/container-registry/container-registry-troubleshoot-access",
    }
    Unreachable {
        code: "unreachable", severity: Error,
        title: "public access is disabled, and no private endpoint is approved",
        why: "no client gets in",
        source: PRIVATE_LINK,
    }
    RulesWithoutEffect {
        code: "rules-without-effect", severity: Warning,
        title: "network rules are there, and don't count",
        why: "where everyone is allowed they keep nobody out, and where public access is disabled they let nobody in",
        source: SELECTED_NETWORKS,
    }
    IpRulesAtLimit {
        code: "ip-rules-at-limit", severity: Warning,
        title: "the registry has all the IP rules that it may have",
        why: "the limit of 200 is fixed, so the next network can't be added",
        source: TIERS,
    }
    ServiceEndpoints {
        code: "service-endpoints", severity: Note,
        title: "subnets reach the registry by service endpoints",
        why: "they are a preview, for virtual machines and AKS only, trusted services don't get past them, and the \
              registry's addresses stay public; private endpoints replace them",
        source: SERVICE_ENDPOINTS,
    }
    ServiceEndpointsInCloud {
        code: "service-endpoints-in-cloud", severity: Error,
        title: "rules for service endpoints, in a cloud that has none for registries",
        why: "neither Azure Government nor Azure operated by 21Vianet offers them, so the rules let nobody in",
        source: SERVICE_ENDPOINTS,
    }
    ServiceEndpointsBesidePrivateLink {
        code: "service-endpoints-beside-private-link", severity: Error,
        title: "service endpoints and Private Link together",
        why: "a registry with both is not supported",
        source: SERVICE_ENDPOINTS,
    }
    SubnetRulesAtLimit {
        code: "subnet-rules-at-limit", severity: Warning,
        title: "the registry has all the rules for subnets that it may have",
        why: "the limit is 100, so the next subnet can't be added",
        source: SERVICE_ENDPOINTS,
    }
    TrustedServicesBlocked {
        code: "trusted-services-blocked", severity: Note,
        title: "trusted services don't get past the network rules",
        why: "Defender for Cloud, Machine Learning, Container Instances and imports can't reach a restricted registry \
              then",
        source: TRUSTED,
    }
    TasksBlocked {
        code: "tasks-blocked", severity: Note,
        title: "tasks don't get past the network rules",
        why: "since June 2025, tasks with a system-assigned identity get 403 from a restricted registry unless they are \
              let past its rules by a setting of their own",
        source: "https://learn.microsoft.com/azure/container-registry/manage-network-bypass-policy-for-tasks",
    }
    ConnectionNeedsAction {
        code: "connection-needs-action", severity: Error,
        title: "Azure asks for something to be done about a private endpoint's connection",
        why: "until it is done, the connection doesn't follow the registry: `Recreate` means that it never will",
        source: PRIVATE_LINK,
    }
    StaticAddresses {
        code: "static-addresses", severity: Warning,
        title: "a private endpoint has addresses that were chosen by hand",
        why: "it keeps its members for ever, so a new replica fails with `contains static ipconfigurations`",
        source: GEO,
    }
    SubnetTooSmall {
        code: "subnet-too-small", severity: Warning,
        title: "the subnet of a private endpoint is smaller than /27",
        why: "an endpoint takes one address, and one or two for every region; /27 is the least, /24 what is recommended",
        source: PRIVATE_LINK,
    }
    SubnetFull {
        code: "subnet-full", severity: Warning,
        title: "the subnet of a private endpoint has no room for another region",
        why: "the next replica fails and is rolled back, and the message doesn't name the subnet",
        source: PRIVATE_LINK,
    }
    SeveralEndpoints {
        code: "several-endpoints", severity: Warning,
        title: "several private endpoints of the registry are in one network",
        why: "they share one DNS zone, so which of them a client gets is left to chance",
        source: PRIVATE_LINK,
    }
    EndpointsAtLimit {
        code: "endpoints-at-limit", severity: Warning,
        title: "the registry has all the private endpoints that it may have",
        why: "the next network can't be connected; the limit is 200, and 10 for registries from before October 2021",
        source: TIERS,
    }
    EndpointLimitLow {
        code: "endpoint-limit-low", severity: Note,
        title: "the registry may have fewer private endpoints than others",
        why: "registries from before October 2021 may have 10 instead of 200, until someone asks for more",
        source: TIERS,
    }
    DualStack {
        code: "dual-stack", severity: Note,
        title: "the registry answers on IPv6, too",
        why: "filters by address need IPv6 rules, tasks are not supported, and private endpoints stay IPv4",
        source: "https://learn.microsoft.com/azure/container-registry/container-registry-ipv6-dual-stack",
    }
    NameReusable {
        code: "name-reusable", severity: Note,
        title: "anyone can have the registry's name once it is deleted",
        why: "every list that still has its hosts then lets clients reach a stranger",
        source: "https://learn.microsoft.com/azure/container-registry/container-registry-get-started-azure-cli",
    }
    ExportsAllowed {
        code: "exports-allowed", severity: Note,
        title: "artifacts may be exported",
        why: "who can read them can have them imported into a registry of their own, from Azure to Azure and past every \
              proxy",
        source: "https://learn.microsoft.com/azure/container-registry/data-loss-prevention",
    }
    AnonymousPull {
        code: "anonymous-pull", severity: Warning,
        title: "anyone can pull without credentials",
        why: "everything in the registry is readable for whoever reaches it",
        source: "https://learn.microsoft.com/azure/container-registry/anonymous-pull-access",
    }
    AdminUser {
        code: "admin-user", severity: Warning,
        title: "the admin user is on",
        why: "it is one password for everything, push included, and nobody's",
        source: "https://learn.microsoft.com/azure/container-registry/container-registry-authentication",
    }
    ConnectedWithoutData {
        code: "connected-without-data-endpoints", severity: Error,
        title: "a connected registry, and dedicated data endpoints off",
        why: "a connected registry fetches layers from the data endpoint of the home region, which must be on",
        source: CONNECTED,
    }
    ConnectedRegistries {
        code: "connected-registries", severity: Note,
        title: "connected registries fetch from this registry",
        why: "the networks that they are in need its login server and the data host of its home region, which failover \
              doesn't move",
        source: CONNECTED,
    }
    ConnectedNotOnline {
        code: "connected-not-online", severity: Warning,
        title: "a connected registry is not online",
        why: "it serves what it had when it was cut off; a firewall that lacks one of its hosts does that",
        source: CONNECTED,
    }
    SeveralClouds {
        code: "several-clouds", severity: Note,
        title: "the input has registries of more than one cloud",
        why: "a list of theirs has hosts of several clouds, and few clients need both",
        source: "https://learn.microsoft.com/cli/azure/manage-clouds-azure-cli",
    }
    SettingDisputed {
        code: "setting-disputed", severity: Warning,
        title: "two places say different things of one setting",
        why: "one of them is old, so the setting is unknown",
        source: REST,
    }
    SettingUnrecognised {
        code: "setting-unrecognised", severity: Note,
        title: "a setting has a value that this program doesn't know",
        why: "it counts as unknown, not as good",
        source: REST,
    }
}

impl Code {
    /// The code, as it is written.
    pub fn name(self) -> &'static str {
        self.rule().code
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.rule().severity
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let code = Self::ALL.iter().copied().find(|code| code.name() == text);
        code.ok_or(UnknownCode)
    }
}

/// A text that is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no finding has this code; `allowlist-gen findings --list` has them all")]
pub struct UnknownCode;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_read_back() {
        for code in Code::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            let rule = code.rule();
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(rule.code.chars().all(is_plain), "{}", rule.code);
            assert!(rule.source.starts_with("https://learn.microsoft.com/"), "{}", rule.code);
            for text in [rule.title, rule.why] {
                assert!(!text.is_empty() && !text.ends_with('.') && !text.contains("  "), "{text}");
            }
        }
        assert_eq!("data-endpoint-off".parse::<Code>(), Err(UnknownCode));
    }
}
