//! Decides what may never be on a list: storage, whole registries' suffixes, shared domains by wildcard.
//!
//! A pattern is admitted only when it is *proved* disjoint from every forbidden family. Both are regular
//! languages over labels, so the proof is an intersection of two small automata, and a refusal carries a
//! witness: a host that lies in both.
//!
//! The proof reads each `*` as many firewalls do, as one label **or more**, although our own matcher
//! takes it for exactly one: a list is exported to consumers of both kinds, and must be safe in each.

mod language;
mod shared;
mod storage;

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::endpoint::{self, Endpoint};
use crate::guard::language::{Atom, Language, below, everything_below, meet, widest_reading};
use crate::hostname::Hostname;
use crate::pattern::HostPattern;

pub use crate::guard::storage::Shape;

/// Why a host or pattern may not be on a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pattern reaches a storage service, where anyone can have an account.
    #[error("`{pattern}` would allow `{witness}`, a storage account that anyone can own")]
    Storage {
        /// What was asked for.
        pattern: HostPattern,
        /// A storage host that it stands for.
        witness: Hostname,
    },
    /// The host itself is a storage host.
    #[error("`{0}` is a storage host, and any storage host is a way out")]
    StorageHost(Hostname),
    /// The pattern reaches other tenants of a shared domain.
    #[error("`{pattern}` would allow `{witness}`, which can belong to anyone")]
    Shared {
        /// What was asked for.
        pattern: HostPattern,
        /// A stranger's host that it stands for.
        witness: Hostname,
    },
    /// In a registry's domain, but not a host that a registry answers on.
    #[error("`{0}` is no registry's host: {1}")]
    NotARegistryHost(Hostname, endpoint::Error),
    /// A domain that many owners share, as an exact host.
    #[error("`{0}` is a domain that many owners share, and no host of one")]
    Apex(Hostname),
    /// A `storage_account` that is not one account's host.
    #[error("`{0}` is not the host of one Azure storage account")]
    NotAnAccount(Hostname),
}

impl Refusal {
    /// What to do instead.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Storage { .. } | Self::StorageHost(_) => {
                "turn on the registry's dedicated data endpoints (`az acr update --name NAME \
                 --data-endpoint-enabled`) and list their exact hosts; for one exact Azure storage \
                 account of your own, write `storage_account = \"…\"` with a `why`"
            }
            Self::Shared { .. } => "list the exact hosts",
            Self::Apex(_) => "list the exact host below it that clients ask for",
            Self::NotARegistryHost(..) => "derive the exact hosts with `allowlist-gen generate`",
            Self::NotAnAccount(_) => {
                "`storage_account` takes one exact host such as `myaccount.blob.core.windows.net`"
            }
        }
    }
}

/// Checks that `pattern` may stand on a list as a `host`.
///
/// ```
/// use ringfence_config::guard;
///
/// let refusal = guard::check(&"*.core.windows.net".parse().unwrap()).unwrap_err();
/// assert!(refusal.to_string().contains("would allow `exfil.blob.core.windows.net`"));
/// assert!(guard::check(&"contoso.azurecr.io".parse().unwrap()).is_ok());
/// ```
pub fn check(pattern: &HostPattern) -> Result<(), Refusal> {
    match pattern {
        HostPattern::Exact(host) => check_exact(host),
        HostPattern::Wildcard(_) => check_wildcard(pattern),
    }
}

/// Checks that `host` is one storage account's host, which only a `storage_account` entry may name.
pub fn check_account(host: &Hostname) -> Result<(), Refusal> {
    if storage::is_account(host) { Ok(()) } else { Err(Refusal::NotAnAccount(host.clone())) }
}

/// Whether `host` belongs to a storage service of any cloud.
pub fn is_storage(host: &Hostname) -> bool {
    storage::is_storage(host)
}

/// Domains below which storage services have their hosts, of every cloud we know.
pub fn storage_domains() -> impl Iterator<Item = &'static str> {
    storage::domains()
}

