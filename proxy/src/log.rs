//! The access log: where it goes, and what may not happen without it.
//!
//! Each connection has one line when it has ended. Where the log is required, a permitted target also has one
//! before anything is done about it, so that nothing is resolved, dialled or carried off the record. Tunnels
//! that are open when the log fails go on; their last lines wait with the others.

pub mod lines;
pub mod record;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prometheus::IntCounter;
use serde::Deserialize;

use crate::log::lines::{Lines, Sink};
use crate::log::record::Beginning;
use crate::notice::notice;
use crate::policy::Permit;
use crate::reason::Reason;
use crate::tunnel::Outcome;

/// Where the log goes, and how much depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file; stdout if there is none.
    pub file: Option<PathBuf>,
    /// What a log that can't be written means.
    pub audit: Audit,
    /// Lines that may wait to be written.
    pub queue: usize,
}

/// What a log that can't be written means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// Lines are lost, and counted.
    #[default]
    BestEffort,
    /// No tunnel is opened.
    Required,
}

/// The access log.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Lines,
    audit: Audit,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened.
    #[error("can't open the access log `{}`", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output can't be used.
    #[error("can't write the access log to stdout")]
    Stdout(#[source] io::Error),
    /// What is required would be thrown away.
    #[error("the access log is required, but goes to /dev/null; open stdout, or set `log.file`")]
    Discarded,
}

impl Settings {
    /// Sees whether a log could be opened, without making the file. Where stdout will go, nobody knows before.
    pub fn check(&self) -> Result<(), Error> {
        let Some(path) = &self.file else { return Ok(()) };
        let existing =
            Sink::existing(path).map_err(|source| Error::Open { path: path.clone(), source })?;
        existing.map_or(Ok(()), |sink| self.accept(&sink))
    }

    /// Refuses a sink that wouldn't do.
    fn accept(&self, sink: &Sink) -> Result<(), Error> {
        if self.audit == Audit::Required && sink.discards().map_err(Error::Stdout)? {
            return Err(Error::Discarded);
        }
        Ok(())
    }
}

impl Log {
    /// Opens it, and counts in `lost` the lines that could not be written.
    pub fn open(settings: &Settings, lost: IntCounter) -> Result<Self, Error> {
        let sink = match &settings.file {
            Some(path) => {
                Sink::file(path).map_err(|source| Error::Open { path: path.clone(), source })?
            }
            None => Sink::stdout().map_err(Error::Stdout)?,
        };
        settings.accept(&sink)?;
        let tell = |written: Result<(), &io::Error>| match written {
            Ok(()) => notice("the access log is written again"),
            Err(error) => notice(format_args!("the access log can't be written: {error}")),
        };
        Ok(Self { lines: Lines::to(sink, settings.queue, lost, tell), audit: settings.audit })
    }

    /// Puts on record that a tunnel is about to be opened, if that is required.
    pub async fn opening(&self, permit: &Permit, beginning: Beginning) -> Result<(), Reason> {
        match self.audit {
            Audit::BestEffort => Ok(()),
            // What is known to fail costs no client a wait.
            Audit::Required if !self.lines.healthy() => Err(Reason::LogUnavailable),
            Audit::Required => {
                let line = record::opening(permit, beginning.now());
                self.lines.write(line).await.map_err(|_| Reason::LogUnavailable)
            }
        }
    }

    /// Puts on record what became of a connection.
    pub fn ended(&self, outcome: &Outcome, beginning: Beginning, lasted: Duration) {
        self.lines.push(record::line(outcome, beginning.after(lasted)));
    }

    /// Whether lines are being written, as far as is known.
    pub fn healthy(&self) -> bool {
        self.lines.healthy()
    }

    /// Whether tunnels may be opened, as far as is known.
    pub fn permits(&self) -> bool {
        self.audit == Audit::BestEffort || self.healthy()
    }

    /// Begins the file anew: it has been moved away.
    pub fn reopen(&self) {
        self.lines.reopen();
    }

    /// Waits until everything is written, but not for ever. Answers whether it was.
    pub fn flush(&self, limit: Duration) -> bool {
        self.lines.flush(limit)
    }
}
