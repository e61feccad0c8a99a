//! Says why a registry gets no list although its metadata is in order, and what its owner can do.

use std::fmt;

use crate::registry::{Regions, Registry, Sku};

/// Why no exact list can be given for one registry: a well-formed no.
#[derive(Debug, Clone)]
pub struct Refusal {
    login_server: String,
    name: String,
    why: Why,
    premium: Premium,
    replicas: Replicas,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Dedicated data endpoints are off.
    SharedStorage,
    /// Nothing says whether dedicated data endpoints are on.
    NotSaid,
    /// They are on, in regions that can't be known.
    ReplicasUnknown,
    /// The same, and they are on only because a private endpoint turns them on.
    ReplicasUnknownBehindEndpoint,
}

#[derive(Debug, Clone)]
enum Premium {
    MayHaveIt,
    Needs(String),
}

#[derive(Debug, Clone, Copy)]
enum Replicas {
    Known,
    Unknown,
}

impl Refusal {
    pub(crate) fn new(registry: &Registry, why: Why) -> Self {
        Self {
            login_server: registry.login_server.to_string(),
            name: registry.name.clone(),
            why,
            premium: match &registry.sku {
                Sku::Lower(sku) => Premium::Needs(sku.clone()),
                Sku::Premium | Sku::Unknown => Premium::MayHaveIt,
            },
            replicas: match registry.regions() {
                Regions::All(_) => Replicas::Known,
                Regions::HomeOnly(_) | Regions::Unknown => Replicas::Unknown,
            },
        }
    }

    /// A stable name for this kind of refusal.
    pub fn code(&self) -> &'static str {
        match self.why {
            Why::SharedStorage => "data-endpoints-off",
            Why::NotSaid => "data-endpoints-unknown",
            Why::ReplicasUnknown | Why::ReplicasUnknownBehindEndpoint => "replicas-unknown",
        }
    }

    /// What to do, in order.
    pub fn remedy(&self) -> Vec<String> {
        let name = &self.name;
        let list_replicas = format!(
            "give its replications, too\n  az acr replication list --registry {name} > {name}-replications.json"
        );
        match self.why {
            Why::SharedStorage | Why::NotSaid => {}
            Why::ReplicasUnknown => return vec![list_replicas],
            Why::ReplicasUnknownBehindEndpoint => {
                let interface = "or the endpoint's network interface, which has an address for each of them\n  \
                                 az network nic show --ids ID > nic.json";
                return vec![list_replicas, interface.to_owned()];
            }
        }
        let mut steps = Vec::new();
        if self.why == Why::NotSaid {
            steps.push(format!(
                "see whether they are on, and give what this prints\n  az acr show --name {name}"
            ));
        }
        if let Premium::Needs(sku) = &self.premium {
            steps.push(format!(
                "move to Premium, the only tier with data endpoints; this registry is {sku}\n  az acr update --name {name} --sku Premium"
            ));
        }
        if matches!(self.replicas, Replicas::Unknown) {
            steps.push(list_replicas);
        }
        steps.push(
            "put the hosts to come on every list first; clients that lack them fail from the switch on\n  \
             allowlist-gen generate --assume-data-endpoints FILE…"
                .to_owned(),
        );
        steps.push(format!(
            "then switch the data endpoints on, and generate again\n  az acr update --name {name} --data-endpoint-enabled true"
        ));
        steps
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.login_server;
        match self.why {
            Why::SharedStorage => write!(
                f,
                "`{host}` has its dedicated data endpoints off: its layers come from storage accounts that \
                 many registries share, and no exact list can hold those"
            ),
            Why::NotSaid => write!(
                f,
                "nothing says whether `{host}` has dedicated data endpoints; without them, no exact list can \
                 hold the hosts of its layers"
            ),
            Why::ReplicasUnknown => write!(
                f,
                "`{host}` has a data endpoint in each of its regions, and the input doesn't tell the replicas"
            ),
            Why::ReplicasUnknownBehindEndpoint => write!(
                f,
                "`{host}` reports no data endpoints, but has an approved private endpoint, which is documented \
                 to turn one on in each of its regions; the input doesn't tell the replicas"
            ),
        }
    }
}
