//! The same in Bicep.

use super::private_dns;
use super::private_records::{Record, Type, Zone};
use crate::export::quote::bicep;
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-private-dns.bicep",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "20 addresses a record set, 800 record sets a deployment: more is an error",
    notes: &[
        private_dns::BY_HAND,
        private_dns::EXACT,
        "A deployment is for one resource group, which has to have all of the zones.",
        private_dns::WHOLE,
    ],
    apply: "\
az deployment group create --resource-group \"$RESOURCE_GROUP\" --template-file azure-private-dns.bicep --no-prompt",
    validator: "pycep-parser, and the template that it stands for by Azure's published schemas",
    sources: &[
        "https://learn.microsoft.com/azure/templates/microsoft.network/privatednszones/a",
        "https://learn.microsoft.com/azure/private-link/private-endpoint-dns",
        "https://learn.microsoft.com/azure/dns/private-dns-privatednszone#limits",
        "https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits",
    ],
};

/// How many resources a deployment may have.
pub(crate) const MOST: usize = 800;

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let zones = Zone::of_list(sheet)?;
    sheet.at_most(MOST, "record sets", zones.iter().map(Zone::sets).sum())?;
    Ok(text(sheet.header("// "), &zones))
}

/// The records as resources of zones that exist; `header` is comments.
pub(crate) fn text(header: String, zones: &[Zone]) -> String {
    let mut text = Text::new(header);
    for (zone, suffix) in zones.iter().zip(Zone::suffixes(zones)) {
        text.line(format_args!(
            "
resource zone{suffix} 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {{
  name: {}
}}",
            bicep(&zone.name)
        ));
        for record in &zone.records {
            record_sets(&mut text, record, &suffix);
        }
    }
    text.into_string()
}

fn record_sets(text: &mut Text, record: &Record, suffix: &str) {
    for (of_type, addresses) in record.families() {
        let (prefix, of_type, list, key) = match of_type {
            Type::A => ("a", "A", "aRecords", "ipv4Address"),
            Type::Aaaa => ("aaaa", "AAAA", "aaaaRecords", "ipv6Address"),
        };
        text.line(format_args!(
            "
// {}
resource {prefix}_{}{suffix} 'Microsoft.Network/privateDnsZones/{of_type}@2024-06-01' = {{
  parent: zone{suffix}
  name: {}
  properties: {{
    ttl: {}
    {list}: [",
            record.remark,
            record.symbol(),
            bicep(&record.name),
            record.ttl(),
        ));
        for address in addresses {
            text.line(format_args!("      {{\n        {key}: {}\n      }}", bicep(&address)));
        }
        text.line("    ]\n  }\n}");
    }
}
