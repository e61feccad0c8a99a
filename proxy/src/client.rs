//! Decides who a client is. Today that is its address; the policy sees only a [`Client`], so other ways
//! of telling clients apart change nothing beyond this module.

use std::net::SocketAddr;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address the connection came from.
    pub peer: SocketAddr,
}

/// Identifies the client behind a connection.
pub fn identify(peer: SocketAddr) -> Client {
    // A v4 client of a v6 listener is the same client as on a v4 listener.
    Client { peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()) }
}
