//! Remembers the highest serial of each file, and over restarts if it has a file to do so. What follows from
//! it is [`vintage`](crate::lists::vintage)'s decision.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::lists::vintage::{Problem, Rules, Serials, Vintage};

/// The memory of a process that loads lists.
#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    state: Option<PathBuf>,
    serials: Serials,
    /// What the file holds; `None` if there is no file yet.
    written: Option<Serials>,
}

/// Why serials can't be remembered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read `{}`, which remembers the lists' serials; let the proxy read and write it", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "`{}` does not hold the lists' serials; restore it, or make sure that the lists are the latest \
         and remove it",
        path.display()
    )]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error("`{}` has schema {schema}, and this program reads schema {SCHEMA}; use the program that wrote it", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Its version.
        schema: u32,
    },
    /// The file can't be written.
    #[error(
        "can't write `{}`, which remembers the lists' serials; let the proxy write to its folder, \
         or leave `lists.state` out",
        path.display()
    )]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Ledger {
    /// Begins with what `state` holds, if it is there. A file that can't be believed is no reason to forget.
    pub fn open(rules: Rules, state: Option<&Path>) -> Result<Self, Error> {
        let written = state.map(read).transpose()?.flatten();
        Ok(Self {
            rules,
            state: state.map(Path::to_owned),
            serials: written.clone().unwrap_or_default(),
            written,
        })
    }

    /// Judges what was read, without remembering it: the problems that the rules tolerate, or one that they
    /// don't.
    pub fn judge(&self, vintages: &[Vintage], now: SystemTime) -> Result<Vec<Problem>, Problem> {
        self.rules.judge(vintages, |file| self.serials.of(&absolute(file)), now)
    }

    /// Remembers what is about to be in force. If it can't be written down, it must not be: after a restart
    /// nobody would know.
    pub fn remember<'a>(
        &mut self,
        vintages: impl IntoIterator<Item = &'a Vintage>,
    ) -> Result<(), Error> {
        let mut serials = self.serials.clone();
        for vintage in vintages {
            if let Some(serial) = vintage.issue.serial {
                serials.raise(absolute(&vintage.file), serial);
            }
        }
        if let Some(path) = &self.state
            && self.written.as_ref() != Some(&serials)
        {
            write(path, &serials).map_err(|source| Error::Write { path: path.clone(), source })?;
            self.written = Some(serials.clone());
        }
        self.serials = serials;
        Ok(())
    }
}

/// The same file, whichever folder the program is started in. Links are not followed: a `ConfigMap` is another
/// file behind them each time.
fn absolute(file: &str) -> String {
    std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.display().to_string())
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: u32,
    serials: Serials,
}

fn read(path: &Path) -> Result<Option<Serials>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let state: State = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Broken { path: path.to_owned(), source })?;
    if state.schema != SCHEMA {
        return Err(Error::Schema { path: path.to_owned(), schema: state.schema });
    }
    Ok(Some(state.serials))
}

/// Puts the file in place in one step, and on the disk before that: half a memory would be none.
fn write(path: &Path, serials: &Serials) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Serials are no secret, and `ringfence check` may be run by someone else. But whoever writes them decides
    // which list is too old, so that is for the proxy alone, whatever the umask.
    builder.prefix(".ringfence-").permissions(PermissionsExt::from_mode(0o644));
    let mut new = builder.tempfile_in(folder)?;
    serde_json::to_writer_pretty(&mut new, &State { schema: SCHEMA, serials: serials.clone() })?;
    writeln!(new)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests {
    use std::fs;

    use ringfence_config::Issue;
    use ringfence_config::issue::Serial;

    use super::*;

    fn vintage(serial: Option<u64>) -> [Vintage; 1] {
        let serial = serial.map(|number| Serial::try_from(number).expect("a serial"));
        [Vintage { file: "/lists/a.toml".into(), issue: Issue { serial, not_after: None } }]
    }

    #[test]
    fn the_highest_serial_survives_a_restart() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("state.json");
        let now = SystemTime::UNIX_EPOCH;
        let open = || Ledger::open(Rules::default(), Some(&path)).expect("a ledger");
        let mut ledger = open();
        ledger.judge(&vintage(Some(7)), now).expect("the first");
        ledger.remember(&vintage(Some(7))).expect("written");
        assert_eq!(
            fs::read_to_string(&path).expect("a file"),
            "{\n  \"schema\": 1,\n  \"serials\": {\n    \"/lists/a.toml\": 7\n  }\n}\n"
        );
        let again = open();
        again.judge(&vintage(Some(7)), now).expect("the same");
        again.judge(&vintage(Some(6)), now).expect_err("an earlier one");
        again.judge(&vintage(None), now).expect_err("none");
        // Whoever only asks remembers nothing.
        again.judge(&vintage(Some(9)), now).expect("a later one");
        open().judge(&vintage(Some(8)), now).expect("a later one");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn without_a_file_the_process_remembers() {
        let mut ledger = Ledger::open(Rules::default(), None).expect("a ledger");
        ledger.remember(&vintage(Some(7))).expect("nothing to write");
        ledger.judge(&vintage(Some(6)), SystemTime::UNIX_EPOCH).expect_err("an earlier one");
    }

    #[test]
    fn a_file_that_cannot_be_believed_is_not_forgotten() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("state.json");
        let open = || Ledger::open(Rules::default(), Some(&path));
        for (text, expected) in [
            ("", "does not hold the lists' serials"),
            ("{\"schema\":1,\"serials\":{\"/a\":-1}}", "does not hold the lists' serials"),
            ("{\"schema\":1,\"serials\":{\"/a\":9223372036854775808}}", "does not hold"),
            ("{\"schema\":1,\"serials\":{},\"more\":1}", "does not hold the lists' serials"),
            ("{\"schema\":1}", "does not hold the lists' serials"),
            ("{\"schema\":2,\"serials\":{}}", "has schema 2"),
        ] {
            fs::write(&path, text).expect("written");
            let shown = open().expect_err(text).to_string();
            assert!(shown.contains(expected) && shown.contains("state.json`"), "{shown}");
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert!(matches!(open(), Err(Error::Read { .. })));
    }

    #[test]
    fn what_cannot_be_written_down_is_not_in_force() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("missing/state.json");
        let mut ledger = Ledger::open(Rules::default(), Some(&path)).expect("nothing yet");
        let shown = ledger.remember(&vintage(Some(7))).expect_err("no folder").to_string();
        assert!(shown.contains("leave `lists.state` out"), "{shown}");
        ledger.judge(&vintage(Some(6)), SystemTime::UNIX_EPOCH).expect("nothing was in force");
    }
}