/// The domain, nearest first, below which `host` is one of many owners' names: anyone may have the one beside it, and
/// may get this one once its owner lets go. An exact host there can be on a list; nobody should put it there without
/// knowing whose it is.
pub fn shared_domain(host: &Hostname) -> Option<&str> {
    host.parents().find(|parent| {
        let is_rented = psl::suffix(parent.as_bytes()).is_some_and(|suffix| {
            suffix.typ() == Some(psl::Type::Private) && suffix.as_bytes() == parent.as_bytes()
        });
        is_rented || SHARED.contains(parent) || endpoint::domains().any(|domain| domain == *parent)
    })
}

/// The domains of every storage service we know, each with what of it is storage: together they are what
/// [`is_storage`] goes by.
pub fn storage_services() -> impl Iterator<Item = (&'static str, Shape)> {
    storage::services()
}

/// Domains below which names belong to many owners: content delivery, applications, and what lies beside storage.
pub fn shared_domains() -> impl Iterator<Item = &'static str> {
    shared::DOMAINS.iter().copied().chain(storage::mixed_domains())
}

/// The part of `host` that someone registered, by the public suffix list: `contoso.com` of `www.contoso.com`, and
/// `contoso.github.io` of itself. `None` where the name is itself one that people register names below, and where the
/// list knows nothing of its end, as of `kubernetes.default.svc`.
pub fn registered_domain(host: &Hostname) -> Option<&str> {
    let domain =
        psl::domain(host.as_str().as_bytes()).filter(|domain| domain.suffix().is_known())?;
    std::str::from_utf8(domain.as_bytes()).ok()
}

fn check_exact(host: &Hostname) -> Result<(), Refusal> {
    if is_storage(host) {
        return Err(Refusal::StorageHost(host.clone()));
    }
    match host.as_str().parse::<Endpoint>() {
        Ok(_) => return Ok(()),
        Err(endpoint::Error::UnknownSuffix) => {}
        Err(error) => return Err(Refusal::NotARegistryHost(host.clone(), error)),
    }
    let is_public_suffix = psl::suffix_str(host.as_str()) == Some(host.as_str());
    let is_shared = is_public_suffix || SHARED.contains(host.as_str());
    if is_shared && !shared::SERVICES_AT_THE_APEX.contains(&host.as_str()) {
        return Err(Refusal::Apex(host.clone()));
    }
    Ok(())
}

/// [`shared_domains`], to be asked about each host of a long log.
static SHARED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| shared_domains().collect());

fn check_wildcard(pattern: &HostPattern) -> Result<(), Refusal> {
    let read = widest_reading(pattern);
    for family in storage::families() {
        if let Some(witness) = meet(&read, &family) {
            return Err(Refusal::Storage { pattern: pattern.clone(), witness });
        }
    }
    // Below a registry suffix the first label is the owner: with it fixed, a pattern stays in one registry.
    let owner_is_free = pattern.labels().next() == Some("*");
    let registries = endpoint::domains().filter(|_| owner_is_free).flat_map(registry_families);
    for family in registries.chain(shared_domains().map(everything_below)) {
        if let Some(witness) = meet(&read, &family) {
            return Err(Refusal::Shared { pattern: pattern.clone(), witness });
        }
    }
    check_registrable(pattern, &read)
}

