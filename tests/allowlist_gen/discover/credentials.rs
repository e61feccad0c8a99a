//! As whom Azure is asked: each way to sign in, against what stands in for the services that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use test_support::{Finished, Namespace, Program, require, require_program, skip};

use super::fake::{Azure, CLIENT, Reply, SECRET, TENANT};
use super::{SUBSCRIPTION, fabrikam, from_files, show_fabrikam};

const ASK: [&str; 3] = ["discover", "--subscription", SUBSCRIPTION];

/// It told what files tell, and signed in as was said.
fn succeeded(run: Finished, azure: &Azure) -> Result<Finished> {
    let run = run.succeeded()?;
    assert_eq!(run.stdout, from_files(&[]).stdout);
    for request in azure.arm_requests() {
        let authorization = &request.headers["authorization"];
        assert!(authorization.starts_with("Bearer token-"), "{authorization}");
    }
    Ok(run)
}

/// Nothing that it said tells the secret.
fn failed(run: Finished, phrase: &str) -> Result<()> {
    let run = run.failed()?;
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""), "{run}");
    assert!(run.stderr.contains(phrase), "{phrase}: {run}");
    assert!(!run.stderr.contains(SECRET), "{run}");
    Ok(())
}

#[test]
fn a_service_principal_signs_in_by_its_secret() -> Result<()> {
    let azure = fabrikam()?;
    let run = succeeded(azure.discover(&ASK[1..]).run()?, &azure)?;
    assert!(
        run.stderr.starts_with("credential: client-secret (`--credential` names another)\n"),
        "{run}"
    );
    let asked = succeeded(
        azure.discover(&[&ASK[1..], &["--credential", "client-secret"]].concat()).run()?,
        &azure,
    )?;
    assert!(!asked.stderr.contains("credential:"), "{asked}");

    let wrong = json!({
        "error": "invalid_client",
        "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 0",
        "error_codes": [7_000_215],
    });
    azure.on(&format!("/{TENANT}/oauth2/v2.0/token"), Reply::json(&wrong).status(401));
    failed(
        azure.discover(&ASK[1..]).run()?,
        "client-secret: AADSTS7000215: Invalid client secret provided. Trace ID: 0\n",
    )?;
    azure.on(&format!("/{TENANT}/oauth2/v2.0/token"), Reply::text("<html>").status(403));
    failed(
        azure.discover(&ASK[1..]).run()?,
        "client-secret: an answer with 403 that is not the authority's\n",
    )?;
    // Every character that JSON escapes, and one that moves a terminal's cursor.
    let hostile = json!({ "error_description": "\"quoted\" \\ \u{1b}[2J ünï" });
    azure.on(&format!("/{TENANT}/oauth2/v2.0/token"), Reply::json(&hostile).status(400));
    failed(azure.discover(&ASK[1..]).run()?, "client-secret: 'quoted' / \u{fffd}[2J ünï\n")?;
    Ok(())
}

