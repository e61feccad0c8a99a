//! Decides which hosts a registry answers on, and reads such hosts back. The only file that spells
//! the domains of registries.
//!
//! The grammar:
//! <https://learn.microsoft.com/azure/container-registry/container-registry-endpoint-reference>

use std::fmt;
use std::str::FromStr;

use crate::hostname::{self, Hostname};
use crate::registry::{Label, Region};

/// An Azure cloud in which registries live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cloud {
    /// `AzureCloud`
    Public,
    /// `AzureUSGovernment`
    UsGovernment,
    /// `AzureChinaCloud`, operated by 21Vianet
    China,
    /// `AzureBleuCloud`, in France
    Bleu,
}

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 4] = [Self::Public, Self::UsGovernment, Self::China, Self::Bleu];

    /// The domain below which the cloud's registries answer; azure-cli calls it
    /// `acr_login_server_endpoint`.
    /// <https://github.com/Azure/azure-cli/blob/dev/src/azure-cli-core/azure/cli/core/cloud.py>
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Public => "azurecr.io",
            Self::UsGovernment => "azurecr.us",
            Self::China => "azurecr.cn",
            Self::Bleu => "azurecr.sovcloud-azure.fr",
        }
    }

    /// The DNS zone with the private addresses of the cloud's registries.
    /// <https://learn.microsoft.com/azure/private-link/private-endpoint-dns>
    pub fn private_zone(self) -> String {
        format!("{PRIVATE_ZONE}.{}", self.suffix())
    }
}

/// A registry's global login server, which is also what tells one registry from another.
///
/// Its label is the registry's name, or `name-hash` where a domain name label scope was chosen, so
/// hosts are built from this label and never from the name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginServer {
    label: Label,
    cloud: Cloud,
}

impl LoginServer {
    /// The login server with this label; refused if no registry can have it.
    pub fn new(label: &Label, cloud: Cloud) -> Result<Self, Error> {
        let text = label.as_str();
        let mut parts = text.split('-');
        let is_name_and_hash = parts.all(|part| !part.is_empty()) && text.split('-').count() <= 2;
        if !is_name_and_hash || RESERVED.contains(&text) {
            return Err(Error::Label(label.clone()));
        }
        Ok(Self { label: label.clone(), cloud })
    }

    /// The first label of every host of the registry.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The cloud that the registry lives in.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The registry's name as far as the label tells it: names hold no dash, so a hash follows the
    /// first.
    pub fn name(&self) -> &str {
        let label = self.label.as_str();
        label.split_once('-').map_or(label, |(name, _)| name)
    }

    /// The host of this registry in `family`.
    pub fn endpoint(&self, family: Family) -> Endpoint {
        Endpoint { login_server: self.clone(), family }
    }
}

impl fmt::Display for LoginServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.label, self.cloud.suffix())
    }
}

impl FromStr for LoginServer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let endpoint: Endpoint = text.parse()?;
        match endpoint.family {
            Family::Login => Ok(endpoint.login_server),
            Family::Data(_) | Family::RegionalLogin(_) => Err(Error::NotALoginServer),
        }
    }
}

/// What a host of a registry is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// REST endpoint and token server, for every registry.
    Login,
    /// REST endpoint of one region, where regional endpoints are enabled.
    RegionalLogin(Region),
    /// Layers and configurations of one region, where dedicated data endpoints are enabled.
    Data(Region),
}

impl Family {
    /// The region it serves.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Login => None,
            Self::RegionalLogin(region) | Self::Data(region) => Some(region),
        }
    }
}

/// One host that a registry answers on, always on port 443.
///
/// ```
/// use ringfence_config::endpoint::{Endpoint, Error};
///
/// let endpoint: Endpoint = "Contoso.eastus.data.azurecr.io".parse()?;
/// assert_eq!(endpoint.login_server().to_string(), "contoso.azurecr.io");
/// assert_eq!("azurecr.io".parse::<Endpoint>(), Err(Error::Apex));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    login_server: LoginServer,
    family: Family,
}

impl Endpoint {
    /// The registry it belongs to.
    pub fn login_server(&self) -> &LoginServer {
        &self.login_server
    }

    /// What it is for.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// Its name.
    pub fn host(&self) -> Hostname {
        self.to_string().parse().expect("a label, a region and a suffix make a host name")
    }

    /// The name, relative to its cloud's [private zone](Cloud::private_zone), of the record that has the host's
    /// private address: `contoso.eastus.data`.
    pub fn private_record(&self) -> String {
        let host = self.to_string();
        let below = host.len() - self.login_server.cloud.suffix().len() - 1;
        host[..below].to_owned()
    }

