//! Loads what is allowed from files. What has been loaded is judged and remembered before it is in force, and
//! a bad file never replaces a good list.

pub mod difference;
pub mod expiry;
pub mod ledger;
pub mod signature;
pub mod vintage;

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use allowlist_gen::{DataEndpoints, report};
use ringfence_config::document::{self, Document};
use ringfence_config::issue::Moment;
use ringfence_config::snippet::Source;
use ringfence_config::{Allowlist, HostPattern, Port};

use crate::client::GroupName;
use crate::files;
use crate::lists::ledger::Ledger;
use crate::lists::signature::Keys;
use crate::lists::vintage::Standing;
use crate::notice::notice;
use crate::policy::{Mode, Policy, Rules};
use crate::reload::changes::{MAX_ROUNDS, SETTLE};
use crate::reload::{Files, Trouble};

/// The files of every group of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Those of each group, in the order of the groups.
    pub groups: Vec<Sources>,
    /// Who has to have signed them.
    pub keys: Keys,
}

/// The files that say what a group is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Whose they are.
    pub group: GroupName,
    /// Whether what they say is enforced.
    pub mode: Mode,
    /// Lists.
    pub allowlists: Vec<PathBuf>,
    /// Registry metadata, from which lists are derived.
    pub registries: Vec<PathBuf>,
}

/// Why the files make no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("can't read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pipe or device: it can't be read a second time.
    #[error("`{}` is not a regular file, and lists are read again when they change", .0.display())]
    NotAFile(PathBuf),
    /// More than a list or metadata can be.
    #[error(
        "`{}` is longer than {} MiB; give the list, or split the metadata into several files",
        .0.display(), files::MAX_BYTES >> 20
    )]
    TooLong(PathBuf),
    /// A list is wrong.
    #[error("{0}")]
    List(document::Error),
    /// Metadata is wrong, or a registry in it has no exact hosts.
    #[error("{}", report::Failure(.0).to_string().trim_end())]
    Metadata(allowlist_gen::Error),
    /// A file doesn't come from whom it should.
    #[error(transparent)]
    Signature(signature::Error),
    /// A list is too old.
    #[error(transparent)]
    Vintage(vintage::Problem),
    /// Which issue it is can't be remembered.
    #[error(transparent)]
    Ledger(ledger::Error),
    /// It doesn't come to a reading.
    #[error(transparent)]
    Reading(#[from] Trouble),
}

/// What the files of every group hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents(Vec<Texts>);

/// What the files of a group hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts {
    group: GroupName,
    mode: Mode,
    allowlists: Vec<Source>,
    registries: Vec<Source>,
}

impl Contents {
    /// Joins what the files of each group say into one list.
    pub fn load(self) -> Result<Loaded, Error> {
        let lists = self.0.iter().map(Texts::load).collect::<Result<_, _>>()?;
        Ok(Loaded { lists, contents: self })
    }
}

impl Texts {
    fn load(&self) -> Result<LoadedList, Error> {
        let mut documents = self
            .allowlists
            .iter()
            .map(|source| Document::parse(&source.name, &source.text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::List)?;
        let standing = Standing::of(&documents);
        let mut findings = Vec::new();
        if !self.registries.is_empty() {
            let derived = allowlist_gen::generate(&self.registries, DataEndpoints::AsReported)
                .map_err(Error::Metadata)?;
            findings = derived.findings;
            // As a document of its own, so that a list that contradicts it can be shown beside it.
            let names: Vec<&str> = self.registries.iter().map(|file| file.name.as_str()).collect();
            let name = format!("the list derived from {}", names.join(", "));
            let document = Document::parse(&name, &derived.allowlist.to_toml());
            documents.push(document.map_err(Error::List)?);
        }
        let allowlist = document::merge(&documents).map_err(Error::List)?;
        let (group, mode) = (self.group.clone(), self.mode);
        Ok(LoadedList { group, mode, allowlist, findings, standing })
    }
}

/// What the files allow.
#[derive(Debug)]
pub struct Loaded {
    /// To each group, in the order of the groups.
    pub lists: Vec<LoadedList>,
    /// What it was loaded from.
    pub contents: Contents,
}

/// What the files allow to a group.
#[derive(Debug)]
pub struct LoadedList {
    /// Whose list it is.
    pub group: GroupName,
    /// Whether it is enforced.
    pub mode: Mode,
    /// The list.
    pub allowlist: Allowlist,
    /// What a person should know about the metadata.
    pub findings: Vec<allowlist_gen::Finding>,
    /// Which issues of its files it was made of.
    pub standing: Standing,
}

impl Sources {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.allowlists.is_empty() && self.registries.is_empty()
    }

