//! The 307 guard: a real docker-registry, tokens that it verifies, and redirects to where they belong and to where they
//! don't. Nothing ever reaches the recorder, which stands as storage and as another registry's data endpoint.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use test_support::{Dns, Received};

use super::scene::{EASTUS, LIST, LOGIN, OTHER, STORAGE, Scene, Setup, TOKEN_FOR_USER};

const APP: [&str; 2] = ["--repository", "app:v1"];

#[test]
fn a_pull_ends_at_the_registrys_own_data_endpoint() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    scene.set(&Setup::default())?;
    let report = scene.verify(&APP)?;
    report.expect_failures(&[])?;
    report.expect(LOGIN, "pull_token", "token_issued")?;
    report.expect(LOGIN, "manifest", "manifest_found")?;
    let redirect = report.expect(LOGIN, "redirect", "redirect_own")?;
    ensure!(redirect["evidence"]["status"] == 307, "{redirect}");
    ensure!(redirect["evidence"]["named"] == EASTUS, "{redirect}");
    report.expect(EASTUS, "blob", "blob_fetched")?;
    // A byte of it is enough, and asked for once.
    let fetched: Vec<String> =
        scene.data_log().into_iter().filter(|line| line.contains("/blobs/")).collect();
    ensure!(fetched.len() == 1 && fetched[0].contains(" 206 1 "), "{fetched:?}");
    ensure!(report.json["repository"] == "app:v1");

    // By digest, and with the registry's name.
    let digest = scene.image.manifest().to_owned();
    let report = scene.verify(&["--repository", &format!("{LOGIN}/app@{digest}")])?;
    report.expect_failures(&[])?;
    report.expect(EASTUS, "blob", "blob_fetched")?;

    // A data endpoint that is listed by a pattern has no checks but the pull's.
    let start = LIST.split("[[entry]]").take(2).collect::<Vec<_>>().join("[[entry]]");
    let pattern =
        "[[entry]]\nhost = \"contoso.*.data.azurecr.io\"\nrole = \"other\"\nwhy = \"a test\"\n";
    let list = start.replacen('\n', "\nallow_patterns = true\n", 1) + pattern;
    scene.set(&Setup { list: &*list.leak(), ..Setup::default() })?;
    let report = scene.verify(&APP)?;
    report.expect_failures(&[])?;
    report.expect("contoso.*.data.azurecr.io", "list", "pattern")?;
    report.expect(EASTUS, "tls", "certificate_valid")?;
    report.expect(EASTUS, "blob", "blob_fetched")?;
    scene.set(&Setup::default())?;

    // An index leads to an image.
    let report = scene.verify(&["--repository", "app:index"])?;
    report.expect_failures(&[])?;
    report.expect(EASTUS, "blob", "blob_fetched")?;
    Ok(())
}

