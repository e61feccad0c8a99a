//! A script that writes the records of private endpoints into private zones, for zones that are kept by hand.

use super::private_records::{Place, Type, Zone};
use crate::export::quote::shell;
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-private-dns.sh",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: LIMITS,
    notes: &[BY_HAND, EXACT, WHOLE],
    apply: "RESOURCE_GROUP=\"$RESOURCE_GROUP\" bash azure-private-dns.sh",
    validator: "Bash, with azure-cli's requests recorded and held to Azure's published schemas",
    sources: &[
        "https://learn.microsoft.com/cli/azure/network/private-dns/record-set/a",
        "https://learn.microsoft.com/azure/private-link/private-endpoint-dns",
        "https://learn.microsoft.com/azure/dns/private-dns-privatednszone#limits",
    ],
};

pub(super) const LIMITS: &str =
    "20 addresses a record set, 25 000 record sets a zone: more is an error";

pub(super) const BY_HAND: &str = "For zones that are kept by hand: a private endpoint with a DNS zone group writes its records itself.";

pub(super) const EXACT: &str = "The zones must exist, and be linked to the networks that ask. Each record gets exactly the addresses of the list; a \
     record that the list doesn't have stays as it is.";

pub(super) const WHOLE: &str = "Unless a zone's link falls back to the internet, a name that the zone doesn't have doesn't exist: every registry \
     that is reached through Private Link needs all its hosts in it.";

/// What the resource group is for.
pub(super) const OF_GROUP: &str = "The resource group of the private zones";

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let zones = Zone::of_list(sheet)?;
    Ok(script(&sheet.header("# "), &zones))
}

/// A script that gives the records exactly these addresses; `header` is comments.
pub(crate) fn script(header: &str, zones: &[Zone]) -> String {
    let mut text = Text::new(format!("#!/usr/bin/env bash\n{header}"));
    text.line("\nset -euo pipefail");
    if zones.iter().any(|zone| zone.place == Place::Asked) {
        text.line(ASK);
    }
    text.line(HEAD);
    for zone in zones {
        text.line(format_args!("\nplace=({})", place(&zone.place)));
        for record in &zone.records {
            text.line(format_args!("\n# {}", record.remark));
            for (of_type, addresses) in record.families() {
                let function = match of_type {
                    Type::A => "a",
                    Type::Aaaa => "aaaa",
                };
                let (zone, name) = (&zone.name, &record.name);
                text.line(format_args!("{function} {zone} {name} {}", addresses.join(" ")));
            }
        }
    }
    text.into_string()
}

/// The arguments that say where a zone is.
pub(crate) fn place(place: &Place) -> String {
    match place {
        Place::Asked => r#"--resource-group "$RESOURCE_GROUP""#.to_owned(),
        Place::Group(group) => format!("--resource-group {}", shell(group)),
        Place::Known { subscription, group } => {
            format!("--subscription {} --resource-group {}", shell(subscription), shell(group))
        }
    }
}

const ASK: &str = r#"
: "${RESOURCE_GROUP:?set it to the resource group of the private zones}""#;

/// `add-record` makes a record set if there is none, and never removes an address; `update` does the opposite.
const HEAD: &str = r#"
# a ZONE NAME ADDRESS...: the record has these addresses and no others.
a() {
  record_set a ipv4-address aRecords ipv4Address "$@"
}

aaaa() {
  record_set aaaa ipv6-address aaaaRecords ipv6Address "$@"
}

record_set() {
  local type=$1 option=$2 list=$3 key=$4 zone=$5 name=$6 first=$7 records
  shift 6
  printf -v records "{\"$key\":\"%s\"}," "$@"
  az network private-dns record-set "$type" add-record "${place[@]}" --zone-name "$zone" \
    --record-set-name "$name" "--$option" "$first" --output none
  az network private-dns record-set "$type" update "${place[@]}" --zone-name "$zone" \
    --name "$name" --set "$list=[${records%,}]" --output none
}"#;
