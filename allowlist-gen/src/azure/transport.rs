//! The HTTP client for ARM and the authority: TLS by rustls, whom the machine trusts, and no redirects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::Error;

/// Certificates of authorities to trust besides those of the machine: a private cloud's, or a proxy's that looks
/// inside TLS.
#[derive(Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a file of certificates; `name` is what messages call it.
    pub fn read(name: &str, text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Authorities(name.to_owned(), why);
        let blocks = pem::parse_many(text).map_err(|error| wrong(error.to_string()))?;
        let certificates: Vec<CertificateDer<'static>> = blocks
            .into_iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(|block| block.into_contents().into())
            .collect();
        if certificates.is_empty() {
            return Err(wrong("it holds no certificate in PEM".to_owned()));
        }
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(Self(certificates))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// What speaks to ARM and the authority, through the proxy that `HTTPS_PROXY` and `NO_PROXY` name.
pub(super) fn client(authorities: &Authorities) -> Result<Client, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    builder().tls_backend_preconfigured(config).https_only(true).build().map_err(Error::Client)
}

/// What asks the machine for its managed identity: over HTTP, to an address that no proxy can reach for us.
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
pub(super) fn client_of_the_machine() -> Result<Client, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let builder = builder().tls_backend_preconfigured(config).no_proxy();
    builder.connect_timeout(MACHINE_TIMEOUT).build().map_err(Error::Client)
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("ringfence-allowlist-gen/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry the token to wherever it leads.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
}

/// What the machine trusts, and `authorities`.
fn roots(authorities: &Authorities) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(native.certs);
    for certificate in &authorities.0 {
        store.add(certificate.clone()).expect("read once already");
    }
    if store.is_empty() {
        let errors: Vec<String> = native.errors.iter().map(ToString::to_string).collect();
        return Err(Error::NoRoots(errors.join("; ")));
    }
    Ok(store)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const MACHINE_TIMEOUT: Duration = Duration::from_secs(2);
