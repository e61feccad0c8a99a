//! Readers of YAML, and judges of what is in it: our own library, Python's, and those of npm.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;
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
    let script = script("kubernetes.py");
    ask(Command::new(python).arg(script).arg("read"), texts).expect("PyYAML reads them all")
}

/// What `kubernetes-validate --strict` says of those objects in `text` whose schemas Kubernetes itself has.
pub(super) fn kubernetes_validate(python: &Path, text: &str) -> Verdict {
    let script = script("kubernetes.py");
    none(&ask::<Vec<String>>(Command::new(python).arg(script).arg("validate"), &[text])?)
}

/// The classes of `@kubernetes-models`, in one process: Node is long in loading them.
pub(super) struct Models {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Models {
    /// Of the packages in `modules`.
    pub(super) fn start(node: &Path, modules: &Path) -> Self {
        let mut process = Command::new(node)
            .arg(script("models.mjs"))
            .arg(modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node runs");
        let questions = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, questions, answers }
    }

    /// What they say of the objects in `text`.
    pub(super) fn accept(&mut self, text: &str) -> Verdict {
        let question = serde_json::to_string(&documents(text)?).expect("JSON");
        writeln!(self.questions, "{question}").map_err(|error| error.to_string())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|error| error.to_string())?;
        let complaints: Vec<String> =
            serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        none(&complaints)
    }
}

impl Drop for Models {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn none(complaints: &[String]) -> Verdict {
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

fn script(name: &str) -> PathBuf {
    lists::tests().join("exports/consumers").join(name)
}

/// What `command` answers to `question`, both in JSON.
fn ask<T: DeserializeOwned>(
    command: &mut Command,
    question: &[impl Serialize],
) -> Result<T, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = serde_json::to_vec(question).expect("JSON");
    // The scripts read all of it before they write.
    stdin.write_all(&input).map_err(|error| error.to_string())?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
