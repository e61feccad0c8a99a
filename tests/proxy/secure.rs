//! A stage whose proxy speaks TLS, and a host that does.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use test_support::tls_client::{ClientAuthority, ClientCertificate, Flaw, Secured, TlsClient};
use test_support::{Authority, Identity, PATIENCE};

use crate::stage::{DATA, HOST, LOOPBACK, Stage, document, hello};

/// The stage, and those who issue certificates on it.
pub(crate) struct Secure {
    pub(crate) stage: Stage,
    pub(crate) authority: Authority,
    pub(crate) clients: ClientAuthority,
    /// Where the files of the configuration are.
    pub(crate) folder: PathBuf,
}

impl Secure {
    /// A proxy that asks nobody who they are. `top` stands before the sections, `tls` in the section of TLS,
    /// and `rest` behind it.
    pub(crate) fn open(top: &str, tls: &str, rest: &str) -> Result<Self> {
        let settings = settings(top, tls, rest);
        Self::build(|prepare| Stage::prepared(&settings, prepare))
    }

    /// A proxy that asks for certificates, and serves groups only; `build.toml` allows [`HOST`] and
    /// `deploy.toml` [`DATA`]. A client whose certificate has the serial number 7 is revoked.
    pub(crate) fn of_groups(groups: &str) -> Result<Self> {
        let settings = settings("", "client_ca = \"clients.pem\"\ncrl = [\"revoked.pem\"]", groups);
        Self::build(|prepare| Stage::of_groups(&settings, prepare))
    }

    fn build(
        open: impl FnOnce(&mut dyn FnMut(&Path, u16) -> Result<()>) -> Result<Stage>,
    ) -> Result<Self> {
        let (authority, clients) = (Authority::create()?, ClientAuthority::create("for clients")?);
        let identity = authority.issue(&[NAME])?;
        let mut folder = PathBuf::new();
        let stage = open(&mut |list, port| {
            list.parent().context("a folder")?.clone_into(&mut folder);
            let files = [
                ("tls.crt", identity.certificate_pem.clone()),
                ("tls.key", identity.key_pem.clone()),
                ("ca.pem", authority.pem().to_owned()),
                ("clients.pem", clients.pem().to_owned()),
                ("revoked.pem", clients.revocations(&[7])?),
                ("users", users(&[("ci", "secret")])?),
                ("build.toml", document(&[HOST], port)),
                ("deploy.toml", document(&[DATA], port)),
            ];
            files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))?;
            Ok(())
        })?;
        Ok(Self { stage, authority, clients, folder })
    }

    /// Puts a file in place by rename.
    pub(crate) fn replace(&self, name: &str, text: &str) -> Result<()> {
        self.stage.replace(&self.folder.join(name), text)
    }

    /// A client that trusts the proxy.
    pub(crate) fn client(&self) -> Result<TlsClient> {
        TlsClient::trusting(&self.authority)
    }

    /// The same with a certificate of these names.
    pub(crate) fn client_named(&self, names: &[&str]) -> Result<TlsClient> {
        self.client()?.showing(&self.certificate(1, names, None)?)
    }

    pub(crate) fn certificate(
        &self,
        serial: u8,
        names: &[&str],
        flaw: Option<Flaw>,
    ) -> Result<Identity> {
        self.clients.issue(ClientCertificate { serial, names, flaw })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test is the client; nothing of it is forwarded"
    )]
    pub(crate) fn socket(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.stage.proxy.listen_tls()?, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A connection of `client`.
    pub(crate) fn secured(&self, client: &TlsClient) -> Result<Secured> {
        client.connect(self.socket()?, NAME)
    }

    /// What `host` and the origin's port are together.
    pub(crate) fn authority_of(&self, host: &str) -> String {
        format!("{host}:{}", self.stage.origin.port)
    }

    /// What `client` reads after asking for `host`, and its connection. `headers` end in a line feed each.
    pub(crate) fn ask(
        &self,
        client: &TlsClient,
        host: &str,
        headers: &str,
    ) -> Result<(Secured, String)> {
        let mut secured = self.secured(client)?;
        let authority = self.authority_of(host);
        write!(secured, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n")?;
        let head = head(&mut secured)?;
        Ok((secured, head))
    }

    /// A tunnel of `client` that carries.
    pub(crate) fn tunnel(&self, client: &TlsClient, host: &str) -> Result<Secured> {
        let (mut secured, head) = self.ask(client, host, "")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("no tunnel: {head}");
        }
        echo(&mut secured, &hello(Some(host)))?;
        Ok(secured)
    }

    /// Nothing was looked up, and nothing reached the origin.
    pub(crate) fn nothing_went_out(&self) {
        assert_eq!(self.stage.dns.asked(), Vec::<String>::new());
        assert_eq!(self.stage.origin.connections(), 0);
    }
}

fn settings(top: &str, tls: &str, rest: &str) -> String {
    format!(
        "{top}\n[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n{tls}\n{rest}"
    )
}

/// A file of users with these passwords, whose hashes are of both kinds by turns, and as cheap as can be.
pub(crate) fn users(logins: &[(&str, &str)]) -> Result<String> {
    let line = |(number, (name, password)): (usize, &(&str, &str))| {
        let hash = if number % 2 == 0 {
            bcrypt::hash_with_salt(password, 4, *b"sixteen bytes ok")?.to_string()
        } else {
            let params = Params::new(8, 1, 1, None)?;
            let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            hasher.hash_password_with_salt(password.as_bytes(), b"salted salt")?.to_string()
        };
        Ok(format!("{name}:{hash}\n"))
    };
    logins.iter().enumerate().map(line).collect()
}

/// Sends something through a tunnel to an origin that echoes, and has it back.
pub(crate) fn echo(stream: &mut (impl Read + Write), bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).context("receive the echo")?;
    anyhow::ensure!(back == bytes, "the echo differs");
    Ok(())
}

/// Reads one response head, and nothing behind it.
pub(crate) fn head(stream: &mut impl Read) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}

/// Starts a web server for [`HOST`] that answers every request with `ok`, and tells its port.
pub(crate) fn web_server(authority: &Authority) -> Result<u16> {
    let Identity { certificate_der, key_der, .. } = authority.issue(&[HOST])?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate_der.into()], PrivatePkcs8KeyDer::from(key_der).into())?;
    let config = Arc::new(config);
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let port = listener.local_addr()?.port();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || -> Result<()> {
                let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
                head(&mut stream)?;
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                )?;
                stream.conn.send_close_notify();
                Ok(stream.flush()?)
            });
        }
    });
    Ok(port)
}

/// What the proxy's certificate is for.
pub(crate) const NAME: &str = "127.0.0.1";
