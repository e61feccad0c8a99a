//! What is said of presets that were taken: nothing is left out or let in without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringfence_config::{HostPattern, Hostname, Port, PresetName, guard};

use super::{Cloud, Rule, Sort, Template, azure_name};

/// One thing that someone should know of presets that were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    presets: BTreeSet<PresetName>,
    kind: Kind,
}

/// All notes, what is left out first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(Vec<Note>);

/// What there is to know, in the order in which it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The guard stopped it.
    Refused { host: HostPattern, refusal: String, instead: String },
    /// It needs a region, and there is none.
    Location { host: Template, is_api_server: bool },
    /// A CONNECT proxy doesn't carry it.
    PlainHttp { host: Template, port: Port },
    /// Wildcards are not wanted.
    WildcardLeftOut { host: HostPattern, instead: String },
    /// Exact hosts stand in its place.
    Replaced { host: String, by: Vec<Hostname> },
    /// A wildcard is on the list.
    Wildcard { host: HostPattern, example: String, owner: String, instead: String },
    /// An exact host that serves every tenant is on the list.
    Shared(Hostname),
    /// An exact host among other owners' is on the list.
    AmongOthers { domain: String, host: Hostname },
    /// No host, and needed.
    Outside(String),
    /// The page says nothing of this cloud.
    NothingFor(Cloud),
    /// The preset has no host.
    Nothing(String),
}

impl Kind {
    pub(super) fn refused(rule: &Rule, host: &HostPattern, refusal: &guard::Refusal) -> Self {
        let instead = match (&rule.instead, rule.sort) {
            (Some(instead), _) => instead.clone(),
            (None, Sort::ApiServer) => API_SERVER.to_owned(),
            (None, Sort::Plain | Sort::Shared) => refusal.remedy().to_owned(),
        };
        Self::Refused { host: host.clone(), refusal: refusal.to_string(), instead }
    }

    pub(super) fn wildcard(rule: &Rule, host: &HostPattern) -> Self {
        let example = host.as_str().replace('*', "any");
        let [owner, instead] =
            [&rule.owner, &rule.instead].map(|text| text.clone().unwrap_or_default());
        Self::Wildcard { host: host.clone(), example, owner, instead }
    }
}

const API_SERVER: &str = "name your own cluster's API server: `--api-server HOST`, which \
                          `az aks show --query \"fqdn || privateFqdn\"` prints";

impl Note {
    /// A stable name for this kind of note.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Refused { .. } => "left-out-refused",
            Kind::Location { .. } => "left-out-location",
            Kind::PlainHttp { .. } => "left-out-plain-http",
            Kind::WildcardLeftOut { .. } => "left-out-wildcard",
            Kind::Replaced { .. } => "replaced",
            Kind::Wildcard { .. } => "wildcard",
            Kind::Shared(_) => "shared-host",
            Kind::AmongOthers { .. } => "shared-domain",
            Kind::Outside(_) => "no-host",
            Kind::NothingFor(_) => "other-cloud",
            Kind::Nothing(_) => "nothing-needed",
        }
    }

    /// The presets that it is about.
    pub fn presets(&self) -> impl Iterator<Item = &PresetName> {
        self.presets.iter()
    }

    /// Whether something is missing from the list that an exact host would put right.
    pub fn is_gap(&self) -> bool {
        matches!(self.kind, Kind::Refused { .. } | Kind::Location { .. })
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<String> {
        let said = match &self.kind {
            Kind::Refused { instead, .. } | Kind::WildcardLeftOut { instead, .. } => instead.clone(),
            Kind::Location { is_api_server: true, .. } => API_SERVER.to_owned(),
            Kind::Location { .. } => "say where the cluster is: `--location REGION`".to_owned(),
            Kind::PlainHttp { host, port } => format!(
                "where it is needed, open TCP {port} to it in the firewall, or mirror what it serves; some of these hosts \
                 answer on 443, too, and can then be listed: `--extra-host {} --why …`",
                if host.as_str().contains('*') { "HOST" } else { host.as_str() }
            ),
            Kind::Wildcard { instead, .. } => {
                format!("to do without it, {instead}; `--exact-only` leaves it out")
            }
            Kind::Shared(_) => {
                "where that matters, use tenant restrictions, which need a proxy that looks into TLS, or reach the \
                 service through Private Link\n\
                 https://learn.microsoft.com/entra/identity/enterprise-apps/tenant-restrictions"
                    .to_owned()
            }
            Kind::Replaced { .. }
            | Kind::AmongOthers { .. }
            | Kind::Outside(_)
            | Kind::NothingFor(_)
            | Kind::Nothing(_) => return None,
        };
        Some(said)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            // The refusal begins with the host.
            Kind::Refused { refusal, .. } => write!(f, "{refusal}: it is left out"),
            Kind::Location { host, .. } => {
                write!(f, "`{}` is left out: it needs a region", host.as_str())
            }
            Kind::PlainHttp { host, port } => write!(
                f,
                "`{}` is left out: it is asked by plain HTTP on port {port}, and a CONNECT proxy carries TLS only",
                host.as_str()
            ),
            Kind::WildcardLeftOut { host, .. } => write!(f, "`{host}` is left out: `--exact-only`"),
            Kind::Replaced { host, by } => {
                let by: Vec<String> = by.iter().map(|host| format!("`{host}`")).collect();
                write!(f, "{} is listed in place of `{host}`", by.join(" and "))
            }
            Kind::Wildcard { host, example, owner, .. } => write!(
                f,
                "`{host}` is on the list, which now allows patterns: it stands for every host like `{example}`. {owner}"
            ),
            Kind::Shared(host) => write!(
                f,
                "`{host}` serves every tenant under this one name: whoever reaches it can sign in to, or write to, a \
                 tenant of somebody else's. An exact host isn't isolation"
            ),
            Kind::AmongOthers { domain, host } => write!(
                f,
                "`{host}` is one name of many owners' below `{domain}`: it is right as long as its owner keeps it"
            ),
            Kind::Outside(what) => write!(f, "it needs, too, what is no host on a list: {what}"),
            Kind::NothingFor(cloud) => {
                write!(
                    f,
                    "its page says nothing of {}, so nothing is added for it",
                    azure_name(*cloud)
                )
            }
            Kind::Nothing(about) => write!(f, "nothing is added. {about}"),
        }
    }
}

impl Notes {
    /// One note for each thing that there is to say, whichever presets it is about.
    pub(super) fn new(notes: BTreeMap<Kind, BTreeSet<PresetName>>) -> Self {
        Self(notes.into_iter().map(|(kind, presets)| Note { presets, kind }).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.iter()
    }

    /// Whether something is missing from the list that an exact host would put right.
    pub fn have_gaps(&self) -> bool {
        self.0.iter().any(Note::is_gap)
    }
}

impl fmt::Display for Notes {
    /// In blocks; a remedy that several notes have stands once, below them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes = self.0.iter().peekable();
        while let Some(note) = notes.next() {
            let presets: Vec<&str> = note.presets().map(PresetName::as_str).collect();
            writeln!(f, "preset ({}): `{}`: {note}", note.code(), presets.join("`, `"))?;
            let remedy = note.remedy();
            if notes
                .peek()
                .is_some_and(|next| next.code() == note.code() && next.remedy() == remedy)
            {
                continue;
            }
            if let Some(remedy) = remedy {
                writeln!(f, "  help: {}", remedy.replace('\n', "\n        "))?;
            }
            if notes.peek().is_some() {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
