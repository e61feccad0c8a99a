//! The proxy of AKS clusters: what az, ARM's schema and Terraform's provider take it for.

use std::path::{Path, PathBuf};
use std::process::Command;

use allowlist_gen::export::Format;
use serde_json::{Value, json};

use crate::consumer::{self, Mutation, Verdict};
use crate::lists;
use crate::matrix;

const MUTATIONS: [Mutation; 4] = [
    Mutation { from: "\"httpsProxy\"", to: "\"httpsProxyy\"" },
    Mutation { from: "\"noProxy\": [", to: "\"noProxy\": 1, \"more\": [" },
    Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "3128" },
    Mutation { from: "\"contoso.azurecr.io\",", to: "\"contoso.azurecr.io\"" },
];

#[test]
fn az_sends_the_configuration_that_arm_takes() {
    let Some(az) = consumer::installed("az/bin/python") else { return };
    for format in [Format::Aks, Format::AksArm] {
        let sends = |text: &str| {
            let sent = az_sends(&az, format, text)?;
            read(Format::Aks, &sent).map(drop)
        };
        let judgement = consumer::judge(format, &MUTATIONS, sends);
        let version = "import importlib.metadata as m; print(m.version('azure-cli'))";
        let version = consumer::first_line(Command::new(&az).args(["-c", version]));
        matrix::record(format, "az and ARM's schema", &version, judgement);
    }
}

#[test]
fn bicep_is_read_as_what_arm_takes() {
    let Some(version) = package("pycep-parser") else { return };
    let judgement = consumer::judge(
        Format::AksBicep,
        &[
            Mutation { from: "httpsProxy:", to: "httpsProxyy:" },
            Mutation { from: "noProxy: [", to: "noProxy: {" },
            Mutation { from: "'http://proxy.corp.example:3128/'", to: "3128" },
            Mutation { from: "@export()\n", to: "" },
        ],
        |text| is_read(Format::AksBicep, text),
    );
    matrix::record(Format::AksBicep, "pycep-parser and ARM's schema", &version, judgement);
}

#[test]
fn terraform_is_read_as_what_the_provider_takes() {
    let Some(version) = package("python-hcl2") else { return };
    let judgement = consumer::judge(
        Format::AksTerraform,
        &[
            Mutation { from: "#   https_proxy =", to: "#   httpss_proxy =" },
            Mutation { from: "no_proxy = [", to: "no_proxies = [" },
            Mutation {
                from: "    no_proxy = [\n      \"contoso.azurecr.io\",",
                to: "    no_proxy = [\n      contoso.,",
            },
            Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "[]" },
        ],
        |text| is_read(Format::AksTerraform, text),
    );
    let consumer = "python-hcl2 and the provider's types";
    matrix::record(Format::AksTerraform, consumer, &version, judgement);
}

/// All four say the same of a list: what `no-proxy` says, the proxy, and the certificates.
#[test]
fn all_four_say_the_same() {
    if consumer::installed("py/bin/python").is_none() {
        return;
    }
    for list in lists::all() {
        let export = |format| list.export(format).expect("the list can be written").text;
        let hosts = export(Format::NoProxy);
        let hosts: Vec<&str> = hosts.trim_end().split_terminator(',').collect();
        for format in [Format::Aks, Format::AksArm, Format::AksBicep, Format::AksTerraform] {
            let config = read(format, &export(format)).expect("it is read");
            assert_eq!(config["noProxy"], json!(hosts), "{} of {}", format.name(), list.name);
            let is_on = config.get("enabled").is_none_or(|enabled| *enabled == Value::Bool(true));
            assert!(is_on, "{} of {}", format.name(), list.name);
            for key in ["httpProxy", "httpsProxy"] {
                assert_eq!(config[key], "http://proxy.corp.example:3128/", "{}", format.name());
            }
            let trusted = config["trustedCa"].as_str().expect("certificates");
            assert_eq!(decoded(trusted), lists::options(format).ca.expect("certificates").pem());
        }
    }
}

/// What az sends when it is given `text`: the same configuration, or it isn't what it was given.
fn az_sends(az: &Path, format: Format, text: &str) -> Result<String, String> {
    let file = file(format, text);
    let sent =
        output(Command::new(az).arg(script("aks_az.py")).arg(format.name()).arg(file.path()))?;
    let given: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let given = given.pointer("/parameters/httpProxyConfig/value").unwrap_or(&given);
    let sent_value: Value = serde_json::from_str(&sent).map_err(|error| error.to_string())?;
    if sent_value == *given { Ok(sent) } else { Err(format!("az sends {sent}")) }
}

fn is_read(format: Format, text: &str) -> Verdict {
    read(format, text).map(drop)
}

/// The configuration in `text`, with ARM's keys.
fn read(format: Format, text: &str) -> Result<Value, String> {
    let python = consumer::installed("py/bin/python").ok_or("not installed")?;
    let types =
        consumer::installed("terraform/kubernetes-cluster/index.d.ts").ok_or("not installed")?;
    let file = file(format, text);
    let config = output(
        Command::new(python)
            .arg(script("aks.py"))
            .arg(format.name())
            .arg(file.path())
            .arg(lists::tests().join("fixtures/schemas/arm"))
            .arg(types),
    )?;
    serde_json::from_str(&config).map_err(|error| format!("{error}: {config}"))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.env("LANG", "C.UTF-8").output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

fn file(format: Format, text: &str) -> tempfile::NamedTempFile {
    let name = Path::new(format.about().file).extension().unwrap_or_default().to_string_lossy();
    let suffix = format!(".{name}");
    let file = tempfile::Builder::new().suffix(&suffix).tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    file
}

fn decoded(base64: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
    String::from_utf8(bytes).expect("PEM")
}

fn package(name: &str) -> Option<String> {
    let python = consumer::installed("py/bin/python")?;
    consumer::installed("terraform/kubernetes-cluster/index.d.ts")?;
    let version = format!("import importlib.metadata as m; print(m.version('{name}'))");
    Some(consumer::first_line(Command::new(python).args(["-c", &version])))
}

fn script(name: &str) -> PathBuf {
    lists::tests().join("exports/consumers").join(name)
}
