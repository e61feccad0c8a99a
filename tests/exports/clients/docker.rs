//! Docker's client, which tells a daemon what a new container's environment is.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use allowlist_gen::export::Format;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::{PATIENCE, Program, require_program};

use super::{list_of, variables};
use crate::consumer::{self, Mutation};
use crate::matrix;

#[test]
fn docker_gives_containers_the_variables() -> Result<()> {
    if !require_program("docker") {
        return Ok(());
    }
    let daemon = Daemon::start()?;
    let judgement = consumer::judge(
        Format::Docker,
        &[
            Mutation { from: "\"noProxy\"", to: "\"no_proxy\"" },
            Mutation { from: "\"default\"", to: "\"defaults\"" },
            Mutation { from: "contoso.azurecr.io,", to: "azurecr.io," },
            Mutation { from: "\"proxies\": {", to: "\"proxies\": [" },
        ],
        |text| {
            // Docker passes over an empty value, which means the same.
            let mut expected = variables(&list_of(Format::Docker, text));
            expected.retain(|variable| !variable.ends_with('='));
            let found = daemon.environment(text).map_err(|error| format!("{error:#}"))?;
            if found == expected { Ok(()) } else { Err(format!("{found:#?}")) }
        },
    );
    let version = consumer::first_line(std::process::Command::new("docker").arg("--version"));
    matrix::record(Format::Docker, "docker create", &version, judgement);
    Ok(())
}

/// What is there stays, and what was there is kept.
#[test]
fn the_page_adds_to_what_docker_has() -> Result<()> {
    if !require_program("jq") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    let text = list_of(Format::Docker, "").export(Format::Docker)?.text;
    std::fs::write(&config, &text)?;
    let apply = || {
        let script = format!("cd \"$HOME\"\n{}", Format::Docker.about().apply);
        Program::new("sh").env("HOME", folder.path()).args(["-c", &script]).run()
    };
    let docker = folder.path().join(".docker");
    let read = |name: &str| -> Result<Value> {
        Ok(serde_json::from_str(&std::fs::read_to_string(docker.join(name))?)?)
    };
    let ours: Value = serde_json::from_str(&text)?;

    apply()?.succeeded()?;
    ensure!(read("config.json")? == ours, "{}", read("config.json")?);

    let mut theirs = json!({ "auths": { "x": {} }, "proxies": { "default": { "noProxy": "x" } } });
    std::fs::write(docker.join("config.json"), theirs.to_string())?;
    apply()?.succeeded()?;
    ensure!(read("config.json.before")? == theirs);
    theirs["proxies"] = ours["proxies"].clone();
    ensure!(read("config.json")? == theirs, "{}", read("config.json")?);

    std::fs::write(docker.join("config.json"), "{ broken")?;
    ensure!(!apply()?.status.success());
    ensure!(std::fs::read_to_string(docker.join("config.json"))? == "{ broken");
    let names = std::fs::read_dir(&docker)?.count();
    ensure!(names == 2, "{names} files");
    Ok(())
}

/// Knows no container, and tells what it is asked to make one of.
struct Daemon {
    port: u16,
    requests: Receiver<Value>,
}

impl Daemon {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || answer(&stream, &sender));
            }
        });
        Ok(Self { port, requests })
    }

    /// The environment of a container that `docker`, with `config`, wants to have made.
    fn environment(&self, config: &str) -> Result<BTreeSet<String>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(Format::Docker.about().file), config)?;
        Program::new("docker")
            .env("HOME", folder.path())
            .args(["--host", &format!("tcp://127.0.0.1:{}", self.port), "--config"])
            .arg(folder.path())
            .args(["create", "contoso.azurecr.io/image"])
            .run()?
            .succeeded()?;
        let request = self.requests.recv_timeout(PATIENCE)?;
        let variables = request["Env"].as_array().context("no environment")?;
        let found: BTreeSet<String> =
            variables.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        ensure!(found.len() == variables.len(), "{variables:?}");
        Ok(found)
    }
}

/// One request of the daemon's API: <https://docs.docker.com/reference/api/engine/>
fn answer(stream: &TcpStream, sender: &Sender<Value>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let creates = request.contains("/containers/create");
    if creates {
        sender.send(serde_json::from_slice(&body)?)?;
    }
    let (status, body) = match (creates, request.starts_with("HEAD ")) {
        (true, _) => ("201 Created", json!({ "Id": "0123456789ab", "Warnings": [] }).to_string()),
        (false, true) => ("200 OK", String::new()),
        (false, false) => ("200 OK", "OK".to_owned()),
    };
    let length = body.len();
    write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
