//! What Docker's client tells the containers that it starts and the builds that it runs.

use serde_json::json;

use super::{LIMITS, NEEDS, NOTE_BELOW, NOTE_LOOPBACK, NOTE_PRIVATE, TAKES, no_proxy, proxy};
use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope, quote};

pub(in crate::export) const ABOUT: About = About {
    file: "config.json",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        "It is for containers and builds. Docker's daemon pulls the images, and has a setting of its own: see \
         `systemd`.",
        NOTE_PRIVATE,
        NOTE_BELOW,
        NOTE_LOOPBACK,
        "`~/.docker/config.json` also holds logins: add to it, don't replace it. The commands do, and keep a copy \
         of what was there in `config.json.before`.",
    ],
    apply: r#"
(
  set -e
  umask 077
  install -d -m 700 ~/.docker
  touch ~/.docker/config.json
  cp -a ~/.docker/config.json ~/.docker/config.json.before
  new=$(mktemp -p ~/.docker)
  trap 'rm -f "$new"' EXIT
  jq --slurp '(.[1] // {}) * .[0]' config.json ~/.docker/config.json > "$new"
  mv "$new" ~/.docker/config.json
)"#,
    validator: "Docker's client, which asks a daemon of ours to create a container: the variables in its request",
    sources: &["https://docs.docker.com/engine/cli/proxy/"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let proxy = proxy(sheet)?.to_string();
    Ok(quote::json(&json!({
        "proxies": {
            "default": {
                "httpProxy": proxy,
                "httpsProxy": proxy,
                "noProxy": no_proxy(sheet)?,
            },
        },
    })))
}
