//! Debian's privoxy.

use std::path::PathBuf;
use std::process::Command;

use allowlist_gen::export::Format;

use super::connect::{
    Answer, all_come_out, connect, dotted, faults, get, nothing, passes_of, ports, probes,
};
use super::field::{Addresses, Field, Orderly, configuration};
use super::long;
use crate::consumer::{self, Mutation};
use crate::lists;
use crate::lookalikes::LISTED;
use crate::matrix;

#[test]
fn privoxy_takes_its_actions_and_lets_exactly_the_list_pass() {
    let Some(field) = Field::open(&["privoxy"], Addresses::Own) else { return };
    let judgement = consumer::judge(
        Format::Privoxy,
        &[
            Mutation { from: "{-block}", to: "{-blok}" },
            Mutation { from: "{+block{", to: "{+block[" },
            Mutation { from: "{-block}", to: "{-block" },
        ],
        |text| {
            let file = configure(&field, text);
            consumer::run(Command::new("privoxy").arg("--config-test").arg(file))
        },
    );
    let privoxy = start(&field, &contoso());
    let probes = [probes(&field), dotted(true)].concat();
    let asked = all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));

    let reached = field.arrivals();
    let plain = LISTED.iter().flat_map(|host| {
        let urls = ["http://H/", "http://H:80/", "http://H/PRIVOXY-FORCE/", "https://H/"];
        urls.map(|url| get(field.client(PORT), &url.replace('H', host)))
    });
    let strangers = LISTED.iter().map(|host| connect(field.stranger(PORT), host, 443));
    let refused: Vec<Answer> = plain.chain(strangers).collect();
    let was_refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
    assert!(refused.iter().all(was_refused), "{refused:#?}");
    assert_eq!(field.arrivals(), reached, "a refused request reached somebody");

    // What the notes say.
    get(field.client(PORT), "http://contoso.azurecr.io:443/");
    assert_eq!(field.arrivals().len(), reached.len() + 1);

    drop(privoxy);
    let version = consumer::debian_version("privoxy");
    let judgement = judgement.with_probes(asked + refused.len());
    matrix::record(Format::Privoxy, "privoxy", &version, judgement);
}

/// What the probes are worth: `--config-test` has no word against these.
#[test]
fn probes_find_what_the_configuration_test_does_not() {
    let Some(field) = Field::open(&["privoxy"], Addresses::Own) else { return };
    for (from, to, fault) in [
        ("\ncontoso.azurecr.io:443/", "\n.contoso.azurecr.io:443/", "sub.contoso"),
        ("\ncontoso.azurecr.io:443/", "\ncontoso.azurecr.io/", "contoso.azurecr.io:22"),
        ("\ncontoso.azurecr.io:443/", "\ncontoso.azurecr.:443/", "contoso.azurecr.us"),
        ("\n/\n", "\n", "evil.azurecr.io"),
    ] {
        let mutated = contoso().replacen(from, to, 1);
        let privoxy = start(&field, &mutated);
        let ask = |host: &str, port| connect(field.client(PORT), host, port);
        let faults = faults(&field, &probes(&field), ask);
        assert!(faults.iter().any(|said| said.contains(fault)), "{to}: {faults:#?}");
        drop(privoxy);
    }
}

/// No reason gets out of its comment, and every host of the hostile list passes.
#[test]
fn privoxy_obeys_a_list_whose_reasons_are_hostile() {
    let list = lists::written("hostile");
    let strangers = ["evil.azurecr.io", "sub.true.example", "contoso.azurecr.de"];
    let probes = passes_of(&list, &strangers);
    let Some(field) = Field::of(&["privoxy"], Addresses::Shared, &probes) else { return };
    let _privoxy = start(&field, &list.export(Format::Privoxy).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn privoxy_lets_nothing_pass_of_an_empty_list() {
    let (list, probes) = nothing();
    let Some(field) = Field::open(&["privoxy"], Addresses::Own) else { return };
    let _privoxy = start(&field, &list.export(Format::Privoxy).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn privoxy_obeys_a_long_list() {
    let Some(field) = Field::open(&["privoxy"], Addresses::Own) else { return };
    let text = long(2000).export(Format::Privoxy).expect("an export").text;
    let _privoxy = start(&field, &text);
    let (_, probes) = nothing();
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn privoxy_keeps_the_ports_of_hosts_apart() {
    let (list, probes) = ports();
    let Some(field) = Field::of(&["privoxy"], Addresses::Own, &probes) else { return };
    let _privoxy = start(&field, &list.export(Format::Privoxy).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

fn contoso() -> String {
    lists::contoso().export(Format::Privoxy).expect("an export").text
}

fn start(field: &Field, actions: &str) -> Orderly {
    let file = configure(field, actions);
    Orderly(field.serve(field.program("privoxy").arg("--no-daemon").arg(file), PORT))
}

/// Writes the configuration that the format's page has, which takes `actions`.
fn configure(field: &Field, actions: &str) -> PathBuf {
    let actions = field.file("allowlist.action", actions).display().to_string();
    let logs = field.folder("privoxy").display().to_string();
    let configuration = configuration(Format::Privoxy)
        .replace("actionsfile allowlist.action", &format!("actionsfile {actions}"))
        .replace("/var/log/privoxy", &logs);
    field.file("config", &configuration)
}

const PORT: u16 = 8118;
