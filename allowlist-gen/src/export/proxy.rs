//! Other forward proxies, and what points clients at one.

pub(super) mod envoy;
pub(super) mod envoy_sni;
pub(super) mod haproxy;
pub(super) mod nginx;
pub(super) mod squid;
