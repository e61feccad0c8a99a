//! The proxy from outside: the built program, its log and its far ends.

mod clients;
mod contoso;
mod pull;
mod reload;
