//! HTTP/2 CONNECT within TLS: each stream is a tunnel of its own, and no connection costs more than it may.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use rustls::pki_types::ServerName;
use serde_json::Value;
use test_support::PATIENCE;
use test_support::tls_client::TlsClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::secure::{NAME, Secure};
use crate::stage::{Answer, DATA, HOST, LOOPBACK, MOMENT, document, hello};

#[test]
fn streams_of_one_connection_are_tunnels_of_their_own() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut tunnels = Vec::new();
        for host in [HOST, DATA, HOST] {
            tunnels.push(connection.tunnel(&secure, host).await?);
        }
        for tunnel in tunnels.iter_mut().rev() {
            tunnel.echo(b"there and back").await?;
        }
        for tunnel in &mut tunnels {
            tunnel.send.send_data(Bytes::new(), true)?;
            assert_eq!(tunnel.rest().await?, b"goodbye");
        }
        secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() == 3))?;
        let log = secure.stage.proxy.log()?;
        for (line, host) in log.iter().zip([HOST, DATA, HOST]) {
            assert_eq!((&line["host"], &line["sni"]), (&host.into(), &host.into()), "{line}");
            assert_eq!((&line["listener"], &line["outcome"]), (&"h2".into(), &"tunnel".into()));
            assert_eq!((&line["end"], &line["group"]), (&"client".into(), &"default".into()));
        }
        assert_eq!(secure.stage.origin.connections(), 3);
        assert_eq!(
            secure.stage.proxy.metric("ringfence_connections_total{outcome=\"tunnel\"}")?,
            3
        );
        Ok(())
    })
}

/// Both directions at once, and more than all windows together.
#[test]
fn big_transfers_are_whole() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut tunnel = connection.tunnel(&secure, HOST).await?;
        let sent: Vec<u8> =
            (0..12 << 20).map(|at: u32| at.to_le_bytes()[at as usize % 4]).collect();
        let Tunnel { send, receive } = &mut tunnel;
        let (written, read) = tokio::join!(
            async {
                write(send, &sent).await?;
                send.send_data(Bytes::new(), true)?;
                anyhow::Ok(())
            },
            rest(receive),
        );
        written?;
        let received = read?;
        ensure!(received.len() == sent.len() + 7, "{} came back", received.len());
        ensure!(received.starts_with(&sent), "it was changed on its way");
        let line = secure.stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
        let hello = hello(Some(HOST)).len();
        assert_eq!(line["sent"], sent.len() + hello);
        assert_eq!(line["received"], received.len() + hello);
        Ok(())
    })
}

#[test]
fn a_host_that_finishes_first_still_gets_what_the_client_sends() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let listener = TcpListener::bind((LOOPBACK, 0))?;
    let port = listener.local_addr()?.port();
    let host = std::thread::spawn(move || -> Result<Vec<u8>> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut all = vec![0; hello(Some(HOST)).len()];
        stream.read_exact(&mut all)?;
        stream.write_all(b"that is all")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut all)?;
        Ok(all)
    });
    secure.stage.enforce(&document(&[HOST], port))?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let (response, mut send) = connection.ask(&format!("{HOST}:{port}"), &[]).await?;
        assert_eq!(response.status(), 200);
        write(&mut send, &hello(Some(HOST))).await?;
        assert_eq!(rest(&mut response.into_body()).await?, b"that is all");
        write(&mut send, b"and this, too").await?;
        send.send_data(Bytes::new(), true)?;
        let all = tokio::task::spawn_blocking(|| host.join()).await?.expect("no panic")?;
        assert_eq!(all, [&hello(Some(HOST))[..], b"and this, too"].concat());
        let line = secure.stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
        assert_eq!(line["end"], "upstream");
        Ok(())
    })
}

