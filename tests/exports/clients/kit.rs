//! `aks-kit`, as people run it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use allowlist_gen::export::Format;
use anyhow::{Context, Result, ensure};
use expect_test::expect_file;
use ringfence_config::document::{self, Document};
use test_support::{Finished, Program};

use crate::lists;

#[test]
fn a_kit_has_what_the_exports_say_and_what_to_do_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("kit");
    aks_kit(&kit, &[])?.succeeded()?;
    let formats = [
        Format::NoProxy,
        Format::Aks,
        Format::AksArm,
        Format::AksBicep,
        Format::AksTerraform,
        Format::Toml,
    ];
    let list = lists::contoso();
    for format in formats {
        let text = fs::read_to_string(kit.join(file_of(format)))?;
        ensure!(text == list.export(format)?.text, "{}", format.name());
    }
    let toml = fs::read_to_string(kit.join("allowlist.toml"))?;
    let read = document::merge(&[Document::parse("allowlist.toml", &toml)?])?;
    ensure!(read == list.allowlist, "{toml}");

    let known: BTreeSet<&str> =
        formats.iter().copied().map(file_of).chain(["README.md", "apply.sh"]).collect();
    let found = names(&kit)?;
    ensure!(found.iter().map(String::as_str).eq(known), "{found:?}");
    for name in ["README.md", "apply.sh"] {
        expect_file![lists::tests().join("exports/clients/kit").join(name)]
            .assert_eq(&fs::read_to_string(kit.join(name))?);
    }
    ensure!(names(folder.path())? == ["kit"], "{:?}", names(folder.path())?);
    Ok(())
}

fn file_of(format: Format) -> &'static str {
    if format == Format::Toml { "allowlist.toml" } else { format.about().file }
}

/// The list of hosts that the README begins is one, the proxy takes both, and az knows the way back.
#[test]
fn what_the_readme_shows_can_be_used() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("kit");
    aks_kit(&kit, &["--proxy", "http://10.10.0.4:3128"])?.succeeded()?;
    let readme = fs::read_to_string(kit.join("README.md"))?;
    let (_, example) = readme.split_once("```toml\n").context("no example")?;
    let (example, _) = example.split_once("```").context("no end")?;
    let example: String = example.lines().map(|line| line.trim_start().to_owned() + "\n").collect();
    let list = document::merge(&[
        Document::parse("allowlist.toml", &fs::read_to_string(kit.join("allowlist.toml"))?)?,
        Document::parse("aks.toml", &example)?,
    ])?;
    ensure!(list.entries().len() == lists::contoso().allowlist.entries().len() + 1, "{example}");
    ensure!(readme.contains("--allowlist aks.toml --listen 10.10.0.4:3128\n"), "{readme}");
    Ok(())
}

#[test]
fn without_private_link_nothing_is_said_of_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("kit");
    let list = folder.path().join("public.toml");
    fs::write(
        &list,
        "schema = 1\nserial = 7\n\n[[entry]]\nhost = \"fabrikam.azurecr.io\"\nrole = \"login\"\n\
         registry = \"fabrikam\"\n",
    )?;
    let kit_of = Program::new(env!("CARGO_BIN_EXE_allowlist-gen")).arg("aks-kit").arg(&list);
    kit_of.args(["--proxy", "http://10.10.0.4:3128", "-o"]).arg(&kit).run()?.succeeded()?;
    let readme = fs::read_to_string(kit.join("README.md"))?;
    for word in ["Directly", "first list", "none", "private zone", "--future-region"] {
        ensure!(!readme.contains(word), "`{word}` in\n{readme}");
    }
    ensure!(readme.contains("1. Give ringfence") && readme.contains("6. Close"), "{readme}");
    ensure!(readme.contains(" (serial 7"), "{readme}");
    Ok(())
}

#[test]
fn its_program_asks_az_for_what_it_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("a folder");
    aks_kit(&kit, &[])?.succeeded()?;
    let az = folder.path().join("az");
    fs::write(&az, "#!/bin/sh\nfor word; do echo \"<$word>\"; done\npwd\n")?;
    fs::set_permissions(&az, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let run =
        |words: &[&str]| Program::new(kit.join("apply.sh")).env("PATH", &path).args(words).run();
    let said = run(&["my group", "my cluster"])?.succeeded()?.stdout;
    let expected = format!(
        "<aks>\n<update>\n<--resource-group>\n<my group>\n<--name>\n<my cluster>\n\
         <--http-proxy-config>\n<aks-http-proxy.json>\n{}\n",
        kit.canonicalize()?.display()
    );
    ensure!(said == expected, "{said}");
    run(&["my group"])?.failed_saying("usage: ")?;
    Ok(())
}

