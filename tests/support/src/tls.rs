//! Certificates for the names that a test's hosts answer to, from an authority of its own.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

/// A certificate authority that lives as long as one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new authority that nobody trusts yet.
    pub fn create() -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Ringfence end-to-end tests");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The certificate that clients must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names; an IP address is a name too.
    pub fn issue(&self, names: &[&str]) -> Result<Identity> {
        self.issue_until(names, 4096)
    }

    /// The same, valid until a year begins.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Result<Identity> {
        self.issue_between(names, 1975, year)
    }

    /// The same, valid from when a year begins.
    pub fn issue_from(&self, names: &[&str], year: i32) -> Result<Identity> {
        self.issue_between(names, year, 4096)
    }

    /// A certificate that is good for clients alone.
    pub fn issue_for_client(&self, names: &[&str]) -> Result<Identity> {
        let mut params = parameters(names)?;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(&params)
    }

    fn issue_between(&self, names: &[&str], from: i32, until: i32) -> Result<Identity> {
        let mut params = parameters(names)?;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        })
    }
}

fn parameters(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Ok(CertificateParams::new(names)?)
}

/// A certificate and its key, as servers want them.
#[derive(Debug)]
pub struct Identity {
    /// For a server that reads files.
    pub certificate_pem: String,
    /// For a server that reads files.
    pub key_pem: String,
    /// For a server in this process.
    pub certificate_der: Vec<u8>,
    /// For a server in this process.
    pub key_der: Vec<u8>,
}