#[test]
fn refusals_are_responses_and_the_other_streams_go_on() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let port = secure.stage.origin.port;
    let authority = format!("{HOST}:{port}");
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let rows: [(&str, Headers<'_>, u16, &str); 11] = [
            ("fabrikam.azurecr.io:443", &[], 403, "not_in_policy"),
            ("somebody.blob.core.windows.net:443", &[], 403, "storage_forbidden"),
            ("contoso.azurecr.io:444", &[], 403, "port_not_allowed"),
            ("contoso.azurecr.io", &[], 400, "bad_port"),
            ("127.0.0.1:443", &[], 403, "ip_literal"),
            ("[::1]:443", &[], 403, "ip_literal"),
            ("user:word@contoso.azurecr.io:443", &[], 400, "bad_authority"),
            (&authority, &[("host", "fabrikam.azurecr.io")], 400, "host_mismatch"),
            (&authority, &[("content-length", "5")], 400, "bad_request"),
            (&authority, &[("host", &authority), ("host", &authority)], 400, "bad_request"),
            (
                &authority,
                &[("proxy-authorization", "Basic YTpi"), ("proxy-authorization", "Basic YTpi")],
                400,
                "bad_request",
            ),
        ];
        let mut last = 0;
        for (authority, headers, status, reason) in rows {
            let (response, _) = connection.ask(authority, headers).await?;
            check_refusal(response, status, reason).await.context(reason)?;
            let line = secure.stage.proxy.logged(|line| line["id"].as_u64() > Some(last))?;
            assert_eq!((&line["reason"], &line["listener"]), (&reason.into(), &"h2".into()));
            last = secure.stage.proxy.last_logged()?;
        }
        let get = Request::get(format!("https://{authority}/")).body(())?;
        let (response, _) = connection.send.send_request(get, true)?;
        check_refusal(response.await?, 405, "method_not_allowed").await?;
        assert!(!secure.stage.proxy.log()?.iter().any(|line| line.to_string().contains("word")));
        secure.nothing_went_out();
        connection.tunnel(&secure, HOST).await?;
        Ok(())
    })
}

/// The library resets such streams before we hear of them, so they are in no log either.
#[test]
fn extended_connect_and_bad_authorities_are_reset() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let authority = secure.authority_of(HOST);
    run(async {
        let mut raw = Raw::open(&secure).await?;
        let extended = [
            field(":method", "CONNECT"),
            field(":protocol", "websocket"),
            field(":scheme", "https"),
            field(":path", "/"),
            field(":authority", &authority),
        ];
        let with_path = [connect(&authority), field(":path", "/")];
        let heads = [
            extended.concat(),
            with_path.concat(),
            connect("contoso.azurecr.io:443 evil.example"),
            connect("contoso.azurecr.io/:443"),
            field(":method", "CONNECT"),
            [connect(&authority), field("transfer-encoding", "chunked")].concat(),
            [connect(&authority), field("connection", "upgrade")].concat(),
        ];
        for (id, head) in (1..).step_by(2).zip(heads) {
            raw.send(&frame(HEADERS, END_HEADERS, id, &head)).await?;
            raw.until_reset(id).await.with_context(|| head.escape_ascii().to_string())?;
        }
        secure.nothing_went_out();
        Ok(())
    })
}

#[test]
fn a_refusal_behind_the_200_ends_only_its_stream() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut other = connection.tunnel(&secure, DATA).await?;
        let arrived = secure.stage.origin.arrived();
        let (response, mut send) = connection.ask(&secure.authority_of(HOST), &[]).await?;
        assert_eq!(response.status(), 200);
        write(&mut send, &hello(Some(DATA))).await?;
        let words = rest(&mut response.into_body()).await?;
        assert_eq!(words, [21, 3, 3, 0, 2, 2, 112], "unrecognized_name");
        let line = secure.stage.proxy.logged(|line| line["reason"] == "sni_mismatch")?;
        assert_eq!((&line["host"], &line["sni"]), (&HOST.into(), &DATA.into()));
        assert_eq!(secure.stage.origin.arrived(), arrived);
        other.echo(b"still here").await
    })
}

#[test]
fn a_stream_reset_while_we_look_up_is_over() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    secure.stage.dns.answer(HOST, Answer::Held);
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let (response, mut send) = connection.begin(&secure.authority_of(HOST), &[])?;
        secure.stage.until(|| Ok(!secure.stage.dns.asked().is_empty())).context("asked")?;
        send.send_reset(Reason::CANCEL);
        drop(response);
        secure.stage.proxy.logged(|line| line["reason"] == "client_closed")?;
        secure.stage.dns.release(LOOPBACK)?;
        connection.tunnel(&secure, DATA).await?;
        assert_eq!(secure.stage.origin.connections(), 1);
        assert_eq!(secure.stage.proxy.log()?.len(), 1);
        Ok(())
    })
}

