//! What judges our exports: Debian's programs, and what `tests/exports/consumers/install` brought from `PyPI` and npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use allowlist_gen::export::Format;
use test_support::skip;

use crate::lists;
use crate::matrix::Judgement;

/// The verdict of a consumer on a text: what it said against it, if it refuses it.
pub(crate) type Verdict = Result<(), String>;

/// A change after which the consumer must refuse the text.
#[derive(Clone, Copy)]
pub(crate) struct Mutation {
    /// The first place that says so …
    pub(crate) from: &'static str,
    /// … says this instead.
    pub(crate) to: &'static str,
}

/// Shows every list in `format` to `accepts`, and then the list `contoso` with each of the mutations, of which
/// there are at least three.
#[track_caller]
pub(crate) fn judge(
    format: Format,
    mutations: &[Mutation],
    mut accepts: impl FnMut(&str) -> Verdict,
) -> Judgement {
    assert!(mutations.len() >= 3, "who accepts everything is no judge");
    let mut accepted = 0;
    for list in lists::all() {
        let Ok(export) = list.export(format) else { continue };
        if let Err(said) = accepts(&export.text) {
            panic!("{} of {} is refused: {said}\n{}", format.name(), list.name, export.text);
        }
        accepted += 1;
    }
    let text = lists::contoso().export(format).expect("the list can be written").text;
    for Mutation { from, to } in mutations {
        let mutated = text.replacen(from, to, 1);
        assert_ne!(text, mutated, "`{from}` stands nowhere in\n{text}");
        assert!(accepts(&mutated).is_err(), "`{to}` for `{from}` is accepted in\n{mutated}");
    }
    Judgement { accepted, rejected: mutations.len(), probes: 0 }
}

/// Runs a command to its end; what it printed is why it refuses, if it does.
pub(crate) fn run(command: &mut Command) -> Verdict {
    let output =
        command.env("LANG", "C.UTF-8").output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&said)))
}

/// The first line that `command` prints, for the matrix: the consumer's version.
pub(crate) fn first_line(command: &mut Command) -> String {
    let output = command.env("LANG", "C.UTF-8").output().expect("the program runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// The version of Debian's package that `program` came in.
pub(crate) fn debian_version(package: &str) -> String {
    first_line(Command::new("dpkg-query").args([
        "--show",
        "--showformat",
        "${Version}\\n",
        package,
    ]))
}

/// A file of `tests/exports/consumers/install`: `py/bin/python`, `node/node_modules`. Says so if it isn't there.
///
/// It is looked for in `target/consumers`, or in the folder that `EXPORT_CONSUMERS` names.
pub(crate) fn installed(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("EXPORT_CONSUMERS")
        .map_or_else(|| lists::tests().join("../target/consumers"), PathBuf::from);
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    let install = Path::new("tests/exports/consumers/install");
    skip(&format!("`{path}` is not installed: run `{} target/consumers`", install.display()));
    None
}
