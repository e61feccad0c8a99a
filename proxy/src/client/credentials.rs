//! Decides whether a client that names itself with a password (RFC 7617) is that user. Which list applies
//! to a user is the caller's decision.
//!
//! A password's hash is slow to compute by design, so verifying happens beside the event loops, in bounded
//! numbers, and a success is remembered for a while: a client that sends its password with every tunnel
//! costs one hash in five minutes. Failures are not remembered; a wrong password costs whoever tries it a
//! place in the queue, and the limits per client keep one client from taking them all.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::files;

/// A name and the password that is to prove it, as a client sent them. The password is wiped from memory
/// when this goes, and is not shown by `Debug`.
pub struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    /// Who the client says it is: not empty, without colons and control characters.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a `Proxy-Authorization` is no login. Nothing of the value is shown, for it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLogin {
    /// Another scheme.
    #[error("the credentials are not of the scheme `Basic`")]
    NotBasic,
    /// Not the one way to write it in base64, padding included.
    #[error("the credentials are not valid base64")]
    NotBase64,
    /// We ask for UTF-8 (RFC 7617 §2.1).
    #[error("the credentials are not UTF-8")]
    NotUtf8,
    /// No colon between user and password.
    #[error("the credentials are not `user:password`")]
    NoColon,
    /// No user before the colon.
    #[error("the credentials name no user")]
    NoUser,
    /// Control characters, which neither may have (RFC 7617 §2).
    #[error("the credentials have control characters")]
    ControlCharacter,
}

/// Reads the value of a `Proxy-Authorization` header: `Basic`, one space, base64 (RFC 7617 §2).
pub fn basic(value: &[u8]) -> Result<Login, BadLogin> {
    let (scheme, encoded) = value.split_at_checked(6).ok_or(BadLogin::NotBasic)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Err(BadLogin::NotBasic);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    STANDARD.decode_vec(encoded, &mut bytes).map_err(|_| BadLogin::NotBase64)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| BadLogin::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(BadLogin::ControlCharacter);
    }
    // A password may have colons, a user can't.
    let (user, password) = text.split_once(':').ok_or(BadLogin::NoColon)?;
    if user.is_empty() {
        return Err(BadLogin::NoUser);
    }
    Ok(Login { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

/// Who may log in. There may be nobody; then every login is rejected.
#[derive(Debug, Default)]
pub struct Users {
    hashes: BTreeMap<String, Arc<Hash>>,
}

/// Why a file makes no users.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pipe or device: it can't be read a second time.
    #[error("`{}` is not a regular file, and users are read again when they change", .0.display())]
    NotAFile(PathBuf),
    /// More than a file of users can be.
    #[error("`{}` is longer than {} MiB; give a file of `name:hash` lines", .0.display(), files::MAX_BYTES >> 20)]
    TooLong(PathBuf),
    /// A line is wrong.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file's name.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What can be wrong with a line, and what to do. The hash is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No colon.
    #[error("this is not `name:hash`; make the line with `htpasswd -nB NAME`")]
    NoColon,
    /// No name, or one that nobody could send, or that looks like another.
    #[error("the name is empty, has control characters, or begins or ends with a space")]
    BadName,
    /// A second line for one name.
    #[error("`{name}` is in line {first} already; remove one of the two")]
    Twice {
        /// The name.
        name: String,
        /// The line it was in first.
        first: usize,
    },
    /// A hash of another kind, or a password in the clear.
    #[error(
        "the hash of `{0}` is neither argon2id, argon2i nor bcrypt; make the line with `htpasswd -nB {0}`, \
         or the hash with `argon2 \"$(openssl rand -base64 12)\" -id -e`"
    )]
    UnknownKind(String),
    /// The kind is right, the rest isn't.
    #[error(
        "the hash of `{0}` is malformed; was the line cut? Make it again with `htpasswd -nB {0}`"
    )]
    Malformed(String),
    /// Anyone could keep the proxy busy with logins.
    #[error(
        "the hash of `{0}` takes too long or too much memory to verify; make it with a bcrypt cost of at most \
         {MAX_BCRYPT_COST} (`htpasswd -nB -C 10 {0}`), or with argon2 parameters of at most {memory} MiB and, \
         passes times memory, {work} MiB",
        memory = MAX_ARGON2_MEMORY >> 10,
        work = MAX_ARGON2_WORK >> 10
    )]
    TooCostly(String),
}

