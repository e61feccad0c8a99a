//! What a client over TCP sees of the proxy's TLS and PROXY headers: the modules alone, without the program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};
use ringfence::reception::proxy_protocol::{self, Progress};
use ringfence::reception::tls::{Acceptor, Clients, HandshakeFailure, Peer, Settings};
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use test_support::proxy_header::{BinaryHeader, line};
use test_support::tls_client::{ClientAuthority, ClientCertificate, Flaw, TlsClient, alert};
use test_support::{Authority, Identity, PATIENCE};
use tokio::io::AsyncWriteExt;
use tokio::runtime;
use tokio::time::Instant;

/// An alert could be lost to the reset that a socket closed with unread input sends. This client has sent
/// its request by the time the proxy looks at its certificate, and must see the alert all the same.
#[test]
fn a_refused_client_reads_the_alert_even_if_it_has_sent_more() -> Result<()> {
    use rustls::AlertDescription::{
        CertificateExpired, CertificateRevoked, UnknownCA, UnsupportedCertificate,
    };
    let stage = Stage::open()?;
    let issue = |serial, flaw| {
        stage.clients.issue(ClientCertificate { serial, names: &["dns:build.example"], flaw })
    };
    let strangers = ClientAuthority::create("of others")?;
    let stranger = ClientCertificate { serial: 1, names: &["dns:build.example"], flaw: None };
    let rows = [
        (issue(1, Some(Flaw::Expired))?, CertificateExpired, "it has expired"),
        (issue(7, None)?, CertificateRevoked, "it has been revoked"),
        (issue(1, Some(Flaw::ForServers))?, UnsupportedCertificate, "it is not meant for clients"),
        (
            strangers.issue(stranger)?,
            UnknownCA,
            "none of the authorities trusted for clients has issued it",
        ),
    ];
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&stage.proxy, &[version])?;
        for (identity, expected, text) in &rows {
            let (proxy, error) = stage.meet(&client.clone().showing(identity)?)?;
            assert_eq!(proxy, Err(HandshakeFailure::Rejected((*text).to_owned())));
            let error = error.expect_err(text);
            assert_eq!(alert(&*error), Some(*expected), "{error:#}");
        }
        let accepted = issue(1, None)?;
        for (client, names) in [
            (client.clone().showing(&accepted)?, Some("dns:build.example".to_owned())),
            (client, None),
        ] {
            let (proxy, answer) = stage.meet(&client)?;
            assert_eq!(
                proxy.map(|peer| peer
                    .proof
                    .as_ref()
                    .and_then(|proof| proof.names())
                    .map(ToString::to_string)),
                Ok(names)
            );
            assert_eq!(answer?, b'!');
        }
    }
    Ok(())
}

#[test]
fn headers_written_by_the_book_are_read() -> Result<()> {
    let rows = [("192.0.2.1:5", "198.51.100.1:443"), ("[2001:db8::1]:5", "[2001:db8::2]:443")];
    for (source, destination) in rows {
        let (source, destination): (SocketAddr, SocketAddr) =
            (source.parse()?, destination.parse()?);
        let mut binary = BinaryHeader::new(source, destination);
        let bare = binary.bytes();
        binary.values.push((0xea, b"\x01vpce-1".to_vec()));
        for header in [line(source, destination), bare, binary.bytes(), binary.sealed()] {
            let whole = Progress::Done { source, length: header.len() };
            assert_eq!(proxy_protocol::parse(&header), Ok(whole), "{}", header.escape_ascii());
        }
    }
    Ok(())
}

/// A listener's files, with serial number 7 revoked.
struct Stage {
    proxy: Authority,
    clients: ClientAuthority,
    acceptor: Acceptor,
    _files: TempDir,
}

impl Stage {
    fn open() -> Result<Self> {
        let files = TempDir::new()?;
        let (proxy, clients) = (Authority::create()?, ClientAuthority::create("for clients")?);
        let Identity { certificate_pem, key_pem, .. } = proxy.issue(&[NAME])?;
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).map(|()| path)
        };
        let settings = Settings {
            certificate: write("proxy.pem", &certificate_pem)?,
            key: write("proxy.key", &key_pem)?,
            clients: Some(Clients {
                authorities: write("clients.pem", clients.pem())?,
                revocations: vec![write("revoked.pem", &clients.revocations(&[7])?)?],
            }),
            http2: false,
        };
        let (acceptor, _) = Acceptor::new(settings)?;
        Ok(Self { proxy, clients, acceptor, _files: files })
    }

    /// What the proxy makes of a client, and what this client reads after it has sent a request at once.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is the client; nothing of it is forwarded"
    )]
    fn meet(&self, client: &TlsClient) -> Result<(Result<Peer, HandshakeFailure>, Result<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::scope(|scope| {
            let proxy = scope.spawn(|| self.receive(&listener));
            let converse = || {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                let mut secured = client.connect(stream, NAME)?;
                let mut byte = [0];
                secured.write_all(&[b'x'; 10_000])?;
                // The proxy has answered, and the client hasn't noticed yet.
                secured.sock.peek(&mut byte)?;
                secured.write_all(&[b'x'; 10_000])?;
                secured.read_exact(&mut byte)?;
                Ok(byte[0])
            };
            let answer = converse();
            Ok((proxy.join().expect("no panic")?, answer))
        })
    }

    /// The proxy's side of one connection.
    fn receive(&self, listener: &TcpListener) -> Result<Result<Peer, HandshakeFailure>> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            match self.acceptor.accept(stream, Instant::now() + PATIENCE).await {
                Err(failure) => Ok(Err(failure)),
                Ok((mut stream, peer)) => {
                    stream.write_all(b"!").await.context("the client reads")?;
                    stream.shutdown().await.context("the client reads")?;
                    // Until the client is gone, so that its answer isn't lost to a reset.
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
                    Ok(Ok(peer))
                }
            }
        })
    }
}

const NAME: &str = "proxy.example";
