//! Decides which published sets of hosts there are, and what of them can be on a list: what else a cluster or a
//! person needs, beside the hosts of registries.
//!
//! A preset is data, in `presets/`, with the page that it was taken from. Taking one is never silent: [`select`]
//! answers with entries and with [`Note`]s about everything that was left out, and everything that someone should
//! know of what wasn't.

mod data;
mod note;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ringfence_config::allowlist::Ports;
use ringfence_config::endpoint::{Cloud, Endpoint};
use ringfence_config::{Entry, HostPattern, Hostname, Port, PresetName, Region, Role, guard};

use self::note::Kind;
pub use self::note::{Note, Notes};
pub use self::page::{Listing, Overview, Page};

/// Hosts that something needs, as a page says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// What it is called.
    pub name: PresetName,
    /// What it is for, in a few words.
    pub title: String,
    /// What there is to know before taking it; may be empty.
    pub about: String,
    /// The page that it was taken from.
    pub source: String,
    /// The page's date, or of its latest version that was read.
    pub date: String,
    /// What is needed, too, and no list of hosts can say.
    pub outside: Vec<String>,
    /// What the page says, in its order.
    pub rules: Vec<Rule>,
}

/// One host, or pattern of hosts, that a page says to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What the page prints.
    pub host: Template,
    /// The clouds that it says it of.
    pub clouds: BTreeSet<Cloud>,
    /// What is spoken.
    pub scheme: Scheme,
    /// On which port.
    pub port: Port,
    /// What for.
    pub why: String,
    /// What sort of host it is.
    pub sort: Sort,
    /// Why a wildcard has one owner.
    pub owner: Option<String>,
    /// What to do in place of a wildcard.
    pub instead: Option<String>,
    /// The page that says it, if another than the preset's.
    pub source: Option<String>,
}

/// What is spoken on a rule's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// TLS, which a CONNECT proxy carries.
    Https,
    /// Plain HTTP, which it doesn't.
    Http,
}

/// What sort of host a rule names, as far as that matters to whoever takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A host of its owner's.
    Plain,
    /// The API server of one cluster, which has a name of its own.
    ApiServer,
    /// A host that serves every tenant under one name.
    Shared,
}

/// A host as pages print it, with `<location>` or the like for a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template(String);

impl Template {
    /// The host as the page prints it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hosts that it stands for in `locations`; none if it needs one and there is none.
    fn fill(&self, locations: &BTreeSet<Region>) -> Vec<HostPattern> {
        match self.placeholder() {
            None => vec![self.parse(&self.0)],
            Some(placeholder) => locations
                .iter()
                .map(|location| self.parse(&self.0.replace(placeholder, location.as_str())))
                .collect(),
        }
    }

    fn placeholder(&self) -> Option<&str> {
        let (start, end) = (self.0.find('<')?, self.0.find('>')?);
        self.0.get(start..=end)
    }

    fn parse(&self, text: &str) -> HostPattern {
        text.parse().unwrap_or_else(|_| unreachable!("`{}` was checked when it was read", self.0))
    }

    /// Whether `host` is one that it stands for, in whatever region.
    fn stands_for(&self, host: &Hostname) -> bool {
        let mut labels = host.labels();
        let fits = |label: &str| {
            let theirs = labels.next();
            theirs.is_some_and(|theirs| label == "*" || label.starts_with('<') || label == theirs)
        };
        self.0.split('.').all(fits) && labels.next().is_none()
    }
}

/// What to take of which presets.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The presets, in any order.
    pub presets: Vec<&'static Preset>,
    /// The clouds that hosts are wanted of.
    pub clouds: BTreeSet<Cloud>,
    /// The regions that stand in place of `<location>`.
    pub locations: BTreeSet<Region>,
    /// The API servers of one's own clusters, in place of a wildcard over everyone's.
    pub api_servers: BTreeSet<Hostname>,
    /// The hosts that someone wrote by hand, beside the presets.
    pub extra_hosts: Vec<ExtraHost>,
    /// Whether a preset's wildcards are wanted.
    pub wildcards: Wildcards,
}

/// A host that someone wrote by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The host.
    pub host: Hostname,
    /// Its port.
    pub port: Port,
    /// What it is needed for.
    pub why: String,
}

/// Whether a preset's wildcards are wanted, where the guard admits them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wildcards {
    /// They are taken, and said.
    #[default]
    Taken,
    /// They are left out, and said.
    LeftOut,
}

/// What becomes of a [`Request`].
#[derive(Debug, Clone)]
pub struct Selection {
    /// What can be on a list; the guard has seen each.
    pub entries: Vec<Entry>,
    /// What whoever takes it should know.
    pub notes: Notes,
}

