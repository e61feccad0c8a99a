//! Where a cloud's resource manager and its authority are, and what a token for it is called.

pub use reqwest::Url;

use super::Error;
use crate::endpoint::Cloud;

/// The two services that are spoken to.
#[derive(Debug, Clone)]
pub struct Service {
    /// The resource manager (ARM).
    pub(super) manager: Url,
    /// What signs in: Microsoft Entra ID, or what stands in its place.
    pub(super) authority: Url,
    /// The scope of the token that ARM takes.
    pub(super) scope: String,
}

impl Service {
    /// Azure's own services in `cloud`, each of which can be another: a cloud of one's own has its own.
    ///
    /// A resource manager that isn't Azure's gets no token that Azure's would take: its audience is its own URL unless
    /// another is given.
    pub fn new(
        cloud: Cloud,
        manager: Option<Url>,
        authority: Option<Url>,
        audience: Option<&str>,
    ) -> Result<Self, Error> {
        let (azures, azures_authority, azures_audience) = known(cloud);
        let parse = |text: &str| parse_url(text).expect("the table holds URLs");
        let audience = match (audience, &manager) {
            (Some(audience), _) => audience.to_owned(),
            (None, Some(manager)) => manager.as_str().trim_end_matches('/').to_owned(),
            (None, None) => azures_audience.to_owned(),
        };
        // azure_identity takes these characters for a scope, and hands it to a shell.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
        if audience.is_empty() || !audience.chars().all(is_plain) {
            return Err(Error::Audience(audience));
        }
        Ok(Self {
            manager: manager.unwrap_or_else(|| parse(azures)),
            authority: authority.unwrap_or_else(|| parse(azures_authority)),
            scope: format!("{audience}/.default"),
        })
    }
}

/// The base of a service: https, a host, maybe a port and a path, and nothing else.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let wrong = || "write it as https://HOST or https://HOST:PORT".to_owned();
    let url: Url = text.parse().map_err(|_| wrong())?;
    let has_more = url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some();
    if has_more || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if url.scheme() != "https" {
        return Err("a token travels over https only".to_owned());
    }
    Ok(url)
}

/// The base of an authority, which is asked at the root of its host.
pub fn parse_authority(text: &str) -> Result<Url, String> {
    let url = parse_url(text)?;
    if url.path() != "/" {
        return Err("an authority is a host without a path; this is none of Microsoft Entra ID's"
            .to_owned());
    }
    Ok(url)
}

/// ARM, authority and audience, as azure-cli and the SDKs have them.
/// <https://github.com/Azure/azure-cli/blob/dev/src/azure-cli-core/azure/cli/core/cloud.py>
/// <https://github.com/Azure/azure-sdk-for-python/blob/main/sdk/core/azure-mgmt-core/azure/mgmt/core/tools.py>
fn known(cloud: Cloud) -> (&'static str, &'static str, &'static str) {
    match cloud {
        Cloud::Public => (
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            "https://management.azure.com",
        ),
        Cloud::UsGovernment => (
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net",
        ),
        Cloud::China => (
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
        ),
        Cloud::Bleu => (
            "https://management.sovcloud-api.fr",
            "https://login.sovcloud-identity.fr",
            "https://management.sovcloud-api.fr",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_has_its_services_and_a_custom_one_its_own() {
        let url = |text| parse_url(text).expect("a URL");
        let show = |service: Service| {
            [service.manager.to_string(), service.authority.to_string(), service.scope]
        };
        for cloud in Cloud::ALL {
            let service = Service::new(cloud, None, None, None).expect("known");
            assert_eq!(service.manager.path(), "/");
        }
        let government = Service::new(Cloud::UsGovernment, None, None, None).expect("known");
        assert_eq!(
            show(government),
            [
                "https://management.usgovcloudapi.net/",
                "https://login.microsoftonline.us/",
                "https://management.core.usgovcloudapi.net/.default"
            ]
        );
        let custom = Service::new(
            Cloud::Public,
            Some(url("https://management.local.azurestack.external/")),
            Some(url("https://login.example")),
            None,
        );
        assert_eq!(
            show(custom.expect("a service")),
            [
                "https://management.local.azurestack.external/",
                "https://login.example/",
                "https://management.local.azurestack.external/.default"
            ]
        );
        for audience in ["", "https://a.example/$(id)", "https://a.example;id"] {
            let service = Service::new(Cloud::Public, None, None, Some(audience));
            assert!(matches!(service, Err(Error::Audience(_))), "{audience}");
        }
    }

    #[test]
    fn urls_are_https_and_bare() {
        for (text, is_url) in [
            ("https://management.azure.com", true),
            ("https://127.0.0.1:8443/", true),
            ("http://management.azure.com", false),
            ("management.azure.com", false),
            ("https://", false),
            ("https://user:password@management.azure.com", false),
            ("https://management.azure.com/?a=b", false),
            ("https://management.azure.com/#a", false),
        ] {
            assert_eq!(parse_url(text).is_ok(), is_url, "{text}");
        }
    }
}
