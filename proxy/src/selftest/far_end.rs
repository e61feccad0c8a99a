//! Stands where the allowed host resolves to, and remembers what arrives: the only place from which it can
//! be seen whether a tunnel carried anything.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A listener that records; it ends with the process.
#[derive(Debug, Clone)]
pub(super) struct FarEnd(Arc<(Mutex<Vec<Connection>>, Condvar)>);

/// What came of one connection.
#[derive(Debug, Default, Clone)]
struct Connection {
    arrived: Vec<u8>,
    ended: bool,
}

/// The connections that come from now on.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    far_end: &'a FarEnd,
    from: usize,
}

impl FarEnd {
    /// Listens.
    pub(super) fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let far_end = Self(Arc::default());
        let host = far_end.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let host = host.clone();
                let index = {
                    let mut connections = host.lock();
                    connections.push(Connection::default());
                    connections.len() - 1
                };
                std::thread::spawn(move || host.serve(stream, index));
            }
        });
        Ok(far_end)
    }

    /// Watches for what arrives from now on.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { far_end: self, from: self.lock().len() }
    }

    /// Records what comes. To whatever comes first it answers as a web server does that has nothing, so that
    /// a proxy which forwards requests has something to answer with, too.
    fn serve(&self, mut stream: TcpStream, index: usize) {
        let mut buffer = vec![0; 64 * 1024];
        let mut answered = false;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if let Some(connection) = self.lock().get_mut(index) {
                connection.arrived.extend_from_slice(&buffer[..count]);
            }
            self.0.1.notify_all();
            if !std::mem::replace(&mut answered, true) {
                let _ = stream.write_all(ANSWER);
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        if let Some(connection) = self.lock().get_mut(index) {
            connection.ended = true;
        }
        self.0.1.notify_all();
    }

    /// A thread that panicked has pushed whole connections only.
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch<'_> {
    /// Everything that has arrived so far.
    pub(super) fn arrived(&self) -> Vec<u8> {
        let connections = self.far_end.lock();
        connections[self.from..]
            .iter()
            .flat_map(|connection| &connection.arrived)
            .copied()
            .collect()
    }

    /// Everything that arrives until all connections have ended, or `limit` is over.
    pub(super) fn settled(&self, limit: Duration) -> Vec<u8> {
        let open = |connections: &Vec<Connection>| {
            connections[self.from..].iter().any(|connection| !connection.ended)
        };
        self.wait_while(limit, open);
        self.arrived()
    }

    /// Everything that arrives until it is `count` bytes, or `limit` is over.
    pub(super) fn at_least(&self, count: usize, limit: Duration) -> Vec<u8> {
        let fewer = |connections: &Vec<Connection>| {
            let arrived =
                connections[self.from..].iter().map(|connection| connection.arrived.len());
            arrived.sum::<usize>() < count
        };
        self.wait_while(limit, fewer);
        self.arrived()
    }

    fn wait_while(&self, limit: Duration, condition: impl Fn(&Vec<Connection>) -> bool) {
        let deadline = Instant::now() + limit;
        let mut connections = self.far_end.lock();
        while condition(&connections) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.far_end.0.1.wait_timeout(connections, left);
            connections = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
