//! Joins records about one registry: by login server, by resource id, and where no id is known, by
//! name.

use std::collections::{BTreeMap, BTreeSet};

use ringfence_config::registry::Region;

use super::private_link::{Gathered, Statement};
use super::record::{self, Record, Report};
use super::{Error, Place};
use crate::endpoint::{Endpoint, Family, LoginServer};
use crate::posture::{
    self, Completeness, Link, Posture, PrivateEndpoint as EndpointPosture, Quota, Subnet,
};
use crate::registry::private_link::Request;
use crate::registry::{
    Addresses, Connection, Feature, Gap, Listing, Origin, Position, PrivateEndpoint, Registry,
    Replica, ResourceId, Scope, Sku, Status, Switch,
};

/// Joins `records` into registries, sorted by login server.
///
/// What describes a registry goes first, then the endpoints that lead to one, then what only
/// belongs to one: so every record finds its registry, whatever the order of the files.
pub(super) fn join(mut records: Vec<Record>) -> Result<Vec<Registry>, Error> {
    records.sort_by_key(|record| match record {
        Record::Registry(_) => 0,
        Record::ShowEndpoints(_) => 1,
        Record::Interface(_) | Record::PrivateEndpoint(_) => 2,
        Record::Replication(_)
        | Record::NoReplications(..)
        | Record::Connection(..)
        | Record::NoConnections(..)
        | Record::DnsRecord(_)
        | Record::Subnet(_)
        | Record::Quota(..)
        | Record::Connected(..)
        | Record::Unreadable(_)
        | Record::PrivateLink(_)
        | Record::EmptyList(_) => 3,
    });
    let mut drafts = Drafts::default();
    // Endpoints without names wait for one with names, which may tell them their registry.
    let mut nameless = Vec::new();
    let mut zones = BTreeMap::new();
    let mut empty_lists = Vec::new();
    for record in records {
        match record {
            Record::Registry(record) => drafts.add_registry(*record)?,
            Record::ShowEndpoints(record) => drafts.add_show_endpoints(record),
            Record::Interface(record) => drafts.add_interface(record),
            Record::PrivateEndpoint(record) if record.members.is_empty() => nameless.push(record),
            Record::PrivateEndpoint(record) => drafts.add_private_endpoint(record)?,
            Record::Replication(record) => drafts.add_replication(record)?,
            Record::NoReplications(place, registry) => {
                drafts.whole(&place, &registry)?.add_no_replications(&place.file);
            }
            Record::Connection(place, registry, connection, link) => {
                let draft = drafts.whole(&place, &registry)?;
                if place.scope() == Scope::Registry {
                    draft.posture.completeness = Completeness::Listed;
                }
                draft.add_connection(connection, link);
            }
            Record::NoConnections(place, registry) => {
                drafts.whole(&place, &registry)?.posture.completeness = Completeness::Listed;
            }
            Record::Subnet(record) => {
                drafts.subnets.entry(record.id).or_default().merge(record.posture);
            }
            Record::Quota(place, registry, quota) => {
                drafts.add_quota(&place, registry.as_ref(), quota)?;
            }
            Record::Connected(registry, name, connected) => {
                let place = connected.place.clone();
                let known = &mut drafts.whole(&place, &registry)?.posture.connected;
                posture::put(known, name, connected, |connected| &connected.place);
            }
            Record::DnsRecord(record) => {
                let file = record.file.clone();
                let joined = drafts.add_dns_record(record);
                let known = zones.entry(file).or_insert(Joined::No);
                *known = joined.max(*known);
            }
            Record::Unreadable(record) => {
                drafts.whole(&record.place, &record.registry)?.gaps.insert(record.gap);
            }
            Record::PrivateLink(Statement::Request(place, registry, request)) => {
                if let Some(draft) = drafts.find(&place, &registry)? {
                    draft.requests.insert(request);
                }
            }
            Record::PrivateLink(statement) => drafts.private_link.add(statement),
            Record::EmptyList(file) => empty_lists.push(file),
        }
    }
    for record in nameless {
        drafts.add_nameless_endpoint(record)?;
    }
    drafts.add_empty_lists(empty_lists);
    if let Some((file, _)) = zones.into_iter().find(|(_, joined)| *joined == Joined::No) {
        return Err(Error::OrphanZone(file));
    }
    drafts.finish()
}

/// Whether a record has found its registry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Joined {
    No,
    Yes,
}

