//! Reads the files that say who is who, certificates and users, again when they change.

use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use crate::client::credentials::{self, Users};
use crate::config::Config;
use crate::files;
use crate::notice::notice;
use crate::reload::{self, Files, Trouble};
use crate::server::signals::Hangups;
use crate::service::Service;
use crate::{chain, reception::tls};

/// The files, and what they held.
pub struct Identities {
    files: Vec<PathBuf>,
    users: Option<PathBuf>,
    seen: Fingerprints,
}

/// Why what the files held before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates are wrong.
    #[error("the old certificates stay in force: {}", chain(.0))]
    Certificates(tls::Error),
    /// The users are wrong.
    #[error("the old users stay in force: {}", chain(.0))]
    Users(credentials::Error),
    /// Both.
    #[error(
        "the old certificates and users stay in force: {}; {}",
        chain(certificates),
        chain(users)
    )]
    Both {
        /// What is wrong with the ones.
        certificates: tls::Error,
        /// And with the others.
        users: credentials::Error,
    },
    /// It doesn't come to a reading.
    #[error("the old certificates and users stay in force: {0}")]
    Reading(#[from] Trouble),
}

impl Identities {
    /// Looks at the files of `config`. To be called before they are loaded, so that no change falls between.
    pub fn look(config: &Config) -> Self {
        let files = config.identity_files();
        let seen = fingerprints(&files);
        Self { files, users: config.users.clone(), seen }
    }

    /// Has `service` go by what they hold, until the future is dropped.
    pub async fn keep(self, service: Arc<Service>, hangups: Hangups) {
        let Self { files, users, seen } = self;
        if files.is_empty() {
            return;
        }
        let watched = Watched { files, users, service: Arc::clone(&service) };
        reload::run(watched, seen, hangups, |loaded| service.identities(loaded)).await;
    }
}

struct Watched {
    files: Vec<PathBuf>,
    users: Option<PathBuf>,
    service: Arc<Service>,
}

impl Files for Watched {
    type Contents = Fingerprints;
    /// For who comes from now on.
    type Loaded = ();
    type Error = Error;

    fn paths(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    fn read(&self) -> Result<Fingerprints, Error> {
        Ok(fingerprints(&self.files))
    }

    /// The files are read once more: a change since the fingerprint is seen in the next round.
    fn load(&mut self, _: Fingerprints) -> Result<(), Error> {
        match (self.certificates(), self.users()) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(certificates), Ok(())) => Err(Error::Certificates(certificates)),
            (Ok(()), Err(users)) => Err(Error::Users(users)),
            (Err(certificates), Err(users)) => Err(Error::Both { certificates, users }),
        }
    }
}

impl Watched {
    fn certificates(&self) -> Result<(), tls::Error> {
        if let Some(tls) = &self.service.reception.tls {
            tls.reload()?.into_iter().for_each(notice);
        }
        Ok(())
    }

    fn users(&self) -> Result<(), credentials::Error> {
        if let (Some(path), Some(verifier)) = (&self.users, self.service.shared.clients.verifier())
        {
            verifier.replace(Users::load(path)?);
        }
        Ok(())
    }
}

/// What tells files' contents from others, without keeping secrets; nothing for a file that can't be read.
fn fingerprints(paths: &[PathBuf]) -> Fingerprints {
    let fingerprint = |path: &PathBuf| {
        let bytes = files::read(path, files::MAX_BYTES).ok()?;
        Some(digest(&SHA256, &bytes).as_ref().to_vec())
    };
    paths.iter().map(fingerprint).collect()
}

type Fingerprints = Vec<Option<Vec<u8>>>;
