//! The rules that a CRD has beside its schema, in CEL, as the API server runs them:
//! <https://kubernetes.io/docs/reference/using-api/cel/>

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Program};
use ipnet::IpNet;
use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

/// What `x-kubernetes-validations` says of one place in a schema.
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    text: String,
    program: Program,
}

impl Rules {
    /// Of the keyword's value, a list of objects.
    pub(super) fn new(keyword: &Value) -> Self {
        let rules = keyword.as_array().expect("a list of rules").iter().map(|rule| {
            let text = rule["rule"].as_str().expect("a rule").to_owned();
            Rule { program: Program::compile(&text).expect(&text), text }
        });
        Self(rules.collect())
    }

    /// The first rule that `instance` breaks, and what came of it.
    fn broken_by(&self, instance: &Value) -> Option<String> {
        let mut context = Context::default();
        context.add_function("isCIDR", is_cidr).expect("no other function is called so");
        context.add_variable_from_value("self", value(instance));
        self.0.iter().find_map(|Rule { text, program }| match program.execute(&context) {
            Ok(cel::Value::Bool(true)) => None,
            other => Some(format!("`{text}` is {other:?}")),
        })
    }
}

impl<'i> Keyword<'i> for Rules {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.broken_by(instance).map_or(Ok(()), |said| Err(ValidationError::custom(said)))
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.broken_by(instance).is_none()
    }
}

/// Of Kubernetes' own functions the one that the rules here call.
#[expect(clippy::needless_pass_by_value, reason = "the interpreter passes its strings like that")]
fn is_cidr(text: Arc<String>) -> bool {
    text.parse::<IpNet>().is_ok()
}

/// The same in CEL, whose integers have a sign.
fn value(json: &Value) -> cel::Value {
    match json {
        Value::Null => cel::Value::Null,
        Value::Bool(bool) => cel::Value::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => cel::Value::Int(integer),
            None => cel::Value::Float(number.as_f64().expect("a number")),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(value).collect::<Vec<_>>().into(),
        Value::Object(object) => {
            let fields = object.iter().map(|(key, field)| (key.clone(), value(field)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}