impl Users {
    /// Reads `text`, the contents of the file `name`: a `name:hash` in each line, and comments in lines that
    /// begin with `#`. A hash is argon2 as a PHC string, or bcrypt as `htpasswd -B` writes it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        let mut hashes = BTreeMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |problem| Error::Line { file: name.to_owned(), line, problem };
            let (user, hash) = entry(content).map_err(wrong)?;
            if let Some(first) = lines.insert(user, line) {
                return Err(wrong(Problem::Twice { name: user.to_owned(), first }));
            }
            hashes.insert(user.to_owned(), Arc::new(hash));
        }
        Ok(Self { hashes })
    }

    /// Reads a file. This blocks.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let bytes = files::read(path, files::MAX_BYTES).map_err(|error| match error {
            files::Error::Io(source) => read(source),
            files::Error::NotAFile => Error::NotAFile(path.to_owned()),
            files::Error::TooLong => Error::TooLong(path.to_owned()),
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| read(io::Error::new(ErrorKind::InvalidData, error)))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }

    /// Whether there is a user of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.hashes.contains_key(name)
    }

    /// The hash that an unknown user's password is verified against, in vain. It is a listed user's, and
    /// always the same one for the same name, so that the time tells nobody which names are listed.
    fn stand_in(&self, key: &hmac::Key, name: &str) -> Option<&Arc<Hash>> {
        let tag = hmac::sign(key, name.as_bytes());
        let start = tag.as_ref().first_chunk().map_or(0, |bytes| usize::from_ne_bytes(*bytes));
        self.hashes.values().nth(start.checked_rem(self.hashes.len())?)
    }
}

/// The user and the hash of one line.
fn entry(line: &str) -> Result<(&str, Hash), Problem> {
    let (user, text) = line.split_once(':').ok_or(Problem::NoColon)?;
    if user.is_empty() || user.trim() != user || user.contains(char::is_control) {
        return Err(Problem::BadName);
    }
    Ok((user, Hash::parse(user, text.trim_end())?))
}

/// One way to tell whether a password is right, at a bounded price.
struct Hash {
    text: String,
    scheme: Scheme,
}

enum Scheme {
    Argon2(Box<PasswordHash>),
    Bcrypt,
}

impl Hash {
    fn parse(user: &str, text: &str) -> Result<Self, Problem> {
        let malformed = || Problem::Malformed(user.to_owned());
        let starts = |kinds: &[&str]| kinds.iter().any(|kind| text.starts_with(kind));
        let (scheme, bearable) = if starts(&["$argon2id$", "$argon2i$"]) {
            let hash = PasswordHash::new(text).map_err(|_| malformed())?;
            if hash.salt.is_none() || hash.hash.is_none() {
                return Err(malformed());
            }
            let params = Params::try_from(&hash).map_err(|_| malformed())?;
            let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
            let bearable = params.m_cost() <= MAX_ARGON2_MEMORY && work <= MAX_ARGON2_WORK;
            (Scheme::Argon2(Box::new(hash)), bearable)
        } else if starts(&["$2a$", "$2b$", "$2y$"]) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| malformed())?;
            if parts.get_cost() < MIN_BCRYPT_COST {
                return Err(malformed());
            }
            (Scheme::Bcrypt, parts.get_cost() <= MAX_BCRYPT_COST)
        } else {
            return Err(Problem::UnknownKind(user.to_owned()));
        };
        if !bearable {
            return Err(Problem::TooCostly(user.to_owned()));
        }
        Ok(Self { text: text.to_owned(), scheme })
    }

    /// Whether `password` is the one. This takes long.
    ///
    /// Of a password for bcrypt only the first 72 bytes count, as they did when the hash was made.
    fn fits(&self, password: &str) -> bool {
        match &self.scheme {
            // The parameters are the hash's, not the default's.
            Scheme::Argon2(hash) => {
                Argon2::default().verify_password(password.as_bytes(), &**hash).is_ok()
            }
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Argon2(_) => "Hash(argon2)",
            Scheme::Bcrypt => "Hash(bcrypt)",
        })
    }
}

