//! Decides what is wrong with how a registry is set up, beside its hosts. Each rule stands with its message and with
//! the commands that mend it; the rest of what there is to say of a code is in the catalogue.
//!
//! A rule needs something that was said. What is unknown is no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::catalogue::Code;
use super::{Kind, Object, Step, Told, enumerate};
use crate::endpoint::{Cloud, Family};
use crate::metadata::Place;
use crate::posture::{
    Action, Allocation, Bypass, Completeness, LabelScope, Link, Posture, PrivateEndpoint, Protocol,
    Provisioning, State, Switch,
};
use crate::registry::{DataPath, Feature, Position, Registry, ResourceId, Sku, Status, shell_word};

/// What is told of `registry`, whoever else is in the input.
pub(super) fn of(registry: &Registry) -> Vec<Kind> {
    let view = View { registry, posture: &registry.posture };
    let mut told = Vec::new();
    told.extend(view.tier());
    told.extend(view.provisioning());
    told.extend(view.regional_endpoints());
    told.extend(view.replicas());
    told.extend(view.public_access());
    told.extend(view.rules());
    told.extend(view.bypasses());
    told.extend(view.connections());
    told.extend(view.private_endpoints());
    told.extend(view.subnets());
    told.extend(view.networks());
    told.extend(view.endpoint_limit());
    told.extend(view.access());
    told.extend(view.connected_registries());
    told.extend(view.unclear_settings());
    told.into_iter().map(|told| Kind::Told(Box::new(told))).collect()
}

/// A registry that lives in another cloud than `most` do.
pub(super) fn other_cloud(registry: &Registry, most: Cloud) -> Option<Kind> {
    let own = registry.login_server.cloud();
    (own != most).then(|| {
        let view = View { registry, posture: &registry.posture };
        let told = view.told(
            Code::SeveralClouds,
            format!("it lives in {}, and most of the input in {}", name_of(own), name_of(most)),
            vec![Step::new("give each cloud's registries by themselves, and make a list of each")],
        );
        Kind::Told(Box::new(told))
    })
}

/// What azure-cli calls the cloud.
fn name_of(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "AzureCloud",
        Cloud::UsGovernment => "AzureUSGovernment",
        Cloud::China => "AzureChinaCloud",
        Cloud::Bleu => "AzureBleuCloud",
    }
}

/// A registry, as the rules look at it.
struct View<'a> {
    registry: &'a Registry,
    posture: &'a Posture,
}

