//! The path of an ARM resource, as far as it may become a part of a URL.

use std::fmt;
use std::str::FromStr;

/// `/subscriptions/…`, in the spelling that it came in; case doesn't count in comparisons.
///
/// Ids come from Azure's answers and become requests that carry a token, so nothing may stand in one that could lead
/// elsewhere: no dots alone, no query, no empty part.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
#[derive(Debug, Clone)]
pub struct ResourcePath {
    text: String,
    folded: String,
}

impl ResourcePath {
    /// Something below it.
    pub(super) fn child(&self, below: &str) -> Self {
        Self::new(format!("{}/{below}", self.text))
    }

    fn new(text: String) -> Self {
        let folded = text.to_ascii_lowercase();
        Self { text, folded }
    }

    /// Its parts, of which there is at least one.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1)
    }

    /// The last segment, which is the resource's name.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The subscription that it lies in.
    pub fn subscription(&self) -> &str {
        self.segments().nth(1).unwrap_or_default()
    }

    /// Whether this is a resource of exactly this kind: `Microsoft.Network/privateEndpoints`.
    pub fn is_a(&self, kind: &str) -> bool {
        let parts: Vec<&str> = self.folded.split('/').collect();
        let kind = kind.to_ascii_lowercase();
        let [namespace, types @ ..] = &kind.split('/').collect::<Vec<_>>()[..] else {
            return false;
        };
        let Some(at) = parts.iter().rposition(|part| *part == "providers") else {
            return false;
        };
        let below = &parts[at + 1..];
        below.first() == Some(namespace)
            && below.len() == 1 + 2 * types.len()
            && below[1..].iter().step_by(2).eq(types)
    }
}

impl FromStr for ResourcePath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let mut segments = text.split('/');
        let is_rooted = segments.next() == Some("");
        let is_path = is_rooted
            && text.len() <= LONGEST
            && segments
                .clone()
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case("subscriptions"))
            && segments.clone().count() >= 2
            && segments.all(is_plain);
        if is_path { Ok(Self::new(text.to_owned())) } else { Err(NotAPath) }
    }
}

/// The name of a resource group.
#[derive(Debug, Clone)]
pub struct ResourceGroup(String);

impl FromStr for ResourceGroup {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_plain(text) && text.len() <= 90 {
            return Ok(Self(text.to_owned()));
        }
        Err("a resource group's name is letters, digits, and `-_.()`, 90 at most")
    }
}

impl fmt::Display for ResourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.chars().all(|c| c.is_alphanumeric() || "-_.()".contains(c))
}

/// A text that is no resource id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a resource id is `/subscriptions/ID/resourceGroups/GROUP/providers/…`")]
pub struct NotAPath;

impl PartialEq for ResourcePath {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for ResourcePath {}

impl PartialOrd for ResourcePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourcePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Longer than any id: names end at 260 characters, and five of them make the longest id that is asked for.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg (1)/providers/\
                            Microsoft.Network/privateEndpoints/pe_1";

    #[test]
    fn nothing_in_a_path_leads_elsewhere() {
        let endpoint = ENDPOINT.replace("rg (1)", "rg(1)");
        for (text, is_path) in [
            (endpoint.as_str(), true),
            ("/Subscriptions/a/resourcegroups/b", true),
            ("/subscriptions/a", true),
            ("", false),
            ("/", false),
            ("/subscriptions", false),
            ("/subscriptions/", false),
            ("subscriptions/a", false),
            ("//subscriptions/a", false),
            ("https://elsewhere.example/subscriptions/a", false),
            ("//elsewhere.example/subscriptions/a", false),
            ("/providers/Microsoft.Management/managementGroups/a", false),
            ("/subscriptions/a/../b", false),
            ("/subscriptions/a/./b", false),
            ("/subscriptions/a//b", false),
            ("/subscriptions/a/b/", false),
            ("/subscriptions/a?b=c", false),
            ("/subscriptions/a#b", false),
            ("/subscriptions/a%2f..%2fb", false),
            ("/subscriptions/a\\b", false),
            ("/subscriptions/a@b", false),
            ("/subscriptions/a b", false),
            ("/subscriptions/a\r\nb", false),
        ] {
            assert_eq!(text.parse::<ResourcePath>().is_ok(), is_path, "{text:?}");
        }
        let long = format!("/subscriptions/{}", "a".repeat(LONGEST));
        assert_eq!(long.parse::<ResourcePath>(), Err(NotAPath));
    }

    #[test]
    fn a_path_knows_of_what_it_is() {
        let endpoint: ResourcePath = ENDPOINT.replace("rg (1)", "rg").parse().expect("a path");
        assert!(endpoint.is_a("microsoft.network/PrivateEndpoints"));
        assert!(!endpoint.is_a("Microsoft.Network/networkInterfaces"));
        assert!(!endpoint.is_a("Microsoft.Network"));
        let below = endpoint.child("privateDnsZoneGroups");
        assert!(!below.is_a("Microsoft.Network/privateEndpoints"));
        assert_eq!(below.name(), "privateDnsZoneGroups");
        assert_eq!(endpoint.subscription(), "11111111-2222-3333-4444-555555555555");
        assert_eq!(endpoint, ENDPOINT.replace("rg (1)", "RG").parse().expect("a path"));
    }
}
