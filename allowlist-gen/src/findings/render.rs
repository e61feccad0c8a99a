//! Writes a review for programs: as JSON of our own, and as SARIF, which code scanners exchange.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ringfence_config::snippet::Source;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::position::{Position, Positions};
use super::{Code, Finding, Object, Review, Severity};

/// The review as JSON, complete.
pub fn to_json(review: &Review) -> String {
    let counts: serde_json::Map<String, Value> = Severity::ALL
        .into_iter()
        .map(|severity| (severity.name().to_owned(), review.count(severity).into()))
        .collect();
    let registries = review.registries.iter().map(|registry| {
        json!({
            "login_server": registry.login_server.to_string(),
            "id": registry.id,
            "unknown": registry.unknown,
        })
    });
    let document = json!({
        "schema": 1,
        "counts": counts,
        "ignored": review.ignored,
        "registries": registries.collect::<Vec<_>>(),
        "findings": review.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    pretty(&document)
}

fn finding(finding: &Finding) -> Value {
    let rule = finding.rule();
    let steps = finding.steps();
    let steps = steps.iter().map(|step| json!({"text": step.text, "commands": step.commands}));
    let place = finding.place().map(
        |place| json!({"file": place.source(), "document": place.document(), "path": place.path()}),
    );
    json!({
        "code": rule.code,
        "severity": rule.severity.name(),
        "registry": finding.login_server().to_string(),
        "object": { "kind": kind(&finding.object()), "name": finding.object().name() },
        "detail": finding.detail(),
        "message": finding.to_string(),
        "title": rule.title,
        "why": rule.why,
        "steps": steps.collect::<Vec<_>>(),
        "source": rule.source,
        "place": place,
        "fingerprint": fingerprint(finding),
    })
}

/// The review as SARIF 2.1.0. `files` are the inputs that other programs can open; findings in them have a line.
/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
pub fn to_sarif(review: &Review, files: &[&Source]) -> String {
    let mut positions: BTreeMap<&str, Positions<'_>> = BTreeMap::new();
    for file in files {
        positions.insert(file.name.as_str(), Positions::new(&file.text));
    }
    let results: Vec<Value> =
        review.findings.iter().map(|finding| result(finding, &mut positions)).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "allowlist-gen",
                "fullName": "Ringfence allowlist-gen findings",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": Code::ALL.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications(review),
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    pretty(&document)
}

fn rule(code: Code) -> Value {
    let rule = code.rule();
    json!({
        "id": rule.code,
        "shortDescription": { "text": sentence(rule.title) },
        "fullDescription": { "text": sentence(&format!("{}: {}", rule.title, rule.why)) },
        "help": { "text": sentence(&format!("{} ({})", rule.why, rule.source)) },
        "helpUri": rule.source,
        "defaultConfiguration": { "level": rule.severity.name() },
    })
}

fn result(finding: &Finding, positions: &mut BTreeMap<&str, Positions<'_>>) -> Value {
    let code = finding.kind.code();
    let index = Code::ALL.iter().position(|other| *other == code);
    let mut location = json!({
        "logicalLocations": [{
            "name": finding.object().name().rsplit('/').next(),
            "fullyQualifiedName": finding.object().name(),
            "kind": "resource",
        }],
    });
    if let Some(place) = finding.place()
        && let Some(positions) = positions.get_mut(place.source())
    {
        let mut physical = json!({ "artifactLocation": { "uri": uri(place.source()) } });
        if let Some(Position { line, column }) = positions.find(place) {
            physical["region"] = json!({ "startLine": line, "startColumn": column });
        }
        location["physicalLocation"] = physical;
    }
    json!({
        "ruleId": code.name(),
        "ruleIndex": index,
        "level": code.severity().name(),
        "message": { "text": message(finding) },
        "locations": [location],
        "partialFingerprints": { "ringfenceFinding/v1": fingerprint(finding) },
        "properties": { "registry": finding.login_server().to_string() },
    })
}

/// What was found and what to do, since many viewers show nothing else.
fn message(finding: &Finding) -> String {
    let mut text = sentence(&format!("`{}`: {finding}", finding.registry()));
    for step in finding.steps() {
        text.push('\n');
        text.push_str(&sentence(&step.text));
        for command in step.commands {
            text.push_str("\n    ");
            text.push_str(&command);
        }
    }
    text
}

/// What the input didn't tell is no result, and must not pass for none either.
fn notifications(review: &Review) -> Vec<Value> {
    let unknown = review.registries.iter().filter(|registry| !registry.unknown.is_empty());
    unknown
        .map(|registry| {
            let text = format!(
                "Of `{}`, the input doesn't tell {}.",
                registry.login_server,
                registry.unknown.join(", ")
            );
            json!({ "level": "note", "message": { "text": text }, "descriptor": { "id": "settings-unknown" } })
        })
        .collect()
}

/// The same for the same finding in every run, whatever the files are called and the messages say.
fn fingerprint(finding: &Finding) -> String {
    let parts = [
        finding.code(),
        &finding.login_server().to_string(),
        &finding.object().name().to_ascii_lowercase(),
        &finding.detail(),
    ];
    let mut text = String::new();
    for byte in Sha256::digest(parts.join("\n")) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn kind(object: &Object) -> &'static str {
    match object {
        Object::Resource(_) => "resource",
        Object::Host(_) => "host",
    }
}

/// As other tools' messages are: with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    format!("{}{}.", first.to_uppercase(), characters.as_str())
}

/// A path as a reference to it (RFC 3986); one from the root says that it is a file.
fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("its keys are text");
    text.push('\n');
    text
}
