//! Forward proxies, explicit and transparent.

mod connect;
mod dante;
mod field;
mod pac;
mod privoxy;
mod smokescreen;
mod squid;
mod tinyproxy;

use ringfence_config::Issue;
use ringfence_config::document::{self, Document};

use crate::lists::List;

/// A list of so many hosts.
fn long(hosts: usize) -> List {
    let entry =
        |n| format!("[[entry]]\nhost = \"h{n}.example\"\nrole = \"other\"\nwhy = \"long\"\n");
    let entries: String = (0..hosts).map(entry).collect();
    written("long", &format!("schema = 1\n{entries}"))
}

/// The list that `text` is.
fn written(name: &'static str, text: &str) -> List {
    let document = Document::parse(name, text).expect(name);
    let allowlist = document::merge(&[document]).expect(name);
    List { name, allowlist, issue: Issue::default() }
}
