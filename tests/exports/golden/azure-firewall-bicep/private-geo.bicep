// Written by `allowlist-gen export azure-firewall-bicep`: 5 hosts of the list
// sha256:15b6516e5357a03266219efe747b2bc7d378780e3b6b599b1efb97b971ef7a1d.
// Registries: fabrikam (eastus, westeurope).
// Clients: 10.10.0.0/16.
// By name: the target sees the name that a client asks for, and lets exactly these pass.
// The rules are a group of their own in the policy, and a deployment replaces them all.
// The firewall goes through network rules first: one that allows more, such as the service tag
// AzureContainerRegistry, opens every registry, whatever stands here.
// Rules by name allow what clients ask for in their TLS handshake. The firewall looks the name up
// itself, so clients and firewall should ask the same name servers.
// Rules by address allow the private addresses on the list, whatever is asked for there. Behind a
// registry's private endpoint there is only this registry; what is behind the addresses of a
// hand-written host, its owner knows.

@description('The firewall policy that the rules go into')
param firewallPolicyName string

@description('Whose traffic the rules are for')
param sourceAddresses array = [
  '10.10.0.0/16'
]

@description('Among the other groups of the policy, from 100, which is first, to 65000')
param priority int = 500

resource policy 'Microsoft.Network/firewallPolicies@2024-05-01' existing = {
  name: firewallPolicyName
}

resource group 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@2024-05-01' = {
  parent: policy
  name: 'acr-allowlist'
  properties: {
    priority: priority
    ruleCollections: [
      {
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
        name: 'acr-by-address'
        priority: 400
        action: {
          type: 'Allow'
        }
        rules: [
          {
            ruleType: 'NetworkRule'
            name: 'acr-fabrikam'
            description: 'fabrikam: eastus, westeurope'
            sourceAddresses: sourceAddresses
            ipProtocols: [
              'TCP'
            ]
            destinationPorts: [
              '443'
            ]
            destinationAddresses: [
              '10.1.1.20'
              '10.1.1.21'
              '10.1.1.22'
              '10.1.1.23'
              '10.1.1.24'
            ]
          }
        ]
      }
      {
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
        name: 'acr-by-name'
        priority: 500
        action: {
          type: 'Allow'
        }
        rules: [
          {
            ruleType: 'ApplicationRule'
            name: 'acr-fabrikam'
            description: 'fabrikam: eastus, westeurope'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // login server of fabrikam
              'fabrikam.azurecr.io'
              // login server of fabrikam in eastus
              'fabrikam.eastus.geo.azurecr.io'
              // login server of fabrikam in westeurope
              'fabrikam.westeurope.geo.azurecr.io'
              // layers of fabrikam in eastus
              'fabrikam.eastus.data.azurecr.io'
              // layers of fabrikam in westeurope
              'fabrikam.westeurope.data.azurecr.io'
            ]
            terminateTLS: false
          }
        ]
      }
    ]
  }
}
