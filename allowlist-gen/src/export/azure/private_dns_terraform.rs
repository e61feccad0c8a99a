//! The same in Terraform, for the provider azurerm.

use super::private_dns;
use super::private_records::{Place, Record, Type, Zone};
use crate::export::quote::hcl;
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-private-dns.tf",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: private_dns::LIMITS,
    notes: &[
        private_dns::BY_HAND,
        "The zones must exist in the one resource group that is asked for, and be linked to the networks that ask. \
         Terraform keeps exactly these records, and deletes one that leaves the list.",
        "Terraform makes no record that is there already: bring it in first, by an `import` block with its id.",
        private_dns::WHOLE,
    ],
    apply: "\
terraform plan -var resource_group_name=\"$RESOURCE_GROUP\" -out acr-dns.plan && \\
  terraform apply acr-dns.plan",
    validator: "python-hcl2, and the argument types of the provider azurerm",
    sources: &[
        "https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/private_dns_a_record",
        "https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/private_dns_aaaa_record",
        "https://learn.microsoft.com/azure/private-link/private-endpoint-dns",
        "https://learn.microsoft.com/azure/dns/private-dns-privatednszone#limits",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let zones = Zone::of_list(sheet)?;
    Ok(text(sheet.header("# "), &zones))
}

/// The records as resources, and an `import` for each that is known to be there; `header` is comments.
pub(crate) fn text(header: String, zones: &[Zone]) -> String {
    let mut text = Text::new(header);
    if zones.iter().any(|zone| zone.place == Place::Asked) {
        text.line(format_args!(
            "
variable \"resource_group_name\" {{
  description = {}
  type        = string
}}",
            hcl(private_dns::OF_GROUP)
        ));
    }
    for (zone, suffix) in zones.iter().zip(Zone::suffixes(zones)) {
        for record in &zone.records {
            record_sets(&mut text, zone, record, &format!("{}{suffix}", record.symbol()));
        }
    }
    text.into_string()
}

fn record_sets(text: &mut Text, zone: &Zone, record: &Record, symbol: &str) {
    for (of_type, addresses) in record.families() {
        let kind = match of_type {
            Type::A => "azurerm_private_dns_a_record",
            Type::Aaaa => "azurerm_private_dns_aaaa_record",
        };
        if let Some(id) = record.id.as_deref().filter(|_| of_type == Type::A) {
            text.line(format_args!(
                "\nimport {{\n  to = {kind}.acr_{symbol}\n  id = {}\n}}",
                hcl(id)
            ));
        }
        let group = match &zone.place {
            Place::Asked => "var.resource_group_name".to_owned(),
            Place::Group(group) | Place::Known { group, .. } => hcl(group),
        };
        let addresses: Vec<String> = addresses.iter().map(|address| hcl(address)).collect();
        text.line(format_args!(
            "
# {}
resource \"{kind}\" \"acr_{symbol}\" {{
  name                = {}
  zone_name           = {}
  resource_group_name = {group}
  ttl                 = {}
  records             = [{}]
}}",
            record.remark,
            hcl(&record.name),
            hcl(&zone.name),
            record.ttl(),
            addresses.join(", "),
        ));
    }
}
