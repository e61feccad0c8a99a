// Written by `allowlist-gen export pac`: 3 hosts of the list
// sha256:c2b947eeb9f0fed5d63e9aa8ef75aac81708f1b47aa069172051085a8c9e6a9b.
// Registries: contosogov of azurecr.us (usgovarizona, usgovvirginia).
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
  // contosogov of azurecr.us: usgovarizona, usgovvirginia
  "contosogov.azurecr.us": true,
  "contosogov.usgovarizona.data.azurecr.us": true,
  "contosogov.usgovvirginia.data.azurecr.us": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
