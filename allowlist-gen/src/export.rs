//! Decides in which formats a list can be written, and what holds for all of them.
//!
//! ```text
//! Allowlist ─▶ Sheet::new ─▶ FORMAT::render ─▶ text
//!              (all it says,   (says it)
//!               or an error)
//! ```
//!
//! An export holds every entry or fails: it never drops one, and never widens one. What a format can say
//! stands in its [`About`], and [`Sheet::new`](sheet::Sheet) refuses what it can't say, so that no format has to.
//! Each format has a file of its own, in the folder of those like it.

#![allow(clippy::unnecessary_wraps, reason = "every format has the same signature")]

mod about;
mod options;
mod plain;
mod proxy;
mod quote;
mod sheet;
mod text;

use std::borrow::Cow;

use ringfence_config::{Allowlist, Issue};

pub use self::about::{About, Kind, Page, Scope};
pub use self::options::{Ca, CaError, Options, ProxyUrl, ProxyUrlError, Setting, Unpinned};
use self::sheet::Sheet;

/// Makes [`Format`] of two lines per format: what `--help` says of it; its variant, its name, and the module that
/// has its `ABOUT` and its `render`.
macro_rules! formats {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $family:ident::$module:ident;)+) => {
        /// A format that a list can be written in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
        pub enum Format {
            $(
                $(#[doc = $doc])+
                #[cfg_attr(feature = "cli", value(name = $name))]
                $variant,
            )+
        }

        impl Format {
            /// Every format, those of a kind together.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the command line, in file names and in messages.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What there is to know about it.
            pub fn about(self) -> &'static About {
                match self {
                    $(Self::$variant => &$family::$module::ABOUT,)+
                }
            }

            /// What it is, in a line.
            pub fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }

            fn render(self, sheet: &Sheet<'_>) -> Result<String, Error> {
                match self {
                    $(Self::$variant => $family::$module::render(sheet),)+
                }
            }
        }
    };
}

formats! {
    /// The document that the proxy enforces
    Toml, "toml", plain::toml;
    /// One host per line, all of them on port 443
    Text, "text", plain::text;
    /// One `host:port` per line
    HostPort, "host-port", plain::host_port;
    /// Every key of every entry, for programs
    Json, "json", plain::json;
    /// A row for each host and port, for spreadsheets
    Csv, "csv", plain::csv;
    /// The forward proxy squid, configured in full
    Squid, "squid", proxy::squid;
    /// Envoy as a forward proxy for CONNECT, configured in full
    Envoy, "envoy", proxy::envoy;
    /// Envoy as a transparent proxy by server name (SNI), configured in full
    EnvoySni, "envoy-sni", proxy::envoy_sni;
    /// HAProxy as a transparent proxy by server name (SNI), configured in full
    Haproxy, "haproxy", proxy::haproxy;
    /// nginx as a transparent proxy by server name (SNI), configured in full
    Nginx, "nginx", proxy::nginx;
}

/// A list in some format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file's text, which ends with a newline.
    pub text: String,
    /// What whoever installs it should know, beyond what the file says of itself.
    pub warnings: Vec<String>,
}

/// Why a list can't be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The format has no way to say it.
    #[error("`{host}` can't be written as {format}: {why}")]
    Unrepresentable {
        /// The entry.
        host: String,
        /// The format.
        format: &'static str,
        /// What the format lacks.
        why: Cow<'static, str>,
    },
    /// More than the target takes.
    #[error("{found} {what} are more than {format} takes, which is {limit}")]
    TooMany {
        /// The format.
        format: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The format can't do without a setting.
    #[error("{format} needs {setting}: {purpose}", setting = .setting.flag(), purpose = .setting.purpose())]
    Needs {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
    },
    /// A setting that the format has no place for.
    #[error("{setting} means nothing to {format}, which takes {takes}", setting = .setting.flag())]
    NotTaken {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
        /// What it takes.
        takes: String,
    },
    /// A setting with a value that the target would refuse.
    #[error("{setting} won't do for {format}: {why}", setting = .setting.flag())]
    Unsuitable {
        /// The format.
        format: &'static str,
        /// The setting.
        setting: Setting,
        /// What is wrong.
        why: Cow<'static, str>,
    },
    /// There is nothing to write: an empty rule would mean something else to the target.
    #[error("{format} would have no entry: {why}")]
    Empty {
        /// The format.
        format: &'static str,
        /// Why nothing is left.
        why: &'static str,
    },
}

/// Writes this issue of `allowlist`, byte for byte the same for the same entries and options.
///
/// ```
/// use allowlist_gen::export::{self, Format, Options};
/// use ringfence_config::{Allowlist, Entry, Issue, Role};
///
/// let host = "contoso.azurecr.io".parse().unwrap();
/// let list = Allowlist::new([Entry::new(host, Role::Login("contoso".parse().unwrap()))]).unwrap();
/// let export = export::render(Format::Text, &list, Issue::default(), &Options::default()).unwrap();
/// assert_eq!(export.text, "contoso.azurecr.io\n");
/// ```
pub fn render(
    format: Format,
    allowlist: &Allowlist,
    issue: Issue,
    options: &Options,
) -> Result<Export, Error> {
    let sheet = Sheet::new(format, allowlist, issue, options)?;
    let text = format.render(&sheet)?;
    Ok(Export { text, warnings: sheet.warnings() })
}
