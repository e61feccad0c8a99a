//! A registry: Debian's docker-registry, behaving like Azure's where it matters here. Logins, manifests
//! and uploads stay on the login server; a blob is answered with a 307 to another host.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::image::Image;
use crate::network::Network;
use crate::process::{Program, Running};

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    _running: Running,
    storage: PathBuf,
    address: String,
}

impl Registry {
    /// Starts a registry as `host` on `address`, empty, sending whoever wants a blob to `data_host`.
    pub fn start(network: &Network, host: &str, address: &str, data_host: &str) -> Result<Self> {
        let storage = network.path(&format!("{host}.storage"));
        std::fs::create_dir(&storage)?;
        let (certificate, key) = network.issue(&[host, address])?;
        // https://distribution.github.io/distribution/about/configuration/
        let config = network.write(
            &format!("{host}.yaml"),
            &format!(
                "\
version: 0.1
storage:
  filesystem:
    rootdirectory: {}
middleware:
  storage:
    - name: redirect
      options:
        baseurl: https://{data_host}/
http:
  addr: {address}:443
  secret: one replica only
  tls:
    certificate: {}
    key: {}
",
                storage.display(),
                certificate.display(),
                key.display()
            ),
        )?;
        let program = Program::new("docker-registry").inside(&network.world).arg("serve");
        let running = program.arg(config).start()?;
        running.stderr.wait_for_line(|line| line.contains("listening on"))?;
        Ok(Self { _running: running, storage, address: address.to_owned() })
    }

    /// Puts an image into it as `app:v1`, from where it stands.
    pub fn seed(&self, network: &Network, image: &Image) -> Result<()> {
        let push = ["--insecure-policy", "copy", "--quiet", &image.reference()];
        let target = format!("docker://{}/app:v1", self.address);
        let skopeo = network.unproxied("skopeo", &network.world).args(push).arg(target);
        skopeo.run()?.succeeded().map(drop)
    }

    /// The bytes it has stored for a digest.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let hex = digest.trim_start_matches("sha256:");
        let directory = self.storage.join("docker/registry/v2/blobs/sha256");
        let path = directory.join(&hex[..2]).join(hex).join("data");
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Where its blobs are, for a data host to serve.
    pub fn storage(&self) -> &Path {
        &self.storage
    }
}
