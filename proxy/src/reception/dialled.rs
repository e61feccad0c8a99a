//! Remembers our own ends of the connections that we have dialled, so that one which is redirected back to
//! us is known for what it is.
//!
//! A rule that redirects outgoing connections and forgets to leave ours out would make us our own client,
//! and each connection dial the next one. NAT hides that from the one who dials, who sees the address it
//! wanted; but it leaves the source as it is, and that is what the one who accepts can look up.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;

/// Our own ends of open connections, those of all workers.
#[derive(Debug, Clone, Default)]
pub struct Dialled(Arc<Mutex<HashSet<SocketAddr>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct OwnEnd {
    dialled: Dialled,
    /// None where the connection is gone already.
    address: Option<SocketAddr>,
}

impl Dialled {
    /// Remembers our end of `stream`.
    pub fn enter(&self, stream: &TcpStream) -> OwnEnd {
        let address = stream.local_addr().ok();
        self.lock().extend(address);
        OwnEnd { dialled: self.clone(), address }
    }

    /// Whether a client at `address` is this process itself.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.lock().contains(&address)
    }

    /// A thread that panicked here has left a whole set behind.
    fn lock(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.dialled.lock().remove(&address);
        }
    }
}
