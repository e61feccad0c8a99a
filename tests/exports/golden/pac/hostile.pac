// Written by `allowlist-gen export pac`: 8 hosts of the list
// sha256:0e1459f92a84066f577c25b9b0d8dd86d644f44b5a95a51028374ac7c14c0fe1.
// Registries: contoso (eastus), contoso of azurecr.us (usgovvirginia), contoso of azurecr.cn
// (chinaeast2); and 2 other hosts.
// A client's setting, which it is free to ignore: this is no filter, and needs one behind it.
// The listed hosts, and no others, go to the proxy, whatever the port: what isn't listed is for the
// proxy to refuse. If it can't be reached they fail, and don't go around it.
// Registries behind Private Link go to the proxy like all others, where `no-proxy` lets clients go
// to them directly: use one or the other.
// Everything else goes directly, as without this file. Where it has to go through another proxy,
// put that in the place of DIRECT.
// Engines and builders of containers read no PAC files; browsers, desktops and programs on Windows
// do. Not all of them know what a proxy is that itself speaks TLS (`https://`).
// A name in capitals or with a trailing dot goes to the proxy like the name itself.

var hosts = {
  // contoso of azurecr.cn: chinaeast2
  "contoso.azurecr.cn": true,
  "contoso.chinaeast2.data.azurecr.cn": true,
  // contoso: eastus
  "contoso.azurecr.io": true,
  "contoso.eastus.data.azurecr.io": true,
  // contoso of azurecr.us: usgovvirginia
  "contoso.azurecr.us": true,
  "contoso.usgovvirginia.data.azurecr.us": true,
  // hand-written hosts
  "1e5.0x1f.example": true,
  "true.example": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
