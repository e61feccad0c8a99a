//! JSON and YAML as rules are written in: values that know where they stand.
//!
//! A key that stands twice is refused: readers differ on which of the two counts, and a rule could hide behind the
//! other.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    /// A boolean or a number, as text.
    Plain(String),
    Text(String),
    List(Vec<Placed>),
    Map(Vec<(String, Placed)>),
}

/// A value, and the line it begins in; 0 in JSON, where the path says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    line: usize,
    tree: Tree,
}

/// A value and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    placed: &'t Placed,
    path: String,
}

/// All documents of a text in YAML or JSON.
pub(super) fn read(text: &str) -> Result<Vec<Placed>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_json(text) {
        let trees = serde_json::Deserializer::from_str(text).into_iter::<Tree>();
        return trees
            .map(|tree| tree.map(|tree| Placed { line: 0, tree }).map_err(|e| e.to_string()))
            .collect();
    }
    let trees: Vec<Spanned<Tree>> =
        serde_saphyr::from_multiple(text).map_err(|error| first_line(&error.to_string()))?;
    Ok(trees.into_iter().map(Placed::from).collect())
}

/// Whether a text begins as JSON's lists and objects do.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// A parser's message without its picture of the text.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

impl From<Spanned<Tree>> for Placed {
    fn from(spanned: Spanned<Tree>) -> Self {
        let line = usize::try_from(spanned.referenced.line()).unwrap_or_default();
        Self { line, tree: spanned.value }
    }
}

impl<'t> Node<'t> {
    pub(super) fn root(placed: &'t Placed) -> Self {
        Self { placed, path: "$".to_owned() }
    }

    pub(super) fn line(&self) -> Option<usize> {
        (self.placed.line > 0).then_some(self.placed.line)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What `key` says, if anything.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let found = self.entries().find(|(name, _)| *name == key)?;
        (found.1.placed.tree != Tree::Null).then_some(found.1)
    }

    /// Keys and values of a map; none of anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, Self)> + use<'t> {
        let entries: &'t [(String, Placed)] = match &self.placed.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        };
        let path = self.path.clone();
        entries.iter().map(move |(key, placed)| {
            (key.as_str(), Self { placed, path: format!("{path}.{key}") })
        })
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'t> {
        let items: &'t [Placed] = match &self.placed.tree {
            Tree::List(items) => items,
            _ => &[],
        };
        let path = self.path.clone();
        items
            .iter()
            .enumerate()
            .map(move |(index, placed)| Self { placed, path: format!("{path}[{index}]") })
    }

    /// The items of the list that `key` has.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|node| node.items().collect()).unwrap_or_default()
    }

    pub(super) fn is_null(&self) -> bool {
        self.placed.tree == Tree::Null
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.placed.tree, Tree::List(_))
    }

    /// A text, or a number or a boolean as one.
    pub(super) fn text(&self) -> Option<&'t str> {
        match &self.placed.tree {
            Tree::Text(text) | Tree::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// The text that `key` has.
    pub(super) fn string(&self, key: &str) -> Option<&'t str> {
        self.get(key)?.text()
    }

    /// This value and all below it, from the top down.
    pub(super) fn walk(&self) -> Vec<Self> {
        let mut nodes = Vec::new();
        let mut stack = vec![self.clone()];
        while let Some(node) = stack.pop() {
            let mut below: Vec<Self> = node.entries().map(|(_, value)| value).collect();
            below.extend(node.items());
            stack.extend(below.into_iter().rev());
            nodes.push(node);
        }
        nodes
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Tree>>()? {
            items.push(item.into());
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries: Vec<(String, Placed)> = Vec::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            entries.push((key, map.next_value::<Spanned<Tree>>()?.into()));
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(Option<usize>, String, String)> {
        let trees = read(text).expect(text);
        let nodes = trees.iter().flat_map(|placed| Node::root(placed).walk());
        nodes
            .filter_map(|node| Some((node.line(), node.path.clone(), node.text()?.to_owned())))
            .collect()
    }

    #[test]
    fn values_know_where_they_stand() {
        let row = |line, path: &str, text: &str| (line, path.to_owned(), text.to_owned());
        assert_eq!(
            places("a:\n  - b: c\n    d: 443\n---\ne: [f,\n  'g']\n"),
            [
                row(Some(2), "$.a[0].b", "c"),
                row(Some(3), "$.a[0].d", "443"),
                row(Some(5), "$.e[0]", "f"),
                row(Some(6), "$.e[1]", "g"),
            ]
        );
        assert_eq!(
            places("{\n\t\"a\": [\"b\", true, null]}"),
            [row(None, "$.a[0]", "b"), row(None, "$.a[1]", "true")]
        );
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for text in ["{\"a\": 1, \"a\": 2}", "a: 1\na: 2\n", "{\"a\": ", "a: [", "a: &x [*x]\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
