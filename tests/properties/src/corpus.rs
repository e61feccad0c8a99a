//! Every file that a fuzzer begins with, or once found something with, in the ordinary suite.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

type Property = fn(&[u8]);

/// The fuzz targets by name.
const TARGETS: [(&str, Property); 10] = [
    ("extensions", crate::extensions),
    ("guard", crate::guard),
    ("head", crate::head),
    ("hello", crate::hello),
    ("lint", crate::lint),
    ("list", crate::list),
    ("log", crate::log),
    ("metadata", crate::metadata),
    ("names", crate::names),
    ("proxy_header", crate::proxy_header),
];

#[test]
fn every_file_of_the_corpora_holds() -> Result<()> {
    for (name, property) in TARGETS {
        let files = files_below(&root().join("proxy/fuzz/corpus").join(name))?;
        ensure!(!files.is_empty(), "`{name}` has nothing to begin with");
        check(property, &files)?;
    }
    Ok(())
}

#[test]
fn every_fixture_and_sample_holds() -> Result<()> {
    check(crate::metadata, &files_below(&root().join("tests/fixtures/azure"))?)?;
    check(crate::metadata, &files_below(&root().join("config/samples"))?)?;
    check(crate::list, &[root().join("config/allowlist.toml")])
}

#[test]
fn every_target_is_a_program_of_its_name() -> Result<()> {
    let programs = files_below(&root().join("proxy/fuzz/fuzz_targets"))?;
    let programs: BTreeSet<&str> =
        programs.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    assert_eq!(programs, TARGETS.iter().map(|(name, _)| *name).collect());
    let manifest = fs::read_to_string(root().join("proxy/fuzz/Cargo.toml"))?;
    for (name, _) in TARGETS {
        let program = root().join("proxy/fuzz/fuzz_targets").join(name).with_extension("rs");
        let calls = fs::read_to_string(program)?.contains(&format!("properties::{name}("));
        ensure!(calls && manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    Ok(())
}

fn check(property: Property, files: &[PathBuf]) -> Result<()> {
    for path in files {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let held = catch_unwind(|| property(&bytes));
        ensure!(held.is_ok(), "the property doesn't hold for {}", path.display());
    }
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
