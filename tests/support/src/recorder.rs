//! A host that takes whatever it is sent and counts it.
//!
//! It speaks TLS and answers 200, so that data which gets this far is also accepted: a test that
//! counts nothing here has seen it stopped on the way, not by an unwilling receiver.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::PATIENCE;
use crate::namespace::Namespace;
use crate::network::Network;

/// A running recorder.
#[derive(Debug)]
pub struct Recorder {
    world: Namespace,
    sockets: Vec<SocketAddr>,
    ledger: Ledger,
}

/// What has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many TCP connections.
    pub connections: usize,
    /// How many bytes on them, TLS and all.
    pub bytes: usize,
    /// How many bytes inside TLS.
    pub data: usize,
}

impl Recorder {
    /// Listens as `host` on `address`, port 443 with TLS and port 80 for whoever tries without.
    pub fn start(network: &Network, host: &str, address: &str) -> Result<Self> {
        let address: IpAddr = address.parse()?;
        let identity = network.authority.issue(&[host])?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(identity.certificate_der)],
                PrivatePkcs8KeyDer::from(identity.key_der).into(),
            )?;
        let config = Arc::new(config);
        let sockets = [443, 80].map(|port| SocketAddr::new(address, port)).to_vec();
        let ledger = Ledger::default();
        for &socket in &sockets {
            let listener = network.world.enter(|| TcpListener::bind(socket))?;
            let listener = listener.with_context(|| format!("listen on {socket}"))?;
            let (config, ledger) = (config.clone(), ledger.clone());
            thread::spawn(move || accept(&listener, &config, &ledger));
        }
        Ok(Self { world: network.world.clone(), sockets, ledger })
    }

    /// What has arrived until now.
    ///
    /// "Nothing" is only true once everything has been looked at. So this connects as the last in
    /// each line, waits until it is taken, and then until all that were before it have closed.
    pub fn received(&self) -> Result<Received> {
        let deadline = Instant::now() + PATIENCE;
        for &socket in &self.sockets {
            let ours = self.ledger.lock().ours;
            let connection = self.world.enter(|| connect(socket))??;
            self.ledger.wait(deadline, |entries| entries.ours > ours)?;
            drop(connection);
        }
        self.ledger.wait(deadline, |entries| entries.open == 0)?;
        Ok(self.ledger.lock().received)
    }
}

#[expect(clippy::disallowed_methods, reason = "a question to ourselves, inside a namespace")]
fn connect(socket: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect_timeout(&socket, PATIENCE).with_context(|| format!("connect to {socket}"))
}

/// Takes connections for as long as the process lives; the namespace goes first.
fn accept(listener: &TcpListener, config: &Arc<ServerConfig>, ledger: &Ledger) {
    while let Ok((stream, peer)) = listener.accept() {
        let ours = listener.local_addr().is_ok_and(|own| own.ip() == peer.ip());
        if ours {
            ledger.write(|entries| entries.ours += 1);
            continue;
        }
        ledger.write(|entries| {
            entries.open += 1;
            entries.received.connections += 1;
        });
        let (config, ledger) = (config.clone(), ledger.clone());
        thread::spawn(move || {
            // What goes wrong on a connection is the sender's concern; what has arrived is counted.
            let counted = Counted { stream, ledger: ledger.clone() };
            let _ = converse(counted, &config, &ledger);
            ledger.write(|entries| entries.open -= 1);
        });
    }
}

fn converse(counted: Counted, config: &Arc<ServerConfig>, ledger: &Ledger) -> Result<()> {
    counted.stream.set_read_timeout(Some(PATIENCE))?;
    let mut tls = StreamOwned::new(ServerConnection::new(config.clone())?, counted);
    let mut buffer = vec![0; 16 * 1024];
    let mut answered = false;
    while let Ok(count @ 1..) = tls.read(&mut buffer) {
        ledger.write(|entries| entries.received.data += count);
        if !answered {
            answered = true;
            tls.write_all(
                b"HTTP/1.1 200 Thanks\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            )?;
            tls.flush()?;
        }
    }
    // Not TLS, or no longer: count the rest for what it is.
    io::copy(&mut tls.sock, &mut io::sink())?;
    Ok(())
}

/// A connection whose incoming bytes are counted.
struct Counted {
    stream: TcpStream,
    ledger: Ledger,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.ledger.write(|entries| entries.received.bytes += count);
        Ok(count)
    }
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[derive(Clone, Debug, Default)]
struct Ledger(Arc<(Mutex<Entries>, Condvar)>);

#[derive(Debug, Default)]
struct Entries {
    received: Received,
    open: usize,
    ours: usize,
}

impl Ledger {
    fn write(&self, entry: impl FnOnce(&mut Entries)) {
        entry(&mut self.lock());
        self.0.1.notify_all();
    }

    fn wait(&self, deadline: Instant, until: impl Fn(&Entries) -> bool) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.1.wait_timeout_while(self.lock(), left, |entries| !until(entries));
        let (entries, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(until(&entries), "the recorder has not come to rest: {entries:?}");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
