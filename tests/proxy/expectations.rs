//! `ringfence test`: what a list is expected to say, and what it says.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{Finished, Program};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/allowlist.toml");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/expectations.txt");

fn test(arguments: &[&str]) -> Result<Finished> {
    let program = Program::new(env!("CARGO_BIN_EXE_ringfence")).arg("test").args(arguments);
    program.args(["--allowlist", LIST]).run()
}

/// Holds the sample list to these expectations.
fn expect(expectations: &str) -> Result<Finished> {
    let directory = TempDir::new()?;
    let file = directory.path().join("e.txt");
    fs::write(&file, expectations)?;
    test(&[&file.display().to_string()])
}

#[test]
fn the_sample_holds_for_the_sample_list() -> Result<()> {
    let tested = test(&[SAMPLE])?.succeeded()?;
    ensure!(tested.stdout == "12 expectations: 12 held, 0 failed\n", "{tested}");
    Ok(())
}

#[test]
fn what_is_not_as_expected_says_what_it_is_and_why() -> Result<()> {
    let tested = expect(
        "deny contoso.azurecr.io\n\
         allow exfil.blob.core.windows.net\n\
         deny evil.example storage_forbidden\n\
         deny evil.example\n",
    )?;
    ensure!(tested.status.code() == Some(1), "{tested}");
    let lines: Vec<&str> = tested.stdout.lines().collect();
    let rows = [
        (
            "e.txt:1: contoso.azurecr.io: expected deny, got allow; ",
            "the entry `contoso.azurecr.io`",
        ),
        (
            "e.txt:2: exfil.blob.core.windows.net: expected allow, got deny storage_forbidden; ",
            "--data-endpoint-enabled",
        ),
        (
            "e.txt:3: evil.example: expected deny storage_forbidden, got deny not_in_policy; ",
            "if it belongs",
        ),
    ];
    for ((begin, why), line) in rows.iter().zip(&lines) {
        ensure!(line.contains(begin) && line.contains(why), "{line}");
    }
    ensure!(lines[3..] == ["4 expectations: 1 held, 3 failed"], "{tested}");
    Ok(())
}

#[test]
fn json_has_every_expectation() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("e.txt").display().to_string();
    fs::write(&file, "allow contoso.azurecr.io\nallow evil.example:443\n")?;
    let tested = test(&[&file, "--format", "json"])?.failed()?;
    let report: Value = serde_json::from_str(&tested.stdout)?;
    ensure!(report["schema"] == 1 && report["held"] == 1 && report["failed"] == 1, "{report}");
    let failed = &report["results"][1];
    ensure!(failed["line"] == 2 && failed["held"] == false, "{report}");
    ensure!(failed["expected"]["verdict"] == "allow", "{report}");
    ensure!(failed["got"]["reason"] == "not_in_policy", "{report}");
    ensure!(report["results"][0]["held"] == true, "{report}");
    Ok(())
}

/// Whoever writes `deny` with a slip of the pen must not be told that all is well.
#[test]
fn what_can_not_be_checked_is_no_success() -> Result<()> {
    let rows = [
        ("deny evil.example nonsense\n", "`nonsense` is not a reason"),
        ("permit contoso.azurecr.io\n", "`permit` begins no expectation"),
        ("allow contoso.azurecr.io as x\n", "no client group `x`"),
        ("# nothing\n", "the file has no expectations"),
    ];
    for (text, problem) in rows {
        let tested = expect(text)?;
        ensure!(tested.status.code() == Some(2) && tested.stdout.is_empty(), "{tested}");
        ensure!(tested.stderr.contains(problem) && tested.stderr.contains("e.txt:1:"), "{tested}");
    }
    let missing = test(&["/nonexistent/e.txt"])?;
    ensure!(missing.status.code() == Some(2) && missing.stderr.contains("can't read"), "{missing}");
    let program = Program::new(env!("CARGO_BIN_EXE_ringfence"));
    let without_list = program.args(["test", SAMPLE, "--allowlist", SAMPLE]).run()?;
    ensure!(without_list.status.code() == Some(2), "{without_list}");
    Ok(())
}

/// Each group has its own list, and is held to that one.
#[test]
fn an_expectation_is_about_one_group() -> Result<()> {
    let directory = TempDir::new()?;
    let write = |name: &str, text: &str| -> Result<String> {
        let path = directory.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let list = |host: &str| {
        format!("schema = 1\n[[entry]]\nhost = \"{host}\"\nrole = \"other\"\nwhy = \"test\"\n")
    };
    write("build.toml", &list("build.example"))?;
    write("edge.toml", &list("edge.example"))?;
    let config = write(
        "ringfence.toml",
        "[[client]]\nname = \"build\"\naddress = [\"10.1.0.0/16\"]\nallowlist = [\"build.toml\"]\n\
         [[client]]\nname = \"edge\"\naddress = [\"10.2.0.0/16\"]\nallowlist = [\"edge.toml\"]\n\
         mode = \"audit\"\n",
    )?;
    let held = write(
        "held.txt",
        "allow build.example as build\ndeny build.example not_in_policy as edge\n\
         allow edge.example as edge\ndeny edge.example as build\n",
    )?;
    let test = |file: &str| {
        let program = Program::new(env!("CARGO_BIN_EXE_ringfence"));
        program.args(["test", file, "--config", &config]).run()
    };
    let tested = test(&held)?.succeeded()?;
    ensure!(tested.stdout.contains("4 expectations: 4 held, 0 failed"), "{tested}");
    // Held, and yet the proxy would let it through: that is said, of this group alone.
    let said =
        "audit mode of group `edge`: judged here as if the list were enforced, and it is not";
    ensure!(tested.stderr == format!("ringfence: {said}\n"), "{tested}");
    let checked = Program::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["check", "--config", &config])
        .run()?
        .succeeded()?;
    let said = "audit mode of group `edge`: what isn't listed will be carried and logged with `would_deny`";
    ensure!(checked.stderr == format!("ringfence: {said}\n"), "{checked}");
    let nobody = write("nobody.txt", "allow build.example\n")?;
    let tested = test(&nobody)?;
    ensure!(tested.status.code() == Some(2), "{tested}");
    ensure!(tested.stderr.contains("every client needs a group here"), "{tested}");
    ensure!(tested.stderr.contains("nobody.txt:1:7"), "{tested}");
    Ok(())
}
