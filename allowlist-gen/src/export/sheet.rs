//! Decides what a format gets to see: the entries that it can say, all of them, in one order, with the words that
//! all formats share.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use ringfence_config::address::Pin;
use ringfence_config::allowlist::Ports;
use ringfence_config::endpoint::{Cloud, Endpoint, Family, LoginServer};
use ringfence_config::hostname::Port;
use ringfence_config::preset::{PresetName, Presets};
use ringfence_config::registry::Region;
use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, Issue, Role};

use super::client;
use super::quote::remark;
use super::text::comments;
use super::{About, Error, Format, Kind, Options, Scope, Setting, Unpinned};

/// A list as one format sees it.
pub(super) struct Sheet<'a> {
    /// The hosts, in the list's order: by registry, then role, then region; hand-written ones last. With
    /// [`Scope::Everything`], the exact ones.
    pub(super) hosts: Vec<Host<'a>>,
    /// What the export was told.
    pub(super) options: &'a Options,
    /// The list itself.
    pub(super) allowlist: &'a Allowlist,
    /// Which issue of it this is.
    pub(super) issue: Issue,
    format: Format,
    /// The list's hash, once someone asks for it: the whole list is written out for that.
    hash: OnceCell<String>,
    left_out: Vec<&'a Hostname>,
    /// What there is to say of registries whose data endpoints aren't listed.
    without_layers: Option<String>,
}

/// An entry with an exact host.
#[derive(Debug, Clone)]
pub(super) struct Host<'a> {
    pub(super) name: Cow<'a, Hostname>,
    /// What the host is of a registry, if it belongs to one.
    pub(super) endpoint: Option<Rc<Endpoint>>,
    pub(super) ports: Cow<'a, Ports>,
    pub(super) role: Cow<'a, Role>,
    /// The private addresses, and none of the platform's among them.
    pub(super) addresses: Cow<'a, [Pin]>,
    pub(super) why: Option<&'a str>,
    /// The presets that it was taken from.
    pub(super) presets: Cow<'a, Presets>,
}

/// Hosts that go into one rule or object: those of one registry, of one preset, or the hand-written ones, that have
/// the same ports.
pub(super) struct Group<'a> {
    /// `acr-contoso`, `preset-aks-core`, `presets` or `other`; of another cloud `acr-contoso--cn`, on other ports
    /// `acr-contoso--8443`, and the second part of what was split `acr-contoso--part2`. Two dashes stand in no
    /// registry's and no preset's name, so no other group has the same.
    pub(super) name: String,
    pub(super) registry: Option<LoginServer>,
    pub(super) taken: Taken,
    pub(super) ports: Ports,
    pub(super) hosts: Vec<Host<'a>>,
}

/// From where hosts were taken, as far as rules are told apart by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// From no preset: a registry's, or hand-written.
    Nowhere,
    /// From one preset.
    Preset(PresetName),
    /// From several. Their names together would be longer than most targets' names may be; each host's remark has them.
    Presets,
}

impl<'a> Sheet<'a> {
    /// What `format` sees of `allowlist`; an error if it can't say an entry, or if the options aren't those it takes.
    pub(super) fn new(
        format: Format,
        allowlist: &'a Allowlist,
        issue: Issue,
        options: &'a Options,
    ) -> Result<Self, Error> {
        check_settings(format, options)?;
        let is_data = format.about().kind == Kind::Data;
        let mut sheet = Self {
            hosts: Vec::new(),
            options,
            allowlist,
            issue,
            format,
            hash: OnceCell::new(),
            left_out: Vec::new(),
            without_layers: if is_data { None } else { without_layers(allowlist) },
        };
        for entry in allowlist.entries() {
            sheet.take(entry)?;
        }
        if sheet.about().scope == Scope::PrivateLink {
            sheet.keep_private_link()?;
        }
        Ok(sheet)
    }

