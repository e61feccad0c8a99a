//! `verify` and `doctor` against real servers, healthy and broken in every way that has a name.

mod doctor;
mod hosts;
mod liar;
mod offline;
mod proxies;
mod pulls;
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use allowlist_gen::verify::Outcome;
use anyhow::{Result, ensure};

/// A tripwire, not a proof: somewhere in these tests each outcome is expected by its code.
#[test]
fn each_outcome_is_expected_somewhere() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/allowlist_gen/verify");
    let mut sources = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        sources.insert(path.display().to_string(), fs::read_to_string(path)?);
    }
    for outcome in Outcome::ALL {
        let code = format!("\"{}\"", outcome.code());
        ensure!(sources.values().any(|text| text.contains(&code)), "no test expects {code}");
    }
    Ok(())
}
