//! Reads the documents that people and `allowlist-gen` write, and says what is wrong with one, and where.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::address::{Pin, PinError};
use crate::allowlist::{Allowlist, Conflict, Entry, Ports, Role, SCHEMA, guard_entry};
use crate::guard;
use crate::hostname::{self, Port, PortError};
use crate::issue::{Issue, Moment, MomentError, Serial, SerialError};
use crate::pattern::{self, HostPattern};
use crate::preset::{PresetName, PresetNameError, Presets};
use crate::registry::{Label, Region, RegionError};
use crate::snippet::{self, Place, Source};

/// One parsed file: its entries with their places, for messages about several files.
#[derive(Debug, Clone)]
pub struct Document {
    source: Source,
    issue: Issue,
    entries: Vec<PlacedEntry>,
}

impl Document {
    /// Parses one file.
    ///
    /// ```
    /// use ringfence_config::document::{self, Document};
    ///
    /// let text = "schema = 1\n[[entry]]\nhost = \"ghcr.io\"\nrole = \"other\"\nwhy = \"base images\"\n";
    /// let list = document::merge(&[Document::parse("allowlist.toml", text)?])?;
    /// assert_eq!(list.entries()[0].host.as_str(), "ghcr.io");
    /// # Ok::<(), document::Error>(())
    /// ```
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let source = Source { name: name.to_owned(), text: text.to_owned() };
        read(text)
            .map(|(issue, entries)| Self { source: source.clone(), issue, entries })
            .map_err(|(problem, span)| Error { source, span, problem, other: None })
    }

    /// The name it was parsed under.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// What it says about itself.
    pub fn issue(&self) -> Issue {
        self.issue
    }

    /// The number that grows with each issue of the file.
    pub fn serial(&self) -> Option<Serial> {
        self.issue.serial
    }

    /// The moment up to which it counts.
    pub fn not_after(&self) -> Option<Moment> {
        self.issue.not_after
    }

    /// The entries as they stand, each with the line of its host, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (&Entry, usize)> {
        let ends: Vec<usize> = self.source.text.match_indices('\n').map(|(end, _)| end).collect();
        let line = move |start| ends.partition_point(|end| *end < start) + 1;
        self.entries.iter().map(move |(entry, span)| (entry, line(span.start)))
    }
}

/// Joins what documents say into one list.
pub fn merge(documents: &[Document]) -> Result<Allowlist, Error> {
    let all = || {
        documents
            .iter()
            .flat_map(|doc| doc.entries.iter().map(move |(entry, span)| (doc, entry, span)))
    };
    Allowlist::new(all().map(|(_, entry, _)| entry.clone())).map_err(|conflict| {
        let place_of = |host: &HostPattern| all().find(|(_, entry, _)| entry.host == *host);
        let (document, entry, span) =
            place_of(conflict.host()).expect("a conflict is about an entry's host");
        let other = conflict.other_host().and_then(|host| {
            all().find(|(_, other, _)| other.host == *host && !other.says_the_same_as(entry))
        });
        Error {
            source: document.source.clone(),
            span: span.clone(),
            other: other.map(|(document, _, span)| (document.source.clone(), span.clone())),
            problem: Problem::Conflict(conflict),
        }
    })
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone)]
pub struct Error {
    source: Source,
    span: Range<usize>,
    problem: Problem,
    other: Option<(Source, Range<usize>)>,
}

impl Error {
    /// What is wrong, without the place.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = vec![Place { source: &self.source, span: self.span.clone(), label: "" }];
        if let Some((source, span)) = &self.other {
            places.push(Place { source, span: span.clone(), label: "" });
        }
        snippet::write(f, &self.problem.to_string(), &places, self.problem.help())
    }
}

impl std::error::Error for Error {}

