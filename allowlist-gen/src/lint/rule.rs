//! What a reader finds in a file: rules that let names through, and what it can't judge.

use std::fmt;

use ringfence_config::snippet::escape;

use super::language::Language;
use super::tree::Node;

/// Where a rule stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as it was given.
    pub file: String,
    /// The line, in texts that people write.
    pub line: Option<usize>,
    /// The way from the root of a document, in texts that programs write.
    pub path: Option<String>,
}

impl Place {
    pub(super) fn line(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line: Some(line), path: None }
    }

    pub(super) fn node(file: &str, node: &Node<'_>) -> Self {
        Self { file: file.to_owned(), line: node.line(), path: Some(node.path().to_owned()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.file))?;
        match (self.line, &self.path) {
            (Some(line), _) => write!(f, ":{line}"),
            (None, Some(path)) => write!(f, " at `{}`", escape(path)),
            (None, None) => Ok(()),
        }
    }
}

/// Whose way of reading a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consumer {
    /// squid's ACLs.
    Squid,
    /// Azure Firewall's rules, in whatever they are written.
    AzureFirewall,
    /// Cilium's policies.
    Cilium,
    /// Smokescreen's ACL.
    Smokescreen,
    /// Envoy's virtual hosts and filter chains.
    Envoy,
    /// AWS Network Firewall's domain lists.
    AwsNetworkFirewall,
    /// Clients' exceptions from their proxy.
    NoProxy,
    /// A list of names that says nothing of who reads it.
    List,
}

impl Consumer {
    /// Every consumer.
    pub(super) const ALL: [Self; 8] = [
        Self::Squid,
        Self::AzureFirewall,
        Self::Cilium,
        Self::Smokescreen,
        Self::Envoy,
        Self::AwsNetworkFirewall,
        Self::NoProxy,
        Self::List,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::AzureFirewall => "azure-firewall",
            Self::Cilium => "cilium",
            Self::Smokescreen => "smokescreen",
            Self::Envoy => "envoy",
            Self::AwsNetworkFirewall => "aws-network-firewall",
            Self::NoProxy => "no-proxy",
            Self::List => "list",
        }
    }

    /// Whether its rules say what passes, rather than what goes past a proxy.
    pub(super) fn is_filter(self) -> bool {
        self != Self::NoProxy
    }
}

/// One thing that lets names through.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// As it is written, with what it belongs to.
    pub text: String,
    /// Who reads it.
    pub consumer: Consumer,
    /// What the consumer makes of it, in words.
    pub reads: &'static str,
    /// The names that it lets through, in some request.
    pub reach: Language,
    /// The names that it lets through in TLS on port 443, where that makes a difference.
    pub pulls: Option<Language>,
    /// Where clients read it differently: each with the names that it takes for meant.
    pub clients: Vec<(&'static str, Language)>,
}

/// Something that can't be judged by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Where it stands.
    pub place: Place,
    /// As it is written.
    pub text: String,
    /// Who reads it.
    pub consumer: Consumer,
    /// What is known of it.
    pub kind: DoubtKind,
    /// Why nothing can be said of its names.
    pub why: String,
}

/// What is known of what can't be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtKind {
    /// Nothing.
    Unjudged,
    /// It lets addresses through that names of other people share.
    Address,
}

/// All that one reader found.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// What lets names through.
    pub rules: Vec<Rule>,
    /// What can't be judged.
    pub doubts: Vec<Doubt>,
}

impl Reading {
    pub(super) fn unjudged(
        &mut self,
        place: Place,
        text: &str,
        consumer: Consumer,
        why: impl Into<String>,
    ) {
        let (text, why) = (text.to_owned(), why.into());
        self.doubts.push(Doubt { place, text, consumer, kind: DoubtKind::Unjudged, why });
    }

    pub(super) fn address(&mut self, place: Place, text: &str, consumer: Consumer) {
        self.doubts.push(Doubt {
            place,
            text: text.to_owned(),
            consumer,
            kind: DoubtKind::Address,
            why: "public front ends are shared: other people's names are behind the same addresses"
                .to_owned(),
        });
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.doubts.extend(other.doubts);
    }
}

/// Whether a text can be a name or a pattern of names: nothing that a reader, a shell or a template would put
/// something else in the place of.
pub(super) fn is_of_names_alone(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte))
}

pub(super) const NO_NAME: &str = "it is no name, and no pattern of names";

impl Rule {
    pub(super) fn new(
        place: Place,
        text: String,
        consumer: Consumer,
        reads: &'static str,
        reach: Language,
    ) -> Self {
        Self { place, text, consumer, reads, reach, pulls: None, clients: Vec::new() }
    }
}
