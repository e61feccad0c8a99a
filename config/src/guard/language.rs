//! Sets of host names as sequences of labels, and the shortest name that two of them share.
//!
//! Languages are written from the top-level domain down, as DNS reads names: most pairs then part at the
//! first label.

use std::collections::{HashSet, VecDeque};

use crate::hostname::Hostname;
use crate::pattern::HostPattern;

/// A set of host names, from the top-level domain down.
pub(super) type Language<'a> = Vec<Atom<'a>>;

/// What stands at one place of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Atom<'a> {
    Literal(&'a str),
    /// Exactly one label.
    One,
    /// One label or more.
    Many,
}

/// What the pattern stands for where it is read most widely: every `*` is one label or more.
pub(super) fn widest_reading(pattern: &HostPattern) -> Language<'_> {
    let atom = |label| if label == "*" { Atom::Many } else { Atom::Literal(label) };
    pattern.labels().rev().map(atom).collect()
}

/// Every name below `domain`, without the domain itself.
pub(super) fn everything_below(domain: &str) -> Language<'_> {
    below(domain, &[Atom::Many])
}

/// The names that end in `domain`, and before it in `labels`, which stand from the right to the left.
pub(super) fn below<'a>(domain: &'a str, labels: &[Atom<'a>]) -> Language<'a> {
    domain.rsplit('.').map(Atom::Literal).chain(labels.iter().copied()).collect()
}

/// A host that both languages hold, or `None` when they are disjoint.
///
/// The short filler is tried second: where even it makes no valid name, no name exists.
pub(super) fn meet(left: &[Atom<'_>], right: &[Atom<'_>]) -> Option<Hostname> {
    ["exfil", "x"].into_iter().find_map(|filler| {
        let mut labels = shortest_common(left, right, filler)?;
        labels.reverse();
        labels.join(".").parse().ok()
    })
}

/// Breadth first over the pairs of positions: each step takes one label on both sides, and no pair is
/// visited twice, so the walk ends, and the first name to come out is a shortest one.
fn shortest_common<'a>(
    left: &[Atom<'a>],
    right: &[Atom<'a>],
    filler: &'a str,
) -> Option<Vec<&'a str>> {
    let mut seen = HashSet::from([(0, 0)]);
    let mut queue = VecDeque::from([(0, 0, Vec::new())]);
    while let Some((l, r, labels)) = queue.pop_front() {
        let (atom_l, atom_r) = match (left.get(l), right.get(r)) {
            (None, None) => return Some(labels),
            (Some(atom_l), Some(atom_r)) => (atom_l, atom_r),
            _ => continue,
        };
        let Some(label) = common_label(*atom_l, *atom_r, filler) else { continue };
        for next_l in atom_l.positions_after(l) {
            for next_r in atom_r.positions_after(r) {
                if seen.insert((next_l, next_r)) {
                    let labels = labels.iter().copied().chain([label]).collect();
                    queue.push_back((next_l, next_r, labels));
                }
            }
        }
    }
    None
}

impl Atom<'_> {
    /// Where one may stand once this atom, at `position`, has taken a label.
    fn positions_after(self, position: usize) -> impl Iterator<Item = usize> {
        let stay = (self == Atom::Many).then_some(position);
        [position + 1].into_iter().chain(stay)
    }
}

/// A label that both atoms take.
fn common_label<'a>(left: Atom<'a>, right: Atom<'a>, filler: &'a str) -> Option<&'a str> {
    match (left, right) {
        (Atom::Literal(a), Atom::Literal(b)) => (a == b).then_some(a),
        (Atom::Literal(label), Atom::One | Atom::Many)
        | (Atom::One | Atom::Many, Atom::Literal(label)) => Some(label),
        (Atom::One | Atom::Many, Atom::One | Atom::Many) => Some(filler),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::tests::stands_for;

    proptest! {
        /// The walk agrees with the naive definition on whether a wildcard meets a family.
        #[test]
        fn meeting_is_decided_both_ways(
            pattern in r"(\*|a|b)(\.(\*|a|b)){0,3}\.c\.d",
            family in "((a|b)\\.){0,2}c\\.d",
        ) {
            let pattern: HostPattern = pattern.parse().expect("a pattern");
            let found = meet(&widest_reading(&pattern), &everything_below(&family));
            // Every name of up to eight labels over a small alphabet, which holds all short witnesses.
            let common = names_up_to(8).filter(|name| name.is_below(&family) && stands_for(&pattern, name));
            let shortest = common.map(|name| name.labels().count()).min();
            if let Some(witness) = &found {
                prop_assert!(witness.is_below(&family) && stands_for(&pattern, witness));
            }
            prop_assert_eq!(found.map(|witness| witness.labels().count()), shortest);
        }
    }

    fn names_up_to(labels: usize) -> impl Iterator<Item = Hostname> {
        (1..=labels - 2).flat_map(|count| {
            (0..3_usize.pow(u32::try_from(count).expect("small"))).map(move |mut code| {
                let mut name = String::new();
                for _ in 0..count {
                    name.push_str(["a.", "b.", "x."][code % 3]);
                    code /= 3;
                }
                (name + "c.d").parse().expect("a host name")
            })
        })
    }
}
