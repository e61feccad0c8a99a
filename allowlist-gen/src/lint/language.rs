//! Sets of host names, and a shortest name that lies in them.
//!
//! A language is made of regular expressions over the characters of canonical host names (lower case, no dot at the
//! end), joined by and, or and not. The question that matters, whether one holds any name and which, is answered
//! by walking all automata at once, breadth first: the first name to be accepted is a shortest one, and where none
//! is, none exists. Automata are made as far as the walk needs them, and read names from the right, as DNS does:
//! most pairs then part at the top-level domain.
//!
//! Every walk has a limit. An expression that goes beyond it is an [`Error`], and never a yes or a no.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, LazyLock, OnceLock};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::hybrid::{self, LazyStateID};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};
use ringfence_config::Hostname;

/// A set of host names.
#[derive(Debug, Clone)]
pub struct Language(Arc<Node>);

#[derive(Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Not(Language),
    All(Vec<Language>),
    Any(Vec<Language>),
}

#[derive(Debug)]
struct Leaf {
    pattern: String,
    case: Case,
    /// The one name it stands for.
    exact: Option<Box<str>>,
    dfa: OnceLock<Result<DFA, Error>>,
}

/// Whether capitals in an expression stand for small letters, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They don't, and match nothing in a name.
    Sensitive,
    /// They do.
    Insensitive,
}

/// Why nothing can be said of a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a regular expression, or one that only some readers understand.
    #[error("it is no regular expression that can be judged: {0}")]
    Syntax(String),
    /// The automata have too many states.
    #[error("it is too complicated to be judged")]
    TooLarge,
}

impl Language {
    /// Every name.
    pub fn everything() -> Self {
        Self::all([])
    }

    /// No name.
    pub fn nothing() -> Self {
        Self::any([])
    }

