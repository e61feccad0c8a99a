//! Looks at registries as a whole, also at those that get no list.

use std::collections::BTreeMap;

use super::{Code, Finding, Kind, Severity, posture, rules};
use crate::endpoint::{Cloud, LoginServer};
use crate::posture::State;
use crate::registry::{DataEndpoints, Registry};

/// What there is to say of some registries.
#[derive(Debug, Clone)]
pub struct Review {
    /// By login server.
    pub registries: Vec<Reviewed>,
    /// By login server; what matters most goes first, and then in the order of the catalogue.
    pub findings: Vec<Finding>,
    /// How many were left out because someone asked for it.
    pub ignored: usize,
}

/// A registry that was looked at.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// Which one.
    pub login_server: LoginServer,
    /// Its resource id, if the input has it.
    pub id: Option<String>,
    /// The settings that the input doesn't tell, as ARM spells them. Nothing is said of these, neither good nor bad.
    pub unknown: Vec<&'static str>,
}

impl Review {
    /// The same without the findings that have one of these codes; how many those are stays known.
    pub fn ignore(&mut self, codes: &[Code]) {
        let before = self.findings.len();
        self.findings.retain(|finding| !codes.contains(&finding.kind.code()));
        self.ignored += before - self.findings.len();
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// The severity of the gravest finding.
    pub fn gravest(&self) -> Option<Severity> {
        self.findings.iter().map(Finding::severity).max()
    }
}

/// Reviews `registries`, which are sorted by login server.
pub fn review(registries: &[Registry]) -> Review {
    let most = prevailing_cloud(registries);
    let mut findings = Vec::new();
    for registry in registries {
        let mut own: Vec<Finding> =
            kinds(registry, most).into_iter().map(|kind| Finding::new(registry, kind)).collect();
        own.sort_by_cached_key(|finding| {
            let severity = std::cmp::Reverse(finding.severity());
            (severity, finding.kind.code(), finding.object(), finding.detail())
        });
        findings.extend(own);
    }
    Review { registries: registries.iter().map(reviewed).collect(), findings, ignored: 0 }
}

fn kinds(registry: &Registry, most: Cloud) -> Vec<Kind> {
    let data = DataEndpoints::AsReported;
    let mut kinds = match registry.endpoints(data) {
        Ok(endpoints) => {
            let mut kinds = rules::of(registry, data, &endpoints);
            kinds.extend(rules::bare_zones(registry, &endpoints));
            kinds
        }
        Err(refusal) => {
            let mut kinds = rules::without_list(registry, data);
            kinds.push(Kind::Refused(Box::new(refusal)));
            kinds
        }
    };
    kinds.extend(posture::of(registry));
    kinds.extend(posture::other_cloud(registry, most));
    kinds
}

/// The cloud that most registries live in; of equals, the first.
fn prevailing_cloud(registries: &[Registry]) -> Cloud {
    let mut counts: BTreeMap<Cloud, usize> = BTreeMap::new();
    for registry in registries {
        *counts.entry(registry.login_server.cloud()).or_default() += 1;
    }
    let by_count = |(cloud, count): &(Cloud, usize)| (*count, std::cmp::Reverse(*cloud));
    counts.into_iter().max_by_key(by_count).map_or(Cloud::Public, |(cloud, _)| cloud)
}

fn reviewed(registry: &Registry) -> Reviewed {
    let is_unknown = |state: &State<'_>| !matches!(state, State::Known);
    let views = registry.posture.settings.views();
    Reviewed {
        login_server: registry.login_server.clone(),
        id: registry.posture.id.as_ref().map(ToString::to_string),
        unknown: views.iter().filter(|view| is_unknown(&view.state)).map(|view| view.key).collect(),
    }
}
