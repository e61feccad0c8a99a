//! A text that grows by lines.

use std::fmt::{self, Display, Write};

/// A text of whole lines.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// A text that begins with `header`, whole lines themselves.
    pub(super) fn new(header: String) -> Self {
        Self(header)
    }

    /// Adds a line. Of several values: `text.line(format_args!("{a} {b}"))`.
    pub(super) fn line(&mut self, line: impl Display) {
        let _: fmt::Result = writeln!(self.0, "{line}");
    }

    /// The text so far.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}