    /// The names that all of `parts` hold.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self(Arc::new(Node::All(parts.into_iter().collect())))
    }

    /// The names that some of `parts` hold.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.into_iter().collect();
        // Of many, one automaton is faster than one for each.
        let patterns = parts.iter().map(|part| {
            part.leaf_of().filter(|leaf| leaf.case == Case::Sensitive).map(|leaf| &*leaf.pattern)
        });
        match patterns.collect::<Option<Vec<&str>>>() {
            Some(patterns) if patterns.len() > A_FEW => {
                let alternatives = patterns.iter().map(|pattern| format!("(?:{pattern})"));
                Self::pattern(alternatives.collect::<Vec<_>>().join("|"))
            }
            _ => Self(Arc::new(Node::Any(parts))),
        }
    }

    /// The names that this one doesn't hold.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self(Arc::new(Node::Not(self.clone())))
    }

    /// The names of this one without those of `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self::all([self.clone(), other.complement()])
    }

    /// One name, in any case; nothing, if it isn't one that a host can have.
    pub fn exact(name: &str) -> Self {
        match literal(name) {
            None => Self::nothing(),
            Some(pattern) => Self::leaf(pattern, Case::Sensitive, Some(name.to_ascii_lowercase())),
        }
    }

    /// The names below `domain`, without itself.
    pub fn below(domain: &str) -> Self {
        match literal(domain) {
            None => Self::nothing(),
            Some(domain) => Self::pattern(format!(r".+\.{domain}")),
        }
    }

    /// `domain` and the names below it.
    pub fn at_or_below(domain: &str) -> Self {
        match literal(domain) {
            None => Self::nothing(),
            Some(domain) => Self::pattern(format!(r"(?:.+\.)?{domain}")),
        }
    }

    /// The names that fit a glob, in which each `*` stands for what the expression `star` says.
    pub fn glob(glob: &str, star: &str) -> Self {
        let parts: Option<Vec<String>> = glob.split('*').map(literal).collect();
        parts.map_or_else(Self::nothing, |parts| Self::pattern(parts.join(star)))
    }

    /// The names that an expression of ours fits as a whole.
    pub(super) fn pattern(pattern: String) -> Self {
        Self::leaf(pattern, Case::Sensitive, None)
    }

    /// The names in which someone's expression fits somewhere.
    pub fn containing(expression: &str, case: Case) -> Result<Self, Error> {
        // By itself first: what is no expression must not become one inside of ours.
        compile(expression, case)?;
        // Where an expression says that it begins or ends with the name, there is nothing beside it: without that
        // nothing, an automaton sees sooner that it can't accept any more.
        let hir = syntax::parse_with(expression, &syntax(case))
            .map_err(|error| Error::Syntax(last_line(&error.to_string())))?;
        let properties = hir.properties();
        let is_start = properties.look_set_prefix().iter().any(|look| look.as_char() == 'A');
        let is_end = properties.look_set_suffix().iter().any(|look| look.as_char() == 'z');
        let [before, after] = [is_start, is_end].map(|anchor| if anchor { "" } else { ".*" });
        let language = Self::leaf(format!("{before}(?:{expression}){after}"), case, None);
        language.leaf_of().map_or(Ok(()), |leaf| leaf.dfa().map(drop))?;
        Ok(language)
    }

    fn leaf(pattern: String, case: Case, exact: Option<String>) -> Self {
        let exact = exact.map(String::into_boxed_str);
        Self(Arc::new(Node::Leaf(Box::new(Leaf { pattern, case, exact, dfa: OnceLock::new() }))))
    }

    fn leaf_of(&self) -> Option<&Leaf> {
        match &*self.0 {
            Node::Leaf(leaf) => Some(leaf),
            Node::Not(_) | Node::All(_) | Node::Any(_) => None,
        }
    }

    /// The name, where the language was made of [one](Self::exact).
    pub fn as_exact(&self) -> Option<&str> {
        self.leaf_of()?.exact.as_deref()
    }

    /// Whether `host` is one of the names.
    pub fn holds(&self, host: &Hostname) -> Result<bool, Error> {
        match self.as_exact() {
            Some(exact) => Ok(exact == host.as_str()),
            None => Walk::new(self)?.holds(host),
        }
    }

    /// The first of `candidates` that is one of the names.
    pub fn first_of<'h>(
        &self,
        candidates: impl IntoIterator<Item = &'h Hostname>,
    ) -> Result<Option<&'h Hostname>, Error> {
        let mut walk = Walk::new(self)?;
        for host in candidates {
            if walk.holds(host)? {
                return Ok(Some(host));
            }
        }
        Ok(None)
    }

    /// A shortest host name among them, or `None` where there is none at all.
    pub fn shortest(&self) -> Result<Option<Hostname>, Error> {
        let named = Self::all([self.clone(), NAMES.clone()]);
        let mut walk = Walk::new(&named)?;
        let Some(name) = walk.shortest()? else { return Ok(None) };
        // Labels of more than 63 characters are the one thing that the automata of names don't know.
        name.parse().map(Some).map_err(|_| Error::TooLarge)
    }

    /// All host names among them, if they are `limit` at most and it is easy to see.
    pub fn members(&self, limit: usize) -> Result<Option<Vec<Hostname>>, Error> {
        let named = Self::all([self.clone(), NAMES.clone()]);
        let members = Walk::new(&named)?.members(limit)?;
        Ok(members.map(|members| members.iter().filter_map(|name| name.parse().ok()).collect()))
    }
}

/// What every host name fits: at least two labels, no hyphen at their edges, no punycode, no number at the end.
static NAMES: LazyLock<Language> = LazyLock::new(|| {
    let label = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";
    let names = Language::pattern(format!(r"(?:{label}\.)+{label}"));
    let punycode = Language::pattern(r"(?:.*\.)?xn--.*".to_owned());
    let numbers = Language::pattern(r".*\.(?:[0-9]+|0x[0-9a-f]*)".to_owned());
    names.minus(&punycode).minus(&numbers)
});

impl Leaf {
    fn dfa(&self) -> Result<&DFA, Error> {
        let made = self.dfa.get_or_init(|| compile(&self.pattern, self.case));
        made.as_ref().map_err(Clone::clone)
    }
}

fn syntax(case: Case) -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(NESTING)
        .case_insensitive(case == Case::Insensitive)
}

fn compile(pattern: &str, case: Case) -> Result<DFA, Error> {
    let nfa = thompson::Config::new()
        .reverse(true)
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MOST_BYTES));
    // The walk keeps what names states; a cache that is emptied would change their names, so it never is.
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(MOST_BYTES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(0));
    DFA::builder()
        .syntax(syntax(case))
        .thompson(nfa)
        .configure(config)
        .build(&format!(r"\A(?:{pattern})\z"))
        .map_err(|error| wrong_with(&error))
}

/// What is wrong, in one line: the cause says it, below a picture of the expression.
fn wrong_with(error: &hybrid::BuildError) -> Error {
    use std::error::Error as _;
    let compiler = error.source().and_then(|cause| cause.downcast_ref::<thompson::BuildError>());
    if compiler.is_some_and(|error| error.size_limit().is_some()) {
        return Error::TooLarge;
    }
    let mut error: &dyn std::error::Error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    Error::Syntax(last_line(&error.to_string()))
}

