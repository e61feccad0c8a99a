//! A GitHub Actions workflow whose first step, harden-runner, blocks what isn't listed.

use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "acr-egress.yml",
    kind: Kind::Resolved,
    scope: Scope::Ports,
    takes: &[],
    needs: &[],
    limits: "131 000 bytes of endpoints, which reach the action in one variable of its environment (execve(2))",
    notes: &[
        "A workflow of this step alone protects nothing: copy the step to the front of the steps of every job, with the \
         action pinned to a commit.",
        "What else the job needs, `github.com:443` say, has to be added: an audit run lists it.",
        "It blocks on hosted runners; on self-hosted ones, or in a job that runs as a container, only with the \
         vendor's agent on the machine.",
        "Whoever is root on the runner can stop it.",
    ],
    apply: "\
# The commit to pin the action to: `uses: step-security/harden-runner@<commit>`.
git ls-remote https://github.com/step-security/harden-runner 'refs/tags/v2*'
# Then copy the step to the front of the steps of every job, by hand.",
    validator: "`action-validator`, and our own reader for the endpoints",
    sources: &["https://github.com/step-security/harden-runner"],
};

/// Endpoints are in a folded scalar (`>`): runners split them at blanks, and wouldn't at line ends. A host and a port
/// have nothing in them that YAML could take for its own.
pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    sheet.not_empty()?;
    let mut text = Text::new(sheet.header("# "));
    text.line(WORKFLOW.trim_ascii_end());
    for host in &sheet.hosts {
        for port in host.ports.iter() {
            text.line(format_args!("            {}:{port}", host.name));
        }
    }
    let text = text.into_string();
    sheet.at_most(MAX_BYTES, "bytes of workflow", text.len())?;
    Ok(text)
}

/// Linux takes strings of 128 KiB in an environment, and the workflow is a little more than its endpoints:
/// <https://man7.org/linux/man-pages/man2/execve.2.html>
const MAX_BYTES: usize = 131_000;

const WORKFLOW: &str = "\
name: acr-egress
on: workflow_dispatch
permissions: {}
jobs:
  pull:
    runs-on: ubuntu-latest
    steps:
      - uses: step-security/harden-runner@v2
        with:
          egress-policy: block
          allowed-endpoints: >
";
