//! The built program on real metadata: what it prints, what it refuses, what it leaves behind.

mod bad_input;
mod diff;
mod discover;
mod exports;
mod findings;
mod fixtures;
mod flags;
mod joins;
mod learn;
mod lint;
mod posture;
mod presets;
mod private_link;
mod program;
mod properties;
mod simulate;
mod verify;
mod watch;
