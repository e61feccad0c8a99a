//! What both programs must agree on: what a host name is, what an allowlist is, which addresses are
//! ordinary, and what may never be allowed.
//!
//! No I/O and no async here. Everything is parsed once into a type that cannot hold a wrong value; the
//! rest of the workspace takes those types and asks no more questions.

pub mod address;
pub mod allowlist;
pub mod document;
pub mod endpoint;
pub mod guard;
pub mod hostname;
pub mod issue;
pub mod pattern;
pub mod preset;
pub mod registry;
pub mod snippet;

pub use allowlist::{Allowlist, Entry, Role};
pub use document::Document;
pub use hostname::{Hostname, Port};
pub use issue::Issue;
pub use pattern::{HostPattern, PatternSet};
pub use preset::PresetName;
pub use registry::{Label, Region};
