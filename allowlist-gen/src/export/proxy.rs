//! Other forward proxies, and what points clients at one.

pub(super) mod dante;
pub(super) mod envoy;
pub(super) mod envoy_sni;
pub(super) mod haproxy;
pub(super) mod nginx;
mod node;
pub(super) mod pac;
pub(super) mod privoxy;
pub(super) mod smokescreen;
pub(super) mod squid;
pub(super) mod tinyproxy;
