//! Google Cloud: the fields and types of Google's own client libraries, which refuse what they don't know.

use std::process::Command;

use allowlist_gen::export::Format;

use super::{accepts_unusual, entry, export_text};
use crate::checker::Checker;
use crate::consumer::{self, Mutation};
use crate::{lists, matrix};

#[test]
fn the_compute_library_takes_the_policy() {
    let Some(mut library) = Checker::start("py", "gcp.py", &["policy".as_ref()]) else { return };
    let mut accepts = |text: &str| library.judge(text);
    let judgement = consumer::judge(
        Format::GcpFirewall,
        &[
            Mutation { from: "\"destFqdns\"", to: "\"destFqdn\"" },
            Mutation { from: "\"priority\": 1000", to: "\"priority\": \"first\"" },
            Mutation { from: "\"ports\": [", to: "\"ports\": {}, \"x\": [" },
            Mutation { from: "\"rules\"", to: "\"rule\"" },
            Mutation { from: "\"allow\"", to: "\"accept\"" },
            Mutation { from: "\"EGRESS\"", to: "\"OUT\"" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "\"*.azurecr.io\"" },
            Mutation { from: "\"priority\": 1001", to: "\"priority\": 1000" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::GcpFirewall, &[], &mut accepts);
    let consumer = "google-cloud-compute; values by our own reader";
    matrix::record(
        Format::GcpFirewall,
        consumer,
        &library.version("google-cloud-compute"),
        judgement,
    );
}

#[test]
fn the_network_security_library_takes_the_url_list() {
    let Some(mut library) = Checker::start("py", "gcp.py", &["list".as_ref()]) else { return };
    let mut accepts = |text: &str| library.judge(text);
    let judgement = consumer::judge(
        Format::GcpUrlList,
        &[
            Mutation { from: "\"values\"", to: "\"value\"" },
            Mutation { from: "\"values\": [", to: "\"values\": {}, \"x\": [" },
            Mutation { from: "\"description\"", to: "\"comment\"" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "443" },
            Mutation { from: "\"contoso.azurecr.io\"", to: "\"*.azurecr.io\"" },
            Mutation { from: "urlLists/", to: "urlList/" },
        ],
        &mut accepts,
    );
    accepts_unusual(Format::GcpUrlList, &["ports", "long"], &mut accepts);
    let consumer = "google-cloud-network-security; values by our own reader";
    let version = library.version("google-cloud-network-security");
    matrix::record(Format::GcpUrlList, consumer, &version, judgement);
}

/// However many registries there are, what the policy says of itself fits, and says what it goes by.
#[test]
fn a_long_description_is_cut_where_it_says_the_least() {
    let hosts = |n: usize| entry(&format!("{}{n}.azurecr.io", "registry".repeat(5)), "");
    let many: String = (0..40).map(hosts).collect();
    let text = export_text("many", &many, Format::GcpFirewall).expect("a list").text;
    let policy: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let description = policy["description"].as_str().expect("a text");
    assert!(description.chars().count() <= 2_048, "{description}");
    assert!(description.contains(Format::GcpFirewall.about().kind.meaning()), "{description}");
}

/// The page says how the name is filled in, and that is what comes of it.
#[test]
fn sed_fills_in_the_project_and_the_location() {
    let folder = tempfile::tempdir().expect("a folder");
    let about = Format::GcpUrlList.about();
    let file = folder.path().join(about.file);
    let text = lists::contoso().export(Format::GcpUrlList).expect("a list").text;
    std::fs::write(&file, &text).expect("a file");
    let (fill_in, _) = about.apply.split_once(" && ").expect("a command before the others");
    let mut shell = Command::new("sh");
    shell.args(["-c", fill_in]).current_dir(folder.path());
    consumer::run(shell.envs([("PROJECT", "lists"), ("LOCATION", "us-east1")])).expect("sed runs");
    let expected = text.replace("/PROJECT/", "/lists/").replace("/LOCATION/", "/us-east1/");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), expected);
    assert!(expected.contains("\"projects/lists/locations/us-east1/urlLists/acr-allowlist\""));
}
