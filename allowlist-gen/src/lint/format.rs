//! Decides what a file of rules is written in, and has it read.

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::snippet::Source;

use super::rule::Reading;
use super::tree::{self, Node, Placed};
use super::{
    aws_network_firewall, azure_firewall, cilium, envoy, list, no_proxy, smokescreen, squid,
    terraform,
};

/// What rules are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// squid.conf
    Squid,
    /// Azure Firewall: ARM templates, and what az prints
    AzureFirewall,
    /// Terraform: rules of azurerm and aws firewalls, and AKS's proxy
    Terraform,
    /// Cilium network policies
    Cilium,
    /// Smokescreen's ACL
    Smokescreen,
    /// Envoy's configuration
    Envoy,
    /// AWS Network Firewall: domain lists of the API and of `CloudFormation`
    AwsNetworkFirewall,
    /// `NO_PROXY`, Java's nonProxyHosts, and `noProxy` of AKS
    NoProxy,
    /// Names or patterns of names, in lines
    List,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Squid,
        Self::AzureFirewall,
        Self::Terraform,
        Self::Cilium,
        Self::Smokescreen,
        Self::Envoy,
        Self::AwsNetworkFirewall,
        Self::NoProxy,
        Self::List,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::AzureFirewall => "azure-firewall",
            Self::Terraform => "terraform",
            Self::Cilium => "cilium",
            Self::Smokescreen => "smokescreen",
            Self::Envoy => "envoy",
            Self::AwsNetworkFirewall => "aws-network-firewall",
            Self::NoProxy => "no-proxy",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file can't be read as rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing in it tells what it is.
    #[error("{0} holds no rules that are known here; say what they are with `--as`")]
    Unrecognised(String),
    /// It isn't written in what it seems to be, or is said to be.
    #[error("{file} is not {language}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// What it should be.
        language: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It is of that format, but has none of its rules.
    #[error("{0} holds no rules of {1}")]
    NoRules(String, Format),
    /// It is longer than any rules are.
    #[error("{0} is larger than 32 MiB, which no rules are")]
    TooLarge(String),
}

/// The rules in `files`.
pub(super) fn read(files: &[Source], format: Option<Format>) -> Result<Reading, Error> {
    if let Some(source) = files.iter().find(|source| source.text.len() > MOST_BYTES) {
        return Err(Error::TooLarge(source.name.clone()));
    }
    let squids: Vec<&Source> = files.iter().filter(|source| is_squid(source, format)).collect();
    let is_named = |source: &&Source| {
        squids.iter().any(|by| by.name != source.name && squid::names(by, source))
    };
    // What a squid.conf names is read in its place, and so after it; what nobody came by (two that name each other) is
    // read by itself.
    let (named, roots): (Vec<&Source>, Vec<&Source>) = files.iter().partition(is_named);
    let mut reading = Reading::default();
    let mut read = BTreeSet::new();
    for source in roots.into_iter().chain(named) {
        if !read.contains(source.name.as_str()) {
            reading.extend(file(source, files, format, &mut read)?);
        }
    }
    Ok(reading)
}

fn is_squid(source: &Source, format: Option<Format>) -> bool {
    format.map_or_else(|| looks_like_squid(&source.text), |format| format == Format::Squid)
}

