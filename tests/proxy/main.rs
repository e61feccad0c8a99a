//! The proxy from outside: the built program, its log and its far ends.

mod balancers;
mod clients;
mod contoso;
mod dns;
mod expectations;
mod faults;
mod handshakes;
mod heads;
mod hellos;
mod liar;
mod lifecycle;
mod listeners;
mod parent;
mod pull;
mod refusals;
mod reload;
mod selftest;
mod stage;
mod transparent;
mod tunnels;
