//! The proxy from outside: the built program, its log and its far ends.

mod clients;
mod contoso;
mod handshakes;
mod lifecycle;
mod limits;
mod pull;
mod refusals;
mod reload;
mod soak;
mod stage;
mod tunnels;
