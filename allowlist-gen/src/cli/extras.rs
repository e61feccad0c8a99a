//! What goes onto a list beside the hosts of registries: presets, and hosts that someone names.

use std::collections::BTreeSet;

use allowlist_gen::endpoint::{Cloud, Endpoint};
use allowlist_gen::presets::{
    self, ExtraHost, Listing, Notes, Overview, Page, Preset, Request, Wildcards,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use ringfence_config::{Allowlist, Hostname, Port, Region};

use super::files::print;
use super::{Answer, Failure};

/// Hosts beside those of registries.
#[derive(Args)]
#[command(next_help_heading = "Hosts beside the registries'")]
pub(super) struct Extras {
    /// Add the hosts of a preset: one of `allowlist-gen presets`, as often as needed
    ///
    /// What of it can't be on a list, and what its wildcards would let through, is said on standard error. To name a
    /// preset is to consent to its wildcards.
    #[arg(
        long = "preset",
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(presets::all().iter().map(|preset| preset.name.as_str()))
            .map(|name| presets::find(&name).expect("the names are those of presets")),
        hide_possible_values = true
    )]
    presets: Vec<&'static Preset>,

    /// Where the cluster is, for presets' hosts that have a region in them
    #[arg(long = "location", value_name = "REGION", requires = "presets")]
    locations: Vec<Region>,

    /// The API server of your cluster, in place of a preset's wildcard over everyone's
    #[arg(long = "api-server", value_name = "HOST", requires = "presets", value_parser = parse_host)]
    api_servers: Vec<Hostname>,

    /// Leave out presets' wildcards, which most exports can't say
    #[arg(long, requires = "presets")]
    exact_only: bool,

    /// Add a host of your own, such as a registry's custom domain; each with its `--why`
    ///
    /// Clients of a registry with custom domains are sent to these, and Azure's metadata doesn't name them: add the one of
    /// the login server, and the one of each region's data endpoint.
    /// <https://github.com/Azure/acr/blob/main/docs/custom-domain/README.md>
    #[arg(long = "extra-host", value_name = "HOST[:PORT]", requires = "whys", value_parser = parse_extra)]
    extra_hosts: Vec<(Hostname, Port)>,

    /// What the extra host is needed for; the first `--why` is the first host's
    #[arg(long = "why", value_name = "TEXT", requires = "extra_hosts", value_parser = parse_why)]
    whys: Vec<String>,
}

/// A list with what was asked for beside it.
pub(super) struct Extended {
    pub(super) allowlist: Allowlist,
    pub(super) notes: Notes,
}

impl Extras {
    /// Tells mistakes that are mistakes whatever is on the list, before anybody is asked for one.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let request = self.request(Cloud::ALL.into())?;
        presets::select(&request).map_err(Failure::Preset)?;
        Ok(())
    }

    /// Adds to `list` what was asked for, of the clouds that its registries are in; with none on it, of `cloud`.
    pub(super) fn add_to(
        &self,
        list: Allowlist,
        cloud: Option<Cloud>,
    ) -> Result<Extended, Failure> {
        if self.presets.is_empty() && self.extra_hosts.is_empty() {
            return Ok(Extended { allowlist: list, notes: Notes::default() });
        }
        let mut clouds = clouds_of(&list);
        if clouds.is_empty() {
            clouds.insert(cloud.unwrap_or(Cloud::Public));
        }
        let request = self.request(clouds)?;
        let selection = presets::select(&request).map_err(Failure::Preset)?;
        let entries = list.entries().iter().cloned().chain(selection.entries);
        let allowlist = Allowlist::new(entries).map_err(Failure::Extra)?;
        Ok(Extended { allowlist, notes: selection.notes })
    }

    fn request(&self, clouds: BTreeSet<Cloud>) -> Result<Request, Failure> {
        let (hosts, whys) = (self.extra_hosts.len(), self.whys.len());
        if hosts != whys {
            return Err(Failure::Whys { hosts, whys });
        }
        let extra_hosts = self.extra_hosts.iter().zip(&self.whys).map(|((host, port), why)| {
            ExtraHost { host: host.clone(), port: *port, why: why.clone() }
        });
        let mut presets = self.presets.clone();
        presets.sort_by(|a, b| a.name.cmp(&b.name));
        presets.dedup();
        Ok(Request {
            presets,
            clouds,
            locations: self.locations.iter().cloned().collect(),
            api_servers: self.api_servers.iter().cloned().collect(),
            extra_hosts: extra_hosts.collect(),
            wildcards: if self.exact_only { Wildcards::LeftOut } else { Wildcards::Taken },
        })
    }
}

/// The clouds of the registries on `list`.
fn clouds_of(list: &Allowlist) -> BTreeSet<Cloud> {
    let endpoints =
        list.entries().iter().filter_map(|entry| entry.host.as_str().parse::<Endpoint>().ok());
    endpoints.map(|endpoint| endpoint.login_server().cloud()).collect()
}

fn parse_host(text: &str) -> Result<Hostname, ringfence_config::hostname::Error> {
    text.parse()
}

fn parse_extra(text: &str) -> Result<(Hostname, Port), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (
            host,
            port.parse()
                .map_err(|error: ringfence_config::hostname::PortError| error.to_string())?,
        ),
        _ => (text, Port::HTTPS),
    };
    if host.contains('*') {
        return Err(
            "write an exact host; a pattern belongs in a list of your own, with `allow_patterns`"
                .to_owned(),
        );
    }
    Ok((host.parse().map_err(|error: ringfence_config::hostname::Error| error.to_string())?, port))
}

fn parse_why(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        Err("say what the host is needed for")
    } else {
        Ok(text.to_owned())
    }
}

/// Tell which presets there are: published sets of hosts, such as what an AKS cluster needs
///
/// Without a name: a line for each. With one: its hosts, what of them can't be on a list and why, what to do instead,
/// and the page that says it.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct PresetsArguments {
    /// The preset to tell about
    #[arg(
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(presets::all().iter().map(|preset| preset.name.as_str()))
            .map(|name| presets::find(&name).expect("the names are those of presets")),
        hide_possible_values = true
    )]
    preset: Option<&'static Preset>,

    /// How to tell it
    #[arg(long, default_value = "text")]
    format: PresetsFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum PresetsFormat {
    /// For people; one preset is a page in Markdown
    Text,
    /// For programs
    Json,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen presets
  allowlist-gen presets aks/core
  allowlist-gen generate contoso.json --preset mcr --preset az-acr-login
  allowlist-gen generate contoso.json --preset aks/core \\
    --api-server demo-1a2b3c4d.hcp.eastus.azmk8s.io
  allowlist-gen generate contoso.json --extra-host images.contoso.com \\
    --why \"the registry's custom domain\"";

/// Tells about one preset, or about all.
pub(super) fn presets(raw: &PresetsArguments) -> Result<Answer, Failure> {
    let text = match (raw.format, raw.preset) {
        (PresetsFormat::Text, Some(preset)) => Page(preset).to_string(),
        (PresetsFormat::Text, None) => Overview.to_string(),
        (PresetsFormat::Json, only) => super::files::json(&Listing::new(only)),
    };
    print(text.as_bytes())?;
    Ok(Answer::Yes)
}
