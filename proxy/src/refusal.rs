//! What a client sees of a refusal: an HTTP response before the 200, a TLS alert after it.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::reason::Reason;
use crate::wire::Wire;

/// The response to a request that is refused.
#[derive(Debug)]
pub struct Response {
    reason: Reason,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Response {
    /// The response for `reason`, if one can be sent; `host` is the canonical name asked for, if there is
    /// one.
    pub fn new(reason: Reason, host: Option<&str>) -> Option<Self> {
        let status = reason.status()?;
        let body = Problem {
            r#type: format!("urn:ringfence:reason:{}", reason.code()),
            title: reason.meaning(),
            status,
            detail: match host {
                Some(host) => format!("`{host}`: {}", reason.meaning()),
                None => reason.meaning().to_owned(),
            },
            reason,
            remedy: reason.remedy(),
        };
        let body = serde_json::to_string(&body).expect("strings and numbers are JSON") + "\n";
        let (code, error) = (reason.code(), reason.proxy_error());
        let mut headers = vec![
            ("Ringfence-Reason", code.to_owned()),
            ("Proxy-Status", format!("ringfence; error={error}; details=\"{code}\"")),
            ("Content-Type", "application/problem+json".to_owned()),
            ("Content-Length", body.len().to_string()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ];
        match reason {
            Reason::MethodNotAllowed => headers.push(("Allow", "CONNECT".to_owned())),
            Reason::CredentialsRequired => {
                let challenge = "Basic realm=\"ringfence\", charset=\"UTF-8\"";
                headers.push(("Proxy-Authenticate", challenge.to_owned()));
            }
            _ if matches!(status, 429 | 503) => {
                headers.push((RETRY_AFTER_HEADER, seconds(RETRY_AFTER)));
            }
            _ => {}
        }
        Some(Self { reason, status, headers, body })
    }

    /// The same, to one that is worth another try after `wait`.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        for (name, value) in &mut self.headers {
            if *name == RETRY_AFTER_HEADER {
                *value = seconds(wait);
            }
        }
        self
    }

    /// As HTTP/1.1 has it, the connection being closed behind it.
    ///
    /// The reason phrase carries the code and the remedy, because Go's clients, so containerd, docker and
    /// skopeo, print nothing else of a proxy's answer.
    pub fn http1(&self) -> String {
        let (code, remedy) = (self.reason.code(), self.reason.remedy());
        let phrase: String =
            format!("ringfence: {code}; {remedy}").chars().filter(char::is_ascii).collect();
        let mut text = String::with_capacity(512 + self.body.len());
        let _ = write!(text, "HTTP/1.1 {} {phrase}\r\n", self.status);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text + "Connection: close\r\n\r\n" + &self.body
    }

    /// As HTTP/2 has it, which knows no reason phrase; the other streams go on.
    pub fn http2(self) -> hyper::Response<Bytes> {
        let mut response = hyper::Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Bytes::from(self.body)).expect("names and values of ours are valid")
    }
}

/// Whole seconds (RFC 9110 §10.2.3), so that the next try is not too early.
fn seconds(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).max(1).to_string()
}

/// Problem details for HTTP APIs (RFC 9457 §3.1).
#[derive(Serialize)]
struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    reason: Reason,
    remedy: &'static str,
}

/// The fatal alert with this description: a plaintext record (RFC 8446 §5.1).
pub fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// Sends `last_words`, and that nothing will follow.
pub async fn send(stream: &mut Wire, last_words: &[u8]) {
    let farewell = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await
    };
    // The client may be gone or stuck; there is no one left to tell.
    let _ = timeout(LINGER, farewell).await;
}

/// Lets the client read what it was sent, and closes.
///
/// A socket closed with unread input sends a reset, which may overtake the answer; so what the client
/// still sends is read and thrown away, within bounds, until it closes too.
pub async fn linger(mut stream: Wire) {
    let rest = async {
        let mut scrap = [0; 1024];
        for _ in 0..LINGER_READS {
            if !matches!(stream.read(&mut scrap).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = timeout(LINGER, rest).await;
}

/// When to try again where nothing tells.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);
const RETRY_AFTER_HEADER: &str = "Retry-After";

/// Long enough for a client to read an answer, short enough to hold a socket for nobody.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_is_well_formed_and_says_what_to_do() {
        for reason in Reason::ALL.iter().copied() {
            let Some(response) = Response::new(reason, Some("a.example.com")) else {
                continue;
            };
            let text = response.http1();
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut parsed = httparse::Response::new(&mut headers);
            let head = parsed.parse(text.as_bytes()).expect("valid").unwrap();
            assert_eq!(parsed.code, reason.status());
            assert!(
                parsed.reason.expect("a phrase").starts_with(&format!("ringfence: {reason}; "))
            );
            let header = |name| {
                let found = parsed.headers.iter().find(|header| header.name == name);
                std::str::from_utf8(found.expect(name).value).expect("ASCII")
            };
            assert_eq!(header("Ringfence-Reason"), reason.code());
            assert_eq!(header("Connection"), "close");
            assert_eq!(header("Content-Length"), (text.len() - head).to_string());
            let body: serde_json::Value = serde_json::from_str(&text[head..]).expect("JSON");
            assert_eq!(body["reason"], reason.code());
            assert!(!body["remedy"].as_str().expect("a remedy").is_empty());
            let http2 = response.http2();
            assert_eq!(Some(http2.status().as_u16()), reason.status());
            assert_eq!(http2.headers()["ringfence-reason"], reason.code());
            assert!(!http2.headers().contains_key("connection"), "RFC 9113 §8.2.2");
        }
    }

    #[test]
    fn a_storage_refusal_explains_dedicated_data_endpoints() {
        let response = Response::new(Reason::StorageForbidden, None).expect("a response");
        let text = response.http1();
        let phrase = text.lines().next().expect("a status line");
        assert!(phrase.contains("--data-endpoint-enabled"), "{phrase}");
    }
}
