//! Says why a registry gets no list although its metadata is in order, and what its owner can do.

use std::fmt;

use crate::findings::Code;
use crate::registry::{DataPath, Gap, Regions, Registry, Sku};

/// Why no exact list can be given for one registry: a well-formed no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    host: String,
    /// What `az acr` calls the registry.
    name: String,
    why: Why,
    path: DataPath,
    sku: Sku,
    regions: Regions,
    /// The listing that would have told the regions, which Azure would not show.
    withheld: Option<Gap>,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Layers don't come from dedicated data endpoints, as far as anything says.
    NoDataEndpoints,
    /// They do, in regions that aren't all known.
    ReplicasUnknown,
}

impl Refusal {
    pub(crate) fn new(registry: &Registry, why: Why) -> Self {
        Self {
            host: registry.login_server.to_string(),
            name: registry.name.clone(),
            why,
            path: registry.data_path(),
            sku: registry.sku.clone(),
            regions: registry.regions(),
            withheld: registry
                .gaps
                .iter()
                .find(|gap| gap.resource.name() == "replications")
                .cloned(),
        }
    }

    /// A stable name for this kind of refusal.
    pub fn code(&self) -> &'static str {
        self.finding().name()
    }

    /// The code of the finding that it is where no list is asked for.
    pub(crate) fn finding(&self) -> Code {
        match (self.why, self.path) {
            (Why::NoDataEndpoints, DataPath::Unknown) => Code::DataEndpointsUnknown,
            (Why::NoDataEndpoints, _) => Code::DataEndpointsOff,
            (Why::ReplicasUnknown, _) => Code::ReplicasUnknown,
        }
    }

    /// What to do, in this order; each step says what for, then how.
    pub fn remedy(&self) -> Vec<String> {
        let name = &self.name;
        let mut steps = Vec::new();
        if let (Regions::Unknown, Some(Gap { resource, code })) = (&self.regions, &self.withheld) {
            steps.push(format!(
                "let whoever runs this read its replications, which were withheld ({code})\n  \
                 az role assignment create --role Reader --assignee WHO --scope {scope}",
                scope = resource.registry().unwrap_or_else(|| resource.clone())
            ));
        } else if self.regions == Regions::Unknown {
            steps.push(format!(
                "tell its regions: give what one of these prints, too\n  \
                 az acr replication list --registry {name} > {name}-replications.json\n  \
                 az acr show-endpoints --name {name} > {name}-endpoints.json"
            ));
        }
        if self.why == Why::ReplicasUnknown {
            return steps;
        }
        if self.path == DataPath::Unknown {
            steps.push(format!(
                "see whether data endpoints are on: give what this prints, too\n  az acr show \
                 --name {name}"
            ));
        }
        if let Sku::Lower(sku) = &self.sku {
            steps.push(format!(
                "move to Premium, the only tier with data endpoints; this registry is {sku}\n  \
                 az acr update --name {name} --sku Premium"
            ));
        }
        steps.push(
            "allow the hosts to come wherever clients are filtered: without these rules, pulls \
             fail from the moment of the switch\n  \
             allowlist-gen generate --assume-data-endpoints FILE…"
                .to_owned(),
        );
        steps.push(format!(
            "only then switch the data endpoints on\n  \
             az acr update --name {name} --data-endpoint-enabled true"
        ));
        steps
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match (self.why, self.path) {
            (Why::NoDataEndpoints, DataPath::Unknown) => write!(
                f,
                "nothing says whether `{host}` has dedicated data endpoints, and without them no \
                 exact list can hold the hosts of its layers"
            ),
            (Why::NoDataEndpoints, _) => write!(
                f,
                "`{host}` has its dedicated data endpoints off: its layers come from storage \
                 accounts that many registries share, and no exact list can hold those"
            ),
            (Why::ReplicasUnknown, DataPath::ImpliedByPrivateEndpoint) => write!(
                f,
                "`{host}` reports no data endpoints, but an approved private endpoint, which is \
                 documented to turn them on in every region; the input doesn't tell its replicas"
            ),
            (Why::ReplicasUnknown, _) => write!(
                f,
                "`{host}` needs one data endpoint per region, and the input doesn't tell its \
                 replicas"
            ),
        }
    }
}