    /// Reads the name of a record in a private DNS zone, `contoso.privatelink.azurecr.io.`, as the
    /// public name that the record answers for.
    /// <https://learn.microsoft.com/azure/private-link/private-endpoint-dns>
    pub fn from_private_record(fqdn: &str) -> Result<Self, Error> {
        let name: Hostname = fqdn.strip_suffix('.').unwrap_or(fqdn).parse()?;
        let public = Cloud::ALL.into_iter().find_map(|cloud| {
            let below = name.as_str().strip_suffix(cloud.suffix())?;
            let below = below.strip_suffix('.')?.strip_suffix(PRIVATE_ZONE)?;
            Some(format!("{below}{}", cloud.suffix()))
        });
        public.as_deref().unwrap_or(name.as_str()).parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoginServer { label, cloud } = &self.login_server;
        let suffix = cloud.suffix();
        match &self.family {
            Family::Login => write!(f, "{label}.{suffix}"),
            Family::RegionalLogin(region) => write!(f, "{label}.{region}.geo.{suffix}"),
            Family::Data(region) => write!(f, "{label}.{region}.data.{suffix}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let host: Hostname = text.parse()?;
        let (cloud, below) = split_suffix(&host)?;
        let labels: Vec<&str> = below.split('.').collect();
        let (label, family) = match labels[..] {
            [.., PRIVATE_ZONE] => return Err(Error::PrivateZone),
            [label] => (label, Family::Login),
            [label, region, "geo"] => (label, Family::RegionalLogin(parse_region(region)?)),
            [label, region, "data"] => (label, Family::Data(parse_region(region)?)),
            _ => return Err(Error::NotAnEndpoint),
        };
        let login_server = LoginServer::new(&label.parse()?, cloud)?;
        Ok(login_server.endpoint(family))
    }
}

/// The cloud, and the labels below its suffix, of which there is at least one.
fn split_suffix(host: &Hostname) -> Result<(Cloud, &str), Error> {
    for cloud in Cloud::ALL {
        if host.as_str() == cloud.suffix() {
            return Err(Error::Apex);
        }
        if host.is_below(cloud.suffix()) {
            let below = host.as_str().len() - cloud.suffix().len() - 1;
            return Ok((cloud, &host.as_str()[..below]));
        }
    }
    if host.as_str() == GERMANY || host.is_below(GERMANY) {
        return Err(Error::ClosedCloud);
    }
    Err(Error::UnknownSuffix)
}

/// Every domain below which anyone can have, or could have, a registry.
pub fn domains() -> impl Iterator<Item = &'static str> {
    Cloud::ALL.into_iter().map(Cloud::suffix).chain([GERMANY])
}

fn parse_region(label: &str) -> Result<Region, Error> {
    label.parse().map_err(|_| Error::NotAnEndpoint)
}

/// Why a text is not the host of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No host name at all.
    #[error(transparent)]
    Hostname(#[from] hostname::Error),
    /// Below no cloud's registry suffix.
    #[error("registries answer below {}", suffixes())]
    UnknownSuffix,
    /// Azure Germany, closed in 2021.
    #[error("Azure Germany is closed, and so are its registries")]
    ClosedCloud,
    /// A suffix itself.
    #[error("this is the domain of all registries")]
    Apex,
    /// A name in a private DNS zone, which clients never ask for.
    #[error("this is a record of a private DNS zone, not a name that clients use")]
    PrivateZone,
    /// Below a suffix, but in none of the three forms.
    #[error(
        "a registry answers on `<registry>`, `<registry>.<region>.data` and \
         `<registry>.<region>.geo` below the suffix of its cloud"
    )]
    NotAnEndpoint,
    /// A data or regional endpoint where a login server should be.
    #[error("this is an endpoint of one region, not the login server")]
    NotALoginServer,
    /// A label that no registry can have.
    #[error(
        "no registry is called `{0}`: a name is letters and digits, with `-hash` where a domain \
         name label was chosen"
    )]
    Label(Label),
}

fn suffixes() -> String {
    let quoted = Cloud::ALL.map(|cloud| format!("`{}`", cloud.suffix()));
    quoted.join(", ")
}

/// Below a registry suffix these are families and zones, not registries.
const RESERVED: [&str; 3] = ["data", "geo", PRIVATE_ZONE];

/// What stands between a registry's labels and the suffix in a private DNS zone.
const PRIVATE_ZONE: &str = "privatelink";

