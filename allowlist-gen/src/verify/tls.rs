//! TLS with hosts: whom we trust, and what is wrong with a certificate.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::parse_x509_certificate;

use super::outcome::Outcome;
use super::report::{Evidence, Finding, Found, clean};
use crate::export::Ca;

/// Whatever carries bytes both ways: a TCP connection, or a tunnel in one.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to a host that has proved its name.
pub(crate) type Stream = TlsStream<Box<dyn Io>>;

/// Whom we trust.
pub(crate) struct Tls {
    verifier: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Neither the machine nor the user names an authority.
    #[error("no certificate authority is known here; give a file of them with `--ca`")]
    NoRoots,
    /// TLS can't be set up.
    #[error("can't set up TLS: {0}")]
    Setup(String),
}

impl Tls {
    /// Trusts the authorities of the machine, and those of `ca`.
    pub(crate) fn new(ca: Option<&Ca>) -> Result<Self, TlsError> {
        let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in
            CertificateDer::pem_slice_iter(ca.map(Ca::pem).unwrap_or_default().as_bytes())
        {
            let certificate = certificate.map_err(|error| setup(&error))?;
            roots.add(certificate).map_err(|error| setup(&error))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .map_err(|error| setup(&error))?;
        Ok(Self { verifier, provider })
    }

    /// Shakes hands with `name` over `stream`, in time.
    pub(crate) async fn shake(
        &self,
        stream: Box<dyn Io>,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Found<Stream> {
        let witness =
            Arc::new(Witness { inner: Arc::clone(&self.verifier), seen: Mutex::default() });
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Finding::said(Outcome::TlsFailed, &error))?
            .dangerous()
            // It asks the usual verifier, and only remembers what it was shown.
            .with_custom_certificate_verifier(Arc::<Witness>::clone(&witness));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let shaken = timeout(limit, connector.connect(name, stream)).await;
        let evidence = witness.evidence();
        match shaken {
            Ok(Ok(stream)) => {
                Ok((stream, Finding { outcome: Outcome::CertificateValid, evidence }))
            }
            Ok(Err(error)) => {
                let (outcome, detail) = blame(&error);
                Err(Finding { outcome, evidence: Evidence { detail, ..evidence } })
            }
            Err(_) => Err(Outcome::TlsTimeout.into()),
        }
    }
}

/// What is behind a failed handshake.
fn blame(error: &io::Error) -> (Outcome, Option<String>) {
    let detail = Some(clean(&error.to_string()));
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                // The end stands beside it; what rustls adds is the time of day.
                (Outcome::CertificateExpired, None)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (Outcome::CertificateNotYetValid, None)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (Outcome::CertificateOtherName, detail)
            }
            CertificateError::UnknownIssuer => (Outcome::CertificateUnknownAuthority, None),
            // An authority that goes by the name of one that is trusted.
            CertificateError::BadSignature => (Outcome::CertificateUnknownAuthority, detail),
            _ => (Outcome::CertificateInvalid, detail),
        },
        // A firewall that goes by names and is polite, such as ringfence's transparent listener.
        Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => {
            (Outcome::TlsCut, detail)
        }
        Some(_) => (Outcome::TlsFailed, detail),
        None => (Outcome::TlsCut, detail),
    }
}

/// The usual verifier, and what it was shown.
struct Witness {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    /// Who issued what was shown, and when that ends.
    fn evidence(&self) -> Evidence {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = seen.as_deref().and_then(|der| parse_x509_certificate(der).ok());
        let Some((_, certificate)) = parsed else {
            return Evidence::default();
        };
        let end = certificate.validity().not_after.to_datetime().date();
        Evidence {
            issuer: Some(clean(&certificate.issuer().to_string())),
            not_after: Some(end.to_string()),
            ..Evidence::default()
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