/// Why there is no selection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A host that someone wrote by hand, and that may never be on a list.
    #[error("{0}")]
    Guard(guard::Refusal),
    /// No preset that was asked for has an API server.
    #[error(
        "`--api-server {0}` stands in place of nothing: no preset that is taken has API servers"
    )]
    NoApiServer(Hostname),
    /// A host that no registry has in that place.
    #[error("registries answer on port 443, and `{0}` is one's host")]
    RegistryPort(Hostname),
}

impl Error {
    /// What to do instead.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Guard(refusal) => refusal.remedy(),
            Self::NoApiServer(_) => {
                "take `--preset aks/core`, too, or list the host with `--extra-host`"
            }
            Self::RegistryPort(_) => "leave the port out",
        }
    }
}

/// Every preset, by name.
pub fn all() -> &'static [Preset] {
    static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(data::read);
    &PRESETS
}

/// The preset of that name.
pub fn find(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name.as_str() == name)
}

/// The presets that would put `host` on a list, in whatever region: exactly, or by a wildcard that the guard admits.
pub fn of_host(host: &Hostname) -> impl Iterator<Item = &'static PresetName> {
    let any = BTreeSet::from(["any".parse().expect("a region")]);
    let has = move |preset: &&Preset| {
        preset.rules.iter().any(|rule| {
            let is_taken = || rule.host.fill(&any).iter().all(|host| guard::check(host).is_ok());
            rule.scheme == Scheme::Https && rule.host.stands_for(host) && is_taken()
        })
    };
    all().iter().filter(has).map(|preset| &preset.name)
}

/// What Azure's tools call a cloud.
pub fn azure_name(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "AzureCloud",
        Cloud::UsGovernment => "AzureUSGovernment",
        Cloud::China => "AzureChinaCloud",
        Cloud::Bleu => "AzureBleuCloud",
    }
}

/// The entries that were asked for, and everything there is to say about them.
///
/// ```
/// use allowlist_gen::presets::{self, Request};
/// use ringfence_config::endpoint::Cloud;
///
/// let request = Request {
///     presets: vec![presets::find("aks/core").unwrap()],
///     clouds: [Cloud::Public].into(),
///     locations: ["eastus".parse().unwrap()].into(),
///     ..Request::default()
/// };
/// let selection = presets::select(&request)?;
/// let said = selection.notes.to_string();
/// assert!(said.contains("would allow `exfil.hcp.eastus.azmk8s.io`, which can belong to anyone"));
/// assert!(!selection.entries.iter().any(|entry| entry.host.as_str().contains("azmk8s.io")));
/// # Ok::<(), presets::Error>(())
/// ```
pub fn select(request: &Request) -> Result<Selection, Error> {
    let mut taking = Taking { request, entries: Vec::new(), notes: BTreeMap::new() };
    for extra in &request.extra_hosts {
        taking.entries.push(extra.entry()?);
    }
    for host in &request.api_servers {
        guard::check(&HostPattern::Exact(host.clone())).map_err(Error::Guard)?;
    }
    let mut took_api_servers = false;
    for preset in &request.presets {
        if preset.rules.is_empty() {
            taking.note(preset, Kind::Nothing(preset.about.clone()));
        }
        for &cloud in &request.clouds {
            if !preset.rules.is_empty()
                && !preset.rules.iter().any(|rule| rule.clouds.contains(&cloud))
            {
                taking.note(preset, Kind::NothingFor(cloud));
            }
        }
        let wanted = preset.rules.iter().filter(|rule| !rule.clouds.is_disjoint(&request.clouds));
        for rule in wanted {
            took_api_servers |= rule.sort == Sort::ApiServer;
            taking.take(preset, rule);
        }
        for outside in preset.outside.iter().filter(|_| !preset.rules.is_empty()) {
            taking.note(preset, Kind::Outside(outside.clone()));
        }
    }
    match request.api_servers.first() {
        Some(host) if !took_api_servers => Err(Error::NoApiServer(host.clone())),
        _ => Ok(Selection { entries: taking.entries, notes: Notes::new(taking.notes) }),
    }
}

/// A selection in the making.
struct Taking<'a> {
    request: &'a Request,
    entries: Vec<Entry>,
    notes: BTreeMap<Kind, BTreeSet<PresetName>>,
}

