//! Debian's squid.

use std::process::Command;
use std::time::Instant;

use allowlist_gen::export::Format;
use serde_json::Value;
use test_support::{PATIENCE, require_program};

use super::connect::{
    Answer, all_come_out, connect, dotted, faults, get, nothing, passes_of, ports, probes, request,
};
use super::field::{Addresses, Field, Orderly};
use super::{long, written};
use crate::consumer::{self, Mutation, Verdict};
use crate::lists;
use crate::lookalikes::{LISTED, Probe};
use crate::matrix;

#[test]
fn squid_accepts_its_configuration_and_lets_exactly_the_list_pass() {
    if !require_program("squid") {
        return;
    }
    let judgement = consumer::judge(
        Format::Squid,
        &[
            Mutation { from: "http_access deny all", to: "http_acces deny all" },
            Mutation { from: "dstdomain -n contoso", to: "dstdomian -n contoso" },
            Mutation { from: "allow CONNECT", to: "allow CONECT" },
            Mutation { from: "acl port_443", to: "acl prot_443" },
            Mutation { from: "http_port 127.0.0.1:3128", to: "http_port 127.0.0.1:port" },
        ],
        parse,
    );
    let Some(field) = Field::open(&["squid"], Addresses::Own) else { return };
    let squid = start(&field, &contoso());
    let probes = [probes(&field), dotted(true)].concat();
    let asked = all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));

    // Without a tunnel, or for somebody else, nothing passes.
    let reached = field.arrivals();
    let plain = LISTED.iter().flat_map(|host| {
        let urls = ["http://H/", "http://H:443/", "https://H/", "ftp://H/"];
        urls.map(|url| get(field.client(PORT), &url.replace('H', host)))
    });
    let strangers = LISTED.iter().map(|host| connect(field.stranger(PORT), host, 443));
    let odd = ODD.iter().map(|text| request(field.client(PORT), text));
    let refused: Vec<Answer> = plain.chain(strangers).chain(odd).collect();
    let was_refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
    assert!(refused.iter().all(was_refused), "{refused:#?}");
    assert_eq!(field.arrivals(), reached, "a refused request reached somebody");

    drop(squid);
    let log = log(&field);
    let tunnels = log.iter().filter(|line| line["status"] == 200 && line["method"] == "CONNECT");
    assert_eq!(tunnels.count(), 3 * LISTED.len(), "{log:#?}");
    assert!(log.len() >= probes.len() + refused.len(), "{log:#?}");
    // What the notes say of the fields.
    let tunnel = log.iter().find(|line| line["status"] == 200).expect("a tunnel");
    assert_eq!(tunnel["client"].as_str(), Some("10.10.0.7"), "{tunnel}");
    assert!(tunnel["ms"].is_number(), "{tunnel}");
    let denied = log.iter().filter(|line| line["host"] == "evil.azurecr.io");
    let denied: Vec<&Value> = denied.filter(|line| line["method"] == "CONNECT").collect();
    assert!(!denied.is_empty(), "{log:#?}");
    for line in denied {
        assert_eq!(
            (&line["status"], &line["result"]),
            (&403.into(), &"TCP_DENIED".into()),
            "{line}"
        );
        assert!(line["reason"].is_null() && line["allowlist"].is_null(), "{line}");
        assert!(line["client_port"].is_string() && line["error"].is_string(), "{line}");
    }
    let version = consumer::debian_version("squid");
    let judgement = judgement.with_probes(asked + refused.len());
    matrix::record(Format::Squid, "squid", &version, judgement);
}

/// The storage denial stands above what somebody adds at the end; the operator's own account above it.
#[test]
fn squid_reaches_no_storage_but_a_listed_account() {
    let account =
        "schema = 1\n[[entry]]\nstorage_account = \"mine.blob.core.windows.net\"\nwhy = \"ours\"\n";
    let list = written("account", account);
    let mut probes = passes_of(&list, &["exfil.blob.core.windows.net"]);
    probes.push(Probe { host: "mcr.microsoft.com".into(), port: 443, passes: true });
    let Some(field) = Field::of(&["squid"], Addresses::Own, &probes) else { return };
    let text = list.export(Format::Squid).expect("an export").text;
    let _squid = start(&field, &text.replace("http_access deny all", "http_access allow all"));
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
    let listed = lists::contoso().export(Format::Squid).expect("an export").text;
    assert!(!listed.contains("accounts_"), "{listed}");
}