    fn read(&self, keys: &Keys) -> Result<Texts, Error> {
        Ok(Texts {
            group: self.group.clone(),
            mode: self.mode,
            allowlists: read_all(&self.allowlists, keys)?,
            registries: read_all(&self.registries, keys)?,
        })
    }
}

impl Catalog {
    /// Reads all files.
    pub fn read(&self) -> Result<Contents, Error> {
        let texts = self.groups.iter().map(|group| group.read(&self.keys));
        texts.collect::<Result<_, _>>().map(Contents)
    }

    /// Reads all files once nobody has written to them for a moment: half a list is a list, too. A writer
    /// that takes its time is not waited for without end; whoever renames a whole file into place need not care.
    pub fn read_settled(&self) -> Result<Contents, Error> {
        for _ in 0..MAX_ROUNDS {
            let before = self.stamps();
            let contents = self.read();
            let recent = |time: &SystemTime| time.elapsed().is_ok_and(|age| age < SETTLE);
            if before == self.stamps() && !before.iter().flatten().any(|(time, _)| recent(time)) {
                return contents;
            }
            std::thread::sleep(SETTLE);
        }
        self.read()
    }

    /// When each file was written to, and how long it is.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let stamp = |path: PathBuf| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.paths().map(stamp).collect()
    }

    /// Every file that is read, signatures among them.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let signed = !self.keys.is_empty();
        let files =
            self.groups.iter().flat_map(|group| group.allowlists.iter().chain(&group.registries));
        files.flat_map(move |path| {
            [Some(path.clone()), signed.then(|| signature::beside(path))].into_iter().flatten()
        })
    }
}

fn read_all(paths: &[PathBuf], keys: &Keys) -> Result<Vec<Source>, Error> {
    paths
        .iter()
        .map(|path| {
            let bytes = files::read(path, files::MAX_BYTES).map_err(|error| match error {
                files::Error::Io(source) => Error::Read { path: path.clone(), source },
                files::Error::NotAFile => Error::NotAFile(path.clone()),
                files::Error::TooLong => Error::TooLong(path.clone()),
            })?;
            keys.verify(path, &bytes).map_err(Error::Signature)?;
            allowlist_gen::metadata::decode(&path.display().to_string(), bytes)
                .map_err(|error| Error::Metadata(error.into()))
        })
        .collect()
}

impl Loaded {
    /// Judges how old the lists are, all of them. To be called before anything else is done with them.
    pub fn judged(mut self, ledger: &Ledger, now: SystemTime) -> Result<Self, Error> {
        for Standing { vintages, problems } in self.lists.iter_mut().map(|list| &mut list.standing)
        {
            *problems = ledger.judge(vintages, now).map_err(Error::Vintage)?;
        }
        Ok(self)
    }

    /// Remembers which issues they are. To be called when all are judged, and before they are in force.
    pub fn remembered(self, ledger: &mut Ledger) -> Result<Self, Error> {
        let vintages = self.lists.iter().flat_map(|list| &list.standing.vintages);
        ledger.remember(vintages).map_err(Error::Ledger)?;
        Ok(self)
    }

    /// How old the list of each group is.
    pub fn standings(&self) -> Vec<Standing> {
        self.lists.iter().map(|list| list.standing.clone()).collect()
    }

    /// When the first of all files ends.
    pub fn end(&self) -> Option<Moment> {
        self.lists.iter().filter_map(|list| list.standing.end()).min()
    }

    /// Compiles what is allowed.
    pub fn policy(&self, generation: u64, rules: Rules) -> Policy {
        Policy::new(generation, rules, self.lists.iter().map(|list| (&list.allowlist, list.mode)))
    }

