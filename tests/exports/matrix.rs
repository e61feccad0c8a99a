//! The matrix of formats and consumers in `docs/exports/matrix.md`: each test that puts a format through a consumer
//! holds its row to what it saw.
//!
//! `UPDATE_EXPECT=1 cargo test -p allowlist-gen --test exports` writes the rows anew, with the versions of the
//! consumers. A version that differs from the written one is no failure; another result is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::PathBuf;

use allowlist_gen::export::Format;

use crate::lists;

/// What came of putting a format through a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Lists that it took.
    pub(crate) accepted: usize,
    /// Mutations that it refused: all that it was shown.
    pub(crate) rejected: usize,
    /// Questions that it answered as the list says: all that it was asked.
    pub(crate) probes: usize,
}

impl Judgement {
    /// The same, with `probes` that came out right.
    pub(crate) fn with_probes(self, probes: usize) -> Self {
        Self { probes, ..self }
    }
}

/// Holds the row of `format` and `consumer` to `judgement`.
#[track_caller]
pub(crate) fn record(format: Format, consumer: &str, version: &str, judgement: Judgement) {
    let path = path();
    let updates = std::env::var_os("UPDATE_EXPECT").is_some();
    // Tests are processes of their own.
    let _lock = updates.then(|| {
        let lock = File::create(std::env::temp_dir().join("ringfence-export-matrix.lock"))
            .expect("a file");
        lock.lock().expect("a lock");
        lock
    });
    let mut rows = read(&fs::read_to_string(&path).unwrap_or_default());
    let row = Row { version: version.to_owned(), result: result(judgement) };
    let key = (format, consumer.to_owned());
    if updates {
        rows.insert(key, row);
        fs::write(&path, write(&rows)).expect("the matrix can be written");
        return;
    }
    let known = rows.get(&key).map(|row| &row.result);
    assert_eq!(known, Some(&row.result), "{} and {consumer}: another result", format.name());
}

/// Every format went through a consumer, or the page says why not.
#[test]
fn every_format_is_in_the_matrix() {
    let rows = read(&fs::read_to_string(path()).expect("the matrix"));
    for &format in Format::ALL {
        let has_row = rows.keys().any(|(known, _)| *known == format);
        assert!(has_row, "{} went through no consumer", format.name());
    }
}

#[derive(Debug)]
struct Row {
    version: String,
    result: [String; 3],
}

impl Row {
    fn cells(&self) -> String {
        format!("{} | {}", self.version, self.result.join(" | "))
    }
}

fn path() -> PathBuf {
    lists::tests().join("../docs/exports/matrix.md")
}

fn result(judgement: Judgement) -> [String; 3] {
    let Judgement { accepted, rejected, probes } = judgement;
    let probes = if probes == 0 { "–".to_owned() } else { format!("{probes} of {probes}") };
    [format!("{accepted} of {accepted}"), format!("{rejected} of {rejected}"), probes]
}

fn read(text: &str) -> BTreeMap<(Format, String), Row> {
    let rows = text.lines().filter(|line| line.starts_with("| ["));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let [name, consumer, version, lists, mutations, probes] = cells[..] else {
            panic!("a row of the matrix has six cells: {line}");
        };
        let name = name.trim_start_matches('[').split(']').next().expect("a link");
        let format = Format::ALL.iter().find(|format| format.name() == name);
        let result = [lists, mutations, probes].map(str::to_owned);
        let row = Row { version: version.to_owned(), result };
        ((*format.unwrap_or_else(|| panic!("`{name}` is no format")), consumer.to_owned()), row)
    })
    .collect()
}

fn write(rows: &BTreeMap<(Format, String), Row>) -> String {
    let mut text = HEADER.to_owned();
    for ((format, consumer), row) in rows {
        let name = format.name();
        writeln!(text, "| [{name}]({name}.md) | {consumer} | {} |", row.cells()).expect("memory");
    }
    text
}

const HEADER: &str = "\
# What the exports were put through

Each row is held by a test to what it saw: `cargo test -p allowlist-gen --test exports`. The lists are those of `tests/exports/lists.rs`. A
mutation is a change that the consumer must refuse, or else it would be no judge. A probe is a question to the running consumer: the listed
hosts pass, the look-alikes of `tests/exports/lookalikes.rs`, other ports and so on don't. Versions are those the rows were written with.

| format | consumer | version | lists accepted | mutations refused | probes as the list says |
|---|---|---|---|---|---|
";
