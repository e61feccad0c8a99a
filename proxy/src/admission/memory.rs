//! What is remembered of clients, one by one: no more than matters, and for no longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Who counts as one client: an IPv4 address, or the /64 from which an IPv6 host picks its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(IpAddr);

impl Key {
    /// All those together for whom there is no room of their own.
    pub const OTHERS: Self = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
}

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Something about a client that matters for a while.
pub trait Fading {
    /// Whether forgetting it would change anything.
    fn matters(&self, now: Instant) -> bool;
}

/// One `V` for each client, or each client in each group, that matters.
///
/// What no longer does goes whenever the memory has doubled, so looking after it costs each newcomer a
/// constant on average, and there is never more than twice of what matters.
#[derive(Debug)]
pub struct Memory<K, V> {
    pages: HashMap<K, V>,
    /// How many pages call for the next look.
    sweep_at: usize,
    /// When a full memory is looked through again.
    full_until: Option<Instant>,
}

impl<K: Hash + Eq, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self { pages: HashMap::new(), sweep_at: LEAST_SWEPT, full_until: None }
    }
}

impl<K: Hash + Eq, V: Fading> Memory<K, V> {
    /// The page of `key`, a `new` one if there is none.
    pub fn open(&mut self, key: K, now: Instant, new: impl FnOnce() -> V) -> &mut V {
        if self.pages.len() >= self.sweep_at && !self.pages.contains_key(&key) {
            self.pages.retain(|_, page| page.matters(now));
            self.sweep_at = LEAST_SWEPT.max(2 * self.pages.len());
            self.pages.shrink_to(self.sweep_at);
        }
        self.pages.entry(key).or_insert_with(new)
    }

    /// Changes the page of `key`, and forgets it if it doesn't matter any more.
    pub fn close(&mut self, key: &K, now: Instant, change: impl FnOnce(&mut V)) {
        if let Some(page) = self.pages.get_mut(key) {
            change(page);
            if !page.matters(now) {
                self.pages.remove(key);
            }
        }
    }

    /// Whether there is a page for `key`, or room for one among `most`. Where there seems to be none, what no
    /// longer matters goes, though not for every newcomer.
    pub fn has_room(&mut self, key: &K, most: usize, now: Instant) -> bool {
        if self.pages.len() >= most && self.full_until.is_none_or(|until| now >= until) {
            self.pages.retain(|_, page| page.matters(now));
            self.full_until = Some(now + FULL);
        }
        self.pages.len() < most || self.pages.contains_key(key)
    }
}

const NETWORK: u128 = u128::MAX << 64;
const LEAST_SWEPT: usize = 1024;
const FULL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let key = |text: &str| Key::from(text.parse::<IpAddr>().expect("an address"));
        let rows = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ];
        for (one, other, same) in rows {
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }

    struct Until(Instant);

    impl Fading for Until {
        fn matters(&self, now: Instant) -> bool {
            self.0 > now
        }
    }

    /// A memory that was full once has room again when what is in it doesn't matter any more.
    #[test]
    fn a_full_memory_does_not_stay_full() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut memory = Memory::default();
        for key in 0..10 {
            assert!(memory.has_room(&key, 10, start));
            memory.open(key, start, || Until(start + second));
        }
        assert!(!memory.has_room(&10, 10, start) && memory.has_room(&9, 10, start));
        assert!(memory.has_room(&10, 10, start + 2 * second));
    }

    #[test]
    fn what_no_longer_matters_takes_no_room() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut memory = Memory::default();
        // A thousand newcomers a second, each of whom matters for ten.
        for number in 0..1_000_000_u32 {
            let now = start + second * (number / 1000);
            memory.open(number, now, || Until(now + 10 * second));
            assert!(memory.pages.len() <= 2 * 11_000, "{}", memory.pages.len());
        }
        let now = start + 1000 * second;
        memory.open(999_999, now, || unreachable!("it matters"));
        memory.close(&999_999, now, |page| page.0 = start);
        assert!(!memory.pages.contains_key(&999_999));
    }
}
