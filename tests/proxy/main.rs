//! The proxy from outside: the built program, its log and its far ends.

mod admin;
mod audit;
mod clients;
mod contoso;
mod dns;
mod drain;
mod ends;
mod expectations;
mod handshakes;
mod heads;
mod hellos;
mod issues;
mod liar;
mod lifecycle;
mod limits;
mod lists;
mod log;
mod parent;
mod probe;
mod pull;
mod refusals;
mod reload;
mod selftest;
mod soak;
mod stage;
mod tunnels;