/// No reason gets out of its comment, and every host of the hostile list passes.
#[test]
fn squid_obeys_a_list_whose_reasons_are_hostile() {
    let list = lists::written("hostile");
    let strangers = ["evil.azurecr.io", "sub.true.example", "contoso.azurecr.de"];
    let probes = passes_of(&list, &strangers);
    let Some(field) = Field::of(&["squid"], Addresses::Shared, &probes) else { return };
    let _squid = start(&field, &list.export(Format::Squid).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn squid_lets_nothing_pass_of_an_empty_list() {
    let (list, probes) = nothing();
    let Some(field) = Field::open(&["squid"], Addresses::Own) else { return };
    let _squid = start(&field, &list.export(Format::Squid).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

#[test]
fn squid_keeps_the_ports_of_hosts_apart() {
    let (list, probes) = ports();
    let Some(field) = Field::of(&["squid"], Addresses::Own, &probes) else { return };
    let _squid = start(&field, &list.export(Format::Squid).expect("an export").text);
    all_come_out(&field, &probes, |host, port| connect(field.client(PORT), host, port));
}

/// What the probes are worth: each of these is a mistake that `squid -k parse` has no word against.
#[test]
fn probes_find_what_the_parser_does_not() {
    let Some(field) = Field::open(&["squid"], Addresses::Own) else { return };
    for (from, to, fault) in [
        ("dstdomain -n contoso.azurecr.io", "dstdomain -n .contoso.azurecr.io", "sub.contoso"),
        ("hosts_443 dstdomain -n", "hosts_443 dstdomain", "20.62.0."),
        ("port_443 port 443", "port_443 port 443 22", "contoso.azurecr.io:22"),
        (
            "dstdomain -n fabrikam.azurecr.io",
            "dstdomain -n https://fabrikam.azurecr.io",
            "fabrikam",
        ),
    ] {
        let mutated = contoso().replace(from, to);
        parse(&mutated).expect("the parser takes it");
        let squid = start(&field, &mutated);
        let faults =
            faults(&field, &probes(&field), |host, port| connect(field.client(PORT), host, port));
        assert!(faults.iter().any(|said| said.contains(fault)), "{to}: {faults:#?}");
        drop(squid);
    }
}

#[test]
fn squid_reads_two_thousand_hosts_at_once() {
    if !require_program("squid") {
        return;
    }
    let text = long(2000).export(Format::Squid).expect("an export").text;
    assert_eq!(text.matches("http_access allow").count(), 1);
    let started = Instant::now();
    parse(&text).expect("squid takes it");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

/// Requests that are no good request for a tunnel. What is in them ends up in the access log, which stays JSON.
const ODD: [&[u8]; 8] = [
    b"CONNECT evil.azurecr.io HTTP/1.1\r\nHost: contoso.azurecr.io:443\r\n\r\n",
    b"CONNECT evil.azurecr.io:443@contoso.azurecr.io:443 HTTP/1.1\r\n\r\n",
    b"CONNECT evil\",\"host\":\"contoso.azurecr.io:443 HTTP/1.1\r\n\r\n",
    b"CONNECT \\:443 HTTP/1.1\r\n\r\n",
    b"CONNECT \xff\xfe\x7f.azurecr.io:443 HTTP/1.1\r\n\r\n",
    b"GET http://evil.azurecr.io/\"},{\"a\":\"\xe9\x01 HTTP/1.1\r\n\r\n",
    b"A\"B\\ http://contoso.azurecr.io/ HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\r\n\r\n",
];

fn contoso() -> String {
    lists::contoso().export(Format::Squid).expect("an export").text
}

fn parse(text: &str) -> Verdict {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("a file");
    consumer::run(Command::new("squid").args(["-k", "parse", "-f"]).arg(file.path()))
}

/// Starts squid in the field, where it listens on all addresses, and writes to the field's folder.
fn start(field: &Field, text: &str) -> Orderly {
    let folder = field.folder("squid");
    let folder = folder.display();
    let text = text
        .replace("http_port 127.0.0.1:3128", "http_port 0.0.0.0:3128")
        .replace("daemon:/var/log/squid", &format!("stdio:{folder}"));
    let here = format!(
        "pid_filename {folder}/pid\ncache_log {folder}/cache.log\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\n"
    );
    let file = field.file("squid.conf", &(text + &here));
    // Its shared memory has a name for the whole machine, of letters and digits.
    let name = field.name();
    let program = field.program("squid").args(["-N", "-n", &name, "-f"]).arg(file);
    Orderly(field.serve(program, PORT))
}

fn log(field: &Field) -> Vec<Value> {
    let text = std::fs::read_to_string(field.path("squid/access.log")).expect("a log");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

const PORT: u16 = 3128;
