//! Decides in which formats a list can be written. Each has a file of its own.
//!
//! An exporter writes every entry or fails: it never drops one, and never widens one.

mod json;
mod text;
mod toml;

use std::io::{self, Write};

use ringfence_config::{Allowlist, Issue};

/// A format that a list can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// The document that the proxy enforces
    Toml,
    /// One host per line, all of them on port 443
    Text,
    /// Every key of every entry, for programs
    Json,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Toml, Self::Text, Self::Json];
}

/// Why a list can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format has no way to say it.
    #[error("`{host}` can't be written as {format}: {why}")]
    Unrepresentable {
        /// The entry.
        host: String,
        /// The format.
        format: &'static str,
        /// What the format lacks.
        why: &'static str,
    },
    /// The writer failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes this issue of `allowlist`, byte for byte the same for the same entries.
///
/// ```
/// use allowlist_gen::export::{self, Format};
/// use ringfence_config::{Allowlist, Entry, Issue, Role};
///
/// let host = "contoso.azurecr.io".parse().unwrap();
/// let list = Allowlist::new([Entry::new(host, Role::Login("contoso".parse().unwrap()))]).unwrap();
/// let mut out = Vec::new();
/// export::write(Format::Text, &list, Issue::default(), &mut out).unwrap();
/// assert_eq!(out, b"contoso.azurecr.io\n");
/// ```
pub fn write(
    format: Format,
    allowlist: &Allowlist,
    issue: Issue,
    out: &mut dyn Write,
) -> Result<(), Error> {
    match format {
        Format::Toml => toml::write(allowlist, issue, out),
        Format::Text => text::write(allowlist, issue, out),
        Format::Json => json::write(allowlist, issue, out),
    }
}