#[test]
fn what_a_credential_needs_and_lacks_is_said() -> Result<()> {
    let azure = fabrikam()?;
    for (credential, variables, phrase) in [
        ("client-secret", &[][..], "client-secret needs `AZURE_TENANT_ID` in the environment"),
        ("client-secret", &[("AZURE_TENANT_ID", TENANT)], "needs `AZURE_CLIENT_ID`"),
        (
            "client-secret",
            &[("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT)],
            "needs `AZURE_CLIENT_SECRET`",
        ),
        (
            "client-certificate",
            &[
                ("AZURE_TENANT_ID", TENANT),
                ("AZURE_CLIENT_ID", CLIENT),
                ("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere.pem"),
            ],
            "can't read /nowhere.pem",
        ),
        (
            "workload-identity",
            &[
                ("AZURE_TENANT_ID", TENANT),
                ("AZURE_CLIENT_ID", CLIENT),
                ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere"),
            ],
            "failed to read federated token from file /nowhere",
        ),
        (
            "cli",
            &[("PATH", "/nowhere")],
            "can't sign in with the credential cli: az not found on PATH",
        ),
    ] {
        let mut program = azure.program(&[&ASK[..], &["--credential", credential]].concat());
        for (name, value) in variables {
            program = program.env(name, value);
        }
        failed(program.run()?, phrase)?;
    }
    assert!(azure.requests().is_empty());
    // The tenant goes into a URL, and stays in its place there.
    let program = azure.discover(&[&ASK[1..], &["--tenant", "../../elsewhere"]].concat());
    failed(program.run()?, "invalid tenant ID")?;
    Ok(())
}

#[test]
fn a_token_is_kept_while_it_is_good_and_replaced_when_it_is_not() -> Result<()> {
    // It says so itself.
    let azure = fabrikam()?;
    azure.token_lifetime(30);
    succeeded(azure.discover(&ASK[1..]).run()?, &azure)?;
    let count = azure.token_requests().len();
    assert_eq!(count, azure.arm_requests().len(), "one for each request");

    // Azure says so: the same request goes out again with a new one.
    let azure = fabrikam()?;
    azure.token_uses(4);
    succeeded(azure.discover(&ASK[1..]).run()?, &azure)?;
    let tokens: Vec<String> = azure
        .arm_requests()
        .iter()
        .map(|request| request.headers["authorization"].clone())
        .collect();
    assert!(
        tokens.contains(&"Bearer token-1".to_owned())
            && tokens.contains(&"Bearer token-3".to_owned()),
        "{tokens:?}"
    );

    // One that is never good is tried twice, and no more.
    let azure = fabrikam()?;
    azure.token_uses(0);
    failed(azure.discover(&ASK[1..]).run()?, "Azure doesn't accept the credential for")?;
    assert_eq!((azure.arm_requests().len(), azure.token_requests().len()), (2, 2));
    Ok(())
}

/// The far end: the assertion is what Microsoft asks for, and OpenSSL finds it signed by the certificate's key.
#[test]
fn a_service_principal_signs_in_by_its_certificate() -> Result<()> {
    if !require_program("openssl") {
        return Ok(());
    }
    let azure = fabrikam()?;
    let folder = azure.folder();
    let pem = certificate(folder, "rsa:2048")?;
    let run = |file: &Path| {
        azure
            .program(&ASK)
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", CLIENT)
            .env("AZURE_CLIENT_CERTIFICATE_PATH", file)
            .run()
    };
    let signed_in = succeeded(run(&pem)?, &azure)?;
    assert!(signed_in.stderr.starts_with("credential: client-certificate "), "{signed_in}");

    let request = &azure.token_requests()[0];
    assert_eq!(
        request.field("client_assertion_type").as_deref(),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    let assertion = request.field("client_assertion").context("an assertion")?;
    let (message, signature) = assertion.rsplit_once('.').context("a signature")?;
    let parts: Vec<Value> = message
        .split('.')
        .map(|part| Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?))
        .collect::<Result<_>>()?;
    let [header, claims] = &parts[..] else { panic!("{parts:?}") };
    fs::write(folder.join("message"), message)?;
    fs::write(folder.join("signature"), URL_SAFE_NO_PAD.decode(signature)?)?;
    let verify = "openssl x509 -in pem -noout -pubkey > public && openssl dgst -sha256 -verify public -sigopt \
                  rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -signature signature message && openssl x509 -in pem \
                  -noout -fingerprint -sha256";
    let verified = shell(folder, verify)?.succeeded()?;
    let (verdict, fingerprint) = verified.stdout.split_once('\n').context("two lines")?;
    assert_eq!(verdict, "Verified OK");
    let hex: String = fingerprint.rsplit('=').next().unwrap_or_default().trim().replace(':', "");
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16))
        .collect::<Result<_, _>>()?;
    let expected =
        json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(bytes) });
    assert_eq!(*header, expected);
    let number = |key: &str| claims[key].as_u64().expect("a number");
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some(CLIENT), Some(CLIENT)));
    assert_eq!(claims["aud"], format!("{}/{TENANT}/oauth2/v2.0/token", azure.url()));
    assert_eq!(number("exp") - number("nbf"), 300);
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 36), "{claims}");

    // Files that are no such thing, each told apart.
    let (key, other) = (fs::read_to_string(folder.join("key"))?, certificate(folder, "rsa:2048")?);
    let other = fs::read_to_string(other)?;
    let encrypt = "openssl pkey -in key -aes256 -passout pass:x -out locked && openssl pkcs12 -export -in pem -inkey key -passout pass:x -out p12 && \
                   openssl ecparam -name prime256v1 -genkey -noout -out ec && openssl req -x509 -key ec -subj /CN=x -out eccert";
    shell(folder, encrypt)?.succeeded()?;
    let read = |name: &str| fs::read(folder.join(name));
    let certificate_only = other[..other.find("-----BEGIN PRIVATE").context("a key")?].to_owned();
    for (bytes, phrase) in [
        (Vec::new(), "it is not PEM"),
        (read("p12")?, "it is not PEM; `openssl pkcs12 -in FILE -nodes` makes PEM of PKCS #12"),
        (certificate_only.clone().into_bytes(), "it needs a certificate and its private key"),
        (key.clone().into_bytes(), "it needs a certificate and its private key"),
        ([certificate_only.as_bytes(), &read("locked")?].concat(), "its key is encrypted"),
        (
            [certificate_only.as_bytes(), key.as_bytes()].concat(),
            "its key is not that of its first certificate",
        ),
        ([read("eccert")?, read("ec")?].concat(), "needs a certificate and its private key"),
        (
            [
                certificate_only.as_bytes(),
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ]
            .concat(),
            "is no certificate to sign in with",
        ),
    ] {
        let file = folder.join("wrong");
        fs::write(&file, bytes)?;
        failed(run(&file)?, phrase)?;
    }
    shell(folder, "openssl pkcs8 -topk8 -nocrypt -in ec -out ec8 && cat eccert ec8 > wrong")?
        .succeeded()?;
    failed(run(&folder.join("wrong"))?, "its key is not RSA")?;
    // The older form of keys will do.
    shell(folder, "openssl rsa -traditional -in key -out rsa && openssl x509 -in pem > both && cat rsa >> both")?
        .succeeded()?;
    assert!(fs::read_to_string(folder.join("both"))?.contains("BEGIN RSA PRIVATE KEY"));
    run(&folder.join("both"))?.succeeded()?;
    Ok(())
}