    fn take(&mut self, entry: &'a Entry) -> Result<(), Error> {
        let scope = self.about().scope;
        let name = match &entry.host {
            HostPattern::Exact(name) => name,
            HostPattern::Wildcard(_) if matches!(scope, Scope::Everything | Scope::PrivateLink) => {
                return Ok(());
            }
            HostPattern::Wildcard(_) => {
                let why = "consumers disagree on what a wildcard spans; list the exact hosts";
                let why = match entry.presets.iter().next() {
                    Some(preset) => format!(
                        "{why}, or generate the list anew with `--exact-only`, which leaves out this wildcard of the \
                         preset `{preset}`"
                    ),
                    None => why.to_owned(),
                };
                return Err(self.unrepresentable(entry.host.as_str(), why));
            }
        };
        if scope == Scope::Registries && matches!(entry.role, Role::Data(..) | Role::StorageAccount)
        {
            return Ok(());
        }
        if scope == Scope::Https && entry.ports != Ports::https() {
            let ports: Vec<String> = entry.ports.iter().map(|port| port.to_string()).collect();
            let why = format!(
                "it knows only port 443, and this host is listed for {}",
                ports.join(" and ")
            );
            return Err(self.unrepresentable(name.as_str(), why));
        }
        if matches!(scope, Scope::Pinned | Scope::PinnedPorts) && entry.addresses.is_empty() {
            if self.options.unpinned == Unpinned::LeftOut {
                self.left_out.push(name);
                return Ok(());
            }
            let is_unpinned = |entry: &&Entry| entry.addresses.is_empty();
            let others = match self.allowlist.entries().iter().filter(is_unpinned).count() {
                0 | 1 => String::new(),
                2 => ", like one other,".to_owned(),
                count => format!(", like {} others,", count - 1),
            };
            let why = format!(
                "it holds private addresses, and this host{others} has none on the list; `export \
                 --pinned-only` leaves such hosts out"
            );
            return Err(self.unrepresentable(name.as_str(), why));
        }
        self.hosts.push(Host {
            name: Cow::Borrowed(name),
            endpoint: name.as_str().parse().ok().map(Rc::new),
            ports: Cow::Borrowed(&entry.ports),
            role: Cow::Borrowed(&entry.role),
            addresses: admitted(&entry.addresses),
            why: entry.why.as_deref(),
            presets: Cow::Borrowed(&entry.presets),
        });
        Ok(())
    }

    /// Keeps all hosts of the registries that have a private address anywhere, and adds those of the regions to come.
    fn keep_private_link(&mut self) -> Result<(), Error> {
        let mut by_registry: BTreeMap<LoginServer, Vec<Host<'a>>> = BTreeMap::new();
        for host in self.hosts.drain(..) {
            if let Some(endpoint) = &host.endpoint {
                by_registry.entry(endpoint.login_server().clone()).or_default().push(host);
            }
        }
        let patterns = self.allowlist.entries().iter().filter_map(pattern_of).collect::<Vec<_>>();
        let is_pinned = |entry: &Entry| !entry.addresses.is_empty();
        by_registry.retain(|registry, hosts| {
            let mut patterns = patterns.iter().filter(|(of, _)| of == registry);
            hosts.iter().any(|host| !host.addresses.is_empty())
                || patterns.any(|(_, entry)| is_pinned(entry))
        });
        if let Some((_, entry)) =
            patterns.iter().find(|(of, entry)| by_registry.contains_key(of) || is_pinned(entry))
        {
            let why = "clients disagree on what a wildcard spans; list the exact hosts";
            return Err(self.unrepresentable(entry.host.as_str(), why));
        }
        for (registry, hosts) in &mut by_registry {
            for region in &self.options.future_regions {
                hosts.extend(Host::to_come(registry, region, hosts));
            }
        }
        self.hosts = by_registry.into_values().flatten().collect();
        Ok(())
    }

    /// The format.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The list's hash.
    pub(super) fn hash(&self) -> &str {
        self.hash.get_or_init(|| self.allowlist.hash())
    }

