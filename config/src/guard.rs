//! Decides what may never be on a list: storage, whole registries' suffixes, shared domains by wildcard.
//!
//! A pattern is admitted only when it is *proved* disjoint from every forbidden family. Both are regular
//! languages over labels, so the proof is an intersection of two small automata, and a refusal carries a
//! witness: a host that lies in both.
//!
//! The proof reads each `*` as many firewalls do, as one label **or more**, although our own matcher
//! takes it for exactly one: a list is exported to consumers of both kinds, and must be safe in each.

mod language;

use crate::guard::language::{Atom, Language, below, everything_below, meet, widest_reading};
use crate::hostname::Hostname;
use crate::pattern::HostPattern;

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
    /// Below a registry suffix, but not a host that a registry answers on.
    #[error(
        "`{0}` is no registry's host: a registry answers on `<registry>.{1}` and `<registry>.<region>.data.{1}`"
    )]
    NotARegistryHost(Hostname, &'static str),
    /// A `storage_account` that is not one account's host.
    #[error("`{0}` is not the host of one storage account")]
    NotAnAccount(Hostname),
}

impl Refusal {
    /// What to do instead.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Storage { .. } | Self::StorageHost(_) => {
                "turn on the registry's dedicated data endpoints (`az acr update --name NAME \
                 --data-endpoint-enabled`) and list its `<registry>.<region>.data.azurecr.io` hosts; \
                 for one exact account of your own, write `storage_account = \"…\"` with a `why`"
            }
            Self::Shared { .. } => "list the exact hosts",
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
    if storage().any(|suffix| host.is_below(&suffix)) {
        Ok(())
    } else {
        Err(Refusal::NotAnAccount(host.clone()))
    }
}

/// Whether `host` belongs to a storage service of any cloud.
pub fn is_storage(host: &Hostname) -> bool {
    STORAGE_CLOUDS.iter().any(|cloud| {
        host.as_str().strip_suffix(cloud).and_then(|rest| rest.strip_suffix('.')).is_some_and(
            |rest| {
                let service = rest.rsplit('.').next().unwrap_or_default();
                STORAGE_SERVICES.contains(&service)
            },
        )
    }) || STORAGE_SUFFIXES.iter().any(|suffix| host.as_str() == *suffix || host.is_below(suffix))
}

fn check_exact(host: &Hostname) -> Result<(), Refusal> {
    if is_storage(host) {
        return Err(Refusal::StorageHost(host.clone()));
    }
    for suffix in REGISTRIES {
        if host.as_str() == *suffix
            || (host.is_below(suffix) && !fits_registry_grammar(host, suffix))
        {
            return Err(Refusal::NotARegistryHost(host.clone(), suffix));
        }
    }
    Ok(())
}

/// `<label>.<suffix>`, `<label>.<region>.data.<suffix>` or `<label>.<region>.geo.<suffix>`.
fn fits_registry_grammar(host: &Hostname, suffix: &str) -> bool {
    let below = host.as_str().strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
    let labels: Vec<&str> = below.unwrap_or_default().split('.').collect();
    match labels[..] {
        [label] => !RESERVED_LABELS.contains(&label),
        [_, _, family] => matches!(family, "data" | "geo"),
        _ => false,
    }
}

fn check_wildcard(pattern: &HostPattern) -> Result<(), Refusal> {
    let read = widest_reading(pattern);
    for suffix in storage() {
        if let Some(witness) = meet(&read, &everything_below(&suffix)) {
            return Err(Refusal::Storage { pattern: pattern.clone(), witness });
        }
    }
    // Below a registry suffix the first label is the owner: with it fixed, a pattern stays in one registry.
    let owner_is_free = pattern.labels().next() == Some("*");
    let registries =
        REGISTRIES.iter().filter(|_| owner_is_free).flat_map(|suffix| registry_families(suffix));
    for family in registries.chain(SHARED.iter().map(|suffix| everything_below(suffix))) {
        if let Some(witness) = meet(&read, &family) {
            return Err(Refusal::Shared { pattern: pattern.clone(), witness });
        }
    }
    check_registrable(pattern, &read)
}

