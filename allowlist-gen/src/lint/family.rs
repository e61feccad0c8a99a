//! The families of names that no rule should reach, and what of them a language reaches.
//!
//! What belongs to which family is known by [`guard`] and [`endpoint`](crate::endpoint); here it becomes languages.
//! A rule reaches a family of strangers if it holds names of two owners: one that stays with one owner, such as
//! `contoso.*.data.azurecr.io`, is that owner's affair. Storage is everybody's, whatever name stands before it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ringfence_config::guard::{self, Shape};
use ringfence_config::{Allowlist, HostPattern, Hostname};

use super::language::{Error, Language, literal};
use crate::endpoint::{self, Endpoint};

/// Names that belong to others, and carry away whatever is sent to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Storage services of every cloud.
    Storage,
    /// Registries, of every Azure cloud.
    Registry,
    /// Content delivery, applications and other domains of many owners.
    Shared,
    /// Domains that anyone can register.
    Anyone,
}

impl Family {
    /// Every family, the worst first.
    pub const ALL: [Self; 4] = [Self::Storage, Self::Registry, Self::Shared, Self::Anyone];

    /// Its name in reports and certificates.
    pub fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Registry => "registry",
            Self::Shared => "shared",
            Self::Anyone => "anyone",
        }
    }

    /// What a name of it is, after a comma.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Storage => "storage that anyone can own",
            Self::Registry => "somebody else's registry",
            Self::Shared => "a name that can belong to anyone",
            Self::Anyone => "a domain that anyone can register",
        }
    }

    /// The domains that it is made of; none for the family of all names.
    pub fn domains(self) -> Vec<&'static str> {
        match self {
            Self::Storage => guard::storage_services().map(|(domain, _)| domain).collect(),
            Self::Registry => endpoint::domains().collect(),
            Self::Shared => guard::shared_domains().collect(),
            Self::Anyone => Vec::new(),
        }
    }

    /// All its names.
    pub fn language(self) -> &'static Language {
        &FAMILIES[self as usize].language
    }

    /// Whether `host` is one of its names, asked of those who know rather than of the language.
    pub fn holds(self, host: &Hostname) -> bool {
        let is_registry = || registry_of(host).is_some();
        let is_shared = || guard::shared_domains().any(|domain| host.is_below(domain));
        match self {
            Self::Storage => guard::is_storage(host),
            Self::Registry => is_registry(),
            Self::Shared => is_shared() && !guard::is_storage(host) && !is_registry(),
            Self::Anyone => {
                guard::registered_domain(host).is_some()
                    && !guard::is_storage(host)
                    && !is_registry()
                    && !is_shared()
            }
        }
    }

    /// A name of it that a language holds and a stranger can have, or `None` if there is none.
    ///
    /// Every name that is given was checked once more, by others than the automata that found it.
    pub fn witness(self, language: &Language, own: &Own) -> Result<Option<Hostname>, Error> {
        let reached = Language::all([language.clone(), self.language().clone()]);
        let reached = reached.minus(&own.of(self));
        let found = match self {
            Self::Storage => self.any(&reached)?,
            // With a list it is known whose registries are one's own.
            Self::Registry if own.registries.is_some() => self.any(&reached)?,
            Self::Registry | Self::Shared | Self::Anyone => self.stranger(&reached)?,
        };
        match found {
            Some(host) if !self.holds(&host) || !language.holds(&host)? => Err(Error::TooLarge),
            found => Ok(found),
        }
    }

    fn any(self, reached: &Language) -> Result<Option<Hostname>, Error> {
        if let Some(telling) = reached.first_of(&FAMILIES[self as usize].telling)? {
            return Ok(Some(telling.clone()));
        }
        if self == Self::Anyone {
            let common = one_of(["com", "net", "org"].map(|domain| format!(r".+\.{domain}")));
            let common = Language::all([reached.clone(), common]).shortest()?;
            if common.as_ref().is_some_and(|host| self.holds(host)) {
                return Ok(common);
            }
        }
        let mut rest = reached.clone();
        for _ in 0..ATTEMPTS {
            match rest.shortest()? {
                Some(host) if self.holds(&host) => return Ok(Some(host)),
                Some(host) => {
                    let below: Option<Hostname> = format!("exfil.{host}").parse().ok();
                    let below = below.filter(|below| self.holds(below));
                    if let Some(below) = rest.first_of(&below)? {
                        return Ok(Some(below.clone()));
                    }
                    rest = rest.minus(&nobodys(&host));
                }
                None => return Ok(None),
            }
        }
        Err(Error::TooLarge)
    }

    /// A name whose owner isn't the only one.
    fn stranger(self, reached: &Language) -> Result<Option<Hostname>, Error> {
        let Some(one) = self.any(reached)? else { return Ok(None) };
        let others = reached.minus(&self.owner_of(&one));
        if let (Self::Anyone, Some(domain)) = (self, guard::registered_domain(&one)) {
            let suffix = domain.split_once('.').map_or(domain, |(_, suffix)| suffix);
            let names = [
                format!("exfil.{suffix}"),
                format!("evil{domain}"),
                format!("exfil.{domain}"),
                format!("x.exfil.{domain}"),
            ];
            // Below some domains, as `*.kawasaki.jp` says in the public suffix list, each name is another's.
            let strangers: Vec<Hostname> = names
                .iter()
                .filter_map(|name| name.parse().ok())
                .filter(|host| guard::registered_domain(host).is_some_and(|owner| owner != domain))
                .collect();
            if let Some(stranger) = reached.first_of(&strangers)? {
                return Ok(Some(stranger.clone()));
            }
        }
        let is_telling = one.as_str().contains("exfil");
        Ok(self.any(&others)?.map(|other| if is_telling { one } else { other }))
    }

    /// The names that whoever has `host` has, too.
    fn owner_of(self, host: &Hostname) -> Language {
        match self {
            Self::Storage => Language::exact(host.as_str()),
            Self::Registry => registry_of(host).map_or_else(Language::nothing, |r| r.names()),
            // Below a domain of many owners the public suffix list may know where an owner's names begin; where it
            // doesn't, each name is somebody's.
            Self::Shared => {
                let below = guard::shared_domains().filter(|domain| host.is_below(domain));
                let nearest = below.max_by_key(|domain| domain.len()).unwrap_or_default();
                let owners = guard::registered_domain(host).filter(|domain| {
                    domain.len() > nearest.len()
                        && format!(".{domain}").ends_with(&format!(".{nearest}"))
                });
                owners.map_or_else(|| Language::exact(host.as_str()), Language::at_or_below)
            }
            Self::Anyone => guard::registered_domain(host)
                .map_or_else(|| Language::exact(host.as_str()), Language::at_or_below),
        }
    }
}