    /// What is known of the format.
    pub(super) fn about(&self) -> &'static About {
        self.format.about()
    }

    /// An [`Error::Unrepresentable`] of this format.
    pub(super) fn unrepresentable(&self, host: &str, why: impl Into<Cow<'static, str>>) -> Error {
        Error::Unrepresentable {
            host: host.to_owned(),
            format: self.format.name(),
            why: why.into(),
        }
    }

    /// An [`Error::TooMany`] of this format, if there are more than `limit`.
    pub(super) fn at_most(
        &self,
        limit: usize,
        what: &'static str,
        found: usize,
    ) -> Result<(), Error> {
        let format = self.format.name();
        if found > limit { Err(Error::TooMany { format, what, found, limit }) } else { Ok(()) }
    }

    /// An [`Error::Unsuitable`] of this format.
    pub(super) fn unsuitable(&self, setting: Setting, why: impl Into<Cow<'static, str>>) -> Error {
        Error::Unsuitable { format: self.format.name(), setting, why: why.into() }
    }

    /// The name server that the target asks, for formats that need one.
    pub(super) fn resolver(&self) -> Result<SocketAddr, Error> {
        let (format, setting) = (self.format.name(), Setting::Resolver);
        self.options.resolver.ok_or(Error::Needs { format, setting })
    }

    /// An [`Error::Empty`] of this format, if there is no host: for targets to which an empty rule means everything.
    pub(super) fn not_empty(&self) -> Result<(), Error> {
        let format = self.format.name();
        let why = match self.about().scope {
            Scope::Pinned | Scope::PinnedPorts => "no host on the list has a private address",
            Scope::PrivateLink => "no registry on the list is reached through Private Link",
            Scope::Everything | Scope::Ports | Scope::Https => "the list is empty",
            Scope::Registries => "no registry is on the list",
        };
        if self.hosts.is_empty() { Err(Error::Empty { format, why }) } else { Ok(()) }
    }

    /// The hosts by registry and ports, in the list's order.
    pub(super) fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut index: BTreeMap<String, usize> = BTreeMap::new();
        for host in &self.hosts {
            let registry = host.endpoint.as_deref().map(Endpoint::login_server);
            let taken = host.taken();
            // Those of a group mostly stand together.
            if let Some(last) =
                groups.last_mut().filter(|last| last.takes(registry, &taken, &host.ports))
            {
                last.hosts.push(host.clone());
                continue;
            }
            let name = group_name(registry, &taken, &host.ports);
            let at = *index.entry(name.clone()).or_insert_with(|| {
                let (registry, ports) = (registry.cloned(), host.ports.clone().into_owned());
                groups.push(Group { name, registry, taken, ports, hosts: Vec::new() });
                groups.len() - 1
            });
            groups[at].hosts.push(host.clone());
        }
        groups
    }

    /// What the file says of itself, in lines that begin with `prefix`, `# ` say, and are at most 100 characters wide.
    pub(super) fn header(&self, prefix: &str) -> String {
        comments(prefix, &self.paragraphs())
    }

    /// The same in one line, for formats whose only comment is a description.
    pub(super) fn summary(&self) -> String {
        self.paragraphs().join(" ")
    }

    /// What made it, in a few words, and of what.
    pub(super) fn origin(&self) -> String {
        let count = self.hosts.len();
        let hosts = if count == 1 { "host" } else { "hosts" };
        let issue = self.issue;
        let issue = if issue.is_empty() { String::new() } else { format!(" ({issue})") };
        let (format, hash) = (self.format.name(), self.hash());
        format!(
            "Written by `allowlist-gen export {format}`: {count} {hosts} of the list {hash}{issue}."
        )
    }

    fn paragraphs(&self) -> Vec<String> {
        let about = self.about();
        let mut paragraphs = vec![self.origin(), self.registries()];
        if about.takes.contains(&Setting::Client) {
            paragraphs.push(self.clients());
        }
        paragraphs.extend(self.left_out().map(|left_out| format!("{left_out}.")));
        paragraphs.push(about.kind.meaning().to_owned());
        paragraphs.extend(about.notes.iter().map(ToString::to_string));
        paragraphs.extend(self.without_layers.clone());
        paragraphs
    }

    fn left_out(&self) -> Option<String> {
        let names = self.left_out.iter().map(|name| name.as_str()).collect::<Vec<_>>();
        let is_any = !names.is_empty();
        is_any
            .then(|| format!("Left out, as they have no private address: {}", some(names, "hosts")))
    }

    fn registries(&self) -> String {
        let mut registries: BTreeMap<&LoginServer, BTreeSet<&Region>> = BTreeMap::new();
        for endpoint in self.hosts.iter().filter_map(|host| host.endpoint.as_deref()) {
            let regions = registries.entry(endpoint.login_server()).or_default();
            regions.extend(endpoint.family().region());
        }
        let others = self.hosts.iter().filter(|host| host.endpoint.is_none()).count();
        let mut said: Vec<String> = registries
            .into_iter()
            .map(|(registry, regions)| {
                let names: Vec<&str> = regions.into_iter().map(Region::as_str).collect();
                match names.as_slice() {
                    [] => called(registry),
                    _ => format!("{} ({})", called(registry), some(names, "regions")),
                }
            })
            .collect();
        if said.is_empty() {
            said.push("none".into());
        }
        let said = some(said.iter().map(String::as_str).collect(), "registries");
        let presets: BTreeSet<&str> = self
            .hosts
            .iter()
            .flat_map(|host| host.presets.iter())
            .map(PresetName::as_str)
            .collect();
        let presets = match presets.len() {
            0 => String::new(),
            _ => format!(" Presets: {}.", some(presets.into_iter().collect(), "presets")),
        };
        match others {
            0 => format!("Registries: {said}.{presets}"),
            1 => format!("Registries: {said}; and one other host.{presets}"),
            others => format!("Registries: {said}; and {others} other hosts.{presets}"),
        }
    }

    fn clients(&self) -> String {
        match self.options.clients.as_slice() {
            [] => "Clients: whoever reaches it; `--client` narrows that.".to_owned(),
            clients => {
                let clients: Vec<String> = clients.iter().map(ToString::to_string).collect();
                format!("Clients: {}.", clients.join(", "))
            }
        }
    }

    /// What whoever installs the export should know, beyond what it says of itself.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.without_layers.iter().cloned().collect();
        warnings.extend(
            self.left_out
                .iter()
                .map(|name| format!("`{name}` is left out: it has no private address")),
        );
        if self.hosts.is_empty() && self.about().kind.is_filter() {
            warnings.push("there is no host in it, so nothing passes".to_owned());
        }
        if self.about().takes.contains(&Setting::Client) && self.options.clients.is_empty() {
            warnings.push("without `--client` it is for whoever reaches the target".to_owned());
        }
        if self.about().scope == Scope::PrivateLink {
            warnings.extend(self.hosts.iter().filter(|host| host.addresses.is_empty()).map(|host| {
                format!(
                    "`{}` goes directly, and the list has no private address for it: see that it is in the \
                     private zone before clients ask for it",
                    host.name
                )
            }));
            warnings.extend(client::warnings(self));
        }
        warnings
    }
}

