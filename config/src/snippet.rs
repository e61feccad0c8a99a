//! Renders a problem in a text file the way compilers do: file, line, caret, and what to do.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A named text that problems can point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's path as given, or a stand-in such as `<stdin>`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One place in a [`Source`].
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The text.
    pub source: &'a Source,
    /// The bytes the caret underlines.
    pub span: Range<usize>,
    /// What stands beside the caret; may be empty.
    pub label: &'a str,
}

/// Writes `title`, then each place with its line and caret, then `help`. What the text's author has put into
/// the title makes no line of its own: it is [escaped](escape).
pub fn write(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    places: &[Place<'_>],
    help: Option<&str>,
) -> fmt::Result {
    let title = &escape(title);
    let mut report = Level::ERROR
        .no_name()
        .primary_title(title)
        .elements(None::<annotate_snippets::Element<'_>>);
    for place in places {
        let end = place.source.text.len();
        let span = place.span.start.min(end)..place.span.end.min(end);
        let mut caret = AnnotationKind::Primary.span(span);
        if !place.label.is_empty() {
            caret = caret.label(place.label);
        }
        report = report.element(
            Snippet::source(place.source.text.as_str())
                .path(place.source.name.as_str())
                .annotation(caret),
        );
    }
    if let Some(help) = help {
        report = report.element(Level::HELP.message(help));
    }
    f.write_str(&Renderer::plain().render(&[report]))
}

/// Writes line ends, control characters and whatever else can't be seen as Rust does, `\n` or `\u{202e}`, so
/// that a text from elsewhere is one line and shows as what it is. Quotes and backslashes stay.
///
/// ```
/// let forged = "a\nringfence: all is well";
/// assert_eq!(ringfence_config::snippet::escape(forged), "a\\nringfence: all is well");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => escaped.push(character),
            _ => escaped.extend(character.escape_debug()),
        }
    }
    escaped
}
