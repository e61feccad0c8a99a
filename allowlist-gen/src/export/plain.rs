//! Formats that hold the list and nothing around it.

pub(super) mod csv;
pub(super) mod host_port;
pub(super) mod json;
pub(super) mod text;
pub(super) mod toml;
