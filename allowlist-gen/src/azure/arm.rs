//! One GET to the resource manager, and one listing with all of its pages: within limits, again where that can help,
//! and only ever to the resource manager.
//!
//! Limits and their answers:
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use azure_core::credentials::AccessToken;
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::Event;
use super::cloud::{Service, Url};
use super::credential::Credential;
use super::error::{Body, Error};
use super::id::ResourcePath;
use super::transport::{causes, host, is_about_trust};

/// The resource manager, as one credential sees it.
pub(super) struct Arm {
    http: Client,
    endpoint: Url,
    credential: Credential,
    slots: Semaphore,
    requests: AtomicUsize,
    registries: AtomicUsize,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

/// What ARM says to a question.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Shown(T),
    Withheld(Withheld),
}

/// What ARM doesn't show to whoever asks, or says isn't there.
#[derive(Debug, Clone)]
pub(super) struct Withheld {
    pub(super) status: StatusCode,
    /// ARM's word for it: `AuthorizationFailed`.
    pub(super) code: String,
    pub(super) message: String,
}

impl Withheld {
    /// As the end of it all, where there is no going on without.
    pub(super) fn fatal(self, path: &ResourcePath) -> Error {
        let make = match self.status {
            StatusCode::NOT_FOUND => Error::NotFound,
            StatusCode::UNAUTHORIZED => Error::Unauthorized,
            _ => Error::Forbidden,
        };
        make(path.clone(), self.code, self.message)
    }
}

impl<T> Answer<T> {
    /// What is shown, where there is no going on without.
    pub(super) fn or_fail(self, path: &ResourcePath) -> Result<T, Error> {
        match self {
            Self::Shown(shown) => Ok(shown),
            Self::Withheld(withheld) => Err(withheld.fatal(path)),
        }
    }
}

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) path: &'a ResourcePath,
    /// The API versions that will do, the best one first: not every cloud has it.
    pub(super) versions: &'a [&'a str],
    /// Which items of a listing.
    pub(super) filter: Option<&'a str>,
}

impl Arm {
    pub(super) fn new(
        http: Client,
        service: &Service,
        credential: Credential,
        tell: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Self {
        Self {
            http,
            endpoint: service.manager.clone(),
            credential,
            slots: Semaphore::new(AT_ONCE),
            requests: AtomicUsize::new(0),
            registries: AtomicUsize::new(0),
            tell,
        }
    }

    /// Begins to count anew, for those who wait.
    pub(super) fn begin(&self) {
        self.requests.store(0, Ordering::Relaxed);
        self.registries.store(0, Ordering::Relaxed);
    }

    /// So many registries are known by now.
    pub(super) fn found(&self, registries: usize) {
        self.registries.store(registries, Ordering::Relaxed);
    }

    /// One resource.
    pub(super) async fn get(
        &self,
        question: Question<'_>,
    ) -> Result<Answer<Map<String, Value>>, Error> {
        let mut versions = question.versions.iter().peekable();
        loop {
            let version = versions.next().expect("there is one version at least");
            let answer = self.ask(question.path, &self.url(question, version)).await?;
            match answer {
                Answer::Withheld(withheld)
                    if withheld.is_about_versions() && versions.peek().is_some() => {}
                answer => return Ok(answer),
            }
        }
    }

    /// All items of a listing.
    pub(super) async fn list(&self, question: Question<'_>) -> Result<Answer<Vec<Value>>, Error> {
        let path = question.path;
        let mut page = match self.get(question).await? {
            Answer::Shown(page) => page,
            Answer::Withheld(withheld) => return Ok(Answer::Withheld(withheld)),
        };
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let Some(Value::Array(value)) = page.remove("value") else {
                return Err(shape(path, "a listing has `value`, and this has none"));
            };
            items.extend(value);
            let next = match page.remove("nextLink") {
                None | Some(Value::Null) => return Ok(Answer::Shown(items)),
                Some(Value::String(link)) if link.is_empty() => return Ok(Answer::Shown(items)),
                Some(Value::String(link)) => self.own_page(path, &link)?,
                Some(_) => return Err(shape(path, "`nextLink` is no text")),
            };
            if !seen.insert(next.clone()) {
                return Err(Error::Endless(path.clone(), "a page leads back to one before it"));
            }
            if seen.len() >= MOST_PAGES {
                return Err(Error::Endless(path.clone(), "it has more than 1000 pages"));
            }
            page = self.ask(path, &next).await?.or_fail(path)?;
        }
    }