fn file<'s>(
    source: &'s Source,
    files: &'s [Source],
    format: Option<Format>,
    read: &mut BTreeSet<&'s str>,
) -> Result<Reading, Error> {
    let Some(as_text) = by_text(source).filter(|_| format.is_none()) else {
        return file_as(source, files, format, read);
    };
    let mut reading = file_as(source, files, Some(as_text), read)?;
    // A manifest can hold a squid.conf or an assignment as a text, and rules of its own beside it.
    if as_text != Format::Terraform && EVIDENCE.iter().any(|key| source.text.contains(key)) {
        match file_as(source, files, None, read) {
            Ok(rules) => reading.extend(rules),
            Err(Error::Unrecognised(_) | Error::Syntax { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reading)
}

fn file_as<'s>(
    source: &'s Source,
    files: &'s [Source],
    format: Option<Format>,
    read: &mut BTreeSet<&'s str>,
) -> Result<Reading, Error> {
    let text = &source.text;
    let name = &source.name;
    match format {
        Some(Format::Squid) => {
            let (reading, files) = squid::read(source, files);
            read.extend(files);
            Ok(reading)
        }
        Some(Format::Terraform) => match terraform::read(source) {
            Ok(Some(reading)) => Ok(reading),
            Ok(None) => Err(Error::NoRules(name.clone(), Format::Terraform)),
            Err(why) => Err(Error::Syntax { file: name.clone(), language: "HCL", why }),
        },
        Some(Format::List) => Ok(list::read(source)),
        Some(Format::NoProxy) if !tree::is_json(text) => Ok(no_proxy::read_text(name, text)),
        Some(format) => {
            let documents = documents(source)?;
            let mut reading = Reading::default();
            for document in &documents {
                reading.extend(tree(name, document, format));
            }
            let has_evidence =
                documents.iter().any(|document| by_keys(&Node::root(document)).contains(&format));
            if !has_evidence {
                return Err(Error::NoRules(name.clone(), format));
            }
            Ok(reading)
        }
        None => {
            let documents = documents(source)?;
            let mut reading = Reading::default();
            let mut known = false;
            for document in &documents {
                for format in by_keys(&Node::root(document)) {
                    known = true;
                    reading.extend(tree(name, document, format));
                }
            }
            if known { Ok(reading) } else { Err(Error::Unrecognised(name.clone())) }
        }
    }
}

fn documents(source: &Source) -> Result<Vec<Placed>, Error> {
    let language = if tree::is_json(&source.text) { "JSON" } else { "YAML" };
    let file = source.name.clone();
    tree::read(&source.text).map_err(|why| Error::Syntax { file, language, why })
}

fn tree(file: &str, document: &Placed, format: Format) -> Reading {
    let root = Node::root(document);
    match format {
        Format::AzureFirewall => azure_firewall::read(file, &root),
        Format::Cilium => cilium::read(file, &root),
        Format::Smokescreen => smokescreen::read(file, &root),
        Format::Envoy => envoy::read(file, &root),
        Format::AwsNetworkFirewall => aws_network_firewall::read(file, &root),
        Format::NoProxy => no_proxy::read(file, &root),
        Format::Squid | Format::Terraform | Format::List => Reading::default(),
    }
}

/// What a text is that isn't JSON or YAML.
fn by_text(source: &Source) -> Option<Format> {
    let text = source.text.as_str();
    let lines = || text.lines().map(str::trim);
    let extension = source.name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if tree::is_json(text) {
        None
    } else if extension == "tf" || lines().any(|line| line.starts_with("resource \"")) {
        Some(Format::Terraform)
    } else if looks_like_squid(text) {
        Some(Format::Squid)
    } else if lines().any(|line| no_proxy::assignment(line).is_some()) {
        Some(Format::NoProxy)
    } else if list::is_list(text) {
        Some(Format::List)
    } else {
        None
    }
}

fn looks_like_squid(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("http_access"), Some("allow" | "deny"), Some(_)) => true,
            (Some("acl"), Some(_), Some(kind)) => words.next().is_some() && !kind.ends_with(':'),
            _ => false,
        }
    })
}

/// Whose rules a document holds, by its keys: one template can hold those of several.
fn by_keys(root: &Node<'_>) -> Vec<Format> {
    let mut formats = Vec::new();
    let mut found = |format| {
        if !formats.contains(&format) {
            formats.push(format);
        }
    };
    for node in root.walk() {
        for (key, value) in node.entries() {
            match key {
                key if azure_firewall::is_of_collections(key) => found(Format::AzureFirewall),
                "GeneratedRulesType" | "RulesString" => found(Format::AwsNetworkFirewall),
                "virtual_hosts" | "virtualHosts" | "filter_chains" | "filterChains" => {
                    found(Format::Envoy);
                }
                key if no_proxy::is_key(key) => found(Format::NoProxy),
                "name" if value.text().is_some_and(no_proxy::is_key) => found(Format::NoProxy),
                "kind" if value.text().is_some_and(is_of_cilium) => found(Format::Cilium),
                _ => {}
            }
        }
    }
    let is_smokescreen = root.get("version").is_some()
        && root.get("services").or_else(|| root.get("default")).is_some();
    if is_smokescreen {
        found(Format::Smokescreen);
    }
    formats
}

/// Other policies, too: what they let through is let through beside Cilium's own.
fn is_of_cilium(kind: &str) -> bool {
    kind.ends_with("NetworkPolicy")
}

/// Some of what `by_keys` looks for, as it stands in a text that seems to be something else.
const EVIDENCE: [&str; 10] = [
    "NetworkPolicy",
    "uleCollections",
    "GeneratedRulesType",
    "RulesString",
    "virtual_hosts",
    "virtualHosts",
    "filter_chains",
    "filterChains",
    "noProxy",
    "no_proxy",
];

const MOST_BYTES: usize = 32 << 20;