/// The names that are nobody's as `host` is: the one by itself where others register names below it, as below
/// `co.uk`; and where nobody can, as below `svc`, all that end so.
fn nobodys(host: &Hostname) -> Language {
    let end = host.labels().next_back().unwrap_or_default();
    let registers = |name: String| {
        name.parse().is_ok_and(|host: Hostname| guard::registered_domain(&host).is_some())
    };
    if registers(format!("exfil.{end}")) || registers(format!("x.exfil.{end}")) {
        Language::exact(host.as_str())
    } else {
        Language::at_or_below(end)
    }
}

/// How many names that are nobody's stand in the way of one that is somebody's.
const ATTEMPTS: usize = 64;

/// What is the reader's own, and no stranger's.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Whose hosts the list has; `None` without a list.
    registries: Option<BTreeSet<Registry>>,
    accounts: BTreeSet<Hostname>,
}

impl Own {
    /// Nothing is known to be.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The registries and the storage accounts on `list`.
    pub fn on(list: &Allowlist) -> Self {
        let mut own = Self { registries: Some(BTreeSet::new()), accounts: BTreeSet::new() };
        for entry in list.entries() {
            let HostPattern::Exact(host) = &entry.host else {
                let first = entry.host.labels().next().filter(|label| *label != "*");
                let domain = endpoint::domains()
                    .find(|domain| entry.host.as_str().ends_with(&format!(".{domain}")));
                if let (Some(label), Some(domain)) = (first, domain) {
                    own.registries
                        .get_or_insert_default()
                        .insert(Registry { label: label.to_owned(), domain });
                }
                continue;
            };
            if guard::is_storage(host) {
                own.accounts.insert(host.clone());
            }
            own.registries.get_or_insert_default().extend(registry_of(host));
        }
        own
    }

    /// Whether that registry's hosts are one's own; without a list, all may be.
    pub(super) fn has_registry_of(&self, host: &Hostname) -> bool {
        self.registries
            .as_ref()
            .is_none_or(|own| registry_of(host).is_some_and(|r| own.contains(&r)))
    }

    pub(super) fn has_account(&self, host: &Hostname) -> bool {
        self.accounts.contains(host)
    }

    fn of(&self, family: Family) -> Language {
        match family {
            Family::Storage => {
                Language::any(self.accounts.iter().map(|host| Language::exact(host.as_str())))
            }
            Family::Registry => {
                Language::any(self.registries.iter().flatten().map(Registry::names))
            }
            Family::Shared | Family::Anyone => Language::nothing(),
        }
    }
}