/// How much verifying there is at a time, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Hashes computed at once, each with up to 256 MiB of memory. At least 1.
    pub at_once: usize,
    /// Logins that wait for their turn.
    pub waiting: usize,
    /// How long one waits.
    pub patience: Duration,
    /// For how long a success is remembered.
    pub remember: Duration,
}

impl Default for Limits {
    /// Half of the cores, so that tunnels are carried meanwhile.
    fn default() -> Self {
        Self {
            at_once: available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            waiting: 256,
            patience: Duration::from_secs(5),
            remember: Duration::from_mins(5),
        }
    }
}

/// Why a login got nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such user, or the password is wrong; which of the two, nobody is told.
    #[error("the user or the password is wrong")]
    Rejected,
    /// Too many logins are waiting, or one waited too long.
    #[error("there are too many logins to verify")]
    Busy,
}

/// Verifies logins for all workers of a process.
#[derive(Debug)]
pub struct Verifier {
    users: ArcSwap<Users>,
    /// For waiting and running logins together.
    places: Semaphore,
    running: Arc<Semaphore>,
    patience: Duration,
    remember: Duration,
    successes: Mutex<Successes>,
    /// Of this process alone, so that what is remembered means nothing elsewhere.
    key: hmac::Key,
}

impl Verifier {
    /// A verifier that remembers nothing yet.
    pub fn new(users: Users, limits: Limits) -> Self {
        let at_once = limits.at_once.clamp(1, Semaphore::MAX_PERMITS / 2);
        let waiting = limits.waiting.min(Semaphore::MAX_PERMITS / 2);
        Self {
            users: ArcSwap::from_pointee(users),
            places: Semaphore::new(at_once + waiting),
            running: Arc::new(Semaphore::new(at_once)),
            patience: limits.patience,
            remember: limits.remember,
            successes: Mutex::default(),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .expect("the kernel has random numbers"),
        }
    }

    /// Lets these users in from now on, and no others. A success is remembered together with the hash that
    /// it was verified against, so it is worth nothing once its user has another hash, or is gone.
    pub fn replace(&self, users: Users) {
        self.users.store(Arc::new(users));
    }

    /// Who may log in now.
    pub fn users(&self) -> Arc<Users> {
        self.users.load_full()
    }

