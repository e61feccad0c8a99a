//! Decides what a host pattern is and which names it matches. Whether a pattern may be on a list is
//! [`guard`](crate::guard)'s decision.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;

use crate::hostname::{self, Hostname};

/// A host name, or a name in which `*` stands for exactly one whole label.
///
/// The last two labels are always literal, so the narrowest thing a pattern can span is one domain.
///
/// ```
/// use ringfence_config::{HostPattern, Hostname, pattern::Error};
///
/// let pattern: HostPattern = "contoso.*.data.azurecr.io".parse()?;
/// assert!(pattern.matches(&"contoso.eastus.data.azurecr.io".parse().unwrap()));
/// assert!(!pattern.matches(&"contoso.data.azurecr.io".parse().unwrap()));
/// assert_eq!("con*.azurecr.io".parse::<HostPattern>(), Err(Error::PartialLabel));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(Hostname),
    /// Every host that fits.
    Wildcard(Wildcard),
}

/// A [`HostPattern`] with at least one `*`, in canonical spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wildcard(Box<str>);

/// Why a text is not a [`HostPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part that isn't a wildcard breaks the rules for host names.
    #[error(transparent)]
    Hostname(#[from] hostname::Error),
    /// `*` together with other characters in one label.
    #[error("`*` must be a whole label; list the exact hosts instead")]
    PartialLabel,
    /// `*` in one of the last two labels.
    #[error("the last two labels must be literal")]
    TooWide,
    /// A metacharacter of globs or regular expressions.
    #[error("{0:?} has no meaning here; the only wildcard is `*` as a whole label")]
    Metacharacter(char),
}

impl HostPattern {
    /// Whether `host` is one of the hosts this pattern stands for.
    pub fn matches(&self, host: &Hostname) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Wildcard(wildcard) => wildcard.matches(host),
        }
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(host) => host.as_str(),
            Self::Wildcard(wildcard) => &wildcard.0,
        }
    }

    /// The labels from left to right; a wildcard is the label `*`.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.as_str().split('.')
    }
}

impl Wildcard {
    fn matches(&self, host: &Hostname) -> bool {
        let (mut pattern, mut labels) = (self.0.split('.'), host.labels());
        loop {
            match (pattern.next(), labels.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(expected), Some(label)) if expected == label => {}
                _ => return false,
            }
        }
    }

    /// globset's separator is `/`, so labels become path segments before it sees a name.
    fn as_path(&self) -> String {
        self.0.replace('.', "/")
    }
}

impl FromStr for HostPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(c) = text.chars().find(|c| "?[]{}()^$|+\\/!,".contains(*c)) {
            let literal = text.parse::<Hostname>() == Err(hostname::Error::IpLiteral);
            return Err(if literal {
                hostname::Error::IpLiteral.into()
            } else {
                Error::Metacharacter(c)
            });
        }
        if !text.contains('*') {
            return Ok(Self::Exact(text.parse()?));
        }
        let labels: Vec<&str> = text.split('.').collect();
        if labels.iter().any(|label| label.contains('*') && *label != "*") {
            return Err(Error::PartialLabel);
        }
        if labels.iter().rev().take(2).any(|label| *label == "*") {
            return Err(Error::TooWide);
        }
        // With every `*` replaced by the shortest label, what remains must be a host name.
        let sample: Hostname = text.replace('*', "x").parse()?;
        let canonical = sample
            .labels()
            .zip(&labels)
            .map(|(canonical, given)| if *given == "*" { "*" } else { canonical })
            .collect::<Vec<_>>()
            .join(".");
        Ok(Self::Wildcard(Wildcard(canonical.into())))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for HostPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Many wildcards, matched at once.
#[derive(Debug, Clone)]
pub struct PatternSet {
    globs: GlobSet,
}

impl PatternSet {
    /// Compiles `wildcards`; [`first_match`](Self::first_match) answers with positions in this sequence.
    ///
    /// # Panics
    ///
    /// Never for a [`Wildcard`] that was parsed: it holds only name characters and whole-label stars.
    pub fn new<'a>(wildcards: impl IntoIterator<Item = &'a Wildcard>) -> Self {
        let mut builder = GlobSetBuilder::new();
        for wildcard in wildcards {
            let glob = GlobBuilder::new(&wildcard.as_path())
                .literal_separator(true)
                .build()
                .expect("a parsed wildcard is a valid glob");
            builder.add(glob);
        }
        Self { globs: builder.build().expect("a set of valid globs compiles") }
    }

    /// The position of the first pattern that matches `host`.
    pub fn first_match(&self, host: &Hostname) -> Option<usize> {
        if self.globs.is_empty() {
            return None;
        }
        self.globs.matches(host.as_str().replace('.', "/")).into_iter().min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_whole_labels_or_refused_with_their_reason() {
        use crate::hostname::Error as Name;
        let rows: &[(&str, Result<&str, Error>)] = &[
            ("contoso.azurecr.io", Ok("contoso.azurecr.io")),
            ("Contoso.*.Data.azurecr.io", Ok("contoso.*.data.azurecr.io")),
            ("*.a.b", Ok("*.a.b")),
            ("*.*.a.b", Ok("*.*.a.b")),
            ("**.a.b", Err(Error::PartialLabel)),
            ("a*.b.c", Err(Error::PartialLabel)),
            ("*", Err(Error::TooWide)),
            ("*.io", Err(Error::TooWide)),
            ("a.*.io", Err(Error::TooWide)),
            ("a.b.*", Err(Error::TooWide)),
            ("a?.b.c", Err(Error::Metacharacter('?'))),
            ("[ab].b.c", Err(Error::Metacharacter('['))),
            ("{a,b}.b.c", Err(Error::Metacharacter('{'))),
            ("a\\.b.c", Err(Error::Metacharacter('\\'))),
            ("10.0.0.0/8", Err(Error::Metacharacter('/'))),
            (".azurecr.io", Err(Error::Hostname(Name::EmptyLabel))),
            ("*.a.b.", Err(Error::Hostname(Name::TrailingDot))),
            ("*..a.b", Err(Error::Hostname(Name::EmptyLabel))),
            ("*.0.0.1", Err(Error::Hostname(Name::IpLiteral))),
            ("[::1]", Err(Error::Hostname(Name::IpLiteral))),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<HostPattern>();
            assert_eq!(
                parsed.as_ref().map(HostPattern::as_str),
                expected.as_ref().map(|s| *s),
                "{text:?}"
            );
        }
    }

    fn label() -> impl Strategy<Value = String> {
        "[a-c]{1,2}"
    }

    proptest! {
        /// Two independent matchers, ours over labels and globset over segments, give one answer.
        #[test]
        fn globset_agrees_with_the_label_matcher(
            pattern in prop::collection::vec(prop_oneof![label(), Just("*".to_owned())], 1..5),
            host in prop::collection::vec(label(), 1..5),
        ) {
            let pattern = format!("{}.cc.io", pattern.join("."));
            let host: Hostname = format!("{}.cc.io", host.join(".")).parse().expect("labels are valid");
            if let HostPattern::Wildcard(wildcard) = pattern.parse().expect("labels are valid") {
                let set = PatternSet::new([&wildcard]);
                prop_assert_eq!(set.first_match(&host).is_some(), wildcard.matches(&host));
                prop_assert!(!wildcard.matches(&host) || wildcard.0.split('.').count() == host.labels().count());
            }
        }
    }
}
