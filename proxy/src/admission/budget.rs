//! Counts what each client sends, and says when that is as much as it may be in a while. All tunnels of a
//! client, on all threads, draw on one account, so opening more of them doesn't help.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admission::memory::{Fading, Key, Memory};
use crate::client::Client;

/// How much a client may send.
///
/// The window begins with the first byte and lasts for `per`; the next one begins with the first byte after
/// that. So within any stretch of `per` a client can send at most twice as much, around the turn of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many bytes.
    pub bytes: NonZeroU64,
    /// In a window of this length.
    pub per: Duration,
}

/// The accounts of all clients.
#[derive(Debug)]
pub struct Budgets {
    /// For each group, in the order of the groups.
    limits: Vec<Option<Limit>>,
    accounts: Mutex<Memory<(usize, Key), Arc<Account>>>,
}

/// What one client of one group has sent.
#[derive(Debug)]
pub struct Account {
    limit: Limit,
    window: Mutex<Window>,
}

/// Leave to send some bytes, of which some may turn out not to be sent.
#[derive(Debug)]
#[must_use = "what is not sent must be given back"]
pub struct Grant<'a> {
    account: &'a Account,
    window_ends: Instant,
    bytes: usize,
}

#[derive(Debug)]
struct Window {
    ends: Instant,
    left: u64,
}

impl Budgets {
    /// Keeps accounts for groups with these limits.
    pub fn new(limits: Vec<Option<Limit>>) -> Self {
        Self { limits, accounts: Mutex::default() }
    }

    /// The account of `client`, if its group has a limit.
    pub fn account(&self, client: &Client) -> Option<Arc<Account>> {
        let group = client.group.index;
        let limit = self.limits.get(group).copied().flatten()?;
        let (key, now) = ((group, Key::from(client.source.address.ip())), Instant::now());
        let mut accounts = lock(&self.accounts);
        let key = if accounts.has_room(&key, ACCOUNTS, now) { key } else { (group, Key::OTHERS) };
        Some(Arc::clone(accounts.open(key, now, || Arc::new(Account::new(limit, now)))))
    }
}

impl Account {
    fn new(limit: Limit, now: Instant) -> Self {
        // A window that is over; the first byte begins one.
        Self { limit, window: Mutex::new(Window { ends: now, left: limit.bytes.get() }) }
    }

    /// How long it takes until more may be sent, if nothing may be sent now.
    pub fn spent(&self, now: Instant) -> Option<Duration> {
        let window = lock(&self.window);
        (window.left == 0 && now < window.ends).then(|| window.ends - now)
    }

    /// Leave to send up to `bytes` now, or none.
    pub fn take(&self, bytes: usize, now: Instant) -> Option<Grant<'_>> {
        let mut window = lock(&self.window);
        if now >= window.ends {
            *window = Window { ends: now + self.limit.per, left: self.limit.bytes.get() };
        }
        let bytes = bytes.min(usize::try_from(window.left).unwrap_or(usize::MAX));
        window.left -= bytes as u64;
        (bytes > 0).then_some(Grant { account: self, window_ends: window.ends, bytes })
    }
}

impl Grant<'_> {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back what was not `sent`.
    pub fn settle(self, sent: usize) {
        let unsent = self.bytes - sent;
        if unsent > 0 {
            let mut window = lock(&self.account.window);
            // What a later window has was never taken from it.
            if window.ends == self.window_ends {
                window.left += unsent as u64;
            }
        }
    }
}

impl Fading for Arc<Account> {
    fn matters(&self, now: Instant) -> bool {
        // A tunnel that has it must share it with those to come.
        Self::strong_count(self) > 1 || now < lock(&self.window).ends
    }
}

/// Whoever panicked with the lock has changed everything or nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More clients than this, in the same windows, share an account.
const ACCOUNTS: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn limit(bytes: u64) -> Limit {
        Limit { bytes: NonZeroU64::new(bytes).expect("not zero"), per: HOUR }
    }

    fn sent(account: &Account, bytes: usize, now: Instant) -> usize {
        account.take(bytes, now).map_or(0, |grant| {
            let bytes = grant.bytes();
            grant.settle(bytes);
            bytes
        })
    }

    #[test]
    fn an_account_gives_what_it_has_and_has_it_again_when_the_window_has_passed() {
        let start = Instant::now();
        let account = Account::new(limit(100), start);
        assert_eq!(account.spent(start), None);
        assert_eq!([60, 60, 60].map(|bytes| sent(&account, bytes, start)), [60, 40, 0]);
        assert_eq!(account.spent(start + HOUR / 4), Some(HOUR * 3 / 4));
        assert_eq!(sent(&account, 1, start + HOUR / 4), 0);
        assert_eq!(account.spent(start + HOUR), None);
        assert_eq!(sent(&account, 1000, start + HOUR), 100);
    }

    #[test]
    fn what_was_not_sent_is_given_back_to_its_own_window() {
        let start = Instant::now();
        let account = Account::new(limit(100), start);
        account.take(100, start).expect("a grant").settle(30);
        assert_eq!(sent(&account, 100, start), 70);
        let late = Account::new(limit(100), start);
        let grant = late.take(80, start).expect("a grant");
        assert_eq!(sent(&late, 50, start + HOUR), 50);
        grant.settle(0);
        assert_eq!(sent(&late, 100, start + HOUR), 50);
    }

    #[test]
    fn an_account_belongs_to_one_client_of_a_group_that_has_a_limit() {
        let budgets = Budgets::new(vec![Some(limit(5)), None]);
        let client = |address: &str, index| {
            let mut client = Client::anyone(address.parse().expect("an address"));
            client.group.index = index;
            budgets.account(&client)
        };
        let (one, same) = (client("10.0.0.1:1", 0).expect("one"), client("10.0.0.1:2", 0));
        assert!(Arc::ptr_eq(&one, &same.expect("the same")));
        assert!(!Arc::ptr_eq(&one, &client("10.0.0.2:1", 0).expect("another")));
        assert!(client("10.0.0.1:1", 1).is_none());
    }
}
