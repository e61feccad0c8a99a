// Written by `allowlist-gen export azure-private-dns-bicep`: 5 hosts of the list
// sha256:15b6516e5357a03266219efe747b2bc7d378780e3b6b599b1efb97b971ef7a1d.
// Registries: fabrikam (eastus, westeurope).
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

// login server of fabrikam
resource a_fabrikam 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'fabrikam'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.1.1.22'
      }
    ]
  }
}

// login server of fabrikam in eastus
resource a_fabrikam_eastus_geo 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'fabrikam.eastus.geo'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.1.1.24'
      }
    ]
  }
}

// login server of fabrikam in westeurope
resource a_fabrikam_westeurope_geo 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'fabrikam.westeurope.geo'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.1.1.23'
      }
    ]
  }
}

// layers of fabrikam in eastus
resource a_fabrikam_eastus_data 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'fabrikam.eastus.data'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.1.1.21'
      }
    ]
  }
}

// layers of fabrikam in westeurope
resource a_fabrikam_westeurope_data 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: 'fabrikam.westeurope.data'
  properties: {
    ttl: 300
    aRecords: [
      {
        ipv4Address: '10.1.1.20'
      }
    ]
  }
}
