// Written by `allowlist-gen export pac`: 5 hosts of the list
// sha256:f5a868d0051c5b54df8721d104ddce210427d1299ea2ec197dd8b00b867c6091.
// Registries: contoso (eastus); and 3 other hosts.
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
  // contoso
  "contoso.azurecr.io": true,
  // contoso: eastus
  "contoso.eastus.data.azurecr.io": true,
  // hand-written hosts
  "contosobuildcache.blob.core.windows.net": true,
  "a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.example": true,
  // hand-written hosts
  "build.example": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