/// The public suffix list knows the domains under which anyone can register a name, `co.uk` as well as
/// `github.io`. A wildcard needs a domain of one owner, and all names below it to be that owner's.
///
/// A rule such as `*.kawasaki.jp` says so of no name but those below: they have no owner, or another.
fn check_registrable(pattern: &HostPattern, read: &[Atom<'_>]) -> Result<(), Refusal> {
    let literal_tail: Vec<&str> =
        pattern.labels().rev().take_while(|label| *label != "*").collect();
    let tail = literal_tail.into_iter().rev().collect::<Vec<_>>().join(".");
    let owner = psl::domain_str(&tail);
    let is_owners = |host: &str| owner.is_some() && psl::domain_str(host) == owner;
    if is_owners(&format!("exfil.{tail}")) && is_owners(&format!("x.exfil.{tail}")) {
        return Ok(());
    }
    match meet(read, &everything_below(&tail)) {
        Some(witness) => Err(Refusal::Shared { pattern: pattern.clone(), witness }),
        None => Ok(()),
    }
}

/// The hosts of registries in the order that makes the most telling witness; the last family holds the others.
fn registry_families(suffix: &'static str) -> [Language<'static>; 4] {
    use Atom::{Literal, Many, One};
    let regional = |family| below(suffix, &[Literal(family), Literal("eastus"), One]);
    [below(suffix, &[One]), regional("data"), regional("geo"), below(suffix, &[Many])]
}

#[cfg(test)]
pub(in crate::guard) mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn host(text: &str) -> Hostname {
        text.parse().expect("a host name")
    }

    fn refusal(text: &str) -> Refusal {
        check(&text.parse().expect("a pattern")).expect_err(text)
    }

    /// The naive definition of "the pattern, read widely, stands for the host": every split is tried.
    pub(in crate::guard) fn stands_for(pattern: &HostPattern, host: &Hostname) -> bool {
        fn same(pattern: &[&str], labels: &[&str]) -> bool {
            match (pattern, labels) {
                ([], []) => true,
                (["*", rest @ ..], [_, ..]) => {
                    (1..=labels.len()).any(|taken| same(rest, &labels[taken..]))
                }
                ([literal, rest @ ..], [label, labels @ ..]) => {
                    literal == label && same(rest, labels)
                }
                _ => false,
            }
        }
        let labels: Vec<&str> = host.labels().collect();
        same(&pattern.labels().collect::<Vec<_>>(), &labels)
    }

    #[test]
    fn refusals_name_a_true_witness() {
        let rows = [
            ("*.core.windows.net", "exfil.blob.core.windows.net"),
            ("*.blob.core.windows.net", "exfil.blob.core.windows.net"),
            ("acct.*.core.windows.net", "acct.blob.core.windows.net"),
            ("acct.*.sovcloud-api.fr", "acct.blob.core.sovcloud-api.fr"),
            ("acct.*.cloudapi.de", "acct.blob.core.cloudapi.de"),
            ("acct.*.blob.core.windows.net", "acct.exfil.blob.core.windows.net"),
            ("*.windows.net", "exfil.blob.core.windows.net"),
            ("*.z13.web.core.windows.net", "exfil.z13.web.core.windows.net"),
            ("*.storage.azure.net", "exfil.storage.azure.net"),
            ("*.azure.net", "exfil.storage.azure.net"),
            ("*.blob.core.chinacloudapi.cn", "exfil.blob.core.chinacloudapi.cn"),
            ("*.azurecr.io", "exfil.azurecr.io"),
            ("*.data.azurecr.io", "exfil.eastus.data.azurecr.io"),
            ("*.*.data.azurecr.io", "exfil.eastus.data.azurecr.io"),
            ("*.eastus.data.azurecr.io", "exfil.eastus.data.azurecr.io"),
            ("*.azurecr.us", "exfil.azurecr.us"),
            ("*.azureedge.net", "exfil.azureedge.net"),
            ("*.cloudapp.azure.com", "exfil.cloudapp.azure.com"),
            ("*.co.uk", "exfil.co.uk"),
            ("*.s3.amazonaws.com", "exfil.s3.amazonaws.com"),
            ("*.vultrobjects.com", "exfil.vultrobjects.com"),
            ("a.*.vultrobjects.com", "a.exfil.vultrobjects.com"),
            ("*.ewr1.vultrobjects.com", "exfil.ewr1.vultrobjects.com"),
            ("*.kawasaki.jp", "exfil.kawasaki.jp"),
            ("*.nom.br", "exfil.nom.br"),
            ("*.sys.qcx.io", "exfil.sys.qcx.io"),
            ("*.advisor.ws", "exfil.advisor.ws"),
        ];
        for (pattern, expected) in rows {
            match refusal(pattern) {
                Refusal::Storage { pattern, witness } | Refusal::Shared { pattern, witness } => {
                    assert_eq!(witness.as_str(), expected, "{pattern}");
                    assert!(stands_for(&pattern, &witness), "{pattern}");
                }
                other => panic!("{pattern}: {other}"),
            }
        }
    }

    #[test]
    fn shared_domains_are_refused_as_patterns() {
        for domain in [
            "sharepoint.com",
            "fabric.microsoft.com",
            "oraclecloud.com",
            "appdomain.cloud",
            "scw.cloud",
            "googleusercontent.com",
            "dropboxusercontent.com",
            "azuredatabricks.net",
            "azconfig.io",
            "openai.azure.com",
            "eventgrid.azure.net",
            "azure-devices.net",
            "service.signalr.net",
            "webpubsub.azure.com",
            "azureedge.cn",
            "azurefd.cn",
            "devtunnels.ms",
            "loca.lt",
            "serveo.net",
            "b-cdn.net",
            "linode.com",
            "amazoncognito.com",
            "sagemaker.aws",
            "vultrobjects.com",
            "core.eaglex.ic.gov",
            "core.microsoft.scloud",
            // Every customer's API servers, workspaces and telemetry, in the clouds that are not the public one.
            "hcp.chinaeast2.cx.prod.service.azk8s.cn",
            "hcp.usgovvirginia.cx.aks.containerservice.azure.us",
            "ods.opinsights.azure.us",
            "oms.opinsights.azure.cn",
            "metrics.ingest.monitor.azure.us",
            "ingest.monitor.azure.cn",
        ] {
            // As many firewalls read it, and with an owner's label on the left.
            for pattern in [format!("*.{domain}"), format!("a.*.{domain}")] {
                match refusal(&pattern) {
                    Refusal::Storage { pattern, witness }
                    | Refusal::Shared { pattern, witness } => {
                        assert!(witness.is_below(domain), "{pattern} {witness}");
                        assert!(stands_for(&pattern, &witness), "{pattern} {witness}");
                    }
                    other => panic!("{pattern}: {other}"),
                }
            }
        }
    }

    #[test]
    fn whose_name_it_is_is_told_by_the_nearest_domain() {
        for (text, expected) in [
            ("acs-mirror.azureedge.net", Some("azureedge.net")),
            ("contoso.hcp.eastus.azmk8s.io", Some("azmk8s.io")),
            ("nvidia.github.io", Some("github.io")),
            ("a.b.web.app", Some("web.app")),
            ("contoso.azurecr.io", Some("azurecr.io")),
            ("login.microsoftonline.com", None),
            ("ghcr.io", None),
            ("www.example.co.uk", None),
            ("mcr.microsoft.com", None),
        ] {
            assert_eq!(shared_domain(&host(text)), expected, "{text}");
        }
    }

    #[test]
    fn exact_storage_hosts_are_refused() {
        for text in [
            "acct.blob.core.windows.net",
            "blob.core.windows.net",
            "acct.z00.blob.storage.azure.net",
            "blob.bn9prdstr08a.store.core.windows.net",
            "acct.blob.core.eaglex.ic.gov",
            "acct.blob.core.microsoft.scloud",
            "onelake.dfs.fabric.microsoft.com",
            "onelake.blob.fabric.microsoft.com",
            "westus-onelake.dfs.fabric.microsoft.com",
            "s3.amazonaws.com",
            "s3.eu-west-1.amazonaws.com",
            "s3-eu-west-1.amazonaws.com",
            "bucket.s3.amazonaws.com",
            "bucket.s3.eu-west-1.amazonaws.com",
            "bucket.s3.dualstack.eu-west-1.amazonaws.com",
            "bucket.s3-website-us-east-1.amazonaws.com",
            "bucket--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com",
            "bucket.s3.cn-north-1.amazonaws.com.cn",
            "storage.googleapis.com",
            "bucket.storage.googleapis.com",
            "storage.europe-west3.rep.googleapis.com",
            "oss-cn-hangzhou.aliyuncs.com",
            "bucket.oss-cn-hangzhou-internal.aliyuncs.com",
            "cos.ap-guangzhou.myqcloud.com",
            "objectstorage.us-ashburn-1.oraclecloud.com",
            "tenancy.compat.objectstorage.us-ashburn-1.oraclecloud.com",
            "s3.eu-de.cloud-object-storage.appdomain.cloud",
            "ewr1.vultrobjects.com",
            "your-objectstorage.com",
            "fsn1.your-objectstorage.com",
            "s3.fr-par.scw.cloud",
            "bucket.s3.fr-par.scw.cloud",
        ] {
            assert_eq!(refusal(text), Refusal::StorageHost(host(text)));
        }
    }

    #[test]
    fn hosts_beside_storage_are_not_storage() {
        for text in [
            "core.windows.net",
            "myblob.core.windows.net",
            "acct.blob.core.windows.net.example.com",
            "evilstorage.azure.net",
            "ec2.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "s3.example.com",
            "s3x.eu-west-1.amazonaws.com",
            "oauth2.googleapis.com",
            "rg.fr-par.scw.cloud",
            "app.fabric.microsoft.com",
        ] {
            assert!(!is_storage(&host(text)), "{text}");
        }
    }

    #[test]
    fn a_domain_that_many_share_is_no_host() {
        for text in [
            "core.windows.net",
            "core.usgovcloudapi.net",
            "core.microsoft.scloud",
            "azurefd.net",
            "trafficmanager.net",
            "amazonaws.com",
            "oraclecloud.com",
            "github.io",
            "co.uk",
            "exfil.kawasaki.jp",
        ] {
            assert_eq!(refusal(text), Refusal::Apex(host(text)));
        }
    }

    #[test]
    fn exact_hosts_that_are_nobodys_registry_are_refused() {
        use crate::endpoint::Error;
        for (text, why) in [
            ("azurecr.io", Error::Apex),
            ("azurecr.de", Error::ClosedCloud),
            ("data.azurecr.io", Error::Label("data".parse().expect("a label"))),
            ("eastus.data.azurecr.io", Error::NotAnEndpoint),
            ("privatelink.azurecr.io", Error::PrivateZone),
            ("contoso.privatelink.azurecr.io", Error::PrivateZone),
            ("contoso.eastus.data.privatelink.azurecr.io", Error::PrivateZone),
            ("contoso.eastus.other.azurecr.io", Error::NotAnEndpoint),
            ("contoso.azurecr.de", Error::ClosedCloud),
        ] {
            assert_eq!(refusal(text), Refusal::NotARegistryHost(host(text), why));
        }
    }

    #[test]
    fn one_owner_is_admitted() {
        for text in [
            "contoso.azurecr.io",
            "contoso.eastus.data.azurecr.io",
            "contoso.eastus.geo.azurecr.us",
            "contoso.*.data.azurecr.io",
            "login.microsoftonline.com",
            "management.azure.com",
            "packages.microsoft.com",
            "*.data.mcr.microsoft.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "ghcr.io",
            "gcr.io",
            "quay.io",
            "registry-1.docker.io",
            "registry.k8s.io",
            "dev.azure.com",
            "contoso.github.io",
            // An exception of the public suffix list: one owner below `*.kawasaki.jp`.
            "*.city.kawasaki.jp",
            "*.example.co.uk",
        ] {
            assert_eq!(check(&text.parse().expect("a pattern")), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_storage_account_is_one_accounts_exact_host() {
        for service in ["blob", "dfs", "file", "queue", "table"] {
            for variant in published().azure_storage_label_variants {
                let account = variant.replace("<account>", "mine4");
                for suffix in ["core.windows.net", "core.usgovcloudapi.net", "core.eaglex.ic.gov"] {
                    let text = format!("{account}.{service}.{suffix}");
                    assert_eq!(check_account(&host(&text)), Ok(()), "{text}");
                }
                let text = format!("{account}.z07.{service}.storage.azure.net");
                assert_eq!(check_account(&host(&text)), Ok(()), "{text}");
            }
        }
        assert_eq!(check_account(&host("mine.z13.web.core.windows.net")), Ok(()));
        for text in [
            "blob.core.windows.net",
            "contoso.azurecr.io",
            "fra1.digitaloceanspaces.com",
            "bucket.s3.amazonaws.com",
            "blob.storage.azure.net",
            "z07.blob.storage.azure.net",
            "mine.blob.storage.azure.net",
            "md-abc.z07.blob.storage.azure.net",
            "privatelink.blob.core.windows.net",
            "mine.privatelink.blob.core.windows.net",
            "z13.web.core.windows.net",
            "a.b.c.d.blob.core.windows.net",
            "a-b.blob.core.windows.net",
            "mine-other.blob.core.windows.net",
            "mine-secondary-secondary.blob.core.windows.net",
            "ab.blob.core.windows.net",
            "abcdefghijklmnopqrstuvwxy.blob.core.windows.net",
            "mine.disk.core.windows.net",
            "onelake.blob.fabric.microsoft.com",
        ] {
            assert_eq!(check_account(&host(text)), Err(Refusal::NotAnAccount(host(text))));
        }
    }

    #[derive(serde::Deserialize)]
    struct Suffix {
        suffix: String,
    }

    #[derive(serde::Deserialize)]
    struct Suffixes {
        azure_storage: Vec<Suffix>,
        azure_storage_label_variants: Vec<String>,
        multi_tenant: Vec<Suffix>,
    }

    fn published() -> Suffixes {
        let text = include_str!("../../tests/fixtures/azure/data/dangerous-suffixes.json");
        serde_json::from_str(text).expect("the fixture parses")
    }

    #[test]
    fn every_published_suffix_is_covered() {
        let published = published();
        for Suffix { suffix } in &published.azure_storage {
            for variant in &published.azure_storage_label_variants {
                let account = variant.replace("<account>", "acct");
                assert!(is_storage(&host(&format!("{account}.{suffix}"))), "{suffix}");
                assert!(is_storage(&host(&format!("{account}.z13.{suffix}"))), "{suffix}");
            }
            assert!(matches!(refusal(&format!("*.{suffix}")), Refusal::Storage { .. }), "{suffix}");
        }
        for Suffix { suffix } in &published.multi_tenant {
            assert!(check(&format!("*.{suffix}").parse().expect("a pattern")).is_err(), "{suffix}");
        }
    }

    /// Hosts of Azure's storage, and of others'.
    fn storage_host() -> impl Strategy<Value = Hostname> {
        let suffixes: Vec<String> =
            published().azure_storage.into_iter().map(|s| s.suffix).collect();
        let azure =
            ("[a-z0-9]{3,24}(-secondary|-ipv6)?", prop::option::of("z[0-9]{2}"), select(suffixes))
                .prop_map(|(account, zone, suffix)| {
                    let zone = zone.map(|zone| format!(".{zone}")).unwrap_or_default();
                    host(&format!("{account}{zone}.{suffix}"))
                });
        let other = r"([a-z0-9]{1,9}\.)?(s3(-[a-z]{1,5})?\.([a-z]{1,5}\.)?(amazonaws\.com|scw\.cloud)|onelake\.dfs\.fabric\.microsoft\.com|oss-[a-z]{1,5}\.aliyuncs\.com|[a-z]{3}1\.vultrobjects\.com|storage\.googleapis\.com|objectstorage\.[a-z]{1,5}\.oraclecloud\.com)";
        prop_oneof![azure, other.prop_map(|text| host(&text))]
    }

    proptest! {
        /// No pattern made by widening a storage host passes, and each witness is one of its hosts.
        #[test]
        fn widened_storage_hosts_are_refused_with_a_true_witness(
            target in storage_host(),
            stars in any::<u8>(),
            dropped in 0_usize..4,
        ) {
            let labels: Vec<&str> = target.labels().skip(dropped).collect();
            let widenable = labels.len().saturating_sub(2);
            let widened: Vec<&str> = labels
                .iter()
                .enumerate()
                .map(|(i, label)| {
                    let star = i < widenable && (stars >> i & 1 == 1 || (i == 0 && dropped > 0));
                    if star { "*" } else { label }
                })
                .collect();
            let Ok(pattern) = widened.join(".").parse::<HostPattern>() else { return Ok(()) };
            if !stands_for(&pattern, &target) {
                return Ok(());
            }
            match check(&pattern) {
                Err(Refusal::Storage { witness, .. }) => {
                    prop_assert!(is_storage(&witness) && stands_for(&pattern, &witness));
                }
                // Where other hosts live beside storage, one of them may be the shorter witness.
                Err(Refusal::Shared { witness, .. }) => {
                    let domain = storage::mixed_domains().find(|domain| target.is_below(domain));
                    prop_assert!(domain.is_some_and(|domain| witness.is_below(domain)));
                    prop_assert!(stands_for(&pattern, &witness));
                }
                Err(Refusal::StorageHost(witness)) => prop_assert_eq!(witness, target),
                other => prop_assert!(false, "{pattern}: {other:?}"),
            }
        }

        /// Below a domain where anyone gets a name, no pattern whose stars touch that name passes.
        #[test]
        fn patterns_over_many_owners_are_refused_with_a_true_witness(
            left in r"((\*|[a-c])\.){0,2}\*",
            domain in select(vec![
                "vultrobjects.com", "kawasaki.jp", "nom.br", "sys.qcx.io", "co.uk", "github.io",
                "members.linode.com", "azurewebsites.net", "compute.amazonaws.com", "run.app",
                "your-objectstorage.com", "azureedge.net", "herokuapp.com",
            ]),
        ) {
            let pattern: HostPattern = format!("{left}.{domain}").parse().expect("a pattern");
            match check(&pattern) {
                Err(Refusal::Storage { witness, .. } | Refusal::Shared { witness, .. }) => {
                    prop_assert!(stands_for(&pattern, &witness), "{pattern} {witness}");
                }
                other => prop_assert!(false, "{pattern}: {other:?}"),
            }
        }

        /// Whatever passes stands for no storage host, however the pattern came about: each label of a
        /// storage host stays, becomes a star, or makes way for a star that spans it and its neighbours.
        #[test]
        fn nothing_admitted_stands_for_a_storage_host(
            target in storage_host(),
            fates in prop::collection::vec(0_u8..3, 8),
        ) {
            let labels: Vec<&str> = target.labels().collect();
            let literal = labels.len() - 2;
            let mut pattern: Vec<&str> = Vec::new();
            for (i, label) in labels.iter().enumerate() {
                match fates[i % fates.len()] {
                    1 if i < literal => pattern.push("*"),
                    2 if i < literal && pattern.last() == Some(&"*") => {}
                    _ => pattern.push(label),
                }
            }
            let pattern: HostPattern = pattern.join(".").parse().expect("a pattern");
            prop_assert!(stands_for(&pattern, &target), "the test made {pattern} of {target}");
            prop_assert!(check(&pattern).is_err(), "{pattern} {target}");
        }
    }
}
