//! The tree that Envoy's files are: of names that we know, and of texts that the list has. JSON's values would be
//! copies of them all, and of each name once per host.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A part of a file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Node<'a> {
    /// A part that is there once.
    Value(Value),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    #[serde(serialize_with = "write_object")]
    Object(Vec<(&'static str, Node<'a>)>),
}

/// The object with these members, in this order.
pub(super) fn object<'a, const N: usize>(members: [(&'static str, Node<'a>); N]) -> Node<'a> {
    Node::Object(members.into())
}

impl From<Value> for Node<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl<'a> From<&'a str> for Node<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a, T: Into<Node<'a>>> From<Vec<T>> for Node<'a> {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<'a, T: Into<Node<'a>>> FromIterator<T> for Node<'a> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

fn write_object<S: Serializer>(
    members: &[(&'static str, Node<'_>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
}
