//! Decides how a preset is called: a published set of hosts that an entry was taken from. Which presets there are is
//! for `allowlist-gen` to know; here a name is a name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The name of a preset: `mcr`, or `aks/core` for one of a family.
///
/// Words of lower-case letters and digits with single hyphens between, and at most one `/`, so that it can stand in
/// comments and, with a hyphen for the `/`, in the names of rules.
///
/// ```
/// use ringfence_config::preset::{PresetName, PresetNameError};
///
/// let name: PresetName = "aks/core".parse()?;
/// assert_eq!(name.as_str(), "aks/core");
/// assert_eq!("AKS core".parse::<PresetName>(), Err(PresetNameError));
/// # Ok::<(), PresetNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PresetName(Box<str>);

/// The presets that an entry was taken from, in ascending order; none for a host that someone wrote by hand.
pub type Presets = BTreeSet<PresetName>;

/// A text that names no preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a preset is called by lower-case words with single hyphens between, such as `mcr` or `aks/core`"
)]
pub struct PresetNameError;

impl PresetName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PresetName {
    type Err = PresetNameError;

    fn from_str(text: &str) -> Result<Self, PresetNameError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let is_part = |part: &str| part.split('-').all(is_word);
        let is_name = text.len() <= MOST && text.split('/').count() <= 2;
        if is_name && text.split('/').all(is_part) {
            Ok(Self(text.into()))
        } else {
            Err(PresetNameError)
        }
    }
}

impl fmt::Display for PresetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of rules are made of it, and those are short.
const MOST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_words_or_refused() {
        let longest = "a".repeat(MOST);
        for text in ["mcr", "az-acr-login", "aks/core", "aks/keyvault-csi", "s3/v2", &longest] {
            assert_eq!(
                text.parse::<PresetName>().map(|name| name.to_string()),
                Ok(text.to_owned())
            );
        }
        let too_long = "a".repeat(MOST + 1);
        for text in [
            "",
            "/",
            "aks/",
            "/core",
            "a/b/c",
            "AKS",
            "aks core",
            "aks--core",
            "-aks",
            "aks-",
            "a_b",
            "ä",
            "aks\n",
            "a.b",
            &too_long,
        ] {
            assert_eq!(text.parse::<PresetName>(), Err(PresetNameError), "{text:?}");
        }
    }
}
