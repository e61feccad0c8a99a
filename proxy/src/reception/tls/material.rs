//! Decides what the files of a TLS listener come to: its certificate and key, and whose certificates it takes.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::ring::digest;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
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
    pub(super) fn digest(&self) -> Option<Digest> {
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

pub(super) type Digest = [u8; digest::SHA256_OUTPUT_LEN];

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
