//! The file that `az aks` takes with `--http-proxy-config`, and what its kin share with it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{NEEDS, NOTE_PRIVATE, no_proxy, plain_proxy};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, ProxyUrl, Scope, Setting, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "aks-http-proxy.json",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: NOTES,
    apply: "\
az aks update --resource-group \"$RESOURCE_GROUP\" --name \"$CLUSTER\" \\
  --http-proxy-config aks-http-proxy.json",
    validator: "the schema of ARM, closed; `az aks create` and `az aks update`, whose requests are compared with it",
    sources: SOURCES,
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    Ok(quote::json(&HttpProxyConfig::of(sheet)?))
}

/// `httpProxyConfig`, as ARM calls it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpProxyConfig {
    pub(super) http_proxy: String,
    pub(super) https_proxy: String,
    pub(super) no_proxy: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trusted_ca: Option<String>,
}

impl HttpProxyConfig {
    pub(super) fn of(sheet: &Sheet<'_>) -> Result<Self, Error> {
        let why = "AKS takes no proxy that speaks TLS itself: give an `http` one";
        // AKS has refused URLs without the slash: https://github.com/Azure/AKS/issues/4574
        let proxy = plain_proxy(sheet, why)?;
        if is_loopback(proxy) {
            let why = "nodes and pods can't reach the proxy at a loopback address";
            return Err(sheet.unsuitable(Setting::Proxy, why));
        }
        let proxy = format!("{proxy}/");
        // Nodes and pods get the list in one variable.
        no_proxy(sheet)?;
        let trusted_ca = match &sheet.options.ca {
            Some(ca) => {
                sheet.at_most(MAX_CERTIFICATES, "certificates", ca.count())?;
                Some(STANDARD.encode(ca.pem()))
            }
            None => None,
        };
        Ok(Self {
            http_proxy: proxy.clone(),
            https_proxy: proxy,
            no_proxy: sheet.hosts.iter().map(|host| host.name.to_string()).collect(),
            trusted_ca,
        })
    }
}

/// Whether whoever connects to it finds nobody but themselves.
fn is_loopback(proxy: &ProxyUrl) -> bool {
    match proxy.host().parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        Err(_) => proxy.host().rsplit('.').next() == Some("localhost"),
    }
}

pub(super) const TAKES: &[Setting] = &[Setting::Proxy, Setting::Ca, Setting::FutureRegion];
pub(super) const LIMITS: &str = "20 certificates (AKS); 131 062 bytes of NO_PROXY, which is what Linux takes in one \
                                 variable (execve(2))";
pub(super) const NOTES: &[&str] = &[
    NOTE_PRIVATE,
    "A change reimages all node pools, also if only noProxy changes. Pods get the variables when they are started \
     anew.",
    "AKS itself adds the API server, the cluster's networks and the machine; they aren't repeated here. A network \
     excepts no name that resolves into it.",
    "The proxy must know the cluster by its addresses: AKS takes no user and no password. Windows node pools can't \
     use a proxy.",
];
pub(super) const SOURCES: &[&str] = &[
    "https://learn.microsoft.com/azure/aks/http-proxy",
    "https://learn.microsoft.com/azure/aks/cluster-container-registry-integration",
];

const MAX_CERTIFICATES: usize = 20;
