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

/// Open connections of ours, those of all workers: our own end, and the address we wanted. The end alone would
/// not do, for a client on this machine may have the same towards somebody else.
#[derive(Debug, Clone, Default)]
pub struct Dialled(Arc<Mutex<HashSet<Ends>>>);

type Ends = (SocketAddr, SocketAddr);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct OwnEnd {
    dialled: Dialled,
    /// None where the connection is gone already.
    ends: Option<Ends>,
}

impl Dialled {
    /// Remembers the ends of `stream`.
    pub fn enter(&self, stream: &TcpStream) -> OwnEnd {
        let ends = stream.local_addr().ok().zip(stream.peer_addr().ok());
        self.lock().extend(ends.map(canonical));
        OwnEnd { dialled: self.clone(), ends }
    }

    /// Whether a client at `source` that wanted `original` is this process itself.
    pub fn contains(&self, source: SocketAddr, original: SocketAddr) -> bool {
        self.lock().contains(&canonical((source, original)))
    }

    /// A thread that panicked here has left a whole set behind.
    fn lock(&self) -> MutexGuard<'_, HashSet<Ends>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        if let Some(ends) = self.ends {
            self.dialled.lock().remove(&canonical(ends));
        }
    }
}

/// As either family's socket would have it.
fn canonical((own, wanted): Ends) -> Ends {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    (canonical(own), canonical(wanted))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    /// Many have one of the two in common, on the same machine even the client's own.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test dials its own listener")]
    async fn a_connection_is_known_by_both_of_its_ends() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let host = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(host).await.expect("a connection");
        let own = stream.local_addr().expect("an address");
        let dialled = Dialled::default();
        let end = dialled.enter(&stream);
        let other = SocketAddr::new(host.ip(), own.port().wrapping_add(1).max(1));
        assert!(dialled.contains(own, host));
        assert!(dialled.contains(
            format!("[::ffff:{}]:{}", own.ip(), own.port()).parse().expect("an address"),
            host
        ));
        assert!(!dialled.contains(own, other) && !dialled.contains(other, host));
        drop(end);
        assert!(!dialled.contains(own, host));
    }
}