/// <https://learn.microsoft.com/previous-versions/azure/germany/germany-welcome>
const GERMANY: &str = "azurecr.de";

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../tests/fixtures/azure/data/hostname-vectors.json");

    #[test]
    fn published_hosts_are_what_the_vectors_say() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
        for vector in vectors["vectors"].as_array().expect("a list") {
            let host = vector["host"].as_str().expect("a host");
            let parsed = host.parse::<Endpoint>();
            let kind = match &parsed {
                Ok(endpoint) => match endpoint.family() {
                    Family::Login => "login",
                    Family::RegionalLogin(_) => "geo",
                    Family::Data(_) => "data",
                },
                Err(Error::Apex) => "apex",
                Err(Error::PrivateZone) if host.matches('.').count() == 2 => "private-zone",
                Err(Error::PrivateZone) => "private-zone-record",
                Err(Error::NotAnEndpoint | Error::Label(_)) => "not-a-registry",
                Err(Error::UnknownSuffix) if host.contains("azurecr") => "other",
                Err(Error::UnknownSuffix) => "storage",
                Err(Error::Hostname(_)) => "storage-wildcard",
                Err(Error::ClosedCloud | Error::NotALoginServer) => "unexpected",
            };
            assert_eq!(vector["kind"], kind, "{host}");
            let Ok(endpoint) = parsed else { continue };
            let server = endpoint.login_server();
            assert_eq!(vector["label"], server.label().as_str(), "{host}");
            if let Some(name) = vector["name"].as_str() {
                assert_eq!(name, server.name(), "{host}");
            }
            if let Some(region) = endpoint.family().region() {
                assert_eq!(vector["region"], region.as_str(), "{host}");
            }
            let cloud = match server.cloud() {
                Cloud::Public => "AzureCloud",
                Cloud::UsGovernment => "AzureUSGovernment",
                Cloud::China => "AzureChinaCloud",
                Cloud::Bleu => "AzureBleuCloud",
            };
            assert_eq!(vector["cloud"], cloud, "{host}");
            assert_eq!(endpoint.to_string(), host.to_ascii_lowercase());
            assert_eq!(endpoint.host().as_str(), endpoint.to_string());
        }
    }

    #[test]
    fn regions_are_normalised_as_the_vectors_say() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
        for vector in vectors["region_normalisation"].as_array().expect("a list") {
            let text = vector["in"].as_str().expect("a text");
            let region: Region = text.parse().expect(text);
            assert_eq!(vector["out"], region.as_str());
        }
    }

    #[test]
    fn hosts_that_no_registry_has_say_why() {
        let rows = [
            ("contoso.azurecr-test.io", Error::UnknownSuffix),
            ("contoso.azurecr.io.example", Error::UnknownSuffix),
            ("evilazurecr.io", Error::UnknownSuffix),
            ("contoso.azurecr.de", Error::ClosedCloud),
            ("azurecr.sovcloud-azure.fr", Error::Apex),
            ("privatelink.azurecr.io", Error::PrivateZone),
            ("contoso.privatelink.azurecr.us", Error::PrivateZone),
            ("contoso.east-us.data.azurecr.io", Error::NotAnEndpoint),
            ("contoso.eastus.blob.azurecr.io", Error::NotAnEndpoint),
            ("a.contoso.eastus.data.azurecr.io", Error::NotAnEndpoint),
            ("geo.azurecr.io", Error::Label("geo".parse().expect("a label"))),
            ("a-b-c.azurecr.io", Error::Label("a-b-c".parse().expect("a label"))),
            ("contoso.azurecr.io.", hostname::Error::TrailingDot.into()),
            ("10.0.0.1", hostname::Error::IpLiteral.into()),
        ];
        for (host, expected) in rows {
            assert_eq!(host.parse::<Endpoint>(), Err(expected), "{host}");
        }
        assert_eq!(
            "contoso.eastus.data.azurecr.io".parse::<LoginServer>(),
            Err(Error::NotALoginServer)
        );
    }

    #[test]
    fn a_private_record_stands_for_the_public_name() {
        for (record, host) in [
            ("contoso.privatelink.azurecr.io.", "contoso.azurecr.io"),
            ("Contoso.eastus.data.privatelink.azurecr.us", "contoso.eastus.data.azurecr.us"),
            ("contoso.eastus.geo.azurecr.io.", "contoso.eastus.geo.azurecr.io"),
        ] {
            let endpoint = Endpoint::from_private_record(record).expect(record);
            assert_eq!(endpoint.to_string(), host);
            let zone = endpoint.login_server().cloud().private_zone();
            let back = format!("{}.{zone}", endpoint.private_record());
            assert_eq!(Endpoint::from_private_record(&back), Ok(endpoint));
        }
        assert_eq!(Endpoint::from_private_record("privatelink.azurecr.io."), Err(Error::Apex));
    }
}
