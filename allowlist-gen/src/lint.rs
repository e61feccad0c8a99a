pub mod language;
pub mod family;
mod tree;
