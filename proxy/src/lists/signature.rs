//! Decides whether a file comes from whom it should: by a detached minisign signature beside it
//! (<https://jedisct1.github.io/minisign/>), made with one of the keys in the configuration, for a file of
//! this name: one group's list, with its signature, is no other group's.
//!
//! The bytes that are verified are the bytes that are parsed; nobody reads the file a second time.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use minisign_verify::{Error as VerifyError, PublicKey, Signature};
use serde::{Deserialize, Deserializer};

use crate::files;

/// The keys whose signatures count. Without keys no signature is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<PublicKey>);

impl Keys {
    /// Whether signatures are asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that `bytes`, which were read from `path`, are what one of the keys has signed, under this name.
    pub fn verify(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let verify = || {
            let signature = read(&beside(path))?;
            self.check(bytes, &signature)?;
            // Not before: until then anybody can have written the comment.
            check_name(path, signature.trusted_comment())
        };
        verify().map_err(|problem| Error { path: path.to_owned(), problem })
    }

    /// Key ids are eight random bytes, and nobody keeps two keys from having the same; so each is tried.
    fn check(&self, bytes: &[u8], signature: &Signature) -> Result<(), Problem> {
        let mut verdict = Err(Problem::OtherKey);
        for key in &self.0 {
            match key.verify(bytes, signature, false) {
                Ok(()) => return Ok(()),
                Err(VerifyError::UnexpectedKeyId) => {}
                Err(VerifyError::UnexpectedAlgorithm) => verdict = Err(Problem::Legacy),
                Err(_) => verdict = Err(Problem::Mismatch),
            }
        }
        verdict
    }
}

/// Where the signature of `path` is: `minisign -Sm FILE` writes `FILE.minisig`.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".minisig");
    name.into()
}

/// Checks that a trusted comment, which the signature covers, names the file at `path`. Minisign writes
/// fields with tabs between them: `timestamp:…`, `file:NAME`, `hashed`.
fn check_name(path: &Path, comment: &str) -> Result<(), Problem> {
    let mut names = comment.split('\t').filter_map(|field| field.strip_prefix("file:")).peekable();
    if names.peek().is_none() {
        return Err(Problem::Nameless);
    }
    // A comment of the signer's own may name several, and then it is for none of them.
    match names.find(|name| path.file_name() != Some(OsStr::new(name))) {
        Some(other) => Err(Problem::OtherName(other.escape_debug().to_string())),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Signature, Problem> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| match error {
        files::Error::Io(error) if error.kind() == ErrorKind::NotFound => Problem::Missing,
        files::Error::Io(error) => Problem::Unreadable(error),
        files::Error::NotAFile => Problem::NotASignature,
        files::Error::TooLong => Problem::TooLong,
    })?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::NotASignature)?;
    Signature::decode(&text).map_err(|_| Problem::NotASignature)
}

/// A file that doesn't count, and why.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {problem}; {}", path.display(), Remedy(self))]
pub struct Error {
    path: PathBuf,
    problem: Problem,
}

impl Error {
    /// Why the file doesn't count.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// Why a file doesn't count.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is nothing beside it.
    #[error("is not signed, and `lists.public_keys` asks for that")]
    Missing,
    /// There is something beside it, which can't be read.
    #[error("has a signature that can't be read ({0})")]
    Unreadable(io::Error),
    /// There is something else beside it.
    #[error("has no minisign signature in its `.minisig` file")]
    NotASignature,
    /// There is more beside it than a signature can be.
    #[error("has a `.minisig` file of more than {} KiB", MAX_BYTES >> 10)]
    TooLong,
    /// The signature is over the file itself and not over its hash, as an early minisign made them.
    #[error("has a signature in minisign's legacy format")]
    Legacy,
    /// The signature was made with a key that we don't know.
    #[error("is signed with a key that is not one of `lists.public_keys`")]
    OtherKey,
    /// The signature is another file's, or has been changed.
    #[error("is not what was signed")]
    Mismatch,
    /// The signature is for a file of another name.
    #[error("was signed as `{0}`, and one file does not stand for another")]
    OtherName(String),
    /// The signature doesn't say for which file it is.
    #[error("has a signature whose trusted comment has no `file:`, so it could be another file's")]
    Nameless,
}

