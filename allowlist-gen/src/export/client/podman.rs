//! The environment that podman gives itself, and its containers.

use super::{LIMITS, NEEDS, NOTE_BELOW, NOTE_LOOPBACK, NOTE_PRIVATE, TAKES, variables};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-proxy.conf",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        NOTE_PRIVATE,
        NOTE_BELOW,
        NOTE_LOOPBACK,
        "Containers get the variables from podman, unless `http_proxy = false` stands in `[containers]`.",
        "skopeo doesn't read this file: see `no-proxy-env`.",
    ],
    apply: "install -D -m 644 acr-proxy.conf /etc/containers/containers.conf.d/acr-proxy.conf",
    validator: "podman, which asks registries: both the hosts and the proxy say who came",
    sources: &["https://github.com/containers/common/blob/main/docs/containers.conf.5.md"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("\n[engine]\nenv = [");
    for variable in variables(sheet)? {
        // A basic string of TOML: the values hold neither quotes nor backslashes.
        text.line(format_args!("  \"{variable}\","));
    }
    text.line("]");
    Ok(text.into_string())
}
