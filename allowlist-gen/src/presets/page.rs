//! Tells people, and programs, which presets there are and all about one.

use std::collections::BTreeSet;
use std::fmt;

use ringfence_config::{HostPattern, guard};
use serde::Serialize;

use super::{Cloud, Preset, Rule, Scheme, Sort, all, azure_name};

/// All presets, in a line each.
#[derive(Debug, Clone, Copy)]
pub struct Overview;

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = all().iter().map(|preset| preset.name.as_str().len()).max().unwrap_or_default();
        for preset in all() {
            writeln!(f, "{:width$}  {}", preset.name.as_str(), preset.title)?;
        }
        writeln!(
            f,
            "\n`allowlist-gen presets NAME` tells all about one; `generate --preset NAME` takes it."
        )
    }
}

/// All there is to know about one preset, in Markdown.
#[derive(Debug, Clone, Copy)]
pub struct Page(pub &'static Preset);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preset = self.0;
        writeln!(f, "# {}\n\n{}.", preset.name, preset.title)?;
        if !preset.about.is_empty() {
            writeln!(f, "\n{}", preset.about)?;
        }
        if !preset.rules.is_empty() {
            writeln!(
                f,
                "\n| host | port | clouds | what for | on the list |\n|---|---|---|---|---|"
            )?;
        }
        for rule in &preset.rules {
            let clouds: Vec<&str> = rule.clouds.iter().copied().map(azure_name).collect();
            let (host, port, why) = (rule.host.as_str(), rule.port, &rule.why);
            writeln!(
                f,
                "| `{host}` | {port} | {} | {why} | {} |",
                clouds.join(", "),
                Fate::of(rule)
            )?;
        }
        let ways: Vec<(&Rule, &String)> =
            preset.rules.iter().filter_map(|rule| Some((rule, rule.instead.as_ref()?))).collect();
        if !ways.is_empty() {
            writeln!(f, "\nIn place of a wildcard:\n")?;
        }
        for (rule, instead) in ways {
            let owner = rule.owner.as_ref().map(|owner| format!(" {owner}. To do without it,"));
            writeln!(f, "- `{}`:{} {instead}", rule.host.as_str(), owner.unwrap_or_default())?;
        }
        if !preset.outside.is_empty() {
            writeln!(f, "\nNeeded, too, and no host on a list:\n")?;
        }
        for outside in &preset.outside {
            writeln!(f, "- {outside}")?;
        }
        writeln!(f, "\nSource: {} ({})", preset.source, preset.date)?;
        let others: BTreeSet<&String> =
            preset.rules.iter().filter_map(|rule| rule.source.as_ref()).collect();
        others.into_iter().try_for_each(|source| writeln!(f, "Source: {source}"))
    }
}

/// What becomes of a rule.
enum Fate {
    Exact,
    Shared,
    Wildcard,
    PlainHttp,
    ApiServer,
    Refused(guard::Refusal),
}

impl Fate {
    fn of(rule: &Rule) -> Self {
        if rule.scheme == Scheme::Http {
            return Self::PlainHttp;
        }
        // Which region it is makes no difference to the guard.
        let any = ["eastus".parse().expect("a region")].into();
        let hosts = rule.host.fill(&any);
        let refusal = hosts.iter().find_map(|host| guard::check(host).err());
        match (refusal, rule.sort) {
            (Some(_), Sort::ApiServer) => Self::ApiServer,
            (Some(refusal), _) => Self::Refused(refusal),
            (None, Sort::Shared) => Self::Shared,
            (None, _) if hosts.iter().all(|host| matches!(host, HostPattern::Exact(_))) => {
                Self::Exact
            }
            (None, _) => Self::Wildcard,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Shared => "shared",
            Self::Wildcard => "wildcard",
            Self::PlainHttp => "plain-http",
            Self::ApiServer => "api-server",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("yes"),
            Self::Shared => f.write_str("yes; it serves every tenant, so it is no isolation"),
            Self::Wildcard => f.write_str("as a wildcard of one owner, unless `--exact-only`"),
            Self::PlainHttp => f.write_str("no: plain HTTP, which a CONNECT proxy doesn't carry"),
            Self::ApiServer => {
                f.write_str("only by `--api-server HOST`: anyone can own a name there")
            }
            Self::Refused(guard::Refusal::Shared { witness, .. }) => {
                write!(f, "no: it would allow `{witness}`, which can belong to anyone")
            }
            Self::Refused(refusal) => write!(f, "no: {refusal}"),
        }
    }
}

/// All presets, or one, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    schema: u32,
    presets: Vec<PresetListing>,
}

#[derive(Debug, Clone, Serialize)]
struct PresetListing {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    source: &'static str,
    date: &'static str,
    outside: &'static [String],
    rules: Vec<RuleListing>,
}

#[derive(Debug, Clone, Serialize)]
struct RuleListing {
    host: &'static str,
    port: u16,
    scheme: &'static str,
    clouds: Vec<&'static str>,
    why: &'static str,
    fate: &'static str,
    owner: Option<&'static str>,
    instead: Option<&'static str>,
    source: &'static str,
}

impl Listing {
    /// One preset, or all.
    pub fn new(only: Option<&'static Preset>) -> Self {
        let presets = all().iter().filter(|preset| only.is_none_or(|only| only == *preset));
        Self { schema: 1, presets: presets.map(PresetListing::new).collect() }
    }
}

impl PresetListing {
    fn new(preset: &'static Preset) -> Self {
        let rule = |rule: &'static Rule| RuleListing {
            host: rule.host.as_str(),
            port: rule.port.number(),
            scheme: if rule.scheme == Scheme::Http { "http" } else { "https" },
            clouds: rule.clouds.iter().copied().map(|cloud: Cloud| azure_name(cloud)).collect(),
            why: &rule.why,
            fate: Fate::of(rule).code(),
            owner: rule.owner.as_deref(),
            instead: rule.instead.as_deref(),
            source: rule.source.as_deref().unwrap_or(&preset.source),
        };
        Self {
            name: preset.name.as_str(),
            title: &preset.title,
            about: &preset.about,
            source: &preset.source,
            date: &preset.date,
            outside: &preset.outside,
            rules: preset.rules.iter().map(rule).collect(),
        }
    }
}