fn last_line(message: &str) -> String {
    let last = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// `text` as an expression for itself; `None` if it has a character that no host name has.
pub(super) fn literal(text: &str) -> Option<String> {
    let mut pattern = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            'a'..='z' | '0'..='9' => pattern.push(character),
            'A'..='Z' => pattern.push(character.to_ascii_lowercase()),
            '.' => pattern.push_str(r"\."),
            '-' => pattern.push_str(r"\-"),
            _ => return None,
        }
    }
    Some(pattern)
}

/// From how many languages on a union is made one expression.
const A_FEW: usize = 4;
/// Memory for one automaton, and for one expression.
const MOST_BYTES: usize = 32 << 20;
/// How many combinations of states one walk visits.
const MOST_STATES: usize = 200_000;
/// How many it visits to find out that there are but a few names.
const MOST_STATES_OF_FEW: usize = 4_000;
/// How deep groups lie in each other in an expression.
const NESTING: u32 = 100;
/// In the order in which names are made of them, so that the first of the shortest ones is letters.
const CHARACTERS: &[u8; 38] = b"abcdefghijklmnopqrstuvwxyz0123456789-.";

/// Where each automaton stands; `None` where it can't accept any more.
type States = Box<[Option<LazyStateID>]>;

/// A walk through all automata of a language at once.
struct Walk<'l> {
    formula: Formula,
    automata: Vec<(&'l DFA, Cache)>,
}

#[derive(Debug)]
enum Formula {
    Leaf(usize),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

impl Formula {
    /// `None` if it depends on the leaves of which nothing is known.
    fn value(&self, leaf: &impl Fn(usize) -> Option<bool>) -> Option<bool> {
        match self {
            Self::Leaf(index) => leaf(*index),
            Self::Not(inner) => inner.value(leaf).map(|value| !value),
            Self::All(parts) => join(parts, leaf, false),
            Self::Any(parts) => join(parts, leaf, true),
        }
    }
}

/// One part that is `decisive` decides.
fn join(parts: &[Formula], leaf: &impl Fn(usize) -> Option<bool>, decisive: bool) -> Option<bool> {
    let mut known = true;
    for part in parts {
        match part.value(leaf) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => known = false,
        }
    }
    known.then_some(!decisive)
}

impl<'l> Walk<'l> {
    fn new(language: &'l Language) -> Result<Self, Error> {
        let mut automata = Vec::new();
        let mut seen = HashMap::new();
        let formula = formula(language, &mut automata, &mut seen)?;
        Ok(Self { formula, automata })
    }

    fn start(&mut self) -> Result<States, Error> {
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let start = |(dfa, cache): &mut (&DFA, Cache)| {
            dfa.start_state(cache, &anchored).map(alive).map_err(|_| Error::TooLarge)
        };
        self.automata.iter_mut().map(start).collect()
    }

    /// `None` if no name that goes on from there is accepted.
    fn step(&mut self, states: &States, byte: u8) -> Result<Option<States>, Error> {
        let mut next = Vec::with_capacity(states.len());
        for ((dfa, cache), state) in self.automata.iter_mut().zip(states) {
            next.push(match state {
                None => None,
                Some(state) => {
                    alive(dfa.next_state(cache, *state, byte).map_err(|_| Error::TooLarge)?)
                }
            });
        }
        let hopeless = self.formula.value(&|i| next[i].map_or(Some(false), |_| None));
        Ok((hopeless != Some(false)).then(|| next.into_boxed_slice()))
    }

    fn accepts(&mut self, states: &States) -> Result<bool, Error> {
        let mut ends = Vec::with_capacity(states.len());
        for ((dfa, cache), state) in self.automata.iter_mut().zip(states) {
            ends.push(match state {
                None => false,
                Some(state) => {
                    dfa.next_eoi_state(cache, *state).map_err(|_| Error::TooLarge)?.is_match()
                }
            });
        }
        Ok(self.formula.value(&|i| Some(ends[i])) == Some(true))
    }

    fn holds(&mut self, host: &Hostname) -> Result<bool, Error> {
        let mut states = self.start()?;
        for byte in host.as_str().bytes().rev() {
            match self.step(&states, byte)? {
                Some(next) => states = next,
                None => return Ok(false),
            }
        }
        self.accepts(&states)
    }

