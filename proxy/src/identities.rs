//! Reads the files that say who is who, certificates and users, again when they change.

use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::lists::Changes;
use crate::service::Service;

/// The files, and what they held.
pub struct Identities {
    files: Vec<PathBuf>,
    users: Option<PathBuf>,
    seen: Fingerprints,
}

impl Identities {
    /// Looks at the files of `config`. To be called before they are loaded, so that no change falls between.
    pub fn look(config: &Config) -> Self {
        let files = config.identity_files();
        let seen = fingerprints(&files);
        Self { files, users: config.users.clone(), seen }
    }

    /// Has them loaded again whenever they have changed, or `hangup` asks for it, until the future is dropped.
    pub async fn watch(self, service: Arc<Service>, mut hangup: Signal) {
        let Self { files, users, mut seen } = self;
        if files.is_empty() {
            return;
        }
        loop {
            let look = spawn_blocking({
                let (service, files, users) = (Arc::clone(&service), files.clone(), users.clone());
                let before = std::mem::take(&mut seen);
                move || {
                    // The watch comes first: a change while we read is seen in the next round.
                    let changes = Changes::watch(&files);
                    let now = fingerprints(&files);
                    // A folder may hold other files, too.
                    if before != now {
                        service.reload_identities(users.as_deref());
                    }
                    (changes, now)
                }
            });
            // Where it panics, the hook has said where; it won't do better by being asked again.
            let Ok((mut changes, now)) = look.await else { return };
            seen = now;
            tokio::select! {
                () = changes.changed() => {}
                _ = hangup.recv() => seen.clear(),
            }
        }
    }
}

/// What tells files' contents from others, without keeping secrets; nothing for a file that can't be read.
fn fingerprints(files: &[PathBuf]) -> Fingerprints {
    let fingerprint = |path: &PathBuf| Some(digest(&SHA256, &std::fs::read(path).ok()?));
    files.iter().map(|path| Some(fingerprint(path)?.as_ref().to_vec())).collect()
}

type Fingerprints = Vec<Option<Vec<u8>>>;
