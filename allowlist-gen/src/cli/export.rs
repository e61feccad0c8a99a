//! `export` writes a list for whatever enforces or uses it; `formats` tells for what it can.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use allowlist_gen::export::{
    self, Ca, Export, Format, Options, Overview, Page, ProxyUrl, Unpinned,
};
use clap::Args;
use ipnet::IpNet;
use ringfence_config::address::{BlockError, parse_block};
use ringfence_config::registry::{Label, Region};
use ringfence_config::{Allowlist, Document, Issue, document};

use super::files::{Destination, is_stdin, print, read_text, tell};
use super::{Answer, Failure};

/// Write a list for a firewall, a proxy, a name server, a cluster or a client
///
/// An export has every entry of the list, or fails and says which one the format can't say. What a format leaves out
/// on purpose, and what else must be true for it to work, is told by `allowlist-gen formats FORMAT`.
///
/// Exit codes: 0 written; 2 it couldn't be.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct ExportArguments {
    /// For what; `allowlist-gen formats` describes each
    #[arg(value_name = "FORMAT")]
    format: Format,

    /// Allowlists, which are merged; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Write to this file, by rename, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Whose traffic the rules are for: an address or a CIDR block, as often as needed
    #[arg(long = "client", value_name = "CIDR", value_parser = parse_client)]
    clients: Vec<IpNet>,

    /// Where the proxy listens, as in 127.0.0.1:3128
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    listen: Option<SocketAddr>,

    /// The name server that the target asks, on port 53 unless it says another
    #[arg(long, value_name = "ADDRESS", value_parser = parse_resolver)]
    resolver: Option<SocketAddr>,

    /// The proxy that clients use, as in `http://proxy.corp.example:3128`
    #[arg(long, value_name = "URL")]
    proxy: Option<ProxyUrl>,

    /// A file of certificates, in PEM, that clients of the proxy are to trust
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The namespace that a cluster's policy is for
    #[arg(long, value_name = "NAME", value_parser = parse_namespace)]
    namespace: Option<Label>,

    /// A region that the registries behind Private Link will have, as often as needed
    ///
    /// A change to an AKS cluster's noProxy reimages all its node pools, so hosts of replicas that are planned are
    /// better in it from the start.
    #[arg(long = "future-region", value_name = "REGION")]
    future_regions: Vec<Region>,

    /// Leave out hosts that have no private address, where only such hosts can be written
    #[arg(long)]
    pinned_only: bool,
}

const AFTER_HELP: &str = "\
Examples:
  allowlist-gen export squid allowlist.toml --client 10.10.0.0/16 --output squid.conf
  allowlist-gen export no-proxy allowlist.toml
  allowlist-gen export nftables allowlist.toml --client 10.10.0.0/16 --pinned-only
  allowlist-gen generate contoso.json | allowlist-gen export csv -";

/// Tell in which formats a list can be written
///
/// Without a name: a few lines for each. With one: all there is to know about it, in Markdown.
#[derive(Args)]
pub(super) struct FormatsArguments {
    /// The format to tell about
    #[arg(value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Format>,
}

/// Reads the lists, merges them, and writes them in the format.
pub(super) fn export(raw: ExportArguments) -> Result<Answer, Failure> {
    let (list, issue) = read_lists(&raw.files)?;
    let options = Options {
        clients: raw.clients,
        listen: raw.listen,
        resolver: raw.resolver,
        proxy: raw.proxy,
        ca: raw.ca.as_deref().map(read_ca).transpose()?,
        namespace: raw.namespace,
        future_regions: raw.future_regions,
        unpinned: if raw.pinned_only { Unpinned::LeftOut } else { Unpinned::Refused },
    };
    let destination = Destination::from(raw.output);
    write(raw.format, &list, issue, &options, &destination)
}

/// The lists in `files` as one, and which issue that is.
pub(super) fn read_lists(files: &[PathBuf]) -> Result<(Allowlist, Issue), Failure> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::TwoStdins);
    }
    let mut documents = Vec::new();
    for file in files {
        let (name, text) = read_text(file)?;
        let is_json = text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde_json::Value>(&text).is_ok();
        if is_json {
            return Err(Failure::Json(name));
        }
        documents.push(Document::parse(&name, &text)?);
    }
    Ok((document::merge(&documents)?, issue_of(&documents)))
}

/// Writes `list`, and says what whoever installs it should know.
pub(super) fn write(
    format: Format,
    list: &Allowlist,
    issue: Issue,
    options: &Options,
    destination: &Destination,
) -> Result<Answer, Failure> {
    tell_and_write(&export::render(format, list, issue, options)?, destination)
}

/// Writes what was derived from metadata, in a format that needs no settings.
pub(super) fn write_derived(
    format: Format,
    list: &Allowlist,
    issue: Issue,
    destination: &Destination,
) -> Result<Answer, Failure> {
    let export = match export::render(format, list, issue, &Options::default()) {
        _ if format == Format::Toml => export::derived(list, issue),
        Ok(export) => export,
        Err(error) => return Err(Failure::NeedsExport(format, error)),
    };
    tell_and_write(&export, destination)
}

fn tell_and_write(export: &Export, destination: &Destination) -> Result<Answer, Failure> {
    for warning in &export.warnings {
        tell(&format_args!("warning: {warning}\n"));
    }
    destination.write(export.text.as_bytes())?;
    Ok(Answer::Yes)
}

/// Tells about one format, or about all.
pub(super) fn formats(raw: &FormatsArguments) -> Result<Answer, Failure> {
    let text = match raw.format {
        Some(format) => Page(format).to_string(),
        None => Overview.to_string(),
    };
    print(text.as_bytes())?;
    Ok(Answer::Yes)
}

/// The issue of a single list; of several, only the first end: their serials count different things.
pub(super) fn issue_of(documents: &[Document]) -> Issue {
    match documents {
        [only] => only.issue(),
        several => {
            Issue { serial: None, not_after: several.iter().filter_map(Document::not_after).min() }
        }
    }
}

pub(super) fn read_ca(file: &Path) -> Result<Ca, Failure> {
    let (name, text) = read_text(file)?;
    text.parse().map_err(|error| Failure::Ca(name, error))
}

fn parse_client(text: &str) -> Result<IpNet, BlockError> {
    parse_block(text)
}

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    parse_socket(text).ok_or("write an address and a port, as in 127.0.0.1:3128 or [::1]:3128")
}

fn parse_namespace(text: &str) -> Result<Label, &'static str> {
    text.parse()
        .map_err(|_| "a namespace is made of lower-case letters, digits and hyphens, 63 at most")
}

pub(super) fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    alone.ok().or_else(|| parse_socket(text)).ok_or_else(|| {
        "write an address, as in 10.20.0.53 or fd00::53, or one with a port, as in 10.20.0.53:5353".to_owned()
    })
}

/// An address and a port that a file can hold: no port that the system chooses, no scope of this machine's.
fn parse_socket(text: &str) -> Option<SocketAddr> {
    let socket: SocketAddr = text.parse().ok()?;
    let has_scope = matches!(socket, SocketAddr::V6(v6) if v6.scope_id() != 0);
    (socket.port() != 0 && !has_scope).then_some(socket)
}
