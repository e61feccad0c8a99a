//! Readers of YAML: our own library, and Python's.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::consumer::Verdict;
use crate::lists;

/// The documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    if documents.is_empty() { Err("no document".to_owned()) } else { Ok(documents) }
}

/// The documents of each of `texts`, as `PyYAML` reads them.
pub(super) fn read_by_pyyaml(python: &Path, texts: &[String]) -> Vec<Vec<Value>> {
    let answer = ask(python, "read", texts).expect("PyYAML reads them all");
    serde_json::from_str(&answer).expect("JSON")
}

/// What `kubernetes-validate --strict` says of those objects in `text` whose schemas Kubernetes itself has.
pub(super) fn kubernetes_validate(python: &Path, text: &str) -> Verdict {
    let answer = ask(python, "validate", &[text.to_owned()])?;
    let errors: Vec<String> = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

/// What `consumers/kubernetes.py` answers to `texts`.
fn ask(python: &Path, question: &str, texts: &[String]) -> Result<String, String> {
    let script = lists::tests().join("exports/consumers/kubernetes.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(question)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = serde_json::to_vec(texts).expect("strings");
    // The script reads all of it before it writes.
    stdin.write_all(&input).map_err(|error| error.to_string())?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}