    fn url(&self, question: Question<'_>, version: &str) -> Url {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .expect("an https URL has a path")
            .pop_if_empty()
            .extend(question.path.segments());
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", version);
        if let Some(filter) = question.filter {
            query.append_pair("$filter", filter);
        }
        drop(query);
        url
    }

    /// A token must not leave for where a link leads, so the link has to lead to where the token was meant for.
    fn own_page(&self, path: &ResourcePath, link: &str) -> Result<Url, Error> {
        match link.parse::<Url>() {
            Ok(url)
                if url.origin() == self.endpoint.origin()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Ok(url)
            }
            _ => Err(Error::ForeignPage(path.clone(), link.to_owned())),
        }
    }

    /// Sends one request, again where that can help.
    async fn ask(
        &self,
        path: &ResourcePath,
        url: &Url,
    ) -> Result<Answer<Map<String, Value>>, Error> {
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        let mut token = self.credential.token().await?;
        let mut has_new_token = false;
        let (mut faults, mut waited) = (0, Duration::ZERO);
        loop {
            let outcome = self.try_once(path, url, &token).await?;
            let pause = match outcome {
                Outcome::Answer(answer) => {
                    let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
                    let registries = self.registries.load(Ordering::Relaxed);
                    (self.tell)(Event::Answered { requests, registries });
                    return Ok(answer);
                }
                Outcome::Expired(withheld) if has_new_token => return Err(withheld.fatal(path)),
                Outcome::Expired(_) => {
                    token = self.credential.replace(&token).await?;
                    has_new_token = true;
                    continue;
                }
                Outcome::Throttled(after) => {
                    let pause = after.unwrap_or(FIRST_PAUSE * 4).max(FIRST_PAUSE);
                    waited = waited.saturating_add(pause);
                    if waited > LONGEST_WAIT {
                        return Err(Error::Throttled(path.clone()));
                    }
                    (self.tell)(Event::Throttled(pause.as_secs().max(1)));
                    pause
                }
                Outcome::Fault(error) if faults == MOST_FAULTS => return Err(error),
                Outcome::Fault(_) => {
                    faults += 1;
                    FIRST_PAUSE * 2u32.pow(faults - 1)
                }
            };
            tokio::time::sleep(pause).await;
            // The pause may have outlasted it.
            token = self.credential.token().await?;
        }
    }

    async fn try_once(
        &self,
        path: &ResourcePath,
        url: &Url,
        token: &AccessToken,
    ) -> Result<Outcome, Error> {
        let request = self.http.get(url.clone()).bearer_auth(token.token.secret());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if is_about_trust(&error) => return Err(self.transport(&error)),
            Err(error) => return Ok(Outcome::Fault(self.transport(&error))),
        };
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| retry_after(after.trim(), SystemTime::now()));
        let is_busy = status == StatusCode::SERVICE_UNAVAILABLE && after.is_some();
        if status == StatusCode::TOO_MANY_REQUESTS || is_busy {
            return Ok(Outcome::Throttled(after));
        }
        if status.is_redirection() {
            let location = response
                .headers()
                .get(LOCATION)
                .map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
            return Err(Error::Redirect(path.clone(), location.unwrap_or_default()));
        }
        let bytes = match read(&mut response).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(Error::Body(path.clone(), Body::TooLong(LONGEST_BODY >> 20))),
            Err(error) => return Ok(Outcome::Fault(self.transport(&error))),
        };
        if status == StatusCode::OK {
            return object(path, &response, &bytes)
                .map(|body| Outcome::Answer(Answer::Shown(body)));
        }
        let (code, message) = error_of(status, &bytes);
        let withheld = Withheld { status, code, message };
        if withheld.is_about_versions() {
            return Ok(Outcome::Answer(Answer::Withheld(withheld)));
        }
        Ok(match status {
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Outcome::Answer(Answer::Withheld(withheld))
            }
            // The resource is another tenant's, and no token of this one opens it.
            StatusCode::UNAUTHORIZED if withheld.code == "InvalidAuthenticationTokenTenant" => {
                Outcome::Answer(Answer::Withheld(withheld))
            }
            StatusCode::UNAUTHORIZED => Outcome::Expired(withheld),
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Outcome::Fault(withheld.unexpected(path)),
            _ => return Err(withheld.unexpected(path)),
        })
    }

    fn transport(&self, error: &reqwest::Error) -> Error {
        Error::Transport { host: host(&self.endpoint), why: causes(error) }
    }
}

