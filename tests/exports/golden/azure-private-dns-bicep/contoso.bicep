// Written by `allowlist-gen export azure-private-dns-bicep`: 3 hosts of the list
// sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
// Registries: contoso (eastus, westeurope).
// Left out, as they have no private address: fabrikam.azurecr.io, fabrikam.westus2.data.azurecr.io.
// Answers to DNS questions, for registries behind private endpoints. Nothing is blocked: a client
// that knows an address doesn't have to ask.
// For zones that are kept by hand: a private endpoint with a DNS zone group writes its records
// itself.
// The zones must exist, and be linked to the networks that ask. Each record gets exactly the
// addresses of the list; a record that the list doesn't have stays as it is.
// A deployment is for one resource group, which has to have all of the zones.
// Unless a zone's link falls back to the internet, a name that the zone doesn't have doesn't exist:
// every registry that is reached through Private Link needs all its hosts in it.

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {
  name: 'privatelink.azurecr.io'
}

// login server of contoso
resource a_contoso 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'contoso'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.20.0.6'
      }
    ]
  }
}

// layers of contoso in eastus
resource a_contoso_eastus_data 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'contoso.eastus.data'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.20.0.4'
      }
    ]
  }
}

// layers of contoso in westeurope
resource a_contoso_westeurope_data 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'contoso.westeurope.data'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.20.0.5'
      }
    ]
  }
}
