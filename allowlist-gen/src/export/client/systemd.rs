//! A drop-in for the services that pull images.

use super::{LIMITS, NEEDS, NOTE_BELOW, NOTE_PRIVATE, TAKES, variables};
use crate::export::sheet::Sheet;
use crate::export::text::Text;
use crate::export::{About, Error, Kind, Scope};

pub(in crate::export) const ABOUT: About = About {
    file: "http-proxy.conf",
    kind: Kind::Client,
    scope: Scope::PrivateLink,
    takes: TAKES,
    needs: NEEDS,
    limits: LIMITS,
    notes: &[
        NOTE_PRIVATE,
        NOTE_BELOW,
        "The same file serves containerd, Docker and the kubelet, each in the folder of its own unit. Docker's \
         daemon.json can say the same from release 23 on, and then wins over this file.",
        "AKS makes its nodes anew, without such files: use one of the `aks` formats there.",
    ],
    apply: "\
unit=containerd # or docker, or kubelet
install -D -m 644 http-proxy.conf \"/etc/systemd/system/$unit.service.d/http-proxy.conf\"
systemctl daemon-reload
systemctl restart \"$unit\"",
    validator: "`systemd-analyze verify` as a drop-in of each unit; the variables that systemd then starts the service \
                with, dumped by `systemd --test`",
    sources: &[
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Environment=",
        "https://docs.docker.com/engine/daemon/proxy/",
    ],
};

pub(in crate::export) fn render(sheet: &Sheet<'_>) -> Result<String, Error> {
    let mut text = Text::new(sheet.header("# "));
    text.line("\n[Service]");
    for variable in variables(sheet)? {
        text.line(format_args!("Environment=\"{variable}\""));
    }
    Ok(text.into_string())
}
