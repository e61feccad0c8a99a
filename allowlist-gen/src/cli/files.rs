//! Files and streams.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use allowlist_gen::{kit, metadata};
use ringfence_config::snippet::Source;

use super::Failure;

/// Where a text goes.
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
}

impl From<Option<PathBuf>> for Destination {
    fn from(output: Option<PathBuf>) -> Self {
        output.map_or(Self::Stdout, Self::File)
    }
}

impl Destination {
    /// Puts all of `bytes` there, or nothing.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout => print(bytes),
            Self::File(file) => replace(file, bytes)
                .map_err(|error| Failure::Write(file.display().to_string(), error)),
        }
    }
}

/// A file of JSON, or standard input, in the encoding that its first bytes tell.
pub(super) fn read_metadata(file: &Path) -> Result<Source, Failure> {
    let (name, bytes) = read(file)?;
    metadata::decode(&name, bytes).map_err(|error| Failure::Generate(error.into()))
}

/// A file of text, or standard input, and what messages call it.
pub(super) fn read_text(file: &Path) -> Result<(String, String), Failure> {
    let (name, bytes) = read(file)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::Read(name.clone(), io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
    })?;
    Ok((name, text))
}

fn read(file: &Path) -> Result<(String, Vec<u8>), Failure> {
    let (name, bytes) = if is_stdin(file) {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        ("<stdin>".to_owned(), read.map(|_| bytes))
    } else {
        (file.display().to_string(), fs::read(file))
    };
    match bytes {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) => Err(Failure::Read(name, error)),
    }
}

pub(super) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Puts `bytes` in the place of `file` in one step, so that a reader sees the old list or the new
/// one.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link keeps pointing where it does; what it points at is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    prepare(&file, bytes)?.persist(&file)?;
    Ok(())
}

/// What has become of a file that was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    Yes,
    /// Somebody else has changed it, so it stays.
    Changed,
}

/// The same as [`Destination::write`], with the file's owner and permissions, if it still holds `known`. The last look is the
/// last thing before the rename: there is no system call that does both.
pub(super) fn replace_known(file: &Path, known: &[u8], bytes: &[u8]) -> Result<Replaced, Failure> {
    let replace = || {
        let target = fs::canonicalize(file)?;
        let new = prepare(&target, bytes)?;
        let old = fs::metadata(&target)?;
        keep_owner(new.as_file(), &old)?;
        new.as_file().set_permissions(old.permissions())?;
        if fs::read(&target)? != known || fs::canonicalize(file)? != target {
            return Ok(Replaced::Changed);
        }
        new.persist(&target)?;
        Ok(Replaced::Yes)
    };
    replace().map_err(|error: io::Error| Failure::Write(file.display().to_string(), error))
}

/// Gives `new` the owner that `old` has, or its reader may not be able to read it.
#[cfg(unix)]
fn keep_owner(new: &fs::File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};

    let now = new.metadata()?;
    let uid = (now.uid() != old.uid()).then_some(old.uid());
    let gid = (now.gid() != old.gid()).then_some(old.gid());
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    fchown(new, uid, gid)
        .map_err(|error| io::Error::other(format!("it would have another owner: {}", error.kind())))
}

#[cfg(not(unix))]
fn keep_owner(_: &fs::File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// A file beside `file`, which is a path without links, with all of `bytes`.
fn prepare(file: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let directory = folder_of(file);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".allowlist-");
    // A list is no secret, and its reader is often another user; the umask has the last word.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut new = builder.tempfile_in(directory).map_err(|error| in_folder(&error, directory))?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    Ok(new)
}

/// Why nothing can be made in `folder`, without the name of what was tried: nobody asked for that.
fn in_folder(error: &io::Error, folder: &Path) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other(format!("the folder `{}` doesn't exist", folder.display()))
        }
        kind => io::Error::other(format!("in the folder `{}`: {kind}", folder.display())),
    }
}

/// Puts all of `files` into `folder`, which is new or empty, in one step: whoever finds one finds all.
pub(super) fn fill(folder: &Path, files: &[kit::File]) -> Result<(), Failure> {
    let fill = || {
        // Renaming would find out, too, but not say it in words that help.
        if folder.exists() && folder.read_dir()?.next().is_some() {
            return Err(io::Error::other("it holds something: name a new folder"));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".aks-kit-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let new = builder.tempdir_in(folder_of(folder));
        // The name that was tried is of no use to anyone.
        let new = new.map_err(|error| io::Error::from(error.kind()))?;
        for file in files {
            write_new(&new.path().join(file.name), file)?;
        }
        // An empty folder is replaced, and nothing else is.
        fs::rename(new.path(), folder)?;
        // It has gone from where it was.
        let _ = new.keep();
        Ok(())
    };
    fill().map_err(|error| Failure::Write(folder.display().to_string(), error))
}

fn write_new(path: &Path, file: &kit::File) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if file.purpose == kit::Purpose::Program {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o777);
    }
    let mut new = options.open(path)?;
    new.write_all(file.text.as_bytes())?;
    new.sync_all()
}

/// Where `path` lies, and what replaces it is made.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Data. A reader that has seen enough, such as `head`, is no failure.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Stdout(error)),
        _ => Ok(()),
    }
}

/// `value` as indented JSON, with a newline at the end.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value);
    text.expect("strings, numbers, lists and maps are JSON") + "\n"
}

/// For people. If nobody can be told, nobody can be told that either.
pub(super) fn tell(message: &dyn fmt::Display) {
    let _ = io::stderr().lock().write_all(message.to_string().as_bytes());
}