/// What can be wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML, an unknown key, a missing key, a wrong type.
    #[error("{0}")]
    Toml(String),
    /// Not a single key in the file.
    #[error("the file is empty")]
    EmptyFile,
    /// A version this program doesn't know.
    #[error("schema {0} is not known; this program reads schema {SCHEMA}")]
    Schema(u32),
    /// `serial` is no number that counts issues.
    #[error("`{0}` is not a serial: {1}")]
    Serial(i64, SerialError),
    /// `not_after` is no moment in UTC.
    #[error("`not_after` is not a moment in UTC: {0}")]
    NotAfter(MomentError),
    /// Neither or both of `host` and `storage_account`.
    #[error("an entry has either `host` or `storage_account`")]
    HostOrAccount,
    /// `host` is no host and no pattern.
    #[error("`{0}` is not a host: {1}")]
    Host(String, pattern::Error),
    /// A wildcard without consent.
    #[error("`{0}` is a pattern, and this file does not allow patterns")]
    PatternNotAllowed(HostPattern),
    /// `registry` is no label.
    #[error("`{0}` is not a registry: {1}")]
    Registry(String, hostname::Error),
    /// `region` is no region.
    #[error("`{0}` is not a region: {1}")]
    Region(String, RegionError),
    /// A key that the role needs.
    #[error("role `{0}` needs `{1}`")]
    MissingFor(&'static str, &'static str),
    /// A key that makes no sense with the role.
    #[error("role `{0}` has no `{1}`")]
    NotFor(&'static str, &'static str),
    /// A number that is no port.
    #[error("`{0}` is not a port: {1}")]
    Port(i64, PortError),
    /// `ports = []`.
    #[error("`ports` is empty; leave it out for 443")]
    NoPorts,
    /// Not an address, or one that can't be pinned.
    #[error("`{0}` can't be pinned: {1}")]
    Address(String, PinError),
    /// `presets` holds what names no preset.
    #[error("`{0}` is not a preset: {1}")]
    Preset(String, PresetNameError),
    /// Entries that don't make a list.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl Problem {
    fn help(&self) -> Option<&'static str> {
        match self {
            Self::EmptyFile => {
                Some("start with `schema = 1`, or write the list with `allowlist-gen generate`")
            }
            Self::Conflict(Conflict::Guard(_, refusal)) => Some(refusal.remedy()),
            Self::Conflict(Conflict::Contradiction(_) | Conflict::Overlap(..)) => {
                Some("keep one of them, or give them the same role, ports and addresses")
            }
            Self::Conflict(Conflict::Role(..)) => Some(
                "a registry answers on `<registry>`, `<registry>.<region>.data` and \
                 `<registry>.<region>.geo` below its cloud's domain; a custom domain is listed with \
                 `role = \"other\"` and a `why`",
            ),
            Self::Host(..) => Some(
                "write each host by its exact name, as in `contoso.azurecr.io`; \
                 `allowlist-gen generate` derives a registry's, and private addresses go into `addresses`",
            ),
            Self::PatternNotAllowed(_) => {
                Some("list the exact hosts, or write `allow_patterns = true` above the entries")
            }
            Self::MissingFor(_, "why") => {
                Some("hand-written hosts say why they are needed: `why = \"…\"`")
            }
            _ => None,
        }
    }
}

/// An entry, and where its host stands.
type PlacedEntry = (Entry, Range<usize>);
type Misplaced = (Problem, Range<usize>);

fn read(text: &str) -> Result<(Issue, Vec<PlacedEntry>), Misplaced> {
    let raw: RawDocument = toml::from_str(text).map_err(|error| {
        let nothing =
            text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let problem =
            if nothing { Problem::EmptyFile } else { Problem::Toml(error.message().to_owned()) };
        (problem, error.span().unwrap_or(0..0))
    })?;
    if *raw.schema.get_ref() != SCHEMA {
        return Err((Problem::Schema(*raw.schema.get_ref()), raw.schema.span()));
    }
    let issue = Issue {
        serial: raw.serial.as_ref().map(serial).transpose()?,
        not_after: raw.not_after.as_ref().map(not_after).transpose()?,
    };
    let entries = raw
        .entry
        .iter()
        .map(|entry| Ok((raw_entry(entry, raw.allow_patterns)?, host_span(entry))))
        .collect::<Result<_, _>>()?;
    Ok((issue, entries))
}

