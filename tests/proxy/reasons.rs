//! That no reason goes without a test of the running proxy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use ringfence::reason::Reason;

/// A tripwire, not a proof: somewhere in these tests each reason is expected by its variant or its code.
#[test]
fn each_reason_is_expected_somewhere() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/proxy");
    let mut sources = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        sources.insert(path.display().to_string(), fs::read_to_string(path)?);
    }
    for reason in Reason::ALL {
        let (variant, code) = (format!("{reason:?}"), reason.code());
        let is_word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let named = |text: &String| text.split(is_word).any(|word| word == variant || word == code);
        ensure!(sources.values().any(named), "no test expects `{code}`");
    }
    Ok(())
}
