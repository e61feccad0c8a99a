//! Official JSON Schemas, made strict: those of Azure's resource manager and of Kubernetes leave objects open, so that a
//! misspelt key would pass them.

use std::path::PathBuf;

use jsonschema::{Draft, Registry, Validator};
use serde_json::{Map, Value};

use crate::consumer::Verdict;
use crate::lists;

/// A file in `tests/fixtures/schemas`.
pub(crate) fn read(path: &str) -> Value {
    let path: PathBuf = lists::tests().join("fixtures/schemas").join(path);
    let text = std::fs::read_to_string(&path).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

/// The same schema, in which an object has the properties that are written down and no others.
///
/// An object that is described in alternatives is closed once, outside: each alternative would refuse the properties
/// that stand beside them.
pub(crate) fn closed(schema: Value) -> Value {
    match schema {
        Value::Object(schema) => Value::Object(closed_node(schema)),
        Value::Array(schemas) => schemas.into_iter().map(closed).collect(),
        other => other,
    }
}

fn closed_node(node: Map<String, Value>) -> Map<String, Value> {
    let describes = node.get("properties").is_some_and(Value::is_object);
    let is_object = node.get("type").is_some_and(|kind| kind == "object");
    let mut closed_node: Map<String, Value> = node
        .into_iter()
        .map(|(key, value)| {
            let is_beside = describes && ["oneOf", "anyOf", "allOf"].contains(&key.as_str());
            let value = if is_beside { closed_alternatives(value) } else { closed(value) };
            (key, value)
        })
        .collect();
    let says_itself = ["additionalProperties", "unevaluatedProperties"];
    if is_object && describes && !says_itself.iter().any(|key| closed_node.contains_key(*key)) {
        closed_node.insert("unevaluatedProperties".into(), false.into());
    }
    closed_node
}

/// Alternatives that stay open themselves, while all below them is closed.
fn closed_alternatives(alternatives: Value) -> Value {
    let Value::Array(alternatives) = alternatives else { return alternatives };
    let open = alternatives.into_iter().map(|alternative| match alternative {
        Value::Object(alternative) => Value::Object(
            alternative.into_iter().map(|(key, value)| (key, closed(value))).collect(),
        ),
        other => other,
    });
    open.collect()
}

/// A validator of `schema`, which may refer to `documents` by their addresses.
pub(crate) fn validator(schema: &Value, documents: &[(&str, Value)]) -> Validator {
    let resources = documents.iter().map(|(uri, document)| (*uri, document));
    let registry = Registry::new()
        .draft(Draft::Draft202012)
        .extend(resources)
        .and_then(jsonschema::RegistryBuilder::prepare)
        .expect("schemas that refer to each other");
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_registry(&registry)
        .build(schema)
        .expect("a schema")
}

/// Holds `value` to a schema; what it says against it names the place.
pub(crate) fn check(validator: &Validator, value: &Value) -> Verdict {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}
