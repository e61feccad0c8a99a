//! The same policy as [`cilium`](super::cilium), which also holds the server name of each ClientHello to the list.

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, Setting};

use super::PULLS;
use super::cilium::{self, ServerNames};

pub(in crate::export) const ABOUT: About = About {
    file: "cilium-sni.yaml",
    kind: Kind::Name,
    scope: Scope::Ports,
    takes: &[Setting::Namespace],
    needs: &[Setting::Namespace],
    limits: cilium::ABOUT.limits,
    notes: &[
        "Cilium 1.18 or later, with its L7 proxy. A connection passes if it goes to an address that DNS gave for a \
         listed host or that is listed itself, and its server name (SNI) is a listed host's: only TLS passes.",
        "The certificate isn't checked. A pod may pair the address of one listed host with the name of another, if \
         both belong to the same registry, or to none, and have the same ports.",
        PULLS,
        cilium::DEFAULT_DENY,
        cilium::LOOKUPS,
        cilium::SEARCH_DOMAINS,
        "On AKS, see first that the managed Cilium knows serverNames: kubectl refuses the policy if it doesn't.",
    ],
    apply: "\
kubectl apply --server-side --dry-run=server -f cilium-sni.yaml && \\
  kubectl apply --server-side -f cilium-sni.yaml",
    validator: cilium::ABOUT.validator,
    sources: &[
        "https://docs.cilium.io/en/stable/security/policy/language/",
        "https://docs.cilium.io/en/stable/security/dns/",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    cilium::policy(sheet, ServerNames::Checked)
}
