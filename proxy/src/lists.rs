//! Loads what is allowed from files, and loads it again when they change. A bad file never replaces a
//! good list.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use allowlist_gen::{DataEndpoints, report};
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use ringfence_config::document::{self, Document};
use ringfence_config::snippet::Source;
use ringfence_config::{Allowlist, HostPattern, Port};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::ledger::{self, Ledger};
use crate::notice::notice;
use crate::signature::{self, Keys};
use crate::vintage::{self, Standing};

/// The files that say what is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Lists.
    pub allowlists: Vec<PathBuf>,
    /// Registry metadata, from which lists are derived.
    pub registries: Vec<PathBuf>,
    /// Who has to have signed them.
    pub keys: Keys,
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
    /// A file is being read, and does not come.
    #[error("the files can't be read in time; is a file system stuck?")]
    Stuck,
}

/// What the files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    allowlists: Vec<Source>,
    registries: Vec<Source>,
}

impl Contents {
    /// Joins what the files say into one list.
    pub fn load(self) -> Result<Loaded, Error> {
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
        Ok(Loaded { allowlist, findings, standing, contents: self })
    }
}

/// What the files allow.
#[derive(Debug)]
pub struct Loaded {
    /// The list.
    pub allowlist: Allowlist,
    /// What a person should know about the metadata.
    pub findings: Vec<allowlist_gen::Finding>,
    /// Which issues of the lists they are.
    pub standing: Standing,
    /// What it was loaded from.
    pub contents: Contents,
}

impl Sources {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.allowlists.is_empty() && self.registries.is_empty()
    }

    /// Reads all files.
    pub fn read(&self) -> Result<Contents, Error> {
        Ok(Contents {
            allowlists: read_all(&self.allowlists, &self.keys)?,
            registries: read_all(&self.registries, &self.keys)?,
        })
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
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let signed = !self.keys.is_empty();
        let files = self.allowlists.iter().chain(&self.registries);
        files.flat_map(move |path| {
            [Some(path.clone()), signed.then(|| signature::beside(path))].into_iter().flatten()
        })
    }

    /// The folders in which a change can change what the files say.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for path in self.paths() {
            trail(&path, &mut folders);
        }
        folders
    }
}

/// Follows `path` as the kernel does, and collects the folders that hold a symbolic link of the way, its
/// end, or the place where the first missing part would appear.
fn trail(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut rest: Vec<PathBuf> = parts(path);
    let mut here = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::from(".") };
    for _ in 0..MAX_PARTS {
        let Some(part) = rest.pop() else { return };
        let next = here.join(&part);
        if let Ok(target) = next.read_link() {
            folders.insert(here.clone());
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        } else if rest.is_empty() || !next.is_dir() {
            folders.insert(here);
            return;
        } else {
            here = next;
        }
    }
}

/// The parts of a path that lead somewhere, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let leads = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(leads).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn read_all(paths: &[PathBuf], keys: &Keys) -> Result<Vec<Source>, Error> {
    paths
        .iter()
        .map(|path| {
            let read = |source| Error::Read { path: path.clone(), source };
            if !std::fs::metadata(path).map_err(read)?.is_file() {
                return Err(Error::NotAFile(path.clone()));
            }
            let bytes = std::fs::read(path).map_err(read)?;
            keys.verify(path, &bytes).map_err(Error::Signature)?;
            allowlist_gen::metadata::decode(&path.display().to_string(), bytes)
                .map_err(|error| Error::Metadata(error.into()))
        })
        .collect()
}

impl Loaded {
    /// Judges how old the lists are. To be called before anything else is done with them.
    pub fn judged(mut self, ledger: &Ledger, now: SystemTime) -> Result<Self, Error> {
        let tolerated = ledger.judge(&self.standing.vintages, now).map_err(Error::Vintage)?;
        self.standing.problems = tolerated;
        Ok(self)
    }

    /// Remembers which issues they are. To be called before they are in force.
    pub fn remembered(self, ledger: &mut Ledger) -> Result<Self, Error> {
        ledger.remember(&self.standing.vintages).map_err(Error::Ledger)?;
        Ok(self)
    }

    /// Tells the operator what is in force from now on, and what to look at.
    pub fn announce(&self, generation: u64) {
        notice(format_args!("generation {generation}: {self}"));
        if self.allowlist.is_empty() {
            notice("the list has no entries, so everything is denied");
        }
        self.tell_findings();
    }

    /// Tells the operator what to look at.
    pub fn tell_findings(&self) {
        for problem in &self.standing.problems {
            notice(problem);
        }
        if !self.findings.is_empty() {
            let findings = report::Findings(&self.findings).to_string();
            notice(format_args!("about the metadata:\n{}", findings.trim_end()));
        }
    }

    /// Something to try on the first exact host.
    pub fn sample_url(&self) -> Option<String> {
        self.allowlist.entries().iter().find_map(|entry| match (&entry.host, entry.ports.first()) {
            (HostPattern::Exact(host), Port::HTTPS) => Some(format!("https://{host}/v2/")),
            (HostPattern::Exact(host), port) => Some(format!("https://{host}:{port}/v2/")),
            (HostPattern::Wildcard(_), _) => None,
        })
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.allowlist.entries();
        write!(f, "allowlist {} with {}", self.allowlist.hash(), count(entries.len()))?;
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

/// Tells when files have changed.
pub struct Changes {
    /// Watches as long as it lives.
    _watcher: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<()>,
}

impl Changes {
    /// Begins to watch. To be called before the files are read, so that no change falls between.
    pub fn watch(sources: &Sources) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_complete(&event)) {
                // The receiver is gone once a newer watch has replaced this one.
                let _ = sender.send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            for folder in sources.folders() {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => Self { _watcher: Some(watcher), events },
            Err(error) => {
                let often = POLL.as_secs();
                let said =
                    format!("can't watch the files, so they are read every {often} s: {error}");
                SAID.call_once(|| notice(said));
                Self { _watcher: None, events }
            }
        }
    }

    /// Waits for a change, and then until the changes that belong together are over. Comes back now and
    /// then without one, because not every file system tells.
    pub async fn changed(&mut self) {
        if let Ok(None) = timeout(POLL, self.events.recv()).await {
            sleep(POLL).await;
        }
        for _ in 0..MAX_ROUNDS {
            if !matches!(timeout(SETTLE, self.events.recv()).await, Ok(Some(()))) {
                return;
            }
        }
    }
}

/// Whether an event can have left a file whole. A file that is being written is not: its writer's close,
/// or the rename that puts it in place, comes later.
fn is_complete(event: &notify::Event) -> bool {
    // Events were lost, so anything may have changed.
    if event.need_rescan() {
        return true;
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Create(CreateKind::Folder)
        | EventKind::Remove(_) => true,
        // A symbolic link is whole when it appears.
        EventKind::Create(_) => event.paths.iter().any(|path| path.is_symlink()),
        _ => false,
    }
}

/// What would be true each time needs saying once.
static SAID: Once = Once::new();

/// A swap of symbolic links, as Kubernetes does it with a ConfigMap, is a handful of events at once.
const SETTLE: Duration = Duration::from_millis(50);
/// A folder in which something is always going on delays nothing for longer than a second.
const MAX_ROUNDS: usize = 20;
const POLL: Duration = Duration::from_secs(30);
/// The kernel follows 40 links; with their parts, this is more than it would.
const MAX_PARTS: usize = 1000;