/// What to do about an error.
struct Remedy<'a>(&'a Error);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { path, problem } = self.0;
        let path = path.display();
        match problem {
            Problem::Missing | Problem::NotASignature | Problem::TooLong | Problem::OtherKey => {
                write!(f, "review it, and sign it with `minisign -Sm {path}`")
            }
            Problem::Unreadable(_) => write!(f, "let the proxy read `{path}.minisig`"),
            Problem::Legacy => write!(f, "sign it with `minisign -Sm {path}`, without `-l`"),
            Problem::Mismatch => {
                write!(f, "restore it, or review it and sign it again with `minisign -Sm {path}`")
            }
            Problem::OtherName(_) => write!(
                f,
                "restore it, or review it and sign it with `minisign -Sm {path}`, whose comment names the file"
            ),
            Problem::Nameless => {
                write!(f, "sign it with `minisign -Sm {path}`, whose comment names the file")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Keys {
    /// A list of the second lines of `minisign.pub` files. An empty one would promise what isn't kept.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Vec::<Key>::deserialize(deserializer)?;
        if keys.is_empty() {
            return Err(serde::de::Error::custom(
                "without keys no signature is checked; give one, or leave `public_keys` out",
            ));
        }
        Ok(Self(keys.into_iter().map(|Key(key)| key).collect()))
    }
}

struct Key(PublicKey);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        PublicKey::from_base64(&text).map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is not a minisign public key; give the second line of `minisign.pub`"
            ))
        })
    }
}