    fn shortest(&mut self) -> Result<Option<String>, Error> {
        let start = self.start()?;
        // Each place that was reached, from which one, and by which character.
        let mut reached = vec![(start.clone(), 0, 0)];
        let mut seen = HashSet::from([start]);
        let mut queue = VecDeque::from([0]);
        while let Some(here) = queue.pop_front() {
            let states = reached[here].0.clone();
            if self.accepts(&states)? {
                return Ok(Some(spell(&reached, here)));
            }
            for byte in CHARACTERS {
                let Some(next) = self.step(&states, *byte)? else { continue };
                if seen.insert(next.clone()) {
                    queue.push_back(reached.len());
                    reached.push((next, here, *byte));
                }
            }
            if reached.len() > MOST_STATES {
                return Err(Error::TooLarge);
            }
        }
        Ok(None)
    }

    /// All names, from the graph of places from which one can still be accepted: if it has a circle, they are
    /// without end.
    fn members(&mut self, limit: usize) -> Result<Option<Vec<String>>, Error> {
        let start = self.start()?;
        let mut places = HashMap::from([(start.clone(), 0)]);
        let mut queue = VecDeque::from([start]);
        let mut edges: Vec<Vec<(usize, u8)>> = Vec::new();
        let mut accepting = Vec::new();
        while let Some(states) = queue.pop_front() {
            accepting.push(self.accepts(&states)?);
            let mut out = Vec::new();
            for byte in CHARACTERS {
                let Some(next) = self.step(&states, *byte)? else { continue };
                let number = places.len();
                let place = *places.entry(next.clone()).or_insert(number);
                if place == number {
                    queue.push_back(next);
                }
                out.push((place, *byte));
            }
            edges.push(out);
            if places.len() > MOST_STATES_OF_FEW {
                return Ok(None);
            }
        }
        let leads = lead_to_an_end(&edges, &accepting);
        Ok(spell_all(&edges, &accepting, &leads, limit))
    }
}

fn alive(state: LazyStateID) -> Option<LazyStateID> {
    (!state.is_dead()).then_some(state)
}

fn formula<'l>(
    language: &'l Language,
    automata: &mut Vec<(&'l DFA, Cache)>,
    seen: &mut HashMap<*const Node, usize>,
) -> Result<Formula, Error> {
    let mut list = |parts: &'l [Language], automata: &mut Vec<(&'l DFA, Cache)>| {
        parts.iter().map(|part| formula(part, automata, seen)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match &*language.0 {
        Node::All(parts) => Formula::All(list(parts, automata)?),
        Node::Any(parts) => Formula::Any(list(parts, automata)?),
        Node::Not(inner) => Formula::Not(Box::new(formula(inner, automata, seen)?)),
        Node::Leaf(leaf) => {
            let place = Arc::as_ptr(&language.0);
            if let Some(known) = seen.get(&place) {
                return Ok(Formula::Leaf(*known));
            }
            let dfa = leaf.dfa()?;
            automata.push((dfa, dfa.create_cache()));
            seen.insert(place, automata.len() - 1);
            Formula::Leaf(automata.len() - 1)
        }
    })
}

/// The name that leads to `place`: the last character was read first.
fn spell(reached: &[(States, usize, u8)], mut place: usize) -> String {
    let mut name = String::new();
    while place != 0 {
        let (_, from, byte) = reached[place];
        name.push(char::from(byte));
        place = from;
    }
    name
}

/// For each place, whether an accepting one can be reached from it.
fn lead_to_an_end(edges: &[Vec<(usize, u8)>], accepting: &[bool]) -> Vec<bool> {
    let mut back = vec![Vec::new(); edges.len()];
    for (from, out) in edges.iter().enumerate() {
        for (to, _) in out {
            back[*to].push(from);
        }
    }
    let mut leads = accepting.to_vec();
    let mut queue: VecDeque<usize> = (0..edges.len()).filter(|place| accepting[*place]).collect();
    while let Some(place) = queue.pop_front() {
        for from in &back[place] {
            if !leads[*from] {
                leads[*from] = true;
                queue.push_back(*from);
            }
        }
    }
    leads
}

