//! Finds the line and the column of a JSON path. The text is JSON already: `metadata` has read it.

use std::collections::BTreeMap;

use crate::metadata::Place;

/// A text in which places are looked up; what was found once is kept.
pub(super) struct Positions<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    documents: Vec<usize>,
    /// By where a list or an object begins, where its values do.
    children: BTreeMap<usize, BTreeMap<Step, usize>>,
    /// Columns by where they are: a line may be megabytes, and isn't counted from its start for each place in it.
    columns: BTreeMap<usize, usize>,
}

/// From 1, as people and SARIF count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    /// In characters.
    pub(super) column: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item(usize),
}

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect();
        let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
        let mut documents = Vec::new();
        while scanner.next().is_some() {
            documents.push(scanner.at);
            scanner.skip();
        }
        Self { text, lines, documents, children: BTreeMap::new(), columns: BTreeMap::new() }
    }

    /// Where `place` begins, or as much of its path as there is.
    pub(super) fn find(&mut self, place: &Place) -> Option<Position> {
        let mut at = *self.documents.get(place.document())?;
        for step in steps(place.path()) {
            let text = self.text;
            let children = self.children.entry(at).or_insert_with(|| children(text, at));
            match children.get(&step) {
                Some(below) => at = *below,
                None => break,
            }
        }
        let line = self.lines.partition_point(|start| *start <= at);
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let (from, known) = match self.columns.range(start..=at).next_back() {
            Some((from, column)) => (*from, *column),
            None => (start, 1),
        };
        let column = known + self.text.get(from..at)?.chars().count();
        self.columns.insert(at, column);
        Some(Position { line, column })
    }
}

/// `$.value[3].sku`, as `node` writes paths: their keys are words of ours, without dots and brackets.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.trim_start_matches('$').split('.') {
        let mut parts = part.split('[');
        let key = parts.next().unwrap_or_default();
        if !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(
            parts.filter_map(|item| item.trim_end_matches(']').parse().ok().map(Step::Item)),
        );
    }
    steps
}

/// The values of the list or object that begins at `at`.
fn children(text: &str, at: usize) -> BTreeMap<Step, usize> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at };
    let mut found = BTreeMap::new();
    let is_object = match scanner.next() {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return found,
    };
    scanner.at += 1;
    loop {
        match scanner.next() {
            None | Some(b'}' | b']') => return found,
            Some(b',' | b':') => scanner.at += 1,
            Some(_) if is_object => {
                let start = scanner.at;
                scanner.skip();
                let key = serde_json::from_str(&text[start..scanner.at]).unwrap_or_default();
                // Behind the colon.
                scanner.next();
                scanner.at += 1;
                if scanner.next().is_none() {
                    return found;
                }
                // Of two keys that are equal, the last one counts.
                found.insert(Step::Key(key), scanner.at);
                scanner.skip();
            }
            Some(_) => {
                found.insert(Step::Item(found.len()), scanner.at);
                scanner.skip();
            }
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Passes white space over; the byte behind it, if there is one.
    fn next(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Passes the value that begins here over.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.next() {
            match byte {
                b'"' => self.skip_text(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ => self.skip_word(),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_text(&mut self) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// A number, or `true`, `false`, `null`; at least a byte, so that nothing stands still.
    fn skip_word(&mut self) {
        self.at += 1;
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        while self.bytes.get(self.at).is_some_and(is_word) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, document: usize, path: &str) -> Option<(usize, usize)> {
        let mut positions = Positions::new(text);
        let at = *positions.documents.get(document)?;
        let found = steps(path)
            .into_iter()
            .try_fold(at, |at, step| children(text, at).get(&step).copied())?;
        positions.documents = vec![found];
        let place = crate::metadata::Place::root_of("x");
        positions.find(&place).map(|position| (position.line, position.column))
    }

    #[test]
    fn places_are_found_where_they_stand() {
        let text = "{\"a\": [1, {\"b\\u0061\": true},\n  \"ü]}\\\"\", null],\n \"ü\": 2, \"a2\":{\"x\":-1.5e+3}}\n[7]";
        for (document, path, expected) in [
            (0, "$", Some((1, 1))),
            (0, "$.a", Some((1, 7))),
            (0, "$.a[1].ba", Some((1, 23))),
            (0, "$.a[2]", Some((2, 3))),
            (0, "$.a[3]", Some((2, 12))),
            (0, "$.a2.x", Some((3, 20))),
            (1, "$[0]", Some((4, 2))),
            (0, "$.b", None),
            (0, "$.a[9]", None),
            (2, "$", None),
        ] {
            assert_eq!(find(text, document, path), expected, "{document} {path}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(find("{\"a\":1,\n\"a\":2}", 0, "$.a"), Some((2, 5)));
    }

    #[test]
    fn what_is_no_json_ends() {
        for text in
            ["{", "[", "{\"a\"", "{\"a\":", "\"", "\"\\", "}", ",", "[[[", "{]", "ü", "[1 2"]
        {
            let _ = find(text, 0, "$.a[0]");
        }
    }
}
