//! Stops the proxy in stages: unready, but serving; no newcomers; nobody.

use std::convert::Infallible;
use std::time::Duration;

use humantime::format_duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::notice::notice;
use crate::server::signals::Stop;
use crate::service::Service;

/// Waits until asked to stop, and stops. Asked again, it goes on to the next stage at once. `gone` closes
/// with the last worker.
pub async fn run(
    service: &Service,
    mut stop: Stop,
    mut gone: mpsc::Receiver<Infallible>,
    config: &Config,
) {
    stop.asked().await;
    service.stopping.cancel();
    let (ended_before, _) = service.metrics.tunnels_ended();
    if !config.grace.is_zero() {
        let grace = format_duration(config.grace);
        notice(format_args!("not ready any more, serving for another {grace}"));
        tokio::select! {
            () = sleep(config.grace) => {}
            () = stop.asked() => {}
        }
    }
    service.closing.cancel();
    notice(format_args!("draining {} connections", service.metrics.open.get()));
    let drained = tokio::select! {
        _ = gone.recv() => true,
        () = sleep(config.drain) => false,
        () = stop.asked() => false,
    };
    if !drained {
        service.shared.cut.cancel();
        notice(format_args!("cutting {} connections", service.metrics.open.get()));
        // Each of them has its last words to say, and a line to log.
        let _ = timeout(FAREWELL, gone.recv()).await;
    }
    let (ended, cut) = service.metrics.tunnels_ended();
    notice(format_args!("stopped; tunnels drained: {}, cut: {cut}", ended - ended_before));
}

/// How long anything may take that is still to be said when everything else is over.
pub const FAREWELL: Duration = Duration::from_secs(5);
