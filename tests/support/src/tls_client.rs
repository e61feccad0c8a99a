//! A client that speaks TLS with the proxy itself, and the certificates it may show.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::{Authority, Identity, PATIENCE};

/// An authority for client certificates that lives as long as one test.
#[derive(Debug)]
pub struct ClientAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a client certificate says.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate<'a> {
    /// By which it is revoked.
    pub serial: u8,
    /// Alternative names: `dns:…`, `uri:…`, `email:…`. The common name is always `common.example`.
    pub names: &'a [&'a str],
    /// Why it should be rejected.
    pub flaw: Option<Flaw>,
}

/// What can be wrong with a certificate that its authority has issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It ended years ago.
    Expired,
    /// It begins in many years.
    NotYet,
    /// It is meant for servers only.
    ForServers,
}

impl ClientAuthority {
    /// A new authority that nobody trusts yet.
    pub fn create(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The certificate that the proxy must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with its key.
    pub fn issue(&self, certificate: ClientCertificate<'_>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "common.example");
        params.serial_number = Some(SerialNumber::from_slice(&[certificate.serial]));
        params.subject_alt_names =
            certificate.names.iter().map(|name| alternative(name)).collect::<Result<_>>()?;
        params.extended_key_usages = vec![match certificate.flaw {
            Some(Flaw::ForServers) => ExtendedKeyUsagePurpose::ServerAuth,
            Some(Flaw::Expired | Flaw::NotYet) | None => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if certificate.flaw == Some(Flaw::Expired) {
            params.not_after = date_time_ymd(2024, 1, 1);
        }
        if certificate.flaw == Some(Flaw::NotYet) {
            params.not_before = date_time_ymd(2090, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        })
    }

    /// A revocation list in PEM, good for years, with the certificates of these serial numbers.
    pub fn revocations(&self, serials: &[u8]) -> Result<String> {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn alternative(name: &str) -> Result<SanType> {
    Ok(match name.split_once(':') {
        Some(("dns", text)) => SanType::DnsName(text.try_into()?),
        Some(("uri", text)) => SanType::URI(text.try_into()?),
        Some(("email", text)) => SanType::Rfc822Name(text.try_into()?),
        _ => bail!("`{name}` is no alternative name"),
    })
}

/// A client of an `https://` proxy.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: ClientConfig,
}

/// TLS with the proxy, inside which a CONNECT is sent as without.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

impl TlsClient {
    /// A client that trusts `authority` and has no certificate of its own.
    pub fn trusting(authority: &Authority) -> Result<Self> {
        Self::speaking(authority, rustls::DEFAULT_VERSIONS)
    }

    /// The same, with these versions of TLS only.
    pub fn speaking(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config })
    }

    /// The same client, which shows `identity` when it is asked, whether or not the proxy's hints fit.
    pub fn showing(mut self, identity: &Identity) -> Result<Self> {
        let key = PrivatePkcs8KeyDer::from(identity.key_der.clone()).into();
        let key = provider().key_provider.load_private_key(key)?;
        let chain = vec![identity.certificate_der.clone().into()];
        let certified = CertifiedKey::new(chain, key);
        self.config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(self)
    }

    /// The same client, which offers these protocols (RFC 7301).
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols =
            protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// What it is made of, for a client in an event loop.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    /// Shakes hands with a proxy of this name over `stream`, into which a PROXY header may have gone before.
    ///
    /// In TLS 1.3 the client is done before the proxy has looked at its certificate; whether it is accepted
    /// shows when something is read.
    pub fn connect(&self, stream: TcpStream, name: &str) -> Result<Secured> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned())?;
        let connection = ClientConnection::new(Arc::new(self.config.clone()), name)?;
        let mut secured = StreamOwned::new(connection, stream);
        while secured.conn.is_handshaking() {
            secured.conn.complete_io(&mut secured.sock).context("the handshake failed")?;
        }
        Ok(secured)
    }
}

/// The alert with which the proxy ended a connection, if `error` says so: from [`TlsClient::connect`], or
/// from reading.
pub fn alert(error: &(dyn std::error::Error + 'static)) -> Option<AlertDescription> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.into_iter().find_map(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| cause.downcast_ref());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
            _ => None,
        }
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