    /// The list of `group`, or of those who need no group.
    pub fn list_for(&self, group: Option<&GroupName>) -> Result<&LoadedList, UnknownGroup> {
        let everyone = GroupName::everyone();
        let wanted = group.unwrap_or(&everyone);
        self.lists.iter().find(|list| list.group == *wanted).ok_or_else(|| UnknownGroup {
            wanted: group.cloned(),
            known: self.lists.iter().map(|list| list.group.to_string()).collect(),
        })
    }

    /// Tells the operator what is in force from now on, and what to look at.
    pub fn announce(&self, generation: u64) {
        notice(format_args!("generation {generation}: {self}"));
        self.tell_empty();
        self.tell_audits("what isn't listed is carried and logged with `would_deny`");
        self.tell_findings();
    }

    /// Tells the operator which lists deny everything.
    pub fn tell_empty(&self) {
        for list in &self.lists {
            if list.allowlist.is_empty() {
                notice(format_args!(
                    "the list{} has no entries, so everything is denied",
                    list.group.whose()
                ));
            }
        }
    }

    /// Tells the operator whose list is not enforced, and what that `means`.
    pub fn tell_audits(&self, means: &str) {
        for list in &self.lists {
            if list.mode == Mode::Audit && !list.allowlist.is_empty() {
                notice(format_args!("audit mode{}: {means}", list.group.whose()));
            }
        }
    }

    /// Tells the operator what to look at.
    pub fn tell_findings(&self) {
        for problem in self.lists.iter().flat_map(|list| &list.standing.problems) {
            notice(problem);
        }
        for list in self.lists.iter().filter(|list| !list.findings.is_empty()) {
            let findings = report::Findings(&list.findings).to_string();
            notice(format_args!(
                "about the metadata{}:\n{}",
                list.group.whose(),
                findings.trim_end()
            ));
        }
    }

    /// Something to try on the first exact host.
    pub fn sample_url(&self) -> Option<String> {
        let mut entries = self.lists.iter().flat_map(|list| list.allowlist.entries());
        entries.find_map(|entry| match (&entry.host, entry.ports.first()) {
            (HostPattern::Exact(host), Port::HTTPS) => Some(format!("https://{host}/v2/")),
            (HostPattern::Exact(host), port) => Some(format!("https://{host}:{port}/v2/")),
            (HostPattern::Wildcard(_), _) => None,
        })
    }
}

/// The lists of a running proxy, which are read again when they change.
pub struct Lists {
    /// Where they are.
    pub catalog: Catalog,
    /// Which issues of them have been in force.
    pub ledger: Ledger,
}

impl Files for Lists {
    type Contents = Contents;
    type Loaded = Loaded;
    type Error = Error;

    fn paths(&self) -> Vec<PathBuf> {
        self.catalog.paths().collect()
    }

    fn read(&self) -> Result<Contents, Error> {
        self.catalog.read_settled()
    }

    fn load(&mut self, contents: Contents) -> Result<Loaded, Error> {
        contents.load()?.judged(&self.ledger, SystemTime::now())?.remembered(&mut self.ledger)
    }
}

/// There is no list for whom it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownGroup {
    wanted: Option<GroupName>,
    known: Vec<String>,
}

impl std::error::Error for UnknownGroup {}

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Some(group) => write!(f, "no client group `{group}`")?,
            None => write!(f, "every client needs a group here, so say which one")?,
        }
        write!(f, "; there are: {}", self.known.join(", "))
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, list) in self.lists.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            list.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for LoadedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.allowlist.entries();
        let (hash, count) = (self.allowlist.hash(), count(entries.len()));
        write!(f, "allowlist{} {hash} with {count}", self.group.whose())?;
        write!(f, "{}", self.standing)?;
        for entry in entries.iter().take(MAX_SHOWN) {
            write!(f, "\n  {}", entry.host)?;
        }
        if entries.len() > MAX_SHOWN {
            write!(f, "\n  … and {} more", entries.len() - MAX_SHOWN)?;
        }
        Ok(())
    }
}

/// So many entries, in words.
pub fn count(entries: usize) -> String {
    format!("{entries} {}", if entries == 1 { "entry" } else { "entries" })
}

const MAX_SHOWN: usize = 20;
