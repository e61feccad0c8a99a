//! Ends each group's list when it is past its end, without anybody's doing.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ringfence_config::issue::Moment;
use tokio::time::sleep;

use crate::lists::vintage::Standing;
use crate::service::Service;

/// Waits for one end after the other, until the future is dropped.
pub async fn run(service: Arc<Service>) {
    let mut standings = service.standings.subscribe();
    loop {
        let end = standings.borrow_and_update().iter().filter_map(Standing::next_end).min();
        tokio::select! {
            () = passed(end) => service.expire(SystemTime::now()),
            changed = standings.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until the wall clock is past `end`. That clock may be set, and a timer doesn't count while a machine
/// sleeps; so it is looked at now and then.
async fn passed(end: Option<Moment>) {
    let Some(end) = end else { return pending().await };
    while let Ok(left) = end.time().duration_since(SystemTime::now()) {
        sleep(left.clamp(SHORTEST, LOOK)).await;
    }
}

const SHORTEST: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_secs(5);
