//! Reads files that somebody else may have put in place: regular ones only, and no more of one than it may
//! hold. A pipe can't keep the reader waiting, and a sparse file of terabytes takes no memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file isn't read.
#[derive(Debug)]
pub enum Error {
    /// It can't be found, opened or read.
    Io(io::Error),
    /// It is a folder, pipe, socket or device.
    NotAFile,
    /// It is longer than it may be.
    TooLong,
}

/// Reads all of a regular file that holds at most `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    // To open a device can do something; so what is none is turned away unopened, and what takes a file's
    // place meanwhile, by a look at what was opened.
    regular(path.metadata())?;
    let file = open(path).map_err(Error::Io)?;
    let length = regular(file.metadata())?.len();
    let length = usize::try_from(length).ok().filter(|length| *length <= limit);
    // With room for all of it, no copy is left behind in memory: one of the files is a private key.
    let mut bytes = Vec::with_capacity(length.ok_or(Error::TooLong)? + 1);
    // The file may grow while it is being read.
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(Error::Io)?;
    if bytes.len() > limit { Err(Error::TooLong) } else { Ok(bytes) }
}

/// Does not wait for a pipe's writer.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

fn regular(metadata: io::Result<Metadata>) -> Result<Metadata, Error> {
    let metadata = metadata.map_err(Error::Io)?;
    if metadata.is_file() { Ok(metadata) } else { Err(Error::NotAFile) }
}

/// 16 MiB: more than any list, certificate bundle or file of users has need of.
pub const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn as_much_as_it_may_hold_is_read() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("file");
        for (text, fits) in [("", true), ("123", true), ("1234", true), ("12345", false)] {
            fs::write(&path, text).expect("written");
            match read(&path, 4) {
                Ok(bytes) => assert!(fits && bytes == text.as_bytes(), "{text}"),
                Err(error) => assert!(!fits && matches!(error, Error::TooLong), "{error:?}"),
            }
        }
    }

    #[test]
    fn a_sparse_file_takes_no_memory() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("file");
        File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
        assert!(matches!(read(&path, MAX_BYTES), Err(Error::TooLong)));
    }

    /// The kernel says that these have no length, and then they have one.
    #[test]
    fn a_length_is_not_believed() {
        let path = Path::new("/proc/self/maps");
        assert_eq!(path.metadata().expect("always there").len(), 0);
        assert!(matches!(read(path, 16), Err(Error::TooLong)));
    }

    #[test]
    fn nothing_else_is_a_file() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        mkfifoat(CWD, path("pipe"), Mode::RUSR).expect("a pipe");
        let _socket = UnixListener::bind(path("socket")).expect("a socket");
        let others = [path("pipe"), path("socket"), folder.path().to_owned(), "/dev/zero".into()];
        for other in others {
            assert!(matches!(read(&other, 4), Err(Error::NotAFile)), "{}", other.display());
        }
        let missing = read(&path("missing"), 4);
        assert!(matches!(missing, Err(Error::Io(error)) if error.kind() == ErrorKind::NotFound));
    }

    /// What is swapped for a pipe between the first look and the opening is seen by the second look.
    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a pipe");
        let opened = open(&path).expect("opened at once");
        assert!(matches!(regular(opened.metadata()), Err(Error::NotAFile)));
    }
}