/// A certificate with its key, in one file.
fn certificate(folder: &Path, key: &str) -> Result<PathBuf> {
    let script = format!(
        "openssl req -x509 -newkey {key} -nodes -keyout key.new -out cert -subj /CN=ringfence 2>/dev/null && \
         cat cert key.new > pem.new && {{ [ -e pem ] || {{ cp pem.new pem; cp key.new key; }}; }}"
    );
    shell(folder, &script)?.succeeded()?;
    Ok(folder.join("pem.new"))
}

fn shell(folder: &Path, script: &str) -> Result<Finished> {
    Program::new("/bin/sh").args(["-c", &format!("cd '{}' && {script}", folder.display())]).run()
}

/// A pod on AKS: the webhook of its workload identity sets these variables and mounts the file.
#[test]
fn a_pod_signs_in_by_its_workload_identity() -> Result<()> {
    let azure = fabrikam()?;
    let file = azure.folder().join("token");
    fs::write(&file, "the.pods.token")?;
    let url = azure.url();
    let ca = azure.ca();
    // The authority comes from the environment, too.
    let run = Program::new(env!("CARGO_BIN_EXE_allowlist-gen"))
        .args(ASK)
        .args(["--arm-endpoint", &url, "--azure-ca"])
        .arg(&ca)
        .env("AZURE_AUTHORITY_HOST", &url)
        .env("AZURE_TENANT_ID", TENANT)
        .env("AZURE_CLIENT_ID", CLIENT)
        .env("AZURE_FEDERATED_TOKEN_FILE", &file)
        .run()?;
    let run = succeeded(run, &azure)?;
    assert!(run.stderr.starts_with("credential: workload-identity "), "{run}");
    let request = &azure.token_requests()[0];
    assert_eq!(request.field("client_assertion").as_deref(), Some("the.pods.token"));
    assert_eq!(request.field("client_id").as_deref(), Some(CLIENT));
    assert_eq!(request.path, format!("/{TENANT}/oauth2/v2.0/token"));
    Ok(())
}