impl Host<'_> {
    /// Whether it is a storage account, which what keeps clients from storage has to spare. Nothing else that a list
    /// takes is below a domain of storage.
    pub(super) fn is_account(&self) -> bool {
        *self.role == Role::StorageAccount
    }

    /// A word or two for a comment: what the host is, or why it is on the list.
    pub(super) fn remark(&self) -> String {
        let what = match &*self.role {
            Role::Login(registry) => format!("login server of {registry}"),
            Role::RegionalLogin(registry, region) => {
                format!("login server of {registry} in {region}")
            }
            Role::Data(registry, region) => format!("layers of {registry} in {region}"),
            Role::StorageAccount => "storage account".to_owned(),
            Role::Other if self.presets.is_empty() => "hand-written".to_owned(),
            Role::Other => String::new(),
        };
        let whole = [what, self.origin()].into_iter().filter(|part| !part.is_empty());
        let what = whole.collect::<Vec<_>>().join(", ");
        match self.why {
            Some(why) => format!("{what}: {}", remark(why)),
            None => what,
        }
    }

    /// `preset aks/core`; nothing for what was taken from none.
    fn origin(&self) -> String {
        let names: Vec<&str> = self.presets.iter().map(PresetName::as_str).collect();
        match names.as_slice() {
            [] => String::new(),
            [only] => format!("preset {only}"),
            several => format!("presets {}", some(several.to_vec(), "presets")),
        }
    }

    /// From where it was taken; a registry's host is its registry's, whatever preset names it.
    fn taken(&self) -> Taken {
        let mut presets = self.presets.iter().filter(|_| self.endpoint.is_none());
        match (presets.next(), presets.next()) {
            (None, _) => Taken::Nowhere,
            (Some(only), None) => Taken::Preset(only.clone()),
            (Some(_), Some(_)) => Taken::Presets,
        }
    }

    /// The hosts that `registry`, which has `hosts` so far, will have in another region.
    fn to_come(registry: &LoginServer, region: &Region, hosts: &[Self]) -> Vec<Self> {
        let is_known = |endpoint: &Endpoint| {
            hosts.iter().any(|host| host.endpoint.as_deref() == Some(endpoint))
        };
        let has_regional_logins = hosts.iter().any(|host| {
            host.endpoint.as_ref().is_some_and(|e| matches!(e.family(), Family::RegionalLogin(_)))
        });
        let regional = has_regional_logins.then(|| Family::RegionalLogin(region.clone()));
        [Some(Family::Data(region.clone())), regional]
            .into_iter()
            .flatten()
            .map(|family| registry.endpoint(family))
            .filter(|endpoint| !is_known(endpoint))
            .map(|endpoint| Self {
                name: Cow::Owned(endpoint.host()),
                role: Cow::Owned(Role::from(&endpoint)),
                endpoint: Some(Rc::new(endpoint)),
                ports: Cow::Owned(Ports::https()),
                addresses: Cow::Borrowed(&[]),
                why: None,
                presets: Cow::Owned(Presets::new()),
            })
            .collect()
    }
}