/// One registry: the first label of its hosts, and its cloud's domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Registry {
    label: String,
    domain: &'static str,
}

impl Registry {
    fn names(&self) -> Language {
        let Self { label, domain } = self;
        let star = r"(?:[^.]+\.)*";
        Language::glob(&format!("{label}.*{domain}"), star)
    }
}

/// Whose host it is; names of private endpoints' records are aliases that lead to the same registry.
fn registry_of(host: &Hostname) -> Option<Registry> {
    let domain = endpoint::domains().find(|domain| host.is_below(domain))?;
    let by_record = || Endpoint::from_private_record(host.as_str());
    let endpoint = host.as_str().parse::<Endpoint>().or_else(|_| by_record());
    // The closed German cloud has no endpoints any more, and its domain is still everybody's.
    let is_closed = matches!(endpoint, Err(endpoint::Error::ClosedCloud));
    (endpoint.is_ok() || is_closed)
        .then(|| Registry { label: host.first_label().to_owned(), domain })
}

struct Names {
    language: Language,
    /// Names that say what they are for, tried before shorter ones.
    telling: Vec<Hostname>,
}

static FAMILIES: LazyLock<[Names; 4]> = LazyLock::new(|| {
    let storage = Names { language: storage(), telling: telling(guard::storage_domains()) };
    let registry = Names { language: registries(), telling: telling_registries() };
    let shared = one_of(guard::shared_domains().map(|domain| format!(r".+\.{}", plain(domain))));
    let shared = shared.minus(&storage.language).minus(&registry.language);
    let shared = Names { language: shared, telling: telling(guard::shared_domains()) };
    let known = [&storage.language, &registry.language, &shared.language].map(Clone::clone);
    let anyone = Language::any(known).complement();
    let anyone = Names { language: anyone, telling: telling(["example.net", "example"]) };
    [storage, registry, shared, anyone]
});

/// A domain or a label of ours as an expression.
fn plain(domain: &str) -> String {
    literal(domain).expect("domains in our tables are host names")
}

/// One automaton for all, which is faster than one for each.
fn one_of(patterns: impl IntoIterator<Item = String>) -> Language {
    Language::pattern(patterns.into_iter().collect::<Vec<_>>().join("|"))
}

fn storage() -> Language {
    one_of(guard::storage_services().flat_map(|(domain, shape)| {
        let domain = plain(domain);
        match shape {
            Shape::All => vec![format!(r"(?:.+\.)?{domain}")],
            Shape::Directly(labels) => {
                let labels = labels.iter().map(|label| plain(label));
                labels.map(|label| format!(r"(?:.+\.)?{label}\.{domain}")).collect()
            }
            // The label, alone or before a hyphen, with any labels on either side.
            Shape::Anywhere(labels) => {
                let labels = labels.iter().map(|label| plain(label));
                let pattern = |label| format!(r"(?:.*\.)?{label}(?:\-[^.]*)?(?:\..*)?\.{domain}");
                labels.map(pattern).collect()
            }
        }
    }))
}

fn registries() -> Language {
    let families = r"(?:\.[a-z0-9]+\.(?:data|geo))?(?:\.privatelink)?";
    let labels = format!("[a-z0-9]+(?:-[a-z0-9]+)?{families}");
    let names = one_of(endpoint::domains().map(|domain| {
        let below = if is_open(domain) { labels.as_str() } else { ".+" };
        format!(r"(?:{below})\.{}", plain(domain))
    }));
    // Zones, and nobody's registry.
    let zones = endpoint::domains().filter(|domain| is_open(domain));
    names.minus(&one_of(
        zones.map(|domain| format!(r"(?:data|geo|privatelink)\..*{}", plain(domain))),
    ))
}

fn is_open(domain: &str) -> bool {
    format!("exfil.{domain}").parse::<Endpoint>().is_ok()
}

fn telling<'d>(domains: impl IntoIterator<Item = &'d str>) -> Vec<Hostname> {
    domains.into_iter().filter_map(|domain| format!("exfil.{domain}").parse().ok()).collect()
}

fn telling_registries() -> Vec<Hostname> {
    let below = ["", "eastus.data.", "eastus.geo.", "privatelink.", "eastus.data.privatelink."];
    let names = below.iter().flat_map(|below| {
        endpoint::domains().filter_map(move |domain| format!("exfil.{below}{domain}").parse().ok())
    });
    names.collect()
}
