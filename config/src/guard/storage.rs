//! Storage services: which hosts are one, and which of them are the host of a single account.
//!
//! A service is a shape and not only a suffix: Azure names it right below the cloud's domain, Amazon
//! somewhere below.

use std::sync::LazyLock;

use crate::guard::language::{Language, everything_below};
use crate::hostname::Hostname;

/// Whether `host` belongs to a storage service of any cloud.
pub(super) fn is_storage(host: &Hostname) -> bool {
    SERVICES.iter().any(|(domain, shape)| match host.as_str().strip_suffix(domain) {
        Some("") => matches!(shape, Shape::All),
        Some(rest) => rest.strip_suffix('.').is_some_and(|below| shape.holds(below)),
        None => false,
    })
}

/// How storage hosts look below a provider's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Every one is, and so is the domain.
    All,
    /// The label right below the domain is one of these: `blob.core.windows.net` and below.
    Directly(&'static [&'static str]),
    /// Some label is one of these, alone or before a hyphen: `bucket.s3-eu-west-1.amazonaws.com`.
    Anywhere(&'static [&'static str]),
}

impl Shape {
    fn holds(self, below: &str) -> bool {
        match self {
            Self::All => true,
            Self::Directly(names) => {
                below.rsplit('.').next().is_some_and(|label| names.contains(&label))
            }
            Self::Anywhere(names) => below.split('.').any(|label| {
                names.iter().any(|name| {
                    let rest = label.strip_prefix(name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
                })
            }),
        }
    }
}

/// What no pattern may meet, for a witness that is surely a storage host. [`mixed_domains`] holds the rest.
pub(super) fn families() -> impl Iterator<Item = Language<'static>> {
    domains().map(everything_below)
}

/// A domain of every service, below which all hosts are storage.
pub(super) fn domains() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(String::as_str)
}

static FAMILIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let domains = |(domain, shape): &(&str, Shape)| match shape {
        Shape::All => vec![(*domain).to_owned()],
        Shape::Directly(names) | Shape::Anywhere(names) => {
            names.iter().map(|name| format!("{name}.{domain}")).collect()
        }
    };
    SERVICES.iter().flat_map(domains).collect()
});

/// Every provider's domain, with what of it is storage.
pub(super) fn services() -> impl Iterator<Item = (&'static str, Shape)> {
    SERVICES.iter().copied()
}

/// The domains below which storage services and others live.
pub(super) fn mixed_domains() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().filter(|(_, shape)| !matches!(shape, Shape::All)).map(|(domain, _)| *domain)
}

/// Whether `host` is an Azure storage account's: `<account>[variant][.zNN].<service>.<cloud>`, or
/// `<account>[variant].zNN.<service>.storage.azure.net`.
/// <https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints>
pub(super) fn is_account(host: &Hostname) -> bool {
    let labels: Vec<&str> = host.labels().collect();
    let (account, zone, service) = match labels[..] {
        [account, zone, service, "storage", "azure", "net"] => (account, Some(zone), service),
        [account, service, ..] if is_cloud(&labels[2..]) => (account, None, service),
        [account, zone, service, ..] if is_cloud(&labels[3..]) => (account, Some(zone), service),
        _ => return false,
    };
    // A static site always has a zone, so that `z13.web.core.windows.net` is no account but a zone.
    is_account_label(account) && AZURE.contains(&service) && zone.map_or(service != "web", is_zone)
}

fn is_cloud(labels: &[&str]) -> bool {
    AZURE_CLOUDS.iter().any(|cloud| cloud.split('.').eq(labels.iter().copied()))
}

fn is_account_label(label: &str) -> bool {
    let (account, variant) = label.split_once('-').unwrap_or((label, ""));
    (3..=24).contains(&account.len())
        && account.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && (label == account || ACCOUNT_VARIANTS.contains(&variant))
        // Private endpoints' records: a zone of everybody's accounts.
        && account != "privatelink"
}

