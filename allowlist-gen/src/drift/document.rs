//! Decides how a list is written in the place of another: its head stays, and its entries are in canonical form.

use ringfence_config::issue::Serial;
use ringfence_config::{Allowlist, Issue};

/// `list` as a document that begins with the comments that `text` begins with. Other comments of `text` belong to
/// entries that may be gone, and go.
pub fn rewrite(text: &str, list: &Allowlist, issue: Issue) -> String {
    let is_head = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document = String::new();
    for line in text.lines().take_while(is_head) {
        document += line;
        document.push('\n');
    }
    document + &list.to_toml_issue(issue)
}

/// The issue after `issue`, which ends when that does; `None` if its serial is the last one there is.
pub fn next(issue: Issue) -> Option<Issue> {
    let serial = match issue.serial {
        Some(serial) => Some(Serial::try_from(serial.number() + 1).ok()?),
        None => None,
    };
    Some(Issue { serial, ..issue })
}

#[cfg(test)]
mod tests {
    use ringfence_config::{Document, document};

    use super::*;

    #[test]
    fn a_head_stays_and_the_rest_is_canonical() {
        let entries = "[[entry]]\nhost = \"a.example.com\"\nrole = \"other\"\nwhy = \"x\"\n";
        let parse = |text: &str| {
            let document = Document::parse("list.toml", text).expect("valid");
            (document::merge(std::slice::from_ref(&document)).expect("a list"), document.issue())
        };
        for (text, expected) in [
            (format!("schema = 1\n\n{entries}"), format!("schema = 1\n\n{entries}")),
            (
                format!("# one\r\n\r\n  # two\r\nschema = 1 # three\r\n# four\r\n{entries}# five"),
                format!("# one\n\n  # two\nschema = 1\n\n{entries}"),
            ),
            (
                format!("serial = 7\nschema = 1\n{entries}"),
                format!("schema = 1\nserial = 7\n\n{entries}"),
            ),
        ] {
            let (list, issue) = parse(&text);
            assert_eq!(rewrite(&text, &list, issue), expected);
            assert_eq!(rewrite(&expected, &list, issue), expected);
        }
    }

    #[test]
    fn serials_end() {
        let issue = |serial: u64| Issue { serial: Serial::try_from(serial).ok(), not_after: None };
        assert_eq!(next(Issue::default()), Some(Issue::default()));
        assert_eq!(next(issue(7)), Some(issue(8)));
        let last = u64::try_from(i64::MAX).expect("positive");
        assert_eq!(next(issue(last - 1)), Some(issue(last)));
        assert_eq!(next(issue(last)), None);
    }
}
