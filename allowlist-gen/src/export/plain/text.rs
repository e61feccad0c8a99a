//! One host per line, and nothing else: for loops in shells, and for firewalls that take a file of
//! names. Only a list that is told its serial or its end has a comment above, because a plain list has
//! no other place for them, and its readers can't hold to them anyway.
//!
//! The port is 443 by agreement, so an entry with another one can't be written. Private addresses
//! are left out, because they restrict what a name may resolve to, and a list of names has no say
//! in that.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "hosts.txt",
    kind: Kind::Data,
    scope: Scope::Https,
    takes: &[],
    needs: &[],
    limits: "",
    notes: &[],
    apply: "grep -v '^#' hosts.txt | while read -r host; do echo \"$host\"; done",
    validator: "a strict reader in Python",
    sources: &[],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::default();
    if !sheet.issue.is_empty() {
        text.line(format_args!("# {}", sheet.issue));
    }
    for host in &sheet.hosts {
        text.line(&host.name);
    }
    Ok(text.into_string())
}

#[cfg(test)]
mod tests {
    use ringfence_config::Issue;
    use ringfence_config::document::{self, Document};

    use crate::export::{self, Format, Options};

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
            let write =
                |format| export::render(format, &list, Issue::default(), &Options::default());
            let error = write(Format::Text).expect_err(entry);
            assert!(error.to_string().contains(why), "{error}");
            write(Format::Json).expect("JSON says everything");
        }
    }
}
