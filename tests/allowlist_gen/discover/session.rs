//! The library as a program uses it that asks again and again.

use std::fs;
use std::sync::{Arc, Mutex};

use allowlist_gen::azure::{
    Authorities, Azure as Session, Choice, Event, Query, Service, Settings, parse_url, snapshot,
};
use allowlist_gen::endpoint::Cloud;
use anyhow::Result;

use super::fake::{Azure, CLIENT, Reply, SECRET, TENANT};
use super::{FABRIKAM, SUBSCRIPTION, fabrikam};

fn session(azure: &Azure, tell: impl Fn(Event) + Send + Sync + 'static) -> Result<Session> {
    let url = || parse_url(&azure.url()).map_err(anyhow::Error::msg);
    let variables =
        [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", SECRET)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings {
        service: Service::new(Cloud::Public, Some(url()?), Some(url()?), None)?,
        choice: Choice::new(None, None, None, None, variables.into_iter().collect()),
        authorities: Authorities::read("ca.pem", &fs::read_to_string(azure.ca())?)?,
    };
    Ok(Session::new(&settings, tell)?)
}

fn query() -> Query {
    Query { subscriptions: vec![SUBSCRIPTION.parse().expect("an id")], ..Query::default() }
}

/// `watch` asks every few minutes, for days.
#[test]
fn whoever_asks_again_has_signed_in_already() -> Result<()> {
    let azure = fabrikam()?;
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let session = session(&azure, move |event| {
        heard.lock().expect("nothing panics while it holds this").push(event);
    })?;
    let first = snapshot(&session.discover(&query())?);
    // What has changed is seen, what has failed is no end, and nobody signs in for it.
    azure.on(&format!("{FABRIKAM}/replications"), Reply::error(400, "BadRequest", "Not now."));
    assert!(session.discover(&query()).is_err());
    azure.on(&format!("{FABRIKAM}/replications"), Reply::forbidden());
    assert_ne!(snapshot(&session.discover(&query())?), first);
    assert_eq!(azure.token_requests().len(), 1);
    let last = events.lock().expect("nothing panics while it holds this").pop();
    assert!(matches!(last, Some(Event::Answered { registries: 1, .. })), "{last:?}");
    Ok(())
}

/// A task of a runtime must not wait for another runtime; this one may.
#[test]
fn a_task_may_ask() -> Result<()> {
    let azure = fabrikam()?;
    let session = session(&azure, |_| {})?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sources = runtime.block_on(async { session.discover(&query()) })?;
    assert_eq!(sources.len(), 10);
    Ok(())
}