/// A virtual machine: its metadata service is at one address, the same for all, so the test has a network of its own.
#[test]
fn a_machine_signs_in_by_its_managed_identity() -> Result<()> {
    if !require(&["ip"]) {
        return Ok(());
    }
    let machine = Namespace::create("machine")?;
    machine.ip(&["address", "add", "169.254.169.254/32", "dev", "lo"])?;
    let azure = Azure::start_inside(&machine)?;
    show_fabrikam(&azure);
    azure.listen_plainly(&machine, "169.254.169.254:80")?;
    // A proxy that nobody serves: the metadata service is never asked through one.
    let run = azure.program(&ASK).env("HTTP_PROXY", "http://127.0.0.1:1").inside(&machine).run()?;
    let run = succeeded(run, &azure)?;
    assert!(run.stderr.starts_with("credential: managed-identity "), "{run}");
    let request = &azure.token_requests()[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/metadata/identity/oauth2/token")
    );
    assert_eq!(request.headers["metadata"], "true");
    assert_eq!(request.field("resource"), Some(azure.url()));
    assert_eq!(request.field("client_id"), None);

    let user_assigned = azure.program(
        &[&ASK[..], &["--credential", "managed-identity", "--client-id", CLIENT]].concat(),
    );
    succeeded(user_assigned.inside(&machine).run()?, &azure)?;
    let request = azure.token_requests().pop().context("a request")?;
    assert_eq!(request.field("client_id").as_deref(), Some(CLIENT));
    // Asked for something that the machine doesn't have.
    let none = json!({ "error": "invalid_request", "error_description": "Identity not found" });
    azure.on("/metadata/identity/oauth2/token", Reply::json(&none).status(400));
    let run = azure.program(&ASK).inside(&machine).run()?;
    failed(run, "The requested identity has not been assigned to this resource")?;
    Ok(())
}

/// A laptop is no machine of Azure's, and learns so at once.
#[test]
fn no_machine_is_asked_for_long() -> Result<()> {
    if !require(&["ip"]) {
        return Ok(());
    }
    let laptop = Namespace::create("laptop")?;
    let azure = Azure::start_inside(&laptop)?;
    let started = Instant::now();
    let run = azure.program(&ASK).inside(&laptop).run()?;
    failed(
        run,
        "nothing answers at 169.254.169.254, where a machine of Azure's has its identity\n  help: this needs",
    )?;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    Ok(())
}

/// App Service and Container Apps have a service of their own, and say where.
#[test]
fn an_app_signs_in_by_its_managed_identity() -> Result<()> {
    if !require(&["ip"]) {
        return Ok(());
    }
    let app = Namespace::create("app")?;
    let azure = Azure::start_inside(&app)?;
    show_fabrikam(&azure);
    let service = azure.listen_plainly(&app, "127.0.0.1:0")?;
    let run = azure
        .program(&ASK)
        .env("IDENTITY_ENDPOINT", format!("http://{service}/metadata/msi"))
        .env("IDENTITY_HEADER", SECRET)
        .inside(&app)
        .run()?;
    succeeded(run, &azure)?;
    let request = &azure.token_requests()[0];
    assert_eq!(request.headers["x-identity-header"], SECRET);
    assert_eq!(request.field("api-version").as_deref(), Some("2019-08-01"));
    Ok(())
}

