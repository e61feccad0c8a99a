//! The proxy from outside: the built program, its log and its far ends.

mod audit;
mod clients;
mod contoso;
mod dns;
mod expectations;
mod handshakes;
mod heads;
mod hellos;
mod issues;
mod liar;
mod lifecycle;
mod limits;
mod lists;
mod parent;
mod pull;
mod refusals;
mod reload;
mod selftest;
mod soak;
mod stage;
mod tunnels;