#[test]
fn a_reset_ends_its_tunnel_and_a_lost_connection_all() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut first = connection.tunnel(&secure, HOST).await?;
        let mut second = connection.tunnel(&secure, DATA).await?;
        let _third = connection.tunnel(&secure, DATA).await?;
        first.send.send_reset(Reason::CANCEL);
        let line = secure.stage.proxy.logged(|line| line["host"] == HOST)?;
        assert_eq!(line["end"], "error");
        second.echo(b"still here").await?;
        connection.driver.abort();
        secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() == 3))?;
        assert!(secure.stage.proxy.log()?.iter().all(|line| line["outcome"] == "tunnel"));
        secure.stage.until(|| Ok(secure.stage.proxy.metric("ringfence_connections_open")? == 0))
    })
}

#[test]
fn a_new_list_ends_the_streams_that_it_does_not_admit() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut stays = connection.tunnel(&secure, HOST).await?;
        let mut go = Vec::new();
        for _ in 0..100 {
            go.push(connection.tunnel(&secure, DATA).await?);
        }
        secure.stage.allow(&[HOST])?;
        for mut tunnel in go {
            // The client may not have noticed yet.
            let _ = tunnel.send.send_data(Bytes::from_static(b"still here"), false);
            tunnel.rest().await.expect_err("it is cut off");
        }
        let line = secure.stage.proxy.logged(|line| line["reason"] == "policy_revoked")?;
        assert_eq!((&line["host"], &line["end"]), (&DATA.into(), &"revoked".into()));
        stays.echo(b"still here").await?;
        let (response, _) = connection.ask(&secure.authority_of(DATA), &[]).await?;
        check_refusal(response, 403, "not_in_policy").await
    })
}

#[test]
fn streams_beyond_the_limit_are_refused() -> Result<()> {
    // One place is the connection's own.
    let secure = Secure::open("", "", "[limits]\nconnections = 3")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut tunnels =
            [connection.tunnel(&secure, HOST).await?, connection.tunnel(&secure, DATA).await?];
        let (response, _) = connection.ask(&secure.authority_of(HOST), &[]).await?;
        assert!(response.headers().contains_key("retry-after"));
        check_refusal(response, 503, "capacity").await?;
        for tunnel in &mut tunnels {
            tunnel.echo(b"still here").await?;
        }
        assert_eq!(secure.stage.origin.connections(), 2);
        Ok(())
    })
}

/// Otherwise a client could go on for as long as it keeps its connection.
#[test]
fn a_new_revocation_list_ends_the_connection_for_new_streams() -> Result<()> {
    let secure = Secure::of_groups(
        "[[client]]\nname = \"build\"\ncertificate = [\"dns:build.example\"]\nallowlist = [\"build.toml\"]",
    )?;
    let identity = secure.certificate(9, &["dns:build.example"], None)?;
    let client = secure.client()?.showing(&identity)?;
    run(async {
        let mut connection = Connection::of(&secure, &client).await?;
        let mut tunnel = connection.tunnel(&secure, HOST).await?;
        secure.replace("revoked.pem", &secure.clients.revocations(&[9])?)?;
        connection.until_no_more(&secure).await?;
        tunnel.echo(b"still here").await?;
        // In TLS 1.3 the client is told when it reads.
        let again = async { Connection::of(&secure, &client).await?.tunnel(&secure, HOST).await };
        assert!(again.await.is_err());
        let line = secure.stage.proxy.logged(|line| line["reason"] == "identity_rejected")?;
        assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("revoked")), "{line}");
        Ok(())
    })
}

#[test]
fn draining_says_so_and_lets_the_streams_end() -> Result<()> {
    let mut secure = Secure::open("", "", "")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut tunnel = connection.tunnel(&secure, HOST).await?;
        secure.stage.proxy.terminate()?;
        connection.until_no_more(&secure).await?;
        tunnel.echo(b"still here").await?;
        tunnel.send.send_data(Bytes::new(), true)?;
        assert_eq!(tunnel.rest().await?, b"goodbye");
        timeout(PATIENCE, connection.driver).await???;
        Ok(())
    })?;
    assert!(secure.stage.proxy.wait()?.success());
    Ok(())
}

