//! Every format, held to its consumer: what we write is what the real program takes, and lets exactly the list pass.

#![allow(dead_code, reason = "for now")]

mod consumer;
mod golden;
mod lists;
mod lookalikes;
mod matrix;
mod pages;
mod properties;
mod proxies;
mod sni;
