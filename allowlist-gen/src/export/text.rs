//! A text that grows by lines.

use std::fmt::{self, Display, Write};

/// A text of whole lines.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// A text that begins with `header`, whole lines themselves.
    pub(crate) fn new(header: String) -> Self {
        Self(header)
    }

    /// Adds a line. Of several values: `text.line(format_args!("{a} {b}"))`.
    pub(crate) fn line(&mut self, line: impl Display) {
        let _: fmt::Result = writeln!(self.0, "{line}");
    }

    /// The text so far.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Paragraphs as comments: lines that begin with `prefix`, `# ` say, and are at most 100 characters wide.
pub(crate) fn comments(prefix: &str, paragraphs: &[String]) -> String {
    let options = textwrap::Options::new(100)
        .initial_indent(prefix)
        .subsequent_indent(prefix)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let mut comments = String::new();
    for line in paragraphs.iter().flat_map(|paragraph| textwrap::wrap(paragraph, &options)) {
        comments.push_str(line.trim_ascii_end());
        comments.push('\n');
    }
    comments
}