    /// Answers with the user's name if the password is theirs.
    ///
    /// To be called in a tokio runtime. Dropping the future ends the waiting, not a hash that is being
    /// computed, and that still counts among those at once.
    pub async fn verify(&self, login: Login) -> Result<String, Failure> {
        let users = self.users();
        let known = users.hashes.get(&login.user);
        let stand_in = || users.stand_in(&self.key, &login.user);
        let hash = Arc::clone(known.or_else(stand_in).ok_or(Failure::Rejected)?);
        let known = known.is_some();
        let success = self.success(&login, &hash);
        if known && self.remembers(&success) {
            return Ok(login.user);
        }
        let _place = self.places.try_acquire().map_err(|_| Failure::Busy)?;
        let turn = timeout(self.patience, Arc::clone(&self.running).acquire_owned()).await;
        let turn = turn.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Busy)?;
        // Clients open many connections at once; the first of them has done the work for the others.
        if known && self.remembers(&success) {
            return Ok(login.user);
        }
        let against = Arc::clone(&hash);
        let work = spawn_blocking(move || {
            let fits = against.fits(&login.password);
            drop(turn);
            fits.then_some(login.user)
        });
        // Work that ends without an answer does so because the process ends.
        let user = work.await.map_err(|_| Failure::Busy)?;
        // The users may have been replaced meanwhile.
        let still = |name: &String| {
            self.users.load().hashes.get(name).is_some_and(|now| now.text == hash.text)
        };
        let user = user.filter(|name| known && still(name)).ok_or(Failure::Rejected)?;
        self.successes().insert(success, Instant::now() + self.remember);
        Ok(user)
    }

    /// What stands for a success of `login` with `hash`. Whoever sees it can't tell the password, nor try
    /// others without the key.
    fn success(&self, login: &Login, hash: &Hash) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&login.user, &*login.password, &hash.text] {
            // Lengths, so that no two logins run together into one.
            context.update(&part.len().to_ne_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().to_vec()
    }

    fn remembers(&self, success: &Tag) -> bool {
        self.successes().0.get(success).is_some_and(|end| Instant::now() < *end)
    }

    fn successes(&self) -> std::sync::MutexGuard<'_, Successes> {
        // Nothing panics while it is locked, and half a change couldn't let anyone in.
        self.successes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Tag = Vec<u8>;

/// Successes, and until when they count.
#[derive(Default)]
struct Successes(HashMap<Tag, Instant>);

impl Successes {
    /// Adds one, and makes room for it if there is none. That is a walk through all of them, beside a hash
    /// that took a thousand times as long.
    fn insert(&mut self, success: Tag, end: Instant) {
        if self.0.len() >= MAX_SUCCESSES {
            let now = Instant::now();
            self.0.retain(|_, end| now < *end);
        }
        if self.0.len() >= MAX_SUCCESSES {
            let oldest = self.0.iter().min_by_key(|(_, end)| **end);
            if let Some(oldest) = oldest.map(|(success, _)| success.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(success, end);
    }
}

impl fmt::Debug for Successes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Successes({})", self.0.len())
    }
}

/// bcrypt knows none below.
const MIN_BCRYPT_COST: u32 = 4;
/// Less than a second on a slow core; each further step doubles it.
const MAX_BCRYPT_COST: u32 = 12;
/// In KiB: 256 MiB.
const MAX_ARGON2_MEMORY: u32 = 256 << 10;
/// In KiB times passes: 512 MiB, about a second on a slow core. RFC 9106 §4 recommends 192 MiB, as 64 MiB in
/// three passes, where 2 GiB are too much.
const MAX_ARGON2_WORK: u64 = 512 << 10;
/// One for each user and client address of a large site; some 100 bytes each.
const MAX_SUCCESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::OwnedSemaphorePermit;

    use super::*;

    // The cheapest hashes there are.

    fn bcrypt_line(name: &str, password: &str) -> String {
        let hash = bcrypt::hash_with_salt(password, 4, *b"sixteen bytes ok").expect("a hash");
        format!("{name}:{}\n", hash.format_for_version(bcrypt::Version::TwoY))
    }

    fn argon2_line(name: &str, password: &str, kind: argon2::Algorithm) -> String {
        use argon2::password_hash::PasswordHasher;
        let params = Params::new(8, 1, 1, None).expect("the least there is");
        let hasher = Argon2::new(kind, argon2::Version::V0x13, params);
        let hash =
            hasher.hash_password_with_salt(password.as_bytes(), b"salted salt").expect("a hash");
        format!("{name}:{hash}\n")
    }

    fn users(text: &str) -> Users {
        Users::parse("users", text).expect("valid")
    }

    fn login(user: &str, password: &str) -> Login {
        basic(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).as_bytes())
            .expect("a login")
    }

    fn verifier(text: &str) -> Verifier {
        let patience = Duration::from_mins(1);
        let remember = Duration::from_mins(5);
        Verifier::new(users(text), Limits { at_once: 1, waiting: 10, patience, remember })
    }

    /// Takes the one turn there is: whoever gets an answer now, gets it without a hash.
    fn busy(verifier: &Verifier) -> OwnedSemaphorePermit {
        Arc::clone(&verifier.running).try_acquire_owned().expect("a turn")
    }

    #[test]
    fn a_login_has_one_way_to_be_written() {
        let rows: [(&[u8], _); _] = [
            // RFC 7617 §2 and §2.1.
            (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Ok(("Aladdin", "open sesame"))),
            (b"basic dGVzdDoxMjPCow==", Ok(("test", "123£"))),
            (b"BASIC YTpiOmM=", Ok(("a", "b:c"))),
            (b"Basic YTo=", Ok(("a", ""))),
            (b"Basic  YTpi", Err(BadLogin::NotBase64)),
            (b"Basic YTpi ", Err(BadLogin::NotBase64)),
            (b"Basic YTo", Err(BadLogin::NotBase64)),
            (b"Basic YTp=", Err(BadLogin::NotBase64)),
            (b"Basic YT\npi", Err(BadLogin::NotBase64)),
            (b"Basic YTpi_w==", Err(BadLogin::NotBase64)),
            (b"Basic a:b", Err(BadLogin::NotBase64)),
            (b"Basic ", Err(BadLogin::NoColon)),
            (b"Basic YWI=", Err(BadLogin::NoColon)),
            (b"Basic OmI=", Err(BadLogin::NoUser)),
            (b"Basic YTr/", Err(BadLogin::NotUtf8)),
            (b"Basic YTpiAA==", Err(BadLogin::ControlCharacter)),
            (b"Basic YQ06Yg==", Err(BadLogin::ControlCharacter)),
            (b"Basic", Err(BadLogin::NotBasic)),
            (b"", Err(BadLogin::NotBasic)),
            (b"Bearer YTpi", Err(BadLogin::NotBasic)),
            (b"Basic\tYTpi", Err(BadLogin::NotBasic)),
            (b"BasicYTpi", Err(BadLogin::NotBasic)),
        ];
        for (value, expected) in rows {
            let login = basic(value);
            let read = login.as_ref().map(|login| (login.user(), login.password.as_str()));
            assert_eq!(read.map_err(|error| *error), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn nothing_shows_a_password_or_a_hash() {
        let shown = format!("{:?}", login("ci", "sesame"));
        assert_eq!(shown, "Login { user: \"ci\", .. }");
        let verifier = verifier(&bcrypt_line("ci", "sesame"));
        let shown = format!("{verifier:?}");
        assert!(shown.contains("Hash(bcrypt)") && !shown.contains("$2y$"), "{shown}");
    }

    #[test]
    fn lines_of_users_are_read() {
        let text = [
            "# made with htpasswd -nB\n\n".to_owned(),
            bcrypt_line("ci", "a"),
            argon2_line("builds@contoso.example", "b", argon2::Algorithm::Argon2id),
            argon2_line("Jürgen Klopp", "c", argon2::Algorithm::Argon2i).replace('\n', "\r\n"),
        ];
        let users = users(&text.concat());
        let names: Vec<&str> = users.names().collect();
        assert_eq!(names, ["Jürgen Klopp", "builds@contoso.example", "ci"]);
        assert!(users.contains("ci") && !users.contains("CI") && !users.is_empty());
        assert!(Users::parse("users", "# nobody\n").expect("valid").is_empty());
    }

    #[test]
    fn a_wrong_line_is_named_with_what_to_do() {
        let salt_and_hash = "......................OPGbX8tPWwOOqF2A9T9a8cVPUrDb3Oe";
        let bcrypt = |start: &str| format!("ci:{start}{salt_and_hash}");
        let argon2 = |params: &str| {
            format!("ci:$argon2id$v=19${params}$c2FsdGVkIHNhbHQ$Wn5xk8pg3J8Zz3V1cF7tVg")
        };
        let name = || "ci".to_owned();
        let rows = [
            ("ci".to_owned(), Problem::NoColon),
            (":x".to_owned(), Problem::BadName),
            (" ci:x".to_owned(), Problem::BadName),
            ("ci :x".to_owned(), Problem::BadName),
            ("c\ti:x".to_owned(), Problem::BadName),
            ("ci:".to_owned(), Problem::UnknownKind(name())),
            ("ci:sesame".to_owned(), Problem::UnknownKind(name())),
            ("ci:$apr1$x$y".to_owned(), Problem::UnknownKind(name())),
            ("ci:{SHA}x".to_owned(), Problem::UnknownKind(name())),
            ("ci:$argon2d$v=19$m=8,t=1,p=1$x$y".to_owned(), Problem::UnknownKind(name())),
            (bcrypt("$2x$10$"), Problem::UnknownKind(name())),
            (bcrypt("$2y$03$"), Problem::Malformed(name())),
            (bcrypt("$2y$1x$"), Problem::Malformed(name())),
            (bcrypt("$2y$10$x"), Problem::Malformed(name())),
            ("ci:$2y$10$".to_owned(), Problem::Malformed(name())),
            (bcrypt("$2y$13$"), Problem::TooCostly(name())),
            (bcrypt("$2b$31$"), Problem::TooCostly(name())),
            (argon2("m=8,t=1,p=0"), Problem::Malformed(name())),
            (argon2("m=1,t=1,p=1"), Problem::Malformed(name())),
            (argon2("x=1"), Problem::Malformed(name())),
            ("ci:$argon2id$v=19$m=8,t=1,p=1".to_owned(), Problem::Malformed(name())),
            (argon2("m=262145,t=1,p=1"), Problem::TooCostly(name())),
            (argon2("m=65536,t=9,p=1"), Problem::TooCostly(name())),
            (argon2("m=4294967295,t=4294967295,p=1"), Problem::TooCostly(name())),
        ];
        for (line, expected) in rows {
            let error = Users::parse("users", &format!("# first\n{line}\n")).expect_err(&line);
            assert!(
                matches!(&error, Error::Line { line: 2, problem, .. } if *problem == expected),
                "{line}: {error}"
            );
            assert!(error.to_string().starts_with("users:2: "), "{error}");
        }
        for bearable in ["m=262144,t=2,p=1", "m=65536,t=8,p=4"] {
            users(&argon2(bearable));
        }
        users(&bcrypt("$2y$12$"));
    }

    #[test]
    fn a_user_has_one_line() {
        let text = bcrypt_line("ci", "a") + &bcrypt_line("cd", "b") + &bcrypt_line("ci", "c");
        let error = Users::parse("users", &text).expect_err("twice").to_string();
        assert_eq!(error, "users:3: `ci` is in line 1 already; remove one of the two");
    }

    #[test]
    fn files_that_are_no_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        assert!(matches!(Users::load(&path), Err(Error::Read { .. })));
        assert!(matches!(Users::load(folder.path()), Err(Error::NotAFile(_))));
        std::fs::write(&path, b"ci:\xff").expect("written");
        assert!(matches!(Users::load(&path), Err(Error::Read { .. })));
        let sparse = std::fs::File::create(&path).expect("created");
        sparse.set_len(1 << 31).expect("a sparse file");
        let shown = Users::load(&path).expect_err("too long").to_string();
        assert!(shown.contains("users` is longer than 16 MiB; give"), "{shown}");
        std::fs::write(&path, bcrypt_line("ci", "a")).expect("written");
        assert!(Users::load(&path).expect("valid").contains("ci"));
    }

    /// What other implementations hold themselves to.
    #[tokio::test]
    async fn hashes_of_other_programs_are_verified() {
        let text = "\
            john:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n\
            argon2:$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8\n";
        let verifier = verifier(text);
        // Openwall's crypt_blowfish, wrapper.c; Argon2's reference implementation, test.c.
        assert_eq!(verifier.verify(login("john", "U*U")).await.as_deref(), Ok("john"));
        assert_eq!(verifier.verify(login("argon2", "password")).await.as_deref(), Ok("argon2"));
        assert_eq!(verifier.verify(login("john", "U*V")).await, Err(Failure::Rejected));
    }

    #[tokio::test]
    async fn a_user_is_who_knows_the_password() {
        let text = bcrypt_line("ci", "sesame")
            + &argon2_line("cd", "sesam", argon2::Algorithm::Argon2id)
            + &argon2_line("old", "öffne dich", argon2::Algorithm::Argon2i);
        let verifier = verifier(&text);
        let rows = [
            ("ci", "sesame", true),
            ("cd", "sesam", true),
            ("old", "öffne dich", true),
            ("ci", "sesam", false),
            ("cd", "sesame", false),
            ("ci", "", false),
            ("CI", "sesame", false),
            ("ci ", "sesame", false),
            ("nobody", "sesame", false),
            ("nobody", "sesam", false),
        ];
        // Twice, for the second time some are remembered.
        for (user, password, expected) in rows.into_iter().chain(rows) {
            let answer = verifier.verify(login(user, password)).await;
            let expected = if expected { Ok(user.to_owned()) } else { Err(Failure::Rejected) };
            assert_eq!(answer, expected, "{user}:{password}");
        }
        assert_eq!(verifier.successes().0.len(), 3);
    }

    #[tokio::test]
    async fn where_there_are_no_users_nobody_logs_in() {
        let verifier = verifier("");
        assert_eq!(verifier.verify(login("ci", "")).await, Err(Failure::Rejected));
    }

    #[tokio::test]
    async fn a_success_is_remembered_and_a_failure_is_not() {
        let mut verifier = verifier(&bcrypt_line("ci", "sesame"));
        verifier.patience = Duration::ZERO;
        assert!(verifier.verify(login("ci", "sesame")).await.is_ok());
        assert_eq!(verifier.verify(login("ci", "wrong")).await, Err(Failure::Rejected));
        let turn = busy(&verifier);
        assert!(verifier.verify(login("ci", "sesame")).await.is_ok());
        // These would have to be verified, and unknown users no less than known ones.
        assert_eq!(verifier.verify(login("ci", "wrong")).await, Err(Failure::Busy));
        assert_eq!(verifier.verify(login("nobody", "wrong")).await, Err(Failure::Busy));
        drop(turn);
        assert_eq!(verifier.verify(login("nobody", "wrong")).await, Err(Failure::Rejected));
    }

    #[tokio::test]
    async fn a_success_is_forgotten_in_time() {
        let mut verifier = verifier(&bcrypt_line("ci", "sesame"));
        (verifier.patience, verifier.remember) = (Duration::ZERO, Duration::ZERO);
        assert!(verifier.verify(login("ci", "sesame")).await.is_ok());
        let _turn = busy(&verifier);
        assert_eq!(verifier.verify(login("ci", "sesame")).await, Err(Failure::Busy));
    }

    #[tokio::test]
    async fn a_success_ends_with_its_hash() {
        let old = bcrypt_line("ci", "sesame");
        let verifier = verifier(&old);
        assert!(verifier.verify(login("ci", "sesame")).await.is_ok());
        verifier.replace(users(&bcrypt_line("ci", "new")));
        assert_eq!(verifier.verify(login("ci", "sesame")).await, Err(Failure::Rejected));
        assert!(verifier.verify(login("ci", "new")).await.is_ok());
        verifier.replace(users(&bcrypt_line("cd", "sesame")));
        assert_eq!(verifier.verify(login("ci", "sesame")).await, Err(Failure::Rejected));
        assert_eq!(verifier.verify(login("ci", "new")).await, Err(Failure::Rejected));
    }

    #[tokio::test]
    async fn users_replaced_while_one_waits_are_those_that_count() {
        let verifier = verifier(&bcrypt_line("ci", "sesame"));
        let turn = busy(&verifier);
        let replace = async {
            // The other future has been polled, and waits for its turn.
            tokio::task::yield_now().await;
            verifier.replace(users(&bcrypt_line("cd", "sesame")));
            drop(turn);
        };
        let (answer, ()) = tokio::join!(verifier.verify(login("ci", "sesame")), replace);
        assert_eq!(answer, Err(Failure::Rejected));
    }

    #[tokio::test]
    async fn many_connections_of_one_client_cost_one_hash() {
        let verifier = Arc::new(verifier(&bcrypt_line("ci", "sesame")));
        let turn = busy(&verifier);
        let waiting: Vec<_> = (0..11)
            .map(|_| {
                let verifier = Arc::clone(&verifier);
                tokio::spawn(async move { verifier.verify(login("ci", "sesame")).await })
            })
            .collect();
        while verifier.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // There is no room for one more.
        assert_eq!(verifier.verify(login("ci", "sesame")).await, Err(Failure::Busy));
        drop(turn);
        for login in waiting {
            assert_eq!(login.await.expect("no panic").as_deref(), Ok("ci"));
        }
        assert_eq!(verifier.places.available_permits(), 11);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut successes = Successes::default();
        let start = Instant::now() + Duration::from_mins(5);
        let tag = |number: usize| number.to_ne_bytes().to_vec();
        for number in 0..MAX_SUCCESSES + 10 {
            let end = start + Duration::from_millis(number as u64);
            successes.insert(tag(number), end);
        }
        assert_eq!(successes.0.len(), MAX_SUCCESSES);
        assert!(!successes.0.contains_key(&tag(9)) && successes.0.contains_key(&tag(10)));
    }

    proptest! {
        #[test]
        fn every_login_is_read_as_sent(user in "[^:\\p{Cc}]{1,20}", password in "\\P{Cc}{0,20}") {
            let read = login(&user, &password);
            prop_assert_eq!((read.user(), read.password.as_str()), (&*user, &*password));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "(ci:\\$(2y|argon2id)\\$)?.{0,80}") {
            let _ = basic(&bytes);
            let _ = basic(&[b"Basic ", &bytes[..]].concat());
            let _ = Users::parse("users", &text);
        }
    }
}
