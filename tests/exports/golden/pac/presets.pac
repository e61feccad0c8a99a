// Written by `allowlist-gen export pac`: 9 hosts of the list
// sha256:7cf7c673a062c324a007d8d163c5c22ff8c74e1cb9e02fb7e59f0ef3f2d6dd5e.
// Registries: arcmktplaceprod (eastus), contoso (eastus); and 5 other hosts. Presets:
// a23456789012345678901234567890123456789z, aks/cluster-extensions, aks/core,
// aks/workload-identity, az-acr-login.
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
  // arcmktplaceprod: eastus
  "arcmktplaceprod.azurecr.io": true,
  "arcmktplaceprod.eastus.data.azurecr.io": true,
  // contoso: eastus
  "contoso.azurecr.io": true,
  "contoso.eastus.data.azurecr.io": true,
  // hand-written hosts
  "build.example.com": true,
  // hosts of several presets
  "login.microsoftonline.com": true,
  // hosts of the preset aks/core
  "packages.aks.azure.com": true,
  "packages.microsoft.com": true,
  // hosts of the preset a23456789012345678901234567890123456789z
  "proxy.example.com": true
};

function FindProxyForURL(url, host) {
  var name = host.toLowerCase().replace(/\.$/, "");
  if (Object.prototype.hasOwnProperty.call(hosts, name)) {
    return "PROXY proxy.corp.example:3128";
  }
  return "DIRECT";
}