#[derive(Default)]
struct Drafts {
    by_server: BTreeMap<LoginServer, Draft>,
    /// Where thousands of registries are described, each of their replications looks one up.
    by_id: BTreeMap<ResourceId, LoginServer>,
    /// A subnet says which private endpoints it has, and not of which registries they are.
    subnets: BTreeMap<ResourceId, Subnet>,
    private_link: Gathered,
}

/// What is known of one registry so far.
struct Draft {
    login_server: LoginServer,
    ids: BTreeSet<ResourceId>,
    names: BTreeSet<String>,
    home: Option<(Region, String)>,
    sku: Sku,
    listings: Vec<Listing>,
    switches: Vec<Switch>,
    replicas: BTreeMap<(String, Scope), BTreeSet<Replica>>,
    connections: BTreeSet<Connection>,
    /// Per private endpoint, what each file says of it.
    members: BTreeMap<ResourceId, Vec<(String, Addresses)>>,
    zone: Addresses,
    gaps: BTreeSet<Gap>,
    posture: Posture,
    requests: BTreeSet<Request>,
}

impl Drafts {
    fn of(&mut self, server: &LoginServer) -> &mut Draft {
        self.by_server.entry(server.clone()).or_insert_with(|| Draft {
            login_server: server.clone(),
            ids: BTreeSet::new(),
            names: BTreeSet::new(),
            home: None,
            sku: Sku::Unknown,
            listings: Vec::new(),
            switches: Vec::new(),
            replicas: BTreeMap::new(),
            connections: BTreeSet::new(),
            members: BTreeMap::new(),
            zone: Addresses::new(),
            gaps: BTreeSet::new(),
            posture: Posture::default(),
            requests: BTreeSet::new(),
        })
    }

    fn add_registry(&mut self, record: record::Registry) -> Result<(), Error> {
        let server = &record.login_server;
        self.by_id.extend(record.id.clone().map(|id| (id, server.clone())));
        let draft = self.of(server);
        draft.posture.settings.merge(record.settings);
        posture::keep(&mut draft.posture.place, Some(record.place.clone()));
        let file = record.place.file;
        draft.ids.extend(record.id);
        draft.names.extend(record.name);
        draft.sku = draft.sku.clone().max(record.sku);
        if !record.connections.is_empty() {
            draft.posture.completeness = Completeness::Listed;
        }
        for (connection, link) in record.connections {
            draft.add_connection(connection, link);
        }
        draft.add_home(record.location, &file)?;
        draft.add_reports(record.reports, &file);
        Ok(())
    }

    fn add_show_endpoints(&mut self, record: record::ShowEndpoints) {
        let draft = self.of(&record.login_server);
        posture::keep(&mut draft.posture.place, Some(record.place.clone()));
        draft.add_reports(record.reports, &record.place.file);
    }

    fn add_interface(&mut self, record: record::Interface) {
        let members = (record.place.file, record.members);
        let draft = self.of(&record.login_server);
        draft.add_endpoint(&record.endpoint, record.posture);
        draft.members.entry(record.endpoint).or_default().push(members);
    }

    fn add_private_endpoint(&mut self, record: record::PrivateEndpoint) -> Result<(), Error> {
        let Some(server) = record.members.keys().next().map(Endpoint::login_server) else {
            return Ok(());
        };
        let draft = self.of(server);
        if !draft.ids.is_empty() && !draft.ids.contains(&record.registry) {
            let name = record.registry.name().to_owned();
            return Err(Error::Orphan(record.place, name));
        }
        draft.ids.insert(record.registry.clone());
        draft.add_endpoint(&record.connection.endpoint, record.posture);
        draft.add_connection(record.connection.clone(), record.link);
        let server = draft.login_server.clone();
        let members = (record.place.file, record.members);
        draft.members.entry(record.connection.endpoint).or_default().push(members);
        self.by_id.insert(record.registry, server);
        Ok(())
    }

    fn add_nameless_endpoint(&mut self, record: record::PrivateEndpoint) -> Result<(), Error> {
        let record::PrivateEndpoint { place, registry, connection, link, posture, .. } = record;
        let Some(draft) = self.find(&place, &registry)? else {
            let name = connection.endpoint.name().to_owned();
            return Err(Error::Nameless(place, name, connection.status));
        };
        draft.add_endpoint(&connection.endpoint, posture);
        draft.add_connection(connection, link);
        Ok(())
    }

    fn add_replication(&mut self, record: record::Replication) -> Result<(), Error> {
        let record::Replication { place, id, registry, replica, posture } = record;
        let draft = self.whole(&place, &registry)?;
        posture::put(&mut draft.posture.replicas, id, posture, |replica| &replica.place);
        let scope = place.scope();
        draft.replicas.entry((place.file, scope)).or_default().insert(replica);
        Ok(())
    }

