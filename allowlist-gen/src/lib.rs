//! Derives the exact hosts of Azure container registries from their metadata.
//!
//! ```text
//! bytes ─▶ metadata::read ─▶ Registry ─▶ entries ─▶ Allowlist ─▶ export::write ─▶ bytes
//!                               └▶ findings
//! ```
//!
//! Everything here is synchronous and does no I/O, but for what asks Azure (`azure`) and looks at
//! hosts (`verify`), which the feature `live` adds. The program around it reads and writes the files.

#[cfg(feature = "live")]
pub mod azure;
pub mod drift;
pub mod export;
pub mod findings;
pub mod judge;
pub mod kit;
pub mod learn;
#[cfg(feature = "lint")]
pub mod lint;
pub mod log;
pub mod metadata;
mod posture;
pub mod presets;
pub mod private_link;
#[cfg(feature = "lint")]
pub mod prove;
mod refusal;
mod region;
mod registry;
pub mod report;
pub mod simulate;
#[cfg(feature = "live")]
pub mod verify;

use ringfence_config::Allowlist;
use ringfence_config::allowlist::Conflict;
pub use ringfence_config::endpoint;
use ringfence_config::registry::Region;
use ringfence_config::snippet::Source;

use crate::endpoint::LoginServer;
pub use crate::findings::Finding;
pub use crate::refusal::Refusal;
pub use crate::registry::{DataEndpoints, Registry, Status};

/// A list, and what someone should know about it.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Every host of every registry, guarded.
    pub allowlist: Allowlist,
    /// By registry, in the order of its login servers.
    pub findings: Vec<Finding>,
}

impl Generated {
    /// The list of no registry.
    pub fn nothing() -> Self {
        let allowlist = Allowlist::new([]).expect("nothing contradicts nothing");
        Self { allowlist, findings: Vec::new() }
    }
}

/// Why there is no list.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The metadata can't be read.
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    /// The metadata is in order, and says that no exact list exists; at least one refusal.
    #[error("{}", join(.0))]
    Refused(Vec<Refusal>),
    /// The guard stopped a host that the pipeline let through.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

/// Derives one list from all of `sources`, which are metadata files in any order.
///
/// ```
/// use allowlist_gen::DataEndpoints;
/// use ringfence_config::snippet::Source;
///
/// let show_endpoints = Source {
///     name: "contoso.json".into(),
///     text: r#"{
///         "loginServer": "contoso.azurecr.io",
///         "dataEndpoints": [{"region": "eastus", "endpoint": "contoso.eastus.data.azurecr.io"}]
///     }"#.into(),
/// };
/// let generated = allowlist_gen::generate(&[show_endpoints], DataEndpoints::AsReported)?;
/// let hosts: Vec<_> = generated.allowlist.entries().iter().map(|e| e.host.as_str()).collect();
/// assert_eq!(hosts, ["contoso.azurecr.io", "contoso.eastus.data.azurecr.io"]);
/// # Ok::<(), allowlist_gen::Error>(())
/// ```
pub fn generate(sources: &[Source], data: DataEndpoints) -> Result<Generated, Error> {
    derive(&metadata::read(sources)?, data)
}

/// Derives the list of a registry of which only the names are known; its first finding says so.
pub fn generate_from_names(
    login_server: LoginServer,
    home: Region,
    replicas: Vec<Region>,
) -> Result<Generated, Error> {
    let registry = Registry::from_names(login_server, home, replicas);
    let unconfirmed = findings::no_metadata(&registry);
    let mut generated = derive(&[registry], DataEndpoints::AsReported)?;
    generated.findings.insert(0, unconfirmed);
    Ok(generated)
}

/// One registry without a list is no list at all: whoever installs the rest would take it for the
/// whole.
fn derive(registries: &[Registry], data: DataEndpoints) -> Result<Generated, Error> {
    let mut entries = Vec::new();
    let mut findings = Vec::new();
    let mut refusals = Vec::new();
    for registry in registries {
        match registry.endpoints(data) {
            Ok(endpoints) => {
                entries.extend(registry.entries(&endpoints));
                findings.extend(findings::of(registry, data, &endpoints));
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    let allowlist = Allowlist::new(entries)?;
    Ok(Generated { allowlist, findings })
}

fn join(refusals: &[Refusal]) -> String {
    let lines: Vec<String> = refusals.iter().map(Refusal::to_string).collect();
    lines.join("\n")
}
