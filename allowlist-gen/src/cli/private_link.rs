//! `private-link` plans what must be approved, and which records private zones must have.

use std::path::PathBuf;

use allowlist_gen::metadata;
use allowlist_gen::private_link::{Format, GroupRecords, Plan, Wishes, ZoneChoice};
use clap::Args;
use ringfence_config::registry::Region;

use super::files::{Destination, tell};
use super::input::Input;
use super::{Answer, Failure};

/// Plan which records the private zones of registries must have, and which connections wait for approval
///
/// FILEs are metadata, as for `generate`: the registry, the network interfaces of its private endpoints, and the records
/// of the zones. What isn't in them isn't taken for right; the plan says what to give, too. It changes nothing.
///
/// Exit codes: 0 everything is as it should be; 1 there is something to do, or to find out; 2 it couldn't be told.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct PrivateLinkArguments {
    /// How to write the plan
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// A region that the registries will have, as often as needed
    #[arg(long = "future-region", value_name = "REGION")]
    future_regions: Vec<Region>,

    /// Only this private endpoint, by name or resource id, as often as needed
    #[arg(long = "private-endpoint", value_name = "NAME|ID")]
    private_endpoints: Vec<String>,

    /// Only this zone, by name or resource id, as often as needed
    ///
    /// By id, also one that the input says nothing of.
    #[arg(long = "zone", value_name = "NAME|ID")]
    zone_choices: Vec<ZoneChoice>,

    /// The resource group of the zones, where the input doesn't tell it
    #[arg(long, value_name = "NAME", value_parser = parse_group)]
    zone_resource_group: Option<String>,

    /// Write also the records that a private endpoint's DNS zone group should have written
    ///
    /// The group and whoever applies the plan then both write them.
    #[arg(long)]
    by_hand: bool,

    // Last, because the heading of its options holds for all that follow.
    #[command(flatten)]
    input: Input,
}

const AFTER_HELP: &str = "\
What the files should hold, beside the registry (az acr show):
  az acr private-endpoint-connection list            what waits for approval
  az network nic show                                the addresses, of each private endpoint
  az network private-dns record-set a list           what the zones have
  az network private-endpoint dns-zone-group list    who writes it, of each private endpoint

Examples:
  allowlist-gen private-link contoso.json nic.json records.json
  allowlist-gen private-link contoso.json nic.json records.json --format az --output records.sh
  allowlist-gen private-link contoso.json nic.json --zone-resource-group rg-dns --format terraform
  allowlist-gen private-link contoso.json nic.json records.json --future-region northeurope";

/// Reads the metadata, plans, and writes the plan.
pub(super) fn private_link(raw: PrivateLinkArguments) -> Result<Answer, Failure> {
    let registries =
        metadata::read(&raw.input.read()?).map_err(|error| Failure::Generate(error.into()))?;
    let wishes = Wishes {
        future_regions: raw.future_regions,
        private_endpoints: raw.private_endpoints,
        zones: raw.zone_choices,
        resource_group: raw.zone_resource_group,
    };
    let plan = Plan::of(&registries, &wishes)?;
    let by_group = if raw.by_hand { GroupRecords::Written } else { GroupRecords::Left };
    let rendered = plan.render(raw.format, by_group)?;
    if wishes.resource_group.is_some() && !plan.needs_resource_group() {
        tell(
            &"warning: `--zone-resource-group` isn't needed: the input tells where the zones are\n",
        );
    }
    for warning in &rendered.warnings {
        tell(&format_args!("warning: {warning}\n"));
    }
    Destination::from(raw.output).write(rendered.text.as_bytes())?;
    Ok(if plan.is_done() { Answer::Yes } else { Answer::No })
}

/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources>
fn parse_group(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    let is_group = (1..=90).contains(&text.chars().count()) && text.chars().all(is_plain);
    if is_group && !text.ends_with('.') {
        return Ok(text.to_owned());
    }
    Err("a resource group is called by letters, digits, `-`, `_`, `.` and brackets, 90 at most")
}
