//! A script that writes the records of private endpoints into private zones, for zones that are kept by hand.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::export::sheet::{Host, Sheet};
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "azure-private-dns.sh",
    kind: Kind::Answer,
    scope: Scope::Pinned,
    takes: &[Setting::PinnedOnly],
    needs: &[],
    limits: "20 addresses a record set, 25 000 record sets a zone: more is an error",
    notes: &[
        "For zones that are kept by hand: a private endpoint with a DNS zone group writes its records itself.",
        "The zones must exist, and be linked to the networks that ask. Each record gets exactly the addresses of the \
         list; a record that the list doesn't have stays as it is.",
        "Unless a zone's link falls back to the internet, a name that the zone doesn't have doesn't exist: every registry \
         that is reached through Private Link needs all its hosts in it.",
    ],
    apply: "RESOURCE_GROUP=\"$RESOURCE_GROUP\" bash azure-private-dns.sh",
    validator: "Bash, with azure-cli's requests recorded and held to Azure's published schemas",
    sources: &[
        "https://learn.microsoft.com/cli/azure/network/private-dns/record-set/a",
        "https://learn.microsoft.com/azure/private-link/private-endpoint-dns",
        "https://learn.microsoft.com/azure/dns/private-dns-privatednszone#limits",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut records = Vec::new();
    let mut sets: BTreeMap<String, usize> = BTreeMap::new();
    for host in &sheet.hosts {
        let record = Record::new(sheet, host)?;
        *sets.entry(record.zone.clone()).or_default() += record.sets();
        records.push(record);
    }
    let most = sets.into_values().max().unwrap_or_default();
    sheet.at_most(25_000, "record sets in a zone", most)?;

    let mut text = Text::new(format!("#!/usr/bin/env bash\n{}", sheet.header("# ")));
    text.line(HEAD);
    for record in &records {
        text.line(format_args!("\n# {}", record.remark));
        for (function, addresses) in [("a", &record.v4), ("aaaa", &record.v6)] {
            if !addresses.is_empty() {
                let (zone, name) = (&record.zone, &record.name);
                text.line(format_args!("{function} {zone} {name} {}", addresses.join(" ")));
            }
        }
    }
    Ok(text.into_string())
}

/// What a host is in its zone.
struct Record {
    zone: String,
    name: String,
    v4: Vec<String>,
    v6: Vec<String>,
    remark: String,
}

impl Record {
    fn new(sheet: &Sheet<'_>, host: &Host<'_>) -> Result<Self, Error> {
        let refuse = |why: &'static str| Err(sheet.unrepresentable(host.name.as_str(), why));
        let Some(endpoint) = &host.endpoint else {
            return refuse("it is no registry's, so no zone of Private Link has it");
        };
        let mut record = Self {
            zone: endpoint.login_server().cloud().private_zone(),
            name: endpoint.private_record(),
            v4: Vec::new(),
            v6: Vec::new(),
            remark: host.remark(),
        };
        for pin in host.addresses.iter() {
            match pin.address() {
                Some(IpAddr::V4(address)) => record.v4.push(address.to_string()),
                Some(IpAddr::V6(address)) => record.v6.push(address.to_string()),
                None => {
                    return refuse("a record has single addresses, and this host a whole block");
                }
            }
        }
        let most = record.v4.len().max(record.v6.len());
        sheet.at_most(20, "addresses of a host", most)?;
        Ok(record)
    }

    fn sets(&self) -> usize {
        [&self.v4, &self.v6].into_iter().filter(|addresses| !addresses.is_empty()).count()
    }
}

/// `add-record` makes a record set if there is none, and never removes an address; `update` does the opposite.
const HEAD: &str = r#"
set -euo pipefail

resource_group=${RESOURCE_GROUP:?"set RESOURCE_GROUP to the resource group of the private zones"}

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
  az network private-dns record-set "$type" add-record --resource-group "$resource_group" --zone-name "$zone" \
    --record-set-name "$name" "--$option" "$first" --output none
  az network private-dns record-set "$type" update --resource-group "$resource_group" --zone-name "$zone" \
    --name "$name" --set "$list=[${records%,}]" --output none
}"#;
