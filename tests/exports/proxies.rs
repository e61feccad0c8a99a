//! Forward proxies, explicit and transparent.

mod connect;
mod field;
mod squid;
