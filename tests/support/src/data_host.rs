//! A data endpoint: nginx over a registry's files.

use std::path::Path;

use anyhow::Result;

use crate::network::Network;
use crate::process::{Program, Running};

/// A running data endpoint.
#[derive(Debug)]
pub struct DataHost {
    running: Running,
}

impl DataHost {
    /// Serves `files` as `host` on `address`.
    pub fn start(network: &Network, host: &str, address: &str, files: &Path) -> Result<Self> {
        let (certificate, key) = network.issue(&[host])?;
        let config = network.write(
            &format!("{host}.conf"),
            &format!(
                "\
daemon off;
master_process off;
pid {0}/{host}.pid;
error_log stderr notice;
events {{}}
http {{
    access_log /dev/stdout;
    server {{
        listen {address}:443 ssl;
        server_name {host};
        ssl_certificate {1};
        ssl_certificate_key {2};
        root {3};
    }}
}}
",
                network.directory().display(),
                certificate.display(),
                key.display(),
                files.display()
            ),
        )?;
        // `-e`: before it has read its configuration it would write to the system's log.
        let nginx = Program::new("nginx").inside(&network.world).args(["-e", "stderr", "-c"]);
        let running = nginx.arg(config).start()?;
        // Said once its sockets are open.
        running.stderr.wait_for_line(|line| line.contains("OS: Linux"))?;
        Ok(Self { running })
    }

    /// Its access log, so far.
    pub fn log(&self) -> Vec<String> {
        self.running.stdout.lines()
    }
}