/// The public suffix list knows the domains under which anyone can register a name, `co.uk` as well as
/// `github.io`. A wildcard needs a domain of one owner, and all names below it to be that owner's.
///
/// Its rules reach one label below a domain (`*.kawasaki.jp`), so names of two labels tell the most.
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
fn registry_families(suffix: &str) -> [Language<'_>; 4] {
    use Atom::{Literal, Many, One};
    let regional = |family| below(suffix, &[Literal(family), Literal("eastus"), One]);
    [below(suffix, &[One]), regional("data"), regional("geo"), below(suffix, &[Many])]
}

/// Every suffix below which accounts live: `blob.core.windows.net` and its siblings.
fn storage() -> impl Iterator<Item = String> {
    let azure = STORAGE_CLOUDS
        .iter()
        .flat_map(|cloud| STORAGE_SERVICES.iter().map(move |service| format!("{service}.{cloud}")));
    azure.chain(STORAGE_SUFFIXES.iter().map(|suffix| (*suffix).to_owned()))
}

/// Public Azure, US Government, China, Bleu, and the closed German cloud (azure-cli, `core/cloud.py`).
const STORAGE_CLOUDS: &[&str] = &[
    "core.windows.net",
    "core.usgovcloudapi.net",
    "core.chinacloudapi.cn",
    "core.sovcloud-api.fr",
    "core.cloudapi.de",
];

/// <https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints>
const STORAGE_SERVICES: &[&str] = &["blob", "dfs", "file", "queue", "table", "web"];

/// DNS-zone accounts, managed disks and Elastic SAN; file sync; other clouds' object stores.
const STORAGE_SUFFIXES: &[&str] = &[
    "storage.azure.net",
    "afs.azure.net",
    "afs.azure.us",
    "azuredatalakestore.net",
    "storage.googleapis.com",
    "r2.cloudflarestorage.com",
    "r2.dev",
    "digitaloceanspaces.com",
    "backblazeb2.com",
    "wasabisys.com",
    "linodeobjects.com",
];

/// Anyone can create a registry, and push to it, below these.
const REGISTRIES: &[&str] =
    &["azurecr.io", "azurecr.us", "azurecr.cn", "azurecr.de", "azurecr.sovcloud-azure.fr"];

/// Below a registry suffix these are families and zones, not registries.
const RESERVED_LABELS: &[&str] = &["data", "geo", "privatelink"];