    /// What az prints doesn't say of whom. Beside a single registry it is that one's; beside several it tells nothing.
    fn add_quota(
        &mut self,
        place: &Place,
        registry: Option<&ResourceId>,
        quota: Quota,
    ) -> Result<(), Error> {
        let draft = match registry {
            Some(registry) => self.whole(place, registry)?,
            None if self.by_server.len() == 1 => {
                self.by_server.values_mut().next().expect("there is one")
            }
            None => return Ok(()),
        };
        draft.posture.quotas.insert(quota);
        Ok(())
    }

    /// One zone serves every registry of a network; it adds addresses, and asks for no hosts.
    fn add_dns_record(&mut self, record: record::DnsRecord) -> Joined {
        let server = record.endpoint.login_server();
        let Some(draft) = self.by_server.get_mut(server) else {
            // A zone that has no record yet of a registry of its cloud is that registry's nevertheless.
            let is_neighbour = |known: &LoginServer| known.cloud() == server.cloud();
            return if self.by_server.keys().any(is_neighbour) { Joined::Yes } else { Joined::No };
        };
        draft.posture.zones.extend(record.zone);
        merge(&mut draft.zone, record.addresses);
        Joined::Yes
    }

    /// An empty list doesn't say of what. Beside a single registry it is taken for its
    /// replications, which becomes a finding where it matters; beside several it tells nothing, for
    /// it could be anyone's.
    fn add_empty_lists(&mut self, files: Vec<String>) {
        let mut drafts = self.by_server.values_mut();
        let (Some(draft), None) = (drafts.next(), drafts.next()) else {
            return;
        };
        let Some((home, _)) = &draft.home else {
            return;
        };
        draft.listings.extend(files.into_iter().map(|file| Listing {
            origin: Origin::new("the empty list", &file),
            scope: Scope::EmptyListing,
            regions: [home.clone()].into(),
        }));
    }

    /// The registry that `id` is, if it is described: by id where ids are known, otherwise by name.
    fn find(&mut self, place: &Place, id: &ResourceId) -> Result<Option<&mut Draft>, Error> {
        if let Some(server) = self.by_id.get(id) {
            return Ok(self.by_server.get_mut(server));
        }
        let name = id.name().to_ascii_lowercase();
        let mut namesakes = self
            .by_server
            .values_mut()
            .filter(|draft| draft.ids.is_empty() && draft.login_server.name() == name);
        match (namesakes.next(), namesakes.next()) {
            (Some(_), Some(_)) => Err(Error::Ambiguous(place.clone(), name)),
            (draft, _) => Ok(draft),
        }
    }

    /// The registry that something at `place` is a part of.
    fn whole(&mut self, place: &Place, registry: &ResourceId) -> Result<&mut Draft, Error> {
        self.find(place, registry)?
            .ok_or_else(|| Error::Orphan(place.clone(), registry.name().to_owned()))
    }

    fn finish(self) -> Result<Vec<Registry>, Error> {
        if self.by_server.is_empty() {
            return Err(Error::NoRegistry);
        }
        let mut drafts: Vec<Draft> = self.by_server.into_values().collect();
        hand_out(&self.subnets, &mut drafts);
        let finish = |draft: Draft| draft.finish(&self.private_link);
        Ok(drafts.into_iter().map(finish).collect())
    }
}

/// Gives each registry the subnets that its private endpoints are in, by the word of either.
fn hand_out(subnets: &BTreeMap<ResourceId, Subnet>, drafts: &mut [Draft]) {
    let mut of_endpoint: BTreeMap<&ResourceId, &ResourceId> = BTreeMap::new();
    for (id, subnet) in subnets {
        of_endpoint.extend(subnet.endpoints.iter().map(|endpoint| (endpoint, id)));
    }
    for draft in drafts {
        let known = draft.connections.iter().map(|connection| &connection.endpoint);
        for endpoint in known.chain(draft.members.keys()) {
            let facts = draft.posture.endpoints.entry(endpoint.clone()).or_default();
            if facts.subnet.is_none() {
                facts.subnet = of_endpoint.get(endpoint).map(|id| (*id).clone());
            }
        }
        let named = draft.posture.endpoints.values().filter_map(|facts| facts.subnet.as_ref());
        let found = named.filter_map(|id| subnets.get_key_value(id));
        draft.posture.subnets = found.map(|(id, subnet)| (id.clone(), subnet.clone())).collect();
    }
}

