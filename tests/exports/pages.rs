//! The pages about the formats: `docs/exports/FORMAT.md` is what `allowlist-gen formats FORMAT` says, and
//! `docs/exports/README.md` has a line for each.
//!
//! `UPDATE_EXPECT=1 cargo test -p allowlist-gen --test exports pages` writes them anew.

use std::fmt::Write;
use std::path::PathBuf;

use allowlist_gen::export::{Format, Kind, Page};
use expect_test::expect_file;

use crate::lists;

#[test]
fn every_format_has_the_page_that_the_program_prints() {
    for &format in Format::ALL {
        expect_file![folder().join(format!("{}.md", format.name()))]
            .assert_eq(&Page(format).to_string());
    }
}

#[test]
fn the_index_has_every_format() {
    let mut index = String::from(
        "# Export formats\n\n\
         `allowlist-gen export FORMAT allowlist.toml` writes a list for whatever enforces or uses it. What each format was put \
         through stands in [the matrix](matrix.md).\n\n\
         An export holds every entry or fails and says which one it can't say; what a format leaves out on purpose stands on its \
         page. It never widens one. Equal lists and settings give equal bytes.\n\n\
         What a rule can hold depends on what its target goes by:\n",
    );
    for kind in Kind::ALL {
        let (name, meaning) = (kind.name(), kind.meaning());
        write!(
            index,
            "\n## {name}\n\n{meaning}\n\n| format | for | validated by |\n|---|---|---|\n"
        )
        .expect("memory");
        for format in Format::ALL.iter().filter(|format| format.about().kind == kind) {
            let (name, summary) = (format.name(), format.summary());
            let validator = format.about().validator;
            writeln!(index, "| [{name}]({name}.md) | {summary} | {validator} |").expect("memory");
        }
    }
    expect_file![folder().join("README.md")].assert_eq(&index);
}

/// The table in the README has every format, by what its target goes by.
#[test]
fn the_readme_has_every_format() {
    let mut table = String::from("| kind | | formats |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let formats = Format::ALL.iter().filter(|format| format.about().kind == kind);
        let links: Vec<String> = formats
            .map(|format| format!("[{name}](docs/exports/{name}.md)", name = format.name()))
            .collect();
        writeln!(table, "| {} | {} | {} |", kind.name(), kind.meaning(), links.join(", "))
            .expect("memory");
    }
    let readme = lists::tests().join("../README.md");
    let text = std::fs::read_to_string(&readme).expect("the README");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where it ends");
    expect_file![readme].assert_eq(&[before, BEGIN, &table, END, after].concat());
}

const BEGIN: &str = "<!-- The formats: a test writes this table. -->\n\n";
const END: &str = "\n<!-- The end of the formats. -->";

/// Every line of help is a sentence's worth, and every format can be applied.
#[test]
fn every_format_says_what_a_person_needs() {
    for &format in Format::ALL {
        let about = format.about();
        assert!(!about.apply.is_empty(), "{}: how is it applied?", format.name());
        assert!(!about.validator.is_empty(), "{}: what validates it?", format.name());
        for setting in about.needs {
            assert!(about.takes.contains(setting), "{} needs what it doesn't take", format.name());
        }
        for note in about.notes {
            assert!(note.ends_with('.') && !note.contains("  ") && !note.contains('\n'), "{note}");
        }
    }
}

fn folder() -> PathBuf {
    lists::tests().join("../docs/exports")
}
