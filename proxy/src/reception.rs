//! Turns an accepted socket into a client's connection: who is behind the load balancer, where redirected
//! traffic meant to go, and TLS, each where it is configured.

pub mod dialled;
pub mod proxy_protocol;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::SockRef;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::client::{self, Listener, Source};
use crate::config::Config;
use crate::h2;
use crate::notice::notice;
use crate::reason::Reason;
use crate::reception::proxy_protocol::BadHeader;
use crate::reception::tls::{Acceptor, HandshakeFailure, Protocol};
use crate::wire::Wire;

/// How connections are received.
#[derive(Debug)]
pub struct Reception {
    /// The load balancers, which have to begin with a PROXY header. From nobody else one is read.
    pub balancers: Vec<IpNet>,
    /// Shakes hands where TLS is spoken.
    pub tls: Option<Acceptor>,
    /// How long it may take.
    pub time: Duration,
}

/// A connection that got no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreceived {
    /// Whose it was.
    pub source: Source,
    /// Why.
    pub reason: Reason,
    /// What exactly.
    pub detail: String,
}

impl Reception {
    /// Reads what TLS needs.
    pub fn new(config: &Config) -> Result<Self, tls::Error> {
        let tls = match config.tls.clone().map(Acceptor::new).transpose()? {
            Some((acceptor, warnings)) => {
                for warning in warnings {
                    notice(warning);
                }
                Some(acceptor)
            }
            None => None,
        };
        Ok(Self { balancers: config.balancers.clone(), tls, time: config.limits.head.time })
    }

    /// Learns who is behind the load balancer, if `source` is one.
    pub async fn recognise(
        &self,
        stream: &mut TcpStream,
        mut source: Source,
    ) -> Result<Source, Unreceived> {
        let deadline = Instant::now() + self.time;
        if self.is_balancer(&source) {
            match proxy_protocol::read(stream, deadline).await {
                Ok(address) => {
                    source.balancer = Some(source.address);
                    source.address = address;
                }
                Err(BadHeader::Closed) => {
                    return Err(unreceived(source, Reason::ClientClosed, String::new()));
                }
                Err(error) => {
                    return Err(unreceived(source, Reason::BadProxyHeader, error.to_string()));
                }
            }
        }
        Ok(source)
    }

    /// Receives a connection from `source`.
    pub async fn receive(
        &self,
        stream: TcpStream,
        mut source: Source,
    ) -> Result<(Wire, Source), Unreceived> {
        let deadline = Instant::now() + self.time;
        match (source.listener, &self.tls) {
            (Listener::Tls | Listener::H2, Some(tls)) => {
                let (mut stream, peer) = match tls.accept(stream, deadline).await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        let reason = match error {
                            HandshakeFailure::Rejected(_) => Reason::IdentityRejected,
                            HandshakeFailure::Failed(_) => Reason::ClientTlsFailed,
                        };
                        return Err(unreceived(source, reason, error.to_string()));
                    }
                };
                source.proof = peer.proof.map(Arc::new);
                if peer.protocol == Protocol::Http2 {
                    source.listener = Listener::H2;
                    // Go's net/http agrees on HTTP/2 with its proxy, and then speaks HTTP/1.1 all the same.
                    match timeout_at(deadline, stream.fill_buf()).await {
                        Ok(Ok(bytes)) if !h2::can_begin_with(bytes) => {
                            source.listener = Listener::Tls;
                        }
                        Ok(_) => {}
                        Err(_) => {
                            return Err(unreceived(source, Reason::HeadTimeout, String::new()));
                        }
                    }
                }
                Ok((Wire::Tls(Box::new(stream)), source))
            }
            (Listener::Tls | Listener::H2, None) => {
                unreachable!("a TLS listener is bound only with its settings")
            }
            (Listener::Transparent, _) => {
                source.original = original(&stream);
                Ok((Wire::Tcp(stream), source))
            }
            (Listener::Plain, _) => Ok((Wire::Tcp(stream), source)),
        }
    }

    fn is_balancer(&self, source: &Source) -> bool {
        // A redirected client's address is its own; there is no load balancer between.
        source.listener != Listener::Transparent
            && self.balancers.iter().any(|net| net.contains(&source.address.ip()))
    }
}

fn unreceived(source: Source, reason: Reason, detail: String) -> Unreceived {
    Unreceived { source, reason, detail }
}

/// Where a redirected connection meant to go: what NAT remembers (`SO_ORIGINAL_DST`, for REDIRECT), or the
/// socket's own address (for TPROXY, and for who came to us by intent).
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let remembered = socket.original_dst_v4().or_else(|_| socket.original_dst_v6());
    let remembered = remembered.ok().and_then(|address| address.as_socket());
    remembered.or_else(|| stream.local_addr().ok()).map(client::canonical)
}