fn is_zone(label: &str) -> bool {
    label.strip_prefix('z').is_some_and(|number| {
        (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What may follow an account's name: the second region, the network's routing, the address family.
const ACCOUNT_VARIANTS: [&str; 8] = [
    "secondary",
    "internetrouting",
    "internetrouting-secondary",
    "microsoftrouting",
    "ipv6",
    "dualstack",
    "secondary-ipv6",
    "secondary-dualstack",
];

/// Public Azure, US Government, China, Bleu, the closed German cloud (azure-cli, `core/cloud.py`) and
/// the two air-gapped ones.
const AZURE_CLOUDS: [&str; 7] = [
    "core.windows.net",
    "core.usgovcloudapi.net",
    "core.chinacloudapi.cn",
    "core.sovcloud-api.fr",
    "core.cloudapi.de",
    "core.eaglex.ic.gov",
    "core.microsoft.scloud",
];

/// <https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints>
const AZURE: &[&str] = &["blob", "dfs", "file", "queue", "table", "web"];

/// Accounts' names lead to hosts of `store`, whose servers go by the request's Host header alone:
/// `blob.<stamp>.store.core.windows.net`.
const AZURE_AND_STAMPS: &[&str] = &["blob", "dfs", "file", "queue", "table", "web", "store"];

/// `OneLake` takes a region or a workspace before it, and speaks the protocols of `blob` and `dfs`.
/// <https://learn.microsoft.com/fabric/onelake/onelake-access-api>
const ONELAKE: &[&str] = &["onelake", "dfs", "blob", "table"];

/// <https://docs.aws.amazon.com/general/latest/gr/s3.html>
const S3: &[&str] = &["s3", "s3express", "s3tables", "s3vectors", "glacier"];

/// Regional, mutual-TLS and per-project hosts put other labels around these; `www` serves the old
/// paths of storage and of Drive.
const GOOGLE: &[&str] =
    &["storage", "commondatastorage", "content-storage", "firebasestorage", "www"];

/// <https://docs.oracle.com/iaas/api/#/en/objectstorage/>
const ORACLE: &[&str] = &["objectstorage", "swiftobjectstorage"];

const SERVICES: &[(&str, Shape)] = &[
    (AZURE_CLOUDS[0], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[1], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[2], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[3], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[4], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[5], Shape::Directly(AZURE_AND_STAMPS)),
    (AZURE_CLOUDS[6], Shape::Directly(AZURE_AND_STAMPS)),
    // DNS-zone accounts, managed disks and Elastic SAN; file sync; data lakes; Fabric.
    ("storage.azure.net", Shape::All),
    ("afs.azure.net", Shape::All),
    ("afs.azure.us", Shape::All),
    ("azuredatalakestore.net", Shape::All),
    ("fabric.microsoft.com", Shape::Anywhere(ONELAKE)),
    ("pbidedicated.windows.net", Shape::Anywhere(ONELAKE)),
    // Amazon.
    ("amazonaws.com", Shape::Anywhere(S3)),
    ("amazonaws.com.cn", Shape::Anywhere(S3)),
    ("amazonaws.eu", Shape::Anywhere(S3)),
    ("api.aws", Shape::Anywhere(S3)),
    ("c2s.ic.gov", Shape::Anywhere(S3)),
    ("sc2s.sgov.gov", Shape::Anywhere(S3)),
    // Google.
    ("googleapis.com", Shape::Anywhere(GOOGLE)),
    ("storage.cloud.google.com", Shape::All),
    ("firebasestorage.app", Shape::All),
    // Oracle, IBM, Alibaba, Tencent, Huawei, Baidu, Volcano Engine, Yandex.
    ("oraclecloud.com", Shape::Anywhere(ORACLE)),
    ("oraclegovcloud.com", Shape::Anywhere(ORACLE)),
    ("oraclegovcloud.uk", Shape::Anywhere(ORACLE)),
    ("oraclecloud.eu", Shape::Anywhere(ORACLE)),
    ("customer-oci.com", Shape::Anywhere(ORACLE)),
    ("appdomain.cloud", Shape::Anywhere(&["s3", "cloud-object-storage"])),
    ("softlayer.net", Shape::Anywhere(&["objectstorage"])),
    ("aliyuncs.com", Shape::Anywhere(&["oss", "s3"])),
    ("myqcloud.com", Shape::All),
    ("tencentcos.cn", Shape::All),
    ("tencentcos.com", Shape::All),
    ("myhuaweicloud.com", Shape::Anywhere(&["obs"])),
    ("bcebos.com", Shape::All),
    ("volces.com", Shape::Anywhere(&["tos"])),
    ("storage.yandexcloud.net", Shape::All),
    // Everyone else who rents out buckets.
    ("r2.cloudflarestorage.com", Shape::All),
    ("r2.dev", Shape::All),
    ("storage.bunnycdn.com", Shape::All),
    ("digitaloceanspaces.com", Shape::All),
    ("backblazeb2.com", Shape::All),
    ("wasabisys.com", Shape::All),
    ("linodeobjects.com", Shape::All),
    ("vultrobjects.com", Shape::All),
    ("your-objectstorage.com", Shape::All),
    ("scw.cloud", Shape::Anywhere(&["s3", "s3-website"])),
    ("cloud.ovh.net", Shape::Anywhere(&["s3", "storage"])),
    ("cloud.ovh.us", Shape::Anywhere(&["s3", "storage"])),
    ("exo.io", Shape::All),
    ("upcloudobjects.com", Shape::All),
    ("contabostorage.com", Shape::All),
    ("storjshare.io", Shape::All),
    ("tigris.dev", Shape::All),
    ("storage.dev", Shape::All),
    ("dream.io", Shape::All),
    ("idrivee2.com", Shape::All),
    ("k2.cloud", Shape::Anywhere(&["s3"])),
    ("cloudscale.ch", Shape::Anywhere(&["objects"])),
    ("objectstorage.ch", Shape::All),
    ("sakurastorage.jp", Shape::All),
    ("ncloud.com", Shape::Anywhere(&["objectstorage", "object"])),
    ("ncloudstorage.com", Shape::All),
    ("gov-ncloudstorage.com", Shape::All),
    ("fin-ncloudstorage.com", Shape::All),
    ("ncpstorage.com", Shape::All),
    ("hb.cldmail.ru", Shape::All),
    ("storageapi.dev", Shape::All),
];
