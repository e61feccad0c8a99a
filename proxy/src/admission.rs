//! Decides whether a connection may come in at all: whether there is room for it, and whether its client has
//! come too often or too fast. What it then asks for is the policy's.
//!
//! Room comes first, before a byte is read. A client's own limits come as soon as it is known who the client
//! is: behind a load balancer after the PROXY header, so that the load balancer never counts as one client.

pub mod budget;
pub mod descriptors;
pub mod memory;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::admission::memory::{Fading, Key, Memory};
use crate::reason::Reason;
use crate::refusal::RETRY_AFTER;

/// How many connections come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open at once, of all clients.
    pub connections: NonZeroUsize,
    /// How long one waits for another to end, when that many are open.
    pub queue: Duration,
    /// Open at once, of one client.
    pub connections_per_client: NonZeroUsize,
    /// New ones of one client, a second.
    pub rate_per_client: NonZeroU32,
    /// New ones of one client at once, after it has been quiet.
    pub burst_per_client: NonZeroU32,
}

/// Why a connection does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// When it may be worth another try.
    pub retry_after: Duration,
}

/// Lets connections in, and counts those that are.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    slots: Arc<Semaphore>,
    hearings: Arc<Semaphore>,
    clients: Mutex<Memory<Key, Standing>>,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// Room for one refused connection to be told so, until it is dropped.
#[derive(Debug)]
pub struct Hearing {
    _permit: OwnedSemaphorePermit,
}

/// Room for one connection, or one tunnel within one, and its client's leave to have it, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _slot: Slot,
    _pass: Pass,
}

/// What a connection has while it is served, and while its client is told how that ended.
#[derive(Debug)]
pub enum Room {
    /// As one that was let in.
    Place(Place),
    /// Only to be told.
    Hearing(Hearing),
}

/// A client's leave to have one more.
#[derive(Debug)]
struct Pass {
    admission: Arc<Admission>,
    client: Key,
}

/// What one listener knows of waiting for slots.
#[derive(Debug, Default)]
pub struct Queue {
    /// When someone last waited in vain.
    in_vain: Option<Instant>,
}

impl Admission {
    /// Lets in what `limits` allow.
    pub fn new(limits: Limits) -> Arc<Self> {
        let slots = limits.connections.get().min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            limits,
            slots: Arc::new(Semaphore::new(slots)),
            hearings: Arc::new(Semaphore::new(HEARINGS)),
            clients: Mutex::default(),
        })
    }

    /// How many connections may be open at once.
    pub fn connections(&self) -> NonZeroUsize {
        self.limits.connections
    }

    /// Finds room for one connection. While there is none it waits, and whoever comes next waits in the
    /// kernel's queue; but when no connection ends for as long as `limits.queue`, that and the following ones
    /// are refused for as long again, so that clients don't hang.
    pub async fn slot(&self, queue: &mut Queue) -> Result<Slot, Refused> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        let waited_enough = queue.in_vain.is_some_and(|at| at.elapsed() < self.limits.queue);
        let wait = if waited_enough { Duration::ZERO } else { self.limits.queue };
        if let Ok(Ok(permit)) = timeout(wait, slot).await {
            queue.in_vain = None;
            return Ok(Slot { _permit: permit });
        }
        if !waited_enough {
            queue.in_vain = Some(Instant::now());
        }
        Err(Refused::from(Reason::Capacity))
    }

    /// Gives `slot` to a connection of the client at `address`, if it may have one more.
    pub fn admit(self: &Arc<Self>, slot: Slot, address: IpAddr) -> Result<Place, Refused> {
        Ok(Place { _slot: slot, _pass: self.pass(address, Instant::now())? })
    }

    /// Lets in one more tunnel on a connection that the client at `address` has already, if there is room.
    pub fn admit_now(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refused> {
        let permit = Arc::clone(&self.slots).try_acquire_owned();
        let permit = permit.map_err(|_| Refused::from(Reason::Capacity))?;
        self.admit(Slot { _permit: permit }, address)
    }

    fn pass(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Pass, Refused> {
        let client = Key::from(address);
        let mut clients = self.clients();
        let standing = clients.open(client, now, || Standing { open: 0, rested_at: now });
        standing.enter(now, &self.limits)?;
        Ok(Pass { admission: Arc::clone(self), client })
    }

    /// Finds room to tell a client that it is refused. Without any it is cut off: telling takes a while, and
    /// those who are refused must not fill the proxy.
    pub fn hearing(&self) -> Option<Hearing> {
        let permit = Arc::clone(&self.hearings).try_acquire_owned().ok()?;
        Some(Hearing { _permit: permit })
    }

    /// Makes way for others as soon as a connection is of no more use, if its client can be told elsewhere.
    pub fn make_way(&self, room: Room) -> Room {
        match (room, self.hearing()) {
            (Room::Place(_), Some(hearing)) => Room::Hearing(hearing),
            (room, _) => room,
        }
    }

    fn clients(&self) -> MutexGuard<'_, Memory<Key, Standing>> {
        // Nothing in there can be half done.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut clients = self.admission.clients();
        clients.close(&self.client, Instant::now(), |standing| standing.open -= 1);
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: RETRY_AFTER }
    }
}

