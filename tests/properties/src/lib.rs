//! What must hold for every input, whoever wrote it.
//!
//! Each function takes the bytes that a stranger can send to one of our readers, and panics where what
//! the reader promises is not so. Fuzzers call them from `proxy/fuzz`, with bytes of their own making;
//! ordinary tests call them with every file of `proxy/fuzz/corpus`, and with bytes that proptest makes.
//!
//! A property compares the reader with something that was written apart from it: another library, or
//! the plainest code that can tell right from wrong.

mod guard;
mod head;
mod hello;
mod lint;
mod list;
mod log;
mod metadata;
mod names;
mod pieces;
mod proxy_header;

pub use guard::guard;
pub use head::head;
pub use hello::{extensions, hello};
pub use lint::lint;
pub use list::list;
pub use log::log;
pub use metadata::metadata;
pub use names::names;
pub use proxy_header::proxy_header;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod judge;
