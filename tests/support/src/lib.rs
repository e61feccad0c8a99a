//! What the end-to-end tests stand on.
//!
//! A [`Network`] is three namespaces in a row, `client`, `gate` and `world`, so that a client's only
//! way out is whatever listens in the gate. Its world holds the real thing: [`Registry`] is Debian's
//! docker-registry, [`DataHost`] is nginx, [`Dns`] is dnsmasq, and a [`Recorder`] stands where data
//! must never arrive. [`Ringfence`] is the proxy, seen only through what it promises: its listening
//! lines, its access log, its admin port and its signals.
//!
//! Nothing here sleeps: every wait is for an event and ends at a deadline, and the error shows what
//! was seen until then. Nothing here leaves a namespace, and every process is ended by its id.

mod data_host;
mod dns;
mod image;
mod namespace;
mod network;
mod process;
pub mod proxy_header;
mod recorder;
mod registry;
mod require;
mod ringfence;
mod tls;
pub mod tls_client;

pub use data_host::DataHost;
pub use dns::Dns;
pub use image::Image;
pub use namespace::Namespace;
pub use network::{Network, address};
pub use process::{Capture, Finished, Program, Running};
pub use recorder::{Received, Recorder};
pub use registry::Registry;
pub use require::{require, require_program, skip};
pub use ringfence::Ringfence;
pub use tls::{Authority, Identity};

use std::time::Duration;

/// How long anything may take before a test says that it isn't going to happen.
///
/// Long, because it costs nothing when all is well and a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(20);
