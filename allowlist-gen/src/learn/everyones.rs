//! Services that serve everyone from the same few hosts, or answer everyone: there, a host says nothing about whose
//! content a client gets, or to whom it speaks. Domains below which everyone has hosts of their own are
//! [`guard::shared_domain`](ringfence_config::guard::shared_domain)'s decision. No table of such services is complete,
//! which is why a person reads what is proposed.

use std::fmt;

use ringfence_config::Hostname;

/// A service, by its domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    domain: &'static str,
    kind: Kind,
}

/// What it does for everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is a registry in which anyone can have images.
    Registry,
    /// It serves files that anyone can publish.
    Files,
    /// Its names are addresses, spelt out.
    Addresses,
    /// It resolves names over HTTPS.
    Dns,
}

impl Service {
    /// The one that `host` belongs to.
    pub(super) fn of(host: &Hostname) -> Option<Self> {
        let is_of = |domain: &str| host.as_str() == domain || host.parents().any(|p| p == domain);
        SERVICES
            .iter()
            .find(|(domain, _)| is_of(domain))
            .map(|(domain, kind)| Self { domain, kind: *kind })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, kind } = self;
        match kind {
            Kind::Registry => write!(f, "`{domain}` is a registry in which anyone can have images"),
            Kind::Files => write!(f, "`{domain}` serves files that anyone can publish"),
            Kind::Addresses => write!(f, "a name below `{domain}` leads to any address it spells"),
            Kind::Dns => write!(
                f,
                "`{domain}` answers DNS for everyone: data can leave in the names that are asked for"
            ),
        }
    }
}

const SERVICES: &[(&str, Kind)] = &[
    ("docker.com", Kind::Registry),
    ("docker.io", Kind::Registry),
    ("gcr.io", Kind::Registry),
    ("ghcr.io", Kind::Registry),
    ("icr.io", Kind::Registry),
    ("ocir.io", Kind::Registry),
    ("public.ecr.aws", Kind::Registry),
    ("quay.io", Kind::Registry),
    ("registry.gitlab.com", Kind::Registry),
    ("esm.sh", Kind::Files),
    ("githack.com", Kind::Files),
    ("jsdelivr.net", Kind::Files),
    ("statically.io", Kind::Files),
    ("unpkg.com", Kind::Files),
    ("nip.io", Kind::Addresses),
    ("sslip.io", Kind::Addresses),
    ("traefik.me", Kind::Addresses),
    ("adguard-dns.com", Kind::Dns),
    ("cloudflare-dns.com", Kind::Dns),
    ("dns.google", Kind::Dns),
    ("nextdns.io", Kind::Dns),
    ("one.one.one.one", Kind::Dns),
    ("opendns.com", Kind::Dns),
    ("quad9.net", Kind::Dns),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_its_domain_and_all_below_it() {
        for (host, expected) in [
            ("ghcr.io", Some("ghcr.io")),
            ("registry-1.docker.io", Some("docker.io")),
            ("production.cloudflare.docker.com", Some("docker.com")),
            ("10.0.0.1.nip.io", Some("nip.io")),
            ("dns.google", Some("dns.google")),
            ("mcr.microsoft.com", None),
            ("notdocker.io", None),
            ("docker.io.example.com", None),
            ("gitlab.com", None),
        ] {
            let host: Hostname = host.parse().expect(host);
            assert_eq!(Service::of(&host).map(|service| service.domain), expected, "{host}");
        }
        for (domain, _) in SERVICES {
            let host: Hostname = domain.parse().expect(domain);
            assert_eq!(Service::of(&host).map(|service| service.domain), Some(*domain));
        }
    }
}
