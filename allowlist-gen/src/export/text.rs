//! One host per line, and nothing else: for loops in shells, and for firewalls that take a file of
//! names. Only a list that is told its serial or its end has a comment above, because a plain list has
//! no other place for them, and its readers can't hold to them anyway.
//!
//! The port is 443 by agreement, so an entry with another one can't be written. Private addresses
//! are left out, because they restrict what a name may resolve to, and a list of names has no say
//! in that.

use std::io::Write;

use ringfence_config::allowlist::Ports;
use ringfence_config::{Allowlist, HostPattern, Issue};

use super::Error;

pub(super) fn write(allowlist: &Allowlist, issue: Issue, out: &mut dyn Write) -> Result<(), Error> {
    if !issue.is_empty() {
        writeln!(out, "# {issue}")?;
    }
    for entry in allowlist.entries() {
        let unrepresentable = |why| Error::Unrepresentable {
            host: entry.host.as_str().to_owned(),
            format: "text",
            why,
        };
        let HostPattern::Exact(host) = &entry.host else {
            return Err(unrepresentable(
                "readers of plain lists disagree on what a wildcard spans",
            ));
        };
        if entry.ports != Ports::https() {
            return Err(unrepresentable("a plain list has no ports, and means 443"));
        }
        writeln!(out, "{host}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringfence_config::Issue;
    use ringfence_config::document::{self, Document};

    use crate::export::{self, Format};

    #[test]
    fn what_a_plain_list_cannot_say_is_not_said() {
        for (entry, why) in [
            ("host = \"a.example.com\"\nports = [8443]", "has no ports"),
            ("host = \"*.data.mcr.microsoft.com\"", "wildcard"),
        ] {
            let text = format!(
                "schema = 1\nallow_patterns = true\n[[entry]]\n{entry}\nrole = \"other\"\nwhy = \"x\"\n"
            );
            let document = Document::parse("list.toml", &text).expect("valid");
            let list = document::merge(&[document]).expect("one entry");
            let write = |format| export::write(format, &list, Issue::default(), &mut Vec::new());
            let error = write(Format::Text).expect_err(entry);
            assert!(error.to_string().contains(why), "{error}");
            write(Format::Json).expect("JSON says everything");
        }
    }
}
