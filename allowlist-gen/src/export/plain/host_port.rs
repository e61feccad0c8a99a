//! `host:port`, one a line: a host with two ports has two lines. A comment above has the issue, as in a plain list.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.txt",
    kind: Kind::Data,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[],
    apply: "grep -v '^#' allowlist.txt | while IFS=: read -r host port; do echo \"$host on port $port\"; done",
    validator: "a strict reader in Python",
    sources: &[],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::default();
    if !sheet.issue.is_empty() {
        text.line(format_args!("# {}", sheet.issue));
    }
    for host in &sheet.hosts {
        for port in host.ports.iter() {
            text.line(format_args!("{}:{port}", host.name));
        }
    }
    Ok(text.into_string())
}
