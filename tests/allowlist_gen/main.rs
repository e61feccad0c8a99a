//! The built program on real metadata: what it prints, what it refuses, what it leaves behind.

mod fixtures;
mod findings;
mod flags;
mod joins;
mod program;
