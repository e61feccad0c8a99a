//! What must hold for rules of other people's.

use allowlist_gen::lint::family::Family;
use allowlist_gen::lint::{self, Format, Kind};
use ringfence_config::snippet::Source;
use ringfence_config::{Hostname, guard};

/// Judges `bytes` as what they seem to be, and as every format.
///
/// - Each name that is told is of the family that it is told for, by the tables that guard allowlists.
/// - As a list of names, each storage host that is written out is told with its line.
/// - What is told makes no control character, and is the same each time.
pub fn lint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sources = [Source { name: "rules".to_owned(), text: text.to_owned() }];
    for format in [None].into_iter().chain(Format::ALL.map(Some)) {
        let Ok(report) = lint::lint(&sources, format, None) else { continue };
        for reached in report.findings.iter().flat_map(|finding| &finding.reached) {
            let host = &reached.witness;
            let is_of_it = match reached.kind {
                Kind::Family(Family::Storage) | Kind::Account => guard::is_storage(host),
                Kind::Family(Family::Registry) => host.as_str().contains(".azurecr."),
                Kind::Family(Family::Shared) => guard::shared_domain(host).is_some(),
                Kind::Family(Family::Anyone) => !guard::is_storage(host),
                _ => true,
            };
            assert!(is_of_it, "{format:?}: {host} is told as {:?}", reached.kind);
        }
        let told = report.to_string();
        assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told}");
        if format == Some(Format::List) {
            let again = lint::lint(&sources, format, None).expect("as before");
            assert_eq!(again.to_json(), report.to_json());
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.split('#').next().unwrap_or_default();
                let mut items = line.split([' ', '\t', ',', ';']);
                let is_storage = |item: &str| {
                    item.parse::<Hostname>().is_ok_and(|host| guard::is_storage(&host))
                };
                let is_told = report.findings.iter().any(|f| f.place.line == Some(number));
                assert!(is_told || !items.any(is_storage), "line {number}: {line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Words of rules in any order, most lines of squid's.
    fn word() -> impl Strategy<Value = &'static str> {
        select(vec![
            "acl",
            "a",
            "b",
            "dstdomain",
            "dstdom_regex",
            "http_access",
            "allow",
            "deny",
            "!a",
            "all",
            "CONNECT",
            "port",
            "443",
            "1-65535",
            "method",
            ".azurecr.io",
            "*.azurecr.io",
            "x.blob.core.windows.net",
            "\\",
            "#",
            "include",
            "rules",
            "kind: CiliumNetworkPolicy",
            "virtual_hosts:",
            "- domains: ['*']",
            "NO_PROXY=",
            "10.0.0.0/8",
            "${x}",
            "\"",
            "{",
            "}",
            "[",
            "]",
            ":",
            "\n",
            "\n",
            "\n",
            "\r\n",
            "\u{1b}",
            "*",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_rules_say_holds(words in prop::collection::vec(word(), 0..24)) {
            super::lint(words.join(" ").as_bytes());
        }
    }
}