/// One client's connections. The rate is a token bucket, kept as the time at which it will be full again.
#[derive(Debug)]
struct Standing {
    open: usize,
    rested_at: Instant,
}

impl Standing {
    fn enter(&mut self, now: Instant, limits: &Limits) -> Result<(), Refused> {
        if self.open >= limits.connections_per_client.get() {
            return Err(Refused::from(Reason::TooManyConnections));
        }
        let each = Duration::from_secs(1) / limits.rate_per_client.get();
        let rested_at = self.rested_at.max(now) + each;
        let too_early = (rested_at - now).saturating_sub(each * limits.burst_per_client.get());
        if !too_early.is_zero() {
            return Err(Refused { reason: Reason::RateLimited, retry_after: too_early });
        }
        self.open += 1;
        self.rested_at = rested_at;
        Ok(())
    }
}

impl Fading for Standing {
    fn matters(&self, now: Instant) -> bool {
        self.open > 0 || self.rested_at > now
    }
}

/// Refused connections that may linger at once, to read why, and hold up nobody.
pub const HEARINGS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(per_client: usize, rate: u32, burst: u32) -> Arc<Admission> {
        Admission::new(Limits {
            connections: NonZeroUsize::new(2).expect("not zero"),
            queue: Duration::from_secs(1),
            connections_per_client: NonZeroUsize::new(per_client).expect("not zero"),
            rate_per_client: NonZeroU32::new(rate).expect("not zero"),
            burst_per_client: NonZeroU32::new(burst).expect("not zero"),
        })
    }

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_client_has_so_many_and_no_more() {
        let admission = admission(2, 1000, 1000);
        let now = Instant::now();
        let first = admission.pass(ONE, now).expect("the first");
        let _second = admission.pass(ONE, now).expect("the second");
        let refused = admission.pass(ONE, now).expect_err("the third");
        assert_eq!(refused.reason, Reason::TooManyConnections);
        let _another = admission.pass(OTHER, now).expect("another client's");
        drop(first);
        admission.pass(ONE, now).expect("the place that came free");
    }

    #[test]
    fn a_client_comes_so_fast_and_no_faster() {
        let (admission, start) = (admission(1000, 10, 3), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let rows = [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(100)),
            (40, Err(60)),
            (100, Ok(())),
            (100, Err(100)),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Err(100)),
        ];
        for (time, expected) in rows {
            let admitted = admission.pass(ONE, at(time)).map(drop);
            let expected = expected.map_err(|wait| Refused {
                reason: Reason::RateLimited,
                retry_after: Duration::from_millis(wait),
            });
            assert_eq!(admitted, expected, "at {time} ms");
        }
        assert!(admission.pass(OTHER, at(0)).is_ok());
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_and_then_is_told() {
        let (admission, mut queue) = (admission(9, 9, 9), Queue::default());
        let first = admission.slot(&mut queue).await.expect("the first");
        let _second = admission.slot(&mut queue).await.expect("the second");
        let wait = admission.limits.queue;
        let start = Instant::now();
        let refused = admission.slot(&mut queue).await.expect_err("the third");
        assert_eq!(refused.reason, Reason::Capacity);
        assert!(start.elapsed() >= wait);
        // The next one hears it at once.
        admission.slot(&mut queue).await.expect_err("the fourth");
        assert!(start.elapsed() < 2 * wait);
        drop(first);
        admission.slot(&mut queue).await.expect("the slot that came free");
        let _place = admission.admit_now(ONE).expect("a place");
        assert_eq!(admission.admit_now(ONE).expect_err("no room").reason, Reason::Capacity);
    }
}