impl fmt::Debug for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arm").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

/// What became of one try.
enum Outcome {
    Answer(Answer<Map<String, Value>>),
    /// ARM doesn't take the token.
    Expired(Withheld),
    /// After this time, if ARM says one.
    Throttled(Option<Duration>),
    /// It may go better next time.
    Fault(Error),
}

impl Withheld {
    /// An older cloud, or another one, may not have the API version.
    fn is_about_versions(&self) -> bool {
        matches!(
            self.code.as_str(),
            "NoRegisteredProviderFound"
                | "InvalidApiVersionParameter"
                | "UnsupportedApiVersion"
                | "InvalidResourceType"
        )
    }

    fn unexpected(self, path: &ResourcePath) -> Error {
        Error::Status(path.clone(), self.status.as_u16(), self.code, self.message)
    }
}

/// The body, or `None` if it is longer than anything could be.
async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > LONGEST_BODY {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn object(
    path: &ResourcePath,
    response: &Response,
    bytes: &[u8],
) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(shape(path, "an object was expected")),
        Err(error) => {
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or("of no stated type").to_owned();
            Err(Error::Body(path.clone(), Body::NotJson { kind, why: error.to_string() }))
        }
    }
}

pub(super) fn shape(path: &ResourcePath, why: &str) -> Error {
    Error::Body(path.clone(), Body::Shape(why.to_owned()))
}

/// `{"error": {"code": …, "message": …}}`, or what the status says.
/// <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors>
fn error_of(status: StatusCode, bytes: &[u8]) -> (String, String) {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    // Some services leave the envelope out.
    let error = body.get("error").unwrap_or(&body);
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let is_plain =
        |code: &&str| code.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let reason = status.canonical_reason().unwrap_or("unknown").replace(' ', "");
    let code = text("code").filter(is_plain).unwrap_or(&reason);
    let message = text("message").unwrap_or("it says no more");
    (short(code, 100), short(message, 1000))
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Seconds, or a date: RFC 9110, section 10.2.3.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let date = azure_core::time::parse_rfc7231(text).ok()?;
        Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
    })
}

/// ARM grants a principal 250 reads at once and 25 more each second; this stays below with ordinary answers.
const AT_ONCE: usize = 8;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MOST_FAULTS: u32 = 4;

/// For one request, all pauses together.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// ARM's pages hold 1000 items at most, of a few KiB each.
const LONGEST_BODY: usize = 64 << 20;

const MOST_PAGES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        for (text, seconds) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("18446744073709551615", Some(u64::MAX)),
            ("Sun, 13 Sep 2020 12:27:10 GMT", Some(30)),
            ("Sun, 13 Sep 2020 12:26:00 GMT", Some(0)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn an_error_has_a_code_and_a_message_whatever_came() {
        let long =
            format!("{{\"error\": {{\"code\": \"{0}\", \"message\": \"{0}\"}}}}", "a".repeat(5000));
        for (body, code, message) in [
            (
                r#"{"error": {"code": "AuthorizationFailed", "message": "No."}}"#,
                "AuthorizationFailed",
                "No.",
            ),
            (r#"{"code": "AuthorizationFailed", "message": "No."}"#, "AuthorizationFailed", "No."),
            (r#"{"error": {"code": "a b", "message": ""}}"#, "Forbidden", "it says no more"),
            (r#"{"error": {"code": "\u001b[2J"}}"#, "Forbidden", "it says no more"),
            (r#"{"error": "no"}"#, "Forbidden", "it says no more"),
            (r#"{"error": {"code": 1, "message": 2}}"#, "Forbidden", "it says no more"),
            ("[]", "Forbidden", "it says no more"),
            ("<html>", "Forbidden", "it says no more"),
            ("", "Forbidden", "it says no more"),
            (&long, &"a".repeat(100), &"a".repeat(1000)),
        ] {
            let said = error_of(StatusCode::FORBIDDEN, body.as_bytes());
            assert_eq!(said, (code.to_owned(), message.to_owned()), "{body}");
        }
    }
}
