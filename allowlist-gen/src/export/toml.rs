//! The document itself, as `ringfence` reads it.

use std::io::Write;

use ringfence_config::{Allowlist, Issue};

use super::Error;

pub(super) fn write(allowlist: &Allowlist, issue: Issue, out: &mut dyn Write) -> Result<(), Error> {
    out.write_all(HEADER.as_bytes())?;
    out.write_all(allowlist.to_toml_issue(issue).as_bytes())?;
    Ok(())
}

const HEADER: &str = "\
# Derived from registry metadata by `allowlist-gen generate`. Hosts of your own belong in a file of
# their own; `allowlist-gen generate --check` tells when this one no longer matches its registries.
";
