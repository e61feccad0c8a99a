//! The proxy from outside: the built program, its log and its far ends.

mod admin;
mod clients;
mod contoso;
mod drain;
mod ends;
mod lifecycle;
mod log;
mod probe;
mod pull;
mod refusals;
mod reload;
mod stage;
mod tunnels;
