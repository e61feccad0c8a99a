//! A service principal's word for itself: a token that it signs with the key of its certificate.
//!
//! `azure_identity` could do this with OpenSSL, which we don't take.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::Error;
use super::super::cloud::Url;

/// A certificate with its RSA key.
#[derive(Clone)]
pub(super) struct Certificate {
    thumbprint: String,
    key: Arc<dyn SigningKey>,
}

impl Certificate {
    /// Reads both from one file, as `az ad sp create-for-rbac --create-cert` writes it.
    pub(super) fn read(file: &Path) -> Result<Self, Error> {
        let name = file.display().to_string();
        let bytes = fs::read(file).map_err(|error| Error::CertificateFile(name.clone(), error))?;
        Self::parse(&bytes).map_err(|why| Error::Certificate(name, why))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let blocks = pem::parse_many(bytes).map_err(|error| error.to_string())?;
        if blocks.is_empty() {
            return Err(
                "it is not PEM; `openssl pkcs12 -in FILE -nodes` makes PEM of PKCS #12".to_owned()
            );
        }
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for block in blocks {
            match block.tag() {
                "CERTIFICATE" => certificates.push(CertificateDer::from(block.into_contents())),
                "PRIVATE KEY" => keys.push(PrivateKeyDer::Pkcs8(block.into_contents().into())),
                "RSA PRIVATE KEY" if block.headers().get("Proc-Type").is_none() => {
                    keys.push(PrivateKeyDer::Pkcs1(block.into_contents().into()));
                }
                "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                    return Err("its key is encrypted; `openssl pkey` decrypts it".to_owned());
                }
                _ => {}
            }
        }
        let (Some(leaf), Some(key)) = (certificates.first().cloned(), keys.pop()) else {
            return Err("it needs a certificate and its private key, both in PEM".to_owned());
        };
        let provider = default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
        if key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).is_none() {
            return Err("its key is not RSA, and Microsoft Entra ID takes no other".to_owned());
        }
        CertifiedKey::new(vec![leaf.clone()], key.clone())
            .keys_match()
            .map_err(|_| "its key is not that of its first certificate".to_owned())?;
        Ok(Self { thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&leaf)), key })
    }

    /// What signs in `client` to `tenant` with this certificate.
    pub(super) fn assertion(self, authority: &Url, tenant: &str, client: &str) -> Assertion {
        let mut audience = authority.clone();
        audience.set_path(&format!("/{tenant}/oauth2/v2.0/token"));
        Assertion { certificate: self, audience, client: client.to_owned() }
    }
}

/// Signs a new token whenever one is needed; each is good for minutes only.
#[derive(Clone)]
pub(super) struct Assertion {
    certificate: Certificate,
    audience: Url,
    client: String,
}

impl Assertion {
    fn sign(&self, now: u64) -> Result<String, rustls::Error> {
        let mut id = [0; 16];
        default_provider().secure_random.fill(&mut id)?;
        let header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": self.certificate.thumbprint,
        });
        let claims = json!({
            "aud": self.audience.as_str(),
            "exp": now + LIFETIME,
            "iat": now,
            "iss": self.client,
            "jti": uuid::Builder::from_random_bytes(id).into_uuid().to_string(),
            "nbf": now,
            "sub": self.client,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let scheme = [SignatureScheme::RSA_PSS_SHA256];
        let signer = self.certificate.key.choose_scheme(&scheme).expect("seen when it was read");
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes())?);
        Ok(format!("{message}.{signature}"))
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let failed = |error: rustls::Error| azure_core::Error::new(ErrorKind::Credential, error);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.sign(now.as_secs()).map_err(failed)
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Microsoft recommends five to ten minutes.
const LIFETIME: u64 = 300;
