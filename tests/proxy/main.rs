//! The proxy from outside: the built program, its log and its far ends.

mod clients;
mod contoso;
mod ends;
mod lifecycle;
mod pull;
mod refusals;
mod reload;
mod stage;
mod tunnels;