impl<'a> Group<'a> {
    /// Whether it is the group of hosts of that registry, or taken from there, on these ports.
    fn takes(&self, registry: Option<&LoginServer>, taken: &Taken, ports: &Ports) -> bool {
        self.registry.as_ref() == registry && self.taken == *taken && self.ports == *ports
    }

    /// The group in parts of at most `most` hosts.
    pub(super) fn parts(self, most: usize) -> Vec<Self> {
        if self.hosts.len() <= most {
            return vec![self];
        }
        let part = |(number, hosts): (usize, &[Host<'a>])| Self {
            name: format!("{}--part{number}", self.name),
            registry: self.registry.clone(),
            taken: self.taken.clone(),
            ports: self.ports.clone(),
            hosts: hosts.to_vec(),
        };
        (1..).zip(self.hosts.chunks(most)).map(part).collect()
    }

    /// What it is, in a few words: `contoso: eastus, westeurope`.
    pub(super) fn describe(&self) -> String {
        let registry = match (&self.registry, &self.taken) {
            (Some(registry), _) => registry,
            (None, Taken::Nowhere) => return "hand-written hosts".to_owned(),
            (None, Taken::Preset(name)) => return format!("hosts of the preset {name}"),
            (None, Taken::Presets) => return "hosts of several presets".to_owned(),
        };
        let regions: Vec<&str> = self.regions().iter().map(|region| region.as_str()).collect();
        match regions.as_slice() {
            [] => called(registry),
            _ => format!("{}: {}", called(registry), some(regions, "regions")),
        }
    }

    /// The regions of the hosts, each once, in ascending order.
    fn regions(&self) -> Vec<&Region> {
        let mut regions: Vec<&Region> = self
            .hosts
            .iter()
            .filter_map(|host| host.endpoint.as_ref()?.family().region())
            .collect();
        regions.sort_unstable();
        regions.dedup();
        regions
    }

    /// The private addresses of the group, each once, in ascending order.
    pub(super) fn addresses(&self) -> Vec<Pin> {
        let mut pins: Vec<Pin> =
            self.hosts.iter().flat_map(|host| host.addresses.iter()).copied().collect();
        pins.sort_unstable();
        pins.dedup();
        pins
    }
}

/// The registry that a pattern's hosts are of.
fn pattern_of(entry: &Entry) -> Option<(LoginServer, &Entry)> {
    let HostPattern::Wildcard(_) = &entry.host else { return None };
    let endpoint: Endpoint = entry.host.as_str().replace('*', "any").parse().ok()?;
    Some((endpoint.login_server().clone(), entry))
}

/// The pins as a filter may have them; nearly always just as they are.
fn admitted(pins: &[Pin]) -> Cow<'_, [Pin]> {
    if pins.iter().all(|pin| pin.address().is_some() || pin.admitted() == [*pin]) {
        return Cow::Borrowed(pins);
    }
    pins.iter().flat_map(Pin::admitted).collect()
}

