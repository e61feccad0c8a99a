//! A small container image, the same bytes every time, as an OCI layout on disk.
//!
//! The formats: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An image of several layers in a directory of its own.
#[derive(Debug)]
pub struct Image {
    directory: PathBuf,
    manifest: Blob,
    config: Blob,
    layers: Vec<Blob>,
}

impl Image {
    /// Writes the image. Its layers compress to nothing less: they are noise, some megabytes of it.
    pub fn write(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory.join("blobs/sha256"))?;
        let mut layers = vec![];
        let mut contents = vec![];
        for (seed, size) in (1..).zip(LAYERS) {
            let tar = layer(seed, size)?;
            contents.push(digest(&tar));
            let mut gzip = GzEncoder::new(vec![], Compression::fast());
            std::io::copy(&mut &tar[..], &mut gzip)?;
            layers.push(Blob::write(directory, LAYER, &gzip.finish()?)?);
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": contents },
        });
        let config = Blob::write(directory, CONFIG, config.to_string().as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        let manifest = Blob::write(directory, MANIFEST, manifest.to_string().as_bytes())?;
        let mut tagged = manifest.descriptor();
        tagged["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
        let index = json!({ "schemaVersion": 2, "manifests": [tagged] });
        fs::write(directory.join("index.json"), index.to_string())?;
        let layout = json!({ "imageLayoutVersion": "1.0.0" });
        fs::write(directory.join("oci-layout"), layout.to_string())?;
        Ok(Self { directory: directory.to_owned(), manifest, config, layers })
    }

    /// How skopeo names it.
    pub fn reference(&self) -> String {
        format!("oci:{}:v1", self.directory.display())
    }

    /// The digest of its manifest, `sha256:…`.
    pub fn manifest(&self) -> &str {
        &self.manifest.digest
    }

    /// The digest of its largest layer, `sha256:…`.
    pub fn largest(&self) -> &str {
        &self.layers[LAYERS.len() - 1].digest
    }

    /// The bytes of a blob.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        read_blob(&self.directory, digest)
    }

    /// Checks that the layout in `copy` holds each of this image's blobs, byte for byte.
    pub fn check_copy(&self, copy: &Path) -> Result<()> {
        for Blob { digest, .. } in self.layers.iter().chain([&self.manifest, &self.config]) {
            let same = read_blob(copy, digest)? == self.blob(digest)?;
            ensure!(same, "blob {digest} has changed on its way");
        }
        Ok(())
    }
}

/// A stored blob.
#[derive(Debug)]
struct Blob {
    media_type: &'static str,
    digest: String,
    size: usize,
}

impl Blob {
    fn write(layout: &Path, media_type: &'static str, bytes: &[u8]) -> Result<Self> {
        let digest = digest(bytes);
        fs::write(blob_path(layout, &digest), bytes)?;
        Ok(Self { media_type, digest, size: bytes.len() })
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

fn read_blob(layout: &Path, digest: &str) -> Result<Vec<u8>> {
    let path = blob_path(layout, digest);
    fs::read(&path).with_context(|| format!("read {}", path.display()))
}

fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// A layer with one file of noise in it.
fn layer(seed: u64, size: usize) -> Result<Vec<u8>> {
    let noise = noise(seed, size);
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(size)?);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(vec![]);
    tar.append_data(&mut header, format!("noise-{seed}"), &noise[..])?;
    Ok(tar.into_inner()?)
}

/// `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>: noise without a dependency.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let words = (1..).map(|count: u64| {
        let mut word = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(size).collect()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One layer below every buffer's size, one around a socket buffer's, one well above.
const LAYERS: [usize; 3] = [1_000, 300_000, 4_000_000];
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