#[test]
fn what_does_not_end_while_draining_is_cut() -> Result<()> {
    let mut secure = Secure::open("", "", "[timeouts]\ndrain = \"1s\"")?;
    run(async {
        let mut connection = Connection::open(&secure).await?;
        let mut tunnel = connection.tunnel(&secure, HOST).await?;
        secure.stage.proxy.terminate()?;
        // Whether by a reset or by the end of the connection.
        tunnel.rest().await.expect_err("it is cut off");
        let line = secure.stage.proxy.logged(|line| line["outcome"] == "tunnel")?;
        assert_eq!(line["reason"], "draining");
        Ok(())
    })?;
    assert!(secure.stage.proxy.wait()?.success());
    Ok(())
}

#[test]
fn clients_are_known_by_certificate_and_by_credentials() -> Result<()> {
    let secure = Secure::of_groups(
        "[credentials]\nusers = \"users\"\n\
         [[client]]\nname = \"build\"\ncertificate = [\"dns:build.example\"]\nallowlist = [\"build.toml\"]\n\
         [[client]]\nname = \"deploy\"\nuser = [\"ci\"]\nallowlist = [\"deploy.toml\"]",
    )?;
    run(async {
        let named = secure.client_named(&["dns:build.example"])?;
        let mut connection = Connection::of(&secure, &named).await?;
        connection.tunnel(&secure, HOST).await?;
        let (response, _) = connection.ask(&secure.authority_of(DATA), &[]).await?;
        check_refusal(response, 403, "not_in_policy").await?;
        let line = secure.stage.proxy.logged(|line| line["host"] == DATA)?;
        assert_eq!((&line["group"], &line["name"]), (&"build".into(), &"dns:build.example".into()));

        let mut connection = Connection::open(&secure).await?;
        let host = secure.authority_of(DATA);
        let (response, _) = connection.ask(&host, &[]).await?;
        assert!(response.headers().contains_key("proxy-authenticate"));
        check_refusal(response, 407, "credentials_required").await?;
        let wrong = [("proxy-authorization", "Basic Y2k6d3Jvbmc=")];
        let (response, _) = connection.ask(&host, &wrong).await?;
        check_refusal(response, 403, "identity_rejected").await?;
        let right = [("proxy-authorization", "Basic Y2k6c2VjcmV0")];
        let (response, _) = connection.ask(&host, &right).await?;
        assert_eq!(response.status(), 200);
        Ok(())
    })
}

#[test]
fn a_connection_of_no_use_is_closed() -> Result<()> {
    let secure = Secure::open("", "", "[timeouts]\nhead = \"1s\"\nidle = \"1s\"")?;
    run(async {
        let idle = Connection::open(&secure).await?;
        timeout(PATIENCE, idle.driver).await???;
        let line = secure.stage.proxy.logged(|line| line["reason"] == "head_timeout")?;
        assert_eq!(line["listener"], "h2");

        let mut served = Connection::open(&secure).await?;
        let (response, _) = served.ask("fabrikam.azurecr.io:443", &[]).await?;
        check_refusal(response, 403, "not_in_policy").await?;
        timeout(PATIENCE, served.driver).await???;

        // A preface that doesn't come.
        let mut silent = secure.secured(&secure.client()?.offering(&["h2"]))?;
        secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() == 3))?;
        // It may be cut off.
        let _ = silent.read_to_end(&mut Vec::new());
        let log = secure.stage.proxy.log()?;
        assert_eq!(log[2]["reason"], "head_timeout", "{}", log[2]);
        secure.nothing_went_out();
        Ok(())
    })
}

/// P08: HTTP/2 is for who has agreed on it.
#[test]
fn the_preface_without_tls_is_no_request() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let mut client = secure.stage.client()?;
    client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())?;
    let answer = String::from_utf8(client.rest()?)?;
    assert!(answer.starts_with("HTTP/1.1 400 ringfence: bad_request; "), "{answer}");
    secure.stage.proxy.logged(|line| line["reason"] == "bad_request")?;
    secure.nothing_went_out();
    Ok(())
}

// P09: floods. Each ends the connection or is answered at its client's pace, in bounded memory, and nobody
// else notices.