/// Domains whose subdomains belong to many owners; the public suffix list adds more.
/// <https://learn.microsoft.com/azure/security/fundamentals/azure-domains>
const SHARED: &[&str] = &[
    // Content delivery and routing.
    "azureedge.net",
    "azurefd.net",
    "azurefd.us",
    "msecnd.net",
    "trafficmanager.net",
    "usgovtrafficmanager.net",
    "trafficmanager.cn",
    "akamaized.net",
    "fastly.net",
    // Compute and applications.
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudapp.usgovcloudapi.net",
    "cloudapp.chinacloudapi.cn",
    "azurewebsites.net",
    "azurewebsites.us",
    "chinacloudsites.cn",
    "azurestaticapps.net",
    "azurecontainerapps.io",
    "azurecontainer.io",
    "azure-api.net",
    "azmk8s.io",
    "azureml.net",
    // Data, secrets, telemetry, identity, development.
    "documents.azure.com",
    "cosmos.azure.com",
    "database.windows.net",
    "database.azure.com",
    "servicebus.windows.net",
    "redis.cache.windows.net",
    "search.windows.net",
    "azurehdinsight.net",
    "dev.azuresynapse.net",
    "kusto.windows.net",
    "vault.azure.net",
    "vault.usgovcloudapi.net",
    "vault.azure.cn",
    "managedhsm.azure.net",
    "opinsights.azure.com",
    "monitor.azure.com",
    "applicationinsights.azure.com",
    "visualstudio.com",
    "dev.azure.com",
    "onmicrosoft.com",
    // Other clouds.
    "amazonaws.com",
    "amazonaws.com.cn",
    "cloudfront.net",
    "on.aws",
    "awsapps.com",
    "elasticbeanstalk.com",
    "googleapis.com",
    "appspot.com",
    "run.app",
    "cloudfunctions.net",
    "web.app",
    "firebaseapp.com",
    "pkg.dev",
    "gcr.io",
    "cloudflarestorage.com",
    "workers.dev",
    "pages.dev",
    "trycloudflare.com",
    "aliyuncs.com",
    "myqcloud.com",
    // Hosts of other people's code and applications.
    "github.io",
    "githubusercontent.com",
    "ghcr.io",
    "gitlab.io",
    "herokuapp.com",
    "vercel.app",
    "netlify.app",
    "fly.dev",
    "onrender.com",
    "ngrok.io",
    "ngrok-free.app",
];

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
    fn exact_hosts_that_are_nobodys_registry_or_storage_are_refused() {
        for text in [
            "acct.blob.core.windows.net",
            "blob.core.windows.net",
            "acct.z00.blob.storage.azure.net",
        ] {
            assert_eq!(refusal(text), Refusal::StorageHost(host(text)));
        }
        for text in [
            "azurecr.io",
            "data.azurecr.io",
            "eastus.data.azurecr.io",
            "privatelink.azurecr.io",
            "contoso.privatelink.azurecr.io",
            "contoso.eastus.data.privatelink.azurecr.io",
            "contoso.eastus.other.azurecr.io",
        ] {
            assert_eq!(refusal(text), Refusal::NotARegistryHost(host(text), "azurecr.io"));
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
            "*.data.mcr.microsoft.com",
            "bucket.s3.amazonaws.com",
            "ghcr.io",
            // An exception of the public suffix list: one owner below `*.kawasaki.jp`.
            "*.city.kawasaki.jp",
            "*.example.co.uk",
        ] {
            assert_eq!(check(&text.parse().expect("a pattern")), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_storage_account_is_one_exact_storage_host() {
        assert_eq!(check_account(&host("mine.blob.core.windows.net")), Ok(()));
        for text in ["blob.core.windows.net", "contoso.azurecr.io"] {
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

    fn storage_host() -> impl Strategy<Value = Hostname> {
        let suffixes: Vec<String> =
            published().azure_storage.into_iter().map(|s| s.suffix).collect();
        ("[a-z0-9]{3,24}(-secondary|-ipv6)?", prop::option::of("z[0-9]{2}"), select(suffixes))
            .prop_map(|(account, zone, suffix)| {
                let zone = zone.map(|zone| format!(".{zone}")).unwrap_or_default();
                host(&format!("{account}{zone}.{suffix}"))
            })
    }

    proptest! {
        /// No pattern made by widening a storage host passes, and each witness is one.
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
                Err(Refusal::StorageHost(witness)) => prop_assert_eq!(witness, target),
                other => prop_assert!(false, "{pattern}: {other:?}"),
            }
        }

        /// Whatever passes stands for no storage host.
        #[test]
        fn nothing_admitted_stands_for_a_storage_host(
            pattern in r"(\*|[a-z]{1,5}|blob|data)(\.(\*|blob|core|z13|eastus)){0,3}\.(core\.windows\.net|windows\.net|azurecr\.io|example\.com|storage\.azure\.net)",
            target in storage_host(),
        ) {
            let pattern: HostPattern = pattern.parse().expect("a pattern");
            if check(&pattern).is_ok() {
                prop_assert!(!stands_for(&pattern, &target), "{pattern} {target}");
            }
        }
    }
}
