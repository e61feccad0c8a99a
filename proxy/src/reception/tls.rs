//! Decides whether a client's TLS handshake with the proxy itself succeeds, and which names its certificate
//! proves. Which list applies to a name is the caller's decision, and so is what becomes of a client
//! without a certificate: it is let in here.
//!
//! This is the way to the proxy, `https://proxy:port`. The TLS inside a tunnel is never touched.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ::ring::digest;
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::files;

/// What the listener shows and wants to see. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The proxy's certificate, and behind it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// Whose certificates clients may show; without it they are not asked for one.
    pub clients: Option<Clients>,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
}

/// Whose client certificates count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authorities that issue them.
    pub authorities: PathBuf,
    /// Revocation lists, in PEM or one in DER. If there are any, each certificate between the client's and
    /// an authority, the client's included, has to be covered by a list that is not past its next update.
    pub revocations: Vec<PathBuf>,
}

/// Why the files make no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("can't read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pipe or device: it can't be read a second time.
    #[error("`{}` is not a regular file, and certificates are read again when they change", .0.display())]
    NotAFile(PathBuf),
    /// More than keys, certificates and revocation lists are.
    #[error("`{}` is longer than {} MiB; give a file that holds nothing else", .0.display(), files::MAX_BYTES >> 20)]
    TooLong(PathBuf),
    /// A file's PEM is damaged.
    #[error("`{}` is not valid PEM", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// A file without a certificate.
    #[error("there is no certificate in `{}`; it should have a `-----BEGIN CERTIFICATE-----`", .0.display())]
    NoCertificate(PathBuf),
    /// Something that is no certificate, or none that can be used.
    #[error("a certificate in `{}` can't be used", path.display())]
    BadCertificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A file without a private key.
    #[error("there is no private key in `{}`; it should have a `-----BEGIN PRIVATE KEY-----`", .0.display())]
    NoKey(PathBuf),
    /// A key that needs a passphrase.
    #[error(
        "the private key in `{}` is encrypted; decrypt it with `openssl pkey -in OLD -out NEW` and protect the \
         file instead", .0.display()
    )]
    EncryptedKey(PathBuf),
    /// A key of a kind that isn't used in TLS.
    #[error("the private key in `{}` can't be used; make an ECDSA P-256, Ed25519 or RSA key", path.display())]
    BadKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The key of another certificate.
    #[error(
        "the private key in `{}` does not belong to the first certificate in `{}`; the proxy's own certificate \
         comes first, those of its authorities behind it", key.display(), certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A file without a revocation list.
    #[error("there is no revocation list in `{}`; it should have a `-----BEGIN X509 CRL-----`", .0.display())]
    NoRevocations(PathBuf),
    /// A revocation list that can't be read or isn't understood.
    #[error("a revocation list in `{}` can't be used", path.display())]
    BadRevocations {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: VerifierBuilderError,
    },
    /// Only the first of them would be looked at.
    #[error("the revocation list in `{}` has the same issuer and scope as another; keep the newer one", .0.display())]
    RevocationsTwice(PathBuf),
}

/// What works, and should be looked at all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Every account of the machine can read the private key.
    KeyReadableByAll(PathBuf),
    /// The proxy's certificate is not valid now, so that clients refuse it.
    CertificateNotValid(PathBuf),
    /// A revocation list is past its next update, so that all certificates of its issuer are rejected.
    RevocationsExpired(PathBuf),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyReadableByAll(path) => write!(
                f,
                "the private key `{0}` can be read by every account; take that away with `chmod o-r {0}`",
                path.display()
            ),
            Self::CertificateNotValid(path) => write!(
                f,
                "the certificate `{}` is past its end or not valid yet, so clients will refuse it; renew it",
                path.display()
            ),
            Self::RevocationsExpired(path) => write!(
                f,
                "the revocation list `{}` is past its next update, so the certificates of its issuer are \
                 rejected; fetch a new one",
                path.display()
            ),
        }
    }
}

/// What the files make.
#[derive(Debug)]
pub struct Loaded {
    /// To accept connections with.
    pub config: ServerConfig,
    /// What to tell the operator.
    pub warnings: Vec<Warning>,
}

/// Reads all files. This blocks.
pub fn load(settings: &Settings) -> Result<Loaded, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut warnings = Vec::new();
    let identity = load_identity(settings, &provider, &mut warnings)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has ciphers for both versions");
    let mut config = match &settings.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let verifier = load_verifier(clients, &provider, &mut warnings)?;
            builder.with_client_cert_verifier(verifier)
        }
    }
    .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    if settings.clients.is_some() {
        // A resumed session brings along the client's certificate as it was verified once, and nobody looks
        // at its dates, at revocation lists or authorities again. So each connection shakes hands in full.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let offered: &[&[u8]] = if settings.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Loaded { config, warnings })
}

