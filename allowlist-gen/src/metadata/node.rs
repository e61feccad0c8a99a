//! A JSON value that knows where it stands.
//!
//! Two habits of Azure are settled here, once. A missing key, `null` and, for lists, `[]` all mean
//! that nothing is said. And ARM nests under `properties` what az prints flat, so a key is looked
//! up in both.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ringfence_config::address::{Class, Pin};
use ringfence_config::registry::Region;
use ringfence_config::snippet::Source;
use serde_json::Value;

use super::Error;
use crate::endpoint::Endpoint;
use crate::registry::{ResourceId, Scope};

/// A file and a JSON path in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(super) file: String,
    path: String,
    /// The name of the source, and which of its documents this is, from 0.
    source: Arc<str>,
    document: usize,
}

impl Place {
    /// The name of the source that it is in.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Which of the source's documents, from 0.
    pub fn document(&self) -> usize {
        self.document
    }

    #[cfg(test)]
    pub(crate) fn root_of(source: &str) -> Self {
        let (file, path) = (source.to_owned(), ROOT.to_owned());
        Self { file, path, source: source.into(), document: 0 }
    }

    /// The JSON path in that document, `$` for all of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// An item of a list comes with all others; an object by itself tells nothing of them.
    pub(super) fn scope(&self) -> Scope {
        if self.path == ROOT { Scope::Named } else { Scope::Registry }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path == ROOT {
            f.write_str(&self.file)
        } else {
            write!(f, "{} at `{}`", self.file, self.path)
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    place: Place,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn root(source: &Source, index: usize, value: &'a Value) -> Self {
        let file = match index {
            0 => source.name.clone(),
            later => format!("{} (document {})", source.name, later + 1),
        };
        let path = ROOT.to_owned();
        let place = Place { file, path, source: source.name.as_str().into(), document: index };
        Self { place, value }
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn file(&self) -> String {
        self.place.file.clone()
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// What `key` says, if anything.
    pub(super) fn key(&self, key: &str) -> Option<Self> {
        let direct = |value: &'a Value| value.get(key).filter(|value| !value.is_null());
        if let Some(value) = direct(self.value) {
            return Some(self.below(&format!(".{key}"), value));
        }
        let properties = self.value.get("properties")?;
        direct(properties).map(|value| self.below(&format!(".properties.{key}"), value))
    }

    pub(super) fn require(&self, key: &'static str) -> Result<Self, Error> {
        self.key(key).ok_or_else(|| Error::Missing(self.place(), key))
    }

    /// The items of the list under `key`; none if nothing is said.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Self>, Error> {
        self.key(key).map_or(Ok(Vec::new()), |node| node.items())
    }

    pub(super) fn require_list(&self, key: &'static str) -> Result<Vec<Self>, Error> {
        self.require(key)?.items()
    }

    pub(super) fn items(&self) -> Result<Vec<Self>, Error> {
        let Value::Array(items) = self.value else {
            return Err(self.wrong_type("a list"));
        };
        let place_item = |(index, item)| self.below(&format!("[{index}]"), item);
        Ok(items.iter().enumerate().map(place_item).collect())
    }

    pub(super) fn flag(&self) -> Result<bool, Error> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.wrong_type("text"))
    }

    /// A text for messages: nothing in it can move a terminal's cursor.
    pub(super) fn word(&self) -> Result<String, Error> {
        Ok(self.text()?.escape_debug().to_string())
    }

    pub(super) fn region(&self) -> Result<Region, Error> {
        let text = self.text()?;
        text.parse()
            .map_err(|error| Error::Region(self.place(), text.escape_debug().to_string(), error))
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, Error> {
        let text = self.text()?;
        text.parse()
            .map_err(|error| Error::Host(self.place(), text.escape_debug().to_string(), error))
    }

    pub(super) fn pin(&self) -> Result<Pin, Error> {
        let text = self.text()?;
        let Ok(address) = text.parse::<IpAddr>() else {
            return Err(Error::NotAnAddress(self.place(), text.escape_debug().to_string()));
        };
        let class = Class::of(address);
        // Loopback could be pinned by hand, but no private endpoint has it.
        match Pin::try_from(address) {
            Ok(pin) if class == Class::Private => Ok(pin),
            _ => Err(Error::NotPrivate(self.place(), address, class)),
        }
    }

    /// Ids end up in commands that people paste, so only the characters of resource names may pass.
    /// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
    pub(super) fn resource_id(&self) -> Result<ResourceId, Error> {
        self.resource_id_of(self.text()?)
    }

    /// The same of a part of the text.
    pub(super) fn resource_id_of(&self, text: &str) -> Result<ResourceId, Error> {
        let is_plain = |c: char| c.is_alphanumeric() || "/-_.()".contains(c);
        if text.starts_with('/') && text.chars().all(is_plain) {
            return Ok(ResourceId::new(text));
        }
        Err(Error::ResourceId(self.place(), text.escape_debug().to_string()))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    fn wrong_type(&self, expected: &'static str) -> Error {
        Error::WrongType { place: self.place(), expected, found: self.kind() }
    }

    fn below(&self, step: &str, value: &'a Value) -> Self {
        let mut place = self.place();
        place.path.push_str(step);
        Self { place, value }
    }
}

const ROOT: &str = "$";
