//! Derives the exact hosts of Azure container registries from their metadata.

pub mod endpoint;
