//! The private zone that the public names of registries lead into, as a master file (RFC 1035 §5).
//!
//! One file is one zone. A list with registries of several clouds would take several, and is refused: which zone a
//! file is must not depend on where somebody cut it.
//!
//! <https://learn.microsoft.com/azure/container-registry/container-registry-private-link>

use ringfence_config::endpoint::Endpoint;

use crate::export::azure::private_records::Record;
use crate::export::sheet::{Host, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "privatelink.azurecr.io.zone",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "One zone, so registries of one cloud.",
    notes: &[
        "Clients ask for `<registry>.azurecr.io`, which is public and leads (CNAME) to \
         `<registry>.privatelink.azurecr.io`, which is here: the resolver still has to reach the public DNS.",
        "The public name leads here as soon as the registry has a private endpoint anywhere. So registries with \
         private endpoints of other people, that aren't in this zone, don't resolve any more.",
        "A server that only answers for its zones, as Knot DNS does, has to be asked by the clients' resolver.",
        super::SERIAL_NOTE,
    ],
    apply: r#"
# Once, in named.conf; the first time, `rndc reconfig` stands in the place of `rndc reload`:
#   zone "privatelink.azurecr.io" { type primary; file "/etc/bind/privatelink.azurecr.io.zone"; };
named-checkzone privatelink.azurecr.io privatelink.azurecr.io.zone && \
  install -m 644 privatelink.azurecr.io.zone /etc/bind/privatelink.azurecr.io.zone && \
  rndc reload privatelink.azurecr.io"#,
    validator: "`named-checkzone`, `kzonecheck`, and questions to a running BIND",
    sources: &[
        "https://learn.microsoft.com/azure/container-registry/container-registry-private-link",
        "https://learn.microsoft.com/azure/private-link/private-endpoint-dns",
        "https://www.rfc-editor.org/rfc/rfc1035#section-5",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    // An empty zone would take every registry away that has a private endpoint anywhere.
    sheet.not_empty()?;
    let mut groups = Vec::new();
    let mut zone: Option<String> = None;
    for group in sheet.groups() {
        let mut records = Vec::new();
        for host in &group.hosts {
            let endpoint = endpoint(sheet, host)?;
            let its_zone = endpoint.login_server().cloud().private_zone();
            let zone = zone.get_or_insert_with(|| its_zone.clone());
            if *zone != its_zone {
                let why = format!(
                    "a file is one zone; this one is `{zone}`, and the host belongs in `{its_zone}`: keep a \
                     list for each cloud"
                );
                return Err(sheet.unrepresentable(host.name.as_str(), why));
            }
            let addresses = super::addresses(sheet, host)?;
            records.push(Record::new(endpoint.private_record(), addresses, host.remark()));
        }
        groups.push((group.describe(), records));
    }
    let (header, zone) = (sheet.header("; "), zone.unwrap_or_default());
    Ok(master_file(&header, &zone, super::serial(sheet), &groups))
}

/// The zone's file; `header` is comments, and so is what stands above each group of records.
pub(crate) fn master_file(
    header: &str,
    zone: &str,
    serial: u32,
    groups: &[(String, Vec<Record>)],
) -> String {
    let start = super::start_of_authority(serial);
    let mut text = Text::new(format!("{header}\n$ORIGIN {zone}.\n{start}"));
    for (remark, records) in groups {
        text.line(format_args!("\n; {remark}"));
        for record in records {
            text.line(format_args!("; {}", record.remark));
            for address in record.addresses() {
                let (name, of_type) = (&record.name, super::record_type(address));
                let ttl = record.ttl.map(|ttl| format!("{ttl} ")).unwrap_or_default();
                text.line(format_args!("{name} {ttl}IN {of_type} {address}"));
            }
        }
    }
    text.into_string()
}

/// What the host is of a registry, whoever wrote it into the list.
fn endpoint(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<Endpoint, Error> {
    host.name.as_str().parse().map_err(|_| {
        let why = "it is no registry's, and only the names of registries lead into this zone";
        sheet.unrepresentable(host.name.as_str(), why)
    })
}
