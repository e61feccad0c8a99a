//! What must hold for the JSON that Azure's tools print.

use allowlist_gen::endpoint::Endpoint;
use allowlist_gen::report::{Failure, Findings};
use allowlist_gen::{DataEndpoints, Generated, generate, metadata};
use ringfence_config::allowlist::Ports;
use ringfence_config::document::{self, Document};
use ringfence_config::{HostPattern, Role, guard};

/// Derives a list from `bytes`.
///
/// - Every entry is one exact host in the grammar of registries' hosts, in the role that the host has, on
///   the usual port; so none is a storage host.
/// - The list is never empty, and the proxy reads it back as the same list.
/// - What someone should know of it, or why there is none, can be shown.
pub fn metadata(bytes: &[u8]) {
    let Ok(source) = metadata::decode("metadata", bytes.to_vec()) else { return };
    for data in [DataEndpoints::AsReported, DataEndpoints::AssumedOn] {
        match generate(std::slice::from_ref(&source), data) {
            Ok(generated) => check(&generated),
            Err(error) => assert!(!Failure(&error).to_string().is_empty()),
        }
    }
}

fn check(generated: &Generated) {
    let list = &generated.allowlist;
    assert!(!list.is_empty());
    for entry in list.entries() {
        let HostPattern::Exact(host) = &entry.host else { panic!("a pattern: {}", entry.host) };
        let endpoint: Endpoint = host.as_str().parse().expect("a registry's host");
        assert_eq!(entry.role, Role::from(&endpoint));
        assert_eq!(entry.ports, Ports::https());
        assert!(!guard::is_storage(host), "{host}");
    }
    let document = Document::parse("list", &list.to_toml()).expect("what we write loads");
    assert_eq!(&document::merge(&[document]).expect("what we write is one list"), list);
    let _ = Findings(&generated.findings).to_string();
}