#[test]
fn a_region_to_come_is_in_every_file_of_the_cluster() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("kit");
    let run = aks_kit(&kit, &["--future-region", "northeurope"])?.succeeded()?;
    let host = "contoso.northeurope.data.azurecr.io";
    ensure!(run.stderr.contains(&format!("`{host}` goes directly")), "{run}");
    ensure!(!run.stderr.contains("reimages"), "{run}");
    for name in names(&kit)?.iter().filter(|name| name.starts_with("aks-") || *name == "README.md")
    {
        ensure!(fs::read_to_string(kit.join(name))?.contains(host), "{name}");
    }
    ensure!(!fs::read_to_string(kit.join("aks-http-proxy.json"))?.contains("fabrikam"));
    Ok(())
}

#[test]
fn a_kit_is_written_whole_or_not_at_all() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kit = folder.path().join("kit");
    aks_kit(&kit, &["--proxy", "https://proxy.corp.example:3128"])?.failed_saying("--proxy")?;
    for loopback in ["http://127.0.0.1:3128", "http://localhost:3128", "http://[::1]:3128"] {
        aks_kit(&kit, &["--proxy", loopback])?
            .failed_saying("nodes and pods can't reach the proxy at a loopback address")?;
    }
    aks_kit(&kit, &["--ca", "/dev/null"])?.failed_saying("/dev/null")?;
    let fake = folder.path().join("fake.pem");
    fs::write(&fake, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
    aks_kit(&kit, &["--ca", &fake.display().to_string()])?
        .failed_saying("certificate 1 is not a certificate")?;
    fs::remove_file(fake)?;
    let too_many = folder.path().join("many.pem");
    let pem = fs::read_to_string(lists::tests().join("exports/lists/proxy-ca.pem"))?;
    fs::write(&too_many, pem.repeat(21))?;
    let too_many = too_many.display().to_string();
    aks_kit(&kit, &["--ca", &too_many])?
        .failed_saying("21 certificates are more than aks takes")?;
    ensure!(names(folder.path())? == ["many.pem"], "{:?}", names(folder.path())?);

    fs::create_dir(&kit)?;
    fs::write(kit.join("mine"), "mine")?;
    let failed = aks_kit(&kit, &[])?.failed_saying("it holds something: name a new folder")?;
    ensure!(!failed.stderr.contains("warning"), "{failed}");
    aks_kit(&kit.join("mine"), &[])?.failed_saying("it is a file: name a new folder")?;
    let nowhere = folder.path().join("nowhere");
    let failed = aks_kit(&nowhere.join("kit"), &[])?
        .failed_saying(&format!("the folder {} doesn't exist", nowhere.display()))?;
    ensure!(!failed.stderr.contains(".aks-kit-"), "{failed}");
    ensure!(names(&kit)? == ["mine"], "{:?}", names(&kit)?);
    ensure!(names(folder.path())? == ["kit", "many.pem"], "{:?}", names(folder.path())?);

    fs::remove_file(kit.join("mine"))?;
    aks_kit(&kit, &[])?.succeeded()?;
    ensure!(names(&kit)?.len() == 8, "{:?}", names(&kit)?);
    Ok(())
}

/// Runs the program on the list `contoso`, with `more` settings, or others in the place of its own.
fn aks_kit(kit: &Path, more: &[&str]) -> Result<Finished> {
    let lists = lists::tests().join("exports/lists");
    let ca = lists.join("proxy-ca.pem").display().to_string();
    let mut settings = vec![("--proxy", "http://proxy.corp.example:3128"), ("--ca", ca.as_str())];
    for setting in more.chunks_exact(2) {
        settings.retain(|(name, _)| *name != setting[0]);
        settings.push((setting[0], setting[1]));
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_allowlist-gen"));
    let settings = settings.into_iter().flat_map(|(name, value)| [name, value]);
    let program = Program::new(program).arg("aks-kit").arg(lists.join("contoso.toml"));
    program.args(settings).arg("--output").arg(kit).run()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
