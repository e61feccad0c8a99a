//! Reads the JSON that Azure writes about registries, in whatever shape, into [`Registry`] values.
//!
//! Every file says by itself what it is. Files about one registry are joined, in any order. What a
//! registry answers on is decided elsewhere; here it is only read, and refused where it can't be
//! read.

mod join;
mod node;
mod posture;
mod private_link;
mod record;
mod shape;

use std::fmt;
use std::net::IpAddr;

use ringfence_config::address::Class;
use ringfence_config::registry::{Region, RegionError};
use ringfence_config::snippet::{self, Source, escape};

use crate::endpoint::{self, Endpoint, LoginServer};
use crate::registry::{Registry, Status};
pub use node::Place;

/// Reads `sources` as one body of evidence: at least one registry, sorted by login server.
pub fn read(sources: &[Source]) -> Result<Vec<Registry>, Error> {
    let mut records = Vec::new();
    for source in sources {
        for (index, document) in parse(source)?.iter().enumerate() {
            records.extend(shape::read(&node::Node::root(source, index, document))?);
        }
    }
    join::join(records)
}

/// Takes a file's bytes for text: UTF-8, with or without a byte order mark.
pub fn decode(name: &str, bytes: Vec<u8>) -> Result<Source, Error> {
    let name = name.to_owned();
    // Windows PowerShell 5 redirects as UTF-16; a JSON text starts with an ASCII character, so a
    // zero beside it gives UTF-16 away even without its mark (RFC 4627 §3).
    if matches!(bytes[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err(Error::Utf16(name));
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::NotUtf8(name.clone()))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(Source { name, text })
}

/// One document or several, one after another, as two commands print into one pipe.
fn parse(source: &Source) -> Result<Vec<serde_json::Value>, Error> {
    if source.text.trim().is_empty() {
        return Err(Error::Empty(source.name.clone()));
    }
    serde_json::Deserializer::from_str(&source.text)
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Syntax(Syntax::new(source, &error)))
}

/// Why metadata can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// UTF-16 bytes.
    #[error("{0} is UTF-16, and JSON is UTF-8")]
    Utf16(String),
    /// Other bytes that are no UTF-8.
    #[error("{0} is not UTF-8 text")]
    NotUtf8(String),
    /// Not even white space.
    #[error("{0} is empty")]
    Empty(String),
    /// Not JSON.
    #[error("{0}")]
    Syntax(Syntax),
    /// JSON of a kind that says nothing about registries.
    #[error("{0}: found {1}, which says nothing about a registry")]
    Unrecognised(Place, String),
    /// A value of the wrong JSON type.
    #[error("{place}: expected {expected}, found {found}")]
    WrongType {
        /// Where.
        place: Place,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A key without which the object says nothing.
    #[error("{0}: `{1}` is missing")]
    Missing(Place, &'static str),
    /// One page of several.
    #[error("{0}: the listing is incomplete, `{1}` says that there is more")]
    Incomplete(Place, &'static str),
    /// A text that is no resource id.
    #[error("{0}: `{1}` is not a resource id")]
    ResourceId(Place, String),
    /// A text that is no host of a registry.
    #[error("{0}: `{1}` is not a host of a registry: {2}")]
    Host(Place, String, endpoint::Error),
    /// A host of a registry, in the wrong list.
    #[error("{0}: `{1}` is not {2}")]
    WrongFamily(Place, Endpoint, &'static str),
    /// A host of another registry.
    #[error("{0}: `{1}` is not a host of `{2}`")]
    Stranger(Place, Endpoint, LoginServer),
    /// A text that is no region.
    #[error("{0}: `{1}` is not a region: {2}")]
    Region(Place, String, RegionError),
    /// A host that lies in another region than the text beside it says.
    #[error("{0}: `{1}` does not lie in `{2}`")]
    OtherRegion(Place, Endpoint, Region),
    /// A text that is no IP address.
    #[error("{0}: `{1}` is not an IP address")]
    NotAnAddress(Place, String),
    /// An address that no private endpoint has.
    #[error("{0}: `{1}` is {2}, and a private endpoint has private addresses only")]
    NotPrivate(Place, IpAddr, Class),
    /// A network resource that belongs to something else.
    #[error("{0} belongs to {1}, not to a registry")]
    OtherService(Place, String),
    /// A network interface without a single host of a registry.
    #[error("{0}: this network interface has no host names of a private endpoint")]
    NoMembers(Place),
    /// A private endpoint that names no host, of a registry that nothing else describes.
    #[error(
        "{0}: private endpoint `{1}` ({2}) names no hosts, and nothing else in the input describes \
         its registry"
    )]
    Nameless(Place, String, Status),
    /// A part of a registry that nothing else describes.
    #[error("{0} belongs to registry `{1}`, which nothing else in the input describes")]
    Orphan(Place, String),
    /// A part of a registry, where two have its name.
    #[error("{0} belongs to registry `{1}`, and the input describes two of that name")]
    Ambiguous(Place, String),
    /// DNS records of registries that nothing else describes.
    #[error(
        "{0}: none of the DNS records belongs to a registry that the rest of the input describes"
    )]
    OrphanZone(String),
    /// Two files place one registry in two regions.
    #[error("`{0}` has its home region in `{1}` ({2}) and in `{3}` ({4})")]
    TwoHomes(LoginServer, Region, String, Region, String),
    /// Nothing but empty lists.
    #[error("the input is empty lists only, so it describes no registry")]
    NoRegistry,
}