#[test]
fn rapid_resets_end_the_connection() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let fields = connect(&secure.authority_of(HOST));
    let pairs: Vec<u8> = (0..10_000_u32)
        .flat_map(|number| {
            let id = 2 * number + 1;
            let reset = frame(RST_STREAM, 0, id, &8_u32.to_be_bytes());
            [frame(HEADERS, END_HEADERS, id, &fields), reset].concat()
        })
        .collect();
    let ended = flood(&secure, &pairs)?;
    assert!(ended, "it goes on");
    let line = secure.stage.proxy.logged(|line| line["detail"].is_string())?;
    assert_eq!(line["reason"], "bad_request");
    assert!(
        line["detail"].as_str().is_some_and(|detail| detail.contains("excessive load")),
        "{line}"
    );
    // One of them is the bystander's.
    assert!(secure.stage.origin.connections() <= 32, "{}", secure.stage.origin.connections());
    Ok(())
}

/// Slow enough for each stream to be begun: none is dialled for, and none holds its place.
#[test]
fn patient_resets_reach_nobody() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    secure.stage.dns.answer(HOST, Answer::Held);
    let fields = connect(&secure.authority_of(HOST));
    run(async {
        let mut raw = Raw::open(&secure).await?;
        for (count, id) in (1..=300_usize).zip((1..).step_by(2)) {
            raw.send(&frame(HEADERS, END_HEADERS, id, &fields)).await?;
            raw.send(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())).await?;
            if count % 20 == 0 {
                secure.stage.until(|| Ok(secure.stage.proxy.log()?.len() == count))?;
            }
        }
        Ok(())
    })?;
    let log = secure.stage.proxy.log()?;
    assert!(log.iter().all(|line| line["reason"] == "client_closed"));
    secure.stage.dns.release(LOOPBACK)?;
    secure.tunnel_beside()?;
    assert_eq!(secure.stage.origin.connections(), 1, "the bystander's");
    Ok(())
}

#[test]
fn endless_continuations_end_the_connection() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let mut frames = frame(HEADERS, 0, 1, &connect(&secure.authority_of(HOST)));
    for _ in 0..10_000 {
        frames.extend(frame(CONTINUATION, 0, 1, &field("x", "y")));
    }
    assert!(flood(&secure, &frames)?, "it goes on");
    secure.stage.proxy.logged(|line| line["detail"].is_string())?;
    Ok(())
}

#[test]
fn an_oversize_header_list_is_refused() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let mut frames = frame(HEADERS, 0, 1, &connect(&secure.authority_of(HOST)));
    for _ in 0..4 {
        frames.extend(frame(CONTINUATION, 0, 1, &field("x", &"y".repeat(10_000))));
    }
    frames.extend(frame(CONTINUATION, END_HEADERS, 1, &field("x", "y")));
    flood(&secure, &frames)?;
    assert_eq!(secure.stage.origin.connections(), 1, "the bystander's");
    Ok(())
}

#[test]
fn settings_and_pings_without_end_cost_nothing() -> Result<()> {
    for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[7; 8][..]), (DATA_FRAME, &[][..])] {
        let secure = Secure::open("", "", "")?;
        let stream = u32::from(kind == DATA_FRAME);
        let mut frames = Vec::new();
        if kind == DATA_FRAME {
            frames.extend(frame(HEADERS, END_HEADERS, 1, &connect(&secure.authority_of(HOST))));
        }
        for _ in 0..10_000 {
            frames.extend(frame(kind, 0, stream, payload));
        }
        flood(&secure, &frames)?;
    }
    Ok(())
}

/// A client that asks for much and takes nothing, for windows of 0 that it never opens.
#[test]
fn windows_that_stay_shut_hold_only_so_much() -> Result<()> {
    let secure = Secure::open("", "", "")?;
    let mut frames = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for number in 0..2_000_u32 {
        frames.extend(frame(
            HEADERS,
            END_HEADERS,
            2 * number + 1,
            &connect("fabrikam.azurecr.io:443"),
        ));
    }
    flood(&secure, &frames)?;
    assert_eq!(secure.stage.dns.asked(), [DATA], "the bystander's");
    Ok(())
}

