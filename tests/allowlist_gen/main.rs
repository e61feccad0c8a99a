//! The built program on real metadata: what it prints, what it refuses, what it leaves behind.

mod findings;
mod fixtures;
mod joins;
mod program;
