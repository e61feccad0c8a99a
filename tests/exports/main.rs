//! Every format, held to its consumer: what we write is what the real program takes, and lets exactly the list pass.

mod address;
mod arm;
mod az;
mod azure;
mod bicep;
mod checker;
mod clients;
mod cluster;
mod consumer;
mod dns;
mod findings;
mod firewall;
mod golden;
mod large;
mod lists;
mod lookalikes;
mod matrix;
mod pages;
mod plain;
mod properties;
mod proxies;
mod scale;
mod schema;
mod sni;
mod terraform;
