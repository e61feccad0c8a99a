//! Decides how a registry and a region are named. Which hosts they make is [`endpoint`](crate::endpoint)'s
//! decision.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::hostname::{self, Hostname};

/// One canonical DNS label: a registry's name in its hosts, with the hash of a domain name label scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Label(Box<str>);

impl Label {
    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = hostname::Error;

    fn from_str(text: &str) -> Result<Self, hostname::Error> {
        // A label is valid exactly where it makes a name valid; `.` would make two of it.
        if text.contains('.') {
            return Err(hostname::Error::BadCharacter('.'));
        }
        let host: Hostname = format!("{text}.example").parse()?;
        Ok(Self(host.first_label().into()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Azure region as host names spell it: `westus2`. The set is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Region(Box<str>);

/// A text that names no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region is letters and digits, such as `westus2` or `West US 2`")]
pub struct RegionError;

impl Region {
    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = RegionError;

    /// Takes display names, too: white space goes, letters are folded, as azure-cli does it.
    fn from_str(text: &str) -> Result<Self, RegionError> {
        let name: String =
            text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
        if name.is_empty() || name.len() > 63 || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(RegionError);
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
