//! Proxies that are configured in full: Envoy by CONNECT and by server name (SNI), `HAProxy` and nginx by SNI.

mod envoy;
mod haproxy;
mod hello;
mod linted;
mod nginx;
mod probes;
mod widened;
mod world;
