//! The document itself, as `ringfence` reads it.

use ringfence_config::{Allowlist, Issue};

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.toml",
    kind: Kind::Data,
    scope: Scope::Everything,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &["It has the entries of all lists that it was made of, and none of their comments."],
    apply: "ringfence check --allowlist allowlist.toml\nringfence run --allowlist allowlist.toml",
    validator: "`ringfence check`, and the proxy",
    sources: &["https://toml.io/en/v1.0.0"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    Ok(sheet.header("# ") + "\n" + &sheet.allowlist.to_toml_issue(sheet.issue))
}

/// The document of a list that was derived from metadata, which says so.
pub(in crate::export) fn derived(allowlist: &Allowlist, issue: Issue) -> String {
    let entries = allowlist.entries();
    let mut header = String::new();
    if entries.is_empty() || entries.iter().any(|entry| entry.role.registry().is_some()) {
        header.push_str(HEADER);
    }
    if entries.iter().any(|entry| !entry.presets.is_empty()) {
        header.push_str(PRESETS);
    }
    header + &allowlist.to_toml_issue(issue)
}

const HEADER: &str = "\
# Derived from registry metadata by `allowlist-gen generate`. Hosts of your own belong in a file of
# their own; `allowlist-gen generate --check` tells when this one no longer matches its registries.
";

const PRESETS: &str = "\
# Hosts of presets say so; `allowlist-gen presets NAME` tells all about one, also what can't be on a list.
";