impl Taking<'_> {
    fn note(&mut self, preset: &Preset, kind: Kind) {
        self.notes.entry(kind).or_default().insert(preset.name.clone());
    }

    fn take(&mut self, preset: &Preset, rule: &Rule) {
        if rule.sort == Sort::ApiServer && self.take_api_servers(preset, rule) {
            return;
        }
        if rule.scheme == Scheme::Http {
            let kind = Kind::PlainHttp { host: rule.host.clone(), port: rule.port };
            return self.note(preset, kind);
        }
        let hosts = rule.host.fill(&self.request.locations);
        if hosts.is_empty() {
            let kind = Kind::Location {
                host: rule.host.clone(),
                is_api_server: rule.sort == Sort::ApiServer,
            };
            return self.note(preset, kind);
        }
        for host in hosts {
            self.take_host(preset, rule, host);
        }
    }

    /// Puts one's own API servers in the place of a wildcard over everyone's, if one of them has such a name, or if
    /// none has a name that any rule of the preset knows: a private cluster's may be called anything.
    fn take_api_servers(&mut self, preset: &Preset, rule: &Rule) -> bool {
        let is_known = |host: &&Hostname| {
            let mut rules = preset.rules.iter().filter(|rule| rule.sort == Sort::ApiServer);
            rules.any(|rule| rule.host.stands_for(host))
        };
        let of_rule = |host: &&Hostname| rule.host.stands_for(host) || !is_known(host);
        let servers: Vec<Hostname> =
            self.request.api_servers.iter().filter(of_rule).cloned().collect();
        for host in &servers {
            self.push(rule.entry(preset, HostPattern::Exact(host.clone())));
        }
        if servers.is_empty() {
            return false;
        }
        self.note(preset, Kind::Replaced { host: rule.host.as_str().to_owned(), by: servers });
        true
    }

    fn take_host(&mut self, preset: &Preset, rule: &Rule, host: HostPattern) {
        let answers = |extra: &&ExtraHost| match &host {
            HostPattern::Exact(domain) => extra.host.is_below(domain.as_str()),
            HostPattern::Wildcard(_) => host.matches(&extra.host),
        };
        let by: Vec<Hostname> = self
            .request
            .extra_hosts
            .iter()
            .filter(answers)
            .map(|extra| extra.host.clone())
            .collect();
        let is_wildcard = matches!(host, HostPattern::Wildcard(_));
        match guard::check(&host) {
            Err(_) if !by.is_empty() => {
                self.note(preset, Kind::Replaced { host: host.to_string(), by });
            }
            Err(refusal) => self.note(preset, Kind::refused(rule, &host, &refusal)),
            Ok(()) if is_wildcard && self.request.wildcards == Wildcards::LeftOut => {
                let instead = rule.instead.clone().unwrap_or_default();
                self.note(preset, Kind::WildcardLeftOut { host, instead });
            }
            Ok(()) => {
                if is_wildcard {
                    self.note(preset, Kind::wildcard(rule, &host));
                }
                self.push(rule.entry(preset, host.clone()));
                self.look_at(preset, rule, &host);
            }
        }
    }

    /// What there is to say of an exact host that is on the list.
    fn look_at(&mut self, preset: &Preset, rule: &Rule, host: &HostPattern) {
        let HostPattern::Exact(name) = host else { return };
        if rule.sort == Sort::Shared {
            return self.note(preset, Kind::Shared(name.clone()));
        }
        let is_registrys = name.as_str().parse::<Endpoint>().is_ok();
        if let Some(domain) = guard::shared_domain(name).filter(|_| !is_registrys) {
            let domain = domain.to_owned();
            self.note(preset, Kind::AmongOthers { domain, host: name.clone() });
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

impl Rule {
    /// The entry for one of the rule's hosts; a registry's host has the registry's role.
    fn entry(&self, preset: &Preset, host: HostPattern) -> Entry {
        Entry {
            role: role_of(&host),
            host,
            ports: Ports::new(vec![self.port]).expect("one port"),
            addresses: Vec::new(),
            why: Some(self.why.clone()),
            presets: [preset.name.clone()].into(),
        }
    }
}

impl ExtraHost {
    fn entry(&self) -> Result<Entry, Error> {
        let host = HostPattern::Exact(self.host.clone());
        guard::check(&host).map_err(Error::Guard)?;
        let role = role_of(&host);
        if role != Role::Other && self.port != Port::HTTPS {
            return Err(Error::RegistryPort(self.host.clone()));
        }
        let ports = Ports::new(vec![self.port]).expect("one port");
        Ok(Entry { ports, why: Some(self.why.clone()), ..Entry::new(self.host.clone(), role) })
    }
}

/// What a host is for, as far as its name tells: a registry's is the registry's.
pub(crate) fn role_of(host: &HostPattern) -> Role {
    host.as_str().parse::<Endpoint>().map_or(Role::Other, |endpoint| Role::from(&endpoint))
}
