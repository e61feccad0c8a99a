//! The registry that the tests are about, and the strangers around it.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use test_support::{
    DataHost, Dns, Finished, Image, Network, Received, Recorder, Registry, Ringfence, address,
};

/// Contoso's registry with an image in it, two data endpoints, somebody's storage, and the names.
pub(crate) struct Contoso {
    pub(crate) image: Image,
    pub(crate) stranger: Recorder,
    pub(crate) dns: Dns,
    pub(crate) registry: Registry,
    pub(crate) eastus: DataHost,
    pub(crate) westus: DataHost,
    pub(crate) network: Network,
}

impl Contoso {
    /// Builds it, with blobs served from `data_host`. None where the machine can't: that has been said.
    pub(crate) fn build(data_host: &str, programs: &[&str]) -> Result<Option<Self>> {
        let Some(contoso) = Self::build_empty(data_host, programs)? else {
            return Ok(None);
        };
        contoso.registry.seed(&contoso.network, &contoso.image)?;
        Ok(Some(contoso))
    }

    /// Builds it with nothing in the registry yet.
    pub(crate) fn build_empty(data_host: &str, programs: &[&str]) -> Result<Option<Self>> {
        let Some(network) = Network::open(programs)? else {
            return Ok(None);
        };
        let registry = Registry::start(&network, LOGIN, address::LOGIN, data_host)?;
        let hosts = [
            (LOGIN, address::LOGIN),
            (EASTUS, address::EASTUS),
            (WESTUS, address::WESTUS),
            (STRANGER, address::STRANGER),
        ];
        Ok(Some(Self {
            image: Image::write(&network.path("image"))?,
            stranger: Recorder::start(&network, STRANGER, address::STRANGER)?,
            dns: Dns::start(&network, &hosts)?,
            eastus: DataHost::start(&network, EASTUS, address::EASTUS, registry.storage())?,
            westus: DataHost::start(&network, WESTUS, address::WESTUS, registry.storage())?,
            registry,
            network,
        }))
    }

    /// Starts the proxy with these entries as its list.
    pub(crate) fn proxy(&self, entries: &[&str]) -> Result<Ringfence> {
        let list = self.network.write("allowlist.toml", &allowlist(entries))?;
        start(&self.network, &self.dns, &list)
    }

    /// Pulls `reference` (`:v1`, `@sha256:…`) with skopeo, from the client, into `directory`.
    pub(crate) fn pull(
        &self,
        proxy: &Ringfence,
        reference: &str,
        directory: &str,
    ) -> Result<Finished> {
        let source = format!("docker://{LOGIN}/app{reference}");
        let target = format!("oci:{}:v1", self.network.path(directory).display());
        let arguments = ["--insecure-policy", "copy", &source, &target];
        self.network.client("skopeo", proxy).args(arguments).run()
    }

    /// Checks that what was pulled into `directory` is the image.
    pub(crate) fn check_copy(&self, directory: &str) -> Result<()> {
        self.image.check_copy(&self.network.path(directory))
    }

    /// Checks that the stranger has seen nothing: no connection, and no question for its name.
    pub(crate) fn check_stranger_untouched(&self) -> Result<()> {
        assert_eq!(self.stranger.received()?, Received::default());
        assert!(!self.dns.questions()?.contains(STRANGER));
        Ok(())
    }
}

/// Starts the proxy in a network's gate, with the list in that file.
pub(crate) fn start(network: &Network, dns: &Dns, list: &Path) -> Result<Ringfence> {
    let (list, resolver) = (list.as_os_str(), dns.address());
    let arguments = [OsStr::new("--allowlist"), list, OsStr::new("--resolver"), resolver.as_ref()];
    Ringfence::at_gate(env!("CARGO_BIN_EXE_ringfence"), network, arguments)
}

/// A list of these entries.
pub(crate) fn allowlist(entries: &[&str]) -> String {
    format!("schema = 1\n{}", entries.concat())
}

/// Accepts access log lines that say `host` was refused for `reason`.
pub(crate) fn refused(host: &str, reason: &str) -> impl Fn(&Value) -> bool {
    let about = about(host);
    move |line| about(line) && line["outcome"] == "denied" && line["reason"] == reason
}

/// Accepts access log lines of tunnels to `host`.
pub(crate) fn tunnelled(host: &str) -> impl Fn(&Value) -> bool {
    let about = about(host);
    move |line| about(line) && line["outcome"] == "tunnel"
}

/// Accepts access log lines about `host`, port 443.
fn about(host: &str) -> impl Fn(&Value) -> bool {
    move |line| line["host"] == host && line["port"] == 443
}

pub(crate) const LOGIN: &str = "contoso.azurecr.io";
pub(crate) const EASTUS: &str = "contoso.eastus.data.azurecr.io";
pub(crate) const WESTUS: &str = "contoso.westus.data.azurecr.io";
pub(crate) const STRANGER: &str = "exfil.blob.core.windows.net";

pub(crate) const LOGIN_ENTRY: &str = r#"
[[entry]]
host = "contoso.azurecr.io"
role = "login"
registry = "contoso"
"#;
pub(crate) const EASTUS_ENTRY: &str = r#"
[[entry]]
host = "contoso.eastus.data.azurecr.io"
role = "data"
registry = "contoso"
region = "eastus"
"#;
pub(crate) const WESTUS_ENTRY: &str = r#"
[[entry]]
host = "contoso.westus.data.azurecr.io"
role = "data"
registry = "contoso"
region = "westus"
"#;
