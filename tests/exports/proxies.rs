//! Forward proxies, explicit and transparent.

mod squid;