#[test]
fn a_redirect_to_anywhere_else_is_refused_and_not_followed() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let rows: [(&'static str, &str, Option<&str>); 8] = [
        ("https://eusmanaged70.blob.core.windows.net/", "redirect_to_storage", Some(STORAGE)),
        ("https://fabrikam.eastus.data.azurecr.io/", "redirect_to_other_registry", Some(OTHER)),
        ("http://contoso.eastus.data.azurecr.io/", "redirect_insecure", Some(EASTUS)),
        ("https://contoso.eastus.data.azurecr.io:8443/", "redirect_port", Some(EASTUS)),
        (
            "https://contoso.westus.data.azurecr.io/",
            "redirect_unlisted",
            Some("contoso.westus.data.azurecr.io"),
        ),
        ("https://mirror.example/", "redirect_elsewhere", Some("mirror.example")),
        ("https://20.150.38.66/", "redirect_elsewhere", Some("20.150.38.66")),
        // docker-registry drops the user; the next test has one.
        ("https://contoso.azurecr.io/", "redirect_elsewhere", Some(LOGIN)),
    ];
    for (blobs, expected, named) in rows {
        let mut setup = Setup::default();
        setup.registry.blobs = blobs;
        scene.set(&setup)?;
        let report = scene.verify(&APP)?;
        report.expect_failures(&[(LOGIN, "redirect", expected)])?;
        let evidence = &report.check(LOGIN, "redirect")?["evidence"];
        ensure!(evidence["named"].as_str() == named, "{blobs}: {evidence}");
        report.expect_none(EASTUS, "blob")?;
        ensure!(scene.storage.received()? == Received::default(), "{blobs} was followed");
        let asked = scene.dns().questions()?;
        let listed = BTreeSet::from([LOGIN, EASTUS].map(str::to_owned));
        ensure!(asked == listed, "{blobs}: {asked:?}");
    }
    // What docker-registry can't be made to say, something on the way can: a user, and no URL.
    let proxied = Setup::default().front.api;
    for (location, expected) in [
        (
            "https://contoso.eastus.data.azurecr.io@eusmanaged70.blob.core.windows.net/x?sig=s3cret",
            "redirect_userinfo",
        ),
        ("https://u:p4ss@contoso.eastus.data.azurecr.io/x?sig=s3cret", "redirect_userinfo"),
        ("//contoso.eastus.data.azurecr.io/x?sig=s3cret", "redirect_malformed"),
        ("https://eusmanaged70.blob.core.windows.net/x?sig=s3cret", "redirect_to_storage"),
    ] {
        let mut setup = Setup::default();
        setup.front.api = format!(
            "absolute_redirect off; if ($uri ~ /blobs/) {{ return 307 '{location}'; }} {proxied}"
        );
        scene.set(&setup)?;
        let report = scene.verify(&APP)?;
        report.expect_failures(&[(LOGIN, "redirect", expected)])?;
        let table = scene.program("verify", &scene.network.gate).args(APP).run()?.failed()?;
        for said in [report.finished.to_string(), table.to_string()] {
            ensure!(!said.contains("s3cret") && !said.contains("p4ss"), "{said}");
        }
    }
    // Two of them, the good one first: clients differ in which they follow.
    let mut setup = Setup::default();
    setup.front.api = format!(
        "if ($uri ~ /blobs/) {{ add_header Location 'https://{STORAGE}/x' always; \
         return 307 'https://{EASTUS}/x'; }} {proxied}"
    );
    scene.set(&setup)?;
    scene.verify(&APP)?.expect_failures(&[(LOGIN, "redirect", "redirect_malformed")])?;
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

#[test]
fn what_a_pull_meets_on_its_way_is_told_apart() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let proxied = Setup::default().front.api;
    let at = |what: &str, answer: &str| format!("if ($uri ~ /{what}/) {{ {answer} }} {proxied}");
    let rows = [
        (at("manifests", "return 403;"), "manifest", "manifest_denied"),
        (at("manifests", "return 500;"), "manifest", "manifest_failed"),
        (at("manifests", "return 200 '{}';"), "manifest", "manifest_failed"),
        (at("manifests", "return 200 'not JSON';"), "manifest", "manifest_failed"),
        // A digest that would lead elsewhere.
        (
            at(
                "manifests",
                "return 200 '{\"config\":{\"digest\":\"../../_catalog\",\"size\":1}}';",
            ),
            "manifest",
            "manifest_failed",
        ),
        (at("blobs", "return 404;"), "redirect", "blob_failed"),
    ];
    for (api, step, expected) in rows {
        let mut setup = Setup::default();
        setup.front.api = api;
        scene.set(&setup)?;
        let report = scene.verify(&APP)?;
        report.expect_failures(&[(LOGIN, step, expected)])?;
        report.expect_none(EASTUS, "blob")?;
    }
    let mut setup = Setup::default();
    setup.front.api = at("blobs", "return 200 'layer';");
    scene.set(&setup)?;
    let report = scene.verify(&APP)?;
    report.expect_failures(&[])?;
    report.expect(LOGIN, "redirect", "blob_in_place")?;

    // docker-registry's own words.
    scene.set(&Setup::default())?;
    let report = scene.verify(&["--repository", "app:v2"])?;
    report.expect_failures(&[(LOGIN, "manifest", "manifest_not_found")])?;
    // The token is for another repository.
    let report = scene.verify(&["--repository", "other"])?;
    report.expect_failures(&[(LOGIN, "manifest", "manifest_denied")])?;

    // The data endpoint is there, and has nothing; or is not.
    let mut setup = Setup::default();
    setup.data.answer = "return 403;";
    scene.set(&setup)?;
    scene.verify(&APP)?.expect_failures(&[(EASTUS, "blob", "blob_not_served")])?;
    setup.data.on = false;
    scene.set(&setup)?;
    let report = scene.verify(&APP)?;
    report.expect_failures(&[(EASTUS, "tcp", "connect_refused")])?;
    report.expect(LOGIN, "redirect", "redirect_own")?;
    report.expect(EASTUS, "blob", "not_tried")?;

    // Tokens that are none.
    for token in ["return 200 '{}';", "return 200 'x';", "return 200 '{\"token\":\"a\\nb\"}';"] {
        let mut setup = Setup::default();
        setup.front.token = token;
        scene.set(&setup)?;
        let report = scene.verify(&APP)?;
        report.expect_failures(&[(LOGIN, "pull_token", "token_failed")])?;
        report.expect(LOGIN, "manifest", "not_tried")?;
    }
    Ok(())
}

