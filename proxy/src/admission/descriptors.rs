//! Keeps house with file descriptors: how many there may be, how many connections they carry, and some in
//! reserve to answer clients when there are no more.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::admission::HEARINGS;

/// Raises the soft limit as far as it goes; the usual one is 1024.
pub fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised it stays, and fewer connections come in.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How many there may be; none means that there is no limit.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many there are. Linux tells since 6.2 without having them listed (`proc_pid_fd(5)`).
pub fn open() -> u64 {
    match fs::metadata(TABLE).map(|table| table.len()) {
        Ok(count @ 1..) => count,
        _ => fs::read_dir(TABLE).map_or(0, |table| table.count() as u64),
    }
}

/// How many of the `wanted` connections the limit can carry: each may become a tunnel, which takes two.
pub fn affordable(wanted: NonZeroUsize, workers: NonZeroUsize) -> NonZeroUsize {
    let Some(limit) = limit() else { return wanted };
    let ours = OURS + workers.get() * OF_A_WORKER;
    let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(ours);
    wanted.min(NonZeroUsize::new(left / 2).unwrap_or(NonZeroUsize::MIN))
}

/// Whether descriptors have run out, in this process or in the whole system.
pub fn exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// One worker's descriptors for hard times. To give one away means to close it, so that the kernel has one
/// for whoever is at the head of its queue.
#[derive(Debug, Default)]
pub struct Reserve(RefCell<Vec<File>>);

impl Reserve {
    /// Fills it up, as far as the limit allows.
    pub fn fill(&self) {
        let mut spare = self.0.borrow_mut();
        while spare.len() < SPARE {
            match File::open("/dev/null") {
                Ok(file) => spare.push(file),
                Err(_) => break,
            }
        }
    }

    /// Makes room for one descriptor, if there is one to give.
    pub fn give(&self) -> bool {
        self.0.borrow_mut().pop().is_some()
    }
}

const TABLE: &str = "/proc/self/fd";
/// For standard streams, signals, the watch of the lists, the admin port and its clients, and clients that
/// are told why they are refused.
const OURS: usize = 48 + HEARINGS;
/// For an event loop, its listeners, its reserve, and lookups under way.
const OF_A_WORKER: usize = 24 + SPARE;
const SPARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted() {
        let before = open();
        let files: Vec<_> = (0..100).map(|_| File::open("/dev/null").expect("a file")).collect();
        let during = open();
        // Other tests in this process open and close files, too.
        assert!(during >= before + 50 && during <= before + 150, "{before} {during}");
        drop(files);
    }

    #[test]
    fn a_reserve_gives_what_it_has() {
        let reserve = Reserve::default();
        assert!(!reserve.give());
        reserve.fill();
        assert_eq!((0..2 * SPARE).filter(|_| reserve.give()).count(), SPARE);
    }
}
