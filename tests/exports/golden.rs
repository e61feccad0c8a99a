//! What each list is in each format, or why it can't be: `golden/FORMAT/LIST.EXTENSION`.
//!
//! `UPDATE_EXPECT=1 cargo test -p allowlist-gen --test exports golden` writes them anew. Read the difference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use allowlist_gen::export::Format;
use expect_test::expect_file;

use crate::lists;

#[test]
fn every_list_in_every_format_is_what_its_file_says() {
    let mut known = BTreeSet::new();
    for &format in Format::ALL {
        for list in lists::all() {
            let (extension, text) = match list.export(format) {
                Ok(export) => {
                    let extension = Path::new(format.about().file).extension();
                    let extension =
                        extension.map_or("txt".into(), |e| e.to_string_lossy().into_owned());
                    (extension, export.text)
                }
                Err(error) => ("error".to_owned(), format!("{error}\n")),
            };
            let file = folder().join(format.name()).join(format!("{}.{extension}", list.name));
            known.insert(file.clone());
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            }
            expect_file![file].assert_eq(&text);
        }
    }
    for file in files() {
        assert!(known.contains(&file), "{} belongs to no format and no list", file.display());
    }
}

fn files() -> Vec<PathBuf> {
    let folders =
        std::fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").path());
    folders
        .flat_map(|folder| std::fs::read_dir(folder).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn folder() -> PathBuf {
    lists::tests().join("exports/golden")
}
