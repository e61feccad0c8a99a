//! One image's pull, as far as it takes to see where the registry sends for a blob: a token, the manifest, and the
//! first byte of the smallest blob.

use hyper::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, LOCATION, RANGE};
use ringfence_config::endpoint::{Endpoint, LoginServer};
use ringfence_config::{Allowlist, HostPattern, Port};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::{Credentials, bearer};
use super::http::{Answer, Ask, get};
use super::outcome::Outcome;
use super::redirect::{Redirect, judge};
use super::report::{Finding, Found, Log, Step, Subject};
use super::repository::{Digest, Repository};
use super::way::{Route, Target, Way};

/// What is pulled, and as whom.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The image.
    pub repository: Repository,
    /// As whom; anonymously without.
    pub credentials: Option<Credentials>,
}

/// A registry that has been reached.
pub(crate) struct Reached<'a> {
    pub(crate) way: &'a Way,
    pub(crate) route: Route,
    pub(crate) target: &'a Target<'a>,
    pub(crate) list: &'a Allowlist,
}

/// What a pull has left to do on another host: fetch what the registry sent for.
pub(crate) async fn pull(
    registry: &Reached<'_>,
    challenge: &Challenge,
    pull: &Pull,
    log: &mut Log,
) -> Option<Log> {
    let token = log.note(Step::PullToken, registry.token(challenge, pull).await)?;
    let digest = log.note(Step::Manifest, registry.smallest_blob(pull, &token).await)?;
    let path = pull.repository.blob(&digest);
    let redirect = log.note(Step::Redirect, registry.redirect(&path, &token).await)??;
    let host = redirect.host.as_str();
    let mut other = Log::new(Subject::listed(host, redirect.entry, Port::HTTPS));
    registry.fetch(&redirect, &mut other).await;
    Some(other)
}

