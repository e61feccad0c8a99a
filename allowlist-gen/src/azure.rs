//! Reads what Azure says about registries from its resource manager (ARM), so that nobody has to save it to files.
//!
//! What comes back are JSON texts in ARM's own shape, for [`metadata::read`](crate::metadata::read) like any file: what
//! they mean is decided there and nowhere else. Only GET requests reach ARM. What Azure would not show is kept as such,
//! so that a part that can't be read is never taken for one that isn't there.

mod arm;
mod cloud;
mod credential;
mod discovery;
mod error;
mod id;
mod transport;

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use ringfence_config::snippet::Source;
use tokio::runtime::{Builder, Runtime};

use self::arm::Arm;
pub use self::cloud::{Service, Url, parse_authority, parse_url};
pub use self::credential::{Choice, Environment, Kind};
pub use self::discovery::{Query, READS, Read, Wanted};
pub use self::error::{Body, Error};
pub use self::id::{ResourceGroup, ResourcePath};
pub use self::transport::Authorities;

/// How to reach Azure, and as whom.
#[derive(Debug)]
pub struct Settings {
    /// Where the resource manager and the authority are.
    pub service: Service,
    /// As whom.
    pub choice: Choice,
    /// Whom to trust besides the machine's own authorities.
    pub authorities: Authorities,
}

/// What happens while Azure is asked, for people who wait.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// So many requests have been answered so far, about so many registries.
    Answered {
        /// Requests, retries not counted.
        requests: usize,
        /// Registries that are known.
        registries: usize,
    },
    /// Azure wants fewer requests, and this one goes out again after so many seconds.
    Throttled(u64),
}

/// A session: one sign-in and its token, however often it is asked.
#[derive(Debug)]
pub struct Azure {
    runtime: Runtime,
    arm: Arc<Arm>,
}

impl Azure {
    /// Prepares a session. Nothing is asked yet, and nobody has signed in.
    pub fn new(
        settings: &Settings,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let http = transport::client(&settings.authorities)?;
        let credential = credential::Credential::new(&settings.choice, &settings.service, &http)?;
        let arm = Arm::new(http, &settings.service, credential, Box::new(tell));
        Ok(Self { runtime, arm: Arc::new(arm) })
    }

    /// Asks for all that `query` is about: the same documents in the same order as long as Azure says the same.
    pub fn discover(&self, query: &Query) -> Result<Vec<Source>, Error> {
        let work = || self.runtime.block_on(discovery::discover(&self.arm, query));
        // The caller may be a task of a runtime, whose thread must not wait for another's.
        std::thread::scope(|scope| {
            let thread = scope.spawn(work);
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// What [`Azure::discover`] brought as one document, which is read like any other file of metadata.
pub fn snapshot(sources: &[Source]) -> String {
    let bodies: Vec<serde_json::Value> = sources
        .iter()
        .map(|source| serde_json::from_str(&source.text).expect("discovery writes JSON"))
        .collect();
    let mut text = serde_json::to_string_pretty(&bodies).expect("values become JSON");
    text.push('\n');
    text
}

/// Something that makes a credential, anew each time.
type Maker = Box<dyn Fn() -> azure_core::Result<Arc<dyn TokenCredential>> + Send + Sync>;
