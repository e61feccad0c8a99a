//! The proxy from outside: the built program, its log and its far ends.

mod audit;
mod clients;
mod contoso;
mod handshakes;
mod issues;
mod lifecycle;
mod lists;
mod pull;
mod refusals;
mod reload;
mod stage;
mod tunnels;