/// The real az, signed in to the fake as a service principal of a cloud that is registered with it.
#[test]
fn whoever_az_has_signed_in_is_asked_as() -> Result<()> {
    let az = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/consumers/az/bin");
    if !az.join("az").exists() {
        assert!(!skip("azure-cli is not installed"));
        return Ok(());
    }
    let azure = fabrikam()?;
    let url = azure.url();
    let subscription = json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "Fabrikam",
        "state": "Enabled",
    });
    azure.on("/subscriptions", Reply::json(&json!({ "value": [subscription] })));
    let home = azure.folder().join("az");
    let path = format!("{}:/usr/bin:/bin", az.display());
    let az = |program: Program| {
        program
            .env("PATH", &path)
            .env("HOME", azure.folder())
            .env("AZURE_CONFIG_DIR", &home)
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("REQUESTS_CA_BUNDLE", azure.ca())
    };
    let command = |arguments: &[&str]| az(Program::new("az").args(arguments)).run();
    let program = || az(azure.program(&ASK));
    failed(program().run()?, "az login")?;
    command(&[
        "cloud",
        "register",
        "--name",
        "fake",
        "--skip-endpoint-discovery",
        "--endpoint-resource-manager",
        &url,
        "--endpoint-active-directory",
        &url,
        "--endpoint-active-directory-resource-id",
        &url,
        "--endpoint-management",
        &url,
        "--endpoint-gallery",
        &url,
        "--endpoint-active-directory-graph-resource-id",
        &url,
    ])?
    .succeeded()?;
    command(&["cloud", "set", "--name", "fake"])?.succeeded()?;
    command(&[
        "login",
        "--service-principal",
        "--username",
        CLIENT,
        "--password",
        SECRET,
        "--tenant",
        TENANT,
    ])?
    .succeeded()?;
    let before = azure.token_requests().len();
    let run = succeeded(program().run()?, &azure);
    let run = run?;
    assert!(run.stderr.starts_with("credential: cli "), "{run}");
    let tokens = azure.token_requests();
    ensure!(tokens.len() <= before + 1, "az is asked once: {tokens:?}");
    assert!(tokens.iter().all(|request| request.field("client_id").as_deref() == Some(CLIENT)));
    Ok(())
}

/// Behind a firewall, Azure is reached through a proxy; and past it where `NO_PROXY` says so.
#[test]
fn a_proxy_in_the_environment_is_used() -> Result<()> {
    if !require(&["ip", "tinyproxy"]) {
        return Ok(());
    }
    let office = Namespace::create("office")?;
    let azure = Azure::start_inside(&office)?;
    show_fabrikam(&azure);
    let config = azure.folder().join("tinyproxy.conf");
    fs::write(&config, "Port 8888\nListen 127.0.0.1\nTimeout 60\nLogLevel Info\nMaxClients 100\n")?;
    let proxy =
        Program::new("tinyproxy").args(["-d", "-c"]).arg(&config).inside(&office).start()?;
    proxy.stdout.wait_for_line(|line| {
        line.contains("Accepting connections") || line.contains("Starting main loop")
    })?;
    let ask = |no_proxy: &str| {
        azure
            .discover(&ASK[1..])
            .env("HTTPS_PROXY", "http://127.0.0.1:8888")
            .env("NO_PROXY", no_proxy)
            .inside(&office)
            .run()
    };
    succeeded(ask("")?, &azure)?;
    proxy.stdout.wait_for_line(|line| line.contains("CONNECT 127.0.0.1:"))?;
    let lines = proxy.stdout.lines().len();
    succeeded(ask("127.0.0.1")?, &azure)?;
    assert_eq!(proxy.stdout.lines().len(), lines, "past the proxy");
    drop(proxy);
    // Without the proxy there is no other way.
    failed(ask("")?, "can't reach 127.0.0.1:")?;
    Ok(())
}
