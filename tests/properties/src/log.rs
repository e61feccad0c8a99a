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

    let mut learner = Learner::new(None, []);
    lines.iter().for_each(|line| learner.take(line.clone()));
    let learned =
        learner.learned(counts, 1).expect("exact hosts without pins never contradict each other");
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
    lines.iter().for_each(|line| again.take(line.clone()));
    assert!(again.learned(counts, 1).expect("as before").proposed.is_empty());

    let (judge, mut simulation) = (Judge::new(&list), Simulation::new(&list));
    lines.iter().for_each(|line| simulation.take(line.clone()));
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
