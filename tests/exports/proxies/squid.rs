//! Debian's squid.

use std::process::Command;

use allowlist_gen::export::Format;
use test_support::require_program;

use crate::consumer::{self, Mutation, Verdict};
use crate::matrix;

#[test]
fn squid_accepts_its_configuration() {
    if !require_program("squid") {
        return;
    }
    let judgement = consumer::judge(
        Format::Squid,
        &[
            Mutation { from: "http_access deny all", to: "http_acces deny all" },
            Mutation { from: "dstdomain -n contoso", to: "dstdomian -n contoso" },
            Mutation { from: "allow CONNECT", to: "allow CONECT" },
        ],
        parse,
    );
    matrix::record(Format::Squid, "squid", &consumer::debian_version("squid"), judgement);
}

fn parse(text: &str) -> Verdict {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    consumer::run(Command::new("squid").args(["-k", "parse", "-f"]).arg(file.path()))
}
