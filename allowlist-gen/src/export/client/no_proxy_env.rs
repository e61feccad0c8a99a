//! A file of variables, for shells, `--env-file` of Docker and podman, systemd's `EnvironmentFile=` and the like.
//!
//! None of its values needs quotes, and `--env-file` would keep them.

use super::{LIMITS, NEEDS, NOTE_BELOW, NOTE_LOOPBACK, NOTE_PRIVATE, TAKES, variables};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "proxy.env",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[NOTE_PRIVATE, NOTE_BELOW, NOTE_LOOPBACK],
    apply: "\
set -a
. ./proxy.env
set +a",
    validator: "a shell, and curl that it starts: both the hosts and the proxy say who came",
    sources: &[
        "https://curl.se/docs/manpage.html#ENVIRONMENT",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#EnvironmentFile=",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("");
    for variable in variables(sheet)? {
        text.line(variable);
    }
    Ok(text.into_string())
}
