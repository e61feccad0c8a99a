//! One request over one connection, HTTP/1.1, with bounds on everything that comes back. No redirect is followed here.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::outcome::Outcome;
use super::report::{Finding, clean};
use super::tls::Io;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// As much of it as was wanted.
    pub(crate) body: Vec<u8>,
}

/// What is asked for.
pub(crate) struct Ask<'a> {
    /// As the `Host` header has it.
    pub(crate) authority: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// No more of the body is read than this.
    pub(crate) max_body: usize,
}

/// Asks once, in time.
pub(crate) async fn get(
    stream: impl Io + 'static,
    ask: &Ask<'_>,
    limit: Duration,
) -> Result<Answer, Finding> {
    let exchange = async {
        let failed = |error: hyper::Error| Finding::said(Outcome::HttpFailed, &error);
        let mut sender = open(stream).await.map_err(failed)?;
        let uri: Uri =
            ask.path.parse().map_err(|error| Finding::said(Outcome::HttpFailed, &error))?;
        let mut request = request(Method::GET, uri, ask.authority)?;
        request.headers_mut().extend(ask.headers.iter().cloned().map(|(n, v)| (Some(n), v)));
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = read(body, ask.max_body).await.map_err(failed)?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(Outcome::HttpTimeout.into()))
}

/// What a proxy said to CONNECT.
pub(crate) enum Connect {
    /// The tunnel is open.
    Tunnel(Box<dyn Io>),
    /// It isn't.
    Refusal(Refusal),
}

/// Why a proxy opened no tunnel, in its own words.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The code that `ringfence` gives, or the reason phrase.
    pub(crate) reason: Option<String>,
    pub(crate) meaning: Option<String>,
    pub(crate) remedy: Option<String>,
}

/// Asks the proxy at the other end of `stream` for a tunnel to `authority`.
pub(crate) async fn connect(
    stream: Box<dyn Io>,
    authority: &str,
    credentials: Option<HeaderValue>,
) -> Result<Connect, Finding> {
    let failed = |error: hyper::Error| Finding::said(Outcome::ProxyFailed, &error);
    let mut sender = open(stream).await.map_err(failed)?;
    let uri = authority.parse().map_err(|error| Finding::said(Outcome::ProxyFailed, &error))?;
    let mut request = request(Method::CONNECT, uri, authority)?;
    if let Some(credentials) = credentials {
        request.headers_mut().insert(hyper::header::PROXY_AUTHORIZATION, credentials);
    }
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status().is_success() {
        let tunnel = hyper::upgrade::on(response).await.map_err(failed)?;
        return Ok(Connect::Tunnel(Box::new(TokioIo::new(tunnel))));
    }
    Ok(Connect::Refusal(refusal(response).await))
}

/// Problem details (RFC 9457) as `ringfence` writes them, or the reason phrase alone.
async fn refusal(response: Response<Incoming>) -> Refusal {
    let status = response.status().as_u16();
    let phrase = response
        .extensions()
        .get::<ReasonPhrase>()
        .map(|phrase| clean(&String::from_utf8_lossy(phrase.as_bytes())));
    let canonical = || response.status().canonical_reason().map(str::to_owned);
    let reason = phrase.or_else(canonical);
    // A body that breaks off changes nothing about the refusal.
    let body = read(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().filter(|text| !text.is_empty()).map(clean);
    Refusal {
        status,
        reason: member("reason").or(reason),
        meaning: member("title"),
        remedy: member("remedy"),
    }
}

async fn open(stream: impl Io + 'static) -> Result<SendRequest<Empty<Bytes>>, hyper::Error> {
    let mut builder = Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // It ends when the answer has been read or given up. What goes wrong with it, the request finds out.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

fn request(method: Method, uri: Uri, authority: &str) -> Result<Request<Empty<Bytes>>, Finding> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("allowlist-gen/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| Finding::said(Outcome::HttpFailed, &error))
}

/// The beginning of a body.
async fn read(mut body: Incoming, max: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let Some(frame) = body.frame().await else { break };
        if let Some(data) = frame?.data_ref() {
            let room = max - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(bytes)
}

const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_REFUSAL: usize = 16 * 1024;
