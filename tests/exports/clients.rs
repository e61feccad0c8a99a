//! Settings of clients, held to what the clients then do.

mod aks;
mod docker;
mod images;
mod kit;
mod proxied;
mod stage;
mod systemd;
