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
        "The same file serves containerd and Docker, each in the folder of its own unit. Docker's daemon.json can say \
         the same from release 23 on, and then wins over this file.",
        "The kubelet pulls nothing, containerd does; it needs the variables only if a credential provider that it \
         starts has to go through the proxy. It would then ask its API server through the proxy, too, and the node \
         would be lost, unless both spellings of NO_PROXY also name the API server (its name and its address), the \
         cluster's networks, and `.svc`.",
        "AKS makes its nodes anew, without such files: use one of the `aks` formats there.",
    ],
    apply: r#"
unit=containerd # or docker
install -D -m 644 http-proxy.conf "/etc/systemd/system/$unit.service.d/http-proxy.conf" && \
  systemctl daemon-reload && \
  systemctl restart "$unit"

# The kubelet, only if it needs it: with its API server, and the cluster's networks, in the place of these.
#   more=api.cluster.example,10.0.0.1,10.224.0.0/12,10.244.0.0/16,10.0.0.0/16,.svc
#   sed -E "/^Environment=.(NO_PROXY|no_proxy)=/ s|.\$|,$more&|" http-proxy.conf > kubelet-proxy.conf
#   install -D -m 644 kubelet-proxy.conf /etc/systemd/system/kubelet.service.d/http-proxy.conf"#,
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