fn serial(raw: &Spanned<i64>) -> Result<Serial, Misplaced> {
    let number = *raw.get_ref();
    Serial::try_from(number).map_err(|error| (Problem::Serial(number, error), raw.span()))
}

/// A date-time of TOML, with the offset of UTC; text in quotes would be another type to every other reader.
fn not_after(raw: &Spanned<toml::Value>) -> Result<Moment, Misplaced> {
    let misplaced = |error| (Problem::NotAfter(error), raw.span());
    match raw.get_ref() {
        toml::Value::Datetime(moment) => moment.to_string().parse().map_err(misplaced),
        _ => Err(misplaced(MomentError)),
    }
}

fn host_span(raw: &Spanned<RawEntry>) -> Range<usize> {
    let entry = raw.get_ref();
    entry.host.as_ref().or(entry.storage_account.as_ref()).map_or_else(|| raw.span(), Spanned::span)
}

fn raw_entry(raw: &Spanned<RawEntry>, allow_patterns: bool) -> Result<Entry, Misplaced> {
    let here = raw.span();
    let raw = raw.get_ref();
    let (host, role) = match (&raw.host, &raw.storage_account) {
        (Some(host), None) => (host, role(raw, &here)?),
        (None, Some(host)) if raw.role.is_none() => (host, Role::StorageAccount),
        (None, Some(host)) => {
            return Err((Problem::NotFor("storage-account", "role"), host.span()));
        }
        _ => return Err((Problem::HostOrAccount, here)),
    };
    let span = host.span();
    let pattern: HostPattern = host
        .get_ref()
        .parse()
        .map_err(|error| (Problem::Host(host.get_ref().clone(), error), span.clone()))?;
    if matches!(pattern, HostPattern::Wildcard(_))
        && (!allow_patterns || role == Role::StorageAccount)
    {
        // What could never be admitted is said first, whatever consent the file gives.
        guard::check(&pattern)
            .map_err(|refusal| (Conflict::Guard(pattern.clone(), refusal).into(), span.clone()))?;
        return Err((Problem::PatternNotAllowed(pattern), span));
    }
    if role.registry().is_none() && raw.why.as_deref().unwrap_or_default().trim().is_empty() {
        return Err((Problem::MissingFor(role.name(), "why"), span));
    }
    let mut addresses = raw
        .addresses
        .iter()
        .map(|text| {
            text.get_ref()
                .parse::<Pin>()
                .map_err(|error| (Problem::Address(text.get_ref().clone(), error), text.span()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    let presets = raw.presets.iter().map(preset).collect::<Result<Presets, _>>()?;
    let (ports, why) = (ports(raw)?, raw.why.clone());
    let entry = Entry { host: pattern, role, ports, addresses, why, presets };
    guard_entry(&entry).map_err(|conflict| (conflict.into(), span))?;
    Ok(entry)
}

fn role(raw: &RawEntry, here: &Range<usize>) -> Result<Role, Misplaced> {
    let Some(name) = &raw.role else {
        return Err((Problem::Toml("missing field `role`".to_owned()), here.clone()));
    };
    let missing = |key| (Problem::MissingFor(name.get_ref().as_str(), key), name.span());
    let extra = |key, span| Err((Problem::NotFor(name.get_ref().as_str(), key), span));
    let registry = || {
        let text = raw.registry.as_ref().ok_or_else(|| missing("registry"))?;
        let label: Result<Label, _> = text.get_ref().parse();
        label.map_err(|error| (Problem::Registry(text.get_ref().clone(), error), text.span()))
    };
    let region = || {
        let text = raw.region.as_ref().ok_or_else(|| missing("region"))?;
        let region: Result<Region, _> = text.get_ref().parse();
        region.map_err(|error| (Problem::Region(text.get_ref().clone(), error), text.span()))
    };
    let role = match name.get_ref() {
        RawRole::Login => Role::Login(registry()?),
        RawRole::RegionalLogin => Role::RegionalLogin(registry()?, region()?),
        RawRole::Data => Role::Data(registry()?, region()?),
        RawRole::Other => Role::Other,
    };
    match (&raw.registry, &raw.region) {
        (Some(registry), _) if role.registry().is_none() => extra("registry", registry.span()),
        (_, Some(region)) if role.region().is_none() => extra("region", region.span()),
        _ => Ok(role),
    }
}

fn preset(raw: &Spanned<String>) -> Result<PresetName, Misplaced> {
    let name = raw.get_ref();
    name.parse().map_err(|error| (Problem::Preset(name.clone(), error), raw.span()))
}

fn ports(raw: &RawEntry) -> Result<Ports, Misplaced> {
    let Some(ports) = &raw.ports else {
        return Ok(Ports::https());
    };
    let parsed = ports
        .get_ref()
        .iter()
        .map(|port| {
            let number = *port.get_ref();
            u16::try_from(number)
                .map_err(|_| PortError)
                .and_then(Port::try_from)
                .map_err(|error| (Problem::Port(number, error), port.span()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ports::new(parsed).ok_or_else(|| (Problem::NoPorts, ports.span()))
}

/// The document as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    schema: Spanned<u32>,
    serial: Option<Spanned<i64>>,
    not_after: Option<Spanned<toml::Value>>,
    #[serde(default)]
    allow_patterns: bool,
    #[serde(default)]
    entry: Vec<Spanned<RawEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    host: Option<Spanned<String>>,
    storage_account: Option<Spanned<String>>,
    role: Option<Spanned<RawRole>>,
    registry: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    ports: Option<Spanned<Vec<Spanned<i64>>>>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    why: Option<String>,
    #[serde(default)]
    presets: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawRole {
    Login,
    RegionalLogin,
    Data,
    Other,
}

impl RawRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::RegionalLogin => "regional-login",
            Self::Data => "data",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BlockError;

    const SAMPLE: &str = include_str!("../allowlist.toml");

    fn parse(text: &str) -> Result<Allowlist, Error> {
        merge(&[Document::parse("list.toml", text)?])
    }

    fn problem(entry: &str) -> Problem {
        let text = format!("schema = 1\n[[entry]]\n{entry}\n");
        parse(&text).expect_err(entry).problem().clone()
    }

    #[test]
    fn the_sample_round_trips_byte_for_byte() {
        let list = parse(SAMPLE).expect("the sample parses");
        let written = list.to_toml();
        assert_eq!(parse(&written).expect("what we write parses"), list);
        assert_eq!(parse(&written).expect("what we write parses").to_toml(), written);
        assert!(list.hash().starts_with("sha256:") && list.hash().len() == 71);
    }

    #[test]
    fn order_of_files_and_entries_does_not_matter() {
        let a = "schema = 1\n[[entry]]\nhost = \"b.example.com\"\nrole = \"other\"\nwhy = \"z\"\n";
        let b = "schema = 1\n[[entry]]\nhost = \"a.example.com\"\nrole = \"other\"\nwhy = \"y\"\n\
                 [[entry]]\nhost = \"B.example.com\"\nrole = \"other\"\nwhy = \"a\"\nports = [443, 443]\n";
        let doc = |name, text| Document::parse(name, text).expect("valid");
        let ab = merge(&[doc("a", a), doc("b", b)]).expect("no conflict");
        let ba = merge(&[doc("b", b), doc("a", a)]).expect("no conflict");
        assert_eq!(ab.to_toml(), ba.to_toml());
        assert_eq!(ab.entries().len(), 2);
    }

    #[test]
    fn presets_are_joined_and_are_part_of_the_list() {
        let text = |host: &str, presets: &str| {
            format!(
                "schema = 1\n[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"x\"\n{presets}\n"
            )
        };
        let doc = |name, text: &str| Document::parse(name, text).expect("valid");
        let core = doc("a", &text("a.example.com", "presets = [\"mcr\", \"aks/core\", \"mcr\"]"));
        let login = doc("b", &text("a.example.com", "presets = [\"az-acr-login\"]"));
        let by_hand = doc("c", &text("a.example.com", ""));
        let list = merge(&[core.clone(), login.clone(), by_hand.clone()]).expect("the same host");
        let names: Vec<_> = list.entries()[0].presets.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["aks/core", "az-acr-login", "mcr"]);
        assert_eq!(merge(&[by_hand.clone(), login, core]).expect("in another order"), list);
        assert!(list.to_toml().contains("\npresets = [\"aks/core\", \"az-acr-login\", \"mcr\"]\n"));
        assert_ne!(list.hash(), merge(&[by_hand]).expect("one entry").hash());
        assert_eq!(parse(&list.to_toml()).expect("what we write parses"), list);

        let shown = parse(&text("a.example.com", "presets = [\"AKS\"]")).expect_err("upper case");
        let shown = shown.to_string();
        assert!(
            shown.contains("`AKS` is not a preset") && shown.contains("list.toml:6:12"),
            "{shown}"
        );
    }

    #[test]
    fn every_problem_is_named() {
        use crate::pattern::Error as Pattern;
        let other =
            |host: &str| problem(&format!("host = \"{host}\"\nrole = \"other\"\nwhy = \"x\""));
        assert!(matches!(other("*.azurecr.io"), Problem::Conflict(Conflict::Guard(..))));
        assert!(matches!(
            other("acct.blob.core.windows.net"),
            Problem::Conflict(Conflict::Guard(..))
        ));
        assert!(matches!(other("*.data.mcr.microsoft.com"), Problem::PatternNotAllowed(_)));
        assert!(matches!(
            other("10.0.0.1"),
            Problem::Host(_, Pattern::Hostname(hostname::Error::IpLiteral))
        ));
        assert!(matches!(other("a?.example.com"), Problem::Host(_, Pattern::Metacharacter('?'))));
        let rows: &[(&str, Problem)] = &[
            ("host = \"a.example.com\"\nrole = \"other\"", Problem::MissingFor("other", "why")),
            (
                "host = \"a.example.com\"\nrole = \"other\"\nwhy = \" \"",
                Problem::MissingFor("other", "why"),
            ),
            ("host = \"a.azurecr.io\"\nrole = \"login\"", Problem::MissingFor("login", "registry")),
            (
                "host = \"a.b.data.azurecr.io\"\nrole = \"data\"\nregistry = \"a\"",
                Problem::MissingFor("data", "region"),
            ),
            (
                "host = \"a.azurecr.io\"\nrole = \"login\"\nregistry = \"a\"\nregion = \"b\"",
                Problem::NotFor("login", "region"),
            ),
            (
                "host = \"a.example.com\"\nrole = \"other\"\nregistry = \"a\"\nwhy = \"x\"",
                Problem::NotFor("other", "registry"),
            ),
            ("role = \"other\"\nwhy = \"x\"", Problem::HostOrAccount),
            ("host = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\nports = []", Problem::NoPorts),
            (
                "host = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\nports = [0]",
                Problem::Port(0, PortError),
            ),
            (
                "host = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\nports = [65979]",
                Problem::Port(65979, PortError),
            ),
            (
                "host = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\naddresses = [\"10.0.0.300\"]",
                Problem::Address("10.0.0.300".into(), BlockError::Syntax.into()),
            ),
        ];
        for (entry, expected) in rows {
            assert_eq!(&problem(entry), expected, "{entry}");
        }
        let stranger = "host = \"evil.azurecr.io\"\nrole = \"login\"\nregistry = \"contoso\"";
        assert!(matches!(problem(stranger), Problem::Conflict(Conflict::Role(..))));
        assert!(
            matches!(problem("hots = \"a\""), Problem::Toml(message) if message.contains("unknown field"))
        );
        for nothing in ["", "\n", "# only a comment\n"] {
            assert_eq!(parse(nothing).expect_err("empty").problem(), &Problem::EmptyFile);
        }
        assert_eq!(parse("schema = 2").expect_err("schema").problem(), &Problem::Schema(2));
        assert!(parse("schema = 1").expect("a list without entries").is_empty());
    }

    #[test]
    fn an_issue_is_beside_the_entries_and_not_in_the_hash() {
        let entry = "[[entry]]\nhost = \"a.example.com\"\nrole = \"other\"\nwhy = \"x\"\n";
        let text = format!("schema = 1\nserial = 7\nnot_after = 2026-12-31T00:00:00Z\n{entry}");
        let document = Document::parse("list.toml", &text).expect("valid");
        assert_eq!(document.serial(), Some(Serial::try_from(7_u64).expect("a serial")));
        assert_eq!(document.not_after(), Some("2026-12-31T00:00:00Z".parse().expect("a moment")));
        assert_eq!(document.issue().to_string(), "serial 7, not after 2026-12-31T00:00:00Z");

        let list = merge(std::slice::from_ref(&document)).expect("one entry");
        let written = list.to_toml_issue(document.issue());
        let again = Document::parse("again.toml", &written).expect("what we write parses");
        assert_eq!(again.issue(), document.issue());
        assert_eq!(merge(&[again]).expect("one entry"), list);

        let plain = Document::parse("plain.toml", &format!("schema = 1\n{entry}")).expect("valid");
        assert!(plain.issue().is_empty());
        assert_eq!(merge(&[plain]).expect("one entry").hash(), list.hash());
    }

    #[test]
    fn an_issue_that_is_none_shows_its_place() {
        let rows = [
            ("serial = -1", "`-1` is not a serial: write a whole number"),
            ("serial = \"7\"", "expected i64"),
            ("serial = 9223372036854775808", "integer `9223372036854775808`, expected i64"),
            ("serial = 1\nserial = 2", "duplicate key"),
            ("not_after = 2026-12-31", "as in 2026-12-31T00:00:00Z"),
            ("not_after = 2026-12-31T00:00:00", "the `Z` of UTC"),
            ("not_after = 2026-12-31T00:00:00+01:00", "the `Z` of UTC"),
            ("not_after = \"2026-12-31T00:00:00Z\"", "not a moment in UTC"),
            ("not_after = 1798675200", "not a moment in UTC"),
            ("not_after = 1969-12-31T00:00:00Z", "not a moment in UTC"),
            ("not_before = 2026-12-31T00:00:00Z", "unknown field `not_before`"),
        ];
        for (line, expected) in rows {
            let shown = parse(&format!("schema = 1\n{line}\n")).expect_err(line).to_string();
            assert!(shown.contains(expected), "{expected} in {shown}");
            assert!(shown.contains("list.toml:2:") || shown.contains("list.toml:3:"), "{shown}");
        }
    }

    #[test]
    fn errors_show_file_line_and_caret() {
        let text = "schema = 1\nallow_patterns = true\n\n[[entry]]\nhost = \"*.core.windows.net\"\nrole = \"other\"\nwhy = \"x\"\n";
        let shown = parse(text).expect_err("storage").to_string();
        assert!(
            shown.contains("`*.core.windows.net` would allow `exfil.blob.core.windows.net`"),
            "{shown}"
        );
        assert!(shown.contains("list.toml:5:8"), "{shown}");
        assert!(shown.contains("^^^^^^^^^^^^^^^^^^^^"), "{shown}");
        assert!(shown.contains("dedicated data endpoints"), "{shown}");
    }

    #[test]
    fn each_entry_has_the_line_of_its_host() {
        let text = "# one\r\nschema = 1\n\n[[entry]]\nrole = \"other\"\nhost = \"a.example.com\"\nwhy = \"x\"\n\
                    [[entry]]\nstorage_account = \"mine.blob.core.windows.net\"\nwhy = \"y\"\n";
        let document = Document::parse("list.toml", text).expect("valid");
        let lines: Vec<(&str, usize)> =
            document.lines().map(|(entry, line)| (entry.host.as_str(), line)).collect();
        assert_eq!(lines, [("a.example.com", 6), ("mine.blob.core.windows.net", 9)]);
    }

    #[test]
    fn no_text_makes_a_line_of_its_own() {
        let forged = "\\nringfence: generation 9\\u001b[2J\\u202e\\r";
        let entry = "schema = 1\n[[entry]]\n";
        for text in [
            format!("schema = 1\n\"{forged}\" = 1\n"),
            format!("{entry}host = \"{forged}\"\nrole = \"other\"\nwhy = \"x\"\n"),
            format!("{entry}host = \"a.azurecr.io\"\nrole = \"{forged}\"\n"),
            format!("{entry}host = \"a.azurecr.io\"\nrole = \"login\"\nregistry = \"{forged}\"\n"),
            format!(
                "{entry}host = \"a.a.azurecr.io\"\nrole = \"data\"\nregistry = \"a\"\nregion = \"{forged}\"\n"
            ),
            format!(
                "{entry}host = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\naddresses = [\"{forged}\"]\n"
            ),
            format!("{entry}storage_account = \"{forged}\"\nwhy = \"x\"\n"),
            // Not escaped: no TOML, but shown.
            "schema = 1 # a\rringfence: generation 9\u{1b}[2J\n".to_owned(),
        ] {
            let shown = parse(&text).expect_err(&text).to_string();
            assert!(shown.contains("ringfence: generation 9"), "{shown}");
            let mut lines = shown.split(['\n', '\r']);
            assert!(!lines.any(|line| line.trim_start().starts_with("ringfence:")), "{shown}");
            assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        }
    }

    #[test]
    fn a_registrys_role_is_no_way_round_the_reason() {
        for entry in [
            "host = \"exfil.attacker.example\"\nrole = \"login\"\nregistry = \"exfil\"",
            "host = \"exfil.eastus.attacker.example\"\nrole = \"data\"\nregistry = \"exfil\"\nregion = \"eastus\"",
            "host = \"contoso.eastus.geo.azurecr.io\"\nrole = \"data\"\nregistry = \"contoso\"\nregion = \"eastus\"",
        ] {
            assert!(matches!(problem(entry), Problem::Conflict(Conflict::Role(..))), "{entry}");
        }
        let text = "schema = 1\n[[entry]]\nhost = \"exfil.eastus.attacker.example\"\nrole = \"data\"\n\
                    registry = \"exfil\"\nregion = \"eastus\"\n";
        let shown = parse(text).expect_err("a stranger").to_string();
        let expected = "`exfil.eastus.attacker.example` is not the `data` host of registry `exfil` in region `eastus`";
        assert!(
            shown.contains(expected) && shown.contains("a custom domain is listed with"),
            "{shown}"
        );
    }

    #[test]
    fn contradictions_show_both_places() {
        let entry = |ports: &str| {
            format!(
                "schema = 1\n[[entry]]\nhost = \"a.b.c\"\nrole = \"other\"\nwhy = \"x\"\n{ports}"
            )
        };
        let doc = |name, text: &str| Document::parse(name, text).expect("valid");
        let documents = [doc("one.toml", &entry("")), doc("two.toml", &entry("ports = [8443]\n"))];
        let shown = merge(&documents).expect_err("contradiction").to_string();
        assert!(shown.contains("one.toml:3:8") && shown.contains("two.toml:3:8"), "{shown}");
    }

    #[test]
    fn overlaps_show_both_places() {
        let text = "schema = 1\nallow_patterns = true\n\
                    [[entry]]\nhost = \"*.b.example.com\"\nrole = \"other\"\nwhy = \"x\"\nports = [443, 8443]\n\
                    [[entry]]\nhost = \"a.b.example.com\"\nrole = \"other\"\nwhy = \"x\"\n";
        let shown = parse(text).expect_err("overlap").to_string();
        assert!(shown.contains("`a.b.example.com` and `*.b.example.com` overlap"), "{shown}");
        assert!(shown.contains("list.toml:9:8") && shown.contains("4 | host"), "{shown}");
        assert!(shown.contains("the same role, ports and addresses"), "{shown}");
    }

    #[test]
    fn a_storage_account_has_its_own_key_and_a_reason() {
        let list = parse(
            "schema = 1\n[[entry]]\nstorage_account = \"mine.blob.core.windows.net\"\nwhy = \"build cache\"\n",
        )
        .expect("an account of one's own");
        assert_eq!(list.entries()[0].role, Role::StorageAccount);
        assert_eq!(parse(&list.to_toml()).expect("round trip"), list);
        assert_eq!(
            problem("storage_account = \"mine.blob.core.windows.net\""),
            Problem::MissingFor("storage-account", "why")
        );
    }
}
