//! What is kept of many lines about one thing, and of many things: always a bounded amount, for clients choose what
//! they ask for, and can ask for a new name each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ringfence_config::issue::Moment;
use serde::Serialize;

use super::{Occasion, count};

/// Who asked for one thing, how often and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    connections: u64,
    clients: BTreeSet<IpAddr>,
    /// There were more clients than are kept.
    more_clients: bool,
    first: Moment,
    last: Moment,
}

impl Evidence {
    /// One occasion.
    pub fn new(occasion: &Occasion) -> Self {
        let (client, time) = (occasion.client, occasion.time);
        Self {
            connections: 1,
            clients: [client].into(),
            more_clients: false,
            first: time,
            last: time,
        }
    }

    /// One more occasion.
    pub fn add(&mut self, occasion: &Occasion) {
        self.join(&Self::new(occasion));
    }

    /// All that the other knows, too.
    pub fn join(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.clients.extend(&other.clients);
        self.more_clients |= other.more_clients || self.clients.len() > MOST_CLIENTS;
        while self.clients.len() > MOST_CLIENTS {
            self.clients.pop_last();
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// How often.
    pub fn connections(&self) -> u64 {
        self.connections
    }
}

impl fmt::Display for Evidence {
    /// `12 connections of 10.0.0.4 and 2 more clients, 2026-11-30T21:00:00Z to 2026-11-30T21:05:00Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<String> =
            self.clients.iter().take(FEW_CLIENTS).map(ToString::to_string).collect();
        write!(
            f,
            "{} of {}",
            count(self.connections, "connection", "connections"),
            clients.join(", ")
        )?;
        let more = self.clients.len().saturating_sub(FEW_CLIENTS) as u64;
        match (more, self.more_clients) {
            (0, _) => {}
            (_, true) => write!(f, " and at least {more} more clients")?,
            (_, false) => write!(f, " and {}", count(more, "more client", "more clients"))?,
        }
        let (first, last) = (seconds(self.first), seconds(self.last));
        if first == last { write!(f, ", {first}") } else { write!(f, ", {first} to {last}") }
    }
}

impl Serialize for Evidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            connections: u64,
            clients: &'a BTreeSet<IpAddr>,
            more_clients: bool,
            first: String,
            last: String,
        }
        let Self { connections, clients, more_clients, first, last } = self;
        let [first, last] = [first, last].map(|moment| seconds(*moment));
        let (connections, more_clients) = (*connections, *more_clients);
        Wire { connections, clients, more_clients, first, last }.serialize(serializer)
    }
}

/// The moment without the fraction of a second, which helps nobody.
fn seconds(moment: Moment) -> String {
    let text = moment.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// Evidence of many things: at most so many of them. When there are more, the half that was asked for least is
/// forgotten, so that nobody who asks for new names all the time drives out what is asked for again and again.
#[derive(Debug, Clone)]
pub struct Tally<K> {
    most: usize,
    things: BTreeMap<K, Evidence>,
    forgotten: u64,
}

impl<K: Ord + Clone> Tally<K> {
    /// An empty one of at most `most` things.
    pub fn new(most: usize) -> Self {
        Self { most, things: BTreeMap::new(), forgotten: 0 }
    }

    /// One more occasion of `thing`.
    pub fn add(&mut self, thing: K, occasion: &Occasion) {
        if let Some(evidence) = self.things.get_mut(&thing) {
            return evidence.add(occasion);
        }
        if self.things.len() >= self.most {
            self.forget();
        }
        self.things.insert(thing, Evidence::new(occasion));
    }

    fn forget(&mut self) {
        let mut by_count: Vec<(u64, &K)> =
            self.things.iter().map(|(thing, evidence)| (evidence.connections, thing)).collect();
        by_count.sort_unstable();
        let half = by_count.len().div_ceil(2);
        let least: Vec<K> =
            by_count.into_iter().take(half).map(|(_, thing)| thing.clone()).collect();
        for thing in least {
            let evidence = self.things.remove(&thing);
            self.forgotten += evidence.map_or(0, |evidence| evidence.connections);
        }
    }

    /// Whether `thing` is kept.
    pub fn contains(&self, thing: &K) -> bool {
        self.things.contains_key(thing)
    }

    /// What is left, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Evidence)> {
        self.things.iter()
    }

    /// How many things are left.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// How many connections were forgotten with what they were for. If any were, the other counts are lower bounds.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Kept of each thing.
const MOST_CLIENTS: usize = 64;

/// Named in a text.
const FEW_CLIENTS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(client: u8) -> Occasion {
        let time = format!("2026-11-30T21:00:{:02}.500Z", client % 60).parse().expect("a moment");
        Occasion { client: [10, 0, 0, client].into(), time, group: None }
    }

    #[test]
    fn evidence_is_a_sentence() {
        let mut evidence = Evidence::new(&occasion(4));
        assert_eq!(evidence.to_string(), "1 connection of 10.0.0.4, 2026-11-30T21:00:04Z");
        for client in [5, 5, 6, 7] {
            evidence.add(&occasion(client));
        }
        assert_eq!(
            evidence.to_string(),
            "5 connections of 10.0.0.4, 10.0.0.5, 10.0.0.6 and 1 more client, \
             2026-11-30T21:00:04Z to 2026-11-30T21:00:07Z"
        );
        for client in 0..200 {
            evidence.add(&occasion(client));
        }
        assert_eq!(evidence.clients.len(), MOST_CLIENTS);
        assert!(evidence.to_string().contains("and at least 61 more clients"), "{evidence}");
    }

    /// A million strangers' names, each once, and one that is asked for all the time.
    #[test]
    fn a_flood_of_names_neither_fills_memory_nor_drives_out_the_rest() {
        let mut tally = Tally::new(100);
        for number in 0..100_000_u32 {
            tally.add(format!("h{number}"), &occasion(1));
            if number % 50 == 0 {
                tally.add("mine".to_owned(), &occasion(2));
            }
            assert!(tally.len() <= 100);
        }
        let (_, evidence) = tally.iter().find(|(thing, _)| *thing == "mine").expect("kept");
        assert_eq!(evidence.connections(), 2000);
        let kept: u64 = tally.iter().map(|(_, evidence)| evidence.connections()).sum();
        assert_eq!(kept + tally.forgotten(), 102_000);
    }
}