#[test]
fn credentials_go_to_the_registry_alone_and_are_never_shown() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let mut setup = Setup::default();
    setup.front.token = TOKEN_FOR_USER;
    scene.set(&setup)?;
    let needed = scene.verify(&APP)?;
    needed.expect_failures(&[(LOGIN, "pull_token", "credentials_needed")])?;

    let secret = scene.network.write("secret", "user:secret\n")?;
    let secret = secret.to_str().expect("UTF-8");
    let report = scene.verify(&[APP[0], APP[1], "--credentials", secret])?;
    report.expect_failures(&[])?;
    report.expect(EASTUS, "blob", "blob_fetched")?;
    let gate = &scene.network.gate;
    let program = || scene.program("verify", gate).args(APP).args(["--format", "json"]);
    let by_environment = program().env("ALLOWLIST_GEN_CREDENTIALS", "user:secret").run()?;
    ensure!(by_environment.succeeded()?.stdout == report.finished.stdout);

    // A refresh token is another user's password, and here a wrong one.
    let wrong = program().env("ALLOWLIST_GEN_CREDENTIALS", "t0psecret").run()?;
    let wrong = super::scene::Report::of(wrong)?;
    wrong.expect_failures(&[(LOGIN, "pull_token", "credentials_refused")])?;
    for said in [&report.finished, &wrong.finished] {
        let said = format!("{}{}", said.stdout, said.stderr);
        for secret in ["secret", "dXNlcjpzZWNyZXQ", "eyJ", "Bearer", "Basic"] {
            ensure!(!said.contains(secret), "{secret}: {said}");
        }
    }
    // A realm elsewhere gets nothing, however good the credentials are.
    setup.registry.realm = "https://eusmanaged70.blob.core.windows.net/oauth2/token";
    scene.set(&setup)?;
    let report = scene.verify(&[APP[0], APP[1], "--credentials", secret])?;
    report.expect_failures(&[(LOGIN, "api", "realm_elsewhere")])?;
    report.expect(LOGIN, "manifest", "not_tried")?;
    ensure!(scene.storage.received()? == Received::default());
    Ok(())
}

#[test]
fn the_repositorys_registry_is_one_of_the_list() -> Result<()> {
    let Some(mut scene) = Scene::open()? else {
        return Ok(());
    };
    let two = LIST.to_owned()
        + "[[entry]]\nhost = \"fabrikam.azurecr.io\"\nrole = \"login\"\nregistry = \"fabrikam\"\n";
    fs::write(scene.list(), &two)?;
    let names: Dns = Dns::start(&scene.network, &[])?;
    for (repository, phrase) in [
        ("app", "the list has 2 login servers"),
        ("northwind.azurecr.io/app", "`northwind.azurecr.io` is no login server on the list"),
        ("contoso.eastus.data.azurecr.io/app", "is no login server on the list"),
    ] {
        let program = scene.program("verify", &scene.network.gate);
        let finished = program.args(["--repository", repository]).run()?.failed_saying(phrase)?;
        ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{finished}");
    }
    ensure!(names.questions()?.is_empty());
    drop(names);
    let mut setup = Setup { list: &*two.leak(), ..Setup::default() };
    setup.dns.push(("fabrikam.azurecr.io", "20.62.128.12"));
    scene.set(&setup)?;
    let report = scene.verify(&["--repository", "contoso.azurecr.io/app:v1"])?;
    report.expect_failures(&[("fabrikam.azurecr.io", "tcp", "connect_refused")])?;
    report.expect(EASTUS, "blob", "blob_fetched")?;
    Ok(())
}
