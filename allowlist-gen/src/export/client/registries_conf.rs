//! `registries.conf` of podman, skopeo, Buildah and CRI-O: no registries on Azure but the listed ones.

use ringfence_config::endpoint;

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-registries.conf",
    kind: Kind::Client,
    scope: Scope::Registries,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "Other registries on Azure are blocked, and a name without a registry is looked for nowhere, unless an alias \
         has it. Registries elsewhere stay reachable: this file can't block all others, `policy-json` does.",
        "Left out on purpose: data endpoints and storage accounts. No image is named after them, and clients go there \
         for layers when a registry sends them, whatever this file says.",
        "It lies beside the other files there and replaces none of them, but what it says of a prefix, and of names \
         without a registry, counts instead of what `registries.conf` says.",
        "A listed registry passes on any port, and names are compared letter by letter: a domain in capitals isn't \
         blocked. It stops mistakes, not people.",
    ],
    apply: "install -D -m 644 acr-registries.conf /etc/containers/registries.conf.d/acr-registries.conf",
    validator: "skopeo, which says of each look-alike that it is blocked, and asks the others",
    sources: &[
        "https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("\nunqualified-search-registries = []\nshort-name-mode = \"enforcing\"");
    for domain in endpoint::domains() {
        // No location: with one, the wildcard would rewrite names instead of blocking them.
        text.line(format_args!("\n[[registry]]\nprefix = \"*.{domain}\"\nblocked = true"));
    }
    for host in &sheet.hosts {
        text.line(format_args!("\n# {}", host.remark()));
        for registry in super::registries(host) {
            text.line(format_args!(
                "[[registry]]\nprefix = \"{registry}\"\nlocation = \"{registry}\""
            ));
        }
    }
    Ok(text.into_string())
}
