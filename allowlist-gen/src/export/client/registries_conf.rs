//! `registries.conf` of podman, skopeo, Buildah and CRI-O: no registries on Azure but the listed ones.

use ringfence_config::endpoint::Cloud;

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
    for cloud in Cloud::ALL {
        // No location: with one, the wildcard would rewrite names instead of blocking them.
        text.line(format_args!(
            "\n[[registry]]\nprefix = \"*.{}\"\nblocked = true",
            cloud.suffix()
        ));
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