impl Reached<'_> {
    /// Asks the registry, over a connection of its own.
    pub(crate) async fn get(
        &self,
        path: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        max_body: usize,
    ) -> Result<Answer, Finding> {
        let stream = self.way.again(self.route, self.target).await?;
        let authority = self.target.authority();
        let ask = Ask { authority: &authority, path, headers, max_body };
        get(stream, &ask, self.way.limit()).await
    }

    async fn token(&self, challenge: &Challenge, pull: &Pull) -> Found<HeaderValue> {
        let credentials = pull.credentials.as_ref();
        let headers = credentials.map(|own| (AUTHORIZATION, own.header())).into_iter().collect();
        let question = challenge.question(Some(&pull.repository.scope()));
        let Answer { status, body, .. } = self.get(&question, headers, MAX_TOKEN).await?;
        let refuse = |outcome| Err(Finding::status(outcome, status));
        match (status, credentials) {
            (200, _) => {}
            (400 | 401, None) => return refuse(Outcome::CredentialsNeeded),
            (400 | 401, Some(_)) => return refuse(Outcome::CredentialsRefused),
            (403, _) => return refuse(Outcome::TokenForbidden),
            _ => return refuse(Outcome::TokenFailed),
        }
        // Never shown: what can't be read may still hold a token.
        let token = serde_json::from_slice::<TokenAnswer>(&body)
            .ok()
            .and_then(|answer| bearer(&answer.access_token.or(answer.token)?));
        match token {
            Some(token) => Ok((token, Finding::status(Outcome::TokenIssued, status))),
            None => refuse(Outcome::TokenFailed),
        }
    }

    /// The smallest blob of the image, or of an index's first image.
    async fn smallest_blob(&self, pull: &Pull, token: &HeaderValue) -> Found<Digest> {
        let mut path = pull.repository.manifest();
        for _ in 0..2 {
            let accept = (ACCEPT, HeaderValue::from_static(MANIFESTS));
            let headers = vec![accept, (AUTHORIZATION, token.clone())];
            let Answer { status, body, .. } = self.get(&path, headers, MAX_MANIFEST).await?;
            let refuse = |outcome| Err(Finding::status(outcome, status));
            match status {
                200 => {}
                401 | 403 => return refuse(Outcome::ManifestDenied),
                404 => return refuse(Outcome::ManifestNotFound),
                _ => return refuse(Outcome::ManifestFailed),
            }
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&body) else {
                return refuse(Outcome::ManifestFailed);
            };
            let descriptors = manifest.config.iter().chain(&manifest.layers);
            // What has URLs of its own is not the registry's to serve.
            let own = descriptors.filter(|descriptor| descriptor.urls.is_empty());
            let smallest = own.min_by_key(|descriptor| descriptor.size);
            if let Some(digest) = smallest.and_then(|smallest| smallest.digest.parse().ok()) {
                return Ok((digest, Finding::status(Outcome::ManifestFound, status)));
            }
            let first = manifest.manifests.first().and_then(|first| first.digest.parse().ok());
            match first {
                Some(digest) => path = pull.repository.manifest_of(&digest),
                None => return refuse(Outcome::ManifestFailed),
            }
        }
        Err(Finding::said(Outcome::ManifestFailed, &"an index of indexes"))
    }

    /// Where the registry sends for the blob; nowhere, if it serves it itself.
    async fn redirect(&self, path: &str, token: &HeaderValue) -> Found<Option<Redirect<'_>>> {
        let headers = vec![(AUTHORIZATION, token.clone()), first_byte()];
        let Answer { status, headers, .. } = self.get(path, headers, 0).await?;
        match status {
            200 | 206 => Ok((None, Finding::status(Outcome::BlobInPlace, status))),
            301 | 302 | 303 | 307 | 308 => {
                let mut locations = headers.get_all(LOCATION).iter();
                // Clients differ in which of several they follow.
                let location = match (locations.next(), locations.next()) {
                    (Some(only), None) => only.to_str().ok(),
                    _ => None,
                };
                let refused = |mut finding: Finding| {
                    finding.evidence.status = Some(status);
                    finding
                };
                let redirect = judge(location.unwrap_or_default(), &self.registry()?, self.list);
                let redirect = redirect.map_err(refused)?;
                let found = Finding::status(Outcome::RedirectOwn, status);
                let found = found.naming(redirect.host.as_str());
                Ok((Some(redirect), found))
            }
            _ => Err(Finding::status(Outcome::BlobFailed, status)),
        }
    }

    /// Fetches a byte of the blob where the registry sent for it, with nothing of ours but the signature.
    async fn fetch(&self, redirect: &Redirect<'_>, log: &mut Log) {
        let Redirect { host, entry, path } = redirect;
        let target = Target { host, port: Port::HTTPS, pins: &entry.addresses };
        let mut way = Log::new(Subject::listed(host.as_str(), entry, Port::HTTPS));
        let opened = self.way.open(&target, &mut way).await;
        // A host that is listed has checks of its own, with the same steps; of a pattern's, these are the only ones.
        if matches!(entry.host, HostPattern::Wildcard(_)) {
            log.checks.extend(way.checks);
        }
        let Some((_, stream)) = opened else {
            log.push(Step::Blob, Outcome::NotTried);
            return;
        };
        let authority = target.authority();
        let headers = vec![first_byte()];
        let ask = Ask { authority: &authority, path, headers, max_body: 0 };
        let found = match get(stream, &ask, self.way.limit()).await {
            Ok(Answer { status: status @ (200 | 206), .. }) => {
                Finding::status(Outcome::BlobFetched, status)
            }
            Ok(Answer { status, .. }) => Finding::status(Outcome::BlobNotServed, status),
            Err(finding) => finding,
        };
        log.push(Step::Blob, found);
    }

    /// Whose data endpoints these are.
    fn registry(&self) -> Result<LoginServer, Finding> {
        let endpoint = self.target.host.as_str().parse::<Endpoint>();
        endpoint
            .map(|endpoint| endpoint.login_server().clone())
            .map_err(|error| Finding::said(Outcome::BlobFailed, &error))
    }
}

/// `bytes=0-0`: a key to a blob is not used for more than it takes.
fn first_byte() -> (HeaderName, HeaderValue) {
    (RANGE, HeaderValue::from_static("bytes=0-0"))
}

/// <https://distribution.github.io/distribution/spec/auth/token/#token-response-fields>
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// An image's manifest, or an index of them.
/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>
#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
}

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";
const MAX_TOKEN: usize = 64 * 1024;
const MAX_MANIFEST: usize = 4 * 1024 * 1024;
