//! Passwords: read once, sent to those they are for, shown to nobody.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// What stands in an `Authorization` header (RFC 7617).
#[derive(Clone)]
pub struct Credentials(HeaderValue);

/// Why a text holds no [`Credentials`]. It never repeats any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing, several lines, or what no password holds.
    #[error("expected one line, neither empty nor with control characters")]
    Line,
    /// No user, or no password.
    #[error("expected USER:PASSWORD, both of them not empty")]
    Pair,
}

impl Credentials {
    /// `USER:PASSWORD`.
    pub fn pair(text: &str) -> Result<Self, CredentialsError> {
        let line = line(text)?;
        match line.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => Self::basic(line),
            _ => Err(CredentialsError::Pair),
        }
    }

    /// `USER:PASSWORD`, or a registry's refresh token, as `az acr login --expose-token` prints it. Such a token is the
    /// password of the user of nothing but zeroes.
    /// <https://learn.microsoft.com/azure/container-registry/container-registry-authentication>
    pub fn of_registry(text: &str) -> Result<Self, CredentialsError> {
        let line = line(text)?;
        if line.contains(':') {
            return Self::pair(text);
        }
        Self::basic(&format!("{NOBODY}:{line}"))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    fn basic(pair: &str) -> Result<Self, CredentialsError> {
        let value = format!("Basic {}", STANDARD.encode(pair));
        let mut header = HeaderValue::from_str(&value).map_err(|_| CredentialsError::Line)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

/// An access token, as a header.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Editors end a line; the password doesn't.
fn line(text: &str) -> Result<&str, CredentialsError> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(CredentialsError::Line);
    }
    Ok(line)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_line_and_never_shown() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let sent = |credentials: Credentials| {
            assert_eq!(format!("{credentials:?}"), "Credentials(…)");
            assert!(credentials.header().is_sensitive());
            credentials.header().to_str().expect("ASCII").to_owned()
        };
        assert_eq!(Credentials::pair("a:b:c\n").map(sent), Ok(basic("a:b:c")));
        assert_eq!(Credentials::of_registry("a:b\r\n").map(sent), Ok(basic("a:b")));
        let token = Credentials::of_registry("e.y.J").map(sent);
        assert_eq!(token, Ok(basic(&format!("{NOBODY}:e.y.J"))));
        for (text, expected) in [
            ("", CredentialsError::Line),
            ("\n", CredentialsError::Line),
            ("a:b\nc:d\n", CredentialsError::Line),
            ("a:b\0", CredentialsError::Line),
            ("a:", CredentialsError::Pair),
            (":b", CredentialsError::Pair),
        ] {
            assert_eq!(Credentials::of_registry(text).err(), Some(expected), "{text:?}");
        }
        assert_eq!(Credentials::pair("token").err(), Some(CredentialsError::Pair));
    }
}