impl View<'_> {
    fn tier(&self) -> Option<Told> {
        let Sku::Lower(tier) = &self.registry.sku else {
            return None;
        };
        let steps = vec![
            Step::new("move to Premium").run(self.update("--sku Premium")),
            Step::new("and switch data endpoints on, once their hosts are allowed")
                .run(self.update("--data-endpoint-enabled true")),
        ];
        let message = format!("it is {tier}, and only Premium has dedicated data endpoints");
        Some(self.told(Code::TierTooLow, message, steps))
    }

    fn provisioning(&self) -> Option<Told> {
        let said = &self.posture.settings.provisioning;
        let steps = match said.agreed()? {
            Provisioning::Succeeded => return None,
            Provisioning::Underway => vec![
                Step::new("look again when it is done")
                    .run(self.acr("show", "--query provisioningState")),
            ],
            Provisioning::Failed => {
                vec![Step::new("see what failed, and make the change again").run(format!(
                    "az monitor activity-log list --resource-id {} --status Failed",
                    self.id()
                ))]
            }
        };
        let message = format!("its provisioning state is `{}`", said.word());
        Some(self.told(Code::NotProvisioned, message, steps).at(said.place()))
    }

    fn regional_endpoints(&self) -> Vec<Told> {
        if !self.registry.says(Feature::RegionalEndpoints, Position::On) {
            return Vec::new();
        }
        let label = self.registry.login_server.label();
        let suffix = self.registry.login_server.cloud().suffix();
        let mut told = vec![self.told(
            Code::RegionalEndpoints,
            format!("it has a login server in every region, as in `{label}.REGION.geo.{suffix}`"),
            vec![
                Step::new("keep node images up to date, and allow these hosts, too; if nobody uses them, switch them off")
                    .run(self.update("--regional-endpoints disabled")),
            ],
        )];
        if self.registry.data_path() == DataPath::SharedStorage {
            told.push(self.told(
                Code::RegionalWithoutData,
                "its regions have login servers of their own, and its layers come from shared storage",
                vec![self.data_endpoints_on()],
            ));
        }
        told
    }

    fn replicas(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for (id, replica) in &self.posture.replicas {
            let region = &replica.region;
            let of_region = self.registry.replicas.iter().filter(|other| other.region == *region);
            let is_provisioned =
                of_region.into_iter().all(|other| other.state.eq_ignore_ascii_case("succeeded"));
            let told_of = |code, message| {
                self.told(code, message, Vec::new())
                    .about(Object::resource(id))
                    .at(Some(&replica.place))
            };
            // Recordings say `Ready`, and a page says `online`.
            let status = replica.status.as_deref().filter(|status| {
                !["ready", "online"].iter().any(|word| status.eq_ignore_ascii_case(word))
            });
            if let Some(status) = status
                && is_provisioned
            {
                let message = format!("the replica in `{region}` is provisioned, and `{status}`");
                let step = Step::new("see what it says, and look again when it is ready")
                    .run(self.replication("show", id, ""));
                told.push(told_of(Code::ReplicaStatus, message).mend(vec![step]));
            }
            if replica.routing == Some(Switch::Off) {
                let message = format!("the global name doesn't lead to the replica in `{region}`");
                let step = Step::new("if that is over, let it take requests again")
                    .run(self.replication("update", id, " --global-endpoint-routing true"));
                told.push(told_of(Code::ReplicaUnrouted, message).mend(vec![step]));
            }
        }
        told
    }

    fn public_access(&self) -> Vec<Told> {
        let settings = &self.posture.settings;
        let access = &settings.public_access;
        let is_private = self.registry.has_private_endpoint();
        let mut told = Vec::new();
        if access.is(Switch::Off) {
            let message = "only private endpoints lead to it";
            let step = Step::new(
                "build and list from inside, or on an agent pool in the network; to take it back, with rules that \
                 name who may connect",
            )
            .run(self.update("--public-network-enabled true --default-action Deny"));
            told.push(
                self.told(Code::PublicAccessDisabled, message, vec![step]).at(access.place()),
            );
            if self.posture.completeness == Completeness::Listed && !is_private {
                let message = "public access is disabled, and no connection of a private endpoint is approved";
                let list = self.connection_command("list", "");
                let step = Step::new("approve a connection, or make a private endpoint").run(list);
                told.push(self.told(Code::Unreachable, message, vec![step]).at(access.place()));
            }
        }
        if access.is(Switch::On) && settings.default_action.is(Action::Allow) {
            if is_private {
                let message =
                    "it has a private endpoint, and takes connections from everywhere nevertheless";
                let step = Step::new(
                    "once every client goes by the private endpoint, close the public way",
                )
                .run(self.update("--public-network-enabled false"));
                told.push(self.told(Code::PublicBesidePrivateLink, message, vec![step]));
            } else {
                let message = "it takes connections from everywhere: no rule says who may connect";
                let mut steps = Vec::new();
                if matches!(self.registry.sku, Sku::Lower(_)) {
                    steps.push(
                        Step::new("move to Premium, the only tier with network rules")
                            .run(self.update("--sku Premium")),
                    );
                }
                steps.push(
                    Step::new("refuse whom no rule names, and name who may connect: CIDR is the public address of a network")
                        .run(self.update("--default-action Deny"))
                        .run(self.acr("network-rule add", "--ip-address CIDR")),
                );
                told.push(self.told(Code::PublicAccessOpen, message, steps));
            }
            for told in &mut told {
                told.place = access.place().cloned().or(told.place.take());
            }
        }
        told
    }

    fn rules(&self) -> Vec<Told> {
        let settings = &self.posture.settings;
        let by_address = settings.ip_rules.agreed().unwrap_or(0);
        let by_subnet = settings.subnet_rules.agreed().unwrap_or(0);
        let mut told = Vec::new();
        let count = match (by_address, by_subnet) {
            (0, 0) => return told,
            (addresses, 0) => format!("{} for addresses", rules(addresses)),
            (0, subnets) => format!("{} for subnets", rules(subnets)),
            (addresses, subnets) => {
                format!("{} for addresses and {subnets} for subnets", rules(addresses))
            }
        };
        if settings.public_access.is(Switch::Off) {
            let message = format!("it has {count}, and its public access is disabled");
            let step = Step::new("if these networks are to get in, let the rules decide again")
                .run(self.update("--public-network-enabled true --default-action Deny"))
                .run(self.acr("network-rule list", ""));
            told.push(
                self.told(Code::RulesWithoutEffect, message, vec![step])
                    .at(settings.public_access.place()),
            );
        } else if settings.default_action.is(Action::Allow) {
            let message = format!("it has {count}, and allows whom no rule names");
            let step =
                Step::new("refuse whom no rule names, and see that the rules are still there")
                    .run(self.update("--default-action Deny"))
                    .run(self.acr("network-rule list", ""));
            told.push(
                self.told(Code::RulesWithoutEffect, message, vec![step])
                    .at(settings.default_action.place()),
            );
        }
        if by_address >= IP_RULES || self.is_used_up("IPRules") {
            let message = format!("it has {by_address} IP rules, and may have no more");
            let step =
                Step::new("put neighbouring networks into one rule, or use private endpoints")
                    .run(self.acr("network-rule list", "--query ipRules"));
            told.push(
                self.told(Code::IpRulesAtLimit, message, vec![step]).at(settings.ip_rules.place()),
            );
        }
        if by_subnet > 0 {
            let place = settings.subnet_rules.place();
            told.extend(self.subnet_rules(by_subnet).into_iter().map(|told| told.at(place)));
        }
        told
    }

    /// Service endpoints: rules that name subnets.
    fn subnet_rules(&self, count: usize) -> Vec<Told> {
        let mut told = Vec::new();
        let has = format!("it has {} for subnets", rules(count));
        let cloud = self.registry.login_server.cloud();
        if matches!(cloud, Cloud::UsGovernment | Cloud::China) {
            let message =
                format!("{has}, and {} has no service endpoints for registries", name_of(cloud));
            told.push(self.told(
                Code::ServiceEndpointsInCloud,
                message,
                vec![self.no_subnet_rules()],
            ));
        }
        if self.registry.has_private_endpoint() {
            let message = format!("{has}, and a private endpoint");
            let steps = vec![self.no_subnet_rules()];
            told.push(self.told(Code::ServiceEndpointsBesidePrivateLink, message, steps));
        } else {
            let message = format!("{has}, which service endpoints make work");
            let steps = vec![
                Step::new("make a private endpoint for each of these networks, see that clients use it, and take the rules away")
                    .run(self.acr("network-rule list", "--query virtualNetworkRules")),
                self.no_subnet_rules(),
            ];
            told.push(self.told(Code::ServiceEndpoints, message, steps));
        }
        if count >= SUBNET_RULES || self.is_used_up("VNetRules") {
            let message = format!("{has}, and may have no more");
            let step = Step::new("use private endpoints, which need no rules")
                .run(self.acr("network-rule list", "--query virtualNetworkRules"));
            told.push(self.told(Code::SubnetRulesAtLimit, message, vec![step]));
        }
        told
    }

    fn no_subnet_rules(&self) -> Step {
        let subnets = &self.posture.settings.subnets;
        let step = Step::new("take the rules for subnets away");
        if subnets.is_empty() {
            return step
                .run(self.acr("network-rule list", "--query virtualNetworkRules"))
                .run(self.acr("network-rule remove", "--subnet ID"));
        }
        subnets.iter().fold(step, |step, subnet| {
            let subnet = format!("--subnet {}", shell_word(&subnet.to_string()));
            step.run(self.acr("network-rule remove", &subnet))
        })
    }

    fn bypasses(&self) -> Vec<Told> {
        let settings = &self.posture.settings;
        let is_restricted =
            settings.public_access.is(Switch::Off) || settings.default_action.is(Action::Deny);
        let mut told = Vec::new();
        if !is_restricted {
            return told;
        }
        if settings.bypass.is(Bypass::Nobody) {
            let message = "it is restricted to networks, and lets no trusted service past that";
            let step = Step::new("if one of them is used, let them pass")
                .run(self.update("--allow-trusted-services true"));
            told.push(
                self.told(Code::TrustedServicesBlocked, message, vec![step])
                    .at(settings.bypass.place()),
            );
        }
        if settings.tasks_bypass.is(Switch::Off) {
            let message = "it is restricted to networks, and lets no task with a system-assigned identity past that";
            let step = Step::new(
                "give tasks a user-assigned identity, or an agent pool in the network; or let all of them pass",
            )
            .run(format!(
                "az resource update --ids {} --api-version 2025-06-01-preview \
                 --set properties.networkRuleBypassAllowedForTasks=true",
                self.id()
            ));
            told.push(
                self.told(Code::TasksBlocked, message, vec![step])
                    .at(settings.tasks_bypass.place()),
            );
        }
        told
    }

    fn connections(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for (endpoint, Link { action, place, .. }) in &self.posture.connections {
            let Some(action) = action else {
                continue;
            };
            let message = format!(
                "Azure asks for something to be done about the connection of private endpoint `{}`: `{action}`",
                endpoint.name()
            );
            let mut step = Step::new(
                "make the endpoint again; its clients are without it until the new one is approved",
            )
            .run(delete_endpoint(endpoint));
            step.commands.extend(self.create_endpoint(endpoint, endpoint.name()));
            told.push(
                self.told(Code::ConnectionNeedsAction, message, vec![step])
                    .about(Object::resource(endpoint))
                    .at(place.as_ref()),
            );
        }
        told
    }

    /// Those that carry something, or may.
    fn live_endpoints(&self) -> impl Iterator<Item = (&ResourceId, &PrivateEndpoint)> {
        self.posture.endpoints.iter().filter(|(id, _)| {
            let mut states = self.registry.connections.iter().filter(|c| c.endpoint == **id);
            let is_known = states.clone().next().is_some();
            !is_known || states.any(|connection| connection.status == Status::Approved)
        })
    }

    fn private_endpoints(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for (id, endpoint) in self.live_endpoints() {
            if endpoint.allocation != Some(Allocation::Static) {
                continue;
            }
            let name = id.name();
            let message = format!("private endpoint `{name}` has static addresses");
            let mut make = Step::new(
                "before the next replica: make another endpoint that gets its addresses by itself, and have it approved",
            );
            match self.create_endpoint(id, &format!("{name}-dynamic")) {
                Some(command) => make.commands.push(command),
                None => make.commands.push(format!(
                    "az network private-endpoint show --ids {}",
                    shell_word(&id.to_string())
                )),
            }
            let steps = vec![
                make,
                Step::new("point DNS at it, and delete this one").run(delete_endpoint(id)),
            ];
            told.push(
                self.told(Code::StaticAddresses, message, steps)
                    .about(Object::resource(id))
                    .at(endpoint.place.as_ref()),
            );
        }
        told
    }

    fn subnets(&self) -> Vec<Told> {
        let mut told = Vec::new();
        // One address for its data endpoint, and one for its login server.
        let step = 1 + u64::from(self.registry.says(Feature::RegionalEndpoints, Position::On));
        for (id, subnet) in &self.posture.subnets {
            if subnet.blocks.is_empty()
                || !self.live_endpoints().any(|(_, e)| e.subnet.as_ref() == Some(id))
            {
                continue;
            }
            let blocks: Vec<String> =
                subnet.blocks.iter().map(|block| format!("`{block}`")).collect();
            let (name, blocks) = (id.name(), enumerate(&blocks));
            let about = |told: Told| told.about(Object::resource(id)).at(subnet.place.as_ref());
            if subnet.size() < SUBNET_SIZE {
                let message = format!("subnet `{name}` of its private endpoint is only {blocks}");
                told.push(about(self.told(Code::SubnetTooSmall, message, Self::roomier(id))));
            }
            let used = subnet.used.max(self.addresses_in(id));
            let free = subnet.room().saturating_sub(used);
            if free < step {
                let message = format!(
                    "subnet `{name}` ({blocks}) has {free} of {} addresses left, and a region takes {step}",
                    subnet.room()
                );
                told.push(about(self.told(Code::SubnetFull, message, Self::roomier(id))));
            }
        }
        told
    }

    /// How many addresses the registry's endpoints have in a subnet, as far as they are in the input.
    fn addresses_in(&self, subnet: &ResourceId) -> u64 {
        let is_inside = |id: &ResourceId| {
            let endpoint = self.posture.endpoints.get(id);
            endpoint.is_some_and(|endpoint| endpoint.subnet.as_ref() == Some(subnet))
        };
        let inside = self.registry.private_endpoints.iter().filter(|pe| is_inside(&pe.id));
        let addresses: BTreeSet<_> = inside.flat_map(|pe| pe.members.values().flatten()).collect();
        u64::try_from(addresses.len()).unwrap_or(u64::MAX)
    }

    fn roomier(subnet: &ResourceId) -> Vec<Step> {
        let name = subnet.name();
        let network = subnet.above(2);
        let command = network.and_then(|network| {
            Some(format!(
                "az network vnet subnet create --subscription {} --resource-group {} --vnet-name {} \
                 --name {} --address-prefixes PREFIX",
                shell_word(network.subscription()?),
                shell_word(network.group()?),
                shell_word(network.name()),
                shell_word(&format!("{name}-roomy"))
            ))
        });
        let step = Step::new(
            "make the endpoint anew in a roomier subnet, before the next replica; PREFIX is a free /24 of the network",
        );
        vec![Step { commands: command.into_iter().collect(), ..step }]
    }

    fn networks(&self) -> Vec<Told> {
        let mut networks: BTreeMap<ResourceId, Vec<&ResourceId>> = BTreeMap::new();
        for (id, endpoint) in self.live_endpoints() {
            let network = endpoint.subnet.as_ref().and_then(|subnet| subnet.above(2));
            if let Some(network) = network {
                networks.entry(network).or_default().push(id);
            }
        }
        let several = networks.into_iter().filter(|(_, endpoints)| endpoints.len() > 1);
        several
            .map(|(network, endpoints)| {
                let names: Vec<String> = endpoints.iter().map(|id| format!("`{}`", id.name())).collect();
                let message =
                    format!("{} are all in the network `{}`", enumerate(&names), network.name());
                let step = Step::new(format!(
                    "keep one, whichever the DNS zone points at, and delete the others; these commands keep {}",
                    names[0]
                ));
                let step = endpoints[1..].iter().fold(step, |step, id| step.run(delete_endpoint(id)));
                self.told(Code::SeveralEndpoints, message, vec![step])
                    .about(Object::resource(&network))
            })
            .collect()
    }

    fn endpoint_limit(&self) -> Option<Told> {
        let quota =
            self.posture.quotas.iter().find(|quota| is(&quota.name, "PrivateEndpointConnections"));
        let (used, limit) = match quota {
            Some(quota) => (quota.used, quota.limit?),
            None if self.posture.completeness == Completeness::Listed => {
                let endpoints: BTreeSet<_> = self
                    .registry
                    .connections
                    .iter()
                    .map(|connection| &connection.endpoint)
                    .collect();
                (u64::try_from(endpoints.len()).unwrap_or(u64::MAX), PRIVATE_ENDPOINTS)
            }
            None => return None,
        };
        let list = self.connection_command("list", "");
        if used >= limit {
            let message = format!("it has {used} private endpoints, and may have {limit}");
            let step = Step::new(
                "delete connections that nobody uses; where the limit is 10, ask Azure's support for 200",
            );
            return Some(self.told(Code::EndpointsAtLimit, message, vec![step.run(list)]));
        }
        (limit < PRIVATE_ENDPOINTS).then(|| {
            let message = format!("it may have {limit} private endpoints, and has {used}");
            let step = Step::new("ask Azure's support for 200 before they are needed")
                .run(self.acr("show-usage", ""));
            self.told(Code::EndpointLimitLow, message, vec![step])
        })
    }

    /// Who gets in by what, whatever the network.
    fn access(&self) -> Vec<Told> {
        let settings = &self.posture.settings;
        let mut told = Vec::new();
        if settings.anonymous_pull.is(Switch::On) {
            let step = Step::new("if that isn't meant for everyone, ask for credentials")
                .run(self.update("--anonymous-pull-enabled false"));
            let message = "it lets anyone pull without credentials";
            told.push(
                self.told(Code::AnonymousPull, message, vec![step])
                    .at(settings.anonymous_pull.place()),
            );
        }
        if settings.admin_user.is(Switch::On) {
            let step =
                Step::new("give each client an identity of its own, and switch the admin user off")
                    .run(self.update("--admin-enabled false"));
            let message = "its admin user is on";
            told.push(
                self.told(Code::AdminUser, message, vec![step]).at(settings.admin_user.place()),
            );
        }
        if settings.exports.is(Switch::On) && !matches!(self.registry.sku, Sku::Lower(_)) {
            let change = if settings.public_access.is(Switch::Off) {
                Step::new("switch exports off").run(self.update("--allow-exports false"))
            } else {
                Step::new("switch exports off, which takes disabled public access")
                    .run(self.update("--public-network-enabled false --allow-exports false"))
            };
            let message = "it lets artifacts be imported into other registries";
            told.push(
                self.told(Code::ExportsAllowed, message, vec![change]).at(settings.exports.place()),
            );
        }
        if settings.label_scope.is(LabelScope::Unsecure) {
            let step = Step::new(
                "the name can't be changed: take the registry's hosts off every list before it is deleted, and keep it \
                 from being deleted by mistake",
            )
            .run(format!(
                "az lock create --name keep-{} --lock-type CanNotDelete --resource {}",
                self.registry.name,
                self.id()
            ));
            let message = format!(
                "whoever makes a registry of this name after it is deleted answers on `{}`",
                self.registry.login_server
            );
            told.push(
                self.told(Code::NameReusable, message, vec![step]).at(settings.label_scope.place()),
            );
        }
        if settings.protocol.is(Protocol::DualStack) {
            let message = "it answers on IPv4 and IPv6";
            let step = Step::new(
                "see that filters by address have rules for IPv6; if nobody needs it, go back",
            )
            .run(self.update("--endpoint-protocol IPv4"));
            told.push(
                self.told(Code::DualStack, message, vec![step]).at(settings.protocol.place()),
            );
        }
        told
    }

    fn connected_registries(&self) -> Vec<Told> {
        let connected = &self.posture.connected;
        let Some(first) = connected.values().next() else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let names: Vec<String> = connected.keys().map(|name| format!("`{name}`")).collect();
        let server = &self.registry.login_server;
        let home = self.posture.home.clone();
        let data = home.map(|home| format!(" and `{}`", server.endpoint(Family::Data(home))));
        let message = format!(
            "{} {} `{server}`{}",
            enumerate(&names),
            if names.len() == 1 { "needs" } else { "need" },
            data.unwrap_or_else(|| " and the data host of its home region".to_owned())
        );
        let list = format!("az acr connected-registry list --registry {}", self.registry.name);
        let step = Step::new("allow these hosts where the connected registries are").run(list);
        told.push(self.told(Code::ConnectedRegistries, message, vec![step]).at(Some(&first.place)));
        if self.registry.data_path() == DataPath::SharedStorage {
            let message = format!("{} can't fetch layers", enumerate(&names));
            let steps = vec![self.data_endpoints_on()];
            told.push(self.told(Code::ConnectedWithoutData, message, steps).at(Some(&first.place)));
        }
        for (name, connected) in connected {
            let state = connected.state.as_deref().unwrap_or_default();
            if !is(state, "offline") && !is(state, "unhealthy") {
                continue;
            }
            let message = format!("connected registry `{name}` is `{state}`");
            let step = Step::new(
                "see what it says, and whether its network lets it reach its hosts",
            )
            .run(format!(
                "az acr connected-registry show --registry {} --name {name}",
                self.registry.name
            ));
            let object = connected.id.as_ref().map_or_else(|| self.object(), Object::resource);
            told.push(
                self.told(Code::ConnectedNotOnline, message, vec![step])
                    .about(object)
                    .of(name)
                    .at(Some(&connected.place)),
            );
        }
        told
    }

    fn unclear_settings(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for setting in self.posture.settings.views() {
            let key = setting.key;
            match setting.state {
                State::Unsaid | State::Known => {}
                State::Unrecognised { word, place } => {
                    let message =
                        format!("`{key}` is `{word}`, so whether that is well is unknown");
                    let step =
                        Step::new("see what it means; a newer version of this program may know it")
                            .run(self.acr("show", &format!("--query {key}")));
                    told.push(
                        self.told(Code::SettingUnrecognised, message, vec![step])
                            .of(key)
                            .at(Some(place)),
                    );
                }
                State::Disputed(said) => {
                    let mut words: BTreeMap<&str, &Place> = BTreeMap::new();
                    for (word, place) in said {
                        let first = words.entry(word).or_insert(place);
                        *first = (*first).min(place);
                    }
                    let words: Vec<String> = words
                        .iter()
                        .map(|(word, place)| format!("`{word}` in {}", place.source()))
                        .collect();
                    let message = format!("`{key}` is {}", enumerate(&words));
                    let step = Step::new(
                        "if nothing is changing right now, one of the files is old: fetch it again",
                    )
                    .run(self.acr("show", ""));
                    told.push(self.told(Code::SettingDisputed, message, vec![step]).of(key));
                }
            }
        }
        told
    }

    fn is_used_up(&self, name: &str) -> bool {
        let quota = self.posture.quotas.iter().find(|quota| is(&quota.name, name));
        quota.is_some_and(|quota| quota.limit.is_some_and(|limit| quota.used >= limit))
    }

    fn data_endpoints_on(&self) -> Step {
        Step::new("once their hosts are allowed, switch data endpoints on")
            .run(self.update("--data-endpoint-enabled true"))
    }

    fn told(&self, code: Code, message: impl Display, steps: Vec<Step>) -> Told {
        Told {
            code,
            object: self.object(),
            detail: String::new(),
            message: message.to_string(),
            steps,
            place: self.posture.place.clone(),
        }
    }

    fn object(&self) -> Object {
        Object::registry(self.registry)
    }

    fn update(&self, rest: &str) -> String {
        self.acr("update", rest)
    }

    fn acr(&self, command: &str, rest: &str) -> String {
        let space = if rest.is_empty() { "" } else { " " };
        format!("az acr {command} --name {}{space}{rest}", self.registry.name)
    }

    fn replication(&self, command: &str, id: &ResourceId, rest: &str) -> String {
        let (registry, name) = (&self.registry.name, shell_word(id.name()));
        format!("az acr replication {command} --registry {registry} --name {name}{rest}")
    }

    fn connection_command(&self, command: &str, rest: &str) -> String {
        let name = &self.registry.name;
        format!("az acr private-endpoint-connection {command} --registry-name {name}{rest}")
    }

    /// The registry's id, as a word of a command.
    fn id(&self) -> String {
        match &self.posture.id {
            Some(id) => shell_word(&id.to_string()),
            None => format!("\"$({} --output tsv)\"", self.acr("show", "--query id")),
        }
    }

    /// What makes a private endpoint like `like`, if enough is known of it.
    fn create_endpoint(&self, like: &ResourceId, name: &str) -> Option<String> {
        let facts = self.posture.endpoints.get(like)?;
        let (subnet, registry) = (facts.subnet.as_ref()?, self.posture.id.as_ref()?);
        let location = facts.location.as_ref().map(|region| format!(" --location {region}"));
        let name = shell_word(name);
        Some(format!(
            "az network private-endpoint create --subscription {} --resource-group {} --name {name}{} --subnet {} \
             --private-connection-resource-id {} --group-id registry --connection-name {name}",
            shell_word(like.subscription()?),
            shell_word(like.group()?),
            location.unwrap_or_default(),
            shell_word(&subnet.to_string()),
            shell_word(&registry.to_string()),
        ))
    }
}

fn delete_endpoint(id: &ResourceId) -> String {
    format!("az network private-endpoint delete --ids {}", shell_word(&id.to_string()))
}

/// Azure folds words' case differently here and there.
fn is(word: &str, known: &str) -> bool {
    word.eq_ignore_ascii_case(known)
}

fn rules(count: usize) -> String {
    if count == 1 { "one rule".to_owned() } else { format!("{count} rules") }
}

/// <https://learn.microsoft.com/azure/container-registry/container-registry-skus>
const IP_RULES: usize = 200;
const PRIVATE_ENDPOINTS: u64 = 200;
/// <https://learn.microsoft.com/azure/container-registry/container-registry-vnet>
const SUBNET_RULES: usize = 100;
/// A /27: <https://learn.microsoft.com/azure/container-registry/container-registry-private-endpoints>
const SUBNET_SIZE: u64 = 32;
