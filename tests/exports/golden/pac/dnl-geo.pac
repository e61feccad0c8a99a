// Written by `allowlist-gen export pac`: 5 hosts of the list
// sha256:dbb377f82dc875f419a5843e8487bfa750ff1a50b2f9d74d1eaf09763a2b5baa.
// Registries: contosodnl-e7ggejfuhzhgedc8 (eastus, westus2).
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
  // contosodnl-e7ggejfuhzhgedc8: eastus, westus2
  "contosodnl-e7ggejfuhzhgedc8.azurecr.io": true,
  "contosodnl-e7ggejfuhzhgedc8.eastus.geo.azurecr.io": true,
  "contosodnl-e7ggejfuhzhgedc8.westus2.geo.azurecr.io": true,
  "contosodnl-e7ggejfuhzhgedc8.eastus.data.azurecr.io": true,
  "contosodnl-e7ggejfuhzhgedc8.westus2.data.azurecr.io": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
