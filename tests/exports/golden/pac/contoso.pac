// Written by `allowlist-gen export pac`: 5 hosts of the list
// sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
// Registries: contoso (eastus, westeurope), fabrikam (westus2).
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
  // contoso: eastus, westeurope
  "contoso.azurecr.io": true,
  "contoso.eastus.data.azurecr.io": true,
  "contoso.westeurope.data.azurecr.io": true,
  // fabrikam: westus2
  "fabrikam.azurecr.io": true,
  "fabrikam.westus2.data.azurecr.io": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
