//! What a client sees of a refusal: an HTTP response before the 200, a TLS alert after it.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::reason::Reason;
use crate::wire::Wire;

/// The response for `reason`, if one can be sent; `host` is the canonical name asked for, if there is one.
///
/// The reason phrase carries the code and the remedy, because Go's clients, so containerd, docker and
/// skopeo, print nothing else of a proxy's answer.
pub fn response(reason: Reason, host: Option<&str>) -> Option<String> {
    response_after(reason, host, RETRY_AFTER)
}

/// The same, for one that is worth another try after `retry_after`.
pub fn response_after(reason: Reason, host: Option<&str>, retry_after: Duration) -> Option<String> {
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
    let mut response = String::with_capacity(512 + body.len());
    let (code, remedy) = (reason.code(), reason.remedy());
    let phrase: String =
        format!("ringfence: {code}; {remedy}").chars().filter(char::is_ascii).collect();
    let _ = write!(
        response,
        "HTTP/1.1 {status} {phrase}\r\n\
         Ringfence-Reason: {code}\r\n\
         Proxy-Status: ringfence; error={}; details=\"{code}\"\r\n\
         Content-Type: application/problem+json\r\n\
         Content-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\n\
         Connection: close\r\n",
        reason.proxy_error(),
        body.len(),
    );
    match reason {
        Reason::MethodNotAllowed => response.push_str("Allow: CONNECT\r\n"),
        Reason::CredentialsRequired => {
            response
                .push_str("Proxy-Authenticate: Basic realm=\"ringfence\", charset=\"UTF-8\"\r\n");
        }
        _ if matches!(status, 429 | 503) => {
            // Whole seconds (RFC 9110 §10.2.3); the next try should not be too early.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            let _ = write!(response, "Retry-After: {seconds}\r\n");
        }
        _ => {}
    }
    Some(response + "\r\n" + &body)
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

/// Long enough for a client to read an answer, short enough to hold a socket for nobody.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_is_well_formed_and_says_what_to_do() {
        for reason in Reason::ALL.iter().copied() {
            let Some(text) = response(reason, Some("a.example.com")) else {
                continue;
            };
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
        }
    }

    #[test]
    fn a_storage_refusal_explains_dedicated_data_endpoints() {
        let text = response(Reason::StorageForbidden, None).expect("a response");
        let phrase = text.lines().next().expect("a status line");
        assert!(phrase.contains("--data-endpoint-enabled"), "{phrase}");
    }
}
