//! The HTTP client for ARM and the authority: TLS by rustls, whom the machine trusts, and no redirects.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request, StatusCode};
use reqwest::{Client, ClientBuilder, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use super::Error as AzureError;

/// Certificates of authorities to trust besides those of the machine: a private cloud's, or a proxy's that looks
/// inside TLS.
#[derive(Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a file of certificates; `name` is what messages call it.
    pub fn read(name: &str, text: &str) -> Result<Self, AzureError> {
        let wrong = |why: String| AzureError::Authorities(name.to_owned(), why);
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
pub(super) fn client(authorities: &Authorities) -> Result<Client, AzureError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    builder().tls_backend_preconfigured(config).https_only(true).build().map_err(AzureError::Client)
}

/// What asks the machine for its managed identity: over HTTP, to an address that no proxy can reach for us.
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
pub(super) fn client_of_the_machine() -> Result<Client, AzureError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let builder = builder().tls_backend_preconfigured(config).no_proxy();
    builder.connect_timeout(MACHINE_TIMEOUT).build().map_err(AzureError::Client)
}

/// [`client`] for `azure_identity`, which can't read the authority's errors as they come: it wants texts without an
/// escape, and Microsoft Entra ID ends its lines with `\r\n`. Whoever signs in then sees a mistake of the parser's and not
/// their own (`azure_identity` 1.0.0, `EntraIdErrorResponse`).
#[derive(Debug)]
pub(super) struct ReadableErrors(pub(super) Client);

#[async_trait::async_trait]
impl HttpClient for ReadableErrors {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = self.0.execute_request(request).await.map_err(|error| {
            // The library tries again what may go better next time.
            let kind = if is_about_trust(&error) { ErrorKind::Credential } else { ErrorKind::Io };
            let why = causes(&error);
            azure_core::Error::new(kind, Unreachable { host: host(request.url()), why })
        })?;
        if response.status().is_success() || request.method() != Method::Post {
            return Ok(response);
        }
        let (status, headers, body) = response.deconstruct();
        let body = body.collect().await?;
        Ok(AsyncRawResponse::from_bytes(status, headers, readable(status, &body)))
    }
}

/// What the network made of a request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("can't reach {host}: {why}")]
pub(super) struct Unreachable {
    pub(super) host: String,
    pub(super) why: String,
}

/// With its port, if that isn't the usual one.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// [`client_of_the_machine`] for `azure_identity`, which would go on asking for a minute where there is no such service.
#[derive(Debug)]
pub(super) struct OfTheMachine(pub(super) Client);

#[async_trait::async_trait]
impl HttpClient for OfTheMachine {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        self.0.execute_request(request).await.map_err(|_| {
            let message =
                format!("nothing answers at {host}, where a machine of Azure's has its identity");
            azure_core::Error::with_message(ErrorKind::Credential, message)
        })
    }
}

/// The description without anything that JSON escapes.
fn readable(status: StatusCode, body: &[u8]) -> Vec<u8> {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let description = match error["error_description"].as_str() {
        Some(description) => description.to_owned(),
        None => format!("an answer with {} that is not the authority's", u16::from(status)),
    };
    let codes = error["error_codes"].as_array().cloned().unwrap_or_default();
    let codes: Vec<Value> = codes
        .into_iter()
        .filter(|code| code.as_i64().is_some_and(|code| i32::try_from(code).is_ok()))
        .collect();
    let description: String = description.chars().map(plain).collect();
    json!({ "error_description": description, "error_codes": codes }).to_string().into_bytes()
}

fn plain(c: char) -> char {
    match c {
        '"' => '\'',
        '\\' => '/',
        _ if c.is_whitespace() => ' ',
        _ if c.is_control() => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// What lies beneath what the client was doing, from there to the very cause.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let beneath = beneath(error).filter(|cause| !cause.is::<reqwest::Error>());
    let mut causes: Vec<String> = beneath.map(ToString::to_string).collect();
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    // Each may repeat what it is about.
    causes.dedup();
    causes.join(": ")
}

/// Whom this machine doesn't trust now, it won't trust a moment later.
pub(super) fn is_about_trust(error: &(dyn Error + 'static)) -> bool {
    // Such an error isn't the source of the one that wraps it.
    fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_of_tls(wrapped))
    }
    beneath(error).any(is_of_tls)
}

fn beneath<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
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
fn roots(authorities: &Authorities) -> Result<RootCertStore, AzureError> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(native.certs);
    for certificate in &authorities.0 {
        store.add(certificate.clone()).expect("read once already");
    }
    if store.is_empty() {
        let errors: Vec<String> = native.errors.iter().map(ToString::to_string).collect();
        return Err(AzureError::NoRoots(errors.join("; ")));
    }
    Ok(store)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_mins(1);
const MACHINE_TIMEOUT: Duration = Duration::from_secs(2);
