//! What the commands say without a network: arguments, files, and what can't be checked at all.

use std::fs;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use test_support::Program;

use super::scene::LIST;
use crate::program::{program, snapshot};

#[test]
fn what_cannot_be_checked_is_said_before_anything_is_asked() -> Result<()> {
    let folder = TempDir::new()?;
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).map(|()| path.to_str().expect("UTF-8").to_owned())
    };
    let list = write("list.toml", LIST)?;
    let empty = write("empty.toml", "schema = 1\n")?;
    let patterns = write(
        "patterns.toml",
        "schema = 1\nallow_patterns = true\n[[entry]]\nhost = \"contoso.*.data.azurecr.io\"\n\
         role = \"other\"\nwhy = \"a test\"\n",
    )?;
    let json = write("registry.json", "{}")?;
    let two_lines = write("two", "a:b\nc:d\n")?;
    let no_pair = write("pair", "hunter2\n")?;
    let binary = folder.path().join("binary");
    fs::write(&binary, [0xff, 0xfe])?;
    let binary = binary.to_str().expect("UTF-8");
    let proxy = "http://proxy.corp.example:3128";
    let rows: &[(&[&str], &str)] = &[
        (&["verify"], "<FILE>..."),
        (&["verify", "no-such-file.toml"], "can't read no-such-file.toml"),
        (&["verify", &empty], "the list has no entry, so there is nothing to verify"),
        (&["verify", &patterns], "only patterns, which name no host to verify"),
        (&["verify", &json], "is JSON, and no list"),
        (&["verify", "-", "-"], "`-` stands twice"),
        (&["verify", "-", "--ca", "-"], "`-` stands twice"),
        (&["verify", "-", "--repository", "app", "--credentials", "-"], "`-` stands twice"),
        (&["verify", &list, "--resolver", "dns.example"], "write an address"),
        (&["verify", &list, "--timeout", "0"], "0 is not in 1..=600"),
        (&["verify", &list, "--total-timeout", "x"], "invalid digit"),
        (&["verify", &list, "--repository", "App"], "parts in lower case"),
        (&["verify", &list, "--repository", "app@sha256:0"], "a digest is `sha256:`"),
        (&["verify", &list, "--credentials", &two_lines], "--repository"),
        (&["verify", &list, "--proxy-credentials", &two_lines], "--proxy"),
        (
            &["verify", &list, "--repository", "app", "--credentials", &two_lines],
            "two holds no credentials: expected one line",
        ),
        (&["verify", &list, "--repository", "app", "--credentials", binary], "can't read"),
        (
            &["verify", &list, "--proxy", proxy, "--proxy-credentials", &no_pair],
            "expected USER:PASSWORD",
        ),
        (
            &["verify", &list, "--proxy", "http://u:hunter2@proxy.corp.example:3128"],
            "use `--proxy-credentials`",
        ),
        (
            &["verify", &list, "--proxy", "socks5://proxy.corp.example:1080"],
            "write http://host:port",
        ),
        (&["verify", &list, "--proxy", "http://proxy:3128"], "write the full name or the address"),
        (&["verify", &list, "--ca", &list], "is not a file of certificates"),
        (&["doctor", &list], "--storage <HOST|IP>"),
        (
            &["doctor", &list, "--storage", "https://a.example/"],
            "write a host name or an IP address",
        ),
        (&["doctor", &list, "--metadata", "metadata.example"], "write an IP address"),
        (&["verify", &list, "--storage", "a.example"], "unexpected argument"),
    ];
    for (arguments, phrase) in rows {
        let run = program(b"", arguments);
        ensure!((run.code, run.stdout.as_str()) == (2, ""), "{run}");
        ensure!(run.stderr.contains(phrase), "{phrase}: {run}");
        ensure!(!run.stderr.contains("hunter2"), "{run}");
    }
    // From the environment, too, they are shown to nobody.
    let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).args(["verify", &list]);
    let program =
        program.args(["--repository", "app"]).env("ALLOWLIST_GEN_CREDENTIALS", "hun\tter2");
    let said =
        program.run()?.failed_saying("the environment's ALLOWLIST_GEN_CREDENTIALS holds no")?;
    ensure!(said.status.code() == Some(2) && !said.stderr.contains("ter2"), "{said}");
    Ok(())
}

#[test]
fn a_reader_that_leaves_early_is_no_failure_of_ours() -> Result<()> {
    let folder = TempDir::new()?;
    let list = folder.path().join("list.toml");
    fs::write(&list, LIST)?;
    // Nobody answers on the discard port, so everything fails, and that is what the code has to say.
    let script =
        "\"$0\" verify \"$1\" --resolver 127.0.0.1:9 --timeout 1 | true; echo ${PIPESTATUS[0]}";
    let bash = Program::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_allowlist-gen")]);
    let finished = bash.arg(&list).run()?.succeeded()?;
    ensure!(finished.stdout == "1\n" && finished.stderr.is_empty(), "{finished}");
    Ok(())
}

/// A list past its end can be verified, and no proxy goes by it any more.
#[test]
fn a_list_past_its_end_is_said_to_be() -> Result<()> {
    let folder = TempDir::new()?;
    for (end, is_said) in [("2020-01-01T00:00:00Z", true), ("2999-01-01T00:00:00Z", false)] {
        let list = folder.path().join("list.toml");
        fs::write(&list, LIST.replacen('\n', &format!("\nnot_after = {end}\n"), 1))?;
        let program = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).arg("verify").arg(&list);
        let finished = program.args(["--resolver", "127.0.0.1:9", "--timeout", "1"]).run()?;
        ensure!(finished.status.code() == Some(1), "{finished}");
        ensure!(
            finished.stderr.contains("warning: the list ended at 2020") == is_said,
            "{finished}"
        );
    }
    Ok(())
}

#[test]
fn the_commands_document_themselves() {
    snapshot("help-verify", &program(b"", &["verify", "--help"]));
    snapshot("help-doctor", &program(b"", &["doctor", "--help"]));
}