impl Error {
    /// What to do about it, if that is more than to correct what the message names; commands stand
    /// on lines of their own.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Utf16(_) => {
                "Windows PowerShell 5 redirects as UTF-16; use PowerShell 7, or\n  \
                 az … | Out-File -Encoding utf8 FILE"
            }
            Self::NotUtf8(_) => "save it as UTF-8",
            Self::Empty(_) => {
                "the command that should have filled it failed; run it again, and see what it says"
            }
            Self::Syntax(syntax) => return syntax.remedy().map(str::to_owned),
            Self::Unrecognised(..) | Self::NoRegistry => PRODUCERS,
            Self::Missing(..) => "give the whole output of the command, without `--query`",
            Self::Incomplete(..) => {
                "az fetches all pages by itself\n  az acr list\n  az graph query --first 1000"
            }
            Self::Host(_, _, endpoint::Error::UnknownSuffix) => {
                "hosts of a domain of your own go on a hand-written list, with a `why`"
            }
            Self::NoMembers(_) => {
                "give the interface that `networkInterfaces` of the private endpoint names; it has \
                 hosts once the endpoint is approved"
            }
            Self::OtherService(..) => {
                "give what belongs to the registry's own private endpoints; these are they\n  \
                 az acr private-endpoint-connection list --registry-name NAME"
            }
            Self::Nameless(_, endpoint, Status::Approved) => {
                return Some(format!(
                    "give the interface that `networkInterfaces` of `{endpoint}` names, or the \
                     registry\n  \
                     az network nic show --ids ID\n  az acr show --name NAME",
                    endpoint = escape(endpoint)
                ));
            }
            Self::Nameless(..) => {
                "it has no hosts before it is approved; give the registry\n  \
                 az acr show --name NAME"
            }
            Self::Ambiguous(_, name) => {
                return Some(format!(
                    "give what tells their ids\n  az acr show --name {}",
                    escape(name)
                ));
            }
            Self::Orphan(_, name) => {
                return Some(format!(
                    "give the registry, too\n  az acr show --name {}",
                    escape(name)
                ));
            }
            Self::OrphanZone(_) => "give the registry, too\n  az acr show --name NAME",
            Self::TwoHomes(..) => "a registry never moves: one of these is about another",
            Self::WrongType { .. }
            | Self::ResourceId(..)
            | Self::WrongFamily(..)
            | Self::Stranger(..)
            | Self::Host(..)
            | Self::Region(..)
            | Self::OtherRegion(..)
            | Self::NotAnAddress(..)
            | Self::NotPrivate(..) => return None,
        };
        Some(text.to_owned())
    }
}

/// A place at which a text stops being JSON.
#[derive(Debug, Clone)]
pub struct Syntax {
    source: Source,
    offset: usize,
    mistake: Mistake,
}

#[derive(Debug, Clone)]
enum Mistake {
    TrailingComma,
    CutOff,
    NotEvenAnObject,
    Other(String),
}

impl Syntax {
    fn new(source: &Source, error: &serde_json::Error) -> Self {
        let text = &source.text;
        let offset = offset(text, error.line(), error.column());
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let (offset, mistake) = match message {
            // The parser stops at the bracket behind the comma; the comma is what has to go.
            "trailing comma" => {
                (text[..offset].rfind(',').unwrap_or(offset), Mistake::TrailingComma)
            }
            _ if error.is_eof() => (offset, Mistake::CutOff),
            _ if text[..offset].trim().is_empty() && !text.trim().starts_with(['{', '[']) => {
                (offset, Mistake::NotEvenAnObject)
            }
            _ => (offset, Mistake::Other(message.to_owned())),
        };
        Self { source: source.clone(), offset, mistake }
    }

    fn remedy(&self) -> Option<&'static str> {
        match self.mistake {
            Mistake::TrailingComma => Some(
                "delete the comma; az doesn't write it, but it does stand in a sample of the \
                 documentation",
            ),
            Mistake::CutOff => Some("fetch it again; this file is cut off"),
            Mistake::NotEvenAnObject => Some("let az print JSON: `-o json`"),
            Mistake::Other(_) => None,
        }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, label) = match &self.mistake {
            Mistake::TrailingComma => {
                ("trailing comma: not valid JSON", "nothing follows this comma")
            }
            Mistake::CutOff => ("the JSON ends too early", "here"),
            Mistake::NotEvenAnObject => ("this is not JSON", ""),
            Mistake::Other(message) => (message.as_str(), ""),
        };
        let width = self.source.text[self.offset..].chars().next().map_or(0, char::len_utf8);
        let place =
            snippet::Place { source: &self.source, span: self.offset..self.offset + width, label };
        snippet::write(f, title, &[place], None)
    }
}

/// The byte that `serde_json`'s line and column (both from 1, in bytes) point at.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    text.floor_char_boundary((start + column.saturating_sub(1)).min(text.len()))
}

const PRODUCERS: &str = "\
give the JSON that one of these prints, or ARM or Resource Graph for the same resource:
  az acr show-endpoints --name NAME
  az acr show --name NAME, az acr list
  az acr replication list --registry NAME
  az acr private-endpoint-connection list --registry-name NAME
  az network private-endpoint show, az network nic show
  az network private-dns record-set a list";
