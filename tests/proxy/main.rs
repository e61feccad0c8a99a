//! The proxy from outside: the built program, its log and its far ends.

mod clients;
mod contoso;
mod expectations;
mod lifecycle;
mod pull;
mod refusals;
mod reload;
mod selftest;
mod stage;
mod tunnels;