impl Settings {
    /// Stands for the contents of all files; nothing, where one can't be read.
    fn digest(&self) -> Option<Digest> {
        let clients = self.clients.iter();
        let theirs = clients
            .flat_map(|clients| std::iter::once(&clients.authorities).chain(&clients.revocations));
        let mut context = digest::Context::new(&digest::SHA256);
        for path in [&self.certificate, &self.key].into_iter().chain(theirs) {
            let text = read(path).ok()?;
            // Lengths, so that no two files run together into one.
            context.update(&text.len().to_ne_bytes());
            context.update(&text);
        }
        context.finish().as_ref().try_into().ok()
    }
}

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// The proxy's own certificate and key.
fn load_identity(
    settings: &Settings,
    provider: &CryptoProvider,
    warnings: &mut Vec<Warning>,
) -> Result<CertifiedKey, Error> {
    let Settings { certificate, key, .. } = settings;
    let chain = load_certificates(certificate)?;
    let valid = |der: &CertificateDer<'_>| {
        let parsed = X509Certificate::from_der(der);
        parsed.is_ok_and(|(_, certificate)| certificate.validity().is_valid())
    };
    if !chain.first().is_some_and(valid) {
        warnings.push(Warning::CertificateNotValid(certificate.clone()));
    }
    let text = read(key)?;
    if key.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        warnings.push(Warning::KeyReadableByAll(key.clone()));
    }
    let der = PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound if has(&text, b"BEGIN ENCRYPTED PRIVATE KEY") => {
            Error::EncryptedKey(key.clone())
        }
        pem::Error::NoItemsFound => Error::NoKey(key.clone()),
        source => Error::Pem { path: key.clone(), source },
    })?;
    let signer = provider
        .key_provider
        .load_private_key(der)
        .map_err(|source| Error::BadKey { path: key.clone(), source })?;
    let identity = CertifiedKey::new(chain, signer);
    identity.keys_match().map_err(|source| match source {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::KeyMismatch { key: key.clone(), certificate: certificate.clone() }
        }
        source => Error::BadCertificate { path: certificate.clone(), source },
    })?;
    Ok(identity)
}

/// What looks at clients' certificates.
fn load_verifier(
    clients: &Clients,
    provider: &Arc<CryptoProvider>,
    warnings: &mut Vec<Warning>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let path = &clients.authorities;
    let mut roots = RootCertStore::empty();
    for authority in load_certificates(path)? {
        let bad = |source| Error::BadCertificate { path: path.clone(), source };
        roots.add(authority).map_err(bad)?;
    }
    let roots = Arc::new(roots);
    // Who shows no certificate may belong to a group that needs none; who shows a bad one belongs to none.
    let builder = || {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .allow_unauthenticated()
            .enforce_revocation_expiration()
    };
    let mut lists = Vec::new();
    let mut scopes = Vec::new();
    for path in &clients.revocations {
        let bad = |source| Error::BadRevocations { path: path.clone(), source };
        let found = load_revocations(path)?;
        // One file at a time, so that the error can name it.
        builder().with_crls(found.iter().cloned()).build().map_err(bad)?;
        for list in &found {
            let Ok((_, parsed)) = CertificateRevocationList::from_der(list) else {
                let unreadable = rustls::CertRevocationListError::ParseError;
                return Err(bad(VerifierBuilderError::InvalidCrl(unreadable)));
            };
            let scope = scope(&parsed);
            if scopes.contains(&scope) {
                return Err(Error::RevocationsTwice(path.clone()));
            }
            scopes.push(scope);
            if parsed.next_update().is_some_and(|next| next < ASN1Time::now()) {
                warnings.push(Warning::RevocationsExpired(path.clone()));
            }
        }
        lists.extend(found);
    }
    builder().with_crls(lists).build().map_err(|error| match error {
        VerifierBuilderError::NoRootAnchors => Error::NoCertificate(path.clone()),
        source => Error::BadRevocations { path: path.clone(), source },
    })
}

/// The issuer of a list, and which of its certificates the list is about (RFC 5280 §5.2.5).
fn scope(list: &CertificateRevocationList<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let point = list
        .extensions()
        .iter()
        .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
        .map(|extension| extension.value.to_vec());
    (list.issuer().as_raw().to_vec(), point)
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn load_revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let text = read(path)?;
    // Authorities publish them in DER, where a SEQUENCE is outermost.
    if text.first() == Some(&0x30) {
        return Ok(vec![text.to_vec().into()]);
    }
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { path: path.to_owned(), source })?;
    if lists.is_empty() {
        return Err(Error::NoRevocations(path.to_owned()));
    }
    Ok(lists)
}

/// A file's bytes, wiped from memory when they go: one of the files is the key.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    files::read(path, files::MAX_BYTES).map(Zeroizing::new).map_err(|error| match error {
        files::Error::Io(source) => Error::Read { path: path.to_owned(), source },
        files::Error::NotAFile => Error::NotAFile(path.to_owned()),
        files::Error::TooLong => Error::TooLong(path.to_owned()),
    })
}

