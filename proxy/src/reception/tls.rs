//! Decides whether a client's TLS handshake with the proxy itself succeeds, and which names its certificate
//! proves. Which list applies to a name is the caller's decision, and so is what becomes of a client
//! without a certificate: it is let in here.
//!
//! This is the way to the proxy, `https://proxy:port`. The TLS inside a tunnel is never touched.

mod material;
mod names;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::{CertificateError, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::material::Digest;
pub use self::material::{Clients, Error, Loaded, Settings, Warning, load};
pub use self::names::{BadName, BadNames, Names, SanName};

/// Shakes hands with clients, for all workers of a process.
#[derive(Debug)]
pub struct Acceptor {
    settings: Settings,
    config: ArcSwap<ServerConfig>,
    /// What the files had in them when they were read last, as a digest: one of them is the key.
    contents: watch::Sender<Option<Digest>>,
    /// Counts what has been read, so that it can be told whether a handshake would go the same way now.
    version: watch::Sender<u64>,
}

impl Acceptor {
    /// Reads the files for the first time. This blocks.
    pub fn new(settings: Settings) -> Result<(Self, Vec<Warning>), Error> {
        let contents = watch::Sender::new(settings.digest());
        let Loaded { config, warnings } = load(&settings)?;
        let (config, version) = (ArcSwap::from_pointee(config), watch::Sender::new(0));
        Ok((Self { settings, config, contents, version }, warnings))
    }

    /// What it was made from; these are the files to watch.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads the files again if they have changed, for new connections. If anything is wrong with them, what
    /// was read before stays. This blocks.
    pub fn reload(&self) -> Result<Vec<Warning>, Error> {
        // A change behind this is one more change, for which there will be one more reload.
        let contents = self.settings.digest();
        if contents.is_some() && *self.contents.borrow() == contents {
            return Ok(Vec::new());
        }
        let Loaded { config, warnings } = load(&self.settings)?;
        self.config.store(Arc::new(config));
        self.contents.send_replace(contents);
        self.version.send_modify(|version| *version += 1);
        Ok(warnings)
    }

    /// Shakes hands with one client until `deadline`.
    ///
    /// A client that is refused is sent an alert that says why, and is given a moment to read it.
    pub async fn accept<S>(
        &self,
        stream: S,
        deadline: Instant,
    ) -> Result<(TlsStream<S>, Peer), HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Before what it stands for: a change between the two makes a proof old, never one too young.
        let now = self.version.subscribe();
        let at = *now.borrow();
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let handshake = acceptor.accept(stream).into_fallible();
        let mut stream = match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, mut stream))) => {
                take_leave(&mut stream).await;
                return Err(classify(&error));
            }
            Err(_) => return Err(HandshakeFailure::Failed("it was not done in time".into())),
        };
        match Names::shown(stream.get_ref().1) {
            Ok(names) => {
                let proof = names.map(|names| Proof { names, at, now });
                let protocol = Protocol::of(stream.get_ref().1);
                Ok((stream, Peer { proof, protocol }))
            }
            Err(error) => {
                take_leave(&mut stream).await;
                Err(HandshakeFailure::Rejected(error.to_string()))
            }
        }
    }
}

/// Says that nothing will follow, and throws away what still comes, within bounds: a socket closed with
/// unread input sends a reset, which may overtake the alert.
async fn take_leave(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MAX_REST), &mut tokio::io::sink()).await
    };
    // The client may be gone or stuck; there is no one left to tell.
    let _ = timeout(LEAVE, rest).await;
}

/// Why there is no TLS with a client. The text completes "the handshake failed: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailure {
    /// It showed a certificate that is not accepted.
    #[error("the client's certificate is not accepted: {0}")]
    Rejected(String),
    /// Anything else; the client may not accept ours.
    #[error("{0}")]
    Failed(String),
}

/// Tells a rejected certificate from other failures of a handshake.
pub fn classify(error: &io::Error) -> HandshakeFailure {
    use rustls::Error::{
        AlertReceived, InvalidCertRevocationList, InvalidCertificate, InvalidMessage,
    };
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = match cause {
        Some(InvalidCertificate(error)) => return HandshakeFailure::Rejected(explain(error)),
        Some(InvalidCertRevocationList(error)) => {
            return HandshakeFailure::Rejected(format!(
                "its revocation list can't be used: {error:?}"
            ));
        }
        Some(AlertReceived(alert)) => {
            format!(
                "the client ended it with the alert {alert:?}; it may not trust the proxy's certificate"
            )
        }
        Some(InvalidMessage(_)) => "the client does not speak TLS, or not correctly".into(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client closed the connection; it may not trust the proxy's certificate".into()
        }
        None => error.to_string(),
    };
    HandshakeFailure::Failed(text)
}

/// What is wrong with a client's certificate, for the log.
fn explain(error: &CertificateError) -> String {
    use CertificateError as E;
    let text = match error {
        E::Expired | E::ExpiredContext { .. } => "it has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
        E::Revoked => "it has been revoked",
        E::UnknownRevocationStatus => {
            "no revocation list covers it, or covers an authority between it and the ones trusted"
        }
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "its revocation list is past its next update"
        }
        E::UnknownIssuer => "none of the authorities trusted for clients has issued it",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not meant for clients",
        E::BadSignature => "a signature is wrong; the client may not have its key",
        E::BadEncoding => "it is malformed",
        E::UnhandledCriticalExtension => "it has a critical extension that is not understood",
        // The library may know more reasons one day; each is a rejection.
        other => return other.to_string(),
    };
    text.to_owned()
}

/// Who is at the other end of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    /// What its certificate proves; `None` if it showed no certificate.
    pub proof: Option<Proof>,
    /// What it is going to speak.
    pub protocol: Protocol,
}

/// The names that a certificate has proved, for as long as the files are those of its handshake: by others
/// the certificate might be revoked.
#[derive(Debug, Clone)]
pub struct Proof {
    names: Names,
    at: u64,
    now: watch::Receiver<u64>,
}

impl Proof {
    /// The names, unless the certificate would have to be shown again.
    pub fn names(&self) -> Option<&Names> {
        (*self.now.borrow() == self.at).then_some(&self.names)
    }

    /// Waits until the certificate would have to be shown again.
    pub async fn outdated(&self) {
        // Without a sender there is no listener any more.
        let _ = self.now.clone().wait_for(|now| *now != self.at).await;
    }
}

impl PartialEq for Proof {
    fn eq(&self, other: &Self) -> bool {
        (&self.names, self.at) == (&other.names, other.at)
    }
}

impl Eq for Proof {}

/// What is spoken inside TLS (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, and whatever a client speaks that doesn't say.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    fn of(connection: &ServerConnection) -> Self {
        match connection.alpn_protocol() {
            Some(b"h2") => Self::Http2,
            _ => Self::Http1,
        }
    }
}

#[cfg(test)]
impl FromIterator<SanName> for Proof {
    /// One that lasts.
    fn from_iter<I: IntoIterator<Item = SanName>>(names: I) -> Self {
        Self { names: Names(names.into_iter().collect()), at: 0, now: watch::channel(0).1 }
    }
}

/// Long enough for a client to read an alert, short enough to hold a socket for nobody.
const LEAVE: Duration = Duration::from_secs(1);
/// More than a client sends before it knows that it is refused.
const MAX_REST: u64 = 64 << 10;

#[cfg(test)]
mod tests;
