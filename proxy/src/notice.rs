//! Says something to the operator, on stderr. What became of connections is the access log's.

use std::fmt::Display;
use std::io::Write;

/// Writes `ringfence: ` and `text` as one line (or block) to stderr.
pub fn notice(text: impl Display) {
    // Where stderr is closed there is no one to tell.
    let _ = writeln!(std::io::stderr().lock(), "ringfence: {text}");
}
