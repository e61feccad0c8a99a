//! `ringfence`, a CONNECT forward proxy that lets clients reach exactly the hosts on an allowlist.
//!
//! A connection's way through the modules:
//!
//! ```text
//! server ─▶ tunnel ─▶ head ─▶ client ─▶ policy ─▶ upstream ─200─▶ hello ─▶ policy ─▶ relay ─▶ record
//! accept    story     parse   identify  decide    resolve, vet,   read     check     carry    log, count
//!                                                  dial
//! ```

pub mod admin;
pub mod admission;
pub mod cli;
pub mod client;
pub mod config;
pub mod expectations;
pub mod explain;
pub mod files;
pub mod h2;
pub mod head;
pub mod hello;
pub mod lists;
pub mod log;
pub mod metrics;
pub mod notice;
pub mod policy;
pub mod probe;
pub mod reason;
pub mod reception;
pub mod refusal;
pub mod relay;
pub mod reload;
pub mod selftest;
pub mod server;
pub mod service;
pub mod tunnel;
pub mod upstream;
pub mod wire;

/// An error and its causes, as one text.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