fn check_settings(format: Format, options: &Options) -> Result<(), Error> {
    let (about, name) = (format.about(), format.name());
    for setting in Setting::ALL {
        let is_given = setting.is_given(options);
        if is_given && !about.takes.contains(&setting) {
            let takes = Setting::flags(about.takes);
            return Err(Error::NotTaken { format: name, setting, takes });
        }
        if !is_given && about.needs.contains(&setting) {
            return Err(Error::Needs { format: name, setting });
        }
    }
    Ok(())
}

/// Registries that would be cut off from their layers, or whose layers come from elsewhere.
fn without_layers(allowlist: &Allowlist) -> Option<String> {
    let mut has_data: BTreeMap<LoginServer, bool> = BTreeMap::new();
    for entry in allowlist.entries() {
        let endpoint = match &entry.host {
            HostPattern::Exact(name) => name.as_str().parse::<Endpoint>(),
            HostPattern::Wildcard(_) => entry.host.as_str().replace('*', "any").parse(),
        };
        if let Ok(endpoint) = endpoint {
            let is_data = matches!(endpoint.family(), Family::Data(_));
            *has_data.entry(endpoint.login_server().clone()).or_default() |= is_data;
        }
    }
    let without: Vec<String> = has_data
        .into_iter()
        .filter(|(_, has)| !has)
        .map(|(registry, _)| called(&registry))
        .collect();
    if without.is_empty() {
        return None;
    }
    let names = some(without.iter().map(String::as_str).collect(), "registries");
    Some(format!(
        "No data endpoint is on the list for {names}: until dedicated data endpoints are on, layers come \
         from storage accounts that no list can name, and pulls fail."
    ))
}

fn group_name(registry: Option<&LoginServer>, taken: &Taken, ports: &Ports) -> String {
    let mut name = match (registry, taken) {
        (Some(registry), _) => format!("acr-{}", registry.label()),
        (None, Taken::Nowhere) => "other".to_owned(),
        (None, Taken::Preset(name)) => format!("preset-{}", name.as_str().replace('/', "-")),
        (None, Taken::Presets) => "presets".to_owned(),
    };
    match registry.map(LoginServer::cloud) {
        None | Some(Cloud::Public) => {}
        Some(Cloud::UsGovernment) => name.push_str("--us"),
        Some(Cloud::China) => name.push_str("--cn"),
        Some(Cloud::Bleu) => name.push_str("--fr"),
    }
    if *ports != Ports::https() {
        let ports: Vec<String> = ports.iter().map(|port: Port| port.to_string()).collect();
        name.push_str("--");
        name.push_str(&ports.join("-"));
    }
    name
}

/// What people call a registry. Not its login server: comments name no host that isn't on the list.
fn called(registry: &LoginServer) -> String {
    match registry.cloud() {
        Cloud::Public => registry.label().to_string(),
        cloud => format!("{} of {}", registry.label(), cloud.suffix()),
    }
}

/// The first few of `names`, and how many more there are.
fn some(names: Vec<&str>, what: &str) -> String {
    const FEW: usize = 20;
    let more = names.len().saturating_sub(FEW);
    let shown = names.into_iter().take(FEW).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more {what}") }
}
