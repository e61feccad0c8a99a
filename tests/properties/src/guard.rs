//! What must hold for the guard.

use std::sync::LazyLock;

use ringfence_config::{HostPattern, Hostname, guard as gate};
use serde_json::Value;

/// Reads `bytes` as a pattern and, behind a space each, what its stars stand for: one label or more, as the
/// most generous of firewalls reads a star.
///
/// Where the guard lets the pattern pass, the host that comes of it is no storage host.
pub fn guard(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut words = text.split_ascii_whitespace();
    let Some(pattern) = words.next().and_then(|word| word.parse::<HostPattern>().ok()) else {
        return;
    };
    let fillings = words.chain(std::iter::repeat("exfil"));
    let Some(host) = fill(&pattern, fillings) else { return };
    match gate::check(&pattern) {
        Ok(()) => {
            assert!(!gate::is_storage(&host), "{pattern} stands for {host}");
            let domain = STORAGE.iter().find(|domain| host.is_below(domain));
            assert_eq!(domain, None, "{pattern} stands for {host}");
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty() && !refusal.remedy().is_empty()),
    }
    if gate::check_account(&host).is_ok() {
        assert!(gate::is_storage(&host) && gate::check(&HostPattern::Exact(host)).is_err());
    }
}

fn fill<'a>(
    pattern: &HostPattern,
    mut fillings: impl Iterator<Item = &'a str>,
) -> Option<Hostname> {
    let labels =
        pattern.labels().map(|label| if label == "*" { fillings.next() } else { Some(label) });
    labels.collect::<Option<Vec<_>>>()?.join(".").parse().ok()
}

/// Domains of Azure's storage, from a table that was made apart from the guard.
static STORAGE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = include_str!("../../fixtures/azure/data/dangerous-suffixes.json");
    let table: Value = serde_json::from_str(text).expect("a table");
    let rows = table["azure_storage"].as_array().expect("rows");
    let storage = |row: &&Value| {
        row["class"].as_str().is_some_and(|class| class.starts_with("azure-storage"))
    };
    rows.iter()
        .filter(storage)
        .filter_map(|row| row["suffix"].as_str().map(str::to_owned))
        .collect()
});