fn has(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

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

/// The subject alternative names of a certificate that a program can have: host names, URIs and mail
/// addresses. The subject's common name is none of them (RFC 9525 §2), so a certificate without alternative
/// names has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<SanName>);

/// Why a certificate's names can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNames {
    /// Not what RFC 5280 §4.2.1.6 says.
    #[error("its alternative names are malformed")]
    Malformed,
    /// More than anyone needs.
    #[error("it has more than {MAX_NAMES} alternative names")]
    TooMany,
}

impl Names {
    /// Those of the certificate that a client has shown. Its own comes first; what is behind it proves who
    /// issued it, and nothing else.
    fn shown(connection: &ServerConnection) -> Result<Option<Self>, BadNames> {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        leaf.map(|der| Self::of(der)).transpose()
    }

    /// Reads the names of a certificate in DER. Names that can't stand in our configuration, wildcards
    /// among them, are left out: nothing could equal them.
    pub fn of(certificate: &[u8]) -> Result<Self, BadNames> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| BadNames::Malformed)?;
        let extension = certificate.subject_alternative_name().map_err(|_| BadNames::Malformed)?;
        let listed = extension.map_or(&[][..], |extension| &extension.value.general_names);
        if listed.len() > MAX_NAMES {
            return Err(BadNames::TooMany);
        }
        let mut names = Vec::new();
        for name in listed {
            let name = match name {
                GeneralName::DNSName(text) => SanName::dns(text),
                GeneralName::URI(text) => SanName::uri(text),
                GeneralName::RFC822Name(text) => SanName::email(text),
                GeneralName::Invalid(..) => return Err(BadNames::Malformed),
                _ => continue,
            };
            names.extend(name);
        }
        Ok(Self(names))
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &SanName) -> bool {
        self.0.contains(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the certificate's order.
    pub fn iter(&self) -> impl Iterator<Item = &SanName> {
        self.0.iter()
    }
}

#[cfg(test)]
impl FromIterator<SanName> for Proof {
    /// One that lasts.
    fn from_iter<I: IntoIterator<Item = SanName>>(names: I) -> Self {
        Self { names: Names(names.into_iter().collect()), at: 0, now: watch::channel(0).1 }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}

/// One name in a certificate: `dns:build.contoso.example`, `uri:spiffe://contoso/build`,
/// `email:build@contoso.example`. Two are the same if their kind and all their characters are; host names
/// are in lower case. A name has printable ASCII characters only and is no wildcard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SanName {
    kind: Kind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Dns,
    Uri,
    Email,
}

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// None of the kinds that certificates have.
    #[error("a certificate's name begins with `dns:`, `uri:` or `email:`")]
    UnknownKind,
    /// Not a host name.
    #[error("this is not a host name; a wildcard names nobody")]
    NotDns,
    /// Not a URI.
    #[error("this is not a URI, as in `uri:spiffe://contoso/build`")]
    NotUri,
    /// Not a mail address.
    #[error("this is not a mail address, as in `email:build@contoso.example`")]
    NotEmail,
}

impl SanName {
    /// A host name; a single label will do.
    pub fn dns(text: &str) -> Result<Self, BadName> {
        let label = |label: &str| {
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            matches!(label.len(), 1..=63) && label.bytes().all(inside)
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(BadName::NotDns);
        }
        Ok(Self { kind: Kind::Dns, text: text.to_ascii_lowercase() })
    }

    /// A URI, compared as it is written.
    pub fn uri(text: &str) -> Result<Self, BadName> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let starts = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        if !starts || text.len() > MAX_URI || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadName::NotUri);
        }
        Ok(Self { kind: Kind::Uri, text: text.to_owned() })
    }

    /// A mail address, compared as it is written, the domain too.
    pub fn email(text: &str) -> Result<Self, BadName> {
        let parts =
            text.split_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if parts.is_none() || text.len() > MAX_EMAIL || !printable {
            return Err(BadName::NotEmail);
        }
        Ok(Self { kind: Kind::Email, text: text.to_owned() })
    }
}

impl FromStr for SanName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.split_once(':') {
            Some(("dns", name)) => Self::dns(name),
            Some(("uri", name)) => Self::uri(name),
            Some(("email", name)) => Self::email(name),
            _ => Err(BadName::UnknownKind),
        }
    }
}

impl fmt::Display for SanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Dns => "dns",
            Kind::Uri => "uri",
            Kind::Email => "email",
        };
        write!(f, "{kind}:{}", self.text)
    }
}

