//! Tells when files have changed, whichever way: by rename, in place, behind a symbolic link.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::notice::notice;

/// Tells when files have changed.
pub struct Changes {
    /// Watches as long as it lives.
    _watcher: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<()>,
}

impl Changes {
    /// Begins to watch files. To be called before they are read, so that no change falls between.
    pub fn watch(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_complete(&event)) {
                // The receiver is gone once a newer watch has replaced this one.
                let _ = sender.send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
            for folder in folders(paths) {
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

/// The folders in which a change can change what the files at `paths` say.
fn folders(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in paths {
        trail(path.as_ref(), &mut folders);
    }
    folders
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

/// What would be true each time needs saying once.
static SAID: Once = Once::new();

/// A swap of symbolic links, as Kubernetes does it with a ConfigMap, is a handful of events at once.
pub const SETTLE: Duration = Duration::from_millis(50);
/// A folder in which something is always going on delays nothing for longer than a second.
pub const MAX_ROUNDS: usize = 20;
const POLL: Duration = Duration::from_secs(30);
/// The kernel follows 40 links; with their parts, this is more than it would.
const MAX_PARTS: usize = 1000;
