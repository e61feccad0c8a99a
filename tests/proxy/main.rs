//! The proxy from outside: the built program, its log and its far ends.

mod clients;
mod contoso;
mod dns;
mod handshakes;
mod liar;
mod lifecycle;
mod limits;
mod parent;
mod pull;
mod refusals;
mod reload;
mod soak;
mod stage;
mod tunnels;
