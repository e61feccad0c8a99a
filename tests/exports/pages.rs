//! The pages about the formats: `docs/exports/FORMAT.md` is what `allowlist-gen formats FORMAT` says, and
//! `docs/exports/README.md` has a line for each.
//!
//! `UPDATE_EXPECT=1 cargo test -p allowlist-gen --test exports pages` writes them anew.

use std::fmt::Write;
use std::path::PathBuf;

use allowlist_gen::export::{Format, Page};
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
         An export holds every entry or fails and says which one it can't say: it never drops one, never widens one. Equal \
         lists and settings give equal bytes.\n\n\
         | format | for | kind | validated by |\n|---|---|---|---|\n",
    );
    for &format in Format::ALL {
        let (name, about) = (format.name(), format.about());
        let row = [format.summary(), about.kind.name(), about.validator].join(" | ");
        writeln!(index, "| [{name}]({name}.md) | {row} |").expect("memory");
    }
    expect_file![folder().join("README.md")].assert_eq(&index);
}

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
