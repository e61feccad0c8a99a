//! The built program on real metadata: what it prints, what it refuses, what it leaves behind.

mod bad_input;
mod exports;
mod findings;
mod fixtures;
mod flags;
mod joins;
mod lint;
mod program;
mod properties;
