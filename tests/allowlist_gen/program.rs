//! Runs the program in the folder of the fixtures, so that no path in its output depends on the machine.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one run did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    arguments: Vec<String>,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The hosts of a list that was written with `--format text`.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl Run {
    /// Calls a file whose path depends on the machine by another name.
    pub(crate) fn rename(&mut self, path: &str, name: &str) {
        for text in self.arguments.iter_mut().chain([&mut self.stdout, &mut self.stderr]) {
            *text = text.replace(path, name);
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ allowlist-gen {}", self.arguments.join(" "))?;
        writeln!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n--- {name}\n{text}")?;
            }
        }
        Ok(())
    }
}

/// `allowlist-gen generate` with `arguments`.
pub(crate) fn generate(arguments: &[&str]) -> Run {
    generate_from(b"", arguments)
}

/// The same, with something on standard input.
pub(crate) fn generate_from(stdin: &[u8], arguments: &[&str]) -> Run {
    let arguments: Vec<&str> = ["generate"].iter().chain(arguments).copied().collect();
    program(stdin, &arguments)
}

pub(crate) fn program(stdin: &[u8], arguments: &[&str]) -> Run {
    program_in(&fixtures(), stdin, arguments)
}

/// The same, in another folder.
pub(crate) fn program_in(folder: &Path, stdin: &[u8], arguments: &[&str]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_allowlist-gen"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // The program may end without reading.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    let output = child.wait_with_output().expect("the program ends");
    Run {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        code: output.status.code().expect("no signal ends the program"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Compares `run` with the stored snapshot `name`.
#[track_caller]
pub(crate) fn snapshot(name: &str, run: &Run) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(tests().join("allowlist_gen/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, run.to_string()));
}

/// The folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    tests().join("fixtures/azure")
}

/// Every fixture, relative to their folder, sorted.
pub(crate) fn all_fixtures() -> Vec<String> {
    let root = fixtures();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension != "md") {
                let relative = path.strip_prefix(&root).expect("below the root");
                found.push(relative.to_str().expect("ASCII").to_owned());
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "the fixtures are there");
    found
}

pub(crate) fn read(fixture: &str) -> String {
    std::fs::read_to_string(fixtures().join(fixture)).expect(fixture)
}

pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}