/// Backpressure reaches the host: of what the client doesn't take, little is held, and not for ever.
#[test]
fn tunnels_that_nobody_reads_hold_only_so_much() -> Result<()> {
    let secure = Secure::open("", "", "[timeouts]\nidle = \"3s\"")?;
    secure.stage.origin.greet(&vec![b'x'; 16 << 20]);
    // Windows that stay shut, and ones as wide as can be before a socket from which nothing is read.
    for window in [0_u32, 0x7fff_ffff] {
        let (connections, lines) =
            (secure.stage.origin.connections(), secure.stage.proxy.log()?.len());
        let initial = [&[0, 4][..], &window.to_be_bytes()].concat();
        let mut frames = frame(SETTINGS, 0, 0, &initial);
        frames.extend(frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
        for id in (1..).step_by(2).take(8) {
            frames.extend(frame(HEADERS, END_HEADERS, id, &connect(&secure.authority_of(HOST))));
            frames.extend(frame(DATA_FRAME, 0, id, &hello(Some(HOST))));
        }
        let before = secure.stage.proxy.resident()?;
        run(async {
            let mut raw = Raw::open(&secure).await?;
            raw.send(&frames).await?;
            secure.stage.until(|| Ok(secure.stage.origin.connections() == connections + 8))?;
            let most = Cell::new(0);
            secure.stage.until(|| {
                most.set(most.get().max(secure.stage.proxy.resident()?));
                Ok(secure.stage.proxy.log()?.len() == lines + 8)
            })?;
            let most = most.get();
            ensure!(most < before + MOST, "{before} bytes before, {most} at most");
            Ok(())
        })?;
        assert!(secure.stage.proxy.log()?[lines..].iter().all(|line| line["end"] == "idle"));
    }
    Ok(())
}

/// Has one client send `frames` while another one's tunnel goes on, and tells whether the flood ended its
/// connection.
fn flood(secure: &Secure, frames: &[u8]) -> Result<bool> {
    let mut bystander = secure.tunnel_beside()?;
    let before = secure.stage.proxy.resident()?;
    let ended = run(async {
        let mut raw = Raw::open(secure).await?;
        raw.flood(frames).await
    })?;
    crate::secure::echo(&mut bystander, b"still here")?;
    let after = secure.stage.proxy.resident()?;
    ensure!(after < before + MOST, "{before} bytes before, {after} after");
    Ok(ended)
}

impl Secure {
    fn tunnel_beside(&self) -> Result<test_support::tls_client::Secured> {
        self.tunnel(&self.client()?, DATA)
    }
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A connection of a client that keeps to the protocol.
struct Connection {
    send: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Connection {
    async fn open(secure: &Secure) -> Result<Self> {
        Self::of(secure, &secure.client()?).await
    }

    async fn of(secure: &Secure, client: &TlsClient) -> Result<Self> {
        let (send, connection) = handshake(secured(secure, client).await?).await?;
        Ok(Self { send, driver: tokio::spawn(connection) })
    }

    /// Asks for `authority`, without waiting for the answer.
    fn begin(
        &mut self,
        authority: &str,
        headers: Headers<'_>,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>)> {
        let mut request = Request::builder().method(Method::CONNECT).uri(authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self.send.send_request(request.body(())?, false)?)
    }

    async fn ask(
        &mut self,
        authority: &str,
        headers: Headers<'_>,
    ) -> Result<(Response<RecvStream>, SendStream<Bytes>)> {
        let (response, send) = self.begin(authority, headers)?;
        Ok((timeout(PATIENCE, response).await??, send))
    }

    /// Waits until the proxy has said that it takes no more streams here (GOAWAY); until it has, they begin.
    async fn until_no_more(&mut self, secure: &Secure) -> Result<()> {
        let gone = async {
            while self.begin(&secure.authority_of(HOST), &[]).is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.context("no GOAWAY")
    }

    /// A tunnel that carries.
    async fn tunnel(&mut self, secure: &Secure, host: &str) -> Result<Tunnel> {
        let (response, send) = self.ask(&secure.authority_of(host), &[]).await?;
        ensure!(response.status() == 200, "no tunnel: {response:?}");
        let mut tunnel = Tunnel { send, receive: response.into_body() };
        tunnel.echo(&hello(Some(host))).await?;
        Ok(tunnel)
    }
}

/// A stream that carries.
struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
}

impl Tunnel {
    async fn echo(&mut self, bytes: &[u8]) -> Result<()> {
        write(&mut self.send, bytes).await?;
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            let Some(data) = timeout(PATIENCE, self.receive.data()).await? else {
                bail!("it ended after {}", back.escape_ascii());
            };
            let data = data?;
            self.receive.flow_control().release_capacity(data.len())?;
            back.extend(data);
        }
        ensure!(back == bytes, "the echo differs");
        Ok(())
    }

    async fn rest(&mut self) -> Result<Vec<u8>> {
        rest(&mut self.receive).await
    }
}

/// Sends as fast as the windows let it.
async fn write(send: &mut SendStream<Bytes>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        while send.capacity() == 0 {
            let capacity = timeout(PATIENCE, poll_fn(|context| send.poll_capacity(context)));
            capacity.await?.context("the stream has ended")??;
        }
        let (now, later) = bytes.split_at(send.capacity().min(bytes.len()));
        send.send_data(Bytes::copy_from_slice(now), false)?;
        bytes = later;
    }
    Ok(())
}

/// Everything until the stream ends; a reset is an error.
async fn rest(receive: &mut RecvStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(data) = timeout(PATIENCE, receive.data()).await? {
        let data = data?;
        receive.flow_control().release_capacity(data.len())?;
        all.extend(data);
    }
    Ok(all)
}

async fn check_refusal(response: Response<RecvStream>, status: u16, reason: &str) -> Result<()> {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["ringfence-reason"], reason);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = serde_json::from_slice(&rest(&mut response.into_body()).await?)?;
    assert_eq!(body["reason"], reason);
    Ok(())
}

