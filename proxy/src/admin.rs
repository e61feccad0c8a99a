//! Serves `/metrics`, `/healthz` and `/readyz`, on a port that clients don't see.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::probe::Report;
use crate::reason::Reason;
use crate::service::Service;

/// Serves until the future is dropped. One request a connection, all of it in bounded time, and a bounded
/// number at once: who can reach this port can at worst make its other users wait.
pub async fn serve(listener: TcpListener, service: Arc<Service>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = Arc::clone(&service);
        tokio::task::spawn_local(async move {
            let answer = service_fn(|request| {
                let response = answer(&request, &service);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answer);
            // A scraper that goes away in the middle has told us all it will; one that doesn't read is
            // left.
            let _ = timeout(TOTAL_TIMEOUT, connection).await;
            drop(slot);
        });
    }
}

fn answer(request: &Request<Incoming>, service: &Service) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            service.metrics.log_is_up(service.shared.log.healthy());
            respond(StatusCode::OK, METRICS, service.metrics.encode())
        }
        "/healthz" => respond(StatusCode::OK, TEXT, "alive\n"),
        "/readyz" => readiness(service),
        _ => respond(StatusCode::NOT_FOUND, TEXT, "try /metrics, /healthz or /readyz\n"),
    }
}

/// What `/readyz` says.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    entries: usize,
    generation: u64,
    /// The hash of each group's list, in the order of the groups.
    allowlists: Vec<String>,
    /// What is known of the hosts that are probed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probes: Vec<Report>,
    /// What an operator should look at: the last reload of lists or of identities failed, so that what is
    /// in force is older than the files; or a group's list is empty or too old.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

fn readiness(service: &Service) -> Response<Full<Bytes>> {
    let policy = service.shared.policy.load();
    let reason = if service.stopping.is_cancelled() {
        Some(Reason::Draining.code())
    } else if let Some(reason) = policy.closed() {
        Some(reason.code())
    } else if !service.shared.log.permits() {
        Some(Reason::LogUnavailable.code())
    } else if !service.probes.ready() {
        Some(UNREACHED)
    } else {
        None
    };
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        entries: policy.len(),
        generation: policy.generation(),
        allowlists: policy.lists().iter().map(|list| list.id().hash.to_string()).collect(),
        probes: service.probes.reports(),
        warning: service.warning(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_string(&readiness).expect("strings and numbers are JSON") + "\n";
    respond(status, JSON, body)
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A probed host is not reached.
const UNREACHED: &str = "endpoint_down";
const CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
