//! Debian's tinyproxy.

use allowlist_gen::export::Format;
use test_support::Running;

use super::connect::{Answer, all_come_out, connect, dotted, faults, get, nothing, probes};
use super::field::{Addresses, Field, configuration};
use super::long;
use crate::consumer::{self, Mutation};
use crate::lists;
use crate::lookalikes::LISTED;
use crate::matrix;

#[test]
fn tinyproxy_takes_its_filter_and_lets_exactly_the_list_pass() {
    let Some(field) = Field::open(&["tinyproxy"], Addresses::Own) else { return };
    let judgement = consumer::judge(
        Format::Tinyproxy,
        &[
            Mutation { from: "^contoso", to: "^(contoso" },
            Mutation { from: "^fabrikam", to: "^[fabrikam" },
            Mutation { from: "io$", to: "io\\" },
        ],
        |text| start(&field, text).map(drop),
    );
    let tinyproxy = start(&field, &contoso()).expect("it starts");
    let probes = [probes(&field), dotted(false)].concat();
    let asked = all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));

    let reached = field.arrivals();
    let others = ["evil.azurecr.io", "20.62.0.1", "tinyproxy.stats"];
    let plain = others.map(|host| get(field.client(PORT), &format!("http://{host}/")));
    let strangers = LISTED.map(|host| connect(field.stranger(PORT), host, 443));
    let refused: Vec<Answer> = plain.into_iter().chain(strangers).collect();
    let was_refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
    assert!(refused.iter().all(was_refused), "{refused:#?}");
    assert_eq!(field.arrivals(), reached, "a refused request reached somebody");

    // What the notes say.
    get(field.client(PORT), "http://contoso.azurecr.io:22/");
    assert!(field.arrivals().contains(&"contoso.azurecr.io:22".to_owned()));

    drop(tinyproxy);
    let version = consumer::debian_version("tinyproxy-bin");
    let judgement = judgement.with_probes(asked + refused.len());
    matrix::record(Format::Tinyproxy, "tinyproxy", &version, judgement);
}

/// What the probes are worth: tinyproxy starts with each of these.
#[test]
fn probes_find_what_the_start_does_not() {
    let Some(field) = Field::open(&["tinyproxy"], Addresses::Own) else { return };
    let long_comment = format!("# {}evil", "x".repeat(509));
    for (from, to, fault) in [
        // What is beyond the 511th byte of a line is the next one.
        ("# acr-contoso", &*long_comment, "evil.azurecr.io"),
        ("^contoso\\.azurecr", "contoso\\.azurecr", "evilcontoso"),
        ("^contoso\\.azurecr\\.io$", "^contoso\\.azurecr\\.io", "contoso.azurecr.iox"),
        ("^contoso\\.azurecr\\.io$", "^contoso.azurecr.io$", "contosoxazurecr"),
    ] {
        let mutated = contoso().replacen(from, to, 1);
        let tinyproxy = start(&field, &mutated).expect("it starts");
        let ask = |host: &str, port| connect(field.client(PORT), host, port);
        let faults = faults(&field, &probes(&field), ask);
        assert!(faults.iter().any(|said| said.contains(fault)), "{to}: {faults:#?}");
        drop(tinyproxy);
    }
}

#[test]
fn tinyproxy_lets_nothing_pass_of_an_empty_list() {
    let (list, probes) = nothing();
    let Some(field) = Field::open(&["tinyproxy"], Addresses::Own) else { return };
    let text = list.export(Format::Tinyproxy).expect("an export").text;
    let _tinyproxy = start(&field, &text).expect("it starts");
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn no_line_is_longer_than_what_tinyproxy_reads_at_once() {
    for list in lists::all().into_iter().chain([long(2000)]) {
        let text = list.export(Format::Tinyproxy).expect("an export").text;
        for line in text.lines() {
            assert!(line.len() < 511, "{line}");
        }
    }
}

fn contoso() -> String {
    lists::contoso().export(Format::Tinyproxy).expect("an export").text
}

/// Starts tinyproxy with the configuration that the format's page has, in the field.
fn start(field: &Field, filter: &str) -> Result<Running, String> {
    let filter = field.file("filter", filter);
    let configuration = configuration(Format::Tinyproxy)
        .replace("/etc/tinyproxy/allowlist.filter", &filter.display().to_string())
        // Debian's account, which is not in the package with the program.
        .replace("User tinyproxy\nGroup tinyproxy\n", "User nobody\nGroup nogroup\n");
    let file = field.file("tinyproxy.conf", &configuration);
    field.try_serve(field.program("tinyproxy").args(["-d", "-c"]).arg(file), PORT)
}

const PORT: u16 = 8888;