/// Minisign would write comments of up to 8 KiB; what it writes by itself takes less than one with both.
const MAX_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// Made by minisign 0.11, whose secret key was thrown away, over `hi\n`.
    const KEY: &str = "RWTtg8TdmnK56O+eAjzVq1Ew6/byRfSz6wEKZULRKCLdWXdp8+hbSGx1";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUTtg8TdmnK56ARrmnnraTOKoX1Z3bOiTDeMmbtZbDqIzwroNtnfFWRZxUt+qNIWaMLQ4k+wEIPO5BI10B6AXei+ajx/ZtkrfwU=\n\
        trusted comment: timestamp:1795393710\tfile:f\thashed\n\
        zYKm1oNUcNRrA1berKtHSzjh52wXp0QLxSTq3LhK9OPPL6aUC4bRi4/4fjAcEwxJcFNt9hxARguJ6cFGkvdvBA==\n";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
        RWTtg8TdmnK56FhsDmZ/tfmVXkPWU1NdQRdh8c7XcQ8rWmpt/M4ClZys1o9Kpckv/9nFip8I2vTqqujysS+qU5vk0e7P0IBiewE=\n\
        trusted comment: timestamp:1795393710\tfile:f\n\
        keH88gy4xG6p1tDXos7v8HIFPfVB959X6wPPjVBSQ+4bS5gQP7ZftWcJVaV+LW6mPr8B7XclM+n3CrPXCUo9Dg==\n";
    /// The example of minisign-verify.
    const OTHER_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn keys(keys: &[&str]) -> Keys {
        Keys(keys.iter().map(|key| PublicKey::from_base64(key).expect("a key")).collect())
    }

    /// The verdict on a file `f` with `bytes` and `signature`, as text.
    fn verdict(keys: &Keys, bytes: &[u8], signature: Option<&[u8]>) -> Result<(), String> {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("f");
        if let Some(signature) = signature {
            fs::write(beside(&path), signature).expect("written");
        }
        keys.verify(&path, bytes).map_err(|error| {
            let shown = error.to_string();
            assert!(shown.contains("/f` ") && shown.contains("minisig"), "{shown}");
            error.problem().to_string()
        })
    }

    #[test]
    fn only_the_signed_bytes_by_a_known_key_count() {
        let known = keys(&[OTHER_KEY, KEY]);
        let forged = SIGNATURE.replace("file:f", "file:g");
        let cut = &SIGNATURE[..SIGNATURE.len() - 20];
        let long = format!("{}\n{SIGNATURE}", "x".repeat(MAX_BYTES));
        // Keys, the file's bytes, its signature, and what is wrong with them.
        let rows: &[(&Keys, &str, Option<&str>, Option<&str>)] = &[
            (&known, "hi\n", Some(SIGNATURE), None),
            (&keys(&[]), "anything", None, None),
            (&known, "hi\n", None, Some("is not signed")),
            (&known, "hi", Some(SIGNATURE), Some("is not what was signed")),
            (&known, "hi\n", Some(&forged), Some("is not what was signed")),
            (&known, "hi\n", Some(LEGACY), Some("legacy format")),
            (&keys(&[OTHER_KEY]), "hi\n", Some(SIGNATURE), Some("with a key that is not one")),
            (&known, "hi\n", Some(cut), Some("no minisign signature")),
            (&known, "hi\n", Some(""), Some("no minisign signature")),
            (&known, "hi\n", Some(&long), Some("a `.minisig` file of more than 4 KiB")),
        ];
        for (keys, text, signature, expected) in rows {
            let verdict = verdict(keys, text.as_bytes(), signature.map(str::as_bytes));
            match expected {
                None => assert_eq!(verdict, Ok(())),
                Some(problem) => {
                    let shown = verdict.expect_err(problem);
                    assert!(shown.contains(problem), "{problem} in {shown}");
                }
            }
        }
        let shown = verdict(&known, b"hi\n", Some(b"\xff\xfe")).expect_err("no text");
        assert!(shown.contains("no minisign signature"), "{shown}");
    }

    #[test]
    fn a_signature_is_a_file() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("list.toml");
        fs::create_dir(beside(&path)).expect("a folder");
        let shown = keys(&[KEY]).verify(&path, b"hi\n").expect_err("a folder").to_string();
        assert!(shown.contains("no minisign signature"), "{shown}");
    }

    #[test]
    fn a_signature_is_for_a_file_of_its_name() {
        let folder = tempfile::TempDir::new().expect("a folder");
        for (name, expected) in
            [("f", None), ("g", Some("g` was signed as `f`")), ("F", Some("F` was"))]
        {
            let path = folder.path().join(name);
            fs::write(beside(&path), SIGNATURE).expect("written");
            let shown = keys(&[KEY]).verify(&path, b"hi\n").map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(shown, Ok(())),
                Some(expected) => {
                    let shown = shown.expect_err(name);
                    assert!(
                        shown.contains(expected) && shown.contains("names the file"),
                        "{shown}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_trusted_comment_names_the_file() {
        let rows = [
            ("timestamp:1\tfile:a list.toml\thashed", Ok(())),
            ("file:a list.toml", Ok(())),
            ("timestamp:1\tfile:a list.toml\tfile:a list.toml", Ok(())),
            ("timestamp:1\tfile:a list.tom\thashed", Err("was signed as `a list.tom`")),
            ("timestamp:1\tfile:lists/a list.toml", Err("was signed as `lists/a list.toml`")),
            ("timestamp:1\tfile:b\tfile:a list.toml", Err("was signed as `b`")),
            ("timestamp:1\tfile:a list.toml\tfile:b", Err("was signed as `b`")),
            ("timestamp:1\tfile:", Err("was signed as ``")),
            ("file:\u{1b}[2J", Err("was signed as `\\u{1b}[2J`")),
            ("", Err("has no `file:`")),
            ("timestamp:1\thashed", Err("has no `file:`")),
            ("reviewed by me, file:a list.toml", Err("has no `file:`")),
            ("timestamp:1\tFILE:a list.toml", Err("has no `file:`")),
        ];
        for (comment, expected) in rows {
            let verdict = check_name(Path::new("/lists/a list.toml"), comment);
            match (verdict, expected) {
                (Ok(()), Ok(())) => {}
                (Err(problem), Err(text)) if problem.to_string().contains(text) => {}
                (verdict, _) => panic!("{comment}: {verdict:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_a_signature(at in 0..SIGNATURE.len(), with in "\\PC|\\n") {
            let mut text = SIGNATURE.to_owned();
            text.replace_range(at..=at, &with);
            if let Ok(signature) = Signature::decode(&text) {
                // The untrusted comment and what follows are nobody's business; anything else is signed.
                let same = text.lines().skip(1).take(3).eq(SIGNATURE.lines().skip(1));
                let verdict = keys(&[KEY]).check(b"hi\n", &signature);
                prop_assert!(verdict.is_err() || same, "{}", text);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*|(untrusted comment: \\PC*\n[A-Za-z0-9+/=]{0,110}\ntrusted comment: \\PC*\n[A-Za-z0-9+/=]{0,90})") {
            if let Ok(signature) = Signature::decode(&text) {
                prop_assert!(keys(&[KEY]).check(b"hi\n", &signature).is_err());
            }
        }
    }
}