/// A connection on which anything can be sent.
struct Raw(TlsStream<TcpStream>);

impl Raw {
    async fn open(secure: &Secure) -> Result<Self> {
        let mut raw = Self(secured(secure, &secure.client()?).await?);
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        Ok(raw)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await?;
        Ok(self.0.flush().await?)
    }

    /// Reads frames until `stream` is reset for breaking the protocol, or refused.
    async fn until_reset(&mut self, stream: u32) -> Result<()> {
        loop {
            let mut head = [0; 9];
            timeout(PATIENCE, self.0.read_exact(&mut head)).await??;
            let [_, high, low, kind, _, id @ ..] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            self.0.read_exact(&mut payload).await?;
            ensure!(kind != GOAWAY, "the connection ends: {}", payload.escape_ascii());
            if kind == RST_STREAM && u32::from_be_bytes(id) == stream {
                return Ok(());
            }
        }
    }

    /// Sends all of it while it reads what comes, and tells whether the proxy ended the connection then.
    async fn flood(&mut self, bytes: &[u8]) -> Result<bool> {
        let (mut read, mut write) = tokio::io::split(&mut self.0);
        let (sent, ended) = tokio::join!(
            async {
                // The proxy may have had enough before the end.
                let _ = timeout(PATIENCE, write.write_all(bytes)).await?;
                let _ = write.flush().await;
                anyhow::Ok(())
            },
            async {
                let mut scrap = vec![0; 64 * 1024];
                // A moment without a word is as much as an answer.
                while let Ok(answer) = timeout(5 * MOMENT, read.read(&mut scrap)).await {
                    if !matches!(answer, Ok(1..)) {
                        return true;
                    }
                }
                false
            },
        );
        sent?;
        Ok(ended)
    }
}

/// TLS with the proxy, in which HTTP/2 has been agreed on.
#[expect(clippy::disallowed_methods, reason = "a test is the client; nothing of it is forwarded")]
async fn secured(secure: &Secure, client: &TlsClient) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(secure.stage.proxy.listen_tls()?).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(client.clone().offering(&["h2"]).config());
    let stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "HTTP/2 is not offered");
    Ok(stream)
}

fn run<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { timeout(3 * PATIENCE, test).await? })
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn connect(authority: &str) -> Vec<u8> {
    [field(":method", "CONNECT"), field(":authority", authority)].concat()
}

/// A literal field that is kept in no table (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// RFC 7541 §5.2, without Huffman coding.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.extend(u8::try_from(text.len()));
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.extend(u8::try_from(rest % 128 + 128));
            rest /= 128;
        }
        bytes.extend(u8::try_from(rest));
    }
    bytes.extend(text.as_bytes());
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA_FRAME: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// What a flood may cost.
const MOST: u64 = 32 << 20;