/// A client's certificate has a few.
const MAX_NAMES: usize = 64;
/// SPIFFE allows as many bytes, others are shorter.
const MAX_URI: usize = 2048;
/// RFC 5321 §4.5.3.1: 64 before the `@`, 255 behind it.
const MAX_EMAIL: usize = 320;
/// Long enough for a client to read an alert, short enough to hold a socket for nobody.
const LEAVE: Duration = Duration::from_secs(1);
/// More than a client sends before it knows that it is refused.
const MAX_REST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
        ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
        RevokedCertParams, SanType, SerialNumber, date_time_ymd,
    };
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{AlertDescription, ClientConfig, HandshakeKind, SupportedProtocolVersion};
    use tempfile::TempDir;
    use tokio_rustls::TlsConnector;

    use super::*;

    /// An authority, whose certificates count from serial number 1.
    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
        der: CertificateDer<'static>,
    }

    /// What someone can show.
    struct Identity {
        chain: Vec<CertificateDer<'static>>,
        key: KeyPair,
        pem: String,
    }

    fn authority_params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let params = authority_params(name);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            let (pem, der) = (certificate.pem(), certificate.der().clone());
            Self { issuer: Issuer::new(params, key), pem, der }
        }

        /// An authority below this one.
        fn below(&self, name: &str) -> Self {
            let params = authority_params(name);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
            let (pem, der) = (certificate.pem(), certificate.der().clone());
            Self { issuer: Issuer::new(params, key), pem, der }
        }

        /// A certificate for client authentication, but for what `edit` changes.
        fn issue(&self, serial: u8, edit: impl FnOnce(&mut CertificateParams)) -> Identity {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "common.example");
            params.serial_number = Some(SerialNumber::from_slice(&[serial]));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            edit(&mut params);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
            Identity { chain: vec![certificate.der().clone()], key, pem: certificate.pem() }
        }

        fn list(&self, revoked: &[u8], next_update: i32) -> rcgen::CertificateRevocationList {
            let entry = |serial: &u8| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[*serial]),
                revocation_time: date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(next_update, 1, 1),
                crl_number: SerialNumber::from_slice(&[1]),
                issuing_distribution_point: None,
                revoked_certs: revoked.iter().map(entry).collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&self.issuer).expect("a list")
        }

        fn list_pem(&self, revoked: &[u8], next_update: i32) -> String {
            self.list(revoked, next_update).pem().expect("PEM")
        }
    }

    fn named(names: &[&str]) -> impl FnOnce(&mut CertificateParams) {
        let names = names.iter().map(|name| {
            let text = |rest: &str| rest.try_into().expect("ASCII");
            match name.split_once(':').expect("a kind") {
                ("dns", rest) => SanType::DnsName(text(rest)),
                ("uri", rest) => SanType::URI(text(rest)),
                ("email", rest) => SanType::Rfc822Name(text(rest)),
                ("ip", rest) => SanType::IpAddress(rest.parse().expect("an address")),
                (kind, _) => panic!("{kind}"),
            }
        });
        let names = names.collect();
        |params| params.subject_alt_names = names
    }

    /// A folder with the proxy's certificate, as `settings` name it.
    struct Stage {
        folder: TempDir,
        proxy: Authority,
        clients: Authority,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let stage = Self {
                folder,
                proxy: Authority::new("for proxies"),
                clients: Authority::new("for clients"),
            };
            stage.renew();
            stage.write("clients.pem", &stage.clients.pem);
            stage
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private).expect("set");
            path
        }

        /// Gives the proxy a new certificate, and answers with it.
        fn renew(&self) -> CertificateDer<'static> {
            let identity = self.proxy.issue(1, |params| {
                named(&["dns:proxy.example"])(params);
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            });
            self.write("proxy.pem", &identity.pem);
            self.write("proxy.key", identity.key.serialize_pem());
            identity.chain[0].clone()
        }

        fn settings(&self, clients: bool, revocations: &[&str]) -> Settings {
            let path = |name: &str| self.folder.path().join(name);
            let revocations = revocations.iter().map(|name| path(name)).collect();
            let clients =
                clients.then(|| Clients { authorities: path("clients.pem"), revocations });
            Settings {
                certificate: path("proxy.pem"),
                key: path("proxy.key"),
                clients,
                http2: true,
            }
        }

        fn acceptor(&self, revocations: &[&str]) -> Acceptor {
            let (acceptor, warnings) =
                Acceptor::new(self.settings(true, revocations)).expect("valid");
            assert_eq!(warnings, []);
            acceptor
        }

        /// A client that trusts the proxy and shows `identity`, whether or not it holds its key.
        fn client(
            &self,
            identity: Option<&Identity>,
            version: &'static SupportedProtocolVersion,
        ) -> ClientConfig {
            let provider = Arc::new(ring::default_provider());
            let mut roots = RootCertStore::empty();
            roots.add(self.proxy.der.clone()).expect("an authority");
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(roots);
            let Some(Identity { chain, key, .. }) = identity else {
                return builder.with_no_client_auth();
            };
            let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            let key = provider.key_provider.load_private_key(key).expect("a key");
            let certified = CertifiedKey::new(chain.clone(), key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    }

    /// What the two ends of a handshake make of it. The client has seen the end of it once the proxy's
    /// first byte arrives.
    struct Meeting {
        proxy: Result<Peer, HandshakeFailure>,
        client: Result<HandshakeKind, io::Error>,
    }

    impl Meeting {
        async fn of(acceptor: &Acceptor, client: &Arc<ClientConfig>) -> Self {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let proxy = async {
                let (mut stream, peer) = acceptor.accept(ours, soon()).await?;
                stream.write_all(b"!").await.expect("a reader");
                stream.flush().await.expect("a reader");
                Ok(peer)
            };
            let client = async {
                let name = ServerName::try_from("proxy.example").expect("a name");
                let mut stream =
                    TlsConnector::from(Arc::clone(client)).connect(name, theirs).await?;
                stream.read_u8().await?;
                Ok(stream.get_ref().1.handshake_kind().expect("done"))
            };
            let (proxy, client) = tokio::join!(proxy, client);
            Self { proxy, client }
        }

        fn names(&self) -> Option<String> {
            let peer = self.proxy.as_ref().expect("accepted");
            peer.proof.as_ref().and_then(Proof::names).map(ToString::to_string)
        }

        fn rejection(self) -> (String, AlertDescription) {
            let Err(HandshakeFailure::Rejected(text)) = self.proxy else {
                panic!("not rejected: {:?}", self.proxy);
            };
            let error = self.client.expect_err("the proxy rejected it");
            match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::AlertReceived(alert)) => (text, *alert),
                _ => panic!("no alert: {error}"),
            }
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn a_certificate_proves_its_alternative_names_and_nothing_else() {
        let stage = Stage::new();
        let acceptor = stage.acceptor(&[]);
        let rows: [(&[&str], &str); _] = [
            (
                &["dns:Build.Contoso.example", "uri:spiffe://Contoso/build"],
                "dns:build.contoso.example, uri:spiffe://Contoso/build",
            ),
            (&["email:Build@contoso.example"], "email:Build@contoso.example"),
            (&["dns:*.contoso.example", "dns:a.example", "ip:192.0.2.1"], "dns:a.example"),
            (&["dns:*.contoso.example"], ""),
            // The common name, as all of these have one, is no name.
            (&[], ""),
        ];
        for version in [&TLS12, &TLS13] {
            for (names, expected) in rows {
                let identity = stage.clients.issue(1, named(names));
                let client = Arc::new(stage.client(Some(&identity), version));
                let meeting = Meeting::of(&acceptor, &client).await;
                assert_eq!(meeting.names().as_deref(), Some(expected), "{names:?}");
                meeting.client.expect("accepted");
            }
            let client = Arc::new(stage.client(None, version));
            assert_eq!(Meeting::of(&acceptor, &client).await.names(), None);
        }
    }

    #[tokio::test]
    async fn of_two_certificates_the_first_is_the_clients() {
        let stage = Stage::new();
        let acceptor = stage.acceptor(&[]);
        let mut first = stage.clients.issue(1, named(&["dns:a.example"]));
        let second = stage.clients.issue(2, named(&["dns:b.example"]));
        first.chain.extend(second.chain);
        let client = Arc::new(stage.client(Some(&first), &TLS13));
        let meeting = Meeting::of(&acceptor, &client).await;
        assert_eq!(meeting.names().as_deref(), Some("dns:a.example"));
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_accepted_ends_the_handshake() {
        use AlertDescription as Alert;
        let stage = Stage::new();
        stage.write("revoked.pem", stage.clients.list_pem(&[7], 2100));
        let acceptor = stage.acceptor(&["revoked.pem"]);
        let name = || named(&["dns:a.example"]);
        let stranger = Authority::new("for clients");
        let below = stage.clients.below("below");
        let mut below_unlisted = below.issue(1, name());
        below_unlisted.chain.push(below.der.clone());
        let key_of_another =
            Identity { key: KeyPair::generate().expect("a key"), ..stage.clients.issue(1, name()) };
        let rows = [
            (
                "it has expired",
                Alert::CertificateExpired,
                stage.clients.issue(1, |params| params.not_after = date_time_ymd(2024, 1, 1)),
            ),
            (
                "it is not valid yet",
                Alert::CertificateExpired,
                stage.clients.issue(1, |params| params.not_before = date_time_ymd(2100, 1, 1)),
            ),
            ("it has been revoked", Alert::CertificateRevoked, stage.clients.issue(7, name())),
            (
                "no revocation list covers it, or covers an authority between it and the ones trusted",
                Alert::UnknownCA,
                below_unlisted,
            ),
            (
                "none of the authorities trusted for clients has issued it",
                Alert::UnknownCA,
                stage.proxy.issue(1, name()),
            ),
            // An authority of the same name, but with a key of its own.
            (
                "a signature is wrong; the client may not have its key",
                Alert::DecryptError,
                stranger.issue(1, name()),
            ),
            (
                "it is not meant for clients",
                Alert::UnsupportedCertificate,
                stage.clients.issue(1, |params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
            ),
            (
                "a signature is wrong; the client may not have its key",
                Alert::DecryptError,
                key_of_another,
            ),
        ];
        for version in [&TLS12, &TLS13] {
            for (text, alert, identity) in &rows {
                let client = Arc::new(stage.client(Some(identity), version));
                let rejection = Meeting::of(&acceptor, &client).await.rejection();
                assert_eq!(rejection, ((*text).to_owned(), *alert));
            }
            let accepted = stage.clients.issue(8, name());
            let client = Arc::new(stage.client(Some(&accepted), version));
            assert!(Meeting::of(&acceptor, &client).await.client.is_ok());
        }
    }

    #[tokio::test]
    async fn an_authority_between_needs_its_own_list() {
        let stage = Stage::new();
        let below = stage.clients.below("below");
        stage.write("above.pem", stage.clients.list_pem(&[], 2100));
        stage.write("below.crl", below.list(&[7], 2100).der());
        let acceptor = stage.acceptor(&["above.pem", "below.crl"]);
        for (serial, expected) in [(1, None), (7, Some(AlertDescription::CertificateRevoked))] {
            let mut identity = below.issue(serial, named(&["dns:a.example"]));
            identity.chain.push(below.der.clone());
            let client = Arc::new(stage.client(Some(&identity), &TLS13));
            let meeting = Meeting::of(&acceptor, &client).await;
            match expected {
                None => assert_eq!(meeting.names().as_deref(), Some("dns:a.example")),
                Some(alert) => assert_eq!(meeting.rejection().1, alert),
            }
        }
    }

    #[tokio::test]
    async fn an_old_list_is_worse_than_none() {
        let stage = Stage::new();
        let path = stage.write("old.pem", stage.clients.list_pem(&[], 2021));
        let (acceptor, warnings) =
            Acceptor::new(stage.settings(true, &["old.pem"])).expect("valid");
        assert_eq!(warnings, [Warning::RevocationsExpired(path)]);
        let identity = stage.clients.issue(1, named(&["dns:a.example"]));
        let client = Arc::new(stage.client(Some(&identity), &TLS13));
        let (text, _) = Meeting::of(&acceptor, &client).await.rejection();
        assert_eq!(text, "its revocation list is past its next update");
    }

    #[tokio::test]
    async fn names_that_cannot_be_told_are_rejected() {
        let stage = Stage::new();
        let acceptor = stage.acceptor(&[]);
        let many: Vec<String> = (0..=MAX_NAMES).map(|n| format!("dns:h{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let raw = |content: &'static [u8]| {
            stage.clients.issue(1, move |params| {
                // subjectAltName (RFC 5280 §4.2.1.6).
                let oid = [2, 5, 29, 17];
                let extension = rcgen::CustomExtension::from_oid_content(&oid, content.to_vec());
                params.custom_extensions.push(extension);
            })
        };
        let rows = [
            ("it has more than 64 alternative names", stage.clients.issue(1, named(&many))),
            // A sequence that is cut, which the library sees too, and a name that is not even UTF-8.
            ("it is malformed", raw(&[0x30, 9, 0x82, 1, b'a'])),
            ("its alternative names are malformed", raw(&[0x30, 3, 0x82, 1, 0xff])),
        ];
        for (text, identity) in rows {
            let client = Arc::new(stage.client(Some(&identity), &TLS13));
            let meeting = Meeting::of(&acceptor, &client).await;
            assert_eq!(meeting.proxy, Err(HandshakeFailure::Rejected(text.to_owned())));
            meeting.client.expect_err("closed");
        }
        let client = stage.clients.issue(1, named(&many[..MAX_NAMES]));
        let client = Arc::new(stage.client(Some(&client), &TLS13));
        assert!(Meeting::of(&acceptor, &client).await.client.is_ok());
    }

    #[tokio::test]
    async fn no_session_outlives_a_reload_of_the_lists() {
        let stage = Stage::new();
        stage.write("list.pem", stage.clients.list_pem(&[], 2100));
        let acceptor = stage.acceptor(&["list.pem"]);
        let identity = stage.clients.issue(7, named(&["dns:a.example"]));
        for version in [&TLS12, &TLS13] {
            stage.write("list.pem", stage.clients.list_pem(&[], 2100));
            acceptor.reload().expect("valid");
            let client = Arc::new(stage.client(Some(&identity), version));
            for _ in 0..2 {
                let kind = Meeting::of(&acceptor, &client).await.client.expect("accepted");
                assert_eq!(kind, HandshakeKind::Full);
            }
            stage.write("list.pem", stage.clients.list_pem(&[7], 2100));
            acceptor.reload().expect("valid");
            let (text, _) = Meeting::of(&acceptor, &client).await.rejection();
            assert_eq!(text, "it has been revoked");
        }
    }

    #[tokio::test]
    async fn without_client_certificates_sessions_are_resumed() {
        let stage = Stage::new();
        let (acceptor, _) = Acceptor::new(stage.settings(false, &[])).expect("valid");
        let client = Arc::new(stage.client(None, &TLS13));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            kinds.push(Meeting::of(&acceptor, &client).await.client.expect("accepted"));
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
    }

    #[tokio::test]
    async fn new_files_count_for_new_connections_and_bad_ones_never() {
        let stage = Stage::new();
        let acceptor = stage.acceptor(&[]);
        let client = stage.client(None, &TLS13);
        let shown = async || {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let name = ServerName::try_from("proxy.example").expect("a name");
            let connector = TlsConnector::from(Arc::new(client.clone()));
            let (accepted, connected) =
                tokio::join!(acceptor.accept(ours, soon()), connector.connect(name, theirs));
            accepted.expect("accepted");
            let stream = connected.expect("accepted");
            let chain = stream.get_ref().1.peer_certificates().expect("shown");
            chain[0].clone().into_owned()
        };
        let new = stage.renew();
        assert_ne!(shown().await, new);
        acceptor.reload().expect("valid");
        assert_eq!(shown().await, new);
        stage.write("proxy.pem", "-----BEGIN CERTIFICATE-----\n");
        acceptor.reload().expect_err("cut");
        assert_eq!(shown().await, new);
    }

    #[tokio::test]
    async fn what_is_spoken_inside_is_agreed_upon() {
        let stage = Stage::new();
        let rows: [(_, &[&[u8]], _); _] = [
            (true, &[b"h2", b"http/1.1"], Some(Protocol::Http2)),
            (true, &[b"http/1.1", b"h2"], Some(Protocol::Http2)),
            (true, &[b"http/1.1"], Some(Protocol::Http1)),
            (true, &[], Some(Protocol::Http1)),
            (true, &[b"imap"], None),
            (false, &[b"h2", b"http/1.1"], Some(Protocol::Http1)),
            (false, &[b"h2"], None),
        ];
        for (http2, offered, expected) in rows {
            let settings = Settings { http2, ..stage.settings(false, &[]) };
            let (acceptor, _) = Acceptor::new(settings).expect("valid");
            let mut client = stage.client(None, &TLS13);
            client.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
            let meeting = Meeting::of(&acceptor, &Arc::new(client)).await;
            match (meeting.proxy, expected) {
                (Ok(peer), expected) => assert_eq!(Some(peer.protocol), expected, "{offered:?}"),
                (Err(HandshakeFailure::Failed(_)), None) => {}
                (Err(failure), _) => panic!("{failure} for {offered:?}"),
            }
        }
    }

    #[tokio::test]
    async fn other_failures_are_no_rejections() {
        let stage = Stage::new();
        let acceptor = stage.acceptor(&[]);
        let failure = async |bytes: &[u8], deadline| {
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            theirs.write_all(bytes).await.expect("room");
            theirs.shutdown().await.expect("open");
            acceptor.accept(ours, deadline).await.expect_err("no TLS")
        };
        let failed = |text: &str| HandshakeFailure::Failed(text.to_owned());
        let not_tls = failed("the client does not speak TLS, or not correctly");
        for bytes in
            [&b"CONNECT contoso.azurecr.io:443 HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 ", b"\0\0\0\0\0"]
        {
            assert_eq!(failure(bytes, soon()).await, not_tls, "{}", bytes.escape_ascii());
        }
        assert_eq!(
            failure(b"\x16\x03\x01", soon()).await,
            failed("the client closed the connection; it may not trust the proxy's certificate")
        );
        let (ours, _theirs) = tokio::io::duplex(1 << 16);
        let late = acceptor.accept(ours, Instant::now()).await.expect_err("too late");
        assert_eq!(late, failed("it was not done in time"));

        // A client that does not trust the proxy.
        let other = Stage { proxy: Authority::new("of others"), ..Stage::new() };
        let client = Arc::new(other.client(None, &TLS13));
        let meeting = Meeting::of(&acceptor, &client).await;
        assert_eq!(
            meeting.proxy,
            Err(failed(
                "the client ended it with the alert UnknownCA; it may not trust the proxy's certificate"
            ))
        );
    }

    #[test]
    fn a_bad_file_is_named_with_what_is_wrong() {
        let stage = Stage::new();
        let good = stage.proxy.issue(1, named(&["dns:proxy.example"]));
        let key = good.key.serialize_pem();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let list = stage.clients.list_pem(&[], 2100);
        let not_der = |label| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let rows: &[(&str, &str, &str)] = &[
            ("proxy.pem", "", "there is no certificate in"),
            ("proxy.pem", &key, "there is no certificate in"),
            ("proxy.pem", &good.pem[..200], "is not valid PEM"),
            ("proxy.pem", &not_der("CERTIFICATE"), "a certificate in"),
            ("proxy.pem", &good.pem, "does not belong to the first certificate in"),
            ("proxy.key", "", "there is no private key in"),
            ("proxy.key", &good.pem, "there is no private key in"),
            ("proxy.key", &key, "does not belong to the first certificate in"),
            ("proxy.key", &encrypted, "is encrypted; decrypt it with"),
            ("proxy.key", &not_der("PRIVATE KEY"), "the private key in"),
            ("clients.pem", "", "there is no certificate in"),
            ("clients.pem", &not_der("CERTIFICATE"), "a certificate in"),
            ("list.pem", "", "there is no revocation list in"),
            ("list.pem", &good.pem, "there is no revocation list in"),
            ("list.pem", &not_der("X509 CRL"), "a revocation list in"),
            ("list.pem", "0\x03abc", "a revocation list in"),
            ("list.pem", &list.repeat(2), "has the same issuer and scope as another"),
        ];
        for (name, text, expected) in rows {
            let stage = Stage { clients: Authority::new("for clients"), ..Stage::new() };
            stage.write("list.pem", &list);
            load(&stage.settings(true, &["list.pem"])).expect("valid before");
            let path = stage.write(name, text);
            let error = load(&stage.settings(true, &["list.pem"])).expect_err(expected);
            let error = error.to_string();
            assert!(error.contains(expected), "{name}: {error}");
            assert!(error.contains(&path.display().to_string()), "{name}: {error}");
        }
        for name in ["proxy.pem", "proxy.key", "clients.pem", "list.pem"] {
            let stage = Stage::new();
            stage.write("list.pem", &list);
            let path = stage.folder.path().join(name);
            std::fs::remove_file(&path).expect("there");
            let settings = stage.settings(true, &["list.pem"]);
            assert!(matches!(load(&settings), Err(Error::Read { path: of, .. }) if of == path));
            std::fs::create_dir(&path).expect("created");
            assert!(matches!(load(&settings), Err(Error::NotAFile(of)) if of == path));
            std::fs::remove_dir(&path).expect("removed");
            let sparse = std::fs::File::create(&path).expect("created");
            sparse.set_len(1 << 31).expect("a sparse file");
            assert!(matches!(load(&settings), Err(Error::TooLong(of)) if of == path));
        }
    }

    #[test]
    fn what_should_be_looked_at_is_said() {
        let stage = Stage::new();
        let settings = stage.settings(false, &[]);
        assert_eq!(load(&settings).expect("valid").warnings, []);
        let all = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&settings.key, all).expect("set");
        let old = stage.proxy.issue(1, |params| params.not_after = date_time_ymd(2024, 1, 1));
        stage.write("proxy.pem", old.pem);
        let key = Warning::KeyReadableByAll(settings.key.clone());
        let certificate = Warning::CertificateNotValid(settings.certificate.clone());
        std::fs::write(&settings.key, old.key.serialize_pem()).expect("written");
        assert_eq!(load(&settings).expect("valid").warnings, [certificate, key]);
    }

    #[test]
    fn a_name_has_a_kind_and_one_way_to_be_written() {
        let rows = [
            ("dns:Build.Contoso.example", Ok("dns:build.contoso.example")),
            ("dns:build_agent-1", Ok("dns:build_agent-1")),
            ("uri:spiffe://Contoso/build", Ok("uri:spiffe://Contoso/build")),
            ("email:Build@Contoso.example", Ok("email:Build@Contoso.example")),
            ("dns:*.contoso.example", Err(BadName::NotDns)),
            ("dns:", Err(BadName::NotDns)),
            ("dns:contoso.example.", Err(BadName::NotDns)),
            ("dns:a..b", Err(BadName::NotDns)),
            ("dns:a\0.b", Err(BadName::NotDns)),
            ("dns:bücher.example", Err(BadName::NotDns)),
            ("uri:contoso", Err(BadName::NotUri)),
            ("uri:://contoso", Err(BadName::NotUri)),
            ("uri:spiffe://contoso/a b", Err(BadName::NotUri)),
            ("email:build", Err(BadName::NotEmail)),
            ("email:@contoso.example", Err(BadName::NotEmail)),
            ("email:build@", Err(BadName::NotEmail)),
            ("email:build@contoso.example\n", Err(BadName::NotEmail)),
            ("DNS:contoso.example", Err(BadName::UnknownKind)),
            ("cn:contoso.example", Err(BadName::UnknownKind)),
            ("contoso.example", Err(BadName::UnknownKind)),
        ];
        for (text, expected) in rows {
            let name = SanName::from_str(text).map(|name| name.to_string());
            assert_eq!(name.as_deref(), expected.as_deref(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_name_reads_back(text in "(dns|uri|email):[ -~]{0,30}") {
            if let Ok(name) = SanName::from_str(&text) {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Names::of(&bytes);
        }
    }
}
