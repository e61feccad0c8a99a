//! Which image is asked for: `[LOGIN SERVER/]NAME[:TAG|@DIGEST]`.

use std::fmt;
use std::str::FromStr;

use ringfence_config::Hostname;

/// An image in a repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The login server, if one was written.
    pub login_server: Option<Hostname>,
    /// The repository's name.
    name: String,
    reference: Reference,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reference {
    Tag(String),
    Digest(Digest),
}

/// The name of a blob or a manifest: an algorithm and a hash in hex, so that it can stand in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest(String);

/// Why a text is no [`Repository`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests>
    #[error(
        "a repository's name is made of parts in lower case, as in `team/app`; write NAME[:TAG|@DIGEST]"
    )]
    Name,
    /// The same.
    #[error("a tag is letters, digits, `_`, `.` and `-`, 128 at most")]
    Tag,
    /// <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests>
    #[error("a digest is `sha256:` and 64 digits in lower-case hex, or `sha512:` and 128")]
    Digest,
}

impl Repository {
    /// The path of its manifest.
    pub(crate) fn manifest(&self) -> String {
        let reference = match &self.reference {
            Reference::Tag(tag) => tag,
            Reference::Digest(digest) => &digest.0,
        };
        format!("/v2/{}/manifests/{reference}", self.name)
    }

    /// The path of another manifest of the same repository, as an index names it.
    pub(crate) fn manifest_of(&self, digest: &Digest) -> String {
        format!("/v2/{}/manifests/{}", self.name, digest.0)
    }

    /// The path of one of its blobs.
    pub(crate) fn blob(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{}", self.name, digest.0)
    }

    /// What a token has to be good for.
    /// <https://distribution.github.io/distribution/spec/auth/scope/>
    pub(crate) fn scope(&self) -> String {
        format!("repository:{}:pull", self.name)
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        // A part before the first slash that has a dot is a host, as it is for docker.
        let host = text.split_once('/').filter(|(first, _)| first.contains('.'));
        let (login_server, rest) = match host {
            Some((host, rest)) => (Some(host.parse().map_err(|_| RepositoryError::Name)?), rest),
            None => (None, text),
        };
        let (name, reference) = if let Some((name, digest)) = rest.split_once('@') {
            (name, Reference::Digest(digest.parse()?))
        } else if let Some((name, tag)) = rest.split_once(':') {
            (name, Reference::Tag(tag_of(tag)?))
        } else {
            (rest, Reference::Tag("latest".to_owned()))
        };
        if name.len() > 255 || !name.split('/').all(is_part) {
            return Err(RepositoryError::Name);
        }
        Ok(Self { login_server, name: name.to_owned(), reference })
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    is_word(*first)
        && is_word(*last)
        && separators.into_iter().all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn tag_of(text: &str) -> Result<String, RepositoryError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_tag = (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    if is_tag { Ok(text.to_owned()) } else { Err(RepositoryError::Tag) }
}

impl FromStr for Digest {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let (algorithm, hash) = text.split_once(':').ok_or(RepositoryError::Digest)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(RepositoryError::Digest),
        };
        let is_hex = hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hash.len() == length && is_hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(RepositoryError::Digest)
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.login_server {
            write!(f, "{host}/")?;
        }
        match &self.reference {
            Reference::Tag(tag) => write!(f, "{}:{tag}", self.name),
            Reference::Digest(digest) => write!(f, "{}@{}", self.name, digest.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_everywhere() {
        let hex = "0123456789abcdef".repeat(4);
        let rows = [
            ("app", Ok("app:latest")),
            ("app:v1", Ok("app:v1")),
            ("team/my-app__x.y:V1.0-rc_1", Ok("team/my-app__x.y:V1.0-rc_1")),
            ("contoso.azurecr.io/team/app:v1", Ok("contoso.azurecr.io/team/app:v1")),
            ("Contoso.azurecr.io/app", Ok("contoso.azurecr.io/app:latest")),
            ("a---b", Ok("a---b:latest")),
            ("", Err(RepositoryError::Name)),
            ("App", Err(RepositoryError::Name)),
            ("a//b", Err(RepositoryError::Name)),
            ("a___b", Err(RepositoryError::Name)),
            ("a..b", Err(RepositoryError::Name)),
            ("../v2", Err(RepositoryError::Name)),
            ("a b", Err(RepositoryError::Name)),
            ("a?b", Err(RepositoryError::Name)),
            ("a%2fb", Err(RepositoryError::Name)),
            ("https://contoso.azurecr.io/app", Err(RepositoryError::Tag)),
            ("-a", Err(RepositoryError::Name)),
            ("app:", Err(RepositoryError::Tag)),
            ("app:a/b", Err(RepositoryError::Tag)),
            ("app@sha256:00", Err(RepositoryError::Digest)),
            ("app@md5:00", Err(RepositoryError::Digest)),
        ];
        for (text, expected) in rows {
            let parsed = text.parse::<Repository>().map(|repository| repository.to_string());
            assert_eq!(parsed.as_deref(), expected.as_deref(), "{text}");
        }
        let digest: Repository = format!("app@sha256:{hex}").parse().expect("a digest");
        assert_eq!(digest.manifest(), format!("/v2/app/manifests/sha256:{hex}"));
        assert_eq!(digest.scope(), "repository:app:pull");
    }
}
