//! Decides what a file of rules is written in, and has it read.

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
    let mut reading = Reading::default();
    for (index, source) in files.iter().enumerate() {
        if source.text.len() > MOST_BYTES {
            return Err(Error::TooLarge(source.name.clone()));
        }
        let of_squid = files
            .iter()
            .enumerate()
            .any(|(other, by)| other != index && is_squid(by, format) && squid::names(by, source));
        // It is read where it is named.
        if !of_squid {
            reading.extend(file(source, files, format)?);
        }
    }
    Ok(reading)
}

fn is_squid(source: &Source, format: Option<Format>) -> bool {
    format.map_or_else(|| looks_like_squid(&source.text), |format| format == Format::Squid)
}

fn file(source: &Source, files: &[Source], format: Option<Format>) -> Result<Reading, Error> {
    let text = &source.text;
    let name = &source.name;
    let format = match format {
        Some(format) => Some(format),
        None => by_text(source),
    };
    match format {
        Some(Format::Squid) => Ok(squid::read(source, files)),
        Some(Format::Terraform) => terraform::read(source).map_err(|why| Error::Syntax {
            file: name.clone(),
            language: "HCL",
            why,
        }),
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
                "ruleCollections" | "applicationRuleCollections" | "networkRuleCollections" => {
                    found(Format::AzureFirewall);
                }
                "GeneratedRulesType" | "RulesString" => found(Format::AwsNetworkFirewall),
                "virtual_hosts" | "filter_chains" => found(Format::Envoy),
                "noProxy" | "no_proxy" => found(Format::NoProxy),
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

fn is_of_cilium(kind: &str) -> bool {
    matches!(kind, "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy")
}

const MOST_BYTES: usize = 32 << 20;
