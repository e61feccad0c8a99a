//! Decides whether a file comes from whom it should: by a detached minisign signature beside it
//! (<https://jedisct1.github.io/minisign/>), made with one of the keys in the configuration.
//!
//! The bytes that are verified are the bytes that are parsed; nobody reads the file a second time.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use minisign_verify::{Error as VerifyError, PublicKey, Signature};
use serde::{Deserialize, Deserializer};

/// The keys whose signatures count. Without keys no signature is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<PublicKey>);

impl Keys {
    /// Whether signatures are asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that `bytes`, which were read from `path`, are what one of the keys has signed.
    pub fn verify(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let verified = read(&beside(path)).and_then(|signature| self.check(bytes, &signature));
        verified.map_err(|problem| Error { path: path.to_owned(), problem })
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

fn read(path: &Path) -> Result<Signature, Problem> {
    let text = read_bounded(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Problem::Missing,
        ErrorKind::InvalidData => Problem::NotASignature,
        _ => Problem::Unreadable(error),
    })?;
    Signature::decode(&text).map_err(|_| Problem::NotASignature)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    // A pipe would let us wait, and a device never end.
    if !path.metadata()?.is_file() {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
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
    /// The signature is over the file itself and not over its hash, as an early minisign made them.
    #[error("has a signature in minisign's legacy format")]
    Legacy,
    /// The signature was made with a key that we don't know.
    #[error("is signed with a key that is not one of `lists.public_keys`")]
    OtherKey,
    /// The signature is another file's, or has been changed.
    #[error("is not what was signed")]
    Mismatch,
}

/// What to do about an error.
struct Remedy<'a>(&'a Error);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { path, problem } = self.0;
        let path = path.display();
        match problem {
            Problem::Missing | Problem::NotASignature | Problem::OtherKey => {
                write!(f, "review it, and sign it with `minisign -Sm {path}`")
            }
            Problem::Unreadable(_) => write!(f, "let the proxy read `{path}.minisig`"),
            Problem::Legacy => write!(f, "sign it with `minisign -Sm {path}`, without `-l`"),
            Problem::Mismatch => {
                write!(f, "restore it, or review it and sign it again with `minisign -Sm {path}`")
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

/// Minisign's own limit for a comment is 8 KiB, and there are two.
const MAX_BYTES: u64 = 32 * 1024;

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

    /// The verdict on a file `list.toml` with `bytes` and `signature`, as text.
    fn verdict(keys: &Keys, bytes: &[u8], signature: Option<&[u8]>) -> Result<(), String> {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("list.toml");
        if let Some(signature) = signature {
            fs::write(beside(&path), signature).expect("written");
        }
        keys.verify(&path, bytes).map_err(|error| {
            let shown = error.to_string();
            assert!(shown.contains("list.toml` ") && shown.contains("minisig"), "{shown}");
            error.problem().to_string()
        })
    }

    #[test]
    fn only_the_signed_bytes_by_a_known_key_count() {
        let known = keys(&[OTHER_KEY, KEY]);
        let forged = SIGNATURE.replace("file:f", "file:g");
        let cut = &SIGNATURE[..SIGNATURE.len() - 20];
        let long = format!("{}\n{SIGNATURE}", "x".repeat(40_000));
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
            (&known, "hi\n", Some(&long), Some("no minisign signature")),
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
