//! A table of hosts and ports (RFC 4180, but with bare line feeds, as Unix tools want them).

use ringfence_config::snippet::escape;
use serde::Serialize;

use crate::export::sheet::Sheet;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "allowlist.csv",
    kind: Kind::Data,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[
        "`purpose` is the entry's role, and `private_ip` has its addresses and `presets` the presets that \
         it was taken from, with spaces between.",
    ],
    apply: "python3 -c 'import csv; print(*(row[\"host\"] for row in csv.DictReader(open(\"allowlist.csv\"))))'",
    validator: "Python's csv module",
    sources: &["https://www.rfc-editor.org/rfc/rfc4180"],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let written = writer.write_record([
        "host",
        "port",
        "registry",
        "region",
        "purpose",
        "private_ip",
        "why",
        "presets",
    ]);
    written.expect("memory takes what it gets");
    for host in &sheet.hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let presets: Vec<&str> =
            host.presets.iter().map(ringfence_config::PresetName::as_str).collect();
        for port in host.ports.iter() {
            let row = Row {
                host: host.name.as_str(),
                port: port.number(),
                registry: host.role.registry().map(ringfence_config::registry::Label::as_str),
                region: host.role.region().map(ringfence_config::registry::Region::as_str),
                purpose: host.role.name(),
                private_ip: addresses.join(" "),
                why: host.why.map(inert),
                presets: presets.join(" "),
            };
            writer.serialize(row).expect("a row of texts and numbers");
        }
    }
    let bytes = writer.into_inner().expect("memory takes what it gets");
    Ok(String::from_utf8(bytes).expect("what went in was UTF-8"))
}

/// A row is a line, and a spreadsheet takes a field that begins so for a formula.
fn inert(text: &str) -> String {
    let text = escape(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    port: u16,
    registry: Option<&'a str>,
    region: Option<&'a str>,
    purpose: &'static str,
    private_ip: String,
    why: Option<String>,
    presets: String,
}