impl Draft {
    fn add_connection(&mut self, connection: Connection, link: Link) {
        let endpoint = connection.endpoint.clone();
        self.posture.connections.entry(endpoint).or_default().merge(link);
        self.connections.insert(connection);
    }

    fn add_endpoint(&mut self, id: &ResourceId, posture: EndpointPosture) {
        self.posture.endpoints.entry(id.clone()).or_default().merge(posture);
    }

    fn add_home(&mut self, home: Region, file: &str) -> Result<(), Error> {
        if let Some((known, known_file)) = &self.home
            && *known != home
        {
            let server = self.login_server.clone();
            let mut homes = [(known.clone(), known_file.clone()), (home, file.to_owned())];
            homes.sort();
            let [(a, a_file), (b, b_file)] = homes;
            return Err(Error::TwoHomes(server, a, a_file, b, b_file));
        }
        self.list("`location`", file, Scope::Named, [home.clone()].into());
        self.home.get_or_insert((home, file.to_owned()));
        Ok(())
    }

    /// The home region is listed from the first replica on, so an empty listing stands for it alone.
    fn add_no_replications(&mut self, file: &str) {
        let home = self.home.iter().map(|(home, _)| home.clone()).collect();
        self.list("the replications", file, Scope::NoReplications, home);
    }

    fn add_reports(&mut self, reports: Vec<Report>, file: &str) {
        for report in reports {
            let Report { key, feature, position, regions } = report;
            let key = format!("`{key}`");
            self.list(&key, file, Scope::Registry, regions);
            self.switch(&key, file, feature, position);
        }
    }

    /// What is not approved carries nothing: its regions and addresses don't count.
    fn add_members(&mut self) -> Vec<PrivateEndpoint> {
        let mut endpoints = Vec::new();
        for (id, reports) in std::mem::take(&mut self.members) {
            let of_this = |connection: &&Connection| connection.endpoint == id;
            let mut states = self.connections.iter().filter(of_this).map(|c| &c.status).peekable();
            if states.peek().is_some() && !states.any(|status| *status == Status::Approved) {
                continue;
            }
            let mut members = Addresses::new();
            for (file, addresses) in reports {
                let families = || addresses.keys().map(Endpoint::family);
                if families().any(|family| matches!(family, Family::RegionalLogin(_))) {
                    self.switch(MEMBERS, &file, Feature::RegionalEndpoints, Position::On);
                }
                let regions = families().filter_map(Family::region).cloned().collect();
                self.list(MEMBERS, &file, Scope::PrivateEndpoint, regions);
                merge(&mut members, addresses);
            }
            endpoints.push(PrivateEndpoint { id, members });
        }
        endpoints
    }

    fn add_replications(&mut self) -> BTreeSet<Replica> {
        let mut all = BTreeSet::new();
        for ((file, scope), replicas) in std::mem::take(&mut self.replicas) {
            let regions = replicas.iter().map(|replica| replica.region.clone()).collect();
            self.list("the replications", &file, scope, regions);
            all.extend(replicas);
        }
        all
    }

    fn list(&mut self, what: &str, file: &str, scope: Scope, regions: BTreeSet<Region>) {
        self.listings.push(Listing { origin: Origin::new(what, file), scope, regions });
    }

    fn switch(&mut self, what: &str, file: &str, feature: Feature, position: Position) {
        self.switches.push(Switch { origin: Origin::new(what, file), feature, position });
    }

    fn finish(mut self, gathered: &Gathered) -> Registry {
        let endpoints = self.connections.iter().map(|connection| &connection.endpoint);
        let endpoints = endpoints.chain(self.members.keys()).cloned().collect();
        let requests = std::mem::take(&mut self.requests);
        let private_link = gathered.of(&self.login_server, &endpoints, requests);
        let replicas = self.add_replications();
        let private_endpoints = self.add_members();
        let name = self.names.pop_first();
        self.posture.id = self.ids.pop_first();
        self.posture.home = self.home.map(|(home, _)| home);
        Registry {
            name: name.unwrap_or_else(|| self.login_server.name().to_owned()),
            login_server: self.login_server,
            sku: self.sku,
            listings: self.listings,
            switches: self.switches,
            replicas,
            connections: self.connections,
            private_endpoints,
            zone: self.zone,
            gaps: self.gaps,
            posture: self.posture,
            private_link,
        }
    }
}

fn merge(into: &mut Addresses, from: Addresses) {
    for (endpoint, pins) in from {
        into.entry(endpoint).or_default().extend(pins);
    }
}

const MEMBERS: &str = "the private endpoint";
