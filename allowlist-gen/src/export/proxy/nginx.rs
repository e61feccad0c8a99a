//! A whole `nginx.conf`: a transparent proxy that goes by the server name in the ClientHello (SNI).

use std::net::SocketAddr;

use ringfence_config::guard;

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope, Setting};

pub(in crate::export) const ABOUT: About = About {
    file: "nginx.conf",
    kind: Kind::Name,
    scope: Scope::Https,
    takes: &[Setting::Client, Setting::Listen, Setting::Resolver],
    needs: &[Setting::Resolver],
    limits: "",
    notes: &[
        "It needs nginx's stream module with ssl_preread: Debian's package libnginx-mod-stream, Fedora's \
         nginx-mod-stream; nginx.org's packages have it built in. The first lines load it wherever it is.",
        "Send the clients' connections to port 443 here, by a redirect or by what DNS tells them; the name server \
         given here must know the hosts' real addresses.",
        "nginx reads the server name (SNI) of the ClientHello, in any case, resolves it itself and connects to port \
         443 there. What has no server name, isn't TLS, or ends its name with a dot is closed. A second ClientHello \
         isn't looked at, and it connects to whatever address a name resolves to, private or not: ringfence checks \
         both.",
        "Storage domains are refused, but for listed accounts, even if the list in the file is widened by hand.",
        "Each connection has a line of JSON in /var/log/nginx/allowlist.log, in which the fields that ringfence also \
         has carry the same names; `status` is 403 for a client and 500 for a name that isn't listed, which the \
         error log calls an upstream without a host.",
    ],
    apply: "\
nginx -t -c \"$PWD/nginx.conf\"
install -m 644 nginx.conf /etc/nginx/nginx.conf
systemctl reload nginx",
    validator: "`nginx -t`, and ClientHellos to a running nginx",
    sources: &[
        "https://nginx.org/en/docs/stream/ngx_stream_ssl_preread_module.html",
        "https://nginx.org/en/docs/stream/ngx_stream_map_module.html",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let resolver = sheet.resolver()?;
    let listen = sheet.options.listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 443)));
    let mut text = Text::new(sheet.header("# "));
    text.line(format_args!(
        "
# Where Debian and Fedora say which modules to load; elsewhere there is nothing, and none is needed.
include /etc/nginx/modules-enabled/*.conf;
include /usr/share/nginx/modules/*.conf;

worker_processes auto;
events {{
    worker_connections 8192;
}}

stream {{
    resolver {resolver};
    resolver_timeout 5s;
    preread_timeout 5s;
    log_format sni escape=json '{format}';
    map_hash_bucket_size 512;
    map_hash_max_size {buckets};",
        format = log_format(sheet),
        buckets = buckets(sheet.hosts.len()),
    ));
    hosts(&mut text, sheet);
    storage(&mut text, sheet);
    // An upstream without a host is an error before anything is resolved or dialled.
    text.line(
        "
    map $storage $upstream {
        default \"\";
        \"\" $listed;
    }

    server {",
    );
    text.line(format_args!("        listen {listen};"));
    for client in &sheet.options.clients {
        text.line(format_args!("        allow {client};"));
    }
    if !sheet.options.clients.is_empty() {
        text.line("        deny all;");
    }
    text.line(
        "        ssl_preread on;
        proxy_connect_timeout 10s;
        proxy_pass $upstream;
        access_log /var/log/nginx/allowlist.log sni;
    }
}",
    );
    Ok(text.into_string())
}

/// The log's line, in JSON: <https://nginx.org/en/docs/stream/ngx_stream_log_module.html>.
fn log_format(sheet: &Sheet<'_>) -> String {
    let hash = sheet.hash();
    format!(
        r#"{{"ended":"$time_iso8601","id":$connection,"client":"$remote_addr:$remote_port","sni":"$ssl_preread_server_name","status":$status,"address":"$upstream_addr","sent":$bytes_received,"received":$bytes_sent,"seconds":$session_time,"allowlist":"{hash}"}}"#
    )
}

fn hosts(text: &mut Text, sheet: &Sheet<'_>) {
    text.line("\n    map $ssl_preread_server_name $listed {\n        default \"\";");
    for group in sheet.groups() {
        text.line(format_args!("\n        # {}", group.describe()));
        for host in &group.hosts {
            text.line(format_args!("        # {}", host.remark()));
            text.line(format_args!("        {name} {name}:443;", name = host.name));
        }
    }
    text.line("    }");
}

fn storage(text: &mut Text, sheet: &Sheet<'_>) {
    text.line(
        "
    # Whatever else this file is made to allow: no storage.
    map $ssl_preread_server_name $storage {
        hostnames;
        default \"\";",
    );
    for domain in guard::storage_domains() {
        text.line(format_args!("        .{domain} storage;"));
    }
    for host in sheet.hosts.iter().filter(|host| host.is_account()) {
        text.line(format_args!("        {} \"\";", host.name));
    }
    text.line("    }");
}

/// How many buckets nginx may take for a map: enough that it never runs out of them.
fn buckets(hosts: usize) -> usize {
    (2 * hosts).next_power_of_two().max(2048)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_buckets_enough_for_a_long_list() {
        assert_eq!([0, 8, 1025, 100_000].map(buckets), [2048, 2048, 4096, 262_144]);
    }
}
