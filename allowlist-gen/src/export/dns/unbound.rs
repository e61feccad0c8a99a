//! Answers of Unbound.
//!
//! <https://unbound.docs.nlnetlabs.nl/en/latest/manpages/unbound.conf.html>

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-unbound.conf",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "",
    notes: &[
        "What is asked about these hosts is never asked of another server. All other names are, as before, and those \
         below these hosts, too.",
    ],
    apply: r"
unbound-checkconf acr-unbound.conf && \
  install -m 644 acr-unbound.conf /etc/unbound/unbound.conf.d/acr-unbound.conf && \
  unbound-checkconf && \
  unbound-control reload",
    validator: "`unbound-checkconf`, and questions to a running Unbound",
    sources: &["https://unbound.docs.nlnetlabs.nl/en/latest/manpages/unbound.conf.html"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut text = Text::new(sheet.header("# "));
    text.line("\nserver:");
    for group in sheet.groups() {
        text.line(format_args!("    # {}", group.describe()));
        for host in &group.hosts {
            let name = &host.name;
            text.line(format_args!("    # {}", host.remark()));
            // Exactly this name: `redirect` would answer below it, and `static` would take away what is there.
            text.line(format_args!("    local-zone: \"{name}.\" transparent"));
            for address in super::addresses(sheet, host)? {
                let (ttl, of_type) = (super::TTL, super::record_type(address));
                text.line(format_args!("    local-data: \"{name}. {ttl} IN {of_type} {address}\""));
            }
        }
    }
    Ok(text.into_string())
}
