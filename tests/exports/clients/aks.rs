//! The proxy of AKS clusters: what az, ARM's schema and Terraform's provider take it for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use allowlist_gen::export::Format;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::consumer::{self, Mutation};
use crate::lists::{self, List};
use crate::matrix::{self, Judgement};

const MUTATIONS: [Mutation; 4] = [
    Mutation { from: "\"httpsProxy\"", to: "\"httpsProxyy\"" },
    Mutation { from: "\"noProxy\": [", to: "\"noProxy\": 1, \"more\": [" },
    Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "3128" },
    Mutation { from: "\"contoso.azurecr.io\",", to: "\"contoso.azurecr.io\"" },
];

#[test]
fn az_sends_the_configuration_that_arm_takes() {
    let Some(az) = consumer::installed("az/bin/python") else { return };
    if consumer::installed("py/bin/python").is_none() {
        return;
    }
    let version = version(&az, "azure-cli");
    for format in [Format::Aks, Format::AksArm] {
        let judgement = judge(format, &MUTATIONS, |texts| {
            let sent = answers(
                Command::new(&az).arg(script("aks_az.py")).arg(format.name()),
                format,
                texts,
            );
            let sent = texts.iter().zip(sent).map(|(text, sent)| is_what_was_given(text, &sent?));
            sent.map(|sent| read(Format::Aks, &[sent?]).remove(0)).collect()
        });
        matrix::record(format, "az and ARM's schema", &version, judgement);
    }
}

#[test]
fn bicep_is_read_as_what_arm_takes() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    let judgement = judge(
        Format::AksBicep,
        &[
            Mutation { from: "httpsProxy:", to: "httpsProxyy:" },
            Mutation { from: "noProxy: [", to: "noProxy: {" },
            Mutation { from: "'http://proxy.corp.example:3128/'", to: "3128" },
            Mutation { from: "@export()\n", to: "" },
        ],
        |texts| read(Format::AksBicep, texts),
    );
    let version = version(&python, "pycep-parser");
    matrix::record(Format::AksBicep, "pycep-parser and ARM's schema", &version, judgement);
}

#[test]
fn terraform_is_read_as_what_the_provider_takes() {
    let Some(python) = consumer::installed("py/bin/python") else { return };
    if consumer::installed(TYPES).is_none() {
        return;
    }
    let judgement = judge(
        Format::AksTerraform,
        &[
            Mutation { from: "#   https_proxy =", to: "#   httpss_proxy =" },
            Mutation { from: "no_proxy = [", to: "no_proxies = [" },
            Mutation { from: "\"contoso.azurecr.io\",", to: "contoso.," },
            Mutation { from: "\"http://proxy.corp.example:3128/\"", to: "[]" },
        ],
        |texts| read(Format::AksTerraform, texts),
    );
    let version = version(&python, "python-hcl2");
    let consumer = "python-hcl2 and the provider's types";
    matrix::record(Format::AksTerraform, consumer, &version, judgement);
}

/// All four say the same of a list: what `no-proxy` says, the proxy, and the certificates.
#[test]
fn all_four_say_the_same() {
    if consumer::installed("py/bin/python").is_none() || consumer::installed(TYPES).is_none() {
        return;
    }
    let lists = lists::all();
    let exports = |format| -> Vec<String> {
        let export = |list: &List| list.export(format).expect("the list can be written").text;
        lists.iter().map(export).collect()
    };
    let hosts = exports(Format::NoProxy);
    for format in [Format::Aks, Format::AksArm, Format::AksBicep, Format::AksTerraform] {
        let configs = read(format, &exports(format));
        for ((list, hosts), config) in lists.iter().zip(&hosts).zip(configs) {
            let config = config.expect("it is read");
            let hosts: Vec<&str> = hosts.trim_end().split_terminator(',').collect();
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

/// What a consumer makes of a text.
type Answer = Result<Value, String>;

/// As `consumer::judge`, for a consumer that is slow to start and takes many texts at once.
fn judge(
    format: Format,
    mutations: &[Mutation],
    consumer: impl Fn(&[String]) -> Vec<Answer>,
) -> Judgement {
    let exports = lists::all().into_iter().filter_map(|list| list.export(format).ok());
    let mut texts: Vec<String> = exports.map(|export| export.text).collect();
    let contoso = lists::contoso().export(format).expect("the list can be written").text;
    texts.extend(mutations.iter().map(|Mutation { from, to }| contoso.replacen(from, to, 1)));
    let answers = consumer(&texts);
    let answers: BTreeMap<&String, Answer> = texts.iter().zip(answers).collect();
    consumer::judge(format, mutations, |text| answers[&text.to_owned()].clone().map(drop))
}

/// The configuration in each text, with ARM's keys.
fn read(format: Format, texts: &[String]) -> Vec<Answer> {
    let python = consumer::installed("py/bin/python").unwrap_or_default();
    let types = consumer::installed(TYPES).unwrap_or_default();
    let mut reader = Command::new(python);
    let schemas = lists::tests().join("fixtures/schemas/arm");
    reader.arg(script("aks.py")).arg(format.name()).arg(schemas).arg(types);
    answers(&mut reader, format, texts)
}

/// Runs `command` on a file of each text, and takes a line of JSON for each.
fn answers(command: &mut Command, format: Format, texts: &[String]) -> Vec<Answer> {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, text) in texts.iter().enumerate() {
        let file = folder.path().join(format!("{number}-{}", format.about().file));
        std::fs::write(&file, text).expect("a file");
        command.arg(file);
    }
    let output = command.env("LANG", "C.UTF-8").output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(answers.len(), texts.len(), "{said}\n{failed}");
    let answer = |mut answer: Value| match answer["refused"].as_str() {
        Some(why) => Err(why.to_owned()),
        None => Ok(answer["config"].take()),
    };
    answers.into_iter().map(answer).collect()
}

/// What az sent, if that is the configuration in `text`.
fn is_what_was_given(text: &str, sent: &Value) -> Result<String, String> {
    let given: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let given = given.pointer("/parameters/httpProxyConfig/value").unwrap_or(&given);
    if sent == given { Ok(sent.to_string()) } else { Err(format!("az sends {sent}")) }
}

fn decoded(base64: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
    String::from_utf8(bytes).expect("PEM")
}

fn version(python: &Path, package: &str) -> String {
    let version = format!("import importlib.metadata as m; print(m.version('{package}'))");
    consumer::first_line(Command::new(python).args(["-c", &version]))
}

fn script(name: &str) -> PathBuf {
    lists::tests().join("exports/consumers").join(name)
}

const TYPES: &str = "terraform/kubernetes-cluster/index.d.ts";
