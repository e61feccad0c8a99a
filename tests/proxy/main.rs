//! The proxy from outside: the built program, its log and its far ends.

mod audit;
mod clients;
mod contoso;
mod dns;
mod expectations;
mod handshakes;
mod heads;
mod hellos;
mod http2;
mod identities;
mod issues;
mod liar;
mod lifecycle;
mod lists;
mod parent;
mod pull;
mod refusals;
mod reload;
mod secure;
mod selftest;
mod stage;
mod tls;
mod tunnels;
