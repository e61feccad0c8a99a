//! What must hold for `allowlist.toml`.

use ringfence_config::document::{self, Document};
use ringfence_config::endpoint::Endpoint;
use ringfence_config::{Allowlist, HostPattern, Role, guard};

/// Reads `bytes` as a list that someone wrote.
///
/// - What loads is written as a document that loads as the same list, byte for byte.
/// - Said twice, it is the same list.
/// - No entry is a storage host, unless it names that account; a registry's role stands beside that
///   registry's own host.
/// - An error can be shown.
pub fn list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match load(text, 1) {
        Ok(list) => check(&list, text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn load(text: &str, times: usize) -> Result<Allowlist, document::Error> {
    let document = Document::parse("list", text)?;
    document::merge(&vec![document; times])
}

fn check(list: &Allowlist, text: &str) {
    assert_eq!(load(text, 2).as_ref().ok(), Some(list), "said twice");
    let written = list.to_toml();
    let again = load(&written, 1).expect("what we write loads");
    assert_eq!(&again, list);
    assert_eq!(again.to_toml(), written);
    for entry in list.entries() {
        let is_account = entry.role == Role::StorageAccount;
        match &entry.host {
            HostPattern::Exact(host) => assert_eq!(guard::is_storage(host), is_account, "{host}"),
            // What a pattern may reach is the subject of the property of guards.
            HostPattern::Wildcard(_) => assert!(!is_account),
        }
        if let (HostPattern::Exact(host), Some(registry)) = (&entry.host, entry.role.registry()) {
            let endpoint: Endpoint = host.as_str().parse().expect("a registry's host");
            assert_eq!(endpoint.login_server().label(), registry);
            assert_eq!(endpoint.family().region(), entry.role.region());
        }
    }
}