/// `None` if there are more than `limit`, or a name is longer than any name can be, as in a circle.
fn spell_all(
    edges: &[Vec<(usize, u8)>],
    accepting: &[bool],
    leads: &[bool],
    limit: usize,
) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut stack = vec![(0, String::new())];
    let mut steps = 0;
    while let Some((place, name)) = stack.pop() {
        steps += 1;
        if steps > 300 * (limit + 1) || name.len() > 253 {
            return None;
        }
        if accepting[place] {
            names.push(name.chars().rev().collect());
            if names.len() > limit {
                return None;
            }
        }
        for (to, byte) in &edges[place] {
            if leads[*to] {
                let mut longer = name.clone();
                longer.push(char::from(*byte));
                stack.push((*to, longer));
            }
        }
    }
    names.sort_unstable();
    Some(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Hostname {
        text.parse().expect(text)
    }

    fn found(language: &Language) -> Option<String> {
        language.shortest().expect("it is small").map(|host| host.to_string())
    }

    #[test]
    fn a_shortest_name_is_found_or_there_is_none() {
        let below = Language::below("core.windows.net");
        let blob = Language::at_or_below("blob.core.windows.net");
        for (language, expected) in [
            (Language::exact("Contoso.azurecr.io"), Some("contoso.azurecr.io")),
            (Language::exact("under_score.example"), None),
            (Language::everything(), Some("a.a")),
            (Language::nothing(), None),
            (below.clone(), Some("a.core.windows.net")),
            (Language::all([below.clone(), blob.clone()]), Some("blob.core.windows.net")),
            (blob.minus(&below), None),
            (Language::below("io").minus(&Language::at_or_below("a.io")), Some("b.io")),
            // No name has an empty label, ends in a number, or is punycode.
            (Language::glob("*.127.0.0.1", ".*"), None),
            (Language::glob("xn--*.io", ".*"), None),
            (Language::glob("*-.io", ".*"), None),
        ] {
            assert_eq!(found(&language).as_deref(), expected, "{language:?}");
        }
    }

    #[test]
    fn few_names_are_written_out() {
        let of = |expression: &str| {
            let language = Language::containing(expression, Case::Sensitive).expect(expression);
            language.members(4).expect("it is small").map(|hosts| hosts.len())
        };
        for (expression, expected) in [
            (r"^(a|b)\.azurecr\.io$", Some(2)),
            (r"^[a-d]\.azurecr\.io$", Some(4)),
            (r"^[a-e]\.azurecr\.io$", None),
            (r"^a+\.azurecr\.io$", None),
            (r"\.azurecr\.io$", None),
            (r"^A\.azurecr\.io$", Some(0)),
        ] {
            assert_eq!(of(expression), expected, "{expression}");
        }
    }

    /// Whatever someone writes, the answer comes soon, and is never a wrong one.
    #[test]
    fn hostile_expressions_are_refused_or_judged() {
        for expression in ["(", "a{1000}{1000}{1000}", "(?=a)", r"\1", "[a", &"(".repeat(200), "*"]
        {
            assert!(Language::containing(expression, Case::Sensitive).is_err(), "{expression}");
        }
        for expression in ["(a*)*b", "(a|a)*$", "(x+x+)+y", "[a-z]{60}", ".*a.{14}$"] {
            let language = Language::containing(expression, Case::Sensitive).expect(expression);
            match language.shortest() {
                Ok(Some(found)) => {
                    assert!(language.holds(&found).expect("it was walked"), "{found}");
                }
                Ok(None) => panic!("{expression} fits something"),
                Err(error) => assert_eq!(error, Error::TooLarge, "{expression}"),
            }
        }
    }

    proptest! {
        /// The automata agree with the plainest way to match a glob, and with set theory.
        #[test]
        fn membership_is_what_a_naive_matcher_says(
            glob in r"[ab.*]{0,6}\.io",
            name in r"([ab]{1,2}\.){1,4}io",
        ) {
            fn fits(glob: &[u8], name: &[u8]) -> bool {
                match (glob, name) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| fits(rest, &name[taken..])),
                    ([g, glob @ ..], [n, name @ ..]) => g == n && fits(glob, name),
                    _ => false,
                }
            }
            let language = Language::glob(&glob, ".*");
            let name = host(&name);
            let naive = fits(glob.as_bytes(), name.as_str().as_bytes());
            prop_assert_eq!(language.holds(&name).expect("it is small"), naive);
            prop_assert_eq!(language.complement().holds(&name).expect("it is small"), !naive);
            if let Some(found) = language.shortest().expect("it is small") {
                prop_assert!(fits(glob.as_bytes(), found.as_str().as_bytes()), "{}", found);
                prop_assert!(!naive || found.as_str().len() <= name.as_str().len());
            } else {
                prop_assert!(!naive);
            }
        }
    }
}
