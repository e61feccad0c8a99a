//! What must hold for an access log, which its readers get from anywhere.

use allowlist_gen::judge::Judge;
use allowlist_gen::learn::{Learner, Listing, Text};
use allowlist_gen::log::{self, Counts, Line};
use allowlist_gen::simulate::Simulation;
use ringfence_config::document::{self, Document};
use ringfence_config::{HostPattern, Role, guard};

/// Learns from `bytes`, and tries what was learned on them.
///
/// - Every line is counted once, in whatever pieces the log arrives.
/// - Each entry is one exact host that some line asked for, that the guard admits, and below no domain that many share;
///   nobody having called a registry their own, none is a registry's.
/// - The entries are a list that the proxy reads; learned from again, with that list, they are not proposed.
/// - Under that list nothing is newly denied but what the log says was admitted and can't be learned.
/// - What is told makes no control character.
pub fn log(bytes: &[u8]) {
    let (lines, counts) = read(bytes, 64 * 1024);
    assert_eq!((&lines, counts), (&read(bytes, 3).0, read(bytes, 3).1));
    let Counts { asked, unread, beside, other_groups, foreign, cut, .. } = counts;
    assert_eq!(counts.lines, asked + unread + beside + other_groups + foreign + cut);
    assert_eq!(lines.len() as u64, asked + unread + beside);

    let mut taking = Learner::new(None, []);
    for line in &lines {
        taking.take(line.clone());
    }
    let learned =
        taking.learned(counts, 1).expect("exact hosts without pins never contradict each other");
    for entry in learned.entries.entries() {
        let HostPattern::Exact(host) = &entry.host else { panic!("a pattern: {}", entry.host) };
        assert_eq!(entry.role, Role::Other, "{host}");
        assert!(!guard::is_storage(host) && guard::shared_domain(host).is_none(), "{host}");
        let asks = |line: &Line| matches!(line, Line::Asked(asked) if asked.host == *host);
        assert!(lines.iter().any(asks), "{host}");
    }
    let document =
        Document::parse("learned", &learned.entries.to_toml()).expect("what we write loads");
    let list = document::merge(&[document]).expect("what we write is one list");
    assert_eq!(list, learned.entries);

    for told in
        [Text(&learned).to_string(), serde_json::to_string(&Listing::from(&learned)).expect("JSON")]
    {
        assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told}");
    }
    let mut again = Learner::new(Some(&list), []);
    for line in &lines {
        again.take(line.clone());
    }
    assert!(again.learned(counts, 1).expect("as before").proposed.is_empty());

    let (judge, mut simulation) = (Judge::new(&list), Simulation::new(&list));
    for line in &lines {
        simulation.take(line.clone());
    }
    let told = simulation.simulated(counts).to_string();
    for proposal in &learned.proposed {
        assert!(judge.decide(&proposal.host, proposal.port).is_ok());
        assert!(!told.contains(&format!("- {}:{}:", proposal.host, proposal.port)), "{told}");
    }
}

fn read(bytes: &[u8], capacity: usize) -> (Vec<Line>, Counts) {
    let (mut lines, mut counts) = (Vec::new(), Counts::default());
    let source = std::io::BufReader::with_capacity(capacity, bytes);
    log::read(source, None, &mut counts, |line| lines.push(line)).expect("memory can be read");
    (lines, counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    /// A line made of the words of the log, most of them where they belong.
    fn line() -> impl Strategy<Value = String> {
        let field = |name: &'static str, values: Vec<&'static str>| {
            prop::option::weighted(0.7, select(values)).prop_map(move |value| {
                value.map_or(String::new(), |value| format!(",\"{name}\":{value}"))
            })
        };
        (
            select(vec!["1", "1", "1", "2", "\"1\""]),
            select(vec!["\"10.0.0.4:50000\"", "\"[fd00::4]:1\"", "\"nobody\""]),
            field("outcome", vec!["\"tunnel\"", "\"denied\"", "\"failed\"", "\"malformed\"", "\"opening\"", "7"]),
            field("reason", vec!["\"not_in_policy\"", "\"port_not_allowed\"", "\"ip_literal\"", "\"\\u001b\"", "null"]),
            field("host", vec![
                "\"a.example.com\"", "\"b.example.com\"", "\"contoso.azurecr.io\"", "\"exfil.blob.core.windows.net\"",
                "\"a.azureedge.net\"", "\"westus.data.mcr.microsoft.com\"", "\"*.example.com\"", "\"A.example.com\"",
            ]),
            field("port", vec!["443", "8443", "0", "65979"]),
            field("would_deny", vec!["\"not_in_policy\"", "\"port_not_allowed\"", "\"sni_mismatch\""]),
            field("role", vec!["\"other\"", "\"login\"", "\"\\u202e\""]),
            field("authority", vec!["\"203.0.113.7:443\"", "\"a\\nb\\u001b[2J\""]),
            select(vec!["\n", "\n", "\r\n", ""]),
        )
            .prop_map(|(schema, client, outcome, reason, host, port, would, role, authority, end)| {
                format!(
                    "{{\"schema\":{schema},\"time\":\"2026-11-30T21:00:00.000Z\",\"client\":{client}\
                     {outcome}{reason}{host}{port}{would}{role}{authority}}}{end}"
                )
            })
    }

    proptest! {
        #[test]
        fn whatever_a_log_says_holds(lines in prop::collection::vec(line(), 0..20)) {
            super::log(lines.concat().as_bytes());
        }
    }
}
