//! Checkers of ours around other people's libraries: Python programs in `tests/exports/consumers` that answer line by
//! line, so that a library that is slow to load is loaded once.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use crate::consumer::Verdict;
use crate::{consumer, lists};

/// A checker that is running; dropping it ends it.
pub(crate) struct Checker {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
    folder: PathBuf,
}

/// How long an answer may take: some load a thousand modules first.
const PATIENCE: Duration = Duration::from_mins(2);

impl Checker {
    /// Starts `script` with the Python of `environment`, which says so if it isn't installed.
    pub(crate) fn start(environment: &str, script: &str, arguments: &[&OsStr]) -> Option<Self> {
        let python = consumer::installed(&format!("{environment}/bin/python"))?;
        let folder = python.ancestors().nth(2).expect("it is in a folder of `bin`").to_owned();
        let mut child = Command::new(&python)
            .arg(lists::tests().join("exports/consumers").join(script))
            .args(arguments)
            .env("LANG", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let questions = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, questions, answers, folder })
    }

    /// What it answers: a value, or why it refuses the question.
    pub(crate) fn ask(&mut self, question: &Value) -> Result<Value, String> {
        let questions = self.questions.as_mut().expect("it is open until the end");
        writeln!(questions, "{question}").expect("the checker reads");
        let line = self.answers.recv_timeout(PATIENCE).expect("the checker answers");
        let mut answer: Value = serde_json::from_str(&line).expect("an answer in JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Whether it takes `text`.
    pub(crate) fn judge(&mut self, text: &str) -> Verdict {
        self.ask(&text.into()).map(drop)
    }

    /// The version of a package in its environment.
    pub(crate) fn version(&self, package: &str) -> String {
        let script = format!("import importlib.metadata as m; print(m.version('{package}'))");
        consumer::first_line(Command::new(self.folder.join("bin/python")).args(["-c", &script]))
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        // Without further questions it ends by itself, and takes its files with it.
        drop(self.questions.take());
        let _ = self.answers.recv_timeout(PATIENCE);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
